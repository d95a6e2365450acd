"""Extraction: every row is the backbone's answer to its frame, whatever is extracted beside it, killed before, or broken."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gerund import video
from gerund.backbones import Backbone, load_backbone
from gerund.core.errors import CacheError, UsageError, VideoError
from gerund.core.types import Features
from gerund.features import cache
from gerund.features import extractor as features
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.video import pool as decoding
from support.clocks import standing

RampVideo = Callable[..., Path]


def features_of(path: Path, made_by: Extractor) -> Features:
    return made_by.extract([path]).features[path]


@pytest.fixture(scope="module")
def pixels() -> Backbone:
    return load_backbone("pixels:8")


class GreyEngine:
    """Stands for a backbone: a frame's features are its first pixel's red, and one. Answers come when and in what order a test wants."""

    batch_size = 16

    def __init__(self, *, order: str = "at once", fail_after: int | None = None, answer: float | None = None) -> None:
        self.order, self.fail_after, self.answer = order, fail_after, answer
        self.waiting: list[tuple[np.ndarray, Callable[[np.ndarray], None]]] = []
        self.frames_seen: list[int] = []

    def submit(self, batch: np.ndarray, done: Callable[[np.ndarray], None]) -> None:
        assert batch.shape[0] == self.batch_size
        if self.fail_after is not None and len(self.frames_seen) >= self.fail_after * self.batch_size:
            raise RuntimeError("the machine was switched off")
        levels = batch[:, 0, 0, 0].astype(np.float32)
        self.frames_seen += levels.astype(int).tolist()
        rows = np.stack([levels if self.answer is None else np.full_like(levels, self.answer), np.ones_like(levels)], axis=1)
        if self.order == "at once":
            done(rows)
        else:
            self.waiting.append((rows, done))

    def drain(self) -> None:
        random.Random(0).shuffle(self.waiting)
        for rows, done in self.waiting:
            done(rows)
        self.waiting = []


def extractor(
    backbone: Backbone, folder: Path, *, fps: float | None = None, workers: int = 2, engine: Any = None, **options: Any
) -> Extractor:
    made = Extractor(backbone, fps=fps, cache=FeatureCache(folder), device="cpu", precision="f32", workers=workers, **options)
    made.compiled = engine
    return made


def rows_of(extraction: features.Extraction, path: Path) -> np.ndarray:
    found = extraction.features[path]
    return found.data[0 : len(found)]


def noise_video(path: Path, num_frames: int, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    coarse = (generator.integers(0, 255, (4, 6, 3), np.uint8) for _ in range(num_frames))
    video.write(path, (picture.repeat(8, axis=0).repeat(8, axis=1) for picture in coarse), fps=25)
    return path


def grey_by_hand(frames: np.ndarray) -> np.ndarray:
    """What `pixels` is: BT.601 grey values, each frame's mean taken out and divided by its deviation."""
    rows = []
    for picture in frames.astype(np.float64) / 255:
        grey = 0.299 * picture[..., 0] + 0.587 * picture[..., 1] + 0.114 * picture[..., 2]
        rows.append(((grey - grey.mean()) / np.sqrt(grey.var() + 1e-4)).ravel())
    return np.array(rows)


@pytest.mark.parametrize("view", ["centre", "flip"])
@pytest.mark.parametrize("count", [1, 3])
def test_rows_are_what_the_backbone_gives_frame_by_frame(tmp_path: Path, pixels: Backbone, view: str, count: int) -> None:
    paths = [noise_video(tmp_path / f"clip {number} é.mp4", 40 + number, number) for number in range(count)]
    extraction = extractor(pixels, tmp_path, fps=8, view=view).extract(paths)
    assert extraction.failed == {}
    for path in paths:
        blocks = list(video.read(path, fps=8, resize=pixels.resize))
        frames = np.concatenate([block.data for block in blocks])
        assert len(frames) > 10
        np.testing.assert_allclose(extraction.features[path].pts, np.concatenate([block.pts for block in blocks]))
        expected = grey_by_hand(frames[:, :, ::-1] if view == "flip" else frames)
        np.testing.assert_allclose(rows_of(extraction, path), expected, atol=4e-3)


