"""The tables of scanpath models on the pages, from what benchmarks/scanpaths.py measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from record import RESULTS

from salzoo._markdown import table
from salzoo.evaluation.scanpaths.scoring import STATIC
from salzoo.evaluation.scanpaths.similarity import CONTROLS
from salzoo.evaluation.scanpaths.table import apart
from salzoo.metrics.scanpaths import DIRECTIONS, SIMILARITIES

FIRST = "osie"
"""The set that order and details are shown of."""
NONE = "–"


def results() -> dict[str, Any]:
    """Return what was measured, by set."""
    read: dict[str, Any] = json.loads((RESULTS / "scanpaths.json").read_text(encoding="utf-8"))
    return read


def ordered(found: dict[str, Any], *, people: bool) -> list[str]:
    """Return rows: models, the best likelihood first, then static densities, and people before these."""
    models = [row for row in found["rows"] if "ll" in found["rows"][row]]
    models.sort(key=lambda row: (row.startswith(STATIC), -found["rows"][row]["ll"]))
    best = [row for row in models if not row.startswith(STATIC)]
    return [*best, *(CONTROLS if people else ()), *models[len(best) :]]


def likelihood_table() -> str:
    """Return the likelihoods of all models on all sets."""
    sets = results()
    header = ["bit over uniform", *sets, *(f"{name}: over static" for name in sets)]
    header += [f"{FIRST}: steps from 1°", f"{FIRST}: NSS", f"{FIRST}: AUC"]
    rows = []
    for row in ordered(sets[FIRST], people=False):
        cells = [_with_interval(found, row, "ll") for found in sets.values()]
        cells += [_number(found, row, "order", "+.2f") for found in sets.values()]
        rows.append(
            [f"`{row}`", *cells, *(_number(sets[FIRST], row, name, ".3f") for name in ("ll_far", "nss", "auc"))]
        )
    return "\n".join([*table(header, rows), "", _about(sets)])


def paths_table() -> str:
    """Return how alike drawn paths and people's are, with the controls."""
    found = results()[FIRST]
    rows = [
        [f"`{row}`", *(_number(found, row, name, f".{column.digits}f") for name, column in SIMILARITIES.items())]
        for row in ordered(found, people=True)
    ]
    lines = table([FIRST, *(column.heading for column in SIMILARITIES.values())], rows)
    return "\n".join([*lines, "", _about({FIRST: found})])


def saccades_table() -> str:
    """Return amplitudes and directions of drawn and of people's saccades."""
    found = results()[FIRST]
    shares = (*DIRECTIONS, "forward", "return", "refixation")
    rows = []
    for row in ordered(found, people=True):
        if row in found["saccades"]:
            seen = found["saccades"][row]
            rows.append([f"`{row}`", *(f"{seen[f'amplitude_q{q}']:.2f}" for q in (25, 50, 75))])
            rows[-1] += [f"{seen[name]:.3f}" for name in shares]
            far = apart(found["saccades"])[row]
            rows[-1] += [f"{far['amplitude']:.0%}", f"{far['direction']:.3f}"]
    degree = f"a degree is taken for {found['pixels_per_degree']} px"
    lines = table([FIRST, "25 %", "median", "75 %", *shares, "quartiles apart", "directions apart"], rows)
    about = f"Quartiles of amplitude in degrees ({degree}), shares, and the largest difference of a quartile and of a "
    return "\n".join([*lines, "", f"{about}direction's share from people's. {_about({FIRST: found})}"])


TABLES: dict[str, Callable[[], str]] = {
    "scanpaths": likelihood_table,
    "scanpath_paths": paths_table,
    "scanpath_saccades": saccades_table,
}


def _about(sets: dict[str, Any]) -> str:
    commits = sorted({commit for found in sets.values() for commit in found["commits"].values()})
    of = ", ".join(
        f"{found['images']} images and {found['fixations']} fixations of {name}" for name, found in sets.items()
    )
    split, seed = sets[FIRST]["split"], sets[FIRST]["seed"]
    return (
        f"{split.capitalize()} split, seed {seed}: {of}; commit {', '.join(f'`{commit[:12]}`' for commit in commits)}."
    )


def _with_interval(found: dict[str, Any], row: str, name: str) -> str:
    if (text := _number(found, row, name, ".2f")) == NONE:
        return NONE
    low, high = found["intervals"][row][name]
    return f"{text} ± {(high - low) / 2:.2f}"


def _number(found: dict[str, Any], row: str, name: str, form: str) -> str:
    value = found["rows"].get(row, {}).get(name)
    return NONE if value is None else f"{value:{form}}"
