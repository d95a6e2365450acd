"""Work that dies at each of its file events in turn, in a forked process, as kill -9 ends it: nothing is flushed or tidied up."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "shutil.rmtree", "shutil.copyfile")
DIED = 9


def killed_at(number: int, below: Path, work: Callable[[], object]) -> bool:
    """Do `work` in a process that ends just before its file event of this number (from 1) below a folder; whether it came to that."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, DIED), f"the work failed at event {number}"
        return code == DIED
    seen = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event in EVENTS and any(str(below) in str(argument) for argument in arguments[:2]):
            seen += 1
            if seen == number:
                os._exit(DIED)

    try:
        sys.addaudithook(count)
        work()
        os._exit(0)
    finally:
        os._exit(1)


def all_kills(below: Path, work: Callable[[], object], step: int = 1) -> Iterator[int]:
    """The numbers of the events that `work` died at, one death after the other, until it lives through."""
    number = 1
    while killed_at(number, below, work):
        yield number
        number += step
