"""Images to scanpaths in files: the job behind `salzoo scanpath`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from salzoo._io import whole
from salzoo._progress import counted
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.errors import ImageError
from salzoo.images.painting import encode
from salzoo.images.read import to_tensor
from salzoo.images.scanpath import draw, write_csv
from salzoo.prediction.files import (
    Outcome,
    PredictionReport,
    common_folder,
    make_folder,
    name_of,
    refuse_collisions,
    why,
)

TABLE, DRAWING = "_scanpath.csv", "_scanpath.jpg"
"""What follows the stem of an image in the names of its two files."""


def predict_scanpaths(
    model: ScanpathModel, paths: Sequence[Path], output: Path, *, n: int = 10, samples: int = 1, seed: int = 0
) -> PredictionReport:
    """Draw scanpaths on images, and write a table and a drawing of each.

    The names are `DIR/<stem>_scanpath.csv` and `.jpg`; images of several folders keep those below the one common to
    all. An image that cannot be read is reported, and the rest goes on. Every file appears whole or not at all.

    Args:
        model: The model, on the device where it is to run.
        paths: Files of the images.
        output: Folder of the files; it is made if it does not exist.
        n: As `ScanpathModel.predict_scanpath` takes it, like the others.
        samples: Number of paths on each image.
        seed: The same for every image.

    Raises:
        SpecError: If two images would write the same file, a drawing would replace an image, or the folder cannot be
            made.
    """
    root = common_folder(paths)
    refuse_collisions(paths, output, [TABLE, DRAWING], root)
    make_folder(output)
    report = PredictionReport()
    for path in counted(paths, len(paths), "image"):
        stem = output / name_of(path, root)
        files = [stem.with_name(stem.name + suffix) for suffix in (TABLE, DRAWING)]
        try:
            size = _write(model, path, files, n, samples, seed)
        except (ImageError, OSError, RuntimeError, MemoryError) as error:
            report.outcomes.append(Outcome(path, error=why(error)))
        else:
            report.outcomes.append(Outcome(path, tuple(files), size=size))
    return report


def _write(model: ScanpathModel, path: Path, files: Sequence[Path], n: int, samples: int, seed: int) -> tuple[int, int]:
    """Write the table and the drawing of one image, and return its (height, width)."""
    image = to_tensor(path)
    found = model.predict_scanpath(image, n, samples, seed)
    drawn = found if isinstance(found, list) else [found]
    table, drawing = files
    table.parent.mkdir(parents=True, exist_ok=True)
    write_csv(table, drawn)
    data = encode(draw(image, drawn), drawing.suffix)
    with whole(drawing) as part:
        part.write_bytes(data)
    return image.shape[-2], image.shape[-1]
