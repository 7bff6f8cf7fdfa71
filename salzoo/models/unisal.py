"""UNISAL (Droste, Jiao & Noble, ECCV 2020; arXiv:2003.05477): one network for images and videos.

Where paper and released code differ, this is the released code. Differences:
- Still images bypass the recurrent layer, which is there with `recurrent` alone: it is not trained here, where there
  are no videos, so its dropout is left out. Layers that the paper has once a domain are `PerDomain`, of any domains,
  the first of which is in use.
- The authors run a video as `interleave` sequences of every so manyth frame, each a pass of its own; so does `step`.
- timm's MobileNetV2 has other ImageNet weights than the one that the authors started from. All new convolutions but
  the last two start as MobileNetV2's; the authors leave those of the first block and of the skip connections as
  PyTorch starts them.
- Training: the loss is taken at the size of the network's input, where the authors up-sample to 480 x 640; batch norms
  of the backbone stay as they are, as in the paper, but all other parts of it are trained from the first epoch on, at a
  tenth of the rate, where the authors wait for two epochs.
- The lite variant reads three strides of a frozen EfficientNet-Lite0, standardised, without going back to finer maps
  (`unstrided`), has half the channels and less dropout, smooths a map of stride 4 by a kernel of the same reach, AdamW
  and a one-cycle rate. Its one domain is the union of its three datasets.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from salzoo import losses
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone
from salzoo.components.layers import Standardise
from salzoo.components.training_config import TrainingConfig
from salzoo.components.video_model import VideoModel
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess

if TYPE_CHECKING:
    from salzoo.data.base import Batch

MOBILENET_NODES = ("blocks.3.0", "blocks.5.0", "bn2")
"""The first blocks of 64 and of 160 channels, and the last convolution (Sec. 3.1)."""

PRIOR_HEIGHT = 6.0
"""Maximum of each prior map."""

SMOOTHING_LOG_SIGMA = -2.0
"""Logarithm of the standard deviation of the smoothing kernel at the start, as a share of its side."""


class PerDomain(nn.ModuleDict):
    """One layer a domain, of which the one in use sees the maps (Sec. 3.2).

    Args:
        domains: Names; the first is in use until `active` is set.
        make: Makes one layer.
    """

    def __init__(self, domains: tuple[str, ...], make: Callable[[], nn.Module]) -> None:
        super().__init__({domain: make() for domain in domains})
        self.active = domains[0]

    def forward(self, maps: Tensor) -> Tensor:
        """Run the layer of the active domain."""
        return cast("Tensor", self[self.active](maps))


class GaussianPriors(nn.Module):
    """Appends 16 learned Gaussian maps over the frame to feature maps: nine blobs, three bars each way, a wide one.

    Shape: (N, C, H, W) to (N, C + 16, H, W).
    """

    COUNT = 16

    def __init__(self) -> None:
        super().__init__()
        quarters = (0.25, 0.5, 0.75)
        blobs = [[[y, -1.5], [x, -1.5]] for y in quarters for x in quarters]
        columns = [[[0.5, 0.0], [x, -1.5]] for x in quarters]
        rows = [[[y, -1.5], [0.5, 0.0]] for y in quarters]
        self.gaussians = nn.Parameter(torch.tensor([*blobs, *columns, *rows, [[0.5, 0.0], [0.5, 0.0]]]))

    def forward(self, maps: Tensor) -> Tensor:
        """Append the maps; `gaussians` (16, 2, 2) has the mean and log deviation of rows, then of columns."""
        sides = [
            torch.exp(-(((_unit(n, maps) - along[:, :1]) / along[:, 1:].exp()) ** 2) / 2)
            for n, along in zip(maps.shape[-2:], self.gaussians.unbind(1), strict=True)
        ]
        priors = PRIOR_HEIGHT * sides[0][:, :, None] * sides[1][:, None, :]
        return torch.cat([maps, priors.to(maps.dtype).expand(maps.shape[0], -1, -1, -1)], dim=1)


def _unit(count: int, like: Tensor) -> Tensor:
    return torch.linspace(0, 1, count, device=like.device)


class Smoothing(nn.Conv2d):
    """A learned kernel over a map whose border is replicated, at the start a normalised Gaussian.

    Shape: (N, 1, H, W) to the same.

    Args:
        side: Side of the kernel, odd.
    """

    def __init__(self, side: int) -> None:
        super().__init__(1, 1, side, bias=False)
        across = torch.exp(-(((torch.linspace(0, 1, side) - 0.5) / torch.tensor(SMOOTHING_LOG_SIGMA).exp()) ** 2) / 2)
        kernel = across[:, None] * across
        with torch.no_grad():
            self.weight.copy_((kernel / kernel.sum())[None, None])

    def forward(self, maps: Tensor) -> Tensor:
        """Smooth."""
        margin = self.kernel_size[0] // 2
        return super().forward(F.pad(maps, (margin,) * 4, mode="replicate"))


def separable(inside: int, outside: int, expansion: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Return MobileNetV2's inverted residual block between different numbers of channels, where nothing is added.

    Args:
        inside: Channels of the input.
        outside: Channels of the result.
        expansion: Channels in between, as a multiple of `inside`; with 1 there is no convolution that expands.
        norm: Makes the batch normalisation of so many channels.
    """
    wide = inside * expansion
    expand = [] if expansion == 1 else [nn.Conv2d(inside, wide, 1, bias=False), norm(wide), nn.ReLU6()]
    depthwise = [nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False), norm(wide), nn.ReLU6()]
    return nn.Sequential(*expand, *depthwise, nn.Conv2d(wide, outside, 1, bias=False), norm(outside))


