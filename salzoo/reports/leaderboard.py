"""Leaderboards: the JSON of evaluations, with times and small maps beside it, and the page that shows them.

One JSON a dataset is all that a page is made of: what `salzoo evaluate --json` writes, to which a run of its own adds
`milliseconds`, `machine`, and a small map to each of the `extremes`.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from salzoo._io import write_text
from salzoo._schema import shown
from salzoo._text import read_text
from salzoo.data import FixationDataset, Item
from salzoo.errors import DataError, SpecError
from salzoo.evaluation.baselines import ROWS
from salzoo.evaluation.scoring import Convention, Predictor, evaluate, left_out, overlap, predictor
from salzoo.images.arrays import plain_array
from salzoo.prediction.files import make_folder
from salzoo.reports._leaderboard_page import page

SIDE = 160
"""Longest side of a map on the page, in pixels."""
JSON_BYTES = 64 << 20
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LARGEST = 1e9
"""Largest score or time that a page shows; anything beyond it is damage."""


def thumbnail(density: Any, side: int = SIDE) -> bytes:
    """Return a map (H, W) as a small grey PNG, black for its least value and white for its greatest.

    Args:
        density: The map.
        side: Longest side of the PNG, in pixels.
    """
    values = plain_array(density, "the map").astype(np.float64)
    low, high = values.min(), values.max()
    grey = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
    small = Image.fromarray(np.rint(grey).astype(np.uint8))
    small.thumbnail((side, side), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


@dataclass
class Watched:
    """A predictor that keeps the time and a small map of each image.

    Args:
        predict: The predictor.
        seconds: How long each image took, in the order of the calls.
        maps: PNG of each image's map by its index.
    """

    predict: Predictor
    seconds: list[float] = field(default_factory=list)
    maps: dict[int, bytes] = field(default_factory=dict)

    def __call__(self, index: int, item: Item) -> Any:
        """Predict one image."""
        begun = time.perf_counter()
        density = self.predict(index, item)
        self.seconds.append(time.perf_counter() - begun)
        self.maps[index] = thumbnail(density)
        return density

    @property
    def milliseconds(self) -> float:
        """Median time of an image; the first one, which warms up, does not count where there are more."""
        return round(float(np.median(self.seconds[1:] or self.seconds)) * 1000, 1)


def run(
    models: Mapping[str, Any],
    dataset: FixationDataset,
    *,
    baselines: Sequence[str] = ROWS,
    convention: Convention = "mit",
) -> dict[str, Any]:
    """Score models on a split of a dataset, and return the JSON of a page.

    Args:
        models: `SaliencyModel` by the name of its row.
        dataset: The split.
        baselines: Names from `salzoo.evaluation.baselines.ROWS`.
        convention: Convention of all metrics.

    Returns:
        `Table.to_json()` with `milliseconds` by row, `machine`, and the `png` of each row's best and worst map.
    """
    watched = {row: Watched(predictor(model)) for row, model in models.items()}
    notes = [note for row, model in models.items() for note in overlap(model, dataset, row)]
    table = evaluate(
        cast("dict[str, Predictor]", watched),
        dataset,
        baselines=baselines,
        convention=convention,
        notes=(*left_out(dataset), *notes),
    )
    content = table.to_json()
    content["milliseconds"] = {row: each.milliseconds for row, each in watched.items()}
    content["machine"] = machine(next(iter(models.values())).device.type if models else "cpu")
    for row, found in content["extremes"].items():
        if row in watched:
            for extreme in found.values():
                png = watched[row].maps[dataset.names.index(extreme["image"])]
                extreme["png"] = base64.b64encode(png).decode()
    return content


def machine(device: str) -> str:
    """Return in a few words what models run on here."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    cores = f"{platform.machine()} CPU of {_several(os.cpu_count(), 'core')}"
    cores += f", {_several(torch.get_num_threads(), 'thread')} of torch"
    return cores if device == "cpu" else f"{device}, {cores}"


