"""report.html is one page that asks nobody for anything, says what was measured, and holds for odd runs too."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gerund.core.html import templates
from gerund.core.types import Clip
from gerund.data.checks import Finding
from gerund.recognition.evaluate import Evaluation
from gerund.recognition.metrics import reliability
from gerund.training.report import charts, pen, plots
from gerund.training.report.page import ClipSteps, RunReport, run_page
from support.videos import RampVideo

LABELS = ["<b>jump</b> & 'run'", "été"]
HISTORY = [
    {"train/loss": "1.2", "val/loss": loss, "train/accuracy_top1": "0.5", "metrics/accuracy_top1": "0.75"}
    for loss in ("1.5", "0.9", "1.1")
]
VOID = {"meta", "img", "br", "rect", "line", "circle", "polyline"}


class Reader(HTMLParser):
    """Open tags must be closed in order; collects text, pictures and every address on the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def evaluation(path: Path, labels: list[str] = LABELS) -> Evaluation:
    """Six clips of one video; one wrong, one not decoded."""
    clips = [
        Clip(path=path, label=labels[number % 2], start=number * 0.1, end=1.5, split="test", group=f"g{number}")
        for number in range(6)
    ]
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9], [0.6, 0.4], [np.nan, np.nan]])
    return Evaluation(labels=labels, clips=clips, scores=scores, failed={str(path): "broken & gone"})


def report(path: Path, **changes: object) -> RunReport:
    measured = evaluation(path)
    values = {
        "run": "runs/été <1>",
        "facts": {"data": "a & b"},
        "clips": [*measured.clips, *(Clip(path=path, label=LABELS[0], split=side) for side in ("train", "val"))],
        "history": HISTORY,
        "findings": [Finding(area="label", kind="typo", message="'jmp' <looks> odd")],
        "command": "gerund train 'a & b' --epochs 3",
        "versions": {"packages": "gerund 1"},
        "evaluation": measured,
        "steps": {index: ClipSteps(seconds=np.arange(16) * 0.1, weights=np.full(16, 1 / 16)) for index in measured.worst},
    }
    return RunReport(**values | changes)


def test_the_page_is_one_file_without_scripts_and_outside_requests(ramp_video) -> None:
    page = run_page(report(ramp_video()))
    reader = Reader(page)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert "script" not in reader.tags
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"https?://|url\(|@import", page)
    assert len(reader.addresses) == 4 * 8, (
        "of five clips with an answer one is a mistake, and three are close calls: eight frames each"
    )
    assert all(address.startswith("data:image/jpeg;base64,") for address in reader.addresses)


def test_the_page_says_what_was_measured(ramp_video) -> None:
    text = Reader(run_page(report(ramp_video()))).text
    assert "4 of 6 clips right; with so few, 30 to 90 % of new ones would be." in text  # (p + z^2 / 2n -+ ...) / (1 + z^2 / n)
    assert "Measured on 6 test clips of 6 groups, apart from training." in text
    assert "Mistakes and close calls" in text
    assert "top-1 66.7 % 30.0 % to 90.3 %" in text
    assert "(Wilson, each group counted once)" in text
    assert "epoch 2 of 3 was kept" in text
    assert "1 of them could not be decoded and count as wrong" in text
    assert "<b>jump</b> & 'run' taken for été: 1 of 3 clips" in text
    assert "été 66.7 % 2 of 3" in text
    assert "'jmp' <looks> odd" in text
    assert "gerund train 'a & b' --epochs 3" in text
    assert "this head counts all alike" in text


def test_weights_of_steps_are_bars_of_their_height(ramp_video) -> None:
    weights = np.full(16, 0.5 / 15)
    weights[3] = 0.5
    measured = report(ramp_video())
    page = run_page(
        report(ramp_video(), steps={measured.evaluation.worst[0]: ClipSteps(seconds=np.arange(16) * 0.1, weights=weights)})
    )
    heights = re.findall(r'<i style="height: (\d+)%', page)
    assert heights == ["7"] * 3 + ["100"] + ["7"] * 12
    assert "twice an equal share" in page


