"""What takes processes of their own: empty caches, races, kills, the older client, Xet."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from hub.scenes import REPO, SCRIPT, density, spawn
from loopback_hub import LoopbackHub

import salzoo
from salzoo import registry
from salzoo.checkpoint.publishing import publish


@pytest.mark.slow
class TestProcesses:
    def test_two_at_once_into_an_empty_cache(self, loopback: LoopbackHub, folder: Path, tmp_path: Path) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", times=2, slow=0.2)
        outputs = [tmp_path / "a.npy", tmp_path / "b.npy"]
        jobs = [spawn(loopback, tmp_path / "home", SCRIPT, f"hf://{REPO}", str(output)) for output in outputs]
        for job, output in zip(jobs, outputs, strict=True):
            _, errors = job.communicate(timeout=600)
            assert job.returncode == 0, errors
            assert torch.equal(torch.from_numpy(np.load(output)), density(folder))

    def test_a_kill_during_a_download(self, loopback: LoopbackHub, folder: Path, tmp_path: Path) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", slow=60)
        job = spawn(loopback, tmp_path / "cache", SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy"))
        deadline = time.monotonic() + 600
        while not loopback.asked("GET", "/_lfs/"):
            assert time.monotonic() < deadline
            assert job.poll() is None, job.stderr
            time.sleep(0.05)
        job.kill()
        job.communicate()
        assert torch.equal(density(f"hf://{REPO}", cache_dir=tmp_path / "cache" / "hub"), density(folder))

    def test_all_shipped_checkpoints_there_and_back(self, loopback: LoopbackHub, tmp_path: Path) -> None:
        """Published, listed, and loaded by another process with an empty cache: the same density to the bit."""
        shipped = sorted(path for path in registry.shipped("hub").glob("*.*") if path.is_dir())
        for path in shipped:
            publish(path, f"ana/{path.name}")
        listed = {model.id for model in huggingface_hub.HfApi(loopback.url).list_models(author="ana")}
        assert listed == {f"ana/{path.name}" for path in shipped}
        script = SCRIPT.replace("np.save", "for name in sys.argv[3:]: np.save").replace(
            "sys.argv[2]", "sys.argv[2] + name"
        )
        script = script.replace("sys.argv[1]", "sys.argv[1] + name")
        names = [path.name for path in shipped]
        job = spawn(loopback, tmp_path / "home", script, "hf://ana/", str(tmp_path / "out."), *names)
        _, errors = job.communicate(timeout=600)
        assert job.returncode == 0, errors
        for path in shipped:
            there = torch.from_numpy(np.load(tmp_path / f"out.{path.name}.npy"))
            assert torch.equal(there, density(path)), path.name

    def test_the_older_client(self, folder: Path, tmp_path: Path) -> None:
        """huggingface_hub 1.33, in an environment of its own over this one's other libraries."""
        place = Path(sys.prefix) / "huggingface_hub-1.33"
        if not place.is_dir():
            command = ["pip", "install", "--quiet", "--target", str(place), "huggingface_hub==1.33.0"]
            subprocess.run([sys.executable, "-m", *command], check=True)
        path = os.pathsep.join([str(place), str(Path(salzoo.__file__).parents[1])])
        check = (
            "import huggingface_hub, sys; assert huggingface_hub.__version__ == '1.33.0', huggingface_hub.__version__\n"
        )
        with LoopbackHub() as server:
            script = check + "from salzoo.cli import main; sys.exit(main(sys.argv[1:]))"
            for _ in range(2):
                words = ["publish", str(folder), "--repo", REPO]
                job = spawn(server, tmp_path / "home", script, *words, PYTHONPATH=path)
                output, errors = job.communicate(timeout=600)
                assert job.returncode == 0, output + errors
            assert len(server.repos[REPO].commits) == 2
            server.break_("GET", "/_lfs/", wrong=True)
            words = [check + SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy")]
            job = spawn(server, tmp_path / "home", *words, PYTHONPATH=path)
            _, errors = job.communicate(timeout=600)
            assert job.returncode == 0, errors
        assert torch.equal(torch.from_numpy(np.load(tmp_path / "a.npy")), density(folder))

    def test_xet(self, folder: Path, tmp_path: Path) -> None:
        """The client's default path for large files, through its own code into a folder; pinned to this hf_xet."""
        (tmp_path / "store").mkdir()
        with LoopbackHub(tmp_path / "store") as server:
            words = ["from salzoo.cli import main; import sys; sys.exit(main(sys.argv[1:]))"]
            job = spawn(
                server, tmp_path / "home", *words, "publish", str(folder), "--repo", REPO, HF_HUB_DISABLE_XET="0"
            )
            output, errors = job.communicate(timeout=600)
            assert job.returncode == 0, output + errors
            assert not server.asked("PUT", "/_put/")
            load = [SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy")]
            job = spawn(server, tmp_path / "home2", *load, HF_HUB_DISABLE_XET="0")
            _, errors = job.communicate(timeout=600)
            assert job.returncode == 0, errors
            assert not server.asked("GET", "/_lfs/")
        assert torch.equal(torch.from_numpy(np.load(tmp_path / "a.npy")), density(folder))
