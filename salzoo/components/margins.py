"""What linear classifiers of places share: the places that they learn from, and the way from margins to a density."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from salzoo import losses
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.data.base import Item
from salzoo.data.patches import draw_places, split_by_rank


def ranked_places(
    model: SaliencyModel, features: Callable[[Tensor], Tensor], items: Iterator[Item], count: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw places from the 20 % of each image that people looked at most, and from the 70 % that they looked at least.

    The rule of Judd et al. (ICCV 2009, Sec. 3.1), which eDN follows (Vig et al., CVPR 2014).

    Args:
        model: Gives images their size.
        features: (1, 3, H, W) RGB in [0, 1] to maps (1, C, h, w).
        items: Training images.
        count: Places of each kind in an image.

    Yields:
        (2 * count, C) features on the CPU, and their labels (2 * count,): `count` times 0, then `count` times 1.
    """
    for item in items:
        maps = features(model.preprocess.resize(item["image"][None]).to(model.device))
        size = (maps.shape[-2], maps.shape[-1])
        fixated, others = split_by_rank(F.adaptive_avg_pool2d(item["density"][None], size))
        drawn = torch.cat([draw_places(marked, count) for marked in (others, fixated)], 1)
        rows, columns = (drawn[0] * torch.tensor(size)).long().unbind(-1)
        yield maps[0, :, rows, columns].T.cpu(), torch.arange(2).repeat_interleave(count)


def likeliest_scale(model: SaliencyModel, items: Iterator[Item]) -> float:
    """Return the factor s from 0.01 to 100 for which the fixations are likeliest under exp(s * margin).

    Args:
        model: Predicts margins.
        items: Images with their fixations.
    """
    truth = []
    for item in items:
        margins = model(model.preprocess.resize(item["image"][None]).to(model.device)).cpu()
        counts = F.adaptive_avg_pool2d(item["fixations"][None].float(), (margins.shape[-2], margins.shape[-1]))
        truth.append((margins, counts))

    def cost(scale: float) -> float:
        each = [losses.nll(normalise_log(scale * margins), counts) for margins, counts in truth]
        return float(torch.stack(each).mean())

    return float(minimize_scalar(cost, bounds=(0.01, 100), method="bounded").x)
