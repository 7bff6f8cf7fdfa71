"""The usual doors of PyTorch, Lightning and the Hub, for every model of the zoo."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import tiny_models
import torch
import torch._dynamo
from torch import Tensor, nn
from torch.utils.data import DataLoader

import salzoo
from salzoo import SaliencyModel
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.data import OSIE, SaliencyDataModule, TrainingView
from salzoo.errors import DataError, SpecError, WeightsError
from salzoo.registry import read_spec

every_model = pytest.mark.parametrize("name", tiny_models.NAMES)
every_learned_model = pytest.mark.parametrize("name", tiny_models.LEARNED)
every_trained_model = pytest.mark.parametrize("name", tiny_models.GRADIENT)
each_trained_model_in_time = pytest.mark.parametrize(
    "name", [n if n in tiny_models.SAMPLE else pytest.param(n, marks=pytest.mark.slow) for n in tiny_models.GRADIENT]
)
"""One of each kind at once and the others with the slow tests, where all go the same way through the base class."""

IMAGE = np.random.default_rng(0).integers(0, 256, (41, 67, 3), dtype=np.uint8)


def quiet_trainer(**options: Any) -> pl.Trainer:
    quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
    return pl.Trainer(accelerator="cpu", log_every_n_steps=1, **{**dict.fromkeys(quiet, False), **options})


def view_of(model: SaliencyModel, root: Path, split: Any = "train") -> TrainingView:
    return TrainingView(OSIE(root, split), model.preprocess.size, model.preprocess.fit)


@every_model
def test_a_model_says_what_it_is_and_what_it_accepts(name: str) -> None:
    model = tiny_models.build(name)
    assert f"{name}.{read_spec(name).default}, input {list(model.preprocess.size)}, no recorded training" in repr(model)
    accepted = set(inspect.signature(type(model)).parameters)
    assert {"preprocess", "tta", *read_spec(name).variants[read_spec(name).default].network} <= accepted
    assert not accepted & {"options", "network", "self"}


# Any loop.


@every_model
def test_bytes_and_floats_give_the_same_logits(name: str) -> None:
    model = tiny_models.build(name)
    height, width = model.preprocess.size
    image = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    logits = model(image)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(model(image / 255), logits, rtol=1e-5, atol=1e-5)
    with pytest.raises(salzoo.errors.SalzooError, match="int64"):
        model(image.long())


@every_model
def test_the_transform_is_what_predict_does_before_the_network(name: str) -> None:
    model = tiny_models.build(name)
    logits = model(model.transform(IMAGE)[None])
    restored = model.restore(logits.float(), IMAGE.shape[:2])
    density = model.to_log_density(restored)[0].exp().detach()
    np.testing.assert_allclose(density, model.predict(IMAGE).density, rtol=1e-4)


@every_trained_model
def test_a_loop_of_ones_own(name: str, tiny_data: Path) -> None:
    """A plain loader over a training view, a plain optimiser, no Lightning; nothing of it is in the state."""
    model = tiny_models.build(name)
    before = set(model.network.state_dict())
    loader = DataLoader(view_of(model, tiny_data), batch_size=4, shuffle=True)
    optimizer = torch.optim.SGD(model.parameter_groups(), lr=1e-4)
    model.train()
    for batch in loader:
        loss = model.loss(model(batch["image"]), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    assert set(model.network.state_dict()) == before


class OwnDataModule(pl.LightningDataModule):
    """Knows nothing of salzoo but what a batch is."""

    def __init__(self, view: TrainingView) -> None:
        super().__init__()
        self.view = view

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.view, batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.view, batch_size=2)


@each_trained_model_in_time
def test_a_data_module_of_ones_own_and_bare_loaders(name: str, tiny_data: Path) -> None:
    for use in ("module", "loaders"):
        model = tiny_models.build(name)
        module = OwnDataModule(view_of(model, tiny_data))
        trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, num_sanity_val_steps=0)
        if use == "module":
            trainer.fit(model, datamodule=module)
        else:
            trainer.fit(model, module.train_dataloader(), module.val_dataloader())
        assert np.isfinite(float(trainer.callback_metrics["val/nss"]))
        assert model.statistics_fitted
        maps = trainer.predict(
            model, DataLoader(module.view, batch_size=2, collate_fn=lambda items: items[0]["image"][None])
        )
        assert maps is not None
        assert maps[0][0].density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`", "ignore:The 'train_dataloader'")
def test_what_is_no_batch_is_told_in_one_line() -> None:
    model = tiny_models.build("deepgaze2")
    images = DataLoader([torch.zeros(3, 64, 96, dtype=torch.uint8)] * 4, batch_size=2)
    with pytest.raises(DataError, match=r"a batch has no 'image', it is Tensor: salzoo trains on mappings with image"):
        quiet_trainer(max_epochs=1).fit(model, images)
    model.statistics_fitted = True
    with pytest.raises(DataError, match=r"a batch has no 'image', it is keys \['picture'\]"):
        quiet_trainer(max_epochs=1).fit(model, DataLoader([{"picture": torch.zeros(3, 64, 96)}] * 4, batch_size=2))


# Copies, types and threads.


def half(model: SaliencyModel) -> SaliencyModel:
    return model.half()


def bfloat16(model: SaliencyModel) -> SaliencyModel:
    return model.bfloat16()


def double(model: SaliencyModel) -> SaliencyModel:
    return model.double()


def channels_last(model: SaliencyModel) -> SaliencyModel:
    return model.to(memory_format=torch.channels_last)


def pickled(model: SaliencyModel) -> SaliencyModel:
    return pickle.loads(pickle.dumps(model))


CASTS: list[tuple[Callable[[SaliencyModel], SaliencyModel], float]] = [
    (half, 0.1),
    (bfloat16, 0.5),
    (double, 1e-3),
    (channels_last, 1e-3),
    (copy.deepcopy, 0.0),
    (pickled, 0.0),
]
"""What users do to a model, and how far its log density may move, in nat."""


@every_model
@pytest.mark.parametrize(("cast", "tolerance"), CASTS, ids=[cast.__name__ for cast, _ in CASTS])
def test_predict_after(name: str, cast: Callable[[SaliencyModel], SaliencyModel], tolerance: float) -> None:
    model = tiny_models.build(name)
    expected = model.predict(IMAGE).log_density
    again = cast(model).predict(IMAGE)
    assert again.density.dtype == np.float32
    assert np.abs(again.log_density - expected).mean() <= tolerance
    assert again.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@every_model
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_predict_after_compile(name: str) -> None:
    """Traced and run by torch.compile, without its C++; tests/test_predict.py has one model with it."""
    model = tiny_models.build(name)
    expected = model.predict(IMAGE).density
    torch._dynamo.reset()
    model.compile(backend="eager")
    np.testing.assert_allclose(model.predict(IMAGE).density, expected, rtol=1e-5)


@every_model
def test_predict_follows_no_global_default(name: str) -> None:
    model = tiny_models.build(name)
    expected = model.predict(IMAGE).density
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_allclose(model.predict(IMAGE).density, expected, rtol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


@every_model
def test_threads_share_a_model(name: str) -> None:
    model = tiny_models.build(name)
    images = [np.roll(IMAGE, shift, axis=1) for shift in range(4)]
    expected = [model.predict(image).density for image in images]
    with ThreadPoolExecutor(4) as pool:
        for density, m in zip(expected, pool.map(model.predict, images), strict=True):
            np.testing.assert_allclose(m.density, density, rtol=1e-4)


# Lightning checkpoints.


@every_learned_model
def test_a_lightning_checkpoint_is_enough_by_itself(name: str, tmp_path: Path) -> None:
    model = tiny_models.build(name, lr=0.125)
    trainer = quiet_trainer()
    trainer.strategy.connect(model)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    expected = model.predict(IMAGE).density
    loaded = SaliencyModel.load_from_checkpoint(path, lr=0.5)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert (loaded.config, loaded.training_config) == (model.config, replace(model.training_config, lr=0.5))
    np.testing.assert_array_equal(loaded.predict(IMAGE).density, expected)
    assert json.loads(json.dumps(torch.load(path, weights_only=True)["salzoo"]))["config"]["format"] == 1


@pytest.mark.parametrize("name", tiny_models.SAMPLE)
def test_any_door_opens_a_lightning_checkpoint(name: str, tmp_path: Path) -> None:
    model = tiny_models.build(name)
    trainer = quiet_trainer()
    trainer.strategy.connect(model)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    expected = model.predict(IMAGE).density
    for load in (type(model).load_from_checkpoint, salzoo.load):
        loaded = load(path)
        assert type(loaded) is type(model)
        assert not loaded.training
        assert (loaded.config, loaded.training_config) == (model.config, model.training_config)
        np.testing.assert_array_equal(loaded.predict(IMAGE).density, expected)


@each_trained_model_in_time
def test_a_trained_checkpoint_is_tested_and_predicted_with(name: str, tiny_data: Path, tmp_path: Path) -> None:
    data = SaliencyDataModule("osie", tiny_data, batch_size=4)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trained = tiny_models.build(name)
    trainer.fit(trained, data)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    (expected,) = quiet_trainer().test(trained, data, verbose=False)
    model = SaliencyModel.load_from_checkpoint(path)
    (scores,) = quiet_trainer().test(model, data, verbose=False)
    assert scores == pytest.approx(expected, nan_ok=True)
    other = tiny_models.build(name)
    for parameter in other.network.parameters():
        parameter.data.zero_()
    (scores,) = quiet_trainer().test(other, data, ckpt_path=str(path), verbose=False)
    assert scores == pytest.approx(expected, nan_ok=True)
    maps = quiet_trainer().predict(other, data, ckpt_path=str(path)) or []
    np.testing.assert_allclose(
        maps[0][0].density, trained.predict(data.datasets("test")[0].image(0)).density, rtol=1e-4
    )


def test_what_is_no_lightning_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"x.ckpt is not a checkpoint of Lightning's trainer"):
        SaliencyModel.load_from_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(
        WeightsError, match="does not say which model it is of: call load_from_checkpoint on the model's own"
    ):
        SaliencyModel.load_from_checkpoint(path)
    with pytest.raises(WeightsError, match=r"x.ckpt does not fit DeepGazeII"):
        salzoo.models.deepgaze2.DeepGazeII.load_from_checkpoint(path, backbone="test_efficientnet", feature_nodes=(8,))


def test_a_checkpoint_of_another_class_is_refused(tmp_path: Path) -> None:
    trainer = quiet_trainer()
    model = tiny_models.build("deepgaze2")
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    other = type(tiny_models.build("salgan"))
    with pytest.raises(SpecError, match="holds a DeepGazeII: call this on that class, or on SaliencyModel"):
        other.load_from_checkpoint(tmp_path / "last.ckpt")


# The Hub's verbs, on folders; tests/hub has those of a Hub.


@every_learned_model
def test_save_pretrained_and_back(name: str, tmp_path: Path) -> None:
    first = tiny_models.save(tiny_models.build(name), tmp_path / "first")
    model = SaliencyModel.from_pretrained(first)
    model.save_pretrained(tmp_path / "second")
    for file in (WEIGHTS, CONFIG, "README.md"):
        assert (tmp_path / "second" / file).read_bytes() == (first / file).read_bytes(), file
    again = type(model).from_pretrained(str(tmp_path / "second"), lr=0.25)
    assert again.training_config.lr == 0.25
    np.testing.assert_array_equal(again.predict(IMAGE).density, model.predict(IMAGE).density)


def test_other_weights_lose_what_was_said_of_them(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model = SaliencyModel.from_pretrained(tiny_checkpoint)
    model.network.readout[0].weight.data += 1
    model.save_pretrained(tmp_path / "changed")
    config = salzoo.load(tmp_path / "changed").config
    assert config is not None
    assert (config.provenance, config.measured, config.license) == (None, (), "apache-2.0")


def test_weights_without_a_licence_are_not_saved(tmp_path: Path) -> None:
    model = tiny_models.build("deepgaze2")
    with pytest.raises(SpecError, match=r"no licence is known for these weights: give license='apache-2.0'"):
        model.save_pretrained(tmp_path / "new")
    model.save_pretrained(tmp_path / "new", license="mit")
    assert salzoo.load(tmp_path / "new").config.license == "mit"  # type: ignore[union-attr]


# What training minimises.


@every_trained_model
def test_training_minimises_what_loss_returns_by_the_recipe(name: str, tiny_data: Path) -> None:
    """Each recipe's own criterion, the lite one's if there is one: what a step logs is what `model.loss` returned.

    Only Mr-CNN has a step of its own that looks at patches alone; `loss` is for criteria on whole maps there.
    """
    variants = read_spec(name).variants
    recipe = (variants.get("lite") or variants["paper"]).recipe.get("training", {})
    model = tiny_models.build(name, loss=recipe["loss"]) if "loss" in recipe else tiny_models.build(name)
    assert (model.criterion is None) == (model.training_config.loss is None)
    returned: list[float] = []
    loss = model.loss

    def watched(logits: Tensor, batch: Any) -> Tensor:
        value = loss(logits, batch)
        returned.append(float(value.detach()))
        return value

    model.loss = watched  # type: ignore[method-assign]
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(model, SaliencyDataModule("osie", tiny_data, batch_size=4))
    (logged,) = [float(value) for key, value in trainer.logged_metrics.items() if key.endswith("loss")]
    assert np.isfinite(logged)
    assert returned == pytest.approx([logged]) if returned else "training_step" in vars(type(model))


@every_trained_model
def test_a_given_criterion_takes_the_place_of_the_papers(name: str, tiny_data: Path) -> None:
    model = tiny_models.build(name).eval()
    (batch,) = list(DataLoader(view_of(model, tiny_data), batch_size=8))[:1]
    logits = model(batch["image"])
    own = float(model.loss(logits, batch).detach())
    settings = dict(vars(model.training_config))
    model.training_config = type(model.training_config)(**{**settings, "loss": "mse"})
    given = float(model.loss(logits, batch).detach())
    log_density = model.to_log_density(logits.float())
    expected = salzoo.losses.get("mse")(log_density, batch, logits[:, 0].float() if model.sigmoid else None)
    assert given == pytest.approx(float(expected.detach()))
    assert given != pytest.approx(own)


class Dense(SaliencyModel):
    """A network of a user's own: stride 2, a constructor of its own."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(salzoo.Preprocess((32, 48)))
        self.network = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def default_loss(self, logits: Tensor, batch: Any) -> Tensor:
        """Any loss of the zoo takes logits at their own resolution."""
        return salzoo.losses.get("kl")(self.to_log_density(logits), batch)


