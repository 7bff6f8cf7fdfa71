"""Independent components against known sources and against scikit-learn, and the patches that they are learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import FastICA
from torch import Tensor

from salzoo.components import independent
from salzoo.components.independent import blank_filters, draw_patches, independent_components
from salzoo.errors import SpecError


def mixture(samples: int = 20_000) -> tuple[Tensor, Tensor]:
    """Four sources that are not Gaussian, and what six sensors hear of them: (4, N), (N, 6)."""
    rng = np.random.default_rng(0)
    sources = np.stack([rng.laplace(size=samples), rng.laplace(size=samples), rng.uniform(-1, 1, samples)])
    sources = np.concatenate([sources, np.sign(sources[:1]) * rng.exponential(size=samples) ** 2])
    return torch.from_numpy(sources), torch.from_numpy((rng.normal(size=(6, 4)) @ sources).T + 3)


def test_the_sources_are_found() -> None:
    """Up to order, sign and scale: each response follows one source and no other."""
    sources, heard = mixture()
    responses = independent_components(heard, 4) @ heard.T
    related = torch.corrcoef(torch.cat([sources, responses]))[:4, 4:].abs()
    assert sorted(related.argmax(1).tolist()) == [0, 1, 2, 3]
    assert related.amax(1).min() > 0.97
    torch.testing.assert_close(torch.cov(responses), torch.eye(4, dtype=torch.float64), atol=1e-3, rtol=0)


def test_they_are_those_of_scikit_learn() -> None:
    _, heard = mixture()
    ours = independent_components(heard, 4) @ heard.T
    theirs = FastICA(4, whiten="unit-variance", tol=1e-6, max_iter=500, random_state=1).fit_transform(heard.numpy()).T
    related = torch.corrcoef(torch.cat([ours, torch.from_numpy(theirs)]))[:4, 4:].abs()
    assert related.amax(1).min() > 0.999


def test_large_variances_come_first() -> None:
    """Two directions of five are kept: the filters answer to nothing in the three weakest."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 100.0, 2.0, 50.0, 3.0])
    filters = independent_components(torch.rand(5000, 5, generator=generator) * scales, 2)
    weights = filters.abs() * scales
    assert weights[:, [0, 2, 4]].max() < 0.1 * weights[:, [1, 3]].amax(1).min()


def test_too_few_patches_are_told() -> None:
    generator = torch.Generator().manual_seed(0)
    for patches in (torch.rand(5, 12, generator=generator), torch.ones(100, 12)):
        with pytest.raises(SpecError, match=r"do not span 6 components: give more with --training\.images"):
            independent_components(patches, 6)


def test_patches_lie_inside_the_image() -> None:
    """The image's number is in its pixels, and so is the place: rows in the second channel, columns in the third."""
    y, x = np.mgrid[:20, :30].astype(np.float32)
    images = [torch.from_numpy(np.stack([y * 0 + k, y, x]))[None] for k in range(2)]
    patches = draw_patches(images, 5, 7).view(14, 3, 5, 5)
    assert patches[:, 0].flatten(1).unique(dim=1).squeeze(1).tolist() == [0.0] * 7 + [1.0] * 7
    torch.testing.assert_close(patches[:, 1].diff(dim=1), torch.ones(14, 4, 5))
    torch.testing.assert_close(patches[:, 2].diff(dim=2), torch.ones(14, 5, 4))
    assert len(patches[:, 1, 2, 2].unique()) > 3
    torch.testing.assert_close(draw_patches(images, 5, 7).view_as(patches), patches)
    small = draw_patches([torch.rand(1, 3, 1, 4)], 5, 3)
    assert small.shape == (3, 75)


def test_sides_are_odd() -> None:
    assert blank_filters(4, 5).shape == (4, 3, 5, 5)
    with pytest.raises(SpecError, match="side=6 is not accepted: an odd number"):
        blank_filters(4, 6)
    with pytest.raises(SpecError, match="components=76 is not accepted"):
        blank_filters(76, 5)


def test_a_rotation_is_one() -> None:
    turned = independent.nearest_rotation(torch.rand(5, 5, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(turned @ turned.T, torch.eye(5))
