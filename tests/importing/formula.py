"""Weights and images by formula, and samples of outputs: what an oracle and a test must both be able to make.

NumPy alone, so that a script in `oracles/` runs in whatever environment its engine needs, with this folder on its path.
A golden is `goldens/NAME.json`: `engine` (in words, with versions) and whatever lists of numbers its test compares.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDENS = Path(__file__).parent / "goldens"


def values(name: str, shape: tuple[int, ...], gain: float = 1.0, fan_in: int | None = None) -> NDArray[np.float32]:
    """Return float32 noise that the name alone decides: in ±`gain` times what He's initialisation draws.

    Args:
        name: Decides the numbers.
        shape: Of a vector: noise in ±gain / 4.
        gain: Times He's uniform initialisation.
        fan_in: Inputs of a unit; None for the product of all sides but the first, as in OIHW.
    """
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    noise = np.random.default_rng(seed).uniform(-gain, gain, shape)
    width = math.sqrt(6 / (fan_in or math.prod(shape[1:]))) if len(shape) > 1 else 0.25
    return (noise * width).astype(np.float32)


def image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return an RGB image (height, width, 3) of noise on a slow wave, from 0 to 255."""
    y, x, channel = np.mgrid[:height, :width, :3]
    wave = 128 + 80 * np.sin(x / (7 + 2 * channel) + y / 11)
    noise = np.random.default_rng(seed).uniform(-40, 40, (height, width, 3))
    return (wave + noise).clip(0, 255).astype(np.uint8)


def sample(output: ArrayLike, count: int = 400) -> list[float]:
    """Return at most `count` values, evenly spread over the flattened output, with seven digits."""
    flat = np.asarray(output).ravel()
    places = np.linspace(0, len(flat) - 1, min(len(flat), count)).astype(int)
    return [float(f"{value:.7g}") for value in flat[places].tolist()]


def write_golden(name: str, engine: str, **content: Any) -> None:
    """Write `goldens/NAME.json`, one line a key."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in {"engine": engine, **content}.items())
    (GOLDENS / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_golden(name: str) -> dict[str, Any]:
    """Read `goldens/NAME.json`."""
    content: dict[str, Any] = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    return content
