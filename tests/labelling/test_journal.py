"""The journal: what was told to be kept is there, whatever happens to the process, the disk or the file."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerund.core.errors import DataError
from gerund.labelling.journal import Edit, ProjectJournal


def edit(number: int, *changes: tuple, **details) -> Edit:
    return Edit(number=number, changes=changes, at="2026-01-01", by="me", **details)


def test_what_was_written_is_read_again(tmp_path):
    journal = ProjectJournal.opened(tmp_path / "j")
    journal.write(edit(1, ("bout/1", None, {"label": 'naïve \u2028 "walk"'}), token="t1"))
    journal.write(edit(2, ("bout/1", {"label": "x"}, None), ("bout/2", None, {"label": "b"})))
    again = ProjectJournal.opened(tmp_path / "j")
    assert again.edits == journal.edits
    assert again.values == {"bout/2": {"label": "b"}}
    assert again.versions == {"bout/1": 2, "bout/2": 2}
    assert again.tokens["t1"].number == 1
    assert again.below("bout") == {"2": {"label": "b"}}


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_half_a_line_at_the_end_is_cut_off_and_writing_goes_on(tmp_path, kept):
    path = tmp_path / "j"
    journal = ProjectJournal.opened(path)
    journal.write(edit(1, ("a/1", None, 1)))
    whole = path.read_bytes()
    path.write_bytes(whole + edit(2, ("a/2", None, 2)).line()[:kept])
    again = ProjectJournal.opened(path)
    assert path.read_bytes() == whole
    again.write(edit(2, ("a/3", None, 3)))
    assert ProjectJournal.opened(path).values == {"a/1": 1, "a/3": 3}


@pytest.mark.parametrize("line", [b"{}", b"not json", b'{"number":7,"changes":[]}', b'{"number":1,"changes":[["a",1]]}', b"[1]"])
def test_a_damaged_line_in_the_middle_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "j"
    path.write_bytes(line + b"\n" + edit(2).line())
    with pytest.raises(DataError, match=r"j:1: damaged; nothing after this line can be trusted"):
        ProjectJournal.opened(path)


def test_a_full_disk_leaves_the_file_and_the_state_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "j"
    journal = ProjectJournal.opened(path)
    journal.write(edit(1, ("a/1", None, 1)))
    before = path.read_bytes()
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        real(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(DataError, match=r"not saved \(No space left on device\); make room"):
        journal.write(edit(2, ("a/1", 1, 2)))
    assert path.read_bytes() == before
    assert journal.values == {"a/1": 1}
    monkeypatch.undo()
    journal.write(edit(2, ("a/1", 1, 3)))
    assert ProjectJournal.opened(path).values == {"a/1": 3}


def test_what_is_not_flushed_is_not_taken(tmp_path, monkeypatch):
    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal = ProjectJournal.opened(tmp_path / "j")
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(DataError, match="not saved"):
        journal.write(edit(1, ("a/1", None, 1)))
    assert journal.values == {}
    assert (tmp_path / "j").read_bytes() == b""


values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))


@given(st.lists(st.lists(st.tuples(st.sampled_from(["a/1", "a/2", "b/1"]), values), max_size=3), max_size=8))
def test_the_state_is_what_a_dict_would_hold(tmp_path_factory, edits):
    path = tmp_path_factory.mktemp("journal") / "j"
    journal, plain = ProjectJournal.opened(path), {}
    for number, changes in enumerate(edits, start=1):
        journal.write(edit(number, *((key, plain.get(key), value) for key, value in changes)))
        for key, value in changes:
            plain[key] = value
    expected = {key: value for key, value in plain.items() if value is not None}
    assert journal.values == expected
    assert ProjectJournal.opened(path).values == expected
