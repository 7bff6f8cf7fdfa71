"""Models and baselines by metrics on a data set: the job behind `salzoo evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from salzoo.data import FixationDataset
from salzoo.layers import kernel_density
from salzoo.metrics import functional as metrics
from salzoo.model import SaliencyModel, evaluating
from salzoo.preprocess import resize_density

GOLD_METRICS = ("nss", "auc_judd")
"""What the row `gold` has: the others are defined against the map of all observers, not of one."""

Score = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Scores = dict[str, dict[str, list[Tensor]]]  # row to metric to one value a picture
METRICS: dict[str, Score] = {  # of (N, H, W) prediction, counts, density, baseline
    "auc_judd": lambda p, f, d, b: metrics.auc_judd(p, f),
    "nss": lambda p, f, d, b: metrics.nss(p, f),
    "cc": lambda p, f, d, b: metrics.cc(p, d),
    "sim": lambda p, f, d, b: metrics.sim(p, d),
    "kld": lambda p, f, d, b: metrics.kl_div(p, d),
    "ig": lambda p, f, d, b: metrics.info_gain(p, f, b),
}


@dataclass(frozen=True)
class Table:
    """Result of an evaluation.

    Args:
        dataset: Name of the set.
        split: Of the set.
        images: Number of pictures.
        convention: Of the metrics.
        baseline: What information gain is measured against.
        rows: Row name to metric to mean over pictures.
    """

    dataset: str
    split: str
    images: int
    convention: str
    baseline: str
    rows: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON types, with the direction of each metric."""
        from salzoo.card import HIGHER_IS_BETTER

        return {**asdict(self), "higher_is_better": HIGHER_IS_BETTER}

    def __str__(self) -> str:
        """Return the table as Markdown."""
        from salzoo.card import HIGHER_IS_BETTER

        head = " | ".join(f"{name} {'↑' if HIGHER_IS_BETTER[name] else '↓'}" for name in METRICS)
        lines = [
            f"{self.dataset} {self.split}, {self.images} pictures, convention {self.convention}, "
            f"ig over {self.baseline}",
            "",
            f"| {self.dataset} | {head} |",
            "|---" * (len(METRICS) + 1) + "|",
        ]
        for row, scores in self.rows.items():
            cells = [f"{scores[name]:.3f}" if name in scores else "–" for name in METRICS]
            lines.append(f"| {row} | {' | '.join(cells)} |")
        return "\n".join(lines)


def evaluate(models: dict[str, SaliencyModel], dataset: FixationDataset, *, progress: bool | None = None) -> Table:
    """Score models beside the baselines `uniform`, `centre_bias` and `gold` on every picture at its own size.

    `centre_bias` is the density of all fixations of the set's training split, and the baseline of information gain.
    `gold` is what people reach on each other: each observer is predicted by the blurred fixations of all others,
    averaged over observers, then over pictures. A model named like a baseline takes its row.

    Args:
        models: Row name to model.
        dataset: One split of a set.
        progress: Show a bar; None: if a person is watching.
    """
    centre = _centre_bias(dataset)
    sums: Scores = {}
    for i in tqdm(range(len(dataset)), unit="picture", disable=None if progress is None else not progress):
        item = dataset[i]
        size = (item["image"].shape[-2], item["image"].shape[-1])
        baseline = resize_density(centre, size)
        predictions = {"uniform": torch.full(size, 1 / (size[0] * size[1])), "centre_bias": baseline}
        for name, model in models.items():
            with evaluating(model), torch.inference_mode():
                predictions[name] = model.infer([item["image"].to(model.device)])[0].exp().cpu()
        for name, prediction in predictions.items():
            scores = _score(prediction, item["fixations"], item["density"], baseline)
            _add(sums, name, scores)
        _add(sums, "gold", _gold(dataset, i, size))
    means = {
        row: {name: float(torch.cat(values).nanmean()) for name, values in scores.items()}
        for row, scores in sums.items()
    }
    order = [*models, *(row for row in ("gold", "centre_bias", "uniform") if row not in models)]
    return Table(
        dataset=dataset.name_of_set,
        split=dataset.split,
        images=len(dataset),
        convention="mit",
        baseline=f"the centre bias of {dataset.name_of_set}:train",
        rows={row: means[row] for row in order},
    )


def _centre_bias(dataset: FixationDataset) -> Tensor:
    train = dataset.sibling("train")
    points = ((train.fixations(i), train.size(i)) for i in range(len(train)))
    return kernel_density(points, (60, 80), bandwidth=0.03)


def _score(prediction: Tensor, fixations: Tensor, density: Tensor, baseline: Tensor) -> dict[str, Tensor]:
    p, f, d, b = (t[None] for t in (prediction, fixations, density, baseline))
    return {name: score(p, f, d, b) for name, score in METRICS.items()}


def _gold(dataset: FixationDataset, index: int, size: tuple[int, int]) -> dict[str, Tensor]:
    """Scores of each observer's fixations under the density of all the others', averaged over observers."""
    scores = list(_left_out(dataset, index, size))
    return {name: torch.cat([s[name] for s in scores]).nanmean()[None] for name in GOLD_METRICS} if scores else {}


def _left_out(dataset: FixationDataset, index: int, size: tuple[int, int]) -> Iterator[dict[str, Tensor]]:
    points = dataset.fixations(index)
    sigma = size[0] / 25
    observers = sorted(set(points.observer.tolist()))
    own = {k: points.of(k) for k in observers}
    mass = {k: len(own[k]) * own[k].density(size, sigma) for k in observers}
    total = torch.stack(list(mass.values())).sum(0) if mass else None
    for k in observers:
        if total is not None and len(own[k]) < len(points):
            others, counts = (total - mass[k]).clamp_min(0)[None], own[k].counts(size)[None]
            yield {"nss": metrics.nss(others, counts), "auc_judd": metrics.auc_judd(others, counts)}


def _add(sums: Scores, row: str, scores: dict[str, Tensor]) -> None:
    for name, value in scores.items():
        sums.setdefault(row, {}).setdefault(name, []).append(value)
