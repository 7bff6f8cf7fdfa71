"""Every shipped checkpoint predicts what it predicted when its golden map was written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden import make_maps
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float32]]:
    path = tmp_path_factory.mktemp("maps") / "maps.npz"
    script = Path(make_maps.__file__)
    environment = {**os.environ, **make_maps.PINNED}
    subprocess.run([sys.executable, str(script), "--to", str(path)], env=environment, check=True)
    return dict(np.load(path))


GOLDEN = dict(np.load(make_maps.PATH))
RTOL = 1e-4
"""Sums are taken in another order by another torch (up to 1.6e-5 between 2.6 and 2.14) and another processor (1e-6)."""


def test_every_checkpoint_has_a_golden_map(predicted: dict[str, NDArray[np.float32]]) -> None:
    assert set(predicted) == set(GOLDEN), "run: python tests/golden/make_maps.py"


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_checkpoint_predicts_its_golden_map(name: str, predicted: dict[str, NDArray[np.float32]]) -> None:
    np.testing.assert_allclose(predicted[name], GOLDEN[name], rtol=RTOL)
