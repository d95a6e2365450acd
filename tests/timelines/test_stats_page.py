"""The page of the statistics: one file, nothing asked of anybody, every bout where it is, at any width, light and dark."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund.timelines.observations import Bout
from gerund.timelines.stats_page import UNITS, outline, round_ticks, time_ticks
from support.command import one_line, run

SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}


def record(path: str, duration: float, *segments: tuple[str, float, float]) -> str:
    rows = [{"start": a, "end": b, "label": label, "score": 0.9} for label, a, b in segments]
    return json.dumps({"path": path, "duration": duration, "segments": rows})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    lines = [record(f"v{n}.mp4", 100, ("eat <b>", 10, 20 + n), ("walk", 40, 50), ("nod", 60, 60)) for n in range(4)]
    (tmp_path / "t.json").write_text("\n".join([*lines, record("film.mp4", 7200, ("walk", 0, 3600))]))
    table = ["path,treatment", *(f"v{n}.mp4,{'drug' if n % 2 else 'control'}" for n in range(4)), "film.mp4,control"]
    (tmp_path / "videos.csv").write_text("\n".join(table))
    return tmp_path / "t.json"


def page_of(written: Path, **options: object) -> str:
    gerund.stats(written, html=written.with_name("page.html"), **options)
    return written.with_name("page.html").read_text(encoding="utf-8")


def test_the_page_is_one_file_that_asks_nobody_for_anything(written: Path) -> None:
    page = page_of(written)
    assert not re.search(r"<script|<link|<img|@import|url\(|https?://", page)
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "eat &lt;b&gt;" in page
    assert "<b>" not in page.replace("<body>", "")


def test_every_bout_stands_where_it_is(written: Path) -> None:
    page = page_of(written)
    assert outline(Bout(label="x", start=10, end=20, score=1.0), 100) == "M1000 0h1000v1h-1000z"
    for n in range(4):
        assert f'd="M1000 0h{1000 + 100 * n}v1h-{1000 + 100 * n}z"' in page
    assert page.count('cx="60.000%"') == 4, "points"
    assert f'd="M0 0h{UNITS // 2}v1' in page, "the film has an axis of its own"
    assert re.findall(r"<title>(v0\.mp4: [^<]*)</title>", page) == [
        "v0.mp4: eat &lt;b&gt;, 1 bouts, 10.0 s",
        "v0.mp4: walk, 1 bouts, 10.0 s",
        "v0.mp4: nod at 60.0 s",
    ]


def test_groups_bins_and_what_comes_next_have_their_parts(written: Path) -> None:
    page = page_of(written, by="treatment", videos=written.with_name("videos.csv"), bin=50)
    assert "treatment: control" in page
    assert "treatment: drug" in page
    assert len(re.findall("<polyline", page)) == 3 * 2, "a curve for each label and group"
    assert "Bouts per hour" in page, "of videos of different lengths"
    assert "What comes next" in page
    assert "100 % <small>4</small>" in page
    plain = page_of(written)
    assert "<polyline" not in plain
    assert "treatment" not in plain


def test_a_page_without_bouts_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(record("a.mp4", 10))
    assert "No bouts at all: there is nothing to count." in page_of(tmp_path / "t.json")


def test_one_video_has_no_intervals(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(record("a.mp4", 10, ("x", 1, 3)))
    page = page_of(tmp_path / "t.json")
    assert "<title>x : 20.00 %</title>" in page


@pytest.mark.parametrize("most", [0.0, 1e-6, 0.37, 1.0, 5.0, 99.0, 12345.0])
def test_ticks_are_few_and_round(most: float) -> None:
    ticks = round_ticks(most)
    assert ticks[0] == 0
    assert len(ticks) <= 6
    assert ticks[-1] <= most + 1e-12 or not most


def test_times_are_told_in_the_shortest_unit() -> None:
    assert [tick.words for tick in time_ticks(50)][-1].endswith(" s")
    assert [tick.words for tick in time_ticks(600)][-1].endswith(" min")
    assert [tick.words for tick in time_ticks(3 * 3600)] == ["0", "1", "2", "3 h"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_figure_is_drawn(written: Path, suffix: str) -> None:
    gerund.stats(written, plot=written.with_suffix(suffix), bin=50)
    assert written.with_suffix(suffix).stat().st_size > 5000
    code, _, err = run("stats", written, "--plot", "x.txt")
    assert code == 2
    assert "--plot x.txt: a file ending in .png, .jpg, .svg, .pdf is needed" in one_line(err)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium: apt-get install chromium")
def test_the_page_fits_every_screen_in_both_themes(tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    rng = np.random.default_rng(0)
    lines = []
    for n in range(30):
        times = np.sort(rng.uniform(0, 300, 40))
        lines.append(
            record(
                f"a long name of a mouse {n}.mp4",
                300.0,
                *((f"label {i % 5}", a, b) for i, (a, b) in enumerate(times.reshape(-1, 2).tolist())),
            )
        )
    (tmp_path / "t.json").write_text("\n".join(lines))
    page_of(tmp_path / "t.json", bin=30)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for width, height in SIZES.values():
            for theme in ("light", "dark"):
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
                asked: list[str] = []
                page.on("request", lambda request, asked=asked: asked.append(request.url))
                page.goto((tmp_path / "page.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert len(asked) == 1
                page.close()
