"""`export`: a model to a file that other programs run, checked before it is put in place."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from salzoo._io import whole
from salzoo._version import __version__
from salzoo.checkpoint.config import Config
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import RunError, SalzooError, SpecError
from salzoo.exporting.graph import Graph, why_one_size
from salzoo.exporting.quantise import FEWEST, Loss, quantise
from salzoo.exporting.runtimes import run_onnx, run_pt2, write_onnx, write_pt2
from salzoo.images.geometry import Size
from salzoo.images.read import ImageLike
from salzoo.images.saliency_map import SaliencyMap

TOLERANCE = 1e-3
"""Largest difference of a log density from `predict`'s."""

OLDEST_TORCH = (2, 14)
"""The oldest torch with which every export was tried; older ones do not trace sizes that the graph computes."""

SIZES = ((333, 222), (150, 210))
"""(height, width) of the images that an export for any size is traced and checked with; no side is in any config."""


@dataclass(frozen=True)
class Exported:
    """A file that `export` wrote.

    Args:
        path: The file.
        bytes: Its size.
        size: (height, width) of the images that it takes; None for any.
        batch: Images that it takes at once; None for any number.
        difference: Largest difference of its log density from `predict`'s over the images of the check; of an int8 file
            that of the float file from which it was made.
        loss: What eight bits cost; None for a float file.
    """

    path: Path
    bytes: int
    size: Size | None
    batch: int | None
    difference: float
    loss: Loss | None = None


def export(
    model: SaliencyModel,
    path: str | os.PathLike[str],
    *,
    size: Size | None = None,
    calibrate: Sequence[ImageLike] | None = None,
) -> Exported:
    """Write a model as a graph: pixels in, log density out, with everything that `predict` does in between.

    The graph takes `image`, (N, 3, H, W) RGB float32 in [0, 1], and returns `log_density`, (N, H, W): the natural
    logarithm of a density over the image's own pixels. Bytes are divided by 255. The file says in its metadata which
    model, weights and licence it holds. It is run and compared with `predict` before it is put in place.

    Args:
        model: Any model whose network is a graph; it stays as it is.
        path: `.onnx` for ONNX, `.pt2` for `torch.export.load`.
        size: (height, width) of the only images that the file takes; None for a file that takes any, which not every
            network allows.
        calibrate: Images for static quantisation to eight bits (ONNX only); a quarter of them is held out to measure
            what that costs. None: float32.

    Raises:
        SpecError: If the model is no graph, or not one for any size; the message says what to do instead. Also for
            another suffix, a size that is not accepted, or what `salzoo[export]` brings and is not installed.
        RunError: If the file computes something else than `predict` does.
    """
    path = Path(path)
    suffix = _check(path, size, calibrate)
    traced, batch = _trace(model, size)
    facts = describe(model, size)
    with whole(path) as part:
        try:
            difference = _write(model, traced, part, suffix, facts, _examples(size, batch))
        except (OSError, SalzooError):
            raise
        except Exception as error:  # of torch's converter and of onnxruntime, which raise kinds of their own
            why = _first_line(error.__cause__ or error)
            raise SpecError(
                f"{_name(model)} cannot be exported as {suffix}: {why}. `salzoo.load` and `predict` run it."
            ) from error
        if not difference <= TOLERANCE:
            raise RunError(
                f"{_name(model)}: the exported graph differs from `predict` by {difference:.2g} in log units, "
                f"more than {TOLERANCE:g}; nothing was written. Please report it."
            )
        loss = None if calibrate is None else quantise(part, calibrate, size, facts)
        written = part.stat().st_size
    return Exported(path, written, size, batch, difference, loss)


def describe(model: SaliencyModel, size: Size | None) -> dict[str, str]:
    """Return what an exported file says of itself."""
    config, sides = model.config or Config(_name(model), "untrained", {}, {}), size or ("H", "W")
    shape = f"{sides[0]}, {sides[1]}"
    return {
        "model": f"{config.model}.{config.tag}",
        "sha256": config.sha256 or "",
        "license": config.license or "",
        "trained_on": json.dumps(list(config.trained_on)),
        "salzoo": __version__,
        "input": f"image: float32 (N, 3, {shape}), RGB in [0, 1]; bytes divided by 255",
        "output": f"log_density: float32 (N, {shape}), natural logarithm; its exp sums to 1 over each image",
    }


