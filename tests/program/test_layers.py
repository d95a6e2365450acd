"""Imports point down only: the map of the house, checked against the source."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import gerund
from support.source import FLOOR_OF, MODULES, imports_of, own_modules, packages_in, packages_of, room, top_level, tree_of

DOORS = {
    "torch": "learning heads.learned backbones recognition.graphs training.head",
    "torchvision": "learning.finetune",
    "timm": "backbones.timm",
    "lightning_fabric": "learning",
    "transformers": "backbones.hf",
    "av": "video",
    "openvino": "core.openvino backbones heads.learned recognition.graphs",
    "nncf": "backbones.quantize",
    "onnxruntime": "recognition.graphs",
    "onnxscript": "recognition.graphs",
    "ray": "features.cluster",
    "fastapi": "serving labelling",
    "starlette": "serving",
    "uvicorn": "serving labelling",
    "pydantic": "serving labelling",
    "matplotlib": "timelines.picture timelines.ethogram",
    "jinja2": "core.html",
}
"""Package -> the rooms and modules that may import it, in functions too. Doors only get fewer: one without a user must go."""

WHEN_USED = ("matplotlib", "ray", "transformers", "onnxruntime", "onnxscript", "nncf")
"""Packages that are imported in functions only: slow to load, or not always installed."""


def allowed(module: str, target: str) -> bool:
    return room(module) == room(target) or FLOOR_OF[room(target)] < FLOOR_OF[room(module)]


def users_of(package: str) -> list[str]:
    return [module for module in MODULES if package in packages_in(module)]


def is_in(module: str, door: str) -> bool:
    return f"{module}.".startswith(f"{door}.")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_the_table(module: str) -> None:
    assert room(module) in FLOOR_OF, f"{module}: give its room a floor here and in the design page"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_only(module: str) -> None:
    wrong = sorted(target for target in own_modules(module) if not allowed(module, target))
    assert not wrong, f"{module} (floor {FLOOR_OF[room(module)]}) imports {', '.join(wrong)}"


@pytest.mark.parametrize("package", DOORS)
def test_a_package_comes_in_by_its_doors_only(package: str) -> None:
    outside = [module for module in users_of(package) if not any(is_in(module, door) for door in DOORS[package].split())]
    assert not outside, f"{package} is imported outside its doors"


@pytest.mark.parametrize("package", DOORS)
def test_every_door_is_used(package: str) -> None:
    unused = [door for door in DOORS[package].split() if not any(is_in(module, door) for module in users_of(package))]
    assert not unused, f"doors of {package} that nobody uses any more: delete them"


@pytest.mark.parametrize("package", WHEN_USED)
def test_a_heavy_package_is_imported_when_it_is_used(package: str) -> None:
    top = [module for module in MODULES if package in packages_of(top_level(tree_of(module)))]
    assert not top, f"{package} is imported with the module; import it in the function that needs it"


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
    tree = ast.parse(source)
    assert set(imports_of(tree)) == {("typing", "TYPE_CHECKING"), ("gerund.cli", "app"), ("av.stream", None)}
    assert packages_of(tree) == {"typing", "gerund", "av"}
    assert packages_of(top_level(tree)) == {"typing"}


def test_a_room_may_not_import_its_neighbours_or_what_is_above() -> None:
    assert allowed("features", "backbones.base")
    assert allowed("serving.app", "serving.service")
    assert not allowed("backbones.base", "features")
    assert not allowed("serving.app", "cli.app")
    assert not allowed("heads.base", "backbones.base")


def test_import_gerund_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, gerund; print([name for name in ('torch', 'numpy', 'av', 'lightning_fabric', 'openvino') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.torch
def test_every_public_name_is_there() -> None:
    assert sorted(name for names in gerund.HOMES.values() for name in names) == sorted(gerund.__all__)
    assert all(getattr(gerund, name).__name__ == name for name in gerund.__all__)
    with pytest.raises(AttributeError, match="no attribute 'recogniser'"):
        gerund.recogniser  # noqa: B018
