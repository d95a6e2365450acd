"""Cut lists that editors open: projects of LosslessCut, its CSV, and edit decision lists (EDL, CMX 3600)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from gerund.core.printing import json_text
from gerund.core.types import Timeline
from gerund.timelines.formats import FileFormat
from gerund.video.header import rate_and_sound


def losslesscut(timeline: Timeline, path: Path) -> str:
    """A project of LosslessCut (.llc): the video by its name, which must lie beside the project, and named segments."""
    segments = [{"start": round(bout.start, 3), "end": round(bout.end, 3), "name": bout.label} for bout in timeline.segments]
    return json_text({"version": 1, "mediaFileName": timeline.path.name, "cutSegments": segments}, indent=2) + "\n"


def cut_table(timeline: Timeline, path: Path) -> str:
    """Start, end, name without a header: the CSV that LosslessCut imports and exports."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        (f"{bout.start:.3f}", f"{bout.end:.3f}", bout.label) for bout in timeline.segments
    )
    return out.getvalue()


def edl(timeline: Timeline, path: Path) -> str:
    """An edit decision list: one event per bout, one after the other, in non-drop time code at the rate of the video, rounded."""
    fps, _ = rate_and_sound(timeline.path)
    rate, record = max(1, round(fps)), 0
    lines = [f"TITLE: {' '.join(timeline.path.stem.split())}", "FCM: NON-DROP FRAME", ""]
    for number, bout in enumerate(timeline.segments, start=1):
        first = round(bout.start * fps)
        end = max(first + 1, round(bout.end * fps))
        codes = [time_code(frame, rate) for frame in (first, end, record, record + end - first)]
        record += end - first
        lines += [f"{number:03d}  AX       V     C        {' '.join(codes)}"]
        lines += [f"* FROM CLIP NAME: {timeline.path.name}", f"* COMMENT: {' '.join(bout.label.split())}", ""]
    return "\n".join(lines)


def time_code(frame: int, rate: int) -> str:
    """00:01:02:12, counted in `rate` frames per second."""
    seconds, rest = divmod(frame, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


PROJECT_FORMATS: dict[str, FileFormat] = {
    "losslesscut": FileFormat((".llc",), losslesscut),
    "edl": FileFormat((".edl",), edl),
    "cut_list": FileFormat((".csv",), cut_table),
}
"""Lists for editors beside TIMELINE_FORMATS, by the option that asks for them."""
