"""Make the pictures of the README from gerund's own synthetic clips: run `make demo` first, then this, both from the repository."""

from pathlib import Path

import gerund
from gerund import video
from gerund.data.datasets import toy

HERE = Path(__file__).parent

if __name__ == "__main__":
    clip = HERE / "kicking.mp4"
    video.write(clip, toy.perform("kicking", performer=4, seconds=2.4, size=(270, 480)), fps=25)
    for prediction in gerund.predict("demo/run", [clip], save_video=HERE / "kicking.webp"):
        print(prediction.label, prediction.scores[0])
    clip.unlink()
