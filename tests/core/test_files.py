"""Files and folders written whole or not at all."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gerund.core import files
from gerund.core.errors import DataError
from support.killing import all_kills

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def test_what_was_there_stays_until_the_new_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.whole(path) as temporary:
        temporary.write_text("ne")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old"
    files.write_text(path, "new\r\nline")
    assert path.read_bytes() == b"new\r\nline"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 251 + ".srt", "é" * 125 + ".mp4", "x" * 255, "x." + "y" * 253])
def test_a_name_that_just_fits_can_be_written(tmp_path, name):
    files.write_text(tmp_path / name, "there")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "there")]


def test_the_other_name_keeps_the_suffix_which_tells_encoders_the_format(tmp_path):
    assert files.beside(tmp_path / "a.tar.mp4").suffix == ".mp4"
    assert files.beside(tmp_path / "a.mp4", "partial").name.endswith(".partial.mp4")
    assert files.beside(tmp_path / "a.mp4", "x") != files.beside(tmp_path / "b.mp4", "x")


def test_what_cannot_be_a_file_is_refused_before_anything_is_written(tmp_path):
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / ("x" * 256), "File name too long")):
        with pytest.raises(OSError, match=why), files.whole(path):
            pytest.fail("the block is not entered")
    with pytest.raises(DataError, match=r"no/a\.txt: cannot be written \(No such file or directory\)"):
        files.write_text(tmp_path / "no" / "a.txt", "")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "text"


def written(folder, content):
    with files.whole_folder(folder) as new:
        for name in ("a", "b"):
            (new / name).write_text(content)
        (new / "below").mkdir()
        (new / "below" / "c").write_text(content)


def content_of(folder):
    return {path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "best"
    written(path, "old")
    with pytest.raises(RuntimeError), files.whole_folder(path) as new:
        (new / "a").write_text("ne")
        raise RuntimeError
    assert content_of(path) == {"old"}
    written(path, "new")
    assert content_of(path) == {"new"}
    assert [each.name for each in tmp_path.iterdir()] == ["best"]


@needs_fork
def test_whenever_its_process_is_killed_the_old_folder_or_the_new_one_is_found_and_the_next_writer_tidies_up(tmp_path):
    path, found = tmp_path / "best", []
    written(path, "old")
    for _ in all_kills(tmp_path, lambda: written(path, "new")):
        (content,) = content_of(files.find(path))
        found.append((content, files.find(path).name))
        assert len(list(files.find(path).rglob("*"))) == 4
        written(path, "old")
        assert content_of(path) == {"old"}
        assert [each.name for each in tmp_path.iterdir()] == ["best"]
    assert {content for content, _ in found} == {"old", "new"}
    assert ("old", files.beside(path, "old").name) in found  # the moment between the two renames
    assert content_of(path) == {"new"}


@needs_fork
def test_a_half_removed_old_folder_is_never_taken_for_a_whole_one(tmp_path):
    path = tmp_path / "best"
    written(path, "old")
    for _ in all_kills(tmp_path, lambda: written(path, "new")):
        shutil.rmtree(path, ignore_errors=True)
        if files.find(path).exists():
            assert content_of(files.find(path)) == {"old"}
            assert len(list(files.find(path).rglob("*"))) == 4
        written(path, "old")


def test_a_new_folder_that_cannot_have_its_name_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "best"
    written(path, "old")
    rename = Path.rename

    def busy(self, target):
        if self.name == files.beside(path).name:
            raise OSError(errno.EBUSY, "busy")
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="busy"):
        patch.setattr(Path, "rename", busy)
        written(path, "new")
    assert content_of(path) == {"old"}
    assert [each.name for each in tmp_path.iterdir()] == ["best"]


def test_what_was_read_from_two_folders_is_read_again(tmp_path):
    path = tmp_path / "best"
    written(path, "1")
    seen = []

    def read(folder):
        first = (folder / "a").read_text()
        if len(seen) < 3:
            written(path, str(len(seen) + 2))  # replaced while being read
        seen.append(first)
        if (folder / "b").read_text() != first:
            raise DataError("a mix")
        return first

    assert files.steadily(path, read) == "4"
    assert seen == ["1", "2", "3", "4"]
    (path / "b").write_text("damaged")
    with pytest.raises(DataError, match="a mix"):
        files.steadily(path, read)


def test_only_what_dead_processes_have_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here, name = files.HOST, files.beside(tmp_path / "best", "x").name[:13]
    gone = [f"{name}.{here}-{dead.pid}-1", f"{name}.{here}-{dead.pid}-1.ckpt", f"{name}.ffff-1-1.old day"]
    gone += [f"{name}.{here}-{os.getpid()}-9"]  # of an earlier process that had the same number
    kept = [f"{name}.{here}-{os.getpid()}-1", f"{name}.{here}-{os.getppid()}-1", f"{name}.ffff-1-1", ".hidden.1-1", "best"]
    kept += [files.beside(tmp_path / "lost", "old").name]  # what it was put aside for is not there: it is all there is
    for each in (*gone, *kept):
        (tmp_path / each).write_text("")
    for each in (gone[2], gone[3]):
        os.utime(tmp_path / each, (1e9, 1e9))
    gone.append(files.beside(tmp_path / "best", "old").name)
    (tmp_path / gone[-1]).mkdir()
    (tmp_path / gone[-1] / "file").write_text("")
    files.tidy(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(kept)
    files.tidy(tmp_path / "nothing")
