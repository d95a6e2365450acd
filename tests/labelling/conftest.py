"""Films to label, and a studio around a copy of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerund.labelling.desk import Studio
from support.studios import FILMS, named, studio_in, write_films


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_films(folder)
    return folder


@pytest.fixture(scope="session")
def warm(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the films' features are."""
    folder = tmp_path_factory.mktemp("warm")
    with studio_in(shutil.copytree(films, folder / "films"), folder / "cache") as opened:
        for film in FILMS:
            named(opened, film)
    return folder / "cache"


@pytest.fixture
def folder(films: Path, tmp_path: Path) -> Path:
    return shutil.copytree(films, tmp_path / "films")


@pytest.fixture
def desk(folder: Path, warm: Path, tmp_path: Path) -> Iterator[Studio]:
    """A studio that has looked at the films before."""
    with studio_in(folder, shutil.copytree(warm, tmp_path / "cache")) as opened:
        yield opened
