"""The published number of parameters, of every network whose paper or released weights tell it."""

from __future__ import annotations

import pytest
import torch

from salzoo.checkpoint.loading import build
from salzoo.registry import read_spec


@pytest.mark.parametrize(
    ("name", "part", "count"),
    [
        ("deepgaze1", "network.readout", 256),  # one weight a channel of conv5, no bias
        ("deepgaze2", "network.readout", 41_589),  # 5 x 512 channels to 16, 32, 2, 1
        ("deepgaze2", "network.backbone", 20_024_384),  # the 16 convolutions of VGG-19
        ("juntingnet", "network", 64_392_512),  # the paper's figure
        ("mlnet", "network", 15_452_145),
        ("mlnet", "network.features.backbone", 14_714_688),  # the 13 convolutions of VGG-16
        ("mrcnn", "network", 6_473_153),  # three streams and their fusion
        ("salgan", "network", 31_787_009),  # the generator's as the paper's authors released it
        ("salicon", "network", 29_430_401),  # two unshared VGG-16 and 1,024 weights
        ("salnet", "network", 25_806_209),  # the released network's
    ],
)
def test_paper_variants_have_the_papers_number_of_parameters(name: str, part: str, count: int) -> None:
    """Built without memory."""
    spec = read_spec(name)
    variant = spec.variants["paper"]
    with torch.device("meta"):
        model = build(spec, "paper", variant.network, variant.preprocess)
    assert sum(parameter.numel() for parameter in model.get_submodule(part).parameters()) == count
