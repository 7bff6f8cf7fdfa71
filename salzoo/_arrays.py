"""Arrays in files: what a file holds is known from its headers, and only what is asked for is unpacked."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from salzoo.errors import DataError, DatasetNotFoundError, SalzooError, WeightsError

T = TypeVar("T")

LIMIT = 1 << 30
"""The most bytes that one array may have: its header is believed as far as this."""


class Stored(NamedTuple):
    """An array in a file.

    Args:
        shape: Of the array.
        numeric: Whether it is of real numbers.
        read: Returns it.
    """

    shape: tuple[int, ...]
    numeric: bool
    read: Callable[[], Any]


def open_npz(path: Path) -> dict[str, Stored]:
    """Return the arrays of an .npz file by name.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If the file is damaged or of another kind; to read an array raises it, too.
    """
    return guarded(path, "an .npz file", partial(_list_zip, path))


def open_npy(path: Path) -> Stored:
    """Return the array of an .npy file, as `open_npz` does."""
    return guarded(path, "an .npy file", partial(_read_file, path))


def check_archive(path: Path, ratio: float = 1.0) -> None:
    """Check what the members of a zip archive unpack to; a file that is none passes.

    Args:
        path: The archive.
        ratio: How many times the file's size that may be: torch packs nothing, and no two members share their bytes.

    Raises:
        WeightsError: If it is more.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > ratio * (size := path.stat().st_size):
        raise WeightsError(f"{path} unpacks to {unpacked:,} bytes from {size:,}, which no archive of weights does.")


def guarded(path: Path, what: str, read: Callable[[], T]) -> T:
    """Return what `read` returns, with any failure on a damaged file as one error.

    Raises:
        DatasetNotFoundError: If there is no such file.
        DataError: If it cannot be read.
    """
    try:
        return read()
    except SalzooError:
        raise
    except FileNotFoundError as error:
        raise DatasetNotFoundError(f"there is no file {path}") from error
    except Exception as error:  # damaged bytes make libraries raise whatever: zlib.error, TokenError, RecursionError
        raise DataError(f"{path} cannot be read as {what}, is the download complete? {error}") from error


def _list_zip(path: Path) -> dict[str, Stored]:
    with path.open("rb") as file:
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise ValueError("it is one array: an .npy file with the wrong suffix, rename it")
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if info.filename.endswith(".npy")]
        return {name[:-4]: _member(path, archive, name) for name in names}


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Stored:
    with archive.open(name) as file:
        shape, dtype, _ = _header(file)

    def unpack() -> NDArray[Any]:
        with zipfile.ZipFile(path) as again, again.open(name) as file:
            return _body(file, again.getinfo(name).file_size)

    return Stored(shape, dtype.kind in "biuf", partial(guarded, path, "an .npz file", unpack))


def _read_file(path: Path) -> Stored:
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            raise ValueError("it is an archive of arrays: an .npz file with the wrong suffix, rename it")
        file.seek(0)
        shape, dtype, _ = _header(file)

    def load() -> NDArray[Any]:
        with path.open("rb") as file:
            return _body(file, path.stat().st_size)

    return Stored(shape, dtype.kind in "biuf", partial(guarded, path, "an .npy file", load))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Return shape, type and order of the array that a file in NumPy's format begins with."""
    version = np.lib.format.read_magic(file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*created on Python 2", UserWarning)  # sizes are written `64L`
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"its format is {version}; save it again as an array of numbers")
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read; save arrays of numbers or texts")
    return shape, dtype, fortran


def _body(file: IO[bytes], length: int) -> NDArray[Any]:
    """Return the array of a file of so many bytes."""
    shape, dtype, fortran = _header(file)
    size = prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size > LIMIT:
        raise ValueError(f"an array of {dtype} {shape} has {size} bytes; at most {LIMIT} are read")
    if size > length:
        raise ValueError(f"an array of {dtype} {shape} has {size} bytes, the file only {length}")
    content = file.read(size)
    if len(content) < size or file.read(1):  # to the end, where an archive's checksum is compared
        raise ValueError(
            f"an array of {dtype} {shape} has {size} bytes, the file {'more' if len(content) == size else 'less'}"
        )
    return np.frombuffer(bytearray(content), dtype).reshape(shape, order="F" if fortran else "C")
