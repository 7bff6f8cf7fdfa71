"""Fixated and other places, and the patches around them, on which patch classifiers train."""

from __future__ import annotations

import torch
from torch import Tensor

from salzoo.errors import DataError


def split_by_height(density: Tensor, fixated: float = 0.9, other: float = 0.1) -> tuple[Tensor, Tensor]:
    """Split pixels into those above a share of the map's maximum (fixated) and those below another share (other).

    The rule of Mr-CNN (Liu et al., CVPR 2015), as its public re-implementations have it.

    Args:
        density: (N, H, W), not negative.
        fixated: Share of the maximum above which a pixel is fixated.
        other: Share of the maximum below which it is not.

    Returns:
        Fixated and other, (N, H, W) bool each.

    Example:
        >>> fixated, other = split_by_height(torch.tensor([[[0.0, 0.5, 1.0]]]))
        >>> fixated.tolist(), other.tolist()
        ([[[False, False, True]]], [[[True, False, False]]])
    """
    highest = density.amax((-2, -1), keepdim=True)
    return density > fixated * highest, density < other * highest


def split_by_rank(density: Tensor, fixated: float = 0.2, other: float = 0.7) -> tuple[Tensor, Tensor]:
    """Split pixels into the highest share of all (fixated) and the lowest share (other).

    The rule of Judd et al. (ICCV 2009), which eDN follows (Vig et al., CVPR 2014).

    Args:
        density: (N, H, W).
        fixated: Share of all pixels, from the highest down.
        other: Share of all pixels, from the lowest up.

    Returns:
        Fixated and other, (N, H, W) bool each.

    Example:
        >>> fixated, other = split_by_rank(torch.arange(10.0).view(1, 2, 5))
        >>> fixated.sum().item(), other.sum().item()
        (2, 7)
    """
    rank = density.flatten(1).argsort(1).argsort(1).view_as(density)
    pixels = rank[0].numel()
    return rank >= pixels - round(fixated * pixels), rank < round(other * pixels)


def draw_places(marked: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw marked pixels of each map, each with the same probability, with replacement.

    Args:
        marked: (N, H, W) bool.
        count: Number of places a map.
        generator: Generator of the random numbers; None takes torch's own.

    Returns:
        (N, count, 2) rows and columns as shares of the height and the width: the centre of pixel (i, j) is at
        ((i + 0.5) / H, (j + 0.5) / W), so that they mean the same place in an image at any size.

    Raises:
        DataError: If a map has no marked pixel.
    """
    height, width = marked.shape[-2:]
    flat = marked.flatten(1)
    if not flat.any(1).all():
        raise DataError("a map has no pixel to draw from: nobody looked at the image, or it is one colour throughout")
    index = torch.multinomial(flat.float(), count, replacement=True, generator=generator)
    rows, columns = index // width, index % width
    return torch.stack([(rows + 0.5) / height, (columns + 0.5) / width], -1)


def patch_corners(places: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Return the first pixel (row, column) of the patch around each place, rounded down; it may lie outside.

    Args:
        places: (..., 2) as `draw_places` returns them.
        size: (height, width) of the image.
        patch: Side of the patch in pixels.
    """
    return torch.floor(places * places.new_tensor(size) - patch / 2 + 1e-4).long()  # 1e-4: 0.29 * 100 is below 29


def cut_patches(images: Tensor, places: Tensor, patch: int) -> Tensor:
    """Cut square patches around places; what lies outside an image repeats its border.

    Args:
        images: (N, C, H, W).
        places: (N, P, 2) as `draw_places` returns them.
        patch: Side of the patches in pixels.

    Returns:
        (N, P, C, patch, patch).
    """
    height, width = images.shape[-2:]
    pixels = patch_corners(places, (height, width), patch)[..., None] + torch.arange(patch, device=images.device)
    rows, columns = pixels[:, :, 0].clamp(0, height - 1), pixels[:, :, 1].clamp(0, width - 1)
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    return images[image, :, rows[..., None], columns[:, :, None]].permute(0, 1, 4, 2, 3)
