"""Cut lists that editors open: projects of LosslessCut, its CSV, and edit decision lists (EDL, CMX 3600)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from gerund.core.printing import json_text
from gerund.timelines.observations import Bout
from gerund.video.rate import USUAL_FPS


def losslesscut(path: Path, bouts: Sequence[Bout], fps: float | None) -> str:
    """A project of LosslessCut (.llc): the video by its name, which must lie beside the project, and named segments."""
    segments = [{"start": round(bout.start, 3), "end": round(bout.end, 3), "name": bout.label} for bout in bouts]
    return json_text({"version": 1, "mediaFileName": path.name, "cutSegments": segments}, indent=2) + "\n"


def cut_table(path: Path, bouts: Sequence[Bout], fps: float | None) -> str:
    """Start, end, name without a header: the CSV that LosslessCut imports and exports."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows((f"{bout.start:.3f}", f"{bout.end:.3f}", bout.label) for bout in bouts)
    return out.getvalue()


def edl(path: Path, bouts: Sequence[Bout], fps: float | None) -> str:
    """An edit decision list: one event per bout, one after the other, in non-drop time code at the rate of the video, rounded."""
    rate, record = max(1, round(fps or USUAL_FPS)), 0
    lines = [f"TITLE: {' '.join(path.stem.split())}", "FCM: NON-DROP FRAME", ""]
    for number, bout in enumerate(bouts, start=1):
        first = round(bout.start * (fps or USUAL_FPS))
        end = max(first + 1, round(bout.end * (fps or USUAL_FPS)))
        codes = [time_code(frame, rate) for frame in (first, end, record, record + end - first)]
        record += end - first
        lines += [f"{number:03d}  AX       V     C        {' '.join(codes)}"]
        lines += [f"* FROM CLIP NAME: {path.name}", f"* COMMENT: {' '.join(bout.label.split())}", ""]
    return "\n".join(lines)


def time_code(frame: int, rate: int) -> str:
    """00:01:02:12, counted in `rate` frames per second."""
    seconds, rest = divmod(frame, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest:02d}"


PROJECT_FORMATS: dict[str, tuple[str, Callable[[Path, Sequence[Bout], float | None], str]]] = {
    "losslesscut": (".llc", losslesscut),
    "edl": (".edl", edl),
    "cut_list": (".csv", cut_table),
}
"""Option -> the suffix of its files, and their text for a video, its bouts and its frames per second."""
