"""Independent components of image patches, learned once: what the systems of self-information stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from salzoo._schema import check_range
from salzoo.components.training_config import TrainingConfig
from salzoo.data.patches import cut_patches, draw_places
from salzoo.errors import SpecError

ROUNDS, TOLERANCE = 60, 1e-4
"""Most rounds of `rotate`, and the change of direction (1 - cosine) of every component below which it stops."""


@dataclass(frozen=True)
class PatchTraining(TrainingConfig):
    """Fit of a basis in closed form, to patches of training images; where people looked plays no part.

    Args:
        images: Training images, spread evenly over the datasets.
        patches: Patches of each image, at random places.
    """

    images: int = 250
    patches: int = 120


def blank_filters(count: int, side: int) -> Tensor:
    """Return filters (count, 3, side, side) that are yet to be learned.

    Raises:
        SpecError: If the side is even, so that a patch has no centre, or out of range.
    """
    check_range(3, 63, side=side)
    check_range(1, 3 * side * side, components=count)
    if side % 2 == 0:
        raise SpecError(f"side={side} is not accepted: an odd number of pixels, so that a patch has a centre.")
    return torch.zeros(count, 3, side, side)


def draw_patches(images: Iterable[Tensor], side: int, count: int) -> Tensor:
    """Cut patches at random places (seed 0), none of which crosses the border where the image leaves room.

    Args:
        images: (1, 3, H, W) each.
        side: Side of the patches in pixels, odd.
        count: Patches of each image.

    Returns:
        (images * count, 3 * side * side) float32: channel by channel, row by row.
    """
    generator = torch.Generator().manual_seed(0)

    def each() -> Iterator[Tensor]:
        for image in images:
            inside = torch.zeros(1, *image.shape[-2:], dtype=torch.bool)
            rows, columns = (min(side // 2, (length - 1) // 2) for length in image.shape[-2:])
            inside[:, rows : image.shape[-2] - rows, columns : image.shape[-1] - columns] = True
            places = draw_places(inside, count, generator)
            yield cut_patches(image.float().cpu(), places, side)[0].flatten(1)

    return torch.cat(list(each()))


def independent_components(patches: Tensor, count: int) -> Tensor:
    """Return filters whose responses are uncorrelated, of unit variance and as independent as a rotation makes them.

    Principal components first, those of the largest variance; then symmetric FastICA with the contrast log cosh
    (Hyvaerinen, IEEE Transactions on Neural Networks 1999).

    Args:
        patches: (N, D).
        count: Number of filters, up to D.

    Returns:
        (count, D) float64.

    Raises:
        SpecError: If the patches span fewer dimensions than `count`.
    """
    mean = patches.mean(0)
    parts = [(part - mean).double() for part in torch.split(patches, 4096)]
    covariance = torch.stack([part.T @ part for part in parts]).sum(0) / len(patches)
    variances, axes = torch.linalg.eigh(covariance)
    variances, axes = variances[-count:], axes[:, -count:]
    if len(patches) <= count or not variances[0] > 1e-10 * variances[-1]:
        raise SpecError(
            f"{len(patches)} patches do not span {count} components: give more with --training.images and "
            "--training.patches, or images that are not of one colour."
        )
    whitening = (axes / variances.sqrt()).T
    white = torch.cat([part @ whitening.T for part in parts]).T
    basis: Tensor = rotate(white.float()).double() @ whitening
    return basis


def rotate(white: Tensor) -> Tensor:
    """Return the rotation (C, C) of white signals (C, N) to independent ones, by symmetric FastICA; seed 0."""
    components, samples = white.shape
    generator = torch.Generator().manual_seed(0)
    rotation = nearest_rotation(torch.randn(components, components, generator=generator, dtype=white.dtype))
    for _ in range(ROUNDS):
        squashed = (rotation @ white).tanh()
        slope = 1 - squashed.square().mean(1, keepdim=True)
        turned = nearest_rotation(squashed @ white.T / samples - slope * rotation)
        cosines = (turned * rotation).sum(1).abs()
        rotation = turned
        if float(1 - cosines.min()) < TOLERANCE:
            break
    return rotation


def nearest_rotation(matrix: Tensor) -> Tensor:
    """Return the orthogonal matrix that is nearest to a square one."""
    left, _, right = torch.linalg.svd(matrix)
    nearest: Tensor = left @ right
    return nearest
