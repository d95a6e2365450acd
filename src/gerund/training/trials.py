"""Trials: a head trained on some clips and tested on others, many of them side by side, on tokens made once.

They run in worker processes, one thread each; `python -m gerund.training.trials` is one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gerund.core import workers
from gerund.core.errors import GerundError
from gerund.core.recipes import Recipe, as_config
from gerund.core.workers import ALIVE_EVERY, Finished, Job
from gerund.heads import Head, build_head, in_closed_form
from gerund.recognition.token_set import TokenSet
from gerund.training.solve import solve

BATCH = 64
"""Clips a head sees at once while it is timed, as in prediction."""
ARRAYS = ("data", "valid", "targets", "groups", "parts", "windows")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fit: settings, the folder with the tokens of all clips, and the rows of those to train, validate and test on."""

    settings: Recipe
    tokens: Path
    num_classes: int
    device: str
    train: list[int]
    val: list[int]
    test: list[int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Whether each test clip was named rightly, and what it took: seconds of training, milliseconds of the head for a clip in a batch."""

    correct: list[bool]
    parameters: int
    train_seconds: float
    ms_per_clip: float


def write_tokens(tokens: TokenSet, folder: Path) -> None:
    """Tokens as plain arrays that several processes map into memory; without a file for windows that were not looked at."""
    folder.mkdir()
    for name in ARRAYS:
        if getattr(tokens, name) is not None:
            np.save(folder / f"{name}.npy", getattr(tokens, name), allow_pickle=False)


@cache
def read_tokens(folder: Path) -> TokenSet:
    """Tokens of a folder, mapped; "c" lets torch think it may write, which then stays in this process."""
    arrays = {name: np.load(file, mmap_mode="c") for name in ARRAYS if (file := folder / f"{name}.npy").is_file()}
    return TokenSet(**arrays | {"parts": int(arrays["parts"])})


def attempt(trial: Trial) -> Outcome:
    """Train a head as `train` does, keep its best epoch in memory, and test it. Raises TrainingError when it cannot be trained."""
    tokens, settings = read_tokens(trial.tokens), trial.settings
    _, _, steps, width = tokens.data.shape
    head = build_head(
        settings.head,
        token_dim=width,
        num_classes=trial.num_classes,
        num_frames=steps,
        options=settings.head_options,
        seed=settings.seed,
    )
    started = time.monotonic()
    train, val = tokens.of(trial.train), tokens.of(trial.val or trial.train, versions=1)
    if head.in_closed_form:
        solve(head, train, val, settings)
    else:
        learn_best(head, train, val, trial)
    seconds = time.monotonic() - started
    test = tokens.of(trial.test, versions=1)
    logits, ms_per_clip = timed_logits(head, test)
    return Outcome(
        correct=(logits.argmax(1) == test.targets).tolist(),
        parameters=head.num_parameters,
        train_seconds=seconds,
        ms_per_clip=ms_per_clip,
    )


def learn_best(head: Head, train: TokenSet, val: TokenSet, trial: Trial) -> None:
    """Train a head over epochs and leave it with the weights of the best one; without validation clips, of the last."""
    from gerund.heads.learned.base import module_behind
    from gerund.learning.fit import fit

    module, best = module_behind(head), dict[str, Any]()

    def keep(_: object, better: bool) -> None:
        if better or not trial.val:
            best.update({key: value.detach().cpu().clone() for key, value in module.state_dict().items()})

    fit(module, train, val, trial.settings, device=trial.device, folder=None, on_epoch=keep)
    module.load_state_dict(best)
    module.eval()


def timed_logits(head: Head, test: TokenSet) -> tuple[np.ndarray, float]:
    """Logits (N, K), and the milliseconds a clip took; the first batch is run once before, since it is slow."""
    slices = [slice(first, first + BATCH) for first in range(0, len(test), BATCH)]
    parts = [(test.data[0, part].astype(np.float32), test.valid[0, part]) for part in slices]
    head(*parts[0])
    started = time.perf_counter()
    logits = np.concatenate([head(x, valid) for x, valid in parts])
    return logits, 1000 * (time.perf_counter() - started) / len(logits)


def run(trials: Sequence[Trial], processes: int) -> Iterator[tuple[int, Outcome | str]]:
    """Do all trials: (index, outcome), or the reason why there is none, in the order in which they end.

    What needs no epochs is done sooner than a process has started.
    """
    processes = min(processes, sum(not in_closed_form(trial.settings.head) for trial in trials))
    if processes < 2:
        yield from enumerate(map(attempted, trials))
        return
    with TrialPool(processes, trials) as pool:
        for event in pool.run(Job(index=index) for index in range(len(trials))):
            if not isinstance(event, Finished):
                yield event
            elif event.error:
                yield event.index, event.error


def attempted(trial: Trial) -> Outcome | str:
    """An outcome, or the reason why there is none."""
    try:
        return attempt(trial)
    except GerundError as error:
        return str(error)


class TrialPool(workers.Pool):
    """Worker processes that try heads."""

    WHO = "the process that trained it"

    def __init__(self, processes: int, trials: Sequence[Trial]) -> None:
        self.setup = {"trials": [values_of_trial(trial) for trial in trials]}
        super().__init__(processes)

    def start(self) -> workers.Worker:
        return workers.Worker("gerund.training.trials", self.setup, self.reports)

    def event(self, worker: workers.Worker, report: dict[str, Any]) -> tuple[int, Outcome]:
        return report["index"], Outcome(**report["outcome"])


def values_of_trial(trial: Trial) -> dict[str, Any]:
    """Plain values for a JSON line."""
    return vars(trial) | {"settings": as_config(trial.settings), "tokens": str(trial.tokens)}


def trial_from(values: dict[str, Any]) -> Trial:
    return Trial(**values | {"settings": Recipe(**values["settings"]), "tokens": Path(values["tokens"])})


class TrialWorker(workers.WorkerSide):
    """What runs in the worker process. It is trusted with all memory, and says that it is alive also while an epoch takes long."""

    def prepare(self) -> None:
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self) -> None:
        while True:
            time.sleep(ALIVE_EVERY)
            self.tick()

    def work(self, job: Job) -> None:
        outcome = attempt(trial_from(self.setup["trials"][job.index]))
        self.report({"kind": "tried", "index": job.index, "outcome": asdict(outcome)})


if __name__ == "__main__":
    TrialWorker(sys.stdin.buffer, sys.stdout.buffer).serve()
