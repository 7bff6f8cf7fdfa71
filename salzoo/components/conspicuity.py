"""Centre-surround contrast and conspicuity maps (Itti, Koch and Niebur, TPAMI 1998), which later systems build on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.components import filters
from salzoo.components.filters import rescale

_STEPS = ((1, 0), (1, 1), (0, 1), (-1, 1))
"""(x, y) of one pixel across the stripes that each Gabor filter answers to."""


WINDOW, NEAR, WIDE = 0.04, 0.03, 0.2
"""Standard deviations as shares of the frame's longer side: of the windows in which shares of change are taken, of the
mean that contrast is against, and of what is around plain ground."""
FAINT = 0.1
"""Visible contrast, as a share of the largest one, at which half of a share is that of what is around: a tenth, as the
intensity below which colours do not count (Itti, Koch and Niebur 1998, Sec. II-A)."""


LEAST = 0.05
"""Share of change that counts as none."""


def max_local(maps: Tensor) -> Tensor:
    """Promote maps with one peak (Sec. II-A): stretch to [0, 1], times (1 - mean of the other local maxima) squared.

    Local maxima are pixels as large as their eight neighbours and above a tenth of the range.
    """
    scaled = rescale(maps)
    peaks = (scaled == F.max_pool2d(scaled, 3, stride=1, padding=1)) & (scaled > 0.1) & (scaled < 1)
    mean = (scaled * peaks).sum((-2, -1), keepdim=True) / peaks.sum((-2, -1), keepdim=True).clamp_min(1)
    return scaled * (1 - mean) ** 2


def conspicuity(
    levels: Mapping[int, Tensor],
    pairs: Sequence[tuple[int, int]],
    normalise: Callable[[Tensor], Tensor] = max_local,
) -> Tensor:
    """Return what stands out in intensity, colour and orientation (Sec. II-A and II-B).

    Args:
        levels: `features` of an image.
        pairs: Pyramid levels (centre, surround) that are compared; the image is level 0.
        normalise: Makes maps (N, C, h, w) comparable with each other.

    Returns:
        (N, 3, h, w) at the size of the coarsest centre level.
    """
    contrast = contrasts(levels, pairs, normalise).sum(0)
    orientation = normalise(contrast[:, 3:]).sum(1, keepdim=True)
    return torch.cat([contrast[:, :1], contrast[:, 1:3].sum(1, keepdim=True), orientation], dim=1)


def contrasts(
    levels: Mapping[int, Tensor], pairs: Sequence[tuple[int, int]], normalise: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return centre-surround differences, (pairs, N, C, h, w) at the size of the coarsest centre level.

    Args:
        levels: Feature maps (N, C, h, w) of each pyramid level in `pairs`.
        pairs: As in `conspicuity`, like `normalise`.
        normalise: Of each difference.
    """
    size = levels[max(centre for centre, _ in pairs)].shape[-2:]
    found = []
    for centre, surround in pairs:
        around = F.interpolate(levels[surround], levels[centre].shape[-2:], mode="bilinear")
        found.append(filters.resize(normalise((levels[centre] - around).abs()), size))
    return torch.stack(found)


def features(
    image: Tensor, pairs: Sequence[tuple[int, int]], colour: Callable[[Tensor], Tensor] = filters.rgby
) -> dict[int, Tensor]:
    """Return intensity, two colour and four orientation channels, (N, 7, h, w), of each level in `pairs`."""
    used = {level for pair in pairs for level in pair}
    channels = torch.cat([filters.intensity(image), colour(image)], dim=1)
    levels = filters.pyramid(channels, max(used))
    return {level: torch.cat([levels[level], filters.gabor_energy(levels[level][:, :1])], dim=1) for level in used}


def changes(now: Mapping[int, Tensor], before: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Return flicker and motion along four axes between two frames (Itti, Dhavale and Pighin 2003), (N, 5, h, w).

    Args:
        now: `features` of a frame.
        before: Those of the frame before it.
    """
    return {
        level: torch.cat([(now[level][:, :1] - old[:, :1]).abs(), reichardt(now[level][:, 3:], old[:, 3:])], dim=1)
        for level, old in before.items()
    }


def changed_shares(now: Tensor, before: Tensor) -> Tensor:
    """Return how much of what is visible flickers, and moves along each of four axes, (N, 5, h, w) from 0 to 1.

    An energy of motion says how much contrast moves, and what stands still has as little of it as plain ground. Its
    share of the contrast tells them apart, as colours are told apart by dividing them by intensity: 0 for a thing that
    stands still, and for the ground, which has no contrast to move, the share of what is around it.

    Args:
        now: Intensity of a frame and its responses to stripes, (N, 5, h, w).
        before: Those of the frame before it.
    """
    here, there, side = now[:, :1], before[:, :1], max(now.shape[-2:])
    mean = filters.blur((here + there) / 2, NEAR * side)
    ahead, back = half_detectors(now[:, 1:], before[:, 1:])
    changed = torch.cat([(here - there).abs(), (ahead - back).abs()], dim=1)
    visible = torch.cat([(here - mean).abs() + (there - mean).abs(), ahead + back], dim=1)
    tiny = torch.finfo(visible.dtype).tiny
    usual = filters.blur(changed, WIDE * side) / filters.blur(visible, WIDE * side).clamp_min(tiny)
    amount, total = (filters.blur(maps, WINDOW * side) for maps in (changed, visible))
    little = FAINT * total.amax((-2, -1), keepdim=True)
    return (amount + little * usual) / (total + little).clamp_min(tiny)


def contrasts_of_shares(shares: Mapping[int, Tensor], pairs: Sequence[tuple[int, int]]) -> Tensor:
    """Return how shares differ from those around, |C - S| / (C + S), (pairs, N, C, h, w) from 0 to 1.

    What moves among what stands still, and what stands still among what moves, differ alike; where all moves by about
    the same share, as under a camera that pans, little differs.

    Args:
        shares: Of the centres' levels; a surround is their mean, as other levels have detectors of other speeds.
        pairs: As in `contrasts`, whose size it returns.
    """
    size, found = shares[max(centre for centre, _ in pairs)].shape[-2:], []
    for centre, surround in pairs:
        here = shares[centre]
        around = F.interpolate(filters.pyramid(here, surround - centre)[-1], here.shape[-2:], mode="bilinear")
        found.append(filters.resize((here - around).abs() / (here + around + LEAST), size))
    return torch.stack(found)


def reichardt(now: Tensor, before: Tensor) -> Tensor:
    """Motion across stripes of 0, 45, 90 and 135 degrees, by one pixel a frame; opposite directions have one value.

    Two frames' responses to stripes, (N, 4, h, w), to |now * before, moved - before * now, moved|.
    """
    ahead, back = half_detectors(now, before)
    return (ahead - back).abs()


def half_detectors(now: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two products whose difference `reichardt` is: of motion ahead, and back."""
    moved = []
    for maps in (now, before):
        padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
        height, width = maps.shape[-2:]
        moved.append(
            torch.stack(
                [padded[:, k, 1 - y : 1 - y + height, 1 - x : 1 - x + width] for k, (x, y) in enumerate(_STEPS)], dim=1
            )
        )
    return now * moved[1], before * moved[0]
