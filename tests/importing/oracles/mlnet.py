"""ML-Net on Theano's own operations (aesara), as Keras 1.1.0 calls them, and OpenCV's padding of an image.

pip install aesara==2.9.4 'numpy<2' 'scipy<1.12' 'opencv-python-headless<5'
PYTHONPATH=tests python tests/importing/oracles/mlnet.py
"""

from __future__ import annotations

import itertools

import numpy as np
from importing import formula
from numpy.typing import NDArray

BLOCKS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
"""Channels in and out of the 3x3 convolutions of VGG-16's blocks."""
SIZE = (192, 256)
"""Of the image: the prior of 6 x 8 is enlarged four times, with an even ratio as the authors' ten."""
IMAGE = (120, 150)
MEAN = (103.939, 116.779, 123.68)
GAINS = {"conv1": 0.02}
"""Pixels go up to 150, maps are to be about 1."""


def tensors() -> dict[str, NDArray[np.float32]]:
    """Return the 31 arrays of the authors' file by layer and weight, in its order, by formula."""
    pairs = [(after, before, 3, 3) for block in BLOCKS for before, after in itertools.pairwise(block)]
    shapes = [*pairs, (64, 1280, 3, 3), (1, 64, 1, 1)]
    found = {}
    for k, shape in enumerate(shapes, start=1):
        layer = f"convolution2d_{k}"
        gain = GAINS.get(f"conv{k}", 1.0)
        found[f"{layer}/{layer}_W"] = formula.values(f"mlnet {k} W", shape, gain)
        found[f"{layer}/{layer}_b"] = formula.values(f"mlnet {k} b", shape[:1])
    found["eltwiseproduct_1/param_0"] = formula.values("mlnet prior", (6, 8)) / 2
    return found


def main() -> None:
    """Run the network and write the golden."""
    import aesara
    import aesara.tensor as at
    import cv2
    from aesara.tensor.nnet import conv2d, relu
    from aesara.tensor.nnet.abstract_conv import bilinear_upsampling
    from aesara.tensor.signal.pool import pool_2d

    arrays = iter(tensors().values())

    def convolve(x):
        kernel, bias = next(arrays), next(arrays)
        return relu(conv2d(x, at.constant(kernel), border_mode="half") + bias[None, :, None, None])

    def pool_same(x, stride, height, width):  # pads one pixel on every side, and cuts off what is too many
        pooled = pool_2d(x, (2, 2), stride=(stride, stride), pad=(1, 1), ignore_border=True)
        return pooled[:, :, :height, :width]

    image = at.tensor4("image", dtype="float32")
    x, taps = image, []
    for i, block in enumerate(BLOCKS):
        for _ in block[1:]:
            x = convolve(x)
        if i < 4:
            x = pool_same(x, 1 if i == 3 else 2, *(side >> min(i + 1, 3) for side in SIZE))
        if i in (2, 3):
            taps.append(x)
    x = at.concatenate([*taps, x], axis=1)
    x = convolve(convolve(x))
    prior = at.constant(1 + next(arrays)[None, None])
    x = relu(x * bilinear_upsampling(prior, ratio=SIZE[0] // 48, num_input_channels=1, batch_size=1))
    run = aesara.function([image], x, mode=aesara.compile.Mode(linker="py", optimizer=None))
    pixels = formula.image(*SIZE)[:, :, ::-1] - np.float32(MEAN)
    found = run(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32))

    height, width = IMAGE
    resized = cv2.resize(formula.image(height, width)[:, :, ::-1], (width * 480 // height, 480))
    padded = np.zeros((480, 640, 3), np.uint8)
    left = (640 - resized.shape[1]) // 2
    padded[:, left : left + resized.shape[1]] = resized
    formula.write_golden(
        "mlnet",
        f"aesara {aesara.__version__}, linker py; OpenCV {cv2.__version__}",
        size=SIZE,
        map=formula.sample(found),
        image=IMAGE,
        pixels=formula.sample((padded - np.float32(MEAN)).transpose(2, 0, 1)),
    )


if __name__ == "__main__":
    main()
