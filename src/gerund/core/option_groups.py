"""How options are shown: the groups of a help page, and what every option has in common."""

from __future__ import annotations

import math

from cyclopts import Group, Parameter

INPUT = Group.create_ordered("Input", sort_key=0)
RECIPE = Group.create_ordered("Recipe: settings together", sort_key=0)
BACKBONE = Group.create_ordered("Backbone: the image network that looks at each frame", sort_key=0)
TIME_STEPS = Group.create_ordered("Time steps: the parts into which a clip is cut", sort_key=0)
HEAD = Group.create_ordered("Head: the part that learns your actions", sort_key=0)
EPOCHS = Group.create_ordered("Learning over epochs (passes over the clips)", sort_key=0)
TUNING = Group.create_ordered("Fine-tuning", sort_key=0)
METHOD = Group.create_ordered("Method", sort_key=0)
SERVER = Group.create_ordered("Server", sort_key=0)
OUTPUT = Group.create_ordered("Output", sort_key=0)
MACHINE = Group.create_ordered("Machine", sort_key=0)
"""The groups of a help page, in its order; what concerns the terminal alone (`cli.app`) comes after."""


def option(group: Group, explained: str, default: object = None) -> Parameter:
    """How an option is shown; `default` says what holds where a signature has None."""
    return Parameter(help=explained, group=group, show_default=None if default is None else str(default), validator=finite)


def finite(_: object, value: object) -> None:
    """No option of any command can be nan or inf. Raises ValueError, which is shown with the option's name."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")


EACH = Parameter(show_default="as each recipe has it")
"""In place of the default recipe's value, where several recipes are run."""
