"""The settings that verbs which train by a recipe take as keywords: `**settings: Unpack[TrainSettings]`.

What was given is a plain dict, and what was not is not in it: the recipe has the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from gerund.core import options
from gerund.core.option_groups import EACH


class BackboneSettings(TypedDict, total=False):
    """What training by any recipe can be told about backbone and machine."""

    weights: options.Weights | None
    pretrained: options.Pretrained | None
    image_size: options.ImageSize | None
    fps: options.FrameRate | None
    epochs: options.Epochs | None
    device: options.Device | None
    precision: options.Precision | None


class BackboneChoice(TypedDict, total=False):
    """Which backbone."""

    backbone: options.BackboneName | None


class CompareSettings(BackboneSettings, total=False):
    """What heads can be compared by: settings of a recipe, None or left out for the recipe's value."""

    split: options.OfficialSplit | None
    group_pattern: options.GroupPattern | None
    allow_leak: options.AllowLeak | None
    background: options.Background | None
    subject: options.OnlySubject | None
    overlap: options.OverlapRule | None
    fit: options.FrameFit | None
    num_frames: options.NumFrames | None
    motion: options.JoinMotion | None
    seed: options.Seed | None


class TrainSettings(BackboneChoice, CompareSettings, total=False):
    """Settings of a training: each is a value of the recipe, and None or left out for the recipe's own."""

    val: options.ValShare | None
    leave_one_out: options.LeaveOneOut | None
    take: options.TakeFrom | None
    views: options.Views | None
    head: options.HeadName | None
    head_options: options.HeadOptions | None
    init: options.Encoder | None
    finetune: options.Tuning | None
    finetune_epochs: options.TuningEpochs | None
    lr_backbone: options.BackboneRate | None
    batch_size: options.BatchSize | None
    optimizer: options.Optimizer | None
    lr: options.LearningRate | None
    weight_decay: options.WeightDecay | None
    schedule: options.Schedule | None
    warmup: options.Warmup | None
    label_smoothing: options.LabelSmoothing | None
    class_weights: options.ClassWeights | None
    calibration: options.Calibration | None
    draws: options.Draws | None
    patience: options.Patience | None
    save_every: options.SaveEvery | None
    time: options.Budget | None
    workers: options.Workers | None
    bundle: options.Bundle | None
    loggers: options.Loggers | None


class BenchmarkSettings(TypedDict, total=False):
    """What takes the place of each recipe's own value in a benchmark."""

    backbone: Annotated[options.BackboneName | None, EACH]
    weights: options.Weights | None
    pretrained: Annotated[options.Pretrained | None, EACH]
    image_size: Annotated[options.ImageSize | None, EACH]
    fps: Annotated[options.FrameRate | None, EACH]
    head: Annotated[options.HeadName | None, EACH]
    epochs: Annotated[options.Epochs | None, EACH]
    time: options.Budget | None
    device: options.Device | None
    precision: Annotated[options.Precision | None, EACH]
    workers: options.Workers | None


def checked(given: Mapping[str, Any], known: type, verb: str) -> dict[str, Any]:
    """The settings that were given, without those that are None. Raises TypeError for one that the verb does not have."""
    unknown = next((name for name in given if name not in known.__annotations__), None)
    if unknown is not None:
        raise TypeError(f"{verb}() got an unexpected keyword argument {unknown!r}")
    return {name: value for name, value in given.items() if value is not None}
