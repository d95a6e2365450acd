"""Folders from strangers: whatever their JSON and weights say, they are loaded rightly or refused with file and entry."""

import copy
import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gerund.backbones import load_backbone
from gerund.core.errors import BackboneError, CacheError, GerundError, ModelError
from gerund.core.types import Clip, Features, FeatureSpec
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extraction, Extractor
from gerund.features.packed import Pack, pack
from gerund.features.tokens import Sampling
from gerund.heads import build_head
from gerund.learning.encoder import load_encoder, save_encoder
from gerund.recognition.calibration import Familiarity
from gerund.recognition.folder import sha256
from gerund.recognition.recognizer import Recognizer

pytestmark = pytest.mark.torch

STRANGE = [
    None,
    True,
    0,
    -5,
    2.5,
    10**7,
    10**9,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "abc",
    "\ud800",
    [],
    [1],
    {},
    {"a": 1},
]
CLIP = Clip(path=Path("a.mp4"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with a transformer, which has the most numbers to be wrong, and a sense of the unknown."""
    backbone, sampling, labels = load_backbone("pixels:8"), Sampling(num_frames=4), ["a", "b"]
    options = {"width": 8, "dense_width": 8, "layers": 1, "heads": 2}
    dim = sampling.token_dim(backbone.feature_dim)
    head = build_head("transformer", token_dim=dim, num_classes=2, num_frames=4, options=options)
    rows = np.random.default_rng(0).normal(size=(8, 4, dim)).astype(np.float32)
    made = Recognizer(
        labels=labels,
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache()),
        sampling=sampling,
        head=head,
        head_name="transformer",
        head_options=options,
        familiarity=Familiarity.fit(rows, np.ones((8, 4), bool), np.arange(8) % 2),
        clip_seconds=1.0,
    )
    folder = tmp_path_factory.mktemp("model") / "model"
    made.save(folder)
    return folder


@pytest.fixture
def changed(model, tmp_path):
    """A copy of the model, whose config.json is changed by a function."""
    folder = shutil.copytree(model, tmp_path / "model")
    original = (folder / "config.json").read_text(encoding="utf-8")

    def changed(change) -> Path:
        config = json.loads(original)
        change(config)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return changed


def entries(value, above=()):
    """The places of all entries of a JSON object, those of objects and lists in it too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from entries(below, (*above, key))


def mutations(config, count: int, seed: int):
    """(place, value) pairs: an entry replaced by something strange, or (with ...) removed."""
    rng = random.Random(seed)
    places = list(entries(config))
    for _ in range(count):
        yield rng.choice(places), rng.choice([*STRANGE, ...])


def put(config, place, value) -> None:
    for key in place[:-1]:
        config = config[key]
    if value is ...:
        del config[place[-1]]
    else:
        config[place[-1]] = copy.deepcopy(value)


def test_a_changed_config_is_loaded_rightly_or_refused_by_name(changed, model):
    features = Features(np.ones((6, 64), np.float16), np.arange(6) / 8)
    started, refused = time.process_time(), 0
    for place, value in mutations(json.loads((model / "config.json").read_text()), 200, seed=0):
        folder = changed(lambda config, place=place, value=value: put(config, place, value))
        try:
            loaded = Recognizer.load(folder)
        except (ModelError, BackboneError) as error:
            assert str(folder) in str(error) or "backbone" in str(error) or "pixels" in str(error), (place, value, error)
            refused += 1
        else:
            (answer,) = loaded.predictions(Extraction(features={CLIP.path: features}), [CLIP])
            assert answer.error or (sorted(dict(answer.scores)) == sorted(loaded.labels)), (place, value)
    assert refused > 130
    assert time.process_time() - started < 60, "something was built that should not be"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("features.precision", 5, "config.json: features: precision is 5, but must be a text"),
        ("features.fps", -1, "config.json: features: fps is -1, but must be a number above 0, at most 1000"),
        ("head.options", [1], r"config.json: head: options is \[1\], but must be an object"),
        ("head.options.layers", 10**7, "config.json: head: options: layers is 10000000, but must be .* up to 256"),
        ("head.options.width", 65536, "config.json"),
        ("backbone.name", 5, "config.json: backbone: name is 5, but must be a text"),
        ("sampling.num_frames", 2.5, "config.json: sampling: num_frames is 2.5, but must be a whole number from 1 to 10000"),
        ("sampling.num_frames", 10**9, "config.json: sampling: num_frames is 1000000000"),
        ("backbone.resize.height", 0, "config.json: backbone: resize: height is 0"),
        ("backbone.resize.width", -5, "config.json: backbone: resize: width is -5"),
        ("backbone.mean", "abc", 'config.json: backbone: mean is "abc", but must be a list of 3 numbers'),
        ("backbone.std", [0, 1, 1], r"config.json: backbone: std is \[0.0, 1.0, 1.0\], but must be above 0"),
        ("id2label.0", 7, "config.json: the label 7 is no text"),
        ("id2label.0", "\ud800", "config.json: the label .* is no character of a text"),
        ("id2label.0", "b", "config.json: the label 'b' is there twice"),
        ("id2label", {}, "config.json: there are no labels"),
        ("id2label", None, "config.json: id2label is null, but must be an object"),
        ("clip_seconds", -1, "config.json: clip_seconds is -1, but must be a number above 0"),
        ("clip_seconds", float("nan"), "config.json: clip_seconds is NaN"),
        ("temperature", float("nan"), "config.json: temperature is NaN"),
        ("bundled", "yes", 'config.json: bundled is "yes", but must be true or false'),
        ("model_sha256", ..., "config.json: model_sha256 is missing"),
    ],
)
def test_the_entry_that_cannot_be_is_named(changed, place, value, words):
    with pytest.raises(ModelError, match=words):
        Recognizer.load(changed(lambda config: put(config, place.split("."), value)))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", '{"format": "gerund', '{"format": "gerund", "format_version": ' + "9" * 5000 + "}"]
)
def test_what_is_no_configuration_at_all_is_one_line(changed, text):
    folder = changed(lambda config: None)
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json: not "):
        Recognizer.load(folder)


