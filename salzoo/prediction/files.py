"""Images to files: the job behind `salzoo predict`. Reading and writing overlap with the network."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from salzoo._io import whole, write_text
from salzoo._progress import counted
from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.errors import ImageError, SalzooError, SpecError
from salzoo.images.areas import Region
from salzoo.images.read import Decoded, read_file
from salzoo.images.saliency_map import SaliencyMap
from salzoo.prediction.areas import TABLE, AreaFile, to_csv
from salzoo.prediction.formats import SUFFIX, Format, check_fast, encode

Key = TypeVar("Key")
Source = tuple[Key, Callable[[], Decoded]]
"""What an image is called, and what decodes it."""
NO_CROP: Mapping[str, Any] = MappingProxyType({})
BATCH_PIXELS = 50_000_000
"""Most pixels that wait, or go through the network, together: large images come in smaller batches."""


class Done(NamedTuple):
    """An image and its map.

    Attributes:
        image: (3, H, W) RGB, at the size that it was decoded at.
        saliency_map: Its map.
        seconds: Time of its batch in the network, divided by the images of the batch.
    """

    image: Tensor
    saliency_map: SaliencyMap
    seconds: float


Predicted = tuple[Key, Done | ImageError]
"""What an image is called, and its pixels and map, or why there are none."""


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its files, or why there are none.

    Args:
        image: Its path.
        files: What was written.
        error: Why nothing was.
        size: (height, width) in pixels.
        peak: (x, y) of the pixel with the highest density; None if it is the same everywhere.
        seconds: As in `Done`.
        regions: What its areas of interest get, if some are asked for.
    """

    image: Path
    files: tuple[Path, ...] = ()
    error: str | None = None
    size: tuple[int, int] | None = None
    peak: tuple[int, int] | None = None
    seconds: float | None = None
    regions: Mapping[str, Region] | None = None


