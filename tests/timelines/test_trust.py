"""How far a model's numbers are off, counted by hand; and where nobody knows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gerund.core.types import Segment, Timeline
from gerund.timelines.evaluate import TimelineEvaluation
from gerund.timelines.observations import Bout, Observation
from gerund.timelines.trust import CountError, count_errors, errors_beside_truth, held_out_errors


def observation(*bouts: tuple[str, float, float]) -> Observation:
    return Observation(
        path=Path("a.mp4"), bouts=[Bout(label=label, start=a, end=b, score=1.0) for label, a, b in bouts], duration=60.0
    )


def test_errors_are_absolute_and_biases_are_not() -> None:
    truth = [observation(("a", 0, 10), ("b", 10, 20)), observation(("a", 0, 4), ("a", 6, 8))]
    found = [observation(("a", 0, 13)), observation(("a", 0, 4), ("c", 9, 10))]
    assert count_errors(found, truth) == [
        CountError(label="a", videos=2, count_error=0.5, count_bias=-0.5, total_error=2.5, total_bias=0.5),
        CountError(label="b", videos=2, count_error=0.5, count_bias=-0.5, total_error=5.0, total_bias=-5.0),
    ]


def test_what_a_run_wrote_down_is_read_from_its_folder_and_its_model(tmp_path: Path) -> None:
    films = TimelineEvaluation(
        timelines=[
            Timeline(path=Path("a.mp4"), labels=["a"], segments=[Segment(start=0, end=4, label="a", score=0.9)], duration=9.0),
            Timeline(path=Path("b.mp4"), labels=["a"], error="b.mp4: gone"),
        ],
        truth=[[Segment(start=1, end=4, label="a", score=1.0)], [Segment(start=1, end=4, label="a", score=1.0)]],
        fps=8.0,
    )
    found = errors_beside_truth(films)
    assert found == [CountError(label="a", videos=1, count_error=0, count_bias=0, total_error=1, total_bias=1)]
    (tmp_path / "best").mkdir()
    (tmp_path / "metrics.json").write_text(json.dumps({"timeline": {"off_by": [asdict(each) for each in found]}}))
    assert held_out_errors(tmp_path) == held_out_errors(tmp_path / "best") == found


@pytest.mark.parametrize("metrics", [None, {}, {"timeline": {}}])
def test_where_nothing_was_written_nobody_knows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], metrics: dict[str, object] | None
) -> None:
    if metrics is not None:
        (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert held_out_errors(tmp_path) == []
    assert "is not known: the model's training run has no held-out videos with spans" in capfd.readouterr().err
