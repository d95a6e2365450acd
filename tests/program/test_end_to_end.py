"""The main job on the toy set, and on the real clips where they are: what the README promises."""

import json

import numpy as np
import pytest

import gerund
from gerund.data.datasets import toy


@pytest.fixture(scope="module")
def toy_set(tmp_path_factory):
    return toy.load(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="module")
def small_toy_set(tmp_path_factory):
    """A third of the clips, of as many performers, at half the size."""
    return toy.make(tmp_path_factory.mktemp("toy") / "small", clips_per_action=1, size=(60, 80))


def inside_pairs(evaluation):
    """Share right among the clips of reversed pairs, counting only which of the two the model prefers."""
    right = []
    for one, other in toy.REVERSED.items():
        pair = [evaluation.labels.index(one), evaluation.labels.index(other)]
        for clip, scores in zip(evaluation.clips, evaluation.scores, strict=True):
            if clip.label in (one, other):
                right.append(evaluation.labels[pair[int(scores[pair].argmax())]] == clip.label)
    return float(np.mean(right))


@pytest.mark.slow
def test_the_default_head_learns_a_third_of_the_toy_set(small_toy_set, tmp_path):
    done = gerund.train(small_toy_set, backbone="pixels", out=tmp_path / "run")
    assert done.metrics["test"]["top1"] >= 0.9
    assert inside_pairs(done.test) >= 0.8


@pytest.mark.slow
def test_the_default_head_learns_the_toy_actions_and_their_order(toy_set, tmp_path):
    done = gerund.train(toy_set, backbone="pixels", out=tmp_path / "run")
    assert done.metrics["test"]["top1"] >= 0.98
    assert inside_pairs(done.test) >= 0.98


@pytest.mark.slow
def test_the_trained_head_learns_order_too(toy_set, tmp_path):
    done = gerund.train(toy_set, backbone="pixels", head="transformer", num_frames=16, out=tmp_path / "run")
    assert inside_pairs(done.test) >= 0.80


@pytest.mark.slow
def test_a_head_that_ignores_order_is_at_chance_inside_reversed_pairs(toy_set, tmp_path):
    done = gerund.train(toy_set, backbone="pixels", head="mean", motion=False, out=tmp_path / "run")
    assert 0.35 <= inside_pairs(done.test) <= 0.65


@pytest.mark.real
@pytest.mark.slow
def test_real_clips_are_recognised_on_their_official_split(real_data, tmp_path):
    weights = real_data / "weights" / "mobilenetv2_100.safetensors"
    data = f"ucf101:{real_data / 'ucf101'}"
    done = gerund.train(data, split=2, backbone="mobilenetv2_100", weights=weights, out=tmp_path / "run")
    assert done.metrics["test"]["num_clips"] == 70
    assert 0.9 <= done.metrics["test"]["top1"] < 1.0
    assert json.loads((done.run / "config.json").read_text())["split"] == 2


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "options"), [("hybrid-transformer", {"epochs": 3}), ("convlstm", {"epochs": 2, "fps": 4.0})])
def test_both_recipes_run_end_to_end_with_random_backbones(recipe, options, real_data, tmp_path, capsys):
    done = gerund.train(f"ucf101:{real_data / 'ucf101'}", recipe=recipe, pretrained=False, out=tmp_path / "run", **options)
    assert "has RANDOM weights" in capsys.readouterr().err
    answer = gerund.Recognizer.load(done.run)(done.test.clips[0].path)
    assert sum(entry["score"] for entry in answer) == pytest.approx(1)
