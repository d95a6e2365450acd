"""Sends an MPEG-TS stream of simple pictures: `python sending.py TARGET STEP...`, each step done at the pace of 25 frames per second.

Steps: `night:50` or `day:50` (that many frames), `size:96x64`, `garbage` (packets of noise), `wait` (for a line on standard input),
`again` (close the connection and offer it anew).
"""

from __future__ import annotations

import random
import sys
import time
from fractions import Fraction

import av
import numpy as np

FPS = 25
OPTIONS = {"tune": "zerolatency", "preset": "ultrafast", "g": "10"}
BAR = {"day": 0, "background": 1, "night": 2}
"""In which third of the picture, from the top, a bright bar lies."""


def picture(label: str, count: int, height: int, width: int) -> np.ndarray:
    """The bar of a label over a ramp that wanders: (height, width, 3) uint8."""
    grey = np.broadcast_to(np.roll(np.linspace(40, 80, width), count % width), (height, width)).copy()
    grey[BAR[label] * height // 3 : (BAR[label] + 1) * height // 3] += 140
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def encoder(width: int, height: int) -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate, context.options = Fraction(1, FPS), Fraction(FPS), OPTIONS
    return context


class Sender:
    def __init__(self, target: str) -> None:
        self.target = target
        self.count = 0
        self.started: float | None = None
        self.size = (64, 48)
        self.open()

    def open(self) -> None:
        self.container = av.open(self.target, "w", format="mpegts")
        self.stream = self.container.add_stream("libx264", rate=FPS, options=OPTIONS)
        self.stream.width, self.stream.height, self.stream.pix_fmt = *self.size, "yuv420p"
        self.encoder = encoder(*self.size)

    def mux(self, packet: av.Packet) -> None:
        packet.stream = self.stream
        self.container.mux(packet)

    def frames(self, label: str, number: int) -> None:
        width, height = self.size
        for _ in range(number):
            self.started = time.monotonic() - self.count / FPS if self.started is None else self.started
            time.sleep(max(0.0, self.started + self.count / FPS - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(picture(label, self.count, height, width))
            frame.pts, frame.time_base = self.count, Fraction(1, FPS)
            for packet in self.encoder.encode(frame):
                self.mux(packet)
            self.count += 1

    def do(self, step: str) -> None:
        kind, _, value = step.partition(":")
        if kind in BAR:
            self.frames(kind, int(value))
        elif kind == "size":
            self.size = tuple(map(int, value.split("x")))
            self.encoder = encoder(*self.size)
        elif kind == "garbage":
            for _ in range(5):
                packet = av.Packet(random.Random(self.count).randbytes(700))
                packet.pts = packet.dts = self.count
                packet.time_base = Fraction(1, FPS)
                self.count += 1
                self.mux(packet)
        elif kind == "wait":
            sys.stdin.readline()
            self.started = None
        elif kind == "again":
            self.container.close()
            self.open()
            self.started = None


if __name__ == "__main__":
    sender = Sender(sys.argv[1])
    for each in sys.argv[2:]:
        sender.do(each)
    sender.container.close()
