"""Several trainings in one folder: what differs is split and seed, what is said is their mean and spread."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.cli import app as cli
from gerund.core.errors import UsageError
from gerund.core.recipes import read_config
from gerund.recognition.evaluate import evaluate, in_numbers, runs_in
from gerund.training.repeat import Trainings, split_numbers, wanted_runs

OPTIONS = {"backbone": "pixels:8", "num_frames": 4}


@pytest.fixture(scope="module")
def ucf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with two official splits: dark and bright clips of three groups."""
    root = tmp_path_factory.mktemp("ucf")
    names = []
    for label, level in (("Dark", 30), ("Bright", 150)):
        (root / "UCF-101" / label).mkdir(parents=True)
        for group in (1, 2, 3):
            for clip in (1, 2):
                name = f"{label}/v_{label}_g{group:02d}_c{clip:02d}.avi"
                pictures = (np.full((32, 32, 3), level + 5 * group + frame + clip, np.uint8) for frame in range(6))
                video.write(root / "UCF-101" / name, pictures, fps=8, codec="mpeg4")
                names.append(name)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Bright\n2 Dark\n")
    for split in (1, 2):
        test = [name for name in names if f"_g{split:02d}_" in name]
        (lists / f"testlist{split:02d}.txt").write_text("".join(f"{name}\n" for name in test))
        train = [f"{name} {1 if name.startswith('Bright') else 2}\n" for name in names if name not in test]
        (lists / f"trainlist{split:02d}.txt").write_text("".join(train))
    return root


@pytest.fixture(scope="module")
def trainings(ucf: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    out = tmp_path_factory.mktemp("runs") / "all"
    return gerund.train_all(f"ucf101:{ucf}", splits="1,2", seeds=2, **OPTIONS, seed=5, out=out)


def test_every_split_is_trained_with_every_seed(trainings: Trainings) -> None:
    assert list(trainings.runs) == [(1, 5), (1, 6), (2, 5), (2, 6)]
    for (split, seed), training in trainings.runs.items():
        assert training.run == trainings.run / f"split{split}-seed{seed}"
        settings = read_config(training.run)
        assert (settings.split, settings.seed) == (split, seed)
        assert (training.run / "report.html").is_file()


def test_the_runs_equal_trainings_made_alone(trainings: Trainings, ucf: Path, tmp_path: Path) -> None:
    alone = gerund.train(f"ucf101:{ucf}", split=2, seed=6, **OPTIONS, out=tmp_path / "alone")
    assert alone.metrics == trainings.runs[2, 6].metrics


def test_means_are_those_of_the_runs(trainings: Trainings) -> None:
    top1 = {key: training.metrics["test"]["top1"] for key, training in trainings.runs.items()}
    assert trainings.per_split == {split: pytest.approx((top1[split, 5] + top1[split, 6]) / 2) for split in (1, 2)}
    written = json.loads((trainings.run / "metrics.json").read_text())
    assert written["spread"]["top1"]["mean"] == pytest.approx(np.mean(list(top1.values())))
    assert written["spread"]["top1"]["std"] == pytest.approx(np.std(list(top1.values()), ddof=1))
    assert written["test"]["num_clips"] == 4 * 4
    assert written["top1_per_split"] == {"1": trainings.per_split[1], "2": trainings.per_split[2]}


def test_the_command_line_prints_splits_and_spread(ucf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--backbone", "pixels:8", "--num-frames", "4", "--out", str(tmp_path / "runs")]
    assert cli.app.meta(["train", f"ucf101:{ucf}", "--splits", "1,2", "--seeds", "2", *words]) == 0
    said = capsys.readouterr()
    assert "Training 4 of 4: split2-seed1" in said.err
    assert "Extracting features" not in said.err.partition("Training 2 of 4")[2], "features are made once"
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(str(tmp_path))] == [
        str(tmp_path / "runs" / f"split{split}-seed{seed}") for split in (1, 2) for seed in (0, 1)
    ]
    assert any(line.startswith("split 2: top-1") and line.endswith("mean of 2 seeds") for line in lines)
    assert any(line.startswith("all: top-1") and "mean of 4 runs; standard deviation" in line for line in lines)


def test_the_folder_of_all_runs_is_evaluated_as_its_runs(trainings: Trainings) -> None:
    together, one_by_one = evaluate(trainings.run), evaluate(*(each.run for each in trainings.runs.values()))
    assert list(together.runs) == [str(each.run) for each in trainings.runs.values()] == list(one_by_one.runs)
    assert together.spread == one_by_one.spread
    assert together.spread["top1"]["mean"] == pytest.approx(trainings.metrics["spread"]["top1"]["mean"])


def test_runs_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["seed2", "seed10", "seed1"]
    assert sorted((Path(name) for name in names), key=in_numbers) == [Path("seed1"), Path("seed2"), Path("seed10")]
    assert runs_in(tmp_path) == []


def test_without_splits_and_seeds_it_is_one_run_of_train(ucf: Path, tmp_path: Path) -> None:
    one = gerund.train_all(f"ucf101:{ucf}", split=2, **OPTIONS, out=tmp_path / "run")
    assert list(one.runs) == [(2, 0)]
    assert one.run == one.runs[2, 0].run == tmp_path / "run"


def test_the_settings_are_those_of_train() -> None:
    train, both = inspect.signature(gerund.train), inspect.signature(gerund.train_all)
    assert both.parameters.keys() - train.parameters.keys() == {"splits", "seeds"}
    assert all(both.parameters[name] == parameter for name, parameter in train.parameters.items())


@pytest.mark.parametrize(
    ("splits", "seeds", "settings", "words"),
    [
        ("1,b", None, {}, "--splits 1,b: not a list of numbers such as 1,2,3"),
        ("", None, {}, "not a list of numbers"),
        ((), None, {}, "--splits: no number"),
        ("1", 0, {}, "--seeds 0: at least 1"),
        ("1,2", None, {"split": 3}, "--split 3 and --splits 1,2 exclude each other"),
        (None, 2, {"resume": Path("runs/train")}, "one run is resumed at a time"),
        (None, 2, {"recipe": "nope"}, "unknown recipe 'nope'"),
    ],
)
def test_what_cannot_be_is_one_clear_line(splits: object, seeds: object, settings: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wanted_runs(splits, seeds, settings)


def test_splits_are_numbers_each_once() -> None:
    assert split_numbers("3, 1,3") == [3, 1]
    assert wanted_runs([2], None, {"seed": 4}) == [(2, 4)]
    assert wanted_runs(None, 2, {}) == [(None, 0), (None, 1)]


def test_data_that_cannot_be_used_leaves_no_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(gerund.GerundError, match="no such file or folder"):
        gerund.train_all(tmp_path / "nowhere", seeds=2, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_data_without_test_clips_has_no_figures_to_compare(ucf: Path, tmp_path: Path) -> None:
    rows = [f"{path},{path.parent.name},train" for path in sorted(ucf.rglob("*.avi"))]
    (tmp_path / "clips.csv").write_text("path,label,split\n" + "\n".join(rows), encoding="utf-8")
    done = gerund.train_all(tmp_path / "clips.csv", seeds=2, **OPTIONS, out=tmp_path / "runs")
    assert (done.test, done.per_split, done.metrics) == (None, {}, {})
    assert done.is_complete
    assert list(done.as_text()) == ["", f"Runs: {done.run}, each with its report.html"]
