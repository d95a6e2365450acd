"""From a trained head to a finished run: calibrated, evaluated, saved and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund.core.errors import ModelError
from gerund.core.files import find, readable, write_json
from gerund.core.progress import note
from gerund.core.recipes import Recipe, sources_of
from gerund.core.types import Clip
from gerund.data.annotations import SPLITS
from gerund.data.datasets import is_published
from gerund.data.manifest import of_split
from gerund.features.extractor import Extraction, Extractor
from gerund.recognition.calibration import without_temperature
from gerund.recognition.card import model_card
from gerund.recognition.evaluate import Evaluation, evaluate_clips
from gerund.recognition.metrics import expected_calibration_error
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.runs import Epoch
from gerund.recognition.token_set import token_set
from gerund.timelines.trust import OFF_BY, errors_beside_truth
from gerund.training.calibrate import calibrate
from gerund.training.head import fit_head, results_row
from gerund.training.run import Run, Training
from gerund.training.solve import solve_quietly
from gerund.training.summary import write_reports
from gerund.training.videos import each_group_left_out, held_out_timelines


def finish(recognizer: Recognizer, views: list[Extraction], run: Run) -> Training:
    """Train the head; the first process then completes the run."""
    try:
        history = fit_head(recognizer, views, run)
        return run.team.shared(lambda: completed(run, views[0], history))
    except KeyboardInterrupt:
        kept = f"the best model so far is {run.model}; " if find(run.model).exists() else ""
        note(f"Interrupted: {kept}go on with: gerund train --resume {run.folder}")
        raise


def completed(run: Run, extraction: Extraction, history: list[Epoch]) -> Training:
    """Calibrate and evaluate the best model of a run, and write all reports."""
    clips, settings = run.clips, run.settings
    best = Recognizer.load(run.model, device=settings.device, cache=run.cache)
    best, num_held_out = calibrate(best, extraction, clips, settings, kept_epoch(history, run.usable(extraction, "val")))
    evaluations = {"val": evaluate_clips(best, chosen)} if (chosen := of_split(clips, "val")) else {}
    if best.head.in_closed_form and evaluations:
        best = solved_with_all(best, extraction, run.usable(extraction, "train", "val"))
    if chosen := of_split(clips, "test"):
        evaluations["test"] = evaluate_clips(best, chosen)
    films = held_out_timelines(best, chosen) if chosen else None
    if settings.leave_one_out is not None:
        evaluations["test"], films = each_group_left_out(best, extraction, clips)
    metrics = {side: evaluation.metrics for side, evaluation in evaluations.items()}
    if films is not None:
        metrics["timeline"] = films.as_json() | {OFF_BY: [asdict(each) for each in errors_beside_truth(films)]}
    best.save(run.model, bundle=settings.bundle, card=model_card(best, metrics.get("test"), described(clips, settings)))
    metrics["calibration"] = calibration_of(best, evaluations, num_held_out)
    tell_calibration(metrics["calibration"], asked=settings.calibration)
    if settings.precision == "int8":
        tell_cost_of_int8(best, evaluations)
    try:
        write_json(run.folder / "metrics.json", metrics)
        write_reports(run, best, extraction, [results_row(epoch) for epoch in history], evaluations)
    except OSError as error:
        raise ModelError(f"{run.folder}: cannot be written ({error.strerror}); the model in {run.model} is intact") from None
    return Training(
        run=run.folder,
        model=run.model,
        metrics=metrics,
        history=history,
        test=evaluations.get("test"),
        films=films,
        failed=extraction.left_out,
    )


def solved_with_all(best: Recognizer, extraction: Extraction, known: Sequence[Clip]) -> Recognizer:
    """A head in closed form solved once more, now that the validation clips have told how good it is, with them among the training clips."""
    solve_quietly(best.head, token_set(best, [extraction], known))
    familiarity = best.familiarity and replace(best.familiarity, unit=best.head.scale)
    return replace(best, familiarity=familiarity)


def described(clips: Sequence[Clip], settings: Recipe) -> str:
    """What a model was trained on, for its card: the name of the data set or folder (not where it lies), and how many clips."""
    counts = ", ".join(f"{len(chosen)} {side}" for side in SPLITS if (chosen := of_split(clips, side)))
    sources = sources_of(settings) if settings.data else []
    names = (each.partition(":")[0] if is_published(each) else readable(Path(each).name) for each in sources)
    return f"{' and '.join(names) or 'clips given in Python'} ({counts} clips)"


def kept_epoch(history: Sequence[Epoch], val_clips: Sequence[Clip]) -> int:
    """Number of the epoch whose weights are kept: the best by validation loss, or without validation clips the last."""
    return min(history, key=lambda epoch: epoch.val_loss).epoch if val_clips else history[-1].epoch


def calibration_of(recognizer: Recognizer, evaluations: dict[str, Evaluation], num_held_out: int) -> dict[str, Any]:
    """The temperature, and the expected calibration error of each split with and without it, over the clips that could be decoded."""
    found: dict[str, Any] = {"temperature": recognizer.temperature, "num_held_out": num_held_out}
    for side, evaluation in evaluations.items():
        good = np.isfinite(evaluation.scores).all(axis=1)
        scores, targets = evaluation.scores[good], evaluation.targets[good]
        if len(scores):
            before = without_temperature(scores, recognizer.temperature)
            found[side] = {
                "ece": expected_calibration_error(scores, targets),
                "ece_uncalibrated": expected_calibration_error(before, targets),
            }
    return found


def tell_calibration(found: dict[str, Any], *, asked: bool) -> None:
    if not asked:
        note("No calibration, as was asked: probabilities are the head's own, and no clip is called unknown.")
        return
    if not found["num_held_out"]:
        note("No calibration: there are no held-out clips to fit it on; probabilities are the head's own.")
        return
    sides = [side for side in ("val", "test") if side in found]
    errors = ", ".join(f"{side} {found[side]['ece_uncalibrated']:.3f} -> {found[side]['ece']:.3f}" for side in sides)
    note(
        f"Calibration: temperature {found['temperature']:.2f} from {found['num_held_out']} held-out clips; calibration error {errors}"
    )


def tell_cost_of_int8(best: Recognizer, evaluations: dict[str, Evaluation]) -> None:
    """Say what the same head answers on features that are not quantized."""
    backbone = replace(best.backbone, quantized=None)
    exact = Extractor(backbone, fps=best.extractor.spec.fps, cache=best.extractor.cache, device="cpu")
    for side, evaluation in evaluations.items():
        top1 = evaluate_clips(replace(best, extractor=exact), evaluation.clips).metrics["top1"]
        note(
            f"int8: {side} top-1 {evaluation.metrics['top1']:.3f}, with the same head on {exact.spec.precision} features {top1:.3f}"
        )
