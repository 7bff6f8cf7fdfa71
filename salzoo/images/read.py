"""Reads any image (path, PIL image, numpy array, tensor) as RGB, or raises an `ImageError` that says what to do."""

from __future__ import annotations

import glob
import io
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from salzoo.errors import ImageError

if TYPE_CHECKING:  # torch takes seconds to import; only `to_tensor` needs it
    from torch import Tensor

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor"

IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)

_KINDS = (
    "a path, a PIL image, a numpy array ((H, W), (H, W, 1), (H, W, 3) or (H, W, 4); uint8, uint16 or float in [0, 1]) "
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


def to_tensor(image: ImageLike) -> Tensor:
    """Read one image of any accepted kind as a (3, H, W) RGB tensor that shares no memory with it.

    8-bit sources give uint8; the others (16-bit grey PNG and TIFF, uint16, float) give float32 in [0, 1]. Grey is
    repeated over the three channels, transparency is laid over white, EXIF rotation is undone for paths and PIL images,
    and of an animation the first frame is taken. Pillow reads 16-bit *colour* files with 8 bits, and so does salzoo.

    Args:
        image: A path, a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool or float
            in [0, 1], RGB or RGBA; or a tensor (3, H, W) or (1, H, W) of uint8 or float in [0, 1].

    Raises:
        ImageError: If it cannot be read, or has another kind, shape, type or range; fewer than 2 or (files and PIL
            images) more than `PIL.Image.MAX_IMAGE_PIXELS` pixels.

    Examples:
        >>> to_tensor(np.full((2, 5), 65535, np.uint16)).shape
        torch.Size([3, 2, 5])
    """
    import torch

    array = to_array(image)
    return torch.from_numpy(np.stack([array[..., channel] for channel in range(3)]))


def read_bytes(data: bytes, label: str) -> Tensor:
    """Read the bytes of an image file as `to_tensor` reads the file.

    Args:
        data: Content of the file.
        label: Name of the file, for messages.

    Raises:
        ImageError: As `to_tensor`.
    """
    import torch

    array = _normalise(_load(io.BytesIO(data), f"'{label}'"), f"'{label}'")
    return torch.from_numpy(np.stack([array[..., channel] for channel in range(3)]))


def to_array(image: ImageLike) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Read one image as `to_tensor` does, but as a (H, W, 3) array and without importing torch.

    The result may be a read-only view of the input.

    Raises:
        ImageError: As `to_tensor`.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        return _normalise(_read(path), f"'{path}'")
    if isinstance(image, Image.Image):
        return _normalise(_decode(image, "the PIL image"), "the PIL image")
    if isinstance(image, np.ndarray):
        return _normalise(image, "the array")
    if hasattr(image, "detach"):  # a tensor, without importing torch to ask
        return _normalise(_channels_last(image), "the tensor")
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
    if hasattr(images, "detach") and getattr(images, "ndim", 0) == 4:
        return list(cast("Tensor", images)), True
    return [cast("ImageLike", images)], False  # what is no image, `to_tensor` refuses by name


def find_images(inputs: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the images that files, folders and glob patterns name: in the order given, each once.

    A file is kept whatever its extension. A folder gives the images directly in it (not in its subfolders, no hidden
    files), sorted by name. A pattern gives the images that it matches, sorted; `**` matches any depth of folders, and
    patterns that the shell should not expand are quoted. An image, for folders and patterns, is a file with one of
    `IMAGE_SUFFIXES`, in either case.

    A file that is not there is listed too, for whoever reads it to report, as long as something else is there.

    Raises:
        ImageError: If no input exists, or a folder or pattern holds or matches no image.
    """
    found: dict[str, Path] = {}
    for item in inputs:
        for path in _expand(Path(item).expanduser()):
            found.setdefault(os.path.abspath(path), path)
    paths = list(found.values())
    if not any(path.exists() for path in paths):
        where = f"check the name (a relative path starts at '{Path.cwd()}')"
        raise ImageError(f"no such file or folder: '{paths[0]}'; {where}" if paths else "no image was named")
    return paths


def _expand(path: Path) -> list[Path]:
    """Return the images of one input of `find_images`."""
    suffixes = " ".join(sorted(IMAGE_SUFFIXES))
    if path.is_file():  # first: a file's name may hold brackets
        return [path]
    if path.is_dir():
        if found := _images(path.iterdir()):
            return found
        raise ImageError(
            f"folder '{path}' holds no image ({suffixes}); to search its subfolders too pass '{path / '**' / '*'}'"
        )
    if not glob.has_magic(str(path)):
        return [path]
    matches = [Path(match) for match in glob.glob(str(path), recursive=True)]
    if found := _images(matches):
        return found
    raise ImageError(
        f"pattern '{path}' matches {len(matches)} files and folders, none of them an image ({suffixes}); "
        "name a file itself to read it whatever its extension"
    )


def _images(paths: Iterable[Path]) -> list[Path]:
    """Keep the images, by extension, in order of name."""
    return sorted(p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file())


def _read(path: Path) -> NDArray[Any]:
    """Open and decode a file; every failure names the path."""
    if path.is_dir():
        raise ImageError(
            f"'{path}' is a folder; name an image, or list the folder's with salzoo.images.read.find_images"
        )
    if not path.is_file():
        raise ImageError(f"no such file: '{path}'; check the name (a relative path starts at '{Path.cwd()}')")
    if path.stat().st_size == 0:
        raise ImageError(f"'{path}' is empty (0 bytes); copy or download it again")
    return _load(path, f"'{path}'")


def _load(file: Path | io.BytesIO, label: str) -> NDArray[Any]:
    """Decode what is in a file; every failure names it."""
    try:
        with warnings.catch_warnings():  # Pillow only warns up to twice its limit; `_decode` refuses from the limit on
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file)
    except Image.DecompressionBombError as error:
        raise _too_large(label, f"over {2 * (Image.MAX_IMAGE_PIXELS or 0)}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{label} is not an image in a format that Pillow knows, or its head is broken; convert it to PNG or JPEG"
        ) from error
    except Exception as error:  # Pillow's plugins raise many kinds: OSError, SyntaxError, struct.error, ...
        raise ImageError(f"cannot open {label}: {error}") from error
    with opened:
        return _decode(opened, label)


def _decode(image: Image.Image, label: str) -> NDArray[Any]:
    """Return a PIL image's pixels, upright: (H, W), (H, W, 3) or (H, W, 4)."""
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(label, f"{image.height} x {image.width}")
    try:
        image.load()  # before getexif: formats that rotate by themselves do it here, and drop the tag
        turn = _UPRIGHT.get(_orientation(image))
        return _pixels(image if turn is None else image.transpose(turn), label)
    except ImageError:
        raise
    except Exception as error:  # as in `_read`
        raise ImageError(
            f"cannot decode {label} (mode {image.mode}): {error}; it may be cut short or broken: "
            "copy it again, or convert it to an RGB PNG or JPEG"
        ) from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where there is none or the EXIF block is broken, as viewers do."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as in `_read`; the pixels are not to blame
        return 1


def _pixels(image: Image.Image, label: str) -> NDArray[Any]:
    """Return the pixels of any PIL mode as grey, RGB or RGBA, with all the bits that Pillow has of them."""
    if image.mode == "F":
        return np.array(image)
    if image.mode.startswith("I"):  # 16 bits, in the modes "I;16", "I;16B" or, from some formats, 32-bit "I"
        array = np.array(image)
        if array.min() < 0 or array.max() > 65535:
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
    """Check a tensor's shape and return it as an array (H, W, 3) or (H, W, 1)."""
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
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy has no bfloat16
    return np.moveaxis(tensor.numpy(), 0, -1)


def _normalise(array: NDArray[Any], label: str) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Check shape, size, type and range, and bring to (H, W, 3) RGB: uint8, or float32 in [0, 1]."""
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


def _too_large(label: str, pixels: str) -> ImageError:
    """Say what the limit is, and both ways out."""
    return ImageError(
        f"{label} has {pixels} pixels, more than the limit of {Image.MAX_IMAGE_PIXELS}; "
        "shrink it, or, if you trust it and have the memory, set PIL.Image.MAX_IMAGE_PIXELS = None first"
    )
