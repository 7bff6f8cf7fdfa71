"""From one fixation density, the map that each metric scores best in expectation.

No single map is best for all metrics, but a density says how fixations will fall, and so which map a metric will reward
(Kuemmerer, Wallis and Bethge, "Saliency Benchmarking Made Easy", ECCV 2018). The maps here are derived for the metrics
as they are by default in salzoo: the "mit" convention, whose quirks (a pixel counts once, minima are subtracted,
thresholds lie 0.1 apart) each change what is best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from salzoo.errors import ImageError, SpecError
from salzoo.images.gaussian import gaussian_rows
from salzoo.images.imresize import imresize
from salzoo.metrics._checks import Array, at_least_float32, extrema, within_reach
from salzoo.metrics._maps import to_tensor

KEYS = ("auc_judd", "auc_borji", "sauc", "nss", "cc", "sim", "kld", "emd", "ig")
LEVELS = 10  # thresholds above 0, of the two AUCs that step by 0.1
CANDIDATES = 256  # cuts tried for them
BIN_BITS = 14  # of a float32 that its bin ignores: likelihood ratios within 0.2 % are not told apart
SAMPLES = 512  # ground truths drawn for SIM
SAMPLED_PIXELS = 8192  # of each, at most
SAMPLED_FIXATIONS = 2000  # for each, at most: of more, the truth is as good as certain


@torch.no_grad()
def metric_maps(
    density: Tensor | ArrayLike,
    *,
    centre_bias: Tensor | ArrayLike,
    sigma_px: float,
    n_fixations: int,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return the map that each metric would score best on average if `n_fixations` were drawn from `density`.

    * auc_judd: the density; only its order matters.
    * nss, ig: the probability that a pixel is fixated at all, as repeats do not count. IG subtracts the minimum, which
      would be dear wherever the density is low: one pixel, the lowest, is set to 0 so that nothing is left to subtract.
    * auc_borji, sauc: the likelihood ratio of a fixation to a negative (uniform; the centre bias), reduced to the 11
      levels that thresholds 0.1 apart can tell, cut where the polygon under the ROC curve is largest.
    * kld: the expected truth, that is the density blurred as fixations are; exact, and no uniform floor improves it.
    * cc: the same, exact but for the fluctuation of the truth's variance.
    * emd: the same, as a proposal: it is not known to be best.
    * sim: at each pixel one quantile of what the truth may be there, the same quantile in the whole image, such that
      the map sums to 1; from sampled truths at a lower resolution.

    Args:
        density: (H, W) of any positive scale, finite and not negative.
        centre_bias: (H, W) density of the fixations in other images, the negatives of the shuffled AUC; any scale.
        sigma_px: Standard deviation of the Gaussian by which fixations become the truth of CC, SIM, KL and EMD.
        n_fixations: Expected number of fixations in the image.
        metrics: Keys of the maps wanted; all by default.
        seed: Seed of the truths sampled for SIM; nothing else is random.

    Returns:
        For each key an (H, W) map, not negative, in float32 (float64 for a float64 density), of arbitrary scale.

    Raises:
        ImageError: If `density` or `centre_bias` is not a density, or their shapes differ.
        SpecError: If a metric is unknown, or `sigma_px` or `n_fixations` is too small.

    Example:
        >>> density = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
        >>> metrics = ["nss", "ig"]
        >>> maps = metric_maps(density, centre_bias=torch.ones(1, 4), sigma_px=1.0, n_fixations=2, metrics=metrics)
        >>> maps["nss"]
        tensor([[0.6400, 0.5100, 0.3600, 0.1900]])
        >>> maps["ig"]
        tensor([[0.6400, 0.5100, 0.3600, 0.0000]])
    """
    keys = KEYS if metrics is None else tuple(metrics)
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        raise SpecError(f"no metric is called {', '.join(map(repr, unknown))}; there are {', '.join(KEYS)}")
    if not 0 < sigma_px < math.inf:
        raise SpecError(f"sigma_px must be above 0, got {sigma_px}")
    if n_fixations < 1:
        raise SpecError(f"n_fixations must be at least 1, got {n_fixations}")
    p, bias = _sum_to_one(density, "density"), _sum_to_one(centre_bias, "centre_bias")
    if p.shape != bias.shape:
        raise ImageError(f"density {tuple(p.shape)} and centre_bias {tuple(bias.shape)} must have the same shape")

    once = _fixated(p, n_fixations)
    recipes: dict[str, Callable[[], Tensor]] = {
        "auc_judd": lambda: p.clone(),
        "nss": lambda: once.clone(),
        "ig": lambda: _lowest_to_zero(once),
        "auc_borji": lambda: _stepped(once, torch.full_like(p, 1 / p.numel())),
        "sauc": lambda: _stepped(once, bias.to(p)),
    }
    if not recipes.keys() >= set(keys):
        expected = _blur(p, (sigma_px, sigma_px))
        recipes |= dict.fromkeys(("cc", "kld", "emd"), expected.clone)
        recipes["sim"] = lambda: _best_for_sim(p, expected, sigma_px, n_fixations, seed)
    return {key: recipes[key]() for key in keys}


