"""The road from a folder of clips to a recogniser, on three tiny actions: a bar that moves right, moves left, or blinks."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core.errors import DataError, ModelError, TrainingError, UsageError
from gerund.data.manifest import group_of, of_split, read_manifest
from gerund.recognition.recognizer import Recognizer
from support.reading import read_csv

pytestmark = pytest.mark.torch

FRAMES = 24
SIDE = 48


def bar(action, rng):
    """Frames (N, H, W, 3) of a bright bar on a dark ground."""
    width, speed = rng.integers(8, 14), rng.uniform(0.9, 1.1)
    for step in range(FRAMES):
        place = {"move right": step * speed / FRAMES, "move left": 1 - step * speed / FRAMES, "blink": 0.5}[action]
        picture = rng.integers(0, 30, (SIDE, SIDE, 3), dtype=np.uint8)
        left = int(np.clip(place, 0, 1) * (SIDE - width))
        if action != "blink" or step % 6 < 3:
            picture[:, left : left + width] = 220
        yield picture


@pytest.fixture(scope="session")
def clips_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "été clips"
    rng = np.random.default_rng(0)
    for action in ("move right", "move left", "blink"):
        (folder / action).mkdir(parents=True)
        for number in range(12):
            video.write(folder / action / f"clip {number}.mp4", bar(action, rng), fps=12)
    return folder


SMALL = {
    "backbone": "pixels:12",
    "num_frames": 8,
    "head": "transformer",
    "epochs": 12,
    "head_options": {"width": 32, "dense_width": 32},
    "lr": 3e-3,
}


@pytest.fixture(scope="session")
def training(clips_folder, tmp_path_factory):
    return gerund.train(clips_folder, **SMALL, out=tmp_path_factory.mktemp("run"))


def test_three_easy_actions_are_learned(training):
    assert training.metrics["test"]["top1"] >= 0.9
    assert training.metrics["test"]["num_clips"] == len(training.test.clips) > 0


def test_the_run_folder_holds_what_was_used(training, clips_folder):
    clips = read_manifest(training.run / "clips.csv")
    assert len(clips) == 36
    sides = {clip.split for clip in clips}
    assert sides == {"train", "val", "test"}
    groups = [{group_of(clip) for clip in of_split(clips, side)} for side in sides]
    assert sum(len(each) for each in groups) == len(set().union(*groups))
    assert json.loads((training.run / "metrics.json").read_text()) == training.metrics
    config = json.loads((training.run / "config.json").read_text())
    assert (config["backbone"], config["epochs"], config["data"]) == ("pixels:12", 12, str(clips_folder))
    rows = read_csv(training.run / "results.csv")
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(training.history) + 1))
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])


def test_a_loaded_model_answers_as_it_was_evaluated(training):
    recognizer = gerund.Recognizer.load(training.run)
    predictions = recognizer.predict_clips(training.test.clips)
    expected = [training.test.labels[row.argmax()] for row in training.test.scores]
    assert [prediction.best_guess for prediction in predictions] == expected


def test_the_best_epoch_by_validation_loss_is_kept(training):
    best = min(training.history, key=lambda epoch: epoch.val_loss)
    assert training.metrics["val"]["top1"] == pytest.approx(best.top1)


def test_predictions_do_not_depend_on_batch_or_order(training):
    recognizer = gerund.Recognizer.load(training.run)
    clips = training.test.clips
    together = recognizer.predict_clips(clips)
    backwards = recognizer.predict_clips(clips[::-1])[::-1]
    alone = [recognizer.predict(clip) for clip in clips]
    assert [each.scores for each in together] == [each.scores for each in backwards] == [each.scores for each in alone]


def test_calling_a_recognizer_gives_the_hugging_face_shape(training):
    recognizer = gerund.Recognizer.load(training.model)
    path = training.test.clips[0].path
    answer = recognizer(path, top_k=2)
    assert [set(entry) for entry in answer] == [{"label", "score"}] * 2
    assert answer[0]["score"] >= answer[1]["score"]
    assert recognizer([str(path), path], top_k=2) == [answer, answer]
    assert sum(entry["score"] for entry in recognizer(path, top_k=None)) == pytest.approx(1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(clips_folder, training, tmp_path):
    again = gerund.train(clips_folder, **SMALL, out=tmp_path / "again")
    first, second = (gerund.Recognizer.load(each.run).head.state() for each in (training, again))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)


def test_labels_keep_their_order_when_folders_are_renamed_away(training, tmp_path):
    config = json.loads((training.model / "config.json").read_text())
    assert list(config["id2label"].values()) == ["blink", "move left", "move right"]
    assert gerund.Recognizer.load(training.model).labels == ["blink", "move left", "move right"]


@pytest.mark.slow
def test_the_backbone_is_bit_identical_after_training(clips_folder, tmp_path):
    from gerund.backbones import load_backbone

    before = load_backbone("test_vit", pretrained=False, image_size=None).weights_digest
    done = gerund.train(clips_folder, **SMALL | {"backbone": "test_vit", "epochs": 1}, pretrained=False, out=tmp_path / "run")
    recognizer = gerund.Recognizer.load(done.run)
    assert recognizer.backbone.weights_digest == before
    assert (done.model / "backbone.safetensors").is_file()


def test_without_bundle_the_backbone_stays_out(clips_folder, tmp_path):
    options = SMALL | {"backbone": "test_vit", "epochs": 1}
    done = gerund.train(clips_folder, **options, pretrained=False, bundle=False, out=tmp_path / "run")
    assert not (done.model / "backbone.safetensors").exists()
    assert gerund.Recognizer.load(done.run).backbone.origin.startswith("random")


def test_an_undecodable_clip_counts_as_wrong_and_is_listed(training, tmp_path):
    good = training.test.clips[0]
    broken = tmp_path / "not a video.mp4"
    broken.write_text("hello")
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"path,label\n{good.path},{good.label}\n{broken},{good.label}\n", encoding="utf-8")
    evaluation = gerund.evaluate(training.run, manifest)
    right = training.test.labels[training.test.scores[0].argmax()] == good.label
    assert evaluation.metrics["top1"] == right / 2
    assert evaluation.metrics["failed"] == [str(broken)]
    assert "not readable as video" in evaluation.failed[str(broken)]


def test_evaluate_without_data_uses_the_recorded_test_clips(training):
    assert gerund.evaluate(training.run).metrics == training.metrics["test"]
    assert gerund.evaluate(training.model).metrics == training.metrics["test"]


def test_a_label_the_model_does_not_know_is_named(training, tmp_path):
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"path,label\n{training.test.clips[0].path},jump\n", encoding="utf-8")
    with pytest.raises(DataError, match="does not know, first 'jump'"):
        gerund.evaluate(training.run, manifest)


def test_first_and_last_second_can_both_change_the_answer(training):
    recognizer = gerund.Recognizer.load(training.run)
    clip = training.test.clips[0]
    features = recognizer.extractor.extract([clip.path]).features[clip.path]
    rows = features.data[:]
    scores = []
    for part in (slice(0, 0), slice(0, 2), slice(-2, None)):
        changed = rows.copy()
        changed[part] = rows[len(rows) // 2 - 1] * 3
        scores.append(recognizer.segment_scores(gerund.Features(changed, features.pts), [clip])[0])
    assert not np.allclose(scores[0], scores[1], atol=1e-4)
    assert not np.allclose(scores[0], scores[2], atol=1e-4)


def test_clips_shorter_and_longer_than_the_steps_are_answered(training, tmp_path):
    rng = np.random.default_rng(5)
    recognizer = gerund.Recognizer.load(training.run)
    for count in (1, 2, 3, 200):
        path = tmp_path / f"{count}.mp4"
        frames = (rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count))
        video.write(path, frames, fps=12)
        assert sum(score for _, score in recognizer.predict(path).scores) == pytest.approx(1)


def damage(model, name):
    data = bytearray((model / name).read_bytes())
    data[-20] ^= 1
    (model / name).unlink()  # a hard link: other models keep their bytes
    (model / name).write_bytes(data)


def test_a_damaged_or_foreign_model_folder_is_refused(training, tmp_path):
    def copy(name):
        return shutil.copytree(training.model, tmp_path / name)

    damaged = copy("damaged")
    damage(damaged, "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged"):
        Recognizer.load(damaged)
    future = copy("future")
    config = json.loads((future / "config.json").read_text()) | {"format_version": 99}
    (future / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="format version 99, but this gerund reads versions 1 and 2; update gerund"):
        Recognizer.load(future)
    lacking = copy("lacking")
    config = json.loads((lacking / "config.json").read_text())
    del config["head"]
    (lacking / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config\.json: head is missing"):
        Recognizer.load(lacking)
    with pytest.raises(ModelError, match="no such model folder"):
        Recognizer.load(tmp_path / "nothing")
    with pytest.raises(ModelError, match="not a model folder"):
        Recognizer.load(tmp_path)


def test_nan_features_end_training_with_one_line(clips_folder, tmp_path, monkeypatch):
    from gerund.recognition import token_set as module

    def poisoned(features, clip, sampling, *, jitter=None):
        data, valid = original(features, clip, sampling, jitter=jitter)
        return data * np.nan, valid

    original = module.tokens
    monkeypatch.setattr(module, "tokens", poisoned)
    with pytest.raises(TrainingError, match="not finite"):
        gerund.train(clips_folder, **SMALL, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "nope"}, "unknown recipe 'nope'; choose one of"),
        ({"head": "nope"}, "unknown head 'nope'"),
        ({"backbone": "nope_net"}, "unknown backbone 'nope_net'"),
        ({"epochs": 0}, "--epochs 0: at least 1"),
        ({"lr": 0.0}, "--lr 0: the learning rate must be above 0"),
        ({"val": 1.5}, "--val 1.5"),
        ({"fps": -1.0}, "fps is -1"),
        ({"split": 2}, "--split 2: folder data has no numbered splits"),
    ],
)
def test_a_wrong_option_is_named(clips_folder, tmp_path, change, words):
    with pytest.raises(UsageError, match=words):
        gerund.train(clips_folder, **SMALL | change, out=tmp_path / "run")


def test_an_existing_run_is_never_overwritten(clips_folder, training):
    with pytest.raises(UsageError, match="exists and is not empty"):
        gerund.train(clips_folder, **SMALL, out=training.run)


def test_runs_are_numbered(tmp_path, monkeypatch):
    from pathlib import Path

    from gerund.recognition.runs import make_run_folder

    monkeypatch.chdir(tmp_path)
    assert [make_run_folder(None) for _ in range(3)] == [Path("runs/train"), Path("runs/train-2"), Path("runs/train-3")]


def test_predict_loads_neither_lightning_nor_matplotlib(training):
    code = (
        "import sys, gerund\n"
        f"print(next(iter(gerund.predict({str(training.run)!r}, {str(training.test.clips[0].path)!r}))).label)\n"
        "print([name for name in ('lightning_fabric', 'matplotlib', 'torchmetrics') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
