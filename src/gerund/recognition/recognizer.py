"""The thing you keep: labels, sampling, head and backbone in one folder; it names the action in a video."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gerund.backbones import Backbone
from gerund.core import files, hub
from gerund.core.errors import GerundError, ModelError, VideoError
from gerund.core.places import as_path
from gerund.core.types import Clip, Features, Prediction
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor
from gerund.features.tokens import Sampling, step_times, tokens
from gerund.heads import Head
from gerund.heads.durations import Durations
from gerund.heads.semi_markov import SegmentPrior
from gerund.recognition.calibration import UNKNOWN_THRESHOLD, Familiarity
from gerund.recognition.card import model_card
from gerund.recognition.folder import (
    CHECKED_FILES,
    FAMILIARITY_FILE,
    HEAD_FILE,
    INT8_FILE,
    ModelConfig,
    checked_folder,
    model_folder,
    sha256,
)
from gerund.recognition.weights import (
    array_bytes,
    read_arrays,
    read_backbone,
    read_familiarity,
    read_head,
    write_backbone,
    write_head_graph,
)
from gerund.video.rate import USUAL_FPS

if TYPE_CHECKING:
    from gerund.live.spotter import Watch

UNSURE = "the model's answer is not finite; are its weights damaged?"
LEAST_ROWS, LARGEST_SHARE = 8, 0.75
"""Of a window that nobody asked for: spread and trend of fewer rows are mostly noise. Measured: it helps short clips (toy film, F1@50 from 0.89 to
0.93) and hurts spans that people have ended to the moment (falls, from 0.91 to 0.85), which are left alone."""
HEAD_BATCH = 4
"""Clips a head sees at once in prediction; the last batch is padded, so that an answer never depends on its neighbours.

