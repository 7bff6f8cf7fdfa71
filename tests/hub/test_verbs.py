"""The Hub's verbs on the class, with the unmodified client: `push_to_hub`, `from_pretrained`, and what they refuse."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import tiny_models
from hub.scenes import PICTURE, REPO, ROW
from loopback_hub import LoopbackHub

import salzoo
from salzoo import SaliencyModel
from salzoo.checkpoint import card
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.errors import PublishError, SalzooError, SpecError, UnknownModelError, WeightsError


def measured(name: str, tmp_path: Path) -> SaliencyModel:
    """Return a miniature as it is loaded after `salzoo fit` and `salzoo evaluate --record`."""
    folder = tiny_models.save(tiny_models.build(name), tmp_path / "checkpoint")
    card.record(folder, [ROW])
    return SaliencyModel.from_pretrained(folder)


@pytest.fixture
def model(tmp_path: Path) -> SaliencyModel:
    return measured("deepgaze2", tmp_path)


@pytest.fixture
def published(loopback: LoopbackHub, model: SaliencyModel) -> SaliencyModel:
    """The model, which is on the Hub as ana/tiny; nobody asked for it yet."""
    model.push_to_hub(REPO)
    loopback.requests.clear()
    return model


def said(load: Any, *words: Any, **options: Any) -> str:
    """Return the one line with which something is refused."""
    with pytest.raises(SalzooError) as raised:
        load(*words, **options)
    (line,) = str(raised.value).splitlines()
    return line


# There and back.


@pytest.mark.parametrize("name", tiny_models.SAMPLE)
def test_there_and_back_into_an_empty_cache(name: str, loopback: LoopbackHub, tmp_path: Path) -> None:
    model = measured(name, tmp_path)
    expected = model.predict(PICTURE).density
    done = model.push_to_hub(f"ana/{name}")
    commit = loopback.repos[f"ana/{name}"].branches["main"]
    assert (done.commit, done.changed, done.name) == (commit, True, f"{name}.{model.config.tag}")  # type: ignore[union-attr]
    ways: list[tuple[Any, str, dict[str, Any]]] = [
        (SaliencyModel.from_pretrained, f"ana/{name}", {}),
        (type(model).from_pretrained, f"ana/{name}", {"revision": commit}),
        (salzoo.load, f"hf://ana/{name}@{commit}", {}),
    ]
    for i, (load, source, options) in enumerate(ways):
        again = load(source, cache_dir=tmp_path / f"cache{i}", **options)
        assert type(again) is type(model)
        assert not again.training
        assert (again.config, again.training_config) == (model.config, model.training_config)
        np.testing.assert_array_equal(again.predict(PICTURE).density, expected)
    config = again.config
    assert (config.measured, config.license, config.trained_on) == ((ROW,), "apache-2.0", ("osie:train",))
    again.save_pretrained(tmp_path / "saved")
    for file in (WEIGHTS, CONFIG, "README.md"):
        assert (tmp_path / "saved" / file).read_bytes() == (tmp_path / "checkpoint" / file).read_bytes(), file


def test_a_second_push_makes_no_commit(loopback: LoopbackHub, published: SaliencyModel) -> None:
    again = SaliencyModel.from_pretrained(REPO)
    done = again.push_to_hub(REPO)
    assert (done.changed, done.commit) == (False, loopback.repos[REPO].branches["main"])
    assert loopback.asked("POST", "/commit/") == 0


@pytest.mark.parametrize("written", ["revision", "@"])
def test_a_version_is_loaded_by_its_tag(loopback: LoopbackHub, published: SaliencyModel, written: str) -> None:
    """An older version stays what it was; a branch moves on."""
    first = published.predict(PICTURE).density
    published.network.readout[-1].weight.data *= -1
    newer = published.predict(PICTURE).density
    assert not np.array_equal(newer, first)
    folder = Path(huggingface_hub.constants.HF_HUB_CACHE).parent / "newer"
    published.save_pretrained(folder)
    card.record(folder, [ROW])
    SaliencyModel.from_pretrained(folder).push_to_hub(REPO, version="v9")
    for revision, expected in {f"v{salzoo.__version__}": first, "v9": newer, "main": newer}.items():
        if written == "@":
            model = SaliencyModel.from_pretrained(f"{REPO}@{revision}")
        else:
            model = SaliencyModel.from_pretrained(REPO, revision=revision)
        np.testing.assert_array_equal(model.predict(PICTURE).density, expected)


def test_a_rehearsal_asks_nobody_and_private_is_private(loopback: LoopbackHub, model: SaliencyModel) -> None:
    rehearsed = model.push_to_hub(REPO, dry_run=True)
    assert loopback.requests == []
    done = model.push_to_hub(REPO, private=True, version="v3")
    assert rehearsed.files == done.files
    assert loopback.repos[REPO].private
    assert loopback.repos[REPO].tags == {"v3": done.commit}


# What is not published.


def test_weights_that_nobody_measured_are_not_pushed(loopback: LoopbackHub, tmp_path: Path) -> None:
    new = tiny_models.build("deepgaze2")
    assert said(new.push_to_hub, REPO) == (
        "no licence is known for these weights: give license='apache-2.0' or another SPDX identifier."
    )
    with pytest.raises(PublishError) as raised:
        new.push_to_hub(REPO, license="mit")
    assert str(raised.value) == (
        "these weights of DeepGazeII have no measured numbers: save_pretrained(FOLDER), then `salzoo evaluate FOLDER "
        f"--data SET --root DIR --record` and `salzoo publish FOLDER --repo {REPO}`."
    )
    assert loopback.requests == []


def test_numbers_of_other_weights_or_settings_are_not_pushed(
    loopback: LoopbackHub, model: SaliencyModel, tmp_path: Path
) -> None:
    """Training settings change no map; views and the input's size do, and so do the weights."""
    SaliencyModel.from_pretrained(tmp_path / "checkpoint", lr=0.5, device="cpu").push_to_hub(REPO, dry_run=True)
    others: list[dict[str, Any]] = [{"tta": ((1.0, False), (1.0, True))}, {"preprocess": {"size": [96, 128]}}]
    for options in others:
        other = SaliencyModel.from_pretrained(tmp_path / "checkpoint", **options)
        assert "have no measured numbers" in said(other.push_to_hub, REPO)
    model.network.readout[-1].weight.data += 1
    assert "have no measured numbers" in said(model.push_to_hub, REPO)
    assert loopback.requests == []


