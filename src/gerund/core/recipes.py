"""Recipes: everything that training needs to know, as plain values. A recipe's constants are defaults; every flag overrides one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from gerund.core.errors import DataError, UsageError, at_least, unknown_name
from gerund.core.texts import read_json
from gerund.core.units import budget


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of a training run.

    `fps` None is the native rate. `views` 2 trains on mirrored frames too. `lr` is the peak and `warmup` the share of all steps until
    it is reached. `draws` jittered versions are made of each training clip; an epoch picks one of them, or the plain one, at random.
    With `leave_one_out` every clip is trained on, and judged by a head that has not seen its group.
    `finetune` is the part of the backbone that is trained first, over `finetune_epochs`, with `lr_backbone` as its peak rate.
    `patience` stops training after that many epochs without a better validation loss; 0 never does. `time` is a budget in seconds.
    """

    data: str | Sequence[str] | None = None
    split: int | None = None
    val: float = 0.15
    group_pattern: str | None = None
    allow_leak: bool = False
    leave_one_out: Literal["group"] | None = None
    background: bool = False
    subject: str | None = None
    overlap: Literal["first", "longest"] | None = None
    backbone: str = "lite"
    weights: str | None = None
    pretrained: bool = True
    image_size: int | None = None
    fit: Literal["crop", "squeeze", "letterbox"] | None = None
    fps: float | None = 8.0
    num_frames: int = 32
    take: Literal["mean", "middle", "first"] = "mean"
    motion: bool = True
    views: Literal[1, 2] = 1
    head: str = "prototype"
    head_options: Mapping[str, Any] = field(default_factory=dict)
    init: str | None = None
    finetune: Literal["last-stage", "all"] | None = None
    finetune_epochs: int = 10
    lr_backbone: float = 1e-5
    epochs: int = 60
    batch_size: int = 32
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    label_smoothing: float = 0.1
    class_weights: bool = False
    calibration: bool = True
    draws: int = 4
    patience: int = 20
    save_every: int = 0
    time: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "bf16", "f32", "int8"] = "auto"
    workers: int | None = None
    bundle: bool = True
    loggers: Literal["tensorboard"] | None = None


HYBRID_TRANSFORMER = Recipe(
    backbone="densenet121",
    image_size=128,
    fit="crop",
    num_frames=20,
    take="middle",
    motion=False,
    head="transformer",
    head_options={
        "width": 0,
        "layers": 1,
        "heads": 1,
        "dense_width": 4,
        "norm": "post",
        "norm_eps": 1e-3,
        "pooling": "max",
        "position_scale": 0.05,
        "dropout": 0.0,
        "attention_dropout": 0.3,
        "classifier_dropout": 0.5,
        "standardize": False,
    },
    epochs=60,
    optimizer="adam",
    weight_decay=0.0,
    schedule="constant",
    warmup=0.0,
    label_smoothing=0.0,
    draws=0,
    patience=0,
)
"""DenseNet-121 and a post-norm Transformer encoder: the Keras video-classification example's constants (docs/training.md)."""

CONVLSTM = Recipe(
    backbone="resnet152",
    image_size=112,
    fit="squeeze",
    fps=25.0,
    num_frames=40,
    take="middle",
    motion=False,
    views=2,
    head="bilstm",
    head_options={
        "latent": 512,
        "hidden": 1024,
        "layers": 1,
        "bidirectional": True,
        "attention": True,
        "norm": "batch",
        "dropout": 0.0,
        "standardize": False,
    },
    epochs=200,
    batch_size=16,
    optimizer="adam",
    lr=1e-5,
    weight_decay=0.0,
    schedule="constant",
    warmup=0.0,
    label_smoothing=0.0,
    draws=4,
    patience=0,
    save_every=5,
)
"""ResNet-152 and a bidirectional LSTM with attention: the PyTorch ConvLSTM action recognition project's constants."""

RECIPES: dict[str, Recipe] = {"default": Recipe(), "hybrid-transformer": HYBRID_TRANSFORMER, "convlstm": CONVLSTM}


