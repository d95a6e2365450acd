"""An exported model gives the answers of the model it came from, without torch; one that does not is never written."""

import ast
import importlib.util
import json
import pickletools
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import gerund
from gerund import video
from gerund.backbones import load_backbone
from gerund.core.errors import BackboneError, DataError, ModelError, UsageError
from gerund.core.types import Clip
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import HEADS, build_head
from gerund.heads.learned.base import LearnedHead
from gerund.recognition import export as exporting
from gerund.recognition import graphs
from gerund.recognition.folder import EXPORTED_FILES
from gerund.recognition.recognizer import Recognizer

pytestmark = pytest.mark.torch

pytest.importorskip("onnxscript", reason="the extra [export] is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

LABELS = ["été", "pull-up", "serve"]
EXAMPLES = Path(__file__).parents[2] / "examples"
VERSION1 = Path(__file__).parents[1] / "contracts" / "data"


def example(name):
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def docstring_lines(node):
    """The lines of a docstring, where a module, a class or a function has one."""
    if not isinstance(node, ast.Module | ast.FunctionDef) or ast.get_docstring(node) is None:
        return range(0)
    return range(node.body[0].lineno, node.body[0].end_lineno + 1)


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


@pytest.mark.parametrize("head", [pytest.param(name, marks=() if name == "prototype" else pytest.mark.slow) for name in HEADS])
def test_every_head_answers_alike_after_export_and_without_gerund(head, clips, tmp_path):
    source = recognizer(head)
    source.save(tmp_path / "model")
    done = gerund.export(tmp_path / "model", tmp_path / "out", check=clips)
    assert done.values["max_difference"] < 1e-4
    alone = example("onnx_alone")
    expected = [scores(source.predict(path)) for path in clips]
    for path, answer in zip(clips, expected, strict=True):
        found = alone.answer(tmp_path / "out", path)
        np.testing.assert_allclose([found[label] for label in LABELS], answer, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01, "all clips look alike to this model, so this proves nothing"


def test_the_example_is_short_and_needs_no_gerund():
    source = (EXAMPLES / "onnx_alone.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"json", "math", "sys", "pathlib", "av", "numpy", "onnxruntime"}
    docstrings = {line for node in ast.walk(tree) for line in docstring_lines(node)}
    code = [number for number, line in enumerate(source.splitlines(), 1) if line.strip() and number not in docstrings]
    assert len(code) <= 40


@pytest.mark.parametrize(
    ("format_", "head"),
    [pytest.param(*each, marks=pytest.mark.slow) for each in (("onnx", "mean"), ("openvino", "bilstm"), ("torch", "bilstm"))],
)
def test_a_network_answers_alike_in_every_format(format_, head, clips, tmp_path):
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    recognizer(head, backbone=backbone).save(tmp_path / "model")
    done = gerund.export(tmp_path / "model", tmp_path / "out", format_=format_, check=clips)
    assert done.values["max_difference"] < 1e-4
    assert done.values["clips"] == 3
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert sorted(config["files"]) == sorted(EXPORTED_FILES[format_])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*config["files"], "config.json", "README.md"}


@pytest.mark.slow
def test_spans_every_frame_and_the_temperature_are_seen_as_by_the_model(clips, tmp_path):
    replace(recognizer("transformer", fps=None), temperature=2.5).save(tmp_path / "model")
    manifest = tmp_path / "clips.csv"
    manifest.write_text(f"path,start,end\n{clips[0]},0.5,1.0\n{clips[0]},2.0,\n{clips[2]},,0.01\n", encoding="utf-8")
    done = gerund.export(tmp_path / "model", tmp_path / "out", check=[manifest])
    assert done.values["clips"] == 3
    assert done.values["max_difference"] < 1e-4
    assert np.ptp(done.comparison.found[:, 0]) > 0.01, "all clips look alike to this model, so this proves nothing"


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
        gerund.export(light, tmp_path / "here" / "out", format_="torch", check=clips)
    assert not list((tmp_path / "here").iterdir())


def test_a_network_that_cannot_be_exported_is_named(model, clips, tmp_path, monkeypatch):
    def forward(self, frames):
        return self.module(frames.float() if frames.float().sum() > 0 else frames.float() * 2)

    monkeypatch.setattr(graphs.FromBytes, "forward", forward)
    with pytest.raises(ModelError, match="pixels:8 with head transformer: the backbone cannot be exported as torch"):
        gerund.export(model, tmp_path / "out", format_="torch", check=clips)
    assert not list(tmp_path.iterdir())


def test_without_known_clips_noise_is_compared(light, tmp_path, capsys):
    done = gerund.export(light, tmp_path / "out", format_="torch")
    assert "compared on videos of noise" in capsys.readouterr().err
    assert done.values["clips"] == 4
    assert done.values["top1_model"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_recorded_test_clips_are_compared_with_their_labels(light, clips, tmp_path):
    rows = [f"{clips[0]},été,test", f"{clips[1]},serve,train", f"{tmp_path / 'gone.mp4'},serve,test", f"{clips[2]},serve,test"]
    (light.parent / "clips.csv").write_text("path,label,split\n" + "\n".join(rows), encoding="utf-8")
    try:
        done = gerund.export(light, tmp_path / "out", format_="torch")
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
    done = gerund.export(light, tmp_path / "out", format_="torch", check=[clips[0], broken])
    assert [clip.path for clip in done.comparison.clips] == [clips[0]]
    with pytest.raises(DataError, match=r"none of the clips to compare on can be decoded, first: .*letter\.mp4"):
        gerund.export(light, tmp_path / "other", format_="torch", check=[broken])
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_is_said_before_any_work(model, tmp_path):
    with pytest.raises(UsageError, match=r"--weights a\.pt: a model has its own; the option goes with --backbone-only"):
        gerund.export(model, tmp_path / "out", weights=Path("a.pt"))
    with pytest.raises(UsageError, match="choose one of onnx, openvino, torch, gerund"):
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


def test_an_export_is_no_model_and_says_so(exported, clips):
    with pytest.raises(ModelError, match="an export for other programs; give the model that it was made of"):
        Recognizer.load(exported)


def test_a_folder_of_before_is_rewritten_and_then_runs_without_torch(clips, tmp_path):
    old = VERSION1 / "mean"
    expected = [Recognizer.load(old).predict(path) for path in clips]
    done = gerund.export(old, tmp_path / "new", format_="gerund", check=clips)
    assert done.values["max_difference"] < 1e-4
    config = json.loads((tmp_path / "new" / "config.json").read_text(encoding="utf-8"))
    assert config["format_version"] == 2
    assert "head.xml" in config["files"]
    for path, answer in zip(clips, expected, strict=True):
        assert Recognizer.load(tmp_path / "new").predict(path).scores == answer.scores
    assert f"Next: gerund predict {tmp_path / 'new'} VIDEO" in list(done.as_text())


@pytest.mark.parametrize("suffix", [pytest.param(".onnx", marks=pytest.mark.slow), ".xml"])
def test_a_backbone_alone_gives_the_features_of_timm_without_torch(suffix, tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "weights.pt"
    torch.save(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    out = tmp_path / f"net{suffix}"
    done = gerund.export("test_resnet", out, backbone_only=True, weights=weights)
    assert done.values["least_cosine"] > 0.9999
    assert {path.suffix for path in tmp_path.glob("net.*")} == {suffix, ".json", *([".bin"] if suffix == ".xml" else [])}
    own, alone = load_backbone("test_resnet", weights=weights), load_backbone(str(out))
    assert (alone.resize, alone.mean, alone.std) == (own.resize, pytest.approx(own.mean), pytest.approx(own.std))
    assert f"Next: gerund train DATA --backbone {out}" in list(done.as_text())
    with pytest.raises(UsageError, match="exists; choose another name"):
        gerund.export("test_resnet", out, backbone_only=True, weights=weights)


def test_a_backbone_alone_needs_the_name_of_a_file(tmp_path):
    with pytest.raises(UsageError, match=r"with --backbone-only, name a file \.onnx or \.xml"):
        gerund.export("test_resnet", tmp_path / "net", backbone_only=True)
    with pytest.raises(UsageError, match="unknown"):
        gerund.export("no_such_net", tmp_path / "net.onnx", backbone_only=True)


def test_a_backbone_that_its_graph_does_not_give_back_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "cosines", lambda *_, **__: np.array([1.0, 0.5]))
    with pytest.raises(
        BackboneError, match=r"net\.xml: not written, since it gives other features than pixels:8 \(cosine 0\.5000\)"
    ):
        gerund.export("pixels:8", tmp_path / "net.xml", backbone_only=True)
    assert not list(tmp_path.iterdir())


def test_the_command_shows_what_was_compared(light, clips, tmp_path):
    from gerund.cli.app import app

    words = ["export", str(light), str(tmp_path / "out"), "--check", str(clips[0]), "--check", str(clips[1])]
    done = app(words)
    assert done.is_complete
    said = "\n".join(done.as_text())
    assert "onnx, f32" in said
    assert "on 2 clips" in said
    assert f"examples/onnx_alone.py names actions with {tmp_path / 'out'}" in said


def test_int8_that_costs_too_much_is_not_written(tmp_path):
    right, wrong = np.array([0.9, 0.1]), np.array([0.2, 0.8])
    clips = [Clip(path=tmp_path / f"{number}.mp4", label="a") for number in range(4)]
    found = exporting.Parity(
        clips=clips, labels=["a", "b"], expected=np.array([right] * 4), found=np.array([right] * 3 + [wrong])
    )
    exporting.refuse_drop(found, tmp_path, 0.25)
    with pytest.raises(ModelError, match=r"in int8 top-1 falls by 25.00 % \(4 clips\), more than --max-drop 0.02"):
        exporting.refuse_drop(found, tmp_path, exporting.MAX_DROP)
    unlabelled = replace(found, clips=[replace(clip, label=None) for clip in clips])
    with pytest.raises(ModelError, match=r"in int8 25.00 % of the clips get another label"):
        exporting.refuse_drop(unlabelled, tmp_path, 0.1)
    with pytest.raises(UsageError, match="--max-drop 2: a share from 0 to 1 is needed"):
        gerund.export(tmp_path, tmp_path / "out", format_="openvino", int8=True, max_drop=2.0)


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
    done = gerund.export(tmp_path / "model", tmp_path / "out", format_="openvino", int8=True, max_drop=1.0, check=[manifest])
    assert calibrated == [clips[1]]
    assert done.values["precision"] == "int8"
    assert done.values["top1_exported"] is not None
    assert 0 < done.values["max_difference"] < 0.2
    graph = (tmp_path / "out" / "backbone.xml").read_text(encoding="utf-8")
    assert "FakeQuantize" in graph
