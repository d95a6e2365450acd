"""Make the pictures of the ethogram and of a report from gerund's own synthetic clips: run `make demo` first, then this, from the repository.

Needs Chromium and playwright. A run folder may be given instead of demo/run.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import gerund
from gerund import video
from gerund.data.datasets import toy

HERE = Path(__file__).parent
FILMS, BOUTS = 6, 9


def films(folder: Path, labels: list[str]) -> list[Path]:
    """Films in which a performer whom the model has not seen does one thing after another."""
    paths = []
    for number in range(FILMS):
        rng = np.random.default_rng(number)
        doing = [(str(rng.choice(labels)), float(rng.uniform(2, 5))) for _ in range(BOUTS)]
        frames = (
            frame
            for take, (action, seconds) in enumerate(doing)
            for frame in toy.perform(action, performer=4, take=take, seconds=seconds, size=(180, 320))
        )
        paths.append(folder / f"camera {number + 1}.mp4")
        video.write(paths[-1], frames, fps=25)
    return paths


def photograph(page: Path, picture: Path, width: int, height: int) -> None:
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page(viewport={"width": width, "height": height})
        view.goto(page.resolve().as_uri())
        view.wait_for_timeout(500)
        taken = view.screenshot()
        browser.close()
    Image.open(io.BytesIO(taken)).save(picture, quality=90)


def main() -> None:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "demo/run")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        labels = [label for label in gerund.Recognizer.load(run).labels if label != "background"]
        counted = gerund.stats(run, *films(folder, labels), html=folder / "ethogram.html")
        print("\n".join(counted.as_text()))
        photograph(folder / "ethogram.html", HERE / "ethogram.webp", 1280, 860)
    photograph(run / "report.html", HERE / "report.webp", 1280, 860)


if __name__ == "__main__":
    main()
