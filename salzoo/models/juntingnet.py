"""JuntingNet, the shallow network of Pan, McGuinness, Sayrol, O'Connor & Giro-i-Nieto (CVPR 2016; arXiv:1603.00845).

Differences from the paper:
- The paper's figure and the released training script are different networks. This is the figure's: 3x3 poolings of
  stride 2 that round up, 128 channels in the last convolution, 64,392,512 parameters. Input, target, loss, optimiser,
  schedule and the blur of the prediction are those of the released scripts.
- Training pictures are squashed to the square input, as the authors' test script does; their training script cuts the
  central square out.
- The released scripts stretch the blurred map to [0, 1]. Here its darkest values are clipped softly instead, so that no
  two pixels of the background tie.
- The lite variant has narrower fully connected layers, so that its checkpoint is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from salzoo import losses
from salzoo.model import SaliencyModel, normalise_log
from salzoo.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

MAP_SIZE = 48
"""Side of the predicted map."""

FLOOR = 1e-6
"""Of the map in [0, 1], so that every density has a logarithm."""


class Maxout(nn.Module):
    """Maximum of the two halves of a vector (the figure's "slices").

    Shape: (N, 2 C) to (N, C).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take the maximum."""
        return torch.maximum(*x.chunk(2, dim=1))


class JuntingNetwork(nn.Module):
    """Three convolutions, a fully connected layer of `hidden` units, maxout, and one unit a pixel of the map.

    Shape: (N, 3, 96, 96) RGB in [0, 1] to maps (N, 1, 48, 48) in about [-1, 1].

    Args:
        channels: Of the three convolutions.
        hidden: Units before the maxout, which halves them.
        initial: Weights to start from: `paper` (normal, 0.01 wide, biases 0.1) or `he` (He's, biases 0).
        sigma_px: Blur of the predicted map in eval mode.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        hidden: int,
        initial: Literal["paper", "he"],
        sigma_px: float,
    ) -> None:
        super().__init__()
        self.sigma_px = sigma_px
        self.features = nn.Sequential(
            *(nn.Conv2d(3, channels[0], 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(channels[0], channels[1], 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
            *(nn.Conv2d(channels[1], channels[2], 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
        )
        self.readout = nn.Sequential(
            *(nn.Flatten(), nn.Linear(channels[2] * 10 * 10, hidden), Maxout(), nn.ReLU()),
            *(nn.Linear(hidden // 2, MAP_SIZE**2), nn.Unflatten(1, (1, MAP_SIZE, MAP_SIZE))),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                if initial == "he":
                    nn.init.kaiming_normal_(layer.weight)
                else:
                    nn.init.normal_(layer.weight, std=0.01)
                nn.init.constant_(cast("Tensor", layer.bias), 0.0 if initial == "he" else 0.1)

    def forward(self, image: Tensor) -> Tensor:
        """Predict, and blur unless in training."""
        maps: Tensor = self.readout(self.features(image))
        if self.training or self.sigma_px == 0:
            return maps
        return gaussian_blur2d(maps, MAP_SIZE - 1, (self.sigma_px, self.sigma_px), "replicate")


class JuntingNet(SaliencyModel):
    """JuntingNet: a small picture in, a smaller map out, squared error, trained from scratch.

    Args:
        channels: Of the three convolutions.
        hidden: Units before the maxout, which halves them.
        initial: Weights to start from: `paper` (normal, 0.01 wide, biases 0.1) or `he` (He's, biases 0).
        sigma_px: Blur of the predicted map of 48 x 48.
        root: The network learns this root of the true map. 1 in the paper; 2 makes the noise of counted fixations even,
            which is what a squared error takes for granted.
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
        optimizer: `paper` (SGD with Nesterov momentum, which rises while the rate falls) or `adamw` with a one-cycle
            rate.
        lr: Rate at the start, or the peak of the one-cycle rate.
        preprocess: What the network expects: 96 x 96.
        loss: Instead of the paper's, see `salzoo.losses.get`.
    """

    network: JuntingNetwork

    def __init__(
        self,
        channels: tuple[int, int, int] = (32, 64, 128),
        hidden: int = 4608,
        initial: Literal["paper", "he"] = "paper",
        sigma_px: float = 3.0,
        root: float = 1.0,
        power: float = 1.0,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 0.05,
        preprocess: Preprocess = Preprocess((96, 96)),
        loss: losses.LossSpec | None = None,
    ) -> None:
        super().__init__(preprocess, loss=loss)
        self.optimizer, self.lr, self.root, self.power = optimizer, lr, root, power
        self.network = JuntingNetwork(channels, hidden, initial, sigma_px)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Undo the scaling of the target, clip softly and divide by the sum."""
        return normalise_log(self.power * F.softplus((logits + 1) / 2, beta=64).clamp_min(FLOOR).log())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error from the true map, which goes from -1 to 1."""
        density = F.adaptive_avg_pool2d(batch["density"], MAP_SIZE)
        saliency = (density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)) ** (1 / self.root)
        return losses.mse(logits[:, 0].float(), 2 * saliency - 1)

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
