"""What README and cards print works: blocks run, commands parse, names and files are there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import salzoo
from salzoo import SaliencyModel
from salzoo._schema import parameters
from salzoo.checkpoint.loading import import_class
from salzoo.cli import build_parser
from salzoo.cli._parser import lightning_options
from salzoo.images.samples import sample_images
from salzoo.registry import read_spec, resolve
from salzoo.training.fit import Run, parse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROSE = sorted(ROOT.glob("hub/cards/*.md"))
CARDS = [*sorted(ROOT.glob("hub/*.*/README.md")), *PROSE]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
PYTHON = [code for language, code in BLOCKS if language == "python"]
INLINE = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", README)
"""Code within sentences and tables."""


def commands() -> list[str]:
    """Return the `salzoo` commands of blocks and sentences, from `salzoo` on; `...` stands for a dataset."""
    lines = [line for language, block in BLOCKS if not language for line in block.splitlines()]
    found = [re.search(r"(?:^|--no-python )(salzoo .*)", line.partition("  #")[0]) for line in [*lines, *INLINE]]
    return [match[1].strip().replace(" ...", " --data osie --root data") for match in found if match]


@pytest.fixture
def folder(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with what the examples take for granted: `photo.jpg`, and datasets in `data/`."""
    sample_images()["coffee"].save(tmp_path / "photo.jpg")
    (tmp_path / "data").symlink_to(tiny_data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    return names


def test_the_imports_of_blocks_resolve() -> None:
    found = [node for code in PYTHON for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    assert found
    for node in found:
        module = importlib.import_module(str(node.module))
        assert not [name.name for name in node.names if not hasattr(module, name.name)]


@pytest.mark.parametrize("code", [code for code in PYTHON if ".load(" not in code])
def test_block_runs(code: str, folder: Path) -> None:
    """Those that load a model have tests of their own below."""
    run(code)


def test_the_six_lines_write_what_they_say(folder: Path) -> None:
    code, _ = [code for code in PYTHON if ".load(" in code]
    names = run(code)
    assert names["m"].density.sum(dtype="float64") == pytest.approx(1, abs=1e-5)
    assert {"map.png", "overlay.jpg"} <= {path.name for path in folder.iterdir()}


def test_the_loop_trains(folder: Path) -> None:
    _, code = [code for code in PYTHON if ".load(" in code]
    names = run(code)
    assert torch.isfinite(names["loss"])
    before, after = salzoo.load("deepgaze2").network.state_dict(), names["model"].network.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert moved
    assert not [name for name in moved if name.startswith("backbone.")], "the backbone is frozen"


@pytest.mark.parametrize("code", [code for code in INLINE if re.match(r"salzoo\.load\((?!.*hf://)", code)])
def test_loading_with_options(code: str) -> None:
    assert isinstance(eval(code, {"salzoo": salzoo}), SaliencyModel)


def test_names_within_sentences_exist() -> None:
    roots = {"salzoo": salzoo, "SaliencyModel": SaliencyModel, "model": salzoo.load("uniform")}
    found = [re.match(r"(salzoo|SaliencyModel|model)((?:\.\w+)+)(?![\w/])", code) for code in INLINE]
    names = [(match[1], match[2].split(".")[1:]) for match in found if match]
    assert len(names) > 10
    for root, path in names:
        value: Any = roots[root]
        for name in path:
            assert hasattr(value, name), f"{root}.{'.'.join(path)}"
            value = getattr(value, name)


@pytest.mark.parametrize("command", commands())
def test_command_is_accepted(command: str, tmp_path: Path) -> None:
    """By the real parser; what it leaves to Lightning's command line is parsed there, with the model's own options."""
    _, *words = shlex.split(command)
    if len(words) == 1:  # a sentence that names the command
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
    assert not [name for name in salzoo.list_models() if f"`{name}`" not in README]
    used = {shlex.split(command)[1] for command in commands()}
    assert {"list", "info", "predict", "evaluate", "fit", "finetune", "publish", "study", "data"} <= used


def test_every_script_and_target_is_there() -> None:
    scripts = set(re.findall(r"\bpython ((?:benchmarks|examples)/\w+\.py)", README))
    targets = set(re.findall(r"(?:^|`|: )make ([a-z]+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert scripts
    assert targets
    assert not [script for script in scripts if not (ROOT / script).is_file()]
    assert not [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *CARDS], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_within_sentences_are_there(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))
    paths = [
        path for path in code if re.fullmatch(r"(salzoo|benchmarks|tests|hub|zoo_configs|examples)/[\w./-]*", path)
    ]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_every_link_to_a_file_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


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
