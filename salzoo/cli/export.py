"""`salzoo export`: a model as a file that other programs run."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from salzoo.cli._parser import Commands, add_command
from salzoo.errors import SpecError


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "export", "Write a model as a graph that runs without salzoo.", run)
    parser.add_argument("name", metavar="NAME", help="model, model.tag, checkpoint folder or hf://ORG/REPO@REVISION")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="model.onnx, or model.pt2 for torch.export"
    )
    parser.add_argument("--size", type=_size, metavar="HxW", help="only size of image that it takes; default any")
    parser.add_argument("--int8", action="store_true", help="convolutions in eight bits (ONNX); needs --calibrate")
    parser.add_argument(
        "--calibrate", metavar="DIR", help="folder of images like those to come, from 4, better tens; for --int8"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print what it takes and how it compares."""
    if arguments.int8 != (arguments.calibrate is not None):
        raise SpecError("int8 is calibrated on images like those to come: --int8 --calibrate DIR, or neither.")
    from salzoo.checkpoint.reference import parse_reference
    from salzoo.images.read import find_images

    parse_reference(arguments.name)  # before torch is imported: a typo is told at once
    images = [*find_images([arguments.calibrate])] if arguments.int8 else None
    from salzoo.components.load import load
    from salzoo.exporting import export
    from salzoo.exporting.quantise import LARGE

    done = export(load(arguments.name), arguments.output, size=arguments.size, calibrate=images)
    size = "any size" if done.size is None else "{} x {} pixels".format(*done.size)
    what = f"one image of {size}" if done.batch else f"images of {size}"
    print(f"Wrote {done.path} ({done.bytes / 1e6:.1f} MB): {what} in, log density out.")
    print(f"Largest difference from `predict`, in log units: {done.difference:.1e}")
    if done.loss is not None:
        loss = done.loss
        print(
            f"Eight bits, on {loss.images} images held out: log density {loss.difference:.3f} off where people look, "
            f"correlation {loss.correlation:.4f}, NSS about {loss.nss:.3f} lower"
        )
        if loss.nss > LARGE:
            print(f"That is a lot (more than {LARGE} of NSS): take the float file, or calibrate on more images.")
    return 0


def _size(text: str) -> tuple[int, int]:
    if not (found := re.fullmatch(r"(\d+)x(\d+)", text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: height x width in pixels, 480x640")
    return int(found[1]), int(found[2])
