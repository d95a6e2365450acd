"""Draw the rooms of src/gerund and what they import as a picture: python tools/rooms.py [FILE.svg]

Floors are read from docs/design.md; a room is the wider the more lines it has; an arrow goes from a room to one that it imports.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE, PAGE, PICTURE = ROOT / "src" / "gerund", ROOT / "docs" / "design.md", ROOT / "docs" / "rooms.svg"

WIDTH, ROW, BOX = 1000, 74, 40
"""Units of the picture: how wide it is, from one floor to the next, and how high a room is."""
LEFT, TOP = 70, 16
LINES_PER_UNIT = 18.0
LEAST_WIDTH = 92
EDGE = 0.25
"""How far from the edge the first and last room of a floor stand, against the distance between two."""
ASIDE = 80
"""How far a room that has a floor for itself stands left or right of the middle, in turn, so that arrows pass by it."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b2430 } .dim { font-size: 11px; fill: #5b6673 }
.paper { fill: #fff } .room { fill: #eaf1fd; stroke: #1f6feb }
path { fill: none; stroke: #5b6673 } .direct { stroke-width: 1.6 } .more { stroke-width: 1; stroke-opacity: .3 }
marker path { fill: #5b6673; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e8ecf1 } .dim { fill: #a9b4c0 } .paper { fill: #11161d } .room { fill: #17263d; stroke: #6aa9ff }
  path { stroke: #a9b4c0 } marker path { fill: #a9b4c0 }
}
"""


def floors(page: str) -> dict[str, int]:
    """Room -> floor, from the table of the design page, from the top down."""
    return {room: int(floor) for floor, room in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)}


def lines_of(room: str) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (SOURCE / room).rglob("*.py"))


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    """Rooms that a module imports from, in functions too; what is under `if TYPE_CHECKING` does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            yield from imported_rooms(node)
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("gerund."))


def arrows(rooms: dict[str, int]) -> set[tuple[str, str]]:
    """Pairs of a room and one that it imports."""
    found = set()
    for room in rooms:
        for path in (SOURCE / room).rglob("*.py"):
            targets = set(imported_rooms(ast.parse(path.read_text(encoding="utf-8"))))
            found |= {(room, target) for target in targets & rooms.keys() - {room}}
    return found


def is_direct(arrow: tuple[str, str], arrows: set[tuple[str, str]]) -> bool:
    """Whether no other room that is imported leads there too."""
    start, end = arrow
    waiting, seen = [target for source, target in arrows if source == start and target != end], set()
    while waiting:
        room = waiting.pop()
        if room not in seen:
            seen.add(room)
            waiting += [target for source, target in arrows if source == room]
    return end not in seen


def boxes(rooms: dict[str, int]) -> dict[str, tuple[float, float, float]]:
    """Left, top and width of each room; those of a floor share its row evenly."""
    highest, found = max(rooms.values()), dict[str, tuple[float, float, float]]()
    for floor in range(highest + 1):
        members = [room for room in rooms if rooms[room] == floor]
        widths = [max(LEAST_WIDTH, lines_of(room) / LINES_PER_UNIT) for room in members]
        gap = (WIDTH - LEFT - sum(widths)) / (len(members) - 1 + 2 * EDGE)
        left = LEFT + EDGE * gap + (ASIDE * (-1) ** floor if len(members) == 1 and 0 < floor < highest else 0)
        for room, width in zip(members, widths, strict=True):
            found[room] = (left, TOP + ROW * (highest - floor), width)
            left += width + gap
    return found


def picture() -> str:
    """The whole SVG."""
    rooms = floors(PAGE.read_text(encoding="utf-8"))
    places, pairs = boxes(rooms), arrows(rooms)
    marks = [f'<rect class="paper" width="{WIDTH}" height="{TOP + ROW * (max(rooms.values()) + 1)}"/>']
    for floor in range(max(rooms.values()) + 1):
        y = TOP + ROW * (max(rooms.values()) - floor) + BOX / 2
        marks.append(f'<text class="dim" x="10" y="{y + 4:.0f}">floor {floor}</text>')
    for source, target in sorted(pairs):
        marks.append(arrow(source, target, places, pairs))
    for room, (left, top, width) in places.items():
        middle = left + width / 2
        marks.append(
            f'<rect class="room" id="{room}" x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{BOX}" rx="6"/>'
            f'<text x="{middle:.0f}" y="{top + 17:.0f}" text-anchor="middle">{room}</text>'
            f'<text class="dim" x="{middle:.0f}" y="{top + 32:.0f}" text-anchor="middle">{round(lines_of(room), -2):,} lines</text>'
        )
    height = TOP + ROW * (max(rooms.values()) + 1)
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
    head = f'{tip}<path d="M0 0L8 4L0 8z"/></marker>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="The rooms of gerund and their imports">\n'
        f"<style>{STYLE}</style>\n<defs>{head}</defs>\n" + "\n".join(marks) + "\n</svg>\n"
    )


def arrow(source: str, target: str, places: dict[str, tuple[float, float, float]], pairs: set[tuple[str, str]]) -> str:
    """From the lower edge of a room to the upper edge of another, each arrow at a place of its own."""
    left, top, width = places[source]
    goal_left, goal_top, goal_width = places[target]
    leaving = sorted((other for one, other in pairs if one == source), key=lambda room: places[room][0])
    coming = sorted((one for one, other in pairs if other == target), key=lambda room: places[room][0])
    x = left + width * (leaving.index(target) + 1) / (len(leaving) + 1)
    goal = goal_left + goal_width * (coming.index(source) + 1) / (len(coming) + 1)
    y, end = top + BOX, goal_top
    bend = min(ROW, (end - y) / 2)
    kind = "direct" if is_direct((source, target), pairs) else "more"
    curve = f"M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {goal:.0f} {end - bend:.0f} {goal:.0f} {end:.0f}"
    return f'<path class="{kind}" id="{source}-{target}" d="{curve}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    target.write_text(picture(), encoding="utf-8")
