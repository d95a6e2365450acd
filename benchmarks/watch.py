"""`gerund watch` on a live stream: MPEG-TS over TCP on this machine, 640 x 360, 25 fps, MobileNetV2 @224 at 4 features per second.

The model's head is untrained: it takes the same time. Prints latencies (arrival of a frame's packet to its label), when the first
label came, dropped frames, and resident memory after the first minute and at its highest after that.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
from clips import clips_folder, weights_of

from gerund import Recognizer, video
from gerund.backbones import load_backbone
from gerund.core.types import Resize
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.heads import build_head

FPS, LOOP = 25, 20.0
CHILD = """
import json, os, sys, time
from pathlib import Path
import gerund
model, url, seconds, began = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
called = time.time()
watch = gerund.watch(model, url, duration=seconds, reconnect=5)
rows = []
for look in watch.looks():
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    rows.append((time.time() - called, look.seconds, look.latency, resident, time.process_time()))
watch.close()
print(json.dumps({"rows": rows, "dropped": watch.dropped, "import": called - began}))
"""


def camera_file(path: Path) -> Path:
    """Real clips at 640 x 360 and 25 fps, encoded as cameras do: no B-frames, a key frame every two seconds."""
    if not path.exists():

        def frames():
            left = round(LOOP * FPS)
            for clip in clips_folder()[::20]:
                for block in video.read(clip, resize=Resize(height=360, width=640)):
                    yield from block.data[:left]
                    left -= len(block)
                    if left <= 0:
                        return

        video.write(path, frames(), fps=FPS, options={"tune": "zerolatency", "preset": "veryfast", "g": "50"})
    return path


def send(path: str, url: str, seconds: str) -> None:
    """Sends the packets of a file again and again at their pace."""
    with av.open(url, "w", format="mpegts") as out, av.open(path) as first:
        stream = out.add_stream_from_template(first.streams.video[0])
        started, shift = time.monotonic(), 0.0
        while shift < float(seconds):
            with av.open(path) as container:
                given = container.streams.video[0]
                for packet in container.demux(given):
                    if packet.size == 0:
                        continue
                    at = shift + float(packet.pts * packet.time_base)
                    time.sleep(max(0.0, started + at - time.monotonic()))
                    ticks = round(shift / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    packet.stream = stream
                    out.mux(packet)
            shift += LOOP


def untrained(folder: Path) -> Path:
    backbone = load_backbone("mobilenetv2_100", image_size=224, **weights_of("mobilenetv2_100"))
    sampling = Sampling()
    labels = [f"action {number}" for number in range(5)]
    head = build_head(
        "transformer",
        token_dim=sampling.token_dim(backbone.feature_dim),
        num_classes=len(labels),
        num_frames=sampling.num_frames,
        options={},
    )
    recognizer = Recognizer(
        labels=labels,
        extractor=Extractor(backbone, fps=4.0, cache=FeatureCache()),
        sampling=sampling,
        head=head,
        head_name="transformer",
        head_options={},
    )
    recognizer.save(folder)
    return folder


def watch_for(seconds: float, model: Path, path: Path) -> dict:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    sender = subprocess.Popen(
        [sys.executable, __file__, "--send", str(path), f"{url}?listen=1", str(seconds + 60)], stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(3)  # the camera is there before somebody watches
        words = [sys.executable, "-c", CHILD, str(model), url, str(seconds), str(time.time())]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        sender.kill()
        sender.wait()
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of stream; the first run is always 10 s, to compile and warm up"
    )
    parser.add_argument("--send", nargs=3, metavar=("FILE", "URL", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        send(*given.send)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = untrained(Path(folder) / "model")
        path = camera_file(Path(tempfile.gettempdir()) / "gerund-bench-camera.mp4")
        watch_for(10.0, model, path)
        told = watch_for(given.seconds, model, path)
    rows = told["rows"]
    latencies = sorted(1e3 * row[2] for row in rows)
    warm = [row[3] for row in rows if row[1] >= min(60.0, given.seconds / 4)]
    low, high = statistics.median(warm[:20]), max(warm)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rows[-1][1]:.0f} s of stream, {len(rows)} looks")
    print(
        f"latency p50 {latencies[len(latencies) // 2]:.0f} ms, p95 {latencies[int(0.95 * len(latencies))]:.0f} ms, most {latencies[-1]:.0f} ms"
    )
    start = told["import"] + rows[0][0]
    print(
        f"first label {rows[0][0]:.1f} s after the call, {start:.1f} s after the process began, {rows[0][4]:.1f} s of processor time"
    )
    print(f"dropped {told['dropped']} of {told['dropped'] + len(rows)} frames that were due")
    print(f"memory {low:.0f} MB when warm, at most {high:.0f} MB after that, {warm[-1]:.0f} MB at the end")


if __name__ == "__main__":
    main()
