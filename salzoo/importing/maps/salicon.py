"""SALICON: three re-implementations, in PyTorch, TensorFlow and Caffe."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import VGG16, VGG16_NAMES, hwio
from salzoo.importing.source import Files, Options


def identify(files: Files) -> str:
    """Tell the ports apart by how they call the coarse stream."""
    marks = {"nkuhzx": "Vgg16_coarse_features.0.weight", "opensalicon": "sec_conv1_1.0"}
    found = [port for port, name in marks.items() if name in files.names]
    if any(name.startswith("block1_conv1_coarse/") for name in files.names):
        found.append("salicontf")
    if len(found) != 1:
        raise WeightsError(
            "none of the three ports of SALICON has these tensors: nkuhzx's have Vgg16_coarse_features, SALICONtf's "
            f"block1_conv1_coarse, OpenSALICON's sec_conv1_1; the file has {', '.join(list(files.names)[:3])}, ..."
        )
    return found[0]


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Two VGG-16 and a 1x1 convolution; OpenSALICON's has the coarse stream's channels first."""
    yield from {"nkuhzx": _nkuhzx, "salicontf": _salicontf, "opensalicon": _opensalicon}[release](files)


def _nkuhzx(files: Files) -> Iterator[tuple[str, Tensor]]:
    for stream in ("fine", "coarse"):
        for layer in VGG16:
            for kind in ("weight", "bias"):
                tensor = files.take(f"Vgg16_{stream}_features.{layer}.{kind}")
                yield f"{stream}.backbone.trunk.features.{layer}.{kind}", tensor
    yield "head.weight", files.take("Sal_map.weight")
    yield "head.bias", files.take("Sal_map.bias")


def _salicontf(files: Files) -> Iterator[tuple[str, Tensor]]:
    def both(layer: str, ours: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{ours}.weight", hwio(files.take(f"{layer}/{layer}/kernel:0"))
        yield f"{ours}.bias", files.take(f"{layer}/{layer}/bias:0")

    for stream in ("fine", "coarse"):
        for layer, name in zip(VGG16, VGG16_NAMES, strict=True):
            yield from both(f"block{name.replace('_', '_conv')}_{stream}", f"{stream}.backbone.trunk.features.{layer}")
    yield from both("saliency_map", "head")


def _opensalicon(files: Files) -> Iterator[tuple[str, Tensor]]:
    for stream, prefix in (("fine", ""), ("coarse", "sec_")):
        for layer, name in zip(VGG16, VGG16_NAMES, strict=True):
            yield f"{stream}.backbone.trunk.features.{layer}.weight", files.take(f"{prefix}conv{name}.0")
            yield f"{stream}.backbone.trunk.features.{layer}.bias", files.take(f"{prefix}conv{name}.1")
    yield "head.weight", files.take("saliency_map.0").roll(512, 1)
    yield "head.bias", files.take("saliency_map.1")
