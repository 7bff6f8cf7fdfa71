"""Damaged shards: all of their images, or one DataError that names the file; never some of them in silence."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

from fuzz.damage import damaged
from hypothesis import example, given

from salzoo.errors import DataError
from salzoo.prediction.archive import Shard

COUNT = 6


def tar(format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as file:
        for i in range(COUNT):
            member = tarfile.TarInfo(f"night.ä/{i}.png")
            member.size = 700
            file.addfile(member, io.BytesIO(bytes([i + 1]) * 700))
    return buffer.getvalue()[: -6 * 1024]


WHOLE = [tar(tarfile.PAX_FORMAT), tar(tarfile.GNU_FORMAT)]


@given(data=damaged([*WHOLE, gzip.compress(WHOLE[1])]))
@example(WHOLE[1][: 3 * 1536])  # cut between two members
@example(WHOLE[1][: 3 * 1536] + bytes(1024) + WHOLE[1][3 * 1536 :])
@example(WHOLE[1][: 3 * 1536 + 5] + b"\xff" + WHOLE[1][3 * 1536 + 6 :])  # a byte of a header
def test_a_damaged_shard_is_whole_or_an_error(tmp_path: Path, data: bytes) -> None:
    shard = Shard(str(tmp_path / "a.tar"))
    Path(shard.path).write_bytes(data)
    tracemalloc.start()
    try:
        found = list(shard.images())
        assert len(found) + len(shard.left_out) == COUNT
        assert all(".." not in key and not key.startswith("/") for key, _ in found)
    except DataError as error:
        assert "a.tar" in str(error)  # noqa: PT017 - most damages are refused, some are none
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
