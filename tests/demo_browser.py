"""The page of `salzoo demo` in a server process of its own, and a headless Chromium that visits it.

`python tests/demo_browser.py` draws the screenshot that the guide shows.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

SCREENSHOT = Path(__file__).parents[1] / "docs" / "assets" / "demo.png"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@contextmanager
def served(scratch: Path, setting: str = "") -> Iterator[str]:
    """Start `salzoo demo`, yield its address, stop it, and see that it left nothing behind in the scratch folder.

    Args:
        scratch: Where it keeps its files.
        setting: Python that the process runs first; `page` is the page's module.
    """
    lines = ("import sys", "from salzoo.cli import main", "from salzoo.demo import page", setting, "sys.exit(main())")
    command = [sys.executable, "-c", "\n".join(lines), "demo", "--port", str(free_port())]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.match(r"Open (http://127\.0\.0\.1:\d+/) in a browser", line)
        assert found, line
        yield found[1]
    finally:
        server.send_signal(signal.SIGTERM)
        _, errors = server.communicate(timeout=20)
    assert errors.count("Traceback") == errors.count("gradio.exceptions.Error: "), errors  # a refusal by gradio's own
    assert list(scratch.glob("salzoo_demo_*")) == []


def has_chromium() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Page:
    """The page in a headless Chromium."""

    def __init__(self, address: str, downloads: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,1200"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        service = webdriver.ChromeService(str(shutil.which("chromedriver")))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.get(address)
        self.until(lambda: self.all("#photo input[type=file]"), "the page")

    def all(self, selector: str) -> list[Any]:
        return list(self.driver.find_elements("css selector", selector))

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        """Wait until something is true, and return it."""
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except StaleElementReferenceException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"no {what}: {self.driver.find_element('tag name', 'body').text}")

    def choose(self, control: str, value: str) -> None:
        """Choose an entry of a dropdown."""
        self.until(lambda: [each for each in self.all(f"#{control} input") if each.is_displayed()], control)[0].click()
        entries = self.until(lambda: self.all(f"#{control} ul[role=listbox] li, ul[role=listbox] li"), "entries")
        next(each for each in entries if each.get_attribute("aria-label") == value).click()

    def upload(self, control: str, path: Path) -> None:
        """Give a file to a control, in place of the one that it has."""
        for clear in self.all(f"#{control} button[aria-label*=Clear], #{control} button[aria-label*=Remove]"):
            clear.click()
        field = self.until(lambda: self.all(f"#{control} input[type=file]"), "a field for files")[0]
        field.send_keys(str(path))

    def titles(self) -> list[str]:
        return [each.text for each in self.all("#maps figcaption b")]

    def watch(self, selector: str) -> None:
        """Write down from now on what the elements of a selector say, each time that it changes."""
        self.driver.execute_script(
            """window.watched = [];
            new MutationObserver(() => {
              const said = [...document.querySelectorAll(arguments[0])].map((each) => each.textContent);
              const before = window.watched.at(-1) ?? [];
              if (said.join() !== before.join()) window.watched.push(said);
            }).observe(document.body, { childList: true, subtree: true });""",
            selector,
        )

    def watched(self) -> list[list[str]]:
        """Return what `watch` wrote down."""
        return list(self.driver.execute_script("return window.watched"))

    def rows(self, control: str) -> list[list[str]]:
        rows = self.all(f"#{control} tbody tr")
        return [[cell.text for cell in row.find_elements("css selector", "td")] for row in rows]

    def text(self, control: str) -> str:
        return str(self.driver.find_element("css selector", f"#{control}").text)

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def drag(self, image: Any, corners: tuple[float, float, float, float]) -> None:
        """Drag a box on an image; its corners are parts of the width and height."""
        from selenium.webdriver import ActionChains

        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
        across, down = image.size["width"], image.size["height"]
        x0, y0, x1, y1 = corners
        drag = ActionChains(self.driver)
        drag.move_to_element_with_offset(image, round((x0 - 0.5) * across), round((y0 - 0.5) * down)).click_and_hold()
        drag.move_by_offset(round((x1 - x0) * across), 0).move_by_offset(0, round((y1 - y0) * down)).release().perform()


def main() -> None:
    """Predict a sample image with two models, drag a box, and take a screenshot of at most 200 KB."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as address:
        page = Page(address, Path(folder))
        page.driver.set_window_size(1280, 980)
        page.choose("second_model", "unisal")
        page.all("#samples .sample[title=coffee]")[0].click()
        page.until(lambda: len(page.titles()) == 3, "overlays", 120)
        page.drag(page.all("#maps img")[1], (0.32, 0.12, 0.8, 0.62))
        page.until(lambda: page.rows("shares"), "shares")
        page.driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        time.sleep(2)  # what fades in has done so
        shot = page.driver.get_screenshot_as_png()
        page.driver.quit()
    with Image.open(io.BytesIO(shot)) as image:
        few = image.convert("RGB").quantize(160, dither=Image.Dither.NONE)
    few.save(SCREENSHOT, optimize=True)
    print(f"{SCREENSHOT} {SCREENSHOT.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
