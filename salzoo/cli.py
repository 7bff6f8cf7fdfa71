"""The `salzoo` command: words to calls, no logic of its own.

Exit codes: 0 done, 1 a job went wrong (some picture unreadable, weights damaged), 2 the words were wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from salzoo.allocator import keep_memory
from salzoo.errors import SalzooError, SpecError, UnknownModelError

if TYPE_CHECKING:
    from salzoo.data import FixationDataset


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line, without the usage dump."""
        self.exit(2, f"{self.prog}: {message} (`{self.prog} --help` shows the options)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = _build_parser()
    arguments, rest = parser.parse_known_args(words)
    if rest and arguments.run not in (_fit, _finetune):
        parser.error(f"unknown argument {rest[0]}")
    arguments.rest, arguments.words = rest, words
    keep_memory()
    try:
        code: int = arguments.run(arguments)
    except (UnknownModelError, SpecError) as error:
        print(f"salzoo: {error}", file=sys.stderr)
        return 2
    except SalzooError as error:
        print(f"salzoo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `salzoo info x | head`
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("salzoo: interrupted", file=sys.stderr)
        return 130
    return code


def _build_parser() -> argparse.ArgumentParser:
    from salzoo import __version__

    parser = _Parser("salzoo", description="Where do people look in this picture?", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"salzoo {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str, under: Any = commands) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = under.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(run=run)
        return sub

    sub = command("list", _list, "The zoo's models; * marks those with trained weights.")
    sub.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="glob, as in '*gaze*'")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command("info", _info, "What is known of a model.")
    sub.add_argument("name", metavar="NAME", help="model or model.tag")
    sub.add_argument("--json", action="store_true", help="as JSON")

    sub = command("predict", _predict, "Pictures to saliency maps.")
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

    sub = command("evaluate", _evaluate, "Models and baselines by metrics on a data set.")
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

    sub = command(
        "fit", _fit, "Train a model by its recipe; all Lightning CLI options go over it (--trainer.max_epochs 3)."
    )
    sub.add_argument("name", metavar="NAME", help="model or model.tag")
    _add_data(sub, required=False)
    sub.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the run, default runs/NAME.TAG")
    sub.add_argument("--ckpt_path", metavar="last|auto|FILE", help="resume a run; auto: if there is one")
    sub.add_argument(
        "--license", metavar="SPDX", default="apache-2.0", help="licence of the weights, default apache-2.0"
    )

    sub = command("publish", _publish, "Upload a checkpoint to the Hugging Face Hub.")
    sub.add_argument("name", metavar="NAME", help="model, model.tag or checkpoint folder")
    sub.add_argument("--repo", required=True, metavar="ORG/REPO", help="made if it is not there")
    sub.add_argument("--private", action="store_true", help="make it private")
    sub.add_argument("--dry-run", action="store_true", help="check, and show what would be uploaded")
    sub.add_argument("--version", metavar="TAG", help="tag of the commit, default v and salzoo's version")
    sub.add_argument("--keep-card", action="store_true", help="leave a card that was edited on the Hub as it is")

    sub = commands.add_parser("study", help="Comparisons of many training runs.", allow_abbrev=False)
    questions = sub.add_subparsers(metavar="QUESTION", required=True)
    sub = command(
        "losses", _study_losses, "Which loss to train with: one network, all losses, several seeds.", questions
    )
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
        _finetune,
        "Adapt trained weights to a set, also a small one; Lightning CLI options go over the recipe.",
    )
    sub.add_argument("name", metavar="NAME", help="model, model.tag or checkpoint folder to start from")
    _add_data(sub, required=True)
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="where NAME.TAG/ goes")
    sub.add_argument("--license", metavar="SPDX", help="licence of the weights, default that of those to start from")

    sub = commands.add_parser("data", help="Data sets, also your own.", allow_abbrev=False)
    actions = sub.add_subparsers(metavar="ACTION", required=True)
    sub = command("check", _check, "What is understood of a data set, what is dropped and what looks wrong.", actions)
    sub.add_argument("root", type=Path, metavar="ROOT", help="the set's folder, or the one that holds it")
    sub.add_argument(
        "--data", default="folder", metavar="SET", help="name of the set, default folder: a study of yours"
    )
    sub.add_argument("--split", default="all", choices=("train", "val", "test", "all"))
    sub.add_argument(
        "-o", "--output", type=Path, metavar="PNG", help="contact sheet, default check_SET.png; a dot a fixation"
    )
    sub = command(
        "submit", _submit, "Maps of a split whose fixations are hidden, as its benchmark takes them.", actions
    )
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


