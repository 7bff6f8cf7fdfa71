"""`salzoo data`: check a dataset, write a benchmark's submission."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from salzoo.cli._parser import MODEL_HELP, ROOT_HELP, Commands, add_command, add_device, add_group, load_model
from salzoo.errors import SpecError

if TYPE_CHECKING:
    from PIL.Image import Image


def add(commands: Commands) -> None:
    """Add the commands."""
    actions = add_group(commands, "data", "Work with datasets, also your own.", "ACTION")
    _add_check(actions)
    _add_submit(actions)


def _add_check(actions: Commands) -> None:
    text = "Show how a dataset is read, what is left out of it, and what looks wrong."
    parser = add_command(actions, "check", text, run_check)
    parser.add_argument("root", type=Path, metavar="ROOT", help=ROOT_HELP)
    parser.add_argument(
        "--data", default="folder", metavar="DATASET", help="name of the dataset, default folder: your own"
    )
    parser.add_argument(
        "--split", default="all", choices=("train", "val", "test", "all"), help="split to check, default all"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="contact sheet to draw, with a dot at each fixation; default check_DATASET.png",
    )


def _add_submit(actions: Commands) -> None:
    text = "Write the maps of a split with hidden fixations in the form that its benchmark takes."
    parser = add_command(actions, "submit", text, run_submit)
    parser.add_argument("root", type=Path, metavar="ROOT", help=ROOT_HELP)
    parser.add_argument(
        "--data", required=True, metavar="DATASET", help="mit300, cat2000, salicon2015, salicon2017 or isun"
    )
    parser.add_argument("--split", default="test", choices=("val", "test"), help="split to predict, default test")
    parser.add_argument("-m", "--model", required=True, metavar="NAME", help=MODEL_HELP)
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="DIR", help="new folder, named after your model"
    )
    add_device(parser)


def run_check(arguments: argparse.Namespace) -> int:
    """Print the report, with the score of a model that needs no training, and draw the contact sheet."""
    from salzoo.components.load import load
    from salzoo.data import VIDEO_DATASETS, load_dataset
    from salzoo.data.check import check, contact_sheet
    from salzoo.evaluation.orientation import compare_flipped

    if arguments.data in VIDEO_DATASETS:
        return _check_videos(arguments)
    dataset = load_dataset(arguments.data, arguments.root, arguments.split)
    print(check(dataset).to_text())
    model = load("signature")
    if (turn := compare_flipped(dataset, lambda image: model.predict(image).density)) is not None:
        scores = f"NSS {turn.given:.2f} as given, {turn.flipped:.2f} with y from the other side"
        print(f"{'upside down?':13} {scores}, of signature's maps on {turn.images} images")
        if turn.doubtful:
            print(
                "WARNING: the points fit the images better upside down: does y count from the bottom (y_from_bottom)?"
            )
    _write_sheet(contact_sheet(dataset), arguments)
    return 0


def _check_videos(arguments: argparse.Namespace) -> int:
    from salzoo.data import load_video_dataset
    from salzoo.data.check import contact_sheet
    from salzoo.data.videos.check import Stills, check_videos

    dataset = load_video_dataset(arguments.data, arguments.root, arguments.split)
    print(check_videos(dataset).to_text())
    if dataset.has_fixations:
        _write_sheet(contact_sheet(Stills(dataset)), arguments)
    return 0


def _write_sheet(sheet: Image, arguments: argparse.Namespace) -> None:
    path = arguments.output or Path(f"check_{arguments.data}.png")
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:  # ValueError: a suffix that Pillow does not know
        raise SpecError(f"the contact sheet cannot be written to {path}: {error}") from error
    print(f"{'contact sheet:':13} {path}")


def run_submit(arguments: argparse.Namespace) -> int:
    """Write the maps of all images."""
    from salzoo.data import load_dataset, write_submission

    dataset = load_dataset(arguments.data, arguments.root, arguments.split)
    model = load_model(arguments)
    maps = ((name, model.predict(dataset.image(i))) for i, name in enumerate(dataset.names))
    folder = write_submission(dataset, maps, arguments.output)
    print(f"Wrote {len(dataset)} maps of {dataset.name} {dataset.split} into {folder}")
    return 0
