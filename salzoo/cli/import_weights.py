"""`salzoo import`: the authors' own weights become a checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from salzoo.cli._parser import Commands, add_command, typed


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Make a checkpoint of the weights that a model's authors released; `salzoo info NAME` lists the files."
    parser = add_command(commands, "import", text, run)
    parser.add_argument("name", metavar="NAME", help="model; model.tag keeps several imports of one model side by side")
    parser.add_argument("files", metavar="FILE", nargs="*", help="the authors' file, or those that belong together")
    parser.add_argument("-o", "--output", metavar="DIR", help="checkpoint folder; default: where salzoo.load looks")
    parser.add_argument(
        "--centre-bias", metavar="FILE.npy", help="log density (H, W) over the frame, for the DeepGaze models"
    )
    parser.add_argument("--release", metavar="RELEASE", help="which of the model's releases, where several fit")
    parser.add_argument(
        "--check",
        nargs=2,
        metavar=("IMAGE", "MAP"),
        help="compare the prediction for an image with the map that the authors' repository has of it",
    )
    parser.add_argument(
        "--list", action="store_true", help="only print names, types and shapes of the tensors in NAME and FILE..."
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, and compare with the authors' map if asked."""
    if arguments.list:
        return _list([arguments.name, *arguments.files])
    from salzoo.errors import SpecError
    from salzoo.importing.check import compare, read_pair
    from salzoo.importing.weights import import_weights

    if not arguments.files:
        raise SpecError(
            f"which file of {arguments.name}'s? `salzoo info {arguments.name}` lists what the authors offer."
        )
    if arguments.check:  # before minutes are spent on the import
        read_pair(*arguments.check)
    folder = import_weights(
        arguments.name,
        arguments.files,
        arguments.output,
        centre_bias=arguments.centre_bias,
        release=arguments.release,
        report=lambda line: print(line, file=sys.stderr),
        command=typed(arguments),
    )
    print(f"Wrote {folder}; `salzoo predict IMAGE -m {_reference(arguments, folder)}` uses it.")
    if arguments.check:
        print(compare(folder, *map(Path, arguments.check)))
    return 0


def _reference(arguments: argparse.Namespace, folder: Path) -> str:
    return str(folder) if arguments.output else folder.name


def _list(paths: list[str]) -> int:
    from salzoo.weight_files import read

    for path in paths:
        file = read(Path(path).expanduser())
        print(f"{path}: {file.format}, {len(file.tensors)} tensors")
        for name, tensor in file.tensors.items():
            print(f"  {name}  {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}")
    return 0
