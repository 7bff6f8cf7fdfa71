"""The floor plan of salzoo: which room stands on which floor, and what breaks it.

`python tests/architecture.py` checks the tree and writes the map of rooms into CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "salzoo"

FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "_version",
        "errors",
        "_io",
        "_text",
        "_arrays",
        "_hdf5",
        "_markdown",
        "_modules",
        "_precision",
        "_progress",
        "_schema",
        "_malloc",
        "_process",
        "_distributed",
    ),
    ("registry", "images", "weight_files"),
    ("metrics", "video"),
    ("data",),
    ("backbones",),
    ("losses",),
    ("checkpoint",),
    ("components",),
    ("models",),
    ("importing", "exporting"),
    ("prediction",),
    ("evaluation",),
    ("training",),
    ("studies", "demo", "reports"),
    ("cli",),
)
"""Lowest first. A room is a folder, or a file that stands alone. A file imports from its own room and from lower
floors; those of the ground floor may import each other. `salzoo/__init__.py` and `__main__.py` are the roof."""

PAPERS = "models"
"""The room whose files do not know each other, and whose files nothing below may name."""

TYPES_ONLY: dict[tuple[str, str], str] = {}
"""Imports for type checkers alone that may run up or close a circle: (importer, imported) to the reason."""


@dataclass(frozen=True)
class Import:
    """One import of a module of the package.

    Args:
        source: Dotted module that imports.
        target: Dotted module that is imported.
        names: What is taken out of it.
        line: Line in the file of `source`.
        kind: `top`, `lazy` (inside a function, or by `importlib.import_module`) or `types` (under `TYPE_CHECKING`).
    """

    source: str
    target: str
    names: tuple[str, ...]
    line: int
    kind: str


class Tree:
    """The modules of a package, parsed.

    Args:
        root: Folder that holds the package's folder.
        package: Name of that folder.
    """

    def __init__(self, root: Path = ROOT, package: str = PACKAGE) -> None:
        self.package = package
        self.files = {self._dotted(path.relative_to(root)): path for path in sorted((root / package).rglob("*.py"))}
        self.parsed = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.files.items()}
        self.imports = [found for name in self.files for found in self._imports(name)]

    @staticmethod
    def _dotted(path: Path) -> str:
        parts = path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def room(self, module: str) -> str:
        """Return the room of a module; that of the package itself and of `__main__` is the empty string, the roof."""
        inside = module.split(".")[1:2]
        return "" if inside in ([], ["__main__"]) else inside[0]

    def rooms(self) -> set[str]:
        """Return all rooms but the roof."""
        return {room for module in self.files if (room := self.room(module))}

    def place(self, module: str, line: int) -> str:
        """Return `file:line` for a message."""
        path = self.files[module]
        return f"{path.relative_to(path.parents[module.count('.') + (path.name == '__init__.py')])}:{line}"

    def _imports(self, module: str) -> Iterator[Import]:
        for node, kind in _walk(self.parsed[module], "top"):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._edges(module, alias.name, (), node.lineno, kind)
            elif isinstance(node, ast.ImportFrom):
                names = tuple(alias.name for alias in node.names)
                yield from self._edges(module, self._absolute(module, node), names, node.lineno, kind)
            elif (
                isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield from self._edges(module, str(node.args[0].value), (), node.lineno, "lazy")

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        folder = module.split(".")
        if self.files[module].name != "__init__.py":
            folder = folder[:-1]
        base = folder[: len(folder) - node.level + 1]
        return ".".join([*base, *([node.module] if node.module else [])])

    def _edges(self, source: str, target: str, names: tuple[str, ...], line: int, kind: str) -> Iterator[Import]:
        """Tell `from package import module` from `from module import name`."""
        if target.split(".")[0] != self.package:
            return
        while target not in self.files and "." in target:  # import_module("salzoo.x.Class"): its module
            target = target.rpartition(".")[0]
        modules = [name for name in names if f"{target}.{name}" in self.files]
        for name in modules:
            yield Import(source, f"{target}.{name}", (), line, kind)
        if rest := tuple(name for name in names if name not in modules):
            yield Import(source, target, rest, line, kind)
        elif not names:
            yield Import(source, target, (), line, kind)


def _walk(node: ast.AST, kind: str) -> Iterator[tuple[ast.AST, str]]:
    """Every node below, with the kind that an import has there."""
    for child in ast.iter_child_nodes(node):
        yield child, kind
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk(child, "types" if kind == "types" else "lazy")
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _walk(ast.Module(child.body, []), "types")
            yield from _walk(ast.Module(child.orelse, []), kind)
        else:
            yield from _walk(child, kind)


def problems(
    tree: Tree,
    floors: tuple[tuple[str, ...], ...] = FLOORS,
    types_only: dict[tuple[str, str], str] = TYPES_ONLY,
) -> list[str]:
    """Return what breaks the floor plan, one line each; an empty list if nothing does."""
    level = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    found = [f"{tree.package}/{room}: the room is on no floor" for room in sorted(tree.rooms() - set(level))]
    found += [f"{room}: on a floor, but there is no such room" for room in sorted(set(level) - tree.rooms())]
    for_types = {(i.source, i.target) for i in tree.imports if i.kind == "types"}
    found += [
        f"{pair}: excused, but no such import is for type checkers" for pair in sorted(set(types_only) - for_types)
    ]
    imports = [i for i in tree.imports if i.kind != "types" or (i.source, i.target) not in types_only]
    found += _upward(tree, imports, level)
    found += _private(tree)
    found += _papers(tree, level)
    found += [f"circle of files: {' -> '.join(circle)}" for circle in circles({(i.source, i.target) for i in imports})]
    between = {(tree.room(i.source) or "the roof", tree.room(i.target) or "the roof") for i in imports}
    between = {(a, b) for a, b in between if a != b}
    found += [f"circle of rooms: {' -> '.join(circle)}" for circle in circles(between)]
    return found


def _upward(tree: Tree, imports: list[Import], level: dict[str, int]) -> Iterator[str]:
    roof = len(level)
    for each in imports:
        source, target = tree.room(each.source), tree.room(each.target)
        above, below = level.get(source, roof), level.get(target, roof)
        if source != target and not (above == below == 0) and above <= below:
            word = "upward" if above < below else "sideways"
            kind = {"top": "", "lazy": ", inside a function", "types": ", for type checkers"}[each.kind]
            yield f"{tree.place(each.source, each.line)}: {word} import of {each.target}{kind}"


def _private(tree: Tree) -> Iterator[str]:
    """Modules that begin with an underscore, from outside their folder; such names, from outside their room."""
    for each in tree.imports:
        parts = each.target.split(".")
        for end, part in enumerate(parts):
            folder = ".".join(parts[:end])
            if _is_private(part) and not f"{each.source}.".startswith(f"{folder}."):
                yield f"{tree.place(each.source, each.line)}: {each.target} is private to {folder}"
        if tree.room(each.source) != tree.room(each.target):
            for name in filter(_is_private, each.names):
                yield f"{tree.place(each.source, each.line)}: {name} is private to {each.target}"
    for module, parsed in tree.parsed.items():
        aliases = dict(_aliases(tree, module))
        for node in ast.walk(parsed):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and _is_private(node.attr):
                owner = aliases.get(node.value.id)
                if owner is not None and tree.room(owner) != tree.room(module):
                    yield f"{tree.place(module, node.lineno)}: {node.attr} is private to {owner}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _aliases(tree: Tree, module: str) -> Iterator[tuple[str, str]]:
    """Names in a file that stand for modules, or for classes and functions, of the package."""
    for node in ast.walk(tree.parsed[module]):
        if isinstance(node, ast.ImportFrom):
            base = tree._absolute(module, node)
            if base.split(".")[0] == tree.package:
                for alias in node.names:
                    whole = f"{base}.{alias.name}"
                    yield alias.asname or alias.name, whole if whole in tree.files else base
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and alias.name.split(".")[0] == tree.package:
                    yield alias.asname, alias.name


def _papers(tree: Tree, level: dict[str, int]) -> Iterator[str]:
    """Papers that import each other, and files below that name one, be it in a comment."""
    room = f"{tree.package}.{PAPERS}"
    for each in tree.imports:
        if each.source.startswith(room) and each.target.startswith(f"{room}.") and each.source != each.target:
            yield f"{tree.place(each.source, each.line)}: a paper imports {each.target}"
    named = re.compile(rf"\b{tree.package}[./]{PAPERS}[./]\w+")
    for module, path in tree.files.items():
        if level.get(tree.room(module), len(level)) < level.get(PAPERS, 0):
            for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if hit := named.search(text):
                    yield f"{tree.place(module, line)}: names {hit[0]}, which is above"


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Return one shortest circle through each group of nodes that reach each other; its first node is also its last."""
    after: dict[str, list[str]] = {}
    for source, target in sorted(edges):
        after.setdefault(source, []).append(target)
    found: list[list[str]] = []
    for start in sorted(after):
        circle = _way_back(start, after)
        if circle and not any(set(circle) & set(other) for other in found):
            found.append(circle)
    return found


