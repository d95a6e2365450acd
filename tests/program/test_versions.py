"""The versions of other packages: what is promised, what is pinned, and what happens where pip refuses the pins."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.fixture
def versions():
    spec = importlib.util.spec_from_file_location("versions", ROOT / "tools" / "versions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)]


def test_every_package_that_is_asked_for_is_pinned_at_or_above_the_version_promised(versions):
    floors, pins = versions.floors(PROJECT, "all-tests"), versions.pins(PINNED)
    assert {"numpy", "torch", "fastapi", "pytest", "ray", "playwright"} <= set(floors)
    assert set(floors) - set(pins) == set(versions.RANGES)
    for name, pin in pins.items():
        assert numbers(floors.get(name, "0")) <= numbers(pin), name
    for name, allowed in versions.RANGES.items():
        assert f"{name}{allowed}\n" in PINNED
        assert allowed.startswith(f">={floors[name]},<")


def test_what_differs_with_the_build_of_torch_is_not_pinned(versions):
    names = set(versions.pins(PINNED))
    assert not [name for name in names if versions.UNPINNED.fullmatch(name)]
    assert versions.UNPINNED.fullmatch("nvidia-cublas-cu12")
    assert not versions.UNPINNED.fullmatch("torchtitan")


def test_an_extra_of_extras_is_followed(versions):
    project = {"dependencies": ["a>=1"], "optional-dependencies": {"x": ["gerund[y,z]", "B_b>=2.5,<3"], "y": ["c>=3"], "z": []}}
    assert versions.floors(project, "x") == {"a": "1", "b-b": "2.5", "c": "3"}


def test_where_pip_refuses_the_pins_it_is_asked_once_without_and_what_differs_is_printed(versions, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(versions, "pip", lambda *words: asked.append(words) or int("--constraint" in words))
    monkeypatch.setattr(versions, "installed", {"av": "0.0.1", "numpy": versions.pins(PINNED)["numpy"]}.get)
    versions.install("dev")
    assert [words[-2:] for words in asked] == [("--editable", f"{ROOT}[dev]")] * 2
    assert asked[0][:2] == ("--constraint", str(ROOT / "constraints.txt"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [f"  av 0.0.1 instead of {versions.pins(PINNED)['av']}"]


def test_ci_runs_the_test_command_of_the_readme():
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    commands = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] in commands
