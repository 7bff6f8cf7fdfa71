"""The coherent computational approach: sensitivities, bands, masking, facilitation, each by its published property."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import salzoo
from salzoo.components import coherent as lemeur
from salzoo.errors import SpecError
from salzoo.images.samples import pop_out

NOISE = torch.from_numpy(np.random.default_rng(0).random((1, 3, 96, 128), dtype=np.float32))
AXIS = torch.linspace(0.1, 30, 300)
BRIGHT = torch.tensor(100.0)


def test_luminance_contrast_is_seen_best_at_a_few_cycles_a_degree() -> None:
    """Daly (1993): band-pass, a peak near 4 cycles a degree for a display, a tenth of it at 30."""
    curve = lemeur.daly(AXIS, torch.zeros_like(AXIS), BRIGHT, 100.0)
    assert 2 < AXIS[curve.argmax()] < 6
    assert curve[0] < curve.max() / 2
    assert curve[-1] < curve.max() / 10
    assert 50 < curve.max() < 250, "the normalised peak is 250"


def test_sensitivity_to_luminance_by_hand() -> None:
    """At 4 cycles a degree, 100 candela a square metre, 100 square degrees, along an axis."""
    large = ((3.23 * (16 * 100) ** -0.3) ** 5 + 1) ** -0.2
    fall = 0.3 * 2**0.15 * 0.9
    expected = (
        250 * large * 0.801 * 1.007**-0.2 * 0.9 * 4 * math.exp(-fall * 4) * math.sqrt(1 + 0.06 * math.exp(4 * fall))
    )
    found = lemeur.daly(torch.tensor([4.0, 0.0]), torch.zeros(2), BRIGHT, 100.0)
    assert found.tolist() == [pytest.approx(expected, rel=1e-5), 0]


def test_diagonals_and_dim_light_are_seen_worse() -> None:
    straight, diagonal = (lemeur.daly(AXIS, torch.full_like(AXIS, at), BRIGHT, 100.0) for at in (0.0, math.pi / 4))
    fine = AXIS > 6
    assert (diagonal[fine] < straight[fine]).all()
    assert (diagonal <= straight + 1e-6).all()
    dim = lemeur.daly(AXIS, torch.zeros_like(AXIS), torch.tensor(1.0), 100.0)
    assert (dim < straight).all()


def test_colours_are_seen_low_pass() -> None:
    """Half of the sensitivity is left at 5.52 and 4.12 cycles a degree."""
    at = torch.tensor([1e-6, 4.12, 5.52])
    first, second = lemeur.chromatic(at, torch.zeros(3))
    assert first[2] / first[0] == pytest.approx(0.5, abs=1e-3)
    assert second[1] / second[0] == pytest.approx(0.5, abs=1e-3)
    turned, _ = lemeur.chromatic(at, torch.full((3,), math.pi / 4))
    assert turned[1] / first[1] == pytest.approx(0.73, abs=1e-4)


def test_bands_add_up_to_the_image() -> None:
    """Nothing below the last crown's flat part is lost or counted twice; each orientation has its own waves."""
    radius, angle = torch.meshgrid(torch.linspace(0, 9.4, 60), torch.linspace(-math.pi, math.pi, 97), indexing="ij")
    found = list(lemeur.windows(radius, angle, (4, 6)))
    assert len(found) == 1 + 4 + 6
    torch.testing.assert_close(sum(window for _, window in found), torch.ones_like(radius))
    assert all(window.min() >= 0 for _, window in found)
    for middle, window in found[1:]:
        row, column = divmod(int(window.argmax()), 97)
        assert math.cos(angle[row, column].item() - middle) ** 2 == pytest.approx(1, abs=0.01)
    assert len(list(lemeur.windows(radius, angle, (4,)))) == 1 + 4


def test_masking_leaves_what_is_barely_seen_and_divides_the_rest() -> None:
    """Daly's threshold elevation at slope 0.7 rises as the response to the power 0.7: what is left to the power 0.3."""
    weak, strong, stronger = lemeur.masked(torch.tensor([0.1, 100.0, 1000.0]))
    assert weak.item() == pytest.approx(0.1, rel=1e-3)
    assert (stronger / strong).item() == pytest.approx(10**0.3, rel=1e-3)
    assert lemeur.masked(torch.tensor(-100.0)) == -strong


@pytest.mark.parametrize(("angle", "line"), [(0.0, np.s_[:, 20]), (math.pi / 2, np.s_[20, :])])
def test_what_lies_on_a_contour_is_facilitated(angle: float, line: tuple[slice | int, ...]) -> None:
    """A line along the preferred direction supports itself from both sides, one across does not."""
    maps = torch.zeros(1, 1, 41, 41)
    maps[(0, 0, *line)] = 1
    along = lemeur.both_lobes(maps, angle, 3.0)[0, 0, 20, 20]
    across = lemeur.both_lobes(maps.transpose(2, 3), angle, 3.0)[0, 0, 20, 20]
    assert along > 2 * across
    maps[..., 21:, :] = 0
    maps[..., 21:] = 0
    ending = lemeur.both_lobes(maps, angle, 3.0)[0, 0, 20, 20]
    assert ending < 0.1 * along, "the end of a line has one side only"


def test_colour_reinforces_luminance() -> None:
    """The same luminance pattern counts for more where it is coloured; greys have no bands of colour."""
    network = lemeur.LeMeurNetwork()
    axes = torch.zeros(3, 96, 128)
    axes[0] = torch.sin(torch.arange(128.0) * 2 * math.pi * 3 / 20) / 10  # 3 cycles a degree
    lowest, oriented = network.visible(axes, BRIGHT)
    assert lowest[1].abs().max() == lowest[2].abs().max() == 0
    assert [len(bands) for bands in oriented] == [10, 4, 4]
    strongest = max(oriented[0], key=lambda band: band[1].abs().max().item())
    assert strongest[0] == 0, "vertical stripes"
    grey = NOISE.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    tinted = grey.clone()
    tinted[..., :64] = tinted[..., :64] * torch.tensor([1.0, 0.9, 0.6]).view(3, 1, 1)
    plain, coloured = (network(image)[0, 0, 6:18, 3:13].mean() for image in (grey, tinted))
    assert coloured > 1.1 * plain


def test_the_map_has_a_quarter_of_the_size() -> None:
    assert lemeur.LeMeurNetwork()(NOISE[..., :77, :90]).shape == (1, 1, 20, 23)


@pytest.mark.parametrize("options", [{"pixels_per_degree": 30.0}, {"surround": 3.0}, {"reach": 1.0}, {"blur": 0.5}])
def test_options_change_the_map_and_nothing_else(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("orientation", 2)
    usual, other = salzoo.load("lemeur").predict(image), salzoo.load("lemeur", weights=None, **options).predict(image)
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    assert math.dist(np.unravel_index(other.density.argmax(), other.shape), (y, x)) < 34


def test_a_display_without_pixels_is_refused() -> None:
    with pytest.raises(SpecError, match=r"pixels_per_degree=0\.0 is not accepted"):
        salzoo.load("lemeur", weights=None, pixels_per_degree=0)
