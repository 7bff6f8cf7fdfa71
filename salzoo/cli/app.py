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
from typing import TYPE_CHECKING, Any

from salzoo._malloc import keep_memory
from salzoo.cli.words import parser_of
from salzoo.errors import SalzooError, SpecError, UnknownModelError

if TYPE_CHECKING:
    from salzoo.data import FixationDataset


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = parser_of(
        {
            "list": _list,
            "info": _info,
            "predict": _predict,
            "evaluate": _evaluate,
            "fit": _fit,
            "publish": _publish,
            "study losses": _study_losses,
            "finetune": _finetune,
            "data check": _check,
            "data submit": _submit,
        }
    )
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


def _list(arguments: argparse.Namespace) -> int:
    from salzoo.registry import list_models, read_spec

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

    from salzoo.checkpoint.describe import info

    content = info(arguments.name)
    text = json.dumps(content, indent=2)
    print(
        text
        if arguments.json
        else yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True, width=100).strip()
    )
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from salzoo.images.read import find_images

    inputs = _listed(arguments.input)
    shards = [name for name in inputs if name.endswith(".tar")]
    # Before torch is imported: a typo is told at once.
    paths = find_images(inputs) if len(shards) < len(inputs) else [Path(name) for name in shards]
    formats = tuple(dict.fromkeys(arguments.format or ["png"]))
    if shards or arguments.engine != "local" or arguments.resume or arguments.shard_size:
        return _predict_many(arguments, paths, formats)
    from salzoo.prediction.files import load_on, predict_files

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

    from salzoo.prediction.batch import Job, predict_many

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
        from salzoo._distributed import torchrun

        return min(torchrun(["salzoo", *arguments.words], arguments.processes), 1)
    from salzoo.data import load_dataset

    dataset: FixationDataset = load_dataset(arguments.data, arguments.root, arguments.split)
    from salzoo._io import write_text
    from salzoo.evaluation.baselines import ROWS
    from salzoo.evaluation.scoring import evaluate, load_predictors

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
        from salzoo.checkpoint import card
        from salzoo.training.fit import commit

        for name in arguments.name:
            card.record(Path(name), [table.measured(name, commit())])
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from salzoo.registry import resolve

    spec, tag = resolve(arguments.name)
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.training.fit import Run, fit

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
    from salzoo.checkpoint.publish import publish

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
    from salzoo.studies.loss_report import write_report
    from salzoo.studies.loss_study import LOSSES, Study

    chosen = tuple(LOSSES) if arguments.losses is None else tuple(arguments.losses.split(","))
    datasets = tuple(arguments.data.split(","))
    study = Study(arguments.output, datasets, arguments.root, chosen, arguments.seeds, arguments.epochs)
    results = study.kept() if arguments.report else study.run(arguments.workers)
    print(f"Wrote {write_report(results, arguments.output)}")
    return 0


def _finetune(arguments: argparse.Namespace) -> int:
    from lightning.pytorch.utilities import rank_zero_only

    from salzoo.training.finetune import Finetuning, finetune

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
    from salzoo.prediction.files import load_on

    dataset = load_dataset(arguments.data, arguments.root, arguments.split)
    model = load_on(arguments.model, arguments.device)
    maps = ((name, model.predict(dataset.image(i))) for i, name in enumerate(dataset.names))
    folder = write_submission(dataset, maps, arguments.output)
    print(f"Wrote {len(dataset)} maps of {dataset.name} {dataset.split} into {folder}")
    return 0
