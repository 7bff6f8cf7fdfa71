"""Clips to files: the job behind `salzoo predict clip.mp4`. One folder of maps, or one overlay video, a clip."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from salzoo._io import remove_abandoned, whole, write_text
from salzoo._precision import Precision
from salzoo._progress import counted
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.video import VideoFrame, VideoState
from salzoo.errors import ImageError, SpecError
from salzoo.prediction.files import common_folder, make_folder, name_of, refuse_collisions
from salzoo.prediction.formats import SUFFIX, Format, encode
from salzoo.video.container import Container, open_container
from salzoo.video.overlay import write_overlay

OVERLAY = "_overlay.mp4"
TIMES = "frames.csv"
"""Times of the frames, in the folder of a clip's maps."""
DONE = "clips.json"
"""What is finished, in the output folder."""
_STATE, _EVERY_S = ".state.pt", 10.0


@dataclass(frozen=True)
class ClipJob:
    """What is done with each clip; a job that is resumed has to be the same.

    Args:
        model: Name of the model, as the user gives it.
        formats: What is written: maps of frames, or `overlay`, a video.
        every: Predict every so manyth frame.
        smooth: Smoothing, as `predict_video` takes its name.
        batch_size: Frames that go through the network at once.
        precision: As in `salzoo.load`, which was given it for the model.
    """

    model: str
    formats: tuple[Format, ...] = ("overlay",)
    every: int = 1
    smooth: str | None = None
    batch_size: int = 1
    precision: Precision = "32-true"

    def of(self, clip: Path) -> dict[str, Any]:
        """Return what the files of a clip depend on, as it is in JSON."""
        job = {"model": self.model, "formats": sorted(self.formats), "every": self.every, "smooth": self.smooth}
        return job | {"precision": self.precision, "bytes": clip.stat().st_size}


@dataclass
class ClipOutcome:
    """What became of one clip.

    Attributes:
        clip: Its path.
        frames: Predicted frames, those of earlier runs counted.
        files: Files that this run wrote.
        error: Why it has none, or not all.
    """

    clip: Path
    frames: int = 0
    files: list[Path] = field(default_factory=list)
    error: str | None = None


def predict_clips(
    model: SaliencyModel,
    clips: Sequence[Path],
    output: Path,
    job: ClipJob,
    *,
    resume: bool = False,
    relative_to: Path | None = None,
    progress: bool | None = None,
) -> list[ClipOutcome]:
    """Predict clips; one that cannot be read is reported, and the rest goes on.

    Maps of frames are `NAME/000123.png`, beside `NAME/frames.csv` with the time of each; an overlay is
    `NAME_overlay.mp4`, which appears whole.

    Args:
        model: The model, on the device where it is to run.
        clips: Files.
        output: Folder for the results; it is made if it does not exist.
        job: What is done with each.
        resume: Go on where a killed run was: finished clips are left, maps of frames go on from the last state that
            was noted, an overlay that is not finished starts anew.
        relative_to: Folder below which the folders of the clips are kept; None takes the one common to all.
        progress: As in `predict_files`.

    Raises:
        SpecError: If two clips would write the same files, a folder holds maps of another job, or cannot be made.
    """
    root = common_folder(clips) if relative_to is None else relative_to.absolute()
    refuse_collisions(clips, output, (OVERLAY,), root)
    make_folder(output)
    targets = [output / name_of(clip, root) for clip in clips]
    for folder in {output, *targets, *(target.parent for target in targets)}:  # what killed runs were writing
        remove_abandoned(folder)
    works, total = [], 0
    for clip, target in zip(clips, targets, strict=True):
        work = _Work(model, clip, target, job, output, resume)
        works.append(work)
        total += work.expected
    for _ in counted(chain.from_iterable(work.run() for work in works), total, "frame", shown=progress):
        pass
    return [work.outcome for work in works]


