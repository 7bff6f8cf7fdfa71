"""What is known of a model and its checkpoints: `salzoo.info`, and the short sheet and the card of `salzoo info`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from salzoo.checkpoint.config import CARD, WEIGHTS, as_json
from salzoo.checkpoint.folder import find_checkpoint, read_config
from salzoo.errors import SpecError, UnknownModelError
from salzoo.registry import AUTHORS, ModelSpec, prose_file, read_spec, resolve

SHOWN = ("ll", "auc_judd", "nss", "cc", "kld", "ig")
"""Metrics of the sheet."""
_INDENT, _WIDTH = 10, 110


def info(name: str) -> dict[str, Any]:
    """Return what is known of a model, as JSON types: paper, variants, checkpoints, licence, numbers.

    Args:
        name: `model` or `model.tag`.

    Raises:
        UnknownModelError: If there is none.
    """
    spec, tag = resolve(name, imported=True)
    content = asdict(spec) | {
        "reported": [asdict(row) for row in spec.reported],
        "authors": as_json([asdict(release) for release in spec.authors]),
    }
    del content["tiny"]
    variant = spec.variants.get(tag) or spec.authors[0]
    checkpoints = _checkpoints(spec)
    content |= {"tag": tag, "backbone": variant.network.get("backbone"), "preprocess": variant.preprocess or None}
    content |= {"checkpoints": checkpoints, "license": checkpoints.get(tag, {}).get("license"), "measured": []}
    if (folder := find_checkpoint(spec.name, tag)) is not None:
        config = read_config(folder, spec.name)
        content |= {"preprocess": config.preprocess, "measured": [asdict(row) for row in config.measured]}
    return content


def _checkpoints(spec: ModelSpec) -> dict[str, Any]:
    """Return checksum, licence and place on the Hub of each variant with weights."""
    found: dict[str, Any] = {}
    pins = {tag: variant.hub for tag, variant in spec.variants.items()}
    for tag, hub in {**pins, AUTHORS: None}.items():
        folder = find_checkpoint(spec.name, tag)
        config = None if folder is None else read_config(folder, spec.name)
        if config is not None or hub is not None:
            pin = {"sha256": None, "repo": None, "revision": None} if hub is None else asdict(hub)
            known = {} if config is None else {"sha256": config.sha256, "license": config.license}
            found[tag] = {"license": None, **pin, **known}
    return found


def sheet(name: str) -> str:
    """Return what most people want to know of a model, in 40 lines at most: paper, variants, weights, numbers, use.

    Args:
        name: `model` or `model.tag`.

    Raises:
        UnknownModelError: If there is none.
    """
    spec, tag = resolve(name, imported=True)
    lines = [f"{spec.name}.{tag}: {spec.summary}", ""]
    for label, text in _facts(spec, tag):
        wrapped = textwrap.wrap(text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False)
        lines += [f"{label if i == 0 else '':{_INDENT}}{line}" for i, line in enumerate(wrapped)]
    return "\n".join(lines)


def card(name: str) -> str:
    """Return the card of a model without its header: that of its checkpoint, or the zoo's text if there is none.

    Args:
        name: `model`, `model.tag`, or a checkpoint folder.

    Raises:
        UnknownModelError: If there is no such model.
        SpecError: If it has no card.
    """
    folder: Path | None = Path(name)
    try:
        spec, tag = resolve(name, imported=True)
        folder = find_checkpoint(spec.name, tag)
    except UnknownModelError:
        if not (Path(name) / CARD).is_file():
            raise
        spec = read_spec(read_config(Path(name)).model)
    places = [*([] if folder is None else [folder / CARD]), prose_file(spec.name)]
    for place in places:
        if place.is_file():
            text = place.read_text(encoding="utf-8")
            return (text.partition("\n---\n")[2] if text.startswith("---\n") else text).strip()
    raise SpecError(f"{spec.name} has no card; `salzoo info {spec.name}` tells what is known of it.")


def _facts(spec: ModelSpec, tag: str) -> Iterator[tuple[str, str]]:
    """Yield the paragraphs of the sheet, each with its label."""
    known, own, variant = info(f"{spec.name}.{tag}"), spec.paper, spec.variants.get(tag)
    if own is not None:
        yield "Paper", f"{own.authors}: {own.title}. {own.venue} {own.year}."
        yield from (("", place) for place in (own.url, own.code) if place)
    for i, (each, one) in enumerate(spec.variants.items()):
        yield "Variants" * (i == 0), f"{each}{' (loads)' * (each in spec.loadable)}: {one.summary}"
    for i, release in enumerate(spec.authors):
        licence = "no licence stated" if release.license == "LicenseRef-none" else release.license
        yield "Authors'" * (i == 0), f"{release.name} ({licence}), from {release.files[0].where}"
    file = _weights(spec, tag)
    yield "Weights", _of_weights(spec, tag, file)
    if known["preprocess"]:
        size, fit = known["preprocess"].get("size"), known["preprocess"].get("fit", "squash")
        yield "Input", f"{size[0]} x {size[1]} pixels ({fit})" if size else f"any size ({fit})"
    network = (spec.authors[0] if variant is None else variant).network
    if backbones := network.get("backbones") or [name for name in (network.get("backbone"),) if name]:
        yield "Backbone", ", ".join(backbones)
    for i, row in enumerate(known["measured"]):
        scores = ", ".join(f"{metric} {row['scores'][metric]:.3f}" for metric in SHOWN if metric in row["scores"])
        yield "Numbers" * (i == 0), f"{row['dataset']} {row['split']}, {row['images']} images: {scores}"
    name = f"{spec.name}.{tag}" if tag != spec.default else spec.name
    if file is not None or tag in spec.loadable:
        yield "Use", f"salzoo predict photo.jpg -m {name}"
    elif variant is not None:
        yield "Use", f"salzoo fit {name} --data {'videos' if spec.kind == 'video' else 'osie'} --root DIR -o runs"
    yield "More", f"salzoo info {name} --card (loss, limits, training), --bibtex, --json (all that is known)"


def _weights(spec: ModelSpec, tag: str) -> Path | None:
    """Return the weights of a tag; None if they are not on this machine."""
    folder = find_checkpoint(spec.name, tag)
    return folder / WEIGHTS if folder is not None and (folder / WEIGHTS).is_file() else None


def _of_weights(spec: ModelSpec, tag: str, file: Path | None) -> str:
    """Return where the weights of a tag are, and their licence."""
    if file is not None:
        config = read_config(file.parent, spec.name)
        size, licence = f"{file.stat().st_size / 1e6:.3g} MB", config.license or "not stated"
        return f"{size}, licence {licence}, sha256 {(config.sha256 or '')[:12]}"
    if spec.training == "none":
        return "none: it has nothing to learn"
    if tag in spec.loadable:
        return "on the Hub; `load` fetches them"
    return f"none here; salzoo.load('{spec.name}.{tag}') says how to get them"
