"""Reading a camera or a stream: a thread decodes without pause and keeps the newest wanted frame, so that nobody ever lags behind."""

from __future__ import annotations

import math
import os
import re
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gerund.core.errors import StreamError, UsageError, VideoError
from gerund.core.progress import note
from gerund.video import stream
from gerund.video.rate import wanted_between
from gerund.video.stream import LEAP, Arrival, LiveClock

PROTOCOLS = tuple("http https rtmp rtp rtsp rtsps srt tcp udp".split())
SourceKind = Literal["camera", "network", "pipe", "file"]
LEAST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds between two attempts to reach a lost source; doubled from the least to the longest."""
STOP_LOOK = 0.2
"""Seconds after which a thread that waits looks whether it should stop."""


@dataclass(frozen=True)
class Source:
    """What is watched: its name as given, and of what kind it is."""

    name: str
    kind: SourceKind

    @classmethod
    def named(cls, name: str | Path) -> Source:
        """A camera's number, a URL, `-` for standard input, a named pipe or a file. Raises UsageError or VideoError for anything else."""
        text = str(name)
        scheme, url, _ = text.partition("://")
        if text.isdecimal():
            return cls(text, "camera")
        if text == "-":
            return cls("standard input", "pipe")
        if url:
            if scheme.lower() not in PROTOCOLS:
                raise UsageError(f"{text}: unknown protocol {scheme!r}; choose one of {', '.join(PROTOCOLS)}")
            return cls(text, "network")
        if number := re.fullmatch(r"/dev/video(\d+)", text):
            return cls(number[1], "camera")
        path = Path(text).expanduser()
        if not path.exists():
            raise VideoError(f"{text}: no such file; a source is a camera's number, a URL, a file, a named pipe, or -")
        if path.is_dir():
            raise VideoError(f"{text}: a folder cannot be watched; gerund predict takes folders")
        return cls(str(path), "pipe" if stat.S_ISFIFO(path.stat().st_mode) else "file")


@dataclass(frozen=True)
class Seen:
    """A frame with the time it arrived (`time.monotonic`) and its place in the stream in seconds."""

    arrived: float
    seconds: float
    frame: Any


class Newest:
    """A place for one frame: a newer one takes the place of one that nobody has fetched, and that one is counted in `dropped`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.item: Seen | None = None
        self.ended = False
        self.error: VideoError | None = None
        self.dropped = 0

    def put(self, item: Seen, *, patient: bool = False) -> None:
        """Lay a frame down; `patient` waits until the last one was fetched."""
        with self.changed:
            if patient:
                self.changed.wait_for(lambda: self.item is None or self.ended)
            self.dropped += self.item is not None
            self.item = item
            self.changed.notify_all()

    def end(self, error: VideoError | None = None) -> None:
        """No frame will follow; `error` is raised in who waits for one."""
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def take(self, timeout: float) -> Seen | None:
        """Fetch the newest frame, or wait for the next; None at the end. Raises TimeoutError when none comes in `timeout` seconds."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.item is not None or self.ended, timeout):
                raise TimeoutError
            item, self.item = self.item, None
            self.changed.notify_all()
        if item is None and self.error is not None:
            raise self.error
        return item


class Pipe:
    """Bytes of a named pipe or of standard input; reading can be stopped from another thread."""

    def __init__(self, source: Source, stop: threading.Event) -> None:
        self.stop = stop
        standard = source.name == "standard input"
        # Without O_NONBLOCK, opening waits for a writer and cannot be interrupted.
        self.handle = sys.stdin.fileno() if standard else os.open(source.name, os.O_RDONLY | os.O_NONBLOCK)
        self.own = not standard

    def read(self, size: int) -> bytes:
        while not self.stop.is_set():
            if os.name == "nt" or select.select([self.handle], [], [], STOP_LOOK)[0]:
                try:
                    return os.read(self.handle, size)
                except BlockingIOError:
                    continue
        return b""

    def close(self) -> None:
        if self.own:
            os.close(self.handle)


