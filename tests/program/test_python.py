"""gerund from Python: texts where paths are taken, everywhere; nothing is said unasked; the types are known."""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import gerund
from gerund import video
from gerund.core import progress

ROOT = Path(__file__).parents[2]
FUNCTIONS = {name: each for name in gerund.__all__ if inspect.isfunction(each := getattr(gerund, name))}
SMALL: dict[str, Any] = {"backbone": "pixels:8", "num_frames": 4}


def parts(hint: Any) -> Iterator[Any]:
    """A type and all types in it."""
    yield hint
    for each in get_args(hint):
        yield from parts(each)


def arguments_of(function: Any) -> dict[str, list[Any]]:
    """Argument -> the types in its annotation; the keywords of a typed set one by one."""
    hints = get_type_hints(function)
    hints.pop("return", None)
    if "settings" in hints:
        hints |= get_type_hints(get_args(hints.pop("settings"))[0])
    return {name: list(parts(hint)) for name, hint in hints.items()}


PLACES = {(name, of) for name, each in FUNCTIONS.items() for of, kinds in arguments_of(each).items() if Path in kinds}
"""Every argument of a public function that is, or may be, a path."""
ENDLESS = {"serve", "studio"}
"""They serve until they are interrupted, and have tests of their own."""
OF_TORCH = {"benchmark", "export", "pretrain", "push"}
"""Torch, a network or a published data set is needed; that their texts become paths is known by their types alone, as mypy has them."""
NETWORKS = {"weights", "init", "resume"}
"""Files that torch has written."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_text_is_taken_wherever_a_path_is(name: str) -> None:
    assert [of for of, kinds in arguments_of(FUNCTIONS[name]).items() if Path in kinds and str not in kinds] == []


def test_the_methods_that_take_paths_take_texts() -> None:
    for method in (gerund.Recognizer.load, gerund.Recognizer.save, gerund.Recognizer.__call__):
        assert [of for of, kinds in arguments_of(method).items() if Path in kinds and str not in kinds] == []
    assert gerund.Clip(path="a.mp4", label="x") == gerund.Clip(path=Path("a.mp4"), label="x")  # type: ignore[arg-type]
    assert isinstance(gerund.Annotation(path="a.mp4").path, Path)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve clips of two actions in `clips`, two long videos with labels in `long.csv`, and the folder that one works in."""
    for number in range(12):
        label, grey = ("dark", 40) if number % 2 else ("bright", 200)
        path = tmp_path / "clips" / label / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video.write(path, (np.full((32, 32, 3), grey + number + 2 * step, np.uint8) for step in range(8)), fps=8)
    rows = ["path,label,start,end"]
    for name in ("one", "two"):
        greys = [40] * 16 + [200] * 16
        video.write(tmp_path / f"{name}.mp4", (np.full((32, 32, 3), grey, np.uint8) for grey in greys), fps=8)
        rows += [f"{name}.mp4,dark,0,2", f"{name}.mp4,bright,2,4"]
    (tmp_path / "long.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "table.csv").write_text("path,day\none.mp4,1\ntwo.mp4,2\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "ucf101_top5.zip", "w") as file:
        for side in ("train", "test"):
            file.writestr(f"{side}.csv", f"video_name,tag\nv_Punch_g01_{side[0]}_c01.avi,Punch\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


CALLS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    ("train", ("clips",), {**SMALL, "out": "run", "cache": "c"}),
    ("pack", (), {"cache": "c", "out": "shards"}),
    ("train", ("clips",), {"config": "run/config.json", "packed": "shards", "cache": "c", "out": "again"}),
    ("train_all", ("clips",), {"config": "run/config.json", "packed": "shards", "seeds": 2, "out": "seeds", "cache": "c"}),
    ("compare", ("clips",), {"config": "run/config.json", "heads": "prototype", "folds": 2, "best": "best", "cache": "c"}),
    ("evaluate", ("run", "again"), {"cache": "c"}),
    ("predict", ("run", "clips/dark/1.mp4"), {"save_video": "a.gif", "explain": "why.png", "cache": "c"}),
    ("explain", ("run", "clips/dark/1.mp4"), {"out": "why.png", "cache": "c"}),
    (
        "timeline",
        ("run", "one.mp4"),
        {
            **{name: f"one.{name}" for name in ("srt", "vtt")},
            **{"activitynet": "one.json", "elan": "one.eaf", "boris": "one.tsv", "plot": "one.png", "cache": "c"},
            **{"per_frame": "frame.csv", "per_step": "step.csv"},
        },
    ),
    ("render", ("run", "one.mp4", "one.gif"), {"cache": "c"}),
    ("evaluate_timeline", ("run", "long.csv"), {"cache": "c"}),
    ("agree", ("run", "long.csv"), {"out": "again.csv", "cache": "c"}),
    ("stats", ("run", "one.mp4", "two.mp4"), {"videos": "table.csv", "by": "day", "html": "s.html", "plot": "s.png", "cache": "c"}),
    (
        "cut",
        ("long.csv",),
        {
            **{"out": "cuts", "losslesscut": "cut", "edl": "cut", "cut_list": "cut"},
            **{"elan": "cut", "boris": "cut", "per_frame": "frames", "cache": "c"},
        },
    ),
    ("watch", ("run", "one.mp4"), {"record": "seen.mp4"}),
    ("extract", ("clips",), {"backbone": "pixels:8", "cache": "c"}),
    ("manage_cache", (), {"cache": "c"}),
    ("info", (), {"cache": "c"}),
    ("doctor", ("clips",), {"html": "d.html", "fix_manifest": "good.csv", "cache": "c"}),
    ("index", ("clips",), {"out": "index.csv"}),
    ("load_dataset", ("clips",), {}),
    ("split", ("clips",), {"out": "split.csv"}),
    ("frames", ("clips",), {"out": "images", "size": 16}),
    ("download", ("ucf101-top5", "set"), {"from_": ["ucf101_top5.zip"]}),
]  # fmt: skip


