"""Training from annotated videos: what is asked of unlabelled time, and what is told of timelines of videos that were held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core.errors import UsageError
from gerund.core.texts import read_json
from gerund.core.types import Clip
from gerund.training.videos import is_annotated
from support.command import run

OPTIONS = {"backbone": "pixels:8", "num_frames": 4}
FPS = 8
SPANS = ((0.0, 2.0, "still"), (2.0, 5.0, "going right"), (5.0, 7.0, "still"), (7.0, 8.5, "going right"))
"""Of each video; from 8.5 s to its end at 11 s nothing is labelled."""


def pictures(shift: int) -> list[np.ndarray]:
    """A square that stands and moves as SPANS say, and in the end a grey frame."""
    frames, place = [], 2 + shift
    for number in range(11 * FPS):
        seconds = number / FPS
        moving = any(start <= seconds < end for start, end, label in SPANS if label != "still")
        place = (place + moving) % 24
        frame = np.full((32, 32, 3), 20 if seconds < 8.5 else 120, np.uint8)
        frame[12:20, place : place + 8] = 230 if seconds < 8.5 else 120
        frames.append(frame)
    return frames


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotated")
    rows = ["path,label,start,end"]
    for number in range(5):
        video.write(folder / f"day{number}.mp4", iter(pictures(3 * number)), fps=FPS)
        rows += [f"day{number}.mp4,{label},{start},{end}" for start, end, label in SPANS]
    (folder / "spans.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "spans.csv"


@pytest.fixture(scope="module")
def left_out(spans: Path, tmp_path_factory: pytest.TempPathFactory) -> gerund.Training:
    return gerund.train(spans, leave_one_out="group", **OPTIONS, out=tmp_path_factory.mktemp("runs") / "run")


def test_videos_with_two_spans_are_annotated_and_clips_are_not() -> None:
    one = Clip(path=Path("a.mp4"), label="x", start=0, end=1)
    assert is_annotated([one, replace(one, start=1, end=2)])
    assert not is_annotated([one, replace(one, path=Path("b.mp4"))])
    assert not is_annotated([])


def test_background_is_asked_for_in_one_sentence(spans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gerund.train(spans, **OPTIONS, out=tmp_path / "run")
    said = capsys.readouterr().err
    assert said.count("--background") == 1
    assert "12 of 55 s of these videos have no label" in said
    gerund.train(spans, background=True, **OPTIONS, out=tmp_path / "with")
    assert "have no label" not in capsys.readouterr().err


def test_held_out_videos_are_reported_as_timelines(spans: Path, tmp_path: Path) -> None:
    code, out, _ = run("train", spans, "--backbone", "pixels:8", "--num-frames", 4, "--out", tmp_path / "run")
    assert code == 0
    assert "Timelines of 2 videos that the head has not seen:" in out
    assert f"Next: gerund timeline {tmp_path / 'run'} VIDEO" in out
    recorded = read_json(tmp_path / "run" / "metrics.json")
    told = recorded["timeline"]
    assert told["num_segments"] == 8
    assert {row["label"] for row in told["per_label"]} >= {"still", "going right"}
    alone = gerund.evaluate_timeline(tmp_path / "run", tmp_path / "run" / "clips.csv")
    assert alone.metrics["frame_accuracy"] == pytest.approx(told["frame_accuracy"])


def test_each_group_is_judged_without_it_and_all_are_trained_on(left_out: gerund.Training, spans: Path) -> None:
    assert left_out.test is not None
    assert left_out.films is not None
    assert len(left_out.test.clips) == left_out.metrics["test"]["num_clips"] == 20
    assert len(left_out.films.timelines) == 5
    assert {clip.split for clip in left_out.test.clips} == {"train"}
    assert left_out.metrics["timeline"]["num_segments"] == 20
    clips = gerund.load_dataset(spans)
    rest = [replace(clip, split="test" if clip.path.stem == "day3" else "train") for clip in clips]
    alone = gerund.train(rest, val=0, **OPTIONS, out=left_out.run.parent / "alone")
    assert alone.test is not None
    own = [index for index, clip in enumerate(left_out.test.clips) if clip.path.stem == "day3"]
    np.testing.assert_allclose(left_out.test.scores[own], alone.test.scores, atol=1e-6)


def test_numbers_of_a_model_come_with_how_far_off_they_were(left_out: gerund.Training, spans: Path) -> None:
    told = {row["label"]: row for row in left_out.metrics["timeline"]["off_by"]}
    assert left_out.films is not None
    for label, row in told.items():
        counts = [
            sum(each.label == label for each in found.segments) - sum(each.label == label for each in true)
            for found, true in zip(left_out.films.timelines, left_out.films.truth, strict=True)
        ]
        assert (row["videos"], row["count_error"], row["count_bias"]) == (5, np.abs(counts).mean(), np.mean(counts))
    assert told.keys() == {"still", "going right"}
    code, out, _ = run("stats", left_out.run, spans.parent / "day0.mp4")
    assert code == 0
    assert "how far off such numbers are, per video: on 5 held-out videos of the model's training run" in out
    code, out, _ = run("agree", left_out.run, spans)
    assert code == 0
    assert "5 videos" in out


def test_durations_are_those_of_each_label(left_out: gerund.Training) -> None:
    recognizer = gerund.Recognizer.load(left_out.run)
    assert recognizer.durations is not None
    mean = dict(zip(recognizer.labels, recognizer.durations.mean, strict=True))
    assert np.log(2.0) < mean["going right"], "3 and 1.5 s, shrunk towards what all last"
    assert abs(mean["still"] - np.log(2.0)) < 0.05
    saved = gerund.Recognizer.load(left_out.run).durations
    assert saved == recognizer.durations
    assert saved is not None
    assert len(saved.follow) == len(recognizer.labels)


@pytest.mark.torch
def test_a_head_that_is_trained_over_epochs_is_not_trained_for_each_group(spans: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--leave-one-out group: head transformer would be trained over epochs for each group"):
        gerund.train(spans, leave_one_out="group", head="transformer", **OPTIONS, out=tmp_path / "run")


def test_one_group_cannot_be_left_out(spans: Path, tmp_path: Path) -> None:
    clips = [replace(clip, group="one") for clip in gerund.load_dataset(spans)]
    with pytest.raises(UsageError, match="--leave-one-out group: there is one group only"):
        gerund.train(clips, leave_one_out="group", **OPTIONS, out=tmp_path / "run")
