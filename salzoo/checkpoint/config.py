"""The content of a checkpoint's `config.json`, typed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from salzoo._schema import shown
from salzoo.checkpoint.limits import check_plain
from salzoo.errors import SpecError
from salzoo.registry import shipped

if TYPE_CHECKING:
    from salzoo.data import FixationDataset

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

SHEET = "sheet.jpg"
"""Overlays of the model on free images, which the card shows if the folder has it; `benchmarks/sheets.py`."""

RELIABILITY = "reliability.svg"
"""What is looked at of each share of the density, which the card shows likewise; `benchmarks/calibration.py`."""

FEWEST = 5
"""From fewer images nothing is concluded: they are not published, and `salzoo.evaluation` warns."""

IMAGES = (SHEET, RELIABILITY)
"""Images that a checkpoint folder may have."""

OF_SCANPATHS = "scanpath"
"""In the place of a convention, in the rows of `salzoo evaluate --scanpaths`."""

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

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            SpecError: If an entry of `data` has no split.
        """
        _check_entries("provenance.data", self.data)


@dataclass(frozen=True)
class SourceFile:
    """A file that weights were imported from; `known` says whether it is, by its checksum, the one that is known."""

    name: str
    bytes: int
    sha256: str
    known: bool


@dataclass(frozen=True)
class Imported:
    """Where imported weights come from.

    Args:
        release: Which of the model's releases they are.
        files: What was read.
        where: Where the authors offer those files.
        license_note: What the authors say of the licence.
        command: The command, or the call, that imported them.
        commit: Commit of salzoo that did.
        data: Datasets and splits that the weights have seen, as `salicon2015:train`.
        notes: What else matters, as a centre bias that was given.
    """

    release: str
    files: tuple[SourceFile, ...]
    where: tuple[str, ...]
    license_note: str
    command: str
    commit: str
    data: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what the types cannot say.

        Raises:
            SpecError: If an entry of `data` has no split.
        """
        _check_entries("imported.data", self.data)


def _check_entries(field: str, data: Iterable[str]) -> None:
    if unsplit := [entry for entry in data if not all(entry.partition(":"))]:
        raise SpecError(f"{field}: got {shown(unsplit[0])}, expected a set and its split, as osie:train.")


@dataclass(frozen=True)
class Explained:
    """Information gain as a share of what people tell of each other, and its 95 % interval over images."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """Whether densities mean what they say, as `salzoo.evaluation.calibration.reliability` measures it.

    Args:
        error: Expected calibration error of mass, 0 to 1.
        expected_bits: Log-likelihood that a density gives its own samples, in bit over uniform.
        measured_bits: Log-likelihood of the fixations, likewise.
        commit: Commit of the code that measured it.
    """

    error: float
    expected_bits: float
    measured_bits: float
    commit: str


@dataclass(frozen=True)
class Measured:
    """One row of an evaluation, written by `salzoo evaluate`; with `--scanpaths`, its convention is `OF_SCANPATHS`.

    Args:
        dataset: Name of the dataset.
        split: Its split.
        images: Number of images.
        convention: Convention of the metrics.
        commit: Commit of the code that measured it.
        scores: Means over images, by metric.
        explained: What the row explains; None if that was not measured.
        calibration: Whether densities mean what they say; None if that was not measured.
    """

    dataset: str
    split: str
    images: int
    convention: str
    commit: str
    scores: dict[str, float]
    explained: Explained | None = None
    calibration: Calibration | None = None


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
        trained_images: Fingerprints of the training images (`salzoo.images.fingerprint.pack`) by dataset and split, as
            `osie:train`; empty text if they are not known. Those of the checkpoints that ship with salzoo are in
            `hub/trained_images.json`.
        imported: Where the authors' own weights come from; None for all others.
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
    trained_images: dict[str, str] = field(default_factory=dict)
    imported: Imported | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        """Refuse invalid names, since names become parts of paths, layouts of other versions, and what no network has.

        Raises:
            SpecError: If `model` or `tag` has other characters than letters, digits, `_` and `-`, `format` is another
                one, `network` or `preprocess` has lists, texts or numbers beyond all measure, or `trained_images` holds
                no fingerprints.
        """
        for value in (self.model, self.tag):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
                raise SpecError(
                    f"config.json: {shown(value)} is not the name of a model or tag (letters, digits, _ and -)."
                )
        if self.format != FORMAT:
            raise SpecError(f"config.json: format is {self.format}, this salzoo reads {FORMAT}.")
        check_plain(self.network, "config.json: network")
        check_plain(self.preprocess, "config.json: preprocess")
        for entry, text in self.trained_images.items():
            from salzoo.images.fingerprint import unpack  # here: numpy and Pillow, which a typo need not wait for

            try:
                unpack(text)
            except SpecError as error:
                raise SpecError(f"config.json: trained_images.{entry}: {error}") from error

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Data sets and splits that the weights have seen, as `osie:train`."""
        recorded = [made.data for made in (self.imported, self.provenance) if made is not None]
        return tuple(dict.fromkeys((*itertools.chain(*recorded), *self.trained_images)))

    @property
    def images_seen(self) -> dict[str, str]:
        """Packed fingerprints of the images of each entry of `trained_on`; empty text if they are not known."""
        return {entry: self.trained_images.get(entry) or shipped_images().get(entry, "") for entry in self.trained_on}

    def with_images(
        self, sets: Iterable[FixationDataset], before: Config | None = None, split: str = "train"
    ) -> Config:
        """Return the config of weights that were trained on these datasets too.

        Args:
            sets: Datasets that it was trained on; all their images are read.
            before: Config of the checkpoint that training started from, if it is not this one.
            split: What the entries call these images.
        """
        from salzoo.images.fingerprint import pack, unpack

        images = {**(before or self).images_seen, **self.trained_images}
        for dataset in sets:
            entry = f"{dataset.name}:{split}"
            images[entry] = pack((*unpack(images.get(entry, "")).tolist(), *dataset.fingerprints().tolist()))
        return replace(self, trained_images=images)

    @property
    def training(self) -> dict[str, Any]:
        """Training settings of the run that made the weights; empty if they are not known."""
        found = {} if self.provenance is None else self.provenance.recipe.get("training")
        return dict(found) if isinstance(found, dict) else {}


@cache
def shipped_images() -> dict[str, str]:
    """Return the packed fingerprints of the sets that the shipped checkpoints saw; `benchmarks/trained_images.py`."""
    found: dict[str, str] = json.loads((shipped("hub") / "trained_images.json").read_text(encoding="utf-8"))
    return found


def as_json(value: Any) -> Any:
    """Return a value as JSON types: tuples as lists."""
    return json.loads(json.dumps(value))
