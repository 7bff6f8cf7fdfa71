"""UNISAL's recurrent path against the authors' class: weights and frames by formula, outputs noted once."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from salzoo.components.saliency_model import normalise_log
from salzoo.importing.maps.unisal import names
from salzoo.models.unisal import UNISAL, UNISALNetwork

PROBES = json.loads((Path(__file__).parent / "video_probes.json").read_text())["unisal"]
KEPT = ("coarse_gaussians", "smoothing")
"""Tensors that stay as they were initialised, here as there."""


def value(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return the weights that a tensor of the authors' name has in the probes."""
    phase = (zlib.crc32(name.encode()) % 997) / 997 * 2 * math.pi
    wave = np.sin(np.arange(1, math.prod(shape) + 1) * 12.9898 + phase) * 43758.5453
    u = (wave - np.floor(wave)).reshape(shape)
    last = name.rpartition(".")[2]
    if last == "running_var":
        u = 0.5 + u
    elif last == "running_mean":
        u = 0.2 * (u - 0.5)
    elif len(shape) >= 2:
        u = (2 * u - 1) * math.sqrt(6 / math.prod(shape[1:]))
    else:
        u = 0.8 + 0.4 * u if last == "weight" else 0.1 * (2 * u - 1)
    return torch.from_numpy(u)


def clip(frames: int, height: int, width: int) -> Tensor:
    """Return the frames of the probes, (T, 3, H, W) in [-1, 1]."""
    t, c, y, x = np.meshgrid(*map(np.arange, (frames, 3, height, width)), indexing="ij")
    return torch.from_numpy(np.sin(0.13 * x + 0.7 * c + 0.21 * t) * np.cos(0.11 * y - 0.05 * t)).float()


def assert_probed(found: Tensor, expected: dict) -> None:
    flat = found.double().flatten()
    for index, probed in expected["at"].items():
        assert float(flat[int(index)]) == pytest.approx(probed, abs=1e-4)
    assert float(flat.mean()) == pytest.approx(expected["mean"], abs=1e-4)
    assert float(flat.std()) == pytest.approx(expected["std"], abs=1e-4)


@pytest.fixture(scope="module")
def network() -> UNISALNetwork:
    domains = ("DHF1K", "UCFSports", "SALICON")
    network = UNISALNetwork(
        backbone="mobilenetv2_100", domains=tuple(map(str.lower, domains)), recurrent=True, interleave=1
    ).eval()
    tensors = network.state_dict()
    for domain in domains:
        for theirs, ours in names(domain):
            if tensors[ours].is_floating_point() and not theirs.startswith(KEPT):
                tensors[ours].copy_(value(theirs, tuple(tensors[ours].shape)))
    return network


@torch.no_grad()
def stream(network: UNISALNetwork, frames: Tensor, state: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor]]:
    found = []
    for frame in frames:
        logits, state = network.step(frame[None], state)
        found.append(normalise_log(logits))
    assert state is not None
    return torch.cat(found), state


@pytest.mark.parametrize(("domain", "probe"), [("dhf1k", "video4_DHF1K_96x128"), ("ucfsports", "video4_UCFSports")])
def test_four_frames(network: UNISALNetwork, domain: str, probe: str) -> None:
    network.use(domain)
    assert_probed(stream(network, clip(4, 96, 128))[0], PROBES["outputs"][probe])


def test_one_frame_hidden_state_and_still_image(network: UNISALNetwork) -> None:
    frames = clip(4, 96, 128)
    network.use("dhf1k")
    assert_probed(stream(network, frames[:1])[0], PROBES["outputs"]["one_frame_DHF1K_rnn"])
    assert_probed(stream(network, frames)[1][0], PROBES["outputs"]["hidden"])
    network.use("salicon")
    with torch.no_grad():
        assert_probed(normalise_log(network(frames[:1])), PROBES["outputs"]["static_SALICON_96x128"])


def test_number_of_parameters(network: UNISALNetwork) -> None:
    """The authors' has four domains, and a classifier of MobileNetV2 that nothing uses is not among them."""
    with torch.device("meta"):
        four = UNISALNetwork("mobilenetv2_100", domains=("a", "b", "c", "d"), recurrent=True)
    used = [name for name in four.state_dict() if "running_" not in name and "num_batches" not in name]
    assert sum(four.state_dict()[name].numel() for name in used) == PROBES["params"]


def test_pieces_and_interleaved_sequences(network: UNISALNetwork) -> None:
    frames = clip(6, 96, 128)
    network.use("dhf1k")
    whole, _ = stream(network, frames)
    head, state = stream(network, frames[:2])
    torch.testing.assert_close(torch.cat([head, stream(network, frames[2:], state)[0]]), whole, rtol=0, atol=0)
    network.interleave = 2
    both = stream(network, frames)[0]
    network.interleave = 1
    for offset in (0, 1):
        torch.testing.assert_close(both[offset::2], stream(network, frames[offset::2])[0], rtol=0, atol=0)


def test_a_video_has_one_view() -> None:
    model = UNISAL(tta=((1.0, False), (1.0, True)), recurrent=True)
    with pytest.raises(ValueError, match="does not go with a network that remembers"):
        next(model.predict_video([np.zeros((32, 32, 3), np.uint8)]))
