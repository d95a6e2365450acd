"""Video models of Hugging Face transformers (VideoMAE, V-JEPA 2): one feature per window of frames, the mean of the encoder's tokens.

Of what is published beside a model, transformers is told the sizes of the network and the place of its weights, nothing else: other
entries of a config.json name code to fetch and run (`auto_map`, `attn_implementation`), or other repositories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gerund.backbones.base import Backbone, resize_of
from gerund.backbones.timm import RANDOM_SEED, load_weights
from gerund.core import errors, hub
from gerund.core.errors import BackboneError, UsageError
from gerund.core.types import Fit

VIDEO_MODELS = {
    "videomae": ("VideoMAEModel", "num_frames", "image_size"),
    "vjepa2": ("VJEPA2Model", "frames_per_clip", "crop_size"),
}
"""Models that can be used: their class, and what their configuration calls the frames of a window and the side of the input."""
LARGEST_SIZE, MOST_NETWORK_LAYERS = 2**16, 256
"""No size of a network that exists is above this, nor has one more layers."""
ADAPTER = "adapter_config.json"
"""Where this file is, transformers looks for the weights in the repository that it names."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
BILINEAR = 2
"""What Pillow, and so a processor's file, calls it."""


class VideoEncoder(nn.Module):
    """Normalised frames (N * window, 3, H, W) -> features (N, D)."""

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__()
        self.network = network
        self.window = window

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.network(frames.unflatten(0, (-1, self.window))).last_hidden_state.mean(1)


def load(name: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """`hf:FOLDER`, or `hf:OWNER/NAME` from the hub. A new window starts every half window.

    Raises UsageError for other kinds of models and without transformers, BackboneError for weights that are missing or incomplete.
    """
    transformers_package()
    if weights is not None:
        raise UsageError(
            f"--weights {weights}: the weights of a Hugging Face model lie in its own folder; give --backbone hf:FOLDER"
        )
    folder = Path(name).expanduser() if Path(name).expanduser().is_dir() else fetched(name)
    config = config_of(read_object(folder / "config.json"), f"--backbone hf:{name}")
    if (folder / ADAPTER).exists():
        raise UsageError(f"--backbone hf:{name}: an adapter to another model ({ADAPTER} is there); give a model that is whole")
    window, side = (getattr(config, key) for key in VIDEO_MODELS[config.model_type][1:])
    if image_size not in (None, side):
        raise UsageError(f"--image-size {image_size}: hf:{name} takes {side} pixels and no others; leave the option out")
    module = VideoEncoder(network(config, folder if pretrained else None), window)
    shown = folder.name if folder == Path(name).expanduser() else name
    processor = processor_of(folder)
    interpolation = "bilinear" if processor.get("resample") == BILINEAR else "bicubic"
    return Backbone(
        name=f"hf:{shown}",
        build=lambda: module,
        resize=resize_of({"input_size": (side, side), "interpolation": interpolation}, None, fit),
        mean=tuple(processor.get("image_mean", IMAGENET_MEAN)),
        std=tuple(processor.get("image_std", IMAGENET_STD)),
        feature_dim=config.hidden_size,
        origin=f"{shown}/model.safetensors" if pretrained else f"random (seed {RANDOM_SEED})",
        window=window,
        stride=max(1, window // 2),
        architecture=config.to_diff_dict(),
    )


def transformers_package() -> Any:
    try:
        import transformers
    except ImportError:
        raise UsageError("--backbone hf:... needs transformers; pip install 'gerund[hf]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def config_of(values: Mapping[str, Any], where: str) -> Any:
    """The configuration of a network, made of its kind, its numbers and the name of its activation: nothing else is read.

    Raises UsageError, beginning with `where`, for other kinds of models, BackboneError for sizes that no network has.
    """
    kind = values.get("model_type")
    if kind not in VIDEO_MODELS:
        raise UsageError(f"{where}: a {kind} model; these kinds can be used: {', '.join(VIDEO_MODELS)}")
    numbers: dict[str, Any] = {
        key: value for key, value in values.items() if isinstance(value, int | float) and not key.startswith("_")
    }
    for key, value in numbers.items():
        if not 0 <= value <= (MOST_NETWORK_LAYERS if key.endswith("layers") else LARGEST_SIZE):
            raise BackboneError(f"{where}: {key} {value} in its config.json; no such network can be built")
    numbers |= {"return_dict": True, "hidden_act": str(values.get("hidden_act", "gelu"))}
    try:
        return transformers_package().AutoConfig.for_model(kind, **numbers)
    except Exception as error:  # transformers documents no exception types
        raise BackboneError(f"{where}: its config.json does not describe a {kind} ({errors.first_line(error)})") from None


def fetched(name: str) -> Path:
    """The folder of a model of the hub: already on this machine, or fetched now."""
    from huggingface_hub import snapshot_download

    patterns = ["config.json", *PROCESSORS, "model*.safetensors", "model.safetensors.index.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except Exception:  # not on this machine, or no name of the hub at all: the hub itself is asked
        pass
    try:
        if not hub.reachable():
            raise ConnectionError("no connection")
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's client and the socket layer raise a dozen kinds here
        raise BackboneError(
            f"hf:{name}: no such folder, not on this machine, and it could not be fetched ({errors.first_line(error)}). Give the folder of a "
            "model (config.json and model.safetensors) as hf:FOLDER, or connect to the internet once"
        ) from None


def network(config: Any, folder: Path | None) -> nn.Module:
    """The encoder, with the weights of a folder or equally initialised in every process."""
    kind = getattr(transformers_package(), VIDEO_MODELS[config.model_type][0])
    if folder is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            model = kind(config)
    else:
        options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True, "output_loading_info": True}
        try:
            model, found = kind.from_pretrained(folder, config=config, **options)
        except Exception as error:  # transformers documents no exception types
            raise BackboneError(
                f"{folder}: its weights cannot be read ({errors.first_line(error)}); model.safetensors is needed"
            ) from None
        if found["missing_keys"]:
            raise BackboneError(
                f"{folder}: {len(found['missing_keys'])} weights are missing, first {min(found['missing_keys'])}; another model's?"
            )
    return model.float().encoder if config.model_type == "vjepa2" else model.float()


def processor_of(folder: Path) -> dict[str, Any]:
    """How a model's frames are prepared, from the file beside it; empty when there is none."""
    for name in PROCESSORS:
        if (folder / name).is_file():
            return read_object(folder / name)
    return {}


def read_object(path: Path) -> dict[str, Any]:
    """What a JSON file of a model's folder holds by name."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BackboneError(f"{path.parent}: no model's {path.name} is there") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable as JSON ({error})") from None


def rebuild(architecture: Mapping[str, Any], window: int, state: dict[str, torch.Tensor], source: Path) -> nn.Module:
    """The network of a model folder with the weights bundled there, in the file `source`; nothing is fetched."""
    config = config_of(architecture, str(source.parent))
    module = VideoEncoder(network(config, None), window)
    load_weights(module, state, source, str(architecture["model_type"]))
    return module
