"""UNISAL: `weights_best.pth` and `weights_ft_mit1003.pth`, of which a release takes one of the four domains.

Still images bypass the recurrent layer, which the release of a video domain has. Fine-tuned on MIT1003 were the layers
of the SALICON domain.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import BATCH_NORM, renamed, require_torch
from salzoo.importing.source import Files, Options

STAGES = (1, 2, 3, 4, 3, 3, 1)
"""Blocks of MobileNetV2's stages."""
DOMAINS = ("SALICON", "DHF1K", "Hollywood", "UCFSports")
DOMAIN = {"best": "SALICON", "mit1003": "SALICON", "dhf1k": "DHF1K"}
"""Of each release."""
GATES = {"reset_gate": ("r", "_r", "r"), "update_gate": ("z", "_z", "z"), "candidate": ("h", "", "out")}
"""What the authors call a gate in its scales, in its convolutions and in its normalisations."""
BLOCK = {"0": "conv_pw", "1": "bn1", "3": "conv_dw", "4": "bn2", "6": "conv_pwl", "7": "bn3"}
FIRST_BLOCK = {"0": "conv_dw", "1": "bn1", "3": "conv_pw", "4": "bn2"}
"""The authors' places in an inverted residual block to timm's names; the first one does not expand."""


def identify(files: Files) -> str:
    """Return the release of still images by the name of its file: both hold the same tensors."""
    return "mit1003" if "mit1003" in files.path.name else "best"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of one domain and, of a video domain, of the recurrent layer.

    Raises:
        WeightsError: If the file is not the authors' PyTorch file.
    """
    require_torch(files, "coarse_gaussians_salicon", "UNISAL")
    domain = DOMAIN[release]
    yield from renamed(files, names(domain))
    files.skip(*(("rnn.", "post_rnn.") if domain == "SALICON" else ("rnn.cell_list.0.drop_mask_",)))
    for other in DOMAINS:
        if other != domain:
            files.skip(*(f"{layer}_{other.lower()}" for layer in ("coarse_gaussians", "adaptation", "smoothing")))
            files.skip(*(name for name in files.names if f".bn_{other}." in name))


def names(domain: str) -> Iterator[tuple[str, str]]:
    """Yield the authors' name and ours of every tensor of a domain, those of the recurrent layer for a video domain."""
    for theirs, ours, parts in itertools.chain(_layers(domain), () if domain == "SALICON" else _recurrent(domain)):
        for part in parts:
            yield f"{theirs}.{part}", f"{ours}.{part}"
    yield f"coarse_gaussians_{domain.lower()}", f"priors.{domain.lower()}.gaussians"
    for gate, (short, _, _) in GATES.items() if domain != "SALICON" else ():
        for theirs, ours in (("a_{}_x", "input_scale"), ("a_{}_h", "hidden_scale"), ("b_{}", "bias")):
            yield f"rnn.cell_list.0.{theirs.format(short)}", f"rnn.{ours}.{gate}"


def _recurrent(domain: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the layers of the recurrent unit, as `_layers`."""
    for gate, (_, suffix, norm) in GATES.items():
        for letter, side, ours in (("w", "x", "of_input"), ("u", "h", "of_hidden")):
            theirs = f"rnn.cell_list.0.{letter}{suffix}"
            yield f"{theirs}.conv_dw", f"rnn.{ours}.{gate}.0", ("weight",)
            yield f"{theirs}.sep_bn.bn_{domain}", f"rnn.{ours}.{gate}.1.{domain.lower()}", BATCH_NORM
            yield f"{theirs}.conv_sep", f"rnn.{ours}.{gate}.3", ("weight",)
            yield f"rnn.cell_list.0.norm_{norm}_{side}.bn_{domain}", f"rnn.{ours}.{gate}.4.{domain.lower()}", BATCH_NORM
    yield "post_rnn.0", "after_rnn.0", ("weight",)
    yield f"post_rnn.1.bn_{domain}", f"after_rnn.1.{domain.lower()}", BATCH_NORM


def _layers(domain: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
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
            yield f"{theirs}.inv_res.conv.{norm}.bn_{domain}", f"{ours}.{norm}.{domain.lower()}", BATCH_NORM
    for theirs, ours in (("skip_2x", "skip16"), ("skip_4x", "skip8")):
        yield f"{theirs}.expansion.0", f"{ours}.0", ("weight",)
        yield f"{theirs}.expansion.1.bn_{domain}", f"{ours}.1.{domain.lower()}", BATCH_NORM
        yield f"{theirs}.reduction.0", f"{ours}.4", ("weight", "bias")
        yield f"{theirs}.reduction.1.bn_{domain}", f"{ours}.5.{domain.lower()}", BATCH_NORM
    yield f"adaptation_{domain.lower()}.0", f"adapt.{domain.lower()}", ("weight", "bias")
    yield f"smoothing_{domain.lower()}", f"smooth.{domain.lower()}", ("weight",)


def _pair(theirs: str, ours: str, names: dict[str, str]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield convolutions without bias, each followed by its batch normalisation."""
    for k, (place, name) in enumerate(names.items()):
        yield f"{theirs}.{place}", f"{ours}.{name}", BATCH_NORM if k % 2 else ("weight",)