def _check(path: Path, size: Size | None, calibrate: Sequence[ImageLike] | None) -> str:
    """Check the arguments, before anything takes time, and return the suffix."""
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".pt2"):
        raise SpecError(f"cannot export to '{path.name}': the suffix is .onnx or .pt2.")
    if not path.parent.is_dir():
        raise SpecError(f"there is no folder {path.parent} to write {path.name} into.")
    if size is not None and not all(8 <= side <= 8192 for side in size):
        raise SpecError(f"size {size} is not accepted: (height, width), each from 8 to 8192 pixels.")
    if calibrate is not None and suffix != ".onnx":
        raise SpecError("int8 is for ONNX: name a file that ends in .onnx.")
    if calibrate is not None and len(calibrate) < FEWEST:
        raise SpecError(f"int8 is calibrated on at least {FEWEST} images, got {len(calibrate)}; tens are better.")
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        raise SpecError(f"exports need torch {'.'.join(map(str, OLDEST_TORCH))} or newer, this is {torch.__version__}.")
    for module in ("onnx", "onnxscript", "onnxruntime") if suffix == ".onnx" else ():
        if importlib.util.find_spec(module) is None:
            raise SpecError(f'{module} is not installed: pip install "salzoo[export]".')
    return suffix


def _trace(model: SaliencyModel, size: Size | None) -> tuple[torch.export.ExportedProgram, int | None]:
    """Return the graph, and the number of images that it takes at once; None for any."""
    name, instead = _name(model), "`salzoo.load` and `predict` run it"
    if model.no_graph:
        raise SpecError(f"{name} cannot be exported: {model.no_graph}. {instead}, `salzoo list` shows the others.")
    if size is None and (reason := why_one_size(model)):
        raise SpecError(f"{name} cannot be exported for images of any size: {reason}. Give one: --size HxW.")
    dimension, reason = torch.export.Dim, ""
    sides = {2: dimension("height", min=8), 3: dimension("width", min=8)} if size is None else {}
    for batch in (None, 1):
        image = _images(batch or 2, size or SIZES[0])
        try:
            return _program(model, image, sides if batch else {0: dimension("batch", min=1), **sides}), batch
        except Exception as error:  # torch raises a dozen kinds, none of them documented
            reason = _first_line(error)
    if size is None:
        with contextlib.suppress(Exception):
            _program(model, _images(1, SIZES[0]), {})
            instead = "Give one size: --size HxW"
    raise SpecError(f"{name} cannot be exported so: torch.export cannot trace it ({reason}). {instead}.")


def _program(model: SaliencyModel, image: Tensor, free: dict[int, Any]) -> torch.export.ExportedProgram:
    """Trace the graph, some of whose image's dimensions are free."""
    graph = Graph(model, free_size=2 in free).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own parts
        return torch.export.export(graph, (image,), dynamic_shapes=(free,), strict=False)


def _write(
    model: SaliencyModel,
    traced: torch.export.ExportedProgram,
    path: Path,
    suffix: str,
    facts: dict[str, str],
    examples: list[Tensor],
) -> float:
    """Write the file, run it, and return the largest difference of its log density from `predict`'s."""
    write, run = (write_onnx, run_onnx) if suffix == ".onnx" else (write_pt2, run_pt2)
    write(traced, path, facts)
    difference = 0.0
    for images in examples:
        expected = torch.stack([torch.from_numpy(one.log_density) for one in _in_full(model, [*images])])
        difference = max(difference, float((run(path, images) - expected).abs().max()))
    return difference


def _in_full(model: SaliencyModel, images: list[Tensor]) -> list[SaliencyMap]:
    """Predict in float32, which the graph is in, whatever the model was told."""
    precision, model.precision = model.precision, "32-true"
    try:
        return model.predict(images)
    finally:
        model.precision = precision


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _examples(size: Size | None, batch: int | None) -> list[Tensor]:
    """Return the images of the check: two sizes, and a batch, where the graph takes them."""
    sizes = (*SIZES[1:], (96, 352)) if size is None else (size,)
    return [_images(batch or 2 - i, one) for i, one in enumerate(sizes)]


def _images(count: int, size: Size) -> Tensor:
    """Return smooth images with some noise, always the same."""
    random = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(count, 3, 7, 9, generator=random), size, mode="bilinear")
    return 0.9 * smooth + 0.1 * torch.rand(count, 3, *size, generator=random)


def _name(model: SaliencyModel) -> str:
    return type(model).__name__ if model.config is None else f"{model.config.model}.{model.config.tag}"
