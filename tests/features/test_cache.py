"""The feature cache: known by content, whole or absent, shared, and suspicious of damage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from gerund.core.errors import CacheError
from gerund.core.files import beside
from gerund.core.types import FeatureSpec
from gerund.features import cache
from gerund.features.cache import BlockWriter, FeatureCache

SPEC = FeatureSpec(backbone="pixels", fps=8.0)


@pytest.fixture
def features_cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cache, "BLOCK_ROWS", 10)
    return 10


def rows(count: int, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Row i holds i, -i, i / 8; its time is i / 8."""
    index = np.arange(first, first + count)
    return np.stack([index, -index, index / 8], axis=1).astype(np.float16), index / 8


def write(store: FeatureCache, count: int, *, pieces: int = 7, video: str = "v") -> BlockWriter:
    """Add rows in pieces that do not fit the blocks; the caller closes."""
    writer = BlockWriter(store, SPEC, video)
    for first in range(0, count, pieces):
        writer.add(*rows(min(pieces, count - first), first))
    return writer


def names(store: FeatureCache) -> list[str]:
    return sorted(path.name for path in (store.folder / SPEC.digest).iterdir())


def large_file(path: Path, change_at: int | None = None) -> Path:
    """A sparse file of 100 MB, one byte of it different."""
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
        if change_at is not None:
            file.seek(change_at, os.SEEK_SET if change_at >= 0 else os.SEEK_END)
            file.write(b"x")
    return path


def test_the_digest_is_of_the_content_not_of_the_name(tmp_path: Path, features_cache: FeatureCache) -> None:
    for name, content in (("a.mp4", b"one"), ("b c é.avi", b"one"), ("d.mp4", b"two")):
        (tmp_path / name).write_bytes(content)
    same, also, other = (features_cache.video_digest(tmp_path / name) for name in ("a.mp4", "b c é.avi", "d.mp4"))
    assert same == also != other
    assert len(same) == 32


def test_a_file_that_changed_has_another_digest(tmp_path: Path, features_cache: FeatureCache) -> None:
    (tmp_path / "a.mp4").write_bytes(b"one")
    before = features_cache.video_digest(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"longer")
    assert features_cache.video_digest(tmp_path / "a.mp4") != before


def test_a_known_file_is_not_read_again_by_the_next_process(tmp_path: Path, features_cache: FeatureCache, monkeypatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"one")
    monkeypatch.setattr(cache, "SETTLED", -60.0)
    digest = features_cache.video_digest(tmp_path / "a.mp4")
    monkeypatch.setattr(cache, "content_digest", lambda *_: pytest.fail("read again"))
    assert FeatureCache(tmp_path / "cache").video_digest(tmp_path / "a.mp4") == digest


