"""The videos of a project: found in a folder, known by their content wherever they are moved, and their features made in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gerund.backbones import Engine
from gerund.core.errors import GerundError, VideoError, first_line
from gerund.core.files import readable
from gerund.core.types import Features
from gerund.data.listing import list_videos
from gerund.features.extractor import Extractor
from gerund.labelling.bouts import Footage, added, changed
from gerund.labelling.pictures import Looker
from gerund.labelling.project import Project
from gerund.video.rate import USUAL_FPS

Stage = Literal["waiting", "working", "ready", "failed", "missing"]
DIGITS_OF_NAME = 16
RETRY_SECONDS = 2.0
TOGETHER = 30.0
"""Seconds of short videos that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """How far the features of a video are: `share` 0..1 while they are made, `error` why there are none."""

    stage: Stage = "waiting"
    share: float = 0.0
    error: str = ""


class OtherFirstError(Exception):
    """Somebody has opened another video, whose features come first."""


class Watched:
    """An engine that counts its batches, and stops between two of them when it is asked to."""

    def __init__(self, engine: Engine, seen: Callable[[int], None], stop: threading.Event) -> None:
        self.engine, self.seen, self.stop = engine, seen, stop
        self.batch_size = engine.batch_size

    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        if self.stop.is_set():
            self.engine.drain()
            raise OtherFirstError
        self.engine.submit(batch, done)
        self.seen(self.batch_size)

    def drain(self) -> None:
        self.engine.drain()


