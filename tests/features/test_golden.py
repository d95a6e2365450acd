"""Feature rows stay what they are: when they move, EXTRACTOR_VERSION must move too, or old caches would be mixed with new rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gerund.core.types import EXTRACTOR_VERSION
from support.golden import BACKBONES, rows_of

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
CLOSE = 0.02
"""Of the rows' standard deviation. Processors may round a grey level otherwise, which is less; another filter or frame is far more."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    return rows_of(tmp_path_factory.mktemp("golden"))["videos"]


def test_the_golden_rows_are_of_this_version() -> None:
    assert GOLDEN["version"] == EXTRACTOR_VERSION, "write tests/features/golden.json anew; tests/support/golden.py says how"


@pytest.mark.parametrize("name", ["wide", "tall", "still"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_rows_that_move_need_another_extractor_version(backbone: str, name: str, made) -> None:
    expected, found = GOLDEN["videos"][backbone][name], made[backbone][name]
    assert found["pts"] == pytest.approx(expected["pts"], abs=1e-3)
    assert found["end"] == pytest.approx(expected["end"], abs=1e-3)
    moved = np.abs(np.array(found["rows"]) - np.array(expected["rows"])).max() / np.std(expected["rows"])
    assert moved < CLOSE, f"rows of {name!r} moved by up to {moved:.3f}: raise EXTRACTOR_VERSION, then write golden.json anew"
