"""Models of a package of the user's own, found by its entry points: from `pip install` to the Hub and back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub.scenes import spawn
from loopback_hub import LoopbackHub

import salzoo
from salzoo import SaliencyModel, registry
from salzoo.errors import SpecError, WeightsError

ROOT = Path(__file__).parents[2]

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "sightlab"
version = "0.1"

[project.entry-points."salzoo.models"]
narrow = "sightlab"
strided = "sightlab"
fixed = "sightlab.more"
"""

CODE = '''
from salzoo import Preprocess, SaliencyModel, losses
from torch import nn


class NarrowNetwork(nn.Sequential):
    """As those of the zoo: the model names it, and takes its arguments."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))


class Narrow(SaliencyModel):
    network_class = NarrowNetwork
    default_preprocess = Preprocess((32, 48))

    def default_loss(self, logits, batch):
        return losses.get("nll")(self.to_log_density(logits), batch)


class Strided(SaliencyModel):
    """A constructor of its own, and logits at half of the input's size."""

    def __init__(self, width: int = 8, preprocess: Preprocess | None = None) -> None:
        super().__init__(preprocess or Preprocess((32, 48)))
        self.network = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def default_loss(self, logits, batch):
        return losses.get({"kl": 1.0, "cc": -0.5})(self.to_log_density(logits), batch)


class Fixed(Strided):
    """Its constructor leaves nobody a choice of the input's size."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(width, Preprocess((40, 40), "pad"))
'''

SPEC = """
class_path: sightlab.models.{name}
summary: A model of somebody's own.
training: gradient
default: lab
variants:
  lab:
    summary: Six channels.
    network: {{width: 6}}
    recipe: {{training: {{lr: 1.0e-2}}, trainer: {{max_epochs: 1}}, data: {{sets: [osie], batch_size: 4}}}}
"""

PLACES = {"narrow": "sightlab", "strided": "sightlab", "fixed": "sightlab/more"}

LIFE = """
import sys, numpy as np, torch, salzoo
from pathlib import Path
from salzoo import SaliencyModel
from salzoo.checkpoint import card
from salzoo.cli import main
from hub.scenes import PICTURE, ROW

torch.set_num_threads(1)
quiet = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

def live(name, data, run):
    assert main(["list", name]) == 0
    assert main(["fit", name, "--data", "osie", "--root", data, "-o", str(run), "--license", "mit", *quiet]) == 0
    card.record(run / f"{name}.lab", [ROW])
    model = salzoo.load(run / f"{name}.lab")
    assert model.config.network["width"] == 6 and model.training_config.lr == 1e-2, model.config
    last = SaliencyModel.load_from_checkpoint(run / "checkpoints/last.ckpt")
    own = type(model).load_from_checkpoint(run / "checkpoints/last.ckpt", lr=0.5)
    assert (last.training_config.lr, own.training_config.lr) == (1e-2, 0.5)
    model.push_to_hub(f"ana/{name}")
    again = SaliencyModel.from_pretrained(f"ana/{name}")
    assert type(again) is type(model) and again.config == model.config, again.config
    maps = {"folder": model, "last": last, "own": own, "hub": again, "untrained": salzoo.load(name, weights=None)}
    logits = {f"{key}_logits": m(m.transform(PICTURE)[None]).detach() for key, m in maps.items()}
    np.savez(run / "maps.npz", **{key: m.predict(PICTURE).density for key, m in maps.items()}, **logits)

for name in sys.argv[3:]:
    live(name, sys.argv[1], Path(sys.argv[2], name))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package into a folder, by pip and without a network."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "sightlab/more").mkdir(parents=True)
    (source / "sightlab/__init__.py").touch()
    (source / "sightlab/more/__init__.py").touch()
    (source / "sightlab/models.py").write_text(CODE)
    for name, place in PLACES.items():
        (source / place / f"{name}.yaml").write_text(SPEC.format(name=name.title()))
        (source / place / f"{name}.md").write_text(f"## Limits\nThe limits of {name}.\n")
    alone = ("--no-deps", "--no-index", "--no-build-isolation", "--no-compile")
    install = [sys.executable, "-m", "pip", "install", "--quiet", *alone, "--target", str(site), str(source)]
    subprocess.run(install, check=True, capture_output=True)
    return site


def test_the_life_of_models_of_ones_own(site: Path, tiny_data: Path, loopback: LoopbackHub, tmp_path: Path) -> None:
    """Listed, trained by their recipes, loaded, published and loaded again, in one process that has the package."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests", site)))
    job = spawn(loopback, tmp_path / "home", LIFE, str(tiny_data), str(tmp_path), *PLACES, PYTHONPATH=path)
    output, errors = job.communicate(timeout=600)
    assert job.returncode == 0, output + errors
    shapes = {"narrow": (32, 48), "strided": (16, 24), "fixed": (20, 20)}
    for name in PLACES:
        assert f"{name}  A model of somebody's own." in output
        with np.load(tmp_path / name / "maps.npz") as file:
            maps = dict(file)
        np.testing.assert_array_equal(maps["hub"], maps["folder"])
        np.testing.assert_array_equal(maps["own"], maps["last"])
        np.testing.assert_allclose(maps["folder"], maps["last"], rtol=1e-2)  # the folder has half precision
        assert not np.allclose(maps["folder"], maps["untrained"], rtol=1e-2)
        assert maps["hub_logits"].shape == (1, 1, *shapes[name])
        repo = loopback.repos[f"ana/{name}"]
        assert f"The limits of {name}." in repo.commits[repo.branches["main"]].files["README.md"].decode()
        _tell_what_to_install(name, tmp_path / name, loopback)


