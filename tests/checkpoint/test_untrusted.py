"""A checkpoint from a stranger costs nothing before it is believed, and what loads also predicts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import salzoo
from salzoo._io import hash_file
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.errors import WeightsError
from salzoo.registry import shipped_checkpoint

IMAGE = np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a config as an attacker would, without salzoo."""
    content = json.loads((folder / CONFIG).read_text())
    change(content)
    (folder / CONFIG).write_text(json.dumps(content))


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Change tensors, with the right sum."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    edit(folder, lambda c: c.update(sha256=hash_file(folder / WEIGHTS)))


def first(tensors: dict[str, Tensor]) -> str:
    return next(name for name, tensor in tensors.items() if tensor.ndim == 4 and "weight" in name)


def put(value: float) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors[first(tensors)].view(-1)[-1:].fill_(value)


def cast(kind: torch.dtype) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors.update({first(tensors): tensors[first(tensors)].to(kind)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(float("nan")), r"weight is not finite\."),
        (put(float("-inf")), r"weight is not finite\."),
        (cast(torch.int64), r"weight is of type I64, accepted is F16 or BF16 or F32 or F64\."),
        (cast(torch.bool), "weight is of type BOOL, accepted is F16"),
        (cast(torch.complex64), "weight is of type C64, accepted is F16"),
        (
            lambda t: t.update({k: v.float() for k, v in t.items() if "num_batches" in k}),
            "of type F32, accepted is I64",
        ),
        (
            lambda t: [v.fill_(-1) for k, v in t.items() if k.endswith("running_var")],
            "a network that does not predict: ",
        ),
        (lambda t: [v.zero_() for k, v in t.items() if k.endswith(".std")], "a network that does not predict: "),
    ],
)
def test_tensors_that_are_not_what_they_should_be(
    tiny_checkpoint: Path, change: Callable[[dict[str, Tensor]], object], words: str
) -> None:
    rewrite(tiny_checkpoint, change)
    with pytest.raises(WeightsError, match=words):
        salzoo.load(tiny_checkpoint)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_type_becomes_that_of_the_network(tiny_checkpoint: Path, kind: torch.dtype) -> None:
    rewrite(tiny_checkpoint, lambda t: t.update({k: v.to(kind) for k, v in t.items() if v.is_floating_point()}))
    assert {t.dtype for t in salzoo.load(tiny_checkpoint).network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a safetensors file: at most 1,048,576 bytes of header"),
        ((1 << 40).to_bytes(8, "little"), "not a safetensors file: at most 1,048,576 bytes of header"),
        ((60_000).to_bytes(8, "little") + b"[" * 60_000, "its header cannot be read"),
        ((2).to_bytes(8, "little") + b"[]", "its header cannot be read"),
        ((7).to_bytes(8, "little") + b'{"a":1}', "its header cannot be read"),
        (None, "it has [0-9,]+ bytes, but its header describes"),
    ],
)
def test_files_that_are_no_safetensors(tiny_checkpoint: Path, content: bytes | None, words: str) -> None:
    path = tiny_checkpoint / WEIGHTS
    path.write_bytes(path.read_bytes() + b"more" if content is None else content)
    edit(tiny_checkpoint, lambda c: c.update(sha256=hash_file(path)))
    with pytest.raises(WeightsError, match=words):
        salzoo.load(tiny_checkpoint)


def test_what_is_hashed_is_what_is_parsed(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can put another file there in between: the bytes of the sum are those of the tensors."""
    opened, own = [], Path.open

    def note(path: Path, *words: Any, **options: Any) -> Any:
        file = own(path, *words, **options)
        if path.name == WEIGHTS:
            opened.append(file)
            if len(opened) == 2:  # the first was only the header's
                path.rename(path.with_name("moved"))
        return file

    expected = salzoo.load(tiny_checkpoint).predict(IMAGE).density
    monkeypatch.setattr(Path, "open", note)
    assert np.array_equal(salzoo.load(tiny_checkpoint).predict(IMAGE).density, expected)


def bomb() -> str:
    lines = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "{a0: &a0 [x], " + ", ".join(lines) + "}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["provenance"].update(data=["osie"]), "got 'osie', expected a set and its split, as osie:train"),
        (
            lambda c: c["provenance"]["recipe"].update(training={"loss": bomb()}),
            "the criterion '{a0.*' is not accepted",
        ),
        (lambda c: c["provenance"]["recipe"].update(training={"loss": "{"}), "the criterion '{' is not accepted"),
        (
            lambda c: c["provenance"]["recipe"].update(training={"loss": {"kl": "x" * 9999}}),
            r"loss.kl: got 'x{30,}\.\.\.x{30,}'",
        ),
        (lambda c: c["provenance"]["recipe"].update(training={"lr": "x"}), "training.lr: got 'x'"),
        (lambda c: c["network"].update(hidden=[2] * 2000), "2,000 items; at most 1,000"),
        (lambda c: c["network"].update(hidden="x" * 20_000), "20,000 characters"),
        (lambda c: c["network"].update(dropout=float("nan")), "dropout: got nan, expected a finite number"),
        (lambda c: c["network"].update(stride=10**400), "stride: got 1000.*expected a finite number"),
        (lambda c: c["network"].update(backbone="test_efficient"), "has no model 'test_efficient'; near"),
        (lambda c: c.update(network=json.loads("[" * 50 + "]" * 50)), "nested in more than 12 levels"),
        (lambda c: c.update(tag=["b"] * 5000), r"tag: got \['b', .*\.\.\.\]"),
    ],
)
def test_configs(tiny_checkpoint: Path, change: Callable[[dict[str, Any]], object], words: str) -> None:
    edit(tiny_checkpoint, change)
    with pytest.raises(WeightsError, match=words) as raised:
        salzoo.load(tiny_checkpoint)
    assert len(str(raised.value)) < 1500


LIMITED = """
import resource, sys, json
import salzoo, torch
from salzoo.errors import WeightsError
torch.set_num_threads(1)
for folder in sys.argv[1:]:
    if folder == sys.argv[1]:
        salzoo.load("juntingnet")  # imports
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        salzoo.load(folder)
        print("loaded", end=" ")
    except WeightsError as error:
        print("refused", end=" ")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""


def test_a_hostile_config_costs_no_memory(tmp_path: Path) -> None:
    """Sizes that the weights do not have are refused before a tensor of them exists."""
    changes: dict[str, dict[str, Any]] = {
        "centre_bias": {"grid": [20_000, 20_000]},
        "iseel": {"hidden": 1_000_000},
        "deepgaze2": {"backbone": "vit_giant_patch14_dinov2", "feature_nodes": ["blocks.1"]},
        "deepgaze2e": {"backbones": ["tf_efficientnet_lite0"] * 900, "feature_nodes": [["blocks.2"]] * 900},
        "salnet": {"column": [1 << 14] * 5},
    }
    folders = []
    for name, network in changes.items():
        folder = tmp_path / name
        folder.mkdir()
        source = shipped_checkpoint(name, "lite")
        assert source is not None
        (folder / WEIGHTS).symlink_to(source / WEIGHTS)
        content = json.loads((source / CONFIG).read_text())
        content["network"].update(network)
        (folder / CONFIG).write_text(json.dumps(content))
        folders.append(str(folder))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *folders],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["refused"] * len(changes)
    assert max(int(line[1]) for line in lines) < 200_000, done.stdout  # kilobytes; the grid alone would take 1.6 GB
