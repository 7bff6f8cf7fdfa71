"""Asks a public implementation what it says: `python tests/models/make_peers.py NAME CHECKOUT` (a git clone).

How to add one:
1. Write a function `NAME(checkout)` below. It builds the public network without its ImageNet weights (`public` imports
   one module of the clone without running the packages around it) and returns a `Peer`.
2. `names` maps our tensors (of `model.network`) to theirs, by whole names or by beginnings: {"decoder.0.": "30."} or
   {"backbone.trunk.": "features."}; see `peers.translate` for tensors that are not equal but related.
3. `kept` names our tensors that they do not have and that keep their first values; `unused` the beginnings of theirs
   that we do not have (a classifier that nothing reads).
4. `run` turns our normalised picture into what their network takes, and its output into what our `network` returns
   (take their last sigmoid off), or, with `output_of="log_density"`, into our log density.
5. Run it. It refuses a tensor that nobody mapped and an output that is nearly constant, compares both networks, and
   writes `peers/NAME.json`, which `test_peers.py` finds by itself. Small sizes: 64 x 96 is enough.
"""

from __future__ import annotations

import importlib
import itertools
import json
import math
import subprocess
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from models import peers

from salzoo.models import deepgaze2 as deepgaze2_model
from salzoo.models import deepgaze2e as deepgaze2e_model


@dataclass(frozen=True)
class Peer:
    """A public network beside ours.

    Args:
        url: Repository.
        file: Where the network is in it.
        model: Our `name.variant`.
        options: Options over those of the variant.
        network: The public network.
        names: Our name (or its beginning) to theirs.
        run: The public network's answer to our normalised picture.
        kept: Our tensors without a counterpart.
        unused: Beginnings of their names without a counterpart.
        input_size: (height, width) of the picture.
        output_of: What of ours `run` is compared with.
        gain: Of the layers' weights, over He's initialisation.
    """

    url: str
    file: str
    model: str
    options: Mapping[str, Any]
    network: nn.Module
    names: Mapping[str, Any]
    run: Callable[[Tensor], Tensor]
    kept: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    input_size: tuple[int, int] = (64, 96)
    output_of: Literal["network", "log_density"] = "network"
    gain: float = 1.0
    inputs: tuple[str, ...] = field(default=())
    """Names of our tensors' counterparts that are inputs over there, not tensors of the network."""


def public(checkout: Path, module: str) -> Any:
    """Import a module of a clone without running its parent packages' own code, which often wants more packages."""
    parents = module.split(".")[:-1]
    for i in range(len(parents)):
        package = types.ModuleType(".".join(parents[: i + 1]))
        package.__path__ = [str(checkout.joinpath(*parents[: i + 1]))]
        sys.modules[package.__name__] = package
    if not parents:
        sys.path.insert(0, str(checkout))
    return importlib.import_module(module)


def salgan(checkout: Path) -> Peer:
    """FastSal's teacher: SalGAN's generator as one sequence of layers, numbered."""
    module = public(checkout, "model.salgan_generator")
    module.vgg16 = lambda pretrained: torchvision.models.vgg16()
    network = module.create_model()
    convolutions = [i for i, layer in enumerate(network) if isinstance(layer, nn.Conv2d)]
    ours = [f"backbone.trunk.features.{i}." for i in convolutions[:13]]
    ours += [f"decoder.{i - 30}." for i in convolutions[13:]]
    return Peer(
        url="https://github.com/feiyanhu/FastSal",
        file="model/salgan_generator.py",
        model="salgan.paper",
        options={},
        network=network,
        names=dict(zip(ours, (f"{i}." for i in convolutions), strict=True)),
        run=network[:-1],  # ours returns logits
    )


def salicon(checkout: Path) -> Peer:
    """A port of SALICONtf: two VGG-16, nearest up-sampling, one convolution."""
    sys.modules.setdefault("matplotlib.pyplot", types.ModuleType("matplotlib.pyplot"))
    module = public(checkout, "src.salicon_model")
    module.models = types.SimpleNamespace(vgg16=lambda pretrained: torchvision.models.vgg16())
    network = module.Salicon()
    network.Sigmoid = nn.Identity()  # ours returns logits
    streams = {"fine": "Vgg16_fine_features", "coarse": "Vgg16_coarse_features"}
    convolutions = [i for i, layer in enumerate(network.Vgg16_fine_features) if isinstance(layer, nn.Conv2d)]
    return Peer(
        url="https://github.com/nkuhzx/Salicon_pytorch",
        file="src/salicon_model.py",
        model="salicon.paper",
        options={},
        network=network,
        names={"head.": "Sal_map."}
        | {
            f"{our}.backbone.trunk.features.{i}.": f"{their}.{i}."
            for our, their in streams.items()
            for i in convolutions
        },
        run=lambda image: network(image, nn.functional.avg_pool2d(image, 2)),
    )


