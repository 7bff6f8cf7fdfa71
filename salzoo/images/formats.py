"""Image files: which formats are opened, which suffixes they have, and which files of a folder are data at all."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from salzoo.errors import ImageError, SalzooWarning

# Pillow would try 43 parsers on any file whatever its suffix, of which one starts Ghostscript. These are the formats
# that photographs and maps come in, each with the plugin that registers it. TGA is the last: it has no magic number.
_PLUGINS = {
    "PNG": "Png",
    "JPEG": "Jpeg",
    "MPO": "Mpo",
    "BMP": "Bmp",
    "DIB": "Bmp",
    "GIF": "Gif",
    "TIFF": "Tiff",
    "WEBP": "WebP",
    "PPM": "Ppm",
    "JPEG2000": "Jpeg2K",
    "AVIF": "Avif",
    "TGA": "Tga",
}
for _plugin in _PLUGINS.values():
    with suppress(ImportError):  # Pillow has AVIF since 11.3
        import_module(f"PIL.{_plugin}ImagePlugin")

SUFFIXES = frozenset(suffix for suffix, kind in Image.EXTENSION.items() if kind in _PLUGINS)
"""Suffixes, in lower case, of the formats that are opened; a file may have them in either case."""
FORMATS = tuple(kind for kind in _PLUGINS if kind in Image.EXTENSION.values())
"""Pillow's names of these formats, as far as the installed Pillow is built with them."""

# Suffixes of images that are none of `SUFFIXES`, to name what is left out; AVIF and WebP if Pillow is built without.
_IMAGES = re.compile(
    r"\.(ai|arw|avif|bpg|cr2|cr3|crw|cur|dcm|dcr|dds|dng|emf|eps|erf|exr|fit|fits|hdr|heic|heif|hif|icns|ico|jxl|jxr|mrw|"
    r"nef|nrw|orf|pcx|pdf|pef|ps|psb|psd|qoi|raf|raw|rw2|sgi|sr2|srf|srw|svg|svgz|wdp|webp|wmf|x3f|xbm|xcf|xpm)"
)
_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "@eadir"})


def open_image(file: Path | BinaryIO, label: str) -> Image.Image:
    """Open an image file if it is of one of `FORMATS`, whatever its suffix; pixels are read later, as Pillow does.

    Args:
        file: A path, or a seekable binary file, read from its beginning.
        label: What the file is called in errors.

    Raises:
        ImageError: If it is not there, a folder, empty or no image, or it has more than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if isinstance(file, Path):
        _check_file(file, label)
    try:
        with (
            warnings.catch_warnings()
        ):  # Pillow only warns up to twice its limit; below it is refused from the limit on
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise _too_large(label, f"over {2 * (Image.MAX_IMAGE_PIXELS or 0)}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{label} is not an image in a format that salzoo reads ({', '.join(FORMATS)}), or its head is broken; "
            "convert it to PNG or JPEG"
        ) from error
    except Exception as error:  # Pillow's plugins raise many kinds: OSError, SyntaxError, struct.error, ...
        raise ImageError(f"cannot open {label}: {_reason(error)}") from error
    try:
        check_pixels(image, label)
    except ImageError:
        image.close()
        raise
    return image


def check_pixels(image: Image.Image, label: str) -> None:
    """Refuse an image with more pixels than Pillow's limit.

    Raises:
        ImageError: If it has; the message says how to move the limit.
    """
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _too_large(label, f"{image.height} x {image.width}")


def is_hidden(path: PurePath) -> bool:
    """Whether a file is none of the user's: its name starts with a dot, or a desktop or a server put it there.

    Those are `.x`, macOS's companions `._x` and `__MACOSX/`, `Thumbs.db`, `desktop.ini`, Office's locks `~$x` and the
    like. Only the last part of the path counts for the dot: `~/.cache/a.png` is not hidden.
    """
    return path.name.startswith((".", "~$")) or not _LITTER.isdisjoint(part.lower() for part in path.parts)


def is_image(path: PurePath) -> bool:
    """Whether a file is an image by its suffix, of a format that is read or of another."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or _IMAGES.fullmatch(suffix) is not None