def _sum_to_one(density: Tensor | ArrayLike, name: str) -> Tensor:
    """Check an (H, W) density and scale it."""
    maps = at_least_float32(to_tensor(name, density))
    if maps.ndim != 2 or not maps.numel():
        raise ImageError(f"{name} must be one map of shape (H, W), got {tuple(maps.shape)}")
    low, high = extrema(maps.flatten()[None])
    if not (float(low) >= 0 and 0 < float(high) < math.inf):
        raise ImageError(
            f"{name} must be finite, not negative and not 0 everywhere, got values from {float(low):.4g} to "
            f"{float(high):.4g}; of a log-density take exp()"
        )
    maps = within_reach(maps[None], low, high)[0][0]
    return maps / float(maps.sum(dtype=torch.float64))


def _fixated(p: Tensor, n_fixations: int) -> Tensor:
    """Return the probability that a pixel is fixated at all: 1 - (1 - p)^n; numpy's functions are 8 times faster."""
    with np.errstate(divide="ignore"):
        never = n_fixations * np.log1p(-p.cpu().clamp_max(1).numpy())
    return torch.from_numpy(-np.expm1(never)).to(p)


def _lowest_to_zero(maps: Tensor) -> Tensor:
    """Set one lowest pixel of an (H, W) map to 0, unless the map is constant, which metrics take for uniform."""
    flat = maps.flatten().clone()
    at = int(flat.argmin())
    if flat[at] < flat.max():
        flat[at] = 0
    return flat.view(maps.shape)


def _blur(maps: Tensor, sigmas: tuple[float, float]) -> Tensor:
    """Spread each pixel's mass (..., H, W) as `Fixations.density` spreads a fixation: all of it stays in the frame."""
    rows, columns = (torch.from_numpy(_spread(n, s)).to(maps) for n, s in zip(maps.shape[-2:], sigmas, strict=True))
    return rows.T @ maps @ columns


@lru_cache(maxsize=8)
def _spread(length: int, sigma: float) -> Array:
    """Matrix whose row i is a Gaussian around i, scaled to sum to 1 inside the frame; see `imresize._weights`."""
    return gaussian_rows(torch.arange(length, dtype=torch.float32), length, sigma).numpy()


def _stepped(positives: Tensor, negatives: Tensor) -> Tensor:
    """Return the map (H, W) of 11 levels with the largest area under the ROC polygon that 0.1 steps of it draw.

    Pixels enter by descending likelihood ratio (Neyman and Pearson), which leaves where to put ten cuts. The top level
    is a plateau, as the threshold 1 sees only the maximum; the others lie halfway between thresholds, whatever the
    rounding of 6 * 0.1.
    """
    hit, alarm = (m.flatten().float().cpu() for m in (positives, negatives))
    ratio = torch.where(hit > 0, hit / alarm, 0)
    bins = ratio.view(torch.int32) >> BIN_BITS  # positive floats are ordered as their bits are
    # The last bin is the end of the float32 range: infinity, where there are no negatives.
    counts = [torch.bincount(bins, m.double(), minlength=(0x7F800000 >> BIN_BITS) + 1) for m in (alarm, hit)]
    alarms, hits = (c.flip(0).cumsum(0).flip(0).numpy() / float(c.sum()) for c in counts)
    cuts = _cuts(alarms, hits, int(bins.min()), int(bins.max()))
    levels = np.array([0, *(np.arange(1, LEVELS) + 0.5), LEVELS]) / LEVELS
    of_bin = levels[np.bincount(cuts, minlength=len(hits)).cumsum()]
    return torch.from_numpy(of_bin)[bins].to(positives).view(positives.shape)


