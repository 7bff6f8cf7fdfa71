"""Every format: the names, the order and the numbers that were written, by writers that share no code with us."""

from __future__ import annotations

import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from importing import writers
from safetensors.torch import save_file

from salzoo.errors import WeightsError
from salzoo.weight_files import WeightFile, read, recognise

REAL = Path(__file__).parents[3] / "shared" / "weights"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the authors' files are not beside the repository")

RNG = np.random.default_rng(18)
KERNEL, BIAS = RNG.normal(size=(4, 3, 3, 2)).astype("f4"), RNG.normal(size=4).astype("f4")
STATE = {"b.weight": torch.from_numpy(KERNEL), "b.bias": torch.from_numpy(BIAS), "a.count": torch.tensor(7)}


def check(found: WeightFile, kind: str, expected: dict[str, Any]) -> None:
    assert found.format == kind
    assert list(found.tensors) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found.tensors[name].numpy(), np.asarray(value), strict=True)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "student_model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torch(tmp_path: Path, zipped: bool, wrapper: str | None, prefix: str) -> None:
    state = OrderedDict((prefix + name, tensor) for name, tensor in STATE.items())
    content = state if wrapper is None else {"epoch": 3, "optimizer": {"state": [1]}, wrapper: state}
    torch.save(content, tmp_path / "net.bin", _use_new_zipfile_serialization=zipped)
    check(read(tmp_path / "net.bin"), "torch", STATE)


def test_a_prefix_of_some_is_kept(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(2), "b": torch.ones(2)}, tmp_path / "net.pth")
    assert list(read(tmp_path / "net.pth").tensors) == ["module.a", "b"]


def test_a_large_file_of_torch_stays_on_the_disk(tmp_path: Path) -> None:
    path, code = tmp_path / "large.pth", tmp_path / "read.py"
    torch.save({"a": torch.ones(30_000_000), "b": torch.ones(10)}, path)
    code.write_text(
        "import sys\nfrom pathlib import Path\nfrom salzoo.weight_files import read\n"
        "def used(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon'))\n"
        "before = used()\nfile = read(Path(sys.argv[1]))\nassert file.tensors['a'].shape == (30_000_000,)\n"
        "print(used() - before)\n"
    )
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says what memory is used")
    import subprocess

    grown = int(subprocess.run([sys.executable, code, path], check=True, capture_output=True, text=True).stdout)
    assert grown < 60_000  # kB; the file has 120,000


def test_a_program_of_torch_is_not_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"net/{name}", b"\x80\x02N.")
    with pytest.raises(WeightsError, match=r"net\.pt is a program \(TorchScript\), which is not run"):
        read(tmp_path / "net.pt")


