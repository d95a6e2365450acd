"""ELAN documents: tiers, references, slots without a time, offsets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gerund.core.errors import DataError
from gerund.data.datasets import load_annotations, load_dataset
from support.layouts import (
    LONG,
    eaf,
    spans,
    touch,
    write,
)


@pytest.mark.parametrize(("origin", "shift"), [("", 0.0), ('TIME_ORIGIN="1500"', 1.5)])
def test_elan_annotations_of_the_action_tier_are_clips(tmp_path: Path, origin: str, shift: float) -> None:
    touch(tmp_path / LONG)
    write(tmp_path / "s.eaf", *eaf(origin=origin), bom=False)
    assert spans(load_dataset(f"elan:{tmp_path}")) == [
        (LONG, "winken é", 1 + shift, 3 + shift),
        (LONG, "jump up", 3 + shift, 8 + shift),
    ]


def test_without_an_action_tier_all_tiers_are_used_and_name_what_has_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    touch(tmp_path / LONG)
    write(tmp_path / "s.eaf", *eaf(tier="Lachen é", values=("", "")), bom=False)
    assert spans(load_dataset(f"elan:{tmp_path}")) == [
        (LONG, "Lachen é", 1.0, 3.0),
        (LONG, "Lachen é", 3.0, 8.0),
        (LONG, "some talk", 1.0, 8.0),
    ]
    assert "all tiers are used (Lachen é, note); call one of them 'action' to use it alone" in capsys.readouterr().err


def test_an_elan_slot_without_a_time_lies_between_its_neighbours(tmp_path: Path) -> None:
    touch(tmp_path / LONG)
    text = "\n".join(eaf()).replace('TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts4"', 'TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4"')
    (tmp_path / "s.eaf").write_text(text, "utf-8")
    assert spans(load_dataset(f"elan:{tmp_path}"))[1] == (LONG, "jump up", 5.5, 8.0)


def elan_file(path: Path, *parts: str, slots: str = "ts1=0 ts2=2000 ts3=5000 ts4=8000 ts5=10000") -> str:
    """An .eaf file of tiers and whatever else, with the video `a.mp4` and time slots `name=milliseconds`, or `name` without a time."""
    touch(path / "a.mp4")
    times = [slot.partition("=") for slot in slots.split()]
    order = "".join(f'<TIME_SLOT TIME_SLOT_ID="{n}"' + f' TIME_VALUE="{v}"' * bool(v) + "/>" for n, _, v in times)
    write(
        path / "s.eaf",
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds">',
        '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a.mp4" MIME_TYPE="video/mp4"/></HEADER>',
        f"<TIME_ORDER>{order}</TIME_ORDER>",
        *parts,
        "</ANNOTATION_DOCUMENT>",
        bom=False,
    )
    return f"elan:{path / 's.eaf'}"


def tier(name: str, *annotations: str, parent: str | None = None) -> str:
    """A tier. An annotation is `id ts1-ts2 text`, or `id >other text` or `id >other,previous text` for one that refers to another."""
    inner = ""
    for annotation in annotations:
        identity, place, text = annotation.split(" ", 2)
        start, _, end = place.removeprefix(">").partition("," if place.startswith(">") else "-")
        kind, where = "ALIGNABLE", f'TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}"'
        if place.startswith(">"):
            kind, where = "REF", f'ANNOTATION_REF="{start}"' + f' PREVIOUS_ANNOTATION="{end}"' * bool(end)
        inner += f'<ANNOTATION><{kind}_ANNOTATION ANNOTATION_ID="{identity}" {where}>'
        inner += f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></{kind}_ANNOTATION></ANNOTATION>"
    return f'<TIER TIER_ID="{name}"' + f' PARENT_REF="{parent}"' * (parent is not None) + f">{inner}</TIER>"


UTTERANCE = tier("utterance", "u1 ts2-ts3 hello there", "u2 ts4-ts5 good bye")


def test_an_elan_tier_that_refers_to_another_has_its_times(tmp_path: Path) -> None:
    data = elan_file(tmp_path, UTTERANCE, tier("action", "r1 >u1 wave", "r2 >u2 bow", parent="utterance"))
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 5.0), ("a.mp4", "bow", 8.0, 10.0)]


def test_elan_tiers_may_refer_to_tiers_that_refer_to_others_and_stand_in_any_order(tmp_path: Path) -> None:
    gloss = tier("gloss", "g1 >u1 HELLO", "g2 >u2 BYE", parent="utterance")
    behaviour = tier("Behaviour@P1", "b1 >g1 wave", "b2 >g2 bow", parent="gloss")
    data = elan_file(tmp_path, behaviour, gloss, UTTERANCE)
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 5.0), ("a.mp4", "bow", 8.0, 10.0)]


def test_the_subject_of_an_elan_annotation_is_the_participant_of_its_tier(tmp_path: Path) -> None:
    tiers = [tier("action@Kim", "a1 ts1-ts2 wave"), tier("action", "a2 ts2-ts3 bow"), tier("action@L", "a3 ts3-ts4 nod")]
    tiers[2] = tiers[2].replace("<TIER ", '<TIER PARTICIPANT="Lou" ')
    found = load_annotations(elan_file(tmp_path, *tiers))
    assert [(each.label, each.subject) for each in found] == [("wave", "Kim"), ("bow", None), ("nod", "Lou")]


def test_elan_annotations_that_refer_to_the_same_share_its_time_evenly(tmp_path: Path) -> None:
    """Symbolic subdivision: the order is that of PREVIOUS_ANNOTATION, whatever the file's own."""
    action = tier("action", "r3 >u1,r2 bow", "r1 >u1 wave", "r2 >u1,r1 nod", parent="utterance")
    assert sorted(spans(load_dataset(elan_file(tmp_path, UTTERANCE, action))), key=lambda row: row[2]) == [
        ("a.mp4", "wave", 2.0, 3.0),
        ("a.mp4", "nod", 3.0, 4.0),
        ("a.mp4", "bow", 4.0, 5.0),
    ]


