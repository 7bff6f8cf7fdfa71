"""TranSalNet (Lou, Lin, Marshall, Saupe & Liu, Neurocomputing 2022; arXiv:2110.03593).

Differences from the paper:
- We had the released code and no full text: this is the released network, in both of its versions (ResNet-50 and
  DenseNet-161).
- Its table of positions is made for inputs of 288 x 384. At another size it is interpolated, where theirs stops.
- The epoch with the best validation NSS is kept, of all 30; the authors stop when the validation loss has not fallen
  for 5 epochs.
- New transformer layers start as PyTorch's own; the authors' MLPs start from Glorot's uniform weights and biases of
  1e-6, their queries, keys and values as PyTorch's linear layers.
- SIM is of the densities as they are; the authors stretch both maps to [0, 1] first.
- The authors train on RGB and test on BGR images, both in [0, 1] as they are. The paper variant takes RGB throughout,
  the released networks BGR. The authors round the map to 8 bits before they bring it to the size of the image.
- The lite variant reads three strides of a frozen EfficientNet-Lite0, standardised, at 384 x 512. Its transformers are
  narrow, the finest map has a table of positions but no attention, the decoder ends at stride 8, and training starts
  from a low map, by AdamW with a one-cycle rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import Standardise
from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch


class TransEncoder(nn.Module):
    """Each place of a map is a token: a projection, a learned table of positions, transformer layers (Sec. 3.2).

    Shape: (N, channels, H, W) to (N, width, H, W).

    Args:
        channels: Channels of the map.
        width: Channels of a token.
        grid: (height, width) of the table of positions; for a map of another size it is interpolated.
        heads: Heads of each layer.
        layers: Number of layers, with normalisation first and GELU; 0 leaves the projection and the table.
    """

    def __init__(self, channels: int, width: int, grid: tuple[int, int], heads: int, layers: int) -> None:
        super().__init__()
        self.grid = grid
        self.project = nn.Conv2d(channels, width, 1)
        self.positions = nn.Parameter(torch.zeros(1, grid[0] * grid[1], width))
        options: dict[str, Any] = {"layer_norm_eps": 1e-6, "batch_first": True, "norm_first": True}
        blocks = [nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", **options) for _ in range(layers)]
        self.layers = nn.Sequential(*blocks, nn.LayerNorm(width, eps=1e-6))

    def forward(self, maps: Tensor) -> Tensor:
        """Project, add the positions, attend."""
        size = (maps.shape[-2], maps.shape[-1])
        tokens = self.project(maps).flatten(2).mT + self._positions(size)
        attended: Tensor = self.layers(tokens)
        return attended.mT.reshape(maps.shape[0], -1, *size)

    def _positions(self, size: tuple[int, int]) -> Tensor:
        if size == self.grid:
            return self.positions
        table = self.positions.mT.reshape(1, -1, *self.grid)
        return F.interpolate(table, size, mode="bilinear", align_corners=False).flatten(2).mT


class Stage(nn.Sequential):
    """A 3x3 convolution, batch normalisation and ReLU.

    Shape: (N, channels, H, W) to (N, width, H, W).

    Args:
        channels: Channels of the map.
        width: Channels of the result.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())


