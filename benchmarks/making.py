"""Videos that the benchmarks make for themselves."""

from pathlib import Path

import av
import numpy as np

from gerund import video
from gerund.core.types import Resize
from gerund.data.datasets import toy


def performance(path: Path, *, size: tuple[int, int], seconds: float, gop: int = 250, fps: float = 25.0) -> Path:
    """A stick figure doing one action after the other, in H.264 with x264's own three B-frames."""
    if not path.exists():

        def frames():
            left = round(seconds * fps)
            for number in range(10_000):
                shown = toy.perform(toy.ACTIONS[number % len(toy.ACTIONS)], performer=number, seconds=3.0, size=size, fps=fps)
                yield from shown[:left]
                left -= len(shown)
                if left <= 0:
                    return

        video.write(path, frames(), fps=fps, options={"g": str(gop), "keyint_min": str(gop), "preset": "fast"})
    return path


def footage(path: Path, clips: list[Path], *, size: tuple[int, int], seconds: float, gop: int = 250) -> Path:
    """Real clips one after the other, enlarged, at 25 frames per second, in H.264 with x264's own three B-frames."""
    if not path.exists():
        resize = Resize(height=size[0], width=size[1], fit="crop")

        def frames():
            left = round(seconds * 25)
            for clip in clips:
                for block in video.read(clip, resize=resize):
                    yield from block.data[:left]
                    left -= len(block)
                    if left <= 0:
                        return

        video.write(path, frames(), fps=25, options={"g": str(gop), "keyint_min": str(gop), "preset": "medium", "crf": "21"})
    return path


def repeated(source: Path, path: Path, times: int) -> Path:
    """A file so many times in a row, without encoding anything anew."""
    if not path.exists():
        with av.open(str(path), "w") as out:
            stream = None
            shift = 0
            for _ in range(times):
                with av.open(str(source)) as container:
                    given = container.streams.video[0]
                    stream = stream or out.add_stream_from_template(given)
                    step = round(1 / given.average_rate / given.time_base)
                    last = 0
                    for packet in container.demux(given):
                        if packet.size == 0:
                            continue
                        last = max(last, packet.pts or 0)
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = stream
                        out.mux(packet)
                    shift += last + step
    return path


def noise_4k(path: Path, seed: int, frames: int = 25) -> Path:
    """A second of a 3840 x 2160 picture that pans."""
    if not path.exists():
        rng = np.random.default_rng(seed)
        big = np.kron(rng.integers(0, 255, (140, 250, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
        pictures = (big[step : step + 2160, step * 4 : step * 4 + 3840] for step in range(frames))
        video.write(path, pictures, fps=25, options={"preset": "ultrafast"})
    return path
