"""From what was typed to a model."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo import registry
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.errors import SpecError, UnknownModelError, WeightsError
from salzoo.registry import read_spec, resolve, shipped_checkpoint


def test_list_models() -> None:
    names = salzoo.list_models()
    assert names == sorted(names)
    assert {"centre_bias", "deepgaze2", "salgan", "uniform"} <= set(names)
    assert salzoo.list_models("*gaze2") == ["deepgaze2"]
    assert salzoo.list_models("[us]*n*m") == ["uniform"]
    assert salzoo.list_models("nothing*") == []


def test_list_models_trained() -> None:
    trained = salzoo.list_models(trained=True)
    assert "uniform" in trained, "nothing to learn"
    for name in salzoo.list_models():
        weights = any(shipped_checkpoint(name, tag) for tag in read_spec(name).variants)
        assert (name in trained) == (weights or read_spec(name).training == "none")
    assert salzoo.list_models("s*", trained=True) == [name for name in trained if name.startswith("s")]


def test_list_models_gives_a_new_list() -> None:
    salzoo.list_models().clear()
    assert salzoo.list_models()


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_info_has_json_types_and_the_promised_keys(name: str) -> None:
    content = salzoo.info(name)
    assert json.loads(json.dumps(content))["name"] == name
    promised = {"paper", "backbone", "preprocess", "checkpoints", "license", "reported", "measured", "variants", "tag"}
    assert promised <= set(content)
    assert "tiny" not in content
    assert content["tag"] == read_spec(name).default


def test_info_of_a_tag() -> None:
    content = salzoo.info("salgan.paper")
    assert (content["tag"], content["backbone"]) == ("paper", "vgg16.tv_in1k")
    assert content["paper"]["year"] == 2017
    assert content["reported"][0]["metric"] == "nss"


@pytest.mark.parametrize("name", ["salgan", "SalGAN", "SALGAN.Lite", "salgan.lite"])
def test_case_makes_no_difference(name: str) -> None:
    spec, tag = resolve(name)
    assert (spec.name, tag) == ("salgan", "lite")


@pytest.mark.parametrize("name", ["centre-bias", "Centre Bias", "centre_bias"])
def test_separators_make_no_difference(name: str) -> None:
    assert resolve(name)[0].name == "centre_bias"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("centre_bais", r"Unknown model 'centre_bais'. Did you mean 'centre_bias', .*\? `salzoo list` shows all \d+\."),
        ("salgann.lite", r"Unknown model 'salgann.lite'. Did you mean 'salgan'"),
        ("qqqqq", r"Unknown model 'qqqqq'. `salzoo list` shows all"),
        ("salgan.large", r"salgan has no variant 'large'; it has lite, paper"),
    ],
)
def test_unknown_names(name: str, words: str) -> None:
    for function in (salzoo.load, salzoo.info):
        with pytest.raises(UnknownModelError, match=f"^{words}") as caught:
            function(name)
        assert isinstance(caught.value, KeyError)


def test_weights_none_is_the_only_way_to_random_weights() -> None:
    assert salzoo.load("uniform").network is not None
    with pytest.raises(
        WeightsError, match=r"salgan.paper has no published weights .*weights=None.*salzoo fit salgan.paper"
    ):
        salzoo.load("salgan.paper")
    with pytest.raises(UnknownModelError, match="salgan has no variant 'imagenet'; it has lite, paper"):
        salzoo.load("salgan", weights="imagenet")


def test_weights_names_a_tag(tiny_checkpoint: Path) -> None:
    assert salzoo.load("bms", weights="centred").centre_prior == 0.5
    with pytest.raises(SpecError, match="weights='lite' is for a name of the zoo"):
        salzoo.load(tiny_checkpoint, weights="lite")


@pytest.mark.parametrize("name", tiny_models.LEARNED)
def test_options_that_change_no_tensor_go_with_published_weights(name: str, tmp_path: Path) -> None:
    """Training settings, test-time views, the input's size and the device; the weights are the same."""
    folder = tiny_models.save(tiny_models.build(name), tmp_path / name)
    plain = salzoo.load(folder)
    model = salzoo.load(
        folder, lr=0.5, loss="kl", tta=[[1.0, False], [1.0, True]], preprocess={"size": [96, 96]}, device="cpu"
    )
    assert (model.training_config.lr, model.training_config.loss, model.preprocess.size) == (0.5, "kl", (96, 96))
    assert model.preprocess.mean == plain.preprocess.mean, "other fields stay"
    assert model.tta == ((1.0, False), (1.0, True))
    assert model.config.network["tta"] == [[1.0, False], [1.0, True]]
    for key, tensor in plain.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[key], tensor)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"colour": 1}, r"salgan.lite has no option 'colour'; accepted are, for the network, backbone, decoder, "),
        ({"lr": "fast"}, r"salgan.lite: training.lr: got 'fast' \(str\), expected float"),
        ({"decoder": [[8], [8], [8]]}, r"salgan.lite: decoder changes the network's tensors.*weights=None"),
        ({"decoder": [[8]], "lr": 1.0, "output_stride": 16}, r"salgan.lite: decoder changes the network's tensors"),
        ({"device": "abacus"}, r"device='abacus' is not available here"),
    ],
)
def test_options_that_are_not_accepted(options: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        salzoo.load("salgan", **options)


def test_weights_none_takes_arguments() -> None:
    model = salzoo.load("centre_bias", weights=None, grid=(12, 16))
    assert model.network.prior.log_density.shape == (1, 1, 12, 16)
    assert not model.training


def test_a_backbone_without_a_tag_takes_the_variant_of_that_backbone() -> None:
    with torch.device("meta"):
        model = salzoo.load("salgan", weights=None, backbone="vgg16.tv_in1k")
        other = salzoo.load("salgan.lite", weights=None, backbone="test_resnet", frozen=())
    assert model.config.tag == "paper"
    assert (model.training_config.optimizer, len(model.network.decoder)) == ("sgd", 31)
    assert other.config.tag == "lite"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"colour": 1}, "salgan.lite has no option 'colour'; accepted are, for the network, backbone"),
        ({"lr": "fast"}, r"salgan.lite: training.lr: got 'fast' \(str\), expected float"),
        (
            {"preprocess": {"size": [1, 2, 3]}},
            r"salgan.lite.preprocess.size: got \[1, 2, 3\], expected a list of 2 values",
        ),
        ({"optimizer": "adam"}, r"training.optimizer: got 'adam', accepted is one of \['adamw', 'sgd'\]"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        salzoo.load("salgan", weights=None, **arguments)


def test_folders_load_by_path_and_by_text(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.linspace(0, 1, 3 * 30 * 40).reshape(3, 30, 40)
    expected = salzoo.load(tiny_checkpoint).predict(image).density
    monkeypatch.chdir(tiny_checkpoint.parent)
    for name in (str(tiny_checkpoint), tiny_checkpoint.name, f"./{tiny_checkpoint.name}", f"{tiny_checkpoint}/"):
        model = salzoo.load(name)
        assert (model.config.model, model.training) == ("deepgaze2", False)
        np.testing.assert_array_equal(model.predict(image).density, expected)


def test_a_folder_with_the_name_of_a_model_does_not_shadow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uniform").mkdir()
    monkeypatch.chdir(tmp_path)
    assert salzoo.load("uniform").config.model == "uniform"


def test_folder_errors(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere is not a checkpoint folder: it does not exist"):
        salzoo.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"empty is not a checkpoint folder: it has no config.json"):
        salzoo.load(tmp_path / "empty")
    with pytest.raises(SpecError, match="weights=None takes the name of a model"):
        salzoo.load(tiny_checkpoint, weights=None)
    content = json.loads((tiny_checkpoint / CONFIG).read_text())
    (tiny_checkpoint / CONFIG).write_text(json.dumps({**content, "model": "toy"}))
    with pytest.raises(WeightsError, match=r"its config names the model 'toy', which this zoo does not have"):
        salzoo.load(tiny_checkpoint)


@pytest.fixture
def published(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ship deepgaze2.lite and nothing else; return the hub folder that holds it."""
    hub_folder = tmp_path / "shipped"
    shutil.copytree(tiny_checkpoint, hub_folder / "deepgaze2.lite")
    monkeypatch.setattr(registry, "shipped", lambda name: hub_folder)
    monkeypatch.setattr("salzoo.checkpoint.folder.shipped", lambda name: hub_folder)
    return hub_folder


def test_a_published_checkpoint_loads_by_name(published: Path) -> None:
    assert "deepgaze2" in salzoo.list_models(trained=True)
    model = salzoo.load("deepgaze2")
    content = salzoo.info("deepgaze2")
    assert content["license"] == "apache-2.0"
    assert content["preprocess"]["size"] == list(model.preprocess.size) == [64, 96]
    assert list(content["checkpoints"]) == ["lite"]


def test_salzoo_hub_comes_before_what_is_shipped(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALZOO_HUB", str(tmp_path / "mine"))
    assert salzoo.load("deepgaze2").config.model == "deepgaze2"  # not in there: falls through
    shutil.copytree(published / "deepgaze2.lite", tmp_path / "mine" / "deepgaze2.lite")
    shutil.rmtree(published / "deepgaze2.lite")
    assert salzoo.load("deepgaze2").config.model == "deepgaze2"
    (tmp_path / "mine/deepgaze2.lite" / WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(WeightsError, match=r"mine/deepgaze2.lite/model.safetensors is damaged or was replaced"):
        salzoo.load("deepgaze2")


def test_a_shipped_checkpoint_is_held_to_its_sum(published: Path) -> None:
    (published / "deepgaze2.lite" / WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(WeightsError, match="damaged or was replaced"):
        salzoo.load("deepgaze2")


def test_a_missing_checkpoint_says_where_it_was_sought(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(published / "deepgaze2.lite")
    monkeypatch.setenv("SALZOO_HUB", str(tmp_path / "mine"))
    with pytest.raises(
        WeightsError, match=r"no published weights in .*shipped \(SALZOO_HUB=.*mine\).*weights=None.*SALZOO_HUB"
    ):
        salzoo.load("deepgaze2")
    assert salzoo.info("deepgaze2")["measured"] == []


def test_weights_none_needs_no_checkpoint(published: Path) -> None:
    shutil.rmtree(published)
    assert tiny_models.build("deepgaze2").predict(torch.zeros(3, 9, 9)).shape == (9, 9)


def test_unknown_attributes_of_the_package() -> None:
    with pytest.raises(AttributeError, match="module 'salzoo' has no attribute 'colour'"):
        salzoo.colour  # noqa: B018
    assert salzoo.SaliencyModel.__name__ == "SaliencyModel"
    assert salzoo.metrics.__name__ == "salzoo.metrics"


def test_the_users_own_hub_folder_needs_no_pin(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((tiny_checkpoint / CONFIG).read_text())
    for tag in ("paper", "mine"):
        own = Path(shutil.copytree(tiny_checkpoint, tmp_path / "mine" / f"deepgaze2.{tag}"))
        (own / CONFIG).write_text(json.dumps({**content, "tag": tag}))
    monkeypatch.setenv("SALZOO_HUB", str(tmp_path / "mine"))
    for tag in ("paper", "mine"):
        config = salzoo.load(f"deepgaze2.{tag}").config
        assert config is not None
        assert config.tag == tag
    with pytest.raises(UnknownModelError, match="has no variant 'yours'"):
        salzoo.load("deepgaze2.yours")


def test_a_checkpoint_is_built_without_pretrained_weights(tiny_checkpoint: Path) -> None:
    """The backbone is one whose weights need the Hub, its recipe loaded them, and the network is off."""
    path = tiny_checkpoint / CONFIG
    content = json.loads(path.read_text())
    content["provenance"]["recipe"]["training"]["pretrained_backbone"] = True
    path.write_text(json.dumps(content))
    assert salzoo.load(tiny_checkpoint).predict(torch.zeros(3, 20, 30)).shape == (20, 30)


def test_an_untrained_network_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    model = salzoo.load("salgan.paper", weights=None)
    assert sum(p.numel() for p in model.network.parameters()) == 31_787_009


def test_a_folder_of_the_same_name_does_not_shadow_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uniform").mkdir()
    monkeypatch.chdir(tmp_path)
    assert salzoo.load("uniform").predict(np.zeros((4, 5), np.uint8)).shape == (4, 5)


def test_the_package_shows_all_its_names() -> None:
    assert set(salzoo.__all__) <= set(dir(salzoo))
    assert all(getattr(salzoo, name) is not None for name in salzoo.__all__)
    assert "osie" in salzoo.list_datasets()


def test_a_shipped_checkpoint_is_saved_with_all_its_files(tmp_path: Path) -> None:
    shipped = shipped_checkpoint("edn", "lite")
    assert shipped is not None
    salzoo.load("edn").save_pretrained(tmp_path / "edn")
    assert sorted(p.name for p in (tmp_path / "edn").iterdir()) == sorted(p.name for p in shipped.iterdir())
    for path in shipped.iterdir():
        assert (tmp_path / "edn" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("place", ["x" * 300 + "/y", "~nobody_of_that_name/run", "a\0/b"])
def test_paths_that_no_system_has(place: str) -> None:
    with pytest.raises(WeightsError, match="is not a checkpoint folder: it cannot be opened: "):
        salzoo.load(place)


def test_another_model_in_the_users_own_folder_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maps would be taken for those of the model that was asked for."""
    shutil.copytree(tiny_checkpoint, tmp_path / "mine/salgan.lite")
    monkeypatch.setenv("SALZOO_HUB", str(tmp_path / "mine"))
    for function in (salzoo.load, salzoo.info):
        with pytest.raises(WeightsError, match=r"mine/salgan.lite holds deepgaze2.lite, not a salgan: rename it"):
            function("salgan")


def test_what_may_not_be_read_is_named(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links in a circle stand for files that may not be read, which root may."""
    for name, words in ((WEIGHTS, "has no model.safetensors"), (CONFIG, "it has no config.json")):
        folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / name))
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)
        with pytest.raises(WeightsError, match=f"{words}|cannot be (read|opened)"):
            salzoo.load(folder)
        (folder / name).unlink()
        (folder / name).mkdir()
        with pytest.raises(WeightsError, match=words):
            salzoo.load(folder)
    (tmp_path / "hub").symlink_to(tmp_path / "hub")
    monkeypatch.setenv("SALZOO_HUB", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match=r"deepgaze2\.lite cannot be opened: .*SALZOO_HUB="):
        salzoo.load("deepgaze2")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, "."])
def test_permissions(tiny_checkpoint: Path, name: str) -> None:
    (tiny_checkpoint / name).chmod(0)
    try:
        with pytest.raises(WeightsError, match=r"cannot be (read|opened): Permission denied"):
            salzoo.load(tiny_checkpoint)
    finally:
        (tiny_checkpoint / name).chmod(0o755)
