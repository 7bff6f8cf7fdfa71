"""Loading with the unmodified client: from cache and Hub, through faults and from hostile hands."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tiny_models
import torch
from hub.scenes import REPO, density, edit, publish_anything
from loopback_hub import LoopbackHub

import salzoo
from salzoo import registry
from salzoo.checkpoint.config import CONFIG, WEIGHTS
from salzoo.checkpoint.folder import read_config
from salzoo.checkpoint.hub import HubOptions, fetch_config, fetch_weights, parse
from salzoo.checkpoint.publishing import publish
from salzoo.errors import SpecError, WeightsError


class TestLoad:
    def test_by_name_from_the_pinned_commit(
        self, loopback: LoopbackHub, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A checkpoint that is not on this machine comes from the registry's commit, with the registry's sha256."""
        done = publish(folder, REPO)
        variant = registry.Variant("", hub=registry.HubPin(REPO, str(done.commit), str(read_config(folder).sha256)))
        pinned = registry.ModelSpec(**{**vars(registry.read_spec("deepgaze2")), "variants": {"lite": variant}})
        monkeypatch.setattr("salzoo.registry.read_spec", lambda name: pinned)
        monkeypatch.setattr("salzoo.registry.shipped", lambda name: folder / "nowhere")
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
        publish_anything(loopback, {CONFIG: (folder / CONFIG).read_bytes(), WEIGHTS: content})
        loopback.break_("GET", "/_lfs/", cut=11 << 20)
        address, access = parse(f"hf://{REPO}"), HubOptions()
        snapshot = fetch_config(address, access)
        fetch_weights(address, snapshot, access, hashlib.sha256(content).hexdigest(), len(content))
        assert (snapshot / WEIGHTS).read_bytes() == content
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
            ({"network": {"class_path": "os.system"}}, "unknown key 'class_path'"),
            ({"network": {"hidden": [10**12, 10**12]}}, "describes no network|of [0-9,]+ bytes"),
            ({"network": {"hidden": [300_000_000]}}, r"hidden=\(300000000,\) is not accepted"),
            ({"network": {"hidden": "64"}}, "expected a list"),
            ({"network": {"backbone": "hf-hub:mallory/model"}}, "timm .* 'hf-hub:mallory/model'"),
            ({"preprocess": {"size": [1 << 20, 1 << 20]}}, r"size \[1048576, 1048576\] is not accepted"),
        ],
    )
    def test_configs(
        self, loopback: LoopbackHub, folder: Path, changes: dict[str, object], words: str, tmp_path: Path
    ) -> None:
        edit(folder, **changes)
        content = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        publish_anything(loopback, content)
        with pytest.raises(WeightsError, match=words):
            salzoo.load(f"hf://{REPO}")
        assert not loopback.asked("GET", "/_lfs/")  # the weights were not even fetched

    @pytest.mark.parametrize("text", [b"{" * 1000, b"[" * 60_000, b'{"model": 1}', b"\xff\xfe"])
    def test_text_that_is_no_config(self, loopback: LoopbackHub, text: bytes) -> None:
        publish_anything(loopback, {CONFIG: text})
        with pytest.raises(WeightsError, match=r"not valid JSON|missing key"):
            salzoo.load(f"hf://{REPO}")

    def test_sizes(self, loopback: LoopbackHub, folder: Path) -> None:
        content = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        publish_anything(loopback, {**content, CONFIG: content[CONFIG] + b" " * (1 << 20)})
        with pytest.raises(WeightsError, match="at most 1048576 are read"):
            salzoo.load(f"hf://{REPO}")
        publish_anything(loopback, {**content, WEIGHTS: bytes(1 << 22)})
        with pytest.raises(WeightsError, match=r"model.safetensors has 4194304 bytes, but the network"):
            salzoo.load(f"hf://{REPO}")
        header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
        bomb = len(header).to_bytes(8, "little") + header
        edit(folder, sha256=hashlib.sha256(bomb).hexdigest())
        publish_anything(loopback, {CONFIG: (folder / CONFIG).read_bytes(), WEIGHTS: bomb})
        with pytest.raises(WeightsError, match=r"does not fit the network .* unknown \['x'\]"):
            salzoo.load(f"hf://{REPO}")

    def test_a_pickle_beside_the_weights_is_not_looked_at(self, loopback: LoopbackHub, folder: Path) -> None:
        content = {name: (folder / name).read_bytes() for name in (CONFIG, WEIGHTS)}
        publish_anything(loopback, {**content, "pytorch_model.bin": b"\x80\x04"})
        salzoo.load(f"hf://{REPO}")
        assert not loopback.asked("GET", "pytorch_model")


def test_models_of_a_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered model loads as any other; unregistered, its checkpoint says what to do."""
    monkeypatch.setattr(registry, "_registered", {})
    (tmp_path / "own.yaml").write_text(
        "class_path: salzoo.models.deepgaze2.DeepGazeII\nsummary: Mine.\ntraining: gradient\ndefault: lite\n"
        "variants: {lite: {summary: Mine.}}\n"
        "tiny: {backbone: test_efficientnet, feature_nodes: [8, 16], hidden: [8], preprocess: {size: [64, 96]}}\n"
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
        registry._forget()
    with pytest.raises(WeightsError, match=r"names the model 'own', .* salzoo.register its YAML"):
        salzoo.load(folder)
