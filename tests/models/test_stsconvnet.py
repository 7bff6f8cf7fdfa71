"""STSConvNet against an independent reconstruction: weights and frames by formula, outputs noted once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from models.test_unisal_video import assert_probed, clip, value

import salzoo
from salzoo.errors import WeightsError
from salzoo.models.salnet import SalNetNetwork
from salzoo.models.stsconvnet import MOST, STSConvNet, STSNetwork, picture
from salzoo.video.samples import drawn_clip

PROBES = json.loads((Path(__file__).parent / "video_probes.json").read_text())
STREAM = {**{f"conv{i}": f"0.conv{i}" for i in (1, 2, 3)}, **{f"conv{i}": f"1.conv{i}" for i in (4, 5)}}
TAIL = {**{f"tail.conv{i}": f"tail.conv{i}" for i in range(6, 10)}, "tail.deconv1": "deconv1"}
TWO = {
    **{f"a.{theirs}": f"frame.{ours}" for theirs, ours in STREAM.items()},
    **{f"b.{theirs}": f"flow.{ours}" for theirs, ours in STREAM.items()},
    **{"conv_fuse": "fuse"},
    **TAIL,
}
ONE = {
    **{f"a.conv{i}": f"features.conv{i}" for i in (1, 2, 3)},
    **{f"a.conv{i}": f"column.conv{i}" for i in (4, 5)},
    **{f"tail.conv{i}": f"column.conv{i}" for i in range(6, 10)},
    "tail.deconv1": "deconv1",
}


def fill(network: torch.nn.Module, names: dict[str, str]) -> None:
    tensors = network.state_dict()
    for theirs, ours in names.items():
        for part in ("weight", "bias"):
            if f"{ours}.{part}" in tensors:
                tensor = tensors.pop(f"{ours}.{part}")
                tensor.copy_(value(f"{theirs}.{part}", tuple(tensor.shape)))
    assert not tensors


@pytest.mark.parametrize(("probe", "fusion"), [("stsconvnet", "conv"), ("stsmaxnet", "max")])
def test_two_streams(probe: str, fusion: str) -> None:
    network = STSNetwork(fusion).eval()  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == PROBES[probe]["params"]
    fill(network, TWO if fusion == "conv" else {k: v for k, v in TWO.items() if k != "conv_fuse"})
    frames = clip(2, 96, 128)
    with torch.no_grad():
        assert_probed(network.both(frames[:1], frames[1:]), PROBES[probe]["outputs"]["out"])


def test_one_stream_is_salnet() -> None:
    network = SalNetNetwork().eval()
    assert sum(p.numel() for p in network.parameters()) == PROBES["ssnet"]["params"]
    fill(network, ONE)
    with torch.no_grad():
        assert_probed(network(clip(1, 96, 128)), PROBES["ssnet"]["outputs"]["out"])


def test_the_picture_of_the_flow() -> None:
    flow = torch.zeros(1, 2, 2, 3)
    flow[0, :, 0, 0] = torch.tensor([0.3, -0.4]) * MOST
    flow[0, :, 1, 2] = torch.tensor([3.0, 4.0]) * MOST
    found = picture(flow)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([0.3, -0.4, 0.0]))
    torch.testing.assert_close(found[0, :, 1, 2], torch.ones(3))
    torch.testing.assert_close(found[0, :, 1, 0], torch.tensor([0.0, 0.0, -1.0]))


def test_the_second_stream_sees_motion() -> None:
    model = tiny_models.build("stsconvnet")
    assert isinstance(model, STSConvNet)
    seen = []
    model.network.flow.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    bars = drawn_clip("moving", 3, frames=3)
    list(model.predict_video(bars.frames))
    assert len(seen) == 3
    assert (seen[0][:, :2] == 0).all()
    assert (seen[0][:, 2] == -1).all()
    length = (seen[2][0, 2] + 1) / 2 * MOST
    y, x = divmod(int(length.argmax()), length.shape[1])
    height, width = length.shape
    at = np.array([(x + 0.5) / width * 640, (y + 0.5) / height * 480])
    assert np.hypot(*(at - bars.places[2])) < 60, "the bar that moves"


def test_a_still_clip_is_its_image_and_pieces_are_the_whole() -> None:
    model = tiny_models.build("stsconvnet")
    still = drawn_clip("still", 0, frames=3).frames
    for frame in model.predict_video(still):
        np.testing.assert_allclose(frame.saliency_map.density, model.predict(still[0]).density, rtol=1e-4)
    moving = drawn_clip("moving", 0, frames=4).frames
    whole = list(model.predict_video(moving))
    tail = list(model.predict_video(moving[2:], state=whole[1].state))
    for one, other in zip(whole[2:], tail, strict=True):
        np.testing.assert_array_equal(one.saliency_map.density, other.saliency_map.density)


def test_there_are_no_imagenet_weights_to_download() -> None:
    with pytest.raises(WeightsError, match=r"exist as a Caffe model only.*--training.stem_weights FILE"):
        salzoo.load("stsconvnet", weights=None, pretrained_backbone=True)
