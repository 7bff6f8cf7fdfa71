"""The losses: a table of all, and each with its formula from its docstring."""

from __future__ import annotations

import inspect

from tree import Tree

from salzoo import losses
from salzoo._markdown import table

COMPARES = {
    "log_density": "log density with density or fixations",
    "saliency": "maps in [0, 1]",
    "logits": "maps in [0, 1], from logits",
    "predicted_features": "features of a backbone",
    "true_logits": "answers of a discriminator",
    "generated_logits": "answers of a discriminator",
}
"""First parameter of a loss to what it compares."""


def add(tree: Tree) -> list[object]:
    """Add the page; return its menu."""
    functions = {name: each for name in losses.__all__ if inspect.isfunction(each := getattr(losses, name))}
    names = [name for name in functions if name not in ("get", "required_inputs")]
    rows = (
        [
            f"[`{name}`](#salzoo.losses.{name})",
            COMPARES[next(iter(inspect.signature(functions[name]).parameters))],
            "higher" if name in losses.SIMILARITIES else "lower",
            (functions[name].__doc__ or "").splitlines()[0].rstrip(".").replace("|", "\\|"),
        ]
        for name in names
    )
    parts = [
        "# Losses",
        (losses.__doc__ or "").partition("\n\n")[2].strip(),
        "\n".join(table(["name", "compares", "better", "what"], rows)),
        "Which one to take: [the loss study](study.md).",
        '```python\nfrom salzoo import losses\n\ncriterion = losses.get({"kl": 1.0, "cc": -0.5})\n```',
        "Named sums, which `get` takes as well: " + ", ".join(f"`{name}`" for name in losses.COMBINATIONS) + ".",
        *(f"::: salzoo.losses.{name}" for name in [*names, "get", "required_inputs", "Loss", "LossInputs"]),
    ]
    tree.add("losses.md", "\n\n".join(parts) + "\n")
    return ["losses.md"]
