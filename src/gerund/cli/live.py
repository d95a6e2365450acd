"""`gerund watch` on the terminal: events as they come, and below them a line that always says what is seen now."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from gerund.cli.show import Style, print_answer, print_rows
from gerund.core import progress
from gerund.core.printing import prepare_data
from gerund.core.types import BAR
from gerund.live.spotter import Event, Watch

if TYPE_CHECKING:
    from rich.live import Live


def show_watch(watch: Watch, style: Style) -> int:
    """Print events as they come; Ctrl-C ends what is going on, prints that too, and ends the command."""
    if style != "text":
        prepare_data(style)
    if style in ("csv", "excel"):
        print_rows([Event.columns], style)
    line = live_line(watch) if style == "text" and sys.stdout.isatty() and not progress.is_quiet() else contextlib.nullcontext()
    try:
        with line:
            try:
                for event in watch:
                    print_answer(event, style)
            except KeyboardInterrupt:
                for event in watch.close():
                    print_answer(event, style)
                raise
    finally:
        if watch.latencies:
            progress.note(pace(watch))
    if not watch.latencies:
        progress.note("The stream ended before there was enough of it to look at.")
    return 0


def pace(watch: Watch) -> str:
    latencies = sorted(watch.latencies)
    half, most = (1e3 * latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.95))
    return (
        f"{watch.looked} looks, {watch.dropped} frames dropped; from a frame's arrival to its label: "
        f"median {half:.0f} ms, 95 % within {most:.0f} ms"
    )


def live_line(watch: Watch) -> Live:
    """A line at the bottom of the terminal that always says what is seen now."""
    from rich.live import Live
    from rich.text import Text

    def line() -> Text:
        look = watch.now
        if look is None:
            return Text("waiting for a picture ...", "dim")
        best = int(look.scores.argmax())
        bar = "█" * round(BAR * float(look.scores[best]))
        return Text.assemble(
            f"{look.seconds:8.1f} s  ",
            (watch.playing or "no action", "bold" if watch.playing else "dim"),
            f"   now: {watch.labels[best]} {100 * look.scores[best]:.0f} % {bar:{BAR}}",
            (f"  latency {1e3 * look.latency:.0f} ms", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )

    return Live(get_renderable=line, refresh_per_second=4, transient=True)
