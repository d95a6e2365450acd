"""Processes that work on one thing together: who is first, and what the first makes for all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from gerund.core.errors import UsageError

Shared = TypeVar("Shared")


@dataclass(frozen=True, kw_only=True)
class Team:
    """Processes that train one head together, `devices` on each of `nodes` machines. The one of `rank` 0 speaks and writes."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    fabric: Any = None

    @property
    def size(self) -> int:
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shared(self, make: Callable[[], Shared]) -> Shared:
        """What the first process makes, in all of them."""
        if self.fabric is None:
            return make()
        return self.fabric.broadcast(make() if self.is_first else None)


ALONE = Team()


def team_shape(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Processes per machine, and machines: as given, or as torchrun has started them. Raises UsageError when the two differ."""
    for flag, count in (("--devices", devices), ("--nodes", nodes)):
        if count is not None and count < 1:
            raise UsageError(f"{flag} {count}: at least 1 is needed")
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return devices or 1, nodes or 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    started = local, int(os.environ["WORLD_SIZE"]) // local
    if (devices or started[0], nodes or started[1]) != started:
        raise UsageError(
            f"--devices {devices or started[0]} --nodes {nodes or started[1]}: torchrun has started {started[0]} processes "
            f"on each of {started[1]} machines; leave the two out, or give torchrun the same numbers"
        )
    return started
