"""Everything that a studio works with: the project, its videos, the model that learns, and who is told of what changes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gerund.core.errors import GerundError, VideoError
from gerund.core.types import Segment, Timeline
from gerund.features.extractor import Extractor
from gerund.labelling.footage import Library, path_of_video
from gerund.labelling.held_out import held_out_f1
from gerund.labelling.journal import Edit
from gerund.labelling.keeping import save_model
from gerund.labelling.learner import Learner
from gerund.labelling.pictures import Looker
from gerund.labelling.project import Operation, Project
from gerund.labelling.served import ServedModel
from gerund.serving.drawing import draw_film
from gerund.serving.limits import Limits

QUIET_SECONDS = 3.0
"""After so long without a change the model is saved."""


class Bell:
    """Tells everybody who listens, from whatever thread."""

    def __init__(self) -> None:
        self.listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[dict[str, Any]]]] = set()
        self.lock = threading.Lock()
        self.is_over = False
        """Set when the studio is told to end, so that no window keeps it waiting."""

    def ring(self, message: dict[str, Any]) -> None:
        with self.lock:
            for loop, queue in self.listeners:
                with contextlib.suppress(RuntimeError):  # its loop has ended
                    loop.call_soon_threadsafe(queue.put_nowait, message)

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        """Messages as they come, several of one kind about one thing as the last of them."""
        entry = (asyncio.get_running_loop(), asyncio.Queue[dict[str, Any]]())
        with self.lock:
            self.listeners.add(entry)
        try:
            while True:
                waiting = [await entry[1].get()]
                await asyncio.sleep(0.05)
                while not entry[1].empty():
                    waiting.append(entry[1].get_nowait())
                for message in {(each["kind"], each.get("video"), each.get("number")): each for each in waiting}.values():
                    yield message
        finally:
            with self.lock:
                self.listeners.discard(entry)


class Studio:
    """One studio. `copies` is the folder for small copies of what a browser cannot play."""

    def __init__(self, project: Project, folder: Path, extractor: Extractor, copies: Path) -> None:
        self.project, self.folder, self.copies = project, folder, copies
        self.bell = Bell()
        self.looker = Looker()
        self.library = Library(project, folder, extractor, self.video_changed)
        self.learner = Learner(project, self.library, self.redrawn)
        self.saved = -1
        """The last edit that the saved model knows of."""
        self.saving, self.judging = threading.Lock(), threading.Lock()
        self.judged: tuple[Any, dict[str, Any]] = object(), {}
        self.model_error = ""
        self.timer: threading.Timer | None = None
        self.served = ServedModel()
        self.drawing: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        self.library.start()
        self.learner.start()
        self.learner.wake.set()

    def end(self) -> None:
        """Stop all threads, save the model, and let go of the project."""
        if self.timer is not None:
            self.timer.cancel()
        self.library.end()
        self.looker.close()
        self.learner.end()
        self.keep_model()
        self.project.close()

    def perform(self, operation: Operation, *, token: str, seen: int | None) -> Edit:
        before = self.project.number
        edit = self.project.perform(operation, token=token, seen=seen)
        if edit.number > before:
            self.edited(edit)
        return edit

    def step(self, *, back: bool, token: str) -> Edit | None:
        """Undo, or do again."""
        before = self.project.number
        edit = self.project.undo(token=token) if back else self.project.redo(token=token)
        if edit is not None and edit.number > before:
            self.edited(edit)
        return edit

    def edited(self, edit: Edit) -> None:
        self.bell.ring({"kind": "edit", **self.edit_values(edit)})
        self.learner.wake.set()

    def edit_values(self, edit: Edit) -> dict[str, Any]:
        """What windows are told of an edit: its number, its name, the values after it by key, and what can be undone now."""
        journal = self.project.journal
        return {
            "number": edit.number,
            "said": edit.said,
            "done": edit.kind,
            "changes": [[key, after] for key, _, after in edit.changes],
            "undo": journal.done[-1].said if journal.done else None,
            "redo": journal.undone[-1].said if journal.undone else None,
        }

    def video_changed(self, name: str) -> None:
        self.bell.ring({"kind": "video", "video": name})
        if name in self.library.features:
            self.learner.wake.set()

    def redrawn(self, video: str) -> None:
        self.bell.ring({"kind": "redrawn", "video": video})
        if not video:
            if self.timer is not None:
                self.timer.cancel()
            self.timer = threading.Timer(QUIET_SECONDS, self.keep_model)
            self.timer.daemon = True
            self.timer.start()

    def keep_model(self) -> Path | None:
        """Save the model if it has learned something since; the folder, None while there is none."""
        with self.saving:
            number = self.project.number
            folder = self.project.folder / "model"
            if number == self.saved:
                return folder if folder.exists() else None
            try:
                saved = save_model(self.project, self.library)
                self.model_error = ""
            except GerundError as error:
                self.model_error = str(error)
                return None
            self.saved = number if saved else self.saved
            return saved

    def judged_timelines(self) -> dict[str, Any]:
        """F1@50 as of the last edit, made once for each."""
        with self.judging:
            readout = self.learner.readout
            if self.judged[0] is not readout:
                self.judged = readout, held_out_f1(self.learner, self.project.state)
            return self.judged[1]

    def copy_of(self, name: str) -> Path:
        return self.copies / f"{self.project.state.videos[name].digest}.mp4"

    def pause(self, *, paused: bool) -> None:
        """Make no features and no copies until this is taken back."""
        self.library.pause(paused=paused)
        for task in list(self.drawing.values()) if paused else ():
            task.cancel()

    async def make_copy(self, name: str) -> Path:
        """A small copy of a video that every browser plays, its times exact. Raises VideoError or NoRoomError."""
        out = self.copy_of(name)
        if not out.exists():
            if self.library.paused:
                raise VideoError("no small copy is made while looking is stopped")
            if name not in self.drawing:
                out.parent.mkdir(parents=True, exist_ok=True)
                source = path_of_video(self.project, name)
                task = asyncio.create_task(draw_film("preview", source, out, Timeline(path=source, labels=[]), Limits()))
                self.drawing[name] = task
                task.add_done_callback(lambda _: self.drawing.pop(name, None))
            try:
                await asyncio.shield(self.drawing[name])
            except asyncio.CancelledError:
                if not self.library.paused:
                    raise
                raise VideoError("making a small copy was stopped") from None
        return out

    def found_segments(self) -> list[tuple[str, Segment]]:
        """The model's segments in all videos, with labels by their text."""
        labels = self.project.state.labels
        return [
            (video, Segment(start=each.start, end=each.end, label=labels[each.label].text, score=each.score))
            for video, suggestion in list(self.learner.suggestions.items())
            for each in suggestion.segments
            if each.label in labels
        ]
