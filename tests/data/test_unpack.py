"""Archives: all of it or nothing, nothing outside, no links, no devices; RAR through whichever program is there."""

from __future__ import annotations

import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data import unpack as unpacking
from gerund.data.unpack import UNRAR, NoProgramError, unpack
from support.archives import MEMBERS, like_rar, make_rar, make_tar, make_zip, tree


def nothing_but(folder: Path, *names: str) -> bool:
    return sorted(entry.name for entry in folder.iterdir()) == sorted(names)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to unpack in, so that what escapes from it lands in another one that is looked at."""
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    return tmp_path / "outer" / "inner"


@pytest.fixture
def bsdtar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a stand-in on the path, alone: it reads a tar behind eight bytes that say RAR, or does what it is told."""

    def install(body: str = "file.extractall(words[3], filter='fully_trusted')") -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "bsdtar").write_text(
            f"#!{sys.executable}\nimport io, os, sys, tarfile\nwords = sys.argv[1:]\nwords = [words[0], words[1], *words[2:]]\n"
            "file = tarfile.open(fileobj=io.BytesIO(open(words[1], 'rb').read()[8:]))\n"
            f"if words[0] == '-tf':\n    print('\\n'.join(file.getnames()))\nelse:\n    {body}\n"
        )
        (folder / "bsdtar").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_becomes_a_folder(place: Path, make: Callable[[Path], Path]) -> None:
    archive = make(place.parent / "a.bin")
    unpack(archive, place / "other name")
    assert tree(place / "other name") == MEMBERS
    assert nothing_but(place, "other name")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_the_folder_that_an_archive_holds_by_name_is_not_put_into_itself(place: Path, make: Callable[[Path], Path]) -> None:
    unpack(make(place.parent / "a.bin"), place / "set")
    assert tree(place / "set") == {name.removeprefix("set/"): data for name, data in MEMBERS.items()}
    assert nothing_but(place, "set")