def test_without_clips_to_measure_there_is_one_line_in_place_of_the_figures(tmp_path: Path) -> None:
    reader = Reader(run_page(report(tmp_path / "none.mp4", evaluation=None, steps={})))
    assert "No test and no validation clips: there is nothing to measure this model on." in reader.text
    assert "Mistakes" not in reader.text
    assert "epoch 2 of 3 was kept" in reader.text


def test_figures_of_validation_clips_are_called_so(ramp_video) -> None:
    text = Reader(run_page(report(ramp_video(), side="val"))).text
    assert " Measured on 6 validation clips of 6 groups, which also chose the epoch" in text


def test_groups_on_both_sides_are_told(ramp_video) -> None:
    one = report(ramp_video())
    clips = [*one.clips, Clip(path=Path("x.mp4"), label=LABELS[0], split="train", group="g3")]
    text = Reader(run_page(report(ramp_video(), clips=clips))).text
    assert "1 of these groups are in training too: the figures claim too much" in text
    assert "apart from training" not in text


def test_without_validation_the_last_epoch_was_kept(ramp_video) -> None:
    clips = [Clip(path=Path("x.mp4"), label=LABELS[0], split="train")]
    text = Reader(run_page(report(ramp_video(), clips=clips))).text
    assert "epoch 3 of 3 was kept" in text
    assert "training clips after the epoch" in text


def test_a_video_that_is_gone_costs_its_pictures_only(tmp_path: Path) -> None:
    reader = Reader(run_page(report(tmp_path / "gone.mp4")))
    assert reader.addresses == []
    assert "No pictures:" in reader.text


def test_no_answer_at_all_is_said(tmp_path: Path) -> None:
    silent = evaluation(tmp_path / "gone.mp4")
    silent.scores[:] = np.nan
    text = Reader(run_page(report(tmp_path / "gone.mp4", evaluation=silent, steps={}))).text
    assert "No clip has an answer, so there are no percentages to judge." in text
    assert "not measurable" in text


def test_many_classes_fold_away_and_keep_the_page_small(tmp_path: Path) -> None:
    labels = [f"class {number:03d}" for number in range(400)]
    clips = [Clip(path=tmp_path / f"{number}.mp4", label=labels[number % 400], split="test") for number in range(4000)]
    scores = np.random.default_rng(0).dirichlet(np.ones(400) / 50, 4000)
    measured = Evaluation(labels=labels, clips=clips, scores=scores, failed={})
    page = run_page(report(tmp_path / "x", evaluation=measured, clips=clips, steps={}))
    assert "380 more classes" in page
    assert len(page) < 2_000_000
    Reader(page)


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert charts.ticks(0.37, 1.52) == pytest.approx([0.5, 1.0, 1.5])
    assert charts.ticks(1, 60) == pytest.approx([20, 40, 60])
    assert charts.ticks(2, 2) == [2]


def test_lines_lie_where_their_numbers_say() -> None:
    chart = svg(charts.line_chart("Loss", {"train": [3, 1, 2]}, kept=2))
    points = [tuple(map(float, point.split(","))) for point in re.search(r'points="([^"]+)"', chart)[1].split()]
    middle = (charts.MARGIN_LEFT + charts.CHART_WIDTH - charts.MARGIN_RIGHT) / 2
    assert points == [
        (charts.MARGIN_LEFT, charts.MARGIN_TOP),
        (pytest.approx(middle), charts.CHART_HEIGHT - charts.MARGIN_BOTTOM),
        (
            charts.CHART_WIDTH - charts.MARGIN_RIGHT,
            pytest.approx((charts.MARGIN_TOP + charts.CHART_HEIGHT - charts.MARGIN_BOTTOM) / 2),
        ),
    ]


def test_one_epoch_is_a_chart_too() -> None:
    assert "<circle" in svg(charts.line_chart("Loss", {"train": [1.0], "validation": [1.0]}, kept=1))


def test_bars_of_reliability_are_as_high_as_the_accuracy() -> None:
    rows = reliability(np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]]), np.array([0, 1, 0]))
    chart = svg(charts.reliability_chart(rows))
    heights = [float(height) for height in re.findall(r' height="([\d.]+)"', chart)]
    full = charts.CHART_HEIGHT - charts.MARGIN_TOP - charts.MARGIN_BOTTOM
    assert heights == pytest.approx([full, full / 2])
    assert "2 clips: 90 % sure, 50 % right" in chart


