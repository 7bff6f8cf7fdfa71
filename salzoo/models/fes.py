"""Fast and efficient saliency (Rezazadegan Tavakoli, Rahtu and Heikkila, SCIA 2011): how unlike its ring a pixel is.

A pixel is the centre, a few pixels on a circle around it are the surround. The probability of the pixel's colour under
each is a kernel density estimate; by Bayes' rule they give the probability that the pixel belongs to a salient centre.
Circles of several radii are averaged.

Differences from the authors' program:
- No learned prior: a pixel is salient or not with the same probability before anything is seen (the program's uniform
  initialisation). Where people look anyway is the variant `centred`.
- The Gaussian is normalised at the borders, not padded with zeros, which the last power turns into a black frame. It is
  centred on the pixel; the program's, 26 pixels wide, lies half a pixel beside it.
- CIE Lab is that of sRGB; the program takes the pixels for linear RGB.
- Images are resized antialiased bilinear, not bicubic; the map keeps 128 x 171 pixels until it is brought to the image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.training_free import TrainingFreeModel
from salzoo.images.preprocess import Preprocess


class FESNetwork(nn.Module):
    """Posterior probability of the centre, averaged over circles of several radii.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W).

    Args:
        radii: Radii in pixels of the circles that the surround is sampled on.
        samples: Pixels of each circle.
        centre_sigma: Width of the centre's kernel, in units of CIE Lab.
        surround_sigma: Width of the surround's kernels, likewise.
        blur: Standard deviation of the Gaussian over each posterior, in pixels.
        power: Exponent of the blurred posteriors, which are all close to 1.
    """

    def __init__(
        self,
        radii: tuple[int, ...] = (13, 25, 38),
        samples: int = 8,
        centre_sigma: float = 1.0,
        surround_sigma: float = 10.0,
        blur: float = 5.2,
        power: float = 30.0,
    ) -> None:
        super().__init__()
        check_range(1, 1000, radii=radii, samples=samples)
        check_range(0.01, 1000, centre_sigma=centre_sigma, surround_sigma=surround_sigma, power=power)
        check_range(0, 1000, blur=blur)
        self.radii = radii
        self.samples = samples
        self.centre_sigma = centre_sigma
        self.surround_sigma = surround_sigma
        self.blur = blur
        self.power = power

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1]."""
        colours = filters.lab(image)
        posteriors = torch.cat([self.posterior(colours, radius) for radius in self.radii], dim=1)
        return (filters.blur(posteriors, self.blur) ** self.power).mean(1, keepdim=True)

    def posterior(self, colours: Tensor, radius: int) -> Tensor:
        """Probability that a pixel belongs to a salient centre, given its surround.

        Both kernels lack the same constant. The centre is one sample, the pixel itself, whose kernel is 1.

        Args:
            colours: (N, 3, H, W) CIE Lab.
            radius: Of the circle, in pixels; samples outside the image are taken from its nearest border.

        Returns:
            (N, 1, H, W), from 1 / (1 + centre_sigma / surround_sigma), like all of the surround, to 1.
        """
        height, width = colours.shape[-2:]
        padded = F.pad(colours, (radius,) * 4, mode="replicate")
        likelihood = torch.zeros_like(colours[:, :1])
        for k in range(self.samples):
            angle = 2 * math.pi * k / self.samples
            top, left = radius + round(radius * math.sin(angle)), radius + round(radius * math.cos(angle))
            there = padded[..., top : top + height, left : left + width]
            squares = (there - colours).square().sum(1, keepdim=True)
            likelihood = likelihood + torch.exp(-squares / (2 * self.surround_sigma**2)) / self.samples
        return 1 / (1 + self.centre_sigma / self.surround_sigma * likelihood)


class FES(TrainingFreeModel):
    """Fast and efficient saliency, at 128 x 171 pixels as the authors' program; arguments as `FESNetwork`."""

    network: FESNetwork
    network_class = FESNetwork
    default_preprocess = Preprocess((128, 171))