@pytest.mark.parametrize("harm", ["nan", "ints", "shape", "more", "less"])
@pytest.mark.parametrize("file", ["model.safetensors", "unknown.safetensors"])
def test_weights_that_cannot_be_are_refused(changed, harm, file):
    folder = changed(lambda config: None)
    state = load_file(folder / file)
    key = sorted(state)[0]
    if harm == "nan":
        state[key] = torch.full_like(state[key], torch.nan)
    elif harm == "ints":
        state[key] = state[key].bool()
    elif harm == "shape":
        state[key] = state[key].reshape(1, *state[key].shape).repeat(2, *[1] * state[key].ndim)
    elif harm == "more":
        state["other"] = torch.full((1,), torch.nan)
    else:
        del state[key]
    save_file(state, folder / file)
    entry = "model_sha256" if file.startswith("model") else "unknown_sha256"
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {entry: sha256(folder / file)}))
    if (file, harm) == ("unknown.safetensors", "ints"):
        return  # numbers all the same
    with pytest.raises(ModelError, match=file.replace(".", r"\.")):
        Recognizer.load(folder)


def test_an_answer_that_is_not_finite_is_an_error_of_its_clip(model):
    loaded = Recognizer.load(model)
    with torch.no_grad():
        for parameter in loaded.head.module.parameters():
            parameter.fill_(3e38)
    features = Features(np.ones((6, 64), np.float16), np.arange(6) / 8)
    (answer,) = loaded.predictions(Extraction(features={CLIP.path: features}), [CLIP])
    assert answer.label is None
    assert "a.mp4: the model's answer is not finite" in answer.error


def test_a_changed_encoder_is_read_rightly_or_refused(tmp_path):
    head = build_head("transformer", token_dim=8, num_classes=1, num_frames=4, options={"width": 8, "dense_width": 8}).module
    save_encoder(head, {"fps": 8.0}, tmp_path)
    path = tmp_path / "best" / "config.json"
    original = json.loads(path.read_text())
    for place, value in mutations(original, 60, seed=1):
        config = copy.deepcopy(original)
        put(config, place, value)
        path.write_text(json.dumps(config), encoding="utf-8")
        try:
            load_encoder(tmp_path, head, {"fps": 8.0})
        except GerundError as error:
            assert str(tmp_path) in str(error)


def test_a_changed_pack_is_read_rightly_or_refused(tmp_path):
    store, spec = FeatureCache(tmp_path / "cache"), FeatureSpec(backbone="one", fps=8.0)
    for number in range(3):
        store.write_block(spec, f"{number:032x}", 0, np.ones((5, 3), np.float16), np.arange(5.0), last=True)
    pack(tmp_path / "cache", tmp_path / "out")
    folder = tmp_path / "out" / spec.digest
    files = {path: path.read_bytes() for path in folder.iterdir()}
    rng = random.Random(0)
    for _ in range(150):
        path = rng.choice(sorted(files))
        data = bytearray(files[path])
        for _ in range(rng.choice([1, 4])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            found = Pack(folder).get(f"{1:032x}", spec)
            assert found is None or found.data[0 : len(found)].shape == (len(found), 3)
        except CacheError as error:
            assert "pack" in str(error)
        path.write_bytes(files[path])


def test_a_pack_with_a_video_without_end_is_refused(tmp_path):
    store, spec = FeatureCache(tmp_path / "cache"), FeatureSpec(backbone="one", fps=8.0)
    store.write_block(spec, f"{1:032x}", 0, np.ones((5, 3), np.float16), np.arange(5.0), last=True)
    pack(tmp_path / "cache", tmp_path / "out")
    index = next((tmp_path / "out" / spec.digest).glob("index*"))
    entries = np.load(index)
    entries["end"] = np.inf
    np.save(index, entries)
    with pytest.raises(CacheError, match="a video without end"):
        Pack(index.parent)
