"""What a stranger may ask of the server, and of the processes that open a stranger's file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from gerund.core import workers

LEAST_TOKEN = 16
"""Characters of a token; with fewer it could be guessed."""


class NoRoomError(Exception):
    """Something of one request cannot be written: the disk is full, or may not be written to."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on one request. `seconds_now` is for answers that somebody waits for, `seconds_job` for jobs (both of wall time)."""

    upload: int = 512 * 10**6
    duration: float = 7200.0
    pixels: int = 8192 * 4352
    packets: int = 2_000_000
    seconds_now: float = 120.0
    seconds_job: float = 3600.0


def shut_in(*, cpu_seconds: float, writes: int = 0, processes: bool = False) -> None:
    """Bind this process before it opens a stranger's file: memory, processor time from now on, files, bytes written, no children.

    A resource the system does not know is passed over; Windows has none of them.
    """
    workers.limit_memory()
    try:
        import resource
    except ImportError:
        return
    bounds = {"RLIMIT_NOFILE": 64, "RLIMIT_FSIZE": writes, "RLIMIT_CORE": 0}
    if not processes:
        bounds["RLIMIT_NPROC"] = 0
    for name, bound in bounds.items():
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (bound, bound))
    more_processor_time(cpu_seconds)


def more_processor_time(seconds: float) -> None:
    """Let this process compute for so many seconds more; beyond that the system ends it."""
    try:
        import resource
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 1, hard))
