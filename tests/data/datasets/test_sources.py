"""What people have, given as it is: workbooks, tables of other places, files of BORIS and ELAN without a name before them, several at once."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import time
from pathlib import Path

import openpyxl
import pytest

import gerund
from gerund.core.errors import DataError
from gerund.core.recipes import as_command, read_config
from gerund.data.datasets import is_published, load_annotations, load_dataset, recorded_source
from support.command import run
from support.layouts import BORIS_COLUMNS, boris_row, eaf, spans, touch, write

RampVideo = Callable[..., Path]
WANTED = [("a.mp4", "rear", 83.5, 90.0), ("b.mp4", "rear", 0.0, 3723.25)]


def book(path: Path, *rows: list[object]) -> Path:
    made = openpyxl.Workbook()
    assert made.active is not None
    for row in rows:
        made.active.append(row)
    made.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("german.csv", "PATH;Label;Start;END\na.mp4;rear;83,5;90\nb.mp4;rear;0:00;1:02:03,25\n"),
        ("tabs.tsv", "path\tlabel\tstart\tend\na.mp4\trear\t01:23.5\t1:30\nb.mp4\trear\t0\t1:02:03.25\n"),
        ("plain.csv", "Path,LABEL,start,end\na.mp4,rear,01:23.5,90\nb.mp4,rear,,3723.25\n"),
    ],
)
def test_tables_of_any_place_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert spans(load_dataset(tmp_path / name)) == WANTED


def test_a_workbook_is_a_manifest(tmp_path: Path) -> None:
    path = book(
        tmp_path / "labels.xlsx",
        ["Path", "Label", "Start", "End"],
        ["a.mp4", "rear", time(0, 1, 23, 500000), 90],
        ["b.mp4", "rear", None, "1:02:03,25"],
    )
    assert spans(load_dataset(path)) == WANTED
    book(path, ["path", "label", "end"], ["a.mp4", "rear", "soon"])
    with pytest.raises(DataError, match=r"labels.xlsx:2: column 'end': 'soon' is not a number"):
        load_dataset(path)


@pytest.fixture
def boris_rows() -> list[str]:
    return [boris_row("o", "m", "eat", kind, at, "a.mp4") for kind, at in (("START", 1.0), ("STOP", 3.0))]


def test_files_of_boris_and_elan_need_no_name_before_them(tmp_path: Path, boris_rows: list[str]) -> None:
    touch(tmp_path / "a.mp4")
    write(tmp_path / "events.csv", BORIS_COLUMNS, *boris_rows)
    cells = [next(csv.reader([line])) for line in (BORIS_COLUMNS, *boris_rows)]
    book(tmp_path / "events.xlsx", *cells)
    write(tmp_path / "s.eaf", *eaf("a.mp4"), bom=False)
    for name in ("events.csv", "events.xlsx"):
        assert load_annotations(tmp_path / name) == load_annotations(f"boris:{tmp_path / name}")
        assert spans(load_dataset(tmp_path / name)) == [("a.mp4", "eat", 1.0, 3.0)]
    assert load_annotations(tmp_path / "s.eaf") == load_annotations(f"elan:{tmp_path / 's.eaf'}")


def test_several_sources_are_one_data_set(tmp_path: Path, boris_rows: list[str]) -> None:
    touch(tmp_path / "a.mp4")
    write(tmp_path / "events.csv", BORIS_COLUMNS, *boris_rows)
    (tmp_path / "more.csv").write_text("path,label\nb.mp4,sleep\n", encoding="utf-8")
    sources = [str(tmp_path / "events.csv"), tmp_path / "more.csv"]
    assert [clip.label for clip in load_dataset(sources)] == ["eat", "sleep"]
    code, out, _ = run("index", *sources, "--json")
    assert (code, [row["label"] for row in json.loads(out)]) == (0, ["eat", "sleep"])
    assert (recorded_source(sources), recorded_source(sources[:1])) == ([str(each) for each in sources], str(sources[0]))
    assert recorded_source(load_dataset(sources)) is None
    assert is_published(["toy", "ucf101:here"])
    assert not is_published(["toy", "here"])


def test_a_run_knows_all_that_it_learned_from(tmp_path: Path, ramp_video: RampVideo) -> None:
    for label, step in (("slow", 1), ("fast", 9)):
        for number in range(6):
            ramp_video(12 + number, step=step, name=f"{number}", folder=tmp_path / ("x" if number % 2 else "y") / label)
    code, _, err = run(
        *("train", tmp_path / "x", tmp_path / "y", "--backbone", "pixels:8", "--num-frames", 4),
        *("--out", tmp_path / "run", "--cache", tmp_path / "c"),
    )
    assert code == 0, err
    kept = read_config(tmp_path / "run")
    assert kept.data == [str(tmp_path / "x"), str(tmp_path / "y")]
    assert as_command(kept).startswith(f"gerund train {tmp_path / 'x'} {tmp_path / 'y'} ")
    assert "- Trained on: x and y (" in (tmp_path / "run" / "best" / "README.md").read_text(encoding="utf-8")
    again = gerund.train(config=tmp_path / "run", out=tmp_path / "again", cache=tmp_path / "c")
    assert again.metrics == gerund.train(config=str(tmp_path / "run" / "config.json"), out=tmp_path / "third").metrics


def test_spans_that_overlap_are_told_of_when_they_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("path,label,start,end\na.mp4,eat,0,2\na.mp4,rest,1,3\nb.mp4,eat,0,1\n", encoding="utf-8")
    gerund.index(tmp_path / "a.csv")
    assert (
        f"overlap in 1 of 2 videos (first {tmp_path / 'a.mp4'}: 'eat' from 0 s and 'rest' from 1 s); train asks"
        in capsys.readouterr().err
    )
