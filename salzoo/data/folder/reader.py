"""A user's own study: finds images and fixations in a folder, and turns the rows of a file into checked points."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from salzoo._schema import from_mapping
from salzoo.data.base import open_image
from salzoo.data.fixations import Fixations, Floats
from salzoo.data.folder import checks
from salzoo.data.folder.tables import ARRAYS, NEEDED, OPTIONAL, TABLES, Rows, join, read_arrays, read_table
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError
from salzoo.images.geometry import Size
from salzoo.images.read import IMAGE_SUFFIXES

OPTIONS = "study.json"
IMAGE_FOLDERS = ("images", "stimuli", "pictures")


@dataclass(frozen=True)
class StudyOptions:
    """How to read a study: what `study.json` holds, so that every command reads it alike.

    Args:
        fixations: File or folder with the fixations, relative to the study; None looks for it.
        columns: Header names of a table, or variables of .mat and .npz, by what they mean: image, x, y, observer,
            duration, timestamp; fixations for a matrix of counts.
        units: Units of x and y; `fractions` of the image run from 0, its left or upper border, to 1. None is `pixels`,
            and an error if they look like fractions.
        origin: What the centre of the first pixel is called: 1 in MATLAB. None is 0, and an error if they look 1-based.
        skip_first: Fixations of each observer left out at the beginning of each image.
        first: How many of the others are kept; None for all.
        weight: What a fixation weighs in the density.
        sigma_px: Blur of the density in pixels of the images.
        pixels_per_degree: Blurs the density by one degree of visual angle instead.
    """

    fixations: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    units: str | None = None
    origin: int | None = None
    skip_first: int = 0
    first: int | None = None
    weight: Literal["count", "duration"] = "count"
    sigma_px: float | None = None
    pixels_per_degree: float | None = None

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        if self.skip_first < 0 or (self.first is not None and self.first < 1):
            raise SpecError(f"skip_first is at least 0 and first at least 1, got {self.skip_first} and {self.first}")
        if self.units not in (None, "pixels", "fractions") or self.origin not in (None, 0, 1):
            raise SpecError(
                f"units is 'pixels' or 'fractions' and origin 0 or 1, got units={self.units!r}, origin={self.origin!r}"
            )
        known = (*NEEDED, *OPTIONAL, "fixations")
        if unknown := sorted(set(self.columns) - set(known)):
            raise SpecError(f"columns: unknown {unknown[0]!r}; accepted: {', '.join(known)}")

    def __hash__(self) -> int:
        """Let what was read be kept by its options."""
        return hash(repr(self))


@dataclass(frozen=True)
class Study:
    """What a folder holds.

    Args:
        image_folder: The folder of the images.
        source: The file or folder of the fixations, or of the maps.
        sizes: (height, width) by file name, of the images with fixations or a map.
        points: Fixations by file name: 0-based, also those outside the frame; empty if there are only maps.
        observers: Names of the observers, in the order of their numbers.
        dropped: Number of rows that were left out, by reason.
        unseen: Images without any row.
        repeated: Number of rows that repeat another, and are kept because without times they may be two fixations.
    """

    image_folder: Path
    source: Path
    sizes: dict[str, Size]
    points: dict[str, Fixations]
    observers: tuple[str, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    repeated: int = 0

    @property
    def has_points(self) -> bool:
        """Whether there are fixations, and not only maps."""
        return bool(self.points)


def read_options(root: Path, given: Mapping[str, object]) -> StudyOptions:
    """Return the options of `study.json`, if there is one, replaced by those given.

    Raises:
        SpecError: If one is unknown, or of the wrong type.
    """
    path, stored = root / OPTIONS, {}
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SpecError(f"{path} is not valid JSON: {error}") from error
    options = from_mapping(StudyOptions, stored, str(path))
    chosen = {name: value for name, value in given.items() if value is not None}
    if chosen.keys() & {"sigma_px", "pixels_per_degree"}:
        options = replace(options, sigma_px=None, pixels_per_degree=None)
    return from_mapping(StudyOptions, vars(options) | chosen, "FixationFolder")


def find_image_folder(root: Path) -> Path:
    """Return the folder of the images: `images/`, `stimuli/` or `pictures/`, else the study's own.

    Raises:
        DatasetNotFoundError: If none of them holds an image.
        SpecError: If several do.
    """
    inner = [root / name for name in IMAGE_FOLDERS if _list(root / name)]
    if len(inner) > 1:
        raise SpecError(f"{root} has images in {' and in '.join(folder.name for folder in inner)}: keep one of them")
    if not inner and not _list(root):
        names = ", ".join(IMAGE_FOLDERS)
        raise DatasetNotFoundError(f"no images in {root}, nor in its folders {names}; subfolders do not count")
    return inner[0] if inner else root


def find_source(root: Path, chosen: str | None) -> Path:
    """Return the file or folder of the fixations: a table, else `fixations/`, else `maps/`.

    Raises:
        DatasetNotFoundError: If there is none.
        SpecError: If there are several tables, or a table and `fixations/`.
    """
    if chosen is not None:
        if not (root / chosen).exists():
            raise DatasetNotFoundError(f"there is no {root / chosen}, which the option fixations names")
        return root / chosen
    found = sorted(path for path in root.iterdir() if path.suffix.lower() in TABLES)
    found += [root / "fixations"] if (root / "fixations").is_dir() else []
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise SpecError(f'{root} has {names}: say which holds the fixations with "fixations" in {OPTIONS}')
    if not found and not (root / "maps").is_dir():
        raise DatasetNotFoundError(
            f"no fixations in {root}: a table ({', '.join(TABLES)}) with columns {', '.join(NEEDED)}, a folder "
            "fixations/ with one .mat or .npz an image, or a folder maps/ with one grey map an image"
        )
    return found[0] if found else root / "maps"


def read_study(root: Path, options: StudyOptions) -> Study:
    """Read all fixations of a study, and the sizes of its images.

    Raises:
        DatasetNotFoundError: If images or fixations are missing.
        DataError: If the file is damaged, names an image that is not there, or has doubtful coordinates.
        SpecError: If an option is wrong.
    """
    folder, source = find_image_folder(root), find_source(root, options.fixations)
    stems = _stems(folder)
    rows = _read_rows(source, options, stems, folder)
    if rows is None:
        mapped = sorted({path.stem for path in source.iterdir()} & set(stems))
        if not mapped:
            raise DatasetNotFoundError(f"no file in {source} is called like an image in {folder}")
        seen = [stems[stem] for stem in mapped]
        unseen = tuple(sorted(set(stems.values()) - set(seen)))
        return Study(folder, source, {name: _size(folder / name) for name in sorted(seen)}, {}, unseen=unseen)
    names, image = _resolve(rows, stems, source, folder)
    sizes = {name: _size(folder / name) for name in names}
    frame = np.array([sizes[name] for name in names], dtype=np.float64)[image]
    x, y = _convert(rows, frame[:, 1], frame[:, 0], options, source)
    people, observer = np.unique(rows.observer, return_inverse=True) if rows.observer is not None else ((), None)
    numbers = np.zeros(len(x), dtype=np.int64) if observer is None else observer.astype(np.int64)
    keep, dropped, repeated = _sift(image, x, y, numbers, rows)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((order if rows.timestamp is None else rows.timestamp[order], image[order]))]
    groups = np.split(order, np.searchsorted(image[order], np.arange(1, len(names))))
    duration = rows.duration
    points = {
        name: Fixations(x[own], y[own], numbers[own], None if duration is None else duration[own])
        for name, own in zip(names, groups, strict=True)
    }
    unseen = tuple(sorted(set(stems.values()) - set(names)))
    return Study(folder, source, sizes, points, tuple(map(str, people)), dropped, unseen, repeated)


def _read_rows(source: Path, options: StudyOptions, stems: Mapping[str, str], folder: Path) -> Rows | None:
    """Return all rows, or None for a folder of maps."""
    if source.is_file():
        return read_table(source, options.columns)
    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in ARRAYS)
    if source.name == "maps":
        return None
    if not paths:
        raise DatasetNotFoundError(f"{source} holds no .mat and no .npz; maps belong in a folder maps")
    if strange := [path.name for path in paths if path.stem not in stems]:
        raise DataError(
            f"{len(strange)} of {len(paths)} files in {source} belong to no image, the first is {strange[0]}"
        )
    if len({path.stem for path in paths}) < len(paths):
        raise DataError(f"{source} has a .mat and a .npz of the same image")
    each = ((path, stems[path.stem]) for path in paths)
    origin = options.origin or 0
    return join([read_arrays(path, options.columns, name, _size(folder / name), origin) for path, name in each])


def _resolve(rows: Rows, stems: Mapping[str, str], source: Path, folder: Path) -> tuple[list[str], NDArray[np.int64]]:
    """Return the sorted file names of the images that rows name, and for each row the index of its image in them.

    A row may name its image with folders before it, and with or without its suffix.
    """
    labels, label = np.unique(rows.image, return_inverse=True)
    files = set(stems.values())
    found = {}
    for text in map(str, labels):
        name = text.replace("\\", "/").rpartition("/")[2]
        found[text] = name if name in files else stems.get(name)
    if strange := [text for text, name in found.items() if name is None]:
        raise DataError(
            f"{source} has rows for {len(strange)} images that are not in {folder}, the first is {strange[0]!r}: "
            "add the images, or take out their rows"
        )
    names = sorted({name for name in found.values() if name is not None})
    if not names:
        raise DataError(f"{source} has no rows")
    place = {name: i for i, name in enumerate(names)}
    return names, np.array([place[str(found[str(text)])] for text in labels], dtype=np.int64)[label]


def _convert(rows: Rows, width: Floats, height: Floats, options: StudyOptions, source: Path) -> tuple[Floats, Floats]:
    """Return x and y in 0-based pixels, or raise if the numbers cannot be what the options say."""
    x, y = rows.x, rows.y
    if options.units == "fractions":
        if np.nanmax(np.stack([x, y]), initial=0) > 2:
            high = max(np.nanmax(x), np.nanmax(y))
            raise DataError(f"{source}: units are fractions of the image, but coordinates go up to {high:g}")
        return x * width - 0.5, y * height - 0.5
    if options.units is None and checks.fractions(x, y, width, height):
        raise DataError(f'{source}: all x and y lie in [0, 1]: say units="fractions", or "pixels" if that is right')
    if options.origin is None and checks.one_based(x, y, width, height):
        raise DataError(
            f"{source}: x and y are whole numbers from 1 up to an image's width or height, as if the first pixel were "
            "1: say origin=1, or origin=0 if it is not"
        )
    x, y = x - (options.origin or 0), y - (options.origin or 0)
    outside = float(checks.outside(x, y, width, height).mean())
    if checks.swapped(x, y, width, height):
        raise DataError(
            f"{source}: {outside:.0%} of the points lie outside their images, and far fewer if x and y are swapped:"
            f" say columns={{'x': {options.columns.get('y', 'y')!r}, 'y': {options.columns.get('x', 'x')!r}}}"
        )
    if outside > 0.5:
        raise DataError(
            f"{source}: {outside:.0%} of the points lie outside their images; x and y must count from the image's "
            "upper left corner, in its own pixels: those of the screen must be shifted and scaled first"
        )
    return x, y


def _sift(
    image: NDArray[np.int64], x: Floats, y: Floats, observer: NDArray[np.int64], rows: Rows
) -> tuple[NDArray[np.bool_], dict[str, int], int]:
    """Return a mask of the rows to keep, how many are dropped by reason, and how many repeated ones are kept."""
    unknown = np.isnan(x) | np.isnan(y)
    blink = np.zeros_like(unknown) if rows.duration is None else ~unknown & ~(rows.duration > 0)
    times = [column for column in (rows.duration, rows.timestamp) if column is not None]
    _, first = np.unique(np.stack([image, observer, x, y, *times]), axis=1, return_index=True)
    again = np.ones(len(x), dtype=np.bool_)
    again[first] = False
    again &= ~unknown & ~blink
    dropped = {"no coordinates (NaN)": int(unknown.sum()), "no duration (blink)": int(blink.sum())}
    if not times:  # two looks at one pixel are no error
        return ~unknown & ~blink, dropped, int(again.sum())
    return ~(unknown | blink | again), dropped | {"duplicate": int(again.sum())}, 0


def _list(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES) if folder.is_dir() else []


def _stems(folder: Path) -> dict[str, str]:
    """Return the images' file names by their stems."""
    found: dict[str, str] = {}
    for path in _list(folder):
        if path.stem in found:
            raise DataError(f"{folder} has {found[path.stem]} and {path.name}: two images must differ in their stem")
        found[path.stem] = path.name
    return found


def _size(path: Path) -> Size:
    """Return the image's (height, width) from its header."""
    orientation, size = open_image(
        path, lambda image: (image.getexif().get(ExifTags.Base.Orientation, 1), (image.height, image.width))
    )
    if orientation != 1:
        raise ImageError(
            f"{path} has to be rotated before it is shown (EXIF orientation {orientation}), and nothing tells whether "
            "the observers saw it rotated: save it as it was shown, without that tag"
        )
    return size
