"""Any graph as a backbone: it gives the features that it gives, and a file that is none says why in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from gerund.backbones import load_backbone
from gerund.backbones.engines import compile_engine
from gerund.core.errors import BackboneError, UsageError
from gerund.core.openvino import save_graph

SIDE = 16
HOW = {"size": SIDE, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


def net(
    path: Path,
    shape: tuple[int, ...] = (-1, 3, SIDE, SIDE),
    how: dict[str, Any] | None = HOW,
    twice: bool = False,
    pooled: bool = True,
) -> Path:
    """A network whose features are the mean of each channel."""
    frames = ops.parameter(ov.PartialShape(list(shape)), np.float32)
    mean = ops.reduce_mean(frames, ops.constant([2, 3]), keep_dims=not pooled)
    save_graph(ov.Model([mean, mean] if twice else [mean], [frames]), path)
    if how is not None:
        path.with_suffix(".json").write_text(json.dumps(how))
    return path


def test_a_graph_gives_its_features(tmp_path: Path) -> None:
    backbone = load_backbone(str(net(tmp_path / "net.xml")))
    assert (backbone.name, backbone.feature_dim, backbone.resize.height) == ("graph:net", 3, SIDE)
    frames = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    found: list[np.ndarray] = []
    engine = compile_engine(backbone, device="cpu", precision="f32", batch_size=4)
    engine.submit(frames, found.append)
    engine.drain()
    expected = ((frames / 255 - HOW["mean"]) / HOW["std"]).mean((1, 2))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_another_graph_or_another_way_to_prepare_is_another_backbone(tmp_path: Path) -> None:
    first = load_backbone(str(net(tmp_path / "net.xml"))).fingerprint
    net(tmp_path / "net.xml", how=HOW | {"mean": [0, 0, 0]})
    second = load_backbone(str(tmp_path / "net.xml")).fingerprint
    net(tmp_path / "net.xml", shape=(1, 3, SIDE, SIDE))
    assert len({first, second, load_backbone(str(tmp_path / "net.xml")).fingerprint}) == 3


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"twice": True}, "1 inputs and 2 outputs; a backbone has one of each"),
        ({"shape": (-1, 3, -1, -1)}, "takes pictures of any size"),
        ({"shape": (-1, 1, SIDE, SIDE)}, r"a backbone takes frames \(N, 3, H, W\)"),
        ({"shape": (-1, 3, SIDE, 2 * SIDE)}, f"net.json says size {SIDE}"),
        ({"pooled": False}, r"a backbone gives features \(N, D\), pooled"),
        ({"how": None}, r"net.json: missing; it says how pictures are prepared"),
        ({"how": {"size": SIDE, "mean": [0, 0, 0]}}, "net.json: std is missing"),
        ({"how": HOW | {"std": [1, 0, 1]}}, "net.json: std is .* but must be above 0"),
        ({"how": HOW | {"size": "big"}}, 'net.json: size is "big", but must be a whole number'),
    ],
)
def test_a_graph_that_is_no_backbone_says_why(tmp_path: Path, made: dict[str, Any], words: str) -> None:
    path = net(tmp_path / "net.xml", **made)
    with pytest.raises(BackboneError, match=words):
        load_backbone(str(path))


def test_a_file_that_is_no_graph_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps(HOW))
    (tmp_path / "net.onnx").write_text("Dear Sir or Madam")
    with pytest.raises(BackboneError, match=r"net.onnx: not readable as a graph"):
        load_backbone(str(tmp_path / "net.onnx"))
    with pytest.raises(BackboneError, match=r"net.xml: no such file"):
        load_backbone(str(tmp_path / "net.xml"))


@pytest.mark.parametrize("options", [{"image_size": 32}, {"weights": Path("a.safetensors")}])
def test_what_a_graph_has_of_its_own_is_not_asked_for(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="a graph has its own; leave the option out"):
        load_backbone(str(net(tmp_path / "net.xml")), **options)


def test_a_model_with_a_graph_runs_where_the_graph_is_not(tmp_path: Path, ramp_video: Any) -> None:
    import gerund
    from gerund.features.cache import FeatureCache
    from gerund.features.extractor import Extractor
    from gerund.features.tokens import Sampling
    from gerund.recognition.recognizer import Recognizer
    from support.heads import drawn_head

    backbone = load_backbone(str(net(tmp_path / "net.xml")))
    sampling = Sampling(num_frames=2)
    made = Recognizer(
        labels=["up", "down"],
        extractor=Extractor(backbone, fps=4.0, cache=FeatureCache(tmp_path / "a")),
        sampling=sampling,
        head=drawn_head(sampling.token_dim(3), 2, 2),
        head_name="prototype",
        head_options={},
    )
    made.save(tmp_path / "model")
    path = ramp_video(20)
    expected = made.predict(path)
    for file in tmp_path.glob("net.*"):
        file.unlink()
    again = gerund.Recognizer.load(tmp_path / "model", cache=tmp_path / "b").predict(path)
    assert again.scores == expected.scores
