"""Backbones that see windows of frames: which frames make which row, in extraction, across cache blocks, in models and pictures."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import gerund
from gerund import video
from gerund.backbones import Backbone, load_backbone, rebuild_backbone
from gerund.core.errors import BackboneError, ModelError, UsageError
from gerund.features import cache
from gerund.features.batches import Windows
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor, calibrated

pytest.importorskip("transformers")
from support import tiny_models

pytestmark = pytest.mark.torch

WINDOW, STRIDE = tiny_models.WINDOW, tiny_models.WINDOW // 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {kind: tiny_models.write(kind, tmp_path_factory.mktemp("tiny") / f"{kind} é") for kind in tiny_models.KINDS}


@pytest.fixture(scope="module", params=tiny_models.KINDS)
def backbone(request, folders) -> Backbone:
    return load_backbone(f"hf:{folders[request.param]}")


def noise(path: Path, count: int) -> Path:
    rng = np.random.default_rng(count)
    video.write(path, (rng.integers(0, 256, (40, 56, 3), np.uint8) for _ in range(count)), fps=8)
    return path


def extractor(backbone: Backbone, folder: Path) -> Extractor:
    return Extractor(backbone, fps=8, cache=FeatureCache(folder / "cache"), device="cpu", precision="f32")


def by_hand(backbone: Backbone, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Window by window: the frames cut out of a list, normalised and handed to the plain model of transformers."""
    blocks = list(video.read(path, fps=8, resize=backbone.resize))
    frames, pts = np.concatenate([block.data for block in blocks]), np.concatenate([block.pts for block in blocks])
    starts = [0]
    while starts[-1] + WINDOW < len(frames):
        starts.append(starts[-1] + STRIDE)
    rows = []
    for start in starts:
        picked = [min(start + step, len(frames) - 1) for step in range(WINDOW)]
        window = (torch.from_numpy(frames[picked]).float() / 255 - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
        rows.append(backbone.module.network(window.permute(0, 3, 1, 2)[None]).last_hidden_state[0].mean(0).numpy())
    middles = [(pts[start] + pts[min(start + WINDOW, len(pts)) - 1]) / 2 for start in starts]
    return np.stack(rows), np.array(middles)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3), (21, 10)])
