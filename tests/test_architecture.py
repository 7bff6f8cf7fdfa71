"""salzoo stands on its floors, and the check of that sees what is wrong with a house that does not."""

from __future__ import annotations

from pathlib import Path

import architecture
import pytest
from architecture import MARKS, Tree, circles, map_of_rooms, problems, with_map

FLOORS = (("_io", "_leaf"), ("images",), ("metrics",), ("models",), ("jobs",))
SOUND = {
    "__init__.py": "from house.jobs.predict import predict",
    "__main__.py": "from house.jobs import predict",
    "_io.py": '"""Files."""\nimport os\nfrom house._leaf import version',
    "_leaf.py": '"""A leaf."""\nversion = 1',
    "images/__init__.py": '"""Images."""',
    "images/read.py": "from house import _io\nfrom house.images._codec import decode",
    "images/_codec.py": "def decode():\n    from house._io import write\n    return __import__('torch')",
    "metrics/__init__.py": '"""Metrics,\nof maps.\n\nMore of it."""',
    "metrics/auc.py": "from house.images.read import read",
    "metrics/curves/__init__.py": '"""Curves."""',
    "metrics/curves/roc.py": "from ..auc import auc",
    "models/__init__.py": '"""Papers."""',
    "models/itti.py": "from house.metrics import auc\n\nauc.score()",
    "models/gbvs.py": "from house.images.read import read",
    "jobs/__init__.py": '"""Jobs."""',
    "jobs/predict.py": "from house.models.itti import Itti\nfrom house.metrics.curves import roc",
}


def house(root: Path, changes: dict[str, str]) -> Tree:
    for file, text in {**SOUND, **changes}.items():
        (root / "house" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "house" / file).write_text(text, encoding="utf-8")
    return Tree(root, "house")


def test_salzoo_stands_on_its_floors() -> None:
    assert problems(Tree()) == []


def test_the_check_reads_all_of_salzoo() -> None:
    tree = Tree()
    assert {"salzoo.models.quest", "salzoo.data.folder.dataset", "salzoo.errors", "salzoo"} <= set(tree.files)
    found = {(each.source, each.target) for each in tree.imports}
    assert ("salzoo.data.datasets.osie", "salzoo.data.one_file") in found
    assert {each.kind for each in tree.imports} == {"top", "lazy", "types"}
    assert len(tree.rooms()) > 15


