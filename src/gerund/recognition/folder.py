"""A model folder: where one lies, what its config.json says, and whether its files are whole. Needs no torch.

config.json          everything but the weights, in the shape that Hugging Face tools read
model.safetensors    the head
unknown.safetensors  the sense of the unknown, where there is one
backbone.xml and .bin    the backbone as a graph, where it is bundled and not part of the installation; backbone-int8.xml and .bin its int8 copy
backbone.safetensors     its weights, with which torch can go on
head.xml and .bin        a head that was learned in torch, as a graph
README.md            the model card
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gerund.core import files, hub
from gerund.core.errors import ModelError
from gerund.core.fields import Fields, checked_labels, is_number, json_of, resize_in
from gerund.core.places import as_path
from gerund.core.types import composed
from gerund.features.tokens import MOST_STEPS, Sampling, sampling_in
from gerund.heads.durations import Durations

MODEL_FORMAT, MODEL_FORMAT_VERSION = "gerund", 2
READABLE_VERSIONS = (1, 2)
"""Folders of version 1 have no graphs: what was made by torch needs torch."""
CHECKED_FILES = ("backbone.xml", "backbone.bin", "backbone.safetensors", "head.xml", "head.bin")
HEAD_FILE, FAMILIARITY_FILE, BACKBONE_FILE = "model.safetensors", "unknown.safetensors", "backbone.safetensors"
INT8_FILE, HEAD_GRAPH = "backbone-int8.xml", "head.xml"
EXPORTED_FILES = {
    "onnx": ("backbone.onnx", "head.onnx"),
    "openvino": ("backbone.xml", "head.xml", "backbone.bin", "head.bin"),
    "torch": ("backbone.pt2", "head.pt2"),
}
"""What an export for other programs consists of in each format, backbone and head first."""
REMEDY = "copy the model again or train it again"
HIGHEST_FPS, LONGEST_CLIP, HOTTEST = 1000.0, 1e6, 1e6
"""Frames per second, seconds of a clip and temperature: no model has more, nor more of what follows."""
LOG_LONGEST = 14.0
"""ln of LONGEST_CLIP, rounded up."""
MOST_HEAD_LAYERS, LARGEST_OPTION = 256, 2**17


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What config.json of a model folder says.

    `backbone` is what `rebuild_backbone` needs; `bundled` says that its weights lie in the folder. The checksums are None of a model
    that is not in a folder yet; `unknown_sha256` is None of one that cannot tell what is unknown. `files` are
    those of backbone and head beside it, with their checksums.
    """

    labels: list[str]
    backbone: Mapping[str, Any]
    fps: float | None
    precision: str
    sampling: Sampling
    head_name: str
    head_options: Mapping[str, Any]
    temperature: float
    clip_seconds: float | None
    durations: Durations | None = None
    bundled: bool = False
    model_sha256: str | None = None
    unknown_sha256: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """The configuration of the model in a folder, every entry checked. Raises ModelError, which names the entry."""
        path = folder / "config.json"
        config = known_format(json_of(path), path, MODEL_FORMAT, READABLE_VERSIONS, "a gerund model")
        features, head = config.object("features"), config.object("head")
        precision = features.text("precision")
        if precision not in ("bf16", "f32") and not precision.startswith("int8"):
            raise config.wrong("features: precision", precision, "bf16, f32 or int8-...")
        return cls(
            labels=labels_in(config),
            backbone=backbone_in(config.object("backbone")),
            fps=features.optional("fps", HIGHEST_FPS),
            precision=precision,
            sampling=sampling_in(config.object("sampling")),
            head_name=head.text("name"),
            head_options=options_in(head),
            temperature=config.positive("temperature", HOTTEST, 1.0),  # models of before are not calibrated
            clip_seconds=config.optional("clip_seconds", LONGEST_CLIP),
            durations=durations_in(config),
            bundled=config.flag("bundled", False),
            model_sha256=config.text("model_sha256"),
            unknown_sha256=config.text("unknown_sha256") if "unknown_sha256" in config.values else None,
            files=files_in(config.object("files")) if "files" in config.values else {},
        )

    def values(self) -> dict[str, Any]:
        """The same as config.json holds it, without the entries of a folder when there is none yet."""
        values = {
            "format": MODEL_FORMAT,
            "format_version": MODEL_FORMAT_VERSION,
            "id2label": {str(index): label for index, label in enumerate(self.labels)},
            "label2id": {label: index for index, label in enumerate(self.labels)},
            "backbone": dict(self.backbone),
            "features": {"fps": self.fps, "precision": self.precision},
            "sampling": asdict(self.sampling),
            "head": {"name": self.head_name, "options": dict(self.head_options)},
            "temperature": self.temperature,
            "clip_seconds": self.clip_seconds,
        }
        if self.durations is not None:
            own = {"log_seconds": list(self.durations.mean), "spread": list(self.durations.spread)}
            values["durations"] = own | (
                {"follow": [list(row) for row in self.durations.follow]} if self.durations.follow else {}
            )
        if self.model_sha256 is not None:
            values |= {"bundled": self.bundled, "model_sha256": self.model_sha256}
        if self.files:
            values["files"] = dict(self.files)
        return values if self.unknown_sha256 is None else values | {"unknown_sha256": self.unknown_sha256}


