"""DeepGaze III: `deepgaze3.pth`, which holds DenseNet-201 with what comes after its last features."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.importing.rules import centre_bias_template
from salzoo.importing.source import Files, Options

TRUNK = "features.features.1."
UNREAD = (
    "features.denseblock4.denselayer32.norm2.",
    "features.denseblock4.denselayer32.conv2.",
    "features.norm5.",
    "classifier.",
)
"""What comes after the last features."""
FIXATIONS = 4


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Return our tensors: theirs, with biases where the layers have them and the two parts of a layer in one."""
    files.skip(*(TRUNK + layer for layer in UNREAD))
    for name in files.names:
        inner = name.removeprefix(TRUNK)
        if inner != name and not inner.startswith(UNREAD):
            yield f"backbone.trunk.{inner}", files.take(name)
    components = sum(name.startswith("finalizers.") and name.endswith(".gauss.sigma") for name in files.names)
    for c in range(components):
        for ours, theirs in _layers(c):
            yield f"components.{c}.{ours}", files.take(theirs)
        for fixation in range(FIXATIONS):
            ours, theirs = f"components.{c}.scanpath.encodings.{fixation}", _encoding(c, fixation)
            yield f"{ours}.weight", files.take(f"{theirs}.weight")[..., 0, 0]
            yield f"{ours}.bias", files.take(f"{theirs}.bias")
        parts = [files.take(f"fixation_selection_networks.{c}.conv0.conv_part{part}.weight") for part in range(2)]
        yield f"components.{c}.selection.first.weight", torch.cat(parts, dim=1)
        yield f"components.{c}.blur.log_sigma", files.take(f"finalizers.{c}.gauss.sigma").log()
        yield f"components.{c}.centre_bias_weight", files.take(f"finalizers.{c}.center_bias_weight").squeeze()
    yield "template.log_density", centre_bias_template(options)


def _encoding(component: int, fixation: int) -> str:
    return f"scanpath_networks.{component}.encoding0.convolutions.{fixation}"


def _layers(component: int) -> Iterator[tuple[str, str]]:
    """Return ours and theirs of the tensors that are the same in both."""
    saliency, scanpath, selection = (
        f"{network}_networks.{component}." for network in ("saliency", "scanpath", "fixation_selection")
    )
    norms = {f"saliency.norms.{i}": f"{saliency}layernorm{i}" for i in range(3)}
    norms |= {f"selection.norms.{part}": f"{selection}layernorm0.layernorm_part{part}" for part in range(2)}
    norms |= {"scanpath.rest.norms.0": f"{scanpath}layernorm1", "selection.rest.norms.0": f"{selection}layernorm1"}
    for ours, theirs in norms.items():
        yield f"{ours}.weight", f"{theirs}.weight"
        yield f"{ours}.bias", f"{theirs}.bias"
    layers = {f"saliency.layers.{i}": (saliency, i) for i in range(3)}
    layers |= {"scanpath.rest.layers.0": (scanpath, 1), "selection.rest.layers.0": (selection, 1)}
    for ours, (network, i) in layers.items():
        yield f"{ours}.weight", f"{network}conv{i}.weight"
        yield f"{ours}.bias", f"{network}bias{i}.bias"
    yield "selection.first.bias", f"{selection}bias0.bias"
    yield "selection.last.weight", f"{selection}conv2.weight"
