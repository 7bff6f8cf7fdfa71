"""Maps of very many images: several processes, shards, and a manifest of what is done.

The work is cut into units, each of which is done or not: one image to its files, or one shard (a webdataset tar of
images, or a group of image files) to one tar of maps. A unit's files appear whole, then its line in the manifest; what
has no line is done again. So a killed process loses no unit and doubles none, on one machine or on many that share a
folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from tqdm import tqdm

from salzoo._distributed import all_gather_object, in_torchrun, is_rank_zero, rank, torchrun, world_size
from salzoo._io import whole, write_text
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import ImageError, RunError, SpecError
from salzoo.images.read import IMAGE_SUFFIXES, read_bytes, to_tensor
from salzoo.images.saliency_map import SaliencyMap
from salzoo.prediction.files import (
    SUFFIX,
    Format,
    Source,
    make_folder,
    predict_each,
    refuse_collisions,
    stream,
)

Engine = Literal["local", "torchrun", "ray"]
JOB, MANIFEST = "job.json", "manifest.jsonl"
FILES_A_TASK = 32
"""Images that a Ray worker takes at once."""


@dataclass(frozen=True)
class Job:
    """What to predict and how.

    Args:
        model: Name or checkpoint folder; every process loads it.
        inputs: Files of images, or webdataset shards (`.tar`): all of one kind.
        output: Folder for the maps, on a disk that all processes share.
        formats: Formats of the maps.
        shard_size: Images whose maps go into one tar; None writes files. Shards always give shards, one for one.
        batch_size: Images that go through the network at once.
        workers: Threads of each process that read and write.
        device: `auto`, `cpu` or `cuda`.
    """

    model: str
    inputs: tuple[str, ...]
    output: str
    formats: tuple[Format, ...] = ("png",)
    shard_size: int | None = None
    batch_size: int = 8
    workers: int = 2
    device: str = "auto"


@dataclass(frozen=True)
class Unit:
    """What is done as a whole: images to the tar `shard`, or one image to its own files if that is None."""

    source: str
    images: tuple[str, ...]
    shard: str | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the manifest.

    Args:
        source: The unit: its image, its shard, or the name of its group.
        files: Files that were written, relative to the output folder.
        images: Number of images whose maps they hold.
        failed: Reason for each image without a map.
    """

    source: str
    files: tuple[str, ...] = ()
    images: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def predict_many(job: Job, engine: Engine = "local", processes: int = 1) -> list[Entry]:
    """Predict what is not done yet, and return the entries of the whole job.

    Args:
        job: What to do. If the folder holds a job already, it must be the same one.
        engine: `local` works in this process. `torchrun` does this process's share if torchrun started it, and else
            starts `processes` of them, each restarted up to three times. `ray` works in a pool of `processes` actors of
            Ray Data, on the cluster of $RAY_ADDRESS or on this machine.
        processes: Number of processes on this machine, or of actors.

    Raises:
        SpecError: If the folder holds another job, inputs are of two kinds, names collide, or an extra is missing.
        RunError: If processes were lost for good; what they did is kept, and the same call goes on.
    """
    units = plan(job)
    if engine == "ray":
        _require("ray", "ray")
    if units and units[0].shard is not None:
        _require("webdataset", "shards")
    output = Path(job.output)
    make_folder(output)
    _own_folder(job)
    if engine == "torchrun" and in_torchrun():
        _share(job, units)
    elif engine == "torchrun":
        _launch(job, processes)
    else:
        done = finished(output)
        todo = [unit for unit in units if unit.source not in done]
        entries = _with_ray(job, todo, processes) if engine == "ray" else work(job, todo)
        append(output, tqdm(entries, total=len(todo), unit="unit", disable=None), "0")
    return _merge(output, units, final=is_rank_zero())


def plan(job: Job) -> list[Unit]:
    """Cut the job into units, the same in every process.

    Raises:
        SpecError: If inputs are of two kinds, or names collide.
    """
    tars = [name for name in job.inputs if name.endswith(".tar")]
    if tars:
        if len(tars) < len(job.inputs):
            raise SpecError("images and shards (.tar) are two jobs: give inputs of one kind.")
        names = [Path(name).name for name in tars]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SpecError(f"two shards are called {twice}: predict them into different folders.")
        return [Unit(os.path.abspath(tar), (tar,), name) for tar, name in zip(tars, names, strict=True)]
    refuse_collisions([Path(name) for name in job.inputs], Path(job.output), job.formats)
    if job.shard_size is None:
        return [Unit(os.path.abspath(name), (name,)) for name in job.inputs]
    starts = range(0, len(job.inputs), job.shard_size)
    groups = [job.inputs[start : start + job.shard_size] for start in starts]
    return [Unit(f"maps-{i:06d} {_digest(group)}", group, f"maps-{i:06d}.tar") for i, group in enumerate(groups)]


