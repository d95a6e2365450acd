"""1280 x 720 H.264 with one key frame in ten seconds, 4 frames per second wanted: skipping against decoding everything, same frames.

And what it would gain to take the nearest frame that others are built on in place of the wanted one, so that no other is decoded.
"""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from clips import clips_folder, weights_of
from making import footage

from gerund import video
from gerund.backbones import Engine, compile_engine, load_backbone, resolve_precision
from gerund.video.container import opened_video, use_threads
from gerund.video.rate import at_rate

SECONDS, FPS, REPEATS = 60.0, 4.0, 5


def run(frames: Iterator, convert: video.FrameConverter, engine: Engine) -> tuple[float, str, int]:
    """Seconds, a digest of all pictures, and their number."""
    started = time.perf_counter()
    digest, count = hashlib.sha256(), 0
    batch = np.zeros((engine.batch_size, 3, 224, 224), np.uint8).transpose(0, 2, 3, 1)
    for count, (_, frame) in enumerate(frames, start=1):
        batch[(count - 1) % engine.batch_size] = convert(frame)
        if count % engine.batch_size == 0:
            digest.update(batch.transpose(0, 3, 1, 2))
            engine.submit(batch, lambda _: None)
    engine.drain()
    return time.perf_counter() - started, digest.hexdigest(), count


def references(path: Path, threads: int) -> Iterator:
    """Frames that others are built on, about as many as are wanted."""
    with opened_video(path) as (container, stream):
        use_threads(stream.codec_context, threads).skip_frame = "NONREF"
        yield from at_rate(((frame.time, frame) for frame in container.decode(stream)), FPS)


def main() -> None:
    path = footage(Path(tempfile.gettempdir()) / "gerund-bench-720p.mp4", clips_folder()[::10], size=(720, 1280), seconds=SECONDS)
    backbone = load_backbone("mobilenetv2_100", image_size=224, **weights_of("mobilenetv2_100"))
    engine = compile_engine(backbone, device="cpu", precision=resolve_precision("auto", "cpu"))
    convert = video.FrameConverter(backbone.resize)
    cores = os.cpu_count() or 1
    for threads in sorted({1, cores}):
        times: dict[str, list[float]] = {"everything": [], "wanted": [], "references": []}
        for _ in range(REPEATS):
            full = run(at_rate(video.decode(path, threads=threads), FPS), convert, engine)
            fast = run(video.wanted_frames(path, fps=FPS, threads=threads), convert, engine)
            assert full[1:] == fast[1:], "not the same frames"
            times["everything"].append(full[0])
            times["wanted"].append(fast[0])
            times["references"].append(run(references(path, threads), convert, engine)[0])
        slow, quick, nearest = (statistics.median(values) for values in times.values())
        print(
            f"{threads} decoding thread(s): everything {SECONDS / slow:.0f}x real time, only what is wanted {SECONDS / quick:.0f}x, "
            f"ratio {slow / quick:.2f}; nearest references {quick / nearest:.2f} times as fast as that "
            f"(load {os.getloadavg()[0]:.1f}, medians of {REPEATS})"
        )


if __name__ == "__main__":
    main()
