"""`gerund serve` with the model of a project, started from its page."""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from gerund.core.errors import DataError
from gerund.serving.processes import end_process, module_process

START_SECONDS = 120.0


class ServedModel:
    """`gerund serve` with the project's model, in a process of its own that ends with the studio."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.address = ""

    async def start(self, folder: Path) -> str:
        """Its address. Raises DataError when it cannot be started."""
        await self.end()
        self.process = await module_process("gerund", "serve", str(folder), "--port", "0", stderr=asyncio.subprocess.PIPE)
        assert self.process.stderr is not None
        said = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                async for line in self.process.stderr:
                    said = line.decode(errors="replace").strip() or said
                    if found := re.search(r"http://[^\s]+", said):
                        self.listening = asyncio.create_task(self.process.stderr.read())  # so that it never waits for a reader
                        await self.answering(found[0])
                        self.address = found[0]
                        return self.address
        await self.end()
        raise DataError(f"the model could not be served ({said or 'it said nothing'})")

    async def answering(self, address: str) -> None:
        """Wait until it answers, or is gone."""
        parts = urlsplit(address)
        while self.process is not None and self.process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise DataError("the model could not be served: its server ended at once")

    async def end(self) -> None:
        if self.process is not None:
            await end_process(self.process)
        self.process, self.address = None, ""
