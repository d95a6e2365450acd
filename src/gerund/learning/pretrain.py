"""Learning from unlabelled video: hide time steps, predict their features; `train --init` starts from what was learned.

The idea is that of BERT (Devlin et al. 2019, arXiv:1810.04805) and of masked autoencoders for video (Feichtenhofer et al. 2022,
arXiv:2205.09113), with the features of a frozen backbone in the place of words and pixels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund import heads
from gerund.backbones import load_backbone
from gerund.core import options
from gerund.core.errors import DataError, TrainingError, UsageError, needs
from gerund.core.files import append_row
from gerund.core.progress import note, progress
from gerund.core.recipes import underscored
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.datasets import DATASETS, MADE, load_dataset
from gerund.data.manifest import group_hash, group_of, relative_name
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, with_spans
from gerund.features.tokens import Sampling, spread, step_edges, tokens
from gerund.learning.pretraining import PretrainingEpoch, Settings
from gerund.recognition.predict import expand
from gerund.recognition.runs import check_free, make_run_folder
from gerund.recognition.token_set import TOKEN_BYTES, TOKEN_MEMORY, TokenSet

if TYPE_CHECKING:
    from gerund.learning.masked import MaskedSteps

VERSIONS = 4
"""Jittered versions made of each clip; an epoch takes one of them, or the plain one."""
HELD_OUT = 0.1
"""Share of the groups (the videos, where none are known) on which the best epoch is chosen."""


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
    with needs("torch", "torch", "gerund pretrain trains an encoder"):
        from gerund.learning.encoder import made_for
        from gerund.learning.masked import masked_steps
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
    model = masked_steps(sampling.token_dim(frozen.feature_dim), num_frames, options, hidden, seed)
    folder = make_run_folder(out, name="pretrain")
    use = made_for(frozen.fingerprint, rate, sampling, options)
    note(f"Pretraining on {len(train_set)} clips, {len(val_set)} held out")
    history = learn(model, train_set, val_set, settings, extractor.device, use, folder)
    return Pretraining(folder=folder, history=history, num_clips=len(clips), failed=extraction.left_out)


def learn(
    model: MaskedSteps,
    train: TokenSet,
    val: TokenSet,
    settings: Settings,
    device: str,
    use: Mapping[str, Any],
    folder: Path,
) -> list[PretrainingEpoch]:
    """Train an encoder, one row of results.csv per epoch, and keep the best one in a folder."""
    from gerund.learning.encoder import save_encoder
    from gerund.learning.masked import epochs_of

    history: list[PretrainingEpoch] = []
    try:
        with progress("Pretraining", settings.epochs, "epochs") as bar:
            for epoch in epochs_of(model, train, val, settings, device):
                better = epoch.val_loss < min((each.val_loss for each in history), default=math.inf)
                if better:
                    save_encoder(model.head, use, folder)
                history.append(epoch)
                append_row(folder / "results.csv", row_of_losses(epoch))
                bar.advance(said=epoch.line(settings.epochs, better))
    except KeyboardInterrupt:
        note(f"Interrupted: the best encoder so far is in {folder}" if history else "Interrupted before the first epoch was over")
        raise
    return history


def unlabelled_clips(inputs: Sequence[str | Path], split: int | None) -> list[Clip]:
    """All clips that the inputs mean, labels dropped, those marked test left out."""
    clips: list[Clip] = []
    for each in inputs:
        name, colon, _ = str(each).partition(":")
        named = str(each) in MADE or (colon and name in DATASETS)
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
    most = max(1, TOKEN_MEMORY // (sampling.num_frames * width * TOKEN_BYTES))
    if len(clips) > most:
        note(f"{len(clips)} clips are too many for the memory; {most} spread over all of them are used")
        clips = spread(clips, most)
    versions = min(1 + draws, most // len(clips))
    data = np.empty((versions, len(clips), sampling.num_frames, width), np.float16)
    valid = np.empty(data.shape[:3], bool)
    for number, clip in enumerate(clips):
        for version in range(versions):
            made = tokens(extraction.features[clip.path], clip, sampling, jitter=rng if version else None)
            data[version, number], valid[version, number] = made
    if not np.isfinite(data[0]).all():
        raise TrainingError("the features of some clips are not finite; extract them again with --precision f32")
    return TokenSet(data, valid, np.zeros(len(clips), np.int64), np.arange(len(clips)))


def row_of_losses(epoch: PretrainingEpoch) -> dict[str, str | int]:
    losses = {"train/loss": f"{epoch.train_loss:.6g}", "val/loss": f"{epoch.val_loss:.6g}"}
    return {"epoch": epoch.epoch, "time": f"{epoch.time:.2f}", **losses}
