"""Temporal heads: tokens of a clip in, logits out. A new head = one file + one line here; its options are its keyword arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from gerund.core.errors import UsageError
from gerund.heads.base import Head
from gerund.heads.learned.bilstm import BiLstmHead
from gerund.heads.learned.frame import FrameHead
from gerund.heads.learned.mean import MeanHead
from gerund.heads.learned.transformer import TransformerHead
from gerund.heads.ridge import PrototypeHead

__all__ = ["HEADS", "Head", "build_head", "head_options"]

HEADS: dict[str, type[Head]] = {
    "transformer": TransformerHead,
    "bilstm": BiLstmHead,
    "mean": MeanHead,
    "frame": FrameHead,
    "prototype": PrototypeHead,
}


def build_head(name: str, *, token_dim: int, num_classes: int, num_frames: int, options: Mapping[str, Any] | None = None) -> Head:
    """A freshly initialised head. Raises UsageError for an unknown head, an unknown option, or a value that does not fit."""
    return head_class(name)(token_dim, num_classes, num_frames, **head_options(name, options or {}))


def head_class(name: str) -> type[Head]:
    if name not in HEADS:
        raise UsageError(f"unknown head {name!r}; choose one of {', '.join(HEADS)}")
    return HEADS[name]


def in_closed_form(name: str) -> bool:
    """Whether a head is solved for at once, without epochs."""
    return head_class(name).in_closed_form


def head_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a head with their values: its defaults, overridden by what is given (`--head.dense-width 512`)."""
    parameters = inspect.signature(head_class(name)).parameters.values()
    options = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    for flag, value in given.items():
        key = flag.replace("-", "_")
        if key not in options:
            known = ", ".join(f"--head.{each.replace('_', '-')}" for each in options) or "none"
            raise UsageError(f"head {name!r} has no option --head.{key.replace('_', '-')}; it has: {known}")
        options[key] = option_value(key, value, type(options[key]))
    return options


def option_value(key: str, value: Any, kind: type) -> Any:
    """A value from the command line as the type of the option's default."""
    if kind is bool and str(value).lower() in ("true", "false", "yes", "no", "1", "0"):
        return str(value).lower() in ("true", "yes", "1")
    try:
        if kind is int and float(value) == int(float(value)):
            return int(float(value))
        if kind in (float, str):
            return kind(value)
    except (ValueError, OverflowError):  # infinity is no whole number
        pass
    raise UsageError(f"--head.{key.replace('_', '-')} {value}: not a value of type {kind.__name__}")
