"""SalNet, the deep network of Pan, McGuinness, Sayrol, O'Connor & Giro-i-Nieto (CVPR 2016; arXiv:1603.00845).

Differences from the paper:
- Where paper and released network differ, this is the released one: nine convolutions (the paper's figure has no 11x11
  layer of 32 channels), 25,806,209 parameters.
- Rate and schedule of the paper variant are a re-implementation's (by G. Kelam), the rate converted from Caffe's
  sum over pixels to a mean over pixels. Its weight decay shrinks to nothing in that conversion: there is none.
- The released post-processing scales the map to 8 bits, clips it and blurs it. Here nothing is rounded, and the clip at
  0 is a soft one, so that no two pixels of the background tie.
- The lite variant reads three stages of a frozen EfficientNet-Lite0, standardised and stacked at stride 8, instead of
  the first three layers of VGG-CNN-M at stride 4, which are trained along; its column of convolutions is narrower, and
  the optimiser is AdamW with batches of 16.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from salzoo import losses
from salzoo.backbones.timm_backbone import TimmBackbone
from salzoo.components.layers import StackedTaps
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.errors import WeightsError
from salzoo.images.preprocess import Preprocess, as_float

if TYPE_CHECKING:
    from salzoo.data import SaliencyDataModule
    from salzoo.data.base import Batch

STEM = "vgg_cnn_m"
KERNELS = (5, 5, 7, 11, 11, 13)
"""Of conv4 to conv9."""

FLOOR = 1e-6
"""Of the map in [0, 1], so that every density has a logarithm."""

STEM_MEAN, STEM_STD = (100 / 255, 110 / 255, 118 / 255), (0.5, 0.5, 0.5)
"""(x - (100, 110, 118)) / 127.5 for BGR pixels from 0 to 255."""


class VGGMStem(nn.Module):
    """The first three layers of VGG-CNN-M (Chatfield et al., BMVC 2014), at stride 1 between the poolings.

    Shape: (N, 3, H, W), sides divisible by 4, to (N, 512, H / 4, W / 4).

    Args:
        weights: safetensors file with `conv1.weight`, `conv1.bias` up to `conv3`; None: noise.

    Raises:
        WeightsError: If the file cannot be read or does not fit.
    """

    channels = 512

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, padding=3)
        self.norm1 = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2)
        self.conv3 = nn.Conv2d(256, 512, 3, padding=1)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for layer in (self.conv1, self.conv2, self.conv3):
            initialise(layer, "relu")
        if weights is not None:
            try:
                self.load_state_dict(load_file(Path(weights).expanduser()))
            except (OSError, SafetensorError, RuntimeError) as error:
                raise WeightsError(
                    f"stem_weights={weights}: {error}. Expected: a safetensors file with weight and bias of conv1 "
                    "(96, 3, 7, 7), conv2 (256, 96, 5, 5) and conv3 (512, 256, 3, 3)."
                ) from error

    def forward(self, image: Tensor) -> Tensor:
        """Convolve and pool."""
        x = self.pool(self.norm1(self.conv1(image).relu()))
        x = self.pool(self.conv2(x).relu())
        features: Tensor = self.conv3(x).relu()
        return features


def initialise(layer: nn.Conv2d, nonlinearity: Literal["relu", "linear"]) -> None:
    """Draw weights from He's normal distribution: the standard deviations of the authors' training file."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class SalNetNetwork(nn.Module):
    """Transferred features, a column of large convolutions and one deconvolution back to the picture's size.

    Shape: (N, 3, H, W) normalised image, sides divisible by the trunk's strides, to maps (N, 1, H, W) in about [-1, 1].

    Args:
        features: Picture to what is transferred.
        stride: Of the features.
        column: Channels of conv4 to conv8.
        dropout: Share of the features' channels left out in training.
        deconvolution_gain: Of the deconvolution's initial kernel, which is constant.
    """

    def __init__(
        self,
        features: VGGMStem | StackedTaps,
        stride: int,
        column: tuple[int, int, int, int, int],
        dropout: float,
        deconvolution_gain: float,
    ) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout2d(dropout)
        layers, channels = OrderedDict[str, nn.Module](), features.channels
        for i, (width, kernel) in enumerate(zip((*column, 1), KERNELS, strict=True), start=4):
            layers[f"conv{i}"] = convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
            initialise(convolution, "linear" if width == 1 else "relu")
            if width > 1:
                layers[f"relu{i}"] = nn.ReLU()
            channels = width
        self.column = nn.Sequential(layers)
        self.deconv1 = nn.ConvTranspose2d(1, 1, 2 * stride, stride, stride // 2, bias=False)
        nn.init.constant_(self.deconv1.weight, deconvolution_gain / 4)  # four weights make a pixel

    def forward(self, image: Tensor) -> Tensor:
        """Run the trunk, the column and the deconvolution."""
        saliency: Tensor = self.deconv1(self.column(self.dropout(self.features(image))))
        return saliency


class SalNet(SaliencyModel):
    """SalNet: Euclidean loss between maps in about [-1, 1].

    Args:
        backbone: `vgg_cnn_m` or a timm name.
        taps: Of a timm trunk, see `TimmBackbone`; `vgg_cnn_m` has one map.
        stride: Of the features, that of one of the taps; 4 for `vgg_cnn_m`.
        frozen: Do not train a timm trunk, standardise its maps and keep those of the training pictures in memory.
        column: Channels of conv4 to conv8.
        dropout: Share of the features' channels left out in training; the paper has none.
        mirror: Predict the average of the maps of the picture and of its mirror image; twice the work.
        root: The network learns this root of the true map. 1 in the paper; 2 makes the noise of counted fixations even,
            which is what a squared error takes for granted.
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
        deconvolution_gain: Of the initial kernel; 1/16 in the authors' training file.
        optimizer: `paper` (SGD with momentum 0.9, halved every 2,000 steps) or `adamw` with a one-cycle rate.
        lr: Rate; 1.3e-7 for Caffe's sum over pixels is 5e-3 for a mean.
        pretrained_backbone: Start from ImageNet weights; `salzoo.load` of a checkpoint never does.
        stem_weights: File with the weights of `vgg_cnn_m` for `pretrained_backbone`, as `VGGMStem` reads it.
        preprocess: What the network expects; pixels of `vgg_cnn_m` are the authors' unless told otherwise.
        loss: Instead of the paper's, see `salzoo.losses.get`.

    Raises:
        WeightsError: If `pretrained_backbone` and the weights cannot be had.
    """

    network: SalNetNetwork

    def __init__(
        self,
        backbone: str = STEM,
        taps: tuple[int | str, ...] = (),
        stride: int = 4,
        frozen: bool = False,
        column: tuple[int, int, int, int, int] = (512, 512, 256, 128, 32),
        dropout: float = 0.0,
        mirror: bool = False,
        root: float = 1.0,
        power: float = 1.0,
        deconvolution_gain: float = 1 / 16,
        optimizer: Literal["paper", "adamw"] = "paper",
        lr: float = 5e-3,
        pretrained_backbone: bool = False,
        stem_weights: str | None = None,
        preprocess: Preprocess = Preprocess((240, 320)),
        loss: losses.LossSpec | None = None,
    ) -> None:
        if backbone == STEM and preprocess.mean is None:
            preprocess = replace(preprocess, mean=STEM_MEAN, std=STEM_STD, channel_order="bgr")
        super().__init__(preprocess, backbone=backbone, loss=loss, mirror=mirror)
        self.optimizer, self.lr, self.root, self.power = optimizer, lr, root, power
        features: VGGMStem | StackedTaps
        if backbone == STEM:
            features = VGGMStem(_require(stem_weights) if pretrained_backbone else None)
        else:
            trunk = TimmBackbone(backbone, taps, pretrained=pretrained_backbone, remember=frozen)
            if frozen:
                trunk.freeze()
            features = StackedTaps(trunk, stride)
        self.network = SalNetNetwork(features, stride, column, dropout, deconvolution_gain)

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Undo the scaling of the target, clip softly, blur by the released 5x5 Gaussian and divide by the sum."""
        saliency = (logits * 128 + 127) / 255
        clipped = F.softplus(saliency, beta=64).clamp_min(FLOOR) ** self.power
        return normalise_log(gaussian_blur2d(clipped, (5, 5), (1.1, 1.1), "replicate").log())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error; the true map's 0 to 255 become (x - 127) / 128 (Sec. 3; scale of the released code)."""
        density = batch["density"]
        saliency = (density / density.amax((-2, -1), keepdim=True).clamp_min(1e-20)) ** (1 / self.root)
        return losses.mse(logits[:, 0].float(), (saliency * 255 - 127) / 128)

    def calibrate(self, data: SaliencyDataModule) -> None:
        """Fit a frozen trunk's channel statistics to 256 training pictures."""
        if isinstance(self.network.features, StackedTaps):
            images = (as_float(image).to(self.device) for image in data.calibration_images(256))
            self.network.features.fit(self.preprocess.normalize(image) for image in images)

    def configure_optimizers(self) -> Any:
        """AdamW, or SGD with biases at twice the rate of weights (the multipliers of a Caffe training file)."""
        if self.optimizer == "adamw":
            return super().configure_optimizers()
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "lr": self.lr},
            {"params": [p for p in parameters if p.ndim == 1], "lr": 2 * self.lr},
        ]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2000, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _require(stem_weights: str | None) -> str:
    if stem_weights is None:
        raise WeightsError(
            "The ImageNet weights of VGG-CNN-M exist as a Caffe model only (VGG_CNN_M.caffemodel; Chatfield et al. "
            "2014). Save weight and bias of its conv1, conv2 and conv3 as a safetensors file and give "
            "--model.stem_weights FILE, start from noise with --model.pretrained_backbone false, or take salnet.lite."
        )
    return stem_weights
