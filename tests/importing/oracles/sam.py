"""SAM-VGG and SAM-ResNet in NumPy, with poolings and up-sampling of Theano (aesara), as Keras 1.1.0 calls them.

Convolutions are sums over the places of a kernel, which are compared with aesara's first: its own would take an hour.

pip install aesara==2.9.4 'numpy<2' 'scipy<1.12'
PYTHONPATH=tests python tests/importing/oracles/sam.py
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from importing import formula
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]

VGG = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
"""Channels in and out of the 3x3 convolutions of VGG-16's blocks."""
RESNET = ((2, 3, 64, 1, 1), (3, 4, 128, 2, 1), (4, 6, 256, 1, 2), (5, 3, 512, 1, 4))
"""Stage, its blocks, their width, stride of the first and dilation of the 3x3 convolutions."""
SIZE = (64, 96)
MEAN = (103.939, 116.779, 123.68)
EPSILON = 1e-7
GAINS = {
    "block1_conv1": 0.02,
    "conv1": 0.02,
    "W_i": 20.0,
    "W_f": 20.0,
    "W_c": 20.0,
    "W_o": 20.0,
    "V_a": 3.0,
    "predict": 4.0,
}
"""Pixels go up to 150, maps are to be about 1; an attention whose sum is 1 makes the LSTM's input small."""
OFFSETS = {"predict": 1.5}
"""Added to a bias, so that a ReLU leaves something."""


def layer(name: str, kernel: tuple[int, ...], bias: bool = True, stored: str | None = None) -> Arrays:
    """Return kernel and bias of a convolution; `stored` is what its file calls them, if not after the layer."""
    place = stored or f"{name}/{name}"
    gain = 0.4 if name.endswith("2c") else GAINS.get(name, 1.0)  # sixteen sums are to stay as large
    found = {f"{place}_W": formula.values(f"sam {name} W", kernel, gain)}
    return found | (
        {f"{place}_b": np.float32(OFFSETS.get(name, 0)) + formula.values(f"sam {name} b", kernel[:1])} if bias else {}
    )


def norm(name: str, channels: int) -> Arrays:
    """Return the four vectors of a batch normalisation; `running_std` holds variances."""
    ends = {"gamma": 1.0, "beta": 0.0, "running_mean": 0.0, "running_std": 1.0}
    return {
        f"{name}/{name}_{end}": np.float32(start) + formula.values(f"sam {name} {end}", (channels,))
        for end, start in ends.items()
    }


def trunk(kind: str) -> Arrays:
    """Return the backbone's arrays in the order of the file."""
    found: Arrays = {}
    if kind == "vgg":
        for i, block in enumerate(VGG, start=1):
            for k, (before, after) in enumerate(itertools.pairwise(block), start=1):
                found |= layer(f"block{i}_conv{k}", (after, before, 3, 3))
        return found
    found |= layer("conv1", (64, 3, 7, 7)) | norm("bn_conv1", 64)
    channels = 64
    for stage, blocks, width, _, _ in RESNET:
        for letter in "abcdef"[:blocks]:
            res, bn = f"res{stage}{letter}_branch", f"bn{stage}{letter}_branch"
            found |= layer(f"{res}2a", (width, channels, 1, 1)) | norm(f"{bn}2a", width)
            found |= layer(f"{res}2b", (width, width, 3, 3)) | norm(f"{bn}2b", width)
            found |= layer(f"{res}2c", (4 * width, width, 1, 1))
            found |= layer(f"{res}1", (4 * width, channels, 1, 1)) if letter == "a" else {}
            found |= norm(f"{bn}2c", 4 * width)
            found |= norm(f"{bn}1", 4 * width) if letter == "a" else {}
            channels = 4 * width
    return found


