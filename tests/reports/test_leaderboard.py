"""`salzoo leaderboard`: its page says what the scores are, whoever named the images, and sorts in a browser."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from PIL import Image

from salzoo.cli import main
from salzoo.data import load_dataset
from salzoo.errors import SpecError
from salzoo.reports import _leaderboard_page, leaderboard

EVIL = "<script>alert('x')</script>\"&"

NO_PNG = {"image": "a", "score": 1, "png": "aGk="}


class Page(HTMLParser):
    """Tags, the cells of each row, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def scored(tiny_data: Path) -> dict[str, Any]:
    models = {name: tiny_models.build(name) for name in ("gbvs", "signature")}
    return leaderboard.run(models, load_dataset("osie", tiny_data, "test"), baselines=("gold", "uniform"))


def test_a_run_has_times_and_the_maps_of_its_extremes(scored: dict[str, Any]) -> None:
    assert list(scored["rows"]) == ["gbvs", "signature", "gold", "uniform"]
    assert scored["milliseconds"].keys() == {"gbvs", "signature"}
    assert all(value > 0 for value in scored["milliseconds"].values())
    for row, found in scored["extremes"].items():
        assert found["worst"]["score"] <= scored["rows"][row]["nss"] <= found["best"]["score"]
        assert all(("png" in extreme) == (row in scored["milliseconds"]) for extreme in found.values())
    png = base64.b64decode(scored["extremes"]["gbvs"]["best"]["png"])
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == "L"
        assert max(image.size) <= leaderboard.SIDE
        assert np.asarray(image).max() > 200, "a map, scaled"
    json.dumps(scored)


def test_the_page_says_the_scores_and_needs_nothing_else(scored: dict[str, Any], tmp_path: Path) -> None:
    text = leaderboard.write([scored], tmp_path).read_text("utf-8")
    page = Page(text)
    head, *rows = page.rows
    assert head[:2] == ["model", "auc_judd ↑"]
    assert head[-2:] == ["ms ↓", "commit"]
    means = scored["rows"]
    assert [row[0] for row in rows] == sorted(means, key=lambda name: -means[name]["nss"])
    for name, *cells in rows:
        low, high = scored["intervals"][name]["nss"]
        assert cells[head.index("nss ↑") - 1] == f"{means[name]['nss']:z.3f} ± {(high - low) / 2:.3f}"
    assert {attrs["class"] for tag, attrs in page.tags if tag == "tr" and "class" in attrs} == {"baseline"}
    assert sum(tag == "circle" for tag, _ in page.tags) == 2
    assert sum(tag == "img" for tag, _ in page.tags) == 4
    assert all(attrs["src"].startswith("data:image/png") for tag, attrs in page.tags if tag == "img")  # type: ignore[union-attr]
    assert not re.search(r"https?://|\bsrc=\"(?!data:)|<link|@import", text)
    assert f"Split test, {scored['images']} images, convention mit" in text
    assert scored["machine"] in text
    assert json.loads((tmp_path / "osie.json").read_text("utf-8")) == scored


def test_names_are_text_whatever_they_are(scored: dict[str, Any], tmp_path: Path) -> None:
    wild = json.loads(json.dumps(scored).replace("gbvs", "ROW"))
    for part in ("rows", "intervals", "milliseconds", "extremes"):
        wild[part][EVIL] = wild[part].pop("ROW")
    wild["extremes"][EVIL]["best"]["image"] = EVIL
    wild |= {"dataset": EVIL, "notes": [EVIL], "machine": EVIL, "baseline": EVIL, "commits": {EVIL: EVIL}}
    page = Page(leaderboard.write([wild], tmp_path).read_text("utf-8"))
    plain = Page(leaderboard.write([scored | {"notes": ["x"]}], tmp_path).read_text("utf-8"))
    assert sorted(tag for tag, _ in page.tags) == sorted(tag for tag, _ in plain.tags)
    assert {key for _, attrs in page.tags for key in attrs} == {key for _, attrs in plain.tags for key in attrs}
    assert EVIL in [row[0] for row in page.rows]
    assert {path.parent for path in tmp_path.rglob("*.json")} == {tmp_path}


