"""What is damaged, of a wrong shape, or in another encoding is named, in every kind of file."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gerund.core.errors import DataError, GerundError
from gerund.data.datasets import load_dataset
from support.layouts import (
    BORIS_COLUMNS,
    LONG,
    MAKERS,
    boris_row,
    eaf,
    images,
    make_activitynet,
    make_boris,
    make_csv,
    make_cvat,
    make_elan,
    make_frames_list,
    make_hmdb51,
    make_kinetics,
    make_labelstudio,
    make_list,
    make_list_file,
    make_ssv2,
    make_top5,
    make_ucf101,
    touch,
    via_project,
    write,
    write_json,
)


def changed(maker: Callable[[Path], str], file: str, old: str, new: str) -> Callable[[Path], str]:
    """A layout in whose file one text is another."""

    def make(path: Path) -> str:
        data = maker(path)
        text = (path / file).read_text("utf-8-sig")
        assert old in text, text
        (path / file).write_text(text.replace(old, new, 1), "utf-8")
        return data

    make.__name__ = f"{file}: {old[:30]!r} -> {new[:30]!r}"
    return make


def project(**parts: object) -> Callable[[Path], str]:
    """A VIA project with other parts."""

    def make(path: Path) -> str:
        touch(path / LONG)
        write_json(path / "p.json", via_project() | parts)
        return f"via:{path / 'p.json'}"

    make.__name__ = str(parts)[:60]
    return make


def boris(*rows: str) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        touch(path / "a.mp4")
        touch(path / "b.mp4")
        write(path / "e.csv", BORIS_COLUMNS, *rows)
        return f"boris:{path / 'e.csv'}"

    make.__name__ = str(rows)[:60]
    return make


SPLITS = "testTrainMulti_7030_splits"
DATABASE = "activity_net.v1-3.json"
LABELS = "something-something-v2-labels.json"
TRAIN = "something-something-v2-train.json"
DAMAGED = [
    (changed(make_top5, "ucf101_top5/train.csv", "tag", "class"), r"train\.csv:1: expected the columns video_name and tag"),
    (changed(make_top5, "ucf101_top5/train.csv", ",Punch", ",Kick"), r"train\.csv:2: 'Kick' is not one of CricketShot"),
    (changed(make_top5, "ucf101_top5/test.csv", "v_Punch", "v_Kick"), r"v_Kick_g01_c01\.avi: listed but not there \(1 of 6"),
    (
        changed(make_hmdb51, f"{SPLITS}/wave_test_split1.txt", "_1.avi 1", "_1.avi 3"),
        r"wave_test_split1\.txt:2: .* and 0, 1 or 2",
    ),
    (changed(make_kinetics, "train.csv", "time_end", "end"), r"train\.csv:1: no column 'time_end'"),
    (changed(make_kinetics, "train.csv", ",10,20,", ",10,soon,"), r"train\.csv:3: column 'time_end': 'soon' is not a number"),
    (
        changed(make_kinetics, "train.csv", ",10,20,", ",10,10,"),
        r"train\.csv:3: column 'time_end': 10 is not after time_start, 10",
    ),
    (changed(make_kinetics, "train.csv", "20,train", "20,dev"), r"train\.csv:3: column 'split': 'dev' is not one of train"),
    (changed(make_kinetics, "train.csv", "riding a bike", ""), r"train\.csv:2: column 'label' is empty"),
    (changed(make_ssv2, LABELS, "{", "["), r"labels\.json:2: not JSON"),
    (changed(make_ssv2, TRAIN, '"template"', '"tmpl"'), r"train\.json: entry 1: field 'template' is missing"),
    (
        changed(make_ssv2, TRAIN, "Holding [", "Eating ["),
        r"train\.json: entry 1: template 'Eating something .* not in the labels",
    ),
    (changed(make_ssv2, TRAIN, '"10"', "true"), r"train\.json: entry 1: field 'id' is 'True'"),
    (changed(make_activitynet, DATABASE, '"database"', '"data"'), r"activity_net\.v1-3\.json: field 'database' is missing"),
    (changed(make_activitynet, DATABASE, "1.5", "NaN"), r"video 'id-1': field 'segment': 'nan' is not a number"),
    (changed(make_activitynet, DATABASE, "1.5,", ""), r"video 'id-1': field 'segment' is \[4\], not a start and an end"),
    (changed(make_activitynet, DATABASE, '"training"', '"dev"'), r"video 'id-1': field 'subset' is 'dev', not training"),
    (changed(make_activitynet, DATABASE, '"Zumba é"', "7"), r"video 'id-1': the label is 7, not a name"),
    (
        changed(make_list_file, "all.csv", "clip 2.mp4;jump up", "clip 2.mp4"),
        r"all\.csv:4: 'clip 2\.mp4' is not a path and a label",
    ),
    (
        changed(make_list_file, "all.csv", "clip 2.mp4", "clip 2.doc"),
        r"all\.csv:4: 'clip 2\.doc' is not the name of a video file",
    ),
    (
        changed(make_list, "label_map.txt", "Zähne putzen\n", ""),
        r"train_list\.txt:2: the label is the number 1, which .* not name",
    ),
    (changed(make_frames_list, "train_rawframes.txt", "clip 1a 3 1", "clip"), r"train_rawframes\.txt:2: 'clip' is not a path"),
    (project(metadata={}), r"p\.json: no temporal segment has a value for one of the attributes note, Activity, object"),
    (project(metadata=[]), r"p\.json: field 'metadata' is '\[\]', not an object"),
    (
        project(metadata={"a": {"vid": "1", "z": [3, 2], "av": {"2": "7"}}}),
        r"metadata 'a': the end, 2 s, is not after the start, 3 s",
    ),
    (project(metadata={"a": {"vid": "1", "z": [3, 4], "av": {"2": "5"}}}), r"metadata 'a': option '5' is not one of .*\(7, 8\)"),
    (project(metadata={"a": {"vid": "2", "z": [3, 4], "av": {"2": "7"}}}), r"metadata 'a': view '2': field '2' is missing"),
    (project(metadata={"a": {"vid": "1", "z": [3, "x"], "av": {"2": "7"}}}), r"metadata 'a': field 'z': 'x' is not a number"),
    (
        project(file={"9": {"fname": "other.mp4", "src": ""}}),
        r"p\.json: its video 'other\.mp4' is not there \(looked for .*other\.mp4",
    ),
    (changed(make_elan, "session 1.eaf", "</HEADER>", ""), r"session 1\.eaf:\d+: not XML \(mismatched tag"),
    (changed(make_elan, "session 1.eaf", "ANNOTATION_DOCUMENT", "HTML"), r"session 1\.eaf:\d+: not XML"),
    (
        changed(make_elan, "session 1.eaf", 'REF2="ts2"', 'REF2="ts9"'),
        r"tier 'Action', annotation 'a1': time slot 'ts9' is not in",
    ),
    (
        changed(make_elan, "session 1.eaf", ' TIME_SLOT_REF2="ts2"', ""),
        r"annotation 'a1': <ALIGNABLE_ANNOTATION> without the attribute",
    ),
    (changed(make_elan, "session 1.eaf", 'VALUE="1000"', 'VALUE="x"'), r"time slot 'ts1': 'x' is not a number"),
    (
        changed(make_elan, "session 1.eaf", "<ANNOTATION_DOCUMENT", '<!DOCTYPE a [<!ENTITY b "c">]><ANNOTATION_DOCUMENT'),
        r"session 1\.eaf: not XML that can be read \(it declares a document type",
    ),
    (boris(), r"e\.csv:1: no events below the header"),
    (boris(boris_row("o", "p", "eat", "START", 1, "a.mp4")), r"e\.csv:2: 'eat' starts but never stops"),
    (boris(boris_row("o", "p", "eat", "STOP", 1, "a.mp4")), r"e\.csv:2: 'eat' stops without having started"),
    (boris(*[boris_row("o", "p", "eat", "START", n, "a.mp4") for n in (1, 2)]), r"e\.csv:3: 'eat' starts again.* line 2"),
    (boris(boris_row("o", "p", "eat", "EVENT", 1, "a.mp4")), r"e\.csv:2: column 'Behavior type' is 'EVENT', not START"),
    (boris(boris_row("o", "p", "", "POINT", 1, "a.mp4")), r"e\.csv:2: column 'Behavior' is missing or empty"),
    (boris(boris_row("o", "p", "eat", "POINT", 1, "c.mp4")), r"e\.csv: its video 'c\.mp4' is not there"),
    (
        boris(*[boris_row("o", "p", "eat", "POINT", n, f"{'ab'[n]}.mp4") for n in (0, 1)]),
        r"e\.csv:3: one observation over two files \(a\.mp4, b\.mp4\), whose times run on",
    ),
    (changed(make_boris, "events.csv", "Time", "When"), r"events\.csv: no header with the columns Behavior and Time"),
    (
        changed(make_cvat, "task 1.xml", 'frame="11"', 'frame="8.5"'),
        r"task 1\.xml: track '0': frame: '8\.5' is not a frame number",
    ),
    (changed(make_cvat, "task 1.xml", 'frame="10"', 'frame="x"'), r"task 1\.xml: track '0': frame: 'x' is not a number"),
    (changed(make_cvat, "task 1.xml", ' label="winken é"', ""), r"task 1\.xml: track '0': <track> without the attribute 'label'"),
    (changed(make_cvat, "task 1.xml", "<source>1 ", "<source>3 "), r"task 1\.xml: its video '3 .*' is not there"),
    (changed(make_cvat, "task 1.xml", "<annotations>", "<annotation>"), r"task 1\.xml:\d+: not XML"),
    (changed(make_labelstudio, "export.json", "winken é", " "), r"task 5: the label is ' ', not a name"),
    (changed(make_labelstudio, "export.json", '"start": 11', '"start": null'), r"task 5: 'ranges': 'None' is not a number"),
    (changed(make_labelstudio, "export.json", '"fps": 10', '"fps": "0.0"'), r"task 5: field 'fps': a framerate of 0"),
    (changed(make_labelstudio, "export.json", '"annotations"', '"videoLabels"'), r"task 5: .* export as JSON, not JSON-MIN"),
    (changed(make_labelstudio, "export.json", "-1 ", "-3 "), r"export\.json: its video .* is not there \(looked for "),
]


@pytest.mark.parametrize(("maker", "words"), DAMAGED, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_damaged_is_named(tmp_path: Path, maker: Callable[[Path], str], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        load_dataset(maker(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        (
            changed(make_activitynet, DATABASE, "1.5", "1e300"),
            r"video 'id-1': field 'segment': '1e\+300' is more than 10,000,000",
        ),
        (changed(make_activitynet, DATABASE, "1.5", "-1"), r"video 'id-1': field 'segment': '-1' is not a number of at least 0"),
        (changed(make_kinetics, "train.csv", ",10,20,", ",10,1e300,"), r"train\.csv:3: column 'time_end': '1e300' is more than"),
        (
            changed(make_kinetics, "train.csv", "riding a bike", "x" * 200_000),
            r"train\.csv:2: a value of more than 131,072 letters",
        ),
        (changed(make_kinetics, "train.csv", '"zähne', '"zähne"'), r"train\.csv:3: a quote is not closed, or stands inside"),
        (project(metadata={"a": {"vid": "1", "z": [3, 1e300], "av": {"2": "7"}}}), r"metadata 'a': field 'z': '1e\+300' is more"),
        (changed(make_elan, "session 1.eaf", 'VALUE="1000"', 'VALUE="1e300"'), r"time slot 'ts1': '1e300' is more than"),
        (boris(boris_row("o", "p", "eat", "POINT", 1e300, "a.mp4")), r"e\.csv:2: column 'Time': '1e\+300' is more than"),
        (boris(boris_row("o", "p", "eat", "POINT", -1, "a.mp4")), r"e\.csv:2: the event lies 1 s before the start of its video"),
        (boris(boris_row("o", "p", "eat", "POINT", 1, "x" * 5000)), r"e\.csv: its video 'x+' is not there"),
        (
            changed(make_cvat, "task 1.xml", 'frame="10"', 'frame="1e300"'),
            r"track '0': frame: '1e300' is more than 1,000,000,000",
        ),
        (changed(make_labelstudio, "export.json", '"fps": 10', '"fps": 1e-308'), r"task 5: field 'fps': a framerate of 1e-308"),
        (changed(make_labelstudio, "export.json", '"start": 11', '"start": 1e300'), r"task 5: 'ranges': '1e\+300' is more than"),
        (
            changed(make_list_file, "all.csv", "wave é", "9" * 5000),
            r"all\.csv:3: the label is a number of 5000 digits, not that of",
        ),
        (
            changed(make_ucf101, "ucfTrainTestlist/trainlist01.txt", "BabyCrawling/", "x" * 5000 + "/"),
            r"xx/v_.* listed but not there",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_no_video_can_have_is_refused_where_it_comes_in(tmp_path: Path, maker: Callable[[Path], str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(maker(tmp_path))


@pytest.mark.parametrize(
    ("maker", "file", "words"),
    [
        (make_list, "kinetics_train_list.txt", r"train_list\.txt:2: not UTF-8 text \(byte 0xe9\); save it as UTF-8"),
        (make_list, "label_map.txt", r"label_map\.txt:2: not UTF-8 text"),
        (make_hmdb51, f"{SPLITS}/wave_test_split1.txt", r"split1\.txt:1: not UTF-8 text"),
        (make_kinetics, "train.csv", r"train\.csv:3: not UTF-8 text"),
        (make_ssv2, LABELS, r"labels\.json:\d: not UTF-8 text"),
        (make_boris, "events.csv", r"events\.csv:2: not UTF-8 text"),
        (make_csv, "clips.csv", r"clips\.csv:2: not UTF-8 text"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_every_text_may_be_unicode_of_any_kind_and_nothing_else(
    tmp_path: Path, maker: Callable[[Path], str], file: str, words: str, encoding: str
) -> None:
    data = maker(tmp_path)
    before, text = load_dataset(data), (tmp_path / file).read_text("utf-8-sig")
    (tmp_path / file).write_bytes(text.encode(encoding))
    if encoding == "latin-1":
        with pytest.raises(DataError, match=words):
            load_dataset(data)
    else:
        assert load_dataset(data) == before


TEXTS = (".txt", ".csv", ".json", ".eaf", ".xml", ".tsv")


@pytest.mark.parametrize("times", [15, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("maker", [m for makers in MAKERS.values() for m in makers], ids=lambda maker: maker.__name__)
def test_damage_of_any_kind_is_an_error_of_ours_or_harmless(tmp_path: Path, maker: Callable[[Path], str], times: int) -> None:
    """Cut, other bytes, other values at random places: never anything but a DataError with a path in it, or clips a video can have."""
    data = maker(tmp_path)
    files = sorted(file for file in tmp_path.rglob("*") if file.suffix in TEXTS)
    rng = random.Random(maker.__name__)
    for _ in range(times if files else 0):
        file = rng.choice(files)
        whole = file.read_bytes() or b"x"
        file.write_bytes(damaged(whole, rng))
        try:
            clips = load_dataset(data)
        except GerundError as error:
            assert isinstance(error, DataError), error
            assert str(tmp_path) in str(error) or "leaks" in str(error), error
        else:
            assert all(0 <= clip.start < (clip.end or 2e7) <= 2e7 for clip in clips)
        file.write_bytes(whole)


VALUES = (
    *(
        b"-9",
        b"",
        b"null",
        b"NaN",
        b"1e999",
        b"1e300",
        b"1e-308",
        b"-0.5",
        b"9" * 5000,
        b"x" * 5000,
        b"x" * 140_000,
        b"true",
        b"[]",
        b"{}",
    ),
    *(
        rb"a\b",
        b"../..",
        b"http://[",
        b"file:///",
        b"%00",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\0",
        b'"',
        b"'",
        b";",
        b"\t",
        b"\n#",
        b" " * 5000,
    ),
)


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """A file with something wrong somewhere: cut off, one byte, one value, one mark, two lines swapped, or one line twice."""
    place = rng.randrange(len(whole))
    words = list(re.finditer(rb"[\w./#:-]+", whole)) or list(re.finditer(rb".", whole, re.DOTALL))
    lines = whole.splitlines(keepends=True)
    word, line = rng.choice(words), rng.randrange(len(lines))
    return rng.choice(
        [
            whole[:place],
            whole[:place] + bytes([rng.randrange(256)]) + whole[place + 1 :],
            whole[: word.start()] + rng.choice(VALUES) + whole[word.end() :],
            whole[: word.start()] + rng.choice(VALUES) + whole[word.end() :],
            whole[: word.start()] + rng.choice(words)[0] + whole[word.end() :],
            whole.replace(*rng.choice([(b"{", b"["), (b",", b";"), (b'"', b""), (b"<", b"<<"), (b" ", b"")]), 1),
            b"".join([*lines[:line], lines[line], *lines[line:]]),
            b"".join([*lines[:line], *lines[line + 1 :]]),
        ]
    )


def test_json_that_is_too_deep_or_too_long_is_refused(tmp_path: Path) -> None:
    for text in ("[" * 100_000, '{"metadata": ' + "9" * 5000 + "}"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(DataError, match=r"p\.json: not JSON that can be read"):
            load_dataset(f"via:{tmp_path / 'p.json'}")


def test_text_in_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    make_list_file(tmp_path)
    (tmp_path / "all.csv").write_bytes("a.mp4;jump\nb.mp4;grüßen\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"all\.csv:2: not UTF-8 text \(byte 0xfc\)"):
        load_dataset(f"list:{tmp_path / 'all.csv'}")


@pytest.mark.parametrize(
    "name", ["via", "elan", "boris", "cvat", "labelstudio", "hmdb51", "kinetics", "ssv2", "activitynet", "list"]
)
def test_an_empty_folder_says_what_was_expected(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(f"{name}:{tmp_path}")
    assert str(tmp_path) in str(caught.value)
    assert "no " in str(caught.value) or "0 JSON" in str(caught.value)


def test_an_elan_file_without_its_video_says_where_it_looked(tmp_path: Path) -> None:
    write(tmp_path / "s.eaf", *eaf("gone.mp4"), bom=False)
    looked = r"\./gone\.mp4' is not there \(looked for .*gone\.mp4, /elsewhere/gone\.mp4.*\); put it beside the annotation file"
    with pytest.raises(DataError, match=looked):
        load_dataset(f"elan:{tmp_path}")


def test_json_of_a_wrong_shape_says_so(tmp_path: Path) -> None:
    for name, words in (("via", "expected an object with the field 'metadata'"), ("labelstudio", "no annotation of a span")):
        (tmp_path / "x.json").write_text(json.dumps([]))
        with pytest.raises(DataError, match=words):
            load_dataset(f"{name}:{tmp_path / 'x.json'}")


def test_images_beside_frame_folders_do_no_harm(tmp_path: Path) -> None:
    images(tmp_path / "wave" / "a")
    images(tmp_path / "jump" / "b")
    touch(tmp_path / "overview.jpg")
    assert len(load_dataset(f"frames:{tmp_path}")) == 2
