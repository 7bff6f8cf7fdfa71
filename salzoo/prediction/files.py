"""Images to files: the job behind `salzoo predict`. Reading and writing overlap with the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from salzoo.components.saliency_model import SaliencyModel, evaluating
from salzoo.errors import ImageError, SpecError
from salzoo.images.read import to_tensor
from salzoo.images.saliency_map import SaliencyMap

Key = TypeVar("Key")
Source = tuple[Key, Callable[[], Tensor]]
"""What an image is called, and what decodes it."""
Predicted = tuple[Key, tuple[Tensor, SaliencyMap] | ImageError]
"""What an image is called, and its pixels and map, or why there are none."""
Format = Literal["png", "npy", "tiff", "overlay"]
BATCH_PIXELS = 50_000_000
"""Most pixels that wait, or go through the network, together: large images come in smaller batches."""
SUFFIX: dict[Format, str] = {"png": ".png", "npy": ".npy", "tiff": ".tiff", "overlay": "_overlay.jpg"}


@dataclass
class PredictionReport:
    """What became of each image.

    Args:
        written: Files that were written.
        failed: Path and reason of each image that could not be read or whose map could not be written.
    """

    written: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its files, or why there are none."""

    image: Path
    files: tuple[Path, ...] = ()
    error: str | None = None


def predict_files(
    model: SaliencyModel,
    paths: Sequence[Path],
    output: Path,
    *,
    formats: Sequence[Format] = ("png",),
    batch_size: int = 8,
    workers: int = 2,
    progress: bool | None = None,
) -> PredictionReport:
    """Predict images and write a file for each format: `<stem>.png`, `.npy`, `.tiff`, `<stem>_overlay.jpg`.

    An image that cannot be read is reported, and the rest goes on. Every file appears whole or not at all.

    Args:
        model: The model, on the device where it is to run.
        paths: Files of the images.
        output: Folder for the maps; it is made if it does not exist.
        formats: Formats of the maps.
        batch_size: Images that go through the network at once.
        workers: Threads that read and write.
        progress: Whether to show a progress bar; None shows one in a terminal.

    Raises:
        SpecError: If two images would write the same file, a map would replace an image, or the folder cannot be made.
    """
    refuse_collisions(paths, output, formats)
    make_folder(output)
    outcomes = predict_each(model, paths, output, formats=formats, batch_size=batch_size, workers=workers)
    report = PredictionReport()
    for outcome in tqdm(outcomes, total=len(paths), unit="image", disable=None if progress is None else not progress):
        report.written += outcome.files
        if outcome.error is not None:
            report.failed[outcome.image] = outcome.error
    return report


def predict_each(
    model: SaliencyModel,
    paths: Iterable[Path],
    output: Path,
    *,
    formats: Sequence[Format],
    batch_size: int,
    workers: int,
) -> Iterator[Outcome]:
    """Yield what became of each image as soon as its files are on the disk; see `predict_files`."""
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        pending: deque[tuple[Path, Future[tuple[Path, ...]]]] = deque()
        sources = ((path, partial(to_tensor, path)) for path in paths)
        for path, result in stream(model, sources, pool, batch_size):
            if isinstance(result, ImageError):
                yield Outcome(path, error=str(result))
                continue
            image, saliency_map = result
            pending.append((path, pool.submit(_write, saliency_map, image, output / path.stem, formats)))
            while len(pending) > batch_size:
                yield _outcome(*pending.popleft())
        while pending:
            yield _outcome(*pending.popleft())


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


def _infer(model: SaliencyModel, batch: list[tuple[Key, Tensor | ImageError]]) -> list[Predicted[Key]]:
    """Run one batch in this thread; what could not be read stays what it is."""
    images = [image for _, image in batch if not isinstance(image, ImageError)]
    densities = iter(model.log_densities(images))
    return [
        (key, image if isinstance(image, ImageError) else (image, SaliencyMap(next(densities)))) for key, image in batch
    ]


def _batches(
    items: Iterable[tuple[Key, Tensor | ImageError]], size: int, pixels: int
) -> Iterator[list[tuple[Key, Tensor | ImageError]]]:
    """Cut into batches of `size` images, or of fewer as soon as they have more than so many pixels."""
    batch, seen = list[tuple[Key, Tensor | ImageError]](), 0
    for key, image in items:
        batch.append((key, image))
        seen += 0 if isinstance(image, ImageError) else image[0].numel()
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


def refuse_collisions(paths: Sequence[Path], output: Path, formats: Sequence[Format]) -> None:
    """Check that no two images would write the same file, and that no map would replace an image.

    Raises:
        SpecError: If they would; the message names them.
    """
    images = {path.resolve() for path in paths}
    targets = (output / (path.stem + SUFFIX[kind]) for path in paths for kind in formats)
    if lost := next((target for target in targets if target.resolve() in images), None):
        raise SpecError(f"the map {lost} would replace the image: choose another output folder than {output}.")
    seen: dict[str, Path] = {}
    for path in paths:
        if other := seen.get(path.stem):
            raise SpecError(f"{other} and {path} would both write {path.stem}.*: rename one, or predict them apart.")
        seen[path.stem] = path


def _read_ahead(
    pool: ThreadPoolExecutor, sources: Iterable[Source[Key]], ahead: int
) -> Iterator[tuple[Key, Tensor | ImageError]]:
    """Yield decoded images in order, while the pool decodes the next ones."""
    waiting: deque[tuple[Key, Future[Tensor]]] = deque()
    todo = iter(sources)

    def pixels() -> int:
        done = (future for _, future in waiting if future.done() and future.exception() is None)
        return sum(future.result()[0].numel() for future in done)

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


def _write(saliency_map: SaliencyMap, image: Tensor, stem: Path, formats: Sequence[Format]) -> tuple[Path, ...]:
    written = []
    for kind in formats:
        path = stem.with_name(stem.name + SUFFIX[kind])
        saliency_map.save(path, image=image if kind == "overlay" else None)
        written.append(path)
    return tuple(written)


def _outcome(path: Path, future: Future[tuple[Path, ...]]) -> Outcome:
    try:
        return Outcome(path, future.result())
    except (OSError, ImageError) as error:
        return Outcome(path, error=f"cannot write its map: {error}")
