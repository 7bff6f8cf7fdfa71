"""The reference of the public names, one page a topic, which mkdocstrings fills from the docstrings."""

from __future__ import annotations

from collections.abc import Iterable

from tree import Tree

import salzoo
from salzoo import data, metrics
from salzoo.data import DATASETS, VIDEO_DATASETS
from salzoo.metrics import METRICS, functional, scanpaths

TOPICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "The zoo": (
        "What `import salzoo` gives: names to models.",
        (
            "salzoo.registry.list_models",
            "salzoo.checkpoint.describe.info",
            "salzoo.components.load.load",
            "salzoo.registry.register",
            "salzoo.importing.weights.import_weights",
            "salzoo.checkpoint.publishing.publish",
        ),
    ),
    "SaliencyModel": (
        "The base of every model, a LightningModule, and what it is configured by.",
        (
            "salzoo.components.saliency_model.SaliencyModel",
            "salzoo.components.training_config.TrainingConfig",
            "salzoo.images.preprocess.Preprocess",
        ),
    ),
    "SaliencyMap": ("What `predict` returns.", ("salzoo.images.saliency_map.SaliencyMap",)),
    "Sample images": ("Free images to try a model on.", ("salzoo.images.samples",)),
    "Many images": (
        "Images to files, in one process or in many.",
        ("salzoo.prediction.files", "salzoo.prediction.batch"),
    ),
    "Evaluation": (
        "Scores of models, baselines and saved maps on a dataset, and whether one is better than another.",
        (
            "salzoo.evaluation.scoring",
            "salzoo.evaluation.table",
            "salzoo.evaluation.comparison",
            "salzoo.evaluation.statistics",
            "salzoo.evaluation.scanpaths.evaluate_scanpaths",
            "salzoo.evaluation.scanpaths.load_models",
            "salzoo.evaluation.scanpaths.ScanpathTable",
        ),
    ),
    "Training": (
        "Fitting, fine-tuning, and the callbacks of a run.",
        ("salzoo.training.fit", "salzoo.training.finetune", "salzoo.training.callbacks", "salzoo.training.distributed"),
    ),
    "Backbones": ("Any timm or torchvision model as a feature extractor.", ("salzoo.backbones.timm_backbone",)),
    "Exporting": ("Models to graphs that others run.", ("salzoo.exporting.export", "salzoo.exporting.quantise")),
    "Figures": ("Figures that people paste.", ("salzoo.reports.figure",)),
    "Leaderboard": ("Scores of many models as one page that sorts.", ("salzoo.reports.leaderboard",)),
    "Loss study": ("Comparisons of many training runs.", ("salzoo.studies.loss_study", "salzoo.studies.loss_report")),
    "Errors": ("One tree of errors, each also the built-in kind that callers expect.", ("salzoo.errors",)),
}
"""Title to what it is, and the objects or modules that are shown in full."""


def add(tree: Tree) -> list[object]:
    """Add a page for each topic; return their menu."""
    topics = {
        **TOPICS,
        "Metrics": (
            "Pure functions, and torchmetrics classes. What each measures: [metrics](../metrics.md).",
            (
                *(f"salzoo.metrics.functional.{name}" for name in functional.__all__),
                *(f"salzoo.metrics.{each.__name__}" for each in METRICS.values()),
                *_others("salzoo.metrics", metrics.__all__, {each.__name__ for each in METRICS.values()}),
            ),
        ),
        "Scanpath metrics": (
            "Pure functions over one scanpath or many. What each measures: [scanpath metrics](../scanpath_metrics.md).",
            _others("salzoo.metrics.scanpaths", scanpaths.__all__, {"DIRECTIONS"}),
        ),
        "Data": (
            "Items, batches and the Lightning module that feeds them. The readers: [datasets](../datasets/index.md).",
            _others("salzoo.data", data.__all__, _readers()),
        ),
    }
    for title, (summary, names) in topics.items():
        blocks = "\n\n".join(f"::: {name}" + _whole(name) for name in names)
        tree.add(f"api/{_place(title)}.md", f"# {title}\n\n{summary}\n\n{blocks}\n")
    tree.add("api/index.md", _index(topics))
    return ["api/index.md", *(f"api/{_place(title)}.md" for title in topics)]


def _index(topics: dict[str, tuple[str, tuple[str, ...]]]) -> str:
    lines = [f"- [{title}]({_place(title)}.md): {_lower(summary)}" for title, (summary, _) in topics.items()]
    lines += ["- [Losses](../losses.md): training losses, and `get`, which makes a criterion of a name or of weights."]
    return "\n".join(["# API", "", f"The public names of salzoo {salzoo.__version__}, by topic.", "", *lines, ""])


def _others(module: str, names: Iterable[str], shown: set[str]) -> tuple[str, ...]:
    """Return a module's public functions and classes that are shown nowhere else."""
    hidden = {"functional", "DATASETS", "VIDEO_DATASETS", "METRICS", *shown}
    return tuple(f"{module}.{name}" for name in names if name not in hidden)


def _readers() -> set[str]:
    return {getattr(each, "func", each).__name__ for each in (*DATASETS.values(), *VIDEO_DATASETS.values())}


def _whole(name: str) -> str:
    """Return the options of a module: its members in full, under its own heading."""
    is_module = name.rpartition(".")[2].islower() and name.count(".") <= 2 and "functional" not in name
    return "\n    options: {members: true, show_root_full_path: true}" if is_module else ""


def _lower(text: str) -> str:
    first, _, rest = text.partition(" ")
    text = text if first.isupper() or first[1:] != first[1:].lower() else f"{first.lower()} {rest}"
    return text.replace("](../", "](../")


def _place(title: str) -> str:
    return title.lower().replace(" ", "_")
