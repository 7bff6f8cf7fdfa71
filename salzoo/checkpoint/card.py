"""A checkpoint's card: a header that is generated from what was measured, and prose that is written by hand."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from salzoo import _markdown
from salzoo._io import write_text
from salzoo.checkpoint.config import (
    CARD,
    IMAGES,
    OF_SCANPATHS,
    RELIABILITY,
    SHEET,
    Config,
    Explained,
    Measured,
    Provenance,
)
from salzoo.checkpoint.folder import find_checkpoint, read_config, save_checkpoint, write_config
from salzoo.errors import SpecError
from salzoo.metrics import METRICS
from salzoo.metrics.scanpaths import CONDITIONAL
from salzoo.registry import ModelSpec, prose_file, read_spec

if TYPE_CHECKING:
    from torch import nn

SETS = {
    "osie": "OSIE (Xu, Jiang, Wang, Kankanhalli & Zhao, Journal of Vision 2014)",
    "eyecrowd": "EyeCrowd (Jiang, Xu & Zhao, ECCV 2014)",
    "scene500": "Scene500 (Liang et al. 2015)",
}
"""Datasets and their papers, as the cards cite them."""

OVERLAYS = (
    f"![Overlays of this model on eight images]({SHEET})\n\n"
    "*The contours enclose half and 80 % of the predicted density. Photographs: NASA and SpaceX (public domain), "
    "Rachel Michetti and Stefan van der Walt (CC0); the others are drawn.*"
)
"""What the card says of the sheet that `benchmarks/sheets.py` draws."""


def render(spec: ModelSpec, config: Config, *, images: Collection[str] = ()) -> str:
    """Return the card of a checkpoint as Markdown with a YAML header.

    Args:
        spec: The model.
        config: The checkpoint's `config.json`.
        images: Which of `IMAGES` lie in the same folder, to be shown.
    """
    name = f"{config.model}.{config.tag}"
    data = ModelCardData(
        license=config.license,
        library_name="salzoo",
        pipeline_tag="image-to-image",
        tags=["saliency", "fixation-prediction", "eye-tracking", "lightning"],
        datasets=sorted({row.dataset for row in config.measured}),
        metrics=_metrics(config.measured) or None,
        model_name=name if config.measured else None,
        eval_results=[result for row in config.measured for result in _results(row)] or None,
    )
    own = _is_own(config)  # such weights are not those that the model's texts tell of
    prose, variant = prose_file(spec.name), spec.variants.get(config.tag)
    source = "path/to/this/folder" if own else name
    use = "predict('photo.jpg').save('map.png')"
    if spec.kind == "scanpath":
        use = "predict_scanpath('photo.jpg').overlay('photo.jpg').save('path.png')"
    parts = [
        f"# {name}",
        spec.summary,
        f"Variant `{config.tag}`: {variant.summary}" if variant is not None and not own else "",
        "Weights of one's own, not those that salzoo ships under this name." if own else "",
        f"```python\nimport salzoo\n\nsalzoo.load({source!r}).{use}\n```",
        OVERLAYS if SHEET in images else "",
        prose.read_text(encoding="utf-8").strip() if prose.is_file() and not own else "",
        _measured_table(config, "salzoo evaluate --record" if own or config.imported else "make table"),
        _calibration(config, images),
        _scanpath_table(config),
        _training(config) if config.imported is None or config.provenance is not None else "",
        _origin(spec, config),
        _citation(spec),
    ]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(p for p in parts if p) + "\n"))


def _is_own(config: Config) -> bool:
    """Return whether `salzoo.load` finds other weights under this name, or nobody recorded where these come from."""
    if config.imported is not None:
        return False
    folder = find_checkpoint(config.model, config.tag)
    return config.provenance is None or (folder is not None and read_config(folder).sha256 != config.sha256)


def write(folder: Path, spec: ModelSpec, config: Config | None = None) -> None:
    """Write `README.md` of a checkpoint folder, in one step."""
    write_text(folder / CARD, render(spec, config or read_config(folder), images=images_in(folder)))


def images_in(folder: Path) -> list[str]:
    """Return which of `IMAGES` a checkpoint folder has."""
    return [name for name in IMAGES if (folder / name).is_file()]


def save_model(network: nn.Module, config: Config, folder: Path, license: str | None = None) -> None:
    """Write a whole checkpoint folder: weights, `config.json` and card.

    Args:
        network: Its tensors are stored.
        config: Config of the model; its provenance and measured numbers are left out if they belong to other weights,
            but not what they have seen.
        folder: Created if it does not exist.
        license: SPDX identifier of the weights; None for that of the config.

    Raises:
        SpecError: If no licence is known for the weights.
        WeightsError: If a tensor is not finite.
    """
    if (license or config.license) is None:
        raise SpecError("no licence is known for these weights: give license='apache-2.0' or another SPDX identifier.")
    half = config.imported is None  # what was published as float32 stays so
    saved = save_checkpoint(network, replace(config, license=license or config.license), folder, half=half)
    if saved.sha256 != config.sha256:
        saved = replace(saved, provenance=None, measured=(), trained_images=saved.images_seen)
        write_config(folder, saved)
    elif (source := _twin(saved)) is not None and source != folder:
        for name in images_in(source):
            shutil.copyfile(source / name, folder / name)
    write(folder, read_spec(config.model), saved)


def _twin(config: Config) -> Path | None:
    """Return the folder of that name with images that were drawn from the same weights, if this machine has it."""
    source = find_checkpoint(config.model, config.tag)
    if source is None or not images_in(source) or read_config(source).sha256 != config.sha256:
        return None
    return source


def record(folder: Path, rows: Iterable[Measured]) -> None:
    """Write measured rows into a checkpoint folder's `config.json` and card, over those of the same set and split.

    The calibration of a row stays where the new one has none: it is measured apart, of the same weights.

    Raises:
        WeightsError: If it is not a checkpoint folder.
    """
    config = read_config(folder)
    measured: dict[tuple[str, str, str], Measured] = {}
    for row in (*config.measured, *rows):
        key = (row.dataset, row.split, row.convention)
        kept = measured.get(key, row).calibration
        measured[key] = replace(row, calibration=row.calibration or kept)
    config = replace(config, measured=tuple(measured.values()))
    write_config(folder, config)
    write(folder, read_spec(config.model), config)


def _metrics(rows: Iterable[Measured]) -> list[str]:
    """Return the metrics of the tables of some rows."""
    kinds = {row.convention == OF_SCANPATHS for row in rows}
    return [*(METRICS if False in kinds else ()), *(CONDITIONAL if True in kinds else ())]


def _results(row: Measured) -> list[EvalResult]:
    paths = row.convention == OF_SCANPATHS
    return [
        EvalResult(
            task_type="image-to-image",
            task_name="Scanpath prediction" if paths else "Saliency prediction",
            dataset_type=row.dataset,
            dataset_name=SETS.get(row.dataset, row.dataset),
            dataset_split=row.split,
            metric_type=metric,
            metric_name=f"{CONDITIONAL[metric].heading}, next fixation" if paths else metric,
            metric_value=round(value, 4),
        )
        for metric, value in row.scores.items()
        if metric in (CONDITIONAL if paths else METRICS)
    ]


def _measured_table(config: Config, command: str) -> str:
    if not (measured := [row for row in config.measured if row.convention != OF_SCANPATHS]):
        return ""
    names = [name for name in METRICS if any(name in row.scores for row in measured)]
    explains = any(row.explained is not None for row in measured)
    header = ["dataset", "split", "images", *(METRICS[n].heading() for n in names), *["explained"] * explains]
    rows = [
        [
            *(row.dataset, row.split, str(row.images)),
            *(f"{row.scores[n]:.3f}" if n in row.scores else "" for n in names),
            *[_share(row.explained)] * explains,
        ]
        for row in measured
    ]
    first = measured[0]
    note = f"Convention `{first.convention}`, measured by `{command}` at commit `{first.commit[:12]}`. "
    note += "Information gain in bits a fixation over the centre bias of the set's training split."
    if explains:
        note += " Explained: as a share of what people's fixations tell of each other's; 95 % interval over images."
    return "\n".join(["## Measured", "", *_markdown.table(header, rows), "", note])


def _share(explained: Explained | None) -> str:
    return "" if explained is None else f"{explained.share:.1%} ({explained.low:.1%} to {explained.high:.1%})"


def _calibration(config: Config, images: Collection[str]) -> str:
    """Return whether densities mean what they say, in a figure if there is one and in numbers."""
    found = {f"{row.dataset} {row.split}": row.calibration for row in config.measured if row.calibration is not None}
    if not found:
        return ""
    alt = (
        "Curves of the share of the fixations within the smallest region that holds a share of the density, against "
        f"that share, beside the diagonal on which both are equal: {', '.join(found)}"
    )
    numbers = "; ".join(
        f"{name} {each.error:.3f}, {each.expected_bits:.2f} and {each.measured_bits:.2f}"
        for name, each in found.items()
    )
    commits = ", ".join(sorted({f"`{each.commit[:12]}`" for each in found.values()}))
    return "\n\n".join(
        [
            "## Calibration",
            *[f"![{alt}]({RELIABILITY})"] * (RELIABILITY in images),
            "The smallest region that holds 80 % of the density should hold 80 % of the fixations. Expected "
            "calibration error, then bit over uniform that the density expects and that were measured: "
            f"{numbers}. "
            f"`python benchmarks/calibration.py` at commit {commits}.",
        ]
    )


def _scanpath_table(config: Config) -> str:
    if not (measured := [row for row in config.measured if row.convention == OF_SCANPATHS]):
        return ""
    names = [name for name in CONDITIONAL if any(name in row.scores for row in measured)]
    header = ["dataset", "split", "images", *(CONDITIONAL[name].heading for name in names)]
    rows = [
        [row.dataset, row.split, str(row.images), *(f"{row.scores[n]:.3f}" if n in row.scores else "" for n in names)]
        for row in measured
    ]
    commits = ", ".join(sorted({f"`{row.commit[:12]}`" for row in measured}))
    note = "Of each fixation from the second on, given those before it; `salzoo evaluate --scanpaths` at commit "
    return "\n".join(["## Measured: the next fixation", "", *_markdown.table(header, rows), "", f"{note}{commits}."])


def _training(config: Config) -> str:
    made = config.provenance
    if made is None:
        return "## Training\n\nNot recorded: these weights are not the ones that salzoo ships under this name."
    sets = ", ".join(f"{SETS.get(s.partition(':')[0], s)}, split `{s.partition(':')[2]}`" for s in made.data)
    versions = ", ".join(f"{k} {v}" for k, v in made.versions.items())
    return (
        f"## Training\n\nData: {sets}. The photographs belong to their owners; none is part of this repository.\n\n"
        f"```\n{made.command}\n```\n\nSeed {made.seed}, commit `{made.commit[:19]}`, {versions}. "
        "The whole recipe is in `config.json`." + _parent(made) + _halved(made)
    )


def _origin(spec: ModelSpec, config: Config) -> str:
    """Return where imported weights come from, and what was done to them."""
    made = config.imported
    if made is None:
        return ""
    release = next((r for r in spec.authors if r.name == made.release), None)
    summary, seen = release.summary.rstrip(".") if release else spec.name, ", ".join(made.data) or "not stated"
    files = [[f"`{f.name}`", f"{f.bytes:,}", f"`{f.sha256}`", "yes" if f.known else "not known"] for f in made.files]
    proof = f"How the conversion was proved: {release.proved}." if release and release.proved else ""
    return "\n\n".join(
        part
        for part in (
            "## Origin",
            f"The authors' own weights, converted value by value to float32: {summary}.",
            "\n".join(_markdown.table(["file", "bytes", "sha256", "the known file"], files)),
            f"From {', '.join(made.where)}. Licence: {made.license_note}",
            f"```\n{made.command}\n```",
            f"Trained on: {seen}. salzoo at commit `{made.commit[:19]}`. {proof}".strip(),
            " ".join(made.notes),
        )
        if part
    )


def _parent(made: Provenance) -> str:
    if made.parent is None:
        return ""
    start = made.parent
    return f" Fine-tuned from `{start.model}.{start.tag}` (sha256 {start.sha256[:12]}), whose training sets are listed."


def _halved(made: Provenance) -> str:
    if made.halved is None:
        return ""
    before, after = made.halved.float32, made.halved.float16
    return (
        f"\n\nThe file holds half precision: on the validation split NSS {after:.4f}, against {before:.4f} in float32 "
        f"(difference {abs(after - before):.4f}, measured before and after writing it)."
    )


def _citation(spec: ModelSpec) -> str:
    if spec.paper is None:
        return ""
    paper = spec.paper
    url = f" {paper.url}" if paper.url else ""
    return f"## Citation\n\n{paper.authors}. *{paper.title}*. {paper.venue} {paper.year}.{url}"
