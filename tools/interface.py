"""Writes down what people rely on: every public name with its signature, every command with its options.

    python tools/interface.py > tests/program/interface.txt

A test compares the list with the code, so that no option and no default changes unseen.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from typing import Any, get_args

from cyclopts import App

import gerund
from gerund.cli import app as cli
from gerund.cli.show import columns_of

STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def lines() -> Iterator[str]:
    for name in gerund.__all__:
        yield from described(name, getattr(gerund, name))
    yield "gerund " + " ".join(sorted(options(cli.app.meta)))
    for command in cli.COMMANDS:
        for option in options(cli.app[command]):
            yield f"gerund {command} {option}"
    for command in sorted(command for command in cli.COMMANDS if not columns_of(cli.function_of(command))):
        yield f"gerund {command} refuses --csv"
    for alias, option in cli.ALIASES.items():
        yield f"alias {alias} = {option}"


def described(name: str, thing: Any) -> Iterator[str]:
    """A function with its arguments and defaults; a class with those of itself and of its public methods."""
    yield f"{name}({arguments(thing)})"
    if not inspect.isclass(thing):
        return
    for member, value in sorted(inspect.getmembers(thing)):
        if member.startswith("_") or hasattr(BaseException, member):
            continue
        if callable(value):
            yield f"{name}.{member}({arguments(value)})"
        elif isinstance(value, property | cached_property):
            yield f"{name}.{member}"


def arguments(function: Any) -> str:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a method of a built-in type
        return "..."
    shown, keywords = [], False
    for parameter in parameters:
        if str(parameter.annotation).startswith("Unpack["):  # keywords that are listed one by one, each None if not given
            (settings,) = get_args(inspect.get_annotations(function, eval_str=True)[parameter.name])
            shown += [f"{name}=None" for name in settings.__annotations__]
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            shown.append("*")
        star = STARS.get(parameter.kind, "")
        keywords = keywords or parameter.kind is parameter.VAR_POSITIONAL
        default = "" if parameter.default is parameter.empty else f"={value_of(parameter.default)}"
        shown.append(f"{star}{parameter.name}{default}")
    return ", ".join(shown)


def options(command: App) -> Iterator[str]:
    """Each option with all its names and the default that its help shows."""
    for argument in command.assemble_argument_collection():
        if argument.show:
            default = argument.field_info.default
            known = "" if default in (argument.field_info.empty, None) else f" ({value_of(default)})"
            yield " ".join(argument.names) + known


def value_of(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else repr(value)


if __name__ == "__main__":
    print("\n".join(lines()))
