"""docs/data.md names every data set, and its commands are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gerund.cli import app as cli
from gerund.cli import commands
from gerund.data.datasets import DATASETS

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
COMMANDS = [
    *re.findall(r"`gerund (.+?)`", TEXT),
    *(line.split("   ")[0] for line in re.findall(r"^    gerund (.+)$", TEXT, re.M)),
]


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_on_the_page(name: str) -> None:
    assert f"{name}:" in TEXT or name in ("folder", "csv", "toy", "toy-small")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_on_the_page_can_be_parsed(command: str) -> None:
    words = shlex.split(command.replace("DATA", "data"))
    assert words[0] in commands.COMMANDS
    if len(words) > 1:
        cli.app.parse_args(words, print_error=False, exit_on_error=False)


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 20
