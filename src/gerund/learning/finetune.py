"""Training a backbone itself, or its last stage, on the frames of the clips; a head of its own tells it what to see."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.transforms import v2

from gerund.backbones import Backbone
from gerund.backbones.base import FINE_TUNED
from gerund.backbones.timm import last_stage
from gerund.core.errors import TrainingError, UsageError
from gerund.core.files import whole, write_rows
from gerund.core.progress import note, progress
from gerund.core.recipes import Recipe
from gerund.core.team import ALONE, Team
from gerund.core.types import Clip, Resize
from gerund.core.workers import UNREADABLE, reason
from gerund.data.manifest import labels_of, of_split
from gerund.features.tokens import clip_rows, on_screen, part_edges, picked_rows, stored_rows
from gerund.heads import build_head
from gerund.heads.learned.base import TorchHead, module_behind
from gerund.learning.batches import NO_CLIP
from gerund.learning.fit import lesson_on, run_epochs
from gerund.learning.loop import Batch
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.runs import Epoch
from gerund.video import FrameConverter, wanted_frames

MARGIN = 1.25
"""How much larger than the backbone's input training frames are decoded, so that a random part of them still has its size."""
AHEAD = 2
"""Batches that are decoded while one is trained on."""
BACKBONE_WEIGHTS = "backbone.safetensors"


class Tuned(TorchHead):
    """A backbone with a head on top: frames (B, T, 3, H, W) uint8 and `valid` (B, T) -> logits (B, K).

    In training every clip is augmented, all its frames alike. The backbone stays in eval mode: its normalisation statistics do not move.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: TorchHead, part: str) -> None:
        super().__init__()
        self.backbone, self.head = copy.deepcopy(backbone.module), head
        learning = last_stage(self.backbone) if part == "last-stage" else [name for name, _ in self.backbone.named_parameters()]
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(name in learning)
        self.augment = v2.Compose(
            [
                v2.RandomResizedCrop((backbone.resize.height, backbone.resize.width), scale=(0.5, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.ColorJitter(0.3, 0.3, 0.3),
            ]
        )
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Tuned:
        super().train(mode)
        self.backbone.eval()
        return self

    def tokens(self, x: Tensor) -> Tensor:
        """Features (B, T, D) of frames."""
        if self.training:
            x = torch.stack([self.augment(clip) for clip in x])
        pictures = (x.flatten(0, 1).float() - self.mean) / self.std
        return self.backbone(pictures).unflatten(0, x.shape[:2])

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        return self.head(self.tokens(x).float(), valid)


class FrameBatches:
    """Batches of clips decoded on the fly, as `batches.Batches` has them: x (n, T, 3, H, W) uint8, one frame per time step.

    In training (`seed` given) epoch e shuffles the clips and takes a random frame of each T-th of a clip, from (seed, e) alone;
    otherwise the middle one. A clip that cannot be decoded is told once and stands for no clip.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        targets: Tensor,
        settings: Recipe,
        resize: Resize,
        *,
        workers: int,
        seed: int | None = None,
        team: Team = ALONE,
    ) -> None:
        self.clips, self.targets, self.settings, self.resize = clips, targets, settings, resize
        self.workers, self.seed, self.team = workers, seed, team
        self.epoch = 0
        self.told: set[str] = set()

    def __len__(self) -> int:
        return math.ceil(len(self.clips) / self.settings.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = np.arange(len(self.clips))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        with ThreadPoolExecutor(self.workers) as pool:
            parts = iter(np.array_split(order, len(self)))
            begin = partial(self.begun, pool)
            waiting = deque(map(begin, islice(parts, AHEAD)))
            try:
                while waiting:
                    part, own, decoded = waiting.popleft()
                    waiting.extend(map(begin, islice(parts, 1)))
                    x, valid, good = zip(*(each.result() for each in decoded), strict=True)
                    targets = torch.where(torch.tensor(good), self.targets[own], NO_CLIP)
                    yield torch.stack(x), torch.stack(valid), targets, self.targets[part]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def begun(self, pool: ThreadPoolExecutor, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Future]]:
        """A batch, this process's part of it, and its clips, which are being decoded."""
        own = part[self.team.rank :: self.team.size]
        idle = not len(own)
        own = part[:1] if idle else own
        return part, own, [pool.submit(self.decoded, int(index), idle) for index in own]

    def decoded(self, index: int, idle: bool) -> tuple[Tensor, Tensor, bool]:
        """Frames (T, 3, H, W), valid (T,), and whether they are to be counted."""
        x = torch.zeros(self.settings.num_frames, 3, self.resize.height, self.resize.width, dtype=torch.uint8)
        valid = torch.arange(len(x)) < 1
        clip = self.clips[index]
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch, index])
        try:
            if not idle:
                pictures = sampled_frames(clip, self.settings, self.resize, rng)
                x[: len(pictures)] = torch.from_numpy(pictures.transpose(0, 3, 1, 2))
                valid = torch.arange(len(x)) < len(pictures)
            return x, valid, not idle
        except UNREADABLE as failure:
            if clip.shown not in self.told:
                self.told.add(clip.shown)
                note(f"Skipped {reason(clip.path, failure)}")
            return x, valid, False


