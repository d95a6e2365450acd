"""What docs/install.md promises: an installation carried to a machine without a network, and a site of the pages that needs none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.roads import biologist, teacher

ROOT = Path(__file__).resolve().parents[2]
NO_INDEX = {
    "PIP_NO_INDEX": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}


def ran(*words: object, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, encoding="utf-8", env=os.environ | environment, check=False
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.environ.get("GERUND_NO_INDEX") == "1", reason="GERUND_NO_INDEX=1: there is no package index to fetch from")
def test_a_folder_of_wheels_installs_where_there_is_no_network_and_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there, with an empty home folder, a teacher and a biologist go all their way."""
    wheels, home = tmp_path / "gerund-wheels", tmp_path / "home"
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    ran(sys.executable, *pip, "wheel", "--constraint", ROOT / "constraints.txt", "--wheel-dir", wheels, ROOT)
    venv.create(tmp_path / "there", with_pip=True)
    there = tmp_path / "there" / ("Scripts" if os.name == "nt" else "bin")
    ran(there / "python", *pip, "install", "--no-index", "--find-links", wheels, "gerund", **NO_INDEX)
    assert "torch" not in ran(there / "python", "-m", "pip", "list").split()
    offline = NO_INDEX | {"HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": "", "GERUND_CACHE": ""}
    words = ("train", f"toy-small:{tmp_path / 'toy'}", "--out", tmp_path / "run", "--quiet")
    ran(there / "gerund", *words, **offline)
    clip = next((tmp_path / "toy" / "kicking").glob("performer04*"))
    assert "kicking" in ran(there / "gerund", "predict", tmp_path / "run", clip, **offline)

    def gerund(*words: object, code: int = 0) -> str:
        return ran(there / "gerund", *words, code=code, **offline)

    for road in (teacher, biologist):
        (tmp_path / road.__name__).mkdir()
        monkeypatch.chdir(tmp_path / road.__name__)
        road(gerund)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs mkdocs-material, which the extra docs brings")
def test_the_pages_are_a_site_without_dead_links_that_asks_no_other_for_anything(tmp_path: Path) -> None:
    ran(
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        ROOT / "mkdocs.yml",
        "--site-dir",
        tmp_path / "site",
    )
    pages = list((tmp_path / "site").glob("*.html"))
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= {page.stem for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        asked = re.findall(r"<(?:script|img|iframe)[^>]+src=[\"']?(https?:[^\"' >]+)", text)
        asked += re.findall(r"<link[^>]+rel=[\"']?(?:stylesheet|preload|icon)[^>]+href=[\"']?(https?:[^\"' >]+)", text)
        assert asked == [], page.name


def test_every_page_stands_in_the_menu_of_the_site() -> None:
    listed = re.findall(r"^\s+- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_the_page_of_the_network_inside_names_the_files_that_are_read() -> None:
    from gerund.backbones.lite import VARIANTS

    page = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    for variant in VARIANTS.values():
        assert variant.file in page
        assert variant.sha256 in page
        assert variant.package.replace("_", "-") in page
        assert f"{variant.side} x {variant.side}" in page


def test_one_version_stands_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] in ("Unreleased", version)
