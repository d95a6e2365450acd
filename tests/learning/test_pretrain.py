"""Pretraining hides steps, learns without labels, and training starts from what was learned or says why it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gerund
from gerund import video
from gerund.cli import app as cli
from gerund.cli.show import SOME_FAILED
from gerund.core.errors import DataError, GerundError, ModelError, TrainingError, UsageError
from gerund.core.types import Clip, Features
from gerund.features.extractor import Extraction
from gerund.heads.learned.transformer import TransformerHead
from gerund.learning import masked
from gerund.learning import pretrain as pretraining
from support.reading import read_csv

pytestmark = pytest.mark.torch

SMALL = {"backbone": "pixels:8", "num_frames": 6, "head_options": {"width": 16, "dense_width": 16}}
TRAIN = SMALL | {"calibration": False}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two classes of six clips: a bar that wanders to the right, and one that wanders down."""
    folder = tmp_path_factory.mktemp("pretraining") / "my clips é"
    rng = np.random.default_rng(0)
    for label in ("right", "down"):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            start = rng.integers(12)
            pictures = []
            for step in range(12):
                picture = np.full((32, 32, 3), 40 + rng.integers(10), np.uint8)
                place = slice(start + step, start + step + 6)
                picture[(slice(None), place) if label == "right" else (place, slice(None))] = 220
                pictures.append(picture)
            video.write(folder / label / f"{number}.mp4", pictures, fps=8)
    return folder


@pytest.fixture(scope="module")
def encoder(clips, tmp_path_factory):
    return gerund.pretrain([clips], **SMALL, epochs=10, out=tmp_path_factory.mktemp("encoder") / "encoder")


def test_hidden_steps_are_predicted_better_than_by_their_mean(clips, tmp_path):
    done = gerund.pretrain([clips], **SMALL, epochs=150, lr=1e-2, out=tmp_path / "encoder")
    assert done.num_clips == 12
    assert done.history[-1].train_loss < 0.8 < 1 < done.history[0].train_loss


def test_the_folder_holds_the_encoder_of_the_best_epoch_and_what_it_was_made_for(encoder):
    assert {path.name for path in encoder.folder.iterdir()} == {"best", "results.csv"}
    assert {path.name for path in (encoder.folder / "best").iterdir()} == {"config.json", "encoder.safetensors"}
    rows = read_csv(encoder.folder / "results.csv")
    assert list(rows[0]) == ["epoch", "time", "train/loss", "val/loss"]
    assert len(rows) == 10
    made_for = json.loads((encoder.folder / "best" / "config.json").read_text())["made_for"]
    assert made_for["fps"] == 8.0
    assert made_for["head.width"] == 16
    assert made_for["backbone"].startswith("pixels:8-")
    names = set(load_file(encoder.folder / "best" / "encoder.safetensors"))
    assert {"positions", "project.weight", "layers.0.attend.query.weight", "norm.weight", "standardize.mean"} <= names
    assert not any(name.startswith("classify") for name in names)


def test_the_best_epoch_is_the_one_that_is_kept(clips, tmp_path, monkeypatch):
    losses = iter([0.5, 0.3, 0.9])
    saved = []
    monkeypatch.setattr(masked, "measured", lambda *_: next(losses))
    monkeypatch.setattr(
        "gerund.learning.encoder.save_encoder", lambda head, use, folder: saved.append(float(head.positions.detach().sum()))
    )
    done = gerund.pretrain([clips], **SMALL, epochs=3, out=tmp_path / "encoder")
    assert [epoch.val_loss for epoch in done.history] == [0.5, 0.3, 0.9]
    assert len(saved) == 2


