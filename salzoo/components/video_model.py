"""The base of models that remember: the map of a frame depends on those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.video import ModelState
from salzoo.errors import SpecError


class TemporalNetwork(Protocol):
    """What `VideoModel` asks of its network.

    Attributes:
        temporal: Whether it remembers anything; if not, each frame is an image by itself.
    """

    temporal: bool

    def __call__(self, image: Tensor) -> Tensor:
        """Predict an image alone: the map of a video that stands still."""
        ...

    def step(self, image: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Predict the next frame.

        Args:
            image: (N, 3, h, w) normalised frames of N videos at the network's size.
            state: What was returned for the frame before it; None at the beginning of a video.

        Returns:
            (N, 1, h', w') logits, and tensors, or tuples, lists or dicts of them, that the next frame needs.
        """
        ...


class VideoModel(SaliencyModel):
    """A model whose network has a `step` beside its `forward`; see `TemporalNetwork`.

    `predict` takes an image for itself; `predict_video` goes frame by frame, in the order of time, whatever the batch.
    """

    @property
    def remembers(self) -> bool:
        """As its network says."""
        return cast("TemporalNetwork", self.network).temporal

    def logits_of_clips(self, image: Tensor) -> Tensor:
        """Predict clips as they are trained on, frame after frame, with gradients through what is remembered."""
        network = cast("TemporalNetwork", self.network)
        if not network.temporal:
            return super().logits_of_clips(image)
        found, state = [], None
        for frame in image.unbind(1):
            logits, state = network.step(self._pixels(frame), state)
            found.append(logits)
        return torch.stack(found, dim=1)

    def infer_frames(self, images: Sequence[Tensor], state: ModelState) -> list[tuple[Tensor, ModelState]]:
        """Consecutive frames to log densities, each with the state after it.

        Raises:
            SpecError: If the model averages several views: a video has one state.
        """
        network = cast("TemporalNetwork", self.network)
        if not network.temporal:
            return super().infer_frames(images, state)
        if self.tta != ((1.0, False),):
            raise SpecError(f"tta={self.tta} does not go with a network that remembers: one view, ((1.0, False),).")
        found = []
        for image in images:
            logits, state = network.step(self._pixels(self.preprocess.resize(image[None])), state)
            found.append((self.predicted(logits.float(), (image.shape[-2], image.shape[-1]))[0], state))
        return found
