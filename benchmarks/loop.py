"""gerund against the per-frame loop people write: eager torch, one frame at a time, everything decoded. DenseNet-121 at 128 px, 20 frames."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from clips import clips_folder

from gerund import video
from gerund.backbones import load_backbone
from gerund.core import progress
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor

FRAMES, REPEATS, CLIPS = 20, 3, 50


@torch.inference_mode()
def loop(paths: list[Path], backbone) -> float:
    """Seconds per clip of the plain loop: decode the whole clip at full size, then scale and run 20 frames one by one."""
    started = time.perf_counter()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
    for path in paths:
        frames = [frame.to_ndarray(format="rgb24") for _, frame in video.decode(path)]
        for frame in frames[:: max(1, len(frames) // FRAMES)][:FRAMES]:
            x = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
            x = torch.nn.functional.interpolate(x, (128, 128), mode="bilinear", antialias=True)
            backbone.module((x - mean) / std)
    return (time.perf_counter() - started) / len(paths)


def gerund_rate(paths: list[Path], backbone) -> tuple[float, float]:
    """Seconds per clip, and frames per clip, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        extractor = Extractor(backbone, fps=3.2, cache=FeatureCache(Path(folder)))
        _ = extractor.engine
        started = time.perf_counter()
        made = extractor.extract(paths)
        seconds = time.perf_counter() - started
    return seconds / len(paths), sum(map(len, made.features.values())) / len(paths)


def main() -> None:
    progress.notes.setLevel("WARNING")
    paths = clips_folder()[:: max(1, len(clips_folder()) // 250)]
    few = paths[:: max(1, len(paths) // CLIPS)][:CLIPS]
    backbone = load_backbone("densenet121", pretrained=False, image_size=128)
    rows = [(loop(few[:10], backbone), *gerund_rate(paths, backbone)) for _ in range(REPEATS)]
    slow, quick, frames = (statistics.median(values) for values in zip(*rows, strict=True))
    print(
        f"per-frame loop {slow * 1e3:.0f} ms/clip ({FRAMES} frames), gerund {quick * 1e3:.1f} ms/clip ({frames:.1f} frames): "
        f"{slow / quick:.1f}x (load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, medians of {REPEATS})"
    )


if __name__ == "__main__":
    main()
