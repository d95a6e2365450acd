"""What long work says while it runs, as messages of the logger `gerund.progress` at level INFO; nobody who imports gerund hears them unasked.

The command line asks (`speak`): a rich bar on a terminal, a plain line now and then elsewhere, all of it on standard error.
A program asks as for any other logger: `logging.basicConfig(level=logging.INFO)`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from gerund.core.printing import say, visible

PLAIN_EVERY = 10.0
"""Seconds between two plain lines."""

notes = logging.getLogger("gerund.progress")


class Lines(logging.Handler):
    """Writes each message as a line for people."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), file=sys.stderr)


LINES = Lines()
notes.addHandler(logging.NullHandler())


def speak(*, quiet: bool = False) -> None:
    """Show notes and progress on standard error, in place of leaving them to the handlers of a program; `quiet` shows none."""
    if LINES not in notes.handlers:
        notes.addHandler(LINES)
    notes.propagate = False
    notes.setLevel(logging.WARNING if quiet else logging.INFO)


def note(message: str) -> None:
    """One line for the person who waits."""
    notes.info("%s", visible(message))


def is_quiet() -> bool:
    """Whether notes, warnings and progress are not shown."""
    return not notes.isEnabledFor(logging.INFO)


def mute() -> None:
    """Say nothing, and show no results either: for all but the first of several processes that work together."""
    notes.setLevel(logging.CRITICAL + 1)


def is_mute() -> bool:
    return not notes.isEnabledFor(logging.CRITICAL)


class Bar(Protocol):
    done: int

    def advance(self, steps: int = 1, *, seconds: float = 0.0, said: str | None = None) -> None:
        """Count finished items; `seconds` of video they held, for the real-time factor. `said` is a line about the last one."""


@contextmanager
def progress(title: str, total: int, unit: str, *, seconds: float | None = None) -> Iterator[Bar]:
    """Progress over `total` items with rate and time left; `seconds` of video they hold tells more where the items are long."""
    if is_quiet():
        yield Plain(title, total, unit, seconds, every=float("inf"))
    elif LINES in notes.handlers and sys.stderr.isatty():
        with Rich(title, total, unit, seconds) as bar:
            yield bar
    else:
        lines = Plain(title, total, unit, seconds, every=PLAIN_EVERY)
        yield lines
        lines.finish()


class Counter:
    """Counts items and seconds of video, and words the rate."""

    def __init__(self, title: str, total: int, unit: str, total_seconds: float | None) -> None:
        self.title, self.total, self.unit, self.total_seconds = title, total, unit, total_seconds
        self.done = 0
        self.seconds = 0.0
        self.started = time.monotonic()

    def count(self, steps: int, seconds: float) -> None:
        self.done += steps
        self.seconds += seconds

    def share(self) -> float:
        """How much is done, 0 to 1."""
        by_time = self.seconds / self.total_seconds if self.total_seconds else 0.0
        return min(1.0, max(by_time, self.done / max(self.total, 1)))

    def rate(self) -> str:
        elapsed = max(time.monotonic() - self.started, 1e-9)
        speed = f"{self.done / elapsed:.1f} {self.unit}/s"
        return speed + (f", {self.seconds / elapsed:.0f}x real time" if self.seconds else "")


class Plain(Counter):
    """Throttled lines, for logs."""

    def __init__(self, title: str, total: int, unit: str, total_seconds: float | None, *, every: float) -> None:
        super().__init__(title, total, unit, total_seconds)
        self.every = every
        self.said = self.started
        self.talks = False

    def advance(self, steps: int = 1, *, seconds: float = 0.0, said: str | None = None) -> None:
        self.count(steps, seconds)
        now = time.monotonic()
        if said is not None:
            self.talks = True
            note(said)
        elif now - self.said >= self.every and self.done < self.total:
            self.said = now
            share = self.share()
            left = f"{(now - self.started) * (1 - share) / share:.0f} s left" if share else "just begun"
            note(f"{self.title}: {self.done}/{self.total} {self.unit}, {self.rate()}, {left}")

    def finish(self) -> None:
        if self.talks:
            return  # each item had a line of its own
        note(f"{self.title}: {self.done}/{self.total} {self.unit} in {time.monotonic() - self.started:.1f} s, {self.rate()}")


class Rich(Counter):
    """A bar on a terminal."""

    def __init__(self, title: str, total: int, unit: str, total_seconds: float | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__(title, total, unit, total_seconds)
        self.bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task = self.bar.add_task(visible(title), total=total, rate="")

    def __enter__(self) -> Rich:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def advance(self, steps: int = 1, *, seconds: float = 0.0, said: str | None = None) -> None:
        self.count(steps, seconds)
        self.bar.update(self.task, completed=self.share() * self.total, rate=visible(said or self.rate()))
