"""The base of models whose network sees a window of frames at once, the last of which it predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones.s3d import S3DBackbone
from salzoo.components.layers import blur_mirrored
from salzoo.components.saliency_model import normalise_log
from salzoo.components.video_model import VideoModel


class ClipNetwork(nn.Module):
    """A network of clips of `frames` frames; subclasses say what `clip` computes of one.

    A still image is a clip that stands still. Of a video, the window of a frame is that frame and those before it; the
    first frame stands for what would be before the beginning. So a map depends on the past alone.
    """

    temporal = True
    frames: ClassVar[int] = 32
    """Length of the window."""
    backbone: S3DBackbone

    def clip(self, frames: Tensor) -> Tensor:
        """(N, 3, T, H, W) normalised window to (N, 1, h, w) logits of its last frame."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) normalised images to (N, 1, h, w) logits."""
        return self.clip(image[:, :, None].expand(-1, -1, self.frames, -1, -1))

    def step(self, image: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the logits of a frame, and the frames that the window of the next one begins with."""
        seen = (*(state or ()), image)
        window = [seen[0]] * (self.frames - len(seen)) + list(seen)
        return self.clip(torch.stack(window, dim=2)), tuple(window[1:])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast; kernels in time and space are laid out channels last where kernels in space are.

        torch refuses `channels_last` for five axes; with time and rows as one axis it gives what is meant.
        """

        def applied(tensor: Tensor) -> Tensor:
            if tensor.ndim != 5:
                return fn(tensor)
            made = fn(tensor.flatten(2, 3))
            return torch.unflatten(made, 2, tensor.shape[2:4])

        moved: Self = super()._apply(applied, recurse)  # type: ignore[no-untyped-call]
        return moved


class ClipModel(VideoModel):
    """A model of a `ClipNetwork` on S3D, the sigmoid of whose logits is the map.

    Args:
        blur: Standard deviation of a blur of predicted maps, as a share of the frame's height; 0 changes nothing.
        options: As the network and `SaliencyModel`.
    """

    network: ClipNetwork
    sigmoid = True

    def __init__(self, *, blur: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        check_range(0, 0.2, blur=blur)
        self.blur = blur

    def logits_of_clips(self, image: Tensor) -> Tensor:
        """Predict the last frame of each clip alone, as these networks are trained; short ones are padded as by `step`.

        Args:
            image: (N, T, 3, h, w) consecutive frames at the network's size.

        Returns:
            (N, 1, 1, h', w') logits.
        """
        seen = [self._pixels(frame) for frame in image.unbind(1)][-self.network.frames :]
        window = [seen[0]] * (self.network.frames - len(seen)) + seen
        return self.network.clip(torch.stack(window, dim=2))[:, None]

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, the blur, and the map divided by its sum."""
        if self.training or not self.blur:
            return normalise_log(F.logsigmoid(logits))
        blurred = blur_mirrored(logits.sigmoid(), self.blur * logits.shape[-2])
        return normalise_log(blurred.clamp_min(1e-12).log())

    def load_pretrained_backbone(self) -> None:
        """Load Kinetics weights into the encoder.

        Raises:
            WeightsError: If they can be neither found nor fetched.
        """
        self.network.backbone.load_pretrained()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters: the encoder's at `backbone_lr_scale * lr`, the rest at `lr`."""
        lr = self.training_config.lr
        inside = [p for p in self.network.backbone.parameters() if p.requires_grad]
        known = set(inside)
        own = [p for p in self.parameters() if p.requires_grad and p not in known]
        groups = [(own, lr), (inside, lr * self.training_config.backbone_lr_scale)]
        return [{"params": parameters, "lr": rate} for parameters, rate in groups if parameters]
