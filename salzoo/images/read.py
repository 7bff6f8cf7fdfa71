"""Reads an image of any kind (path, file, bytes, PIL image, array, tensor) as RGB, or says in one error what to do."""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from salzoo.errors import ImageError, SalzooWarning
from salzoo.images.arrays import is_tensor, plain_array, refuse_strange
from salzoo.images.formats import SUFFIXES, check_pixels, count_below, list_files, name_some, open_image, sort_out

if TYPE_CHECKING:  # torch takes seconds to import; only `to_tensor` needs it
    from torch import Tensor

ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[Any] | Tensor"
)

_KINDS = (
    "a path, a file opened in binary mode, the bytes of a file, a PIL image, "
    "a numpy array ((H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16 or float in [0, 1]) "
    "or a tensor ((3, H, W) or (1, H, W); uint8 or float in [0, 1])"
)

# What undoes each value of the EXIF tag Orientation. Not `ImageOps.exif_transpose`: it also writes the EXIF block anew,
# and so fails on images whose pixels and orientation are fine but whose other tags are not.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)
"""Those values that swap height and width."""
Enough: TypeAlias = Callable[[tuple[int, int]], tuple[int, int]]
"""Gives for the (height, width) of an upright image that at which it may be decoded at least."""


class Decoded(NamedTuple):
    """An image from a file.

    Attributes:
        pixels: (3, h, w) RGB, as `to_tensor` gives it.
        size: (height, width) of the image: (h, w), unless it was decoded at a fraction.
    """

    pixels: Tensor
    size: tuple[int, int]


def to_tensor(image: ImageLike) -> Tensor:
    """Read one image of any accepted kind as a (3, H, W) RGB tensor that shares no memory with it.

    8-bit sources give uint8; the others (16-bit grey PNG and TIFF, uint16, float) give float32 in [0, 1]. Grey is
    repeated over the three channels, transparency is laid over white, EXIF rotation is undone for paths and PIL images,
    and of an animation the first frame is taken. Pillow reads 16-bit *colour* files with 8 bits, and so does salzoo.

    Args:
        image: A path; a file opened in binary mode, which is read from its beginning and left where it was (one that
            cannot seek, as a pipe, is read from where it is); the bytes of a file; a PIL image; an array (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool or float in [0, 1], RGB or RGBA; or a tensor
            (3, H, W) or (1, H, W) of uint8 or float in [0, 1].

    Raises:
        ImageError: If it cannot be read, or has another kind, shape, type or range; fewer than 2 or (files and PIL
            images) more than `PIL.Image.MAX_IMAGE_PIXELS` pixels.

    Examples:
        >>> to_tensor(np.full((2, 5), 65535, np.uint16)).shape
        torch.Size([3, 2, 5])
    """
    return _channels_first(to_array(image))


def read_file(file: Path | bytes, name: str, enough: Enough | None = None) -> Decoded:
    """Read an image file, or its bytes, as `to_tensor` does, or a JPEG at 1/2, 1/4 or 1/8 of its size.

    The decoder then leaves high frequencies out: pixels are close to means over those of the image, not equal. It is
    the smallest of these fractions that is enough and divides both sides.

    Args:
        file: A path, or the content of a file.
        name: Name of the file, for messages.
        enough: What may be decoded at least, as `Preprocess.enough`; None decodes each image in full, as all are that
            are no JPEG.

    Raises:
        ImageError: As `to_tensor`.
    """
    label = f"'{name}'"
    with open_image(_stream(file, label) if isinstance(file, bytes) else file, label) as opened:
        size = None if enough is None else _draft(opened, enough)
        pixels = _channels_first(_normalise(_decode(opened, label), label))
    return Decoded(pixels, size or (pixels.shape[-2], pixels.shape[-1]))


def _channels_first(array: NDArray[Any]) -> Tensor:
    """Return (H, W, 3) as a tensor (3, H, W) of its own."""
    import torch

    return torch.from_numpy(np.stack([array[..., channel] for channel in range(3)]))


def to_array(image: ImageLike) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Read one image as `to_tensor` does, but as a (H, W, 3) array and without importing torch.

    The result may be a read-only view of the input.

    Raises:
        ImageError: As `to_tensor`.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return _normalise(_load(path, f"'{path}'"), f"'{path}'")
    if isinstance(image, Image.Image):
        return _normalise(_decode(image, "the PIL image"), "the PIL image")
    if isinstance(image, np.ndarray):
        return _normalise(image, "the array")
    if is_tensor(image):
        return _normalise(_channels_last(image), "the tensor")
    if isinstance(image, bytes | bytearray | memoryview):
        return _normalise(_load_bytes(bytes(image), "the image in bytes"), "the image in bytes")
    if hasattr(image, "read"):
        name = getattr(image, "name", None)  # a number, or nothing, for files without one
        label = f"the file '{name}'" if isinstance(name, str) else "the open file"
        return _normalise(_load_bytes(_read_all(image, label), label), label)
    raise ImageError(f"cannot read an image from {type(image).__name__}; pass {_KINDS}, or a list of any of these")


