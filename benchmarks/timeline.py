"""Timelines: speed and memory on two hours, accuracy on toy actions and on real clips in a row, and against running each window anew.

python benchmarks/timeline.py [speed] [real] [windows]
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from clips import DATA, weights_of
from making import repeated

from gerund import video
from gerund.core import progress
from gerund.core.types import Clip, Features
from gerund.data.datasets import load_dataset, toy
from gerund.data.manifest import of_split, write_manifest
from gerund.features.cache import FeatureCache
from gerund.features.tokens import clip_rows
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.evaluate import evaluate_timeline
from gerund.timelines.timeline import TimelineSettings, step_scores, timelines, windows_for, windows_of
from gerund.training.train import train

FOLDER = Path(tempfile.gettempdir()) / "gerund-bench-timeline"
MINUTES, FPS = 4, 4.0
HEADS: dict[str, dict[str, Any]] = {"default": {}, "transformer": {"head": "transformer", "num_frames": 16}}
TEST_PERFORMERS = range(1, 24, 3)
"""The toy set's test side; no model has seen them."""


def toy_film() -> tuple[Path, list[Clip]]:
    """Four minutes of toy actions, 640 x 360, 2 to 4 s each in random order, and where they are."""
    path, truth = FOLDER / "film.mp4", FOLDER / "film.json"
    if not truth.exists():
        rng = np.random.default_rng(0)
        spans: list[tuple[float, float, str]] = []

        def frames():
            left = MINUTES * 60 * 25
            while left > 0:
                label = str(rng.choice([name for name in toy.ACTIONS if not spans or name != spans[-1][2]]))
                count = min(left, round(25 * rng.uniform(2, 4)))
                count = left if left - count < 50 else count
                start = spans[-1][1] if spans else 0.0
                spans.append((start, start + count / 25, label))
                performer, take = int(rng.choice(TEST_PERFORMERS)), len(spans)
                yield from toy.perform(label, performer, take=take, seconds=count / 25, size=(360, 640))
                left -= count

        video.write(path, frames(), fps=25, options={"preset": "fast"})
        truth.write_text(json.dumps(spans))
    return path, [Clip(path=path, start=start, end=end, label=label) for start, end, label in json.loads(truth.read_text())]


