"""`salzoo info NAME --bibtex`: entries that BibTeX reads, with what the registry knows."""

from __future__ import annotations

import re

import pytest

from salzoo.cli import main
from salzoo.registry import read_spec, spec_names

CITED = [name for name in spec_names() if read_spec(name).paper]


@pytest.mark.parametrize("name", CITED)
def test_an_entry_has_what_is_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", f"{name}.paper" if "paper" in read_spec(name).variants else name, "--bibtex"]) == 0
    entry = capsys.readouterr().out
    kind, key, body = re.fullmatch(r"@(\w+)\{(\w+),\n(.*)\}\n", entry, re.DOTALL).groups()
    fields = dict(re.fullmatch(r"  (\w+) = \{(.*)\},", line).groups() for line in body.splitlines())
    paper = read_spec(name).paper
    assert key.endswith(f"{paper.year}{name}")
    assert fields["title"] == f"{{{paper.title}}}"
    assert fields["year"] == str(paper.year)
    assert paper.venue in {"inproceedings": [fields.get("booktitle")], "article": [fields.get("journal")]}.get(
        kind, [fields.get("howpublished")]
    )
    assert len(fields["author"].split(" and ")) == len(re.split(", | and ", paper.authors))
    assert not re.search(r"(?<!\\)[&%$#_]", fields["title"] + fields["author"])
    for author in fields["author"].split(" and "):
        family, given = author.split(", ")
        assert f"{given} {family}" in paper.authors


def test_what_has_no_paper_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "uniform", "--bibtex"]) == 2
    assert "uniform has no paper to cite" in capsys.readouterr().err
