"""What commands say is so: options that would do nothing are refused, misspelt ones named, rates the scheduler's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import tiny_models
import torch
from matplotlib.figure import Figure

from salzoo.cli import main
from salzoo.components.saliency_model import SaliencyModel
from salzoo.data import SaliencyDataModule
from salzoo.registry import resolve
from salzoo.studies.loss_report import _draw
from salzoo.studies.loss_study import Result, Trial
from salzoo.training.callbacks import AtomicCheckpointIO
from salzoo.training.distributed import statement
from salzoo.training.fit import Run, parse


def test_processes_without_an_engine_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old code took the number and used one process."""
    assert main(["predict", "a.png", "-o", str(tmp_path), "--processes", "2"]) == 2
    assert "--engine torchrun or ray" in capsys.readouterr().err


def test_an_unknown_option_of_the_model_names_the_nearest(tiny_data: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["fit", "deepgaze2", "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path)]
    assert main([*words, "--model.hiden=[8]"]) == 2
    assert "did you mean --model.hidden?" in capsys.readouterr().err


def test_the_printed_rate_is_the_scheduler_s(tiny_data: Path, tmp_path: Path) -> None:
    """In the middle of a run the old code printed the rate of the step as the highest."""

    def configure(self: SaliencyModel) -> Any:
        optimizer = torch.optim.SGD(self.parameter_groups(), lr=0.5)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    model = tiny_models.build("deepgaze2", lr=1e-3)
    model.configure_optimizers = configure.__get__(model)  # type: ignore[method-assign]
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "logger"), False)
    trainer = pl.Trainer(accelerator="cpu", max_steps=2, limit_val_batches=0, default_root_dir=tmp_path, **quiet)
    trainer.fit(model, SaliencyDataModule("osie", tiny_data, batch_size=4))
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-3
    assert "Learning rate: 0.001 at its highest" in statement(trainer, model)


def test_what_print_config_prints_is_read_back(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old code printed plugins that no parser takes."""
    words = ["fit", "deepgaze2", "-o", str(tmp_path / "run"), "--trainer.accelerator=cpu", "--trainer.max_epochs=3"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--data", "osie", "--root", str(tiny_data), "--training.lr=0.25", "--print_config"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    config = tmp_path / "config.yaml"
    config.write_text(printed)
    run = Run(resolve("deepgaze2")[0], "lite", tmp_path / "run", ["--config", str(config)])
    again = parse(run)
    assert again.config["training"]["lr"] == 0.25
    assert (again.trainer.max_epochs, again.datamodule.sets) == (3, ["osie"])
    assert any(isinstance(plugin, AtomicCheckpointIO) for plugin in [again.trainer.strategy.checkpoint_io])


def test_the_curve_of_one_step_is_a_dot() -> None:
    """The old code drew a line from nowhere to nowhere."""
    axes = Figure().subplots()
    results = [Result(Trial("salicon", "osie", "mse", seed, 1), "", 0.0, ((4, 0.7),), {}, {}) for seed in (0, 1)]
    _draw(axes, results, ["mse"], "")
    (line,) = axes.get_lines()
    assert line.get_marker() == "o"
    assert line.get_xydata().tolist() == [[4, 0.7]]
