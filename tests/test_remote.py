"""The unmodified client against a Hub on this machine: load, publish, and all that can go wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
from loopback_hub import LoopbackHub

import salzoo
from salzoo import card, hub, remote, spec
from salzoo.cli import main
from salzoo.errors import PublishError, SpecError, WeightsError
from salzoo.hub import Measured
from salzoo.publish import publish

REPO = "ana/tiny"
PICTURE = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
ROW = Measured("osie", "test", 100, "mit", "0" * 40, {"nss": 1.5, "cc": 0.5})


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """Serve a Hub; the client of this process knows it, writes with ana's token, and keeps nothing elsewhere."""
    with LoopbackHub() as server:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_writer")
        monkeypatch.setattr(remote, "WAITS", (0.01, 0.01, 0.01))
        yield server


@pytest.fixture
def folder(tiny_checkpoint: Path) -> Path:
    """Return a checkpoint that is fit to be published."""
    card.record(tiny_checkpoint, [ROW])
    return tiny_checkpoint


def edit(folder: Path, **changes: object) -> None:
    path = folder / hub.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def density(name: str | Path, **options: object) -> torch.Tensor:
    return torch.from_numpy(salzoo.load(name, **options).predict(PICTURE).density)


class TestPublish:
    def test_one_commit_with_a_tag_and_the_same_density_to_the_bit(self, loopback: LoopbackHub, folder: Path) -> None:
        done = publish(folder, REPO)
        repo = loopback.repos[REPO]
        assert done.changed
        assert len(repo.commits) == 2
        assert repo.branches["main"] == done.commit
        assert repo.tags == {f"v{salzoo.__version__}": done.commit}
        files = repo.commits[str(done.commit)].files
        assert sorted(files) == [".gitattributes", "README.md", "config.json", "model.safetensors"]
        before = len(loopback.requests)
        for revision in ("main", f"v{salzoo.__version__}", done.commit):
            assert torch.equal(density(f"hf://{REPO}@{revision}"), density(folder))
        assert torch.equal(density(f"hf://{REPO}"), density(folder))
        agents = {headers["user-agent"] for _, path, headers in loopback.requests[before:] if "/resolve/" in path}
        assert agents
        assert all(agent.startswith(f"salzoo/{salzoo.__version__}; hf_hub/") for agent in agents)

    def test_the_header_is_what_the_hub_reads(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO)
        path = huggingface_hub.hf_hub_download(REPO, "README.md", endpoint=loopback.url)
        data = huggingface_hub.ModelCard.load(path).data
        assert (data.library_name, data.pipeline_tag, data.license) == ("salzoo", "image-to-image", "apache-2.0")
        assert {(r.dataset_type, r.metric_type, r.metric_value) for r in data.eval_results} == {
            ("osie", "nss", 1.5),
            ("osie", "cc", 0.5),
        }

    def test_the_unchanged_folder_makes_no_commit(self, loopback: LoopbackHub, folder: Path) -> None:
        first, second = publish(folder, REPO), publish(folder, REPO)
        assert (second.commit, second.changed) == (first.commit, False)
        assert len(loopback.repos[REPO].commits) == 2
        assert loopback.asked("POST", "/commit/main") == 1

    def test_a_version_is_never_moved(self, loopback: LoopbackHub, folder: Path) -> None:
        first = publish(folder, REPO)
        card.record(folder, [Measured("osie", "val", 50, "mit", "0" * 40, {"nss": 1.6})])
        with pytest.raises(PublishError, match=r"README.md, config.json changed, but the version v\S+ is commit"):
            publish(folder, REPO)
        second = publish(folder, REPO, version="v9")
        assert loopback.repos[REPO].tags == {f"v{salzoo.__version__}": first.commit, "v9": second.commit}

    def test_a_card_edited_on_the_hub_is_not_overwritten(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO)
        repo = loopback.repos[REPO]
        files = repo.commits[repo.branches["main"]].files
        edited = files["README.md"].replace(b"## Limits", b"## Limits, and what we found since")
        repo.commit({**files, "README.md": edited}, "edit in the browser")
        card.record(folder, [Measured("osie", "val", 50, "mit", "0" * 40, {"nss": 1.6})])
        with pytest.raises(PublishError, match=r"its README.md was edited on the Hub, and is not overwritten"):
            publish(folder, REPO, version="v9")
        assert len(repo.commits) == 3
        publish(folder, REPO, version="v9", keep_card=True)
        latest = repo.commits[repo.branches["main"]].files
        assert latest["README.md"] == edited
        assert latest["config.json"] == (folder / "config.json").read_bytes()

    def test_private(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO, private=True)
        assert loopback.repos[REPO].private

    def test_a_rehearsal_asks_nobody(self, loopback: LoopbackHub, folder: Path) -> None:
        done = publish(folder, REPO, dry_run=True)
        assert (done.commit, loopback.requests) == (None, [])
        assert done.files["model.safetensors"] == (
            (folder / hub.WEIGHTS).stat().st_size,
            hub.read_config(folder).sha256,
        )

    def test_the_command(
        self, loopback: LoopbackHub, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert main(["publish", str(folder), "--repo", REPO, "--dry-run"]) == 0
        assert "nothing was uploaded (--dry-run)" in capsys.readouterr().out
        assert main(["publish", str(folder), "--repo", REPO]) == 0
        assert f'salzoo.load("hf://{REPO}@{loopback.repos[REPO].branches["main"]}")' in capsys.readouterr().out
        assert main(["publish", str(folder), "--repo", REPO]) == 0
        assert "has this already" in capsys.readouterr().out
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        assert main(["publish", str(folder), "--repo", "ana/another"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("salzoo: hf://ana/another: the token has no right to do this")
        assert main(["publish", str(folder), "--repo", "nonsense"]) == 2

    @pytest.mark.parametrize(
        ("fault", "path", "method"),
        [
            ({"status": 429, "headers": {"Retry-After": "0"}}, "/api/models/ana/tiny$", "GET"),
            ({"status": 503}, "/commit/main", "POST"),
            ({"status": 500}, "/preupload/", "POST"),
            ({"status": 502}, "/tag/", "POST"),
            ({"status": 503}, "/_put/", "PUT"),
        ],
    )
    def test_what_fails_for_the_moment_is_tried_again(
        self, loopback: LoopbackHub, folder: Path, fault: dict[str, object], path: str, method: str
    ) -> None:
        loopback.break_(method, path, **fault)
        done = publish(folder, REPO)
        assert loopback.repos[REPO].tags[f"v{salzoo.__version__}"] == done.commit
        assert loopback.asked(method, path) >= 2

    def test_a_race_overwrites_nothing(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO)
        card.record(folder, [Measured("osie", "val", 50, "mit", "0" * 40, {"nss": 1.6})])
        loopback.break_("POST", "/commit/main", status=412)
        with pytest.raises(PublishError, match="was changed by somebody else in between"):
            publish(folder, REPO, version="v9")
        assert len(loopback.repos[REPO].commits) == 2

    @pytest.mark.parametrize(
        ("token", "words"),
        [
            ("hf_reader", "the token has no right to do this"),
            ("hf_expired", "the Hub refuses the token"),
        ],
    )
    def test_tokens(self, loopback: LoopbackHub, folder: Path, token: str, words: str) -> None:
        with pytest.raises(PublishError, match=words) as raised:
            publish(folder, REPO, token=token)
        assert token not in str(raised.value)


class TestUnfit:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("pytorch_model.bin", "can run code when it is opened"),
            ("last.ckpt", "can run code when it is opened"),
            ("notes.txt", "does not belong into a repository"),
        ],
    )
    def test_files(self, folder: Path, name: str, words: str) -> None:
        (folder / name).write_bytes(b"\x80\x04")
        with pytest.raises(PublishError, match=words):
            publish(folder, REPO, dry_run=True)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"license": " "}, "license is ' '; name the SPDX identifier"),
            ({"license": "unknown"}, "Nothing is published without one"),
            ({"license": "mit"}, "README.md: license is 'apache-2.0', expected 'mit'"),
            ({"measured": []}, r"has no measured numbers: `salzoo evaluate .* --record`"),
            ({"model": "nobodys"}, "this zoo has no model 'nobodys'"),
            ({"sha256": "0" * 64}, "they are not of one run"),
        ],
    )
    def test_config(self, folder: Path, changes: dict[str, object], words: str) -> None:
        edit(folder, **changes)
        with pytest.raises(PublishError, match=words):
            publish(folder, REPO, dry_run=True)

    def test_a_number_that_is_none(self, folder: Path) -> None:
        edit(folder, measured=[{**vars(ROW), "scores": {"nss": float("nan")}}])
        with pytest.raises(PublishError, match="nss on osie is not a number"):
            publish(folder, REPO, dry_run=True)

    @pytest.mark.parametrize(
        ("change", "words"), [("nan", "is not finite"), ("size", "misshapen"), ("keys", "2 metadata keys")]
    )
    def test_tensors(self, folder: Path, change: str, words: str) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / hub.WEIGHTS)
        name = next(key for key, tensor in tensors.items() if tensor.ndim == 4 and len(tensor) > 1)
        if change == "nan":
            tensors[name][0, 0, 0, 0] = float("nan")
        if change == "size":
            tensors[name] = tensors[name][:1].clone()
        save_file(tensors, folder / hub.WEIGHTS, {"a": "1", "b": "2"} if change == "keys" else None)
        edit(folder, sha256=hub.hash_file(folder / hub.WEIGHTS))
        with pytest.raises(PublishError, match=words):
            publish(folder, REPO, dry_run=True)

    def test_card(self, folder: Path) -> None:
        (folder / "README.md").write_text("# No header\n")
        with pytest.raises(PublishError, match="library_name is None, expected 'salzoo'"):
            publish(folder, REPO, dry_run=True)
        (folder / "README.md").unlink()
        with pytest.raises(PublishError, match=r"README.md is missing"):
            publish(folder, REPO, dry_run=True)


