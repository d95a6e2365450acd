"""Extraction on a cluster: the same features as here, each video once, and whoever dies costs what it had in hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gerund.backbones import load_backbone
from gerund.core import storage
from gerund.core.errors import ClusterError, DataError, UsageError
from gerund.core.storage import url_of
from gerund.data.datasets import load_dataset, toy
from gerund.data.manifest import read_manifest, write_manifest
from gerund.features import cluster as distributed
from gerund.features.cache import FeatureCache
from gerund.features.cluster import ClusterWorker, Crew, Machine, Plan, RemoteCache
from gerund.features.extract import extract
from gerund.features.extractor import Extraction, Extractor

pytestmark = pytest.mark.torch

RampVideo = Callable[..., Path]
OPTIONS: dict[str, Any] = {"fps": 8.0, "device": "cpu", "precision": "f32", "workers": 1}


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.fixture
def worker() -> Callable[[Path], ClusterWorker]:
    """A worker in this process."""
    return lambda cache: ClusterWorker(load_backbone("pixels:8"), cache, OPTIONS)


def rows_of(extraction: Extraction, path: Path) -> np.ndarray:
    return extraction.features[path].data[0 : len(extraction.features[path])]


def blocks_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize(
    ("machines", "actors", "gpus", "plan"),
    [
        ([Machine(8, 0)], None, None, Plan(1, 8, 0)),
        ([Machine(8, 0), Machine(16, 0)], None, None, Plan(3, 8, 0)),
        ([Machine(0, 0), Machine(4, 0)], None, None, Plan(1, 4, 0)),
        ([Machine(4, 0), Machine(4, 0)], 3, None, Plan(3, 2, 0)),
        ([Machine(2, 0)], 5, None, Plan(5, 1, 0)),
        ([Machine(16, 4), Machine(16, 4)], None, None, Plan(8, 4, 1)),
        ([Machine(16, 4), Machine(64, 0)], None, 0.5, Plan(8, 2, 0.5)),
        ([Machine(16, 2)], 1, None, Plan(1, 16, 1)),
    ],
)
def test_workers_share_the_machines_out(machines: list[Machine], actors: int | None, gpus: float | None, plan: Plan) -> None:
    assert Plan.for_machines(machines, actors, gpus) == plan


def test_gpus_that_no_machine_has_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--gpus-per-actor 2: no machine of the cluster has that; the most GPUs in one is 1"):
        Plan.for_machines([Machine(4, 1), Machine(4, 0)], None, 2)


def test_options_that_cannot_be_are_refused(ramp_video: RampVideo, tmp_path: Path) -> None:
    ramp_video(5, folder=tmp_path / "a")
    with pytest.raises(UsageError, match="--actors and --gpus-per-actor belong to --ray"):
        extract(tmp_path, backbone="pixels", actors=2)
    with pytest.raises(UsageError, match="--actors 0: at least 1 is needed"):
        extract(tmp_path, backbone="pixels", ray="auto", actors=0)
    with pytest.raises(UsageError, match="--precision int8 with --ray"):
        extract(tmp_path, backbone="pixels", ray="auto", precision="int8")


def test_without_ray_the_way_out_is_named(ramp_video: RampVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp_video(5, folder=tmp_path / "a")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'gerund\[ray\]'"):
        extract(tmp_path, backbone="pixels", ray="auto")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://bucket/a b/é.mp4", "s3://bucket/a b/é.mp4"),
        ("memory://a.mp4", "memory://a.mp4"),
        ("file:///tmp/a.mp4", "file:///tmp/a.mp4"),
        ("/tmp/a.mp4", None),
        ("a/b:c/d.mp4", None),
        ("C:/clips/a.mp4", None),
    ],
)
def test_a_url_survives_being_a_path(path: str, url: str | None) -> None:
    assert url_of(Path(path)) == url


def test_storage_without_its_package_or_unknown_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nope://a: no such kind of storage"):
        storage.file_system("nope://a")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"s3://a/b: a package .* is missing \(.*s3fs.*\); pip install it"):
        storage.file_system("s3://a/b")


def test_a_manifest_at_a_url_names_videos_beside_it_and_elsewhere(memory: Any, tmp_path: Path) -> None:
    memory.pipe_file("/set/clips.csv", b"path,label\na.mp4,x\ns3://bucket/b.mp4,y\n")
    clips = load_dataset("memory://set/clips.csv")
    assert [url_of(clip.path) for clip in clips] == ["memory://set/a.mp4", "s3://bucket/b.mp4"]
    write_manifest(clips, tmp_path / "copy.csv")
    assert read_manifest(tmp_path / "copy.csv") == clips
    with pytest.raises(DataError, match=r"memory://set/none.csv: no such file"):
        load_dataset("memory://set/none.csv")


def test_videos_at_urls_give_the_features_of_their_copies_here(
    memory: Any, ramp_video: RampVideo, tmp_path: Path, worker: Callable[[Path], ClusterWorker]
) -> None:
    here = ramp_video(40)
    memory.put_file(str(here), "/videos/a.mp4")
    memory.pipe_file("/videos/notes.mp4", b"these are notes")
    good, bad, gone = (Path(f"memory://videos/{name}.mp4") for name in ("a", "notes", "gone"))
    made = worker(tmp_path / "far")
    found = made.extract([good, bad, gone])
    assert list(found.features) == [good]
    assert np.array_equal(rows_of(found, good), rows_of(worker(tmp_path / "near").extract([here]), here))
    assert found.failed[bad].startswith("memory://videos/notes.mp4: not readable as video")
    assert found.failed[gone].startswith("memory://videos/gone.mp4: ")
    assert not list(Path(made.extractor.cache.folder).rglob("*.mp4"))


def test_features_of_a_url_are_found_again_without_fetching_it(
    memory: Any, ramp_video: RampVideo, tmp_path: Path, worker: Callable[[Path], ClusterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put_file(str(ramp_video(40)), "/videos/a.mp4")
    path = Path("memory://videos/a.mp4")
    extractor = Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS)
    assert "features not extracted yet; gerund extract DATA --ray auto" in extractor.extract([path]).failed[path]
    first = worker(tmp_path).extract([path])
    monkeypatch.setattr(storage, "fetch", lambda *_: pytest.fail("fetched again"))
    assert np.array_equal(rows_of(worker(tmp_path).extract([path]), path), rows_of(first, path))
    extractor = Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS)
    assert np.array_equal(rows_of(extractor.extract([path]), path), rows_of(first, path))


def test_a_cache_of_before_learns_its_addresses_by_one_more_extraction_that_fetches_nothing(
    memory: Any, ramp_video: RampVideo, tmp_path: Path, worker: Callable[[Path], ClusterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put_file(str(ramp_video(40)), "/videos/a.mp4")
    path = Path("memory://videos/a.mp4")
    worker(tmp_path).extract([path])
    digests = FeatureCache(tmp_path).folder / "digests.txt"
    address = storage.key_of("memory://videos/a.mp4")
    before = [line for line in digests.read_text(encoding="utf-8").splitlines() if not line.startswith(f"{address} ")]
    digests.write_text("".join(f"{line}\n" for line in before), encoding="utf-8")
    assert FeatureCache(tmp_path).known_digests
    extractor = Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS)
    assert "features not extracted yet" in extractor.extract([path]).failed[path]
    monkeypatch.setattr(storage, "fetch", lambda *_: pytest.fail("fetched again"))
    assert list(worker(tmp_path).extract([path]).features) == [path]
    extractor = Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS)
    assert list(extractor.extract([path]).features) == [path]


def test_rows_that_cannot_be_fetched_cost_themselves_alone(
    memory: Any, ramp_video: RampVideo, tmp_path: Path, worker: Callable[[Path], ClusterWorker]
) -> None:
    memory.put_file(str(ramp_video(10)), "/a.mp4")
    good, *bad = (
        Path(text) for text in ("memory://a.mp4", "nope://a.mp4", "concat:/etc/passwd|/etc/hosts", "ftp://127.0.0.1:1/a.mp4")
    )
    found = worker(tmp_path).extract([*bad, good])
    assert list(found.features) == [good]
    assert list(found.failed) == bad


def test_only_urls_that_were_fetched_are_asked_about(
    memory: Any, ramp_video: RampVideo, tmp_path: Path, worker: Callable[[Path], ClusterWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from a cache that knows states alone, as those of earlier versions do: a worker then notes what it finds."""
    memory.put_file(str(ramp_video(10)), "/a.mp4")
    path, asked = Path("memory://a.mp4"), storage.state_of
    worker(tmp_path).extract([path])
    digests = tmp_path / "features" / "digests.txt"
    digests.write_text("".join(line for line in digests.read_text().splitlines(keepends=True) if not line.startswith("url:")))
    monkeypatch.setattr(storage, "state_of", lambda url: pytest.fail(f"asked about {url}"))
    assert path in Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS).extract([path]).failed
    monkeypatch.setattr(storage, "state_of", asked)
    monkeypatch.setattr(storage, "fetch", lambda *_: pytest.fail("fetched again"))
    worker(tmp_path).extract([path])
    assert path in Extractor(load_backbone("pixels:8"), cache=FeatureCache(tmp_path), **OPTIONS).extract([path]).features


