"""What report.html tells of a finished run, gathered from its settings, clips, model and evaluations."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gerund.core.files import write_text
from gerund.core.recipes import Recipe, as_command
from gerund.core.types import Clip
from gerund.data.checks import Finding, check_clips
from gerund.data.datasets import is_published
from gerund.data.manifest import labels_of, of_split
from gerund.recognition.recognizer import Recognizer
from gerund.training.report.page import ClipSteps, RunReport, run_page

if TYPE_CHECKING:
    from gerund.recognition.evaluate import Evaluation

NAMED_PACKAGES = ("gerund", "torch", "lightning", "timm", "openvino", "av", "numpy")


def write_report(
    run: Path,
    recognizer: Recognizer,
    settings: Recipe,
    clips: Sequence[Clip],
    history: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Evaluation],
    failed: Mapping[str, str],
) -> None:
    """Write `run`/report.html: about the test clips, or the validation clips when there are none.

    `history` has the rows of results.csv, `failed` the videos and spans that could not be used, with the reasons.
    """
    settings = replace(settings, data=settings.data or str(run / "clips.csv"))
    side = next((side for side in ("test", "val") if side in evaluations), "test")
    evaluation = evaluations.get(side)
    unused = {**failed, **(evaluation.failed if evaluation is not None else {})}
    findings = [Finding(area="file", kind="not used", message=why) for why in unused.values()]
    report = RunReport(
        run=str(run),
        facts=facts(recognizer, settings, clips, len(history)),
        clips=clips,
        history=history,
        findings=[*findings, *check_clips(clips, published=is_published(settings.data or ""))],
        command=as_command(settings),
        versions=versions(),
        side=side,
        evaluation=evaluation,
        steps=worst_steps(recognizer, evaluation) if evaluation is not None else {},
    )
    write_text(run / "report.html", run_page(report))


def worst_steps(recognizer: Recognizer, evaluation: Evaluation) -> dict[int, ClipSteps]:
    """The time steps of the worst clips, by index; their features are in the cache."""
    chosen = {index: evaluation.clips[index] for index in evaluation.worst}
    extraction = recognizer.extractor.extract(clip.path for clip in chosen.values())
    found = {}
    for index, clip in chosen.items():
        seconds, weights = recognizer.step_weights(extraction.features[clip.path], clip)
        found[index] = ClipSteps(seconds=seconds, weights=weights)
    return found


def facts(recognizer: Recognizer, settings: Recipe, clips: Sequence[Clip], epochs: int) -> dict[str, str]:
    """What was trained on what, in a few lines."""
    backbone, sampling, rate = recognizer.backbone, recognizer.sampling, recognizer.extractor.spec.fps
    parameters = sum(parameter.numel() for parameter in recognizer.head.parameters())
    sides = ", ".join(f"{len(of_split(clips, side))} {side}" for side in ("train", "val", "test"))
    split = f", official split {settings.split}" if settings.split is not None else ""
    return {
        "data": f"{settings.data}{split}",
        "clips": f"{len(clips)} of {len(labels_of(clips))} classes: {sides}",
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
        "packages": ", ".join(f"{name} {version(name)}" for name in NAMED_PACKAGES),
    }
