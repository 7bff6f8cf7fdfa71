"""What callers hand in as maps, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Number

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salzoo.errors import ImageError

Maps = Tensor | ArrayLike | Sequence[Tensor | ArrayLike]
"""(N, H, W): a tensor, an array, what numpy makes one of (`SaliencyMap` for a map), or a list of maps (H, W)."""
WIDE = (torch.uint16, torch.uint32, torch.uint64)
"""Types that torch stores, but hardly computes with."""


def to_tensors(**maps: Maps) -> tuple[Tensor, ...]:
    """Return the maps of each name as `to_tensor` does."""
    return tuple(to_tensor(name, each) for name, each in maps.items())


def to_tensor(name: str, maps: object, depth: int = 2) -> Tensor:
    """Return maps as a dense tensor of real numbers; a list of maps of one size as a batch.

    Args:
        name: Name of the argument in error texts.
        maps: See `Maps`.
        depth: How many levels of lists may hold tensors or arrays.

    Raises:
        ImageError: If they are no numbers, complex, sparse, quantised or partly masked, or sizes in a list differ.
    """
    if isinstance(maps, Tensor):
        return _dense(name, maps)
    if isinstance(maps, list | tuple) and maps and depth and not isinstance(maps[0], Number):
        each = [to_tensor(name, one, depth - 1) for one in maps]
        shapes = {tuple(one.shape) for one in each}
        if len(shapes) > 1:
            raise ImageError(
                f"{name} are of several shapes, {', '.join(map(str, sorted(shapes)))}: a batch has one; "
                "maps of mixed sizes go into a metric class as a list"
            )
        return torch.stack(each)
    return _dense(name, torch.from_numpy(_array(name, maps)))


def to_list(name: str, maps: object) -> Tensor | list[Tensor]:
    """Return maps as `to_tensor` does, but of a list each by itself, since sizes may differ."""
    if isinstance(maps, list | tuple):
        return [to_tensor(name, one) for one in maps]
    return to_tensor(name, maps)


def _array(name: str, maps: object) -> np.ndarray:
    """Return a copy (torch warns of arrays that must not be written to) in a type that torch has."""
    if np.ma.is_masked(maps):
        raise ImageError(f"{name} has masked values, which no metric can leave out; replace them, as with .filled(0)")
    try:
        array = np.array(maps, order="C")
    except (TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise _no_map(name, maps) from error
    if array.dtype.kind not in "biuf":
        raise _no_map(name, maps)
    kind = np.dtype(np.float64) if array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    return array.astype(kind, copy=False)


def _no_map(name: str, maps: object) -> ImageError:
    shape = getattr(maps, "dtype", "")
    return ImageError(
        f"{name} must be a tensor, an array, a SaliencyMap or a list of these, of real numbers, "
        f"got {type(maps).__name__}{f' of {shape}' if shape else ''}"
    )


def _dense(name: str, maps: Tensor) -> Tensor:
    if maps.layout != torch.strided or maps.is_nested:
        kind = "nested" if maps.is_nested else str(maps.layout).removeprefix("torch.")
        raise ImageError(f"{name} is a tensor of layout {kind}; metrics take dense ones: pass .to_dense(), or a list")
    if maps.is_quantized:
        raise ImageError(f"{name} is quantised ({maps.dtype}); metrics take plain numbers: pass .dequantize()")
    if maps.is_complex():
        raise ImageError(f"{name} is complex ({maps.dtype}); metrics take real numbers: pass .abs() or .real")
    if maps.dtype not in WIDE:
        return maps.resolve_neg()
    wide = maps.to(torch.int64)
    if maps.dtype == torch.uint64 and not wide.is_meta and bool((wide < 0).any()):
        raise ImageError(f"{name} holds numbers of 2^63 and more, which no metric can tell apart")
    return wide
