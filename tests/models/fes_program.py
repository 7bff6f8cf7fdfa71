"""Asks the authors' FES program what it says of images: `python tests/models/fes_program.py CHECKOUT [FOLDER]`.

CHECKOUT is one of github.com/hrtavakoli/FES; its MATLAB code runs in Octave with the package image, without its learned
prior. Of the sample pictures its maps, averaged to 15 x 20, are kept in public_maps/fes.json. With a FOLDER nothing is
kept: 20 of its images, evenly spread, are compared, and the correlations printed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from kornia.color import linear_rgb_to_rgb
from numpy.typing import NDArray
from PIL import Image

import salzoo
from salzoo.images.read import find_images
from salzoo.images.samples import sample_images

sys.path.insert(0, str(Path(__file__).parents[1]))

from models.bms_program import coarse

FILE = Path(__file__).parent / "public_maps" / "fes.json"
PROGRAM = """
pkg load image
names = glob('*.png');
for k = 1:numel(names)
    map = computeFinalSaliency(RGB2Lab(imread(names{k})), [8 8 8], [13 25 38], 30, 10, 1, 0.5 * ones(128, 171));
    dlmwrite([names{k} '.txt'], map, ' ');
end
"""


def resized(image: Image.Image) -> Image.Image:
    """Return an image at the size of the program, so that nobody resizes it again."""
    return image.convert("RGB").resize((171, 128), Image.Resampling.BOX)


def pictures() -> dict[str, Image.Image]:
    return {name: resized(picture) for name, picture in sample_images().items()}


def ours(image: Image.Image) -> NDArray[np.float32]:
    """Return our map of the colours that the program sees: it takes sRGB for linear RGB."""
    linear = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
    network = salzoo.load("fes").network
    return network(linear_rgb_to_rgb(linear))[0, 0].numpy()


def ask(checkout: Path, images: list[Image.Image]) -> list[NDArray[np.float32]]:
    """Return the program's maps, (128, 171), without its final resize to an image."""
    with tempfile.TemporaryDirectory() as scratch:
        for k, image in enumerate(images):
            image.save(Path(scratch, f"{k:03d}.png"))
        words = ["octave-cli", "--quiet", "--path", str(checkout.resolve()), "--eval", PROGRAM]
        subprocess.run(words, check=True, cwd=scratch, stderr=subprocess.DEVNULL)
        return [np.loadtxt(path, dtype=np.float32) for path in sorted(Path(scratch).glob("*.txt"))]


def compare(checkout: Path, folder: str) -> None:
    found = find_images([folder])
    images = [resized(Image.open(found[k])) for k in np.linspace(0, len(found) - 1, 20).astype(int)]
    pairs = [(ours(image), theirs) for image, theirs in zip(images, ask(checkout, images), strict=True)]
    for where, part in (("whole", np.s_[:]), ("16 pixels from the borders", np.s_[16:-16, 16:-16])):
        correlations = [np.corrcoef(a[part].ravel(), b[part].ravel())[0, 1] for a, b in pairs]
        print(f"{where}: mean {np.mean(correlations):.3f}, least {min(correlations):.3f} of {len(pairs)}")


def main(checkout: str, folder: str | None = None) -> None:
    if folder:
        compare(Path(checkout), folder)
        return
    named = pictures()
    maps = ask(Path(checkout), list(named.values()))
    rows = {
        name: [[round(value, 3) for value in row] for row in coarse(each).tolist()]
        for name, each in zip(named, maps, strict=True)
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(each)}" for name, each in rows.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
