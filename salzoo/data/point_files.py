"""Fixations in one file an image, as they are passed on: a matrix of MATLAB or NumPy, or an image of points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from salzoo.data._matrix import ARRAYS, read_matrix
from salzoo.data.base import FixationDataset, open_image
from salzoo.data.count_maps import is_smooth, points_of
from salzoo.data.fixations import Fixations
from salzoo.errors import DataError, DatasetNotFoundError
from salzoo.images import formats
from salzoo.images.geometry import Size
from salzoo.images.grey import grey_values

SUFFIXES = (*ARRAYS, ".png", *sorted(formats.SUFFIXES - {".png"}))
"""In the order of preference, if an image has several."""
MATRICES = ("fixLocs", "fixations", "I")
"""What the matrix is called in CAT2000, in the benchmark's example, and in the release for LSUN 2015."""

_LOSSY = formats.SUFFIXES - {".png", ".bmp", ".gif", ".tif", ".tiff"}


def read_points(path: Path, size: Size) -> Fixations:
    """Return the fixations in a file, all of observer 0; see `points_of`.

    In a format with losses, as JPEG, pixels of 128 or more are points.

    Args:
        path: Of one of `SUFFIXES`.
        size: (height, width) of the image.

    Raises:
        DataError: If it cannot be read, holds no such matrix or several, or has another size.
        ImageError: If it is no image, or one of colours.
    """
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return points_of(read_matrix(path, MATRICES), size, str(path))
    grey = open_image(path, lambda image: grey_values(image, str(path)))
    if suffix not in _LOSSY:
        return points_of(grey, size, str(path))
    if is_smooth(grey):
        raise DataError(f"{path} is a blurred map, not one of points; give the folder of the dataset's fixPts")
    return points_of(grey >= 128, size, str(path))


def find_files(stems: Iterable[str], folder: Path, whose: FixationDataset, usual: str = ".mat") -> dict[str, Path]:
    """Return the file of each stem, those of `SUFFIXES` in either case.

    Args:
        stems: File names without suffix.
        folder: Where they are.
        whose: The dataset, for the error texts.
        usual: Suffix of the original download.

    Raises:
        DatasetNotFoundError: If some are missing; the message counts them, and names what is there instead.
    """
    stems = list(stems)
    listing = formats.list_files(folder, SUFFIXES) if folder.is_dir() else formats.Listing((), ())
    ranked = sorted(listing.found, key=lambda path: SUFFIXES.index(path.suffix.lower()), reverse=True)
    found = {path.stem: path for path in ranked}  # the last one, of the most preferred form, stays
    if absent := [stem for stem in stems if stem not in found]:
        forms = f"{', '.join(SUFFIXES[:4])} or other images"
        others = formats.name_some(listing.left_out)
        hint = f" ({others} there are of no form that is read, which are {forms})" if others else ""
        missing = f"{len(absent)} of {len(stems)} files, such as {absent[0]}{usual}, missing in {folder}{hint}"
        raise DatasetNotFoundError(f"{whose.name}: {missing}. {whose.source}")
    return {stem: found[stem] for stem in stems}
