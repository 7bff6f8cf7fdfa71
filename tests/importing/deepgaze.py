"""The files that the authors of DeepGaze released, name by name, with values by formula and without their code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from importing import formula
from numpy.typing import NDArray

from salzoo.components.saliency_model import SaliencyModel

Shapes = dict[str, tuple[int, ...]]
UNREAD = tuple(f"features.features.1.classifier.{layer}." for layer in (1, 4, 6))
"""Nine tenths of DeepGaze I's file, which nothing reads: here one zero each, for 220 MB a test."""
ROWS = ("weight", "bias")
GAIN = 0.7
"""Of layers' weights over He's initialisation: with 1 the maps of an EfficientNet grow to thousands, and with them what
two engines round."""


def deepgaze1() -> Shapes:
    """Names and shapes in `deepgaze1.pth`."""
    return {
        **_torchvision("alexnet", "features.features.1."),
        "readout_network.conv0.weight": (1, 256, 1, 1),
        "finalizer.center_bias_weight": (1,),
        "finalizer.gauss.sigma": (),
    }


def deepgaze2e(members: Sequence[int] = range(4), components: int = 30) -> Shapes:
    """Names and shapes in `deepgaze2e.pth`, or in such a file with fewer backbones and components."""
    trunks = (
        lambda start: _torchvision("resnet50", f"{start}module."),
        _efficientnet_b5,
        lambda start: _torchvision("densenet201", start),
        lambda start: _torchvision("resnext50_32x4d", start),
    )
    shapes: Shapes = {}
    for m, member in enumerate(members):
        shapes |= trunks[member](f"models.{m}.features.features.1.")
        channels = (2048, 2416, 2048, 2560)[member]
        for network, rows in _read_out(channels).items():
            for c in range(components):
                shapes |= {f"models.{m}.{network}.{c}.{name}": shape for name, shape in rows.items()}
    return shapes


def deepgaze3(components: int = 10) -> Shapes:
    """Names and shapes in `deepgaze3.pth`, or in such a file with fewer components."""
    shapes = _torchvision("densenet201", "features.features.1.")
    read_out = _read_out(2048)
    scanpath: Shapes = {}
    for fixation in range(4):
        name = f"encoding0.convolutions.{fixation}"
        scanpath |= {f"{name}.weight": (128, 3, 1, 1), f"{name}.bias": (128,)}
    scanpath |= {
        "layernorm1.weight": (128,),
        "layernorm1.bias": (128,),
        "conv1.weight": (16, 128, 1, 1),
        "bias1.bias": (16,),
    }
    norms: Shapes = {f"layernorm0.layernorm_part{k}.{row}": (c,) for k, c in enumerate((1, 16)) for row in ROWS}
    weights: Shapes = {f"conv0.conv_part{k}.weight": (128, c, 1, 1) for k, c in enumerate((1, 16))}
    rest = {name: shape for name, shape in read_out["fixation_selection_networks"].items() if "_part0" not in name}
    selection = {**norms, **weights, **rest}
    networks = {
        "saliency_networks": read_out["saliency_networks"],
        "scanpath_networks": scanpath,
        "fixation_selection_networks": selection,
        "finalizers": read_out["finalizers"],
    }
    for network, rows in networks.items():
        for c in range(components):
            shapes |= {f"{network}.{c}.{name}": shape for name, shape in rows.items()}
    return shapes


def _read_out(channels: int) -> dict[str, Shapes]:
    saliency: Shapes = {}
    for i, (a, b) in enumerate(((channels, 8), (8, 16), (16, 1))):
        saliency |= {f"layernorm{i}.weight": (a,), f"layernorm{i}.bias": (a,)}
        saliency |= {f"conv{i}.weight": (b, a, 1, 1), f"bias{i}.bias": (b,)}
    selection: Shapes = {
        "layernorm0.layernorm_part0.weight": (1,),
        "layernorm0.layernorm_part0.bias": (1,),
        "conv0.conv_part0.weight": (128, 1, 1, 1),
        "bias0.bias": (128,),
        "layernorm1.weight": (128,),
        "layernorm1.bias": (128,),
        "conv1.weight": (16, 128, 1, 1),
        "bias1.bias": (16,),
        "conv2.weight": (1, 16, 1, 1),
    }
    finalizer: Shapes = {"center_bias_weight": (1,), "gauss.sigma": ()}
    return {"saliency_networks": saliency, "fixation_selection_networks": selection, "finalizers": finalizer}


