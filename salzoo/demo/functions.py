"""What the page computes, without the page: each control calls one of these functions, and all of them refuse in words.

Every error is a `SalzooError` whose message names files as the visitor does, without the server's folders.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salzoo.checkpoint.folder import find_checkpoint
from salzoo.errors import DataError, ImageError, SalzooError, SpecError
from salzoo.images.areas import Region
from salzoo.images.formats import open_image
from salzoo.images.read import read_file, to_array
from salzoo.images.saliency_map import SaliencyMap
from salzoo.images.samples import SAMPLES, PopOut, pop_out, sample_images
from salzoo.registry import AUTHORS, RECOMMENDED, read_spec, spec_names, split_name

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import Tensor

    from salzoo.components.saliency_model import SaliencyModel

MOST_PIXELS = 25_000_000
"""Largest image that the page takes: a map of it has 100 MB, and several visitors share the server's memory."""
KEPT_MODELS = 4
"""Models that stay in memory."""


@dataclass(frozen=True)
class Prediction:
    """One image and what each chosen model says of it.

    Args:
        path: Where the image was uploaded to.
        image: (3, H, W) RGB, upright; uint8, or float32 in [0, 1].
        maps: The map of each model by its name, in the order in which they were chosen.
    """

    path: Path
    image: Tensor
    maps: dict[str, SaliencyMap]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels."""
        return self.image.shape[-2], self.image.shape[-1]


@dataclass(frozen=True)
class Scores:
    """How well each model predicts the fixations of a table.

    Args:
        metrics: Headings, in the order of the values.
        rows: One value a metric by model; `salzoo.metrics.functional` with its default convention.
        fixations: Fixations on the image.
        notes: What was left out, and what is doubtful, one sentence each.
    """

    metrics: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    fixations: int
    notes: tuple[str, ...]


def loadable_models() -> list[str]:
    """Return the models that load on this machine as it is, the recommended one first; `name.tag` beside the default.

    Those are the models with a checkpoint that ships with salzoo or is the user's own, and those with nothing to learn.
    """
    found = []
    for name in spec_names():
        spec = read_spec(name)
        for tag in (spec.default, *(tag for tag in (*spec.variants, AUTHORS) if tag != spec.default)):
            usual = tag == spec.default
            if find_checkpoint(name, tag) is not None or (usual and spec.training == "none"):
                found.append(name if usual else f"{name}.{tag}")
    return sorted(found, key=lambda name: (name != RECOMMENDED, name))


def summary(name: str) -> str:
    """Return what a model is, in one line."""
    return split_name(name)[0].summary


@lru_cache(maxsize=KEPT_MODELS)
def load_model(name: str) -> SaliencyModel:
    """Load a model, or take it from those that were used last.

    Raises:
        SpecError: If it is none of `loadable_models`: a visitor names no folders, and makes the server fetch nothing.
    """
    from salzoo.components.load import load

    if name not in loadable_models():
        raise SpecError(f"there is no model {name!r} here; choose one of {', '.join(loadable_models())}")
    return load(name, device="auto")


def read_image(path: Path) -> Tensor:
    """Read an uploaded image as `predict` does.

    Raises:
        ImageError: If it is no image, or has more than `MOST_PIXELS`.
    """
    label = f"'{_there(path).name}'"
    with _plain(path.parent), open_image(path, label) as image:
        pixels = image.width * image.height
        if pixels > MOST_PIXELS:
            raise ImageError(
                f"{label} has {image.width} x {image.height} pixels, {pixels / 1e6:.0f} million; this page takes up to "
                f"{MOST_PIXELS / 1e6:.0f} million: shrink it, or run `salzoo predict` on it"
            )
    return read_file(path.read_bytes(), path.name).pixels


def predict(path: Path, models: list[str]) -> Prediction:
    """Predict one image with each model.

    Raises:
        SalzooError: If the image cannot be read, or a model cannot be loaded.
    """
    if not models:
        raise SpecError("choose a model")
    image = read_image(path)
    return Prediction(path, image, {name: load_model(name).predict(image) for name in dict.fromkeys(models)})


def shrunk(prediction: Prediction, longest: int) -> Prediction:
    """Return a prediction at a size for looking at: overlays of large images are painted in seconds, and sent in less.

    Args:
        prediction: An image and its maps.
        longest: Most pixels of its longer side; a smaller one is left as it is.
    """
    import torch

    from salzoo.images.preprocess import resize_density

    scale = longest / max(prediction.size)
    if scale >= 1:
        return prediction
    height, width = (max(1, round(side * scale)) for side in prediction.size)
    small = np.array(Image.fromarray(as_8_bit(prediction.image)).resize((width, height), Image.Resampling.LANCZOS))
    maps = {
        name: SaliencyMap(resize_density(each.torch(), (height, width)).log()) for name, each in prediction.maps.items()
    }
    return Prediction(prediction.path, torch.from_numpy(small).permute(2, 0, 1), maps)


def as_8_bit(image: Tensor) -> NDArray[np.uint8]:
    """Return (3, H, W) of uint8, or of float in [0, 1], as an array (H, W, 3)."""
    array = to_array(image)
    scale, half = (1, 0) if array.dtype == np.uint8 else (np.float32(255), np.float32(0.5))
    return (array * scale + half).astype(np.uint8)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Return the box (x0, y0, x1, y1) that was drawn or typed: four numbers, the corners in any order.

    Raises:
        SpecError: If there are not four numbers.

    Example:
        >>> parse_box("30, 10, 5 20")
        (5.0, 10.0, 30.0, 20.0)
    """
    numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]
    if len(numbers) != 4:
        raise SpecError(f"a box is four numbers, x0, y0, x1, y1 in pixels, got '{text.strip()[:60]}'")
    (left, right), (top, bottom) = sorted(numbers[0::2]), sorted(numbers[1::2])
    return left, top, right, bottom


