"""Graph-Based Visual Saliency (Harel, Koch and Perona, NIPS 2006): where a random walk over an image spends its time.

The chains need no power iteration. Their weights are w(i, j) = u(i) s(i, j) v(j) with s symmetric, so that they are
reversible, and their equilibrium is the graph's weighted degree:
- activation, w = |A(i) - A(j)| F(i, j): the share of node i is proportional to the sum over j of |A(i) - A(j)| F(i, j);
- concentration, w(i to j) = A(j) F(i, j): it is proportional to A(i) times the sum over j of F(i, j) A(j).
This is what the authors' power iteration approaches to its tolerance of 1e-4, where it converges.

Differences from the authors' toolbox:
- Colour axes are those of an sRGB display (`filters.dkl`), not of the authors' monitor.
- Images are brought to 640 pixels on the longer side, so that pyramid levels mean the same for any image.
- Pyramid levels are counted from the image as 0; the toolbox counts it as 1, and names 1, 2, 3 here 2, 3, 4.
- With `motion`, the toolbox's channels of videos, flicker and motion, from descriptions: the difference of intensity
  between two frames, and Reichardt detectors of one pixel along four axes, on each level. Here the detectors are of
  orientation energies, not of intensity, and both are shares of the visible contrast (`changed_shares`), so that a
  thing that stands still differs from plain ground.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.conspicuity import changed_shares
from salzoo.components.training_free import TrainingFreeModel
from salzoo.components.video_model import VideoModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

Colour = Literal["dkl", "rgby", "lab"]
COLOURS: dict[Colour, Callable[[Tensor], Tensor]] = {
    "dkl": filters.dkl,
    "rgby": filters.rgby,
    "lab": lambda image: filters.lab(image) / 100,
}
GABOR_BORDER, MAP_BORDER = 13, 4  # pixels over which responses, and the sum of all maps, fade in from the border


class GBVSNetwork(nn.Module):
    """Mean activation of colour, intensity and orientation maps.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, h, w), the longer of h and w being `map_size`.

    Args:
        colour: Colour channels: `dkl` as the authors', `rgby` (Itti, Koch and Niebur) or `lab`.
        levels: Pyramid levels of the features; the image is level 0.
        map_size: Longer side of the graph in nodes.
        sigma: Reach of the activation's graph, as a share of the map's mean side.
        normalisation: `power` raises each activation map to the power 1.5; `markov` concentrates it by a second chain.
        normalisation_sigma: Reach of that chain's graph, as a share of the map's mean side.
        blur: Standard deviation of the last Gaussian, as a share of the map's longer side.
        motion: Add flicker and motion, in videos.

    Raises:
        SpecError: If there is no level, or one is negative; if the graph is not of 4 to 128 nodes a side.
    """

    def __init__(
        self,
        colour: Colour = "dkl",
        levels: tuple[int, ...] = (1, 2, 3),
        map_size: int = 32,
        sigma: float = 0.15,
        normalisation: Literal["power", "markov"] = "power",
        normalisation_sigma: float = 0.06,
        blur: float = 0.02,
        motion: bool = False,
    ) -> None:
        super().__init__()
        if not levels or min(levels) < 0:
            raise SpecError(f"gbvs: levels={levels} is not accepted: at least one, from 0 for the image itself.")
        check_range(0, 16, levels=levels)
        check_range(0.001, 100, sigma=sigma, normalisation_sigma=normalisation_sigma)
        check_range(0, 1, blur=blur)
        if not 4 <= map_size <= 128:
            raise SpecError(f"gbvs: map_size={map_size} is not accepted: from 4 to 128 nodes (all pairs are compared).")
        self.colour = COLOURS[colour]
        self.levels = levels
        self.map_size = map_size
        self.sigma = sigma
        self.normalisation = normalisation
        self.normalisation_sigma = normalisation_sigma
        self.blur = blur
        self.temporal = motion

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1]."""
        return torch.stack([self.saliency(self.features(one[None])[0]) for one in image])[:, None]

    def step(self, image: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return the saliency of a frame, and its intensity and orientation at each level for the next one."""
        channels, now = self.features(image)
        if state is not None:
            shares = itertools.starmap(changed_shares, zip(now, state, strict=True))
            maps = torch.cat([filters.resize(each, channels[0].shape[-2:]) for each in shares])
            channels = [*channels, maps[:, :1], maps[:, 1:]]
        return self.saliency(channels)[None, None], now

    def features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return what is in one image.

        Returns:
            Feature maps of intensity, colour and orientation at the graph's size, (levels, C, h, w) each; and intensity
            and orientation at each level's own size, (1, 5, H', W').
        """
        colours = self.colour(image)
        channels = torch.cat([filters.intensity(image), colours], dim=1)
        sides = [int(side) for side in image.shape[-2:]]  # under torch.jit.trace they are tensors
        size = [max(1, round(side * self.map_size / max(sides))) for side in sides]
        pyramid = filters.pyramid(channels, max(self.levels))
        maps, kept = [], []
        for level in self.levels:
            energy = fade(filters.gabor_energy(pyramid[level][:, :1]), GABOR_BORDER)
            maps.append(filters.resize(torch.cat([pyramid[level], energy], dim=1), size))
            kept.append(torch.cat([pyramid[level][:, :1], energy], dim=1))
        split = torch.split(torch.cat(maps), [1, colours.shape[1], 4], dim=1)
        return list(split), kept

    def saliency(self, channels: list[Tensor]) -> Tensor:
        """Feature maps of each channel of one image, (levels, C, h, w), to its saliency, (h, w)."""
        features = torch.cat(channels, dim=1)
        side = (features.shape[-2] + features.shape[-1]) / 2
        maps = activation(features.flatten(0, 1), self.sigma * side)
        maps = maps**1.5 if self.normalisation == "power" else concentration(maps, self.normalisation_sigma * side)
        means = torch.split(maps.view_as(features).mean(0), [channel.shape[1] for channel in channels])
        total = torch.stack([mean.mean(0) for mean in means]).sum(0)
        share = total / total.max().clamp_min(torch.finfo(total.dtype).tiny)  # of the most visited node
        scaled = filters.rescale(fade(share, MAP_BORDER))
        return filters.blur(scaled, self.blur * max(scaled.shape))


class GBVS(VideoModel, TrainingFreeModel):
    """Graph-Based Visual Saliency, at 640 pixels on the longer side; arguments as `GBVSNetwork`."""

    network: GBVSNetwork
    network_class = GBVSNetwork
    no_graph = "its thresholds turn a runtime's rounding errors into another map"
    default_preprocess = Preprocess((480, 640), "longest")


def proximity(size: tuple[int, int], sigma: float) -> Tensor:
    """Return exp(-D^2 / (2 sigma^2)) of the distances D between all nodes, (h * w, h * w) float64."""
    squares = [(torch.arange(side)[:, None] - torch.arange(side)).double() ** 2 for side in size]
    rows, columns = (torch.exp(-square / (2 * sigma**2)) for square in squares)
    return torch.kron(rows, columns)


def activation(maps: Tensor, sigma: float) -> Tensor:
    """Equilibrium of the walk towards dissimilar nodes: (C, h, w) features to (C, h, w), each of sum 1 (0 if flat)."""
    near = proximity((maps.shape[-2], maps.shape[-1]), sigma).to(maps)
    flat = filters.rescale(maps).flatten(1)
    degree = [(one[:, None] - one).abs_().mul_(near).sum(1) for one in flat]  # in place: a graph is its largest matrix
    return equilibrium(torch.stack(degree)).view_as(maps)


def concentration(maps: Tensor, sigma: float) -> Tensor:
    """Equilibrium of the walk that is drawn to high values: (C, h, w) activations to (C, h, w), each summing to 1."""
    near = proximity((maps.shape[-2], maps.shape[-1]), sigma).to(maps)
    flat = maps.flatten(1)
    return equilibrium(flat * (flat @ near)).view_as(maps)


def equilibrium(degree: Tensor) -> Tensor:
    """(C, nodes) weighted degrees to shares; 0 for a graph without weights, on which nothing moves."""
    return degree / degree.sum(1, keepdim=True).clamp_min(torch.finfo(degree.dtype).tiny)


def fade(maps: Tensor, border: int) -> Tensor:
    """Weigh the `border` outer pixels of (..., H, W) by 1 / (border + 1), 2 / (border + 1), ... from outside in."""
    ramps = []
    for side in maps.shape[-2:]:
        position = torch.arange(side).to(maps)
        ramps.append(((torch.minimum(position, side - 1 - position) + 1) / (border + 1)).clamp_max(1))
    return maps * ramps[0][:, None] * ramps[1]
