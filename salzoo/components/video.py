"""Any model on a video, frame by frame, with a state that can be passed on."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from torch import Tensor

from salzoo.checkpoint.config import Config
from salzoo.errors import SpecError
from salzoo.images.saliency_map import SaliencyMap
from salzoo.video.frames import Frame
from salzoo.video.smoothing import Nothing, Smoothing

ModelState: TypeAlias = Any
"""What a model has to remember of the frames so far: tensors in tuples, lists and dicts; None if nothing."""


@dataclass(frozen=True)
class VideoState:
    """Where a video was left: all that the frames after one depend on.

    Attributes:
        index: Index of that frame.
        model: What the model remembers.
        smoothing: What the smoothing remembers.
        origin: Model, smoothing and size of the frames that it is of, in words: with others nothing goes on.
    """

    index: int = -1
    model: ModelState = None
    smoothing: Any = None
    origin: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoFrame:
    """A frame and its map.

    Attributes:
        index: Number of the frame in the video, from 0.
        time_s: When it is shown, in seconds from the first frame.
        saliency_map: Its map, at the frame's own size.
        image: (3, H, W) RGB, as it was read.
        state: `predict_video(..., state=frame.state)` goes on after this frame.
    """

    index: int
    time_s: float
    saliency_map: SaliencyMap
    image: Tensor
    state: VideoState


class _Model(Protocol):
    config: Config | None

    def log_densities_of_frames(
        self, images: Sequence[Tensor], state: ModelState
    ) -> list[tuple[Tensor, ModelState]]: ...


def left_at(state: object, model: _Model, smooth: Smoothing) -> VideoState:
    """Return where a video was left, as a caller passed it on; None is its beginning.

    Raises:
        SpecError: If it is no state, or that of another model or another smoothing.
    """
    if state is None:
        return VideoState()
    if (
        not isinstance(state, VideoState)
        or not isinstance(state.index, int)
        or not (state.origin or state.model is state.smoothing is None)
    ):
        raise SpecError(f"state={str(state)[:80]} is not accepted: the `state` of a frame of predict_video, or None.")
    _check_origin(state, *_origin(model, smooth))
    return state


def _origin(model: _Model, smooth: Smoothing) -> tuple[str, str]:
    name = type(model).__name__ if model.config is None else f"{model.config.model}.{model.config.tag}"
    return name, "no smoothing" if isinstance(smooth, Nothing) else str(smooth)


def _check_origin(state: VideoState, *origin: str) -> None:
    for known, now in zip(state.origin, origin, strict=False):
        if known != now:
            raise SpecError(
                f"the state after frame {state.index} is of {known}, and this video of {now}: go on with the same "
                "model, smoothing and size of frames, or without `state`, from the beginning."
            )


def predict_frames(
    model: _Model, frames: Iterator[Frame], smooth: Smoothing, batch_size: int, state: VideoState
) -> Iterator[VideoFrame]:
    """Yield the map of each frame; memory holds a batch of them, and as many as the smoothing looks ahead.

    Args:
        model: The model.
        frames: Frames that come after `state`.
        smooth: What smooths the maps.
        batch_size: Frames that go through the network at once.
        state: Where the video was left.

    Raises:
        SpecError: If the state is one of frames of another size.
    """
    origin = _origin(model, smooth)
    waiting: deque[tuple[Frame, ModelState]] = deque()

    def maps() -> Iterator[tuple[float, Tensor]]:
        remembered = state.model
        for batch in _batched(frames, batch_size):
            _check_origin(state, *origin, _size(batch[0]))
            predicted = model.log_densities_of_frames([frame.image for frame in batch], remembered)
            for frame, (log_density, remembered) in zip(batch, predicted, strict=True):
                waiting.append((frame, remembered))
                yield frame.time_s, log_density

    for log_density, past in smooth.run(maps(), state.smoothing):
        frame, remembered = waiting.popleft()
        after = VideoState(frame.index, remembered, past, (*origin, _size(frame)))
        yield VideoFrame(frame.index, frame.time_s, SaliencyMap(log_density), frame.image, after)


def _size(frame: Frame) -> str:
    return f"frames of {frame.image.shape[-2]} x {frame.image.shape[-1]}"


def _batched(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while batch := list(itertools.islice(frames, size)):
        yield batch
