"""Naming actions live: a camera, a stream, or a file at its own pace."""

from __future__ import annotations

from pathlib import Path

from gerund.core import options
from gerund.core.units import seconds
from gerund.live.source import Source
from gerund.live.spotter import Watch, WatchSettings
from gerund.recognition.recognizer import Recognizer


def watch(
    model: options.ModelPath,
    source: options.StreamSource,
    *,
    window: options.LiveWindow | None = None,
    threshold: options.LiveThreshold = 0.5,
    min_duration: options.LiveMinDuration = 0.5,
    unknown_threshold: options.FamiliarWindows = options.FAMILIAR_WINDOWS,
    realtime: options.Realtime = False,
    timeout: options.SourceTimeout = 10.0,
    reconnect: options.Reconnect = 60.0,
    duration: options.WatchFor | None = None,
    record: options.RecordFile | None = None,
    show: options.ShowWindow = False,
    device: options.Device = options.USUAL.device,
) -> Watch:
    """Watch a camera or a stream: iterate over the answer for events, actions that start and end.

    Each argument is explained in `gerund.core.options`, and by `gerund watch --help`.
    """
    settings = WatchSettings(
        window=window,
        threshold=threshold,
        min_duration=min_duration,
        unknown_threshold=unknown_threshold,
        realtime=realtime,
        timeout=timeout,
        reconnect=reconnect,
        duration=None if duration is None else seconds(duration, "--duration"),
        record=None if record is None else Path(record),
        show=show,
    )
    Source.named(source)  # says what is wrong with it before the model is loaded
    return Recognizer.load(model, device=device).watch(source, **vars(settings))
