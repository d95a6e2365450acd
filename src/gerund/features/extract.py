"""`gerund extract`: the features of all videos of a data set, put into the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gerund.backbones import load_backbone
from gerund.core.errors import UsageError, at_least
from gerund.core.recipes import RECIPES
from gerund.core.types import Clip
from gerund.data.datasets import load_dataset
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, calibrated, with_spans


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
        from gerund.features.cluster import extract_on_cluster

        found = extract_on_cluster(
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
