"""SalEMA (Linardos, Mohedano, Nieto, O'Connor, Giro-i-Nieto & McGuinness, BMVC 2019; arXiv:1907.01869).

SalGAN's generator in which one layer, the decoder's first convolution before its ReLU, is an exponential moving average
over the frames. Where paper and released code differ, this is the released code. Differences:
- Training here is that of images, each by itself, where the average changes nothing: binary cross-entropy, as the first
  stage of SalGAN. The authors train it on clips of ten frames of DHF1K; there are no videos here, and their dropout of
  channels before the average is left out.
- The weight of the new frame is `weight`, the sigmoid of the authors' `alpha`: their 0.1 is passed through a sigmoid
  even where it is not learned, which gives 0.525.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from salzoo import losses
from salzoo._schema import check_range
from salzoo.components.mirrored import SalGANNetwork
from salzoo.components.saliency_model import normalise_log
from salzoo.components.video_model import VideoModel
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class SalEMANetwork(SalGANNetwork):
    """SalGAN's generator with a moving average after the decoder's first convolution; other arguments as there.

    Args:
        weight: Of the new frame, above 0; 1 takes each frame by itself.
        options: As `SalGANNetwork`.
    """

    temporal = True

    def __init__(self, weight: float = 0.525, **options: Any) -> None:
        super().__init__(**options)
        check_range(1e-3, 1, weight=weight)
        self.weight = weight

    def step(self, image: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the logits of a frame, and the average for the next one, (1, C, h, w)."""
        (features,) = self.backbone(image)
        now = self.decoder[0](features)
        average = now if state is None else self.weight * now + (1 - self.weight) * state
        return self.decoder[1:](average), average


class SalEMA(VideoModel):
    """SalGAN with an exponential moving average over frames; arguments as `SalEMANetwork`."""

    network: SalEMANetwork
    network_class = SalEMANetwork
    default_preprocess = Preprocess((192, 256))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, then the map divided by its sum."""
        return normalise_log(logits.sigmoid().clamp_min(1e-12).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy with the density scaled to a maximum of 1 (Sec. 3)."""
        density = batch["density"]
        return losses.bce(logits[:, 0], density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20))

    def configure_sgd(self) -> Any:
        """Return the authors' optimiser: Adam with a weight decay of 1e-4."""
        return torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr, weight_decay=1e-4)
