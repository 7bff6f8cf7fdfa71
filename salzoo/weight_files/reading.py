"""One way in: a file of any framework to its tensors, or one error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TypeVar, cast

from torch import Tensor

from salzoo.errors import SalzooError, WeightsError
from salzoo.weight_files import tensorflow_checkpoint
from salzoo.weight_files.recognising import recognise

T = TypeVar("T")

READERS = {
    "torch": "torch_file",
    "npz": "npz",
    "safetensors": "safetensors_file",
    "caffe": "caffe",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "tensorflow-checkpoint": "tensorflow_checkpoint",
    "tflite": "tflite",
    "pickle": "python_pickle",
    "text": "text",
}
"""The module of this folder that reads a format, with a function `read` from a path to tensors by name."""


_LONGEST_NAME = 1_000


@dataclass(frozen=True)
class WeightFile:
    """The tensors of one file.

    Args:
        path: The file; of a checkpoint of TensorFlow that with the numbers.
        format: What it is: a key of `READERS`.
        tensors: By name, in the file's order. Large ones lie in the file until they are used, where its format allows
            that; what is written to them does not reach the file.
    """

    path: Path
    format: str
    tensors: dict[str, Tensor]


def read(path: Path) -> WeightFile:
    """Return the tensors of a file, whatever framework wrote it; its first bytes say which, never its name.

    Names are: `torch` the keys of the state dict, `npz` and `safetensors` those of the file, `keras`
    `layer/weight_name`, `caffe` `layer.0`, `layer.1` for the blobs of a layer, `tensorflow` and `tflite` those of the
    graph's constants, `tensorflow-checkpoint` those of the variables, `pickle` the path of the array inside, `text`
    `svm` for a linear machine and `column.0`, `column.1` for a table.

    Args:
        path: The file. Of a checkpoint of TensorFlow any of its files, or what their names begin with.

    Raises:
        WeightsError: If there is no such file, if it is of no known format, damaged, or holds anything but weights.
    """
    path = Path(path)
    kind = _guarded(path, "weights", partial(recognise, path))
    reader = cast("Callable[[Path], Mapping[str, Tensor]]", import_module(f"{__package__}.{READERS[kind]}").read)
    tensors = dict(_guarded(path, f"weights ({kind})", partial(reader, path)))
    if not tensors:
        raise WeightsError(f"{path} holds no weights: no tensor was found in it ({kind})")
    if odd := next((name for name in tensors if len(name) > _LONGEST_NAME or not name.isprintable()), None):
        raise WeightsError(f"{path} has a tensor called {odd[:60]!r}, which is no name that a network's author gives")
    return WeightFile(tensorflow_checkpoint.file_of(path) if kind == "tensorflow-checkpoint" else path, kind, tensors)


def _guarded(path: Path, what: str, read: Callable[[], T]) -> T:
    """Return what `read` returns, with any failure on a damaged file as one error."""
    try:
        return read()
    except WeightsError:
        raise
    except SalzooError as error:
        raise WeightsError(str(error)) from error
    except FileNotFoundError as error:
        raise WeightsError(
            f"there is no file {path}; check the name (a relative path starts at '{Path.cwd()}')"
        ) from error
    except Exception as error:  # damaged bytes make libraries raise whatever
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{path} cannot be read as {what}, is the download complete? {reason[:300]}") from error
