"""Itti, Koch and Niebur (TPAMI 1998): centre-surround differences of intensity, colour and orientation.

Differences from the paper:
- The Gabor filters are those of the GBVS toolbox, where the paper has a steerable pyramid; they run on each level.
- Colour opponency RG(c, s) is |RG(c) - RG(s)|; Eq. 2 as printed would respond to uniform colour.
- Images are brought to 640 pixels on the longer side, the size of the paper's, so that its levels mean the same.
- The map is the density of fixations, without the winner-take-all network that visits one place after the other.
- With `motion`, two channels of videos (Itti, Dhavale and Pighin 2003): flicker, and motion by Reichardt detectors one
  pixel wide on each level, of Gabor energies, so that opposite directions have one value. The first frame has neither.
  Both are shares of the visible contrast (`changed_shares`) where the paper has energies, of which a thing that stands
  still has as little as plain ground; their contrast has a scale of its own, and weighs the channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.conspicuity import changed_shares, conspicuity, contrasts_of_shares, features, max_local
from salzoo.components.filters import rescale
from salzoo.components.training_free import TrainingFreeModel
from salzoo.components.video_model import VideoModel
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
        motion: Add flicker and motion, in videos.

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
        motion: bool = False,
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
        self.blur = blur
        self.temporal = motion

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1] (Sec. II)."""
        return self.combined(conspicuity(features(image, self.pairs, self.colour), self.pairs, self.normalise))

    def step(self, image: Tensor, state: dict[int, Tensor] | None) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the saliency of a frame, and its features for the next one."""
        now = features(image, self.pairs, self.colour)
        maps = conspicuity(now, self.pairs, self.normalise)
        if state is None:
            return self.combined(maps), now
        centres = dict.fromkeys(centre for centre, _ in self.pairs)
        shares = {level: changed_shares(*(grey_and_stripes(each[level]) for each in (now, state))) for level in centres}
        found = contrasts_of_shares(shares, self.pairs)
        change = self.normalise(found.flatten(0, 1)).view_as(found).sum(0)
        maps = torch.cat([maps, change[:, :1], self.normalise(change[:, 1:]).sum(1, keepdim=True)], dim=1)
        clear = found.amax((-2, -1)).mean(0)
        weights = torch.cat(
            [torch.ones_like(maps[:, :3, 0, 0]), clear[:, :1], clear[:, 1:].amax(1, keepdim=True)], dim=1
        )
        return self.combined(maps, weights), now

    def combined(self, maps: Tensor, weights: Tensor | None = None) -> Tensor:
        """(N, C, h, w) conspicuity of each channel, and (N, C) weights of them, to saliency, (N, 1, h, w)."""
        competing = self.normalise(maps)
        if weights is not None:
            competing = competing * weights[..., None, None]
        saliency = competing.mean(1, keepdim=True)
        return filters.blur(saliency, self.blur * max(maps.shape[-2:]))


def grey_and_stripes(maps: Tensor) -> Tensor:
    """Return intensity and responses to stripes of one level of `features`."""
    return torch.cat([maps[:, :1], maps[:, 3:]], dim=1)


class Itti(VideoModel, TrainingFreeModel):
    """The saliency map of Itti, Koch and Niebur, at 640 pixels on the longer side; arguments as `IttiNetwork`."""

    network: IttiNetwork
    network_class = IttiNetwork
    no_graph = "its thresholds and local maxima turn a runtime's rounding errors into another map"
    default_preprocess = Preprocess((480, 640), "longest")


def iterative(maps: Tensor, rounds: int = 10) -> Tensor:
    """Let each map compete with itself (Itti and Koch, Vision Research 2000): M = |M + M * DoG - 0.02|+, ten times.

    The difference of Gaussians excites with 0.5^2 over 2 % of the map's width and inhibits with 1.5^2 over 25 %.
    """
    scaled, width = rescale(maps), maps.shape[-1]
    for _ in range(rounds):
        excited, inhibited = (filters.blur(scaled, share * width) for share in (0.02, 0.25))
        scaled = (scaled + 0.5**2 * excited - 1.5**2 * inhibited - 0.02).relu()
    return scaled
