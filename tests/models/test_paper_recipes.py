"""The recipes of the paper variants whose authors published their training script: what is in it, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.preprocess import Preprocess
from salzoo.registry import read_spec


@dataclass(frozen=True)
class Script:
    """An authors' script: optimiser, rate of new weights at the start, epochs, batch, and after how many epochs what.

    `later` are shares of the first rate, by the number of epochs that are over.
    """

    optimizer: type[torch.optim.Optimizer]
    lr: float
    epochs: int
    batch: int
    data: str
    later: dict[int, float]


SCRIPTS = {
    "sam.paper": Script(torch.optim.RMSprop, 1e-4, 10, 10, "salicon2015", {9: 1.0}),
    "sam.paper_resnet": Script(torch.optim.RMSprop, 1e-4, 10, 10, "salicon2015", {9: 1.0}),
    "emlnet.paper": Script(torch.optim.SGD, 1e-2, 10, 8, "salicon2017", {4: 1.0, 5: 0.1}),
    "msinet.paper": Script(torch.optim.Adam, 1e-5, 10, 1, "salicon2017", {9: 1.0}),
    "unisal.paper": Script(torch.optim.SGD, 4e-2, 16, 32, "salicon2017", {1: 0.8, 5: 0.8**5}),
    "transalnet.paper": Script(torch.optim.Adam, 1e-5, 30, 4, "salicon2017", {2: 1.0, 3: 0.1, 6: 0.01}),
    "transalnet.paper_dense": Script(torch.optim.Adam, 1e-5, 30, 4, "salicon2017", {2: 1.0, 3: 0.1, 6: 0.01}),
    "fastsal.paper": Script(torch.optim.SGD, 1e-2, 100, 30, "salicon2017", {15: 1.0, 16: 0.1, 31: 0.01, 61: 0.001}),
}


def small(name: str) -> SaliencyModel:
    """Return the variant's miniature with the recipe's training."""
    spec = read_spec(name.split(".")[0])
    recipe = spec.variants[name.split(".")[1]].recipe
    return salzoo.load(name, weights=None, **{**spec.tiny, **recipe["training"], "pretrained_backbone": False})


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_recipe_is_the_authors_script(name: str) -> None:
    script = SCRIPTS[name]
    recipe = read_spec(name.split(".")[0]).variants[name.split(".")[1]].recipe
    assert recipe["trainer"]["max_epochs"] == script.epochs
    assert (recipe["data"]["sets"], recipe["data"]["batch_size"]) == ([script.data], script.batch)
    made = small(name).configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    assert type(optimizer) is script.optimizer
    rates = []
    for _ in range(script.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if isinstance(made, dict):
            made["lr_scheduler"].step()
    assert rates[0] == script.lr
    assert {k: rates[k] / rates[0] for k in script.later} == pytest.approx(script.later)


def test_fastsals_biases_learn_at_twice_the_rate_and_do_not_decay() -> None:
    model = small("fastsal.paper")
    groups = model.configure_sgd()["optimizer"].param_groups
    found = {p: (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == sum(1 for p in model.parameters() if p.requires_grad)
    network = model.network
    assert isinstance(network.predict, nn.Conv2d)
    assert found[network.predict.weight] == (1e-2, 5e-4)
    assert found[network.predict.bias] == (2e-2, 0.0)
    backbone = dict(network.backbone.named_parameters())
    assert {found[p] for name, p in backbone.items() if name.endswith("weight")} == {(5e-3, 5e-4)}
    assert {found[p] for name, p in backbone.items() if name.endswith("bias")} == {(1e-2, 0.0)}


@pytest.mark.parametrize(
    ("name", "image_size", "box", "value"),
    [
        ("sam.paper", (500, 333), (0, 80, 240, 159), 0),
        ("msinet.paper", (500, 333), (0, 80, 240, 160), 126),
        ("transalnet.paper", (500, 333), (0, 96, 288, 191), 1),
        ("transalnet.paper", (333, 500), (16, 0, 255, 384), 1),
    ],
)
def test_the_frame_is_the_authors(name: str, image_size: tuple[int, int], box: tuple[int, ...], value: int) -> None:
    """White images: what is not white is the frame (`preprocess_img`, `padding`, `_pad_image` of their code)."""
    options = read_spec(name.split(".")[0]).variants["paper"].preprocess
    image = Preprocess(**options)(torch.full((3, *image_size), 255, dtype=torch.uint8))
    top, left, height, width = box
    expected = torch.full(image.shape, value, dtype=image.dtype)
    expected[:, top : top + height, left : left + width] = 255
    torch.testing.assert_close(image * 255, expected)


def test_the_released_transalnets_have_the_frame_of_their_script() -> None:
    for release in read_spec("transalnet").authors:
        options = release.preprocess
        assert (options["fit"], options["pad_value"], options["channel_order"]) == ("pad_floor", 1, "bgr")
