"""PDP: what the paper and the authors' code say of the head, the target and the distances."""

from __future__ import annotations

import math

import pytest
import tiny_models
import torch
from torch import Tensor

import salzoo
from salzoo.models.pdp import DISTANCES, PDP
from salzoo.registry import read_spec


def test_the_papers_network_has_the_papers_size() -> None:
    """62 x 82 for the paper's images; 14,864,561 parameters without the 16 of the fixed deconvolution."""
    with torch.device("meta"):
        model = salzoo.load("pdp.paper", weights=None)
        assert model.network(torch.zeros(1, 3, 480, 640)).shape == (1, 1, 62, 82)
    learned = sum(p.numel() for n, p in model.network.named_parameters() if n != "upsample.weight")
    assert learned == 14_864_561
    assert not model.network.upsample.weight.requires_grad


def test_the_deconvolution_is_bilinear() -> None:
    """A slope is continued between its pixels; the outer two rows and columns fade, as nothing is padded."""
    network = salzoo.load("pdp", weights=None, **read_spec("pdp").tiny).get_submodule("network.upsample")
    slope = torch.arange(5.0).expand(1, 1, 4, 5)
    inside = network(slope)[0, 0, 2:-2, 2:-2]
    torch.testing.assert_close(inside, (torch.arange(8.0) / 2 + 0.25).expand(6, 8))


def model_with(target: str, distance: str = "bhattacharyya") -> PDP:
    model = tiny_models.build("pdp", target=target, distance=distance)
    assert isinstance(model, PDP)
    return model


def test_the_softmax_target_is_nearly_flat_and_the_density_is_not() -> None:
    density = torch.zeros(1, 8, 8)
    density[0, 3, 4] = 1.0
    logits = torch.zeros(1, 1, 8, 8)
    soft, plain = (model_with(target)._truth(density, logits) for target in ("softmax", "density"))
    assert float(soft.max() / soft.min()) == pytest.approx(math.e)
    assert float(soft.sum()) == pytest.approx(1)
    torch.testing.assert_close(plain, density)
    assert not model_with("softmax")._truth(torch.zeros(1, 8, 8), logits).any()


def closed_form(distance: str, p: Tensor, g: Tensor) -> Tensor:
    """The gradient of a distance with respect to the logits, worked out by hand."""
    if distance == "kl":
        return p - g
    if distance == "bhattacharyya":
        overlap = (p * g).sqrt()
        return -(overlap - p * overlap.sum()) / (2 * overlap.sum())
    if distance == "chi_square":
        return p * (g**2 / p).sum() - g**2 / p
    sign = (g - p).sign()
    return p * ((sign * p).sum() - sign) / 2


@pytest.mark.parametrize("distance", ["kl", "bhattacharyya", "chi_square", "total_variation"])
def test_gradients_of_the_distances(distance: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 6, 7, dtype=torch.float64, generator=generator, requires_grad=True)
    truth = torch.rand(1, 6, 7, dtype=torch.float64, generator=generator)
    truth /= truth.sum()
    log_density = logits.flatten(1).log_softmax(1).view_as(logits)
    (gradient,) = torch.autograd.grad(DISTANCES[distance](log_density, truth), logits)  # type: ignore[index]
    expected = closed_form(distance, log_density.detach().exp(), truth)
    torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_zero_at_the_truth_and_positive_elsewhere(distance: str) -> None:
    truth = torch.rand(2, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    truth /= truth.sum((-2, -1), keepdim=True)
    measure = DISTANCES[distance]  # type: ignore[index]
    assert float(measure(truth.log(), truth)) == pytest.approx(0, abs=1e-9)
    assert float(measure(truth.flip(-1).log(), truth)) > 0.01
    unseen = torch.cat([truth[:1], torch.zeros(1, 6, 7, dtype=torch.float64)])
    one = measure(truth[:1].flip(-1).log(), truth[:1])
    assert float(measure(unseen.flip(-1).clamp_min(1e-9).log(), unseen)) == pytest.approx(float(one), rel=1e-5)
