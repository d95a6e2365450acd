"""Kills gerund at its file events, again and again: afterwards the old result or the new one loads, a rerun works, and nothing is left over.

    python benchmarks/kills.py --only train --kills 10

Every kill is a process of its own, forked from this one after the imports, that ends at one file event below the output folder as kill -9
ends it. The events are spread over all that the work has. Ends with 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import gerund
from gerund import heads, video
from gerund.core import files
from gerund.core.errors import GerundError
from gerund.features.cache import FeatureCache
from gerund.features.packed import PackedCache, pack
from gerund.heads.learned.base import module_behind
from gerund.learning.encoder import load_encoder
from gerund.recognition.folder import sha256
from gerund.recognition.recognizer import Recognizer

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree", "shutil.copyfile")
DIED = 9
SMALL = {"backbone": "pixels:8", "num_frames": 4}
TRANSFORMER = {"head": "transformer", "head_options": {"width": 8, "dense_width": 8}}


def in_a_process(work: Callable[[], object], below: Path, last: int | None, counted: Path) -> int:
    """Do work in a forked process that dies before its file event number `last` below a folder; how it ended, events in `counted`."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal seen
        if event in EVENTS and any(str(below) in str(argument) for argument in arguments[:2]):
            seen += 1
            if seen == last:
                os._exit(DIED)

    try:
        sys.addaudithook(count)
        said = counted.with_name("said")
        with said.open("w") as file, redirect_stderr(file), redirect_stdout(file):
            try:
                work()
            except Exception:  # of whatever kind: it is what is looked for
                traceback.print_exc()
                raise
        counted.write_text(str(seen))
        os._exit(0)
    finally:
        os._exit(1)


@dataclass(frozen=True)
class Case:
    """`work` writes below `out`; after a kill `check` must not raise; `again` brings the work to its end, and then `result` loads.

    `before` puts there what the work replaces.
    """

    out: Path
    work: Callable[[], object]
    check: Callable[[], object]
    again: Callable[[], object]
    result: Callable[[], object]
    before: Callable[[], object] = lambda: None


def cases(folder: Path) -> dict[str, Case]:
    clips, cache = folder / "clips", folder / "cache"
    slope = np.repeat(np.arange(0, 64, 2, dtype=np.uint8)[:, None, None], 32, axis=1).repeat(3, axis=2)
    for label, level in (("dark", 10), ("light", 140)):
        for number in range(6):
            path = clips / label / f"{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            video.write(path, (slope + np.uint8(level + 3 * index) for index in range(8)), fps=8)
    model = gerund.train(clips, **SMALL, cache=cache, out=folder / "model").model
    run, encoder, packed, exported = (folder / name / "out" for name in ("train", "pretrain", "pack", "export"))

    def resumed(settings: dict) -> None:
        if (run / "config.json").is_file() and (run / "clips.csv").is_file():
            gerund.train(resume=run, cache=cache)
        else:
            shutil.rmtree(run, ignore_errors=True)
            gerund.train(clips, **SMALL, **settings, cache=cache, out=run)

    def training(settings: dict) -> Case:
        def check() -> None:  # a run that has not saved yet has nothing to load
            began = any(path.name == "best" or (path.name.startswith(".") and path.is_dir()) for path in run.glob("*"))
            if began and (run / "results.csv").is_file() and len((run / "results.csv").read_text().splitlines()) > 2:
                Recognizer.load(run, cache=cache)

        return Case(
            out=run,
            work=lambda: gerund.train(clips, **SMALL, **settings, cache=cache, out=run),
            check=check,
            again=lambda: resumed(settings),
            result=lambda: Recognizer.load(run, cache=cache).predict(clips / "dark" / "0.mp4"),
        )

    def replacing() -> Case:
        labels = ["dark", "light"]

        def check() -> None:
            assert Recognizer.load(run, cache=cache).labels == labels

        loaded = Recognizer.load(model, cache=cache)
        return Case(
            out=run,
            work=lambda: loaded.save(run / "best"),
            check=check,
            again=lambda: loaded.save(run / "best"),
            result=check,
            before=lambda: shutil.copytree(model, run / "best"),
        )

    options = heads.head_options("transformer", TRANSFORMER["head_options"])

    def encoded() -> None:
        found = files.find(encoder / "best")
        if found.is_dir():
            use = json.loads((found / "config.json").read_text())["made_for"]
            head = heads.build_head("transformer", token_dim=128, num_classes=1, num_frames=4, options=options)
            load_encoder(encoder, module_behind(head), use)

    def pretrain(out: Path) -> None:
        gerund.pretrain([clips], **SMALL, head_options=TRANSFORMER["head_options"], epochs=4, cache=cache, out=out)

    def pretrained_again() -> None:
        encoded()
        with contextlib.suppress(GerundError):  # the folder is in use
            pretrain(encoder)
        shutil.rmtree(folder / "another", ignore_errors=True)
        pretrain(folder / "another")

    def packs() -> None:
        try:
            pack(cache, packed)
        except GerundError as error:
            if "packed already" not in str(error):
                raise

    def unpacked() -> None:
        store, spec = PackedCache(packed, folder / "empty"), Recognizer.load(model, cache=cache).extractor.spec
        digest = FeatureCache(cache).video_digest(clips / "dark" / "0.mp4")
        assert store.get(spec, digest) is not None
        assert (packed / "digests.txt").is_file()

    def whole_export() -> None:
        for name, expected in json.loads((exported / "config.json").read_text())["files"].items():
            assert sha256(exported / name) == expected

    def export() -> None:
        gerund.export(model, exported, format_="torch", check=[clips], cache=cache)

    return {
        "train": training({}),
        "train-transformer": training(TRANSFORMER | {"epochs": 4}),
        "save": replacing(),
        "pretrain": Case(encoder, lambda: pretrain(encoder), encoded, pretrained_again, encoded),
        "pack": Case(packed, packs, lambda: None, packs, unpacked),
        "export": Case(
            exported,
            export,
            lambda: None,
            lambda: None if exported.is_dir() and any(exported.iterdir()) else export(),
            whole_export,
        ),
    }


