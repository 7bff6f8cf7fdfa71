"""What is SalNet's own: the released network's layers, its target and its weights from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_models
import torch
from safetensors.torch import save_file
from torch import nn

import salzoo
from salzoo.components.vgg_m import VGGMStem
from salzoo.errors import WeightsError
from salzoo.models.salnet import SalNet


def paper_network() -> nn.Module:
    with torch.device("meta"):
        return salzoo.load("salnet.paper", weights=None).network


def test_the_papers_variant_is_the_released_network() -> None:
    network = paper_network()
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "features.conv1.weight": (96, 3, 7, 7),
        "features.conv2.weight": (256, 96, 5, 5),
        "features.conv3.weight": (512, 256, 3, 3),
        "column.conv4.weight": (512, 512, 5, 5),
        "column.conv5.weight": (512, 512, 5, 5),
        "column.conv6.weight": (256, 512, 7, 7),
        "column.conv7.weight": (128, 256, 11, 11),
        "column.conv8.weight": (32, 128, 11, 11),
        "column.conv9.weight": (1, 32, 13, 13),
        "deconv1.weight": (1, 1, 8, 8),
    }


def test_poolings_round_up() -> None:
    assert paper_network()(torch.zeros(1, 3, 240, 320, device="meta")).shape == (1, 1, 240, 320)


def test_weights_start_as_in_the_authors_training_file() -> None:
    torch.manual_seed(0)
    network = salzoo.load("salnet.paper", weights=None).network
    std = {name: p.std().item() for name, p in network.named_parameters() if "conv" in name and p.ndim > 1}
    expected = (0.116642, 0.0288675, 0.0294628, 0.0125, 0.0125, 0.008929, 0.008035, 0.011363, 0.013598, 0)
    assert list(std.values()) == pytest.approx(expected, rel=0.05)
    assert set(network.get_parameter("deconv1.weight").flatten().tolist()) == {1 / 64}


def test_caffe_pixels() -> None:
    image = torch.tensor([118.0, 110.0, 100.0 + 127.5])[None, :, None, None] / 255  # RGB
    assert SalNet().preprocess.normalize(image).flatten().tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_the_target_goes_from_minus_one_to_one() -> None:
    model = tiny_models.build("salnet", root=1.0)
    density = torch.tensor([[[0.5, 0.25, 0.25, 0.0]]])
    batch = {"density": density}
    truth = torch.tensor([[[[1.0, 0.5 / 128, 0.5 / 128, -127 / 128]]]])
    assert model.loss(truth, batch).item() == pytest.approx(0, abs=1e-12)
    assert model.loss(truth + 0.5, batch).item() == pytest.approx(0.25)


def test_pretrained_needs_a_file_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"VGG_CNN_M.caffemodel.*--training.stem_weights FILE"):
        salzoo.load("salnet.paper", weights=None, pretrained_backbone=True)
    file = tmp_path / "stem.safetensors"
    with pytest.raises(WeightsError, match=r"stem_weights=.*conv1 \(96, 3, 7, 7\)"):
        salzoo.load("salnet.paper", weights=None, pretrained_backbone=True, stem_weights=str(file))
    stem = VGGMStem()
    save_file(stem.state_dict(), file)
    loaded = salzoo.load(
        "salnet.paper", weights=None, pretrained_backbone=True, stem_weights=str(file)
    ).network.features
    assert all(torch.equal(tensor, stem.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_biases_learn_at_twice_the_rate_which_halves_every_2000_steps() -> None:
    config = tiny_models.build("salnet", optimizer="sgd", lr=0.5).configure_sgd()
    groups, schedule = config["optimizer"].param_groups, config["lr_scheduler"]["scheduler"]
    assert {(group["lr"], group["weight_decay"]) for group in groups if group["params"][0].ndim > 1} == {(0.5, 0.0)}
    assert {(group["lr"], group["weight_decay"]) for group in groups if group["params"][0].ndim == 1} == {(1.0, 0.0)}
    assert {group["momentum"] for group in groups} == {0.9}
    assert (schedule.step_size, schedule.gamma) == (2000, 0.5)
