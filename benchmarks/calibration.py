"""Calibration error and unknown actions on the real clips, default head, official splits. Needs GERUND_TEST_DATA."""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clips import DATA
from heads import SAME_FEATURES

import gerund
from gerund.core import progress
from gerund.core.types import Clip
from gerund.data.manifest import group_of, labels_of, of_split
from gerund.recognition.calibration import UNKNOWN_THRESHOLD, without_temperature
from gerund.recognition.metrics import auroc, expected_calibration_error
from gerund.recognition.recognizer import logits_of

DRAWS = 2000
"""Of the bootstrap, and of the perfectly calibrated model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("calibration", "unknown"))
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, splits 1-3, seeds 0-{given.seeds - 1}", flush=True)
    if given.only != "unknown":
        measure_calibration(given.seeds)
    if given.only != "calibration":
        measure_unknown()


def measure_calibration(seeds: int) -> None:
    """Pooled test predictions of all splits and seeds, with the temperature and without."""
    parts: list[tuple[np.ndarray, ...]] = []
    for split in (1, 2, 3):
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                done = gerund.train(data_of(), split=split, seed=seed, out=Path(folder) / "run", **SAME_FEATURES)
                recognizer = gerund.Recognizer.load(done.run)
            assert done.test is not None
            known = known_of(recognizer, done.test.clips)[0]
            groups = np.array([f"{split} {group_of(clip)}" for clip in done.test.clips])
            before = without_temperature(done.test.scores, recognizer.temperature)
            parts.append((before, done.test.scores, done.test.targets, groups, known))
            error = expected_calibration_error(done.test.scores, done.test.targets)
            print(
                f"split {split} seed {seed}  top-1 {done.metrics['test']['top1']:.3f}  temperature {recognizer.temperature:.2f}  "
                f"calibration error {expected_calibration_error(before, done.test.targets):.3f} -> {error:.3f}",
                flush=True,
            )
    before, after, targets, groups, known = (np.concatenate(part) for part in zip(*parts, strict=True))
    for name, scores in (("before", before), ("after", after)):
        low, high = bootstrap(scores, targets, groups)
        perfect = perfect_errors(scores)
        print(
            f"calibration error {name:6s} {expected_calibration_error(scores, targets):.3f}  95 % interval by group {low:.3f} to {high:.3f}"
            f"  a perfectly calibrated model {perfect.mean():.3f} (95 % below {np.quantile(perfect, 0.95):.3f})"
        )
    print(f"{len(targets)} predictions; known clips called unknown: {(known < UNKNOWN_THRESHOLD).mean():.3f}", flush=True)


def bootstrap(scores: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of the calibration error, from drawing whole groups with replacement."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    errors = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[index] for index in rng.integers(len(members), size=len(members))])
        errors.append(expected_calibration_error(scores[rows], targets[rows]))
    low, high = np.quantile(errors, (0.025, 0.975))
    return float(low), float(high)


def perfect_errors(scores: np.ndarray) -> np.ndarray:
    """Calibration errors of a model whose clips are right exactly as often as it says, drawn anew each time."""
    rng = np.random.default_rng(0)
    best, confidence = scores.argmax(axis=1), scores.max(axis=1)
    wrong = (best + 1) % scores.shape[1]
    drawn = (np.where(rng.random(len(best)) < confidence, best, wrong) for _ in range(DRAWS))
    return np.array([expected_calibration_error(scores, targets) for targets in drawn])


def measure_unknown() -> None:
    """Train on four classes; the test clips of these against the test clips of the fifth. The head is of no account: a quick one."""
    found: dict[str, list[list[float]]] = {}
    for split in (1, 2, 3):
        clips = gerund.load_dataset(data_of(), split=split)
        for label in labels_of(clips):
            rest = [clip for clip in clips if clip.label != label]
            with tempfile.TemporaryDirectory() as folder:
                recognizer = gerund.Recognizer.load(
                    gerund.train(rest, head="mean", epochs=1, out=Path(folder) / "run", **SAME_FEATURES).run
                )
            known, familiar = known_of(recognizer, of_split(rest, "test"))
            strange, unfamiliar = known_of(recognizer, [clip for clip in of_split(clips, "test") if clip.label == label])
            row = [
                auroc(familiar, unfamiliar),
                float((known < UNKNOWN_THRESHOLD).mean()),
                float((strange < UNKNOWN_THRESHOLD).mean()),
            ]
            found.setdefault(label, []).append(row)
            print(f"split {split} without {label:18s} {show(row)}", flush=True)
    for label, rows in found.items():
        print(f"without {label:18s} {show(np.mean(rows, axis=0))}")
    print(f"mean of all                {show(np.mean([row for rows in found.values() for row in rows], axis=0))}")


def known_of(recognizer: gerund.Recognizer, clips: Sequence[Clip]) -> tuple[np.ndarray, ...]:
    """Of each clip: share of known clips that look at most as familiar, and its familiarity."""
    data, valid, errors = recognizer.tokens(recognizer.extractor.extract(clip.path for clip in clips), clips)
    assert not errors
    assert recognizer.familiarity is not None
    known = recognizer.familiarity.known(data, valid, logits_of(recognizer.head, data, valid))
    return known, recognizer.familiarity.score(data, valid)


def show(row: Any) -> str:
    return f"AUROC {row[0]:.3f}  called unknown: known clips {row[1]:.3f}, left-out class {row[2]:.3f}"


def data_of() -> str:
    return f"ucf101:{DATA / 'ucf101'}"


if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    main()
