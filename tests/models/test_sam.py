"""What is SAM's own: attention, learned priors, backbones and loss."""

from __future__ import annotations

import math

import pytest
import tiny_models
import torch
from torch import nn

import salzoo
from salzoo import losses
from salzoo.models.sam import AttentiveConvLSTM, LearnedPriors, PriorConvolution


@pytest.mark.parametrize(("tag", "channels"), [("paper", 512), ("paper_resnet", 2048)])
def test_backbones_keep_stride_8_and_maps_become_twice_as_large_as_the_image(tag: str, channels: int) -> None:
    with torch.device("meta"):
        network = salzoo.load(f"sam.{tag}", weights=None).network
        image = torch.zeros(1, 3, 240, 320)
    assert network.features(image).shape == (1, channels, 30, 40)
    assert network(image).shape == (1, 1, 480, 640)


def test_the_resnets_convolutions_have_biases_and_kerass_strides() -> None:
    with torch.device("meta"):
        trunk = salzoo.load("sam.paper_resnet", weights=None).network.features.backbone.trunk
    convolutions = {name: m for name, m in trunk.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(convolutions) == 53
    assert all(m.bias is not None for m in convolutions.values())
    strided = {name for name, m in convolutions.items() if m.stride == (2, 2)}
    assert strided == {"conv1", "layer2.0.conv1", "layer2.0.downsample.0"}
    dilated = {name: m.dilation[0] for name, m in convolutions.items() if m.dilation != (1, 1)}
    assert dilated == {f"layer{k}.{i}.conv2": d for k, n, d in ((3, 6, 2), (4, 3, 4)) for i in range(n)}


def test_priors_are_gaussians_in_widths_of_the_map_within_bounds() -> None:
    priors = LearnedPriors(2)
    with torch.no_grad():
        priors.weight.copy_(torch.tensor([[0.5, 0.0], [0.5, 0.9], [0.2, 2.0], [0.3, 0.0]]))
        maps = priors((3, 5))[0]
    assert maps.shape == (2, 3, 5)
    e = 3 / 5
    for k, (mean_x, mean_y, std_x, std_y) in enumerate([(0.5, 0.5, 0.2, 0.3), (0.25, 0.65, 0.9, 0.2)]):
        for i, y in enumerate(((1 - e) / 2, 0.5, (1 + e) / 2)):
            for j, x in enumerate((0, 0.25, 0.5, 0.75, 1)):
                away = [((u - m) / s) ** 2 / 2 for u, m, s in ((x, mean_x, std_x), (y, mean_y, std_y))]
                nearest = 0 if k == 0 else (0.65 - 0.5) ** 2 / (2 * 0.2**2)  # rows are at 0.2, 0.5 and 0.8
                assert maps[k, i, j].item() == pytest.approx(math.exp(nearest - sum(away)), rel=1e-4)


def test_attention_is_even_at_first_and_then_weighs_places() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 4, 5, 6)
    even, mean = AttentiveConvLSTM(4, steps=1), AttentiveConvLSTM(4, steps=1, attention="mean")
    mean.load_state_dict(even.state_dict())
    with torch.no_grad():
        assert torch.allclose(even(maps * 30), mean(maps), atol=1e-6)  # 30 places
        before = mean(maps)
        mean.attend.weight.normal_()
        after = mean(maps)
        assert (before - after).abs().max() > 1e-3
        whole = mean(torch.cat([maps, maps.flip(0)]))
    assert torch.allclose(whole[:2], after, atol=1e-6)  # attention is each image's own


def test_steps_go_on_from_the_state() -> None:
    torch.manual_seed(0)
    lstm = AttentiveConvLSTM(4, steps=1, attention="mean")
    maps = torch.rand(1, 4, 5, 6)
    with torch.no_grad():
        gates = lstm.input_gates(maps) + lstm.state_gates.bias[:, None, None]
        let_in, _, new, let_out = gates.chunk(4, 1)
        memory = let_in.sigmoid() * new.tanh()
        state = let_out.sigmoid() * memory.tanh()
        assert torch.allclose(lstm(maps), state, atol=1e-6)
        lstm.steps = 2
        let_in, keep, new, let_out = (lstm.input_gates(maps) + lstm.state_gates(state)).chunk(4, 1)
        memory = keep.sigmoid() * memory + let_in.sigmoid() * new.tanh()
        assert torch.allclose(lstm(maps), let_out.sigmoid() * memory.tanh(), atol=1e-6)


def test_prior_convolution_sees_the_priors() -> None:
    layer = PriorConvolution(4, 2, 1)
    with torch.no_grad():
        found = layer(torch.zeros(2, 4, 6, 8))
    assert torch.equal(found[0], found[1])
    assert found.max() > 0


def test_loss_is_the_papers() -> None:
    torch.manual_seed(0)
    model = tiny_models.build("sam", activation="relu")
    model.train()
    logits, density = torch.rand(1, 1, 6, 8), torch.rand(1, 6, 8)
    batch = {"density": density / density.sum(), "fixations": (torch.rand(1, 6, 8) > 0.7).int()}
    log_density = (logits[:, 0] / logits.sum()).log()
    kl, cc = losses.kl(log_density, batch["density"]), losses.cc(log_density, batch["density"])
    expected = 10 * kl - 2 * cc - losses.nss(log_density, batch["fixations"])
    assert model.loss(logits, batch).item() == pytest.approx(expected.item(), rel=1e-4)


def test_only_predicted_maps_are_blurred() -> None:
    model = tiny_models.build("sam", activation="relu", blur_px=2.0)
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    assert model.train().to_log_density(point).exp()[0, 10, 10] > 0.99
    blurred = model.eval().to_log_density(point).exp()[0]
    assert blurred[10, 10].item() == pytest.approx(1 / (2 * math.pi * 4), rel=0.02)
