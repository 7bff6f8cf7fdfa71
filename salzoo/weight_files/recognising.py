"""What a file is, from its first bytes: two Keras files in use are called `.pkl`, and one caffemodel has no suffix."""

from __future__ import annotations

import zipfile
from pathlib import Path

from salzoo.errors import WeightsError
from salzoo.weight_files import caffe, python_pickle, tensorflow, tensorflow_checkpoint, text, tflite

_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled

_OTHERS = (
    (b"\x93NUMPY", "one array of NumPy (.npy), which is no network; a centre bias is given as --centre-bias"),
    (b"\x1f\x8b", "an archive (gzip): unpack it, and give the file of weights inside"),
    (b"BZh", "an archive (bzip2): unpack it, and give the file of weights inside"),
    (b"\xfd7zXZ", "an archive (xz): unpack it, and give the file of weights inside"),
    (b"7z\xbc\xaf", "an archive (7z): unpack it, and give the file of weights inside"),
    (b"Rar!", "an archive (rar): unpack it, and give the file of weights inside"),
    (b"version https://git-lfs", "only a pointer of Git LFS: fetch the file itself with `git lfs pull`"),
    (b"name: ", "Caffe's description of a network (.prototxt): give its weights, the .caffemodel"),
    (b"input: ", "Caffe's description of a network (.prototxt): give its weights, the .caffemodel"),
    (b"MATLAB ", "a MATLAB file, and none of the authors' weights that are read is one"),
)


def recognise(path: Path) -> str:
    """Return the format of a file: a key of `READERS`.

    Raises:
        WeightsError: If it is of none, or empty.
        OSError: If it cannot be read.
    """
    if path.is_dir():
        inside = "saved_model.pb" if (path / "saved_model.pb").is_file() else "the file of weights"
        raise WeightsError(f"{path} is a folder: give {inside} in it")
    if tensorflow_checkpoint.index_of(path):
        return "tensorflow-checkpoint"
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path} is a pipe or a device: give a file, which can be read twice")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise WeightsError(f"{path} is empty: download it again")
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise WeightsError(f"{path} is {what}")
    if head.lstrip()[:100].lower().startswith((b"<!doctype html", b"<html")):
        raise WeightsError(f"{path} is a web page, not the file: download it again, in a browser")
    if head[257:262] == b"ustar":
        raise WeightsError(f"{path} is an archive (tar): unpack it, and give the file of weights inside")
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head.startswith(_TORCH_LEGACY):
        return "torch"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    if head[4:8] == tflite.MAGIC:
        return "tflite"
    if _is_safetensors(head, path.stat().st_size):
        return "safetensors"
    if python_pickle.recognises(head):
        return "pickle"
    if tensorflow.recognises(path):
        return "tensorflow"
    if caffe.recognises(path):
        return "caffe"
    if text.recognises(head):
        return "text"
    raise WeightsError(
        f"{path} begins with {head[:8]!r}, which is none of the formats that are read: PyTorch, NumPy's .npz, Keras' "
        "HDF5, Caffe, TensorFlow, TensorFlow Lite, a pickle of Python, safetensors, and text. Is the download complete?"
    )


def _archive(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    inside = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
    raise WeightsError(f"{path} is an archive (zip) of {inside}: unpack it, and give the file of weights inside")


def _is_safetensors(head: bytes, size: int) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8
