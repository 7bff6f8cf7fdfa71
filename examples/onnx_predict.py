"""Where people look, by onnxruntime alone: `python onnx_predict.py model.onnx photo.jpg` writes photo.npy and
photo.saliency.png.

Made once, elsewhere: `salzoo export deepgaze2e -o model.onnx`. Here: `pip install onnxruntime numpy pillow`.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def main(model: str, photo: str) -> None:
    image = ImageOps.exif_transpose(Image.open(photo)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    pixels = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255
    runtime = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (log_density,) = runtime.run(["log_density"], {"image": pixels})
    density = np.exp(log_density[0])
    shown = (density - density.min()) / max(np.ptp(density), 1e-12)
    numbers, map_ = Path(photo).with_suffix(".npy"), Path(photo).with_suffix(".saliency.png")
    np.save(numbers, density)
    Image.fromarray((255 * shown + 0.5).astype(np.uint8)).save(map_)
    print(numbers, map_, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:3]) if len(sys.argv) == 3 else sys.exit(__doc__)
