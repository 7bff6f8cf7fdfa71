"""JuntingNet, the shallow network of Pan, McGuinness, Sayrol, O'Connor & Giro-i-Nieto (CVPR 2016; arXiv:1603.00845).

Differences from the paper:
- The paper's figure and the released training script are different networks. The variants are the figure's: 3x3
  poolings of stride 2 that round up, 128 channels in the last convolution, 64,392,512 parameters. The script's has 2x2
  poolings and 64 channels (`pools`, `channels`), 34,864,384 parameters; weights of both can be imported. Input, target,
  loss, optimiser, schedule and the blur of the prediction are those of the released scripts.
- Training images are squashed to the square input, as the authors' test script does; their training script cuts the
  central square out.
- The released scripts stretch the blurred map to [0, 1]. Here its darkest values are clipped softly instead, so that no
  two pixels of the background tie.
- The lite variant has narrower fully connected layers, so that its checkpoint is small, and their weights are in part
  shared by all places (`SharedReadout`); its map is a log density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.components.layers import blur_mirrored, kernel_density
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch
    from salzoo.data.statistics import TrainingStatistics

MAP_SIZE = 48
"""Side of the predicted map."""

GRID = 10
"""Side of the features' grid for an image of 96 x 96."""

FIRST, STEP = 7.5, 4.0
"""Middle of the first place's receptive field, and the way to the next one, in pixels of the map."""

BANDWIDTH = 0.03
"""Standard deviation of the kernel of the centre bias that a shared read-out starts from, as a share of each side."""

FLOOR = 1e-6
"""Lowest value of the map in [0, 1], so that every density has a logarithm."""


class Maxout(nn.Module):
    """Maximum of the two halves of a vector (the figure's "slices").

    Shape: (N, 2 C) to (N, C).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take the maximum."""
        return torch.maximum(*x.chunk(2, dim=1))