def test_rows_stay_in_order_when_batches_come_back_in_any_order(tmp_path: Path, pixels: Backbone, ramp_video: RampVideo) -> None:
    paths = [ramp_video(count, name=f"v{count}") for count in (5, 16, 33, 61, 80, 85)]
    extraction = extractor(pixels, tmp_path, engine=GreyEngine(order="late")).extract(paths)
    for path in paths:
        blocks = list(video.read(path, resize=pixels.resize))
        assert rows_of(extraction, path)[:, 0].tolist() == np.concatenate([block.data[:, 0, 0, 0] for block in blocks]).tolist()
        assert np.array_equal(extraction.features[path].pts, np.concatenate([block.pts for block in blocks]))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["pixels:8", "test_resnet"])
def test_features_do_not_depend_on_what_is_extracted_beside_them(tmp_path: Path, name: str) -> None:
    backbone = load_backbone(name, pretrained=False, image_size=32 if name == "test_resnet" else None)
    paths = [noise_video(tmp_path / f"{number}.mp4", 9 + 7 * number, number) for number in range(4)]
    engine = extractor(backbone, tmp_path).engine
    together = extractor(backbone, tmp_path / "together", engine=engine).extract(paths)
    backwards = extractor(backbone, tmp_path / "backwards", engine=engine, workers=1).extract(paths[::-1])
    for number, path in enumerate(paths):
        alone = extractor(backbone, tmp_path / f"alone{number}", engine=engine).extract([path])
        assert np.array_equal(rows_of(alone, path), rows_of(together, path))
        assert np.array_equal(rows_of(alone, path), rows_of(backwards, path))


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The videos that are decoded in this process from now on."""
    opened: list[Path] = []
    original = video.wanted_frames

    def decode(path: Path, **options: Any) -> Iterator[tuple[float, Any]]:
        opened.append(path)
        return original(path, **options)

    monkeypatch.setattr(decoding, "wanted_frames", decode)
    return opened


def test_two_videos_of_the_same_content_are_decoded_once(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ramp_video(10)
    copy = Path(shutil.copy(path, tmp_path / "a copy.mp4"))
    opened = counting(monkeypatch)
    extraction = extractor(pixels, tmp_path, engine=GreyEngine()).extract([path, copy, path])
    assert opened == [path]
    assert np.array_equal(rows_of(extraction, path), rows_of(extraction, copy))


def test_what_is_in_the_cache_is_not_decoded_again(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [ramp_video(10 + number, name=f"v{number}") for number in range(4)]
    before = extractor(pixels, tmp_path, engine=GreyEngine()).extract(paths)
    monkeypatch.setattr(decoding, "wanted_frames", lambda *_, **__: pytest.fail("decoded again"))
    monkeypatch.setattr(features, "DecodePool", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(features, "compile_engine", lambda *_, **__: pytest.fail("compiled for nothing"))
    first = paths[0]
    paths[0] = first.rename(tmp_path / "a new name.mp4")
    again = extractor(pixels, tmp_path).extract(paths)
    assert again.failed == {}
    assert np.array_equal(rows_of(again, paths[0]), rows_of(before, first))


def test_another_rate_or_view_or_backbone_has_features_of_its_own(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo
) -> None:
    path = ramp_video(50)
    kinds = [{"fps": None}, {"fps": 8}, {"fps": 5}]
    counts = [len(features_of(path, extractor(pixels, tmp_path, engine=GreyEngine(), **kind))) for kind in kinds]  # type: ignore[arg-type]
    assert counts == [50, 16, 10]
    engine = GreyEngine()
    for backbone, view in (
        (pixels, "flip"),
        (load_backbone("pixels:9"), "centre"),
        (load_backbone("pixels:8", fit="crop"), "centre"),
    ):
        features_of(path, extractor(backbone, tmp_path, engine=engine, view=view))
    assert len(engine.frames_seen) == 3 * 64  # 50 frames in full batches of 16


def test_a_broken_file_among_many_is_listed_with_its_reason_and_the_others_are_made(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [ramp_video(10 + number, name=f"Übung {number}, früh") for number in range(4)]
    letter, copy, empty, none = (tmp_path / name for name in ("letter.mp4", "copy of letter.avi", "empty.mp4", "none.mp4"))
    letter.write_text("Dear Sir or Madam,\n" * 50)
    copy.write_text(letter.read_text())
    empty.touch()
    (tmp_path / "empty folder").mkdir()
    extraction = extractor(pixels, tmp_path).extract([letter, *good, copy, empty, none, tmp_path / "empty folder"])
    assert set(extraction.features) == set(good)
    assert {path: len(found) for path, found in extraction.features.items()} == {
        path: 10 + number for number, path in enumerate(good)
    }
    assert set(extraction.failed) == {letter, copy, empty, none, tmp_path / "empty folder"}
    assert extraction.failed[letter].startswith(f"{letter}: not readable as video (Invalid data")
    assert extraction.failed[copy].startswith(f"{copy}: not readable as video (Invalid data")
    assert extraction.failed[empty] == f"{empty}: the file is empty"
    assert extraction.failed[none] == f"{none}: No such file or directory"
    assert "empty folder: a folder without frame images" in extraction.failed[tmp_path / "empty folder"]
    said = capsys.readouterr().err
    assert f"Skipped {letter}: not readable as video" in said
    assert len(list(tmp_path.rglob("*.safetensors"))) == len(good)


@pytest.mark.parametrize("broken", ["letter", "empty folder", "missing"])
def test_a_broken_file_alone_is_named_with_its_reason(tmp_path: Path, pixels: Backbone, broken: str) -> None:
    (tmp_path / "letter").write_text("Dear Sir or Madam")
    (tmp_path / "empty folder").mkdir()
    words = {"letter": "not readable as video", "empty folder": "a folder without frame images", "missing": "No such file"}
    path = tmp_path / broken
    failed = extractor(pixels, tmp_path, engine=GreyEngine()).extract([path]).failed
    assert failed[path].startswith(f"{path}: {words[broken]}")


def test_a_crashed_decoder_is_a_failure_with_the_path(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [ramp_video(5 + number, name=f"v{number}") for number in range(3)]

    class CrashingPool:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> CrashingPool:
            return self

        def __exit__(self, *_: object) -> None: ...
        def run(self, jobs: list[decoding.DecodeJob]) -> Iterator[decoding.Finished]:
            for job in jobs:
                yield decoding.Finished(index=job.index, error="the decoder crashed (signal 9)")

    monkeypatch.setattr(features, "DecodePool", CrashingPool)
    extraction = extractor(pixels, tmp_path, engine=GreyEngine()).extract(paths)
    assert extraction.failed == {path: f"{path}: the decoder crashed (signal 9)" for path in paths}


def test_a_video_that_fails_in_its_middle_leaves_no_block(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK_ROWS", 10)
    path = ramp_video(60)
    whole = video.wanted_frames

    def failing(path: Path, **options: Any) -> Iterator[tuple[float, Any]]:
        for number, item in enumerate(whole(path, **options)):
            if number == 15:
                raise VideoError(f"{path}: no more of it")
            yield item

    monkeypatch.setattr(decoding, "wanted_frames", failing)
    made = extractor(pixels, tmp_path, engine=GreyEngine())
    assert made.extract([path]).failed == {path: f"{path}: no more of it"}
    assert not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(decoding, "wanted_frames", whole)
    assert len(made.extract([path], retry_failed=True).features[path]) == 60


def test_a_killed_run_goes_on_after_its_last_block_and_ends_the_same(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK_ROWS", 10)
    path = ramp_video(85)
    whole = extractor(pixels, tmp_path / "whole", engine=GreyEngine()).extract([path])
    killed = extractor(pixels, tmp_path / "killed", engine=GreyEngine(fail_after=3))
    with pytest.raises(RuntimeError, match="switched off"):
        killed.extract([path])
    digest = killed.cache.video_digest(path)
    _, pts, last = killed.cache.stored(killed.spec, digest)
    assert (len(pts), last) == (40, False)  # of 48 rows, 4 full blocks
    engine = GreyEngine()
    resumed = extractor(pixels, tmp_path / "killed", engine=engine).extract([path])
    assert np.array_equal(rows_of(resumed, path), rows_of(whole, path))
    assert np.array_equal(resumed.features[path].pts, whole.features[path].pts)
    assert engine.frames_seen[:45] == rows_of(whole, path)[40:, 0].tolist()
    assert len(engine.frames_seen) == 48  # 45 frames that were missing, in 3 batches
    names = [sorted(block.name for block in (tmp_path / name).rglob("*.safetensors")) for name in ("whole", "killed")]
    assert names[0] == names[1]
    assert len(names[0]) == 9


def test_a_damaged_block_is_made_again(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK_ROWS", 10)
    path = ramp_video(35)
    made = extractor(pixels, tmp_path, engine=GreyEngine())
    expected = rows_of(made.extract([path]), path)
    block = made.cache.block_path(made.spec, made.cache.video_digest(path), 1)
    block.write_bytes(block.read_bytes()[:-1] + b"?")
    assert np.array_equal(rows_of(made.extract([path]), path), expected)


@pytest.mark.parametrize("order", ["at once", "late"])
def test_a_cache_that_cannot_be_written_ends_the_extraction(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, order: str
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    paths = [ramp_video(10, name=f"v{number}") for number in range(2)]
    with pytest.raises(CacheError, match="features cannot be stored"):
        extractor(pixels, tmp_path / "cache", engine=GreyEngine(order=order)).extract(paths)


def test_a_cache_that_cannot_be_written_ends_the_extraction_on_the_real_engine_too(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(CacheError, match="features cannot be stored"):
        extractor(pixels, tmp_path / "cache").extract([ramp_video(10)])


def test_features_that_are_not_finite_are_a_failure_with_a_way_out(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo
) -> None:
    path = ramp_video(40)
    extraction = extractor(pixels, tmp_path, engine=GreyEngine(answer=float("nan"))).extract([path])
    assert extraction.features == {}
    assert "the backbone gave features that are not finite; try --precision f32" in extraction.failed[path]
    assert str(path) in extraction.failed[path]


def test_features_beyond_float16_are_held_at_its_limit(tmp_path: Path, pixels: Backbone, ramp_video: RampVideo) -> None:
    path = ramp_video(3)
    extraction = extractor(pixels, tmp_path, engine=GreyEngine(answer=1e6)).extract([path])
    assert rows_of(extraction, path)[:, 0].tolist() == [65504.0] * 3


def test_a_frame_folder_has_features_like_a_video(tmp_path: Path, pixels: Backbone, ramp_video: RampVideo) -> None:
    from PIL import Image

    folder = tmp_path / "Bilder é 1"
    folder.mkdir()
    for number in range(8, 12):
        Image.new("RGB", (16, 16), (number,) * 3).save(folder / f"{number}.png")
    paths = [folder, ramp_video(4), ramp_video(5, name="other")]
    extraction = extractor(pixels, tmp_path, engine=GreyEngine()).extract(paths)
    assert extraction.failed == {}
    assert rows_of(extraction, folder)[:, 0].tolist() == [8, 9, 10, 11]


@pytest.mark.parametrize("fps", [0, -1, 1001])
def test_a_rate_that_cannot_be_is_refused(pixels: Backbone, tmp_path: Path, fps: float) -> None:
    with pytest.raises(UsageError, match=f"fps is {fps}; more than 0 and at most 1000"):
        extractor(pixels, tmp_path, fps=fps)


@pytest.mark.real
def test_real_clips_have_a_row_for_each_eighth_of_a_second(real_data: Path, tmp_path: Path, pixels: Backbone) -> None:
    clips = sorted((real_data / "ucf101" / "UCF-101").glob("*/*_g02_c02.avi"))
    extraction = extractor(pixels, tmp_path, fps=8).extract(clips)
    assert set(extraction.features) == set(clips)
    for clip in clips:
        duration = video.probe(clip).duration or 0
        assert len(extraction.features[clip]) == pytest.approx(duration * 8, abs=2)  # an XviD stream may skip a beat at its start


# Several processes, killed processes, failures


EXTRACT = """
import sys
from pathlib import Path
from gerund.backbones import load_backbone
from gerund.core.progress import speak
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
speak()
folder = Path(sys.argv[1])
paths = sorted(folder.glob("*.mp4"))
made = Extractor(load_backbone("pixels:8"), fps=8, cache=FeatureCache(folder / "cache"), workers=1).extract(paths)
print(len(made.features), flush=True)
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", EXTRACT, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def blocks(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "cache").rglob("[!.]*.safetensors")}


