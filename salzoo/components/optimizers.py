"""Optimisers as the papers' own frameworks had them."""

from __future__ import annotations

from typing import Any

import torch


def decaying_sgd(groups: list[dict[str, Any]], lr: float) -> dict[str, Any]:
    """Return an optimiser with its schedule: SGD as in Keras 1, whose `decay` is that of the rate, not of the weights.

    Nesterov momentum 0.9; after t steps the rate is 1 / (1 + 0.0005 t) of that at the start.

    Args:
        groups: As `parameter_groups` returns them.
        lr: Learning rate at the start, of groups without their own.
    """
    sgd = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 1 / (1 + 5e-4 * step))
    return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def caffe_sgd(
    groups: list[dict[str, Any]], *, momentum: float, weight_decay: float = 0.0, step_size: int, gamma: float
) -> dict[str, Any]:
    """Return an optimiser with its schedule as in Caffe's training files: biases at twice the rate, without decay.

    Args:
        groups: As `parameter_groups` returns them.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of all parameters but biases.
        step_size: Steps after which every rate is multiplied by `gamma`.
        gamma: Factor below 1.
    """
    split = [
        {**group, **options, "params": chosen}
        for group in groups
        for options, chosen in (
            ({}, [p for p in group["params"] if p.ndim > 1]),
            ({"lr": 2 * group["lr"], "weight_decay": 0.0}, [p for p in group["params"] if p.ndim <= 1]),
        )
        if chosen
    ]
    sgd = torch.optim.SGD(split, momentum=momentum, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=step_size, gamma=gamma)
    return {"optimizer": sgd, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
