"""How far a model's numbers are off, counted by hand; and where nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerund.timelines.observations import Bout, Observation
from gerund.timelines.trust import CountError, count_errors, held_out_errors


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


def test_where_no_held_out_video_has_spans_nobody_knows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clips.csv").write_text("path,label,start,end,split\na.mp4,x,,,test\nb.mp4,x,1,2,train\n")
    assert held_out_errors(tmp_path) == []
    assert "is not known: the model's training run has no held-out videos with spans" in capfd.readouterr().err
