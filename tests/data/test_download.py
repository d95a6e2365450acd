"""Downloads from a server that cuts connections, ignores ranges, lies about lengths or serves evil: whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import gerund
from gerund.core.errors import DataError, UsageError
from gerund.data import download as downloading
from gerund.data.datasets import DATASETS
from gerund.data.download import RETRIES, SOURCES, Archive, fetch_archive
from support.archives import like_rar, make_tar, make_zip, tree

CONTENT = bytes(range(256)) * 2000


class Server(ThreadingHTTPServer):
    """Serves `content`; `plan` holds what it does with the next requests, and after that it behaves."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.plan: list[str] = []
        self.always = ""
        self.asked: list[str | None] = []
        self.etag = '"one"'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        served, trick = self.server, (self.server.plan.pop(0) if self.server.plan else self.server.always)
        wanted = self.headers.get("Range")
        served.asked.append(wanted)
        if trick in ("404", "503"):
            self.send_error(int(trick))
            return
        if trick == "drop":
            self.close_connection = True
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and trick != "no ranges" else 0
        if self.headers.get("If-Range", served.etag) != served.etag:
            start = 0
        body = served.content[start:]
        if start and not body:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(served.content) + 1000 * (trick == 'long')}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            first = 0 if trick == "other part" else start
            self.send_header("Content-Range", f"bytes {first}-{len(served.content) - 1}/{len(served.content)}")
        length = {"long": len(body) + 1000, "short": len(body) - 1000}.get(trick, len(body))
        if trick != "no length":
            self.send_header("Content-Length", str(length))
        self.send_header("ETag", served.etag)
        self.end_headers()
        self.wfile.write(body[: 100_000 if trick == "cut" else None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloading, "BACKOFF", 0.0)
    monkeypatch.setattr(downloading, "SILENT_SECONDS", 5.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def offer(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Archive]:
    """Make the server's content the data set `ucf101-top5`, whose folder is `set`."""

    def offer(file: Path | None = None, **published: object) -> Archive:
        if file is not None:
            server.content = file.read_bytes()
        archive = Archive(url=server.url, folder="set", **published)  # type: ignore[arg-type]
        monkeypatch.setitem(SOURCES, "ucf101-top5", (archive,))
        return archive

    return offer


def test_the_table_names_data_sets_that_can_be_loaded() -> None:
    assert set(SOURCES) <= set(DATASETS)
    for archives in SOURCES.values():
        assert all(archive.url.startswith("https://") for archive in archives)
        assert len({archive.folder for archive in archives}) == len(archives)


@pytest.mark.parametrize(
    ("plan", "ranges"),
    [
        ([], [None]),
        (["cut"], [None, "bytes=100000-"]),
        (["cut", "cut", "drop", "503"], [None, "bytes=100000-", *["bytes=200000-"] * 3]),
        (["cut", "no ranges"], [None, "bytes=100000-"]),
        (["cut", "other part"], [None, "bytes=100000-", "bytes=100000-"]),
        (["no length"], [None]),
        (["drop", "503", "drop"], [None] * 4),
    ],
)
def test_a_download_goes_on_where_it_broke(
    server: Server, offer: Callable[..., Archive], tmp_path: Path, plan: list[str], ranges: list[str | None]
) -> None:
    server.plan = plan
    file = fetch_archive(offer(size=len(CONTENT)), tmp_path)
    assert file.read_bytes() == CONTENT
    assert server.asked == ranges
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.bin"]


def test_a_later_run_goes_on_too_and_notices_another_version(
    server: Server, offer: Callable[..., Archive], tmp_path: Path
) -> None:
    archive = offer()
    for etag, expected in (('"one"', "bytes=100000-"), ('"two"', "bytes=100000-")):
        server.plan, server.always, server.asked = ["cut"], "404", []
        with pytest.raises(DataError, match="the server answers 404"):
            fetch_archive(archive, tmp_path)
        assert (tmp_path / "set.bin.part").stat().st_size == 100_000
        server.etag, server.always, server.asked = etag, "", []
        server.content = CONTENT[::-1] if etag == '"two"' else CONTENT
        assert fetch_archive(archive, tmp_path).read_bytes() == server.content
        assert server.asked == [expected]
        (tmp_path / "set.bin").unlink()


def test_a_part_that_is_whole_already_is_taken(server: Server, offer: Callable[..., Archive], tmp_path: Path) -> None:
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert fetch_archive(offer(), tmp_path).read_bytes() == CONTENT
    (tmp_path / "set.bin").rename(tmp_path / "set.bin.part")
    with (tmp_path / "set.bin.part").open("ab") as file:
        file.write(b"too much")
    assert fetch_archive(offer(), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("trick", ["drop", "503", "other part"])
def test_a_server_that_never_gives_more_is_given_up(
    server: Server, offer: Callable[..., Archive], tmp_path: Path, trick: str
) -> None:
    server.plan, server.always = ["cut"], trick
    with pytest.raises(
        DataError, match=rf"given up after {RETRIES} tries without progress; run the command again to go on, or fetch"
    ):
        fetch_archive(offer(), tmp_path)
    assert len(server.asked) == RETRIES + 1
    assert (tmp_path / "set.bin.part").stat().st_size == 100_000


def test_a_length_that_is_a_lie_is_never_believed(server: Server, offer: Callable[..., Archive], tmp_path: Path) -> None:
    server.always = "long"
    with pytest.raises(DataError, match=r"set\.bin: .*given up after"):
        fetch_archive(offer(), tmp_path)
    (tmp_path / "set.bin.part").unlink(missing_ok=True)
    server.always = "short"
    with pytest.raises(DataError, match=r"the server has 511000 bytes, 512000 were published"):
        fetch_archive(offer(size=len(CONTENT)), tmp_path)
    assert not (tmp_path / "set.bin").exists()


def test_an_address_that_is_gone_says_what_to_do(server: Server, offer: Callable[..., Archive], tmp_path: Path) -> None:
    server.always = "404"
    with pytest.raises(
        DataError, match=r"set\.bin: the server answers 404 .*; run .*, or fetch set\.bin some other way and give it with"
    ):
        fetch_archive(offer(), tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_data_set_is_fetched_checked_and_unpacked_once(
    server: Server,
    offer: Callable[..., Archive],
    tmp_path: Path,
    make: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = make(tmp_path / "archive")
    offer(archive, sha256=hashlib.sha256(archive.read_bytes()).hexdigest(), md5=hashlib.md5(archive.read_bytes()).hexdigest())
    server.plan = ["drop"]
    done = gerund.download("ucf101-top5", tmp_path / "data")
    assert done.data == f"ucf101-top5:{tmp_path / 'data'}"
    assert done.folders == [tmp_path / "data" / "set"]
    assert tree(tmp_path / "data") == {"set/list.txt": b"x" * 3000, "set/wave é/a 1.avi": b"hello"}
    again = gerund.download("ucf101-top5", tmp_path / "data")
    assert (again.folders, len(server.asked)) == ([], 2)
    assert "set is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"sha256": "0" * 64}, r"set\.bin: its sha256 is [0-9a-f]{64}, published was 0{64}; the file is removed"),
        ({"md5": "0" * 32}, r"set\.bin: its md5 is [0-9a-f]{32}, published was 0{32}; the file is removed"),
    ],
)
def test_what_is_not_what_was_published_is_removed(
    offer: Callable[..., Archive], tmp_path: Path, published: dict[str, str], words: str
) -> None:
    offer(make_zip(tmp_path / "archive"), **published)
    with pytest.raises(DataError, match=words):
        gerund.download("ucf101-top5", tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "/tmp/gerund-evil"])
def test_an_evil_archive_leaves_nothing(
    offer: Callable[..., Archive], tmp_path: Path, make: Callable[..., Path], name: str
) -> None:
    offer(make(tmp_path / "archive", {"good": b"x", name: b"evil"}))
    with pytest.raises(DataError, match=r"would be written outside its folder; nothing is unpacked; the file is removed"):
        gerund.download("ucf101-top5", tmp_path / "data")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["archive", "data"]
    assert not Path("/tmp/gerund-evil").exists()


def test_an_archive_at_hand_needs_no_server_and_is_kept(server: Server, offer: Callable[..., Archive], tmp_path: Path) -> None:
    offer(size=7, sha256="0" * 64)
    repacked = make_zip(tmp_path / "set.zip")
    gerund.download("ucf101-top5", tmp_path / "data", from_=[repacked])
    assert len(tree(tmp_path / "data" / "set")) == 2
    assert server.asked == []
    assert repacked.is_file()
    with pytest.raises(DataError, match=r"set\.bin: \d+ bytes, 7 were published$"):
        gerund.download("ucf101-top5", tmp_path / "other", from_=[repacked.rename(tmp_path / "set.bin")])


def test_an_archive_waits_for_a_program_that_reads_it(
    offer: Callable[..., Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(like_rar(tmp_path / "archive"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match="none of bsdtar, unar, unrar, 7z is installed"):
        gerund.download("ucf101-top5", tmp_path / "data")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["set.bin"]


def test_too_little_room_is_told_before_anything_is_fetched(
    server: Server, offer: Callable[..., Archive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(size=3 * 10**15)
    with pytest.raises(DataError, match=r"data: 6000000\.0 GB are needed, [\d.]+ GB are free; make room, or choose another disk"):
        gerund.download("ucf101-top5", tmp_path / "data")
    offer()
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"0\.0 GB are needed"):
        gerund.download("ucf101-top5", tmp_path / "data")
    assert not list((tmp_path / "data").glob("*"))


def test_an_unknown_name_or_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown data set 'imagenet'; these can be downloaded: ucf101, ucf101-top5, hmdb51"):
        gerund.download("imagenet", tmp_path)
    (tmp_path / "x.rar").touch()
    with pytest.raises(UsageError, match=r"--from .*x\.rar: no such file, or not one of .*, UCF101\.rar by its name"):
        gerund.download("ucf101", tmp_path, from_=[tmp_path / "x.rar"])