def test_a_class_of_a_users_own_needs_no_registry(tiny_data: Path, tmp_path: Path) -> None:
    model = Dense()
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, SaliencyDataModule("osie", tiny_data, batch_size=4))
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    again = Dense.load_from_checkpoint(tmp_path / "own.ckpt")
    np.testing.assert_array_equal(again.predict(IMAGE).density, model.predict(IMAGE).density)
    with pytest.raises(SpecError, match="was built by its class, so its name is not known"):
        model.save_pretrained(tmp_path / "folder", license="mit")


# What is refused.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fixations": lambda maps: maps.float()}, r"fixations of a batch are torch.float32, density is torch.float32"),
        ({"fixations": lambda maps: maps * 0}, "a batch has no fixation at all: salzoo trains on mappings with image"),
        ({"density": lambda maps: maps * 255}, "no density of a batch sums to 1, the first to 255"),
        (
            {"density": lambda maps: maps[:, ::2, ::2]},
            r"density of a batch are \(4, 32, 48\), beside images \(4, 3, 64, 96\)",
        ),
        ({"density": lambda maps: maps[:, None]}, r"density of a batch are \(4, 1, 64, 96\)"),
    ],
)
def test_a_batch_that_no_loss_understands_is_refused(change: dict[str, Any], words: str, tiny_data: Path) -> None:
    model = tiny_models.build("deepgaze2")
    model.statistics_fitted = True
    (batch,) = list(DataLoader(view_of(model, tiny_data), batch_size=4))[:1]
    batch = {key: change.get(key, lambda maps: maps)(value) for key, value in batch.items()}
    with pytest.raises(DataError, match=words):
        model.on_train_batch_start(batch, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tta": []}, r"tta=\(\) is not accepted: 1 to 16 views"),
        ({"tta": [[0.0, False]]}, "tta=.* is not accepted: 1 to 16 views"),
        ({"tta": True}, "deepgaze2.lite.tta: got True, expected a list"),
        ({"lr": -1.0}, "training: lr=-1.0, .*: lr above 0"),
        ({"loss": "{kl: 1"}, r"'{kl: 1' is no loss: .*write {kl: 1.0, cc: -0.5}"),
        ({"loss": "{1: 1}"}, "no loss is called 1"),
        ({"loss": {"kl": float("nan")}}, "kl: weight nan is not accepted"),
        ({"preprocess": 5}, "preprocess: got 5, accepted is a Preprocess or its fields"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        tiny_models.build("deepgaze2", **options)


def test_what_no_gradient_trains_says_so(tiny_data: Path) -> None:
    with pytest.raises(SpecError, match="BMS has no parameter that a gradient trains"):
        quiet_trainer(max_epochs=1).fit(tiny_models.build("bms"), SaliencyDataModule("osie", tiny_data, batch_size=4))


def test_the_card_of_ones_own_weights_claims_nothing(tmp_path: Path) -> None:
    tiny_models.build("quest").save_pretrained(tmp_path / "own", license="cc-by-4.0")
    card = (tmp_path / "own/README.md").read_text()
    assert "salzoo.load('path/to/this/folder')" in card
    assert "Not recorded" in card
    assert "OSIE" not in card


def test_the_card_of_a_fine_tuned_checkpoint_does_not_load_the_shipped_one(tmp_path: Path) -> None:
    model = tiny_models.build("deepgaze2")
    text = (tiny_models.save(model, tmp_path) / "README.md").read_text()
    assert "salzoo.load('path/to/this/folder')" in text
    assert "not those that salzoo ships under this name" in text
    assert "## Limits" not in text
    assert "## Training" in text


# What travels.


def test_what_is_set_on_a_model_is_saved_with_it(tmp_path: Path) -> None:
    model = tiny_models.build("deepgaze2")
    model.preprocess = replace(model.preprocess, size=(96, 96))
    model.tta = ((1.0, True),)
    model.save_pretrained(tmp_path / "set", license="mit")
    again = salzoo.load(tmp_path / "set")
    assert (again.preprocess, again.tta) == (model.preprocess, model.tta)
    np.testing.assert_allclose(again.predict(IMAGE).density, model.predict(IMAGE).density, rtol=0.05)


def test_training_ends_what_was_measured(tiny_data: Path, tmp_path: Path) -> None:
    model = salzoo.load(tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "start"))
    before = model.config
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(model, SaliencyDataModule("osie", tiny_data, batch_size=4))
    assert before is not None
    assert model.config is not None
    assert (model.config.sha256, model.config.measured, model.config.trained_on) == (None, (), before.trained_on)
    assert model.config.provenance is not None
    assert model.config.provenance.parent is not None
    assert model.config.provenance.parent.sha256 == before.sha256


@pytest.mark.parametrize("name", ["deepgaze2", "salgan"])
def test_learned_weights_of_a_criterion_are_trained_and_replaceable(name: str, tiny_data: Path, tmp_path: Path) -> None:
    model = tiny_models.build(name, loss={"kl": "learned", "cc": "learned"})
    data = SaliencyDataModule("osie", tiny_data, batch_size=4)
    trainer = quiet_trainer(max_epochs=1, limit_val_batches=0)
    trainer.fit(model, data)
    assert model.criterion is not None
    assert all(float(weight.detach()) != 0 for weight in model.criterion.log_variances.values())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    for loss in (None, "kl", {"nll": "learned"}):
        other = SaliencyModel.load_from_checkpoint(tmp_path / "last.ckpt", loss=loss)
        np.testing.assert_array_equal(other.predict(IMAGE).density, model.predict(IMAGE).density)
    (scores,) = quiet_trainer().test(
        tiny_models.build(name), data, ckpt_path=str(tmp_path / "last.ckpt"), verbose=False
    )
    (expected,) = quiet_trainer().test(model, data, verbose=False)
    assert scores == pytest.approx(expected)
    size = {"size": [96, 128]}
    assert SaliencyModel.load_from_checkpoint(tmp_path / "last.ckpt", preprocess=size).preprocess.size == (96, 128)


def test_statistics_of_loaded_weights_are_not_fitted_again(tiny_data: Path, tmp_path: Path) -> None:
    model = tiny_models.build("deepgaze2")
    data = SaliencyDataModule("osie", tiny_data, batch_size=4)
    trainer = quiet_trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    other = tiny_models.build("deepgaze2")
    quiet_trainer(limit_val_batches=1).validate(other, data, ckpt_path=str(tmp_path / "last.ckpt"), verbose=False)
    assert other.statistics_fitted


def test_another_backbone_of_the_same_shapes_is_refused() -> None:
    with pytest.raises(SpecError, match=r"salgan.lite: backbone changes the network's tensors"):
        salzoo.load("salgan", backbone="efficientnet_lite0")
