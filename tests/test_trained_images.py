"""What a checkpoint was trained on is known by the images themselves, wherever they lie, whatever they are called."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import tiny_models
from PIL import Image

import salzoo
from salzoo.checkpoint.config import Config, shipped_images
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import FixationFolder, SaliencyDataModule, load_dataset
from salzoo.errors import WeightsError
from salzoo.evaluation.scoring import overlap
from salzoo.images.fingerprint import pack, unpack
from salzoo.images.samples import SAMPLES, sample_images
from salzoo.registry import shipped

NAMES = [f"{name}_{part}" for name in SAMPLES for part in range(4)]


def quarters() -> list[Image.Image]:
    """Return the quarters of six photographs, in the order of `NAMES`."""
    photographs = [image for name, image in sample_images().items() if name in SAMPLES]
    halves = ((0, 0), (1, 0), (0, 1), (1, 1))
    return [
        image.crop(
            (x * image.width // 2, y * image.height // 2, (x + 1) * image.width // 2, (y + 1) * image.height // 2)
        )
        for image in photographs
        for x, y in halves
    ]


def study(root: Path, images: dict[str, Image.Image], **splits: list[str]) -> Path:
    """Write a study in which three observers look somewhere."""
    (root / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(0), [("image", "observer", "x", "y")]
    for name, image in images.items():
        image.save(root / "images" / name)
        looks = rng.uniform(0, (image.width - 1, image.height - 1), (3, 4, 2))
        rows += [(name, str(who), f"{x:.1f}", f"{y:.1f}") for who in range(3) for x, y in looks[who]]
    with (root / "fixations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (root / "splits.json").write_text(json.dumps(splits))
    return root


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the first 16 quarters: 10 to train on, 2 to validate, 4 to test."""
    images = {f"{name}.png": image for name, image in zip(NAMES[:16], quarters()[:16], strict=True)}
    names = list(images)
    return study(tmp_path_factory.mktemp("first"), images, train=names[:10], val=names[10:12], test=names[12:])


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another study: 3 training images of the first, renamed, scaled and compressed, and 8 images that it has not."""
    own = quarters()
    images = {f"stimulus{i}.jpg": own[i].resize((400, 300)) for i in (0, 4, 9, *range(16, 24))}
    return study(tmp_path_factory.mktemp("copies"), images, test=list(images))


@pytest.fixture(scope="module")
def fitted(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that `salzoo fit` trained on the first study."""
    output = tmp_path_factory.mktemp("fitted")
    assert main(["fit", "centre_bias", "--data", "folder", "--root", str(first), "-o", str(output)]) == 0
    return output / "centre_bias.lite"


def warnings_of(source: Path | SaliencyModel, root: Path, split: str = "test") -> tuple[str, ...]:
    model = source if isinstance(source, SaliencyModel) else salzoo.load(source)
    return overlap(model, load_dataset("folder", root, split))  # type: ignore[arg-type]


SEEN = "Warning: the model was trained on {} of these {} images (folder:train): its row is no test."


def test_copies_are_found_and_namesakes_are_not_blamed(first: Path, copies: Path, fitted: Path, tmp_path: Path) -> None:
    """The old code compared names: it blamed every study, as all are called `folder`, and missed every copy."""
    assert warnings_of(fitted, copies) == (SEEN.format(3, 11),)
    assert warnings_of(fitted, first, "train") == (SEEN.format(10, 10),)
    assert warnings_of(fitted, first, "all") == (SEEN.format(10, 16),)
    assert warnings_of(fitted, first, "test") == ()
    others = {f"{name}.png": image for name, image in zip(NAMES[16:], quarters()[16:], strict=True)}
    names = list(others)
    assert warnings_of(fitted, study(tmp_path, others, train=names[:4], test=names[4:]), "train") == ()


def test_the_command_says_so(copies: Path, fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(fitted), "uniform", "--data", "folder", "--root", str(copies), "--baselines", ""]
    assert main(words) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "was trained on" in line]
    assert told == [SEEN.format(3, 11).replace("the model", str(fitted))]
    before = (fitted / "README.md").read_text()
    assert main([*words[:2], *words[3:], "--record"]) == 1
    assert f"--record wrote nothing into {fitted}. Warning: {fitted} was trained on 3" in capsys.readouterr().err
    assert (fitted / "README.md").read_text() == before


