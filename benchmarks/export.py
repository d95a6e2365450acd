"""Exported models: how far their answers are from the model's, how long a cold start takes without torch, what has to be installed."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from clips import clips_folder, weights_of
from packaging.requirements import Requirement

import gerund
from gerund.core import progress
from gerund.core.types import Clip

BACKBONES = {"mobilenetv2_100": 224, "resnet18": 112, "densenet121": 128}
HEADS = ("prototype", "transformer", "bilstm", "mean")
LIGHT = ("numpy", "av", "onnxruntime")
FORMATS: tuple[Literal["onnx", "openvino", "torch"], ...] = ("onnx", "openvino", "torch")
PREDICT = "from gerund.cli.app import main; main()"


def trained(backbone: str, head: str, folder: Path, clips: list[Clip]) -> Path:
    options: dict[str, Any] = {"image_size": BACKBONES[backbone], "precision": "f32", "epochs": 5, **weights_of(backbone)}
    return gerund.train(
        clips, backbone=backbone, head=head, out=folder / f"{backbone}-{head}", cache=folder / "cache", **options
    ).run


def parity(folder: Path, clips: list[Clip]) -> None:
    """Every head as ONNX; the other formats, whose heads are the same graphs, with the first."""
    print("largest difference of a probability between the model in f32 and the exported one:")
    for backbone in BACKBONES:
        for head in HEADS:
            run = trained(backbone, head, folder, clips)
            for format_ in FORMATS if head == HEADS[0] else FORMATS[:1]:
                values = gerund.export(run, run / format_, format_=format_, cache=folder / "cache").values
                same = f"same label for {100 * values['same_label']:.0f} % of {values['clips']} clips"
                print(
                    f"{backbone:16s} {head:12s} {format_:9s} {values['max_difference']:.1e}  {same}  {values['bytes'] / 1e6:.0f} MB",
                    flush=True,
                )


def cold_start(folder: Path, paths: list[Path]) -> None:
    """Both ways for the same new clips, in turn; what is compiled once per machine has been."""
    run = folder / f"mobilenetv2_100-{HEADS[0]}"
    ways = {
        "runtime": [sys.executable, "-m", "gerund.recognition.runtime", str(run / "onnx")],
        "full install": [sys.executable, "-c", PREDICT, "predict", str(run)],
    }
    environment = os.environ | {"GERUND_CACHE": str(folder / "cold")}
    waits: dict[str, list[float]] = {name: [] for name in ways}
    works: dict[str, list[float]] = {name: [] for name in ways}
    for number, path in enumerate(paths):
        for name, words in ways.items():
            before, started = os.times(), time.perf_counter()
            subprocess.run([*words, str(path)], check=True, capture_output=True, env=environment)
            after, waited = os.times(), time.perf_counter() - started
            if number:
                waits[name].append(waited)
                works[name].append(after.children_user + after.children_system - before.children_user - before.children_system)
    print(
        f"cold process to printed label, median of {len(paths) - 1} new clips, load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores:"
    )
    for name in ways:
        print(
            f"  {name:12s} {statistics.median(waits[name]):.2f} s (best {min(waits[name]):.2f}), {statistics.median(works[name]):.2f} s of processor"
        )


def closure(names: tuple[str, ...] | list[str]) -> set[str]:
    """The distributions installed here that these need, with themselves."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        parsed = [Requirement(each) for each in needs]
        waiting += [each.name for each in parsed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def installed_megabytes(names: set[str]) -> float:
    files = (file.locate() for name in names for file in distribution(name).files or [])
    return sum(Path(str(file)).stat().st_size for file in files if Path(str(file)).is_file()) / 1e6


def sizes() -> None:
    full = [Requirement(each) for each in distribution("gerund").requires or []]
    everything = closure([each.name for each in full if each.marker is None])
    light = closure(LIGHT)
    print(f"installed: runtime {installed_megabytes(light):.0f} MB in {len(light)} packages ({', '.join(sorted(light))})")
    print(f"           full    {installed_megabytes(everything):.0f} MB in {len(everything)} packages")


def main() -> None:
    progress.quiet = True
    sizes()
    paths = clips_folder()
    clips = [Clip(path=path, label=path.parent.name, group=path.stem.rpartition("_")[0]) for path in paths[::12]]
    with tempfile.TemporaryDirectory() as folder:
        parity(Path(folder), clips)
        used = {clip.path for clip in clips}
        cold_start(Path(folder), [path for path in paths if path not in used][:70:10])


if __name__ == "__main__":
    main()
