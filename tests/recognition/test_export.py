"""An exported model gives the answers of the model it came from, without torch; one that does not is never written."""

import json
import os
import pickletools
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.core.errors import DataError, ModelError, UsageError
from gerund.core.types import Clip
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import HEADS, build_head
from gerund.heads.learned.base import LearnedHead
from gerund.recognition import export as exporting
from gerund.recognition import graphs, runtime
from gerund.recognition.calibration import Familiarity
from gerund.recognition.recognizer import Recognizer

pytestmark = pytest.mark.torch

pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

LABELS = ["été", "pull-up", "serve"]


def recognizer(head="mean", *, backbone=None, fps=8.0, num_frames=4, **head_options):
    """An untrained model whose answers are spread: its head has seen some tokens, and its last layer is made large."""
    sampling = Sampling(num_frames=num_frames)
    backbone = backbone or load_backbone("pixels:8")
    made = build_head(
        head, token_dim=sampling.token_dim(backbone.feature_dim), num_classes=3, num_frames=num_frames, options=head_options
    )
    x = torch.randn(64, num_frames, sampling.token_dim(backbone.feature_dim), generator=torch.Generator().manual_seed(0))
    valid = torch.ones(64, num_frames, dtype=torch.bool)
    if isinstance(made, LearnedHead):
        made.module.prepare(x, valid)
        with torch.no_grad():
            list(made.module.classify.parameters())[-2].mul_(4)
    else:
        made.solve(x.numpy(), valid.numpy(), np.arange(64) % 3, np.arange(64))
        made.load(made.state() | {"classify.weight": 4 * made.state()["classify.weight"]})
    return Recognizer(
        labels=LABELS,
        extractor=Extractor(backbone, fps=fps, cache=FeatureCache(), precision="f32"),
        sampling=sampling,
        head=made,
        head_name=head,
        head_options={},
    )


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Videos of moving noise: long, short, and of 3 frames, with a name that has a space and an accent."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    paths = [folder / "long.mp4", folder / "à la carte.mp4", folder / "three.mp4"]
    for path, num_frames in zip(paths, (60, 20, 3), strict=True):
        video.write(path, iter(random.integers(0, 256, (num_frames, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)), fps=25)
    return paths


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    recognizer("transformer").save(folder)
    return folder


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A model whose head is exported in the shortest time, for tests that any head would do for."""
    folder = tmp_path_factory.mktemp("light") / "model"
    recognizer("mean").save(folder)
    return folder


@pytest.fixture(scope="module")
def exported(model, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "out"
    gerund.export(model, folder, check=clips)
    return folder


def scores(prediction):
    return np.array([dict(prediction.scores)[label] for label in LABELS])


@pytest.mark.parametrize("head", HEADS)
def test_every_head_answers_alike_after_export(head, clips, tmp_path):
    source = recognizer(head)
    source.save(tmp_path / "model")
    done = gerund.export(tmp_path / "model", tmp_path / "out", check=clips)
    assert done.values["max_difference"] < 1e-4
    exported = runtime.load(tmp_path / "out")
    expected = [source.predict(path) for path in clips]
    for path, answer in zip(clips, expected, strict=True):
        np.testing.assert_allclose(scores(exported.predict(path)), scores(answer), atol=1e-4)
    assert np.ptp([scores(answer)[0] for answer in expected]) > 0.01, "all clips look alike to this model, so this proves nothing"


@pytest.mark.parametrize(
    ("format_", "head"),
    [("onnx", "mean"), *(pytest.param(each, "bilstm", marks=pytest.mark.slow) for each in ("openvino", "torch"))],
)
def test_a_network_answers_alike_in_every_format(format_, head, clips, tmp_path):
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    recognizer(head, backbone=backbone).save(tmp_path / "model")
    done = gerund.export(tmp_path / "model", tmp_path / "out", format_=format_, check=clips)
    assert done.values["max_difference"] < 1e-4
    assert done.values["clips"] == 3
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert sorted(config["files"]) == sorted(runtime.EXPORTED_FILES[format_])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*config["files"], "config.json", "README.md"}


@pytest.mark.slow
def test_ctrl_c_after_models_have_come_and_gone_is_a_keyboard_interrupt(clips, tmp_path):
    """OpenVINO, given several runtimes, left a signal without a stack; a crash has no exception."""
    recognizer("mean").save(tmp_path / "model")
    gerund.export(tmp_path / "model", tmp_path / "out", format_="openvino", check=clips)
    code = """
import os, signal, sys
from gerund.recognition import runtime
models = [runtime.load(sys.argv[1]) for _ in range(3)]
while models:
    del models[0]
memory = [bytearray(2**20) for _ in range(100)]
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


def test_spans_and_every_frame_are_seen_as_by_the_model(clips, tmp_path):
    source = recognizer("transformer", fps=None)
    source.save(tmp_path / "model")
    gerund.export(tmp_path / "model", tmp_path / "out", check=clips)
    exported = runtime.load(tmp_path / "out")
    for clip in (Clip(path=clips[0], start=0.5, end=1.0), Clip(path=clips[0], start=2.0), Clip(path=clips[2], end=0.01)):
        np.testing.assert_allclose(scores(exported.predict(clip)), scores(source.predict(clip)), atol=1e-4)
    assert "starts at 9 s" in exported.predict(Clip(path=clips[0], start=9.0)).error


def test_temperature_and_the_sense_of_the_unknown_travel_along(clips, tmp_path):
    random = np.random.default_rng(0)
    data, valid, targets = random.normal(size=(30, 4, 128)).astype(np.float32), np.ones((30, 4), bool), np.arange(30) % 3
    familiarity = Familiarity.fit(data, valid, targets)
    familiarity = replace(familiarity, reference=familiarity.score(data, valid).astype(np.float32))
    source = replace(recognizer("mean"), temperature=2.5, familiarity=familiarity)
    source.save(tmp_path / "model")
    gerund.export(tmp_path / "model", tmp_path / "out", check=clips)
    exported = runtime.load(tmp_path / "out")
    for path in clips:
        expected, found = source.predict(path), exported.predict(path)
        np.testing.assert_allclose(scores(found), scores(expected), atol=1e-4)
        assert expected.known is not None
        assert (found.known, found.unknown, found.label) == (expected.known, expected.unknown, expected.label)
    (tmp_path / "out" / "unknown.npz").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"unknown\.npz: damaged"):
        runtime.load(tmp_path / "out")


