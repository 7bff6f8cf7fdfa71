"""DVA on OpenCV's Caffe engine: the authors' prototxt, and a caffemodel by formula.

    pip install 'opencv-python-headless<5' h5py
    PYTHONPATH=tests python tests/importing/oracles/dva.py TEST.prototxt

The prototxt is models/attention_test.prototxt of github.com/wenguanwang/deepattention. Its layers that crop have no
offset, which OpenCV would take for 0; the authors' Caffe, that of HED, finds it by walking from both inputs of the
layer to where they meet, and so does this script (`offset`).
"""

from __future__ import annotations

import itertools
import re
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from importing import formula
from importing.writers import caffemodel
from numpy.typing import NDArray

VGG16 = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
"""Channels before and after the convolutions of each block."""
BRANCHES = {"5": (512, 512, 256, 128, 64), "4": (512, 256, 128, 64), "3": (256, 128, 64)}
"""Channels before and after the transposed convolutions of each branch."""
SIZE = (104, 136)
"""Of image and input, instead of 224 x 224: two poolings round up."""
OUTPUTS = ("final_attention_pred", "attention1_predc", "attention2_predc", "attention3_predc")


def tensors() -> dict[str, NDArray[np.float32]]:
    """Return the 54 blobs, by formula."""
    found: dict[str, NDArray[np.float32]] = {}

    def put(layer: str, shape: tuple[int, ...], outputs: int, inputs: int, gain: float = 1.0) -> None:
        found[f"{layer}.0"] = formula.values(f"dva {layer}", shape, gain, fan_in=inputs)
        found[f"{layer}.1"] = formula.values(f"dva {layer} bias", (outputs,))

    for b, block in enumerate(VGG16, 1):
        for i, (before, after) in enumerate(itertools.pairwise(block), 1):
            put(f"conv{b}_{i}", (after, before, 3, 3), after, 9 * before, 0.02 if b == i == 1 else 1.0)
    for k, (b, widths) in enumerate(BRANCHES.items(), 1):
        for i, (before, after) in enumerate(itertools.pairwise(widths), 1):
            put(f"deconv{b}_{i}", (before, after, 4, 4), after, 4 * before)
        put(f"attention{k}_pred", (1, widths[-1], 3, 3), 1, 9 * widths[-1])
    put("final_attention_pred", (1, 3, 3, 3), 1, 27)
    return found


def write(arrays: dict[str, NDArray[np.float32]], folder: Path) -> list[Path]:
    """Write blobs as the authors' file."""
    layers: dict[str, list[NDArray[np.float32]]] = {}
    for name, array in arrays.items():
        layers.setdefault(name.rpartition(".")[0], []).append(array)
    path = folder / "attention_final"
    path.write_bytes(
        caffemodel(
            [
                (layer, "Deconvolution" if layer.startswith("deconv") else "Convolution", blobs)
                for layer, blobs in layers.items()
            ]
        )
    )
    return [path]


def layers_of(prototxt: str) -> list[str]:
    """Return the text of each layer that is no comment."""
    code = re.sub(r"#[^\n]*", "", prototxt)
    return re.split(r"(?=\blayer\s*\{)", code)[1:]


def offset(prototxt: str, blob: str) -> Fraction:
    """Return where `data` begins in a blob that branches off it: every layer maps x to scale * x + shift.

    A filter's output x lies at stride * x + (kernel - 1) / 2 - pad of its input, a transposed one the other way.
    """
    above: dict[str, tuple[str, str]] = {}
    for layer in layers_of(prototxt):
        bottom, top = (re.search(rf"{side}:\s*['\"](\w+)", layer) for side in ("bottom", "top"))
        assert bottom is not None
        assert top is not None
        if bottom[1] != top[1]:
            above[top[1]] = (bottom[1], layer)
    scale, shift = Fraction(1), Fraction(0)  # a place x of the blob is at scale * x + shift of the data
    while blob != "data":
        blob, layer = above[blob]
        numbers = {key: int(value) for key, value in re.findall(r"(kernel_size|stride|pad):\s*(\d+)", layer)}
        stride, pad = Fraction(numbers.get("stride", 1)), numbers.get("pad", 0)
        centre = Fraction(numbers["kernel_size"] - 1, 2) - pad
        if '"Deconvolution"' in layer:  # of the blob, x is at (x - centre) / stride of what it was made of
            stride, centre = 1 / stride, -centre / stride
        scale, shift = stride * scale, stride * shift + centre
    assert scale == 1
    return -shift


def with_offsets(prototxt: str) -> str:
    """Return the prototxt for `SIZE`, each of its crops with an offset and the name of its output."""
    text = re.sub(r"#[^\n]*", "", prototxt)
    for k in (1, 2, 3):
        start = offset(prototxt, f"attention{k}_pred")
        assert start.denominator == 1
        print(f"attention{k}_pred: {start}")
        old = rf"name:\s*'crop'(\s*bottom:\s*'attention{k}_pred'[^}}]*)\}}"
        text = re.sub(old, rf"name: 'attention{k}_predc'\1 crop_param {{ axis: 2 offset: {start} }} }}", text)
    sides = iter(SIZE)
    return re.sub(r"input_dim:\s*224", lambda _: f"input_dim: {next(sides)}", text)


def main(path: str) -> None:
    """Run it and write the golden."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        (weights,) = write(tensors(), Path(folder))
        definition = Path(folder, "test.prototxt")
        definition.write_text(with_offsets(Path(path).read_text(encoding="utf-8")), encoding="utf-8")
        net = cv2.dnn.readNetFromCaffe(str(definition), str(weights))
    pixels = formula.image(*SIZE)[..., ::-1].astype(np.float32) - 128
    net.setInput(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])
    outputs = dict(zip(OUTPUTS, net.forward(OUTPUTS), strict=True))
    for name, output in outputs.items():
        print(name, output.shape, output.mean(), output.std())
    formula.write_golden(
        "dva",
        f"OpenCV {cv2.__version__}'s Caffe engine on the authors' prototxt, cropped as HED's Caffe does",
        **{name: formula.sample(output) for name, output in outputs.items()},
    )


if __name__ == "__main__":
    main(sys.argv[1])
