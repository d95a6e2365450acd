"""The house is easy to find one's way in: few rooms, short files, short functions, one meaning for every name."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

import gerund
from support.source import FILES, FLOOR_OF, MODULES, SOURCE, definitions, functions, own_modules

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
ROOMS, LINES, FUNCTION_LINES, MEDIAN_LINES = 15, 400, 60, 8

CONTRACT = {"__all__", "load", "rebuild"}
"""What the dicts of data sets and backbones ask of each of their modules."""


def test_the_top_level_is_a_few_rooms() -> None:
    rooms = [path for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    files = sorted(path.name for path in SOURCE.iterdir() if path.is_file())
    assert len(rooms) <= ROOMS
    assert files == ["__init__.py", "__main__.py", "py.typed"]


def test_a_file_fits_in_the_head() -> None:
    long = {module for module, path in FILES.items() if len(path.read_text(encoding="utf-8").splitlines()) > LINES}
    assert long == set()


def test_a_function_fits_on_a_screen() -> None:
    assert {f"{module}.{name}" for module in FILES for name, lines in functions(module) if lines > FUNCTION_LINES} == set()


def test_most_functions_are_a_few_lines() -> None:
    assert statistics.median(lines for module in FILES for _, lines in functions(module)) <= MEDIAN_LINES


def test_no_modules_import_each_other_in_a_circle() -> None:
    waiting = {module: own_modules(module) for module in MODULES}
    while free := [module for module, targets in waiting.items() if not targets & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting, "these import each other, or something that does"


def test_a_name_means_one_thing() -> None:
    homes = defaultdict(set)
    for module in (name for name in FILES if name != "__main__"):
        for name in definitions(module) - CONTRACT:
            homes[name].add(module)
    doubled = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert not doubled


def test_a_room_is_not_called_like_a_public_function() -> None:
    assert not {path.name for path in SOURCE.iterdir()}.intersection(gerund.__all__)


def test_the_page_of_the_house_shows_its_floors() -> None:
    page = DESIGN.read_text(encoding="utf-8")
    shown = {room: int(floor) for floor, room in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)}
    assert shown == FLOOR_OF


@pytest.mark.parametrize("room", FLOOR_OF)
def test_every_floor_has_its_rooms(room: str) -> None:
    assert (SOURCE / room / "__init__.py").is_file()
