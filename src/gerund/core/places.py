"""Where things are kept on this machine, and places as people name them."""

import os
from pathlib import Path
from typing import overload

AnyPath = str | Path
"""A place as people name it: what is public takes texts too."""


def default_cache() -> Path:
    """Features, weights and compiled models: $GERUND_CACHE, or `.cache/gerund` in the home folder."""
    return Path(os.environ.get("GERUND_CACHE") or Path.home() / ".cache" / "gerund")


@overload
def as_path(place: None) -> None: ...
@overload
def as_path(place: AnyPath) -> Path: ...
def as_path(place: AnyPath | None) -> Path | None:
    """A place as everything inside gerund knows it; public functions call this at their door."""
    return None if place is None else Path(place)
