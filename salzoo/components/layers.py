"""Layers that several papers share; what only one paper has lives in that paper's file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

from salzoo.backbones import TimmBackbone
from salzoo.data.fixations import Fixations
from salzoo.data.statistics import TrainingStatistics
from salzoo.errors import SpecError
from salzoo.images.gaussian import gaussian_blur

UNIFORM = 1e-3
"""Share of a uniform density in every centre bias, so that no place is impossible."""


LOG_SIGMA = (-4.0, 8.0)
"""Logarithms of the narrowest and of the widest blur in pixels that a weight stands for."""


class GaussianBlur(nn.Module):
    """Gaussian blur whose width is learned (DeepGaze I, Kuemmerer et al. 2014, Sec. 2).

    Shape: (N, 1, H, W) to the same; borders are replicated, so that a constant map stays constant.

    Args:
        sigma_px: Initial width in pixels of the map.
        max_sigma_px: The kernel reaches three times this far; with a larger learned width it is cut off there. None: it
            always reaches three times the learned width, as in the PyTorch code of DeepGaze IIE. No kernel reaches
            farther than the map.
    """

    def __init__(self, sigma_px: float = 1.0, max_sigma_px: float | None = 4.0) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.tensor(math.log(sigma_px)))
        self.max_sigma_px = max_sigma_px

    def forward(self, maps: Tensor) -> Tensor:
        """Blur each map."""
        log_sigma = self.log_sigma.clamp(*LOG_SIGMA)
        if self.max_sigma_px:
            margin = math.ceil(3 * self.max_sigma_px)
        else:
            margin = math.ceil(min(3 * log_sigma.exp().item(), max(64, *maps.shape[-2:])))
        kernel = (2 * margin + 1, 2 * margin + 1)
        padded = F.pad(maps, (margin,) * 4, mode="replicate")
        return gaussian_blur(padded, kernel, log_sigma.exp(), "constant")[..., margin:-margin, margin:-margin]


class FrameDensity(nn.Module):
    """A log density over the frame in relative coordinates, fitted to the fixations of all images.

    Args:
        grid: (height, width) of the stored log density.
    """

    log_density: Tensor

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("log_density", torch.zeros(1, 1, *grid))

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the stored log density."""
        return self.log_density.shape[-2], self.log_density.shape[-1]

    def fit(self, fixations: Iterable[tuple[Fixations, tuple[int, int]]], bandwidth: float) -> None:
        """Set the log density to the kernel density estimate of `kernel_density`."""
        self.log_density.copy_(kernel_density(fixations, self.grid, bandwidth).log())


class CentreBias(FrameDensity):
    """A log density over the frame, interpolated, with a learned weight.

    Shape: a size (H, W) to (1, 1, H, W) log density, not normalised at that size.

    Args:
        grid: (height, width) of the stored log density.
    """

    def __init__(self, grid: tuple[int, int] = (48, 64)) -> None:
        super().__init__(grid)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Return weight * log density, interpolated to `size`."""
        resized = F.interpolate(self.log_density, size, mode="bilinear", align_corners=False)
        return self.weight * resized


class CentreBiasTemplate(FrameDensity):
    """A log density over the frame that several read-outs share, each with a weight of its own, as in the DeepGazes.

    It is brought to an image as `scipy.ndimage.zoom(template, ..., order=0, mode="nearest")` does it, which the authors
    call for: corner to corner, the nearest value.

    Shape: (H, W) of an image and a step to (1, 1, H // step, W // step) log density, not normalised.

    Args:
        grid: (height, width) of the stored log density; the authors' is 1024 x 1024.
    """

    def forward(self, image_size: tuple[int, int], step: int) -> Tensor:
        """Return the log density at every `step`-th pixel of an image, from the first."""
        rows, columns = (self._places(*sides, step) for sides in zip(self.grid, image_size, strict=True))
        return self.log_density[:, :, rows[:, None], columns]

    def _places(self, stored: int, side: int, step: int) -> Tensor:
        """Return which stored values the pixels get, in double precision as in SciPy."""
        pixels = torch.arange(side // step, dtype=torch.float64) * step
        return (pixels * ((stored - 1) / max(side - 1, 1)) + 0.5).long().to(self.log_density.device)


def kernel_density(
    fixations: Iterable[tuple[Fixations, tuple[int, int]]],
    grid: tuple[int, int],
    bandwidth: float,
    uniform: float = UNIFORM,
) -> Tensor:
    """Density of all fixations in relative coordinates; every fixation has the same weight.

    Args:
        fixations: Points and (height, width) of each image.
        grid: (height, width) of the result.
        bandwidth: Standard deviation of the Gaussian kernel, as a share of each side.
        uniform: Share of a uniform density mixed in, so that no place is impossible.

    Returns:
        (height, width) density that sums to 1.
    """
    total, count = torch.zeros(grid, dtype=torch.float64), 0
    sigma_px = (bandwidth * grid[0], bandwidth * grid[1])
    for points, size in fixations:
        if len(points):
            total += len(points) * points.resized(size, grid).density(grid, sigma_px)
            count += len(points)
    return ((1 - uniform) * total / max(count, 1) + uniform / total.numel()).float()


BANDWIDTHS = (0.03, 0.045, 0.06, 0.09, 0.12)


def best_bandwidth(fixations: Sequence[tuple[Fixations, tuple[int, int]]], grid: tuple[int, int] = (48, 64)) -> float:
    """Return the one of `BANDWIDTHS` under which each image's fixations are likeliest, given those of all others.

    Args:
        fixations: Points and (height, width) of each image; at least two with points, else the widest is returned.
        grid: (height, width) at which the likelihood is taken.
    """
    seen = [points.resized(size, grid) for points, size in fixations if len(points)]
    if len(seen) < 2:
        return BANDWIDTHS[-1]
    counts = torch.stack([points.counts(grid) for points in seen]).double()
    numbers = counts.sum((1, 2), keepdim=True)

    def likelihood(bandwidth: float) -> float:
        sigma_px = (bandwidth * grid[0], bandwidth * grid[1])
        mass = torch.stack([len(points) * points.density(grid, sigma_px).double() for points in seen])
        others = (mass.sum(0) - mass) / (numbers.sum() - numbers)
        return float((counts * ((1 - UNIFORM) * others + UNIFORM / others[0].numel()).log()).sum())

    return max(BANDWIDTHS, key=likelihood)


class Standardise(nn.Module):
    """Give each channel zero mean and unit variance, with statistics measured once over training images.

    Shape: (N, C, H, W) to the same.

    Args:
        channels: C.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, maps: Tensor, weight: Tensor | None = None) -> Tensor:
        """Standardise; with a weight (K, C, 1, 1) apply this 1x1 convolution, too, and no map is copied."""
        if weight is None:
            return (maps - self.mean[:, None, None]) / self.std[:, None, None]
        scaled = weight.flatten(1) / self.std
        return F.linear(maps.movedim(1, -1), scaled, -(scaled @ self.mean)).movedim(-1, 1)  # sooner than a convolution


