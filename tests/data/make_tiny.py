"""Miniature datasets in the layouts of the real ones: `python -m data.make_tiny FOLDER`, or `osie(root)` and so on.

An image is grey noise with one bright, coloured blob, and people look at the blob: there is something to learn.
One fixation in each set lies outside its image.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from data import matlab_map
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.io import savemat

SPLITS = {"train": 8, "val": 4, "test": 5}
SIZES = ((48, 64), (64, 48), (40, 72), (56, 56), (45, 61))
OBSERVERS = 4

Pixels = NDArray[np.uint8]
People = Sequence[Sequence[ArrayLike] | NDArray[np.float64]]
"""Of each observer of one image: 3 rows x, y (0-based pixels) and duration (ms), a column each fixation."""


def osie(root: str | Path, seed: int = 0) -> Path:
    """Write `root/osie` and return it."""
    folder = Path(root) / "osie"
    images, people = draw(seed)
    write_structs(folder, {f"{number}.jpg": image for number, image in enumerate(images, start=1001)}, people)
    return folder


def eyecrowd(root: str | Path, seed: int = 1) -> Path:
    """Write `root/eyecrowd` and return it."""
    folder = Path(root) / "eyecrowd"
    images, people = draw(seed)
    write_structs(folder, {f"{number:03d}.jpg": image for number, image in enumerate(images, start=1)}, people)
    return folder


def scene500(root: str | Path, seed: int = 2) -> Path:
    """Write `root/scene500` and return it; image 2 is not there, and its row is empty."""
    folder = Path(root) / "scene500"
    images, people = draw(seed)
    numbers = [1, *range(3, len(images) + 2)]
    cells = np.empty((max(numbers), OBSERVERS), dtype=object)
    cells[1, :] = [np.empty((0, 0))] * OBSERVERS
    for number, observers in zip(numbers, people, strict=True):
        for column, (x, y, duration) in enumerate(observers):
            onset = np.arange(len(x)) * 0.3
            cells[number - 1, column] = np.stack([y + 0.5, x + 0.5, onset, duration / 1000], axis=1)
    named = {f"{number:03d}.jpg": image for number, image in zip(numbers, images, strict=True)}
    _write(folder, named, "data/tidy/fixations.mat", cells)
    return folder


def salicon(root: str | Path, seed: int = 3, *, edition: int = 2015, name: str = "", broken: bool = False) -> Path:
    """Write `root/SALICON`, or `root/name`, and return it; in 2017 mouse tracks leave the image.

    Args:
        root: Where to.
        seed: Of images and people.
        edition: 2015 or 2017.
        name: Of the folder.
        broken: Fixations of one image have three columns.
    """
    folder = Path(root) / (name or "SALICON")
    images, people = draw(seed)
    for number, (part, image, observers) in enumerate(zip(_parts(), images, people, strict=True)):
        stem = f"COCO_{part}2014_{number + 5:012d}"
        _save(image, folder / "images" / part / f"{stem}.jpg")
        if part == "test":
            continue
        gaze = np.empty(
            (len(observers), 1), dtype=[(field, object) for field in ("location", "timestamp", "fixations")]
        )
        for worker, (x, y, _) in enumerate(observers):
            points = np.stack([x, y], axis=1) + 1 if len(x) else np.empty((0, 0))
            track = np.array([[1.0, 1.0], [20.5, 30.0]] + [[-7.0, 5.0]] * (edition == 2017))
            gaze[worker, 0] = (track, np.arange(len(track)) * 100.0, points)
        if broken and number == 1:
            gaze[0, 0]["fixations"] = np.zeros((4, 3))
        _mat(folder / "fixations" / part / f"{stem}.mat", {"gaze": gaze, "resolution": np.array(image.shape[:2])})
        _save(image[..., 0], folder / "maps" / part / f"{stem}.png")
    return folder


def isun(root: str | Path, seed: int = 4, *, broken: bool = False) -> Path:
    """Write `root/iSUN` and return it; if `broken`, fixations of one image have three columns."""
    folder = Path(root) / "iSUN"
    images, people = draw(seed)
    records: dict[str, list[tuple[str, NDArray[np.object_]]]] = {part: [] for part in SPLITS}
    for number, (part, image, observers) in enumerate(zip(_parts(), images, people, strict=True)):
        _save(image, folder / "images" / f"sun_{number}.jpg")
        gaze = np.empty((1, len(observers)), dtype=[("fixation", object)])
        for observer, (x, y, _) in enumerate(observers):
            gaze[0, observer] = (np.stack([x, y], axis=1),)
        if broken and number == 1:
            gaze[0, 0] = (np.zeros((4, 3)),)
        records[part].append((f"sun_{number}", gaze))
    for part, file in (("train", "training"), ("val", "validation"), ("test", "testing")):
        fields = ("image",) if part == "test" else ("image", "gaze")
        struct = np.empty((len(records[part]), 1), dtype=[(field, object) for field in fields])
        for row, record in enumerate(records[part]):
            struct[row, 0] = record[: len(fields)]
        _mat(folder / f"{file}.mat", {file: struct})
    return folder


def mit1003(root: str | Path, seed: int = 5, *, raw: bool = True, broken: bool = False) -> Path:
    """Write `root/MIT1003` and return it.

    Args:
        root: Where to.
        seed: Of images and people.
        raw: Gaze of each observer at 240 Hz, which begins with 200 ms in the middle; otherwise maps.
        broken: One observer's gaze on one image is not there, or one map of points has another size.
    """
    folder = Path(root) / "MIT1003"
    images, people = draw(seed)
    for number, (image, observers) in enumerate(zip(images, people, strict=True)):
        stem = f"i{number:05d}_" + "a_name_longer_than_the_63_letters_of_a_name_in_matlab" * 2
        _save(image, folder / "ALLSTIMULI" / f"{stem}.jpeg")
        if raw:
            for initials, fixations in zip(("CNG", "ajs", "emb", "ya"), observers, strict=True):
                gaze = np.array([]) if broken and number == 1 else _gaze(fixations, image.shape)
                data = {"DATA": {("eyeData" if gaze.size else "other"): gaze}}
                _mat(folder / "DATA" / initials / f"{stem}.mat", {stem[:63]: data}, long_field_names=True)
        else:
            points = count(observers, image.shape) > 0
            points = points.T if broken and number == 1 else points
            _save(points.astype(np.uint8) * 255, folder / "ALLFIXATIONMAPS" / f"{stem}_fixPts.jpg")
            _save(image[..., 0], folder / "ALLFIXATIONMAPS" / f"{stem}_fixMap.jpg")
    return folder


def mit300(root: str | Path, seed: int = 6, *, broken: bool = False) -> Path:
    """Write `root/MIT300`, 17 images, and return it; if `broken`, one is missing."""
    folder = Path(root) / "MIT300"
    for number, image in enumerate(draw(seed)[0], start=1):
        if not (broken and number == 9):
            _save(image, folder / "BenchmarkIMAGES" / f"i{number}.jpg")
    return folder


def cat2000(root: str | Path, seed: int = 7, *, broken: bool = False) -> Path:
    """Write `root/CAT2000`, two categories whose files share their numbers, and return it.

    Args:
        root: Where to.
        seed: Of images and people.
        broken: One matrix has rows and columns swapped, and one observer's data a single column.
    """
    folder = Path(root) / "CAT2000"
    images, people = draw(seed)
    everybody = {}
    for number, (part, image, observers) in enumerate(zip(_parts(), images, people, strict=True)):
        name = f"{('Action', 'Social')[number % 2]}/{number // 2 + 1:03d}"
        base = folder / ("testSet" if part == "test" else "trainSet")
        _save(image, base / "Stimuli" / f"{name}.jpg")
        _save(image, base / "Stimuli" / Path(name).parent / "Output" / Path(name).with_suffix(".jpg").name)
        if part != "test":
            matrix = (count(observers, image.shape) > 0).astype(np.uint8)
            key = "fixations" if number == 2 else "fixLocs"
            _mat(base / "FIXATIONLOCS" / f"{name}.mat", {key: matrix.T if broken and number == 1 else matrix})
            _save(image[..., 0], base / "FIXATIONMAPS" / f"{name}.jpg")
            records = []
            for observer, (x, y, duration) in enumerate(observers):
                data = np.stack([x + 1, y + 1, duration], axis=1)[:, : 1 if broken and number == 1 else 3]
                records.append(
                    np.array([[(f"{number}-{observer}-ab.eye", data)]], dtype=[("name", "O"), ("data", "O")])
                )
            everybody[f"{name}.jpg"] = _cell(records)
    matlab_map.save(folder / "trainSet/allFixData.mat", "allData", everybody)
    return folder


def count(observers: People, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return how many of the points inside the image are in each pixel."""
    counts = np.zeros(shape[:2], dtype=np.int64)
    for x, y, _ in observers:
        inside = np.asarray(x) < shape[1]
        np.add.at(counts, (np.rint(y).astype(int)[inside], np.rint(x).astype(int)[inside]), 1)
    return counts


