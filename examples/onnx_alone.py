"""Name the action in a video with what `gerund export` wrote: numpy, PyAV and onnxruntime, no gerund.

    python examples/onnx_alone.py EXPORTED VIDEO

It stands for other languages and other machines too: all that lies between the two graphs is here. Frames that stand still, turned videos and
sound that begins first are gerund's business; here a video starts with its first picture.
"""

import json
import math
import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime


def pictures(path: Path, fps: float, side: dict) -> np.ndarray:
    """The frames on screen at 0, 1/fps, 2/fps ... seconds (N, 3, H, W) uint8, squeezed into the size that the backbone takes."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    times = np.array([frame.time for frame in frames]) - frames[0].time
    ends = np.append(times[1:], times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1 / fps))
    shown = [frame for frame, a, b in zip(frames, times, ends, strict=True) if math.ceil((a - 1e-3) * fps) < (b - 1e-3) * fps]
    size = {"width": side["width"], "height": side["height"], "interpolation": side["interpolation"].upper()}
    return np.stack([frame.reformat(format="gbrp", **size).to_ndarray().transpose(2, 0, 1) for frame in shown])


def tokens(rows: np.ndarray, steps: int) -> np.ndarray:
    """The mean row and the mean change from row to row in each of at most `steps` equal parts: (N, D) -> (1, T, 2 D)."""
    edges = np.arange(min(steps, len(rows)) + 1) * len(rows) // min(steps, len(rows))
    change = np.abs(np.diff(rows, axis=0, append=rows[-1:]))
    change[-1] = change[-2] if len(rows) > 1 else 0
    means = [np.add.reduceat(each, edges[:-1]) / np.diff(edges)[:, None] for each in (rows, change)]
    return np.concatenate(means, axis=1)[None].astype(np.float32)


def answer(exported: Path, video: Path) -> dict[str, float]:
    """Label -> probability, the likeliest first."""
    config = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    backbone, head = (onnxruntime.InferenceSession(exported / f"{name}.onnx") for name in ("backbone", "head"))
    frames = pictures(video, config["features"]["fps"], config["features"]["resize"])
    rows = np.concatenate([backbone.run(None, {"frames": frames[i : i + 16]})[0] for i in range(0, len(frames), 16)])
    x = tokens(rows.astype(np.float16).astype(np.float32), config["sampling"]["num_frames"])
    logits = head.run(None, {"x": x, "valid": np.ones(x.shape[:2], bool)})[0][0] / config["temperature"]
    powers = np.exp(logits - logits.max())
    ranked = sorted(zip(config["labels"], powers / powers.sum(), strict=True), key=lambda pair: -pair[1])
    return {label: float(share) for label, share in ranked}


if __name__ == "__main__":
    for label, share in answer(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{100 * share:6.2f} %  {label}")
