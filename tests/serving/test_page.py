"""The page in a real browser: a clip is dropped, the right label comes first, a click seeks, downloads are the API's answers."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerund import video
from gerund.data.datasets import toy

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium: apt-get install chromium"),
]
expect = playwright.expect
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
ACTIONS = ("waving", "kicking", "squatting", "jumping")
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}
SHOTS = Path(os.environ.get("GERUND_SCREENSHOTS") or "test-artefacts") / "page"
PATIENCE = 60_000


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Four toy actions, one after the other, by a performer the model does not know; 16 seconds."""
    path = tmp_path_factory.mktemp("film") / "morning exercise.mp4"
    video.write(
        path, (frame for action in ACTIONS for frame in toy.perform(action, performer=9, seconds=4, size=(180, 320))), fps=25
    )
    return path


@pytest.fixture(scope="module")
def kick(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kick") / "a kick é.mp4"
    video.write(path, toy.perform("kicking", performer=8, seconds=2.4, size=(180, 320)), fps=25)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A model that has learned four toy actions; the performers of the tests are among its own, since the page is tested here."""
    import gerund

    folder = tmp_path_factory.mktemp("trained")
    for action in ACTIONS:
        (folder / "clips" / action).mkdir(parents=True)
        for performer in range(10):
            frames = toy.perform(action, performer=performer, seconds=2.4, size=(90, 160))
            video.write(folder / "clips" / action / f"performer{performer}.mp4", frames, fps=25)
    return gerund.train(folder / "clips", backbone="pixels", epochs=40, out=folder / "run").model


@pytest.fixture
def url(trained, tmp_path) -> Iterator[str]:
    from support.servers import Process

    process = Process(trained, tmp_path / "temporary", "--keep", "1min")
    process.wait()
    yield process.url
    process.end()
    assert not [path for path in process.temporary.iterdir() if path.name.startswith("gerund-serve-")]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        yield running.chromium.launch(executable_path=shutil.which("chromium"), args=[*ARGUMENTS, *FAKE_CAMERA])


class Watched:
    """A page, and what it said and asked for."""

    def __init__(self, browser, url: str, **options) -> None:
        self.context = browser.new_context(
            **{"viewport": dict(zip(("width", "height"), SIZES["desktop"], strict=True)), **options}
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "request", lambda asked: self.outside.append(asked.url) if not asked.url.startswith((url, "blob:", "data:")) else None
        )
        self.page.goto(url)
        self.page.locator("#knows").wait_for()

    def add(self, *paths: Path) -> None:
        self.page.set_input_files("#files", [str(path) for path in paths])

    def finished(self, count: int = 1) -> None:
        self.page.locator(".item[data-state=done], .item[data-state=failed]").nth(count - 1).wait_for()

    def close(self) -> None:
        self.context.close()
        assert self.outside == []
        assert self.complaints == []


@pytest.fixture
def watched(browser, url) -> Iterator[Watched]:
    page = Watched(browser, url)
    yield page
    page.close()


def test_a_dropped_clip_gets_the_right_label_first(watched, kick):
    """Dropped, not chosen: the event carries the file as a file manager's does."""
    content = base64.b64encode(kick.read_bytes()).decode()
    carried = watched.page.evaluate_handle(
        """([content, name]) => {
            const carried = new DataTransfer();
            carried.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, { type: "video/mp4" }));
            return carried;
        }""",
        [content, kick.name],
    )
    watched.page.dispatch_event("main", "dragenter", {"dataTransfer": carried})
    expect(watched.page.locator("#curtain")).to_be_visible()
    watched.page.dispatch_event("main", "drop", {"dataTransfer": carried})
    watched.finished()
    expect(watched.page.locator("#top")).to_have_text("kicking")
    expect(watched.page.locator("#curtain")).to_be_hidden()
    expect(watched.page.locator(".item .name")).to_have_text(kick.name)


def test_segments_seek_and_keys_move(watched, film):
    page = watched.page
    watched.add(film)
    watched.finished()
    labels = page.locator(".segment").all_inner_texts()
    assert len(labels) >= 3
    page.locator(".segment").nth(2).click()
    start = float(page.locator(".segment").nth(2).get_attribute("data-start"))
    assert start > 0
    assert page.evaluate("document.querySelector('#video').currentTime") == pytest.approx(start, abs=0.05)
    expect(page.locator("#live")).to_have_text(labels[2])
    expect(page.locator(".event[aria-current=true] .label")).to_have_text(labels[2])
    page.locator("#tracks").focus()
    for key, seconds in (
        ("ArrowRight", start + 0.125),
        ("ArrowLeft", start),
        ("Home", 0),
        ("l", 5),
        ("j", 0),
        ("ArrowDown", None),
        ("End", 16.0),
    ):
        page.keyboard.press(key)
        now = page.evaluate("document.querySelector('#video').currentTime")
        assert now == pytest.approx(seconds, abs=0.1) if seconds is not None else now > 1
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("k")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    slider = page.locator("#tracks")
    assert re.fullmatch(r"0:0\d\.\d, .+ %", slider.get_attribute("aria-valuetext"))
    page.locator(".event").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text(labels[1])


def test_player_and_panel_agree_at_every_moment_or_say_why(watched, film):
    watched.add(film)
    watched.finished()
    found = watched.page.evaluate(
        """async () => {
            const text = (place) => document.querySelector(place)?.textContent.trim() ?? "";
            const video = document.querySelector("video"), found = [];
            for (let at = 0; at < 16; at += 0.25) {
                const there = new Promise((resolve) => video.addEventListener("seeked", resolve, { once: true }));
                video.currentTime = at;
                await there;
                found.push([text("#live"), text("#moment .label"), text("#moment-note")]);
            }
            return found;
        }"""
    )
    assert len(found) == 64
    assert found[0][0] == found[0][1] == "waving"
    for live, first, note in found:
        if live in ACTIONS:
            assert bool(note) == (live != first), (live, first, note)
        else:
            assert live == f"not sure; maybe {first}"


def test_everything_can_be_reached_by_tabbing(watched, kick):
    page = watched.page
    watched.add(kick)
    watched.finished()
    reached = set()
    page.locator(".brand").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.className || document.activeElement.textContent")
        )
    assert {"theme", "keys-button", "open", "play", "tracks", "segment", "event", "annotated"} <= reached


