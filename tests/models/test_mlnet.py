"""What is ML-Net's own: its poolings, its prior and its loss."""

from __future__ import annotations

import pytest
import tiny_models
import torch

import salzoo
from salzoo.components.keras1 import ShiftedMaxPool
from salzoo.data.fixations import Fixations
from salzoo.errors import SpecError
from salzoo.models.mlnet import LearnedPrior


def test_pooling_windows_reach_up_and_left() -> None:
    maps = torch.arange(12.0).view(1, 1, 3, 4)
    assert ShiftedMaxPool(2)(maps).tolist() == [[[[0, 2], [8, 10]]]]
    assert torch.equal(ShiftedMaxPool(1)(maps), maps)  # rising values: each pixel is the largest of its window
    falling = 12 - maps
    assert ShiftedMaxPool(1)(falling).tolist() == [[[[12, 12, 11, 10], [12, 12, 11, 10], [8, 8, 7, 6]]]]


def test_all_taps_of_the_papers_face_have_stride_8() -> None:
    with torch.device("meta"):
        network = salzoo.load("mlnet.paper", weights=None).network
        image = torch.zeros(1, 3, 480, 640)
    assert [tuple(m.shape[1:]) for m in network.features.backbone(image)] == [
        (256, 60, 80),
        (512, 60, 80),
        (512, 60, 80),
    ]
    assert network(image).shape == (1, 1, 60, 80)


def test_prior_starts_at_ones_or_at_the_density_of_fixations() -> None:
    prior, maps = LearnedPrior(), torch.rand(1, 1, 60, 80)
    assert torch.equal(prior(maps), maps)
    with torch.no_grad():
        prior.fit([(Fixations([75.0], [5.0], [0]), (60, 80))])
    weights = 1 + prior.weight
    assert weights.mean().item() == pytest.approx(1)
    assert weights.argmax().item() == 7  # top right of 6 x 8


def test_loss_weighs_salient_pixels_and_holds_the_prior() -> None:
    model = tiny_models.build("mlnet", prior_decay=0.5)
    density = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]])
    predicted = torch.tensor([[[[4.0, 2.0, 2.0, 0.0]]]])  # 1, 1/2, 1/2, 0 of its maximum
    expected = (0.25 / 0.1 + 0.25 / 1.1) / 4 + 0.5 * model.network.prior.weight.square().mean().item()
    assert model.loss(predicted, {"density": density}).item() == pytest.approx(expected, rel=1e-5)


def test_the_papers_prior_is_enlarged_as_by_theano() -> None:
    prior = LearnedPrior((1, 2), "theano")
    with torch.no_grad():
        prior.weight.copy_(torch.tensor([[[[-1.0, 0.0]]]]))
    assert prior(torch.ones(1, 1, 4, 8))[0, 0, 0].tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    with pytest.raises(SpecError, match="a prior of 1 x 2 cannot be enlarged to maps of 4 x 6"):
        prior(torch.ones(1, 1, 4, 6))
