"""ICF: intensity and contrast, and nothing else, read out as in DeepGaze II (Kuemmerer et al., ICCV 2017).

Written from the paper's description: the authors' features are known only from a graph that is no longer offered.

Differences from the paper, or what is not known of it:
- The decorrelated colour space is that of the principal components of the training images' pixels.
- Intensity is a Gaussian mean, contrast the standard deviation in the same Gaussian window. The five widths, 5 to 80
  pixels of an image of 1024, are from memory.
- Channels are standardised with statistics of the training images.
- AdamW with a one-cycle rate instead of the SFO optimiser; one read-out instead of a mixture of ten cross-validated
  ones; OSIE, EyeCrowd and Scene500 instead of SALICON and then MIT1003.
- The lite variant computes its map at stride 8 and has softplus instead of ReLU.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.components.layers import CentreBias, GaussianBlur, Standardise
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.gaussian import gaussian_rows
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch
    from salzoo.data.statistics import TrainingStatistics

LEAST_VARIANCE = 1e-6
"""Of pixels in [0, 1]: what is below is rounding, and a root needs a slope."""


class ICFNetwork(nn.Module):
    """Intensity and contrast at several scales, a point-wise read-out, a learned blur and a weighted centre bias.

    Shape: (N, 3, H, W) RGB in [0, 1] to (N, 1, H / stride, W / stride) unnormalised log density.

    Args:
        sigmas: Standard deviations of the Gaussian windows in pixels of the input.
        hidden: Channels of the read-out's hidden layers.
        activation: Activation after each of its layers; the paper's is `relu`.
        stride: Stride of the map.
    """

    colours: Tensor
    grey: Tensor

    def __init__(
        self,
        sigmas: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0, 40.0),
        hidden: tuple[int, ...] = (16, 32, 2),
        activation: Literal["relu", "softplus"] = "relu",
        stride: int = 2,
    ) -> None:
        super().__init__()
        check_range(0.1, 1024, sigmas=sigmas)
        check_range(1, 32, sigmas=len(sigmas))
        check_range(1, 8192, hidden=hidden)
        check_range(1, 64, stride=stride)
        self.sigmas, self.stride = sigmas, stride
        self.register_buffer("colours", torch.eye(3))
        self.register_buffer("grey", torch.full((3,), 0.5))
        self.standardise = Standardise(6 * len(sigmas))
        kind = {"relu": nn.ReLU, "softplus": nn.Softplus}[activation]
        widths = (6 * len(sigmas), *hidden, 1)
        layers = [(nn.Conv2d(a, b, 1), kind()) for a, b in itertools.pairwise(widths)]
        self.readout = nn.Sequential(*itertools.chain(*layers))
        self.blur = GaussianBlur()
        self.centre_bias = CentreBias()

    def forward(self, image: Tensor) -> Tensor:
        """Read the features out, in full precision also under autocast: log densities and variances need it."""
        with full_precision(image.device):
            features = self.standardise(self.features(image).to(self.colours.dtype))
            x = self.blur(self.readout(features))
            log_density: Tensor = x + self.centre_bias((x.shape[-2], x.shape[-1]))
            return log_density

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 6 * scales, H / stride, W / stride): for each scale three means, then three deviations.

        In float32 at least. Windows are cut off at the borders and normalised there.
        """
        pixels = image.to(torch.promote_types(image.dtype, torch.float32))
        centred = pixels - self.grey.to(pixels)[:, None, None]
        channels = torch.einsum("kc,nchw->nkhw", self.colours.to(pixels), centred)
        both = torch.cat([channels, channels.square()], 1)
        maps = []
        for sigma in self.sigmas:
            rows, columns = (self._windows(side, sigma).to(pixels) for side in both.shape[-2:])
            mean, square = (rows @ both @ columns.T).chunk(2, 1)
            maps += [mean, (square - mean.square()).clamp_min(LEAST_VARIANCE).sqrt()]
        return torch.cat(maps, 1)

    def _windows(self, side: int, sigma: float) -> Tensor:
        """Return the Gaussian windows around the middles of the map's cells, (side / stride, side)."""
        centres = (torch.arange(side // self.stride, dtype=torch.float64) + 0.5) * self.stride - 0.5
        return gaussian_rows(centres, side, sigma)

    def fit_colours(self, images: Iterable[Tensor]) -> None:
        """Set the colour space to the principal components of the pixels of images (N, 3, h, w), the strongest first.

        Of a component and its negative the one is taken in which the largest weight is positive.
        """
        count, first, second = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
        for batch in images:
            pixels = batch.double().cpu().movedim(1, -1).reshape(-1, 3)
            count, first, second = count + len(pixels), first + pixels.sum(0), second + pixels.T @ pixels
        mean = first / count
        axes = torch.linalg.eigh(second / count - torch.outer(mean, mean)).eigenvectors.T.flip(0)
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        self.grey.copy_(mean)
        self.colours.copy_(axes * largest.sign())


class ICF(SaliencyModel):
    """ICF: log-likelihood training of a read-out on intensity and contrast; arguments as `ICFNetwork`."""

    network: ICFNetwork
    network_class = ICFNetwork
    default_preprocess = Preprocess((384, 512))

    def fit_statistics(self, data: TrainingStatistics) -> None:
        """Fit the colour space, then the centre bias and the statistics of the channels."""
        images = (image.to(self.device) for image in data.sample_images(self.statistics_images))
        self.network.fit_colours(map(self._pixels, images))
        super().fit_statistics(data)

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Negative log-likelihood of the fixations, as in DeepGaze II."""
        size = (batch["fixations"].shape[-2], batch["fixations"].shape[-1])
        resized = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        return losses.nll(self.to_log_density(resized), batch["fixations"])