class TranSalNetNetwork(nn.Module):
    """Transformers on three maps of a backbone, joined by products from the coarsest to the finest (Fig. 2).

    Shape: (N, 3, H, W) normalised image to logits of the sigmoid map (N, 1, H / s, W / s); s is the stride of the
    finest map over 2 for every channel number in `decoder` but the last, 1 in the paper.

    Args:
        backbone: timm or torchvision name.
        feature_nodes: Strides or module names of three maps, from fine to coarse, each twice as coarse as the last.
        frozen: Do not train the backbone, and standardise its maps.
        grid: (height, width) of the coarsest map; the paper's is 9 x 12, of 288 x 384 pixels.
        widths: Channels of the three transformers, from coarse to fine.
        heads: Heads of each of their layers.
        layers: Layers of each of them.
        decoder: Channels of the convolutions after the last product; after all but the last the map is doubled.
        dropout: Share of each map's channels left out in training; the released networks have none.
        prior: Height of the sigmoid map before training; the authors' is 0.5.
    """

    def __init__(
        self,
        backbone: str = "resnet50.tv_in1k",
        feature_nodes: tuple[int | str, ...] = (8, 16, 32),
        frozen: bool = False,
        grid: tuple[int, int] = (9, 12),
        widths: tuple[int, int, int] = (768, 768, 512),
        heads: tuple[int, int, int] = (12, 12, 8),
        layers: tuple[int, int, int] = (2, 2, 2),
        decoder: tuple[int, ...] = (256, 128, 64, 32),
        dropout: float = 0.0,
        prior: float = 0.5,
    ) -> None:
        super().__init__()
        check_range(1, 4096, widths=widths, decoder=decoder)
        check_range(1, 128, grid=grid, heads=heads)
        check_range(0, 24, layers=layers)
        check_range(0, 1, dropout=dropout)
        check_range(1e-6, 1 - 1e-6, prior=prior)
        if len(feature_nodes) != 3 or any(w % h for w, h in zip(widths, heads, strict=True)):
            raise SpecError(
                f"feature_nodes {list(feature_nodes)}, widths {list(widths)} and heads {list(heads)} are not accepted: "
                "three nodes, and widths that their heads divide."
            )
        self.backbone = TimmBackbone(backbone, feature_nodes)
        if frozen:
            self.backbone.freeze()
        channels = self.backbone.channels[::-1]
        self.standardise = nn.ModuleList(Standardise(c) if frozen else nn.Identity() for c in channels)
        self.dropout = nn.Dropout2d(dropout)
        self.encoders = nn.ModuleList(
            TransEncoder(channels[i], widths[i], (grid[0] << i, grid[1] << i), heads[i], layers[i]) for i in range(3)
        )
        outputs = (*widths[1:], *decoder)
        self.stages = nn.ModuleList(Stage(a, b) for a, b in zip((*widths, *decoder), outputs, strict=False))
        self.predict = nn.Conv2d(decoder[-1], 1, 3, padding=1)
        nn.init.constant_(self.predict.bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type]  # it has one

    def forward(self, image: Tensor) -> Tensor:
        """Encode three maps, multiply them from coarse to fine, decode."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.backbone(image)[::-1], strict=True)]
        encoded = [encoder(self.dropout(m)) for encoder, m in zip(self.encoders, maps, strict=True)]
        x = self.stages[0](encoded[0])
        for finer, stage in zip(encoded[1:], self.stages[1:3], strict=True):
            x = stage((F.interpolate(x, finer.shape[-2:]) * finer).relu())
        for stage in self.stages[3:]:
            x = stage(F.interpolate(x, scale_factor=2.0))
        logits: Tensor = self.predict(x)
        return logits


@dataclass(frozen=True)
class TranSalNetTraining(TrainingConfig):
    """Training of TranSalNet; `sgd` is the authors' own optimiser, Adam with a tenth of the rate every 3 epochs.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 1e-5


class TranSalNet(SaliencyModel):
    """TranSalNet: transformers on three levels of a backbone; arguments as `TranSalNetNetwork`."""

    network: TranSalNetNetwork
    network_class = TranSalNetNetwork
    training_config: TranSalNetTraining
    training_class = TranSalNetTraining
    default_preprocess = Preprocess((288, 384), "pad_floor", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    sigmoid = True

    def to_log_density(self, logits: Tensor) -> Tensor:
        """Divide the sigmoid map by its sum."""
        return normalise_log(F.logsigmoid(logits))

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """10 KL - 2 CC - SIM - NSS (Sec. 3.4)."""
        logits = logits.float()
        loss: Tensor = losses.get("transalnet")(self.to_log_density(logits), batch, logits[:, 0])
        return loss

    def configure_sgd(self) -> Any:
        """Return the authors' Adam: a tenth of the rate every 3 epochs, no weight decay."""
        adam = torch.optim.Adam(self.parameter_groups(), lr=self.training_config.lr)
        return {"optimizer": adam, "lr_scheduler": torch.optim.lr_scheduler.StepLR(adam, step_size=3, gamma=0.1)}