def _list(arguments: argparse.Namespace) -> int:
    from salzoo.spec import read_spec
    from salzoo.zoo import list_models

    specs = [read_spec(name) for name in list_models(arguments.pattern)]
    if arguments.json:
        rows = [
            {"name": s.name, "summary": s.summary, "default": s.default, "trained": list(s.loadable)} for s in specs
        ]
        print(json.dumps(rows, indent=2))
    else:
        width = max((len(s.name) for s in specs), default=0)
        for s in specs:
            print(f"{'*' if s.loadable else ' '} {s.name:{width}}  {s.summary}")
    return 0


def _info(arguments: argparse.Namespace) -> int:
    import yaml

    from salzoo.zoo import info

    content = info(arguments.name)
    text = json.dumps(content, indent=2)
    print(
        text
        if arguments.json
        else yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True, width=100).strip()
    )
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from salzoo.image import find_images

    inputs = _listed(arguments.input)
    shards = [name for name in inputs if name.endswith(".tar")]
    # Before torch is imported: a typo is told at once.
    paths = find_images(inputs) if len(shards) < len(inputs) else [Path(name) for name in shards]
    formats = tuple(dict.fromkeys(arguments.format or ["png"]))
    if shards or arguments.engine != "local" or arguments.resume or arguments.shard_size:
        return _predict_many(arguments, paths, formats)
    from salzoo.predict import load_on, predict_files

    model = load_on(arguments.model, arguments.device)
    report = predict_files(
        model,
        paths,
        arguments.output,
        formats=formats,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
    )
    print(
        f"{len(paths) - len(report.failed)} of {len(paths)} pictures, {len(report.written)} files in {arguments.output}"
    )
    for path, reason in report.failed.items():
        print(f"salzoo: {path}: {reason}", file=sys.stderr)
    return 1 if report.failed else 0


