"""Pickles: of Python 2 by a writer of our own, of later protocols by Python's, and nothing in them is executed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from importing.writers import Made, Named, instance, python2_pickle
from weight_files.test_formats import BIAS, KERNEL, check

from salzoo.errors import WeightsError
from salzoo.weight_files import read, recognise


def shared(array: Any) -> Made:
    """Return a variable of Theano, as far as it matters."""
    container = instance("theano.gof.link", "Container", {"storage": [array], "readonly": False})
    return instance("theano.tensor.sharedvar", "TensorSharedVariable", {"container": container, "name": "W"})


def test_an_object_of_nolearn(tmp_path: Path) -> None:
    kernel, bias = np.asfortranarray(KERNEL), BIAS.astype(">f8")
    weight = shared(kernel)
    layer = instance("lasagne.layers.conv", "Conv2DLayer", {"W": weight, "b": shared(bias)})
    again = instance("__main__", "AdjustVariable", {"about": weight, "l": layer, "n": 300, "x": -1.5, "t": "a" * 400})
    ordered = Made(Named("collections", "OrderedDict"), ([["conv1", layer]],))
    net = instance("nolearn.lasagne.base", "NeuralNet", {"hooks": [again], "layers_": ordered, "update": None})
    net.state["me"] = net  # a circle
    net.state["gpu"] = Made(Named("theano.sandbox.cuda.type", "CudaNdarray_unpickler"), (KERNEL[0],))
    net.state["objects"] = np.array([BIAS[:2], None], object)
    net.state["text"] = np.array([b"ab"])
    (tmp_path / "shallow_net.pickle").write_bytes(python2_pickle(net))
    expected = {
        "layers_.conv1.W.container.storage.0": KERNEL,
        "layers_.conv1.b.container.storage.0": BIAS.astype("f8"),
        "gpu.0": KERNEL[0],
        "objects.state.0": BIAS[:2],
    }
    check(read(tmp_path / "shallow_net.pickle"), "pickle", expected)


@pytest.mark.parametrize("protocol", range(5))
def test_what_python_writes(tmp_path: Path, protocol: int) -> None:
    value = {
        "a": [KERNEL, {"b": BIAS}],
        3: (np.arange(9), {1, 2}, frozenset("a")),
        "x": None,
        "f": [True, 1.5, 1 << 70],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    check(read(tmp_path / "a.pkl"), "pickle", {"a.0": KERNEL, "3.0": np.arange(9), "a.1.b": BIAS})


def test_a_text_that_is_decoded_again_and_again_is_not(tmp_path: Path) -> None:
    call = b"c_codecs\nencode\n(V" + b"a" * 100 + b"\np1\nVlatin1\ntR" + b"c_codecs\nencode\n(g1\nVlatin1\ntR" * 9
    (tmp_path / "a.pkl").write_bytes(b"(lp0\n" + call + b".")
    with pytest.raises(WeightsError, match="again and again"):
        read(tmp_path / "a.pkl")


@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
def test_python_reads_what_the_writer_writes() -> None:
    value = [
        KERNEL,
        {"a": BIAS.astype(">f8"), "b": np.asfortranarray(KERNEL[0])},
        (1, -2, 300, 1.5, True, None, "x" * 400),
    ]
    kernel, arrays, rest = pickle.loads(python2_pickle(value), encoding="latin1")
    np.testing.assert_array_equal(kernel, KERNEL, strict=True)
    np.testing.assert_array_equal(arrays["a"], BIAS.astype(">f8"))
    np.testing.assert_array_equal(arrays["b"], KERNEL[0], strict=True)
    assert rest == value[2]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {os.environ['EVIL']}",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": BIAS, "e": Evil()}, protocol))
    with pytest.raises(WeightsError, match=r"a\.pkl"):
        read(tmp_path / "a.pkl")
    calls = {
        "posix": Made(Named("posix", "system"), (f"touch {tmp_path / 'evil'}",)),
        "__builtin__": Made(Named("__builtin__", "eval"), ("1",)),
        "numpyx": Made(Named("numpyx.core", "load"), ("1",)),
    }
    for module, call in calls.items():
        (tmp_path / "b.pkl").write_bytes(python2_pickle([BIAS, call]))
        with pytest.raises(
            WeightsError, match=rf"b\.pkl is a pickle that asks for {module}\.\S+, and none of a network"
        ):
            read(tmp_path / "b.pkl")
    allowed = Made(Named("numpy.testing._private.utils", "runstring"), (f"open({str(tmp_path / 'evil')!r}, 'w')", {}))
    (tmp_path / "c.pkl").write_bytes(python2_pickle([BIAS, allowed]))
    assert list(read(tmp_path / "c.pkl").tensors) == ["0"]  # and not called, whatever it is
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02]" + b"(" * 10 + b".", "cannot be read"),
        (b"\x80\x02." + bytes(20), "cannot be read"),
        (b"\x80\x02" + b"]" * 3_000_000 + b".", "more than 2,000,000 steps"),
        (b"\x80\x02" + b"]" * 1500 + b"a" * 1499 + b".", "nested more than 1000 deep"),
        (b"\x80\x02]h\x07a.", "it has nothing under 7"),
        (b"\x80\x02U\x01aQ.", "the operation BINPERSID"),
        (b"\x80\x02U\x01aU\x01ba.", "what is no container"),
        (python2_pickle([1, "a", None]), "holds no weights"),
        (python2_pickle(BIAS).replace(b"K\x04", b"K\x05"), r"an array of f4 \(5,\) has other than its bytes"),
    ],
)
def test_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"a": 1}, [{"a": 1}, 2], Named("numpy", "ndarray")], ids=["dict", "list", "object"])
def test_every_protocol_is_recognised(tmp_path: Path, protocol: int, value: Any) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    assert recognise(tmp_path / "a.pkl") == "pickle"


def test_one_array(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(python2_pickle(BIAS))
    check(read(tmp_path / "a.pkl"), "pickle", {"array": BIAS})
