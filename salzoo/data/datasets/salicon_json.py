"""SALICON's own JSON, as its API reads it: one entry for each worker and image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from salzoo._text import read_text
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.errors import DataError

_LARGEST = 1 << 30  # bytes; that of the training images has a tenth
_SPACE = re.compile(r"\s*")
_PART = re.compile("fixations_(train|val)2014")
_DECODER = json.JSONDecoder()


def find_json(root: Path) -> dict[str, Path]:
    """Return `fixations_train2014*.json` and that of `val`, in `annotations`, in `fixations` or in the folder itself.

    Raises:
        DataError: If there are several for the same images.
    """
    found: dict[str, Path] = {}
    for part in ("train", "val"):
        paths = [
            path
            for folder in ("annotations", ".", "fixations")
            for path in sorted((root / folder).glob(_pattern(part)))
        ]
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise DataError(f"salicon: {root} has {names}, all with fixations on images of {part}: keep one of them")
        if paths:
            found[part] = paths[0]
    return found


def _pattern(part: str) -> str:
    return f"fixations_{part}2014*.json"


def read_api_json(path: Path) -> dict[str, Fixations]:
    """Return the fixations on each image, by file name.

    `images` has the file name of each `id` (without it they are COCO's own); `annotations` have `image_id`,
    `worker_id` and `fixations`, a list of [row, column], both 1-based: one is subtracted. Entries of one worker on one
    image are one observer's. One entry is taken apart at a time, so that memory holds the text and the points.

    Raises:
        DataError: If the file is too large, no JSON, or laid out otherwise.
    """
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise ValueError(f"it has {size} bytes; at most {_LARGEST} are read")
        names: dict[int, str] = {}
        workers: dict[int, dict[Any, list[Floats]]] = {}
        for section, number, entry in _entries(read_text(path)):
            try:
                if section == "images":
                    names[int(entry["id"])] = str(entry["file_name"])
                elif section == "annotations":
                    people = workers.setdefault(int(entry["image_id"]), {})
                    people.setdefault(entry.get("worker_id", number), []).append(_points(entry["fixations"]))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"entry {number} of {section} is not as expected: {error!r}") from None
        if not workers:
            raise ValueError("it has no annotations")
        names = names or {image: f"COCO_{_PART.findall(path.name)[0]}2014_{image:012d}.jpg" for image in workers}
        if strange := sorted(set(workers) - set(names)):
            raise ValueError(f"annotations of {len(strange)} images, such as {strange[0]}, are not among its images")
    except (OSError, ValueError, RecursionError, IndexError) as error:
        expected = "SALICON's JSON: images of id and file_name, annotations of image_id, worker_id and fixations, N x 2"
        raise DataError(f"{path} is not {expected}: {error}") from error
    return {names[image]: _joined(people) for image, people in workers.items()}


def _joined(people: dict[Any, list[Floats]]) -> Fixations:
    rows = [np.concatenate(parts) for parts in people.values()]
    points = join([(each[:, 1] - 1, each[:, 0] - 1, each[:, 0]) for each in rows])
    return Fixations(points.x, points.y, points.observer)


def _points(fixations: Any) -> Floats:
    """Return (N, 2), row and column."""
    points = np.asarray(fixations, dtype=np.float64).reshape(-1, 2) if fixations == [] else np.asarray(fixations)
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "iuf":
        raise ValueError(f"fixations must be a list of [row, column], got shape {points.shape} of {points.dtype}")
    if not np.isfinite(points).all():
        raise ValueError("fixations must be finite numbers")
    return points.astype(np.float64)


def _entries(text: str) -> Iterator[tuple[str, int, Any]]:
    """Yield name, number and value of each element of the lists of a JSON object."""
    at = _after(text, 0, "{")
    while text[at : at + 1] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _after(text, at, ":")
        if text[at : at + 1] == "[":
            at, number = _after(text, at, "["), 0
            while text[at : at + 1] != "]":
                entry, at = _DECODER.raw_decode(text, at)
                yield str(key), number, entry
                at, number = _skip(text, at, "]"), number + 1
            at += 1
        else:
            _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at, "}")


def _after(text: str, at: int, sign: str) -> int:
    """Return the place after a sign that must be there, and after spaces around it."""
    at = _space(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"a {sign!r} is expected at character {at}")
    return _space(text, at + 1)


def _skip(text: str, at: int, end: str) -> int:
    """Return the place after a comma, or of the sign that ends the list."""
    at = _space(text, at)
    return at if text[at : at + 1] == end else _after(text, at, ",")


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
