"""Extraction on a Ray cluster: workers with one backbone each fill one cache; who loses a worker loses what it had in hand.

The only module that knows Ray. Plain actors, not Ray Data: see docs/design.md.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gerund.backbones import Backbone, resolve_precision
from gerund.core import progress, storage
from gerund.core.errors import ClusterError, GerundError, UsageError
from gerund.core.files import whole
from gerund.core.places import as_path, default_cache
from gerund.core.progress import note
from gerund.core.storage import url_of
from gerund.core.types import FeatureSpec, Rows
from gerund.features.blocks import StackedRows
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor

VIDEOS_IN_HAND = 16
"""Videos of one order. More fill the batches of the backbone better and start decoders less often; a lost worker costs at most two orders."""
ORDERS_IN_HAND = 2
"""Orders a worker has, so that it never waits for the next one; no more, so that late workers find work too."""
LOSSES = 3
"""After so many lost workers a video is taken for their cause, and given up."""
CONNECT_LIMIT = 10.0
"""Seconds for a cluster to answer."""
NEWS_LIMIT = 60.0
"""Seconds without news after which the person who waits is told what the cluster has."""


def extract_on_cluster(
    paths: Sequence[Path],
    backbone: Backbone,
    *,
    address: str = "auto",
    actors: int | None = None,
    gpus_per_actor: float | None = None,
    fps: float | None,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    retry_failed: bool = False,
    cache: str | Path | None = None,
) -> Extraction:
    """As Extractor.extract, by `actors` workers of a Ray cluster; `cache`, and the videos, must be where all machines see them.

    `address` is the cluster's, or `auto`. Videos may be URLs, and so may the cache. Videos that cannot be decoded are listed in `failed`,
    those that LOSSES workers died with as well. Raises UsageError for what the cluster cannot offer, ClusterError when it cannot be
    reached or no worker stays alive.
    """
    if precision == "int8":
        raise UsageError("--precision int8 with --ray: not possible; choose bf16 or f32")
    for name, value in (("actors", actors), ("gpus-per-actor", gpus_per_actor)):
        if value is not None and not value > 0:
            raise UsageError(f"--{name} {value:g}: more than 0 is needed; leave it out for what fits the cluster")
    folder = as_path(cache) or default_cache()
    folder = folder if url_of(folder) else folder.absolute()
    sent = {path if url_of(path) else path.absolute(): path for path in paths}
    with cluster(address) as ray:
        plan = Plan.for_machines(machines(ray), actors, gpus_per_actor)
        device = ("cuda" if plan.gpus else "cpu") if device == "auto" else device
        if precision == "auto":  # settled once, by a machine that will do the work
            settle = ray.remote(resolve_precision).options(num_cpus=plan.cpus, num_gpus=plan.gpus)
            precision = ray.get(settle.remote(precision, device))
        workers = workers or max(1, plan.cpus // 2)
        options: dict[str, Any] = {"fps": fps, "device": device, "precision": precision, "workers": workers}
        if retry_failed:
            store = open_cache(folder)
            store.forget_failures(Extractor(backbone, cache=store, **options).spec)
        backbone.module  # noqa: B018  it travels with its weights, which no other machine then has to have
        shared = ray.put(backbone)
        hired = ray.remote(ClusterWorker).options(num_cpus=plan.cpus, num_gpus=plan.gpus, scheduling_strategy="SPREAD")
        note(f"Ray: {plan.actors} workers, each with CPU {plan.cpus}, GPU {plan.gpus:g}")
        crew = Crew(ray, lambda: hired.remote(shared, folder, options), plan.actors)
        try:
            found = crew.extract(list(sent))
        finally:
            crew.dismiss()
    features = {sent[path]: each for path, each in found.features.items()}
    return Extraction(features, {sent[path]: reason for path, reason in found.failed.items()})


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster; what was not connected before is disconnected at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--ray: the package is not installed; pip install 'gerund[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    if address != "auto":
        check_answers(address)
    try:
        ray.init(
            address=None if address == "auto" else address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ClusterError(f"--ray {address}: {str(error).splitlines()[0]}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def check_answers(address: str) -> None:
    """Raise ClusterError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_LIMIT).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ClusterError(f"--ray {address}: no Ray cluster answers ({error}); give HOST:PORT of its head, or auto") from None


@dataclass(frozen=True)
class Machine:
    """What a machine of the cluster offers."""

    cpus: int
    gpus: float


