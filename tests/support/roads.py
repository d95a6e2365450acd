"""What two people do with gerund from their first clip to their last number, by the command line alone; and the synthetic films they do it with."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from openpyxl import load_workbook

from gerund import video
from gerund.data.datasets import toy
from support.reading import read_csv

Gerund = Callable[..., str]
"""A command, its words given: what it prints. `code` is the exit code it must have (0)."""

SIZE = (60, 80)
SMALL = ("--backbone", "pixels:16")
LESSON = {"Hampelmann": "jumping", "Faustschläge": "punching", "Kniebeugen": "squatting"}
"""What the teacher calls the exercises, and which synthetic action stands for each."""
PUPILS = ("Ada", "Ben", "Çağla", "Dörte", "Emil", "Fé", "Gül", "Hòa")
ACTIONS = ("waving", "kicking", "squatting")
SECONDS = 2
HAPPENS = ("kicking", "squatting", "waving", "kicking")
"""What the animal does in the new films, or the other way round."""


def film(path: Path, actions: Sequence[str], performer: int, seconds: float | None = None) -> Path:
    """A film in which a performer does one action after the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = (toy.perform(action, performer, take=performer, seconds=seconds, size=SIZE) for action in actions)
    video.write(path, itertools.chain.from_iterable(pictures), fps=25)
    return path


def teacher(gerund: Gerund) -> None:
    """In the folder one is in: a folder of clips, a model and its report, answers for new clips, and the model on another desk."""
    for (label, action), (number, pupil) in itertools.product(LESSON.items(), enumerate(PUPILS[:-2])):
        film(Path("Klasse 7b", label, f"{pupil} 1.mp4"), [action], number)
    for number, (label, action) in enumerate(LESSON.items(), start=len(PUPILS) - 2):
        film(Path("neu", f"{label} {number}.mp4"), [action], number)

    listed = gerund("index", "Klasse 7b", "--group-pattern", r"^(\w+) \d").split()
    assert set(LESSON) <= set(listed)
    said = gerund("train", "Klasse 7b", "--group-pattern", r"^(\w+) \d", *SMALL, "--out", "lauf")
    metrics = json.loads(Path("lauf", "metrics.json").read_text("utf-8"))["test"]
    sentence = said.splitlines()[0]
    assert sentence.startswith(f"{round(metrics['top1'] * metrics['num_clips'])} of {metrics['num_clips']} clips right")
    assert sentence in Path("lauf", "report.html").read_text("utf-8")
    assert metrics["top1"] >= 0.8

    gerund("predict", "lauf", "neu", "--save-video", "antworten", "--xlsx", "noten.xlsx")
    sheet = list(load_workbook("noten.xlsx").active.values)
    column = sheet[0].index("label")
    assert [row[column] for row in sheet[1:]] == sorted(LESSON)
    drawn = sorted(Path("antworten").iterdir())
    assert [each.stem for each in drawn] == sorted(each.stem for each in Path("neu").iterdir())
    assert all(video.probe(each).duration > 1 for each in drawn)

    at_home = [json.loads(line) for line in gerund("predict", "lauf", "neu", "--json").splitlines()]
    shutil.copytree(Path("lauf", "best"), Path("stick", "modell"))
    shutil.copytree("neu", Path("stick", "neu"))
    for own in ("Klasse 7b", "lauf", "neu"):
        shutil.rmtree(own)
    colleague = ("--cache", "stick/cache", "--json")
    there = [json.loads(line) for line in gerund("predict", "stick/modell", "stick/neu", *colleague).splitlines()]
    assert [each["scores"] for each in there] == [each["scores"] for each in at_home]

    Path("stick", "neu", "kaputt.mp4").write_bytes(b"")
    answers = [json.loads(line) for line in gerund("predict", "stick/modell", "stick/neu", *colleague, code=3).splitlines()]
    assert [Path(each["path"]).name for each in answers if each["error"]] == ["kaputt.mp4"]
    assert len([each for each in answers if each["scores"]]) == len(LESSON)


def write_boris(file: Path, films: dict[str, Sequence[str]]) -> None:
    """A project of BORIS as version 8 saves it: an observation for each film, state events of SECONDS one after the other."""
    observations = {}
    for name, actions in films.items():
        at = [(SECONDS * place, action) for place, action in enumerate(actions)]
        events = [[float(time), "", action, "", ""] for start, action in at for time in (start, start + SECONDS)]
        observations[name] = {
            "type": "MEDIA",
            "file": {"1": [f"{name}.mp4"]},
            "time offset": 0.0,
            "media_info": {"length": {f"{name}.mp4": float(SECONDS * len(actions))}},
            "events": events,
        }
    behaviours = {str(place): {"type": "State event", "code": action} for place, action in enumerate(ACTIONS)}
    project = {
        "project_format_version": "7.0",
        "behaviors_conf": behaviours,
        "subjects_conf": {},
        "observations": observations,
    }
    file.write_text(json.dumps(project), encoding="utf-8")


