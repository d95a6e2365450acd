"""What commands answer: results that say their values, their rows and their text, so that one place can print them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from gerund.core.printing import table


class Printable:
    """A result of a command: plain values for JSON, text for people and, where it has `columns`, rows for a CSV and for a spreadsheet."""

    sheet_columns: ClassVar[Sequence[str]] = ()
    """The columns of a spreadsheet, where they are others than those of a CSV."""

    def as_json(self) -> Any:
        """Everything as plain values."""
        raise NotImplementedError

    def as_text(self) -> Iterable[str]:
        """Lines for people."""
        raise NotImplementedError

    @property
    def columns(self) -> Sequence[str]:
        """What the cells of a row are; a kind of result that does not say it has no rows."""
        return ()

    def as_rows(self) -> Iterable[Iterable[Any]]:
        """Cells as they are, None for an empty one."""
        return ()

    def as_sheet(self) -> Iterable[Sequence[Any]]:
        """Rows for people who open them in a spreadsheet: numbers as numbers, one row for a video, a clip or a segment."""
        return ([*row] for row in self.as_rows())

    @property
    def is_complete(self) -> bool:
        """False when some inputs could not be used, some outputs not be written, or a check found something."""
        return True


class Answer(Printable):
    """One of a stream of results, of a video, a clip or a moment: it is printed as soon as it is there, its JSON on one line."""

    @property
    def error(self) -> str | None:
        """Why there is no answer."""
        return None

    @property
    def unwritten(self) -> Sequence[str]:
        """Which files that were asked for could not be written, and why."""
        return ()

    @property
    def is_complete(self) -> bool:
        return self.error is None and not self.unwritten


class Facts(dict[str, Any], Printable):
    """A dict of plain values, dicts among them, that prints itself as a table."""

    def as_json(self) -> Any:
        return dict(self)

    def as_text(self) -> Iterable[str]:
        flat = {key: value for key, value in self.items() if not isinstance(value, dict)}
        flat |= {f"{key} {name}": each for key, value in self.items() if isinstance(value, dict) for name, each in value.items()}
        yield from table(("", ""), [(key.replace("_", " "), str(value)) for key, value in flat.items()])
