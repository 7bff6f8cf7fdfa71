"""Pictures to files: the job behind `salzoo predict`. Reading and writing overlap with the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Never

from torch import Tensor
from tqdm import tqdm

from salzoo.errors import ImageError, SpecError
from salzoo.image import to_tensor
from salzoo.model import SaliencyModel
from salzoo.saliency_map import SaliencyMap

Format = Literal["png", "npy", "tiff", "overlay"]
BATCH_PIXELS = 50_000_000
"""Of decoded pictures that wait or go through the network together: large pictures come in smaller batches."""
SUFFIX: dict[Format, str] = {"png": ".png", "npy": ".npy", "tiff": ".tiff", "overlay": "_overlay.jpg"}


@dataclass
class Report:
    """What became of each picture.

    Args:
        written: Files that were written.
        failed: Picture and reason, for those that could not be read or whose map could not be written.
    """

    written: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def predict_files(
    model: SaliencyModel,
    paths: Sequence[Path],
    output: Path,
    *,
    formats: Sequence[Format] = ("png",),
    batch_size: int = 8,
    workers: int = 2,
    progress: bool | None = None,
) -> Report:
    """Predict pictures and write one file a picture and format: `<stem>.png`, `.npy`, `.tiff`, `<stem>_overlay.jpg`.

    A picture that cannot be read is reported, and the rest goes on. Every file appears whole or not at all.

    Args:
        model: On the device where it is to run.
        paths: Pictures.
        output: Folder, made if need be.
        formats: Of the files.
        batch_size: Pictures that go through the network at once.
        workers: Threads that read and write.
        progress: Show a bar; None: if a person is watching.

    Raises:
        SpecError: If two pictures would write the same file, a map would replace a picture, or the folder cannot be
            made.
    """
    _refuse_collisions(paths, output, formats)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(f"cannot make the folder {output}: {error.strerror}; choose another.") from error
    report = Report()
    with (
        ThreadPoolExecutor(max(workers, 1)) as pool,
        tqdm(total=len(paths), unit="picture", disable=None if progress is None else not progress) as bar,
    ):
        pending: deque[tuple[Path, Future[list[Path]]]] = deque()
        for batch in _batches(_read_ahead(pool, paths, 2 * batch_size, report, bar), batch_size):
            maps = model.predict([image for _, image in batch], batch_size=batch_size)
            for (path, image), saliency_map in zip(batch, maps, strict=True):
                pending.append((path, pool.submit(_write, saliency_map, image, output / path.stem, formats)))
            while len(pending) > batch_size:
                _collect(*pending.popleft(), report, bar)
        while pending:
            _collect(*pending.popleft(), report, bar)
    return report


def _refuse_collisions(paths: Sequence[Path], output: Path, formats: Sequence[Format]) -> None:
    pictures = {path.resolve() for path in paths}
    targets = (output / (path.stem + SUFFIX[kind]) for path in paths for kind in formats)
    if lost := next((target for target in targets if target.resolve() in pictures), None):
        raise SpecError(f"the map {lost} would replace the picture: choose another output folder than {output}.")
    seen: dict[str, Path] = {}
    for path in paths:
        if other := seen.get(path.stem):
            raise SpecError(f"{other} and {path} would both write {path.stem}.*: rename one, or predict them apart.")
        seen[path.stem] = path


def _read_ahead(
    pool: ThreadPoolExecutor, paths: Sequence[Path], ahead: int, report: Report, bar: tqdm[Never]
) -> Iterator[tuple[Path, Tensor]]:
    """Yield decoded pictures in order, with the next ones being decoded in the pool."""
    waiting: deque[tuple[Path, Future[Tensor]]] = deque()
    todo = iter(paths)

    def pixels(futures: Iterable[tuple[Path, Future[Tensor]]]) -> int:
        done = (future for _, future in futures if future.done() and future.exception() is None)
        return sum(future.result()[0].numel() for future in done)

    while True:
        while len(waiting) < ahead and pixels(waiting) < BATCH_PIXELS and (path := next(todo, None)) is not None:
            waiting.append((path, pool.submit(to_tensor, path)))
        if not waiting:
            return
        path, future = waiting.popleft()
        try:
            yield path, future.result()
        except ImageError as error:
            report.failed[path] = str(error)
            bar.update()


def _batches(pictures: Iterable[tuple[Path, Tensor]], size: int) -> Iterator[list[tuple[Path, Tensor]]]:
    batch: list[tuple[Path, Tensor]] = []
    for picture in pictures:
        batch.append(picture)
        if len(batch) == size or sum(image[0].numel() for _, image in batch) > BATCH_PIXELS:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(saliency_map: SaliencyMap, image: Tensor, stem: Path, formats: Sequence[Format]) -> list[Path]:
    written = []
    for kind in formats:
        path = stem.with_name(stem.name + SUFFIX[kind])
        saliency_map.save(path, image=image if kind == "overlay" else None)
        written.append(path)
    return written


def _collect(path: Path, future: Future[list[Path]], report: Report, bar: tqdm[Never]) -> None:
    try:
        report.written += future.result()
    except (OSError, ImageError) as error:
        report.failed[path] = f"cannot write its map: {error}"
    bar.update()
