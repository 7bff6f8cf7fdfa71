"""Keras' HDF5 files, by `save_weights` or by `save`, from before 1.0 to tf.keras 2.

HDF5's library can crash on a damaged file, so it runs in a process of its own, and tells where the arrays lie.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from salzoo import _hdf5
from salzoo.errors import WeightsError
from salzoo.weight_files._tensors import Mapped, tensor_at


def read(path: Path) -> dict[str, Tensor]:
    """Return the arrays as `layer/weight_name`, in the order of `layer_names` and then of `weight_names`.

    Those that lie in the file in one piece, as Keras writes them, stay there until they are used.

    Raises:
        WeightsError: If h5py is not there.
        ValueError: If it is damaged, or HDF5 of another kind.
    """
    if find_spec("h5py") is None:
        raise WeightsError(f"{path} is HDF5 (Keras), which h5py reads: pip install 'salzoo[hdf5]'")
    head, packed = _hdf5.ask(Path(__file__).with_name("_keras_hdf5.py"), [str(path.absolute())])
    file, rest = Mapped(path), memoryview(bytearray(packed))
    found: dict[str, Tensor] = {}
    for name, dtype, shape, place in head["arrays"]:
        if name in found:
            raise ValueError(f"{name} is in it twice")
        if place >= 0:
            found[name] = file.tensor(place, dtype, tuple(shape))
        else:
            found[name] = tensor_at(rest, place + head["limit"], dtype, tuple(shape))
    return found
