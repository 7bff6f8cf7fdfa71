"""Asks the authors' BMS program what it says of the sample pictures: `python tests/models/bms_program.py PROGRAM`.

PROGRAM is built from github.com/jimmie33/BMS; only its maps, averaged to 15 x 20, are kept, in public_maps/bms.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d

from salzoo.images.samples import sample_images

FILE = Path(__file__).parent / "public_maps" / "bms.json"
OPTIONS = "8 7 9 9 2 1 0 0 400"  # step, dilations, blur, Lab, whitening; it reads the longer side from the ninth place


def pictures() -> dict[str, Image.Image]:
    """Return the sample pictures with 400 pixels on the longer side, so that nobody resizes them again."""
    result = {}
    for name, picture in sample_images().items():
        scale = 400 / max(picture.size)
        size = (round(picture.width * scale), round(picture.height * scale))
        result[name] = picture.resize(size, Image.Resampling.BOX)
    return result


def coarse(saliency: NDArray[np.float32]) -> NDArray[np.float32]:
    pooled = adaptive_avg_pool2d(torch.from_numpy(np.float32(saliency))[None], (15, 20))[0]
    return pooled.numpy()


def main(program: str) -> None:
    content = {}
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch, "in"), Path(scratch, "out")
        source.mkdir()
        output.mkdir()
        for name, picture in pictures().items():
            # The program hands BGR to a conversion from RGB: with swapped channels it sees the picture's colours.
            Image.fromarray(np.asarray(picture)[..., ::-1].copy()).save(source / f"{name}.png")
        words = [program, f"{source}/", f"{output}/", *OPTIONS.split()]
        subprocess.run(words, check=True, capture_output=True, input=b"\n")
        for path in sorted(output.iterdir()):
            saliency = coarse(np.asarray(Image.open(path).convert("L")))
            content[path.stem] = [[round(value, 1) for value in row] for row in saliency.tolist()]
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(rows)}" for name, rows in content.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