@pytest.mark.parametrize("damage", [b"\xff\xfe broken\n", b"half a line", b"1:2:3:4 5"])
def test_a_torn_or_damaged_list_of_digests_does_no_harm(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(b"one")
    status = (tmp_path / "a.mp4").stat()
    key = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
    digest = FeatureCache(tmp_path / "clean").video_digest(tmp_path / "a.mp4")
    (tmp_path / "cache" / "features").mkdir(parents=True)
    (tmp_path / "cache" / "features" / "digests.txt").write_bytes(damage + f"\n{key} {digest[:9]}".encode())
    assert FeatureCache(tmp_path / "cache").video_digest(tmp_path / "a.mp4") == digest


def test_one_other_byte_anywhere_in_a_large_file_is_another_digest(tmp_path: Path, features_cache: FeatureCache) -> None:
    digest = features_cache.video_digest
    plain = digest(large_file(tmp_path / "plain"))
    assert plain == hashlib.sha256((tmp_path / "plain").read_bytes()).hexdigest()[:32]
    assert digest(large_file(tmp_path / "same")) == plain
    for changed in (0, 100_000, 9_000_001, -1):
        assert digest(large_file(tmp_path / "changed", changed)) != plain


def test_a_file_overwritten_or_made_anew_with_its_old_time_is_read_again(tmp_path: Path, features_cache: FeatureCache) -> None:
    path = tmp_path / "a.y4m"
    path.write_bytes(b"left!")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    seen = [features_cache.video_digest(path)]
    path.write_bytes(b"right")
    os.utime(path, ns=times)
    seen.append(features_cache.video_digest(path))
    path.unlink()
    path.write_bytes(b"above")  # often with the number of the file that is gone
    os.utime(path, ns=times)
    seen.append(features_cache.video_digest(path))
    assert seen == [hashlib.sha256(text).hexdigest()[:32] for text in (b"left!", b"right", b"above")]


def test_a_picture_of_a_folder_overwritten_with_its_old_time_changes_the_folders_digest(tmp_path, features_cache) -> None:
    folder = frame_folder(tmp_path / "frames", {"1.jpg": b"one", "2.jpg": b"two"})
    status, before = (folder / "1.jpg").stat(), features_cache.video_digest(folder)
    (folder / "1.jpg").write_bytes(b"six")
    os.utime(folder / "1.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert features_cache.video_digest(folder) != before


def test_a_state_is_only_trusted_once_the_clock_of_the_file_system_has_moved_on(tmp_path, features_cache, monkeypatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"one")
    features_cache.video_digest(tmp_path / "a.mp4")
    assert features_cache.known_digests == {}
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now + 2 * cache.SETTLED)
    features_cache.video_digest(tmp_path / "a.mp4")
    assert len(features_cache.known_digests) == 1


@pytest.mark.parametrize("whose", ["video", "index", "spec"])
def test_another_videos_place_or_settings_block_is_not_believed(tmp_path: Path, features_cache: FeatureCache, whose: str) -> None:
    other = {"video": "b" * 32, "index": "a" * 32, "spec": "a" * 32}[whose]
    spec = FeatureSpec(backbone="other", fps=8.0) if whose == "spec" else SPEC
    rows = np.ones((5, 3), np.float16)
    features_cache.write_block(spec, other, 1 if whose == "index" else 0, rows, np.arange(5.0), last=True)
    theirs, ours = (
        features_cache.block_path(spec, other, 1 if whose == "index" else 0),
        features_cache.block_path(SPEC, "a" * 32, 0),
    )
    ours.parent.mkdir(exist_ok=True)
    shutil.copyfile(theirs, ours)
    done = features_cache.verify()
    assert done["checked"] == 2
    assert done["removed"] == [f"{ours}: the cache block of another video, place or setting"]
    shutil.copyfile(theirs, ours)
    assert features_cache.get(SPEC, "a" * 32) is None
    assert not ours.exists()
    assert theirs.exists()


def test_a_block_of_before_that_does_not_say_whose_it_is_is_read(features_cache: FeatureCache, monkeypatch) -> None:
    write, path = cache.write_bytes, features_cache.block_path(SPEC, "a" * 32, 0)

    def older(path: Path, data: bytes) -> None:
        tensors, label = (
            load(data),
            json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["gerund"]),
        )
        del label["video"], label["index"]
        write(path, save(tensors, {"gerund": json.dumps(label)}))

    monkeypatch.setattr(cache, "write_bytes", older)
    features_cache.write_block(SPEC, "a" * 32, 0, np.ones((5, 3), np.float16), np.arange(5.0), last=True)
    assert len(features_cache.get(SPEC, "a" * 32)) == 5
    assert path.is_file()


def test_a_folder_in_the_place_of_a_block_stops_nothing(features_cache: FeatureCache) -> None:
    path = features_cache.block_path(SPEC, "a" * 32, 0)
    for look in (features_cache.verify, lambda: features_cache.get(SPEC, "a" * 32)):
        (path / "below").mkdir(parents=True)
        look()
        assert not path.exists()
    features_cache.write_block(SPEC, "a" * 32, 0, np.ones((5, 3), np.float16), np.arange(5.0), last=True)
    assert len(features_cache.get(SPEC, "a" * 32)) == 5


def test_what_another_process_is_writing_is_neither_checked_nor_removed_nor_packed(features_cache: FeatureCache) -> None:
    features_cache.write_block(SPEC, "a" * 32, 0, np.ones((5, 3), np.float16), np.arange(5.0), last=True)
    partial = beside(features_cache.block_path(SPEC, "b" * 32, 0))
    partial.write_bytes(b"half")
    assert features_cache.verify() == {"checked": 1, "removed": []}
    assert features_cache.listing()[SPEC.digest]["videos"] == 1
    assert features_cache.prune(None)["removed"] == 0
    assert partial.is_file()


