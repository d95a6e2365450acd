"""Frames a second of an embedded network in each precision, on the instruction sets that this processor has or can be limited to.

    python benchmarks/precision.py [--backbone lite] [--seconds 5]

Each row is a process of its own: oneDNN, which OpenVINO computes with, is told by ONEDNN_MAX_CPU_ISA to use nothing newer. What a limit really
changed is read from the kernels of the compiled network, which the table names; where they are those of another row, nothing was simulated. The
int8 copy is calibrated on noise, which is enough for its speed. Rows are measured in turn, `--rounds` times.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from gerund.backbones import load_backbone
from gerund.backbones.base import Backbone
from gerund.backbones.engines import OpenVinoEngine, core, openvino_file, resolve_precision
from gerund.backbones.quantize import quantize

LIMITS = ("SSE41", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "DEFAULT")
PICTURES = 32


def child(name: str, precision: str, seconds: float) -> None:
    """Print how many frames a second both cores see, and the kernels of the convolutions."""
    backbone = load_backbone(name)
    size = backbone.resize
    frames = np.random.default_rng(0).integers(0, 256, (PICTURES, size.height, size.width, 3), dtype=np.uint8)
    if precision == "int8":
        backbone, _ = quantize(backbone, frames)
    engine = OpenVinoEngine(backbone, precision=precision, batch_size=16)
    batch = frames[:16]
    engine.submit(batch, lambda _: None)
    engine.drain()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(4):
            engine.submit(batch, lambda _: None)
        count += 4 * len(batch)
    engine.drain()
    rate = count / (time.perf_counter() - started)
    print(json.dumps({"rate": rate, "kernels": kernels(backbone, precision)}))


def kernels(backbone: Backbone, precision: str) -> str:
    source = backbone.quantized if precision == "int8" else openvino_file(backbone, 16)
    rest = resolve_precision("auto", "cpu") if precision == "int8" else precision
    graph = core().compile_model(source, "CPU", {"INFERENCE_PRECISION_HINT": rest}).get_runtime_model()
    types = collections.Counter(
        str(node.get_rt_info()["primitiveType"].astype(str))
        for node in graph.get_ops()
        if "Convolution" in node.get_rt_info()["layerType"].astype(str)
    )
    return ", ".join(f"{name} {number}" for name, number in types.most_common(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="lite")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.backbone, given.child, given.seconds)
        return
    precisions = ["f32", "int8", *(["bf16"] if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else [])]
    rates: dict[tuple[str, str], list[float]] = collections.defaultdict(list)
    said = {}
    for _ in range(given.rounds):
        for limit in LIMITS:
            for precision in precisions:
                words = [sys.executable, __file__, *sys.argv[1:], "--child", precision]
                done = subprocess.run(
                    words, env=os.environ | {"ONEDNN_MAX_CPU_ISA": limit}, capture_output=True, text=True, check=True
                )
                answer = json.loads(done.stdout.splitlines()[-1])
                rates[limit, precision].append(answer["rate"])
                said[limit, precision] = answer["kernels"]
    print("| limit | precision | frames/s | times f32 of the row | kernels of the convolutions |\n|---|---|---|---|---|")
    for (limit, precision), found in rates.items():
        ratio = statistics.median(np.array(found) / np.array(rates[limit, "f32"]))
        print(f"| {limit} | {precision} | {statistics.median(found):.0f} | {ratio:.2f} | {said[limit, precision]} |")


if __name__ == "__main__":
    main()
