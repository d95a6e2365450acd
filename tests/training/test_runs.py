"""A training run can be trusted: stopped, killed, resumed, repeated, and read afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.cli import app as cli
from gerund.core import files
from gerund.core.errors import ModelError, TrainingError, UsageError
from gerund.learning import fit as fitting
from gerund.recognition.runs import find_checkpoint, make_run_folder
from gerund.training.solve import class_weights
from support.reading import read_csv, read_picture

pytestmark = pytest.mark.torch

DATA = Path(__file__).parent / "data"
OPTIONS = {
    "backbone": "pixels:8",
    "num_frames": 4,
    "head": "transformer",
    "epochs": 6,
    "head_options": {"width": 16, "dense_width": 16},
}


LIGHT = OPTIONS | {"head": "mean", "head_options": {}, "calibration": False}
"""For what does not depend on the head: the one that is learned and saved in the shortest time."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of ten clips: a dot that goes up, a dot that goes down."""
    folder = tmp_path_factory.mktemp("runs") / "clips"
    rng = np.random.default_rng(0)
    for label, direction in (("going up", -1), ("going down", 1)):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            pictures = []
            column = rng.integers(4, 24)
            for step in range(12):
                picture = np.full((32, 32, 3), 20 + rng.integers(10), np.uint8)
                row = 14 + direction * (step - 6)
                picture[row : row + 6, column : column + 6] = 230
                pictures.append(picture)
            video.write(folder / label / f"{number}.mp4", pictures, fps=8)
    return folder


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory):
    return gerund.train(clips, **OPTIONS, save_every=2, out=tmp_path_factory.mktemp("whole"))


def last_weights(run):
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def without_times(path):
    return [{key: value for key, value in row.items() if key != "time"} for row in read_csv(path)]


@pytest.mark.parametrize("checkpoint", [pytest.param("epochs/0002.ckpt", marks=pytest.mark.slow), "epochs/0004.ckpt"])
def test_resumed_from_any_checkpoint_equals_uninterrupted(whole, tmp_path, checkpoint):
    run = shutil.copytree(whole.run, tmp_path / "run")
    for later in ("last.ckpt", "metrics.json"):
        (run / later).unlink()
    resumed = gerund.train(resume=run / checkpoint)
    assert same(last_weights(resumed.run), last_weights(whole.run))
    assert same(gerund.Recognizer.load(resumed.run).head.state(), gerund.Recognizer.load(whole.run).head.state())
    assert without_times(resumed.run / "results.csv") == without_times(whole.run / "results.csv")
    assert resumed.metrics == whole.metrics


