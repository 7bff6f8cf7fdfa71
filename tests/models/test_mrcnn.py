"""Mr-CNN: patch by patch and on the whole grid are the same, and training sees the places that were meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import numpy as np
import pytest
import tiny_models
import torch

from salzoo.data import draw_places, split_by_height
from salzoo.errors import SpecError
from salzoo.models.mrcnn import MrCNN, MrCNNNetwork, Stream


def grid_places(grid: int) -> torch.Tensor:
    middles = (torch.arange(grid) + 0.5) / grid
    return torch.stack(torch.meshgrid(middles, middles, indexing="ij"), -1).view(1, -1, 2)


@pytest.mark.parametrize(
    ("copies", "grid"),
    [
        # the paper's: steps of 8 (all poolings keep their stride), 5 and 3 (none does)
        pytest.param((400, 250, 150), 50, marks=pytest.mark.slow),
        ((120, 70, 40), 10),  # 12 (two do), 7 and 4 (two do)
        ((60, 20, 10), 10),  # 6 (one does), 2 (one does) and 1; copies smaller than a patch
    ],
)
def test_the_shared_computation_equals_single_patches(copies: tuple[int, ...], grid: int) -> None:
    torch.manual_seed(0)
    network = MrCNNNetwork((4, 6, 8), 8, copies, grid).eval().double()
    image = torch.rand(1, 3, copies[0], copies[0], dtype=torch.float64)
    with torch.no_grad():
        shared = network(image)
        single = network.classify(image, grid_places(grid))
    assert shared.shape == (1, 1, grid, grid)
    assert shared.std() > 1e-3
    torch.testing.assert_close(shared.flatten(1), single, rtol=1e-9, atol=1e-12)


def test_a_patch_shrinks_as_the_paper_says() -> None:
    stream = Stream((96, 160, 288), 512)
    shapes = []
    for convolution in stream.convolutions:
        convolution.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert stream(torch.zeros(1, 3, 42, 42)).shape == (1, 512)
    assert shapes == [(96, 36, 36), (160, 16, 16), (288, 6, 6)]
    assert stream.full.in_features == 2592


def test_sides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(SpecError, match="250 is not a multiple of grid=40"):
        MrCNN(copies=(400, 250, 160), grid=40)


def test_training_sees_ten_fixated_and_twenty_other_places() -> None:
    model = tiny_models.build("mrcnn")
    density = torch.rand(2, 80, 80)
    places, labels = model._draw(density)
    assert labels.tolist() == [[1.0] * 10 + [0.0] * 20] * 2
    rows, columns = (places * 80).long().unbind(-1)
    seen = density[torch.arange(2)[:, None], rows, columns] / density.amax((1, 2))[:, None]
    assert (seen[:, :10] > 0.9).all()
    assert (seen[:, 10:] < 0.1).all()


def test_sgd_of_the_re_implementations() -> None:
    model = MrCNN(channels=(2, 2, 2), hidden=4, copies=(20, 10, 10), grid=10)
    parts = model.configure_optimizers()
    optimizer, schedule = parts["optimizer"], parts["lr_scheduler"]["scheduler"]
    seen = []
    for step in (0, 1, 50, 100):
        model.trainer = cast("pl.Trainer", SimpleNamespace(global_step=step, estimated_stepping_batches=100))
        model.on_before_optimizer_step(optimizer)
        (group,) = optimizer.param_groups
        seen.append((group["lr"], group["momentum"], group["weight_decay"]))
        optimizer.step()
        schedule.step()
    expected = [(0.01 * 0.999**k, momentum, 2e-4) for k, momentum in enumerate((0.9, 0.9009, 0.945, 0.99))]
    assert np.array(seen) == pytest.approx(np.array(expected))


def test_it_learns_where_a_bright_spot_is() -> None:
    """Patch training as `training_step` does it; the map of a new image then peaks on its spot."""
    torch.manual_seed(0)
    network = MrCNNNetwork((8, 8, 8), 16, (80, 50, 30), 10).train()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)

    def spots(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        y, x = torch.meshgrid(torch.arange(80.0), torch.arange(80.0), indexing="ij")
        centre = torch.rand(count, 2, 1, 1) * 60 + 10
        density = (-((y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2) / 50).exp()
        return density[:, None] - 0.5 + torch.rand(count, 3, 80, 80) / 4, density

    for _ in range(40):
        image, density = spots(8)
        fixated, other = split_by_height(density)
        places = torch.cat([draw_places(fixated, 5), draw_places(other, 5)], 1)
        labels = torch.tensor([1.0] * 5 + [0.0] * 5).expand(8, -1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network.classify(image, places), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    image, density = spots(16)
    with torch.no_grad():
        maps = network.eval()(image)[:, 0]
    truth = torch.nn.functional.adaptive_avg_pool2d(density, (10, 10))
    correlation = [
        torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(maps, truth, strict=True)
    ]
    assert torch.stack(correlation).mean() > 0.5
