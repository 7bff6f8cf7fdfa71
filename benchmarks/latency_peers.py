"""How long the authors' own networks take for one image of 600 x 800, beside this zoo's, and what they consist of.

    python benchmarks/latency_peers.py --peers DIR [unisal] [transalnet] [deepgaze2e] [--only time size]

DIR has the authors' repositories; nothing of them is part of this one. The commits that were measured, and what their
modules import beyond torch and torchvision:

    git clone https://github.com/rdroste/unisal && git -C unisal checkout 0440df77f6fb
    git clone https://github.com/LJOVO/TranSalNet && git -C TranSalNet checkout a2aba83e3b8f
    git clone https://github.com/matthias-k/DeepGaze && git -C DeepGaze checkout c87b106e8698
    pip install opencv-python-headless pandas scikit-image

Every row gets the same uint8 picture and returns a map of its size, by the steps of the authors' test code, without
files. Their weights, and those of the `paper` variants, are random: what constructors would read or download is left
out, which changes no operation. Denormal numbers, which random weights lead to, count as zero, and all rows have the
setting of memory that the `salzoo` command has.

`time`: milliseconds on one and on all threads, as the median of 5 rounds, the fastest and the slowest; all rows take
turns. A quiet machine is wanted. `size`: what the network is given; GFLOP of convolutions and matrix products; millions
of parameters; and the peak memory of a fresh process that makes the network and predicts, above its peak after the
imports (Linux). With names, the other rows keep what was found of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
import torchvision
from latency import Subject, before, checkpoint, gigaflop, image, measure
from record import record
from torch import nn

from salzoo._malloc import keep_memory

ROUNDS, WARM = 5, 1
RESULT = "latency_peers"
IMPORTS = ("cv2", "pandas", "skimage.io")
"""What the authors' modules import."""
Makers = dict[str, Callable[[], Subject]]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; none for all")
    parser.add_argument("--peers", required=True, type=Path, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--fresh", metavar="ROW", help=argparse.SUPPRESS)  # the process whose memory is measured
    arguments = parser.parse_args(words)
    names = arguments.names or list(PEERS)
    if unknown := [name for name in names if name not in PEERS]:
        parser.error(f"NAME={unknown[0]!r} is not accepted: one of {', '.join(PEERS)}.")
    folders = {PEERS[name].title: arguments.peers / PEERS[name].folder for name in names}
    if missing := [folder for folder in folders.values() if not (folder / ".git").exists()]:
        parser.error(f"--peers: {missing[0]} is no clone of the authors' repository; --help has the commands.")
    for name in IMPORTS:  # before any memory is measured
        importlib.import_module(name)
    keep_memory()  # as the command does
    torch.set_flush_denormal(True)
    makers = {title: make for name in names for title, make in rows(PEERS[name], arguments.peers).items()}
    if arguments.fresh:
        print(json.dumps(size(makers[arguments.fresh])))
        return
    about = {"checkouts": {title: head(folder) for title, folder in folders.items()}}
    for part in arguments.only:
        kept = before(part, RESULT) if arguments.names else {}
        about["checkouts"] = kept.get("checkouts", {}) | about["checkouts"]
        found = PARTS[part](makers, arguments.peers)
        record(RESULT, part, {**found, **about, "rows": kept.get("rows", {}) | found["rows"]})


def times(makers: Makers, _: Path) -> dict[str, Any]:
    """Return milliseconds of each row: median, least and most."""
    picture, subjects = image(), {title: make() for title, make in makers.items()}
    found: dict[str, Any] = {title: {} for title in subjects}
    most = torch.get_num_threads()
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        spent: dict[str, list[float]] = {title: [] for title in subjects}
        for _ in range(WARM + ROUNDS):
            for title, subject in subjects.items():
                spent[title].append(milliseconds(subject, picture))
        for title, each in spent.items():
            counted = each[WARM:]
            middle = statistics.median(counted)
            found[title][f"{threads} threads"] = [round(ms, 1) for ms in (middle, min(counted), max(counted))]
    return {"threads": most, "rows": found}


def milliseconds(subject: Subject, picture: np.ndarray) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        subject.predict(picture)
    return 1000 * (time.perf_counter() - start)


def sizes(makers: Makers, directory: Path) -> dict[str, Any]:
    """Return what `size` finds of each row in a process of its own, and the median of the peak after the imports."""
    found = {}
    for title in makers:
        words = [sys.executable, __file__, "--peers", str(directory), "--fresh", title]
        found[title] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
    imports = statistics.median(row.pop("imports") for row in found.values())
    return {"imports_mb": round(imports), "rows": found}


def size(make: Callable[[], Subject]) -> dict[str, Any]:
    """Return peak memory and parameters as `latency.measure` does, the network's input and its GFLOP."""
    subject, found = measure(make)
    shapes: list[torch.Size] = []
    subject.network.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    return {**found, "gflop": gigaflop(subject), "input": list(shapes[0][-2:])}


class Peer(NamedTuple):
    """A network of its authors, and those of the zoo that it is seen beside.

    Attributes:
        title: As the table has it.
        folder: Of its clone.
        build: From the clone to a network and a function from picture to map.
        ours: Names, each with what `salzoo.load` takes for it.
    """

    title: str
    folder: str
    build: Callable[[Path], tuple[nn.Module, Callable[[np.ndarray], Any]]]
    ours: dict[str, dict[str, Any]]


def rows(peer: Peer, directory: Path) -> Makers:
    """Return what makes the peer and those beside it."""
    ours = {name: partial(checkpoint, name, **options) for name, options in peer.ours.items()}
    return {peer.title: partial(theirs, peer, directory), **ours}


def theirs(peer: Peer, directory: Path) -> Subject:
    with random_weights():
        network, predict = peer.build(directory / peer.folder)
    network.eval()
    return Subject(network, predict, predict)


@contextmanager
def random_weights() -> Iterator[None]:
    """Leave networks the weights that they begin with, whatever their constructors read, download and load."""
    nothing = {"state_dict": {}}
    with (
        patch("torch.load", return_value=nothing),
        patch("torch.utils.model_zoo.load_url", return_value=nothing),
        patch("torch.hub.load", lambda _, name, **options: getattr(torchvision.models, name)()),
        patch.object(nn.Module, "load_state_dict"),
    ):
        yield


def module(checkout: Path, name: str) -> Any:
    """Import a module of a clone, without the `__init__` of its package, which would import all of training."""
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    package, dot, _ = name.partition(".")
    if dot and package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(checkout / package)]
    return importlib.import_module(name)


