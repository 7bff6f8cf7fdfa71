"""Images of webdataset shards: tar files, plain or packed, of whoever sent them, whose end is proved."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from salzoo.errors import DataError
from salzoo.images.formats import SUFFIXES, is_hidden


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


_PACKED: tuple[tuple[bytes, Callable[[BinaryIO], _Readable]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\0", lzma.LZMAFile),
)
"""How packed shards begin, and what unpacks them."""
RATIO, UNBOUNDED = 100, 64 << 20
"""A shard that unpacks to more than so many times its own bytes is a bomb; so many bytes it may have in any case."""
MEMBER_BYTES = 512 << 20
"""Most bytes of the images of one sample: more than an image of Pillow's limit of pixels has uncompressed."""
_READ = 1 << 20


@dataclass
class Shard:
    """The images of a shard.

    Args:
        path: The tar file.
        left_out: What `images` met that is none: keys of samples without an image, and of those that were there before.
    """

    path: str
    left_out: list[str] = field(default_factory=list)

    def images(self) -> Iterator[tuple[str, bytes]]:
        """Yield the key and the file of each image, in the order of the shard.

        Of a sample's images it is the one that is called by the key alone: `001.jpg`, not `001.depth.png`. If none is,
        all are taken, each under its name without the last suffix: `night.v1.jpg` and `night.v2.jpg` are two images.
        Keys are clean: no absolute paths, no `..`.

        Raises:
            DataError: The shard cannot be read to its proved end; what was yielded before is as it is in the shard.
        """
        seen: set[str] = set()
        try:
            with open(self.path, "rb") as packed:
                for sample, members in groupby(_members(packed), key=lambda member: _split(member[0])[0]):
                    images = _choose(members)
                    if not images:
                        self.left_out.append(f"{sample} (no image)")
                    for key, data in images:
                        if key in seen:
                            self.left_out.append(f"{key} (another of this name)")
                        else:
                            yield key, data
                        seen.add(key)
        except DataError as error:
            raise DataError(f"the shard {self.path} {error}; {_NEXT}") from None
        except Exception as error:  # tarfile and what unpacks raise a dozen kinds on a damaged file
            raise DataError(f"the shard {self.path} cannot be read: {_reason(error)}; {_NEXT}") from error
        if not seen:
            raise DataError(f"the shard {self.path} holds no image; {_NEXT}")


_NEXT = "copy or pack it anew, then --resume does it"


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__


def clean_key(name: str) -> str:
    r"""Return a member's name as a path below the output: no root, no drive, no `..`.

    Examples:
        >>> [clean_key(name) for name in ("cat/001", "/abs/x", "../../evil", "C:\\a\\b", "./a//b")]
        ['cat/001', 'abs/x', 'evil', 'a/b', 'a/b']
    """
    parts = name.replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..") and not (len(part) == 2 and part[1] == ":")]
    return "/".join(kept)


def _split(name: str) -> tuple[str, str]:
    """Split a clean name into a webdataset key and its suffixes: `cat/001.depth.png` gives `cat/001`, `depth.png`."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffixes = base.partition(".")
    return folder + slash + stem, suffixes.lower()


def _choose(members: Iterator[tuple[str, bytes | None]]) -> list[tuple[str, bytes]]:
    """Return the images of a sample, each under its key."""
    held, plain = list[tuple[str, bytes]](), False
    for name, data in members:
        key, suffixes = _split(name)
        if data is None:
            plain |= _is_image(name) and "." not in suffixes  # a link: no other image takes its place
            continue
        if "." not in suffixes:
            held = held if plain else []
            held.append((key, data))
            plain = True
        elif not plain:
            held.append((name.rpartition(".")[0], data))
        if sum(len(data) for _, data in held) > MEMBER_BYTES:
            raise DataError(f"has over {MEMBER_BYTES >> 20} MiB of images under the key {key}")
    return held


def _members(packed: BinaryIO) -> Iterator[tuple[str, bytes | None]]:
    """Yield the files and links of a tar under their clean names, with the content of those files that are images.

    Raises:
        DataError: The end of data is not proved: two blocks of zeros after the last member, and zeros alone after them.
    """
    watched, end = _Watched(packed), 0
    with tarfile.open(fileobj=watched, mode="r|", bufsize=_READ) as tar:
        while (member := tar.next()) is not None:
            end = member.offset_data
            name = clean_key(member.name)
            if not member.isreg() or not _is_shown(name):
                data = None
            elif member.issparse():
                raise DataError(f"holds the sparse file {name}")
            elif _is_image(name):
                if member.size > MEMBER_BYTES:
                    raise DataError(f"holds the file {name} of {member.size} bytes, over {MEMBER_BYTES >> 20} MiB")
                content = tar.extractfile(member)
                assert content is not None
                data = content.read()
            else:
                data = None
            if member.isreg():
                end += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            if _is_shown(name) and (member.isreg() or member.islnk() or member.issym()):
                yield name, data
    while watched.read(_READ):
        pass
    if watched.nonzero > end:
        raise DataError(f"is damaged {end} bytes after its beginning, or has zeros in the middle")
    if watched.size < end + 2 * tarfile.BLOCKSIZE:
        raise DataError(f"is cut off {watched.size} bytes after its beginning")


def _is_shown(name: str) -> bool:
    """Whether a member is the user's: not hidden, and not what webdataset or macOS note beside the data."""
    return not is_hidden(PurePosixPath(name)) and not name.startswith("__")


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


class _Watched(io.RawIOBase):
    """What a shard unpacks to, read once from front to end.

    Attributes:
        size: Bytes read so far.
        nonzero: Position after the last byte that is not zero.
    """

    def __init__(self, packed: BinaryIO) -> None:
        head = packed.read(8)
        packed.seek(0)
        unpack = next((unpack for magic, unpack in _PACKED if head.startswith(magic)), None)
        self._packed = packed
        self._file: _Readable = packed if unpack is None else unpack(packed)
        self.size = self.nonzero = 0

    def read(self, size: int = -1) -> bytes:
        """Read on, and watch.

        Raises:
            DataError: The shard unpacks to far more than it is.
        """
        data = self._file.read(size)
        if kept := len(data.rstrip(b"\0")):
            self.nonzero = self.size + kept
        self.size += len(data)
        if self.size > UNBOUNDED and self.size > RATIO * self._packed.tell():
            raise DataError(f"unpacks to over {RATIO} times its size, as no images do (at {self.size} bytes)")
        return data
