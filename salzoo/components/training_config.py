"""Settings that only training needs: one object apart from the network, filled from a recipe and replaceable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from salzoo import losses
from salzoo.errors import SpecError
from salzoo.losses import LossSpec


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of training that every model shares; a paper with more of them has a subclass.

    None of them changes a tensor of the network, so they go with published weights: `salzoo.load("salgan", lr=1e-4)`,
    or `model.training_config = replace(model.training_config, lr=1e-4)`.

    Args:
        lr: Learning rate; with AdamW the peak of the one-cycle schedule.
        backbone_lr_scale: Learning rate of backbones as a share of `lr`; below 1 to fine-tune ImageNet weights gently.
        optimizer: `adamw` with a one-cycle schedule, or `sgd`, the paper's own stochastic gradient descent.
        loss: Criterion instead of the paper's own, as `salzoo.losses.get` takes it; None for the paper's.
        start: Checkpoint whose weights a new network takes over before it is trained, as `deepgaze2e.frozen`; what that
            network has not stays new. None: all is new.
        teacher: Checkpoint whose densities take the place of the people's: what `loss` compares densities with (`kl`,
            `cc`, `sim`, ...) is then learned from it, what it says of fixations (`nll`, `nss`) from people.
        pretrained_backbone: Start from ImageNet weights; only a new network does, never one with published weights.
        cache_features: Keep the feature maps of frozen backbones in memory: epochs after the first two (images and
            their mirror images) take a fraction of the time. Needs `--data.augment.crop 0` and some megabytes an image.
        accumulate: Batches per optimiser step, for a model that steps its optimisers itself; all others follow the
            trainer's `accumulate_grad_batches`.
    """

    lr: float = 1e-3
    backbone_lr_scale: float = 1.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    loss: LossSpec | None = None
    start: str | None = None
    teacher: str | None = None
    pretrained_backbone: bool = False
    cache_features: bool = False
    accumulate: int = 1

    def __post_init__(self) -> None:
        """Check what the types cannot say; a criterion given as text is kept as the weights that it says.

        Raises:
            SpecError: If a number is out of its range.
        """
        if not (self.lr > 0 and self.backbone_lr_scale >= 0 and self.accumulate >= 1):
            raise SpecError(
                f"training: lr={self.lr}, backbone_lr_scale={self.backbone_lr_scale} and accumulate={self.accumulate} "
                "are not accepted: lr above 0, backbone_lr_scale at least 0, accumulate at least 1."
            )
        if isinstance(self.loss, str) and self.loss.strip().startswith("{"):
            object.__setattr__(self, "loss", losses.get(self.loss).weights)