class SharedReadout(nn.Module):
    """The two fully connected layers with maxout between, each with a part of its weights shared by all places.

    Hidden units lie on the grid of the features, several kinds at each place. Each layer is the sum of two sets of
    weights: shared ones, equal for all units of a kind, by which a unit sees the features of its own place and raises
    or lowers the map there; and own ones, from all features and to every pixel, which start from 0. The sums are fully
    connected layers like any others; they only start as convolutions, for which one image is a hundred examples.

    Shape: (N, C, 10, 10) features to maps (N, 1, 48, 48).

    Args:
        channels: Channels C of the features.
        hidden: Units before the maxout, a multiple of 400; half of the kinds raise the map at their place, half lower
            it.

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
    """Return the weights (100, 48 * 48) of each place for each pixel of the map: bilinear interpolation of places."""
    middles = FIRST + STEP * torch.arange(GRID)
    pixels = (torch.arange(MAP_SIZE) + 0.5).clamp(middles[0], middles[-1])
    side = (1 - (pixels - middles[:, None]).abs() / STEP).clamp_min(0)
    return torch.einsum("iy,jx->ijyx", side, side).reshape(GRID**2, MAP_SIZE**2)


class JuntingNetwork(nn.Module):
    """Three convolutions, a fully connected layer of `hidden` units, maxout, and one unit a pixel of the map.

    Shape: (N, 3, 96, 96) RGB in [0, 1] to maps (N, 1, 48, 48).

    Args:
        channels: Channels of the three convolutions.
        hidden: Units before the maxout, which halves them.
        shared: Read out by `SharedReadout`, whose map is a log density and starts from the centre bias of the training
            images, and start the convolutions from He's weights. If not, as the paper: two fully connected layers,
            whose map goes from -1 to 1, and all weights drawn with a deviation of 0.01 around 0, biases 0.1.
        sigma_px: Standard deviation of the blur of the predicted map in eval mode, in pixels of the map.
        pools: Sides of the three poolings' windows, from 2 to 3; each has stride 2 and rounds up.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (32, 64, 128),
        hidden: int = 4608,
        shared: bool = False,
        sigma_px: float = 3.0,
        pools: tuple[int, int, int] = (2, 3, 3),
    ) -> None:
        super().__init__()
        check_range(1, 4096, channels=channels)
        check_range(2, 3, pools=pools)
        check_range(2, 1 << 16, hidden=hidden)
        check_range(0, 100, sigma_px=sigma_px)
        self.shared = shared
        self.sigma_px = sigma_px
        self.features = nn.Sequential(
            *(nn.Conv2d(3, channels[0], 5), nn.ReLU(), nn.MaxPool2d(pools[0], 2, ceil_mode=True)),
            *(nn.Conv2d(channels[0], channels[1], 3), nn.ReLU(), nn.MaxPool2d(pools[1], 2, ceil_mode=True)),
            *(nn.Conv2d(channels[1], channels[2], 3), nn.ReLU(), nn.MaxPool2d(pools[2], 2, ceil_mode=True)),
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
        return maps if self.training else blur_mirrored(maps, self.sigma_px)


@dataclass(frozen=True)
class JuntingNetTraining(TrainingConfig):
    """Training of JuntingNet; `sgd` is SGD with Nesterov momentum, which rises while the learning rate falls.

    Args:
        own_lr_scale: Learning rate of a shared read-out's own weights as a share of `lr`, with AdamW, which moves
            all weights alike: before the maxout a unit has a hundred of its own for each that is shared, so that at
            0.01 both move it as far.
    """

    lr: float = 0.05
    optimizer: Literal["adamw", "sgd"] = "sgd"
    own_lr_scale: float = 0.01


class JuntingNet(SaliencyModel):
    """JuntingNet: a small image in, a smaller map out, squared error, trained from scratch.

    Its arguments are those of `JuntingNetwork`, which takes 96 x 96 pixels.
    """

    network: JuntingNetwork
    network_class = JuntingNetwork
    training_config: JuntingNetTraining
    training_class = JuntingNetTraining
    default_preprocess = Preprocess((96, 96))

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Normalise a shared read-out's map; else undo the scaling of the target, clip softly and divide by the sum."""
        if self.network.shared:
            return normalise_log(logits)
        return normalise_log(F.softplus((logits + 1) / 2, beta=64).clamp_min(FLOOR).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error from the true map, which goes from -1 to 1."""
        maps = logits.float()
        if self.network.shared:
            maps = 2 * (maps - maps.amax((-2, -1), keepdim=True)).exp() - 1
        density = F.adaptive_avg_pool2d(batch["density"], MAP_SIZE)
        saliency = density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)
        return losses.mse(maps[:, 0], 2 * saliency - 1)

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Start a shared read-out from the centre bias of the training fixations."""
        readout = self.network.readout
        if isinstance(readout, SharedReadout):
            bias = kernel_density(data.train_points(), (MAP_SIZE, MAP_SIZE), BANDWIDTH).log().flatten()
            readout.map.bias.copy_(bias - bias.mean())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters for AdamW: a shared read-out's own weights learn at their share of the rate."""
        readout = self.network.readout
        if not isinstance(readout, SharedReadout):
            return super().parameter_groups()
        own = [*readout.own.parameters(), readout.map.weight]
        rest = [p for p in self.parameters() if all(p is not q for q in own)]
        lr, scale = self.training_config.lr, self.training_config.own_lr_scale
        return [{"params": rest, "lr": lr}, {"params": own, "lr": lr * scale}]

    def configure_sgd(self) -> Any:
        """Return the released schedule: from `lr` to 1/500 of it and momentum from 0.9 to 0.999, both in a line."""
        lr = self.training_config.lr
        sgd = torch.optim.SGD(self.parameters(), lr=lr, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            sgd,
            lr,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.0,
            anneal_strategy="linear",
            div_factor=1.0,
            final_div_factor=500.0,
            base_momentum=0.9,
            max_momentum=0.999,
        )
        return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
