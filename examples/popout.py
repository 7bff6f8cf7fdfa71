"""Do models see what people see at once? A singleton among 48 distractors, for all models of the zoo.

    python examples/popout.py [MODEL ...] [--displays 20] [-o docs/assets/popout.png] [--json FILE]

Draws displays in which one bar differs in colour, orientation or size, and counts in how many of them a model's maximum
lies on it, that is, nearer than half the distance between bars. People find all three at once, whatever the number of
distractors (Treisman and Gelade, 1980). Prints a table, writes a figure of one display of each kind, and with
--json the shares, beside those of other models that are in the file.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import salzoo
from salzoo._version import commit
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.samples import PopOut, pop_out
from salzoo.registry import read_spec

KINDS: tuple[PopOut, ...] = get_args(PopOut)
COLUMNS = ROWS = 7  # 49 bars
SHOWN = ("itti", "gbvs", "signature", "bms", "deepgaze2")
WIDTH, HEIGHT, LABEL = 200, 150, 20
FIGURE = Path(__file__).parents[1] / "docs" / "assets" / "popout.png"


def main(words: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="default: all that load without training")
    parser.add_argument("--displays", type=int, default=20, help="of each kind")
    parser.add_argument("-o", "--output", type=Path, default=FIGURE)
    parser.add_argument("--json", type=Path, help="write the shares here, too")
    arguments = parser.parse_args(words)
    names, at = arguments.models or loadable(), commit()  # before the figure is a change itself
    models = {name: salzoo.load(name) for name in names}
    print(f"maximum on the singleton, of {arguments.displays} displays\n\n| model | {' | '.join(KINDS)} |")
    print(f"|---|{'---|' * len(KINDS)}")
    shares = {}
    for name, model in models.items():
        shares[name] = {kind: share_found(model, kind, arguments.displays) for kind in KINDS}
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares[name].values())} |", flush=True)
    figure({name: model for name, model in models.items() if name in SHOWN or arguments.models}, arguments.output)
    if arguments.json:
        keep(arguments.json, shares, {"displays": arguments.displays, "commit": at})
    return shares


def keep(path: Path, shares: dict[str, dict[str, float]], how: dict[str, object]) -> None:
    """Write shares, each with how it was found, over those of the same models."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found |= {name: {"shares": each, **how} for name, each in shares.items()}
    path.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")


def loadable() -> list[str]:
    """Every model, in the variant that `load` takes by default or else in its first with weights."""
    specs = [read_spec(name) for name in salzoo.list_models(trained=True)]
    return [s.name if s.default in s.loadable else f"{s.name}.{s.loadable[0]}" for s in specs]


def share_found(model: SaliencyModel, kind: PopOut, displays: int) -> float:
    """Return the share of displays in which the maximum is on the singleton."""
    found = 0
    for seed in range(displays):
        image, (x, y) = pop_out(kind, seed, columns=COLUMNS, rows=ROWS)
        density = model.predict(image).density
        top, left = np.unravel_index(density.argmax(), density.shape)
        unique = (density == density.max()).sum() < density.size / 100  # a flat map points nowhere
        found += bool(unique) and math.dist((top, left), (y, x)) < min(image.width / COLUMNS, image.height / ROWS) / 2
    return found / displays


def figure(models: dict[str, SaliencyModel], path: Path) -> None:
    """Draw one display of each kind beside each model's map."""
    sheet = Image.new("RGB", (WIDTH * (1 + len(models)), LABEL + HEIGHT * len(KINDS)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(("display", *models)):
        draw.text((column * WIDTH + 4, 2), title, fill="black", font=font)
    for row, kind in enumerate(KINDS):
        image, _ = pop_out(kind, 1, columns=COLUMNS, rows=ROWS)
        for column, shown in enumerate((image, *(model.predict(image).overlay(image) for model in models.values()))):
            small = shown.resize((WIDTH - 4, HEIGHT - 4), Image.Resampling.LANCZOS)
            sheet.paste(small, (column * WIDTH, LABEL + row * HEIGHT))
    sheet.quantize(64).save(path, optimize=True)
    print(f"\n{path}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
