"""What a studio says of its project and its videos, as plain values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gerund.core.files import readable
from gerund.labelling.bouts import LabelledBout
from gerund.labelling.clips import is_of_clips, labels_of_clips
from gerund.labelling.desk import Studio
from gerund.labelling.edits import NOTHING_HERE
from gerund.labelling.footage import Readiness
from gerund.labelling.project import Snapshot
from gerund.video.draw import label_colours

NOTHING_COLOUR = "#8a8d94"
MOST_COLOURS = 64


def bouts_values(state: Snapshot, names: Sequence[str]) -> list[dict[str, Any]]:
    """Bouts by their names; those that are gone are left out."""
    found = [state.bouts[name] for name in names if name in state.bouts]
    return [{**bout_values(bout), "video": bout.video} for bout in found]


def bout_values(bout: LabelledBout) -> dict[str, Any]:
    return {name: getattr(bout, name) for name in ("name", "label", "start", "end", "status", "subject", "by")}


def project_values(desk: Studio) -> dict[str, Any]:
    state, library, journal = desk.project.state, desk.library, desk.project.journal
    return {
        "number": state.number,
        "folder": readable(str(desk.project.folder)),
        "by": desk.project.by,
        "title": readable(desk.folder.resolve().name) or "videos",
        "labels": label_values(state),
        "videos": videos_values(desk, state),
        "unreadable": dict(library.unreadable),
        "pending": len(library.unidentified),
        "paused": library.paused,
        "undo": journal.done[-1].said if journal.done else None,
        "redo": journal.undone[-1].said if journal.undone else None,
        "clips": is_of_clips(desk.project),
        "subjects": sorted({bout.subject for bout in state.bouts.values() if bout.subject}),
        "serving": desk.served.address,
        "learned": desk.learner.readout is not None,
        "complaint": desk.project.complaint or desk.learner.error or library.error or desk.model_error,
    }


def label_values(state: Snapshot) -> list[dict[str, Any]]:
    """Labels in the order of their keys."""
    colours = list(label_colours([str(place) for place in range(MOST_COLOURS)]).values())
    found = sorted(state.labels.values(), key=lambda label: (label.name == NOTHING_HERE, label.key or "~", label.text))
    return [
        {
            "name": label.name,
            "text": label.text,
            "key": label.key,
            "colour": NOTHING_COLOUR if label.name == NOTHING_HERE else colours[label.place % MOST_COLOURS],
        }
        for label in found
    ]


def videos_values(desk: Studio, state: Snapshot) -> list[dict[str, Any]]:
    """All videos by their paths, with what is labelled in each."""
    counts: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for bout in state.bouts.values():
        if bout.status == "confirmed":
            counts[bout.video] += 1
            seconds[bout.video] += bout.length
    labels = labels_of_clips(state)
    found = []
    for name, video in sorted(state.videos.items(), key=lambda item: item[1].path):
        standing = desk.library.standings.get(name, Readiness(stage="missing", error="not found where it was"))
        suggestion = desk.learner.suggestions.get(name)
        guess = suggestion.segments[0] if suggestion is not None and desk.learner.of_clips and suggestion.segments else None
        found.append(
            {
                "name": name,
                "title": readable(Path(video.path).name),
                "duration": video.duration,
                "stage": standing.stage,
                "share": round(standing.share, 3),
                "error": standing.error,
                "bouts": counts[name],
                "labelled": round(seconds[name], 2),
                "certainty": None if suggestion is None else round(suggestion.certainty, 3),
                "label": labels.get(name),
                "guess": None if guess is None or guess.label not in state.labels else guess.label,
                "score": 0.0 if guess is None else round(guess.score, 3),
            }
        )
    return found


def video_values(desk: Studio, name: str, *, with_bouts: bool = True) -> dict[str, Any]:
    state = desk.project.state
    video, suggestion = state.videos[name], desk.learner.suggestions.get(name)
    bouts = [bout for bout in state.bouts.values() if with_bouts and bout.video == name]
    return {
        "number": state.number,
        "name": name,
        "duration": video.duration,
        "fps": desk.library.frame_rate(name),
        "bouts": [bout_values(bout) for bout in bouts],
        "segments": []
        if suggestion is None
        else [
            {"label": each.label, "start": round(each.start, 3), "end": round(each.end, 3), "score": round(each.score, 4)}
            for each in suggestion.segments
            if each.label in state.labels
        ],
        "suggested": None if suggestion is None else suggestion.number,
    }