def test_every_function_is_called_with_texts_and_says_nothing(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    progress.notes.removeHandler(progress.LINES)  # as for whoever only imports gerund
    progress.notes.propagate = True
    progress.notes.setLevel(logging.NOTSET)
    given = set()
    for name, words, options in CALLS:
        found = FUNCTIONS[name](*words, **options)
        if name in ("predict", "timeline", "watch"):
            assert list(found)
        takes = [of for of, kinds in arguments_of(FUNCTIONS[name]).items() if kinds and Path in kinds]
        bound = inspect.signature(FUNCTIONS[name]).bind_partial(*words).arguments
        given |= {(name, of) for of in takes if isinstance(options.get(of, bound.get(of)), str | tuple | list)}
    left = {(name, of) for name, of in PLACES - given if name not in ENDLESS | OF_TORCH and of not in NETWORKS}
    assert left == set()
    assert capfd.readouterr() == ("", "")
    written = {str(path.relative_to(world)) for path in world.rglob("*")}
    assert {
        "run/best",
        "why.png",
        "one.srt",
        "frame.csv",
        "seen.mp4",
        "images/clips.csv",
        "cuts/clips.csv",
        "c/features",
    } <= written


@pytest.mark.parametrize(
    "call",
    [
        lambda: gerund.stats(["a.csv", "b.csv"]),
        lambda: gerund.cut(["a.csv", "b.csv"], out="cuts"),
        lambda: gerund.evaluate(["run", "again"]),
        lambda: gerund.agree("a.csv", ["b.csv"]),
        lambda: gerund.render(["run"], "one.mp4", "one.gif"),
        lambda: gerund.explain(["run"], "one.mp4"),
        lambda: gerund.predict(["run"], "one.mp4"),
        lambda: gerund.timeline(["run"], "one.mp4"),
        lambda: gerund.watch(["run"], "one.mp4"),
        lambda: gerund.Recognizer.load(["run"]),
        lambda: gerund.serve(["run"]),
        lambda: gerund.studio(["a", "b"]),
        lambda: gerund.pack(cache=["a"], out="shards"),
        lambda: gerund.train("clips", out=["a", "b"]),
    ],
)  # fmt: skip
def test_a_list_where_one_path_is_needed_is_one_sentence(call: Any, world: Path) -> None:
    with pytest.raises(
        gerund.GerundError, match=r"^\[.*\]: one path is needed here; where several are taken, give them one by one"
    ):
        list(call() or ())


def test_a_model_without_its_videos_in_a_list_is_told_how(world: Path) -> None:
    gerund.train("clips", out="run", **SMALL)
    with pytest.raises(gerund.GerundError, match=r"one by one, as in stats\(\*paths\)"):
        gerund.stats("run", ["one.mp4", "two.mp4"])  # type: ignore[arg-type]


ASKED = """
import logging, sys, gerund
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
gerund.index(sys.argv[1])
"""


def test_a_program_hears_the_notes_through_logging(world: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, "clips"], cwd=world, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert "gerund.progress: clips: 12 videos." in lines
    assert all(line.startswith("gerund.progress: ") for line in lines)


@pytest.mark.slow
@pytest.mark.torch
def test_the_examples_hold_in_the_strictest_view_of_their_types(tmp_path: Path) -> None:
    """Those that use gerund with nothing that has no types itself, as somebody's editor sees them."""
    pytest.importorskip("pyright")
    for name in ("train_from_python.py", "custom_head.py", "explore.py"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    words = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == 3
    assert [(each["file"], each["range"]["start"]["line"], each["message"]) for each in found["generalDiagnostics"]] == []
