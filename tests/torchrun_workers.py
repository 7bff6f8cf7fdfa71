"""The processes that torchrun started, as Linux lists them."""

from __future__ import annotations

from pathlib import Path


def workers(agent: int) -> dict[int, int]:
    """Return rank to process of an agent's children."""
    found = {}
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        words = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(word[5:]): int(child) for word in words if word.startswith(b"RANK=")}
    return found
