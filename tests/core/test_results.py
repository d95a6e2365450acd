"""What a command answers says itself three times: as values, as text and, where it has any, as rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import openpyxl
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
    assert {len(row) for row in result.as_sheet()} <= {len(result.sheet_columns or result.columns)}
    assert json.loads(json.dumps(result.as_json(), allow_nan=False)) is not None
    assert all(isinstance(line, str) and "\n" not in line for line in result.as_text())


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
@pytest.mark.parametrize("style", ["text", "json", "csv", "excel"])
def test_one_place_prints_them_all(result: Any, style: Any, capsys: pytest.CaptureFixture[str]) -> None:
    columns = (result.sheet_columns if style == "excel" else ()) or result.columns
    code = show(result, style, columns)
    out, err = capsys.readouterr()
    assert code == (0 if result.is_complete else 3)
    if style == "json":
        assert json.loads(out) is not None
    elif style in ("csv", "excel") and result.columns:
        header, *rows = csv.reader(out.removeprefix("\ufeff").splitlines())
        assert header == list(columns)
        assert len(rows) == len(list(result.as_sheet() if style == "excel" else result.as_rows()))
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


PREDICTIONS = [
    Prediction(path=Path("ä.mp4"), scores=(("=Läufe", 0.75), ("Yawning", 0.25)), known=0.5),
    Prediction(path=Path("b.mp4"), scores=(("Yawning", 0.75), ("Lunges", 0.25)), known=0.01, unknown=True),
    Prediction(path=Path("c.mp4"), error="c.mp4: gone"),
]


def test_a_workbook_has_a_row_per_video_with_numbers_as_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(iter(PREDICTIONS), "text", Prediction.sheet_columns, tmp_path / "p.xlsx") == 3
    sheet = openpyxl.load_workbook(tmp_path / "p.xlsx").active
    assert sheet is not None
    assert sheet.freeze_panes == "A2"
    header, *rows = sheet.iter_rows(values_only=True)
    assert header == Prediction.sheet_columns
    assert rows[0] == ("ä.mp4", 0, None, "=Läufe", 0.75, "Yawning", 0.25, None, None, 0.5, False, None)
    assert rows[1] == ("b.mp4", 0, None, "unknown", None, None, None, None, None, 0.01, True, None)
    assert rows[2][-1] == "c.mp4: gone"
    assert sheet["A1"].font.b
    assert sheet["D2"].data_type == "s"  # a text, no formula
    assert "75.00 %" in capsys.readouterr().out


def test_what_was_answered_before_a_stream_broke_off_is_in_the_workbook(tmp_path: Path) -> None:
    def broken() -> Iterator[Prediction]:
        yield PREDICTIONS[0]
        raise KeyboardInterrupt

    def broken_at_once() -> Iterator[Prediction]:
        raise KeyboardInterrupt
        yield

    for name, stream in (("one", broken()), ("none", broken_at_once())):
        with pytest.raises(KeyboardInterrupt):
            show(stream, "json", Prediction.sheet_columns, tmp_path / f"{name}.xlsx")
    assert len(list(openpyxl.load_workbook(tmp_path / "one.xlsx")["gerund"].rows)) == 2
    assert not (tmp_path / "none.xlsx").exists()


@pytest.mark.parametrize(("point", "line"), [(".", "ä.mp4,0,,'=Läufe,0.75,"), (",", "ä.mp4;0;;'=Läufe;0,75;")])
def test_a_csv_for_a_double_click_has_the_signs_of_the_place(point: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.localeconv", lambda: {"decimal_point": point})
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, "latin-1", write_through=True))
    show(iter(PREDICTIONS[:1]), "excel", Prediction.sheet_columns)
    assert out.getvalue().startswith(b"\xef\xbb\xbfpath")
    assert out.getvalue().decode("utf-8-sig").splitlines()[1].startswith(line)


def test_segments_are_numbers_too() -> None:
    assert RESULTS[0].as_sheet() == [[Path("a.mp4"), 0, 1.5, "Lunges", 0.9, None]]
    assert RESULTS[1].as_sheet() == [[Path("b.mp4"), None, None, None, None, "b.mp4: gone"]]
