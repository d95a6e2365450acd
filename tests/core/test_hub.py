"""Models on a hub: pushed, fetched and named by a stand-in; what comes from there is data, checked, and never run."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gerund.backbones import load_backbone, weights_licence
from gerund.core import hub
from gerund.core.errors import UsageError
from gerund.data.datasets import toy
from gerund.features.cache import FeatureCache
from gerund.features.extractor import Extractor
from gerund.features.tokens import Sampling
from gerund.recognition.card import model_card
from gerund.recognition.recognizer import Recognizer
from support.heads import drawn_head
from support.hub_server import TOKEN, running

pytestmark = pytest.mark.torch

MAIN = "from gerund.cli.app import main; main()"
LOAD = """
import sys
from gerund import GerundError, Recognizer
for name in sys.argv[1:]:
    try:
        Recognizer.load(name)
        print(name, "loaded")
    except GerundError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def server():
    with running() as hub:
        yield hub


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    sampling = Sampling(num_frames=4)
    head = drawn_head(sampling.token_dim(backbone.feature_dim), 2, 4)
    Recognizer(
        labels=["été", "serve"],
        extractor=Extractor(backbone, fps=8.0, cache=FeatureCache()),
        sampling=sampling,
        head=head,
        head_name="prototype",
        head_options={},
    ).save(folder)
    (folder / "notes.py").write_text("print('private')", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    return toy.make(folder, performers=3, clips_per_action=1)[0].path


@pytest.fixture(scope="module")
def run(server, tmp_path_factory):
    """A gerund command in a process of its own, whose hub is the stand-in: huggingface_hub reads its settings once, when imported."""
    home = tmp_path_factory.mktemp("home")

    def run(*words, token=TOKEN, endpoint=server.address, home=home, code=MAIN):
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "PYTHONUTF8": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment = kept | settings | ({"HF_TOKEN": token} if token else {})
        words = [sys.executable, "-c", code, *map(str, words)]
        return subprocess.run(words, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)

    return run


@pytest.fixture(scope="module")
def pushed(run, model):
    done = run("push", model, "ann/actions")
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_a_pushed_model_answers_like_the_one_on_disk_with_and_without_a_connection(pushed, run, server, model, clip, tmp_path):
    assert f"{server.address}/ann/actions" in pushed.stdout
    assert "gerund predict hf:ann/actions VIDEO" in pushed.stdout
    assert "licence none needed (no trained weights)" in pushed.stderr
    assert sorted(server.models["ann/actions"]) == [
        *("README.md", "backbone.bin", "backbone.safetensors", "backbone.xml", "config.json", "model.safetensors"),
    ]
    assert server.models["ann/actions"]["model.safetensors"] == (model / "model.safetensors").read_bytes()
    server.models["ann/actions"]["modeling.py"] = b"raise SystemExit('executed')"
    server.models["ann/actions"]["pytorch_model.bin"] = b"a pickle"
    there = run("predict", "hf:ann/actions", clip, "--json", "--quiet")
    assert there.returncode == 0, there.stderr
    assert json.loads(there.stdout)["scores"] == Recognizer.load(model).predict(clip).top(None)
    assert not [path for path in server.asked if path.endswith(("modeling.py", "pytorch_model.bin"))]
    without = run("predict", "hf:ann/actions", clip, "--json", "--quiet", endpoint="http://127.0.0.1:9")
    assert without.returncode == 0, without.stderr
    assert without.stdout == there.stdout
    never = run("predict", "hf:ann/actions", clip, endpoint="http://127.0.0.1:9", home=tmp_path)
    assert never.returncode == 1
    line = "gerund: hf:ann/actions: not on this machine, and http://127.0.0.1:9 cannot be reached; connect once, or copy the model folder here"
    assert never.stderr.strip() == line


CHANGES = {
    "damaged": ({"model.safetensors": b"x"}, "model.safetensors: damaged (its SHA-256 is not the one in config.json)"),
    "swapped": ({"backbone.safetensors": None}, "backbone.safetensors: damaged (its SHA-256 is not the one in config.json)"),
    "newer": (
        {"config.json": b'{"format": "gerund", "format_version": 99}'},
        "format version 99, but this gerund reads versions 1 and 2",
    ),
    "foreign": ({"config.json": b'{"model_type": "bert", "auto_map": {}}'}, "not a gerund model"),
    "empty": ({"config.json": b""}, "not readable"),
}


def test_what_a_hub_sends_is_checked(pushed, run, server):
    files = {
        key: data for key, data in server.models["ann/actions"].items() if not key.endswith(".py") and key != "pytorch_model.bin"
    }
    swapped = files["backbone.safetensors"][:-4] + b"\0\0\0\1"
    for name, (change, _) in CHANGES.items():
        server.models[f"ann/{name}"] = files | {key: swapped if data is None else data for key, data in change.items()}
    for name, backbone in {"hollow": "mobilenetv2_100", "alien": "hf:eve/code"}.items():
        config = json.loads(files["config.json"])
        config["backbone"] |= {"name": backbone, "origin": "pretrained"}
        del config["files"]
        server.models[f"ann/{name}"] = files | {"config.json": json.dumps(config).encode()}
        del server.models[f"ann/{name}"]["backbone.safetensors"]
    server.models["eve/code"] = {"config.json": b'{"model_type": "evil", "auto_map": {"AutoConfig": "eve/evil--evil.C"}}'}
    server.models["ann/blank"] = {"README.md": b"# Nothing"}
    several = [*CHANGES, "hollow", "alien", "blank", "nothing", "actions@v9", "actions"]
    names = [f"hf:ann/{name}" for name in several]
    said = run(*names, code=LOAD).stdout.splitlines()
    assert len(said) == len(names)
    for line, words in zip(said, [*(words for _, words in CHANGES.values()), *["should be whole"] * 2], strict=False):
        assert words in line
    assert not [path for path in server.asked if "eve" in path or "timm" in path]
    assert said[-4:] == [
        "hf:ann/blank: not a model folder (config.json and model.safetensors are missing)",
        f"hf:ann/nothing: no such model at {server.address}, or a private one; check the name, or set HF_TOKEN",
        "hf:ann/actions@v9: the model has no revision v9",
        "hf:ann/actions loaded",
    ]


def test_a_private_model_needs_the_token(pushed, run, server):
    server.models["ann/secret"] = server.models["ann/actions"]
    server.private.add("ann/secret")
    said = run("hf:ann/secret", code=LOAD, token=None).stdout
    assert f"hf:ann/secret: no such model at {server.address}, or a private one" in said


@pytest.mark.slow
def test_a_model_can_be_pushed_privately_and_again(run, server, model):
    for _ in range(2):
        done = run("push", model, "ann/mine", "--private")
        assert done.returncode == 0, done.stderr
    assert "ann/mine" in server.private


@pytest.mark.slow
def test_pushing_needs_a_token_that_the_hub_accepts_and_a_connection(run, model, tmp_path):
    done = run("push", model, "ann/other", token=None)
    assert done.returncode == 2
    assert "set HF_TOKEN to one that may write" in done.stderr
    done = run("push", model, "ann/other", token="hf_wrong")
    assert done.returncode == 1
    assert "ann/other: http://127.0.0.1" in done.stderr
    assert "refuses it" in done.stderr
    done = run("push", model, "ann/other", endpoint="http://127.0.0.1:9")
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (
        1,
        f"gerund: http://127.0.0.1:9 cannot be reached; {model} was not sent",
    )
    done = run("push", tmp_path, "ann/other")
    assert done.returncode == 1
    assert "not a model folder" in done.stderr


@pytest.mark.parametrize(
    "name", ["hf:", "hf:actions", "hf:ann/actions/more", "hf:../actions", "hf:ann/ac tions", "hf:ann/actions@"]
)
def test_a_name_that_is_none_is_refused_without_asking_anybody(name):
    with pytest.raises(UsageError, match="write hf:USER/MODEL"):
        hub.fetch_model(name)


def test_a_name_has_a_repository_and_may_have_a_revision():
    assert hub.repository_and_revision("hf:ann/a-b_c.d") == ("ann/a-b_c.d", None)
    assert hub.repository_and_revision("hf:ann/actions@v1.0") == ("ann/actions", "v1.0")
    assert hub.is_remote("hf:ann/actions")
    assert hub.is_remote(Path("hf:ann/actions"))
    assert not hub.is_remote("runs/train")


def test_the_card_names_data_metrics_and_the_licence_of_the_weights(model):
    recognizer = Recognizer.load(model)
    card = model_card(recognizer, {"top1": 0.9, "mean_class": 0.8, "num_clips": 70}, "ucf101 (180 train, 70 test clips)")
    assert card.startswith("---\nlibrary_name: gerund\npipeline_tag: video-classification\n")
    assert "- Trained on: ucf101 (180 train, 70 test clips)\n" in card
    assert "- Test: top-1 0.900, mean class 0.800 over 70 clips\n" in card
    assert "- Licence of the backbone's weights: none needed (no trained weights)\n" in card


def test_the_licence_of_published_weights_is_the_one_timm_lists():
    import timm

    backbone = load_backbone("test_resnet", pretrained=False, image_size=64)
    published = replace(backbone, name="convnextv2_atto", origin="pretrained")
    expected = timm.get_pretrained_cfg("convnextv2_atto").license
    assert expected
    assert weights_licence(published) == f"{expected} (of the weights published for timm)"
    assert weights_licence(replace(published, origin="fine-tuned (all) from pretrained")) == weights_licence(published)
    assert "that of the file my.safetensors; look it up" in weights_licence(replace(backbone, origin="my.safetensors"))
