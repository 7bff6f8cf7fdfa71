"""The gold standard: how well the fixations of some people predict those of another one.

A kernel density of the others' fixations, mixed with the centre bias and a uniform density, under which each observer's
fixations are as likely as can be (Kuemmerer, Wallis & Bethge 2015, PNAS, "gold standard model"). Its information gain
is what of an image's fixations can be explained at all, as far as so many observers tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from salzoo.data import Fixations
from salzoo.images.gaussian import gaussian_rows
from salzoo.images.geometry import Size

Floats = NDArray[np.float64]
Seen = tuple[Fixations, Size, float, Tensor]
"""Fixations on one image, its (height, width), the blur of its density in pixels, and the (H, W) centre bias."""

BLURS: Final = tuple(float(blur) for blur in np.geomspace(0.3, 2.5, 19))
"""Bandwidths that are tried, as a share of the dataset's own blur."""
LEAST: Final = 1e-3
"""Each part of the mixture keeps so much, so that no place is impossible."""
_STEPS = 200


@dataclass(frozen=True)
class GoldStandard:
    """A mixture of the others' kernel density, the centre bias and a uniform density.

    Args:
        blur: Standard deviation of the kernel, as a share of the dataset's own blur.
        shares: Of the kernel density, the centre bias and the uniform density; they sum to 1.
        bits: Mean log-likelihood of the fixations that it was fitted to, in bit over the centre bias.
    """

    blur: float
    shares: tuple[float, float, float]
    bits: float

    def density(self, others: Fixations, size: Size, sigma_px: float, prior: Tensor) -> Tensor:
        """Return the (H, W) density that the others' fixations give, which sums to 1.

        Args:
            others: Their fixations on the image.
            size: (height, width) of the image.
            sigma_px: The dataset's own blur there, in pixels.
            prior: (H, W) centre bias, which sums to 1.
        """
        kernel, centre, uniform = self.shares
        mixed: Tensor = centre * prior + uniform / prior.numel()
        if not len(others.inside(size)):
            return mixed / (centre + uniform)
        return kernel * others.density(size, self.blur * sigma_px) + mixed

    def __str__(self) -> str:
        """Say what it is a mixture of."""
        kernel, centre, uniform = (f"{share:.1%}" for share in self.shares)
        return (
            f"{kernel} others' fixations at {self.blur:.2f} of the usual blur, {centre} centre bias, {uniform} uniform"
        )


def fit_gold(images: Iterable[Seen], others: int | None = None, seed: int = 0) -> GoldStandard:
    """Fit the gold standard of some images: each observer's fixations as likely as can be, given those of the others.

    Images weigh alike, and so do the observers of one image. The bandwidth is the best of `BLURS`; the shares of the
    mixture follow by expectation maximisation, whose maximum is the only one.

    Args:
        images: Where people looked; those with one observer alone are left out.
        others: Take only so many other observers, drawn at random; observers with fewer others are left out.
        seed: Seed of that draw.

    Raises:
        ValueError: If no fixation has another observer's beside it.
    """
    parts = [part for image in images if (part := _likelihoods(image, others, np.random.default_rng(seed))) is not None]
    if not parts:
        raise ValueError("no image has fixations of two observers")
    weights = np.concatenate([weight / len(parts) for weight, *_ in parts])
    priors = np.concatenate([prior for _, prior, _, _ in parts])
    uniforms = np.concatenate([uniform for _, _, uniform, _ in parts])
    kernels = np.concatenate([kernel for *_, kernel in parts], axis=1)
    return max(
        (
            _mixture(weights, np.stack([kernel, priors, uniforms]), blur)
            for blur, kernel in zip(BLURS, kernels, strict=True)
        ),
        key=lambda gold: gold.bits,
    )


def leave_one_out(points: Fixations) -> Iterator[tuple[Fixations, Fixations]]:
    """Yield each observer's fixations and those of all others, if both have some."""
    for observer in sorted(set(points.observer.tolist())):
        own, rest = points.of(observer), points.without(observer)
        if len(rest):
            yield own, rest


def _likelihoods(
    image: Seen, others: int | None, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Return for each fixation its weight, and its probability under the prior, uniformly, and at each bandwidth."""
    points, (height, width), sigma_px, prior = image
    points = points.inside((height, width))
    people, person = np.unique(points.observer, return_inverse=True)
    beside = _beside(len(people), others, rng)
    kept = np.any(beside, axis=1)[person]
    if not kept.any():
        return None
    row = np.clip(np.floor(points.y + 0.5).astype(int), 0, height - 1)[kept]
    column = np.clip(np.floor(points.x + 0.5).astype(int), 0, width - 1)[kept]
    seen = beside[person[kept]][:, person]  # (fixations, those that predict them)
    share = torch.from_numpy(seen / seen.sum(1, keepdims=True)).float()
    x, y = torch.from_numpy(points.x).float(), torch.from_numpy(points.y).float()
    kernels = [
        (
            share
            * (
                gaussian_rows(y, height, blur * sigma_px)[:, row] * gaussian_rows(x, width, blur * sigma_px)[:, column]
            ).T
        )
        .sum(1)
        .double()
        .numpy()
        for blur in BLURS
    ]
    number = np.bincount(person[kept], minlength=len(people))
    weight = 1 / (number[person[kept]] * np.count_nonzero(number))
    return weight, prior.double().numpy()[row, column], np.full(len(row), 1 / (height * width)), np.stack(kernels)


def _beside(people: int, others: int | None, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (people, people): whose fixations predict whose."""
    beside = ~np.eye(people, dtype=bool)
    if others is None:
        return beside
    if people <= others:
        return np.zeros_like(beside)
    chosen = np.zeros_like(beside)
    for one in range(people):
        chosen[one, rng.permutation(np.flatnonzero(beside[one]))[:others]] = True
    return chosen


def _mixture(weights: Floats, parts: Floats, blur: float) -> GoldStandard:
    """Return the mixture of (3, n) probabilities under which fixations of (n,) weights are likeliest."""
    shares = np.array([0.8, 0.1, 0.1])
    for _ in range(_STEPS):
        joint = shares[:, None] * parts
        shares = (joint / joint.sum(0)) @ weights
        shares = np.maximum(shares / shares.sum(), LEAST)
    shares /= shares.sum()
    bits = float(weights @ np.log2((shares @ parts) / parts[1]))
    return GoldStandard(blur, (float(shares[0]), float(shares[1]), float(shares[2])), bits)
