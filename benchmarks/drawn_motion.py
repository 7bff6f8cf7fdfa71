"""Clips drawn from pictures with fixations: `python benchmarks/drawn_motion.py --root DATA --data osie -o FOLDER`.

A view of a picture of the training split glides over it and grows or shrinks a little; people look where they looked in
the picture, fixation after fixation, and their places glide along. It is a study as `--data videos` reads it, and
teaches what moves with the picture: no camera of the world, no event and no lag of people behind it.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salzoo.data import FixationDataset, load_dataset

SIZE, FPS, SECONDS, SACCADE_S = (240, 320), 10, 2.4, 0.03


def main() -> None:
    """Write the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder of the dataset of images")
    parser.add_argument("--data", default="osie", help="a dataset that keeps the order of fixations, with durations")
    parser.add_argument("--clips", type=int, default=100, help="number of pictures, evenly spread, default 100")
    parser.add_argument("--seed", type=int, default=0, help="seed of the glides")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the study")
    options = parser.parse_args()
    dataset = load_dataset(options.data, options.root, "train")
    (options.output / "videos").mkdir(parents=True)
    chosen = np.unique(np.linspace(0, len(dataset) - 1, options.clips).astype(int)).tolist()
    with (options.output / "gaze.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "subject", "frame", "x", "y"])
        for index in chosen:
            writer.writerows(write_clip(dataset, index, options.output / "videos", options.seed))
    settings = {"fps": FPS, "units": "pixels", "origin": 0}
    (options.output / "study.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")


def write_clip(dataset: FixationDataset, index: int, folder: Path, seed: int) -> list[list[object]]:
    """Write the frames of one clip, and return its rows of the table."""
    name = Path(dataset.names[index]).stem
    (folder / name).mkdir()
    picture = Image.fromarray(dataset.image(index).permute(1, 2, 0).numpy())
    boxes = views(picture.size, np.random.default_rng((seed, index)))
    for number, box in enumerate(boxes):
        frame = picture.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR, box=tuple(box))
        frame.save(folder / name / f"{number:04d}.jpg", quality=90)
    rows: list[list[object]] = []
    for person, path in enumerate(dataset.scanpaths(index)):
        if path.duration is None:
            raise SystemExit(f"{dataset.name} keeps no durations of fixations.")
        ends = np.cumsum(path.duration / 1000 + SACCADE_S)
        for number, (left, top, right, bottom) in enumerate(boxes):
            fixation = int(np.searchsorted(ends, (number + 0.5) / FPS, side="right"))
            if fixation < len(path):
                x = (path.x[fixation] + 0.5 - left) / (right - left) * SIZE[1] - 0.5
                y = (path.y[fixation] + 0.5 - top) / (bottom - top) * SIZE[0] - 0.5
                rows.append([name, person, number, f"{x:.2f}", f"{y:.2f}"])
    return rows


def views(size: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
    """Return (T, 4) boxes of a view that glides: 70 to 85 % of the picture, from one place to another."""
    width, height = size
    shares, places = random.uniform(0.7, 0.85, 2), random.uniform(0, 1, (2, 2))
    along = np.linspace(0, 1, round(FPS * SECONDS))[:, None]
    share = shares[0] + (shares[1] - shares[0]) * along
    corner = (places[0] + (places[1] - places[0]) * along) * (1 - share) * (width, height)
    return np.concatenate([corner, corner + share * (width, height)], axis=1)


if __name__ == "__main__":
    main()
