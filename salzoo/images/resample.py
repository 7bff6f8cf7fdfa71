"""Resampling as other libraries do it: the kernels behind the published networks' own pipelines.

Every kind is separable: along an axis each new pixel is a weighted sum of a few old ones, its taps.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.errors import SpecError
from salzoo.images.imresize import imresize

Resample = Literal[
    "antialiased",
    "bilinear",
    "nearest",
    "area",
    "lanczos",
    "cubic",
    "tensorflow1",
    "tensorflow1_area",
    "pillow_nearest",
    "pillow_cubic",
    "pillow_lanczos",
    "matlab",
    "spline",
]
"""How images are resized, as `resize_image` has it."""

AVERAGING = ("antialiased", "area", "tensorflow1_area", "pillow_cubic", "pillow_lanczos", "matlab")
"""Kinds by which each pixel of a much smaller image is a mean over all that it covers; others leave pixels out."""
_CLAMPED = ("cubic", "lanczos", "pillow_lanczos", "tensorflow1_area")


def resize_image(image: Tensor, size: tuple[int, int], resample: Resample = "antialiased") -> Tensor:
    """Bring images to another size; half precision is computed in float32.

    Args:
        image: (N, C, H, W) uint8 from 0 to 255, or float.
        size: (height, width) of the result in pixels.
        resample: `antialiased` is torch's bilinear kernel, widened where it shrinks, as Pillow has it. As OpenCV's
            `resize`, which but for `area` leaves pixels out where it shrinks by more than the kernel: `bilinear`,
            `nearest`, `area` (means over boxes; bilinear where a side grows), `cubic` (a = -0.75) and `lanczos` (eight
            taps). `tensorflow1` is bilinear with `src = i * scale`: TensorFlow 1's `resize_bilinear`;
            `tensorflow1_area` is its `resize_area`, or `resize_bicubic` where a side grows, both with aligned corners
            (MSI-Net). `pillow_nearest` takes the pixel under the new one's centre; `pillow_cubic` (a = -0.5) and
            `pillow_lanczos` (six taps) are widened where they shrink, the former as TensorFlow 2's `bicubic` with
            `antialias`. `matlab` is `imresize`, and `spline` is SciPy's `zoom` with mirrored borders: cubic splines,
            and the corners' centres stay where they are.

    Returns:
        (N, C, *size) in the type of `image`. The kernels of `cubic`, `lanczos`, `pillow_lanczos` and `tensorflow1_area`
        overshoot: the result is clamped to [0, 1] for floats, and to [0, 255] for uint8, as images of bytes are; those
        of `matlab`, `spline` and `pillow_cubic` overshoot, too, but networks saw their floats as they are. uint8 is
        clamped and rounded.

    Raises:
        SpecError: If there is no such kind.
    """
    kind = image.dtype
    if resample == "antialiased":
        whole = image.float() if kind in (torch.float16, torch.bfloat16) else image  # torch has no other on the CPU
        return F.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True).to(kind)
    exact = image if kind == torch.float64 else image.float()
    resized = imresize(exact, size=size) if resample == "matlab" else _separable(exact, size, resample)
    if kind.is_floating_point:
        return (resized.clamp(0, 1) if resample in _CLAMPED else resized).to(kind)
    return resized.round().clamp(0, 255).to(kind)


def _separable(image: Tensor, size: tuple[int, int], kernel: str) -> Tensor:
    """Resize along one axis, then along the other: first that which shrinks most, which leaves less to do."""
    size, lengths = (int(size[0]), int(size[1])), (int(image.shape[-2]), int(image.shape[-1]))  # tensors when traced
    if kernel.endswith("area") and any(new > old for new, old in zip(size, lengths, strict=True)):
        kernel += "_grown"
    for axis in sorted((-2, -1), key=lambda axis: size[axis] / lengths[axis]):
        image = _along(image, axis, *_taps(kernel, lengths[axis], size[axis]))
    return image


def _along(image: Tensor, axis: int, taps: np.ndarray, weights: np.ndarray) -> Tensor:
    """Return the weighted sums of pixels along an axis."""
    places = torch.from_numpy(taps).to(image.device)
    if taps.shape[0] == 1:
        return image.index_select(axis, places[0])
    shape = (-1, 1) if axis == -2 else (-1,)
    factors = torch.from_numpy(weights).to(image.device, image.dtype)
    total = image.index_select(axis, places[0]) * factors[0].view(shape)
    for place, factor in zip(places[1:], factors[1:], strict=True):
        total = total + image.index_select(axis, place) * factor.view(shape)
    return total


@lru_cache(maxsize=64)
def _taps(kernel: str, length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels each new one is made of and their weights, both (taps, new_length); borders are repeated.

    Kept as arrays: tensors made in inference mode would be of no use to a later gradient.
    """
    scale = 1 / (new_length / length)  # in this order: OpenCV rounds so, and `nearest` shows it
    index = np.arange(new_length)
    match kernel:
        case "nearest":
            first, weights = np.floor(index * scale), np.ones((1, new_length))
        case "pillow_nearest":
            steps = np.full(new_length, length / new_length) * np.where(index == 0, 0.5, 1)
            first, weights = np.floor(np.cumsum(steps)), np.ones((1, new_length))  # summed up, as Pillow rounds
        case "area":
            first = np.floor(index * scale)
            pixels = first + np.arange(math.ceil(scale) + 1)[:, None]
            ends = np.minimum((index + 1) * scale, length)
            weights = (np.minimum(pixels + 1, ends) - np.maximum(pixels, index * scale)).clip(0)
        case "area_grown":
            first = np.floor(index * scale)
            share = ((index + 1) - (first + 1) / scale).clip(0)
            weights = np.stack([1 - share % 1, share % 1])
        case "tensorflow1":
            first = np.floor(index * (length / new_length))
            share = index * (length / new_length) - first
            weights = np.stack([1 - share, share])
        case "tensorflow1_area":
            aligned = (length - 1) / max(new_length - 1, 1)
            first = np.floor(index * aligned)
            pixels = first + np.arange(math.ceil(aligned) + 1)[:, None]
            weights = (np.minimum(pixels + 1, (index + 1) * aligned) - np.maximum(pixels, index * aligned)).clip(0)
        case "tensorflow1_area_grown":
            centre = index * ((length - 1) / max(new_length - 1, 1))
            first = np.floor(centre) - 1
            share = np.round(1024 * (centre % 1)) / 1024  # weights are in a table
            weights = _cubic(share + 1 - np.arange(4)[:, None])
        case "bilinear" | "cubic" | "lanczos":
            centre = (index + 0.5) * scale - 0.5
            reach = {"bilinear": 1, "cubic": 2, "lanczos": 4}[kernel]
            first = np.floor(centre) - (reach - 1)
            distance = centre - first - np.arange(2 * reach)[:, None]
            weights = {"bilinear": _linear, "cubic": _cubic, "lanczos": _lanczos}[kernel](distance)
        case "pillow_cubic" | "pillow_lanczos":
            centre, wider = (index + 0.5) * scale, max(scale, 1)
            reach = {"pillow_cubic": 2, "pillow_lanczos": 3}[kernel]
            first = np.floor(centre - reach * wider)
            pixels = first + np.arange(math.ceil(2 * reach * wider) + 1)[:, None]
            distance = (pixels + 0.5 - centre) / wider
            weights = _lanczos(distance, 3) if reach == 3 else _cubic(distance, -0.5)
            weights *= (np.abs(distance) < reach) & (pixels >= 0) & (pixels < length)  # borders are not repeated
        case "spline":
            centre = index * ((length - 1) / max(new_length - 1, 1))
            first = np.floor(centre) - (1 + SPLINE_REACH)
            weights = _spline(centre % 1)
        case _:
            raise SpecError(f"no such kind of resampling: {kernel!r}.")
    taps = (first + np.arange(len(weights))[:, None]).astype(np.int64)
    if kernel == "spline":  # mirrored at the border pixels' centres
        taps = np.abs(taps) % max(2 * length - 2, 1)
        taps = np.minimum(taps, 2 * length - 2 - taps)
    taps = taps.clip(0, length - 1)
    return taps, weights / weights.sum(0)


