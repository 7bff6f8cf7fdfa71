"""What `make predict` runs: maps and overlays of images that Python packages ship, on shipped weights, offline."""

from __future__ import annotations

import sys
from pathlib import Path

import salzoo
from salzoo.images.samples import sample_images


def main(output: str = "predictions") -> None:
    folder = Path(output)
    folder.mkdir(exist_ok=True)
    images = sample_images()
    for name in ("deepgaze2e", "salgan"):
        model = salzoo.load(name)
        maps = model.predict(list(images.values()))
        for (stem, image), saliency_map in zip(images.items(), maps, strict=True):
            saliency_map.save(folder / f"{stem}_{name}.png")
            saliency_map.save(folder / f"{stem}_{name}_overlay.jpg", image=image)
    print(f"{len(list(folder.iterdir()))} files in {folder.resolve()}: look at the *_overlay.jpg.")


if __name__ == "__main__":
    main(*sys.argv[1:])
