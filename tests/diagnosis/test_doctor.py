"""The doctor: finds every spoiled file and names no healthy one, on synthetic clips and on real ones."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.core.errors import DataError, ModelError
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset, toy
from gerund.data.manifest import of_split, write_manifest
from gerund.diagnosis.leak import LEAK_FOLDS
from gerund.diagnosis.page import doctor_page
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from support.command import run
from support.damaging import TEN_WAYS, spoil, truncated
from support.layouts import write_ucf101

ACTIONS = ("walking", "waving")
SIDES = ("train", "train", "train", "val", "test")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    """Two actions by five performers in two takes; a performer is a group, and stands on one side."""
    folder = tmp_path_factory.mktemp("doctor")
    made = []
    for label in ACTIONS:
        for performer, side in enumerate(SIDES):
            for take in range(2):
                path = folder / label / f"p{performer}_t{take}.avi"
                path.parent.mkdir(exist_ok=True)
                video.write(path, toy.perform(label, performer, take=take, seconds=1.6), fps=25, codec="mpeg4")
                made.append(Clip(path=path, label=label, split=side, group=f"p{performer}"))
    return made


def named(diagnosis: gerund.Diagnosis) -> dict[Path, str]:
    return {path: each.kind for each in diagnosis.findings if each.area == "file" for path in each.paths}


def randomly_split(clips: list[Clip]) -> list[Clip]:
    sides = ["test" if number % 3 == 0 else "train" for number in range(len(clips))]
    random.Random(0).shuffle(sides)
    return [replace(clip, split=side) for clip, side in zip(clips, sides, strict=True)]


def test_a_healthy_set_is_clean(clips: list[Clip]) -> None:
    diagnosis = gerund.doctor(clips, workers=2)
    assert diagnosis.findings == []
    assert diagnosis.clean
    assert "4 of 4 test clips" not in " ".join(diagnosis.notes)
    assert "0 of 4 test clips (0.0 %) have a sibling in train." in diagnosis.notes
    statistics = diagnosis.statistics
    assert (statistics["files"], statistics["healthy_files"], statistics["frames"]) == (20, 20, 800)
    assert statistics["codecs"] == {"mpeg4": 20}
    assert statistics["sizes"] == {"160x120": 20}
    assert statistics["seconds"]["median"] == pytest.approx(1.6)
    assert statistics["bytes"] == sum(clip.path.stat().st_size for clip in clips)


def test_all_ten_ways_to_spoil_a_file_are_found_and_no_healthy_clip_is_named(clips: list[Clip], tmp_path: Path) -> None:
    spoiled = {name: spoil(clips[:2] + clips[-1:], tmp_path, damage, name) for name, (damage, _) in TEN_WAYS.items()}
    everything = [*clips, *(clip for copies in spoiled.values() for clip in copies)]
    diagnosis = gerund.doctor(everything, workers=2, fix_manifest=tmp_path / "clean.csv")
    found = named(diagnosis)
    for name, copies in spoiled.items():
        for copy in copies:
            assert found.pop(copy.path, "nothing") in TEN_WAYS[name][1], name
    assert found == {}
    assert [each for each in diagnosis.findings if each.area != "file"] == []
    kept = load_dataset(tmp_path / "clean.csv")
    assert [clip.path for clip in kept] == [clip.path for clip in clips]
    assert f"{len(clips)} clips written, 30 left out." in diagnosis.notes[-1]
    assert gerund.doctor(tmp_path / "clean.csv", workers=2).clean


def test_a_copy_tells_its_original_its_side_and_its_other_label(clips: list[Clip], tmp_path: Path) -> None:
    tested = of_split(clips, "test")[0]
    path = Path(shutil.copy(tested.path, tmp_path / "renamed.avi"))
    diagnosis = gerund.doctor([*clips, Clip(path=path, label="waving", split="train", group="p0")], workers=2)
    assert [(each.area, each.kind) for each in diagnosis.findings] == [
        ("file", "duplicate"),
        ("label", "conflicting-labels"),
        ("split", "copy-leak"),
    ]
    assert all(each.paths == (path,) and each.others == (tested.path,) for each in diagnosis.findings)
    assert diagnosis.findings[0].message == f"{path} (train) has the same content as {tested.path} (test)"


def test_of_a_family_the_largest_is_the_original(clips: list[Clip], tmp_path: Path) -> None:
    halves = spoil(clips[:1], tmp_path, TEN_WAYS["half-size re-encode"][0], "half")
    again = spoil(clips[:1], tmp_path, TEN_WAYS["duplicate, renamed"][0], "again")
    diagnosis = gerund.doctor([*halves, *clips, *again], workers=2)
    assert named(diagnosis) == {halves[0].path: "near-duplicate", again[0].path: "duplicate"}
    assert {each.others for each in diagnosis.findings} == {(clips[0].path,)}


def test_what_is_said_of_a_copy_is_true_of_its_original_not_of_another_copy(clips: list[Clip], tmp_path: Path) -> None:
    halves = spoil(clips[:3], tmp_path, TEN_WAYS["half-size re-encode"][0], "half")
    mirrored = spoil(clips[:3], tmp_path, TEN_WAYS["mirrored re-encode"][0], "mirrored")
    both = spoil(mirrored, tmp_path, TEN_WAYS["half-size re-encode"][0], "both")  # liker the mirrored one than the original
    diagnosis = gerund.doctor([*clips[:3], *halves, *mirrored, *both], workers=2)
    told = {each.paths[0]: "mirrored, as" in each.message for each in diagnosis.findings if each.kind == "near-duplicate"}
    assert told == {clip.path: False for clip in halves} | {clip.path: True for clip in [*mirrored, *both]}


def test_odd_but_usable_files_are_remarks_and_stay(clips: list[Clip], tmp_path: Path) -> None:
    frames = toy.perform("jumping", 7, seconds=2.0)
    with video.Writer(tmp_path / "uneven.mp4") as writer:
        time = 0.0
        for number, frame in enumerate(frames):
            writer.add(frame, time)
            time += (0.04, 0.04, 0.12)[number % 3]
    video.write(tmp_path / "short.mp4", frames[:3], fps=25)
    odd = [Clip(path=tmp_path / name, label="walking", split="train") for name in ("uneven.mp4", "short.mp4")]
    diagnosis = gerund.doctor([*clips, *odd], workers=2, fix_manifest=tmp_path / "clean.csv")
    assert {(each.kind, each.paths[0].name, each.level) for each in diagnosis.findings} == {
        ("variable-frame-rate", "uneven.mp4", "remark"),
        ("short", "short.mp4", "remark"),
    }
    assert diagnosis.clean
    assert len(load_dataset(tmp_path / "clean.csv")) == len(clips) + 2


def test_a_clip_that_starts_after_its_video_is_told(clips: list[Clip]) -> None:
    late = replace(clips[0], start=5.0)
    diagnosis = gerund.doctor([*clips, late], workers=2)
    assert [each.kind for each in diagnosis.findings] == ["span-beyond-end"]
    assert diagnosis.healthy == clips
    assert "starts at 5 s, but the video ends at 1.60 s" in diagnosis.findings[0].message


def test_a_clip_that_ends_after_its_video_is_a_remark(clips: list[Clip]) -> None:
    diagnosis = gerund.doctor([*clips, replace(clips[0], start=0.5, end=1.9), replace(clips[0], start=0.5, end=90.0)], workers=2)
    (finding,) = [each for each in diagnosis.findings if each.kind == "end-beyond-end"]
    assert "a clip ends at 90 s, but the video ends at 1.60 s; what is there is used" in finding.message
    assert finding.level == "remark"


def test_a_file_that_an_official_list_names_but_that_is_missing_is_a_finding(tmp_path: Path) -> None:
    write_ucf101(tmp_path)
    videos = sorted((tmp_path / "UCF-101").rglob("*.avi"))
    gone = videos.pop(3)
    gone.unlink()
    code, out, err = run("doctor", f"ucf101:{tmp_path}", "--workers", 1, "--json")
    assert code == 3, err
    findings = [each for each in json.loads(out)["findings"] if each["area"] == "file"]
    assert {path: each["kind"] for each in findings for path in each["paths"]} == {
        str(gone): "missing",
        **{str(path): "empty" for path in videos},
    }
    assert f"{gone}: there is no such file" in [each["message"] for each in findings]
    for path in videos:
        path.unlink()
    code, _, err = run("doctor", f"ucf101:{tmp_path}", "--workers", 1)
    assert code == 1
    assert "listed but not there (28 of 28 clips missing); is the download complete?" in err


def test_a_random_split_is_told_and_the_leak_is_measured(clips: list[Clip], tmp_path: Path) -> None:
    write_manifest(randomly_split(clips), tmp_path / "leaking.csv")
    code, out, err = run("doctor", tmp_path / "leaking.csv", "--measure-leak", "--backbone", "pixels:8", "--workers", 2)
    assert code == 3, err
    assert "split group-leak: 3 groups on more than one side of the split: p0 (test, train)" in out
    measured = re.search(r"Measured leak: random split (\d\.\d\d), group-safe (\d\.\d\d)", out)
    assert measured
    assert float(measured[1]) >= float(measured[2])


def test_measuring_the_leak_is_repeatable_and_needs_groups(clips: list[Clip]) -> None:
    answers = [gerund.doctor(clips, measure_leak=True, backbone="pixels:8", workers=1).leakage for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0] is not None
    assert (answers[0].num_clips, answers[0].num_groups) == (20, 5)
    with pytest.raises(DataError, match="two groups"):
        gerund.doctor([replace(clip, group=clip.label) for clip in clips], measure_leak=True, backbone="pixels:8", workers=1)


def test_the_command_prints_json_and_ends_with_3_on_findings(clips: list[Clip], tmp_path: Path) -> None:
    bad = truncated(clips[0].path, tmp_path / "cut")
    write_manifest([*clips, Clip(path=bad, label="walking", split="train", group="p0")], tmp_path / "clips.csv")
    code, out, _ = run("doctor", tmp_path / "clips.csv", "--json", "--workers", 2)
    values = json.loads(out)
    assert code == 3
    assert not values["clean"]
    assert [(each["kind"], each["paths"]) for each in values["findings"]] == [("truncated", [str(bad)])]
    assert values["classes"][0]["label"] == "walking"
    write_manifest(clips, tmp_path / "clips.csv")
    code, out, _ = run("doctor", tmp_path / "clips.csv", "--workers", 2)
    assert code == 0
    assert out.splitlines()[-1] == "No findings."
    code, out, _ = run("doctor", tmp_path / "clips.csv", "--csv", "--workers", 2)
    assert (code, list(csv.reader(out.splitlines()))) == (0, [["level", "area", "kind", "message"]])


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_what_files_are_called(clips: list[Clip], tmp_path: Path) -> None:
    bad = tmp_path / "<b>é & so.avi"
    bad.write_text("text")
    page = tmp_path / "deep" / "page.html"
    gerund.doctor([*clips, Clip(path=bad, label="<i>walking", split="train", group="x")], html=page, workers=2)
    text = page.read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == []
    assert tags.addresses == []
    assert not {"script", "link", "img", "iframe"} & set(tags.names)
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert "url(" not in text
    assert "&lt;b&gt;é &amp; so.avi" in text
    assert "<i>" not in text
    assert "not-video" in text


def test_a_page_unfolds_a_few_findings_and_folds_many() -> None:
    def shown(count: int) -> str:
        findings = [{"level": "problem", "area": "file", "kind": "empty", "message": f"{number}.mp4"} for number in range(count)]
        values = {"findings": findings, "notes": [], "leak": None, "classes": [], "statistics": {}}
        return doctor_page("toy", values)

    assert "<details open>" in shown(10)
    assert "<details>" in shown(11)
    assert "and 2 more" in shown(502)
    assert shown(502).count("<li>") == 500


def test_an_output_that_cannot_be_written_is_told(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for option in ("html", "fix_manifest"):
        with pytest.raises(ModelError, match=r"file.*cannot be written"):
            gerund.doctor(clips[:2], workers=1, **{option: tmp_path / "file" / "out"})


def test_train_checks_first_and_refuses_a_leaking_split(clips: list[Clip], tmp_path: Path) -> None:
    write_manifest(randomly_split(clips), tmp_path / "leaking.csv")
    words = ("train", tmp_path / "leaking.csv", "--backbone", "pixels:8", "--num-frames", 2)
    code, _, err = run(*words, "--out", tmp_path / "run")
    assert code == 1
    assert "the given split leaks, 3 groups on more than one side of the split: p0 (test, train)" in err
    assert "--allow-leak" in err
    code, _, err = run(*words, "--out", tmp_path / "run", "--allow-leak")
    assert code == 0, err
    assert err.count("Check: 3 groups on more than one side of the split") == 1


def test_train_tells_of_doubtful_labels_in_single_lines(clips: list[Clip], tmp_path: Path) -> None:
    odd = [replace(clip, label="Waving", group=f"w{number}") for number, clip in enumerate(clips[:6])]
    write_manifest([replace(clip, split=None) for clip in [*clips[6:], *odd]], tmp_path / "odd.csv")
    code, _, err = run("train", tmp_path / "odd.csv", "--backbone", "pixels:8", "--out", tmp_path / "run")
    assert code == 0, err
    assert "Check: 'Waving' (6 clips), 'waving' (10 clips) differ in case or punctuation only; one class?\n" in err


def test_checking_files_loads_no_torch(clips: list[Clip]) -> None:
    code = f"import sys, gerund; gerund.doctor({str(clips[0].path.parents[1])!r}, workers=1); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("split", [1, 2, 3])
def test_real_official_splits_are_clean(real_data: Path, split: int) -> None:
    diagnosis = gerund.doctor(f"ucf101:{real_data / 'ucf101'}", split=split)
    assert diagnosis.findings == []
    assert "0 of 70 test clips (0.0 %) have a sibling in train." in diagnosis.notes


@pytest.mark.real
@pytest.mark.slow
def test_real_clips_spoiled_in_ten_ways_are_found_and_no_healthy_one_is_named(real_data: Path, tmp_path: Path) -> None:
    clips = load_dataset(f"ucf101:{real_data / 'ucf101'}")
    rng = random.Random(1)
    spoiled = {name: spoil(rng.sample(clips, 4), tmp_path, damage, name) for name, (damage, _) in TEN_WAYS.items()}
    found = named(gerund.doctor([*clips, *(clip for copies in spoiled.values() for clip in copies)]))
    for name, copies in spoiled.items():
        for copy in copies:
            assert found.pop(copy.path, "nothing") in TEN_WAYS[name][1], name
    assert found == {}


@pytest.mark.real
@pytest.mark.slow
def test_real_leak_of_a_random_split_is_told_and_measured(real_data: Path) -> None:
    clips = randomly_split(load_dataset(f"ucf101:{real_data / 'ucf101'}"))
    diagnosis = gerund.doctor(clips, measure_leak=True)
    assert [each.kind for each in diagnosis.problems] == ["group-leak"]
    assert diagnosis.leakage is not None
    assert diagnosis.leakage.random_split >= 0.97
    expected = group_safe_accuracy(clips)
    assert 0.85 < expected < 0.97
    assert diagnosis.leakage.group_safe == pytest.approx(expected, abs=0.03)
    assert diagnosis.leakage.random_split - diagnosis.leakage.group_safe > 0.04


def group_safe_accuracy(clips: list[Clip]) -> float:
    """The same measure with another library: logistic regression on mean features, as many folds of whole groups."""
    from sklearn import linear_model, model_selection

    features = Extractor(load_backbone(), fps=8.0, cache=FeatureCache(None)).extract(clip.path for clip in clips).features
    means = np.stack([np.asarray(features[clip.path].data[:], np.float32).mean(axis=0) for clip in clips])
    means = (means - means.mean(axis=0)) / means.std(axis=0)
    labels = [clip.label for clip in clips]
    answers = model_selection.cross_val_predict(
        linear_model.LogisticRegression(max_iter=2000),
        means,
        labels,
        groups=[clip.group for clip in clips],
        cv=model_selection.GroupKFold(LEAK_FOLDS),
    )
    return float(np.mean(answers == np.array(labels)))
