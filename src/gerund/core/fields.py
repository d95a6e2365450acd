"""The entries of a JSON object from a stranger, each asked for with what it must be; an error names the file and the entry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gerund.core.errors import GerundError, ModelError
from gerund.core.printing import labels_problem
from gerund.core.types import FITS, Interpolation, Resize

Choice = TypeVar("Choice")
MISSING = object()
MOST_PIXELS = 4096
"""The largest side of a backbone's input."""
INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "area")


def json_of(path: Path, kind: type[GerundError] = ModelError) -> Any:
    """What a JSON file holds. Raises `kind` when it is missing or not readable, however it is not."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise kind(f"{path}: not readable ({error})") from None


class Fields:
    """A JSON object, found `where` (a file, or an entry of one)."""

    def __init__(self, values: Any, where: str, kind: type[GerundError] = ModelError) -> None:
        self.where, self.kind = where, kind
        if not isinstance(values, Mapping):
            raise self.wrong("", values, "an object")
        self.values = values

    def wrong(self, name: str, value: Any, wanted: str) -> GerundError:
        shown = json.dumps(value, default=str)
        named = f": {name}" if name else ""
        return self.kind(f"{self.where}{named} is {shown[:60]}{'...' if len(shown) > 60 else ''}, but must be {wanted}")

    def get(self, name: str, default: Any = MISSING) -> Any:
        value = self.values.get(name, default)
        if value is MISSING:
            raise self.kind(f"{self.where}: {name} is missing")
        return value

    def object(self, name: str) -> Fields:
        return Fields(self.get(name), f"{self.where}: {name}", self.kind)

    def text(self, name: str) -> str:
        """A text that can be written."""
        value = self.get(name)
        if not isinstance(value, str) or not writable(value):
            raise self.wrong(name, value, "a text")
        return value

    def choice(self, name: str, choices: Sequence[Choice], default: Any = MISSING) -> Choice:
        value = self.get(name, default)
        found = next((each for each in choices if each == value), None)
        if found is None:
            raise self.wrong(name, value, f"one of {', '.join(map(str, choices))}")
        return found

    def flag(self, name: str, default: Any = MISSING) -> bool:
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def whole(self, name: str, low: int, high: int, default: Any = MISSING) -> int:
        """A whole number from `low` to `high`."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(name, value, f"a whole number from {low} to {high}")
        return value

    def positive(self, name: str, high: float, default: Any = MISSING) -> float:
        """A number above 0 and at most `high`."""
        value = self.get(name, default)
        if not is_number(value) or not 0 < value <= high:
            raise self.wrong(name, value, f"a number above 0, at most {high:g}")
        return float(value)

    def optional(self, name: str, high: float) -> float | None:
        """The same, or null."""
        return None if self.get(name, None) is None else self.positive(name, high)

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """A list of so many finite numbers."""
        value = self.get(name)
        if not isinstance(value, list) or len(value) != count or not all(map(is_number, value)):
            raise self.wrong(name, value, f"a list of {count} numbers")
        return tuple(float(each) for each in value)


def is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number with hundreds of digits
        return False


def writable(text: str) -> bool:
    """Whether a text can be written as UTF-8: half a pair of surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_labels(values: Any, fields: Fields) -> list[str]:
    """Labels in order: texts that can be labels, each once, at least one."""
    if not isinstance(values, list):
        raise fields.wrong("labels", values, "a list of texts")
    if problem := labels_problem(values):
        raise fields.kind(f"{fields.where}: {problem}")
    return values


def resize_in(fields: Fields) -> Resize:
    """How frames are resized."""
    return Resize(
        height=fields.whole("height", 1, MOST_PIXELS),
        width=fields.whole("width", 1, MOST_PIXELS),
        fit=fields.choice("fit", FITS),
        scale=fields.positive("scale", 1.0),
        interpolation=fields.choice("interpolation", INTERPOLATIONS),
    )