class ConvGRU(nn.Module):
    """A convolutional gated recurrent unit of depthwise separable convolutions, with a scale for each term (Sec. 3.3).

    Args:
        channels: Of the input and of the hidden state.
        norm: Makes the batch normalisation of so many channels.
    """

    GATES = ("reset_gate", "update_gate", "candidate")

    def __init__(self, channels: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()

        def term() -> nn.Sequential:
            depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
            pointwise = nn.Conv2d(channels, channels, 1, bias=False)
            return nn.Sequential(depthwise, norm(channels), nn.ReLU6(), pointwise, norm(channels))

        def scale(value: float) -> nn.Parameter:
            return nn.Parameter(torch.full((channels, 1, 1), value))

        self.of_input, self.of_hidden = (nn.ModuleDict({gate: term() for gate in self.GATES}) for _ in range(2))
        self.input_scale, self.hidden_scale, self.bias = (
            nn.ParameterDict({gate: scale(value) for gate in self.GATES}) for value in (1.0, 1.0, 0.0)
        )

    def forward(self, maps: Tensor, hidden: Tensor | None) -> Tensor:
        """(N, C, h, w) maps and hidden state, None for zeros, to the next hidden state."""
        before = torch.zeros_like(maps) if hidden is None else hidden

        def terms(gate: str) -> tuple[Tensor, Tensor]:
            new = self.input_scale[gate] * self.of_input[gate](maps) + self.bias[gate]
            return new, self.hidden_scale[gate] * self.of_hidden[gate](before)

        reset, update = (sum(terms(gate), torch.zeros(())).sigmoid() for gate in ("reset_gate", "update_gate"))
        new, old = terms("candidate")
        return (1 - update) * before + update * torch.tanh(new + reset * old)


def sub_sample_after(trunk: fx.GraphModule, block: str) -> None:
    """Compute a strided block of MobileNetV2 at stride 1 and drop every other row and column after it, in place.

    What comes after it stays the same; a feature node at the block becomes twice as fine (Sec. 3.1).

    Args:
        trunk: timm's MobileNetV2, as torch.fx traced it.
        block: Name of an inverted residual block of stride 2.

    Raises:
        SpecError: If there is no such block.
    """
    depthwise = dict(trunk.named_modules()).get(f"{block}.conv_dw")
    if not isinstance(depthwise, nn.Conv2d) or depthwise.stride != (2, 2):
        raise SpecError(f"unstrided: {block!r} is no inverted residual block of stride 2.")
    depthwise.stride = (1, 1)
    half = slice(None, None, 2)
    training = trunk.training
    for mode in (not training, training):  # torchvision keeps a graph for each, and puts the mode's own into `graph`
        graph = trunk.train(mode).graph
        last = next(node for node in graph.nodes if node.target == f"{block}.bn3")
        with graph.inserting_after(last):
            coarse = graph.call_function(operator.getitem, (last, (slice(None), slice(None), half, half)))
        last.replace_all_uses_with(coarse, delete_user_cb=partial(_comes_after, coarse))
        trunk.recompile()


def _comes_after(coarse: fx.Node, user: fx.Node) -> bool:
    return user is not coarse and user.op != "output"


class UNISALNetwork(nn.Module):
    """MobileNetV2, Gaussian priors, two steps of up-sampling with skip connections, and smoothing (Fig. 2).

    Shape: (N, 3, H, W) normalised image, sides multiples of 32, to logits (N, 1, H / s, W / s), s `smoothing_stride`.

    Args:
        backbone: timm name.
        feature_nodes: Names or strides of three maps at strides 8, 16 and 32.
        unstrided: Blocks of MobileNetV2 computed at stride 1 and sub-sampled afterwards; () for a backbone as it is.
        frozen: Do not train the backbone, and standardise its maps; otherwise its batch normalisation is frozen.
        widths: Channels at strides 32, 16 and 8.
        dropout: Share of the channels left out in each skip connection in training.
        smoothing: Side of the smoothing kernel in pixels of the map that is smoothed, odd.
        smoothing_stride: Stride of that map: 1 in the paper, at most 8.
        domains: Names of the domains that layers of their own are kept for; the first is in use.
        recurrent: Have the recurrent layer, for videos.
        interleave: Sequences that a video is run as; the authors' sequences have 6 frames a second, so 5 for 30.
    """

    def __init__(
        self,
        backbone: str = "mobilenetv2_100.ra_in1k",
        feature_nodes: tuple[int | str, ...] = MOBILENET_NODES,
        unstrided: tuple[str, ...] = ("blocks.3.0", "blocks.5.0"),
        frozen: bool = False,
        widths: tuple[int, int, int] = (256, 128, 64),
        dropout: float = 0.6,
        smoothing: int = 41,
        smoothing_stride: int = 1,
        domains: tuple[str, ...] = ("salicon",),
        recurrent: bool = False,
        interleave: int = 5,
    ) -> None:
        super().__init__()
        check_range(1, 100, interleave=interleave)
        check_range(1, 4096, widths=widths)
        check_range(0, 1, dropout=dropout)
        check_range(1, 101, smoothing=smoothing)
        check_range(1, 8, smoothing_stride=smoothing_stride)
        if len(feature_nodes) != 3 or smoothing % 2 == 0 or not domains or not all(map(str.isidentifier, domains)):
            raise SpecError(
                f"feature_nodes={list(feature_nodes)}, smoothing={smoothing} and domains={list(domains)} are not "
                "accepted: three nodes, an odd side, and one domain or more, named as Python names variables."
            )
        self.backbone = _backbone(backbone, feature_nodes, unstrided, frozen)
        fine, middle, coarse = self.backbone.channels
        self.standardise = nn.ModuleList(Standardise(c) if frozen else nn.Identity() for c in (fine, middle, coarse))
        self.smoothing_stride = smoothing_stride

        def norm(channels: int) -> PerDomain:
            return PerDomain(domains, lambda: nn.BatchNorm2d(channels))

        def skip(inside: int, outside: int) -> nn.Sequential:
            return nn.Sequential(
                *(nn.Conv2d(inside, 2 * inside, 1, bias=False), norm(2 * inside), nn.ReLU6(), nn.Dropout2d(dropout)),
                *(nn.Conv2d(2 * inside, outside, 1), norm(outside)),
            )

        w32, w16, w8 = widths
        self.priors = PerDomain(domains, GaussianPriors)
        self.encode = separable(coarse + GaussianPriors.COUNT, w32, 1, lambda c: nn.BatchNorm2d(c, momentum=0.01))
        self.skip16, self.skip8 = skip(middle, w16), skip(fine, w8)
        self.decode16, self.decode8 = separable(w32 + w16, w16, 2, norm), separable(w16 + w8, w8, 2, norm)
        self.temporal, self.interleave = recurrent, interleave
        if recurrent:
            self.rnn = ConvGRU(w32, norm)
            self.after_rnn = nn.Sequential(nn.Conv2d(w32, w32, 1, bias=False), norm(w32), nn.ReLU6())
        self.adapt = PerDomain(domains, lambda: nn.Conv2d(w8, 1, 1))
        self.smooth = PerDomain(domains, lambda: Smoothing(smoothing))
        for layer in itertools.chain(*(m.modules() for m in (self.encode, self.skip16, self.skip8))):
            _initialise(layer)
        for layer in itertools.chain(self.decode16.modules(), self.decode8.modules()):
            _initialise(layer)

    def use(self, domain: str) -> None:
        """Run the layers of a domain from now on.

        Raises:
            SpecError: If there is none of this name.
        """
        if domain not in self.priors:
            raise SpecError(f"There is no domain {domain!r}; there are {', '.join(self.priors)}.")
        for module in self.modules():
            if isinstance(module, PerDomain):
                module.active = domain

    def forward(self, image: Tensor) -> Tensor:
        """Encode, decode with skip connections, read one map, smooth it; without the recurrent layer."""
        return self.decoded(self.encoded(image), image)

    def step(self, image: Tensor, state: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Return the logits of a frame, and the hidden states of the last `interleave` frames."""
        states = state or []
        fine, middle, x = self.encoded(image)
        hidden = self.rnn(x, states[0] if len(states) == self.interleave else None)
        logits = self.decoded((fine, middle, x + self.after_rnn(hidden)), image)
        return logits, [*states, hidden][-self.interleave :]

    def encoded(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps of strides 8 and 16, and the encoded one of stride 32."""
        maps = [standardise(m) for standardise, m in zip(self.standardise, self.backbone(image), strict=True)]
        fine, middle, coarse = maps
        return fine, middle, self.encode(self.priors(coarse))

    def decoded(self, maps: tuple[Tensor, Tensor, Tensor], image: Tensor) -> Tensor:
        """Return the logits of what `encoded` gave for an image."""
        fine, middle, x = maps
        x = self.decode16(torch.cat([_doubled(x), self.skip16(middle)], dim=1))
        x = self.decode8(torch.cat([_doubled(x), self.skip8(fine)], dim=1))
        size = [side // self.smoothing_stride for side in image.shape[-2:]]
        logits: Tensor = self.smooth(F.interpolate(self.adapt(x), size, mode="nearest"))
        return logits


def _backbone(name: str, nodes: tuple[int | str, ...], unstrided: tuple[str, ...], frozen: bool) -> TimmBackbone:
    backbone = TimmBackbone(name, nodes)
    if unstrided and not isinstance(backbone.trunk, fx.GraphModule):
        raise SpecError(f"unstrided={list(unstrided)} needs feature nodes by name, got {list(nodes)}.")
    for block in unstrided:
        sub_sample_after(cast("fx.GraphModule", backbone.trunk), block)
    backbone.freeze(*(() if frozen else backbone.batch_norms))
    return backbone


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


def _initialise(layer: nn.Module) -> None:
    """Initialise a convolution as MobileNetV2's authors do."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class UNISALTraining(TrainingConfig):
    """Training of UNISAL; `sgd` is the authors': momentum 0.9, 0.8 of the rate every epoch.

    Args:
        lr: Learning rate at the start; of AdamW the peak of a one-cycle schedule.
    """

    lr: float = 0.04
    backbone_lr_scale: float = 0.1
    optimizer: Literal["adamw", "sgd"] = "sgd"


class UNISAL(VideoModel):
    """UNISAL: a light network with learned priors, layers for each kind of data and, with `recurrent`, a memory.

    Its arguments are those of `UNISALNetwork`.
    """

    network: UNISALNetwork
    network_class = UNISALNetwork
    training_config: UNISALTraining
    training_class = UNISALTraining
    default_preprocess = Preprocess((288, 384), "cells")

    def default_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """KL - 0.1 NSS - 0.1 CC (Sec. 3.4)."""
        return cast("Tensor", losses.get("unisal")(self.to_log_density(logits), batch))

    def configure_sgd(self) -> Any:
        """Return the authors' SGD: momentum 0.9, weight decay 1e-4, of the backbone 1e-5, 0.8 of the rate an epoch."""
        own, *backbone = self.parameter_groups()
        groups = [{**own, "weight_decay": 1e-4}, *({**group, "weight_decay": 1e-5} for group in backbone)]
        sgd = torch.optim.SGD(groups, lr=self.training_config.lr, momentum=0.9)
        return {"optimizer": sgd, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(sgd, 0.8)}
