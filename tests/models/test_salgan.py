"""SalGAN's discriminator at its start; what all models share is in test_contract.py."""

from __future__ import annotations

import statistics

import torch

from salzoo.models.salgan import Discriminator


def test_the_discriminator_answers_differently_to_different_maps_before_it_has_learned() -> None:
    deviations = []
    for seed in range(5):
        torch.manual_seed(seed)
        discriminator = Discriminator((48, 64))
        image = torch.rand(16, 3, 1, 1).expand(16, 3, 48, 64)
        deviations.append(discriminator(torch.rand(16, 1, 48, 64), image).std().item())
    assert statistics.median(deviations) > 3e-3  # from PyTorch's start 1.4e-4, and 200 steps left it at chance
