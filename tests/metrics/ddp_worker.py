"""One of three processes, of which the first 1, 2 and 3 share the images: `python ddp_worker.py FOLDER RANK`."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
import torch.distributed as dist

from salzoo.metrics import METRICS, NSS, FixationPool, saliency_metrics

IMAGES = (5, 7, 13)
KEYS = tuple(k for k in METRICS if k != "emd" or importlib.util.find_spec("ot"))


def images(count: int) -> list[dict[str, torch.Tensor]]:
    """Return images of mixed sizes; one has no fixation, one prediction is constant."""
    draw = torch.Generator().manual_seed(count)
    found = []
    for i in range(count):
        size = ((24, 32), (33, 20), (17, 40))[i % 3]
        counts = (torch.rand(size, generator=draw) > 0.93).long() * torch.randint(1, 4, size, generator=draw)
        density = torch.rand(size, generator=draw)
        found.append(
            {
                "preds": torch.rand(size, generator=draw),
                "fixations": counts * (i != 2),
                "density": density / density.sum() * (i != 2),
                "baseline": torch.rand(size, generator=draw) + 0.1,
            }
        )
    found[1]["preds"] = torch.full_like(found[1]["preds"], 0.3)
    return found


def evaluate(count: int, rank: int = 0, world: int = 1) -> dict[str, float]:
    """Score this process's share of the images; return means, counts and skipped images over all processes."""
    data = images(count)
    pool = FixationPool(d["fixations"] for d in data)
    results = {}
    for include, options in (
        (KEYS, {}),
        (("auc_judd", "sauc", "nss", "ig"), {"convention": "pysaliency", "average": "fixation"}),
        (("auc_borji",), {"n_splits": 5}),
    ):
        metrics = saliency_metrics(include=include, **options, **({"pool": pool} if "sauc" in include else {}))
        for image in data[rank::world]:
            metrics.update(**{k: v[None] for k, v in image.items()})
        results |= {f"{key} {options}": value.item() for key, value in metrics.compute().items()}
    nss = NSS()
    for image in data[rank::world]:
        nss.update(image["preds"][None], image["fixations"][None])
    with nss.sync_context():
        return results | {"count": nss.nss_count.item(), "skipped": nss.nss_skipped.item()}


def main(folder: Path, rank: int) -> None:
    warnings.simplefilter("ignore")
    for world in range(rank + 1, 4):
        dist.init_process_group("gloo", init_method=f"file://{folder}/{world}", rank=rank, world_size=world)
        report = {"pid": os.getpid(), "world": dist.get_world_size()}
        report["results"] = {count: evaluate(count, rank, world) for count in IMAGES}
        dist.barrier()  # with torch 2.6 a process that leaves early takes the file of the others with it, who then hang
        dist.destroy_process_group()
        (folder / f"{world}-{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