class Reader(threading.Thread):
    """Decodes a source in the background and lays each frame that is due at `fps` into `newest`.

    A network source that ends or breaks is opened again, after longer and longer pauses, until somebody calls `stop`; with
    `reconnect` false its end is the end. Files and pipes are read as fast as they come, or with `realtime` at the pace of
    their time stamps; of a file read without `realtime` no frame is dropped. `tap` is given every frame.
    """

    def __init__(
        self,
        source: Source,
        *,
        fps: float | None,
        realtime: bool = False,
        timeout: float,
        reconnect: bool,
        tap: Callable[[Seen], None] | None = None,
    ) -> None:
        super().__init__(daemon=True, name=f"reader of {source.name}")
        self.source = source
        self.fps = fps
        self.realtime = realtime and source.kind in ("file", "pipe")
        self.timeout = timeout
        self.reconnect = reconnect and source.kind == "network"
        self.tap = tap
        self.newest = Newest()
        self.halt = threading.Event()
        self.clock = LiveClock(math.inf if source.kind == "file" else LEAP)
        self.patient = source.kind == "file" and not realtime
        self.trouble = ""

    def stop(self) -> None:
        """End soon; a thread that waits for the network is left to its timeout."""
        self.halt.set()
        self.newest.end()
        self.join(1.0)

    def run(self) -> None:
        error: VideoError | None = None
        try:
            self.read_until_lost()
        except VideoError as lost:
            error = lost
        except Exception as bug:  # would otherwise be printed by the thread, and waited for in vain
            error = VideoError(f"{self.source.name}: {type(bug).__name__}: {bug}")
        self.newest.end(error)

    def read_until_lost(self) -> None:
        pause = LEAST_PAUSE
        while True:
            self.clock.restart(0.0 if self.source.kind == "file" else None)
            try:
                for _ in self.frames():
                    pause = LEAST_PAUSE
                self.trouble = f"{self.source.name}: the stream ended"
                if not self.reconnect:
                    return
            except StreamError:
                raise
            except VideoError as error:
                self.trouble = str(error)
                if not self.reconnect:
                    raise
            if self.halt.is_set():
                return
            note(f"{self.trouble}; trying again in {pause:g} s")
            self.halt.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def frames(self) -> Iterator[None]:
        """Read the source until it ends or breaks; yields for each frame."""
        started: float | None = None
        last: float | None = None
        for received, stamp, frame in self.opened():
            arrived, seconds = received, self.clock.time(stamp, received)
            if self.realtime:
                started = time.monotonic() - seconds if started is None else started
                self.halt.wait(started + seconds - time.monotonic())
                arrived = time.monotonic()
            if self.halt.is_set():
                return
            seen = Seen(arrived, seconds, frame)
            if self.tap is not None:
                self.tap(seen)
            if self.due(seconds, last):
                self.newest.put(seen, patient=self.patient)
            last = seconds
            yield

    def due(self, seconds: float, last: float | None) -> bool:
        """Whether a frame is on screen at some instant k / fps, as `video.rate.at_rate` picks them, if it stays as long as the one before."""
        if self.fps is None or last is None:
            return True
        return wanted_between(seconds, seconds + min(seconds - last, 1 / self.fps), self.fps)

    def opened(self) -> Iterator[Arrival]:
        name = self.source.name
        if self.source.kind == "camera":
            yield from stream.camera(int(name), name=f"camera {name}")
        elif self.source.kind == "pipe":
            try:
                pipe = Pipe(self.source, self.halt)
            except OSError as error:
                raise VideoError(f"{name}: cannot be read ({error.strerror})") from None
            try:
                yield from stream.live(pipe, name=name)
            finally:
                pipe.close()
        elif self.source.kind == "file":
            yield from stream.live(str(Path(name).absolute()), name=name)
        else:
            yield from stream.live(name, name=name, timeout=self.timeout)
