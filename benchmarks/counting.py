"""How far the numbers of `gerund stats` can be trusted: real falls in whole videos left out, and long sequences decoded from scores.

python benchmarks/counting.py [falls] [sequences] [page]

`falls` (30 videos with a label for every frame, in GERUND_TEST_DATA): 5 folds of whole videos; the default command trains on the videos
of the others. Besides, it trains on those others alone with --leave-one-out group, which says by how much numbers are off; that stands
beside by how much they are. `sequences`: true and found labels of 50 Salads and GTEA, one row a second, found by
arg max and by the decoder of timelines; numbers, errors and agreement. `page`: seconds that `stats --html` needs.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from clips import DATA

import gerund
from gerund.core import progress
from gerund.data.datasets import load_annotations, load_dataset
from gerund.data.manifest import write_manifest
from gerund.data.split import split
from gerund.heads.durations import Durations
from gerund.heads.semi_markov import likeliest_states, row_evidence
from gerund.timelines.agree import agree
from gerund.timelines.evaluate import evaluate_timeline
from gerund.timelines.metrics import boundary_error, frame_accuracy, segmental_f1
from gerund.timelines.observations import Observation, observe, of_annotations
from gerund.timelines.segments import borders
from gerund.timelines.trust import count_errors, held_out_errors

FOLDER = Path(tempfile.gettempdir()) / "gerund-bench-counting"
FOLDS = 5


def falls() -> None:
    spans = DATA / "falls" / "spans.csv"
    folds = split(spans, folds=FOLDS, out=FOLDER / "falls.csv").files
    videos, found, truth, announced = [], [], [], []
    for number, manifest in enumerate(folds, start=1):
        clips = load_dataset(manifest)
        model = FOLDER / f"fold{number}"
        if not model.exists():
            gerund.train(manifest, out=model, cache=FOLDER / "cache")
        evaluation = evaluate_timeline(model, manifest, cache=FOLDER / "cache")
        videos += [(each.segments, true) for each, true in zip(evaluation.timelines, evaluation.truth, strict=True)]
        times = evaluation.times()
        own = FOLDER / f"own{number}"
        if not own.exists():
            write_manifest([replace(clip, split=None) for clip in clips if clip.split != "test"], FOLDER / f"own{number}.csv")
            gerund.train(FOLDER / f"own{number}.csv", leave_one_out="group", out=own, cache=FOLDER / "cache")
        announced += [(each, number) for each in held_out_errors(own)]
        test = {clip.path for clip in clips if clip.split == "test"}
        true = of_annotations(each for each in load_annotations(spans) if each.path in test)
        truth += true
        found += observe([own, *(each.path for each in true)], cache=FOLDER / "cache")
        print(f"fold {number}: {len(test)} videos, frame accuracy {frame_accuracy(videos[-len(test) :], times):.3f}", flush=True)
    f1 = segmental_f1(videos, 0.5)
    at = [np.arange(0, max(segment.end for segment in true), 1 / 30) for _, true in videos]
    print(f"all: frame accuracy {frame_accuracy(videos, at):.3f}, F1@50 {f1:.3f}, border error {boundary_error(videos):.3f} s")
    for each in count_errors(found, truth):
        said = [error for error, _ in announced if error.label == each.label]
        counts, totals = (np.mean([getattr(error, name) for error in said]) for name in ("count_error", "total_error"))
        print(
            f"{each.label}: count off by {each.count_error:.2f} a video (announced {counts:.2f}), time by {each.total_error:.2f} s "
            f"(announced {totals:.2f} s, from {min(error.videos for error in said)} to {max(error.videos for error in said)} videos)"
        )
    for label in ("falling", "lying"):
        late = [latency(ours, label) - latency(true, label) for ours, true in zip(found, truth, strict=True)]
        print(
            f"{label}: latency off by {np.nanmedian(np.abs(late)):.2f} s (median), not found in {int(np.isnan(late).sum())} videos"
        )


def latency(each: Observation, label: str) -> float:
    return next((bout.start for bout in each.bouts if bout.label == label), float("nan"))


def lines_of(names: list[str], codes: dict[str, np.ndarray], path: Path) -> Path:
    """Sequences of one code a second as the lines that `timeline --json` prints."""
    rows = []
    for name, own in codes.items():
        runs = pairwise(borders(own).tolist())
        segments = [{"start": float(a), "end": float(b), "label": names[own[a]], "score": 1.0} for a, b in runs]
        rows.append(json.dumps({"path": f"{name}.mp4", "duration": float(len(own)), "segments": segments}))
    path.write_text("\n".join(rows))
    return path


def decoded(scores: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The likeliest segmentations, as a timeline has them; how long labels last is measured on the videos of the other splits."""
    found = {}
    for key, own in scores.items():
        others = [codes for name, codes in truth.items() if name.split("_")[0] != key.split("_")[0]]
        runs = [(codes[a], b - a) for codes in others for a, b in pairwise(borders(codes))]
        targets, lengths = np.array([code for code, _ in runs]), [float(length) for _, length in runs]
        prior = Durations.measured(lengths, targets, own.shape[1], by_label=True).log_prior(1.0)
        shares = np.exp(own - own.max(axis=1, keepdims=True))
        evidence = row_evidence(shares / shares.sum(axis=1, keepdims=True))
        found[key] = likeliest_states(evidence, prior, np.zeros(own.shape[1], bool))
    return found


