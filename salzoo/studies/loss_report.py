"""What the loss study found, as a table, figures and a few generated sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from salzoo import _markdown, losses
from salzoo._io import write_text
from salzoo.errors import SpecError
from salzoo.metrics import METRICS
from salzoo.studies.loss_study import COMBINED, SCORED, SINGLE, SIZE, Result, group, mean_ranks

try:
    from matplotlib.figure import Figure
except ImportError as error:  # before an hour of training, not after it
    raise SpecError('the figures of the study need matplotlib: pip install "salzoo[figures]".') from error

JETLEY = ("bhattacharyya", "kl", "chi_square", "total_variation", "cosine", "mse", "huber")
"""The five distances of Jetley et al. (2016), and their two baselines."""


def write_report(results: Sequence[Result], folder: Path) -> Path:
    """Write `results.json`, the figures and `README.md`; return the last."""
    write_text(folder / "results.json", json.dumps([asdict(r) for r in results], separators=(",", ":")) + "\n")
    sets = list(dict.fromkeys(r.trial.dataset for r in results))
    main = [r for r in results if r.trial.model in ("quest", "centre_bias")]
    second = [r for r in results if r not in main]
    for dataset in sets:
        _curves(Figure(figsize=(11, 4.2), layout="constrained"), _of(main, dataset)).savefig(
            folder / f"auc_{dataset}.png", dpi=100
        )
    _ranks(Figure(figsize=(9, 7), layout="constrained"), main, sets).savefig(folder / "ranks.png", dpi=100)
    parts = [
        _head(results),
        *([_both(main, sets)] if len(sets) > 1 else []),
        *(_section(_of(main, dataset), dataset) for dataset in sets),
    ]
    if second:
        parts.append(_second(second))
    path = folder / "README.md"
    write_text(path, "\n".join(parts))
    return path


def _head(results: Sequence[Result]) -> str:
    commits = sorted({f"`{r.commit[:12]}{'+changes' if '+' in r.commit else ''}`" for r in results})
    trained = [r.trial for r in _trained(results)]
    seeds, epochs = sorted({t.seed for t in trained}), sorted({t.epochs for t in trained})
    sets = ",".join(dict.fromkeys(t.dataset for t in trained))
    command = f"salzoo study losses --data {sets} --root ROOT -o DIR --seeds {len(seeds)} --epochs {epochs[-1]}"
    return f"""# Which loss to train with

Written by `{command}`.
Everything but the loss is fixed: the network (`quest` on a frozen EfficientNet-Lite0, images of
{SIZE[0]} x {SIZE[1]}), the train split and the order of its images, AdamW with a one-cycle rate. Maps are scored at
{SCORED[0]} x {SCORED[1]}. {len(results)} trials, at commit {", ".join(commits)}; seed {", ".join(map(str, seeds))}.

Learning rate and epochs are the same for all losses, so this says which loss is good without tuning, not which one is
best when tuned. The adversarial loss of SalGAN needs a discriminator and is not in here.

A rank is a loss's place among all losses on one metric (mean over seeds); the mean rank is over all metrics. Losses are
chosen on `val`; the tables are of `test`, mean ± standard deviation over seeds.

![mean ranks](ranks.png)
"""


def _section(results: Sequence[Result], dataset: str) -> str:
    """Return the findings and the table for one dataset."""
    lines = [f"## {dataset}", "", *_chosen([_trained(results)]), _above_centre_bias(results), ""]
    lines += [f"![AUC over steps](auc_{dataset}.png)", "", *_table(results, mean_ranks(_trained(results), "test"))]
    return "\n".join([*lines, ""])


def _both(results: Sequence[Result], sets: Sequence[str]) -> str:
    """Return the findings over all datasets."""
    heading = f"## {' and '.join(sets)} together"
    return "\n".join([heading, "", *_chosen([_of(_trained(results), dataset) for dataset in sets]), ""])


def _chosen(sets: Sequence[Sequence[Result]]) -> list[str]:
    """Return one line each on the best single loss, the best combination and MSE, by mean rank over datasets."""
    val, test = _over(sets, "val"), _over(sets, "test")
    single = min((name for name in val if name in SINGLE), key=lambda name: val[name], default=None)
    combined = min((name for name in val if name in COMBINED), key=lambda name: val[name], default=None)
    named = {"best single loss": single, "best combination": combined, "plain MSE": "mse" if "mse" in val else None}
    seeds = [_over([[r for r in one if r.trial.seed == seed] for one in sets], "test") for seed in _whole_seeds(sets)]

    def spread(name: str) -> str:
        each = [ranks[name] for ranks in seeds]
        return f" ({min(each):.1f} to {max(each):.1f} by seed)" if len(each) > 1 else ""

    return [
        f"- {what} by `val`: **{name}**, mean rank {val[name]:.1f} there and {test[name]:.1f}{spread(name)} on `test`, "
        f"of {len(val)}."
        for what, name in named.items()
        if name is not None
    ]


def _over(sets: Sequence[Sequence[Result]], split: str) -> dict[str, float]:
    """Return the mean over datasets of each loss's mean rank, for the losses that were trained on all of them."""
    ranks = [mean_ranks(results, split) for results in sets]
    return {loss: float(np.mean([each[loss] for each in ranks])) for loss in ranks[0] if all(loss in r for r in ranks)}


