"""Files that give numbers their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets.class_maps import read_class_map
from support.layouts import (
    write,
)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classes.txt", "kick\nthrow\nkick\n", r"classes\.txt: 'kick' is the name of 2 classes"),
        ("classes.txt", "\n\n", r"classes\.txt: the class map is empty"),
        ("classes.json", '{"kick": 0, "throw": 0}', r"classes\.json: the number 0 has two names, 'kick' and 'throw'"),
        ("classes.json", '{"' + "9" * 5000 + '": "a"}', r"classes\.json: .* is not a number and a name"),
    ],
)
def test_class_maps_that_name_two_alike_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(DataError, match=words):
        read_class_map(tmp_path / name)


def test_a_long_line_of_a_class_map_is_read_at_once(tmp_path: Path) -> None:
    """200,000 spaces; a pattern that tries every way to part them would need days."""
    lines = ["a" + " " * 200_000 + "b", "9" * 200_000 + "c", "d" + "9" * 200_000, "e"]
    assert list(read_class_map(write(tmp_path / "classes.txt", *lines)).values()) == lines


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classInd.txt", "5 Wave é\n6 jump up\n"),
        ("labels.csv", "id,name\n5,Wave é\n6,jump up\n"),
        ("map.txt", "Wave é 5\njump up 6\n"),
        ("map.txt", "a\nb\nc\nd\ne\nWave é\njump up\n"),
        ("names.json", '{"\\"Wave é\\"": 5, "jump up": 6}'),
        ("names.json", '{"5": "Wave é", "6": "jump up"}'),
        ("names.json", '["a", "b", "c", "d", "e", "Wave é", "jump up"]'),
    ],
)
def test_class_maps_come_in_many_shapes(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    found = read_class_map(tmp_path / name, {5, 6})
    assert (found[5], found[6]) == ("Wave é", "jump up")