def measure(prediction: Prediction, box: tuple[float, float, float, float]) -> dict[str, Region]:
    """Return what each model gives to a box, by its name: share of the density, share of the area, and lift.

    Raises:
        ImageError: If the box is empty, or holds nothing of the image.
    """
    for each in prediction.maps.values():
        each.share(box)  # what is wrong with the box is told without a name for it
    return {name: each.regions({"box": box})["box"] for name, each in prediction.maps.items()}


def write_files(prediction: Prediction, folder: Path) -> list[Path]:
    """Write what can be downloaded: each model's density (.npy), its map (.png) and its overlay.

    Args:
        prediction: The maps.
        folder: An existing folder.

    Returns:
        `<image>_<model>.npy`, `.png` and `_overlay.jpg` for each model.
    """
    files = []
    for name, each in prediction.maps.items():
        stem = f"{prediction.path.stem}_{name}"
        for suffix in (".npy", ".png"):
            each.save(folder / f"{stem}{suffix}")
        each.save(folder / f"{stem}_overlay.jpg", image=prediction.image)
        files += [folder / f"{stem}{ending}" for ending in (".npy", ".png", "_overlay.jpg")]
    return files


def score(prediction: Prediction, table: Path, options: str = "") -> Scores:
    """Score each model on the fixations that a table has for this image.

    Args:
        prediction: The image, and the maps of the models.
        table: Read by `salzoo.data.FixationFolder`; rows of other images are left out.
        options: Its options, as JSON: what a study's `study.json` holds. Empty for none.

    Raises:
        SalzooError: If the table cannot be read, has no row of this image, or its points cannot be pixels of it.
    """
    from salzoo.data.folder.loose import loose_study

    image, chosen = _there(prediction.path), _options(options)
    with _plain(image.parent), _plain(table.parent), loose_study([image], _there(table), chosen) as study:
        points, outside = study.fixations(0), study.dropped
        density = points.density(prediction.size, study.sigma(prediction.size))
    if not len(points):
        raise DataError(f"none of the {outside} points of '{table.name}' lies on the image")
    notes = [f"{outside} of {len(points) + outside} points lie off the image and are left out."] if outside else []
    left_out = "; ".join(f"{count} {reason}" for reason, count in study.study.dropped.items())
    notes += [f"Rows of the table that are left out: {left_out}."] if left_out else []
    notes += study.study.doubts
    metrics, rows = _compare(prediction, points.counts(prediction.size), density)
    return Scores(metrics, rows, len(points), tuple(notes))


def _compare(
    prediction: Prediction, fixations: Tensor, density: Tensor
) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
    """Return headings, and the scores of each model; those that are not defined here are left out."""
    from salzoo.metrics import functional as f

    counts, people = fixations[None], density[None]
    uniform = np.full((1, *prediction.size), 1 / density.numel(), np.float32)
    baselines = {"uniform": uniform}
    if "centre_bias" in loadable_models():
        baselines["centre bias"] = load_model("centre_bias").predict(prediction.image).density[None]
    rows = {}
    for name, each in prediction.maps.items():
        maps = each.density[None]
        pairs = [f.nss(maps, counts), f.auc_judd(maps, counts), f.cc(maps, people), f.sim(maps, people)]
        pairs += [f.kl_div(maps, people), *(f.info_gain(maps, counts, base) for base in baselines.values())]
        rows[name] = tuple(float(value) for value in pairs)
    gains = (f"IG over {name} ↑" for name in baselines)
    return ("NSS ↑", "AUC-Judd ↑", "CC ↑", "SIM ↑", "KL ↓", *gains), rows


def write_examples(folder: Path) -> dict[Path, str]:
    """Write the sample images that are installed, and return the credit that each needs, by its file.

    Without the packages that ship photographs only the displays that salzoo draws itself are there.
    """
    try:
        images = sample_images()
    except ImageError:
        images = {f"pop_out_{kind}": pop_out(kind, seed)[0] for seed, kind in enumerate(get_args(PopOut))}
    found = {}
    for name, image in images.items():
        path = folder / f"{name}.png"
        image.save(path)
        found[path] = SAMPLES[name].credit if name in SAMPLES else ""
    return found


def _options(text: str) -> dict[str, object]:
    """Return the options of a table, of which a visitor may give all but those that name files."""
    if not text.strip():
        return {}
    try:
        options = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f'the options are not valid JSON: {error}; write for instance {{"origin": 1}}') from error
    if not isinstance(options, dict) or "fixations" in options:
        raise SpecError('the options are an object such as {"origin": 1}, without "fixations": the table is uploaded')
    return options


def _there(path: Path) -> Path:
    """Return an uploaded file that has not been cleaned away meanwhile."""
    if not path.is_file():
        raise DataError(f"'{path.name}' was uploaded too long ago and is gone: upload it again")
    return path


@contextmanager
def _plain(folder: Path) -> Iterator[None]:
    """Take out of what errors say the server's folder, and how Pillow's limit is moved: a visitor can do neither."""
    try:
        yield
    except SalzooError as error:
        text = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "the upload")
        raise type(error)(text.partition(", or, if you trust it")[0]) from error
