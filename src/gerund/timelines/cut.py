"""`gerund cut`: what was found or labelled as files, a folder for each label; as reels, as grids, and as lists for editors."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from gerund.core import options
from gerund.core.errors import DataError, UsageError, VideoError
from gerund.core.files import write_json, write_text
from gerund.core.places import as_path
from gerund.core.printing import table
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Clip, Timeline
from gerund.data.annotations import POINT_SECONDS, Annotation, write_annotations
from gerund.data.frames import file_name
from gerund.data.manifest import relative_name
from gerund.timelines.films import write_grid, write_reel
from gerund.timelines.formats import TIMELINE_FORMATS, texts_of
from gerund.timelines.observations import Bout, Observation, observe
from gerund.timelines.projects import PROJECT_FORMATS
from gerund.video.cutting import COPIED_SUFFIXES, copy_span, write_span

PLAN, CUT_MANIFEST = "cuts.json", "clips.csv"
REELS, GRIDS = "reels", "grids"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One file: the span `start` to `end` seconds of `source` that it holds; `early` and `late` are what a copy has more at either side."""

    file: Path
    label: str
    source: Path
    start: float
    end: float
    score: float
    subject: str | None = None
    group: str | None = None
    early: float = 0.0
    late: float = 0.0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cuts(Printable):
    """The files that were cut, `kept` of them there before; films and lists beside them; and videos that could not be read."""

    cuts: Sequence[Cut]
    kept: int
    others: Sequence[Path]
    failed: Mapping[str, str]
    columns: ClassVar = ("file", "label", "source", "start", "end", "score", "subject", "early", "late", "error")

    @property
    def is_complete(self) -> bool:
        return not self.failed

    def as_json(self) -> dict[str, Any]:
        cuts = [dict(zip(self.columns, row, strict=True)) for row in self.as_rows()]
        cuts = [{**row, "file": str(row["file"]), "source": str(row["source"])} for row in cuts]
        return {"cuts": cuts, "kept": self.kept, "others": [str(path) for path in self.others], "failed": dict(self.failed)}

    def as_rows(self) -> Iterator[list[Any]]:
        for cut in self.cuts:
            yield [getattr(cut, name) for name in self.columns]

    def as_text(self) -> Iterator[str]:
        written = [cut for cut in self.cuts if cut.error is None]
        counts = Counter(cut.label for cut in written)
        if counts:
            seconds = {label: sum(cut.end - cut.start for cut in written if cut.label == label) for label in counts}
            yield from table(
                ("label", "files", "seconds"), [(label, str(n), f"{seconds[label]:.1f}") for label, n in sorted(counts.items())]
            )
        if self.kept:
            yield f"{self.kept} of them were there already"
        early = max((cut.early for cut in written), default=0.0)
        if early or any(cut.late for cut in written):
            yield f"copied at key frames: they begin up to {early:.2f} s too early, and end up to {max(cut.late for cut in written):.2f} s too late"
        for path in self.others:
            yield f"Written: {path}"
        for reason in self.failed.values():
            yield f"not cut: {reason}"


