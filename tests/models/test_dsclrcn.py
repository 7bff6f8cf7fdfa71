"""DSCLRCN: its LSTMs step by step, as Caffe's layer has them, and the sizes of the paper's network."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from torch import Tensor

import salzoo
from salzoo.components.optimizers import caffe_sgd
from salzoo.models.dsclrcn import Normalise, SpatialLSTM

HEAD = {
    "encode": 1024 * 512 + 512 + 2048 * 512 + 512,  # conv4_g, conv5_d
    "fuse": 1024 * 512 + 512,
    "describe": 256 * 6 * 6 * 128 + 128,
    "lstms": 4 * 128 * (512 + 128 + 128 + 1) + 3 * 4 * 128 * (256 + 128 + 128 + 1),
    "predict": 256 + 1,
}
"""Learned parameters of each part, from the layers of the authors' training file."""


def test_the_papers_network_has_the_released_size() -> None:
    with torch.device("meta"):
        model = salzoo.load("dsclrcn.paper", weights=None)
        assert model.network(torch.zeros(1, 3, 480, 640)).shape == (1, 1, 60, 80)
    for part, count in HEAD.items():
        learned = [p for p in model.network.get_submodule(part).parameters() if p.requires_grad]
        assert sum(p.numel() for p in learned) == count, part
    assert sum(p.numel() for p in model.network.backbone.parameters()) == 23_508_032  # ResNet-50 without its classifier


def caffe_lstm(layer: SpatialLSTM, rows: Tensor, context: Tensor) -> Tensor:
    """Run along rows (N, T, C) one step after the other; the static input enters at the first step only."""
    lstm, hidden = layer.lstm, layer.lstm.hidden_size
    of_rows, of_context = lstm.weight_ih_l0.split([rows.shape[2], context.shape[1]], dim=1)
    state = cell = rows.new_zeros(len(rows), hidden)
    outputs = []
    for t in range(rows.shape[1]):
        gates = rows[:, t] @ of_rows.T + lstm.bias_ih_l0 + state @ lstm.weight_hh_l0.T
        gates = gates + context @ of_context.T if t == 0 else gates
        enter, forget, new, leave = gates.split(hidden, dim=1)
        cell = (forget + 1).sigmoid() * cell + enter.sigmoid() * new.tanh()
        state = leave.sigmoid() * cell.tanh()
        outputs.append(state)
    return torch.stack(outputs, dim=1)


def test_rows_are_read_from_both_ends_by_the_same_lstm() -> None:
    torch.manual_seed(0)
    layer = SpatialLSTM(3, 2, 5)
    torch.nn.init.normal_(layer.lstm.bias_ih_l0)
    maps, context = torch.randn(2, 3, 4, 6), torch.randn(2, 2)
    output = layer(maps, context)
    assert output.shape == (2, 10, 4, 6)
    for i in range(2):
        for y in range(4):
            row = maps[i, :, y].T[None]
            there = caffe_lstm(layer, row, context[i : i + 1])[0]
            back = caffe_lstm(layer, row.flip(1), context[i : i + 1])[0].flip(0)
            torch.testing.assert_close(output[i, :, y].T, torch.cat([there, back], dim=1))


def test_one_way_is_the_way_back_twice() -> None:
    torch.manual_seed(0)
    both = SpatialLSTM(3, 2, 5)
    back = SpatialLSTM(3, 2, 5, both=False)
    back.load_state_dict(both.state_dict())
    maps, context = torch.randn(2, 3, 4, 6), torch.randn(2, 2)
    torch.testing.assert_close(back(maps, context), both(maps, context)[:, 5:].repeat(1, 2, 1, 1))


def test_every_place_knows_the_whole_image() -> None:
    """A change in one corner reaches the opposite one, through rows and columns."""
    model = tiny_models.build("dsclrcn")
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        maps = [m for m in model.network.backbone(image)]
        context = torch.zeros(1, 4)
        before = model.network._fuse(maps)
        after = before.clone()
        after[..., 0, 0] += 1

        def run(x: Tensor) -> Tensor:
            for i, lstm in enumerate(model.network.lstms):
                x = lstm(x, context) if i % 2 == 0 else lstm(x.mT, context).mT
            return x

        assert not torch.equal(run(before)[..., -1, -1], run(after)[..., -1, -1])


def test_the_density_of_a_sigmoid_map_is_the_map_stretched() -> None:
    """Only the order and the ratios of differences count, as for NSS: background is background at any level."""
    model = tiny_models.build("dsclrcn", density="sigmoid")
    logits = torch.tensor([0.6, 0.6, 0.7, 0.8]).logit().view(1, 1, 2, 2)
    expected = torch.tensor([0.0, 0.0, 0.5, 1.0]) + 0.02
    density = model.to_log_density(logits).exp().flatten()
    torch.testing.assert_close(density, expected / expected.sum())
    torch.testing.assert_close(model.to_log_density(torch.zeros(1, 1, 2, 2)).exp(), torch.full((1, 2, 2), 0.25))


def test_normalised_maps_have_the_length_of_the_scale() -> None:
    maps = torch.rand(2, 3, 4, 5) * torch.tensor([1.0, 100.0]).view(2, 1, 1, 1)
    lengths = Normalise(400.0)(maps).flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([400.0, 400.0]))


def test_biases_learn_at_twice_the_rate_without_decay() -> None:
    weight, bias = torch.nn.Linear(2, 3).parameters()
    config = caffe_sgd([{"params": [weight, bias], "lr": 0.1}], momentum=0.9, weight_decay=0.5, step_size=2, gamma=0.4)
    groups, schedule = config["optimizer"].param_groups, config["lr_scheduler"]["scheduler"]
    assert [[id(p) for p in group["params"]] for group in groups] == [[id(weight)], [id(bias)]]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    rates = []
    for _ in range(3):
        rates.append([group["lr"] for group in groups])
        config["optimizer"].step()
        schedule.step()
    assert rates == [pytest.approx([0.1, 0.2])] * 2 + [pytest.approx([0.04, 0.08])]
