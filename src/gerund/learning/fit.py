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
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.fabric.strategies import DDPStrategy
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from gerund.backbones import best_device
from gerund.core import files, progress
from gerund.core.errors import ModelError, TrainingError, UsageError
from gerund.core.progress import note
from gerund.core.recipes import Recipe
from gerund.core.types import Clip
from gerund.data.manifest import group_of
from gerund.features.extractor import Extraction
from gerund.features.tokens import tokens
from gerund.heads import Head
from gerund.recognition.recognizer import Recognizer

GRADIENT_CLIP = 1.0
TOKEN_MEMORY = 2**31
"""Bytes that all versions of the training clips' tokens may take together."""
PATIENCE_WITH_THE_FIRST = timedelta(days=7)
"""How long the others wait for what the first process of a team does alone."""
NO_CLIP = -100
"""The target of a row that stands for no clip: it has no loss, no gradient, and is not counted."""

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Team:
    """Processes that train one head together, `devices` on each of `nodes` machines. The one of `rank` 0 speaks and writes."""

    devices: int = 1
    nodes: int = 1
    rank: int = 0
    fabric: Any = None

    @property
    def size(self) -> int:
        return self.devices * self.nodes

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shared(self, make: Callable[[], Made]) -> Made:
        """What the first process makes, in all of them."""
        if self.fabric is None:
            return make()
        return self.fabric.broadcast(make() if self.is_first else None)


ALONE = Team()


def team_shape(devices: int | None, nodes: int | None) -> tuple[int, int]:
    """Processes per machine, and machines: as given, or as torchrun has started them. Raises UsageError when the two differ."""
    for flag, count in (("--devices", devices), ("--nodes", nodes)):
        if count is not None and count < 1:
            raise UsageError(f"{flag} {count}: at least 1 is needed")
    if not TorchElasticEnvironment.detect():
        return devices or 1, nodes or 1
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    started = local, int(os.environ["WORLD_SIZE"]) // local
    if (devices or started[0], nodes or started[1]) != started:
        raise UsageError(
            f"--devices {devices or started[0]} --nodes {nodes or started[1]}: torchrun has started {started[0]} processes "
            f"on each of {started[1]} machines; leave the two out, or give torchrun the same numbers"
        )
    return started


def join(devices: int, nodes: int, device: str) -> Team:
    """Meet the other processes, which torchrun or SLURM has started. All but the first fall silent.

    Raises UsageError when nobody has started them, or a machine has fewer devices.
    """
    if devices * nodes == 1:
        return ALONE
    device = best_device() if device == "auto" else device
    if device not in ("cpu", "cuda"):
        raise UsageError(f"--devices {devices} --nodes {nodes}: not with --device {device}; give --device cpu or cuda")
    if not (TorchElasticEnvironment.detect() or started_by_slurm(devices, nodes)):
        raise UsageError(
            f"--devices {devices} --nodes {nodes}: one process per device is needed, and they are started from outside: "
            f"torchrun {f'--nnodes {nodes} ' if nodes > 1 else ''}--nproc-per-node {devices} -m gerund train ..., "
            f"or under SLURM srun --nodes {nodes} --ntasks-per-node {devices} gerund train ..."
        )
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise UsageError(f"--devices {devices}: this machine has {torch.cuda.device_count()}")
    quiet_lightning()
    fabric = lightning.Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy=DDPStrategy(timeout=PATIENCE_WITH_THE_FIRST),
    )
    fabric.launch()
    progress.quiet = progress.quiet or fabric.global_rank > 0
    progress.silent = fabric.global_rank > 0
    return Team(devices=devices, nodes=nodes, rank=fabric.global_rank, fabric=fabric)


def started_by_slurm(devices: int, nodes: int) -> bool:
    """Whether srun has started this process, and just as many others as are wanted."""
    counts = tuple(int(os.environ.get(name, "0")) for name in ("SLURM_NTASKS_PER_NODE", "SLURM_NNODES"))
    return counts == (devices, nodes) and SLURMEnvironment.detect()


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
    """Batches of a token set. In training, epoch e shuffles the clips and takes a random version of each, from (seed, e) alone.

    A batch is `x` (n, T, D), `valid` (n, T), `targets` (n,), and the targets (N,) of `everyone`: a batch of N is dealt out to the
    processes of a team. Whoever gets nothing is given a row that stands for no clip.
    """

    def __init__(self, tokens: TokenSet, batch_size: int, seed: int | None, team: Team = ALONE) -> None:
        self.tokens, self.batch_size, self.seed, self.team = tokens, batch_size, seed, team
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.tokens) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        count = len(self.tokens)
        order, versions = np.arange(count), np.zeros(count, np.int64)
        if self.seed is not None:
            generator = np.random.default_rng([self.seed, self.epoch])
            order, versions = generator.permutation(count), generator.integers(len(self.tokens.data), size=count)
        for part in np.array_split(order, len(self)):  # even parts: no batch of one, which batch norms cannot use
            everyone = self.tokens.targets[torch.from_numpy(part)]
            own = part[self.team.rank :: self.team.size]
            chosen = own if len(own) else part[:1]
            rows, version = torch.from_numpy(chosen), torch.from_numpy(versions[chosen])
            targets = self.tokens.targets[rows] if len(own) else torch.tensor([NO_CLIP])
            yield self.tokens.data[version, rows].float(), self.tokens.valid[version, rows], targets, everyone


