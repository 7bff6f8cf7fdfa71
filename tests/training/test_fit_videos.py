"""Training on clips: through the command line, on drawn dots that move."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_models
import torch
from data import make_clips
from data.make_clips import FRAMES, OBSERVERS, SIZE
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

import salzoo
from salzoo import losses
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.video_model import VideoModel
from salzoo.data import ClipView, VideoDataModule, VideoFolder
from salzoo.data.base import Batch
from salzoo.evaluation.videos import evaluate_videos
from salzoo.evaluation.videos.scoring import model_predictor
from salzoo.images.preprocess import Preprocess

QUIET = ("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false")


def words(name: str, root: Path, output: Path, *more: str) -> list[str]:
    """Return a command that fits a tiny model on clips."""
    options = tiny_models.fit_words(name, root, output)
    own = [word for word in options if word.startswith(("--model.", "--config="))]
    return ["fit", name, "--data", "videos", "--root", str(root), "-o", str(output), *QUIET, *own, *more]


class Lagging(nn.Module):
    """The brightness of each frame, and of those before it as far as the one learned number wants."""

    temporal = True

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.alpha = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))

    def forward(self, image: Tensor) -> Tensor:
        return self.scale * image.mean(1, keepdim=True)

    def step(self, image: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        now, weight = self(image), self.alpha.sigmoid()
        average = now if state is None else weight * now + (1 - weight) * state
        return average, average


class LaggingModel(VideoModel):
    """A model of one number."""

    network_class = Lagging
    default_preprocess = Preprocess(SIZE, mean=(0.5,) * 3, std=(0.25,) * 3)

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return losses.get("nll")(self.to_log_density(logits), batch)


@pytest.mark.slow
@pytest.mark.parametrize(("lead", "remembers"), [(0, False), (4, True)])
def test_memory_is_learned_where_gaze_is_late(tmp_path: Path, lead: int, remembers: bool) -> None:
    """The weight of the new frame, .95 at first, falls if people look at where the dot was; else it does not."""
    root = make_clips.videos(tmp_path, clips=20, lead=lead)
    model = LaggingModel()
    model.training_config = model.training_class(lr=0.5)
    trainer = Trainer(
        max_epochs=8, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(model, datamodule=VideoDataModule("videos", root, batch_size=4, length=FRAMES, augment=None))
    weight = float(model.network.alpha.detach().sigmoid())  # type: ignore[union-attr, operator]
    assert (weight < 0.6) is remembers
    study = VideoFolder(root, "test")
    predictor = model_predictor("m", model, frame_by_frame=True)
    rows = evaluate_videos({"m": predictor}, study, baselines=(), progress=False).rows
    gain = rows["m"]["nss"] - rows["m frame by frame"]["nss"]
    assert gain > (0.5 if remembers else -0.1)


def test_salema_through_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_clips.videos(tmp_path / "clips")
    run = tmp_path / "run"
    more = ["--model.learn_weight=true", "--data.length=4", "--data.windows=2", "--trainer.max_epochs=3"]
    assert main(words("salema", root, run, *more)) == 0
    assert "Effective batch: 2 windows of 4 frames x 1 devices" in caplog.text
    model = salzoo.load(str(run / "salema.paper"))
    assert float(model.network.alpha.detach().sigmoid()) != pytest.approx(0.525, abs=1e-4)  # type: ignore[union-attr, operator]
    config = read_config(run / "salema.paper")
    assert config.trained_on == ("videos:train",)
    assert config.provenance is not None
    assert config.provenance.recipe["data"]["length"] == 4
    assert "root" not in config.provenance.recipe["data"]
    assert config.provenance.halved is not None
    logged = list(csv.DictReader(next((run / "logs").rglob("metrics.csv")).read_text().splitlines()))
    assert any(line["val/nss"] for line in logged)
    frames = list(model.predict_video(str(root / "videos/clip0.mp4")))
    assert len(frames) == FRAMES


def test_the_weight_alone_from_the_weights_of_an_image_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_clips.videos(tmp_path / "clips")
    start = tiny_models.save(tiny_models.build("salema"), tmp_path / "start/salema.paper")
    more = ["--model.learn_weight=true", "--training.weight_alone=true", f"--training.start={start}"]
    assert main(words("salema", root, tmp_path / "run", *more, "--trainer.max_epochs=2")) == 0
    before, after = salzoo.load(str(start)).network.state_dict(), None
    after = salzoo.load(str(tmp_path / "run/salema.paper")).network.state_dict()
    assert set(after) - set(before) == {"alpha"}
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert float(after["alpha"].sigmoid()) != pytest.approx(0.525, abs=1e-4)
    config = read_config(tmp_path / "run/salema.paper")
    assert config.provenance is not None
    assert config.provenance.parent is not None
    assert config.provenance.parent.model == "salema"
    assert main(words("salema", root, tmp_path / "b", "--training.weight_alone=true")) == 2


@pytest.mark.parametrize("name", ["unisal"])
def test_models_of_images_take_frames_of_clips(name: str, tmp_path: Path) -> None:
    root = make_clips.videos(tmp_path / "clips")
    more = ["--data.length=3", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
    assert main(words(name, root, tmp_path / "run", *more)) == 0
    (folder,) = (path.parent for path in (tmp_path / "run").glob("*/config.json"))
    assert json.loads((folder / "config.json").read_text())["provenance"]["data"][0] == "videos:train"


def test_models_of_windows_learn_the_last_frame(tmp_path: Path) -> None:
    root = make_clips.videos(tmp_path / "clips")
    model = tiny_models.build("vinet")
    module = VideoDataModule("videos", root, size=model.preprocess.size, length=5)
    batch = next(iter(module.train_dataloader()))
    maps = model.train().logits_of_clips(batch["image"])
    assert maps.shape[:3] == (2, 1, 1)
    loss = model.training_step(batch, 0) if model._trainer else None
    assert loss is None or loss.isfinite()


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_a_loader_of_ones_own(tmp_path: Path) -> None:
    """Clips of any loader: frames without fixations are left out, statistics are fitted."""
    root = make_clips.videos(tmp_path / "clips", clips=8)
    lines = (root / "gaze.csv").read_text().splitlines()
    (root / "gaze.csv").write_text("\n".join(x for x in lines if ",0.100000," not in x))
    model = tiny_models.build("deepgaze2")
    view = ClipView(VideoFolder(root, "all"), model.preprocess.size, length=FRAMES)
    assert int((view[0]["density"].sum((1, 2)) == 0).sum()) == 1
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_train_batches=2, default_root_dir=tmp_path,
    )  # fmt: skip
    seen: list[int] = []
    inner = model.default_loss

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        seen.append(len(logits))
        assert int(batch["fixations"].sum()) == OBSERVERS * len(logits)
        return inner(logits, batch)

    model.default_loss = loss  # type: ignore[method-assign]
    trainer.fit(model, DataLoader(view, batch_size=2))
    assert seen == [2 * (FRAMES - 1)] * 2


def test_what_does_not_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_clips.videos(tmp_path / "clips", clips=4)
    common = ["--root", str(root), "-o", str(tmp_path / "run")]
    for command, error in (
        (["fit", "salema", "--data", "videos,osie"], "--data names images and videos, videos, osie"),
        (["fit", "salgan", "--data", "videos"], "salgan is trained on images in a way of its own, and not on clips"),
        (["fit", "edn", "--data", "videos"], "edn is trained on images in a way of its own"),
        (["fit", "salema", "--data", "videos", "--data.cache=x"], "cache"),
    ):
        assert main([*command, *common]) == 2
        assert error in capsys.readouterr().err


def test_the_base_takes_each_frame_by_itself() -> None:
    model: SaliencyModel = tiny_models.build("deepgaze2")
    clip = torch.randint(0, 256, (2, 3, 3, *model.preprocess.size), dtype=torch.uint8)
    with torch.no_grad():
        maps, alone = model.eval().logits_of_clips(clip), model(clip[1, 2:3])
    assert torch.allclose(maps[1, 2:3], alone, atol=1e-5)


@pytest.mark.parametrize(
    "name", [name for name in tiny_models.GRADIENT if isinstance(tiny_models.build(name), VideoModel)]
)
def test_each_network_of_videos_takes_batches_of_clips(name: str) -> None:
    """Two clips at once are as each alone, and a gradient comes back."""
    model = tiny_models.build(name).train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd):
            module.eval()
    clips = torch.randint(0, 256, (2, 3, 3, *model.preprocess.size), dtype=torch.uint8)
    maps = model.logits_of_clips(clips)
    assert torch.allclose(maps[1:], model.logits_of_clips(clips[1:]), atol=1e-4, rtol=1e-4)
    assert maps.shape[0] == 2
    assert maps.shape[1] in (1, 3)
    maps.square().mean().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.network.parameters())
