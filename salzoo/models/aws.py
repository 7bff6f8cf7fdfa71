"""Adaptive whitening saliency (Garcia-Diaz, Fdez-Vidal, Pardo and Dosil, IVC 2012): distance from the image's own mean.

Colours are whitened over the image; each whitened colour is filtered at several orientations and scales; the scales of
an orientation are whitened over the image. What is left is as likely everywhere as the image's own statistics say: the
squared norm of a pixel's vector, its statistical distance from the mean, is how conspicuous it is.

The authors published a precompiled file only, so this is from the description, and no map was compared with theirs. Not
known, and chosen here:
- The colours are the principal axes of RGB in [0, 1], as displayed.
- What is whitened is local energy, the modulus of complex log-Gabor responses: it does not depend on the phase.
- Four orientations at seven scales an octave apart from 6 pixels, two octaves wide, for every colour; the authors' bank
  for colour may have fewer scales.
- Directions of less deviation than 1e-4 are rounding errors and are left out, not stretched.
- Maps of all colours and orientations are added as they are: each has the same mean, its number of scales.
- The image is 400 pixels on the longer side, and is continued periodically by the Fourier transform that filters it.
  Of 320, 400 and 640 pixels and of five, six and seven scales, the best NSS on 16 images of OSIE's validation split.
Known from the program's help text: the last Gaussian's deviation of 2.1 % of the longer side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.training_free import TrainingFreeModel
from salzoo.images.preprocess import Preprocess

LEAST_DEVIATION = 1e-4
"""Of a direction that is whitened, in the units of what is whitened; below it there is nothing but rounding."""


class AWSNetwork(nn.Module):
    """Sum over whitened colours and orientations of the statistical distances across scales.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W).

    Args:
        scales: Number of scales, an octave apart.
        orientations: Number of orientations, over half a turn.
        wavelength: Of the finest scale, in pixels.
        bandwidth: Width of a filter at half height, in octaves.
        angle: Standard deviation of a filter over orientation, in degrees.
        blur: Standard deviation of the last Gaussian, as a share of the map's longer side.
    """

    def __init__(
        self,
        scales: int = 7,
        orientations: int = 4,
        wavelength: float = 6.0,
        bandwidth: float = 2.0,
        angle: float = 37.5,
        blur: float = 0.021,
    ) -> None:
        super().__init__()
        check_range(1, 16, scales=scales, orientations=orientations)
        check_range(2, 1000, wavelength=wavelength)
        check_range(0.1, 10, bandwidth=bandwidth)
        check_range(1, 180, angle=angle)
        check_range(0, 1, blur=blur)
        self.scales = scales
        self.orientations = orientations
        self.wavelength = wavelength
        self.bandwidth = bandwidth
        self.angle = angle
        self.blur = blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1]."""
        saliency = torch.stack([self.saliency(one) for one in image.double()])[:, None]
        return filters.blur(saliency, self.blur * max(image.shape[-2:])).to(image)

    def saliency(self, image: Tensor) -> Tensor:
        """(3, H, W) RGB of one image to (H, W), the sum of squared norms."""
        colours = whiten(image.flatten(1)).view_as(image)
        spectrum = torch.fft.fft2(colours)[:, None]
        total = torch.zeros_like(image[0])
        for bank in self.banks(colours):
            energy = torch.fft.ifft2(spectrum * bank).abs()
            for scales in energy.flatten(2):  # of one colour
                total = total + whiten(scales).square().sum(0).view_as(total)
        return total

    def banks(self, like: Tensor) -> Iterator[Tensor]:
        """Yield the log-Gabor filters of each orientation, (scales, H, W) over the frequencies of `like`.

        Each covers one side of the spectrum, so that responses are complex, with the even filter's as their real part.
        """
        v, u = (torch.fft.fftfreq(side, device=like.device, dtype=like.dtype) for side in like.shape[-2:])
        radius = torch.hypot(v[:, None], u).clamp_min(1e-9)  # log(0) is not a number, and all filters are 0 there
        direction = torch.atan2(v[:, None], u.expand(len(v), -1))
        octaves = torch.log2(radius) + math.log2(self.wavelength) + torch.arange(self.scales).to(like)[:, None, None]
        deviation = self.bandwidth / (2 * math.sqrt(2 * math.log(2)))
        radial = torch.exp(-((octaves / deviation) ** 2) / 2)
        for k in range(self.orientations):
            turn = direction - k * math.pi / self.orientations
            distance = torch.atan2(turn.sin(), turn.cos())  # within half a turn
            yield radial * torch.exp(-((distance / math.radians(self.angle)) ** 2) / 2)


class AWS(TrainingFreeModel):
    """Adaptive whitening saliency, at 400 pixels on the longer side; arguments as `AWSNetwork`."""

    network: AWSNetwork
    network_class = AWSNetwork
    default_preprocess = Preprocess((300, 400), "longest")
    differentiable = False  # principal axes of an image without colour are arbitrary, and have no derivative
    no_graph = "it takes principal axes of every image, for which ONNX has no operation"


def whiten(values: Tensor) -> Tensor:
    """Make variables uncorrelated and of variance 1: (variables, observations) along the principal axes.

    Axes along which the deviation is below `LEAST_DEVIATION` become 0.
    """
    centred = values - values.mean(1, keepdim=True)
    variances, axes = torch.linalg.eigh(centred @ centred.T / values.shape[1])
    scale = torch.where(variances > LEAST_DEVIATION**2, variances.clamp_min(LEAST_DEVIATION**2).rsqrt(), 0)
    white: Tensor = (scale[:, None] * axes.T) @ centred
    return white
