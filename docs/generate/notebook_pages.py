"""Notebooks as pages: their text, their code, and what they printed and drew when they were saved."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from tree import REPOSITORY, Tree

FOLDER = REPOSITORY / "docs" / "notebooks"
DRAWN = {"image/png": "png", "image/jpeg": "jpg"}


def add(tree: Tree) -> list[object]:
    """Add a page for each notebook; return their menu."""
    sources = sorted(FOLDER.glob("*.ipynb"))
    for source in sources:
        notebook = json.loads(source.read_text(encoding="utf-8"))
        parts = [part for i, cell in enumerate(notebook["cells"]) for part in _cell(cell, f"{source.stem}-{i}", tree)]
        tree.copy(source, f"notebooks/{source.name}")
        parts.append(f'<a href="{source.name}" download>The notebook</a>')
        tree.add(f"notebooks/{source.stem}.md", "\n\n".join(parts) + "\n", source)
    return [f"notebooks/{source.stem}.md" for source in sources]


def _cell(cell: dict[str, Any], name: str, tree: Tree) -> list[str]:
    text = "".join(cell["source"]).strip()
    if cell["cell_type"] != "code":
        return [text]
    parts = [f"````python\n{text}\n````"] if text else []
    for number, output in enumerate(cell["outputs"]):
        data = {"text/plain": output.get("text", "")} | output.get("data", {})
        kind = next((kind for kind in DRAWN if kind in data), None)
        if kind is not None:
            image = Path("notebooks", f"{name}-{number}.{DRAWN[kind]}")
            (tree.root / image).parent.mkdir(exist_ok=True)
            (tree.root / image).write_bytes(base64.b64decode("".join(data[kind])))
            parts.append(f'<img src="{image.name}" alt="What the code above draws">')
        elif said := "".join(data["text/plain"]).strip():
            parts.append(f"````text\n{said}\n````")
    return parts
