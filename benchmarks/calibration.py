"""Whether the densities of models mean what they say, on the test splits, and with a temperature fitted on val.

    python benchmarks/calibration.py --root folder/that/holds/osie/eyecrowd/scene500 [MODEL ...]
    python benchmarks/calibration.py --draw [MODEL ...]       # measures nothing
    python benchmarks/calibration.py --together --root ... MODEL    # one temperature of all sets, for a recipe

Writes each model's row into benchmarks/results/calibration.json as it is done, its curves as `reliability.svg` beside
the weights, and its numbers into their config and card; `--draw` makes the last three of the rows that are there.
`python benchmarks/pages.py` writes the rows into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pages
from record import RESULTS

from salzoo._io import write_text
from salzoo._version import commit
from salzoo.checkpoint import card
from salzoo.checkpoint.config import RELIABILITY, Calibration
from salzoo.checkpoint.folder import read_config
from salzoo.components.load import load
from salzoo.data import load_dataset
from salzoo.evaluation.calibration import LEVELS, Reliability, fit_temperature, reliability
from salzoo.evaluation.scoring import predictor
from salzoo.registry import resolve, shipped

MODELS = ("deepgaze2e", "deepgaze2", "unisal", "transalnet", "deepgaze1", "salgan", "icf", "centre_bias")
FILE = RESULTS / "calibration.json"
SIDE, LEFT, TOP, LEGEND = 280, 60, 16, 200  # of the curves, in pixels; and the width of what is right of them
STROKES = (("#0072b2", "none"), ("#d55e00", "8 3"), ("#009e73", "2 3"))
"""Colour and dashes of a set's line; colours that all can tell apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default {', '.join(MODELS)}; or all with a row")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--root", help="measure on the sets in this folder")
    how.add_argument("--draw", action="store_true", help="write again what was measured")
    parser.add_argument("--together", action="store_true", help="print the temperature of val of all sets, no more")
    arguments, at = parser.parse_args(), commit()
    if arguments.together and not arguments.root:
        parser.error("--together measures: it needs --root.")
    for name in arguments.models or (rows() if arguments.draw else MODELS):
        if arguments.together:
            print(name, f"{together(name, arguments.root):.3f}", flush=True)
            continue
        if not arguments.draw:
            found = {"commit": at, "sets": {each: measure(name, each, arguments.root) for each in pages.SETS}}
            write_text(FILE, json.dumps(rows() | {name: found}, indent=1) + "\n")
            print(name, json.dumps(found), flush=True)
        if name not in (known := rows()):
            parser.error(f"{name} has no row, only {', '.join(known)}: measure it with --root.")
        show(name, known[name])


def rows() -> dict[str, Any]:
    """Return what was measured, by model."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    return found


def measure(name: str, dataset: str, root: str) -> dict[str, Any]:
    """Return what a model expects and what was measured on a set; and the same with a temperature."""
    model, test = load(name), load_dataset(dataset, root, "test")
    found = reliability(predictor(model), test)
    model.temperature *= fit_temperature(predictor(model), load_dataset(dataset, root, "val"))
    tempered = reliability(predictor(model), test)
    return {
        **numbers(found),
        "looked_at": dict(zip(map(str, LEVELS), found.looked_at, strict=True)),
        "tempered": {"temperature": model.temperature, **numbers(tempered)},
    }


def together(name: str, root: str) -> float:
    """Return the temperature of a model that suits the images of all sets best."""
    model = load(name)
    splits = [load_dataset(each, root, "val") for each in pages.SETS]
    return model.temperature * fit_temperature(predictor(model), *splits)


def numbers(found: Reliability) -> dict[str, float]:
    """Return the error, and means over images."""
    expected, measured = float(np.mean(found.expected_bits)), float(np.mean(found.measured_bits))
    return {"error": found.error, "expected_bits": expected, "measured_bits": measured}


def show(name: str, row: Mapping[str, Any]) -> None:
    """Draw a row beside the weights that it is of, and write its numbers into their config and card."""
    if not (folder := folder_of(name)).is_dir():
        return  # a formula, which has no card of its own numbers
    write_text(folder / RELIABILITY, picture(folder.name, row["sets"]))
    card.record(
        folder,
        [
            replace(measured, calibration=calibration(row, measured.dataset))
            for measured in read_config(folder).measured
            if measured.split == "test" and measured.dataset in row["sets"]
        ],
    )
    print((folder / RELIABILITY).relative_to(folder.parents[1]))


def folder_of(name: str) -> Path:
    """Return where the weights of a model are, if it has any."""
    spec, tag = resolve(name)
    return shipped("hub") / f"{spec.name}.{tag}"


def calibration(row: Mapping[str, Any], dataset: str) -> Calibration:
    """Return what a config keeps of a row."""
    found = row["sets"][dataset]
    return Calibration(*(round(found[key], 5) for key in ("error", "expected_bits", "measured_bits")), row["commit"])


def picture(title: str, sets: Mapping[str, Any]) -> str:
    """Return a row's curves as SVG: share of the fixations against share of the density, one line a set."""
    width, height = LEFT + SIDE + LEGEND, TOP + SIDE + 48
    marks = [f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for percent in range(0, 101, 20):
        x, y = place(percent / 100, percent / 100)
        marks += [f'<path d="M{LEFT} {y:g}h{SIDE}M{x:g} {TOP}v{SIDE}" stroke="#ddd"/>']
        marks += [text(LEFT - 8, y + 4, f"{percent} %", "end"), text(x, TOP + SIDE + 18, f"{percent} %", "middle")]
    marks.append(text(LEFT + SIDE / 2, height - 8, "share of the density, the densest first", "middle"))
    turned = f' transform="rotate(-90 14 {TOP + SIDE / 2:g})"'
    marks.append(text(14, TOP + SIDE / 2, "share of the fixations within", "middle", turned))
    marks += line([(0, 0), (1, 1)], "#777", "none", 0, "as the density says")
    for number, (name, found) in enumerate(sets.items()):
        inside = [(float(level), share) for level, share in found["looked_at"].items()]
        told = f"{name}, error {found['error']:.3f}"
        marks += line([(0, 0), *inside, (1, 1)], *STROKES[number], number + 1, told)
    label = f"{escape(title)}: share of the fixations within the densest regions"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'role="img" font-family="sans-serif" font-size="12" fill="none"'
    return "\n".join([f"{head} {font}>", f"<title>{label}</title>", *marks, "</svg>\n"])


def line(points: list[tuple[float, float]], colour: str, dashes: str, number: int, told: str) -> list[str]:
    """Return a line through shares, and its entry in the legend."""
    left, top = LEFT + SIDE + 12, TOP + 10 + 20 * number
    drawn = "L".join("{:g} {:g}".format(*place(*point)) for point in points)
    stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
    return [
        f'<path d="M{drawn}M{left} {top}h24" {stroke}/>',
        text(left + 30, top + 4, told, "start"),
    ]


def place(density: float, fixations: float) -> tuple[float, float]:
    """Return where a pair of shares is drawn, in pixels."""
    return round(LEFT + SIDE * density, 1), round(TOP + SIDE * (1 - fixations), 1)


def text(x: float, y: float, said: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#222"{more}>{escape(said)}</text>'


if __name__ == "__main__":
    main()