def test_from_saved_evaluations_and_times(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    osie = ["--data", "osie", "--root", str(tiny_data)]
    assert main(["evaluate", "signature", *osie, "--baselines", "uniform", "--json", str(tmp_path / "one.json")]) == 0
    times = {"600x800": {"threads": 1, "milliseconds": {"signature": 7.5}, "commit": "x"}, "memory": {"rows": {}}}
    (tmp_path / "times.json").write_text(json.dumps(times))
    words = ["leaderboard", str(tmp_path / "one.json"), "-o", str(tmp_path / "site")]
    assert main([*words, "--times", str(tmp_path / "times.json")]) == 0
    assert capsys.readouterr().out.endswith(f"Wrote {tmp_path / 'site/index.html'}\n")
    page = (tmp_path / "site/index.html").read_text("utf-8")
    assert "1 thread of a CPU, images of 600x800 pixels" in page
    assert '<td data-value="7.5">7.5</td>' in page
    assert "<img" not in page, "means alone have no maps"
    assert main(["leaderboard", str(tmp_path / "site/osie.json"), "-o", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/index.html").read_text("utf-8") == page


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rows": {"a": {"nss": "<b>"}}}, "'<b>' is no int"),
        ({"dataset": None}, "None is no str"),
        ({"extremes": {"ghost": {}}}, "'ghost' is missing"),
        (
            {"extremes": {"uniform": {"best": NO_PNG, "worst": NO_PNG}}},
            "a map in it is no PNG",
        ),
        ({"milliseconds": {"uniform": "fast"}}, "'fast' is no int"),
        ({"milliseconds": {"uniform": 10**400}}, "too large for a score or a time"),
        ({"rows": {"a": {"nss": 1e12}}}, "too large for a score or a time"),
        ({"intervals": {"uniform": {"nss": [1, 2, 3]}}}, "too many values"),
        ({"notes": ["\ud800"]}, "surrogates not allowed"),
    ],
)
def test_json_of_another_kind_is_refused(
    change: dict[str, Any], told: str, scored: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(json.dumps(scored | change))
    assert main(["leaderboard", str(tmp_path / "x.json"), "-o", str(tmp_path / "site")]) == 1
    error = capsys.readouterr().err
    assert "is not what `salzoo evaluate --json` wrote" in error
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "site").exists()


def test_a_hundred_equal_models_and_a_score_that_is_far_off(scored: dict[str, Any], tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(100)]
    change = {"rows": {name: {"nss": 1.0} for name in names} | {"far": {"nss": -1e8}}}
    change |= {"milliseconds": dict.fromkeys([*names, "far"], 5.0), "extremes": {}, "intervals": {}}
    page = leaderboard.write([scored | change], tmp_path).read_text(encoding="utf-8")
    assert page.count("<circle") == 101
    assert page.count("<path") <= 21


def test_two_datasets_whose_files_have_one_name(scored: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="two tables are of A b"):
        leaderboard.write([scored | {"dataset": name} for name in ("a_b", "A b")], tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--data and --root"),
        (["a.json", "salgan"], "make the page of one kind"),
        (["a.json", "--data", "osie", "--root", "."], "make the page of one kind"),
    ],
)
def test_what_does_not_go_together(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", *words, "-o", "nowhere"]) == 2
    assert told in capsys.readouterr().err


def test_scores_that_are_no_numbers_are_dashes(scored: dict[str, Any], tmp_path: Path) -> None:
    odd = json.loads(json.dumps(scored))
    odd["rows"]["gbvs"] = dict.fromkeys(odd["rows"]["gbvs"], math.nan)
    odd["intervals"]["gbvs"] = {name: [None, None] for name in odd["rows"]["gbvs"]}
    page = Page(leaderboard.write([odd], tmp_path).read_text("utf-8"))
    (row,) = (row for row in page.rows if row[0] == "gbvs")
    assert set(row[1:-2]) == {"–"}
    assert page.rows[-1][0] == "gbvs", "last"


def test_names_in_the_chart_are_apart(scored: dict[str, Any]) -> None:
    rows = [f"model_{i}" for i in range(20)]
    crowd = {"rows": {row: {"nss": 3 + i / 100} for i, row in enumerate(rows)}, "intervals": {}, "extremes": {}}
    crowd["milliseconds"] = {row: 100.0 + i for i, row in enumerate(rows)} | {rows[0]: 5.0, rows[1]: 700.0}
    text = _leaderboard_page.section(scored | crowd)
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(start|end)">(model_\d+)<', text)
    assert len(found) == len(rows)
    lefts = [float(x) - 5.5 * len(name) * (anchor == "end") for x, _, anchor, name in found]
    boxes = [
        (x, float(y), x + 5.5 * len(name), float(y) + 9.5) for x, (_, y, _, name) in zip(lefts, found, strict=True)
    ]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if _leaderboard_page._meet(a, b)]
    assert all(_leaderboard_page.TOP < y < _leaderboard_page.HEIGHT and x1 <= 760 for _, y, x1, _ in boxes)


def test_kept_maps_of_the_best_and_the_worst_image() -> None:
    results = Path(__file__).parents[2] / "benchmarks/results"
    osie = json.loads((results / "osie.json").read_text("utf-8"))
    if not (results / "leaderboard.json").is_file():
        pytest.skip("benchmarks/leaderboard.py has not run")
    kept = json.loads((results / "leaderboard.json").read_text("utf-8"))
    assert [kept[key] for key in ("dataset", "split", "convention")] == ["osie", "test", "mit"]
    for row, found in kept["rows"].items():
        assert found["nss"] == pytest.approx(osie["rows"][row]["nss"], abs=2e-3), "measured again since"
        assert found["worst"]["score"] <= found["nss"] <= found["best"]["score"]
    maps = sorted((results / "leaderboard").iterdir())
    assert {path.name for path in maps} == {f"{row}.{end}.png" for row in kept["rows"] for end in ("best", "worst")}
    assert sum(path.stat().st_size for path in maps) < 300_000
    for path in maps:
        with Image.open(path) as image:
            assert image.mode == "L", "no photograph"
            assert max(image.size) <= 100


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromedriver") is None, reason="needs Chromium and its driver")
def test_a_click_on_a_heading_sorts(scored: dict[str, Any], tmp_path: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.get(leaderboard.write([scored], tmp_path).as_uri())
        rows = "return [...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)"
        means = scored["rows"]
        for heading, key, descending in (("kld", "kld", False), ("sim", "sim", True)):
            (button,) = (b for b in driver.find_elements("css selector", "th button") if b.text.startswith(heading))
            for turn in (descending, not descending):
                button.click()
                expected = sorted(means, key=lambda row: means[row][key], reverse=turn)
                assert driver.execute_script(rows) == expected
        assert not [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        driver.set_window_size(1300, 1400)
        driver.save_screenshot(str(tmp_path / "page.png"))
    finally:
        driver.quit()
