"""The steps of training one by one: index a data set, extract its features; and what this machine has to offer."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from gerund.backbones import best_device, load_backbone, resolve_precision
from gerund.core.errors import DataError, UsageError, at_least
from gerund.core.places import default_cache
from gerund.core.progress import note
from gerund.core.recipes import RECIPES
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.data.manifest import assign_splits, write_manifest
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, calibrated, with_spans

PACKAGES = ("gerund", "torch", "lightning", "timm", "openvino", "av", "numpy", "safetensors", "huggingface-hub")


def index(
    data: str | Path | Sequence[Clip],
    *,
    split: int | None = None,
    val: float = RECIPES["default"].val,
    group_pattern: str | None = None,
    allow_leak: bool = False,
    background: bool = False,
    seed: int = 0,
    out: Path | None = None,
) -> list[Clip]:
    """List the clips of a data set with their labels, groups and splits, as `train` would use them.

    Clips that cannot be split so (one video per class) are listed all the same, and a line says what `train` would refuse.

    Parameters
    ----------
    data
        A folder with one sub-folder per class, a CSV, or name:path.
    split
        Number of the official split.
    val
        Share of the training groups used for validation.
    group_pattern
        Regular expression for the group in a file's name.
    allow_leak
        Accept a given split that has a group on two sides.
    background
        Add clips of unlabelled time as the class background.
    seed
        Seed of the split.
    out
        CSV manifest to write.
    """
    clips = load_dataset(data, split=split, group_pattern=group_pattern, allow_leak=allow_leak, background=background)
    try:
        clips, notes = assign_splits(clips, val=val, seed=seed)
    except DataError as error:
        notes = [f"Not split, and not yet to be trained on: {error}."]
    for line in notes:
        note(line)
    if out is not None:
        write_manifest(clips, out)
    return clips


def extract(
    data: str | Path | Sequence[Clip],
    *,
    split: int | None = None,
    background: bool = False,
    backbone: str = RECIPES["default"].backbone,
    weights: Path | None = None,
    pretrained: bool = True,
    image_size: int | None = None,
    fit: Literal["crop", "squeeze", "letterbox"] | None = None,
    fps: float | Literal["native"] = 8.0,
    device: str = "auto",
    precision: Literal["auto", "bf16", "f32", "int8"] = "auto",
    workers: int | None = None,
    retry_failed: bool = False,
    ray: str | None = None,
    actors: int | None = None,
    gpus_per_actor: float | None = None,
    cache: Path | None = None,
) -> Extraction:
    """Put the features of all videos of a data set into the cache.

    Parameters
    ----------
    data
        A folder with one sub-folder per class, a CSV, or name:path.
    split
        Number of the official split.
    background
        As for train; features are of whole videos, so it changes none of them.
    backbone
        fast, balanced, best, pixels, pixels:SIZE, any image model of timm, or a video model as hf:FOLDER.
    weights
        File with the backbone's weights.
    pretrained
        Fetch the backbone's published weights; without, it is randomly initialised.
    image_size
        Side of the backbone's input in pixels.
    fit
        How a frame becomes square: crop, squeeze or letterbox.
    fps
        Frames per second that are looked at, or native.
    device
        cpu, cuda, mps or auto.
    precision
        Of the backbone: bf16, f32, int8 (calibrated on the clips) or auto.
    workers
        Decoding processes.
    retry_failed
        Try videos again that could not be read the last time.
    ray
        Work on a Ray cluster: its address, or auto for the one this machine is in (or a new one of this machine alone).
    actors
        Workers of the cluster, each with one backbone; one for each machine or GPU if not given.
    gpus_per_actor
        GPUs of a worker, may be a fraction; 1 where the cluster has GPUs if not given.
    cache
        Folder for features; with --ray on storage that all machines share, or a URL.
    """
    if ray is None and (actors is not None or gpus_per_actor is not None):
        raise UsageError("--actors and --gpus-per-actor belong to --ray; give --ray auto, or an address")
    at_least(1, actors=actors, workers=workers)
    at_least(0, gpus_per_actor=gpus_per_actor)
    clips = load_dataset(data, split=split, allow_leak=True, background=background)
    model = load_backbone(backbone, weights=weights, pretrained=pretrained, image_size=image_size, fit=fit)
    if precision == "int8" and ray is None:
        model = calibrated(model, [clip.path for clip in clips])
    rate = None if fps == "native" else float(fps)
    if ray is not None:
        from gerund.features import cluster as distributed

        found = distributed.extract(
            [clip.path for clip in clips],
            model,
            address=ray,
            actors=actors,
            gpus_per_actor=gpus_per_actor,
            fps=rate,
            device=device,
            precision=precision,
            workers=workers,
            retry_failed=retry_failed,
            cache=cache,
        )
    else:
        extractor = Extractor(model, fps=rate, cache=FeatureCache(cache), device=device, precision=precision, workers=workers)
        found = extractor.extract((clip.path for clip in clips), retry_failed=retry_failed)
    return with_spans(found, clips)


def manage_cache(
    action: Literal["ls", "verify", "prune"] = "ls", *, older_than: float | None = None, cache: Path | None = None
) -> dict[str, Any]:
    """List, check or tidy the feature cache.

    Parameters
    ----------
    action
        ls: what is there, by spec; verify: check every block's checksum and remove damaged ones (made again when needed);
        prune: remove leftovers of killed runs, features of other extractor versions, and with older_than what is old.
    older_than
        Days since a feature file was last written, for prune.
    cache
        Folder for features.
    """
    if older_than is not None and action != "prune":
        raise UsageError("--older-than: only prune removes what is old")
    at_least(0, older_than=older_than)
    store = FeatureCache(cache)
    if action == "verify":
        return store.verify()
    return store.prune(older_than) if action == "prune" else store.listing()


def info(*, cache: Path | None = None) -> dict[str, Any]:
    """Versions, devices, decoder, engines and the size of the cache.

    Parameters
    ----------
    cache
        Folder for features.
    """
    folder = cache or default_cache()
    files = [file for file in folder.rglob("*") if file.is_file()]
    device = best_device()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "device": device,
        "engine": "OpenVINO" if device == "cpu" else "torch",
        "precision": resolve_precision("auto", device),
        "decoder": f"FFmpeg (PyAV {installed('av')})",
        "cache": str(folder),
        "cache_files": len(files),
        "cache_bytes": sum(file.stat().st_size for file in files),
        "versions": {name: installed(name) for name in PACKAGES},
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