def frame_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_frame_folder_is_known_by_its_images_in_their_order(tmp_path: Path, features_cache: FeatureCache) -> None:
    digest = features_cache.video_digest
    one = digest(frame_folder(tmp_path / "one", {"frame2.png": b"x", "frame10.png": b"y"}))
    assert digest(frame_folder(tmp_path / "copy", {"frame2.png": b"x", "frame10.png": b"y"})) == one
    assert digest(frame_folder(tmp_path / "other", {"frame2.png": b"x", "frame10.png": b"z"})) != one
    backwards = frame_folder(tmp_path / "backwards", {"frame02.png": b"y", "frame10.png": b"x"})
    assert digest(backwards) != one
    renumbered = frame_folder(tmp_path / "renumbered", {"frame01.png": b"y", "frame02.png": b"x"})  # sorts by name as `one` does
    assert digest(renumbered) != one


def test_rows_come_back_as_they_were_stored(features_cache: FeatureCache) -> None:
    write(features_cache, 25).close()
    found = features_cache.get(SPEC, "v")
    assert found is not None
    assert found.data.shape == (25, 3)
    assert found.data[0:25].dtype == np.float16
    assert np.array_equal(found.data[0:25], rows(25)[0])
    assert np.array_equal(found.pts, rows(25)[1])
    assert names(features_cache) == ["v-00000.safetensors"]


@pytest.mark.parametrize(("count", "blocks"), [(1, 1), (9, 1), (10, 1), (11, 2), (20, 2), (34, 4)])
def test_a_long_video_is_several_blocks_of_one_size(
    features_cache: FeatureCache, small_blocks: int, count: int, blocks: int
) -> None:
    write(features_cache, count).close()
    assert names(features_cache) == [f"v-{index:05d}.safetensors" for index in range(blocks)]
    found = features_cache.get(SPEC, "v")
    assert found is not None
    assert np.array_equal(found.pts, rows(count)[1])


def test_several_blocks_read_like_one_array(features_cache: FeatureCache, small_blocks: int) -> None:
    write(features_cache, 34).close()
    found = features_cache.get(SPEC, "v")
    assert found is not None
    expected = rows(34)[0]
    assert found.data.shape == expected.shape
    for start in range(-3, 36):
        for stop in (None, *range(-2, 37, 3)):
            for step in (1, 2):
                assert np.array_equal(found.data[start:stop:step], expected[start:stop:step]), (start, stop, step)


def test_a_slice_opens_only_the_blocks_it_touches(features_cache: FeatureCache, small_blocks: int) -> None:
    write(features_cache, 34).close()
    found = features_cache.get(SPEC, "v")
    assert found is not None
    for index in (0, 2, 3):
        features_cache.block_path(SPEC, "v", index).unlink()
    assert np.array_equal(found.data[12:19], rows(34)[0][12:19])


def test_a_video_whose_last_block_is_missing_is_not_there_but_its_blocks_are_known(
    features_cache: FeatureCache, small_blocks: int
) -> None:
    write(features_cache, 34)
    assert features_cache.get(SPEC, "v") is None
    stored, pts, last = features_cache.stored(SPEC, "v")
    assert stored is not None
    assert len(stored.blocks) == 3
    assert pts.tolist() == rows(30)[1].tolist()
    assert not last


def test_a_video_never_seen_is_none(features_cache: FeatureCache) -> None:
    assert features_cache.get(SPEC, "unknown") is None


def test_another_spec_has_features_of_its_own(features_cache: FeatureCache) -> None:
    write(features_cache, 5).close()
    assert features_cache.get(FeatureSpec(backbone="pixels", fps=9.0), "v") is None
    assert features_cache.get(FeatureSpec(backbone="pixels", fps=None), "v") is None


