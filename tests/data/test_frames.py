"""Frames of clips as images: the right ones, each video decoded once, whole folders only, and what fails is listed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core import workers
from gerund.core.errors import DataError, UsageError
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import group_of
from gerund.data.stills import Order, StillSpan, write_orders, write_spans
from support.clocks import standing
from support.layouts import images, touch
from support.reading import read_picture
from support.videos import RampVideo


def levels(folder: Path) -> list[int]:
    """Which frames of a ramp a folder holds: its grey levels in steps of 3, two below which is rounding."""
    pictures = sorted(folder.glob("*.jpg"))
    assert [picture.name for picture in pictures] == [f"{number:06d}.jpg" for number in range(1, len(pictures) + 1)]
    return [round((float(np.asarray(read_picture(picture)).mean()) + 1) / 3) for picture in pictures]


def test_a_span_holds_its_frames_and_no_others(ramp_video: RampVideo, tmp_path: Path) -> None:
    path = ramp_video(50, fps=25)
    spans = [(0.0, None), (0.4, 0.8), (1.92, 9.0), (0.4, 0.6)]
    order = Order(
        path=str(path), spans=[StillSpan(start=a, end=b, folder=str(tmp_path / str(i))) for i, (a, b) in enumerate(spans)]
    )
    assert write_spans(order) == {}
    assert [levels(tmp_path / str(i)) for i in range(4)] == [
        list(range(50)),
        list(range(10, 20)),
        [48, 49],
        list(range(10, 15)),
    ]


def test_a_span_in_which_a_picture_stands_holds_it(tmp_path: Path) -> None:
    path = standing(tmp_path / "still.gif", moving=5)
    spans = [(2.0, 3.0), (4.0, None), (1.0, 99.0), (0.41, 0.45), (0.4, 0.6), (6.0, 7.0)]
    folders = [str(tmp_path / str(number)) for number in range(len(spans))]
    order = Order(
        path=str(path), spans=[StillSpan(start=a, end=b, folder=folder) for (a, b), folder in zip(spans, folders, strict=True)]
    )
    assert write_spans(order) == {folders[5]: f"{path}: no frame between 6 s and 7 s"}
    means = [
        [round(float(np.asarray(read_picture(file)).mean())) for file in sorted(Path(folder).iterdir())] for folder in folders[:5]
    ]
    assert means == [[250], [250], [250], [16], [16, 250]]


def test_a_rate_takes_the_frames_on_screen(ramp_video: RampVideo, tmp_path: Path) -> None:
    path = ramp_video(50, fps=25)
    write_spans(Order(path=str(path), spans=[StillSpan(start=0.8, end=1.6, folder=str(tmp_path / "a"))], fps=5))
    assert levels(tmp_path / "a") == [20, 25, 30, 35]


def test_the_size_is_that_of_the_short_side(ramp_video: RampVideo, tmp_path: Path) -> None:
    path = ramp_video(3, size=(32, 48))
    write_spans(Order(path=str(path), spans=[StillSpan(start=0, end=None, folder=str(tmp_path / "a"))], size=16))
    assert read_picture(tmp_path / "a" / "000001.jpg").size == (24, 16)


def dataset(ramp_video: RampVideo, tmp_path: Path) -> list[Clip]:
    """Two spans of one video, one whole video, and another of the same name."""
    long = ramp_video(50, name="lange Aufnahme é", folder=tmp_path / "in")
    short, same = (ramp_video(10, name="clip", folder=tmp_path / "in" / place) for place in "ab")
    return [
        Clip(path=long, label="wave é", start=0.4, end=0.8),
        Clip(path=long, label="jump/up", start=1.2),
        Clip(path=short, label="wave é", group="p1"),
        Clip(path=same, label="wave é"),
    ]


def test_clips_become_folders_that_read_back(ramp_video: RampVideo, tmp_path: Path) -> None:
    clips = dataset(ramp_video, tmp_path)
    done = gerund.frames(clips, out=tmp_path / "out", workers=2)
    assert (done.written, done.kept, done.failed) == (4, 0, {})
    again = load_dataset(done.manifest)
    assert [clip.label for clip in again] == [clip.label for clip in clips]
    assert [levels(clip.path) for clip in again] == [list(range(10, 20)), list(range(30, 50)), list(range(10)), list(range(10))]
    assert again[0].path == tmp_path / "out" / "wave é" / "lange Aufnahme é_0.400-0.800"
    assert again[1].path == tmp_path / "out" / "jump_up" / "lange Aufnahme é_1.200-"
    assert {again[2].path.name[:5], again[3].path.name[:5]} == {"clip-"}
    assert group_of(again[0]) == group_of(again[1]) != group_of(again[2]) == "p1"
    for name in ("folder", "frames"):
        found = load_dataset(f"{name}:{tmp_path / 'out'}")
        assert sorted(clip.path for clip in found) == sorted(clip.path for clip in again)
    assert video.probe(again[1].path).num_frames == 20


def test_splits_are_folders_above_the_labels(ramp_video: RampVideo, tmp_path: Path) -> None:
    clips = [
        Clip(path=ramp_video(5, name=f"{label} {split}"), label=label, split=split)
        for label in "ab"
        for split in ("train", "test")
    ]
    gerund.frames(clips, out=tmp_path / "out", workers=1)
    assert (tmp_path / "out" / "train" / "a" / "a train").is_dir()
    for data in (f"frames:{tmp_path / 'out'}", tmp_path / "out" / "clips.csv"):
        assert sorted((clip.label, clip.split) for clip in load_dataset(data)) == sorted(
            (clip.label, clip.split) for clip in clips
        )


def test_a_second_run_does_what_is_missing(ramp_video: RampVideo, tmp_path: Path) -> None:
    clips = dataset(ramp_video, tmp_path)
    gerund.frames(clips[:2], out=tmp_path / "out", workers=1)
    first = tmp_path / "out" / "wave é" / "lange Aufnahme é_0.400-0.800"
    (first / "000001.jpg").unlink()
    images(first.with_name(".clip.partial"))
    done = gerund.frames(clips, out=tmp_path / "out", workers=1)
    assert (done.written, done.kept) == (2, 2)
    assert not (first / "000001.jpg").exists()
    with pytest.raises(UsageError, match=r"--out .*out: holds frames written with \{'fps': None, .*choose another folder"):
        gerund.frames(clips, out=tmp_path / "out", fps=5)


def test_what_fails_is_listed_and_leaves_no_folder(ramp_video: RampVideo, tmp_path: Path) -> None:
    bad = touch(tmp_path / "in" / "bad.mp4")
    bad.write_text("no video")
    good = ramp_video(25, folder=tmp_path / "in")
    clips = [Clip(path=bad, label="a"), Clip(path=good, label="a"), Clip(path=good, label="b", start=5, end=6)]
    done = gerund.frames(clips, out=tmp_path / "out", workers=2)
    reasons = list(done.failed.values())
    assert (done.written, len(reasons)) == (1, 2)
    assert any("bad.mp4: not readable as video" in reason for reason in reasons)
    assert any("ramp.mp4: no frame between 5 s and 6 s" in reason for reason in reasons)
    assert sorted(entry.name for entry in (tmp_path / "out").rglob("*") if entry.is_dir()) == ["a", "ramp"]
    assert len(load_dataset(done.manifest)) == 1


def test_a_decoder_that_dies_or_hangs_costs_one_video(
    ramp_video: RampVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker process kills itself over one video and falls silent over another."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(
        "import os, time\nfrom gerund.video import reader\ndecode = reader.decode\n"
        "def trap(path, **options):\n"
        "    if 'crash' in path.name: os.kill(os.getpid(), 9)\n"
        "    if 'hang' in path.name: time.sleep(60)\n"
        "    yield from decode(path, **options)\n"
        "reader.decode = trap\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "code"), *sys.path])
    monkeypatch.setattr(workers, "SILENCE_LIMIT", 5.0)
    names = ("crash", "good 1", "hang", "good 2")
    orders = [
        Order(path=str(ramp_video(5, name=name)), spans=[StillSpan(start=0, end=None, folder=str(tmp_path / "out" / name))])
        for name in names
    ]
    failed = {folder: reason for _, problems in write_orders(orders, 1) for folder, reason in problems.items()}
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["good 1", "good 2"]
    assert "crash.mp4: the decoder crashed (signal 9)" in failed[str(tmp_path / "out" / "crash")]
    assert "hang.mp4: the decoder hung for" in failed[str(tmp_path / "out" / "hang")]


def test_what_cannot_be_is_refused(ramp_video: RampVideo, tmp_path: Path) -> None:
    clip = Clip(path=ramp_video(2), label="a")
    for options, words in (({"fps": 0}, "--fps 0: must be above 0"), ({"size": 0}, "--size 0: at least 1 pixel")):
        with pytest.raises(UsageError, match=words):
            gerund.frames([clip], out=tmp_path / "out", **options)
    with pytest.raises(DataError, match=r"ramp\.mp4: the same clip is listed twice"):
        gerund.frames([clip, clip], out=tmp_path / "out")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "frames.json").write_text("{")
    with pytest.raises(DataError, match=r"broken: cannot be written to, or frames\.json in it is damaged"):
        gerund.frames([clip], out=tmp_path / "broken")
    assert json.loads((tmp_path / "out" / "frames.json").read_text()) == {"fps": None, "size": None}
