"""A training in its run folder, and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gerund.core.files import write_json
from gerund.core.recipes import Recipe, as_config
from gerund.core.results import Printable
from gerund.core.team import Team
from gerund.core.types import Clip
from gerund.data.manifest import of_split, write_manifest
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction
from gerund.recognition.evaluate import Evaluation
from gerund.recognition.runs import FINETUNE, Epoch, make_run_folder
from gerund.timelines.evaluate import TimelineEvaluation
from gerund.training.leaderboard import Leaderboard


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training that has a folder: its clips with their splits, its settings, and the processes that share it.

    `checkpoint` is the state to go on from, None at the beginning.
    """

    folder: Path
    clips: list[Clip]
    settings: Recipe
    cache: FeatureCache
    team: Team
    checkpoint: Path | None = None

    @property
    def model(self) -> Path:
        """Where the best model is kept."""
        return self.folder / "best"

    @property
    def tuning(self) -> Path:
        """Where the fine-tuning of the backbone leaves what it needs."""
        return self.folder / FINETUNE

    @property
    def head_checkpoint(self) -> Path | None:
        """The checkpoint, unless it is one of the fine-tuning, after which the head begins anew."""
        return None if self.checkpoint is not None and self.tuning in self.checkpoint.parents else self.checkpoint

    def usable(self, extraction: Extraction, *sides: str) -> list[Clip]:
        """The clips of some splits whose features are there."""
        return extraction.usable(of_split(self.clips, *sides))


@dataclass(frozen=True, kw_only=True)
class Training(Printable):
    """A finished run: its folder, its model, metrics as in metrics.json, one row per epoch, the test evaluation.

    `films` are the timelines of held-out videos beside their annotations, where clips are spans of longer videos.
    `failed` has the videos and spans that could not be used, on whatever side, with the reasons.
    """

    run: Path
    model: Path
    metrics: dict[str, Any]
    history: list[Epoch]
    test: Evaluation | None
    failed: dict[str, str]
    films: TimelineEvaluation | None = None

    @property
    def is_complete(self) -> bool:
        return not self.failed and not any(side.get("failed") for side in self.metrics.values())

    def as_json(self) -> dict[str, Any]:
        return {"run": str(self.run), "model": str(self.model), "metrics": self.metrics, "failed": self.failed}

    def as_text(self) -> Iterator[str]:
        if self.test is not None:
            yield from self.test.summary()
        if self.films is not None:
            videos = len(self.films.timelines)
            yield from (
                "",
                f"Timelines of {videos} video{'s' * (videos != 1)} that the head has not seen:",
                *self.films.as_text(),
            )
        for reason in self.failed.values():
            yield f"left out: {reason}"
        yield from ("", f"Run:    {self.run}", f"Model:  {self.model}", f"Report: {self.run / 'report.html'}")
        yield from ("", f"Next: gerund {'predict' if self.films is None else 'timeline'} {self.run} VIDEO")


def begin_run(
    clips: list[Clip], settings: Recipe, cache: FeatureCache, out: Path | None, team: Team, board: Leaderboard | None = None
) -> Run:
    """A new run, and in its folder what is known before training: clips, settings, and the comparison that chose the head."""

    def written() -> Path:
        folder = make_run_folder(out)
        write_manifest(clips, folder / "clips.csv")
        write_json(folder / "config.json", as_config(settings))
        if board is not None:
            write_json(folder / "comparison.json", board.values)
        return folder

    return Run(folder=team.shared(written), clips=clips, settings=settings, cache=cache, team=team)
