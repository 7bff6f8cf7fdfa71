"""What README, docs and cards print works: blocks run, commands parse, tables are current, files are there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scripts
import torch
from clips import disc_frames, write_clip
from data import make_clips, make_tiny
from PIL import Image

import salzoo
from salzoo import SaliencyModel
from salzoo._schema import parameters
from salzoo.checkpoint.loading import import_class
from salzoo.cli import build_parser
from salzoo.cli._parser import lightning_options
from salzoo.data import FixationFolder
from salzoo.images.samples import sample_images
from salzoo.registry import read_spec, resolve
from salzoo.training.fit import Run, parse

ROOT = Path(__file__).parents[1]
PROSE = sorted(ROOT.glob("hub/cards/*.md"))
CARDS = [*sorted(ROOT.glob("hub/*.*/README.md")), *PROSE]


@dataclass(frozen=True)
class Page:
    """A page that is written by hand."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Language and code of each block."""
        return re.findall(r"^```(\w*)\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)

    @cached_property
    def python(self) -> list[str]:
        return [code for language, code in self.blocks if language == "python"]

    @cached_property
    def inline(self) -> list[str]:
        """Code within sentences and tables."""
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose)

    @cached_property
    def commands(self) -> list[str]:
        """The `salzoo` commands of blocks and sentences, from `salzoo` on; `...` stands for a dataset."""
        shell = "\n".join(block for language, block in self.blocks if language in SHELL).replace("\\\n", " ")
        lines = [re.split(r"\s+#", line)[0] for line in [*shell.splitlines(), *self.inline]]
        found = [re.match(r"(?:\$ |.*--no-python )?(salzoo .*)", line) for line in lines]
        return [match[1].strip().replace(" ...", " --data osie --root data") for match in found if match]

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))


