"""Make the picture of the page from gerund's own synthetic clips: run `make demo` first, then this, from the repository.

Needs Chromium and playwright. A model folder may be given instead of demo/run.
"""

import io
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from gerund import video
from gerund.data.datasets import toy

OUT = Path(__file__).with_name("page.webp")
URL = "http://127.0.0.1:8790/"
ACTIONS = ("waving", "kicking", "squatting", "jumping")


def films(folder: Path) -> list[Path]:
    """A film of four actions, and two short clips."""
    paths = [folder / "morning exercise.mp4", folder / "a kick.mp4", folder / "across the room.mp4"]
    video.write(
        paths[0], (frame for action in ACTIONS for frame in toy.perform(action, performer=4, seconds=4, size=(360, 640))), fps=25
    )
    video.write(paths[1], toy.perform("kicking", performer=2, seconds=2.4, size=(360, 640)), fps=25)
    video.write(paths[2], toy.perform("walking", performer=3, seconds=2.4, size=(360, 640)), fps=25)
    return paths


def photograph(paths: list[Path]) -> None:
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 1010})
        page.goto(URL)
        page.locator("#knows").wait_for()
        page.set_input_files("#files", [str(path) for path in paths])
        page.locator(".item[data-state=done]").nth(len(paths) - 1).wait_for()
        strips = page.locator("#tracks").bounding_box()
        page.wait_for_timeout(3000)  # thumbnails come one after the other
        page.mouse.click(strips["x"] + strips["width"] * 0.45, strips["y"] + 20)
        page.wait_for_timeout(500)
        picture = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(picture)).save(OUT, quality=90)


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "demo/run"
    command = [sys.executable, "-c", "from gerund.cli.app import main; main()", "serve", model, "--port", "8790", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        paths = films(Path(folder))
        server = subprocess.Popen(command)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{URL}readyz")
                    break
                except OSError:
                    time.sleep(0.2)
            photograph(paths)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
