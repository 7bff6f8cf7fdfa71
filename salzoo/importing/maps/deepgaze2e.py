"""DeepGaze IIE: `deepgaze2e.pth`, which holds all four backbones, with what comes after their last features."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from salzoo.importing.rules import centre_bias_template
from salzoo.importing.source import Files, Options

TRUNKS = ("features.features.1.module.", *("features.features.1.",) * 3)
"""Where in a model its backbone is: ShapeNet-C, EfficientNet-B5, DenseNet-201, ResNeXt-50."""
UNREAD = (
    ("fc.", "layer4.2.bn2.", "layer4.2.conv3.", "layer4.2.bn3."),
    ("_blocks.35._bn2.", "_blocks.36.", "_blocks.37.", "_blocks.38.", "_conv_head.", "_bn1.", "_fc."),
    (
        "features.denseblock4.denselayer32.norm2.",
        "features.denseblock4.denselayer32.conv2.",
        "features.norm5.",
        "classifier.",
    ),
    ("fc.", "layer4.2.bn2.", "layer4.2.conv3.", "layer4.2.bn3."),
)
"""What comes after the last features in each."""
_STAGES = [(stage, i) for stage, depth in enumerate((3, 5, 5, 7, 7, 9)) for i in range(depth)]
BLOCKS = {str(number): place for number, place in enumerate(_STAGES)}
"""Stage of each block of EfficientNet-B5, and place in it."""
EXPANDED = {"_expand_conv": "conv_pw", "_depthwise_conv": "conv_dw", "_project_conv": "conv_pwl"} | {
    f"_bn{i}": f"bn{i + 1}" for i in range(3)
}
UNEXPANDED = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
"""L. Melas-Kyriazi's names of layers to timm's, in blocks with and without expansion."""


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Return our tensors, which are theirs but for the blur's width and the shape of the centre bias's weight."""
    for m, (trunk, unread) in enumerate(zip(TRUNKS, UNREAD, strict=True)):
        start = f"models.{m}.{trunk}"
        files.skip(*(start + layer for layer in unread))
        for name in files.names:
            inner = name.removeprefix(start)
            if inner != name and not inner.startswith(unread):
                yield f"members.{m}.backbone.trunk.{_timm_name(inner) if m == 1 else inner}", files.take(name)
        components = sum(name.startswith(f"models.{m}.") and name.endswith(".gauss.sigma") for name in files.names)
        for c in range(components):
            for ours, theirs in _component(c):
                yield f"members.{m}.components.{c}.{ours}", files.take(f"models.{m}.{theirs}")
            finalizer = f"models.{m}.finalizers.{c}."
            yield f"members.{m}.components.{c}.blur.log_sigma", files.take(f"{finalizer}gauss.sigma").log()
            weight = files.take(f"{finalizer}center_bias_weight").squeeze()
            yield f"members.{m}.components.{c}.centre_bias_weight", weight
    yield "template.log_density", centre_bias_template(options)


def _component(number: int) -> Iterator[tuple[str, str]]:
    """Return ours and theirs: our chain of layers is their saliency network, then their fixation selection network."""
    saliency, selection = f"saliency_networks.{number}.", f"fixation_selection_networks.{number}."
    norms = [f"{saliency}layernorm{i}" for i in range(3)]
    norms += [f"{selection}layernorm0.layernorm_part0", f"{selection}layernorm1"]
    layers = [f"{saliency}conv{i}" for i in range(3)] + [f"{selection}conv0.conv_part0", f"{selection}conv1"]
    biases = [f"{saliency}bias{i}" for i in range(3)] + [f"{selection}bias{i}" for i in range(2)]
    for i in range(5):
        yield f"norms.{i}.weight", f"{norms[i]}.weight"
        yield f"norms.{i}.bias", f"{norms[i]}.bias"
        yield f"layers.{i}.weight", f"{layers[i]}.weight"
        yield f"layers.{i}.bias", f"{biases[i]}.bias"
    yield "last.weight", f"{selection}conv2.weight"


def _timm_name(name: str) -> str:
    """Return timm's name of a tensor of EfficientNet-B5: the stem's, or that of a block, which timm counts by stage."""
    layer, *rest = name.split(".")
    if layer != "_blocks" or rest[0] not in BLOCKS:
        return ".".join([{"_conv_stem": "conv_stem", "_bn0": "bn1"}.get(layer, layer), *rest])
    stage, i = BLOCKS[rest[0]]
    names = {**SQUEEZE, **(EXPANDED if stage else UNEXPANDED)}
    return ".".join(["blocks", str(stage), str(i), names.get(rest[1], rest[1]), *rest[2:]])
