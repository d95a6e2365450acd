"""What a command answers says itself three times: as values, as text and, where it has any, as rows."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from gerund.cli.app import function_of
from gerund.cli.commands import COMMANDS
from gerund.cli.show import columns_of, show
from gerund.core.results import Facts, Printable
from gerund.core.types import Clip, Prediction, Segment, Timeline
from gerund.data.download import Download
from gerund.data.frames import FrameFolders
from gerund.data.index import ClipList
from gerund.data.split import Share, Splitting
from gerund.diagnosis.doctor import Diagnosis
from gerund.features.extractor import Extraction
from gerund.features.packed import Packed
from gerund.live.spotter import Event
from gerund.training.benchmark import Benchmark, Row

SEGMENT = Segment(start=0, end=1.5, label="Lunges", score=0.9)
RESULTS: list[Any] = [
    Timeline(path=Path("a.mp4"), labels=["Lunges"], segments=[SEGMENT], duration=2.0),
    Timeline(path=Path("b.mp4"), labels=["Lunges"], error="b.mp4: gone"),
    Prediction(path=Path("a.mp4"), scores=(("Lunges", 0.75), ("Yawning", 0.25)), known=0.5),
    Prediction(path=Path("b.mp4"), error="b.mp4: gone"),
    Event(kind="started", label="Lunges", score=0.9, start=0, end=None, seconds=1, time=datetime.now(UTC), latency=None),
    ClipList([Clip(path=Path("a.mp4"), label="Lunges", split="train"), Clip(path=Path("b.mp4"))]),
    Splitting(
        manifests=[],
        files=[Path("x.csv")],
        shares=[Share(fold=None, split="val", asked=0.2, got=0.1, clips=1, groups=1, worst_class="Lunges", worst_got=0.0)],
    ),
    Benchmark(
        splits=(1, 2),
        seeds=1,
        rows=[Row(recipe="quick", backbone="pixels", by_split=[0.5, 0.7], leaking=0.9)],
        failed={},
        left_out={},
        siblings=1,
    ),
    Diagnosis(table=[{"label": "Lunges", "clips": 2}]),
    Facts(cache="here", versions={"gerund": "1"}),
    Extraction(spans={"a.mp4 [9 .. 10 s]": "too late"}),
    Packed(out=Path("packed")),
    FrameFolders(manifest=Path("clips.csv"), written=1, kept=0, failed={"a": "why"}),
    Download(data="ucf101:here", folders=[]),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_rows_have_their_columns_and_values_are_plain(result: Printable) -> None:
    assert {len(list(row)) for row in result.as_rows()} <= {len(result.columns)}
    assert json.loads(json.dumps(result.as_json(), allow_nan=False)) is not None
    assert all(isinstance(line, str) and "\n" not in line for line in result.as_text())


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
@pytest.mark.parametrize("style", ["text", "json", "csv"])
def test_one_place_prints_them_all(result: Any, style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code = show(result, style, result.columns)
    out, err = capsys.readouterr()
    assert code == (0 if result.is_complete else 3)
    if style == "json":
        assert json.loads(out) is not None
    elif style == "csv" and result.columns:
        header, *rows = csv.reader(out.splitlines())
        assert header == list(result.columns)
        assert len(rows) == len(list(result.as_rows()))
    elif style == "text" and getattr(result, "error", None):
        assert (out, err) == ("", "gerund: b.mp4: gone\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_whether_a_command_has_rows_is_known_before_it_runs(command: str) -> None:
    promised = get_type_hints(function_of(command))["return"]
    kinds = [kind for kind in (promised, *get_args(promised)) if isinstance(kind, type) and issubclass(kind, Printable)]
    assert len(kinds) <= 1
    has_rows = any(kind.as_rows is not Printable.as_rows for kind in kinds) or command == "watch"
    assert bool(columns_of(function_of(command))) == has_rows


def test_what_could_not_be_written_is_told_and_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    done = Timeline(path=Path("a.mp4"), labels=[], unwritten=["a.srt: no room"])
    assert show(done, "json", done.columns) == 3
    assert capsys.readouterr().err == "gerund: a.srt: no room\n"
