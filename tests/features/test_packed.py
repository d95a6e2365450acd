"""Packed features: bit for bit what the cache holds, read memory-mapped; what is damaged or missing is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gerund.core.errors import CacheError, DataError, UsageError
from gerund.core.types import FeatureSpec
from gerund.features import packed as packing
from gerund.features.cache import BLOCK_ROWS, BlockWriter, FeatureCache
from gerund.features.packed import INDEX, Pack, PackedCache, pack
from gerund.recognition import token_set

SPEC = FeatureSpec(backbone="pixels-0", fps=8.0)
WIDTH = 6


def digest(number: int) -> str:
    return f"{number * 7919 % 1000:03d}" + "0" * 29


def fill(folder: Path, lengths: list[int], spec: FeatureSpec = SPEC) -> dict[str, np.ndarray]:
    """Store videos of these lengths with random rows; rows by digest."""
    rng = np.random.default_rng(0)
    stored = {}
    for number, length in enumerate(lengths):
        data = rng.standard_normal((length, WIDTH)).astype(np.float16)
        writer = BlockWriter(FeatureCache(folder), spec, digest(number))
        writer.add(data, np.arange(length) / 8 + number)
        writer.close()
        stored[digest(number)] = data
    return stored


def test_packed_features_equal_the_cache_and_need_it_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SHARD_BYTES", 1000)
    stored = fill(tmp_path / "cache", [1, 50, BLOCK_ROWS + 7, 3, 120, 30])
    packed = pack(tmp_path / "cache", tmp_path / "out put é")
    assert (packed.videos, packed.failed) == (6, ())
    assert packed.shards == len(list((tmp_path / "out put é").glob("*/shard-?????.npy"))) > 2
    found = PackedCache(tmp_path / "out put é", tmp_path / "empty")
    for number, (video, data) in enumerate(stored.items()):
        features = found.get(SPEC, video)
        assert features is not None
        assert np.array_equal(features.data[0 : len(features)], data)
        assert np.array_equal(features.data[1:3], data[1:3])
        assert np.array_equal(features.pts, np.arange(len(data)) / 8 + number)
    assert found.get(SPEC, "f" * 32) is None
    assert found.get(FeatureSpec(backbone="other", fps=8.0), digest(0)) is None


def test_a_shard_is_mapped_not_read(tmp_path: Path) -> None:
    fill(tmp_path / "cache", [40, 40])
    pack(tmp_path / "cache", tmp_path / "out")
    features = PackedCache(tmp_path / "out", tmp_path / "cache").get(SPEC, digest(1))
    assert features is not None
    assert isinstance(features.data, np.memmap)
    assert not features.data.flags.owndata
    assert not features.data.flags.writeable


def test_the_index_is_sorted_and_tells_where_each_video_lies(tmp_path: Path) -> None:
    stored = fill(tmp_path / "cache", [4, 9, 2])
    pack(tmp_path / "cache", tmp_path / "out")
    index = np.load(tmp_path / "out" / SPEC.digest / "index.npy", allow_pickle=False)
    assert index.dtype == INDEX
    assert index["video"].tolist() == sorted(video.encode() for video in stored)
    assert index["rows"].tolist() == [len(stored[video]) for video in sorted(stored)]
    assert index["start"].tolist() == [0, *np.cumsum(index["rows"])[:-1].tolist()]


def test_what_a_pack_lacks_comes_from_the_cache(tmp_path: Path) -> None:
    fill(tmp_path / "cache", [5])
    pack(tmp_path / "cache", tmp_path / "out")
    later = fill(tmp_path / "cache", [5, 6])[digest(1)]
    features = PackedCache(tmp_path / "out", tmp_path / "cache").get(SPEC, digest(1))
    assert features is not None
    assert np.array_equal(features.data[0:6], later)


def test_two_specs_are_packed_apart(tmp_path: Path) -> None:
    other = FeatureSpec(backbone="pixels-0", fps=4.0)
    fill(tmp_path / "cache", [5, 6])
    fill(tmp_path / "cache", [7], other)
    assert pack(tmp_path / "cache", tmp_path / "out").videos == 3
    found = PackedCache(tmp_path / "out", tmp_path / "empty")
    assert [len(found.get(spec, digest(0)) or ()) for spec in (SPEC, other)] == [5, 7]


def test_an_incomplete_video_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "cache", [5])
    cache = FeatureCache(tmp_path / "cache")
    cache.write_block(SPEC, digest(1), 0, np.ones((3, WIDTH)), np.arange(3.0), last=False)
    packed = pack(tmp_path / "cache", tmp_path / "out")
    assert (packed.videos, packed.failed) == (1, (digest(1),))
    assert f"Left out {digest(1)}: its features are not complete" in capsys.readouterr().err


def test_packing_twice_or_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no features to pack"):
        pack(tmp_path / "cache", tmp_path / "out")
    fill(tmp_path / "cache", [5])
    pack(tmp_path / "cache", tmp_path / "out")
    with pytest.raises(UsageError, match="packed already"):
        pack(tmp_path / "cache", tmp_path / "out")
    with pytest.raises(DataError, match="no packed features"):
        PackedCache(tmp_path / "cache")


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    fill(tmp_path / "cache", [5])
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="shards cannot be written"):
        pack(tmp_path / "cache", tmp_path / "file" / "out")


@pytest.mark.parametrize("harm", ["shorten", "format", "remove", "text"])
def test_a_damaged_pack_is_told(tmp_path: Path, harm: str) -> None:
    fill(tmp_path / "cache", [50])
    pack(tmp_path / "cache", tmp_path / "out")
    folder = tmp_path / "out" / SPEC.digest
    shard = folder / "shard-00000.npy"
    if harm == "shorten":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif harm == "format":
        (folder / "pack.json").write_text('{"format": 3}')
    elif harm == "remove":
        (folder / "index.npy").unlink()
    else:
        shard.write_text("these are notes")
    with pytest.raises(CacheError, match="pack again"):
        Pack(folder)


def test_tokens_beyond_memory_lie_in_a_mapped_file_that_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_set, "TOKEN_MEMORY", 1000)
    data = token_set.room((1, 50, 4, 8), tmp_path / "features")
    data[0, 7] = np.arange(32).reshape(4, 8)
    assert data.shape == (1, 50, 4, 8)
    assert data[:, np.array([7])].astype(np.float32).flatten().tolist() == list(range(32))
    assert list((tmp_path / "features").iterdir()) == []


def test_packed_features_end_where_those_of_the_cache_do(tmp_path: Path) -> None:
    for number, end in enumerate((2.0, 7.0, None)):
        writer = BlockWriter(FeatureCache(tmp_path / "cache"), SPEC, digest(number))
        writer.add(np.full((16, WIDTH), number, np.float16), np.arange(16) / 8)
        writer.close(end)
    pack(tmp_path / "cache", tmp_path / "out")
    packed, cache = PackedCache(tmp_path / "out", tmp_path / "empty"), FeatureCache(tmp_path / "cache")
    for number, length in enumerate((16, 15 + 41, 16)):
        found, expected = packed.get(SPEC, digest(number)), cache.get(SPEC, digest(number))
        assert found is not None
        assert expected is not None
        assert len(found) == length
        assert found.end == expected.end
        np.testing.assert_array_equal(found.pts, expected.pts)
        np.testing.assert_array_equal(found.data[0:99], expected.data[0:99])
