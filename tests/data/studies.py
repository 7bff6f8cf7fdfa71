"""Small studies of one's own, and what a reader must find in them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data import make_tiny
from numpy.typing import NDArray
from PIL import Image

from salzoo.data import FixationFolder

Row = dict[str, Any]
COUNT = 30


def images(folder: Path, count: int = COUNT) -> dict[str, tuple[int, int]]:
    """Write images; return their (height, width)."""
    folder.mkdir(parents=True)
    drawn, _ = make_tiny.draw(5)
    sizes = {}
    for i in range(count):
        name = f"p{i:02d}.png"
        Image.fromarray(drawn[i % len(drawn)]).save(folder / name)
        sizes[name] = drawn[i % len(drawn)].shape[:2]
    return sizes


def rows(sizes: dict[str, tuple[int, int]], seed: int = 0) -> list[Row]:
    """Return three fixations of each of two observers an image, in no order; all inside by a margin of 4 px."""
    rng = np.random.default_rng(seed)
    found = []
    for name, (height, width) in sizes.items():
        for observer in ("anna", "bert"):
            for time in range(3):
                x, y = (round(float(rng.uniform(4, side - 4)), 2) for side in (width, height))
                duration = round(float(rng.uniform(100, 400)), 1)
                found.append({"image": name, "x": x, "y": y, "observer": observer, "duration": duration})
                found[-1]["timestamp"] = 300 * time
    rng.shuffle(found)
    return found


def write(path: Path, content: Sequence[Row], delimiter: str = ",", encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(content[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(content)


def expected(content: Sequence[Row], name: str) -> NDArray[np.float64]:
    """Return x, y, duration of the image's rows by time."""
    own = sorted((row for row in content if row["image"] == name), key=lambda row: row["timestamp"])
    return np.array([[row["x"], row["y"], row["duration"]] for row in own])


def same(dataset: FixationFolder, content: Sequence[Row]) -> None:
    assert dataset.names == sorted({row["image"] for row in content})
    for i, name in enumerate(dataset.names):
        points = dataset.fixations(i)
        assert points.duration is not None
        np.testing.assert_allclose(
            np.stack([points.x, points.y, points.duration], 1), expected(content, name), atol=1e-9
        )
        assert np.bincount(points.observer).tolist() == [3, 3]