def leftovers(out: Path) -> list[str]:
    """Hidden names in and beside an output folder; where an encoder's old folder is all there is, it is none."""
    only = set() if (out / "best").exists() else {files.beside(out / "best", "old")}
    return [str(path) for path in out.parent.rglob(".*") if path not in only]


def last_line(counted: Path) -> str:
    said = counted.with_name("said")
    return (said.read_text().strip().splitlines() or [""])[-1] if said.is_file() else ""


def kill(case: Case, at: int | None, counted: Path) -> list[str]:
    """What was wrong after one kill, in words."""
    shutil.rmtree(case.out.parent, ignore_errors=True)
    case.out.parent.mkdir()
    case.before()
    code = in_a_process(case.work, case.out.parent, at, counted)
    if code != (DIED if at else 0):
        return [f"the work ended with {code}: {last_line(counted)}"]
    wrong = []
    for what, step in (("after the kill", case.check), ("rerun", case.again), ("result", case.result)):
        if (code := in_a_process(step, case.out, None, counted.with_name("other"))) != 0:
            wrong.append(f"{what}: ended with {code}: {last_line(counted)}")
    return wrong + [f"left over: {name}" for name in leftovers(case.out)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="one case: train, train-transformer, save, pretrain, pack or export")
    parser.add_argument("--kills", type=int, default=50, help="kills of each case (default: 50)")
    given = parser.parse_args()
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    failed = 0
    print(f"{'case':20}{'events':>8}{'kills':>8}{'wrong':>8}{'seconds':>9}")
    with tempfile.TemporaryDirectory(prefix="gerund-kills-") as temporary:
        counted = Path(temporary) / "events"
        for name, case in cases(Path(temporary)).items():
            if given.only not in (None, name):
                continue
            started = time.monotonic()
            problems = kill(case, None, counted)
            events = int(counted.read_text()) if counted.is_file() else 0
            chosen = sorted({int(at) for at in np.linspace(1, events, min(given.kills, events))}) if events else []
            for at in chosen:
                problems += [f"killed at event {at}: {problem}" for problem in kill(case, at, counted)]
            print(f"{name:20}{events:8}{len(chosen):8}{len(problems):8}{time.monotonic() - started:9.1f}")
            for problem in problems:
                print(f"  {problem}")
            failed += len(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