def _whole_seeds(sets: Sequence[Sequence[Result]]) -> list[int]:
    """Return the seeds for which every loss was trained on every dataset; ranks of fewer losses are not comparable."""
    trials = {(i, r.trial.loss, r.trial.seed) for i, results in enumerate(sets) for r in results}
    pairs = {(i, loss) for i, loss, _ in trials}
    return sorted(s for s in {seed for *_, seed in trials} if all((*pair, s) in trials for pair in pairs))


def _above_centre_bias(results: Sequence[Result]) -> str:
    scores = group(results, "test")
    floor = scores.pop("centre_bias")
    below = [
        f"{loss} ({', '.join(bad)})"
        for loss, row in scores.items()
        if (bad := [m for m in row if _sign(m) * (np.mean(row[m]) - np.mean(floor[m])) <= 0])
    ]
    return "- " + (
        f"Not above the centre bias on every metric: {'; '.join(below)}."
        if below
        else "Every loss is above the centre bias on every metric."
    )


def _second(results: Sequence[Result]) -> str:
    """Return the results of the second architecture."""
    model, dataset = results[0].trial.model, results[0].trial.dataset
    lines = [f"## {dataset}, second architecture: {model}", ""]
    lines += [f"The losses that were best for `quest` on {dataset}'s `val`, and MSE, on another network:", ""]
    return "\n".join([*lines, *_table(results, mean_ranks(results, "test")), ""])


def _table(results: Sequence[Result], ranks: dict[str, float]) -> list[str]:
    scores = group(results, "test")
    metrics = [name for name in METRICS if name in next(iter(scores.values()))]
    header = ["loss", "terms", "mean rank", *(METRICS[name].heading() for name in metrics)]
    rows = sorted(scores, key=lambda name: ranks.get(name, np.inf))

    def cell(values: list[float]) -> str:
        return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")

    def line(row: str) -> list[str]:
        rank = f"{ranks[row]:.1f}" if row in ranks else "–"
        return [row, _terms(row), rank, *(cell(scores[row][name]) for name in metrics)]

    return _markdown.table(header, map(line, rows))


def _terms(loss: str) -> str:
    """Return a combination as its sum."""
    if loss not in COMBINED:
        return ""
    weights = losses.get(COMBINED[loss]).weights
    return " ".join(f"{w:+g} {name}" if w != "learned" else f"+w {name}" for name, w in weights.items())


def _curves(figure: Any, results: Sequence[Result]) -> Any:
    """Draw AUC over training steps: Jetley et al.'s distances on the left, the best losses on the right."""
    left, right = figure.subplots(1, 2, sharey=True)
    trained = _trained(results)
    ranks = mean_ranks(trained, "val")
    _draw(left, trained, [name for name in JETLEY if name in ranks], "five distances between densities, and two errors")
    best = sorted(ranks, key=lambda name: ranks[name])
    _draw(right, trained, [*best[:5], *(n for n in ("mse", "nll", "nss") if n in best[5:])], "the best, and others")
    floor = next(r for r in results if r.trial.loss is None).val["auc_judd"]
    for axes in (left, right):
        axes.axhline(floor, color="grey", linestyle=":", label="centre bias")
        axes.set_xlabel("training step")
        axes.legend(fontsize=8, loc="lower right")
    left.set_ylabel(f"AUC-Judd, {results[0].trial.dataset} val")
    return figure


def _draw(axes: Any, results: Sequence[Result], names: Sequence[str], title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xscale("log")
    for loss in names:
        curves = [r.curve for r in results if r.trial.loss == loss]
        steps = [step for step, _ in curves[0]]
        auc = np.array([[value for _, value in curve] for curve in curves])
        style: dict[str, Any] = {"linestyle": "--" if loss in ("mse", "huber") else "-"}
        if len(steps) == 1:  # of one step there is no line to see
            style = {"marker": "o"}
        (line,) = axes.plot(steps, auc.mean(0), label=loss, **style)
        axes.fill_between(steps, auc.min(0), auc.max(0), color=line.get_color(), alpha=0.15, linewidth=0)


def _ranks(figure: Any, results: Sequence[Result], sets: Sequence[str]) -> Any:
    """Draw the mean rank of each loss on the test split of each dataset."""
    trained = _trained(results)
    ranks = {dataset: mean_ranks(_of(trained, dataset), "test") for dataset in sets}
    order = sorted(ranks[sets[0]], key=lambda name: -float(np.mean([ranks[d].get(name, np.nan) for d in sets])))
    axes = figure.subplots()
    axes.hlines(range(len(order)), 1, len(order), color="lightgrey", linewidth=0.5)
    for dataset, marker in zip(sets, "osd^v", strict=False):
        axes.plot([ranks[dataset].get(name) for name in order], range(len(order)), marker, label=dataset)
    axes.set_yticks(range(len(order)), [f"{name} *" if name in COMBINED else name for name in order], fontsize=8)
    axes.set_xlabel("mean rank over all metrics on test (1 is best); * combination")
    axes.legend()
    return figure


def _of(results: Sequence[Result], dataset: str) -> list[Result]:
    return [r for r in results if r.trial.dataset == dataset]


def _trained(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.trial.loss is not None]


def _sign(metric: str) -> int:
    return 1 if METRICS[metric].higher_is_better else -1
