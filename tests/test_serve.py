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
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import salzoo

pytest.importorskip("litserve", reason="pip install salzoo[serve]")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("serve")) as address:
        yield address


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """Start the service, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    words = [sys.executable, "examples/serve.py", "--model", "centre_bias", "--port", str(port), *options]
    server = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(720):
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
    connection.putrequest("POST", "/predict")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.endheaders()
    assert connection.getresponse().status == 411  # such a form could fill the disk
    connection.close()


@pytest.mark.slow
def test_slow_and_endless_requests_end_and_hold_nobody_up(tmp_path: Path) -> None:
    with served(tmp_path, "--timeout", "2") as address:
        host, port = address.removeprefix("http://").split(":")
        post = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
        form = b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9000\r\n\r\n--x\r\n"
        begun = {
            "nothing": b"",
            "headers": post + b"X-A: ",
            "body": post + b"Content-Length: 9000\r\n\r\na",
            "form": post + form,
        }
        lines = [(kind, socket.create_connection((host, int(port)))) for kind in begun for _ in range(8)]
        for kind, line in lines:
            line.sendall(begun[kind])
        begin = time.monotonic()
        assert ask(address, encoded(30, 40)) == 200
        assert time.monotonic() - begin < 2, "served while 32 others hold their connections"
        told = {kind: heard(line, b"" if kind == "nothing" else b"a") for kind, line in lines[::8]}
        assert told["nothing"] == told["headers"] == b""
        for kind in ("body", "form"):
            assert told[kind].startswith(b"HTTP/1.1 408"), kind
            assert b"took more than 2 seconds to arrive" in told[kind]
        assert time.monotonic() - begin < 15
        for _, line in lines:
            line.close()
        endless = {
            "headers": (post + b"X-A: ", b"a" * 70_000, [b"400"]),
            "body": (
                post + b"Transfer-Encoding: chunked\r\n\r\n",
                b"100000\r\n" + b"a" * (1 << 20) + b"\r\n",
                [b"413", b"408"],
            ),
        }
        for kind, (head, piece, statuses) in endless.items():
            with socket.create_connection((host, int(port))) as line:
                line.sendall(head)
                told[kind] = heard(line, piece)
            assert told[kind].removeprefix(b"HTTP/1.1 ")[:3] in statuses, kind
        assert ask(address, encoded(30, 40)) == 200


def ask(address: str, image: bytes) -> int:
    return post(f"{address}/predict", image)[0]


def heard(line: socket.socket, piece: bytes) -> bytes:
    """Send a piece again and again until the other side ends the connection; return what it said."""
    line.settimeout(0.2)
    said = b""
    for _ in range(200):
        try:
            line.sendall(piece)
        except OSError:  # it does not want the rest
            piece = b""
        try:
            got = line.recv(1 << 16)
        except TimeoutError:
            continue
        except OSError:
            break
        said += got
        if not got:
            break
    else:
        raise AssertionError(f"still open, said {said[:100]!r}")
    return said


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
