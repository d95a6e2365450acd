"""`gerund stats`: how often, how long, when first, after what, in which group, of timelines and of people's labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from gerund.core import options
from gerund.core.errors import DataError, UsageError
from gerund.core.progress import note
from gerund.core.texts import read_table
from gerund.data.checks import some
from gerund.recognition.evaluate import is_model
from gerund.timelines.ethogram import ethogram_plot
from gerund.timelines.observations import Bout, Observation, observe
from gerund.timelines.picture import PLOT_SUFFIXES
from gerund.timelines.statistics import Statistics
from gerund.timelines.stats_page import write_stats_page
from gerund.timelines.trust import held_out_errors


def stats(
    *what: options.ToCount,
    by: options.ByColumn | None = None,
    videos: options.VideoTable | None = None,
    bin: options.BinSeconds | None = None,  # noqa: A002  the flag is --bin
    within: options.FollowSeconds = 5.0,
    html: options.HtmlReport | None = None,
    plot: options.StatsPlot | None = None,
    device: options.Device = options.USUAL.device,
    cache: options.CacheFolder | None = None,
) -> Statistics:
    """Count bouts: of a model in videos, of timelines written before, or of labels by people.

    Raises UsageError for options that cannot be, DataError for what cannot be read or has no column `by`.

    Each argument is explained in `gerund.core.options`, and by `gerund stats --help`.
    """
    html, plot, videos = (None if path is None else Path(path) for path in (html, plot, videos))
    if bin is not None and not bin > 0:
        raise UsageError(f"--bin {bin:g}: a number of seconds above 0 is needed")
    if not within >= 0:
        raise UsageError(f"--within {within:g}: a number of seconds, 0 or more, is needed")
    if plot is not None and plot.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"--plot {plot}: a file ending in {', '.join(PLOT_SUFFIXES)} is needed")
    found = observe(what, device=device, cache=cache)
    groups = grouped_by(found, by, videos)
    trust = held_out_errors(what[0]) if is_model(what[0]) else []
    labels, points = observed_labels(found)
    statistics = Statistics(
        observations=found, labels=labels, points=points, bin=bin, by=by, within=within, groups_of=groups, trust=trust
    )
    tell_small_groups(statistics)
    if html is not None:
        write_stats_page(statistics, html)
    if plot is not None:
        ethogram_plot(plot, statistics)
    return statistics


def observed_labels(found: Sequence[Observation]) -> tuple[list[str], frozenset[str]]:
    """The labels of all videos in order of their names, and those that are points wherever they happen."""
    bouts: dict[str, list[Bout]] = defaultdict(list)
    for each in found:
        for bout in each.bouts:
            bouts[bout.label].append(bout)
    if not bouts:
        note("No bouts at all: every number is 0.")
    points = {label for label, own in bouts.items() if all(bout.is_point for bout in own)}
    for label in bouts.keys() - points:
        if count := sum(bout.is_point for bout in bouts[label]):
            note(f"{label!r} has {count} point events among its bouts: they count as bouts of 0 s.")
    return sorted(bouts, key=lambda label: (label.casefold(), label)), frozenset(points)


def grouped_by(found: Sequence[Observation], by: str | None, videos: Path | None) -> dict[Path, str | None]:
    """The group of each video: what stands in a column of the table of videos, or of the manifest. Raises DataError, UsageError."""
    if by is None:
        if videos is not None:
            raise UsageError(f"--videos {videos}: say with --by which of its columns makes the groups")
        return {}
    traits = {each.path: dict(each.traits) for each in found}
    if videos is not None:
        for path, row in traits_in(videos, list(traits)).items():
            traits[path] |= row
    if by == "subject":
        if not any(bout.subject for each in found for bout in each.bouts):
            raise UsageError("--by subject: no span names a subject")
        return {}
    known = sorted({name for row in traits.values() for name in row})
    if by not in known:
        raise UsageError(f"--by {by}: no such column ({', '.join(known) or 'there is none'}); --videos TABLE.csv brings your own")
    without = [path for path, row in traits.items() if by not in row]
    if without:
        note(
            f"{len(without)} of {len(traits)} videos have nothing in the column {by!r} (first {without[0]}): a group of their own."
        )
    return {path: row.get(by) for path, row in traits.items()}


def traits_in(file: Path, paths: Sequence[Path]) -> dict[Path, dict[str, str]]:
    """The rows of a table of videos, for the videos that are counted: found by path, or by name where only one is called so."""
    found = read_table(file, ("path",))
    if "path" not in found.columns:
        raise DataError(f"{file}:1: no column 'path' (found: {', '.join(found.columns)}); a row says which video it speaks of")
    names = Counter(path.name for path in paths)
    by_name = {path.name: path for path in paths if names[path.name] == 1}
    by_path = {path.resolve(): path for path in paths}
    rows = {}
    for _, row in found.rows:
        text = row.pop("path", "")
        path = by_path.get((file.parent / text).resolve()) or by_name.get(Path(text.replace("\\", "/")).name)
        if path is not None:
            rows[path] = {name: value for name, value in row.items() if value}
    if not rows:
        raise DataError(f"{file}: none of its rows names one of the videos (first {paths[0] if paths else 'none'})")
    return rows


def tell_small_groups(statistics: Statistics) -> None:
    """Say which groups are a single video: they have no SD and no interval."""
    groups = {(row.path, row.subject, row.group) for row in statistics.rows} if statistics.by else set()
    sizes = Counter(group for _, _, group in groups)
    alone = sorted(str(group) for group, size in sizes.items() if size == 1)
    if alone:
        note(f"Groups of one video, without SD and interval: {some(alone)}.")