def test_the_map_of_rooms_is_current() -> None:
    text = (architecture.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert with_map(text, map_of_rooms(Tree())) == text, "run `make map`"


def test_a_sound_house_has_no_problem(tmp_path: Path) -> None:
    assert problems(house(tmp_path, {}), FLOORS, {}) == []


TYPES = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.models.itti import Itti"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"images/read.py": "import os\nfrom house.metrics.auc import auc"},
            [
                "house/images/read.py:2: upward import of house.metrics.auc",
                "circle of files: house.images.read -> house.metrics.auc -> house.images.read",
                "circle of rooms: images -> metrics -> images",
            ],
            id="upward, and a circle",
        ),
        pytest.param(
            {"images/_codec.py": "def decode():\n    import house.models.gbvs"},
            [
                "house/images/_codec.py:2: upward import of house.models.gbvs, inside a function",
                "house/images/_codec.py:2: names house.models.gbvs, which is above",
                "circle of files: house.images._codec -> house.models.gbvs -> house.images.read -> house.images._codec",
                "circle of rooms: images -> models -> images",
            ],
            id="hidden in a function",
        ),
        pytest.param(
            {"_leaf.py": "import importlib\nx = importlib.import_module('house.jobs.predict.Job')"},
            [
                "house/_leaf.py:2: upward import of house.jobs.predict, inside a function",
                "circle of files: house._io -> house._leaf -> house.jobs.predict -> house.metrics.curves.roc -> "
                "house.metrics.auc -> house.images.read -> house._io",
                "circle of rooms: _io -> _leaf -> jobs -> metrics -> images -> _io",
            ],
            id="by its path",
        ),
        pytest.param(
            {"metrics/auc.py": TYPES},
            [
                "house/metrics/auc.py:3: upward import of house.models.itti, for type checkers",
                "house/metrics/auc.py:3: names house.models.itti, which is above",
                "circle of files: house.metrics.auc -> house.models.itti -> house.metrics.auc",
                "circle of rooms: metrics -> models -> metrics",
            ],
            id="for type checkers",
        ),
        pytest.param(
            {"metrics/curves/roc.py": "from ...jobs import predict as job"},
            [
                "house/metrics/curves/roc.py:1: upward import of house.jobs.predict",
                "circle of files: house.jobs.predict -> house.metrics.curves.roc -> house.jobs.predict",
                "circle of rooms: jobs -> metrics -> jobs",
            ],
            id="relative",
        ),
        pytest.param(
            {"metrics/__init__.py": "from house.metrics.auc import auc", "metrics/auc.py": "from .. import metrics"},
            ["circle of files: house.metrics -> house.metrics.auc -> house.metrics"],
            id="a circle within a room",
        ),
        pytest.param(
            {"images/read.py": "from house import predict"},
            [
                "house/images/read.py:1: upward import of house",
                "circle of files: house -> house.jobs.predict -> house.metrics.curves.roc -> house.metrics.auc -> "
                "house.images.read -> house",
                "circle of rooms: images -> the roof -> jobs -> metrics -> images",
            ],
            id="the roof",
        ),
        pytest.param(
            {"metrics/auc.py": "from house.images._codec import decode"},
            ["house/metrics/auc.py:1: house.images._codec is private to house.images"],
            id="a private file",
        ),
        pytest.param(
            {"metrics/curves/_math.py": "x = 1", "metrics/auc.py": "from house.metrics.curves._math import x"},
            ["house/metrics/auc.py:1: house.metrics.curves._math is private to house.metrics.curves"],
            id="a private file of a folder of the room",
        ),
        pytest.param(
            {"metrics/auc.py": "from house.images.read import _rotate, __doc__"},
            ["house/metrics/auc.py:1: _rotate is private to house.images.read"],
            id="a private name",
        ),
        pytest.param(
            {"metrics/auc.py": "from house.images import read as r\nfrom house.images.read import Image\n\n"
             "def f():\n    return r._rotate(Image._cache, Image.__name__)"},
            [
                "house/metrics/auc.py:5: _rotate is private to house.images.read",
                "house/metrics/auc.py:5: _cache is private to house.images.read",
            ],
            id="a private attribute",
        ),
        pytest.param(
            {"models/itti.py": "from house.models.gbvs import GBVS"},
            ["house/models/itti.py:1: a paper imports house.models.gbvs"],
            id="a paper imports another",
        ),
        pytest.param(
            {"models/__init__.py": "from house.models.gbvs import GBVS"},
            ["house/models/__init__.py:1: a paper imports house.models.gbvs"],
            id="the room of papers imports one",
        ),
        pytest.param(
            {"metrics/auc.py": "# as house.models.gbvs.GBVS does"},
            ["house/metrics/auc.py:1: names house.models.gbvs, which is above"],
            id="names a paper",
        ),
        pytest.param(
            {"video/__init__.py": "import house.images.read"},
            ["house/video: the room is on no floor"],
            id="a room on no floor",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(tmp_path: Path, changes: dict[str, str], expected: list[str]) -> None:
    assert problems(house(tmp_path, changes), FLOORS, {}) == expected


def test_rooms_of_one_floor_do_not_import_each_other(tmp_path: Path) -> None:
    tree = house(tmp_path, {"metrics/auc.py": "from house.images.read import read"})
    assert problems(tree, (("_io", "_leaf"), ("images", "metrics"), ("models",), ("jobs",)), {}) == [
        "house/metrics/auc.py:1: sideways import of house.images.read"
    ]


def test_an_import_for_type_checkers_may_be_excused(tmp_path: Path) -> None:
    pair = ("house.metrics.auc", "house.models.itti")
    tree = house(tmp_path, {"metrics/auc.py": TYPES})
    assert problems(tree, FLOORS, {pair: "says what f returns"}) == [
        "house/metrics/auc.py:3: names house.models.itti, which is above"
    ]


def test_an_excuse_that_nothing_needs_goes(tmp_path: Path) -> None:
    pair = ("house.metrics.auc", "house.models.itti")
    at_run_time = house(tmp_path, {"jobs/predict.py": "import house.models.itti"})
    expected = [f"{pair}: excused, but no such import is for type checkers"]
    assert problems(at_run_time, FLOORS, {pair: "says what f returns"}) == expected


def test_a_floor_names_rooms_that_exist(tmp_path: Path) -> None:
    assert problems(house(tmp_path, {}), (*FLOORS, ("attic",)), {}) == ["attic: on a floor, but there is no such room"]


def test_circles_are_shortest_and_apart() -> None:
    edges = {("a", "b"), ("b", "c"), ("c", "a"), ("b", "a"), ("x", "y"), ("y", "x"), ("c", "x"), ("z", "a")}
    assert circles(edges) == [["a", "b", "a"], ["x", "y", "x"]]
    assert circles({("a", "b"), ("a", "c"), ("b", "c")}) == []


def test_the_map_tells_rooms_by_their_docstrings(tmp_path: Path) -> None:
    rows = map_of_rooms(house(tmp_path, {}), FLOORS).splitlines()
    assert rows[0] == "| floor | room | what it is for | files |"
    assert rows[3] == "| 3 | `models/` | Papers. | one a model |"
    assert rows[4] == "| 2 | `metrics/` | Metrics, of maps. | auc, curves/{roc} |"
    assert rows[6] == "| 0 | `_io.py` | Files. | – |"
    text = f"# Title\n{MARKS[0]}\nold\n{MARKS[1]}\nEnd.\n"
    assert with_map(text, "new") == f"# Title\n{MARKS[0]}\nnew\n{MARKS[1]}\nEnd.\n"
