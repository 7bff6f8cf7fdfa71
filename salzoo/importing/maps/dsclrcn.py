"""DSCLRCN: the authors' Caffe model, with both of its trunks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options

STAGES = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
"""Blocks of He's ResNet-50; stage 2 is timm's layer 1."""
SCENE = {"conv1_s": 0, "conv2_s": 4, "conv3_s": 8, "conv4_s": 10, "conv5_s": 12}
HEADS = {
    "encode.0": "conv4_g",
    "encode.1": "conv5_d",
    "fuse": "conv_fm",
    "describe": "global_feature_ip",
    "predict": "rnn_FCN7",
}
SCALES = {
    "normalise.0": "conv4_g_norm",
    "normalise.1": "conv5_d_norm",
    "normalise.2": "NormalizedFm",
    "normalise_context": "global_feature",
}
LSTMS = ("NormalizedFm1_row_rnn", "NormalizedFm1_col_rnn", "NormalizedFm1_srnn1_row_rnn", "NormalizedFm1_srnn1_col_rnn")
COPIES = ("context_row_raw", "context_col_raw")
"""Deconvolutions of ones, which copy the context to every row and column."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Trunks, heads, scales and LSTMs."""
    if "local_feats.feats.0.weight" in files.names:
        raise WeightsError(
            f"{files.path} is of AAshqar's port to PyTorch, another network (VGG-16, LSTMs of whole rows): import the "
            "authors' .caffemodel."
        )
    for layer in COPIES:
        if not bool((files.take(f"{layer}.0") == 1).all()):
            raise WeightsError(f"{files.path}: {layer} copies the context and is all 1 in the authors' network.")
    yield from _resnet50(files)
    for layer, place in SCENE.items():
        yield from _layer(files, layer, f"scene.layers.{place}")
    for ours, layer in HEADS.items():
        yield from _layer(files, layer, ours)
    for ours, layer in SCALES.items():
        scale = files.take(f"{layer}.0")
        yield f"{ours}.scale", scale.reshape(()) if scale.numel() == 1 else scale
    for i, layer in enumerate(LSTMS):
        yield from _lstm(files, layer, f"lstms.{i}.lstm")


def _layer(files: Files, layer: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{ours}.weight", files.take(f"{layer}.0")
    yield f"{ours}.bias", files.take(f"{layer}.1")


def _resnet50(files: Files) -> Iterator[tuple[str, Tensor]]:
    trunk = "backbone.trunk"
    yield f"{trunk}.conv1.weight", files.take("conv1.0")
    yield from _norm(files, "conv1", f"{trunk}.bn1", bias=files.take("conv1.1"))
    for stage, blocks in STAGES.items():
        for i, block in enumerate(blocks):
            ours, name = f"{trunk}.layer{stage - 1}.{i}", f"{stage}{block}"
            places = {f"branch2{letter}": (f"conv{k + 1}", f"bn{k + 1}") for k, letter in enumerate("abc")}
            if i == 0:
                places["branch1"] = ("downsample.0", "downsample.1")
            for branch, (convolution, norm) in places.items():
                yield f"{ours}.{convolution}.weight", files.take(f"res{name}_{branch}.0")
                yield from _norm(files, f"{name}_{branch}", f"{ours}.{norm}")


def _norm(files: Files, name: str, ours: str, bias: Tensor | None = None) -> Iterator[tuple[str, Tensor]]:
    """Caffe keeps sums and by what to divide them; a bias before the normalisation moves the mean."""
    mean, variance, factor = (files.take(f"bn_{name}.{k}" if name == "conv1" else f"bn{name}.{k}") for k in range(3))
    scale = "scale_conv1" if name == "conv1" else f"scale{name}"
    factor = factor.reshape(-1)[0]
    divisor = factor if bool(factor != 0) else torch.ones(())
    yield f"{ours}.running_mean", mean / divisor - (0 if bias is None else bias)
    yield f"{ours}.running_var", variance / divisor
    yield f"{ours}.weight", files.take(f"{scale}.0")
    yield f"{ours}.bias", files.take(f"{scale}.1")
    yield f"{ours}.num_batches_tracked", torch.zeros((), dtype=torch.int64)


def _lstm(files: Files, layer: str, ours: str) -> Iterator[tuple[str, Tensor]]:
    """Caffe's gates are input, forget, output, new; torch's have the last two the other way round.

    Caffe adds 1 to the forget gate, which is the bias of the recurrent weights here.
    """
    of_rows, bias, of_context, recurrent = (_gates(files.take(f"{layer}.{k}")) for k in range(4))
    yield f"{ours}.weight_ih_l0", torch.cat([of_rows, of_context], dim=1)
    yield f"{ours}.weight_hh_l0", recurrent
    yield f"{ours}.bias_ih_l0", bias
    constant = torch.zeros_like(bias)
    constant[len(bias) // 4 : len(bias) // 2] = 1
    yield f"{ours}.bias_hh_l0", constant


def _gates(rows: Tensor) -> Tensor:
    hidden = len(rows) // 4
    enter, forget, leave, new = rows[: 4 * hidden].chunk(4)
    return torch.cat([enter, forget, new, leave, rows[4 * hidden :]])
