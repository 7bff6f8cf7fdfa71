"""Find the image that each checkpoint predicts best and worst of OSIE (test), and keep its maps of the two.

    python benchmarks/leaderboard.py --root data --processes 4
    python benchmarks/leaderboard.py --root data edn.lite deepgaze2e.lite    # some rows; the others keep theirs

Writes NSS, names and scores into benchmarks/results/leaderboard.json, and each map as a small grey PNG, without the
photograph, into benchmarks/results/leaderboard/. The page of the documentation is made of them.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from record import RESULTS, commit
from table import loadable

from salzoo._io import write_text
from salzoo.components.load import load
from salzoo.data import FixationDataset, load_dataset
from salzoo.evaluation.scoring import predictor
from salzoo.metrics import METRICS
from salzoo.reports.leaderboard import thumbnail

SIDE = 100
"""Longest side of a map, in pixels."""
FILE, MAPS = RESULTS / "leaderboard.json", RESULTS / "leaderboard"
SET = "osie"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="checkpoints; default all")
    parser.add_argument("--root", required=True, help="folder that holds osie")
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    dataset, at = load_dataset(SET, arguments.root, "test"), commit()
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(ends, row, dataset): row for row in arguments.rows or loadable()}
        for done in as_completed(waiting):
            found, maps = done.result()
            keep(waiting[done], found | {"commit": at}, maps)


def keep(row: str, found: dict[str, Any], maps: dict[str, bytes]) -> None:
    """Write a checkpoint's best and worst image over those that it had."""
    print(row, found, flush=True)
    MAPS.mkdir(exist_ok=True)
    for end, png in maps.items():
        (MAPS / f"{row}.{end}.png").write_bytes(png)
    rows = {**kept(), row: found}
    known = {name: rows[name] for name in loadable() if name in rows}
    content = {"dataset": SET, "split": "test", "convention": "mit", "rows": known}
    write_text(FILE, json.dumps(content, indent=2) + "\n")


def kept() -> dict[str, Any]:
    rows: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["rows"] if FILE.is_file() else {}
    return rows


def ends(row: str, dataset: FixationDataset) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a checkpoint's mean NSS, its best and its worst image, and its maps of these."""
    predict, scores, maps = predictor(load(row)), [], []
    for index in range(len(dataset)):
        item = dataset[index]
        density = predict(index, item)
        scores.append(float(METRICS["nss"].score(density[None], item["fixations"][None], convention="mit")))
        maps.append(thumbnail(density, SIDE))
    order = sorted(range(len(dataset)), key=scores.__getitem__)
    chosen = {"best": order[-1], "worst": order[0]}
    found = {end: {"image": dataset.names[i], "score": round(scores[i], 5)} for end, i in chosen.items()}
    return {"nss": round(sum(scores) / len(scores), 5), **found}, {end: maps[i] for end, i in chosen.items()}


def extremes() -> dict[str, Any]:
    """Return what was kept, by row, as `salzoo.reports.leaderboard` takes it."""
    return {
        row: {end: found[end] | {"png": encoded(f"{row}.{end}.png")} for end in ("best", "worst")}
        for row, found in kept().items()
    }


def encoded(name: str) -> str:
    return base64.b64encode((MAPS / name).read_bytes()).decode()


if __name__ == "__main__":
    main()
