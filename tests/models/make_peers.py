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
from salzoo.models import emlnet as emlnet_model


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


def deepgaze2(checkout: Path) -> Peer:
    """The authors' class for any DeepGaze II, with VGG-19's layers and the paper's read-out, all at stride 16.

    There the maps need no up-sampling, which they do to the nearest pixel and we bilinearly.
    """
    torch.hub.load = lambda _, name, **__: torchvision.models.get_model(name)
    modules = public(checkout, "deepgaze_pytorch.modules")
    trunk = public(checkout, "deepgaze_pytorch.features.vggnet").RGBvgg19()
    features = modules.FeatureExtractor(trunk, [f"1.{tap}" for tap in deepgaze2_model.VGG19_NODES])
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


def _pixels_to_log_density(network: nn.Module, factor: int) -> Callable[[Tensor], Tensor]:
    """Return the authors' network as one of our picture: it halves pixels of 0 to 255 and enlarges its map.

    Both are to the nearest pixel: each value of ours is `factor` x `factor` equal ones of theirs.
    """
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    centre_bias = peers.values("centre_bias", (1, 1, 48, 64))

    def run(image: Tensor) -> Tensor:
        size = (2 * image.shape[-2] // factor, 2 * image.shape[-1] // factor)
        bias = nn.functional.interpolate(centre_bias, size, mode="bilinear")[:, 0]
        bias = bias.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
        double = image.repeat_interleave(2, -1).repeat_interleave(2, -2)
        log_density: Tensor = network((double * std + mean) * 255, bias)
        return log_density[..., ::factor, ::factor] + 2 * math.log(factor)

    return run


def emlnet(checkout: Path) -> Peer:
    """The authors' two ResNet-50 and the decoder that joins them."""
    resnet = public(checkout, "resnet")
    network = nn.ModuleDict({"image": resnet.resnet50(None), "places": resnet.resnet50(None)})
    network["decoder"] = public(checkout, "decoder").Decoder((64, 96), 5, 5)
    network["decoder"].combined[2] = nn.Identity()  # ours returns logits
    names = {"combine.": "decoder.combined."}
    for member, (theirs, again) in enumerate((("image", "img_model"), ("places", "pla_model"))):
        names |= _emlnet_names(f"levels.{member}.", f"{theirs}.")
        names |= {f"again.{5 * member + i}.": f"decoder.{again}.{i}." for i in range(5)}
    return Peer(
        url="https://github.com/SenJia/EML-NET-Saliency",
        file="decoder.py",
        model="emlnet.paper",
        options={"blur": 0.0},
        network=network,
        names=names,
        run=lambda image: network["decoder"]([network[key](image, decode=True) for key in ("image", "places")]),
        unused=("image.combined.", "places.combined."),
    )


def emlnet_one(checkout: Path) -> Peer:
    """One of the authors' backbones with a combination of its own."""
    network = public(checkout, "resnet").resnet50(None)
    network.combined[2] = nn.Identity()  # ours returns logits
    return Peer(
        url="https://github.com/SenJia/EML-NET-Saliency",
        file="resnet.py",
        model="emlnet.paper",
        options={
            "backbones": ["resnet50.tv_in1k"],
            "feature_nodes": [list(emlnet_model.RESNET50_NODES)],
            "stride": 2,
            "blur": 0.0,
        },
        network=network,
        names={"combine.": "combined.", **_emlnet_names("levels.0.", "")},
        run=network,
    )


def _emlnet_names(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}backbone.trunk.": theirs} | {f"{ours}readouts.{i}.": f"{theirs}output{i}." for i in range(5)}


def transalnet(checkout: Path) -> Peer:
    """TranSalNet with ResNet-50."""
    trunk = {"conv1.": "0.", "bn1.": "1.", **{f"layer{i}.": f"{3 + i}." for i in range(1, 5)}}
    return _transalnet(checkout, "TranSalNet_Res", "transalnet.paper", trunk)


def transalnet_dense(checkout: Path) -> Peer:
    """TranSalNet with DenseNet-161."""
    trunk = {"features.conv0.": "0.", "features.norm0.": "1."}
    trunk |= {f"features.denseblock{i}.": f"{2 + 2 * i}." for i in range(1, 5)}
    trunk |= {f"features.transition{i}.": f"{3 + 2 * i}." for i in range(1, 4)}
    return _transalnet(checkout, "TranSalNet_Dense", "transalnet.paper_dense", trunk)


def _transalnet(checkout: Path, file: str, model: str, trunk: Mapping[str, str]) -> Peer:
    """Their class with tables of positions for inputs of 64 x 96."""
    sys.path.insert(0, str(checkout))
    importlib.import_module("utils.resnet").resnet50 = lambda pretrained: torchvision.models.resnet50()
    importlib.import_module("utils.densenet").densenet161 = lambda pretrained: torchvision.models.densenet161()
    network = importlib.import_module(file).TranSalNet()
    network.decoder.sigmoid = nn.Identity()  # ours returns logits
    names: dict[str, Any] = {f"backbone.trunk.{a}": f"encoder.encoder.{b}" for a, b in trunk.items()}
    for i in range(6):
        names |= {f"stages.{i}.0.": f"decoder.conv{i + 1}.", f"stages.{i}.1.": f"decoder.batchnorm{i + 1}."}
    names["predict."] = "decoder.conv7."
    for i, width in enumerate((768, 768, 512)):
        theirs = f"decoder.TransEncoder{i + 1}."
        encoder = network.get_submodule(theirs[:-1])
        encoder.position_embeddings = nn.Parameter(torch.zeros(1, 6 << 2 * i, width))
        names[f"encoders.{i}.positions"] = f"{theirs}position_embeddings"
        names[f"encoders.{i}.project."] = f"{theirs}patch_embeddings."
        names[f"encoders.{i}.layers.2."] = f"{theirs}transformer_encoder.encoder_norm."
        for layer in range(2):
            names |= _transformer_layer(
                f"encoders.{i}.layers.{layer}.", f"{theirs}transformer_encoder.layer.{layer}.", width
            )
    return Peer(
        url="https://github.com/LJOVO/TranSalNet",
        file=f"{file}.py",
        model=model,
        options={"grid": [2, 3]},
        network=network,
        names=names,
        run=network,
    )


def _transformer_layer(ours: str, theirs: str, width: int) -> dict[str, Any]:
    """PyTorch's transformer layer keeps query, key and value in one tensor."""
    parts = ("query", "key", "value")
    return {
        f"{ours}self_attn.in_proj_weight": {"cat": {f"{theirs}attn.{p}.weight": [width, width] for p in parts}},
        f"{ours}self_attn.in_proj_bias": {"cat": {f"{theirs}attn.{p}.bias": [width] for p in parts}},
        f"{ours}self_attn.out_proj.": f"{theirs}attn.out.",
        f"{ours}linear1.": f"{theirs}ffn.fc1.",
        f"{ours}linear2.": f"{theirs}ffn.fc2.",
        f"{ours}norm1.": f"{theirs}attention_norm.",
        f"{ours}norm2.": f"{theirs}ffn_norm.",
    }


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
