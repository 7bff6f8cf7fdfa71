"""What is known of a model and its checkpoints: `salzoo.info`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from salzoo.checkpoint.config import as_json
from salzoo.checkpoint.folder import find_checkpoint, read_config
from salzoo.registry import AUTHORS, ModelSpec, resolve


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