def _digest(names: Sequence[str]) -> str:
    """Return what changes with the images of a group, so that other images under its name are another unit."""
    return hashlib.sha256("\n".join(map(os.path.abspath, names)).encode()).hexdigest()[:12]


def _require(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise SpecError(f'{module} is not installed: pip install "salzoo[{extra}]".')


def work(job: Job, units: Sequence[Unit], model: SaliencyModel | None = None) -> Iterator[Entry]:
    """Do units in this process, and yield each when its files are on the disk.

    Args:
        job: The job that the units are part of.
        units: Units of one kind.
        model: The model, if it is loaded already; None loads it if there is anything to do.
    """
    if not units:
        return
    model = model or load(job.model, device=job.device)
    if units[0].shard is not None:
        for unit in units:
            try:
                yield _shard(job, model, unit)
            except (OSError, tarfile.TarError, ValueError) as error:  # ValueError: webdataset's of a broken tar
                why = error.strerror if isinstance(error, OSError) else error.args[0]  # webdataset adds more to args
                yield Entry(unit.source, failed={unit.source: f"{type(error).__name__}: {why}"})
        return
    paths = [Path(unit.images[0]) for unit in units]
    for outcome in predict_each(
        model, paths, Path(job.output), formats=job.formats, batch_size=job.batch_size, workers=job.workers
    ):
        source, files = os.path.abspath(outcome.image), tuple(path.name for path in outcome.files)
        failed = {} if outcome.error is None else {source: outcome.error}
        yield Entry(source, files, 1 - len(failed), failed)


def finished(output: Path) -> dict[str, Entry]:
    """Return the units whose files are there, by source. What failed without a file is tried again."""
    return {
        source: entry
        for source, entry in _entries(output).items()
        if entry.files and all((output / name).is_file() for name in entry.files)
    }


def append(output: Path, entries: Iterable[Entry], part: str) -> None:
    """Write entries into a part of the manifest, a line each as it comes."""
    path = output / f"manifest.{part}.jsonl"
    with path.open("ab") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")  # ends the line that a killed process left unfinished
        for entry in entries:
            file.write((json.dumps(asdict(entry)) + "\n").encode())
            file.flush()


def _entries(output: Path) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for path in sorted(output.glob("manifest*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                content = json.loads(line)
            except ValueError:
                continue  # an unfinished line
            entry = Entry(**{**content, "files": tuple(content["files"])})
            if entry.files or entry.source not in found:
                found[entry.source] = entry
    return found


def _merge(output: Path, units: Sequence[Unit], *, final: bool) -> list[Entry]:
    """Return the entries of the job in the order of its units; in one process write them as one manifest."""
    found = _entries(output)
    entries = [found[unit.source] for unit in units if unit.source in found]
    if final:
        if lost := len(units) - len(entries):
            raise RunError(f"{lost} of {len(units)} units are not done; the same command goes on with them.")
        write_text(output / MANIFEST, "".join(json.dumps(asdict(entry)) + "\n" for entry in entries))
        for left in [
            *output.glob("manifest.*.jsonl"),
            *output.glob(".*.part"),
        ]:  # the latter are what killed processes left
            left.unlink()
    return entries


def _own_folder(job: Job) -> None:
    """Write what the job is, or check that the folder's is the same."""
    path = Path(job.output) / JOB
    own = {"model": job.model, "formats": list(job.formats), "shard_size": job.shard_size}
    if not path.exists() and not is_rank_zero():
        return  # the first process writes it
    if not path.exists():
        write_text(path, json.dumps(own, indent=2) + "\n")
        return
    there = json.loads(path.read_text(encoding="utf-8"))
    if there != own:
        raise SpecError(f"{path.parent} holds another job, {there}; this one is {own}: choose another folder.")


def _shard(job: Job, model: SaliencyModel, unit: Unit) -> Entry:
    """Write one tar of maps, whole or not at all."""
    import webdataset

    assert unit.shard is not None
    output, failed, count = Path(job.output), dict[str, str](), 0
    with (
        whole(output / unit.shard) as part,
        part.open("wb") as file,
        webdataset.TarWriter(file, encoder=False, mtime=0) as tar,
        ThreadPoolExecutor(job.workers) as pool,
    ):
        pending: deque[tuple[str, Future[dict[str, bytes]]]] = deque()

        def write(keep: int) -> int:
            written = 0
            while len(pending) > keep:
                key, future = pending.popleft()
                try:
                    tar.write({"__key__": key, **future.result()})
                    written += 1
                except ImageError as error:
                    failed[key] = str(error)
            return written

        is_tar = unit.images[0].endswith(".tar")
        sources = _members(unit.images[0]) if is_tar else _files(unit.images)
        for key, result in stream(model, sources, pool, job.batch_size):
            if isinstance(result, ImageError):
                failed[key] = str(result)
            else:
                image, saliency_map = result
                pending.append((key, pool.submit(_encode, saliency_map, image, job.formats)))
            count += write(job.batch_size)
        count += write(0)
    return Entry(unit.source, (unit.shard,), count, failed)


def _encode(saliency_map: SaliencyMap, image: Tensor, formats: Sequence[Format]) -> dict[str, bytes]:
    encoded = {}
    for kind in formats:
        ground = image if kind == "overlay" else None
        suffix = SUFFIX[kind].replace("_overlay", "")
        key = suffix[1:] if ground is None else f"{kind}{suffix}"
        encoded[key] = bytes(saliency_map.encode(suffix, image=ground))
    return encoded


def _files(paths: Sequence[str]) -> Iterator[Source[str]]:
    return ((Path(path).stem, partial(to_tensor, path)) for path in paths)


def _members(shard: str) -> Iterator[Source[str]]:
    """Yield the images of a webdataset shard under their keys."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    with open(shard, "rb") as file:
        for sample in group_by_keys(tar_file_expander([{"url": shard, "stream": file}])):
            for extension in sample:
                if f".{extension.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES:
                    yield sample["__key__"], partial(read_bytes, sample[extension], f"{shard}:{sample['__key__']}")
                    break


def _share(job: Job, units: Sequence[Unit]) -> None:
    """Do this process's share under torchrun, and wait until all have done theirs."""
    done = finished(Path(job.output))
    # Shared out first, as other processes are at work already and finish units meanwhile.
    share = [unit for unit in units[rank() :: world_size()] if unit.source not in done]
    entries = tqdm(work(job, share), total=len(share), unit="unit", disable=None if is_rank_zero() else True)
    append(Path(job.output), entries, f"{rank()}")
    all_gather_object(rank())


def _launch(job: Job, processes: int) -> None:
    """Call this job again under torchrun, on this machine."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:  # too long for a command line
        json.dump(asdict(job), file)
        file.flush()
        torchrun(["salzoo.prediction.batch", file.name], processes, restarts=3)


class Worker:
    """A Ray actor: it loads the model once, then does units."""

    def __init__(self, job: Job) -> None:
        self.job, self.model = job, load(job.model, device=job.device)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Do the units of a batch; units and entries are JSON."""
        units = [Unit(**json.loads(text)) for text in batch["unit"]]
        return {"entry": [json.dumps(asdict(entry)) for entry in work(self.job, units, self.model)]}


def _with_ray(job: Job, units: Sequence[Unit], processes: int) -> Iterator[Entry]:
    """Let a pool of actors do the units; Ray restarts lost actors and gives their units to others."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import torch

    if not units:
        return
    size = 1 if units[0].shard is not None else FILES_A_TASK
    if not ray.is_initialized():
        here: dict[str, Any] = {"num_cpus": processes + 1, "include_dashboard": False}
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **({} if "RAY_ADDRESS" in os.environ else here))
    gpus = 1 if job.device != "cpu" and torch.cuda.is_available() else 0
    rows = [{"unit": json.dumps(asdict(unit))} for unit in units]
    pool = ray.data.ActorPoolStrategy(size=processes)
    tasks = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size))
    done = tasks.map_batches(
        Worker, fn_constructor_args=(job,), batch_size=size, compute=pool, num_cpus=1, num_gpus=gpus
    )
    for row in done.iter_rows():
        content = json.loads(row["entry"])
        yield Entry(**{**content, "files": tuple(content["files"])})


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    predict_many(Job(**{**given, "inputs": tuple(given["inputs"]), "formats": tuple(given["formats"])}), "torchrun")
