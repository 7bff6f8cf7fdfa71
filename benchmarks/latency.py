"""How long one image of 600 x 800 takes, from array to map, and how much memory, with each checkpoint.

    python benchmarks/latency.py [NAME ...] [--only time memory work bare half]

`time`: medians of 9 in milliseconds, on as many threads as torch takes. A quiet machine is wanted. `memory`: the peak
of a fresh process that loads the checkpoint and predicts one image, above its peak after the imports (Linux); and
millions of parameters. `work`: milliseconds an image on one and on all threads, one image and eight at once, medians
of 3; and the GFLOP of an image, beside the GFLOP a second that a product of two float32 matrices of 2048 x 2048 reaches
here. `bare`: how many times as long as its backbones alone, on the same batches, a checkpoint takes: median, least and
most of 15 rounds in which they take turns. `half`: the same of `precision="bf16-mixed"` over float32, and the share of
the density that it moves in the sample images. With names, the others keep what was found of them.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from record import RESULTS, commit, record
from table import loadable
from torch import nn

import salzoo
from salzoo._malloc import keep_memory
from salzoo.backbones import TimmBackbone
from salzoo.images.samples import sample_images

RUNS, WARM = 9, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--fresh", metavar="NAME", help=argparse.SUPPRESS)  # the process whose memory is measured
    arguments = parser.parse_args()
    keep_memory()  # as the command does
    if arguments.fresh:
        print(json.dumps(measure(lambda: checkpoint(arguments.fresh))[1]))
        return
    names = arguments.names or loadable()
    for part in arguments.only:
        PARTS[part](names, not arguments.names)


class Subject(NamedTuple):
    """What is measured: a network, its way from a uint8 picture to a map, and the same without fused layers."""

    network: nn.Module
    predict: Callable[[Any], Any]
    infer: Callable[[np.ndarray], Any]


def checkpoint(name: str, **options: Any) -> Subject:
    """Return a model of the zoo; options as `salzoo.load` takes them."""
    model = salzoo.load(name, **options)
    return Subject(model.network, model.predict, lambda picture: model.infer([torch.tensor(picture).permute(2, 0, 1)]))


def image() -> np.ndarray:
    return np.asarray(sample_images()["astronaut"].resize((800, 600)))


def times(names: list[str], whole: bool) -> None:
    found = {name: milliseconds(checkpoint(name), image()) for name in names}
    old = {} if whole else before("600x800")
    at = old.get("commits", {}) | dict.fromkeys(found, commit())
    rows = {"milliseconds": old.get("milliseconds", {}) | found, "commits": at}
    record("latency", "600x800", {"threads": torch.get_num_threads(), **rows})


def milliseconds(
    subject: Subject, pictures: np.ndarray | list[np.ndarray], runs: int = RUNS, warm: int = WARM
) -> float:
    each = []
    for _ in range(warm + runs):
        start = time.perf_counter()
        subject.predict(pictures)
        each.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(each[warm:]), 1)


def work(names: list[str], whole: bool) -> None:
    """Record each row as it is done."""
    most = torch.get_num_threads()
    old: dict[str, Any] = {} if whole else before("work")
    kept, at = old.get("rows", {}), old.get("commits", {})
    peak_gflop_per_s = peak_rate()
    for name in names:
        subject, at[name] = checkpoint(name), commit()
        kept[name] = {"gflop": gigaflop(subject), "peak_gflop_per_s": peak_gflop_per_s}
        for threads in sorted({1, most}):
            torch.set_num_threads(threads)
            for batch in (1, 8):
                an_image = milliseconds(subject, [image()] * batch, runs=3) / batch
                kept[name][f"{threads} threads, batch {batch}"] = round(an_image, 1)
        record("latency", "work", {"threads": most, "rows": kept, "commits": at})


def bare(names: list[str], whole: bool) -> None:
    """Record each row that has backbones as it is done."""
    kept: dict[str, Any] = {} if whole else before("bare").get("rows", {})
    for name in names:
        subject = checkpoint(name)
        backbones = [module for module in subject.network.modules() if isinstance(module, TimmBackbone)]
        if not backbones:
            continue
        kept[name] = turns(
            predict=partial(subject.predict, image()), bare=partial(repeat, calls_of(backbones, subject))
        )
        record("latency", "bare", {"threads": torch.get_num_threads(), "rows": kept})


def half(names: list[str], whole: bool) -> None:
    """Record each row of a network as it is done."""
    kept: dict[str, Any] = {} if whole else before("half").get("rows", {})
    pictures = list(sample_images().values())
    for name in names:
        model, halved = salzoo.load(name), salzoo.load(name, precision="bf16-mixed")
        if not list(model.parameters()):
            continue
        both = zip(model.predict(pictures), halved.predict(pictures), strict=True)
        moved = sorted(float(np.abs(a.density - b.density).sum()) / 2 for a, b in both)
        kept[name] = turns(half=partial(halved.predict, image()), full=partial(model.predict, image()))
        kept[name]["moved"] = [round(share, 4) for share in (statistics.median(moved), moved[-1])]
        record("latency", "half", {"threads": torch.get_num_threads(), "rows": kept})


def calls_of(backbones: list[TimmBackbone], subject: Subject) -> list[tuple[TimmBackbone, Any]]:
    """Return what each backbone is given in one prediction, in turn."""
    calls = []
    hooks = [one.register_forward_pre_hook(lambda one, given: calls.append((one, *given))) for one in backbones]
    subject.predict(image())
    for hook in hooks:
        hook.remove()
    return calls


def repeat(calls: list[tuple[TimmBackbone, Any]]) -> None:
    for backbone, given in calls:
        backbone(given)


def turns(**sides: Callable[[], object]) -> dict[str, Any]:
    """Return the median milliseconds of two that take turns, and the median, least and most of the first's ratio."""
    rounds: dict[str, list[float]] = {side: [] for side in sides}
    with torch.inference_mode():
        for _ in range(WARM + 15):
            for side, run in sides.items():
                start = time.perf_counter()
                run()
                rounds[side].append(1000 * (time.perf_counter() - start))
    first, second = (each[WARM:] for each in rounds.values())
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    taken = {side: round(statistics.median(each[WARM:]), 1) for side, each in rounds.items()}
    return taken | {"ratio": [round(ratio, 3) for ratio in (statistics.median(ratios), ratios[0], ratios[-1])]}


