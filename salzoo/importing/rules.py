"""What mappings share: how tensors of other frameworks become torch's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from salzoo.errors import SpecError, WeightsError
from salzoo.importing.source import Files, Options
from salzoo.registry import CENTRE_BIAS

VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Places of conv1_1 to conv5_3 in torchvision's `features`."""

VGG16_NAMES = tuple(f"{block}_{i}" for block, count in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, count + 1))
"""Their numbers, as others name them: 1_1 to 5_3."""


SALGAN_DECODER = (0, 2, 4, 7, 9, 11, 14, 16, 18, 21, 23, 26, 28, 30)
"""Places of the convolutions of SalGAN's decoder; the last one is 1 x 1."""

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
"""Tensors of PyTorch's batch normalisation."""

_SEPARABLE, _SINGLE = (("conv_s", "bn_s", ".0"), ("conv_t", "bn_t", ".1")), (("conv", "bn", ""),)
_MIXED = (
    *(("branch0.0.", ".branch0", _SINGLE), ("branch1.0.", ".branch1.0", _SINGLE)),
    *(("branch1.1.", ".branch1.1", _SEPARABLE), ("branch2.0.", ".branch2.0", _SINGLE)),
    *(("branch2.1.", ".branch2.1", _SEPARABLE), ("branch3.1.", ".branch3.1", _SINGLE)),
)
_S3D = {
    **{(1, 0): (0, (("", "", _SEPARABLE),)), (1, 2): (2, (("", "", _SINGLE),)), (1, 3): (3, (("", "", _SEPARABLE),))},
    **{(2, k): (5 + k, _MIXED) for k in range(2)},
    **{(3, k): (8 + k, _MIXED) for k in range(5)},
    **{(4, k): (14 + k, _MIXED) for k in range(2)},
}
"""Piece and place in K. Min's S3D, to torchvision's layer and the names inside of both."""


def s3d_names(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Yield the names of every tensor of S3D, in K. Min's code and in torchvision's.

    Args:
        theirs: What is before `base1`, with its dot.
        ours: Name of torchvision's `features`.
    """
    for (piece, place), (layer, parts) in _S3D.items():
        for inside, own, convolutions in parts:
            for convolution, norm, index in convolutions:
                there, here = f"{theirs}base{piece}.{place}.{inside}", f"{ours}.{layer}{own}{index}"
                yield f"{there}{convolution}.weight", f"{here}.0.weight"
                yield from ((f"{there}{norm}.{kind}", f"{here}.1.{kind}") for kind in BATCH_NORM)


def rotate(kernel: Tensor) -> Tensor:
    """Turn a kernel (out, in, h, w) by 180 degrees: Theano convolves where torch correlates."""
    return kernel.flip(-2, -1)


def hwio(kernel: Tensor) -> Tensor:
    """Bring TensorFlow's kernel (h, w, in, out) into torch's order (out, in, h, w)."""
    return kernel.permute(3, 2, 0, 1)


DEEPGAZE_TEMPLATE = (1024, 1024)
"""(height, width) of `centerbias_mit1003.npy`."""


def centre_bias_template(options: Options) -> Tensor:
    """Return the user's centre bias (1, 1, 1024, 1024) for a DeepGaze, whose files have none; without one, the uniform.

    Raises:
        SpecError: If it has another size.
    """
    if options.centre_bias is None:
        options.notes.append(
            "No centre bias was given, so it is uniform: the authors' maps have that of MIT1003, --centre-bias "
            f"centerbias_mit1003.npy ({CENTRE_BIAS})."
        )
        return torch.zeros(1, 1, *DEEPGAZE_TEMPLATE)
    if options.centre_bias.shape != DEEPGAZE_TEMPLATE:
        raise SpecError(
            f"centre_bias: got {list(options.centre_bias.shape)}, accepted is {list(DEEPGAZE_TEMPLATE)}, the size of "
            "centerbias_mit1003.npy; resize yours to that."
        )
    return torch.from_numpy(options.centre_bias).float()[None, None]


def require_keras1(files: Files, what: str) -> None:
    """Refuse what is no file of Keras 1 on Theano.

    Args:
        files: The one file.
        what: Name of the network.

    Raises:
        WeightsError: If it is of another framework, or of a later Keras.
    """
    if files.format != "keras":
        raise WeightsError(
            f"{files.path} is a {files.format} file, but {what} was released as HDF5 of Keras 1, whatever its name is. "
            "Another port of the model? Such are other networks."
        )
    if later := [name for name in files.names if name.endswith(":0")]:
        raise WeightsError(
            f"{files.path} is of a later Keras, on TensorFlow ({later[0]}), but {what} was released for Keras 1 on "
            "Theano. Another port of the model? Such are other networks."
        )


def require_torch(files: Files, mark: str, what: str) -> None:
    """Refuse what is not the authors' file of PyTorch.

    Args:
        files: The one file.
        mark: Name of a tensor that theirs has.
        what: Name of the network.

    Raises:
        WeightsError: If it is of another framework, or lacks that tensor.
    """
    if files.format != "torch" or mark not in files.names:
        raise WeightsError(f"{files.path}: not {what}'s file of PyTorch, which has a tensor {mark}")


def renamed(files: Files, names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Tensor]]:
    """Take tensors as they are, by the authors' names and ours, and yield our name and the tensor."""
    for theirs, ours in names:
        yield ours, files.take(theirs)


def in_order(files: Files, theirs: Sequence[str], ours: Sequence[str], what: str) -> Iterator[tuple[str, Tensor]]:
    """Take tensors of Keras 1 on Theano by their order alone, kernels turned.

    Args:
        files: The one file.
        theirs: Their names, which say nothing, in the order of the file.
        ours: As many of ours.
        what: Name of the network.

    Yields:
        Our name and the tensor.

    Raises:
        WeightsError: If their number is another.
    """
    if len(theirs) != len(ours):
        raise WeightsError(
            f"{files.path}: {len(theirs)} arrays where {what} has {len(ours)}, from {ours[0]} to {ours[-1]}; it begins "
            f"with {', '.join(theirs[:2]) or 'nothing'}. Another port, variant or version of the model?"
        )
    for name, own in zip(theirs, ours, strict=True):
        tensor = files.take(name)
        yield own, rotate(tensor) if tensor.ndim == 4 else tensor
