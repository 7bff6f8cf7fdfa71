"""DSCLRCN (Liu & Han, IEEE Transactions on Image Processing 2018; arXiv:1610.01708).

Differences from the paper:
- Where paper and released code differ, this is the released code: the two directions of a row (or a column) share one
  LSTM, the context enters at its first step only, and the context branch sees the whole image at 227 x 227. Not so
  along columns: the released code mirrors the map before it turns it by 90 degrees, so that both of its passes go from
  the bottom to the top and say the same. Here one goes down and one up, as the paper says; `columns: up` is theirs.
- `caffe: true` has the authors' trunks, He's ResNet-50 and the AlexNet of Places205, which exist as Caffe models only.
  Their mean image of Places is not in the file; the mean of the image's pixels takes its place. Their script
  `predict_sm.m` as it was released has `scene_context=0` and leaves the branch's input 0: `scene_shown: false`.
- Otherwise the context branch is torchvision's AlexNet with ImageNet weights, without grouped convolutions and response
  normalisation, and timm's ResNet-50 has the stride of a block in its 3x3 convolution and dilates the first block of a
  stage as the stage before; it expects RGB with ImageNet statistics. Batch normalisation is frozen; the authors train
  its affine part.
- Bilinear up-sampling repeats the border in the training loss, where the authors' deconvolution fades to 0.
- Logits are up-sampled before the softmax over the image's pixels; the authors up-sample the map after it.
- The lite variant reads five stages of a frozen EfficientNet-Lite0, standardised, takes the context from the last of
  them, and has narrower layers, AdamW and a one-cycle rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import Standardise, keep_stride_8, resize_map
from salzoo.components.optimizers import caffe_sgd
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import Resample, resize_image

if TYPE_CHECKING:
    from salzoo.data.base import Batch

RESNET50_NODES = ("layer3", "layer4")
"""res4f and res5c, both at stride 8."""

SCENE_SIZE = (227, 227)
"""(height, width) at which the backbone of the context sees the image."""

SCENE_NODE = "features.12"
"""pool5 of torchvision's AlexNet."""

SCENE_SCALE = 9.0
"""Scale of the normalised description of the scene at the start."""

FLOOR = 0.02
"""Added to a sigmoid map stretched to [0, 1], so that every density has a logarithm."""


class Normalise(nn.Module):
    """Divide each map by its Euclidean length over channels and places, and multiply by a learned scale (Sec. III-B).

    Shape: (N, ...) to the same.

    Args:
        scale: Scale at the start.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise."""
        normalised = F.normalize(maps.float().flatten(1), dim=1).view_as(maps)
        return self.scale * normalised.to(self.scale.dtype)


class SpatialLSTM(nn.Module):
    """One LSTM along the rows of a map from both ends; the context is part of the input of its first step (Sec. III-D).

    Shape: map (N, C, H, W) and context (N, K) to (N, 2 * hidden, H, W).

    Args:
        channels: C.
        context: K.
        hidden: Units, the same ones for both directions.
        both: Whether rows are read from both ends; if not, only from the last place to the first, and the states are
            there twice.
    """

    def __init__(self, channels: int, context: int, hidden: int, *, both: bool = True) -> None:
        super().__init__()
        self.both = both
        self.lstm = nn.LSTM(channels + context, hidden, batch_first=True)
        tensors = dict(self.lstm.named_parameters())
        for name, tensor in tensors.items():
            nn.init.uniform_(tensor, -0.2, 0.2) if name.startswith("weight") else nn.init.zeros_(tensor)
        forget = tensors["bias_hh_l0"].requires_grad_(False)
        forget[hidden : 2 * hidden] = 1  # the constant that Caffe adds to the forget gate, torch's second of four

    def forward(self, maps: Tensor, context: Tensor) -> Tensor:
        """Run along the rows."""
        n, _, height, width = maps.shape
        rows = maps.permute(0, 2, 3, 1).flatten(0, 1)
        read = torch.cat([rows, rows.flip(1)]) if self.both else rows.flip(1)
        first = context[:, None].expand(-1, height, -1).flatten(0, 1).repeat(2 if self.both else 1, 1)[:, None]
        states, _ = self.lstm(torch.cat([read, F.pad(first, (0, 0, 0, width - 1))], dim=2))
        there, back = states.unflatten(0, (2, -1)) if self.both else (states.flip(1), states)
        return torch.cat([there, back.flip(1)], dim=2).view(n, height, width, -1).permute(0, 3, 1, 2)