class Net(torch.nn.Linear):
    """A module of the authors'."""


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_tensor_is_not_unpickled(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "net.pth"
    torch.save(Net(2, 2), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"net\.pth holds an object of \S*test_formats\.Net, and only tensors are"):
        read(path)
    torch.save({"state_dict": STATE, "best": np.float64(3)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"net\.pth holds an object of numpy\.\S+, and only tensors are read"):
        read(path)
    torch.save([torch.ones(2)], path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"net\.pth holds a list, not a state dict"):
        read(path)
    torch.save({"a": torch.ones(1).expand(1 << 40)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"net\.pth: a has 4,398,046,511,104 bytes, more than the file"):
        read(path)
    torch.save({"model": STATE}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"under 'model' it has a dict, not a tensor; .* state_dict and student_mod"):
        read(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save: Any) -> None:
    arrays = [RNG.normal(size=(2, k + 1)).astype("f4") for k in range(12)]
    save(tmp_path / "a.npz", *arrays)
    check(read(tmp_path / "a.npz"), "npz", {f"arr_{k}": array for k, array in enumerate(arrays)})
    shuffled = tmp_path / "b.npz"
    with zipfile.ZipFile(tmp_path / "a.npz") as old, zipfile.ZipFile(shuffled, "w") as new:
        for name in sorted(old.namelist()):  # arr_10 before arr_2, as a dict of Python 2 may have had it
            new.writestr(name, old.read(name))
    check(read(shuffled), "npz", {f"arr_{k}": array for k, array in enumerate(arrays)})
    save(tmp_path / "c.npz", w=KERNEL, b=np.asfortranarray(KERNEL[0]), x=BIAS.astype(">f4"))
    check(read(tmp_path / "c.npz"), "npz", {"w": KERNEL, "b": KERNEL[0], "x": BIAS})


def test_npz_of_python_2_on_windows(tmp_path: Path) -> None:
    """Whose sizes are long: NumPy reads them, and warns."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({KERNEL.shape[0]}L, {KERNEL[0].size}L), }}"
    header += " " * (-(len(header) + 11) % 16) + "\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("arr_0.npy", magic + header.encode() + KERNEL.astype("<f4").tobytes())
    check(read(tmp_path / "a.npz"), "npz", {"arr_0": KERNEL.astype("f4").reshape(KERNEL.shape[0], -1)})


def test_npz_with_objects_or_a_bomb(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.array([{}], object))
    with pytest.raises(WeightsError, match=r"a\.npz cannot be read as an \.npz file.*Python objects"):
        read(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", np.zeros(10_000_000))
    with pytest.raises(WeightsError, match=r"b\.npz unpacks to 80,000,\d+ bytes from .*which no archive of weights"):
        read(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", np.ones(3, complex))
    with pytest.raises(WeightsError, match="an array of complex128 is not of real numbers"):
        read(tmp_path / "c.npz")


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.pth")
    found = read(tmp_path / "a.pth")
    check(found, "safetensors", {name: STATE[name] for name in found.tensors})
    assert set(found.tensors) == set(STATE)


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(
    "options", [{}, {"legacy": True}, {"double": True}, {"packed": False}, {"legacy": True, "double": True}], ids=str
)
def test_caffe(tmp_path: Path, generation: int, options: dict[str, bool]) -> None:
    one = KERNEL[:1, :1]  # a deconvolution of one map: its leading axes are no padding
    dense = KERNEL.reshape(4, 18)
    layers = [
        ("conv1", "Convolution", [KERNEL, BIAS]),
        ("relu1", "ReLU", []),
        ("up", "Deconvolution", [one]),
        ("fc", "InnerProduct", [dense, BIAS]),
    ]
    path = tmp_path / "attention_final"
    path.write_bytes(writers.caffemodel(layers, generation=generation, **options))
    kind = "f8" if options.get("double") else "f4"
    expected = {"conv1.0": KERNEL, "conv1.1": BIAS, "up.0": one, "fc.0": dense, "fc.1": BIAS}
    check(read(path), "caffe", {name: each.astype(kind) for name, each in expected.items()})
    path.write_bytes(writers.caffemodel(layers, name="", generation=generation, **options))
    assert recognise(path) == "caffe"


def test_caffe_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(writers.caffemodel([("conv", "Convolution", [KERNEL])] * 2))
    with pytest.raises(WeightsError, match=r"the layer of conv\.0 is in it twice"):
        read(path)
    path.write_bytes(writers.caffemodel([("conv", "Convolution", [KERNEL])])[:-9])
    with pytest.raises(WeightsError, match=r"net\.caffemodel begins with .* Is the download complete"):
        read(path)
    blob = writers.block(7, writers.block(1, writers.varint(5))) + writers.block(5, BIAS.tobytes())
    layer = writers.block(1, "conv") + writers.block(7, blob)
    path.write_bytes(writers.block(100, layer))
    with pytest.raises(WeightsError, match=r"conv\.0 has 4 numbers, its shape is \[5\]"):
        read(path)
    path.write_bytes(writers.caffemodel([("relu", "ReLU", [])]))
    with pytest.raises(WeightsError, match="holds no weights"):
        read(path)


LAYERS = [
    ("input_1", []),
    ("convolution2d_7", [("convolution2d_7_W", KERNEL), ("convolution2d_7_b", BIAS)]),
    ("eltwise_1", [("param_0", BIAS[:2])]),
]


@pytest.mark.parametrize("layout", ["root", "model", "oldest"])
@pytest.mark.parametrize("texts", ["bytes", "str"])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"dtype": ">f4"}], ids=str)
def test_keras(tmp_path: Path, layout: str, texts: str, options: dict[str, Any]) -> None:
    writers.keras_hdf5(tmp_path / "weights.pkl", LAYERS, layout=layout, texts=texts, **options)
    names = (
        ("layer_1/param_0", "layer_1/param_1", "layer_2/param_0")
        if layout == "oldest"
        else ("convolution2d_7/convolution2d_7_W", "convolution2d_7/convolution2d_7_b", "eltwise_1/param_0")
    )
    check(read(tmp_path / "weights.pkl"), "keras", dict(zip(names, (KERNEL, BIAS, BIAS[:2]), strict=True)))


def test_keras_of_tensorflow(tmp_path: Path) -> None:
    layers = [("block1_conv1_fine", [("block1_conv1_fine/kernel:0", KERNEL)]), ("pool", [])]
    writers.keras_hdf5(tmp_path / "m.h5", layers)
    check(read(tmp_path / "m.h5"), "keras", {"block1_conv1_fine/block1_conv1_fine/kernel:0": KERNEL})


def test_hdf5_that_is_not_of_keras(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path, secret = tmp_path / "a.h5", tmp_path / "secret"
    with h5py.File(path, "w") as file:
        file["a"] = KERNEL
    with pytest.raises(WeightsError, match=r"a\.h5 cannot be read .*not of Keras: there is no attribute layer_names"):
        read(path)
    secret.write_bytes(bytes(16))
    for outside in ("external", "link", "soft"):
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [b"one"]
            layer = file.create_group("one")
            layer.attrs["weight_names"] = [b"w"]
            if outside == "external":
                layer.create_dataset("w", (4,), "f4", external=[(str(secret), 0, 16)])
            else:
                layer["w"] = h5py.ExternalLink("b.h5", "/w") if outside == "link" else h5py.SoftLink("/one")
        with pytest.raises(WeightsError, match=r"there is no w in /one|w in /one is no dataset of this file"):
            read(path)


def test_hdf5_that_asks_for_memory(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    for options in ({}, {"chunks": (1 << 20,), "compression": "gzip"}):
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"], layer = [b"one"], file.create_group("one")
            layer.attrs["weight_names"] = [b"w"]
            layer.create_dataset("w", (1 << 40,), "f4", **options)  # of which nothing was ever written
        with pytest.raises(WeightsError, match="its packed arrays have more than 1073741824 bytes"):
            read(path)
    with h5py.File(path, "w") as file:
        one = file.create_dataset("w", data=np.ones(1 << 16))
        file.attrs["layer_names"] = [f"l{k}".encode() for k in range(100)]
        for k in range(100):
            layer = file.create_group(f"l{k}")
            layer["w"] = one  # the same bytes under every name
            layer.attrs["weight_names"] = [b"w"]
    with pytest.raises(WeightsError, match="its arrays have more than twice the file's"):
        read(path)


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writers.keras_hdf5(tmp_path / "a.pkl", LAYERS)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"a\.pkl is HDF5 \(Keras\), which h5py reads: pip install 'salzoo\[hdf5\]'"):
        read(tmp_path / "a.pkl")


def test_text(tmp_path: Path) -> None:
    path, values = tmp_path / "svm-slm", np.arange(-36, 36) / 64  # without rounding in decimals
    for labels, sign in (((1, 0), 1), ((0, 1), -1)):
        path.write_text(writers.liblinear(values, labels=labels))
        check(read(path), "text", {"svm": sign * values})
    path.write_text(writers.liblinear(values, bias=0.5))
    check(read(path), "text", {"svm": values, "bias": np.array([0.5])})
    path.write_text(writers.liblinear(values).replace("nr_feature 72", "nr_feature 73"))
    with pytest.raises(WeightsError, match="it has 72 weights, and says 73 features"):
        read(path)
    path.write_text(writers.table([values, values**2]))
    check(read(path), "text", {"column.0": values, "column.1": values**2})
    path.write_text("1 2\n3\n")
    with pytest.raises(WeightsError, match="row 2 has 1 numbers, the first one 2"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: download it again"),
        (b"<!DOCTYPE html><html>Google Drive can't scan this file", "is a web page, not the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"\x93NUMPY\x01\x00", "one array of NumPy"),
        (b"\x1f\x8b\x08\x00", r"an archive \(gzip\): unpack it"),
        (b"MATLAB 5.0 MAT-file", "a MATLAB file"),
        (b'name: "deep_net"\nlayer {', r"description of a network \(\.prototxt\): give its weights"),
        (bytes(300), "begins with .* none of the formats that are read"),
        (b"hello world, this is a poem\n", "begins with .* none of the formats that are read"),
    ],
)
def test_what_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        recognise(path)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "n" * 2000, "\u202eb"], ids=ascii)
def test_names_that_would_spoil_a_terminal(tmp_path: Path, name: str) -> None:
    torch.save({name: torch.ones(2)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="which is no name that a network") as caught:
        read(tmp_path / "net.pth")
    assert str(caught.value).isprintable()


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"there is no file .*net\.pth"):
        read(tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="is a folder: give the file of weights in it"):
        read(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(WeightsError, match=r"is a folder: give saved_model\.pb in it"):
        read(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("model_salicon_cpu.pb", b"1")
    with pytest.raises(WeightsError, match=r"an archive \(zip\) of model_salicon_cpu\.pb: unpack it"):
        read(tmp_path / "a.zip")


@real
def test_the_release_of_edn() -> None:
    svm, whitening = read(REAL / "edn/svm-slm-cntr").tensors, read(REAL / "edn/whiten-slm-cntr").tensors
    assert {name: tuple(tensor.shape) for name, tensor in svm.items()} == {"svm": (833,)}
    assert [tuple(tensor.shape) for tensor in whitening.values()] == [(833,), (833,)]
    assert svm["svm"][0].item() == -0.344071907726063664
    assert whitening["column.0"][0].item() == 0.42626342492814
    assert len(read(REAL / "edn/svm-slm").tensors["svm"]) == 832
