"""Imports point down only: the map of the house, checked against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gerund

SOURCE = Path(gerund.__file__).parent

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
    "cli",
)
"""From the ground up; a module imports from its own room and from lower floors, never from a neighbour on its floor."""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}

ONLY_IN = {
    "av": "video",
    "lightning": "learning",
    "transformers": "backbones",
    "timm": "backbones",
    "openvino": "core backbones recognition",
    "ray": "features",
    "fastapi": "serving",
    "uvicorn": "serving",
}

FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCE.rglob("*.py")
}
MODULES = sorted(name for name in FILES if name not in ("__init__", "__main__"))


def imports_of(source: str) -> set[str]:
    """Dotted names of everything a source text imports, in functions too; what is under `if TYPE_CHECKING` does not count."""
    return set(imported(ast.parse(source)))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(other)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the whole name"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imported(node)


def own_modules(module: str) -> set[str]:
    """The modules of gerund that a module imports, without the leading `gerund.`."""
    names = imports_of(FILES[module].read_text(encoding="utf-8"))
    return {name.removeprefix("gerund.") for name in names if name.removeprefix("gerund.") in MODULES}


def room(module: str) -> str:
    return module.partition(".")[0]


def allowed(module: str, target: str) -> bool:
    return room(module) == room(target) or FLOOR_OF[room(target)] < FLOOR_OF[room(module)]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_the_table(module: str) -> None:
    assert room(module) in FLOOR_OF, f"{module}: give its room a floor here and in the design page"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module: str) -> None:
    wrong = sorted(target for target in own_modules(module) if not allowed(module, target))
    assert not wrong, f"{module} (floor {FLOOR_OF[room(module)]}) imports {', '.join(wrong)}"


@pytest.mark.parametrize(("package", "home"), ONLY_IN.items())
def test_a_package_behind_one_door_is_imported_there_only(package: str, home: str) -> None:
    users = {module for module in MODULES if package in {room(name) for name in imports_of(FILES[module].read_text("utf-8"))}}
    assert users
    assert {room(user) for user in users} <= set(home.split())


def test_heads_never_see_backbones() -> None:
    heads = [module for module in MODULES if room(module) == "heads"]
    assert heads
    assert not [module for module in heads if "backbones" in {room(target) for target in own_modules(module)}]


def test_the_parser_sees_imports_in_functions_and_leaves_out_those_for_types() -> None:
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from gerund.cli.app import main
def late():
    with open("x"):
        from gerund.cli import app
        import av.stream
"""
    assert imports_of(source) == {"typing", "typing.TYPE_CHECKING", "gerund.cli", "gerund.cli.app", "av.stream"}


def test_a_room_may_not_import_its_neighbours_or_what_is_above() -> None:
    assert allowed("features", "backbones.base")
    assert allowed("serving.app", "serving.service")
    assert not allowed("backbones.base", "features")
    assert not allowed("serving.app", "cli.app")
    assert not allowed("heads.base", "backbones.base")


def test_import_gerund_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, gerund; print([name for name in ('torch', 'numpy', 'av', 'lightning', 'openvino') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert sorted(name for names in gerund.HOMES.values() for name in names) == sorted(gerund.__all__)
    assert all(getattr(gerund, name).__name__ == name for name in gerund.__all__)
    with pytest.raises(AttributeError, match="no attribute 'recogniser'"):
        gerund.recogniser  # noqa: B018
