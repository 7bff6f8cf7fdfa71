"""Damaged files: a sound one, with some bytes changed, cut out, doubled or cut off."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, sound: list[bytes]) -> bytes:
    """Draw one of some sound files with one to four damages."""
    data = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["byte", "word", "cut", "drop", "double", "insert"]))
        if kind == "byte" and data:
            data[where] = draw(st.integers(0, 255))
        elif kind == "word":
            data[where : where + 4] = draw(
                st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80"])
            )
        elif kind == "cut":
            del data[where:]
        elif kind == "drop":
            del data[where : where + draw(st.integers(1, 600))]
        elif kind == "double":
            data[where:where] = data[where : where + draw(st.integers(1, 600))]
        else:
            data[where:where] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)
