"""Images of tar shards: the end of data is proved, names are clean, bombs are bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from salzoo.errors import DataError
from salzoo.prediction.archive import MEMBER_BYTES, Shard

BLOCK = 512
PAYLOAD = b"x" * 700
MEMBER = 3 * BLOCK
"""Bytes of a header and of the payload with its padding."""


def tar(names: Iterable[str], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PAYLOAD)
            file.addfile(member, io.BytesIO(PAYLOAD))
    return buffer.getvalue()


TWENTY = [f"{i:03}.png" for i in range(20)]
WHOLE = tar(TWENTY)


def read(path: Path, data: bytes) -> tuple[list[str], list[str]]:
    path.write_bytes(data)
    shard = Shard(str(path))
    found = list(shard.images())
    assert all(content == PAYLOAD for _, content in found)
    return [key for key, _ in found], shard.left_out


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        WHOLE[: 20 * MEMBER + 2 * BLOCK],
        tar(TWENTY, tarfile.USTAR_FORMAT),
        tar(TWENTY, tarfile.GNU_FORMAT),
        gzip.compress(WHOLE),
        bz2.compress(WHOLE),
        lzma.compress(WHOLE),
        gzip.compress(WHOLE[:5000]) + gzip.compress(WHOLE[5000:]),
    ],
    ids=["padded", "two blocks of zeros", "ustar", "gnu", "gzip", "bzip2", "xz", "gzip in two members"],
)
def test_a_whole_shard_is_read_to_its_end(data: bytes, tmp_path: Path) -> None:
    assert read(tmp_path / "a.tar", data) == ([name[:3] for name in TWENTY], [])


def flipped(data: bytes, place: int) -> bytes:
    content = bytearray(data)
    content[place] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (flipped(WHOLE, 3 * MEMBER + 5), "damaged 4608 bytes"),
        (flipped(WHOLE, 3 * MEMBER + 130), "damaged 4608 bytes"),
        (WHOLE[: 4 * MEMBER], "cut off 6144 bytes"),
        (WHOLE[: 4 * MEMBER + 200], "damaged 6144 bytes"),
        (WHOLE[: 4 * MEMBER + 700], "unexpected end of data"),
        (WHOLE[: 20 * MEMBER + BLOCK], "cut off"),
        (WHOLE[: 3 * MEMBER] + bytes(2 * BLOCK) + WHOLE[3 * MEMBER :], "zeros in the middle"),
        (WHOLE + WHOLE, "zeros in the middle"),
        (flipped(WHOLE, len(WHOLE) - 1), "zeros in the middle"),
        (flipped(gzip.compress(WHOLE), -6), "CRC check failed"),
        (gzip.compress(WHOLE)[:-9], "end-of-stream marker"),
        (gzip.compress(WHOLE[: 4 * MEMBER]), "cut off"),
        (gzip.compress(WHOLE) + b"junk", "Not a gzipped file"),
        (bz2.compress(WHOLE)[:-9], "end-of-stream marker"),
        (lzma.compress(WHOLE)[:-9], "end-of-stream marker"),
        (b"", "empty file"),
        (b"no tar" * 1000, "invalid header"),
        (bytes(20 * BLOCK), "holds no image"),
        (tar(["001.json"]), "holds no image"),
    ],
    ids=[  # not the bytes: gzip puts the time into them, and workers have to name tests alike
        "flipped bit in a header", "flipped bit in data", "cut between members", "cut in a header", "cut in data",
        "cut in the padding", "zeros in the middle", "two archives", "junk behind the end", "gzip of another sum",
        "gzip cut off", "gzip of half", "gzip and junk", "bzip2 cut off", "xz cut off", "empty", "no tar", "zeros",
        "no image",
    ],
)  # fmt: skip
def test_a_damaged_shard_is_an_error(data: bytes, reason: str, tmp_path: Path) -> None:
    """On the old code most gave the images before the damage, and no error."""
    with pytest.raises(DataError, match=reason) as caught:
        read(tmp_path / "a.tar", data)
    assert str(tmp_path / "a.tar") in str(caught.value)


def test_every_cut_is_an_error(tmp_path: Path) -> None:
    small = tar(["1.png", "2.png"])
    for length in range(0, 2 * MEMBER + 2 * BLOCK, 64):
        with pytest.raises(DataError):
            read(tmp_path / "a.tar", small[:length])


def test_every_flipped_byte_of_a_header_is_an_error(tmp_path: Path) -> None:
    small = tar(["1.png", "2.png", "3.png"])
    for place in range(MEMBER, MEMBER + BLOCK, 7):
        if small[place] or place < MEMBER + 100:
            with pytest.raises(DataError):
                read(tmp_path / "a.tar", flipped(small, place))


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["001.depth.png", "001.jpg", "001.json"], ["001"]),
        (["001.jpg", "001.depth.png", "001.seg.png"], ["001"]),
        (["001.PNG"], ["001"]),
        (["cat/001.png", "dog/001.png"], ["cat/001", "dog/001"]),
        (["a.b/001.jpg", "a.b/001.depth.png"], ["a.b/001"]),
        (["night.v1.jpg", "night.v2.jpg"], ["night.v1", "night.v2"]),
        (["../../evil.png", "/abs/x.png", "C:\\d\\y.png", "./z.png"], ["evil", "abs/x", "d/y", "z"]),
        (["._001.jpg", "__MACOSX/._001.jpg", "__meta__/x.png", ".hidden.png", "001.jpg"], ["001"]),
        (["n" * 300 + ".png"], ["n" * 300]),
    ],
)
def test_the_image_of_a_sample_and_its_key(names: list[str], keys: list[str], tmp_path: Path) -> None:
    """On the old code `001.depth.png` was taken for `001.jpg`, and `../../evil` was a key."""
    assert read(tmp_path / "a.tar", tar(names)) == (keys, [])


def test_names_that_are_no_text_and_long_ones_are_kept(tmp_path: Path) -> None:
    names = ["caf\udce9.png", "ä/" + "d" * 200 + "/" + "n" * 200 + ".png"]
    keys = [name.removesuffix(".png") for name in names]
    assert read(tmp_path / "a.tar", tar(names)) == (keys, [])
    assert read(tmp_path / "a.tar", tar(names, tarfile.GNU_FORMAT)) == (keys, [])


def test_of_two_images_in_a_sample_the_photograph_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tar", tar(["001.jpg", "001.png"])) == (["001"], ["001 (another of this name)"])


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    names = ["001.jpg", "002.json", "../003.jpg", "003.jpg", "004.heic"]
    left = ["002 (no image)", "003 (another of this name)", "004 (no image)"]
    assert read(tmp_path / "a.tar", tar(names)) == (["001", "003"], left)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_a_link_is_named_and_nothing_takes_its_place(kind: bytes, tmp_path: Path) -> None:
    """On the old code links were left out without a word, and the depth map was taken for 002.jpg."""
    data = bytearray(tar(["001.jpg", "002.jpg", "002.depth.png", "003.jpg"], tarfile.USTAR_FORMAT))
    link = tarfile.TarInfo("002.jpg")
    link.type, link.linkname = kind, "001.jpg"
    data[MEMBER : 2 * MEMBER] = link.tobuf(tarfile.USTAR_FORMAT)
    assert read(tmp_path / "a.tar", bytes(data)) == (["001", "003"], ["002 (no image)"])


def gigabytes(name: str, size: int, pack: Callable[[bytes], bytes]) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    packed = [pack(member.tobuf())]
    piece = pack(bytes(64 << 20))
    return b"".join(packed + [piece] * (size // (64 << 20) + 1))


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("a.png", 2 << 30, "of 2147483648 bytes, over 512 MiB"),
        ("a.png", MEMBER_BYTES, "unpacks to over 100 times its size"),
        ("a.txt", 2 << 30, "unpacks to over 100 times its size"),
    ],
)
def test_a_bomb_is_refused_before_it_is_unpacked(name: str, size: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read(tmp_path / "a.tar", gigabytes(name, size, gzip.compress))


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(tar(["a.png"], tarfile.GNU_FORMAT))
    data[156:157] = tarfile.GNUTYPE_SPARSE
    data[386:410] = b"%011o\0%011o\0" % (0, 512)  # its only piece
    data[483:495] = b"%011o\0" % (1 << 36)  # its size
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))
    with pytest.raises(DataError, match="holds the sparse file a"):
        read(tmp_path / "a.tar", bytes(data))
