"""What torch made answers the same without it: every head, on backbones of several kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gerund.backbones import load_backbone
from gerund.core.types import Clip
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import HEADS, build_head, head_options
from gerund.recognition.recognizer import Recognizer
from support.videos import RampVideo

pytestmark = pytest.mark.torch

SOME = ("prototype", "transformer")
ALL = [pytest.param(name, tuple(HEADS), marks=pytest.mark.slow) for name in ("test_resnet", "test_vit", "mobilenetv2_100")]
STEPS = 4
WITHOUT_TORCH = """
import json, sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm", "lightning_fabric", "transformers"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Nowhere())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "torch" else find(name, package)
import gerund
from pathlib import Path
from gerund.core.types import Clip
for folder in sys.argv[2:]:
    recognizer = gerund.Recognizer.load(folder, cache=Path(folder).with_suffix(".cache"))
    prediction = recognizer.predict(sys.argv[1])
    features = recognizer.extractor.extract([prediction.path]).features[prediction.path]
    weights = recognizer.step_weights(features, Clip(path=prediction.path))[1]
    print(json.dumps([dict(prediction.scores), weights.tolist()]))
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(("name", "heads"), [("test_resnet", SOME), *ALL])
def test_a_model_of_the_workshop_answers_the_same_in_the_household(
    name: str, heads: tuple[str, ...], tmp_path: Path, ramp_video: RampVideo
) -> None:
    backbone, sampling = load_backbone(name, pretrained=False), Sampling(num_frames=STEPS)
    dim = sampling.token_dim(backbone.feature_dim)
    path = ramp_video(40, step=2)
    extractor = Extractor(backbone, fps=8.0, cache=FeatureCache(tmp_path / "cache"), device="cpu", precision="f32")
    expected = []
    for kind in heads:
        head = build_head(kind, token_dim=dim, num_classes=3, num_frames=STEPS, seed=1)
        if head.in_closed_form:
            clips = np.random.default_rng(0).normal(size=(12, STEPS, dim)).astype(np.float32)
            head.solve(clips, np.ones((12, STEPS), bool), np.arange(12) % 3, np.arange(12))
        options = head_options(kind, {})
        made = Recognizer(
            labels=["a", "b", "c"], extractor=extractor, sampling=sampling, head=head, head_name=kind, head_options=options
        )
        made.save(tmp_path / kind)
        features = extractor.extract([path]).features[path]
        expected.append((dict(made.predict(path).scores), made.step_weights(features, Clip(path=path))[1]))
    folders = [str(tmp_path / kind) for kind in heads]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(path), *folders], capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for kind, (scores, weights), (found, found_weights) in zip(heads, expected, lines, strict=True):
        assert found == pytest.approx(scores, abs=1e-4), kind
        np.testing.assert_allclose(found_weights, weights, atol=1e-4, err_msg=kind)
