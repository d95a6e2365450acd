"""What a finished run shows: the answers as rows, pictures, and a page gathered from its settings, clips, model and evaluations."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

from gerund.core.files import write_rows, write_text
from gerund.core.recipes import Recipe, as_command, sources_of
from gerund.core.types import Clip
from gerund.data.checks import Finding, check_clips
from gerund.data.datasets import is_published
from gerund.data.manifest import labels_of, of_split
from gerund.features.extractor import Extraction
from gerund.features.tokens import spread
from gerund.recognition.evaluate import Evaluation
from gerund.recognition.recognizer import Recognizer
from gerund.training.report.page import ClipSteps, RunReport, run_page
from gerund.training.report.plots import SHEET, confusion_plot, contact_sheet, history_plot
from gerund.training.run import Run

NAMED_PACKAGES = ("gerund", "torch", "lightning-fabric", "timm", "openvino", "av", "numpy")
PREDICTIONS_HEADER = (
    *("split", "path", "start", "end", "label", "correct"),
    *(f"{what}{rank}" for rank in range(1, 6) for what in ("label", "score")),
    "error",
)


def write_reports(
    run: Run,
    recognizer: Recognizer,
    extraction: Extraction,
    history: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Evaluation],
) -> None:
    """Write predictions.csv, the pictures and report.html of a run; `history` has the rows of results.csv."""
    answers = [row for side, evaluation in evaluations.items() for row in prediction_rows(side, evaluation)]
    write_rows(run.folder / "predictions.csv", PREDICTIONS_HEADER, answers)
    draw_pictures(run, extraction, history, evaluations)
    write_run_page(run, recognizer, extraction, history, evaluations)


def draw_pictures(
    run: Run, extraction: Extraction, history: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Evaluation]
) -> None:
    """The curves, the confusion matrices and the contact sheets of a run."""
    if len(history) > 1:  # a head that is solved at once has no curve
        history_plot(run.folder / "history.png", history, validated=bool(run.usable(extraction, "val")))
    shown = evaluations.get("test") or evaluations.get("val")
    if shown is not None:
        confusion_plot(run.folder / "confusion_matrix.png", shown.confusion, shown.labels)
        confusion_plot(run.folder / "confusion_matrix_normalized.png", shown.confusion, shown.labels, normalized=True)
    examples = spread(run.usable(extraction, "train"), SHEET)
    contact_sheet(run.folder / "train_clips.jpg", [(clip, clip.label or "", None) for clip in examples])
    if "val" in evaluations:
        contact_sheet(run.folder / "val_predictions.jpg", judged(evaluations["val"]))


def write_run_page(
    run: Run,
    recognizer: Recognizer,
    extraction: Extraction,
    history: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Evaluation],
) -> None:
    """Write report.html: about the test clips, or the validation clips when there are none.

    Clips that could not be read are listed with their reasons; those for training are not counted among the clips, the others count as wrong.
    """
    clips = [clip for clip in run.clips if clip.split != "train" or extraction.problem(clip) is None]
    settings = replace(run.settings, data=run.settings.data or str(run.folder / "clips.csv"))
    side = next((side for side in ("test", "val") if side in evaluations), "test")
    evaluation = evaluations.get(side)
    unused = {**extraction.left_out, **(evaluation.failed if evaluation is not None else {})}
    findings = [Finding(area="file", kind="not used", message=why) for why in unused.values()]
    report = RunReport(
        run=str(run.folder),
        facts=facts(recognizer, settings, clips, len(history), unread=len(unused)),
        clips=clips,
        history=history,
        findings=[*findings, *check_clips(run.clips, published=is_published(settings.data or ""))],
        command=as_command(settings),
        versions=versions(),
        side=side,
        evaluation=evaluation,
        steps=worst_steps(recognizer, evaluation) if evaluation is not None else {},
    )
    write_text(run.folder / "report.html", run_page(report))


def worst_steps(recognizer: Recognizer, evaluation: Evaluation) -> dict[int, ClipSteps]:
    """The time steps of the worst clips, by index; their features are in the cache."""
    chosen = {index: evaluation.clips[index] for index in evaluation.worst}
    extraction = recognizer.extractor.extract(clip.path for clip in chosen.values())
    found = {}
    for index, clip in chosen.items():
        seconds, weights = recognizer.step_weights(extraction.features[clip.path], clip)
        found[index] = ClipSteps(seconds=seconds, weights=weights)
    return found


def facts(recognizer: Recognizer, settings: Recipe, clips: Sequence[Clip], epochs: int, *, unread: int = 0) -> dict[str, str]:
    """What was trained on what, in a few lines."""
    backbone, sampling, rate = recognizer.backbone, recognizer.sampling, recognizer.extractor.spec.fps
    parameters = recognizer.head.num_parameters
    sides = ", ".join(f"{len(of_split(clips, side))} {side}" for side in ("train", "val", "test"))
    split = f", official split {settings.split}" if settings.split is not None else ""
    return {
        "data": f"{', '.join(sources_of(settings))}{split}",
        "clips": f"{len(clips)} of {len(labels_of(clips))} classes: {sides}"
        + f"; {unread} could not be read (left out of train, wrong in val and test)" * bool(unread),
        "backbone": f"{backbone.name}; weights: {backbone.origin}; {backbone.resize.width} x {backbone.resize.height} pixels, "
        f"{backbone.resize.fit}; {recognizer.extractor.spec.precision}",
        "frames": f"{f'{rate:g} per second' if rate else 'all'}; {sampling.num_frames} time steps "
        f"({sampling.take}{', with motion' if sampling.motion else ''})",
        "head": f"{recognizer.head_name}, {parameters:,} trained parameters",
        "training": f"solved in closed form, seed {settings.seed}"
        if recognizer.head.in_closed_form
        else f"{epochs} of at most {settings.epochs} epochs, {settings.optimizer}, learning rate {settings.lr:g}, "
        f"batches of {settings.batch_size}, {settings.draws} jittered versions of each clip, seed {settings.seed}",
    }


def versions() -> dict[str, str]:
    return {
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "on": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in NAMED_PACKAGES if find_spec(name)),
    }


def judged(evaluation: Evaluation) -> list[tuple[Clip, str, bool | None]]:
    """Some clips with what was answered and whether it was right."""
    good = np.flatnonzero(np.isfinite(evaluation.scores).all(axis=1)).tolist()
    chosen = spread([evaluation.clips[index] for index in good], SHEET)
    answers = {evaluation.clips[index]: evaluation.labels[int(evaluation.scores[index].argmax())] for index in good}
    shares = {evaluation.clips[index]: float(evaluation.scores[index].max()) for index in good}
    return [(clip, f"{answers[clip]} {100 * shares[clip]:.0f} %", answers[clip] == clip.label) for clip in chosen]


def prediction_rows(side: str, evaluation: Evaluation) -> list[list[Any]]:
    """One row per evaluated clip with its five likeliest labels."""
    rows = []
    for index, (clip, scores) in enumerate(zip(evaluation.clips, evaluation.scores, strict=True)):
        failed = not np.isfinite(scores).all()
        ranked = np.argsort(-scores, kind="stable")[: 0 if failed else 5]
        answers: list[Any] = [value for index in ranked for value in (evaluation.labels[index], f"{scores[index]:.6f}")]
        answers += [""] * (10 - len(answers))
        correct = not failed and answers[0] == clip.label
        span = clip.start, "" if clip.end is None else clip.end
        rows.append([side, clip.path, *span, clip.label, correct, *answers, evaluation.reason(index)])
    return rows
