"""Comparing heads: whole groups, the same folds for all, an honest leaderboard; and benchmarks on official and leaking splits."""

import csv
import io
import json
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.core.errors import DataError, TrainingError
from gerund.core.recipes import RECIPES
from gerund.core.types import Clip
from gerund.data.manifest import group_of, read_manifest
from gerund.recognition.metrics import lead_error
from gerund.recognition.token_set import TokenSet
from gerund.training import trials
from gerund.training.benchmark import shuffled, siblings
from gerund.training.leaderboard import Standing, choose, cross_validate, deal, trial_on, with_head
from gerund.training.train import auto_backbones
from support.command import run
from support.squares import write_squares

pytestmark = pytest.mark.torch

QUICK = replace(RECIPES["default"], head="transformer", epochs=3, head_options={"width": 8, "dense_width": 8, "heads": 1})
WORDS = ("--backbones", "pixels:8", "--num-frames", 4, "--epochs", 2, "--workers", 1)


def clip(label: str, group: str, number: int = 0) -> Clip:
    return Clip(path=Path(f"{label}/{group}-{number}.mp4"), label=label, group=group)


def even(labels: str = "abc", groups: int = 6, each: int = 2) -> list[Clip]:
    return [clip(label, f"{label}{group}", number) for label in labels for group in range(groups) for number in range(each)]


def tokens_of(clips: list[Clip], seed: int = 0) -> TokenSet:
    """Two versions of tokens that tell the classes apart, but for some noise."""
    generator = torch.Generator().manual_seed(seed)
    targets = np.array([ord(each.label or "a") - ord("a") for each in clips])
    data = torch.randn(2, len(clips), 4, 6, generator=generator).numpy()
    data += 1.5 * np.eye(6, dtype=np.float32)[targets][None, :, None, :]
    return TokenSet(data.astype(np.float16), np.ones((2, len(clips), 4), bool), targets, np.arange(len(clips)))


def board_of(clips: list[Clip], names: list[str], **changes):
    asked = {"folds": 3, "seed": 0, "processes": 1, "device": "cpu"} | changes
    tokens = tokens_of(clips)
    return cross_validate([(with_head(QUICK, name), tokens) for name in names], clips, **asked)


def test_folds_keep_groups_whole_and_share_out_the_classes():
    clips = even(groups=10)
    folds = deal(clips, 5, seed=0)
    assert len({(group_of(each), fold) for each, fold in zip(clips, folds, strict=True)}) == 30
    assert set(Counter((each.label, fold) for each, fold in zip(clips, folds, strict=True)).values()) == {4}


def test_fewer_groups_than_folds_give_fewer_folds_and_say_so(capsys):
    assert set(deal(even("ab", groups=2), 5, seed=0)) == {0, 1, 2, 3}
    said = capsys.readouterr().err
    assert "There are only 4 groups: 4 folds instead of 5." in said
    assert "Fewer groups than folds in a, b: no clip of it is tested in some folds." in said


def test_a_class_of_one_group_cannot_be_compared():
    with pytest.raises(
        DataError, match=r"class 'c' has clips of one group only \(only\), so it cannot be trained and tested both"
    ):
        deal([*even("ab"), clip("c", "only"), clip("c", "only", 1)], 5, seed=0)


def test_classes_that_share_all_their_groups_are_told():
    shared = [clip(label, group) for group in "xy" for label in "ab"]
    assert sorted(deal(shared, 2, seed=0)) == [0, 0, 1, 1]
    lopsided = [clip("a", f"g{n}") for n in range(9)] + [clip("b", "g0"), clip("b", "g1")]
    folds = deal(lopsided, 3, seed=0)
    assert all({c.label for c, f in zip(lopsided, folds, strict=True) if f != fold} == {"a", "b"} for fold in set(folds))


def test_validation_is_carved_by_group_out_of_the_training_folds():
    clips = even(groups=10)
    folds = deal(clips, 5, seed=0)
    trial = trial_on(2, QUICK, clips, folds, Path("unused"), "cpu")
    groups = [{group_of(clips[row]) for row in rows} for rows in (trial.train, trial.val, trial.test)]
    assert sorted(trial.train + trial.val + trial.test) == list(range(len(clips)))
    assert not groups[0] & groups[1] and not groups[1] & groups[2] and not groups[0] & groups[2]
    assert {clips[row].label for row in trial.val} == {"a", "b", "c"}
    assert trial.test == [row for row, fold in enumerate(folds) if fold == 2]


