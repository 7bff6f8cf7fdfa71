"""Runs of several processes, and what kills them: real processes, real signals, a real file size limit."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ddp_validate
import numpy as np
import pytest
import shared_evaluate
import tiny_models
import torch
from torch import nn
from torchrun_workers import workers
from training.test_fit import EPOCHS, start

from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.evaluation.baselines import ROWS
from salzoo.metrics import METRICS
from salzoo.training.callbacks import LAST, PREVIOUS, is_whole
from salzoo.training.distributed import environment, launched, synchronised

ROOT = Path(__file__).parents[2]
LOOPBACK = {
    "GLOO_SOCKET_IFNAME": "lo",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else restarted ranks of torch 2.14 find the addresses of dead ones
}


def torchrun(words: list[str], *options: str) -> subprocess.Popen[str]:
    """Start one agent; it ends with all that it started when its session is killed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--rdzv-backend=c10d", *options, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=os.environ | LOOPBACK, cwd=ROOT, start_new_session=True, **pipes)


def ended(*agents: subprocess.Popen[str]) -> list[str]:
    """Wait for agents, and return what they printed; leave no process behind."""
    try:
        outputs = [agent.communicate(timeout=900)[0] for agent in agents]
    finally:
        for agent in agents:
            if agent.poll() is None:
                os.killpg(agent.pid, signal.SIGKILL)
    for agent, output in zip(agents, outputs, strict=True):
        assert agent.returncode == 0, output
    return outputs


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is true, ten minutes at most; fail if the process ends before."""
    for _ in range(120_000):
        if condition():
            return
        if process.poll() is not None:
            break
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError(process.communicate()[0])


def words(root: Path, output: Path) -> list[str]:
    """Return a run over 16 pictures, of which 2 are left over in each epoch of one or two processes."""
    fit = tiny_models.fit_words("deepgaze2", root, output)
    fit[fit.index("osie")] = "osie,scene500"
    return [*fit, f"--trainer.max_epochs={EPOCHS}", "--trainer.limit_train_batches=1.0", "--data.batch_size=3"]


def weights(output: Path) -> str:
    return read_config(output / "deepgaze2.lite").sha256


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc")
def test_a_killed_rank_is_restarted_and_two_machines_reach_the_same_weights(tiny_data: Path, tmp_path: Path) -> None:
    """One agent with two ranks, of which one is killed, and two agents with one rank each, left alone."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    fit = ["-m", "salzoo", *words(tiny_data, killed), "--ckpt_path=auto"]
    agent = torchrun(fit, "--nproc-per-node=2", "--max-restarts=1", f"--rdzv-endpoint=127.0.0.1:{free_port()}")
    wait_for((killed / "checkpoints" / PREVIOUS).exists, agent)
    ranks = workers(agent.pid)
    assert sorted(ranks) == [0, 1]
    os.kill(ranks[1], signal.SIGKILL)
    (output,) = ended(agent)
    assert "Restored all states from the checkpoint" in output, output
    assert "Effective batch: 3 images x 2 devices x 1 accumulated = 6; 2 steps an epoch" in output

    endpoint = f"--rdzv-endpoint=127.0.0.1:{free_port()}"
    fit = ["-m", "salzoo", *words(tiny_data, whole)]
    outputs = ended(*(torchrun(fit, "--nnodes=2", "--nproc-per-node=1", "--rdzv-id=7", endpoint) for _ in range(2)))
    assert sum("2 x cpu on 2 node(s)" in output for output in outputs) == 1
    assert sum(f"Wrote {whole}" in output for output in outputs) == 1
    assert weights(killed) == weights(whole)
    assert sorted(p.name for p in (killed / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


@pytest.mark.slow
def test_validation_is_exact_in_any_number_of_processes(tiny_data: Path, tmp_path: Path) -> None:
    expected = ddp_validate.validate(tiny_data)
    assert expected["batches"] == 6
    for count in (2, 5):  # of 12 pictures two processes have 2 and three have 3
        script = [ddp_validate.__file__, str(tiny_data), str(tmp_path)]
        ended(torchrun(script, f"--nproc-per-node={count}", f"--rdzv-endpoint=127.0.0.1:{free_port()}"))
        reports = [json.loads(path.read_text()) for path in tmp_path.glob(f"{count}-*.json")]
        assert len(reports) == count
        for report in reports:
            assert report["processes"] == count
            for name in ("val/nss", "val/auc_judd", "val/cc", "val/sim", "val/kld"):
                assert report[name] == pytest.approx(expected[name], rel=0, abs=1e-9), name


@pytest.fixture(scope="module")
def maps(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return maps of the five test pictures, which have five sizes."""
    dataset, folder = load_dataset("osie", tiny_data, "test"), tmp_path_factory.mktemp("maps")
    assert len({dataset.size(i) for i in range(5)}) == len(dataset.names) == 5
    for i, name in enumerate(dataset.names):
        np.save(folder / f"{Path(name).stem}.npy", dataset[i]["density"].numpy() + 1e-5)
    return folder


def evaluation(model: Path, maps: Path, root: Path, output: Path) -> list[str]:
    """Return the words of an evaluation that writes all that can be written."""
    output.mkdir(exist_ok=True)
    files = ["--csv", str(output / "t.csv"), "--json", str(output / "t.json"), "--record", "--intervals"]
    return ["evaluate", str(model), "--maps", str(maps), "--data", "osie", "--root", str(root), *files]


def same_numbers(one: object, other: object) -> bool:
    """Compare nested JSON; numbers to 1e-9."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same_numbers(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_numbers, one, other))
    return one == other or (isinstance(one, float) and one == pytest.approx(other, rel=0, abs=1e-9, nan_ok=True))


def table(output: Path) -> list[list[str | float]]:
    lines = csv.reader((output / "t.csv").read_text().splitlines()[1:])
    return [[row, image, *map(float, scores[: len(METRICS)])] for row, image, *scores in lines]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "options"), [(2, []), (3, ["--metric-specific"])])
def test_an_evaluation_is_the_same_in_any_number_of_processes(
    count: int, options: list[str], tiny_data: Path, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row, shuffled AUC and gold among them, on 5 pictures of 5 sizes that no two processes share evenly."""
    models = [tiny_models.save(tiny_models.build("deepgaze2"), tmp_path / name / "tiny") for name in ("one", "many")]
    alone = evaluation(models[0], maps, tiny_data, tmp_path / "one")
    together = evaluation(models[1], maps, tiny_data, tmp_path / "many")
    assert main([*alone, *options]) == 0
    printed = capsys.readouterr().out.replace(str(models[0]), str(models[1]))
    (tmp_path / "read").mkdir()
    script = [shared_evaluate.__file__, str(tmp_path / "read"), *together, *options]
    (output,) = ended(torchrun(script, f"--nproc-per-node={count}", f"--rdzv-endpoint=127.0.0.1:{free_port()}"))
    read = [path.name.split("-") for path in (tmp_path / "read").iterdir()]
    assert sorted(index for index, _, _ in read) == ["0", "1", "2", "3", "4"], "each picture once"
    assert len({rank for _, rank, _ in read}) == len({process for _, _, process in read}) == count

    expected, found = table(tmp_path / "one"), table(tmp_path / "many")
    assert len(found) == 5 * (2 + len(ROWS))
    assert same_numbers([line[1:] for line in expected], [line[1:] for line in found])
    expected, found = (json.loads((tmp_path / name / "t.json").read_text()) for name in ("one", "many"))
    for part in ("rows", "intervals"):
        assert same_numbers(list(expected[part].values()), list(found[part].values()))
    one, many = (read_config(model).measured for model in models)
    assert [(row.images, row.scores) for row in one] == [(row.images, row.scores) for row in many]
    assert [row.images for row in many] == [5]
    assert output.count("| auc_judd") == 1
    assert printed in output


@pytest.mark.slow
def test_an_evaluation_that_fails_writes_nothing(tiny_data: Path, maps: Path, tmp_path: Path) -> None:
    """It starts two processes itself; a map that cannot be read is told by the one whose picture it is."""
    (tmp_path / "maps").mkdir()
    for path in maps.iterdir():
        (tmp_path / "maps" / path.name).write_bytes(path.read_bytes())
    words = ["--maps", str(tmp_path / "maps"), "--data", "osie", "--root", str(tiny_data), "--processes", "2"]
    words += ["--baselines=", "--csv", str(tmp_path / "t.csv")]
    sorted((tmp_path / "maps").iterdir())[1].write_bytes(b"broken")
    process = start(["evaluate", *words], env=os.environ | LOOPBACK, start_new_session=True)
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 1, output
    assert output.count("cannot be read") == 1
    assert "rank      : 1 (local_rank: 1)" in output
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sets the limit of another process")
def test_a_full_disk_leaves_the_last_whole_checkpoint(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full, whole = tmp_path / "full", tmp_path / "whole"
    process = start(words(tiny_data, full), start_new_session=True)
    wait_for((full / "checkpoints" / LAST).exists, process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file may grow further
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert "the disk is full (File too large" in output
    assert "--ckpt_path auto" in output
    assert "Traceback" not in output
    assert not list(full.glob("checkpoints/.*.part"))
    assert is_whole(full / "checkpoints" / LAST)
    assert main([*words(tiny_data, full), "--ckpt_path=auto"]) == 0
    assert main(words(tiny_data, whole)) == 0
    assert weights(full) == weights(whole)


SMALL_DISK = """
mount -t tmpfs -o size=$SIZE tmpfs "$DISK" || exit 9
"$@"
echo "ended with $?; on the disk: $(ls -A "$DISK/checkpoints" | xargs)"
cp "$DISK/checkpoints/last.ckpt" "$DISK/../stopped.ckpt"
mount -o remount,size=64m "$DISK" && "$@" --ckpt_path=auto && cp -r "$DISK/deepgaze2.lite" "$DISK/.."
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_disk_without_room_leaves_the_last_whole_checkpoint(tiny_data: Path, tmp_path: Path, ranks: int) -> None:
    """A real small disk: a third checkpoint fits on it, a fourth does not; then it grows. Lightning starts rank 1."""
    own = ["unshare", "-rm"]  # mounts that only this process and its children see
    probe = subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {probe.stderr.strip()}; only the limit of a file is tested")
    disk, whole = tmp_path / "disk", tmp_path / "whole"
    disk.mkdir()
    many = [f"--trainer.devices={ranks}"]
    start([*words(tiny_data, whole), *many]).communicate(timeout=300)
    size = 3.5 * (whole / "checkpoints" / LAST).stat().st_size
    fit = [sys.executable, "-m", "salzoo", *words(tiny_data, tmp_path / "words"), *many, "-o", str(disk)]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "SIZE": str(int(size)), "DISK": str(disk)}
    result = subprocess.run(
        [*own, "sh", "-c", SMALL_DISK, "sh", *fit],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    assert f"x {ranks} devices" in result.stderr
    assert "ended with 1; on the disk: best.ckpt last.ckpt previous.ckpt\n" in result.stdout
    assert result.stderr.count(f"the disk is full (No space left on device, {disk})") == 1
    assert "--ckpt_path auto" in result.stderr
    assert ranks == 2 or "Traceback" not in result.stderr, "a rank whose peer is gone says so at length"
    assert torch.load(tmp_path / "stopped.ckpt", weights_only=False)["epoch"] == 1
    assert weights(tmp_path) == weights(whole)


def test_a_damaged_checkpoint_is_never_resumed_from(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny_models.fit_words("deepgaze2", tiny_data, tmp_path)
    assert main([*words, "--trainer.max_epochs=3"]) == 0
    folder, expected = tmp_path / "checkpoints", weights(tmp_path)
    last, previous = ((folder / name).read_bytes() for name in (LAST, PREVIOUS))
    flipped = bytearray(last)
    flipped[len(last) // 2] ^= 1
    for content in (last[: len(last) // 2], bytes(flipped)):
        (folder / LAST).write_bytes(content)
        (folder / PREVIOUS).write_bytes(previous)
        assert main([*words, "--trainer.max_epochs=3", "--ckpt_path=last"]) == 0
        assert f"{folder / LAST} is damaged and is left out" in capsys.readouterr().out
        assert torch.load(folder / LAST, weights_only=False)["epoch"] == 2
        assert weights(tmp_path) == expected
    for path in folder.iterdir():
        path.write_bytes(b"")
    assert main([*words, "--ckpt_path=last"]) == 2
    assert "no checkpoint in" in capsys.readouterr().err


def test_the_launcher_says_how_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (launched(), environment()) == ({}, [])
    for key, value in {"NTASKS": "8", "NTASKS_PER_NODE": "4", "NNODES": "2", "JOB_NAME": "fit"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    slurm = launched()
    assert (slurm["devices"], slurm["num_nodes"]) == (4, 2)
    (plugin,) = environment()
    assert not plugin.auto_requeue


def test_batch_normalisation_is_synchronised_with_its_activation_and_what_is_frozen() -> None:
    model = tiny_models.build("salgan", frozen=("bn1",))
    images = torch.rand(2, 3, 64, 96)
    before, names = model(images), [n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    keys = list(model.state_dict())
    model = synchronised(model)
    assert names == [n for n, m in model.named_modules() if isinstance(m, nn.SyncBatchNorm)]
    assert list(model.state_dict()) == keys
    assert torch.equal(model(images), before)
    model.train()
    assert not model.network.backbone.trunk.bn1.training
    assert sum(m.training for m in model.modules() if isinstance(m, nn.SyncBatchNorm)) == len(names) - 1


def test_options_that_do_not_go_together_are_told(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = tiny_models.fit_words("salgan", tiny_data, tmp_path)
    assert main([*fit, "--trainer.gradient_clip_val=1"]) == 2
    assert "gradient clipping is not supported for manual optimization" in capsys.readouterr().err


def test_salgans_discriminator_may_learn_before_the_game(tiny_data: Path, tmp_path: Path) -> None:
    """In the last epochs of the first stage, which trains the network as it would without it."""
    states = {}
    for epochs in (0, 1):
        fit = tiny_models.fit_words("salgan", tiny_data, tmp_path / str(epochs))
        fit += ["--trainer.max_epochs=1", "--training.bootstrap_epochs=1", f"--training.discriminator_epochs={epochs}"]
        assert main([*fit, "--training.optimizer=sgd"]) == 0
        states[epochs] = torch.load(tmp_path / str(epochs) / "checkpoints/last.ckpt", weights_only=False)["state_dict"]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name.startswith("network"))
    judges = [name for name in states[0] if name.startswith("discriminator") and name.endswith("weight")]
    assert judges
    assert not any(torch.equal(states[0][name], states[1][name]) for name in judges)


def test_salgan_accumulates(tiny_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Both stages, with plain rates and no batch normalisation in training: 2 x 4 pictures do what 8 do, 4 do not."""
    states = []
    for batch, accumulated in ((4, 2), (8, 1), (4, 1)):
        folder = tmp_path / f"{batch}x{accumulated}"
        fit = tiny_models.fit_words("salgan", tiny_data, folder)
        fit[fit.index("osie")] = "osie,scene500"
        fit += ["--trainer.limit_train_batches=1.0", f"--data.batch_size={batch}", "--training.optimizer=sgd"]
        fit += ["--trainer.precision=32-true", "--trainer.limit_val_batches=0"]
        fit += ['--model.frozen=["conv_stem","bn1","blocks"]', f"--trainer.accumulate_grad_batches={accumulated}"]
        assert main(fit) == 0
        steps = 2 if batch * accumulated == 8 else 4
        whole = (
            f"{batch} images x 1 devices x {accumulated} accumulated = {batch * accumulated}; {steps} steps an epoch"
        )
        assert whole in caplog.text
        state = torch.load(folder / "checkpoints/last.ckpt", weights_only=False)
        assert state["global_step"] == 3 * steps, "both networks learn in the first epoch, and take turns in the second"
        states.append(torch.cat([t.flatten() for t in state["state_dict"].values() if t.is_floating_point()]))
    assert (states[0] - states[1]).abs().mean() < 1e-6
    assert (states[0] - states[2]).abs().mean() > 1e-5
