"""What the page from video to a figure takes for granted: films that BORIS has labels of, others, a table, a second observer."""

from __future__ import annotations

import itertools
from pathlib import Path

from gerund import video
from gerund.data.datasets import toy

LABELLED, SECONDS = 6, 3


def make_mice(folder: Path) -> None:
    """`mice/` with six films, events.csv of BORIS and second.csv; `raw/` with three more and videos.csv."""
    rows = ["Observation id,Media file name,Subject,Behavior,Behavior type,Time"]
    second = ["path,label,start,end"]
    for number in range(LABELLED + 3):
        path = folder / ("mice" if number < LABELLED else "raw") / f"mouse{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        actions = ("waving", "kicking", "squatting", "kicking")[number % 2 :]
        pictures = (toy.perform(action, performer=number, seconds=SECONDS, size=(90, 160)) for action in actions)
        video.write(path, itertools.chain.from_iterable(pictures), fps=25)
        for place, action in enumerate(actions) if number < LABELLED else ():
            start, stop = SECONDS * place, SECONDS * (place + 1)
            rows += [f"o{number},{path.name},m{number},{action},{kind},{at}" for kind, at in (("START", start), ("STOP", stop))]
            second += [f"{path.name},{action},{start + 0.2},{stop}"] if number < 2 else []
    (folder / "mice" / "events.csv").write_text("\n".join(rows))
    (folder / "mice" / "second.csv").write_text("\n".join(second))
    (folder / "raw" / "videos.csv").write_text("path,treatment\nmouse6.mp4,control\nmouse7.mp4,drug\nmouse8.mp4,control\n")
