"""Videos: known by content wherever they go, the opened one first, and one bad file never in the way of the others."""

from __future__ import annotations

import shutil
import threading

import numpy as np

from gerund.core.errors import DataError
from gerund.labelling.answers import project_values
from gerund.labelling.footage import OtherFirstError, Watched
from gerund.video.pool import DecodePool
from support.studios import FILMS, named, studio_in, wait_until


def titles(desk) -> dict[str, str]:
    return {video.path: desk.library.standings[name].stage for name, video in desk.project.state.videos.items()}


def all_ready(desk) -> bool:
    return not desk.library.unidentified and all(each.stage != "waiting" for each in list(desk.library.standings.values()))


def test_all_films_become_ready_with_their_exact_lengths(desk):
    for film, text in FILMS.items():
        name = named(desk, film)
        assert abs(desk.project.state.videos[name].duration - 3 * len(text.split())) < 1e-3


def test_a_moved_and_renamed_film_keeps_its_labels(folder, tmp_path):
    from support.studios import label_films

    with studio_in(folder, tmp_path / "cache") as desk:
        label_films(desk, {"one": 2})
        name = named(desk, "one")
    (folder / "deeper").mkdir()
    (folder / "one.mp4").rename(folder / "deeper" / 'a "new" <name>.mp4')
    with studio_in(folder, tmp_path / "cache") as desk:
        wait_until(lambda: name in desk.library.features)
        assert desk.project.state.videos[name].path == 'deeper/a "new" <name>.mp4'
        assert len(desk.project.state.bouts) == 2


def test_a_film_that_is_gone_keeps_its_labels_and_is_said_to_be_missing(folder, tmp_path):
    from support.studios import label_films

    with studio_in(folder, tmp_path / "cache") as desk:
        label_films(desk, {"one": 2})
        name = named(desk, "one")
    (folder / "one.mp4").unlink()
    with studio_in(folder, tmp_path / "cache") as desk:
        wait_until(lambda: all_ready(desk))
        assert desk.library.standings[name].stage == "missing"
        assert len(desk.project.annotations()) == 2
    assert "one.mp4" in (folder / "labels.csv").read_text()


def test_a_copy_of_a_film_is_the_same_film(folder, tmp_path):
    shutil.copy(folder / "one.mp4", folder / "zz copy.mp4")
    with studio_in(folder, tmp_path / "cache") as desk:
        wait_until(lambda: all_ready(desk))
        assert sorted(titles(desk)) == ["one.mp4", "three.mp4", "two.mp4"]


def test_unreadable_files_among_good_ones_are_named(folder, tmp_path):
    (folder / "broken.mp4").write_bytes(b"no video at all" * 50)
    (folder / "half.mp4").write_bytes((folder / "one.mp4").read_bytes()[:3000])
    with studio_in(folder, tmp_path / "cache") as desk:
        for film in FILMS:
            named(desk, film)
        wait_until(lambda: all_ready(desk))
        bad = set(desk.library.unreadable) | {path for path, stage in titles(desk).items() if stage == "failed"}
        assert bad == {"broken.mp4", "half.mp4"}
        assert all(desk.library.unreadable.values())


def test_an_empty_folder_waits_for_films(tmp_path, films):
    (tmp_path / "empty").mkdir()
    with studio_in(tmp_path / "empty", tmp_path / "cache") as desk:
        assert desk.project.state.videos == {}
        shutil.copy(films / "two.mp4", tmp_path / "empty" / "two.mp4")
        desk.library.add([tmp_path / "empty" / "two.mp4"])
        assert named(desk, "two")


def test_a_paused_library_makes_nothing_until_it_goes_on(folder, tmp_path):
    from gerund.backbones import load_backbone
    from gerund.features.cache import FeatureCache
    from gerund.features.extractor import Extractor
    from gerund.labelling.footage import Library
    from gerund.labelling.project import Project

    extractor = Extractor(load_backbone("pixels:8"), fps=8.0, cache=FeatureCache(tmp_path / "cache"))
    with Project(folder) as project:
        library = Library(project, folder, extractor, lambda name: None)
        library.pause(paused=True)
        library.start()
        wait_until(lambda: not library.unidentified)
        assert library.features == {}
        library.pause(paused=False)
        wait_until(lambda: len(library.features) == 3)
        library.end()


class CountingEngine:
    batch_size = 4

    def __init__(self) -> None:
        self.calls: list[str] = []

    def submit(self, batch, done) -> None:
        self.calls.append("submit")

    def drain(self) -> None:
        self.calls.append("drain")


def test_an_engine_stops_between_two_batches_and_leaves_nothing_under_way():
    engine, stop, seen = CountingEngine(), threading.Event(), []
    watched = Watched(engine, seen.append, stop)
    watched.submit(np.zeros(4), print)
    stop.set()
    try:
        watched.submit(np.zeros(4), print)
    except OtherFirstError:
        engine.calls.append("stopped")
    assert engine.calls == ["submit", "drain", "stopped"]
    assert seen == [4]


def test_a_decoder_that_is_killed_costs_one_film_and_not_the_studio(desk, monkeypatch):
    started = DecodePool.start

    def killed_at_the_first_frames(pool):
        worker = started(pool)
        worker.process.kill()
        return worker

    names = [named(desk, film) for film in FILMS]
    monkeypatch.setattr(DecodePool, "start", killed_at_the_first_frames)
    shutil.copy(desk.folder / "one.mp4", desk.folder / "four.mp4")
    with (desk.folder / "four.mp4").open("ab") as file:
        file.write(b"another file by its content")
    desk.library.add([desk.folder / "four.mp4"])
    name = wait_until(lambda: next((name for name in dict(desk.library.standings) if name not in names), None))
    wait_until(lambda: desk.library.standings[name].stage == "failed")
    assert desk.library.standings[name].error == "the decoder crashed (signal 9)"
    assert desk.library.thread.is_alive()
    assert {desk.library.standings[each].stage for each in names} == {"ready"}


def test_a_full_disk_while_films_are_found_is_told_and_they_are_found_later(folder, tmp_path, monkeypatch):
    from gerund.labelling import footage
    from gerund.labelling.project import Project

    monkeypatch.setattr(footage, "RETRY_SECONDS", 0.05)
    full = [True]
    remember = Project.remember

    def refusing(project, changes):
        if full:
            raise DataError("gerund-journal.jsonl: not saved (No space left on device)")
        return remember(project, changes)

    monkeypatch.setattr(Project, "remember", refusing)
    with studio_in(folder, tmp_path / "cache") as desk:
        wait_until(lambda: "No space left" in desk.library.error)
        assert "No space left" in project_values(desk)["complaint"]
        full.clear()
        assert named(desk, "three")
        wait_until(lambda: not desk.library.error)


def test_videos_that_are_put_into_the_folder_later_are_found(folder, tmp_path):
    (tmp_path / "later").mkdir()
    with studio_in(tmp_path / "later", tmp_path / "cache") as desk:
        assert desk.project.state.videos == {}
        shutil.copy(folder / "one.mp4", tmp_path / "later")
        desk.library.look()
        desk.library.look()
        assert named(desk, "one")
        assert len(desk.project.state.videos) == 1