def test_batch_and_time_are_free_and_padding_changes_nothing(exported):
    session = ort.InferenceSession(exported / "head.onnx", providers=["CPUExecutionProvider"])
    tokens = np.random.default_rng(0).normal(size=(5, 4, 128)).astype(np.float32)
    for steps in (1, 2, 3, 4):
        valid = np.broadcast_to(np.arange(4) < steps, (5, 4))
        padded = session.run(None, {"x": tokens, "valid": valid})[0]
        short = session.run(None, {"x": tokens[:, :steps], "valid": valid[:, :steps]})[0]
        alone = session.run(None, {"x": tokens[:1], "valid": valid[:1]})[0]
        np.testing.assert_allclose(short, padded, atol=1e-5)
        np.testing.assert_allclose(alone, padded[:1], atol=1e-5)
    frames = np.random.default_rng(0).integers(0, 256, (7, 3, 8, 8), dtype=np.uint8)
    session = ort.InferenceSession(exported / "backbone.onnx", providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"frames": frames[index : index + 1]})[0][0] for index in range(7)]
    np.testing.assert_allclose(session.run(None, {"frames": frames})[0], rows, atol=1e-5)


BLOCKED = """
import sys
for name in ("torch", "torchvision", "timm", "openvino", "lightning", "safetensors", "cyclopts", "rich", "huggingface_hub", "PIL"):
    sys.modules[name] = None
from gerund.recognition import runtime
code = runtime.name_actions(sys.argv[1:])
print(sorted(name for name, module in sys.modules.items() if module and name.startswith("gerund.")), file=sys.stderr)
sys.exit(code)
"""


def test_the_runtime_needs_no_torch(model, exported, clips):
    words = [sys.executable, "-c", BLOCKED, str(exported), "--json", *map(str, clips)]
    answer = subprocess.run(
        words, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"PYTHONUTF8": "1"}, check=True
    )
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    expected = [Recognizer.load(model).predict(path) for path in clips]
    assert [each["label"] for each in found] == [each.label for each in expected]
    assert [each["path"] for each in found] == [str(path) for path in clips]
    assert "gerund.recognition.recognizer" not in answer.stderr


