"""Write the fingerprints of the images that the shipped checkpoints were trained on, `hub/trained_images.json`.

Run: python benchmarks/trained_images.py --root FOLDER
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import get_args

from salzoo.checkpoint.folder import read_config
from salzoo.data import load_dataset
from salzoo.data.base import Split
from salzoo.images.fingerprint import pack

HUB = Path(__file__).parents[1] / "hub"


def main() -> None:
    """Write the file: one entry for each set and split that a `config.json` names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that holds the datasets")
    root = parser.parse_args().root
    entries = sorted({entry for file in HUB.glob("*/config.json") for entry in read_config(file.parent).trained_on})
    images = {}
    for entry in entries:
        name, split = entry.split(":")
        part: Split = split if split in get_args(Split) else "all"  # type: ignore[assignment]
        images[entry] = pack(load_dataset(name, root, part).fingerprints().tolist())
        print(f"{entry}: {len(images[entry]) * 3 // 32} images")
    (HUB / "trained_images.json").write_text(json.dumps(images, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
