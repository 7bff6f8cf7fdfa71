"""Throughput of `examples/serve.py` beside that of `predict` at the same batch size, in one run.

    python benchmarks/serving.py [--model deepgaze2e] [--images 64]

JPEG files of four sizes, batches of 8. The service is a process of its own on loopback with 16 clients, so that a batch
always waits; `predict` reads the same bytes in this process. Both take turns, three times, and the medians count.
Target: at least 85 %.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from record import record

import salzoo
from salzoo.images.samples import pop_out

BATCH, CLIENTS, TURNS = 8, 16, 3
SIZES = ((800, 600), (640, 480), (1024, 768), (480, 640))
EXAMPLE = Path(__file__).parents[1] / "examples" / "serve.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deepgaze2e")
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    files = [jpeg(k, SIZES[k % len(SIZES)]) for k in range(options.images)]
    model = salzoo.load(options.model)
    rates: dict[str, list[float]] = {"predict": [], "service": []}
    with served(options.model) as url, ThreadPoolExecutor(CLIENTS) as clients:
        turns: dict[str, Callable[[list[bytes]], object]] = {
            "predict": lambda some: model.predict(some, batch_size=BATCH),
            "service": lambda some: list(clients.map(lambda data: post(url, data), some)),
        }
        for turn in turns.values():
            turn(files[:BATCH])
        for _ in range(TURNS):
            for name, turn in turns.items():
                start = time.perf_counter()
                turn(files)
                rates[name].append(len(files) / (time.perf_counter() - start))
                print(f"{name}: {rates[name][-1]:.2f} images a second", flush=True)
    medians = {name: round(statistics.median(each), 2) for name, each in rates.items()}
    share = round(medians["service"] / medians["predict"], 3)
    found = {"images": len(files), "batch_size": BATCH, "threads": torch.get_num_threads(), "images_a_second": medians}
    record("serving", options.model, {**found, "share": share}, ("share", ">=", 0.85))


def jpeg(seed: int, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    pop_out("colour", seed=seed)[0].resize(size).save(file, "JPEG")
    return file.getvalue()


def post(url: str, data: bytes) -> bytes:
    request = urllib.request.Request(f"{url}/predict", data, {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        body: bytes = answer.read()
    return body


@contextmanager
def served(model: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, EXAMPLE, "--model", model, "--port", str(port), "--batch-size", str(BATCH)]
    server = subprocess.Popen(
        [*words, "--timeout", "300"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        url = f"http://127.0.0.1:{port}"
        while not healthy(url):
            if server.poll() is not None:
                raise RuntimeError("the service ended before it answered")
            time.sleep(0.25)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # LitServe's workers outlive it otherwise
        server.wait()


def healthy(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/health", timeout=5).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
