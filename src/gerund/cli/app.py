"""The command line. Each command is one function of the Python API, with the same names and defaults; here it is only shown."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter

from gerund.cli.show import Style, columns_of, show
from gerund.core import progress
from gerund.core.addresses import addressed
from gerund.core.errors import GerundError, UsageError
from gerund.core.printing import prepare, say

INTERRUPTED = 130
TERMINAL = Parameter(group=Group.create_ordered("On the terminal", sort_key=1), negative="")

COMMANDS = {
    "train": ("gerund.training.repeat:train_all", "Turn labelled clips into a recogniser."),
    "evaluate": ("gerund.recognition.evaluate:evaluate", "Measure a model on labelled clips."),
    "compare": ("gerund.training.compare:compare", "Find the best head for a data set by cross-validation."),
    "benchmark": (
        "gerund.training.benchmark:benchmark",
        "Train the recipes on all official splits, and on random ones beside them.",
    ),
    "watch": ("gerund.recognition.watch:watch", "Name actions live: a camera, a stream, a file at its own pace."),
    "pretrain": ("gerund.learning.pretrain:pretrain", "Learn from unlabelled videos, for train --init."),
    "evaluate-timeline": (
        "gerund.timelines.evaluate:evaluate_timeline",
        "The same for timelines (also: evaluate --timeline).",
    ),
    "predict": ("gerund.recognition.predict:predict", "Name the action in videos."),
    "timeline": ("gerund.timelines.timeline:timeline", "Say which action happens when, in videos of any length."),
    "stats": ("gerund.timelines.stats:stats", "Count bouts: how often, how long, when first, after what, in which group."),
    "agree": ("gerund.timelines.agree:agree", "Compare labels of the same videos: two people's, or a model's and a person's."),
    "cut": ("gerund.timelines.cut:cut", "Cut bouts out of videos: files to train on, reels, grids, lists for editors."),
    "render": ("gerund.timelines.render:render", "Write a video with its timeline drawn in."),
    "serve": ("gerund.serving.server:serve", "Serve a model as a web page and an HTTP API."),
    "index": ("gerund.data.index:index", "List clips, labels, groups and splits; write them as a CSV."),
    "split": ("gerund.data.split:split", "Give clips a split, or folds, without parting a group."),
    "extract": ("gerund.features.extract:extract", "Put the features of videos into the cache."),
    "pack": ("gerund.features.packed:pack", "Pack the features of a cache into large shards."),
    "cache": ("gerund.features.cache:manage_cache", "List, check or tidy the feature cache: ls, verify, prune."),
    "export": (
        "gerund.recognition.export:export",
        "Write a model as ONNX, OpenVINO or torch graphs, checked to give the same answers.",
    ),
    "push": ("gerund.recognition.push:push", "Put a model on a Hugging Face hub."),
    "frames": ("gerund.data.frames:frames", "Write the frames of clips as folders of JPEG images."),
    "download": ("gerund.data.download:download", "Fetch a published data set, going on where it broke."),
    "doctor": ("gerund.diagnosis.doctor:doctor", "Find broken files, copies, doubtful labels and leaking splits."),
    "info": ("gerund.cli.info:info", "Show versions, devices, decoder, engines and the cache."),
}

WORK = {
    "Learn": "train evaluate evaluate-timeline compare benchmark pretrain",
    "Use": "predict timeline stats agree cut render watch",
    "Look after data": "download index split doctor frames extract pack cache",
    "Serve and share": "serve export push info",
}
"""The commands in the order of the work, as help lists them."""


def function_of(command: str) -> Callable[..., Any]:
    """The function of the Python API that a command calls."""
    return addressed(COMMANDS[command][0])


FLAG_NAMES = {"head_options": "head"}
"""Where a flag is not simply the argument's name: options of the head are --head.width and so on."""


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
    help="Names the action in a video: from a folder of labelled clips to a recogniser in minutes.",
    version_flags=["--version"],
    default_parameter=Parameter(name_transform=flag_name, negative_iterable=()),
    result_action="return_value",
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    print_error=False,
)
for title, names in WORK.items():
    group = Group.create_ordered(title, sort_key=0)
    for place, command in enumerate(names.split()):
        target, summary = COMMANDS[command]
        app.command(target, name=command, help=summary, group=group, sort_key=place)


@app.meta.default
def launch(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Annotated[bool, TERMINAL] = False,
    csv: Annotated[bool, TERMINAL] = False,
    quiet: Annotated[bool, TERMINAL] = False,
    debug: Annotated[bool, TERMINAL] = False,
) -> int:
    """Name the action in a video.

    Parameters
    ----------
    json
        Print results as JSON; predict and timeline print one line per clip or video.
    csv
        Print results as CSV, where they have rows.
    quiet
        Show no progress and no notes.
    debug
        Show a traceback when something fails.
    """
    prepare()
    progress.notes.setLevel(logging.WARNING if quiet else logging.INFO)
    style: Style = "json" if json else "csv" if csv else "text"
    try:
        command, *options = modern(words) or [""]
        function = function_of(command) if command in COMMANDS else None
        columns = columns_of(function) if csv and function else ()
        if csv and function and not columns and "--help" not in options:
            raise UsageError(f"--csv: {command} has no rows to print; it prints text, or JSON with --json")
        result = app([command, *options] if command else [])
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
