"""Write the tables of README.md from what was measured.

    python benchmarks/readme.py

Each stands between `<!-- table NAME: COMMAND -->` and `<!-- end of table -->`. COMMAND measures its numbers, kept in
results; those that others published are in zoo_configs. Nothing of these tables is written by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from salzoo.evaluation.baselines import ROWS as BASELINES
from salzoo.evaluation.table import Table
from salzoo.registry import read_spec

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
SETS = ("osie", "eyecrowd", "scene500")
LEADERBOARD = {"auc_judd": "AUC", "sauc": "sAUC", "nss": "NSS", "cc": "CC", "kld": "KL", "sim": "SIM"}
"""Metrics of MIT300's leaderboards, and their names there."""


def write() -> None:
    """Fill every table of the README."""
    readme = REPOSITORY / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        marked = re.compile(rf"(<!-- table {name}: [^\n]* -->\n).*?(\n<!-- end of table -->)", re.DOTALL)
        text, found = marked.subn(lambda match, table=table: match[1] + table() + match[2], text)
        if found != 1:
            raise ValueError(f"README.md has {found} tables {name!r}, not 1.")
    readme.write_text(text, encoding="utf-8")


def results(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return read


def test_table() -> str:
    """Return the numbers of all rows on the three sets, and what was published for MIT300."""
    measured = [results(name) for name in SETS]
    said = (
        "Measured by `make table`, row by row: the commit of each is in `benchmarks/results/<set>.json`. The only "
        "random row is `permutation`, with seed 0."
    )
    return "\n\n".join([*(ranked(result).to_markdown() for result in measured), said, mit300_table(measured[0])])


def ranked(result: dict[str, Any]) -> Table:
    """Return a result as a table, the best NSS first and the baselines last; its means stand for one image each."""
    rows = result["rows"]
    order = [*by_nss(result), *(row for row in BASELINES if row in rows)]
    scores = {row: {metric: [value] for metric, value in rows[row].items()} for row in order}
    images = tuple(map(str, range(result["images"])))
    return Table(result["dataset"], result["split"], images, result["convention"], result["baseline"], scores)


def by_nss(result: dict[str, Any]) -> list[str]:
    """Return the rows that are models, the best NSS first."""
    return sorted((row for row in result["rows"] if row not in BASELINES), key=lambda row: -result["rows"][row]["nss"])


def mit300_table(result: dict[str, Any]) -> str:
    """Return what was published for MIT300, beside our NSS on OSIE: other images and other weights."""
    lines = [
        "What was published for MIT300, in the order of our NSS on OSIE: other images, for the deep ones other "
        "weights and for `itti` another implementation, so that only the order can be compared.",
        "",
        f"| model | OSIE NSS | {' | '.join(f'MIT300 {title}' for title in LEADERBOARD.values())} | board, source |",
        f"|---|---|{'---|' * len(LEADERBOARD)}---|",
    ]
    for row in by_nss(result):
        name, _, tag = row.partition(".")
        if tag != read_spec(name).default:
            continue
        reported = [r for r in read_spec(name).reported if r.dataset.startswith("MIT300")]
        for board in dict.fromkeys(r.dataset for r in reported):
            values = {"auc_judd" if r.metric == "auc" else r.metric: r for r in reported if r.dataset == board}
            cells = [f"{values[metric].value:.2f}" if metric in values else "–" for metric in LEADERBOARD]
            where = f"{board.removeprefix('MIT300 (').removesuffix(')')}, {next(iter(values.values())).where}"
            lines.append(f"| {name} | {result['rows'][row]['nss']:.2f} | {' | '.join(cells)} | {where} |")
    return "\n".join(lines)


def popout_table() -> str:
    """Return the share of displays in which each model's maximum is on the singleton."""
    shares = results("popout")["shares"]
    kinds = list(next(iter(shares.values())))
    lines = [f"| | {' | '.join(kinds)} |", f"|---|{'---|' * len(kinds)}"]
    lines += [f"| `{name}` | {' | '.join(f'{share[kind]:.0%}' for kind in kinds)} |" for name, share in shares.items()]
    return "\n".join([*lines, "", f"Commit `{short(results('popout')['commit'])}`."])


def classic_table() -> str:
    """Return the training-free systems' times and agreement beside public implementations."""
    result = results("classic")
    lines = ["| | ms | public implementation | its ms | correlation of maps: mean, least |", "|---|---|---|---|---|"]
    for title, peer in result["peers"].items():
        values, ours = peer["correlations"], peer["ours"]
        agreement = f"{peer['mean']:.3f}, {min(values):.3f} of {len(values)}"
        times = f"{result['ours'][ours]['cpu_ms']} | {title} | {peer['cpu_ms']} ({peer['note']})"
        lines.append(f"| `{ours}` | {times} | {agreement} |")
    return "\n".join([*lines, "", f"Commit `{short(result['commit'])}`."])


def costs_table() -> str:
    """Return how long each checkpoint takes for an image, and the peak memory of its training."""
    latency, memory = results("latency")["600x800"], results("training")["memory"]
    lines = ["| | an image | training: images a step | peak memory |", "|---|---|---|---|"]
    for row, milliseconds in latency["milliseconds"].items():
        trained = memory.get(row)
        cells = "– | –" if trained is None else f"{trained['batch_size']} | {trained['megabytes'] / 1000:.1f} GB"
        lines.append(f"| `{row}` | {milliseconds:.0f} ms | {cells} |")
    commits = f"`{short(latency['commit'])}` (time), `{short(memory['commit'])}` (memory)"
    return "\n".join([*lines, "", f"{latency['threads']} threads, commits {commits}."])


def seeds_table() -> str:
    """Return what recipes give with another seed, beside the shipped checkpoints."""
    shipped = results("osie")["rows"]
    metrics = ("nss", "auc_judd", "cc", "kld", "ig")
    lines = [f"| OSIE test, seed 0, 1 | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for path in sorted(RESULTS.glob("seed1_*_osie.json")):
        ((row, again),) = results(path.stem)["rows"].items()
        lines.append(f"| {row} | {' | '.join(f'{shipped[row][m]:.3f}, {again[m]:.3f}' for m in metrics)} |")
    return "\n".join(lines)


TABLES = {
    "test": test_table,
    "seeds": seeds_table,
    "popout": popout_table,
    "classic": classic_table,
    "costs": costs_table,
}


def short(commit: str) -> str:
    """Return twelve digits of a commit, and whether there were changes."""
    return commit[:12] + "+changes" * commit.endswith("+changes")


if __name__ == "__main__":
    write()
