"""Unlabelled time becomes a class of its own: what is not labelled, nothing else, and as long as labels are."""

from __future__ import annotations

import json
import random
from pathlib import Path

import av
import numpy as np
import pytest

import gerund
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.datasets.background import SHORTEST
from gerund.video import probe
from gerund.video.header import picture_span
from support.clocks import grey, with_sound
from support.layouts import film, make_elan, make_folder, touch


def background_of(clips: list[Clip]) -> list[tuple[float, float | None]]:
    return [(clip.start, clip.end) for clip in load_dataset(clips, background=True) if clip.label == "background"]


def test_the_gaps_of_a_video_are_background(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", seconds=10)
    clips = [Clip(path=path, label="wave", start=a, end=b, split="train", group="p1") for a, b in ((2, 6), (5, 6.5), (6.8, 8))]
    found = load_dataset(clips, background=True)
    assert found[:3] == clips
    assert [(clip.start, clip.end) for clip in found[3:]] == [(0, 2), (8, 10)]
    assert all((clip.label, clip.split, clip.group, clip.path) == ("background", "train", "p1", path) for clip in found[3:])


def test_a_long_gap_is_cut_into_parts_no_longer_than_a_label(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", seconds=10)
    assert background_of([Clip(path=path, label="wave", start=0, end=3)]) == [
        (3, pytest.approx(5.333)),
        (pytest.approx(5.333), 7.667),
        (7.667, 10),
    ]


def test_a_video_labelled_as_a_whole_has_no_background(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_folder(tmp_path)
    assert load_dataset(data, background=True) == load_dataset(data)
    assert "--background: no unlabelled time; every video is labelled as a whole." in capsys.readouterr().err


def test_a_video_that_cannot_be_read_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = touch(tmp_path / "a.mp4")
    assert background_of([Clip(path=path, label="wave", start=2, end=5)]) == []
    assert "a.mp4: the file is empty; nothing is added" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(4, 7, [(0, 3)]), (50, 60, [(0, 3)]), (1, 9, [(0, 1)]), (0, 2.2, [(2.2, 3)]), (2.8, 9, [(0, 2.8)])],
)
def test_background_ends_with_its_video_whatever_its_labels_say(
    tmp_path: Path, start: float, end: float, expected: list[tuple[float, float]]
) -> None:
    path = film(tmp_path / "a.mp4", seconds=3)
    assert background_of([Clip(path=path, label="wave", start=start, end=end)]) == [pytest.approx(span) for span in expected]


def test_the_length_is_that_of_the_pictures_not_of_the_header(tmp_path: Path) -> None:
    """A film whose sound goes on for longer, in a container that has one length for all of it; and a stream without any times."""
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for _ in range(20):
            container.mux(pictures.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(pictures.encode())
        for _ in range(50):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            container.mux(sound.encode(frame))
    assert probe(path).duration == pytest.approx(5.0, abs=0.1)
    assert picture_span(path) == (0, pytest.approx(2.0, abs=0.01))
    assert background_of([Clip(path=path, label="wave", start=0, end=1)]) == [(1, pytest.approx(2.0, abs=0.01))]


@pytest.mark.parametrize("seed", range(30))
def test_labels_and_background_cover_a_video_once(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    length = rng.choice([3, 7])
    path = film(tmp_path / "a.mp4", seconds=length, fps=5)
    starts = [round(rng.uniform(0, length), 2) for _ in range(rng.randrange(1, 5))]
    clips = [Clip(path=path, label="wave", start=start, end=round(start + rng.uniform(0.1, 3), 2)) for start in starts]
    spans = background_of(clips)
    assert all(b - a <= max(clip.end - clip.start for clip in clips if clip.end) + 2e-3 for a, b in spans if b)
    for tick in range(length * 20):
        time = tick / 20
        labelled = any(clip.start <= time < (clip.end or 0) for clip in clips)
        times_covered = sum(a <= time < (b or 0) for a, b in spans)
        assert times_covered <= 1 - labelled
        if not labelled and not times_covered:  # the rest of a gap too short to count
            edges = [0.0, length, *(clip.start for clip in clips), *(clip.end or 0 for clip in clips)]
            assert min(e for e in edges if e >= time) - max(e for e in edges if e <= time) < SHORTEST


def test_index_and_its_manifest_carry_the_class(tmp_path: Path) -> None:
    data = make_elan(tmp_path)
    clips = gerund.index(data, background=True, val=0, out=tmp_path / "clips.csv")
    assert {clip.label for clip in clips} == {"winken é", "jump up", "background"}
    assert load_dataset(tmp_path / "clips.csv") == clips


def test_a_model_trained_with_background_knows_it_and_its_config_says_so(tmp_path: Path) -> None:
    options = {"backbone": "pixels:8", "num_frames": 2, "val": 0.0}
    run = gerund.train(make_elan(tmp_path / "data"), background=True, **options, out=tmp_path / "run").run
    assert gerund.Recognizer.load(run / "best").labels == ["background", "jump up", "winken é"]
    assert json.loads((run / "config.json").read_text())["background"] is True


def test_time_before_the_first_picture_is_no_background(tmp_path: Path) -> None:
    path = with_sound(tmp_path / "a.mp4", [grey(9 * index) for index in range(20)], late=2.0, seconds=6)
    spans = [(2, 2.5), (2.5, 3), (3.5, 4)]
    assert background_of([Clip(path=path, label="wave", start=3, end=3.5)]) == [
        (pytest.approx(a), pytest.approx(b)) for a, b in spans
    ]
