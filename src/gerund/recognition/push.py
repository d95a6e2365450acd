"""Putting a model on a Hugging Face hub."""

from __future__ import annotations

from gerund.backbones import weights_licence
from gerund.core import hub, options
from gerund.core.errors import ModelError
from gerund.core.progress import note
from gerund.core.results import Facts
from gerund.recognition.folder import find_model
from gerund.recognition.recognizer import Recognizer


def push(model: options.ModelPath, repo: options.Repository, *, private: options.Private = False) -> Facts:
    """Put a model on a Hugging Face hub, for others to use as hf:USER/MODEL; $HF_TOKEN says who you are, $HF_ENDPOINT which hub.

    What is sent is opened first, so that nothing damaged is published: weights, config.json and the model card. Raises ModelError when the
    model is damaged or the hub refuses it, UsageError without a token.

    Each argument is explained in `gerund.core.options`, and by `gerund push --help`.
    """
    folder = find_model(model)
    recognizer = Recognizer.load(folder, device="cpu")
    if recognizer.backbone.origin == "pretrained" and not (folder / "backbone.safetensors").is_file():
        raise ModelError(f"{folder}: trained with --no-bundle, so its backbone's weights are missing; others could not use it")
    note(f"Weights of the backbone {recognizer.backbone.name}: licence {weights_licence(recognizer.backbone)}")
    address = hub.send(folder, repo, private=private)
    return Facts(address=address, use=f"gerund predict hf:{repo} VIDEO")
