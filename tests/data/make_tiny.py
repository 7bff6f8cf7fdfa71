"""Miniature data sets, each in the layout of the real one: `python make_tiny.py FOLDER`, or `osie(root)` and so on.

A picture is grey noise with one bright, coloured blob, and people look at the blob: there is something to learn.
One fixation in each set lies outside its picture.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.io import savemat

SPLITS = {"train": 8, "val": 4, "test": 5}
SIZES = ((48, 64), (64, 48), (40, 72), (56, 56), (45, 61))
OBSERVERS = 4

Picture = NDArray[np.uint8]
People = Sequence[Sequence[ArrayLike] | NDArray[np.float64]]
"""Of each observer of one picture: 3 rows x, y (0-based pixels) and duration (ms), a column each fixation."""


def osie(root: str | Path, seed: int = 0) -> Path:
    """Write `root/osie` and return it."""
    folder = Path(root) / "osie"
    pictures, people = draw(seed)
    write_structs(folder, {f"{number}.jpg": picture for number, picture in enumerate(pictures, start=1001)}, people)
    return folder


def eyecrowd(root: str | Path, seed: int = 1) -> Path:
    """Write `root/eyecrowd` and return it."""
    folder = Path(root) / "eyecrowd"
    pictures, people = draw(seed)
    write_structs(folder, {f"{number:03d}.jpg": picture for number, picture in enumerate(pictures, start=1)}, people)
    return folder


def scene500(root: str | Path, seed: int = 2) -> Path:
    """Write `root/scene500` and return it; picture 2 is not there, and its row is empty."""
    folder = Path(root) / "scene500"
    pictures, people = draw(seed)
    numbers = [1, *range(3, len(pictures) + 2)]
    cells = np.empty((max(numbers), OBSERVERS), dtype=object)
    cells[1, :] = [np.empty((0, 0))] * OBSERVERS
    for number, observers in zip(numbers, people, strict=True):
        for column, (x, y, duration) in enumerate(observers):
            onset = np.arange(len(x)) * 0.3
            cells[number - 1, column] = np.stack([y + 0.5, x + 0.5, onset, duration / 1000], axis=1)
    named = {f"{number:03d}.jpg": picture for number, picture in zip(numbers, pictures, strict=True)}
    _write(folder, named, "data/tidy/fixations.mat", cells)
    return folder


def write_structs(
    folder: Path, pictures: dict[str, Picture], people: Sequence[People], splits: dict[str, int] | None = None
) -> None:
    """Write pictures and fixations in the layout of OSIE and EyeCrowd, where coordinates are 1-based.

    Args:
        folder: Where to.
        pictures: By file name.
        people: Who looked where, on each picture.
        splits: Number of pictures in each split, in order.
    """
    records = []
    for name, observers in zip(pictures, people, strict=True):
        subjects = []
        for x, y, duration in observers:
            x, y, duration = np.asarray(x) + 1.0, np.asarray(y) + 1.0, np.asarray(duration, dtype=np.uint16)
            subjects.append({"fix_x": x, "fix_y": y, "fix_duration": duration})
        records.append({"img": name, "subjects": _cell(subjects)})
    _write(folder, pictures, "data/eye/fixations.mat", _cell(records), splits)


def draw(seed: int) -> tuple[list[Picture], list[list[NDArray[np.float64]]]]:
    """Draw the pictures of a set, and who looked where on each."""
    rng = np.random.default_rng(seed)
    drawn = [_scene(rng, SIZES[i % len(SIZES)]) for i in range(sum(SPLITS.values()))]
    pictures, people = [picture for picture, _ in drawn], [observers for _, observers in drawn]
    people[0][0] = np.append(people[0][0], [[1000], [5], [250]], axis=1)
    return pictures, people


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Picture, list[NDArray[np.float64]]]:
    height, width = size
    centre_y, centre_x = rng.uniform(0.2, 0.8, 2) * size
    radius = height / 10
    rows, columns = np.mgrid[:height, :width]
    blob = np.exp(-((rows - centre_y) ** 2 + (columns - centre_x) ** 2) / (2 * radius**2))[..., None]
    picture = rng.uniform(70, 110, (height, width, 1)) * (1 - blob) + blob * rng.uniform((200, 120, 0), (255, 220, 60))
    people = []
    for count in [*rng.integers(3, 8, OBSERVERS - 1), 0]:  # the last observer did not look
        x = np.clip(rng.normal(centre_x, radius / 2, count), 0, width - 1)
        y = np.clip(rng.normal(centre_y, radius / 2, count), 0, height - 1)
        people.append(np.stack([x, y, rng.uniform(100, 400, count)]))
    return picture.round().astype(np.uint8), people


def _cell(values: Sequence[object]) -> NDArray[np.object_]:
    cell = np.empty((len(values), 1), dtype=object)
    cell[:, 0] = values
    return cell


def _write(
    folder: Path,
    pictures: dict[str, Picture],
    annotations: str,
    fixations: NDArray[np.object_],
    splits: dict[str, int] | None = None,
) -> None:
    (folder / "data/stimuli").mkdir(parents=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / "data/stimuli" / name, quality=95)
    (folder / annotations).parent.mkdir()
    savemat(folder / annotations, {"fixations": fixations})
    names, lists = list(pictures), {}
    for split, count in (splits or SPLITS).items():
        lists[split], names = names[:count], names[count:]
    (folder / "splits.json").write_text(json.dumps(lists), encoding="utf-8")


if __name__ == "__main__":
    for write in (osie, eyecrowd, scene500):
        print(write(sys.argv[1]))
