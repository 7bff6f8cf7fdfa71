"""eDN in NumPy, SciPy and Pillow: the release's whole way from an image to a map, in double precision.

    pip install numpy scipy pillow 'opencv-python-headless<5'
    PYTHONPATH=tests python tests/importing/oracles/edn.py RELEASE [WEIGHTS]

RELEASE is a copy of github.com/coxlab/edn-cvpr2014, whose table of descriptors is read; with its WEIGHTS, if given, its
own example is run, too.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
from importing import formula
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter, zoom

FEATURES = 832
IMAGE = (60, 90)
SIZE = (96, 128)
"""Instead of the release's 384 and 512, so that a test takes no longer than it must."""
Array = NDArray[np.float64]


def tensors(features: int) -> dict[str, NDArray[np.float32]]:
    """Return mean, deviation and weights of 832 or 833 features, by formula."""
    mean, std, weights = (formula.values(f"edn {name}", (features,)) for name in ("mean", "std", "weights"))
    return {"column.0": 0.02 + 0.04 * mean, "column.1": 0.1 + 0.2 * std, "svm": weights}


def box(x: Array, side: int) -> Array:
    """Return sums over windows of side x side of (H, W, C); outside is 0."""
    for axis in (0, 1):
        x = correlate1d(x, np.ones(side), axis, mode="constant")
    return x


def divide_by_neighbours(x: Array, side: int, remove_mean: bool, stretch: float, threshold: float) -> Array:
    """Return each value over the norm of its neighbourhood in all channels."""
    total, squares = box(x, side).sum(-1, keepdims=True), box(x * x, side).sum(-1, keepdims=True)
    if remove_mean:
        count = side * side * x.shape[-1]
        x, squares = x - total / count, squares - total**2 / count
    norm = np.sqrt(squares.clip(0)) + 1e-4
    if stretch != 1:
        x, norm = x * stretch, norm * stretch
    return x / np.where(norm < threshold + 1e-4, 1, norm)


def correlate(x: Array, count: int, side: int, low: float | None, high: float | None) -> Array:
    """Return what random filters see, clipped."""
    filters = np.random.RandomState(42).uniform(size=(count, side, side, x.shape[-1]))
    flat = filters.reshape(count, -1)
    flat = flat - flat.mean(1, keepdims=True)
    flat /= np.sqrt((flat * flat).sum(1, keepdims=True))
    flat = flat.astype(np.float32).astype(float)
    half = side // 2
    padded = np.pad(x, ((half, half), (half, half), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (0, 1)).transpose(0, 1, 3, 4, 2)
    rows = [row.reshape(len(row), -1) @ flat.T for row in windows]
    return np.clip(np.stack(rows), -np.inf if low is None else low, np.inf if high is None else high)


def pool(x: Array, side: int, order: float, stride: int) -> Array:
    """Return the norm of that order over windows; of order 1 the plain sum."""
    sums = box(x if order == 1 else x**order, side)[::stride, ::stride]
    return sums if order == 1 else sums.clip(0) ** (1 / order)


def descriptor(x: Array, layers: Any) -> Array:
    """Run one entry of the table: a list of layers, each a list of (operation, arguments)."""
    for operation, arguments in (step for layer in layers for step in layer):
        given = arguments["kwargs"]
        if operation == "lnorm":
            side = given["inker_shape"][0]
            x = divide_by_neighbours(x, side, given["remove_mean"], given["stretch"], given["threshold"])
        elif operation == "fbcorr":
            start = arguments["initialize"]
            x = correlate(x, start["n_filters"], start["filter_shape"][0], given["min_out"], given["max_out"])
        else:
            x = pool(x, given["ker_shape"][0], given["order"], given["stride"])
    return x


def to_yuv(image: Array) -> Array:
    """Return Pillow's YCbCr of an array that SciPy's `toimage` would have stretched to bytes."""
    from PIL import Image

    low, high = image.min(), image.max()
    stretched = ((image - low) * (255.0 / (high - low)) + 0.4999).astype(np.uint8)
    return np.asarray(Image.fromarray(stretched).convert("YCbCr")).astype(float)


def features_of(small: Array, table: Any) -> Array:
    """Return (h, w, 833): the distance to the middle, then all descriptors on the grid of the first."""
    maps = [descriptor(to_yuv(small) if entry["colorSp"] == "yuv" else small, entry["desc"]) for entry in table]
    size = maps[0].shape[:2]
    rows, columns = (np.arange(side) - side // 2 for side in small.shape[:2])
    distance = np.floor(np.sqrt(rows[:, None] ** 2 + columns**2))
    maps.insert(0, (distance / distance.max())[..., None])
    return np.concatenate([zoom(m, (size[0] / m.shape[0], size[1] / m.shape[1], 1)) for m in maps], -1)


def margins_of(features: Array, weights: dict[str, Array]) -> Array:
    """Return the SVM's margin of each cell."""
    count = len(weights["svm"])
    return ((features[..., -count:] - weights["column.0"]) / weights["column.1"]) @ weights["svm"]


def shrink(image: NDArray[np.uint8], short: int, long: int) -> Array:
    """Resize to bytes by the release's scale, with OpenCV's cubic kernel."""
    import cv2

    scale = 0.5 * long / max(image.shape[:2]) + 0.5 * short / min(image.shape[:2])
    size = [int(side * scale) for side in image.shape[:2]]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC).astype(float)


def map_of(margins: Array, size: tuple[int, int]) -> Array:
    """Return the margins at the image's size, blurred and stretched to [0, 1]."""
    large = zoom(margins, (size[0] / margins.shape[0], size[1] / margins.shape[1]))
    blurred = gaussian_filter(large, sigma=30)
    return (blurred - blurred.min()) / (blurred.max() - blurred.min())


def read_weights(folder: Path, end: str) -> dict[str, Array]:
    """Read the released text files."""
    white = np.loadtxt(folder / f"whiten-slm{end}")
    svm = (folder / f"svm-slm{end}").read_text().split("\nw\n")[1].split()
    return {"column.0": white[:, 0], "column.1": white[:, 1], "svm": np.array(svm, float)}


def main(release: Path, real: Path | None) -> None:
    """Run it and write the golden."""
    import cv2
    import scipy

    table = pickle.loads((release / "slmBestDescrCombi.pkl").read_bytes().replace(b"\r", b""), encoding="latin1")
    image = formula.image(*IMAGE)
    features = features_of(shrink(image, *SIZE), table)
    content: dict[str, Any] = {}
    for name, count in (("plain", FEATURES), ("centre", FEATURES + 1)):
        margins = margins_of(features, tensors(count))
        content[name] = {"margins": formula.sample(margins), "map": formula.sample(map_of(margins, IMAGE))}
        print(name, margins.mean(), margins.std())
    if real:
        from PIL import Image

        image = np.asarray(Image.open(real / "img.jpg"))
        features = features_of(shrink(image, 384, 512), table)
        for name, end in (("real plain", ""), ("real centre", "-cntr")):
            margins = margins_of(features, read_weights(real, end))
            content[name] = {"map": formula.sample(map_of(margins, image.shape[:2]))}
            print(name, margins.mean(), margins.std())
    engine = f"NumPy {np.__version__}, SciPy {scipy.__version__}, OpenCV {cv2.__version__}; double precision"
    formula.write_golden("edn", engine, **content)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), *([None] * (3 - len(sys.argv))))
