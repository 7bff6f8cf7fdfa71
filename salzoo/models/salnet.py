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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import StackedFeatures
from salzoo.components.optimizers import caffe_sgd
from salzoo.components.saliency_model import SaliencyModel
from salzoo.components.training_config import TrainingConfig
from salzoo.components.vgg_m import VGGMStem, large_column, scaled_error, scaled_log_density
from salzoo.errors import WeightsError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

STEM = "vgg_cnn_m"
"""Name of the paper's backbone, `VGGMStem`; all others are timm's."""

STEM_MEAN, STEM_STD = (100 / 255, 110 / 255, 118 / 255), (0.5, 0.5, 0.5)
"""(x - (100, 110, 118)) / 127.5 for BGR pixels from 0 to 255."""


class SalNetNetwork(nn.Module):
    """Transferred features, a column of large convolutions and one deconvolution back to the image's size.

    Shape: (N, 3, H, W) normalised image, sides divisible by the backbone's strides, to maps (N, 1, H, W) in about
    [-1, 1].

    Args:
        backbone: `vgg_cnn_m` or a timm name.
        feature_nodes: Strides or module names of a timm backbone; `vgg_cnn_m` has one map.
        stride: Stride of the features, that of one of the nodes; 4 for `vgg_cnn_m`.
        frozen: Do not train a timm backbone, and standardise its maps.
        column: Channels of conv4 to conv8.
        dropout: Share of the features' channels left out in training; the paper has none.
        deconvolution_gain: Sum of the four weights of the deconvolution's initial kernel that make a pixel; 1/16 in the
            authors' training file.
    """

    def __init__(
        self,
        backbone: str = STEM,
        feature_nodes: tuple[int | str, ...] = (),
        stride: int = 4,
        frozen: bool = False,
        column: tuple[int, int, int, int, int] = (512, 512, 256, 128, 32),
        dropout: float = 0.0,
        deconvolution_gain: float = 1 / 16,
    ) -> None:
        super().__init__()
        check_range(1, 8192, column=column)
        check_range(1, 64, stride=stride)
        check_range(0, 1, dropout=dropout)
        check_range(-1e3, 1e3, deconvolution_gain=deconvolution_gain)
        self.features: VGGMStem | StackedFeatures
        if backbone == STEM:
            self.features = VGGMStem()
        else:
            features = TimmBackbone(backbone, feature_nodes)
            if frozen:
                features.freeze()
            self.features = StackedFeatures(features, stride)
        self.dropout = nn.Dropout2d(dropout)
        self.column = large_column(self.features.channels, (*column, 1))
        self.deconv1 = nn.ConvTranspose2d(1, 1, 2 * stride, stride, stride // 2, bias=False)
        nn.init.constant_(self.deconv1.weight, deconvolution_gain / 4)  # four weights make a pixel

    def forward(self, image: Tensor) -> Tensor:
        """Run the backbone, the column and the deconvolution."""
        saliency: Tensor = self.deconv1(self.column(self.dropout(self.features(image))))
        return saliency


@dataclass(frozen=True)
class SalNetTraining(TrainingConfig):
    """Training of SalNet; `sgd` has momentum 0.9 and a rate that is halved every 2,000 steps.

    Args:
        lr: Learning rate at the start; 1.3e-7 for Caffe's sum over pixels is 5e-3 for a mean. Of AdamW the peak of a
            one-cycle schedule.
        root: The network learns this root of the true map. 1 in the paper; 2 makes the noise of counted fixations even,
            which is what a squared error takes for granted.
        stem_weights: File with the weights of `vgg_cnn_m` for `pretrained_backbone`, as `VGGMStem.load` reads it.
    """

    lr: float = 5e-3
    optimizer: Literal["adamw", "sgd"] = "sgd"
    root: float = 1.0
    stem_weights: str | None = None


class SalNet(SaliencyModel):
    """SalNet: Euclidean loss between maps in about [-1, 1].

    Its arguments are those of `SalNetNetwork`, and `power`. Pixels of `vgg_cnn_m` are normalised as the authors' unless
    `preprocess` has a mean.

    Args:
        power: The network's map to this power is the prediction; 1 in the paper, more is sharper.
    """

    network: SalNetNetwork
    network_class = SalNetNetwork
    training_config: SalNetTraining
    training_class = SalNetTraining
    default_preprocess = Preprocess((240, 320))

    def __init__(self, *, power: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.power = power
        if isinstance(self.network.features, VGGMStem) and self._preprocess.mean is None:
            self._preprocess = replace(self._preprocess, mean=STEM_MEAN, std=STEM_STD, channel_order="bgr")

    def load_pretrained_backbone(self) -> None:
        """Load ImageNet weights: those of `vgg_cnn_m` from `training_config.stem_weights`.

        Raises:
            WeightsError: If they can be neither found nor fetched.
        """
        if isinstance(self.network.features, VGGMStem):
            self.network.features.load(_require(self.training_config.stem_weights))
        else:
            super().load_pretrained_backbone()

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Undo the scaling of the target, clip, blur and divide by the sum, as `scaled_log_density`."""
        return scaled_log_density(logits, self.power)

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean squared error between maps in about [-1, 1], as `scaled_error`."""
        return scaled_error(logits, batch["density"], self.training_config.root)

    def configure_sgd(self) -> Any:
        """Return SGD with biases at twice the rate of weights (the multipliers of a Caffe training file)."""
        return caffe_sgd(self.parameter_groups(), momentum=0.9, step_size=2000, gamma=0.5)


def _require(stem_weights: str | None) -> str:
    if stem_weights is None:
        raise WeightsError(
            "The ImageNet weights of VGG-CNN-M exist as a Caffe model only (VGG_CNN_M.caffemodel; Chatfield et al. "
            "2014). Save weight and bias of its conv1, conv2 and conv3 as a safetensors file and give "
            "--training.stem_weights FILE, start from noise with --training.pretrained_backbone false, or take "
            "salnet.lite."
        )
    return stem_weights
