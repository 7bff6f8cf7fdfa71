"""Writes the golden maps of miniature models: `python tests/models/make_golden.py NAME...`, after a wanted change only.

A golden map is what the miniature with its weights by formula says of a picture by formula.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_models


def path(name: str) -> Path:
    return Path(__file__).parent / "golden" / f"{name}.json"


def coarse_log_density(name: str) -> list[list[float]]:
    """Return the log density of a picture by formula, averaged to 6 x 8 cells."""
    y, x, channel = np.mgrid[:60, :80, :3]
    picture = np.float32(0.5 + 0.5 * np.sin(x / (5 + 2 * channel) + (y / 9) ** 2) * np.exp(-(((y - 25) / 30) ** 2)))
    log_density = tiny_models.build(name).predict(picture).log_density
    coarse = adaptive_avg_pool2d(torch.from_numpy(log_density)[None], (6, 8))[0]
    return [[round(value, 5) for value in row] for row in coarse.tolist()]


if __name__ == "__main__":
    for name in sys.argv[1:] or tiny_models.NAMES:
        content = {"torch": torch.__version__, "log_density": coarse_log_density(name)}
        path(name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
