"""What salzoo read from a dataset, to be looked at before anything is trained: `salzoo data check`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from salzoo.data.base import FixationDataset
from salzoo.data.density_only import DensityOnly
from salzoo.data.fixations import Fixations, Floats
from salzoo.data.folder import FixationFolder, checks
from salzoo.data.folder.options import StudyOptions
from salzoo.errors import SpecError
from salzoo.images.geometry import Size

_GOLDEN_ANGLE = 0.381966  # turns; hues of any number of observers stay apart


@dataclass(frozen=True, repr=False)
class Report:
    """The result of `check`.

    Args:
        facts: What was read, by topic.
        dropped: Number of fixations that are left out, by reason.
        warnings: What looks wrong, one sentence each.
    """

    facts: dict[str, str]
    dropped: dict[str, int]
    warnings: tuple[str, ...]

    def to_text(self) -> str:
        """Return the report as lines."""
        lines = [f"{topic + ':':13} {fact}" for topic, fact in self.facts.items()]
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count)
        lines.append(f"{'dropped:':13} {reasons or 'nothing'}")
        lines += [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    __repr__ = to_text


def check(dataset: FixationDataset) -> Report:
    """Read all fixations of a dataset, and of the images only the headers, and look for what seems wrong.

    Raises:
        DataError: If something cannot be read.
    """
    sizes = [dataset.size(i) for i in range(len(dataset))]
    raw = [dataset._points(i) for i in range(len(dataset))]
    facts = {"dataset": f"{dataset.name} in {dataset.root}", **_images(dataset, sizes)}
    if dataset.has_fixations and not dataset.has_points:
        facts["truth"] = "maps without fixations: what needs points (NSS, AUC, information gain, nll) will refuse them"
        empty = sum(not len(points) for points in raw)
        return Report(facts, _dropped(dataset, {}), (f"{empty} maps are empty",) if empty else ())
    x, y, observer, duration = _together(raw)
    numbers = [len(points) for points in raw]
    height, width = np.repeat(np.array(sizes, dtype=np.float64).reshape(-1, 2), numbers, axis=0).T
    outside = checks.outside(x, y, width, height)
    unknown = np.isnan(x) | np.isnan(y)
    dropped = _dropped(dataset, {"outside the frame": int(outside.sum()), "no coordinates (NaN)": int(unknown.sum())})
    facts |= _fixations(raw, sizes, observer, duration)
    blur = sorted({round(dataset.sigma(size), 1) for size in sizes})
    facts["blur"] = f"{blur[0]:g} px" if len(blur) == 1 else f"{blur[0]:g} to {blur[-1]:g} px (standard deviation)"
    return Report(facts, dropped, tuple(_warnings(dataset, raw, (x, y, width, height))))


class Pictures(Protocol):
    """Pictures with fixations, as `contact_sheet` draws them."""

    @property
    def names(self) -> list[str]:
        """What each is called."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def image(self, index: int) -> Tensor:
        """Return one as (3, H, W) uint8 RGB."""

    def fixations(self, index: int) -> Fixations:
        """Return the fixations on it."""


def contact_sheet(
    dataset: FixationDataset | Pictures, *, images: int = 24, columns: int = 6, width: int = 240
) -> Image.Image:
    """Draw images spread over the dataset with their fixations: one dot each, one colour an observer.

    Args:
        dataset: What to draw.
        images: Number of images, at most.
        columns: Number of images in a row.
        width: Width of each image in pixels.

    Raises:
        SpecError: If one of the numbers is below 1.
    """
    if min(images, columns, width) < 1:
        raise SpecError(f"images, columns and width must be at least 1, got {images}, {columns}, {width}")
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(images, len(dataset))).astype(int))
    tiles = [_tile(dataset, int(index), width) for index in chosen]
    columns = min(columns, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGB", (columns * (width + 4) + 4, sum(heights) + 4 * len(rows) + 4), "white")
    top = 4
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (4 + column * (width + 4), top))
        top += height + 4
    return sheet


def _images(dataset: FixationDataset, sizes: list[Size]) -> dict[str, str]:
    common = [f"{w} x {h} ({count})" for (h, w), count in Counter(sizes).most_common(4)]
    more = len(set(sizes)) - len(common)
    facts = {
        "images": f"{len(sizes)} in split {dataset.split}, in {dataset.image_path(0).parent}",
        "width x height": ", ".join(common) + (f" and {more} other sizes" if more else ""),
    }
    if isinstance(dataset, FixationFolder):
        tracker = dataset.study.tracker
        facts["fixations in"] = f"{dataset.study.source}{'' if tracker is None else f', an export of {tracker}'}"
        splits = Counter(dataset.split_of(name) for name in sorted(dataset.study.sizes))
        counted = ", ".join(f"{split} {splits[split]}" for split in ("train", "val", "test"))
        own = (dataset.root / "splits.json").exists()
        facts["splits"] = f"{counted}, {'from splits.json' if own else 'drawn by name'}"
    return facts


