"""`gerund extract`: the features of all videos of a data set, put into the cache."""

from __future__ import annotations

from gerund.backbones import load_backbone
from gerund.core import options
from gerund.core.errors import UsageError, at_least
from gerund.data.datasets import load_dataset
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, calibrated, with_spans


def extract(
    data: options.Data,
    *,
    split: options.OfficialSplit | None = None,
    background: options.Background = options.USUAL.background,
    backbone: options.BackboneName = options.USUAL.backbone,
    weights: options.Weights | None = None,
    pretrained: options.Pretrained = options.USUAL.pretrained,
    image_size: options.ImageSize | None = None,
    fit: options.FrameFit | None = None,
    fps: options.FrameRate = options.FPS,
    device: options.Device = options.USUAL.device,
    precision: options.Precision = options.USUAL.precision,
    workers: options.Workers | None = None,
    retry_failed: options.RetryFailed = False,
    ray: options.RayAddress | None = None,
    actors: options.Actors | None = None,
    gpus_per_actor: options.ActorGpus | None = None,
    cache: options.CacheFolder | None = None,
) -> Extraction:
    """Put the features of all videos of a data set into the cache.

    Each argument is explained in `gerund.core.options`, and by `gerund extract --help`.
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
