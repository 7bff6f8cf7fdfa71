"""What is known of a model and its checkpoints: `salzoo.info`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from salzoo.checkpoint.folder import (
    find_checkpoint,
    read_config,
)
from salzoo.registry import resolve


def info(name: str) -> dict[str, Any]:
    """Return what is known of a model, as JSON types: paper, variants, checkpoints, licence, numbers.

    Args:
        name: `model` or `model.tag`.

    Raises:
        UnknownModelError: If there is none.
    """
    spec, tag = resolve(name)
    content = asdict(spec) | {"reported": [asdict(row) for row in spec.reported]}
    del content["tiny"]
    variant = spec.variants[tag]
    preprocess, backbone = variant.init_args.get("preprocess"), variant.init_args.get("backbone")
    content |= {"tag": tag, "backbone": backbone, "preprocess": preprocess, "license": None, "measured": []}
    content["checkpoints"] = {t: asdict(v.checkpoint) for t, v in spec.variants.items() if v.checkpoint is not None}
    if variant.checkpoint is not None and (folder := find_checkpoint(spec.name, tag)) is not None:
        config = read_config(folder)
        content |= {"license": config.license, "preprocess": config.init_args.get("preprocess")}
        content["measured"] = [asdict(row) for row in config.measured]
    return content
