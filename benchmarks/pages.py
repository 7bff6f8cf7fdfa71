"""Write the tables of README.md and of docs/ from what was measured, and the papers that CITATION.cff names.

    python benchmarks/pages.py

Each stands between `<!-- table NAME: COMMAND -->` and `<!-- end of table -->`, in any page. COMMAND measures its
numbers, kept in results; those that others published are in zoo_configs. Nothing of these tables is written by hand.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cost_pages
import people_pages
import scanpath_pages
import yaml
from record import RESULTS, commits, results, short

from salzoo._io import write_text
from salzoo._markdown import table
from salzoo.evaluation.baselines import ROWS as BASELINES
from salzoo.evaluation.table import Table
from salzoo.registry import ModelSpec, read_spec, spec_names
from salzoo.reports.citation import bibtex, entry_kind, people

REPOSITORY = Path(__file__).parents[1]
CITATION = REPOSITORY / "CITATION.cff"
SETS = ("osie", "eyecrowd", "scene500")
LEADERBOARD = {"auc_judd": "AUC", "sauc": "sAUC", "nss": "NSS", "cc": "CC", "kld": "KL", "sim": "SIM"}
"""Metrics of MIT300's leaderboards, and their names there."""
MARKED = re.compile(r"(<!-- table (\w+): ([^\n]*) -->\n)(?:(?!<!--).*\n)*(<!-- end of table -->)")
NONE = "–"


def write() -> None:
    """Fill every table."""
    for page, text in filled().items():
        write_text(page, text)


def filled() -> dict[Path, str]:
    """Return the pages with their tables."""
    made: dict[str, str] = {}
    texts = {}
    for page in pages():
        told = page.name != "README.md"  # which is short
        texts[page] = MARKED.sub(lambda match, told=told: block(match, made, told), page.read_text(encoding="utf-8"))
    if missing := sorted(TABLES.keys() - made.keys()):
        raise ValueError(f"no page shows the table {missing[0]!r}.")
    return texts | {CITATION: references(CITATION.read_text(encoding="utf-8"))}


def references(text: str) -> str:
    """Return CITATION.cff with the papers of all models at its end."""
    kinds = {"inproceedings": "conference-paper", "article": "article", "misc": "generic"}
    found = []
    for spec in cited():
        paper = spec.paper
        (kind, _), authors = entry_kind(paper), people(paper)
        entry = {"type": kinds[kind], "title": paper.title, "year": paper.year}
        entry["authors"] = [{"given-names": given, "family-names": family} for given, family in authors]
        entry |= {"conference": {"name": paper.venue}} if kind == "inproceedings" else {"journal": paper.venue}
        found.append(entry | ({"url": paper.url} if paper.url else {}) | {"notes": f"The model {spec.name}."})
    start, mark, _ = text.partition("references:")
    if not mark:
        raise ValueError("CITATION.cff has no references: to replace.")
    return start + yaml.safe_dump({"references": found}, sort_keys=False, allow_unicode=True, width=120)


def cited() -> list[ModelSpec]:
    """Return the models that have a paper."""
    return [spec for spec in map(read_spec, spec_names()) if spec.paper is not None]


def bibtex_block() -> str:
    """Return the BibTeX entries of salzoo and of the papers of all models."""
    about = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    fields = {"title": f"{{{about['title']}}}", "author": f"{{{about['authors'][0]['name']}}}"}
    fields |= {"version": about["version"], "note": f"Licence {about['license']}"}
    own = ["@software{salzoo,", *(f"  {key} = {{{value}}}," for key, value in fields.items()), "}"]
    return "\n".join(["```bibtex", *own, *(f"\n{bibtex(spec.name)}" for spec in cited()), "```"])


def pages() -> Iterator[Path]:
    """Return the pages that are written by hand, and may hold tables."""
    yield REPOSITORY / "README.md"
    yield from sorted((REPOSITORY / "docs").rglob("*.md"))


