"""Pages, each one HTML file: no outside requests, no script, light and dark, readable on a phone.

A page is a template beside the code that fills it. `core/page.html` and `core/page.css` are what all pages share, `core/parts.html`
what several have. Whatever is put into a template is escaped, and a name that is missing is an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

MESSAGES_SHOWN = 500
"""Findings of one kind that a page lists at most."""
MESSAGES_IN_SIGHT = 10
"""Up to so many are in sight at once; more unfold at a touch."""


@dataclass(frozen=True)
class FindingGroup:
    """Findings of one kind: how many, and the messages of the first MESSAGES_SHOWN."""

    area: str
    kind: str
    count: int
    messages: list[str]

    @property
    def is_open(self) -> bool:
        return self.count <= MESSAGES_IN_SIGHT


@cache
def templates() -> Environment:
    return Environment(
        loader=PackageLoader("gerund", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def fill_template(template: str, **values: Any) -> str:
    """A page from a template, which is named by its path in this package: `diagnosis/doctor.html`. `title` is needed by all."""
    return templates().get_template(template).render(values)


def grouped(findings: Iterable[Mapping[str, Any]]) -> list[FindingGroup]:
    """Findings (area, kind, message) by kind, in the order in which the kinds come."""
    messages: dict[tuple[str, str], list[str]] = defaultdict(list)
    for finding in findings:
        messages[finding["area"], finding["kind"]].append(finding["message"])
    return [FindingGroup(area, kind, len(found), found[:MESSAGES_SHOWN]) for (area, kind), found in messages.items()]