def test_what_was_seen_travels(first: Path, copies: Path, fitted: Path, tmp_path: Path) -> None:
    """Saved anew, with other weights, and fine-tuned: what the weights have seen stays known."""
    model = salzoo.load(fitted)
    model.save_pretrained(tmp_path / "same")
    model.network.prior.log_density += 0.1
    model.save_pretrained(tmp_path / "changed")
    assert read_config(tmp_path / "changed").provenance is None
    others = {f"{name}.png": image for name, image in zip(NAMES[16:20], quarters()[16:20], strict=True)}
    names = list(others)
    root = study(tmp_path / "others", others, train=names[:3], val=names[3:])
    words = ["finetune", str(fitted), "--data", "folder", "--root", str(root), "-o", str(tmp_path / "tuned")]
    assert main(words) == 0
    assert warnings_of(tmp_path / "same", copies) == (SEEN.format(3, 11),)
    assert warnings_of(tmp_path / "changed", copies) == (SEEN.format(3, 11),)
    assert warnings_of(tmp_path / "tuned/centre_bias.lite", copies) == (SEEN.format(6, 11),)
    assert warnings_of(tmp_path / "tuned/centre_bias.lite", first, "train") == (SEEN.format(10, 10),)


def test_lightning_s_own_loop_remembers(first: Path, copies: Path, tmp_path: Path) -> None:
    """The model in memory, its `.ckpt` and its folder."""
    model = tiny_models.build("deepgaze2")
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger"), False)
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, limit_val_batches=0, default_root_dir=tmp_path, **quiet)
    trainer.fit(model, SaliencyDataModule("folder", first, batch_size=4))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    model.save_pretrained(tmp_path / "saved", license="mit")
    for source in (model, tmp_path / "run.ckpt", tmp_path / "saved"):
        assert warnings_of(source, copies) == (SEEN.format(3, 11),), source


def test_shipped_checkpoints(first: Path, tiny_data: Path) -> None:
    """Their images are in one file by set, and compared by content: a miniature called osie is not OSIE."""
    configs = [read_config(path.parent) for path in shipped("hub").glob("*/config.json")]
    assert set(shipped_images()) == {entry for config in configs for entry in config.trained_on}
    counts = {entry: len(unpack(text)) for entry, text in shipped_images().items()}
    assert counts == {
        "osie:train": 449,  # two of OSIE's 450 are the same
        "eyecrowd:train": 300,
        "scene500:train": 300,
    }
    model = salzoo.load("centre_bias")
    assert overlap(model, load_dataset("osie", tiny_data, "train")) == ()
    config = model.config
    assert config is not None
    mine = FixationFolder(first, "train").fingerprints().tolist()
    one = unpack(shipped_images()["osie:train"]).tolist()[7]
    model.config = config.with_images([FixationFolder(first, "train")])
    assert unpack(model.config.images_seen["folder:train"]).tolist() == sorted(mine)
    assert one in unpack(model.config.images_seen["osie:train"])


def test_unknown_images_go_by_name(tiny_data: Path) -> None:
    """Of a checkpoint without a record, and of a set that does not ship: named, unless it is a user's study."""
    model = tiny_models.build("uniform")
    bare = Config("uniform", "none", {}, {})
    for entry, splits in (("eyecrowd:all", ("train", "test", "all")), ("scene500:all", ())):
        model.config = replace(bare, trained_images={entry: ""})
        for split in ("train", "test", "all"):
            found = overlap(model, load_dataset("eyecrowd", tiny_data, split))  # type: ignore[arg-type]
            assert len(found) == (split in splits)
            assert all("which goes by the same name" in note for note in found)
    for name, other, expected in (("salicon2015", "salicon2017", 1), ("cat2000", "cat2000_observers", 1)):
        model.config = replace(bare, trained_images={f"{name}:train": ""})
        dataset = load_dataset("eyecrowd", tiny_data, "train")
        dataset.name = other
        assert len(overlap(model, dataset)) == expected
    model.config = replace(bare, trained_images={"mit1003:all": ""})
    dataset.name = "mit300"
    assert overlap(model, dataset) == ()


def test_a_damaged_record_is_told(fitted: Path, tmp_path: Path) -> None:
    content = json.loads((fitted / "config.json").read_text())
    assert content["trained_images"]["folder:train"] == pack(unpack(content["trained_images"]["folder:train"]).tolist())
    content["trained_images"]["folder:train"] = "AAAA"
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"trained_images\.folder:train: 'AAAA' is not base64"):
        read_config(tmp_path)
