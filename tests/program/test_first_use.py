"""What stopped people who used gerund for the first time, and no longer does: where no other test holds it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import gerund
from support.command import one_line, run
from support.reading import read_csv, read_picture
from support.roads import ACTIONS, film

SIDES = ("train", "train", "train", "val", "test", "test")
SMALL = ("--backbone", "pixels:16", "--num-frames", 8)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen clips of three actions, each of six performers on a side of his own."""
    folder = tmp_path_factory.mktemp("first")
    for action in ACTIONS:
        for number in range(len(SIDES)):
            film(folder / action / f"{number}.mp4", [action], number)
    return folder


def table(lesson: Path, out: Path, broken: str | None = None) -> Path:
    """A manifest of the lesson, with one more file, on the side `broken`, that is no video."""
    rows = [
        f"{lesson / label / f'{number}.mp4'},{label},{side},performer {number}"
        for label in ACTIONS
        for number, side in enumerate(SIDES)
    ]
    if broken:
        (out / "broken.mp4").write_bytes(b"not a video")
        rows.append(f"{out / 'broken.mp4'},waving,{broken},performer {SIDES.index(broken)}")
    (out / "clips.csv").write_text("\n".join(["path,label,split,group", *rows]), encoding="utf-8")
    return out / "clips.csv"


@pytest.mark.parametrize("side", ["train", "val", "test"])
def test_one_broken_file_is_told_on_whatever_side_it_falls(side: str, lesson: Path, tmp_path: Path) -> None:
    """It is listed with its reason, left out of what is learned, wrong in what is measured, and costs no picture."""
    code, out, err = run("train", table(lesson, tmp_path, side), *SMALL, "--out", tmp_path / "run")
    assert code == 3, err
    assert "top-5" not in out
    for name in ("train_clips.jpg", "val_predictions.jpg", "confusion_matrix.png"):
        assert min(read_picture(tmp_path / "run" / name).size) > 100
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "broken.mp4: not readable as video" in page
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    rows = [row for row in read_csv(tmp_path / "run" / "predictions.csv") if Path(row["path"]).name == "broken.mp4"]
    assert len(rows) == (side != "train")
    right = len(ACTIONS) * 2
    assert metrics["test"]["num_clips"] == right + (side == "test")
    assert metrics["test"]["top1"] == pytest.approx(right / (right + (side == "test")))
    if side == "test":
        assert metrics["test"]["top1_readable"] == 1
        assert f"{right} of {right + 1} clips right" in out
        assert "top-1 of the clips that could be read: 100.00 %" in out


@pytest.fixture(scope="module")
def page(lesson: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report on the lesson with a clip for training that cannot be read, as text with | between the cells of tables."""
    folder = tmp_path_factory.mktemp("report")
    gerund.train(table(lesson, folder, "train"), backbone="pixels:16", num_frames=8, out=folder / "run")
    found = (folder / "run" / "report.html").read_text("utf-8")
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"</t[dh]>", "|", found)))


def test_a_report_counts_what_was_read_and_each_group_once(page: str) -> None:
    learned, measured = len(ACTIONS) * SIDES.count("train"), len(ACTIONS) * SIDES.count("test")
    assert f"{learned} train, {len(ACTIONS)} val, {measured} test; 1 could not be read (left out of train" in page
    assert re.search(rf" all\| {learned}\| {len(ACTIONS)}\| {measured}\| {len(SIDES)}\|", page)
    assert "1 groups" not in page
    assert "1 videos" not in page


def test_only_mistakes_are_called_so(page: str) -> None:
    assert "No class was taken for another." in page
    assert "Where it was least sure" in page
    assert "Mistakes" not in page
    assert "Worst" not in page


def test_videos_that_failed_before_are_told_in_a_sentence(lesson: Path, tmp_path: Path) -> None:
    words = ("extract", table(lesson, tmp_path, "train"), "--backbone", "pixels:16", "--cache", tmp_path / "cache")
    assert run(*words)[0] == 3
    code, _, err = run(*words)
    assert code == 3
    assert "1 video could not be read before, and is not tried again; gerund extract DATA --retry-failed does that." in err


def test_a_model_without_a_video_is_told_what_is_missing(tmp_path: Path) -> None:
    code, _, err = run("predict", tmp_path / "run")
    assert code == 2
    assert "--inputs" not in one_line(err)
    assert "INPUTS is missing (Videos, folders (all videos in them)" in err


def test_equal_runs_of_a_head_without_luck_are_not_sold_as_many(lesson: Path, tmp_path: Path) -> None:
    code, out, _ = run("train", table(lesson, tmp_path), *SMALL, "--seeds", 2, "--out", tmp_path / "seeds")
    assert code == 0
    assert "solved in closed form and has no luck of the draw" in out
    assert "Runs that agree are one run told twice." in out


@pytest.mark.slow
def test_no_column_of_the_doctors_page_is_cut_on_a_phone(lesson: Path, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no chromium here")
    gerund.doctor(table(lesson, tmp_path), html=tmp_path / "doctor.html")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 800})
        tab.goto((tmp_path / "doctor.html").as_uri())
        assert tab.locator("th", has_text="groups").count() == 1
        assert (
            tab.evaluate(
                "Math.max(...[...document.querySelectorAll('th, td')].map((each) => each.getBoundingClientRect().right))"
            )
            <= 390
        )
        browser.close()


PAGE = Path(__file__).parents[2] / "docs" / "first-use.md"


def test_every_stumble_has_its_tests_and_they_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    numbers = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, 22))
    for row in (line for line in text.splitlines() if re.match(r"\| \d", line)):
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, name in named:
            source = (PAGE.parents[1] / file).read_text(encoding="utf-8")
            assert re.search(rf"^def {name}\(", source, re.MULTILINE), f"{file}::{name}"
