"""`salzoo predict`: images to saliency maps."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salzoo._text import read_text
from salzoo._version import __version__
from salzoo.cli import _clips
from salzoo.cli._parser import (
    MODEL_HELP,
    Commands,
    Parser,
    add_command,
    add_device,
    in_words,
    load_model,
    positive,
    print_images,
)
from salzoo.errors import DataError, SalzooError, SalzooWarning, SpecError
from salzoo.registry import RECOMMENDED

if TYPE_CHECKING:
    from salzoo.components.saliency_model import SaliencyModel
    from salzoo.prediction.areas import AreaFile
    from salzoo.prediction.files import PredictionReport
    from salzoo.prediction.formats import Format


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "predict", "Predict a saliency map for each image.", run, only_predicts=True)
    parser.add_argument(
        "input",
        nargs="+",
        metavar="INPUT",
        help="image, folder or glob; clips (.mp4, .mov, ...); @FILE for a list with one input a line; "
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
        "--relative-to",
        type=Path,
        metavar="DIR",
        help="folder below which the maps keep the folders of their images, default the one common to all inputs",
    )
    _add_formats(parser)
    _clips.add_options(parser)
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images in one batch, default 8; frames of a clip, default 1"
    )
    add_device(parser)
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        default="32-true",
        help="bf16-mixed: the network in bfloat16, faster where the processor has units for it; densities differ a "
        "little; default 32-true",
    )
    parser.add_argument(
        "--workers", type=positive, default=2, metavar="N", help="threads that read and write files, default 2"
    )
    parser.add_argument(
        "--fast-decode",
        action="store_true",
        help="decode JPEGs at 1/2, 1/4 or 1/8 of their size where that is at least twice what the network sees: for "
        "large photographs; densities differ a little, and have the size of the image; not for overlay, fog and crop",
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


def _add_formats(parser: Parser) -> None:
    parser.add_argument(
        "--format",
        action="append",
        choices=("png", "npy", "tiff", "mat", "csv", "overlay", "fog", "crop"),
        help="what to write of each image, default png; may be repeated. png is for looking at; npy, tiff, mat and csv "
        "have the density; overlay, fog and crop show the image",
    )
    parser.add_argument(
        "--aoi",
        type=Path,
        metavar="FILE",
        help="areas of interest: a table or JSON with image (none: all), name, and x0, y0, x1, y1 in pixels or mask; "
        "with --format csv their shares of the density are written to DIR/areas.csv, instead of the densities",
    )
    parser.add_argument(
        "--aspect", type=_aspect, metavar="W:H", help="width and height of --format crop, such as 1:1 or 16:9"
    )
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="the same in pixels, such as 320x240; the crop is not resized"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document of what became of each image; all else goes to stderr",
    )


def _aspect(text: str) -> float:
    """Return width / height of `16:9`."""
    words = text.split(":")
    try:
        width, height = map(float, words)
        if 0 < width < float("inf") and 0 < height < float("inf"):
            return width / height
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not W:H of two numbers above 0, such as 16:9")


def _size(text: str) -> tuple[int, int]:
    """Return (height, width) of `320x240`."""
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        raise argparse.ArgumentTypeError(f"{text!r} is not WxH in pixels, such as 320x240")
    return int(words[1]), int(words[0])


def run(arguments: argparse.Namespace) -> int:
    """Write the maps; what fails as a whole is told in the document of `--json`, too."""
    try:
        return _predict(arguments)
    except (SalzooError, OSError, MemoryError) as error:
        if arguments.json:
            print(_to_json(arguments, [], in_words(error)))
        raise


def _predict(arguments: argparse.Namespace) -> int:
    """Write the maps; an image that cannot be read is named at the end."""
    from salzoo.checkpoint.reference import parse_reference
    from salzoo.images.read import find_images
    from salzoo.prediction.formats import check_fast

    if arguments.processes and arguments.engine == "local":
        raise SpecError("--processes divides the work of --engine torchrun or ray: add one of them, or leave it out.")
    parse_reference(arguments.model)  # before torch is imported: a typo is told at once
    table: list[Format] = [] if arguments.aoi is None else ["csv"]
    formats: tuple[Format, ...] = tuple(dict.fromkeys([*(arguments.format or table or ["png"]), *table]))
    crop = _crop(arguments, formats)
    inputs = _expand(arguments.input)
    if clips := _clips.among(arguments, inputs):
        return _clips.run(arguments, clips)
    arguments.batch_size = arguments.batch_size or 8
    shards = [name for name in inputs if name.lower().endswith(".tar")]
    many = _many(arguments, shards)
    _check(arguments, many)
    check_fast(formats, arguments.fast_decode)
    unread: dict[str, str] = {}
    paths = find_images(inputs, unread) if len(shards) < len(inputs) else [Path(name) for name in shards]
    if many is not None:
        return _run_many(arguments, paths, formats, crop, unread)
    if all(os.path.exists(arguments.output / name) for name in ("job.json", "manifest.jsonl")):
        raise SpecError(f"{arguments.output} holds maps of `--resume`: add --resume, or choose another folder.")
    areas = _areas(arguments, paths)
    model = load_model(arguments)
    from salzoo.prediction.files import predict_files

    _warn_of_frames(arguments.model, model, inputs)
    report = predict_files(
        model,
        paths,
        arguments.output,
        formats=formats if areas is None else tuple(kind for kind in formats if kind != "csv"),
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        relative_to=arguments.relative_to and arguments.relative_to.expanduser(),
        crop=crop,
        areas=areas,
        fast_decode=arguments.fast_decode,
    )
    if arguments.json:
        print(_to_json(arguments, _outcomes(report, unread, areas is not None)))
    failed = [*((str(path), reason) for path, reason in report.failed.items()), *unread.items()]
    files = len(report.written) + (areas is not None)
    return print_images(len(paths) - len(report.failed), files, failed, arguments.output, quiet=arguments.json)


def _warn_of_frames(name: str, model: SaliencyModel, inputs: Sequence[str]) -> None:
    """Warn if a model that remembers is given folders of images, which may be the frames of clips."""
    folder = next(filter(os.path.isdir, inputs), None)
    if folder is not None and model.remembers:
        warnings.warn(
            f"each image of {folder} is predicted by itself, and {name} remembers the frames of a clip: if they are "
            f"frames, take model.predict_video({folder!r}) in Python, or make a video file of them",
            SalzooWarning,
            stacklevel=2,
        )


def _many(arguments: argparse.Namespace, shards: Sequence[str]) -> str | None:
    """Return what makes this a job of a manifest; None if nothing does."""
    given = {
        "shards": bool(shards),
        f"--engine {arguments.engine}": arguments.engine != "local",
        "--resume": arguments.resume,
        "--shard-size": arguments.shard_size is not None,
    }
    return next((word for word, is_given in given.items() if is_given), None)


def _crop(arguments: argparse.Namespace, formats: tuple[Format, ...]) -> dict[str, Any]:
    """Return the arguments of `SaliencyMap.crop`, as they are in JSON."""
    given: dict[str, Any] = {}
    if arguments.aspect is not None:
        given["aspect"] = arguments.aspect
    if arguments.size is not None:
        given["size"] = list(arguments.size)
    if len(given) != ("crop" in formats):
        raise SpecError("--format crop goes with one of --aspect W:H and --size WxH, and these with it alone.")
    return given


def _check(arguments: argparse.Namespace, many: str | None) -> None:
    """Refuse options that do not go together."""
    for option, given in (("--aoi", arguments.aoi is not None), ("--json", arguments.json)):
        if given and many:
            raise SpecError(f"{option} does not go with {many}: it tells of images that one process does in one run.")


def _areas(arguments: argparse.Namespace, paths: Sequence[Path]) -> AreaFile | None:
    from salzoo.prediction.areas import TABLE, AreaFile

    if arguments.aoi is None:
        return None
    file = arguments.aoi.expanduser()
    if os.path.realpath(file) == os.path.realpath(arguments.output / TABLE):
        raise SpecError(f"the table of shares would replace {file}: choose another output folder.")
    try:
        return AreaFile(file, paths)
    except DataError as error:  # nothing was done yet
        raise SpecError(str(error)) from error


def _to_json(arguments: argparse.Namespace, images: list[dict[str, Any]], error: str | None = None) -> str:
    """Return the document of `--json`; docs/guides/areas.md describes it."""
    content = {"schema": 1, "salzoo": __version__, "model": arguments.model, "output": str(arguments.output)}
    return json.dumps(content | {"error": error, "images": images}, indent=2, allow_nan=False)


def _outcomes(report: PredictionReport, unread: dict[str, str], with_areas: bool) -> list[dict[str, Any]]:
    """Return what became of each image, and of each folder or list that could not be read, for `--json`."""
    images: list[dict[str, Any]] = []
    for each in report.outcomes:
        told: dict[str, Any] = {"image": str(each.image), "error": each.error, "files": [str(f) for f in each.files]}
        told["size"] = each.size and dict(zip(("height", "width"), each.size, strict=True))
        told["peak"] = each.peak and dict(zip("xy", each.peak, strict=True))
        told["seconds"] = each.seconds and round(each.seconds, 6)
        if with_areas:
            told["areas"] = {
                name: asdict(region) | {"lift": None if math.isnan(region.lift) else region.lift}  # JSON has no NaN
                for name, region in (each.regions or {}).items()
            }
        images.append(told)
    return [*images, *({"image": name, "error": reason, "files": []} for name, reason in unread.items())]


def _run_many(
    arguments: argparse.Namespace,
    paths: Sequence[Path],
    formats: tuple[Format, ...],
    crop: dict[str, Any],
    unread: dict[str, str],
) -> int:
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
        arguments.relative_to and str(arguments.relative_to),
        crop,
        arguments.fast_decode,
        arguments.precision,
    )
    processes = arguments.processes or torch.cuda.device_count() or os.cpu_count() or 1
    entries = predict_many(job, arguments.engine, processes)
    if not is_rank_zero():
        return 0
    for entry in entries:
        if entry.left_out:
            count, first = len(entry.left_out), ", ".join(entry.left_out[:3])
            print(f"salzoo: {entry.source}: left out {count} without an image of their own: {first}", file=sys.stderr)
    failed = list(unread.items())
    failed += [
        (name if os.path.isabs(name) else f"{entry.source}: {name}", reason)
        for entry in entries
        for name, reason in entry.failed.items()
    ]
    files = sum(len(entry.files) for entry in entries)
    done = sum(entry.images for entry in entries)
    return print_images(done, files, failed, arguments.output, quiet=arguments.json)


def _expand(names: Sequence[str]) -> list[str]:
    """Read the lists among the inputs, and expand the braces of shards."""
    found: list[str] = []
    for name in names:
        if name.startswith("@") and not os.path.exists(name):
            found += _read_list(os.path.expanduser(name[1:]))
        elif name.lower().endswith(".tar") and "{" in name and not os.path.exists(name):
            found += _expand_braces(name)
        else:
            found.append(name)
    shards = [os.path.expanduser(name) for name in found if name.lower().endswith(".tar")]
    if shards and not any(map(os.path.exists, shards)):  # if some are there, the others are told at the end
        raise SpecError(f"there is no shard {shards[0]}.")
    return [os.path.expanduser(name) for name in found]


def _read_list(path: str) -> list[str]:
    try:
        found = [line for line in read_text(Path(path)).splitlines() if line.strip()]
    except OSError as error:
        raise SpecError(f"cannot read the list {path}: {error.strerror}.") from error
    except ValueError as error:
        raise SpecError(f"cannot read the list: {error}.") from error
    if not found:
        raise SpecError(f"the list {path} is empty: write one image, folder or shard a line.")
    return found


def _expand_braces(pattern: str) -> list[str]:
    try:
        from braceexpand import braceexpand
    except ImportError as error:
        raise SpecError('shards are not installed: pip install "salzoo[shards]".') from error
    try:
        return list(braceexpand(pattern))
    except ValueError as error:
        raise SpecError(f"the braces of {pattern} cannot be expanded: {error}.") from error
