"""How likely a saccade is by its amplitude and direction, whatever the image shows: estimated from recorded ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from salzoo.components.polar_lattice import PolarLattice, look_up
from salzoo.components.stimulus import Stimulus
from salzoo.images.geometry import Size

DEGREES = 20.0
"""Longest amplitude that is estimated."""
BANDWIDTH, TURN = 0.4, math.radians(10)
"""Standard deviations of the kernel: along the amplitude in degrees, around the direction in radians."""
FLOOR = 1e-4
"""Share of the mass that is spread evenly, so that no saccade is impossible."""
PSEUDO_COUNTS = 50.0
"""Saccades of the whole image that each frame of it counts in addition to its own."""

_FINE, _RAYS = 0.1, 72
"""Width of a bin in degrees, and number of bins around, of the histogram that the kernels smooth."""


class SaccadeBias(nn.Module):
    """The density of where a saccade ends relative to where it begins, per square degree.

    Le Meur and Liu (2015) estimate one for the whole image; Le Meur and Coutrot (2016) one for each of 3 x 3 base
    frames, in which the saccade begins. The estimate is a Gaussian kernel density in amplitude and direction. In these
    coordinates a ring of amplitude d has an area in proportion to d, by which counts are divided: the Jacobian, without
    which short saccades would be far too rare.

    Args:
        frames: Frames along each side of the image: 1 or 3.
    """

    log_density: Tensor

    def __init__(self, frames: int = 1) -> None:
        super().__init__()
        self.frames = frames
        self.lattice = PolarLattice([0.5 * ring for ring in range(int(2 * DEGREES) + 1)], 36)
        even = -math.log(math.pi * DEGREES**2)
        self.register_buffer("log_density", torch.full((frames**2, len(self.lattice.radii), self.lattice.rays), even))

    def frame(self, start: Tensor, size: Size) -> Tensor:
        """(B, 2) x and y in pixels of an image to the number of the frame that they are in, row by row."""
        height, width = size
        place = ((start + 0.5) / torch.tensor([width, height]).to(start) * self.frames).long()
        column, row = place.clamp(0, self.frames - 1).unbind(-1)
        return row * self.frames + column

    def fit(self, frame: Tensor, step: Tensor) -> None:
        """Estimate the density.

        Args:
            frame: (n,) int64 number of the frame in which each saccade begins.
            step: (n, 2) where it goes, in degrees to the right and down.
        """
        amplitude, direction = torch.hypot(step[:, 0], step[:, 1]), torch.atan2(-step[:, 1], step[:, 0])
        bins = round(DEGREES / _FINE)
        known = amplitude < DEGREES
        ring = (amplitude / _FINE).long()
        ray = (direction / (2 * math.pi) * _RAYS).floor().long() % _RAYS
        number = ((frame * bins + ring) * _RAYS + ray)[known]
        counts = torch.bincount(number, minlength=self.frames**2 * bins * _RAYS).view(-1, bins, _RAYS).double()
        everywhere = counts.sum(0) / counts.sum().clamp_min(1)
        shrunk = counts if self.frames == 1 else counts + PSEUDO_COUNTS * everywhere
        share = shrunk / shrunk.sum((1, 2), keepdim=True).clamp_min(1)
        self.log_density.copy_(self._smooth(share).log())

    def _smooth(self, share: Tensor) -> Tensor:
        """(J, bins, rays) shares of saccades to (J, circles, rays) densities: smoothed counts over smoothed areas."""
        middles = (torch.arange(share.shape[1], dtype=torch.float64) + 0.5) * _FINE
        radii = self.lattice.radii.double()[:, None]
        # What is beyond 0 is the opposite direction, so that a kernel there is mirrored.
        along, mirrored = ((-(((radii - side * middles) / BANDWIDTH) ** 2) / 2).exp() for side in (1, -1))
        along = along + mirrored
        rays = (torch.arange(_RAYS, dtype=torch.float64) + 0.5) * (2 * math.pi / _RAYS)
        turns = torch.arange(self.lattice.rays, dtype=torch.float64)[:, None] * (2 * math.pi / self.lattice.rays) - rays
        around = (-((torch.remainder(turns + math.pi, 2 * math.pi) - math.pi) ** 2) / (2 * TURN**2)).exp()
        area = (middles * _FINE * (2 * math.pi / _RAYS))[:, None].expand(-1, _RAYS)  # the Jacobian
        density = (along @ share @ around.T) / (along @ area @ around.T)
        return (1 - FLOOR) * density + FLOOR / (math.pi * DEGREES**2)

    def forward(self, stimulus: Stimulus, start: Tensor, pixels_per_degree: float) -> Tensor:
        """Return the log density at each cell, of saccades from (B, 2) x and y in pixels: (B, rows, columns)."""
        tables = self.lattice.tables(self.log_density, stimulus, pixels_per_degree)
        found, frame = torch.empty(len(start), *stimulus.grid, device=start.device), self.frame(start, stimulus.size)
        for number in sorted(set(frame.tolist())):
            inside = frame == number
            found[inside] = look_up(tables[number, None], stimulus, start[inside])[:, 0]
        return found