def _way_back(start: str, after: dict[str, list[str]]) -> list[str] | None:
    """Breadth first, so that the message is as short as it can be."""
    ways, seen = [[start]], set()
    while ways:
        way = ways.pop(0)
        for target in after.get(way[-1], []):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


MARKS = "<!-- map of rooms: written by `make map` -->", "<!-- end of the map -->"


def map_of_rooms(tree: Tree, floors: tuple[tuple[str, ...], ...] = FLOORS) -> str:
    """Return the table of rooms from their docstrings, the highest floor first."""
    lines = ["| floor | room | what it is for | files |", "|---|---|---|---|"]
    for floor, rooms in reversed(list(enumerate(floors))):
        for room in rooms:
            module = f"{tree.package}.{room}"
            text = (ast.get_docstring(tree.parsed[module]) or "").split("\n\n")[0].replace("\n", " ")
            folder = tree.files[module].name == "__init__.py"
            files = _files(tree.files[module].parent) if folder else "–"
            files = "one a model" if room == PAPERS else files  # or each new model would change a fourth place
            lines.append(f"| {floor} | `{room}{'/' if folder else '.py'}` | {text} | {files} |")
    return "\n".join(lines)


def _files(folder: Path) -> str:
    """Return the files of a room, those of its folders in braces."""
    stems = [path.stem for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
    nested = [path for path in sorted(folder.iterdir()) if (path / "__init__.py").is_file()]
    return ", ".join([*stems, *(f"{path.name}/{{{_files(path)}}}" for path in nested)])


def with_map(text: str, table: str) -> str:
    """Return a text with the table between its marks."""
    begin, end = MARKS
    before, rest = text.split(begin)
    return f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"


def main() -> int:
    """Write the map, print what breaks the plan."""
    tree, page = Tree(), ROOT / "CONTRIBUTING.md"
    page.write_text(with_map(page.read_text(encoding="utf-8"), map_of_rooms(tree)), encoding="utf-8")
    found = problems(tree)
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
