"""The model card: what a model is, for people and for model hubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gerund.backbones import weights_licence

if TYPE_CHECKING:
    from gerund.recognition.recognizer import Recognizer


def model_card(recognizer: Recognizer, metrics: dict[str, Any] | None = None, data: str | None = None) -> str:
    """README.md of a model folder, with the metadata block that model hubs read; `metrics` are those of the test clips of `data`."""
    labels = "\n".join(f"- {label}" for label in recognizer.labels)
    backbone, sampling, rate = recognizer.backbone, recognizer.sampling, recognizer.extractor.spec.fps
    result = (
        f"\n- Test: top-1 {metrics['top1']:.3f}, mean class {metrics['mean_class']:.3f} over {metrics['num_clips']} clips"
        if metrics
        else ""
    )
    source = f"\n- Trained on: {data}" if data else ""
    unlike = (
        "It knows no other actions than these and gives one of them for any video."
        if recognizer.familiarity is None
        else "It knows no other actions than these. A video that looks unlike its training clips is answered `unknown`. That is a guess as well: "
        "some clips of these actions will be called unknown, and some of others will not, the more so the fewer clips it has seen."
    )
    return f"""---
library_name: gerund
pipeline_tag: video-classification
tags:
- action-recognition
---
# Action recogniser for {len(recognizer.labels)} classes

{labels}

Use it: `gerund predict THIS_FOLDER video.mp4`, or in Python `gerund.Recognizer.load("THIS_FOLDER")("video.mp4")`.
On a hub, THIS_FOLDER is `hf:USER/MODEL`.

- Backbone: {backbone.name} (weights: {backbone.origin}), {backbone.resize.width} x {backbone.resize.height} pixels
- Licence of the backbone's weights: {weights_licence(backbone)}
- Frames: {f"{rate:g} per second" if rate else "all"}; {sampling.num_frames} time steps ({sampling.take}{", with motion" if sampling.motion else ""})
- Head: {recognizer.head_name}, {recognizer.head.num_parameters:,} trained parameters{source}{result}

{unlike}
"""
