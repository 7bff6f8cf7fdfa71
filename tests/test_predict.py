"""Images to files: the same maps in the same order, however many threads share the work."""

from __future__ import annotations

import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
import torch._dynamo
from PIL import Image

from salzoo.components.saliency_model import SaliencyModel, normalise_log
from salzoo.errors import SpecError
from salzoo.prediction.files import predict_each

FORMATS = ("png",)


@pytest.fixture(scope="module")
def model() -> SaliencyModel:
    return tiny_models.build("deepgaze2").eval()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return images of two sizes, among them one that is broken and one that is not there."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for i in range(11):
        size = ((30, 40), (24, 20))[i % 2]
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(folder / f"{i:02d}.png")
    (folder / "05.png").write_bytes(b"no image")
    return [*sorted(folder.iterdir()), folder / "none.png"]


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 4), (2, 4), (3, 4), (2, 1)])
def test_threads_change_nothing(
    model: SaliencyModel, images: list[Path], threads: int, batch_size: int, tmp_path: Path
) -> None:
    torch.set_num_threads(threads)
    try:
        outcomes = list(predict_each(model, images, tmp_path, formats=FORMATS, batch_size=batch_size, workers=2))
        with ThreadPoolExecutor(1) as pool:
            assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == threads, "as before"
    finally:
        torch.set_num_threads(1)
    assert [o.image.stem for o in outcomes if o.error is not None] == ["05", "none"]
    written = [o for o in outcomes if o.error is None]
    assert [o.image for o in written] == [p for p in images if p.stem not in ("05", "none")]
    for outcome in written:
        wanted = np.asarray(Image.open(io.BytesIO(model.predict(outcome.image).encode(".png"))), dtype=int)
        got = np.asarray(Image.open(outcome.files[0]), dtype=int)
        assert abs(got - wanted).max() <= 1, "but for the last bit: sums are rounded otherwise in a batch"


def test_a_batch_holds_something(model: SaliencyModel, images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="batch_size=0"):
        list(predict_each(model, images, tmp_path, formats=FORMATS, batch_size=0, workers=2))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile writes C++")
@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")  # torch's advice to take 3.13.1
def test_a_compiled_network_predicts_the_same(images: list[Path]) -> None:
    model = tiny_models.build("salnet")
    plain = model.predict(images[0]).log_density
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    model.network.compile()
    np.testing.assert_allclose(model.predict(images[0]).log_density, plain, atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs, "something was compiled"


def test_huge_logits_still_give_a_density():
    logits = torch.zeros(1, 1, 3, 4)
    logits[0, 0, 0, :2] = 1e8
    assert normalise_log(logits).exp().sum().item() == pytest.approx(1)


def test_a_batch_too_large_for_the_memory_goes_in_parts(model: SaliencyModel, images: list[Path], tmp_path: Path):
    """By the error that torch raises, from a layer that has room for two images."""
    room: list[int] = []

    def small(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("out of memory")
        room.append(len(inputs[0]))

    paths = images[:5]
    whole = list(predict_each(model, paths, tmp_path, formats=FORMATS, batch_size=4, workers=1))
    hook = model.network.register_forward_pre_hook(small)
    try:
        parts = list(predict_each(model, paths, tmp_path, formats=FORMATS, batch_size=4, workers=1))
    finally:
        hook.remove()
    assert [outcome.error for outcome in parts] == [outcome.error for outcome in whole] == [None] * 5
    assert max(room) <= 2
