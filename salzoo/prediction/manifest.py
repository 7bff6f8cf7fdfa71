"""The folder of a job: what it is, whose each file is, and what is done; shared by any number of processes.

Each process writes a part of the manifest of its own, locked while it is at work. Its first line says which files it
will write, so that no two write the same one. Whoever ends merges into `manifest.jsonl` its part and those of
processes that are no more.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from salzoo._io import lock, unlink_scratch, write_text
from salzoo.errors import SpecError
from salzoo.prediction.archive import clean_key

JOB, MANIFEST, PARTS = "job.json", "manifest.jsonl", "manifest.*.jsonl"
Stamp = tuple[int, int] | None
"""Size in bytes and time of the last change in nanoseconds of an input; None if it is not there or may not be read."""


@dataclass(frozen=True)
class Unit:
    """What is done as a whole.

    Args:
        source: What it is called in the manifest: its image, its shard, or the name of its group.
        inputs: Files that it reads, absolute.
        files: Files that it writes, relative to the output folder.
        is_shard: Whether the maps go into one tar.
    """

    source: str
    inputs: tuple[str, ...]
    files: tuple[str, ...]
    is_shard: bool = False


@dataclass(frozen=True)
class Entry:
    """One line of the manifest.

    Args:
        source: The unit.
        files: Files that were written, relative to the output folder.
        images: Number of images whose maps they hold.
        failed: Reason for each image without a map.
        inputs: Stamp of each file that was read, from before it was read.
        left_out: What a shard holds beside images, by key.
    """

    source: str
    files: tuple[str, ...] = ()
    images: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, Stamp] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def stamp(path: str) -> Stamp:
    """Return what changes when a file does."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if os.access(path, os.R_OK) else None


def to_line(entry: Entry) -> str:
    """Return an entry as a line of the manifest."""
    return json.dumps(asdict(entry)) + "\n"


def unit_from_json(text: str) -> Unit:
    """Return a unit that `asdict` and JSON made into text."""
    content = json.loads(text)
    return Unit(content["source"], tuple(content["inputs"]), tuple(content["files"]), content["is_shard"])


def from_line(line: str) -> Entry | None:
    """Return the entry of a line; None if it is none: a process was killed amid it, or it is a claim."""
    try:
        content = json.loads(line)
        inputs = {
            path: None if given is None else (int(given[0]), int(given[1])) for path, given in content["inputs"].items()
        }
        files, left_out = tuple(map(str, content["files"])), tuple(map(str, content["left_out"]))
        if any(clean_key(name) != name for name in files):  # no line makes salzoo remove a file elsewhere
            return None
        return Entry(str(content["source"]), files, int(content["images"]), dict(content["failed"]), inputs, left_out)
    except (ValueError, TypeError, KeyError, LookupError, AttributeError):
        return None


@contextmanager
def joined(output: Path, job: Mapping[str, Any], units: Sequence[Unit]) -> Iterator[IO[bytes]]:
    """Join the processes at work in a folder, and yield the own part of the manifest, to `append` to.

    Args:
        output: The folder.
        job: What all processes that share a folder have in common; the first one writes it.
        units: What this process may do, and no other may do otherwise.

    Raises:
        SpecError: The folder holds another job, or maps of other images under the names of these.
    """
    path = output / f"manifest.{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
    with ExitStack() as stack:
        with own_folder(output, job):  # no one merges or joins meanwhile
            _refuse_foreign(output, units)
            part = stack.enter_context(path.open("xb"))
            lock(part)
            claims = [(unit.source, unit.inputs, unit.files) for unit in units]
            part.write((json.dumps({"claims": claims}) + "\n").encode())
            part.flush()
            claimed = part.tell()
        try:
            yield part
        finally:
            if part.tell() == claimed:
                path.unlink()


def append(part: IO[bytes], entry: Entry) -> None:
    """Write a line, which is there once this returns."""
    part.write(to_line(entry).encode())
    part.flush()


def entries(output: Path) -> dict[str, Entry]:
    """Return all that is written, by source; of several lines of one source the newest."""
    parts = [_read(path) for path in sorted(output.glob(PARTS), key=_age)]
    # Read last: what another process merges meanwhile is in its part or in here.
    lines = (line for text in [_read(output / MANIFEST), *parts] for line in text.splitlines())
    return {entry.source: entry for line in lines if (entry := from_line(line)) is not None}