@dataclass(frozen=True)
class Listing:
    """What a folder or a pattern holds.

    Args:
        found: The files of the wanted kinds, sorted.
        left_out: All other files, sorted; hidden ones and folders are neither.
    """

    found: tuple[Path, ...]
    left_out: tuple[Path, ...]

    @property
    def unreadable(self) -> tuple[Path, ...]:
        """Those that are left out though they are images by their suffix: HEIC, camera raw, EPS, ..."""
        return tuple(path for path in self.left_out if is_image(path))

    def warn(self, where: str, left_out: Collection[Path]) -> None:
        """Warn of files that are left out, if there are any: how many, and the names of the first.

        Args:
            where: The folder or pattern.
            left_out: `left_out` or `unreadable`.
        """
        if left_out:
            told = f"left out {len(left_out)} in {where}, of formats that are not read: {name_some(left_out)}"
            hint = "; convert images to PNG or JPEG" if self.unreadable else ""
            warnings.warn(told + hint, SalzooWarning, stacklevel=3)


def name_some(files: Collection[Path]) -> str:
    """Return the names of the first five files, those that are images by their suffix before others."""
    first = sorted(files, key=lambda path: not is_image(path))[:5]
    return ", ".join(path.name for path in first) + (", ..." if len(files) > len(first) else "")


def list_files(folder: Path, suffixes: Collection[str] = SUFFIXES, *, deep: bool = False) -> Listing:
    """List the files in a folder, of which no hidden one is ever data.

    Args:
        folder: An existing folder.
        suffixes: The suffixes that are wanted, in lower case; files may have them in either case.
        deep: List the files in its subfolders too, except hidden ones.

    Raises:
        ImageError: If the folder cannot be listed.
    """
    try:
        return sort_out(_walk(folder, deep), suffixes)
    except OSError as error:
        raise ImageError(f"cannot list the folder '{folder}': {_reason(error)}") from error


def list_frames(folder: Path, suffixes: Collection[str] = SUFFIXES) -> Listing:
    """List the files of the frames of a video as `list_files` does, but by the numbers in their names: 2.png, 10.png.

    Raises:
        ImageError: If the folder cannot be listed.
    """
    listing = list_files(folder, suffixes)
    return replace(listing, found=tuple(sorted(listing.found, key=lambda path: _numbered(path.name))))


def _numbered(name: str) -> list[tuple[int, str]]:
    """Return the parts of a name, numbers by their value."""
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def count_below(folder: Path) -> int:
    """Return how many images there are in the subfolders of a folder, as far as these can be listed."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(PurePath(name))]
        count += 0 if place == str(folder) else len(sort_out([Path(place, name) for name in names]).found)
    return count


def _walk(folder: Path, deep: bool) -> Iterator[Path]:
    for path in folder.iterdir():
        if not os.path.isdir(path):
            yield path
        elif deep and not is_hidden(path) and not path.is_symlink():
            yield from _walk(path, deep)


def sort_out(paths: Iterable[Path], suffixes: Collection[str] = SUFFIXES) -> Listing:
    """Tell files of the wanted kinds from others, as `list_files` does."""
    # Links to nowhere stay, for whoever reads them to report.
    files = sorted(path for path in paths if not is_hidden(path) and not os.path.isdir(path))
    wanted = {path: path.suffix.lower() in suffixes for path in files}
    return Listing(tuple(p for p in files if wanted[p]), tuple(p for p in files if not wanted[p]))


def _check_file(path: Path, label: str) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a zero byte in the name
        where = f"check the name (a relative path starts at '{Path.cwd()}')"
        raise ImageError(f"no such file: {label}; {where}") from error
    except OSError as error:
        raise ImageError(f"cannot open {label}: {_reason(error)}") from error
    if path.is_dir():
        raise ImageError(
            f"{label} is a folder; name an image, or list the folder's with salzoo.images.read.find_images"
        )
    if not path.is_file():
        raise ImageError(f"{label} is neither a file nor a folder; copy it to one")
    if not status.st_size:
        raise ImageError(f"{label} is empty (0 bytes); copy or download it again")


def _reason(error: Exception) -> str:
    """Return an error's reason without the path, which the message has already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _too_large(label: str, pixels: str) -> ImageError:
    """Say what the limit is, and both ways out."""
    return ImageError(
        f"{label} has {pixels} pixels, more than the limit of {Image.MAX_IMAGE_PIXELS}; "
        "shrink it, or, if you trust it and have the memory, set PIL.Image.MAX_IMAGE_PIXELS = None first"
    )
