"""Files that an importer must refuse, each with one line: made from a good one.

TENSORS = {...}                                     # a good file: names as `weight_files.read` has them, to arrays
def write(tensors, folder): ...                     # -> the files, in the order in which they are given

@faults.every_kind
def test_refuses(kind, tmp_path):
    faults.check(kind, "salgan", TENSORS, write, tmp_path)

def test_refuses_the_other_port(tmp_path):
    faults.refuses("salgan", write_other_port(tmp_path), "bilinear", tmp_path / "out")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import salzoo
from salzoo.errors import WeightsError

Tensors = dict[str, NDArray[Any]]
Write = Callable[[Tensors, Path], Iterable[Path]]

KINDS = ("missing", "surplus", "shape", "nan", "constant")
every_kind = pytest.mark.parametrize("kind", KINDS)


def damage(kind: str, tensors: Mapping[str, NDArray[Any]], victim: str, surplus: str) -> tuple[Tensors, str]:
    """Return the tensors of a faulty file and the pattern of the line that tells so.

    Args:
        kind: `missing` without the victim, `surplus` with one more, `shape` with a row more, `nan` with one NaN, or
            `constant` with the largest array all of one number.
        tensors: Those of a good file.
        victim: Which one suffers.
        surplus: Name of one more.
    """
    faulty = dict(tensors)
    array = np.asarray(faulty[victim])
    match kind:
        case "missing":
            del faulty[victim]
            return faulty, re.escape(victim)
        case "surplus":
            faulty[surplus] = np.linspace(0, 1, 5, dtype=np.float32)
            return faulty, re.escape(surplus)
        case "shape":
            rows = np.atleast_1d(array)
            faulty[victim] = np.concatenate([rows, rows[:1]])
            return faulty, r"shape|\(\d+"
        case "nan":
            faulty[victim] = array.copy()
            faulty[victim].flat[0] = np.nan
            return faulty, "(?i)nan|finite"
        case "constant":
            largest = max(faulty, key=lambda name: faulty[name].size)
            faulty[largest] = np.full_like(faulty[largest], 0.5)
            return faulty, "(?i)constant|equal|same|no training"
        case _:
            raise ValueError(kind)


def check(
    kind: str,
    model: str,
    tensors: Tensors,
    write: Write,
    folder: Path,
    victim: str | None = None,
    surplus: str = "surplus.weight",
    match: str | None = None,
    **options: Any,
) -> None:
    """Fail unless a faulty file is refused with one line, and leaves nothing behind.

    Args:
        kind: One of `KINDS`.
        model: Name of the model.
        tensors: Those of a good file.
        write: Writes such tensors as the authors' files.
        folder: Where to work.
        victim: Which tensor suffers; None for the last one.
        surplus: Name of a tensor too many, as the format has it.
        match: Pattern of the line, if it is another than `damage` says.
        options: More arguments of `import_weights`.
    """
    faulty, pattern = damage(kind, tensors, victim or list(tensors)[-1], surplus)
    refuses(model, write(faulty, folder), match or pattern, folder / "out", **options)


def refuses(model: str, files: Iterable[Path], match: str, output: Path, **options: Any) -> None:
    """Fail unless the files are refused with one line that matches, and no checkpoint is left."""
    paths = list(files)
    with pytest.raises(WeightsError) as caught:
        salzoo.import_weights(model, paths, output=output, **options)
    told = str(caught.value)
    assert "\n" not in told
    for path in paths:  # a test's folder is called like the fault
        told = told.replace(str(path), path.name)
    assert re.search(match, told), told
    assert not output.exists(), "what was refused leaves nothing behind"
