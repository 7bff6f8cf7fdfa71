"""Frozen graphs, SavedModels and checkpoints of TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from importing import writers
from weight_files.test_formats import BIAS, KERNEL, RNG, check

from salzoo.errors import WeightsError
from salzoo.weight_files import read, recognise

WEIGHTS = {"conv1/conv1_1/kernel": KERNEL, "conv1/conv1_1/bias": BIAS, "decoder/conv4/bias": np.zeros(1, "f4")}


@pytest.mark.parametrize("values", ["content", "list", "splat"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_a_frozen_graph(tmp_path: Path, values: str, dtype: str) -> None:
    repeated = np.array([[1.5, 2.5, 3.5], [4.5, 4.5, 4.5]])
    tensors = {**WEIGHTS, "ones": np.ones((3, 2)), "zeros": np.zeros(5), "repeated": repeated, "scalar": np.array(2.5)}
    expected = {name: np.asarray(each, dtype) for name, each in tensors.items()}
    axes = writers.const_node("axes", np.array([1, 2], "i4"))
    (tmp_path / "model_salicon_cpu.pb").write_bytes(writers.graph_def(expected, values=values, more=[axes]))
    check(read(tmp_path / "model_salicon_cpu.pb"), "tensorflow", expected)


def test_a_saved_model(tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    path.write_bytes(writers.saved_model({"__inference_pruned_1": WEIGHTS, "__inference_wrapped_2": WEIGHTS}))
    check(read(path), "tensorflow", WEIGHTS)
    other = {"decoder/conv4/bias": np.ones(1, "f4")}
    path.write_bytes(writers.saved_model({"first": WEIGHTS, "second": other}))
    check(read(path), "tensorflow", {**WEIGHTS, "second/decoder/conv4/bias": np.ones(1, "f4")})
    path.write_bytes(writers.saved_model({}, nodes=[writers.node_def("kernel", "VarHandleOp")]))
    with pytest.raises(WeightsError, match=r"has its weights as variables: give the file variables\.index"):
        read(path)


def test_a_graph_that_is_wrong(tmp_path: Path) -> None:
    path, good = tmp_path / "net.pb", writers.graph_def(WEIGHTS)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(WeightsError, match=r"net\.pb cannot be read as weights \(tensorflow\), is the download compl"):
        read(path)
    path.write_bytes(writers.graph_def({"a": np.ones(3, "f4")}).replace(b"\x12\x02\x08\x03", b"\x12\x02\x08\x04"))
    with pytest.raises(WeightsError, match=r"a has 3 numbers, its shape is \[4\]"):
        read(path)
    path.write_bytes(b"".join(writers.block(1, writers.const_node("a", np.full(2, k, "f4"))) for k in range(2)))
    with pytest.raises(WeightsError, match="the constant a is in it twice"):
        read(path)


def test_numbers_that_a_file_leaves_out_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "net.pb"
    few = writers.number(1, 1) + writers.block(2, writers.tensor_shape([1 << 14, 1 << 14]))
    for values, refused in ((1, False), (2, True)):
        value = writers.block(8, few + writers.block(5, np.arange(values, dtype="f4").tobytes()))
        path.write_bytes(writers.block(1, writers.node_def("a", "Const", value=value)))
        if refused:
            with pytest.raises(WeightsError, match="bytes of its constants are repetitions"):
                read(path)
        else:
            assert read(path).tensors["a"].untyped_storage().nbytes() == 4


VARIABLES = {f"scope/conv{k}/kernel": RNG.normal(size=(3, k + 1)).astype("f4") for k in range(100)}
VARIABLES |= {"global_step": np.array(7, "i8"), "half": BIAS.astype("f2"), "empty": np.zeros((0, 3), "f4")}
IN_ORDER = {name: VARIABLES[name] for name in sorted(VARIABLES)}


@pytest.mark.parametrize("named", ["", ".index", ".meta", ".data-00000-of-00001"])
@pytest.mark.parametrize("entries_a_block", [1, 40, 1000])
def test_a_checkpoint(tmp_path: Path, named: str, entries_a_block: int) -> None:
    prefix = tmp_path / "DeepGazeII.ckpt"
    writers.tensorflow_checkpoint(prefix, VARIABLES, entries_a_block=entries_a_block)
    found = read(tmp_path / f"DeepGazeII.ckpt{named}")
    check(found, "tensorflow-checkpoint", IN_ORDER)
    assert found.path == tmp_path / "DeepGazeII.ckpt.data-00000-of-00001"


def test_a_checkpoint_that_is_wrong(tmp_path: Path) -> None:
    prefix, shard = tmp_path / "a.ckpt", tmp_path / "a.ckpt.data-00000-of-00001"
    writers.tensorflow_checkpoint(prefix, VARIABLES)
    content = shard.read_bytes()
    shard.write_bytes(content[:-4])
    with pytest.raises(WeightsError, match=r"ends after the file's \d+ bytes"):
        read(prefix)
    shard.unlink()
    with pytest.raises(
        WeightsError, match=r"a\.ckpt\.index is the index .*: put a\.ckpt\.data-00000-of-00001 beside it"
    ):
        read(tmp_path / "a.ckpt.index")
    index = bytearray((tmp_path / "a.ckpt.index").read_bytes())
    place = index.find(b"\0\0\0\0", 40)
    (tmp_path / "a.ckpt.index").write_bytes(index[:place])
    with pytest.raises(WeightsError):
        recognise(tmp_path / "a.ckpt.index")
