"""The API of a studio: labels are on the disk before they are acknowledged, nobody writes over anybody, and only the project's files come out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerund.labelling.journal import ProjectJournal
from support.studios import FILMS, label_films, learned, named, studio_in, truth, wait_until

pytest.importorskip("fastapi")
pytest.importorskip("httpx")


@pytest.fixture
def client(desk) -> Iterator:
    """A client of the desk's own application; the desk is started already, so the application's start is left out."""
    from starlette.testclient import TestClient

    from gerund.labelling.app import build_studio

    yield TestClient(build_studio(desk, hosts=frozenset({"127.0.0.1"})), base_url="http://127.0.0.1")


def make_label(client, text: str) -> str:
    made = client.post("/v1/project/labels", json={"text": text}).json()
    return made["changes"][0][0].removeprefix("label/")


def add(client, desk, label: str, start: float, end: float, film: str = "one", **values):
    given = {"video": named(desk, film), "label": label, "start": start, "end": end, **values}
    return client.post("/v1/project/bouts", json=given)


def test_a_label_is_on_the_disk_before_it_is_acknowledged(client, desk, folder):
    answer = add(client, desk, make_label(client, "left"), 0, 3).json()
    journal = ProjectJournal.opened(folder / "gerund-journal.jsonl")
    assert journal.number == answer["number"]
    key, values = answer["changes"][0]
    assert journal.values[key] == values
    assert answer["said"] == "left 0.0 to 3.0 s"
    assert answer["undo"] == answer["said"]


def test_a_request_that_is_sent_twice_labels_once(client, desk):
    label = make_label(client, "left")
    answers = [add(client, desk, label, 0, 3, token="t").json() for _ in range(2)]
    assert answers[0]["changes"] == answers[1]["changes"]
    assert len(desk.project.state.bouts) == 1


def test_what_another_window_has_changed_is_not_written_over(client, desk):
    answer = add(client, desk, make_label(client, "left"), 0, 3).json()
    name, seen = answer["changes"][0][0].removeprefix("bout/"), answer["number"]
    assert client.patch(f"/v1/project/bouts/{name}", json={"end": 2, "seen": seen}).status_code == 200
    refused = client.patch(f"/v1/project/bouts/{name}", json={"end": 1, "seen": seen})
    assert (refused.status_code, refused.json()) == (
        409,
        {"error": "this was changed in another window meanwhile; look at it again"},
    )
    assert [each.end for each in desk.project.state.bouts.values()] == [2]


def test_the_whole_life_of_a_bout(client, desk):
    left, right = make_label(client, "left"), make_label(client, "right")
    name = add(client, desk, left, 0, 4).json()["changes"][0][0].removeprefix("bout/")
    assert client.post(f"/v1/project/bouts/{name}/parts", json={"at": 3}).status_code == 200
    (other,) = set(desk.project.state.bouts) - {name}
    client.patch(f"/v1/project/bouts/{other}", json={"label": right, "subject": "mouse"})
    shown = client.get(f"/v1/project/videos/{named(desk, 'one')}").json()["bouts"]
    assert [(each["label"], each["start"], each["end"], each["subject"]) for each in shown] == [
        (left, 0, 3, ""),
        (right, 3, 4, "mouse"),
    ]
    client.post(f"/v1/project/bouts/{name}/union", json={"other": other})
    assert [(each.start, each.end) for each in desk.project.state.bouts.values()] == [(0, 4)]
    client.post(f"/v1/project/bouts/{name}/removal", json={})
    assert desk.project.state.bouts == {}
    undone = client.post("/v1/project/undo", json={}).json()
    assert (undone["done"], undone["said"], undone["redo"]) == ("undo", "left removed", "left removed")
    assert client.post("/v1/project/redo", json={}).json()["done"] == "redo"


REFUSED = [
    ("POST", "bouts", {"video": "?", "label": "?", "start": 0, "end": 1}, 404, "not there"),
    ("POST", "bouts", {"video": "x", "label": "y"}, 400, "start: Field required"),
    ("PATCH", "bouts/x", {}, 404, "'x': not there"),
    ("POST", "labels", {"text": " "}, 400, "needs a name"),
    ("PATCH", "labels/x", {}, 400, "either a text or a key"),
    ("POST", "redo", {}, 400, "nothing to do again"),
    ("POST", "labels", {"text": "x" * 5000}, 413, "more than 4,096 bytes"),
    ("GET", "videos/x", None, 404, "not there"),
    ("GET", "videos/x/media", None, 404, "not there"),
    ("GET", "videos/..%2f..%2fetc%2fpasswd/media", None, 404, "Not Found"),
    ("GET", "review?count=0", None, 400, "greater than or equal"),
]


def test_what_cannot_be_is_refused_in_words(client):
    for method, path, values, status, words in REFUSED:
        answer = client.request(method, f"/v1/project/{path}", json=values)
        assert answer.status_code == status, path
        assert words in answer.json()["error"]


def test_other_sites_and_other_names_are_kept_out(client):
    assert client.post("/v1/project/labels", json={"text": "x"}, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/v1/project", headers={"host": "evil.example"}).status_code == 421
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy


def test_a_token_is_asked_for_where_one_is_set(desk):
    from starlette.testclient import TestClient

    from gerund.labelling.app import build_studio

    client = TestClient(build_studio(desk, token="a-token-of-many-letters-7531"), base_url="http://127.0.0.1")
    assert client.get("/v1/project").status_code == 401
    assert client.get("/v1/project", headers={"authorization": "Bearer a-token-of-many-letters-7531"}).status_code == 200
    assert client.get("/static/studio/studio.js").status_code == 200


def test_media_come_by_ranges_and_pictures_are_jpeg(client, desk, folder):
    name, whole = named(desk, "one"), (folder / "one.mp4").read_bytes()
    answer = client.get(f"/v1/project/videos/{name}/media", headers={"range": "bytes=100-199"})
    assert (answer.status_code, answer.content) == (206, whole[100:200])
    assert answer.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    picture = client.get(f"/v1/project/videos/{name}/picture?at=4.5")
    assert picture.headers["content-type"] == "image/jpeg"
    from io import BytesIO

    import numpy as np
    from PIL import Image

    columns = np.asarray(Image.open(BytesIO(picture.content)).convert("L")).mean(0)
    assert columns.argmax() > 0.6 * len(columns)  # at 4.5 s the square is at the right


def test_a_small_copy_has_the_times_of_the_film(client, desk, folder):
    from gerund import video

    name = named(desk, "two")
    copy = folder.parent / "copy.mp4"
    copy.write_bytes(client.get(f"/v1/project/videos/{name}/copy.mp4").content)
    times = [block.pts for block in video.read(copy)], [block.pts for block in video.read(folder / "two.mp4")]
    assert len(times[0][0]) == len(times[1][0])
    assert abs(times[0][0] - times[1][0]).max() < 0.02


def test_a_film_that_goes_away_is_named(client, desk, folder):
    name = named(desk, "one")
    (folder / "one.mp4").unlink()
    answer = client.get(f"/v1/project/videos/{name}/media")
    assert (answer.status_code, answer.json()["error"]) == (422, "one.mp4: not there (any more)")


def test_the_project_says_how_far_everything_is(client, desk, folder):
    label_films(desk, {"one": 3})
    learned(desk)
    told = client.get("/v1/project").json()
    assert (told["folder"], told["title"], told["learned"], told["pending"]) == (str(folder), "films", True, 0)
    assert [(each["title"], each["stage"], each["bouts"]) for each in told["videos"]] == [
        ("one.mp4", "ready", 3),
        ("three.mp4", "ready", 0),
        ("two.mp4", "ready", 0),
    ]
    assert all(0.3 < each["certainty"] <= 1 for each in told["videos"])
    assert [(each["text"], each["key"]) for each in told["labels"]] == [("left", "1"), ("right", "2"), ("middle", "3")]
    assert len({each["colour"] for each in told["labels"]}) == 3


def test_a_question_is_answered_and_not_asked_again(client, desk):
    label_films(desk, {"one": 3})
    learned(desk)
    asked = client.get("/v1/project/review").json()
    first = {name: asked[0][name] for name in ("video", "label", "start", "end")}
    assert client.post("/v1/project/bouts", json=first).status_code == 200
    second = {name: asked[1][name] for name in ("video", "label", "start", "end")}
    assert client.post("/v1/project/rejections", json=second).status_code == 200
    learned(desk)
    again = client.get("/v1/project/review").json()
    assert first not in [{name: each[name] for name in first} for each in again]
    assert second not in [{name: each[name] for name in second} for each in again]


def test_many_are_accepted_at_once_and_taken_back_at_once(client, desk):
    label_films(desk, {"one": 3})
    learned(desk)
    before = len(desk.project.state.bouts)
    assert client.post("/v1/project/acceptances", json={"label": "left", "score": 0.4}).status_code == 200
    added = list(desk.project.state.bouts.values())[before:]
    assert len(added) >= 3
    assert {each.label for each in added} == {"left"}
    client.post("/v1/project/undo", json={})
    assert len(desk.project.state.bouts) == before


def test_figures_and_files(client, desk, folder):
    label_films(desk, {"one": 8, "two": 5, "three": 4})
    learned(desk)
    assert client.get("/v1/project/figures").json()["judged"] == 17
    rows = client.get("/v1/project/labels.csv").text.splitlines()
    assert len(rows) == 18
    assert rows[0] == "path,label,start,end,subject,status,by,at"
    found = client.get("/v1/project/timelines.csv").text.splitlines()
    assert found[0] == "path,start,end,label,score,error"
    assert str(folder / "two.mp4") in found[-1] + found[-6]
    saved = client.post("/v1/project/model").json()
    assert saved == {"folder": str(folder / "model"), "error": ""}


def test_the_openapi_page_describes_every_route(client):
    described = client.get("/openapi.json").json()
    paths = [path for path in described["paths"] if path.startswith("/v1/project")]
    assert len(paths) >= 20
    for path in paths:
        assert all(route["summary"] for route in described["paths"][path].values())


def test_events_tell_of_edits_and_redrawn_videos(desk):
    import asyncio

    from gerund.labelling.app import event_stream

    async def listen() -> list[dict]:
        stream, heard = event_stream(desk), []
        assert await anext(stream) == ": hello\n\n"
        upcoming = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(label_films, desk, {"one": 2})
        while not any(each["kind"] == "redrawn" and each["video"] for each in heard):
            heard.append(json.loads((await asyncio.wait_for(upcoming, 30)).removeprefix("data: ")))
            upcoming = asyncio.ensure_future(anext(stream))
        upcoming.cancel()
        return heard

    named(desk, "one")
    heard = asyncio.run(listen())
    edits = [each for each in heard if each["kind"] == "edit"]
    assert [each["said"] for each in edits] == ["label left made", "left 0.0 to 3.0 s", "label right made", "right 3.0 to 6.0 s"]


def test_pausing_is_shown(client, desk):
    client.post("/v1/project/features", json={"paused": True})
    assert client.get("/v1/project").json()["paused"] is True
    client.post("/v1/project/features", json={"paused": False})
    assert desk.library.paused is False


def test_a_full_disk_is_told_and_nothing_is_half_done(client, desk, monkeypatch):
    import errno
    import os

    label = make_label(client, "left")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    for film in FILMS:
        named(desk, film)
    before = desk.project.number
    monkeypatch.setattr(os, "write", full)
    answer = add(client, desk, label, 0, 3)
    monkeypatch.undo()
    assert answer.status_code == 400
    assert "not saved (No space left on device)" in answer.json()["error"]
    assert desk.project.number == before
    assert add(client, desk, label, 0, 3).status_code == 200


def test_the_application_starts_and_ends_its_desk(folder, tmp_path):
    from starlette.testclient import TestClient

    from gerund.labelling.app import build_studio
    from gerund.labelling.project import Project

    with studio_in(folder, tmp_path / "cache") as desk:
        label_films(desk, {"one": 2})
    opened = type(desk)(Project(folder), folder, desk.library.extractor, Path(tmp_path))
    with TestClient(build_studio(opened), base_url="http://127.0.0.1") as client:
        wait_until(lambda: client.get("/v1/project").json()["learned"])
    assert (folder / "model" / "config.json").exists()
    Project(folder).close()
    assert truth("one")[0] == ("left", 0, 3)


def test_clips_are_sorted_and_films_shown_as_clips_over_the_api(client, desk):
    label, name = make_label(client, "left"), named(desk, "one")
    assert client.get("/v1/project").json()["clips"] is False
    assert client.post("/v1/project/kind", json={"clips": True}).status_code == 204
    answer = client.post("/v1/project/clips", json={"labels": {name: label}}).json()
    assert answer["said"] == "left for 1 clip"
    found = client.get("/v1/project").json()
    assert found["clips"] is True
    assert {video["title"]: video["label"] for video in found["videos"]} == {"one.mp4": label, "two.mp4": None, "three.mp4": None}
    assert client.post("/v1/project/clips", json={"labels": {"gone": label}}).status_code == 404
    assert client.post("/v1/project/clips", json={"labels": {}}).status_code == 400
