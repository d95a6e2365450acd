"""What a trained recogniser learns about itself: a temperature is taken only where it helps, and all of it can be left out."""

import json

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.recognition.calibration import fit_temperature
from gerund.training.calibrate import helpful, log_loss


def test_a_temperature_is_taken_where_clips_it_was_not_fitted_on_become_likelier(capsys):
    rng = np.random.default_rng(0)
    targets = rng.integers(3, size=400)
    logits = 4 * (np.eye(3)[targets] + rng.normal(0, 1, (400, 3)))
    fitted = fit_temperature(logits[:200], targets[:200])
    assert helpful(fitted, logits[200:], targets[200:]) == fitted > 1
    assert "less likely" not in capsys.readouterr().err
    assert helpful(0.1, logits[200:], targets[200:]) == 1.0
    assert "A temperature of 0.10 makes the validation clips less likely" in capsys.readouterr().err


def test_log_loss_is_that_of_the_truth_and_clips_without_an_answer_do_not_count():
    logits = np.log([[0.5, 0.5], [0.9, 0.1], [np.nan, 0.2]])
    assert log_loss(logits, np.array([0, 1, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 180)):
        (folder / label).mkdir()
        for number in range(12):
            frames = np.clip(rng.normal(level, 60, (8, 32, 32, 3)), 0, 255).astype(np.uint8)
            video.write(folder / label / f"{number}.mp4", frames, fps=8)
    return folder


def trained(clips, folder, **options):
    done = gerund.train(clips, backbone="pixels:8", num_frames=4, out=folder / "run", **options)
    return json.loads((done.run / "metrics.json").read_text())["calibration"], gerund.Recognizer.load(done.run)


def test_calibration_can_be_left_out(clips, tmp_path, capsys):
    found, recognizer = trained(clips, tmp_path, calibration=False)
    assert (found["temperature"], found["num_held_out"]) == (1.0, 0)
    assert (recognizer.temperature, recognizer.familiarity) == (1.0, None)
    assert "no clip is called unknown" in capsys.readouterr().err


@pytest.mark.torch
def test_a_learned_head_steps_back_from_a_temperature_that_harms(clips, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gerund.training.calibrate.fit_temperature", lambda *_: 0.05)
    small = {"head": "transformer", "head_options": {"width": 8, "dense_width": 8}, "epochs": 2}
    found, _ = trained(clips, tmp_path, **small)
    assert found["temperature"] == 1.0
    assert "it is left at 1" in capsys.readouterr().err
