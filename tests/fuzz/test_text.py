"""Any bytes are text in one reading or one clear refusal; any text comes back from every encoding."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from salzoo._text import decode_text

LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"))


@given(st.binary())
@example(b"\xff\xfe\x00")
@example(b"\xff\xfe\x00\x00\x01")
def test_any_bytes_are_text_or_refused_by_name(data: bytes) -> None:
    try:
        text, refusal = decode_text(data, "table.csv"), ""
    except ValueError as error:
        text, refusal = "", str(error)
    assert "\0" not in text
    assert "\r" not in text
    assert not refusal or refusal.startswith("table.csv is not text")


@given(LINES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_marked_text_comes_back(text: str, encoding: str, line_end: str) -> None:
    assert decode_text(text.replace("\n", line_end).encode(encoding), "x") == text
