"""How papers are cited: the entries of `salzoo info NAME --bibtex`, of CITATION.cff and of the documentation."""

from __future__ import annotations

import re

from salzoo.errors import SpecError
from salzoo.registry import Paper, resolve

_PROCEEDINGS = ("CVPR", "ECCV", "ICCV", "ICLR workshop", "ICPR", "NIPS")
_WEB = ("arXiv", "Google Open Source Blog")


def bibtex(name: str) -> str:
    """Return the BibTeX entry of the paper of a model.

    Args:
        name: `model` or `model.tag`.

    Raises:
        UnknownModelError: If there is no such model.
        SpecError: If it has no paper.
    """
    spec, _ = resolve(name, imported=True)
    if spec.paper is None:
        raise SpecError(f"{spec.name} has no paper to cite: {spec.summary}")
    paper = spec.paper
    kind, where = entry_kind(paper)
    fields = {
        "title": f"{{{_escape(paper.title)}}}",
        "author": " and ".join(_escape(f"{family}, {given}") for given, family in people(paper)),
        where: _escape(paper.venue),
        "year": str(paper.year),
        **({} if paper.url is None else {"url": paper.url}),
    }
    if number := re.fullmatch(r"https://arxiv\.org/abs/(\d+\.\d+)", paper.url or ""):
        fields |= {"eprint": number[1], "archiveprefix": "arXiv"}
    lines = [f"  {key} = {{{value}}}," for key, value in fields.items()]
    family = re.sub(r"\W", "", people(paper)[0][1]).lower()
    return "\n".join([f"@{kind}{{{family}{paper.year}{spec.name},", *lines, "}"])


def entry_kind(paper: Paper) -> tuple[str, str]:
    """Return the kind of a paper's BibTeX entry, and the field of its venue."""
    if paper.venue in _PROCEEDINGS:
        return "inproceedings", "booktitle"
    return ("misc", "howpublished") if paper.venue in _WEB else ("article", "journal")


def people(paper: Paper) -> list[tuple[str, str]]:
    """Return (given, family) of each author: initials and what follows them, or the last word and what is before it.

    Examples:
        >>> people(Paper("", "C. Canton Ferrer, X. Giro-i-Nieto, Xiaodi Hou and Christof Koch", 2000, ""))
        [('C.', 'Canton Ferrer'), ('X.', 'Giro-i-Nieto'), ('Xiaodi', 'Hou'), ('Christof', 'Koch')]
    """
    found = []
    for author in re.split(r", | and ", paper.authors):
        initials = re.match(r"((?:\w\.[ -]?)+)(.+)", author)
        given, family = initials.groups() if initials else author.rsplit(" ", 1)
        found.append((given.strip(), family))
    return found


def _escape(text: str) -> str:
    """Escape what TeX would take for its own."""
    return re.sub(r"([&%$#_])", r"\\\1", text)
