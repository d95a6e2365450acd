"""Learning from unlabelled video: hide time steps, predict their features; `train --init` starts from what was learned.

The idea is that of BERT (Devlin et al. 2019, arXiv:1810.04805) and of masked autoencoders for video (Feichtenhofer et al. 2022,
arXiv:2205.09113), with the features of a frozen backbone in the place of words and pixels.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gerund import heads
from gerund.backbones import load_backbone
from gerund.core import options
from gerund.core.errors import DataError, TrainingError, UsageError, at_least
from gerund.core.files import append_row
from gerund.core.progress import note, progress
from gerund.core.recipes import underscored
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.datasets import DATASETS, load_dataset
from gerund.data.manifest import group_hash, group_of, relative_name
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, with_spans
from gerund.features.tokens import Sampling, spread, step_edges, tokens
from gerund.heads.learned.transformer import TransformerHead
from gerund.learning.encoder import made_for, save_encoder
from gerund.learning.loop import Loop, cosine_schedule, epoch_seed
from gerund.learning.tokens import TOKEN_MEMORY, Batches, TokenSet
from gerund.recognition.predict import expand
from gerund.recognition.runs import check_free, make_run_folder

VERSIONS = 4
"""Jittered versions made of each clip; an epoch takes one of them, or the plain one."""
WARMUP = 0.1
HELD_OUT = 0.1
"""Share of the groups (the videos, where none are known) on which the best epoch is chosen."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the encoder is trained. Raises UsageError, naming the flag and the value, for numbers that cannot be."""

    hidden: float
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1:
            raise UsageError(f"--hidden {self.hidden:g}: a share above 0 and below 1")
        for flag, value in (("--epochs", self.epochs), ("--batch-size", self.batch_size)):
            if value < 1:
                raise UsageError(f"{flag} {value}: at least 1 is needed")
        at_least(0, weight_decay=self.weight_decay, seed=self.seed)
        if not 0 < self.lr < math.inf:
            raise UsageError(f"--lr {self.lr:g}: the learning rate must be above 0")


@dataclass(frozen=True, kw_only=True)
class PretrainingEpoch:
    """One row of results.csv. Losses are squared errors of standardised features: 1 is what predicting their mean costs."""

    epoch: int
    time: float
    train_loss: float
    val_loss: float

    def line(self, epochs: int, better: bool) -> str:
        said = f"{self.epoch}/{epochs}  train loss {self.train_loss:.3f}  val loss {self.val_loss:.3f}"
        return f"epoch {said}{'  best' * better}"


@dataclass(frozen=True, kw_only=True)
class Pretraining(Printable):
    """A pretrained encoder: its folder, one row per epoch, how many clips it learned from, and the videos that could not be read."""

    folder: Path
    history: list[PretrainingEpoch]
    num_clips: int
    failed: dict[str, str]

    @property
    def is_complete(self) -> bool:
        return not self.failed

    @property
    def best(self) -> PretrainingEpoch:
        """The epoch that was kept."""
        return min(self.history, key=lambda epoch: epoch.val_loss)

    def as_json(self) -> dict[str, Any]:
        values = {"folder": str(self.folder), "clips": self.num_clips, "failed": self.failed}
        return values | {"best_epoch": self.best.epoch, "val_loss": self.best.val_loss}

    def as_text(self) -> Iterator[str]:
        best = self.best
        yield f"Kept epoch {best.epoch} with validation loss {best.val_loss:.3f} (1 is what guessing the mean costs)"
        for reason in self.failed.values():
            yield f"left out: {reason}"
        yield from (f"Encoder: {self.folder}", "", f"Next: gerund train DATA --init {self.folder}")


