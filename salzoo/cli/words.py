"""The words of the `salzoo` command: its options, and what they may be."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line, without the usage dump."""
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` shows the options)\n")


def parser_of(runs: Mapping[str, Any]) -> argparse.ArgumentParser:
    """Return the parser of all commands.

    Args:
        runs: Command to what runs it, which is `run` of the parsed arguments.
    """
    from salzoo._version import __version__

    parser = _Parser("salzoo", description="Where do people look in this picture?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"salzoo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, text: str, under: Any = commands) -> argparse.ArgumentParser:
        last = name.split()[-1]
        sub: argparse.ArgumentParser = under.add_parser(last, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=runs[name])
        return sub

    sub = command("list", "The zoo's models; * marks those with trained weights.")
    sub.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="glob, as in '*gaze*'")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command("info", "What is known of a model.")
    sub.add_argument("name", metavar="NAME", help="model or model.tag")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command("predict", "Pictures to saliency maps.")
    sub.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="files, folders and globs; @FILE: one a line; webdataset shards, also as {000..123}.tar",
    )
    sub.add_argument("-m", "--model", required=True, metavar="NAME", help="model, model.tag or checkpoint folder")
    sub.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="where the maps go")
    sub.add_argument(
        "--format", action="append", choices=("png", "npy", "tiff", "overlay"), help="default png; may be repeated"
    )
    sub.add_argument("--batch-size", type=_positive, default=8, metavar="N")
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    sub.add_argument("--workers", type=_positive, default=2, metavar="N", help="threads that read and write")
    sub.add_argument(
        "--engine", choices=("local", "torchrun", "ray"), default="local", help="default local: one process"
    )
    sub.add_argument("--processes", type=_positive, metavar="N", help="of torchrun or ray; default one a GPU or core")
    sub.add_argument("--resume", action="store_true", help="keep a manifest, and leave out what it says is done")
    sub.add_argument("--shard-size", type=_positive, metavar="N", help="write the maps of N pictures into one tar each")

    sub = command("evaluate", "Models and baselines by metrics on a data set.")
    sub.add_argument("name", nargs="*", metavar="NAME", help="models, model.tags or checkpoint folders")
    sub.add_argument(
        "--maps", action="append", default=[], type=Path, metavar="DIR", help="maps that any tool wrote (png, npy, mat)"
    )
    _add_data(sub, required=True)
    sub.add_argument("--split", default="test", choices=("train", "val", "test", "all"))
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    sub.add_argument("--convention", choices=("mit", "pysaliency"), default="mit", help="of all metrics, default mit")
    sub.add_argument(
        "--metric-specific", action="store_true", help="score, of each density, the map that is best for each metric"
    )
    sub.add_argument(
        "--baselines", metavar="ROWS", help="of gold_joint,gold,one_human,centre_bias,..., default all; '' for none"
    )
    sub.add_argument("--intervals", action="store_true", help="print half the 95 %% bootstrap interval of each mean")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the table there as JSON")
    sub.add_argument("--csv", type=Path, metavar="FILE", help="write the score of every picture there")
    sub.add_argument("--processes", type=_positive, metavar="N", help="share the pictures among N processes")
    sub.add_argument(
        "--record", action="store_true", help="write each checkpoint folder's row into its config.json and card"
    )

    sub = command("fit", "Train a model by its recipe; all Lightning CLI options go over it (--trainer.max_epochs 3).")
    sub.add_argument("name", metavar="NAME", help="model or model.tag")
    _add_data(sub, required=False)
    sub.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the run, default runs/NAME.TAG")
    sub.add_argument("--ckpt_path", metavar="last|auto|FILE", help="resume a run; auto: if there is one")
    sub.add_argument(
        "--license", metavar="SPDX", default="apache-2.0", help="licence of the weights, default apache-2.0"
    )

    sub = command("publish", "Upload a checkpoint to the Hugging Face Hub.")
    sub.add_argument("name", metavar="NAME", help="model, model.tag or checkpoint folder")
    sub.add_argument("--repo", required=True, metavar="ORG/REPO", help="made if it is not there")
    sub.add_argument("--private", action="store_true", help="make it private")
    sub.add_argument("--dry-run", action="store_true", help="check, and show what would be uploaded")
    sub.add_argument("--version", metavar="TAG", help="tag of the commit, default v and salzoo's version")
    sub.add_argument("--keep-card", action="store_true", help="leave a card that was edited on the Hub as it is")

    sub = commands.add_parser("study", help="Comparisons of many training runs.", allow_abbrev=False)
    questions = sub.add_subparsers(metavar="QUESTION", required=True)
    sub = command("study losses", "Which loss to train with: one network, all losses, several seeds.", questions)
    _add_data(sub, required=True)
    sub.add_argument(
        "-o", "--output", type=Path, default=Path("study_losses"), metavar="DIR", help="report and trials; resumed"
    )
    sub.add_argument("--losses", metavar="A,B", help="only these; all by default")
    sub.add_argument("--seeds", type=_positive, default=3, metavar="N", help="runs of each loss, default 3")
    sub.add_argument("--epochs", type=_positive, default=4, metavar="N", help="of each run, default 4")
    sub.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes of one thread, default 1")
    sub.add_argument("--report", action="store_true", help="run nothing: only report what there is so far")

    sub = command(
        "finetune",
        "Adapt trained weights to a set, also a small one; Lightning CLI options go over the recipe.",
    )
    sub.add_argument("name", metavar="NAME", help="model, model.tag or checkpoint folder to start from")
    _add_data(sub, required=True)
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where NAME.TAG/ goes")
    sub.add_argument("--license", metavar="SPDX", help="licence of the weights, default that of those to start from")

    sub = commands.add_parser("data", help="Data sets, also your own.", allow_abbrev=False)
    actions = sub.add_subparsers(metavar="ACTION", required=True)
    sub = command("data check", "What is understood of a data set, what is dropped and what looks wrong.", actions)
    sub.add_argument("root", type=Path, metavar="ROOT", help="the set's folder, or the one that holds it")
    sub.add_argument(
        "--data", default="folder", metavar="SET", help="name of the set, default folder: a study of yours"
    )
    sub.add_argument("--split", default="all", choices=("train", "val", "test", "all"))
    sub.add_argument(
        "-o", "--output", type=Path, metavar="PNG", help="contact sheet, default check_SET.png; a dot a fixation"
    )
    sub = command("data submit", "Maps of a split whose fixations are hidden, as its benchmark takes them.", actions)
    sub.add_argument("root", type=Path, metavar="ROOT", help="the set's folder, or the one that holds it")
    sub.add_argument("--data", required=True, metavar="SET", help="mit300, cat2000, salicon2015, salicon2017 or isun")
    sub.add_argument("--split", default="test", choices=("val", "test"))
    sub.add_argument("-m", "--model", required=True, metavar="NAME", help="model, model.tag or checkpoint folder")
    sub.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="folder to write, named as you are"
    )
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def _add_data(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--data",
        required=required,
        metavar="SET",
        help="osie, salicon2017, folder (your own), ...; fit, finetune and study take several: a,b",
    )
    parser.add_argument("--root", required=required, metavar="DIR", help="the set's folder, or the one that holds it")


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
