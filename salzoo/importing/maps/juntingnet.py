"""JuntingNet: a network of nolearn, pickled whole; its layers by their place, whatever they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import rotate
from salzoo.importing.source import Files, Options

PLACES = ("features.0", "features.3", "features.6", "readout.1", "readout.4")
"""Three convolutions and two fully connected layers, after the first of which comes the maxout."""

WEIGHT = re.compile(r"(layers_\.[^.]+\.)W(?![^.])")
"""How the path of a layer's weights begins; the rest is Theano's."""

LAST = {128: "figure", 64: "script"}
"""Channels of the last convolution, and whose network that is."""


def identify(files: Files) -> str:
    """Tell the network by its last convolution, and what it was trained on by the name of the file."""
    channels = files.shape(_weights(files)[2])[0]
    if channels not in LAST:
        raise WeightsError(
            f"{files.path}: the last convolution has {channels} channels; that of the paper's figure has 128, that of "
            "the released script 64"
        )
    return f"{'isun' if 'sun' in files.path.name.lower() else 'salicon'}_{LAST[channels]}"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Rotate every kernel, transpose dense weights (in, out), and put neighbours of the maxout into its two halves."""
    for place, name in zip(PLACES, _weights(files), strict=True):
        weight, bias = files.take(name), files.take(WEIGHT.sub(r"\1b", name))
        weight = rotate(weight) if weight.ndim == 4 else weight.T
        if place == PLACES[3]:
            weight, bias = (torch.cat([tensor[::2], tensor[1::2]]) for tensor in (weight, bias))
        yield f"{place}.weight", weight
        yield f"{place}.bias", bias
    files.skip("")  # the state of the training


def _weights(files: Files) -> list[str]:
    """Return the names of the weights in the order of the layers."""
    found = [name for name in files.names if WEIGHT.match(name)]
    axes = [len(files.shape(name)) for name in found]
    if axes != [4, 4, 4, 2, 2]:
        raise WeightsError(
            f"{files.path} has layers whose weights W have {axes} axes; JuntingNet, pickled by nolearn, has three "
            "convolutions (4 axes) and two fully connected layers (2)"
        )
    return found