@dataclass
class PredictionReport:
    """What became of each image, in the order of the images."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def written(self) -> list[Path]:
        """The files that were written."""
        return [path for outcome in self.outcomes for path in outcome.files]

    @property
    def failed(self) -> dict[Path, str]:
        """Path and reason of each image that could not be read or whose map could not be written."""
        return {outcome.image: outcome.error for outcome in self.outcomes if outcome.error is not None}


def predict_files(
    model: SaliencyModel,
    paths: Sequence[Path],
    output: Path,
    *,
    formats: Sequence[Format] = ("png",),
    batch_size: int = 8,
    workers: int = 2,
    progress: bool | None = None,
    relative_to: Path | None = None,
    crop: Mapping[str, Any] = NO_CROP,
    areas: AreaFile | None = None,
    fast_decode: bool = False,
) -> PredictionReport:
    """Predict images and write a file for each format: its stem and what `salzoo.prediction.formats.SUFFIX` says.

    Images of several folders keep those below the one that is common to all: of `cat/001.jpg` and `dog/001.jpg` the
    maps are `cat/001.png` and `dog/001.png`. An image that cannot be read is reported, and the rest goes on. Every file
    appears whole or not at all.

    Args:
        model: The model, on the device where it is to run.
        paths: Files of the images.
        output: Folder for the maps; it is made if it does not exist.
        formats: Formats of the maps.
        batch_size: Images that go through the network at once.
        workers: Threads that read and write.
        progress: Whether to show a progress bar; None shows one on a terminal, and a line now and then elsewhere.
        relative_to: Folder below which the folders of the images are kept; None takes the one common to all.
        crop: Arguments of `SaliencyMap.crop`, for the format `crop`.
        areas: Areas of interest of the images, of which one table is written beside the maps.
        fast_decode: Decode JPEGs at 1/2, 1/4 or 1/8 of their size where that is at least twice what the network sees:
            faster, and densities differ a little. Maps have the size of the image, as ever.

    Raises:
        SpecError: If two images would write the same file, a map would replace an image, the folder cannot be made, or
            a format shows images that are not decoded in full.
    """
    check_fast(formats, fast_decode)
    root = common_folder(paths) if relative_to is None else relative_to.absolute()
    refuse_collisions(paths, output, [SUFFIX[kind] for kind in formats], root)
    make_folder(output)
    outcomes = predict_each(
        model,
        paths,
        output,
        formats=formats,
        batch_size=batch_size,
        workers=workers,
        root=root,
        crop=crop,
        areas=areas,
        fast_decode=fast_decode,
    )
    report = PredictionReport()
    for outcome in counted(outcomes, len(paths), "image", shown=progress):
        report.outcomes.append(outcome)
    places = {path: place for place, path in enumerate(paths)}
    report.outcomes.sort(key=lambda outcome: places[outcome.image])  # what failed is told at once, before what waits
    if areas is not None:
        found = {Path(os.path.relpath(each.image, root)).as_posix(): each.regions or {} for each in report.outcomes}
        write_text(output / TABLE, to_csv(found))
    return report


def predict_each(
    model: SaliencyModel,
    paths: Iterable[Path],
    output: Path,
    *,
    formats: Sequence[Format],
    batch_size: int,
    workers: int,
    root: Path | None = None,
    crop: Mapping[str, Any] = NO_CROP,
    areas: AreaFile | None = None,
    fast_decode: bool = False,
) -> Iterator[Outcome]:
    """Yield what became of each image as soon as its files are on the disk; see `predict_files`.

    Args:
        model: As in `predict_files`, like all others but `root`.
        paths: Files of the images, which need not all be known yet.
        output: Folder for the maps, which exists.
        formats: Formats of the maps.
        batch_size: Images that go through the network at once.
        workers: Threads that read and write.
        root: Folder below which the folders of the images are kept; None keeps none.
        crop: As in `predict_files`.
        areas: As in `predict_files`; no table is written.
        fast_decode: As in `predict_files`.
    """
    decode = decoder(model, fast_decode)
    writer = _Writer(output, root, formats, crop, areas)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        pending: deque[tuple[Path, Future[Outcome]]] = deque()
        sources = ((path, partial(decode, path, str(path))) for path in paths)
        for path, result in stream(model, sources, pool, batch_size):
            if isinstance(result, ImageError):
                yield Outcome(path, error=str(result))
                continue
            pending.append((path, pool.submit(writer.write, path, result)))
            while len(pending) > batch_size:
                yield _outcome(*pending.popleft())
        while pending:
            yield _outcome(*pending.popleft())


def decoder(model: SaliencyModel, fast: bool) -> Callable[[Path | bytes, str], Decoded]:
    """Return what reads a file, or its bytes, and its name: in full, or as far as a model needs it."""
    return partial(read_file, enough=model.transform.enough if fast else None)


def stream(
    model: SaliencyModel, sources: Iterable[Source[Key]], pool: ThreadPoolExecutor, batch_size: int
) -> Iterator[Predicted[Key]]:
    """Yield each image with its map, or with the reason why it has none, in order; the pool decodes ahead.

    Args:
        model: The model, on the device where it is to run.
        sources: The images; however many there are, memory holds about four batches of them.
        pool: Threads that decode.
        batch_size: Images that go through the network at once; fewer if they are large.

    Raises:
        SpecError: If `batch_size` is not at least 1.
    """
    if batch_size < 1:
        raise SpecError(f"batch_size={batch_size} is not accepted: at least 1.")
    running: deque[Future[list[Predicted[Key]]]] = deque()
    with evaluating(model), _lanes(model, batch_size) as (lanes, count):
        items = _read_ahead(pool, sources, 2 * batch_size)
        for batch in _batches(items, batch_size // count, BATCH_PIXELS // count):
            running.append(lanes.submit(_infer, model, batch))
            while len(running) > count:  # one waits, so that no lane does
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


@contextmanager
def _lanes(model: SaliencyModel, batch_size: int) -> Iterator[tuple[ThreadPoolExecutor, int]]:
    """Make the threads that run the network, each with its share of the batch, and give their number.

    One on a GPU. On a CPU as many as torch may use, up to one for each image: threads that share each layer wait for
    the last of them at its end, and so for every image that is read or written meanwhile; lanes wait for nothing.
    """
    threads = torch.get_num_threads()
    count = min(threads, batch_size) if model.device.type == "cpu" else 1
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads // count,)) as lanes:
            yield lanes, count
    finally:
        torch.set_num_threads(threads)  # a new thread has what any thread set last


def _infer(model: SaliencyModel, batch: list[tuple[Key, Decoded | ImageError]]) -> list[Predicted[Key]]:
    """Run one batch in this thread; what could not be read stays what it is.

    Where the batch fails, each half goes alone: a batch that is too large for the memory gets through, and of others
    the image that is to blame is named, and the rest have maps.
    """
    images = [image for _, image in batch if not isinstance(image, ImageError)]
    pixels, sizes = [image.pixels for image in images], [image.size for image in images]
    start = time.perf_counter()
    try:
        maps = iter([SaliencyMap(density) for density in model.log_densities(pixels, sizes)])
    except (SalzooError, RuntimeError, ValueError, MemoryError) as error:
        reason = why(error)
    else:
        seconds = (time.perf_counter() - start) / max(len(images), 1)
        return [
            (key, one if isinstance(one, ImageError) else Done(one.pixels, next(maps), seconds)) for key, one in batch
        ]
    # Here the error has gone, and with it what its traceback held in memory.
    if len(batch) == 1:
        return [(batch[0][0], ImageError(f"the model fails on it: {reason}"))]
    middle = len(batch) // 2
    return _infer(model, batch[:middle]) + _infer(model, batch[middle:])


def why(error: BaseException) -> str:
    """Return in one line why something failed."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return said or type(error).__name__


