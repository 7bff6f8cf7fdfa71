"""The tables of what checkpoints cost: time, work and memory, beside their worth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import commits, results, short

from salzoo._markdown import table

HUB = Path(__file__).parents[1] / "hub"
NONE = "–"


def costs_table() -> str:
    """Return what each checkpoint costs for an image of 600 x 800, beside its NSS."""
    latency, osie = results("latency"), results("osie")["rows"]
    times, work, memory = (latency[part] for part in ("600x800", "work", "memory"))
    header = [
        "",
        "NSS",
        f"{times['threads']} threads",
        "1 thread",
        "each of 8",
        "GFLOP",
        "of the peak",
        "memory",
        "weights",
    ]
    rows = []
    for name, milliseconds in sorted(times["milliseconds"].items(), key=lambda row: -osie[row[0]]["nss"]):
        file, used, found = HUB / name / "model.safetensors", memory["rows"].get(name, {}), work["rows"].get(name)
        rows.append(
            [
                f"`{name}`",
                f"{osie[name]['nss']:.2f}",
                f"{milliseconds:.0f} ms",
                *(worked(found, work) if found else [NONE] * 4),
                f"{used['megabytes']:.0f} MB" if used else NONE,
                f"{file.stat().st_size / 1e6:.1f} MB" if file.exists() else NONE,
            ]
        )
    peaks = sorted({round(row["peak_gflop_per_s"]) for row in work["rows"].values()})
    peak = f"{' and '.join(map(str, peaks))} GFLOP/s, that of a product of two float32 matrices of 2048 x 2048"
    about = (
        f"Commits {commits(times)} (time), {commits(work)} (work), {commits(memory)} "
        f"(memory, above the {memory['imports_mb']:.0f} MB of the imports). GFLOP are those of convolutions and matrix "
        f"products; the peak was {peak} on {work['threads']} threads."
    )
    return "\n".join([*table(header, rows), "", about])


def worked(found: dict[str, float], work: dict[str, Any]) -> list[str]:
    """Return the cells of a checkpoint's work."""
    most = work["threads"]
    one, eight = found["1 threads, batch 1"], found[f"{most} threads, batch 8"]
    cells = [f"{one:.0f} ms", f"{eight:.0f} ms"]
    if not found["gflop"]:
        return [*cells, NONE, NONE]
    share = 1000 * found["gflop"] / found[f"{most} threads, batch 1"] / found["peak_gflop_per_s"]
    return [*cells, f"{found['gflop']:.1f}", f"{share:.0%}"]


def peers_table() -> str:
    """Return what the authors' own networks cost beside the zoo's, for an image of 600 x 800."""
    latency = results("latency_peers")
    times, sizes = latency["time"], latency["size"]
    most = times["threads"]
    rows = []
    for name, found in sizes["rows"].items():
        taken = ["{:.0f} ms ({:.0f} to {:.0f})".format(*times["rows"][name][f"{n} threads"]) for n in (most, 1)]
        work = [f"{found['gflop']:.1f}", f"{found['million']:.1f}", f"{found['megabytes']:.0f} MB"]
        rows.append(
            [name if name in times["checkouts"] else f"`{name}`", "{} x {}".format(*found["input"]), *taken, *work]
        )
    header = ["", "input", f"{most} threads", "1 thread", "GFLOP", "million parameters", "memory"]
    clones = ", ".join(f"{title} at `{short(at)}`" for title, at in times["checkouts"].items())
    about = f"Commits {commits(times)} (time), {commits(sizes)} (the rest). The authors' repositories: {clones}."
    return "\n".join([*table(header, rows), "", about])


def half_table() -> str:
    """Return what bfloat16 changes: the time of an image of 600 x 800, and the density."""
    half = results("latency")["half"]
    rows = []
    for name, found in sorted(half["rows"].items(), key=lambda row: row[1]["ratio"][0]):
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*found["ratio"])
        moved = "{:.1%} (at most {:.1%})".format(*found["moved"])
        rows.append([f"`{name}`", f"{found['full']:.0f} ms", f"{found['half']:.0f} ms", ratio, moved])
    header = ["", "float32", "bfloat16", "time of it", "density moved"]
    return "\n".join([*table(header, rows), "", f"{half['threads']} threads, commit `{short(half['commit'])}`."])


def training_table() -> str:
    """Return the peak memory of each recipe's training."""
    memory = results("training")["memory"]
    found = {name: row for name, row in memory.items() if isinstance(row, dict) and "batch_size" in row}
    rows = [[f"`{name}`", str(row["batch_size"]), f"{row['megabytes'] / 1000:.1f} GB"] for name, row in found.items()]
    return "\n".join([*table(["", "images a step", "peak memory"], rows), "", f"Commit `{short(memory['commit'])}`."])


TABLES: dict[str, Callable[[], str]] = {
    "costs": costs_table,
    "peers": peers_table,
    "half": half_table,
    "training": training_table,
}
