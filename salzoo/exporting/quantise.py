"""Eight-bit weights and activations, calibrated on images of the user's, and what they cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salzoo.errors import SpecError
from salzoo.exporting.runtimes import INPUT, OUTPUT, session
from salzoo.images.geometry import Size
from salzoo.images.preprocess import as_float
from salzoo.images.read import ImageLike, to_tensor

FEWEST = 4
"""Fewest images to calibrate with: three, and one to measure the loss on."""

LARGE = 0.03
"""A loss of NSS from which on the command warns."""


@dataclass(frozen=True)
class Loss:
    """What eight bits cost, on calibration images that were held out.

    Args:
        images: Number of these images.
        difference: Mean absolute difference of the log density, weighted by the float density: where people look.
        correlation: Mean correlation of the two densities of an image (CC).
        nss: Mean loss of NSS if people looked exactly where the float file says.
    """

    images: int
    difference: float
    correlation: float
    nss: float


def quantise(path: Path, images: Sequence[ImageLike], size: Size | None, facts: dict[str, str]) -> Loss:
    """Replace a float ONNX file by one whose convolutions are in eight bits, and measure what that costs.

    Static, a scale a channel, weights and activations as QDQ nodes. Convolutions where a rounded value is seen in the
    map stay in float: those that see pixels, read-outs, and those of one channel each.

    Raises:
        SpecError: If an image is not of the size that the file takes.
    """
    tensors = [as_float(to_tensor(image))[None].numpy() for image in images]
    if size is not None and (wrong := [x.shape[2:] for x in tensors if x.shape[2:] != size]):
        raise SpecError(f"the file takes images of {size} (height, width), one to calibrate with has {wrong[0]}.")
    held_out, seen = tensors[::4], [x for i, x in enumerate(tensors) if i % 4]
    exact = [_run(session(path), x) for x in held_out]
    _write(path, seen, facts)
    return _compare(exact, [_run(session(path), x) for x in held_out])


def _write(path: Path, seen: Sequence[np.ndarray], facts: dict[str, str]) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            self.rows: Iterator[np.ndarray] = iter(seen)

        def get_next(self) -> dict[str, np.ndarray] | None:
            row = next(self.rows, None)
            return None if row is None else {INPUT: row}

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})  # or it advises to do that
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        target = Path(scratch) / "int8.onnx"
        quantize_static(
            model,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # older CPUs add pairs of products in 16 bits, which overflow otherwise
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_sensitive(model),
        )
        made = onnx.load(target)
    del made.metadata_props[:]
    onnx.helper.set_model_props(made, {**facts, "precision": "int8 convolutions"})
    onnx.save(made, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime from warning of its own calibration graph."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)  # its default


def _sensitive(model: Any) -> list[str]:
    """Return the convolutions that stay in float: of pixels, read-outs of few channels, and one channel at a time.

    Each backbone and each scale of it has one that sees pixels. A depthwise convolution has so few weights that eight
    bits save nothing, and its channels' ranges differ most.
    """
    weights = {one.name: list(one.dims) for one in model.graph.initializer}
    found = []
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        channels, inputs = weights.get(node.input[1], [0, 0])[:2]
        if channels < 8 or inputs in (1, 3):
            found.append(node.name)
    return found


def _run(runtime: Any, image: np.ndarray) -> np.ndarray:
    log_density: np.ndarray = runtime.run([OUTPUT], {INPUT: image})[0][0]
    return log_density


def _compare(exact: Sequence[np.ndarray], rounded: Sequence[np.ndarray]) -> Loss:
    differences, correlations, losses = [], [], []
    for a, b in zip(exact, rounded, strict=True):
        density = np.exp(a.astype(np.float64))
        differences.append(float((density * np.abs(a - b)).sum()))
        correlations.append(float(np.corrcoef(density.ravel(), np.exp(b.astype(np.float64)).ravel())[0, 1]))
        losses.append(float(density.std() / density.mean()) * (1 - correlations[-1]))
    return Loss(len(exact), *(float(np.mean(each)) for each in (differences, correlations, losses)))