def test_elan_slots_without_a_time_are_placed_by_their_own_tier(tmp_path: Path) -> None:
    slots = "ts1=0 ts5=1000 ts2 ts6=2000 ts3=10000"
    action, notes = tier("action", "a1 ts1-ts2 walk", "a2 ts2-ts3 run"), tier("notes", "n1 ts5-ts6 some talk")
    for parts in ((action,), (action, notes), (notes, action)):
        data = elan_file(tmp_path, *parts, slots=slots)
        assert spans(load_dataset(data)) == [("a.mp4", "walk", 0.0, 5.0), ("a.mp4", "run", 5.0, 10.0)]


def test_elan_annotations_that_part_one_of_another_tier_lie_evenly_in_it(tmp_path: Path) -> None:
    """Time subdivision, two levels of it: the slots of the lower one begin and end at slots of the upper one."""
    slots = "ts1=0 u1 v1 n1=1500 u2 ts2=6000 ts9=9000"
    upper = tier("phrase", "p1 ts1-u1 a", "p2 u1-u2 b", "p3 u2-ts2 c", parent="whole")
    lower = tier("action", "a1 u1-v1 wave", "a2 v1-u2 bow", parent="phrase")
    data = elan_file(tmp_path, lower, upper, tier("whole", "w1 ts1-ts2 x"), tier("note", "n1 n1-ts9 y"), slots=slots)
    assert spans(load_dataset(data)) == [("a.mp4", "wave", 2.0, 3.0), ("a.mp4", "bow", 3.0, 4.0)]


def test_an_elan_annotation_without_text_has_that_of_its_vocabulary(tmp_path: Path) -> None:
    words = '<CONTROLLED_VOCABULARY CV_ID="v"><CV_ENTRY_ML CVE_ID="c1"><CVE_VALUE LANG_REF="en">wave</CVE_VALUE></CV_ENTRY_ML>'
    action = tier("action", "a1 ts1-ts2 ", "a2 ts2-ts3 bow").replace('"a1"', '"a1" CVE_REF="c1"')
    data = elan_file(tmp_path, action, words + "</CONTROLLED_VOCABULARY>")
    assert [clip.label for clip in load_dataset(data)] == ["wave", "bow"]