def _cuts(alarms: Array, hits: Array, lowest: int, highest: int) -> Array:
    """Return the ten bins, ascending and possibly equal, at which to start a new level.

    Args:
        alarms: Share of the negatives in each bin and above it.
        hits: The same of the positives.
        lowest: First bin that is not empty.
        highest: Last bin that is not empty.
    """
    if lowest == highest:  # no order to show
        return np.full(LEVELS, lowest)
    # Evenly along both axes at once, so that a steep start has candidates, too.
    at = np.searchsorted(-(alarms + hits), -2 * np.arange(1, CANDIDATES) / CANDIDATES, side="right") - 1
    at = np.unique([*at.clip(lowest + 1, highest), highest])[::-1]
    return at[_inscribed(alarms[at], hits[at])][::-1]


def _inscribed(x: Array, y: Array) -> Array:
    """Choose ten of the points (K,), in order, that with (0, 0) and (1, 1) make the polygon of largest area."""
    area = (x - x[:, None]) * (y + y[:, None]) / 2
    area[np.tri(len(x), k=-1, dtype=bool)] = -np.inf
    best, origins = x * y / 2, []
    for _ in range(LEVELS - 1):
        total = best[:, None] + area
        origins.append(total.argmax(0))
        best = total.max(0)
    chosen = [int((best + (1 - x) * (1 + y) / 2).argmax())]
    for origin in reversed(origins):
        chosen.append(int(origin[chosen[-1]]))
    return np.array(chosen[::-1])


def _best_for_sim(p: Tensor, expected: Tensor, sigma: float, n_fixations: int, seed: int) -> Tensor:
    """Maximise the mean SIM over sampled truths, exactly, on a grid that still resolves the Gaussian.

    The mean of min(q, g) is concave in q with derivative P(g > q), which at the optimum is the same in all pixels. The
    result is taken over to (H, W) as a factor on the expected truth, which is free of the grid and of sampling error.
    """
    height, width = p.shape
    shrink = max(1.0, sigma / 2, math.sqrt(p.numel() / SAMPLED_PIXELS))
    h, w = math.ceil(height / shrink), math.ceil(width / shrink)
    counts = _sampled_counts(p.cpu(), (h, w), min(n_fixations, SAMPLED_FIXATIONS), seed)
    truths = _blur(counts, (sigma * h / height, sigma * w / width)).flatten(1)
    truths -= truths.amin(1, keepdim=True)
    total = truths.sum(1, keepdim=True)
    truths = torch.where(total > 0, truths / total, 1 / (h * w))
    quantiles = torch.from_numpy(np.sort(truths.numpy(), axis=0))
    sums = quantiles.sum(1, dtype=torch.float64)
    above = int(torch.searchsorted(sums, 1.0).clamp(1, SAMPLES - 1))
    share = (1 - sums[above - 1]) / (sums[above] - sums[above - 1]).clamp_min(1e-12)
    best = torch.lerp(quantiles[above - 1], quantiles[above], float(share.clamp(0, 1)))
    factor = (best / truths.mean(0).clamp_min(1e-30)).view(h, w)
    return _lowest_to_zero(expected * imresize(factor, size=(height, width)).clamp_min(0).to(expected))


def _sampled_counts(p: Tensor, size: tuple[int, int], n_fixations: int, seed: int) -> Tensor:
    """Draw fixations from (H, W) and return their number (SAMPLES, h, w) in the pixels of a smaller frame."""
    (height, width), (h, w) = p.shape, size
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(p.flatten().double(), SAMPLES * n_fixations, replacement=True, generator=generator)
    y, x = drawn // width, drawn % width
    pixel = (2 * y + 1) * h // (2 * height) * w + (2 * x + 1) * w // (2 * width)
    pixel += torch.arange(SAMPLES).repeat_interleave(n_fixations) * (h * w)
    return torch.bincount(pixel, minlength=SAMPLES * h * w).view(SAMPLES, h, w).float()
