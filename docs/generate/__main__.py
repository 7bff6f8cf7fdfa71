"""Write the pages of the documentation site into build/docs: the hand-written ones of docs, and those made of data.

python docs/generate [FOLDER]      # `make docs` does this, and builds the site
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import api_pages
import dataset_pages
import gallery_page
import leaderboard_page
import loss_page
import model_pages
import notebook_pages
import yaml
from tree import REPOSITORY, Tree

DOCS = REPOSITORY / "docs"
GUIDES = (
    "predict",
    "scanpaths",
    "evaluate",
    "finetune",
    "data",
    "train",
    "many-machines",
    "hub",
    "export",
    "areas",
    "designs",
    "figures",
    "demo",
    "leaderboard",
    "speed",
)
"""Guides in the order in which people need them; others follow by name."""

SHOWN = {
    "README.md": "index.md",
    "benchmarks/sheets.py": "gallery.md",
    "salzoo/__init__.py": "api/index.md",
    "salzoo/losses/__init__.py": "losses.md",
    "salzoo/metrics/functional.py": "api/metrics.md",
    "salzoo/metrics/scanpaths/__init__.py": "api/scanpath_metrics.md",
}
"""Files whose pages are made of data: a hand-written page leads to the file, which is there without the site too."""


def main(build: Path) -> None:
    """Write all pages, and the settings with their order, into a folder."""
    tree = Tree(build / "docs")
    tree.read("index.md", DOCS / "index.md")
    tree.made_from |= {REPOSITORY / file: place for file, place in SHOWN.items()}
    sections = {
        "Guides": [*guides(tree), *notebook_pages.add(tree)],
        "Models": [
            *by_hand(tree, "which_model.md", "history.md", "authors_weights.md", "citing.md"),
            *model_pages.add(tree),
        ],
        "Data": dataset_pages.add(tree),
        "Metrics and losses": [*by_hand(tree, "metrics.md", "scanpath_metrics.md"), *loss_page.add(tree), *study(tree)],
        "Results": [*by_hand(tree, "benchmarks.md"), *leaderboard_page.add(tree), *gallery_page.add(tree)],
        "API": api_pages.add(tree),
        "Project": project(tree),
    }
    for file in (DOCS / "assets").iterdir():
        tree.copy(file, f"assets/{file.name}")
        tree.made_from[file] = f"assets/{file.name}"
    linked = tree.write()
    nav: list[object] = [{"Home": "index.md"}, *({title: pages} for title, pages in sections.items() if pages)]
    nav += [{"Files": linked}] if linked else []
    refuse_orphans(tree, nav)
    settings = {
        "INHERIT": os.path.relpath(DOCS / "mkdocs.yml", build),
        "docs_dir": "docs",
        "site_dir": "site",
        "nav": nav,
    }
    (build / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    print(f"{len(tree.pages)} pages in {build}")


def guides(tree: Tree) -> list[str]:
    """Add each file of docs/guides."""
    found = {path.stem: path for path in sorted((DOCS / "guides").glob("*.md"))}
    ordered = [*(name for name in GUIDES if name in found), *(name for name in found if name not in GUIDES)]
    for name in ordered:
        tree.read(f"guides/{name}.md", found[name])
    return [f"guides/{name}.md" for name in ordered]


def by_hand(tree: Tree, *names: str) -> list[object]:
    """Add those files of docs that are there."""
    found = [name for name in names if (DOCS / name).is_file()]
    for name in found:
        tree.read(name, DOCS / name)
    return [*found]


def study(tree: Tree) -> list[object]:
    """Add the report of the study of losses, which `salzoo study` wrote."""
    tree.read("study.md", REPOSITORY / "benchmarks" / "results" / "study" / "README.md")
    return [{"The loss study": "study.md"}]


def project(tree: Tree) -> list[object]:
    """Add what a repository says of itself: licences, how to contribute, changes, releases."""
    named = {
        "Contributing": "CONTRIBUTING.md",
        "Changes": "CHANGELOG.md",
        "Releases": "RELEASES.md",
        "Licences": "THIRD_PARTY.md",
    }
    for name in named.values():
        tree.read(f"project/{name.lower()}", REPOSITORY / name)
    plan = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("<!-- map of rooms")[2]
    rooms = plan.partition("-->")[2].partition("<!-- end of the map")[0]
    tree.add(
        "design.md",
        (DOCS / "design.md").read_text(encoding="utf-8").replace("<!-- the map of rooms -->", rooms),
        DOCS / "design.md",
    )
    return ["design.md", *({title: f"project/{name.lower()}"} for title, name in named.items())]


def refuse_orphans(tree: Tree, nav: list[object]) -> None:
    """Raise if a page is in no menu."""
    listed = set(re.findall(r"[\w./-]+\.md", str(nav)))
    if orphans := sorted(set(tree.pages) - listed):
        raise ValueError(f"no menu has {', '.join(orphans)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "build" / "docs")
