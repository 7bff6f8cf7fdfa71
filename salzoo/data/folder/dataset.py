"""Your own eye-tracking study: a folder of images and the fixations on them."""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from salzoo.data.base import FixationDataset, Split, file_stamp, tells_refusals
from salzoo.data.density_only import DensityOnly
from salzoo.data.fixations import Fixations
from salzoo.data.folder.options import StudyOptions, read_options
from salzoo.data.folder.reader import Study, find_image_folder, find_source, read_study
from salzoo.data.map_folder import MapFolder
from salzoo.data.names import Names
from salzoo.data.splits import SPLITS, draw, read_lists
from salzoo.errors import DatasetNotFoundError, SalzooWarning
from salzoo.images.formats import list_files
from salzoo.images.geometry import Size


class FixationFolder(FixationDataset):
    """A user's own study: images in `images/`, fixations in a table, options in `study.json`.

    The images are those directly in `root/images` (or `stimuli`, `pictures`, or `root` itself). Their fixations are, in
    this order:

    - a table in `root`, one row a fixation: CSV, TSV or Parquet with columns image, x, y, and if known observer,
      duration (ms) and timestamp, by which the fixations of an image are then sorted; it is kept as their onset
      where it agrees with the durations, in whatever unit (numbers of order do not);
    - `root/fixations/<stem>.mat` or `.npz`, with arrays x, y and the like, or a matrix `fixations` of counts;
    - `root/maps/<stem>.png` (or any format of `salzoo evaluate --maps`): grey maps, if the points are lost. What
      needs points (NSS, AUC, information gain, log-likelihood) then refuses them; densities work.

    Dropped and counted are rows without coordinates, rows without a duration if there is such a column, and duplicates
    if there are times to recognise them by (`study.dropped`), and points outside the frame (`dropped`). Images without
    any row are left out (`study.unseen`).

    Splits are the lists of `root/splits.json`, else drawn by name: exactly 70 % train, 10 % val and 20 % test of the
    images in the order of a hash of their names without suffix, the same in every copy of the study. An image that is
    added moves others across a border; `splits.json` holds them in place.

    Args:
        root: The study's folder, or one that holds it under the name `folder`.
        split: See `FixationDataset`.
        **options: What follows. Every option can instead be in `root/study.json`, where the commands find it; arguments
            take precedence.

    The file:
        fixations: File or folder with the fixations, relative to `root`, if there are several.
        columns: Names in the header by what they mean, as {"x": "FIX_X", "image": "stimulus"}: image, x, y, observer,
            duration, timestamp; event, if rows with the same entry are samples of one fixation; for .mat and .npz also
            fixations, the matrix of counts.
        decimal: `.` or `,`. Without it a comma is the decimal sign where it does not separate the cells, and no number
            of the column has a point.
        ignore: Names or patterns (`cross*`) of what the column image names besides images; their rows are counted and
            left out, as are those of fixation crosses and the like if they are called so.
        observers: Names of the observers to keep; all by default.
        keep: Values or patterns to keep, by column, as {"condition": ["free viewing"], "block": [1, 2]}.

    The coordinates:
        units: Units of x and y: `pixels`; `fractions` of the width and height, from 0 at the left or upper border to 1;
            `percent`; PsychoPy's `norm` (-1 to 1 from border to border), `height` (of the screen or image, 0 in the
            middle) and `centred` (pixels, 0 in the middle, there called pix).
        origin: Coordinate of the first pixel, 0 or 1.
        y_from_bottom: Whether y counts upwards, as it does by default in PsychoPy's units, and in no others.
        screen: [width, height] of the screen in pixels, if x and y are positions on it.
        offset: [x, y] of the image's upper left corner on the screen; by default the image was in its middle.
        scale: Pixels of the screen for a pixel of the image; "fit" if the image was enlarged until it filled the
            screen's width or height, the rest being bars. By default 1.
        time_unit: Unit of the durations: `ms`, `s`, `us` or `ns`; by default ms.

    What is done with them:
        skip_first: How many fixations of each observer are left out at the beginning of each image.
        first: How many of the remaining ones are kept.
        weight: `duration` lets longer fixations weigh more in the density.
        sigma_px: Standard deviation of the blur of the density, in pixels of each image.
        pixels_per_degree: Blurs by one degree of visual angle instead (`salzoo.data.events.Screen`).

    What is said of the coordinates is believed. What is not said is looked for in the points of the whole study: those
    that cannot be pixels of the images are refused, and a `SalzooWarning` says so if people looked off the middle.

    Attributes:
        study: What was read, and what was dropped and why.

    Raises:
        DatasetNotFoundError: If the images or the fixations are missing, or the split is empty.
        DataError: If a row's image is missing, no row is left, or the numbers seem misread: x and y swapped, other
            units or 1-based numbers taken for 0-based pixels, seconds for milliseconds, samples for fixations.
        SpecError: If an option is wrong.
    """

    name = "folder"
    source = "A study of your own needs images and a table of fixations with columns image, x, y"

    @tells_refusals
    def __init__(self, root: str | Path, split: Split = "train", **options: Any) -> None:
        folder = self._find(Path(root).expanduser())
        self.options = read_options(folder, options, StudyOptions, "FixationFolder")
        self._stamp = _stamp(folder, self.options)
        self.study: Study = _cached(folder.absolute(), self.options, self._stamp)
        for doubt in self.study.doubts:
            warnings.warn(f"{self.study.source}: {doubt}", SalzooWarning, stacklevel=3)
        seen = self.study.sizes
        self._maps: MapFolder | None = None
        if not self.study.has_points:
            self._maps = MapFolder(self.study.source, list(seen))
        self._place = {name: i for i, name in enumerate(seen)}
        super().__init__(
            folder, split, sigma_px=self.options.sigma_px, pixels_per_degree=self.options.pixels_per_degree
        )

    @property
    def has_points(self) -> bool:
        """Whether there are fixations, and not only maps."""
        return self.study.has_points

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order: with a column `observer`."""
        return self._maps is None and bool(self.study.observers)

    @property
    def has_rounded_maps(self) -> bool:
        """Whether there are maps only, and these have 256 levels."""
        return self._maps is not None and self._maps.eight_bit

    def read_points(self, index: int) -> Fixations:
        """Return all fixations on one image, or its map if there are no fixations.

        Raises:
            ImageError: If the map is coloured or transparent, or of another shape than its image.
        """
        name = self.names[index]
        if self._maps is None:
            return self.study.points[name]
        place, size = self._place[name], self.study.sizes[name]
        return DensityOnly(self._maps.read(place, size, scaled=False))

    def observer_name(self, number: int) -> str:
        """Return what the study calls an observer."""
        names = self.study.observers
        return names[number] if number < len(names) else super().observer_name(number)

    def points_options(self) -> tuple[object, ...]:
        """Return what changes what `read_points` returns: the options, and all files of the study."""
        return (self.options, self._stamp)

    def image_path(self, index: int) -> Path:
        """Return where the image is."""
        return self.study.image_folder / self.names[index]

    def annotation_paths(self, index: int) -> list[Path]:
        """Return the file of the image's fixations, or their common one."""
        return [self.study.files.get(self.names[index], self.study.source)]

    def size(self, index: int) -> Size:
        """Return the image's (height, width), as read with the study."""
        return self.study.sizes[self.names[index]]

    def _points(self, index: int) -> Fixations:
        points = super()._points(index)
        if self._maps is None:
            points = points.leading(self.options.first, skip=self.options.skip_first)
        return points.weighted_by_duration() if self.options.weight == "duration" else points

    def _find(self, root: Path) -> Path:
        if not root.is_dir():
            raise DatasetNotFoundError(f"{self.name}: there is no folder {root}. {self.source}")
        inner = root / self.name
        return inner if inner.is_dir() else root

    def split_of(self, name: str) -> Split | None:
        """Return the split of an image; None if `splits.json` leaves it out."""
        return next((split for split, names in self._lists.items() if name in names), None)

    def _list_names(self) -> list[str]:
        path, present = self.root / SPLITS, self._present()
        drawn = not path.exists()
        self._lists = draw(present) if drawn else read_lists(path, Names(present))
        if self.split == "all":
            return present
        names = list(self._lists[self.split])
        if absent := sorted(set(names) - set(present)):
            raise DatasetNotFoundError(
                f"{path}: {len(absent)} images of split {self.split!r} have no file or no fixations, the first is "
                f"{absent[0]}{Names(present).hint(absent[0])}"
            )
        if not names:
            why = f"got none of the {len(present)} images, which are drawn by name" if drawn else "is empty"
            raise DatasetNotFoundError(
                f"{self.root}: split {self.split!r} {why}; put images there in {SPLITS}: "
                '{"train": [...], "val": [...], "test": [...]} with file names'
            )
        return names

    def _present(self) -> list[str]:
        return sorted(self.study.sizes)


_Stamp = tuple[tuple[str, int, int, int, int], ...]


@lru_cache(maxsize=8)
def _cached(root: Path, options: StudyOptions, _stamp: _Stamp) -> Study:
    """Read a study once a process, and again if a file changes."""
    return read_study(root, options)


def _stamp(root: Path, options: StudyOptions) -> _Stamp:
    """Return name, size and times of all files of a study, which tell whether it must be read again."""
    images, source = find_image_folder(root), find_source(root, options.fixations)
    files = [source] if source.is_file() else sorted(path for path in source.iterdir() if path.is_file())
    files += list_files(images).found
    return tuple((path.name, *file_stamp(path)) for path in files)