def two_hours() -> Path:
    """The film thirty times in a row, with its manifest beside it."""
    film, truth = toy_film()
    path = repeated(film, FOLDER / "two-hours.mp4", 120 // MINUTES)
    shifts = [60 * MINUTES * number for number in range(120 // MINUTES)]
    write_manifest(
        [Clip(path=path, label=clip.label, start=clip.start + shift, end=clip.end + shift) for shift in shifts for clip in truth],
        path.with_suffix(".csv"),
    )
    return path


def toy_model(backbone: str) -> Path:
    """A model of the toy set's train side at 4 frames per second."""
    run = FOLDER / f"toy-{backbone}"
    if not (run / "metrics.json").exists():
        options = weights_of(backbone) if backbone != "pixels" else {}
        train(f"toy:{FOLDER / 'toy'}", backbone=backbone, fps=FPS, out=run, cache=FOLDER / "cache", **options)
    return run


def child(model: str, path: str) -> None:
    """One timeline on an empty cache: seconds by part and the peak memory of this process, as JSON."""
    with tempfile.TemporaryDirectory() as cache:
        recognizer = Recognizer.load(model, cache=Path(cache))
        settings = windows_for(recognizer)
        recognizer.extractor.engine  # noqa: B018  compiled before the clock starts
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        recognizer.extractor.extract([Path(path)])
        extracted = time.perf_counter()
        found = next(timelines(recognizer, [Path(path)], settings))
        ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([found.duration, extracted - started, ended - extracted, before / 1024, peak / 1024]))


def speed() -> None:
    hours = two_hours()
    short = repeated(toy_film()[0], FOLDER / "four-minutes.mp4", 1)
    for name in ("mobilenetv2_100", "pixels"):
        run = toy_model(name)
        peaks = []
        for path in (short, hours):
            words = [sys.executable, __file__, "child", str(run), str(path)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            duration, extraction, windows, before, peak = json.loads(done.stdout)
            peaks.append(peak)
            print(
                f"{name:16s} {duration:6.0f} s of video: features {extraction:.1f} s, windows {windows:.1f} s, "
                f"{duration / (extraction + windows):.0f} times real time; peak {peak:.0f} MB, {peak - before:.0f} above the loaded "
                f"model (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
        print(f"{name:16s} two hours need {peaks[1] - peaks[0]:.0f} MB more than {MINUTES} minutes")
        metrics = evaluate_timeline(run, hours.with_suffix(".csv"), cache=FOLDER / "cache").metrics
        print(name, json.dumps({key: round(value, 3) for key, value in metrics.items()}), flush=True)


def real_clips(count: int = 60) -> None:
    """Test clips one after the other in one file; the model has seen the train list only."""
    clips = load_dataset(f"ucf101:{DATA / 'ucf101'}", split=1)
    test = of_split(clips, "test")
    order = np.random.default_rng(0).permutation(len(test))[:count]
    path, spans, start = FOLDER / "real.mp4", [], 0.0

    def frames():
        nonlocal start
        for index in order:
            number = 0
            for block in video.read(test[index].path):
                yield from block.data
                number += len(block)
            spans.append(Clip(path=path, label=test[index].label, start=start, end=start + number / 25))
            start += number / 25

    video.write(path, frames(), fps=25, options={"preset": "fast", "crf": "18"})
    write_manifest(spans, FOLDER / "real.csv")
    for name, head in HEADS.items():
        run = FOLDER / f"ucf101-{name}"
        if not (run / "metrics.json").exists():
            train(clips, backbone="mobilenetv2_100", out=run, cache=FOLDER / "cache", **head, **weights_of("mobilenetv2_100"))
        metrics = evaluate_timeline(run, FOLDER / "real.csv", cache=FOLDER / "cache").metrics
        print(
            f"{name}: {len(spans)} clips, {start:.0f} s",
            json.dumps({key: round(value, 3) for key, value in metrics.items()}),
            flush=True,
        )


def pictures_in_memory(recognizer: Recognizer, path: Path, pts: np.ndarray, spans: list[slice]) -> Iterator[np.ndarray]:
    """The frames of each window, from a video that is decoded once and kept: possible while it is short."""
    blocks = video.read(path, fps=recognizer.extractor.spec.fps, resize=recognizer.backbone.resize, threads=0)
    frames = np.concatenate([block.data for block in blocks])
    return (frames[span] for span in spans)


def pictures_from_file(recognizer: Recognizer, path: Path, pts: np.ndarray, spans: list[slice]) -> Iterator[np.ndarray]:
    """The very same frames, cut out of the file for each window, as a loop over clips does: seek, decode, scale."""
    convert = video.FrameConverter(recognizer.backbone.resize)
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for span in spans:
            wanted = pts[span]
            container.seek(int(wanted[0] / stream.time_base), stream=stream)
            found: list[np.ndarray] = []
            for frame in container.decode(stream):
                if len(found) == len(wanted):
                    break
                if abs(frame.time - wanted[len(found)]) < 1e-3:
                    found.append(convert(frame))
            yield np.stack(found)


def each_window_anew(
    recognizer: Recognizer, clips: list[Clip], spans: list[slice], pts: np.ndarray, pictures: Iterator[np.ndarray]
) -> np.ndarray:
    """Probabilities (N, K) of windows whose frames all go through the whole model, in full batches."""
    engine = recognizer.extractor.engine
    rows = np.empty((sum(span.stop - span.start for span in spans), recognizer.backbone.feature_dim), np.float16)

    def keep(first: int, count: int):
        def receive(data: np.ndarray) -> None:
            rows[first : first + count] = data[:count]

        return receive

    size = recognizer.backbone.resize
    batch, filled, first = np.empty((engine.batch_size, size.height, size.width, 3), np.uint8), 0, 0
    for frame in itertools.chain.from_iterable(pictures):
        batch[filled] = frame
        filled += 1
        if filled == len(batch) or first + filled == len(rows):
            engine.submit(batch, keep(first, filled))
            first, filled, batch = first + filled, 0, batch.copy()
    engine.drain()
    scores, first = [], 0
    for span, clip in zip(spans, clips, strict=True):
        count = span.stop - span.start
        scores.append(recognizer.segment_scores(Features(rows[first : first + count], pts[span]), [clip])[0])
        first += count
    return np.array(scores)


def against_each_window_anew(repeats: int = 3) -> None:
    film, _ = toy_film()
    recognizer = Recognizer.load(toy_model("mobilenetv2_100"), cache=FOLDER / "cache")
    recognizer.extractor.engine  # noqa: B018  compiled before the clock starts
    window = windows_for(recognizer).window
    for share in (8, 16):
        settings = TimelineSettings(window=window, hop=window / share)
        seconds: dict[str, list[float]] = defaultdict(list)
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as cache:
                recognizer.extractor.cache = FeatureCache(Path(cache))
                started = time.perf_counter()
                features = recognizer.extractor.extract([film]).features[film]
                step_scores(recognizer, film, features, settings)
                seconds["gerund"].append(time.perf_counter() - started)
                clips = windows_of(film, features, window, window / share)
                once = recognizer.segment_scores(features, clips)
            spans = [clip_rows(features, clip) for clip in clips]
            for pictures in (pictures_from_file, pictures_in_memory):
                started = time.perf_counter()
                anew = each_window_anew(recognizer, clips, spans, features.pts, pictures(recognizer, film, features.pts, spans))
                seconds[pictures.__name__].append(time.perf_counter() - started)
                assert np.abs(once - anew).max() < 1e-3, "other answers"
        medians = {name: statistics.median(each) for name, each in seconds.items()}
        ratios = ", ".join(f"{name} {each:.1f} s: {each / medians['gerund']:.1f} times" for name, each in medians.items())
        print(
            f"hop = window / {share}, {len(clips)} windows: {ratios} (load {os.getloadavg()[0]:.1f}, medians of {repeats})",
            flush=True,
        )


PARTS = {"speed": speed, "real": real_clips, "windows": against_each_window_anew}

if __name__ == "__main__":
    progress.notes.setLevel("WARNING")
    FOLDER.mkdir(exist_ok=True)
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
        for part in parser.parse_args().parts:
            print(f"-- {part}", flush=True)
            PARTS[part]()