class PlacesAlexNet(nn.Module):
    """AlexNet up to pool5 as Caffe has it, with groups and response normalisation (Krizhevsky et al. 2012).

    Shape: (N, 3, H, W) to a list of one map (N, 256, h, w); 6 x 6 for 227 x 227 pixels.
    """

    channels = (256,)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Run."""
        return [self.layers(image)]


class DSCLRCNNetwork(nn.Module):
    """Local features, a description of the scene, and two rounds of LSTMs along rows and columns (Fig. 2).

    Shape: (N, 3, H, W) normalised image to logits (N, 1, h, w), of the size of the first feature map.

    Args:
        backbone: timm name of the backbone of the local features.
        feature_nodes: Strides or module names; all maps are brought to the size of the first.
        output_stride: 8 to dilate a ResNet; None for a backbone as it is.
        frozen: Do not train the backbone, and standardise its maps; otherwise its batch normalisation is frozen.
        width: Channels of the local features; the paper's are 512.
        scale: Scale of normalised local features at the start, 400 for the paper's 512 x 60 x 80 values.
        scene: timm or torchvision name of the backbone of the context, cut after `SCENE_NODE`; None: the context is
            taken from the last feature map.
        scene_shown: Whether that backbone sees the image; if not, it sees zeros, as in the authors' script.
        caffe: Make the backbone, a ResNet-50 of `output_stride` 8, the authors', and the scene's Places-AlexNet.
        columns: Whether columns are read from `both` ends, or only `up`, as in the released code.
        scene_grid: (height, width) to which the context's map is averaged before its fully connected layer; 6 x 6 for
            AlexNet.
        context: Length of the description of the scene; the paper's is 128.
        hidden: Units of each LSTM; the paper's are 128.
        dropout: Share of the local features' channels left out in training.
    """

    def __init__(
        self,
        backbone: str = "resnet50.tv_in1k",
        feature_nodes: tuple[int | str, ...] = RESNET50_NODES,
        output_stride: int | None = 8,
        frozen: bool = False,
        width: int = 512,
        scale: float = 400.0,
        scene: str | None = "torchvision/alexnet",
        scene_shown: bool = True,
        caffe: bool = False,
        columns: Literal["both", "up"] = "both",
        scene_grid: tuple[int, int] = (6, 6),
        context: int = 128,
        hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_range(1, 8192, width=width, context=context, hidden=hidden)
        check_range(1e-3, 1e6, scale=scale)
        check_range(1, 64, scene_grid=scene_grid)
        check_range(0, 1, dropout=dropout)
        self.backbone = TimmBackbone(backbone, feature_nodes, output_stride=output_stride)
        if caffe:
            _make_caffes(self.backbone.trunk)
        if frozen or self.backbone.batch_norms:
            self.backbone.freeze(*(() if frozen else self.backbone.batch_norms))
        channels = self.backbone.channels
        self.standardise = nn.ModuleList(Standardise(c) if frozen else nn.Identity() for c in channels)
        self.encode = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.fuse = nn.Conv2d(width * len(channels), width, 1)
        self.normalise = nn.ModuleList(Normalise(scale) for _ in (*channels, "fused"))
        self.dropout = nn.Dropout2d(dropout)
        self.scene = None if scene is None else PlacesAlexNet() if caffe else TimmBackbone(scene, (SCENE_NODE,))
        self.scene_grid, self.scene_shown = scene_grid, scene_shown
        self.scene_resample: Resample = "matlab" if caffe else "antialiased"
        described = (channels if self.scene is None else self.scene.channels)[-1] * scene_grid[0] * scene_grid[1]
        self.describe = nn.Linear(described, context)
        self.normalise_context = Normalise(SCENE_SCALE)
        both = (True, columns == "both") * 2
        self.lstms = nn.ModuleList(
            SpatialLSTM(c, context, hidden, both=b) for c, b in zip((width, *[2 * hidden] * 3), both, strict=True)
        )
        self.predict = nn.Conv2d(2 * hidden, 1, 1)
        for layer in (*self.encode, self.fuse):
            nn.init.normal_(cast("Tensor", layer.weight), std=0.01)
        nn.init.kaiming_normal_(self.describe.weight, nonlinearity="relu")
        nn.init.xavier_uniform_(self.predict.weight)
        for layer in (*self.encode, self.fuse, self.describe, self.predict):
            nn.init.zeros_(cast("Tensor", layer.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Run backbones and LSTMs; the latter along rows, columns, rows, columns."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.backbone(image), strict=True)]
        context = self._context(image, maps)
        x = self._fuse(maps)
        for i, lstm in enumerate(self.lstms):
            x = lstm(x, context) if i % 2 == 0 else lstm(x.mT, context).mT
        logits: Tensor = self.predict(x)
        return logits

    def _fuse(self, maps: Sequence[Tensor]) -> Tensor:
        size = (maps[0].shape[-2], maps[0].shape[-1])
        encoded = [
            normalise(resize_map(encode(m).relu(), size))
            for encode, normalise, m in zip(self.encode, list(self.normalise)[:-1], maps, strict=True)
        ]
        fused: Tensor = self.dropout(self.normalise[-1](self.fuse(torch.cat(encoded, dim=1)).relu()))
        return fused

    def _context(self, image: Tensor, maps: Sequence[Tensor]) -> Tensor:
        seen = maps[-1]
        if self.scene is not None:
            small = resize_image(image, SCENE_SIZE, self.scene_resample)
            (seen,) = self.scene(small if self.scene_shown else torch.zeros_like(small))
        description = self.describe(F.adaptive_avg_pool2d(seen, self.scene_grid).flatten(1))
        context: Tensor = self.normalise_context(description.relu())
        return context


def _make_caffes(resnet50: nn.Module) -> None:
    """Make timm's ResNet-50 the authors', in place; the bias of its first convolution is part of the normalisation."""
    keep_stride_8(resnet50)
    pool = cast("nn.MaxPool2d", resnet50.get_submodule("maxpool"))
    pool.padding, pool.ceil_mode = 0, True


@dataclass(frozen=True)
class DSCLRCNTraining(TrainingConfig):
    """Training of DSCLRCN; `sgd` is that of the authors' file: momentum 0.9, 0.4 of the rate every 500 steps.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-2
    backbone_lr_scale: float = 0.1
    optimizer: Literal["adamw", "sgd"] = "sgd"