def to_list(images: ImageLike | Sequence[ImageLike]) -> tuple[list[ImageLike], bool]:
    """Split what a caller passed into single images, and tell whether it was a batch.

    Nothing is decoded here: a list of ten thousand paths stays a list of paths until each is read.

    Args:
        images: One image, a list or tuple of images of any kinds and sizes, or a tensor (N, 3, H, W).

    Examples:
        >>> to_list("a.jpg")
        (['a.jpg'], False)
        >>> to_list(("a.jpg",))
        (['a.jpg'], True)
    """
    if isinstance(images, list | tuple):
        return list(images), True
    if is_tensor(images) and cast("Tensor", images).ndim == 4:
        refuse_strange(images, "the tensor")
        return list(cast("Tensor", images)), True
    return [cast("ImageLike", images)], False  # what is no image, `to_tensor` refuses by name


def find_images(inputs: Iterable[str | os.PathLike[str]], unread: dict[str, str] | None = None) -> list[Path]:
    """List the images that files, folders and glob patterns name: in the order given, each once.

    A file is kept whatever its suffix. A folder gives the images directly in it (not in its subfolders), sorted by
    name. A pattern gives the images that it matches, sorted; `**` matches any depth of folders, and patterns that the
    shell should not expand are quoted. An image, for folders and patterns, is a file with one of
    `salzoo.images.formats.SUFFIXES`, in either case, that is not hidden; a warning counts and names the others.

    A file that is not there is listed too, for whoever reads it to report, as long as something else is there.

    Args:
        inputs: What is named.
        unread: Where to note a folder that cannot be read, or a folder or pattern without an image, and why; without
            it they are errors.

    Raises:
        ImageError: If no input exists, or a folder or pattern holds or matches no image.
    """
    found: dict[str, Path] = {}
    for item in inputs:
        try:
            paths = _expand(Path(os.path.expanduser(item)))
        except ImageError as error:
            if unread is None:
                raise
            unread[os.fspath(item)], paths = str(error), []
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    paths = list(found.values())
    if all(_is_missing(path) for path in paths):
        where = f"check the name (a relative path starts at '{Path.cwd()}')"
        if not paths:
            raise ImageError(next(iter(unread.values())) if unread else "no image was named")
        raise ImageError(f"no such file or folder: '{paths[0]}'; {where}")
    return paths


def _expand(path: Path) -> list[Path]:
    """Return the images of one input of `find_images`."""
    suffixes = " ".join(sorted(SUFFIXES))
    if os.path.isfile(path):  # first: a file's name may hold brackets
        return [path]
    if os.path.isdir(path):
        where, listing = f"folder '{path}'", list_files(path)
        problem = f"{where} holds no image ({suffixes})"
        next_step = f"to search its subfolders too pass '{path / '**' / '*'}'"
    elif glob.has_magic(str(path)):
        matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
        where, listing = f"pattern '{path}'", sort_out(matches)
        problem = f"{where} matches {len(matches)} files and folders, none of them an image ({suffixes})"
        next_step = "name a file itself to read it whatever its suffix"
    else:
        return [path]
    if not listing.found:
        others = f" but {name_some(listing.left_out)}" if listing.left_out else ""
        raise ImageError(f"{problem}{others}; {next_step}")
    listing.warn(where, listing.left_out)
    if os.path.isdir(path) and (below := count_below(path)):
        warnings.warn(f"left out {below} images in subfolders of '{path}'; {next_step}", SalzooWarning, stacklevel=3)
    return list(listing.found)


def _is_missing(path: Path) -> bool:
    """Whether nothing is there; what may not be looked at is for the reader to report."""
    try:
        path.lstat()
    except PermissionError:
        return False
    except (OSError, ValueError):  # a name too long, or with a zero byte, is no file's either
        return True
    return False


def _load(file: Path | io.BytesIO, label: str) -> NDArray[Any]:
    """Decode what is in a file; every failure names it."""
    with open_image(file, label) as opened:
        return _decode(opened, label)


def _load_bytes(data: bytes, label: str) -> NDArray[Any]:
    return _load(_stream(data, label), label)


def _stream(data: bytes, label: str) -> io.BytesIO:
    if not data:
        raise ImageError(f"{label} is empty (0 bytes); was it read to its end before?")
    return io.BytesIO(data)


