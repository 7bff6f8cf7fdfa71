"""Damaged files of weights, of every format: tensors or one WeightsError, and no more memory than a file can hold."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzz.damage import damaged
from hypothesis import example, given
from hypothesis import strategies as st
from importing import writers
from safetensors.torch import save

from salzoo.errors import WeightsError
from salzoo.weight_files import read

KERNEL, BIAS = np.arange(24, dtype="f4").reshape(2, 3, 2, 2), np.arange(300, dtype="f4")


def _torch(**options: bool) -> bytes:
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.from_numpy(KERNEL), "b": torch.ones(3)}, "epoch": 3}, file, **options)
    return file.getvalue()


def _npz() -> list[bytes]:
    found = []
    for write in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        write(file, KERNEL, BIAS)
        found.append(file.getvalue())
    return found


LAYERS = [("conv", "Convolution", [KERNEL, BIAS]), ("fc", "InnerProduct", [BIAS])]
CAFFE = [writers.caffemodel(LAYERS, generation=k, legacy=k == 1, packed=k == 1) for k in (1, 2)]
WEIGHTS = {"a/kernel": KERNEL, "b": np.ones((30, 30), "f4")}
GRAPHS = [writers.graph_def(WEIGHTS, values=values) for values in ("content", "list", "splat")]
GRAPHS.append(writers.saved_model({"f": WEIGHTS, "g": {"b": BIAS}}))
NET = writers.instance("nolearn.lasagne", "Net", {"a": [KERNEL, {"b": BIAS}], "t": ("x", 1.5, None, True, 300)})
PICKLES = [writers.python2_pickle(NET)]
TEXTS = [writers.liblinear(BIAS).encode(), writers.table([BIAS, BIAS]).encode()]
SOUND = [_torch(), _torch(_use_new_zipfile_serialization=False), *_npz(), save({"a": torch.from_numpy(KERNEL)})]
SOUND += [*CAFFE, *GRAPHS, *PICKLES, *TEXTS]


def most_memory() -> float:
    """Return the most bytes of memory that this process ever used: what is only reserved does not count."""
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(path: Path) -> None:
    """Read a file as far as that goes."""
    try:
        tensors = read(path).tensors
    except WeightsError as error:
        assert path.name.split(".")[0] in str(error)  # noqa: PT017 - most damages are refused, some are none
        assert "\n" not in str(error)  # noqa: PT017
        return
    for tensor in tensors.values():
        assert tensor.numel() >= 0


@pytest.mark.filterwarnings("ignore::UserWarning")  # zipfile warns of names that come twice
@given(data=damaged(SOUND))
@example(b"\x80\x02" + b"(" * 1000)
@example(b"\x80\x02]q\x00h\x00a.")  # a list in itself
@example(b"\x80")
def test_a_damaged_file_is_tensors_or_one_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(data)
    before = most_memory()
    attempt(path)
    assert most_memory() - before < 200e6


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    data=st.binary(max_size=300),
    kind=st.sampled_from([b"\x80\x02", b"\n\x08", b"PK\x03\x04", b"\x08\x01", b"\xa2\x06"]),
)
def test_any_bytes_behind_a_known_beginning(tmp_path: Path, data: bytes, kind: bytes) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(kind + data)
    attempt(path)


HOME = tempfile.TemporaryDirectory()
PREFIX = Path(HOME.name) / "net.ckpt"
writers.tensorflow_checkpoint(PREFIX, {f"scope/{k}": BIAS[:k] for k in range(50)})
INDEX = Path(f"{PREFIX}.index")


@given(data=damaged([INDEX.read_bytes()]), end=st.booleans())
def test_a_damaged_index_of_a_checkpoint(data: bytes, end: bool) -> None:
    INDEX.write_bytes(data + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb" * end)
    attempt(PREFIX)


@pytest.fixture(scope="module")
def hdf5(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return files of Keras."""
    path, found = tmp_path_factory.mktemp("keras") / "a.h5", []
    layers = [("conv", [("W", KERNEL), ("b", BIAS)]), ("dense", [("dense/kernel:0", BIAS)])]
    for options in ({"layout": "model"}, {"layout": "oldest", "compression": "gzip"}):
        writers.keras_hdf5(path, layers, **options)
        found.append(path.read_bytes())
    return found


@given(which=st.integers(0, 1), place=st.integers(8, 1 << 20), byte=st.integers(0, 255))
def test_a_damaged_file_of_keras(tmp_path: Path, hdf5: list[bytes], which: int, place: int, byte: int) -> None:
    data = bytearray(hdf5[which])
    data[8 + place % (len(data) - 8)] = byte
    path = tmp_path / "net.h5"
    path.write_bytes(data)
    attempt(path)