def resolve(recipe: str | None, config: str | Path | None, overrides: Mapping[str, Any]) -> Recipe:
    """The settings of a run: a named recipe or a run's config.json, with the given values put in; None means not given.

    Raises UsageError for what cannot be.
    """
    if recipe is not None and recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    if recipe is not None and config is not None:
        raise UsageError(f"--recipe {recipe} and --config {config} exclude each other: a config holds all constants")
    base = read_config(config) if config is not None else RECIPES[recipe or "default"]
    given = {key: value for key, value in overrides.items() if value is not None}
    if given.get("fps") == "native":
        given["fps"] = None
    if "time" in given:
        given["time"] = budget(given["time"])
    for name in ("weights", "init"):
        if name in given:
            given[name] = str(given[name])
    if given.get("head", base.head) == base.head:
        given["head_options"] = {**base.head_options, **underscored(given.get("head_options", {}))}
    else:
        given["head_options"] = underscored(given.get("head_options", {}))
    resolved = replace(base, **given)
    check(resolved)
    return resolved


def underscored(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): value for key, value in options.items()}


def check(recipe: Recipe) -> None:
    """Raise UsageError, naming the flag and the value, for numbers that no training can use."""
    least = {
        "epochs": 1,
        "finetune_epochs": 1,
        "batch_size": 1,
        "num_frames": 1,
        "draws": 0,
        "patience": 0,
        "save_every": 0,
        "warmup": 0,
        "weight_decay": 0,
        "seed": 0,
        "workers": 1,
    }
    for name, low in least.items():
        at_least(low, **{name: getattr(recipe, name)})
    for flag, rate in (("--lr", recipe.lr), ("--lr-backbone", recipe.lr_backbone)):
        if not 0 < rate < float("inf"):
            raise UsageError(f"{flag} {rate:g}: the learning rate must be above 0")
    if not 0 <= recipe.label_smoothing < 1:
        raise UsageError(f"--label-smoothing {recipe.label_smoothing:g}: at least 0 and below 1")


def split_words(flag: str, text: str) -> list[str]:
    """The names in a list with commas. Raises UsageError for none, and for one given twice."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if not names or twice:
        raise UsageError(f"--{flag} {text}: {f'{twice} stands there twice' if twice else 'no name in it'}")
    return names


def as_command(recipe: Recipe) -> str:
    """The shortest `gerund train` that means these settings, from whichever named recipe needs the fewest flags."""
    ways = [
        [*(["--recipe", name] if name != "default" else []), *words]
        for name, base in RECIPES.items()
        if (words := flags(recipe, base)) is not None
    ]
    return shlex.join(["gerund", "train", *sources_of(recipe), *min(ways, key=len)])


def sources_of(recipe: Recipe) -> list[str]:
    """What a run learned from, as words of the command line."""
    return [recipe.data] if isinstance(recipe.data, str) else list(recipe.data or ["DATA"])


def flags(recipe: Recipe, base: Recipe) -> list[str] | None:
    """Flags that turn `base` into `recipe`; None when there are none that do, since no flag sets a value back to nothing."""
    words = []
    for name in (each.name for each in fields(Recipe) if each.name not in ("data", "head_options")):
        value, flag = getattr(recipe, name), f"--{name.replace('_', '-')}"
        if value == getattr(base, name):
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif name == "fps" and value is None:
            words += [flag, "native"]
        elif value is None:
            return None
        else:
            words += [flag, f"{value:g}s" if name == "time" else str(value)]
    options = dict(base.head_options) if recipe.head == base.head else {}
    for name, value in recipe.head_options.items():
        if options.pop(name, None) != value:
            words += [f"--head.{name.replace('_', '-')}", str(value)]
    return None if options else words


def as_config(recipe: Recipe) -> dict[str, Any]:
    """Plain values for the run folder's config.json."""
    return asdict(recipe) | {"head_options": dict(recipe.head_options)}


def read_config(path: str | Path) -> Recipe:
    """Settings from a config.json (or the one in a run folder). Raises UsageError for what is no such file, or has unknown settings."""
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        values = read_json(path)
    except DataError as error:
        raise UsageError(f"--config {error}") from None
    known = {each.name for each in fields(Recipe)}
    unknown = sorted(set(values) - known) if isinstance(values, dict) else ["(no object)"]
    if unknown:
        raise UsageError(f"--config {path}: unknown setting {unknown[0]!r}")
    return Recipe(**values)