def _several(number: Any, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def read(path: Path) -> dict[str, Any]:
    """Read and check the JSON of an evaluation.

    Raises:
        DataError: If it cannot be read, or is not what `salzoo evaluate --json` or `salzoo leaderboard` wrote.
    """
    try:
        if path.stat().st_size > JSON_BYTES:
            raise ValueError(f"it has more than {JSON_BYTES >> 20} MiB")
        content = json.loads(read_text(path))
        _check(content)
        json.dumps(content, ensure_ascii=False).encode()  # half a character cannot be written again
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; `salzoo evaluate --json` writes one.") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"{path} is not what `salzoo evaluate --json` wrote: {why}.") from error
    return cast("dict[str, Any]", content)


def _check(content: Any) -> None:
    """Check what a page takes from JSON, which a stranger may have written."""
    for name in ("dataset", "split", "convention", "baseline"):
        _be(content[name], str)
    _be(content["images"], int)
    for row, scores in content["rows"].items():
        for metric, value in scores.items():
            _be_number(value)
            low, high = content["intervals"].get(row, {}).get(metric, (None, None))
            _be_number(low)
            _be_number(high)
    for value in content.get("milliseconds", {}).values():
        _be(value, int, float)
        _be_number(value)
    for note in content["notes"]:
        _be(note, str)
    for row, commit in content.get("commits", {}).items():
        _be(row, str)
        _be(commit, str)
    for row, found in content.get("extremes", {}).items():
        _be(content["rows"][row], dict)
        for extreme in (found["best"], found["worst"]):
            _be(extreme["image"], str)
            _be(extreme["score"], int, float)
            _be_number(extreme["score"])
            if "png" in extreme and not base64.b64decode(extreme["png"], validate=True).startswith(PNG_MAGIC):
                raise ValueError("a map in it is no PNG")


def _be_number(value: Any) -> None:
    """Check a score or a time: a number that can be drawn, one that is not finite, or none."""
    _be(value, int, float, type(None))
    if value is not None and LARGEST < abs(value) < math.inf:
        raise ValueError(f"{shown(value)} is too large for a score or a time")


def _be(value: Any, *kinds: type) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{shown(value)} is no {kinds[0].__name__}")


def with_times(contents: Sequence[dict[str, Any]], path: Path) -> None:
    """Put the times of `benchmarks/results/latency.json`, or of a file laid out alike, into each JSON.

    Args:
        contents: JSON of evaluations; what they have of times is replaced.
        path: A mapping of one size of images to `threads` and `milliseconds` by row; parts without times are not read.

    Raises:
        SpecError: If the file cannot be read, or is not laid out so.
    """
    try:
        ((size, found),) = ((k, v) for k, v in json.loads(read_text(path)).items() if "milliseconds" in v)
        times = {str(row): float(value) for row, value in found["milliseconds"].items()}
        machine = f"{_several(found['threads'], 'thread')} of a CPU, images of {size} pixels"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SpecError(f"{path} is no file of times, as benchmarks/latency.py writes: {why}.") from error
    for content in contents:
        content["milliseconds"], content["machine"] = times, machine


def write(contents: Sequence[dict[str, Any]], output: Path) -> Path:
    """Write `index.html`, and the JSON that it is made of as `<dataset>.json`; return the page.

    Raises:
        SpecError: If the folder cannot be made, or two are of one dataset, or of two whose files have one name.
    """
    files: dict[str, dict[str, Any]] = {}
    for content in contents:
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in content["dataset"])
        if name.lower() in map(str.lower, files):
            raise SpecError(f"two tables are of {content['dataset']}: a page has one of each dataset.")
        files[name] = content
    make_folder(output)
    for name, content in files.items():
        write_text(output / f"{name}.json", json.dumps(content, indent=2) + "\n")
    write_text(output / "index.html", page(contents))
    return output / "index.html"