class DSCLRCN(SaliencyModel):
    """DSCLRCN: every place knows the whole image through LSTMs and a description of the scene; trained by NSS.

    Its arguments are those of `DSCLRCNNetwork`, and `density`.

    Args:
        density: How logits become a density: by `softmax`, as in the released network, or by `sigmoid`, which is what
            the loss sees, stretched to [0, 1] and divided by its sum.
    """

    network: DSCLRCNNetwork
    network_class = DSCLRCNNetwork
    training_config: DSCLRCNTraining
    training_class = DSCLRCNTraining
    default_preprocess = Preprocess((480, 640))
    sigmoid = True
    statistics_images = 64

    def __init__(self, *, density: Literal["softmax", "sigmoid"] = "softmax", **options: Any) -> None:
        super().__init__(**options)
        self.density = density

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Softmax over pixels, or the sigmoid map stretched to [0, 1], as the authors show it, divided by its sum."""
        if self.density == "softmax":
            return normalise_log(logits)
        saliency = logits.sigmoid()
        low, high = saliency.amin((-2, -1), keepdim=True), saliency.amax((-2, -1), keepdim=True)
        return normalise_log(((saliency - low) / (high - low).clamp_min(1e-8) + FLOOR).log())

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Negative NSS of the up-sampled sigmoid map at the fixated pixels (Sec. III-E)."""
        size = (batch["fixations"].shape[-2], batch["fixations"].shape[-1])
        saliency = F.interpolate(logits.float().sigmoid(), size, mode="bilinear", align_corners=False)[:, 0]
        return -losses.nss(saliency.clamp_min(1e-30).log(), batch["fixations"].clamp(max=1))

    def configure_sgd(self) -> Any:
        """Return the authors' SGD as in their training file."""
        return caffe_sgd(self.parameter_groups(), momentum=0.9, weight_decay=5e-4, step_size=500, gamma=0.4)
