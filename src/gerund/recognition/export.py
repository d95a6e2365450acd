"""A model as two plain graphs, backbone and head, that run without torch; written only when they give the model's own answers."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gerund import video
from gerund.backbones import Backbone
from gerund.backbones.quantize import check_nncf, full_batches, quantized_graph
from gerund.core import options
from gerund.core.errors import DataError, GerundError, ModelError, UsageError
from gerund.core.files import remove, whole_folder
from gerund.core.progress import note, progress
from gerund.core.types import Clip, Features
from gerund.data.manifest import of_split, read_manifest
from gerund.features.extractor import Extractor, calibration_frames
from gerund.recognition import runtime
from gerund.recognition.evaluate import recorded_manifest
from gerund.recognition.metrics import topk_accuracy
from gerund.recognition.predict import expand
from gerund.recognition.recognizer import Recognizer, sha256
from gerund.recognition.runs import check_free
from gerund.recognition.runtime import ExportedModel, Network

TOLERANCE = 1e-3
"""Largest difference of a probability between the model in f32 and what is exported."""
PARITY_CLIPS, ACCURACY_CLIPS = 16, 500
"""At most so many clips are compared; for int8, whose accuracy is measured, more."""
FILES = {name: files for name, (files, _) in runtime.OPENERS.items()} | {"torch": ("backbone.pt2", "head.pt2")}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Probabilities (N, K) of the same clips: `expected` from the model in f32, `found` from what was exported."""

    clips: list[Clip]
    labels: list[str]
    expected: np.ndarray
    found: np.ndarray

    @property
    def differences(self) -> np.ndarray:
        """Of each clip, the largest difference of a probability (N,)."""
        return np.abs(self.expected - self.found).max(1)

    @property
    def same_label(self) -> float:
        """Share of clips with the same likeliest label."""
        return float((self.expected.argmax(1) == self.found.argmax(1)).mean())

    def accuracies(self) -> tuple[float, float] | None:
        """Top-1 of the model and of what was exported, on the clips whose label is known; None when there are none."""
        known = [index for index, clip in enumerate(self.clips) if clip.label in self.labels]
        if not known:
            return None
        targets = np.array([self.labels.index(str(self.clips[index].label)) for index in known])
        return topk_accuracy(self.expected[known], targets, 1), topk_accuracy(self.found[known], targets, 1)


