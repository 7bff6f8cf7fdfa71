"""`salzoo import` for any model: what is refused, what is recorded, and where a checkpoint goes."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import salzoo
from salzoo import registry
from salzoo.checkpoint.folder import own_checkpoints, read_config
from salzoo.cli import main
from salzoo.errors import PublishError, SalzooWarning, SpecError, UnknownModelError, WeightsError
from salzoo.importing.check import compare
from salzoo.importing.source import Files, Options
from salzoo.importing.weights import import_weights

YAML = """
class_path: salzoo.models.deepgaze1.DeepGazeI
summary: A model of the tests.
training: gradient
default: lite
variants:
  lite: {{summary: Nobody trained it., network: {{backbone: test_efficientnet, feature_nodes: [8, 16]}}}}
authors:
  - name: first
    summary: A network of pseudo-random numbers
    files: [{{name: toy.npz, where: "https://example.org/toy", bytes: 1234567, sha256: "{sha256}"}}]
    license: LicenseRef-none
    license_note: The authors state none.
    trained_on: [mit1003:train]
    network: {{backbone: test_efficientnet, feature_nodes: [8, 16]}}
    preprocess: {{size: [64, 96]}}
  - name: second
    summary: The same with other names
    files: [{{name: a.npz, where: "https://example.org/a"}}, {{name: b.npz, where: "https://example.org/b"}}]
    license: MIT
    license_note: The repository is MIT.
    network: {{backbone: test_efficientnet, feature_nodes: [8, 16]}}
    preprocess: {{size: [64, 96]}}
"""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    files.skip("optimizer")
    for name in [name for name in files.names if name.startswith("net.")]:
        yield name.removeprefix("net."), files.take(name)
    if options.centre_bias is not None:
        options.notes.append("With a centre bias of the user's.")


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Return a file that fits, as arrays."""
    torch.manual_seed(0)
    model = salzoo.load("deepgaze1", weights=None, backbone="test_efficientnet", feature_nodes=(8, 16))
    state = model.network.state_dict()
    return {f"net.{name}": tensor.numpy().copy() for name, tensor in state.items()} | {"optimizer.step": np.ones(1)}


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return what writes a file and registers a model whose only known file it is."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    module = types.ModuleType("salzoo.importing.maps.toy")
    module.convert = convert  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def write(content: dict[str, np.ndarray], name: str = "toy.npz", *, known: bool = True) -> Path:
        path = tmp_path / name
        np.savez(path, **content)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if known else "0" * 64
        (tmp_path / "toy.yaml").write_text(YAML.format(sha256=sha256))
        registry.register(tmp_path / "toy.yaml")
        return path

    yield write
    registry._registered.pop("toy", None)
    registry._forget()


def test_before_the_import_the_name_says_what_to_do(save: Callable[..., Path], arrays: dict[str, np.ndarray]) -> None:
    save(arrays, known=False)
    with pytest.raises(WeightsError) as told:
        salzoo.load("toy.authors")
    for part in (
        "https://example.org/toy", "1.23 MB", "0" * 64, "licence none stated: The authors state none.",
        "Then: salzoo import toy toy.npz", "salzoo import toy a.npz b.npz (second)",
    ):  # fmt: skip
        assert part in str(told.value)
    with pytest.raises(WeightsError, match=r"salzoo.load\('toy.authors'\) says how"):
        salzoo.load("toy")
    with pytest.raises(UnknownModelError, match="has no variant 'author'"):
        salzoo.load("toy.author")
    with pytest.raises(UnknownModelError, match="has no variant 'authors'"):
        salzoo.load("uniform.authors")


