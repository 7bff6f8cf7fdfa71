"""What a checkpoint says of itself: the content of its `config.json`, typed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from salzoo.errors import SpecError

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


SHEET = "sheet.jpg"
"""Overlays of the model on free pictures, which the card shows if the folder has it; `benchmarks/sheets.py`."""


@dataclass(frozen=True)
class HalfPrecisionCheck:
    """NSS on the validation split, before and after the weights were stored in half precision."""

    float32: float
    float16: float


@dataclass(frozen=True)
class Parent:
    """The checkpoint that training went on from: its model and tag, and the sha256 of its weights."""

    model: str
    tag: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What made a checkpoint: enough to make it again.

    Args:
        command: As typed.
        commit: Of the repository; `+changes` if the tree was not clean.
        seed: Of the run.
        data: Data sets and splits, as `osie:train`; of a fine-tuned checkpoint its parent's too.
        recipe: The whole configuration of the run.
        versions: Of the libraries that matter.
        halved: What half precision cost; None if nobody measured it.
        parent: What was fine-tuned; None for what was trained from scratch or from ImageNet weights.
    """

    command: str
    commit: str
    seed: int
    data: tuple[str, ...]
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    halved: HalfPrecisionCheck | None = None
    parent: Parent | None = None


@dataclass(frozen=True)
class Measured:
    """One row of an evaluation, written by `salzoo evaluate`."""

    dataset: str
    split: str
    images: int
    convention: str
    commit: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Config:
    """A checkpoint's `config.json`: typed, so that an unknown key or a wrong type is an error.

    Args:
        model: Name in the registry; the class is looked up there, never imported by path.
        tag: Of the checkpoint.
        init_args: Arguments of the class, `preprocess` resolved.
        sha256: Of `model.safetensors`.
        license: SPDX identifier of the weights.
        provenance: None for weights of unknown origin.
        measured: Evaluation results.
    """

    model: str
    tag: str
    init_args: dict[str, Any]
    sha256: str
    license: str
    provenance: Provenance | None = None
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no name: names become parts of paths.

        Raises:
            SpecError: If `model` or `tag` has other characters than letters, digits, `_` and `-`.
        """
        for value in (self.model, self.tag):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
                raise SpecError(f"config.json: {value!r} is not the name of a model or tag (letters, digits, _ and -).")
