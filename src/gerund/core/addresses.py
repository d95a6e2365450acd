"""Things named as `module:name`, so that a table of them imports none before it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def addressed(address: str) -> Any:
    """What `module:name` stands for; its module is imported now."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)
