"""EML-NET's files: one ResNet-50 each, with a read-out of every level, and the decoder that joins two of them.

The two ResNet-50 have the same names and shapes: which is which, their file names say, or else the order in which they
are given, the authors': ImageNet, then Places. A ResNet-50 alone has a combination of its own, which the decoder does
not use.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options, Source

DECODER, BACKBONE = "img_model.0.0.weight", "output0.0.weight"
"""What only a decoder has, and only one of their backbones."""
PARTS = (
    *("0.weight", "0.bias"),
    *("1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"),
)
"""Of a read-out: a convolution and its batch normalisation."""


def identify(files: Files) -> str:
    """Three files are the combined network, and one is a backbone that its name tells."""
    if len(files) > 1:
        return "combined"
    _require(BACKBONE in files[0], files[0])
    seen = [name for name, word in (("imagenet", "imagenet"), ("places", "place")) if word in _name(files[0])]
    if len(seen) != 1:
        raise WeightsError(
            f"{files.path}: the backbones from ImageNet and from Places have the same tensors, and the name does not "
            "tell which this is: give release='imagenet' or 'places' (--release imagenet)."
        )
    return seen[0]


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield the trunks, the read-outs, the second read-outs of two backbones, and the combination."""
    if release != "combined":
        yield from _level(0, files[0])
        yield from _readout("combine", files[0], "combined")
        return
    backbones = [source for source in files if BACKBONE in source]
    decoders = [source for source in files if DECODER in source]
    if (len(backbones), len(decoders)) != (2, 1):
        raise WeightsError(
            f"{files.path} and the others are {len(backbones)} backbone(s) and {len(decoders)} decoder(s) of EML-NET; "
            "needed are res_imagenet.pth, res_places.pth and res_decoder.pth."
        )
    if "place" in _name(backbones[0]) and "place" not in _name(backbones[1]):
        backbones.reverse()
    for member, source in enumerate(backbones):
        source.skip("combined.")
        yield from _level(member, source)
    (decoder,) = decoders
    for member, name in enumerate(("img_model", "pla_model")):
        for i in range(5):
            yield from _readout(f"again.{5 * member + i}", decoder, f"{name}.{i}")
    yield from _readout("combine", decoder, "combined")


def _level(member: int, source: Source) -> Iterator[tuple[str, Tensor]]:
    """Yield a ResNet-50, whose names are torchvision's and timm's, and its five read-outs."""
    _require(BACKBONE in source, source)
    for name in source.names:
        if name.startswith(("conv1.", "bn1.", "layer")):
            yield f"levels.{member}.backbone.trunk.{name}", source.take(name)
    for i in range(5):
        yield from _readout(f"levels.{member}.readouts.{i}", source, f"output{i}")


def _readout(ours: str, source: Source, theirs: str) -> Iterator[tuple[str, Tensor]]:
    for part in PARTS:
        yield f"{ours}.{part}", source.take(f"{theirs}.{part}")


def _name(source: Source) -> str:
    return source.path.name.lower()


def _require(fits: bool, source: Source) -> None:
    if not fits:
        raise WeightsError(
            f"{source.path} is no backbone of EML-NET: it has no {BACKBONE}; its tensors begin with "
            f"{', '.join(source.names[:3])}. Alone, take res_imagenet.pth or res_places.pth."
        )