def test_downloads_are_what_the_api_gives(watched, film, url):
    import httpx

    page = watched.page
    watched.add(film)
    watched.finished()
    saved = {}
    for name in ("JSON", "CSV", "SRT", "VTT", "ELAN", "BORIS", "Annotated MP4"):
        with page.expect_download() as download:
            page.locator("#saves").get_by_text(name, exact=True).click()
        saved[name] = (download.value.suggested_filename, Path(download.value.path()).read_bytes())
    assert [name for name, _ in saved.values()] == [
        f"morning exercise{end}" for end in (".json", ".csv", ".srt", ".vtt", ".eaf", ".tsv", "-annotated.mp4")
    ]
    job = json.loads(saved["JSON"][1])
    assert job == httpx.get(f"{url}/v1/jobs/{job['id']}").json()
    for form in ("csv", "srt", "vtt"):
        assert saved[form.upper()][1] == httpx.get(f"{url}/v1/jobs/{job['id']}/timeline.{form}").content
    drawn = film.with_name("drawn.mp4")
    drawn.write_bytes(saved["Annotated MP4"][1])
    assert video.probe(drawn).duration == pytest.approx(16, abs=0.1)
    answer = httpx.post(
        f"{url}/v1/predict?top_k=4", content=film.read_bytes(), headers={"X-Video-Name": "morning%20exercise.mp4"}
    )
    assert job["result"]["prediction"] == answer.json()


def test_cancel_ends_the_job_and_empties_the_page(browser, url, film):
    """The news of the job are held back until the button is pressed, so that there is something to cancel."""
    watched = Watched(browser, url)
    held = []
    watched.page.route("**/v1/jobs/*/events", lambda route: held.append(route) or None)  # a bound method cannot be marked
    watched.add(film)
    watched.page.locator("#cancel").wait_for()
    with watched.page.expect_request(lambda request: request.method == "DELETE") as removed:
        while not held:
            watched.page.wait_for_timeout(50)
        watched.page.locator("#cancel").click()
    assert removed.value.response().status == 204
    expect(watched.page.locator("#welcome")).to_be_visible()
    for route in held:
        route.abort()
    watched.context.close()


def test_two_tabs_upload_at_the_same_time(browser, url, film, kick):
    first, second = Watched(browser, url), Watched(browser, url)
    first.add(film, kick)
    second.add(kick, film)
    for tab, label in ((first, "morning exercise.mp4"), (second, kick.name)):
        tab.finished(2)
        expect(tab.page.locator(".item[aria-current=true] .name")).to_have_text(label)
        assert tab.page.locator(".item[data-state=done]").count() == 2
    expect(second.page.locator("#top")).to_have_text("kicking")
    first.close()
    second.close()


def test_a_broken_file_says_what_to_do_and_a_strange_one_gets_a_preview(watched, tmp_path):
    (tmp_path / "broken.mp4").write_text("just text")
    video.write(tmp_path / "old.avi", toy.perform("kicking", performer=8, seconds=2.4, size=(180, 320)), fps=25, codec="mpeg4")
    watched.add(tmp_path / "broken.mp4")
    watched.finished()
    expect(watched.page.locator("#cover")).to_contain_text("Is it complete? MP4, WebM, MOV, MKV and AVI are taken.")
    watched.add(tmp_path / "old.avi")
    watched.finished(2)
    watched.page.locator(".item .open").nth(1).click()
    expect(watched.page.locator("#caption")).to_contain_text("A preview")
    assert watched.page.evaluate("document.querySelector('#video').videoWidth") == 320
    watched.complaints.clear()  # the browser says itself that it cannot play a file


