"""The page of `salzoo demo`: a real server process, asked by gradio's client and by a headless Chromium."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from demo_browser import Page, free_port, has_chromium, served
from PIL import Image

import salzoo
from salzoo.images.saliency_map import SaliencyMap
from salzoo.images.samples import pop_out
from salzoo.metrics import functional

pytest.importorskip("gradio", reason="comes with salzoo[demo]")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="it is stopped by a POSIX signal")]

LIGHT, SECOND = "signature", "bms"
TABLE = "image,x,y\n" + "".join(f"photo,{30 + 7 * i % 150},{20 + 11 * i % 90}\n" for i in range(12))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("scratch")) as address:
        yield address


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pop_out("colour")[0].resize((192, 128)).save(path)
    return path


@pytest.fixture(scope="module")
def maps(photo: Path) -> dict[str, SaliencyMap]:
    return {name: salzoo.load(name).predict(photo) for name in (LIGHT, SECOND)}


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def cells(table: str) -> list[list[str]]:
    """Return the rows of a table in HTML."""
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)][1:]


class TestClient:
    def test_numbers_and_files_are_those_of_the_library(
        self, address: str, photo: Path, maps: dict[str, SaliencyMap], tmp_path: Path
    ) -> None:
        from gradio_client import Client, handle_file

        client = Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)
        look = ("salzoo", 0.6, [0.5, 0.8])
        problem, shown, files, _ = client.predict(handle_file(photo), LIGHT, SECOND, *look, api_name="/predict")
        assert problem == ""
        assert shown.count("<figure>") == 3
        paths = {Path(path).name: Path(path) for path in files}
        assert set(paths) == {f"photo_{m}{end}" for m in (LIGHT, SECOND) for end in (".npy", ".png", "_overlay.jpg")}
        for name, each in maps.items():
            np.testing.assert_array_equal(np.load(paths[f"photo_{name}.npy"]), each.density)
            assert paths[f"photo_{name}_overlay.jpg"].read_bytes() == each.encode(".jpg", image=photo)

        box = (20, 30, 100, 90)
        found = cells(client.predict("20 30 100 90", api_name="/measure"))
        share = {name: each.share(box) for name, each in maps.items()}
        lift = {name: each / (80 * 60 / (192 * 128)) for name, each in share.items()}
        assert found == [[name, percent(share[name]), f"{lift[name]:.2f}"] for name in maps]

    def test_visitors_do_not_see_each_others_images(self, address: str, tmp_path: Path) -> None:
        from gradio_client import Client, handle_file

        def visit(number: int) -> tuple[str, str]:
            """Predict an image of one's own, and return what is told before and after."""
            path = tmp_path / f"{number}.png"
            pop_out("size", number)[0].resize((96 + number, 64)).save(path)
            client = Client(address, verbose=False, analytics_enabled=False)
            before = client.predict("0 0 50 50", api_name="/measure")
            client.predict(handle_file(path), LIGHT, "none", "salzoo", 0.6, [], api_name="/predict")
            return before, client.predict("0 0 50 50", api_name="/measure")

        with ThreadPoolExecutor(5) as pool:
            told = list(pool.map(visit, range(5)))
        model = salzoo.load(LIGHT)
        for number, (before, after) in enumerate(told):
            assert "Choose an image first" in before
            share = model.predict(tmp_path / f"{number}.png").share((0, 0, 50, 50))
            assert cells(after)[0][1] == percent(share)
        assert len({after for _, after in told}) == 5

    def test_headers_without_an_end_are_refused(self, address: str) -> None:
        place = urlsplit(address)
        with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=20) as line:
            line.sendall(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 70_000)
            assert line.recv(1000).startswith(b"HTTP/1.1 400")

    @pytest.mark.parametrize("model", ["/etc", "hf://a/b", "no_such"])
    def test_only_models_of_the_list_are_loaded(self, address: str, photo: Path, model: str) -> None:
        from gradio_client import Client, handle_file

        client = Client(address, verbose=False, analytics_enabled=False)
        with pytest.raises(Exception, match="is not in the list of choices"):
            client.predict(handle_file(photo), model, "none", "salzoo", 0.6, [], api_name="/predict")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def page(address: str, downloads: Path) -> Iterator[Page]:
    if not has_chromium():
        pytest.skip("there is no chromium and chromedriver here")
    pytest.importorskip("selenium")
    page = Page(address, downloads)
    yield page
    page.driver.quit()