def salnet(checkout: Path) -> Peer:
    """G. Kelam's port; its poolings round down and ours up, as Caffe's do: here is a size where both are the same."""
    network = public(checkout, "Deep_Net.DeepNet_model").DeepNet()
    convolutions = {f"features.conv{i}.": f"conv{i}." for i in range(1, 4)}
    return Peer(
        url="https://github.com/Goutam-Kelam/Visual-Saliency",
        file="Deep_Net/DeepNet_model.py",
        model="salnet.paper",
        options={},
        network=network,
        names=convolutions | {"column.": "", "deconv1.": "deconv1."},
        run=network,
        input_size=(67, 99),
    )


def deepgaze1(checkout: Path) -> Peer:
    """The authors' re-issue; it takes pixels of twice the size, and drops every other one."""
    torch.hub.load = lambda repository, name, pretrained: torchvision.models.alexnet()
    network = public(checkout, "deepgaze_pytorch.deepgaze1").DeepGazeI(pretrained=False)
    normalizer = network.features.features[0]
    centre_bias = peers.values("centerbias", (1, 1, 48, 64))

    def run(image: Tensor) -> Tensor:
        pixels = (image * normalizer.std + normalizer.mean).float() * 255
        size = (image.shape[-2] // 2, image.shape[-1] // 2)
        bias = nn.functional.interpolate(centre_bias, size, mode="bilinear")
        larger = {"scale_factor": 4.0, "mode": "nearest"}
        bias = nn.functional.interpolate(bias, **larger)[:, 0]
        log_density: Tensor = network(nn.functional.interpolate(pixels, scale_factor=2.0), bias)
        return log_density[:, ::4, ::4] + math.log(16)  # each value of ours is 16 equal ones of theirs

    return Peer(
        url="https://github.com/matthias-k/DeepGaze",
        file="deepgaze_pytorch/deepgaze1.py",
        model="deepgaze1.paper",
        options={},
        network=network,
        names={
            "backbone.trunk.features.": "features.features.1.features.",
            "readout.": "readout_network.conv0.",
            "blur.log_sigma": {"log": "finalizer.gauss.sigma"},
            "centre_bias.log_density": "centerbias",
            "centre_bias.weight": "finalizer.center_bias_weight",
        },
        run=run,
        kept=("standardise.0.mean", "standardise.0.std"),
        unused=("features.features.1.classifier.",),
        inputs=("centerbias",),
        output_of="log_density",
    )


def deepgaze2(checkout: Path) -> Peer:
    """The authors' class for any DeepGaze II, with VGG-19's layers and the paper's read-out, all at stride 16.

    There the maps need no up-sampling, which they do to the nearest pixel and we bilinearly.
    """
    torch.hub.load = lambda _, name, **__: torchvision.models.get_model(name)
    modules = public(checkout, "deepgaze_pytorch.modules")
    trunk = public(checkout, "deepgaze_pytorch.features.vggnet").RGBvgg19()
    features = modules.FeatureExtractor(trunk, [f"1.{tap}" for tap in deepgaze2_model.VGG19_TAPS])
    widths = (2560, 16, 32, 2, 1)
    layers = [layer for a, b in itertools.pairwise(widths) for layer in (nn.Conv2d(a, b, 1), nn.ReLU())]
    network = modules.DeepGazeII(features, nn.Sequential(*layers), saliency_map_factor=32)
    network.finalizer.gauss.kernel_size = 25  # ours holds three of at most 4 pixels
    return Peer(
        url="https://github.com/matthias-k/DeepGaze",
        file="deepgaze_pytorch/modules.py",
        model="deepgaze2.paper",
        options={"stride": 16},
        network=network,
        names={
            "backbone.trunk.features.": "features.features.1.features.",
            **{f"readout.{i}.": f"readout_network.{2 * i}." for i in range(4)},
            "blur.log_sigma": {"log": "finalizer.gauss.sigma"},
            "centre_bias.log_density": "centre_bias",
            "centre_bias.weight": "finalizer.center_bias_weight",
        },
        run=_pixels_to_log_density(network, 32),
        kept=tuple(f"standardise.{i}.{part}" for i in range(5) for part in ("mean", "std")),
        unused=("features.features.1.classifier.",),
        input_size=(128, 192),
        inputs=("centre_bias",),
        output_of="log_density",
    )


def deepgaze2e(checkout: Path) -> Peer:
    """DeepGaze IIE with two of its four backbones, the ResNets, and two of their thirty components."""
    shapenet = public(checkout, "deepgaze_pytorch.features.shapenet")
    untrained = nn.Sequential(OrderedDict(module=torchvision.models.resnet50())).state_dict()
    shapenet.model_zoo.load_url = lambda *_, **__: {"state_dict": untrained}
    unread = ("fc.", "layer4.2.bn2.", "layer4.2.conv3.", "layer4.2.bn3.")
    return _deepgaze2e(checkout, {0: ("1.module.", {"": ""}, unread), 3: ("1.", {"": ""}, unread)})


def deepgaze2e_other_backbones(checkout: Path) -> Peer:
    """DeepGaze IIE with the other two, EfficientNet-B5 and DenseNet-201.

    Their EfficientNet pads each strided convolution as if its map had even sides, so the sides are multiples of 32.
    With a gain of 1 its maps grow to thousands and rounding errors by the block, in both networks to other ends.
    """
    efficientnet = public(checkout, "deepgaze_pytorch.features.efficientnet").EfficientNet
    efficientnet.from_pretrained = efficientnet.from_name
    after_35 = ("_blocks.35._bn2.", *(f"_blocks.{i}." for i in (36, 37, 38)), "_conv_head.", "_bn1.", "_fc.")
    last = "features.denseblock4.denselayer32."
    after_32 = (f"{last}norm2.", f"{last}conv2.", "features.norm5.", "classifier.")
    trunks = {1: ("1.", _efficientnet_names(), after_35), 2: ("1.", {"": ""}, after_32)}
    return _deepgaze2e(checkout, trunks, gain=0.7, input_size=(64, 96))


def _efficientnet_names() -> dict[str, Any]:
    """Timm's names in EfficientNet-B5 to L. Melas-Kyriazi's, who counts the blocks through."""
    squeeze = {"se.conv_reduce.": "_se_reduce.", "se.conv_expand.": "_se_expand."}
    layers = {"conv_pw.": "_expand_conv.", "conv_dw.": "_depthwise_conv.", "conv_pwl.": "_project_conv.", **squeeze}
    layers |= {f"bn{i + 1}.": f"_bn{i}." for i in range(3)}
    unexpanded = {
        "conv_dw.": "_depthwise_conv.",
        "conv_pw.": "_project_conv.",
        **squeeze,
        "bn1.": "_bn1.",
        "bn2.": "_bn2.",
    }
    names: dict[str, Any] = {"conv_stem.": "_conv_stem.", "bn1.": "_bn0."}
    blocks = [(stage, i) for stage, depth in enumerate((3, 5, 5, 7, 7, 9)) for i in range(depth)]
    for number, (stage, i) in enumerate(blocks):
        names[f"blocks.{stage}.{i}."] = {"in": f"_blocks.{number}.", "names": layers if stage else unexpanded}
    return names


def _deepgaze2e(
    checkout: Path,
    trunks: Mapping[int, tuple[str, dict[str, Any], tuple[str, ...]]],
    gain: float = 1.0,
    input_size: tuple[int, int] = (48, 64),
) -> Peer:
    """DeepGaze IIE with some of its backbones and two components of each.

    Args:
        checkout: The clone.
        trunks: Number of a backbone to where it is in their module, its tensors' names there, and what nothing reads.
    """
    torch.hub.load = lambda _, name, **__: torchvision.models.get_model(name)
    package = public(checkout, "deepgaze_pytorch.deepgaze2e")
    network = package.MixtureModel([package.build_deepgaze_mixture(package.BACKBONES[i], 2) for i in trunks])
    names, unused = dict[str, Any](), list[str]()
    for m, (start, inner, unread) in enumerate(trunks.values()):
        names[f"members.{m}.backbone.trunk."] = {"in": f"models.{m}.features.features.{start}", "names": inner}
        unused += [f"models.{m}.features.features.{start}{layer}" for layer in unread]
        for c in range(2):
            names |= _deepgaze2e_component(f"members.{m}.components.{c}.", f"models.{m}.", c)
    return Peer(
        url="https://github.com/matthias-k/DeepGaze",
        file="deepgaze_pytorch/deepgaze2e.py",
        model="deepgaze2e.paper",
        options={
            "backbones": [deepgaze2e_model.BACKBONES[i] for i in trunks],
            "feature_nodes": [deepgaze2e_model.NODES[i] for i in trunks],
            "components": 2,
        },
        network=network,
        names=names,
        run=_pixels_to_log_density(network, 2, gain),
        unused=tuple(unused),
        input_size=input_size,
        gain=gain,
        inputs=("centre_bias",),
    )


def _pixels_to_log_density(network: nn.Module, factor: int, gain: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Return the authors' network as one of our picture: it halves pixels of 0 to 255 and enlarges its map.

    Both are to the nearest pixel: each value of ours is `factor` x `factor` equal ones of theirs.
    """
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    centre_bias = peers.values("centre_bias", (1, 1, 48, 64), gain)

    def run(image: Tensor) -> Tensor:
        size = (2 * image.shape[-2] // factor, 2 * image.shape[-1] // factor)
        bias = nn.functional.interpolate(centre_bias, size, mode="bilinear")[:, 0]
        bias = bias.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        double = image.repeat_interleave(2, -1).repeat_interleave(2, -2)
        log_density: Tensor = network((double * std + mean) * 255, bias)
        return log_density[..., ::factor, ::factor] + 2 * math.log(factor)

    return run


def _deepgaze2e_component(ours: str, theirs: str, number: int) -> dict[str, Any]:
    """Our chain of point-wise layers is their saliency network, then their fixation selection network."""
    saliency = f"{theirs}saliency_networks.{number}."
    selection = f"{theirs}fixation_selection_networks.{number}."
    finalizer = f"{theirs}finalizers.{number}."
    names: dict[str, Any] = {
        f"{ours}norms.3.": f"{selection}layernorm0.layernorm_part0.",
        f"{ours}layers.3.weight": f"{selection}conv0.conv_part0.weight",
        f"{ours}layers.3.bias": f"{selection}bias0.bias",
        f"{ours}norms.4.": f"{selection}layernorm1.",
        f"{ours}layers.4.weight": f"{selection}conv1.weight",
        f"{ours}layers.4.bias": f"{selection}bias1.bias",
        f"{ours}last.weight": f"{selection}conv2.weight",
        f"{ours}blur.log_sigma": {"log": f"{finalizer}gauss.sigma"},
        f"{ours}centre_bias.weight": f"{finalizer}center_bias_weight",
        f"{ours}centre_bias.log_density": "centre_bias",
    }
    for i in range(3):
        names |= {
            f"{ours}norms.{i}.": f"{saliency}layernorm{i}.",
            f"{ours}layers.{i}.weight": f"{saliency}conv{i}.weight",
            f"{ours}layers.{i}.bias": f"{saliency}bias{i}.bias",
        }
    return names


def make(name: str, checkout: Path) -> dict[str, Any]:
    """Return the content of a case, after comparing."""
    peer: Peer = globals()[name](checkout)
    tensors = {key: t for key, t in peer.network.state_dict().items() if t.is_floating_point()}
    state = {key: peers.values(key, tuple(t.shape), peer.gain) for key, t in tensors.items()}
    peer.network.load_state_dict(state, strict=False)
    case: dict[str, Any] = {
        "peer": peer.url,
        "commit": subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip(),
        "file": peer.file,
        "model": peer.model,
        "options": dict(peer.options),
        "names": dict(peer.names),
        "kept": sorted(peer.kept),
        "input_size": list(peer.input_size),
        "output_of": peer.output_of,
        "gain": peer.gain,
    }
    model, used, kept = peers.build(case)
    missing = {key for key in tensors if not key.startswith(peer.unused or ("\0",))} - used
    assert not missing, f"theirs that nothing of ours has: {sorted(missing)}"
    assert used <= set(tensors) | set(peer.inputs), f"names that they do not have: {sorted(used - set(tensors))}"
    assert kept == set(peer.kept), f"ours without a counterpart: {sorted(kept)}"
    peer.network.eval()
    with torch.inference_mode():
        theirs = peer.run(peers.image(peer.input_size))
    ours = peers.run(model, case)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    print(f"{name}: std {theirs.std():.4g}, largest difference {(ours - theirs).abs().max():.3g}")
    assert theirs.std() > 1e-2, "nearly constant: nothing is compared"
    return {**case, "output_shape": list(theirs.shape), "output": peers.sample(theirs)}


if __name__ == "__main__":
    content = make(sys.argv[1], Path(sys.argv[2]))
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    (peers.FOLDER / f"{sys.argv[1]}.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")
