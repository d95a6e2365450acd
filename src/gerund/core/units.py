"""Quantities as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gerund.core.errors import UsageError

SECONDS_PER = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
BYTES_PER = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def budget(text: str | float) -> float:
    """Seconds in a time for work such as 90s, 10m or 1.5h; a text says its unit. Raises UsageError for anything else."""
    if isinstance(text, str) and text.strip().replace(".", "", 1).isdecimal():
        raise UsageError(f"--time {text}: of what? Write {text}s, {text}m or {text}h")
    return seconds(text)


def seconds(text: str | float, flag: str = "--time") -> float:
    """Seconds in a time span such as 90, 90s, 10m, 15min or 1.5h. Raises UsageError for anything else."""
    found = quantity(str(text), SECONDS_PER)
    if found is None:
        raise UsageError(f"{flag} {text}: not a time span; write 90s, 10m or 1.5h")
    return found


def seconds_bound(text: str, flag: str) -> float:
    """Seconds, more than 0, in a longest time such as 2h. Raises UsageError for anything else."""
    found = quantity(text, SECONDS_PER)
    if not found:
        raise UsageError(f"{flag} {text}: write it like 2h, 15min or 90s")
    return found


def bytes_bound(text: str, flag: str) -> int:
    """Bytes, more than 0, in a largest size such as 512MB, 2GiB or 1000. Raises UsageError for anything else."""
    found = quantity(text, BYTES_PER)
    if not found:
        raise UsageError(f"{flag} {text}: write it like 512MB or 2GB")
    return round(found)


def quantity(text: str, units: Mapping[str, int]) -> float | None:
    """A number with a unit, in upper or lower case; None for what is no such thing."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    if match is None or match[2] not in units:
        return None
    return float(match[1]) * units[match[2]]
