"""One line of the zoo after the other on an accelerator, beside the processor: `python benchmarks/gpu.py [NAME...]`.

    python benchmarks/gpu.py --device cuda
    python benchmarks/gpu.py deepgaze2 salgan --device cuda --only densities

`densities`: the largest difference of a log density between the device and the processor, in float32 without TF32, and
that of a density under autocast. `throughput`: images of 600 x 800 a second from paths to maps, over those of the bare
network on batches that lie on the device. `steps`: images a second of forward, loss, backward and optimiser. `metrics`:
the largest difference of each metric between maps on the device and on the processor.

Each part is kept in results/gpu.json under the name of the chip as it is done.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import record

import salzoo
from salzoo.components.saliency_model import SaliencyModel
from salzoo.images.samples import sample_images
from salzoo.metrics import saliency_metrics
from salzoo.prediction.files import predict_files
from salzoo.registry import read_spec

SIZE = (600, 800)
SCORES = ("auc_judd", "nss", "cc", "sim", "kld", "ig")
BATCH, ROUNDS = 8, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every model with weights")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--print", action="store_true", help="write no results")
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(arguments.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    names = arguments.names or [name for name in salzoo.list_models(trained=True) if read_spec(name).kind == "image"]
    for part in arguments.only:
        measure, *targets = PARTS[part]
        found = measure(names, device)
        worst = {key: max(row[key] for row in found.values() if key in row) for key, *_ in targets}
        record("gpu", f"{part} on {chip}", {**worst, "rows": found}, *targets, keep=not arguments.print)


def images(count: int) -> list[np.ndarray]:
    """Return so many sample photographs of 600 x 800."""
    samples = [np.asarray(image.convert("RGB").resize(SIZE[::-1])) for image in sample_images().values()]
    return [samples[i % len(samples)] for i in range(count)]


def densities(names: Sequence[str], device: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    for name in names:
        model, seen = salzoo.load(name), images(4)
        here = [each.log_density for each in model.predict(seen)]
        there = [each.log_density for each in model.predict(seen, device=device)]
        with torch.autocast(device.type):
            half = [each.log_density for each in model.predict(seen)]
        found[name] = {"log_difference": furthest(here, there), "autocast_difference": furthest(here, half)}
        print(name, found[name], flush=True)
    return found


def furthest(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> float:
    """Return the largest difference where at least a millionth of the highest density is."""
    return max(float(np.abs(a - b)[a > a.max() - np.log(1e6)].max()) for a, b in zip(one, other, strict=True))


def throughput(names: Sequence[str], device: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{i:03d}.jpg") for i in range(8 * BATCH)]
        for path, image in zip(paths, images(len(paths)), strict=True):
            Image.fromarray(image).save(path, quality=92)
        for name in names:
            model = salzoo.load(name, device=device)
            batch = model.preprocess.resize(stacked(images(BATCH), device))
            bare = rate(lambda m=model, x=batch: network(m, x), BATCH, device)
            output = Path(folder, "maps", name)
            whole = rate(lambda m=model, o=output: predict_files(m, paths, o, batch_size=BATCH), len(paths), device)
            found[name] = {"folder": whole, "network": bare, "folder_over_network": whole / bare}
            print(name, found[name], flush=True)
    return found


def stacked(arrays: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).to(device)


def network(model: SaliencyModel, batch: torch.Tensor) -> None:
    with torch.inference_mode():
        model(batch)


def rate(run: Callable[[], object], count: int, device: torch.device) -> float:
    """Return how many a second, the best of some rounds after one to warm up."""
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return count / min(seconds[1:])


def steps(names: Sequence[str], device: torch.device) -> dict[str, dict[str, float]]:
    found = {}
    for name in (name for name in names if read_spec(name).training == "gradient"):
        model = salzoo.load(name, device=device).train()
        model.configure_model()
        optimiser = torch.optim.AdamW(model.parameter_groups(), lr=1e-6)
        batch = truth(BATCH, model.preprocess.size or SIZE, device)

        def step(m: Any = model, o: Any = optimiser, b: Any = batch) -> None:
            o.zero_grad()
            m.loss(m(b["image"]), b).backward()
            o.step()

        found[name] = {"images_per_second": rate(step, BATCH, device)}
        print(name, found[name], flush=True)
    return found


def truth(count: int, size: tuple[int, int], device: torch.device) -> dict[str, torch.Tensor]:
    """Return a batch of noise with 20 fixations an image."""
    random = torch.Generator().manual_seed(0)
    fixations = torch.zeros(count, size[0] * size[1], dtype=torch.int64)
    fixations[:, torch.randperm(size[0] * size[1], generator=random)[:20]] = 1
    density = torch.rand(count, *size, generator=random)
    batch = {
        "image": torch.rand(count, 3, *size, generator=random),
        "fixations": fixations.view(count, *size),
        "density": density / density.sum((1, 2), keepdim=True),
    }
    return {key: tensor.to(device) for key, tensor in batch.items()}


def metrics(_: Sequence[str], device: torch.device) -> dict[str, dict[str, float]]:
    found = []
    for place in (torch.device("cpu"), device):
        given = truth(4, (120, 160), torch.device("cpu"))
        given["preds"] = given.pop("image").mean(1)
        given["baseline"] = torch.full_like(given["preds"], 1 / given["preds"][0].numel())
        collection = saliency_metrics(include=SCORES).to(place)
        collection.update(**{key: tensor.to(place) for key, tensor in given.items()})
        found.append(collection.compute())
    return {key: {"difference": abs(float(found[0][key]) - float(found[1][key]))} for key in SCORES}


PARTS: dict[str, tuple[Any, ...]] = {
    "densities": (densities, ("log_difference", "<=", 1e-4)),
    "throughput": (throughput,),
    "steps": (steps,),
    "metrics": (metrics, ("difference", "<=", 1e-4)),
}


if __name__ == "__main__":
    main()