def machines(ray: Any) -> list[Machine]:
    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Machine(int(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in alive]


@dataclass(frozen=True)
class Plan:
    """How many workers, with how many CPUs and GPUs each."""

    actors: int
    cpus: int
    gpus: float

    @classmethod
    def for_machines(cls, machines: Sequence[Machine], actors: int | None, gpus: float | None) -> Plan:
        """One worker for each GPU, or else for as many CPUs as the smallest machine has, unless told otherwise."""
        if gpus is None:
            gpus = 1.0 if any(machine.gpus >= 1 for machine in machines) else 0.0
        able = [machine for machine in machines if machine.cpus and machine.gpus >= gpus]
        if not able:
            most = max((machine.gpus for machine in machines), default=0)
            raise UsageError(f"--gpus-per-actor {gpus:g}: no machine of the cluster has that; the most GPUs in one is {most:g}")
        smallest = min(machine.cpus for machine in able)
        side_by_side = max(int(machine.gpus // gpus) for machine in able) if gpus else 1
        if actors is not None:
            side_by_side = math.ceil(actors / len(able))
        cpus = max(1, smallest // side_by_side)
        fitting = sum(min(machine.cpus // cpus, int(machine.gpus // gpus)) if gpus else machine.cpus // cpus for machine in able)
        return cls(actors or fitting, cpus, gpus)


class ClusterWorker:
    """Runs on some machine: a backbone, compiled once, that fills the shared cache."""

    def __init__(self, backbone: Backbone, cache: Path, options: Mapping[str, Any]) -> None:
        progress.mute()
        self.extractor = Extractor(backbone, cache=open_cache(cache), **options)

    def extract(self, paths: Sequence[Path]) -> Extraction:
        """Features of videos; those at URLs are copied here for the time it takes."""
        known: list[Path] = []
        copies: dict[Path, Path] = {}
        failed: dict[Path, str] = {}
        with tempfile.TemporaryDirectory(prefix="gerund-") as scratch:
            for number, path in enumerate(paths):
                url = url_of(path)
                if url is None or self.is_stored(url):
                    known.append(path)
                    continue
                copy = Path(scratch) / f"{number}-{path.name}"
                try:
                    storage.fetch(url, copy)
                    self.extractor.cache.remember_url(url, storage.state_of(url), self.extractor.cache.video_digest(copy))
                    copies[copy] = path
                except OSError as error:
                    failed[path] = f"{url}: {error.strerror or error}"
                except UsageError as error:
                    failed[path] = str(error)
            found = self.extractor.extract([*known, *copies])
        features = {copies.get(path, path): each for path, each in found.features.items()}
        for path, reason in found.failed.items():
            original = copies.get(path, path)
            failed[original] = reason.replace(str(path), url_of(original) or str(path))
        return Extraction(features, failed)

    def is_stored(self, url: str) -> bool:
        """Whether the features of what lies at a URL now are there."""
        cache = self.extractor.cache
        try:
            state = storage.state_of(url)
        except (OSError, UsageError):
            return False  # fetching it says why
        digest = cache.known_digests.get(state)
        if digest is None or cache.get(self.extractor.spec, digest) is None:
            return False
        cache.remember_url(url, state, digest)
        return True


class Crew:
    """Workers, the orders they have in hand, and what they found; what a lost one had in hand goes to the others.

    `hire` starts a worker. Its first order is empty: the answer tells that it is up.
    """

    def __init__(self, ray: Any, hire: Callable[[], Any], count: int) -> None:
        self.ray, self.hire = ray, hire
        self.waiting: deque[Sequence[Path]] = deque()
        self.orders: dict[Any, Sequence[Path]] = {}
        self.hands: dict[Any, list[Any]] = {}
        self.losses: Counter[Path] = Counter()
        self.found = Extraction()
        for _ in range(count):
            self.welcome()

    def welcome(self) -> None:
        worker = self.hire()
        self.hands[worker] = []
        self.order(worker, ())

    def order(self, worker: Any, paths: Sequence[Path]) -> None:
        task = worker.extract.remote(paths)
        self.orders[task] = paths
        self.hands[worker].append(task)

    def extract(self, paths: Sequence[Path]) -> Extraction:
        size = min(VIDEOS_IN_HAND, math.ceil(len(paths) / len(self.hands)) or 1)  # few videos are shared out too
        self.waiting.extend(paths[start : start + size] for start in range(0, len(paths), size))
        with progress.progress("Extracting features", len(paths), "videos") as bar:
            while self.waiting or any(self.orders.values()):
                if not self.orders:
                    raise ClusterError("no worker stays alive; the logs of Ray (/tmp/ray/session_latest/logs) say why")
                done, _ = self.ray.wait(list(self.orders), timeout=NEWS_LIMIT)
                if not done:
                    note(f"Ray: no news for {NEWS_LIMIT:g} s; the cluster has {self.ray.cluster_resources()}")
                for task in done:
                    if task in self.orders:  # else of a worker whose loss is known already
                        self.collect(task, bar)
        return self.found

    def collect(self, task: Any, bar: progress.Bar) -> None:
        """Take in what a worker has done, or see that it is lost, and hand out the next orders."""
        worker = next(each for each, tasks in self.hands.items() if task in tasks)
        errors = self.ray.exceptions
        try:
            extraction = self.ray.get(task)
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, GerundError) else ClusterError(str(error)) from None
        except (errors.RayActorError, errors.ObjectLostError):
            self.lose(worker, bar)
            return
        self.hands[worker].remove(task)
        self.found.features.update(extraction.features)
        for path, reason in extraction.failed.items():
            self.fail(path, reason)
        bar.advance(len(self.orders.pop(task)), seconds=sum(each.end for each in extraction.features.values()))
        self.hand_out(worker)

    def hand_out(self, worker: Any) -> None:
        while self.waiting and len(self.hands[worker]) < ORDERS_IN_HAND:
            self.order(worker, self.waiting.popleft())

    def lose(self, worker: Any, bar: progress.Bar) -> None:
        """Hand out again, one by one, what a lost worker had in hand, and hire another one unless it had never been up."""
        held = [self.orders.pop(task) for task in self.hands.pop(worker)]
        self.losses.update(held[0])  # orders are worked on one after the other: only the first can be the cause
        for path in (path for order in held for path in order):
            if self.losses[path] < LOSSES:
                self.waiting.appendleft([path])
            else:
                self.fail(path, f"{path}: {LOSSES} workers died with this video in hand")
                bar.advance()
        self.ray.kill(worker)
        if any(held):
            note(f"Lost a worker; what it had in hand, {sum(map(len, held))} videos, goes to the others")
            self.welcome()
        for idle in [each for each, tasks in self.hands.items() if not tasks]:
            self.hand_out(idle)

    def fail(self, path: Path, reason: str) -> None:
        self.found.failed[path] = reason
        note(f"Skipped {reason}")

    def dismiss(self) -> None:
        for worker in self.hands:
            self.ray.kill(worker)


def open_cache(folder: Path | None) -> FeatureCache:
    """The cache in a folder, or at a URL."""
    url = url_of(folder) if folder is not None else None
    return FeatureCache(folder) if url is None else RemoteCache(url)


class RemoteCache(FeatureCache):
    """A cache at a URL with a copy of what was used on this machine; a block goes to the URL as soon as it is stored."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        super().__init__(default_cache() / "remote" / hashlib.sha256(self.url.encode()).hexdigest()[:16])

    def readable(self, spec: FeatureSpec, video: str, rows: StackedRows) -> Rows:
        """Rows that can be read on any machine."""
        return RemoteRows(self.url, spec, video, rows.shape)

    def stored(self, spec: FeatureSpec, video: str) -> tuple[Any, np.ndarray, bool]:
        index = 0
        while (path := self.block_path(spec, video, index)).is_file() or self.download(path):
            index += 1
        return super().stored(spec, video)

    def write_block(self, spec: FeatureSpec, video: str, index: int, data: np.ndarray, pts: np.ndarray, *, last: bool) -> None:
        super().write_block(spec, video, index, data, pts, last=last)
        path = self.block_path(spec, video, index)
        files, place = storage.file_system(self.url_of_block(path))
        files.makedirs(place.rpartition("/")[0], exist_ok=True)
        files.put_file(str(path), place)

    def download(self, path: Path) -> bool:
        """Fetch a block, whole or not at all; False when the URL does not have it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole(path) as temporary:
                storage.fetch(self.url_of_block(path), temporary)
        except FileNotFoundError:
            return False
        return True

    def url_of_block(self, path: Path) -> str:
        return f"{self.url}/features/{path.relative_to(self.folder).as_posix()}"


@dataclass(frozen=True)
class RemoteRows:
    """The rows (N, D) of a video in a cache at a URL, fetched when sliced."""

    url: str
    spec: FeatureSpec
    video: str
    shape: tuple[int, ...]

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        found, _, _ = RemoteCache(self.url).stored(self.spec, self.video)
        return found[rows]
