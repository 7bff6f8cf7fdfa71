"""SAM-VGG and SAM-ResNet: HDF5 of Keras 1.1 on Theano, which its authors call .pkl.

Layers of the backbones have the names of the authors' code; where they have not, and for all other layers, whose names
depend on the process that wrote the file, only their order counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.rules import VGG16, VGG16_NAMES, in_order, require_keras1, rotate
from salzoo.importing.source import Files, Options

TRUNK = "features.backbone.trunk"
VGG_LAYERS = [f"block{name.replace('_', '_conv')}" for name in VGG16_NAMES]
RESNET_BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
CONVOLUTION = {"W": "weight", "b": "bias"}
BATCH_NORM = {
    "gamma": "weight",
    "beta": "bias",
    "running_mean": "running_mean",
    "running_std": "running_var",  # so called, but Keras 1 uses it as the variance
}
GATES = ("input", "forget", "cell", "output")
LSTM = (
    *(f"lstm.{layer}" for layer in ("attend_state.weight", "attend_state.bias")),
    *(f"lstm.{layer}" for layer in ("attend_input.weight", "attend_input.bias", "attend.weight")),
    *(f"{of}.{kind}" for _ in GATES for of in ("lstm.input_gates", "lstm.state_gates") for kind in ("weight", "bias")),
)
"""The names, in the order of the file; those of the gates come four times."""
HEAD = (
    *(
        f"prior_convolutions.{k}.{name}"
        for k in (0, 1)
        for name in ("priors.weight", "convolution.weight", "convolution.bias")
    ),
    "predict.weight",
    "predict.bias",
)


def identify(files: Files) -> str:
    """Return the release: that of the VGG-16, or of the ResNet-50 of the year that the file's name has.

    The two files of the ResNet-50 have the same tensors.
    """
    require_keras1(files, "SAM")
    tail = len(LSTM) + len(HEAD)
    if "block1_conv1/block1_conv1_W" in files.names or len(files.names) == len(vgg16()) + tail:
        return "sam_vgg"
    if "res2a_branch2a/res2a_branch2a_W" in files.names or len(files.names) == len(resnet50()) + 2 + tail:
        return "sam_resnet_2017" if "2017" in files.path.name else "sam_resnet"
    raise WeightsError(
        f"{files.path} has neither a VGG-16 (block1_conv1) nor a ResNet-50 (res2a_branch2a), which SAM has; it begins "
        f"with {', '.join(files.names[:2]) or 'nothing'}. Another model?"
    )


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of the network."""
    require_keras1(files, "SAM")
    trunk = vgg16() if release == "sam_vgg" else resnet50()
    named = any(name in trunk for name in files.names)  # if not, the order tells, as of all other layers
    own = list(trunk) if named else list(files.names[: len(trunk)])
    for theirs, ours in zip(own, trunk.values(), strict=False):
        tensor = files.take(theirs)
        yield ours, rotate(tensor) if tensor.ndim == 4 else tensor
    reduce = () if release == "sam_vgg" else ("reduce.0.weight", "reduce.0.bias")
    gates: dict[str, list[Tensor]] = {}
    rest = [name for name in files.names if name not in set(own)]
    for ours, tensor in in_order(files, rest, (*reduce, *LSTM, *HEAD), "the rest of SAM"):
        if "_gates" in ours:
            parts = gates.setdefault(ours, [])
            parts.append(tensor)
            if len(parts) == len(GATES):
                yield ours, torch.cat(gates.pop(ours))
        else:
            yield ours, tensor.reshape(4, -1) if ours.endswith("priors.weight") else tensor


def vgg16() -> dict[str, str]:
    """Return names in the file and in the network of SAM-VGG's backbone."""
    return {
        f"{layer}/{layer}_{end}": f"{TRUNK}.features.{place}.{kind}"
        for layer, place in zip(VGG_LAYERS, VGG16, strict=True)
        for end, kind in CONVOLUTION.items()
    }


def resnet50() -> dict[str, str]:
    """Return names in the file and in the network of SAM-ResNet's backbone, in the order of the file."""
    layers = [("conv1", "conv1"), ("bn_conv1", "bn1")]
    for stage, letters in RESNET_BLOCKS.items():
        for k, letter in enumerate(letters):
            theirs, block = f"{stage}{letter}_branch", f"layer{stage - 1}.{k}"
            for i, part in enumerate("abc", 1):
                layers += [(f"res{theirs}2{part}", f"{block}.conv{i}"), (f"bn{theirs}2{part}", f"{block}.bn{i}")]
            if k == 0:  # Keras sorts by depth: the shortcut's layers are beside the last of the main path
                layers.insert(-1, (f"res{theirs}1", f"{block}.downsample.0"))
                layers.append((f"bn{theirs}1", f"{block}.downsample.1"))
    return {
        f"{theirs}/{theirs}_{end}": f"{TRUNK}.{ours}.{kind}"
        for theirs, ours in layers
        for end, kind in (BATCH_NORM if theirs.startswith("bn") else CONVOLUTION).items()
    }
