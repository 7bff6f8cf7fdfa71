"""DeepGaze IIE (Linardos, Kuemmerer, Press & Bethge, ICCV 2021; arXiv:2105.12441).

Differences from the paper:
- To be trained, the paper variant starts from timm's ResNet-50 with ImageNet weights instead of the one trained on
  stylised images ("ShapeNet-C"), which neither timm nor torchvision has; the authors' release has it. DenseNet-201 is
  torchvision's: timm's cannot be cut before that ReLU.
- Images of any size are brought to 1024 pixels on the longer side, as those of MIT1003 mostly are; the authors' code
  takes them as they are.
- All components are trained at once, on all training images, instead of three times on each of ten folds, by AdamW
  with a one-cycle rate instead of Adam with steps.
- The lite variants read several stages of EfficientNet-Lite at two resolutions of the image, halve nothing, and have
  components whose first layer is wider, without layer norm (channels are standardised by statistics of the training
  images). In `lite` and `small` the later stages are fine-tuned, and densities of images unlike those of training tend
  to the centre bias (`familiarity`); in `frozen` neither is so, as in the paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salzoo import losses
from salzoo._precision import full_precision
from salzoo._schema import check_range
from salzoo.backbones import TimmBackbone, pixel_statistics
from salzoo.components.familiarity import Familiarity
from salzoo.components.layers import CentreBias, CentreBiasTemplate, GaussianBlur, Standardise, sides
from salzoo.components.readout import Frame, frame_of, halve, mixture, normalised, read_standardised
from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.components.training_config import TrainingConfig
from salzoo.errors import SpecError
from salzoo.images.preprocess import Preprocess
from salzoo.images.resample import resize_image

if TYPE_CHECKING:
    from salzoo.data.datamodule import SaliencyDataModule

BACKBONES = ("resnet50.tv_in1k", "tf_efficientnet_b5.in1k", "torchvision/densenet201", "resnext50_32x4d.tv_in1k")
"""In place of the paper's ShapeNet-C, EfficientNet-B5, DenseNet-201 and ResNeXt-50."""
NODES: tuple[tuple[int | str, ...], ...] = (
    ("layer3.0.conv2", "layer3.3.conv2", "layer3.5.conv1", "layer3.5.conv2", "layer4.1.conv2", "layer4.2.conv2"),
    ("blocks.4.4.conv_dw", "blocks.4.6.conv_dw", "blocks.5.8.conv_pwl"),
    (
        "features.denseblock4.denselayer32.norm1",
        "features.denseblock4.denselayer32.conv1",
        "features.denseblock4.denselayer31.conv2",
    ),
    ("layer3.5.conv1", "layer3.5.conv2", "layer3.4.conv2", "layer4.2.conv2"),
)
"""Nodes of the authors' code, `deepgaze_pytorch/deepgaze2e.py`, before the ReLU: 2048, 2416, 2048, 2560 channels."""

MANY = 2000
"""Training images that tell what is familiar."""


@dataclass(frozen=True)
class Readout:
    """The arguments of `DeepGazeIIENetwork` that all members and their components share."""

    scales: tuple[float, ...]
    components: int
    hidden: tuple[int, ...]
    layer_norm: bool
    dropout: float
    resize: Literal["nearest", "bilinear"]
    sigma_px: float
    template: tuple[int, int] | None