def test_a_recording_from_the_camera_is_named(watched):
    watched.page.locator("#welcome [data-do=record]").click()
    watched.page.locator("#camera-start:enabled").click()
    expect(watched.page.locator("#camera-note")).to_contain_text("Recording, 2 s")
    watched.page.locator("#camera-start").click()
    watched.finished()
    expect(watched.page.locator(".item .name")).to_contain_text("Recording")
    assert watched.page.locator(".item[data-state=done]").count() == 1


def test_a_film_of_several_actions_has_no_one_answer_but_shares_of_its_time(watched, film, kick):
    watched.add(film, kick)
    watched.finished(2)
    expect(watched.page.locator("#top")).to_have_text("4 actions")
    expect(watched.page.locator("#whole")).to_contain_text("How much of the time each takes:")
    shares = [int(each.removesuffix(" %")) for each in watched.page.locator("#whole .share").all_text_contents()]
    assert shares == sorted(shares, reverse=True)
    assert all(15 <= share <= 35 for share in shares), "four seconds of sixteen each"
    expect(watched.page.locator(".item .status").first).to_have_text("4 actions")
    expect(watched.page.locator(".item .status").last).to_contain_text("kicking")


def test_an_unknown_action_is_shown_as_such(browser, url, kick):
    watched = Watched(browser, url)

    def estranged(route):
        body = route.fetch().text()
        if '"state": "done"' in body:
            known = '"label": "kicking", "best_guess": "kicking", "unknown": false'
            assert known in body
            body = body.replace(known, '"label": "unknown", "best_guess": "kicking", "unknown": true')
        route.fulfill(body=body, content_type="text/event-stream")

    watched.page.route("**/v1/jobs/*/events", estranged)
    watched.add(kick)
    watched.finished()
    expect(watched.page.locator("#top")).to_have_text("Unknown")
    expect(watched.page.locator("#whole")).to_contain_text("None of the actions it knows fits well. Closest: kicking")
    expect(watched.page.locator(".item .status")).to_contain_text("unknown")
    watched.close()


def test_a_token_is_asked_for_once(browser, trained, tmp_path, kick):
    from support.servers import Process

    process = Process(trained, tmp_path / "temporary", environment={"GERUND_TOKEN": "correct-horse-battery-staple"})
    process.wait()
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(process.url)
    page.locator("#login-token").fill("wrong")
    page.locator("#login button").click()
    expect(page.locator("#login-wrong")).to_have_text("That is not the token.")
    page.locator("#login-token").fill("correct-horse-battery-staple")
    page.locator("#login button").click()
    page.locator("#knows").wait_for()
    page.set_input_files("#files", str(kick))
    page.locator(".item[data-state=done]").wait_for()
    assert "correct-horse" not in page.url
    assert page.evaluate("document.cookie") == ""
    context.close()
    process.end()
    assert "correct-horse" not in process.log.read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_nothing_is_cut_off_at_any_size(browser, url, film, kick, size, theme):
    """Leaves the pictures of this run in test-artefacts/page, or $GERUND_SCREENSHOTS/page."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    watched = Watched(browser, url, viewport={"width": width, "height": height}, color_scheme=theme)
    page = watched.page
    page.screenshot(path=SHOTS / f"empty-{size}-{theme}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    watched.add(film, kick)
    watched.finished(2)
    page.locator(".segment").nth(1).click()
    expect(page.locator(".event[aria-current=true]")).to_have_count(1)
    page.screenshot(path=SHOTS / f"video-{size}-{theme}.png", full_page=True)
    boxes = page.evaluate(
        "[...document.querySelectorAll('.segment span')].map((each) => [each.textContent, each.scrollWidth <= each.clientWidth])"
    )
    assert boxes
    assert all(fits for _, fits in boxes), "whole words or none"
    assert page.locator("[data-do=choose]:visible").count() == 1
    tag, head = (page.locator(place).first.bounding_box() for place in (".tag", "#tracks"))
    inset = page.evaluate("parseFloat(getComputedStyle(document.querySelector('.tag')).paddingLeft)")
    assert tag["x"] + inset - head["x"] >= 8, "the playhead at 0:00 stands beside the names of the rows"
    order = [page.locator(part).bounding_box()["y"] for part in (".stage", ".library", ".answers .whole")]
    assert size == "desktop" or order == sorted(order), "the list of videos stands below the player"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    watched.close()
