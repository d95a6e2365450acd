"""A model, or its backbone alone, for other programs and other machines; written only when what is written gives the same answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund import video
from gerund.backbones import load_backbone
from gerund.backbones.engines import BATCH_SIZE
from gerund.backbones.quantize import check_nncf, cosines, full_batches
from gerund.core import options
from gerund.core.errors import BackboneError, DataError, ModelError, UsageError, needs
from gerund.core.files import remove, scratch, whole_folder
from gerund.core.printing import percent
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Clip, Features
from gerund.data.manifest import of_split, read_manifest
from gerund.features.extractor import Extractor, calibration_frames
from gerund.features.tokens import as_stored, on_screen, tokens
from gerund.recognition.evaluate import recorded_manifest
from gerund.recognition.folder import EXPORTED_FILES, find_model
from gerund.recognition.metrics import topk_accuracy
from gerund.recognition.predict import expand
from gerund.recognition.recognizer import Recognizer, softmax
from gerund.recognition.runs import check_free
from gerund.video.pool import Reading, frames_of

if TYPE_CHECKING:
    from gerund.recognition.graphs import Network

EXPORT_FORMATS = (*EXPORTED_FILES, "gerund")
LEAST_COSINE = 0.9999
"""Between the features of a backbone in f32 and those of its graph."""
TOLERANCE = 1e-3
"""Largest difference of a probability between the model in f32 and what is exported."""
MAX_DROP = 0.02
"""By how much top-1 may fall with an int8 backbone, unless it is said otherwise."""
PARITY_CLIPS, ACCURACY_CLIPS = 16, 500
"""At most so many clips are compared; for int8, whose accuracy is measured, more."""


@dataclass(frozen=True, kw_only=True)
class Parity:
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

    @property
    def values(self) -> dict[str, Any]:
        accuracies = self.accuracies()
        return {
            "clips": len(self.clips),
            "max_difference": float(self.differences.max()),
            "same_label": self.same_label,
            "top1_model": accuracies[0] if accuracies else None,
            "top1_exported": accuracies[1] if accuracies else None,
        }

    def as_text(self) -> Iterator[str]:
        found = self.values
        yield (
            f"Compared with the model in f32 on {found['clips']} clips: largest difference of a probability "
            f"{found['max_difference']:.1e}, same label for {percent(found['same_label'])}"
        )
        if found["top1_model"] is not None:
            drop = found["top1_model"] - found["top1_exported"]
            yield f"Top-1: model {percent(found['top1_model'])}, exported {percent(found['top1_exported'])}, drop {percent(drop)}"


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Cosines (N,) between a backbone's features in f32 and those of what was exported, of the same pictures."""

    backbone: str
    feature_dim: int
    cosines: np.ndarray

    @property
    def values(self) -> dict[str, Any]:
        return {"backbone": self.backbone, "feature_dim": self.feature_dim, "least_cosine": float(self.cosines.min())}

    def as_text(self) -> Iterator[str]:
        least = f"least cosine of its {self.feature_dim} features {self.cosines.min():.6f}"
        yield f"Compared with {self.backbone} in f32 on {len(self.cosines)} pictures of noise: {least}"


@dataclass(frozen=True, kw_only=True)
class Export(Printable):
    """What was written: its folder (of a backbone alone its file), format, precision (f32 or int8), size in bytes, and how alike it answers."""

    folder: Path
    format: str
    precision: str
    size: int
    comparison: Parity | Likeness

    @property
    def values(self) -> dict[str, Any]:
        """Plain values, as `--json` prints them."""
        written = {"folder": str(self.folder), "format": self.format, "precision": self.precision, "bytes": self.size}
        return written | self.comparison.values

    def as_json(self) -> dict[str, Any]:
        return self.values

    def as_text(self) -> Iterator[str]:
        yield f"{self.folder}: {self.format}, {self.precision}, {self.size / 1e6:.1f} MB"
        yield from self.comparison.as_text()
        if isinstance(self.comparison, Likeness):
            yield f"It runs without torch, and {self.folder.with_suffix('.json').name} beside it belongs to it."
            yield from ("", f"Next: gerund train DATA --backbone {self.folder}")
        elif self.format == "gerund":
            yield from ("", f"Next: gerund predict {self.folder} VIDEO")
        elif self.format == "onnx":
            yield from ("", f"Next: examples/onnx_alone.py names actions with {self.folder} and onnxruntime, without gerund")


