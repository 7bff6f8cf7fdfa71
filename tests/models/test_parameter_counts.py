"""The published number of parameters, of every network whose paper or released weights tell it."""

from __future__ import annotations

import pytest
import torch

from salzoo.checkpoint.loading import build
from salzoo.registry import read_spec


@pytest.mark.parametrize(
    ("name", "part", "count"),
    [
        ("aclnet", "network", 21_982_786),  # of a file of 252 MB with two moments each
        ("attention_center", "network", 288_012),  # the released file's, without the zeros that stand for no bias
        ("deepgaze1", "network.readout", 256),  # one weight a channel of conv5, no bias
        ("deepgaze2", "network.readout", 41_589),  # 5 x 512 channels to 16, 32, 2, 1
        ("deepgaze2", "network.backbone", 20_024_384),  # the 16 convolutions of VGG-19
        ("dva", "network", 25_072_735),  # 14,714,688 of VGG-16, the branches, 28 that combine them
        ("emlnet", "network", 47_086_579),  # two ResNet-50 and the decoder as released, without what joins one alone
        ("emlnet", "network.levels.0.backbone", 23_508_032),  # ResNet-50 without its classifier
        ("fastsal", "network", 3_646_715),  # model A as the authors released it
        ("juntingnet", "network", 64_392_512),  # the paper's figure
        ("mlnet", "network", 15_452_145),
        ("mlnet", "network.features.backbone", 14_714_688),  # the 13 convolutions of VGG-16
        ("mrcnn", "network", 6_473_153),  # three streams and their fusion
        ("msinet", "network", 24_934_209),
        ("salgan", "network", 31_787_009),  # the generator's as the paper's authors released it
        ("salicon", "network", 29_430_401),  # two unshared VGG-16 and 1,024 weights
        ("salnet", "network", 25_806_209),  # the released network's
        ("sam", "network", 51_835_841),
        ("sam.paper_resnet", "network", 70_093_441),  # with a bias in every convolution
        ("stsconvnet", "network", 41_248_257),
        ("stsconvnet.paper_max", "network", 40_723_457),
        ("tasednet", "network", 21_260_693),
        ("tasednet", "network.backbone", 7_910_048),  # S3D without its classifier
        ("transalnet", "network", 72_510_977),  # with ResNet-50, as released
        ("transalnet.paper_dense", "network", 76_560_065),  # with DenseNet-161, as released
        ("unisal", "network", 3_189_122),  # the authors' 3,714,872 without recurrent layer and three other domains
        ("vinet", "network", 31_099_585),
        ("vinet.paper_s", "network", 9_500_737),
    ],
)
def test_paper_variants_have_the_papers_number_of_parameters(name: str, part: str, count: int) -> None:
    """Built without memory."""
    name, _, tag = name.partition(".")
    spec, tag = read_spec(name), tag or "paper"
    variant = spec.variants[tag]
    with torch.device("meta"):
        model = build(spec, tag, variant.network, variant.preprocess)
    assert sum(parameter.numel() for parameter in model.get_submodule(part).parameters()) == count
