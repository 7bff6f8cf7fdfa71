"""What every shipped checkpoint predicts for one drawn picture: `python tests/golden/make_maps.py` writes `maps.npz`.

Run once for a new checkpoint (`python tests/golden/make_maps.py NAME`); what is there already is kept.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

PINNED = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1"}
"""Environment in which sums are taken in nearly the same order on every x86 processor; read when torch is imported."""

PATH = Path(__file__).with_name("maps.npz")


def picture():
    """Return (72, 96, 3) uint8: a smooth ground, a red disc, a face-like spot and noise that seeds nothing."""
    import numpy as np

    y, x = np.mgrid[:72, :96].astype(np.float64)
    ground = np.stack([90 + x, 110 + y / 2, 150 - x / 2], -1)
    ground[(y - 24) ** 2 + (x - 66) ** 2 < 80] = (220, 40, 30)
    ground[((y - 46) / 1.3) ** 2 + (x - 24) ** 2 < 120] = (224, 180, 150)
    for row, column in ((42, 20), (42, 28), (52, 24)):
        ground[(y - row) ** 2 + (x - column) ** 2 < 5] = 30
    texture = 12 * np.sin(x * y / 40)[..., None]
    return np.clip(ground + texture, 0, 255).astype(np.uint8)


def densities(names):
    """Return checkpoint to (72, 96) density."""
    import torch

    import salzoo

    torch.set_num_threads(1)
    return {name: salzoo.load(name).predict(picture()).density for name in names}


def checkpoints():
    """Return every `model.tag` that loads without training."""
    import salzoo
    from salzoo.registry import read_spec

    return [f"{name}.{tag}" for name in salzoo.list_models() for tag in read_spec(name).loadable]


def main() -> None:
    """Write the maps; with `--to FILE` those of all checkpoints there, for the test."""
    import numpy as np

    if sys.argv[1:2] == ["--to"]:
        np.savez_compressed(sys.argv[2], **densities(checkpoints()))
        return
    kept = dict(np.load(PATH)) if PATH.is_file() else {}
    wanted = sys.argv[1:] or [name for name in checkpoints() if name not in kept]
    np.savez_compressed(PATH, **{**kept, **densities(wanted)})


if __name__ == "__main__":
    if any(os.environ.get(key) != value for key, value in PINNED.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **PINNED})
    main()