@pytest.mark.parametrize("place", ["memory://bucket/cache", "file://{tmp}/bucket"])
def test_a_cache_at_a_url_serves_machines_that_share_nothing_else(
    memory: Any,
    ramp_video: RampVideo,
    tmp_path: Path,
    worker: Callable[[Path], ClusterWorker],
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = ramp_video(40)
    url = place.format(tmp=tmp_path)
    expected = rows_of(worker(tmp_path / "local").extract([path]), path)
    monkeypatch.setenv("GERUND_CACHE", str(tmp_path / "first machine"))
    assert np.array_equal(rows_of(worker(Path(url)).extract([path]), path), expected)
    monkeypatch.setenv("GERUND_CACHE", str(tmp_path / "second machine"))
    other = worker(Path(url))
    monkeypatch.setattr(other.extractor, "fill", lambda *_: pytest.fail("made again"))
    assert np.array_equal(rows_of(other.extract([path]), path), expected)
    assert blocks_in(tmp_path / "second machine") == blocks_in(tmp_path / "local")
    assert RemoteCache(url).get(other.extractor.spec, "0" * 32) is None


class FakeRay:
    """Stands for Ray: orders are worked on when waited for; workers die on command, or with a video in hand."""

    exceptions = SimpleNamespace(
        RayTaskError=type("RayTaskError", (Exception,), {"cause": None}),
        RayActorError=type("RayActorError", (Exception,), {}),
        ObjectLostError=type("ObjectLostError", (Exception,), {}),
    )

    def __init__(self, *, deadly: tuple[str, ...] = (), never_up: bool = False, die_after: dict[int, int] | None = None) -> None:
        self.deadly, self.never_up, self.die_after = deadly, never_up, die_after or {}
        self.workers: list[Any] = []
        self.seen: list[str] = []
        self.most_in_hand = 0

    def hire(self) -> Any:
        worker = SimpleNamespace(number=len(self.workers), alive=True, tasks=[], orders=0)

        class Handle:
            extract = SimpleNamespace(remote=lambda paths: self.put(worker, paths))

        self.workers.append(worker)
        return Handle()

    def put(self, worker: Any, paths: list[Path]) -> Any:
        task = (worker.number, len(worker.tasks), tuple(paths))
        worker.tasks.append(task)
        return task

    def wait(self, tasks: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.most_in_hand = max(self.most_in_hand, len(tasks))
        return tasks[:1], tasks[1:]

    def get(self, task: Any) -> Extraction:
        number, _, paths = task
        worker = self.workers[number]
        worker.orders += 1
        if self.never_up or worker.orders > self.die_after.get(number, 10**6) or any(path.name in self.deadly for path in paths):
            worker.alive = False
        if not worker.alive:
            raise self.exceptions.RayActorError
        self.seen += [path.name for path in paths]
        return Extraction({path: SimpleNamespace(end=1.0) for path in paths})  # type: ignore[misc]

    def kill(self, worker: Any) -> None:
        pass


def crew_on(ray: FakeRay, count: int = 2) -> Crew:
    return Crew(ray, ray.hire, count)


VIDEOS = [Path(f"v{number}") for number in range(100)]


def test_every_video_is_done_once_with_few_orders_in_flight() -> None:
    ray = FakeRay()
    found = crew_on(ray).extract(VIDEOS)
    assert sorted(ray.seen) == sorted(path.name for path in VIDEOS)
    assert set(found.features) == set(VIDEOS)
    assert ray.most_in_hand <= 2 * distributed.ORDERS_IN_HAND


def test_a_lost_worker_costs_only_what_it_had_in_hand() -> None:
    ray = FakeRay(die_after={0: 2})
    found = crew_on(ray).extract(VIDEOS)
    assert set(found.features) == set(VIDEOS)
    assert not found.failed
    assert sorted(ray.seen) == sorted(path.name for path in VIDEOS), "finished videos were done again"
    assert len(ray.workers) == 3, "one replacement"


def test_a_video_that_kills_its_workers_is_given_up_and_the_others_are_done() -> None:
    ray = FakeRay(deadly=("v7",))
    found = crew_on(ray).extract(VIDEOS)
    assert found.failed == {Path("v7"): "v7: 3 workers died with this video in hand"}
    assert set(found.features) == set(VIDEOS) - {Path("v7")}


def test_workers_that_never_come_up_end_the_job_with_one_line() -> None:
    with pytest.raises(ClusterError, match="no worker stays alive"):
        crew_on(FakeRay(never_up=True)).extract(VIDEOS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy clips, many enough for a job that something can happen in, and a text that calls itself a video."""
    folder = tmp_path_factory.mktemp("cluster") / "my clips"
    toy.make(folder, performers=8, clips_per_action=1)
    (folder / "manifest.csv").unlink()
    (folder / "kicking" / "notes.mp4").write_text("these are notes")
    return folder


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes with one CPU each, on this machine."""
    pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    try:
        made.second = made.add_node(**node)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("blow", ["none", "kill -9 a worker", "remove a node"])
def test_a_cluster_gives_the_features_of_a_local_run_whatever_dies(cluster: Any, clips: Path, tmp_path: Path, blow: str) -> None:
    local = extract(clips, backbone="pixels", cache=tmp_path / "local")

    def strike() -> None:
        while len(blocks_in(tmp_path / "far")) < 5:
            time.sleep(0.02)
        written.update({path: path.stat().st_mtime_ns for path in (tmp_path / "far").rglob("*.safetensors")})
        if blow == "kill -9 a worker":
            found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
            raylets = {node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()}
            rows = [line.split(maxsplit=2) for line in found.splitlines()[1:]]
            workers = [int(pid) for pid, parent, name in rows if int(parent) in raylets and name.startswith("ray::ClusterWorker")]
            os.kill(workers[0], signal.SIGKILL)
        elif blow == "remove a node":
            cluster.remove_node(cluster.second, allow_graceful=False)

    written: dict[Path, int] = {}
    blower = threading.Thread(target=strike)
    blower.start()
    far = extract(clips, backbone="pixels", ray=cluster.address, actors=2, cache=tmp_path / "far")
    blower.join()
    assert 5 <= len(written) < len(local.features), "the blow came after the work"
    assert {path: path.stat().st_mtime_ns for path in written} == written, "finished videos were done again"
    assert blocks_in(tmp_path / "far") == blocks_in(tmp_path / "local"), "one complete entry per video, the same bits"
    assert set(far.features) == set(local.features)
    assert all(np.array_equal(rows_of(far, path), rows_of(local, path)) for path in local.features)
    assert far.failed == local.failed
    assert "not readable as video" in far.failed[clips / "kicking" / "notes.mp4"]


@pytest.mark.slow
def test_local_and_cluster_runs_are_interchangeable(cluster: Any, clips: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(clips / "waving", half / "waving")
    extract(half, backbone="pixels", cache=tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}
    far = extract(clips, backbone="pixels", ray=cluster.address, cache=tmp_path / "cache")
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before, "made again"
    again = extract(clips, backbone="pixels", cache=tmp_path / "cache")
    assert set(again.features) == set(far.features)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nonsense"])
def test_an_address_where_no_cluster_answers_is_one_line(ramp_video: RampVideo, tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    ramp_video(5, folder=tmp_path / "a")
    with pytest.raises(ClusterError, match=f"--ray {address}: no Ray cluster answers"):
        extract(tmp_path, backbone="pixels", ray=address)
