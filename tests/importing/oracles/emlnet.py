"""What the code of EML-NET's authors says: `oracles/emlnet.py CHECKOUT`, a clone of SenJia/EML-NET-Saliency.

Needs torch and scikit-image. Writes `goldens/emlnet.json`. The clone is imported and run as it is; every tensor is
set by formula.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
from skimage.filters import gaussian
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from importing import emlnet, formula

SMALL, WHOLE = (96, 128), (480, 640)
"""Of images: one for a test of a second, and the authors' own size, so that nothing is resized."""


def fill(network: nn.Module, shapes: emlnet.Shapes, seed: str) -> nn.Module:
    """Set every tensor by formula."""
    state = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert state == shapes, "the writer of the tests does not write what the authors have"
    network.load_state_dict({name: torch.from_numpy(a) for name, a in emlnet.values(shapes, seed).items()})
    return network.eval()


def pixels(size: tuple[int, int]) -> Any:
    """Return an image as their `ToTensor` has it."""
    return torch.from_numpy(formula.image(*size).transpose(2, 0, 1)[None]).float() / 255


def main(checkout: Path) -> None:
    """Run the networks and their post-processing, and write the golden."""
    sys.path.insert(0, str(checkout))
    import decoder
    import resnet

    image, places = (fill(resnet.resnet50(None), emlnet.backbone(), seed) for seed in ("imagenet", "places"))

    def combined(size: tuple[int, int]) -> Any:
        joined = fill(decoder.Decoder(size, 5, 5), emlnet.decoder(), "decoder")
        return joined([image(pixels(size), decode=True), places(pixels(size), decode=True)])

    with torch.inference_mode():
        one, two, whole = image(pixels(SMALL)), combined(SMALL), combined(WHOLE)[0, 0].numpy()
    blurred = gaussian(whole, 5)
    stretched = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    print("std of logits", *(float(np.std(np.log(p / (1 - p)))) for p in (one.numpy(), two.numpy(), whole)))
    commit = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()
    formula.write_golden(
        "emlnet",
        f"the authors' PyTorch code ({commit[:7]}) on torch {torch.__version__}, blur of scikit-image "
        f"{skimage.__version__}",
        one=formula.sample(one),
        combined=formula.sample(two),
        blurred=formula.sample(blurred),
        stretched=formula.sample(stretched),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