def block(match: re.Match[str], made: dict[str, str], told: bool) -> str:
    """Return a marked block with its table, each of which is made once, and the commands if they are to be told."""
    start, name, command, end = match.groups()
    if name not in TABLES:
        raise ValueError(f"no table {name!r}; the tables are {', '.join(TABLES)}.")
    if name not in made:
        made[name] = TABLES[name]()
    commands = " and ".join(f"`{one}`" for one in command.split("; "))
    return f"{start}{made[name]}\n" + (f"\nMade by {commands}.\n" if told else "") + end


def set_table(name: str) -> str:
    """Return the numbers of all rows on a set."""
    result = results(name)
    kept = result.get("explained", {})
    return "\n".join(with_interval(line, kept) for line in ranked(result).to_markdown().splitlines())


def with_interval(line: str, kept: dict[str, Any]) -> str:
    """Return a line of a table, with the interval of what its row explains where that was measured."""
    *cells, _ = line.split(" | ")
    row = line.removeprefix("| ").partition(" | ")[0]
    if not cells or row not in kept:
        return line
    found = kept[row]
    return " | ".join([*cells, f"{found['share']:.1%} ± {(found['high'] - found['low']) / 2:.1%} |"])


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


def mit300_table() -> str:
    """Return what was published for MIT300, beside our NSS on OSIE: other images and other weights."""
    result = results("osie")
    lines = [
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
    found = results("popout")
    kinds = list(next(iter(found.values()))["shares"])
    rows = [[f"`{name}`", *(f"{one['shares'][kind]:.0%}" for kind in kinds)] for name, one in found.items()]
    commits = ", ".join(sorted({f"`{short(one['commit'])}`" for one in found.values()}))
    return "\n".join([*table(["", *kinds], rows), "", f"Commit {commits}."])


def designs_table() -> str:
    """Return how often each model looks at the elements of drawn web pages for their size, and where else it does."""
    found = results("designs")
    rows = []
    for name, one in sorted(found.items()):
        lifts = [f"{lift:.1f}" for lift in one["lift"].values()]
        rows.append([f"`{name}`", *lifts, *(f"{one[axis][side]:.0%}" for axis, side in SIDES)])
    elements = next(iter(found.values()))["lift"]
    header = ["", *elements, *(f"{side} {axis[:-1]}" for axis, side in SIDES)]
    chance = ["chance", *["1.0"] * len(elements), "33%", "33%", "50%"]
    layouts = " or ".join(sorted({str(one["layouts"]) for one in found.values()}))
    commits = ", ".join(sorted({f"`{short(one['commit'])}`" for one in found.values()}))
    return "\n".join([*table(header, [*rows, chance]), "", f"{layouts} layouts, commit {commits}."])


SIDES = (("columns", "left"), ("columns", "middle"), ("rows", "upper"))
"""Columns and rows of the drawn web pages that tell a bias."""


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


def models_table() -> str:
    """Return name, year, score, time and size of each model, the best NSS first, by what its weights are."""
    groups: dict[str, list[str]] = {title: [] for title in GROUPS}
    for spec in ranked_specs():
        groups[group(spec)].append(spec.name)
    rows = []
    for title, names in groups.items():
        rows.append([f"**{title}**", *[""] * 5])
        rows += [[linked(name), *overview(read_spec(name))] for name in names]
    header = ["", "year", "NSS", "CC", "ms", "MB"]
    return "\n".join([*table(header, rows), "", measured_where()])


GROUPS = (
    "trained here, weights in the repository",
    "formulas, no training",
    "the authors' weights, by import",
    "where people look next, over the density of another model",
    "architecture and recipe, no weights yet",
)
"""Of models, by where what they have learned comes from."""


def group(spec: ModelSpec) -> str:
    """Return which of `GROUPS` a model is in."""
    if spec.kind == "scanpath":
        return GROUPS[3]
    if spec.training == "none":
        return GROUPS[1]
    if spec.loadable:
        return GROUPS[0]
    return GROUPS[2] if spec.authors else GROUPS[4]


def ranked_specs(*more: ModelSpec) -> list[ModelSpec]:
    """Return all models, and `more`, the best NSS on OSIE first."""
    rows = results("osie")["rows"]
    return sorted([*map(read_spec, spec_names()), *more], key=lambda spec: -scored(rows, spec).get("nss", -1))


def scored(rows: dict[str, Any], spec: ModelSpec) -> dict[str, Any]:
    """Return what is known of a model's default variant; `uniform` is a baseline in results."""
    found: dict[str, Any] = rows.get(f"{spec.name}.{spec.default}") or rows.get(spec.name) or {}
    return found


def linked(name: str) -> str:
    """Return a model's name as a link to its card, seen from the README."""
    spec = read_spec(name)
    cards = (f"hub/{name}.{spec.default}/README.md", f"hub/cards/{name}.md")
    return f"[`{name}`]({next(card for card in cards if (REPOSITORY / card).exists())})"


def overview(spec: ModelSpec) -> list[str]:
    """Return year, NSS, CC, milliseconds and megabytes of a model."""
    scores = scored(results("osie")["rows"], spec)
    year = str(spec.paper.year) if spec.paper else NONE
    found = [f"{scores[name]:.2f}" if name in scores else NONE for name in ("nss", "cc")]
    return [year, *found, milliseconds(spec), megabytes(spec)]


def milliseconds(spec: ModelSpec) -> str:
    """Return the time of an image."""
    times = results("latency")["600x800"]["milliseconds"]
    row = f"{spec.name}.{spec.default}"
    return f"{times[row]:.0f}" if row in times else NONE


def megabytes(spec: ModelSpec) -> str:
    """Return the size of the shipped weights."""
    path = REPOSITORY / "hub" / f"{spec.name}.{spec.default}" / "model.safetensors"
    if not path.exists():
        return NONE
    size = path.stat().st_size / 1e6
    return f"{size:.1f}" if size >= 1 else f"{size:.2f}"


def measured_where() -> str:
    """Say on what the times and scores of `models_table` and `which_table` were measured."""
    latency = results("latency")["600x800"]
    return (
        f"NSS and CC: {results('osie')['images']} test images of OSIE. ms: an image of 600 x 800 on "
        f"{latency['threads']} CPU threads (commit {commits(latency)})."
    )


def history_table() -> str:
    """Return the systems of the zoo by year: idea, what it added, NSS and time."""
    rows = []
    for spec in sorted(cited(), key=lambda spec: spec.paper.year):
        year, nss, _, ms, _ = overview(spec)
        rows.append([year, f"`{spec.name}`", spec.summary, spec.paper.added or NONE, nss, ms])
    header = ["year", "", "idea", "what it added", "NSS", "ms"]
    return "\n".join([*table(header, rows), "", measured_where()])


def which_table() -> str:
    """Return what there is to know when choosing a model: quality, time, memory, sizes, licence, training data."""
    osie, memory = results("osie"), results("latency").get("memory", {}).get("rows", {})
    rows = []
    small = replace(read_spec("deepgaze2e"), default="small")  # recommended, and no model's default
    for spec in ranked_specs(small):
        if spec.kind == "scanpath":
            continue
        row = f"{spec.name}.{spec.default}"
        low, high = osie["intervals"].get(row, {}).get("nss", (None, None))
        nss = f"{osie['rows'][row]['nss']:.2f} [{low:.2f}, {high:.2f}]" if low is not None else overview(spec)[1]
        used = memory.get(row, {})
        sizes = [
            f"{used[key]:{form}}" if key in used else NONE for key, form in (("megabytes", ".0f"), ("million", ".2f"))
        ]
        name = row if spec is small else spec.name
        rows.append([f"`{name}`", nss, milliseconds(spec), sizes[0], megabytes(spec), sizes[1], *terms(spec)])
    header = ["", "NSS", "ms", "memory, MB", "weights, MB", "parameters, million", "licence", "trained on"]
    lines = [*table(header, rows), "", measured_where(), "In brackets: 95 % intervals over images."]
    if "memory" in results("latency"):
        found = results("latency")["memory"]
        lines.append(f"Memory: above the {found['imports_mb']:.0f} MB of the imports (commit {commits(found)}).")
    return "\n".join(lines)


def terms(spec: ModelSpec) -> list[str]:
    """Return licence and training sets of a model's weights."""
    if spec.training == "none":
        return ["Apache-2.0, as the code", "nothing"]
    if not spec.loadable and not spec.authors:
        return [NONE, NONE]
    if not spec.loadable:
        release = spec.authors[0]
        return [f"{release.license}, the authors'", ", ".join(release.trained_on)]
    config = json.loads((REPOSITORY / "hub" / f"{spec.name}.{spec.default}" / "config.json").read_text())
    trained = ", ".join(part.removesuffix(":train") for part in config["provenance"]["data"])
    return [LICENCES[config["license"]], trained]


LICENCES = {"apache-2.0": "Apache-2.0"}
"""As the Hub writes them, and as SPDX does."""


def finetune_table() -> str:
    """Return what fine-tuning on 40 images of a set gains."""
    rows, commits = [], set()
    for name, title in (("eyecrowd", "EyeCrowd"), ("scene500", "Scene500")):
        found = results(f"finetune_{name}")
        before, after = (found["rows"][row]["nss"] for row in ("before", "after"))
        gain, low, high = found["gain"]["nss"]
        rows.append([title, f"{before:.3f}", f"{after:.3f}", f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"])
        commits.add(short(found["commit"]))
    lines = table(["set", "before", "after", "difference"], rows)
    return "\n".join([*lines, "", f"Commit {', '.join(f'`{commit}`' for commit in sorted(commits))}."])


def metrics_table() -> str:
    """Return how many times as fast as pysaliency the metrics are."""
    found = results("metrics")
    faster = {name: result["faster"] for name, result in found["metrics"].items() if "faster" in result}
    rows = [[kind, *(f"{each[kind]:.1f}" for each in faster.values())] for kind in ("float32", "float64")]
    return "\n".join([*table(["maps", *faster], rows), "", f"Commit `{short(found['commit'])}`."])


def exports_table() -> str:
    """Return what exported files weigh, how near to `predict` they are, how fast, and what eight bits cost."""
    found = results("exports")
    head = ["", "MB", "int8", "difference", "ms: torch", "onnxruntime", "int8", "NSS: torch", "onnxruntime", "int8"]
    head.append("of images")
    kinds, rows, refused = ("torch", "onnxruntime", "int8"), [], []
    for name, one in sorted(found.items()):
        if "refused" in one:
            refused.append(f"`{name}`")
            continue
        size = "" if one["size"] is None else f" (only {one['size'][0]} x {one['size'][1]})"
        bytes_of = [f"{one[kind] / 1e6:.1f}" for kind in ("bytes", "int8_bytes")]
        speed, scores = [f"{one['ms'][k]:.0f}" for k in kinds], [f"{one['nss'][k]:.3f}" for k in kinds]
        rows.append([f"`{name}`{size}", *bytes_of, f"{one['difference']:.0e}", *speed, *scores, str(one["images"])])
    commits = ", ".join(sorted({f"`{short(one['commit'])}`" for one in found.values()}))
    loads = [one["load"] for one in found.values()]
    said = f"NSS over the first images of OSIE test: compare along a row. Load {min(loads)} to {max(loads)}"
    last = f"{said}, commit {commits}." + (f" Refused: {', '.join(refused)}." if refused else "")
    return "\n".join([*table(head, rows), "", last])


def seeds_table() -> str:
    """Return what recipes give with another seed, beside the shipped checkpoints."""
    shipped = results("osie")["rows"]
    metrics = ("nss", "auc_judd", "cc", "kld", "ig")
    lines = [f"| OSIE test, seed 0, 1 | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for path in sorted(RESULTS.glob("seed1_*_osie.json")):
        ((row, again),) = results(path.stem)["rows"].items()
        lines.append(f"| {row} | {' | '.join(f'{shipped[row][m]:.3f}, {again[m]:.3f}' for m in metrics)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {
    "models": models_table,
    **{name: functools.partial(set_table, name) for name in SETS},
    "mit300": mit300_table,
    "seeds": seeds_table,
    "popout": popout_table,
    "classic": classic_table,
    "designs": designs_table,
    "history": history_table,
    "which": which_table,
    "exports": exports_table,
    "finetune": finetune_table,
    "metrics": metrics_table,
    "bibtex": bibtex_block,
    **cost_pages.TABLES,
    **people_pages.TABLES,
    **scanpath_pages.TABLES,
}


if __name__ == "__main__":
    write()