@pytest.fixture(scope="module")
def board():
    return board_of(even(), ["transformer", "mean", "prototype"])


def test_the_leaderboard_is_sorted_and_every_clip_is_tested_once(board):
    assert (board.num_clips, board.num_groups, board.folds) == (36, 18, 3)
    assert [each.top1 for each in board.standings] == sorted((each.top1 for each in board.standings), reverse=True)
    for each in board.standings:
        assert each.correct.shape == (36,)
        assert each.top1 == pytest.approx(each.correct.mean())
        assert 0 <= each.low <= each.top1 <= each.high <= 1
        assert each.train_seconds > 0
        assert each.ms_per_clip > 0
    parameters = {each.head: each.parameters for each in board.standings}
    assert parameters["mean"] == 6 * 3 + 3
    assert parameters["prototype"] == 4 * 6 * 3 + 3


@pytest.mark.slow
def test_processes_find_the_same_as_one_process(board):
    apart = board_of(even(), ["transformer", "mean", "prototype"], processes=2)
    assert {each.head: each.correct.tolist() for each in apart.standings} == {
        each.head: each.correct.tolist() for each in board.standings
    }


def test_a_head_that_fails_is_named_and_the_others_stand(tmp_path):
    clips, tokens = even(), tokens_of(even())
    wild = replace(QUICK, lr=1e30)
    asked = {"folds": 3, "seed": 0, "processes": 1, "device": "cpu"}
    board = cross_validate([(wild, tokens), (with_head(QUICK, "prototype"), tokens)], clips, **asked)
    assert [each.head for each in board.standings] == ["prototype"]
    assert list(board.failed) == ["transformer on lite"]
    assert "the loss is not finite in epoch" in board.failed["transformer on lite"]
    with pytest.raises(TrainingError, match="no head could be trained; transformer on lite: the loss is not finite"):
        cross_validate([(wild, tokens)], clips, **asked)


def test_features_that_are_not_finite_are_told():
    tokens = tokens_of(even())
    tokens.data[:, 3] = float("nan")
    with pytest.raises(TrainingError, match="no head could be trained; prototype on lite: the features of some clips"):
        cross_validate([(with_head(QUICK, "prototype"), tokens)], even(), folds=3, seed=0, processes=1, device="cpu")


def standing(head: str, correct: list[bool], parameters: int) -> Standing:
    right = np.array(correct)
    values = {"low": 0.0, "high": 1.0, "train_seconds": 1.0, "ms_per_clip": 1.0}
    return Standing(head=head, backbone="lite", top1=float(right.mean()), parameters=parameters, correct=right, **values)


def test_a_lead_within_one_standard_error_goes_to_the_simpler_head():
    groups = [f"g{number}" for number in range(20)]
    large = standing("large", [True] * 18 + [False] * 2, 1000)
    near = standing("near", [True] * 17 + [False] * 3, 100)
    far = standing("far", [True] * 12 + [False] * 8, 10)
    winner, reason = choose([large, near, far], groups)
    assert winner is near
    assert reason == (
        "It is simpler than large on lite (100 parameters, not 1,000), which leads by 0.050 only: within one standard error of that "
        "lead (0.050)"
    )
    winner, reason = choose([large, far], groups)
    assert winner is large
    assert reason == "It has the highest mean top-1, and nothing simpler is within one standard error of it"


def test_the_error_of_a_lead_is_that_of_groups_drawn_anew():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 60)
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    by_group = rng.normal(0, 1, 60)
    lead = np.concatenate([np.full(size, value) for size, value in zip(sizes, by_group, strict=True)])
    drawn = rng.integers(60, size=(20_000, 60))
    means = (sizes * by_group)[drawn].sum(1) / sizes[drawn].sum(1)
    assert lead_error(lead, groups) == pytest.approx(means.std(), rel=0.05)
    clips_alone = lead_error(lead, [str(number) for number in range(len(lead))])
    assert clips_alone == pytest.approx(lead.std(ddof=1) / len(lead) ** 0.5)
    assert clips_alone < 0.75 * lead_error(lead, groups)
    assert lead_error(lead[:3], ["one"] * 3) == float("inf")


