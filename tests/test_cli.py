"""The `salzoo` command: its parsers, exit codes, one clear line, and the commands that print."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_models
from PIL import Image

import salzoo
from salzoo.cli import COMMANDS, build_parser, main
from salzoo.evaluation.baselines import ROWS
from salzoo.registry import read_spec

ROOT = Path(salzoo.__file__).parents[1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with one image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (40, 30), "teal").save(folder / "image0.png")
    return folder


def usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that wrong words give, with exit code 2."""
    try:
        code = main(words)
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert err.startswith("salzoo")
    return err


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["predict", "a.jpg", "--format", "npy", "b.jpg"], "input", ["a.jpg", "b.jpg"]),
        (["predict", "-o", "out", "a.jpg", "--format", "npy", "b.jpg", "--resume"], "input", ["a.jpg", "b.jpg"]),
        (["predict", "--format", "npy", "--", "-a.jpg", "b.jpg"], "input", ["-a.jpg", "b.jpg"]),
        (["evaluate", "--data", "osie", "salgan", "--root", "x", "m=salnet"], "name", ["salgan", "m=salnet"]),
        (["evaluate", "--maps", "x", "--data", "osie"], "name", []),
        (["scanpath", "-m", "wta", "a.jpg", "--seed", "3", "b.jpg"], "input", ["a.jpg", "b.jpg"]),
        (["fit", "--data", "osie", "salgan", "--trainer.max_epochs", "3"], "name", "salgan"),
    ],
)
def test_files_and_names_stand_anywhere(words: list[str], name: str, value: object) -> None:
    arguments, rest = build_parser().parse_known_args(words)
    assert getattr(arguments, name) == value
    assert rest == (["--trainer.max_epochs", "3"] if words[0] == "fit" else [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["paint"], "paint"),
        (["list", "--jsom"], "unknown argument --jsom"),
        (["info", "centre_bais"], "Did you mean 'centre_bias'"),
        (["info", "salgan.large"], "it has lite, paper"),
        (["predict", "-m", "uniform", "-o", "out"], "INPUT"),
        (["predict", "PHOTOS", "-m", "unifrom", "-o", "out"], "Did you mean 'uniform'?"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--format", "gif"], "invalid choice: 'gif'"),
        (
            ["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--batch-size", "0"],
            "'0' is not a whole number of at least 1",
        ),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--batch-size", "x"], "'x' is not a whole number"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--workers", "0"], "--workers"),
        (["predict", "PHOTOS", "-m", "uniform", "-o", "out", "--colour"], "unknown argument --colour"),
        (["evaluate", "uniform", "--data", "osie"], "--root"),
        (["evaluate", "uniform", "--data", "osle", "--root", "."], "'osle'. Did you mean 'osie'?"),
        (["fit"], "NAME"),
        (["fit", "uniform", "-o", "out"], "uniform has nothing to learn"),
    ],
)
def test_usage_errors_exit_with_2_and_one_line(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    assert said in usage_error([str(photos) if word == "PHOTOS" else word for word in words], capsys)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "option", ["--trainer.max_epoch=3", "--model.colour=red", "--training.lr=fast", "--nonsense", "--config=no.yaml"]
)
def test_wrong_fit_options_exit_with_2(
    option: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = usage_error([*tiny_models.fit_words("deepgaze2", tiny_data, tmp_path), option], capsys)
    assert option.split("=")[0].lstrip("-").split(".")[-1] in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "nowhere.jpg", "-m", "uniform", "-o", "out"], "nowhere.jpg"),
        (["predict", "*.jpg", "-m", "uniform", "-o", "out"], "matches 0"),
        (["predict", ".", "-m", "uniform", "-o", "out"], "holds no image"),
        (["predict", "@gone.txt", "-m", "uniform", "-o", "out"], "cannot read the list gone.txt"),
        (["predict", "gone.tar", "-m", "uniform", "-o", "out"], "there is no shard gone.tar"),
        (["predict", "photos", "-m", "./nowhere", "-o", "out"], "nowhere is not a checkpoint folder"),
        (["evaluate", "uniform", "--data", "osie", "--root", "nowhere"], "no folder nowhere"),
        (
            ["fit", "deepgaze2", "-o", "out", "--data", "osie", "--root", "nowhere", "--ckpt_path", "last"],
            "no checkpoint",
        ),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    assert main(words) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(Path().glob("out/**/*.png"))


