"""Files written whole or not at all."""

import pytest

from gerund import files
from gerund.errors import DataError


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
