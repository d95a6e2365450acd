"""What is wrong with a data set: files, copies, labels and splits."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gerund.core import options
from gerund.core.errors import ModelError, UsageError
from gerund.core.files import encoded, write_bytes
from gerund.core.printing import table
from gerund.core.progress import note, progress
from gerund.core.results import Printable
from gerund.core.types import Clip
from gerund.data.checks import Finding, check_clips, class_table, siblings_in_train
from gerund.data.datasets import is_published, load_dataset, named_sources
from gerund.data.manifest import group_of, write_manifest
from gerund.diagnosis.copies import Copy, Fingerprints
from gerund.diagnosis.inspection import GREY_SIDE, NUM_PARTS, inspect_all
from gerund.diagnosis.page import doctor_page
from gerund.diagnosis.survey import Survey

if TYPE_CHECKING:
    from gerund.diagnosis.leak import Leakage

LATE_SLACK = 0.5
"""Seconds by which the end of a span may be rounded beyond that of its video."""


@dataclass(kw_only=True)
class Diagnosis(Printable):
    """What the doctor found: findings, notes in sentences, statistics, one table row per class, and the measured leak, if asked for.

    `healthy` are the clips without a problem in their file; of several copies one.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    statistics: dict[str, Any] = field(default_factory=dict)
    table: list[dict[str, str | int]] = field(default_factory=list)
    leakage: Leakage | None = None
    healthy: list[Clip] = field(default_factory=list)
    columns: ClassVar = ("level", "area", "kind", "message")

    @property
    def problems(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level == "problem"]

    @property
    def clean(self) -> bool:
        return not self.problems

    @property
    def is_complete(self) -> bool:
        return self.clean

    def values(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        findings = [
            asdict(each) | {"paths": [str(path) for path in each.paths], "others": [str(path) for path in each.others]}
            for each in self.findings
        ]
        return {
            "clean": self.clean,
            "findings": findings,
            "notes": self.notes,
            "statistics": self.statistics,
            "classes": self.table,
            "leak": asdict(self.leakage) if self.leakage else None,
        }

    def as_json(self) -> dict[str, Any]:
        return self.values()

    def as_rows(self) -> Iterator[tuple[str, ...]]:
        return ((each.level, each.area, each.kind, each.message) for each in self.findings)

    def as_text(self) -> Iterator[str]:
        if self.table:
            yield from table(self.table[0], [[str(cell) for cell in row.values()] for row in self.table])
            yield ""
        for name, value in self.statistics.items():
            shown = ", ".join(f"{key}: {each}" for key, each in value.items()) if isinstance(value, dict) else value
            yield f"{name.replace('_', ' ')}: {shown}"
        yield from ("", *self.notes)
        if self.leakage is not None:
            yield f"Measured leak: {self.leakage.sentence}"
        for finding in self.findings:
            yield f"{finding.area} {finding.kind}{' (usable)' * (finding.level == 'remark')}: {finding.message}"
        yield f"Findings: {len(self.problems)}" if self.problems else "No findings."


def doctor(
    data: options.Data,
    *,
    split: options.OfficialSplit | None = None,
    group_pattern: options.GroupPattern | None = None,
    html: options.HtmlReport | None = None,
    fix_manifest: options.FixedManifest | None = None,
    measure_leak: options.MeasureLeak = False,
    backbone: options.BackboneName = options.USUAL.backbone,
    weights: options.Weights | None = None,
    pretrained: options.Pretrained = options.USUAL.pretrained,
    image_size: options.ImageSize | None = None,
    fit: options.FrameFit | None = None,
    fps: options.FrameRate = options.FPS,
    seed: options.Seed = options.USUAL.seed,
    device: options.Device = options.USUAL.device,
    precision: options.FloatPrecision = "auto",
    workers: options.WritingWorkers | None = None,
    cache: options.CacheFolder | None = None,
) -> Diagnosis:
    """Find what is wrong with a data set: broken files, copies, doubtful labels, splits that leak.

    Each argument is explained in `gerund.core.options`, and by `gerund doctor --help`.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: at least 1 is needed")
    clips = load_dataset(data, split=split, group_pattern=group_pattern, allow_leak=True, allow_missing=True)
    diagnosis = Diagnosis(table=class_table(clips))
    examine_files(clips, workers or os.cpu_count() or 1, diagnosis)
    diagnosis.findings += check_clips(clips, published=is_published(data))
    diagnosis.notes += group_notes(clips)
    if measure_leak:
        from gerund.backbones import load_backbone  # torch takes seconds to load, and nothing else here needs it
        from gerund.diagnosis.leak import leakage_of
        from gerund.features.cache import FeatureCache
        from gerund.features.extractor import Extractor

        model = load_backbone(backbone, weights=weights, pretrained=pretrained, image_size=image_size, fit=fit)
        rate = None if fps == "native" else float(fps)
        extractor = Extractor(model, fps=rate, cache=FeatureCache(cache), device=device, precision=precision, workers=workers)
        diagnosis.leakage = leakage_of(diagnosis.healthy, extractor, seed=seed)
    if fix_manifest is not None:
        diagnosis.notes.append(write_clean(diagnosis.healthy, len(clips), Path(fix_manifest)))
    if html is not None:
        write_page(Path(html), ", ".join(named_sources(data)) or f"{len(clips)} clips", diagnosis)
    return diagnosis


def examine_files(clips: Sequence[Clip], workers: int, diagnosis: Diagnosis) -> None:
    """Inspect every file once; put findings and statistics into the diagnosis. In memory stays a line or so for each file."""
    paths = list(dict.fromkeys(clip.path for clip in clips))
    survey = Survey(paths)
    with Fingerprints(len(paths), (NUM_PARTS, GREY_SIDE, GREY_SIDE)) as fingerprints:
        with progress("Looking into files", len(paths), "files") as bar:
            for index, inspection in inspect_all(paths, workers):
                survey.add(index, inspection)
                if inspection.fingerprint is not None and inspection.problem is None:
                    fingerprints.add(index, inspection.fingerprint, seconds=inspection.seconds, frames=inspection.record.frames)
                bar.advance(seconds=inspection.seconds)
        copies = exact_copies(survey.digests) + fingerprints.copies()
    diagnosis.findings += [*survey.problems(), *copy_findings(paths, survey.pixels, copies, clips)]
    bad = {path for finding in diagnosis.problems if finding.area == "file" for path in finding.paths}
    seconds = dict(zip(paths, survey.seconds.tolist(), strict=True))
    late = [clip for clip in clips if clip.start > seconds[clip.path]]
    diagnosis.healthy = [clip for clip in clips if clip.path not in bad and clip.start <= seconds[clip.path]]
    long = [clip for clip in diagnosis.healthy if clip.end is not None and clip.end > seconds[clip.path] + LATE_SLACK]
    diagnosis.findings += [*(late_finding(clip, seconds[clip.path]) for clip in late), *survey.remarks()]
    diagnosis.findings += [long_remark(clip, seconds[clip.path]) for clip in long]
    diagnosis.statistics = survey.statistics()


def exact_copies(digests: dict[int, str]) -> list[Copy]:
    """Pairs of files with the same content: each with the first of its kind."""
    first: dict[str, int] = {}
    copies = []
    for index, digest in sorted(digests.items()):
        if digest in first:
            copies.append(Copy(first[digest], index, False, math.inf))
        else:
            first[digest] = index
    return copies


def copy_findings(paths: Sequence[Path], pixels: np.ndarray, copies: Sequence[Copy], clips: Sequence[Clip]) -> Iterator[Finding]:
    """One finding for each file that is a copy of another. Of a family, the one with most pixels, then the first, is the original."""
    used: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        used[clip.path].append(clip)
    for original, members in families(copies, pixels).items():
        for index, copy in members.items():
            yield from findings_of_copy(paths[original], paths[index], copy, used)


def families(copies: Sequence[Copy], pixels: np.ndarray) -> dict[int, dict[int, Copy]]:
    """Original -> its copies, each with the pair that shows it best: one with the original before one with another copy, exact before near."""
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent.setdefault(index, index) != index:
            index = parent[index]
        return index

    pairs: dict[int, list[Copy]] = defaultdict(list)
    for copy in copies:
        parent[root(copy.second)] = root(copy.first)
        pairs[copy.first].append(copy)
        pairs[copy.second].append(copy)
    members: dict[int, list[int]] = defaultdict(list)
    for index in parent:
        members[root(index)].append(index)
    found = {}
    for family in members.values():
        original = min(family, key=lambda index: (-pixels[index], index))
        found[original] = {
            index: max(pairs[index], key=lambda pair: (original in (pair.first, pair.second), pair.similarity))
            for index in sorted(family)
            if index != original
        }
    return dict(sorted(found.items()))


def findings_of_copy(original: Path, path: Path, copy: Copy, used: dict[Path, list[Clip]]) -> Iterator[Finding]:
    """The copy itself; and when the two are labelled differently, or stand on two sides of the split, that too."""
    sides = [sorted({clip.split for clip in used[each] if clip.split}) for each in (path, original)]
    labels = [sorted({clip.label for clip in used[each] if clip.label}) for each in (path, original)]
    shown = [f" ({', '.join(side)})" if side else "" for side in sides]
    exact = math.isinf(copy.similarity)
    kind = "duplicate" if exact else "near-duplicate"
    how = "has the same content as" if exact else f"shows the same{', mirrored,' if copy.mirrored else ''} as"
    about = "" if exact else f", similarity {copy.similarity:.3f}"
    yield Finding(
        area="file",
        kind=kind,
        message=f"{path}{shown[0]} {how} {original}{shown[1]}{about}",
        paths=(path,),
        others=(original,),
    )
    if labels[0] != labels[1]:
        message = f"{path} ({', '.join(labels[0])}) and its original {original} ({', '.join(labels[1])}) have different labels"
        yield Finding(area="label", kind="conflicting-labels", message=message, paths=(path,), others=(original,))
    if len({*sides[0], *sides[1]}) > 1:
        message = f"{path}{shown[0]} and {original}{shown[1]} show the same on two sides of the split"
        yield Finding(area="split", kind="copy-leak", message=message, paths=(path,), others=(original,))


def late_finding(clip: Clip, seconds: float) -> Finding:
    message = f"{clip.path}: a clip starts at {clip.start:g} s, but the video ends at {seconds:.2f} s"
    return Finding(area="file", kind="span-beyond-end", message=message, paths=(clip.path,))


def long_remark(clip: Clip, seconds: float) -> Finding:
    message = f"{clip.path}: a clip ends at {clip.end:g} s, but the video ends at {seconds:.2f} s; what is there is used"
    return Finding(area="file", kind="end-beyond-end", message=message, paths=(clip.path,), level="remark")


def group_notes(clips: Sequence[Clip]) -> list[str]:
    """What is worth knowing of groups and splits, and no finding."""
    groups = Counter(group_of(clip) for clip in clips)
    siblings = sum(count for count in groups.values() if count > 1)
    if not siblings:
        notes = [
            "No groups are known: if several clips come from one source video, name it (--group-pattern, or the CSV's group)."
        ]
    else:
        notes = [
            f"{len(groups)} groups; {siblings} of {len(clips)} clips have a sibling, which is fine on the same side of a split."
        ]
    trained, tested = siblings_in_train(clips)
    if tested:
        notes.append(f"{trained} of {tested} test clips ({100 * trained / tested:.1f} %) have a sibling in train.")
    elif not any(clip.split for clip in clips):
        notes.append("No split given; train makes one that keeps groups together.")
    return notes


def write_clean(healthy: Sequence[Clip], num_clips: int, path: Path) -> str:
    """Write the clips whose files have no problem; returns a sentence."""
    try:
        write_manifest(healthy, path)
    except OSError as error:
        raise ModelError(f"--fix-manifest {path}: cannot be written ({error.strerror})") from None
    sentence = f"{path}: {len(healthy)} clips written, {num_clips - len(healthy)} left out."
    note(sentence)
    return sentence


def write_page(path: Path, title: str, diagnosis: Diagnosis) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, encoded(doctor_page(title, diagnosis.values())))
    except OSError as error:
        raise ModelError(f"--html {path}: cannot be written ({error.strerror})") from None
