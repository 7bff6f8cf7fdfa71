"""JuntingNet, the shallow network of Pan, McGuinness, Sayrol, O'Connor & Giro-i-Nieto (CVPR 2016; arXiv:1603.00845).

Differences from the paper:
- The paper's figure and the released training script are different networks. This is the figure's: 3x3 poolings of
  stride 2 that round up, 128 channels in the last convolution, 64,392,512 parameters. Input, target, loss, optimiser,
  schedule and the blur of the prediction are those of the released scripts.
- Training pictures are squashed to the square input, as the authors' test script does; their training script cuts the
  central square out.
- The released scripts stretch the blurred map to [0, 1]. Here its darkest values are clipped softly instead, so that no
  two pixels of the background tie.
- The lite variant has narrower fully connected layers, so that its checkpoint is small, and their weights are in part
  shared by all places (`SharedReadout`); its map is a log density.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from salzoo import losses
from salzoo.components.layers import kernel_density
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch

MAP_SIZE = 48
"""Side of the predicted map."""

GRID = 10
"""Side of the features' grid for a picture of 96 x 96."""

FIRST, STEP = 7.5, 4.0
"""Middle of the first place's receptive field, and the way to the next one, in pixels of the map."""

BANDWIDTH = 0.03
"""Of the centre bias that a shared read-out starts from, as a share of each side."""

FLOOR = 1e-6
"""Of the map in [0, 1], so that every density has a logarithm."""


class Maxout(nn.Module):
    """Maximum of the two halves of a vector (the figure's "slices").

    Shape: (N, 2 C) to (N, C).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take the maximum."""
        return torch.maximum(*x.chunk(2, dim=1))


