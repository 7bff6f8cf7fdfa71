"""Maps of very many images: several processes, shards, and a manifest of what is done.

The work is cut into units, each of which is done or not: one image to its files, or one shard (a webdataset tar of
images, or a group of image files) to one tar of maps. A unit's files appear whole, then its line in the manifest; what
has no line, or whose input has changed since, is done again. So a killed process loses no unit and doubles none, on one
machine or on many that share a folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from salzoo._distributed import all_gather_object, in_torchrun, is_rank_zero, rank, torchrun, world_size
from salzoo._io import hash_file, whole
from salzoo._precision import Precision
from salzoo._progress import counted
from salzoo.checkpoint.folder import find_checkpoint, read_config
from salzoo.checkpoint.reference import FolderRef, StateRef, ZooRef, parse_reference
from salzoo.components.load import load
from salzoo.components.saliency_model import SaliencyModel
from salzoo.errors import DataError, ImageError, RunError, SpecError
from salzoo.images.read import Decoded
from salzoo.images.saliency_map import SaliencyMap
from salzoo.prediction import manifest
from salzoo.prediction.archive import Shard
from salzoo.prediction.files import (
    Source,
    common_folder,
    decoder,
    make_folder,
    name_of,
    predict_each,
    refuse_collisions,
    stream,
)
from salzoo.prediction.formats import SUFFIX, Format, check_fast, encode, key_in_tar
from salzoo.prediction.manifest import Entry, Unit

Engine = Literal["local", "torchrun", "ray"]
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
        relative_to: Folder below which the folders of the inputs are kept; None takes the one common to all inputs.
        crop: Arguments of `SaliencyMap.crop`, for the format `crop`.
        fast_decode: As in `predict_files`.
        precision: As in `salzoo.load`.
    """

    model: str
    inputs: tuple[str, ...]
    output: str
    formats: tuple[Format, ...] = ("png",)
    shard_size: int | None = None
    batch_size: int = 8
    workers: int = 2
    device: str = "auto"
    relative_to: str | None = None
    crop: dict[str, Any] = field(default_factory=dict)
    fast_decode: bool = False
    precision: Precision = "32-true"

    @property
    def root(self) -> Path:
        """Folder below which the folders of the inputs are kept, absolute."""
        given = self.relative_to
        return common_folder(self.inputs) if given is None else Path(os.path.abspath(os.path.expanduser(given)))


def predict_many(job: Job, engine: Engine = "local", processes: int = 1) -> list[Entry]:
    """Predict what is not done yet, and return the entries of the whole job.

    Args:
        job: What to do. If the folder holds a job already, it must be the same one.
        engine: `local` works in this process. `torchrun` does this process's share if torchrun started it, and else
            starts `processes` of them, each restarted up to three times. `ray` works in a pool of `processes` actors of
            Ray Data, on the cluster of $RAY_ADDRESS or on this machine.
        processes: Number of processes on this machine, or of actors.

    Raises:
        SpecError: If the folder holds another job, inputs are of two kinds, names collide, an extra is missing, or a
            format shows images that are not decoded in full.
        RunError: If processes were lost for good; what they did is kept, and the same call goes on.
    """
    check_fast(job.formats, job.fast_decode)
    inputs = tuple(map(os.path.abspath, job.inputs))
    job = replace(job, inputs=inputs, output=os.path.abspath(job.output))  # workers may have another working directory
    units = plan(job)
    if engine == "ray":
        _require("ray", "ray")
    if units[0].is_shard:
        _require("webdataset", "shards")
    common = _common(job)
    output = Path(job.output)
    make_folder(output)
    if engine == "torchrun" and in_torchrun():
        _work_here(job, common, units[rank() :: world_size()], engine, processes)
        all_gather_object(rank())
    elif engine == "torchrun":
        with manifest.joined(output, common, units):  # what is refused is told by this process, once
            pass
        _launch(job, processes)
    else:
        _work_here(job, common, units, engine, processes)
    if is_rank_zero():
        manifest.merge(output, common, units)
    return _entries(output, units)


def _common(job: Job) -> dict[str, Any]:
    """Return what is the same for all that work in one folder, whatever their inputs are."""
    reference, weights, folder = parse_reference(job.model), None, None
    if isinstance(reference, StateRef):
        weights = hash_file(reference.path)
    elif isinstance(reference, FolderRef):
        folder = reference.path
    elif isinstance(reference, ZooRef):  # of what is on the Hub nothing is known before it is fetched
        folder = find_checkpoint(reference.spec.name, reference.tag)
    if folder is not None:
        config = read_config(folder)
        what = [config.sha256, config.network, config.preprocess]
        weights = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    common = {"model": job.model, "weights": weights, "formats": list(job.formats), "shard_size": job.shard_size}
    usual = {"crop": {}, "fast_decode": False, "precision": "32-true"}
    return common | {key: value for key, default in usual.items() if (value := getattr(job, key)) != default}


