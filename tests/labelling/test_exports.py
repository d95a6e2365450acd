"""Files of a project: labels and the model's bouts for other tools, numbers, a served model, and labels of others taken in."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
import zipfile

import openpyxl
import pytest

from gerund.data.annotations import read_annotations
from gerund.data.datasets import load_annotations
from gerund.labelling.edits import add_bout, add_label
from gerund.labelling.exports import FILE_FORMATS, write_archive
from support.studios import FILMS, label_films, learned, named, truth, wait_until

SPANS = {"one": 8, "two": 5}


@pytest.fixture
def client(desk):
    from starlette.testclient import TestClient

    from gerund.labelling.app import build_studio

    yield TestClient(build_studio(desk, hosts=frozenset({"127.0.0.1"})), base_url="http://127.0.0.1")


@pytest.fixture
def labelled(desk):
    label_films(desk, SPANS)
    return desk


def archive(client, **options) -> dict[str, bytes]:
    answer = client.get("/v1/project/export.zip", params=options)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as files:
        return {name: files.read(name) for name in files.namelist()}


def test_labels_are_written_as_a_project_of_boris_with_all_videos(client, labelled, folder):
    found = archive(client, form="boris_project")
    assert list(found) == ["labels.boris"]
    (folder / "labels.boris").write_bytes(found["labels.boris"])
    spans = load_annotations(f"boris:{folder / 'labels.boris'}")
    assert {path: sum(each.path.stem == path for each in spans) for path in SPANS} == SPANS


def test_labels_are_written_a_file_for_each_video(client, labelled):
    found = archive(client, form="srt")
    assert sorted(found) == ["one.srt", "two.srt"]
    assert all(found.values())


@pytest.mark.parametrize("form", [name for name in FILE_FORMATS if name != "boris_project"])
def test_every_format_can_be_written(films, tmp_path, form):
    rows = [f"{films / film}.mp4,{label},{start},{end}" for film in SPANS for label, start, end in truth(film)]
    (tmp_path / "labels.csv").write_text("path,label,start,end\n" + "\n".join(rows), encoding="utf-8")
    write_archive(tmp_path / "labels.csv", form, tmp_path / "all.zip")
    suffix = FILE_FORMATS[form].suffixes[0]
    with zipfile.ZipFile(tmp_path / "all.zip") as files:
        assert sorted(files.namelist()) == [f"one{suffix}", f"two{suffix}"]
        assert all(files.read(name) for name in files.namelist())


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("boris", "boris"),
        ("per_frame", "per-frame"),
        *(pytest.param(each, each, marks=pytest.mark.slow) for each in ("elan", "activitynet")),
    ],
)
def test_what_is_written_comes_in_again_as_theirs(client, labelled, folder, form, kind):
    found = archive(client, form=form)
    name = next(each for each in found if each.startswith("one"))
    (folder / name).write_bytes(found[name])
    spans = [(each.label, each.start, each.end) for each in load_annotations(f"{kind}:{folder / name}")]
    assert sorted(spans, key=lambda each: each[1]) == [
        (label, pytest.approx(start, abs=0.06), pytest.approx(end, abs=0.06)) for label, start, end in truth("one")
    ]
    (folder / name).unlink()
    while labelled.step(back=True, token=""):
        pass
    answer = client.post("/v1/project/imports", params={"name": name, "by": "ana"}, content=found[name])
    assert answer.status_code == 200, answer.text
    assert answer.json()["said"] == f"8 labels of {name}"
    state = labelled.project.state
    assert {bout.by for bout in state.bouts.values()} == {"ana"}
    assert sorted((state.labels[bout.label].text, round(bout.start)) for bout in state.bouts.values()) == sorted(
        (label, round(start)) for label, start, _ in truth("one")
    )
    again = client.post("/v1/project/imports", params={"name": name, "by": "ana"}, content=found[name])
    assert (again.status_code, again.json()["error"]) == (400, f"{name}: all of its 8 labels are here already")


def test_a_table_of_several_videos_comes_in_with_whoever_said_so(client, desk):
    for film in FILMS:
        named(desk, film)
    table = "path,label,start,end,subject,by\none.mp4,left,0,3,mouse 1,ben\n/elsewhere/two.mp4,<b>right</b>,0,3,,\ngone.mp4,left,0,1,,\n"
    answer = client.post("/v1/project/imports", params={"name": "theirs.csv"}, content=table.encode())
    assert answer.json()["said"] == "2 labels of theirs.csv, 1 left out"
    bouts = sorted(desk.project.state.bouts.values(), key=lambda bout: bout.by)
    assert [(bout.by, bout.subject) for bout in bouts] == [("ben", "mouse 1"), ("theirs.csv", "")]


def test_what_lies_over_a_confirmed_bout_is_only_suggested(client, desk):
    name = named(desk, "one")
    desk.perform(add_label("left", name="left"), token="", seen=None)
    desk.perform(add_bout(name, "left", 0, 3, by="me"), token="", seen=None)
    table = b"path,label,start,end\none.mp4,right,2,5\none.mp4,right,6,9\n"
    assert client.post("/v1/project/imports", params={"name": "theirs.csv"}, content=table).status_code == 200
    assert sorted((bout.start, bout.status) for bout in desk.project.state.bouts.values()) == [
        (0.0, "confirmed"),
        (2.0, "suggested"),
        (6.0, "confirmed"),
    ]


def test_projects_of_boris_and_workbooks_come_in(client, desk, folder, tmp_path):
    for film in SPANS:
        named(desk, film)
    rows = [[f"{film}.mp4", label, start, end] for film in SPANS for label, start, end in truth(film)]
    book = openpyxl.Workbook()
    for row in (["path", "label", "start", "end"], *rows):
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    lines = ["path,label,start,end", *(f"{folder / path},{label},{start},{end}" for path, label, start, end in rows)]
    (tmp_path / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    write_archive(tmp_path / "labels.csv", "boris_project", tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as files:
        (tmp_path / "labels.boris").write_bytes(files.read("labels.boris"))
    for name in ("labels.xlsx", "labels.boris"):
        answer = client.post("/v1/project/imports", params={"name": name}, content=(tmp_path / name).read_bytes())
        assert (answer.status_code, answer.json().get("said")) == (200, f"{len(rows)} labels of {name}"), answer.text
        assert len(desk.project.state.bouts) == len(rows)
        while desk.step(back=True, token=""):
            pass


REFUSED = [
    ("a.docx", b"", "labels come as .csv, .tsv, .xlsx, .xlsm, .eaf, .boris, .json or .xml"),
    ("a.json", b"{", "a.json: not JSON"),
    ("a.csv", b"path,label,start,end\ngone.mp4,left,0,1\n", "none of its 1 rows names a video of this project"),
    ("a.csv", b"path,label,start,end\none.mp4,left,x,1\n", "a.csv:2: column 'start'"),
    ("a.eaf", b"<no>", "a.eaf"),
    ("one.mp4", b"x", "is called like a video of the project"),
    ("../../b.csv", b"path,label,start,end\ngone.mp4,left,0,1\n", "none of its 1 rows"),
]


def test_files_that_cannot_be_taken_in_are_told_and_change_nothing(client, desk):
    named(desk, "one")
    before = len(desk.project.state.labels)
    for name, content, words in REFUSED:
        answer = client.post("/v1/project/imports", params={"name": name}, content=content)
        assert answer.status_code == 400, name
        assert words in answer.json()["error"]
        assert "/tmp" not in answer.json()["error"]
        assert len(desk.project.state.labels) == before


def test_numbers_a_page_and_an_ethogram(client, labelled):
    table = list(csv.DictReader(io.StringIO(client.get("/v1/project/stats.csv").text)))
    counts = {(row["path"].rsplit("/")[-1], row["label"]): int(row["count"]) for row in table}
    assert counts[("one.mp4", "left")] == [label for label, *_ in truth("one")].count("left")
    assert b"<html" in client.get("/v1/project/stats.html").content[:400].lower()
    assert client.get("/v1/project/stats.png").content[:4] == b"\x89PNG"


def test_the_models_bouts_are_written_and_counted_too(client, labelled):
    learned(labelled)
    assert len(archive(client, form="srt", whose="model")) == 3
    assert "three.mp4" in client.get("/v1/project/stats.csv", params={"whose": "model"}).text


def test_nothing_to_write_and_an_unknown_format_are_told(client, desk):
    named(desk, "one")
    for address in ("export.zip?form=boris", "stats.csv"):
        assert client.get(f"/v1/project/{address}").json() == {"error": "there are no labels yet"}
    assert client.get("/v1/project/stats.csv?whose=model").json() == {"error": "the model has found nothing yet"}
    assert "format 'word': choose one of srt" in client.get("/v1/project/export.zip?form=word").json()["error"]


def test_candidates_are_all_that_the_model_says_and_nobody_has_judged(client, labelled):
    learned(labelled)
    name = named(labelled, "three")
    found = client.get("/v1/project/candidates", params={"label": "middle"}).json()
    said = [round(each.start, 3) for each in labelled.learner.suggestions[name].segments if each.label == "middle"]
    assert said
    assert sorted(each["start"] for each in found if each["video"] == name) == said
    assert [each["score"] for each in found] == sorted(each["score"] for each in found)
    answer = client.post("/v1/project/acceptances", json={"label": "middle", "score": 0.0}).json()
    assert answer["said"] == f"{len(found)} bouts accepted"
    assert read_annotations(labelled.project.folder / "labels.csv") is not None


@pytest.mark.slow
def test_a_model_is_served_and_ends_with_the_studio(folder, tmp_path):
    from starlette.testclient import TestClient

    from gerund.labelling.app import build_studio
    from gerund.labelling.project import Project
    from support.studios import studio_in

    with studio_in(folder, tmp_path / "cache") as desk:
        label_films(desk, SPANS)
        learned(desk)
    opened = type(desk)(Project(folder), folder, desk.library.extractor, tmp_path)
    with TestClient(build_studio(opened), base_url="http://127.0.0.1") as client:
        wait_until(lambda: client.get("/v1/project").json()["learned"])
        addresses = []
        for _ in range(2):
            addresses.append(client.post("/v1/project/serving", json={"on": True}).json()["address"])
            with urllib.request.urlopen(f"{addresses[-1]}v1/model", timeout=30) as answer:
                assert sorted(json.load(answer)["labels"]) == ["left", "middle", "right"]
        assert client.get("/v1/project").json()["serving"] == addresses[-1]
        first = opened.served.process
        assert client.post("/v1/project/serving", json={"on": False}).json() == {"address": ""}
        client.post("/v1/project/serving", json={"on": True})
        second = opened.served.process
    assert None not in (first.returncode, second.returncode)
