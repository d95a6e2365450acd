"""What a training starts from: a recogniser whose head has its first weights, on its backbone, and the features of its clips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gerund import heads
from gerund.backbones import Backbone, load_backbone
from gerund.core.progress import note
from gerund.core.recipes import Recipe
from gerund.core.team import ALONE, Team
from gerund.core.types import Clip
from gerund.data.datasets import Sources, load_dataset
from gerund.data.manifest import labels_of, of_split
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor, calibrated, with_spans
from gerund.features.tokens import Sampling
from gerund.recognition.recognizer import Recognizer
from gerund.training.run import Run
from gerund.video.rate import USUAL_FPS

TIMED_BATCHES = 4


def with_tuned_backbone(recognizer: Recognizer, run: Run) -> Recognizer:
    """An untrained recogniser on a backbone that is fine-tuned now, or was before the run stopped."""
    from gerund.learning.finetune import tune, tuned

    if run.head_checkpoint is None:
        try:
            tune(recognizer, run.clips, run.settings, run.tuning, checkpoint=run.checkpoint, team=run.team)
        except KeyboardInterrupt:
            note(f"Interrupted: go on with: gerund train --resume {run.folder}")
            raise
    backbone = tuned(recognizer.backbone, run.tuning, run.settings.finetune or "")
    return untrained(run.clips, run.settings, run.cache, backbone)


def labelled_clips(data: Sources, settings: Recipe) -> list[Clip]:
    """The clips to learn from, as the settings say, one label at a time. Raises DataError as `load_dataset`."""
    return load_dataset(
        data,
        split=settings.split,
        group_pattern=settings.group_pattern,
        allow_leak=settings.allow_leak,
        background=settings.background,
        subject=settings.subject,
        overlap=settings.overlap,
        one_at_a_time=True,
    )


def untrained(clips: Sequence[Clip], settings: Recipe, cache: FeatureCache, backbone: Backbone | None = None) -> Recognizer:
    """A recogniser for the clips' labels whose head has its first weights, on the settings' backbone if none is given."""
    if backbone is None:
        backbone = chosen_backbone(clips, settings)
    labels = labels_of(clips)
    sampling = Sampling(num_frames=settings.num_frames, take=settings.take, motion=settings.motion)
    head = heads.build_head(
        settings.head,
        token_dim=sampling.token_dim(backbone.feature_dim),
        num_classes=len(labels),
        num_frames=sampling.num_frames,
        options=settings.head_options,
        seed=settings.seed,
    )
    options = heads.head_options(settings.head, settings.head_options)
    if settings.init:
        from gerund.learning.encoder import load_encoder, made_for

        load_encoder(
            Path(settings.init), getattr(head, "module", head), made_for(backbone.fingerprint, settings.fps, sampling, options)
        )
    return Recognizer(
        labels=labels,
        extractor=Extractor(
            backbone,
            fps=settings.fps,
            cache=cache,
            device=settings.device,
            precision=settings.precision,
            workers=settings.workers,
        ),
        sampling=sampling,
        head=head,
        head_name=settings.head,
        head_options=options,
    )


def chosen_backbone(clips: Sequence[Clip], settings: Recipe) -> Backbone:
    weights = Path(settings.weights) if settings.weights else None
    backbone = load_backbone(
        settings.backbone, weights=weights, pretrained=settings.pretrained, image_size=settings.image_size, fit=settings.fit
    )
    warn_of_random_weights(backbone)
    return calibrated(backbone, [clip.path for clip in clips]) if settings.precision == "int8" else backbone


def warn_of_random_weights(backbone: Backbone) -> None:
    if backbone.origin.startswith("random"):
        note(
            f"WARNING: {backbone.name} has RANDOM weights, it has never seen an image. Accuracies will be poor; "
            "give --weights, or drop --no-pretrained."
        )


def network_seconds(extractor: Extractor) -> float:
    """What the backbone takes for a minute of video, in seconds: its share of a few batches of nothing, the first left out."""
    engine, size = extractor.engine, extractor.backbone.resize
    count = engine.batch_size * extractor.backbone.window
    batch = np.zeros((count, 3, size.height, size.width), np.uint8).transpose(0, 2, 3, 1)
    started = 0.0
    for number in range(1 + TIMED_BATCHES):
        if number == 1:
            engine.drain()
            started = time.perf_counter()
        engine.submit(batch, lambda features: None)
    engine.drain()
    steps = 60 * (extractor.spec.fps or USUAL_FPS) / extractor.backbone.stride
    return (time.perf_counter() - started) * steps / (TIMED_BATCHES * engine.batch_size)


def extract_views(recognizer: Recognizer, settings: Recipe, clips: Sequence[Clip], team: Team = ALONE) -> list[Extraction]:
    """Features of all clips, and with `views` 2 those of the mirrored training clips.

    Each process of a team makes those that no other has claimed, and waits for the rest.
    """
    extractor = recognizer.extractor
    extractor.workers = max(1, extractor.workers // team.devices)
    views = [with_spans(extractor.extract(clip.path for clip in clips), clips)]
    if settings.views == 2:
        mirrored = Extractor(
            recognizer.backbone,
            fps=settings.fps,
            cache=extractor.cache,
            device=recognizer.device,
            precision=extractor.spec.precision.partition("-")[0],
            view="flip",
            workers=extractor.workers,
        )
        mirrored.compiled = extractor.compiled
        views.append(mirrored.extract(clip.path for clip in views[0].usable(of_split(clips, "train"))))
    return views
