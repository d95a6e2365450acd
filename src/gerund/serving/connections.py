"""Connections: those that send nothing are dropped, so that they keep nobody out. The only module that knows uvicorn's insides."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from gerund.serving.security import KNOWN

CONNECTIONS = 500
"""Connections held at once; when one more comes, the least deserving goes."""
IDLE = 10.0
"""Seconds that a connection may be open without a whole request head, also between two requests."""
STUCK = 60.0
"""Seconds that a client may leave unread what was sent to it."""
CHECK_EVERY = 2.0


class Connection(H11Protocol):
    """One client's connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.since = self.loop.time()
        self.stuck_since: float | None = None
        self.watching = self.loop.call_later(CHECK_EVERY, self.look)
        others: set[Any] = self.connections - {self}
        if len(others) >= CONNECTIONS:
            least: Connection = min(others, key=lambda each: each.merit)
            self.connections.discard(least)  # its loss is told later; the next one to come must not count it
            least.transport.abort()

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def merit(self) -> tuple[bool, bool, float]:
        """What decides who goes first: those without a request, then those who may not ask, then those that came first."""
        return self.busy, self.busy and bool(self.scope.get(KNOWN)), self.since

    def look(self) -> None:
        """Drop the connection if its client does nothing; else look again later."""
        now = self.loop.time()
        unread = self.transport.get_write_buffer_size() > 0
        idle = not self.busy and now - self.since > (STUCK if unread else IDLE)
        if idle or (self.stuck_since is not None and now - self.stuck_since > STUCK):
            self.transport.abort()
        else:
            self.watching = self.loop.call_later(CHECK_EVERY, self.look)

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stuck_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stuck_since = None

    def connection_lost(self, error: Exception | None) -> None:
        self.watching.cancel()
        super().connection_lost(error)
