"""Three films of a bright square that is at the left, at the right or in the middle for three seconds each, and a studio around them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gerund import video
from gerund.backbones import load_backbone
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.labelling.desk import Studio
from gerund.labelling.edits import add_bout, add_label
from gerund.labelling.project import Project

SECONDS = 3.0
PLACES = {"left": 4, "middle": 24, "right": 44}
FILMS = {
    "one": "left right middle left right middle left right",
    "two": "right left middle right left",
    "three": "middle right left middle",
}


def write_films(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILMS.items():
        rng = np.random.default_rng(len(name))
        pictures = rng.integers(0, 30, (round(10 * SECONDS * len(text.split())), 48, 64, 3), np.uint8)
        for place, label in enumerate(text.split()):
            first = round(10 * SECONDS * place)
            pictures[first : first + round(10 * SECONDS), 14:34, PLACES[label] : PLACES[label] + 16] += 200
        video.write(folder / f"{name}.mp4", pictures, fps=10)


def write_clips(folder: Path, count: int) -> dict[str, str]:
    """Clips of one place each, `count` of each of the three; file name -> where the square is."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, found = np.random.default_rng(5), {}
    for label, left in PLACES.items():
        for number in range(count):
            pictures = rng.integers(0, 30, (20, 48, 64, 3), np.uint8)
            pictures[:, 14:34, left : left + 16] += 200
            name = f"{label} {number}.mp4"
            video.write(folder / name, pictures, fps=10)
            found[name] = label
    return found


def truth(film: str) -> list[tuple[str, float, float]]:
    """Label, start and end of each span of a film."""
    return [(label, SECONDS * place, SECONDS * (place + 1)) for place, label in enumerate(FILMS[film].split())]


@contextmanager
def studio_in(folder: Path, cache: Path, *, project: Path | None = None) -> Iterator[Studio]:
    """A studio whose background works; it is ended with the block."""
    extractor = Extractor(load_backbone("pixels:8"), fps=8.0, cache=FeatureCache(cache), apart=True)
    desk = Studio(Project(project or folder), folder, extractor, cache / "studio")
    desk.start()
    try:
        yield desk
    finally:
        desk.end()


def wait_until(look: Callable[[], object], seconds: float = 60.0):
    """What `look` gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing came within {seconds:g} s")


def named(desk: Studio, film: str) -> str:
    """The name that a film has in the project, once its features are there."""
    return wait_until(
        lambda: next(
            (name for name in dict(desk.library.features) if desk.project.state.videos[name].path == f"{film}.mp4"), None
        )
    )


def label_films(desk: Studio, spans: dict[str, int]) -> None:
    """Label the first spans of films as they are, so many of each."""
    for film, count in spans.items():
        name = named(desk, film)
        for label, start, end in truth(film)[:count]:
            if label not in desk.project.state.labels:
                desk.perform(add_label(label, name=label), token="", seen=None)
            desk.perform(add_bout(name, label, start, end, by="me"), token="", seen=None)


def learned(desk: Studio):
    """Wait until the model knows of every edit, and of every video."""

    for film in FILMS:
        named(desk, film)

    def done() -> bool:
        current = desk.learner.number == desk.project.number and desk.learner.readout is not None
        known = [each.number for each in list(desk.learner.suggestions.values())]
        return current and len(known) == len(FILMS) and set(known) == {desk.project.number} and not desk.learner.wake.is_set()

    wait_until(done)
    return desk.learner


def found_labels(desk: Studio, film: str) -> list[str]:
    """What the model says in the middle of each span of a film."""
    suggestion = desk.learner.suggestions[named(desk, film)]
    middles = [(start + end) / 2 for _, start, end in truth(film)]
    return [next((each.label for each in suggestion.segments if each.start <= at < each.end), "") for at in middles]


class Running:
    """The command in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder.parent / f"log-{len(list(folder.parent.glob('log-*')))}.txt"
        code = "from gerund.cli.app import main; main()"
        words = ["studio", str(folder), "--port", "0", "--no-browser", "--backbone", "pixels:8", *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *words], stderr=log, env=os.environ | {"PYTHONUTF8": "1"}
            )
        self.url = wait_until(self.address)
        wait_until(self.is_up)

    def address(self) -> str:
        text = self.log.read_text()
        assert self.process.poll() is None, text
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        return found[0] if found else ""

    def is_up(self) -> bool:
        try:
            return bool(self.get("/v1/project"))
        except OSError:
            return False

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, values: dict) -> dict:
        asked = urllib.request.Request(self.url + path, json.dumps(values).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)
