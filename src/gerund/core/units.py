"""Quantities as people write them."""

from __future__ import annotations

import re

from gerund.core.errors import UsageError


def seconds(text: str | float, flag: str = "--time") -> float:
    """A time span such as 90, 90s, 10m or 1.5h in seconds."""
    match = re.fullmatch(r"([\d.]+)\s*([smh]?)", str(text).strip())
    try:
        if match:
            return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    except ValueError:
        pass
    raise UsageError(f"{flag} {text}: not a time span; write 90s, 10m or 1.5h")
