"""DeepGaze I as its authors re-issued it for PyTorch: `deepgaze1.pth`, with the whole of AlexNet inside."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from salzoo.importing.rules import centre_bias_template
from salzoo.importing.source import Files, Options


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Return our tensors; nothing standardises the features over there."""
    for i in (0, 3, 6, 8, 10):
        for part in ("weight", "bias"):
            name = f"features.{i}.{part}"
            yield f"backbone.trunk.{name}", files.take(f"features.features.1.{name}")
    files.skip("features.features.1.classifier.")
    yield "standardise.0.mean", torch.zeros(256)
    yield "standardise.0.std", torch.ones(256)
    yield "readout.weight", files.take("readout_network.conv0.weight")
    yield "blur.log_sigma", files.take("finalizer.gauss.sigma").log()
    yield "centre_bias_weight", files.take("finalizer.center_bias_weight").squeeze()
    yield "centre_bias.log_density", centre_bias_template(options)
