"""Names for the numbers in lists: files with the names of the classes, and from where on they count."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import read_json, read_lines
from gerund.data.datasets.files import files_like

CLASS_MAP_NAMES = (
    "classind.txt",
    "class*.txt",
    "label*.txt",
    "*label_map*.txt",
    "*labels.csv",
    "class*.json",
    "*classnames.json",
    "labels.json",
)
"""How a file with the names of the classes may be called, beside the list."""
CLASS_MAP_HEADERS = frozenset("id index number class_id label_id name class class_name label label_name".split())
MOST_DIGITS = 9


def is_class_map(file: Path) -> bool:
    return any(fnmatch(file.name.lower(), pattern) for pattern in CLASS_MAP_NAMES)


def class_number(label: str, where: str) -> int | None:
    """The number that a label is, or None for a name."""
    if not label.isdecimal():
        return None
    if len(label) > MOST_DIGITS:
        raise DataError(f"{where}: the label is a number of {len(label)} digits, not that of a class")
    return int(label)


def names_for(numbered: Sequence[tuple[str, str, int]], source: Path, classes: Path | None) -> dict[int, str]:
    """What the numbers of a list mean, by the class map `classes` or the one beside the list.

    `numbered` holds where a number stands, the path beside it, and the number. Maps count from 0 or from 1, and so do lists. Where the
    paths name classes, they tell which; if not, the numbers 0 and the last one do. Raises DataError where nothing tells, and for a
    number without a name.
    """
    found = classes or next((each for each in files_like(source.parent, "*") if is_class_map(each)), None)
    if found is None:
        raise DataError(
            f"{numbered[0][0]}: the label is the number {numbered[0][2]}; labels are names: put a file classes.txt with "
            f"one name per line, number 0 first, beside the list, or give its path: {source}::PATH"
        )
    names = read_class_map(found, {number for _, _, number in numbered})
    shift = shift_of(names, [(path, number) for _, path, number in numbered], source, found)
    for where, _, number in numbered:
        if number + shift not in names:
            raise DataError(f"{where}: the label is the number {number}, which {found} does not name")
    return {number - shift: name for number, name in names.items()}


def shift_of(names: Mapping[int, str], numbered: Sequence[tuple[str, int]], source: Path, found: Path) -> int:
    """What to add to the numbers of a list, so that they are those of the map: 1 where only the map counts from 1, -1 where only
    the list does."""
    first, last, used = min(names), max(names), {number for _, number in numbered}
    other = {0: -1, 1: 1}.get(first, 0)
    classes = {letters_and_digits(name): name for name in names.values()}
    told = [(number, name) for path, number in numbered if (name := name_in(path, classes))]
    votes = Counter(shift for number, name in told for shift in {0, other} if names.get(number + shift) == name)
    if votes and votes.most_common(1)[0][1] > len(told) / 2:
        return votes.most_common(1)[0][0]
    if first == 0 and used <= set(range(1, last + 2)):
        if last + 1 not in used:
            note(f"{source}: no label is 0; numbers are taken to count from 0 all the same, as in {found}.")
        return -1 if last + 1 in used else 0
    if first == 1 and 0 in used:
        return 1
    if first == 1 and last not in used and used <= set(names):
        raise DataError(
            f"{source}: do its numbers count from 0 or from 1? {found} counts from 1 to {last}, and no label is 0 or {last}; "
            "write the names of the classes in the list, or let the numbers of the class map begin where those of the list do"
        )
    return 0


def name_in(path: str, classes: Mapping[str, str]) -> str | None:
    """The class that a path names: a folder in it, or the beginning of the file's name (v_Punch_g01_c01, punch3)."""
    *folders, file = path.replace("\\", "/").split("/")
    for folder in reversed(folders):
        if letters_and_digits(folder) in classes:
            return classes[letters_and_digits(folder)]
    words = re.findall(r"[^\W_]+", file.casefold())
    words = words[1:] if words[:1] == ["v"] else words
    for end in range(min(len(words), 12), 0, -1):
        whole = "".join(words[:end])
        for each in (whole, whole.rstrip("0123456789")):
            if each in classes:
                return classes[each]
    return None


def letters_and_digits(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def read_class_map(path: Path, used: Collection[int] = ()) -> dict[int, str]:
    """Number -> name, from lines of names (from 0), `number name` or `name number`, or from a JSON object or list.

    Lines hold numbers if these are 0 to n - 1 or 1 to n and no two names are the same (so not `drill 1`, `drill 2`), if a header
    says so, or if they are those `used` in a list and mere names would not have them.
    """
    if path.suffix.lower() == ".json":
        return distinct(json_map(path), path)
    lines = [line for _, line in read_lines(path)]
    header = len(lines) > 1 and len(words := re.split(r"[\s,;:]+", lines[0].lower())) > 1 and CLASS_MAP_HEADERS.issuperset(words)
    lines = lines[header:]
    for pairs in ([number_first(line) for line in lines], [number_last(line) for line in lines]):
        whole = [pair for pair in pairs if pair]
        names = dict(whole)
        if lines and len(set(names.values())) == len(names) == len(whole) == len(lines):
            counted = set(names) in (set(range(len(lines))), set(range(1, len(lines) + 1)))
            if counted or header or (set(used) <= set(names) and not set(used) <= set(range(len(lines) + 1))):
                return names
    return distinct(dict(enumerate(map(unquoted, lines))), path)


def distinct(names: dict[int, str], path: Path) -> dict[int, str]:
    if not names:
        raise DataError(f"{path}: the class map is empty")
    name, count = Counter(names.values()).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path}: {name!r} is the name of {count} classes")
    return names


def number_first(line: str) -> tuple[int, str] | None:
    match = re.match(r"([0-9]{1,9})[\s,;:]+(.+)", line)
    return (int(match[1]), unquoted(match[2])) if match else None


def number_last(line: str) -> tuple[int, str] | None:
    before = line.rstrip("0123456789")
    name, digits = before.rstrip(" \t,;:"), line[len(before) :]
    return (int(digits), unquoted(name)) if name and len(name) < len(before) and 0 < len(digits) <= MOST_DIGITS else None


def unquoted(text: str) -> str:
    return text.strip().strip('"').strip()


def json_map(path: Path) -> dict[int, str]:
    values = read_json(path)
    pairs = enumerate(values) if isinstance(values, list) else values.items() if isinstance(values, dict) else ()
    names: dict[int, str] = {}
    for key, value in pairs:
        number, name = (key, value) if str(key).isdecimal() else (value, key)
        if not str(number).isdecimal() or len(str(number)) > MOST_DIGITS or not isinstance(name, str):
            raise DataError(f"{path}: {json.dumps({str(key): value}, default=str)[:80]} is not a number and a name")
        if int(number) in names:
            raise DataError(f"{path}: the number {number} has two names, {names[int(number)]!r} and {name!r}")
        names[int(number)] = unquoted(name)
    if not names:
        raise DataError(f"{path}: expected an object of names and numbers, or a list of names")
    return names