def tensors(kind: str) -> Arrays:
    """Return all arrays of the authors' file by layer and weight, in its order, by formula."""
    found = trunk(kind)
    number = iter(range(1, 99))
    if kind == "resnet":
        found |= layer("reduce", (512, 2048, 3, 3), stored=f"convolution2d_{next(number)}/convolution2d_1")
    gates = [f"{matrix}_{gate}" for gate in "ifco" for matrix in "WU"]
    for name in ("W_a", "U_a", "V_a", *gates):
        place = f"attentiveconvlstm_1/convolution2d_{next(number)}"
        found |= layer(name, (1 if name == "V_a" else 512, 512, 3, 3), bias=name != "V_a", stored=place)
    for k in (1, 2):
        noise = formula.values(f"sam priors {k}", (64,))
        found[f"learningprior_{k}/learningprior_{k}_W"] = np.float32(0.5) + np.repeat(np.float32([1.6, 2]), 32) * noise
        found |= layer(f"atrousconvolution2d_{k}", (512, 528, 5, 5))
    last = f"convolution2d_{next(number)}"
    return found | layer("predict", (1, 512, 1, 1), stored=f"{last}/{last}")


def convolve(x, kernel, bias=None, dilation=1, stride=1):
    """Convolve a map (C, H, W), zeros around it, with a kernel that is read from its far corner."""
    side, (_, height, width) = kernel.shape[-1], x.shape
    reach = dilation * (side // 2)
    padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
    total = 0
    for row in range(side):
        for column in range(side):
            top, left = dilation * (side - 1 - row), dilation * (side - 1 - column)
            seen = padded[:, top : top + height, left : left + width][:, ::stride, ::stride]
            total = total + np.tensordot(kernel[:, :, row, column], seen, 1)
    return total if bias is None else total + bias[:, None, None]


def check_convolve() -> None:
    """Fail unless aesara's convolution, with its default of turned kernels, gives the same."""
    import aesara
    import aesara.tensor as at
    from aesara.tensor.nnet import conv2d

    image, mode = at.tensor4("image", dtype="float32"), aesara.compile.Mode(linker="py", optimizer=None)
    for side, dilation, stride in ((1, 1, 2), (3, 1, 1), (3, 2, 1), (3, 4, 1), (5, 4, 1), (7, 1, 2)):
        x, kernel = formula.values("x", (3, 11, 14)), formula.values("kernel", (2, 3, side, side))
        theirs = conv2d(
            image, at.constant(kernel), border_mode="half", subsample=(stride,) * 2, filter_dilation=(dilation,) * 2
        )
        found = aesara.function([image], theirs, mode=mode)(x[None])[0]
        np.testing.assert_allclose(convolve(x, kernel, dilation=dilation, stride=stride), found, atol=1e-5)


def relu(x):
    return np.maximum(x, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def pool(x, side: int, stride: int, same: bool = True):
    """Maximum by Theano; with Keras' "same" it pads every side and cuts off what is too many."""
    import aesara
    import aesara.tensor as at
    from aesara.tensor.signal.pool import pool_2d

    image, mode = at.tensor4("image", dtype="float32"), aesara.compile.Mode(linker="py", optimizer=None)
    pad = (1, 1) if same else (0, 0)
    out = pool_2d(image, (side, side), stride=(stride, stride), pad=pad, ignore_border=True)
    height, width = (-(-length // stride) if same else length // stride for length in x.shape[1:])
    return aesara.function([image], out, mode=mode)(x[None].astype(np.float32))[0][:, :height, :width]


def run_vgg(x, take: Iterator[NDArray[np.float32]]):
    """Run SAM-VGG's backbone."""
    for i, block in enumerate(VGG):
        for _ in block[1:]:
            x = relu(convolve(x, next(take), next(take), dilation=2 if i == 4 else 1))
        if i < 4:
            x = pool(x, 2, 1 if i == 3 else 2, same=i > 1)
    return x


def run_resnet(x, arrays: Arrays):
    """Run SAM-ResNet's backbone."""

    def block(name, x, **options):
        kernel, bias = (arrays[f"{name}/{name}_{end}"] for end in "Wb")
        bn = name.replace("res", "bn") if name != "conv1" else "bn_conv1"
        gamma, beta, mean, variance = (
            arrays[f"{bn}/{bn}_{end}"][:, None, None] for end in ("gamma", "beta", "running_mean", "running_std")
        )
        return (convolve(x, kernel, bias, **options) - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    x = pool(relu(block("conv1", x, stride=2)), 3, 2)
    for stage, blocks, _, stride, dilation in RESNET:
        for letter in "abcdef"[:blocks]:
            name, step = f"res{stage}{letter}_branch", stride if letter == "a" else 1
            inside = relu(block(f"{name}2a", x, stride=step))
            inside = block(f"{name}2c", relu(block(f"{name}2b", inside, dilation=dilation)))
            x = relu(inside + (block(f"{name}1", x, stride=step) if letter == "a" else x))
    return x


def attend(x, take: Iterator[NDArray[np.float32]]):
    """Run the attentive convolutional LSTM for four steps."""
    w_a, b_a, u_a, c_a, v_a = (next(take) for _ in range(5))
    gates = {gate: tuple(next(take) for _ in range(4)) for gate in "ifco"}
    h = c = np.zeros_like(x)
    for _ in range(4):
        energy = convolve(np.tanh(convolve(h, w_a, b_a) + convolve(x, u_a, c_a)), v_a)
        attention = np.exp(energy - energy.max())
        seen = x * (attention / attention.sum())
        i, f, new, o = (convolve(seen, w, b) + convolve(h, u, d) for w, b, u, d in (gates[gate] for gate in "ifco"))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        h = sigmoid(o) * np.tanh(c)
    return h


def priors(vector, height: int, width: int):
    """Draw the 16 Gaussians."""
    bounds = ((0.25, 0.75), (0.35, 0.65), (0.1, 0.9), (0.2, 0.8))
    mean_x, mean_y, std_x, std_y = (
        np.clip(values, *bound)[:, None, None] for values, bound in zip(vector.reshape(4, 16), bounds, strict=True)
    )
    e = height / width
    x = np.linspace(0, 1, width)[None, None]
    y = np.linspace((1 - e) / 2, (1 - e) / 2 + e, height)[None, :, None]
    exponent = (x - mean_x) ** 2 / (2 * std_x**2 + EPSILON) + (y - mean_y) ** 2 / (2 * std_y**2 + EPSILON)
    gaussians = np.exp(-exponent) / (2 * np.pi * std_x * std_y + EPSILON)
    return gaussians / gaussians.max((1, 2), keepdims=True)


def run(kind: str) -> NDArray[np.float32]:
    """Return the map of the image by formula."""
    import aesara
    import aesara.tensor as at
    from aesara.tensor.nnet.abstract_conv import bilinear_upsampling

    arrays = tensors(kind)
    take = iter(arrays.values())
    x = (formula.image(*SIZE)[:, :, ::-1] - np.float32(MEAN)).transpose(2, 0, 1)
    if kind == "vgg":
        x = run_vgg(x, take)
    else:
        x = run_resnet(x, arrays)
        take = iter(list(arrays.values())[len(trunk(kind)) :])
        x = relu(convolve(x, next(take), next(take)))
    x = attend(x, take)
    for _ in range(2):
        gaussians = priors(next(take), *x.shape[1:])
        x = relu(convolve(np.concatenate([x, gaussians]), next(take), next(take), dilation=4))
    x = relu(convolve(x, next(take), next(take))).astype(np.float32)
    small = at.tensor4("small", dtype="float32")
    large = bilinear_upsampling(small, ratio=16, num_input_channels=1, batch_size=1)
    return aesara.function([small], large, mode=aesara.compile.Mode(linker="py", optimizer=None))(x[None])


def main() -> None:
    """Run both and write the golden."""
    import aesara

    check_convolve()
    maps = {kind: run(kind) for kind in ("vgg", "resnet")}
    formula.write_golden(
        "sam",
        f"NumPy {np.__version__}; aesara {aesara.__version__}, linker py",
        size=SIZE,
        **{kind: formula.sample(found) for kind, found in maps.items()},
    )
    for kind, found in maps.items():
        print(kind, found.shape, found.min(), found.mean(), found.max())


if __name__ == "__main__":
    main()