def test_imported_weights_load_by_name_and_say_where_they_come_from(
    save: Callable[..., Path], arrays: dict[str, np.ndarray]
) -> None:
    path = save(arrays)
    told: list[str] = []
    folder = import_weights("toy", path, report=told.append, command="salzoo import toy toy.npz")
    assert folder == own_checkpoints() / "toy.authors"
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [line.split()[0] for line in told] == ["reading", "toy.npz", "converting", "writing", "loading"]
    model = salzoo.load("toy.authors")
    for name, tensor in model.network.state_dict().items():
        assert tensor.dtype != torch.float16
        assert np.array_equal(tensor.numpy(), arrays[f"net.{name}"])
    made = read_config(folder).imported
    assert made is not None
    assert (made.release, made.data, made.command) == ("first", ("mit1003:train",), "salzoo import toy toy.npz")
    assert made.files[0].known
    assert made.files[0].sha256 in (folder / "README.md").read_text(encoding="utf-8")
    assert model.config is not None
    assert model.config.trained_on == ("mit1003:train",)
    assert salzoo.info("toy.authors")["license"] == "LicenseRef-none"
    assert salzoo.info("toy.authors")["preprocess"]["size"] == [64, 96]
    assert torch.equal(
        torch.from_numpy(salzoo.load("toy").predict(np.zeros((40, 60, 3), np.uint8)).density),
        torch.from_numpy(model.predict(np.zeros((40, 60, 3), np.uint8)).density),
    )


def test_saved_again_they_keep_their_precision_and_their_licence(
    save: Callable[..., Path], arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    model = salzoo.load(import_weights("toy", save(arrays)))
    model.save_pretrained(tmp_path / "again")
    config = read_config(tmp_path / "again")
    assert model.config is not None
    assert (config.sha256, config.license, config.imported) == (
        model.config.sha256, "LicenseRef-none", model.config.imported
    )  # fmt: skip
    with pytest.raises(PublishError, match=r"does not allow these weights to be published. The authors state none"):
        salzoo.publish(tmp_path / "again", "ana/toy", dry_run=True)


def test_a_second_import_replaces_the_same_files_only(
    save: Callable[..., Path], arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = save(arrays)
    folder = import_weights("toy", path)
    (folder / "note.txt").write_text("an older import")
    assert import_weights("toy", path) == folder
    assert not (folder / "note.txt").exists()
    arrays["optimizer.step"] += 1
    other = save(arrays, "other.npz")
    with pytest.raises(WeightsError, match=r"holds the import of toy\.npz already: give another folder"):
        import_weights("toy", other)
    assert import_weights("toy.other", other).name == "toy.other"
    assert salzoo.load("toy.other").config.tag == "other"  # type: ignore[union-attr]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"precious")
    with pytest.raises(WeightsError, match="holds something else already"):
        import_weights("toy", other, tmp_path / "photos")
    assert (tmp_path / "photos/a.jpg").read_bytes() == b"precious"
    assert not [*tmp_path.rglob("*.part")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("net.readout.weight"), "readout.weight"),
        (lambda a: a.update(head=np.ones(3)), "1 tensor.s. that .* has no place for: head. Another port"),
        (lambda a: a.update({"net.blur.log_sigma": np.ones(2)}), r"blur.log_sigma has the shape \[2\]"),
        (lambda a: a["net.readout.weight"].fill(np.nan), "readout.weight is not finite"),
        (lambda a: a["net.readout.weight"].fill(0.5), "all of what becomes readout.weight is 0.5"),
    ],
    ids=["missing", "surplus", "misshapen", "nan", "constant"],
)
def test_what_does_not_fit_is_refused_in_one_line(
    save: Callable[..., Path],
    arrays: dict[str, np.ndarray],
    change: Callable[[dict[str, np.ndarray]], object],
    message: str,
) -> None:
    change(arrays)
    path = save(arrays)
    with pytest.raises(WeightsError, match=message) as told:
        import_weights("toy", path)
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)
    assert not own_checkpoints().exists()


