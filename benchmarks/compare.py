"""Seconds for the default comparison, 4 heads in 5 folds over all real clips with their features cached; at most 60 s are wanted.

On a busy machine the seconds of the cores count: those of this process and its workers, divided by the number of workers, are
what a quiet machine would take at best. Needs GERUND_TEST_DATA.
"""

import argparse
import os
import resource
import time

from clips import DATA, weights_of

import gerund
from gerund.core import progress


def cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    progress.notes.setLevel("WARNING")
    clips = DATA / "ucf101" / "UCF-101"
    weights = weights_of("mobilenetv2_100")
    gerund.extract(clips, backbone="mobilenetv2_100", **weights)
    started, used = time.monotonic(), cpu_seconds()
    done = gerund.compare(clips, backbones="mobilenetv2_100", workers=given.workers, **weights)
    seconds, used = time.monotonic() - started, cpu_seconds() - used
    for each in done.leaderboard.standings:
        print(f"{each.sentence}, {each.ms_per_clip:.2f} ms/clip")
    print(f"{done.leaderboard.num_clips} clips, {done.leaderboard.folds} folds, {given.workers} at a time")
    print(
        f"{seconds:.0f} s; {used:.0f} s of the cores, so {used / given.workers:.0f} s on a quiet machine (at most 60 are wanted)"
    )


if __name__ == "__main__":
    main()
