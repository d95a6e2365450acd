"""The thing you keep: labels, sampling, head and backbone in one folder; it names the action in a video."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save as save_arrays
from safetensors.torch import load_file, save

from gerund.backbones import Backbone, quantized_digest, rebuild_backbone, weights_licence
from gerund.core import files, hub
from gerund.core.errors import GerundError, ModelError, UsageError, VideoError
from gerund.core.fields import Fields, checked_labels, is_number, read_json, resize_in
from gerund.core.types import Clip, Features, Prediction, composed
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor
from gerund.features.tokens import MOST_STEPS, Sampling, sampling_in, step_times, tokens
from gerund.heads import Head, build_head
from gerund.live.spotter import WINDOW, Eye, Watch, WatchSettings
from gerund.recognition.calibration import UNKNOWN_THRESHOLD, Familiarity

FORMAT = "gerund"
FORMAT_VERSION = 1
QUANTIZED = "backbone-int8"
UNSURE = "the model's answer is not finite; are its weights damaged?"
FAMILIARITY = "unknown.safetensors"
FASTEST, LONGEST, HOTTEST = 1000.0, 1e6, 1e6
"""Frames per second, seconds of a clip and temperature: no model has more, nor more of what follows."""
MOST_LAYERS, LARGEST = 256, 2**17
HEAD_BATCH = 4
"""Clips a head sees at once in prediction; the last batch is padded, so that an answer never depends on its neighbours.

