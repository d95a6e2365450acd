"""Training from annotated long videos: what is said of unlabelled time, and the report on timelines of videos that were held out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gerund.core.errors import UsageError
from gerund.core.progress import note, progress
from gerund.core.recipes import Recipe
from gerund.core.types import Clip, Features
from gerund.data.datasets.background import BACKGROUND, gaps
from gerund.data.manifest import group_of
from gerund.features.extractor import Extraction
from gerund.recognition.evaluate import Evaluation, evaluate_clips
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.token_set import TokenSet, token_set
from gerund.timelines.evaluate import TimelineEvaluation, beside_truth, put_together
from gerund.timelines.timeline import windows_for
from gerund.training.calibrate import fresh_head
from gerund.training.head import with_durations
from gerund.training.solve import solve_quietly

MUCH = 0.05
"""Share of the videos' time from which unlabelled time is worth a sentence."""


def is_annotated(clips: Sequence[Clip]) -> bool:
    """Whether clips are spans of longer videos: some video has two at least. Else they are clips, each of its own."""
    return max(Counter(clip.path for clip in clips).values(), default=0) > 1


def tell_of_unlabelled(clips: Sequence[Clip], features: Mapping[Path, Features]) -> None:
    """Ask for background, once and in a sentence, where videos hold time that has no label."""
    if not is_annotated(clips) or any(clip.label == BACKGROUND for clip in clips):
        return
    by_video: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_video[clip.path].append(clip)
    seen = {path: features[path] for path in by_video if path in features and len(features[path])}
    total = sum(each.end - float(each.pts[0]) for each in seen.values())
    free = sum(end - start for path, each in seen.items() for start, end in gaps(by_video[path], float(each.pts[0]), each.end))
    if free > MUCH * total:
        note(
            f"{free:.0f} of {total:.0f} s of these videos have no label. If nothing happens there that should be named, train with "
            "--background: then a timeline can say so."
        )


def held_out_timelines(recognizer: Recognizer, clips: Sequence[Clip]) -> TimelineEvaluation | None:
    """Timelines of videos that training has not seen, beside their annotations; None of clips that are no spans of longer videos."""
    return beside_truth(recognizer, clips, windows_for(recognizer)) if is_annotated(clips) else None


def each_group_left_out(
    recognizer: Recognizer, extraction: Extraction, clips: Sequence[Clip]
) -> tuple[Evaluation, TimelineEvaluation | None]:
    """Every clip, and every annotated video, judged by a head that was solved without its group, which has not counted durations there either.

    Clips that cannot be used count as wrong, as ever. Raises UsageError for a single group, which leaves nothing to learn from.
    """
    known = extraction.usable(clips)
    tokens = token_set(recognizer, [extraction], known)
    names = list(dict.fromkeys(map(group_of, known)))
    if len(names) < 2:
        raise UsageError("--leave-one-out group: there is one group only, and so nothing to learn from without it")
    annotated, parts, films = is_annotated(clips), [], []
    with progress("Leaving out", len(names), "groups") as bar:
        for number, name in enumerate(names):
            own = [clip for clip in clips if group_of(clip) == name]
            rest = [clip for clip in known if group_of(clip) != name]
            without = with_durations(solved_without(recognizer, tokens, number), rest, extraction.features)
            parts.append(evaluate_clips(without, own))
            if annotated:
                films.append(beside_truth(without, own, windows_for(without)))
            bar.advance()
    evaluation = Evaluation(
        labels=recognizer.labels,
        clips=[clip for part in parts for clip in part.clips],
        scores=np.concatenate([part.scores for part in parts]),
        failed={path: reason for part in parts for path, reason in part.failed.items()},
    )
    return evaluation, put_together(films) if films else None


def solved_without(recognizer: Recognizer, tokens: TokenSet, group: int) -> Recognizer:
    """The recogniser with a head that has not seen a group."""
    head = fresh_head(recognizer, tokens, None)
    solve_quietly(head, tokens.of(tokens.groups != group))
    return replace(recognizer, head=head)


def check_leave_one_out(settings: Recipe, in_closed_form: bool) -> None:
    """Raise UsageError for a head that would have to be trained anew for each group."""
    if settings.leave_one_out is not None and not in_closed_form:
        raise UsageError(
            f"--leave-one-out {settings.leave_one_out}: head {settings.head} would be trained over epochs for each group; leave it out, or "
            "compare heads with gerund compare"
        )