def unisal(checkout: Path) -> tuple[nn.Module, Callable[[np.ndarray], Any]]:
    """As `Trainer.generate_predictions_from_path` for images."""
    data, network = module(checkout, "unisal.data"), module(checkout, "unisal.model").UNISAL()
    folder = data.FolderImageDataset(checkout / "no images")

    def predict(picture: np.ndarray) -> Any:
        size = picture.shape[:2]
        frames = folder.preprocess(picture, data.get_optimal_out_size(size))[None, None]
        return network(frames, target_size=size, source="SALICON", static=True).exp().squeeze().numpy()

    return network, predict


def transalnet(checkout: Path) -> tuple[nn.Module, Callable[[np.ndarray], Any]]:
    """As testing.ipynb with TranSalNet_Res; the map is of eight bits."""
    data, network = module(checkout, "utils.data_process"), module(checkout, "TranSalNet_Res").TranSalNet()
    data.cv2 = SimpleNamespace(imread=lambda picture, *_: picture, resize=data.cv2.resize)  # pictures, not their paths
    to_picture = torchvision.transforms.ToPILImage()

    def predict(picture: np.ndarray) -> Any:
        pixels = data.preprocess_img(picture) / 255.0
        planes = torch.from_numpy(pixels.transpose(2, 0, 1)[None]).float()
        return data.postprocess_img(to_picture(network(planes).squeeze()), picture)

    return network, predict


def deepgaze2e(checkout: Path) -> tuple[nn.Module, Callable[[np.ndarray], Any]]:
    """As README.md, with its uniform centre bias."""
    network = module(checkout, "deepgaze_pytorch.deepgaze2e").DeepGazeIIE()

    def predict(picture: np.ndarray) -> Any:
        height, width = picture.shape[:2]
        centre_bias = torch.tensor(np.full((1, height, width), -math.log(height * width)))
        return network(torch.tensor(picture.transpose(2, 0, 1)[None]), centre_bias).exp().squeeze().numpy()

    return network, predict


def head(folder: Path) -> str:
    """Return the commit of a clone."""
    words = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, encoding="ascii").stdout.strip()


UNTRAINED: dict[str, Any] = {"weights": None}
PEERS = {
    "unisal": Peer("UNISAL", "unisal", unisal, {"unisal.lite": {}, "unisal.paper": UNTRAINED}),
    "transalnet": Peer(
        "TranSalNet_Res", "TranSalNet", transalnet, {"transalnet.lite": {}, "transalnet.paper": UNTRAINED}
    ),
    "deepgaze2e": Peer(
        "DeepGaze IIE",
        "DeepGaze",
        deepgaze2e,
        {"deepgaze2e.lite": {}, "deepgaze2e.paper": {**UNTRAINED, "preprocess": {"size": [600, 800]}}},
    ),
}
"""By the model that each is the origin of; `paper` variants get what the authors' test code gives their network."""
PARTS: dict[str, Callable[[Makers, Path], dict[str, Any]]] = {"time": times, "size": sizes}

if __name__ == "__main__":
    main()
