"""`salzoo figure`: images, people and models side by side, for a paper."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from salzoo.cli._parser import MODEL_HELP, ROOT_HELP, Commands, add_command, add_device, positive
from salzoo.errors import SpecError
from salzoo.registry import RECOMMENDED

_INCHES = {"mm": 1 / 25.4, "cm": 1 / 2.54, "in": 1.0}


def add(commands: Commands) -> None:
    """Add the command."""
    text = "Draw images, where people looked, and the maps of models side by side, for a paper."
    parser = add_command(commands, "figure", text, run)
    parser.add_argument("image", nargs="+", metavar="IMAGE", help="image; with --data the name of one of the dataset's")
    parser.add_argument(
        "-m",
        "--model",
        default=RECOMMENDED,
        metavar="A,B",
        help=f"models, joined by commas, each {MODEL_HELP}; TITLE=NAME titles its column; default {RECOMMENDED}",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="figure: .pdf and .svg (vectors), or .png"
    )
    parser.add_argument("--data", metavar="DATASET", help="dataset that the images and the people are of: osie, ...")
    parser.add_argument("--root", metavar="DIR", help=ROOT_HELP)
    parser.add_argument(
        "--fixations", type=Path, metavar="FILE", help="table of fixations on images that are files: image, x, y, ..."
    )
    parser.add_argument(
        "--width", type=_width, default=_width("180mm"), metavar="LENGTH", help="85mm, 17cm or 7in; default 180mm"
    )
    parser.add_argument("--dpi", type=positive, default=300, metavar="N", help="dots an inch of images, default 300")
    parser.add_argument(
        "--contours",
        type=_shares,
        default=(0.5, 0.8),
        metavar="A,B",
        help="shares of the density that lines enclose, default 0.5,0.8; '' for none",
    )
    parser.add_argument(
        "--colormap", default="salzoo", metavar="NAME", help="salzoo (default), grey, or any name of matplotlib's"
    )
    add_device(parser)


def _width(text: str) -> float:
    """Return a length in inches."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mm|cm|in)", text.strip())
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a length such as 180mm, 17cm or 7in")
    return float(found[1]) * _INCHES[found[2]]


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        shares = (0.0,)
    if not all(0 < share < 1 for share in shares):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of shares between 0 and 1, such as 0.5,0.8")
    return shares


def run(arguments: argparse.Namespace) -> int:
    """Draw the figure."""
    if (arguments.data is None) != (arguments.root is None):
        raise SpecError("--data and --root say together which dataset the images are of: give both, or none.")
    if arguments.data is not None and arguments.fixations is not None:
        raise SpecError("--data has the fixations of its images: leave out --fixations.")
    from salzoo.checkpoint.reference import parse_reference
    from salzoo.components.load import load
    from salzoo.evaluation.sources import split_name
    from salzoo.reports.figure import Row, check, draw, rows_of_dataset, rows_of_files

    columns = [split_name(word) for word in arguments.model.split(",") if word]
    models = dict(columns)
    if not columns or len(models) < len(columns):
        raise SpecError(
            f"-m {arguments.model!r} is not accepted: models of different titles, as salgan,mine=runs/salgan."
        )
    for name in models.values():
        parse_reference(name)
    check(arguments.output)
    if arguments.data is not None:
        from salzoo.data import load_dataset

        shown = rows_of_dataset(load_dataset(arguments.data, arguments.root, "all"), arguments.image)
    else:
        paths = [Path(name).expanduser() for name in arguments.image]
        shown = rows_of_files(paths, arguments.fixations)
    loaded = {title: load(name, device=arguments.device) for title, name in models.items()}
    rows = [
        Row(image, people, {title: model.predict(image) for title, model in loaded.items()}) for image, people in shown
    ]
    draw(
        rows,
        arguments.output,
        width=arguments.width,
        dpi=arguments.dpi,
        contours=arguments.contours,
        colormap=arguments.colormap,
    )
    print(f"Wrote {arguments.output}")
    return 0
