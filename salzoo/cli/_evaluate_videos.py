"""`salzoo evaluate` of videos: models and baselines by metrics, frame by frame."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from salzoo.cli._parser import SMOOTH_DEFAULTS, Parser, given, positive
from salzoo.errors import SpecError

if TYPE_CHECKING:
    from salzoo.evaluation.sources import Sources
    from salzoo.evaluation.videos.table import VideoTable

OF_IMAGES = (
    *("folds", "per_observer", "metrics", "metric_specific", "by", "processes", "record", "scanpaths"),
    "pixels_per_degree",
)
"""Options that mean nothing for videos."""
OF_VIDEOS = ("every", "smooth", "frame_by_frame", "negatives")
"""Options that mean nothing without them."""


def add_options(parser: Parser) -> None:
    """Add the options that videos alone have."""
    group = parser.add_argument_group("videos (--data dhf1k, hollywood2, ucf_sports, diem, videos: your own)")
    group.add_argument("--every", type=positive, metavar="N", help="score one frame of N, default every frame")
    group.add_argument(
        "--smooth",
        action="append",
        metavar="HOW",
        help="a further row for each model, smoothed over time: average:SECONDS, density:SECONDS or median:FRAMES; "
        f"{SMOOTH_DEFAULTS}; may be repeated",
    )
    group.add_argument(
        "--frame-by-frame",
        action="store_true",
        help="a further row for each model that remembers: each frame as an image by itself",
    )
    group.add_argument(
        "--negatives",
        choices=("other_videos", "ten_frames", "same_video"),
        help="negatives of shuffled AUC: other videos' fixations (default), those of 10 random frames of other videos "
        "(DHF1K), or of the same video (audio-visual sets)",
    )


def are_meant(arguments: argparse.Namespace) -> bool:
    """Whether the dataset is one of videos.

    Raises:
        SpecError: If it is and an option is for images, or the reverse.
    """
    if arguments.data is not None:
        from salzoo.data import VIDEO_DATASETS

        if arguments.data in VIDEO_DATASETS:
            if idle := given(arguments, OF_IMAGES):
                raise SpecError(f"{idle[0]} is for images, and --data {arguments.data} are videos.")
            return True
    if idle := given(arguments, OF_VIDEOS):
        if arguments.data is None:
            raise SpecError(
                f"{idle[0]} is for videos that are scored now: add their --data and --root, or leave it out."
            )
        raise SpecError(f"{idle[0]} is for datasets of videos, and --data {arguments.data} is none.")
    return False


def add_compared(arguments: argparse.Namespace, sources: Sources) -> None:
    """Add the models and folders of `--compare` that are no rows yet."""
    from salzoo.evaluation.videos.baselines import ROWS

    more = ["frame by frame", *(arguments.smooth or ())]
    made = {f"{row} {suffix}" for row in sources.rows for suffix in more}
    sources.add([word for word in arguments.compare if word not in made and word not in ROWS], compared=True)


def score(arguments: argparse.Namespace, sources: Sources) -> VideoTable:
    """Return the table of what the options say, without saved rows."""
    from salzoo.data import load_video_dataset
    from salzoo.evaluation.part import spread
    from salzoo.evaluation.videos.baselines import ROWS
    from salzoo.evaluation.videos.scoring import evaluate_videos, left_out, load_predictors

    wanted = ROWS if arguments.baselines is None else [row for row in arguments.baselines.split(",") if row]
    dataset = load_video_dataset(arguments.data, arguments.root, arguments.split or "test")
    dataset.require_fixations()
    about = left_out(dataset)
    dataset, part_of = spread(dataset, arguments.images)
    predictors, notes = load_predictors(
        sources.models,
        sources.maps,
        dataset,
        smooth=arguments.smooth or (),
        frame_by_frame=arguments.frame_by_frame,
        device=arguments.device,
    )
    return evaluate_videos(
        predictors,
        dataset,
        every=arguments.every or 1,
        baselines=wanted,
        convention=arguments.convention or "mit",
        negatives=arguments.negatives or "other_videos",
        seed=arguments.seed,
        part_of=part_of,
        notes=(*about, *notes),
    )
