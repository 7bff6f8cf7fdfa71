"""SalNet on OpenCV's Caffe engine: the authors' prototxt, and a caffemodel by formula.

    pip install 'opencv-python-headless<5' h5py
    PYTHONPATH=tests python tests/importing/oracles/salnet.py DEPLOY.prototxt

The prototxt is deep/deep_net_deploy.prototxt of github.com/imatge-upc/saliency-2016-cvpr.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from importing import formula
from importing.writers import caffemodel
from numpy.typing import NDArray

SHAPES = {
    "conv1": (96, 3, 7, 7),
    "conv2": (256, 96, 5, 5),
    "conv3": (512, 256, 3, 3),
    "conv4": (512, 512, 5, 5),
    "conv5": (512, 512, 5, 5),
    "conv6": (256, 512, 7, 7),
    "conv7": (128, 256, 11, 11),
    "conv8": (32, 128, 11, 11),
    "conv9": (1, 32, 13, 13),
    "deconv1": (1, 1, 8, 8),
}
IMAGE = (240, 159)
LARGEST = 160
"""Longer side for the network, instead of the release's 320; the shorter one is not a multiple of 4 then."""


def tensors() -> dict[str, NDArray[np.float32]]:
    """Return the 19 blobs, by formula."""
    found = {}
    for layer, shape in SHAPES.items():
        found[f"{layer}.0"] = formula.values(f"salnet {layer}.0", shape, 0.8 if layer == "deconv1" else 1.0)
        if layer != "deconv1":
            found[f"{layer}.1"] = formula.values(f"salnet {layer}.1", shape[:1])
    return found


def write(arrays: dict[str, NDArray[np.float32]], folder: Path) -> list[Path]:
    """Write blobs as the authors' file."""
    layers: dict[str, list[NDArray[np.float32]]] = {}
    for name, array in arrays.items():
        layers.setdefault(name.partition(".")[0], []).append(array)
    kinds = {"d": "Deconvolution", "c": "Convolution"}
    path = folder / "deep_net_model.caffemodel"
    path.write_bytes(
        caffemodel([(layer, kinds.get(layer[0], "InnerProduct"), blobs) for layer, blobs in layers.items()])
    )
    return [path]


def main(prototxt: str) -> None:
    """Run it and write the golden."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        (path,) = write(tensors(), Path(folder))
        net = cv2.dnn.readNetFromCaffe(prototxt, str(path))
    scale = LARGEST / max(IMAGE)
    pixels = cv2.resize(formula.image(*IMAGE).astype(np.float32), None, fx=scale, fy=scale)
    blob = (pixels[..., ::-1] - np.array([100, 110, 118])) * 0.0078431372549
    net.setInput(blob.astype(np.float32).transpose(2, 0, 1)[None])
    output = net.forward()[0, 0]
    formula.write_golden(
        "salnet",
        f"OpenCV {cv2.__version__}'s Caffe engine on the authors' prototxt",
        shape=output.shape,
        output=formula.sample(output),
    )
    print(output.shape, output.mean(), output.std())


if __name__ == "__main__":
    main(sys.argv[1])
