"""Probabilities that mean what they say, and clips that look like nothing trained on."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.core.errors import ModelError, UsageError
from gerund.core.types import Clip
from gerund.recognition.calibration import (
    Familiarity,
    fit_temperature,
    golden_section,
    log_shares,
    mean_tokens,
    moments,
    without_temperature,
)
from gerund.recognition.metrics import auroc, expected_calibration_error
from gerund.training import calibrate as crossfitting
from support.command import one_line, run
from support.reading import read_csv

pytestmark = pytest.mark.torch

CLASSES, STEPS, DIM = 4, 6, 40


def honest_answers(count, rng, spread=2.0):
    """Logits (count, 5), and targets drawn from just the probabilities that these logits claim."""
    logits = rng.normal(0, spread, (count, 5))
    targets = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, targets


def softmax(logits):
    return torch.from_numpy(logits).softmax(1).numpy()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature):
    logits, targets = honest_answers(20_000, np.random.default_rng(0))
    assert fit_temperature(logits * temperature, targets) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_is_the_likeliest_one_by_brute_force():
    logits, targets = honest_answers(300, np.random.default_rng(1))
    grid = np.exp(np.linspace(-2, 2, 4001))
    costs = [
        float(torch.nn.functional.cross_entropy(torch.from_numpy(3 * logits / each), torch.from_numpy(targets), reduction="sum"))
        + 2 * np.log(each) ** 2
        for each in grid
    ]
    assert fit_temperature(3 * logits, targets) == pytest.approx(grid[int(np.argmin(costs))], rel=2e-3)


def test_overconfident_and_timid_probabilities_become_honest():
    logits, targets = honest_answers(5000, np.random.default_rng(2))
    for factor in (4.0, 0.3):
        before = expected_calibration_error(softmax(factor * logits), targets)
        after = expected_calibration_error(softmax(factor * logits / fit_temperature(factor * logits, targets)), targets)
        assert before > 0.1
        assert after < 0.03


def test_few_clips_that_are_all_right_do_not_make_the_head_certain():
    logits = np.eye(5)[[0, 1, 2, 3, 4]] * 3.0
    temperature = fit_temperature(logits, np.arange(5))
    assert 0.3 < temperature < 1
    assert fit_temperature(np.tile(logits, (50, 1)), np.tile(np.arange(5), 50)) < temperature


def test_clips_without_an_answer_and_no_clips_at_all_are_no_trouble():
    logits, targets = honest_answers(500, np.random.default_rng(3))
    holed = np.concatenate([2 * logits, np.full((20, 5), np.nan)])
    assert fit_temperature(holed, np.concatenate([targets, np.zeros(20, int)])) == fit_temperature(2 * logits, targets)
    assert fit_temperature(np.empty((0, 5)), np.empty(0, int)) == 1.0
    assert fit_temperature(np.zeros((10, 1)), np.zeros(10, int)) == pytest.approx(1.0, abs=1e-3)  # one class


def test_always_wrong_and_huge_logits_give_a_temperature_within_bounds():
    assert 1 < fit_temperature(np.tile([1e4, 0.0], (100, 1)), np.ones(100, int)) <= 20.0
    assert 0.05 <= fit_temperature(np.tile([1e-4, 0.0], (100, 1)), np.zeros(100, int)) < 1


def test_the_lowest_point_of_a_valley_is_found():
    assert golden_section(lambda x: (x - 0.7) ** 2, -3, 3) == pytest.approx(0.7, abs=1e-6)


def test_taking_the_temperature_out_again_gives_the_heads_own_probabilities():
    logits, _ = honest_answers(50, np.random.default_rng(4))
    assert without_temperature(softmax(logits / 0.6), 0.6) == pytest.approx(softmax(logits))


def clusters(count, rng, away=0.0):
    """Tokens (count, T, D) of CLASSES clusters, padded in part, and their classes; `away` moves all of them off in a new direction."""
    centres = np.random.default_rng(0).normal(0, 1.0, (CLASSES, DIM))
    targets = rng.integers(CLASSES, size=count)
    data = centres[targets][:, None] * (away == 0) + rng.normal(0, 1.0, (count, 1, DIM)) + rng.normal(0, 0.3, (count, STEPS, DIM))
    data[..., -5:] += away
    valid = np.arange(STEPS) < rng.integers(2, STEPS + 1, (count, 1))
    data[~valid] = np.nan
    return data.astype(np.float16), valid, targets


def silent(tokens):
    """Logits of a head that says nothing of clips."""
    return np.zeros((len(tokens), CLASSES))


def test_a_cluster_far_away_is_unfamiliar():
    rng = np.random.default_rng(5)
    familiarity = Familiarity.fit(*clusters(120, rng))
    familiarity = familiarity.compared(familiarity.score(*clusters(199, rng)[:2]), np.zeros(199))
    known, strange = clusters(300, rng)[:2], clusters(300, rng, away=1.0)[:2]
    assert auroc(familiarity.score(*known), familiarity.score(*strange)) > 0.95
    assert (familiarity.known(*known, silent(known[0])) < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert (familiarity.known(*strange, silent(strange[0])) < 0.05).mean() > 0.6
    assert familiarity.known(*known, silent(known[0])).max() <= 1
    assert familiarity.known(*strange, silent(strange[0])).min() >= 1 / 200


def test_the_share_of_known_clips_is_counted_by_hand():
    familiarity = Familiarity.fit(*clusters(60, np.random.default_rng(6)))
    data, valid, _ = clusters(5, np.random.default_rng(7))
    scores = familiarity.score(data, valid).astype(np.float32)
    familiarity = replace(familiarity, reference=scores)  # a model of before, which has distances alone
    expected = [(1 + sum(other <= score for other in scores)) / 6 for score in scores]
    assert familiarity.known(data, valid, silent(data)).tolist() == expected


def test_what_the_head_says_counts_beside_the_distance():
    """Clips in the right place of which the head is as unsure as of no clip that was held out, as where the order is another."""
    rng = np.random.default_rng(12)
    familiarity = Familiarity.fit(*clusters(120, rng))
    familiarity = replace(
        familiarity.compared(familiarity.score(*clusters(199, rng)[:2]), rng.normal(0.8, 0.1, 199)), unit=np.float32([10])
    )
    data, valid, _ = clusters(300, rng)
    sure, unsure = (10 * np.tile([best, 0.1, 0.0], (300, 1)) for best in (0.8, 0.2))
    assert (familiarity.known(data, valid, sure) < 0.05).mean() < 0.1
    assert (familiarity.known(data, valid, unsure) < 0.05).mean() > 0.9


def test_shares_are_counted_by_hand_and_go_on_falling_below_the_lowest():
    reference = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = np.exp(log_shares(np.array([6.0, 3.0, 2.5, 1.0]), reference))
    assert found == pytest.approx([1, 4 / 6, 3 / 6, 2 / 6])
    below = log_shares(np.array([0.9, -1.0, -3.0]), reference)
    assert below == pytest.approx(np.log(1 / 6) - np.array([0.1, 2.0, 4.0]) / 2)  # the interquartile range is 2


def test_a_folder_holds_both_sides_or_distances_alone():
    rng = np.random.default_rng(13)
    old = Familiarity.fit(*clusters(20, rng))
    both = replace(old.compared(rng.normal(size=7), rng.normal(size=7)), unit=np.float32([3]))
    assert "said" not in old.tensors()
    again = Familiarity.of_tensors(both.tensors())
    data, valid, _ = clusters(5, rng)
    logits = rng.normal(size=(5, CLASSES))
    assert again.known(data, valid, logits).tolist() == both.known(data, valid, logits).tolist()
    for change in ({"said": both.said[1:]}, {"unit": np.zeros(1, np.float32)}):
        with pytest.raises(ModelError, match="not for tokens of"):
            Familiarity.of_tensors(both.tensors() | change)
    without = {name: value for name, value in both.tensors().items() if name != "unit"}
    with pytest.raises(ModelError, match="'unit' is missing"):
        Familiarity.of_tensors(without)


def test_the_distance_is_the_mahalanobis_distance_of_the_shrunk_covariance():
    data, valid, targets = clusters(30, np.random.default_rng(8))
    familiarity = Familiarity.fit(data, valid, targets)
    x = (mean_tokens(data, valid) - familiarity.mean) / familiarity.std
    deviations = x - x.mean(axis=0)
    covariance = deviations.T @ deviations / 30
    shrunk = covariance + 30 * np.trace(covariance) / 30 * np.eye(DIM)
    expected = np.einsum("nd,de,ne->n", deviations, np.linalg.inv(shrunk), deviations)
    assert familiarity.anything.distance(x) == pytest.approx(expected, rel=1e-3)


def test_moments_are_those_of_all_valid_tokens():
    data, valid, _ = clusters(20, np.random.default_rng(9))
    mean, std = moments(data, valid)
    assert mean == pytest.approx(data[valid].astype(float).mean(axis=0), abs=1e-6)
    assert std == pytest.approx(data[valid].astype(float).std(axis=0), rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_one_clip_per_class_still_gives_a_finite_score(count):
    data, valid, _ = clusters(count, np.random.default_rng(10))
    assert np.isfinite(Familiarity.fit(data, valid, np.arange(count)).score(data, valid)).all()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of 16 clips: a bright square that goes left, and one that goes right."""
    folder = tmp_path_factory.mktemp("calibration") / "clips"
    rng = np.random.default_rng(0)
    for label, direction in (("going left", -1), ("going right", 1)):
        (folder / label).mkdir(parents=True)
        for number in range(16):
            pictures = []
            row = rng.integers(11, 15)
            for step in range(8):
                picture = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
                column = 14 + 2 * direction * (step - 4)
                picture[row : row + 6, column : column + 6] = 230
                pictures.append(picture)
            video.write(folder / label / f"{number}.mp4", pictures, fps=8)
    return folder