def _torchvision(name: str, start: str) -> Shapes:
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    return {start + key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def _efficientnet_b5(start: str) -> Shapes:
    """EfficientNet-B5 by L. Melas-Kyriazi: 39 blocks, counted through."""
    shapes: Shapes = {}

    def layer(name: str, shape: tuple[int, ...], norm: str | None = None) -> None:
        shapes[f"{start}{name}.weight"] = shape
        if norm is None:
            shapes[f"{start}{name}.bias"] = shape[:1]
        else:
            rows = ("weight", "bias", "running_mean", "running_var")
            shapes.update({f"{start}{norm}.{row}": shape[:1] for row in rows})
            shapes[f"{start}{norm}.num_batches_tracked"] = ()

    layer("_conv_stem", (48, 3, 3, 3), "_bn0")
    widths, depths, kernels = (48, 24, 40, 64, 128, 176, 304, 512), (3, 5, 5, 7, 7, 9, 3), (3, 3, 5, 3, 5, 5, 3)
    blocks = [(i, widths[i] if k == 0 else widths[i + 1]) for i, depth in enumerate(depths) for k in range(depth)]
    for number, (i, before) in enumerate(blocks):
        block, inner, squeezed = f"_blocks.{number}.", before * (6 if i else 1), before // 4
        if i:
            layer(f"{block}_expand_conv", (inner, before, 1, 1), f"{block}_bn0")
        layer(f"{block}_depthwise_conv", (inner, 1, kernels[i], kernels[i]), f"{block}_bn1")
        layer(f"{block}_se_reduce", (squeezed, inner, 1, 1))
        layer(f"{block}_se_expand", (inner, squeezed, 1, 1))
        layer(f"{block}_project_conv", (widths[i + 1], inner, 1, 1), f"{block}_bn2")
    layer("_conv_head", (2048, 512, 1, 1), "_bn1")
    layer("_fc", (1000, 2048))
    return shapes


def values(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[Any]]:
    """Return values by formula: around 0 for biases and means, around 1 for scales, variances and widths."""
    return {name: _value(name, shape) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name.startswith(UNREAD):
        return np.zeros((1,) * len(shape), np.float32)
    if name.endswith("num_batches_tracked"):
        return np.array(100)
    noise = formula.values(name, shape, GAIN)
    if len(shape) < 2 and not name.endswith(("bias", "mean")):
        noise = noise + np.float32(1)
    return noise * np.float32(5) if name.endswith("sigma") else noise


def centre_bias() -> NDArray[np.float64]:
    """Return a log density of the kind of `centerbias_mit1003.npy`, of which no two neighbours are equal."""
    y, x = np.mgrid[:1024, :1024] / 1023 - 0.5
    template = -8 * (y**2 + 0.5 * x**2) + np.random.default_rng(1).uniform(-1, 1, (1024, 1024))
    return template - np.log(np.exp(template).sum())


def history(height: int, width: int, count: int) -> list[tuple[float, float]]:
    """Return the latest four fixations (x, y) on an image, the latest first, of which `count` exist: others are NaN."""
    places = ((0.31, 0.62), (0.05, 0.4), (0.77, 0.93), (0.5, 0.1))
    return [(x * width, y * height) if i < count else (float("nan"),) * 2 for i, (x, y) in enumerate(places)]


def write(tensors: Mapping[str, NDArray[Any]], path: Path) -> Path:
    """Write a state dict as the authors did."""
    torch.save({name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}, path)
    return path


def say(model: SaliencyModel, case: str) -> list[float]:
    """Return the log density of the image of a golden (`all, 128x192, uniform`), sampled as it is there."""
    size = next(part for part in case.split(", ") if "x" in part)
    image = torch.from_numpy(formula.image(*map(int, size.split("x")))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return formula.sample(model.to_log_density(model(image)))
