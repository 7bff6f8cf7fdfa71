"""Training through the command line, in real processes where that matters: kill and resume, two devices."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from data import make_tiny
from lightning.pytorch import Trainer

import salzoo
from salzoo._version import commit
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.data import OSIE, SaliencyDataModule
from salzoo.metrics.functional import nss

EPOCHS = 8


def start(words: list[str], **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "salzoo", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=Path(salzoo.__file__).parents[1], **pipes, **options)  # type: ignore[call-overload]


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run has written a file, however slow the machine is."""
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "number"),
    [
        ("deepgaze2", ["--model.dropout=0.5"], signal.SIGKILL),
        (
            "salgan",
            ["--training.bootstrap_epochs=4"],
            signal.SIGTERM,
        ),  # in the first stage, resumed across into the second
        ("deepgaze2", ["--trainer.accumulate_grad_batches=2"], signal.SIGUSR1),  # SLURM's warning
        ("deepgaze2", ["--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.9"], signal.SIGKILL),
    ],
)
def test_a_killed_and_resumed_run_gives_the_same_weights(
    name: str, options: list[str], number: signal.Signals, tiny_data: Path, tmp_path: Path
) -> None:
    def words(folder: str) -> list[str]:
        return [*tiny_models.fit_words(name, tiny_data, tmp_path / folder), *options, f"--trainer.max_epochs={EPOCHS}"]

    last = tmp_path / "killed/checkpoints/last.ckpt"
    process = start(words("killed"), env=os.environ | (slurm(tmp_path) if number == signal.SIGUSR1 else {}))
    wait_for(last, process)
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), output
    if number != signal.SIGKILL:
        assert f"salzoo: stopped by {number.name}; --ckpt_path auto goes on where it was" in output
    if number == signal.SIGUSR1:
        assert (tmp_path / "scontrol.txt").read_text() == "requeue 12\n"
    assert not list((tmp_path / "killed").glob("*/config.json")), "it was killed before the end"
    assert 0 < torch.load(last, weights_only=False)["epoch"] + 1 < EPOCHS

    assert main([*words("killed"), "--ckpt_path", "auto"]) == 0
    assert main(words("whole")) == 0
    resumed, whole = (
        torch.load(tmp_path / folder / "checkpoints/last.ckpt", weights_only=False) for folder in ("killed", "whole")
    )
    assert resumed["epoch"] == whole["epoch"] == EPOCHS - 1
    assert same(resumed["state_dict"], whole["state_dict"])
    assert same(resumed["optimizer_states"], whole["optimizer_states"])
    folders = [tmp_path / folder / f"{name}.lite" for folder in ("killed", "whole")]
    assert read_config(folders[0]).sha256 == read_config(folders[1]).sha256


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_ends_with_130(tiny_data: Path, tmp_path: Path) -> None:
    """On the old code with 1, which is for what failed."""
    process = start([*tiny_models.fit_words("deepgaze2", tiny_data, tmp_path / "run"), "--trainer.max_epochs=500"])
    wait_for(tmp_path / "run/checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == "salzoo: interrupted"


def slurm(folder: Path) -> dict[str, str]:
    """Return the environment of a SLURM job of one task, with a `scontrol` that writes down how it was called."""
    script = folder / "bin/scontrol"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\necho $* > {folder}/scontrol.txt\n")
    script.chmod(0o755)
    job = {
        "NTASKS": "1",
        "NNODES": "1",
        "JOB_ID": "12",
        "JOB_NAME": "fit",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
    }
    variables = {f"SLURM_{key}": value for key, value in job.items()}
    return {**variables, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


def same(a: object, b: object) -> bool:
    """Compare nested dicts and lists of tensors bit by bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_the_seed_decides(tiny_data: Path, tmp_path: Path) -> None:
    sums = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path / folder)
        assert main([*words, f"--seed_everything={seed}"]) == 0
        config = read_config(tmp_path / folder / "deepgaze2.lite")
        assert config.provenance is not None
        assert config.provenance.seed == seed
        sums.append(config.sha256)
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.slow
def test_two_processes_of_one_command(tiny_data: Path, tmp_path: Path) -> None:
    """Lightning starts the second; the two networks of SalGAN take turns, and one idles in every step."""
    words = [*tiny_models.fit_words("salgan", tiny_data, tmp_path), "--training.bootstrap_epochs=1"]
    process = start([*words, "--trainer.devices=2"], start_new_session=True)
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output
    assert "MEMBER: 2/2" in output, "the second process ran"
    assert output.count(f"Wrote {tmp_path / 'salgan.lite'}") == 1
    assert "Batch normalisation measures over each process's own batch" in output
    folder = tmp_path / "salgan.lite"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert salzoo.load(folder).predict(np.zeros((9, 12), np.uint8)).shape == (9, 12)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    ]


def test_a_run_is_not_overwritten(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main(words) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(words) == 2
    assert "holds a run already: resume it with --ckpt_path last, or choose another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_resume_needs_a_run(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main([*words, "--ckpt_path", "last"]) == 2
    assert "to resume from; --ckpt_path auto starts anew" in capsys.readouterr().err
    assert main([*words, "--ckpt_path", str(tmp_path / "other.ckpt")]) == 2
    assert "other.ckpt to resume from does not exist" in capsys.readouterr().err


def test_the_best_epoch_is_exported(tiny_data: Path, tmp_path: Path) -> None:
    """A rate that ruins the weights after the first epochs: what is exported is not the last."""
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main([*words, "--trainer.max_epochs=4", "--training.lr=3"]) == 0
    best, last = (torch.load(tmp_path / f"checkpoints/{n}.ckpt", weights_only=False) for n in ("best", "last"))
    assert best["epoch"] < last["epoch"] == 3
    exported = salzoo.load(tmp_path / "deepgaze2.lite").network.state_dict()
    key = "readout.0.weight"
    assert torch.equal(exported[key], best["state_dict"][f"network.{key}"].half().float())


@pytest.mark.parametrize(("epochs", "validated"), [(7, ["1", "3", "5"]), (1, [])])
def test_the_best_validated_epoch_is_exported(
    epochs: int, validated: list[str], tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every second epoch is validated, under a rate that ruins the weights."""
    words = [*tiny_models.fit_words("deepgaze2", tiny_data, tmp_path), "--training.lr=10"]
    assert main([*words, f"--trainer.max_epochs={epochs}", "--trainer.check_val_every_n_epoch=2"]) == 0
    last = kept = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=False)
    assert last["epoch"] == epochs - 1
    rows = [r for log in tmp_path.glob("logs/*/metrics.csv") for r in csv.DictReader(log.read_text().splitlines())]
    scores = {row["epoch"]: float(row["val/nss"]) for row in rows if row["val/nss"]}
    assert list(scores) == validated
    if validated:
        kept = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=False)
        assert str(kept["epoch"]) == max(scores, key=lambda epoch: scores[epoch]) != validated[-1]
    else:
        assert not (tmp_path / "checkpoints/best.ckpt").exists()
        assert "No epoch was validated" in caplog.text
    exported = salzoo.load(tmp_path / "deepgaze2.lite").network.state_dict()
    key = "readout.0.weight"
    assert torch.equal(exported[key], kept["state_dict"][f"network.{key}"].half().float())


