"""What is peculiar to the systems that no fixation trains: formulas checked by hand, or against another library."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import torch
from models import bms_program

import salzoo
from salzoo.cli import main
from salzoo.components import filters
from salzoo.components.conspicuity import max_local
from salzoo.components.filters import rescale
from salzoo.components.training_free import CENTRE_SIGMA, FLOOR, TrainingFreeModel
from salzoo.errors import SpecError
from salzoo.images.samples import pop_out
from salzoo.models import bms, gbvs, itti, signature
from salzoo.registry import read_spec

NAMES = [name for name in salzoo.list_models() if isinstance(salzoo.load(name, weights=None), TrainingFreeModel)]
every_system = pytest.mark.parametrize("name", NAMES)
NOISE = torch.from_numpy(np.random.default_rng(0).random((1, 3, 48, 64), dtype=np.float32))


def test_which_systems_there_are() -> None:
    still = {"aim", "aws", "bms", "fes", "gbvs", "itti", "lemeur", "signature", "sun"}
    assert set(NAMES) == still | {"lemeur_motion", "surprise"}


@every_system
@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (200, 30, 90), (255, 255, 255)])
def test_a_constant_image_gives_a_uniform_density(name: str, colour: tuple[int, int, int]) -> None:
    image = np.broadcast_to(np.uint8(colour), (123, 77, 3)).copy()
    density = salzoo.load(name).predict(image).density
    np.testing.assert_allclose(density, 1 / density.size, rtol=1e-4)


@every_system
def test_the_map_is_on_the_spot(name: str) -> None:
    """One disc, at four places: the maximum is on it, so that no step of the formula shifts the map."""
    y, x = np.mgrid[:300, :400]
    for centre in ((75, 100), (75, 300), (225, 100), (225, 300)):
        image = np.full((300, 400, 3), 128, np.uint8)
        image[np.hypot(y - centre[0], x - centre[1]) < 24] = (220, 60, 40)
        density = salzoo.load(name).predict(image).density
        found = np.average(np.argwhere(density > 0.9 * density.max()), axis=0)
        np.testing.assert_allclose(found, centre, atol=8)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "fes"])  # its rings miss neighbours, see its card
@pytest.mark.parametrize("seed", range(3))
def test_a_colour_singleton_pops_out(name: str, seed: int) -> None:
    image, (x, y) = pop_out("colour", seed)
    density = salzoo.load(name).predict(image).density
    found = np.unravel_index(density.argmax(), density.shape)
    assert math.dist(found, (y, x)) < 34


@every_system
def test_the_centre_prior_multiplies_the_density_with_a_gaussian(name: str) -> None:
    image, _ = pop_out("size", 1)
    plain, centred = salzoo.load(name).predict(image), salzoo.load(f"{name}.centred").predict(image)
    weight = read_spec(name).variants["centred"].network["centre_prior"]
    height, width = plain.shape
    y, x = np.mgrid[:height, :width]
    z = [((y + 0.5) / height - 0.5) / CENTRE_SIGMA[0], ((x + 0.5) / width - 0.5) / CENTRE_SIGMA[1]]
    expected = plain.density * np.exp(-weight * (z[0] ** 2 + z[1] ** 2) / 2)
    np.testing.assert_allclose(centred.density, expected / expected.sum(), rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if read_spec(name).training == "none"])
def test_fit_says_that_there_is_nothing_to_learn(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", name, "--data", "osie", "--root", "."]) == 2
    assert capsys.readouterr().err.startswith(f"salzoo: {name} has nothing to learn")


@pytest.mark.parametrize("name", ["fes", "gbvs", "itti", "lemeur", "sun"])
def test_the_gradient_is_that_of_the_map(name: str) -> None:
    """Against a difference quotient along the gradient, so that no term is missing."""
    model, image = salzoo.load(name), NOISE[0].double()

    def upper_half(pixels: torch.Tensor) -> torch.Tensor:
        return model.infer([pixels])[0].exp()[:24].sum()

    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(upper_half(x), x)
    step = 0.01 * gradient / gradient.abs().max()
    with torch.no_grad():
        difference = upper_half(image + step) - upper_half(image - step)
    assert difference.item() == pytest.approx(2 * (gradient * step).sum().item(), rel=0.1)


@pytest.mark.parametrize("name", ["aim", "aws", "bms", "signature"])
def test_a_map_without_a_gradient_says_so(name: str) -> None:
    model, x = salzoo.load(name), NOISE[0].clone().requires_grad_()
    with pytest.raises(SpecError, match=f"{type(model).__name__} has no gradient with respect to the image"):
        model.infer([x])
    with torch.no_grad():
        expected = model.infer([x])[0].exp()
    np.testing.assert_allclose(model.predict(x).density, expected, rtol=1e-5)


def test_the_floor_is_of_the_stretched_map() -> None:
    model = salzoo.load("signature")
    maps = torch.tensor([[[[3.0, 5.0], [4.0, 3.0]]]])
    expected = torch.tensor([[0.0, 1.0], [0.5, 0.0]]) + FLOOR
    torch.testing.assert_close(model.to_log_density(maps)[0].exp(), expected / expected.sum())


# Early vision


def test_greys_have_no_colour() -> None:
    grey = torch.linspace(0, 1, 50).expand(1, 3, 2, 50)
    assert filters.rgby(grey).abs().max() == 0
    assert filters.dkl(grey)[:, 1:].abs().max() < 1e-5
    assert filters.lab(grey)[:, 1:].abs().max() < 0.02


def test_opponent_colours_of_primaries() -> None:
    red, green, blue, yellow = [*torch.eye(3).tolist(), [1.0, 1.0, 0.0]]
    image = torch.tensor([red, green, blue, yellow]).T[None, :, None]
    expected = torch.tensor([[3.0, -3.0, 0.0, 0.0], [0.0, 0.0, 3.0, -1.5]])
    torch.testing.assert_close(filters.rgby(image)[0, :, 0], expected)
    _, reddish, bluish = filters.dkl(image)[0, :, 0]
    assert reddish[0] > 0 > reddish[1]
    assert bluish[2] > 0 > bluish[3]


def test_the_pyramid_filters_with_1_3_3_1() -> None:
    spike = torch.zeros(1, 1, 1, 16)
    spike[..., 7] = 8
    assert filters.pyramid(spike, 1)[1][0, 0, 0].tolist() == [0, 0, 0, 3, 1, 0, 0, 0]
    levels = filters.pyramid(torch.rand(2, 3, 5, 9), 5)
    assert [tuple(level.shape[-2:]) for level in levels] == [(5, 9), (3, 5), (2, 3), (1, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize(("angle", "axis"), [(0, 1), (90, 0)])
def test_gabor_filters_answer_their_own_orientation(angle: int, axis: int) -> None:
    position = torch.arange(40.0).expand(40, 40)
    stripes = torch.sin(2 * (position if axis == 1 else position.T))
    response = filters.gabor_energy(stripes[None, None])[0, :, 20, 20]
    assert response.argmax() == [0, 45, 90, 135].index(angle)
    assert response.max() > 10 * response.min()


def test_blur_is_a_gaussian_and_keeps_constants() -> None:
    spike = torch.zeros(1, 1, 61, 61)
    spike[..., 30, 30] = 1
    blurred = filters.blur(spike, 4.0)[0, 0].double()
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    variance = (blurred.sum(0) * (torch.arange(61) - 30.0) ** 2).sum().item()
    assert variance == pytest.approx(16, rel=0.01)
    torch.testing.assert_close(filters.blur(torch.full((1, 1, 3, 50), 0.7), 9.0), torch.full((1, 1, 3, 50), 0.7))


# Itti, Koch and Niebur


def test_one_peak_is_promoted_over_many() -> None:
    """By hand: the mean of the other maxima is 0 for one peak, 0.5 with a second of half the height."""
    one, two = torch.zeros(2, 1, 1, 9, 9)
    one[..., 4, 4] = two[..., 4, 4] = 7
    two[..., 1, 1] = 3.5
    torch.testing.assert_close(max_local(one), one / 7)
    torch.testing.assert_close(max_local(two), two / 7 * 0.25)
    assert max_local(torch.ones(1, 1, 4, 4)).abs().max() == 0


def test_iterative_normalisation_prefers_one_peak_to_many() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    one = torch.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 8)[None, None]
    many = sum(torch.exp(-((y - v) ** 2 + (x - u) ** 2) / 8) for v in (8, 20, 32) for u in (8, 19, 30, 41, 52))
    assert itti.iterative(one).max() > 3 * itti.iterative(torch.as_tensor(many)[None, None]).max()


@pytest.mark.parametrize(
    "options", [{"colour": "dkl"}, {"colour": "lab"}, {"normalisation": "iterative"}, {"blur": 0.03}]
)
def test_options_of_itti_change_the_map_and_nothing_else(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("size", 2)
    usual, other = salzoo.load("itti").predict(image), salzoo.load("itti", weights=None, **options).predict(image)
    assert other.shape == usual.shape
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    found = np.unravel_index(other.density.argmax(), other.shape)
    assert math.dist(found, (y, x)) < 34


def test_levels_of_itti_are_checked() -> None:
    with pytest.raises(SpecError, match="levels from 0, deltas from 1"):
        salzoo.load("itti", weights=None, centres=[2], deltas=[0])


# Image Signature


@pytest.mark.parametrize("colour", ["lab", "rgb"])
def test_signature_against_scipys_cosine_transform(colour: str) -> None:
    ours = signature.SignatureNetwork(colour, blur=0.0)(NOISE)  # type: ignore[arg-type]
    channels = filters.lab(NOISE) if colour == "lab" else NOISE
    signs = np.sign(scipy.fft.dctn(channels.double().numpy(), axes=(2, 3), norm="ortho"))
    expected = (scipy.fft.idctn(signs, axes=(2, 3), norm="ortho") ** 2).mean(1, keepdims=True)
    torch.testing.assert_close(rescale(ours), rescale(torch.from_numpy(expected)).float(), atol=1e-4, rtol=1e-3)


# Graph-Based Visual Saliency


def weights_of(nodes: np.ndarray, size: tuple[int, int], sigma: float, kind: str) -> np.ndarray:
    """The graph of the paper, pair by pair."""
    places = [(y, x) for y in range(size[0]) for x in range(size[1])]
    weights = np.zeros((len(places), len(places)))
    for i, here in enumerate(places):
        for j, there in enumerate(places):
            near = math.exp(-(math.dist(here, there) ** 2) / (2 * sigma**2))
            weights[i, j] = near * (abs(nodes[i] - nodes[j]) if kind == "activation" else nodes[j])
    return weights


@pytest.mark.parametrize("kind", ["activation", "concentration"])
def test_the_equilibrium_is_the_chains_eigenvector(kind: str) -> None:
    size, sigma = (6, 8), 1.3
    nodes = np.random.default_rng(5).random(48)
    chain = weights_of(nodes, size, sigma, kind)
    chain /= chain.sum(1, keepdims=True)
    values, vectors = np.linalg.eig(chain.T)
    expected = vectors[:, np.argmin(abs(values - 1))].real
    expected /= expected.sum()
    found = getattr(gbvs, kind)(torch.from_numpy(nodes).view(1, *size), sigma)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-9)

    walk = np.full(48, 1 / 48)  # what the authors' toolbox does
    for _ in range(2000):
        walk = walk @ chain
    np.testing.assert_allclose(found.flatten(), walk, rtol=1e-6)


def test_the_odd_node_gets_half_of_the_time() -> None:
    """By hand: on a map of one node that differs, every step leads to it or away from it."""
    nodes = torch.zeros(1, 5, 5)
    nodes[0, 2, 2] = 1
    assert gbvs.activation(nodes, 2.0)[0, 2, 2].item() == pytest.approx(0.5)
    assert gbvs.activation(nodes * 0 + 0.3, 2.0).abs().max() == 0


def test_even_texture_is_not_taken_for_a_constant_map() -> None:
    """Shares of many nodes are small numbers; what differs between them is still there after the last stretch."""
    grain = np.random.default_rng(0).integers(120, 136, (96, 128, 3), dtype=np.uint8)
    density = salzoo.load("gbvs").predict(grain).density
    assert density.max() > 3 * density.min()


def test_fading_is_linear() -> None:
    row = gbvs.fade(torch.ones(1, 9, 9), 3)[0, 4]
    assert row.tolist() == [0.25, 0.5, 0.75, 1, 1, 1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    "options", [{"colour": "rgby"}, {"levels": [1, 2]}, {"normalisation": "markov"}, {"map_size": 48}]
)
def test_options_of_gbvs(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("orientation", 2)
    usual, other = salzoo.load("gbvs").predict(image), salzoo.load("gbvs", weights=None, **options).predict(image)
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    assert math.dist(np.unravel_index(other.density.argmax(), other.shape), (y, x)) < 34


def test_the_size_of_the_graph_is_checked() -> None:
    with pytest.raises(SpecError, match="from 4 to 128 nodes"):
        salzoo.load("gbvs", weights=None, map_size=600)


# Boolean Map Saliency


def attention_by_hand(channels: np.ndarray, step: int, width: int) -> np.ndarray:
    """The sum over all Boolean maps, one flood fill and one dilation at a time."""
    total = np.zeros(channels.shape[1:])
    eight = np.ones((3, 3))
    for channel in channels:
        for threshold in range(int(channel.min()), int(channel.max()), step):
            for region in (channel > threshold, channel <= threshold):
                labels, _ = scipy.ndimage.label(region, eight)
                edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
                surrounded = region & ~np.isin(labels, edge)
                grown = scipy.ndimage.binary_dilation(surrounded, np.ones((width, width)))
                if grown.any():
                    total += grown / np.linalg.norm(grown)
    return total


@pytest.mark.parametrize("step", [8, 50, 3])
def test_all_thresholds_at_once_are_the_thresholds_one_by_one(step: int) -> None:
    noise = scipy.ndimage.gaussian_filter(np.random.default_rng(3).random((3, 40, 57)), (0, 1.5, 1.5))
    channels = torch.from_numpy(np.stack([255 * (c - c.min()) / np.ptp(c) for c in noise]).round()).float()
    network = bms.BMSNetwork("lab", whitening=True, step=step, dilation=(7, 9), blur=9.0)
    expected = attention_by_hand(channels.numpy(), step, 7)
    assert expected.max() > 0
    torch.testing.assert_close(network.attention(channels), torch.from_numpy(expected).float())


def test_what_is_inside_a_ring_is_surrounded() -> None:
    """By hand: a closed ring of 9 in a map of 2, its inside 5; one gap of 3 lets the inside out at 3."""
    ring = torch.full((1, 9, 9), 2, dtype=torch.uint8)
    ring[0, 2:7, 2:7] = 9
    ring[0, 3:6, 3:6] = 5
    assert bms.openness(ring).unique().tolist() == [2]  # nothing leaves the ring above 2
    valley = 10 - ring
    assert bms.openness(valley)[0, 4, 4] == 1  # the inside, 5 deep, is walled in by 1
    ring[0, 2, 4] = 3
    assert bms.openness(10 - ring)[0, 4, 4] == 5  # and now it runs out through the gap
    ring[0, 1, 3] = ring[0, 2, 4] = 9
    assert bms.openness(ring)[0, 4, 4] == 2


def test_a_spiral_is_followed_to_its_end() -> None:
    """The sweeps go on until nothing changes."""
    spiral = np.array([list(row) for row in SPIRAL.split()]) == "."
    levels = torch.from_numpy(spiral.astype(np.uint8) * 7)[None]
    torch.testing.assert_close(bms.openness(levels), levels)


SPIRAL = """
###########
.........##
########.##
#......#.##
#.####.#.##
#.#..#.#.##
#.#.##.#.##
#.#....#.##
#.######.##
#........##
###########
"""


def test_median_against_scipy() -> None:
    maps = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 2, 17, 23)).astype(np.float32))
    expected = np.stack([scipy.ndimage.median_filter(m, 3, mode="nearest") for m in maps[0].numpy()])
    np.testing.assert_array_equal(bms.median3(maps)[0], expected)


def test_whitening() -> None:
    """Covariance after it is V / (V + 50) on each axis: near one for channels that vary, and none between axes."""
    mixed = torch.tensor([[30.0, 5, 0], [10, 20, 3], [0, 4, 9]]) @ torch.randn(3, 5000, generator=torch.manual_seed(0))
    white = bms.whiten(mixed.view(3, 50, 100)).flatten(1)
    variances = torch.linalg.eigvalsh(torch.cov(mixed, correction=0))
    torch.testing.assert_close(
        torch.cov(white, correction=0), torch.diag(variances / (variances + 50)), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    "options", [{"colour": "rgb"}, {"whitening": False}, {"step": 16}, {"dilation": [3, 11], "blur": 20.0}]
)
def test_options_of_bms(options: dict[str, object]) -> None:
    image, (x, y) = pop_out("colour", 2)
    usual, other = salzoo.load("bms").predict(image), salzoo.load("bms", weights=None, **options).predict(image)
    assert not np.allclose(other.density, usual.density, rtol=1e-3)
    assert math.dist(np.unravel_index(other.density.argmax(), other.shape), (y, x)) < 34


def test_widths_of_bms_are_checked() -> None:
    with pytest.raises(SpecError, match="odd widths"):
        salzoo.load("bms", weights=None, dilation=[4, 9])


def test_bms_agrees_with_the_authors_program() -> None:
    """On free photographs and drawn displays; `bms_program.py` wrote down what the program says."""
    public = json.loads(bms_program.FILE.read_text(encoding="utf-8"))
    model = salzoo.load("bms")
    assert len(public) >= 9
    for name, image in bms_program.pictures().items():
        ours, theirs = bms_program.coarse(model.predict(image).density), np.array(public[name])
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95, name
