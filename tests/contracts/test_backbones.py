"""What holds for every backbone, and what is said about weights that are missing, foreign or dangerous."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import urllib.error
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from gerund.backbones import Backbone, Engine, compile_engine, load_backbone, rebuild_backbone, resolve_precision
from gerund.backbones import timm as timm_backbones
from gerund.backbones.engines import PRECISIONS
from gerund.backbones.torch_engine import TorchEngine
from gerund.core import hub
from gerund.core.errors import BackboneError, UsageError

pytestmark = pytest.mark.torch

NAMES = ("pixels:16", "test_resnet", "test_vit")
SIZE = 32
BATCH = 4


def small(name: str, **options: Any) -> Backbone:
    return load_backbone(name, pretrained=False, image_size=None if name.startswith("pixels") else SIZE, **options)


@pytest.fixture(scope="module", params=(*NAMES, "hf:videomae", "hf:vjepa2"))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    source, _, kind = request.param.partition(":")
    if source != "hf":
        return small(request.param)
    pytest.importorskip("transformers")
    from support import tiny_models

    return load_backbone(f"hf:{tiny_models.write(kind, tmp_path_factory.mktemp('models') / kind)}")


@pytest.fixture(scope="module")
def engine(backbone: Backbone) -> Engine:
    """The backbone compiled for the CPU, as every command does it."""
    return compile_engine(backbone, device="cpu", precision="f32", batch_size=BATCH)


def pictures(backbone: Backbone, count: int = BATCH, seed: int = 0) -> np.ndarray:
    """Frames for `count` features: a window of them for each."""
    shape = (count * backbone.window, backbone.resize.height, backbone.resize.width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def answers(engine: Engine, *batches: np.ndarray) -> np.ndarray:
    found: dict[int, np.ndarray] = {}
    for number, batch in enumerate(batches):
        engine.submit(batch, lambda features, number=number: found.__setitem__(number, features))
    engine.drain()
    return np.concatenate([found[number] for number in range(len(batches))])


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def by_hand(backbone: Backbone, batch: np.ndarray) -> np.ndarray:
    """The module in plain torch, the normalisation written out."""
    frames = torch.from_numpy(batch).permute(0, 3, 1, 2).double() / 255
    frames = (frames - torch.tensor(backbone.mean).view(1, 3, 1, 1)) / torch.tensor(backbone.std).view(1, 3, 1, 1)
    return backbone.module(frames.float()).numpy()


def scrambled(name: str, path: Path, *, num_classes: int = 7) -> dict[str, torch.Tensor]:
    """Weights that are not the ones gerund starts from, saved with their classifier."""
    torch.manual_seed(5)
    state = timm.create_model(name, num_classes=num_classes, **({"img_size": SIZE} if "vit" in name else {})).state_dict()
    state = {key: value.clone().contiguous() for key, value in state.items()}
    save_file(state, path)
    return state


# --- contracts


def test_frames_of_one_shape_give_one_row_each(backbone: Backbone, engine: Engine) -> None:
    found = answers(engine, pictures(backbone))
    assert found.shape == (BATCH, backbone.feature_dim)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.std(axis=0).max() > 0


def test_the_network_is_frozen_and_no_statistic_moves(backbone: Backbone) -> None:
    before = {key: value.clone() for key, value in backbone.module.state_dict().items()}
    assert not any(module.training for module in backbone.module.modules())
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())
    answers(
        TorchEngine(backbone, device="cpu", precision="f32", batch_size=BATCH),
        *(pictures(backbone, seed=seed) for seed in range(3)),
    )
    after = backbone.module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_both_engines_give_what_the_module_gives(backbone: Backbone, engine: Engine) -> None:
    batches = [pictures(backbone, seed=seed) for seed in range(3)]
    expected = np.concatenate([by_hand(backbone, batch) for batch in batches])
    for each in (engine, TorchEngine(backbone, device="cpu", precision="f32", batch_size=BATCH)):
        found = answers(each, *batches)
        assert cosines(found, expected).min() >= 0.9999
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours_or_its_place_in_the_batch(backbone: Backbone, engine: Engine) -> None:
    batch = pictures(backbone)
    windows = batch.reshape(BATCH, backbone.window, *batch.shape[1:])
    turned = answers(engine, windows[::-1].reshape(batch.shape))
    alone = np.zeros_like(batch)
    alone[backbone.window : 2 * backbone.window] = windows[1]
    plain = answers(engine, batch)
    assert np.array_equal(turned[::-1], plain)
    assert np.array_equal(answers(engine, alone)[1], plain[1])


def test_a_batch_may_be_overwritten_as_soon_as_it_is_handed_in(backbone: Backbone, engine: Engine) -> None:
    batches = [pictures(backbone, seed=seed) for seed in range(6)]
    expected = answers(engine, *batches)
    found: dict[int, np.ndarray] = {}
    buffer = np.zeros_like(batches[0])
    for number, batch in enumerate(batches):
        buffer[:] = batch
        engine.submit(buffer, lambda features, number=number: found.__setitem__(number, features))  # type: ignore[misc]
    engine.drain()
    assert np.array_equal(np.concatenate([found[number] for number in range(6)]), expected)


def test_the_fingerprint_is_equal_in_another_process() -> None:
    code = (
        "from gerund.backbones import load_backbone\n"
        f"for name in {NAMES}:\n"
        f"    print(load_backbone(name, pretrained=False, image_size=None if 'pixels' in name else {SIZE}).fingerprint)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [small(name).fingerprint for name in NAMES]


def test_the_fingerprint_tells_preprocessing_and_names_apart(backbone: Backbone) -> None:
    other = "area" if backbone.resize.interpolation != "area" else "bicubic"
    others = [
        replace(backbone, mean=(0.5, 0.4, 0.3)),
        replace(backbone, std=(0.9, 0.9, 0.9)),
        *(
            replace(backbone, resize=replace(backbone.resize, **{key: value}))
            for key, value in {"height": 48, "width": 48, "fit": "letterbox", "scale": 0.875, "interpolation": other}.items()
        ),
    ]
    assert len({other.fingerprint for other in [backbone, *others]}) == 8
    assert replace(backbone, origin="elsewhere").fingerprint == backbone.fingerprint


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_fingerprint_tells_weights_apart_down_to_one_number(name: str) -> None:
    plain, other = small(name), small(name)
    assert plain.fingerprint == other.fingerprint
    with torch.no_grad():
        next(other.module.parameters()).view(-1)[0] += 1e-3
    changed = replace(other)
    assert changed.fingerprint != plain.fingerprint
    assert changed.weights_digest != plain.weights_digest


def test_loading_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    small("test_resnet")
    assert torch.equal(torch.rand(3), expected)


def test_weights_bring_their_own_preprocessing_and_options_change_it() -> None:
    config = timm.get_pretrained_cfg("test_resnet")
    plain = load_backbone("test_resnet", pretrained=False)
    assert (plain.resize.height, plain.resize.width) == tuple(config.input_size[1:])
    assert plain.resize.interpolation == config.interpolation
    assert (plain.mean, plain.std) == (tuple(config.mean), tuple(config.std))
    assert plain.resize.fit == "squeeze"
    changed = load_backbone("timm:test_resnet", pretrained=False, image_size=48, fit="letterbox")
    assert (changed.resize.height, changed.resize.width, changed.resize.fit) == (48, 48, "letterbox")
    assert changed.name == "test_resnet"


def test_pixels_takes_its_size_from_its_name_or_the_option() -> None:
    assert load_backbone("pixels").feature_dim == 32 * 32
    assert load_backbone("pixels:12").feature_dim == 144
    assert load_backbone("pixels", image_size=20).feature_dim == 400


@pytest.mark.parametrize(
    "name", ["mobilenetv2_100", "mobilenetv3_small_050", "densenet121", "resnet10t", "test_convnext", "test_nfnet"]
)
def test_the_width_of_the_features_is_known_before_they_are_made(name: str) -> None:
    backbone = small(name)
    with torch.inference_mode():
        assert backbone.module(torch.zeros(1, 3, SIZE, SIZE)).shape == (1, backbone.feature_dim)


def test_precision_is_resolved_once_and_unknown_ones_are_refused() -> None:
    assert resolve_precision("f32", "cpu") == "f32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    assert resolve_precision("auto", "cpu") in ("bf16", "f32")
    with pytest.raises(UsageError, match=f"unknown precision 'fp16'; choose one of {', '.join(PRECISIONS)}"):
        resolve_precision("fp16", "cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_gpu_gives_what_the_cpu_gives(precision: str) -> None:
    backbone = small("test_resnet")
    batch = pictures(backbone)
    expected = by_hand(backbone, batch)
    found = answers(compile_engine(backbone, device="cuda", precision=precision, batch_size=BATCH), batch)
    assert cosines(found, expected).min() >= (0.9999 if precision == "f32" else 0.995)


# --- weights from a file


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "checkpoint"])
def test_weights_from_a_file_are_taken_and_their_classifier_left_over(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "my weights.safetensors"
    state = scrambled(name, path)
    if kind != "safetensors":
        path = path.with_suffix(".pth")
        torch.save(state if kind == "pth" else {"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    backbone = load_backbone(name, weights=path, image_size=SIZE)
    own = backbone.module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in own.items())
    assert len(own) == len(state) - 2  # weight and bias of the classifier
    assert backbone.origin == path.name
    assert backbone.fingerprint != small(name).fingerprint


def test_a_weights_file_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.safetensors"
    state = scrambled("test_resnet", path)
    with pytest.raises(
        BackboneError, match=r"resnet\.safetensors: \d+ of \d+ weights of test_vit are missing, first .*; another model\?"
    ):
        load_backbone("test_vit", weights=path, image_size=SIZE)
    key = "conv1.0.weight"
    save_file({**state, key: state[key][:, :1].contiguous()}, path)
    with pytest.raises(
        BackboneError, match=r"conv1\.0\.weight has shape \(\d+, 1, 3, 3\), but test_resnet needs \(\d+, 3, 3, 3\)"
    ):
        load_backbone("test_resnet", weights=path, image_size=SIZE)
    save_file({**state, "neck.weight": torch.zeros(3)}, path)
    with pytest.raises(BackboneError, match=r"1 weights are not part of test_resnet, first neck\.weight; another model\?"):
        load_backbone("test_resnet", weights=path, image_size=SIZE)
    save_file({name: value for name, value in state.items() if name != key}, path)
    with pytest.raises(BackboneError, match=r"1 of \d+ weights of test_resnet are missing, first conv1\.0\.weight"):
        load_backbone("test_resnet", weights=path, image_size=SIZE)


@pytest.mark.parametrize("content", [b"", b"Dear Sir or Madam", bytes(200)])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"letter{suffix}"
    path.write_bytes(content)
    kind = "a readable safetensors file" if suffix == ".safetensors" else "a state dict of tensors"
    with pytest.raises(BackboneError, match=rf"--weights .*letter{suffix}: not {kind}"):
        load_backbone("test_resnet", weights=path)


def test_weights_that_are_not_there_or_not_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"--weights .*none\.safetensors: no such file"):
        load_backbone("test_resnet", weights=tmp_path / "none.safetensors")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(BackboneError, match=r"list\.pth: not a state dict of tensors \(found list\)"):
        load_backbone("test_resnet", weights=tmp_path / "list.pth")
    torch.save({"epoch": 3, "model": {}}, tmp_path / "checkpoint.pth")
    with pytest.raises(BackboneError, match=r"checkpoint\.pth: not a state dict of tensors"):
        load_backbone("test_resnet", weights=tmp_path / "checkpoint.pth")


class Dangerous:
    """A pickle that creates a file when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["bad.pth", "bad.bin", "bad.safetensors"])
