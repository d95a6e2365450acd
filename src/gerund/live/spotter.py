"""Naming what happens now: frames one at a time through the backbone, a rolling window of features, and actions that last as long as usual."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from gerund import video
from gerund.backbones import Backbone, compile_engine
from gerund.core.errors import UsageError, VideoError
from gerund.core.progress import note
from gerund.core.results import Answer
from gerund.core.types import Features
from gerund.features.tokens import as_stored
from gerund.heads.semi_markov import Following, SegmentPrior
from gerund.live.record import Recorder, Window, check_recording
from gerund.live.source import Reader, Seen, Source
from gerund.video.rate import TIME_SLACK, USUAL_FPS

LEAST_SEEN = 0.5
"""Seconds of a stream's beginning after which it is looked at, although the window is not full."""
LAG_SHARE = 1 / 3
"""Of a window: so much of it must be filled by an action before it speaks for that, so an action began as much earlier. Measured on rows of real
clips: borders are off by 0.5 s instead of 1.0 s."""
NO_ACTION_PRICE = -2.0
"""ln of the probability of a time without an action: higher than in a timeline, which sees where pictures change and can wait."""
NO_ACTION = ("background", "unknown")
RANKED = 3
REMEMBERED = 10_000
"""Latencies of the last looks that are kept for the summary."""


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """How a stream is watched; see `gerund.watch` for the meaning of each."""

    window: float | None = None
    threshold: float = 0.5
    min_duration: float = 0.5
    unknown_threshold: float = 0.0
    realtime: bool = False
    timeout: float = 10.0
    reconnect: float = 60.0
    duration: float | None = None
    record: Path | None = None
    show: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold {self.threshold:g}: a probability is between 0 and 1")
        if not 0 <= self.unknown_threshold <= 1:
            raise UsageError(f"--unknown-threshold {self.unknown_threshold:g}: a share of known clips lies between 0 and 1")
        for flag, value, least in (("min-duration", self.min_duration, 0), ("reconnect", self.reconnect, 0)):
            if not value >= least:
                raise UsageError(f"--{flag} {value:g}: at least {least} seconds are needed")
        for flag, seconds in (("timeout", self.timeout), ("duration", self.duration), ("window", self.window)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise UsageError(f"--{flag} {seconds:g}: more than 0 seconds are needed")
        if self.record is not None:
            check_recording(self.record)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a model sees at one moment: `seconds` into the stream, probabilities (K,), `latency` from the frame's arrival in seconds."""

    seconds: float
    scores: np.ndarray
    latency: float


@dataclass(frozen=True, kw_only=True)
class Event(Answer):
    """An action started or ended. `start`, `end` (None while it lasts) and `seconds`, when this was decided, count from the first frame.

    `score` is the probability when that was decided, and its mean since then when it ended; `time` is the wall clock
    when the event was given; `latency` is seconds from the arrival of the frame that decided it, None where no frame did.
    """

    kind: Literal["started", "ended"]
    label: str
    score: float
    start: float
    end: float | None
    seconds: float
    time: datetime
    latency: float | None
    columns: ClassVar = ("kind", "label", "score", "start", "end", "seconds", "time", "latency")

    def as_rows(self) -> Iterator[Iterable[Any]]:
        yield (asdict(self) | {"time": self.time.isoformat(timespec="milliseconds")}).values()

    def as_json(self) -> dict[str, Any]:
        values = zip(self.columns, next(self.as_rows()), strict=True)
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in values}

    def as_text(self) -> Iterator[str]:
        span = f"{self.start:8.2f} s" + (" .. " if self.end is None else f" .. {self.end:.2f} s")
        delay = "" if self.latency is None else f"latency {1e3 * self.latency:.0f} ms"
        yield f"{self.kind:7}  {self.label:<20} {100 * self.score:5.1f} %  {span:24}{delay}".rstrip()


