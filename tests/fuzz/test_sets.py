"""Damaged files within each dataset: points or one error of salzoo's, whichever part of the layout they reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data import make_tiny
from fuzz.damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salzoo.data import FixationDataset
from salzoo.data.registry import load_dataset
from salzoo.errors import SalzooError

SETS: dict[str, Callable[[Path], Path]] = {
    "osie": make_tiny.osie,
    "scene500": make_tiny.scene500,
    "salicon2015": make_tiny.salicon,
    "isun": make_tiny.isun,
    "mit1003": make_tiny.mit1003,
    "cat2000": make_tiny.cat2000,
    "cat2000_observers": make_tiny.cat2000,
}


@pytest.fixture(scope="module", params=SETS)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FixationDataset:
    """Return each dataset, sound."""
    root = tmp_path_factory.mktemp(request.param)
    SETS[request.param](root)
    return load_dataset(request.param, root, "all")


@settings(suppress_health_check=[HealthCheck.differing_executors])
@given(drawn=st.data())
def test_a_damaged_file_is_points_or_one_error(dataset: FixationDataset, drawn: st.DataObject) -> None:
    path = next(iter(dataset.annotation_paths(1)))
    sound = path.read_bytes()
    path.write_bytes(drawn.draw(damaged([sound])))
    try:
        points = dataset.read_points(1).inside(dataset.size(1))
        assert len(points) == len(points.y) == len(points.observer)
    except SalzooError as error:
        assert str(path) in str(error)  # noqa: PT017 - most damages are refused, some are none
    finally:
        path.write_bytes(sound)
