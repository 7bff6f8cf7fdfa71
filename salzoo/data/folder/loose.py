"""A table of fixations and images that lie anywhere, read as a study is."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from salzoo.data.folder.dataset import FixationFolder
from salzoo.data.folder.options import OPTIONS, StudyOptions, read_options
from salzoo.data.folder.tables import read_table
from salzoo.data.names import Names
from salzoo.errors import DataError, SalzooError


@contextmanager
def loose_study(
    images: Sequence[Path], table: Path, options: Mapping[str, object] | None = None
) -> Iterator[FixationFolder]:
    """Give images and their fixations as a dataset, for as long as the context lasts.

    Args:
        images: Files of different names.
        table: As `FixationFolder` reads it; rows of other images are left out.
        options: What a `study.json` holds; None takes the one beside the table, if there is one.

    Raises:
        DataError: If the table cannot be right, or has no row of any of the images.
        SpecError: If an option is not accepted.
    """
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "images").mkdir()
        # Under a name of its own: one that is called study.json would be read as options, which may name files.
        copies = {Path(shutil.copy(table, root / f"table{table.suffix}")): table}
        copies |= {Path(shutil.copy(path, root / "images" / path.name)): path for path in images}
        if options is None and (table.parent / OPTIONS).is_file():
            copies[Path(shutil.copy(table.parent / OPTIONS, root / OPTIONS))] = table.parent / OPTIONS
        try:
            yield _open(root, root / f"table{table.suffix}", [path.name for path in images], options or {})
        except SalzooError as error:
            text = str(error)
            for copy, original in copies.items():
                text = text.replace(str(copy), str(original))
            raise type(error)(text) from error


def _open(root: Path, table: Path, images: Sequence[str], given: Mapping[str, object]) -> FixationFolder:
    options, names = read_options(root, given, StudyOptions, "FixationFolder"), Names(images)
    labels = sorted(set(read_table(table, options).image.tolist()))
    others = [label for label in labels if names.find(label) is None]
    if labels and len(others) == len(labels):
        raise DataError(
            f"{table} has rows of {', '.join(map(repr, others[:3]))}{', ...' * (len(others) > 3)} and none of "
            f"{', '.join(map(repr, images[:3]))}: rename the image, or the entries of the column image"
        )
    ignore = [*options.ignore, *(re.sub(r"([*?[])", r"[\1]", label) for label in others)]
    return FixationFolder(root, "all", **{**given, "fixations": table.name, "ignore": ignore})
