"""Weights and pictures by formula: what a public implementation and ours must agree on, to the digit.

A case is a file `peers/NAME.json` that `make_peers.py` wrote with the public code at hand. It holds which model of ours
is meant, how its tensors are called over there, and what the public network says of a picture by formula when each of
its tensors is set by a formula of its name. None of the public code is needed, or kept, to compare.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import salzoo
from salzoo.components.saliency_model import SaliencyModel

FOLDER = Path(__file__).parent / "peers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
AROUND_0 = ("bias", "mean", "beta")
"""Ends of the names of vectors that a network starts at 0; all others (scales, variances, widths) start at 1."""


def read(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return case


def values(name: str, shape: tuple[int, ...], gain: float = 1.0) -> Tensor:
    """Return the values of a public tensor: noise, for layers `gain` times as large as He's initialisation makes it."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    noise = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, shape)).float()
    if len(shape) > 1:
        return noise * gain * math.sqrt(6 / noise[0].numel())
    return noise / 4 + (not name.endswith(AROUND_0))


def image(size: tuple[int, int]) -> Tensor:
    """Return a normalised picture (1, 3, H, W)."""
    return torch.from_numpy(np.random.default_rng(0).uniform(-2, 2, (1, 3, *size))).float()


def public_name(ours: str, names: Mapping[str, Any]) -> Any:
    """Return what a tensor of ours is over there, by the longest beginning of its name in `names`; None if nothing."""
    found = [start for start in names if ours.startswith(start)]
    if not found:
        return None
    start = max(found, key=len)
    rest, theirs = ours[len(start) :], names[start]
    return theirs + rest if isinstance(theirs, str) else theirs


def translate(network: nn.Module, names: Mapping[str, Any], gain: float) -> tuple[dict[str, Tensor], set[str]]:
    """Return our tensors with the values of their public counterparts, and the public names that were used.

    An entry of `names` is a name or its beginning; `{"log": NAME}` if our tensor is the logarithm of theirs;
    `{"cat": {NAME: SHAPE, ...}}` if ours is several of theirs, one after the other.
    """
    state, used = dict[str, Tensor](), set[str]()
    for key, tensor in network.state_dict().items():
        theirs = public_name(key, names)
        if theirs is None or not tensor.is_floating_point():
            continue
        shape = tuple(tensor.shape)
        if isinstance(theirs, str):
            state[key], parts = values(theirs, shape, gain), [theirs]
        elif "log" in theirs:
            state[key], parts = values(theirs["log"], shape, gain).log(), [theirs["log"]]
        else:
            state[key] = torch.cat([values(part, tuple(size), gain) for part, size in theirs["cat"].items()])
            parts = list(theirs["cat"])
        used.update(parts)
    return state, used


def build(case: Mapping[str, Any]) -> tuple[SaliencyModel, set[str], set[str]]:
    """Return our model of a case, the public names that it uses, and our tensors that have no counterpart."""
    model = salzoo.load(case["model"], weights=None, **case["options"])
    state, used = translate(model.network, case["names"], case["gain"])
    own = {key for key, tensor in model.network.state_dict().items() if tensor.is_floating_point()}
    model.network.load_state_dict(state, strict=False)
    return model.eval(), used, own - set(state)


def run(model: SaliencyModel, case: Mapping[str, Any]) -> Tensor:
    """Return what our network says of the picture, or the density that it means, as the case has it."""
    with torch.inference_mode():
        logits = model.average_views([model.network(image(tuple(case["input_size"])))])
        return logits if case["output_of"] == "network" else model.to_log_density(logits)


def sample(output: Tensor) -> list[float]:
    """Return at most 400 values, evenly spread over the flattened output."""
    flat = output.flatten()
    return [
        float(f"{value:.7g}") for value in flat[torch.linspace(0, len(flat) - 1, min(len(flat), 400)).long()].tolist()
    ]
