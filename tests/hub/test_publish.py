"""Publishing with the unmodified client: one commit, nothing overwritten, nothing unfit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from hub.scenes import REPO, ROW, density, edit
from loopback_hub import LoopbackHub

import salzoo
from salzoo import registry
from salzoo._io import hash_file
from salzoo.checkpoint import card
from salzoo.checkpoint.config import IMAGES, WEIGHTS, Calibration, Measured
from salzoo.checkpoint.folder import read_config
from salzoo.checkpoint.publishing import publish
from salzoo.cli import main
from salzoo.errors import PublishError
from salzoo.registry import read_spec, shipped


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

    @pytest.mark.parametrize("image", IMAGES)
    def test_an_image_goes_along_with_the_card_that_shows_it(
        self, loopback: LoopbackHub, folder: Path, image: str
    ) -> None:
        (folder / image).write_bytes(b"whatever it shows")
        with pytest.raises(PublishError, match=rf"{image} is not shown by .*README.md; write the card again"):
            publish(folder, REPO)
        card.record(folder, [replace(ROW, calibration=Calibration(0.01, 2.5, 2.4, "0" * 40))])
        done = publish(folder, REPO)
        files = loopback.repos[REPO].commits[str(done.commit)].files
        assert files[image] == (folder / image).read_bytes()
        assert f"]({image})".encode() in files["README.md"]
        (folder / image).unlink()
        with pytest.raises(PublishError, match=rf"README.md shows {image}, which is missing; write the card again"):
            publish(folder, REPO)

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
        edited = files["README.md"].replace(b"## Training", b"## Training, and what we found since")
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
            (folder / WEIGHTS).stat().st_size,
            read_config(folder).sha256,
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
            ({"model": "nobodys"}, "names the model 'nobodys', which this zoo does not have"),
            ({"sha256": "0" * 64}, "they are not of one run"),
        ],
    )
    def test_config(self, folder: Path, changes: dict[str, object], words: str) -> None:
        edit(folder, **changes)
        with pytest.raises(PublishError, match=words):
            publish(folder, REPO, dry_run=True)

    def test_numbers_of_a_few_images(self, folder: Path) -> None:
        edit(folder, measured=[{**vars(ROW), "images": 4}])
        with pytest.raises(PublishError, match="osie test was measured on 4 images, which tell nothing"):
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

        tensors = load_file(folder / WEIGHTS)
        name = next(key for key, tensor in tensors.items() if tensor.ndim == 4 and len(tensor) > 1)
        if change == "nan":
            tensors[name][0, 0, 0, 0] = float("nan")
        if change == "size":
            tensors[name] = tensors[name][:1].clone()
        save_file(tensors, folder / WEIGHTS, {"a": "1", "b": "2"} if change == "keys" else None)
        edit(folder, sha256=hash_file(folder / WEIGHTS))
        with pytest.raises(PublishError, match=words):
            publish(folder, REPO, dry_run=True)

    def test_card(self, folder: Path) -> None:
        (folder / "README.md").write_text("# No header\n")
        with pytest.raises(PublishError, match="library_name is None, expected 'salzoo'"):
            publish(folder, REPO, dry_run=True)
        (folder / "README.md").unlink()
        with pytest.raises(PublishError, match=r"README.md is missing"):
            publish(folder, REPO, dry_run=True)


def test_a_published_checkpoint_is_pinned_by_the_command(
    loopback: LoopbackHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is copied by hand, every other line of the YAML stays, and the name loads from the Hub then."""
    configs = Path(shutil.copytree(shipped("zoo_configs"), tmp_path / "configs"))
    before = (configs / "deepgaze2.yaml").read_text()
    monkeypatch.setattr(registry, "shipped", lambda name: configs if name == "zoo_configs" else tmp_path / "nowhere")
    registry._forget()
    try:
        for version in ("v1", "v2"):  # the second pin replaces the first
            edit(folder, license="mit" if version == "v2" else "apache-2.0")
            card.record(folder, [])
            assert main(["publish", str(folder), "--repo", REPO, "--version", version, "--pin"]) == 0
            pin = read_spec("deepgaze2").variants["lite"].hub
            assert pin is not None
            assert (pin.repo, pin.sha256) == (REPO, read_config(folder).sha256)
            lines = (configs / "deepgaze2.yaml").read_text().splitlines()
            assert [line for line in lines if not line.startswith("    hub:")] == before.splitlines()
            assert len(lines) == len(before.splitlines()) + 1
        model = salzoo.load("deepgaze2")
        assert model.config.license == "mit"
    finally:
        monkeypatch.undo()
        registry._forget()
