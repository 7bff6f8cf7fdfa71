"""The three re-implementations of SALICON, each on an engine of its own.

nkuhzx: the authors' class on torch (a clone of nkuhzx/Salicon_pytorch, which is MIT); SALICONtf: NumPy; OpenSALICON:
OpenCV's Caffe importer for the two streams and the head, SciPy's `zoom` between them, as there.

pip install torch torchvision matplotlib pillow scipy 'opencv-python-headless<5'
PYTHONPATH=tests python tests/importing/oracles/salicon.py CLONE
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from importing import formula
from numpy.typing import NDArray

BLOCKS = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
"""Channels in and out of VGG-16's convolutions."""
VGG16 = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
SIZES = {"nkuhzx": (112, 144), "salicontf": (112, 144), "opensalicon": (208, 272)}
"""Of the image and of the fine input: then it does not matter that ours makes the coarse one from the fine one."""
GAINS = {"nkuhzx": 1.0, "salicontf": 1.1, "opensalicon": 1.1}
"""Of the kernels: logits are to be about 1; nkuhzx's inputs are larger."""
Tensors = dict[str, NDArray[np.float32]]


def convolutions() -> Iterator[tuple[int, int, int, int]]:
    """Yield block, number, inputs and outputs of VGG-16's convolutions."""
    for b, block in enumerate(BLOCKS):
        for i in range(len(block) - 1):
            yield b + 1, i + 1, block[i], block[i + 1]


def tensors(port: str) -> Tensors:
    """Return the tensors of a port's file, by formula, under the names that `weight_files.read` gives them."""
    found: Tensors = {}

    def put(name: str, kernel: str, bias: str, after: int, before: int, side: int) -> None:
        shape = (side, side, before, after) if port == "salicontf" else (after, before, side, side)
        found[kernel] = formula.values(f"{port} {name}", shape, GAINS[port], fan_in=before * side * side)
        found[bias] = formula.values(f"{port} {name} bias", (after,))

    for stream in ("fine", "coarse"):
        for position, (block, i, before, after) in enumerate(convolutions()):
            if port == "nkuhzx":
                name = f"Vgg16_{stream}_features.{VGG16[position]}"
                put(name, f"{name}.weight", f"{name}.bias", after, before, 3)
            elif port == "salicontf":
                name = f"block{block}_conv{i}_{stream}"
                put(name, f"{name}/{name}/kernel:0", f"{name}/{name}/bias:0", after, before, 3)
            else:
                name = ("sec_" if stream == "coarse" else "") + f"conv{block}_{i}"
                put(name, f"{name}.0", f"{name}.1", after, before, 3)
    head = {"nkuhzx": "Sal_map", "salicontf": "saliency_map", "opensalicon": "saliency_map"}[port]
    kernel, bias = {
        "nkuhzx": (f"{head}.weight", f"{head}.bias"),
        "salicontf": (f"{head}/{head}/kernel:0", f"{head}/{head}/bias:0"),
        "opensalicon": (f"{head}.0", f"{head}.1"),
    }[port]
    put(head, kernel, bias, 1, 1024, 1)
    return found


