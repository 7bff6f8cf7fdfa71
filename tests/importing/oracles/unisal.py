"""UNISAL as its authors run it on one image: their class, and Pillow's and torchvision's steps before it.

git clone https://github.com/rdroste/unisal; pip install torch torchvision
PYTHONPATH=tests:unisal python -m importing.oracles.unisal
Their `unisal/__init__.py` needs more packages than the network: empty it.
"""

from __future__ import annotations

import math

import numpy as np
from importing import formula
from numpy.typing import NDArray

DOMAINS = ("DHF1K", "Hollywood", "UCFSports", "SALICON")
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
"""Expansion, channels and number of MobileNetV2's blocks."""
IMAGE = (120, 150)
SIZE = (320, 384)
"""What the authors' rule makes of it: 10 x 12 cells of 32 pixels."""

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Shapes:
    """Return the five tensors of a batch normalisation."""
    vectors = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**vectors, f"{name}.num_batches_tracked": ()}


def norms(name: str, channels: int) -> Shapes:
    """Return a batch normalisation a domain."""
    return {key: shape for domain in DOMAINS for key, shape in norm(f"{name}.bn_{domain}", channels).items()}


def block(name: str, inside: int, outside: int, expansion: int, make=norm) -> Shapes:
    """Return an inverted residual block."""
    wide = inside * expansion
    expand = {} if expansion == 1 else {f"{name}.0.weight": (wide, inside, 1, 1), **make(f"{name}.1", wide)}
    k = 0 if expansion == 1 else 3
    depthwise = {f"{name}.{k}.weight": (wide, 1, 3, 3), **make(f"{name}.{k + 1}", wide)}
    return {**expand, **depthwise, f"{name}.{k + 3}.weight": (outside, wide, 1, 1), **make(f"{name}.{k + 4}", outside)}


def recurrent(name: str, channels: int) -> Shapes:
    """Return the ConvGRU and the convolution after it."""
    cell: Shapes = {f"{name}.cell_list.0.b_{gate}": (channels, 1, 1) for gate in "rzh"}
    cell |= {f"{name}.cell_list.0.a_{gate}_{of}": (channels, 1, 1) for gate in "rzh" for of in "xh"}
    cell[f"{name}.cell_list.0.drop_mask_1"] = (3, channels)
    for gate in ("r_x", "r_h", "z_x", "z_h", "out_x", "out_h"):
        cell |= norms(f"{name}.cell_list.0.norm_{gate}", channels)
    for layer in ("w_r", "u_r", "w_z", "u_z", "w", "u"):
        start = f"{name}.cell_list.0.{layer}"
        cell |= {f"{start}.conv_dw.weight": (channels, 1, 3, 3), **norms(f"{start}.sep_bn", channels)}
        cell[f"{start}.conv_sep.weight"] = (channels, channels, 1, 1)
    return {**cell, f"post_{name}.0.weight": (channels, channels, 1, 1), **norms(f"post_{name}.1", channels)}


def skip(name: str, inside: int, outside: int) -> Shapes:
    """Return a skip connection."""
    expand = {f"{name}.expansion.0.weight": (2 * inside, inside, 1, 1), **norms(f"{name}.expansion.1", 2 * inside)}
    reduce = {f"{name}.reduction.0.weight": (outside, 2 * inside, 1, 1), f"{name}.reduction.0.bias": (outside,)}
    return {**expand, **reduce, **norms(f"{name}.reduction.1", outside)}


def shapes() -> Shapes:
    """Return the 835 tensors of the authors' files."""
    found: Shapes = {f"coarse_gaussians_{domain.lower()}": (16, 2, 2) for domain in DOMAINS}
    found |= {"cnn.features.0.0.weight": (32, 3, 3, 3), **norm("cnn.features.0.1", 32)}
    place, inside = 1, 32
    for expansion, channels, count in STAGES:
        for _ in range(count):
            found |= block(f"cnn.features.{place}.conv", inside, channels, expansion)
            place, inside = place + 1, channels
    found |= {"cnn.features.18.0.weight": (1280, 320, 1, 1), **norm("cnn.features.18.1", 1280)}
    found |= block("post_cnn.inv_res.conv", 1296, 256, 1)
    found |= recurrent("rnn", 256)
    found |= skip("skip_2x", 160, 128)
    found |= block("upsampling_2.inv_res.conv", 384, 128, 2, norms)
    found |= skip("skip_4x", 64, 64)
    found |= block("post_upsampling_2.inv_res.conv", 192, 64, 2, norms)
    for domain in map(str.lower, DOMAINS):
        found |= {f"adaptation_{domain}.0.weight": (1, 64, 1, 1), f"adaptation_{domain}.0.bias": (1,)}
        found[f"smoothing_{domain}.weight"] = (1, 1, 41, 41)
    return found


def tensors() -> dict[str, NDArray]:
    """Return the arrays of the authors' file, by formula."""
    found = {}
    for name, shape in shapes().items():
        if not shape:
            found[name] = np.array(7, np.int64)
            continue
        around_1 = name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1)
        found[name] = (formula.values(f"unisal {name}", shape) + around_1).astype(np.float32)
    return found


def pixels() -> NDArray[np.float32]:
    """Return the network's input (3, *SIZE), as the authors make it of the image."""
    from PIL import Image

    small = Image.fromarray(formula.image(*IMAGE)).resize(SIZE[::-1], Image.Resampling.LANCZOS)
    scaled = np.asarray(small, np.float32) / 255
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(((scaled - mean) / std).transpose(2, 0, 1))


def main() -> None:
    """Run the authors' network and write the golden."""
    import torch
    from unisal.model import UNISAL

    network = UNISAL(cnn_cfg={"pretrained": False}).eval()
    values = {name: torch.from_numpy(np.array(array)) for name, array in tensors().items()}
    own = network.state_dict()
    assert list(own) == list(values) or set(own) == set(values), set(own) ^ set(values)
    network.load_state_dict(values)
    with torch.inference_mode():
        x = torch.from_numpy(pixels())[None, None]
        output = network(x, target_size=IMAGE, source="SALICON", static=True)[0, 0, 0]
        other = network(x, target_size=IMAGE, source="DHF1K", static=True)[0, 0, 0]
    print(len(values), output.std(), output.min(), output.max(), (output - other).abs().max(), math.exp(output.max()))
    formula.write_golden(
        "unisal",
        f"the authors' class at commit 0440df77, torch {torch.__version__}",
        log_density=formula.sample(output.numpy()),
        other_domain=formula.sample(other.numpy(), 40),
    )


if __name__ == "__main__":
    main()
