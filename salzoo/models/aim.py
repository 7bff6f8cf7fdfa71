"""AIM: Attention based on Information Maximisation (Bruce and Tsotsos, NIPS 2005; JoV 2009).

A place is salient if what is seen there is unlikely in this image: the self-information of the coefficients of
independent components, each with the histogram of its values over the image.

Differences from the authors' program with its usual filters, 21jade950:
- The basis is learned here from training images, by FastICA instead of JADE; theirs is of other images.
- Images are brought to 640 pixels on the longer side; the program takes any size as it is.
- The image's border is repeated, so that each pixel has a patch; the program leaves a rim of half a patch, to which it
  gives the map's minimum, and its last blur pads with zeros, which darkens the borders further.
- That blur is 2 % of the longer side, the one of 1.25, 2, 3 and 4.5 % that is best on OSIE's validation split; the
  program's is 8 pixels.
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

RARE = 1e-6  # added to every share of the histogram, as in the authors' program


class AIMNetwork(nn.Module):
    """Self-information of the coefficients of all components, summed.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H, W) nats.

    Args:
        side: Side of the patches in pixels, odd; the authors offer 21 and 31.
        components: Independent components (the authors' 95 % of the variance were 25 at 21 pixels).
        bins: Cells of each histogram, from the least to the largest coefficient in the image.
        blur: Standard deviation of the last Gaussian, as a share of the map's longer side.

    Raises:
        SpecError: If the side is even, or a number is out of its range.
    """

    basis: Tensor

    def __init__(self, side: int = 21, components: int = 25, bins: int = 1000, blur: float = 0.02) -> None:
        super().__init__()
        check_range(2, 100_000, bins=bins)
        check_range(0, 1, blur=blur)
        self.bins = bins
        self.blur = blur
        self.register_buffer("basis", blank_filters(components, side))

    def forward(self, image: Tensor) -> Tensor:
        """Return the self-information of RGB in [0, 1]; one image at a time, as rounding moves values between bins."""
        return torch.cat([self.information(one[None]) for one in image])

    def information(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) to (1, 1, H, W)."""
        coefficients = filters.rescale(self.coefficients(image))
        cells = (coefficients * (self.bins - 1)).round().long().flatten(2)[0]
        counts = cells.new_zeros(len(cells), self.bins).scatter_add_(1, cells, torch.ones_like(cells))
        self_information = -(counts.double() / cells.shape[1] + RARE).log()
        surprise = self_information.to(image).gather(1, cells).sum(0)
        return filters.blur(surprise.view_as(image[:, :1]), self.blur * max(image.shape[-2:]))

    def coefficients(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) to (1, components, H, W), up to a constant for each, which moves no histogram."""
        margin = self.basis.shape[-1] // 2
        centred = image - image.mean((-2, -1), keepdim=True)
        return F.conv2d(F.pad(centred, (margin,) * 4, mode="replicate"), self.basis)


class AIM(TrainingFreeModel):
    """AIM, whose basis `salzoo fit aim` learns from images alone; arguments as `AIMNetwork`."""

    network: AIMNetwork
    network_class = AIMNetwork
    training_config: PatchTraining
    training_class = PatchTraining
    default_preprocess = Preprocess((480, 640), "longest")
    differentiable = False  # histograms
    no_graph = "its histograms turn a runtime's rounding errors into another map"

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Learn the basis from patches of training images.

        Raises:
            SpecError: If the patches span fewer dimensions than there are components.
        """
        config, basis = self.training_config, self.network.basis
        images = (self._pixels(self.preprocess.resize(item["image"][None])) for item in data.train_items(config.images))
        patches = draw_patches(images, basis.shape[-1], config.patches)
        basis.copy_(independent_components(patches, len(basis)).view_as(basis))