SHELL = ("", "bash", "console", "sh", "shell")
PAGES = [Page(path) for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")))]
README = PAGES[0]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture
def folder(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with what the examples take for granted: images, datasets in `data/`, a study."""
    coffee = sample_images()["coffee"].resize((300, 200))
    (tmp_path / "photos").mkdir()
    for path in ("photo.jpg", "photos/coffee.jpg"):
        coffee.save(tmp_path / path)
    write_clip(tmp_path / "clip.mp4", disc_frames(3))
    (tmp_path / "data").symlink_to(tiny_data)
    study(tmp_path / "my_study")
    make_clips.videos(tmp_path / "my_clips", clips=4)
    pages_of_others(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(root: Path) -> None:
    """Write images and a table of fixations."""
    images, people = make_tiny.draw(seed=8)
    (root / "images").mkdir(parents=True)
    rows = ["image,observer,x,y,duration"]
    for number, (image, observers) in enumerate(zip(images, people, strict=True)):
        Image.fromarray(image).save(root / f"images/{number:02d}.png")
        points = [(observer, *point) for observer, looks in enumerate(observers) for point in np.transpose(looks)]
        rows += [f"{number:02d}.png,{observer},{x:.1f},{y:.1f},{ms:.0f}" for observer, x, y, ms in points]
    (root / "fixations.csv").write_text("\n".join(rows), "utf-8")


def pages_of_others(root: Path) -> None:
    """Write screenshots and fixations as UEyes and FiWI have them: of ten images, three points each."""
    for name in ("ueyes/images", "ueyes/eyetracker_logs", "fiwi/stimuli", "fiwi/all5"):
        (root / name).mkdir(parents=True)
    log = ["MEDIA_ID,MEDIA_NAME,CNT,TIME(2022/04/13 16:49:44.313),FPOGX,FPOGY,FPOGS,FPOGD,FPOGID,FPOGV"]
    for number in range(10):
        blank = Image.new("RGB", (400, 100), "white")
        blank.save(root / f"ueyes/images/{number:06x}.png")
        blank.save(root / f"fiwi/stimuli/{number:03d}.png")
        points = np.zeros((100, 400), np.uint8)
        for k, (x, y) in enumerate(WHERE):
            points[y, x] = 255
            on_screen = ((x * 4.8) / 1920, (y * 4.8 + 360) / 1200)  # enlarged to the width of the screen, in its middle
            log.append(f"0,{number:06x}.png,{k},0.5,{on_screen[0]},{on_screen[1]},{k + 1},0.25,{k},1")
        Image.fromarray(points).save(root / f"fiwi/all5/{number:03d}.png")
    (root / "ueyes/eyetracker_logs/01_KH007_fixations.csv").write_text("\n".join(log), "utf-8")


WHERE = ((100, 25), (200, 50), (299, 80))
"""Where people look in these images, (x, y) in pixels."""


def pages_are_read(names: dict[str, Any], folder: Path) -> None:
    """Check that the recipes give the points that were written."""
    for name, observer in (("ueyes", "kh007"), ("fiwi", None)):
        dataset = FixationFolder(folder / name, "train")
        assert len(dataset) == 7
        found = torch.nonzero(dataset[0]["fixations"]).tolist()
        assert found == sorted([y, x] for x, y in WHERE)
        assert observer is None or dataset.observer_name(0) == observer


def six_lines(names: dict[str, Any], folder: Path) -> None:
    """Check what the six lines of the README leave."""
    assert names["m"].density.sum(dtype="float64") == pytest.approx(1, abs=1e-5)
    assert {"map.png", "overlay.jpg"} <= {path.name for path in folder.iterdir()}


def loop(names: dict[str, Any], folder: Path) -> None:
    """Check that the loop of one's own trains."""
    assert torch.isfinite(names["loss"])
    before, after = salzoo.load("deepgaze2").network.state_dict(), names["model"].network.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved
    assert not [name for name in moved if name.startswith("backbone.")], "the backbone is frozen"


CHECKS: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "README.md": six_lines,
    "docs/guides/designs.md": pages_are_read,
    "docs/guides/train.md": loop,
}
"""What is known of a page's names after its blocks have run."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.python], ids=lambda page: page.name)
def test_blocks_run(page: Page, folder: Path) -> None:
    """All of a page, one after another, in one namespace."""
    names: dict[str, Any] = {"__name__": "page"}
    for code in page.python:
        exec(compile(code, page.name, "exec"), names)
    CHECKS.get(page.name, lambda names, folder: None)(names, folder)


def test_what_is_checked_is_there() -> None:
    assert CHECKS.keys() <= {page.name for page in PAGES if page.python}


@each_page
def test_imports_of_blocks_resolve(page: Page) -> None:
    for node in (node for code in page.python for node in ast.walk(ast.parse(code))):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize(
    "code",
    sorted({code for page in PAGES for code in page.inline if re.match(r"salzoo\.load\(\"[a-z]\w*[\".](?!.*/)", code)}),
)
def test_loading_with_options(code: str) -> None:
    assert isinstance(eval(code, {"salzoo": salzoo}), SaliencyModel)


def test_names_within_sentences_exist() -> None:
    roots = {"salzoo": salzoo, "SaliencyModel": SaliencyModel, "model": salzoo.load("uniform")}
    inline = {code for page in PAGES for code in page.inline}
    found = [re.match(r"(salzoo|SaliencyModel|model)((?:\.\w+)+)(?![\w/])", code) for code in inline]
    names = [(match[1], match[2].split(".")[1:]) for match in found if match and match[2] != ".safetensors"]
    assert len(names) > 10
    for root, path in names:
        value: Any = roots[root]
        for name in path:
            if not hasattr(value, name) and root == "salzoo":
                importlib.import_module(f"{value.__name__}.{name}")
            assert hasattr(value, name), f"{root}.{'.'.join(path)}"
            value = getattr(value, name)


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in page.commands}))
def test_command_is_accepted(command: str, tmp_path: Path) -> None:
    """By the real parser; what it leaves to Lightning's command line is parsed there, with the model's own options."""
    _, *words = shlex.split(command)
    if re.fullmatch(r"[a-z]+( [a-z]+)?", " ".join(words)):  # a sentence that names the command
        with pytest.raises(SystemExit, match=r"^0$"):
            build_parser().parse_args([*words, "--help"])
        return
    arguments, arguments.rest = build_parser().parse_known_args(words)
    if words[0] != "fit" or arguments.name == "NAME":
        assert not arguments.rest
        return
    spec, tag = resolve(arguments.name)
    options = [*lightning_options(arguments), "--training.pretrained_backbone=false", "--trainer.accelerator=cpu"]
    with torch.device("meta"):
        cli = parse(Run(spec, tag, tmp_path, options))
    assert cli.datamodule.sets == (arguments.data or "osie,eyecrowd,scene500").split(",")


def test_every_model_and_command_is_named() -> None:
    assert not [name for name in salzoo.list_models() if f"`{name}`" not in README.text]
    used = {shlex.split(command)[1] for page in PAGES for command in page.commands}
    commands = next(action.choices for action in build_parser()._actions if action.choices)
    assert not [command for command in commands if command not in used], "told on no page"


@each_page
def test_scripts_and_targets_are_there(page: Page) -> None:
    scripts = set(re.findall(r"\bpython ((?:benchmarks|examples|docs|tests)/[\w/]+\.py)", page.text))
    shell = "\n".join(block for language, block in page.blocks if language in SHELL)
    targets = set(re.findall(r"^make ([a-z]+)", "\n".join([shell, *page.inline]), re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert not [script for script in scripts if not (ROOT / script).is_file()]
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


@pytest.mark.parametrize("page", [page.path for page in PAGES] + CARDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_within_sentences_are_there(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))
    paths = [
        path for path in code if re.fullmatch(r"(salzoo|benchmarks|tests|hub|zoo_configs|examples)/[\w./-]*", path)
    ]
    assert not [path for path in paths if not (ROOT / path).exists()]


@each_page
def test_links_to_files_lead_somewhere(page: Page) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#]+)(?:#[^)]*)?\)", page.text)
    assert not [link for link in links if not (page.path.parent / link).exists()]


@pytest.fixture(scope="module")
def writer() -> Any:
    """Return the script that writes the tables."""
    return scripts.load("benchmarks/pages.py")


def test_tables_are_current(writer: Any) -> None:
    for path, text in writer.filled().items():
        assert path.read_text("utf-8") == text, "run: python benchmarks/pages.py"


def test_the_readme_is_short_and_its_image_small() -> None:
    assert len(README.text.encode()) < 9_000
    (image,) = re.findall(r"\((docs/assets/\w+\.jpg)\)", README.text)
    assert (ROOT / image).stat().st_size < 400_000


def test_badges_are_true() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = [line.rsplit(" ", 1)[1] for line in project["classifiers"] if re.search(r":: \d\.\d+$", line)]
    for badge, said in (("licence", [project["license"]]), ("python", versions)):
        drawn = (ROOT / f"docs/assets/{badge}.svg").read_text("utf-8")
        assert re.findall(r"<text[^>]*>([^<]*)</text>", drawn)[1] == " ".join(said)
        assert all(word in README.text for word in said)


def test_what_a_card_shows_lies_beside_it() -> None:
    """A checkpoint's folder is all that its page on the Hub has; cards of what has no weights are read here only."""
    shown = {card: re.findall(r"\]\((?!https?://|#)([^)]+)\)", card.read_text("utf-8")) for card in CARDS}
    assert any(shown.values())
    for card, links in shown.items():
        assert not [link for link in links if "/" in link or not (card.parent / link).is_file()], card


def test_options_in_cards_are_those_of_the_model() -> None:
    named = 0
    for card in PROSE:
        cls = import_class(read_spec(card.stem))
        accepted = {"model": set(parameters(cls)), "training": {field.name for field in fields(cls.training_class)}}
        for group, option in re.findall(r"--(model|training)\.(\w+)", card.read_text("utf-8")):
            named += 1
            assert option in accepted[group], f"{card.name}: --{group}.{option}"
        for option in re.findall(r"`(\w+)=", card.read_text("utf-8")):
            assert option in accepted["model"] | accepted["training"], f"{card.name}: {option}"
    assert named > 5
