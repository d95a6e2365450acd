"""Which versions of other packages gerund is installed with. Run by the interpreter of the environment in question; see the Makefile.

python tools/versions.py install [EXTRAS]  install gerund, editable, with these extras, if any, and the versions of constraints.txt
python tools/versions.py pin all-tests     resolve anew what these extras need, and write constraints.txt
python tools/versions.py oldest dev        install gerund with the oldest versions that pyproject.toml promises
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
RANGES = {"torch": ">=2.12,<2.16", "torchvision": ">=0.27,<0.30"}
"""Packages that differ from machine to machine (CPU or CUDA builds, caps): the versions the tests passed with, from oldest to newest."""
UNPINNED = re.compile(r"(torch|torchvision|triton|setuptools|(nvidia|cuda)-.*)")
"""They, and what a build of torch brings in versions of its own."""
HEAD = """\
# The versions that `make` installs, so that the same clone gives nearly the same environment for years. A package that is not
# named here, and torch's own companions, are free. Made by `make update`; by hand only with a reason beside the line.
"""


def install(extras: str = "") -> None:
    """Install with the pinned versions; where pip refuses them, without, and say which versions differ."""
    wanted = f"{ROOT}[{extras}]" if extras else str(ROOT)
    if pip("--constraint", str(CONSTRAINTS), "--editable", wanted) == 0:
        return
    print("pip refuses the versions of constraints.txt on this machine (above); installing without them", flush=True)
    if code := pip("--editable", wanted):
        sys.exit(code)
    for name, pinned in pins(CONSTRAINTS.read_text("utf-8")).items():
        if (here := installed(name)) not in (None, pinned):
            print(f"  {name} {here} instead of {pinned}")


def pin(extras: str) -> None:
    """Write the versions that pip would install today, without installing them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        if code := pip("--dry-run", "--ignore-installed", "--report", str(report), f"{ROOT}[{extras}]"):
            sys.exit(code)
        packages = [entry["metadata"] for entry in json.loads(report.read_text("utf-8"))["install"]]
    names = {normal(package["name"]): package["version"] for package in packages}
    lines = [f"{name}=={names[name]}" for name in sorted(names) if name != "gerund" and not UNPINNED.fullmatch(name)]
    ranges = [f"{name}{allowed}" for name, allowed in RANGES.items()]
    CONSTRAINTS.write_text("\n".join([HEAD + ranges[0], *ranges[1:], *lines]) + "\n", encoding="utf-8")


def oldest(extras: str) -> None:
    """Install with the lower bound of everything that pyproject.toml names for these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    with tempfile.TemporaryDirectory() as folder:
        bounds = Path(folder) / "oldest.txt"
        bounds.write_text("".join(f"{name}=={bound}\n" for name, bound in floors(project, extras).items()), encoding="utf-8")
        sys.exit(pip("--constraint", str(bounds), "--editable", f"{ROOT}[{extras}]"))


def floors(project: dict, extras: str) -> dict[str, str]:
    """The lower bound of every requirement of a project and of these extras, and of the extras that they name."""
    found: dict[str, str] = {}
    todo = [*project["dependencies"], f"gerund[{extras}]"]
    while todo:
        requirement = todo.pop()
        if named := re.fullmatch(r"gerund\[(.*)\]", requirement):
            todo += [line for extra in named[1].split(",") for line in project["optional-dependencies"][extra.strip()]]
        else:
            name, bound = requirement.split(">=")
            found[normal(name)] = bound.partition(",")[0]
    return dict(sorted(found.items()))


def pins(text: str) -> dict[str, str]:
    """Name and version of every line `name==version`."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def pip(*words: str) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words], check=False
    ).returncode


if __name__ == "__main__":
    COMMANDS = {"install": install, "pin": pin, "oldest": oldest}
    command, *extras = sys.argv[1:] or [""]
    if command not in COMMANDS or len(extras) > 1:
        sys.exit(__doc__)
    COMMANDS[command](*extras)
