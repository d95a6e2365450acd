"""An int8 copy of a backbone: calibrated on the user's frames, kept with the model, and told apart in the cache."""

import subprocess
import sys

import numpy as np
import pytest

import gerund
from gerund.backbones import load_backbone, quantize, resolve_precision
from gerund.core.errors import ModelError, UsageError
from gerund.data.datasets import toy
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor, calibrated

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "toy"
    return [clip for clip in toy.make(folder, performers=3, clips_per_action=1) if clip.label in ("kicking", "waving")]


def test_without_nncf_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(UsageError, match=r"needs NNCF; pip install 'gerund\[int8\]'"):
        quantize(load_backbone("test_resnet", pretrained=False, image_size=64), np.zeros((16, 64, 64, 3), np.uint8))


def test_int8_without_a_copy_or_on_a_gpu_is_refused(tmp_path):
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    with pytest.raises(UsageError, match="no int8 copy yet"):
        Extractor(backbone, fps=8, cache=FeatureCache(tmp_path), device="cpu", precision="int8")
    with pytest.raises(UsageError, match="--precision int8 runs on a CPU"):
        resolve_precision("int8", "cuda")


@pytest.mark.slow
def test_an_int8_model_is_trained_saved_and_answers_alike(clips, tmp_path, capsys):
    pytest.importorskip("nncf", reason="the extra [int8] is not installed")
    options = {"backbone": "test_resnet", "pretrained": False, "image_size": 64, "epochs": 2, "num_frames": 4}
    done = gerund.train(clips, **options, precision="int8", out=tmp_path / "run")
    said = capsys.readouterr().err
    assert "int8: calibrated on" in said
    assert "int8: test top-1" in said
    recognizer = gerund.Recognizer.load(done.run)
    assert recognizer.extractor.spec.precision.startswith("int8-")
    assert [each.label for each in recognizer.predict_clips(done.test.clips)] == [
        done.test.labels[row.argmax()] for row in done.test.scores
    ]
    (done.model / "backbone-int8.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="missing or damaged"):
        gerund.Recognizer.load(done.run)


QUANTIZE = """
import numpy as np
from gerund.backbones import load_backbone, quantize
quantize(load_backbone("test_resnet", pretrained=False, image_size=64), np.zeros((16, 64, 64, 3), np.uint8))
"""


@pytest.mark.slow
def test_nothing_of_the_package_that_quantizes_is_said():
    pytest.importorskip("nncf", reason="the extra [int8] is not installed")
    done = subprocess.run([sys.executable, "-c", QUANTIZE], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.slow
def test_the_same_frames_give_the_same_copy_close_to_f32(clips, tmp_path):
    pytest.importorskip("nncf", reason="the extra [int8] is not installed")
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    paths = [clip.path for clip in clips]
    first, second = calibrated(backbone, paths), calibrated(backbone, paths)
    assert first.quantized == second.quantized
    frames = np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), dtype=np.uint8)
    assert quantize(backbone, frames)[1] > 0.95