def write_structs(
    folder: Path, images: dict[str, Pixels], people: Sequence[People], splits: dict[str, int] | None = None
) -> None:
    """Write images and fixations in the layout of OSIE and EyeCrowd, where coordinates are 1-based.

    Args:
        folder: Where to.
        images: By file name.
        people: Who looked where, on each image.
        splits: Number of images in each split, in order.
    """
    records = []
    for name, observers in zip(images, people, strict=True):
        subjects = []
        for x, y, duration in observers:
            x, y, duration = np.asarray(x) + 1.0, np.asarray(y) + 1.0, np.asarray(duration, dtype=np.uint16)
            subjects.append({"fix_x": x, "fix_y": y, "fix_duration": duration})
        records.append({"img": name, "subjects": _cell(subjects)})
    _write(folder, images, "data/eye/fixations.mat", _cell(records), splits)


def draw(seed: int) -> tuple[list[Pixels], list[list[NDArray[np.float64]]]]:
    """Draw the images of a set, and who looked where on each."""
    rng = np.random.default_rng(seed)
    drawn = [_scene(rng, SIZES[i % len(SIZES)]) for i in range(sum(SPLITS.values()))]
    images, people = [image for image, _ in drawn], [observers for _, observers in drawn]
    people[0][0] = np.append(people[0][0], [[1000], [5], [250]], axis=1)
    return images, people