class Component(nn.Module):
    """One read-out: point-wise layers, a blur and a centre bias, or a weight of its own for the shared one.

    Shape: (N, hidden[0], *frame.readout) of the first layer, which the member applies for all of its components, to
    (N, 1, *frame.size) log density, normalised over the whole image.

    Args:
        channels: Channels of what the first layer reads.
        options: Arguments of `DeepGazeIIENetwork` that all read-outs share.
    """

    def __init__(self, channels: int, options: Readout) -> None:
        super().__init__()
        widths = (channels, *options.hidden)
        self.resize = options.resize
        self.norms = nn.ModuleList(
            nn.GroupNorm(1, c, eps=1e-12) if options.layer_norm else nn.Identity() for c in widths[:-1]
        )
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 1, 1, bias=False)
        self.dropout = nn.Dropout2d(options.dropout)
        self.blur = GaussianBlur(options.sigma_px, max_sigma_px=None)
        if options.template:
            self.centre_bias_weight = nn.Parameter(torch.ones(()))
        else:
            self.centre_bias = CentreBias()

    def forward(self, first: Tensor, frame: Frame) -> Tensor:
        """Apply the layers after the first, blur and add the centre bias.

        Args:
            first: (N, hidden[0], *frame.readout) of the first layer.
            frame: Of the image.
        """
        x = first
        for norm, layer in zip(self.norms[1:], self.layers[1:], strict=True):
            x = layer(norm(self.dropout(F.softplus(x))))
        x = self.last(self.dropout(F.softplus(x)))
        return normalised(self.blur(F.interpolate(x, frame.size, mode=self.resize)) + self.bias(frame), frame.whole)

    def bias(self, frame: Frame) -> Tensor:
        """Return the centre bias, (1, 1, *frame.size), not normalised."""
        if frame.prior is not None:
            return self.centre_bias_weight * frame.prior
        bias: Tensor = self.centre_bias(frame.size)
        return bias


class Member(nn.Module):
    """A backbone and several read-outs of it.

    Shape: (N, 3, H, W) normalised image, as `pyramid` has it, to (N, components, *frame.size) log densities, each
    normalised over the whole image.

    Args:
        backbone: timm name, or `torchvision/...`.
        feature_nodes: Strides or module names.
        options: The other arguments of `DeepGazeIIENetwork`.
        frozen: As in `DeepGazeIIENetwork`.
        static_padding: As in `TimmBackbone`.
    """

    def __init__(
        self,
        backbone: str,
        feature_nodes: tuple[int | str, ...],
        options: Readout,
        *,
        frozen: tuple[str, ...],
        static_padding: bool,
    ) -> None:
        super().__init__()
        self.scales, self.layer_norm, self.resize = options.scales, options.layer_norm, options.resize
        self.backbone = TimmBackbone(backbone, feature_nodes, static_padding=static_padding)
        self.backbone.freeze(*frozen, *(self.backbone.batch_norms if frozen else ()))
        channels = self.backbone.channels * len(self.scales)
        self.standardise = nn.ModuleList(() if self.layer_norm else (Standardise(c) for c in channels))
        self.components = nn.ModuleList(Component(sum(channels), options) for _ in range(options.components))

    def features(self, seen: Sequence[Tensor]) -> list[Tensor]:
        """Return the maps of the image at every scale; under autocast only they are in half precision."""
        kind = next(self.components.parameters()).dtype
        return [m.to(kind) for one in seen for m in self.backbone(one)]

    def forward(self, seen: Sequence[Tensor], frame: Frame) -> Tensor:
        """Read the maps of the image at each scale out by every component."""
        return self.read(self.features(seen), frame)

    def read(self, maps: list[Tensor], frame: Frame) -> Tensor:
        """Read maps out that are there already."""
        components = cast("list[Component]", list(self.components))
        with full_precision(maps[0].device):
            if self.layer_norm:
                stacked = torch.cat([F.interpolate(m, frame.readout, mode=self.resize) for m in maps], dim=1)
                first = [component.layers[0](component.norms[0](stacked)) for component in components]
            else:
                layers = [cast("nn.Conv2d", component.layers[0]) for component in components]
                weight = torch.cat([layer.weight for layer in layers])
                bias = torch.cat([cast("Tensor", layer.bias) for layer in layers])
                read = read_standardised(maps, self.standardise, weight, bias, frame.readout, self.resize)
                first = list(read.chunk(len(components), dim=1))
            return torch.cat([component(x, frame) for component, x in zip(components, first, strict=True)], dim=1)


