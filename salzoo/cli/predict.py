"""`salzoo predict`: images to saliency maps."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo.cli._parser import MODEL_HELP, Commands, add_command, add_device, load_model, positive
from salzoo.errors import SpecError
from salzoo.registry import RECOMMENDED

if TYPE_CHECKING:
    from salzoo.prediction.files import Format


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "predict", "Predict a saliency map for each image.", run)
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="image, folder or glob; @FILE for a list with one input a line; "
        "webdataset shards, also as 'shards/{000..123}.tar'",
    )
    parser.add_argument(
        "-m", "--model", default=RECOMMENDED, metavar="NAME", help=f"{MODEL_HELP}; default {RECOMMENDED}"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("predictions"),
        metavar="DIR",
        help="folder to write the maps into, default predictions",
    )
    parser.add_argument(
        "--format",
        action="append",
        choices=("png", "npy", "tiff", "overlay"),
        help="format of the maps, default png; may be repeated",
    )
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="images in one batch, default 8")
    add_device(parser)
    parser.add_argument(
        "--workers", type=positive, default=2, metavar="N", help="threads that read and write files, default 2"
    )
    parser.add_argument(
        "--engine",
        choices=("local", "torchrun", "ray"),
        default="local",
        help="what runs the processes; default local: one process",
    )
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="processes of torchrun or ray; default one a GPU, or one a core"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep a manifest of what is done, and skip what it lists already"
    )
    parser.add_argument(
        "--shard-size", type=positive, metavar="N", help="pack the maps of N images into one tar instead of loose files"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the maps; an image that cannot be read is named at the end."""
    from salzoo.checkpoint.reference import parse_reference
    from salzoo.images.read import find_images

    parse_reference(arguments.model)  # before torch is imported: a typo is told at once
    inputs = _expand(arguments.input)
    shards = [name for name in inputs if name.endswith(".tar")]
    paths = find_images(inputs) if len(shards) < len(inputs) else [Path(name) for name in shards]
    formats: tuple[Format, ...] = tuple(dict.fromkeys(arguments.format or ["png"]))
    if shards or arguments.engine != "local" or arguments.resume or arguments.shard_size:
        return _run_many(arguments, paths, formats)
    from salzoo.prediction.files import predict_files

    report = predict_files(
        load_model(arguments),
        paths,
        arguments.output,
        formats=formats,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
    )
    return _print_outcome(len(paths) - len(report.failed), len(report.written), report.failed, arguments.output)


def _run_many(arguments: argparse.Namespace, paths: Sequence[Path], formats: tuple[Format, ...]) -> int:
    import torch

    from salzoo._distributed import is_rank_zero
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
    if not is_rank_zero():
        return 0
    failed = {name: reason for entry in entries for name, reason in entry.failed.items()}
    files = sum(len(entry.files) for entry in entries)
    return _print_outcome(sum(entry.images for entry in entries), files, failed, arguments.output)


def _print_outcome(done: int, files: int, failed: Mapping[Path, str] | Mapping[str, str], output: Path) -> int:
    """Print the counts, and the reason for each image without a map; return the exit code."""
    print(f"{done} of {done + len(failed)} images, {files} files in {output}")
    for name, reason in failed.items():
        print(f"salzoo: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _expand(names: Sequence[str]) -> list[str]:
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