@pytest.fixture(scope="module")
def clips_folder(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("comparing") / "été clips", clips=8, frames=6)


PATTERN = ("--group-pattern", r"(\w+)-")


def test_compare_shows_a_leaderboard_and_trains_the_winner_on_everything(clips_folder, tmp_path):
    best = tmp_path / "best"
    words = ("compare", clips_folder, *WORDS, *PATTERN, "--heads", "mean,prototype", "--folds", 4, "--best", best)
    code, out, err = run(*words)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == "head top-1 95 % interval backbone parameters train s ms/clip network s/min".split()
    assert {line.split()[0] for line in lines[1:3]} == {"mean", "prototype"}
    assert "16 clips, 8 groups, 4 folds" in out
    assert "8/8 fits" in err
    winner = lines[1].split()[0]
    used = read_manifest(best / "clips.csv")
    assert Counter(each.split for each in used).keys() == {"train", "val"}
    assert len(used) == 16
    assert json.loads((best / "config.json").read_text(encoding="utf-8"))["head"] in ("mean", winner)
    recorded = json.loads((best / "comparison.json").read_text(encoding="utf-8"))
    assert f"Winner: {recorded['winner']['head']} on pixels:8. {recorded['reason']}." in out
    assert gerund.Recognizer.load(best).predict(clips_folder / "left" / "left0-0.mp4").label == "left"
    code, _, err = run(*words)
    assert (code, "exists and is not empty" in err) == (2, True)


def test_compare_gives_json_and_csv_and_leaves_given_test_clips_out(clips_folder, tmp_path):
    rows = [
        [path, path.parent.name, "test" if "3-" in path.name else "train", path.stem.partition("-")[0]]
        for path in sorted(clips_folder.rglob("*.mp4"))
    ]
    manifest = tmp_path / "clips.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "group"], *rows])
    words = ("compare", manifest, "--backbones", "pixels:8,pixels:4", "--num-frames", 4, "--heads", "prototype", "--folds", 3)
    code, out, err = run(*words, "--json")
    values = json.loads(out)
    assert code == 0
    assert "The 4 test clips that the data set gives are left out of the comparison." in err
    assert (values["num_clips"], values["folds"], values["run"], values["failed"]) == (12, 3, None, {})
    assert {each["backbone"] for each in values["standings"]} == {"pixels:8", "pixels:4"}
    code, out, _ = run(*words, "--csv")
    shown = list(csv.DictReader(io.StringIO(out)))
    assert [row["head"] for row in shown] == ["prototype", "prototype"]
    assert float(shown[0]["low"]) <= float(shown[0]["top1"]) <= float(shown[0]["high"])