def sampled_frames(clip: Clip, settings: Recipe, resize: Resize, rng: np.random.Generator | None) -> np.ndarray:
    """One frame of each part of a clip, (min(T, frames), H, W, 3) uint8: the middle one, or with `rng` a random one.

    Raises ClipError where the video has no such span.
    """
    convert = FrameConverter(resize)
    pictures, pts, ends = [], [], list[float]()
    for time, frame in wanted_frames(clip.path, fps=settings.fps, ended=ends.append):
        pictures.append(convert(frame))
        pts.append(time)
        if clip.end is not None and time >= clip.end:
            break
    end = ends[0] if ends else pts[-1]  # what comes after the clip was not read
    features = on_screen(np.arange(len(pts))[:, None], np.array(pts), end, 1 / settings.fps if settings.fps else None)
    span, behind = clip_rows(features, clip), stored_rows(features)
    count = span.stop - span.start if settings.take != "first" else min(span.stop - span.start, settings.num_frames)
    rows = span.start + picked_rows(part_edges(count, settings.num_frames, rng), rng)
    return np.stack([pictures[row] for row in behind[rows]])


def tune(
    recognizer: Recognizer,
    clips: Sequence[Clip],
    settings: Recipe,
    folder: Path,
    *,
    checkpoint: Path | None = None,
    team: Team = ALONE,
) -> None:
    """Train the recogniser's backbone and leave the weights that gave the lowest validation loss in `folder`.

    The head that is trained with it is of the settings' kind and is not kept: the run's own head comes after, on features of all frames.
    Raises TrainingError, and KeyboardInterrupt, as `fit.fit` does.
    """
    settings = replace(settings, epochs=settings.finetune_epochs)
    backbone, labels = recognizer.backbone, recognizer.labels
    train, val = of_split(clips, "train"), of_split(clips, "val")
    if sorted(labels_of(train)) != sorted(labels):
        raise TrainingError("fine-tuning needs training clips of every class")
    net = network_of(recognizer, settings)
    larger = replace(backbone.resize, height=round(MARGIN * backbone.resize.height), width=round(MARGIN * backbone.resize.width))
    workers = max(1, recognizer.extractor.workers // team.devices)

    def batches(chosen: Sequence[Clip], resize: Resize, seed: int | None, team: Team) -> FrameBatches:
        targets = torch.tensor([labels.index(clip.label or "") for clip in chosen])
        return FrameBatches(chosen, targets, settings, resize, workers=workers, seed=seed, team=team)

    measure_tokens(net, batches(train, backbone.resize, settings.seed, ALONE), recognizer.device)
    learning = sum(each.numel() for each in net.backbone.parameters() if each.requires_grad)
    note(f"Fine-tuning {settings.finetune} of {backbone.name} ({learning:,} parameters) on {len(train)} clips")

    def on_epoch(epoch: Epoch, better: bool) -> None:
        if not team.is_first:
            return
        bar.advance(epoch.epoch - bar.done, said=f"fine-tuning {epoch.line(settings.epochs, better)}")
        if better or not val:
            save_weights(net.backbone, folder / BACKBONE_WEIGHTS)

    if team.is_first:
        folder.mkdir(exist_ok=True)
    train_batches = batches(train, larger, settings.seed, team)
    with progress("Fine-tuning", settings.epochs, "epochs") as bar:
        history = run_epochs(
            net,
            train_batches,
            batches(val or train, backbone.resize, None, ALONE),
            lesson_on(train_batches.targets, settings, team.size),
            parameters=parameter_groups(net, settings.lr_backbone),
            device=recognizer.device,
            folder=folder,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            team=team,
            precision="bf16-mixed" if recognizer.device != "cpu" and settings.precision != "f32" else "32-true",
        )
    rows = [asdict(epoch) for epoch in history]
    if team.is_first:
        write_rows(folder / "results.csv", list(rows[0]), (row.values() for row in rows))
    team.shared(lambda: None)  # nobody reads the weights before they are there


def network_of(recognizer: Recognizer, settings: Recipe) -> Tuned:
    """A copy of the recogniser's backbone with a new head of the settings' kind."""
    head = build_head(
        settings.head,
        token_dim=recognizer.backbone.feature_dim,
        num_classes=len(recognizer.labels),
        num_frames=settings.num_frames,
        options=settings.head_options,
        seed=settings.seed,
    )
    return Tuned(recognizer.backbone, module_behind(head), settings.finetune or "all")


def parameter_groups(net: Tuned, lr_backbone: float) -> list[dict[str, Any]]:
    """The parameters that learn: the head's, and those of the backbone with a learning rate of their own."""
    learning = {name: each for name, each in net.named_parameters() if each.requires_grad}
    backbone = [each for name, each in learning.items() if name.startswith("backbone.")]
    rest = [each for name, each in learning.items() if not name.startswith("backbone.")]
    return [{"params": rest}, {"params": backbone, "lr": lr_backbone}]


@torch.inference_mode()
def measure_tokens(net: Tuned, batches: FrameBatches, device: str) -> None:
    """Let the head see the tokens of one batch, as `TorchHead.prepare` wants."""
    x, valid, targets, _ = next(iter(batches))
    if not bool((targets != NO_CLIP).any()):
        raise TrainingError("no clip of the first batch could be decoded; see the lines above for the reasons")
    net.eval().to(device)
    tokens = torch.cat([net.tokens(clip[None].to(device)).cpu() for clip in x])
    net.cpu()
    net.head.prepare(tokens, valid & (targets != NO_CLIP)[:, None])


def save_weights(module: nn.Module, path: Path) -> None:
    with whole(path) as partial:
        save_file({key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}, partial)


def tuned(backbone: Backbone, folder: Path, part: str) -> Backbone:
    """The backbone with the weights that `tune` has left; its fingerprint is another, and so are the places of its features."""
    path = folder / BACKBONE_WEIGHTS
    if not path.is_file():
        raise UsageError(f"{path}: missing; the fine-tuned backbone of this run is lost, train again")
    module = copy.deepcopy(backbone.module)
    module.load_state_dict(load_file(path))
    origin = f"{FINE_TUNED} ({part}) from {backbone.origin}"
    return replace(backbone, build=lambda: module, draw=None, origin=origin, digest=None, installed=False)
