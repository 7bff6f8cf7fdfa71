"""Reliability of densities, on fixations that were drawn from them, or were not; and its figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import scripts
import tiny_models
import torch
from torch import Tensor

import salzoo
from salzoo.checkpoint.config import RELIABILITY
from salzoo.checkpoint.folder import read_config
from salzoo.data import FixationDataset, Item, load_dataset
from salzoo.errors import SpecError
from salzoo.evaluation import calibration
from salzoo.evaluation.calibration import LEVELS, fit_temperature, reliability
from salzoo.exporting.graph import Graph
from salzoo.registry import shipped


@pytest.fixture(scope="module")
def osie(tiny_data: Path) -> FixationDataset:
    return load_dataset("osie", tiny_data, "test")


def density(power: float = 1.0) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 60), torch.linspace(-1, 1, 80), indexing="ij")
    hill = torch.exp(-4 * (x**2 + y**2)).double() ** power
    return hill / hill.sum()


def drawn(like: Tensor, count: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.multinomial(count, like.flatten().numpy()).reshape(like.shape))


def test_samples_of_a_density_are_within_its_regions() -> None:
    fixations = drawn(density(), 20_000)
    np.testing.assert_allclose(calibration._within(density(), fixations), LEVELS, atol=0.01)
    assert (calibration._within(density(2.0), fixations) < np.array(LEVELS) - 0.01).all(), "too sure of itself"
    assert (calibration._within(density(0.5), fixations) > np.array(LEVELS) + 0.01).all(), "not sure enough"


def test_equal_densities_share_their_fixations() -> None:
    corner = torch.zeros(60, 80, dtype=torch.int32)
    corner[0, 0] = 5
    np.testing.assert_allclose(calibration._within(torch.full((60, 80), 1 / 4800).double(), corner), LEVELS)


def test_a_split(osie: FixationDataset) -> None:
    def own(_: int, item: Item) -> Tensor:
        return item["density"]

    def uniform(_: int, item: Item) -> Tensor:
        return torch.ones_like(item["density"])

    found = reliability(own, osie)
    assert found.error > 0.05, "the kernels of a few fixations lie on the fixations themselves"
    assert len(found.expected_bits) == len(found.measured_bits) == len(osie)
    assert min(found.measured_bits) > 0
    chance = reliability(uniform, osie)
    assert chance.error == pytest.approx(0, abs=1e-6)
    assert chance.expected_bits == pytest.approx([0] * len(osie), abs=1e-6)
    assert chance.measured_bits == pytest.approx([0] * len(osie), abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_a_density_is_found_from_its_samples(
    temperature: float, osie: FixationDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixations = drawn(density(1 / temperature), 20_000)
    item = {**osie[0], "fixations": fixations}
    monkeypatch.setattr(type(osie), "__getitem__", lambda *_: item)
    assert fit_temperature(lambda *_: density(), osie) == pytest.approx(temperature, rel=0.03)


def test_one_temperature_of_two_sets_lies_between_theirs(osie: FixationDataset, tiny_data: Path) -> None:
    def uneven(_: int, item: Item) -> Tensor:
        return item["density"] + 1e-6

    other = load_dataset("scene500", tiny_data, "test")
    low, high = sorted(fit_temperature(uneven, each) for each in (osie, other))
    assert low < fit_temperature(uneven, osie, other) < high


def test_a_temperature_is_predicted_with_saved_and_exported(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (41, 67, 3), dtype=np.uint8)
    model = tiny_models.build("salgan")
    sharp = model.predict(image).log_density
    model.temperature = 2.0
    flat = model.predict(image).log_density
    np.testing.assert_allclose(flat - flat.max(), (sharp - sharp.max()) / 2, atol=1e-4)
    assert np.exp(flat.astype(np.float64)).sum() == pytest.approx(1, abs=1e-5)
    graph = Graph(model, free_size=False)
    pixels = torch.from_numpy(image).movedim(-1, 0)[None] / 255
    np.testing.assert_allclose(graph(pixels)[0].detach(), flat, atol=1e-3)
    model.save_pretrained(tmp_path / "own", license="mit")
    assert salzoo.load(tmp_path / "own").temperature == 2.0
    assert salzoo.load(tmp_path / "own", temperature=1.0).temperature == 1.0


@pytest.mark.parametrize("name", ["unisal", "salema", "scenewalk"])
def test_a_temperature_reaches_videos_and_scanpaths(name: str) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    model = tiny_models.build(name)

    def spread() -> float:
        found = [next(iter(model.predict_video([frame]))).saliency_map, model.predict(frame)]
        return float(np.mean([one.log_density.std() for one in found]))

    sharp = spread()
    model.temperature = 3.0
    assert spread() == pytest.approx(sharp / 3, rel=0.01)


def test_a_temperature_out_of_range_is_refused() -> None:
    for value in (0.0, float("nan"), 11):
        with pytest.raises(SpecError, match=r"temperature=.* is not accepted: from 0.1 to 10"):
            tiny_models.build("salgan", temperature=value)
    model = tiny_models.build("salgan")
    with pytest.raises(SpecError, match="temperature=-1 is not accepted"):
        model.temperature = -1


@pytest.fixture(scope="module")
def benchmark() -> Any:
    return scripts.load("benchmarks/calibration.py")


def test_the_curves_of_a_figure_go_through_the_numbers(benchmark: Any) -> None:
    numbers = {"looked_at": {"0.25": 0.5, "0.5": 0.9}, "error": 0.325}
    drawn = ElementTree.fromstring(benchmark.picture("a & b", {"osie": numbers, "eyecrowd": numbers}))
    xml = "{http://www.w3.org/2000/svg}"
    assert str(drawn.findtext(f"{xml}title")).startswith("a & b:")
    told = [text.text for text in drawn.iter(f"{xml}text")]
    assert {"osie, error 0.325", "eyecrowd, error 0.325"} <= set(told)
    lines = [path.attrib for path in drawn.iter(f"{xml}path") if path.get("stroke-width")]
    assert len({(line["stroke"], line["stroke-dasharray"]) for line in lines}) == 3
    for line, shares in zip(lines, [[0, 1], [0, 0.5, 0.9, 1], [0, 0.5, 0.9, 1]], strict=True):
        points = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)(?=L|M)", line["d"]), float)
        across, up = ((points - points[0]) / (points[-1] - points[0])).T
        np.testing.assert_allclose(up, shares, atol=1e-3)
        np.testing.assert_allclose(across, [0, 1] if len(shares) == 2 else [0, 0.25, 0.5, 1], atol=1e-3)


def test_cards_show_what_was_measured(benchmark: Any) -> None:
    rows = {benchmark.folder_of(name): row for name, row in benchmark.rows().items()}
    shown = {path.parent for path in shipped("hub").glob(f"*/{RELIABILITY}")}
    assert shown == {folder for folder in rows if folder.is_dir()} != set(), "run: benchmarks/calibration.py --draw"
    for folder in shown:
        row, text = rows[folder], (folder / "README.md").read_text("utf-8")
        drawn = (folder / RELIABILITY).read_text("utf-8")
        assert drawn == benchmark.picture(folder.name, row["sets"]), "run: benchmarks/calibration.py --draw"
        assert len(drawn) < 30_000
        assert f"]({RELIABILITY})" in text
        kept = {each.dataset: each.calibration for each in read_config(folder).measured if each.calibration}
        assert kept == {name: benchmark.calibration(row, name) for name in row["sets"]}
        for name, found in row["sets"].items():
            numbers = f"{found['error']:.3f}, {found['expected_bits']:.2f} and {found['measured_bits']:.2f}"
            assert f"{name} test {numbers}" in text
