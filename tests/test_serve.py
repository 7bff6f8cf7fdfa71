"""`examples/serve.py` as a real process on loopback, and the Dockerfile that runs it."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import salzoo

pytest.importorskip("litserve", reason="pip install salzoo[serve]")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("serve") / "log").open("wb")
    words = [sys.executable, "examples/serve.py", "--model", "centre_bias", "--port", str(port)]
    server = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.25)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # LitServe's workers outlive it otherwise
        server.wait()
        log.close()


def post(url: str, data: bytes, **headers: str) -> tuple[int, bytes]:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def encoded(height: int, width: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.slow
def test_200_mixed_images_from_8_clients(address: str) -> None:
    model = salzoo.load("centre_bias")
    files = [encoded(40 + 7 * k, 90 - 6 * k, kind) for k, kind in enumerate(["PNG", "JPEG", "WEBP", "PNG", "JPEG"])]
    expected = [model.predict(file).density for file in files]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda k: post(f"{address}/predict?format=npy", files[k % 5]), range(200)))
    assert {status for status, _ in answers} == {200}
    for k, (_, body) in enumerate(answers):
        np.testing.assert_allclose(np.load(io.BytesIO(body)), expected[k % 5], rtol=1e-4)


@pytest.mark.slow
def test_answers_and_refusals(address: str) -> None:
    image = encoded(30, 40)
    status, body = post(f"{address}/predict", image)
    assert (status, Image.open(io.BytesIO(body)).size) == (200, (40, 30))
    status, body = post(f"{address}/predict", image, Accept="application/json")
    assert (status, json.loads(body)["height"]) == (200, 30)
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + image + b"\r\n--x--\r\n"
    assert post(f"{address}/predict", form, Content_Type="multipart/form-data; boundary=x")[0] == 200
    status, body = post(f"{address}/predict", b"This is a text.")
    assert status == 415
    assert b"no image that can be read" in body
    huge = io.BytesIO()
    Image.new("1", (20_000, 15_000)).save(huge, "PNG")
    status, body = post(f"{address}/predict", huge.getvalue())
    assert status == 413
    assert b"at most 40,000,000" in body
    assert post(f"{address}/predict?format=gif", image)[0] == 400
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(33 << 20))
    connection.endheaders()  # refused before it is sent
    assert connection.getresponse().status == 413
    connection.close()
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    chunked = {"Transfer-Encoding": "chunked", "Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/predict", iter([form]), chunked, encode_chunked=True)
    assert connection.getresponse().status == 411  # such a form could fill the disk
    connection.close()


def test_the_dockerfile_names_what_is_there() -> None:
    text = (ROOT / "examples/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    assert text.splitlines()[1].startswith("FROM python:3.")
    for line in re.findall(r"^COPY (.*)$", text, re.M):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line
    command = json.loads(re.findall(r"^CMD (.*)$", text, re.M)[0])
    assert (ROOT / command[1]).is_file()
    told = (ROOT / command[1]).read_text(encoding="utf-8")
    assert all(f'"{word}"' in told for word in command if word.startswith("--"))
    extra = re.findall(r'"\.\[(\w+)\]"', text)
    assert all(f"\n{name} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8") for name in extra)
