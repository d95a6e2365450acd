"""Tokens of many clips at once."""

import numpy as np

from gerund import video
from gerund.core.types import Clip
from gerund.features.extractor import Extraction
from gerund.recognition.token_set import token_set
from support.servers import LABELS, untrained


def test_a_clip_without_a_mirrored_view_is_learned_from_plain_ones(tmp_path):
    recognizer = untrained(tmp_path / "cache")
    clips = [Clip(path=tmp_path / f"{number}.mp4", label=LABELS[number]) for number in range(2)]
    for clip in clips:
        frames = np.random.default_rng(int(clip.path.stem)).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8)
        video.write(clip.path, frames, fps=8)
    plain = recognizer.extractor.extract([clip.path for clip in clips])
    other = Extraction({clips[1].path: plain.features[clips[0].path]}, {clips[0].path: "0.mp4: cannot be read"})
    made = token_set(recognizer, [plain, other], clips)
    assert made.data.shape[0] == 2
    np.testing.assert_array_equal(made.data[0, 0], made.data[1, 0])
    np.testing.assert_array_equal(made.data[1, 1], made.data[0, 0])
