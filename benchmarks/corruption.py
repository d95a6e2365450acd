"""What `gerund doctor` finds of spoiled copies among healthy clips: prints the table of docs/doctor.md.

python benchmarks/corruption.py ucf101:DIR [--each 5]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import gerund
from support.damaging import TEN_WAYS, spoil


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="healthy clips, for example ucf101:DIR")
    parser.add_argument("--each", type=int, default=5, help="clips that are spoiled in each way")
    arguments = parser.parse_args()
    clips = gerund.load_dataset(arguments.data)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        spoiled = {
            name: spoil(rng.sample(clips, arguments.each), Path(folder), damage, name) for name, (damage, _) in TEN_WAYS.items()
        }
        diagnosis = gerund.doctor([*clips, *(clip for copies in spoiled.values() for clip in copies)])
    named = {}
    for finding in diagnosis.findings:
        if finding.area == "file":
            named.update(dict.fromkeys(finding.paths, finding.kind))
    print("| spoiled copies | found | named as |\n|---|---|---|")
    for name, copies in spoiled.items():
        kinds = Counter(named.pop(clip.path, "not found") for clip in copies)
        found = len(copies) - kinds.pop("not found", 0)
        print(f"| {name} | {found} of {len(copies)} | {', '.join(f'{kind} {count}' for kind, count in kinds.items())} |")
    print(f"| none ({len(clips)} healthy clips) | {len(named)} of {len(clips)} | {', '.join(sorted(set(named.values())))} |")


if __name__ == "__main__":
    main()