class Library:
    """The videos below a folder. A thread identifies them and makes their features, the opened video's first.

    `changed` is told the name of a video whenever its standing changes. No video is opened in this process.
    """

    def __init__(self, project: Project, folder: Path, extractor: Extractor, changed: Callable[[str], None]) -> None:
        self.project, self.folder, self.extractor, self.changed = project, folder, extractor, changed
        self.looker = Looker()
        self.standings: dict[str, Readiness] = {}
        self.features: dict[str, Features] = {}
        self.unidentified: list[Path] = list_videos(folder).videos
        self.seen = set(self.unidentified)
        self.unreadable: dict[str, str] = {}
        """Name of a file -> why it is no video of the project."""
        self.rates: dict[str, float] = {}
        self.error = ""
        """Why the last step was not done; it is tried again."""
        self.opened = ""
        self.working: Sequence[str] = ()
        self.paused = False
        self.ending = False
        self.wake, self.stop = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True, name="features")

    def start(self) -> None:
        for name, video in self.project.state.videos.items():
            there = self.project.path_of(video).exists()
            self.standings[name] = Readiness() if there else Readiness(stage="missing", error="not found where it was")
        self.thread.start()

    def end(self) -> None:
        self.ending = True
        self.stop.set()
        self.wake.set()
        if self.thread.is_alive():
            self.thread.join()
        self.looker.close()

    def open(self, name: str) -> None:
        """Let a video come first."""
        self.opened = name
        videos = self.project.state.videos
        if self.standings.get(name, Readiness()).stage == "waiting":
            if sum(videos[each].duration for each in self.working) > TOGETHER:  # short ones are soon done
                self.stop.set()
            self.wake.set()

    def add(self, paths: Sequence[Path]) -> None:
        """Take more files into the project."""
        self.unidentified = [*self.unidentified, *(path for path in paths if path not in self.seen)]
        self.seen.update(paths)
        self.wake.set()

    def look(self) -> None:
        """Find what was put into the folder since it was looked at last."""
        new = [path for path in list_videos(self.folder).videos if path not in self.seen]
        if new:
            self.add(new)
            self.changed("")

    def frame_rate(self, name: str) -> float:
        """Pictures per second of a video, as its file says; the usual rate where it does not."""
        if name not in self.rates:
            try:
                self.rates[name] = self.looker.header(path_of_video(self.project, name))[1] or USUAL_FPS
            except VideoError:
                return USUAL_FPS
        return self.rates[name]

    def pause(self, *, paused: bool) -> None:
        """Make no features until this is taken back."""
        self.paused = paused
        (self.stop if paused else self.wake).set()

    def work(self) -> None:
        while not self.ending:
            try:
                self.step()
                self.error = ""
            except Exception as error:  # the disk may be full: what is not done is tried again
                logging.getLogger("gerund.labelling").error("looking at a video failed", exc_info=error)
                self.error = first_line(error)
                self.changed("")
                self.wake.wait(RETRY_SECONDS)

    def step(self) -> None:
        """Do what comes next, or wait for something to do."""
        if self.unidentified:
            self.identify(self.unidentified[0])
            self.unidentified = self.unidentified[1:]
        elif (names := self.next_ones()) and not self.paused:
            self.make(names)
        else:
            self.wake.wait()
            self.wake.clear()

    def identify(self, path: Path) -> str | None:
        """Give a file its place in the project: a new video, one that was moved or renamed, or a copy of one that is there.

        Returns its name there, None for what cannot be read.
        """
        try:
            duration, _ = self.looker.header(path)
            digest = self.extractor.cache.video_digest(path)
        except (GerundError, OSError) as error:
            reason = str(getattr(error, "strerror", None) or error)
            self.unreadable[readable(path.name)] = reason.removeprefix(f"{path}: ")
            self.changed("")
            return None
        name, place = digest[:DIGITS_OF_NAME], self.place_of(path)
        known = self.project.state.videos.get(name)
        new = Footage(name=name, digest=digest, path=place, duration=round(duration, 3))
        if known is None:
            self.project.remember([added(new)])
        elif known.path != place and not self.project.path_of(known).exists():
            self.project.remember([changed(known, replace(known, path=place))])
        self.standings[name] = self.standings.get(name, Readiness())
        if self.standings[name].stage == "missing":
            self.standings[name] = Readiness()
        self.changed(name)
        return name

    def place_of(self, path: Path) -> str:
        """A path from the project's folder, where it is below it; else whole."""
        whole, base = path.absolute(), self.project.folder.absolute()
        return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()

    def next_ones(self) -> list[str]:
        """The opened video or else the next one, those with labels first; short ones together, so that the decoders start once for all."""
        waiting = [name for name, standing in self.standings.items() if standing.stage == "waiting"]
        state, seconds = self.project.state, 0.0
        labelled = {bout.video for bout in state.bouts.values()}
        waiting.sort(key=lambda name: (name != self.opened, name not in labelled))
        for count, name in enumerate(waiting):
            seconds += state.videos[name].duration
            if seconds > TOGETHER:
                return waiting[: max(count, 1)]
        return waiting

    def make(self, names: Sequence[str]) -> None:
        """The features of videos, from the cache or made now."""
        videos, frames = self.project.state.videos, 0
        paths = {name: self.project.path_of(videos[name]) for name in names}
        expected = max(sum(videos[name].duration for name in names) * (self.extractor.spec.fps or USUAL_FPS), 1.0)

        def stand(readiness: Readiness) -> None:
            self.standings.update(dict.fromkeys(names, readiness))
            self.changed(names[0])

        def seen(count: int) -> None:
            nonlocal frames
            frames += count
            stand(Readiness(stage="working", share=min(frames / expected, 0.99)))

        self.stop.clear()
        self.working = names
        stand(Readiness(stage="working"))
        engine = self.extractor.engine
        self.extractor.compiled = Watched(engine, seen, self.stop)
        try:
            found = self.extractor.extract(paths.values())
            for name, path in paths.items():
                self.take(name, found.features.get(path), found.failed.get(path, "").removeprefix(f"{path}: "))
        except OtherFirstError:
            stand(Readiness())
        except (GerundError, OSError) as error:
            stand(Readiness(stage="failed", error=str(error)))
        finally:
            self.extractor.compiled = engine
            self.working = ()
        for name in names:
            self.changed(name)

    def take(self, name: str, features: Features | None, error: str) -> None:
        if features is None or not len(features):
            self.standings[name] = Readiness(stage="failed", error=error or "it has no pictures")
            return
        self.features[name] = features
        video = self.project.state.videos[name]
        if abs(features.end - video.duration) > 1e-3:
            self.project.remember([changed(video, replace(video, duration=round(features.end, 3)))])
        self.standings[name] = Readiness(stage="ready", share=1.0)


def path_of_video(project: Project, name: str) -> Path:
    """Where a video lies now. Raises VideoError when it is gone."""
    video = project.state.videos.get(name)
    if video is None or not project.path_of(video).is_file():
        raise VideoError(f"{'this video' if video is None else Path(video.path).name}: not there (any more)")
    return project.path_of(video)
