"""Boolean Map Saliency (Zhang and Sclaroff, ICCV 2013; TPAMI 2016): surrounded regions attract attention.

Each channel is cut at many thresholds; a region of a Boolean map that does not touch the image's border is
surrounded. Here all thresholds are cut at once, exactly: a pixel of level l is in a surrounded region of {level > t} if
t < l and every path from it to the border falls to t or below, that is, if `openness` <= t < l. One reconstruction
gives the openness for all t; the Boolean maps are then bits, which are dilated, counted and summed a byte at a time.

Differences from the authors' program:
- The image is converted as RGB (the program hands BGR pixels to a conversion from RGB).
- Principal axes, whose signs are arbitrary, point to where their largest component is positive.
- A channel that is constant but for rounding gives no Boolean map, instead of rounding errors stretched to 0 to 255.
- The last Gaussian is not cut off at two standard deviations, and is normalised at the borders.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.training_free import TrainingFreeModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

REGULARISER = 50.0  # added to the variances of channels in 0 to 255 before whitening
MINIMUM_RANGE = 0.01  # of a channel before it is stretched to 0 to 255; below there is nothing but rounding


class BMSNetwork(nn.Module):
    """Mean of the surrounded regions at all thresholds.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W).

    Args:
        colour: Channels that are cut at thresholds: CIE Lab or RGB.
        whitening: Whether the channels are made uncorrelated first.
        step: Distance between thresholds, for channels stretched to 0 to 255.
        dilation: Widths in pixels, odd, of the dilation of each surrounded region and of that of the mean map.
        blur: Standard deviation of the last Gaussian in pixels.

    Raises:
        SpecError: If a width is even or not positive, or a step is not from 1 to 255.
    """

    def __init__(
        self,
        colour: Literal["lab", "rgb"] = "lab",
        whitening: bool = True,
        step: int = 8,
        dilation: tuple[int, int] = (7, 9),
        blur: float = 9.0,
    ) -> None:
        super().__init__()
        check_range(1, 255, dilation=dilation)
        check_range(0, 1000, blur=blur)
        if not 1 <= step <= 255 or any(width < 1 or width % 2 == 0 for width in dilation):
            raise SpecError(
                f"bms: step={step} and dilation={dilation} are not accepted: a step from 1 to 255, odd widths."
            )
        self.colour = colour
        self.whitening = whitening
        self.step = step
        self.dilation = dilation
        self.blur = blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1]."""
        # What numpy computes would be a constant of the trace.
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            raise SpecError("bms floods regions in numpy, which torch.jit.trace cannot follow: call the model itself.")
        mean = torch.stack([self.attention(channels) for channels in self.channels(image)])[:, None]
        scaled = (filters.rescale(mean) * 255).round()
        width = self.dilation[1]
        return filters.blur(F.max_pool2d(scaled, width, stride=1, padding=width // 2), self.blur)

    def channels(self, image: Tensor) -> Tensor:
        """Return the channels, whole numbers from 0 to 255, (N, 3, H, W)."""
        colours = image * 255
        if self.colour == "lab":
            offset = image.new_tensor([0, 128, 128])[:, None, None]
            scale = image.new_tensor([255 / 100, 1, 1])[:, None, None]
            colours = filters.lab(image) * scale + offset
        colours = colours.round().clamp(0, 255)
        if self.whitening:
            colours = torch.stack([whiten(each) for each in colours])
        low, high = colours.amin((-2, -1), keepdim=True), colours.amax((-2, -1), keepdim=True)
        stretched = 255 * (colours - low) / (high - low).clamp_min(MINIMUM_RANGE)
        return median3(torch.where(high - low > MINIMUM_RANGE, stretched, 0).round())

    def attention(self, channels: Tensor) -> Tensor:
        """Sum the attention maps of one image, each divided by its norm: (3, H, W) channels to (H, W)."""
        count = math.ceil(255 / self.step)
        levels = ((channels - channels.amin((-2, -1), keepdim=True)) / self.step).ceil()  # thresholds below each pixel
        both = torch.cat([levels, count - levels]).to(torch.uint8)  # Boolean maps and their complements
        below = torch.arange(8 * math.ceil(count / 8)) < torch.arange(count + 1)[:, None]  # (level, threshold)
        tables = (below.view(count + 1, -1, 8) * 2 ** torch.arange(8)).sum(2).T.to(both)  # level to bytes
        inside, outside = both.long(), openness(both).long()
        surrounded = torch.cat([table.take(inside) ^ table.take(outside) for table in tables])
        return sum_of_normalised(dilate(surrounded, self.dilation[0]))


class BMS(TrainingFreeModel):
    """Boolean Map Saliency, at 400 pixels on the longer side; arguments as `BMSNetwork`."""

    network: BMSNetwork
    network_class = BMSNetwork
    default_preprocess = Preprocess((300, 400), "longest")
    differentiable = False  # Boolean maps
    no_graph = "it floods regions in numpy"


def whiten(channels: Tensor) -> Tensor:
    """(3, H, W) channels to their projections on the principal axes, each divided by its regularised deviation."""
    pixels = channels.flatten(1).double()
    covariance = torch.cov(pixels, correction=0) + REGULARISER * torch.eye(3).to(pixels)
    variances, axes = torch.linalg.eigh(covariance)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    projected: Tensor = (axes / variances.sqrt()).T @ pixels
    return projected.view_as(channels).to(channels)


def median3(maps: Tensor) -> Tensor:
    """Median of 3 x 3 pixels, borders replicated. (N, C, H, W) to the same."""
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    a, b, c = padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :]
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    lows, middles, highs = torch.minimum(low, c), median(a, b, c), torch.maximum(high, c)
    return median(
        torch.maximum(torch.maximum(lows[..., :-2], lows[..., 1:-1]), lows[..., 2:]),
        median(middles[..., :-2], middles[..., 1:-1], middles[..., 2:]),
        torch.minimum(torch.minimum(highs[..., :-2], highs[..., 1:-1]), highs[..., 2:]),
    )


def median(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Median of three, element by element."""
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it would trace numpy, and fail in inference mode
def openness(levels: Tensor) -> Tensor:
    """For each pixel, the maximum over all 8-connected paths to the border of the lowest level on the path.

    The geodesic reconstruction of a map from its border, by sweeps up and down, then left and right, until nothing
    changes; in numpy, whose calls on single rows cost less than torch's.

    Args:
        levels: (C, H, W) uint8.

    Returns:
        (C, H, W) uint8, at most `levels`.
    """
    margin = ((0, 0), (1, 1), (1, 1))  # zeros, which separate the maps that a swept line runs through
    walls = np.pad(levels.cpu().numpy(), margin)
    reached = walls.copy()
    reached[:, 2:-2, 2:-2] = 0
    rows, columns = _lines(walls, 1), _lines(walls, 2)
    while True:
        before = reached.copy()
        for axis, lines in ((1, rows), (2, columns)):
            swept = _lines(reached, axis)
            _sweep(swept.reshape(len(swept), -1), lines.reshape(len(lines), -1))
            reached = np.moveaxis(swept, 0, axis)
        if np.array_equal(before, reached):
            return torch.from_numpy(before[:, 1:-1, 1:-1]).to(levels.device)


def _lines(maps: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.moveaxis(maps, axis, 0))


def _sweep(reached: NDArray[np.uint8], walls: NDArray[np.uint8]) -> None:
    """Pass from each line to the next, down and up; `reached` (lines, length) changes in place, never above `walls`."""
    best = np.empty_like(walls[0, 1:-1])
    for lines in (range(1, len(walls) - 1), range(len(walls) - 2, 0, -1)):
        for previous, line in itertools.pairwise(lines):
            there, here = reached[previous], reached[line, 1:-1]
            np.maximum(there[:-2], there[2:], out=best)
            np.maximum(best, there[1:-1], out=best)
            np.maximum(best, here, out=best)
            np.minimum(best, walls[line, 1:-1], out=here)


def dilate(bits: Tensor, width: int) -> Tensor:
    """Grow each bit's region by a square of `width` pixels. (..., H, W) uint8 to the same."""
    margin = width // 2
    height, length = bits.shape[-2:]
    padded = F.pad(bits, (margin,) * 4)
    down = functools.reduce(torch.bitwise_or, [padded[..., i : i + height, :] for i in range(width)])
    return functools.reduce(torch.bitwise_or, [down[..., i : i + length] for i in range(width)])


def sum_of_normalised(bits: Tensor) -> Tensor:
    """Divide each bit's map by its L2 norm and add them all. (C, H, W) bytes to (H, W)."""
    bit_of_byte = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).to(bits.device, torch.float32)
    total = torch.zeros(bits.shape[1:], device=bits.device)
    for eight in bits.long():
        areas = torch.bincount(eight.flatten(), minlength=256).float() @ bit_of_byte
        weights = torch.where(areas > 0, areas.clamp_min(1).rsqrt(), 0)
        total += (bit_of_byte @ weights).take(eight)
    return total