def sequences() -> None:
    for file in sorted((DATA / "sequences").glob("*.npz")):
        arrays = np.load(file)
        keys = sorted({key.rsplit("_", 1)[0] for key in arrays.files})
        truth = {key: arrays[f"{key}_Y"].astype(int) for key in keys}
        guess = {key: arrays[f"{key}_P"].astype(int) for key in keys}
        names = [f"{code:02d}" for code in range(1 + max(int(each.max()) for each in (*truth.values(), *guess.values())))]
        true = lines_of(names, truth, FOLDER / f"{file.stem}-true.json")
        scores = {key: arrays[f"{key}_S"].astype(float) for key in keys}
        for kind, codes in (("arg max", guess), ("decoded", decoded(scores, truth))):
            found = lines_of(names, codes, FOLDER / f"{file.stem}-{kind.replace(' ', '')}.json")
            metrics = agree(found, true, step=1.0).metrics
            errors = count_errors(observe([found]), observe([true]))
            counts, totals = (np.mean([getattr(each, name) for each in errors]) for name in ("count_error", "total_error"))
            bouts = sum(len(each.bouts) for each in observe([true])) / len(keys)
            print(
                f"{file.stem} {kind}: agreement {metrics['agreement']:.3f}, kappa {metrics['kappa_steps']:.3f}, F1@50 {metrics['f1@50']:.3f}; "
                f"per video and label count off by {counts:.2f} ({bouts:.0f} bouts a video), time by {totals:.1f} s",
                flush=True,
            )


def page() -> None:
    """A film of two hours and 200 short ones, with five labels."""
    rng = np.random.default_rng(0)
    lines = []
    for number, seconds in enumerate([7200.0, *rng.uniform(60, 300, 200)]):
        times = np.cumsum(rng.gamma(2, 4, int(seconds / 4)))
        times = times[times < seconds]
        segments: list[dict[str, Any]] = [
            {"start": round(float(a), 3), "end": round(float(b), 3), "label": f"label {rng.integers(5)}", "score": 0.9}
            for a, b in pairwise(times)
        ]
        lines.append(json.dumps({"path": f"v{number}.mp4", "duration": float(seconds), "segments": segments}))
    (FOLDER / "film.json").write_text("\n".join(lines))
    for options in ([], ["--bin", "60"]):
        begin = time.perf_counter()
        words = ["-m", "gerund", "stats", str(FOLDER / "film.json"), "--html", str(FOLDER / "page.html"), "--quiet", *options]
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        size = (FOLDER / "page.html").stat().st_size / 1000
        print(f"page {' '.join(options)}: {time.perf_counter() - begin:.2f} s, {size:.0f} kB")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    progress.mute()
    for part in sys.argv[1:] or ["falls", "sequences", "page"]:
        globals()[part]()