class _Work:
    """One clip of a job; arguments as in `predict_clips`."""

    def __init__(
        self, model: SaliencyModel, clip: Path, target: Path, job: ClipJob, output: Path, resume: bool
    ) -> None:
        self.model, self.job, self.target, self.output = model, job, target, output
        self.outcome, self.expected = ClipOutcome(clip), 0
        self.maps = [kind for kind in job.formats if kind != "overlay"]
        self.container: Container | None = None
        self.times: list[tuple[int, float]] = []
        self.state = VideoState()
        try:
            self.container = open_container(clip)
        except ImageError as error:
            self.outcome.error = str(error)
            return
        frames = self.container.frames
        self._look_for_earlier(resume)
        self.expected = 0 if self.container is None else frames if "overlay" in job.formats else self._ahead(frames)

    def _ahead(self, frames: int) -> int:
        """Return the number of frames that are still to be predicted."""
        return max(0, math.ceil(frames / self.job.every) - len(self.times))

    def _look_for_earlier(self, resume: bool) -> None:
        """Find what an earlier run left, or refuse to mix with it."""
        key, state = os.path.relpath(self.target, self.output), self.target / _STATE
        if not resume:
            if self.maps and self.target.is_dir() and any(self.target.iterdir()):
                raise SpecError(f"{self.target} holds maps already: add --resume, or choose another output folder.")
            return
        if (entry := _finished(self.output).get(key)) is not None:
            self._check_same(entry["job"])
            self.outcome.frames, self.container = entry["frames"], None
        elif self.maps and "overlay" not in self.job.formats and state.exists():
            try:
                left = torch.load(state, weights_only=True, map_location=self.model.device)
            except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
                raise SpecError(f"{state} cannot be read: {error}; remove {self.target} to start anew.") from error
            self._check_same(left["job"])
            self.times = [(int(index), float(time_s)) for index, time_s in left["times"]]
            self.state = VideoState(left["index"], left["model"], left["smoothing"], tuple(left["origin"]))

    def _check_same(self, before: dict[str, Any]) -> None:
        now, before = self.job.of(self.outcome.clip), {"precision": "32-true"} | before  # older jobs do not say it
        if differing := [name for name in now if before.get(name) != now[name]]:
            told = ", ".join(f"{name} was {before.get(name)!r}, is {now[name]!r}" for name in differing)
            raise SpecError(f"{self.target} belongs to another job ({told}): choose another output folder.")

    def run(self) -> Iterator[None]:
        """Write the files; yields after each frame."""
        if self.container is None:
            return
        try:
            frames = self._frames()
            if "overlay" in self.job.formats:
                yield from self._overlay(frames)
            else:
                for _ in frames:
                    yield
            self._finish()
        except (ImageError, OSError) as error:
            self.outcome.error = str(error)

    def _overlay(self, frames: Iterable[VideoFrame]) -> Iterator[None]:
        assert self.container is not None
        path = self.target.with_name(self.target.name + OVERLAY)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield from write_overlay(path, self.container, ((frame.index, frame.saliency_map) for frame in frames))
        self.outcome.files.append(path)

    def _frames(self) -> Iterator[VideoFrame]:
        """Predict; write the maps of each frame, and note now and then how far this is."""
        noted = time.monotonic()
        if self.maps:
            self.target.mkdir(parents=True, exist_ok=True)
        for frame in self.model.predict_video(
            self.outcome.clip,
            every=self.job.every,
            smooth=self.job.smooth,
            batch_size=self.job.batch_size,
            state=self.state,
        ):
            for kind in self.maps:
                file = self.target / f"{frame.index:06d}{SUFFIX[kind]}"
                with whole(file) as part:
                    part.write_bytes(encode(kind, frame.saliency_map, frame.image, {}))
                self.outcome.files.append(file)
            self.times.append((frame.index, frame.time_s))
            if self.maps and time.monotonic() - noted > _EVERY_S:
                self._note(frame.state)
                noted = time.monotonic()
            yield frame

    def _note(self, state: VideoState) -> None:
        content = {"job": self.job.of(self.outcome.clip), "times": self.times, "index": state.index}
        with whole(self.target / _STATE) as part:
            torch.save(content | {"model": state.model, "smoothing": state.smoothing, "origin": state.origin}, part)

    def _finish(self) -> None:
        self.outcome.frames = len(self.times)
        if self.maps:
            lines = ["index,time_s", *(f"{index},{time_s:.6f}" for index, time_s in self.times)]
            write_text(self.target / TIMES, "\n".join([*lines, ""]))
            self.outcome.files.append(self.target / TIMES)
        entry = {"job": self.job.of(self.outcome.clip), "frames": self.outcome.frames}
        finished = _finished(self.output) | {os.path.relpath(self.target, self.output): entry}
        write_text(self.output / DONE, json.dumps(finished, indent=1))
        (self.target / _STATE).unlink(missing_ok=True)


def _finished(output: Path) -> dict[str, Any]:
    """Return what is noted as finished in an output folder."""
    try:
        content: dict[str, Any] = json.loads((output / DONE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SpecError(f"{output / DONE} cannot be read: {error}; remove it to start anew.") from error
    return content