class DeepGazeIIENetwork(nn.Module):
    """The components of all members side by side; `DeepGazeIIE` averages their densities.

    Shape: (N, 3, H, W) normalised image to (N, members * components, H / stride, W / stride) log densities, each
    normalised. With `halve`, H and W count the halved image's pixels, and in eval mode the network averages the
    densities itself, to one log density (N, 1, H, W) of the image's own size.

    Args:
        backbones: timm names, or `torchvision/...`. They must expect pixels normalised alike.
        feature_nodes: Strides or module names for each backbone.
        frozen: Modules of every backbone that are not trained; with some named, batch norms are not either. None
            named: all of it, as in the paper.
        scales: Shares of the input's sides at which each backbone sees the image.
        components: Read-outs a backbone; the paper has three times ten, for ten folds of the training images.
        hidden: Channels of a read-out's hidden layers, each behind a softplus; the paper's are those of its saliency
            network (8, 16, 1) and its fixation selection network (128, 16).
        layer_norm: Normalise before every hidden layer over channels and space, as the paper does; if not, channels
            are standardised by statistics of the training images.
        dropout: Share of the read-outs' hidden channels left out in training.
        readout_stride: Stride of the map at which the read-outs' layers work.
        stride: Stride of the map at which blur and centre bias work.
        resize: How maps are brought to these strides.
        sigma_px: First width of the blur in pixels of that map.
        halve: Let the network see every other pixel, to which the strides then refer, and bring its map back to the
            image's size by the nearest pixel, as the authors' code does.
        static_padding: Pad EfficientNet as the authors' trunk does (`TimmBackbone`).
        template: (height, width) of the one `CentreBiasTemplate` of all read-outs; the authors' is 1024 x 1024. None:
            each has a `CentreBias`.
        familiarity: In eval mode, let each density tend to its centre bias, p^T c^(1 - T) with the power T of
            `Familiarity`, the further an image lies from those of training in the features of the first member.

    Raises:
        SpecError: If backbones do not expect pixels normalised alike, a list of nodes is missing, or `familiarity` goes
            with `halve` or `template`.
    """

    def __init__(
        self,
        backbones: tuple[str, ...] = BACKBONES,
        feature_nodes: tuple[tuple[int | str, ...], ...] = NODES,
        frozen: tuple[str, ...] = (),
        scales: tuple[float, ...] = (1.0,),
        components: int = 30,
        hidden: tuple[int, ...] = (8, 16, 1, 128, 16),
        layer_norm: bool = True,
        dropout: float = 0.0,
        readout_stride: int = 16,
        stride: int = 1,
        resize: Literal["nearest", "bilinear"] = "nearest",
        sigma_px: float = 8.0,
        halve: bool = False,
        static_padding: bool = False,
        template: tuple[int, int] | None = None,
        familiarity: bool = False,
    ) -> None:
        check_range(1, 16, members=len(backbones))
        check_range(0.05, 2, scales=scales)
        check_range(1, 8, scales=len(scales))
        check_range(1, 64, components=components, readout_stride=readout_stride, stride=stride)
        check_range(1, 8192, hidden=hidden)
        check_range(0, 1, dropout=dropout)
        check_range(0.01, 64, sigma_px=sigma_px)
        check_range(2, 2048, template=template)
        if len(backbones) != len(feature_nodes) or len({pixel_statistics(name) for name in backbones}) != 1:
            raise SpecError(
                f"backbones must expect pixels normalised alike, and each needs its feature nodes; got "
                f"{list(backbones)} and {len(feature_nodes)} lists of nodes."
            )
        if familiarity and (halve or template):
            raise SpecError(f"familiarity goes with no halve={halve} and no template={template}.")
        super().__init__()
        options = Readout(scales, components, hidden, layer_norm, dropout, resize, sigma_px, template)
        members = [
            Member(name, nodes, options, frozen=frozen, static_padding=static_padding)
            for name, nodes in zip(backbones, feature_nodes, strict=True)
        ]
        self.members = nn.ModuleList(members)
        self.scales, self.readout_stride, self.stride, self.halve = scales, readout_stride, stride, halve
        self.template = CentreBiasTemplate(template) if template else None
        self.familiarity = Familiarity(members[0].backbone.channels) if familiarity else None

    def forward(self, image: Tensor) -> Tensor:
        """Predict by every component; with `halve`, in eval mode, by all of them together."""
        frame = frame_of(sides(image), self.readout_stride, self.stride, self.template, halved=self.halve)
        seen = pyramid(halve(image) if self.halve else image, self.scales)
        if self.training or frame.whole is None:
            return self._sure(seen, frame)
        each = [mixture(member(seen, frame)) for member in self.members]
        return F.interpolate(mixture(torch.cat(each, dim=1)), frame.whole)

    def _sure(self, seen: Sequence[Tensor], frame: Frame) -> Tensor:
        """Return the densities of all members, as sharp as the image is familiar."""
        first, *others = cast("list[Member]", list(self.members))
        maps = first.features(seen)
        densities = torch.cat([first.read(maps, frame), *(member(seen, frame) for member in others)], dim=1)
        if self.familiarity is None or self.training:
            return densities
        power = self.familiarity(smallest(maps, first))
        components = cast("list[Component]", [each for member in (first, *others) for each in member.components])
        biases = torch.cat([component.bias(frame) for component in components], dim=1)
        return normalised(power * densities + (1 - power) * biases)

    def compared(self, image: Tensor) -> list[Tensor]:
        """Return the maps of (N, 3, H, W) images by which `familiarity` compares them."""
        first = cast("Member", self.members[0])
        return smallest(first.features(pyramid(image, self.scales)), first)


