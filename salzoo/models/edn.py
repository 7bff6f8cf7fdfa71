"""eDN: an ensemble of random-filter networks and a linear SVM (Vig, Dorr & Cox, CVPR 2014).

The six descriptors, found by the authors' search, and every constant are those of the authors' release (MIT licence,
github.com/coxlab/edn-cvpr2014), whose operations are sthor's (github.com/nsf-ri-ubicv/sthor). The filters are random
numbers with a fixed seed, so only the classifier is stored.

Their own classifiers can be imported; with `map_blur_px` and the geometry of the release, which their checkpoints have,
the map is the release's. Differences from the paper of what is trained here:
- The classifier is trained on the three sets instead of MIT1003, and the penalty of its errors chosen by
  cross-validation over images; the authors' choice is not known.
- An image is brought to the area of 384 x 512 at its own aspect in multiples of 32, antialiased bilinear (release:
  0.5 * 512 / longer + 0.5 * 384 / shorter side, bicubic).
- The margin is blurred on the grid of features, by 30 pixels of an image of 1024 (release: 30 pixels of any image).
- The density is exp(scale * margin), with the scale that makes training fixations most likely; the release stretches
  the margin to 0..255.
- Pooling is done in double precision: in single, the tenth power loses values below 1e-4 of a unit.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import zoom
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components.filters import distance_to_centre
from salzoo.components.layers import blur_mirrored
from salzoo.components.margins import likeliest_scale, ranked_places
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.statistics import TrainingStatistics

SEED = 42
EPSILON = 1e-4  # added to every norm
FLOOR = 1e-6  # of the release's map in [0, 1], so that every density has a logarithm
TINY = torch.finfo(torch.float64).tiny  # instead of 0, where a root would have no gradient


@dataclass(frozen=True)
class Norm:
    """Divisive normalisation by the norm of a neighbourhood (`lnorm`)."""

    side: int
    stretch: float
    threshold: float
    remove_mean: bool = False


@dataclass(frozen=True)
class Layer:
    """Correlation with random filters, clipped to [low, high]; pooling with stride 2; normalisation."""

    filters: int
    side: int
    low: float | None
    high: float | None
    pool_side: int
    order: int
    norm: Norm


@dataclass(frozen=True)
class Descriptor:
    """One random-filter network."""

    colour: Literal["rgb", "yuv"]
    norm: Norm
    layers: tuple[Layer, ...]


DESCRIPTORS = (
    Descriptor(
        "rgb",
        Norm(7, 10, 1),
        (
            Layer(32, 3, None, None, 3, 10, Norm(7, 1, 1)),
            Layer(16, 7, None, 1, 5, 10, Norm(9, 10, 1)),
            Layer(128, 9, 0, None, 9, 10, Norm(9, 1, 0.1)),
        ),
    ),
    Descriptor(
        "yuv",
        Norm(3, 0.1, 10),
        (
            Layer(32, 5, None, 1, 9, 10, Norm(3, 0.1, 10)),
            Layer(32, 7, 0, 1, 7, 10, Norm(7, 1, 10)),
            Layer(128, 5, None, 1, 9, 1, Norm(3, 0.1, 10, True)),
        ),
    ),
    Descriptor(
        "yuv",
        Norm(3, 10, 10),
        (
            Layer(32, 5, None, 1, 9, 10, Norm(3, 0.1, 10)),
            Layer(32, 7, 0, 1, 7, 10, Norm(5, 1, 10)),
            Layer(128, 5, None, None, 9, 1, Norm(5, 0.1, 10, True)),
        ),
    ),
    Descriptor(
        "yuv",
        Norm(7, 0.1, 0.1),
        (
            Layer(16, 5, None, None, 3, 2, Norm(5, 1, 1)),
            Layer(64, 9, 0, 1, 9, 10, Norm(7, 0.1, 1)),
        ),
    ),
    Descriptor(
        "rgb",
        Norm(7, 1, 1),
        (
            Layer(16, 3, None, None, 7, 10, Norm(7, 1, 0.1, True)),
            Layer(64, 7, 0, None, 9, 10, Norm(9, 0.1, 0.1, True)),
            Layer(256, 7, None, 1, 9, 2, Norm(9, 0.1, 10, True)),
        ),
    ),
    Descriptor(
        "rgb",
        Norm(9, 10, 10),
        (
            Layer(32, 9, None, None, 7, 1, Norm(5, 0.1, 1)),
            Layer(32, 5, 0, None, 7, 10, Norm(7, 0.1, 10, True)),
            Layer(128, 7, None, None, 9, 2, Norm(7, 0.1, 10)),
        ),
    ),
)
"""The six descriptors of the release."""


class RandomFilterNetwork(nn.Module):
    """One descriptor.

    Shape: (1, 3, H, W) from 0 to 255 in its colour space to (1, channels, ceil(H / 2^layers), ceil(W / 2^layers)).

    Args:
        descriptor: Its layers and constants.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        super().__init__()
        self.descriptor = descriptor
        channels = 3
        for i, layer in enumerate(descriptor.layers):
            self.register_buffer(f"filters{i}", make_filters(layer.filters, channels, layer.side), persistent=False)
            channels = layer.filters
        self.channels = channels

    def forward(self, image: Tensor) -> Tensor:
        """Normalise, then correlate, clip, pool and normalise in each layer."""
        x = normalise(image, self.descriptor.norm)
        for i, layer in enumerate(self.descriptor.layers):
            x = F.conv2d(x, self.get_buffer(f"filters{i}").to(x.dtype), padding=layer.side // 2)
            if layer.low is not None or layer.high is not None:
                x = x.clamp_(layer.low, layer.high)
            x = normalise(pool(x, layer.pool_side, layer.order), layer.norm)
        return x


def make_filters(count: int, channels: int, side: int) -> Tensor:
    """Return (count, channels, side, side) random filters of mean 0 and norm 1, each time from the same seed."""
    filters = np.random.RandomState(SEED).uniform(size=(count, side, side, channels))
    filters -= filters.mean((1, 2, 3), keepdims=True)
    filters /= np.sqrt(np.square(filters).sum((1, 2, 3), keepdims=True))
    return torch.from_numpy(filters.transpose(0, 3, 1, 2).astype(np.float32)).contiguous()


def normalise(x: Tensor, norm: Norm) -> Tensor:
    """Divide each value of (1, C, H, W) by the norm of all channels in its neighbourhood (sthor's `lcdnorm3`).

    A norm below the threshold counts as 1. Outside of the map is 0.
    """
    window, count = functools.partial(_window_sum, side=norm.side), norm.side**2 * x.shape[1]
    power = window(x.square().sum(1, keepdim=True))
    if norm.remove_mean:
        total = window(x.sum(1, keepdim=True))
        x = x - (total / count).to(x.dtype)
        power = power - total.square() / count
    length = norm.stretch * (power.clamp_min(TINY).sqrt() + EPSILON)
    length = torch.where(length < norm.threshold + EPSILON, 1.0, length)
    return x * (norm.stretch / length).to(x.dtype)


def pool(x: Tensor, side: int, order: int) -> Tensor:
    """Return the L_order norm over windows of side x side, with stride 2 (sthor's `lpool3`); outside of the map is 0.

    In double precision, so that the tenth power of a value from 1e-30 to 1e+30 is neither zero nor infinite.
    """
    if order == 1:
        return _window_sum(x, side, stride=2).to(x.dtype)
    return _window_sum(x.double().pow(order), side, stride=2).clamp_min(TINY).pow(1 / order).to(x.dtype)


def _window_sum(x: Tensor, side: int, stride: int = 1) -> Tensor:
    """Return sums over windows of side x side in double precision: over rows, then over columns."""
    rows = F.avg_pool2d(x.double(), (side, 1), (stride, 1), (side // 2, 0), divisor_override=1)
    return F.avg_pool2d(rows, (1, side), (1, stride), (0, side // 2), divisor_override=1)


def to_yuv(image: Tensor) -> Tensor:
    """Turn (1, 3, H, W) RGB, stretched to 0..255 by its own extremes, into whole-numbered YCbCr as Pillow does."""
    low, high = image.amin(), image.amax()
    r, g, b = ((image - low) * (255 / (high - low).clamp_min(EPSILON))).round().unbind(1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    blue, red = (b - luma) / 1.772 + 128, (r - luma) / 1.402 + 128
    return (torch.stack([luma, blue, red], 1) + EPSILON).floor().clamp(0, 255)


def to_yuv_bytes(image: Tensor) -> Tensor:
    """Turn (1, 3, H, W) RGB into Pillow's YCbCr to the bit, of bytes that were stretched as SciPy's `toimage` did.

    Pillow adds products with 6 bits behind the point; those with a negative factor it rounds up, not to the nearest.
    """
    low, high = image.amin(), image.amax()
    pixels = ((image - low).double() * (255 / (high - low).double().clamp_min(EPSILON)) + 0.4999).floor()
    factors = pixels.new_tensor(((0.299, 0.587, 0.114), (-0.16874, -0.33126, 0.5), (0.5, -0.41869, -0.08131)))
    products = (pixels[:, None] * factors[None, :, :, None, None] * 64 + 0.5).trunc()
    channels = (products.sum(2) / 64).floor()
    return (channels + pixels.new_tensor((0, 128, 128))[:, None, None]).to(image.dtype)


def spline_zoom(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (1, C, H, W) by cubic splines, corner pixels to corner pixels, as scipy's `zoom` does."""
    sides = zip(maps.shape[-2:], size, strict=True)
    rows, columns = (torch.from_numpy(_zoom_matrix(*map(int, side))).to(maps) for side in sides)
    return rows @ maps @ columns.T


@functools.lru_cache(maxsize=64)
def _zoom_matrix(old: int, new: int) -> np.ndarray:
    """Return the matrix (new, old) of the resampling, which is linear: its columns are the resampled unit vectors.

    Kept as an array: a tensor made in inference mode would be of no use to a later gradient.
    """
    return cast("np.ndarray", zoom(np.eye(old), (new / old, 1))) if old != new else np.eye(old)


class EDNNetwork(nn.Module):
    """Features, whitening, weights of the SVM and a blur.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, h, w) margins times the scale, at stride 8 with all descriptors.

    Args:
        descriptors: Which of the six `DESCRIPTORS`, by index; the first one's grid is that of the map.
        blur: Standard deviation of the final blur in cells of the grid, which is 8 pixels of the network's input; 0 for
            none.
        eight_bits: See pixels as the release does: resized to whole numbers, colours converted by Pillow's integers.
    """

    mean: Tensor
    std: Tensor
    weights: Tensor
    scale: Tensor

    def __init__(
        self, descriptors: tuple[int, ...] = (0, 1, 2, 3, 4, 5), blur: float = 1.875, eight_bits: bool = False
    ) -> None:
        super().__init__()
        check_range(0, len(DESCRIPTORS) - 1, descriptors=descriptors)
        check_range(1, len(DESCRIPTORS), descriptors=len(descriptors))
        check_range(0, 100, blur=blur)
        networks = [RandomFilterNetwork(DESCRIPTORS[i]) for i in descriptors]
        self.descriptors = nn.ModuleList(networks)
        self.blur, self.eight_bits = blur, eight_bits
        features = 1 + sum(each.channels for each in networks)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weights", torch.zeros(features))
        self.register_buffer("scale", torch.ones(()))

    def features(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) to (1, 833, h, w): distance to the centre, then the channels of each descriptor."""
        rgb = (image * 255).round() if self.eight_bits else image * 255
        pixels = {"rgb": rgb, "yuv": to_yuv_bytes(rgb) if self.eight_bits else to_yuv(rgb)}
        maps = [each(pixels[each.descriptor.colour]) for each in cast("list[RandomFilterNetwork]", self.descriptors)]
        size = (maps[0].shape[-2], maps[0].shape[-1])
        distance = distance_to_centre((image.shape[-2], image.shape[-1])).to(image)
        return torch.cat([spline_zoom(m, size) for m in (distance, *maps)], 1)

    def forward(self, image: Tensor) -> Tensor:
        """Classify each cell, image by image: the maps of a batch would not fit a processor's cache.

        In float32 at least: roots of tenth powers, divided by small deviations, are beyond half precision.
        """
        kind = torch.promote_types(image.dtype, torch.float32)
        margins = torch.cat([self._margin(one[None].to(kind)) for one in image])
        if self.blur < 0.01:
            return (self.scale * margins).to(image.dtype)
        side = 2 * math.ceil(3 * self.blur) + 1
        blurred = gaussian_blur(margins, (side, side), self.blur, "replicate")
        return (self.scale * blurred).to(image.dtype)

    def _margin(self, image: Tensor) -> Tensor:
        weights = self.weights.to(image.dtype) / self.std.to(image.dtype)
        bias = -(weights @ self.mean.to(image.dtype))[None]
        return F.conv2d(self.features(image), weights[None, :, None, None], bias)


@dataclass(frozen=True)
class EDNTraining(TrainingConfig):
    """Fit of eDN in closed form.

    Args:
        images: Training images, spread evenly over the datasets.
        places: Fixated places of each image; as many others are taken.
        penalties: Candidates for the penalty C of the SVM's errors; the one with the best AUC in cross-validation over
            images is taken.
    """

    images: int = 150
    places: int = 10
    penalties: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


class EDN(SaliencyModel):
    """eDN, fitted by `salzoo fit edn`, which needs scikit-learn; arguments as `EDNNetwork`, and `map_blur_px`.

    Args:
        map_blur_px: Make the map as the release does, with 30 pixels: the margin, enlarged by cubic splines, is
            blurred by a Gaussian of so many pixels of the image and stretched to [0, 1]; the density is that map over
            its sum. None: the density is exp(scale * margin).
    """

    network: EDNNetwork
    network_class = EDNNetwork
    no_graph = "it floors colours to whole numbers and pools in double precision, which no runtime repeats"
    training_config: EDNTraining
    training_class = EDNTraining
    default_preprocess = Preprocess((384, 512), "aspect")

    def __init__(self, *, map_blur_px: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        if map_blur_px is not None:
            check_range(0, 200, map_blur_px=map_blur_px)
        self.map_blur_px = map_blur_px

    def restore(self, maps: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Bring margins to the size of the image."""
        if self.map_blur_px is None:
            return super().restore(maps, image_size)
        return spline_zoom(maps, image_size)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the exponential by its sum, or the release's map."""
        if self.map_blur_px is None:
            return super().to_log_density(logits)
        blurred = blur_mirrored(logits, self.map_blur_px)
        low, high = blurred.amin((-2, -1), keepdim=True), blurred.amax((-2, -1), keepdim=True)
        return normalise_log(((blurred - low) / (high - low).clamp_min(FLOOR)).clamp_min(FLOOR).log())

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit whitening and SVM to places of training images, then the scale to a seventh of these images.

        Raises:
            SpecError: If scikit-learn is not installed.
        """
        try:
            from sklearn.model_selection import GridSearchCV, GroupKFold
            from sklearn.svm import LinearSVC
        except ImportError as error:
            raise SpecError('Fitting edn needs scikit-learn: pip install "salzoo[shallow]".') from error
        config, network = self.training_config, self.network
        places = ranked_places(self, network.features, data.train_items(config.images), config.places)
        features, labels = map(torch.cat, zip(*places, strict=True))
        network.mean.copy_(features.mean(0))
        network.std.copy_(features.std(0, correction=0).clamp_min(1e-8))
        svm = LinearSVC(loss="squared_hinge", dual=False, fit_intercept=False)
        search = GridSearchCV(svm, {"C": config.penalties}, scoring="roc_auc", cv=GroupKFold(4))
        image = torch.arange(len(labels)) // (2 * config.places)
        search.fit(((features - network.mean) / network.std).double().numpy(), labels.numpy(), groups=image.numpy())
        network.weights.copy_(torch.from_numpy(search.best_estimator_.coef_[0]))
        network.scale.fill_(likeliest_scale(self, data.train_items(max(1, config.images // 7))))
