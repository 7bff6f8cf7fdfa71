"""Tables as labs and trackers export them: every dialect gives the same points, what is left out is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salzoo.cli import main
from salzoo.data import FixationFolder
from salzoo.data.check import check
from salzoo.errors import DataError, DatasetNotFoundError, SpecError

HEADER = ("image", "x", "y", "observer")
RNG = np.random.default_rng(0)
ROWS = [
    (name, f"{x:.1f}", f"{y:.1f}", person)
    for name in ("a.jpg", "b.jpg")
    for person in ("s0", "s1")
    for x, y in RNG.uniform(10, 100, (4, 2)).tolist()
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (160, 120)).save(tmp_path / "images" / name)
    return tmp_path


def points(dataset: FixationFolder) -> list[tuple[str, float, float]]:
    found = [(name, dataset.study.points[name]) for name in sorted(dataset.study.points)]
    return [(name, x, y) for name, p in found for x, y in zip(p.x.tolist(), p.y.tolist(), strict=True)]


def expected(rows: list[tuple[str, ...]] | None = None) -> list[tuple[str, float, float]]:
    return [(name, float(x), float(y)) for name, x, y, *_ in (ROWS if rows is None else rows)]


def lines(separator: str, decimal: str = ".", end: str = "", header_end: str = "") -> str:
    body = [separator.join((n, x.replace(".", decimal), y.replace(".", decimal), o)) + end for n, x, y, o in ROWS]
    return "\n".join([separator.join(HEADER) + header_end, *body])


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("f.tsv", lines("\t", end="\t"), "utf-8"),  # a separator behind the last cell, but of the header
        ("f.csv", lines(",", end=",,", header_end=",,"), "utf-8"),
        ("f.csv", lines(",", header_end=","), "utf-8"),
        ("f.csv", lines(";", ","), "utf-8-sig"),
        ("f.csv", lines("\t", ","), "utf-16"),
        ("f.csv", lines("|"), "utf-8"),
        ("f.tsv", lines(","), "utf-8"),
        ("f.csv", "sep=;\n" + lines(";"), "utf-16-le"),
        ("f.csv", "# exported by a program\n# of 2024\n\n" + lines(","), "utf-8"),
        ("f.csv", lines(",") + "\n,,,\n\n", "utf-8"),
        ("f.txt", lines("\t"), "cp1252"),
        ("F.TXT", lines("\t").replace("\n", "\r\n"), "utf-8"),
        ("f.xls", lines("\t", ","), "utf-16"),
    ],
)
def test_dialects(root: Path, name: str, text: str, encoding: str) -> None:
    (root / name).write_bytes(text.encode(encoding))
    (root / "README.txt").write_text("Notes, of many words.\nIn a few lines, none of them a table, as one sees.\n")
    dataset = FixationFolder(root, "all")
    assert points(dataset) == expected()
    assert dataset.study.observers == ("s0", "s1")
    assert dataset.study.dropped == {}


def test_a_decimal_comma_that_is_said(root: Path) -> None:
    quoted = "\n".join(",".join(f'"{cell.replace(".", ",") if i in (1, 2) else cell}"' for i, cell in enumerate(row))
                       for row in (HEADER, *ROWS))  # fmt: skip
    (root / "f.csv").write_text(quoted)
    with pytest.raises(DataError, match=r'line 2: x is .* if the comma is the decimal sign, say decimal=","'):
        FixationFolder(root)
    assert points(FixationFolder(root, "all", decimal=",")) == expected()
    (root / "f.csv").write_text(lines(";").replace("a.jpg", "a", 1))
    with pytest.raises(DataError, match=r"line 2: x is .*, not a number"):
        FixationFolder(root, decimal=",")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines(",", ","), r"line 2 has 6 cells, the header has 4; is the comma also the decimal sign\?"),
        (lines(";") .replace("\nb.jpg;", "\nb.jpg;1,", 1), r"x is '1,.*', not a number"),
        ("name;value\n1;2\n", r"no column 'image', only name, value"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read(root: Path, text: str, message: str) -> None:
    (root / "f.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        FixationFolder(root)


def test_a_real_spreadsheet_is_told(root: Path) -> None:
    (root / "f.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DatasetNotFoundError, match="no fixations in"):
        FixationFolder(root)
    with pytest.raises(DataError, match=r"f\.xls is not a table in text: save it as CSV"):
        FixationFolder(root, fixations="f.xls")


def test_rows_on_no_image_are_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    between = ["", ".", "cross.png", "Fixation Cross.bmp", "fixation_03.png", "blank.png", "+"]
    more = [(name, "80", "60", "s0") for name in between]
    text = "\n".join("\t".join(row) for row in (HEADER, *ROWS, *more))
    (root / "f.tsv").write_text(text)
    dataset = FixationFolder(root, "all")
    assert points(dataset) == expected()
    assert sum(dataset.study.dropped.values()) == 7
    assert dataset.study.dropped["without an image's name"] == 2
    assert main(["data", "check", str(root), "-o", str(root / "sheet.png")]) == 0
    assert "2 without an image's name, 5 on +, Fixation Cross.bmp, blank.png, cross.png, fixation_03.png" in (
        capsys.readouterr().out
    )
    (root / "f.tsv").write_text(text + "\nmask7.png\t80\t60\ts0\nmask8.png\t1\t1\ts0\ncrossroads.png\t1\t1\ts0")
    with pytest.raises(DataError, match=r"3 images that are not in .*'crossroads\.png'.*ignore in study\.json"):
        FixationFolder(root)
    (root / "study.json").write_text(json.dumps({"ignore": ["MASK*", "crossroads"]}))
    dataset = FixationFolder(root, "all")
    assert points(dataset) == expected()
    assert sum(dataset.study.dropped.values()) == 10


def test_an_image_that_is_called_like_a_cross_is_kept(root: Path) -> None:
    Image.new("RGB", (160, 120)).save(root / "images/cross.png")
    (root / "f.tsv").write_text("\n".join("\t".join(row) for row in (HEADER, ("cross.png", "80", "60", "s0"))))
    assert points(FixationFolder(root, "all")) == [("cross.png", 80, 60)]


def test_observers_and_conditions_to_keep(root: Path) -> None:
    rows = [(*row, "free" if i % 2 else "search", str(i % 3)) for i, row in enumerate(ROWS)]
    (root / "f.csv").write_text("\n".join(",".join(row) for row in ((*HEADER, "task", "block"), *rows)))
    assert points(FixationFolder(root, "all", observers=["s1"])) == expected([row for row in ROWS if row[3] == "s1"])
    assert FixationFolder(root, "all", observers=["s1"]).study.dropped == {"of other observers": 8}
    kept = FixationFolder(root, "all", keep={"task": ["FREE"], "block": [0, 2]})
    assert points(kept) == expected([row for i, row in enumerate(ROWS) if i % 2 and i % 3 != 1])
    assert sum(kept.study.dropped.values()) == len(ROWS) - len(points(kept))
    (root / "f.csv").write_text(
        "\n".join(",".join(row).replace("s1", "1") for row in ((*HEADER, "task", "block"), *rows))
    )
    assert points(FixationFolder(root, "all", observers=[1])) == expected([row for row in ROWS if row[3] == "s1"])
    (root / "f.csv").write_text("\n".join(",".join(row) for row in ((*HEADER, "task", "block"), *rows)))
    with pytest.raises(SpecError, match=r"nobody is called 's11'; did you mean 's1'\?"):
        FixationFolder(root, observers=["s11"])
    with pytest.raises(SpecError, match="no column 'tsk' to keep rows by"):
        FixationFolder(root, keep={"tsk": ["free"]})
    with pytest.raises(DataError, match=r"no row has task = rest, only free, search"):
        FixationFolder(root, keep={"task": ["rest"]})


def test_one_table_an_observer(root: Path) -> None:
    (root / "fixations").mkdir()
    for person in ("s0", "s1"):
        own = [row[:3] for row in ROWS if row[3] == person]
        (root / "fixations" / f"{person}.csv").write_text("\n".join(",".join(row) for row in (HEADER[:3], *own)))
    dataset = FixationFolder(root, "all")
    assert points(dataset) == expected()
    assert dataset.study.observers == ("s0", "s1")
    assert dataset.study.points["a.jpg"].observer.tolist() == [0] * 4 + [1] * 4


SIZE = np.array((160, 120))
TRUE = np.array([(float(x), float(y)) for _, x, y, _ in ROWS])
PARTS = (TRUE + 0.5) / SIZE
DURATIONS = np.array([100 + 10 * i for i in range(len(ROWS))])


def table(header: str, row: Callable[[int], list[tuple[object, ...]]], separator: str = "\t") -> str:
    """Return a table with the lines that `row` gives for each fixation."""
    cells = [line for i in range(len(ROWS)) for line in row(i)]
    return "\n".join([header.replace("\t", separator), *(separator.join(map(str, line)) for line in cells)])


def tobii(unit: str) -> str:
    header = (
        "Recording timestamp [μs]\tSensor\tParticipant name\tPresented Stimulus name\tEye movement type\t"
        f"Gaze event duration [ms]\tEye movement type index\tFixation point X{unit}\tFixation point Y{unit}"
    )
    values = TRUE if "px" in unit or not unit else PARTS

    def row(i: int) -> list[tuple[object, ...]]:
        name, _, _, person = ROWS[i]
        x, y = (repr(float(value)).replace(".", ",") for value in values[i])
        samples = [(1000 * i + 8 * k, "Eye Tracker", person, name, "Fixation", DURATIONS[i], i, x, y) for k in range(4)]
        return [*samples, (1000 * i + 40, "Eye Tracker", person, name, "Saccade", 30, i, "", ""),
                (1000 * i + 50, "Mouse", person, "", "", "", "", "", "")]  # fmt: skip

    return table(header, row)


EXPORTS: dict[str, tuple[str, str]] = {
    "EyeLink Data Viewer": (
        "report.txt",
        table(
            "RECORDING_SESSION_LABEL\tTRIAL_INDEX\tCURRENT_FIX_INDEX\tCURRENT_FIX_START\tCURRENT_FIX_DURATION\t"
            "CURRENT_FIX_X\tCURRENT_FIX_Y\tNEXT_SAC_AMPLITUDE\timage",
            lambda i: [(ROWS[i][3], 1, i, 300 * i, DURATIONS[i], *TRUE[i], ".", ROWS[i][0])],
        ),
    ),
    "Tobii Pro Lab": ("a.tsv", tobii(" [MCS px]")),
    "Tobii Pro Lab, older": ("a.tsv", tobii("")),
    "Tobii Pro Lab, normalised": ("a.tsv", tobii(" [MCS norm]")),
    "Tobii Studio": (
        "a.tsv",
        table(
            "ParticipantName\tMediaName\tRecordingTimestamp\tFixationIndex\tGazeEventType\tGazeEventDuration\t"
            "FixationPointX (MCSpx)\tFixationPointY (MCSpx)",
            lambda i: [(ROWS[i][3], ROWS[i][0], 500 * i + k, i, "Fixation", DURATIONS[i], *TRUE[i]) for k in range(3)],
        ),
    ),
    "SMI BeGaze": (
        "events.txt",
        table(
            "Trial\tStimulus\tParticipant\tCategory\tEvent Start Trial Time [ms]\tEvent Duration [ms]\t"
            "Fixation Position X [px]\tFixation Position Y [px]",
            lambda i: [
                (1, ROWS[i][0], ROWS[i][3], "Fixation", 500 * i, DURATIONS[i], *TRUE[i]),
                (1, ROWS[i][0], ROWS[i][3], "Saccade", 500 * i + 400, 30, "-", "-"),
            ],
        ),
    ),
    "Gazepoint Analysis": (
        "User 1_all_gaze.csv",
        table(
            "MEDIA_ID\tMEDIA_NAME\tCNT\tTIME(2024/01/01 00:00:00)\tFPOGX\tFPOGY\tFPOGS\tFPOGD\tFPOGID\tFPOGV\tUSER\t",
            lambda i: [
                *(
                    (
                        0,
                        ROWS[i][0],
                        i,
                        i,
                        *(PARTS[i] + (2 - k) / 1000),
                        i,
                        DURATIONS[i] / 1000 * (k + 1) / 3,
                        i,
                        1,
                        ROWS[i][3],
                        "",
                    )
                    for k in range(3)
                ),
                (0, ROWS[i][0], i, i, 0.9, 0.9, i, 0.02, i, 0, ROWS[i][3], ""),
            ],
            ",",
        ),
    ),
    "Pupil Labs (Player)": (
        "fixations_on_surface.csv",
        table(
            "world_timestamp\tworld_index\tfixation_id\tstart_timestamp\tduration\tdispersion\tnorm_pos_x\tnorm_pos_y\t"
            "x_scaled\ty_scaled\ton_surf\timage\tparticipant",
            lambda i: [
                (i + k, i, i, i, DURATIONS[i], 1, PARTS[i, 0], 1 - PARTS[i, 1], 0, 0, on, ROWS[i][0], ROWS[i][3])
                for k, on in enumerate(("True", "True", "False"))
            ],
            ",",
        ),
    ),
    "Pupil Labs (Cloud)": (
        "fixations.csv",
        table(
            "section id\trecording id\tfixation id\tstart timestamp [ns]\tend timestamp [ns]\tduration [ms]\t"
            "fixation detected on surface\tfixation x [normalized]\tfixation y [normalized]\timage",
            lambda i: [
                ("q", ROWS[i][3], i, 10**9 * i, 10**9 * i + 9, DURATIONS[i], "True", *PARTS[i], ROWS[i][0]),
                ("q", ROWS[i][3], 100 + i, 10**9 * i + 10, 0, 99, "False", 2.0, 2.0, ROWS[i][0]),
            ],
            ",",
        ),
    ),
    "PsychoPy ioHub": (
        "events.csv",
        table(
            "session_id\tstart_time\tduration\taverage_gaze_x\taverage_gaze_y\timage",
            lambda i: [(ROWS[i][3], i, DURATIONS[i] / 1000, *((PARTS[i] - 0.5) * (4 / 3, -1)), ROWS[i][0])],
            ",",
        ),
    ),
    "pymovements": (
        "events.csv",
        table(
            "subject_id\timage\tname\tonset\toffset\tduration\tlocation_x\tlocation_y",
            lambda i: [
                (ROWS[i][3], ROWS[i][0], "fixation", 500 * i, 500 * i + DURATIONS[i], DURATIONS[i], *TRUE[i]),
                (ROWS[i][3], ROWS[i][0], "saccade", 500 * i + 450, 0, 40, 5, 5),
            ],
            ",",
        ),
    ),
}


@pytest.mark.parametrize("kind", EXPORTS)
def test_exports_of_trackers(root: Path, kind: str) -> None:
    name, text = EXPORTS[kind]
    (root / name).write_text(text, encoding="utf-16" if "Tobii" in kind else "utf-8")
    options = {}
    if kind == "PsychoPy ioHub":
        with pytest.raises(DataError, match=r'"norm".*or "height"'):
            FixationFolder(root)
        options = {"units": "height"}
    dataset = FixationFolder(root, "all", **options)
    np.testing.assert_allclose([(x, y) for _, x, y in points(dataset)], TRUE, atol=1e-9)
    assert [name for name, _, _ in points(dataset)] == [row[0] for row in ROWS]
    found = [dataset.study.points[name] for name in ("a.jpg", "b.jpg")]
    np.testing.assert_allclose(np.concatenate([each.duration for each in found]), DURATIONS, atol=1e-9)  # type: ignore[misc]
    assert dataset.study.observers == ("s0", "s1")
    assert np.concatenate([each.observer for each in found]).tolist() == [int(row[3][1]) for row in ROWS]
    lines_read = len(text.split("\n")) - 1
    assert lines_read == len(ROWS) + sum(dataset.study.dropped.values()), "each row is a fixation or counted"
    assert f"an export of {kind.split(',')[0]}" in check(dataset).facts["fixations in"]


def test_an_export_that_does_not_name_the_image(root: Path) -> None:
    name, text = EXPORTS["EyeLink Data Viewer"]
    (root / name).write_text(text.replace("\timage", "\tpic"))
    with pytest.raises(DataError, match=r"an export of EyeLink Data Viewer .*columns=\{\"image\": \.\.\.\}"):
        FixationFolder(root)
    np.testing.assert_allclose([p[1:] for p in points(FixationFolder(root, "all", columns={"image": "pic"}))], TRUE)
