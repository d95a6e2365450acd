"""Videos made from a stranger's video, in a process of their own with the same bonds as a decoder.

The process has its order on the first line of its standard input, and ends when that is closed: whoever started it is gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.files import tidy
from gerund.core.types import Resize, Segment, Timeline
from gerund.core.workers import UNREADABLE, reason
from gerund.serving.limits import Limits, NoRoomError, shut_in
from gerund.serving.processes import end_process, module_process
from gerund.video.annotate import LARGEST_SIDE, annotate_timeline
from gerund.video.container import Trust, strangers_file

FilmKind = Literal["preview", "annotated"]
PREVIEW_HEIGHT = 360
PREVIEW_FPS = 25.0
LARGEST_OUTPUT = 2 * 10**9
VIDEO_AT_FAULT = 4
"""Exit code of the process when the video, not the process, is at fault; its output then says why."""


async def draw_film(kind: FilmKind, source: Path, out: Path, timeline: Timeline, limits: Limits) -> None:
    """Write `out` from `source`; all or nothing. The process ends with this call, however it ends. Raises VideoError or NoRoomError."""
    partial = out.with_name(f"partial-{out.name}")
    order = {
        "kind": kind,
        "source": str(source),
        "out": str(partial),
        "limits": asdict(limits),
        "timeline": plain_timeline(timeline),
    }
    process = await module_process("gerund.serving.drawing", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(limits.seconds_job):
            said = await told_by(process, order)
    except TimeoutError:
        raise VideoError(f"drawing it took longer than {limits.seconds_job:.0f} s") from None
    finally:
        await end_process(process)
        if process.returncode != 0:
            partial.unlink(missing_ok=True)
            tidy(out.parent)
    if process.returncode == VIDEO_AT_FAULT and said.decode(errors="replace").startswith(f"{partial}: "):
        raise NoRoomError("it cannot be written; the disk may be full")
    if process.returncode == VIDEO_AT_FAULT:
        raise VideoError(said.decode(errors="replace").removeprefix(f"{source}: "))
    if process.returncode != 0:
        raise VideoError(f"the process that draws it ended with code {process.returncode}")
    partial.replace(out)


async def told_by(process: asyncio.subprocess.Process, order: dict[str, Any]) -> bytes:
    """Give the process its order, and wait for its end; what it printed."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    with suppress(OSError):  # it has ended already; its exit code says so
        await process.stdin.drain()
    said = await process.stdout.read()
    await process.wait()
    return said


def end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def obey(order: dict[str, Any]) -> int:
    """What runs in the process of its own."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    limits = Limits(**order["limits"])
    trust = strangers_file(pixels=limits.pixels)
    shut_in(cpu_seconds=limits.seconds_job, writes=LARGEST_OUTPUT, processes=True)
    source, out = Path(order["source"]), Path(order["out"])
    try:
        if order["kind"] == "preview":
            preview(source, out, trust)
        else:
            annotate_timeline(timeline_from(order["timeline"], source), out, trust=trust)
    except UNREADABLE as failure:
        print(reason(source, failure), end="")
        return VIDEO_AT_FAULT
    return 0


def plain_timeline(timeline: Timeline) -> dict[str, Any]:
    segments = [asdict(each) for each in timeline.segments]
    numbers = {"pts": timeline.pts.tolist(), "scores": timeline.scores.round(4).tolist()}
    return {"labels": list(timeline.labels), "segments": segments, "duration": timeline.duration, **numbers}


def timeline_from(values: dict[str, Any], path: Path) -> Timeline:
    return Timeline(
        path=path,
        labels=values["labels"],
        pts=np.array(values["pts"]),
        scores=np.array(values["scores"], np.float32),
        segments=[Segment(**each) for each in values["segments"]],
        duration=values["duration"],
    )


def preview(source: Path, out: Path, trust: Trust) -> None:
    """The pictures alone, small, in what every browser plays."""
    height, width = next(video.read(source, block=1, trust=trust)).data.shape[1:3]
    factor = min(1.0, PREVIEW_HEIGHT / height, LARGEST_SIDE / width)
    size = Resize(height=max(2, round(height * factor)), width=max(2, round(width * factor)), fit="squeeze")
    ends: list[float] = []
    with video.Writer(out) as writer:
        for block in video.read(source, fps=PREVIEW_FPS, resize=size, ended=ends.append, trust=trust):
            for picture, seconds in zip(block.data, block.pts, strict=True):
                writer.add(picture, float(seconds))
        writer.end = ends[0]


if __name__ == "__main__":
    code = obey(json.loads(sys.stdin.buffer.readline()))
    sys.stdout.flush()
    os._exit(code)  # an ordinary end would wait for the thread that listens
