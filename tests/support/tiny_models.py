"""Tiny video models in the layout of Hugging Face, with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import VideoMAEConfig, VideoMAEModel, VJEPA2Config, VJEPA2Model

WINDOW, SIDE, WIDTH = 4, 32, 16
KINDS = ("videomae", "vjepa2")


def write(kind: str, folder: Path, *, seed: int = 3) -> Path:
    """A model folder as `save_pretrained` makes it, with a processor's file beside it."""
    torch.manual_seed(seed)
    common = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8, "tubelet_size": 2}
    if kind == "videomae":
        model = VideoMAEModel(
            VideoMAEConfig(**common, image_size=SIDE, num_frames=WINDOW, intermediate_size=32, initializer_range=0.2)
        )
        size = {"size": {"shortest_edge": SIDE}}
    else:
        predictor = {
            "pred_hidden_size": 12,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
            "pred_num_mask_tokens": 2,
        }
        model = VJEPA2Model(VJEPA2Config(**common, **predictor, crop_size=SIDE, frames_per_clip=WINDOW, initializer_range=0.2))
        size = {"crop_size": {"height": SIDE, "width": SIDE}}
    model.save_pretrained(folder)
    name = "preprocessor_config.json" if kind == "videomae" else "video_preprocessor_config.json"
    processor = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25], "resample": 2, **size}
    (folder / name).write_text(json.dumps(processor), encoding="utf-8")
    return folder