def test_two_processes_share_the_work_and_do_no_video_twice(tmp_path: Path, ramp_video: RampVideo) -> None:
    for number in range(24):
        ramp_video(60 + number, name=f"clip {number}")
    processes = [start(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [out.strip() for out, _ in outputs] == ["24", "24"], outputs
    assert len(blocks(tmp_path)) == 24
    written = [int(match) for _, err in outputs for match in re.findall(r"Extracting features: (\d+)/24", err)]
    assert written
    assert not list((tmp_path / "cache").rglob(".*"))  # no lock, no temporary file


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_gives_the_cache_of_an_uninterrupted_run(tmp_path: Path, ramp_video: RampVideo) -> None:
    for number in range(12):
        ramp_video(80 + number, name=f"clip {number}")
    start(tmp_path).communicate(timeout=120)
    expected = blocks(tmp_path)
    assert len(expected) == 12
    for wanted in (1, 5, 9):
        shutil.rmtree(tmp_path / "cache")
        process = start(tmp_path)
        while len(blocks(tmp_path)) < wanted and process.poll() is None:
            pass
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("[!.]*.safetensors")}
        out, err = start(tmp_path).communicate(timeout=120)
        assert out.strip() == "12", err
        assert blocks(tmp_path) == expected
        assert all(path.stat().st_mtime_ns == written for path, written in before.items())


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_only_videos_in_hand(tmp_path: Path, ramp_video: RampVideo) -> None:
    for number in range(30):
        ramp_video(80 + number, name=f"clip {number}")
    started = time.monotonic()
    start(tmp_path).communicate(timeout=120)
    whole = time.monotonic() - started
    expected = blocks(tmp_path)
    shutil.rmtree(tmp_path / "cache")
    rng = np.random.default_rng(0)
    for _ in range(20):
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("[!.]*.safetensors")}
        process = start(tmp_path)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.3, 1.0) * whole)
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
        if len(blocks(tmp_path)) == len(expected):
            shutil.rmtree(tmp_path / "cache")
    out, err = start(tmp_path).communicate(timeout=120)
    assert out.strip() == "30", err
    assert blocks(tmp_path) == expected


