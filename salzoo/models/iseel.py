"""iSEEL: similar pictures, each with a small network of its own (Tavakoli et al., Neurocomputing 2017).

Re-implementation from the paper (arXiv:1610.06449) and the published constants (share of neighbours, alpha, sigma).
Nothing is fitted by gradient: each training picture owns an extreme learning machine, random hidden units with
least-squares output weights.

Differences from the paper:
- Features are two stages of EfficientNet-Lite0 (strides 16 and 32) on the picture and on its half, standardised by
  channel, instead of pool5 of VGG-16 at scales that are not published.
- The scene descriptor is the deepest of these maps averaged over `layout` x `layout` cells, instead of GIST and the
  1,000 class probabilities.
- All machines share one random hidden layer: with it a picture costs one pass, and only output weights are stored.
- Size, activation and ridge of the machines are not published: chosen on `val`.
- The density has a share of a uniform one mixed in, so that each place has a logarithm; the blur is in shares of the
  picture's width (sigma 13 of 800 pixels), and done on the map at stride 8.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor, nn

from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import CentreBias, Standardise, fit_standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule

STRIDE = 8  # of the map that is blurred
SIGMA = 13 / 800  # of the blur, as a share of the width
SEED = 0


class ISEELNetwork(nn.Module):
    """Frozen features, the machines of all training pictures, and the centre prior.

    Shape: (N, 3, H, W) normalised image to (N, 1, H / 8, W / 8) log density, not normalised.

    Args:
        backbone: timm name; frozen.
        taps: Two or more rising strides; the map of the last one is the grid of the machines.
        pictures: Training pictures.
        hidden: Random units, shared by the machines.
        neighbours: Share of the training pictures that a picture asks.
        layout: Cells of the scene descriptor in a row and in a column.
        alpha: Power of the summed answers.
        uniform: Share of a uniform density in the result.
        pretrained_backbone: Start from ImageNet weights.
    """

    units: Tensor
    offsets: Tensor

    def __init__(
        self,
        backbone: str,
        taps: tuple[int, ...],
        pictures: int,
        hidden: int,
        neighbours: float,
        layout: int,
        alpha: float,
        uniform: float,
        pretrained_backbone: bool,
    ) -> None:
        super().__init__()
        self.neighbours, self.layout, self.alpha, self.uniform = neighbours, layout, alpha, uniform
        self.backbone = TimmBackbone(backbone, taps, pretrained=pretrained_backbone)
        self.backbone.freeze()
        channels = 2 * self.backbone.channels  # of the picture, then of its half
        self.standardise = nn.ModuleList(map(Standardise, channels))
        numbers = np.random.default_rng(SEED).uniform(-1, 1, (hidden, sum(channels) + 1)).astype(np.float32)
        self.register_buffer("units", torch.from_numpy(numbers[:, 1:].copy()), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(numbers[:, 0].copy()), persistent=False)
        scene = self.backbone.channels[-1] * layout**2
        self.scenes = nn.Parameter(torch.zeros(pictures, scene), requires_grad=False)
        self.machines = nn.Parameter(torch.zeros(pictures, hidden), requires_grad=False)
        self.prior = CentreBias()
        self.prior.requires_grad_(False)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return the trunk's maps of the picture and of its half."""
        half = F.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True)
        return [*self.backbone(image), *self.backbone(half)]

    def describe(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return scene descriptors (N, S) and hidden activations (N, hidden, h, w)."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.maps(image), strict=True)]
        deepest = maps[len(maps) // 2 - 1]
        scene = F.adaptive_avg_pool2d(deepest, self.layout).flatten(1)
        size = (deepest.shape[-2], deepest.shape[-1])
        resized = [F.interpolate(m, size, mode="bilinear", align_corners=False, antialias=True) for m in maps]
        features = F.normalize(torch.cat(resized, 1))
        hidden = F.conv2d(features, self.units[:, :, None, None], self.offsets).sigmoid()
        return scene, hidden

    def forward(self, image: Tensor) -> Tensor:
        """Ask the machines of the most similar training pictures."""
        scenes, hidden = self.describe(image)
        asked = max(1, round(self.neighbours * len(self.scenes)))
        nearest = torch.cdist(scenes, self.scenes).topk(asked, largest=False).indices
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
        blurred = gaussian_blur2d(enlarged, (side, side), (sigma, sigma), "replicate")
        mean = blurred.mean((-2, -1), keepdim=True).clamp_min(1e-20)
        return ((1 - self.uniform) * blurred / mean + self.uniform).log()


class ISEEL(SaliencyModel):
    """iSEEL, fitted in closed form by `salzoo fit iseel`.

    Args:
        backbone: timm name; frozen.
        taps: Two or more rising strides.
        pictures: Training pictures, spread evenly over the sets; each has a machine (the paper's 700).
        hidden: Random units, shared by the machines.
        neighbours: Share of the training pictures that a picture asks (490 of 700).
        layout: Cells of the scene descriptor in a row and in a column.
        ridge: Weight of the squared output weights beside the squared errors.
        alpha: Power of the summed answers.
        uniform: Share of a uniform density in the result.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        preprocess: What the network expects.
    """

    network: ISEELNetwork

    def __init__(
        self,
        backbone: str = "tf_efficientnet_lite0",
        taps: tuple[int, ...] = (16, 32),
        pictures: int = 700,
        hidden: int = 512,
        neighbours: float = 0.7,
        layout: int = 2,
        ridge: float = 3.0,
        alpha: float = 6.0,
        uniform: float = 0.01,
        pretrained_backbone: bool = False,
        preprocess: Preprocess = Preprocess((480, 640), "aspect"),
    ) -> None:
        super().__init__(preprocess, backbone=backbone)
        self.ridge = ridge
        self.network = ISEELNetwork(
            backbone, taps, pictures, hidden, neighbours, layout, alpha, uniform, pretrained_backbone
        )

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Measure the channels on 64 training pictures, then fit the prior and one machine a picture.

        Raises:
            SpecError: If there are fewer training pictures than machines.
        """
        network = self.network
        layers = cast("list[Standardise]", list(network.standardise))
        fit_standardise(layers, (network.maps(self._input(item["image"])) for item in data.train_items(64)))
        network.prior.fit(data.train_points(), bandwidth=0.03)
        fitted = 0
        for item in data.train_items(len(network.machines)):
            scene, hidden = network.describe(self._input(item["image"]))
            target = F.adaptive_avg_pool2d(item["density"][None], (hidden.shape[-2], hidden.shape[-1]))
            network.scenes[fitted] = scene[0]
            network.machines[fitted] = fit_machine(hidden[0], target[0].to(hidden), self.ridge)
            fitted += 1
        if fitted < len(network.machines):
            raise SpecError(f"{', '.join(data.sets)}: {fitted} training pictures, so give --model.pictures={fitted}.")

    def _input(self, image: Tensor) -> Tensor:
        """(3, H, W) to the network's (1, 3, h, w)."""
        return self.preprocess.normalize(self.preprocess.resize(as_float(image)[None]).to(self.device))


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
