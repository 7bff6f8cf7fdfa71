"""Itti, Koch and Niebur (TPAMI 1998): centre-surround differences of intensity, colour and orientation.

Differences from the paper:
- The Gabor filters are those of the GBVS toolbox, where the paper has a steerable pyramid; they run on each level.
- Colour opponency RG(c, s) is |RG(c) - RG(s)|; Eq. 2 as printed would respond to uniform colour.
- Images are brought to 640 pixels on the longer side, the size of the paper's, so that its levels mean the same.
- The map is the density of fixations, without the winner-take-all network that visits one place after the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.filters import rescale
from salzoo.components.training_free import TrainingFreeModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

Colour = Literal["rgby", "dkl", "lab"]
COLOURS: dict[Colour, Callable[[Tensor], Tensor]] = {
    "rgby": filters.rgby,
    "dkl": lambda image: filters.dkl(image)[:, 1:],
    "lab": lambda image: filters.lab(image)[:, 1:] / 100,
}


class IttiNetwork(nn.Module):
    """Conspicuity maps and their mean.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, h, w) of the coarsest centre level.

    Args:
        colour: Opponent channels: `rgby` as in the paper, `dkl` or `lab`.
        normalisation: `max_local`, a map times the squared difference of its maximum and the mean of its other local
            maxima (1998), or `iterative`, ten rounds of lateral inhibition (2000).
        centres: Pyramid levels of the centre; the image is level 0.
        deltas: Levels from a centre to its surrounds.
        blur: Standard deviation of a last Gaussian, as a share of the map's longer side; the paper has none.

    Raises:
        SpecError: If there is no centre or no delta, or one is out of range.
    """

    def __init__(
        self,
        colour: Colour = "rgby",
        normalisation: Literal["max_local", "iterative"] = "max_local",
        centres: tuple[int, ...] = (2, 3, 4),
        deltas: tuple[int, ...] = (3, 4),
        blur: float = 0.0,
    ) -> None:
        super().__init__()
        if not centres or not deltas or min(centres) < 0 or min(deltas) < 1:
            raise SpecError(
                f"itti: centres={centres} and deltas={deltas} are not accepted: levels from 0, deltas from 1."
            )
        check_range(0, 12, centres=centres, deltas=deltas)
        check_range(1, 12, centres=len(centres), deltas=len(deltas))
        check_range(0, 1, blur=blur)
        self.colour = COLOURS[colour]
        self.normalise = max_local if normalisation == "max_local" else iterative
        self.pairs = tuple((c, c + d) for c, d in itertools.product(centres, deltas))
        self.size_level = max(centres)
        self.blur = blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1] (Sec. II)."""
        features = self.features(image)
        size = features[self.size_level].shape[-2:]
        contrast = image.new_zeros(len(image), 7, *size)
        for centre, surround in self.pairs:
            around = F.interpolate(features[surround], features[centre].shape[-2:], mode="bilinear")
            difference = self.normalise((features[centre] - around).abs())
            contrast = contrast + filters.resize(difference, size)
        colour = contrast[:, 1:3].sum(1, keepdim=True)
        orientation = self.normalise(contrast[:, 3:]).sum(1, keepdim=True)
        conspicuity = torch.cat([contrast[:, :1], colour, orientation], dim=1)
        saliency = self.normalise(conspicuity).mean(1, keepdim=True)
        return filters.blur(saliency, self.blur * max(size))

    def features(self, image: Tensor) -> dict[int, Tensor]:
        """Return, for each level in use, intensity, two colour and four orientation channels, (N, 7, h, w)."""
        used = {level for pair in self.pairs for level in pair}
        channels = torch.cat([filters.intensity(image), self.colour(image)], dim=1)
        levels = filters.pyramid(channels, max(used))
        return {level: torch.cat([levels[level], filters.gabor_energy(levels[level][:, :1])], dim=1) for level in used}


class Itti(TrainingFreeModel):
    """The saliency map of Itti, Koch and Niebur, at 640 pixels on the longer side; arguments as `IttiNetwork`."""

    network: IttiNetwork
    network_class = IttiNetwork
    no_graph = "its thresholds and local maxima turn a runtime's rounding errors into another map"
    default_preprocess = Preprocess((480, 640), "longest")


def max_local(maps: Tensor) -> Tensor:
    """Promote maps with one peak (Sec. II-A): stretch to [0, 1], times (1 - mean of the other local maxima) squared.

    Local maxima are pixels as large as their eight neighbours and above a tenth of the range.
    """
    scaled = rescale(maps)
    peaks = (scaled == F.max_pool2d(scaled, 3, stride=1, padding=1)) & (scaled > 0.1) & (scaled < 1)
    mean = (scaled * peaks).sum((-2, -1), keepdim=True) / peaks.sum((-2, -1), keepdim=True).clamp_min(1)
    return scaled * (1 - mean) ** 2


def iterative(maps: Tensor, rounds: int = 10) -> Tensor:
    """Let each map compete with itself (Itti and Koch, Vision Research 2000): M = |M + M * DoG - 0.02|+, ten times.

    The difference of Gaussians excites with 0.5^2 over 2 % of the map's width and inhibits with 1.5^2 over 25 %.
    """
    scaled, width = rescale(maps), maps.shape[-1]
    for _ in range(rounds):
        excited, inhibited = (filters.blur(scaled, share * width) for share in (0.02, 0.25))
        scaled = (scaled + 0.5**2 * excited - 1.5**2 * inhibited - 0.02).relu()
    return scaled