class Spotter:
    """Turns probabilities over time into actions that start and end.

    Each look says which label goes on in the likeliest story so far: segments that last about as long as the model's labels do, and times
    without any where no label is above `threshold`. A change counts when the story has had it for `min_duration` seconds, and an action when
    its probability reaches `threshold`. Times are those at which the change began in the story, less `lag`, which a window is late.
    """

    def __init__(
        self, labels: Sequence[str], prior: SegmentPrior, *, threshold: float, min_duration: float, step: float, lag: float
    ) -> None:
        self.labels, self.prior = labels, replace(prior, free_price=NO_ACTION_PRICE)
        self.threshold, self.min_duration, self.step, self.lag = threshold, min_duration, step, lag
        self.current: int | None = None
        self.total, self.count = 0.0, 0
        self.reset()

    def reset(self) -> list[Event]:
        """End what is going on and forget what was seen: the stream was interrupted."""
        events = self.end()
        self.story, self.told = Following(self.prior), (0, 0)
        self.first: float | None = None
        return events

    def add(self, look: Look) -> list[Event]:
        """What a look changes, in the order it happened."""
        if self.first is None:
            self.first = self.since = look.seconds
        self.seconds = look.seconds
        evidence = self.prior.evidence(look.scores[None])[0]
        while self.story.rows <= (look.seconds - self.first) / self.step + TIME_SLACK:
            self.told = self.story.add(evidence)
        if self.current is not None:
            self.total, self.count = self.total + float(look.scores[self.current]), self.count + 1
        state, row = self.told
        wanted = None if self.prior.free[state] else state
        if wanted == self.current:
            self.change = None
        elif self.change is None or self.change[0] != wanted:
            self.change = wanted, look.seconds
        sure = wanted is None or look.scores[wanted] >= self.threshold
        if self.change is None or not sure or look.seconds - self.change[1] < self.min_duration:
            return []
        return self.changed(wanted, max(self.first + row * self.step - self.lag, self.since), look)

    def changed(self, wanted: int | None, begun: float, look: Look) -> list[Event]:
        """What is going on ends, and what is `wanted` starts."""
        events = self.end(begun, look.latency)
        self.since = begun
        if wanted is not None:
            self.current, self.total, self.count = wanted, float(look.scores[wanted]), 1
            events.append(self.event("started", None, look.latency))
        return events

    def end(self, seconds: float | None = None, latency: float | None = None) -> list[Event]:
        """End what is going on, at `seconds` or at the last look."""
        events = [] if self.current is None else [self.event("ended", self.seconds if seconds is None else seconds, latency)]
        self.current = self.change = None
        return events

    def event(self, kind: Literal["started", "ended"], end: float | None, latency: float | None) -> Event:
        assert self.current is not None
        return Event(
            kind=kind,
            label=self.labels[self.current],
            score=self.total / self.count,
            start=self.since,
            end=end,
            seconds=self.seconds,
            time=datetime.now(UTC),
            latency=latency,
        )


class Eye:
    """Sees one frame at a time: a row of features (D,) float16, as the feature cache holds it."""

    def __init__(self, backbone: Backbone, *, device: str, precision: str) -> None:
        batch_size = None if precision == "int8" else 1  # an int8 copy is made for one size of batch
        self.engine = compile_engine(backbone, device=device, precision=precision, batch_size=batch_size)
        self.convert = video.FrameConverter(backbone.resize)
        shape = (self.engine.batch_size, 3, backbone.resize.height, backbone.resize.width)
        self.batch = np.zeros(shape, np.uint8).transpose(0, 2, 3, 1)

    def __call__(self, frame: Any) -> np.ndarray:
        self.batch[0] = self.convert(frame)
        rows: list[np.ndarray] = []
        self.engine.submit(self.batch, lambda features: rows.append(features[0]))
        self.engine.drain()
        return as_stored(rows[0])


class Rolling:
    """The features of the last `window` seconds."""

    def __init__(self, window: float) -> None:
        self.window = window
        self.rows: deque[tuple[float, np.ndarray]] = deque()

    def add(self, seconds: float, row: np.ndarray) -> None:
        self.rows.append((seconds, row))
        while self.rows[0][0] < seconds - self.window + TIME_SLACK:
            self.rows.popleft()

    def features(self) -> Features:
        pts, rows = zip(*self.rows, strict=True)
        return Features(np.stack(rows), np.array(pts))


