"""What else becomes of watched frames: a video file with the answers drawn in, or a window."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video
from gerund.core.errors import UsageError, VideoError
from gerund.core.progress import note
from gerund.core.types import Resize
from gerund.live.source import Seen
from gerund.video.annotate import LEAST_WIDTH, answer_panel, shown_size

RECORDING_SUFFIXES = (".mp4", ".mov", ".mkv")
WAITING = 16
"""Frames that may wait to be written; more are left out, since watching comes first."""
Scores = Sequence[tuple[str, float]]


def check_recording(path: Path) -> None:
    """Raise UsageError for a file that a recording cannot become."""
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        raise UsageError(
            f"--record {path}: {path.suffix or 'no suffix'} cannot hold it; choose one of {', '.join(RECORDING_SUFFIXES)}"
        )
    if not path.parent.is_dir():
        raise UsageError(f"--record {path}: there is no folder {path.parent}")


class Panelled:
    """Puts the ranked labels below pictures, all in the size of the first one."""

    def __init__(self) -> None:
        self.convert: video.FrameConverter | None = None
        self.drawn: tuple[Scores, np.ndarray] | None = None

    def __call__(self, frame: Any, scores: Scores) -> np.ndarray:
        if self.convert is None:
            height, width = shown_size(video.FrameConverter(None)(frame).shape[:2], animation=False)
            self.size = Resize(height=height, width=max(width, LEAST_WIDTH), fit="letterbox")
            self.convert = video.FrameConverter(self.size)
        if self.drawn is None or self.drawn[0] is not scores:
            self.drawn = scores, answer_panel(self.size.width, scores)
        return np.concatenate([self.convert(frame), self.drawn[1]])


class Recorder(threading.Thread):
    """Writes every frame at its own time, with the `scores` that were known then; in a thread of its own.

    The picture keeps the size of the first frame; others are letterboxed. `failure` says why nothing more is written.
    """

    def __init__(self, path: Path, scores: Scores, *, patient: bool) -> None:
        super().__init__(daemon=True, name=f"recorder of {path.name}")
        self.path = path
        self.scores = scores
        self.patient = patient
        self.waiting: queue.Queue[tuple[Seen, Scores] | None] = queue.Queue(WAITING)
        self.left_out = 0
        self.failure: VideoError | None = None

    def add(self, seen: Seen) -> None:
        """Take a frame; one too many is left out, or with `patient` waited for."""
        if self.failure is not None:
            return
        try:
            self.waiting.put((seen, self.scores), block=self.patient)
        except queue.Full:
            self.left_out += 1

    def run(self) -> None:
        try:
            self.write()
        except Exception as error:  # raised again by who watches
            self.failure = error if isinstance(error, VideoError) else VideoError(f"{self.path}: {type(error).__name__}: {error}")
            while self.waiting.get() is not None:  # so that nobody waits for a place
                pass

    def write(self) -> None:
        first = self.waiting.get()
        if first is None:
            return
        draw = Panelled()
        with video.Writer(self.path, growing=True) as writer:
            item: tuple[Seen, Scores] | None = first
            while item is not None:
                seen, scores = item
                writer.add(draw(seen.frame, scores), seen.seconds)
                item = self.waiting.get()

    def close(self) -> None:
        """Write what waits, and end the file."""
        self.waiting.put(None)
        self.join()
        if self.left_out:
            note(f"{self.path}: {self.left_out} frames were left out, since they came faster than they could be written")


class Window:
    """A window with the picture and the ranked labels. Raises UsageError where there is no display."""

    def __init__(self, title: str) -> None:
        try:
            import tkinter

            self.root = tkinter.Tk()
        except (ImportError, RuntimeError) as error:
            raise no_display(error) from None
        except Exception as error:
            if type(error).__name__ != "TclError":
                raise
            raise no_display(error) from None
        self.root.title(title)
        self.root.protocol("WM_DELETE_WINDOW", self.close)
        self.picture = tkinter.Label(self.root, borderwidth=0)
        self.picture.pack()
        self.draw = Panelled()
        self.open = True

    def show(self, frame: Any, scores: Scores) -> None:
        from PIL import Image, ImageTk

        self.image = ImageTk.PhotoImage(Image.fromarray(self.draw(frame, scores)))  # kept, or Tk shows nothing
        self.picture.configure(image=self.image)
        self.root.update()

    def close(self) -> None:
        if self.open:
            self.open = False
            self.root.destroy()


def no_display(error: Exception) -> UsageError:
    return UsageError(f"--show: there is no display ({error}); leave --show out, or write a file with --record")
