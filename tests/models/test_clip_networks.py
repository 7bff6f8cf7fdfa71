"""TASED-Net and ViNet against their authors' classes: weights and frames by formula, outputs noted once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from models.test_unisal_video import assert_probed, clip, value
from scipy.ndimage import gaussian_filter

from salzoo.components.clip_model import ClipNetwork
from salzoo.errors import SpecError, WeightsError
from salzoo.importing.maps import tasednet, vinet
from salzoo.models.tasednet import TASEDNetwork
from salzoo.models.vinet import ViNetNetwork

PROBES = json.loads((Path(__file__).parent / "video_probes.json").read_text())
GROUPS = (32, 16, 8, 4, 2)
NETWORKS: dict[str, tuple[Callable[[], ClipNetwork], Callable[[], Iterator[tuple[str, str]]]]] = {
    "tased": (TASEDNetwork, tasednet.names),
    "vinet": (ViNetNetwork, vinet.names),
    "vinet_s": (lambda: ViNetNetwork(groups=GROUPS), vinet.names),
    "vinet_s_bilinear_aligned": (lambda: ViNetNetwork(groups=GROUPS, aligned=True), vinet.names),
}
SLOW = ("vinet_s", "vinet_s_bilinear_aligned")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NETWORKS])
def test_a_clip_is_the_authors(name: str) -> None:
    make, names = NETWORKS[name]
    network, probes = make().eval(), PROBES[name]
    assert sum(p.numel() for p in network.parameters()) == probes["params"]
    tensors = network.state_dict()
    pairs = dict(names())
    assert set(pairs.values()) == set(tensors)
    for theirs, ours in pairs.items():
        if tensors[ours].is_floating_point():
            tensors[ours].copy_(value(theirs, tuple(tensors[ours].shape)))
    height, width = probes["input"]
    with torch.no_grad():
        found = network.clip(clip(32, height, width).transpose(0, 1)[None]).sigmoid()
    assert found.shape == (1, 1, height, width)
    assert_probed(found, probes["outputs"]["out"])


@pytest.mark.parametrize("name", ["tasednet", "vinet"])
def test_a_window_begins_with_the_first_frame_and_forgets_what_is_older(name: str) -> None:
    network = tiny_models.build(name).network
    assert isinstance(network, ClipNetwork)
    frames = clip(34, 64, 96)
    state, found = None, []
    with torch.no_grad():
        for frame in frames:
            logits, state = network.step(frame[None], state)
            found.append(logits)
        assert state is not None
        assert len(state) == network.frames - 1
        torch.testing.assert_close(found[0], network(frames[:1]), rtol=0, atol=0)
        torch.testing.assert_close(found[-1], network.clip(frames[2:].transpose(0, 1)[None]), rtol=0, atol=0)
        start = torch.cat([frames[:1].expand(30, -1, -1, -1), frames[:2]])
        torch.testing.assert_close(found[1], network.clip(start.transpose(0, 1)[None]), rtol=0, atol=0)
        assert float((found[-1] - network(frames[-1:])).abs().max()) > 1e-3, "frames before it count"


@pytest.mark.parametrize("name", ["tasednet", "vinet"])
def test_pieces_of_a_video_are_the_whole(name: str) -> None:
    model = tiny_models.build(name)
    frames = [np.uint8(127 + 127 * frame.numpy()).transpose(1, 2, 0) for frame in clip(6, 48, 80)]
    whole = list(model.predict_video(frames))
    tail = list(model.predict_video(frames[3:], state=whole[2].state))
    for one, other in zip(whole[3:], tail, strict=True):
        assert one.index == other.index
        np.testing.assert_array_equal(one.saliency_map.log_density, other.saliency_map.log_density)


def test_channels_last_is_that_of_five_axes() -> None:
    model = tiny_models.build("vinet")
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    before = model.predict(image).density
    model.to(memory_format=torch.channels_last)
    kernel = model.network.get_parameter("decode.1.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last_3d)
    np.testing.assert_allclose(model.predict(image).density, before, rtol=1e-4)


def test_the_blur_is_a_share_of_the_height() -> None:
    logits = torch.full((1, 1, 40, 60), -20.0)
    logits[0, 0, 20, 30] = 20
    blurred = tiny_models.build("vinet", blur=0.1).to_log_density(logits)[0].exp().numpy()
    point = logits.sigmoid()[0, 0].double().numpy()
    expected = gaussian_filter(point, 4)
    np.testing.assert_allclose(blurred, expected / expected.sum(), atol=1e-6)
    sharp = tiny_models.build("vinet", blur=0.0).to_log_density(logits)[0].exp().numpy()
    np.testing.assert_allclose(sharp, point / point.sum(), atol=1e-6)


def test_groups_divide_the_channels() -> None:
    with pytest.raises(SpecError, match=r"groups=\[3, 1, 1, 1, 1\] is not accepted: five numbers that divide"):
        ViNetNetwork(groups=(3, 1, 1, 1, 1))
    with pytest.raises(SpecError, match=r"groups=\[1\] is not accepted"):
        ViNetNetwork(groups=(1,))


def test_kinetics_weights_are_of_the_published_width() -> None:
    with pytest.raises(WeightsError, match=r"width 0.125: Kinetics weights are of width 1"):
        tiny_models.build("vinet").load_pretrained_backbone()


@pytest.mark.parametrize("name", ["tasednet", "vinet", "aclnet", "stsconvnet"])
def test_clips_of_two_videos_are_trained_on(name: str) -> None:
    """As `salzoo fit --data videos` does; every parameter learns, and a video has the maps that it has alone."""
    model = tiny_models.build(name)
    height, width = model.preprocess.size
    clips = (torch.stack([clip(4, height, width), clip(4, height, width).flip(0)]) + 1) / 2
    with torch.no_grad():
        both, one = model.logits_of_clips(clips), model.logits_of_clips(clips[1:])
    torch.testing.assert_close(both[1:], one, atol=1e-4, rtol=1e-4)
    model.train()
    logits = model.logits_of_clips(clips)
    assert logits.shape[:2] == (2, 1 if name in ("tasednet", "vinet") else 4)
    logits.square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters() if p.requires_grad)
