"""What is DeepGaze I's own: a read-out that is linear in the features, and a penalty that leaves few of them."""

from __future__ import annotations

import pytest
import tiny_models
import torch
import torch.nn.functional as F

from salzoo.components.layers import Standardise, fit_standardise


def test_readout_is_one_weight_a_feature() -> None:
    network = tiny_models.build("deepgaze1", stride=8, readout_stride=8, resize="bilinear").network
    image = torch.rand(1, 3, 64, 96)
    features = [layer(m) for layer, m in zip(network.standardise, network.backbone(image), strict=True)]
    levels = torch.cat([F.interpolate(m, (8, 12), mode="bilinear", align_corners=False) for m in features], dim=1)
    read = F.conv2d(levels, network.readout.weight)
    expected = network.blur(read) + network.centre_bias((8, 12))
    torch.testing.assert_close(network(image), expected, atol=1e-4, rtol=1e-4)


def test_penalty_is_the_ratio_of_norms() -> None:
    plain, sparse = (tiny_models.build("deepgaze1", sparsity=s) for s in (0.0, 0.1))
    logits, batch = torch.rand(2, 1, 8, 12), {"fixations": torch.randint(0, 3, (2, 16, 24))}
    weight = sparse.network.readout.weight.flatten()
    penalty = 0.1 * weight.abs().sum() / weight.norm()
    difference = sparse.loss(logits, batch) - plain.loss(logits, batch)
    assert difference.item() == pytest.approx(penalty.item(), rel=1e-4)


def test_a_channel_that_was_silent_in_calibration_stays_bounded() -> None:
    """ReLU channels without a sign of life on the training images wake up on others."""
    layer = Standardise(3)
    calm = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    calm[:, 1] = 0
    fit_standardise(layer, [calm])
    woken = calm.clone()
    woken[:, 1] = 1
    assert 90 < layer(woken)[:, 1].max() < 120  # hundredths of the other channels' deviation, not millions
