"""Maps for splits whose fixations are not public, in the form that the benchmarks take."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salzoo.data.base import FixationDataset
from salzoo.data.datasets.salicon import SALICON
from salzoo.errors import DataError, SpecError


class Map(Protocol):
    """The part of `salzoo.SaliencyMap` that is needed here."""

    @property
    def saliency(self) -> NDArray[np.float32]:
        """(H, W) in [0, 1]."""


Write = Callable[[Path, str, NDArray[np.float32]], None]
"""Writes the map of one image, by the image's name, into the folder."""


def write_submission(dataset: FixationDataset, maps: Iterable[tuple[str, Map]], output: str | Path) -> Path:
    """Write one map for each image of a split, in the form that the dataset's benchmark takes.

    Written is the `saliency` of each map, at the image's own size, in 8 bits (iSUN: in float).

    - `mit300`, `cat2000`: a folder of .jpg files of the same size and name as the images, CAT2000's in the folders of
      their categories; to be packed under the name of the model (saliency.mit.edu, submission_mit300.html and
      submission_cat2000.html). Written at JPEG's highest quality.
    - `salicon2015`: `fixations_<split>2014_<model>_results.json`, a list of `image_id` (COCO's number) and
      `saliency_map` (a PNG file in base64). The server takes one such file for val and one for test, zipped together
      (salicon.net, evaluate and upload). The model's name is that of `output`.
    - `salicon2017`, `isun`: the LSUN challenges. Their instructions are no longer available, so the files have the form
      of the datasets' own maps: `<image>.png`, and `<image>.mat` with the variable `I` in [0, 1].

    Args:
        dataset: The split; each of its images needs one map, in any order.
        maps: Pairs of an image's name and its map; only one is held in memory at a time.
        output: Folder to write; it appears whole or not at all.

    Returns:
        The folder.

    Raises:
        SpecError: If no benchmark is known for the dataset, or `output` exists.
        DataError: If a name is unknown, comes twice or is missing, or a map differs in size from its image.
    """
    output = Path(output).expanduser().absolute()
    if output.exists():
        raise SpecError(f"{output} exists; name a folder that does not, or remove it")
    if dataset.name not in _FORMS:
        raise SpecError(f"no benchmark takes maps of {dataset.name}; known: {', '.join(_FORMS)}")
    partial = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    partial.mkdir(parents=True)
    try:
        _write_all(dataset, maps, partial, _FORMS[dataset.name])
        if isinstance(dataset, SALICON) and dataset.edition == 2015:
            _close_json(partial, f"fixations_{dataset.split}2014_{output.name}_results.json")
        os.replace(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def _write_all(dataset: FixationDataset, maps: Iterable[tuple[str, Map]], folder: Path, write: Write) -> None:
    places = {name: index for index, name in enumerate(dataset.names)}
    for name, each in maps:
        index = places.pop(name, None)
        if index is None:
            why = "comes twice" if name in dataset.names else f"is not in split {dataset.split!r}"
            raise DataError(f"{dataset.name}: the map of {name} {why}; give one map for each of dataset.names")
        saliency = np.asarray(each.saliency)
        if saliency.shape != (size := dataset.size(index)):
            raise DataError(f"the map of {name} is {saliency.shape} (height, width), its image {size}")
        if not (saliency.min() >= 0 and saliency.max() <= 1):  # also false of NaN
            raise DataError(
                f"the map of {name} ranges from {saliency.min():g} to {saliency.max():g}, not within [0, 1]"
            )
        write(folder, name, saliency)
    if places:
        raise DataError(f"{len(places)} of {len(dataset)} maps missing, such as that of {next(iter(places))}")


def _image(saliency: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray((saliency * 255 + 0.5).astype(np.uint8))


def _jpeg(folder: Path, name: str, saliency: NDArray[np.float32]) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    _image(saliency).save(path, format="JPEG", quality=100)


def _png(folder: Path, name: str, saliency: NDArray[np.float32]) -> None:
    _image(saliency).save(folder / f"{Path(name).stem}.png")


def _mat(folder: Path, name: str, saliency: NDArray[np.float32]) -> None:
    from scipy.io import savemat

    savemat(folder / f"{Path(name).stem}.mat", {"I": saliency}, do_compression=True)


def _json(folder: Path, name: str, saliency: NDArray[np.float32]) -> None:
    buffer = io.BytesIO()
    _image(saliency).save(buffer, format="PNG")
    number = int(Path(name).stem.split("_")[-1])
    record = {"image_id": number, "saliency_map": base64.b64encode(buffer.getvalue()).decode()}
    with (folder / "open.json").open("a", encoding="utf-8") as file:
        file.write(("," if file.tell() else "[") + json.dumps(record) + "\n")


def _close_json(folder: Path, name: str) -> None:
    with (folder / "open.json").open("a", encoding="utf-8") as file:
        file.write("]\n")
    (folder / "open.json").rename(folder / name)


_FORMS: dict[str, Write] = {
    "mit300": _jpeg,
    "cat2000": _jpeg,
    "salicon2015": _json,
    "salicon2017": _png,
    "isun": _mat,
}