def test_another_file_than_the_known_one_is_told(save: Callable[..., Path], arrays: dict[str, np.ndarray]) -> None:
    path = save(arrays, known=False)
    with pytest.warns(SalzooWarning, match=f"is not the file of first that is known .*expected {'0' * 64}"):
        folder = import_weights("toy", path)
    made = read_config(folder).imported
    assert made is not None
    assert not made.files[0].known


def test_releases_files_and_options_are_checked(
    save: Callable[..., Path], arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = save(arrays)
    with pytest.raises(SpecError, match="release='third' is not one of toy; it has first, second"):
        import_weights("toy", path, release="third")
    with pytest.raises(WeightsError, match=r"consists of 2 file.s., a.npz, b.npz; got 1: toy.npz"):
        import_weights("toy", path, release="second")
    with pytest.raises(SpecError, match="is given twice"):
        import_weights("toy", [path, path])
    with pytest.raises(SpecError, match="'lite' is a variant of salzoo's own"):
        import_weights("toy.lite", path)
    with pytest.raises(SpecError, match=r"uniform has no importer; those that have: .*salgan"):
        import_weights("uniform", path)
    with pytest.raises(WeightsError, match=r"nowhere.npz; check the name \(a relative path starts at"):
        import_weights("toy", tmp_path / "nowhere.npz")


def test_a_centre_bias_is_a_log_density(
    save: Callable[..., Path], arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path, density = save(arrays), np.full((4, 6), 1 / 24)
    np.save(tmp_path / "density.npy", density)
    np.save(tmp_path / "log.npy", np.log(density))
    with pytest.raises(SpecError, match="give its logarithm"):
        import_weights("toy", path, centre_bias=tmp_path / "density.npy")
    with pytest.raises(SpecError, match=r"a \(H, W\) array of natural-log densities, got int64 \[3\]"):
        import_weights("toy", path, centre_bias=np.arange(3))
    with pytest.raises(SpecError, match=r"not an .npy file"):
        import_weights("toy", path, centre_bias=path.with_suffix(".yaml"))
    with pytest.raises(SpecError, match=r"no-such.npy: there is no such file; check the name"):
        import_weights("toy", path, centre_bias=tmp_path / "no-such.npy")
    with pytest.raises(SpecError, match=r"an .npz archive; give the one array in it"):
        import_weights("toy", path, centre_bias=path)
    made = read_config(import_weights("toy", path, centre_bias=tmp_path / "log.npy")).imported
    assert made is not None
    assert made.notes == ("With a centre bias of the user's.",)


def test_the_command_imports_lists_and_compares(
    save: Callable[..., Path], arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(arrays)
    assert main(["import", "--list", str(path)]) == 0
    assert "  optimizer.step  float64 [1]\n" in capsys.readouterr().out
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "image.png")
    output = tmp_path / "imported"
    assert main(["import", "toy", str(path), "-o", str(output)]) == 0
    assert f"Wrote {output}" in capsys.readouterr().out
    saved = salzoo.load(output).predict(tmp_path / "image.png")
    np.save(tmp_path / "map.npy", saved.density)
    same = compare(output, tmp_path / "image.png", tmp_path / "map.npy")
    assert (same.cc, same.rank, same.kl) == pytest.approx((1, 1, 0), abs=1e-6)
    np.save(tmp_path / "map.npy", saved.density[:, ::-1])
    words = ["import", "toy", str(path), "-o", str(output), "--check", str(tmp_path / "image.png")]
    assert main([*words, str(tmp_path / "map.npy")]) == 0
    assert "NOT the same map" in capsys.readouterr().out
    assert json.loads((output / "config.json").read_text())["imported"]["command"].startswith("salzoo import toy")
    assert main(["import", "toy", str(path), "-o", str(tmp_path / "never"), *words[-2:], "no-map.png"]) == 1
    assert "no-map.png" in capsys.readouterr().err
    assert not (tmp_path / "never").exists(), "a map that is not there is told before the import"
    assert main(["import", "toy"]) == 2
    assert "which file of toy's?" in capsys.readouterr().err
