"""A clip that begins after the end of its video is left out with its reason, counts as wrong, and never ends the work."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.core.types import Clip
from gerund.data.manifest import read_manifest
from gerund.diagnosis.leak import leakage_of
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from support.command import run
from support.reading import read_csv

SMALL = ("--backbone", "pixels:8", "--num-frames", 4)
SPLITS = ("train", "train", "train", "val", "test", "test")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[list[object]]:
    """Twelve good clips of one second, dark ones and bright ones; then on each side one that starts at 5 s."""
    folder, found = tmp_path_factory.mktemp("spans"), []
    for label, grey in (("dark", 40), ("bright", 200)):
        for number, side in enumerate(SPLITS):
            path = folder / f"{label}{number}.mp4"
            pictures = (np.full((32, 32, 3), grey + number + 2 * step, np.uint8) for step in range(8))
            video.write(path, pictures, fps=8)
            found.append([path, label, "", "", side])
    return found


@pytest.fixture
def manifest(rows: list[list[object]], tmp_path: Path) -> Path:
    bad = [[row[0], row[1], 5, 9, row[4]] for row in (rows[0], rows[3], rows[4])]
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "start", "end", "split"], *rows, *bad])
    return tmp_path / "clips.csv"


def name(row: list[object]) -> str:
    return f"{row[0]} [5 .. 9 s]"


def reason(row: list[object]) -> str:
    return f"{row[0]}: the clip starts at 5 s, but the video ends at 1.00 s"


@pytest.mark.torch
@pytest.mark.parametrize("head", [("prototype",), ("mean", "--epochs", 1, "--views", 2)])
def test_training_and_evaluation_go_on_without_it(manifest, rows, tmp_path, head):
    code, out, err = run("train", manifest, *SMALL, "--head", *head, "--out", tmp_path / "run", "--json")
    assert code == 3, err
    done = json.loads(out)
    assert done["failed"] == {name(row): reason(row) for row in (rows[0], rows[3], rows[4])}
    assert done["metrics"]["test"]["num_clips"] == 5
    assert done["metrics"]["test"]["failed"] == [name(rows[4])]
    assert done["metrics"]["test"]["top1"] <= 0.8
    assert err.count("Skipped ") == 3
    predictions = read_csv(tmp_path / "run" / "predictions.csv")
    errors = {(row["path"], row["start"]): row["error"] for row in predictions if row["error"]}
    assert errors == {(str(row[0]), "5.0"): reason(row) for row in (rows[3], rows[4])}
    assert reason(rows[0]) in (tmp_path / "run" / "report.html").read_text()
    code, out, err = run("evaluate", tmp_path / "run")
    assert code == 3
    assert f"counted as wrong: {reason(rows[4])}" in out.splitlines()
    code, out, _ = run("predict", tmp_path / "run", manifest, "--json")
    assert code == 3
    assert [line["error"] for line in map(json.loads, out.splitlines())].count(None) == 12


def test_comparing_heads_goes_on_without_it(manifest, rows):
    code, out, err = run(
        "compare", manifest, "--backbones", "pixels:8", "--num-frames", 4, "--heads", "prototype", "--folds", 2, "--json"
    )
    assert code == 3, err
    done = json.loads(out)
    assert done["left_out"] == {name(row): reason(row) for row in (rows[0], rows[3])}
    assert done["num_clips"] == 8


def test_extraction_names_it(manifest, rows):
    code, out, err = run("extract", manifest, "--backbone", "pixels:8", "--json")
    assert code == 3
    assert json.loads(out) == {"videos": 12, "failed": {name(row): reason(row) for row in (rows[0], rows[3], rows[4])}}
    assert f"Skipped {reason(rows[0])}" in err


@pytest.mark.torch
def test_pretraining_and_the_measured_leak_go_on_without_it(manifest, rows, tmp_path):
    code, out, err = run("pretrain", manifest, *SMALL, "--epochs", 1, "--head.width", 16, "--out", tmp_path / "encoder", "--json")
    assert code == 3, err
    assert json.loads(out)["failed"] == {name(row): reason(row) for row in (rows[0], rows[3])}
    extractor = Extractor(load_backbone("pixels:8"), fps=8.0, cache=FeatureCache())
    assert leakage_of(read_manifest(manifest), extractor).num_clips == 12


@pytest.mark.slow
def test_fine_tuning_goes_on_without_it(manifest, tmp_path):
    words = ("--backbone", "test_vit", "--no-pretrained", "--image-size", 32, "--num-frames", 2, "--finetune", "last-stage")
    code, out, err = run("train", manifest, *words, "--finetune-epochs", 1, "--epochs", 1, "--out", tmp_path / "run", "--json")
    assert code == 3, err
    assert len(json.loads(out)["failed"]) == 3


def test_a_true_segment_after_the_end_is_missed_and_listed(rows, tmp_path):
    clips = [Clip(path=row[0], label=row[1], split=row[4]) for row in rows]
    gerund.train(clips, backbone="pixels:8", num_frames=4, head="prototype", out=tmp_path / "run")
    (tmp_path / "t.csv").write_text(f"path,label,start,end\n{rows[0][0]},dark,0,1\n{rows[0][0]},dark,5,9\n")
    code, out, _ = run("evaluate", "--timeline", tmp_path / "run", tmp_path / "t.csv", "--json")
    assert code == 3
    assert json.loads(out)["failed"] == {name(rows[0]): reason(rows[0])}


def test_a_class_that_has_nothing_else_is_named(manifest, rows, tmp_path):
    late = [Clip(path=row[0], label="late", start=5, end=9, split=row[4]) for row in rows[:6]]
    clips = [Clip(path=row[0], label=row[1], split=row[4]) for row in rows]
    with pytest.raises(gerund.core.errors.TrainingError, match="no training clip of late can be used"):
        gerund.train([*clips, *late], backbone="pixels:8", num_frames=4, head="prototype", out=tmp_path / "run")
