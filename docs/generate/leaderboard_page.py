"""The page that `salzoo leaderboard` makes of what was measured, as a page of the site."""

from __future__ import annotations

import sys

import facts
from tree import REPOSITORY, Tree

from salzoo.reports import leaderboard
from salzoo.reports._leaderboard_page import ABOUT, SCRIPT, STYLE, section

sys.path.append(str(REPOSITORY / "benchmarks"))
from leaderboard import SET, extremes

RESULTS = REPOSITORY / "benchmarks" / "results"


def add(tree: Tree) -> list[object]:
    """Add the page, and return its menu."""
    contents = {name: leaderboard.read(RESULTS / f"{name}.json") for name in facts.SETS}
    leaderboard.with_times(list(contents.values()), RESULTS / "latency.json")
    contents[SET]["extremes"] = extremes()
    parts = [
        "---\nhide: [navigation, toc]\n---\n\n# Leaderboard",
        f"{ABOUT} The page of your own models and images: [`salzoo leaderboard`](guides/leaderboard.md).",
        f"<style>{STYLE}</style>",
    ]
    for name, content in contents.items():
        parts += [f"## {facts.SETS[name]}", f'<div class="leaderboard">\n{section(content)}\n</div>']
    tree.add("leaderboard.md", "\n\n".join([*parts, f"<script>{SCRIPT}</script>", ""]))
    return ["leaderboard.md"]
