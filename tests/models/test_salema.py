"""SalEMA against the authors' class: weights and frames by formula, outputs noted once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from models.test_unisal_video import assert_probed, clip, value

from salzoo.models.salema import SalEMANetwork

PROBES = json.loads((Path(__file__).parent / "video_probes.json").read_text())["salema"]


def test_three_frames_are_the_authors() -> None:
    network = SalEMANetwork(weight=1 / (1 + np.exp(-0.1))).eval()
    assert sum(p.numel() for p in network.parameters()) == PROBES["params"]
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    places += [30, 32, 34, 37, 39, 41, 44, 46, 48, 51, 53, 56, 58, 60]
    with torch.no_grad():
        for place, layer in zip(places, convolutions, strict=True):
            for part in ("weight", "bias"):
                tensor = getattr(layer, part)
                tensor.copy_(value(f"salgan.{place}.{part}", tuple(tensor.shape)))
        state, maps = None, []
        for frame in clip(3, 96, 128):
            logits, state = network.step(frame[None], state)
            maps.append(logits.sigmoid())
        alone = network(clip(3, 96, 128)[2:]).sigmoid()
    assert_probed(maps[0], PROBES["outputs"]["frame0"])
    assert_probed(maps[2], PROBES["outputs"]["frame2"])
    assert_probed(state, PROBES["outputs"]["state"])
    assert float((maps[2] - alone).abs().max()) > 1e-3  # the average counts