def pretrain(
    inputs: options.Inputs,
    *,
    split: options.OfficialSplit | None = None,
    backbone: options.BackboneName = options.USUAL.backbone,
    weights: options.Weights | None = None,
    pretrained: options.Pretrained = options.USUAL.pretrained,
    image_size: options.ImageSize | None = None,
    fit: options.FrameFit | None = None,
    fps: options.FrameRate = options.FPS,
    num_frames: options.NumFrames = options.USUAL.num_frames,
    take: options.TakeFrom = options.USUAL.take,
    motion: options.JoinMotion = options.USUAL.motion,
    head_options: options.HeadOptions | None = None,
    hidden: options.HiddenShare = 0.5,
    span: options.SpanSeconds = 10.0,
    epochs: options.Epochs = options.USUAL.epochs,
    batch_size: options.BatchSize = options.USUAL.batch_size,
    lr: options.LearningRate = options.USUAL.lr,
    weight_decay: options.WeightDecay = options.USUAL.weight_decay,
    seed: options.Seed = options.USUAL.seed,
    device: options.Device = options.USUAL.device,
    precision: options.FloatPrecision = "auto",
    workers: options.Workers | None = None,
    cache: options.CacheFolder | None = None,
    out: options.EncoderFolder | None = None,
) -> Pretraining:
    """Train the encoder of the transformer head on videos without labels, for `train --init`.

    Some time steps of each clip are hidden, and their features predicted from the others. Clips marked test are left out.
    Raises UsageError for settings that cannot be, DataError for too few videos, TrainingError when training fails.

    Each argument is explained in `gerund.core.options`, and by `gerund pretrain --help`.
    """
    settings = Settings(hidden=hidden, epochs=epochs, batch_size=batch_size, lr=lr, weight_decay=weight_decay, seed=seed)
    if not 0 < span < math.inf:
        raise UsageError(f"--span {span:g}: above 0 seconds")
    check_free(out)
    options = heads.head_options("transformer", underscored(head_options or {}))
    sampling = Sampling(num_frames=num_frames, take=take, motion=motion)
    clips = unlabelled_clips([inputs] if isinstance(inputs, str | Path) else inputs, split)
    frozen = load_backbone(backbone, weights=weights, pretrained=pretrained, image_size=image_size, fit=fit)
    rate = None if fps == "native" else float(fps)
    extractor = Extractor(frozen, fps=rate, cache=FeatureCache(cache), device=device, precision=precision, workers=workers)
    extraction = with_spans(extractor.extract(clip.path for clip in clips), clips)
    clips = cut_long(clips, extraction, span)
    train_set, val_set = token_sets(clips, extraction, sampling, seed)
    torch.manual_seed(seed)
    dim = sampling.token_dim(frozen.feature_dim)
    model = MaskedSteps(TransformerHead(dim, 1, num_frames, **options), dim, hidden)
    folder = make_run_folder(out, name="pretrain")
    use = made_for(frozen.fingerprint, rate, sampling, options)
    note(f"Pretraining on {len(train_set)} clips, {len(val_set)} held out")
    history: list[PretrainingEpoch] = []
    try:
        with progress("Pretraining", epochs, "epochs") as bar:
            for epoch in epochs_of(model, train_set, val_set, settings, extractor.device):
                better = epoch.val_loss < min((each.val_loss for each in history), default=math.inf)
                if better:
                    save_encoder(model.head, use, folder)
                history.append(epoch)
                append_row(folder / "results.csv", row_of_losses(epoch))
                bar.advance(said=epoch.line(epochs, better))
    except KeyboardInterrupt:
        note(f"Interrupted: the best encoder so far is in {folder}" if history else "Interrupted before the first epoch was over")
        raise
    return Pretraining(folder=folder, history=history, num_clips=len(clips), failed=extraction.left_out)


def unlabelled_clips(inputs: Sequence[str | Path], split: int | None) -> list[Clip]:
    """All clips that the inputs mean, labels dropped, those marked test left out."""
    clips: list[Clip] = []
    for each in inputs:
        name, colon, _ = str(each).partition(":")
        named = str(each) == "toy" or (colon and name in DATASETS)
        if split is not None and not named:
            raise UsageError(f"--split {split}: {each} has no numbered splits; leave the option out")
        clips += load_dataset(each if named else expand([each]), split=split, allow_leak=True)
    kept = [replace(clip, label=None) for clip in clips if clip.split != "test"]
    if len(kept) < len(clips):
        note(f"{len(clips) - len(kept)} of {len(clips)} clips are marked test and left out")
    return kept


def cut_long(clips: Sequence[Clip], extraction: Extraction, span: float) -> list[Clip]:
    """Clips whose features are there; long ones as several of about `span` seconds, all of the same length and the same group."""
    pieces: list[Clip] = []
    for clip in extraction.usable(clips):
        video_end = extraction.features[clip.path].end
        end = video_end if clip.end is None else min(clip.end, video_end)
        count = int((end - clip.start) / span) if end - clip.start > 2 * span else 1
        edges = np.linspace(clip.start, end, count + 1).tolist()
        group = group_of(clip)
        if count == 1:
            pieces.append(replace(clip, group=group))
        else:
            pieces += [replace(clip, start=a, end=b, group=group) for a, b in itertools.pairwise(edges)]
    return pieces


def token_sets(clips: Sequence[Clip], extraction: Extraction, sampling: Sampling, seed: int) -> tuple[TokenSet, TokenSet]:
    """Tokens of the clips to learn from, in several versions, and of those held out by group. Raises DataError for too few."""
    usable = [clip for clip in clips if len(step_edges(extraction.features[clip.path], clip, sampling)) > 2]
    rank = {group: group_hash(relative_name(group), f"{seed}/pretrain") for group in {group_of(clip) for clip in usable}}
    if len(rank) < 2:
        raise DataError(f"{len(rank)} videos have two time steps or more; pretraining needs at least two videos, better hundreds")
    held = {group for group in rank if rank[group] < HELD_OUT} or {min(rank, key=lambda group: rank[group])}
    held -= {max(held, key=lambda group: rank[group])} if len(held) == len(rank) else set()
    rng = np.random.default_rng(seed)
    train = stacked([clip for clip in usable if group_of(clip) not in held], extraction, sampling, VERSIONS, rng)
    return train, stacked([clip for clip in usable if group_of(clip) in held], extraction, sampling, 0, rng)