def test_the_torch_archive_holds_no_pickle(clips, tmp_path):
    recognizer().save(tmp_path / "model")
    gerund.export(tmp_path / "model", tmp_path / "out", format_="torch", check=clips)
    for name in ("backbone.pt2", "head.pt2"):
        with zipfile.ZipFile(tmp_path / "out" / name) as archive:
            for entry in archive.namelist():
                data = archive.read(entry)
                assert not data.startswith(b"PK"), f"{name}: {entry} is an archive of its own, as torch.save writes"
                assert b'"use_pickle": true' not in data
                assert data[:1] != b"\x80" or not unpickles(data), f"{name}: {entry} is a pickle"
    with pytest.raises(ModelError, match="exported for torch; the light runtime opens onnx and openvino"):
        runtime.load(tmp_path / "out")


def unpickles(data):
    try:
        return bool(list(pickletools.genops(data)))
    except ValueError:
        return False


def test_other_answers_are_refused_and_nothing_is_left(light, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(graphs.FromBytes, "forward", lambda self, frames: self.module(frames.float() / 255).float() * 1.5)
    with pytest.raises(
        ModelError, match=r"not written, since the exported model gives other answers: on .*off by 0\.\d+, allowed is 0.001"
    ):
        gerund.export(light, tmp_path / "here" / "out", check=clips)
    assert not list((tmp_path / "here").iterdir())


def test_a_network_that_cannot_be_exported_is_named(model, clips, tmp_path, monkeypatch):
    def forward(self, frames):
        return self.module(frames.float() if frames.float().sum() > 0 else frames.float() * 2)

    monkeypatch.setattr(graphs.FromBytes, "forward", forward)
    with pytest.raises(ModelError, match="pixels:8 with head transformer: the backbone cannot be exported as torch"):
        gerund.export(model, tmp_path / "out", format_="torch", check=clips)
    assert not list(tmp_path.iterdir())


def test_without_known_clips_noise_is_compared(light, tmp_path, capsys):
    done = gerund.export(light, tmp_path / "out")
    assert "compared on videos of noise" in capsys.readouterr().err
    assert done.values["clips"] == 4
    assert done.values["top1_model"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_recorded_test_clips_are_compared_with_their_labels(light, clips, tmp_path):
    rows = [f"{clips[0]},été,test", f"{clips[1]},serve,train", f"{tmp_path / 'gone.mp4'},serve,test", f"{clips[2]},serve,test"]
    (light.parent / "clips.csv").write_text("path,label,split\n" + "\n".join(rows), encoding="utf-8")
    try:
        done = gerund.export(light, tmp_path / "out")
    finally:
        (light.parent / "clips.csv").unlink()
    assert [clip.path for clip in done.comparison.clips] == [clips[0], clips[2]]
    truth = np.mean(
        [Recognizer.load(light).predict(path).label == label for path, label in ((clips[0], "été"), (clips[2], "serve"))]
    )
    assert done.comparison.accuracies() == (truth, truth)


def test_a_broken_clip_is_left_out_and_only_broken_ones_are_refused(light, clips, tmp_path):
    broken = tmp_path / "letter.mp4"
    broken.write_text("Dear Sir,", encoding="utf-8")
    done = gerund.export(light, tmp_path / "out", check=[clips[0], broken])
    assert [clip.path for clip in done.comparison.clips] == [clips[0]]
    with pytest.raises(DataError, match=r"none of the clips to compare on can be decoded, first: .*letter\.mp4"):
        gerund.export(light, tmp_path / "other", check=[broken])
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_is_said_before_any_work(model, tmp_path):
    with pytest.raises(UsageError, match="choose one of onnx, openvino, torch"):
        gerund.export(model, tmp_path / "out", format_="tflite")
    with pytest.raises(UsageError, match="--int8 needs --format openvino"):
        gerund.export(model, tmp_path / "out", int8=True)
    with pytest.raises(UsageError, match="exists and is not empty"):
        gerund.export(model, model)
    with pytest.raises(ModelError, match="no such model folder"):
        gerund.export(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        gerund.export(model, tmp_path / "out", check=[tmp_path / "gone.mp4"])


def test_a_place_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ModelError, match=r"file.out: cannot be written \(.*\); choose another place"):
        gerund.export(model, tmp_path / "file" / "out")


def test_without_the_exporter_the_way_out_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=r"needs the package onnxscript; pip install 'gerund\[onnx\]'"):
        gerund.export(model, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(UsageError, match=r"int8 needs NNCF; pip install 'gerund\[int8\]'"):
        gerund.export(model, tmp_path / "out", format_="openvino", int8=True)


def copied(exported, folder, **changes):
    """A copy of an exported model whose config has other values."""
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_the_runtime_names_what_is_wrong_with_a_folder(model, exported, tmp_path):
    with pytest.raises(ModelError, match="no exported model"):
        runtime.load(tmp_path)
    with pytest.raises(ModelError, match="a model folder, not an exported one; gerund export"):
        runtime.load(model)
    with pytest.raises(ModelError, match="format version 2, but this gerund reads version 1"):
        runtime.load(copied(exported, tmp_path / "newer", format_version=2))
    with pytest.raises(ModelError, match="not an exported gerund model"):
        runtime.load(copied(exported, tmp_path / "foreign", format="else"))
    with pytest.raises(ModelError, match=r"config\.json: files: backbone\.onnx is missing"):
        runtime.load(copied(exported, tmp_path / "unlisted", files={}))
    damaged = copied(exported, tmp_path / "damaged")
    (damaged / "head.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"head\.onnx: damaged"):
        runtime.load(damaged)
    (damaged / "head.onnx").unlink()
    with pytest.raises(ModelError, match=r"head\.onnx: missing"):
        runtime.load(damaged)
    (damaged / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json: not readable"):
        runtime.load(damaged)


def test_the_runtime_without_its_engine_says_what_to_install(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="pip install onnxruntime"):
        runtime.load(exported)


def test_the_runtime_as_a_command_prints_answers_and_ends_with_3_for_a_broken_video(exported, clips, tmp_path, capsys):
    broken = tmp_path / "letter.mp4"
    broken.write_text("Dear Sir,", encoding="utf-8")
    assert runtime.name_actions([str(exported), str(clips[1]), str(broken), str(tmp_path / "gone.mp4"), "--top-k", "2"]) == 3
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == str(clips[1])
    assert len(lines) == 3
    assert lines[1].split(maxsplit=2)[2] == runtime.load(exported)(clips[1])[0]["label"]
    assert [line.partition(": ")[2].partition(": ")[0] for line in said.err.splitlines()] == [
        str(broken),
        str(tmp_path / "gone.mp4"),
    ]
    assert runtime.name_actions([str(tmp_path), "a.mp4"]) == 1


def test_the_command_shows_what_was_compared(light, clips, tmp_path):
    from gerund.cli.app import app

    words = ["export", str(light), str(tmp_path / "out"), "--check", str(clips[0]), "--check", str(clips[1])]
    done = app(words)
    assert done.is_complete
    said = "\n".join(done.as_text())
    assert "onnx, f32" in said
    assert "on 2 clips" in said
    assert f"python -m gerund.recognition.runtime {tmp_path / 'out'} VIDEO" in said


@pytest.mark.slow
def test_int8_is_calibrated_on_training_clips_and_its_accuracy_told(clips, tmp_path, monkeypatch):
    pytest.importorskip("nncf", reason="the extra [int8] is not installed")
    recognizer("mean", backbone=load_backbone("test_resnet", pretrained=False, image_size=64)).save(tmp_path / "model")
    manifest = tmp_path / "clips.csv"
    rows = [f"{clips[0]},été,test", f"{clips[1]},serve,train", f"{clips[2]},serve,test"]
    manifest.write_text("path,label,split\n" + "\n".join(rows), encoding="utf-8")
    calibrated: list[Path] = []
    frames_of = exporting.calibration_frames
    monkeypatch.setattr(exporting, "calibration_frames", lambda *given: calibrated.extend(given[1]) or frames_of(*given))
    done = gerund.export(tmp_path / "model", tmp_path / "out", format_="openvino", int8=True, check=[manifest])
    assert calibrated == [clips[1]]
    assert done.values["precision"] == "int8"
    assert done.values["top1_exported"] is not None
    assert 0 < done.values["max_difference"] < 0.2
    graph = (tmp_path / "out" / "backbone.xml").read_text(encoding="utf-8")
    assert "FakeQuantize" in graph
    assert runtime.load(tmp_path / "out").predict(clips[0]).label in LABELS