class SharedReadout(nn.Module):
    """The two fully connected layers with maxout between, each with a part of its weights shared by all places.

    Hidden units lie on the grid of the features, several at each place. One weighs the features of its own place as all
    units of its kind do, and the whole picture by weights of its own. In the map it lights, or darkens, its place as
    all units of its kind do, and every pixel by weights of its own. Weights of its own start from 0. The sums of both
    are fully connected layers like any others; they only start as convolutions, which one picture teaches at a hundred
    places.

    Shape: (N, C, 10, 10) features to maps (N, 1, 48, 48).

    Args:
        channels: C.
        hidden: Units before the maxout, a multiple of 400: half of the kinds light their places, half darken them.

    Raises:
        SpecError: If `hidden` is not such a multiple.
    """

    bumps: Tensor

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        kinds, rest = divmod(hidden, 2 * GRID**2)
        if rest or kinds < 2 or kinds % 2:
            raise SpecError(f"hidden={hidden} is not accepted with shared weights: a multiple of {4 * GRID**2}.")
        self.shared = nn.Conv2d(channels, 2 * kinds, 1)
        self.own = nn.Linear(channels * GRID**2, hidden)
        self.maxout = nn.Sequential(Maxout(), nn.ReLU())
        self.map = nn.Linear(hidden // 2, MAP_SIZE**2)
        for parameter in (*self.own.parameters(), *self.map.parameters()):
            nn.init.zeros_(parameter)
        self.register_buffer("bumps", torch.cat([bumps(), -bumps()] * (kinds // 2)), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Read the features out."""
        units = self.maxout(self.shared(features).flatten(1) + self.own(features.flatten(1)))
        maps: Tensor = self.map(units) + units @ self.bumps
        return maps.view(-1, 1, MAP_SIZE, MAP_SIZE)


def paper_readout(channels: int, hidden: int) -> nn.Sequential:
    """Return the two fully connected layers with maxout between. Shape: as `SharedReadout`."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(channels * GRID**2, hidden), Maxout(), nn.ReLU()),
        *(nn.Linear(hidden // 2, MAP_SIZE**2), nn.Unflatten(1, (1, MAP_SIZE, MAP_SIZE))),
    )


def bumps() -> Tensor:
    """Return (100, 48 * 48) what each place adds to each pixel of the map if places are interpolated bilinearly."""
    middles = FIRST + STEP * torch.arange(GRID)
    pixels = (torch.arange(MAP_SIZE) + 0.5).clamp(middles[0], middles[-1])
    side = (1 - (pixels - middles[:, None]).abs() / STEP).clamp_min(0)
    return torch.einsum("iy,jx->ijyx", side, side).reshape(GRID**2, MAP_SIZE**2)


class JuntingNetwork(nn.Module):
    """Three convolutions, a fully connected layer of `hidden` units, maxout, and one unit a pixel of the map.

    Shape: (N, 3, 96, 96) RGB in [0, 1] to maps (N, 1, 48, 48).

    Args:
        channels: Of the three convolutions.
        hidden: Units before the maxout, which halves them.
        shared: Read out by `SharedReadout`, and start the convolutions from He's weights; else as the paper: two fully
            connected layers, and all weights 0.01 wide around 0, biases 0.1.
        sigma_px: Blur of the predicted map in eval mode.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        hidden: int,
        shared: bool,
        sigma_px: float,
    ) -> None:
        super().__init__()
        self.sigma_px = sigma_px
        self.features = nn.Sequential(
            *(nn.Conv2d(3, channels[0], 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(channels[0], channels[1], 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(channels[1], channels[2], 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
        )
        self.readout = SharedReadout(channels[2], hidden) if shared else paper_readout(channels[2], hidden)
        for layer in self.modules():
            if shared and isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(cast("Tensor", layer.bias))
            elif not shared and isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(cast("Tensor", layer.bias), 0.1)

    def forward(self, image: Tensor) -> Tensor:
        """Predict, and blur unless in training."""
        channels_last = image.contiguous(memory_format=torch.channels_last)  # twice as fast on a processor
        maps: Tensor = self.readout(self.features(channels_last))
        if self.training or self.sigma_px == 0:
            return maps
        return gaussian_blur2d(maps, MAP_SIZE - 1, (self.sigma_px, self.sigma_px), "replicate")


class JuntingNet(SaliencyModel):
    """JuntingNet: a small picture in, a smaller map out, squared error, trained from scratch.

    Args:
        channels: Of the three convolutions.
        hidden: Units before the maxout, which halves them.
        shared: Read out by `SharedReadout`, whose map is a log density and starts from the centre bias of the training
            pictures; the paper's map goes from -1 to 1.
        sigma_px: Blur of the predicted map of 48 x 48.
        optimizer: `paper` (SGD with Nesterov momentum, which rises while the rate falls) or `adamw` with a one-cycle
            rate.
        lr: Rate at the start, or the peak of the one-cycle rate.
        own_rate: Rate of a shared read-out's own weights as a share of `lr`. AdamW moves all weights alike, and before
            the maxout a unit has a hundred of its own for each that is shared: at 0.01 both move it as far.
        mirror: Predict the average of the maps of the picture and of its mirror image; twice the work.
        preprocess: What the network expects: 96 x 96.
        loss: Instead of the paper's, see `salzoo.losses.get`.
    """

    network: JuntingNetwork

    def __init__(
        self,
        channels: tuple[int, int, int] = (32, 64, 128),
        hidden: int = 4608,
        shared: bool = False,
        sigma_px: float = 3.0,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 0.05,
        own_rate: float = 0.01,
        mirror: bool = False,
        preprocess: Preprocess = Preprocess((96, 96)),
        loss: losses.LossSpec | None = None,
    ) -> None:
        super().__init__(preprocess, loss=loss, mirror=mirror)
        self.optimizer, self.lr, self.own_rate, self.shared = optimizer, lr, own_rate, shared
        self.network = JuntingNetwork(channels, hidden, shared, sigma_px)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Normalise a shared read-out's map; else undo the scaling of the target, clip softly and divide by the sum."""
        if self.shared:
            return normalise_log(logits)
        return normalise_log(F.softplus((logits + 1) / 2, beta=64).clamp_min(FLOOR).log())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error from the true map, which goes from -1 to 1."""
        maps = logits.float()
        if self.shared:
            maps = 2 * (maps - maps.amax((-2, -1), keepdim=True)).exp() - 1
        density = F.adaptive_avg_pool2d(batch["density"], MAP_SIZE)
        saliency = density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        return losses.mse(maps[:, 0], 2 * saliency - 1)

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Start a shared read-out from the centre bias of the training fixations."""
        readout = self.network.readout
        if isinstance(readout, SharedReadout):
            bias = kernel_density(data.train_points(), (MAP_SIZE, MAP_SIZE), BANDWIDTH).log().flatten()
            readout.map.bias.copy_(bias - bias.mean())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """A shared read-out's own weights learn at their share of the rate."""
        readout = self.network.readout
        if not isinstance(readout, SharedReadout):
            return super().parameter_groups()
        own = [*readout.own.parameters(), readout.map.weight]
        rest = [p for p in self.parameters() if all(p is not q for q in own)]
        return [{"params": rest, "lr": self.lr}, {"params": own, "lr": self.lr * self.own_rate}]

    def configure_optimizers(self) -> Any:
        """AdamW, or the released schedule: from `lr` to 1/500 of it and momentum 0.9 to 0.999, both in a line."""
        if self.optimizer == "adamw":
            return super().configure_optimizers()
        sgd = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            sgd,
            self.lr,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.0,
            anneal_strategy="linear",
            div_factor=1.0,
            final_div_factor=500.0,
            base_momentum=0.9,
            max_momentum=0.999,
        )
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
