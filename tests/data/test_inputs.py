"""Rows of a manifest that are no files: each costs itself alone, nothing is called, and nothing hangs."""

from __future__ import annotations

import contextlib
import csv
import ftplib
import hashlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from gerund import video
from gerund.cli import app as cli
from gerund.core import storage
from gerund.core.errors import UsageError, VideoError
from gerund.data.inputs import expand
from gerund.diagnosis.inspection import inspect
from gerund.features.cache import FeatureCache, content_digest
from support.layouts import images

RampVideo = Callable[..., Path]
ADDRESSES = "ftp http https sftp ssh s3 gs webhdfs git nope".split()
NO_FILES = ["/dev/zero", "/dev/stdin", "/dev/null", "pipe.mp4", "socket.mp4"]
FOLDERS = ["some folder", "/dev", "."]
NAMES = ["gone.mp4", "n" * 300 + ".mp4", "a\0b.mp4", "pipe:0", "concat:/etc/passwd|/etc/hosts", "data:/text,x"]


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine that hangs up on all who call, and who has called."""
    heard: list[object] = []
    server = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, address = server.accept()
                heard.append(address)
                connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    yield server.getsockname()[1], heard
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


@pytest.fixture
def odd(tmp_path: Path, ramp_video: RampVideo) -> Path:
    """A folder with things that are no videos, and two that are."""
    os.mkfifo(tmp_path / "pipe.mp4")
    here = Path.cwd()
    os.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.mp4")
    os.chdir(here)
    ramp_video(20, name="inner", folder=tmp_path / "some folder")
    images(tmp_path / "some folder" / "frames", 1)
    for name in ("first", "last"):
        ramp_video(10 if name == "first" else 20, name=name)
    return tmp_path


def manifest(folder: Path, rows: list[str]) -> Path:
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label"], *([row, "x"] for row in ["first.mp4", *rows, "last.mp4"])])
    return folder / "clips.csv"


def test_bad_rows_cost_themselves_alone_and_call_nobody(
    odd: Path, listener: tuple[int, list[object]], capfd: pytest.CaptureFixture[str]
) -> None:
    port, heard = listener
    rows = [*(f"{kind}://127.0.0.1:{port}/a.mp4" for kind in ADDRESSES), *NO_FILES, *FOLDERS, *NAMES]
    table = manifest(odd, rows)
    code = cli.app.meta(["extract", str(table), "--backbone", "pixels:8", "--cache", str(odd / "cache"), "--json"])
    out, err = capfd.readouterr()
    assert code == 3
    assert '"videos": 2' in out
    assert err.count("Skipped ") == len(rows)
    assert f"Skipped ftp://127.0.0.1:{port}/a.mp4: features not extracted yet; gerund extract DATA --ray auto" in err
    assert "Skipped /dev/zero: not a file, but a pipe, a socket or a device" in err
    assert "some folder: its images are no frames" in err or "some folder: a folder without frame images" in err
    assert heard == []


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_never_opened(odd: Path, name: str) -> None:
    path = odd / name
    with pytest.raises(VideoError, match="not a file, but a"):
        list(video.decode(path))
    with pytest.raises(VideoError, match="not a file, but a"):
        video.probe(path)
    with pytest.raises(OSError, match="not a file, but a"):
        FeatureCache(odd / "cache").video_digest(path)
    assert inspect(path).problem == "unreadable"
    assert [clip.path for clip in expand([path])] == [path]


def test_no_more_is_read_of_a_file_than_it_says_it_holds(tmp_path: Path) -> None:
    """Those of /proc say 0, and some of them never end."""
    endless = tmp_path / "endless"
    endless.write_bytes(b"x" * 100)
    assert content_digest(endless, 0) == hashlib.sha256().hexdigest()[:32]


def test_an_image_beside_videos_is_not_read_as_frames_when_a_row_names_the_folder(odd: Path) -> None:
    images(odd / "covered", 1)
    (odd / "first.mp4").rename(odd / "covered" / "a.mp4")
    with pytest.raises(VideoError, match="covered: its images are no frames, since videos or folders lie beside them"):
        list(video.read(odd / "covered"))


@pytest.mark.parametrize("failure", [EOFError(), ftplib.error_perm("530 no"), KeyError("x"), ConnectionResetError(104, "reset")])
def test_storage_that_fails_in_its_own_way_is_an_os_error(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(url: str) -> None:
        raise failure

    monkeypatch.setattr(storage, "file_system", fail)
    for ask in (lambda: storage.state_of("ftp://a/b"), lambda: storage.fetch("ftp://a/b", tmp_path / "x")):
        with pytest.raises(OSError, match=type(failure).__name__ if not isinstance(failure, OSError) else "reset"):
            ask()


def test_errors_of_packages_that_are_in_use_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("aiohttp")
    package.ClientError = type("ClientError", (Exception,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aiohttp", package)
    with pytest.raises(OSError, match=r"cannot be reached \(ClientError: down\)"), storage.reaching():
        raise package.ClientError("down")


@pytest.mark.torch
def test_a_kind_of_storage_that_is_unknown_stays_a_matter_of_usage() -> None:
    with pytest.raises(UsageError, match="no such kind of storage"):
        storage.state_of("nope://a/b")