def test_every_field_of_a_spec_changes_its_digest() -> None:
    changes = [
        {"backbone": "b"},
        {"fps": 9.0},
        {"view": "flip"},
        {"pooling": "max"},
        {"precision": "bf16"},
        {"window": 8},
        {"stride": 4},
    ]
    digests = {FeatureSpec(**{"backbone": "pixels", "fps": 8.0, **change}).digest for change in [{}, {"version": 9}, *changes]}  # type: ignore[arg-type]
    assert len(digests) == 9
    text = '{"backbone": "pixels", "fps": 8.0, "pooling": "mean", "precision": "f32", "stride": 1, "version": 4, "view": "centre", "window": 1}'
    assert FeatureSpec(fps=8.0, backbone="pixels").digest == SPEC.digest == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_any_damaged_byte_is_noticed_and_the_block_removed(features_cache: FeatureCache) -> None:
    write(features_cache, 4).close()
    path = features_cache.block_path(SPEC, "v", 0)
    whole = path.read_bytes()
    expected, pts = rows(4)
    for position in range(len(whole)):
        for flip in (0x01, 0x0F, 0x80):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
            found = features_cache.get(SPEC, "v")
            if found is not None:  # a change in a comment of the header is none in the features
                assert found.data[0:4].dtype == np.float16
                assert np.array_equal(found.data[0:4], expected)
                assert np.array_equal(found.pts, pts)
    path.write_bytes(whole[:-1] + b"!")
    assert features_cache.get(SPEC, "v") is None
    assert not path.exists()


def test_a_block_cut_short_is_removed_and_the_ones_before_it_kept(features_cache: FeatureCache, small_blocks: int) -> None:
    write(features_cache, 34).close()
    path = features_cache.block_path(SPEC, "v", 2)
    path.write_bytes(path.read_bytes()[:-5])
    assert features_cache.get(SPEC, "v") is None
    assert names(features_cache) == ["v-00000.safetensors", "v-00001.safetensors", "v-00003.safetensors"]
    _, pts, last = features_cache.stored(SPEC, "v")
    assert (len(pts), last) == (20, False)


def test_damage_in_a_cache_that_cannot_be_changed_is_a_miss_like_any_other(
    features_cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(features_cache, 4).close()
    path = features_cache.block_path(SPEC, "v", 0)
    path.write_bytes(path.read_bytes()[:-1])

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert features_cache.get(SPEC, "v") is None


def test_two_writers_of_one_folder_do_not_disturb_each_other(tmp_path: Path, small_blocks: int) -> None:
    one, two = FeatureCache(tmp_path), FeatureCache(tmp_path)
    writers = [BlockWriter(one, SPEC, "v"), BlockWriter(two, SPEC, "v"), BlockWriter(two, SPEC, "w")]
    for first in range(0, 33, 3):
        for writer in writers:
            writer.add(*rows(3, first))
    for writer in writers:
        writer.close()
        found = one.get(SPEC, "v")
        assert found is not None
        assert np.array_equal(found.data[0:33], rows(33)[0])
    assert len(names(one)) == 8
    assert two.get(SPEC, "w") is not None


def test_threads_that_store_the_same_block_all_succeed(features_cache: FeatureCache) -> None:
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(30):
                write(features_cache, 5).close()
        except CacheError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert names(features_cache) == ["v-00000.safetensors"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    with pytest.raises(CacheError, match=r"features cannot be stored \(.*\); choose another place with --cache"):
        write(FeatureCache(tmp_path / "cache"), 3).close()


def test_a_full_disk_leaves_no_half_block(features_cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:40])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(CacheError, match="No space left on device"):
        write(features_cache, 3).close()
    assert names(features_cache) == []


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GERUND_CACHE", str(tmp_path / "there"))
    assert FeatureCache().folder == tmp_path / "there" / "features"
    monkeypatch.delenv("GERUND_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert FeatureCache().folder == tmp_path / "home" / ".cache" / "gerund" / "features"


@pytest.mark.parametrize("count", [1, 9, 10, 11, 20, 25])
def test_the_end_of_a_video_is_kept_with_its_last_block(features_cache: FeatureCache, small_blocks: int, count: int) -> None:
    writer = write(features_cache, count)
    writer.close(count / 8 + 0.01)
    features = features_cache.get(SPEC, "v")
    assert features is not None
    assert (len(features), features.end) == (count, count / 8 + 0.01)
    np.testing.assert_array_equal(features.data[0:count], rows(count)[0])
    assert features_cache.verify()["removed"] == []


def test_a_still_is_stored_once_and_read_for_as_long_as_it_stands(features_cache: FeatureCache, small_blocks: int) -> None:
    write(features_cache, 25).close(24 / 8 + 5)
    features = features_cache.get(SPEC, "v")
    assert features is not None
    assert (len(features), features.end) == (24 + 40, 8.0)
    np.testing.assert_array_equal(features.data[20:64][:, 0], [20, 21, 22, 23, *[24] * 40])
    assert features_cache.stored(SPEC, "v")[0].shape == (25, 3)  # type: ignore[union-attr]
