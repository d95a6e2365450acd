"""README, CONTRIBUTING and docs are true: their commands run, their links and the files they name are there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gerund.cli import app as cli
from gerund.data.datasets import toy
from support.mice import make_mice

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [pytest.param(page, marks=() if page.name == "README.md" else pytest.mark.slow, id=page.name) for page in PAGES]
"""The pages whose blocks are run: the README always, the others by `make test-all`; that their commands can be, is always tested."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS = {"exporting.md": ("onnxscript", "onnxruntime")}
"""Packages of extras without which the commands of a page cannot run."""
ELSEWHERE = ("make ", "pip ", "git ", ".venv/bin/python -m pytest ")
"""Commands that set up or test the very checkout that this test runs in."""


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[str]:
    lines = [line.split("   #")[0].strip() for text in blocks(page, "sh") for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", *ELSEWHERE))]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home folder in which the default backbone's weights lie as if fetched once (they are random: the commands are tested)."""
    import timm
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("home")
    repository = folder / "hub" / "models--timm--mobilenetv2_100.ra_in1k"
    snapshot = repository / "snapshots" / "0"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    save_file(timm.create_model("mobilenetv2_100").state_dict(), snapshot / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """What the pages take for granted: CLIPS/, a.mp4, b.mp4 and c.mp4, a first run, and the mice of ethogram.md."""
    folder = tmp_path_factory.mktemp("workshop")
    toy.make(folder / "toy", performers=3, clips_per_action=1)
    for label in ("kicking", "waving", "squatting"):
        shutil.copytree(folder / "toy" / label, folder / "CLIPS" / label)
    clips = [clip for label in ("kicking", "waving", "squatting") for clip in sorted((folder / "CLIPS" / label).glob("*.mp4"))]
    for name, clip in zip("abc", clips, strict=False):
        shutil.copy(clip, folder / f"{name}.mp4")
    shutil.rmtree(folder / "toy")
    shutil.copytree(ROOT / "examples", folder / "examples")
    make_mice(folder)
    return folder


@pytest.fixture
def run(home, workshop):
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=workshop, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


@pytest.mark.torch
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_exist_with_their_options(page):
    lines = commands(page)
    if not lines:
        pytest.skip("no commands on this page")
    for line in lines:
        for words in gerund_words(line):
            _, shown, *_ = cli.app.meta.parse_args(words, print_error=False, exit_on_error=False)
            command, *options = cli.modern(shown.args)
            cli.app.parse_args([command, *options], print_error=False, exit_on_error=False)


def gerund_words(line: str) -> list[list[str]]:
    """The arguments of each `gerund` in a line of a shell, without what the shell takes for itself."""
    parts = [[]]
    for word in shlex.split(line.replace(";", " ; "), comments=True):
        if word in ("|", "&&", ";", "||", "&", ">", "2>"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part[part.index("gerund") + 1 :] for part in parts if "gerund" in part]


@pytest.mark.torch
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page, run, workshop):
    lines = commands(page)
    if not lines:
        pytest.skip("no commands on this page")
    for package in NEEDS.get(page.name, ()):
        pytest.importorskip(package)
    if page.name != "README.md" and not (workshop / "runs" / "train").exists():
        run("gerund", "train", "CLIPS/", "--epochs", "1")
    for line in lines:
        run("bash", "-c", line)


@pytest.mark.torch
@pytest.mark.parametrize("page", RUN)
def test_the_python_of_a_page_runs(page, run, workshop):
    texts = blocks(page, "python")
    if not texts:
        pytest.skip("no Python on this page")
    for package in NEEDS.get(page.name, ()):
        pytest.importorskip(package)
    if not (workshop / "runs" / "train").exists():
        run("gerund", "train", "CLIPS/", "--epochs", "1")
    for text in texts:
        run(sys.executable, "-c", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_of_a_page_exist(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_project_that_a_page_names_exist(page):
    named = re.findall(r"\b(?:src|tests|benchmarks|tools|examples)/[\w/.-]*\w", page.read_text(encoding="utf-8"))
    assert not [name for name in named if not (ROOT / name).exists()]
