"""Fingerprints: copies are recognised, other images are not."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from salzoo.errors import SpecError
from salzoo.images.fingerprint import CLOSE, MOST, NONE, are_among, fingerprint, pack, unpack
from salzoo.images.samples import SAMPLES, sample_images


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def over_white(image: Image.Image) -> Image.Image:
    """Return an image that is white where it is transparent, and something else below."""
    clear = Image.new("RGBA", image.size, (255, 0, 0, 0))
    clear.paste(image, (0, 0), Image.new("L", image.size, 255))
    return clear


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "thumbnail": lambda image: image.resize((128, 96), Image.Resampling.BILINEAR),
    "double": lambda image: image.resize((image.width * 2, image.height * 2)),
    "another shape": lambda image: image.resize((640, 360)),
    "jpeg": lambda image: as_jpeg(image, 30),
    "jpeg of low quality": lambda image: as_jpeg(image, 10),
    "grey": lambda image: image.convert("L"),
    "brighter": lambda image: image.point([round(255 * (v / 255) ** 0.9) for v in range(256)] * 3),
    "opaque": over_white,
}


@pytest.fixture(scope="module")
def photographs() -> list[Image.Image]:
    return [image for name, image in sample_images().items() if name in SAMPLES]


def page(seed: int) -> Image.Image:
    """Draw a page of text: the same head and margin for every seed."""
    rng, image = np.random.default_rng(seed), Image.new("RGB", (800, 600), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 800, 60), fill="navy")
    for y in range(80, 580, 14):
        draw.rectangle((170, y, 270 + int(rng.integers(0, 500)), y + 7), fill="black")
    return image


def different_bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_recognised(kind: str, photographs: list[Image.Image]) -> None:
    for image in photographs:
        assert different_bits(fingerprint(image), fingerprint(COPIES[kind](image))) <= CLOSE


def test_other_images_are_not(photographs: list[Image.Image]) -> None:
    for one, other in combinations(map(fingerprint, photographs), 2):
        assert different_bits(one, other) > 2 * CLOSE
    for one, other in combinations([fingerprint(page(seed)) for seed in range(30)], 2):
        assert different_bits(one, other) > CLOSE


def test_a_field_without_structure_is_like_nothing() -> None:
    assert fingerprint(Image.new("RGB", (40, 30), "grey")) == NONE
    nothing = np.array([NONE], np.uint64)
    assert not are_among(nothing, nothing).any()
    assert pack([NONE, NONE]) == ""


def test_packing() -> None:
    """Eight bytes an image, each once; the order says nothing."""
    values = [2**64 - 1, 5, 5, 2**63]
    assert unpack(pack(values)).tolist() == [5, 2**63, 2**64 - 1]
    assert pack(values) == pack(reversed(values))
    assert unpack("").tolist() == []
    assert len(unpack(pack(range(1, 3 * MOST)))) == MOST
    for text in ("not base64!", "AAAA", "AAAAAAAAAAA=="):
        with pytest.raises(SpecError, match="is not base64 of 8 bytes an image"):
            unpack(text)


def test_close_is_the_same() -> None:
    known = np.array([0b1111, 2**60], np.uint64)
    images = np.array([2**60 + 2**6 - 1, 2**60 + 2**7 - 1, 2**40 - 1], np.uint64)
    assert are_among(images, known).tolist() == [True, True, False]  # the second by the first known: 3 + 1 bits
