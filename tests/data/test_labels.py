"""What can be no label is refused where labels come in: in data of any kind, and in a model's config.json."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from gerund.backbones import load_backbone
from gerund.core.errors import DataError, ModelError
from gerund.core.printing import label_problem
from gerund.core.types import Clip, Segment, Timeline
from gerund.data.datasets import load_dataset
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.recognition.recognizer import Recognizer
from gerund.timelines.picture import timeline_plot
from gerund.training.report import plots as reporting
from support.command import run
from support.heads import drawn_head

BAD = ["new\nline", "a\x1b[31m", "bell\x07", "\x9b2J", "tab\there", "zero\0", "line\u2028end", "half \ud800", "x" * 501]
GOOD = [
    "été 🎾",
    "逆上がり",
    "👩\u200d👩\u200d👧",
    "می\u200cخواهم",  # noqa: RUF001
    "=cmd|calc!A0",
    "x" * 500,
    "<b>$x$</b>",
    "a\\nb",
    "no\u00a0break",
]


@pytest.mark.parametrize("label", BAD)
def test_such_a_label_is_refused_with_its_file_and_in_one_line(label):
    with pytest.raises(DataError, match=r"^a\.mp4: the label .*; rename it$") as caught:
        load_dataset([Clip(path=Path("b.mp4"), label="good"), Clip(path=Path("a.mp4"), label=label)])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("label", GOOD)
def test_what_people_write_is_a_label(label):
    assert label_problem(label) is None
    assert load_dataset([Clip(path=Path("a.mp4"), label=label)])[0].label == label


def test_a_class_folder_a_table_and_an_annotation_file_are_asked_alike(ramp_video, tmp_path):
    for label in ("new\nline", "other"):
        ramp_video(4, folder=tmp_path / "set" / label)
    code, _, err = run("train", tmp_path / "set", "--backbone", "pixels:8", "--out", tmp_path / "run")
    (line,) = (line for line in err.splitlines() if line.startswith("gerund: "))
    assert code == 1
    assert line.endswith(r"ramp.mp4: the label 'new\nline' holds \n, which is no character of a text; rename it")
    assert not (tmp_path / "run").exists()
    folder = tmp_path / "set" / "other"
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label"], [folder / "ramp.mp4", "a\x1b[2J"]])
    entry = {"duration": 1, "subset": "training", "annotations": [{"segment": [0, 0.1], "label": "half \ud800"}]}
    (folder / "a.json").write_text(json.dumps({"version": "1", "database": {"ramp": entry}}))
    for data, shown in ((tmp_path / "a.csv", r"\x1b"), (f"activitynet:{folder / 'a.json'}", r"\ud800")):
        with pytest.raises(DataError, match=rf"ramp\.mp4: the label .* holds {re.escape(shown)}, which is no character"):
            load_dataset(str(data))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model of two labels."""
    backbone, sampling = load_backbone("pixels:8"), Sampling(num_frames=2)
    head = drawn_head(sampling.token_dim(backbone.feature_dim), 2, 2)
    made = {
        "extractor": Extractor(backbone, fps=4.0, cache=FeatureCache()),
        "sampling": sampling,
        "head": head,
        "head_name": "prototype",
        "head_options": {},
    }
    folder = tmp_path_factory.mktemp("labels") / "model"
    Recognizer(labels=["a", "b"], **made).save(folder)
    return folder


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", 7], "the label 7 is no text"),
        (["a", None], "the label None is no text"),
        (["a", {}], "the label {} is no text"),
        (["a", ["b"]], "the label ['b'] is no text"),
        (["a", "a"], "the label 'a' is there twice"),
        (["a", " "], "the label ' ' is empty"),
        (["a", "new\nline"], r"the label 'new\nline' holds \n"),
        (["a", "half \ud800"], r"holds \ud800"),
        (["a", "x" * 501], "has 501 characters, more than 500"),
        ([], "there are no labels"),
    ],
)
def test_a_model_with_such_labels_is_refused(model, tmp_path, labels, message):
    config = json.loads((model / "config.json").read_text())
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed = config | {"id2label": {str(index): label for index, label in enumerate(labels)}}
    (tmp_path / "config.json").write_text(json.dumps(changed))
    with pytest.raises(ModelError, match=rf"config\.json: .*{re.escape(message)}"):
        Recognizer.load(tmp_path)
    assert Recognizer.load(model).labels == ["a", "b"]


def test_dollars_in_a_label_or_a_name_are_no_formula(ramp_video, tmp_path):
    labels = ["$\\frac{$", "a_{$b$", "$$"]
    reporting.confusion_plot(tmp_path / "a.png", np.eye(3, 4, dtype=int), labels)
    path, scores = ramp_video(20, fps=10, name="$$"), np.full((3, 3), 1 / 3, np.float32)
    segments = [Segment(start=0, end=2, label=labels[0], score=1)]
    timeline = Timeline(path=path, labels=labels, pts=np.arange(3.0), scores=scores, segments=segments, duration=3.0)
    timeline_plot(tmp_path / "b.png", timeline)
    assert min((tmp_path / name).stat().st_size for name in ("a.png", "b.png")) > 1000
