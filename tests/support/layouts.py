"""Writes one small example of every layout of data that gerund reads, with two classes and awkward names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from gerund import video
from gerund.core.types import Clip

CRLF, BOM = "\r\n", "\ufeff"
LONG = "lange Aufnahme é.mp4"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write(path: Path, *lines: str, bom: bool = True) -> Path:
    """A text with a byte order mark and Windows line ends, as Excel and Notepad leave them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((BOM * bom + CRLF.join([*lines, ""])).encode())
    return path


def write_json(path: Path, value: object) -> Path:
    return write(path, *json.dumps(value, ensure_ascii=False, indent=1).split("\n"))


def film(path: Path, seconds: float = 10, fps: int = 10) -> Path:
    """A real video, black."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video.write(path, (np.zeros((16, 16, 3), np.uint8) for _ in range(round(seconds * fps))), fps=fps)
    return path


def images(folder: Path, count: int = 2) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (8, 8)).save(folder / f"frame{number}.jpg")
    return folder


def make_folder(path: Path) -> str:
    touch(path / "Zähne putzen" / "Zoë, früh.mp4")
    touch(path / "Zähne putzen" / "2.AVI")
    touch(path / "jumping jack" / "a b" / "deep.mkv")
    images(path / "jumping jack" / "frames of é")
    touch(path / "jumping jack" / "notes.txt")
    touch(path / "jumping jack" / ".hidden.mp4")
    touch(path / ".cache" / "x.mp4")
    return str(path)


def make_split_folder(path: Path) -> str:
    for split in ("train", "val", "test"):
        for label in ("waving", "running fast"):
            touch(path / split / label / f"{split} {label}.mp4")
    return f"folder:{path}"


def make_csv(path: Path) -> str:
    rows = ["path,label,start,end,split,group"]
    for number, split in enumerate(("train", "train", "val", "test")):
        touch(path / "vidéos" / f"clip {number}.mp4")
        rows += [
            f"vidéos/clip {number}.mp4,{label},{start},{start + 2},{split},p{number}"
            for label, start in (("wave", 0), ("jump", 2))
        ]
    (path / "clips.csv").write_text("\n".join(rows), encoding="utf-8")
    return str(path / "clips.csv")


def write_ucf101(path: Path, classes: tuple[str, ...] = ("BabyCrawling", "HandstandPushups")) -> None:
    """Groups 1 and 2 are tested in split 1, 3 and 4 in split 2, 5 and 6 in split 3; two clips of each of seven groups."""
    lists = path / "ucfTrainTestlist"
    train: dict[int, list[str]] = {1: [], 2: [], 3: []}
    test: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for number, name in enumerate(classes, 1):
        for group in range(1, 8):
            for clip in (1, 2):
                inner = name.replace("HandstandPushups", "HandStandPushups")
                file = f"{name}/v_{inner}_g{group:02d}_c{clip:02d}.avi"
                touch(path / "UCF-101" / file)
                for split in (1, 2, 3):
                    if group in (2 * split - 1, 2 * split):
                        test[split].append(file)
                    else:
                        train[split].append(f"{file} {number}")
    for split in (1, 2, 3):
        write(lists / f"trainlist{split:02d}.txt", *train[split], bom=False)
        write(lists / f"testlist{split:02d}.txt", *test[split], bom=False)


def make_ucf101(path: Path) -> str:
    write_ucf101(path)
    return f"ucf101:{path}"


def make_top5_of_all(path: Path) -> str:
    write_ucf101(path, ("CricketShot", "Punch", "YoYo"))
    return f"ucf101-top5:{path}"


def make_top5(path: Path) -> str:
    for side, groups in (("train", (2, 3)), ("test", (1,))):
        rows = [(f"v_{label}_g{group:02d}_c01.avi", label) for label in ("Punch", "TennisSwing") for group in groups]
        for name, _ in rows:
            touch(path / "ucf101_top5" / side / name)
        write(path / "ucf101_top5" / f"{side}.csv", "video_name,tag", *(",".join(row) for row in rows))
    return f"ucf101-top5:{path}"


def make_hmdb51(path: Path) -> str:
    """Sides 1 (train), 2 (test) and 0 (unused) for three source videos of each class; split 2 swaps the first two."""
    for label in ("brush_hair", "wave"):
        names = [f"April é_0{n}_{label}_u_nm_np1_ba_goo_{take}.avi" for n in range(3) for take in (0, 1)]
        for name in names:
            touch(path / "hmdb51_org" / label / name)
        for split, sides in ((1, "112200"), (2, "221100"), (3, "110022")):
            rows = [f"{name} {side} " for name, side in zip(names, sides, strict=True)]
            write(path / "testTrainMulti_7030_splits" / f"{label}_test_split{split}.txt", *rows)
    return f"hmdb51:{path}"


def make_kinetics(path: Path) -> str:
    """Both file namings; one listed video is missing."""
    rows = {"train": ["riding a bike", "zähne putzen"], "validate": ["riding a bike", "zähne putzen"]}
    for number, (split, labels) in enumerate(rows.items()):
        lines = [f'"{label}",-id{number}{i},{10 * i},{10 * i + 10},{split}' for i, label in enumerate(labels)]
        write(path / f"{split}.csv", "label,youtube_id,time_start,time_end,split", *lines, f"waving,gone{number},0,10,{split}")
        touch(path / split / "riding a bike" / f"-id{number}0_000000_000010.mp4")
        touch(path / split / "zähne_putzen" / f"-id{number}1.mp4")
    return f"kinetics:{path}"


def make_ssv2(path: Path) -> str:
    names = {"Holding something next to something": "0", "Putting something é": "1"}
    write_json(path / "something-something-v2-labels.json", names)
    templates = ("Holding [something] next to [something]", "Putting [something] é")
    for side, first in (("train", 10), ("validation", 20)):
        entries = [
            {"id": str(first + i), "label": "holding a cup", "template": text, "placeholders": []}
            for i, text in enumerate(templates)
        ]
        write_json(path / f"something-something-v2-{side}.json", entries)
        for entry in entries:
            touch(path / "20bn-something-something-v2" / f"{entry['id']}.webm")
    return f"ssv2:{path}"


def make_activitynet(path: Path) -> str:
    database = {
        name: {
            "duration": 10.0,
            "subset": subset,
            "annotations": [{"segment": [1.5, 4], "label": "Zumba é"}, {"segment": [5, 12], "label": "long jump"}],
        }
        for name, subset in (("id-1", "training"), ("id_2", "training"), ("id 3", "validation"))
    } | {"hidden": {"duration": 3.0, "subset": "testing", "annotations": []}}
    for name in ("v_id-1.mp4", "id_2.mkv", "v_id 3.mp4"):
        touch(path / "videos" / name)
    write_json(path / "activity_net.v1-3.json", {"version": "1.3", "taxonomy": [], "database": database})
    return f"activitynet:{path}"


def make_list(path: Path) -> str:
    """One list per side, numbers for labels, paths with spaces and commas, names beside."""
    for side in ("train", "val"):
        names = [f"{side} a, b.mp4", f"{side} é.mp4"]
        for name in names:
            touch(path / "videos" / name)
        write(path / f"kinetics_{side}_list.txt", *(f"{name} {label}" for label, name in enumerate(names)))
    write(path / "label_map.txt", "riding a bike", "Zähne putzen")
    return f"list:{path}"


def make_list_file(path: Path) -> str:
    """A single list with names for labels."""
    for number in range(4):
        touch(path / f"clip {number}.mp4")
    write(path / "all.csv", "path;label", *(f"clip {number}.mp4;{'wave é' if number % 2 else 'jump up'}" for number in range(4)))
    return f"list:{path / 'all.csv'}"


def make_frames(path: Path) -> str:
    for label in ("wave é", "jump up"):
        for number in range(2):
            images(path / label / f"clip {number}", 3)
    return f"frames:{path}"


def make_frames_list(path: Path) -> str:
    for number in range(4):
        images(path / "rawframes" / f"clip {number}a", 3)
    write(path / "classes.txt", "0 jump up", "1 wave é")
    write(path / "train_rawframes.txt", *(f"clip {number}a 3 {number % 2}" for number in range(2)))
    write(path / "val_rawframes.txt", *(f"clip {number}a 2 {number % 2}" for number in (2, 3)))
    return f"frames:{path}"


def via_project(name: str = LONG) -> dict:
    """Two segments, and a box in one frame."""
    return {
        "project": {"pname": "x", "vid_list": ["1"]},
        "config": {"file": {"loc_prefix": {"1": ""}}},
        "attribute": {
            "1": {"aname": "note", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}},
            "2": {"aname": "Activity", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"7": "Ei trennen é", "8": "mix"}},
            "3": {"aname": "object", "anchor_id": "FILE1_Z1_XY1", "type": 1, "options": {}},
        },
        "file": {"9": {"fid": "9", "fname": name, "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["9"]}},
        "metadata": {
            "a": {"vid": "1", "flg": 0, "z": [2, 6.5], "xy": [], "av": {"1": "hm", "2": "7"}},
            "b": {"vid": "1", "flg": 0, "z": [7, 9], "xy": [], "av": {"2": "8"}},
            "c": {"vid": "1", "flg": 0, "z": [0.9], "xy": [2, 1, 1, 5, 5], "av": {"3": "egg"}},
        },
    }


def make_via(path: Path) -> str:
    for number in (1, 2):
        film(path / f"{number} {LONG}")
        write_json(path / f"project {number}.json", via_project(f"{number} {LONG}"))
    return f"via:{path}"


def eaf(
    name: str = LONG, *, tier: str = "Action", values: tuple[str, str] = ("winken é", "jump up"), origin: str = ""
) -> list[str]:
    """Two annotations, 1 to 3 s and 3 to 8 s: the slot between them has no time of its own."""
    return [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<ANNOTATION_DOCUMENT FORMAT="3.0" VERSION="3.0"><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/a.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./a.wav"/>',
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///elsewhere/{name}" MIME_TYPE="video/mp4" RELATIVE_MEDIA_URL="./{name}" {origin}/>',
        "</HEADER><TIME_ORDER>",
        '<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="3000"/>',
        '<TIME_SLOT TIME_SLOT_ID="ts3"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="8000"/>',
        f'</TIME_ORDER><TIER TIER_ID="{tier}" LINGUISTIC_TYPE_REF="default">',
        '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">',
        f"<ANNOTATION_VALUE>{values[0]}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>",
        '<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4">',
        f"<ANNOTATION_VALUE>{values[1]}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>",
        '</TIER><TIER TIER_ID="note"><ANNOTATION>',
        '<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts4">',
        "<ANNOTATION_VALUE>some talk</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>",
    ]


def make_elan(path: Path) -> str:
    for number in (1, 2):
        film(path / f"{number} {LONG}")
        write(path / f"session {number}.eaf", *eaf(f"{number} {LONG}"), bom=False)
    return f"elan:{path}"


BORIS_COLUMNS = (
    "Observation id,Observation date,Source,FPS,Subject,Behavior,Behavioral category,Behavior type,Time,Media file name,Comment"
)


def boris_row(observation: str, subject: str, behaviour: str, kind: str, time: float, name: str) -> str:
    return f'{observation},2024-01-02,player #1:{name},10,{subject},{behaviour},,{kind},{time},"{name}","a, b"'


def make_boris(path: Path) -> str:
    rows = []
    for number in (1, 2):
        name = film(path / f"{number} {LONG}").name
        rows += [
            boris_row(f"o{number}", "p1", "fressen é", "START", 1.0, name),
            boris_row(f"o{number}", "p2", "fressen é", "START", 1.5, name),
            boris_row(f"o{number}", "p1", "fressen é", "STOP", 3.0, name),
            boris_row(f"o{number}", "p2", "fressen é", "STOP", 3.5, name),
            boris_row(f"o{number}", "p1", "peck", "POINT", 6.0, name),
        ]
    write(path / "events.csv", BORIS_COLUMNS, *rows)
    return f"boris:{path / 'events.csv'}"


def cvat_xml(name: str = LONG, *, task: str = "", body: str | None = None) -> list[str]:
    """A track visible in frames 10 to 19 and 40 to 49, and another in frames 20 to 29."""
    seen = (("winken é", (*range(10, 20), *range(40, 50))), ("jump up", tuple(range(20, 30))))
    tracks = [
        f'<track id="{i}" label="{label}" source="manual">'
        + "".join(
            f'<box frame="{frame}" outside="{int(frame not in frames)}" xtl="1" ytl="1" xbr="2" ybr="2"/>'
            for frame in range(8, 60)
        )
        + "</track>"
        for i, (label, frames) in enumerate(seen)
    ]
    return [
        '<?xml version="1.0" encoding="utf-8"?>',
        f"<annotations><version>1.1</version><meta><task><id>3</id><name>t</name>{task}",
        f"<source>{name}</source></task></meta>",
        *(tracks if body is None else [body]),
        "</annotations>",
    ]


def make_cvat(path: Path) -> str:
    for number in (1, 2):
        film(path / f"{number} {LONG}")
        write(path / f"task {number}.xml", *cvat_xml(f"{number} {LONG}"), bom=False)
    return f"cvat:{path}"


def studio_task(name: str = LONG, **data: object) -> dict:
    """Frames 11 to 30 and 41 to 60, counted from 1, at the rate in the data."""
    ranges = (("winken é", 11, 30), ("jump up", 41, 60))
    results = [
        {"type": "timelinelabels", "value": {"ranges": [{"start": a, "end": b}], "timelinelabels": [label]}}
        for label, a, b in ranges
    ]
    return {
        "id": 5,
        "data": {"video": f"/data/upload/1/0a1b2c3d-{name}", **data},
        "annotations": [
            {"was_cancelled": False, "result": results},
            {"was_cancelled": True, "result": [{"value": {"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["no"]}}]},
        ],
    }


def make_labelstudio(path: Path) -> str:
    names = [film(path / f"{number} {LONG}").name for number in (1, 2)]
    write_json(path / "export.json", [studio_task(name, fps=10) for name in names])
    return f"labelstudio:{path / 'export.json'}"


def make_per_frame(path: Path) -> str:
    """Labels as DeepEthogram has them: pictures 10 to 29 and 40 to 59 of 100, at 10 per second."""
    for number in (1, 2):
        film(path / f"{number} é.mp4")
        rows = [f"{i},{int(10 <= i < 30)},{int(40 <= i < 60)}" for i in range(100)]
        write(path / f"{number} é_labels.csv", ",winken é,jump up", *rows)
    return f"per-frame:{path}"


MAKERS = {
    "folder": (make_folder, make_split_folder),
    "csv": (make_csv,),
    "ucf101": (make_ucf101,),
    "ucf101-top5": (make_top5, make_top5_of_all),
    "hmdb51": (make_hmdb51,),
    "kinetics": (make_kinetics,),
    "ssv2": (make_ssv2,),
    "activitynet": (make_activitynet,),
    "list": (make_list, make_list_file),
    "frames": (make_frames, make_frames_list),
    "via": (make_via,),
    "elan": (make_elan,),
    "boris": (make_boris,),
    "cvat": (make_cvat,),
    "labelstudio": (make_labelstudio,),
    "per-frame": (make_per_frame,),
}
"""Every data set but `toy`, which makes its own videos and has its own tests."""


def spans(clips: list[Clip]) -> list[tuple[str, str | None, float, float | None]]:
    """What a test compares of clips: name of the file, label, start, end."""
    return [(clip.path.name, clip.label, clip.start, clip.end) for clip in clips]
