"""One public implementation on a folder of images, for classic.py; runs in a Python that has OpenCV, without salzoo.

    python benchmarks/classic_peers.py spectral_residual|gbvs|itti|signature FOLDER CHECKOUT

Writes a map beside each image (.npy) and prints the milliseconds of one, wall (fastest) and CPU (median), as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def implementation(peer: str, checkout: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of a BGR image."""
    sys.path[:0] = [checkout, f"{checkout}/salienpy"]
    if peer == "spectral_residual":
        model = cv2.saliency.StaticSaliencySpectralResidual_create()
        return lambda picture: model.computeSaliency(picture)[1]
    if peer == "signature":
        import signature

        return signature.signature_saliency
    from saliency_models import gbvs, ittikochneibur

    return gbvs.compute_saliency if peer == "gbvs" else ittikochneibur.compute_saliency


def main(peer: str, folder: str, checkout: str) -> None:
    cv2.setNumThreads(1)
    function = implementation(peer, checkout)
    wall, cpu = [], []
    for path in sorted(Path(folder).glob("*.png")):
        picture = cv2.imread(str(path))
        start, used = time.perf_counter(), time.process_time()
        saliency = function(picture)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
        np.save(path.with_suffix(".npy"), np.float32(saliency))
    print(json.dumps({"wall_ms": round(1e3 * min(wall), 1), "cpu_ms": round(1e3 * statistics.median(cpu), 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
