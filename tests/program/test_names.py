"""Names of files whose bytes are no UTF-8, from old disks and archives: they work like any other, in every command."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gerund.backbones import load_backbone
from gerund.cli import app as cli
from gerund.core.errors import UsageError
from gerund.core.files import readable, write_text
from gerund.core.printing import json_text
from gerund.core.types import Clip, Segment, Timeline
from gerund.data import index
from gerund.data.datasets import load_dataset
from gerund.data.frames import frames
from gerund.data.manifest import assign_splits, read_manifest, write_manifest
from gerund.data.split import split
from gerund.diagnosis.doctor import doctor
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.recognition.runs import check_free
from gerund.timelines.formats import TIMELINE_FORMATS
from support.layouts import touch

RampVideo = Callable[..., Path]
CAFE = os.fsdecode(b"caf\xe9")
PERCENT = os.fsdecode(b"100%25 \xff")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")


@pytest.fixture
def clips(tmp_path: Path, ramp_video: RampVideo) -> Path:
    """Two classes of six tiny videos, one of each with a name that is no UTF-8, as is the name of a class."""
    data = tmp_path / f"data {CAFE}"
    for label, step in (("left", 2), (CAFE, 7)):
        for length, name in enumerate((CAFE, PERCENT, "a", "b", "c", "d"), start=10):
            made = ramp_video(length, step=step, folder=tmp_path / "made")
            made.rename(touch(data / label / f"{name}.mp4"))
    (data / "left" / f"broken {CAFE}.mp4").write_text("no video")
    return data


def test_a_name_is_shown_with_its_bytes() -> None:
    assert readable(f"{CAFE} été") == r"caf\xe9 été"
    assert json.loads(json_text({CAFE: "été\\xe9"})) == {CAFE: "été\\xe9"}
    assert json_text(CAFE) == r'"caf\udce9"'


@pytest.mark.parametrize("name", [CAFE, PERCENT, "100%25", "été", "file:x", "a'b\"c, d", " a ", "a\nb"])
def test_a_manifest_names_any_file(tmp_path: Path, name: str) -> None:
    clips = [Clip(path=touch(place / f"{name}.mp4"), label="x") for place in (tmp_path / "in", tmp_path / "in" / name, tmp_path)]
    write_manifest(clips, tmp_path / "in" / "clips.csv")
    (tmp_path / "in" / "clips.csv").read_text(encoding="utf-8")
    assert read_manifest(tmp_path / "in" / "clips.csv") == clips


def test_listing_splitting_and_indexing_take_them(clips: Path, tmp_path: Path) -> None:
    listed = index.index(clips, out=tmp_path / "clips.csv")
    assert {clip.label for clip in listed} == {"left", r"caf\xe9"}
    assert read_manifest(tmp_path / "clips.csv") == listed
    made = split(tmp_path / "clips.csv", anew=True, out=tmp_path / "split.csv")
    assert read_manifest(tmp_path / "split.csv") == made.manifests[0]
    assert len({clip.path for clip in made.manifests[0]}) == 13
    grouped = load_dataset(clips, group_pattern=r".{3}$|.")
    assert {readable(clip.group or "") for clip in grouped} == {clip.group for clip in grouped}
    write_manifest([replace(clip, split="train") for clip in grouped], tmp_path / "grouped.csv")
    assert [clip.group for clip in read_manifest(tmp_path / "grouped.csv")] == [clip.group for clip in grouped]
    assert assign_splits(grouped)


def test_a_file_that_cannot_be_read_is_named_and_remembered(
    clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extractor = Extractor(load_backbone("pixels:8"), fps=8.0, cache=FeatureCache(tmp_path / "cache"))
    good, bad = clips / "left" / f"{CAFE}.mp4", clips / "left" / f"broken {CAFE}.mp4"
    for _ in range(2):
        found = extractor.extract([good, bad])
        assert (list(found.features), list(found.failed)) == ([good], [bad])
        assert re.search(r"broken caf.*\.mp4: not readable as video", capfd.readouterr().err)


@pytest.mark.parametrize("style", ["--json", "--csv", "--quiet"])
def test_every_result_can_be_printed(style: str, clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.app.meta(["index", str(clips), style]) == 0
    out = capfd.readouterr().out
    if style == "--json":
        assert {Path(row["path"]) for row in json.loads(out)} == {clip.path for clip in load_dataset(clips)}
    if style == "--csv":
        (tmp_path / "printed.csv").write_text(out, encoding="utf-8")
        assert {clip.path for clip in read_manifest(tmp_path / "printed.csv")} == {clip.path for clip in load_dataset(clips)}


def test_the_doctor_writes_its_page_and_manifest(clips: Path, tmp_path: Path) -> None:
    page, manifest = tmp_path / "page.html", tmp_path / f"good {CAFE}.csv"
    diagnosis = doctor(clips, html=page, fix_manifest=manifest, workers=1)
    assert any("broken" in finding.message for finding in diagnosis.problems)
    assert r"broken caf\udce9.mp4" in page.read_text(encoding="utf-8")
    assert read_manifest(manifest)
    json.loads(json_text(diagnosis.values()))


def test_frames_are_written_and_listed(clips: Path, tmp_path: Path) -> None:
    made = frames(clips, out=tmp_path / "images", workers=1)
    assert len(made.failed) == 1
    listed = read_manifest(made.manifest)
    assert len(listed) == 12
    assert all(clip.path.is_dir() for clip in listed)


@pytest.mark.parametrize("name", sorted(TIMELINE_FORMATS.keys() - {"per_frame"}))  # which needs the video
def test_timelines_are_written(name: str, tmp_path: Path) -> None:
    timeline = Timeline(
        path=tmp_path / f"{CAFE}.mp4", labels=["x"], segments=[Segment(start=0, end=1, label="x", score=1.0)], duration=1
    )
    path = tmp_path / f"{CAFE}{TIMELINE_FORMATS[name].suffixes[0]}"
    write_text(path, TIMELINE_FORMATS[name].text(timeline, path))
    path.read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
def test_a_strict_terminal_shows_them(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "utf-8", errors="strict", write_through=True))
    monkeypatch.setattr(sys, "argv", ["gerund", "index", str(clips)])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert rb"caf\xe9" in shown.getvalue()


def test_folders_that_hold_arrays_need_a_name_in_utf8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*caf.*: the name of this folder is not UTF-8"):
        check_free(tmp_path / CAFE)
    with pytest.raises(UsageError, match=r"--cache .*caf.*: the name of this folder is not UTF-8"):
        FeatureCache(tmp_path / CAFE)


@pytest.mark.slow
def test_training_takes_them_from_end_to_end(clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["train", str(clips), "--backbone", "pixels:8", "--cache", str(tmp_path / "cache"), "--out", str(run), "--json"]
    assert cli.app.meta(words) == 3
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert len(read_manifest(run / "clips.csv")) == 13
    for name in ("predictions.csv", "report.html", "best/README.md"):
        (run / name).read_text(encoding="utf-8")
    capfd.readouterr()
    assert cli.app.meta(["predict", str(run), str(clips / "left"), "--json", "--cache", str(tmp_path / "cache")]) == 3
    assert str(clips / "left" / f"{CAFE}.mp4") in {json.loads(line)["path"] for line in capfd.readouterr().out.splitlines()}