class TestLoad:
    def test_by_name_from_the_pinned_commit(
        self, loopback: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A checkpoint that is not on this machine comes from the registry's commit, with the registry's sha256."""
        done = publish(folder, REPO)
        variant = spec.Variant("", {}, {}, spec.Checkpoint(hub.read_config(folder).sha256, "mit", REPO, done.commit))
        pinned = spec.ModelSpec(**{**vars(spec.read_spec("deepgaze2")), "variants": {"lite": variant}})
        monkeypatch.setattr("salzoo.zoo.read_spec", lambda name: pinned)
        monkeypatch.setattr("salzoo.hub.shipped", lambda name: folder / "nowhere")
        assert torch.equal(density("deepgaze2"), density(folder))
        before = len(loopback.requests)
        assert torch.equal(density("deepgaze2"), density(folder))
        assert len(loopback.requests) == before  # a pinned commit in the cache asks nobody
        assert torch.equal(density("deepgaze2", revision="main"), density(folder))

    def test_offline_after_online(
        self, loopback: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        publish(folder, REPO)
        with pytest.raises(WeightsError, match=r"config.json is not in the cache, and local_files_only=True"):
            salzoo.load(f"hf://{REPO}", local_files_only=True)
        expected = density(f"hf://{REPO}")
        before = len(loopback.requests)
        assert torch.equal(density(f"hf://{REPO}", local_files_only=True), expected)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        assert torch.equal(density(f"hf://{REPO}"), expected)
        with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
            salzoo.load("hf://ana/other")
        assert len(loopback.requests) == before
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        salzoo.load(f"hf://{REPO}", cache_dir=tmp_path / "elsewhere")
        assert (tmp_path / "elsewhere" / "models--ana--tiny").is_dir()

    @pytest.mark.parametrize("token", [None, "hf_reader", "hf_wrong"])
    def test_private(
        self, loopback: LoopbackHub, folder: Path, token: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish(folder, REPO, private=True)
        assert density(f"hf://{REPO}", token="hf_writer").shape == (20, 30)
        monkeypatch.delenv("HF_TOKEN")
        words = "the Hub refuses the token" if token == "hf_wrong" else "no such repository, or it is private and"
        with pytest.raises(WeightsError, match=words):
            salzoo.load(f"hf://{REPO}", token=token)

    def test_gated(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO)
        loopback.repos[REPO].gated = True
        with pytest.raises(WeightsError, match=f"is gated: accept its terms at {loopback.url}/{REPO}"):
            salzoo.load(f"hf://{REPO}", token="hf_reader")

    def test_what_is_not_there(self, loopback: LoopbackHub, folder: Path) -> None:
        publish(folder, REPO)
        with pytest.raises(WeightsError, match=r"hf://ana/nothing: there is no such repository"):
            salzoo.load("hf://ana/nothing")
        with pytest.raises(WeightsError, match="has no branch, tag or commit 'v7'"):
            salzoo.load(f"hf://{REPO}@v7")
        loopback.repos[REPO].commit({"README.md": b"empty"}, "take everything out")
        with pytest.raises(WeightsError, match=r"is not a checkpoint of salzoo: it needs config.json"):
            salzoo.load(f"hf://{REPO}@main")

    @pytest.mark.parametrize("address", ["hf://tiny", "hf://a/b/c", "hf://../../etc", "hf://ana/tiny@", "hf://a b/c"])
    def test_bad_addresses(self, address: str) -> None:
        with pytest.raises(SpecError, match="is not an address on the Hub; accepted is hf://ORG/REPO"):
            salzoo.load(address)

    def test_options_that_mean_nothing(self, folder: Path) -> None:
        with pytest.raises(SpecError, match="has no revision 'main'"):
            salzoo.load(folder, revision="main")
        with pytest.raises(SpecError, match="give one revision"):
            salzoo.load("hf://a/b@v1", revision="v2")

    @pytest.mark.parametrize(
        "fault",
        [
            {"status": 500, "times": 2},
            {"status": 503},
            {"status": 429, "headers": {"Retry-After": "0"}},
            {"cut": 1000},
            {"slow": 0.01},
            {"wrong": True},
        ],
        ids=["500", "503", "429", "dropped", "slow", "wrong bytes"],
    )
    def test_faults_of_the_moment(self, loopback: LoopbackHub, folder: Path, fault: dict[str, object]) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", **fault)
        assert torch.equal(density(f"hf://{REPO}"), density(folder))

    def test_a_broken_line_goes_on_where_it_broke(self, loopback: LoopbackHub, folder: Path) -> None:
        """The client resumes in steps of 10 MiB; the bytes are checked as a whole."""
        content = np.random.default_rng(0).bytes(12 << 20)
        publish_anything(loopback, {hub.CONFIG: (folder / hub.CONFIG).read_bytes(), hub.WEIGHTS: content})
        loopback.break_("GET", "/_lfs/", cut=11 << 20)
        address, access = remote.parse(f"hf://{REPO}"), remote.Access()
        snapshot = remote.fetch_config(address, access)
        remote.fetch_weights(address, snapshot, access, hashlib.sha256(content).hexdigest(), len(content))
        assert (snapshot / hub.WEIGHTS).read_bytes() == content
        ranges = [
            headers.get("range") for method, path, headers in loopback.requests if "/_lfs/" in path and method == "GET"
        ]
        assert ranges == [None, f"bytes={10 << 20}-"]

    @pytest.mark.parametrize("fault", ["wrong", "short"])
    def test_faults_that_stay(self, loopback: LoopbackHub, folder: Path, fault: str) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", times=99, **{fault: True})
        words = "is not the expected file: its sha256 is" if fault == "wrong" else "Consistency check failed"
        with pytest.raises(WeightsError, match=words):
            salzoo.load(f"hf://{REPO}")
        loopback.faults.clear()
        assert torch.equal(density(f"hf://{REPO}"), density(folder))  # nothing bad stays in the cache

    def test_a_hub_that_does_not_answer_is_told_in_seconds(
        self,
        loopback: LoopbackHub,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        publish(folder, REPO)
        expected = density(f"hf://{REPO}")
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(WeightsError, match=r"does not answer, and the cache does not have it"):
            salzoo.load("hf://ana/other")
        assert time.monotonic() - start < 10
        with caplog.at_level(logging.WARNING):
            assert torch.equal(density(f"hf://{REPO}"), expected)
        assert "is taken from the cache" in caplog.text


class TestHostile:
    """Nothing on the Hub runs code or takes memory here."""

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"model": "os.system"}, "is not the name of a model or tag"),
            ({"model": "nobodys"}, "names the model 'nobodys', which this zoo does not have"),
            ({"tag": "../../.bashrc"}, "is not the name of a model or tag"),
            ({"class_path": "os.system"}, "unknown key 'class_path'"),
            ({"init_args": {"class_path": "os.system"}}, "unknown key 'class_path'"),
            ({"init_args": {"hidden": [10**12, 10**12]}}, "describes no network|of [0-9,]+ bytes"),
            ({"init_args": {"hidden": [300_000_000]}}, r"describes a network of [0-9,]+ bytes"),
            ({"init_args": {"hidden": "64"}}, "expected a list"),
            ({"init_args": {"backbone": "hf-hub:mallory/model"}}, "timm .* 'hf-hub:mallory/model'"),
            ({"init_args": {"preprocess": {"size": [1 << 20, 1 << 20]}}}, r"size \[1048576, 1048576\] is not accepted"),
        ],
    )
    def test_configs(
        self, loopback: LoopbackHub, folder: Path, changes: dict[str, object], words: str, tmp_path: Path
    ) -> None:
        edit(folder, **changes)
        content = {name: (folder / name).read_bytes() for name in (hub.CONFIG, hub.WEIGHTS)}
        publish_anything(loopback, content)
        with pytest.raises(WeightsError, match=words):
            salzoo.load(f"hf://{REPO}")
        assert not loopback.asked("GET", "/_lfs/")  # the weights were not even fetched

    @pytest.mark.parametrize("text", [b"{" * 1000, b"[" * 60_000, b'{"model": 1}', b"\xff\xfe"])
    def test_text_that_is_no_config(self, loopback: LoopbackHub, text: bytes) -> None:
        publish_anything(loopback, {hub.CONFIG: text})
        with pytest.raises(WeightsError, match=r"not valid JSON|missing key"):
            salzoo.load(f"hf://{REPO}")

    def test_sizes(self, loopback: LoopbackHub, folder: Path) -> None:
        content = {name: (folder / name).read_bytes() for name in (hub.CONFIG, hub.WEIGHTS)}
        publish_anything(loopback, {**content, hub.CONFIG: content[hub.CONFIG] + b" " * (1 << 16)})
        with pytest.raises(WeightsError, match="at most 65536 are read"):
            salzoo.load(f"hf://{REPO}")
        publish_anything(loopback, {**content, hub.WEIGHTS: bytes(1 << 22)})
        with pytest.raises(WeightsError, match=r"model.safetensors has 4194304 bytes, but the network"):
            salzoo.load(f"hf://{REPO}")
        header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
        bomb = len(header).to_bytes(8, "little") + header
        edit(folder, sha256=hashlib.sha256(bomb).hexdigest())
        publish_anything(loopback, {hub.CONFIG: (folder / hub.CONFIG).read_bytes(), hub.WEIGHTS: bomb})
        with pytest.raises(WeightsError, match="is not a safetensors file"):
            salzoo.load(f"hf://{REPO}")

    def test_a_pickle_beside_the_weights_is_not_looked_at(self, loopback: LoopbackHub, folder: Path) -> None:
        content = {name: (folder / name).read_bytes() for name in (hub.CONFIG, hub.WEIGHTS)}
        publish_anything(loopback, {**content, "pytorch_model.bin": b"\x80\x04"})
        salzoo.load(f"hf://{REPO}")
        assert not loopback.asked("GET", "pytorch_model")


def publish_anything(loopback: LoopbackHub, content: dict[str, bytes]) -> None:
    """Put files on the Hub as an attacker would, without salzoo."""
    api = huggingface_hub.HfApi(loopback.url, "hf_writer")
    api.create_repo(REPO, exist_ok=True)
    loopback.repos[REPO].commit(content, "anything")


SCRIPT = """
import sys, torch, salzoo, numpy as np
torch.set_num_threads(1)
picture = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
np.save(sys.argv[2], salzoo.load(sys.argv[1]).predict(picture).density)
"""


def spawn(loopback: LoopbackHub, home: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """Start a process with the environment that a user would set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    own = {"HF_ENDPOINT": loopback.url, "HF_HOME": str(home), "HF_TOKEN": "hf_writer", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", *words]
    return subprocess.Popen(
        command, env={**kept, **own, **environment}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


class TestProcesses:
    def test_two_at_once_into_an_empty_cache(self, loopback: LoopbackHub, folder: Path, tmp_path: Path) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", times=2, slow=0.2)
        outputs = [tmp_path / "a.npy", tmp_path / "b.npy"]
        jobs = [spawn(loopback, tmp_path / "home", SCRIPT, f"hf://{REPO}", str(output)) for output in outputs]
        for job, output in zip(jobs, outputs, strict=True):
            _, errors = job.communicate(timeout=120)
            assert job.returncode == 0, errors
            assert torch.equal(torch.from_numpy(np.load(output)), density(folder))

    def test_a_kill_during_a_download(self, loopback: LoopbackHub, folder: Path, tmp_path: Path) -> None:
        publish(folder, REPO)
        loopback.break_("GET", "/_lfs/", slow=60)
        job = spawn(loopback, tmp_path / "cache", SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy"))
        deadline = time.monotonic() + 120
        while not loopback.asked("GET", "/_lfs/"):
            assert time.monotonic() < deadline
            assert job.poll() is None, job.stderr
            time.sleep(0.05)
        job.kill()
        job.communicate()
        assert torch.equal(density(f"hf://{REPO}", cache_dir=tmp_path / "cache" / "hub"), density(folder))

    def test_all_shipped_checkpoints_there_and_back(self, loopback: LoopbackHub, tmp_path: Path) -> None:
        """Published, listed, and loaded by another process with an empty cache: the same density to the bit."""
        shipped = sorted(path for path in spec.shipped("hub").glob("*.*") if path.is_dir())
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
                output, errors = job.communicate(timeout=120)
                assert job.returncode == 0, output + errors
            assert len(server.repos[REPO].commits) == 2
            server.break_("GET", "/_lfs/", wrong=True)
            words = [check + SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy")]
            job = spawn(server, tmp_path / "home", *words, PYTHONPATH=path)
            _, errors = job.communicate(timeout=120)
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
            output, errors = job.communicate(timeout=120)
            assert job.returncode == 0, output + errors
            assert not server.asked("PUT", "/_put/")
            load = [SCRIPT, f"hf://{REPO}", str(tmp_path / "a.npy")]
            job = spawn(server, tmp_path / "home2", *load, HF_HUB_DISABLE_XET="0")
            _, errors = job.communicate(timeout=120)
            assert job.returncode == 0, errors
            assert not server.asked("GET", "/_lfs/")
        assert torch.equal(torch.from_numpy(np.load(tmp_path / "a.npy")), density(folder))


def test_models_of_a_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered model loads as any other; unregistered, its checkpoint says what to do."""
    monkeypatch.setattr(spec, "_registered", {})
    (tmp_path / "own.yaml").write_text(
        "class_path: salzoo.models.deepgaze2.DeepGazeII\nsummary: Mine.\ntraining: gradient\ndefault: lite\n"
        "variants: {lite: {summary: Mine.}}\n"
        "tiny: {backbone: test_efficientnet, taps: [8, 16], hidden: [8], preprocess: {size: [64, 96]}}\n"
    )
    try:
        assert salzoo.register(tmp_path / "own.yaml") == "own"
        assert "own" in salzoo.list_models()
        folder = tiny_models.save(tiny_models.build("own"), tmp_path / "checkpoint")
        assert density(folder).shape == (20, 30)
        (tmp_path / "salgan.yaml").write_text("")
        with pytest.raises(SpecError, match="there is a model 'salgan' already"):
            salzoo.register(tmp_path / "salgan.yaml")
        (tmp_path / "bad.yaml").write_text("summary: Nothing else.")
        with pytest.raises(SpecError, match="missing key"):
            salzoo.register(tmp_path / "bad.yaml")
        assert "bad" not in salzoo.list_models()
    finally:
        monkeypatch.undo()
        spec._forget()
    with pytest.raises(WeightsError, match=r"names the model 'own', .* salzoo.register its YAML"):
        salzoo.load(folder)
