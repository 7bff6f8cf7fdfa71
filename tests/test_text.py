"""One reader of text files, for every encoding that users' programs write."""

from pathlib import Path

import pytest

from salzoo._text import from_cell, read_json, read_text, to_cell

TEXT = "image,x,y\nStraße_é.jpg,1,2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252", "latin-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_line_end_reads_alike(tmp_path: Path, encoding: str, line_end: str) -> None:
    file = tmp_path / "table.csv"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    file.write_bytes((mark + TEXT.replace("\n", line_end)).encode(encoding))
    assert read_text(file) == TEXT


def test_utf16_without_a_mark_is_known_by_its_zeros(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    for encoding in ("utf-16-le", "utf-16-be"):
        file.write_bytes("image,x,y\n".encode(encoding))
        assert read_text(file) == "image,x,y\n"


@pytest.mark.parametrize("data", [b"PK\x03\x04\x00\x00", b"\xff\xfe\x00", b"\xef\xbb\xbf\xff"])
def test_binary_files_are_refused_by_name(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"table\.csv is not text"):
        read_text(file)


def test_an_empty_file_is_empty_text(tmp_path: Path) -> None:
    file = tmp_path / "empty.txt"
    file.write_bytes(b"")
    assert read_text(file) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "study.json"
    file.write_bytes('{"columns": {"x": "Größe"}}'.encode(encoding))
    assert read_json(file) == {"columns": {"x": "Größe"}}


@pytest.mark.parametrize("text", ["{", "[" * 200_000, '{"a":' * 200_000, ""])
def test_broken_and_bottomless_json_is_one_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "study.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"study\.json is not valid JSON"):
        read_json(file)


@pytest.mark.parametrize(
    "name", ["=1+1", "+a", "-12.jpg", "@x", "\tx", "\rx", " =1", "'=1", "''\t", "＝1", "' -", "\n", "'\n="]
)
def test_what_a_spreadsheet_would_run_is_no_formula_in_a_cell(name: str) -> None:
    assert to_cell(name) == f"'{name}"
    assert from_cell(f"'{name}") == name


@pytest.mark.parametrize("name", ["", "a", "a=b", "'a", "o'=", "'", "''", "12.jpg", "/-a", "é", "''a-b"])
def test_every_other_name_is_as_it_was(name: str) -> None:
    assert to_cell(name) == from_cell(name) == name
