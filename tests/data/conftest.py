"""A sound study, to be read or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from data.studies import Row, images, rows, write


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, list[Row]]:
    """Return a sound study and its rows."""
    content = rows(images(tmp_path / "images"))
    write(tmp_path / "fixations.csv", content)
    return tmp_path, content
