"""The default readout: from one clip a class to all, films of test clips in a row, and what it does not know. Needs GERUND_TEST_DATA.

python benchmarks/readout.py [few] [films] [live] [unknown] [--backbone lite] [--more]

Official lists 1 to 3; `--more` joins the six further classes. Everything works on cached features; nothing is chosen by what is measured here.
"""

import argparse
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from clips import DATA, weights_of
from pretraining import drawn

from gerund.core import progress
from gerund.core.recipes import RECIPES, Recipe
from gerund.core.types import Clip, Features, Segment
from gerund.data.datasets import load_dataset
from gerund.data.datasets.background import BACKGROUND
from gerund.data.manifest import labels_of, of_split
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction
from gerund.live.spotter import LAG_SHARE, LEAST_SEEN, NO_ACTION, Event, Look, Rolling, Spotter
from gerund.recognition.metrics import auroc, expected_calibration_error
from gerund.recognition.recognizer import Recognizer, logits_of
from gerund.recognition.token_set import token_set
from gerund.timelines.evaluate import segments_of
from gerund.timelines.metrics import boundary_error, edit_score, frame_accuracy, segmental_f1
from gerund.timelines.timeline import timeline_of, windows_for
from gerund.training.calibrate import calibrate
from gerund.training.head import with_durations
from gerund.training.prepare import untrained
from gerund.training.solve import solve_quietly

SPLITS, DRAWS, ORDERS = (1, 2, 3), 3, 2
COUNTS = (1, 2, 5, 10, None)
UNKNOWN_AT = 0.05


def settings_of(backbone: str) -> Recipe:
    weights = weights_of(backbone) if backbone == "mobilenetv2_100" else {}
    return replace(RECIPES["default"], backbone=backbone, device="cpu", **{key: str(value) for key, value in weights.items()})


def clips_of(split: int, more: bool) -> list[Clip]:
    names = ("ucf101", "ucf101_more") if more else ("ucf101",)
    return [clip for name in names for clip in load_dataset(f"ucf101:{DATA / name}", split=split)]


def solved(train: Sequence[Clip], settings: Recipe, extraction: Extraction) -> Recognizer:
    """A recogniser as `gerund.train` makes it from these clips, calibrated, without a folder."""
    recognizer = with_durations(untrained(train, settings, FeatureCache()), train, extraction.features)
    solve_quietly(recognizer.head, token_set(recognizer, [extraction], train))
    return calibrate(recognizer, extraction, train, settings, 1)[0]


def few(settings: Recipe, more: bool) -> None:
    """Top-1 and calibration error over the test clips, labelled ones drawn from other groups each."""
    extraction = extracted(settings, more)
    for count in COUNTS:
        top1, scores, targets = [], [], []
        for split in SPLITS:
            clips = clips_of(split, more)
            train, test, labels = of_split(clips, "train"), of_split(clips, "test"), labels_of(clips)
            for draw in range(DRAWS if count else 1):
                chosen = drawn(train, count, np.random.default_rng([split, draw])) if count else train
                recognizer = solved(chosen, settings, extraction)
                scores.append(recognizer.scores(extraction, test)[0])
                targets.append(np.array([labels.index(clip.label or "") for clip in test]))
                top1.append(float((scores[-1].argmax(1) == targets[-1]).mean()))
        error = expected_calibration_error(np.concatenate(scores), np.concatenate(targets))
        print(f"{count or 'all'} clips a class: top-1 {np.mean(top1):.3f} (sd {np.std(top1):.3f}), ECE {error:.3f}", flush=True)


def extracted(settings: Recipe, more: bool) -> Extraction:
    clips = clips_of(1, more)
    return untrained(clips, settings, FeatureCache()).extractor.extract(clip.path for clip in clips)


def films(settings: Recipe, more: bool) -> None:
    """Test clips one after the other: as they are, faded over one and two seconds, with a class as background, and with one never seen."""
    extraction = extracted(settings, more)
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for split in SPLITS:
        clips = clips_of(split, more)
        train, test, labels = of_split(clips, "train"), of_split(clips, "test"), labels_of(clips)
        model = solved(train, settings, extraction)
        others = {gone: solved([c for c in train if c.label != gone], settings, extraction) for gone in labels}
        called = {gone: solved(named_background(train, gone), settings, extraction) for gone in labels}
        for order in range(ORDERS):
            chosen = [test[index] for index in np.random.default_rng([split, order]).permutation(len(test))]
            for name, fade in (("as they are", 0.0), ("1 s of cross-fade", 1.0), ("2 s of cross-fade", 2.0)):
                film, truth = in_a_row(chosen, extraction, fade)
                found[name].append(measured(model, film, truth))
            film, truth = in_a_row(chosen, extraction, 0.0)
            for gone in labels:
                rest = [clip for clip in truth if clip.label != gone]
                found["a class as background"].append(measured(called[gone], film, rest))
                found["a class never seen"].append(measured(others[gone], film, rest))
    for name, each in found.items():
        print(f"{name:24s}", {key: round(float(np.mean([one[key] for one in each])), 3) for key in each[0]}, f"{len(each)} films")