def _tell_what_to_install(name: str, run: Path, loopback: LoopbackHub) -> None:
    """In this process, which does not have the package."""
    loopback.requests.clear()
    assert name not in salzoo.list_models()
    for load, source in (
        (salzoo.load, run / f"{name}.lab"),
        (SaliencyModel.from_pretrained, f"ana/{name}"),
        (SaliencyModel.load_from_checkpoint, run / "checkpoints/last.ckpt"),
    ):
        with pytest.raises(WeightsError, match=f": its config names the model {name!r}, .* install that package, or"):
            load(source)  # type: ignore[operator]
    assert not loopback.asked("GET", "/_lfs/")


# Packages that are not what they say.


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder on the path with an installed package `lab`, which has nothing yet."""
    (tmp_path / "lab-1.dist-info").mkdir()
    (tmp_path / "lab-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1\n")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    registry._forget()
    yield tmp_path
    monkeypatch.undo()
    sys.modules.pop("lab", None)
    registry._forget()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("view = lab", "the package lab has no view.yaml"),
        ("view = gone", "the package gone has no view.yaml"),
        ("view = gone.models", "the package gone.models has no view.yaml"),
        ("view = lab:View", "the package lab:View has no view.yaml"),
        ("salgan = lab", "that name is taken"),
    ],
)
def test_what_is_wrong_with_a_package_is_told_and_leaves_the_zoo_whole(broken: Path, entry: str, why: str) -> None:
    (broken / "lab/salgan.yaml").write_text(SPEC.format(name="View"))
    (broken / "lab-1.dist-info/entry_points.txt").write_text(f"[salzoo.models]\n{entry}\n")
    with pytest.warns(UserWarning, match=f"The model '{entry.split()[0]}' of '.*' is left out: {why}"):
        names = salzoo.list_models()
    assert "view" not in names
    assert registry.read_spec("salgan").class_path == "salzoo.models.salgan.SalGAN"


@pytest.mark.parametrize("path", ["lab.models.View", "lab.View", "View"])
def test_a_class_that_is_not_there_is_told(broken: Path, path: str) -> None:
    (broken / "lab/view.yaml").write_text(SPEC.format(name="View").replace("sightlab.models.View", path))
    (broken / "lab-1.dist-info/entry_points.txt").write_text("[salzoo.models]\nview = lab\n")
    assert "view" in salzoo.list_models()
    with pytest.raises(SpecError, match=f"view: class_path '{path}' cannot be imported: "):
        salzoo.load("view", weights=None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"a: [", "not valid YAML"),
        (b"summary: Mine.", "missing key 'class_path'"),
        (b"\x00\x01", "not valid YAML"),
        (b"- a", "expected a mapping, got list"),
        (SPEC.format(name="View").encode() + b"\nname: salgan\n", "name is 'salgan', but that of the file is 'view'"),
    ],
)
def test_a_broken_yaml_of_a_package_leaves_the_zoo_whole(broken: Path, text: bytes, why: str) -> None:
    (broken / "lab/view.yaml").write_bytes(text)
    (broken / "lab-1.dist-info/entry_points.txt").write_text("[salzoo.models]\nview = lab\n")
    with pytest.warns(UserWarning, match=f"The model 'view' of 'lab' is left out: .*{why}") as told:
        names = salzoo.list_models(trained=True)
    assert "view" not in names
    assert len(told) == 1
    assert salzoo.load("uniform").config.model == "uniform"  # told once


@pytest.mark.parametrize("entry", ["view = lab.models", "View = lab", "view = lab/..", "view = .lab"])
def test_a_package_that_fails_when_it_is_imported_leaves_the_zoo_whole(broken: Path, entry: str) -> None:
    (broken / "lab/__init__.py").write_text("raise SystemError('broken')")
    (broken / "lab-1.dist-info/entry_points.txt").write_text(f"[salzoo.models]\n{entry}\n")
    with pytest.warns(UserWarning, match=f"The model '{entry.split()[0]}' of '.*' is left out: "):
        assert "salgan" in salzoo.list_models()


def test_a_class_whose_module_fails_is_told(broken: Path) -> None:
    (broken / "lab/models.py").write_text("1 / 0")
    (broken / "lab/view.yaml").write_text(SPEC.format(name="View").replace("sightlab", "lab"))
    (broken / "lab-1.dist-info/entry_points.txt").write_text("[salzoo.models]\nview = lab\n")
    with pytest.raises(SpecError, match=r"class_path 'lab.models.View' cannot be imported: division by zero"):
        salzoo.load("view", weights=None)


def test_a_refused_model_leaves_nothing_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    path = tmp_path / "view.yaml"
    try:
        for text in (b"a: [", b"summary: Mine.", b"\x00", b"[" * 5000, b"a: 2020-13-45"):
            path.write_bytes(text)
            with pytest.raises(SpecError):
                salzoo.register(path)
            assert registry._registered == {}
            assert "view" not in salzoo.list_models()
        path.write_text(SPEC.format(name="View"))
        salzoo.register(path)
        (tmp_path / "other").mkdir()
        (tmp_path / "other/view.yaml").write_text("summary: Mine.")
        with pytest.raises(SpecError, match="missing key"):
            salzoo.register(tmp_path / "other/view.yaml")
        assert registry.spec_files()["view"] == path.resolve()
        for place in (tmp_path / "gone.yaml", tmp_path / "other", "~nobody_of_that_name/own.yaml"):
            with pytest.raises(SpecError):
                salzoo.register(place)
    finally:
        monkeypatch.undo()
        registry._forget()
