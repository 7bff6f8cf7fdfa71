"""On a GPU, where there is one: `pytest -m gpu`. The same maps, scores and steps as on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image

import salzoo
from salzoo.metrics import saliency_metrics
from salzoo.prediction.files import predict_files

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch finds"),
]


@pytest.fixture(autouse=True)
def exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def noise(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_the_density_is_that_of_the_processor(name: str) -> None:
    model, images = tiny_models.build(name).eval(), [noise(96, 128), noise(80, 60)]
    here = [each.density for each in model.predict(images)]
    there = [each.density for each in model.predict(images, device="cuda")]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4 * one.max())


@pytest.mark.parametrize("name", ["deepgaze2", "salgan"])
def test_autocast_changes_the_density_by_less_than_a_thousandth(name: str) -> None:
    model, image = salzoo.load(name, device="cuda"), noise(240, 320)
    whole = model.predict(image).density
    with torch.autocast("cuda"):
        half = model.predict(image).density
    assert np.abs(half - whole).sum() < 1e-3


def test_a_batch_that_is_too_large_goes_in_parts(tmp_path: Path) -> None:
    model = salzoo.load("salgan", device="cuda")
    free, _ = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.6e9 / free))
    try:
        paths = [tmp_path / f"{i}.png" for i in range(64)]
        for path in paths:
            Image.fromarray(noise(480, 640)).save(path)
        assert not predict_files(model, paths, tmp_path / "maps", batch_size=64).failed
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_scores_are_those_of_the_processor() -> None:
    random = torch.Generator().manual_seed(0)
    density = torch.rand(4, 60, 80, generator=random)
    given = {
        "preds": torch.rand(4, 60, 80, generator=random),
        "density": density / density.sum((1, 2), keepdim=True),
        "fixations": (torch.rand(4, 60, 80, generator=random) > 0.99).long(),
        "baseline": torch.full((4, 60, 80), 1 / 4800),
    }
    found = []
    for device in ("cpu", "cuda"):
        metrics = saliency_metrics(include=("auc_judd", "nss", "cc", "sim", "kld", "ig")).to(device)
        metrics.update(**{key: tensor.to(device) for key, tensor in given.items()})
        found.append({key: float(score) for key, score in metrics.compute().items()})
    assert found[0] == pytest.approx(found[1], abs=1e-4)


@pytest.mark.parametrize("name", tiny_models.GRADIENT)
def test_a_step_has_the_gradient_of_the_processor(name: str) -> None:
    images, norms = torch.from_numpy(noise(96, 128)).permute(2, 0, 1)[None].repeat(2, 1, 1, 1), []
    for device in ("cpu", "cuda"):
        model = tiny_models.build(name).to(device).eval()
        with torch.enable_grad():
            logits = model(model.preprocess.resize(images.to(device)))
            logits.float().square().mean().backward()
        norms.append(sum(float(p.grad.norm()) for p in model.parameters() if p.grad is not None))
    assert norms[1] == pytest.approx(norms[0], rel=1e-2)