@pytest.mark.parametrize("saved_by", ["torch", "pickle"])
def test_a_pickle_with_code_in_it_is_refused_unread(tmp_path: Path, name: str, saved_by: str) -> None:
    trace = tmp_path / "it ran"
    path = tmp_path / name
    if saved_by == "torch":
        torch.save({"conv1.weight": Dangerous(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"conv1.weight": Dangerous(trace)}, protocol=2))
    with pytest.raises(BackboneError, match=rf"{name}: not a"):
        load_backbone("test_resnet", weights=path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Dangerous(trace)))
    assert trace.exists()  # so it would have


# --- names and pretrained weights


def test_a_name_that_is_no_backbone_is_refused_with_names_like_it() -> None:
    with pytest.raises(UsageError, match=r"unknown backbone 'mobilenetv2_99'; did you mean .*mobilenetv2_"):
        load_backbone("mobilenetv2_99")
    with pytest.raises(
        UsageError, match=r"unknown backbone 'quux'; timm\.list_models\(\) has all names \(or lite, lite2, pixels\)"
    ):
        load_backbone("quux")


def test_options_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown fit 'stretch'; choose one of crop, squeeze, letterbox"):
        load_backbone("pixels", fit="stretch")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--image-size 4: a side of 8 to 2048 pixels is possible"):
        load_backbone("pixels", image_size=4)
    with pytest.raises(UsageError, match="--backbone pixels:huge: the size is a whole number from 4 to 256"):
        load_backbone("pixels:huge")
    with pytest.raises(UsageError, match=r"--weights .*x\.safetensors: the pixels backbone has no weights; leave the option out"):
        load_backbone("pixels", weights=tmp_path / "x.safetensors")