def smallest(maps: list[Tensor], member: Member) -> list[Tensor]:
    """Return the maps of the last scale."""
    return maps[-len(member.backbone.channels) :]


@dataclass(frozen=True)
class DeepGazeIIETraining(TrainingConfig):
    """Training of DeepGaze IIE: `loss` is that of each component, the paper's the log-likelihood."""

    loss: losses.LossSpec | None = "nll"


class DeepGazeIIE(SaliencyModel):
    """DeepGaze IIE: a mixture of read-outs of several frozen backbones, each trained by log-likelihood.

    Its arguments are those of `DeepGazeIIENetwork`. MIT1003's images have 768 x 1024 pixels; 384 x 512 is half of that.
    """

    network: DeepGazeIIENetwork
    network_class = DeepGazeIIENetwork
    training_class = DeepGazeIIETraining
    default_preprocess = Preprocess((384, 512))
    statistics_images = 96

    def average_views(self, maps: Sequence[Tensor]) -> Tensor:
        """Average the densities of all components in all views, with equal weights, to (N, 1, h, w) log density."""
        size = (maps[0].shape[-2], maps[0].shape[-1])
        components = torch.cat([normalised(F.interpolate(one, size, mode="bilinear")) for one in maps], dim=1)
        return mixture(components)

    def fit_after_training(self, data: SaliencyDataModule) -> None:
        """Learn what is familiar: the training images, beside those of validation."""
        if (familiarity := self.network.familiarity) is None:
            return
        with evaluating(self), torch.inference_mode():
            training = (self._compared(batch) for batch in data.sample_images(MANY))
            frames = (item["image"].view(-1, *item["image"].shape[-3:])[:1] for item in data.items("val"))
            familiarity.fit(training, (self._compared(self.preprocess.resize(frame)) for frame in frames))

    def _compared(self, image: Tensor) -> list[Tensor]:
        return self.network.compared(self._pixels(image.to(self.device)))

    def taken_over(self, given: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave out members beyond this network's own: a small one may start from the first of a large one."""
        members = range(len(self.network.members))
        return {name: tensor for name, tensor in given.items() if _member(name) in (None, *members)}


def _member(name: str) -> int | None:
    """Return the number of the member that a tensor belongs to; None if it belongs to all."""
    group, _, rest = name.partition(".")
    return int(rest.partition(".")[0]) if group == "members" else None


def pyramid(image: Tensor, scales: Iterable[float]) -> list[Tensor]:
    """Return (N, 3, H, W) images at these shares of their sides."""
    size = sides(image)
    return [image if s == 1 else resize_image(image, (_share(s, size[0]), _share(s, size[1]))) for s in scales]


def _share(scale: float, side: int) -> int:
    """Return a share of a side, rounded."""
    if isinstance(side, int):
        return round(scale * side)
    part = Fraction(scale).limit_denominator(100)  # torch.export: a symbol, a multiple of 32, whose share is no tie
    return (2 * part.numerator * side + part.denominator) // (2 * part.denominator)
