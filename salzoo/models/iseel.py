"""iSEEL: an ensemble of the small networks of similar training images (Tavakoli et al., Neurocomputing 2017).

Re-implementation from the paper (arXiv:1610.06449) and the published constants (share of neighbours, alpha, sigma).
Nothing is fitted by gradient: each training image owns an extreme learning machine, random hidden units with
least-squares output weights.

Differences from the paper:
- Features are two stages of EfficientNet-Lite0 (strides 16 and 32) on the image and on its half, standardised by
  channel, instead of pool5 of VGG-16 at scales that are not published.
- The scene descriptor is the deepest of these maps averaged over `layout` x `layout` cells, instead of GIST and the
  1,000 class probabilities.
- All machines share one random hidden layer: with it an image costs one pass, and only output weights are stored.
- Size, activation and ridge of the machines are not published: chosen on `val`.
- The density has a share of a uniform one mixed in, so that each place has a logarithm; the blur is in shares of the
  image's width (sigma 13 of 800 pixels), and done on the map at stride 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import CentreBias, Standardise, fit_centre_biases, fit_standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import resize_image

if TYPE_CHECKING:
    from salzoo.data.statistics import TrainingStatistics

STRIDE = 8
"""Stride of the map that is blurred."""

SIGMA = 13 / 800
"""Standard deviation of the blur, as a share of the width."""

SEED = 0
"""Seed of the random hidden layer."""


class ISEELNetwork(nn.Module):
    """Frozen features, the machines of all training images, and the centre prior.

    Shape: (N, 3, H, W) normalised image to (N, 1, H / 8, W / 8) log density, not normalised.

    Args:
        backbone: timm name; frozen.
        feature_nodes: Two or more rising strides; the map of the last one is the grid of the machines.
        machines: Number of machines, one for each training image (the paper's 700).
        hidden: Random units, shared by the machines.
        neighbours: Share of the machines whose answers are summed for an image (490 of 700).
        layout: Cells of the scene descriptor in a row and in a column.
        alpha: Power of the summed answers.
        uniform: Share of a uniform density in the result.
    """

    units: Tensor
    offsets: Tensor

    def __init__(
        self,
        backbone: str = "tf_efficientnet_lite0",
        feature_nodes: tuple[int, ...] = (16, 32),
        machines: int = 700,
        hidden: int = 512,
        neighbours: float = 0.7,
        layout: int = 2,
        alpha: float = 6.0,
        uniform: float = 0.01,
    ) -> None:
        super().__init__()
        check_range(2, 16, feature_nodes=len(feature_nodes))
        check_range(1, 10_000, machines=machines, hidden=hidden)
        check_range(1e-6, 1, neighbours=neighbours, uniform=uniform)
        check_range(1, 32, layout=layout)
        check_range(0.01, 100, alpha=alpha)
        self.neighbours, self.layout, self.alpha, self.uniform = neighbours, layout, alpha, uniform
        self.backbone = TimmBackbone(backbone, feature_nodes)
        self.backbone.freeze()
        channels = 2 * self.backbone.channels  # of the image, then of its half
        self.standardise = nn.ModuleList(map(Standardise, channels))
        numbers = np.random.default_rng(SEED).uniform(-1, 1, (hidden, sum(channels) + 1)).astype(np.float32)
        self.register_buffer("units", torch.from_numpy(numbers[:, 1:].copy()), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(numbers[:, 0].copy()), persistent=False)
        scene = self.backbone.channels[-1] * layout**2
        self.scenes = nn.Parameter(torch.zeros(machines, scene), requires_grad=False)
        self.machines = nn.Parameter(torch.zeros(machines, hidden), requires_grad=False)
        self.prior = CentreBias()
        self.prior.requires_grad_(False)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the backbone's maps of the image and of its half."""
        half = resize_image(image, (image.shape[-2] // 2, image.shape[-1] // 2))
        return [*self.backbone(image), *self.backbone(half)]

    def describe(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return scene descriptors (N, S) and hidden activations (N, hidden, h, w)."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.maps(image), strict=True)]
        deepest = maps[len(maps) // 2 - 1]
        scene = F.adaptive_avg_pool2d(deepest, self.layout).flatten(1)
        size = (deepest.shape[-2], deepest.shape[-1])
        resized = [resize_image(m, size) for m in maps]
        features = F.normalize(torch.cat(resized, 1))
        hidden = F.conv2d(features, self.units[:, :, None, None], self.offsets).sigmoid()
        return scene, hidden

    def forward(self, image: Tensor) -> Tensor:
        """Ask the machines of the most similar training images."""
        scenes, hidden = self.describe(image)
        asked = max(1, round(self.neighbours * len(self.scenes)))
        nearest = torch.cdist(scenes.float(), self.scenes.float()).topk(asked, largest=False).indices
        answers = torch.einsum("nph,nhyx->npyx", self.machines[nearest], hidden).tanh()
        size = (image.shape[-2] // STRIDE, image.shape[-1] // STRIDE)
        return self._to_log_density(answers.sum(1, keepdim=True).clamp_min(0), size)

    def _to_log_density(self, total: Tensor, size: tuple[int, int]) -> Tensor:
        """Raise to alpha, multiply by the prior, enlarge, blur, mix with the uniform density."""
        sharp = (total / total.amax((-2, -1), keepdim=True).clamp_min(1e-12)) ** self.alpha
        weighted = sharp * self.prior((sharp.shape[-2], sharp.shape[-1])).exp()
        enlarged = F.interpolate(weighted, size, mode="bilinear", align_corners=False)
        sigma = SIGMA * size[1]
        side = 2 * math.ceil(2 * sigma) + 1
        blurred = gaussian_blur(enlarged, (side, side), sigma, "replicate")
        mean = blurred.mean((-2, -1), keepdim=True).clamp_min(1e-20)
        return ((1 - self.uniform) * blurred / mean + self.uniform).log()


@dataclass(frozen=True)
class ISEELTraining(TrainingConfig):
    """Fit of iSEEL in closed form.

    Args:
        ridge: Weight of the squared output weights beside the squared errors.
    """

    ridge: float = 3.0


class ISEEL(SaliencyModel):
    """iSEEL, fitted by `salzoo fit iseel`; arguments as `ISEELNetwork`."""

    network: ISEELNetwork
    network_class = ISEELNetwork
    training_config: ISEELTraining
    training_class = ISEELTraining
    default_preprocess = Preprocess((480, 640), "aspect")
    statistics_images = 64

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Measure the channels at the images' own aspects, then fit the prior and a machine for each training image.

        Raises:
            SpecError: If there are fewer training images than machines.
        """
        network = self.network
        fit_standardise(network, (self._input(item["image"]) for item in data.train_items(self.statistics_images)))
        fit_centre_biases(network, data)
        fitted = 0
        for item in data.train_items(len(network.machines)):
            scene, hidden = network.describe(self._input(item["image"]))
            target = F.adaptive_avg_pool2d(item["density"][None], (hidden.shape[-2], hidden.shape[-1]))
            network.scenes[fitted] = scene[0]
            network.machines[fitted] = fit_machine(hidden[0], target[0].to(hidden), self.training_config.ridge)
            fitted += 1
        if fitted < len(network.machines):
            raise SpecError(
                f"iseel: machines={len(network.machines)} is more than the {fitted} training images, and each machine "
                f"needs one: give --model.machines={fitted}."
            )

    def _input(self, image: Tensor) -> Tensor:
        """Bring an image (3, H, W) to the network's size and normalise it: (1, 3, h, w)."""
        return self._pixels(self.preprocess.resize(image[None]).to(self.device))


def fit_machine(hidden: Tensor, target: Tensor, ridge: float) -> Tensor:
    """Return the output weights of one machine: ridge regression, solved in the space of the places.

    Args:
        hidden: (units, h, w) activations.
        target: (h, w), brought to a maximum of 1.
        ridge: Weight of the squared output weights.

    Returns:
        (units,).
    """
    rows = hidden.flatten(1).double()
    wanted = (target / target.max().clamp_min(1e-12)).flatten().double()
    gram = rows.T @ rows + ridge * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    weights: Tensor = rows @ torch.linalg.solve(gram, wanted)
    return weights.to(hidden.dtype)