def test_an_empty_elan_tier_of_actions_gives_no_clips_of_other_tiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = elan_file(tmp_path / "1", UTTERANCE, tier("action"))
    with pytest.raises(DataError, match=r"s\.eaf: the tiers that hold the classes are empty"):
        load_dataset(empty)
    assert "s.eaf: the tier 'action' is empty; the file gives no clips" in capsys.readouterr().err


def test_the_media_offset_is_that_of_the_elan_video_that_is_there(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4")
    entries = [
        f'<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/{name}.mp4" MIME_TYPE="video/mp4" TIME_ORIGIN="{origin}"/>'
        for name, origin in (("gone", 500), ("b", 2000))
    ]
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "a.mp4").unlink()
    text = (tmp_path / "s.eaf").read_text("utf-8")
    (tmp_path / "s.eaf").write_text(text.replace("<MEDIA_DESCRIPTOR", "".join(entries) + "<MEDIA_DESCRIPTOR", 1), "utf-8")
    assert spans(load_dataset(data))[0] == ("b.mp4", "hello there", 4.0, 7.0)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([UTTERANCE, tier("action", "r1 >u9 wave", parent="utterance")], r"'r1': it refers to 'u9', which is no annotation of a"),
        (
            [tier("action", "r1 >r1 wave", parent="action")],
            r"tier 'action' depends on 'action', which is not there or depends on",
        ),
        ([tier("action", "r1 >r1 wave")], r"annotation 'r1': it refers to 'r1', which is no annotation of a tier above"),
        ([UTTERANCE, tier("action", "r1 >u1 wave", parent="nowhere")], r"tier 'action' depends on 'nowhere', which is not there"),
        (
            [UTTERANCE, tier("action", "r1 >u1,r2 a", "r2 >u1,r1 b", parent="utterance")],
            r"tier 'action': its annotations do not f",
        ),
        ([tier("action", "a1 ts1-open wave")], r"tier 'action': time slot 'open' has no time, nor has one before and one after"),
    ],
)
def test_elan_tiers_that_lead_nowhere_are_refused(tmp_path: Path, parts: list[str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(elan_file(tmp_path, *parts, slots="ts1=0 ts2=2000 ts3=5000 ts4=8000 ts5=10000 open"))


@pytest.mark.parametrize("name", ["x" * 5000, "http://[/gone.mp4", "file:///", "%00.mp4", "..", "C:/"])
def test_a_name_that_can_be_no_file_is_not_there(tmp_path: Path, name: str) -> None:
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "s.eaf").write_text((tmp_path / "s.eaf").read_text("utf-8").replace("file:///C:/x/a.mp4", name), "utf-8")
    with pytest.raises(DataError, match=rf"s\.eaf: its video '{re.escape(name)}' is not there"):
        load_dataset(data)


def test_elan_times_in_frames_are_refused(tmp_path: Path) -> None:
    data = elan_file(tmp_path, UTTERANCE)
    (tmp_path / "s.eaf").write_text((tmp_path / "s.eaf").read_text("utf-8").replace('"milliseconds"', '"PAL-frames"'), "utf-8")
    with pytest.raises(DataError, match=r"s\.eaf: its times are PAL-frames, not milliseconds; save it anew in ELAN"):
        load_dataset(data)


def test_xml_in_another_encoding_is_named_unless_it_says_so(tmp_path: Path) -> None:
    data = elan_file(tmp_path, tier("action", "a1 ts1-ts2 grüßen", "a2 ts2-ts3 wave"))
    text = (tmp_path / "s.eaf").read_text("utf-8")
    (tmp_path / "s.eaf").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"s\.eaf:4: not UTF-8 text \(byte 0xfc\); save it as UTF-8"):
        load_dataset(data)
    (tmp_path / "s.eaf").write_bytes(('<?xml version="1.0" encoding="ISO-8859-1"?>' + text).encode("latin-1"))
    assert [clip.label for clip in load_dataset(data)] == ["grüßen", "wave"]