class HeadModule(lightning.LightningModule):
    """Loss, optimizer and schedule around a head."""

    def __init__(self, head: Head, recipe: Recipe, steps: int, class_weights: Tensor | None) -> None:
        super().__init__()
        self.head, self.recipe, self.steps = head, recipe, steps
        self.class_weights = class_weights
        self.train_losses: list[Tensor] = []
        self.train_hits: list[Tensor] = []
        self.val_outputs: list[tuple[Tensor, Tensor]] = []

    def loss(self, logits: Tensor, targets: Tensor, everyone: Tensor) -> Tensor:
        """These rows' part in the mean loss over `everyone`; the parts of all processes add up to it."""
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        total = len(everyone) if weights is None else weights[everyone].sum()
        smoothing = self.recipe.label_smoothing
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="sum") / total

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], _: int) -> Tensor:
        x, valid, targets, everyone = batch
        logits = self.head(x, valid)
        loss = self.loss(logits, targets, everyone) * self.trainer.world_size  # gradients are averaged over the processes
        self.train_losses.append(loss.detach())
        self.train_hits.append((logits.detach().argmax(1) == targets)[targets != NO_CLIP])
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], _: int) -> None:
        x, valid, targets = batch[:3]
        real = targets != NO_CLIP
        self.val_outputs.append((self.head(x, valid).float()[real], targets[real]))

    def parameter_groups(self) -> Any:
        return self.head.parameters()

    def configure_optimizers(self) -> Any:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.recipe.optimizer]
        optimizer = kind(self.parameter_groups(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)
        if self.recipe.schedule == "constant":
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(step / max(self.steps, 1), self.recipe.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def measure(self, epoch: int, seconds: float) -> Epoch:
        """The epoch that has just ended, the training clips of all processes taken together. Each has seen all validation clips.

        Raises TrainingError when its loss is not finite.
        """
        logits, targets = (torch.cat(parts) for parts in zip(*self.val_outputs, strict=True))
        hits = torch.cat(self.train_hits)
        means = torch.stack(
            [torch.stack(self.train_losses).mean(), hits.sum(), torch.tensor(float(len(hits)), device=hits.device)]
        )
        train_loss, num_hits, num_clips = self.trainer.strategy.reduce(means, reduce_op="mean").tolist()
        for collected in (self.val_outputs, self.train_losses, self.train_hits):
            collected.clear()
        if not math.isfinite(train_loss) or not bool(torch.isfinite(logits).all()):
            raise TrainingError(f"the loss is not finite in epoch {epoch}; try a lower --lr (now {self.recipe.lr:g})")
        ranked = logits.argsort(1, descending=True)
        return Epoch(
            epoch=epoch,
            time=seconds,
            train_loss=train_loss,
            val_loss=float(self.loss(logits, targets, targets)),
            top1=float((ranked[:, 0] == targets).float().mean()),
            top5=float((ranked[:, :5] == targets[:, None]).any(1).float().mean()),
            lr=float(self.trainer.optimizers[0].param_groups[0]["lr"]),
            train_top1=num_hits / num_clips,
        )


class TuningModule(HeadModule):
    """The same around a head on top of a backbone, whose parameters learn at a rate of their own."""

    def parameter_groups(self) -> Any:
        learning = {name: each for name, each in self.head.named_parameters() if each.requires_grad}
        backbone = [each for name, each in learning.items() if name.startswith("backbone.")]
        rest = [each for name, each in learning.items() if not name.startswith("backbone.")]
        return [{"params": rest}, {"params": backbone, "lr": self.recipe.lr_backbone}]


def cosine(progress: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 0, as a share of the peak learning rate."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)))


class Loader(Protocol):
    """What training goes through in an epoch: batches as `Batches` has them, dealt out from the seed and the epoch's number."""

    epoch: int

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]: ...


class Journal(Callback):
    """After each epoch: measure it, tell the caller, write the checkpoints, and stop when patience or time is over.

    All randomness of an epoch comes from the seed and the epoch's number, so that a resumed run goes on exactly as if never stopped.
    In a team all processes decide alike, since they hear of each epoch from the first.
    """

    def __init__(self, recipe: Recipe, folder: Path | None, batches: Loader, on_epoch: Callable[[Epoch, bool], None]) -> None:
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
        module.train()  # Lightning leaves modules in the mode it finds them in, and a recogniser's head is in eval mode
        torch.manual_seed(self.recipe.seed * 1_000_003 + trainer.current_epoch + (trainer.global_rank << 40))

    def on_train_epoch_end(self, trainer: Any, module: HeadModule) -> None:  # type: ignore[override]
        measured = module.measure(trainer.current_epoch + 1, self.earlier + time.monotonic() - self.started)
        epoch = trainer.strategy.broadcast(measured)
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
        if not trainer.is_global_zero:
            trainer.save_checkpoint(path)  # all processes meet here, the first writes
            return
        path.parent.mkdir(exist_ok=True)
        files.tidy(path.parent)
        with files.whole(path) as partial:
            trainer.save_checkpoint(partial)
            files.flush(partial)


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
    team: Team = ALONE,
) -> list[Epoch]:
    """Train a head and leave it with the weights of its last epoch; `on_epoch` hears of each epoch and whether it is the best yet.

    A head in closed form is solved at once, which counts as one epoch. Checkpoints go to `folder`, without which nothing is written
    or said; `checkpoint` is one to go on from. Each process of a `team` calls this with the same clips. Raises TrainingError when
    the loss is no longer finite, and KeyboardInterrupt on Ctrl-C, with everything up to the last whole epoch on disk.
    """
    if head.in_closed_form:
        history = [solve(head, train, val, recipe)]
        on_epoch(history[0], True)
        return history
    head.prepare(train.data[0].float(), train.valid[0])
    batches = Batches(train, recipe.batch_size, recipe.seed, team)
    journal = Journal(recipe, folder, batches, on_epoch)
    module = HeadModule(
        head, recipe, recipe.epochs * len(batches), balanced_weights(train.targets) if recipe.class_weights else None
    )
    run_epochs(module, batches, Batches(val, 1024, None), journal, device=device, checkpoint=checkpoint, team=team)
    return journal.history


def run_epochs(
    module: HeadModule,
    batches: Loader,
    val: Loader,
    journal: Journal,
    *,
    device: str,
    checkpoint: Path | None,
    team: Team,
    precision: Literal["32-true", "bf16-mixed"] = "32-true",
) -> None:
    """Train a module over the journal's epochs, validating after each; raises as `fit` does."""
    recipe, folder = journal.recipe, journal.folder
    quiet_lightning()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            accelerator={"cpu": "cpu", "mps": "mps"}.get(device, "cuda"),
            devices=team.devices,
            num_nodes=team.nodes,
            strategy="ddp" if team.size > 1 else "auto",
            precision=precision,
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
            trainer.fit(module, batches, val, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:  # what Lightning makes of a Ctrl-C
            raise KeyboardInterrupt from None
        except OSError as error:
            raise ModelError(f"{folder}: cannot be written ({error.strerror}); what was there before is intact") from None
    module.head.eval()


@torch.inference_mode()
def solve(head: Head, train: TokenSet, val: TokenSet, recipe: Recipe) -> Epoch:
    """Set a head's weights in closed form from the plain tokens, and measure it as an epoch is; there is no learning rate."""
    started = time.monotonic()
    unsolvable = "the features of some clips are too large to solve for the head's weights"
    try:
        head.solve(train.data[0], train.valid[0], train.targets, train.groups)
    except torch.linalg.LinAlgError:
        raise TrainingError(unsolvable) from None
    head.eval()
    module = HeadModule(head, recipe, 1, balanced_weights(train.targets) if recipe.class_weights else None)
    losses, ranks = [], []
    for side in (train, val):
        logits = torch.cat([head(x, valid) for x, valid, *_ in Batches(side, 1024, None)])
        if not bool(torch.isfinite(logits).all()):
            raise TrainingError(unsolvable)
        losses.append(float(module.loss(logits, side.targets, side.targets)))
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
        for x, valid, *targets in batches:
            optimizer.zero_grad()
            module.loss(head(x.to(device), valid.to(device)), *(each.to(device) for each in targets)).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), GRADIENT_CLIP)
            optimizer.step()
            if schedule is not None:
                schedule.step()
    head.cpu().eval()


def quiet_lightning() -> None:
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)


def balanced_weights(targets: Tensor) -> Tensor:
    """A weight per class (K,) with mean 1 over the clips (N,): the rarer the class, the heavier each of its clips."""
    counts = torch.bincount(targets).float()
    return len(targets) / (len(counts) * counts)
