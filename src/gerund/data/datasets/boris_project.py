"""Project files of BORIS (.boris, JSON): their observations as the rows that BORIS itself would export as a table of events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gerund.core.errors import DataError
from gerund.core.progress import note
from gerund.core.texts import number, read_json
from gerund.data.datasets.files import field

PROJECT_SUFFIX = ".boris"
SUBJECT_AT, BEHAVIOUR_AT, MODIFIER_AT = 1, 2, 3
"""Where an event has its subject, behaviour and modifiers; its time comes first."""


def project_rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each event of each observation with videos stands, and its values by the columns of an exported table.

    State events alternate between START and STOP for each subject, behaviour and modifiers. Times hold the observation's offset. Observations
    without videos (live, pictures) are left out, which is said. Raises DataError for what is no project.
    """
    project = read_json(file)
    kinds = dict(behaviours(field(project, "behaviors_conf", dict, file), file))
    observations = field(project, "observations", dict, file)
    bare = [name for name, each in observations.items() if field(each, "type", str, f"{file}: observation {name!r}") != "MEDIA"]
    if bare:
        note(f"{file}: {len(bare)} observation{'s' * (len(bare) != 1)} without videos ({', '.join(bare[:3])}) left out")
    if several := [name for name, each in observations.items() if name not in bare and len(players_of(each, file)) > 1]:
        note(
            f"{file}: {len(several)} observation{'s' * (len(several) != 1)} with several players; the videos of the first are taken"
        )
    for name, observation in observations.items():
        if name not in bare:
            yield from observed(name, observation, kinds, file)


def behaviours(ethogram: dict[str, Any], file: Path) -> Iterator[tuple[str, bool]]:
    """Each behaviour, and whether it lasts."""
    for number_, each in ethogram.items():
        where = f"{file}: behaviour {number_}"
        yield field(each, "code", str, where), field(each, "type", str, where).lower().startswith("state")


def players_of(observation: dict[str, Any], file: Path) -> list[str]:
    """The players that show something; all but the first show the same events from elsewhere."""
    return [player for player, media in field(observation, "file", dict, f"{file}: an observation").items() if media]


def observed(name: str, observation: dict[str, Any], kinds: dict[str, bool], file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    where = f"{file}: observation {name!r}"
    media = field(field(observation, "file", dict, where), "1", list, f"{where}: file")
    if not media:
        raise DataError(f"{where}: no video in the first player")
    lengths = (observation.get("media_info") or {}).get("length") or {}
    common = {
        "Observation id": name,
        "Source": ";".join(map(str, media)),
        "Time offset (s)": str(observation.get("time offset") or 0),
        "Media duration (s)": ";".join(str(lengths[each]) for each in media if each in lengths),
    }
    going: set[tuple[str, str, str]] = set()
    for place, event in enumerate(sorted(field(observation, "events", list, where), key=lambda each: time_of(each, where)), 1):
        at = f"{where}: event {place}"
        subject, behaviour, modifier = (str(event[index]) for index in (SUBJECT_AT, BEHAVIOUR_AT, MODIFIER_AT))
        if behaviour not in kinds:
            raise DataError(f"{at}: {behaviour!r} is not in the ethogram of the project")
        same, kind = (subject, behaviour, modifier), "POINT"
        if kinds[behaviour]:
            kind = "STOP" if same in going else "START"
            going ^= {same}
        values = {"Subject": subject, "Behavior": behaviour, "Modifiers": modifier, "Behavior type": kind, "Time": str(event[0])}
        yield at, common | values


def time_of(event: Any, where: str) -> float:
    """The time of an event in seconds, which begins it. Raises DataError for what is no event."""
    if not isinstance(event, list) or len(event) <= MODIFIER_AT:
        raise DataError(f"{where}: {str(event)[:40]!r} is not an event: time, subject, behaviour, modifiers, comment")
    return number(event[0], f"{where}: time of an event", least=-1e9)
