"""Manifests come back as they were written, whatever files and labels are called."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import assume, given
from hypothesis import strategies as st

from gerund.core.types import Clip
from gerund.data.manifest import read_manifest, write_manifest

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=16).map(str.strip)
NAMES = WORDS.filter(lambda name: name and "/" not in name and name not in (".", "..") and len(name.encode()) < 200)


@st.composite
def manifests(draw: st.DrawFn) -> list[Clip]:
    clips = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=5)):
        start = draw(st.just(0.0) | st.floats(0, 1e5))
        length = draw(st.none() | st.floats(0.001, 1e5))
        clips.append(
            Clip(
                path=Path(f"{name}.mp4"),
                label=draw(st.none() | WORDS) or None,
                start=start,
                end=None if length is None else start + length,
                split=draw(st.sampled_from((None, "train", "val", "test"))),
                group=draw(st.none() | WORDS) or None,
            )
        )
    return clips


@given(manifests())
def test_a_manifest_gives_back_what_was_written(clips: list[Clip]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        there = [Clip(**{**vars(clip), "path": folder / clip.path}) for clip in clips]
        for clip in there:
            clip.path.touch()
        assume(len({clip.path.stat().st_ino for clip in there}) == len({clip.path for clip in there}))
        write_manifest(there, folder / "clips.csv")
        assert read_manifest(folder / "clips.csv") == there
