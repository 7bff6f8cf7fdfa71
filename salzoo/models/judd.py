"""Where people look, learned from what image features of all levels say (Judd, Ehinger, Durand & Torralba, ICCV 2009).

Written from the paper and from the constants of the authors' MATLAB code (MIT licence).

Differences from the paper:
- 29 of its 33 features: the detectors of faces, people and cars and that of the horizon are left out. No library that
  salzoo needs anyway ships a detector with its weights, and that of the horizon is not public.
- The steerable pyramid is the one in the frequency domain (Portilla and Simoncelli, IJCV 2000), not decimated, of an
  image that is mirrored at its borders; the authors' is that of small tabulated filters.
- Itti and Koch's three channels are those of `itti`, on the image at 640 pixels on the longer side.
- Histograms are read by interpolation between the middles of their bins; a median is the lower of the two middle
  values, taken of the ten levels that the colour histogram tells apart; borders repeat.
- The SVM is trained on the three sets instead of MIT1003.
- Every feature is blurred, for the SVM to learn from and to predict with; the paper blurs none.
- The density is exp(scale * margin), with the scale that makes training fixations most likely; the paper compares
  margins with thresholds.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.conspicuity import conspicuity, features
from salzoo.components.layers import Standardise
from salzoo.components.margins import likeliest_scale, ranked_places
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.statistics import TrainingStatistics

FEATURES = 29
"""13 subbands, 3 of Itti and Koch, 3 colours, 3 and 5 probabilities of colours, Torralba's saliency, the distance."""

ORIENTATIONS, SCALES, SUBBAND_SCALES = 4, 4, 3
"""Of the steerable pyramid; Torralba's saliency looks at all scales, the subbands are those of the finer ones."""

PAIRS = tuple((centre, centre + delta) for centre, delta in itertools.product((2, 3, 4), (3, 4)))
"""Centre and surround levels of Itti and Koch."""

MEDIANS = (1, 2, 4, 8, 16)
"""Sides of the median filters before the colour histograms, in pixels of the grid; 1 filters nothing."""

LEVELS = 10
"""Bins of the colour histogram along each axis."""

EDGE = 1e-4
"""Share of a bin that is added to values, so that those on an edge do not fall by rounding."""


