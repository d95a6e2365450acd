"""Modules of gerund in processes of their own, for servers: started so that a Ctrl-C in the terminal does not reach them, and ended."""

from __future__ import annotations

import sys
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec

from gerund.core.workers import environment


async def module_process(*words: str, stdin: int = DEVNULL, stdout: int = DEVNULL, stderr: int = DEVNULL) -> Process:
    """A module of gerund and its arguments, running; its streams lead nowhere unless they are asked for."""
    return await create_subprocess_exec(
        sys.executable, "-m", *words, stdin=stdin, stdout=stdout, stderr=stderr, env=environment(), start_new_session=True
    )


async def end_process(process: Process) -> None:
    """Kill a process unless it is over, and wait for its end."""
    if process.returncode is None:
        process.kill()
        await process.wait()
