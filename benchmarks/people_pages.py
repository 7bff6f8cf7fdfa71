"""The tables that measure models by people: their gold standard, calibration, kinds of images, unseen sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from record import results, short

from salzoo._markdown import table

NONE = "–"


def gold_table() -> str:
    """Return how far people predict each other, by their number."""
    content = results("gold")
    numbers = sorted({int(number) for found in content["sets"].values() for number in found["bits"]})
    lines = [
        ["set", "images", *(f"{number} others" if number > 1 else "1 other" for number in numbers), "all, extrapolated"]
    ]
    for name, found in content["sets"].items():
        bits = [f"{found['bits'][str(n)]:.2f}" if str(n) in found["bits"] else NONE for n in numbers]
        lines.append([name, str(found["images"]), *bits, "{:.2f} to {:.2f}".format(*found["limits"])])
    return "\n".join(
        [*table(lines[0], lines[1:]), "", f"Test split, seed {content['seed']}, commit `{short(content['commit'])}`."]
    )


def calibration_table() -> str:
    """Return how far the densities of models mean what they say."""
    header = ["", "error", "within 50 %", "within 80 %", "within 95 %", "expected bit", "measured bit"]
    header += ["temperature", "error with it", "measured bit with it"]
    rows = []
    for name, content in results("calibration").items():
        for dataset, found in content["sets"].items():
            inside = [f"{found['looked_at'][level]:.1%}" for level in ("0.5", "0.8", "0.95")]
            bits = [f"{found[key]:.2f}" for key in ("expected_bits", "measured_bits")]
            tempered = found["tempered"]
            told = [f"{tempered['temperature']:.2f}", f"{tempered['error']:.3f}", f"{tempered['measured_bits']:.2f}"]
            rows.append([f"`{name}`, {dataset}", f"{found['error']:.3f}", *inside, *bits, *told])
    commits = sorted({short(content["commit"]) for content in results("calibration").values()})
    return "\n".join([*table(header, rows), "", f"Test splits, commit `{'`, `'.join(commits)}`."])


def kinds_table() -> str:
    """Return what models explain of each kind of image; a kind of too few images has no numbers."""
    content = results("kinds")
    sets = {name: found["kinds"] for name, found in content.items()}
    first = next(iter(sets.values()))
    models = [row for row in first["all"]["rows"] if row != "gold"]
    rows = []
    for name, kinds in sets.items():
        for kind, found in kinds.items():
            if found["images"]:
                cells = [explained(found["rows"].get(row, {}).get("explained")) for row in models]
                bits = f"{found['rows']['gold']['ig'][0]:.2f}" if found["rows"] else NONE
                rows.append([name, kind, str(found["images"]), bits, *cells])
    header = ["set", "kind", "images", "people, bit", *(f"`{row}`" for row in models)]
    absent = [kind for kind in first if not any(kinds[kind]["images"] for kinds in sets.values())]
    none = f" No test image is {' or '.join(absent)}." if absent else ""
    commits = ", ".join(sorted({f"`{short(found['commit'])}`" for found in content.values()}))
    return "\n".join([*table(header, rows), "", f"Test splits, commit {commits}.{none}"])


def degraded_table() -> str:
    """Return what models explain when they are shown worse images, and how much more that is than of the images."""
    content = results("degraded")
    rows = []
    for model in content["models"]:
        for way in content["ways"]:
            row = f"{model}, {way}"
            cells = [explained(found["explained"][row]) for found in content["sets"].values()]
            changes = [found["change"].get(row) for found in content["sets"].values()]
            cells = [f"{cell} ({change(more)})" if more else cell for cell, more in zip(cells, changes, strict=True)]
            rows.append([f"`{model}`", way, *cells])
    sets = [f"{name}, {found['images']} of {found['of']}" for name, found in content["sets"].items()]
    about = "In brackets: the difference from the images as they are, paired by image."
    about += f" Images of `val`, evenly spread; commit `{short(content['commit'])}`."
    return "\n".join([*table(["", "shown", *sets], rows), "", about])


def leave_one_out_table() -> str:
    """Return what models explain of a set that they never saw, beside those that were fitted to all sets."""
    rows, commits, options = [], set(), set()
    for model, sets in results("leave_one_out").items():
        for name, found in sets.items():
            without, full = (found["rows"][row] for row in ("without", "with"))
            cost, low, high = found["difference"]
            cells = [explained(row["explained"]) for row in (without, full)]
            cells += [f"{cost:+.2f} [{low:+.2f}, {high:+.2f}]", f"{without['nss']:.2f}", f"{full['nss']:.2f}"]
            rows.append([f"`{model}`", name, *cells])
            commits.add(f"`{short(found['commit'])}`")
            options |= {f"`{model}`: `{' '.join(found['options'])}`"} if found["options"] else set()
    header = ["", "set", "explained, never saw it", "fitted to all three", "difference in bit", "NSS, never saw it"]
    about = f"Test splits, commit {', '.join(sorted(commits))}."
    about += f" With options: {', '.join(sorted(options))}." if options else ""
    return "\n".join([*table([*header, "NSS, all three"], rows), "", about])


def explained(numbers: Sequence[float] | None) -> str:
    """Return a share and half of its interval."""
    if numbers is None:
        return NONE
    share, low, high = numbers
    return f"{share:.0%} ± {(high - low) / 2:.0%}"


def change(numbers: Sequence[float]) -> str:
    """Return a difference of shares and half of its interval."""
    share, low, high = numbers
    return f"{share:+.0%} ± {(high - low) / 2:.0%}"


TABLES: dict[str, Callable[[], str]] = {
    "gold": gold_table,
    "calibration": calibration_table,
    "kinds": kinds_table,
    "degraded": degraded_table,
    "leave_one_out": leave_one_out_table,
}
