"""A pretrained encoder on disk: its weights, and what it was made for. `pretrain` writes it, `train --init` reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from gerund.core import files
from gerund.core.errors import ModelError, UsageError
from gerund.core.fields import Fields, json_of
from gerund.features.tokens import Sampling
from gerund.heads.learned.base import TorchHead
from gerund.heads.learned.transformer import TransformerHead
from gerund.recognition.folder import sha256
from gerund.recognition.weights import read_arrays

ENCODER_FORMAT, ENCODER_VERSION = "gerund-encoder", 1
ENCODER_WEIGHTS = "encoder.safetensors"
BEST = "best"
FREE = ("pooling", "dropout", "attention_dropout", "classifier_dropout", "position_scale")
"""Options of the head that change no weight of the encoder, so that training may choose its own."""
OWN = ("classify.", "score.", "cls")
"""Weights of the head that are not the encoder's."""


def made_for(fingerprint: str, fps: float | None, sampling: Sampling, options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that must be equal for an encoder's weights to make sense, by the name of its flag."""
    head = {f"head.{key}": value for key, value in options.items() if key not in FREE}
    return {"backbone": fingerprint, "fps": fps, **asdict(sampling), **head}


def save_encoder(head: TorchHead, use: Mapping[str, Any], folder: Path) -> None:
    """Write the encoder's weights and config.json into `best` in a folder, both or neither. Raises ModelError when that cannot be done."""
    state = {key: value.detach().cpu().contiguous() for key, value in head.state_dict().items() if not key.startswith(OWN)}
    try:
        with files.whole_folder(folder / BEST) as new:
            (new / ENCODER_WEIGHTS).write_bytes(save(state, {"format": "pt"}))
            config = {
                "format": ENCODER_FORMAT,
                "format_version": ENCODER_VERSION,
                "made_for": dict(use),
                "sha256": sha256(new / ENCODER_WEIGHTS),
            }
            (new / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{folder}: the encoder cannot be saved ({error.strerror}); choose another place with --out") from None


def load_encoder(folder: Path, head: object, use: Mapping[str, Any]) -> None:
    """Put a pretrained encoder's weights into a head, the means and deviations of the tokens with them.

    Raises UsageError when there is no encoder, or one for another set-up (naming what differs), ModelError when it is damaged.
    """
    if not isinstance(head, TransformerHead):
        raise UsageError(f"--init {folder}: holds the encoder of a transformer head; only --head transformer can start from it")
    files.tidy(folder)
    best = folder / BEST
    place = best if files.find(best).is_dir() else folder  # a folder of before has no `best` in it
    files.steadily(place, lambda found: read_encoder(found, folder, head, use))


def read_encoder(found: Path, folder: Path, head: TransformerHead, use: Mapping[str, Any]) -> None:
    """The same from this very folder; `folder` is the one that was asked for."""
    path = found / "config.json"
    config = json_of(path, UsageError) if path.is_file() else None
    if not isinstance(config, dict) or config.get("format") != ENCODER_FORMAT or not (found / ENCODER_WEIGHTS).is_file():
        raise UsageError(
            f"--init {folder}: not a folder made by gerund pretrain (its config.json and {ENCODER_WEIGHTS} are not in it)"
        )
    if config.get("format_version") != ENCODER_VERSION:
        raise ModelError(f"{path}: format version {config.get('format_version')} is not known here; update gerund")
    there = Fields(config, str(path)).object("made_for").values
    differing = [f"{key} {there.get(key)} there, {value} here" for key, value in use.items() if there.get(key) != value]
    if differing:
        raise UsageError(f"--init {folder}: made for another set-up: {'; '.join(differing)}. Train alike, or pretrain again")
    load_finite(found / ENCODER_WEIGHTS, head, read_arrays(found / ENCODER_WEIGHTS, Fields(config, str(path)).text("sha256")))
    if head.standardize is not None:
        head.standardize.fitted = True


def load_finite(path: Path, head: TorchHead, arrays: dict[str, np.ndarray]) -> None:
    """Put weights into a head, which may have more. Raises ModelError when some are none of its own, or not finite."""
    own, state = head.state_dict(), {key: torch.from_numpy(value) for key, value in arrays.items()}
    for key, value in state.items():
        if key not in own or own[key].shape != value.shape or own[key].dtype != value.dtype or not bool(value.isfinite().all()):
            raise ModelError(f"{path}: {key} does not fit the head, or has values that are not finite; pretrain again")
    head.load_state_dict(state, strict=False)