def _fixations(
    raw: list[Fixations], sizes: list[Size], observer: NDArray[np.int64], duration: Floats | None
) -> dict[str, str]:
    counts = [len(points.inside(size)) for points, size in zip(raw, sizes, strict=True)]
    people = [len(set(points.observer.tolist())) for points in raw]
    facts = {
        "fixations": f"{sum(counts)}; {_spread(counts)} an image",
        "observers": f"{len(set(observer.tolist()))}; {_spread(people)} an image",
        "durations": "not known",
    }
    if duration is not None and len(duration):
        low, middle, high = np.nanpercentile(duration, (5, 50, 95))
        facts["durations"] = f"median {middle:.0f} ms, 90 % of them {low:.0f} to {high:.0f} ms"
    return facts


def _dropped(dataset: FixationDataset, seen: dict[str, int]) -> dict[str, int]:
    """Add what was dropped when a user's own study was read."""
    if not isinstance(dataset, FixationFolder):
        return seen
    read = dataset.study.dropped
    return {reason: seen.get(reason, 0) + read.get(reason, 0) for reason in (*seen, *read)}


def _warnings(
    dataset: FixationDataset,
    raw: list[Fixations],
    points: tuple[Floats, Floats, Floats, Floats],
) -> list[str]:
    x, y, width, height = points
    if not len(x):
        return ["there is not one fixation"]
    found = []
    said = dataset.options if isinstance(dataset, FixationFolder) else StudyOptions()  # what is said is believed
    outside = checks.outside(x, y, width, height).mean()
    if said.units is None and checks.swapped(x, y, width, height):
        found.append("x and y seem to be swapped: far fewer points lie outside their images the other way round")
    elif outside > 0.05:
        found.append(f"{outside:.0%} of the points lie outside their images: are they in pixels of the screen?")
    if said.origin is None and checks.one_based(x, y, width, height):
        found.append("x and y are whole numbers from 1 up to the width or height: is the first pixel 1 (origin)?")
    if said.units is None and (units := checks.other_units(x, y, width, height)):
        found.append(f"nearly all points lie in one corner, or around it: are they {units} (units)?")
    image = np.repeat(np.arange(len(raw)), [len(points) for points in raw])
    if place := checks.middle(x, y, width, height, image):
        found.append(checks.off_the_middle(place))
    durations = [points.duration for points in raw if points.duration is not None]
    if said.time_unit is None and durations and (time := checks.wrong_time(np.concatenate(durations))):
        found.append(f"the median duration lasts no fixation: is it in {time}, or are these samples of gaze?")
    if empty := sum(not len(each) for each in raw):
        found.append(f"{empty} images have no fixation")
    if isinstance(dataset, FixationFolder):
        if unseen := dataset.study.unseen:
            found.append(f"{len(unseen)} images have no row and are left out, the first is {unseen[0]}")
        if repeated := dataset.study.repeated:
            found.append(f"{repeated} rows repeat another and are kept, as without times they may be two fixations")
    return found


def _together(raw: list[Fixations]) -> tuple[Floats, Floats, NDArray[np.int64], Floats | None]:
    x, y = (np.concatenate([np.empty(0), *(getattr(points, name) for points in raw)]) for name in "xy")
    observer = np.concatenate([np.empty(0, dtype=np.int64), *(points.observer for points in raw)])
    durations = [points.duration for points in raw if points.duration is not None]
    return x, y, observer, np.concatenate(durations) if durations else None


def _spread(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}, mean {np.mean(numbers):.1f}"


def _tile(dataset: FixationDataset | Pictures, index: int, width: int) -> Image.Image:
    """Draw one image at that width, with its fixations or its map, and its name below."""
    image = Image.fromarray(dataset.image(index).permute(1, 2, 0).numpy())
    old = (image.height, image.width)
    new = (max(1, round(old[0] * width / old[1])), width)
    small, points = image.resize((new[1], new[0])), dataset.fixations(index)
    tile = Image.new("RGB", (width, new[0] + 14), "white")
    tile.paste(small)
    draw = ImageDraw.Draw(tile)
    if isinstance(points, DensityOnly):
        density = points.density(old, 1.0)
        heat = Image.fromarray((255 * density / density.max().clamp_min(1e-30)).byte().numpy()).resize(small.size)
        tile.paste((240, 60, 40), (0, 0), heat)
    else:
        placed = points.resized(old, new)
        for x, y, observer in zip(placed.x.tolist(), placed.y.tolist(), placed.observer.tolist(), strict=True):
            colour = f"hsv({round(360 * observer * _GOLDEN_ANGLE) % 360}, 90%, 100%)"
            draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=colour, outline="black")
    draw.text((2, new[0] + 1), f"{dataset.names[index]}, {len(points)}", fill="black")
    return tile