class Watch:
    """Events of a source that is being watched: iterate over it. Reading begins at once, in the background.

    `open_eye` is called then, and `judge` for each frame: features of the last seconds -> probabilities (K,). `now` is the last look,
    `playing` the label of the action that is going on, `latencies` those of the last looks in seconds.
    """

    columns = Event.columns

    def __init__(
        self,
        source: str | Path,
        settings: WatchSettings,
        *,
        labels: Sequence[str],
        fps: float | None,
        window: float,
        prior: SegmentPrior,
        open_eye: Callable[[], Eye],
        judge: Callable[[Features], np.ndarray],
    ) -> None:
        if fps is not None and window < 1 / fps:
            raise UsageError(f"--window {window:g}: shorter than one step of {1 / fps:g} s ({fps:g} frames per second)")
        self.settings, self.labels, self.judge = settings, labels, judge
        self.spotter = Spotter(
            labels,
            prior,
            threshold=settings.threshold,
            min_duration=settings.min_duration,
            step=1 / (fps or USUAL_FPS),
            lag=window * LAG_SHARE,
        )
        self.rolling = Rolling(window)
        self.latencies: deque[float] = deque(maxlen=REMEMBERED)
        self.now: Look | None = None
        self.looked = 0
        found = Source.named(source)
        if settings.record is not None and found.kind == "file" and settings.record.resolve() == Path(found.name).resolve():
            raise UsageError(f"--record {settings.record}: this is the video that is watched; choose another name")
        self.window = Window(str(source)) if settings.show else None
        patient = found.kind == "file" and not settings.realtime
        nothing = [(label, 0.0) for label in labels[:RANKED]]
        self.recorder = None if settings.record is None else Recorder(settings.record, nothing, patient=patient)
        self.reader = Reader(
            found,
            fps=fps,
            realtime=settings.realtime,
            timeout=settings.timeout,
            reconnect=settings.reconnect > 0,
            tap=None if self.recorder is None else self.recorder.add,
        )
        self.closed = False
        if self.recorder is not None:
            self.recorder.start()
        self.reader.start()
        try:
            self.see = open_eye()
        except BaseException:
            self.close()
            raise

    @property
    def playing(self) -> str | None:
        """The label of the action that is going on; None while there is none."""
        return None if self.spotter.current is None else self.labels[self.spotter.current]

    @property
    def dropped(self) -> int:
        """Frames that were due but not looked at, since newer ones had come."""
        return self.reader.newest.dropped

    def __iter__(self) -> Iterator[Event]:
        """Actions as they start and end. The last one is ended with the stream.

        Raises VideoError when the source cannot be opened, or gives nothing for longer than it may; also then what is going on is
        ended first.
        """
        try:
            for look in self.looks():
                yield from self.spotter.reset() if look is None else self.spotter.add(look)
        except VideoError:
            yield from self.spotter.end()
            raise
        finally:
            self.finish()
        yield from self.spotter.end()
        if self.recorder is not None and self.recorder.failure is not None:
            raise self.recorder.failure

    def close(self) -> list[Event]:
        """Stop watching; returns the events that end what was going on."""
        self.finish()
        return self.spotter.end()

    def finish(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.reader.stop()
        if self.recorder is not None:
            self.recorder.close()
        if self.window is not None:
            self.window.close()

    def looks(self) -> Iterator[Look | None]:
        """One look for each frame that is due; None where the stream was interrupted and begins anew."""
        beginning: float | None = None
        for seen in self.frames():
            if seen is None:
                self.rolling.rows.clear()
                beginning = None
                yield None
                continue
            if self.settings.duration is not None and seen.seconds >= self.settings.duration:
                return
            self.rolling.add(seen.seconds, self.see(seen.frame))
            beginning = seen.seconds if beginning is None else beginning
            if seen.seconds - beginning < min(self.rolling.window / 2, LEAST_SEEN):
                continue
            yield self.look(seen)
            if self.window is not None and not self.window.open:
                return

    def look(self, seen: Seen) -> Look:
        scores = self.judge(self.rolling.features())
        look = Look(seconds=seen.seconds, scores=scores, latency=time.monotonic() - seen.arrived)
        self.now, self.looked = look, self.looked + 1
        self.latencies.append(look.latency)
        if self.recorder is not None or self.window is not None:
            best = np.argsort(-scores, kind="stable")[:RANKED]
            ranked = [(self.labels[index], float(scores[index])) for index in best]
            if self.recorder is not None:
                self.recorder.scores = ranked
                if self.recorder.failure is not None:
                    raise self.recorder.failure
            if self.window is not None:
                self.window.show(seen.frame, ranked)
        return look

    def frames(self) -> Iterator[Seen | None]:
        """The newest frames; None after `timeout` seconds without any. Raises VideoError when the source has to be given up."""
        name, settings = self.reader.source.name, self.settings
        patience, silent = settings.timeout, 0.0
        while True:
            try:
                seen = self.reader.newest.take(settings.timeout)
            except TimeoutError:
                silent += settings.timeout
                if silent >= patience:
                    reason = self.reader.trouble.removeprefix(f"{name}: ") or "it sends no data"
                    raise VideoError(f"{name}: no picture for {silent:g} s ({reason})") from None
                note(f"{name}: no picture for {silent:g} s")
                yield None
                continue
            if seen is None:
                return
            silent, patience = 0.0, max(settings.timeout, settings.reconnect if self.reader.reconnect else 0.0)
            yield seen