def _linear(x: np.ndarray) -> np.ndarray:
    weights: np.ndarray = 1 - np.abs(x)
    return weights


def _cubic(x: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' kernel."""
    x = np.abs(x)
    weights: np.ndarray = np.where(x <= 1, ((a + 2) * x - (a + 3)) * x * x + 1, ((x - 5) * x + 8) * a * x - 4 * a)
    return weights


def _lanczos(x: np.ndarray, reach: int = 4) -> np.ndarray:
    """Window of as many zero crossings to each side."""
    weights: np.ndarray = np.sinc(x) * np.sinc(x / reach)
    return weights


SPLINE_REACH = 16
"""Pixels to each side on which a coefficient of a cubic spline depends: farther ones weigh less than 1e-9."""


def _spline(share: np.ndarray) -> np.ndarray:
    """Weights of the pixels around a place between two: four B-splines, whose coefficients are sums over pixels."""
    x = share[None] + np.array([[1], [0], [-1], [-2]])
    x = np.abs(x)
    splines = np.where(x < 1, 2 / 3 - x * x * (1 - x / 2), (2 - x).clip(0) ** 3 / 6)
    pole = math.sqrt(3) - 2
    response = math.sqrt(3) * pole ** np.abs(np.arange(-SPLINE_REACH, SPLINE_REACH + 1))
    weights = np.zeros((4 + 2 * SPLINE_REACH, len(share)))
    for i, spline in enumerate(splines):
        weights[i : i + len(response)] += response[:, None] * spline
    return weights