def gigaflop(subject: Subject) -> float:
    """Return the products and sums of convolutions and matrix products in one prediction; of filters by FFT none."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():  # fused layers are of inference mode alone
        subject.infer(image())
    return round(counter.get_total_flops() / 1e9, 2)


def peak_rate() -> float:
    """Return the GFLOP a second of a matrix product on all threads, the best of ten."""
    a, seconds = torch.rand(2048, 2048), []
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return round(2 * 2048**3 / min(seconds) / 1e9, 1)


def memory(names: list[str], whole: bool) -> None:
    """Record each row as it is done, and the median over all of the peak after the imports."""
    words = [sys.executable, __file__, "--fresh"]
    old = {} if whole else before("memory")
    kept, at = old.get("rows", {}), old.get("commits", {})
    imports = []
    for name in names:
        found = json.loads(subprocess.run([*words, name], check=True, stdout=subprocess.PIPE).stdout)
        imports.append(found.pop("imports"))
        kept[name] = found
        at[name] = commit()
        record("latency", "memory", {"imports_mb": round(statistics.median(imports)), "rows": kept, "commits": at})


def measure(make: Callable[[], Subject]) -> tuple[Subject, dict[str, float]]:
    """Return what is made, with the peak of this process after the imports, what comes on top of it, and parameters."""
    import lightning.pytorch  # noqa: F401
    import timm  # noqa: F401

    picture = image()
    salzoo.load("uniform").predict(picture[:8, :8])
    imports = peak()
    subject = make()
    with torch.inference_mode():
        subject.predict(picture)
    millions = sum(parameter.numel() for parameter in subject.network.parameters()) / 1e6
    return subject, {"imports": imports, "megabytes": round(peak() - imports, 1), "million": round(millions, 3)}


def peak() -> float:
    """Return the largest resident set that this process had, in MB; `ru_maxrss` would begin with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e6


def before(part: str, file: str = "latency") -> dict[str, Any]:
    """Return what was found the last time."""
    path = RESULTS / f"{file}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get(part, {}) if path.exists() else {}
    return found


PARTS: dict[str, Callable[[list[str], bool], None]] = {
    "time": times,
    "memory": memory,
    "work": work,
    "bare": bare,
    "half": half,
}

if __name__ == "__main__":
    main()