class TestBrowser:
    """One visit, in the order of the tests."""

    def test_upload_and_choice_of_models(self, page: Page, photo: Path) -> None:
        page.choose("model", LIGHT)
        page.watch("#maps figcaption b")
        page.upload("photo", photo)
        page.until(lambda: page.titles() == ["photo.png", LIGHT], "overlay")
        assert page.watched()[0] == ["photo.png"], "the image, before its first map"
        page.choose("second_model", SECOND)
        page.until(lambda: page.titles() == ["photo.png", LIGHT, SECOND], "second overlay")
        sizes = [page.driver.execute_script("return arguments[0].naturalWidth", e) for e in page.all("#maps img")]
        assert sizes == [192, 192, 192]

    def test_a_dragged_box_shows_what_share_returns(self, page: Page, maps: dict[str, SaliencyMap]) -> None:
        page.drag(page.all("#maps img")[1], (0.25, 0.25, 0.75, 0.25 + 1 / 3))
        rows = page.until(lambda: page.rows("shares"), "shares")
        text = page.all("#box textarea, #box input")[0].get_property("value")
        box = tuple(map(int, text.split(", ")))
        x0, y0, x1, y1 = box
        np.testing.assert_allclose(box, (48, 32, 144, 32 + 128 / 3), atol=2)
        assert rows == [
            [name, percent(each.share(box)), f"{each.share(box) / ((x1 - x0) * (y1 - y0) / (192 * 128)):.2f}"]
            for name, each in maps.items()
        ]
        frames = page.all("#maps .box")
        assert len(frames) == 3  # on each of the images
        pane = page.all("#maps .pane")[0]
        assert frames[0].size["width"] == pytest.approx(pane.size["width"] * (x1 - x0) / 192, abs=2)

    def test_a_typed_box_moves_the_frame(self, page: Page, maps: dict[str, SaliencyMap]) -> None:
        from selenium.webdriver import Keys

        field = page.all("#box textarea, #box input")[0]
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("0 0 96 128", Keys.ENTER)
        expected = [[name, percent(each.share((0, 0, 96, 128)))] for name, each in maps.items()]
        page.until(lambda: [row[:2] for row in page.rows("shares")] == expected, "shares of the left half")
        frame, pane = page.all("#maps .box")[1], page.all("#maps .pane")[1]
        assert frame.size["width"] == pytest.approx(pane.size["width"] / 2, abs=2)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys("500 500 600 600", Keys.ENTER)
        page.until(lambda: "which has 192 x 128 pixels" in page.text("shares"), "refusal of a box off the image")

    def test_colours_change_the_overlay(self, page: Page) -> None:
        before = page.all("#maps img")[1].get_attribute("src")
        page.all("#look button")[0].click()
        page.choose("colours", "grey")
        page.until(lambda: page.all("#maps img")[1].get_attribute("src") != before, "other colours")
        page.choose("colours", "salzoo")
        page.until(lambda: page.all("#maps img")[1].get_attribute("src") == before, "the same as before")

    def test_downloads(self, page: Page, maps: dict[str, SaliencyMap], downloads: Path) -> None:
        for ending in (".npy", ".png"):
            name = f"photo_{SECOND}{ending}"
            page.until(lambda name=name: page.all(f"#files a[download='{name}']"), f"link to {name}")[0].click()
            page.until(lambda name=name: (downloads / name).exists(), name)
        np.testing.assert_array_equal(np.load(downloads / f"photo_{SECOND}.npy"), maps[SECOND].density)
        with Image.open(downloads / f"photo_{SECOND}.png") as shown:
            np.testing.assert_array_equal(np.asarray(shown), (maps[SECOND].saliency * 255 + 0.5).astype(np.uint8))

    def test_a_table_of_fixations_is_scored(self, page: Page, maps: dict[str, SaliencyMap], tmp_path: Path) -> None:
        table = tmp_path / "table.csv"
        table.write_text(TABLE + "other,5,5\nphoto,900,900\n")
        page.all("#score button")[0].click()
        page.upload("table", table)
        rows = page.until(lambda: page.rows("scores"), "scores")
        counts = np.zeros((1, 128, 192), np.int64)
        for line in TABLE.splitlines()[1:]:
            _, x, y = line.split(",")
            counts[0, int(y), int(x)] += 1
        uniform = np.full((128, 192), 1 / (128 * 192))
        for name, *values in rows:
            density = maps[name].density[None]
            assert values[0] == f"{float(functional.nss(density, counts)):.3f}"
            assert values[1] == f"{float(functional.auc_judd(density, counts)):.3f}"
            assert values[5] == f"{float(functional.info_gain(density, counts, uniform)):.3f}"
        assert "12 fixations on this image. 1 of 13 points lie off the image" in page.text("scores")

    @pytest.mark.parametrize(
        ("content", "told"), [("", "is empty"), ("image,x,y\nphoto,900,900\nphoto,901,950\n", "off|outside")]
    )
    def test_a_bad_table_is_refused_in_words(self, page: Page, tmp_path: Path, content: str, told: str) -> None:
        table = tmp_path / "bad.csv"
        table.write_text(content)
        page.upload("table", table)
        page.until(lambda: re.search(told, page.text("scores")), told)
        assert "bad.csv" in page.text("scores")
        assert "/" not in page.text("scores")

    def test_a_sample_image(self, page: Page) -> None:
        page.all("#samples .sample")[0].click()
        page.until(lambda: page.titles()[:1] != ["photo.png"] and len(page.titles()) == 3, "the sample")
        assert page.titles()[1:] == [LIGHT, SECOND]
        assert page.all("#box textarea, #box input")[0].get_property("value") == ""

    @pytest.mark.parametrize("kind", ["text", "huge"])
    def test_a_broken_image_is_refused_in_words(self, page: Page, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "broken.jpg"
        if kind == "text":
            path.write_text("dear diary")
        else:
            Image.new("1", (20_000, 15_000)).save(path, format="PNG")
        page.upload("photo", path)
        told = "is not an image in a format" if kind == "text" else "pixels, more than the limit"
        page.until(lambda: told in page.text("problem"), told)
        assert "'broken.jpg'" in page.text("problem")
        assert "/tmp" not in page.text("page")
        assert page.titles() == []

    def test_nothing_was_asked_of_another_machine(self, page: Page) -> None:
        asked = page.requests()
        assert len(asked) > 20
        assert [url for url in asked if urlsplit(url).hostname not in (None, "127.0.0.1")] == []


def test_what_visitors_leave_is_removed_and_the_samples_stay(tmp_path: Path) -> None:
    if not has_chromium():
        pytest.skip("there is no chromium and chromedriver here")

    def left() -> list[Path]:
        return [path for path in tmp_path.glob("salzoo_demo_*/visitors/*/*") if path.is_file()]

    with served(tmp_path, "page.KEPT_S = page.CLEANED_EVERY_S = 2") as address:
        page = Page(address, tmp_path)
        page.choose("model", LIGHT)
        for sample in ("chelsea", "astronaut", "chelsea"):  # the first one is there again after it was removed
            page.until(lambda name=sample: page.all(f"#samples .sample[title={name}]"), "samples")[0].click()
            page.until(lambda name=sample: page.titles() == [f"{name}.png", LIGHT], sample)
            assert len(left()) >= 3
            page.until(lambda: not left(), "files removed")
        page.choose("second_model", SECOND)
        page.until(lambda: "'chelsea.png' was uploaded too long ago" in page.text("problem"), "a word on that")
        page.driver.quit()


def test_many_uploads_do_not_fill_the_disk(tmp_path: Path) -> None:
    import httpx

    def left() -> int:
        return sum(path.stat().st_size for path in tmp_path.glob("salzoo_demo_*/visitors/**/*") if path.is_file())

    with served(tmp_path, "page.MOST_KEPT = 10_000_000; page.LOOKED_AFTER_EVERY_S = 0.05") as address:
        for number in range(6):
            files = [("files", (f"{number}_{k}.png", os.urandom(1_000_000))) for k in range(4)]
            assert httpx.post(f"{address}gradio_api/upload", files=files).status_code == 200
        deadline = time.monotonic() + 20
        while not 0 < left() <= 10_000_000:
            assert time.monotonic() < deadline, left()
            time.sleep(0.05)
        assert httpx.get(address).status_code == 200


def test_the_folder_of_a_space_starts_as_it_is(tmp_path: Path) -> None:
    import httpx

    salzoo_command = [sys.executable, "-m", "salzoo", "demo", "--space", str(tmp_path / "space")]
    subprocess.run(salzoo_command, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    environment = {**os.environ, "GRADIO_SERVER_PORT": str(port), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(command, cwd=tmp_path / "space", env=environment, stdout=subprocess.PIPE) as app:
        try:
            assert app.stdout is not None
            assert app.stdout.readline().decode().strip() == f"http://127.0.0.1:{port}/"
            assert "Where do people look" in httpx.get(f"http://127.0.0.1:{port}/config").text
        finally:
            app.terminate()
