"""The journal of a project: one JSON line for each edit, only ever appended, on the disk before anybody is told that it is kept.

An edit is a list of changes `[key, before, after]` of named values; None stands for a value that is not there. So the state is what all
edits in a row give, and an edit is undone by the same changes backwards, which is an edit too. A process that is killed while it
writes leaves half a line at the end; of that edit nobody was told, and it is cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gerund.core.errors import DataError

Kind = Literal["edit", "undo", "redo", "note"]
Change = tuple[str, Any, Any]
"""Key, value before, value after."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One line. `number` counts from 1, `token` names the request that asked for it, so that one sent twice is done once.

    An `undo` or a `redo` belongs to the edit with number `of`; a `note` is what nobody undoes, such as where a video lies.
    """

    number: int
    kind: Kind = "edit"
    changes: Sequence[Change] = ()
    at: str = ""
    by: str = ""
    token: str = ""
    of: int | None = None
    said: str = ""

    def line(self) -> bytes:
        values = {name: value for name, value in vars(self).items() if value not in ("", None)}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@dataclass
class ProjectJournal:
    """The edits so far, and the state they give: values by key, and which edit touched each last."""

    path: Path
    edits: list[Edit] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, Edit] = field(default_factory=dict)
    done: list[Edit] = field(default_factory=list)
    undone: list[Edit] = field(default_factory=list)

    @classmethod
    def opened(cls, path: Path) -> ProjectJournal:
        """The journal in a file, or a new one. Raises DataError for a line that is damaged, or a file that cannot be read."""
        journal = cls(path)
        try:
            data = path.read_bytes() if path.exists() else b""
            kept = data.rfind(b"\n") + 1
            if kept < len(data):
                os.truncate(path, kept)
        except OSError as error:
            raise DataError(f"{path}: cannot be opened ({error.strerror})") from None
        for number, line in enumerate(data[:kept].splitlines(), start=1):
            journal.take(edit_in(line, path, number))
        return journal

    @property
    def number(self) -> int:
        """Of the last edit; 0 before the first."""
        return len(self.edits)

    def write(self, edit: Edit) -> Edit:
        """Append an edit and take it. Raises DataError, with nothing changed, when it cannot be put on the disk."""
        descriptor = None
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            size = os.fstat(descriptor).st_size
            try:
                written, line = 0, edit.line()
                while written < len(line):
                    written += os.write(descriptor, line[written:])
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        except OSError as error:
            raise DataError(f"{self.path}: not saved ({error.strerror}); make room, and do it again") from None
        finally:
            if descriptor is not None:
                os.close(descriptor)
        self.take(edit)
        return edit

    def take(self, edit: Edit) -> None:
        """Bring the state to after an edit."""
        for key, _, after in edit.changes:
            self.versions[key] = edit.number
            if after is None:
                self.values.pop(key, None)
            else:
                self.values[key] = after
        self.edits.append(edit)
        if edit.token:
            self.tokens[edit.token] = edit
        if edit.kind == "edit":
            self.done.append(edit)
            self.undone.clear()
        elif edit.kind == "undo":
            self.undone.append(self.done.pop())
        elif edit.kind == "redo":
            self.done.append(self.undone.pop())

    def below(self, room: str) -> dict[str, Any]:
        """The values of all keys `room/NAME`, by name."""
        start = f"{room}/"
        return {key[len(start) :]: value for key, value in self.values.items() if key.startswith(start)}


def edit_in(line: bytes, path: Path, number: int) -> Edit:
    """The edit in a line. Raises DataError when it is none, or not the one that comes here."""
    try:
        values = json.loads(line)
        edit = Edit(**{**values, "changes": tuple(tuple(change) for change in values["changes"])})
        complete = edit.number == number and all(len(change) == 3 for change in edit.changes)
    except (ValueError, TypeError, KeyError):
        complete = False
    if not complete:
        raise DataError(f"{path}:{number}: damaged; nothing after this line can be trusted. Put a copy of the file in its place")
    return edit
