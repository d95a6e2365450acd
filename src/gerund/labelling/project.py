"""A labelling project: a folder of plain files that only one studio has open. Nothing that was acknowledged is ever lost.

`gerund-journal.jsonl` is the truth, `labels.csv` what it comes to, for people and every other command, and `model/` what was learned.
`gerund-project.json` says of which version the folder is, and which labels.csv were written here, so that one that somebody
changed by hand is put aside and not written over.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gerund.core.errors import DataError
from gerund.core.files import beside, tidy, write_bytes, write_json
from gerund.core.progress import note
from gerund.core.texts import read_json
from gerund.data.annotations import Annotation, write_annotations
from gerund.labelling.bouts import KEYS_OF, Footage, Label, LabelledBout, things
from gerund.labelling.journal import Change, Edit, ProjectJournal

VERSION = 1
LABELS_FILE, JOURNAL_FILE, PROJECT_FILE, MODEL_FOLDER = "labels.csv", "gerund-journal.jsonl", "gerund-project.json", "model"
LOCK_FILE = ".gerund-studio.lock"
CSV_COLUMNS = ("path", "label", "start", "end", "subject", "status", "by", "at")


@dataclass(frozen=True)
class Snapshot:
    """What a project holds after the edit with `number`, by name."""

    number: int
    bouts: Mapping[str, LabelledBout]
    labels: Mapping[str, Label]
    videos: Mapping[str, Footage]


Operation = Callable[[Snapshot], tuple[str, Sequence[Change]]]
"""What an edit is called, and its changes."""


class ConflictError(Exception):
    """A change of something that another window has changed since it was seen."""


class Project:
    """The project in a folder, held until it is closed. All its methods may be called from several threads."""

    def __init__(self, folder: Path, *, address: str = "") -> None:
        self.folder = folder
        self.by = user_name()
        self.changing = threading.RLock()
        self.stale, self.ending = threading.Event(), threading.Event()
        self.seen_state: Snapshot | None = None
        self.complaint = ""
        """Why labels.csv could not be written the last time."""
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = locked(folder / LOCK_FILE, address)
        try:
            tidy(folder)
            self.written = written_before(folder / PROJECT_FILE)
            self.journal = ProjectJournal.opened(folder / JOURNAL_FILE)
            self.is_new = not self.journal.edits
            self.foreign_labels = self.put_aside()
        except BaseException:
            self.lock.release()
            raise
        self.stale.set()
        self.writer = threading.Thread(target=self.keep_csv, daemon=True, name="labels.csv")
        self.writer.start()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left to write, and let go of the folder."""
        self.ending.set()
        self.stale.set()
        self.writer.join()
        self.lock.release()

    @property
    def number(self) -> int:
        """Of the last edit: the version of everything that a window shows."""
        return self.journal.number

    @property
    def state(self) -> Snapshot:
        """Everything as it is now."""
        with self.changing:
            if self.seen_state is None or self.seen_state.number != self.journal.number:
                found = (things(kind, self.journal.below(room)) for kind, room in KEYS_OF.items())
                self.seen_state = Snapshot(self.journal.number, *found)  # type: ignore[arg-type]
            return self.seen_state

    def setting(self, name: str, default: Any = None) -> Any:
        return self.journal.values.get(f"setting/{name}", default)

    def path_of(self, video: Footage) -> Path:
        return Path(os.path.normpath(self.folder / video.path))

    def perform(self, operation: Operation, *, token: str = "", seen: int | None = None) -> Edit:
        """Make an edit: `operation` says of the state what it is called and what changes. One whose `token` has come before is done already.

        `seen` is the number of the last edit that whoever asks has seen. Raises ConflictError when something of it has been
        changed since, and DataError when it cannot be saved.
        """
        with self.changing:
            if token and token in self.journal.tokens:
                return self.journal.tokens[token]
            said, changes = operation(self.state)
            newer = next((key for key, _, _ in changes if seen is not None and self.journal.versions.get(key, 0) > seen), None)
            if newer:
                raise ConflictError("this was changed in another window meanwhile; look at it again")
            return self.append("edit", changes, token=token, said=said)

    def remember(self, changes: Sequence[Change]) -> Edit | None:
        """Make changes that nobody undoes: where a video lies, and settings."""
        with self.changing:
            news = [each for each in changes if self.journal.values.get(each[0]) != each[2]]
            return self.append("note", news) if news else None

    def undo(self, *, token: str = "") -> Edit | None:
        """Take back the last edit that is not taken back yet; None when there is none."""
        with self.changing:
            if token and token in self.journal.tokens:
                return self.journal.tokens[token]
            if not self.journal.done:
                return None
            last = self.journal.done[-1]
            back = [(key, after, before) for key, before, after in reversed(last.changes)]
            return self.append("undo", back, token=token, of=last.number, said=last.said)

    def redo(self, *, token: str = "") -> Edit | None:
        """Make again what was undone last; None when there is nothing."""
        with self.changing:
            if token and token in self.journal.tokens:
                return self.journal.tokens[token]
            if not self.journal.undone:
                return None
            last = self.journal.undone[-1]
            return self.append("redo", last.changes, token=token, of=last.number, said=last.said)

    def append(self, kind: Any, changes: Sequence[Change], **details: Any) -> Edit:
        number = self.journal.number + 1
        edit = self.journal.write(Edit(number=number, kind=kind, changes=tuple(changes), at=now(), by=self.by, **details))
        self.stale.set()
        return edit

    def annotations(self) -> list[Annotation]:
        """All bouts, as the CSV holds them: by video and time."""
        state = self.state
        found = [
            Annotation(
                path=self.path_of(state.videos[bout.video]),
                label=state.labels[bout.label].text,
                start=bout.start,
                end=bout.end,
                subject=bout.subject or None,
                status=bout.status,
                by=bout.by or None,
                at=bout.at or None,
            )
            for bout in state.bouts.values()
        ]
        return sorted(found, key=lambda each: (str(each.path), each.start, each.end or 0.0))

    def keep_csv(self) -> None:
        """Write labels.csv soon after each edit; the thread ends with the project."""
        while not self.ending.is_set() or self.stale.is_set():
            self.stale.wait()
            self.stale.clear()
            try:
                self.write_csv()
                self.complaint = ""
            except (DataError, OSError) as error:
                self.complaint = f"{self.folder / LABELS_FILE}: not written ({getattr(error, 'strerror', None) or error})"

    def write_csv(self) -> None:
        """Write labels.csv whole; before, that it will be one of ours."""
        fresh = beside(self.folder / LABELS_FILE)
        write_annotations(self.annotations(), fresh, CSV_COLUMNS)
        data = fresh.read_bytes()
        fresh.unlink()
        known = [*self.written[-1:], labels_digest(data)]
        if known != self.written:
            write_json(self.folder / PROJECT_FILE, {"format": "gerund project", "version": VERSION, "written": known})
            self.written = known
        write_bytes(self.folder / LABELS_FILE, data)

    def put_aside(self) -> Path | None:
        """A labels.csv that was not written here is renamed; its new name. What is in it may then be imported."""
        path = self.folder / LABELS_FILE
        if not path.exists() or labels_digest(path.read_bytes()) in self.written:
            return None
        kept = next(place for place in places_beside(path) if not place.exists())
        path.rename(kept)
        note(f"{path}: not written by this project, so it is kept as {kept.name}")
        return kept


