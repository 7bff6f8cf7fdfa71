"""What read-outs of one image share in the DeepGazes: the first layer, sizes, the centre bias, and mixtures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo.components.layers import CentreBiasTemplate, Standardise, same_size
from salzoo.images.geometry import Size


@dataclass(frozen=True)
class Frame:
    """What all read-outs of an image share.

    Args:
        readout: (height, width) of the map at which the read-outs' layers work.
        size: (height, width) of the map at which blur and centre bias work.
        whole: (height, width) to which that map is brought at the end by the nearest pixel; None: it stays.
        prior: (1, 1, *size) log density of the template; None without one.
    """

    readout: tuple[int, int]
    size: tuple[int, int]
    whole: tuple[int, int] | None
    prior: Tensor | None


def frame_of(
    size: Size, readout_stride: int, stride: int, template: CentreBiasTemplate | None, *, halved: bool
) -> Frame:
    """Return the sizes at which an image is read, and the template at them.

    Args:
        size: (height, width) of the image, before it is halved.
        readout_stride: Stride of the map at which the read-outs' layers work.
        stride: Stride of the map at which blur and centre bias work.
        template: Centre bias of all read-outs.
        halved: Whether the network sees every other pixel, to which the strides then refer.
    """
    height, width = size
    coarse, fine = ((2 if halved else 1) * step for step in (readout_stride, stride))
    return Frame(
        readout=(-(-height // coarse), -(-width // coarse)),  # rounded up
        size=(height // fine, width // fine),
        whole=(height, width) if halved else None,
        prior=template((height, width), fine) if template else None,
    )


def halve(image: Tensor) -> Tensor:
    """Return every other pixel of (N, 3, H, W)."""
    return F.interpolate(image, scale_factor=0.5, recompute_scale_factor=False)


def read_standardised(
    maps: Sequence[Tensor],
    standardise: Iterable[nn.Module],
    weight: Tensor,
    bias: Tensor,
    size: tuple[int, int],
    resize: Literal["nearest", "bilinear"] = "bilinear",
) -> Tensor:
    """Standardise maps, bring them to `size`, and apply a 1x1 convolution to their concatenation.

    All of this is linear, so no map is standardised, grown or copied by itself: the statistics go into the weights, and
    as a 1x1 convolution and up-sampling commute, maps are read where they are small, and those of one size added up
    before they grow.

    Args:
        maps: (N, channels[i], any, any).
        standardise: The `Standardise` of each.
        weight: (K, sum(channels), 1, 1).
        bias: (K,).
        size: (height, width) of the result.
        resize: How maps grow.

    Returns:
        (N, K, *size).
    """
    known = cast("list[Standardise]", list(standardise))
    shares = torch.split(weight, [len(each.mean) for each in known], dim=1)
    read: list[Tensor] = []
    for m, each, share in zip(maps, known, shares, strict=True):
        one: Tensor = each(m, share)
        alike = [i for i, other in enumerate(read) if same_size(other, one)]
        if alike:
            read[alike[0]] = read[alike[0]] + one
        else:
            read.append(one)
    grown = [F.interpolate(one, size, mode=resize) for one in read]
    return sum(grown[1:], grown[0]) + bias[:, None, None]


def normalised(log_densities: Tensor, whole: tuple[int, int] | None = None) -> Tensor:
    """Make each of (N, K, H, W) log densities sum to 1, or do so once it is brought to `whole` by the nearest pixel."""
    summed = log_densities if whole is None else F.interpolate(log_densities, whole)
    return log_densities - summed.logsumexp((-2, -1), keepdim=True)


def mixture(log_densities: Tensor) -> Tensor:
    """Average (N, K, H, W) densities to (N, 1, H, W)."""
    return log_densities.logsumexp(1, keepdim=True) - math.log(log_densities.shape[1])
