"""The picture of the rooms shows the rooms and imports that there are, and the walks name files that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.source import FLOOR_OF, MODULES, SOURCE, own_modules, room

ROOT = Path(__file__).parents[2]
PICTURE = (ROOT / "docs" / "rooms.svg").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
WALKS = {
    title: re.findall(r"^\d+\. `([\w/]+\.py)`", text, re.MULTILINE)
    for title, text in re.findall(r"^\*\*(You are [\w ]+)\*\*(.*?)(?=^\*\*You are|^## )", PAGE, re.MULTILINE | re.DOTALL)
}
LONGEST = {"You are a clip": 12, "You are a folder of labelled clips": 18}


def test_the_picture_names_every_room_and_no_other() -> None:
    assert set(re.findall(r'class="room" id="(\w+)"', PICTURE)) == set(FLOOR_OF)
    assert "](rooms.svg)" in PAGE


def test_the_picture_has_an_arrow_for_every_import_between_rooms() -> None:
    drawn = {tuple(pair) for pair in re.findall(r'<path class="\w+" id="(\w+)-(\w+)"', PICTURE)}
    true = {(room(module), room(target)) for module in MODULES for target in own_modules(module)}
    assert drawn == {(one, other) for one, other in true if one != other}, "draw it anew: python tools/rooms.py"


def test_the_tool_draws_a_picture_that_asks_nobody_for_anything(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "rooms.py", tmp_path / "rooms.svg"], check=True, timeout=60)
    drawn = (tmp_path / "rooms.svg").read_text(encoding="utf-8")
    assert drawn.startswith("<svg")
    assert "prefers-color-scheme: dark" in drawn
    assert not re.search(r"<script|href|url\((?!#)", drawn)


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_is_short_and_its_files_are_there(title: str) -> None:
    files = WALKS[title]
    assert 5 < len(set(files)) == len(files) <= LONGEST.get(title, 14)
    assert not [file for file in files if not (SOURCE / file).is_file()]
