"""Reports as one HTML file: no outside requests, no script, light and dark, readable on a phone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

SHOWN = 500
"""Findings of one kind that a page lists at most."""
FEW = 10
"""Up to so many are in sight at once; more unfold at a touch."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fff; --soft: #f2f4f6; --line: #d8dde3; --dim: #5b6673;
  --bad: #b3261e; --good: #14804a; --odd: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --paper: #11161d; --soft: #1b232d; --line: #334050;
  --dim: #a9b4c0; --bad: #ff8a80; --good: #5fd08f; --odd: #f0b95a } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin-top: 2rem }
.verdict { font-weight: 600 } .bad { color: var(--bad) } .good { color: var(--good) } .odd { color: var(--odd) }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; padding: .5rem .75rem }
summary { cursor: pointer; font-weight: 600 }
ul { margin: .5rem 0; padding-left: 1.25rem } li { overflow-wrap: anywhere; margin: .25rem 0 }
.dim { color: var(--dim) } summary .dim { font-weight: 400 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .4rem; text-align: right } th { background: var(--soft) }
th:first-child, td:first-child { text-align: left; overflow-wrap: break-word; min-width: 5.5rem; max-width: 24rem }
.facts td { text-align: left; overflow-wrap: anywhere }
"""


def page(title: str, body: str, *, style: str = "") -> str:
    """A whole document; `body` is HTML, `title` text, `style` CSS beside the one all pages share. Pictures are data: URIs."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""


def doctor_page(data: str, values: Mapping[str, Any]) -> str:
    """The doctor's report on a data set, from `Diagnosis.values()`."""
    problems = [each for each in values["findings"] if each["level"] == "problem"]
    remarks = [each for each in values["findings"] if each["level"] == "remark"]
    verdict = f'<p class="verdict bad">Findings: {len(problems)}</p>' if problems else '<p class="verdict good">No findings</p>'
    parts = [verdict, *sections(problems, "bad")]
    if remarks:
        parts += ["<h2>Odd, but usable</h2>", *sections(remarks, "odd")]
    if values["leak"]:
        leak = values["leak"]
        parts.append(
            f"<h2>What a leaking split would claim</h2><p>Random split <b>{leak['random_split']:.2f}</b>, "
            f"group-safe <b>{leak['group_safe']:.2f}</b> (linear head, {leak['num_clips']} clips, {leak['num_groups']} groups)</p>"
        )
    parts += ["<h2>Notes</h2>", listing(values["notes"])]
    if values["classes"]:
        parts += ["<h2>Clips by class and split</h2>", table(values["classes"])]
    parts += ["<h2>Statistics</h2>", statistics(values["statistics"])]
    return page(f"gerund doctor: {data}", "\n".join(parts))


def sections(findings: Sequence[Mapping[str, Any]], colour: str) -> list[str]:
    """One fold-out for each kind of finding, those of files, labels and splits together."""
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for finding in findings:
        kinds[finding["area"], finding["kind"]].append(finding["message"])
    found = []
    for (area, kind), messages in kinds.items():
        more = f'<p class="dim">and {len(messages) - SHOWN} more</p>' if len(messages) > SHOWN else ""
        head = f'<summary><span class="{colour}">{escape(kind)}</span> <span class="dim">{escape(area)}, {len(messages)}</span></summary>'
        found.append(f"<details{' open' * (len(messages) <= FEW)}>{head}{listing(messages[:SHOWN])}{more}</details>")
    return found


def listing(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{escape(str(column))}</th>" for column in rows[0])
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row.values()) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def statistics(values: Mapping[str, Any]) -> str:
    lines = []
    for name, value in values.items():
        shown = ", ".join(f"{key}: {each}" for key, each in value.items()) if isinstance(value, Mapping) else f"{value:,}"
        lines.append(f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(shown)}</td></tr>")
    return f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>'