@pytest.mark.parametrize("name", ["deepgaze2", "salgan"])
def test_resuming_another_number_of_steps_is_refused(
    name: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny_models.fit_words(name, tiny_data, tmp_path)
    assert main(words) == 0
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    for batch, now in ((4, "6 steps in 3 epochs"), (8, "3 steps in 3 epochs")):
        capsys.readouterr()
        assert main([*words, "--trainer.max_epochs=3", f"--data.batch_size={batch}", "--ckpt_path=last"]) == 2
        error = capsys.readouterr().err
        assert f"was laid out for 4 steps in 2 epochs on 1 device(s), this run takes {now} on 1 device(s)" in error
        assert "-o" in error
        assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before
    assert main([*words, "--ckpt_path=last"]) == 0


def test_a_schedule_without_an_end_goes_on(tiny_data: Path, tmp_path: Path) -> None:
    """SalGAN as in its paper has constant rates: a finished run takes more epochs."""
    words = [*tiny_models.fit_words("salgan", tiny_data, tmp_path), "--training.optimizer=sgd"]
    assert main([*words, "--trainer.max_epochs=1"]) == 0
    assert main([*words, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=False)["epoch"] == 1


def test_closed_form(tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words("centre_bias", tiny_data, tmp_path)
    assert main(words) == 0
    model = salzoo.load(tmp_path / "centre_bias.lite")
    density = model.network.prior.log_density.exp()[0, 0]
    assert density.shape == (12, 16)
    assert density.sum().item() == pytest.approx(1, abs=1e-5)

    expected = torch.zeros(12, 16)  # at 3 % of a side a kernel hardly leaves its cell: nearly a histogram
    for points, (height, width) in SaliencyDataModule("osie", tiny_data).train_points():
        rows, columns = (points.y + 0.5) / height * 12, (points.x + 0.5) / width * 16
        for row, column in zip(rows.astype(int).clip(0, 11), columns.astype(int).clip(0, 15), strict=True):
            expected[row, column] += 1
    expected /= expected.sum()
    assert torch.corrcoef(torch.stack([density.flatten(), expected.flatten()]))[0, 1] > 0.9
    config = read_config(tmp_path / "centre_bias.lite")
    assert config.provenance is not None
    assert config.provenance.data == ("osie:train",)
    assert config.network["grid"] == [12, 16]


def test_maps_without_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = make_tiny.osie(tmp_path / "points")
    pictures = OSIE(study, "all")
    (tmp_path / "maps/maps").mkdir(parents=True)
    (study / "data/stimuli").rename(tmp_path / "maps/images")
    (study / "data/stimuli").symlink_to(tmp_path / "maps/images")
    (study / "splits.json").rename(tmp_path / "maps/splits.json")
    for i, name in enumerate(pictures.names):
        np.save(tmp_path / "maps/maps" / f"{name[:-4]}.npy", pictures[i]["density"].numpy())
    words = tiny_models.fit_words("deepgaze2", tmp_path / "maps", tmp_path / "run")
    words[words.index("osie")] = "folder"
    assert main([*words, "--trainer.max_epochs=2"]) == 1
    assert "the dataset has only maps" in capsys.readouterr().err, "its own loss needs points"
    assert main([*words, "-o", str(tmp_path / "kl"), "--training.loss=kl", "--trainer.max_epochs=2"]) == 0
    (log,) = (tmp_path / "kl/logs").glob("*/metrics.csv")
    columns = log.read_text().splitlines()[0].split(",")
    assert sorted(c for c in columns if c.startswith("val/")) == ["val/cc", "val/kld", "val/sim"]
    state = torch.load(tmp_path / "kl/checkpoints/best.ckpt", weights_only=False)["callbacks"]
    assert any("val/cc" in key for key in state)


def test_options_go_over_the_recipe_and_into_the_record(tiny_data: Path, tmp_path: Path) -> None:
    words = tiny_models.fit_words("salgan", tiny_data, tmp_path)
    words[words.index("osie")] = "scene500,eyecrowd"
    assert main([*words, "--training.lr=0.01", "--data.augment.crop=0.2", "--license", "cc-by-4.0"]) == 0
    folder = tmp_path / "salgan.lite"
    config = read_config(folder)
    assert config.provenance is not None
    assert config.provenance.data == ("scene500:train", "eyecrowd:train")
    recipe = config.provenance.recipe
    assert recipe["data"]["augment"] == {"flip": 0.5, "crop": 0.2, "grey": 0, "blur": 0}
    assert recipe["trainer"]["max_epochs"] == 2
    assert (config.training["lr"], config.license) == (0.01, "cc-by-4.0")
    assert config.provenance.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert str(tiny_data) not in json.dumps(recipe), "where the data lay is nobody's business"
    assert "license: cc-by-4.0" in (folder / "README.md").read_text()


def test_what_half_precision_costs_is_measured_and_told(tiny_data: Path, tmp_path: Path) -> None:
    assert main(tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)) == 0
    folder = tmp_path / "deepgaze2.lite"
    config = read_config(folder)
    assert config.provenance is not None
    assert config.provenance.halved is not None
    val = OSIE(tiny_data, "val")
    scores = [
        nss(torch.from_numpy(salzoo.load(folder).predict(item["image"]).density)[None], item["fixations"][None])
        for item in (val[i] for i in range(len(val)))
    ]
    assert config.provenance.halved.float16 == pytest.approx(torch.cat(scores).mean().item(), abs=1e-4)
    assert config.provenance.halved.float32 == pytest.approx(config.provenance.halved.float16, abs=0.01)
    assert config.provenance.halved.float32 != config.provenance.halved.float16
    assert f"NSS {config.provenance.halved.float16:.4f}" in (folder / "README.md").read_text()


def test_the_commit_is_recorded(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    assert commit(package) == f"salzoo {salzoo.__version__}"

    def git(*words: str) -> str:
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *name, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init")
    (tmp_path / "other").write_text("somebody else's repository, with salzoo inside")
    git("add", "other")
    git("commit", "-m", "first")
    assert commit(package) == f"salzoo {salzoo.__version__}"
    (package / "__init__.py").write_text("1")
    git("add", "package")
    git("commit", "-m", "second")
    assert commit(package) == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("2")
    assert commit(package) == git("rev-parse", "HEAD") + "+changes"
    assert commit(package, ("package",)) == git("rev-parse", "HEAD")
    assert commit(package, ("packages", "other")) == git("rev-parse", "HEAD") + "+changes"


def test_a_published_network_is_trained_on_with_its_own_statistics(tiny_data: Path, tmp_path: Path) -> None:
    folder = tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / "checkpoint")
    options = {"max_steps": 1, "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    networks = {}
    for name, model in {"published": salzoo.load(folder), "new": tiny_models.build("deepgaze2")}.items():
        before = {key: t.clone() for key, t in model.network.state_dict().items() if "standardise" in key}
        data = SaliencyDataModule("osie", tiny_data, batch_size=4)
        Trainer(accelerator="cpu", enable_model_summary=False, **options).fit(model, datamodule=data)
        after = model.network.state_dict()
        networks[name] = all(torch.equal(before[key], after[key]) for key in before)
    assert networks == {"published": True, "new": False}


def test_tensorboard_keeps_the_scores_of_each_epoch(tiny_data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main([*words, "--trainer.logger=TensorBoardLogger"]) == 0
    (events,) = (tmp_path / "logs/version_0").glob("events.out.tfevents.*")
    logs = EventAccumulator(str(events)).Reload()
    scores = [point.value for point in logs.Scalars("val/nss")]
    assert len(scores) == 2
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    (kept,) = (state for name, state in best["callbacks"].items() if "val/nss" in name)
    assert max(scores) == pytest.approx(float(kept["best_model_score"]), abs=1e-6)


def test_averaged_weights_are_what_is_exported(tiny_data: Path, tmp_path: Path) -> None:
    """By Lightning's callback, which is in the record."""
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main([*words, "--trainer.callbacks+=EMAWeightAveraging", "--trainer.callbacks.decay=0.9"]) == 0
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    folder = tmp_path / "deepgaze2.lite"
    exported = {f"network.{name}": tensor for name, tensor in salzoo.load(folder).network.state_dict().items()}
    learned = [name for name in exported if "readout" in name and "weight" in name]

    def furthest(state: dict[str, torch.Tensor]) -> float:
        return max(float((exported[name] - state[name]).abs().max()) for name in learned)

    assert furthest(best["state_dict"]) < 0.1 * furthest(best["current_model_state"]), "but for half precision"
    provenance = read_config(folder).provenance
    assert provenance is not None
    (callback,) = provenance.recipe["trainer"]["callbacks"]
    assert callback["class_path"].endswith("EMAWeightAveraging")
    assert callback["init_args"]["decay"] == 0.9


@pytest.mark.parametrize("logger", ["TensorBoardLogger", "[CSVLogger, lightning.pytorch.loggers.TensorBoardLogger]"])
def test_without_tensorboard_its_logger_says_what_to_install(
    logger: str, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # Python then finds no such package
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    if logger.startswith("["):
        inits = [
            {"class_path": each.strip(), "init_args": {"save_dir": str(tmp_path)}} for each in logger[1:-1].split(",")
        ]
        logger = json.dumps(inits)
    assert main([*words, f"--trainer.logger={logger}"]) == 2
    expected = 'salzoo: TensorBoardLogger needs TensorBoard: pip install "salzoo[tensorboard]".'
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert not (tmp_path / "checkpoints").exists()


def test_a_small_network_starts_from_a_large_one_and_learns_from_it(tiny_data: Path, tmp_path: Path) -> None:
    large = tiny_models.save(tiny_models.build("deepgaze2e", components=1), tmp_path / "deepgaze2e.lite")
    small = ["--model.backbones=[test_efficientnet]", "--model.feature_nodes=[[8, 16]]", "--model.components=1"]
    options = [*small, "--model.tta=[[1.0, false]]", "--model.dropout=0", "--training.lr=1e-9", "--training.loss=kl"]

    once = ("--data.augment.flip=0", "--trainer.max_epochs=1", "--trainer.log_every_n_steps=1")

    def fitted(name: str, *more: str) -> tuple[dict[str, torch.Tensor], float]:
        words = tiny_models.fit_words("deepgaze2e", tiny_data, tmp_path / name)
        assert main([*words, *options, *once, *more]) == 0
        logged = csv.DictReader(next((tmp_path / name / "logs").rglob("metrics.csv")).read_text().splitlines())
        losses = [float(line["train/loss"]) for line in logged if line["train/loss"]]
        return salzoo.load(str(tmp_path / name / "deepgaze2e.lite")).network.state_dict(), losses[0]

    taken, loss = fitted("own", f"--training.start={large}")
    given = salzoo.load(str(large)).network.state_dict()
    for name, tensor in taken.items():
        if not name.startswith("familiarity."):  # fitted after training
            torch.testing.assert_close(tensor, given[name].to(tensor), atol=2e-3, rtol=0)
    numbers = [{name.split(".")[1] for name in names if name.startswith("members.")} for names in (given, taken)]
    assert numbers == [{"0", "1"}, {"0"}]

    again = tmp_path / "own/deepgaze2e.lite"
    _, taught = fitted("taught", f"--training.start={again}", f"--training.teacher={again}")
    assert taught < 1e-3 < loss
    config = read_config(tmp_path / "taught/deepgaze2e.lite")
    assert config.provenance is not None
    assert config.provenance.recipe["training"]["teacher"] == str(again)