def test_the_same_seed_gives_the_same_encoder(clips, encoder, tmp_path):
    again = gerund.pretrain([clips], **SMALL, epochs=10, out=tmp_path / "again")
    first, second = (load_file(each.folder / "best" / "encoder.safetensors") for each in (encoder, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_starts_from_the_encoder_and_keeps_its_standardisation(clips, encoder, tmp_path):
    run = gerund.train(clips, **TRAIN, epochs=1, lr=1e-9, schedule="constant", init=encoder.folder, out=tmp_path / "run")
    trained = gerund.Recognizer.load(run.run).head.state()
    for name, value in load_file(encoder.folder / "best" / "encoder.safetensors").items():
        torch.testing.assert_close(torch.from_numpy(trained[name]), value, atol=1e-6, rtol=1e-6)
    assert json.loads((run.run / "config.json").read_text())["init"] == str(encoder.folder)


@pytest.mark.slow
def test_a_run_goes_on_without_the_encoder_it_started_from(clips, encoder, tmp_path):
    shutil.copytree(encoder.folder, tmp_path / "encoder")
    gerund.train(clips, **SMALL, epochs=2, schedule="constant", init=tmp_path / "encoder", out=tmp_path / "run")
    shutil.rmtree(tmp_path / "encoder")
    resumed = gerund.train(resume=tmp_path / "run", epochs=3)
    whole = gerund.train(clips, **SMALL, epochs=3, schedule="constant", init=encoder.folder, out=tmp_path / "whole")
    first, second = (torch.load(each.run / "last.ckpt", weights_only=True)["state_dict"] for each in (resumed, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_options_that_change_no_weight_may_differ(clips, encoder, tmp_path):
    options = SMALL["head_options"] | {"pooling": "cls", "dropout": 0.0}
    gerund.train(clips, **TRAIN | {"head_options": options}, epochs=1, init=encoder.folder, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 4.0}, r"fps 8\.0 there, 4\.0 here"),
        ({"num_frames": 7}, "num_frames 6 there, 7 here"),
        ({"motion": False}, "motion True there, False here"),
        ({"backbone": "pixels:9"}, "backbone pixels:8-[0-9a-f]+ there, pixels:9-[0-9a-f]+ here"),
        ({"head_options": {"width": 32, "dense_width": 8}}, r"head\.width 16 there, 32 here; head\.dense_width 16 there, 8 here"),
        ({"head": "mean", "head_options": {}}, "only --head transformer can start from it"),
        ({"head": "prototype", "head_options": {}}, "only --head transformer can start from it"),
    ],
)
def test_what_does_not_fit_is_named(clips, encoder, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        gerund.train(clips, **SMALL | change, init=encoder.folder, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_an_encoder_or_with_a_damaged_one_is_named(clips, encoder, tmp_path):
    for folder in (tmp_path / "nowhere", clips):
        with pytest.raises(UsageError, match="not a folder made by gerund pretrain"):
            gerund.train(clips, **SMALL, init=folder, out=tmp_path / "run")
    shutil.copytree(encoder.folder, tmp_path / "damaged")
    weights = tmp_path / "damaged" / "best" / "encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    with pytest.raises(ModelError, match=r"encoder\.safetensors: damaged"):
        gerund.train(clips, **SMALL, init=tmp_path / "damaged", out=tmp_path / "run")
    weights.unlink()
    with pytest.raises(GerundError, match=r"encoder\.safetensors"):
        gerund.train(clips, **SMALL, init=tmp_path / "damaged", out=tmp_path / "run")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_hidden_steps_are_valid_ones_and_never_all(share):
    valid = torch.arange(10) < torch.tensor([[2], [3], [7], [10]])
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        hidden = masked.hidden_steps(valid, share, generator)
        counts, lengths = hidden.sum(1), valid.sum(1)
        assert not (hidden & ~valid).any()
        assert (counts >= 1).all()
        assert (counts < lengths).all()
        assert (counts - share * lengths).abs().max() <= 1


def test_what_is_hidden_does_not_leak_into_its_own_prediction():
    torch.manual_seed(0)
    model = masked.MaskedSteps(TransformerHead(5, 1, 4, width=8, heads=2, dropout=0.0, attention_dropout=0.0), 5, 0.5).eval()
    x, valid = torch.randn(3, 4, 5), torch.ones(3, 4, dtype=torch.bool)
    hidden = masked.hidden_steps(valid, 0.5, torch.Generator().manual_seed(1))
    restored = []
    model.restore.register_forward_hook(lambda _, __, output: restored.append(output))
    for tokens in (x, torch.where(hidden.unsqueeze(-1), 9.0, x)):
        model(tokens, valid, torch.Generator().manual_seed(1))
    assert torch.equal(restored[0], restored[1])


def test_the_loss_is_the_mean_squared_error_over_hidden_steps():
    model = masked.MaskedSteps(TransformerHead(5, 1, 4, width=8, heads=2, pooling="cls"), 5, 0.5).eval()
    torch.nn.init.zeros_(model.restore.weight)
    torch.nn.init.zeros_(model.restore.bias)
    x, valid = torch.randn(3, 4, 5), torch.tensor([[True] * 4, [True] * 3 + [False], [True] * 2 + [False] * 2])
    hidden = masked.hidden_steps(valid, 0.5, torch.Generator().manual_seed(1))
    loss = model(x.masked_fill(~valid.unsqueeze(-1), float("nan")), valid, torch.Generator().manual_seed(1))
    assert float(loss.detach()) == pytest.approx(float(x[hidden].square().mean()))


def test_the_encoder_of_a_head_is_the_path_that_tokens_take_in_it():
    torch.manual_seed(0)
    head = TransformerHead(5, 3, 4, width=8, heads=2).eval()
    x, valid = torch.randn(2, 4, 5), torch.tensor([[True] * 4, [True] * 3 + [False]])
    mixed, mask = head.mix(head.project(head.standardized(x, valid)), valid)
    pooled = torch.stack([row[keep].mean(0) for row, keep in zip(mixed, mask, strict=True)])
    torch.testing.assert_close(head.classify(pooled), head(x, valid))


def test_long_videos_are_cut_into_equal_clips_of_one_group():
    features = Features(np.zeros((800, 3), np.float16), np.arange(800) / 8)
    path = Path("long.mp4")
    pieces = pretraining.cut_long(
        [Clip(path=path), Clip(path=path, start=5.0, end=15.0), Clip(path=Path("gone.mp4"))], Extraction({path: features}), 30.0
    )
    assert [(piece.start, piece.end) for piece in pieces[:3]] == [
        (0.0, pytest.approx(100 / 3)),
        (pytest.approx(100 / 3), pytest.approx(200 / 3)),
        (pytest.approx(200 / 3), pytest.approx(100.0)),
    ]
    assert [(piece.start, piece.end) for piece in pieces[3:]] == [(5.0, 15.0)]
    assert {piece.group for piece in pieces} == {str(path)}


def test_no_group_is_learned_from_and_held_out(monkeypatch):
    clips = [Clip(path=Path(f"{number}.mp4"), group=f"g{number // 3}") for number in range(30)]
    features = {clip.path: Features(np.full((8, 3), number, np.float16), np.arange(8) / 8) for number, clip in enumerate(clips)}
    for seed in range(20):
        train, val = pretraining.token_sets(clips, Extraction(features), gerund.learning.pretrain.Sampling(num_frames=4), seed)
        groups = [{int(each) // 3 for each in side.data[0, :, 0, 0]} for side in (train, val)]
        assert groups[0] and groups[1]
        assert not groups[0] & groups[1]
        assert len(train) + len(val) == 30


def test_clips_marked_test_are_left_out_and_labels_are_not_needed(clips, tmp_path, capsys):
    rows = [("path", "split"), *((path, "test" if path.stem == "0" else "train") for path in sorted(clips.rglob("*.mp4")))]
    (tmp_path / "clips.csv").write_text("".join(f"{path},{split}\n" for path, split in rows), encoding="utf-8")
    done = gerund.pretrain([tmp_path / "clips.csv"], **SMALL, epochs=1, out=tmp_path / "encoder")
    assert done.num_clips == 10
    assert "2 of 12 clips are marked test and left out" in capsys.readouterr().err


def test_an_unreadable_video_is_left_out_and_told(clips, tmp_path, capsys):
    shutil.copytree(clips, tmp_path / "clips")
    (tmp_path / "clips" / "notes.mp4").write_text("these are notes")
    words = [
        "pretrain",
        str(tmp_path / "clips"),
        "--backbone",
        "pixels:8",
        "--num-frames",
        "6",
        "--head.width",
        "16",
        "--epochs",
        "1",
    ]
    assert cli.app.meta([*words, "--out", str(tmp_path / "encoder")]) == SOME_FAILED
    printed = capsys.readouterr()
    assert "notes.mp4: not readable as video" in printed.err
    assert f"Next: gerund train DATA --init {tmp_path / 'encoder'}" in printed.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": 1.0}, "--hidden 1: a share above 0 and below 1"),
        ({"span": 0.0}, "--span 0: above 0 seconds"),
        ({"epochs": 0}, "--epochs 0: at least 1 is needed"),
        ({"lr": 0.0}, "--lr 0: the learning rate must be above 0"),
        ({"split": 1}, "has no numbered splits"),
        ({"head_options": {"latent": 5}}, "has no option --head.latent"),
        ({"num_frames": 0}, "at least 1 time step"),
    ],
)
def test_settings_that_cannot_be_are_named_before_any_work(clips, tmp_path, change, message):
    with pytest.raises(UsageError, match=message):
        gerund.pretrain([clips], **SMALL | change, out=tmp_path / "encoder")
    assert not (tmp_path / "encoder").exists()


def test_too_few_videos_are_told(clips, tmp_path):
    video.write(tmp_path / "still.mp4", [np.zeros((16, 16, 3), np.uint8)], fps=8)
    one = clips / "down" / "0.mp4"
    with pytest.raises(DataError, match="1 videos have two time steps or more; pretraining needs at least two"):
        gerund.pretrain([one, tmp_path / "still.mp4"], **SMALL, out=tmp_path / "encoder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no video in this folder"):
        gerund.pretrain([tmp_path / "empty"], **SMALL, out=tmp_path / "encoder")


def test_a_loss_that_is_not_finite_and_features_that_are_not_end_with_one_line(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(masked, "measured", lambda *_: float("nan"))
    with pytest.raises(TrainingError, match="the loss is not finite in epoch 1; try a lower --lr"):
        gerund.pretrain([clips], **SMALL, out=tmp_path / "encoder")
    features = {Path(f"{n}.mp4"): Features(np.full((8, 3), np.nan, np.float16), np.arange(8) / 8) for n in range(3)}
    with pytest.raises(TrainingError, match="not finite; extract them again"):
        pretraining.token_sets(
            [Clip(path=path) for path in features], Extraction(features), gerund.learning.pretrain.Sampling(), 0
        )


def test_ctrl_c_keeps_the_best_so_far(clips, tmp_path, monkeypatch, capsys):
    original = pretraining.append_row

    def interrupting(path, row):
        original(path, row)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pretraining, "append_row", interrupting)
    with pytest.raises(KeyboardInterrupt):
        gerund.pretrain([clips], **SMALL, epochs=50, out=tmp_path / "encoder")
    assert f"the best encoder so far is in {tmp_path / 'encoder'}" in capsys.readouterr().err
    gerund.train(clips, **TRAIN, epochs=1, init=tmp_path / "encoder", out=tmp_path / "run")
