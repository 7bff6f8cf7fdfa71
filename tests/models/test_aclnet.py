"""ACLNet against Keras's formulas, written apart in NumPy, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from importing import faults, formula, writers
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import salzoo
from salzoo.models.aclnet import ACLNet, ACLNetwork
from salzoo.video.samples import drawn_clip

Array = NDArray[np.float64]
VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def arrays() -> faults.Tensors:
    """Return the arrays of ACL.h5 by formula, in the order and shapes of Keras's layers."""
    found: faults.Tensors = {}

    def layer(name: str, shape: tuple[int, ...]) -> None:
        found[f"{name}/kernel:0"] = formula.values(f"{name}.kernel", shape, fan_in=int(np.prod(shape[:-1])))
        found[f"{name}/bias:0"] = formula.values(f"{name}.bias", shape[-1:])

    inside = 3
    for block, widths in enumerate(VGG, start=1):
        for k, width in enumerate(widths, start=1):
            layer(f"time_distributed_1/block{block}_conv{k}", (3, 3, inside, width))
            inside = width
    for k, shape in (
        (3, (1, 1, 512, 64)),
        (4, (3, 3, 64, 128)),
        (6, (1, 1, 128, 64)),
        (7, (3, 3, 64, 128)),
        (8, (1, 1, 128, 1)),
    ):
        layer(f"time_distributed_{k}/time_distributed_{k}", shape)
    lstm = "conv_lst_m2d_1/conv_lst_m2d_1"
    found[f"{lstm}/kernel:0"] = formula.values("lstm.kernel", (3, 3, 512, 1024), fan_in=4608)
    found[f"{lstm}/recurrent_kernel:0"] = formula.values("lstm.recurrent", (3, 3, 256, 1024), fan_in=2304)
    found[f"{lstm}/bias:0"] = formula.values("lstm.bias", (1024,))
    layer("time_distributed_14/time_distributed_14", (1, 1, 256, 1))
    return found


def write(tensors: faults.Tensors, folder: Path) -> list[Path]:
    layers: dict[str, list[tuple[str, NDArray[np.float32]]]] = {"input_1": []}
    for name, array in tensors.items():
        layer, _, weight = name.partition("/")
        layers.setdefault(layer, []).append((weight, array))
    writers.keras_hdf5(folder / "ACL.h5", list(layers.items()))
    return [folder / "ACL.h5"]


class Keras:
    """What Keras computes, channels last, in NumPy."""

    def __init__(self, weights: faults.Tensors) -> None:
        self.queue = list(weights.values())

    @staticmethod
    def convolve(maps: Array, kernel: Array, bias: Array | float = 0.0) -> Array:
        side = kernel.shape[0] // 2
        padded = np.pad(maps, ((side, side), (side, side), (0, 0)))
        windows = sliding_window_view(padded, kernel.shape[:2], axis=(0, 1))  # (h, w, C, k, k)
        return np.einsum("hwcij,ijco->hwo", windows, kernel, optimize=True) + bias

    @staticmethod
    def pool(maps: Array, stride: int) -> Array:
        padded = np.pad(maps, ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
        return sliding_window_view(padded, (2, 2), axis=(0, 1)).max((-2, -1))[::stride, ::stride]

    @staticmethod
    def sigmoid(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def hard_sigmoid(x: Array) -> Array:
        return np.clip(0.2 * x + 0.5, 0, 1)

    def run(self, frames: list[Array]) -> list[Array]:
        found, h, c = [], None, None
        for frame in frames:
            weights = iter(self.queue)
            x = frame
            for block, widths in enumerate(VGG):
                for _ in widths:
                    x = np.maximum(self.convolve(x, next(weights), next(weights)), 0)
                x = x if block == 4 else self.pool(x, 1 if block == 3 else 2)
            a = self.pool(x, 2)
            for k in range(5):
                a = self.convolve(a, next(weights), next(weights))
                a = np.maximum(a, 0) if k < 4 else self.sigmoid(a)
                a = self.pool(a, 2) if k == 1 else a
            x = x * (1 + a.repeat(4, 0).repeat(4, 1))
            kernel, recurrent, bias = (next(weights) for _ in range(3))
            gates = self.convolve(x, kernel, bias)
            if h is not None:
                gates = gates + self.convolve(h, recurrent)
            i, f, g, o = np.split(gates, 4, axis=-1)
            c = self.hard_sigmoid(i) * np.tanh(g) + (0 if c is None else self.hard_sigmoid(f) * c)
            h = self.hard_sigmoid(o) * np.tanh(c)
            y = self.sigmoid(self.convolve(h, next(weights), next(weights)))[..., 0]
            found.append(y.repeat(4, 0).repeat(4, 1))
        return found


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aclnet")
    return salzoo.import_weights("aclnet", write(arrays(), folder), output=folder / "out")


@pytest.mark.slow
def test_three_frames_are_keras(imported: Path) -> None:
    model = salzoo.load(imported)
    network = model.network
    assert isinstance(network, ACLNetwork)
    assert sum(p.numel() for p in network.parameters()) == 21_982_786
    frames = [60 * formula.values(f"frame{t}", (32, 64, 3), fan_in=6) for t in range(3)]
    expected = Keras(arrays()).run([frame.astype(np.float64) for frame in frames])
    state, found = None, []
    with torch.no_grad():
        for frame in frames:
            logits, state = network.step(torch.from_numpy(frame.transpose(2, 0, 1).copy())[None], state)
            found.append(logits.sigmoid()[0, 0].numpy())
        alone = network(torch.from_numpy(frames[2].transpose(2, 0, 1).copy())[None]).sigmoid()[0, 0].numpy()
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.std(expected[2]) > 1e-2
    assert np.abs(found[2] - alone).max() > 1e-3, "the state counts"


@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    match = "arrays where ACLNet has 41" if kind in ("missing", "surplus") else None
    faults.check(kind, "aclnet", arrays(), write, tmp_path, surplus="more/more:0", match=match)


def test_refuses_a_file_of_pytorch(tmp_path: Path) -> None:
    torch.save({"conv1_1.weight": torch.rand(3, 3)}, tmp_path / "port.pt")
    faults.refuses("aclnet", [tmp_path / "port.pt"], "released as HDF5 of Keras 2", tmp_path / "out")


def test_pieces_are_the_whole_and_the_attention_is_trained() -> None:
    model = tiny_models.build("aclnet")
    assert isinstance(model, ACLNet)
    clip = drawn_clip("moving", 0, frames=4).frames
    whole = list(model.predict_video(clip))
    tail = list(model.predict_video(clip[2:], state=whole[1].state))
    for one, other in zip(whole[2:], tail, strict=True):
        np.testing.assert_array_equal(one.saliency_map.density, other.saliency_map.density)
    still = list(model.predict_video([clip[0]] * 5))
    np.testing.assert_allclose(still[4].saliency_map.density, model.predict(clip[0]).density, rtol=1e-5)
    assert np.abs(still[0].saliency_map.density / still[4].saliency_map.density - 1).max() > 1e-3
    image = torch.rand(2, 3, 64, 96)
    assert model.eval()(image).shape == (2, 1, 32, 48)
    assert model.train()(image).shape == (2, 2, 32, 48)
