"""What people rely on does not change unseen: public names, their arguments and defaults, commands and their options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


def test_names_arguments_and_options_are_the_recorded_ones() -> None:
    """When one is added or changed on purpose, `python tools/interface.py > tests/program/interface.txt` records it."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools/interface.py"], capture_output=True, text=True, encoding="utf-8", check=True
    )
    recorded = (ROOT / "tests/program/interface.txt").read_text(encoding="utf-8")
    assert done.stdout.splitlines() == recorded.splitlines()
