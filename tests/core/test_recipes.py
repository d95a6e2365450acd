"""The named recipes hold exactly the constants of the two projects they come from."""

import json
import shlex
from dataclasses import replace

import pytest

from gerund.cli import app as cli
from gerund.core.errors import UsageError
from gerund.core.recipes import CONVLSTM, HYBRID_TRANSFORMER, RECIPES, as_command, as_config, read_config, resolve
from gerund.core.units import seconds
from gerund.data.datasets import recorded_source
from gerund.heads import build_head, head_options


def head_of(recipe, feature_dim, num_classes):
    return build_head(
        recipe.head,
        token_dim=feature_dim * (2 if recipe.motion else 1),
        num_classes=num_classes,
        num_frames=recipe.num_frames,
        options=recipe.head_options,
    )


def count(head):
    assert head.num_parameters == sum(parameter.numel() for parameter in head.module.parameters())
    return head.num_parameters


@pytest.mark.torch
def test_the_hybrid_transformer_has_the_keras_models_parameter_count():
    assert count(head_of(HYBRID_TRANSFORMER, 1024, 5)) == 4_237_321


@pytest.mark.torch
def test_the_convlstm_has_the_pytorch_models_parameter_count():
    latent, hidden, classes = 512, 1024, 101
    project = 2048 * latent + latent + 2 * latent
    lstm = 2 * (4 * hidden * latent + 4 * hidden * hidden + 8 * hidden)  # two directions, weights and two biases of four gates
    attention = 2 * hidden + 1
    output = 2 * hidden * hidden + hidden + 2 * hidden + hidden * classes + classes
    assert count(head_of(CONVLSTM, 2048, classes)) == project + lstm + attention + output


@pytest.mark.torch
def test_batch_norms_of_the_convlstm_have_momentum_one_hundredth():
    from torch import nn

    norms = [module for module in head_of(CONVLSTM, 64, 5).module.modules() if isinstance(module, nn.BatchNorm1d)]
    assert [norm.momentum for norm in norms] == [0.01, 0.01]


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        (
            "hybrid-transformer",
            {
                "backbone": "densenet121",
                "image_size": 128,
                "fit": "crop",
                "num_frames": 20,
                "fps": 8.0,
                "lr": 1e-3,
                "batch_size": 32,
                "val": 0.15,
            },
        ),
        (
            "convlstm",
            {
                "backbone": "resnet152",
                "image_size": 112,
                "fit": "squeeze",
                "num_frames": 40,
                "fps": 25.0,
                "lr": 1e-5,
                "batch_size": 16,
            }
            | {"epochs": 200, "views": 2, "save_every": 5, "optimizer": "adam"},
        ),
    ],
)
def test_recipes_hold_the_originals_constants(name, constants):
    values = as_config(RECIPES[name])
    assert {key: values[key] for key in constants} == constants


def test_every_constant_can_be_overridden():
    recipe = resolve("convlstm", None, {"fps": "native", "take": "first", "head_options": {"latent": "64"}, "time": "1.5h"})
    assert (recipe.fps, recipe.take, recipe.time) == (None, "first", 5400)
    assert recipe.head_options["latent"] == "64"
    assert recipe.head_options["hidden"] == 1024


def test_another_head_drops_the_recipes_head_options():
    assert resolve("convlstm", None, {"head": "mean"}).head_options == {}


def test_a_config_gives_the_same_settings_and_flags_win(tmp_path):
    recipe = resolve("hybrid-transformer", None, {"seed": 7, "lr": 0.5})
    (tmp_path / "config.json").write_text(json.dumps(as_config(recipe)))
    assert read_config(tmp_path / "config.json") == read_config(tmp_path) == recipe
    (tmp_path / "config.json").write_text(json.dumps(as_config(recipe)), "utf-8-sig")  # as Notepad saves it
    assert read_config(tmp_path) == recipe
    again = resolve(None, tmp_path / "config.json", {"seed": 0, "head_options": {"dense-width": 8}})
    assert (again.seed, again.lr, again.head_options["dense_width"], again.head_options["pooling"]) == (0, 0.5, 8, "max")


def test_a_wrong_config_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"lrr": 1}')
    with pytest.raises(UsageError, match="unknown setting 'lrr'"):
        resolve(None, path, {})
    path.write_text("{\n[")
    with pytest.raises(UsageError, match=r"--config .*config\.json:2: not JSON"):
        resolve(None, path, {})
    with pytest.raises(UsageError, match="exclude each other"):
        resolve("default", path, {})


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (30.0, 30)])
def test_time_spans_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["soon", "10 days", "1..5h", ""])
def test_a_wrong_time_span_is_named(text):
    with pytest.raises(UsageError, match="not a time span"):
        seconds(text)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("recipe", "given"),
    [
        (None, {}),
        ("convlstm", {"head_options": {"latent": 64}}),
        ("hybrid-transformer", {"fps": "native", "take": "first", "pretrained": False}),
        (None, {"head": "bilstm", "head_options": {"hidden": 7, "attention": False}, "time": "90s", "lr": 3e-4}),
        ("convlstm", {"head": "mean", "motion": True, "workers": 2, "weights": "my weights.pt", "split": 2}),
    ],
)
def test_the_command_of_a_report_means_the_same_settings(recipe, given):
    settings = resolve(recipe, None, given | {"data": "my clips"})
    words = shlex.split(as_command(settings))
    _, bound, _ = cli.app.parse_args(words[1:], print_error=False, exit_on_error=False)
    again = {name: value for name, value in bound.arguments.items() if name != "settings"} | bound.kwargs
    again["data"] = recorded_source(again["data"])
    understood = resolve(again.pop("recipe", None), None, again)
    options = [head_options(each.head, each.head_options) for each in (understood, settings)]
    assert options[0] == options[1]
    assert replace(understood, head_options={}) == replace(settings, head_options={})
    assert ("--recipe" in words) == (recipe is not None)