@pytest.mark.parametrize(
    ("repo", "options", "words"),
    [
        (REPO, {"token": "hf_reader"}, "hf://ana/tiny: the token has no right to do this"),
        (REPO, {"token": "hf_wrong"}, "hf://ana/tiny: the Hub refuses the token"),
        ("ben/tiny", {}, "hf://ben/tiny: the token has no right to do this"),
        ("tiny", {}, "'tiny' is not an address on the Hub"),
        (f"{REPO}@v1", {}, "ORG/REPO without a revision"),
    ],
)
def test_who_may_not_push(
    loopback: LoopbackHub, model: SaliencyModel, repo: str, options: dict[str, Any], words: str
) -> None:
    assert words in said(model.push_to_hub, repo, **options)
    assert loopback.repos == {}


# What is loaded.


def test_what_is_passed_to_the_client(
    loopback: LoopbackHub, published: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = published.predict(PICTURE).density
    loopback.repos[REPO].private = True
    monkeypatch.delenv("HF_TOKEN")
    place = tmp_path / "elsewhere"
    assert "local_files_only=True: fetch it once" in said(SaliencyModel.from_pretrained, REPO, local_files_only=True)
    assert loopback.requests == []
    SaliencyModel.from_pretrained(REPO, token="hf_writer", cache_dir=place)
    assert (place / "models--ana--tiny").is_dir()
    assert not Path(huggingface_hub.constants.HF_HUB_CACHE, "models--ana--tiny").exists()
    loopback.requests.clear()
    model = SaliencyModel.from_pretrained(REPO, cache_dir=place, local_files_only=True)
    np.testing.assert_array_equal(model.predict(PICTURE).density, expected)
    assert loopback.requests == []


def test_options_that_change_no_tensor(loopback: LoopbackHub, published: SaliencyModel) -> None:
    model = SaliencyModel.from_pretrained(REPO, lr=0.5, device="cpu", tta=[[1.0, False], [1.0, True]])
    assert model.training_config.lr == 0.5
    assert model.device.type == "cpu"
    assert model.config.network["tta"] == [[1.0, False], [1.0, True]]  # type: ignore[union-attr]
    mirrored = model.predict(PICTURE.flip(-1)).density[:, ::-1]
    np.testing.assert_allclose(mirrored, model.predict(PICTURE).density, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (4, 2)}, "hidden changes the network's tensors, so its published weights do not fit: add weights="),
        ({"hidden": "wide"}, "hidden: got 'wide', expected a list"),
        ({"colour": 1}, "deepgaze2.lite has no option 'colour'; accepted are, for the network, "),
        ({"lr": "fast"}, "training.lr: got 'fast'"),
        ({"preprocess": {"size": [0, 5]}}, "size"),
    ],
)
def test_other_options_are_refused_before_weights_are_fetched(
    loopback: LoopbackHub, published: SaliencyModel, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError) as raised:
        SaliencyModel.from_pretrained(REPO, **options)
    assert words in str(raised.value)
    assert loopback.asked("GET", f"/{REPO}/resolve/main/{CONFIG}")
    assert not loopback.asked("GET", f"{WEIGHTS}|/_lfs/")


