"""Mr-CNN: whether a place is fixated, from three patches around it (Liu, Han, Zhang, Wen & Liu, CVPR 2015).

Re-implementation from secondary sources: the authors published no code, and the figures below are those on which public
re-implementations agree.

Differences from the paper:
- The copies of 250 and 150 pixels are made of the one of 400, antialiased, not of the image itself.
- Places are drawn anew in every epoch, and anywhere in the image, whose border repeats outside, as it does in
  prediction (re-implementations stay half a patch away from it).
- Pixels are standardised with mean and deviation 0.5; the paper's normalisation is not known. No norm cap on filters.
- The map of 50 x 50 sigmoids is scaled up and divided by its sum, without further smoothing or fusion.
- The lite variant has narrower layers and is trained with AdamW under a one-cycle rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.data.patches import cut_patches, draw_places, split_by_height
from salzoo.data.statistics import column
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import resize_image

if TYPE_CHECKING:
    from salzoo.data.base import Batch

PATCH = 42
"""Side of a patch in pixels."""

KERNELS = (7, 3, 3)
"""Sides of the convolutions' filters."""

FEATURE = 3
"""Side of a patch's map after the third pooling: 42, 36, 18, 16, 8, 6, 3."""


class Stream(nn.Module):
    """Three convolutions with ReLU and 2 x 2 max-pooling, then a fully connected layer, for patches of one resolution.

    Shape: (N, 3, 42, 42) to (N, hidden).

    Args:
        channels: Channels of the three convolutions.
        hidden: Units of the fully connected layer.
    """

    def __init__(self, channels: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.convolutions = nn.ModuleList(map(nn.Conv2d, inputs, channels, KERNELS))
        self.dropout = nn.Dropout(0.5)
        self.full = nn.Linear(channels[-1] * FEATURE**2, hidden)

    def forward(self, patches: Tensor) -> Tensor:
        """Return the features of patches, one by one."""
        x = patches
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x).relu()
            x = F.max_pool2d(self.dropout(x) if i == 2 else x, 2)
        return cast("Tensor", self.full(x.flatten(1)).relu())

    def on_grid(self, image: Tensor, grid: int) -> Tensor:
        """Return the features of the patches around all places of a grid; what patches share is computed once.

        Where the patches start at even positions they share one grid of pooling windows, and pooling may keep its
        stride. Otherwise each position is pooled, and what follows is dilated to read every second one.

        Args:
            image: (N, 3, S, S), S a multiple of `grid`.
            grid: Places in a row and in a column, in the middles of `grid` x `grid` cells.

        Returns:
            (N, grid * grid, hidden), row by row.
        """
        side = image.shape[-1]
        step, dilation = side // grid, 1
        before = -((step - PATCH) // 2)  # `patch_corners` of a middle, in whole numbers
        after = (grid - 1) * step - before + PATCH - side
        x = _repeat_border(image, before, after)
        for convolution in cast("list[nn.Conv2d]", list(self.convolutions)):
            x = F.conv2d(x, convolution.weight, convolution.bias, dilation=dilation).relu()
            if step % 2 == 0:
                x, step = F.max_pool2d(x, 2), step // 2
            else:
                x, dilation = F.max_pool2d(x, 2, stride=1, dilation=dilation), dilation * 2
        weight = self.full.weight.view(self.full.out_features, -1, FEATURE, FEATURE)
        maps = F.conv2d(self.dropout(x), weight, self.full.bias, stride=step, dilation=dilation).relu()
        return maps.flatten(2).transpose(1, 2)


def _repeat_border(image: Tensor, before: int, after: int) -> Tensor:
    """Pad (or, if negative, cut) each side of a square image, repeating its border."""
    index = torch.arange(-before, image.shape[-1] + after, device=image.device).clamp(0, image.shape[-1] - 1)
    return image[:, :, index][..., index]


class MrCNNNetwork(nn.Module):
    """Three streams that share nothing, and their fusion.

    Shape: (N, 3, S, S) normalised image to (N, 1, grid, grid) logits that a place is fixated.

    Args:
        channels: Channels of each stream's three convolutions.
        hidden: Units of each fully connected layer.
        copies: Sides in pixels of the copies of the image from which the patches are cut; each a multiple of `grid`.
        grid: Places in a row and in a column of the map.

    Raises:
        SpecError: If a side is not a multiple of `grid`.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (96, 160, 288),
        hidden: int = 512,
        copies: tuple[int, ...] = (400, 250, 150),
        grid: int = 50,
    ) -> None:
        super().__init__()
        check_range(1, 4096, channels=channels, hidden=hidden)
        check_range(1, 128, grid=grid)
        check_range(1, 1024, copies=copies)
        check_range(1, 8, copies=len(copies))
        if uneven := [side for side in copies if side % grid]:
            raise SpecError(f"copies: {uneven[0]} is not a multiple of grid={grid}, so patches would not be in line.")
        self.copies, self.grid = copies, grid
        self.streams = nn.ModuleList(Stream(channels, hidden) for _ in copies)
        self.fusion = nn.Linear(len(copies) * hidden, hidden)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(hidden, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast("Tensor", module.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Classify the middles of the grid's cells, image by image: the maps of a batch would not fit a cache."""
        rows = [self._fuse([s.on_grid(copy, self.grid) for s, copy in self._pairs(one[None])]) for one in image]
        return torch.cat(rows).view(len(image), 1, self.grid, self.grid)

    def classify(self, image: Tensor, places: Tensor) -> Tensor:
        """Return (N, P) logits of (N, P, 2) places, as `salzoo.data.draw_places` gives them, patch by patch."""
        features = [
            stream(cut_patches(copy, places, PATCH).flatten(0, 1)).view(*places.shape[:2], -1)
            for stream, copy in self._pairs(image)
        ]
        return self._fuse(features)

    def _pairs(self, image: Tensor) -> list[tuple[Stream, Tensor]]:
        """Return each stream with its copy of the images."""
        copies = [resize_image(image, (side, side)) for side in self.copies]
        return list(zip(cast("list[Stream]", list(self.streams)), copies, strict=True))

    def _fuse(self, features: list[Tensor]) -> Tensor:
        x = self.fusion(self.dropout(torch.cat(features, -1))).relu()
        return cast("Tensor", self.head(self.dropout(x))[..., 0])


@dataclass(frozen=True)
class MrCNNTraining(TrainingConfig):
    """Training of Mr-CNN; `sgd` is the schedule of re-implementations.

    With it momentum rises from 0.9 to 0.99 over the run, and the learning rate falls by the factor 0.999 a step.

    Args:
        fixated: Places drawn in each image and step where density is above 0.9 of its maximum.
        others: Places drawn where it is below 0.1 of its maximum.
    """

    lr: float = 1e-2
    optimizer: Literal["adamw", "sgd"] = "sgd"
    fixated: int = 10
    others: int = 20


class MrCNN(SaliencyModel):
    """Mr-CNN: cross-entropy of fixated and other places; arguments as `MrCNNNetwork`."""

    network: MrCNNNetwork
    network_class = MrCNNNetwork
    training_config: MrCNNTraining
    training_class = MrCNNTraining
    default_preprocess = Preprocess((400, 400), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, divided by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step on patches; a criterion that was given needs the whole grid."""
        if self.criterion is not None:
            return super().training_step(batch, batch_idx)
        places, labels = self._draw(column(batch, "density"))
        image = self._pixels(column(batch, "image"))
        loss = F.binary_cross_entropy_with_logits(self.network.classify(image, places), labels)
        self.log("train/loss", loss, batch_size=len(image), prog_bar=True)
        return loss

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of places drawn among the cells of the grid."""
        grid = (logits.shape[-2], logits.shape[-1])
        places, labels = self._draw(F.adaptive_avg_pool2d(batch["density"], grid))
        rows, columns = (places * places.new_tensor(grid)).long().unbind(-1)
        image = torch.arange(len(logits), device=logits.device)[:, None]
        return F.binary_cross_entropy_with_logits(logits[image, 0, rows, columns], labels)

    def _draw(self, density: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (N, P, 2) and whether they are fixated (N, P), 0 or 1."""
        config, (fixated, other) = self.training_config, split_by_height(density)
        places = torch.cat([draw_places(fixated, config.fixated), draw_places(other, config.others)], 1)
        labels = places.new_zeros(places.shape[:2])
        labels[:, : config.fixated] = 1
        return places, labels

    def configure_sgd(self) -> Any:
        """Return SGD with a falling learning rate; `on_before_optimizer_step` lets its momentum rise."""
        sgd = torch.optim.SGD(self.parameter_groups(), lr=self.training_config.lr, momentum=0.9, weight_decay=2e-4)
        schedule = torch.optim.lr_scheduler.ExponentialLR(sgd, 0.999)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the momentum of the paper's SGD rise over the run."""
        if self.training_config.optimizer == "sgd":
            done = self.trainer.global_step / self.trainer.estimated_stepping_batches
            for group in optimizer.param_groups:
                group["momentum"] = 0.9 + 0.09 * done
