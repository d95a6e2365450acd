"""Cache blocks and packs give back every row, however it came in pieces."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gerund.core.types import FeatureSpec
from gerund.features import cache as caching
from gerund.features import packed as packing
from gerund.features.cache import BlockWriter, FeatureCache
from gerund.features.packed import PackedCache, pack

SPEC = FeatureSpec(backbone="pixels-0", fps=8.0)
BLOCK_ROWS = 16
PIECES = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any)


def digest(number: int) -> str:
    return f"{number:032d}"


def fill(cache: FeatureCache, number: int, pieces: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Store a video in pieces of so many rows; all its rows and their seconds."""
    data = np.random.default_rng(number).standard_normal((sum(pieces), 3)).astype(np.float16)
    pts = np.arange(len(data)) / 8
    writer = BlockWriter(cache, SPEC, digest(number))
    first = 0
    for piece in pieces:
        writer.add(data[first : first + piece], pts[first : first + piece])
        first += piece
    writer.close(len(data) / 8)
    return data, pts


@settings(max_examples=12)
@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(100, 2000))
def test_cache_and_pack_give_back_all_rows(videos: list[list[int]], shard_bytes: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(caching, "BLOCK_ROWS", BLOCK_ROWS),
        mock.patch.object(packing, "SHARD_BYTES", shard_bytes),
    ):
        cache = FeatureCache(Path(folder) / "cache")
        stored = [fill(cache, number, pieces) for number, pieces in enumerate(videos)]
        pack(Path(folder) / "cache", Path(folder) / "packed")
        for source in (cache, PackedCache(Path(folder) / "packed", Path(folder) / "none")):
            for number, (data, pts) in enumerate(stored):
                found = source.get(SPEC, digest(number))
                assert found is not None
                assert np.array_equal(found.data[0 : len(found)], data)
                assert np.array_equal(found.data[3:9], data[3:9])
                assert np.array_equal(found.pts, pts)
                assert found.end == len(data) / 8
        blocks = len(list(cache.folder.glob("*/*.safetensors")))
        assert blocks == sum(-(-len(data) // BLOCK_ROWS) for data, _ in stored)
