"""Writes `resample.json`, what OpenCV's `resize` and SciPy's `zoom` make of a small image.

Needs OpenCV 4 and SciPy (written by `opencv-python-headless` 4.14.0 and `scipy` 1.17.1), which are no dependencies: run
it from an environment of its own, `python tests/golden/make_resample.py`.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import zoom

KINDS = {
    "bilinear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
SIZES = [(4, 5), (9, 17), (5, 13), (1, 1)]
"""Smaller, larger, one side of each, and a single pixel."""

image = np.random.default_rng(0).integers(0, 256, (7, 11), dtype=np.uint8)
content = {"image": image.tolist(), "opencv": cv2.__version__, "cases": []}
for kind, flag in KINDS.items():
    for size in SIZES:
        of_bytes = cv2.resize(image, size[::-1], interpolation=flag)
        of_floats = cv2.resize(np.float32(image) / 255, size[::-1], interpolation=flag)
        case = {"kind": kind, "size": size, "uint8": of_bytes.ravel().tolist()}
        content["cases"].append(case | {"float": [round(float(value), 6) for value in of_floats.ravel()]})
for size in SIZES:
    zoomed = zoom(image / 255, (size[0] / 7, size[1] / 11), order=3, mode="mirror")
    case = {"kind": "spline", "size": size, "uint8": (zoomed.clip(0, 1) * 255).round().astype(int).ravel().tolist()}
    content["cases"].append(case | {"float": [round(float(value), 6) for value in zoomed.ravel()]})
lines = ",\n".join(json.dumps(case) for case in content.pop("cases"))
text = json.dumps(content)[:-1] + f', "cases": [\n{lines}\n]}}\n'
(Path(__file__).parent / "resample.json").write_text(text, encoding="utf-8")