def test_features_are_those_of_each_window_by_hand(backbone, tmp_path, count, rows):
    path = noise(tmp_path / f"{count} frames.mp4", count)
    features = extractor(backbone, tmp_path).extract([path]).features[path]
    expected, middles = by_hand(backbone, path)
    assert len(features) == len(expected) == rows == 1 + max(0, -(-(count - WINDOW) // STRIDE))
    np.testing.assert_allclose(features.data[:rows], expected, atol=0.02, rtol=0.02)
    assert features.pts.tolist() == pytest.approx(middles.tolist())
    assert np.ptp(expected, axis=0).max() > 0.1 or rows == 1


def test_windows_reach_over_the_borders_of_cache_blocks_and_of_a_killed_run(backbone, tmp_path, monkeypatch):
    path = noise(tmp_path / "long.mp4", 61)
    whole = extractor(backbone, tmp_path / "whole").extract([path]).features[path]
    monkeypatch.setattr(cache, "BLOCK_ROWS", 7)
    blocks = extractor(backbone, tmp_path / "blocks")
    features = blocks.extract([path]).features[path]
    files = sorted((tmp_path / "blocks" / "cache").rglob("*.safetensors"))
    assert len(files) == 5
    assert np.array_equal(features.data[: len(features)], whole.data[: len(whole)])
    for file in files[2:]:
        file.unlink()
    again = extractor(backbone, tmp_path / "blocks").extract([path]).features[path]
    assert np.array_equal(again.data[: len(again)], whole.data[: len(whole)])
    assert again.pts.tolist() == whole.pts.tolist()


def test_videos_decoded_side_by_side_keep_their_own_windows(backbone, tmp_path):
    paths = [noise(tmp_path / f"{count}.mp4", count) for count in (9, 14, 3, 40)]
    together = extractor(backbone, tmp_path / "together").extract(paths).features
    for path in paths:
        alone = extractor(backbone, tmp_path / f"alone {path.stem}").extract([path]).features[path]
        assert np.array_equal(together[path].data[: len(alone)], alone.data[: len(alone)])


def test_a_window_holds_no_more_than_its_frames_in_memory():
    windows = Windows(WINDOW, STRIDE)
    for number in range(500):
        list(windows.add(0, np.zeros((1, 2, 2, 3), np.uint8), np.array([number / 8])))
        assert len(windows.held[0]) < WINDOW
    list(windows.finish(0))
    windows.add(1, np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1))
    windows.forget(1)
    assert not windows.held
    assert not windows.shown


def test_frames_of_an_image_backbone_pass_as_they_come():
    windows = Windows(1, 1)
    frames, pts = np.zeros((5, 2, 2, 3), np.uint8), np.arange(5.0)
    ((out, seconds),) = windows.add(0, frames, pts)
    assert out is frames
    assert seconds is pts
    assert not list(windows.finish(0))


def test_window_and_stride_name_the_cache(backbone, tmp_path):
    spec = extractor(backbone, tmp_path).spec
    assert (spec.window, spec.stride) == (WINDOW, STRIDE)
    assert spec.digest != extractor(replace(backbone, stride=1), tmp_path).spec.digest


def test_a_model_comes_back_without_its_source_and_without_the_network(folders, tmp_path, monkeypatch):
    folder = shutil.copytree(folders["videomae"], tmp_path / "source")
    for label in ("going", "coming"):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(4):
            noise(tmp_path / "clips" / label / f"{number}.mp4", 12 + number + (label == "going") * 10)
    run = gerund.train(tmp_path / "clips", backbone=f"hf:{folder}", num_frames=4, epochs=2, out=tmp_path / "run")
    shutil.rmtree(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = json.loads((run.model / "config.json").read_text())
    assert config["backbone"]["name"] == "hf:source"
    assert str(tmp_path) not in json.dumps(config)
    clip = next((tmp_path / "clips").rglob("*.mp4"))
    loaded = gerund.Recognizer.load(run.run, cache=tmp_path / "another")
    first, second = loaded.predict(clip), gerund.Recognizer.load(run.run).predict(clip)
    assert dict(first.scores) == pytest.approx(dict(second.scores), abs=1e-4)
    found = gerund.explain(loaded, clip, out=tmp_path / "why.png")
    assert found.heat.shape == (7, 7)
    assert np.isfinite(found.heat).all()
    assert (tmp_path / "why.png").is_file()
    (run.model / "backbone.safetensors").unlink()
    with pytest.raises(ModelError, match=r"backbone\.safetensors: missing; copy the model again"):
        gerund.Recognizer.load(run.run)


def test_bundled_weights_give_the_same_features(backbone, tmp_path):
    save_file({key: value.contiguous() for key, value in backbone.module.state_dict().items()}, tmp_path / "backbone.safetensors")
    config = json.loads(json.dumps(backbone.config))
    again = rebuild_backbone(config, tmp_path)
    assert again.fingerprint == backbone.fingerprint
    assert (again.window, again.stride) == (WINDOW, STRIDE)
    frames = torch.randn(2 * WINDOW, 3, tiny_models.SIDE, tiny_models.SIDE)
    assert torch.equal(again.module(frames), backbone.module(frames))


def test_preprocessing_comes_from_the_processors_file(backbone, folders, tmp_path):
    assert (backbone.mean, backbone.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    assert (backbone.resize.height, backbone.resize.interpolation) == (tiny_models.SIDE, "bilinear")
    bare = shutil.copytree(folders["videomae"], tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    assert load_backbone(f"hf:{bare}").mean == (0.485, 0.456, 0.406)
    (bare / "preprocessor_config.json").write_text("{")
    with pytest.raises(BackboneError, match="not readable as JSON"):
        load_backbone(f"hf:{bare}")


def test_random_weights_are_said_to_be_random_and_equal_each_time(folders):
    first, second = (load_backbone(f"hf:{folders['vjepa2']}", pretrained=False) for _ in range(2))
    assert first.origin.startswith("random")
    assert first.fingerprint == second.fingerprint != load_backbone(f"hf:{folders['vjepa2']}").fingerprint


def test_what_cannot_be_a_video_backbone_is_one_clear_line(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("gerund.core.hub.reachable", lambda: False)
    with pytest.raises(BackboneError, match="hf:owner/nothing: no such folder, not on this machine, and it could not be fetched"):
        load_backbone("hf:owner/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackboneError, match=r"empty: no model's config\.json is there"):
        load_backbone(f"hf:{tmp_path / 'empty'}")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UsageError, match="a vit model; these kinds can be used: videomae, vjepa2"):
        load_backbone(f"hf:{tmp_path / 'other'}")
    with pytest.raises(UsageError, match=r"--image-size 48: hf:.* takes 32 pixels and no others"):
        load_backbone(f"hf:{folders['videomae']}", image_size=48)
    with pytest.raises(UsageError, match="lie in its own folder"):
        load_backbone(f"hf:{folders['videomae']}", weights=tmp_path / "x.safetensors")
    with pytest.raises(UsageError, match=r"--precision int8: hf:.* sees windows of frames"):
        calibrated(load_backbone(f"hf:{folders['videomae']}"), [])


def test_incomplete_or_damaged_weights_are_told(folders, tmp_path):
    broken = shutil.copytree(folders["videomae"], tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    gone = next(key for key in sorted(state) if "attention" in key)
    save_file({key: value for key, value in state.items() if key != gone}, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(BackboneError, match="1 weights are missing, first"):
        load_backbone(f"hf:{broken}")
    (broken / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BackboneError, match="its weights cannot be read"):
        load_backbone(f"hf:{broken}")
    (broken / "model.safetensors").unlink()
    torch.save(state, broken / "pytorch_model.bin")  # a pickle, which is never read
    with pytest.raises(BackboneError, match=r"model\.safetensors is needed"):
        load_backbone(f"hf:{broken}")


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'gerund\[hf\]'"):
        load_backbone("hf:anything")
