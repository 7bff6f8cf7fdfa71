"""Operations as Keras 1 had them on Theano, where today's frameworks have others: ML-Net's and SAM's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShiftedMaxPool(nn.Module):
    """2 x 2 maximum over each pixel and its neighbours above and to the left: Keras 1's "same" padding on Theano.

    Shape: (N, C, H, W), not negative, to (N, C, H / stride, W / stride), rounded up.

    Args:
        stride: 1 or 2.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Pool."""
        return F.max_pool2d(F.pad(maps, (1, 0, 1, 0)), 2, self.stride)


def upsample(maps: Tensor, ratio: int) -> Tensor:
    """Bilinear up-sampling of Theano: pixel i of the result lies at (i - (ratio - 1) // 2) / ratio of the map.

    The border is repeated. For odd ratios that is `align_corners=False`; for even ones the map lies half a pixel of the
    result farther down and to the right.

    Args:
        maps: (N, C, H, W).
        ratio: How many times as high and as wide the result is, at least 1.

    Returns:
        (N, C, ratio * H, ratio * W).
    """
    return _upsample_rows(_upsample_rows(maps, ratio).mT, ratio).mT


def _upsample_rows(maps: Tensor, ratio: int) -> Tensor:
    rows = maps.shape[-2]
    place = (torch.arange(rows * ratio, device=maps.device) - (ratio - 1) // 2) / ratio
    place = place.clamp(0, rows - 1)
    above = place.floor().long()
    below = (above + 1).clamp_max(rows - 1)
    return torch.lerp(maps[..., above, :], maps[..., below, :], (place - above).to(maps.dtype)[:, None])