@dataclass(frozen=True, kw_only=True)
class Export:
    """A written export: its folder, format, precision (f32 or int8), size in bytes, and how its answers compare with the model's."""

    folder: Path
    format: str
    precision: str
    size: int
    comparison: Comparison

    @property
    def values(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        accuracies = self.comparison.accuracies()
        return {
            "folder": str(self.folder),
            "format": self.format,
            "precision": self.precision,
            "bytes": self.size,
            "clips": len(self.comparison.clips),
            "max_difference": float(self.comparison.differences.max()),
            "same_label": self.comparison.same_label,
            "top1_model": accuracies[0] if accuracies else None,
            "top1_exported": accuracies[1] if accuracies else None,
        }


def export(
    model: options.ModelPath,
    out: options.ExportFolder,
    *,
    format_: options.ExportFormat = "onnx",
    int8: options.Int8 = False,
    check: options.CheckClips | None = None,
    cache: options.CacheFolder | None = None,
) -> Export:
    """Write a model as graphs for other runtimes, checked to give its answers in f32 on real clips.

    The backbone maps frames (N, 3, H, W) uint8 to features (N, D), the head tokens (B, T, D') and valid (B, T) to logits (B, K); N and
    B are free, T is free up to the model's num_frames. Raises ModelError, and leaves nothing behind, when a probability is off by
    more than 0.001; int8 is not held to that, its accuracy is measured.

    Each argument is explained in `gerund.core.options`, and by `gerund export --help`.
    """
    if format_ not in FILES:
        raise UsageError(f"--format {format_}: choose one of {', '.join(FILES)}")
    if int8 and format_ != "openvino":
        raise UsageError(f"--int8 needs --format openvino (here: {format_})")
    if int8:
        check_nncf()
    check_free(out)
    recognizer = in_f32(model, cache)
    clips = expand(check) if check else recorded(model)
    try:
        with whole_folder(out) as partial:
            noise = partial / "noise"
            clips = clips or noise_clips(noise)
            calibration = full_batches(calibration_frames(recognizer.backbone, paths_of(clips, "train"))) if int8 else None
            write_graphs(recognizer, partial, format_, calibration)
            comparison = compared(recognizer, opened(partial), held_out(clips, ACCURACY_CLIPS if int8 else PARITY_CLIPS))
            if not int8:
                refuse_other_answers(comparison, out)
            remove(noise)
            done = Export(
                folder=out,
                format=format_,
                precision="int8" if int8 else "f32",
                size=sum(file.stat().st_size for file in partial.iterdir()),
                comparison=comparison,
            )
            (partial / "README.md").write_text(card(done), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{out}: cannot be written ({error.strerror or error}); choose another place") from None
    return done


def refuse_other_answers(comparison: Comparison, out: Path) -> None:
    worst = int(comparison.differences.argmax())
    difference = comparison.differences[worst]
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{out}: not written, since the exported model gives other answers: on {comparison.clips[worst].path} a probability is "
            f"off by {difference:.4f}, allowed is {TOLERANCE:g}; try another --format"
        )


def in_f32(model: str | Path, cache: Path | None) -> Recognizer:
    """The recogniser with its backbone in f32, whatever precision it was trained in: what an export is measured against."""
    recognizer = Recognizer.load(model, device="cpu", cache=cache)
    seen = recognizer.extractor
    exact = Extractor(seen.backbone, fps=seen.spec.fps, cache=seen.cache, device="cpu", precision="f32")
    return replace(recognizer, extractor=exact)


def recorded(model: str | Path) -> list[Clip]:
    """The clips recorded beside a model, as far as their videos are still there."""
    manifest = recorded_manifest(model)
    return [clip for clip in read_manifest(manifest) if clip.path.exists()] if manifest else []


def paths_of(clips: Sequence[Clip], split: str) -> list[Path]:
    """The videos of one split, or of all clips when none belongs to it."""
    return [clip.path for clip in of_split(clips, split) or clips]


def held_out(clips: Sequence[Clip], at_most: int) -> list[Clip]:
    """Some of the test clips, or of all when none is marked, spread over the list."""
    chosen = of_split(clips, "test") or list(clips)
    return [chosen[index] for index in np.linspace(0, len(chosen) - 1, min(at_most, len(chosen))).round().astype(int)]


def noise_clips(folder: Path) -> list[Clip]:
    """Videos of noise, for a model without clips: every graph can be compared on them, though they look like nothing."""
    note("No clips are recorded with this model; the answers are compared on videos of noise. Better: your own, with --check")
    random = np.random.default_rng(0)
    folder.mkdir()
    clips = []
    for index, num_frames in enumerate((40, 25, 8, 3)):
        coarse = random.integers(0, 256, (num_frames, 15, 20, 3), dtype=np.uint8)
        pictures = coarse.repeat(16, axis=1).repeat(16, axis=2)
        clips.append(Clip(path=folder / f"noise{index}.mp4"))
        video.write(clips[-1].path, iter(pictures), fps=25)
    return clips


class FromBytes(nn.Module):
    """A backbone that takes frames (N, 3, H, W) uint8 as decoded and normalises them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.module = backbone.module
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(1, -1, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(1, -1, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.module((frames.float() - self.mean) / self.std).float()


class AtFullLength(nn.Module):
    """A head that sees tokens (B, T, D) of any T up to `num_frames` padded to that length, which changes no answer of a head.

    So what is inside has one length: whether an exporter can follow a loop over time of free length (an LSTM's, say) differs from
    one version of torch to the next.
    """

    def __init__(self, head: nn.Module, num_frames: int) -> None:
        super().__init__()
        self.head, self.num_frames = head, num_frames

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        steps = torch.arange(self.num_frames, device=x.device)
        filled = steps.clamp(
            max=x.shape[1] - 1
        )  # the last step again and again, not valid; how much is missing is never computed
        return self.head(x[:, filled], valid[:, filled] & (steps < x.shape[1]))


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A module to export: an example of its inputs, their names with the sizes that are free, and for int8 frames to calibrate on."""

    name: str
    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: dict[str, dict[int, Any]]
    output: str
    calibration: np.ndarray | None = None


def graphs(recognizer: Recognizer, calibration: np.ndarray | None) -> list[Graph]:
    resize, sampling = recognizer.backbone.resize, recognizer.sampling
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=1, max=sampling.num_frames)
    steps = max(1, sampling.num_frames // 2)
    free = {0: batch, 1: time} if sampling.num_frames > 1 else {0: batch}
    valid = torch.ones(3, steps, dtype=torch.bool)
    return [
        Graph(
            name="backbone",
            module=FromBytes(recognizer.backbone).eval(),
            example=(torch.zeros(2, 3, resize.height, resize.width, dtype=torch.uint8),),
            inputs={"frames": {0: batch}},
            output="features",
            calibration=calibration,
        ),
        Graph(
            name="head",
            module=AtFullLength(recognizer.head, sampling.num_frames).eval(),
            example=(torch.zeros(3, steps, sampling.token_dim(recognizer.backbone.feature_dim)), valid),
            inputs={"x": free, "valid": free},
            output="logits",
        ),
    ]


def write_graphs(recognizer: Recognizer, folder: Path, format_: str, calibration: np.ndarray | None) -> None:
    """Both graphs and config.json; with frames to calibrate on, the backbone in int8."""
    for graph in graphs(recognizer, calibration):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of what is its own affair
                WRITERS[format_](graph, folder)
        except ImportError as error:
            raise UsageError(f"--format {format_} needs the package {error.name}; pip install 'gerund[export]'") from None
        except GerundError:
            raise
        except Exception as error:  # the exporters document no exception types
            line = (str(error).strip().splitlines() or [""])[0]
            name = f"{recognizer.backbone.name} with head {recognizer.head_name}: the {graph.name}"
            raise ModelError(f"{name} cannot be exported as {format_} ({type(error).__name__}: {line})") from error
    familiarity = recognizer.familiarity
    if familiarity is not None:
        arrays: dict[str, Any] = familiarity.tensors()
        np.savez(folder / runtime.FAMILIARITY, **arrays)
    files = (*FILES[format_], *([runtime.FAMILIARITY] if familiarity is not None else []))
    config = {
        "format": runtime.FORMAT,
        "format_version": runtime.FORMAT_VERSION,
        "network": format_,
        "precision": "f32" if calibration is None else "int8",
        "labels": recognizer.labels,
        "features": {"fps": recognizer.extractor.spec.fps, "resize": asdict(recognizer.backbone.resize)},
        "sampling": asdict(recognizer.sampling),
        "temperature": recognizer.temperature,
        "files": {name: sha256(folder / name) for name in files},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_torch(graph: Graph, folder: Path) -> None:
    """An archive without a pickle in it: the example, which torch would pickle, is left out."""
    program = torch.export.export(graph.module, graph.example, dynamic_shapes=graph.inputs)
    program.example_inputs = None
    torch.export.save(program, folder / f"{graph.name}.pt2")


def write_onnx(graph: Graph, folder: Path) -> None:
    import onnxscript  # noqa: F401  (torch needs it, and would say so in its own words)

    program = torch.onnx.export(
        graph.module,
        graph.example,
        dynamo=True,
        dynamic_shapes=graph.inputs,
        input_names=list(graph.inputs),
        output_names=[graph.output],
        verbose=False,
    )
    assert program is not None
    program.save(folder / f"{graph.name}.onnx", external_data=False)


def write_openvino(graph: Graph, folder: Path) -> None:
    """By way of ONNX, so that both formats hold the same graph."""
    import openvino as ov

    with tempfile.TemporaryDirectory(dir=folder) as between:
        write_onnx(graph, Path(between))
        model = ov.convert_model(Path(between) / f"{graph.name}.onnx")
        if graph.calibration is not None:
            model = quantized_graph(model, graph.calibration)
        ov.save_model(model, folder / f"{graph.name}.xml", compress_to_fp16=False)


WRITERS: dict[str, Callable[[Graph, Path], None]] = {"onnx": write_onnx, "openvino": write_openvino, "torch": write_torch}


def opened(folder: Path) -> ExportedModel:
    """What was just written, as its user will run it."""
    config = runtime.read_config(folder)
    if config["network"] in runtime.OPENERS:
        return runtime.load(folder)
    return ExportedModel(config, open_torch(folder / "backbone.pt2"), open_torch(folder / "head.pt2"))


def open_torch(path: Path) -> Network:
    """Only for a file of our own making: torch's loader trusts what it reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()

    def run(*arrays: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return module(*(torch.from_numpy(array) for array in arrays)).numpy()

    return run


def compared(recognizer: Recognizer, exported: ExportedModel, clips: Sequence[Clip]) -> Comparison:
    """The answers of both for the same clips. Raises DataError when none of the clips can be decoded."""
    expected, errors = recognizer.scores(recognizer.extractor.extract(clip.path for clip in clips), clips)
    found = np.full_like(expected, np.nan)
    seen: dict[Path, Features] = {}
    with progress("Comparing answers", len(clips), "clips") as bar:
        for index, clip in enumerate(clips):
            if index not in errors:
                if clip.path not in seen:
                    seen = {clip.path: exported.features(clip.path)}  # clips of one video stand together in a manifest
                found[index] = exported.scores(seen[clip.path], clip)
            bar.advance()
    good = [index for index in range(len(clips)) if index not in errors]
    if not good:
        raise DataError(f"none of the clips to compare on can be decoded, first: {errors[0]}")
    return Comparison(
        clips=[clips[index] for index in good], labels=recognizer.labels, expected=expected[good], found=found[good]
    )


def card(done: Export) -> str:
    """README.md of an exported model."""
    values = done.values
    inputs = "frames (N, 3, H, W) uint8 RGB in, features (N, D) out", "tokens (B, T, D) and valid (B, T) in, logits (B, K) out"
    backbone, head = FILES[done.format][:2]
    use = (
        "With gerund.recognition.runtime (numpy, PyAV and the engine only): `python -m gerund.recognition.runtime THIS_FOLDER video.mp4`."
        if done.format in runtime.OPENERS
        else "Load with `torch.export.load`, which trusts the file: only what you exported yourself."
    )
    return f"""# Action recogniser exported by gerund ({done.format}, {done.precision})

{use}

- `{backbone}`: {inputs[0]}
- `{head}`: {inputs[1]}
- `config.json`: labels, frame rate and size, how tokens are made (`gerund.features.tokens.tokens`), the temperature of the logits, checksums

Compared with the model in f32 on {values["clips"]} clips: largest difference of a probability {values["max_difference"]:.1e},
same label for {100 * values["same_label"]:.1f} %.
"""
