"""From labelled clips to a run folder with a recogniser in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from gerund import heads
from gerund.backbones import Backbone, load_backbone
from gerund.core import options
from gerund.core.errors import DataError, GerundError, ModelError, TrainingError, UsageError
from gerund.core.files import append_row, find, readable, write_json, write_rows
from gerund.core.progress import note, progress
from gerund.core.recipes import Recipe, as_config, resolve
from gerund.core.settings import TrainSettings, checked
from gerund.core.types import Clip, Features
from gerund.data.checks import check_clips
from gerund.data.datasets import is_published, load_dataset
from gerund.data.manifest import SPLITS, assign_splits, labels_of, of_split, read_manifest, write_manifest
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, calibrated, with_spans
from gerund.features.packed import PackedCache
from gerund.features.tokens import Sampling, spread
from gerund.learning import finetune as finetuning
from gerund.learning import fit as fitting
from gerund.learning.checkpoint import recorded_epochs
from gerund.learning.encoder import load_encoder, made_for
from gerund.learning.fit import Epoch
from gerund.learning.team import ALONE, Team, join, team_shape
from gerund.learning.tokens import token_set
from gerund.recognition.calibration import without_temperature
from gerund.recognition.card import model_card
from gerund.recognition.evaluate import Evaluation, evaluate_clips
from gerund.recognition.metrics import expected_calibration_error
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.runs import FINETUNE, check_free, find_checkpoint, make_run_folder, run_of
from gerund.training.calibrate import calibrate
from gerund.training.leaderboard import FOLDS, HEADS, Leaderboard, cross_validate, processes_on, with_head
from gerund.training.report import plots as reporting
from gerund.training.summary import write_report

OF_EPOCHS = (
    *("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "warmup", "label_smoothing", "class_weights"),
    *("views", "draws", "patience", "save_every", "time"),
)
"""Settings of training over epochs."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A finished run: its folder, its model, metrics as in metrics.json, one row per epoch, the test evaluation.

    `failed` has the videos and spans that could not be used, on whatever side, with the reasons.
    """

    run: Path
    model: Path
    metrics: dict[str, Any]
    history: list[Epoch]
    test: Evaluation | None
    failed: dict[str, str]


def train(
    data: options.Data | None = None,
    *,
    recipe: options.RecipeName | None = None,
    config: options.ConfigFile | None = None,
    resume: options.Resume | None = None,
    auto: options.AutoHead = False,
    devices: options.Devices | None = None,
    nodes: options.Nodes | None = None,
    cache: options.CacheFolder | None = None,
    packed: options.PackedFirst | None = None,
    out: options.RunFolder | None = None,
    **settings: Unpack[TrainSettings],
) -> Training:
    """Turn labelled clips into a recogniser: index, split by group, extract features once, train a head, evaluate.

    Values that are not given come from the recipe.

    Raises UsageError for settings that cannot be, DataError for data that cannot be used, TrainingError when training fails.

    Each argument and setting is explained in `gerund.core.options`, and by `gerund train --help`.
    """
    given = checked(settings, TrainSettings, "train")
    if "init" in given and "head" not in given:
        given["head"] = "transformer"  # the only one that can start from an encoder
    if auto and (resume is not None or "head" in given or given.get("head_options")):
        raise UsageError("--auto chooses the head; leave out --head, its options and --resume")
    store = FeatureCache(cache) if packed is None else PackedCache(packed, cache)
    if resume is not None:
        return resume_training(find_checkpoint(resume), recipe, config, given, store, out, devices, nodes)
    chosen = resolve(recipe, config, given | {"data": data if isinstance(data, str | Path) else None})
    chosen = with_tuning_checked(chosen, auto, given)
    heads.head_options(chosen.head, chosen.head_options)  # what cannot be is told before any work is done
    check_free(out)
    team = assembled(chosen, devices, nodes, auto)  # nothing has been written before all are there
    tell_of_idle_settings(chosen, given)
    source = data if data is not None else chosen.data
    if source is None:
        raise UsageError("no data; give a folder with one sub-folder per class, a CSV, or name:path")
    clips = load_dataset(
        source,
        split=chosen.split,
        group_pattern=chosen.group_pattern,
        allow_leak=chosen.allow_leak,
        background=chosen.background,
    )
    clips, notes = assign_splits(clips, val=chosen.val, seed=chosen.seed)
    for line in (*notes, *(f"Check: {finding.message}" for finding in check_clips(clips, published=is_published(source)))):
        note(line)
    return train_on(clips, chosen, store, out, auto=auto, team=team)


def with_tuning_checked(settings: Recipe, auto: bool, given: dict[str, Any]) -> Recipe:
    """The settings, with a head that learns over epochs when the backbone shall learn. Raises UsageError for what does not go together."""
    if settings.finetune is None:
        for name in ("finetune_epochs", "lr_backbone"):
            if name in given:
                raise UsageError(f"--{name.replace('_', '-')} {given[name]:g}: only for --finetune last-stage or all")
        return settings
    if auto or settings.precision == "int8" or not settings.bundle:
        flag = "--auto" if auto else "--no-bundle" if not settings.bundle else "--precision int8"
        raise UsageError(f"--finetune {settings.finetune}: not with {flag}")
    if settings.backbone.startswith("pixels"):
        raise UsageError(f"--finetune {settings.finetune}: backbone {settings.backbone} has no weights to train; choose another")
    if not heads.head_class(settings.head).in_closed_form:
        return settings
    if "head" in given:
        raise UsageError(
            f"--finetune {settings.finetune}: head {settings.head} has no epochs; choose --head transformer or another"
        )
    return replace(settings, head="transformer")


def assembled(settings: Recipe, devices: int | None, nodes: int | None, auto: bool = False) -> Team:
    """The processes that train together. Raises UsageError where there is nothing to do for more than one."""
    devices, nodes = team_shape(devices, nodes)
    if devices * nodes > 1 and auto:
        raise UsageError("--auto compares heads in one process; choose a --head, or train in one process")
    if devices * nodes > 1 and heads.head_class(settings.head).in_closed_form:
        raise UsageError(
            f"--devices {devices} --nodes {nodes}: head {settings.head} is solved at once, in one process, and needs no more; "
            "train in one process, or give --head transformer, which is trained over epochs"
        )
    return join(devices, nodes, settings.device)


def tell_of_idle_settings(settings: Recipe, given: dict[str, Any]) -> None:
    """Say which of the given settings a head in closed form has no use for."""
    idle = [f"--{name.replace('_', '-')}" for name in OF_EPOCHS if name in given]
    if idle and heads.head_class(settings.head).in_closed_form:
        note(
            f"{', '.join(idle)}: not used by head {settings.head}, which is solved at once; --head transformer trains over epochs."
        )


def train_on(
    clips: list[Clip], settings: Recipe, cache: FeatureCache, out: Path | None, *, auto: bool = False, team: Team = ALONE
) -> Training:
    """Train on clips that have their splits; `auto` chooses the head first, `finetune` trains the backbone first."""
    recognizer = untrained(clips, settings, cache)
    if settings.finetune:
        run = team.shared(lambda: begun_run(clips, settings, None, out))
        recognizer = with_tuned_backbone(recognizer, clips, settings, cache, run, None, team)
        return finish(recognizer, extract_views(recognizer, settings, clips, team), clips, settings, run, None, team)
    extractions = extract_views(recognizer, settings, clips, team)
    board = compare_heads(recognizer, extractions, clips, settings) if auto else None
    if board is not None:
        settings = with_head(settings, board.winner.head)
        recognizer = untrained(clips, settings, cache)
    run = team.shared(lambda: begun_run(clips, settings, board, out))
    return finish(recognizer, extractions, clips, settings, run, None, team)


def begun_run(clips: Sequence[Clip], settings: Recipe, board: Leaderboard | None, out: Path | None) -> Path:
    """A new run folder with what is known before training."""
    run = make_run_folder(out)
    write_manifest(clips, run / "clips.csv")
    write_json(run / "config.json", as_config(settings))
    if board is not None:
        write_json(run / "comparison.json", board.values)
    return run


def compare_heads(recognizer: Recognizer, views: list[Extraction], clips: Sequence[Clip], settings: Recipe) -> Leaderboard:
    """Cross-validate heads on the training clips alone, and say which one is taken and why."""
    usable = views[0].usable(of_split(clips, "train"))
    tokens = token_set(recognizer, views, usable, draws=settings.draws, rng=np.random.default_rng(settings.seed))
    try:
        board = cross_validate(
            [(with_head(settings, name), tokens) for name in HEADS],
            usable,
            folds=FOLDS,
            seed=settings.seed,
            processes=processes_on(recognizer.device, settings.workers),
            device=recognizer.device,
        )
    except DataError as error:
        raise DataError(f"--auto cannot compare heads: {error}; or choose a --head yourself") from None
    for each in board.standings:
        note(each.sentence)
    note(f"Chosen: {board.winner.head}. {board.reason}.")
    return board


def resume_training(
    checkpoint: Path,
    recipe: str | None,
    config: Path | None,
    given: dict[str, Any],
    cache: FeatureCache,
    out: Path | None,
    devices: int | None,
    nodes: int | None,
) -> Training:
    """Go on with a run in its own folder, on its own clips."""
    run = run_of(checkpoint)
    found = checkpoint if checkpoint.is_file() else None
    for flag, value in (("--recipe", recipe), ("--config", config), ("--out", out)):
        if value is not None:
            raise UsageError(f"{flag} {value}: a resumed run keeps its own; leave it out")
    settings = resolve(None, run / "config.json", given)
    clips = read_manifest(run / "clips.csv")
    team = assembled(settings, devices, nodes)
    recognizer = untrained(clips, replace(settings, init=None) if found else settings, cache)  # a checkpoint brings all weights
    if team.is_first:
        write_json(run / "config.json", as_config(settings))
        if found is None:
            (run / "results.csv").unlink(missing_ok=True)
    if settings.finetune:
        recognizer = with_tuned_backbone(recognizer, clips, settings, cache, run, found, team)
    of_head = None if run / FINETUNE in checkpoint.parents else found
    return finish(recognizer, extract_views(recognizer, settings, clips, team), clips, settings, run, of_head, team)


def finish(
    recognizer: Recognizer,
    views: list[Extraction],
    clips: list[Clip],
    settings: Recipe,
    run: Path,
    checkpoint: Path | None,
    team: Team,
) -> Training:
    """Train in a run folder that holds its settings and clips; the first process then completes the run."""
    try:
        history = fit_head(recognizer, views, clips, settings, run, checkpoint, team)
        return team.shared(lambda: completed(recognizer, views, clips, settings, run, history))
    except KeyboardInterrupt:
        kept = f"the best model so far is {run / 'best'}; " if find(run / "best").exists() else ""
        note(f"Interrupted: {kept}go on with: gerund train --resume {run}")
        raise


def completed(
    recognizer: Recognizer, views: list[Extraction], clips: list[Clip], settings: Recipe, run: Path, history: list[Epoch]
) -> Training:
    """Calibrate and evaluate the best model of a run, and write all reports."""
    failed = views[0].left_out
    best = Recognizer.load(run / "best", device=settings.device, cache=recognizer.extractor.cache)
    best, num_held_out = calibrate(best, views[0], clips, settings, kept_epoch(history, views[0], clips))
    evaluations = {"val": evaluate_clips(best, chosen)} if (chosen := of_split(clips, "val")) else {}
    if best.head.in_closed_form and evaluations:
        solve_with_all(best, views, clips)
    if chosen := of_split(clips, "test"):
        evaluations["test"] = evaluate_clips(best, chosen)
    metrics = {side: evaluation.metrics for side, evaluation in evaluations.items()}
    best.save(run / "best", bundle=settings.bundle, card=model_card(best, metrics.get("test"), described(clips, settings)))
    metrics["calibration"] = calibration_of(best, evaluations, num_held_out)
    tell_calibration(metrics["calibration"])
    if settings.precision == "int8":
        tell_cost_of_int8(best, evaluations)
    try:
        write_json(run / "metrics.json", metrics)
        write_reports(run, history, views[0].usable(clips), evaluations)
        write_report(run, best, settings, clips, [results_row(epoch) for epoch in history], evaluations, failed)
    except OSError as error:
        raise ModelError(f"{run}: cannot be written ({error.strerror}); the model in {run / 'best'} is intact") from None
    return Training(run=run, model=run / "best", metrics=metrics, history=history, test=evaluations.get("test"), failed=failed)


def solve_with_all(best: Recognizer, views: list[Extraction], clips: Sequence[Clip]) -> None:
    """Solve a head in closed form once more, now that the validation clips have told how good it is, with them among the training clips."""
    known = views[0].usable(of_split(clips, "train", "val"))
    tokens = token_set(best, views[:1], known)
    best.head.solve(tokens.data[0], tokens.valid[0], tokens.targets, tokens.groups)


def described(clips: Sequence[Clip], settings: Recipe) -> str:
    """What a model was trained on, for its card: the name of the data set or folder (not where it lies), and how many clips."""
    counts = ", ".join(f"{len(chosen)} {side}" for side in SPLITS if (chosen := of_split(clips, side)))
    source = str(settings.data or "")
    name = source.partition(":")[0] if is_published(source) else readable(Path(source).name)
    return f"{name or 'clips given in Python'} ({counts} clips)"


def kept_epoch(history: Sequence[Epoch], extraction: Extraction, clips: Sequence[Clip]) -> int:
    """Number of the epoch whose weights are kept: the best by validation loss, or without validation clips the last."""
    validated = bool(extraction.usable(of_split(clips, "val")))
    return min(history, key=lambda epoch: epoch.val_loss).epoch if validated else history[-1].epoch


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


def tell_calibration(found: dict[str, Any]) -> None:
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


def with_tuned_backbone(
    recognizer: Recognizer,
    clips: Sequence[Clip],
    settings: Recipe,
    cache: FeatureCache,
    run: Path,
    checkpoint: Path | None,
    team: Team,
) -> Recognizer:
    """An untrained recogniser on a backbone that is fine-tuned now, or was before the run stopped at a later `checkpoint`."""
    folder = run / FINETUNE
    if checkpoint is None or folder in checkpoint.parents:
        try:
            finetuning.tune(recognizer, clips, settings, folder, checkpoint=checkpoint, team=team)
        except KeyboardInterrupt:
            note(f"Interrupted: go on with: gerund train --resume {run}")
            raise
    return untrained(clips, settings, cache, finetuning.tuned(recognizer.backbone, folder, settings.finetune or ""))


def untrained(clips: Sequence[Clip], settings: Recipe, cache: FeatureCache, backbone: Backbone | None = None) -> Recognizer:
    """A recogniser for the clips' labels whose head has its first weights, on the settings' backbone if none is given."""
    if backbone is None:
        backbone = chosen_backbone(clips, settings)
    labels = labels_of(clips)
    sampling = Sampling(num_frames=settings.num_frames, take=settings.take, motion=settings.motion)
    torch.manual_seed(settings.seed)
    head = heads.build_head(
        settings.head,
        token_dim=sampling.token_dim(backbone.feature_dim),
        num_classes=len(labels),
        num_frames=sampling.num_frames,
        options=settings.head_options,
    )
    options = heads.head_options(settings.head, settings.head_options)
    if settings.init:
        load_encoder(Path(settings.init), head, made_for(backbone.fingerprint, settings.fps, sampling, options))
    return Recognizer(
        labels=labels,
        extractor=Extractor(
            backbone,
            fps=settings.fps,
            cache=cache,
            device=settings.device,
            precision=settings.precision,
            workers=settings.workers,
        ),
        sampling=sampling,
        head=head,
        head_name=settings.head,
        head_options=options,
    )


def chosen_backbone(clips: Sequence[Clip], settings: Recipe) -> Backbone:
    weights = Path(settings.weights) if settings.weights else None
    backbone = load_backbone(
        settings.backbone, weights=weights, pretrained=settings.pretrained, image_size=settings.image_size, fit=settings.fit
    )
    warn_of_random_weights(backbone)
    return calibrated(backbone, [clip.path for clip in clips]) if settings.precision == "int8" else backbone


def warn_of_random_weights(backbone: Backbone) -> None:
    if backbone.origin.startswith("random"):
        note(
            f"WARNING: {backbone.name} has RANDOM weights, it has never seen an image. Accuracies will be poor; "
            "give --weights, or drop --no-pretrained."
        )


def extract_views(recognizer: Recognizer, settings: Recipe, clips: Sequence[Clip], team: Team = ALONE) -> list[Extraction]:
    """Features of all clips, and with `views` 2 those of the mirrored training clips.

    Each process of a team makes those that no other has claimed, and waits for the rest.
    """
    extractor = recognizer.extractor
    extractor.workers = max(1, extractor.workers // team.devices)
    views = [with_spans(extractor.extract(clip.path for clip in clips), clips)]
    if settings.views == 2:
        mirrored = Extractor(
            recognizer.backbone,
            fps=settings.fps,
            cache=extractor.cache,
            device=recognizer.device,
            precision=extractor.spec.precision.partition("-")[0],
            view="flip",
            workers=extractor.workers,
        )
        mirrored.compiled = extractor.compiled
        views.append(mirrored.extract(clip.path for clip in views[0].usable(of_split(clips, "train"))))
    return views


def fit_head(
    recognizer: Recognizer,
    views: list[Extraction],
    clips: Sequence[Clip],
    settings: Recipe,
    run: Path,
    checkpoint: Path | None,
    team: Team,
) -> list[Epoch]:
    """Train the head on the clips whose features are there, and keep the best one by validation loss in `run`/best."""
    usable = views[0].usable(clips)
    train_clips, val_clips = of_split(usable, "train"), of_split(usable, "val")
    lost = sorted(set(recognizer.labels) - set(labels_of(train_clips)))
    if lost:
        raise TrainingError(f"no training clip of {', '.join(lost)} can be used; see the lines above for the reasons")
    if not val_clips:
        note("No validation clips: the last epoch is kept, and the curve shows the training clips twice.")
    recognizer = replace(recognizer, clip_seconds=round(median_seconds(train_clips, views[0].features), 3))
    draws = 0 if recognizer.head.in_closed_form else settings.draws
    train_set = token_set(recognizer, views, train_clips, draws=draws, rng=np.random.default_rng(settings.seed))
    val_set = token_set(recognizer, views[:1], val_clips or train_clips)
    note(
        f"Training {settings.head} on {len(train_clips)} clips, {len(recognizer.labels)} classes, {len(val_clips)} validation clips"
    )
    log = scalar_log(run) if settings.loggers and team.is_first else None
    epochs = 1 if recognizer.head.in_closed_form else settings.epochs
    if checkpoint is not None and team.is_first:
        forget_later_epochs(run, checkpoint)

    def on_epoch(epoch: Epoch, better: bool) -> None:
        if not team.is_first:
            return
        row = results_row(epoch)
        append_row(run / "results.csv", row)
        bar.advance(epoch.epoch - bar.done, said=f"epoch {epoch.line(epochs, better)}")
        if log is not None:
            for name in ("train/loss", "val/loss", "metrics/accuracy_top1", "metrics/accuracy_top5", "lr"):
                log.add_scalar(name, float(row[name]), epoch.epoch)
            log.flush()
        if better or not val_clips:
            recognizer.head.eval()
            recognizer.save(run / "best", bundle=settings.bundle)

    with progress("Training", epochs, "epochs") as bar:
        return fitting.fit(
            recognizer.head,
            train_set,
            val_set,
            settings,
            device=recognizer.device,
            folder=run,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            team=team,
        )


def median_seconds(clips: Sequence[Clip], features: Mapping[Path, Features]) -> float:
    """Median length of clips, as far as their video has pictures."""
    return float(np.median([seconds_of(clip, features[clip.path]) for clip in clips]))


def seconds_of(clip: Clip, features: Features) -> float:
    return min(clip.end or math.inf, features.end) - max(clip.start, float(features.pts[0]))


def results_row(epoch: Epoch) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "time": f"{epoch.time:.2f}",
        "train/loss": f"{epoch.train_loss:.6g}",
        "val/loss": f"{epoch.val_loss:.6g}",
        "metrics/accuracy_top1": f"{epoch.top1:.6g}",
        "metrics/accuracy_top5": f"{epoch.top5:.6g}",
        "lr": f"{epoch.lr:.6g}",
        "train/accuracy_top1": f"{epoch.train_top1:.6g}",
    }


def forget_later_epochs(run: Path, checkpoint: Path) -> None:
    """Cut results.csv back to the epochs that a checkpoint knows: a killed run may have written one more."""
    (run / "results.csv").unlink(missing_ok=True)
    for epoch in recorded_epochs(checkpoint):
        append_row(run / "results.csv", results_row(Epoch(**epoch)))


def scalar_log(run: Path) -> Any:
    """A TensorBoard writer for the run. Raises UsageError when the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError("--loggers tensorboard: the package is not installed; pip install tensorboard") from None
    return SummaryWriter(str(run / "tensorboard"))


