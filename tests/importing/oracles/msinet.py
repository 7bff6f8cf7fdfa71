"""MSI-Net's graph on TensorFlow's own operations, those of version 1 where they differ.

pip install tensorflow
PYTHONPATH=tests python -m importing.oracles.msinet
"""

from __future__ import annotations

import itertools

import numpy as np
from importing import formula
from numpy.typing import NDArray

VGG16 = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
"""Channels in and out of the convolutions of each block."""
SIZE = (48, 64)
IMAGE = (300, 420)
GAINS = {"conv1/conv1_1/kernel": 0.02, "decoder/conv4/kernel": 3.0}
"""Pixels go up to 150."""
MEAN = (103.939, 116.779, 123.68)


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the HWIO kernels of the 23 convolutions by the names of their scopes."""
    found = {}
    for number, block in enumerate(VGG16, 1):
        for k, (before, after) in enumerate(itertools.pairwise(block), 1):
            found[f"conv{number}/conv{number}_{k}"] = (3, 3, before, after)
    for branch, side in enumerate((1, 3, 3, 3, 1), 1):
        found[f"aspp/conv1_{branch}"] = (side, side, 1280, 256)
    found["aspp/conv2"] = (1, 1, 1280, 256)
    for k, (before, after) in enumerate(itertools.pairwise((256, 128, 64, 32, 1)), 1):
        found[f"decoder/conv{k}"] = (3, 3, before, after)
    return found


def tensors() -> dict[str, NDArray]:
    """Return the arrays of the authors' file, by formula."""
    found = {}
    for scope, (height, width, before, after) in shapes().items():
        kernel, fan_in = f"{scope}/kernel", height * width * before
        found[kernel] = formula.values(
            f"msinet {kernel}", (height, width, before, after), GAINS.get(kernel, 1.0), fan_in
        )
        found[f"{scope}/bias"] = formula.values(f"msinet {scope}/bias", (after,))
    return found


def network(tf, images, weights, tf1=True):
    """Return the map (1, H, W, 1) in [0, 1] of RGB images from 0 to 255."""

    def convolve(x, scope, dilation=1, relu=True):
        kernel, bias = weights[f"{scope}/kernel"], weights[f"{scope}/bias"]
        x = tf.nn.conv2d(x, kernel, 1, "SAME", dilations=dilation) + bias
        return tf.nn.relu(x) if relu else x

    def resize(x, size):
        if tf1:
            return tf.compat.v1.image.resize_bilinear(x, size)
        return tf.image.resize(x, size)  # half-pixel centres

    x, levels = images - tf.constant(MEAN), []
    for number, block in enumerate(VGG16, 1):
        for k in range(1, len(block)):
            x = convolve(x, f"conv{number}/conv{number}_{k}", 2 if number == 5 else 1)
        stride = 2 if number < 4 else 1
        x = tf.nn.max_pool2d(x, 2, stride, "VALID" if stride == 2 else "SAME")
        levels += [x] if number > 2 else []
    features = tf.concat(levels, 3)
    branches = [convolve(features, f"aspp/conv1_{k}", rate) for k, rate in ((1, 1), (2, 4), (3, 8), (4, 12))]
    scene = convolve(tf.reduce_mean(features, (1, 2), keepdims=True), "aspp/conv1_5")
    size = tf.shape(features)[1:3]
    x = convolve(tf.concat([*branches, resize(scene, size)], 3), "aspp/conv2")
    for k in (1, 2, 3):
        size = size * 2
        x = convolve(resize(x, size), f"decoder/conv{k}")
    x = convolve(x, "decoder/conv4", relu=False)
    x = x - tf.reduce_min(x, (1, 2, 3), keepdims=True)
    return x / (1e-7 + tf.reduce_max(x, (1, 2, 3), keepdims=True))


def prepared(tf, pixels, size):
    """Return an image (H, W, 3) from 0 to 255 as the authors' script brings it to `size`."""
    ratio = min(side / old for side, old in zip(size, pixels.shape, strict=False))
    height, width = (round(side * ratio) for side in pixels.shape[:2])
    resize = tf.compat.v1.image.resize_area if ratio < 1 else tf.compat.v1.image.resize_bicubic
    small = resize(pixels[None].astype(np.float32), (height, width), align_corners=True)[0].numpy().clip(0, 255)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    frame = np.full((*size, 3), 126, np.float32)
    frame[top : top + height, left : left + width] = small
    return frame


def main() -> None:
    """Run it and write the golden."""
    import tensorflow as tf

    weights = {name: tf.constant(array) for name, array in tensors().items()}
    print(sum(array.numpy().size for array in weights.values()), "values")
    images = tf.constant(formula.image(*SIZE)[None].astype(np.float32))
    output, other = (network(tf, images, weights, tf1).numpy()[0, ..., 0] for tf1 in (True, False))
    print(output.std(), np.abs(output - other).max(), [float(np.quantile(output, q)) for q in (0, 0.1, 0.5, 0.9, 1)])
    formula.write_golden(
        "msinet",
        f"TensorFlow {tf.__version__}, operations of version 1",
        map=formula.sample(output),
        half_pixel=formula.sample(other, 40),
        shrunk=formula.sample(prepared(tf, formula.image(*IMAGE), (240, 320)), 1000),
        grown=formula.sample(prepared(tf, formula.image(100, 120), (240, 320)), 1000),
    )


if __name__ == "__main__":
    main()
