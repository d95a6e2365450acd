"""Films to label, and a studio around a copy of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerund.labelling.desk import Studio
from support.studios import studio_in, write_films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_films(folder)
    return folder


@pytest.fixture
def folder(films: Path, tmp_path: Path) -> Path:
    return shutil.copytree(films, tmp_path / "films")


@pytest.fixture
def desk(folder: Path, tmp_path: Path) -> Iterator[Studio]:
    with studio_in(folder, tmp_path / "cache") as opened:
        yield opened
