"""How long somebody waits in the studio: from a label to the redrawn row of the open video, and to all videos; and what it takes of memory.

    python benchmarks/studio.py [--hours 1] [--labels 5,15]

Features are drawn at random at the width of `lite` (1,280), 8 rows a second: only the time counts here. 300 bouts of 3 s. The first line of
each setting makes all statistics (what happens when a label moves the length of windows), the others are medians of 5 further labels.
Seconds are of one processor, with OMP_NUM_THREADS=1, so that they hold on a busy machine too; with more threads the wall clock shows less.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from gerund.core.types import Features
from gerund.labelling.bouts import Footage, added
from gerund.labelling.edits import add_bout, add_label
from gerund.labelling.figures import figures
from gerund.labelling.learner import Learner
from gerund.labelling.project import Project
from gerund.labelling.review import questions

WIDTH, ROWS, BOUT, BOUTS, REPEATS = 1280, 8, 3.0, 300, 5


def drawn_video(labels: int, seed: int, truth: np.ndarray) -> Features:
    """An hour in which a bout of 3 s follows another."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(labels).gamma(1.0, size=(labels, WIDTH)).astype(np.float32)
    rows = centres[np.repeat(truth, round(BOUT * ROWS))] + rng.gamma(1.0, size=(len(truth) * round(BOUT * ROWS), WIDTH))
    return Features(rows.astype(np.float16), np.arange(len(rows)) / ROWS, len(rows) / ROWS)


def measured(hours: int, labels: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    truths = [rng.integers(0, labels, 1200) for _ in range(hours)]
    videos = {f"v{hour}": drawn_video(labels, hour, truth) for hour, truth in enumerate(truths)}
    told: list[tuple[str, float]] = []
    project = Project(folder)
    project.remember([added(Footage(name=name, digest=name, path=f"{name}.mp4", duration=3600.0)) for name in videos])
    library = SimpleNamespace(features=videos, opened="v0", extractor=SimpleNamespace(spec=SimpleNamespace(fps=float(ROWS))))
    learner = Learner(project, library, lambda name: told.append((name, time.process_time())))
    for label in range(labels):
        project.perform(add_label(f"label {label}", name=str(label)))

    def label_one() -> None:
        hour, place = int(rng.integers(hours)), int(rng.integers(1200))
        project.perform(add_bout(f"v{hour}", str(truths[hour][place]), BOUT * place, BOUT * (place + 1), by="me"))

    for _ in range(BOUTS):
        label_one()
    open_video, all_videos = [], []
    for round_number in range(REPEATS + 1):
        told.clear()
        began = time.process_time()
        label_one()
        learner.learn()
        open_video.append(told[0][1] - began)
        all_videos.append(told[-1][1] - began)
        if not round_number:
            print(
                f"{hours} h, {labels} labels: statistics made anew: open video {open_video[0]:.2f} s, all {all_videos[0]:.1f} s"
            )
    spent = sum(each.bytes for each in learner.statistics.values()) / 1e9
    print(
        f"  from a label to the open video {statistics.median(open_video[1:]):.2f} s, to all videos {statistics.median(all_videos[1:]):.2f} s"
    )
    began = time.process_time()
    asked = len(questions(learner, project.state, 20))
    between = time.process_time()
    assert learner.readout is not None
    figures(learner.readout, project.state)
    print(
        f"  {asked} questions in {between - began:.2f} s, figures in {time.process_time() - between:.2f} s; statistics {spent:.2f} GB"
    )
    project.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", default="1")
    parser.add_argument("--labels", default="5,15")
    options = parser.parse_args()
    for hours in options.hours.split(","):
        for labels in options.labels.split(","):
            with tempfile.TemporaryDirectory() as folder:
                measured(int(hours), int(labels), Path(folder))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, features included")


if __name__ == "__main__":
    main()