def test_a_broken_video_is_left_out_for_all_heads_and_listed(clips_folder, tmp_path):
    clips = gerund.load_dataset(clips_folder, group_pattern=PATTERN[1])
    bad = tmp_path / "notes.mp4"
    bad.write_text("these are notes")
    done = gerund.compare(
        [*clips, Clip(path=bad, label="left", group="n")], heads="prototype", backbones="pixels:8", num_frames=4
    )
    assert done.leaderboard.num_clips == 16
    assert list(done.failed) == [str(bad)]
    with pytest.raises(DataError, match="none of the 2 clips can be used"):
        gerund.compare([Clip(path=bad, label=label, group=label) for label in "ab"], heads="mean", backbones="pixels:8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--heads", "mean,nope"), "unknown head 'nope'; choose one of"),
        (("--heads", "mean,mean"), "--heads mean,mean: mean stands there twice"),
        (("--heads", ","), "--heads ,: no name in it"),
        (("--folds", 1), "--folds 1: at least 2 are needed"),
        (("--backbones", "pixels:8=a,pixels:8=b"), "pixels:8 stands there twice"),
        (
            ("--backbones", "a,b", "--weights", "w.pt"),
            "--weights w.pt: which backbone's? With several, write --backbones NAME=FILE",
        ),
    ],
)
def test_wrong_usage_of_compare_is_one_clear_line(clips_folder, words, said):
    code, out, err = run("compare", clips_folder, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_an_empty_folder_has_nothing_to_compare(tmp_path):
    code, _, err = run("compare", tmp_path, *WORDS)
    assert code == 1
    assert len(err.splitlines()) == 1
    assert str(tmp_path) in err


def test_an_interrupt_ends_the_comparison_cleanly(clips_folder, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "attempt", interrupted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, out, err = run("compare", clips_folder, *WORDS, *PATTERN, "--heads", "mean", "--folds", 2)
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert not list(tmp_path.iterdir())


def test_train_auto_takes_the_winner_and_says_why(clips_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("gerund.training.leaderboard.COMPARED_HEADS", ("mean", "prototype"))
    words = ("train", clips_folder, *PATTERN, "--backbone", "pixels:8", "--num-frames", 4, "--epochs", 2, "--workers", 1)
    code, _, err = run(*words, "--auto", "--out", tmp_path / "run")
    assert code == 0, err
    recorded = json.loads((tmp_path / "run" / "comparison.json").read_text(encoding="utf-8"))
    head = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["head"]
    assert recorded["winner"]["head"] == head == gerund.Recognizer.load(tmp_path / "run").head_name
    assert f"Chosen: {head}. {recorded['reason']}." in err
    trained = [each for each in read_manifest(tmp_path / "run" / "clips.csv") if each.split == "train"]
    assert recorded["num_clips"] == len(trained) < 16
    for more in (("--head", "mean"), ("--head.width", 3), ("--resume", tmp_path / "run")):
        code, _, err = run(*words, "--auto", *more)
        assert (code, "--auto chooses the head; leave out --head, its options and --resume" in err) == (2, True)


def test_auto_chooses_among_the_backbones_inside_too_and_tells_their_price(clips_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gerund.training.leaderboard.COMPARED_HEADS", ("prototype",))
    monkeypatch.setattr("gerund.training.train.installed_lites", lambda: ["pixels:6", "pixels:8"])
    done = gerund.train(clips_folder, auto=True, group_pattern=PATTERN[1], num_frames=4, out=tmp_path / "run")
    recorded = json.loads((done.run / "comparison.json").read_text(encoding="utf-8"))
    assert {each["backbone"] for each in recorded["standings"]} == {"pixels:6", "pixels:8"}
    assert all(each["network_seconds"] > 0 for each in recorded["standings"])
    config = json.loads((done.run / "config.json").read_text(encoding="utf-8"))
    assert config["backbone"] == recorded["winner"]["backbone"]
    said = capsys.readouterr().err
    assert f"Chosen: prototype on {config['backbone']}." in said
    assert "s a minute of video" in said


@pytest.mark.parametrize(
    ("given", "backbones"),
    [
        ({}, ["lite", "lite2"]),
        ({"backbone": "lite"}, ["lite"]),
        ({"weights": "a.safetensors"}, ["lite"]),
        ({"seed": 1}, ["lite", "lite2"]),
    ],
)
def test_a_backbone_that_was_asked_for_is_the_one_that_is_taken(given, backbones, monkeypatch):
    monkeypatch.setattr("gerund.training.train.installed_lites", lambda: ["lite", "lite2"])
    assert auto_backbones(RECIPES["default"], given) == backbones
    assert auto_backbones(RECIPES["convlstm"], {}) == ["resnet152"]


def test_of_heads_that_are_alike_the_one_whose_network_costs_less_is_taken():
    right, groups = np.arange(40) < 30, [str(number) for number in range(40)]
    best, other = (standing(head, right, 10) for head in ("prototype", "mean"))
    best, other = replace(best, network_seconds=9.0), replace(other, backbone="lite2", network_seconds=4.0)
    winner, reason = choose([best, other], groups)
    assert winner is other
    assert reason.startswith("It costs less than prototype on lite (4.0 s a minute of video, not 9.0), which leads by 0.000 only")


def test_auto_says_what_to_do_when_there_is_one_group_to_train_on(clips_folder):
    clips = [each for each in gerund.load_dataset(clips_folder, group_pattern=PATTERN[1]) if group_of(each)[-1] in "01"]
    with pytest.raises(
        DataError, match=r"--auto cannot compare heads: class .* of one group only .* or choose a --head yourself"
    ):
        gerund.train(clips, auto=True, backbone="pixels:8", num_frames=4, val=0.0)


@pytest.fixture(scope="module")
def ucf(tmp_path_factory):
    """UCF-101's layout in small: two classes, six groups of two clips, three official splits that test two groups each."""
    root = tmp_path_factory.mktemp("ucf")
    (root / "ucfTrainTestlist").mkdir()
    names = []
    for label, place in (("BabyCrawling", 0), ("YoYo", 8)):
        (root / "UCF-101" / label).mkdir(parents=True)
        for number in range(12):
            names.append(f"{label}/v_{label}_g{number // 2 + 1:02d}_c{number % 2 + 1:02d}.avi")
            picture = np.full((16, 16, 3), 5 * number, np.uint8)
            picture[4:12, place : place + 8] = 200
            video.write(root / "UCF-101" / names[-1], [picture] * 6, fps=6)
    for split in (1, 2, 3):
        tested = {f"_g{2 * split - 1:02d}_", f"_g{2 * split:02d}_"}
        for side in ("train", "test"):
            chosen = [name for name in names if any(group in name for group in tested) == (side == "test")]
            (root / "ucfTrainTestlist" / f"{side}list{split:02d}.txt").write_text("\n".join(chosen))
    return root


def test_a_random_split_parts_groups_and_keeps_the_share_of_test_clips(ucf):
    official = gerund.load_dataset(f"ucf101:{ucf}", split=2)
    random = shuffled(official, 2)
    assert [replace(each, split=None) for each in random] == [replace(each, split=None) for each in official]
    assert Counter((each.label, each.split) for each in random) == Counter((each.label, each.split) for each in official)
    assert siblings(official) == 0
    assert siblings(random) > 0.3


@pytest.mark.slow
def test_benchmark_prints_official_and_random_splits_side_by_side(ucf, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    words = ("benchmark", f"ucf101:{ucf}", "--head", "prototype", "--workers", 1, "--out", tmp_path / "runs")
    code, out, err = run(*words, "--recipes", "default", "--backbone", "pixels:8")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == "recipe split 1 split 2 split 3 mean random clips (leaks)".split()
    assert lines[1].split()[0] == "default"
    assert "Top-1 of the test clips; mean over 1 seed." in out
    assert "WARNING: the last column is of random splits, in which" in out
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == sorted(f"default-{kind}{split}-seed0" for kind in ("official", "random") for split in (1, 2, 3))
    shown = [json.loads((tmp_path / "runs" / f"default-official{n}-seed0" / "metrics.json").read_text()) for n in (1, 2, 3)]
    assert [f"{100 * each['test']['top1']:.2f}" for each in shown] == lines[1].split()[1:7:2]


def test_a_recipe_without_weights_is_left_out_with_the_reason(ucf, tmp_path):
    wrong = tmp_path / "weights.safetensors"
    wrong.write_text("no weights")
    code, out, err = run("benchmark", f"ucf101:{ucf}", "--recipes", "convlstm", "--weights", wrong, "--json")
    assert code == 3
    values = json.loads(out)
    assert values["rows"] == []
    assert str(wrong) in values["failed"]["convlstm"]
    assert f"Not run: convlstm: {values['failed']['convlstm']}" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clips/",), "clips/: no official splits are known for it (they are for ucf101:DIR"),
        (("ucf101:{ucf}", "--recipes", "best"), "unknown recipe 'best'; choose one of default"),
        (("ucf101:{ucf}", "--seeds", 0), "--seeds 0: at least 1 is needed"),
    ],
)
def test_wrong_usage_of_benchmark_is_one_clear_line(ucf, words, said):
    code, out, err = run("benchmark", *(str(word).format(ucf=ucf) for word in words))
    assert (code, out) == (2, "")
    assert said in err
