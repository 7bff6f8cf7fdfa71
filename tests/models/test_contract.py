"""What every model of the zoo keeps. A new YAML in `zoo_configs/` adds its tests; there is no list of names here."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import tiny_models
import torch
from huggingface_hub import ModelCard
from models import make_golden
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import salzoo
from salzoo._io import hash_file
from salzoo._schema import parameters
from salzoo.checkpoint import card
from salzoo.checkpoint.config import CONFIG, IMAGES, RELIABILITY, WEIGHTS, Calibration, Config, Explained, Measured
from salzoo.checkpoint.folder import read_config, write_config
from salzoo.checkpoint.loading import import_class
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import SaliencyDataModule
from salzoo.errors import WeightsError
from salzoo.metrics import functional as metrics
from salzoo.registry import read_spec, shipped, shipped_checkpoint

every_model = pytest.mark.parametrize("name", tiny_models.NAMES)
every_learned_model = pytest.mark.parametrize("name", tiny_models.LEARNED)
one_of_each_kind = pytest.mark.parametrize("name", tiny_models.SAMPLE)
every_trained_model = pytest.mark.parametrize("name", tiny_models.GRADIENT)
every_checkpoint = pytest.mark.parametrize(
    ("name", "tag"),
    [(name, tag) for name in tiny_models.NAMES for tag in read_spec(name).variants if shipped_checkpoint(name, tag)],
)

NOISE = np.random.default_rng(0).integers(0, 256, (41, 67, 4), dtype=np.uint8)
PICTURES: dict[str, NDArray[Any]] = {
    "colour": NOISE[..., :3],
    "grey": NOISE[..., 0],
    "rgba": NOISE,
    "16-bit": NOISE[..., 0].astype(np.uint16) * 257,
    "float": NOISE[..., :3] / np.float32(255),
    "large": np.random.default_rng(1).integers(0, 256, (301, 203, 3), dtype=np.uint8),
    "1 pixel wide": NOISE[:, :1, :3],
    "1 pixel high": NOISE[:1, :, :3],
    "2 pixels": NOISE[:1, :2, :3],
}

model_of = functools.cache(tiny_models.build)
"""For tests that leave the model as it was."""


@every_model
def test_builds_by_name_in_eval_mode(name: str) -> None:
    model = tiny_models.build(name)
    assert isinstance(model, SaliencyModel)
    assert model.config is not None
    assert (model.config.model, model.config.tag) == (name, read_spec(name).default)
    assert not any(module.training for module in model.modules())


@every_model
@pytest.mark.parametrize("kind", PICTURES)
def test_predicts_a_density_of_the_pictures_own_size(name: str, kind: str) -> None:
    picture = PICTURES[kind]
    m = model_of(name).predict(picture)
    assert m.shape == picture.shape[:2]
    assert np.isfinite(m.log_density).all()
    assert (m.density >= 0).all()
    assert m.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)


@every_model
def test_grey_equals_the_same_picture_in_colour(name: str) -> None:
    grey, colour, deep = model_of(name).predict([NOISE[..., 0], NOISE[..., :1].repeat(3, 2), PICTURES["16-bit"]])
    np.testing.assert_allclose(grey.density, colour.density, rtol=1e-5)  # at another place in the batch
    np.testing.assert_allclose(deep.density, colour.density, rtol=1e-5)


@every_model
@pytest.mark.parametrize("mode", ["train", "eval", "mixed"])
def test_predict_ignores_and_restores_the_mode(name: str, mode: str) -> None:
    model = tiny_models.build(name)
    expected = model.predict(NOISE).density
    for i, module in enumerate(model.modules()):
        module.training = {"train": True, "eval": False, "mixed": i % 3 == 0}[mode]
    modes = [module.training for module in model.modules()]
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    np.testing.assert_array_equal(model.predict(NOISE).density, expected)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


@every_model
def test_alone_in_a_batch_and_through_the_trainer_are_the_same(name: str, tiny_data: Path) -> None:
    model = tiny_models.build(name)
    data = SaliencyDataModule("osie", tiny_data, eval_batch_size=3)
    dataset = data.datasets("test")[0]
    paths = [dataset.image_path(i) for i in range(len(dataset))]
    alone = [model.predict(path).density for path in paths]
    assert len({density.shape for density in alone}) > 1
    in_batch = [m.density for m in model.predict(paths, batch_size=4)]
    model.train()
    by_trainer = [m.density for batch in quiet_trainer().predict(model, data) or () for m in batch]
    for others in (in_batch, by_trainer):
        for density, expected in zip(others, alone, strict=True):
            np.testing.assert_allclose(
                density, expected, rtol=1e-4
            )  # float32 sums in another order, and logits to their exp


@every_model
@pytest.mark.filterwarnings("ignore:constant predictions are scored at chance")  # by those that nothing trains
def test_the_trainer_scores_what_predict_returns(name: str, tiny_data: Path) -> None:
    model = tiny_models.build(name)
    data = SaliencyDataModule("osie", tiny_data, eval_batch_size=3)
    dataset = data.datasets("test")[0]
    densities = [torch.from_numpy(model.predict(dataset.image_path(i)).density) for i in range(len(dataset))]
    cc = [metrics.cc(d[None], dataset[i]["density"][None]) for i, d in enumerate(densities)]
    nss = [metrics.nss(d[None], dataset[i]["fixations"][None]) for i, d in enumerate(densities)]
    (scores,) = quiet_trainer().test(model, data, verbose=False)
    assert scores["test/nss"] == pytest.approx(torch.cat(nss).mean().item(), abs=1e-4)
    assert scores["test/cc"] == pytest.approx(torch.cat(cc).nanmean().item(), abs=1e-4, nan_ok=True)


class Watch(pl.Callback):
    """Remembers which parameters ever got a gradient other than zero, and which modules were in eval mode."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.in_eval_mode: set[nn.Module] = set()

    def on_train_batch_start(self, trainer: Any, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self.in_eval_mode |= {module for module in pl_module.modules() if not module.training}

    def on_before_optimizer_step(self, trainer: Any, pl_module: pl.LightningModule, optimizer: Any) -> None:
        self.names |= {n for n, p in pl_module.named_parameters() if p.grad is not None and bool(p.grad.any())}


@every_trained_model
def test_training_moves_every_trainable_parameter_and_no_other(name: str, tiny_data: Path) -> None:
    model, watch = tiny_models.build(name), Watch()
    torch.manual_seed(1)  # SalGAN's discriminator begins with three ReLUs; at 0 nearly all of them are dead
    model.configure_model()  # what only training needs
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    frozen = {n: p.clone() for n, p in model.named_parameters() if not p.requires_grad}
    trainer = quiet_trainer(max_epochs=3, limit_val_batches=0, callbacks=[watch])
    trainer.fit(model, SaliencyDataModule("osie", tiny_data, batch_size=2))
    assert trainable
    assert watch.names == trainable
    assert not any(
        p.requires_grad for module in watch.in_eval_mode for p in module.parameters()
    )  # `load` leaves eval mode
    assert all(torch.equal(dict(model.named_parameters())[n], before) for n, before in frozen.items())


@every_trained_model
def test_the_loss_falls_on_one_batch_in_20_steps(name: str, tiny_data: Path) -> None:
    model = tiny_models.build(name).train()
    data = SaliencyDataModule("osie", tiny_data, batch_size=4, size=model.preprocess.size)
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(0)  # dropout
    optimizer = torch.optim.AdamW([p for p in model.network.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(20):
        loss = model.loss(model(batch["image"]), batch)  # type: ignore[arg-type,index]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.95 * losses[0], losses  # dropout makes single steps jump


@every_trained_model
def test_fit_writes_a_checkpoint_that_load_reads(name: str, tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words(name, tiny_data, tmp_path)
    assert main(words) == 0
    spec = read_spec(name)
    folder = tmp_path / f"{name}.{spec.default}"
    loaded = salzoo.load(folder)

    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=False)["state_dict"]
    trained = tiny_models.build(name)
    trained.configure_model()
    trained.load_state_dict(best)
    for parameter in trained.network.parameters():
        parameter.data = parameter.data.half().float()
    np.testing.assert_array_equal(loaded.predict(NOISE).density, trained.predict(NOISE).density)

    config = read_config(folder)
    assert (config.model, config.tag) == (name, spec.default)
    assert config.preprocess == as_json(vars(loaded.preprocess))
    tiny, variant = tiny_models.config_of(name), spec.variants[spec.default]
    network = as_json({**variant.network, **tiny.get("model", {})})
    network.pop("preprocess", None)
    assert {key: config.network[key] for key in network} == network
    assert config.provenance is not None
    own = {"pretrained_backbone": False, "start": None}
    training = as_json({**variant.recipe.get("training", {}), **tiny.get("training", {}), **own})
    assert {key: config.provenance.recipe["training"][key] for key in training} == training
    assert as_json(vars(loaded.training_config)) == config.provenance.recipe["training"]
    assert config.provenance.data == ("osie:train",)
    assert config.provenance.command.split()[:3] == ["salzoo", "fit", name]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def quiet_trainer(**options: Any) -> pl.Trainer:
    quiet = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
    return pl.Trainer(accelerator="cpu", log_every_n_steps=1, **{**dict.fromkeys(quiet, False), **options})


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@every_learned_model
def test_a_saved_model_loads_with_equal_values_and_config(name: str, tmp_path: Path) -> None:
    model = tiny_models.build(name)
    loaded = salzoo.load(tiny_models.save(model, tmp_path / "first"))
    for key, tensor in model.network.state_dict().items():
        stored = tensor.half().float() if key in dict(model.network.named_parameters()) else tensor
        assert torch.equal(loaded.network.state_dict()[key], stored), key
    tiny_models.save(loaded, tmp_path / "second")
    assert read_config(tmp_path / "first") == read_config(tmp_path / "second")


def remove(tensors: dict[str, Tensor], key: str) -> None:
    del tensors[key]


def rename(tensors: dict[str, Tensor], key: str) -> None:
    tensors[key + "_old"] = tensors.pop(key)


def reshape(tensors: dict[str, Tensor], key: str) -> None:
    tensors[key] = tensors[key][None].clone()


@one_of_each_kind
@pytest.mark.parametrize("damage", [remove, rename, reshape])
def test_a_file_with_one_tensor_changed_does_not_load(
    name: str, damage: Callable[[dict[str, Tensor], str], None], tmp_path: Path
) -> None:
    folder = tiny_models.save(tiny_models.build(name), tmp_path)
    tensors = load_file(folder / WEIGHTS)
    key = sorted(tensors)[len(tensors) // 2]
    damage(tensors, key)
    save_file(tensors, folder / WEIGHTS)
    content = json.loads((folder / CONFIG).read_text())
    content["sha256"] = hash_file(folder / WEIGHTS)  # so that the sum is right, and the tensors are looked at
    (folder / CONFIG).write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=f"does not fit the network.*{key}"):
        salzoo.load(folder)


@one_of_each_kind
def test_a_file_with_one_byte_flipped_does_not_load(name: str, tmp_path: Path) -> None:
    folder = tiny_models.save(tiny_models.build(name), tmp_path)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsError, match="damaged or was replaced: its sha256 is"):
        salzoo.load(folder)


@every_model
def test_golden_output(name: str) -> None:
    """Log densities agree to 1e-3 nat: float32 in another order of summation, and nothing more."""
    assert make_golden.path(name).is_file(), f"run: python tests/models/make_golden.py {name}"
    golden = json.loads(make_golden.path(name).read_text())
    np.testing.assert_allclose(make_golden.coarse_log_density(name), golden["log_density"], atol=1e-3)


@every_model
@pytest.mark.parametrize("measured", [(), (Measured("osie", "test", 5, "mit", "0" * 40, {"nss": 1.5, "cc": 0.5}),)])
def test_card(name: str, measured: tuple[Measured, ...], tmp_path: Path) -> None:
    spec = read_spec(name)
    config = Config(name, spec.default, {}, {}, "0" * 64, "apache-2.0", None, measured)
    card.write(tmp_path, spec, config)
    loaded = ModelCard.load(tmp_path / "README.md")
    assert (loaded.data.license, loaded.data.library_name) == ("apache-2.0", "salzoo")
    assert f"# {name}.{spec.default}" in loaded.text
    results = loaded.data.eval_results or []
    assert [(r.dataset_type, r.metric_type, r.metric_value) for r in results] == [
        (row.dataset, metric, value) for row in measured for metric, value in row.scores.items()
    ]
    assert ("1.500" in loaded.text) == bool(measured)


def test_a_card_tells_what_is_explained_where_that_was_measured(tmp_path: Path) -> None:
    row = Measured("osie", "test", 5, "mit", "0" * 40, {"nss": 1.5})
    config = Config("salgan", "lite", {}, {}, "0" * 64, "apache-2.0", None, (row,))
    assert "explained" not in card.render(read_spec("salgan"), config).lower()
    rows = (replace(row, explained=Explained(0.9012, 0.861, 0.9415)), replace(row, dataset="eyecrowd"))
    text = card.render(read_spec("salgan"), replace(config, measured=rows))
    assert "| dataset | split | images | nss ↑ | explained |" in text
    assert "| osie | test | 5 | 1.500 | 90.1% (86.1% to 94.2%) |" in text
    assert "| eyecrowd | test | 5 | 1.500 |  |" in text
    write_config(tmp_path, replace(config, measured=rows))
    assert read_config(tmp_path).measured == rows


def test_a_card_tells_the_calibration_of_the_weights_until_it_is_measured_anew(tiny_checkpoint: Path) -> None:
    row = Measured("osie", "test", 5, "mit", "0" * 40, {"nss": 1.5})
    (tiny_checkpoint / RELIABILITY).write_text("<svg/>")

    def text() -> str:
        return (tiny_checkpoint / "README.md").read_text(encoding="utf-8")

    card.record(tiny_checkpoint, [row])
    assert RELIABILITY not in text(), "of no numbers"
    card.record(tiny_checkpoint, [replace(row, calibration=Calibration(0.0316, 2.512, 2.498, "1" * 40))])
    card.record(tiny_checkpoint, [replace(row, scores={"nss": 1.6}), replace(row, dataset="eyecrowd")])
    assert f"]({RELIABILITY})" in text()
    assert "were measured: osie test 0.032, 2.51 and 2.50." in text()
    assert [each.scores["nss"] for each in read_config(tiny_checkpoint).measured] == [1.6, 1.5]
    card.record(tiny_checkpoint, [replace(row, calibration=Calibration(0.04, 2.0, 2.0, "2" * 40))])
    assert "were measured: osie test 0.040, 2.00 and 2.00." in text()


def test_a_copy_of_shipped_weights_shows_their_images(tmp_path: Path) -> None:
    salzoo.load("centre_bias").save_pretrained(tmp_path / "copy")
    assert card.images_in(tmp_path / "copy") == [*IMAGES]
    text = (tmp_path / "copy/README.md").read_text(encoding="utf-8")
    assert all(f"]({image})" in text for image in IMAGES)


@every_checkpoint
def test_shipped_checkpoint(name: str, tag: str) -> None:
    folder = shipped_checkpoint(name, tag)
    assert folder is not None
    config = read_config(folder)
    assert (config.model, config.tag, config.license) == (name, tag, "apache-2.0")
    assert config.sha256 == hash_file(folder / WEIGHTS)
    assert set(config.network) <= set(parameters(import_class(read_spec(name)))) - {"preprocess"}
    limit = 40e6 if name == "deepgaze2e" else 12e6
    assert sum(path.stat().st_size for path in folder.iterdir()) < limit
    assert config.provenance is not None

    written = card.render(read_spec(name), config, images=card.images_in(folder))
    assert (folder / "README.md").read_text(encoding="utf-8") == written
    assert ModelCard.load(folder / "README.md").data.license == config.license


def test_every_shipped_checkpoint_is_a_variant_of_a_model() -> None:
    folders = {path.parent.name for path in shipped("hub").glob(f"*/{CONFIG}")}
    assert folders == {f"{name}.{tag}" for name in tiny_models.NAMES for tag in read_spec(name).variants} & folders
