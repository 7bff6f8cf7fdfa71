"""Scene500: fixations as one matrix an image and observer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from salzoo.data._matlab import load_mat
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.one_file import OneFileDataset
from salzoo.errors import DataError


class Scene500(OneFileDataset):
    """Scene500: 500 images of scenes, of mixed sizes; 10 to 12 observers (Liang et al. 2015).

    `data/stimuli/%03d.jpg` and `data/tidy/fixations.mat`, a 500 x 12 cell array of N x 4 matrices
    [row, column, onset, duration], the times in seconds; row i belongs to image number i, from 1.

    Row comes before column: the other way round, 7 % of the points would lie outside their images instead of none.
    Coordinates are averages of positions on the screen, scaled to the image, and fill (0, H) x (0, W). So they count
    from the corner of the first pixel, and half a pixel is subtracted: with 0 or 1 instead, 8 or 2 of 35,090 points
    would lie outside.
    """

    name = "scene500"
    annotations = "data/tidy/fixations.mat"
    source = "Scene500 is the data of Liang et al. 2015 on the structure of scenes"

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order: always."""
        return True

    @staticmethod
    def read_annotations(path: Path) -> dict[str, Fixations]:
        """Read the cell array, one row an image and one column an observer."""
        cells = load_mat(path, "fixations", simplify=False)
        if cells.dtype != object or cells.ndim != 2:
            kind = f"{cells.dtype} {cells.shape}"
            raise DataError(f"{path}: fixations must be a cell array of images x observers, got {kind}")
        found = {}
        for number, row in enumerate(cells, start=1):
            try:
                found[f"{number:03d}.jpg"] = join([_person(cell) for cell in row])
            except (TypeError, ValueError) as error:
                expected = "N x 4 matrices [row, column, onset, duration]"
                raise DataError(f"{path}: row {number} does not hold {expected}: {error}") from error
        return found


def _person(cell: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return 0-based x, y, duration and onset in ms; the cell of an observer who did not see the image is empty."""
    matrix = np.asarray(cell, dtype=np.float64)
    row, column, onset, duration = (matrix if matrix.size else np.empty((0, 4))).T
    return column - 0.5, row - 0.5, duration * 1000, onset * 1000
