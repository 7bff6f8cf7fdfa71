"""FastSal: the four students in the authors' repository."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import Tensor

from salzoo.errors import WeightsError
from salzoo.importing.source import Files, Options

RULES = (
    (re.compile(r"ecer\.(.*)"), r"backbone.trunk.features.\1"),
    (re.compile(r"adaptation_layer\.layers\.(\d)\.(?:conv)?0\.(.*)"), r"adapters.\1.0.\2"),
    (re.compile(r"adp1\.inv_block\.(.*)"), r"mixers.0.\1"),
    (re.compile(r"adp2\.inv_block\.(.*)"), r"mixers.1.\1"),
    (re.compile(r"adp3\.inv_block\.(.*)"), r"mixers.2.\1"),
    (re.compile(r"adp4\.inv_block\.(.*)"), r"mixers.3.\1"),
    (re.compile(r"comb\.layers\.0\.[01]\.(.*)"), r"predict.\1"),
)
"""Their names to ours; files call the adapters' convolutions `conv0`, which the authors' loader shortens to `0`."""


def identify(files: Files) -> str:
    """Tell model A from C by its mixers; what a model learned from is in the name of its file alone.

    Raises:
        WeightsError: If it is no student, or its name does not say.
    """
    if "0.weight" in files.names and "60.weight" in files.names:
        raise WeightsError(
            f"{files.path} is the teacher of FastSal, a SalGAN that its authors trained anew (gen_42.pt), and no "
            "student: give one of the students, weights/salicon_A.pth and its kin"
        )
    if not any(name.startswith("comb.") for name in files.names):
        raise WeightsError(
            f"{files.path} has no read-out (comb.layers.0): a student before it learned to predict (*_pretrain.pth)? "
            "Give one of weights/salicon_A.pth, salicon_C.pth, coco_A.pth and coco_C.pth"
        )
    data = [name for name in ("salicon", "coco") if name in files.path.name.lower()]
    kind = "A" if any(name.startswith("adp") for name in files.names) else "C"
    if len(data) != 1:
        raise WeightsError(
            f"{files.path} is of model {kind}, but its name does not say what it learned from: give --release "
            f"salicon_{kind} or --release coco_{kind}"
        )
    return f"{data[0]}_{kind}"


def convert(files: Files, release: str, options: Options) -> Iterator[tuple[str, Tensor]]:
    """Yield our tensors, which only have other names."""
    for name in files.names:
        for theirs, ours in RULES:
            if found := theirs.fullmatch(name):
                yield found.expand(ours), files.take(name)
