"""Early vision by formula, which the training-free systems share: opponent colours, a pyramid, Gabor filters.

Images are (N, 3, H, W) RGB in [0, 1], of any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.images.gaussian import gaussian_rows

FLAT = 1e-4  # a map whose values differ by less is constant: rounding errors are not contrast

# Linear RGB (sRGB primaries, D65) to the cones' responses: CIE XYZ (IEC 61966-2-1), then Hunt-Pointer-Estevez.
_XYZ_OF_RGB = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_LMS_OF_XYZ = ((0.4002, 0.7076, -0.0808), (-0.2263, 1.1653, 0.0457), (0.0, 0.0, 0.9182))


def intensity(image: Tensor) -> Tensor:
    """(N, 3, H, W) to the mean of the three channels, (N, 1, H, W)."""
    return image.mean(1, keepdim=True)


def rgby(image: Tensor) -> Tensor:
    """Red against green and blue against yellow (Itti, Koch and Niebur 1998, Sec. II-A).

    Channels are divided by intensity where that is above a tenth of the image's maximum; elsewhere there is no colour.

    Returns:
        (N, 2, H, W): R - G and B - Y of the broadly tuned colours R, G, B, Y.
    """
    grey = intensity(image)
    seen = grey > grey.amax((-2, -1), keepdim=True) / 10
    coloured = torch.where(seen, image / grey.clamp_min(1e-6), 0)
    r, g, b = coloured[:, :1], coloured[:, 1:2], coloured[:, 2:]
    red, green, blue = (r - (g + b) / 2).relu(), (g - (r + b) / 2).relu(), (b - (r + g) / 2).relu()
    yellow = ((r + g) / 2 - (r - g).abs() / 2 - b).relu()
    return torch.cat([red - green, blue - yellow], dim=1)


def dkl(image: Tensor) -> Tensor:
    """Cone-opponent axes (Derrington, Krauskopf and Lennie 1984) around mid grey, for an sRGB display.

    Returns:
        (N, 3, H, W): L + M (luminance), L - M (reddish to greenish), S - (L + M) (bluish to yellowish) of cone
        contrasts; the latter two are 0 for greys.
    """
    from kornia.color import rgb_to_linear_rgb  # slow to import, and few models need it

    to_lms = image.new_tensor(_LMS_OF_XYZ) @ image.new_tensor(_XYZ_OF_RGB)
    to_contrast = to_lms / to_lms.sum(1, keepdim=True)  # white is (1, 1, 1), so that any grey has three equal contrasts
    to_axes = image.new_tensor([[0.5, 0.5, 0], [1, -1, 0], [-0.5, -0.5, 1]]) @ to_contrast
    return torch.einsum("ac,nchw->nahw", to_axes, rgb_to_linear_rgb(image))


def lab(image: Tensor) -> Tensor:
    """CIE Lab under D65, (N, 3, H, W): L in [0, 100], a and b about in [-128, 127]."""
    from kornia.color import rgb_to_lab

    converted: Tensor = rgb_to_lab(image)
    return converted


def pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """Halve maps again and again by the binomial filter 1 3 3 1; a side never falls below one pixel.

    Args:
        maps: (N, C, H, W).
        levels: Number of halvings.

    Returns:
        `levels` + 1 tensors, the first `maps` itself.
    """
    result = [maps]
    for _ in range(levels):
        half = [(side + 1) // 2 for side in result[-1].shape[-2:]]
        result.append(F.interpolate(result[-1], half, mode="bilinear", antialias=True))
    return result


def gabor_energy(grey: Tensor, angles: Sequence[float] = (0, 45, 90, 135)) -> Tensor:
    """Responses to stripes: the absolute values of an even and of an odd Gabor filter, added.

    Filters are those of the GBVS toolbox: period pi pixels, a Gaussian of 2 pixels across the stripes and 4 along them,
    without response to a constant.

    Args:
        grey: (N, 1, H, W).
        angles: Degrees, counted from vertical stripes.

    Returns:
        (N, len(angles), H, W).
    """
    radius = math.ceil(2 * 3 * math.sqrt(2))
    y, x = torch.meshgrid(*[torch.arange(-1.0 * radius, radius + 1.0)] * 2, indexing="ij")
    filters = []
    for angle in map(math.radians, angles):
        across, along = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        envelope = torch.exp(-(across**2 / 2**2 + along**2 / 4**2) / 2)
        for wave in (torch.cos(2 * across), torch.sin(2 * across)):  # period pi
            stripes = envelope * wave
            stripes = stripes - envelope * stripes.sum() / envelope.sum()
            filters.append(stripes / stripes.abs().sum())
    padded = F.pad(grey, (radius,) * 4, mode="replicate")
    responses = F.conv2d(padded, torch.stack(filters)[:, None].to(grey))
    return responses[:, ::2].abs() + responses[:, 1::2].abs()


def rescale(maps: Tensor) -> Tensor:
    """Stretch each map (last two dimensions) to [0, 1]; one that is constant but for rounding becomes 0."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    spread = high - low
    return torch.where(spread > FLAT, (maps - low) / spread.clamp_min(FLAT), 0)


def blur(maps: Tensor, sigma_px: float) -> Tensor:
    """Blur (N, C, H, W) by a Gaussian of `sigma_px`, cut off at the borders and normalised there; 0 changes nothing.

    Each side is multiplied by a dense matrix: exact for any width, and fast for the small maps that it is meant for.
    """
    if sigma_px < 0.01:  # no neighbour would get a share
        return maps
    positions = (torch.arange(side, dtype=torch.float64) for side in maps.shape[-2:])
    rows, columns = (gaussian_rows(at, len(at), sigma_px).to(maps) for at in positions)
    return rows @ maps @ columns.T


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bring (N, C, H, W) to `size` (height, width), antialiased bilinear."""
    return F.interpolate(maps, list(size), mode="bilinear", align_corners=False, antialias=True)


def distance_to_centre(size: tuple[int, int]) -> Tensor:
    """Return the (1, 1, H, W) distance of each pixel from the middle, floored to whole pixels, over its maximum."""
    rows, columns = (torch.arange(side) - side // 2 for side in size)
    distance = (rows.square()[:, None] + columns.square()).double().sqrt().floor()
    return (distance / distance.max())[None, None]
