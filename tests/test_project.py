"""What surrounds the code agrees with it: versions, continuous integration, templates, targets of the Makefile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from minimum_versions import FILE, constraints, minimum_versions
from packaging.requirements import Requirement

import salzoo
from salzoo.registry import read_spec, spec_names

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def read(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict), path
    return content


class TestMinimumVersions:
    def test_the_file_is_current(self) -> None:
        assert FILE.read_text(encoding="utf-8") == constraints(PYPROJECT), "run `make minimum-versions`"

    def test_every_line_is_a_version_that_pyproject_accepts(self) -> None:
        lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        pinned = {name: version for name, _, version in (line.partition("==") for line in lines)}
        for line in PYPROJECT["project"]["dependencies"]:
            requirement = Requirement(line)
            assert requirement.specifier.contains(pinned[requirement.name]), line

    def test_bounds_of_dependencies_and_extras(self) -> None:
        project: dict[str, Any] = {
            "name": "me",
            "dependencies": ["a>=1.2,<3", "b[x]>=4"],
            "optional-dependencies": {"e": ["c==0.1"], "dev": ["me[e]", "types-a", "b>=4"]},
        }
        assert minimum_versions({"project": project}) == {"a": "1.2", "b": "4", "c": "0.1"}
        assert constraints({"project": project}).splitlines()[1:] == ["a==1.2", "b==4", "c==0.1"]
        with pytest.raises(ValueError, match=r"a: bounds 1\.2 and 2 differ"):
            minimum_versions({"project": {**project, "optional-dependencies": {"e": ["a>=2"]}}})
        with pytest.raises(ValueError, match="d<2: no lower bound"):
            minimum_versions({"project": {**project, "dependencies": ["d<2"]}})

    def test_the_pins_of_make_satisfy_pyproject(self) -> None:
        bounds = {r.name: r for r in map(Requirement, PYPROJECT["project"]["dependencies"])}
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        for pin in (Requirement(line) for line in lines if not line.startswith("#")):
            (exact,) = pin.specifier
            assert bounds[pin.name].specifier.contains(exact.version), pin


class TestWorkflows:
    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_every_step_is_whole_and_every_action_has_a_version(self, path: Path) -> None:
        workflow = read(path)
        assert {"push", "pull_request"} <= set(workflow[True])  # YAML 1.1 reads the key `on` as true
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] <= 60, name
            assert job["steps"][0]["uses"].startswith("actions/checkout@"), name
            for step in job["steps"]:
                assert ("run" in step) != ("uses" in step), (name, step)
                assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1")), (name, step)

    @pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / ".ci/run", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
    def test_what_is_made_is_a_target(self, path: Path) -> None:
        made = set(re.findall(r"(?:^|`|run: )make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        assert made
        assert made <= TARGETS

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_files_that_are_named_exist(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"\b(?:tests|hub|salzoo|examples)/[\w./-]+|\bconstraints[\w-]*\.txt", text)
        assert named
        assert not [file for file in named if not (ROOT / file).exists()]

    def test_oldest_and_newest_versions_both_sides_of_slow_and_no_extras_are_run(self) -> None:
        jobs = read(ROOT / ".github/workflows/ci.yml")["jobs"]
        commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
        assert "make test CONSTRAINTS=constraints-min.txt" in commands["minimum-versions"]
        assert "make test-slow" in commands["slow-tests"]
        assert "make lint" in commands["lint"]
        assert "make docs" in commands["docs"]
        assert "python .ci/release" in commands["release"]
        assert "python -m pip install . pytest hypothesis" in commands["without-extras"]
        tested = {(each["python"], each["constraints"]) for each in jobs["tests"]["strategy"]["matrix"]["include"]}
        promised = [each.rsplit(" ", 1)[1] for each in PYPROJECT["project"]["classifiers"] if "Python :: 3." in each]
        assert tested == {("3.11", "constraints.txt"), *((python, "") for python in promised)}
        assert PYPROJECT["project"]["requires-python"] == f">={promised[0]}"


class TestTemplates:
    def test_there_is_a_form_for_each_kind(self) -> None:
        assert {path.stem for path in FORMS} == {"bug", "wrong_number", "new_model", "new_dataset"}

    @pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
    def test_form(self, path: Path) -> None:
        """GitHub shows nothing of a form with an error, and tells nobody."""
        form = read(path)
        assert {"name", "description", "body"} <= set(form) <= {"name", "description", "title", "labels", "body"}
        ids = [element["id"] for element in form["body"]]
        assert len(set(ids)) == len(ids)
        assert any(element.get("validations", {}).get("required") is True for element in form["body"])
        for element in form["body"]:
            assert set(element) <= {"type", "id", "attributes", "validations"}
            assert element["type"] in ("textarea", "input", "checkboxes")
            assert element["attributes"]["label"]
            assert isinstance(element["attributes"].get("description", ""), str)
            assert (element["type"] == "checkboxes") == ("options" in element["attributes"])

    def test_a_bug_asks_for_version_and_command(self) -> None:
        text = (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text(encoding="utf-8")
        assert all(word in text for word in ("salzoo --version", "python --version", "id: command"))

    def test_the_checklist_of_a_pull_request(self) -> None:
        text = (ROOT / ".github/pull_request_template.md").read_text(encoding="utf-8")
        assert text.count("\n- [ ] ") >= 10
        assert set(re.findall(r"`make ([a-z-]+)`", text)) <= TARGETS


def test_pre_commit_hooks_run_what_exists() -> None:
    config = read(ROOT / ".pre-commit-config.yaml")
    local = [hook for repo in config["repos"] if repo["repo"] == "local" for hook in repo["hooks"]]
    assert {"ruff", "ruff-format", "mypy", "map", "minimum-versions"} == {hook["id"] for hook in local}
    for hook in local:
        assert {"id", "name", "entry", "language"} <= set(hook)
        assert all((ROOT / word).is_file() for word in hook["entry"].split() if word.startswith("tests/"))
    assert all(repo["repo"] == "local" or re.fullmatch(r"v\d+\.\d+\.\d+", repo["rev"]) for repo in config["repos"])


def test_the_citation_is_of_this_version() -> None:
    """Citation File Format 1.2: its required keys, and what pyproject.toml says as well."""
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == salzoo.__version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["authors"] == [{"name": "The salzoo authors"}]
    assert citation["type"] == "software"
    assert all(isinstance(citation[key], str) and citation[key] for key in ("message", "title", "abstract"))
    known = {"cff-version", "message", "type", "title", "abstract", "authors", "version", "license", "keywords"}
    assert set(citation) <= known | {"date-released", "url", "repository-code", "doi", "references"}


def test_the_references_are_complete() -> None:
    """What the Citation File Format 1.2 asks of a reference: type, title, authors, and of a conference its name."""
    references = read(ROOT / "CITATION.cff")["references"]
    papers = {spec.paper.title for spec in map(read_spec, spec_names()) if spec.paper}
    assert {reference["title"] for reference in references} == papers
    for reference in references:
        assert reference["type"] in ("article", "conference-paper", "generic")
        assert (reference["type"] == "conference-paper") == ("conference" in reference)
        assert reference["authors"]
        assert all(author["given-names"] and author["family-names"] for author in reference["authors"])
        assert 1900 < reference["year"] < 2100


def test_the_changelog_has_this_version_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", text, re.MULTILINE)[0] == salzoo.__version__


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "RELEASES.md"])
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", text)
    folders = "salzoo|tests|zoo_configs|hub|benchmarks|examples|\\.github"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`|`([A-Z]+\.md|[\w-]+\.(?:txt|toml|cff))`", text)
    named = [*links, *(one or other for one, other in paths)]
    assert named
    assert not [file for file in named if not (ROOT / file).exists()]


def test_make_test_leaves_out_what_make_test_slow_runs() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert text.count('-m "not slow"') == 1
    assert text.count("-m slow") == 1
    assert [marker.partition(":")[0] for marker in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]] == [
        "slow",
        "gpu",
    ]
    assert {"make lint", "make test"} <= set((ROOT / ".ci/run").read_text().splitlines())
    assert "- run: make test-slow" in (ROOT / ".github/workflows/ci.yml").read_text()
