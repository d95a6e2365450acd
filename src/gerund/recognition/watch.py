"""Naming actions live: a camera, a stream, or a file at its own pace."""

from __future__ import annotations

from pathlib import Path

from gerund.core.units import seconds
from gerund.live.source import Source
from gerund.live.spotter import Watch, WatchSettings
from gerund.recognition.recognizer import Recognizer


def watch(
    model: str | Path,
    source: str | Path,
    *,
    window: float | None = None,
    threshold: float = 0.5,
    min_duration: float = 0.5,
    realtime: bool = False,
    timeout: float = 10.0,
    reconnect: float = 60.0,
    duration: str | float | None = None,
    record: Path | None = None,
    show: bool = False,
    device: str = "auto",
) -> Watch:
    """Watch a camera or a stream: iterate over the answer for events, actions that start and end.

    Parameters
    ----------
    model
        A run folder, or a model folder.
    source
        A camera's number, a URL (rtsp, http, udp, tcp ...), a file, a named pipe, or - for standard input.
    window
        Seconds that a label is based on; the usual length of the training clips if the model knows it, else 4.
    threshold
        Probability that an action must reach to start.
    min_duration
        Seconds that a change must last before it counts.
    realtime
        Read a file or pipe at the pace of its time stamps.
    timeout
        Seconds without a picture after which a source counts as lost.
    reconnect
        Seconds for which a lost network source is tried again; with 0 its end is the end.
    duration
        Seconds of stream after which watching ends, or a time such as 10m.
    record
        Write what was seen, with the answers drawn in, as .mp4, .mov or .mkv.
    show
        Open a window with the picture.
    device
        cpu, cuda, mps or auto.
    """
    settings = WatchSettings(
        window=window,
        threshold=threshold,
        min_duration=min_duration,
        realtime=realtime,
        timeout=timeout,
        reconnect=reconnect,
        duration=None if duration is None else seconds(duration, "--duration"),
        record=None if record is None else Path(record),
        show=show,
    )
    Source.named(source)  # says what is wrong with it before the model is loaded
    return Recognizer.load(model, device=device).watch(source, **vars(settings))