def known_format(values: Any, path: Path, name: str, versions: Sequence[int], what: str) -> Fields:
    """The entries of a config.json at `path`. Raises ModelError when it is not of this format and a version; `what` names the format."""
    if not isinstance(values, dict) or values.get("format") != name:
        raise ModelError(f"{path}: not {what}")
    if values.get("format_version") not in versions:
        known = f"version{'s' * (len(versions) > 1)} {' and '.join(map(str, versions))}"
        raise ModelError(f"{path}: format version {values.get('format_version')}, but this gerund reads {known}; update gerund")
    return Fields(values, str(path))


def labels_in(config: Fields) -> list[str]:
    """The labels in the order of the head's outputs."""
    names = config.object("id2label").values
    labels = checked_labels([names.get(str(index)) for index in range(len(names))], config)
    return checked_labels([composed(label) for label in labels], config)


def durations_in(config: Fields) -> Durations | None:
    """How long each label lasts, where a model knows it."""
    if "durations" not in config.values:
        return None
    fields, count = config.object("durations"), len(config.object("id2label").values)
    mean, spread = fields.numbers("log_seconds", count), fields.numbers("spread", count)
    if min(spread) <= 0 or max(map(abs, (*mean, *spread))) > LOG_LONGEST:
        raise fields.wrong("log_seconds and spread", [*mean, *spread], f"up to {LOG_LONGEST:g}, spread above 0")
    follow = fields.values.get("follow", [])
    if not isinstance(follow, list) or len(follow) not in (0, count):
        raise fields.wrong("follow", follow, f"{count} lists of {count} numbers")
    rows = (Fields({"follow": row}, fields.where).numbers("follow", count) for row in follow)
    return Durations(mean, spread, tuple(rows))


def files_in(fields: Fields) -> dict[str, str]:
    """The files of backbone and head with their checksums; no other file can be named."""
    return {name: fields.text(name) for name in CHECKED_FILES if name in fields.values}


def options_in(head: Fields) -> dict[str, Any]:
    """Options of a head: texts, switches and numbers, none of a size that no head has."""
    options = head.object("options")
    for key, value in options.values.items():
        if isinstance(value, bool | str):
            continue
        most = MOST_HEAD_LAYERS if "layers" in key else LARGEST_OPTION
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
        "feature_dim": fields.whole("feature_dim", 1, LARGEST_OPTION),
        "window": fields.whole("window", 1, MOST_STEPS, 1),
        "stride": fields.whole("stride", 1, MOST_STEPS, 1),
        "architecture": None if architecture is None else dict(fields.object("architecture").values),
    }


def model_folder(model: str | Path) -> Path:
    """The model folder that is meant: a folder itself, the `best` in a run folder, or for hf:USER/MODEL the one fetched from the hub."""
    path = hub.fetch_model(str(model)) if hub.is_remote(model) else as_path(model)
    return path / "best" if files.find(path / "best").is_dir() else path


def find_model(model: str | Path) -> Path:
    """The place of a model's folder. Raises ModelError when there is none."""
    return files.steadily(model_folder(model), lambda folder: checked_folder(folder, model))


def checked_folder(path: Path, model: str | Path) -> Path:
    """The same folder. Raises ModelError when it is none of a model; `model` is what it was asked for as."""
    if (path / "config.json").is_file() and (path / HEAD_FILE).is_file():
        return path
    if not path.is_dir():
        raise ModelError(f"{model}: no such model folder")
    if (path / "config.json").is_file() and (path / "README.md").is_file() and any(path.glob("backbone.*")):
        raise ModelError(f"{model}: an export for other programs; give the model that it was made of (docs/exporting.md)")
    inside = "" if hub.is_remote(model) or path.name == "best" else f", also in {path.name}/best"
    raise ModelError(f"{model}: not a model folder (config.json and model.safetensors are missing{inside})")


def check_whole(path: Path, expected: str, remedy: str = REMEDY) -> None:
    """Raise ModelError for a file that is missing, or whose SHA-256 is not the recorded one."""
    if not path.is_file():
        raise ModelError(f"{path}: missing; {remedy}")
    if sha256(path) != expected:
        raise ModelError(f"{path}: damaged (its SHA-256 is not the one in config.json); {remedy}")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
