"""Fitting a head to tokens. Lightning stays behind this module; a head stays a plain nn.Module."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from gerund.errors import ModelError, TrainingError
from gerund.features import Extraction
from gerund.heads import Head
from gerund.manifest import group_of
from gerund.progress import note
from gerund.recipes import Recipe
from gerund.recognizer import Recognizer
from gerund.sampling import tokens
from gerund.types import Clip

GRADIENT_CLIP = 1.0
TOKEN_MEMORY = 2**31
"""Bytes that all versions of the training clips' tokens may take together."""


@dataclass(frozen=True)
class TokenSet:
    """Tokens of N clips in one array: `data` (V, N, T, D) float16 in V versions, the plain one first, then mirrored and jittered ones.

    `valid` (V, N, T) bool, `targets` (N,) int64, `groups` (N,) int64 with an equal number for clips of one group.
    """

    data: Tensor
    valid: Tensor
    targets: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.targets)


def token_set(
    recognizer: Recognizer,
    views: Sequence[Extraction],
    clips: Sequence[Clip],
    *,
    draws: int = 0,
    rng: np.random.Generator | None = None,
) -> TokenSet:
    """Tokens of clips, plain under each view, then jittered `draws` times; fewer times when they would not fit in memory.

    Plain ones that do not fit lie in a file, memory-mapped.
    """
    index = {label: number for number, label in enumerate(recognizer.labels)}
    steps, width = recognizer.sampling.num_frames, recognizer.sampling.token_dim(recognizer.backbone.feature_dim)
    fitting = TOKEN_MEMORY // (len(clips) * steps * width * torch.float16.itemsize)
    versions = max(1, min(len(views) + draws, fitting))
    data = room((versions, len(clips), steps, width), recognizer.extractor.cache.folder)
    valid = torch.empty(data.shape[:3], dtype=torch.bool)
    for number, clip in enumerate(clips):
        for version in range(versions):
            features = views[version % len(views)].features[clip.path]
            part, mask = tokens(features, clip, recognizer.sampling, jitter=None if version < len(views) else rng)
            data[version, number], valid[version, number] = torch.from_numpy(part), torch.from_numpy(mask)
        if not bool(torch.isfinite(data[0, number]).all()):
            raise TrainingError("the features of some clips are not finite; extract them again with --precision f32")
    numbers = {group: number for number, group in enumerate(dict.fromkeys(map(group_of, clips)))}
    return TokenSet(
        data,
        valid,
        torch.tensor([index[clip.label or ""] for clip in clips]),
        torch.tensor([numbers[group_of(clip)] for clip in clips]),
    )


