"""Films to practise on: a synthetic figure does a few things, again and again, in an order that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gerund import video
from gerund.data.datasets import toy

PRACTICE_FOLDER = "practice"
PRACTICE_ACTIONS = ("waving", "jumping", "squatting")
FILMS, BOUTS, PRACTICE_FPS = 3, 12, 25.0
SIZE = (240, 320)


def write_practice(folder: Path, made: Callable[[Path], None] = lambda path: None) -> list[Path]:
    """Write the films into a folder of their own below `folder`, each with another performer; their paths. Raises VideoError.

    `made` is told each as soon as it is there.
    """
    place = folder / PRACTICE_FOLDER
    place.mkdir(exist_ok=True)
    paths = [place / f"practice {number + 1}.mp4" for number in range(FILMS)]
    for number, path in enumerate(paths):
        if not path.exists():
            video.write(path, practice_frames(number), fps=PRACTICE_FPS)
        made(path)
    return paths


def practice_spans(number: int) -> list[tuple[str, float, float]]:
    """What is done in a film, and when: label, start and end in seconds; bouts of 2 to 4 s of the actions, none after itself."""
    rng = np.random.default_rng([20, number])
    spans: list[tuple[str, float, float]] = []
    for _ in range(BOUTS):
        last, _, start = spans[-1] if spans else ("", 0.0, 0.0)
        action = str(rng.choice([each for each in PRACTICE_ACTIONS if each != last]))
        spans.append((action, start, start + round(rng.uniform(2.0, 4.0) * PRACTICE_FPS) / PRACTICE_FPS))
    return spans


def practice_frames(number: int) -> Iterator[np.ndarray]:
    """The pictures of a film."""
    for take, (action, start, end) in enumerate(practice_spans(number)):
        yield from toy.perform(action, performer=number, take=take, seconds=end - start, size=SIZE)
