"""SalEMA (Linardos, Mohedano, Nieto, O'Connor, Giro-i-Nieto & McGuinness, BMVC 2019; arXiv:1907.01869).

SalGAN's generator in which one layer, the decoder's first convolution before its ReLU, is an exponential moving average
over the frames. Where paper and released code differ, this is the released code. Differences:
- The recipe here is that of images, each by itself, where the average changes nothing: binary cross-entropy, as the
  first stage of SalGAN. The authors train on clips of ten frames of DHF1K, which `--data dhf1k --data.length 10` does;
  their dropout of channels before the average is left out.
- The weight of the new frame is `weight`, the sigmoid of the authors' `alpha`: their 0.1 is passed through a sigmoid
  even where it is not learned, which gives 0.525.
- timm's VGG-16 expects RGB with ImageNet statistics, so that is what it gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.components.layers import same_size
from salzoo.components.mirrored import SalGANNetwork
from salzoo.components.saliency_model import normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.components.video_model import VideoModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class SalEMANetwork(SalGANNetwork):
    """SalGAN's generator with a moving average after the decoder's first convolution; other arguments as there.

    Args:
        weight: Of the new frame, above 0; 1 takes each frame by itself.
        learn_weight: Train it, from `weight` on: the sigmoid of a parameter `alpha`, as the authors' (below 1).
        options: As `SalGANNetwork`.
    """

    temporal = True

    alpha: nn.Parameter

    def __init__(self, weight: float = 0.525, *, learn_weight: bool = False, **options: Any) -> None:
        super().__init__(**options)
        check_range(1e-3, 0.999 if learn_weight else 1, weight=weight)
        self._weight = weight
        if learn_weight:
            self.alpha = nn.Parameter(torch.tensor(weight).logit())

    @property
    def weight(self) -> float | Tensor:
        """Weight of the new frame; a tensor if it is learned."""
        return self.alpha.sigmoid() if "alpha" in self._parameters else self._weight

    def step(self, image: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the logits of a frame, and the average for the next one, (1, C, h, w)."""
        (features,) = self.backbone(image)
        now = self.decoder[0](features)
        average = now if state is None else self.weight * now + (1 - self.weight) * state
        return self.decoder[1:](average), average


@dataclass(frozen=True)
class SalEMATraining(TrainingConfig):
    """Training of SalEMA; `sgd` is the authors' Adam, `start` may be a SalGAN.

    Args:
        weight_lr: Learning rate of a learned weight of the new frame.
        weight_alone: Train the weight of the new frame alone, and nothing else.
    """

    weight_lr: float = 0.1
    weight_alone: bool = False


class SalEMA(VideoModel):
    """SalGAN with an exponential moving average over frames; arguments as `SalEMANetwork`."""

    network: SalEMANetwork
    network_class = SalEMANetwork
    training_config: SalEMATraining
    training_class = SalEMATraining
    default_preprocess = Preprocess((192, 256))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Sigmoid, then the map divided by its sum."""
        return normalise_log(logits.sigmoid().clamp_min(1e-12).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Binary cross-entropy with the density scaled to a maximum of 1 (Sec. 3)."""
        density = batch["density"]
        if not same_size(density, logits):  # a decoder of fewer blocks
            density = F.adaptive_avg_pool2d(density, (logits.shape[-2], logits.shape[-1]))
        return losses.bce(logits[:, 0], density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20))

    def setup(self, stage: str) -> None:
        """Train nothing but the weight of the new frame, if that is wanted.

        Raises:
            SpecError: If it is not learned.
        """
        super().setup(stage)
        if stage != "fit" or not self.training_config.weight_alone:
            return
        if not self._weights():
            raise SpecError("training.weight_alone trains the weight of the new frame: give --model.learn_weight=true.")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name == "alpha")

    def on_fit_start(self) -> None:
        """Leave batch norms as they are, if the weight alone is trained."""
        super().on_fit_start()
        if self.training_config.weight_alone:
            self.network.eval()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As others', but a learned weight at `weight_lr`."""
        own = self._weights()
        groups = [
            {**group, "params": [p for p in group["params"] if all(p is not one for one in own)]}
            for group in super().parameter_groups()
        ]
        groups += [{"params": own, "lr": self.training_config.weight_lr}]
        return [group for group in groups if group["params"]]

    def _weights(self) -> list[nn.Parameter]:
        return [p for name, p in self.network.named_parameters() if name == "alpha"]

    def configure_sgd(self) -> Any:
        """Return the authors' optimiser: Adam with a weight decay of 1e-4."""
        return torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr, weight_decay=1e-4)