def _work_here(job: Job, common: dict[str, Any], units: Sequence[Unit], engine: Engine, processes: int) -> None:
    """Do what is not done of some units, and write what becomes of each into the manifest."""
    output = Path(job.output)
    before = manifest.entries(output)
    todo = [unit for unit in units if not manifest.is_done(output, unit, before.get(unit.source))]
    if not todo:
        with manifest.own_folder(output, common):
            return
    with manifest.joined(output, common, todo) as part:
        made = _with_ray(job, todo, processes) if engine == "ray" else work(job, todo)
        for entry in counted(made, len(todo), "unit", shown=None if is_rank_zero() else False):
            if old := before.get(entry.source):
                for name in set(old.files) - set(entry.files):  # maps of what the input was before it changed
                    (output / name).unlink(missing_ok=True)
            manifest.append(part, entry)


def _entries(output: Path, units: Sequence[Unit]) -> list[Entry]:
    """Return what became of each unit.

    Raises:
        RunError: Of some of them nothing is known.
    """
    found = manifest.entries(output)
    entries = [found[unit.source] for unit in units if unit.source in found]
    if is_rank_zero() and (lost := len(units) - len(entries)):
        raise RunError(f"{lost} of {len(units)} units are not done; the same command goes on with them.")
    return entries


def plan(job: Job) -> list[Unit]:
    """Cut the job into units, the same in every process.

    Raises:
        SpecError: If there are no inputs, or of two kinds, or names collide.
    """
    if not job.inputs:
        raise SpecError("there is nothing to predict: name at least one image or shard.")
    if shards := sum(map(is_shard, job.inputs)):
        if shards < len(job.inputs):
            raise SpecError("images and shards (.tar) are two jobs: give inputs of one kind.")
        suffixes = [".tar"]
    else:
        suffixes = [SUFFIX[kind] for kind in job.formats]
    inputs = list(dict.fromkeys(map(os.path.abspath, job.inputs)))  # each once
    root = job.root
    refuse_collisions(inputs, Path(job.output), suffixes, root)
    if shards or job.shard_size is None:
        files = (tuple(name_of(path, root) + suffix for suffix in suffixes) for path in inputs)
        return [Unit(path, (path,), names, shards > 0) for path, names in zip(inputs, files, strict=True)]
    groups = [tuple(inputs[start : start + job.shard_size]) for start in range(0, len(inputs), job.shard_size)]
    names = [f"maps-{i:06d}-{_digest(group, root)}.tar" for i, group in enumerate(groups)]
    return [Unit(name, group, (name,), True) for name, group in zip(names, groups, strict=True)]


def is_shard(name: str) -> bool:
    """Whether an input is a shard, by its name."""
    return name.lower().endswith(".tar")


def _digest(paths: Sequence[str], root: Path) -> str:
    """Return what changes with the images of a group and with their keys, so that each group has a tar of its own."""
    return hashlib.sha256("\n".join([str(root), *paths]).encode(errors="surrogateescape")).hexdigest()[:12]


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
    model, root = model or load(job.model, device=job.device, precision=job.precision), job.root
    if units[0].is_shard:
        for unit in units:
            yield _shard(job, model, unit, root)
        return
    stamps: dict[str, manifest.Stamp] = {}

    def paths() -> Iterator[Path]:
        for unit in units:
            stamps[unit.source] = manifest.stamp(unit.source)  # before it is read
            yield Path(unit.source)

    output = Path(job.output)
    for outcome in predict_each(
        model,
        paths(),
        output,
        formats=job.formats,
        batch_size=job.batch_size,
        workers=job.workers,
        root=root,
        crop=job.crop,
        fast_decode=job.fast_decode,
    ):
        source = str(outcome.image)
        files = tuple(path.relative_to(output).as_posix() for path in outcome.files)
        failed = {} if outcome.error is None else {source: outcome.error}
        yield Entry(source, files, 1 - len(failed), failed, {source: stamps.pop(source)})


def _shard(job: Job, model: SaliencyModel, unit: Unit, root: Path) -> Entry:
    """Write one tar of maps, whole or not at all."""
    stamps = {path: manifest.stamp(path) for path in unit.inputs}
    shard = Shard(unit.source) if is_shard(unit.inputs[0]) else None
    decode = decoder(model, job.fast_decode)
    sources = _files(unit.inputs, root, decode) if shard is None else _members(shard, decode)
    target = Path(job.output, unit.files[0])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        count, failed = _write_tar(job, model, sources, target)
    except (DataError, OSError, MemoryError) as error:
        why = f"cannot write {target}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return Entry(unit.source, failed={unit.source: why or "out of memory"}, inputs=stamps)
    return Entry(unit.source, unit.files, count, failed, stamps, () if shard is None else tuple(shard.left_out))


