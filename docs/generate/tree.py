"""The pages of the site and the files beside them, before they are built."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
IMAGES = {".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp"}
LANGUAGES = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
MOST = 40_000
"""Bytes of a file that is shown as a page; a longer one is copied."""

_FENCED = re.compile(r"^ *(?P<fence>```+|~~~+).*?^ *(?P=fence)[^\n]*$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(  # code that begins before a link is no link; code inside the text of one is part of it
    r"(?P<code>`+[^`\n]+`+)"
    r"|(?P<before>!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(|<(?:img|a)\b[^>]*?\b(?:src|href)=\")(?P<to>[^\s)\"]+)"
)


class Tree:
    """Pages by their place in the site, and what each was made from.

    A link in a hand-written page leads to a file of the repository, so that it works there; here it is turned to the
    page made from that file. A file that has none gets one, below `files/`.

    Args:
        root: Folder that the pages are written into; emptied first.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self.pages: dict[str, str] = {}
        self.made_from: dict[Path, str] = {}
        """File of the repository to the page or the copy that links to it lead to."""
        self._sources: dict[str, Path] = {}

    def add(self, place: str, text: str, *sources: Path) -> None:
        """Add a page.

        Args:
            place: Of the page, as `models/salgan.md`.
            text: Markdown. Its links are relative to the first source, or to the page itself if there is none.
            sources: Files of the repository whose links lead here.

        Raises:
            ValueError: If there is a page already.
        """
        if place in self.pages:
            raise ValueError(f"two pages {place}")
        self.pages[place] = text
        self.made_from |= dict.fromkeys((source.resolve() for source in sources), place)
        if sources:
            self._sources[place] = sources[0].resolve()

    def read(self, place: str, source: Path) -> None:
        """Add a page that is a Markdown file of the repository."""
        self.add(place, source.read_text(encoding="utf-8"), source)

    def copy(self, source: Path, place: str) -> None:
        """Copy a file beside the pages."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)

    def write(self) -> list[str]:
        """Turn the links of all pages, write them, and return the places of the pages made of linked files."""
        linked = list[str]()
        waiting = list(self.pages)
        while waiting:
            place = waiting.pop()
            before = set(self.pages)
            text = self._turned(place) if place in self._sources else self.pages[place]
            target = self.root / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            new = sorted(set(self.pages) - before)
            linked += new
            waiting += new
        return sorted(linked)

    def _turned(self, place: str) -> str:
        source = self._sources[place]
        return outside_code(self.pages[place], lambda text: _LINK.sub(lambda m: self._link(m, place, source), text))

    def _link(self, match: re.Match[str], place: str, source: Path) -> str:
        path, hash_, anchor = (match["to"] or "").partition("#")
        if not path or re.match(r"[a-z+]+:|//", path):
            return match[0]
        file = (source.parent / path).resolve()
        if not file.is_file() or not file.is_relative_to(REPOSITORY):
            return match[0]  # the strict build tells
        target = self.made_from.get(file) or self._made_page(file)
        return f"{match['before']}{os.path.relpath(target, Path(place).parent)}{hash_}{anchor}"

    def _made_page(self, file: Path) -> str:
        """Give a linked file a page of its own, or a copy if it is not to be read, and return its place."""
        name = file.relative_to(REPOSITORY).as_posix()
        place = f"files/{name}"
        if file.suffix == ".md":
            self.read(place, file)
            return place
        if file.suffix.lower() in IMAGES or file.stat().st_size > MOST:
            self.copy(file, place)
            return place
        code = file.read_text(encoding="utf-8")
        page = f"{place}.md"
        self.add(page, f"# {name}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{code.rstrip()}\n````\n", file)
        return page


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return Markdown with all that is in no block of code changed."""
    parts, end = list[str](), 0
    for code in _FENCED.finditer(text):
        parts += [change(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(text[end:])])