def export(
    model: options.ExportedModel,
    out: options.ExportFolder,
    *,
    format_: options.ExportFormat = "onnx",
    int8: options.Int8 = False,
    max_drop: options.MaxDrop = MAX_DROP,
    check: options.CheckClips | None = None,
    backbone_only: options.BackboneOnly = False,
    weights: options.Weights | None = None,
    cache: options.CacheFolder | None = None,
) -> Export:
    """Write a model as graphs for other runtimes, checked to give its answers in f32 on real clips.

    The backbone maps frames (N, 3, H, W) uint8 to features (N, D), the head tokens (B, T, D') and valid (B, T) to logits (B, K); N and
    B are free, T is free up to the model's num_frames. Raises ModelError, and leaves nothing behind, when a probability is off by
    more than 0.001; int8 is not held to that, but its top-1 on labelled clips may not fall by more than `max_drop`.

    Each argument is explained in `gerund.core.options`, and by `gerund export --help`.
    """
    out = Path(out)
    if backbone_only:
        return exported_backbone(str(model), out, weights)
    if weights is not None:
        raise UsageError(f"--weights {weights}: a model has its own; the option goes with --backbone-only")
    if format_ not in EXPORT_FORMATS:
        raise UsageError(f"--format {format_}: choose one of {', '.join(EXPORT_FORMATS)}")
    if int8 and format_ != "openvino":
        raise UsageError(f"--int8 needs --format openvino (here: {format_})")
    if not 0 <= max_drop <= 1:
        raise UsageError(f"--max-drop {max_drop:g}: a share from 0 to 1 is needed")
    if int8:
        check_nncf()
    if format_ != "gerund":
        check_exporter()
    check_free(out)
    recognizer = in_f32(model, cache)
    clips = expand(check) if check else recorded(model)
    try:
        with whole_folder(out) as folder:
            noise = folder / "noise"
            clips = clips or noise_clips(noise)
            calibration = full_batches(calibration_frames(recognizer.backbone, paths_of(clips, "train"))) if int8 else None
            judge = (
                rewritten(model, folder, cache) if format_ == "gerund" else as_graphs(recognizer, folder, format_, calibration)
            )
            comparison = compared(recognizer, judge, held_out(clips, ACCURACY_CLIPS if int8 else PARITY_CLIPS))
            if int8:
                refuse_drop(comparison, out, max_drop)
            else:
                refuse_other_answers(comparison, out)
            remove(noise)
            done = Export(
                folder=out,
                format=format_,
                precision="int8" if int8 else "f32",
                size=sum(file.stat().st_size for file in folder.iterdir()),
                comparison=comparison,
            )
            if format_ != "gerund":
                (folder / "README.md").write_text(card(done), encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{out}: cannot be written ({error.strerror or error}); choose another place") from None
    return done


Judge = Callable[[Sequence[Clip]], np.ndarray]
"""Probabilities (N, K) of clips by what was written."""


def as_graphs(recognizer: Recognizer, folder: Path, format_: str, calibration: np.ndarray | None) -> Judge:
    """Write a model as graphs."""
    from gerund.recognition.graphs import reopened, write_graphs

    write_graphs(recognizer, folder, format_, calibration)
    return partial(judged_by_graphs, recognizer, *reopened(folder, format_))


def rewritten(model: str | Path, folder: Path, cache: str | Path | None) -> Judge:
    """Write a model as a folder of today's format, whatever format it has, with its own card."""
    own = find_model(model) / "README.md"
    card = own.read_text(encoding="utf-8") if own.is_file() else ""
    Recognizer.load(model, device="cpu", cache=cache).write(folder, True, card)
    again = in_f32(folder, cache)

    return lambda clips: again.scores(again.extractor.extract(clip.path for clip in clips), clips)[0]


def exported_backbone(name: str, out: Path, weights: str | Path | None) -> Export:
    """Write a backbone alone, as a file .onnx or .xml with a .json beside it. Raises BackboneError for one that the file does not give back."""
    if out.suffix not in (".onnx", ".xml"):
        raise UsageError(f"{out}: with --backbone-only, name a file .onnx or .xml to write")
    if out.exists():
        raise UsageError(f"{out}: exists; choose another name")
    check_exporter()
    from gerund.recognition.graphs import write_backbone_alone

    backbone = load_backbone(name, weights=weights)
    if backbone.window > 1:
        raise UsageError(f"--backbone-only: {name} sees windows of frames, and a graph is for single pictures")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch(out) as folder:
        write_backbone_alone(backbone, folder / out.name)
        again = load_backbone(str(folder / out.name))
        resize = backbone.resize
        frames = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, resize.height, resize.width, 3), dtype=np.uint8)
        similar = cosines(backbone, again, frames)
        if not similar.min() >= LEAST_COSINE:
            least = f"cosine {similar.min():.4f}"
            raise BackboneError(f"{out}: not written, since it gives other features than {name} ({least}); try .xml or .onnx")
        written = sorted(
            folder.glob(f"{out.stem}.*"), key=lambda path: path.suffix == out.suffix
        )  # the graph, and then all is there
        for path in written:
            path.replace(out.with_suffix(path.suffix))
    size = sum(out.with_suffix(path.suffix).stat().st_size for path in written)
    comparison = Likeness(backbone=backbone.name, feature_dim=backbone.feature_dim, cosines=similar)
    return Export(folder=out, format=out.suffix[1:], precision="f32", size=size, comparison=comparison)