def cut(
    *what: options.ToCount,
    out: options.CutFolder | None = None,
    copy: options.CopyPackets = False,
    reel: options.Reel = False,
    grid: options.Grid = False,
    padding: options.Padding = 0.0,
    above: options.AboveScore = 0.0,
    labels: options.OnlyLabels | None = None,
    losslesscut: options.LosslessCut | None = None,
    edl: options.Edl | None = None,
    cut_list: options.CutList | None = None,
    elan: options.Elan | None = None,
    boris: options.Boris | None = None,
    per_frame: options.PerFrame | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Cuts:
    """Cut bouts out of their videos: `out/LABEL/VIDEO_START-END.mp4`, and `out/clips.csv`, which `train` takes.

    Exact cuts are encoded anew, with their sound. What is there already is kept, nothing is overwritten. A point event is cut with the second
    around it. Raises UsageError for options that cannot be, DataError when there is nothing to cut.

    Each argument is explained in `gerund.core.options`, and by `gerund cut --help`.
    """
    places = {"losslesscut": losslesscut, "edl": edl, "cut_list": cut_list, "elan": elan, "boris": boris, "per_frame": per_frame}
    projects = {name: as_path(place) for name, place in places.items()}
    out = as_path(out)
    check_cut(out, projects, copy=copy, films=reel or grid, padding=padding, above=above)
    found = observe(what, device=device, cache=cache)
    failed = {str(each.path): each.error for each in found if each.error is not None}
    bouts = chosen(found, above, labels)
    wanted = [replace(each, bouts=[padded(bout, padding, each.duration) for bout in each.bouts]) for each in bouts]
    others = write_projects(bouts, wanted, projects)
    cuts: list[Cut] = []
    kept = 0
    if out is not None:
        if reel or grid:
            films, more = write_films(wanted, out, reel=reel, grid=grid)
            others += films
            failed |= more
        else:
            cuts, kept = write_cuts(plan_cuts(wanted, out, copy), out, copy)
            failed |= {str(each.source): each.error for each in cuts if each.error is not None}
    return Cuts(cuts=cuts, kept=kept, others=others, failed=failed)


def check_cut(
    out: Path | None, projects: Mapping[str, Path | None], *, copy: bool, films: bool, padding: float, above: float
) -> None:
    """Raise UsageError for what does not go together."""
    if out is None and not any(projects.values()):
        raise UsageError(
            "nothing to write: name a folder with --out, or a list for an editor (--losslesscut, --edl, --cut-list, --elan ...)"
        )
    if films and out is None:
        raise UsageError("--reel and --grid need a folder: name it with --out")
    if films and copy:
        raise UsageError("--copy: reels and grids are encoded anew; leave it out")
    if padding < 0:
        raise UsageError(f"--padding {padding:g}: a number of seconds, 0 or more, is needed")
    if not 0 <= above <= 1:
        raise UsageError(f"--above {above:g}: a score lies between 0 and 1")


def chosen(found: Sequence[Observation], above: float, labels: Sequence[str] | None) -> list[Observation]:
    """The videos with the bouts to cut. Raises UsageError for a label that there is not, DataError for none at all."""
    known = {bout.label for each in found for bout in each.bouts}
    unknown = sorted(set(labels or ()) - known)
    if unknown:
        raise UsageError(f"--labels {unknown[0]}: no such label ({', '.join(sorted(known)) or 'there is none'})")
    wanted = []
    for each in found:
        bouts = [bout for bout in each.bouts if bout.score >= above and (not labels or bout.label in labels)]
        wanted.append(replace(each, bouts=bouts))
    if not any(each.bouts for each in wanted):
        raise DataError(f"no bouts to cut{f' with a score of {above:g} or more' if above else ''}")
    return [each for each in wanted if each.bouts]


def padded(bout: Bout, padding: float, duration: float) -> Bout:
    margin = padding + (POINT_SECONDS / 2 if bout.is_point else 0.0)
    return replace(bout, start=max(0.0, bout.start - margin), end=min(duration, bout.end + margin))


def write_projects(bouts: Sequence[Observation], cuts: Sequence[Observation], places: Mapping[str, Path | None]) -> list[Path]:
    """The lists that are asked for: of the cuts for editors, of the bouts for annotation tools. Raises DataError for a file that exists."""
    written = []
    for name, place in places.items():
        if place is None:
            continue
        kind = PROJECT_FORMATS.get(name) or TIMELINE_FORMATS[name]
        flag, found = f"--{name.replace('_', '-')}", cuts if name in PROJECT_FORMATS else bouts
        for file, text in texts_of(kind, flag, place, [as_timeline(each) for each in found]):
            if file.exists():
                raise DataError(f"{flag} {file}: exists, and nothing is overwritten; choose another name")
            write_text(file, text)
            written.append(file)
    return written


def as_timeline(each: Observation) -> Timeline:
    labels = sorted({bout.label for bout in each.bouts}, key=str.casefold)
    return Timeline(path=each.path, labels=labels, segments=each.bouts, duration=each.duration)


def plan_cuts(found: Sequence[Observation], out: Path, copy: bool) -> list[Cut]:
    """A name for each cut: the one that it had in an earlier run, or one that neither a file nor another cut has."""
    before = {tuple(value): name for name, value in known_cuts(out).items()}
    taken = {str(name).casefold() for name in before.values()}
    cuts = []
    for each in found:
        group = each.traits.get("group") or relative_name(str(each.path))
        for bout in each.bouts:
            suffix = (each.path.suffix.lower() if each.path.suffix.lower() in COPIED_SUFFIXES else ".mkv") if copy else ".mp4"
            key = (str(each.path.resolve()), bout.label, round(bout.start, 3), round(bout.end, 3), bout.subject, copy)
            name = before.get(key) or free_name(each.path, bout, suffix, out, taken)
            taken.add(name.casefold())
            before[key] = name
            cuts.append(
                Cut(
                    file=out / name,
                    label=bout.label,
                    source=each.path,
                    start=bout.start,
                    end=bout.end,
                    score=bout.score,
                    subject=bout.subject,
                    group=group,
                )
            )
    write_plan(out, before)
    return cuts


def known_cuts(out: Path) -> dict[str, list[Any]]:
    """File -> what it is cut from, as an earlier run wrote it down. Raises DataError where that is damaged."""
    file = out / PLAN
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not readable ({error}); choose another folder") from None


def write_plan(out: Path, names: Mapping[tuple[Any, ...], str]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / PLAN, {name: list(key) for key, name in names.items()})
    except OSError as error:
        raise DataError(f"{out}: cannot be written to ({error.strerror or error})") from None


def free_name(path: Path, bout: Bout, suffix: str, out: Path, taken: set[str]) -> str:
    """LABEL/VIDEO_START-END.mp4; -2, -3 ... follow where there is such a file."""
    stem = f"{file_name(bout.label)}/{file_name(path.stem if path.suffix else path.name)}_{bout.start:.3f}-{bout.end:.3f}"
    number = 1
    while (name := f"{stem}{f'-{number}' * (number > 1)}{suffix}").casefold() in taken or (out / name).exists():
        number += 1
    return name


def write_cuts(cuts: Sequence[Cut], out: Path, copy: bool) -> tuple[list[Cut], int]:
    """Write the files that are not there; returns all with what became of them, and how many were there. The manifest comes last."""
    done, kept = [], 0
    with progress("Cutting", len(cuts), "bouts") as bar:
        for each in cuts:
            kept += each.file.is_file()
            done.append(each if each.file.is_file() else written_cut(each, copy))
            bar.advance()
    good = [each for each in done if each.error is None]
    write_annotations(
        [Annotation(path=each.file, label=each.label, subject=each.subject, group=each.group) for each in good],
        out / CUT_MANIFEST,
    )
    return done, kept


def written_cut(each: Cut, copy: bool) -> Cut:
    try:
        each.file.parent.mkdir(parents=True, exist_ok=True)
        if not copy:
            write_span(each.source, each.file, each.start, each.end)
            return each
        start, end = copy_span(each.source, each.file, each.start, each.end)
        return replace(each, early=max(0.0, each.start - start), late=max(0.0, end - each.end))
    except (VideoError, OSError) as error:
        note(str(error))
        return replace(each, error=str(error))


def write_films(found: Sequence[Observation], out: Path, *, reel: bool, grid: bool) -> tuple[list[Path], dict[str, str]]:
    """One film per label and kind; one that is there stays. Returns the films, and videos that could not be read, with the reasons."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    for each in found:
        for bout in each.bouts:
            clips[bout.label].append(Clip(path=each.path, start=bout.start, end=bout.end))
    kinds = [(REELS, write_reel)] * reel + [(GRIDS, write_grid)] * grid
    films: list[Path] = []
    failed: dict[str, str] = {}
    with progress("Writing films", len(kinds) * sum(map(len, clips.values())), "bouts") as bar:
        for folder, write in kinds:
            for label, own in clips.items():
                film = out / folder / f"{file_name(label)}.mp4"
                if film.exists():
                    raise DataError(f"{film}: exists, and nothing is overwritten; choose another folder")
                film.parent.mkdir(parents=True, exist_ok=True)
                try:
                    failed |= {str(path): reason for path, reason in write(own, film, bar.advance).items()}
                    films.append(film)
                except VideoError as error:
                    failed[str(film)] = str(error)
    return films, failed
