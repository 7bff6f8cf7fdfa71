"""`SaliencyModel`: the one base of every model, and the one path from pixels to a map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast, overload

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from salzoo import losses
from salzoo.backbones.pretrained import pixel_statistics
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess, as_float
from salzoo.images.read import ImageLike, to_list, to_tensor
from salzoo.images.saliency_map import SaliencyMap
from salzoo.metrics import METRICS, saliency_metrics

if TYPE_CHECKING:
    from salzoo.checkpoint.config import Config
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch, EvalBatch

# Computed after every epoch; InfoGain needs a baseline and is part of `salzoo evaluate`.
VALIDATION_METRICS = ("nss", "auc_judd", "cc", "sim", "kld")


@dataclass(frozen=True)
class Identity:
    """Which model of the registry this is, and with which arguments it was built: what a checkpoint folder records."""

    name: str
    tag: str
    init_args: dict[str, Any]


class SaliencyModel(L.LightningModule):
    """Predicts where people look.

    A paper sets `network`, and overrides `loss`, and `to_log_density` if its maps do not end in a softmax.
    The published weights are exactly `network.state_dict()`.

    Args:
        preprocess: What the network expects; its `mean` and `std` default to the backbone's own.
        backbone: timm name that they are taken from.
        loss: What to train with instead of the paper's own loss, as `salzoo.losses.get` takes it; None for that.
        mirror: In eval mode, average the logits of the picture and, mirrored back, of its mirror image; twice the work.
    """

    network: nn.Module
    lr: float
    backbone_rate: float = 1.0
    """Learning rate of the trunk's parameters as a share of `lr`; below 1 to fine-tune ImageNet weights gently."""
    identity: Identity | None = None
    sigmoid = False
    """Whether the sigmoid of the logits is the map; if not, losses on maps see the density scaled to a maximum of 1."""
    calibrated = False
    """Whether the network came with fitted statistics, on which its weights rely; `load` of a checkpoint sets it."""
    accumulate = 1
    """Batches to a step of a model that steps its optimisers itself, as `salzoo fit` sets it."""
    trained_on: tuple[str, ...] = ()
    """Data sets and splits as `osie:train`; `load` of a checkpoint sets it."""
    origin: Config | None = None
    """The checkpoint's `config.json`; `load` of a checkpoint sets it."""

    def __init__(
        self,
        preprocess: Preprocess,
        *,
        backbone: str | None = None,
        loss: losses.LossSpec | None = None,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.mirror = mirror
        self.objective = None if loss is None else losses.get(loss)
        if backbone is not None and preprocess.mean is None:
            mean, std = pixel_statistics(backbone)
            if preprocess.channel_order == "bgr":
                mean, std = (mean[2], mean[1], mean[0]), (std[2], std[1], std[0])
            preprocess = replace(preprocess, mean=mean, std=std)
        self.preprocess = preprocess

    # What a paper overrides.

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar training loss: the paper's, or here the one given as `loss`, at the resolution of the logits.

        Args:
            logits: (N, 1, h, w) output of the network, at any stride.
            batch: Pictures and truth at `preprocess.size`.
        """
        if self.objective is None:
            raise NotImplementedError(f"{type(self).__name__} has no gradient training.")
        log_density = self.to_log_density(logits.float())
        loss: Tensor = self.objective(log_density, batch, logits[:, 0].float() if self.sigmoid else None)
        return loss

    def to_log_density(self, logits: Tensor) -> Tensor:
        """(N, 1, H, W) logits to (N, H, W) natural-log density; the exp of each map sums to 1."""
        return normalise_log(logits)

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit what no gradient trains (a centre bias, channel statistics) to the training pictures, before training."""

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule at the rate `lr`; papers with a recipe of their own override it."""
        groups = self.parameter_groups()
        optimizer = torch.optim.AdamW(groups, lr=self.lr, weight_decay=1e-2)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters as groups for an optimiser: the network's own at `lr`, the trunks' at their share."""
        trunks = [module for module in self.network.modules() if isinstance(module, TimmBackbone)]
        inside = {p for trunk in trunks for p in trunk.parameters() if p.requires_grad}
        own = [p for p in self.parameters() if p.requires_grad and p not in inside]
        groups = [(own, self.lr), ([p for p in self.parameters() if p in inside], self.lr * self.backbone_rate)]
        return [{"params": parameters, "lr": lr} for parameters, lr in groups if parameters]

    def training_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss that was given, else the paper's."""
        return self.loss(logits, batch) if self.objective is None else SaliencyModel.loss(self, logits, batch)

    # The one path from pixels to a map.

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, h, w) RGB in [0, 1], at `preprocess.size`, to (N, 1, h', w') logits."""
        pixels = self.preprocess.normalize(image)
        if self.mirror and not self.training:
            seen, mirrored = self.network(torch.cat([pixels, pixels.flip(-1)])).chunk(2)
            return cast("Tensor", seen + mirrored.flip(-1)) / 2
        logits: Tensor = self.network(pixels)
        return logits

    def infer(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Pictures of any sizes to log densities, each at its picture's own size.

        Each picture is resized as `preprocess` says, those of one input size go through the network as one batch, each
        map is brought back and normalised by itself: what else is in the batch makes no difference.

        Args:
            images: (3, H, W) RGB each, uint8 or float in [0, 1].

        Returns:
            (H, W) natural-log densities.
        """
        inputs = [self.preprocess.resize(as_float(image)[None]) for image in images]
        maps: dict[int, Tensor] = {}
        for size in dict.fromkeys(x.shape for x in inputs):
            alike = [i for i, x in enumerate(inputs) if x.shape == size]
            logits = self(torch.cat([inputs[i] for i in alike])).float()
            with torch.autocast(
                self.device.type, enabled=False
            ):  # half precision is for the network, not for densities
                for i, one in zip(alike, logits, strict=True):
                    restored = self.preprocess.restore(one[None], (images[i].shape[-2], images[i].shape[-1]))
                    maps[i] = self.to_log_density(restored)[0]
        return [maps[i] for i in range(len(images))]

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a Sequence, but a path
        self, image: ImageLike, *, batch_size: int = ..., device: str | torch.device | None = ...
    ) -> SaliencyMap: ...
    @overload
    def predict(
        self, image: Sequence[ImageLike], *, batch_size: int = ..., device: str | torch.device | None = ...
    ) -> list[SaliencyMap]: ...
    def predict(
        self,
        image: ImageLike | Sequence[ImageLike],
        *,
        batch_size: int = 8,
        device: str | torch.device | None = None,
    ) -> SaliencyMap | list[SaliencyMap]:
        """Predict where people look in one picture or in many; the model's mode is left as it was.

        Safe in several threads at once for a model in eval mode, as `load` returns it.

        Args:
            image: A path, a PIL image, an array or a tensor as `to_tensor` takes them, a list of
                any of these of mixed sizes, or a tensor (N, 3, H, W).
            batch_size: Pictures that go through the network at once.
            device: Where to run; the model moves there and stays. None: where it is.

        Returns:
            One `SaliencyMap` at the picture's own size; for a list or a batch, a list of them.

        Raises:
            ImageError: If a picture cannot be read, or its shape, type or range is not accepted.
        """
        if batch_size < 1:
            raise SpecError(f"batch_size={batch_size} is not accepted: at least 1.")
        if device is not None:
            self.to(device)
        pictures, many = to_list(image)
        maps: list[SaliencyMap] = []
        with evaluating(self), torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                chunk = [to_tensor(picture).to(self.device) for picture in pictures[start : start + batch_size]]
                maps += [SaliencyMap(log_density) for log_density in self.infer(chunk)]
        return maps if many else maps[0]

    # Lightning hooks.

    def setup(self, stage: str) -> None:
        """Make the metrics: those of densities alone if there are maps without points."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        points = data is None or stage == "predict" or data.has_points("test" if stage == "test" else "val")
        metrics = saliency_metrics(include=[m for m in VALIDATION_METRICS if points or not METRICS[m].over_fixations])
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def on_fit_start(self) -> None:
        """Train in train mode, whatever `load` left; calibrate a new network, not a resumed or a published one."""
        self.train()
        if self.trainer.ckpt_path is None and not self.calibrated:
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            if data is None:
                raise SpecError(
                    "trainer.fit needs datamodule=SaliencyDataModule(...): a new network is fitted to it first."
                )
            with evaluating(self), torch.no_grad():
                self.calibrate(data)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make a step's dropout depend on nothing before it: the same whether or not the run was resumed."""
        if "PL_GLOBAL_SEED" not in os.environ:  # nobody called seed_everything, as `salzoo fit` does
            return
        seed = int(os.environ["PL_GLOBAL_SEED"])
        step = (seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch_idx
        torch.manual_seed((step * 1_009 + self.global_rank) % 2**63)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step on a stacked batch."""
        loss = self.training_loss(self(as_float(batch["image"])), batch)
        self.log("train/loss", loss, batch_size=len(batch["image"]), prog_bar=True)
        return loss

    def validation_step(self, batch: EvalBatch, batch_idx: int) -> None:
        """Score pictures at their own sizes."""
        self.score(batch, self.val_metrics)
        self.log_dict(cast("dict[str, Any]", self.val_metrics), batch_size=len(batch["image"]), prog_bar=True)

    def test_step(self, batch: EvalBatch, batch_idx: int) -> None:
        """Score pictures at their own sizes."""
        self.score(batch, self.test_metrics)
        self.log_dict(cast("dict[str, Any]", self.test_metrics), batch_size=len(batch["image"]), prog_bar=True)

    def predict_step(self, batch: EvalBatch, batch_idx: int) -> list[SaliencyMap]:
        """Return one map a picture."""
        return [SaliencyMap(log_density) for log_density in self.infer(batch["image"])]

    def score(self, batch: EvalBatch, metrics: MetricCollection) -> None:
        """Update metrics with pictures at their own sizes.

        One picture at a time: in a batch its last bits would depend on the others, and so on who shares the work.
        """
        for image, fixations, density in zip(batch["image"], batch["fixations"], batch["density"], strict=True):
            (log_density,) = self.infer([image])
            metrics.update(log_density.exp()[None], fixations=fixations[None], density=density[None])


def normalise_log(logits: Tensor) -> Tensor:
    """(N, 1, H, W) logits to (N, H, W) log densities; exact also for maps of a hundred megapixels."""
    flat = logits.flatten(1)  # log_softmax loses a percent of the mass there
    return (flat - flat.logsumexp(1, keepdim=True)).view(-1, *logits.shape[-2:])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model and all its parts in eval mode for a while, then each part back into its own."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
