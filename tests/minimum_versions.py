"""The oldest versions that pyproject.toml declares, as pip's constraints: CI tests salzoo with exactly these.

`python tests/minimum_versions.py` writes them to constraints-min.txt.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FILE = ROOT / "constraints-min.txt"


def minimum_versions(pyproject: dict[str, Any]) -> dict[str, str]:
    """Return the lower bound of each dependency, extras included, by its name.

    Raises:
        ValueError: If a dependency of users has no lower bound, or two bounds of one package differ.
    """
    project = pyproject["project"]
    groups = {"": project["dependencies"], **project.get("optional-dependencies", {})}
    found: dict[str, str] = {}
    for group, lines in groups.items():
        for requirement in map(Requirement, lines):
            if requirement.name == project["name"]:
                continue
            bounds = [each.version for each in requirement.specifier if each.operator in (">=", "==")]
            if not bounds and group != "dev":
                raise ValueError(f"{requirement}: no lower bound")
            for bound in bounds:
                if found.setdefault(requirement.name, bound) != bound:
                    raise ValueError(f"{requirement.name}: bounds {found[requirement.name]} and {bound} differ")
    return found


def constraints(pyproject: dict[str, Any]) -> str:
    """Return the text of constraints-min.txt."""
    lines = [f"{name}=={version}" for name, version in sorted(minimum_versions(pyproject).items())]
    return "\n".join(["# The oldest versions that pyproject.toml declares: `make minimum-versions`.", *lines, ""])


def main() -> None:
    """Write constraints-min.txt."""
    FILE.write_text(constraints(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