def refuse_drop(comparison: Parity, out: Path, most: float) -> None:
    """Raise ModelError where top-1 falls by more than `most`; without labelled clips, where more than that share has another likeliest label."""
    accuracies = comparison.accuracies()
    drop = accuracies[0] - accuracies[1] if accuracies else 1 - comparison.same_label
    if drop > most + 1e-9:
        what = f"top-1 falls by {percent(drop)}" if accuracies else f"{percent(drop)} of the clips get another label"
        raise ModelError(
            f"{out}: not written, since in int8 {what} ({len(comparison.clips)} clips), more than --max-drop {most:g}; calibrate on more clips "
            "(--check), allow more, or export without --int8"
        )


def check_exporter() -> None:
    """Raise UsageError where graphs cannot be written."""
    with needs("torch", "onnx", "gerund export writes graphs by way of torch"):
        import gerund.recognition.graphs  # noqa: F401


def refuse_other_answers(comparison: Parity, out: Path) -> None:
    worst = int(comparison.differences.argmax())
    difference = comparison.differences[worst]
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{out}: not written, since the exported model gives other answers: on {comparison.clips[worst].path} a probability is "
            f"off by {difference:.4f}, allowed is {TOLERANCE:g}; try another --format"
        )


def in_f32(model: str | Path, cache: str | Path | None) -> Recognizer:
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


def compared(recognizer: Recognizer, judge: Judge, clips: Sequence[Clip]) -> Parity:
    """The answers of both for the same clips. Raises DataError when none of the clips can be decoded."""
    expected, errors = recognizer.scores(recognizer.extractor.extract(clip.path for clip in clips), clips)
    good = [index for index in range(len(clips)) if index not in errors]
    if not good:
        raise DataError(f"none of the clips to compare on can be decoded, first: {errors[0]}")
    found = judge([clips[index] for index in good])
    return Parity(clips=[clips[index] for index in good], labels=recognizer.labels, expected=expected[good], found=found)


def judged_by_graphs(recognizer: Recognizer, backbone: Network, head: Network, clips: Sequence[Clip]) -> np.ndarray:
    """Probabilities (N, K) by two graphs, from the pictures on, with what gerund does between them."""
    seen: dict[Path, Features] = {}
    found = np.empty((len(clips), len(recognizer.labels)))
    with progress("Comparing answers", len(clips), "clips") as bar:
        for index, clip in enumerate(clips):
            if clip.path not in seen:
                seen = {
                    clip.path: features_by(backbone, recognizer, clip.path)
                }  # clips of one video stand together in a manifest
            data, valid = (part[None] for part in tokens(seen[clip.path], clip, recognizer.sampling))
            found[index] = softmax(head(data, valid).astype(np.float64) / recognizer.temperature)[0]
            bar.advance()
    return found


def features_by(backbone: Network, recognizer: Recognizer, path: Path) -> Features:
    """What a graph sees of a whole video."""
    fps = recognizer.extractor.spec.fps
    ends: list[float] = []
    frames = frames_of(path, Reading(fps=fps, resize=recognizer.backbone.resize), ended=ends.append)
    pts, rows = [], []
    while batch := list(itertools.islice(frames, BATCH_SIZE)):
        pts += [time for time, _ in batch]
        rows.append(backbone(np.stack([picture.transpose(2, 0, 1) for _, picture in batch])))
    return on_screen(as_stored(np.concatenate(rows)), np.array(pts), ends[0], 1 / fps if fps else None)


def card(done: Export) -> str:
    """README.md of an exported model."""
    values = done.values
    backbone, head = EXPORTED_FILES[done.format][:2]
    inputs = "frames (N, 3, H, W) uint8 RGB in, features (N, D) out", "tokens (B, T, D) and valid (B, T) in, logits (B, K) out"
    use = {
        "onnx": "With onnxruntime alone: examples/onnx_alone.py of gerund, 40 lines.",
        "openvino": "With OpenVINO: read and compile both graphs; what lies between them is as in examples/onnx_alone.py of gerund.",
        "torch": "Load with `torch.export.load`, which trusts the file: only what you exported yourself.",
    }[done.format]
    return f"""# Action recogniser exported by gerund ({done.format}, {done.precision})

{use}

- `{backbone}`: {inputs[0]}
- `{head}`: {inputs[1]}
- `config.json`: labels, frame rate and size, how tokens are made (`gerund.features.tokens.tokens`), the temperature of the logits, checksums

Compared with the model in f32 on {values["clips"]} clips: largest difference of a probability {values["max_difference"]:.1e},
same label for {100 * values["same_label"]:.1f} %.
"""