def test_a_class_takes_its_own_checkpoints_alone(loopback: LoopbackHub, published: SaliencyModel) -> None:
    other = type(tiny_models.build("salgan"))
    assert said(other.from_pretrained, REPO) == (
        "ana/tiny holds a DeepGazeII: call this on that class, or on SaliencyModel."
    )


def test_the_hub_says_the_same_as_to_load(loopback: LoopbackHub, published: SaliencyModel) -> None:
    """A repository that was typed without hf:// is also told to be no folder."""
    cases: list[tuple[str, dict[str, Any], str]] = [
        (REPO, {"token": "hf_wrong"}, ": the Hub refuses the token (expired, or mistyped)"),
        ("ana/nothing", {}, ": there is no such repository, or it is private"),
        (f"{REPO}@v7", {}, ": the repository has no branch, tag or commit 'v7'"),
        (REPO, {"revision": "v7"}, ": the repository has no branch, tag or commit 'v7'"),
        (REPO, {"token": "hf_reader"}, f" is gated: accept its terms at {loopback.url}/{REPO}"),
    ]
    for repo, options, words in cases:
        loopback.repos[REPO].gated = "gated" in words
        by_load = said(salzoo.load, f"hf://{repo}", **options)
        assert words in by_load
        assert said(SaliencyModel.from_pretrained, f"hf://{repo}", **options) == by_load
        at = repo if "revision" not in options else f"{repo}@{options['revision']}"
        noted = by_load.replace(f"hf://{at}", f"hf://{at} (there is no such folder here)", 1)
        assert said(SaliencyModel.from_pretrained, repo, **options) == noted


# What is typed.


