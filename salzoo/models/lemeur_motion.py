"""Le Meur, Le Callet and Barba (Vision Research 2007): what stands out in a frame, and what moves otherwise than it.

The map of a video is alpha S + (1 - alpha) T + beta S T, of a spatial map S and of a temporal map T, both stretched to
[0, 1]. T is relative motion: local motion minus the dominant motion of the frame, which is that of the camera.

A reconstruction from published descriptions: we had the abstract and descriptions by others, not the text or the
authors' program, and no map was compared with theirs.
- From descriptions: the spatial part is the coherent approach of 2006, here `lemeur`'s; dominant motion is affine and
  found by robust estimation; temporal saliency is relative motion, less of it where the median of relative motion is
  high, as nothing stands out where everything moves; the fusion has a term that reinforces places of both maps.
- Local motion is found by least squares in windows (`salzoo.components.flow`), not by block matching, and counts as
  far as the window determines it: motion on plain ground is not guessed.
- Guessed: alpha, beta, the form of the dependence on the median, how little motion counts as none, the blur of T.
- Left out: the limit of pursuit at 80 degrees a second, beyond what the flow here follows.
"""

from __future__ import annotations

from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.coherent import LeMeurNetwork
from salzoo.components.flow import dominant_motion, local_motion
from salzoo.components.training_free import TrainingFreeModel
from salzoo.components.video_model import VideoModel
from salzoo.images.preprocess import Preprocess

SIDE = 256
"""Longer side, in pixels, at which motion is estimated."""
NONE = 0.25
"""Relative motion in these pixels a frame at which temporal saliency is half of what it can be."""


class LeMeurMotionNetwork(nn.Module):
    """The spatial map of an image; in a video, fused with relative motion.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, ceil(H / 4), ceil(W / 4)).

    Args:
        alpha: Weight of the spatial map, from 0 to 1.
        beta: Weight of the product of both maps.
        motion_blur: Standard deviation of the Gaussian over relative motion, as a share of the longer side.
    """

    temporal = True

    def __init__(self, alpha: float = 0.4, beta: float = 1.0, motion_blur: float = 0.015) -> None:
        super().__init__()
        check_range(0, 1, alpha=alpha, motion_blur=motion_blur)
        check_range(0, 100, beta=beta)
        self.spatial = LeMeurNetwork()
        self.alpha, self.beta, self.motion_blur = alpha, beta, motion_blur

    def forward(self, image: Tensor) -> Tensor:
        """Return the spatial saliency of RGB in [0, 1], stretched to [0, 1]."""
        return filters.rescale(self.spatial(image))

    def step(self, image: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the saliency of a frame, and its intensity for the next one."""
        share = SIDE / max(image.shape[-2:])
        size = [max(8, round(side * share)) for side in image.shape[-2:]]
        grey, spatial = filters.resize(filters.intensity(image), size), self(image)
        if state is None:
            return self.alpha * spatial, grey
        temporal = filters.resize(self.relative_motion(grey, state), spatial.shape[-2:])
        return self.alpha * spatial + (1 - self.alpha) * temporal + self.beta * spatial * temporal, grey

    def relative_motion(self, now: Tensor, before: Tensor) -> Tensor:
        """Return temporal saliency between two intensities, (1, 1, h, w) to the same, from 0 to 1."""
        flow, confidence = local_motion(now, before)
        relative = (flow - dominant_motion(flow, confidence)).square().sum(1, keepdim=True).sqrt()
        relative = filters.blur(relative * confidence, self.motion_blur * max(now.shape[-2:]))
        median = relative.median()
        above = (relative - median).relu()
        return above / (above.max() + NONE + median)


class LeMeurMotion(VideoModel, TrainingFreeModel):
    """Spatial saliency and relative motion, at 640 pixels on the longer side; arguments as `LeMeurMotionNetwork`."""

    network: LeMeurMotionNetwork
    network_class = LeMeurMotionNetwork
    default_preprocess = Preprocess((480, 640), "longest")
    no_graph = "it filters in the frequency domain, for which ONNX runtimes have no two-dimensional transform"
