"""Compares `aim` and `sun` with the authors' programs: `python tests/models/independent_programs.py CHECKOUT FOLDER`.

CHECKOUT is one of github.com/TsotsosLab/SMILER, which keeps both; their MATLAB code runs in Octave with the package
image. Their bases are put into our networks, and 20 images of FOLDER, evenly spread, are compared. Nothing is kept.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.io import loadmat

from salzoo.images.read import find_images
from salzoo.models.aim import AIMNetwork
from salzoo.models.sun import SUNNetwork

BLUR = 8  # pixels, the deviation of AIM's last Gaussian
PROGRAMS = {
    "aim": "AIM(double(imread(names{k})), 1, 1, '21jade950.mat')",
    "sun": "saliencyimage(double(imread(names{k})), 1)",
}
FRAME = """
pkg load image
names = glob('*.png');
for k = 1:numel(names)
    dlmwrite([names{k} '.txt'], %s, ' ');
end
"""


def ask(folder: Path, program: str, images: list[Image.Image]) -> list[NDArray[np.float64]]:
    """Return a program's maps."""
    with tempfile.TemporaryDirectory() as scratch:
        for k, image in enumerate(images):
            image.save(Path(scratch, f"{k:03d}.png"))
        words = ["octave-cli", "--quiet", "--path", str(folder.resolve()), "--eval", FRAME % program]
        subprocess.run(words, check=True, cwd=scratch, stderr=subprocess.DEVNULL)
        return [np.loadtxt(path) for path in sorted(Path(scratch).glob("*.txt"))]


def filters(matrix: NDArray[np.float64], side: int) -> torch.Tensor:
    """(C, 3 * side * side) rows that MATLAB unrolled column by column to (C, 3, side, side)."""
    return torch.from_numpy(matrix.copy()).view(-1, 3, side, side).transpose(-2, -1)


def aim(folder: Path, longer: int) -> AIMNetwork:
    network = AIMNetwork(side=21, components=25, blur=BLUR / longer)
    network.basis.copy_(filters(loadmat(folder / "21jade950.mat")["B"], 21))
    return network


def sun(folder: Path, _: int) -> SUNNetwork:
    network, stats = SUNNetwork(side=11, blur=0), loadmat(folder / "stats.mat")
    network.basis.copy_(filters(stats["B1"], 11))
    network.scale.copy_(torch.from_numpy(stats["sigmas"].ravel()))
    network.shape.copy_(torch.from_numpy(stats["thetas"].ravel()))
    return network


def compare(name: str, folder: Path, files: list[Path], longer: int, margins: tuple[int, ...]) -> None:
    """Print the correlations of maps, each without a margin in pixels."""
    network = {"aim": aim, "sun": sun}[name](folder, longer)
    images = [Image.open(file).convert("RGB") for file in files]
    small = [image.resize([round(s * longer / max(image.size)) for s in image.size]) for image in images]
    maps = []
    for image, theirs in zip(small, ask(folder, PROGRAMS[name], small), strict=True):
        pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
        rim = (image.height - len(theirs)) // 2  # where the program has no patch
        ours = network(pixels)[0, 0].numpy()
        maps.append((ours[rim : rim + theirs.shape[0], rim : rim + theirs.shape[1]], theirs))
    for margin in margins:
        part = np.s_[margin : -margin or None, margin : -margin or None]
        found = [np.corrcoef(a[part].ravel(), b[part].ravel())[0, 1] for a, b in maps]
        told = f"mean {np.mean(found):.3f}, least {min(found):.3f} of {len(found)}"
        print(f"{name}, {margin} pixels from the borders: {told}")


def main(checkout: str, images: str) -> None:
    found = find_images([images])
    files = [Path(found[k]) for k in np.linspace(0, len(found) - 1, min(20, len(found))).astype(int)]
    models = Path(checkout, "models", "matlab")
    compare("aim", models / "AIM", files, 200, (25, 0))  # the program takes 20 s an image at 320
    compare("sun", models / "SUN", files, 200, (0,))


if __name__ == "__main__":
    main(*sys.argv[1:])
