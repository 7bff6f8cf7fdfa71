"""Text files as users have them, in whatever encoding their spreadsheet, shell or tracker wrote."""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠\t\r\n]")  # with a wide sign it is one in East Asian spreadsheets


def to_cell(text: str) -> str:
    """Return a name for a cell of a CSV: one that a spreadsheet would run as a formula gets an apostrophe before it.

    Names of images and areas are a stranger's, and spreadsheets run formulas whether a cell is quoted or not.
    `from_cell` gives each name back.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """Return the name that `to_cell` made a cell of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text, 1) else text


def read_text(path: Path) -> str:
    r"""Return a text file's content with `\n` line ends and without a byte-order mark.

    The encoding is that of the byte-order mark; without one UTF-16 where every second byte of the beginning is zero,
    else UTF-8, else Windows-1252 (a superset of Latin-1's printable characters).

    Raises:
        ValueError: The file is not text: it holds zero bytes, or its byte-order mark lies.
        OSError: The file cannot be read.
    """
    return decode_text(path.read_bytes(), str(path))


def read_json(path: Path) -> object:
    """Return what a JSON file holds, in any encoding that `read_text` knows.

    Raises:
        ValueError: The file is not text, not JSON, or nested so deeply that no setting of ours can be meant; or it
            holds half a character (a lone surrogate), which no file that is written from it could hold.
        OSError: The file cannot be read.
    """
    try:
        content: object = json.loads(read_text(path))
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{path} is not valid JSON: it holds half a character, {error.object[error.start]!a}"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    except RecursionError:
        raise ValueError(f"{path} is not valid JSON: its brackets are nested too deeply") from None
    return content


def decode_text(data: bytes, name: str) -> str:
    """Return the text that `data` holds; `name` stands for it in errors. See `read_text`."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None) or _unmarked_utf16(data)
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            raise ValueError(f"{name} is not text: its byte-order mark says {encoding}, but {error.reason}") from None
        text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise ValueError(f"{name} is not text: it holds zero bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unmarked_utf16(data: bytes) -> str | None:
    """Return UTF-16's byte order where the beginning has zeros in every second byte and nowhere else."""
    even, odd = data[0:200:2], data[1:200:2]
    if len(data) < 4 or len(data) % 2:
        return None
    if not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if not any(even) and all(odd) else None
