"""From the first clip to the last number: a teacher and a biologist without torch, an engineer with it."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.command import run
from support.roads import ACTIONS, SECONDS, SMALL, biologist, film, teacher
from support.servers import Process
from support.studios import Running, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, with an empty cache, and no network: whoever connects to anything but this machine fails."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
            raise AssertionError(f"asked for {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("GERUND_CACHE", str(tmp_path / "cache"))
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")


def gerund(*words: object, code: int = 0) -> str:
    found, out, err = run(*words)
    assert found == code, f"{words}\n{out}\n{err}"
    assert "Traceback" not in err
    return out


@pytest.mark.usefixtures("alone")
def test_the_road_of_a_teacher() -> None:
    teacher(gerund)


@pytest.mark.usefixtures("alone")
def test_the_road_of_a_biologist() -> None:
    biologist(gerund)


@pytest.mark.skipif(os.name == "nt", reason="signals are those of Unix")
@pytest.mark.usefixtures("alone")
def test_labels_made_in_the_studio_are_counted_and_train_a_model() -> None:
    """What the page does by its API, from an empty folder of films to a model on the command line."""
    happens = ["waving", "kicking", "waving", "kicking"]
    for number, name in enumerate(("one.mp4", "two.mp4")):
        film(Path("films", name), happens, number, SECONDS)
    studio = Running(Path("films").resolve())
    try:
        videos = wait_until(lambda: found if len(found := studio.get("/v1/project")["videos"]) == 2 else None)
        names = {
            text: studio.post("/v1/project/labels", {"text": text})["changes"][0][0].removeprefix("label/")
            for text in sorted(set(happens))
        }
        for video in videos:
            for place, text in enumerate(happens):
                bout = {"label": names[text], "start": SECONDS * place, "end": SECONDS * (place + 1)}
                studio.post("/v1/project/bouts", {"video": video["name"], **bout})
        assert studio.end(signal.SIGTERM) == 0
    finally:
        studio.process.kill()
        studio.process.wait()
    counted = csv.DictReader(gerund("stats", "films/labels.csv", "--csv").splitlines())
    assert sum(int(row["count"]) for row in counted) == len(videos) * len(happens)
    gerund("train", "films/labels.csv", *SMALL, "--leave-one-out", "group", "--out", "run")
    assert gerund("timeline", "run", "films/one.mp4", "--csv").count("kicking") >= 1


@pytest.fixture
def own_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.usefixtures("alone", "own_head")
def test_the_road_of_an_engineer() -> None:
    """A head of one's own and a recipe, several seeds, what compares them, and answers that are the same in other programs and by HTTP."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    for action, number in itertools.product(ACTIONS, range(5)):
        film(Path("clips", action, f"p{number}.mp4"), [action], number)
    new = film(Path("new.mp4"), ["kicking"], 6)
    small = (*SMALL, "--num-frames", 8)
    gerund("train", "clips", *small, "--head", "custom_head:ConvHead", "--epochs", 4, "--out", "own")
    gerund("train", "clips", *small, "--recipe", "convlstm", "--take", "mean", "--epochs", 1, "--out", "recipe")
    gerund("train", "clips", *small, "--head", "mean", "--epochs", 4, "--seeds", 2, "--out", "seeds")

    pooled = json.loads(gerund("evaluate", "seeds", "--json"))
    assert len(pooled["runs"]) == 2
    assert pooled["num_clips"] == sum(of["num_clips"] for of in pooled["runs"].values())
    said = gerund("compare", "clips", "--backbones", "pixels:16", "--heads", "prototype,mean", "--epochs", 2, "--folds", 2)
    assert {"prototype", "mean"} <= {line.split()[0] for line in said.splitlines() if line}

    here = json.loads(gerund("predict", "own", new, "--json"))
    expected = {each["label"]: each["score"] for each in here["scores"]}
    gerund("export", "own", "graphs", "--check", "clips")
    specification = importlib.util.spec_from_file_location("onnx_alone", ROOT / "examples" / "onnx_alone.py")
    assert specification is not None
    assert specification.loader is not None
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    assert example.answer(Path("graphs"), new) == pytest.approx(expected, abs=1e-3)
    server = Process(Path("own"), Path("temporary").resolve(), "--workers", "1")
    try:
        server.wait()
        answer = httpx.post(f"{server.url}/v1/predict", content=new.read_bytes(), timeout=60).json()
        assert server.end() == 0
    finally:
        server.process.kill()
        server.process.wait()
    assert {each["label"]: each["score"] for each in answer["scores"]} == pytest.approx(expected, abs=1e-6)
