"""How far an image lies from the images of training, and how sure a model may be of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

START, END, LEAST = 1.5, 4.5, 0.75
"""Distances between which the power falls from 1 to `LEAST`: few held-out images are further than `START`."""
SHRINKAGE = 0.3
"""Share of the covariance that its diagonal is: a few hundred images do not tell the rest of it."""
FEW, FEW_HELD_OUT = 100, 20
"""Fewer images say too little of what is familiar."""


class Distance(nn.Module):
    """The distance of Mahalanobis between the mean of a feature map over space and those of training images.

    Shape: (N, C, any, any) map to (N,) logarithm of the squared distance for each channel.

    Args:
        channels: C.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("whitening", torch.zeros(channels, channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Return how far each image is."""
        whitened = (maps.mean((2, 3)) - self.mean) @ self.whitening.T
        return whitened.square().mean(1).clamp_min(1e-12).log()

    def fit(self, means: Tensor) -> None:
        """Fit to (n, C) means of the maps of training images."""
        covariance = torch.cov(means.double().T)
        covariance = torch.lerp(covariance, covariance.diagonal().diag(), SHRINKAGE)
        covariance.diagonal().add_(1e-6 * covariance.diagonal().mean())  # a channel that never varies
        self.mean.copy_(means.double().mean(0))
        self.whitening.copy_(torch.linalg.inv(torch.linalg.cholesky(covariance)))


class Familiarity(nn.Module):
    """The power that a density is raised to: 1 for images like those of training, `LEAST` for images far from them.

    Feature maps are compared by their means over space, with the distance of Mahalanobis (as Lee et al., NeurIPS 2018,
    find images that a classifier does not know). The logarithm of each distance is standardised by images of the same
    sets that were held out, and the mean over maps is the image's: 0 is as far as those are, 1 a standard deviation
    further. Before `fit`, and with weights that know nothing of it, every image is familiar.

    Shape: maps (N, channels[i], any, any) to (N, 1, 1, 1) powers.

    Args:
        channels: Channels of each map.
    """

    expected: Tensor
    spread: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.distances = nn.ModuleList(Distance(c) for c in channels)
        self.register_buffer("expected", torch.zeros(len(channels)))
        self.register_buffer("spread", torch.ones(len(channels)))
        self.register_load_state_dict_pre_hook(_fill_in)  # type: ignore[no-untyped-call]

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the power for each image."""
        share = ((self.distance(maps) - START) / (END - START)).clamp(0, 1)
        return (1 - (1 - LEAST) * share)[:, None, None, None]

    def distance(self, maps: Sequence[Tensor]) -> Tensor:
        """Return (N,) standardised distances of images."""
        return ((self._each(maps) - self.expected) / self.spread).mean(1)

    def _each(self, maps: Sequence[Tensor]) -> Tensor:
        return torch.stack([distance(m) for distance, m in zip(self.distances, maps, strict=True)], dim=1)

    def fit(self, training: Iterable[Sequence[Tensor]], held_out: Iterable[Sequence[Tensor]]) -> None:
        """Learn what is familiar; of fewer than `FEW` images, or `FEW_HELD_OUT` held out, everything is.

        Args:
            training: The maps of batches of training images.
            held_out: The maps of batches of other images of the same sets.
        """
        means = [torch.cat(each) for each in zip(*([m.mean((2, 3)) for m in maps] for maps in training), strict=True)]
        enough = bool(means) and len(means[0]) >= FEW
        for distance, each in zip(self.distances, means if enough else (), strict=enough):
            distance.fit(each)  # type: ignore[operator]
        far = torch.cat([self._each(maps) for maps in held_out]) if enough else self.expected[None]
        if len(far) >= FEW_HELD_OUT:
            self.expected.copy_(far.mean(0))
            self.spread.copy_(far.std(0))
        else:
            self.forget()

    def forget(self) -> None:
        """Take every image for familiar."""
        for buffer in self.buffers():
            buffer.zero_()
        self.spread.fill_(1)


def _fill_in(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Complete weights that know nothing of what is familiar."""
    for name, tensor in module.state_dict(prefix=prefix).items():
        state.setdefault(name, tensor)