def room(shape: tuple[int, ...], folder: Path) -> Tensor:
    """An array of float16, not initialised; one of more than TOKEN_MEMORY is a mapped file in `folder` that ends with this process."""
    if math.prod(shape) * torch.float16.itemsize <= TOKEN_MEMORY:
        return torch.empty(shape, dtype=torch.float16)
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".tokens-", dir=folder)
    os.close(handle)
    data = torch.from_file(name, shared=True, size=math.prod(shape), dtype=torch.float16)
    with contextlib.suppress(OSError):  # Windows keeps the name of an open file
        Path(name).unlink()
    return data.view(shape)


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of results.csv. Losses are the training criterion (smoothed cross-entropy), accuracies 0..1, `time` seconds.

    `top1` and `top5` are of the validation clips; `train_top1` is measured while training, with dropout on.
    """

    epoch: int
    time: float
    train_loss: float
    val_loss: float
    top1: float
    top5: float
    lr: float
    train_top1: float


class Batches:
    """Batches of a token set. In training, epoch e shuffles the clips and takes a random version of each, from (seed, e) alone."""

    def __init__(self, tokens: TokenSet, batch_size: int, seed: int | None) -> None:
        self.tokens, self.batch_size, self.seed = tokens, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.tokens) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        count = len(self.tokens)
        order, versions = np.arange(count), np.zeros(count, np.int64)
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, self.epoch])
            order, versions = generator.permutation(count), generator.integers(len(self.tokens.data), size=count)
        for part in np.array_split(order, len(self)):  # even parts: no batch of one, which batch norms cannot use
            rows, version = torch.from_numpy(part), torch.from_numpy(versions[part])
            yield self.tokens.data[version, rows].float(), self.tokens.valid[version, rows], self.tokens.targets[rows]


class HeadModule(lightning.LightningModule):
    """Loss, optimizer and schedule around a head."""

    def __init__(self, head: Head, recipe: Recipe, steps: int, class_weights: Tensor | None) -> None:
        super().__init__()
        self.head, self.recipe, self.steps = head, recipe, steps
        self.class_weights = class_weights
        self.train_losses: list[Tensor] = []
        self.train_hits: list[Tensor] = []
        self.val_outputs: list[tuple[Tensor, Tensor]] = []

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        return functional.cross_entropy(logits, targets, weights, label_smoothing=self.recipe.label_smoothing)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        x, valid, targets = batch
        logits = self.head(x, valid)
        loss = self.loss(logits, targets)
        self.train_losses.append(loss.detach())
        self.train_hits.append(logits.detach().argmax(1) == targets)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        x, valid, targets = batch
        self.val_outputs.append((self.head(x, valid).float(), targets))

    def configure_optimizers(self) -> Any:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.recipe.optimizer]
        optimizer = kind(self.head.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)
        if self.recipe.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(step / max(self.steps, 1), self.recipe.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def measure(self, epoch: int, seconds: float) -> Epoch:
        """The epoch that has just ended. Raises TrainingError when its loss is not finite."""
        logits, targets = (torch.cat(parts) for parts in zip(*self.val_outputs, strict=True))
        train_loss = float(torch.stack(self.train_losses).mean())
        train_top1 = float(torch.cat(self.train_hits).float().mean())
        for collected in (self.val_outputs, self.train_losses, self.train_hits):
            collected.clear()
        if not math.isfinite(train_loss) or not bool(torch.isfinite(logits).all()):
            raise TrainingError(f"the loss is not finite in epoch {epoch}; try a lower --lr (now {self.recipe.lr:g})")
        ranked = logits.argsort(1, descending=True)
        return Epoch(
            epoch=epoch,
            time=seconds,
            train_loss=train_loss,
            val_loss=float(self.loss(logits, targets)),
            top1=float((ranked[:, 0] == targets).float().mean()),
            top5=float((ranked[:, :5] == targets[:, None]).any(1).float().mean()),
            lr=float(self.trainer.optimizers[0].param_groups[0]["lr"]),
            train_top1=train_top1,
        )


def cosine(progress: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 0, as a share of the peak learning rate."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)))


class Journal(Callback):
    """After each epoch: measure it, tell the caller, write the checkpoints, and stop when patience or time is over.

    All randomness of an epoch comes from the seed and the epoch's number, so that a resumed run goes on exactly as if never stopped.
    """

    def __init__(self, recipe: Recipe, folder: Path | None, batches: Batches, on_epoch: Callable[[Epoch, bool], None]) -> None:
        self.recipe, self.folder, self.batches, self.on_epoch = recipe, folder, batches, on_epoch
        self.history: list[Epoch] = []
        self.earlier = 0.0
        self.started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"history": [asdict(epoch) for epoch in self.history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.earlier = self.history[-1].time if self.history else 0.0

    def on_train_epoch_start(self, trainer: Any, module: HeadModule) -> None:  # type: ignore[override]
        self.batches.epoch = trainer.current_epoch
        torch.manual_seed(self.recipe.seed * 1_000_003 + trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Any, module: HeadModule) -> None:  # type: ignore[override]
        epoch = module.measure(trainer.current_epoch + 1, self.earlier + time.monotonic() - self.started)
        best = min(self.history, key=lambda each: each.val_loss, default=None)
        better = best is None or epoch.val_loss < best.val_loss
        self.history.append(epoch)
        self.on_epoch(epoch, better)
        if self.folder is not None:
            self.save(trainer, self.folder / "last.ckpt")
            if self.recipe.save_every and epoch.epoch % self.recipe.save_every == 0:
                self.save(trainer, self.folder / f"epochs/{epoch.epoch:04d}.ckpt")
        if self.recipe.patience and best is not None and not better and epoch.epoch - best.epoch >= self.recipe.patience:
            self.stop(trainer, f"No better validation loss for {self.recipe.patience} epochs: stopped.")
        if self.recipe.time is not None and epoch.time >= self.recipe.time:
            self.stop(trainer, f"The time of {self.recipe.time:g} s is up: stopped after epoch {epoch.epoch}.")

    def stop(self, trainer: Any, why: str) -> None:
        trainer.should_stop = True
        if self.folder is not None:
            note(why)

    def save(self, trainer: Any, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        trainer.save_checkpoint(partial)
        partial.replace(path)


def fit(
    head: Head,
    train: TokenSet,
    val: TokenSet,
    recipe: Recipe,
    *,
    device: str,
    folder: Path | None,
    on_epoch: Callable[[Epoch, bool], None],
    checkpoint: Path | None = None,
) -> list[Epoch]:
    """Train a head and leave it with the weights of its last epoch; `on_epoch` hears of each epoch and whether it is the best yet.

    A head in closed form is solved at once, which counts as one epoch. Checkpoints go to `folder`, without which nothing is written
    or said; `checkpoint` is one to go on from. Raises TrainingError when the loss is no longer finite, and
    KeyboardInterrupt on Ctrl-C, with everything up to the last whole epoch on disk.
    """
    if head.in_closed_form:
        history = [solve(head, train, val, recipe)]
        on_epoch(history[0], True)
        return history
    head.prepare(train.data[0].float(), train.valid[0])
    batches = Batches(train, recipe.batch_size, recipe.seed)
    journal = Journal(recipe, folder, batches, on_epoch)
    module = HeadModule(head, recipe, recipe.epochs * len(batches), balanced_weights(train) if recipe.class_weights else None)
    quiet_lightning()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator={"cpu": "cpu", "mps": "mps"}.get(device, "cuda"),
            devices=1,
            max_epochs=recipe.epochs,
            gradient_clip_val=GRADIENT_CLIP,
            callbacks=[journal],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module, batches, Batches(val, 1024, None), ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # what Lightning makes of a Ctrl-C
            raise KeyboardInterrupt from None
        except OSError as error:
            raise ModelError(f"{folder}: cannot be written ({error.strerror}); what was there before is intact") from None
    head.eval()
    return journal.history


@torch.inference_mode()
def solve(head: Head, train: TokenSet, val: TokenSet, recipe: Recipe) -> Epoch:
    """Set a head's weights in closed form from the plain tokens, and measure it as an epoch is; there is no learning rate."""
    started = time.monotonic()
    head.solve(train.data[0], train.valid[0], train.targets, train.groups)
    head.eval()
    module = HeadModule(head, recipe, 1, balanced_weights(train) if recipe.class_weights else None)
    losses, ranks = [], []
    for side in (train, val):
        logits = torch.cat([head(x, valid) for x, valid, _ in Batches(side, 1024, None)])
        if not bool(torch.isfinite(logits).all()):
            raise TrainingError("the features of some clips are too large to solve for the head's weights")
        losses.append(float(module.loss(logits, side.targets)))
        ranks.append(logits.argsort(1, descending=True) == side.targets[:, None])
    return Epoch(
        epoch=1,
        time=time.monotonic() - started,
        train_loss=losses[0],
        val_loss=losses[1],
        top1=float(ranks[1][:, 0].float().mean()),
        top5=float(ranks[1][:, :5].any(1).float().mean()),
        lr=0.0,
        train_top1=float(ranks[0][:, 0].float().mean()),
    )


