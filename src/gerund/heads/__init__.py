"""Temporal heads: tokens of a clip in, logits out. A new head = one file + one line here; its options are its keyword arguments.

`ridge` is solved in numpy, `graph` runs a saved head in OpenVINO; those of `learned` are trained in torch, which is imported when one is.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from gerund.core.addresses import addressed
from gerund.core.errors import UsageError, needs, unknown_name
from gerund.heads.base import Head, check_state

__all__ = ["HEADS", "Head", "build_head", "head_options", "in_closed_form", "loaded_head"]

HEADS: dict[str, str | type[Any]] = {
    "transformer": "gerund.heads.learned.transformer:TransformerHead",
    "bilstm": "gerund.heads.learned.bilstm:BiLstmHead",
    "mean": "gerund.heads.learned.mean:MeanHead",
    "frame": "gerund.heads.learned.frame:FrameHead",
    "prototype": "gerund.heads.ridge:PrototypeHead",
}


def build_head(
    name: str,
    *,
    token_dim: int,
    num_classes: int,
    num_frames: int,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> Head:
    """A freshly initialised head, of torch's own luck or with the first weights of a `seed`.

    Raises UsageError for an unknown head, an unknown option, or a value that does not fit.
    """
    kind, chosen = head_class(name), head_options(name, options or {})
    if issubclass(kind, Head):
        return kind(token_dim, num_classes, num_frames, **chosen)
    from gerund.heads.learned.base import LearnedHead, seeded

    return LearnedHead(seeded(seed, lambda: kind(token_dim, num_classes, num_frames, **chosen)))


def loaded_head(name: str, state: Mapping[str, np.ndarray], **build: Any) -> Head:
    """A head as `build_head` makes it, with weights by name. Raises ValueError, with the name, for one that is not the head's."""
    kind = head_class(name)
    if not issubclass(kind, Head):
        from gerund.heads.learned.base import LearnedHead

        return LearnedHead.filled(lambda: build_head(name, **build), state)
    head = build_head(name, **build)
    check_state({key: (value.shape, value.dtype) for key, value in head.state().items()}, state, head.optional)
    head.load(state)
    return head


def head_class(name: str) -> Any:
    """The class of a head, of a `Head` or a module of torch. Raises UsageError for an unknown one, or without the package it needs."""
    if is_address(name):
        return own_class(name)
    if name not in HEADS:
        raise unknown_name("head", name, HEADS, ", or your own as package.module:Class")
    kind = HEADS[name]
    if not isinstance(kind, str):
        return kind
    with needs("torch", "torch", f"head {name} is learned over epochs"):
        return addressed(kind)


def is_address(name: str) -> bool:
    """Whether a head is somebody's own class, named as `package.module:Class`."""
    return ":" in name


def own_class(name: str) -> Any:
    """The class that `package.module:Class` names, imported from where Python looks. Raises UsageError where there is none of a head."""
    module, _, kind = name.partition(":")
    with needs("torch", "torch", f"head {name} is learned over epochs"):
        try:
            found = addressed(name)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"head {name!r}: Python finds no module {error.name}; install its package, or go to the folder of "
                f"{module.partition('.')[0]}.py and write python -m gerund in place of gerund"
            ) from None
        except (AttributeError, ValueError) as error:
            raise UsageError(f"head {name!r}: {error}; write package.module:Class") from None
        if not inspect.isclass(found) or not issubclass(found, Head):
            from gerund.heads.learned.base import TorchHead

            if not inspect.isclass(found) or not issubclass(found, TorchHead):
                raise UsageError(
                    f"head {name!r}: {kind} is neither a gerund.heads.Head nor a TorchHead of gerund.heads.learned.base"
                )
    return found


def in_closed_form(name: str) -> bool:
    """Whether a head is solved for at once, without epochs."""
    kind = HEADS.get(name)
    is_learned = isinstance(kind, str) and kind.startswith("gerund.heads.learned.")
    return not is_learned and getattr(head_class(name), "in_closed_form", False)


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