class JuddNetwork(nn.Module):
    """Features on a square grid, and the weights of the SVM (Sec. 3).

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, grid, grid) margins times the scale.

    Args:
        grid: Rows and columns that an image is squashed to; the paper's are 200.
        blur: Standard deviation in cells of the grid of a Gaussian over every feature; 0, as in the paper, for none.
    """

    bank: Tensor
    weights: Tensor
    scale: Tensor

    def __init__(self, grid: int = 200, blur: float = 0.0) -> None:
        super().__init__()
        check_range(8, 512, grid=grid)
        check_range(0, 100, blur=blur)
        self.grid, self.blur = grid, blur
        self.register_buffer("bank", steerable_bank(2 * grid, SCALES), persistent=False)
        self.standardise = Standardise(FEATURES)
        self.register_buffer("weights", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(()))

    def features(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) RGB in [0, 1] to (1, 29, grid, grid)."""
        size = (self.grid, self.grid)
        small = filters.resize(image, size)
        bands = self.subbands(filters.intensity(small))
        distance = filters.distance_to_centre((image.shape[-2], image.shape[-1])).to(image)
        maps = [
            energy(bands[:, : 1 + SUBBAND_SCALES * ORIENTATIONS]),
            filters.resize(conspicuity(features(image, PAIRS), PAIRS), size),
            small,
            filters.rescale(rarity(small)),
            *(colour_rarity(small, side) for side in MEDIANS),
            torralba(bands[:, 1:]),
            filters.resize(distance, size),
        ]
        return torch.cat(maps, 1)

    def subbands(self, grey: Tensor) -> Tensor:
        """(1, 1, grid, grid) to the bands of the steerable pyramid, (1, 1 + 4 * 4, grid, grid): high-pass, then scales.

        The filters of a scale are odd (third derivatives of a Gaussian, about), hence the imaginary unit.
        """
        mirrored = torch.cat([grey, grey.flip(-1)], -1)
        spectrum = torch.fft.rfft2(torch.cat([mirrored, mirrored.flip(-2)], -2))
        bank = self.bank.to(grey)
        filtered = torch.cat([spectrum * bank[:1], 1j * spectrum * bank[1:]], 1)
        bands: Tensor = torch.fft.irfft2(filtered, s=(2 * self.grid, 2 * self.grid))
        return bands[..., : self.grid, : self.grid]

    def forward(self, image: Tensor) -> Tensor:
        """Classify each place, image by image, so that none depends on another; in float32 at least."""
        kind = torch.promote_types(image.dtype, torch.float32)
        features = torch.cat([self.features(one[None].to(kind)) for one in image])
        margins = torch.einsum("c,nchw->nhw", self.weights.to(kind), self.standardise(features))[:, None]
        return (self.scale * filters.blur(margins, self.blur)).to(image.dtype)  # of the features: both are linear


@dataclass(frozen=True)
class JuddTraining(TrainingConfig):
    """Fit of the SVM in closed form.

    Args:
        images: Training images, spread evenly over the datasets.
        places: Fixated places of each image; as many others are taken (Sec. 3.1).
        penalty: Weight C of the squared errors beside the squared weights.
    """

    images: int = 903
    places: int = 10
    penalty: float = 1.0


class Judd(SaliencyModel):
    """The learned model of Judd et al., fitted by `salzoo fit judd`; arguments as `JuddNetwork`."""

    network: JuddNetwork
    network_class = JuddNetwork
    no_graph = "its histograms of colours go in steps, which no runtime repeats"
    training_config: JuddTraining
    training_class = JuddTraining
    default_preprocess = Preprocess((480, 640), "longest")

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit whitening and SVM to places of training images, then the scale to a seventh of these images."""
        config, network = self.training_config, self.network
        items = data.train_items(config.images)
        places = ranked_places(self, lambda x: filters.blur(network.features(x), network.blur), items, config.places)
        features, labels = map(torch.cat, zip(*places, strict=True))
        network.standardise.mean.copy_(features.mean(0))
        network.standardise.std.copy_(features.std(0, correction=0).clamp_min(1e-8))
        whitened = network.standardise(features.T[None, :, :, None].to(self.device))[0, ..., 0].T
        network.weights.copy_(fit_svm(whitened.cpu(), labels, config.penalty))
        network.scale.fill_(likeliest_scale(self, data.train_items(max(1, config.images // 7))))


def steerable_bank(side: int, scales: int) -> Tensor:
    """Return the filters of a steerable pyramid in the half plane of `torch.fft.rfft2`; odd ones without their i.

    Radial parts are raised cosines over one octave, whose squares add up to 1 with those of the low-pass residual that
    is left out; angular parts are third powers of cosines (Portilla and Simoncelli, IJCV 2000, Sec. 2.1).

    Args:
        side: Rows and columns of the image.
        scales: Octaves, each of `ORIENTATIONS` orientations.

    Returns:
        (1 + scales * ORIENTATIONS, side, side // 2 + 1): the high-pass residual, then scale by scale from the finest.
    """
    y, x = (2 * math.pi * f(side, dtype=torch.float64) for f in (torch.fft.fftfreq, torch.fft.rfftfreq))
    radius, angle = torch.hypot(y[:, None], x), torch.atan2(y[:, None], x)
    octave = torch.log2(math.pi / 2 / radius.clamp_min(1e-9))

    def phase(shift: int) -> Tensor:  # 0 above pi / 2, where all passes, to pi / 2 an octave below; of 2^shift radius
        return math.pi / 2 * (octave - shift).clamp(0, 1)

    residual = phase(-1).cos()
    turned = [(angle - math.pi * k / ORIENTATIONS).cos() ** 3 / math.sqrt(1.25) for k in range(ORIENTATIONS)]
    bands = [phase(s - 1).sin() * phase(s).cos() * angular for s in range(scales) for angular in turned]
    return torch.stack([residual, *bands]).float()


def energy(bands: Tensor) -> Tensor:
    """Blur the absolute values of bands by 2 pixels of their own scale, and divide each by its mean."""
    sizes = [1, *(2**scale for scale in range(SUBBAND_SCALES) for _ in range(ORIENTATIONS))]
    blurred = [filters.blur(band.abs(), 2.0 * size) for band, size in zip(torch.split(bands, 1, 1), sizes, strict=True)]
    stacked = torch.cat(blurred, 1)
    return stacked / stacked.mean((-2, -1), keepdim=True).clamp_min(filters.FLAT)


def rarity(maps: Tensor, bins: int = 100) -> Tensor:
    """Turn values into -log of their share in the map: (1, C, H, W) to the same, in nat.

    Histograms have equal bins from a map's lowest to its highest value, one pixel is added to each (0 if constant).
    """
    place = filters.rescale(maps)[0].flatten(1) * bins
    index = (place + EDGE).long().clamp_max(bins - 1)
    counts = place.new_ones(len(place), bins).scatter_add_(1, index, torch.ones_like(place))
    information = -(counts / counts.sum(1, keepdim=True)).log()
    middle = (place - 0.5).clamp(0, bins - 1)
    below = middle.long().clamp_max(bins - 2)
    read = torch.lerp(information.gather(1, below), information.gather(1, below + 1), middle - below)
    return read.view_as(maps)


def torralba(bands: Tensor) -> Tensor:
    """Add up how rare the responses of all bands are, twice as much for each coarser scale; over the maximum.

    The saliency of Torralba (JOSA 2003), as the authors' code has it: (1, scales * 4, H, W) to (1, 1, H, W).
    """
    weights = 2.0 ** torch.arange(SCALES).repeat_interleave(ORIENTATIONS).to(bands)
    total = torch.einsum("c,nchw->nhw", weights, rarity(bands))[:, None]
    return total / total.amax((-2, -1), keepdim=True)


def colour_rarity(image: Tensor, side: int) -> Tensor:
    """Return -log of the share of each pixel's colour after a median filter: (1, 3, H, W) to (1, 1, H, W), in nat."""
    levels = median((image * LEVELS + EDGE).floor().clamp(0, LEVELS - 1), side).long()
    index = (levels[0, 0] * LEVELS + levels[0, 1]) * LEVELS + levels[0, 2]
    counts = torch.bincount(index.flatten(), minlength=LEVELS**3) + 1.0
    information = -(counts / counts.sum()).log().to(image)
    return information[index][None, None]


def median(levels: Tensor, side: int) -> Tensor:
    """Median over side x side pixels of (1, C, H, W) whole numbers below `LEVELS`, the lower one of two.

    It is the number of levels up to which less than half of the pixels lie, so that boxes are counted, and nothing is
    sorted. Where `side` is even, the window reaches one pixel farther to the right and down.
    """
    below = torch.cat([(levels <= level).to(levels) for level in range(LEVELS - 1)])
    before, after = (side - 1) // 2, side // 2
    padded = F.pad(below, (before, after, before, after), mode="replicate")
    share = F.avg_pool2d(F.avg_pool2d(padded, (side, 1), 1), (1, side), 1)
    return (share < 0.5 - 1e-5).to(levels).sum(0, keepdim=True)


def fit_svm(features: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Return the weights w of a linear SVM: the least |w|^2 / 2 + C * sum of max(0, 1 - y (w x + b))^2.

    The offset b is left out: a density does not depend on it.

    Args:
        features: (P, C), whitened.
        labels: (P,) 1 for fixated places, 0 for others.
        penalty: The weight C.

    Returns:
        (C,).
    """
    x = np.c_[features.double().numpy(), np.ones(len(features))]
    y = 2.0 * labels.double().numpy() - 1

    def cost(w: np.ndarray) -> tuple[float, np.ndarray]:
        short = np.maximum(0, 1 - y * (x @ w))
        kept = np.r_[w[:-1], 0]
        return (kept @ kept / 2 + penalty * short @ short) / len(x), (kept - 2 * penalty * x.T @ (y * short)) / len(x)

    found = minimize(cost, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"ftol": 1e-13, "gtol": 1e-9})
    return torch.from_numpy(found.x[:-1])
