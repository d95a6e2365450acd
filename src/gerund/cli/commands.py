"""The commands, in the order of the work, and the page that lists them; quick to load, since it is what people look at first."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping

PURPOSE = "Names the action in a video: from a folder of labelled clips to a recogniser in minutes."

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
        "Measure a model's timelines on labelled spans (also: evaluate --timeline).",
    ),
    "predict": ("gerund.recognition.predict:predict", "Name the action in videos."),
    "timeline": ("gerund.timelines.timeline:timeline", "Say which action happens when, in videos of any length."),
    "stats": ("gerund.timelines.stats:stats", "Count bouts: how often, how long, when first, after what, in which group."),
    "agree": ("gerund.timelines.agree:agree", "Compare labels of the same videos: two people's, or a model's and a person's."),
    "cut": ("gerund.timelines.cut:cut", "Cut bouts out of videos: files to train on, reels, grids, lists for editors."),
    "render": ("gerund.timelines.render:render", "Write a video with its timeline drawn in."),
    "studio": ("gerund.labelling.studio:studio", "Label videos in a browser while a model learns from the labels."),
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
    "Learn": "studio train evaluate evaluate-timeline compare benchmark pretrain",
    "Use": "predict timeline stats agree cut render watch",
    "Look after data": "download index split doctor frames extract pack cache",
    "Serve and share": "serve export push info",
}
"""The commands in the order of the work, as help lists them."""

TERMINAL_OPTIONS = {
    "--json": "Print results as JSON; predict and timeline print one line per clip or video.",
    "--csv": "Print results as CSV, where they have rows.",
    "--excel": "The same for a double click: one row per video or segment, and the signs that a spreadsheet of this place expects.",
    "--xlsx": "Write the rows into a workbook (.xlsx) too, one per video or segment.",
    "--quiet": "Show no progress and no notes.",
    "--debug": "Show a traceback when something fails.",
}
"""What every command takes."""
PLAIN_OPTIONS = {"--help": "After a command: what it does, and its options.", "--version": "Print the version of gerund."}
NARROWEST, WIDEST = 40, 100
"""Characters of a line of help."""


def overview() -> Iterator[str]:
    """The lines of `gerund --help`."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    yield from ("Usage: gerund COMMAND [OPTIONS]", "", *textwrap.wrap(PURPOSE, width))
    for title, names in WORK.items():
        yield from ("", title, *rows({name: COMMANDS[name][1] for name in names.split()}, width))
    yield from ("", "With every command", *rows(PLAIN_OPTIONS | TERMINAL_OPTIONS, width))


def rows(explained: Mapping[str, str], width: int) -> Iterator[str]:
    """Names and what they mean, in two columns."""
    column = 2 + max(map(len, explained)) + 2
    for name, meaning in explained.items():
        yield from textwrap.wrap(meaning, width, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
