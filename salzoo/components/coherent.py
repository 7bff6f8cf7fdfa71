"""What is visible, in one unit: the coherent approach of Le Meur et al. (TPAMI 2006), which two models stand on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters

CROWNS = (1.5, 5.7, 14.2)  # upper ends of the bands in cycles a degree
FANS = ((4, 6), (4,), (4,))  # orientations of the bands above the lowest, of A, Cr1 and Cr2
WHITE = 100.0  # luminance of the display's white, in candela a square metre
STEP = 4  # pixels of the image for one of the maps from centre-surround on


class LeMeurNetwork(nn.Module):
    """Sum over all bands of what stands out from its surround, in units of the visibility threshold.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, ceil(H / 4), ceil(W / 4)).

    Args:
        pixels_per_degree: Of visual angle, for the image at the size of the network's input.
        centre: Standard deviation of the difference of Gaussians' centre, in degrees.
        surround: That of its surround.
        reach: Standard deviation of a lobe along the contour, in degrees; a quarter of it across.
        blur: Standard deviation of the last Gaussian, in degrees.
    """

    def __init__(
        self,
        pixels_per_degree: float = 20.0,
        centre: float = 0.5,
        surround: float = 4.0,
        reach: float = 0.5,
        blur: float = 0.75,
    ) -> None:
        super().__init__()
        check_range(1, 1000, pixels_per_degree=pixels_per_degree)
        check_range(0.01, 100, centre=centre, surround=surround, reach=reach)
        check_range(0, 100, blur=blur)
        self.pixels_per_degree = pixels_per_degree
        self.centre = centre
        self.surround = surround
        self.reach = reach
        self.blur = blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the saliency of RGB in [0, 1]."""
        unit = self.pixels_per_degree / STEP
        total = torch.stack([self.saliency(one[None]) for one in image])[:, None]
        return filters.blur(total, self.blur * unit)

    def saliency(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) RGB of one image to (h, w)."""
        axes = filters.dkl(image)[0]
        luminance = axes[0].mean().clamp_min(0.01)
        lowest, oriented = self.visible(axes / luminance, WHITE * luminance)
        oriented[0] = [(angle, band * (1 + lowest[1].abs() + lowest[2].abs())) for angle, band in oriented[0]]
        return torch.stack([self.conspicuity(band, angle) for bands in oriented for angle, band in bands]).sum(0)

    def visible(self, axes: Tensor, luminance: Tensor) -> tuple[list[Tensor], list[list[tuple[float, Tensor]]]]:
        """Split contrasts into bands, in units of the threshold at which they are seen.

        Args:
            axes: (3, H, W) contrasts of A, Cr1 and Cr2, relative to the mean luminance.
            luminance: Scalar that the eye is adapted to, in candela a square metre.

        Returns:
            The lowest band of each axis, (H, W); for each axis, the angle of each other band's frequencies, counted
            from vertical stripes, and the band, (H, W).
        """
        height, width = axes.shape[-2:]
        v = torch.fft.fftfreq(height).to(axes)[:, None] * self.pixels_per_degree
        u = torch.fft.rfftfreq(width).to(axes) * self.pixels_per_degree
        radius, angle = torch.hypot(v, u), torch.atan2(v, u)
        centred = axes - axes.mean((-2, -1), keepdim=True)
        area = height * width / self.pixels_per_degree**2
        sensitivities = (daly(radius, angle, luminance, area), *chromatic(radius, angle))
        lowest, oriented = [], []
        for channel, sensitivity, fans in zip(centred, sensitivities, FANS, strict=True):
            spectrum = torch.fft.rfft2(channel) * sensitivity
            bands = [
                (at, masked(torch.fft.irfft2(spectrum * window, (height, width))))
                for at, window in windows(radius, angle, fans)
            ]
            lowest.append(bands[0][1])
            oriented.append(bands[1:])
        return lowest, oriented

    def conspicuity(self, band: Tensor, angle: float) -> Tensor:
        """Centre-surround and facilitation along contours of one band, (H, W) to (h, w)."""
        unit = self.pixels_per_degree / STEP
        size = [math.ceil(side / STEP) for side in band.shape]
        magnitude = filters.resize(band.abs()[None, None], size)
        surround = filters.blur(magnitude, self.surround * unit)
        above = (filters.blur(magnitude, self.centre * unit) - surround).relu()
        lobes = both_lobes(above, angle, self.reach * unit)
        return (above * (1 + lobes / lobes.max().clamp_min(torch.finfo(lobes.dtype).tiny)))[0, 0]


def daly(radius: Tensor, angle: Tensor, luminance: Tensor, area: float) -> Tensor:
    """Sensitivity to luminance contrast (Daly 1993), lower along the diagonals.

    Args:
        radius: Frequencies in cycles a degree.
        angle: Their directions in radians.
        luminance: That the eye is adapted to, in candela a square metre.
        area: Of the image in square degrees.

    Returns:
        Reciprocals of the contrast at threshold, as `radius`; 0 for frequency 0.
    """
    narrowed = radius / ((1 - 0.78) / 2 * torch.cos(4 * angle) + (1 + 0.78) / 2)
    low = 0.801 * (1 + 0.7 / luminance) ** -0.2
    fall = 0.3 * (1 + 100 / luminance) ** 0.15 * 0.9
    curves = []
    for frequency in (narrowed, radius):
        f = frequency.clamp_min(1e-6)
        large = ((3.23 * (f**2 * area) ** -0.3) ** 5 + 1) ** -0.2
        curves.append(large * low * 0.9 * f * torch.exp(-fall * f) * (1 + 0.06 * torch.exp(fall * f)).sqrt())
    return 250 * torch.minimum(*curves) * (radius > 0)


def chromatic(radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Sensitivities to Cr1 and Cr2: low-pass, cut-off at 5.5 and 4.1 cycles a degree; arguments as `daly`."""
    first = 33 / (1 + (radius / 5.52) ** 1.72) * (1 - 0.27 * torch.sin(2 * angle).abs())
    second = 5 / (1 + (radius / 4.12) ** 1.64) * (1 - 0.24 * torch.sin(2 * angle).abs())
    return first * (radius > 0), second * (radius > 0)


