"""The command line. Each command is one function of the Python API, with the same names and defaults; here it is only shown."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from gerund.cli.commands import COMMANDS, PURPOSE, TERMINAL_OPTIONS, overview
from gerund.cli.show import Style, columns_of, show
from gerund.core import progress
from gerund.core.addresses import addressed
from gerund.core.errors import GerundError, UsageError
from gerund.core.printing import prepare, say

INTERRUPTED = 130
TERMINAL = Group.create_ordered("On the terminal", sort_key=1)


def function_of(command: str) -> Callable[..., Any]:
    """The function of the Python API that a command calls."""
    return addressed(COMMANDS[command][0])


FLAG_NAMES = {"head_options": "head"}
"""Where a flag is not simply the argument's name: options of the head are --head.width and so on."""


def terminal(flag: str) -> Parameter:
    """How one of the options is shown that every command takes."""
    return Parameter(help=TERMINAL_OPTIONS[flag], group=TERMINAL, negative="")


def flag_name(argument: str) -> str:
    return FLAG_NAMES.get(argument, argument).replace("_", "-").strip("-")


ALIASES = {
    "--num-epochs": "--epochs",
    "--sequence-length": "--num-frames",
    "--img-dim": "--image-size",
    "--latent-dim": "--head.latent",
}
"""Flags of the two original projects, under the names they have here."""


def modern(words: Sequence[str]) -> list[str]:
    """Aliases replaced, `evaluate --timeline` made its own command, a `--resume` without a value `--resume last`.

    A lone `-` (standard input) is made no unknown option.
    """
    if "-" in words:
        words = [*(word for word in words if word != "-"), "--", "-"]
    renamed = []
    for word in words:
        flag, equals, value = word.partition("=")
        renamed.append(ALIASES.get(flag, flag) + equals + value)
    if "--resume" in renamed:
        after = renamed.index("--resume") + 1
        if after == len(renamed) or renamed[after].startswith("--"):
            renamed.insert(after, "last")
    if renamed[:1] == ["evaluate"] and "--timeline" in renamed:
        renamed = ["evaluate-timeline", *(word for word in renamed[1:] if word != "--timeline")]
    return renamed


app = App(
    name="gerund",
    help=PURPOSE,
    version_flags=["--version"],
    default_parameter=Parameter(name_transform=flag_name, negative_iterable=()),
    result_action="return_value",
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    print_error=False,
)
for command, (target, summary) in COMMANDS.items():
    app.command(target, name=command, help=summary)


@app.meta.default
def launch(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Annotated[bool, terminal("--json")] = False,
    csv: Annotated[bool, terminal("--csv")] = False,
    quiet: Annotated[bool, terminal("--quiet")] = False,
    debug: Annotated[bool, terminal("--debug")] = False,
) -> int:
    """Name the action in a video."""
    prepare()
    progress.speak(quiet=quiet)
    style: Style = "json" if json else "csv" if csv else "text"
    try:
        command, *options = modern(words) or [""]
        if not command:
            say(*overview())
            return 0
        function = function_of(command) if command in COMMANDS else None
        columns = columns_of(function) if csv and function else ()
        if csv and function and not columns and "--help" not in options:
            raise UsageError(f"--csv: {command} has no rows to print; it prints text, or JSON with --json")
        result = app([command, *options])
        if result is None or progress.is_mute():
            return 0
        if command == "watch":
            from gerund.cli.live import show_watch

            return show_watch(result, style)
        return show(result, style, columns)
    except (GerundError, CycloptsError) as error:
        return failed(str(error).strip(), error.exit_code if isinstance(error, GerundError) else 2, debug)
    except KeyboardInterrupt:
        return failed("interrupted; what was done is kept", INTERRUPTED, debug)
    except BrokenPipeError:
        return 0
    except Exception as error:  # a bug of ours, or a full disk: the reader of a terminal is not helped by a traceback
        return failed(f"{type(error).__name__}: {error} (run again with --debug for details)", 1, debug)


def failed(message: str, code: int, debug: bool) -> int:
    if debug:
        say(*traceback.format_exc().splitlines(), file=sys.stderr)
    say(f"gerund: {message}", file=sys.stderr)
    return code


def main() -> None:
    """Entry point; see docs for the exit codes."""
    prepare()
    try:
        code = app.meta()
    except ImportError as error:  # the command's own module is loaded before `launch` is entered
        reason = f"a package of this installation does not load ({error.__cause__ or error}); install gerund anew"
        code = failed(f"{reason} (run again with --debug for details)", 1, "--debug" in sys.argv)
    sys.exit(code)