def _predict_many(arguments: argparse.Namespace, paths: Sequence[Path], formats: Any) -> int:
    import torch

    from salzoo.bulk import Job, predict_many

    job = Job(
        arguments.model,
        tuple(map(str, paths)),
        str(arguments.output),
        formats,
        arguments.shard_size,
        arguments.batch_size,
        arguments.workers,
        arguments.device,
    )
    processes = arguments.processes or torch.cuda.device_count() or os.cpu_count() or 1
    entries = predict_many(job, arguments.engine, processes)
    if os.environ.get("RANK", "0") != "0":
        return 0
    failed = {name: reason for entry in entries for name, reason in entry.failed.items()}
    done, files = sum(entry.pictures for entry in entries), sum(len(entry.files) for entry in entries)
    print(f"{done} of {done + len(failed)} pictures, {files} files in {arguments.output}")
    for name, reason in failed.items():
        print(f"salzoo: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _listed(names: Sequence[str]) -> list[str]:
    """Read the lists among the inputs, and expand the braces of shards."""
    found: list[str] = []
    for name in names:
        if name.startswith("@") and not Path(name).exists():
            try:
                found += [line for line in Path(name[1:]).read_text(encoding="utf-8").splitlines() if line.strip()]
            except OSError as error:
                raise SpecError(f"cannot read the list {name[1:]}: {error.strerror}.") from error
        elif name.endswith(".tar") and "{" in name:
            from braceexpand import braceexpand

            found += braceexpand(name)
        else:
            found.append(name)
    for name in found:
        if name.endswith(".tar") and not Path(name).is_file():
            raise SpecError(f"there is no shard {name}.")
    return found


def _evaluate(arguments: argparse.Namespace) -> int:
    if not arguments.name and not arguments.maps:
        raise SpecError("nothing to evaluate: name a model, or a folder of maps with --maps DIR.")
    for file in (arguments.json, arguments.csv):  # before an hour of scoring
        if file is not None and not file.parent.is_dir():
            raise SpecError(f"there is no folder {file.parent} to write {file.name} into.")
    if arguments.processes and "RANK" not in os.environ:
        from salzoo.processes import torchrun

        return min(torchrun(["salzoo", *arguments.words], arguments.processes), 1)
    from salzoo.data import load_dataset

    dataset: FixationDataset = load_dataset(arguments.data, arguments.root, arguments.split)
    from salzoo.baselines import ROWS
    from salzoo.evaluate import evaluate, load_predictors
    from salzoo.hub import write_text

    predictors, notes = load_predictors(arguments.name, arguments.maps, dataset, arguments.device)
    table = evaluate(
        predictors,
        dataset,
        baselines=ROWS if arguments.baselines is None else [row for row in arguments.baselines.split(",") if row],
        convention=arguments.convention,
        metric_specific=arguments.metric_specific,
        notes=notes,
        shared="RANK" in os.environ,
    )
    if os.environ.get("RANK", "0") != "0":
        return 0
    print(table.to_markdown(intervals=arguments.intervals))
    if arguments.json is not None:
        write_text(arguments.json, json.dumps(table.to_json(), indent=2) + "\n")
    if arguments.csv is not None:
        write_text(arguments.csv, table.to_csv())
    if arguments.record:
        from salzoo import card
        from salzoo.fit import commit

        for name in arguments.name:
            card.record(Path(name), [table.measured(name, commit())])
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from salzoo.zoo import resolve

    spec, tag = resolve(arguments.name)
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.fit import Run, fit

    options = _options(arguments)
    output = arguments.output or Path("runs") / f"{spec.name}.{tag}"
    command = shlex.join(["salzoo", *arguments.words])
    folder = fit(Run(spec, tag, output, options, arguments.ckpt_path, command, arguments.license))
    if folder is None:
        print("The rehearsal went well; nothing was written.")
        return 0
    rank_zero_only(print)(f"Wrote {folder}; `salzoo predict PICTURE -m {folder} -o DIR` uses it.")
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    from salzoo.publish import publish

    options = {"version": arguments.version} if arguments.version else {}
    done = publish(
        arguments.name,
        arguments.repo,
        private=arguments.private,
        dry_run=arguments.dry_run,
        keep_card=arguments.keep_card,
        **options,
    )
    for name, (size, sha256) in done.files.items():
        print(f"{size:>12,}  {sha256[:12]}  {name}")
    if done.commit is None:
        print(f"Fit to be published as {done.repo}, version {done.tag}; nothing was uploaded (--dry-run).")
    else:
        what = "published" if done.changed else "has this already"
        print(f"{done.repo} {what}: version {done.tag}, commit {done.commit}")
        print(f'salzoo.load("hf://{done.repo}@{done.commit}")')
    return 0


def _study_losses(arguments: argparse.Namespace) -> int:
    from salzoo.study import LOSSES, Study
    from salzoo.study_report import write_report

    chosen = tuple(LOSSES) if arguments.losses is None else tuple(arguments.losses.split(","))
    datasets = tuple(arguments.data.split(","))
    study = Study(arguments.output, datasets, arguments.root, chosen, arguments.seeds, arguments.epochs)
    results = study.kept() if arguments.report else study.run(arguments.workers)
    print(f"Wrote {write_report(results, arguments.output)}")
    return 0


def _finetune(arguments: argparse.Namespace) -> int:
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.finetune import Finetuning, finetune

    command = shlex.join(["salzoo", *arguments.words])
    adapted = finetune(Finetuning(arguments.name, arguments.output, _options(arguments), command, arguments.license))
    if adapted is None:
        print("The rehearsal went well; nothing was written.")
        return 0
    rank_zero_only(print)(adapted.to_text())
    rank_zero_only(print)(f"Wrote {adapted.folder}; `salzoo predict PICTURE -m {adapted.folder} -o DIR` uses it.")
    return 0


def _options(arguments: argparse.Namespace) -> list[str]:
    """Return the options for Lightning's CLI."""
    options = list(arguments.rest)
    if arguments.data is not None:
        options += [f"--data.sets={json.dumps(arguments.data.split(','))}"]
    if arguments.root is not None:
        options += [f"--data.root={arguments.root}"]
    return options


def _check(arguments: argparse.Namespace) -> int:
    from salzoo.data import load_dataset
    from salzoo.data.check import check, contact_sheet

    dataset = load_dataset(arguments.data, arguments.root, arguments.split)
    print(check(dataset).to_text())
    path = arguments.output or Path(f"check_{arguments.data}.png")
    try:
        contact_sheet(dataset).save(path)
    except (OSError, ValueError) as error:  # ValueError: a suffix that Pillow does not know
        raise SpecError(f"the contact sheet cannot be written to {path}: {error}") from error
    print(f"{'contact sheet:':13} {path}")
    return 0


def _submit(arguments: argparse.Namespace) -> int:
    from salzoo.data import load_dataset, write_submission
    from salzoo.predict import load_on

    dataset = load_dataset(arguments.data, arguments.root, arguments.split)
    model = load_on(arguments.model, arguments.device)
    maps = ((name, model.predict(dataset.image(i))) for i, name in enumerate(dataset.names))
    folder = write_submission(dataset, maps, arguments.output)
    print(f"Wrote {len(dataset)} maps of {dataset.name_of_set} {dataset.split} into {folder}")
    return 0