def offline(*_: object, **__: object) -> Any:
    raise OSError("Network is unreachable")


def test_pretrained_weights_without_a_connection_name_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_backbones, "cached_or_reachable", lambda name: False)
    with pytest.raises(BackboneError) as caught:
        load_backbone("mobilenetv2_100")
    message = str(caught.value)
    assert message.startswith(
        "mobilenetv2_100: its pretrained weights are not on this machine and could not be fetched (no connection)"
    )
    for way in ("connect to the internet once", "--weights FILE", "--backbone lite"):
        assert way in message
    assert "\n" not in message


def test_a_download_that_fails_half_way_says_the_same_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_backbones, "cached_or_reachable", lambda name: True)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BackboneError, match=r"could not be fetched \(Network is unreachable\)\. Three ways out"):
        load_backbone("mobilenetv2_100")


def test_the_hub_is_asked_only_for_weights_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr(hub.urllib.request, "urlopen", offline)
    assert not timm_backbones.cached_or_reachable("mobilenetv2_100")

    def refused(*_: object, **__: object) -> Any:
        raise urllib.error.HTTPError("https://hub", 405, "method not allowed", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(hub.urllib.request, "urlopen", refused)
    assert timm_backbones.cached_or_reachable("mobilenetv2_100")  # it answered
    monkeypatch.setattr(hub.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file: f"/cache/{file}")
    assert timm_backbones.cached_or_reachable("mobilenetv2_100")


# --- the backbone of a saved model


def through_json(backbone: Backbone) -> dict[str, Any]:
    return json.loads(json.dumps(backbone.config))


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_comes_back_from_its_config(tmp_path: Path, name: str) -> None:
    backbone = small(name, fit="squeeze")
    rebuilt = rebuild_backbone(through_json(backbone), tmp_path)
    assert rebuilt.fingerprint == backbone.fingerprint
    assert rebuilt.config == backbone.config
    batch = pictures(backbone)
    assert np.array_equal(by_hand(rebuilt, batch), by_hand(backbone, batch))


def test_a_backbone_with_weights_from_a_file_comes_back_from_the_bundled_ones(tmp_path: Path) -> None:
    scrambled("test_resnet", tmp_path / "mine.safetensors")
    backbone = load_backbone("test_resnet", weights=tmp_path / "mine.safetensors", image_size=SIZE)
    bundled = tmp_path / "backbone.safetensors"
    save_file({key: value.contiguous() for key, value in backbone.module.state_dict().items()}, bundled)
    rebuilt = rebuild_backbone(through_json(backbone), tmp_path)
    assert rebuilt.fingerprint == backbone.fingerprint
    assert rebuilt.origin == "mine.safetensors"


def test_other_weights_than_those_trained_with_are_refused(tmp_path: Path) -> None:
    backbone = small("test_resnet")
    scrambled("test_resnet", tmp_path / "backbone.safetensors")
    with pytest.raises(
        BackboneError, match=r"backbone\.safetensors: not the weights that the model was trained with; is the file damaged\?"
    ):
        rebuild_backbone(through_json(backbone), tmp_path)
    damaged = {**through_json(backbone), "weights_digest": "0" * 64}
    with pytest.raises(BackboneError, match="test_resnet: not the weights that the model was trained with"):
        rebuild_backbone(damaged, tmp_path / "nothing")


def test_a_model_whose_bundled_weights_are_gone_says_which_file_is_wanted(tmp_path: Path) -> None:
    config = {**through_json(small("test_resnet")), "origin": "mine.safetensors"}
    with pytest.raises(
        BackboneError, match=r"backbone\.safetensors: missing, and .* weights from a file \(mine\.safetensors\); put them there"
    ):
        rebuild_backbone(config, tmp_path)


@pytest.mark.real
def test_the_real_mobilenet_weights_fit(real_data: Path) -> None:
    backbone = load_backbone("mobilenetv2_100", weights=real_data / "weights" / "mobilenetv2_100.safetensors")
    assert (backbone.name, backbone.feature_dim, backbone.resize.height) == ("mobilenetv2_100", 1280, 224)
    assert backbone.mean == (0.485, 0.456, 0.406)
