"""A model as two plain graphs, backbone and head, that run without torch; written only when they give the model's own answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video
from gerund.backbones.quantize import check_nncf, full_batches
from gerund.core import options
from gerund.core.errors import DataError, ModelError, UsageError, needs
from gerund.core.files import remove, whole_folder
from gerund.core.printing import percent
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Clip, Features
from gerund.data.manifest import of_split, read_manifest
from gerund.features.extractor import Extractor, calibration_frames
from gerund.recognition.evaluate import recorded_manifest
from gerund.recognition.metrics import topk_accuracy
from gerund.recognition.predict import expand
from gerund.recognition.recognizer import Recognizer
from gerund.recognition.runs import check_free
from gerund.recognition.runtime import EXPORTED_FILES, OPENERS, ExportedModel

TOLERANCE = 1e-3
"""Largest difference of a probability between the model in f32 and what is exported."""
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


@dataclass(frozen=True, kw_only=True)
class Export(Printable):
    """A written export: its folder, format, precision (f32 or int8), size in bytes, and how its answers compare with the model's."""

    folder: Path
    format: str
    precision: str
    size: int
    comparison: Parity

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

    def as_json(self) -> dict[str, Any]:
        return self.values

    def as_text(self) -> Iterator[str]:
        found = self.values
        yield f"{self.folder}: {self.format}, {self.precision}, {self.size / 1e6:.1f} MB"
        yield (
            f"Compared with the model in f32 on {found['clips']} clips: largest difference of a probability "
            f"{found['max_difference']:.1e}, same label for {percent(found['same_label'])}"
        )
        if found["top1_model"] is not None:
            drop = found["top1_model"] - found["top1_exported"]
            yield f"Top-1: model {percent(found['top1_model'])}, exported {percent(found['top1_exported'])}, drop {percent(drop)}"
        if self.format != "torch":
            yield from ("", f"Next: python -m gerund.recognition.runtime {self.folder} VIDEO")


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
    if format_ not in EXPORTED_FILES:
        raise UsageError(f"--format {format_}: choose one of {', '.join(EXPORTED_FILES)}")
    if int8 and format_ != "openvino":
        raise UsageError(f"--int8 needs --format openvino (here: {format_})")
    if int8:
        check_nncf()
    check_free(out)
    with needs("torch", "onnx", "gerund export writes graphs by way of torch"):
        from gerund.recognition.graphs import reopened, write_graphs
    recognizer = in_f32(model, cache)
    clips = expand(check) if check else recorded(model)
    try:
        with whole_folder(out) as partial:
            noise = partial / "noise"
            clips = clips or noise_clips(noise)
            calibration = full_batches(calibration_frames(recognizer.backbone, paths_of(clips, "train"))) if int8 else None
            write_graphs(recognizer, partial, format_, calibration)
            comparison = compared(recognizer, reopened(partial), held_out(clips, ACCURACY_CLIPS if int8 else PARITY_CLIPS))
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


def refuse_other_answers(comparison: Parity, out: Path) -> None:
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


def compared(recognizer: Recognizer, exported: ExportedModel, clips: Sequence[Clip]) -> Parity:
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
    return Parity(clips=[clips[index] for index in good], labels=recognizer.labels, expected=expected[good], found=found[good])


def card(done: Export) -> str:
    """README.md of an exported model."""
    values = done.values
    inputs = "frames (N, 3, H, W) uint8 RGB in, features (N, D) out", "tokens (B, T, D) and valid (B, T) in, logits (B, K) out"
    backbone, head = EXPORTED_FILES[done.format][:2]
    use = (
        "With gerund.recognition.runtime (numpy, PyAV and the engine only): `python -m gerund.recognition.runtime THIS_FOLDER video.mp4`."
        if done.format in OPENERS
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
