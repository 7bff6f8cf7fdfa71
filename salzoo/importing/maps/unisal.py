"""UNISAL: `weights_best.pth` and `weights_ft_mit1003.pth`, of which a still image needs one of the four domains.

The recurrent layer, which still images bypass, and the layers of the video domains are left. Fine-tuned on MIT1003 were
the layers of the SALICON domain.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
STAGES = (1, 2, 3, 4, 3, 3, 1)
"""Blocks of MobileNetV2's stages."""
VIDEO_DOMAINS = ("DHF1K", "Hollywood", "UCFSports")
BLOCK = {"0": "conv_pw", "1": "bn1", "3": "conv_dw", "4": "bn2", "6": "conv_pwl", "7": "bn3"}
FIRST_BLOCK = {"0": "conv_dw", "1": "bn1", "3": "conv_pw", "4": "bn2"}
"""The authors' places in an inverted residual block to timm's names; the first one does not expand."""


def identify(files: Files) -> str:
    """Return the release by the name of its file: both hold the same tensors."""
    return "mit1003" if "mit1003" in files.path.name else "best"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the path of still images.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    if files.format != "torch" or "coarse_gaussians_salicon" not in files.names:
        raise WeightsError(f"{files.path}: not UNISAL's weights_*.pth, which have a tensor coarse_gaussians_salicon")
    for theirs, ours, parts in _layers():
        for part in parts:
            yield f"{ours}.{part}", files.take(f"{theirs}.{part}")
    yield "priors.salicon.gaussians", files.take("coarse_gaussians_salicon")
    files.skip("rnn.", "post_rnn.")
    for domain in VIDEO_DOMAINS:
        files.skip(*(f"{layer}_{domain.lower()}" for layer in ("coarse_gaussians", "adaptation", "smoothing")))
        files.skip(*(name for name in files.names if f".bn_{domain}." in name))


def _layers() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield each layer's name over there, its name here, and the names of its tensors."""
    yield from _pair("cnn.features.0", "backbone.trunk", {"0": "conv_stem", "1": "bn1"})
    place = 1
    for stage, count in enumerate(STAGES):
        for block in range(count):
            names = BLOCK if place > 1 else FIRST_BLOCK
            yield from _pair(f"cnn.features.{place}.conv", f"backbone.trunk.blocks.{stage}.{block}", names)
            place += 1
    yield from _pair(f"cnn.features.{place}", "backbone.trunk", {"0": "conv_head", "1": "bn2"})
    yield from _pair("post_cnn.inv_res.conv", "encode", {"0": "0", "1": "1", "3": "3", "4": "4"})
    for theirs, ours in (("upsampling_2", "decode16"), ("post_upsampling_2", "decode8")):
        for convolution in ("0", "3", "6"):
            yield f"{theirs}.inv_res.conv.{convolution}", f"{ours}.{convolution}", ("weight",)
        for norm in ("1", "4", "7"):
            yield f"{theirs}.inv_res.conv.{norm}.bn_SALICON", f"{ours}.{norm}.salicon", NORM
    for theirs, ours in (("skip_2x", "skip16"), ("skip_4x", "skip8")):
        yield f"{theirs}.expansion.0", f"{ours}.0", ("weight",)
        yield f"{theirs}.expansion.1.bn_SALICON", f"{ours}.1.salicon", NORM
        yield f"{theirs}.reduction.0", f"{ours}.4", ("weight", "bias")
        yield f"{theirs}.reduction.1.bn_SALICON", f"{ours}.5.salicon", NORM
    yield "adaptation_salicon.0", "adapt.salicon", ("weight", "bias")
    yield "smoothing_salicon", "smooth.salicon", ("weight",)


def _pair(theirs: str, ours: str, names: dict[str, str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield convolutions without bias, each followed by its batch normalisation."""
    for k, (place, name) in enumerate(names.items()):
        yield f"{theirs}.{place}", f"{ours}.{name}", NORM if k % 2 else ("weight",)
