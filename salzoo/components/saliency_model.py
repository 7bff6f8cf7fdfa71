"""`SaliencyModel`: the one base of every model, and the one path from pixels to a map."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, cast, final, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._modules import modules_of, tensors_of
from salzoo._precision import full_precision, network_precision
from salzoo._schema import JoinedSignature, check_range
from salzoo.backbones import TimmBackbone, pixel_statistics
from salzoo.components.checkpointing import CheckpointModule, keep_contiguous
from salzoo.components.devices import place
from salzoo.components.layers import fit_centre_biases, fit_standardise, same_size
from salzoo.components.training_config import TrainingConfig
from salzoo.components.video import ModelState, VideoFrame, VideoState, left_at, predict_frames
from salzoo.components.views import View, check_views
from salzoo.data.statistics import LoaderStatistics, TrainingStatistics, check_batch, column, frames_of
from salzoo.errors import SpecError
from salzoo.images.geometry import Size, scaled_size
from salzoo.images.preprocess import Preprocess
from salzoo.images.read import ImageLike, to_list, to_tensor
from salzoo.images.resample import resize_image
from salzoo.images.saliency_map import SaliencyMap
from salzoo.video.frames import FPS, VideoLike, read_frames
from salzoo.video.smoothing import Average, Median, smoothing

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

    from salzoo.data.base import Batch, EvalBatch, Split
    from salzoo.data.datamodule import SaliencyDataModule

# Computed after every epoch; InfoGain needs a baseline and is part of `salzoo evaluate`.
VALIDATION_METRICS = ("nss", "auc_judd", "cc", "sim", "kld")


class SaliencyModel(CheckpointModule):
    """Predicts where people look.

    A paper's class names its `network_class`, whose arguments the model takes too, and overrides `default_loss`, and
    `to_log_density` if its maps do not end in a softmax. What only training needs is in `training_config`. The
    published weights are exactly `network.state_dict()`.

    Args:
        preprocess: Input that the network expects; without `mean` and `std` those of the backbone are taken. None takes
            `default_preprocess`.
        tta: Test-time augmentation: the views whose maps are averaged in eval mode, the first at the size of the
            result. `((1.0, False), (1.0, True))` adds the mirror image, at twice the work.
        temperature: T of the density p^(1 / T) that is predicted, 0.1 to 10 (Guo et al., ICML 2017): above 1 it is less
            sure than the network's. `salzoo.evaluation.calibration.fit_temperature` fits it, anew after training, which
            has none.
        network: Arguments of `network_class`.
    """

    __signature__ = JoinedSignature()
    network: nn.Module
    network_class: ClassVar[type[nn.Module] | None] = None
    """Built from the constructor's arguments; a model without one sets `network` in a constructor of its own."""
    training_class: ClassVar[type[TrainingConfig]] = TrainingConfig
    default_preprocess: ClassVar[Preprocess] = Preprocess()
    sigmoid: ClassVar[bool] = False
    """Whether the sigmoid of the logits is the map; if not, losses on maps get the density scaled to a maximum of 1."""
    no_graph: ClassVar[str] = ""
    """Why `salzoo.exporting` cannot make a graph of the model; empty where it can."""
    _preprocess: Preprocess
    statistics_images: ClassVar[int] = 256
    """Number of training images on which `fit_statistics` measures the channels."""

    def __init__(
        self,
        preprocess: Preprocess | None = None,
        *,
        tta: tuple[View, ...] = ((1.0, False),),
        temperature: float = 1.0,
        **network: Any,
    ) -> None:
        super().__init__()
        self.tta, self.preprocess = tta, preprocess or self.default_preprocess
        self.temperature = temperature
        self.teacher: tuple[SaliencyModel, ...] = ()  # in a tuple it is no part of the module tree
        if self.network_class is not None:
            self.network = self.network_class(**network)
            keep_contiguous(self.network)
        elif network:
            raise TypeError(f"{type(self).__name__} got unknown arguments: {', '.join(network)}.")
        self.training_config = self.training_class()

    @property
    def preprocess(self) -> Preprocess:
        """Input size, fit and normalisation of the network, as a checkpoint's `config.json` keeps them."""
        if self._preprocess.mean is None and (backbones := self.backbones()):
            self._preprocess = self._preprocess.with_statistics(*pixel_statistics(backbones[0].name))
        return self._preprocess

    @preprocess.setter
    def preprocess(self, preprocess: Preprocess) -> None:
        check_views(self.tta, preprocess)
        self._preprocess = preprocess

    @property
    def temperature(self) -> float:
        """What the logarithm of a predicted density is divided by, before it is normalised."""
        return self._temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        check_range(0.1, 10, temperature=temperature)
        self._temperature = temperature

    @property
    def transform(self) -> Preprocess:
        """The preprocessing as a callable: any image to a (3, h, w) float tensor in [0, 1] for `model(x[None])`."""
        return self.preprocess

    @property
    def training_config(self) -> TrainingConfig:
        """What only training needs: learning rate, optimiser, criterion."""
        return self._training_config

    @training_config.setter
    def training_config(self, config: TrainingConfig) -> None:
        if not isinstance(config, self.training_class):
            raise SpecError(
                f"training_config of {type(self).__name__} is a {self.training_class.__name__}, got {config!r}."
            )
        before = self.__dict__.get("_training_config")
        self._training_config = config
        if before is None or before.loss != config.loss:  # learned weights of a criterion stay
            self.criterion = None if config.loss is None else losses.get(config.loss)

    def extra_repr(self) -> str:
        """Say which checkpoint this is, before the layers."""
        if self.config is None:
            return f"input {list(self.preprocess.size)}"
        trained = (
            f"trained on {', '.join(self.config.trained_on)}" if self.config.trained_on else "no recorded training"
        )
        return f"{self.config.model}.{self.config.tag}, input {list(self.preprocess.size)}, {trained}"

    # What a paper overrides.

    @property
    def fitted_splits(self) -> tuple[Split, ...]:
        """Splits that `salzoo fit` trains on, for the record."""
        return ("train",)

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar training loss of the paper.

        Args:
            logits: (N, 1, h, w) output of `forward`, at any stride.
            batch: Images and truth at the network's size.
        """
        raise SpecError(f"{type(self).__name__} has no gradient training.")

    def to_log_density(self, logits: Tensor) -> Tensor:
        """(N, 1, H, W) logits to (N, H, W) natural-log density; the exp of each map sums to 1."""
        return normalise_log(logits)

    def restore(self, maps: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Bring the logits of one image, (1, 1, h, w), to the image's own (height, width)."""
        return self.preprocess.restore(maps, image_size)

    @final
    def predicted(self, logits: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Logits of one image, (1, 1, h, w), to the (1, H, W) log density of its own size that is predicted."""
        return self._tempered(self.to_log_density(self.restore(logits, image_size)))

    def _tempered(self, log_density: Tensor) -> Tensor:
        """Apply the temperature to (N, H, W)."""
        return log_density if self.temperature == 1 else normalise_log(log_density[:, None] / self.temperature)

    def average_views(self, maps: Sequence[Tensor]) -> Tensor:
        """Average the maps of all views, flipped back, to (N, 1, h, w) logits of the first view's size."""
        size = (maps[0].shape[-2], maps[0].shape[-1])
        alike = [m if same_size(m, maps[0]) else F.interpolate(m, size, mode="bilinear") for m in maps]
        return alike[0] if len(alike) == 1 else sum(alike[1:], alike[0]) / len(alike)

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit what no gradient trains, before training: every centre bias, and the statistics of every channel.

        A trainer does this by itself; a loop of your own calls it once for a new network.

        Args:
            data: A `SaliencyDataModule` with a `size`, or `salzoo.data.LoaderStatistics(loader)` of any loader whose
                batches have `image`, `fixations` and `density`.
        """
        fit_centre_biases(self.network, data)
        images = (image.to(self.device) for image in data.sample_images(self.statistics_images))
        fit_standardise(self.network, map(self._pixels, images))

    def fit_after_training(self, data: SaliencyDataModule) -> None:
        """Fit what depends on the trained network, before it is written: nothing here.

        Args:
            data: What it was trained on.
        """

    def taken_over(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what this network takes over of the tensors that training starts from: all of them."""
        return given

    def configure_sgd(self) -> Any:
        """Return what `optimizer="sgd"` means: the paper's own optimiser and schedule.

        Raises:
            SpecError: If the paper has none.
        """
        raise SpecError(f"optimizer='sgd': {type(self).__name__} has no SGD of its own; accepted is 'adamw'.")

    # Training.

    @final
    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar loss that training minimises: the criterion given as `training_config.loss`, else the paper's.

        Args:
            logits: (N, K, h, w) output of `forward` in train mode, at any stride; several maps an image are trained as
                if each were alone.
            batch: Images and truth at the network's size.
        """
        if self.criterion is None:
            return self.default_loss(logits, batch)
        each = [
            self.criterion(self.to_log_density(one), batch, one[:, 0] if self.sigmoid else None)
            for one in torch.split(logits.float(), 1, dim=1)
        ]
        return torch.stack(each).mean()

    def configure_optimizers(self) -> Any:
        """AdamW under a one-cycle schedule, or the paper's own SGD."""
        groups = self.parameter_groups()
        if not groups:
            raise SpecError(f"{type(self).__name__} has no parameter that a gradient trains.")
        if self.training_config.optimizer != "adamw":
            return self.configure_sgd()
        optimizer = torch.optim.AdamW(groups, lr=self.training_config.lr, weight_decay=1e-2)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [g["lr"] for g in groups], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters as groups for an optimiser: backbones at `backbone_lr_scale * lr`, the rest at `lr`."""
        lr = self.training_config.lr
        inside = {p for backbone in self.backbones() for p in backbone.parameters() if p.requires_grad}
        own = [p for p in self.parameters() if p.requires_grad and p not in inside]
        backbones = [p for p in self.parameters() if p in inside]
        groups = [(own, lr), (backbones, lr * self.training_config.backbone_lr_scale)]
        return [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters]

    def backbones(self) -> list[TimmBackbone]:
        """Return the backbones of the network; none before there is a network."""
        network = getattr(self, "network", None)
        return [] if network is None else [m for m in network.modules() if isinstance(m, TimmBackbone)]

    def load_pretrained_backbone(self) -> None:
        """Load ImageNet weights into every backbone.

        Raises:
            WeightsError: If they can be neither found nor fetched.
        """
        for backbone in self.backbones():
            backbone.load_pretrained()

    # The one path from pixels to a map.

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits.

        Args:
            image: (N, 3, h, w) RGB at the network's size, uint8 from 0 to 255 or float in [0, 1]; same values for both.

        Returns:
            (N, 1, h', w') logits at the network's stride. In train mode those of the network, of the image as it is.
        """
        if self.training:
            return cast("Tensor", self.network(self._pixels(image)))
        size = (image.shape[-2], image.shape[-1])
        return self.view(image, {scale: scaled_size(size, scale) for scale, _ in self.tta if scale != 1})

    @final
    def view(self, image: Tensor, sizes: Mapping[float, tuple[int, int]]) -> Tensor:
        """Predict the logits of all views of images, averaged: what `forward` does in eval mode.

        Args:
            image: As `forward` takes it.
            sizes: (height, width) of the views of each scale other than 1; `salzoo.exporting` computes them in a graph.
        """
        pixels = self._pixels(image)
        scales = dict.fromkeys(scale for scale, _ in self.tta)
        return self.average_views([view for scale in scales for view in self._views(pixels, scale, sizes)])

    def _views(self, pixels: Tensor, scale: float, sizes: Mapping[float, tuple[int, int]]) -> list[Tensor]:
        """Return the network's maps of the views of one scale, flipped back."""
        flips = [flip for s, flip in self.tta if s == scale]
        if scale != 1:
            pixels = resize_image(pixels, sizes[scale])
        views = [pixels.flip(-1) if flip else pixels for flip in flips]
        maps = self.network(views[0] if len(views) == 1 else torch.cat(views)).unflatten(0, (len(views), -1))
        return [m.flip(-1) if flip else m for m, flip in zip(maps, flips, strict=True)]

    def _pixels(self, image: Tensor) -> Tensor:
        """Normalise, in the floating-point type of the network."""
        kinds = (tensor.dtype for tensor in tensors_of(self.network) if tensor.is_floating_point())
        return self.preprocess.normalize(image).to(next(kinds, torch.float32))

    def infer(self, images: Sequence[Tensor], sizes: Sequence[Size] | None = None) -> list[Tensor]:
        """Images of any sizes to log densities, each at its image's own size; differentiable where the network is.

        Each image is resized as `preprocess` says, those of one input size go through the network as one batch, each
        map is brought back and normalised by itself: what else is in the batch makes no difference. In the mode that
        the model is in; `log_densities` is for prediction.

        Args:
            images: (3, H, W) RGB each, uint8 or float in [0, 1].
            sizes: (height, width) of each in full, if they were decoded at a fraction; None: (H, W).

        Returns:
            (H, W) natural-log densities; those of `sizes`.
        """
        sizes = sizes or [(image.shape[-2], image.shape[-1]) for image in images]
        inputs = [self.preprocess.resize(image[None], size) for image, size in zip(images, sizes, strict=True)]
        maps: dict[int, Tensor] = {}
        for shape in dict.fromkeys(x.shape for x in inputs):
            alike = [i for i, x in enumerate(inputs) if x.shape == shape]
            logits = self(torch.cat([inputs[i] for i in alike])).float()
            with full_precision(self.device):  # half precision is for the network alone
                for i, one in zip(alike, logits, strict=True):
                    maps[i] = self.predicted(one[None], sizes[i])[0]
        return [maps[i] for i in range(len(images))]

    def log_densities(self, images: Sequence[Tensor], sizes: Sequence[Size] | None = None) -> list[Tensor]:
        """`infer` in eval mode and without gradients, on the model's device; the mode is left as it was."""
        with self._predicting():
            moved = [image.to(self.device) for image in images]
            in_full = sizes is None or all(image.shape[1:] == size for image, size in zip(images, sizes, strict=True))
            return self.infer(moved) if in_full else self.infer(moved, sizes)

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        """Predict for a while: in eval mode, without gradients, in the precision asked for."""
        with evaluating(self), torch.inference_mode(), network_precision(self.network, self.device, self.precision):
            yield

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
        """Predict where people look in one image or in many; the model's mode is left as it was.

        Safe in several threads at once for a model in eval mode, as `load` returns it.

        Args:
            image: A path, an open file or its bytes, a PIL image, an array or a tensor as
                `salzoo.images.read.to_tensor` takes them, a list of any of these of mixed sizes, or a tensor
                (N, 3, H, W).
            batch_size: Images that go through the network at once.
            device: Where to run, as `salzoo.load` takes it; the model moves there and stays. None: where it is.

        Returns:
            One `SaliencyMap` at the image's own size; for a list or a batch, a list of them.

        Raises:
            ImageError: If an image cannot be read, or its shape, type or range is not accepted.
            SpecError: If there is no such device here; the model stays where it was.
        """
        if batch_size < 1:
            raise SpecError(f"batch_size={batch_size} is not accepted: at least 1.")
        place(self, device)
        images, many = to_list(image)
        maps: list[SaliencyMap] = []
        for start in range(0, len(images), batch_size):
            chunk = [to_tensor(one) for one in images[start : start + batch_size]]
            maps += [SaliencyMap(log_density) for log_density in self.log_densities(chunk)]
        return maps if many else maps[0]

    # Videos.

    @property
    def remembers(self) -> bool:
        """Whether the map of a video's frame depends on the frames before it."""
        return False

    def infer_frames(self, images: Sequence[Tensor], state: ModelState) -> list[tuple[Tensor, ModelState]]:
        """Consecutive frames of one size to log densities, each with the state after it; here each is by itself."""
        return [(log_density, None) for log_density in self.infer(images)]

    def log_densities_of_frames(
        self, images: Sequence[Tensor], state: ModelState = None
    ) -> list[tuple[Tensor, ModelState]]:
        """`infer_frames` in eval mode and without gradients, as `log_densities`; no state: the first frames."""
        with self._predicting():
            return self.infer_frames([image.to(self.device) for image in images], state)

    def predict_video(
        self,
        source: VideoLike,
        *,
        every: int = 1,
        smooth: str | Average | Median | None = None,
        batch_size: int = 1,
        fps: float = FPS,
        state: VideoState | None = None,
        device: str | torch.device | None = None,
    ) -> Iterator[VideoFrame]:
        """Predict where people look in each frame of a video, in constant memory.

        In pieces, with the state passed on, the maps are those of the whole, to the bit with `batch_size=1`.

        Args:
            source: A file, a folder of frames or an iterable, as `salzoo.video.frames.read_frames` takes them.
            every: Predict every so manyth frame alone.
            smooth: Smoothing over time: `average:2` (causal, 2 s), `median:5` (centred, 5 frames), or any of
                `salzoo.video.smoothing`.
            batch_size: Frames that go through the network at once; in larger batches, last bits may depend on them.
            fps: Frames a second of a folder, or of an iterable that says no times.
            state: That of a frame after which the video goes on: a file or folder is read from there, an iterable
                yields what comes next.
            device: Where to run, as in `predict`.

        Returns:
            An iterator of frames with `index`, `time_s`, `saliency_map`, `image` and `state`.

        Raises:
            ImageError: As `read_frames`.
            SpecError: If an argument is not accepted, or PyAV is needed and not installed; while it is read, if the
                state is of frames of another size, or of one after the end.
        """
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise SpecError(f"batch_size={batch_size!r} is not accepted: a whole number, at least 1.")
        smoother = smoothing(smooth)
        left = left_at(state, self, smoother)
        frames = read_frames(source, every=every, fps=fps, after=left.index)
        return predict_frames(place(self, device), frames, smoother, batch_size, left)

    # Lightning hooks.

    def setup(self, stage: str) -> None:
        """Make the metrics: those of densities alone if there are maps without points."""
        from salzoo.metrics import METRICS, saliency_metrics  # what predicts needs none

        has_points = getattr(self.trainer.datamodule, "has_points", None)  # type: ignore[attr-defined]
        points = has_points is None or stage == "predict" or has_points("test" if stage == "test" else "val")
        metrics = saliency_metrics(include=[m for m in VALIDATION_METRICS if points or not METRICS[m].over_fixations])
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        for backbone in self.backbones() if stage == "fit" else ():
            backbone.start_cache(self.training_config.cache_features)

    def on_fit_start(self) -> None:
        """Train in train mode, whatever `load` left."""
        self.train()

    def on_train_start(self) -> None:
        """Fit the statistics of a new network, not of a resumed or a published one, whose numbers end here."""
        from salzoo.data.datamodule import SaliencyDataModule

        self.forget_measurements()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, SaliencyDataModule) and self.config is not None and self.trainer.is_global_zero:
            self.config = self.config.with_images(data.datasets("train"))
        if self.statistics_fitted or self.trainer.ckpt_path is not None:
            return
        source = (
            data
            if isinstance(data, TrainingStatistics)
            else LoaderStatistics(cast("Any", self.trainer.train_dataloader))
        )
        with evaluating(self), torch.no_grad():
            self.fit_statistics(source)
        self.statistics_fitted = True

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Check the batch, and make dropout depend on nothing before the step: the same in a resumed run."""
        check_batch(batch, values=batch_idx == 0 and self.current_epoch == 0)
        if "PL_GLOBAL_SEED" not in os.environ:  # nobody called seed_everything, as `salzoo fit` does
            return
        seed = int(os.environ["PL_GLOBAL_SEED"])
        step = (seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch_idx
        torch.manual_seed((step * 1_009 + self.global_rank) % 2**63)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step on a stacked batch of images, or of clips: (N, T, 3, h, w)."""
        image = column(batch, "image")
        if image.ndim == 5:
            maps = self.logits_of_clips(image)
            frames = frames_of(batch, maps.shape[1])
            seen = frames.pop("seen")
            if not seen.any():
                return None
            loss = self.loss(maps.flatten(0, 1)[seen], frames)
        else:
            loss = self.loss(self(image), self.taught(batch))
        self.log("train/loss", loss, batch_size=len(image), prog_bar=True)
        return loss

    def taught(self, batch: Batch) -> Batch:
        """Return a batch of images with the densities of the teacher, if there is one."""
        for teacher in self.teacher:
            with torch.no_grad():
                maps = teacher.to(self.device).log_densities(list(batch["image"]))
            return {**batch, "density": torch.stack(maps).exp()}
        return batch

    def logits_of_clips(self, image: Tensor) -> Tensor:
        """Predict clips as they are trained on; here each frame is an image by itself.

        Args:
            image: (N, T, 3, h, w) consecutive frames at the network's size.

        Returns:
            (N, T', 1, h', w') logits of the last T' frames.
        """
        return cast("Tensor", self(image.flatten(0, 1)).unflatten(0, image.shape[:2]))

    def validation_step(self, batch: EvalBatch, batch_idx: int) -> None:
        """Score images at their own sizes."""
        self.score(batch, self.val_metrics)
        self.log_dict(cast("dict[str, Any]", self.val_metrics), batch_size=len(batch["image"]), prog_bar=True)

    def test_step(self, batch: EvalBatch, batch_idx: int) -> None:
        """Score images at their own sizes."""
        self.score(batch, self.test_metrics)
        self.log_dict(cast("dict[str, Any]", self.test_metrics), batch_size=len(batch["image"]), prog_bar=True)

    def predict_step(self, batch: EvalBatch | Tensor, batch_idx: int) -> list[SaliencyMap]:
        """Return one map an image."""
        images = batch["image"] if isinstance(batch, Mapping) else batch
        return [SaliencyMap(log_density) for log_density in self.log_densities(list(images))]

    def score(self, batch: EvalBatch, metrics: MetricCollection) -> None:
        """Update metrics with images at their own sizes.

        One image at a time: in a batch its last bits would depend on the others, and so on who shares the work.
        """
        columns = (column(batch, key) for key in ("image", "fixations", "density"))
        for image, fixations, density in zip(*columns, strict=True):
            if image.ndim == 3:
                (log_density,) = self.log_densities([image])
                metrics.update(log_density.exp()[None], fixations=fixations[None], density=density[None])
                continue
            for frame, (log_density, _) in enumerate(self.log_densities_of_frames(list(image))):
                if density[frame].any():
                    truth = {"fixations": fixations[frame, None], "density": density[frame, None]}
                    metrics.update(log_density.exp()[None], **truth)


def normalise_log(logits: Tensor) -> Tensor:
    """(N, 1, H, W) logits to (N, H, W) log densities; exact also for maps of a hundred megapixels."""
    flat = logits.flatten(1)
    flat = flat - flat.amax(1, keepdim=True).detach()  # else float32 loses the sum beside logits of 1e8
    # log_softmax loses a percent of the mass of large maps:
    return (flat - flat.logsumexp(1, keepdim=True)).view(-1, *logits.shape[-2:])


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model and all its parts in eval mode for a while, then each part back into its own."""
    training = [module for module in modules_of(model) if module.training]
    if training:  # it takes milliseconds
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
