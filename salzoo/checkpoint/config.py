"""The content of a checkpoint's `config.json`, typed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from salzoo.errors import SpecError

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

SHEET = "sheet.jpg"
"""Overlays of the model on free images, which the card shows if the folder has it; `benchmarks/sheets.py`."""

FORMAT = 1
"""Version of the layout of `config.json`; RELEASES.md says when it changes."""


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
        command: The command as it was typed.
        commit: Commit of the repository; `+changes` if the tree was not clean.
        seed: Seed of the run.
        data: Data sets and splits, as `osie:train`; of a fine-tuned checkpoint its parent's too.
        recipe: The whole configuration of the run: `training`, `trainer` and `data`.
        versions: Versions of the libraries that matter.
        halved: What storing the weights in half precision cost; None if it was not measured.
        parent: The checkpoint that was fine-tuned; None after training from scratch or from ImageNet weights.
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
    """Which model this is and where its weights come from; `model.config`, and a checkpoint's `config.json`.

    Typed, so that an unknown key or a wrong type in a file is an error.

    Args:
        model: Name in the registry; the class is looked up there, never imported by path.
        tag: Variant or name of the checkpoint.
        network: Arguments of the class except `preprocess`, as JSON types.
        preprocess: Fields of `Preprocess`, with `mean` and `std` as numbers.
        sha256: Checksum of `model.safetensors`; None for a network without published weights.
        license: SPDX identifier of the weights' licence; None likewise.
        provenance: None for weights of unknown origin.
        measured: Evaluation results.
        format: Version of the layout of the file.
    """

    model: str
    tag: str
    network: dict[str, Any]
    preprocess: dict[str, Any]
    sha256: str | None = None
    license: str | None = None
    provenance: Provenance | None = None
    measured: tuple[Measured, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse invalid names, since names become parts of paths, and layouts of other versions.

        Raises:
            SpecError: If `model` or `tag` has other characters than letters, digits, `_` and `-`, or `format` is
                another one.
        """
        for value in (self.model, self.tag):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
                raise SpecError(f"config.json: {value!r} is not the name of a model or tag (letters, digits, _ and -).")
        if self.format != FORMAT:
            raise SpecError(f"config.json: format is {self.format}, this salzoo reads {FORMAT}.")

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Data sets and splits that the weights have seen, as `osie:train`."""
        return () if self.provenance is None else self.provenance.data

    @property
    def training(self) -> dict[str, Any]:
        """Training settings of the run that made the weights; empty if they are not known."""
        found = {} if self.provenance is None else self.provenance.recipe.get("training")
        return dict(found) if isinstance(found, dict) else {}


def as_json(value: Any) -> Any:
    """Return a value as JSON types: tuples as lists."""
    return json.loads(json.dumps(value))
