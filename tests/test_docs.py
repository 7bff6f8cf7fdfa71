"""The documentation site: it builds strictly, needs nothing from elsewhere, and has a page for all there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from salzoo import losses
from salzoo.data import DATASETS, VIDEO_DATASETS
from salzoo.metrics import METRICS
from salzoo.registry import read_spec, spec_names

ROOT = Path(__file__).parents[1]
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
"""Elements that a browser fetches by itself, and where from."""


class Page(HTMLParser):
    """The anchors of a page, the places it leads to and what it fetches."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.fetched = set[str](), list[str](), list[str]()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if (place := found.get(FETCHED.get(tag, ""))) and found.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(place)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, elsewhere."""
    build = tmp_path_factory.mktemp("docs")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    builder = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(build / "mkdocs.yml")]
    for command in ([sys.executable, str(ROOT / "docs" / "generate"), str(build)], builder):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return build / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def inner(path: Path, links: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of each link that stays on the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            yield (path.parent / unquote(parts.path)).resolve() if parts.path else path, unquote(parts.fragment)


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        foreign = [place for place in page.fetched if urlsplit(place).netloc]
        assert not foreign, path
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", sheet.read_text(encoding="utf-8")), (
            sheet
        )


@pytest.mark.slow
def test_no_link_and_no_image_leads_nowhere(site: Path, pages: dict[Path, Page]) -> None:
    dead = list[str]()
    for path, page in pages.items():
        if path.name == "404.html":  # shown anywhere, so its links begin at the root
            continue
        for file, anchor in inner(path, page.links + page.fetched):
            target = file / "index.html" if file.is_dir() else file
            lost = anchor and target in pages and anchor not in pages[target].anchors and not anchor.startswith("__")
            if not target.is_file() or lost:
                dead.append(f"{path.relative_to(site)} -> {target.relative_to(site.resolve())}#{anchor}")
    assert not dead, "\n".join(dead[:20])


@pytest.mark.slow
def test_every_page_is_reached_from_home_and_has_the_menu(site: Path, pages: dict[Path, Page]) -> None:
    reached, waiting = set[Path](), [site.resolve() / "index.html"]
    while waiting:
        path = waiting.pop()
        if path not in reached and path in pages:
            reached.add(path)
            waiting += [file for file, _ in inner(path, pages[path].links)]
    assert {path for path in pages if path.name != "404.html"} == reached
    assert len(reached) > 60


@pytest.mark.slow
def test_every_model_has_a_page_with_its_facts_and_a_row(site: Path, pages: dict[Path, Page]) -> None:
    rows = pages[site / "models" / "index.html"].text
    for name in spec_names():
        spec, text = read_spec(name), pages[site / "models" / f"{name}.html"].text
        assert f'href="{name}.html"' in rows
        assert all(f"{name}.{tag}" in text for tag in spec.variants)
        assert spec.paper is None or spec.paper.title.replace("&", "&amp;") in text
        assert all(release.files[0].name in text for release in spec.authors), name


@pytest.mark.slow
def test_every_dataset_metric_and_loss_has_its_place(site: Path, pages: dict[Path, Page]) -> None:
    readers = {name: getattr(each, "func", each) for name, each in {**DATASETS, **VIDEO_DATASETS}.items()}
    for name, reader in readers.items():
        page = pages[site / "datasets" / f"{reader.name}.html"]
        assert f"<code>{name}</code>" in page.text
        assert "├──" in page.text or "└──" in page.text, "the folder as the reader takes it"
        assert f"salzoo.data.{reader.__name__}" in page.anchors
    metrics, reference = pages[site / "metrics.html"], pages[site / "api" / "metrics.html"]
    for key, metric in METRICS.items():
        assert key in metrics.anchors
        assert f"api/metrics.html#salzoo.metrics.{metric.__name__}" in metrics.text
        assert f"salzoo.metrics.{metric.__name__}" in reference.anchors
    terms = [*losses.TERMS, "adversarial_discriminator", "adversarial_generator"]
    assert {f"salzoo.losses.{name}" for name in terms} <= pages[site / "losses.html"].anchors


@pytest.mark.slow
def test_public_names_are_in_the_reference(pages: dict[Path, Page]) -> None:
    import salzoo

    known = {anchor.rpartition(".")[2] for page in pages.values() for anchor in page.anchors if "salzoo." in anchor}
    modules = {"data", "errors", "losses", "metrics", "__version__"}
    assert set(salzoo.__all__) - modules - known == set()
    assert set(salzoo.data.__all__) - {"DATASETS", "VIDEO_DATASETS"} - known == set()


@pytest.mark.slow
def test_every_hand_written_page_and_guide_is_in_the_menu(site: Path) -> None:
    menu = (site.parent / "mkdocs.yml").read_text(encoding="utf-8")
    written = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert written
    listed = set(re.findall(r"[\w./-]+\.md", menu))
    assert set(written) <= listed
    assert yaml.safe_load(menu)["nav"][0] == {"Home": "index.md"}
