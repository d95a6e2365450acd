"""report.html of a run: what was trained on what, how it went, how sure the figures are, and where it goes wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from gerund.core.errors import VideoError
from gerund.core.html import listing, page, sections, table
from gerund.core.types import Clip
from gerund.data.checks import Finding, class_table
from gerund.data.manifest import group_of
from gerund.training.report import charts
from gerund.video import video

if TYPE_CHECKING:
    from gerund.recognition.evaluate import Evaluation

FRAMES = 8
"""Pictures in a strip."""
LONG = 20
"""Classes up to which a list of them stands open."""
THUMBNAIL, QUALITY = (160, 120), 72

STYLE = (
    charts.STYLE
    + """
:root { --accent: #1f6feb; --second: #c2530c }
@media (prefers-color-scheme: dark) { :root { --accent: #6aa9ff; --second: #ff9d5c } }
td:first-child { overflow-wrap: break-word }
figure { margin: 0 }
figcaption { font-weight: 600; margin-bottom: .25rem }
pre { background: var(--soft); border-radius: .5rem; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere }
.dim, .key { font-size: .875rem }
.key .dim { margin-left: .8rem }
.key i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin: 0 .3rem 0 .8rem; vertical-align: -.05rem }
.key i:first-child { margin-left: 0 }
.path { overflow-wrap: anywhere; margin: 0 }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem 2rem }
.reliability { max-width: 28rem }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 0 }
dl.facts dt { color: var(--dim) }
dl.facts dd { margin: 0; overflow-wrap: anywhere }
dl.facts + details { margin-top: 1rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: .75rem 0 }
.tile { background: var(--soft); border-radius: .5rem; padding: .5rem .75rem }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3 }
.tile:first-child { background: var(--accent); color: var(--paper) }
.tile:first-child .dim { color: inherit }
.bars { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr max-content; gap: .3rem .75rem; align-items: center }
.bars .name { overflow-wrap: anywhere; max-width: 18rem }
.bars .share { font-variant-numeric: tabular-nums; text-align: right }
.track { position: relative; height: 1rem; background: var(--soft); border-radius: .2rem }
.track b { display: block; height: 100%; background: var(--accent); border-radius: .2rem }
.track i { position: absolute; top: calc(50% - 1px); height: 2px; background: var(--ink) }
.track i::before, .track i::after { content: ""; position: absolute; top: -3px; height: 8px; width: 2px; background: inherit }
.track i::after { right: 0 }
.strip { display: grid; grid-template-columns: repeat(8, 1fr); gap: .25rem; margin: .35rem 0 1.5rem }
.strip img { display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #000; border-radius: .2rem .2rem 0 0 }
.strip .dim { text-align: center; font-size: .75rem }
.steps { display: flex; align-items: end; gap: 1px; height: 2rem; background: var(--soft) }
.steps i { flex: 1; background: var(--accent) }
@media (max-width: 40rem) {
  th, td { padding: .3rem }
  .strip { grid-template-columns: repeat(4, 1fr) }
  .bars { grid-template-columns: 1fr max-content; gap: 0 .5rem }
  .bars .name { grid-column: 1 / -1; margin-top: .3rem }
}
"""
)


@dataclass(frozen=True, kw_only=True)
class Steps:
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
    steps: Mapping[int, Steps] = field(default_factory=dict)


def run_page(report: RunReport) -> str:
    """The whole page."""
    parts = [headline(report), "<h2>What was trained on what</h2>", facts(report.facts), clip_table(report.clips)]
    if len(report.history) > 1:  # one epoch, or a head in closed form, draws no curve
        parts += ["<h2>Training</h2>", history(report.history, validated=any(clip.split == "val" for clip in report.clips))]
    if report.evaluation is not None:
        parts += evaluated(report.evaluation, report.steps)
    parts += ["<h2>What the data shows</h2>", findings(report.findings)]
    parts += ["<h2>Do it again</h2>", f"<pre>{escape(report.command)}</pre>", facts(report.versions)]
    return page(f"gerund: {report.run}", "\n".join(parts), style=STYLE)


def headline(report: RunReport) -> str:
    """The figures on top, and what they are of."""
    if report.evaluation is None:
        return '<p class="verdict odd">No test and no validation clips: there is nothing to measure this model on.</p>'
    metrics = report.evaluation.metrics
    failed = len(metrics["failed"])
    lost = f'<p class="bad">{failed} of them could not be decoded and count as wrong.</p>' if failed else ""
    small = "95 % interval of top-1: bootstrap by group (2,000 draws)." if metrics["top1_interval"] else ""
    return f'{measured_on(report, report.evaluation.clips)}{lost}{tiles(report.evaluation)}<p class="dim">{small}</p>'


def measured_on(report: RunReport, clips: Sequence[Clip]) -> str:
    groups = {group_of(clip) for clip in clips}
    leaking = len(groups & {group_of(clip) for clip in report.clips if clip.split == "train"})
    if report.side == "val":
        chose = ", which also chose the epoch: expect less on new clips." if len(report.history) > 1 else "."
        about = "No test clips. Measured on {} validation clips of {} groups" + chose
    else:
        about = "Measured on {} test clips of {} groups" + (", apart from training." if not leaking else ".")
    leak = f'<p class="bad">{leaking} of these groups are in training too: the figures claim too much.</p>' if leaking else ""
    return f"<p>{about.format(len(clips), len(groups))}</p>{leak}"


def tiles(evaluation: Evaluation) -> str:
    """The main figures, top-1 with its interval first."""
    metrics = evaluation.metrics
    interval = metrics["top1_interval"]
    about = f"{percent(interval[0])} to {percent(interval[1])}" if interval else "one group only"
    shown = [
        ("top-1", percent(metrics["top1"]), about),
        ("top-5", percent(metrics["top5"]), "among the first five"),
        ("mean class", percent(metrics["mean_class"]), "balanced accuracy"),
        ("macro F1", percent(metrics["macro_f1"]), "mean over classes"),
        ("calibration error", number(metrics["ece"]), "0 is perfect"),
        ("log loss", number(metrics["nll"]), f"guessing: {np.log(len(evaluation.labels)):.3f}"),
    ]
    if len(evaluation.labels) <= 5:
        del shown[1]  # always 100 %
    boxes = [f'<div class="tile">{name}<b>{value}</b><span class="dim">{note}</span></div>' for name, value, note in shown]
    return f'<div class="tiles">{"".join(boxes)}</div>'


def facts(values: Mapping[str, str]) -> str:
    return (
        '<dl class="facts">'
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in values.items())
        + "</dl>"
    )


def clip_table(clips: Sequence[Clip]) -> str:
    rows = [{name: value for name, value in row.items() if name != "none"} for row in class_table(clips)]
    totals = {name: sum(int(row[name]) for row in rows) for name in list(rows[0])[1:]}
    return folded("Clips by class and split", table([*rows, {"label": "all", **totals}]), is_open=len(rows) <= LONG)


def folded(title: str, body: str, *, is_open: bool) -> str:
    return f"<details{' open' * is_open}><summary>{escape(title)}</summary>{body}</details>"


def history(rows: Sequence[Mapping[str, Any]], *, validated: bool) -> str:
    """Loss and accuracy over the epochs, side by side where there is room. Not `validated`: the last epoch was kept."""
    losses = [float(row["val/loss"]) for row in rows]
    kept = int(np.argmin(losses)) + 1 if validated else len(rows)
    second = "validation" if validated else "training clips after the epoch"
    charted = []
    for title, train, val, share in (
        ("Loss", "train/loss", "val/loss", False),
        ("Top-1 accuracy", "train/accuracy_top1", "metrics/accuracy_top1", True),
    ):
        lines = {"train": [float(row[train]) for row in rows], second: [float(row[val]) for row in rows]}
        chart = charts.line_chart(f"{title} over the epochs", lines, kept=kept, percent=share)
        charted.append(f"<figure><figcaption>{title}</figcaption>{chart}</figure>")
    key = f'{colour_key({"train": "accent", second: "second"})} <span class="dim">dashed: epoch {kept} of {len(rows)} was kept</span>'
    return f'<div class="pair">{"".join(charted)}</div><p class="key">{key}</p>'


def colour_key(names: Mapping[str, str]) -> str:
    return "".join(f'<i style="background: var(--{colour})"></i>{escape(name)}' for name, colour in names.items())


def evaluated(evaluation: Evaluation, steps: Mapping[int, Steps]) -> list[str]:
    """All about the answers: classes, confusions, calibration, worst clips."""
    rows = sorted(evaluation.per_class, key=lambda row: row["accuracy"])
    note = '<p class="dim">The line on a bar is the 95 % interval (Wilson), each group counted once.</p>'
    first = note + class_bars(rows[:LONG])
    rest = folded(f"{len(rows) - LONG} more classes", class_bars(rows[LONG:]), is_open=False) if len(rows) > LONG else ""
    named = len(evaluation.labels) <= charts.NAMED
    numbers = "Numbers: clips." if named else "Point at a square to read it."
    pairs = evaluation.confusion_pairs
    told = listing(f"{pair['label']} taken for {pair['answer']}: {pair['clips']} of {pair['of']} clips" for pair in pairs)
    matrix = f'<div class="wide">{charts.confusion_chart(evaluation.confusion, evaluation.labels)}</div>'
    return [
        "<h2>Classes, the weakest first</h2>" + first + rest,
        f'<h2>Confusions</h2><p class="dim">Rows: the true class. Columns: the answer. {numbers}</p>{matrix}',
        told if pairs else '<p class="good">No class was taken for another.</p>',
        "<h2>Can its percentages be believed?</h2>" + calibration(evaluation),
        "<h2>Worst clips</h2>" + worst_clips(evaluation, steps),
    ]


def class_bars(rows: Iterable[Mapping[str, Any]]) -> str:
    shown = []
    for row in rows:
        low, high = row["interval"]
        bar = f'<b style="width: {100 * row["accuracy"]:.1f}%"></b><i style="left: {100 * low:.1f}%; right: {100 - 100 * high:.1f}%"></i>'
        right = round(row["accuracy"] * row["clips"])
        shown.append(
            f'<span class="name">{escape(row["label"])}</span><span class="track">{bar}</span>'
            f'<span class="share">{percent(row["accuracy"])} <span class="dim">{right} of {row["clips"]}</span></span>'
        )
    return f'<div class="bars">{"".join(shown)}</div>'


def calibration(evaluation: Evaluation) -> str:
    error = evaluation.metrics["ece"]
    if error is None:
        return '<p class="odd">No clip has an answer, so there are no percentages to judge.</p>'
    chart = charts.reliability_chart(evaluation.reliability)
    return (
        f"<p>Calibration error {number(error)}. A bar above the dashed line: more often right than it says; below: too sure of itself. "
        f'The number on a bar counts its clips.</p><figure class="reliability">{chart}</figure>'
    )


def worst_clips(evaluation: Evaluation, steps: Mapping[int, Steps]) -> str:
    """The clips of highest loss as strips of frames, the weight of each time step below them."""
    same = all(np.allclose(each.weights, each.weights[0]) for each in steps.values())
    told = "this head counts all alike" if same else "full height is twice an equal share, or more"
    parts = [f'<p class="dim">The truth was least likely to the model here. Bars: how much each time step counted ({told}).</p>']
    for index, row in zip(evaluation.worst, evaluation.worst_clips, strict=True):
        wrong = row["answer"] != row["label"]
        verdict = f"taken for <b>{escape(row['answer'])}</b> {percent(row['answer_score'])}" if wrong else "right"
        span = "" if row["end"] is None else f", {row['start']:g} to {row['end']:g} s"
        parts.append(
            f'<p class="path"><span class="{"bad" if wrong else "good"}">{"✗" if wrong else "✓"}</span> '
            f'<b>{escape(row["label"])}</b> {percent(row["label_score"])}, {verdict}<br><span class="dim">{escape(row["path"])}{span}</span></p>'
        )
        if index in steps:
            parts.append(strip(evaluation.clips[index], steps[index]))
    return "".join(parts)


def strip(clip: Clip, steps: Steps) -> str:
    """Up to eight frames of a clip, each with the bars of the time steps that it stands for."""
    full, cells = max(steps.weights.max(), 2 / len(steps.weights)), []
    for part in np.array_split(np.arange(len(steps.weights)), min(FRAMES, len(steps.weights))):
        seconds = float(steps.seconds[part[len(part) // 2]])
        try:
            picture = data_uri(video.frame_at(clip.path, seconds))
        except (VideoError, OSError) as error:
            return f'<p class="odd">No pictures: {escape(str(error))}</p>'
        bars = "".join(f'<i style="height: {100 * steps.weights[step] / full:.0f}%"></i>' for step in part)
        cells.append(
            f'<div><img src="{picture}" alt=""><div class="steps">{bars}</div><div class="dim">{seconds:.1f} s</div></div>'
        )
    return f'<div class="strip">{"".join(cells)}</div>'


def data_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) as a small JPEG inside the page."""
    image = Image.fromarray(picture)
    image.thumbnail(THUMBNAIL)
    held = io.BytesIO()
    image.save(held, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()


def findings(found: Sequence[Finding]) -> str:
    problems = [{"area": each.area, "kind": each.kind, "message": each.message} for each in found]
    if not problems:
        return '<p class="good">Nothing odd in labels and splits, and every video was read.</p>'
    return "".join(sections(problems, "odd"))


def percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"


def number(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"
