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


@dataclass(frozen=True)
class Peer:
    """A public network beside ours.

    Args:
        url: Repository.
        file: Where the network is in it.
        model: Our `name.variant`.
        init_args: Arguments over those of the variant.
        network: The public network.
        names: Our name (or its beginning) to theirs.
        run: The public network's answer to our normalised picture.
        kept: Our tensors without a counterpart.
        unused: Beginnings of their names without a counterpart.
        input_size: (height, width) of the picture.
        output_of: What of ours `run` is compared with.
    """

    url: str
    file: str
    model: str
    init_args: Mapping[str, Any]
    network: nn.Module
    names: Mapping[str, Any]
    run: Callable[[Tensor], Tensor]
    kept: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    input_size: tuple[int, int] = (64, 96)
    output_of: Literal["network", "log_density"] = "network"
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
        init_args={"pretrained_backbone": False},
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
        init_args={"pretrained_backbone": False},
        network=network,
        names={"head.": "Sal_map."}
        | {
            f"{our}.backbone.trunk.features.{i}.": f"{their}.{i}."
            for our, their in streams.items()
            for i in convolutions
        },
        run=lambda image: network(image, nn.functional.avg_pool2d(image, 2)),
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
        init_args={"pretrained_backbone": False},
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


def deepgaze2e(checkout: Path) -> Peer:
    """DeepGaze IIE with two of its four backbones and two of their thirty components."""
    package = public(checkout, "deepgaze_pytorch.deepgaze2e")
    shapenet = public(checkout, "deepgaze_pytorch.features.shapenet")
    untrained = nn.Sequential(OrderedDict(module=torchvision.models.resnet50())).state_dict()
    shapenet.model_zoo.load_url = lambda *_, **__: {"state_dict": untrained}
    torch.hub.load = lambda _, name, **__: torchvision.models.get_model(name)
    chosen = (package.BACKBONES[0], package.BACKBONES[3])
    network = package.MixtureModel([package.build_deepgaze_mixture(config, components=2) for config in chosen])
    names: dict[str, Any] = {}
    for m, trunk in enumerate(("1.module.", "1.")):
        names[f"members.{m}.backbone.trunk."] = f"models.{m}.features.features.{trunk}"
        for c in range(2):
            names |= _deepgaze2e_component(f"members.{m}.components.{c}.", f"models.{m}.", c)
    unread = ("fc.", "layer4.2.bn2.", "layer4.2.conv3.", "layer4.2.bn3.")
    centre_bias = peers.values("centre_bias", (1, 1, 48, 64))[:, 0]
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def run(image: Tensor) -> Tensor:
        """They halve the picture and double the map, both to the nearest pixel."""
        double, bias = (x.repeat_interleave(2, -1).repeat_interleave(2, -2) for x in (image, centre_bias))
        log_density: Tensor = network((double * std + mean) * 255, bias)
        return log_density[..., ::2, ::2] + math.log(4)

    return Peer(
        url="https://github.com/matthias-k/DeepGaze",
        file="deepgaze_pytorch/deepgaze2e.py",
        model="deepgaze2e.paper",
        init_args={
            "backbones": ["resnet50.tv_in1k", "resnext50_32x4d.tv_in1k"],
            "taps": [[tap[tap.index("layer") :] for tap in config["used_features"]] for config in chosen],
            "components": 2,
            "pretrained_backbone": False,
        },
        network=network,
        names=names,
        run=run,
        unused=tuple(f"models.{m}.features.features.{t}{u}" for m, t in enumerate(("1.module.", "1.")) for u in unread),
        input_size=(48, 64),
        inputs=("centre_bias",),
    )


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
    peer.network.load_state_dict({key: peers.values(key, tuple(t.shape)) for key, t in tensors.items()}, strict=False)
    case: dict[str, Any] = {
        "peer": peer.url,
        "commit": subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip(),
        "file": peer.file,
        "model": peer.model,
        "init_args": dict(peer.init_args),
        "names": dict(peer.names),
        "kept": sorted(peer.kept),
        "input_size": list(peer.input_size),
        "output_of": peer.output_of,
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