def test_modes_are_not_taken_over(place: Path) -> None:
    unpack(make_tar(place.parent / "a.tar"), place / "set")
    assert not stat.S_IMODE((place / "set" / "list.txt").stat().st_mode) & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/gerund-evil", "C:\\evil", "..\\evil", "\\\\host\\share\\evil", "C:evil"]
)
def test_a_name_that_leads_out_is_refused_and_nothing_stays(place: Path, make: Callable[..., Path], name: str) -> None:
    archive = make(place.parent / "a.bin", {"good.txt": b"x", name: b"evil"})
    with pytest.raises(DataError, match=r"a\.bin: .*evil' would be written outside its folder; nothing is unpacked"):
        unpack(archive, place / "set")
    assert nothing_but(place)
    assert nothing_but(place.parent, "inner", "a.bin")
    assert not Path("/tmp/gerund-evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(place: Path, kind: bytes) -> None:
    (place.parent / "secret").write_text("s")
    with tarfile.open(place.parent / "a.tar", "w") as file:
        file.addfile(tarfile.TarInfo("good.txt"))
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = kind, "../../secret"
        file.addfile(info)
    with pytest.raises(DataError, match=r"a\.tar: 'evil' is a link or a device; nothing is unpacked"):
        unpack(place.parent / "a.tar", place / "set")
    assert nothing_but(place)


def test_a_link_in_a_zip_is_refused(place: Path) -> None:
    with zipfile.ZipFile(place.parent / "a.zip", "w") as file:
        info = zipfile.ZipInfo("evil")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(info, "../../secret")
    with pytest.raises(DataError, match=r"a\.zip: 'evil' is a link or a device"):
        unpack(place.parent / "a.zip", place / "set")
    assert nothing_but(place)


@pytest.mark.parametrize(("make", "byte"), [(make_zip, 52), (make_tar, -5)])
def test_a_cut_or_changed_archive_gives_nothing(place: Path, make: Callable[[Path], Path], byte: int) -> None:
    """The changed byte lies in the first member's data, or in the checksum at the end."""
    archive = make(place.parent / "a.bin")
    whole = archive.read_bytes()
    changed = bytearray(whole)
    changed[byte] ^= 0xFF
    for content in (whole[: len(whole) // 2], whole[:20], bytes(changed), b"", b"<html>not found</html>"):
        archive.write_bytes(content)
        with pytest.raises(
            DataError, match=r"a\.bin: not a complete tar, zip or RAR archive|a\.bin: .* would be|cannot be unpacked"
        ):
            unpack(archive, place / "set")
        assert nothing_but(place)


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALLOWANCE", 2**16)
    monkeypatch.setattr(unpacking, "GROWTH", 1)
    monkeypatch.setattr(unpacking, "LOOK_AGAIN", 0.02)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("members", [{"a": bytes(10**6)}, {str(number): bytes(10**4) for number in range(20)}])
def test_an_archive_that_grows_without_measure_is_given_up(
    place: Path, make: Callable[..., Path], members: dict[str, bytes], little_room: None
) -> None:
    with pytest.raises(DataError, match=r"a\.bin: more than [\d,]+ bytes are in it, 1 times its own size; nothing is unpacked"):
        unpack(make(place.parent / "a.bin", members), place / "set")
    assert nothing_but(place)


@pytest.mark.parametrize("then", ["", "; file.flush(); __import__('time').sleep(600)"])
def test_a_rar_that_grows_without_measure_is_given_up(
    place: Path, bsdtar: Callable[[str], None], little_room: None, then: str
) -> None:
    archive = like_rar(place.parent / "a.rar")
    bsdtar(f"file = open(words[3] + '/x', 'wb'); file.write(bytes(10**6)){then}")
    with pytest.raises(DataError, match=r"a\.rar: more than [\d,]+ bytes are in it"):
        unpack(archive, place / "set")
    assert nothing_but(place)


def test_what_an_earlier_run_left_is_cleared(place: Path) -> None:
    (place / ".set.unpacking").mkdir()
    (place / ".set.unpacking" / "half.avi").touch()
    unpack(make_zip(place.parent / "a.zip"), place / "set")
    assert nothing_but(place, "set")
    assert "half.avi" not in tree(place / "set")


def test_archives_in_an_archive_are_unpacked_too(place: Path) -> None:
    inner = {
        f"{name}.zip": make_zip(place.parent / name, {f"{name}/1.avi": name.encode()}).read_bytes() for name in ("wave", "jump")
    }
    unpack(make_tar(place.parent / "a.tar", inner), place / "all", nested=True)
    assert tree(place / "all") == {"wave/1.avi": b"wave", "jump/1.avi": b"jump"}


def test_a_rar_is_unpacked_by_an_installed_program(place: Path, bsdtar: Callable[..., None]) -> None:
    archive = like_rar(place.parent / "a.rar")
    bsdtar()
    unpack(archive, place / "set")
    assert tree(place / "set") == {name.removeprefix("set/"): data for name, data in MEMBERS.items()}


def test_a_rar_that_leads_out_is_refused_before_it_is_unpacked(place: Path, bsdtar: Callable[..., None]) -> None:
    archive = like_rar(place.parent / "a.rar", {"good": b"", "../../evil": b"x"})
    bsdtar()
    with pytest.raises(DataError, match=r"a\.rar: '\.\./\.\./evil' would be written outside its folder"):
        unpack(archive, place / "set")
    assert nothing_but(place.parent, "inner", "a.rar")


@pytest.mark.parametrize(
    "evil", ["os.symlink('/etc', words[3] + '/evil')", "os.link(words[1], words[3] + '/evil')", "os.mkfifo(words[3] + '/evil')"]
)
def test_a_link_or_device_that_came_out_of_a_rar_is_refused(place: Path, bsdtar: Callable[[str], None], evil: str) -> None:
    archive = like_rar(place.parent / "a.rar")
    bsdtar(evil)
    with pytest.raises(DataError, match=r"a\.rar: 'evil' is a link or a device"):
        unpack(archive, place / "set")
    assert nothing_but(place)


def test_a_program_that_fails_is_quoted(place: Path, bsdtar: Callable[[str], None]) -> None:
    archive = like_rar(place.parent / "a.rar")
    bsdtar("sys.exit('line one\\nunknown method')")
    with pytest.raises(DataError, match=r"a\.rar: cannot be unpacked \(bsdtar: unknown method\)"):
        unpack(archive, place / "set")
    assert nothing_but(place)


def test_without_any_program_for_rar_it_is_said_which_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = like_rar(place.parent / "a.rar")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoProgramError, match=r"none of bsdtar, unar, unrar, 7z is installed; .* apt install libarchive-tools"):
        unpack(archive, place / "set")


@pytest.mark.parametrize("program", UNRAR)
def test_a_real_rar_is_unpacked_where_the_program_is_installed(
    place: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    listing, unpacking = UNRAR[program]
    found = [shutil.which(command[0]) for command in (listing, unpacking)]
    if not all(found):
        pytest.skip(f"{program} is not installed")
    monkeypatch.setattr("gerund.data.unpack.UNRAR", {program: UNRAR[program]})
    unpack(make_rar(place.parent / "a.rar", {"set/a 1.avi": b"hello", "set/b.avi": b"x" * 999}), place / "set")
    assert tree(place / "set") == {"a 1.avi": b"hello", "b.avi": b"x" * 999}
    with pytest.raises(DataError, match=r"evil.* would be written outside its folder"):
        unpack(make_rar(place.parent / "b.rar", {"../evil.avi": b"hello"}), place / "other")
    (place.parent / "c.rar").write_bytes((place.parent / "a.rar").read_bytes()[:80])
    with pytest.raises(DataError, match=r"c\.rar: cannot be unpacked"):
        unpack(place.parent / "c.rar", place / "third")
    assert nothing_but(place, "set")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"a\.zip: cannot be unpacked to .*file.set \((Not a directory|File exists)"):
        unpack(archive, tmp_path / "file" / "set")
    assert nothing_but(tmp_path, "a.zip", "file")
