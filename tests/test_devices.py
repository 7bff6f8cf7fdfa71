"""A device that torch does not find here is told in one line, whichever it is, and the model goes on where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import salzoo
from salzoo.cli import main
from salzoo.errors import SpecError

PRESENT = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "xpu": torch.xpu.is_available()}
ABSENT = [*(name for name, there in PRESENT.items() if not there), "cuda:99", "hpu", "meta", "gpu", "auto:1"]


@pytest.mark.parametrize("device", ABSENT)
def test_a_device_that_is_not_here_is_told(device: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "photo.png"), "-m", "itti", "-o", str(tmp_path), "--device", device]) == 2
    err = capsys.readouterr().err
    assert f"device='{device}' is not available here" in err
    assert err.count("\n") == 1
    for name in ("itti", "centre_bias"):  # without tensors, and with
        model = salzoo.load(name)
        expected = model.predict(image).density
        with pytest.raises(SpecError, match=f"device='{device}' is not available here"):
            model.predict(image, device=device)
        assert np.array_equal(model.predict(image).density, expected)
        assert np.array_equal(
            model.predict(image, device="auto" if not any(PRESENT.values()) else "cpu").density, expected
        )