def nkuhzx(clone: Path, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits and the map that the authors' script shows."""
    import cv2
    import torch
    import torchvision
    from PIL import Image

    vgg16 = torchvision.models.vgg16
    torchvision.models.vgg16 = lambda pretrained: vgg16()  # without a download
    sys.path.insert(0, str(clone))
    from src.salicon_model import Salicon

    network = Salicon().eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors("nkuhzx").items()})
    mean, std = np.array([123.68, 116.779, 103.939]) / 255, np.array([0.229, 0.224, 0.225])
    inputs = []
    for scale in (1, 2):
        size = (image.shape[1] // scale, image.shape[0] // scale)
        small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST)) / 255
        inputs.append(torch.from_numpy(((small - mean) / std).astype(np.float32)).permute(2, 0, 1)[None])
    with torch.no_grad():
        saliency = network(*inputs)[0, 0].double().numpy()
    stretched = ((saliency - saliency.min()) / (saliency.max() - saliency.min())).astype(np.float32)
    enlarged = cv2.resize(stretched, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.log(saliency / (1 - saliency)), cv2.GaussianBlur(enlarged, (75, 75), 25)


def salicontf(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits."""
    weights = tensors("salicontf")

    def convolve(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        kernel = weights[f"{name}/{name}/kernel:0"]
        side = kernel.shape[0]
        height, width = x.shape[:2]
        padded = np.pad(x, ((side // 2,) * 2, (side // 2,) * 2, (0, 0)))
        shifts = [(y, z) for y in range(side) for z in range(side)]
        total = sum(padded[y : y + height, z : z + width] @ kernel[y, z] for y, z in shifts)
        return np.asarray(total + weights[f"{name}/{name}/bias:0"])

    features = []
    for stream, scale in (("fine", 1), ("coarse", 2)):
        rows, columns = (((np.arange(n // scale) + 0.5) * scale).astype(int) for n in image.shape[:2])
        x = (image[rows][:, columns].astype(np.float32) - np.float32([123, 116, 103])) / 255
        for block, i, _, _ in convolutions():
            if i == 1 and block > 1:
                x = x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2]
                x = x.reshape(len(x) // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
            x = np.maximum(convolve(x, f"block{block}_conv{i}_{stream}"), 0)
        features.append(x)
    fine, coarse = features
    rows, columns = (
        np.floor(np.arange(m) * ((n - 1) / (m - 1)) + 0.5).astype(int)
        for n, m in zip(coarse.shape, fine.shape[:2], strict=False)
    )
    return convolve(np.concatenate([fine, coarse[rows][:, columns]], axis=2), "saliency_map")[..., 0]


def opensalicon(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return logits."""
    import tempfile

    import cv2
    from importing import writers
    from scipy.ndimage import zoom

    weights = tensors("opensalicon")

    def run(layers: list[tuple[str, int, int]], x: NDArray[np.float32]) -> NDArray[np.float32]:
        text = ['name: "stream"\nlayer { name: "data" type: "Input" top: "data" input_param { shape {']
        text += [f"dim: {side}" for side in x.shape] + ["} } }"]
        bottom, blobs = "data", []
        for name, outputs, side in layers:
            if not outputs:
                text.append(
                    f'layer {{ name: "{name}" type: "Pooling" bottom: "{bottom}" top: "{name}" '
                    "pooling_param { pool: MAX kernel_size: 2 stride: 2 } }"
                )
            else:
                text.append(
                    f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
                    f"convolution_param {{ num_output: {outputs} pad: {side // 2} kernel_size: {side} }} }}"
                )
                blobs.append((name, "Convolution", [weights[f"{name}.0"], weights[f"{name}.1"]]))
                if side > 1:
                    text.append(f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}')
            bottom = name
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "net.prototxt").write_text("\n".join(text), encoding="utf-8")
            Path(folder, "net.caffemodel").write_bytes(writers.caffemodel(blobs))
            network = cv2.dnn.readNetFromCaffe(f"{folder}/net.prototxt", f"{folder}/net.caffemodel")
        network.setInput(x)
        return network.forward()

    def stream(prefix: str, x: NDArray[np.float32]) -> NDArray[np.float32]:
        layers = []
        for block, i, _, after in convolutions():
            layers.append((f"{prefix}conv{block}_{i}", after, 3))
            if i == len(BLOCKS[block - 1]) - 1:
                layers.append((f"{prefix}pool{block}", 0, 2))
        return run(layers, x)

    pixels = image[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    pixels = ((pixels - np.array([103.939, 116.779, 123.68])[:, None, None]) / 255)[None]
    half = zoom(pixels, (1, 1, 0.5, 0.5), np.float32, order=3, mode="mirror")
    fine, coarse = stream("", pixels.astype(np.float32)), stream("sec_", half)
    scales = tuple(n / m for n, m in zip(fine.shape, coarse.shape, strict=True))
    enlarged = zoom(coarse, scales, np.float32, mode="nearest", order=1)
    return run([("saliency_map", 1, 1)], np.concatenate([enlarged, fine], axis=1))[0, 0]


def main() -> None:
    """Run all and write the golden."""
    import cv2
    import scipy
    import torch

    logits, shown = nkuhzx(Path(sys.argv[1]), formula.image(*SIZES["nkuhzx"]))
    outputs = {
        "nkuhzx": logits,
        "salicontf": salicontf(formula.image(*SIZES["salicontf"])),
        "opensalicon": opensalicon(formula.image(*SIZES["opensalicon"])),
    }
    for port, output in outputs.items():
        print(port, output.shape, output.mean(), output.std())
    formula.write_golden(
        "salicon",
        f"nkuhzx: the authors' class at af79ad38 on torch {torch.__version__}; salicontf: NumPy {np.__version__}; "
        f"opensalicon: OpenCV {cv2.__version__} and SciPy {scipy.__version__}",
        map=formula.sample(shown),
        **{port: formula.sample(output) for port, output in outputs.items()},
    )


if __name__ == "__main__":
    main()
