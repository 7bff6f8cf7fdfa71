"""The saccadic model: the geometry of its biases, its draws, its fit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import salzoo
from salzoo.checkpoint.folder import read_config
from salzoo.cli import main
from salzoo.components.displacement_field import DisplacementField
from salzoo.components.drawing import best_of
from salzoo.components.inhibition import log_inhibition
from salzoo.components.polar_lattice import PolarLattice, look_up
from salzoo.components.saccade_bias import SaccadeBias
from salzoo.components.scanpath_model import ScanpathModel
from salzoo.components.stimulus import DEGREES, Stimulus
from salzoo.data import OSIE

EVEN = Stimulus(torch.full((120, 160), -math.log(120 * 160)), 80)


def saccadic(name: str = "saccadic", **options: object) -> ScanpathModel:
    model = salzoo.load(name, weights=None, density="uniform", **options)
    assert isinstance(model, ScanpathModel)
    return model


def at(bias: SaccadeBias, x: float, y: float) -> float:
    return float(bias.lattice.interpolate(bias.log_density, torch.tensor([x]), torch.tensor([y]))[0, 0].exp())


def test_a_ray_points_up_although_y_runs_down() -> None:
    values = torch.zeros(1, 3, 4)
    values[0, :, 1] = 1
    lattice = PolarLattice([0, 1, 2], 4)
    x, y = torch.tensor([0.0, 1, 0, -1, 0]), torch.tensor([-1.0, 0, 1, 0, -30])
    assert lattice.interpolate(values, x, y)[0].tolist() == pytest.approx([1, 0, 0, 0, 1], abs=1e-6)


def test_the_bias_is_a_density_of_the_plane_not_of_amplitudes() -> None:
    """Without the Jacobian, the density at one degree would be a fifth of this one."""
    step = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0)) * 3
    bias = SaccadeBias()
    bias.fit(torch.zeros(len(step), dtype=torch.int64), step)
    for x, y in [(0.0, 0.0), (1.0, 0.0), (0.0, 3.0), (-3.5, 3.5)]:
        expected = math.exp(-(x**2 + y**2) / 18) / (2 * math.pi * 9)
        assert at(bias, x, y) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("form", ["paper", "frames"])
def test_saccades_that_go_up_lead_up(form: str) -> None:
    model = saccadic(f"saccadic.{form}", cells=80, candidates=1, footprint=0.01)
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * 0.3
    frame = torch.arange(4000) % model.network.frames**2
    model.network.fit(frame, noise + torch.tensor([0.0, -5.0]))
    density = model.conditional(np.zeros((120, 160, 3), np.uint8), [(80, 60)]).density
    degree = 160 / DEGREES
    y, x = np.unravel_index(density.argmax(), density.shape)
    assert (x, y) == pytest.approx((80, 60 - 5 * degree), abs=3)
    assert density[:60].sum() > 0.95


def test_frames_have_their_own_biases_shrunk_to_that_of_all() -> None:
    bias = SaccadeBias(3)
    start = torch.tensor([[0.0, 0], [159, 119], [80, 60], [-20, 300]])
    assert bias.frame(start, (120, 160)).tolist() == [0, 8, 4, 6]
    left, right = torch.tensor([[-4.0, 0]]), torch.tensor([[4.0, 0]])
    bias.fit(
        torch.cat([torch.zeros(1000), torch.full((1000,), 8)]).long(),
        torch.cat([right, left]).repeat_interleave(1000, 0),
    )
    here = bias.lattice.interpolate(bias.log_density, torch.tensor([4.0, -4.0]), torch.zeros(2)).exp()
    assert here[0, 0] / here[0, 1] == pytest.approx(1025 / 25, rel=0.05), "50 saccades of the whole image are added"
    assert here[4, 0] / here[4, 1] == pytest.approx(1, rel=0.01), "nothing began here"


def test_the_best_of_five_is_what_drawing_five_gives() -> None:
    p = torch.tensor([0.1, 0.4, 0.2, 0.3])
    value = torch.tensor([3.0, 1.0, 2.0, 0.0])
    found = best_of(p.log().view(1, 2, 2), value.view(2, 2), 5).exp().flatten()
    draws = np.random.default_rng(0).choice(4, (200_000, 5), p=p.numpy() / p.numpy().sum())
    best = np.take_along_axis(draws, value.numpy()[draws].argmax(1)[:, None], 1)
    np.testing.assert_allclose(found, np.bincount(best[:, 0], minlength=4) / 200_000, atol=0.005)
    assert float(found.sum()) == pytest.approx(1, abs=1e-12)


def test_inhibition_recovers_linearly() -> None:
    history = torch.tensor([[[40.0, 40, 0], [120, 80, 0]]])
    left = log_inhibition(EVEN, history, 8.0, 4)[0].exp()
    cell = 160 / 80
    assert float(left[int(80 / cell), int(120 / cell)]) < 0.02
    assert float(left[int(40 / cell), int(40 / cell)]) == pytest.approx(0.25, abs=0.02)
    assert float(left[0, -1]) == pytest.approx(1, abs=1e-3)


def test_a_look_up_is_the_interpolation_at_each_displacement() -> None:
    values = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0))
    lattice = DisplacementField().lattice
    point = torch.tensor([[60.5, 20.5], [0.5, 118.5]])  # middles of cells
    found = look_up(lattice.tables(values, EVEN, 5.0), EVEN, point)
    offset = (EVEN.centres - point[:, None, None]) / 5
    for each, its in zip(found, offset, strict=True):
        torch.testing.assert_close(each, lattice.interpolate(values, its[..., 0], its[..., 1]), atol=1e-4, rtol=0)


def test_the_gradient_of_a_look_up() -> None:
    small = Stimulus(torch.zeros(6, 8), 8)
    tables = torch.randn(2, 25, 33, dtype=torch.float64, requires_grad=True)
    point = torch.tensor([[1.0, 2.0], [1.0, 2.0], [7.0, 0.0]])
    assert torch.autograd.gradcheck(lambda each: look_up(each, small, point), tables)


@pytest.mark.parametrize("name", ["saccadic", "saccadic.paper", "saccadic.frames"])
def test_probabilities_sum_to_one_after_any_history(name: str) -> None:
    model = saccadic(name, cells=20)
    with torch.no_grad():
        for tensor in model.network.state_dict().values():
            tensor += torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    image = np.zeros((41, 67, 3), np.uint8)
    nan = float("nan")
    history: list[tuple[float, float, float]] = []
    for place in [(0, 0, 200), (66, 40, nan), (-500, 3, 0), (nan, nan, nan), (30, 20, 1e9)]:
        history.append(place)
        m = model.conditional(image, history)
        assert m.density.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
        assert np.isfinite(m.log_density).all()


@pytest.mark.parametrize("name", ["saccadic", "saccadic.frames"])
def test_fit_writes_a_checkpoint_that_says_what_it_has_seen(
    name: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fit", name, "--data", "osie", "--root", str(tiny_data), "-o", str(tmp_path)]
    tiny = [
        "--model.density=uniform",
        "--model.cells=12",
        "--training.epochs=1",
        "--training.pretrained_backbone=false",
    ]
    assert main([*words, *tiny]) == 0
    folder = tmp_path / f"{name if '.' in name else name + '.lite'}"
    assert f"Wrote {folder}; `salzoo scanpath IMAGE -m {folder}` uses it." in capsys.readouterr().out
    fitted, new = salzoo.load(folder), saccadic(name)
    changed = [
        not torch.equal(a, b)
        for a, b in zip(fitted.network.state_dict().values(), new.network.state_dict().values(), strict=True)
    ]
    assert all(changed)
    config = read_config(folder)
    assert config.provenance is not None
    assert config.provenance.data == ("osie:train",)
    assert set(config.trained_images) == {"osie:train"}


@pytest.mark.parametrize("name", ["saccadic.paper", "saccadic", "scenewalk"])
@pytest.mark.parametrize("longer", [False, True])
def test_images_without_saccades_are_passed_over_and_a_study_of_them_refused(
    name: str, longer: bool, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, study = OSIE(tiny_data), tmp_path / "study"
    (study / "images").mkdir(parents=True)
    rows = ["image,observer,x,y"]
    for number in range(8):
        image = f"{number}{source.image_path(0).suffix}"
        (study / "images" / image).write_bytes(source.image_path(0).read_bytes())
        rows += [f"{image},ann,{10 + number},12", f"{image},bob,20,{8 + number}"]
        rows += [f"{image},ann,{20 - number},{9 + number}"] * (longer and number % 2)
    (study / "fixations.csv").write_text("\n".join(rows))
    words = ["fit", name, "--data", "folder", "--root", str(study), "-o", str(tmp_path / "out")]
    code = main([*words, "--model.density=uniform", "--model.cells=12", "--training.epochs=1"])
    assert (code == 0) == longer
    assert ("have no saccades" in capsys.readouterr().err) != longer