def write_reports(run: Path, history: Sequence[Epoch], clips: Sequence[Clip], evaluations: dict[str, Evaluation]) -> None:
    """predictions.csv, the curves, the confusion matrices and the contact sheets of a run; `clips` are those that can be used."""
    header = [
        "split",
        "path",
        "start",
        "end",
        "label",
        "correct",
        *(f"{what}{k}" for k in range(1, 6) for what in ("label", "score")),
        "error",
    ]
    write_rows(
        run / "predictions.csv", header, (row for side, each in evaluations.items() for row in prediction_rows(side, each))
    )
    reporting.history_plot(run / "history.png", [results_row(epoch) for epoch in history], validated=bool(of_split(clips, "val")))
    shown = evaluations.get("test") or evaluations.get("val")
    if shown is not None:
        reporting.confusion_plot(run / "confusion_matrix.png", shown.confusion, shown.labels)
        reporting.confusion_plot(run / "confusion_matrix_normalized.png", shown.confusion, shown.labels, normalized=True)
    examples = spread(of_split(clips, "train"), reporting.SHEET)
    try:
        reporting.contact_sheet(run / "train_clips.jpg", [(clip, clip.label or "", None) for clip in examples])
        if "val" in evaluations:
            reporting.contact_sheet(run / "val_predictions.jpg", judged(evaluations["val"]))
    except GerundError as error:
        note(f"No contact sheet: {error}")


def judged(evaluation: Evaluation) -> list[tuple[Clip, str, bool | None]]:
    """Some clips with what was answered and whether it was right."""
    good = np.flatnonzero(np.isfinite(evaluation.scores).all(axis=1)).tolist()
    chosen = spread([evaluation.clips[index] for index in good], reporting.SHEET)
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