def test_names(
    loopback: LoopbackHub, published: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is there comes before a repository of that name; a name of the zoo is never one of them."""
    monkeypatch.chdir(tmp_path)
    on_hub, commit = published.predict(PICTURE).density, loopback.repos[REPO].branches["main"]
    for source in (REPO, f"{REPO}@main", f"{REPO}@{commit}", f"hf://{REPO}", f"hf://{REPO}@{commit}"):
        np.testing.assert_array_equal(SaliencyModel.from_pretrained(source).predict(PICTURE).density, on_hub)
    assert loopback.asked("HEAD", CONFIG)

    other = tiny_models.build("deepgaze2")
    other.network.readout[-1].weight.data *= -1
    tiny_models.save(other, tmp_path / REPO)
    tiny_models.save(other, tmp_path / "deepgaze2")
    here = salzoo.load(tmp_path / REPO).predict(PICTURE).density
    assert not np.array_equal(here, on_hub)
    loopback.requests.clear()
    for place in (REPO, f"./{REPO}", f"{REPO}/", str(tmp_path / REPO), Path(REPO), Path("deepgaze2")):
        np.testing.assert_array_equal(SaliencyModel.from_pretrained(place).predict(PICTURE).density, here)
    assert loopback.requests == []
    shutil.rmtree(tmp_path / REPO)
    np.testing.assert_array_equal(SaliencyModel.from_pretrained(REPO).predict(PICTURE).density, on_hub)
    shipped = SaliencyModel.from_pretrained("deepgaze2")
    assert shipped.config == salzoo.load("deepgaze2").config
    assert shipped.config.network["backbone"] == "tf_efficientnet_lite2"  # type: ignore[union-attr]


GENERAL = "hf://ORG/REPO or hf://ORG/REPO@REVISION."


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("", UnknownModelError, "Unknown model ''."),
        ("deepgaze3000", UnknownModelError, "Did you mean 'deepgaze3',"),
        ("org/repo/extra", WeightsError, f"it does not exist. One on the Hub is written {GENERAL}"),
        ("ana/tiny@", WeightsError, f"it does not exist. One on the Hub is written {GENERAL}"),
        ("./ana/tiny", WeightsError, "./ana/tiny is not a checkpoint folder: it does not exist."),
        (Path("ana/tiny"), WeightsError, "One on the Hub is written hf://ana/tiny."),
        ("https://huggingface.co/ana/tiny", WeightsError, "One on the Hub is written hf://ana/tiny."),
        ("https://huggingface.co/ana/tiny/tree/v1", WeightsError, "One on the Hub is written hf://ana/tiny@v1."),
        ("https://huggingface.co/ana", WeightsError, f"One on the Hub is written {GENERAL}"),
        ("hf://ana/tiny/extra", SpecError, "'hf://ana/tiny/extra' is not an address on the Hub"),
        ("hf://", SpecError, f"'hf://' is not an address on the Hub; accepted is {GENERAL}"),
        ("hf://ana/tiny--x", SpecError, "'hf://ana/tiny--x' is not an address on the Hub"),
        ("hf://ana/tiny-", SpecError, "'hf://ana/tiny-' is not an address on the Hub"),
        ("hf://ana/" + "x" * 99, SpecError, "is not an address on the Hub"),
    ],
)
def test_names_that_mean_nothing(loopback: LoopbackHub, source: Any, kind: type[Exception], words: str) -> None:
    line = said(SaliencyModel.from_pretrained, source)
    assert words in line
    with pytest.raises(kind):
        salzoo.load(source)
    assert said(salzoo.load, source) == line
    assert loopback.requests == []


def test_load_tells_how_a_repository_is_written(loopback: LoopbackHub) -> None:
    for repo in ("ana/tiny", "ana/tiny@v1"):
        assert said(salzoo.load, repo) == (
            f"{repo} is not a checkpoint folder: it does not exist. One on the Hub is written hf://{repo}."
        )


@pytest.mark.parametrize(
    ("source", "revision", "words"),
    [
        ("ana/tiny@v1", "v2", "hf://ana/tiny@v1: give one revision, not 'v2' too."),
        ("checkpoint", "v2", "checkpoint is on this machine, and has no revision 'v2'."),
        ("deepgaze2", "v2", "deepgaze2.lite is not on the Hub, so it has no revision 'v2': leave it out."),
        ("itti", "v2", "itti.paper is not on the Hub, so it has no revision 'v2': leave it out."),
    ],
)
def test_revisions_of_what_has_none(
    model: SaliencyModel, source: str, revision: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said(SaliencyModel.from_pretrained, source, revision=revision) == words
    assert said(salzoo.load, source.replace("ana/", "hf://ana/"), revision=revision) == words


def test_a_mistyped_folder_without_a_network(loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks like a repository: the message says both."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        site = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", site)
        assert said(SaliencyModel.from_pretrained, "runs/deepgaze2.lite") == (
            f"hf://runs/deepgaze2.lite (there is no such folder here): {site} does not answer, and the cache does not "
            "have it. Is there a network? (HF_ENDPOINT)"
        )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert said(SaliencyModel.from_pretrained, "runs/deepgaze2.lite") == (
        "hf://runs/deepgaze2.lite (there is no such folder here): config.json is not in the cache, and HF_HUB_OFFLINE "
        "is set: fetch it once with a network."
    )
