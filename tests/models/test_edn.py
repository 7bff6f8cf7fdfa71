"""eDN against the authors' own operations, and each operation against its formula."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from scipy import ndimage

import salzoo
from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.errors import SpecError
from salzoo.models import edn

RELEASE = json.loads(Path(__file__).with_name("edn_release.json").read_text())["descriptors"]
every_descriptor = pytest.mark.parametrize("number", range(6))


def waves(height: int = 40, width: int = 56) -> torch.Tensor:
    y, x, channel = np.mgrid[:height, :width, :3]
    wave = 127.5 + 127.5 * np.sin(x / (5 + 2 * channel) + (y / 9) ** 2) * np.exp(-(((y - 25) / 30) ** 2))
    return torch.from_numpy(wave).permute(2, 0, 1)[None]


@every_descriptor
def test_descriptors_say_what_the_authors_operations_say(number: int) -> None:
    maps = edn.RandomFilterNetwork(edn.DESCRIPTORS[number]).double()(waves())[0]
    expected = RELEASE[number]
    assert list(maps.shape) == expected["shape"]
    assert maps.mean().item() == pytest.approx(expected["mean"], rel=1e-9)
    assert maps.std(correction=0).item() == pytest.approx(expected["std"], rel=1e-9)
    index = np.linspace(0, maps.numel() - 1, 24).astype(int)
    np.testing.assert_allclose(maps.flatten()[index], expected["values"], rtol=1e-9, atol=1e-12)


@every_descriptor
def test_single_precision_is_enough(number: int) -> None:
    network = edn.RandomFilterNetwork(edn.DESCRIPTORS[number])
    noise = 255 * torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    single, double = network(noise), network.double()(noise.double())
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-4 * double.std().item())


@pytest.mark.parametrize("order", [1, 2, 10])
@pytest.mark.parametrize("magnitude", [1e-12, 1.0, 1e12])
def test_pooling_neither_saturates_nor_vanishes(order: int, magnitude: float) -> None:
    """With single precision alone the tenth power of 1e-12 is 0 and that of 1e12 infinite."""
    x = np.abs(np.random.default_rng(0).normal(size=(9, 13))) * magnitude
    padded = np.pad(x, 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))[::2, ::2].reshape(5, 7, 25)
    expected = windows.max(-1) * ((windows / windows.max(-1, keepdims=True)) ** order).sum(-1) ** (1 / order)
    pooled = edn.pool(torch.from_numpy(x)[None, None].float(), 5, order)[0, 0]
    assert pooled.dtype == torch.float32
    np.testing.assert_allclose(pooled, expected, rtol=1e-5)


def test_pooling_of_order_1_keeps_the_sign_and_of_order_10_does_not() -> None:
    x = torch.full((1, 1, 4, 4), -2.0)
    assert edn.pool(x, 1, 1).tolist() == [[[[-2, -2], [-2, -2]]]]
    np.testing.assert_allclose(edn.pool(x, 1, 10), 2, rtol=1e-6)


@pytest.mark.parametrize("remove_mean", [False, True])
def test_normalisation_by_its_formula(remove_mean: bool) -> None:
    x = np.random.default_rng(1).normal(1, 2, (4, 7, 9))
    x[:, :, :3] /= 50  # a corner below the threshold, whose norm counts as 1
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    expected = np.empty_like(x)
    for i in range(7):
        for j in range(9):
            window = padded[:, i : i + 3, j : j + 3]
            centre, spread = x[:, i, j], window
            if remove_mean:
                centre, spread = centre - window.mean(), window - window.mean()
            length = 0.5 * (np.sqrt(np.square(spread).sum()) + 1e-4)
            expected[:, i, j] = 0.5 * centre / (length if length >= 2 + 1e-4 else 1)
    result = edn.normalise(torch.from_numpy(x)[None], edn.Norm(3, 0.5, 2, remove_mean))[0]
    np.testing.assert_allclose(result, expected, rtol=1e-9)


def test_filters_are_drawn_anew_with_one_seed() -> None:
    filters = edn.make_filters(16, 3, 5)
    assert torch.equal(filters, edn.make_filters(16, 3, 5))
    assert not torch.equal(filters[:, :, :3, :3], edn.make_filters(16, 3, 3))
    np.testing.assert_allclose(filters.mean((1, 2, 3)), 0, atol=1e-7)
    np.testing.assert_allclose(filters.square().sum((1, 2, 3)), 1, rtol=1e-6)


def test_colour_is_pillows_ycbcr_of_the_stretched_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    pixels[0, :2] = [[0, 0, 0], [255, 255, 255]]
    expected = np.asarray(Image.fromarray(pixels).convert("YCbCr")).astype(int)
    ours = edn.to_yuv(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - expected).max() <= 1  # Pillow computes with 6 bits behind the point
    assert (ours != expected).mean() < 0.03
    dark = edn.to_yuv(torch.tensor([50.0, 100.0]).expand(1, 3, 1, 2))
    assert dark[0, 0].tolist() == [[0, 255]]


def test_zoom_is_scipys() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 12, 17))
    expected = np.stack([ndimage.zoom(each, (6 / 12, 25 / 17)) for each in maps])
    np.testing.assert_allclose(edn.spline_zoom(torch.from_numpy(maps)[None], (6, 25))[0], expected, atol=1e-12)


def test_features_of_the_published_descriptors() -> None:
    network = edn.EDN().network
    assert network.weights.shape == (833,)
    features = network.features(waves(64, 96).float() / 255)
    assert features.shape == (1, 833, 8, 12)
    distance = features[0, 0]
    assert distance[4, 6] < 0.15 < 0.9 < distance[0, 0]
    assert sorted(network.state_dict()) == ["mean", "scale", "std", "weights"], "filters are not stored"


def test_a_black_border_has_a_gradient() -> None:
    """The tenth root of 0 has none, and would make that of the whole image NaN."""
    image = waves(64, 96).float() / 255
    image[..., :32] = 0
    image.requires_grad_()
    network = edn.EDNNetwork((0,))
    network.features(image).sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()
    assert image.grad[..., 32:].std() > 0


def test_fit_finds_what_the_training_fixations_prefer(tiny_data: Path, tmp_path: Path) -> None:
    assert main(tiny_models.fit_words("edn", tiny_data, tmp_path)) == 0
    model = salzoo.load(tmp_path / "edn.lite")
    network = model.network
    assert (network.std > 0).all()
    assert 0.01 < network.scale < 100
    train = load_dataset("osie", tiny_data, "train")
    ahead = [
        (item["density"].numpy() * model.predict(item["image"]).density).sum() * item["density"].numel()
        for item in (train[i] for i in range(len(train)))
    ]
    assert np.mean(ahead) > 1.02, "on average denser where people looked than elsewhere"


def test_fit_without_scikit_learn_says_what_to_install(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(SpecError, match=r"pip install .salzoo\[shallow\]"):
        tiny_models.build("edn").fit_statistics(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_says_what_single_says(kind: torch.dtype) -> None:
    """In half precision throughout, the correlation is 0.33, and float16 takes minutes on a CPU."""
    network = salzoo.load("edn").network
    noise = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)).to(kind)
    with torch.inference_mode():
        single = network(noise.float())
        half = network.to(kind)(noise)
    assert half.dtype == kind
    assert torch.corrcoef(torch.stack([half.float().ravel(), single.ravel()]))[0, 1] > 0.999
