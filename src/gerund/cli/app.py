"""The command line. Each command is one function of the Python API, with the same names and defaults; here it is only shown."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, MissingArgumentError, Parameter

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
    excel: Annotated[bool, terminal("--excel")] = False,
    xlsx: Annotated[Path | None, terminal("--xlsx")] = None,
    quiet: Annotated[bool, terminal("--quiet")] = False,
    debug: Annotated[bool, terminal("--debug")] = False,
) -> int:
    """Name the action in a video."""
    prepare()
    progress.speak(quiet=quiet)
    style: Style = "json" if json else "excel" if excel else "csv" if csv else "text"
    try:
        command, *options = modern(words) or [""]
        if not command:
            say(*overview())
            return 0
        columns = rows_asked(command, csv=csv, excel=excel, xlsx=xlsx) if "--help" not in options else ()
        result = app([command, *options])
        if result is None or progress.is_mute():
            return 0
        if command == "watch":
            from gerund.cli.live import show_watch

            return show_watch(result, style)
        return show(result, style, columns, xlsx)
    except MissingArgumentError as error:
        return failed(missing(error), 2, debug)
    except (GerundError, CycloptsError) as error:
        return failed(str(error).strip(), error.exit_code if isinstance(error, GerundError) else 2, debug)
    except KeyboardInterrupt:
        return failed("interrupted; what was done is kept", INTERRUPTED, debug)
    except BrokenPipeError:
        return 0
    except Exception as error:  # a bug of ours, or a full disk: the reader of a terminal is not helped by a traceback
        return failed(f"{type(error).__name__}: {error} (run again with --debug for details)", 1, debug)


def missing(error: MissingArgumentError) -> str:
    """What a command lacks, under the name that its help has, and what that is."""
    if error.argument is None:
        return str(error).strip()
    command, name = " ".join(error.command_chain or ()), error.argument.name
    if error.keyword is not None:
        return f"{command}: {error.keyword} has no value; gerund {command} --help tells more"
    if error.argument.field_info.is_positional:
        name = name.lstrip("-").replace("-", " ").upper()
    what = (error.argument.parameter.help or "").rstrip(".")
    return f"{command}: {name} is missing ({what}); gerund {command} --help tells more"


def rows_asked(command: str, *, csv: bool, excel: bool, xlsx: Path | None) -> Sequence[str]:
    """The columns of what a command prints as rows, none if it is not asked to. Raises UsageError where it has no rows, or no end."""
    if command not in COMMANDS or not (csv or excel or xlsx):
        return ()
    flag = "--csv" if csv else "--excel" if excel else f"--xlsx {xlsx}"
    columns = columns_of(function_of(command), sheet=excel or xlsx is not None)
    if not columns:
        raise UsageError(f"{flag}: {command} has no rows to print; it prints text, or JSON with --json")
    if excel and csv:
        raise UsageError("--csv and --excel: a CSV is for programs or for a spreadsheet; choose one")
    if xlsx is not None and xlsx.suffix.lower() != ".xlsx":
        raise UsageError(f"{flag}: a file ending in .xlsx is needed")
    if xlsx is not None and not xlsx.parent.is_dir():
        raise UsageError(f"{flag}: there is no folder {xlsx.parent}")
    if xlsx is not None and (csv or command == "watch"):
        raise UsageError(f"{flag}: not with {'--csv, which has rows of its own' if csv else 'watch, which may never end'}")
    return columns


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
