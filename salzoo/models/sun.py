"""SUN: Saliency Using Natural statistics (Zhang, Tong, Marks, Shan and Cottrell, JoV 2008), with features by ICA.

A place is salient if what is seen there is unlikely in natural images: the self-information of the responses of
independent components, each with a generalised Gaussian that was fitted once. The image itself has no say in what is
rare, unlike in AIM. The paper's other features, differences of Gaussians, are not here.

Differences from the authors' program:
- Filters and distributions are learned here from training images, by FastICA; theirs are of the Kyoto images.
- Images are brought to 400 pixels on the longer side; the program takes a scale.
- The image's border is repeated, so that each pixel has a patch; the program's map is smaller than the image.
- The map is blurred by 2 % of the longer side, the one of 0, 2, 3 and 4.5 % that is best on OSIE's validation split;
  the program's is not blurred. It is the mean over the filters, not the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.components import filters
from salzoo.components.independent import PatchTraining, blank_filters, draw_patches, independent_components
from salzoo.components.training_free import TrainingFreeModel
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.statistics import TrainingStatistics

FLAT = 1e-3  # standard deviation of an image in [0, 1] below which it is not stretched to 1
TINY = 1e-6  # of a response: instead of 0, where a power below 1 has no gradient
TOGETHER = 64  # filters whose responses are in memory at once


class SUNNetwork(nn.Module):
    """Mean self-information of the responses of all filters, up to a constant.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W).

    Args:
        side: Side of the filters in pixels, odd; there are 3 * side * side - 1 of them, all that sum to zero.
        blur: Standard deviation of a last Gaussian, as a share of the map's longer side; the program has none.

    Raises:
        SpecError: If the side is even, or a number is out of its range.
    """

    basis: Tensor
    scale: Tensor
    shape: Tensor

    def __init__(self, side: int = 11, blur: float = 0.02) -> None:
        super().__init__()
        check_range(3, 21, side=side)
        check_range(0, 1, blur=blur)
        self.blur = blur
        components = 3 * side * side - 1
        self.register_buffer("basis", blank_filters(components, side))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("shape", torch.ones(components))

    def forward(self, image: Tensor) -> Tensor:
        """Return the self-information of RGB in [0, 1]."""
        margin = self.basis.shape[-1] // 2
        padded = F.pad(contrast(image), (margin,) * 4, mode="replicate")
        total = torch.zeros_like(image[:, :1])
        groups = (torch.split(tensor, TOGETHER) for tensor in (self.basis, self.scale, self.shape))
        for basis, scale, shape in zip(*groups, strict=True):
            response = F.conv2d(padded, basis).abs().clamp_min(TINY)
            surprise = (response / scale[:, None, None]) ** shape[:, None, None]
            total = total + surprise.sum(1, keepdim=True)
        return filters.blur(total / len(self.basis), self.blur * max(image.shape[-2:]))


class SUN(TrainingFreeModel):
    """SUN, whose natural statistics `salzoo fit sun` learns from images alone; arguments as `SUNNetwork`."""

    network: SUNNetwork
    network_class = SUNNetwork
    training_config: PatchTraining
    training_class = PatchTraining
    default_preprocess = Preprocess((300, 400), "longest")

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Learn filters from patches of training images, and fit a distribution to the responses of each.

        Raises:
            SpecError: If the patches span fewer dimensions than there are filters.
        """
        config, network = self.training_config, self.network
        inputs = (self._pixels(self.preprocess.resize(item["image"][None])) for item in data.train_items(config.images))
        patches = draw_patches(map(contrast, inputs), network.basis.shape[-1], config.patches)
        patches -= patches.mean(1, keepdim=True)
        basis = independent_components(patches, len(network.basis))
        network.basis.copy_(basis.view_as(network.basis))
        for i, responses in enumerate(basis @ patches.double().T):
            network.scale[i], network.shape[i] = fit_generalised_gaussian(responses)


def contrast(image: Tensor) -> Tensor:
    """(N, 3, H, W) images less their mean, over the standard deviation of all their values."""
    centred = image - image.mean((1, 2, 3), keepdim=True)
    return centred / centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(FLAT)


def fit_generalised_gaussian(values: Tensor) -> tuple[Tensor, Tensor]:
    """Fit p(x) proportional to exp(-(|x| / scale) ** shape) around 0.

    The shape is where E|x|^(2 shape) = (shape + 1) (E|x|^shape)^2, which the maximum of the likelihood implies
    (Song, IEEE Transactions on Information Theory 2006); found by bisection between 0.1 and 8.

    Args:
        values: (N,).

    Returns:
        Scale and shape, scalars.
    """
    size = values.abs()
    low, high = values.new_tensor(0.1), values.new_tensor(8.0)
    for _ in range(25):
        middle = (low + high) / 2
        powered = size**middle
        if powered.square().mean() < (middle + 1) * powered.mean().square():
            low = middle
        else:
            high = middle
    shape = (low + high) / 2
    return (shape * (size**shape).mean()) ** (1 / shape), shape
