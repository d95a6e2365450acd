"""Numbers and agreement of real sequences (50 Salads, GTEA), true and found, as pandas and scikit-learn have them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund.timelines.segments import borders

pandas = pytest.importorskip("pandas")
metrics = pytest.importorskip("sklearn.metrics")
pytestmark = pytest.mark.real

VIDEOS = 8


def written(codes: dict[str, np.ndarray], path: Path) -> Path:
    """Sequences of a code a second as `timeline --json` prints them; code 0 is no label."""
    lines = []
    for name, own in codes.items():
        runs = [(own[a], float(a), float(b)) for a, b in pairwise(borders(own).tolist()) if own[a]]
        segments = [{"label": f"c{code}", "start": a, "end": b, "score": 1.0} for code, a, b in runs]
        lines.append(json.dumps({"path": f"{name}.mp4", "duration": float(len(own)), "segments": segments}))
    path.write_text("\n".join(lines))
    return path


def sequences(file: Path, kind: str) -> dict[str, np.ndarray]:
    arrays = np.load(file)
    keys = sorted({key.rsplit("_", 1)[0] for key in arrays.files})[:VIDEOS]
    return {key: arrays[f"{key}_{kind}"].astype(int) for key in keys}


@pytest.mark.parametrize("name", ["salads_eval_svm", "gtea_svm"])
@pytest.mark.parametrize("kind", ["Y", "P"])
def test_numbers_equal_those_of_pandas(real_data: Path, tmp_path: Path, name: str, kind: str) -> None:
    codes = sequences(real_data / "sequences" / f"{name}.npz", kind)
    rows = []
    for video, own in codes.items():
        change = pandas.Series(own).diff().ne(0).cumsum()
        runs = (
            pandas.DataFrame({"code": own, "run": change, "at": np.arange(len(own))})
            .groupby("run")
            .agg(code=("code", "first"), start=("at", "min"), end=("at", "max"))
        )
        rows.append(runs[runs.code > 0].assign(video=video, length=len(own), end=runs.end + 1))
    bouts = pandas.concat(rows).assign(seconds=lambda table: table.end - table.start)
    bouts["gap"] = bouts.groupby(["video", "code"]).start.shift(-1) - bouts.end
    expected = bouts.groupby(["video", "code"]).agg(
        count=("seconds", "size"),
        total=("seconds", "sum"),
        mean=("seconds", "mean"),
        median=("seconds", "median"),
        sd=("seconds", "std"),
        longest=("seconds", "max"),
        latency=("start", "min"),
        between=("gap", "mean"),
        length=("length", "first"),
    )
    expected["share"] = expected.total / expected.length
    expected["per_hour"] = 3600 * expected["count"] / expected.length
    found = [row for row in gerund.stats(written(codes, tmp_path / "t.json")).rows if row.measures.count]
    assert len(found) == len(expected)
    for row in found:
        true = expected.loc[(row.path.stem, int(row.label[1:]))]
        for measure in expected.columns.drop("length"):
            ours = getattr(row.measures, measure)
            assert (np.nan if ours is None else ours) == pytest.approx(true[measure], abs=1e-9, nan_ok=True), (row, measure)


@pytest.mark.parametrize("name", ["salads_eval_svm", "gtea_svm"])
def test_kappa_and_confusion_equal_those_of_scikit_learn(real_data: Path, tmp_path: Path, name: str) -> None:
    true, guess = (sequences(real_data / "sequences" / f"{name}.npz", kind) for kind in "YP")
    found = gerund.agree(written(true, tmp_path / "y.json"), written(guess, tmp_path / "p.json"), step=1.0)
    first, second = (np.concatenate(list(codes.values())) for codes in (true, guess))
    assert found.metrics["kappa_steps"] == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-9)
    order = [*(int(label[1:]) for label in found.labels), 0]
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(first, second, labels=order))
