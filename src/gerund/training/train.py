"""From labelled clips to a run folder with a recogniser in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from gerund import heads
from gerund.backbones import DEFAULT
from gerund.backbones.lite import installed_lites
from gerund.core import options
from gerund.core.errors import DataError, UsageError, needs
from gerund.core.files import write_json
from gerund.core.places import as_path
from gerund.core.progress import note
from gerund.core.recipes import Recipe, as_config, resolve
from gerund.core.settings import TrainSettings, checked
from gerund.core.team import ALONE, Team, team_shape
from gerund.core.types import Clip
from gerund.data.checks import check_clips
from gerund.data.datasets import is_published, recorded_source
from gerund.data.manifest import assign_splits, of_split, read_manifest
from gerund.features.cache import FeatureCache
from gerund.features.packed import PackedCache
from gerund.recognition.runs import check_free, find_checkpoint, run_of
from gerund.recognition.token_set import token_set
from gerund.training.finish import finish
from gerund.training.leaderboard import FOLDS, Leaderboard, available_heads, cross_validate, processes_on, with_head
from gerund.training.prepare import extract_views, labelled_clips, network_seconds, untrained, with_tuned_backbone
from gerund.training.run import Run, Training, begin_run
from gerund.training.videos import check_leave_one_out, tell_of_unlabelled

OF_EPOCHS = (
    *("epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule", "warmup", "label_smoothing", "class_weights"),
    *("views", "draws", "patience", "save_every", "time"),
)
"""Settings of training over epochs."""


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
    given, out = checked(settings, TrainSettings, "train"), as_path(out)
    if "init" in given and "head" not in given:
        given["head"] = "transformer"  # the only one that can start from an encoder
    if auto and (resume is not None or "head" in given or given.get("head_options")):
        raise UsageError("--auto chooses the head; leave out --head, its options and --resume")
    store = FeatureCache(cache) if packed is None else PackedCache(packed, cache)
    if resume is not None:
        return resume_training(find_checkpoint(resume), recipe, config, given, store, out, devices, nodes)
    chosen = resolve(recipe, config, given | {"data": None if data is None else recorded_source(data)})
    chosen = with_tuning_checked(chosen, auto, given)
    heads.head_options(chosen.head, chosen.head_options)  # what cannot be is told before any work is done
    check_free(out)
    team = assembled(chosen, devices, nodes, auto)  # nothing has been written before all are there
    tell_of_idle_settings(chosen, given)
    source = data if data is not None else chosen.data
    if source is None:
        raise UsageError("no data; give a folder with one sub-folder per class, a CSV, or name:path")
    clips = labelled_clips(source, chosen)
    check_leave_one_out(chosen, heads.in_closed_form(chosen.head))
    if chosen.leave_one_out is not None:
        clips = [replace(clip, split="train") for clip in clips]
    clips, notes = assign_splits(clips, val=0 if chosen.leave_one_out else chosen.val, seed=chosen.seed)
    for line in (*notes, *(f"Check: {finding.message}" for finding in check_clips(clips, published=is_published(source)))):
        note(line)
    return train_on(clips, chosen, store, out, auto=auto_backbones(chosen, given) if auto else (), team=team)


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
    if not heads.in_closed_form(settings.head):
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
    if devices * nodes > 1 and heads.in_closed_form(settings.head):
        raise UsageError(
            f"--devices {devices} --nodes {nodes}: head {settings.head} is solved at once, in one process, and needs no more; "
            "train in one process, or give --head transformer, which is trained over epochs"
        )
    if devices * nodes == 1:
        return ALONE
    with needs("torch", "torch", f"--devices {devices} --nodes {nodes} are processes of torch"):
        from gerund.learning.team import join
    return join(devices, nodes, settings.device)


def tell_of_idle_settings(settings: Recipe, given: dict[str, Any]) -> None:
    """Say which of the given settings a head in closed form has no use for."""
    idle = [f"--{name.replace('_', '-')}" for name in OF_EPOCHS if name in given]
    if idle and heads.in_closed_form(settings.head):
        note(
            f"{', '.join(idle)}: not used by head {settings.head}, which is solved at once; --head transformer trains over epochs."
        )


def train_on(
    clips: list[Clip],
    settings: Recipe,
    cache: FeatureCache,
    out: Path | None,
    *,
    auto: Sequence[str] = (),
    team: Team = ALONE,
) -> Training:
    """Train on clips that have their splits; `auto` names backbones of which one and its head are chosen first, `finetune` trains it first."""
    board = compare_heads(clips, [replace(settings, backbone=name) for name in auto], cache) if auto else None
    if board is not None:
        settings = with_head(replace(settings, backbone=board.winner.backbone), board.winner.head)
    recognizer = untrained(clips, settings, cache)
    if settings.finetune:
        run = begin_run(clips, settings, cache, out, team)
        recognizer = with_tuned_backbone(recognizer, run)
        return finish(recognizer, extract_views(recognizer, settings, clips, team), run)
    views = extract_views(recognizer, settings, clips, team)
    tell_of_unlabelled(clips, views[0].features)
    return finish(recognizer, views, begin_run(clips, settings, cache, out, team, board))


def auto_backbones(settings: Recipe, given: Mapping[str, Any]) -> list[str]:
    """What `--auto` chooses from: the backbone that was asked for, else all of the family inside that are installed."""
    asked = any(name in given for name in ("backbone", "weights", "pretrained", "image_size")) or settings.backbone != DEFAULT
    return [settings.backbone] if asked else installed_lites()


def compare_heads(clips: Sequence[Clip], bases: Sequence[Recipe], cache: FeatureCache) -> Leaderboard:
    """Cross-validate heads on each backbone, on the training clips alone, and say which one is taken and why, and what each costs."""
    train, names = of_split(clips, "train"), available_heads()
    recognizers = [untrained(clips, base, cache) for base in bases]
    views = [extract_views(each, base, train) for each, base in zip(recognizers, bases, strict=True)]
    usable = [clip for clip in train if not any(each[0].problem(clip) for each in views)]
    candidates = []
    for base, recognizer, seen in zip(bases, recognizers, views, strict=True):
        rng = np.random.default_rng(base.seed)
        tokens = token_set(recognizer, seen, usable, draws=base.draws if len(names) > 1 else 0, rng=rng, inside=True)
        candidates += [(with_head(base, name), tokens) for name in names]
    try:
        board = cross_validate(
            candidates,
            usable,
            folds=FOLDS,
            seed=bases[0].seed,
            processes=processes_on(recognizers[0].device, bases[0].workers),
            device=recognizers[0].device,
            prices={each.backbone.name: network_seconds(each.extractor) for each in recognizers},
        )
    except DataError as error:
        raise DataError(f"--auto cannot compare heads: {error}; or choose a --head yourself") from None
    for each in board.standings:
        note(each.sentence)
    note(f"Chosen: {board.winner.name if len(bases) > 1 else board.winner.head}. {board.reason}.")
    return board


def resume_training(
    checkpoint: Path,
    recipe: str | None,
    config: str | Path | None,
    given: dict[str, Any],
    cache: FeatureCache,
    out: Path | None,
    devices: int | None,
    nodes: int | None,
) -> Training:
    """Go on with a run in its own folder, on its own clips."""
    folder = run_of(checkpoint)
    for flag, value in (("--recipe", recipe), ("--config", config), ("--out", out)):
        if value is not None:
            raise UsageError(f"{flag} {value}: a resumed run keeps its own; leave it out")
    run = Run(
        folder=folder,
        clips=read_manifest(folder / "clips.csv"),
        settings=(settings := resolve(None, folder / "config.json", given)),
        cache=cache,
        team=assembled(settings, devices, nodes),
        checkpoint=checkpoint if checkpoint.is_file() else None,
    )
    first = replace(settings, init=None) if run.checkpoint else settings  # a checkpoint brings all weights
    recognizer = untrained(run.clips, first, cache)
    if run.team.is_first:
        write_json(folder / "config.json", as_config(settings))
        if run.checkpoint is None:
            (folder / "results.csv").unlink(missing_ok=True)
    if settings.finetune:
        recognizer = with_tuned_backbone(recognizer, run)
    return finish(recognizer, extract_views(recognizer, settings, run.clips, run.team), run)