def _scene(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Pixels, list[NDArray[np.float64]]]:
    height, width = size
    centre_y, centre_x = rng.uniform(0.2, 0.8, 2) * size
    radius = height / 10
    rows, columns = np.mgrid[:height, :width]
    blob = np.exp(-((rows - centre_y) ** 2 + (columns - centre_x) ** 2) / (2 * radius**2))[..., None]
    image = rng.uniform(70, 110, (height, width, 1)) * (1 - blob) + blob * rng.uniform((200, 120, 0), (255, 220, 60))
    people = []
    for count in [*rng.integers(3, 8, OBSERVERS - 1), 0]:  # the last observer did not look
        x = np.clip(rng.normal(centre_x, radius / 2, count), 0, width - 1)
        y = np.clip(rng.normal(centre_y, radius / 2, count), 0, height - 1)
        people.append(np.stack([x, y, rng.uniform(100, 400, count)]))
    return image.round().astype(np.uint8), people


def _parts() -> list[str]:
    """Return the split of each image, in order."""
    return [part for part, images in SPLITS.items() for _ in range(images)]


def _gaze(fixations: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return samples: 200 ms in the middle, then each fixation, with 100 ms of closed eyes between them."""
    closed = np.full((24, 3), -1.0)
    samples = [np.tile([shape[1] / 2, shape[0] / 2, 1.0], (48, 1))]
    for x, y, duration in fixations.T:
        samples += [closed, np.tile([x, y, 1.0], (round(duration * 0.24) + 10, 1))]
    return np.concatenate(samples)


def _save(image: Pixels, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=100)


def _mat(path: Path, content: dict[str, object], *, long_field_names: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, content, long_field_names=long_field_names)


def _cell(values: Sequence[object]) -> NDArray[np.object_]:
    cell = np.empty((len(values), 1), dtype=object)
    cell[:, 0] = values
    return cell


def _write(
    folder: Path,
    images: dict[str, Pixels],
    annotations: str,
    fixations: NDArray[np.object_],
    splits: dict[str, int] | None = None,
) -> None:
    (folder / "data/stimuli").mkdir(parents=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / "data/stimuli" / name, quality=95)
    (folder / annotations).parent.mkdir()
    savemat(folder / annotations, {"fixations": fixations})
    names, lists = list(images), {}
    for split, count in (splits or SPLITS).items():
        lists[split], names = names[:count], names[count:]
    (folder / "splits.json").write_text(json.dumps(lists), encoding="utf-8")


if __name__ == "__main__":
    for write in (osie, eyecrowd, scene500, salicon, isun, mit1003, mit300, cat2000):
        print(write(sys.argv[1]))
