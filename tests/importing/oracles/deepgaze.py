"""What the code of DeepGaze's authors says: `oracles/deepgaze.py CHECKOUT [NAME...]`, a clone of matthias-k/DeepGaze.

Needs torch, torchvision and SciPy. Writes `goldens/NAME.json`: deepgaze1, deepgaze2e, deepgaze3. The clone is imported
and run as it is, but for what it would download: its backbones start untrained, and every tensor is set by formula.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from scipy.ndimage import zoom
from scipy.special import logsumexp
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from importing import deepgaze, formula

SIZES = ((128, 192), (141, 155), (203, 301))
"""Of images: one that all strides divide, and odd ones."""


def public(checkout: Path, module: str) -> Any:
    """Import a module of the clone without running the code of its packages, which wants more than is needed."""
    name = "deepgaze_pytorch"
    package = types.ModuleType(name)
    package.__path__ = [str(checkout / name)]
    sys.modules.setdefault(name, package)
    return importlib.import_module(f"{name}.{module}")


def run(
    network: nn.Module, shapes: deepgaze.Shapes, size: tuple[int, int], template: Any, *history: torch.Tensor
) -> list[float]:
    """Return the log density of an image, sampled; the call is the one in the authors' README."""
    image = formula.image(*size)
    bias = zoom(template, (size[0] / 1024, size[1] / 1024), order=0, mode="nearest")
    bias -= logsumexp(bias)
    state = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert list(state.items()) == list(shapes.items()), "the writer of the tests does not write what the authors have"
    with torch.inference_mode():
        log_density = network(torch.tensor(image.transpose(2, 0, 1)[None]), torch.tensor(bias[None]), *history)
    assert abs(float(log_density.exp().sum()) - 1) < 1e-4
    print(size, f"std {log_density.std():.4g}")
    return formula.sample(log_density)


def fill(network: nn.Module, shapes: deepgaze.Shapes) -> nn.Module:
    """Set every tensor by formula."""
    network.load_state_dict({name: torch.from_numpy(np.asarray(a)) for name, a in deepgaze.values(shapes).items()})
    network.eval()
    return network


def cases(network: nn.Module, shapes: deepgaze.Shapes, sizes: Any) -> dict[str, list[float]]:
    """Return samples with the template and, for the first size, with the uniform density."""
    fill(network, shapes)
    found = {f"{h}x{w}": run(network, shapes, (h, w), deepgaze.centre_bias()) for h, w in sizes}
    h, w = sizes[0]
    return found | {f"{h}x{w}, uniform": run(network, shapes, (h, w), np.zeros((1024, 1024)))}


def deepgaze1(checkout: Path) -> dict[str, list[float]]:
    """Ask DeepGaze I."""
    return cases(public(checkout, "deepgaze1").DeepGazeI(pretrained=False), deepgaze.deepgaze1(), SIZES)


def deepgaze2e(checkout: Path) -> dict[str, list[float]]:
    """Ask DeepGaze IIE: two backbones with two components each, and all."""
    module = public(checkout, "deepgaze2e")
    small = module.MixtureModel([module.build_deepgaze_mixture(backbone, 2) for backbone in module.BACKBONES[:2]])
    found = {f"small, {key}": v for key, v in cases(small, deepgaze.deepgaze2e(range(2), 2), SIZES).items()}
    whole = module.DeepGazeIIE(pretrained=False)
    return found | {f"whole, {key}": v for key, v in cases(whole, deepgaze.deepgaze2e(), SIZES[1:]).items()}


def deepgaze3(checkout: Path) -> dict[str, list[float]]:
    """Ask DeepGaze III about histories of one to four fixations, the latest first."""
    network = fill(public(checkout, "deepgaze3").DeepGazeIII(pretrained=False), deepgaze.deepgaze3())
    found: dict[str, list[float]] = {}
    for (height, width), count in zip((*SIZES, SIZES[0]), (4, 2, 3, 1), strict=True):
        x, y = torch.tensor(deepgaze.history(height, width, count)).float().T[:, None]
        key = f"{height}x{width}, {count} fixations"
        found[key] = run(network, deepgaze.deepgaze3(), (height, width), deepgaze.centre_bias(), x, y)
    return found


def main(checkout: Path, *names: str) -> None:
    """Ask, and write down."""
    torch.hub.load = lambda _, name, **__: torchvision.models.get_model(name)
    shapenet = public(checkout, "features.shapenet")
    untrained = nn.Sequential(OrderedDict(module=torchvision.models.resnet50())).state_dict()
    shapenet.model_zoo.load_url = lambda *_, **__: {"state_dict": untrained}
    efficientnet = public(checkout, "features.efficientnet").EfficientNet
    efficientnet.from_pretrained = efficientnet.from_name
    commit = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()
    engine = f"github.com/matthias-k/DeepGaze {commit}, torch {torch.__version__}, CPU"
    for ask in (deepgaze1, deepgaze2e, deepgaze3):
        if not names or ask.__name__ in names:
            formula.write_golden(ask.__name__, engine, **ask(checkout))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