OPTIONS = {
    "backbone": "pixels:8",
    "num_frames": 4,
    "head": "mean",
    "epochs": 6,
}


@pytest.fixture(scope="module")
def training(clips, tmp_path_factory):
    return gerund.train(clips, **OPTIONS, out=tmp_path_factory.mktemp("run"))


@pytest.fixture
def noise(tmp_path):
    """A clip that looks like no class."""
    rng = np.random.default_rng(1)
    path = tmp_path / "noise é.mp4"
    video.write(path, [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(8)], fps=8)
    return path


def test_training_says_how_far_the_probabilities_were_off(training, clips, tmp_path, capsys):
    found = training.metrics["calibration"]
    recognizer = gerund.Recognizer.load(training.run)
    assert json.loads((training.run / "metrics.json").read_text())["calibration"] == found
    assert found["temperature"] == recognizer.temperature != 1.0
    assert found["num_held_out"] == len(recognizer.familiarity.reference) == 32 - training.metrics["test"]["num_clips"]
    scores, targets = training.test.scores, training.test.targets
    assert found["test"]["ece"] == pytest.approx(expected_calibration_error(scores, targets))
    extraction = recognizer.extractor.extract(clip.path for clip in training.test.clips)
    own, _ = replace(recognizer, temperature=1.0).scores(extraction, training.test.clips)
    assert found["test"]["ece_uncalibrated"] == pytest.approx(expected_calibration_error(own, targets))
    assert (own.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert not np.allclose(own, scores)
    gerund.train(clips, **OPTIONS | {"epochs": 1}, out=tmp_path / "run")
    assert "Calibration: temperature" in capsys.readouterr().err


def test_test_clips_teach_nothing(training, clips, tmp_path):
    rows = read_csv(training.run / "clips.csv")
    with (tmp_path / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["split"] != "test")
    again = gerund.train(tmp_path / "clips.csv", **OPTIONS, out=tmp_path / "run")
    assert again.metrics["calibration"]["temperature"] == training.metrics["calibration"]["temperature"]


def test_enough_validation_clips_are_judged_by_the_model_itself(training, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(crossfitting, "ENOUGH", 1)
    monkeypatch.setattr(crossfitting, "judged_by_folds", None)
    done = gerund.train(clips, **OPTIONS, out=tmp_path / "run")
    assert done.metrics["calibration"]["num_held_out"] == done.metrics["val"]["num_clips"]
    recognizer, expected = gerund.Recognizer.load(done.run), gerund.Recognizer.load(training.run)
    assert all(np.array_equal(value, expected.head.state()[key]) for key, value in recognizer.head.state().items())


def test_a_time_budget_is_not_spent_on_folds(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(crossfitting, "judged_by_folds", None)
    done = gerund.train(clips, **OPTIONS, time="60s", out=tmp_path / "run")
    assert done.metrics["calibration"]["num_held_out"] == done.metrics["val"]["num_clips"]


def test_without_time_and_without_validation_clips_nothing_is_calibrated(clips, tmp_path):
    done = gerund.train(clips, **OPTIONS, val=0.0, time="60s", out=tmp_path / "run")
    assert done.metrics["calibration"] == {"temperature": 1.0, "num_held_out": 0, "test": done.metrics["calibration"]["test"]}


def test_a_class_that_a_fold_has_nothing_of_is_judged_by_the_others_only(clips, tmp_path):
    rows = [f"{path},{path.parent.name}," for path in sorted(clips.rglob("*.mp4"))]
    for number in range(3):
        rows += [f"{shutil.copy(clips / 'going left' / f'{number}.mp4', tmp_path)},still,one group"]
    lines = [f"{row},train" for row in rows] + [f"{clips / 'going left' / '0.mp4'},going left,other,test"]
    (tmp_path / "clips.csv").write_text("path,label,group,split\n" + "\n".join(lines), encoding="utf-8")
    options = OPTIONS | {"epochs": 2, "val": 0.0, "class_weights": True, "allow_leak": True}
    done = gerund.train(tmp_path / "clips.csv", **options, out=tmp_path / "run")
    assert done.metrics["calibration"]["num_held_out"] == 32
    assert np.isfinite(done.metrics["calibration"]["temperature"])


def test_without_other_groups_there_is_nothing_to_calibrate_on(training, clips, tmp_path, capsys):
    label, other = sorted(clips.iterdir())
    lines = [f"{label / '0.mp4'},{label.name},train,a", f"{other / '0.mp4'},{other.name},train,b"]
    lines += [f"{label / '1.mp4'},{label.name},test,c"]
    (tmp_path / "clips.csv").write_text("path,label,split,group\n" + "\n".join(lines), encoding="utf-8")
    done = gerund.train(tmp_path / "clips.csv", **OPTIONS, val=0.0, out=tmp_path / "run")
    recognizer = gerund.Recognizer.load(done.run)
    assert (recognizer.temperature, recognizer.familiarity) == (1.0, None)
    assert "No calibration: there are no held-out clips" in capsys.readouterr().err
    assert recognizer.predict(label / "2.mp4").known is None
    with pytest.raises(UsageError, match=r"--unknown-threshold 0\.1: .* cannot tell what is unknown; train it again"):
        gerund.predict(done.run, [label / "2.mp4"], unknown_threshold=0.1)


@pytest.mark.parametrize("head", ["transformer", *(pytest.param(each, marks=pytest.mark.slow) for each in ("bilstm", "frame"))])
def test_every_head_is_calibrated(clips, head, tmp_path):
    done = gerund.train(clips, backbone="pixels:8", num_frames=4, epochs=2, head=head, views=2, out=tmp_path / "run")
    assert gerund.Recognizer.load(done.run).temperature == done.metrics["calibration"]["temperature"] != 1.0


def test_a_strange_clip_is_unknown_with_the_best_guess_beside_it(training, clips, noise):
    recognizer = gerund.Recognizer.load(training.run)
    known, strange = recognizer.predict_clips([Clip(path=clips / "going left" / "0.mp4"), Clip(path=noise)])
    assert (known.label, known.unknown) == (known.best_guess, False)
    assert (strange.label, strange.unknown) == ("unknown", True)
    assert strange.best_guess in recognizer.labels
    assert strange.known < 0.05 < known.known <= 1
    assert {entry["label"] for entry in recognizer(noise, top_k=None)} == set(recognizer.labels)
    assert recognizer.predict(noise).known == strange.known


def test_a_broken_clip_is_an_error_and_not_unknown(training, tmp_path):
    (tmp_path / "broken.mp4").write_text("text")
    prediction = gerund.Recognizer.load(training.run).predict(tmp_path / "broken.mp4")
    assert (prediction.label, prediction.known, prediction.unknown, prediction.scores) == (None, None, False, [])
    assert "not readable as video" in prediction.error


def test_the_command_line_shows_unknown(training, noise):
    code, out, _ = run("predict", training.run, noise)
    assert code == 0
    assert out.strip().startswith(f"{noise}  unknown; most like going ")
    assert "%" not in out, "unknown, or a percentage, never both"
    code, out, _ = run("predict", training.run, noise, "--json")
    values = json.loads(out)
    assert (values["label"], values["unknown"]) == ("unknown", True)
    assert values["best_guess"] == values["scores"][0]["label"]
    code, out, _ = run("predict", training.run, noise, "--csv", "--top-k", 1)
    row = next(csv.DictReader(io.StringIO(out)))
    assert (row["unknown"], row["label"], row["score"]) == ("True", "unknown", "")
    assert float(row["known"]) == pytest.approx(values["known"], abs=1e-6)


def test_the_threshold_decides(training, clips, noise):
    code, out, _ = run("predict", training.run, noise, "--unknown-threshold", 0)
    assert code == 0
    assert "unknown" not in out
    code, out, _ = run("predict", training.run, clips / "going left", "--unknown-threshold", 1, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["unknown"] for answer in answers] == [answer["known"] < 1 for answer in answers]
    assert any(answer["unknown"] for answer in answers)


@pytest.mark.parametrize("threshold", ["-0.1", "1.5", "nan"])
def test_a_threshold_that_is_no_share_is_wrong_usage(training, noise, threshold):
    code, _, err = run("predict", training.run, noise, f"--unknown-threshold={threshold}")
    assert code == 2
    words = "nan is not a finite number" if threshold == "nan" else f"{threshold}: a share of known clips lies between 0 and 1"
    assert "--unknown-threshold" in one_line(err)
    assert words in one_line(err)


def test_a_video_of_an_unknown_clip_says_so(training, noise, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("gerund.video.annotate.annotate", lambda clip, scores, out: drawn.append(scores))
    (prediction,) = gerund.predict(training.run, [noise], save_video=tmp_path / "out.mp4")
    assert [label for label, _ in drawn[0]] == [f"unknown ({prediction.best_guess}?)"]
    assert np.isnan(drawn[0][0][1]), "no percentage beside it"


def test_a_folder_of_clips_becomes_a_folder_of_videos(training, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr("gerund.video.annotate.annotate", lambda clip, scores, out: drawn.update({out: (clip, scores)}))
    source = training.test.clips[0].path
    (tmp_path / "clips.csv").write_text(f"path,start,end\n{source},,\n{source},0,0.5\n", encoding="utf-8")
    found = list(gerund.predict(training.run, [source, tmp_path / "clips.csv"], save_video=str(tmp_path / "drawn"), top_k=2))
    name = source.stem
    assert [out.name for out in drawn] == [f"{name}.mp4", f"{name}-2.mp4", f"{name}_0-0.5.mp4"]
    assert [clip.end for clip, _ in drawn.values()] == [None, None, 0.5]
    assert all(
        len(scores) == 1 if each.unknown else len(scores) == 2 for each, (_, scores) in zip(found, drawn.values(), strict=True)
    )


@pytest.mark.parametrize("flag", ["--save-video", "--explain"])
def test_nothing_is_drawn_over_what_is_looked_at(training, tmp_path, flag):
    suffix = ".mp4" if flag == "--save-video" else ".png"
    source = tmp_path / f"a{suffix}"
    shutil.copy(training.test.clips[0].path, source)
    for target in (source, tmp_path):
        code, _, err = run("predict", training.run, source, flag, target)
        assert code == 2, err
        assert f"{flag} {source}: is the video itself" in one_line(err)
    assert source.read_bytes() == training.test.clips[0].path.read_bytes()


def changed_config(model, target, change):
    """A copy of a model folder with another config.json."""
    shutil.copytree(model, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    change(config)
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return target


def test_a_model_saved_before_there_was_calibration_still_loads(training, noise, tmp_path):
    def forget(config):
        del config["temperature"], config["unknown_sha256"]

    old = gerund.Recognizer.load(changed_config(training.model, tmp_path / "old", forget))
    assert (old.temperature, old.familiarity) == (1.0, None)
    prediction = old.predict(noise)
    assert prediction.label == prediction.best_guess
    assert prediction.known is None
    old.save(tmp_path / "again")
    assert not (tmp_path / "again" / "unknown.safetensors").exists()


def test_a_saved_model_answers_as_before(training, clips, noise, tmp_path):
    first = gerund.Recognizer.load(training.run)
    first.save(tmp_path / "copy")
    second = gerund.Recognizer.load(tmp_path / "copy")
    assert first.predict(noise) == second.predict(noise)


@pytest.mark.parametrize("value", [0, -1, "warm", None, float("nan"), float("inf")])
def test_a_temperature_that_cannot_be_is_refused(training, tmp_path, value):
    model = changed_config(training.model, tmp_path / "model", lambda config: config.update(temperature=value))
    with pytest.raises(ModelError, match=r"config\.json: temperature is .*, but must be a number above 0"):
        gerund.Recognizer.load(model)


def test_damaged_knowledge_of_the_unknown_is_refused(training, tmp_path):
    model = shutil.copytree(training.model, tmp_path / "model")
    data = bytearray((model / "unknown.safetensors").read_bytes())
    data[-3] ^= 1
    (model / "unknown.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"unknown\.safetensors: damaged"):
        gerund.Recognizer.load(model)
    (model / "unknown.safetensors").unlink()
    with pytest.raises(ModelError, match=r"unknown\.safetensors: missing"):
        gerund.Recognizer.load(model)


def test_values_that_are_not_finite_are_refused():
    tensors = Familiarity.fit(*clusters(20, np.random.default_rng(11))).tensors()
    tensors["mean"] = np.full_like(tensors["mean"], np.nan)
    with pytest.raises(ModelError, match="not finite"):
        Familiarity.of_tensors(tensors)