Named = tuple[str, str]
"""What an image is called in messages, and the key of its maps in a tar."""


def _write_tar(
    job: Job, model: SaliencyModel, sources: Iterable[Source[Named]], target: Path
) -> tuple[int, dict[str, str]]:
    """Write the maps of some images into one tar; return their number, and why others have none."""
    import webdataset

    failed, count = dict[str, str](), 0
    with (
        whole(target) as part,
        part.open("wb") as file,
        webdataset.TarWriter(file, encoder=False, mtime=0, format="PAX_FORMAT") as tar,  # names of any length
        ThreadPoolExecutor(job.workers) as pool,
    ):
        pending: deque[tuple[Named, Future[dict[str, bytes]]]] = deque()

        def write(keep: int) -> int:
            written = 0
            while len(pending) > keep:
                (label, key), future = pending.popleft()
                try:
                    tar.write({"__key__": key, **future.result()})
                    written += 1
                except ImageError as error:
                    failed[label] = str(error)
            return written

        for named, result in stream(model, sources, pool, job.batch_size):
            if isinstance(result, ImageError):
                failed[named[0]] = str(result)
            else:
                image, saliency_map, _ = result
                pending.append((named, pool.submit(_encode, saliency_map, image, job)))
            count += write(job.batch_size)
        count += write(0)
    return count, failed


def _encode(saliency_map: SaliencyMap, image: Tensor, job: Job) -> dict[str, bytes]:
    return {key_in_tar(kind): encode(kind, saliency_map, image, job.crop) for kind in job.formats}


Decode = Callable[[Path | bytes, str], Decoded]


def _files(paths: Sequence[str], root: Path, decode: Decode) -> Iterator[Source[Named]]:
    return (((path, name_of(path, root)), partial(decode, Path(path), path)) for path in paths)


def _members(shard: Shard, decode: Decode) -> Iterator[Source[Named]]:
    return (((key, key), partial(decode, data, f"{shard.path}:{key}")) for key, data in shard.images())


def _launch(job: Job, processes: int) -> None:
    """Call this job again under torchrun, on this machine."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:  # too long for a command line
        json.dump(asdict(job), file)
        file.flush()
        torchrun(["salzoo.prediction.batch", file.name], processes, restarts=3)


class Worker:
    """A Ray actor: it loads the model once, then does units."""

    def __init__(self, job: Job) -> None:
        self.job, self.model = job, load(job.model, device=job.device, precision=job.precision)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Do the units of a batch; units and entries are JSON."""
        units = [manifest.unit_from_json(text) for text in batch["unit"]]
        return {"entry": [manifest.to_line(entry) for entry in work(self.job, units, self.model)]}


def _start_ray(processes: int) -> None:
    """Join the cluster of RAY_ADDRESS, or start one here: Ray gives up after 30 s on a busy machine, so three times."""
    import ray

    here: dict[str, Any] = {"num_cpus": processes + 1, "include_dashboard": False}
    where, tries = ({}, 1) if "RAY_ADDRESS" in os.environ else (here, 3)
    for left in reversed(range(tries)):
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **where)
            return
        except Exception as error:  # Ray raises a bare Exception for a node that does not start
            ray.shutdown()
            if not left:
                raise RunError(
                    f"Ray does not start ({error}); check RAY_ADDRESS, or leave --engine ray out."
                ) from error


def _with_ray(job: Job, units: Sequence[Unit], processes: int) -> Iterator[Entry]:
    """Let a pool of actors do the units; Ray restarts lost actors and gives their units to others."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import torch

    size = 1 if units[0].is_shard else FILES_A_TASK
    if not ray.is_initialized():
        _start_ray(processes)
    gpus = 1 if job.device != "cpu" and torch.cuda.is_available() else 0
    rows = [{"unit": json.dumps(asdict(unit))} for unit in units]
    pool = ray.data.ActorPoolStrategy(size=processes)
    tasks = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // size))
    done = tasks.map_batches(
        Worker, fn_constructor_args=(job,), batch_size=size, compute=pool, num_cpus=1, num_gpus=gpus
    )
    for row in done.iter_rows():
        entry = manifest.from_line(row["entry"])
        assert entry is not None
        yield entry


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    predict_many(Job(**{**given, "inputs": tuple(given["inputs"]), "formats": tuple(given["formats"])}), "torchrun")