def live(settings: Recipe, more: bool) -> None:
    """The same films as a stream, in which nobody looks ahead: actions as they were told, and how long after they began."""
    extraction = extracted(settings, more)
    found, delays = list[dict[str, float]](), list[float]()
    for split in SPLITS:
        clips = clips_of(split, more)
        test, model = of_split(clips, "test"), solved(of_split(clips, "train"), settings, extraction)
        for order in range(ORDERS):
            film, truth = in_a_row(
                [test[n] for n in np.random.default_rng([split, order]).permutation(len(test))], extraction, 0.0
            )
            events = streamed(model, film)
            told = [Segment(label=e.label, start=e.start, end=e.end, score=e.score) for e in events if e.end is not None]
            found.append(agreement(told, truth, film))
            delays += [event.seconds - event.start for event in events if event.end is None]
    means = {key: round(float(np.mean([one[key] for one in found])), 3) for key in found[0]}
    print(f"{'live':24s} {means} {len(found)} films; told {np.median(delays):.2f} s after the start (median)")


def streamed(model: Recognizer, film: Features) -> list[Event]:
    """What `gerund watch` would say of rows that come one at a time."""
    window, step = model.usual_window, 1 / 8
    spotter = Spotter(
        model.labels,
        model.segment_prior(NO_ACTION, step=step, threshold=0.5),
        threshold=0.5,
        min_duration=0.5,
        step=step,
        lag=window * LAG_SHARE,
    )
    rolling, events, whole = Rolling(window), list[Event](), Clip(path=Path("film"))
    for seconds, row in zip(film.pts, np.asarray(film.data[0 : len(film)]), strict=True):
        rolling.add(float(seconds), row)
        if seconds >= LEAST_SEEN:
            events += spotter.add(
                Look(seconds=float(seconds), scores=model.window_scores(rolling.features(), [whole])[0], latency=0.0)
            )
    return events + spotter.end()


def named_background(clips: Sequence[Clip], label: str) -> list[Clip]:
    return [replace(clip, label=BACKGROUND) if clip.label == label else clip for clip in clips]


def in_a_row(clips: Sequence[Clip], extraction: Extraction, fade: float) -> tuple[Features, list[Clip]]:
    """The rows of clips one after the other, neighbours mixed over `fade` seconds, and where each is."""
    rows, truth, start, step = [], [], 0.0, 1 / 8
    for clip in clips:
        features = extraction.features[clip.path]
        rows.append(np.asarray(features.data[0 : len(features)], np.float32))
        truth.append(Clip(path=Path("film"), label=clip.label, start=start, end=start + len(features) * step))
        start += len(features) * step
    half = round(fade / step / 2)
    for before, after in pairwise(rows):
        count = min(half, len(before) // 2, len(after) // 2)
        if count:
            share = (np.arange(2 * count)[:, None] + 0.5) / (2 * count)
            ends, begins = before[-count:].copy(), after[:count].copy()
            before[-count:] = (1 - share[:count]) * ends + share[:count] * begins[0]
            after[:count] = (1 - share[count:]) * ends[-1] + share[count:] * begins
    data = np.concatenate(rows).astype(np.float16)
    return Features(data, np.arange(len(data)) * step, start), truth


def measured(model: Recognizer, film: Features, truth: Sequence[Clip]) -> dict[str, float]:
    return agreement(timeline_of(model, Path("film"), film, windows_for(model)).segments, truth, film)


def agreement(found: Sequence[Segment], truth: Sequence[Clip], film: Features) -> dict[str, float]:
    pairs = [(list(found), segments_of(truth, film.end))]
    return {
        "frame accuracy": frame_accuracy(pairs, [film.pts]),
        "F1@50": segmental_f1(pairs, 0.5),
        "edit": edit_score(pairs),
        "border s": boundary_error(pairs),
    }


def unknown(settings: Recipe, more: bool) -> None:
    """Each class left out in turn: whether its test clips look less known than those of the others, and how many known ones are lost."""
    extraction = extracted(settings, more)
    rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for split in SPLITS:
        clips = clips_of(split, more)
        for gone in labels_of(clips):
            rest = [clip for clip in clips if clip.label != gone]
            model = solved(of_split(rest, "train"), settings, extraction)
            known, strange = (
                looked_at(model, extraction, of_split(side, "test")) for side in (rest, [c for c in clips if c.label == gone])
            )
            lost, found = ((share < UNKNOWN_AT).mean() for _, share in (known, strange))
            rows[gone].append((auroc(known[0], strange[0]), lost, found))
    for gone, each in rows.items():
        print(
            f"without {gone:18s} AUROC {{:.3f}}  called unknown: known {{:.3f}}, left out {{:.3f}}".format(*np.mean(each, axis=0))
        )
    means = np.array([np.mean(each, axis=0) for each in rows.values()])
    print(
        f"mean AUROC {means[:, 0].mean():.3f}, worst class {means[:, 0].min():.3f}; known clips called unknown {means[:, 1].mean():.3f}"
    )


def looked_at(model: Recognizer, extraction: Extraction, clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """How known clips look (N,), and the share of known clips that look at most so (N,)."""
    data, valid, _ = model.tokens(extraction, clips)
    logits, familiarity = logits_of(model.head, data, valid), model.familiarity
    assert familiarity is not None
    evidence = familiarity.evidence(familiarity.score(data, valid), logits.max(axis=1) / familiarity.unit)
    return evidence, familiarity.known(data, valid, logits)


PARTS = {"few": few, "films": films, "live": live, "unknown": unknown}

if __name__ == "__main__":
    progress.notes.setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--more", action="store_true", help="eleven classes")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.backbone}, {'11' if given.more else '5'} classes")
    for part in given.parts:
        print(f"-- {part}", flush=True)
        PARTS[part](settings_of(given.backbone), given.more)
