"""OSIE, and EyeCrowd, which is published in the same layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salzoo.data._matlab import load_mat
from salzoo.data.fixations import Fixations, Floats, join
from salzoo.data.one_file import OneFileDataset
from salzoo.errors import DataError


class OSIE(OneFileDataset):
    """OSIE: 700 images of 800x600, rich in objects; 15 observers, 3 s (Xu et al., Journal of Vision 2014).

    `data/stimuli/1001.jpg ...` and `data/eye/fixations.mat`, a cell array of structs `img` and
    `subjects{k}.fix_x, .fix_y, .fix_duration` (ms). Coordinates are fractional and 1-based: one is subtracted and the
    fraction kept. (The authors' code rounds, pysaliency truncates without subtracting.)
    """

    name = "osie"
    annotations = "data/eye/fixations.mat"
    source = (
        "OSIE is the data of Xu et al., 'Predicting human gaze beyond pixels', Journal of Vision 2014: "
        "GitHub repository NUS-VIP/predicting-human-gaze-beyond-pixels"
    )

    @property
    def has_order(self) -> bool:
        """Whether it is known who made which fixation, and in which order: always."""
        return True

    @staticmethod
    def read_annotations(path: Path) -> dict[str, Fixations]:
        """Read the cell array of structs."""
        found: dict[str, Fixations] = {}
        for number, record in enumerate(_listed(load_mat(path, "fixations", simplify=True)), start=1):
            try:
                name = str(record["img"])
                points = join([_person(person) for person in _listed(record["subjects"])])
            except (KeyError, TypeError, ValueError, IndexError) as error:
                expected = "a struct of img and subjects{k}.fix_x, fix_y, fix_duration of equal lengths"
                raise DataError(f"{path}: record {number} is not {expected}: {error!r}") from error
            if name in found:
                raise DataError(f"{path}: record {number} is a second one for the image {name}")
            found[name] = points
        return found


class EyeCrowd(OSIE):
    """EyeCrowd: 500 images with few to many people in them; 16 observers (Jiang et al., ECCV 2014).

    Laid out as OSIE, and 1-based as well: in copies scaled from 1024 to 640 columns, x runs from 0.625 to 640 in
    steps of 0.0625, so the original's ran from 1 to 1024 in steps of 0.1. (In such copies, too, 1 is subtracted, which
    is 0.2 px more than exact: a hundredth of the blur.)
    """

    name = "eyecrowd"
    source = "EyeCrowd is the data of Jiang, Xu and Zhao, 'Saliency in Crowd', ECCV 2014"


def _listed(value: dict[str, Any] | Sequence[Any]) -> list[Any]:
    """Undo scipy's squeezing: a cell array of one struct comes as that struct alone."""
    return [value] if isinstance(value, dict) else list(value)


def _person(person: dict[str, Any] | Floats) -> tuple[Floats, Floats, Floats]:
    """Return 0-based x, y and the duration; an observer who was not recorded is an empty matrix instead."""
    if isinstance(person, np.ndarray):
        return person.reshape(0), person.reshape(0), person.reshape(0)
    x, y, duration = (np.asarray(person[key], dtype=np.float64).ravel() for key in ("fix_x", "fix_y", "fix_duration"))
    return x - 1, y - 1, duration
