"""The server under load against `gerund predict` on the same files: 200 requests, 16 at a time, a queue that turns some away.

Argument: a model folder. Both sides start with a loaded, compiled model and no features; they take turns. Linux only.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from clips import clips_folder
from servers import Server

from gerund import Clip, Recognizer
from gerund.core import progress
from gerund.features.cache import FeatureCache
from gerund.recognition.predict import ANSWERS_AT_ONCE

REQUESTS, CONCURRENCY, ROUNDS = 200, 16, 3


def predicted(recognizer: Recognizer, paths: list[Path]) -> tuple[float, list[dict]]:
    """Seconds and answers of what `gerund predict --json` does once the model is there."""
    with tempfile.TemporaryDirectory() as folder:
        recognizer.extractor.cache = FeatureCache(Path(folder))
        started = time.perf_counter()
        answers = []
        for first in range(0, len(paths), ANSWERS_AT_ONCE):
            answers += [
                each.values(5)
                for each in recognizer.predict_clips([Clip(path=path) for path in paths[first : first + ANSWERS_AT_ONCE]])
            ]
        return time.perf_counter() - started, answers


def asked(url: str, paths: list[Path]) -> tuple[float, list[dict], int]:
    """Seconds, answers and how often a client that honours Retry-After was sent away."""
    turned_away = []

    def ask(client: httpx.Client, path: Path) -> dict:
        while True:
            answer = client.post(f"{url}/v1/predict", content=path.read_bytes(), headers={"X-Video-Name": path.name})
            if answer.status_code != 429:
                answer.raise_for_status()
                return answer.json()
            turned_away.append(path)
            time.sleep(int(answer.headers["Retry-After"]))

    with httpx.Client(timeout=300) as client, ThreadPoolExecutor(CONCURRENCY) as threads:
        started = time.perf_counter()
        answers = list(threads.map(lambda path: ask(client, path), paths))
        return time.perf_counter() - started, answers, len(turned_away)


def main() -> None:
    progress.notes.setLevel("WARNING")
    model = Path(sys.argv[1])
    paths = clips_folder()
    paths = [paths[index * len(paths) // REQUESTS] for index in range(REQUESTS)]
    recognizer = Recognizer.load(model)
    _ = recognizer.extractor.engine
    with Server(model, "--queue", "12") as server:
        print(f"ready after {server.ready:.1f} s", flush=True)
        asked(server.url, paths[:16])
        before = server.megabytes
        for _ in range(ROUNDS):
            seconds, answers = predicted(recognizer, paths)
            served, same, away = asked(server.url, paths)
            wrong = sum(a | {"path": ""} != b | {"path": ""} for a, b in zip(answers, same, strict=True))
            print(
                f"predict {REQUESTS / seconds:.1f} clips/s, serve {REQUESTS / served:.1f} clips/s: ratio {seconds / served:.2f}; "
                f"{len(same)} answers, {wrong} differ, {away} times turned away",
                flush=True,
            )
        print(f"memory {before:.0f} MB before, {server.megabytes:.0f} MB after; files left {len(server.scratch)}")


if __name__ == "__main__":
    main()
