"""What the code of TranSalNet's authors says: `oracles/transalnet.py CHECKOUT`, a clone of LJOVO/TranSalNet.

pip install torch torchvision 'opencv-python-headless<5' scikit-image pandas
Writes `goldens/transalnet.json`. The clone is imported and run as it is, but its trunks start untrained, and every
tensor is set by formula. The map is not rounded to 8 bits on its way to their post-processing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision

sys.path.insert(0, str(Path(__file__).parents[2]))

from importing import formula, transalnet

WHOLE, PADDED = (288, 384), (144, 160)
"""Sizes of images: their own, and one that is doubled and gets a frame at the left and the right."""


def run(network: Any, process: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Return the map at their size and at the image's, as the cells of their notebook do."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "image.png")
        cv2.imwrite(path, formula.image(*size)[..., ::-1])
        pixels = np.expand_dims(np.transpose(process.preprocess_img(path) / 255.0, (2, 0, 1)), axis=0)
        with torch.inference_mode():
            found = network(torch.from_numpy(pixels).float()).squeeze().numpy()
        return found, process.postprocess_img(found, path)


def main(checkout: Path) -> None:
    """Run both networks and write the golden."""
    sys.path.insert(0, str(checkout))
    import utils.data_process as process
    import utils.densenet
    import utils.resnet

    utils.resnet.resnet50 = lambda pretrained: torchvision.models.resnet50()
    utils.densenet.densenet161 = lambda pretrained: torchvision.models.densenet161()
    import TranSalNet_Dense
    import TranSalNet_Res

    found = {}
    for name, module, shapes in (
        ("resnet50", TranSalNet_Res, transalnet.with_resnet50()),
        ("densenet161", TranSalNet_Dense, transalnet.densenet161()),
    ):
        network = module.TranSalNet()
        state = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        assert state == shapes, "the writer of the tests does not write what the authors have"
        network.load_state_dict({key: torch.from_numpy(a) for key, a in transalnet.values(shapes).items()})
        network.eval()
        whole, _ = run(network, process, WHOLE)
        padded, restored = run(network, process, PADDED)
        print(name, "std", whole.std(), padded.std(), restored.std(), restored.shape)
        found[name] = formula.sample(whole)
        found[f"{name}_padded"] = formula.sample(padded)
        found[f"{name}_restored"] = formula.sample(restored)
    commit = subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()
    engine = f"the authors' PyTorch code ({commit[:7]}) on torch {torch.__version__}, OpenCV {cv2.__version__}"
    formula.write_golden("transalnet", engine, **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