Measured: 4 cost no more per clip than 16, and with the default head a lone clip half."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recognizer:
    """Names the action in videos. `labels` are in the order of the head's outputs; the extractor has the backbone.

    `temperature` divides the logits; `familiarity`, where there is one, tells how known a clip looks, and below `unknown_threshold`
    (0..1, 0 is never) the answer is `unknown`. See calibration.py.
    `clip_seconds` is the median length of the clips it was trained on, `durations` say how long its labels last; None when
    nobody measured it.
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
    durations: Durations | None = None

    @property
    def backbone(self) -> Backbone:
        return self.extractor.backbone

    @property
    def device(self) -> str:
        """Where the backbone runs; the head runs on the CPU."""
        return self.extractor.device

    @property
    def usual_seconds(self) -> float:
        """How long the training clips were, half of them longer; where nobody measured it, as long as there are time steps."""
        return self.clip_seconds or self.sampling.num_frames / (self.extractor.spec.fps or USUAL_FPS)

    @property
    def usual_window(self) -> float:
        """Seconds of a window that says what happens at one moment: half of a training clip; where clips are no spans of annotated videos,
        LEAST_ROWS steps of the features at least, up to LARGEST_SHARE of a clip."""
        step, clip = 1 / (self.extractor.spec.fps or USUAL_FPS), self.usual_seconds
        annotated = self.durations is not None and bool(self.durations.follow)
        return max(clip / 2, 0.0 if annotated else min(LARGEST_SHARE * clip, LEAST_ROWS * step), step)

    def segment_prior(self, free: Collection[str], *, step: float, threshold: float) -> SegmentPrior:
        """What segments of the labels are like, at a row each `step` seconds; labels that are `free` may last as long as they like."""
        durations = self.durations or Durations.around(self.usual_seconds, len(self.labels))
        return SegmentPrior.of(durations, np.isin(self.labels, list(free)), step=step, threshold=threshold)

    @classmethod
    def load(cls, model: str | Path, *, device: str = "auto", cache: str | Path | FeatureCache | None = None) -> Recognizer:
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
        config = ModelConfig.read(folder)
        state = read_arrays(folder / HEAD_FILE, str(config.model_sha256))
        familiarity = read_familiarity(config, folder)
        backbone = read_backbone(config, folder, fetch=not (hub.is_remote(model) or config.bundled))
        if config.precision.startswith("int8"):
            extractor = Extractor(backbone, fps=config.fps, cache=cache, device="cpu", precision="int8")
        else:
            extractor = Extractor(backbone, fps=config.fps, cache=cache, device=device, precision=config.precision)
        return cls(
            labels=config.labels,
            extractor=extractor,
            sampling=config.sampling,
            head=read_head(config, folder, state, backbone.feature_dim),
            head_name=config.head_name,
            head_options=config.head_options,
            temperature=config.temperature,
            familiarity=familiarity and familiarity.of_width(config.sampling.token_dim(backbone.feature_dim)),
            clip_seconds=config.clip_seconds,
            durations=config.durations,
        )

    def save(self, folder: str | Path, *, bundle: bool = True, card: str = "", portable: bool = True) -> None:
        """Write the model folder, whole or not at all: safetensors, config.json and a model card.

        `bundle` puts the backbone inside, as a hard link into one store per machine where the file system allows it. `portable` writes a
        head that was learned in torch as a graph too, so that the folder runs without torch.
        """
        try:
            with files.whole_folder(Path(folder)) as partial:
                self.write(partial, bundle, card, portable)
        except OSError as error:
            raise ModelError(f"{folder}: the model cannot be saved ({error.strerror}); choose another place with --out") from None

    def write(self, folder: Path, bundle: bool, card: str, portable: bool = True) -> None:
        """Fill a new folder. Raises OSError."""
        (folder / HEAD_FILE).write_bytes(array_bytes(self.head.state(), format="pt"))
        if self.backbone.quantized is not None:
            for suffix in (".xml", ".bin"):
                shutil.copyfile(self.backbone.quantized.with_suffix(suffix), (folder / INT8_FILE).with_suffix(suffix))
        if bundle:
            write_backbone(self.backbone, self.extractor.cache, folder)
        if portable:
            write_head_graph(self.head, self.sampling, self.backbone.feature_dim, folder)
        if self.familiarity is not None:
            (folder / FAMILIARITY_FILE).write_bytes(array_bytes(self.familiarity.tensors()))
        config = replace(
            self.described(),
            bundled=bundle,
            model_sha256=sha256(folder / HEAD_FILE),
            unknown_sha256=None if self.familiarity is None else sha256(folder / FAMILIARITY_FILE),
            files={name: sha256(folder / name) for name in CHECKED_FILES if (folder / name).is_file()},
        )
        text = json.dumps(config.values(), indent=2, ensure_ascii=False) + "\n"
        (folder / "config.json").write_text(text, encoding="utf-8")
        (folder / "README.md").write_text(card or model_card(self), encoding="utf-8")

    def config(self) -> dict[str, Any]:
        """Everything but the weights, in the shape that Hugging Face tools read."""
        return self.described().values()

    def described(self) -> ModelConfig:
        """Everything but the weights, before it is in a folder."""
        return ModelConfig(
            labels=self.labels,
            backbone=self.backbone.config,
            fps=self.extractor.spec.fps,
            precision=self.extractor.spec.precision,
            sampling=self.sampling,
            head_name=self.head_name,
            head_options=self.head_options,
            temperature=self.temperature,
            clip_seconds=self.clip_seconds,
            durations=self.durations,
        )

    def predict(self, video: str | Path | Clip) -> Prediction:
        """The ranked labels of one video or clip; one that cannot be decoded has no scores and says why in `error`."""
        return self.predict_clips([clip_to_see(video)])[0]

    def predict_clips(self, clips: Sequence[Clip]) -> list[Prediction]:
        """Predictions in the order of the clips. The videos are decoded side by side, each once."""
        return self.predictions(self.extractor.extract(clip.path for clip in clips), clips)

    def predictions(self, extraction: Extraction, clips: Sequence[Clip]) -> list[Prediction]:
        """Predictions of clips whose videos have been extracted, in their order."""
        data, valid, errors = self.tokens(extraction, clips)
        good = [index for index in range(len(clips)) if index not in errors]
        logits = logits_of(self.head, data[good], valid[good])
        ranked = dict(zip(good, map(self.ranked, softmax(logits / self.temperature)), strict=True))
        errors |= {index: f"{clips[index].path}: {UNSURE}" for index in good if not ranked[index]}
        known = dict(zip(good, self.known(data[good], valid[good], logits), strict=True))
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

    def known(self, data: np.ndarray, valid: np.ndarray, logits: np.ndarray) -> list[float | None]:
        """How known clips look, 0..1, from tokens (N, T, D), valid (N, T) and the head's logits (N, K); None from a model that cannot tell."""
        return [None] * len(data) if self.familiarity is None else self.familiarity.known(data, valid, logits).tolist()

    def is_unknown(self, known: float | None) -> bool:
        return known is not None and known < self.unknown_threshold

    def probabilities(self, data: np.ndarray, valid: np.ndarray, batch: int = HEAD_BATCH) -> np.ndarray:
        """Softmax of the head's logits over the temperature: tokens (N, T, D), valid (N, T) -> (N, K) float64."""
        return softmax(logits_of(self.head, data, valid, batch) / self.temperature)

    def segment_scores(self, features: Features, clips: Sequence[Clip], unknown_threshold: float = 0.0) -> np.ndarray:
        """Probabilities (N, K) of several spans of one video; all 0 for a span that looks unknown."""
        data, valid = map(np.stack, zip(*(tokens(features, clip, self.sampling) for clip in clips), strict=True))
        scores = self.probabilities(data, valid)
        if unknown_threshold and self.familiarity is not None:
            scores[self.familiarity.known(data, valid, logits_of(self.head, data, valid)) < unknown_threshold] = 0
        return scores

    def window_scores(self, features: Features, clips: Sequence[Clip], unknown_threshold: float = 0.0) -> np.ndarray:
        """Probabilities (N, K) of windows of one video, which seldom begin where an action does; all 0 for one that looks unknown."""
        data, valid = map(np.stack, zip(*(tokens(features, clip, self.sampling) for clip in clips), strict=True))
        scores = softmax(logits_of(self.head.window_logits, data, valid) / self.temperature)
        if unknown_threshold and self.familiarity is not None:
            scores[self.familiarity.known(data, valid, logits_of(self.head, data, valid)) < unknown_threshold] = 0
        return scores

    def watch(self, source: str | Path, **settings: Any) -> Watch:
        """Watch a camera or a stream: iterate over the answer for events. Settings are those of `gerund.watch`, the same by name."""
        from gerund.live.spotter import NO_ACTION, Eye, Watch, WatchSettings  # cameras and windows, which no video file needs

        chosen = WatchSettings(**settings)
        spec = self.extractor.spec
        step = 1 / (spec.fps or USUAL_FPS)
        return Watch(
            source,
            chosen,
            labels=self.labels,
            fps=spec.fps,
            window=chosen.window or self.usual_window,
            prior=self.segment_prior(NO_ACTION, step=step, threshold=chosen.threshold),
            open_eye=lambda: Eye(self.backbone, device=self.device, precision=spec.precision.partition("-")[0]),
            judge=lambda features: self.window_scores(features, [Clip(path=Path(source))], chosen.unknown_threshold)[0],
        )

    def step_weights(self, features: Features, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """How much each of a clip's S time steps counted: their middles in seconds (S,), and weights (S,) that add up to 1."""
        data, valid = tokens(features, clip, self.sampling)
        return step_times(features, clip, self.sampling), self.head.step_weights(data[None], valid[None])[0, valid]

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
        predictions = self.predict_clips([clip_to_see(video) for video in videos])
        for prediction in predictions:
            if prediction.error:
                raise VideoError(prediction.error)
        answers = [prediction.top(top_k) for prediction in predictions]
        return answers[0] if isinstance(inputs, str | Path) else answers


def logits_of(
    head: Callable[[np.ndarray, np.ndarray], np.ndarray], data: np.ndarray, valid: np.ndarray, batch: int = HEAD_BATCH
) -> np.ndarray:
    """What a head says of clips: tokens (N, T, D) float32, valid (N, T) -> (N, K) float64."""
    parts = []
    for first in range(0, max(1, len(data)), batch):
        block, mask = data[first : first + batch], valid[first : first + batch]
        pad = batch - len(block)
        x, steps = np.pad(block, ((0, pad), (0, 0), (0, 0))), np.pad(mask, ((0, pad), (0, 0)), constant_values=True)
        parts.append(head(x, steps)[: len(block)].astype(np.float64))
    return np.concatenate(parts)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) of logits (N, K)."""
    with np.errstate(invalid="ignore"):  # logits that are not finite give NaN, of which is told
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def clip_to_see(video: str | Path | Clip) -> Clip:
    return video if isinstance(video, Clip) else Clip(path=as_path(video))