Measured: 4 cost no more per clip than 16, and with the default head a lone clip half."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recognizer:
    """Names the action in videos. `labels` are in the order of the head's outputs; the extractor has the backbone.

    `temperature` divides the logits; `familiarity`, where there is one, tells how known a clip looks, and below `unknown_threshold`
    (0..1, 0 is never) the answer is `unknown`. See calibration.py.
    `clip_seconds` is the median length of the clips it was trained on; None when nobody measured it.
    """

    labels: list[str]
    extractor: Extractor
    sampling: Sampling
    head: Head
    head_name: str
    head_options: Mapping[str, Any]
    temperature: float = 1.0
    familiarity: Familiarity | None = None
    unknown_threshold: float = UNKNOWN_THRESHOLD
    clip_seconds: float | None = None

    def __post_init__(self) -> None:
        self.head.eval()

    @property
    def backbone(self) -> Backbone:
        return self.extractor.backbone

    @property
    def device(self) -> str:
        """Where the backbone runs; the head runs on the CPU."""
        return self.extractor.device

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", cache: Path | FeatureCache | None = None) -> Recognizer:
        """The recogniser in a model folder, the best one of a run folder, or one on a hub as hf:USER/MODEL.

        `cache` is the folder for features, or the cache itself. Raises ModelError when there is no model, or a damaged one.
        """
        store = cache if isinstance(cache, FeatureCache) else FeatureCache(cache)
        return files.steadily(
            model_folder(model), lambda folder: cls.read(checked_folder(folder, model), model, device=device, cache=store)
        )

    @classmethod
    def read(cls, folder: Path, model: str | Path, *, device: str, cache: FeatureCache) -> Recognizer:
        """The recogniser in this very folder; `model` is what it was asked for as."""
        config = Fields(read_config(folder), str(folder / "config.json"))
        state = read_tensors(folder / "model.safetensors", config.text("model_sha256"))
        familiarity = read_familiarity(folder, config.text("unknown_sha256")) if "unknown_sha256" in config.values else None
        labels, sampling, options = labels_in(config), sampling_in(config.object("sampling")), options_in(config.object("head"))
        rate, precision = config.object("features").optional("fps", FASTEST), config.object("features").text("precision")
        fetch = not (hub.is_remote(model) or config.flag("bundled", False))
        backbone = rebuild_backbone(backbone_in(config.object("backbone")), folder / "backbone.safetensors", fetch=fetch)
        if precision.startswith("int8"):
            backbone, precision, device = with_int8(backbone, folder, precision), "int8", "cpu"
        elif precision not in ("bf16", "f32"):
            raise config.wrong("features: precision", precision, "bf16, f32 or int8-...")
        name = config.object("head").text("name")
        size = {
            "token_dim": sampling.token_dim(backbone.feature_dim),
            "num_classes": len(labels),
            "num_frames": sampling.num_frames,
        }
        return cls(
            labels=labels,
            extractor=Extractor(backbone, fps=rate, cache=cache, device=device, precision=precision),
            sampling=sampling,
            head=filled_head(name, size, options, state, folder),
            head_name=name,
            head_options=options,
            temperature=config.positive("temperature", HOTTEST, 1.0),  # models of before are not calibrated
            familiarity=None if familiarity is None else familiarity.of_width(size["token_dim"]),
            clip_seconds=config.optional("clip_seconds", LONGEST),
        )

    def save(self, folder: Path, *, bundle: bool = True, card: str = "") -> None:
        """Write the model folder, whole or not at all: safetensors, config.json and a model card.

        `bundle` puts the backbone's weights inside, as a hard link into one store per machine where the file system allows it.
        """
        try:
            with files.whole_folder(folder) as partial:
                self.write(partial, bundle, card)
        except OSError as error:
            raise ModelError(f"{folder}: the model cannot be saved ({error.strerror}); choose another place with --out") from None

    def write(self, folder: Path, bundle: bool, card: str) -> None:
        """Fill a new folder. Raises OSError."""
        state = {key: value.detach().cpu().contiguous() for key, value in self.head.state_dict().items()}
        (folder / "model.safetensors").write_bytes(save(state, {"format": "pt"}))
        if self.backbone.quantized is not None:
            for suffix in (".xml", ".bin"):
                shutil.copyfile(self.backbone.quantized.with_suffix(suffix), folder / f"{QUANTIZED}{suffix}")
        if bundle and not self.backbone.name.startswith("pixels"):
            link(stored_weights(self.backbone, self.extractor.cache), folder / "backbone.safetensors")
        config = self.config() | {"bundled": bundle, "model_sha256": sha256(folder / "model.safetensors")}
        if self.familiarity is not None:
            (folder / FAMILIARITY).write_bytes(save_arrays(self.familiarity.tensors()))
            config["unknown_sha256"] = sha256(folder / FAMILIARITY)
        (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card or model_card(self), encoding="utf-8")

    def config(self) -> dict[str, Any]:
        """Everything but the weights, in the shape that Hugging Face tools read."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "id2label": {str(index): label for index, label in enumerate(self.labels)},
            "label2id": {label: index for index, label in enumerate(self.labels)},
            "backbone": self.backbone.config,
            "features": {"fps": self.extractor.spec.fps, "precision": self.extractor.spec.precision},
            "sampling": asdict(self.sampling),
            "head": {"name": self.head_name, "options": dict(self.head_options)},
            "temperature": self.temperature,
            "clip_seconds": self.clip_seconds,
        }

    def predict(self, video: str | Path | Clip) -> Prediction:
        """The ranked labels of one video or clip; one that cannot be decoded has no scores and says why in `error`."""
        return self.predict_clips([as_clip(video)])[0]

    def predict_clips(self, clips: Sequence[Clip]) -> list[Prediction]:
        """Predictions in the order of the clips. The videos are decoded side by side, each once."""
        return self.predictions(self.extractor.extract(clip.path for clip in clips), clips)

    def predictions(self, extraction: Extraction, clips: Sequence[Clip]) -> list[Prediction]:
        """Predictions of clips whose videos have been extracted, in their order."""
        data, valid, errors = self.tokens(extraction, clips)
        good = [index for index in range(len(clips)) if index not in errors]
        ranked = dict(zip(good, map(self.ranked, self.probabilities(data[good], valid[good])), strict=True))
        errors |= {index: f"{clips[index].path}: {UNSURE}" for index in good if not ranked[index]}
        known = dict(zip(good, self.known(data[good], valid[good]), strict=True))
        return [
            Prediction(
                path=clip.path,
                start=clip.start,
                end=clip.end,
                error=errors.get(index),
                scores=ranked.get(index, []),
                known=known.get(index),
                unknown=self.is_unknown(known.get(index)),
            )
            for index, clip in enumerate(clips)
        ]

    def scores(self, extraction: Extraction, clips: Sequence[Clip]) -> tuple[np.ndarray, dict[int, str]]:
        """Probabilities (N, K) of clips with known features, NaN rows for those without, and index -> reason for these."""
        data, valid, errors = self.tokens(extraction, clips)
        good = [index for index in range(len(clips)) if index not in errors]
        scores = np.full((len(clips), len(self.labels)), np.nan)
        scores[good] = self.probabilities(data[good], valid[good])
        return scores, errors

    def tokens(self, extraction: Extraction, clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """What the head sees of clips, (N, T, D) and valid (N, T), and index -> reason for those without features."""
        data = np.zeros((len(clips), self.sampling.num_frames, self.sampling.token_dim(self.backbone.feature_dim)), np.float32)
        valid = np.zeros(data.shape[:2], bool)
        errors: dict[int, str] = {}
        for index, clip in enumerate(clips):
            if problem := extraction.problem(clip):
                errors[index] = problem
                continue
            try:
                features = extraction.features[clip.path]
                if features.feature_dim != self.backbone.feature_dim:
                    raise ModelError(
                        f"{self.backbone.name} gives {features.feature_dim} features, not {self.backbone.feature_dim}"
                    )
                data[index], valid[index] = tokens(features, clip, self.sampling)
            except GerundError as error:
                errors[index] = f"{clip.path}: {error}"
        return data, valid, errors

    def known(self, data: np.ndarray, valid: np.ndarray) -> list[float | None]:
        """How known clips look, 0..1, from tokens (N, T, D), valid (N, T); None from a model that cannot tell."""
        return [None] * len(data) if self.familiarity is None else self.familiarity.known(data, valid).tolist()

    def is_unknown(self, known: float | None) -> bool:
        return known is not None and known < self.unknown_threshold

    def probabilities(self, data: np.ndarray, valid: np.ndarray, batch: int = HEAD_BATCH) -> np.ndarray:
        """Softmax of the head's logits over the temperature: tokens (N, T, D), valid (N, T) -> (N, K) float64."""
        if not len(data):
            return np.empty((0, len(self.labels)))
        return torch.from_numpy(logits_of(self.head, data, valid, batch) / self.temperature).softmax(1).numpy()

    def segment_scores(self, features: Features, clips: Sequence[Clip], unknown_threshold: float = 0.0) -> np.ndarray:
        """Probabilities (N, K) of several spans of one video; all 0 for a span that looks unknown."""
        data, valid = map(np.stack, zip(*(tokens(features, clip, self.sampling) for clip in clips), strict=True))
        scores = self.probabilities(data, valid)
        if unknown_threshold and self.familiarity is not None:
            scores[self.familiarity.known(data, valid) < unknown_threshold] = 0
        return scores

    def watch(self, source: str | Path, **settings: Any) -> Watch:
        """Watch a camera or a stream: iterate over the answer for events. Settings are those of `gerund.watch`, the same by name."""
        chosen = WatchSettings(**settings)
        whole = Clip(path=Path(source))

        def judge(features: Features) -> np.ndarray:
            data, valid = (part[None] for part in tokens(features, whole, self.sampling))
            with one_thread():
                scores = self.probabilities(data, valid, batch=1)[0]
            return np.zeros_like(scores) if self.is_unknown(self.known(data, valid)[0]) else scores

        spec = self.extractor.spec
        return Watch(
            source,
            chosen,
            labels=self.labels,
            fps=spec.fps,
            window=chosen.window or self.clip_seconds or WINDOW,
            open_eye=lambda: Eye(self.backbone, device=self.device, precision=spec.precision.partition("-")[0]),
            judge=judge,
        )

    @torch.inference_mode()
    def step_weights(self, features: Features, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """How much each of a clip's S time steps counted: their middles in seconds (S,), and weights (S,) that add up to 1."""
        data, valid = tokens(features, clip, self.sampling)
        weights = self.head.step_weights(torch.from_numpy(data)[None], torch.from_numpy(valid)[None])
        return step_times(features, clip, self.sampling), weights[0, torch.from_numpy(valid)].numpy()

    def ranked(self, scores: np.ndarray) -> list[tuple[str, float]]:
        """(label, probability) pairs, highest first; empty for a row of NaN."""
        if not np.isfinite(scores).all():
            return []
        return [(self.labels[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")]

    def __call__(self, inputs: str | Path | Sequence[str | Path], top_k: int | None = 5) -> list[Any]:
        """The Hugging Face shape: `[{"label", "score"}, ...]` for one video, a list of such lists for a list of videos.

        Raises VideoError when a video cannot be decoded.
        """
        videos = [inputs] if isinstance(inputs, str | Path) else inputs
        predictions = self.predict_clips([as_clip(video) for video in videos])
        for prediction in predictions:
            if prediction.error:
                raise VideoError(prediction.error)
        answers = [prediction.top(top_k) for prediction in predictions]
        return answers[0] if isinstance(inputs, str | Path) else answers


@torch.inference_mode()
def logits_of(head: Head, data: np.ndarray, valid: np.ndarray, batch: int = HEAD_BATCH) -> np.ndarray:
    """What a head says of N > 0 clips: tokens (N, T, D) float32, valid (N, T) -> (N, K) float64."""
    parts = []
    for first in range(0, len(data), batch):
        block, mask = data[first : first + batch], valid[first : first + batch]
        pad = batch - len(block)
        x = torch.from_numpy(np.pad(block, ((0, pad), (0, 0), (0, 0))))
        steps = torch.from_numpy(np.pad(mask, ((0, pad), (0, 0)), constant_values=True))
        parts.append(head(x, steps)[: len(block)].double().numpy())
    return np.concatenate(parts)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch in one thread: for one clip, waiting for the others costs fifty times the arithmetic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def with_int8(backbone: Backbone, folder: Path, precision: str) -> Backbone:
    """The backbone with the int8 copy of a model folder. Raises ModelError when it is not the one the model was trained with."""
    path = folder / f"{QUANTIZED}.xml"
    if not path.is_file() or precision != f"int8-{quantized_digest(path)}":
        raise ModelError(f"{path}: missing or damaged; copy the model again or train it again")
    return replace(backbone, quantized=path, digest=backbone.weights_digest)


def as_clip(video: str | Path | Clip) -> Clip:
    return video if isinstance(video, Clip) else Clip(path=Path(video))


def model_folder(model: str | Path) -> Path:
    """The model folder that is meant: a folder itself, the `best` in a run folder, or for hf:USER/MODEL the one fetched from the hub."""
    path = hub.fetch(str(model)) if hub.is_remote(model) else Path(model)
    return path / "best" if files.find(path / "best").is_dir() else path


def find_model(model: str | Path) -> Path:
    """The place of a model's folder. Raises ModelError when there is none."""
    return files.steadily(model_folder(model), lambda folder: checked_folder(folder, model))


def checked_folder(path: Path, model: str | Path) -> Path:
    """The same folder. Raises ModelError when it is none of a model."""
    if (path / "config.json").is_file() and (path / "model.safetensors").is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{model}: no such model folder")
    if (path / "config.json").is_file() and (path / "README.md").is_file() and any(path.glob("backbone.*")):
        raise ModelError(f"{model}: an exported model; run it with: python -m gerund.recognition.runtime {model} VIDEO")
    inside = "" if hub.is_remote(model) or path.name == "best" else f", also in {path.name}/best"
    raise ModelError(f"{model}: not a model folder (config.json and model.safetensors are missing{inside})")


def labels_in(config: Fields) -> list[str]:
    """The labels in the order of the head's outputs."""
    names = config.object("id2label").values
    labels = checked_labels([names.get(str(index)) for index in range(len(names))], config)
    return checked_labels([composed(label) for label in labels], config)


def options_in(head: Fields) -> dict[str, Any]:
    """Options of a head: texts, switches and numbers, none of a size that no head has."""
    options = head.object("options")
    for key, value in options.values.items():
        if isinstance(value, bool | str):
            continue
        most = MOST_LAYERS if "layers" in key else LARGEST
        if not is_number(value) or abs(value) > most:
            raise options.wrong(key, value, f"a text, a switch or a number up to {most}")
    return dict(options.values)


def backbone_in(fields: Fields) -> dict[str, Any]:
    """What `rebuild_backbone` needs, checked."""
    std = fields.numbers("std", 3)
    if min(std) <= 0:
        raise fields.wrong("std", list(std), "above 0")
    architecture = fields.get("architecture", None)
    return {
        "name": fields.text("name"),
        "origin": fields.text("origin"),
        "weights_digest": fields.text("weights_digest"),
        "resize": asdict(resize_in(fields.object("resize"))),
        "mean": list(fields.numbers("mean", 3)),
        "std": list(std),
        "feature_dim": fields.whole("feature_dim", 1, LARGEST),
        "window": fields.whole("window", 1, MOST_STEPS, 1),
        "stride": fields.whole("stride", 1, MOST_STEPS, 1),
        "architecture": None if architecture is None else dict(fields.object("architecture").values),
    }


def filled_head(name: str, size: dict[str, int], options: dict[str, Any], state: dict[str, torch.Tensor], folder: Path) -> Head:
    """A head with its weights. It is first built without memory, so that one which the weights do not fill is never built at all."""
    try:
        with torch.device("meta"):
            shape = build_head(name, **size, options=options).state_dict()
    except (UsageError, TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, IndexError) as error:
        raise ModelError(f"{folder / 'config.json'}: does not describe a head ({error})") from None
    path = folder / "model.safetensors"
    for key in sorted({*shape, *state}):
        if key not in shape or key not in state or shape[key].shape != state[key].shape or shape[key].dtype != state[key].dtype:
            raise ModelError(
                f"{path}: {key} is not what a head {name} of this config.json has; is one of the two another model's?"
            )
        if not bool(torch.isfinite(state[key]).all()):
            raise ModelError(f"{path}: {key} has values that are not finite; copy the model again or train it again")
    head = build_head(name, **size, options=options)
    head.load_state_dict(state)
    return head


def read_config(folder: Path) -> dict[str, Any]:
    """A model's config.json, of a format this version of gerund knows."""
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ModelError(f"{path}: not a gerund model")
    if config.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {config.get('format_version')}, but this gerund reads version {FORMAT_VERSION}; update gerund"
        )
    return config


def read_tensors(path: Path, expected: str) -> dict[str, torch.Tensor]:
    """Tensors of a file whose SHA-256 is known. Raises ModelError when it is missing or damaged."""
    if not path.is_file():
        raise ModelError(f"{path}: missing; copy the model again or train it again")
    if sha256(path) != expected:
        raise ModelError(f"{path}: damaged (its SHA-256 is not the one in config.json); copy the model again or train it again")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a readable safetensors file ({error})") from None


def read_familiarity(folder: Path, expected: str) -> Familiarity:
    """The sense of the unknown in a model folder. Raises ModelError when it is missing or damaged."""
    tensors = read_tensors(folder / FAMILIARITY, expected)
    return Familiarity.of_tensors({name: value.double().numpy().astype(np.float32) for name, value in tensors.items()})


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stored_weights(backbone: Backbone, cache: FeatureCache) -> Path:
    """The backbone's weights in this machine's store, written once."""
    path = cache.folder.parent / "weights" / f"{backbone.weights_digest[:32]}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        files.tidy(path.parent)
        state = {key: value.detach().cpu().contiguous().clone() for key, value in backbone.module.state_dict().items()}
        files.write_bytes(path, save(state, {"format": "pt"}))
    return path


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def model_card(recognizer: Recognizer, metrics: dict[str, Any] | None = None, data: str | None = None) -> str:
    """README.md of a model folder, with the metadata block that model hubs read; `metrics` are those of the test clips of `data`."""
    labels = "\n".join(f"- {label}" for label in recognizer.labels)
    backbone, sampling, rate = recognizer.backbone, recognizer.sampling, recognizer.extractor.spec.fps
    result = (
        f"\n- Test: top-1 {metrics['top1']:.3f}, mean class {metrics['mean_class']:.3f} over {metrics['num_clips']} clips"
        if metrics
        else ""
    )
    source = f"\n- Trained on: {data}" if data else ""
    unlike = (
        "It knows no other actions than these and gives one of them for any video."
        if recognizer.familiarity is None
        else "It knows no other actions than these; a video unlike all its training clips is answered `unknown`, with the best guess."
    )
    return f"""---
library_name: gerund
pipeline_tag: video-classification
tags:
- action-recognition
---
# Action recogniser for {len(recognizer.labels)} classes

{labels}

Use it: `gerund predict THIS_FOLDER video.mp4`, or in Python `gerund.Recognizer.load("THIS_FOLDER")("video.mp4")`.
On a hub, THIS_FOLDER is `hf:USER/MODEL`.

- Backbone: {backbone.name} (weights: {backbone.origin}), {backbone.resize.width} x {backbone.resize.height} pixels
- Licence of the backbone's weights: {weights_licence(backbone)}
- Frames: {f"{rate:g} per second" if rate else "all"}; {sampling.num_frames} time steps ({sampling.take}{", with motion" if sampling.motion else ""})
- Head: {recognizer.head_name}, {sum(parameter.numel() for parameter in recognizer.head.parameters()):,} trained parameters{source}{result}

{unlike}
"""