def test_the_confusion_chart_shows_counts_and_names_while_they_fit() -> None:
    matrix = np.array([[3, 1, 0], [0, 2, 2]])
    chart = svg(charts.confusion_chart(matrix, ["a", "b"]))
    assert re.findall(r">(\d)</text>", chart) == ["3", "1", "2", "2"]
    assert "(no answer)" in chart
    many = svg(charts.confusion_chart(np.eye(50, 51, dtype=int), [f"c{number}" for number in range(50)]))
    assert "<text" not in many
    assert "c7 answered c7: 1 of 1" in many


ACCENT, SECOND = (31, 111, 235), (194, 83, 12)


def test_pictures_of_charts_have_their_marks_where_the_page_has_them(tmp_path: Path) -> None:
    chart = charts.line_chart("Loss", {"train": [3, 1, 2]}, kept=2)
    scale = 3  # pixels per unit: drawn at 6, and halved
    sheet = pen.chart_sheet({"Loss": chart}, note="")
    (dot,) = [mark for mark in chart.marks if isinstance(mark, charts.Dot)]
    left, top = pen.CHART_GAP, pen.TITLE + 2 * pen.CHART_GAP
    assert sheet.getpixel((round((left + dot.x) * scale), round((top + dot.y) * scale))) == ACCENT
    assert sheet.getpixel((round((left + dot.x) * scale), round((top + dot.y + 8) * scale))) != ACCENT


def test_the_confusion_picture_shows_shares_of_the_true_class() -> None:
    chart = charts.confusion_chart(np.array([[3, 1, 0], [0, 2, 0]]), ["a", "b"], normalized=True)
    assert [mark.words for mark in chart.marks if isinstance(mark, charts.Text)][:3] == ["75", "25", "100"]
    sheet = pen.chart_sheet({"Shares": chart}, note="rows: true class; columns: answer")
    found = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height)}
    assert ACCENT in found, "all of class b is right, in full colour"


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_of_any_length_become_a_picture(epochs: int, tmp_path: Path) -> None:
    plots.history_plot(tmp_path / "history.png", HISTORY[:epochs], validated=False)
    with Image.open(tmp_path / "history.png") as picture:
        found = {colour for _, colour in picture.convert("RGB").getcolors(picture.width * picture.height)}
    assert {ACCENT, SECOND} <= found


def test_many_classes_are_a_picture_of_bounded_size(tmp_path: Path) -> None:
    plots.confusion_plot(tmp_path / "confusion.png", np.eye(400, 401, dtype=int), [f"class {number}" for number in range(400)])
    with Image.open(tmp_path / "confusion.png") as picture:
        assert max(picture.size) <= pen.LARGEST_DRAWN / 2


def svg(chart: charts.Chart) -> str:
    return templates().get_template("training/report/chart.html").module.chart(chart)


@pytest.mark.slow
def test_the_page_in_a_browser_fits_a_phone_and_follows_dark_mode(ramp_video, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no chromium here")
    (tmp_path / "report.html").write_text(run_page(report(ramp_video())), encoding="utf-8")
    grounds = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            tab = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
            complaints: list[str] = []
            requests: list[str] = []
            tab.on("console", lambda message, found=complaints: found.append(message.text))
            tab.on("request", lambda request, found=requests: found.append(request.url))
            tab.goto((tmp_path / "report.html").as_uri())
            assert complaints == []
            assert [url for url in requests if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
            assert tab.evaluate("document.documentElement.scrollWidth") == 390
            assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
            grounds.append(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        browser.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(17, 22, 29)"]


def test_a_clip_that_cannot_be_read_costs_its_own_picture_alone(tmp_path: Path, ramp_video: RampVideo) -> None:
    clips = [Clip(path=tmp_path / "gone.mp4"), Clip(path=ramp_video(40))]
    plots.contact_sheet(tmp_path / "sheet.png", [(clip, "jump", None) for clip in clips])
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    gone, read = pixels[8:188, 8:248], pixels[8:188, 256:496]
    assert (gone == gone[0, 0]).mean() > 0.95  # the sheet's own paper, but for the words
    assert len(np.unique(gone)) > 10
    assert (read == gone[0, 0]).mean() < 0.5
