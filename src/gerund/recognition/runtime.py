"""The light runtime: names the action with what `gerund export` wrote. Needs numpy, PyAV and onnxruntime (or OpenVINO), no torch.

`python -m gerund.recognition.runtime EXPORTED VIDEO...`, or in Python `gerund.recognition.runtime.load("EXPORTED")("a.mp4")`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gerund import video
from gerund.core.errors import GerundError, ModelError, VideoError, first_line
from gerund.core.fields import Fields, checked_labels, json_of, resize_in
from gerund.core.openvino import core
from gerund.core.printing import json_text, prepare, prepare_data, say
from gerund.core.types import Clip, Features, Prediction
from gerund.core.workers import UNREADABLE, reason
from gerund.features.tokens import as_stored, on_screen, sampling_in, tokens
from gerund.recognition.calibration import UNKNOWN_THRESHOLD, Familiarity
from gerund.recognition.folder import HIGHEST_FPS, HOTTEST, MODEL_FORMAT, check_whole, known_format

EXPORT_FORMAT, EXPORT_FORMAT_VERSION = "gerund-export", 1
EXPORTED_FAMILIARITY = "unknown.npz"
EXPORT_AGAIN = "export the model again"
FRAMES_AT_ONCE = 16
SOME_VIDEOS_FAILED = 3
PRINTED = ("path", "label", "scores", "error", "unknown", "known")
"""What `--json` prints of an answer."""

Network = Callable[..., np.ndarray]
"""A compiled graph: arrays in, one array out. The backbone takes frames (N, 3, H, W) uint8, the head tokens (B, T, D) and valid (B, T)."""


class ExportedModel:
    """Names the action in videos, with the answers of the recogniser it was exported from. `labels` are in the order of the head's outputs.

    Below `unknown_threshold` (0..1, 0 is never) a clip is answered `unknown`, by a model that was trained to tell.
    """

    def __init__(self, config: Fields, backbone: Network, head: Network, familiarity: Familiarity | None = None) -> None:
        features = config.object("features")
        self.labels = checked_labels(config.values.get("labels"), config)
        self.fps = features.optional("fps", HIGHEST_FPS)
        self.resize = resize_in(features.object("resize"))
        self.sampling = sampling_in(config.object("sampling"))
        self.temperature = config.positive("temperature", HOTTEST)
        self.backbone, self.head, self.familiarity = backbone, head, familiarity
        self.unknown_threshold = UNKNOWN_THRESHOLD

    def features(self, path: Path) -> Features:
        """What the backbone sees of a whole video. Raises VideoError when no frame can be decoded."""
        data: list[np.ndarray] = []
        pts: list[float] = []
        ends: list[float] = []
        for times, planes in self.batches(path, ends.append):
            data.append(self.backbone(planes))
            pts += times
        rows = np.concatenate(data)
        if not np.isfinite(rows).all():
            raise VideoError(f"{path}: the backbone gave features that are not finite")
        return on_screen(as_stored(rows), np.array(pts), ends[0], 1 / self.fps if self.fps else None)

    def batches(self, path: Path, ended: Callable[[float], None]) -> Iterator[tuple[list[float], np.ndarray]]:
        """The wanted frames of a video as planes (n, 3, H, W) uint8, at most FRAMES_AT_ONCE at once, with their times; `ended` is told the end."""
        convert = video.FrameConverter(self.resize)
        frames = video.wanted_frames(path, fps=self.fps, threads=0, ended=ended)
        while batch := [(time, convert(frame).transpose(2, 0, 1)) for time, frame in itertools.islice(frames, FRAMES_AT_ONCE)]:
            yield [time for time, _ in batch], np.stack([picture for _, picture in batch])

    def scores(self, features: Features, clip: Clip) -> np.ndarray:
        """Probabilities (K,) float64 of a clip of a video with these features. Raises ClipError when the clip has no frames."""
        return self.judged(features, clip)[0]

    def judged(self, features: Features, clip: Clip) -> tuple[np.ndarray, float | None]:
        """Probabilities (K,), and how known the clip looks, 0..1 (None from a model that cannot tell)."""
        data, valid = (part[None] for part in tokens(features, clip, self.sampling))
        logits = self.head(data, valid)[0].astype(np.float64) / self.temperature
        if logits.shape != (len(self.labels),) or not np.isfinite(logits).all():
            raise ModelError(f"the head gives no finite value for each of {len(self.labels)} labels; export the model again")
        powers = np.exp(logits - logits.max())
        known = None if self.familiarity is None else float(self.familiarity.known(data, valid)[0])
        return powers / powers.sum(), known

    def predict(self, what: str | Path | Clip) -> Prediction:
        """The ranked labels of one video or clip; one that cannot be decoded has no scores and says why in `error`."""
        clip = what if isinstance(what, Clip) else Clip(path=Path(what))
        prediction = Prediction(path=clip.path, start=clip.start, end=clip.end)
        try:
            scores, known = self.judged(self.features(clip.path), clip)
        except UNREADABLE as failure:
            return replace(prediction, error=reason(clip.path, failure))
        ranked = [(self.labels[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")]
        return replace(prediction, scores=ranked, known=known, unknown=known is not None and known < self.unknown_threshold)

    def __call__(self, path: str | Path, top_k: int | None = 5) -> list[dict[str, Any]]:
        """`[{"label", "score"}, ...]`, the likeliest first. Raises VideoError when the video cannot be decoded."""
        prediction = self.predict(path)
        if prediction.error:
            raise VideoError(prediction.error)
        return prediction.top(top_k)


def load(folder: str | Path) -> ExportedModel:
    """The model in a folder that `gerund export` wrote. Raises ModelError when there is none, a damaged one, or one for torch."""
    folder = Path(folder)
    config = exported_config(folder)
    network, checksums = config.text("network"), config.object("files")
    if network not in OPENERS:
        raise ModelError(f"{folder}: exported for {network}; the light runtime opens {' and '.join(OPENERS)}")
    names, opener = OPENERS[network]
    for name in names:
        check_whole(folder / name, checksums.text(name), EXPORT_AGAIN)
    backbone, head = (open_network(folder / name, opener) for name in names[:2])
    return ExportedModel(config, backbone, head, exported_familiarity(folder, checksums))


def open_network(path: Path, opener: Callable[[Path], Network]) -> Network:
    """A compiled graph. Raises ModelError for what the engine does not take: garbage, or data outside the folder."""
    try:
        network = opener(path)
    except GerundError:
        raise
    except Exception as error:  # the engines document no exception types
        raise ModelError(f"{path}: cannot be opened ({first_line(error)}); {EXPORT_AGAIN}") from None

    def run(*arrays: np.ndarray) -> np.ndarray:
        try:
            return network(*arrays)
        except Exception as error:  # as above
            raise ModelError(f"{path}: cannot be run ({first_line(error)}); {EXPORT_AGAIN}") from None

    return run


def exported_config(folder: Path) -> Fields:
    """The config.json of an exported model, of a version this gerund knows."""
    path = folder / "config.json"
    if not path.exists():
        raise ModelError(f"{folder}: no exported model (config.json is missing); gerund export MODEL {folder} makes one")
    values = json_of(path)
    if isinstance(values, dict) and values.get("format") == MODEL_FORMAT:
        raise ModelError(f"{folder}: a model folder, not an exported one; gerund export {folder} OUT makes one")
    return known_format(values, path, EXPORT_FORMAT, (EXPORT_FORMAT_VERSION,), "an exported gerund model")


def exported_familiarity(folder: Path, checksums: Fields) -> Familiarity | None:
    """The sense of the unknown of an exported model, where it has one."""
    if EXPORTED_FAMILIARITY not in checksums.values:
        return None
    path = folder / EXPORTED_FAMILIARITY
    check_whole(path, checksums.text(EXPORTED_FAMILIARITY), EXPORT_AGAIN)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Familiarity.of_tensors(dict(arrays))
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: not readable ({first_line(error)}); {EXPORT_AGAIN}") from None


def open_onnx(path: Path) -> Network:
    try:
        import onnxruntime
    except ImportError:
        raise ModelError(f"{path}: needs onnxruntime; pip install onnxruntime") from None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def open_openvino(path: Path) -> Network:
    try:
        compiled = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except ImportError:
        raise ModelError(f"{path}: needs OpenVINO; pip install openvino") from None
    return lambda *arrays: compiled(list(arrays))[0]


OPENERS: dict[str, tuple[tuple[str, ...], Callable[[Path], Network]]] = {
    "onnx": (("backbone.onnx", "head.onnx"), open_onnx),
    "openvino": (("backbone.xml", "head.xml", "backbone.bin", "head.bin"), open_openvino),
}
"""The files of each format, backbone and head first, and how one is opened."""
EXPORTED_FILES = {name: files for name, (files, _) in OPENERS.items()} | {"torch": ("backbone.pt2", "head.pt2")}


def name_actions(words: list[str] | None = None) -> int:
    """`python -m gerund.recognition.runtime`; exit codes as those of gerund."""
    parser = argparse.ArgumentParser(
        prog="python -m gerund.recognition.runtime", description="Name the action in videos with an exported model."
    )
    parser.add_argument("model", type=Path, help="folder that gerund export wrote")
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO")
    parser.add_argument("--top-k", type=int, default=5, help="labels to give for each (default: 5)")
    parser.add_argument("--json", action="store_true", help="one line of JSON per video")
    prepare()
    given = parser.parse_args(words)
    if given.top_k < 1:
        parser.error(f"--top-k {given.top_k}: at least 1 is needed")
    if given.json:
        prepare_data("json")
    try:
        return print_answers(load(given.model), given)
    except GerundError as error:
        say(f"gerund: {error}", file=sys.stderr)
        return error.exit_code
    except (
        Exception
    ) as error:  # a graph that opens, and then is not what config.json says; the engines document no exception types
        say(f"gerund: {given.model}: {type(error).__name__}: {first_line(error)}; {EXPORT_AGAIN}", file=sys.stderr)
        return 1


def print_answers(model: ExportedModel, given: argparse.Namespace) -> int:
    """Name the action in the videos and print it; returns the exit code."""
    failed = False
    for path in given.videos:
        prediction = model.predict(path)
        failed |= prediction.error is not None
        if given.json:
            values = prediction.values(given.top_k)
            say(json_text({name: values[name] for name in PRINTED}))
        elif prediction.error:
            say(f"gerund: {prediction.error}", file=sys.stderr)
        else:
            lines = [f"  {100 * score:6.2f} %  {label}" for label, score in prediction.scores[: given.top_k]]
            doubt = f"  unknown; the best guess is {prediction.best_guess}" if prediction.unknown else ""
            say(f"{path}{doubt}", *lines)
    return SOME_VIDEOS_FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(name_actions())
