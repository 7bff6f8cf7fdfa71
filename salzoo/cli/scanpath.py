"""`salzoo scanpath`: where people look, then where."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo.cli._parser import MODEL_HELP, Commands, add_command, add_device, load_model, positive, print_images
from salzoo.errors import SpecError
from salzoo.registry import list_models, read_spec

if TYPE_CHECKING:
    from salzoo.components.scanpath_model import ScanpathModel

RECOMMENDED = "saccadic"


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "scanpath", "Draw scanpaths on each image: a table and a drawing.", run, only_predicts=True
    )
    parser.add_argument("input", nargs="+", metavar="INPUT", help="image, folder or glob")
    parser.add_argument(
        "-m", "--model", default=RECOMMENDED, metavar="NAME", help=f"{MODEL_HELP}; default {RECOMMENDED}"
    )
    parser.add_argument(
        "--density",
        metavar="NAME",
        help="model of maps whose density the paths start from, named as --model is; default the checkpoint's",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("scanpaths"),
        metavar="DIR",
        help="folder to write <stem>_scanpath.csv and <stem>_scanpath.jpg into, default scanpaths",
    )
    parser.add_argument("-n", "--fixations", type=positive, default=10, metavar="N", help="of each path, default 10")
    parser.add_argument("--samples", type=positive, default=1, metavar="N", help="paths on each image, default 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random numbers, default 0")
    add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the files; an image that cannot be read is named at the end."""
    from salzoo.checkpoint.reference import ZooRef, parse_reference
    from salzoo.images.read import find_images

    reference = parse_reference(arguments.model)  # before torch is imported: a typo is told at once
    density = parse_reference(arguments.density) if arguments.density else None
    if arguments.seed < 0:
        raise SpecError(f"--seed {arguments.seed} is not accepted: at least 0.")
    if isinstance(reference, ZooRef) and reference.spec.kind != "scanpath":
        raise _no_order(arguments.model)
    if isinstance(density, ZooRef) and density.spec.kind == "scanpath":
        raise _no_density(arguments.density)
    unread: dict[str, str] = {}
    paths = find_images([os.path.expanduser(name) for name in arguments.input], unread)
    from salzoo.components.scanpath_model import ScanpathModel
    from salzoo.prediction.scanpaths import predict_scanpaths

    model = load_model(arguments)
    if not isinstance(model, ScanpathModel):
        raise _no_order(arguments.model)
    if arguments.density:
        _start_from(model, arguments)
    report = predict_scanpaths(
        model, paths, arguments.output, n=arguments.fixations, samples=arguments.samples, seed=arguments.seed
    )
    failed = [*((str(path), reason) for path, reason in report.failed.items()), *unread.items()]
    return print_images(len(paths) - len(report.failed), len(report.written), failed, arguments.output)


def _start_from(model: ScanpathModel, arguments: argparse.Namespace) -> None:
    """Let paths start from the density of `--density`."""
    from salzoo.components.load import load
    from salzoo.components.scanpath_model import ScanpathModel

    if model.own_density:
        raise SpecError(
            f"{arguments.model} has a density of its own, so it cannot start from --density {arguments.density}: leave "
            f"that out, or take a model without one, as -m {RECOMMENDED}."
        )
    density = load(arguments.density, device=arguments.device)
    if isinstance(density, ScanpathModel):
        raise _no_density(arguments.density)
    model.start_from(density)


def _no_density(name: str) -> SpecError:
    return SpecError(
        f"--density {name} is a scanpath model, which starts from a density itself: name a model of maps, as unisal."
    )


def _no_order(name: str) -> SpecError:
    models = ", ".join(name for name in list_models() if read_spec(name).kind == "scanpath")
    return SpecError(f"{name} says where people look, but not in which order: take one of {models}.")