def fit_quietly(head: Head, train: TokenSet, recipe: Recipe, class_weights: Tensor | None, *, epochs: int, device: str) -> None:
    """Train a head as `fit` does, for the first `epochs` of the recipe's, with nothing validated, written or told."""
    if head.in_closed_form:
        head.solve(train.data[0], train.valid[0], train.targets, train.groups)
        head.eval()
        return
    head.prepare(train.data[0].float(), train.valid[0])
    batches = Batches(train, recipe.batch_size, recipe.seed)
    module = HeadModule(head, recipe, recipe.epochs * len(batches), class_weights)
    module.to(device).train()
    made = module.configure_optimizers()
    optimizer, schedule = (made["optimizer"], made["lr_scheduler"]["scheduler"]) if isinstance(made, dict) else (made, None)
    for batches.epoch in range(epochs):
        torch.manual_seed(recipe.seed * 1_000_003 + batches.epoch)
        for x, valid, targets in batches:
            optimizer.zero_grad()
            module.loss(head(x.to(device), valid.to(device)), targets.to(device)).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), GRADIENT_CLIP)
            optimizer.step()
            if schedule is not None:
                schedule.step()
    head.cpu().eval()


def quiet_lightning() -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)


def balanced_weights(train: TokenSet) -> Tensor:
    """A weight per class (K,) with mean 1 over the clips: the rarer the class, the heavier each of its clips."""
    counts = torch.bincount(train.targets).float()
    return len(train) / (len(counts) * counts)
