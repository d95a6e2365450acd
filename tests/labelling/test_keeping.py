"""The model of a project is an ordinary model folder, and what training makes of its labels.csv is the same one."""

from __future__ import annotations

import numpy as np

import gerund
from gerund.recognition.recognizer import Recognizer
from support.studios import label_films, learned, named, truth


def test_the_saved_model_answers_like_any_other(desk, folder, tmp_path):
    assert desk.keep_model() is None
    label_films(desk, {"one": 3})
    learned(desk)
    saved = desk.keep_model()
    assert saved == folder / "model"
    recognizer = Recognizer.load(saved, cache=tmp_path / "cache")
    assert recognizer.labels == ["left", "middle", "right"]
    assert recognizer.clip_seconds == 3.0
    clips = [gerund.Clip(path=folder / "two.mp4", start=start, end=end) for _, start, end in truth("two")]
    assert [each.best_guess for each in recognizer.predict_clips(clips)] == [label for label, _, _ in truth("two")]


def test_it_is_what_the_readout_says_of_the_very_bouts(desk, folder):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    learned(desk)
    recognizer = Recognizer.load(desk.keep_model())
    clips = [
        gerund.Clip(path=folder / f"{film}.mp4", start=start, end=end) for film in ("one", "two") for _, start, end in truth(film)
    ]
    saved = [each.best_guess for each in recognizer.predict_clips(clips)]
    readout = desk.learner.readout
    live = (readout.lesson.statistics @ readout.weight.T + readout.bias).argmax(1)
    assert [readout.lesson.labels[place] for place in live[: len(saved)]] == saved


def test_training_and_other_commands_take_the_csv_as_it_is(desk, folder, tmp_path):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    desk.project.write_csv()
    clips = gerund.load_dataset(folder / "labels.csv")
    assert len(clips) == 17
    assert {clip.label for clip in clips} == {"left", "middle", "right"}
    lengths = np.array([clip.end - clip.start for clip in clips])
    np.testing.assert_allclose(lengths, 3.0)
    assert named(desk, "one")
