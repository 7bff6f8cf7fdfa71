"""Resampling as OpenCV, TensorFlow 1, Pillow and SciPy do it, against what they say."""

import itertools
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from salzoo.errors import SpecError
from salzoo.images.imresize import imresize
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import Resample, resize_image

OPENCV = json.loads((Path(__file__).parent / "golden" / "resample.json").read_text(encoding="utf-8"))
IMAGE = torch.tensor(OPENCV["image"], dtype=torch.uint8)[None, None]
KINDS = get_args(Resample)


@pytest.mark.parametrize("case", OPENCV["cases"], ids=lambda case: f"{case['kind']}-{case['size']}")
def test_as_opencv_and_scipy(case):
    size = tuple(case["size"])
    wanted = torch.tensor(case["float"]).view(1, 1, *size)
    if case["kind"] in ("cubic", "lanczos"):
        wanted = wanted.clamp(0, 1)
    torch.testing.assert_close(resize_image(IMAGE / 255, size, case["kind"]), wanted, rtol=0, atol=2e-6)
    of_bytes = resize_image(IMAGE, size, case["kind"])
    assert of_bytes.dtype == torch.uint8
    difference = of_bytes.int() - torch.tensor(case["uint8"]).view(1, 1, *size)
    assert difference.abs().max() <= 1, "OpenCV computes bytes with weights of 11 bits"
    assert difference.abs().float().mean() < 0.3


def test_the_kinds_differ():
    for size in ((4, 5), (9, 17)):
        results = [resize_image(IMAGE / 255, size, kind) for kind in KINDS]
        pairs = itertools.combinations(zip(KINDS, results, strict=True), 2)
        same = {(a, b) for (a, x), (b, y) in pairs if torch.allclose(x, y, atol=1e-3)}
        assert same == (set() if size == (4, 5) else {("antialiased", "bilinear")}), "the same only where they enlarge"


def test_as_tensorflow_1():
    image, (height, width) = IMAGE[0, 0].double().numpy(), (9, 4)
    wanted = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y, x = i * 7 / height, j * 11 / width
            top, left = int(y), int(x)
            bottom, right = min(top + 1, 6), min(left + 1, 10)
            above = image[top, left] + (image[top, right] - image[top, left]) * (x - left)
            below = image[bottom, left] + (image[bottom, right] - image[bottom, left]) * (x - left)
            wanted[i, j] = above + (below - above) * (y - top)
    found = resize_image(IMAGE.double(), (height, width), "tensorflow1")
    np.testing.assert_allclose(found[0, 0].numpy(), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(12, 16), (37, 50), (9, 70), (300, 400)])
def test_nearest_is_pillows(size):
    array = np.random.default_rng(0).integers(0, 256, (31, 64), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(array).resize(size[::-1], Image.Resampling.NEAREST))
    found = resize_image(torch.from_numpy(array)[None, None], size, "pillow_nearest")[0, 0].numpy()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("size", [(12, 16), (37, 50), (9, 70), (100, 200), (31, 3)])
@pytest.mark.parametrize("kind", ["pillow_cubic", "pillow_lanczos"])
def test_wide_kernels_are_pillows(kind, size):
    array = np.random.default_rng(0).uniform(0, 1, (31, 64)).astype(np.float32)
    method = Image.Resampling.BICUBIC if kind == "pillow_cubic" else Image.Resampling.LANCZOS
    wanted = np.asarray(Image.fromarray(array).resize(size[::-1], method))
    if kind == "pillow_lanczos":
        wanted = wanted.clip(0, 1)
    found = resize_image(torch.from_numpy(array)[None, None], size, kind)[0, 0].numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_matlab_is_imresize():
    image = IMAGE.float() / 255
    assert torch.equal(resize_image(image, (4, 5), "matlab"), imresize(image, size=(4, 5)))


def test_antialiased_is_pillows():
    array = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(array).resize((21, 13), Image.Resampling.BILINEAR)).astype(int)
    found = resize_image(torch.from_numpy(array)[None, None], (13, 21))[0, 0].numpy()
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_any_type_gradient_and_device(kind):
    size = (5, 13)
    exact = resize_image(IMAGE.double() / 255, size, kind)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        found = resize_image((IMAGE.double() / 255).to(dtype), size, kind)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), exact, rtol=0, atol=torch.finfo(dtype).eps * 4)
    image = (IMAGE / 255).requires_grad_()
    with torch.inference_mode():
        resize_image(image, size, kind)
    resize_image(image, size, kind).sum().backward()
    assert image.grad.isfinite().all()
    assert resize_image(IMAGE.to("meta").float(), size, kind).shape == (1, 1, *size)
    same = resize_image(IMAGE / 255, (7, 11), kind)
    torch.testing.assert_close(same, IMAGE / 255, rtol=0, atol=1e-6, msg="its own size changes nothing")


def test_preprocess_resizes_and_pads_as_it_is_told():
    image = IMAGE.expand(1, 3, 7, 11)
    nearest = Preprocess((3, 4), resample="nearest")
    assert torch.equal(nearest.resize(image), image[..., [0, 2, 4], :][..., [0, 2, 5, 8]] / 255)
    black = Preprocess((9, 11), fit="pad", resample="bilinear", pad_value=0).resize(image)
    assert torch.equal(black[..., 1:8, :], image / 255)
    assert (black[..., [0, 8], :] == 0).all()
    for value in (-1, 256):
        with pytest.raises(SpecError, match="pad_value"):
            Preprocess(pad_value=value)
    with pytest.raises(SpecError, match="'quick'"):
        Preprocess(resample="quick").resize(image)
