"""Compare an imported network with a map that its authors show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from salzoo.components.load import load
from salzoo.data.map_folder import read_map
from salzoo.images.read import to_tensor
from salzoo.metrics import functional


@dataclass(frozen=True)
class Comparison:
    """A prediction beside the authors' map of the same image.

    Args:
        cc: Correlation of our density with their map.
        rank: Correlation of the ranks of all pixels, which no later sharpening or rounding to 8 bits of theirs changes.
        kl: Divergence of our density from theirs, in nats.
    """

    cc: float
    rank: float
    kl: float

    def __str__(self) -> str:
        """Return the numbers and what they mean, in one line."""
        verdict = "the same map, up to its rounding" if max(self.cc, self.rank) > 0.98 else "NOT the same map"
        return f"CC {self.cc:.4f}, rank correlation {self.rank:.4f}, KL {self.kl:.4f}: {verdict}"


def compare(folder: str | Path, image: str | Path, authors_map: str | Path) -> Comparison:
    """Predict an image with a checkpoint and compare with the map that the authors' repository has of it.

    Args:
        folder: The checkpoint, or its name.
        image: The image.
        authors_map: Their map of it, of any size: a grey image, or the numbers as `.npy` or `.mat`.

    Raises:
        ImageError: If image or map cannot be read.
    """
    pixels, theirs = read_pair(image, authors_map)
    ours = load(folder).predict(pixels).density
    density = torch.from_numpy(ours)[None].double()
    truth = theirs / theirs.sum()
    return Comparison(
        float(functional.cc(density, density=truth)),
        float(functional.cc(_ranks(density), density=_ranks(truth))),
        float(functional.kl_div(density, density=truth)),
    )


def read_pair(image: str | Path, authors_map: str | Path) -> tuple[Tensor, Tensor]:
    """Return an image (3, H, W) and the map (1, H, W) float64 of it: also, whether they can be read at all.

    Raises:
        ImageError: If they cannot.
    """
    pixels = to_tensor(image)
    return pixels, read_map(Path(authors_map), (pixels.shape[-2], pixels.shape[-1]))[None].double()


def _ranks(maps: Tensor) -> Tensor:
    """Return the place of each pixel among all of its map; equal ones share theirs."""
    _, inverse, counts = torch.unique(maps, return_inverse=True, return_counts=True)
    places: Tensor = counts.cumsum(0).double() - (counts - 1) / 2
    return places[inverse]