def _draft(image: Image.Image, enough: Enough) -> tuple[int, int] | None:
    """Have a JPEG decoded at the smallest fraction that is enough; return its full size, upright. None: no JPEG.

    A fraction divides both sides: else the last pixels stand for fewer than the others, and the image is stretched.
    """
    if image.format not in ("JPEG", "MPO"):
        return None
    turned = _orientation(image) in _LYING  # what PIL calls the width is then the height
    size = (image.width, image.height) if turned else (image.height, image.width)
    least = enough(size)
    fits = (
        n for n in (8, 4, 2) if all(side % n == 0 and side // n >= low for side, low in zip(size, least, strict=True))
    )
    part = next(fits, 1)
    image.draft(None, (image.width // part, image.height // part))
    return size


def _read_all(file: Any, label: str) -> bytes:
    """Return what is in an open file, and leave it where it was."""
    try:
        place = file.tell() if hasattr(file, "seekable") and file.seekable() else None
        if place is not None:
            file.seek(0)
        try:
            data = file.read()
        finally:
            if place is not None:
                file.seek(place)
    except Exception as error:  # files on the network raise errors of their own
        raise ImageError(
            f"cannot read {label}: {type(error).__name__}: {error}; open it anew in mode 'rb', or pass its path"
        ) from error
    if not isinstance(data, bytes):
        raise ImageError(f"{label} gives {type(data).__name__} instead of bytes; open it with mode 'rb'")
    return data


def _decode(image: Image.Image, label: str) -> NDArray[Any]:
    """Return a PIL image's pixels, upright: (H, W), (H, W, 3) or (H, W, 4)."""
    check_pixels(image, label)
    try:
        image.load()  # before getexif: formats that rotate by themselves do it here, and drop the tag
        turn = _UPRIGHT.get(_orientation(image))
        return _pixels(image if turn is None else image.transpose(turn), label)
    except ImageError:
        raise
    except Exception as error:  # as in `open_image`
        raise ImageError(
            f"cannot decode {label} (mode {image.mode}): {error}; it may be cut short or broken: "
            "copy it again, or convert it to an RGB PNG or JPEG"
        ) from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none or the EXIF block is broken, as viewers do."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as in `open_image`; the pixels are not to blame
        return 1


def _pixels(image: Image.Image, label: str) -> NDArray[Any]:
    """Return the pixels of any PIL mode as grey, RGB or RGBA, with all the bits that Pillow has of them."""
    if image.mode == "F":
        return np.array(image)
    if image.mode.startswith("I"):  # 16 bits, in the modes "I;16", "I;16B" or, from some formats, 32-bit "I"
        array = np.array(image)
        if array.size and (array.min() < 0 or array.max() > 65535):
            raise ImageError(
                f"{label} (mode {image.mode}) has values from {array.min()} to {array.max()}; "
                "integers are read as 16 bits, 0 to 65535: scale them"
            )
        array[array == image.info.get("transparency", -1)] = 65535  # the one colour that is wholly transparent
        return array.astype(np.uint16)
    if image.has_transparency_data:
        return np.array(image.convert("RGBA"))
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return np.array(image if image.mode == mode else image.convert(mode))


def _channels_last(tensor: Any) -> NDArray[Any]:
    """Check a tensor's kind and shape and return it as an array (H, W, 3) or (H, W, 1)."""
    refuse_strange(tensor, "the tensor")
    shape = tuple(tensor.shape)
    if len(shape) != 3 or shape[0] not in (1, 3):
        hint = "pass it"
        if len(shape) == 3 and shape[2] in (1, 3, 4):
            hint = "its channels come last: use tensor.permute(2, 0, 1), or pass it as a numpy array"
        elif len(shape) == 2:
            hint = "for a grey image use tensor[None]"
        elif len(shape) == 4:
            hint = "a batch is split by salzoo.images.read.to_list"
        raise ImageError(f"a tensor is (3, H, W) RGB or (1, H, W) grey, got {shape}; {hint}")
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return np.moveaxis(plain_array(tensor, "the tensor"), 0, -1)


def _normalise(array: NDArray[Any], label: str) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Check shape, size, type and range, and bring to (H, W, 3) RGB: uint8, or float32 in [0, 1]."""
    array = plain_array(array, label)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; its channels come first: use array.transpose(1, 2, 0), or pass it as a torch tensor"
        elif array.ndim == 4:
            hint = "; pass a batch as list(array)"
        raise ImageError(f"an array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}{hint}")
    height, width = array.shape[:2]
    if height * width < 2:
        raise ImageError(f"{label} has {height} x {width} pixels; a map needs at least 2 pixels")
    array = _to_unit(array, label)
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 4:
        array = _over_white(array)
    return np.broadcast_to(array, (height, width, 3))


def _to_unit(array: NDArray[Any], label: str) -> NDArray[Any]:
    """Bring any accepted type to uint8, or to float32 in [0, 1]."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if (kind, size) == ("u", 1):
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if (kind, size) == ("u", 2):
        return array.astype(np.float32) / np.float32(65535)
    if kind != "f":
        raise ImageError(
            f"{label} has type {array.dtype}, whose range is open; "
            "convert it to uint8 (0 to 255), uint16 (0 to 65535) or float32 (0 to 1)"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also true of NaN
        fix = "divide by 255" if 2 < high <= 255 else "scale it, or clip what a resize overshot,"
        raise ImageError(f"{label} is float with values from {low:g} to {high:g}; {fix} to bring it to [0, 1]")
    return array.astype(np.float32, copy=False)


def _over_white(rgba: NDArray[Any]) -> NDArray[Any]:
    """Lay (H, W, 4), uint8 or float32, over a white ground: what a white page shows."""
    white = np.float32(255 if rgba.dtype == np.uint8 else 1)
    opacity = rgba[..., 3:].astype(np.float32) / white
    rgb = white + (rgba[..., :3] - white) * opacity
    return (rgb + 0.5).astype(np.uint8) if rgba.dtype == np.uint8 else rgb
