"""Bayesian surprise (Itti and Baldi, NIPS 2005; Vision Research 2009): how much a frame changes what was believed.

At every place of every feature map, five models believe in a Gamma distribution of the rate at which a neuron there
fires. Each frame is a datum: the belief (a, b) becomes (z a + rate, z b + 1) with z = 0.7, and surprise is the
divergence of the new belief from the old one. The second model is told what the first one believes, and so on: five
time scales. In space, the belief of the neighbourhood is what was expected. Both add up, scales multiply, features add.

A reconstruction from published descriptions: we had neither the text nor the authors' program, and no map was compared.
- From descriptions: beliefs, their update and z; the divergence; five models in a chain; the product over them with its
  cube root; features as Itti's with flicker and motion.
- As we remember it, not checked: the weight of 1 / 20 of surprise in space.
- Guessed: rates are 1 + 100 times centre-surround contrast; the neighbourhood is a Gaussian around the place; the mean
  of a belief is what the next model is told; channels compete by their local maxima, as Itti's, before they are added;
  at the first frame all models believe what they see, so that a video that stands still has the map of its image.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.conspicuity import changes, contrasts, features, max_local
from salzoo.components.training_free import TrainingFreeModel
from salzoo.components.video_model import VideoModel
from salzoo.images.preprocess import Preprocess

PAIRS = tuple((c, c + d) for c, d in itertools.product((2, 3, 4), (3, 4)))
SCALES = 5
FADE = 0.7
SPATIAL = 1 / 20
REST, GAIN = 1.0, 100.0
CHANNELS, CHANGES = (1, 2, 4, 1, 4), 5
"""Maps of intensity, colour and orientation, of flicker and motion; how many of them are of changes between frames."""


class SurpriseNetwork(nn.Module):
    """Surprise in space and, in a video, in time.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, h, w) of pyramid level 4.

    Args:
        neighbourhood: Standard deviation of the Gaussian that surprise in space compares with, as a share of the map's
            longer side.
        blur: Standard deviation of the last Gaussian, likewise.
    """

    temporal = True

    def __init__(self, neighbourhood: float = 0.1, blur: float = 0.02) -> None:
        super().__init__()
        check_range(0.01, 1, neighbourhood=neighbourhood)
        check_range(0, 1, blur=blur)
        self.neighbourhood, self.blur = neighbourhood, blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the surprise of RGB in [0, 1], which is in space alone."""
        return self.step(image, None)[0]

    def step(self, image: Tensor, state: tuple[Tensor, dict[int, Tensor]] | None) -> tuple[Tensor, object]:
        """Return the surprise of a frame, and beliefs and features for the next one."""
        now = features(image, PAIRS)
        seen = {level: maps.new_zeros(()).expand_as(maps[:, :CHANGES]) for level, maps in now.items()}
        if state is not None:
            seen = changes(now, state[1])
        rates = torch.cat([self.rates(now), self.rates(seen)], dim=2)
        before = rates.expand(SCALES, -1, -1, -1, -1, -1) / (1 - FADE) if state is None else state[0]
        after, datum = [], rates
        for belief in before:
            after.append(FADE * belief + datum)
            datum = after[-1] * (1 - FADE)
        beliefs = torch.stack(after)
        return self.total(before, beliefs), (beliefs, now)

    @staticmethod
    def rates(levels: dict[int, Tensor]) -> Tensor:
        """Feature maps (N, C, h, w) of each level to rates of centre-surround contrast, (N, pairs, C, h', w')."""
        return REST + GAIN * contrasts(levels, PAIRS, lambda maps: maps).transpose(0, 1)

    def total(self, before: Tensor, after: Tensor) -> Tensor:
        """Beliefs (scales, N, pairs, C, h, w) before and after a frame to surprise, (N, 1, h, w).

        All have the inverse scale 1 / (1 - z), at which it stays.
        """
        side = max(after.shape[-2:])
        around = filters.blur(before.flatten(0, 2), self.neighbourhood * side).view_as(before)
        each = surprise(after, before) + SPATIAL * surprise(after, around)
        maps = each.prod(0).pow(1 / 3).sum(1)
        channels = torch.split(maps, list(CHANNELS), dim=1)
        summed = max_local(torch.cat([channel.sum(1, keepdim=True) for channel in channels], dim=1))
        return filters.blur(summed.sum(1, keepdim=True), self.blur * side)


class Surprise(VideoModel, TrainingFreeModel):
    """Bayesian surprise, at 640 pixels on the longer side; arguments as `SurpriseNetwork`."""

    network: SurpriseNetwork
    network_class = SurpriseNetwork
    no_graph = "its logarithm of the gamma function has no counterpart in ONNX"
    default_preprocess = Preprocess((480, 640), "longest")


def surprise(after: Tensor, before: Tensor) -> Tensor:
    """Return the divergence of Gamma(after, b) from Gamma(before, b) of one inverse scale b, in nats, at least 0."""
    divergence = (after - before) * torch.digamma(after) - torch.lgamma(after) + torch.lgamma(before)
    return divergence.clamp_min(0)
