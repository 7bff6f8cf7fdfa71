"""Centre-surround contrast and conspicuity maps (Itti, Koch and Niebur, TPAMI 1998), which later systems build on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.components import filters
from salzoo.components.filters import rescale


def max_local(maps: Tensor) -> Tensor:
    """Promote maps with one peak (Sec. II-A): stretch to [0, 1], times (1 - mean of the other local maxima) squared.

    Local maxima are pixels as large as their eight neighbours and above a tenth of the range.
    """
    scaled = rescale(maps)
    peaks = (scaled == F.max_pool2d(scaled, 3, stride=1, padding=1)) & (scaled > 0.1) & (scaled < 1)
    mean = (scaled * peaks).sum((-2, -1), keepdim=True) / peaks.sum((-2, -1), keepdim=True).clamp_min(1)
    return scaled * (1 - mean) ** 2


def conspicuity(
    image: Tensor,
    pairs: Sequence[tuple[int, int]],
    colour: Callable[[Tensor], Tensor] = filters.rgby,
    normalise: Callable[[Tensor], Tensor] = max_local,
) -> Tensor:
    """Return what stands out in intensity, colour and orientation (Sec. II-A and II-B).

    Args:
        image: (N, 3, H, W) RGB in [0, 1].
        pairs: Pyramid levels (centre, surround) that are compared; the image is level 0.
        colour: (N, 3, H, W) to two opponent channels (N, 2, H, W).
        normalise: Makes maps (N, C, h, w) comparable with each other.

    Returns:
        (N, 3, h, w) at the size of the coarsest centre level.
    """
    features = _features(image, {level for pair in pairs for level in pair}, colour)
    size = features[max(centre for centre, _ in pairs)].shape[-2:]
    contrast = image.new_zeros(len(image), 7, *size)
    for centre, surround in pairs:
        around = F.interpolate(features[surround], features[centre].shape[-2:], mode="bilinear")
        difference = normalise((features[centre] - around).abs())
        contrast = contrast + filters.resize(difference, size)
    orientation = normalise(contrast[:, 3:]).sum(1, keepdim=True)
    return torch.cat([contrast[:, :1], contrast[:, 1:3].sum(1, keepdim=True), orientation], dim=1)


def _features(image: Tensor, used: set[int], colour: Callable[[Tensor], Tensor]) -> dict[int, Tensor]:
    """Return, for each level in use, intensity, two colour and four orientation channels, (N, 7, h, w)."""
    channels = torch.cat([filters.intensity(image), colour(image)], dim=1)
    levels = filters.pyramid(channels, max(used))
    return {level: torch.cat([levels[level], filters.gabor_energy(levels[level][:, :1])], dim=1) for level in used}
