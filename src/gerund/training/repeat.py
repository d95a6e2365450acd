"""Several trainings that differ in nothing but split and seed: how far a figure is luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from gerund.core import options
from gerund.core.errors import UsageError
from gerund.core.files import write_json
from gerund.core.printing import percent
from gerund.core.progress import note
from gerund.core.recipes import read_config, resolve
from gerund.core.results import Printable
from gerund.core.settings import TrainSettings, checked
from gerund.heads import in_closed_form
from gerund.recognition.evaluate import Evaluation, pooled
from gerund.recognition.runs import make_run_folder
from gerund.training.run import Training
from gerund.training.train import train


@dataclass(frozen=True, kw_only=True)
class Trainings(Printable):
    """Finished runs: the folder that holds them all, and each by (split, seed); split None where the data has no numbered ones."""

    run: Path
    runs: dict[tuple[int | None, int], Training]

    @property
    def test(self) -> Evaluation | None:
        """All test answers together, with the spread over the runs; None when some run has no test clips."""
        measured = {str(each.run): each.test for each in self.runs.values() if each.test is not None}
        return pooled(measured) if len(measured) == len(self.runs) else None

    @property
    def per_split(self) -> dict[int | None, float]:
        """Test top-1 of each split, the mean over its seeds; empty without test clips."""
        if any(each.test is None for each in self.runs.values()):
            return {}
        top1 = {key: each.metrics["test"]["top1"] for key, each in self.runs.items()}
        return {split: float(np.mean([of for (where, _), of in top1.items() if where == split])) for split, _ in top1}

    @property
    def metrics(self) -> dict[str, Any]:
        """What metrics.json of the folder holds: top-1 per split, mean and spread over the runs, and the pooled test metrics."""
        if self.test is None:
            return {}
        return {
            "top1_per_split": {str(split): top1 for split, top1 in self.per_split.items() if split is not None},
            "spread": self.test.spread,
            "test": self.test.metrics,
        }

    @property
    def is_solved(self) -> bool:
        """Whether the head of all runs has no first weights to draw."""
        return all(in_closed_form(read_config(each.run).head) for each in self.runs.values())

    @property
    def is_complete(self) -> bool:
        return all(each.is_complete for each in self.runs.values())

    def as_json(self) -> dict[str, Any]:
        """The values of a single run, or those of all."""
        runs = list(self.runs.values())
        if len(runs) == 1:
            return runs[0].as_json()
        return {"run": str(self.run), "metrics": self.metrics, "runs": {str(each.run): each.metrics for each in runs}}

    def as_text(self) -> Iterator[str]:
        if len(self.runs) == 1:
            yield from next(iter(self.runs.values())).as_text()
            return
        test, count, per_split = self.test, len(self.runs), self.per_split
        if test is not None:
            yield from (*test.summary(), *test.by_run(), "")
            for split, top1 in per_split.items():
                if split is not None:
                    seeds = count // len(per_split)
                    yield f"split {split}: top-1 {percent(top1)}{f', mean of {seeds} seeds' * (seeds > 1)}"
            of = test.spread["top1"]
            yield (
                f"all: top-1 {percent(of['mean'])}, mean of {count} runs; standard deviation {percent(of['std'])}, "
                f"from {percent(of['min'])} to {percent(of['max'])}"
            )
            if self.is_solved and len({seed for _, seed in self.runs}) > 1:
                yield (
                    "The head is solved in closed form and has no luck of the draw: a seed only chooses which clips validate, and test where the "
                    "data does not say. Runs that agree are one run told twice."
                )
        yield from ("", f"Runs: {self.run}, each with its report.html")


def train_all(
    data: options.Data | None = None,
    *,
    splits: options.OfficialSplits | None = None,
    seeds: options.SeedCount | None = None,
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
) -> Trainings:
    """Turn labelled clips into a recogniser; with splits or seeds, train once for each and say how much the result depends on them.

    The settings are those of `train`, and one run without splits and seeds is a run of `train`. Several go into one folder, as
    split1-seed0 and so on. Features are extracted once.

    Raises what `train` raises, and UsageError for splits that are no numbers.

    Each argument and setting is explained in `gerund.core.options`, and by `gerund train --help`.
    """
    once = partial(
        train,
        data,
        recipe=recipe,
        config=config,
        resume=resume,
        auto=auto,
        devices=devices,
        nodes=nodes,
        cache=cache,
        packed=packed,
    )
    if splits is None and seeds is None:
        training = once(out=out, **settings)
        used = read_config(training.run)
        return Trainings(run=training.run, runs={(used.split, used.seed): training})
    given = checked(settings, TrainSettings, "train_all")
    pairs = wanted_runs(splits, seeds, given | {"recipe": recipe, "config": config, "resume": resume})
    folder = make_run_folder(out)
    runs: dict[tuple[int | None, int], Training] = {}
    try:
        for split, seed in pairs:
            name = f"seed{seed}" if split is None else f"split{split}-seed{seed}"
            note(f"Training {len(runs) + 1} of {len(pairs)}: {name}")
            runs[split, seed] = once(out=folder / name, **given | {"split": split, "seed": seed})
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    trainings = Trainings(run=folder, runs=runs)
    write_json(folder / "metrics.json", trainings.metrics)
    return trainings


def wanted_runs(
    splits: str | Sequence[int] | None, seeds: int | None, settings: Mapping[str, Any]
) -> list[tuple[int | None, int]]:
    """Every split with every seed. Raises UsageError for what cannot be."""
    if settings.get("resume") is not None:
        raise UsageError(f"--resume {settings['resume']}: one run is resumed at a time; leave out --splits and --seeds")
    given = {name: settings.get(name) for name in ("split", "seed")}
    base = resolve(settings.get("recipe"), settings.get("config"), given)
    if splits is not None and given["split"] is not None:
        raise UsageError(f"--split {base.split} and --splits {splits} exclude each other")
    if seeds is not None and seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least 1 is needed")
    numbers = [base.split] if splits is None else split_numbers(splits)
    return [(split, base.seed + more) for split in numbers for more in range(seeds or 1)]


def split_numbers(splits: str | Sequence[int]) -> list[int | None]:
    """The numbers in a text such as 1,2,3, each once."""
    words = splits.split(",") if isinstance(splits, str) else splits
    try:
        numbers = [int(word) for word in words]
    except ValueError:
        raise UsageError(f"--splits {splits}: not a list of numbers such as 1,2,3") from None
    if not numbers:
        raise UsageError("--splits: no number; write for example 1,2,3")
    return list(dict.fromkeys(numbers))
