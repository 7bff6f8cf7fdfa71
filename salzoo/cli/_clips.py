"""`salzoo predict` of clips: videos in, overlay videos or maps of their frames out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from salzoo.cli._parser import SMOOTH_DEFAULTS, Parser, load_model, positive
from salzoo.errors import SpecError

_FORMATS = ("overlay", "png", "npy", "tiff", "mat", "csv")


def add_options(parser: Parser) -> None:
    """Add the options that clips alone have."""
    parser.add_argument("--every", type=positive, metavar="N", help="of clips: predict every Nth frame, default 1")
    parser.add_argument(
        "--smooth",
        metavar="HOW",
        help="of clips: smooth over time, by average:SECONDS or density:SECONDS (causal), or median:FRAMES (centred); "
        f"{SMOOTH_DEFAULTS}",
    )


def among(arguments: argparse.Namespace, inputs: Sequence[str]) -> list[Path]:
    """Return the clips, if the inputs are clips.

    Raises:
        SpecError: If some inputs are and others are not, or an option does not go with what they are.
    """
    from salzoo.video.frames import find_clips

    clips = [find_clips([name]) for name in inputs]
    if not any(clips):
        if arguments.every or arguments.smooth:
            raise SpecError(f"--{'every' if arguments.every else 'smooth'} is for clips, and no input is one.")
        return []
    if not all(clips):
        raise SpecError(f"{inputs[clips.index([])]} is no clip, other inputs are: predict clips and images apart.")
    given = {
        "--aoi": arguments.aoi,
        "--json": arguments.json,
        "--fast-decode": arguments.fast_decode,
        "--shard-size": arguments.shard_size,
        "--processes": arguments.processes,
        "--engine": arguments.engine != "local",
        **{f"--format {kind}": True for kind in arguments.format or () if kind not in _FORMATS},
    }
    if refused := [option for option, value in given.items() if value]:
        raise SpecError(f"{refused[0]} does not go with clips; formats of clips are {', '.join(_FORMATS)}.")
    return list(dict.fromkeys(path for found in clips for path in found))


def run(arguments: argparse.Namespace, clips: Sequence[Path]) -> int:
    """Predict clips; one that cannot be read is named at the end."""
    from salzoo.prediction.clips import ClipJob, predict_clips
    from salzoo.video.container import pyav
    from salzoo.video.smoothing import smoothing

    pyav()
    smoothing(arguments.smooth)  # a typo is told before the model is loaded
    formats = tuple(dict.fromkeys(arguments.format or ["overlay"]))
    how = (arguments.every or 1, arguments.smooth, arguments.batch_size or 1, arguments.precision)
    job = ClipJob(arguments.model, formats, *how)
    outcomes = predict_clips(
        load_model(arguments),
        clips,
        arguments.output,
        job,
        resume=arguments.resume,
        relative_to=arguments.relative_to and arguments.relative_to.expanduser(),
    )
    failed = [each for each in outcomes if each.error is not None]
    frames, files = (sum(numbers) for numbers in zip(*((o.frames, len(o.files)) for o in outcomes), strict=True))
    print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} clips, {frames} frames, {files} files in {arguments.output}"
    )
    for each in failed:
        print(f"salzoo: {each.clip}: {each.error}", file=sys.stderr)
    return 1 if failed else 0