def fit_centre_biases(network: nn.Module, data: TrainingStatistics, bandwidth: float = 0.03) -> None:
    """Fit every centre bias in a network to the training fixations.

    Args:
        network: Has any number of `CentreBias` and `CentreBiasTemplate` layers.
        data: Source of the training fixations.
        bandwidth: Standard deviation of the Gaussian kernel, as a share of each side.
    """
    layers = [module for module in network.modules() if isinstance(module, FrameDensity)]
    points = list(data.train_points()) if layers else []
    for grid in {layer.grid for layer in layers}:
        log_density = kernel_density(points, grid, bandwidth).log()
        for layer in layers:
            if layer.grid == grid:
                layer.log_density.copy_(log_density)


def fit_standardise(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure the channel statistics of every `Standardise` layer in a network in one pass.

    A channel that is nearly constant on these images may vary on others: its deviation counts as at least a hundredth
    of the layer's median.

    Args:
        network: Network whose `Standardise` layers follow frozen layers, so that none depends on another.
        batches: (N, 3, h, w) normalised images.
    """
    layers = [module for module in network.modules() if isinstance(module, Standardise)]
    if not layers:
        return
    first = {layer: torch.zeros_like(layer.mean, dtype=torch.float64) for layer in layers}
    second = {layer: torch.zeros_like(total) for layer, total in first.items()}
    pixels = dict.fromkeys(layers, 0)

    def measure(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        own, maps = cast("Standardise", layer), inputs[0]
        first[own] += maps.double().sum((0, 2, 3))
        second[own] += maps.double().square().sum((0, 2, 3))
        pixels[own] += maps.numel() // maps.shape[1]

    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    try:
        for batch in batches:
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for layer in layers:
        mean = first[layer] / pixels[layer]
        layer.mean.copy_(mean)
        std = (second[layer] / pixels[layer] - mean.square()).clamp_min(1e-12).sqrt()
        layer.std.copy_(std.clamp_min(0.01 * std.median().item()))


class StackedFeatures(nn.Module):
    """The maps of a backbone brought to one stride and concatenated; standardised if the backbone is frozen as a whole.

    Shape: (N, 3, H, W) normalised image to (N, channels, h, w), h and w those of the map with the given stride.

    Args:
        backbone: Where the maps come from.
        stride: Stride of the result, that of one of the maps; finer maps are averaged, coarser ones interpolated.
    """

    def __init__(self, backbone: TimmBackbone, stride: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = sum(backbone.channels)
        self.reference = position_of_stride(backbone, stride)
        self.standardise = nn.ModuleList(
            Standardise(c) if backbone.trunk in backbone.frozen else nn.Identity() for c in backbone.channels
        )

    def forward(self, image: Tensor) -> Tensor:
        """Run the backbone and stack its maps."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.backbone(image), strict=True)]
        size = (maps[self.reference].shape[-2], maps[self.reference].shape[-1])
        return torch.cat([resize_map(m, size) for m in maps], dim=1)


def position_of_stride(backbone: TimmBackbone, stride: int) -> int:
    """Return which of a backbone's maps has a stride.

    Raises:
        SpecError: If none has.
    """
    if stride not in backbone.strides:
        raise SpecError(
            f"stride={stride} is not accepted: the feature nodes have {', '.join(map(str, backbone.strides))}."
        )
    return backbone.strides.index(stride)


def sides(image: Tensor) -> tuple[int, int]:
    """Return (height, width): numbers also under `torch.jit.trace`, which has tensors; symbols under `torch.export`."""
    height, width = (side if isinstance(side, torch.SymInt) else int(side) for side in image.shape[-2:])
    return height, width


def same_size(a: Tensor, b: Tensor) -> bool:
    """Return whether maps are of one size; of sizes that are symbols, whether this is known."""
    return all(statically_known_true(m == n) for m, n in zip(sides(a), sides(b), strict=True))


def evenly(start: float, end: float, count: int, like: Tensor) -> Tensor:
    """Return `torch.linspace` like a tensor, also for a `count` that is a symbol of `torch.export`."""
    if isinstance(count, torch.SymInt):
        steps = torch.arange(count, device=like.device, dtype=like.dtype)
        return start + steps * ((end - start) / (count - 1))
    return torch.linspace(start, end, count, device=like.device, dtype=like.dtype)


def resize_map(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring feature maps (N, C, h, w) to (N, C, *size): by averages to a smaller size, bilinearly to a larger one."""
    if maps.shape[-2] > size[0]:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def blur_mirrored(maps: Tensor, sigma_px: float) -> Tensor:
    """Blur as `scipy.ndimage.gaussian_filter` does by default: cut off at 4 sigma, the outermost pixels mirrored.

    Args:
        maps: (N, C, H, W).
        sigma_px: Standard deviation in pixels of the map; 0 changes nothing.
    """
    radius = int(4 * sigma_px + 0.5)
    if radius == 0:
        return maps
    places = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(places.square() / (-2 * sigma_px**2))
    kernel = (kernel / kernel.sum()).to(maps)
    blurred = maps.flatten(0, 1)[:, None]
    for axis, shape in ((-2, (1, 1, -1, 1)), (-1, (1, 1, 1, -1))):
        side = blurred.shape[axis]
        index = torch.arange(-radius, side + radius, device=maps.device) % (2 * side)
        padded = blurred.index_select(axis, torch.minimum(index, 2 * side - 1 - index))
        blurred = F.conv2d(padded, kernel.view(shape))
    return blurred.view_as(maps)


def relative_log(maps: Tensor, floor: float = 1e-6) -> Tensor:
    """Logarithm of maps (N, C, H, W), not negative, relative to the highest pixel of each; at least that of `floor`."""
    return (maps / maps.amax((-2, -1), keepdim=True).clamp_min(1e-8)).clamp_min(floor).log()


def dilate(trunk: nn.Module, names: Iterable[str], dilation: int) -> None:
    """Dilate 3x3 convolutions of stride 1, in place; their maps keep their sizes.

    Args:
        trunk: Network that has them.
        names: As in `trunk.named_modules()`.
        dilation: At least 1.
    """
    for name in names:
        convolution = cast("nn.Conv2d", trunk.get_submodule(name))
        convolution.dilation = convolution.padding = (dilation, dilation)


def upsample_tensorflow1(maps: Tensor) -> Tensor:
    """Double the sides of maps (N, C, H, W) as TensorFlow 1 does: row i is taken at i / 2, the last one twice."""
    height, width = maps.shape[-2:]
    padded = F.pad(maps, (0, 1, 0, 1), mode="replicate")
    doubled = F.interpolate(padded, (2 * height + 1, 2 * width + 1), mode="bilinear", align_corners=True)
    return doubled[..., :-1, :-1]


def keep_stride_8(resnet50: nn.Module) -> None:
    """Make a ResNet-50 as timm has it He's, with stride 8 to the end, in place; its weights stay.

    The first convolution of a block has its stride, where timm's and torchvision's have it in the 3x3 one; layers 3 and
    4 (Caffe's res4 and res5) are dilated by 2 and 4 from their first block on.

    Args:
        resnet50: timm's, whole or cut out by names.
    """
    for name, stride in (("layer2.0.conv1", 2), ("layer2.0.conv2", 1), ("layer3.0.conv2", 1), ("layer4.0.conv2", 1)):
        cast("nn.Conv2d", resnet50.get_submodule(name)).stride = (stride, stride)
    for layer in ("layer3", "layer4"):
        cast("nn.Conv2d", resnet50.get_submodule(f"{layer}.0.downsample.0")).stride = (1, 1)
    dilate(resnet50, (f"layer3.{block}.conv2" for block in range(6)), 2)
    dilate(resnet50, (f"layer4.{block}.conv2" for block in range(3)), 4)
