"""JuntingNet's two networks on Theano's own operations (aesara), and SciPy's blur of the map.

pip install aesara==2.9.4 'numpy<2' 'scipy<1.12'
PYTHONPATH=tests python tests/importing/oracles/juntingnet.py
"""

from __future__ import annotations

import numpy as np
from importing import formula
from numpy.typing import NDArray

SIDE, UNITS, PIXELS = 96, 4608, 2304
POOLS = {"figure": (2, 3, 3), "script": (2, 2, 2)}
CHANNELS = {"figure": (32, 64, 128), "script": (32, 64, 64)}
GAINS = {"output.W": 0.3}


def tensors(network: str) -> dict[str, NDArray[np.float32]]:
    """Return the ten arrays of a network by layer and name, by formula; fully connected ones are (in, out)."""
    first, second, third = CHANNELS[network]
    shapes = {
        "conv1.W": (first, 3, 5, 5), "conv1.b": (first,),
        "conv2.W": (second, first, 3, 3), "conv2.b": (second,),
        "conv3.W": (third, second, 3, 3), "conv3.b": (third,),
        "hidden4.W": (third * 100, UNITS), "hidden4.b": (UNITS,),
        "output.W": (PIXELS, PIXELS), "output.b": (PIXELS,),
    }  # fmt: skip
    fan_in = {"hidden4.W": third * 100, "output.W": PIXELS}
    return {
        name: formula.values(f"juntingnet {network} {name}", shape, GAINS.get(name, 1.0), fan_in.get(name))
        for name, shape in shapes.items()
    }


def main() -> None:
    """Run both and write the golden."""
    import aesara
    import aesara.tensor as at
    import scipy
    from aesara.tensor.nnet import conv2d, relu
    from aesara.tensor.signal.pool import pool_2d
    from scipy.ndimage import gaussian_filter

    pixels = formula.image(SIDE, SIDE).transpose(2, 0, 1)[None].astype(np.float32) / 255
    found = {}
    for network, pools in POOLS.items():
        weights = {name: at.constant(array) for name, array in tensors(network).items()}
        image = at.tensor4("image", dtype="float32")
        x = image
        for i, side in enumerate(pools, start=1):
            x = conv2d(x, weights[f"conv{i}.W"], border_mode="valid", filter_flip=True)
            x = relu(x + weights[f"conv{i}.b"][None, :, None, None])
            x = pool_2d(x, (side, side), stride=(2, 2), ignore_border=False)
        x = relu(at.dot(x.flatten(2), weights["hidden4.W"]) + weights["hidden4.b"])
        x = x.reshape((1, PIXELS, 2)).max(axis=2)
        x = at.dot(x, weights["output.W"]) + weights["output.b"]
        run = aesara.function([image], x, mode=aesara.compile.Mode(linker="py", optimizer=None))
        raw = run(pixels).reshape(48, 48)
        found[network] = {"map": formula.sample(raw), "blurred": formula.sample(gaussian_filter(raw, sigma=3))}
        print(network, raw.std(), raw.min(), raw.max())
    engine = f"aesara {aesara.__version__} (Theano's operations, linker py), SciPy {scipy.__version__}"
    formula.write_golden("juntingnet", engine, **found)


if __name__ == "__main__":
    main()
