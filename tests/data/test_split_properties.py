"""Splits that hold for any data set: groups are never parted, and what has a side keeps it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gerund.core.types import Clip
from gerund.data.manifest import assign_splits, carve, group_of, leaking_groups
from gerund.data.split import split

LABELS = ("kicking", "waving", "walking")


@st.composite
def data_sets(draw: st.DrawFn) -> list[Clip]:
    """Up to 60 clips of three classes, each with three groups of its own at least; some of a dozen groups, some clips alone."""
    more = draw(st.lists(st.tuples(st.sampled_from(LABELS), st.integers(0, 12)), max_size=50))
    pairs = draw(st.permutations([*((label, 0) for label in LABELS * 3), *more]))
    return [
        Clip(path=Path(f"{label}/{number}.mp4"), label=label, group=f"g{group}" if group else None)
        for number, (label, group) in enumerate(pairs)
    ]


def sides(clips: list[Clip]) -> dict[Path, str | None]:
    return {clip.path: clip.split for clip in clips}


@given(data_sets(), st.integers(0, 9), st.none() | st.integers(2, 4))
def test_a_split_never_parts_a_group(clips: list[Clip], seed: int, folds: int | None) -> None:
    made = split(clips, folds=folds, seed=seed).manifests
    assert len(made) == (folds or 1)
    for manifest in made:
        assert not leaking_groups(manifest)
        assert [replace(clip, split=None) for clip in manifest] == clips
    if folds:
        tested = [clip.path for manifest in made for clip in manifest if clip.split == "test"]
        assert sorted(tested) == sorted(clip.path for clip in clips)


@given(data_sets(), st.data())
def test_clips_keep_the_side_they_have_and_so_do_new_ones_of_their_groups(clips: list[Clip], data) -> None:
    known = data.draw(st.integers(1, len(clips) - 1))
    before = split(clips[:known]).manifests[0]
    after = split([*before, *clips[known:]]).manifests[0]
    assert sides(after).items() >= sides(before).items()
    assert not leaking_groups(after)


@given(data_sets(), st.integers(0, 9))
def test_the_split_for_training_never_parts_a_group_and_forgets_no_clip(clips: list[Clip], seed: int) -> None:
    assigned, _ = assign_splits(clips, seed=seed)
    assert not leaking_groups(assigned)
    assert [replace(clip, split=None) for clip in assigned] == clips
    assert {clip.split for clip in assigned} <= {"train", "val", "test"}


@given(data_sets(), data_sets(), st.floats(0.05, 0.5))
def test_adding_clips_of_new_classes_moves_no_group(clips: list[Clip], others: list[Clip], fraction: float) -> None:
    added = [
        replace(clip, label=f"new {clip.label}", group=f"new {group_of(clip)}", path=Path("new") / clip.path) for clip in others
    ]
    alone = carve(clips, "test", fraction, 0)
    together = carve([*clips, *added], "test", fraction, 0)
    assert together[: len(clips)] == alone


@given(data_sets(), st.integers(0, 9))
def test_moving_the_folder_moves_no_clip_to_another_side(clips: list[Clip], seed: int) -> None:
    moved = [replace(clip, path=Path("/elsewhere") / clip.path) for clip in clips]
    assert [clip.split for clip in split(moved, seed=seed).manifests[0]] == [
        clip.split for clip in split(clips, seed=seed).manifests[0]
    ]