def biologist(gerund: Gerund) -> None:
    """In the folder one is in: BORIS to numbers, a model, numbers of new films, how far to trust them, corrections, a better model."""
    films = {f"mouse{number}": [ACTIONS[(number + step) % 3] for step in (0, 1, 2, 1)] for number in range(4)}
    for number, (name, actions) in enumerate(films.items()):
        film(Path("mice", f"{name}.mp4"), actions, number, SECONDS)
    film(Path("raw", "new0.mp4"), HAPPENS, 4, SECONDS)
    film(Path("raw", "new1.mp4"), HAPPENS[::-1], 5, SECONDS)
    write_boris(Path("mice", "all.boris"), films)
    Path("raw", "table.csv").write_text("path;treatment\nnew0.mp4;control\nnew1.mp4;drug\n", encoding="utf-8")

    labelled = list(csv.DictReader(gerund("stats", "mice/all.boris", "--csv").splitlines()))
    true = [action for actions in films.values() for action in actions]
    assert {each: sum(int(row["count"]) for row in labelled if row["label"] == each) for each in ACTIONS} == {
        each: true.count(each) for each in ACTIONS
    }

    said = gerund("train", "mice/all.boris", *SMALL, "--leave-one-out", "group", "--out", "run")
    assert "Next: gerund timeline run VIDEO" in said
    Path("found.json").write_text(gerund("timeline", "run", "raw", "--json", "--boris", "found.boris"), encoding="utf-8")
    happens = [json.loads(line) for line in Path("found.json").read_text("utf-8").splitlines()]
    middles = [SECONDS * (place + 0.5) for place in range(len(HAPPENS))]
    named = [
        next((each["label"] for each in happens[0]["segments"] if each["start"] <= at < each["end"]), None) for at in middles
    ]
    assert sum(one == two for one, two in zip(named, HAPPENS, strict=True)) >= 3
    live = [json.loads(line) for line in gerund("watch", "run", "raw/new0.mp4", "--json").splitlines()]
    assert {each["label"] for each in live if each["label"]} & set(HAPPENS)

    groups = gerund("stats", "found.json", "--videos", "raw/table.csv", "--by", "treatment", "--html", "figure.html")
    assert "control" in groups
    assert "drug" in groups
    assert "<svg" in Path("figure.html").read_text("utf-8")
    assert "how far off such numbers are, per video: on 4 held-out videos" in gerund("stats", "run", "raw")
    counted = [list(csv.DictReader(gerund("stats", each, "--csv").splitlines())) for each in ("found.json", "found.boris")]
    assert [[(row["label"], row["count"]) for row in rows] for rows in counted[:1]] == [
        [(row["label"], row["count"]) for row in counted[1]]
    ]

    second = [f"raw/new0.mp4,{action},{SECONDS * place},{SECONDS * place + SECONDS}" for place, action in enumerate(HAPPENS)]
    second[-1] = second[-1].replace("kicking", "waving")
    Path("second.csv").write_text("\n".join(["path,label,start,end", *second]) + "\n", encoding="utf-8")
    gerund("agree", "found.json", "second.csv", "--out", "again.csv")
    again = read_csv(Path("again.csv"))
    assert {"kicking", "waving"} <= {row["label"] for row in again}
    gerund("cut", "found.json", "--out", "bouts")
    assert {each.parent.name for each in Path("bouts").rglob("*.mp4")} <= set(ACTIONS)

    corrected = [f"raw/new0.mp4,{action},{SECONDS * place},{SECONDS * place + SECONDS}" for place, action in enumerate(HAPPENS)]
    Path("corrected.csv").write_text("\n".join(["path,label,start,end", *corrected]) + "\n", encoding="utf-8")
    gerund("train", "mice/all.boris", "corrected.csv", "--config", "run/config.json", "--out", "better")
    rows = read_csv(Path("better", "clips.csv"))
    assert sum(Path(row["path"]).name == "new0.mp4" for row in rows) == len(HAPPENS)
    assert len(rows) == len(true) + len(HAPPENS)
