"""What is kept between calls serves the next one, whatever its mode, type, size or place, and never another's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from salzoo import losses
from salzoo.backbones import TimmBackbone
from salzoo.data.one_file import read_once
from salzoo.images import imresize as images_imresize
from salzoo.images.imresize import imresize
from salzoo.losses import loss
from salzoo.metrics import metric_maps, optimal
from salzoo.models import edn

MAPS = torch.linspace(0.1, 1, 2 * 12 * 16, dtype=torch.float64).sin().abs().view(2, 12, 16)


def deep_features(maps: Tensor) -> Tensor:
    log_density = maps.flatten(1).log_softmax(1).view_as(maps)
    return losses.get("deep_features")(log_density, torch.ones_like(maps) / 192)


KEPT: dict[str, tuple[Callable[[Tensor], Tensor], Any]] = {
    "imresize": (lambda maps: imresize(maps, size=(5, 7)), images_imresize._weights),
    "spline_zoom": (lambda maps: edn.spline_zoom(maps[None], (5, 7)), edn._zoom_matrix),
    "spline_zoom to the same size": (lambda maps: edn.spline_zoom(maps[None], (12, 16)), edn._zoom_matrix),
    "best maps": (lambda maps: optimal._blur(maps, (2.0, 2.0)), optimal._spread),
    "feature losses": (deep_features, loss._feature_backbone),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_cache_filled_in_inference_mode_serves_gradients(name: str) -> None:
    function, cached = KEPT[name]
    cached.cache_clear()
    expected = function(MAPS)
    cached.cache_clear()
    with torch.inference_mode():
        function(MAPS)
    maps = MAPS.clone().requires_grad_()
    found = function(maps)
    found.square().sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
    assert maps.grad.abs().max() > 0
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", KEPT)
def test_a_cache_filled_in_one_type_serves_another(name: str) -> None:
    function, cached = KEPT[name]
    before = torch.get_default_dtype()
    for first, default in ((torch.float64, torch.float64), (torch.float32, torch.float32)):
        cached.cache_clear()
        torch.set_default_dtype(default)
        try:
            function(MAPS.to(first))
        finally:
            torch.set_default_dtype(before)
        for dtype in (torch.float32, torch.float64):
            assert function(MAPS.to(dtype)).dtype == (torch.float32 if "losses" in name else dtype)


def test_imresize_takes_whole_numbers_for_what_they_are() -> None:
    levels = (MAPS * 255).round()
    for dtype in (torch.uint8, torch.int16, torch.int64):
        assert torch.equal(imresize(levels.to(dtype), size=(6, 8)), imresize(levels, size=(6, 8)))


def test_a_black_image_is_not_another_black_image() -> None:
    backbone = TimmBackbone("test_efficientnet", (8, 16))
    backbone.freeze()
    backbone.cache_features = True
    backbone.train()
    for size in ((64, 96), (96, 64), (48, 128)):  # the same bytes
        black = torch.zeros(1, 3, *size)
        recalled = backbone(black)
        for maps, expected in zip(recalled, backbone.eval()(black), strict=True):
            torch.testing.assert_close(maps, expected, rtol=2e-3, atol=2e-3)
        backbone.train()
    half = backbone.bfloat16()(torch.rand(2, 3, 64, 96).bfloat16())
    assert {maps.dtype for maps in half} == {torch.bfloat16}


def test_best_maps_may_be_made_in_any_mode() -> None:
    options: dict[str, Any] = {"centre_bias": torch.ones(12, 16), "sigma_px": 2.5, "n_fixations": 20}
    optimal._spread.cache_clear()
    with torch.inference_mode():
        first = metric_maps(MAPS[0], **options)
    for key, each in metric_maps(MAPS[0], **options).items():
        assert torch.equal(each, first[key]), key


def test_a_file_replaced_by_one_of_the_same_time_is_read_again(tmp_path: Path) -> None:
    table = tmp_path / "fixations.csv"

    def read(path: Path) -> Any:
        return path.read_text()

    table.write_text("old")
    stamp = table.stat().st_mtime_ns
    assert read_once(read, table) == "old"
    (tmp_path / "new").write_text("new")
    os.utime(tmp_path / "new", ns=(stamp, stamp))
    os.replace(tmp_path / "new", table)
    assert read_once(read, table) == "new"


def test_counts_add_up_beyond_their_type() -> None:
    """On a small map all fixations of a region fall into one pixel."""
    counts = torch.zeros(1, 12, 16, dtype=torch.uint8)
    counts[0, :6, :8] = 9  # 432 in all
    log_density = MAPS[:1, :2, :2].flatten(1).log_softmax(1).view(1, 2, 2)
    inputs = loss.LossInputs(log_density, {"fixations": counts}, None)
    assert inputs.fixations.tolist() == [[[432, 0], [0, 0]]]
