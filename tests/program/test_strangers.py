"""What strangers write into the config.json of a model is data: it names nobody else to ask, and nothing to run."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from gerund.backbones import hf, load_backbone, rebuild_backbone
from gerund.core import hub
from gerund.core.errors import BackboneError, UsageError

pytestmark = pytest.mark.torch

TIMM = {"resize": {"height": 64, "width": 64}, "mean": [0.5], "std": [0.5], "feature_dim": 8, "weights_digest": "0" * 64}


@pytest.fixture
def asked(monkeypatch) -> list:
    """All that a stand-in for transformers is asked; the hub counts as reachable, and may not be asked anything."""
    seen: list = []

    def for_model(kind: str, **values):
        seen.append((kind, values))
        return SimpleNamespace(model_type=kind, to_diff_dict=dict, **values)

    class Network(torch.nn.Module):
        def __init__(self, config) -> None:
            super().__init__()

        @classmethod
        def from_pretrained(cls, folder, **options):
            seen.append((folder, options))
            return cls(None), {"missing_keys": []}

    stand_in = SimpleNamespace(
        logging=SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None),
        AutoConfig=SimpleNamespace(for_model=for_model),
        VideoMAEModel=Network,
    )
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    monkeypatch.setattr(hub, "reachable", lambda: pytest.fail("somebody else was asked"))
    return seen


def model(folder, **values):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return f"hf:{folder}"


EVIL = {
    "auto_map": {"AutoConfig": "u/evil--evil.C", "AutoModel": "u/evil--evil.M"},
    "attn_implementation": "u/evil-kernel",
    "_attn_implementation": "u/evil-kernel",
    "quantization_config": {"quant_method": "evil"},
    "transformers_weights": "../../other.safetensors",
    "dtype": "evil",
    "return_dict": False,
}


def test_a_kind_that_is_not_known_is_refused_before_transformers_sees_the_folder(asked, tmp_path):
    with pytest.raises(UsageError, match="a evilx model; these kinds can be used: videomae, vjepa2"):
        load_backbone(model(tmp_path / "m", model_type="evilx", **EVIL))
    assert asked == []


def test_of_a_known_kind_only_numbers_and_the_activation_are_passed_on(asked, tmp_path):
    numbers = {"num_frames": 4, "image_size": 32, "hidden_size": 16, "qkv_bias": True}
    load_backbone(model(tmp_path / "m", model_type="videomae", hidden_act="relu", **numbers, **EVIL))
    (kind, values), (folder, options) = asked
    assert (kind, values) == ("videomae", numbers | {"hidden_act": "relu", "return_dict": True})
    assert (folder, options["trust_remote_code"], options["use_safetensors"]) == (tmp_path / "m", False, True)
    assert options["local_files_only"] is True


def test_an_adapter_that_names_another_repository_is_refused(asked, tmp_path):
    name = model(tmp_path / "m", model_type="videomae", num_frames=4, image_size=32)
    (tmp_path / "m" / "adapter_config.json").write_text('{"base_model_name_or_path": "u/evil"}', encoding="utf-8")
    with pytest.raises(UsageError, match="an adapter to another model"):
        load_backbone(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"model_type": "videomae", "num_hidden_layers": 10000000}', "num_hidden_layers 10000000 in its config.json"),
        ('{"model_type": "videomae", "hidden_size": -5}', "hidden_size -5 in its config.json"),
        ('{"model_type": "videomae", "layer_norm_eps": NaN}', "layer_norm_eps nan in its config.json"),
        ('["videomae"]', "config.json: not readable as JSON"),
        ("[" * 100_000, "config.json: not readable as JSON"),
    ],
)
def test_a_configuration_that_no_network_has_is_one_line(asked, tmp_path, text, words):
    name = model(tmp_path / "m")
    (tmp_path / "m" / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(BackboneError, match=words):
        load_backbone(name)


def test_the_network_of_a_model_folder_is_built_under_the_same_rule(asked, tmp_path):
    with pytest.raises(UsageError, match="a evilx model"):
        hf.rebuild({"model_type": "evilx", **EVIL}, 4, {}, tmp_path / "backbone.safetensors")
    assert hf.config_of({"model_type": "videomae", **EVIL}, "m").hidden_act == "gelu"
    assert asked == [("videomae", {"hidden_act": "gelu", "return_dict": True})]


@pytest.mark.parametrize("origin", ["pretrained", "random (seed 0)", "u/code/model.safetensors"])
def test_a_model_without_its_backbones_weights_asks_nobody_for_them(asked, tmp_path, origin):
    config = TIMM | {"name": "hf:u/code", "origin": origin}
    with pytest.raises(BackboneError, match=r"backbone\.safetensors: missing"):
        rebuild_backbone(config, tmp_path)
    assert asked == []


@pytest.mark.parametrize("name", ["/etc/evil.onnx", "graph:evil", "../../net.xml"])
def test_no_graph_is_opened_that_is_not_in_the_folder(asked, tmp_path, name):
    config = TIMM | {"name": name, "origin": "random (seed 0)"}
    with pytest.raises(BackboneError, match=r"backbone\.safetensors: missing"):
        rebuild_backbone(config, tmp_path)


def test_weights_that_timm_publishes_are_not_fetched_for_a_model_that_says_it_is_whole(asked, tmp_path):
    config = TIMM | {"name": "mobilenetv2_100", "origin": "pretrained"}
    with pytest.raises(BackboneError, match="missing, and the model should be whole; copy it again"):
        rebuild_backbone(config, tmp_path, fetch=False)


@pytest.mark.parametrize(
    "name", ["hf-hub:u/evil", "hf_hub:u/evil", "timm:hf-hub:u/evil", "local-dir:evil", "timm:local-dir:evil"]
)
def test_timm_is_given_no_name_that_it_does_not_list(asked, name):
    with pytest.raises(UsageError, match="unknown backbone"):
        load_backbone(name)


def test_timm_is_given_no_such_name_by_a_model_folder_either(asked, tmp_path):
    from safetensors.torch import save_file

    from gerund.backbones.conversion import weights_digest

    state = {"weight": torch.zeros(1)}
    save_file(state, tmp_path / "backbone.safetensors")
    config = TIMM | {"name": "hf-hub:u/evil", "origin": "pretrained", "weights_digest": weights_digest(state)}
    with pytest.raises(UsageError, match="unknown backbone 'hf-hub:u/evil'"):
        rebuild_backbone(config, tmp_path).build()
