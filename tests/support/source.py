"""The source of gerund as its tests look at it: files, what a module imports, what it defines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gerund

SOURCE = Path(gerund.__file__).parent
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCE.rglob("*.py")
}
"""Module -> file, without the leading `gerund.`; a room stands for its `__init__`."""
MODULES = sorted(name for name in FILES if name not in ("__init__", "__main__"))


FLOORS = (
    "core",
    "video",
    "data backbones heads",
    "features",
    "live diagnosis",
    "recognition",
    "timelines learning",
    "training",
    "serving",
    "labelling",
    "cli",
)
"""From the ground up; a module imports from its own room and from lower floors, never from a neighbour on its floor."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """What a text imports, in functions too: (module, name or None); what is under `if TYPE_CHECKING` does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imports_of(other)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the whole name"
            yield from ((node.module or "", alias.name) for alias in node.names)
        else:
            yield from imports_of(node)


@cache
def own_modules(module: str) -> set[str]:
    """The modules of gerund that a module imports; `from gerund.heads import ridge` is `heads.ridge`, not `heads`."""
    found = set()
    for source, name in imports_of(tree_of(module)):
        whole = f"{source}.{name}".removeprefix("gerund.")
        found.add(whole if whole in FILES else source.removeprefix("gerund."))
    return found.intersection(MODULES)


def packages_of(tree: ast.AST) -> set[str]:
    """The packages that a text imports anything of: the first part of each name."""
    return {source.partition(".")[0] for source, _ in imports_of(tree)}


@cache
def packages_in(module: str) -> set[str]:
    """The packages that a module imports anything of."""
    return packages_of(tree_of(module))


def top_level(tree: ast.Module) -> ast.Module:
    """A text without its functions and classes: what runs when it is imported."""
    body = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return ast.Module(body=body, type_ignores=[])


def room(module: str) -> str:
    return module.partition(".")[0]


def definitions(module: str) -> set[str]:
    """The names that a module defines at its top level: functions, classes, whatever is assigned."""
    return {name for node in tree_of(module).body for name in names_of(node)}


def names_of(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            return [each.id for target in node.targets for each in parts(target) if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def parts(target: ast.expr) -> list[ast.expr]:
    """What is assigned to: the names of `a, b = ...`, or the one of `a = ...`."""
    return target.elts if isinstance(target, ast.Tuple | ast.List) else [target]


def functions(module: str) -> Iterator[tuple[str, int]]:
    """Each function of a module, methods and inner ones too, with its lines of code: all of it but the docstring."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = first if ast.get_docstring(node, clean=False) is not None else None
            words = text.end_lineno - text.lineno + 1 if text is not None and text.end_lineno else 0
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1 - words
