"""How far images lie from those of training: on drawn feature maps of known statistics."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import Tensor

from salzoo.components.familiarity import END, LEAST, START, Familiarity
from salzoo.errors import SpecError

CHANNELS = (6, 10)


def maps(images: int, shift: float = 0.0, seed: int = 0) -> list[Tensor]:
    """Draw maps whose means over space have correlated channels; `shift` moves them by so many deviations."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for channels in CHANNELS:
        mixing = torch.eye(channels) + 0.5 * torch.ones(channels, channels)
        means = (torch.randn(images, channels, generator=generator) + shift) @ mixing
        texture = torch.randn(images, channels, 4, 5, generator=generator)
        made.append(means[:, :, None, None] + texture - texture.mean((2, 3), keepdim=True))
    return made


@pytest.fixture
def fitted() -> Familiarity:
    familiarity = Familiarity(CHANNELS)
    familiarity.fit((maps(50, seed=seed) for seed in range(8)), (maps(20, seed=seed) for seed in range(8, 24)))
    return familiarity


def test_held_out_images_are_familiar_and_others_are_not(fitted: Familiarity) -> None:
    near, far = fitted.distance(maps(500, seed=20)), fitted.distance(maps(500, 3.0, seed=20))
    assert float(near.mean()) == pytest.approx(0, abs=0.15)
    assert float((near < START).float().mean()) > 0.95
    assert float(far.min()) > float(near.mean())
    assert (fitted(maps(20, 1e3)) == LEAST).all()
    power = fitted(maps(500, 0.8, seed=20))[:, 0, 0, 0]
    assert power.min() < 1 == power.max()
    expected = 1 - (1 - LEAST) * ((fitted.distance(maps(500, 0.8, seed=20)) - START) / (END - START)).clamp(0, 1)
    torch.testing.assert_close(power, expected)


def test_few_images_say_nothing() -> None:
    familiarity = Familiarity(CHANNELS)
    for training, held_out in ((60, 40), (200, 5)):
        familiarity.fit([maps(training)], [maps(held_out)])
        assert (familiarity(maps(7, 100)) == 1).all()


def test_weights_that_know_nothing_of_it_take_everything_for_familiar(fitted: Familiarity) -> None:
    new = Familiarity(CHANNELS)
    new.load_state_dict({})
    assert (new(maps(7, 100)) == 1).all()
    new.load_state_dict(fitted.state_dict())
    torch.testing.assert_close(new(maps(7, 1)), fitted(maps(7, 1)))


def test_strange_images_get_the_centre_bias() -> None:
    """p^T c^(1 - T), of each component; in train mode nothing changes."""
    model = tiny_models.build("deepgaze2e", components=1, tta=((1.0, False),))
    network = model.network
    image = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    network.familiarity.forget()
    sure = network(model._pixels(image))
    generator = torch.Generator().manual_seed(1)
    training = [torch.randn(200, c, 2, 2, generator=generator) * 1e-3 for c in network.members[0].backbone.channels]
    network.familiarity.fit([training], [training])
    unsure = network(model._pixels(image))
    assert (network.familiarity(network.compared(model._pixels(image))) == LEAST).all()
    bias = torch.cat([member.components[0].centre_bias(sure.shape[-2:]) for member in network.members], dim=1)
    expected = (LEAST * sure + (1 - LEAST) * bias).flatten(2).log_softmax(2).view_as(sure)
    torch.testing.assert_close(unsure, expected)
    assert not torch.allclose(unsure, sure, atol=1e-2)
    with pytest.raises(SpecError, match="familiarity goes with no halve"):
        tiny_models.build("deepgaze2e", halve=True)
