"""The datasets: hand-written pages with the layout on disk, each ended by what its reader's docstring says."""

from __future__ import annotations

from tree import REPOSITORY, Tree

from salzoo.data import DATASETS, VIDEO_DATASETS, FixationDataset, VideoDataset

FOLDER = REPOSITORY / "docs" / "datasets"


def readers() -> dict[type[FixationDataset | VideoDataset], list[str]]:
    """Return the names under which each reader is known."""
    found: dict[type[FixationDataset | VideoDataset], list[str]] = {}
    for name, each in {**DATASETS, **VIDEO_DATASETS}.items():
        found.setdefault(getattr(each, "func", each), []).append(name)
    return found


def add(tree: Tree) -> list[object]:
    """Add the page of each reader, `docs/datasets/<name>.md`, and their overview; return their menu.

    Raises:
        FileNotFoundError: If a reader has no page.
    """
    tree.read("datasets/index.md", FOLDER / "index.md")
    places = ["datasets/index.md"]
    for reader, names in readers().items():
        source = FOLDER / f"{reader.name}.md"
        known = " and ".join(f"`{name}`" for name in names)
        opens = "load_video_dataset" if issubclass(reader, VideoDataset) else "load_dataset"
        end = f"\n## Reader\n\nIn `--data` and `{opens}`: {known}.\n\n::: salzoo.data.{reader.__name__}\n"
        end += "    options: {heading_level: 3}\n"
        tree.add(f"datasets/{source.name}", source.read_text(encoding="utf-8") + end, source)
        places.append(f"datasets/{source.name}")
    return [*places]
