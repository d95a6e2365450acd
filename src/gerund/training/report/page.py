"""report.html of a run: what was trained on what, how it went, how sure the figures are, and where it goes wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gerund import video
from gerund.core.errors import VideoError
from gerund.core.html import fill_template, grouped
from gerund.core.types import Clip
from gerund.data.checks import Finding, class_table
from gerund.data.manifest import group_of
from gerund.training.report import charts

if TYPE_CHECKING:
    from gerund.recognition.evaluate import Evaluation

STRIP_FRAMES = 8
"""Pictures in a strip."""
CLOSE_CALLS = 3
"""Right answers that are shown beside the mistakes."""
CLASSES_IN_SIGHT = 20
"""Classes up to which a list of them stands open."""
THUMBNAIL_SIZE, THUMBNAIL_QUALITY = (160, 120), 72


@dataclass(frozen=True, kw_only=True)
class ClipSteps:
    """What a head made of a clip: the middle of each time step in `seconds` (S,), and how much it counted, `weights` (S,)."""

    seconds: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything on the page. `facts`, `command` and `versions` are shown as they are; `history` are the rows of results.csv.

    `evaluation` is of the clips on `side`, None when there were none; `steps` belong to its worst clips, by index.
    """

    run: str
    facts: Mapping[str, str]
    clips: Sequence[Clip]
    history: Sequence[Mapping[str, Any]]
    findings: Sequence[Finding]
    command: str
    versions: Mapping[str, str]
    side: str = "test"
    evaluation: Evaluation | None = None
    steps: Mapping[int, ClipSteps] = field(default_factory=dict)


def run_page(report: RunReport) -> str:
    """The whole page."""
    validated = any(clip.split == "val" for clip in report.clips)
    return fill_template(
        "training/report/report.html",
        title=f"gerund: {report.run}",
        report=report,
        clips=clip_table(report.clips),
        history=charts.history_of(report.history, validated=validated) if len(report.history) > 1 else None,
        result=None if report.evaluation is None else result_of(report, report.evaluation),
        findings=grouped({"area": each.area, "kind": each.kind, "message": each.message} for each in report.findings),
        line_chart=charts.line_chart,
        percent=percent_text,
        figure=figure_text,
        CLASSES_IN_SIGHT=CLASSES_IN_SIGHT,
    )


def clip_table(clips: Sequence[Clip]) -> list[dict[str, str | int]]:
    """One row per class with its clips on each side, and one for all."""
    rows = [{name: value for name, value in row.items() if name != "none"} for row in class_table(clips)]
    totals = {name: sum(int(row[name]) for row in rows) for name in list(rows[0])[1:]}
    return [
        *rows,
        {"label": "all", **totals, "groups": len({group_of(clip) for clip in clips})},
    ]  # a group may have clips of several classes


def result_of(report: RunReport, evaluation: Evaluation) -> dict[str, Any]:
    """What the template shows of an evaluation, by name."""
    groups = {group_of(clip) for clip in evaluation.clips}
    answered = evaluation.metrics["ece"] is not None
    worst = list(worst_clips(evaluation, report.steps))
    return {
        "metrics": evaluation.metrics,
        "clips": len(evaluation.clips),
        "groups": len(groups),
        "leaking": len(groups & {group_of(clip) for clip in report.clips if clip.split == "train"}),
        "tiles": tiles(evaluation.metrics, len(evaluation.labels)),
        "classes": sorted(evaluation.per_class, key=lambda row: row["accuracy"]),
        "confusion": charts.confusion_chart(evaluation.confusion, evaluation.labels),
        "named": len(evaluation.labels) <= charts.CLASSES_NAMED,
        "pairs": [
            f"{pair['label']} taken for {pair['answer']}: {pair['clips']} of {pair['of']} clips"
            for pair in evaluation.confusion_pairs
        ],
        "reliability": charts.reliability_chart(evaluation.reliability) if answered else None,
        "alike": all(np.allclose(each.weights, each.weights[0]) for each in report.steps.values()),
        "sentence": evaluation.sentence,
        "worst": worst,
        "mistakes": sum(each["answer"] != each["label"] for each in worst),
    }


def tiles(metrics: Mapping[str, Any], num_classes: int) -> list[tuple[str, str, str]]:
    """The main figures with a note to each, top-1 and its interval first."""
    interval = metrics["top1_interval"]
    about = f"{percent_text(interval[0])} to {percent_text(interval[1])}" if interval else "one group only"
    shown = [
        ("top-1", percent_text(metrics["top1"]), about),
        ("top-5", percent_text(metrics["top5"]), "among the first five"),
        ("mean class", percent_text(metrics["mean_class"]), "each class counts alike"),
        ("macro F1", percent_text(metrics["macro_f1"]), "misses and false alarms"),
        ("calibration error", figure_text(metrics["ece"]), "how far percentages are off"),
        ("log loss", figure_text(metrics["nll"]), f"0 is best, guessing gives {np.log(num_classes):.3f}"),
    ]
    return [each for each in shown if each[0] != "top-5" or num_classes > 5]  # else always 100 %


def worst_clips(evaluation: Evaluation, steps: Mapping[int, ClipSteps]) -> Iterator[dict[str, Any]]:
    """The mistakes among the clips of highest loss, and up to CLOSE_CALLS right ones, each with its frames; or `lost`, the reason why not."""
    close = 0
    for index, row in zip(evaluation.worst, evaluation.worst_clips, strict=True):
        close += row["answer"] == row["label"]
        if row["answer"] == row["label"] and close > CLOSE_CALLS:
            continue
        frames: list[dict[str, Any]] = []
        lost = ""
        try:
            frames = film_strip(evaluation.clips[index], steps[index]) if index in steps else []
        except (VideoError, OSError) as error:
            lost = str(error)
        yield {**row, "frames": frames, "lost": lost}


def film_strip(clip: Clip, steps: ClipSteps) -> list[dict[str, Any]]:
    """Up to STRIP_FRAMES frames of a clip: picture, seconds, and the heights (per cent) of the time steps that each stands for."""
    full = max(steps.weights.max(), 2 / len(steps.weights))
    cells = []
    for part in np.array_split(np.arange(len(steps.weights)), min(STRIP_FRAMES, len(steps.weights))):
        seconds = float(steps.seconds[part[len(part) // 2]])
        picture = data_uri(video.frame_at(clip.path, seconds))
        cells.append({"picture": picture, "seconds": seconds, "heights": 100 * steps.weights[part] / full})
    return cells


def data_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) as a small JPEG inside the page."""
    image = Image.fromarray(picture)
    image.thumbnail(THUMBNAIL_SIZE)
    held = io.BytesIO()
    image.save(held, "JPEG", quality=THUMBNAIL_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()


def percent_text(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


def figure_text(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"
