"""Make the picture of the studio from its own films to practise on: run it from the repository. Needs Chromium and playwright."""

import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from gerund.labelling.practice import practice_spans, write_practice

OUT = Path(__file__).with_name("studio.webp")
URL = "http://127.0.0.1:8791"
LABELLED = {"practice 1.mp4": 7, "practice 2.mp4": 4, "practice 3.mp4": 2}


def asked(path: str, values: dict | None = None) -> dict:
    body = None if values is None else json.dumps(values).encode()
    with urllib.request.urlopen(urllib.request.Request(URL + path, body, {"content-type": "application/json"})) as answer:
        return json.load(answer)


def project_when(ready) -> dict:
    while True:
        try:
            found = asked("/v1/project")
            if ready(found):
                return found
        except OSError:
            pass
        time.sleep(0.2)


def label_films() -> None:
    found = project_when(lambda each: len(each["videos"]) == 3 and all(video["stage"] == "ready" for video in each["videos"]))
    labels: dict[str, str] = {}
    for video in found["videos"]:
        number = int(re.findall(r"\d+", video["title"])[0]) - 1
        for label, start, end in practice_spans(number)[: LABELLED[video["title"]]]:
            if label not in labels:
                made = asked("/v1/project/labels", {"text": label})
                labels[label] = made["changes"][0][0].removeprefix("label/")
            asked("/v1/project/bouts", {"video": video["name"], "label": labels[label], "start": start, "end": end})
    project_when(lambda each: each["learned"])


def photograph() -> None:
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(URL)
        page.locator(".item[aria-current=true]").wait_for()
        page.wait_for_timeout(3000)
        page.locator("#board").focus()
        page.keyboard.press("r")
        page.locator(".question").wait_for()
        page.wait_for_timeout(2500)
        picture = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(picture)).save(OUT, quality=90)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_practice(Path(folder))
        code = "from gerund.cli.app import main; main()"
        command = [sys.executable, "-c", code, "studio", f"{folder}/practice", "--port", "8791", "--no-browser", "--quiet"]
        studio = subprocess.Popen(command)
        try:
            label_films()
            photograph()
        finally:
            studio.terminate()
            studio.wait()


if __name__ == "__main__":
    main()
