"""What a benchmark found: beside its target, with the commit, printed and kept."""

from __future__ import annotations

import json
import operator
import os
from pathlib import Path
from typing import Any

from salzoo import _version
from salzoo._io import write_text

RESULTS = Path(__file__).parent / "results"
COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def commit() -> str:
    """Return the commit that measures; results that are new since do not make it another one."""
    return _version.commit(apart_from=("benchmarks/results",))


def short(commit: str) -> str:
    """Return twelve digits of a commit, and whether there were changes."""
    return commit[:12] + "+changes" * commit.endswith("+changes")


def commits(found: dict[str, Any]) -> str:
    """Return the commits that measured a part: those of its rows, where some were measured by themselves."""
    each = {found["commit"]} if "commits" not in found else set(found["commits"].values())
    return ", ".join(f"`{short(one)}`" for one in sorted(each))


def results(name: str) -> dict[str, Any]:
    """Return what was measured."""
    read: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return read


def record(
    file: str,
    part: str,
    found: dict[str, Any],
    *targets: tuple[str, str, float],
    keep: bool = True,
    at: str | None = None,
) -> None:
    """Print a part of a benchmark, and put it in the place of its last run in `results/<file>.json`.

    Args:
        file: Name of the benchmark.
        part: Part of the benchmark.
        found: What was measured.
        targets: Key of `found`, sign and limit.
        keep: Write the file, not only print.
        at: The commit that was read when the benchmark began; None reads it now.
    """
    met = {f"{key} {sign} {limit}": COMPARE[sign](found[key], limit) for key, sign, limit in targets}
    load = round(os.getloadavg()[0], 1)
    content = {part: {**found, "targets_met": met, "load": load, "commit": at or commit()}}
    print(json.dumps(content, indent=2), flush=True)
    path = RESULTS / f"{file}.json"
    if keep:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write_text(path, json.dumps(before | content, indent=2) + "\n")