def locked(path: Path, address: str) -> FileLock:
    """A lock that ends with this process. Raises DataError when another studio has it, with its address."""
    lock = FileLock(path, thread_local=False)  # whoever closes the project may be another thread
    told = path.with_suffix(".address")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with contextlib.suppress(OSError):
            address = told.read_text(encoding="utf-8")
        raise DataError(f"{path.parent}: another studio has this project open{f' at {address}' if address else ''}") from None
    except OSError as error:
        raise DataError(f"{path.parent}: cannot be written ({error.strerror}); choose another folder with --project") from None
    with contextlib.suppress(OSError):
        told.write_text(address, encoding="utf-8")
    return lock


def written_before(path: Path) -> list[str]:
    """Digests of the labels.csv that this project wrote. Raises DataError for a project of a newer version, and what is none."""
    if not path.exists():
        return []
    values = read_json(path)
    if not isinstance(values, dict) or values.get("format") != "gerund project":
        raise DataError(f"{path}: not a project of gerund; choose another folder with --project")
    if values.get("version") != VERSION:
        raise DataError(
            f"{path}: a project of version {values.get('version')}, and this gerund knows version {VERSION}; install a newer gerund"
        )
    return [str(each) for each in values.get("written", [])]


def places_beside(path: Path) -> Iterator[Path]:
    yield path.with_name(f"{path.stem}-before.csv")
    number = 2
    while True:
        yield path.with_name(f"{path.stem}-before-{number}.csv")
        number += 1


def labels_digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_name() -> str:
    """A name for a bout or a label that no other one has."""
    return uuid.uuid4().hex[:12]


def user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may know no users
        return "somebody"