def _batches(
    items: Iterable[tuple[Key, Decoded | ImageError]], size: int, pixels: int
) -> Iterator[list[tuple[Key, Decoded | ImageError]]]:
    """Cut into batches of `size` images, or of fewer as soon as their maps have more than so many pixels."""
    batch, seen = list[tuple[Key, Decoded | ImageError]](), 0
    for key, image in items:
        batch.append((key, image))
        seen += 0 if isinstance(image, ImageError) else image.size[0] * image.size[1]
        if len(batch) == size or seen > pixels:
            yield batch
            batch, seen = [], 0
    if batch:
        yield batch


def make_folder(output: Path) -> None:
    """Make the output folder.

    Raises:
        SpecError: If that is not possible.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"cannot make the folder {output}: {error.strerror}; choose another.") from error


def common_folder(paths: Iterable[str | Path]) -> Path:
    """Return the innermost folder that holds all files, absolute."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    return Path(os.path.commonpath(folders)) if folders else Path.cwd()


def name_of(path: str | Path, root: Path | None) -> str:
    """Return what the maps of a file are called, without their suffix: its path below `root`, or its own name alone."""
    kept = os.path.basename(path) if root is None else os.path.relpath(os.path.abspath(path), root)
    return Path(kept).with_suffix("").as_posix()


def refuse_collisions(paths: Sequence[str | Path], output: Path, suffixes: Sequence[str], root: Path) -> None:
    """Check that no two images would write the same file, and that no map would replace an image.

    Args:
        paths: The images, or the shards; each once.
        output: Folder for the maps.
        suffixes: What follows the name of each in those of its files.
        root: Folder below which the folders of the images are kept.

    Raises:
        SpecError: If they would; the message names them.
    """
    inputs = {os.path.realpath(path) for path in paths}
    seen: dict[str, str | Path] = {}
    for path in paths:
        name = name_of(path, root)
        if name.startswith("../"):
            raise SpecError(f"{path} is not below {root}: give --relative-to a folder that holds all inputs.")
        if other := seen.get(name):
            raise SpecError(f"{other} and {path} would both write {name}.*: rename one, or predict them apart.")
        seen[name] = path
        if lost := next((s for s in suffixes if os.path.realpath(output / (name + s)) in inputs), None):
            raise SpecError(
                f"the map {output / (name + lost)} would replace the image or shard of that name: "
                f"choose another output folder than {output}."
            )


def _read_ahead(
    pool: ThreadPoolExecutor, sources: Iterable[Source[Key]], ahead: int
) -> Iterator[tuple[Key, Decoded | ImageError]]:
    """Yield decoded images in order, while the pool decodes the next ones."""
    waiting: deque[tuple[Key, Future[Decoded]]] = deque()
    todo = iter(sources)

    def pixels() -> int:
        done = (future for _, future in waiting if future.done() and future.exception() is None)
        return sum(future.result().pixels[0].numel() for future in done)

    while True:
        while len(waiting) < ahead and pixels() < BATCH_PIXELS and (source := next(todo, None)) is not None:
            waiting.append((source[0], pool.submit(source[1])))
        if not waiting:
            return
        key, future = waiting.popleft()
        try:
            yield key, future.result()
        except ImageError as error:
            yield key, error
        except (OSError, MemoryError) as error:  # whatever it is, it is this image's alone
            yield key, ImageError(f"cannot be read: {why(error)}")


@dataclass(frozen=True)
class _Writer:
    """Writes the files of one image; arguments as in `predict_each`."""

    output: Path
    root: Path | None
    formats: Sequence[Format]
    crop: Mapping[str, Any]
    areas: AreaFile | None

    def write(self, path: Path, done: Done) -> Outcome:
        regions = None if self.areas is None else self.areas.regions(path, done.saliency_map)
        stem, files = self.output / name_of(path, self.root), []
        for kind in self.formats:
            stem.parent.mkdir(parents=True, exist_ok=True)
            file = stem.with_name(stem.name + SUFFIX[kind])
            data = encode(kind, done.saliency_map, done.image, self.crop)
            with whole(file) as part:
                part.write_bytes(data)
            files.append(file)
        size, peak = done.saliency_map.shape, done.saliency_map.peak
        return Outcome(path, tuple(files), None, size, peak, done.seconds, regions)


def _outcome(path: Path, future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except (OSError, MemoryError) as error:
        return Outcome(path, error=f"cannot write its map: {why(error)}")
    except ImageError as error:
        return Outcome(path, error=str(error))