def is_done(output: Path, unit: Unit, entry: Entry | None) -> bool:
    """Whether the files of a unit are there, of inputs that have not changed since. What failed is to be tried again.

    An input that is no longer there, or may no longer be read, has not changed.
    """
    if entry is None or not entry.files or not all((output / name).is_file() for name in entry.files):
        return False
    now = {path: stamp(path) for path in unit.inputs}
    return now.keys() == entry.inputs.keys() and all(
        given is None or given == entry.inputs[path] for path, given in now.items()
    )


def merge(output: Path, job: Mapping[str, Any], units: Sequence[Unit]) -> None:
    """Write one manifest: of these units, then of all others that it or a part had; then remove what is merged."""
    with own_folder(output, job), ExitStack() as stack:
        parts = sorted(output.glob(PARTS))
        ended = [path for path in parts if lock(stack.enter_context(path.open("r+b")), wait=False)]
        if not parts:
            return
        found = entries(output)
        own = {unit.source: found.pop(unit.source) for unit in units if unit.source in found}
        inputs = {name for entry in own.values() for name in entry.inputs}
        others = [entry for entry in found.values() if inputs.isdisjoint(entry.inputs)]  # else packed anew by these
        write_text(output / MANIFEST, "".join(map(to_line, [*own.values(), *others])))
        for path in ended:
            path.unlink()
        if len(ended) == len(parts):  # no one is at work
            unlink_scratch(output)


def _read(path: Path) -> str:
    """Return a text; an empty one if the file is not there (any more: a part is merged at any time)."""
    try:
        return path.read_text("utf-8", errors="replace") + "\n"
    except FileNotFoundError:
        return ""


def _age(path: Path) -> int:
    found = stamp(str(path))
    return 0 if found is None else found[1]


def _claims(output: Path) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """Yield source, inputs and files of what the processes at work are about to do."""
    for path in output.glob(PARTS):
        with path.open("r+b") as part:
            if not lock(part, wait=False):
                with suppress(ValueError, KeyError):  # no claim, as after a full disk
                    yield from json.loads(part.readline())["claims"]


def _refuse_foreign(output: Path, units: Sequence[Unit]) -> None:
    """Check that no file of a unit is another's, and that no image is in another's tar, or a map itself.

    Raises:
        SpecError: One is; the message names it.
    """
    claimed = list(_claims(output))
    done = [(entry.source, tuple(entry.inputs), entry.files) for entry in entries(output).values()]
    kept = [(source, inputs, files) for source, inputs, files in done if files]
    holders, maps = dict[str, tuple[str, Sequence[str]]](), set[str]()
    for source, inputs, files in [*kept, *claimed]:
        holders |= dict.fromkeys((*inputs, *files), (source, files))
        maps |= {os.path.abspath(output / file) for file in files}
    at_work = {source for source, _, _ in claimed}
    for unit in units:
        if loop := next((name for name in unit.inputs if name in maps), None):
            raise SpecError(f"{loop} is a map of this job: name the images without those in {output}.")
        for name in (*unit.files, *unit.inputs):
            source, files = holders.get(name, (unit.source, ()))
            if source == unit.source or (source not in at_work and not any((output / f).exists() for f in files)):
                continue
            if name in unit.files:
                raise SpecError(
                    f"{output / name} is the map of {source}, and {unit.source} would replace it: choose another "
                    "folder, or keep the folders that they lie in: --relative-to a folder that holds both."
                )
            raise SpecError(
                f"{name} is in {output / files[0]} already, among other images than it would be now: choose another "
                "folder, or delete that tar to have its images packed anew."
            )


@contextmanager
def own_folder(output: Path, job: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder's lock, which is its job: write what that is, or check that it is the same.

    Raises:
        SpecError: The folder holds another job, or none that can be read.
    """
    path = output / JOB
    with _open_job(path) as file:
        lock(file)
        file.seek(0)
        if text := file.read():
            _check_job(path, text, job)
        else:
            file.write((json.dumps(job, indent=2) + "\n").encode())
            file.flush()
        yield


def _open_job(path: Path) -> IO[bytes]:
    try:
        return path.open("a+b")
    except OSError:
        if not path.is_file():
            raise
        return path.open("rb")  # nothing is to be written where all is done


def _check_job(path: Path, text: bytes, job: Mapping[str, Any]) -> None:
    try:
        there = json.loads(text)
    except ValueError as error:
        raise SpecError(
            f"{path} is damaged ({error}): delete it if the maps in its folder "
            f"are of {dict(job)}, else choose another folder."
        ) from error
    if there != job:
        raise SpecError(f"{path.parent} holds another job, {there}; this one is {dict(job)}: choose another folder.")
