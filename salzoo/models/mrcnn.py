"""Mr-CNN: three patches around a place, and whether somebody looks at it (Liu, Han, Zhang, Wen & Liu, CVPR 2015).

Re-implementation from secondary sources: the authors published no code, and the figures below are those on which public
re-implementations agree.

Differences from the paper:
- The copies of 250 and 150 pixels are made of the one of 400, antialiased, not of the picture itself.
- Places are drawn anew in every epoch, and anywhere in the picture, whose border repeats outside, as it does in
  prediction (re-implementations stay half a patch away from it).
- Pixels are standardised with mean and deviation 0.5; the paper's normalisation is not known. No norm cap on filters.
- The map of 50 x 50 sigmoids is scaled up and divided by its sum, without further smoothing or fusion.
- The lite variant has narrower layers and is trained with AdamW under a one-cycle rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.data.patches import cut_patches, draw_places, patch_corners, split_by_height
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data.base import Batch

PATCH = 42
KERNELS = (7, 3, 3)
FEATURE = 3  # side of a patch's map after the third pooling: 42, 36, 18, 16, 8, 6, 3


class Stream(nn.Module):
    """Three convolutions with ReLU and 2 x 2 max-pooling, then a fully connected layer, for patches of one resolution.

    Shape: (N, 3, 42, 42) to (N, hidden).

    Args:
        channels: Of the convolutions.
        hidden: Of the fully connected layer.
    """

    def __init__(self, channels: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        inputs = (3, *channels[:-1])
        self.convolutions = nn.ModuleList(map(nn.Conv2d, inputs, channels, KERNELS))
        self.dropout = nn.Dropout(0.5)
        self.full = nn.Linear(channels[-1] * FEATURE**2, hidden)

    def forward(self, patches: Tensor) -> Tensor:
        """Look at patches one by one."""
        x = patches
        for i, convolution in enumerate(self.convolutions):
            x = convolution(x).relu()
            x = F.max_pool2d(self.dropout(x) if i == 2 else x, 2)
        return cast("Tensor", self.full(x.flatten(1)).relu())

    def on_grid(self, image: Tensor, grid: int) -> Tensor:
        """Look at the patches around all places of a grid, computing what they share once: the same values.

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
        before = -int(patch_corners(image.new_full((1, 2), 0.5 / grid), (side, side), PATCH)[0, 0])
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
    """Pad (or, if negative, cut) each side of a square picture, repeating its border."""
    index = torch.arange(-before, image.shape[-1] + after, device=image.device).clamp(0, image.shape[-1] - 1)
    return image[:, :, index][..., index]


class MrCNNNetwork(nn.Module):
    """Three streams that share nothing, and their fusion.

    Shape: (N, 3, S, S) normalised picture to (N, 1, grid, grid) logits of being looked at.

    Args:
        channels: Of each stream's convolutions.
        hidden: Of each fully connected layer.
        copies: Sides of the copies of the picture from which the patches are cut.
        grid: Places in a row and in a column of the map.
    """

    def __init__(self, channels: tuple[int, int, int], hidden: int, copies: Sequence[int], grid: int) -> None:
        super().__init__()
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
        """Classify the middles of the grid's cells, picture by picture: the maps of a batch would not fit a cache."""
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
        """Return each stream with its copy of the pictures."""
        resize = dict(mode="bilinear", align_corners=False, antialias=True)
        copies = [F.interpolate(image, (side, side), **resize) for side in self.copies]  # type: ignore[arg-type]
        return list(zip(cast("list[Stream]", list(self.streams)), copies, strict=True))

    def _fuse(self, features: list[Tensor]) -> Tensor:
        x = self.fusion(self.dropout(torch.cat(features, -1))).relu()
        return cast("Tensor", self.head(self.dropout(x))[..., 0])


class MrCNN(SaliencyModel):
    """Mr-CNN: cross-entropy of fixated and other places.

    Args:
        channels: Of each stream's convolutions; the paper's are 96, 160, 288.
        hidden: Of each fully connected layer; the paper's is 512.
        copies: Sides in pixels of the three copies of the picture; each a multiple of `grid`.
        grid: Places in a row and in a column of the map.
        fixated: Places a picture and step where density is above 0.9 of its maximum.
        others: Places where it is below 0.1.
        optimizer: `paper` (SGD, momentum rising from 0.9 to 0.99, rate falling by 0.999 a step, as re-implementations
            have it) or `adamw` with a one-cycle rate.
        lr: Rate at the start, or the peak.
        loss: What to train with instead, on whole maps; see `salzoo.losses.get`.
        preprocess: What the network expects.

    Raises:
        SpecError: If a side is not a multiple of `grid`.
    """

    network: MrCNNNetwork
    sigmoid = True

    def __init__(
        self,
        channels: tuple[int, int, int] = (96, 160, 288),
        hidden: int = 512,
        copies: tuple[int, ...] = (400, 250, 150),
        grid: int = 50,
        fixated: int = 10,
        others: int = 20,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 1e-2,
        loss: losses.LossSpec | None = None,
        preprocess: Preprocess = Preprocess((400, 400), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    ) -> None:
        if uneven := [side for side in copies if side % grid]:
            raise SpecError(f"copies: {uneven[0]} is not a multiple of grid={grid}, so patches would not be in line.")
        super().__init__(preprocess, loss=loss)
        self.fixated, self.others, self.optimizer, self.lr = fixated, others, optimizer, lr
        self.network = MrCNNNetwork(channels, hidden, copies, grid)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, divided by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """One step on patches; only a loss that needs whole maps looks at the whole grid."""
        if self.objective is not None:
            return super().training_step(batch, batch_idx)
        places, labels = self._draw(batch["density"])
        image = self.preprocess.normalize(as_float(batch["image"]))
        loss = F.binary_cross_entropy_with_logits(self.network.classify(image, places), labels)
        self.log("train/loss", loss, batch_size=len(image), prog_bar=True)
        return loss

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of places drawn among the cells of the grid."""
        grid = (logits.shape[-2], logits.shape[-1])
        places, labels = self._draw(F.adaptive_avg_pool2d(batch["density"], grid))
        rows, columns = (places * places.new_tensor(grid)).long().unbind(-1)
        picture = torch.arange(len(logits), device=logits.device)[:, None]
        return F.binary_cross_entropy_with_logits(logits[picture, 0, rows, columns], labels)

    def _draw(self, density: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (N, P, 2) and whether somebody looks there (N, P), 0 or 1."""
        fixated, other = split_by_height(density)
        places = torch.cat([draw_places(fixated, self.fixated), draw_places(other, self.others)], 1)
        labels = places.new_zeros(places.shape[:2])
        labels[:, : self.fixated] = 1
        return places, labels

    def configure_optimizers(self) -> Any:
        """AdamW, or SGD with a falling rate."""
        if self.optimizer == "adamw":
            return super().configure_optimizers()
        sgd = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, weight_decay=2e-4)
        schedule = torch.optim.lr_scheduler.ExponentialLR(sgd, 0.999)
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the momentum of the paper's SGD rise over the run."""
        if self.optimizer == "paper":
            done = self.trainer.global_step / self.trainer.estimated_stepping_batches
            for group in optimizer.param_groups:
                group["momentum"] = 0.9 + 0.09 * done