def stacked(clips: Sequence[Clip], extraction: Extraction, sampling: Sampling, draws: int, rng: np.random.Generator) -> TokenSet:
    """Tokens of clips, plain and jittered `draws` times; fewer times, and of fewer clips, when they would not fit in memory."""
    width = sampling.token_dim(next(iter(extraction.features.values())).feature_dim)
    most = max(1, TOKEN_MEMORY // (sampling.num_frames * width * torch.float16.itemsize))
    if len(clips) > most:
        note(f"{len(clips)} clips are too many for the memory; {most} spread over all of them are used")
        clips = spread(clips, most)
    versions = min(1 + draws, most // len(clips))
    data = torch.empty((versions, len(clips), sampling.num_frames, width), dtype=torch.float16)
    valid = torch.empty(data.shape[:3], dtype=torch.bool)
    for number, clip in enumerate(clips):
        for version in range(versions):
            part, mask = tokens(extraction.features[clip.path], clip, sampling, jitter=rng if version else None)
            data[version, number], valid[version, number] = torch.from_numpy(part), torch.from_numpy(mask)
    if not bool(torch.isfinite(data[0]).all()):
        raise TrainingError("the features of some clips are not finite; extract them again with --precision f32")
    return TokenSet(data, valid, torch.zeros(len(clips), dtype=torch.int64), torch.arange(len(clips)))


class MaskedSteps(nn.Module):
    """The encoder of a head, a token that stands for every hidden step, and a linear map back to the features."""

    def __init__(self, head: TransformerHead, dim: int, hidden: float) -> None:
        super().__init__()
        self.head, self.hidden = head, hidden
        size = head.positions.shape[1]
        self.token = nn.Parameter(torch.zeros(size))
        self.restore = nn.Linear(size, dim)

    def forward(self, x: Tensor, valid: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error of the predicted features of hidden steps, for tokens x (B, T, D), valid (B, T)."""
        features = self.head.standardized(x, valid)
        hidden = hidden_steps(valid.cpu(), self.hidden, generator).to(x.device)
        seen = torch.where(hidden.unsqueeze(-1), self.token, self.head.project(features))
        encoded = self.head.mix(seen, valid)[0][:, -x.shape[1] :]  # a class token stands in front
        return functional.mse_loss(self.restore(encoded[hidden]), features[hidden])


def hidden_steps(valid: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which valid steps (B, T) are hidden: about `share` of each clip's, at random, at least one hidden and one not."""
    count = valid.sum(1, keepdim=True)
    wanted = (count * share).round().clamp(min=1).minimum(count - 1)
    order = torch.rand(valid.shape, generator=generator).masked_fill(~valid, 2.0).argsort(1).argsort(1)
    return (order < wanted) & valid


def epochs_of(model: MaskedSteps, train: TokenSet, val: TokenSet, settings: Settings, device: str) -> Iterator[PretrainingEpoch]:
    """Train a model, one epoch after the other. Raises TrainingError when the loss is no longer finite."""
    started = time.monotonic()
    model.head.prepare(train.data[0].float(), train.valid[0])
    batches = Batches(train, settings.batch_size, settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = cosine_schedule(optimizer, settings.epochs * len(batches), WARMUP)

    @cache
    def generator(epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(epoch_seed(settings.seed, epoch))

    def loss(module: nn.Module, x: Tensor, valid: Tensor, *_: Tensor) -> Tensor:
        return module(x, valid, generator(batches.epoch))

    loop = Loop(model, loss, batches, optimizer, schedule, seed=settings.seed, device=device)
    for number, losses in loop.epochs(0, settings.epochs):
        train_loss, val_loss = float(losses.mean()), measured(model, val, settings, loop.fabric.device)
        if not math.isfinite(train_loss + val_loss):
            raise TrainingError(f"the loss is not finite in epoch {number + 1}; try a lower --lr (now {settings.lr:g})")
        yield PretrainingEpoch(epoch=number + 1, time=time.monotonic() - started, train_loss=train_loss, val_loss=val_loss)


@torch.inference_mode()
def measured(model: MaskedSteps, val: TokenSet, settings: Settings, device: torch.device) -> float:
    """Loss on the clips held out, the same steps hidden every time."""
    model.eval()
    generator = torch.Generator().manual_seed(settings.seed)
    parts = [(len(x), model(x.to(device), valid.to(device), generator)) for x, valid, *_ in Batches(val, 1024, None)]
    return float(sum(count * loss for count, loss in parts) / len(val))


def row_of_losses(epoch: PretrainingEpoch) -> dict[str, str | int]:
    losses = {"train/loss": f"{epoch.train_loss:.6g}", "val/loss": f"{epoch.val_loss:.6g}"}
    return {"epoch": epoch.epoch, "time": f"{epoch.time:.2f}", **losses}
