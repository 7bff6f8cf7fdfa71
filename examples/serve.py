"""An HTTP service on LitServe: POST an image, get its saliency map.

    pip install "salzoo[serve]"
    python examples/serve.py --model deepgaze2e --port 8000
    curl --data-binary @photo.jpg "http://127.0.0.1:8000/predict?format=png" -o map.png
    curl -F image=@photo.jpg -H "Accept: application/json" http://127.0.0.1:8000/predict

The map comes as `png` (to look at), `npy` (float32 density) or `json` (size, peak, the PNG in base64), by `?format=` or
by the Accept header. Images that wait are predicted together, whatever their sizes. `GET /health` says whether it runs.
What is no image, too large, too many pixels or too slow to arrive is refused with a 4xx and a sentence.
"""

import argparse
import asyncio
import base64
import io
from typing import Annotated

import litserve
from fastapi import Depends, HTTPException, Request, Response
from PIL import Image
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

import salzoo
from salzoo.errors import ImageError
from salzoo.images.read import to_tensor

MOST_BYTES, MOST_PIXELS = 32 << 20, 40_000_000
KINDS = {"png": "image/png", "npy": "application/octet-stream", "json": "application/json"}


def _kind(request: Request) -> str:
    """Return what the client wants: `?format=`, else the Accept header, else a PNG."""
    asked = request.query_params.get("format")
    if asked is None:
        accept = request.headers.get("accept", "")
        return next((kind for kind, media in KINDS.items() if media in accept), "png")
    if asked not in KINDS:
        raise HTTPException(400, f"format={asked} is not known: {', '.join(KINDS)}")
    return asked


class Impatient(H11Protocol):
    """HTTP with headers of at most 64 KB, whose connections end if those of a request are not there in time."""

    seconds = 60.0

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._expect_a_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_a_request()

    def _expect_a_request(self) -> None:
        before = self.cycle  # of the request before
        self.loop.call_later(self.seconds, lambda: self.cycle is before and self.transport.close())


def _refusal(status: int, text: str) -> HTTPException:
    """Return a refusal after which the rest of the request is not waited for."""
    return HTTPException(status, text, {"Connection": "close"})


async def _read(request: Request) -> bytes:
    """Return the image's bytes, as soon as they are all there."""
    try:
        async with asyncio.timeout(Impatient.seconds):
            return await _body(request)
    except TimeoutError as error:
        raise _refusal(408, f"the request took more than {Impatient.seconds:g} seconds to arrive") from error
    except ClientDisconnect as error:
        raise _refusal(400, "the request ended before its body") from error


async def _body(request: Request) -> bytes:
    """Return the image's bytes, sent as they are or as a form's file, and no more than are taken."""
    too_large = _refusal(413, f"the request is too large: at most {MOST_BYTES:,} bytes")
    if int(request.headers.get("content-length", 0)) > MOST_BYTES:
        raise too_large
    if request.headers.get("content-type", "").startswith("multipart/"):
        if "transfer-encoding" in request.headers:  # a form is put on disk as it comes, without an end that is known
            raise _refusal(411, "a form needs a Content-Length: send the image alone if its size is not known")
        files = [value for value in (await request.form()).values() if not isinstance(value, str)]
        if len(files) != 1:
            raise HTTPException(400, f"send one file in the form, got {len(files)}")
        return await files[0].read()
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise too_large
    return bytes(data)


async def checked(request: Request) -> dict:
    """Return the image's bytes and the kind of answer, before anything waits in the queue."""
    kind, data = _kind(request), await _read(request)
    try:
        with Image.open(io.BytesIO(data)) as image:  # the header alone: nothing is unpacked yet
            pixels = image.width * image.height
    except Image.DecompressionBombError as error:
        raise HTTPException(413, f"the image is too large: at most {MOST_PIXELS:,} pixels are taken") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise HTTPException(415, "this is no image that can be read: send a JPEG, PNG or WebP") from error
    if pixels > MOST_PIXELS:
        raise HTTPException(413, f"the image has {pixels:,} pixels, at most {MOST_PIXELS:,} are taken")
    return {"data": data, "kind": kind}


class SaliencyAPI(litserve.LitAPI):
    """Bytes to maps; LitServe asks for exactly these names of parameters."""

    def __init__(self, model: str, **options) -> None:
        super().__init__(**options)
        self.model_name = model

    def setup(self, device) -> None:
        self.model = salzoo.load(self.model_name, device=str(device))

    def decode_request(self, request: Annotated[dict, Depends(checked)]):
        try:
            return to_tensor(request["data"]), request["kind"]
        except ImageError as error:
            raise HTTPException(415, str(error)) from error

    def batch(self, inputs):
        return inputs

    def predict(self, inputs):
        maps = self.model.predict([image for image, _ in inputs], batch_size=len(inputs))
        return list(zip(maps, (kind for _, kind in inputs), strict=True))

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        saliency_map, kind = output
        data = saliency_map.encode(".npy" if kind == "npy" else ".png")
        if kind != "json":
            return Response(data, media_type=KINDS[kind])
        height, width = saliency_map.shape
        y, x = divmod(int(saliency_map.density.argmax()), width)
        return {"height": height, "width": width, "peak": [x, y], "png": base64.b64encode(data).decode()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deepgaze2e")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--timeout", type=float, default=60, help="seconds after which a request is given up")
    options = parser.parse_args()
    Impatient.seconds = options.timeout
    api = SaliencyAPI(options.model, max_batch_size=options.batch_size, batch_timeout=0.02)
    server = litserve.LitServer(api, accelerator="auto", timeout=options.timeout)
    server.run(host=options.host, port=options.port, generate_client_file=False, http=Impatient)


if __name__ == "__main__":
    main()