def test_what_failed_is_tried_again_only_on_request(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ramp_video(30)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "wanted_frames", lambda *_, **__: (_ for _ in ()).throw(VideoError(f"{path}: a bad day")))
        assert extractor(pixels, tmp_path).extract([path]).failed == {path: f"{path}: a bad day"}
    assert extractor(pixels, tmp_path).extract([path]).failed == {path: f"{path}: a bad day"}
    assert path in extractor(pixels, tmp_path).extract([path], retry_failed=True).features
    assert extractor(pixels, tmp_path).extract([path]).failed == {}


def test_a_full_disk_is_one_clear_error_and_what_was_made_stays(
    tmp_path: Path, pixels: Backbone, ramp_video: RampVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [ramp_video(40 + number, name=str(number)) for number in range(4)]
    kept = extractor(pixels, tmp_path).extract(paths[:1])
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if ".safetensors" in self.name:
            raise OSError(28, "No space left on device")
        return original(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(CacheError, match="No space left on device"):
            extractor(pixels, tmp_path).extract(paths)
    again = extractor(pixels, tmp_path).extract(paths)
    assert len(again.features) == 4
    assert np.array_equal(rows_of(again, paths[0]), rows_of(kept, paths[0]))


LIMITED = """
import resource, sys
from gerund.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_disk_that_fills_up_costs_what_did_not_fit_and_nothing_else(tmp_path: Path, ramp_video: RampVideo) -> None:
    label = tmp_path / "clips" / "label"
    long = ramp_video(500, name="long", step=0, folder=label)
    short = [noise_video(label / f"short {number}.mp4", 150, number) for number in range(3)]
    assert (
        min(path.stat().st_size for path in short) > long.stat().st_size
    )  # large files come first: they are done when it happens

    def extract(limit: int) -> subprocess.CompletedProcess[str]:
        words = [
            "extract",
            tmp_path / "clips",
            "--backbone",
            "pixels:8",
            "--fps",
            "native",
            "--workers",
            1,
            "--cache",
            tmp_path / "cache",
        ]
        return subprocess.run(
            [sys.executable, "-c", LIMITED, *map(str, [limit, *words])], capture_output=True, text=True, timeout=120, check=False
        )

    full = extract(50_000)  # bytes: room for 150 rows of 136 bytes, not for 500
    said = [line for line in full.stderr.splitlines() if "cannot be stored" in line]
    assert full.returncode == 1, full.stderr
    assert len(said) == 1
    assert said[0].endswith("features cannot be stored (File too large); choose another place with --cache")
    assert "Traceback" not in full.stderr
    kept = blocks(tmp_path)
    assert len(kept) == 3
    assert FeatureCache(tmp_path / "cache").verify() == {"checked": 3, "removed": []}
    assert not list((tmp_path / "cache").rglob(".*"))  # no lock, nothing half-written
    again = extract(10**9)
    assert again.returncode == 0, again.stderr
    assert len(blocks(tmp_path)) == 4
    assert kept.items() <= blocks(tmp_path).items()


def test_the_cache_is_listed_verified_and_pruned(tmp_path: Path, pixels: Backbone, ramp_video: RampVideo) -> None:
    made = extractor(pixels, tmp_path)
    made.extract([ramp_video(30, name="a"), ramp_video(31, name="b")])
    listing = made.cache.listing()[made.spec.digest]
    assert (listing["videos"], listing["backbone"], listing["fps"]) == (2, pixels.fingerprint, made.spec.fps)
    assert made.cache.verify() == {"checked": 2, "removed": []}
    block = next(made.cache.folder.rglob("*.safetensors"))
    data = bytearray(block.read_bytes())
    data[-1] ^= 1
    block.write_bytes(data)
    found = made.cache.verify()
    assert found["checked"] == 2
    assert len(found["removed"]) == 1
    assert not block.exists()
    leftover = made.cache.folder / made.spec.digest / ".half-written"
    leftover.touch()
    os.utime(leftover, (0, 0))
    assert made.cache.prune(None)["removed"] == 1
    assert made.cache.prune(0.0)["removed"] == 1
    assert made.cache.listing()[made.spec.digest]["videos"] == 0


@pytest.mark.parametrize("count", [1, 3])
def test_the_end_of_a_video_travels_with_its_features_from_any_decoder(tmp_path: Path, pixels: Backbone, count: int) -> None:
    paths = [standing(tmp_path / f"{number}.gif", moving=10 + number) for number in range(count)]
    found = extractor(pixels, tmp_path, fps=8, workers=2).extract(paths)
    assert [found.features[path].end for path in paths] == [pytest.approx(6.0 + number / 10) for number in range(count)]
    again = extractor(pixels, tmp_path, fps=8, workers=2).extract(paths)
    assert [again.features[path].end for path in paths] == [found.features[path].end for path in paths]
