"""What a command does not need is not loaded by it."""

import subprocess
import sys
from pathlib import Path

from gerund.backbones import load_backbone
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import build_head
from gerund.recognition.recognizer import Recognizer

PROGRAM = """
import sys
from gerund.cli.app import main
try:
    main()
finally:
    print(*sorted(name for name, module in sys.modules.items() if module), file=sys.stderr)
"""
NOT_NEEDED = (
    "gerund.live",
    "gerund.heads.learned",
    "gerund.learning",
    "gerund.training",
    "gerund.timelines",
    "gerund.serving",
    "gerund.diagnosis",
    "gerund.video.annotate",
    "gerund.video.draw",
    "gerund.recognition.explain",
    "gerund.recognition.explain_picture",
    "lightning_fabric",
    "matplotlib",
    "PIL",
    "timm",
    "transformers",
)


def test_naming_the_action_loads_no_camera_no_drawing_and_nothing_that_learns(tmp_path: Path, ramp_video) -> None:
    backbone, sampling = load_backbone("pixels:8"), Sampling(num_frames=2)
    Recognizer(
        labels=["a", "b"],
        extractor=Extractor(backbone, fps=4.0, cache=FeatureCache(tmp_path / "cache")),
        sampling=sampling,
        head=build_head("prototype", token_dim=sampling.token_dim(backbone.feature_dim), num_classes=2, num_frames=2),
        head_name="prototype",
        head_options={},
    ).save(tmp_path / "model")
    words = [sys.executable, "-c", PROGRAM, "predict", tmp_path / "model", ramp_video(10), "--cache", tmp_path / "cache"]
    done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", check=True)
    loaded = done.stderr.split()
    assert "gerund.recognition.recognizer" in loaded
    assert not [name for name in loaded if name.startswith(tuple(f"{each}." for each in NOT_NEEDED)) or name in NOT_NEEDED]