def mesa(radius: Tensor, end: float) -> Tensor:
    """Return a window that is 1 below `end` and 0 above, with half a cosine between, 2/3 of `end` wide (Daly 1993)."""
    width = 2 * end / 3
    return (1 + torch.cos(math.pi * ((radius - end + width / 2) / width).clamp(0, 1))) / 2


def windows(radius: Tensor, angle: Tensor, fans: tuple[int, ...]) -> Iterator[tuple[float, Tensor]]:
    """Windows of a decomposition: the lowest band, then each crown in fans of equal width; all add up to the last mesa.

    Args:
        radius: (H, W) frequencies in cycles a degree.
        angle: Their directions in radians.
        fans: Orientations of each crown.

    Yields:
        The direction of the middle in radians (0 for the lowest band), and the window.
    """
    inner = mesa(radius, CROWNS[0])
    yield 0.0, inner
    for end, count in zip(CROWNS[1:], fans, strict=False):
        outer = mesa(radius, end)
        for k in range(count):
            middle = k * math.pi / count
            turns = ((angle - middle) / math.pi + 0.5).remainder(1) - 0.5  # within a quarter turn, as a share of half
            yield middle, (outer - inner) * (1 + torch.cos(math.pi * (turns * count).clamp(-1, 1))) / 2
        inner = outer


def masked(band: Tensor) -> Tensor:
    """Divide responses in units of the threshold by how much they raise it themselves (Daly 1993)."""
    return band / (1 + (0.0153 * (392.5 * band.abs().clamp_min(1e-6)) ** 0.7) ** 4) ** 0.25


def both_lobes(maps: Tensor, angle: float, reach: float) -> Tensor:
    """Smaller one of the means over both halves of a Gaussian along a contour.

    Args:
        maps: (1, 1, H, W), not negative.
        angle: Direction across the contour in radians, from the horizontal axis.
        reach: Standard deviation of the Gaussian along the contour in pixels; a quarter of it across.
    """
    radius = math.ceil(2 * reach)
    y, x = torch.meshgrid(*[torch.arange(-1.0 * radius, radius + 1.0)] * 2, indexing="ij")
    across, along = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    ahead = along > 1e-3  # not the middle, where rounding would decide
    lobe = torch.exp(-((along / reach) ** 2 + (4 * across / reach) ** 2) / 2) * ahead
    kernels = torch.stack([lobe, lobe.flip(0, 1)])[:, None].to(maps) / lobe.sum()
    sides = F.conv2d(F.pad(maps, (radius,) * 4, mode="replicate"), kernels)
    return sides.amin(1, keepdim=True)
