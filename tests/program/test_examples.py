"""The examples run as they stand; the container file and the Slurm scripts hold together."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund.backbones import load_backbone
from gerund.cli.commands import COMMANDS
from gerund.data.datasets import toy
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import build_head
from gerund.heads.learned.base import LearnedHead
from gerund.recognition.recognizer import Recognizer

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of labelled clips: three actions, three performers."""
    folder = tmp_path_factory.mktemp("examples")
    toy.make(folder / "toy", performers=3, clips_per_action=2)
    for label in ("kicking", "waving", "squatting"):
        shutil.copytree(folder / "toy" / label, folder / "clips" / label)
    return folder / "clips"


def loaded(name):
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run(*words, cwd, **environment):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | {"PATH": path, "PYTHONUTF8": "1"} | environment
    done = subprocess.run(words, cwd=cwd, env=settings, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_custom_head_keeps_the_contract_of_heads(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    head = build_head("custom_head:ConvHead", token_dim=8, num_classes=3, num_frames=6, options={"width": "16"})
    assert isinstance(head, LearnedHead)
    assert head.module.classify.in_features == 16
    x = np.random.default_rng(0).standard_normal((4, 6, 8), dtype=np.float32)
    valid = np.arange(6) < np.array([[6], [4], [2], [1]])
    logits = head(x, valid)
    assert logits.shape == (4, 3)
    np.testing.assert_allclose(head(np.where(valid[..., None], x, np.float32("nan")), valid), logits, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(head(x[1:2], valid[1:2]), logits[1:2], rtol=1e-6, atol=1e-5)


@pytest.mark.slow
def test_the_gradio_app_answers_with_probabilities_and_an_error_in_words(monkeypatch, clips, tmp_path):
    sampling = Sampling(num_frames=4)
    backbone = load_backbone("pixels:8")
    head = build_head("mean", token_dim=sampling.token_dim(backbone.feature_dim), num_classes=2, num_frames=4)
    Recognizer(
        labels=["a", "b"],
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache()),
        sampling=sampling,
        head=head,
        head_name="mean",
        head_options={},
    ).save(tmp_path / "model")

    class Error(Exception):
        pass

    shown = {}
    stub = types.SimpleNamespace(Error=Error, Video=dict, Label=dict, Interface=lambda **given: shown.update(given))
    monkeypatch.setitem(sys.modules, "gradio", stub)
    monkeypatch.setenv("GERUND_MODEL", str(tmp_path / "model"))
    app = loaded("gradio_app")
    assert shown["fn"] is app.name_action
    assert shown["description"] == "Knows these actions and no other: a, b."
    answer = app.name_action(str(next(clips.rglob("*.mp4"))))
    assert sorted(answer) == ["a", "b"]
    assert sum(answer.values()) == pytest.approx(1)
    (tmp_path / "letter.mp4").write_text("Dear Sir,", encoding="utf-8")
    with pytest.raises(Error, match=r"letter\.mp4"):
        app.name_action(str(tmp_path / "letter.mp4"))
    with pytest.raises(Error, match="Choose a video"):
        app.name_action(None)


@pytest.mark.slow
def test_training_from_python_prints_classes_and_an_answer(clips, tmp_path):
    said = run(sys.executable, str(EXAMPLES / "train_from_python.py"), str(clips), cwd=tmp_path)
    for label in ("kicking", "waving", "squatting"):
        assert re.search(rf"^{label} +\d+ clips +\d+%", said, re.MULTILINE)
    assert len(re.findall(r"^  \w+  \d+\.\d%$", said, re.MULTILINE)) == 3


@pytest.mark.slow
def test_the_custom_head_trains(clips, tmp_path):
    said = run(sys.executable, str(EXAMPLES / "custom_head.py"), str(clips), cwd=tmp_path)
    assert "test clips; the model is in" in said
    assert '"custom_head:ConvHead"' in (tmp_path / "runs" / "train" / "best" / "config.json").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_exploration_writes_its_pictures(clips, tmp_path):
    from PIL import Image

    run(sys.executable, str(EXAMPLES / "explore.py"), str(clips), cwd=tmp_path)
    for name in ("heads", "features", "growing"):
        with Image.open(tmp_path / "explore" / f"{name}.png") as picture:
            assert picture.convert("L").getextrema() == (0, 255) or picture.convert("L").getextrema()[0] < 100


@pytest.fixture
def gerund_on_path(tmp_path):
    """A folder with the command `gerund` of this very source."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "gerund"
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from gerund.cli.app import main; main()" "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.slow
def test_two_tasks_of_the_slurm_array_share_the_work(clips, tmp_path, gerund_on_path):
    environment = os.environ | {
        "PATH": gerund_on_path,
        "DATA": str(clips),
        "GERUND_CACHE": str(tmp_path / "cache"),
        "SLURM_CPUS_PER_TASK": "1",
    }
    words = ["bash", str(EXAMPLES / "slurm" / "extract.sh"), "--backbone", "pixels"]
    tasks = [
        subprocess.Popen(
            words, cwd=tmp_path, env=environment | {"SLURM_ARRAY_TASK_ID": str(task)}, stdout=subprocess.PIPE, text=True
        )
        for task in range(2)
    ]
    said = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0]
    videos = len({clip.path for clip in gerund.index(clips)})
    assert all(f"{videos} videos" in text and "0 failed" in text for text in said)
    assert len(list((tmp_path / "cache").rglob("*-00000.safetensors"))) == videos


@pytest.mark.parametrize("script", sorted((EXAMPLES / "slurm").glob("*.sh")), ids=lambda path: path.name)
def test_the_slurm_scripts_say_what_they_lack_and_call_commands_that_exist(script, tmp_path):
    bare = {name: value for name, value in os.environ.items() if name not in ("DATA", "GERUND_CACHE")}
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DATA: " in done.stderr
    (command,) = re.findall(r"^exec gerund (\w+)", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert command in COMMANDS


def test_the_container_file_copies_what_exists_and_runs_without_root():
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    assert all((ROOT / word).exists() for word in copied)
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER gerund"]
    assert lines.index(users[0]) < next(number for number, line in enumerate(lines) if line.startswith("ENTRYPOINT"))


def test_examples_use_public_names_only_where_they_import_gerund():
    names = {
        name for path in EXAMPLES.glob("*.py") for name in re.findall(r"gerund\.([A-Za-z_]+)\(", path.read_text(encoding="utf-8"))
    }
    assert names <= set(gerund.__all__)