def test_list_and_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[2:].split()[0] for line in lines] == salzoo.list_models()
    assert [line[0] == "*" for line in lines] == [n in salzoo.list_models(trained=True) for n in salzoo.list_models()]
    assert main(["list", "*gan", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["salgan"]
    assert main(["list", "x*"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["info", "uniform", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == salzoo.info("uniform")
    assert main(["info", "salgan.paper"]) == 0
    assert "vgg16.tv_in1k" in capsys.readouterr().out


@pytest.mark.parametrize("name", [f"{n}.{tag}" for n in salzoo.list_models() for tag in salzoo.info(n)["variants"]])
def test_info_is_a_short_sheet(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", name]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") <= 40
    assert max(map(len, out.splitlines())) <= 130
    known = salzoo.info(name)
    assert out.startswith(f"{name}: {known['summary']}\n")
    words = " ".join(out.split())  # lines are broken anywhere
    for told in ("url", "title"):
        assert ((known["paper"] or {}).get(told) or "") in words
    for row in known["measured"]:
        assert f"{row['dataset']} {row['split']}, {row['images']} images" in words
        assert f"nss {row['scores']['nss']:.3f}" in words
    licence = known["license"]
    assert f"licence {licence}, sha256" in words if licence else "Weights none" in words
    loads = name.partition(".")[2] in read_spec(known["name"]).loadable
    data = "videos" if known["kind"] == "video" else "osie"
    assert ("Use salzoo predict" if loads else "Use salzoo fit") in words
    assert loads or f"--data {data} --root DIR" in words


def test_the_card_of_a_folder(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tiny_checkpoint), "--card"]) == 0
    assert "## Training" in capsys.readouterr().out
    assert main(["info", str(tmp_path), "--card"]) == 2
    assert "Unknown model" in capsys.readouterr().err


def test_the_card_is_the_whole_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "salgan", "--card"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# salgan.lite\n")
    assert {"## Loss", "## Limits", "## Measured", "## Training"} <= set(out.splitlines())
    assert main(["info", "bms", "--card"]) == 0
    assert "\n## Intended use\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "code",
    [
        "import salzoo; salzoo.list_models(); salzoo.list_models(trained=True)",
        "import salzoo; salzoo.info('salgan')",
        "from salzoo.cli import main; assert main(['list']) == 0",
        "from salzoo.cli import main; assert main(['info', 'salgan']) == main(['info', 'salgan', '--card']) == 0",
        "from salzoo.cli import main; assert main(['predict', 'nowhere.jpg', '-m', 'uniform', '-o', 'out']) == 1",
    ],
)
def test_no_torch_until_a_model_is_needed(code: str) -> None:
    code += "; import sys; assert not {'torch', 'lightning', 'timm', 'huggingface_hub'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


@pytest.mark.filterwarnings("ignore:constant predictions are scored at chance")  # the row `uniform`
def test_evaluate_prints_a_table_and_writes_it(
    tiny_data: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.json"
    words = ["evaluate", str(tiny_checkpoint), "--data", "osie", "--root", str(tiny_data), "--json", str(file)]
    assert main(words) == 0
    out = capsys.readouterr().out
    table = json.loads(file.read_text())
    assert (table["dataset"], table["split"], table["images"]) == ("osie", "test", 5)
    rows = table["rows"]
    assert list(rows) == [str(tiny_checkpoint), *ROWS]
    assert (rows["uniform"]["nss"], rows["uniform"]["auc_judd"]) == (0, 0.5)
    assert rows["centre_bias_train"]["ig"] == pytest.approx(0, abs=1e-6)
    assert rows["gold"]["nss"] > rows["centre_bias"]["nss"] > 0
    for row, scores in rows.items():
        (line,) = (line for line in out.splitlines() if line.startswith(f"| {row} |"))
        assert all(f" {score:z.3f}" in line for score in scores.values())


SINGLE = ["", "list", "info", "predict", "evaluate", "fit", "finetune", "publish", "study", "data"]
GROUPED = ["study losses", "data check", "data submit"]


@pytest.mark.parametrize("command", [*SINGLE, *GROUPED])
def test_help_exits_with_0(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert not end.value.code
    assert capsys.readouterr().out.startswith(f"usage: salzoo {command}".rstrip() + " [-h]")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert not end.value.code
    assert capsys.readouterr().out == f"salzoo {salzoo.__version__}\n"


def test_each_file_is_a_command() -> None:
    """A file beside the others that is not in `COMMANDS` would be a command that nobody can call."""
    files = {path.stem for path in (ROOT / "salzoo/cli").glob("[!_]*.py")}
    assert sorted(COMMANDS) == sorted(files)


def test_every_command_and_option_is_described() -> None:
    """Each command has one sentence, and each option some words."""

    def check(parser: argparse.ArgumentParser) -> int:
        options = 0
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                assert all(re.fullmatch(r"[A-Z][^.]*\.", choice.help or "") for choice in action._choices_actions)
                options += sum(check(sub) for sub in action.choices.values())
            else:
                assert action.help, f"{parser.prog} {action.option_strings}"
                options += 1
        return options

    assert check(build_parser()) > 60


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], ["fit", "--help"], ["--version"], ["nonsense"]])
def test_parsing_imports_nothing_heavy(words: list[str]) -> None:
    heavy = {"torch", "lightning", "timm", "huggingface_hub", "numpy", "PIL", "scipy"}
    code = (
        f"import sys; from salzoo.cli import main\ntry: main({words})\nexcept SystemExit: pass\n"
        f"assert not (found := {heavy} & set(sys.modules)), found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
