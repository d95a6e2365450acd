"""What gerund writes for other tools, read by those tools' own code (BORIS) or by a reader that others wrote (ELAN documents)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gerund.core.types import Segment, Timeline
from gerund.timelines.boris_files import boris_project
from gerund.timelines.formats import TIMELINE_FORMATS
from gerund.timelines.observations import Bout
from support.layouts import film

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).parents[2]
ASK_BORIS = """
import json, sys, types
import boris
for name in ("mpv", "mpv2"):  # the player, a library of the system that reading projects does not need
    sys.modules[f"boris.{name}"] = types.ModuleType(f"boris.{name}")
    setattr(boris, name, sys.modules[f"boris.{name}"])
sys.path.append(boris.__path__[0])
from boris import config, db_functions, project_functions
_, _, project, said = project_functions.open_project_json(sys.argv[1])
faults = project_functions.check_project_integrity(project, "hh:mm:ss", sys.argv[1])
subjects = [config.NO_FOCAL_SUBJECT, *(each["name"] for each in project[config.SUBJECTS].values())]
codes = [each["code"] for each in project[config.ETHOGRAM].values()]
_, _, found = db_functions.load_aggregated_events_in_db(project, subjects, list(project[config.OBSERVATIONS]), codes)
rows = found.execute("SELECT observation, subject, behavior, type, start, stop FROM aggregated_events ORDER BY observation, start")
print(json.dumps({"said": said, "faults": faults, "rows": [list(row) for row in rows]}, default=float))
"""


def python_of_boris() -> list[str] | None:
    """A Python 3.12 that BORIS can be installed in; of two kinds of places."""
    found = [
        [path]
        for path in [shutil.which("python3.12"), *map(str, Path.home().glob(".pyenv/versions/3.12.*/bin/python3.12"))]
        if path
    ]
    return next(
        (words for words in found if subprocess.run([*words, "--version"], capture_output=True, check=False).returncode == 0),
        None,
    )


@pytest.fixture(scope="module")
def boris() -> Path:
    """A Python with BORIS in an environment of its own: it is GPL and a program with windows, so no extra of gerund brings it."""
    place, python = REPOSITORY / "build" / "boris", python_of_boris()
    if python is None:
        pytest.skip("there is no Python 3.12, which BORIS needs")
    program = place / "bin" / "python"
    if not (place / "ready").is_file():
        subprocess.run([*python, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(program), "-m", "pip", "install", "--quiet", "boris-behav-obs"], check=True, timeout=1200)
        (place / "ready").touch()
    return program


@pytest.mark.timeout(1500)
def test_boris_opens_what_is_written_and_finds_no_fault(boris: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    bouts = [
        Bout(start=0.5, end=2.0, label="eat", score=1.0, subject="Kim"),
        Bout(start=1.0, end=3.0, label="walk é", score=0.4, subject="Lou"),
        Bout(start=2.5, end=2.5, label="nod", score=1.0, subject="Kim"),
        Bout(start=4.0, end=5.0, label="eat", score=1.0),
        Bout(start=5.5, end=5.5, label="eat", score=1.0),
    ]
    paths = [film(tmp_path / "a.mp4", seconds=6), film(tmp_path / "other" / "a.mp4", seconds=6)]
    shown = [Timeline(path=path, labels=["eat", "nod", "never"], segments=bouts, duration=6.0) for path in paths]
    shown.append(Timeline(path=film(tmp_path / "empty.mp4", seconds=1), labels=["eat"], segments=[], duration=1.0))
    project = tmp_path / "all.boris"
    project.write_text(boris_project(shown, project), encoding="utf-8")
    offscreen = os.environ | {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path)}
    words = [str(boris), "-c", ASK_BORIS, str(project)]
    done = subprocess.run(words, capture_output=True, text=True, env=offscreen, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    expected = [
        ["Kim", "eat", "STATE", 0.5, 2.0],
        ["Lou", "walk é", "STATE", 1.0, 3.0],
        ["Kim", "nod", "POINT", 2.5, 2.5],
        ["No focal subject", "eat", "STATE", 4.0, 5.0],
        ["No focal subject", "eat", "STATE", 5.5, 5.5],
    ]
    assert answer == {"said": "", "faults": "", "rows": [[name, *row] for name in ("a", "a-2") for row in expected]}


def test_an_independent_reader_understands_the_documents_of_elan(tmp_path: Path) -> None:
    pympi = pytest.importorskip("pympi")
    segments = [Segment(start=0, end=1.25, label="eat & drink", score=0.25), Segment(start=2, end=3, label="walk é", score=0.5)]
    shown = Timeline(path=tmp_path / "a.mp4", labels=["eat & drink", "walk é"], segments=segments, duration=4.0)
    file = tmp_path / "a.eaf"
    file.write_text(TIMELINE_FORMATS["elan"].text(shown, file), encoding="utf-8")
    document = pympi.Elan.Eaf(str(file))
    assert document.get_annotation_data_for_tier("action") == [(0, 1250, "eat & drink"), (2000, 3000, "walk é")]
    assert [(*row[:3], row[3]) for row in document.get_ref_annotation_data_for_tier("score")] == [
        (0, 1250, "0.250", "eat & drink"),
        (2000, 3000, "0.500", "walk é"),
    ]
    assert document.get_parameters_for_tier("score")["PARENT_REF"] == "action"
    assert document.get_controlled_vocabulary_names()
