"""A model as one graph: pixels of an image of any size in, its log density out, all between as `predict` has it."""

from __future__ import annotations

import copy
import math
from typing import cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from salzoo.backbones.fusion import fold_batch_norms
from salzoo.components.layers import GaussianBlur
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.geometry import MOST_ELONGATED, MULTIPLE, Size
from salzoo.images.preprocess import as_float
from salzoo.images.resample import resize_image

FREE_SIZE = ("squash", "aspect")
"""Fits whose inputs a graph can work out for an image of any size."""


def why_one_size(model: SaliencyModel) -> str:
    """Return why a model's graph can only be for images of one size; empty where nothing is known to be in the way."""
    own = model.preprocess
    if own.fit not in FREE_SIZE:
        return f"with fit '{own.fit}' the input's size depends on the image in a way that a graph cannot follow"
    if own.resample != "antialiased":
        return f"the weights of resample '{own.resample}' are made in numpy for one size"
    return ""


class Graph(nn.Module):
    """`SaliencyModel.predict` without its Python: what `torch.export` traces.

    Shape: (N, 3, H, W) RGB, float in [0, 1], to (N, H, W) natural-log density of the images' own size.

    Args:
        model: The model; it is copied.
        free_size: Whether the graph is for images of any size, not for those of the size that it is traced with.
    """

    def __init__(self, model: SaliencyModel, *, free_size: bool) -> None:
        super().__init__()
        self.model = _portable(model)
        self.in_graph = free_size and model.preprocess.fit == "aspect"

    def forward(self, image: Tensor) -> Tensor:
        """Resize, normalise, run, average the views, bring back, take the log-softmax."""
        model, size = self.model, (image.shape[-2], image.shape[-1])
        if self.in_graph:
            frames = _aspect_frames(size, model)
            logits = model.view(resize_image(as_float(image), frames[1.0], model.preprocess.resample), frames)
        else:
            logits = model(model.preprocess.resize(image))
        log_density = model.predicted(logits, size)
        total = log_density.exp().double().sum((-2, -1), keepdim=True)  # as `SaliencyMap`; runtimes add up in float32
        return log_density - total.log().float()


def _aspect_frames(image_size: Size, model: SaliencyModel) -> dict[float, Size]:
    """Return what `frame_size(..., "aspect")` and `scaled_size` do, for each scale of the views, as a graph.

    The numbers are tensors in double precision, as Python's; each side leaves it as a symbol, a multiple of 32.
    """
    area = float(model.preprocess.size[0] * model.preprocess.size[1])
    height, width = (torch.scalar_tensor(side, dtype=torch.float64) for side in image_size)
    ratio = (width / height).clamp(1 / MOST_ELONGATED, MOST_ELONGATED)
    height = (area / ratio).sqrt()
    first = [(side / MULTIPLE).round().clamp(min=1) for side in (height, height * ratio)]
    frames = {1.0: first}
    for scale, _ in model.tta:
        frames[scale] = first if scale == 1 else [(scale * (MULTIPLE * cells) / MULTIPLE).round() for cells in first]
    most = math.ceil(max(frames) * (area * MOST_ELONGATED) ** 0.5 / MULTIPLE) + 1
    return {scale: (_side(rows, most), _side(columns, most)) for scale, (rows, columns) in frames.items()}


def _side(cells: Tensor, most: int) -> int:
    """Return a side of so many cells as a symbol."""
    count = cast("int", cells.long().item())
    torch._check(count >= 1)
    torch._check(count <= most)
    return MULTIPLE * count


class SamePadding(nn.Module):
    """TensorFlow's padding and a convolution, for sides that are symbols: `timm`'s rounds in floating point.

    Args:
        convolution: The convolution, of a kernel that is no smaller than its stride.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = nn.Conv2d.__new__(nn.Conv2d)
        self.convolution.__dict__ = dict(convolution.__dict__)

    def forward(self, maps: Tensor) -> Tensor:
        """Pad (N, C, H, W) so that the result has ceil(side / stride) and convolve."""
        c = self.convolution
        pads: list[int] = []
        for side, kernel, stride, dilation in zip(maps.shape[-2:], c.kernel_size, c.stride, c.dilation, strict=True):
            spare = (side - 1) // stride * stride + (kernel - 1) * dilation + 1 - side
            pads = [spare // 2, spare - spare // 2, *pads]
        padded: Tensor = self.convolution(nn.functional.pad(maps, pads))
        return padded


def _portable(model: SaliencyModel) -> SaliencyModel:
    """Return a copy of a model in eval mode without what only PyTorch's own speed needs."""
    with torch.inference_mode(False), torch.no_grad():
        own = copy.deepcopy(model).cpu().float().eval()
        for backbone in own.backbones():
            backbone.trunk = fold_batch_norms(backbone.trunk, one_call=False)
        for name, module in list(own.named_modules()):
            if isinstance(module, Conv2dSame) and all(
                k >= s for k, s in zip(module.kernel_size, module.stride, strict=True)
            ):
                own.set_submodule(name, SamePadding(module))
            elif isinstance(module, GaussianBlur) and module.max_sigma_px is None:
                module.max_sigma_px = module.log_sigma.exp().item()  # a kernel's side is no symbol
    return own.requires_grad_(False)
