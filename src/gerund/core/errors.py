"""Every error that gerund raises on purpose. A message names the thing, the value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class GerundError(Exception):
    """Base of all errors a user can meet; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(GerundError):
    """An argument or option that cannot be: an unknown name, a value out of range, two options that exclude each other."""

    exit_code = 2


def unknown_name(kind: str, word: str, known: Iterable[str], more: str = "") -> UsageError:
    """The error for a name that there is not, with those that resemble it; `more` ends the sentence."""
    names = list(known)
    meant = near(word, names)
    proposal = f"did you mean {' or '.join(meant)}? There are" if meant else "choose one of"
    return UsageError(f"unknown {kind} {word!r}; {proposal} {', '.join(names)}{more}")


def near(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The names that somebody may have meant: equal but for case and hyphens, or beginning or ending so, or misspelt."""

    def plain(name: str) -> str:
        return "".join(letter for letter in name.casefold() if letter.isalnum())

    names, asked = {name: plain(name) for name in known}, plain(word)
    equal = [name for name, text in names.items() if text == asked]
    parts = [name for name, text in names.items() if asked and (text.startswith(asked) or text.endswith(asked))]
    return (equal or [*dict.fromkeys([*parts, *difflib.get_close_matches(word, names, n=most)])])[:most]


def at_least(low: float, **given: float | None) -> None:
    """Raise UsageError, naming the flag, for a number below `low`, or one that is not finite; None is no number."""
    for name, value in given.items():
        if value is not None and not low <= value < float("inf"):
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: at least {low:g} is needed")


@contextmanager
def needs(package: str, extra: str, why: str) -> Iterator[None]:
    """Raise UsageError, with the extra of gerund that brings it, where a package that is not everybody's is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        named = package.replace("_", "-")
        raise UsageError(f"{why}, which needs {named}; pip install 'gerund[{extra}]'") from None


class DataError(GerundError):
    """A data set that cannot be used: a folder without clips, a manifest with a wrong column, a split that leaks."""


class VideoError(GerundError):
    """A file that cannot be decoded, or written, as video."""


class StreamError(VideoError):
    """A media file without a picture track that can be decoded: only audio or subtitles in it, or an unknown codec."""


class ClipError(VideoError):
    """A clip that its video cannot serve: a span beyond the end, a video without a single feature row."""


class BackboneError(GerundError):
    """A backbone whose weights are missing, do not fit, or cannot be fetched."""


class ClusterError(GerundError):
    """A cluster that cannot be reached, or on which no worker stays alive."""


class CacheError(GerundError):
    """A feature cache that cannot be read or written."""


class ModelError(GerundError):
    """A model folder that is missing, damaged, or of an unknown format version."""


class TrainingError(GerundError):
    """Training that cannot start or go on: too few classes, features or losses that are not finite."""


def first_line(error: Exception) -> str:
    """What another library's error says, in one line of at most 200 characters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
