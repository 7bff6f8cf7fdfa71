"""Numbers in memory of any kind, as plain arrays: what checks and sums would pass over is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salzoo.errors import ImageError


def is_tensor(image: object) -> bool:
    """Whether it is a tensor, without importing torch to ask; files have `detach` too."""
    return hasattr(image, "detach") and hasattr(image, "is_quantized")


def plain_array(values: Any, label: str) -> NDArray[Any]:
    """Return what numpy makes of numbers in memory: an array, a tensor on any device, nested lists.

    Raises:
        ImageError: If it is no array, some values are masked, or a tensor is sparse, nested, quantised, complex or
            without values.
    """
    if is_tensor(values):
        refuse_strange(values, label)
        values = values.detach().resolve_neg().cpu()
        return np.asarray(values.float() if values.dtype.itemsize < 4 and values.is_floating_point() else values)
    if np.ma.is_masked(values):
        count = int(np.ma.getmaskarray(values).sum())
        raise ImageError(f"{label} has {count} masked values; say what they are with array.filled(...)")
    try:
        return np.asarray(values)
    except Exception as error:  # rows of different lengths, or an own `__array__`
        raise ImageError(f"{label} is no array of numbers: {error}") from error


def refuse_strange(tensor: Any, label: str) -> None:
    """Refuse a tensor whose values are not laid out in memory one by one.

    Raises:
        ImageError: If it is sparse, nested, quantised, complex or without values.
    """
    layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
    if layout != "strided":
        raise ImageError(f"{label} is {layout}; pass a dense one: tensor.to_dense(), or one by one from a nested one")
    if tensor.is_quantized:
        raise ImageError(f"{label} is quantised ({tensor.dtype}); pass tensor.dequantize(), in [0, 1]")
    if tensor.is_meta:
        raise ImageError(f"{label} is on the device 'meta', where there are no values; pass one on the CPU or a GPU")
    if tensor.is_complex():
        raise ImageError(f"{label} is complex ({tensor.dtype}); pass real numbers, such as tensor.real or tensor.abs()")
