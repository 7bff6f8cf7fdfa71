"""A user's own study: finds images and fixations in a folder, and turns the rows of a file into checked points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags

from salzoo.data.base import open_image
from salzoo.data.fixations import Fixations
from salzoo.data.folder.cleaning import (
    doubtful_durations,
    drop_duplicates,
    drop_missing,
    drop_other_screens,
    in_milliseconds,
    merge_samples,
    onsets,
)
from salzoo.data.folder.options import NEEDED, OPTIONS, StudyOptions
from salzoo.data.folder.places import refuse_far_from_middle, to_pixels
from salzoo.data.folder.tables import (
    ARRAYS,
    OTHER_TABLES,
    TABLES,
    Rows,
    join,
    read_arrays,
    read_table,
)
from salzoo.data.folder.text_table import looks_like_a_table
from salzoo.data.map_folder import SUFFIXES as MAPS
from salzoo.data.names import Names, split_folder
from salzoo.errors import DataError, DatasetNotFoundError, ImageError, SpecError
from salzoo.images.formats import list_files
from salzoo.images.geometry import Size

IMAGE_FOLDERS = ("images", "stimuli", "pictures")


@dataclass(frozen=True)
class Study:
    """What a folder holds.

    Args:
        image_folder: The folder of the images.
        source: The file or folder of the fixations, or of the maps.
        files: Which file each image's fixations or map came from, by its name; empty for one table.
        sizes: (height, width) by file name, of the images with fixations or a map.
        points: Fixations by file name: 0-based, also those outside the frame; empty if there are only maps.
        observers: Names of the observers, in the order of their numbers.
        dropped: Number of rows that were left out, by reason.
        unseen: Images without any row.
        doubts: What looks wrong and cannot be decided, one sentence each.
        tracker: What wrote the table, if it was recognised.
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
    files: dict[str, Path] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    tracker: str | None = None

    @property
    def has_points(self) -> bool:
        """Whether there are fixations, and not only maps."""
        return bool(self.points)


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
    found = list(list_files(root, TABLES).found)
    found += [root / "fixations"] if (root / "fixations").is_dir() else []
    if not found and not (root / "maps").is_dir():
        found = [path for path in list_files(root, OTHER_TABLES).found if looks_like_a_table(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise SpecError(
            f'{root} has {names}: say which holds the fixations with "fixations" in {OPTIONS}, or move tables of the '
            "same columns, as one an observer, into a folder fixations"
        )
    if not found and not (root / "maps").is_dir():
        raise DatasetNotFoundError(
            f"no fixations in {root}: a table ({', '.join(TABLES)}) with columns {', '.join(NEEDED)}, a folder "
            "fixations/ with one .mat or .npz an image or one table an observer, or a folder maps/ with one grey map "
            "an image"
        )
    return found[0] if found else root / "maps"


def read_study(root: Path, options: StudyOptions) -> Study:
    """Read all fixations of a study, and the sizes of its images.

    Raises:
        DatasetNotFoundError: If images or fixations are missing.
        DataError: If the file is damaged, names an image that is not there, has doubtful coordinates, or if no row is
            left of it.
        SpecError: If an option is wrong.
    """
    folder, source = find_image_folder(root), find_source(root, options.fixations)
    listing = list_files(folder)
    listing.warn(str(folder), listing.unreadable)
    names = Names(_images(folder))
    files: dict[str, Path] = {}
    if not source.is_file():
        kinds, tables = (MAPS, ()) if source.name == "maps" else (ARRAYS, (*TABLES, *OTHER_TABLES))
        listing = list_files(source, (*kinds, *tables))
        listing.warn(str(source), listing.left_out)
        files = _owners([path for path in listing.found if path.suffix.lower() not in tables], names)
    rows = _read_rows(source, options, names, folder)
    if rows is None:
        seen = sorted(files)
        if not seen:
            raise DatasetNotFoundError(f"no file in {source} is called like an image in {folder}")
        unseen = tuple(sorted(set(names.present) - set(seen)))
        return Study(folder, source, {name: _size(folder / name) for name in seen}, {}, unseen=unseen, files=files)
    if not len(rows) and not rows.dropped:
        raise DataError(f"{source} has no rows")
    rows = drop_other_screens(rows, options, names)
    rows, seen = _resolve(rows, names, source, folder)
    sizes = {name: _size(folder / name) for name in seen}
    return replace(
        _points(rows, sizes, options, source),
        image_folder=folder,
        unseen=tuple(sorted(set(names.present) - set(seen))),
        files=files,
    )


def _points(rows: Rows, sizes: dict[str, Size], options: StudyOptions, source: Path) -> Study:
    """Return the fixations that rows with the images' own names tell of."""
    seen = sorted(sizes)
    people = [] if rows.observer is None else sorted(set(rows.observer.tolist()))
    rows = drop_missing(rows, options)
    rows = in_milliseconds(rows, options, source)
    if not len(rows):
        told = ", ".join(f"{count} {reason}" for reason, count in rows.dropped.items())
        raise DataError(f"{source}: no row is left that tells where somebody looked; left out were {told}")
    image = np.searchsorted(seen, rows.image)
    height, width = np.array([sizes[name] for name in seen], dtype=np.float64)[image].T
    x, y = to_pixels(rows, width, height, options, source)
    rows = replace(rows, x=x, y=y)
    group = image * (len(people) + 1) + _numbers(rows, people)
    rows, order = merge_samples(rows, group, source, float(np.median(width)))
    rows, kept, repeated = drop_duplicates(rows, group[order])
    order = order[kept]
    onset = onsets(rows, group[order])
    doubts = (
        refuse_far_from_middle(rows.x, rows.y, width[order], height[order], image[order], options, source),
        None if rows.duration is None else doubtful_durations(rows.duration),
    )
    times = [] if rows.timestamp is None else [rows.timestamp]
    by_image = np.lexsort((order, *times, image[order]))
    rows, image = rows.take(by_image), image[order][by_image]
    duration, onset = rows.duration, None if onset is None else onset[by_image]
    numbers = _numbers(rows, people)
    groups = np.split(np.arange(len(rows)), np.searchsorted(image, np.arange(1, len(seen))))
    points = {
        name: Fixations(
            rows.x[own],
            rows.y[own],
            numbers[own],
            None if duration is None else duration[own],
            onset=None if onset is None else onset[own],
        )
        for name, own in zip(seen, groups, strict=True)
    }
    return Study(
        source.parent,
        source,
        sizes,
        points,
        tuple(people),
        dict(rows.dropped),
        repeated=repeated,
        doubts=tuple(doubt for doubt in doubts if doubt is not None),
        tracker=None if rows.tracker is None else rows.tracker.name,
    )


def _numbers(rows: Rows, people: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each row's observer."""
    if rows.observer is None:
        return np.zeros(len(rows), dtype=np.int64)
    return np.asarray(np.searchsorted(people, rows.observer), dtype=np.int64)


def _read_rows(source: Path, options: StudyOptions, names: Names, folder: Path) -> Rows | None:
    """Return all rows, or None for a folder of maps."""
    if source.is_file():
        return read_table(source, options)
    if source.name == "maps":
        return None
    paths = list_files(source, ARRAYS).found
    tables = list_files(source, (*TABLES, *OTHER_TABLES)).found
    if paths and tables:
        raise DataError(f"{source} has {paths[0].name} and {tables[0].name}: keep either arrays or tables there")
    if tables:
        return join([_with_observer(read_table(path, options), path.stem) for path in tables])
    if not paths:
        raise DatasetNotFoundError(f"{source} holds no .mat, no .npz and no table; maps belong in a folder maps")
    if strange := [path for path in paths if names.find(path.stem) is None]:
        raise DataError(
            f"{len(strange)} of {len(paths)} files in {source} belong to no image, the first is {strange[0].name}"
            f"{names.hint(strange[0].stem)}"
        )
    owners = _owners(paths, names)
    if len(owners) < len(paths):
        raise DataError(f"{source} has several files of the same image, such as a .mat and a .npz")
    origin, columns = options.origin or 0, options.columns
    return join([read_arrays(path, columns, name, _size(folder / name), origin) for name, path in owners.items()])


def _with_observer(rows: Rows, name: str) -> Rows:
    """Return the rows of one of several tables, whose name is the observer's if no column has it."""
    return rows if rows.observer is not None else replace(rows, observer=np.full(len(rows), name))


def _owners(paths: Sequence[Path], names: Names) -> dict[str, Path]:
    """Return the files by the names of the images that they are called after."""
    found = ((names.find(path.stem), path) for path in sorted(paths))
    return {name: path for name, path in found if name is not None}


def _resolve(rows: Rows, names: Names, source: Path, folder: Path) -> tuple[Rows, list[str]]:
    """Return the rows with the images' file names instead of their own, and these names, sorted."""
    labels, label = np.unique(rows.image, return_inverse=True)
    found = {text: names.find(text) for text in map(str, labels)}
    if strange := [text for text, name in found.items() if name is None]:
        raise DataError(
            f"{source} has rows for {len(strange)} images that are not in {folder}, the first is {strange[0]!r}"
            f"{names.hint(strange[0]) or ': add the images, or name what is no image under ignore in study.json'}"
        )
    _refuse_equal_names(found, source)
    own = np.array([found[str(text)] or "" for text in labels], dtype=str)
    return replace(rows, image=own[label]), sorted(set(own.tolist()))


def _refuse_equal_names(found: Mapping[str, str | None], source: Path) -> None:
    """Raise if one image stands for files of different folders, as 001.jpg does for dog/001.jpg and cat/001.jpg."""
    folders: dict[str, str] = {}
    for label, name in found.items():
        above = split_folder(label)[0]
        if above and name is not None and split_folder(folders.setdefault(name, label))[0] != above:
            raise DataError(
                f"{source} has {folders[name]!r} and {label!r}, and one image {name} for both: give the images "
                "different names, in the table too"
            )


def _list(folder: Path) -> list[Path]:
    return list(list_files(folder).found) if folder.is_dir() else []


def _images(folder: Path) -> list[str]:
    """Return the images' file names."""
    found: dict[str, str] = {}
    for path in _list(folder):
        if path.stem in found:
            raise DataError(f"{folder} has {found[path.stem]} and {path.name}: two images must differ in their stem")
        found[path.stem] = path.name
    return list(found.values())


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
