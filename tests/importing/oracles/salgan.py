"""SalGAN's generator on Theano's own operations (aesara) and its post-processing on OpenCV's.

pip install aesara==2.9.4 'numpy<2' 'scipy<1.12' 'opencv-python-headless<5'
PYTHONPATH=tests python tests/importing/oracles/salgan.py
"""

from __future__ import annotations

import itertools

import numpy as np
from importing import formula
from numpy.typing import NDArray

ENCODER = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
DECODER = ((512, 512, 512, 512), (512, 512, 512, 512), (512, 256, 256, 256), (256, 128, 128), (128, 64, 64))
"""Channels in and out of the 3x3 convolutions of each block."""
SIZE = (48, 64)
IMAGE = (120, 150)
GAINS = {"arr_0": 0.02, "arr_52": 3.0}
"""Pixels go up to 150, logits are to be about 1."""


def shapes() -> list[tuple[int, int, int, int]]:
    """Return the OIHW shapes of the 27 convolutions."""
    blocks = [*ENCODER, *DECODER]
    pairs = [pair for block in blocks for pair in itertools.pairwise(block)]
    return [*((after, before, 3, 3) for before, after in pairs), (1, 64, 1, 1)]


def tensors() -> dict[str, NDArray[np.float32]]:
    """Return the 54 arrays of the authors' file, by formula."""
    found = {}
    for k, shape in enumerate(shapes()):
        for name, size in ((f"arr_{2 * k}", shape), (f"arr_{2 * k + 1}", shape[:1])):
            found[name] = formula.values(f"salgan {name}", size, GAINS.get(name, 1.0))
    return found


def main() -> None:
    """Run both and write the golden."""
    import aesara
    import aesara.tensor as at
    import cv2
    from aesara.tensor.nnet import conv2d, relu
    from aesara.tensor.signal.pool import pool_2d

    weights = iter(tensors().values())

    def convolve(x, flip, pad=1):  # a Lasagne layer flips unless told not to, as only the encoder's are
        kernel, bias = next(weights), next(weights)
        return conv2d(x, at.constant(kernel), border_mode=(pad, pad), filter_flip=flip) + bias[None, :, None, None]

    image = at.tensor4("image", dtype="float32")
    x = image
    for i, block in enumerate(ENCODER):
        x = pool_2d(x, (2, 2), ignore_border=True) if i else x
        for _ in block[1:]:
            x = relu(convolve(x, flip=False))
    for i, block in enumerate(DECODER):
        x = at.repeat(at.repeat(x, 2, axis=2), 2, axis=3) if i else x
        for _ in block[1:]:
            x = relu(convolve(x, flip=True))
    logits = convolve(x, flip=True, pad=0)
    run = aesara.function([image], logits, mode=aesara.compile.Mode(linker="py", optimizer=None))

    pixels = formula.image(*IMAGE)
    small = cv2.resize(pixels, SIZE[::-1], interpolation=cv2.INTER_AREA)
    blob = small[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    output = run(blob.transpose(2, 0, 1)[None])[0, 0]
    eight_bits = (255 / (1 + np.exp(-output))).astype(np.uint8)
    enlarged = cv2.resize(eight_bits, IMAGE[::-1], interpolation=cv2.INTER_CUBIC)
    formula.write_golden(
        "salgan",
        f"aesara {aesara.__version__} (Theano's convolutions, linker py), OpenCV {cv2.__version__}",
        logits=formula.sample(output),
        map=formula.sample(cv2.GaussianBlur(enlarged, (5, 5), 0)),
    )
    print(output.std(), eight_bits.min(), eight_bits.max())


if __name__ == "__main__":
    main()
