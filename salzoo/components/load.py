"""`salzoo.load`: a model by its name, its folder or its address on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from salzoo._precision import Precision, check_precision
from salzoo.checkpoint.hub import HubOptions
from salzoo.checkpoint.loading import load_reference
from salzoo.checkpoint.reference import parse_reference
from salzoo.components.devices import place
from salzoo.components.saliency_model import SaliencyModel


def load(
    name: str | Path,
    *,
    weights: str | None = "default",
    device: str | torch.device | None = None,
    precision: Precision = "32-true",
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **options: Any,
) -> SaliencyModel:
    """Return a model in eval mode.

    Args:
        name: `model`, `model.tag`, the path of a checkpoint folder (`model.safetensors` and `config.json`) or of a
            Lightning checkpoint, or `hf://ORG/REPO@REVISION` for a checkpoint on the Hugging Face Hub.
        weights: `default` for the published ones, or the tag of a checkpoint; None for an untrained network, which is
            the only way to get random weights.
        device: Where the model goes: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...; None for the CPU.
        precision: What the network computes in when it predicts: `32-true`, or `bf16-mixed` for bfloat16 where it can;
            densities differ a little. It pays on a processor with bfloat16 units (Intel's AMX, a recent GPU) and for
            networks of dense convolutions.
        revision: Branch, tag or commit on the Hub, instead of the one that the zoo pins or `@REVISION`.
        token: Token for private and gated repositories; None takes HF_TOKEN or the client's login.
        cache_dir: Where downloads are kept; None takes HF_HOME.
        local_files_only: Do not ask the Hub; as HF_HUB_OFFLINE=1.
        options: Arguments of the model's class and fields of its training config, over those of the checkpoint. With
            published weights, only those that change no tensor of the network (`lr=1e-4`, `tta=...`). With
            `weights=None`, a `backbone` and no tag, the variant of that backbone is taken if there is one.

    Returns:
        A LightningModule. Its `predict` takes any image.

    Raises:
        UnknownModelError: If there is no such model or tag; the message suggests near ones.
        WeightsError: If weights are missing or damaged, do not fit, or cannot be fetched.
        SpecError: If an option is unknown, of the wrong type, or changes the tensors that weights are published for,
            or the precision is unknown.
    """
    check_precision(precision)
    reference = parse_reference(name, revision)
    access = HubOptions(token, cache_dir, local_files_only)
    model = cast("SaliencyModel", place(load_reference(reference, weights, access, options), device))
    model.precision = precision
    return model
