"""Places and patches, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from salzoo.data.patches import cut_patches, draw_places, patch_corners, split_by_height, split_by_rank
from salzoo.errors import DataError


def test_split_by_height_is_relative_to_each_maps_own_maximum() -> None:
    density = torch.tensor([[[0.0, 0.5, 0.91, 1.0]], [[0.0, 0.05, 0.5, 10.0]]])
    fixated, other = split_by_height(density)
    assert fixated[:, 0].tolist() == [[False, False, True, True], [False, False, False, True]]
    assert other[:, 0].tolist() == [[True, False, False, False], [True, True, True, False]]


def test_split_by_rank_marks_the_asked_shares_also_with_ties() -> None:
    density = torch.rand(3, 10, 20, generator=torch.Generator().manual_seed(0))
    density[2] = 0.5
    fixated, other = split_by_rank(density, fixated=0.2, other=0.7)
    assert fixated.sum((1, 2)).tolist() == [40, 40, 40]
    assert other.sum((1, 2)).tolist() == [140, 140, 140]
    assert not (fixated & other).any()
    for k in (0, 1):
        assert density[k][fixated[k]].min() > density[k][~fixated[k]].max()
        assert density[k][other[k]].max() < density[k][~other[k]].min()


def test_places_are_drawn_from_marked_pixels_alike() -> None:
    marked = torch.zeros(2, 5, 8, dtype=torch.bool)
    marked[0, 1, 2] = marked[0, 4, 7] = marked[1, 3, 0] = True
    places = draw_places(marked, 4000, torch.Generator().manual_seed(0))
    assert places.shape == (2, 4000, 2)
    assert torch.equal(places[1].unique(dim=0), torch.tensor([[3.5 / 5, 0.5 / 8]]))
    found, counts = places[0].unique(dim=0, return_counts=True)
    torch.testing.assert_close(found, torch.tensor([[1.5 / 5, 2.5 / 8], [4.5 / 5, 7.5 / 8]]))
    assert counts.min() > 1800
    assert torch.equal(places, draw_places(marked, 4000, torch.Generator().manual_seed(0)))


def test_nothing_to_draw_from() -> None:
    marked = torch.ones(2, 3, 3, dtype=torch.bool)
    marked[1] = False
    with pytest.raises(DataError, match="no pixel to draw from"):
        draw_places(marked, 1)


@pytest.mark.parametrize("patch", [1, 4, 5])
def test_patches_are_cut_around_the_centre_of_their_pixel(patch: int) -> None:
    image = torch.arange(2 * 3 * 9 * 12, dtype=torch.float32).view(2, 3, 9, 12)
    cells = [(0, 0), (4, 7), (8, 11)]
    places = torch.tensor([[((i + 0.5) / 9, (j + 0.5) / 12) for i, j in cells]] * 2)
    patches = cut_patches(image, places, patch)
    assert patches.shape == (2, 3, 3, patch, patch)
    around = pad(image, (6, 6, 6, 6), mode="replicate")
    for p, (i, j) in enumerate(cells):
        top, left = i + 6 - patch // 2, j + 6 - patch // 2  # an even patch has its middle before the pixel's own centre
        assert torch.equal(patches[:, p], around[..., top : top + patch, left : left + patch])


def test_the_same_place_in_images_of_other_sizes() -> None:
    """A ramp over the image has the value of the place in the middle of its patch, at any size."""
    place = torch.tensor([[[0.31, 0.62]]])
    for size in ((400, 400), (250, 250), (150, 600)):
        ramp = ((torch.arange(size[1]) + 0.5) / size[1]).expand(1, 1, *size)
        assert cut_patches(ramp, place, 42).mean().item() == pytest.approx(0.62, abs=1 / size[1])


def test_corners_do_not_depend_on_the_last_bit() -> None:
    """(i + 0.5) / n * side in single precision falls on either side of a whole number."""
    grid = (torch.arange(50) + 0.5) / 50
    for side in (400, 250, 150):
        exact = [int(np.floor((2 * i + 1) * side / 100 - 21)) for i in range(50)]
        assert patch_corners(torch.stack([grid, grid], -1), (side, side), 42)[:, 0].tolist() == exact
