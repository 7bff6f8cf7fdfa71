"""`salzoo export`: what onnxruntime and `torch.export` compute is what `predict` computes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch

import salzoo
from salzoo.cli import main
from salzoo.errors import SpecError
from salzoo.exporting import export
from salzoo.exporting.export import OLDEST_TORCH
from salzoo.exporting.quantise import _sensitive
from salzoo.images.samples import pop_out

onnx = pytest.importorskip("onnx", reason="pip install salzoo[export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install salzoo[export]")
pytestmark = [
    pytest.mark.skipif(
        tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH,
        reason="exports need a newer torch",
    ),
    pytest.mark.filterwarnings("ignore"),  # torch's exporter and onnxscript warn of parts of their own
]
SIZES = ((100, 130), (600, 800), (333, 777), (480, 640), (90, 300), (300, 75), (64, 64), (203, 301))


def images() -> list[np.ndarray]:
    random = torch.Generator().manual_seed(1)
    return [
        torch.nn.functional.interpolate(torch.rand(1, 3, 7, 9, generator=random), size, mode="bilinear").numpy()
        for size in SIZES
    ]


def compare(path: Path, model: salzoo.SaliencyModel) -> None:
    runtime = onnxruntime.InferenceSession(path)
    for image in images():
        (found,) = runtime.run(None, {"image": image})
        np.testing.assert_allclose(found[0], model.predict(torch.from_numpy(image[0])).log_density, atol=1e-3)


@pytest.mark.parametrize("name", ["centre_bias", "juntingnet"])
def test_onnx_of_any_size_is_predict(name: str, tmp_path: Path) -> None:
    model = tiny_models.build(name)
    done = export(model, tmp_path / "model.onnx")
    assert done.size is None
    assert done.batch is None
    assert done.bytes == (tmp_path / "model.onnx").stat().st_size
    compare(tmp_path / "model.onnx", model)


@pytest.mark.slow
def test_onnx_works_the_frame_out_in_the_graph(tmp_path: Path) -> None:
    """`aspect`, with a mirrored and a larger view."""
    base = tiny_models.build("deepgaze2").preprocess
    model = tiny_models.build(
        "deepgaze2", preprocess=replace(base, fit="aspect", size=(96, 128)), tta=((1.2, False), (1.0, True))
    )
    export(model, tmp_path / "model.onnx")
    compare(tmp_path / "model.onnx", model)


@pytest.mark.slow
def test_pt2(tmp_path: Path) -> None:
    model = tiny_models.build("juntingnet")
    export(model, tmp_path / "model.pt2")
    facts = {"sha256": "", "model": ""}
    graph = torch.export.load(tmp_path / "model.pt2", extra_files=facts).module()
    for image in images()[:3]:
        expected = model.predict(torch.from_numpy(image[0])).log_density
        np.testing.assert_allclose(graph(torch.from_numpy(image))[0].numpy(), expected, atol=1e-3)
    assert facts["model"]


def test_metadata_names_the_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "centre_bias", "-o", str(tmp_path / "model.onnx")]) == 0
    assert "any size in" in capsys.readouterr().out
    facts = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    config = salzoo.load("centre_bias").config
    assert config is not None
    assert facts["model"] == "centre_bias.lite"
    assert facts["sha256"] == config.sha256
    assert facts["license"] == config.license
    assert json.loads(facts["trained_on"]) == list(config.trained_on)
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bms", "-o", "model.onnx"], "cannot be exported: it floods regions in numpy"),
        (["edn", "-o", "model.onnx"], "cannot be exported: it floors colours"),
        (["itti", "-o", "model.onnx"], "cannot be exported: its thresholds"),
        (["centre_bias", "-o", "model.pb"], "the suffix is .onnx or .pt2"),
        (["centre_bias", "-o", "nowhere/model.onnx"], "there is no folder"),
        (["centre_bias", "-o", "model.onnx", "--int8"], "--int8 --calibrate DIR"),
    ],
)
def test_what_cannot_be_exported_is_told(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words]) == 2
    assert told in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_size_is_asked_for_where_the_input_depends_on_the_image(tmp_path: Path) -> None:
    base = tiny_models.build("juntingnet").preprocess
    model = tiny_models.build("juntingnet", preprocess=replace(base, fit="within"))
    with pytest.raises(SpecError, match="Give one: --size HxW"):
        export(model, tmp_path / "model.onnx")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_says_what_it_costs(tmp_path: Path) -> None:
    model = tiny_models.build("juntingnet", channels=(16, 16, 16))
    seen = [pop_out("colour", seed=k)[0] for k in range(8)]
    done = export(model, tmp_path / "model.onnx", calibrate=seen)
    assert done.loss is not None
    assert done.loss.images == 2
    assert 0 < done.loss.difference < 1
    assert done.loss.correlation > 0.8
    made = onnx.load(tmp_path / "model.onnx")
    assert any(node.op_type == "QuantizeLinear" for node in made.graph.node)


def test_int8_needs_images(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="at least 4 images, got 1"):
        export(tiny_models.build("juntingnet"), tmp_path / "model.onnx", calibrate=[np.zeros((9, 9, 3), np.uint8)])
    assert not any(tmp_path.iterdir())


def test_the_example_runs_without_torch(tmp_path: Path) -> None:
    export(tiny_models.build("centre_bias"), tmp_path / "model.onnx")
    image, _where = pop_out("colour", seed=0)
    image.save(tmp_path / "photo.png")
    script = Path(__file__).parents[1] / "examples/onnx_predict.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 30
    blocked = "import runpy, sys; sys.modules['torch'] = None; del sys.argv[0]; "
    words = ["-c", blocked + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    files = [str(script), str(tmp_path / "model.onnx"), str(tmp_path / "photo.png")]
    subprocess.run([sys.executable, *words, *files], check=True, timeout=60)
    assert np.load(tmp_path / "photo.npy").sum() == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "photo.saliency.png").stat().st_size > 0


def test_every_convolution_of_pixels_stays_in_float() -> None:
    """Of each backbone, each scale and each view, whichever comes first in the graph."""
    kernels = {"stem_a": [16, 3, 3, 3], "deep": [16, 16, 3, 3], "stem_b": [32, 3, 5, 5], "narrow": [1, 16, 1, 1]}
    kernels |= {"depthwise": [16, 1, 3, 3]}
    tensors = [
        onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, dims, np.zeros(dims).ravel())
        for name, dims in kernels.items()
    ]
    nodes = [onnx.helper.make_node("Conv", ["x", name], [f"{name}_out"], name=name) for name in kernels]
    graph = onnx.helper.make_graph(nodes, "g", [], [], tensors)
    assert _sensitive(onnx.helper.make_model(graph)) == ["stem_a", "stem_b", "narrow", "depthwise"]
