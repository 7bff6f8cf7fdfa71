"""DeepGaze IIE: `deepgaze2e.pth` by formula, imported, says what the authors' code says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from importing import deepgaze, faults, formula

import salzoo
from salzoo.checkpoint.loading import build
from salzoo.checkpoint.missing import not_imported
from salzoo.components.saliency_model import SaliencyModel
from salzoo.importing.maps.deepgaze2e import convert
from salzoo.importing.source import Files, Options, Source
from salzoo.registry import read_spec
from salzoo.weight_files import WeightFile, read

GOLDEN = formula.read_golden("deepgaze2e")
UNKNOWN = "ignore:.*is not the file of deepgaze2e:salzoo.errors.SalzooWarning"
MOST = 2_200_000_000
"""Bytes of memory an import may take at its worst: 1.84 to 2.09 GB from run to run, .42 more with one copy more."""


def cases(start: str) -> list[str]:
    return [key for key in GOLDEN if key.startswith(start)]


def network(members: int, components: int) -> SaliencyModel:
    """Return the release's network on the meta device, with as many backbones and components."""
    spec = read_spec("deepgaze2e")
    options = dict(spec.authors[0].network)
    options |= {key: options[key][:members] for key in ("backbones", "feature_nodes")} | {"components": components}
    with torch.device("meta"):
        return build(spec, "paper", options, spec.authors[0].preprocess)


def test_every_tensor_has_its_place() -> None:
    """All 5,461, without their values: each of ours is filled once and in its shape, each of theirs used or left."""
    with torch.device("meta"):
        theirs = {name: torch.empty(shape) for name, shape in deepgaze.deepgaze2e().items()}
    assert len(theirs) == 5461
    files = Files([Source(WeightFile(Path("deepgaze2e.pth"), "torch", theirs))])
    pairs = list(convert(files, "deepgaze2e", Options()))
    own = network(4, 30).network.state_dict()
    assert sorted(name for name, _ in pairs) == sorted(own)
    assert [(name, tensor.shape) for name, tensor in pairs] == [(name, own[name].shape) for name, _ in pairs]
    assert not files.left()
    assert len(theirs) - (len(pairs) - 1) == 118, "what comes after the last features, and nothing else"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, SaliencyModel]:
    """Return a network of two backbones and two components with the uniform density, and one with the template."""
    shapes = deepgaze.deepgaze2e(range(2), 2)
    path = deepgaze.write(deepgaze.values(shapes), tmp_path_factory.mktemp("deepgaze2e") / "deepgaze2e.pth")
    models = {}
    for template in (False, True):
        models[template] = network(2, 2)
        options = Options(deepgaze.centre_bias() if template else None)
        tensors = dict(convert(Files([Source(read(path))]), "deepgaze2e", options))
        models[template].network.load_state_dict(tensors, assign=True)
        models[template].eval()
    return models


@pytest.mark.parametrize("case", cases("small"))
def test_says_what_the_authors_network_says(small: dict[bool, SaliencyModel], case: str) -> None:
    """On sides that are odd, too, where EfficientNet's padding is that of its native size."""
    np.testing.assert_allclose(deepgaze.say(small[", uniform" not in case], case), GOLDEN[case], atol=1e-4)


def test_one_norm_upside_down_is_noticed(small: dict[bool, SaliencyModel]) -> None:
    weight, case = small[True].network.state_dict()["members.0.components.0.norms.1.weight"], cases("small")[0]
    kept = weight.clone()
    try:
        weight.copy_(kept.flip(0))
        assert np.abs(np.array(deepgaze.say(small[True], case)) - GOLDEN[case]).max() > 1e-3
    finally:
        weight.copy_(kept)


def test_before_the_import_the_centre_bias_is_named() -> None:
    """Without it the map is another, and the file is not among the release's own."""
    spec = read_spec("deepgaze2e")
    told = str(not_imported(spec))
    assert "from https://github.com/matthias-k/DeepGaze/releases/download/v1.0.0/centerbias_mit1003.npy" in told
    assert "Then: salzoo import deepgaze2e deepgaze2e.pth --centre-bias centerbias_mit1003.npy" in told
    assert "licence none stated: " in told
    assert "centerbias" not in str(not_imported(read_spec("salgan")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of the size of the authors'."""
    folder = tmp_path_factory.mktemp("deepgaze2e")
    np.save(folder / "centre.npy", deepgaze.centre_bias())
    return deepgaze.write(deepgaze.values(deepgaze.deepgaze2e()), folder / "deepgaze2e.pth")


IMPORT = """
import json, re, resource, sys, warnings
from pathlib import Path
import salzoo
warnings.simplefilter("ignore")
lines = []
salzoo.import_weights("deepgaze2e", sys.argv[1], sys.argv[2], centre_bias=sys.argv[3], report=lines.append)
if sys.platform == "linux":  # where ru_maxrss begins with what the parent had
    used = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
else:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"lines": lines, "bytes": used}))
"""


@pytest.mark.slow
def test_the_whole_file_is_imported_in_little_memory(whole: Path, tmp_path: Path) -> None:
    """What is in memory at worst, and that it says the whole time what it does; then what the network says."""
    words = [sys.executable, "-c", IMPORT, str(whole), str(tmp_path / "made"), str(whole.parent / "centre.npy")]
    told = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
    print(told)
    assert told["bytes"] < MOST
    assert [line.split()[0] for line in told["lines"]][:1] == ["reading"]
    assert len(told["lines"]) >= 4
    model = salzoo.load(tmp_path / "made")
    for case in cases("whole"):
        if "uniform" not in case:
            np.testing.assert_allclose(deepgaze.say(model, case), GOLDEN[case], atol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings(UNKNOWN)
@faults.every_kind
def test_refuses(kind: str, tmp_path: Path) -> None:
    def write(tensors: faults.Tensors, folder: Path) -> list[Path]:
        return [deepgaze.write(tensors, folder / "deepgaze2e.pth")]

    tensors = deepgaze.values(deepgaze.deepgaze2e())
    faults.check(kind, "deepgaze2e", tensors, write, tmp_path, victim="models.3.saliency_networks.29.conv1.weight")
