"""Exported graphs as files, and what runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

INPUT, OUTPUT = "image", "log_density"


def _log_sigmoid(x: Tensor) -> Tensor:
    """Log of the sigmoid without a sigmoid, whose small values runtimes round off."""
    return x.clamp(max=0) - x.abs().neg().exp().log1p()


def _sigmoid(x: Tensor) -> Tensor:
    """Sigmoid whose small values have all their digits."""
    return 1 / (1 + x.neg().exp())


_EXACT: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.log_sigmoid.default: _log_sigmoid,
    torch.ops.aten.sigmoid.default: _sigmoid,
}
"""What runtimes of ONNX compute too roughly, in terms of what they do not."""


def write_onnx(traced: torch.export.ExportedProgram, path: Path, facts: dict[str, str]) -> None:
    """Write a graph as an ONNX file with its weights inside."""
    if any(node.target in _EXACT for node in traced.graph.nodes):
        traced = traced.run_decompositions(_EXACT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter, about parts of its own
        program = torch.onnx.export(
            traced, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT], external_data=False
        )
    assert program is not None
    program.model.metadata_props.update(facts)
    program.save(path)


def run_onnx(path: Path, images: Tensor) -> Tensor:
    """Run an ONNX file on (N, 3, H, W) images, in onnxruntime on the CPU."""
    (log_density,) = session(path).run([OUTPUT], {INPUT: images.numpy()})
    return torch.from_numpy(log_density)


def session(path: Path, threads: int | None = None) -> Any:
    """Open an ONNX file in onnxruntime on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def write_pt2(traced: torch.export.ExportedProgram, path: Path, facts: dict[str, str]) -> None:
    """Write a graph as `torch.export.load` reads it."""
    with path.open("wb") as file:  # by its path torch takes no other suffix than .pt2
        torch.export.save(traced, file, extra_files=dict(facts))


def run_pt2(path: Path, images: Tensor) -> Tensor:
    """Run a file of `torch.export` on (N, 3, H, W) images."""
    with path.open("rb") as file, torch.no_grad():
        log_density: Tensor = torch.export.load(file).module()(images)
    return log_density
