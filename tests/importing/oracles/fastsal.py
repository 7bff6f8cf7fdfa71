"""Writes `goldens/fastsal.json`: `python fastsal.py CHECKOUT`, with torch and torchvision, of the authors' own classes.

CHECKOUT is that of feiyanhu/FastSal. What torchvision no longer has under its old names is put there first, and the
constructor's download of ImageNet weights is left out.
"""

from __future__ import annotations

import sys
import types
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from importing import fastsal, formula


def main(checkout: Path) -> None:
    """Fill both models by formula, run them, and write names, shapes and what comes out."""
    from torchvision.models import mobilenetv2
    from torchvision.ops.misc import Conv2dNormActivation

    old = types.ModuleType("torchvision.models.mobilenet")
    old.ConvBNReLU = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
    old.InvertedResidual = mobilenetv2.InvertedResidual
    sys.modules[old.__name__] = old
    torchvision.ops.misc.Conv2d = nn.Conv2d
    torchvision.models.mobilenet_v2 = lambda pretrained: mobilenetv2.mobilenet_v2()
    sys.path.insert(0, str(checkout))
    from model.fastSal import fastsal as student

    tensors, logits = {}, {}
    for kind in ("A", "C"):
        network = student(pretrain_mode=False, model_type=sys.intern(kind)).eval()
        state = network.state_dict()
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        assert fastsal.encoder().items() <= shapes.items()
        tensors[kind] = [[name, shape] for name, shape in shapes.items() if not name.startswith("ecer.")]
        network.load_state_dict(
            {name: torch.from_numpy(np.asarray(fastsal.constant(name, shape))) for name, shape in shapes.items()}
        )
        with torch.no_grad():
            logits[kind] = formula.sample(network(torch.from_numpy(fastsal.image())).numpy())
        print(kind, min(logits[kind]), max(logits[kind]))
    formula.write_golden(
        "fastsal",
        f"the authors' classes (feiyanhu/FastSal ffba9a31) on torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}",
        tensors=tensors,
        logits=logits,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
