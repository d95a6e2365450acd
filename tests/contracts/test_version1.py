"""Files of format 1 stay readable and answer as they did; tests/support/version1.py says how they were made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund.core.types import FeatureSpec
from gerund.features.cache import FeatureCache
from gerund.features.packed import PackedCache
from support.version1 import HEADS, SPEC, VIDEO, pictures, stored_rows
from support.videos import encode

FILES = Path(__file__).parent / "data"
EXTRACTOR = 4
"""The extractor's version when the rows were stored: not what this gerund would make, but what that one did."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy, since a cache removes blocks that it cannot read."""
    return Path(shutil.copytree(FILES, tmp_path / "data"))


@pytest.mark.torch
@pytest.mark.parametrize("head", HEADS)
def test_a_model_folder_answers_as_it_did(head: str, data: Path, tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mkv", pictures(-1, 0))
    expected = json.loads((data / f"{head}.json").read_text(encoding="utf-8"))
    found = gerund.Recognizer.load(data / head)(video)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert [each["score"] for each in found] == pytest.approx([each["score"] for each in expected], abs=2e-3)


@pytest.mark.parametrize("kind", ["cache", "packed"])
def test_a_cache_block_and_a_pack_give_their_rows(kind: str, data: Path, tmp_path: Path) -> None:
    source = FeatureCache(data / "cache") if kind == "cache" else PackedCache(data / "packed", tmp_path / "empty")
    features = source.get(FeatureSpec(**SPEC, version=EXTRACTOR), VIDEO)
    assert features is not None
    rows, pts, end = stored_rows()
    assert np.array_equal(features.data[0 : len(features)], rows)
    assert np.array_equal(features.pts, pts)
    assert features.end == end
