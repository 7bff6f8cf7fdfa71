"""Damaged image files are an image of pixels in range, or one ImageError; nothing else."""

from __future__ import annotations

import io

import numpy as np
import torch
from fuzz.damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, features

from salzoo.errors import ImageError
from salzoo.images.formats import FORMATS
from salzoo.images.read import to_tensor


def written(mode: str, kind: str, **options: object) -> bytes:
    """Return an image file of 7 x 9 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


SOUND = [
    written("RGB", "PNG"),
    written("P", "PNG"),
    written("RGBA", "PNG"),
    written("I;16", "PNG") if hasattr(Image, "MODES") and "I;16" in Image.MODES else written("L", "PNG"),
    written("RGB", "JPEG"),
    written("CMYK", "JPEG"),
    written("L", "JPEG", progressive=True),
    written("RGB", "BMP"),
    written("P", "GIF"),
    written("RGB", "TIFF"),
    written("L", "TIFF", compression="tiff_deflate"),
    written("RGB", "PPM"),
    written("RGB", "TGA", compression="tga_rle"),
    *([written("RGBA", "WEBP")] if features.check("webp") else []),
    *([written("RGB", "JPEG2000")] if features.check("jpg_2000") else []),
]


def test_every_sound_file_is_read() -> None:
    assert {tuple(to_tensor(data).shape) for data in SOUND} == {(3, 7, 9)}
    assert {"PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "TGA"} <= set(FORMATS)


def is_image_or_refused(source: object) -> bool:
    """Whether a source is read as an image in range, or refused in words."""
    try:
        image = to_tensor(source)  # type: ignore[arg-type]
    except ImageError as error:
        return "\n" not in str(error)
    high = 255 if image.dtype == torch.uint8 else 1
    return image.ndim == 3 and len(image) == 3 and 0 <= float(image.min()) <= float(image.max()) <= high


@given(damaged(SOUND))
def test_a_damaged_file_is_an_image_or_one_error(data: bytes) -> None:
    assert is_image_or_refused(data)


@given(
    st.one_of(
        st.binary(max_size=64),
        arrays.arrays(
            st.sampled_from(
                [np.uint8, np.uint16, np.int16, np.int64, np.float16, np.float32, np.float64, bool, complex]
            ),
            arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
        ),
        st.none(),
        st.integers(),
        st.floats(),
    )
)
def test_any_array_is_an_image_or_one_error(source: object) -> None:
    assert is_image_or_refused(source)