def test_a_checkpoint_of_before_the_loop_of_our_own_is_gone_on_with(clips, tmp_path):
    """0002.ckpt and last.ckpt were written by Lightning's Trainer, after two and four epochs of this very training."""
    options = {"backbone": "pixels:4", "num_frames": 2, "motion": False, "head": "mean", "epochs": 4}
    run = gerund.train(clips, **options, out=tmp_path / "run").run
    shutil.copy(DATA / "0002.ckpt", run / "last.ckpt")
    resumed = gerund.train(resume=run)
    expected = torch.load(DATA / "last.ckpt", map_location="cpu", weights_only=True)
    found = last_weights(run)
    assert found.keys() == expected["state_dict"].keys()
    for key, value in expected["state_dict"].items():
        torch.testing.assert_close(found[key], value, atol=1e-4, rtol=0)
    history = [vars(epoch) for epoch in resumed.history]
    assert history[:2] == expected["callbacks"]["Journal"]["history"][:2]
    for row, wanted in zip(history, expected["callbacks"]["Journal"]["history"], strict=True):
        assert row | {"time": 0} == pytest.approx(wanted | {"time": 0}, abs=1e-4)
    assert len(without_times(run / "results.csv")) == 4


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(clips, whole, tmp_path):
    run = tmp_path / "run"
    words = ["--backbone", "pixels:8", "--num-frames", "4", "--epochs", "6"]
    words += ["--head", "transformer", "--head.width", "16", "--head.dense-width", "16"]
    command = [
        sys.executable,
        "-c",
        "from gerund.cli.app import main; main()",
        "train",
        str(clips),
        *words,
        "--save-every",
        "2",
        "--out",
        str(run),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if line.startswith("epoch 3/"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    assert not (run / "metrics.json").exists()
    resumed = gerund.train(resume=run)
    assert same(last_weights(run), last_weights(whole.run))
    assert resumed.metrics == whole.metrics


@pytest.mark.parametrize("asked", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_the_best_and_says_how_to_go_on(clips, whole, tmp_path, monkeypatch, capsys, asked):
    def interrupt(folder, head, loop, journal):
        original(folder, head, loop, journal)
        if len(journal.history) == 3:
            os.kill(os.getpid(), asked)
            time.sleep(0)  # the handler runs here

    original = fitting.save_state
    monkeypatch.setattr(fitting, "save_state", interrupt)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        gerund.train(clips, **OPTIONS, save_every=2, out=run)
    assert f"the best model so far is {run / 'best'}; go on with: gerund train --resume {run}" in capsys.readouterr().err
    assert gerund.Recognizer.load(run).labels == ["going down", "going up"]
    monkeypatch.undo()
    assert same(last_weights(gerund.train(resume=run).run), last_weights(whole.run))


def test_resume_without_a_value_takes_the_newest_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no run to go on with"):
        find_checkpoint(Path("last"))
    for number, name in enumerate(("train", "train-2")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        path = tmp_path / "runs" / name / "last.ckpt"
        path.touch()
        os.utime(path, (1000 - number, 1000 - number))
    assert find_checkpoint(Path("last")) == Path("runs/train/last.ckpt")
    assert cli.modern(["train", "--resume"]) == ["train", "--resume", "last"]
    assert cli.modern(["train", "--resume", "--epochs", "3"]) == ["train", "--resume", "last", "--epochs", "3"]
    assert cli.modern(["train", "--resume", "x"]) == ["train", "--resume", "x"]


def test_flags_of_the_originals_are_understood():
    words = ["train", "d", "--num-epochs", "3", "--sequence-length=40", "--img-dim", "112", "--latent-dim", "512"]
    assert cli.modern(words) == ["train", "d", "--epochs", "3", "--num-frames=40", "--image-size", "112", "--head.latent", "512"]


def test_a_run_cannot_be_resumed_into_something_else(whole, tmp_path):
    for change in ({"out": tmp_path}, {"recipe": "default"}):
        with pytest.raises(UsageError, match="a resumed run keeps its own"):
            gerund.train(resume=whole.run, **change)
    with pytest.raises(UsageError, match="no checkpoint there"):
        gerund.train(resume=tmp_path)
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(UsageError, match=r"config\.json and clips\.csv of its run are missing"):
        gerund.train(resume=tmp_path)


def test_a_config_repeats_a_run(whole, tmp_path):
    again = gerund.train(config=whole.run / "config.json", out=tmp_path / "again")
    assert same(last_weights(again.run), last_weights(whole.run))


def test_the_time_budget_ends_training_after_an_epoch(clips, tmp_path, capsys):
    done = gerund.train(clips, **LIGHT | {"epochs": 500}, time="0s", out=tmp_path / "run")
    assert len(done.history) == 1
    assert "The time of 0 s is up" in capsys.readouterr().err


def test_patience_ends_training(clips, tmp_path):
    done = gerund.train(clips, **LIGHT | {"epochs": 300, "lr": 1e-9}, schedule="constant", patience=2, out=tmp_path / "run")
    best = min(done.history, key=lambda epoch: epoch.val_loss)
    assert len(done.history) == best.epoch + 2 < 300


def test_a_head_is_in_training_mode_in_every_epoch_whatever_mode_it_comes_in(clips, tmp_path, monkeypatch):
    def watched(self, head, *batch):
        modes.append(all(module.training for module in head.modules()))
        return original(self, head, *batch)

    modes = []
    original = fitting.Lesson.__call__
    monkeypatch.setattr(fitting.Lesson, "__call__", watched)
    gerund.train(clips, **LIGHT, out=tmp_path / "run")
    assert len(modes) >= 6
    assert all(modes)


def test_class_weights_make_rare_classes_heavier():
    targets = np.array([0, 0, 0, 1])
    for weights in (fitting.balanced_weights(torch.from_numpy(targets)).numpy(), class_weights(targets)):
        assert weights.tolist() == pytest.approx([2 / 3, 2])
        assert weights[targets].mean() == pytest.approx(1)


def test_a_run_folder_has_all_its_files(whole):
    names = {path.name for path in whole.run.iterdir()}
    assert names == {
        *("best", "epochs", "clips.csv", "config.json", "last.ckpt", "metrics.json", "results.csv", "predictions.csv"),
        *("history.png", "confusion_matrix.png", "confusion_matrix_normalized.png", "train_clips.jpg", "val_predictions.jpg"),
        "report.html",
    }
    header = (whole.run / "results.csv").read_text().splitlines()[0]
    assert header == "epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,train/accuracy_top1"
    for picture in whole.run.glob("*.png"):
        assert min(read_picture(picture).size) > 300


def test_the_report_of_a_run_names_its_data_and_its_command(whole, clips):
    page = (whole.run / "report.html").read_text(encoding="utf-8")
    assert f"gerund train {clips} --backbone pixels:8 --num-frames 4 --head transformer" in page
    assert f"Measured on {whole.metrics['test']['num_clips']} test clips" in page
    assert "data:image/jpeg" in page
    assert len(page) < 2_000_000


def test_a_report_over_no_clips_is_written_and_says_so(clips, tmp_path):
    rows = [f"{path},{path.parent.name},train" for path in sorted(clips.rglob("*.mp4"))]
    (tmp_path / "clips.csv").write_text("path,label,split\n" + "\n".join(rows), encoding="utf-8")
    done = gerund.train(tmp_path / "clips.csv", **LIGHT | {"epochs": 1, "calibration": True}, val=0.0, out=tmp_path / "run")
    assert set(done.metrics) == {"calibration"}
    assert "there is nothing to measure this model on" in (done.run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("span", "steps"), [({}, 4), ({"start": 0.5, "end": 0.7}, 2)])
def test_step_weights_of_a_clip_add_up_to_one_at_times_inside_it(whole, span, steps):
    recognizer = gerund.Recognizer.load(whole.run)
    clip = replace(whole.test.clips[0], **span)
    features = recognizer.extractor.extract([clip.path]).features[clip.path]
    seconds, weights = recognizer.step_weights(features, clip)
    assert len(seconds) == len(weights) == steps
    assert weights.sum() == pytest.approx(1)
    assert (np.diff(seconds) > 0).all()
    assert clip.start <= seconds[0] <= seconds[-1] <= (clip.end or 11 / 8)


def test_predictions_csv_agrees_with_the_metrics(whole):
    rows = read_csv(whole.run / "predictions.csv")
    for split in ("val", "test"):
        right = [row["label1"] == row["label"] for row in rows if row["split"] == split]
        assert len(right) == whole.metrics[split]["num_clips"]
        assert np.mean(right) == pytest.approx(whole.metrics[split]["top1"])
    assert all(float(row["score1"]) >= float(row["score2"]) for row in rows)


def test_training_state_holds_no_pickled_code(whole):
    state = torch.load(whole.run / "last.ckpt", map_location="cpu", weights_only=True)
    assert state["epoch"] == 5  # counted from 0


def test_a_loss_that_is_not_finite_ends_training_with_one_line(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting.Lesson, "loss", lambda self, logits, *_: logits.sum() * float("nan"))
    with pytest.raises(TrainingError, match="the loss is not finite in epoch 1; try a lower --lr"):
        gerund.train(clips, **OPTIONS, out=tmp_path / "run")


def test_a_full_disk_ends_training_with_one_line_and_keeps_what_was_there(clips, tmp_path, monkeypatch):
    def full(state, path):
        if state["epoch"] >= 2:
            raise OSError(28, "No space left on device")
        original(state, path)

    original = torch.save
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ModelError, match="cannot be written \\(No space left on device\\)"):
        gerund.train(clips, **OPTIONS, out=tmp_path / "run")
    assert gerund.Recognizer.load(tmp_path / "run").labels
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["epoch"] == 1  # counted from 0


def test_a_run_folder_removed_in_mid_training_is_one_clear_line(clips, tmp_path, monkeypatch):
    def remove(self, epoch):
        if epoch.epoch == 2:
            shutil.rmtree(tmp_path / "run")
            (tmp_path / "run").write_text("in the way")
        return original(self, epoch)

    original = fitting.Journal.enter
    monkeypatch.setattr(fitting.Journal, "enter", remove)
    with pytest.raises(ModelError, match=r"cannot be (written|saved)"):
        gerund.train(clips, **OPTIONS, out=tmp_path / "run")


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="exists and is not empty"):
        make_run_folder(tmp_path / "file")
    with pytest.raises(gerund.GerundError, match="the run folder cannot be made"):
        make_run_folder(tmp_path / "file" / "below")


def test_tensorboard_is_asked_for_by_name(clips, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install"):
        gerund.train(clips, **OPTIONS, loggers="tensorboard", out=tmp_path / "run")


@pytest.mark.parametrize("head", [pytest.param("bilstm", marks=pytest.mark.slow), "mean", "frame"])
def test_other_heads_train_on_mirrored_views_too(clips, head, tmp_path):
    done = gerund.train(clips, backbone="pixels:8", num_frames=4, epochs=3, head=head, views=2, out=tmp_path / "run")
    assert json.loads((done.run / "config.json").read_text())["views"] == 2
    assert len(gerund.Recognizer.load(done.run)(done.test.clips[0].path)) == 2


@pytest.mark.gpu
def test_a_model_trained_on_a_gpu_loads_on_a_cpu(clips, tmp_path):
    done = gerund.train(clips, **OPTIONS, out=tmp_path / "run")
    recognizer = gerund.Recognizer.load(done.run, device="cpu")
    assert recognizer.device == "cpu"
    assert recognizer.predict(done.test.clips[0]).label in recognizer.labels


def test_training_from_packed_features_gives_the_same_model_and_needs_no_cache(clips, tmp_path):
    options = {"backbone": "pixels:8", "num_frames": 4}
    plain = gerund.train(clips, **options, cache=tmp_path / "cache", out=tmp_path / "plain")
    gerund.pack(tmp_path / "cache", tmp_path / "shards")
    packed = gerund.train(clips, **options, cache=tmp_path / "empty", packed=tmp_path / "shards", out=tmp_path / "packed")
    assert packed.metrics == plain.metrics
    assert len({(run.model / "model.safetensors").read_bytes() for run in (plain, packed)}) == 1
    assert not list((tmp_path / "empty" / "features").rglob("*.safetensors")), "features were made again"


def failed_training(out, clips, **options):
    """A training that fails after its folder was made: the first loss is not finite."""
    with pytest.raises(TrainingError, match="not finite"):
        gerund.train(clips, **OPTIONS | {"epochs": 1, "lr": 1e30, **options}, out=out)


@pytest.fixture
def no_learning(monkeypatch):
    """Training ends before its first epoch, as it does for a loss that is not finite."""

    def fit(*_, **__):
        raise TrainingError("the loss is not finite in epoch 1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gerund.learning.fit.fit", fit)
        yield patch


def test_the_same_command_works_after_a_training_that_failed(clips, tmp_path, no_learning):
    run, words = tmp_path / "run", OPTIONS | {"head": "prototype", "head_options": {}}
    for _ in range(2):
        failed_training(run, clips)
        assert {path.name for path in run.iterdir()} == {"clips.csv", "config.json"}
    (run / "finetune").mkdir()
    (run / "results.csv").write_text("epoch\n")
    no_learning.undo()
    done = gerund.train(clips, **words, out=run)
    assert (done.run, (run / "best").is_dir(), (run / "finetune").exists()) == (run, True, False)
    with pytest.raises(UsageError, match="exists and is not empty"):
        gerund.train(clips, **words, out=run)


def test_the_same_command_works_after_one_of_several_trainings_failed(clips, tmp_path, no_learning):
    for _ in range(2):
        with pytest.raises(TrainingError):
            gerund.train_all(clips, seeds=2, **OPTIONS, out=tmp_path / "runs")
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["seed0"]


@pytest.mark.parametrize(
    "own", ["notes.txt", "best/model.safetensors", "finetune/last.ckpt", "my clips/a.mp4", "seed1/clips.csv", "clips.csv", "-"]
)
def test_a_folder_with_anything_else_in_it_is_never_taken(clips, tmp_path, no_learning, own):
    failed_training(tmp_path / "run", clips)
    if own == "-":
        (tmp_path / "run" / "config.json").write_text('{"mine": 1}')
    else:
        (tmp_path / "run" / own).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / own).write_text("mine")
        if own == "clips.csv":
            os.utime(tmp_path / "run" / own, ns=(2**62, 2**62))
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(UsageError, match="exists and is not empty"):
        gerund.train(clips, **OPTIONS, out=tmp_path / "run")
    assert sorted((tmp_path / "run").rglob("*")) == before


def test_a_folder_with_nothing_but_what_a_dead_process_left_is_free(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    out, name = tmp_path / "out", files.beside(tmp_path / "best", "x").name[:13]
    left = out / f"{name}.{files.HOST}-{dead.pid}-1"
    left.mkdir(parents=True)
    (left / "encoder.safetensors").write_text("half of it")
    assert make_run_folder(out) == out
    assert not list(out.iterdir())
    left.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is not empty"):
        make_run_folder(out)
    assert left.is_dir()
