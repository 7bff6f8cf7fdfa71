"""The golden cases: maps, fixations and the values that MIT's own code and pysaliency gave for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

STEM = Path(__file__).parent / "golden" / "metric_cases_visible"
DATA: dict[str, Any] = json.loads(STEM.with_suffix(".json").read_text())
ARRAYS = np.load(STEM.with_suffix(".npz"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in DATA["cases"]}
TOLERANCES: dict[str, Any] = DATA["meta"]["tolerances"]
RESIZED = ("up2", "down2", "odd")
CONSTANT = ("constant", "constant2", "zeros")


def counts(x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return (1, H, W) counts of points."""
    total = np.zeros(size, np.int64)
    np.add.at(total, (y.astype(int), x.astype(int)), 1)
    return torch.from_numpy(total)[None]


def inputs(case: dict[str, Any], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return what the metrics take: preds, fixations, density, baseline, other (a union), others (counts)."""
    a = {key: ARRAYS[name] for key, name in case["arrays"].items()}
    size = a["fix"].shape
    return {
        "preds": torch.from_numpy(a["pred"]).to(dtype)[None],
        "fixations": counts(a["fx"], a["fy"], size),
        "density": torch.from_numpy(a["gold"]).to(dtype)[None],
        "baseline": torch.from_numpy(a["baseline"]).to(dtype),
        "other": torch.from_numpy(a["other_map"])[None],
        "others": counts(a["other_x"], a["other_y"], size),
    }


def dataset(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return the 12 images of the data-set block as preds, fixations, density (12, H, W) and baseline (H, W)."""
    a = {key: ARRAYS[name] for key, name in DATA["dataset"]["images_arrays"].items()}
    size = a["pred"].shape[1:]
    pick = [a["n"] == i for i in range(len(a["pred"]))]
    return {
        "preds": torch.from_numpy(a["pred"]).to(dtype),
        "fixations": torch.cat([counts(a["fx"][p], a["fy"][p], size) for p in pick]),
        "density": torch.from_numpy(a["gold"]).to(dtype),
        "baseline": torch.from_numpy(a["baseline"]).to(dtype),
    }
