"""A backbone learns from the clips, on frames decoded on the fly; then everything goes on as with any other backbone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.backbones import load_backbone, rebuild_backbone, weights_licence
from gerund.backbones.engines import core
from gerund.backbones.timm import last_stage
from gerund.core.errors import ClipError, UsageError
from gerund.core.recipes import Recipe
from gerund.core.types import Clip, Resize
from gerund.features.cache import FeatureCache
from gerund.heads import build_head
from gerund.heads.learned.base import LearnedHead
from gerund.learning import fit as fitting
from gerund.learning.batches import NO_CLIP
from gerund.learning.finetune import BACKBONE_WEIGHTS, FrameBatches, Tuned, sampled_frames, save_weights
from gerund.learning.finetune import tuned as tuned_backbone
from gerund.learning.team import Team
from gerund.recognition.weights import write_backbone
from support.clocks import standing
from support.reading import read_csv

pytestmark = pytest.mark.torch

TUNE = {
    "backbone": "test_resnet",
    "pretrained": False,
    "image_size": 32,
    "num_frames": 3,
    "epochs": 2,
    "finetune_epochs": 2,
    "batch_size": 8,
    "head_options": {"width": 16, "dense_width": 16},
    "lr_backbone": 1e-3,
    "workers": 1,
    "device": "cpu",
}
SQUARE = Resize(height=32, width=32, fit="squeeze")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Red and blue clips, ten each, one of them broken."""
    folder = tmp_path_factory.mktemp("finetuning") / "my clips"
    rng = np.random.default_rng(0)
    for label, channel in (("red", 0), ("bleu é", 2)):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            pictures = rng.integers(0, 90, (8, 40, 40, 3), dtype=np.uint8)
            pictures[..., channel] += 120
            video.write(folder / label / f"{number}.mp4", list(pictures), fps=8)
    (folder / "red" / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def tuned(clips, tmp_path_factory):
    return gerund.train(clips, **TUNE, finetune="last-stage", out=tmp_path_factory.mktemp("tuned") / "run")


def network(name="test_resnet", part="last-stage"):
    backbone = load_backbone(name, pretrained=False, image_size=32 if name == "test_resnet" else None)
    head = build_head("transformer", token_dim=backbone.feature_dim, num_classes=2, num_frames=3, options={"width": 16})
    assert isinstance(head, LearnedHead)
    return backbone, Tuned(backbone, head.module, part)


def test_only_the_last_stage_of_the_saved_backbone_differs(tuned):
    before = load_backbone("test_resnet", pretrained=False, image_size=32)
    after = gerund.Recognizer.load(tuned.run).backbone
    changed = {key for key, value in after.module.state_dict().items() if not torch.equal(value, before.module.state_dict()[key])}
    assert changed
    assert changed <= set(last_stage(before.module))
    assert not [key for key in changed if "running" in key]
    assert after.fingerprint != before.fingerprint
    assert after.origin == "fine-tuned (last-stage) from random (seed 0)"


@pytest.mark.parametrize("trained", ["in torch", "graph alone"])
def test_a_network_of_the_installation_comes_back_from_its_model_folder_as_it_was_fine_tuned(tmp_path, trained):
    before = load_backbone("lite", image_size=32)
    with torch.no_grad():
        for name, value in before.module.named_parameters():
            if name in last_stage(before.module):
                value.mul_(1.5)
    save_weights(before.module, tmp_path / BACKBONE_WEIGHTS)
    after = tuned_backbone(load_backbone("lite", image_size=32), tmp_path, "last-stage")
    folder = tmp_path / "model"
    folder.mkdir()
    write_backbone(after, FeatureCache(tmp_path / "cache"), folder)
    if trained == "graph alone":
        (folder / "backbone.safetensors").unlink()
    again = rebuild_backbone(json.loads(json.dumps(after.config)), folder, has_graph=True)
    assert again.weights_digest == after.weights_digest != load_backbone("lite").weights_digest
    assert (again.build is None) == (trained == "graph alone")
    frames = np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)
    expected, answer, untuned = (
        core().compile_model(each.graph(3), "CPU")(frames)[0] for each in (after, again, load_backbone("lite", image_size=32))
    )
    np.testing.assert_allclose(answer, expected, atol=1e-3)
    assert np.abs(untuned - expected).max() > 0.1
    assert weights_licence(again) == weights_licence(load_backbone("lite"))


def test_a_fine_tuned_model_predicts_as_it_was_evaluated(tuned):
    recognizer = gerund.Recognizer.load(tuned.run)
    answers = [prediction.label for prediction in recognizer.predict_clips(tuned.test.clips)]
    assert answers == [tuned.test.labels[row.argmax()] for row in tuned.test.scores]
    assert json.loads((tuned.run / "config.json").read_text())["head"] == "transformer"
    assert "broken.mp4" in str(tuned.failed)


def test_fine_tuning_leaves_its_losses_and_they_fall(tuned):
    rows = read_csv(tuned.run / "finetune" / "results.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


@pytest.mark.slow
def test_an_interrupted_fine_tuning_goes_on_to_the_same_weights(clips, tuned, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    whole = gerund.train(clips, **TUNE | {"finetune_epochs": 3}, finetune="all", out=tmp_path / "whole")
    original = fitting.save_state

    def interrupted(folder, head, loop, journal):
        original(folder, head, loop, journal)
        if len(journal.history) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "save_state", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gerund.train(clips, **TUNE | {"finetune_epochs": 3}, finetune="all", out=run)
    assert f"go on with: gerund train --resume {run}" in capsys.readouterr().err
    resumed = gerund.train(resume=run)
    first, second = (gerund.Recognizer.load(each.run).backbone.weights_digest for each in (whole, resumed))
    assert first == second


@pytest.mark.slow
def test_two_processes_tune_one_backbone(clips, tmp_path):
    run = tmp_path / "run"
    words = "--backbone test_resnet --no-pretrained --image-size 32 --num-frames 3 --epochs 2 --finetune-epochs 2 --batch-size 5 --workers 2"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gerund"]
    command = [*launcher, "train", str(clips), *words.split(), "--finetune", "last-stage", "--device", "cpu", "--out", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.count("Model: ") == 1, done.stderr
    assert done.stderr.count("fine-tuning 2/2") == 1
    recognizer = gerund.Recognizer.load(run)
    assert recognizer.backbone.origin.startswith("fine-tuned")
    assert [row["epoch"] for row in read_csv(run / "finetune" / "results.csv")] == ["1", "2"]


@pytest.mark.gpu
def test_fine_tuning_on_a_gpu_gives_a_model_for_a_cpu(clips, tmp_path):
    done = gerund.train(clips, **TUNE | {"device": "cuda"}, finetune="all", out=tmp_path / "run")
    assert gerund.Recognizer.load(done.run, device="cpu").predict(done.test.clips[0]).label in ("red", "bleu é")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_gradients_reach_the_last_stage_and_the_head_only(name):
    backbone, net = network(name)
    side = backbone.resize.height
    net.train()
    net(
        torch.randint(0, 255, (2, 3, 3, side + 8, side + 8), dtype=torch.uint8), torch.ones(2, 3, dtype=torch.bool)
    ).sum().backward()
    learning = {name for name, each in net.backbone.named_parameters() if each.grad is not None}
    assert learning == set(last_stage(backbone.module))
    assert 0 < len(learning) < len(list(net.backbone.parameters()))
    assert all(each.grad is not None for each in net.head.parameters())
    assert not any(each.requires_grad for each in backbone.module.parameters())


@pytest.mark.parametrize(
    ("name", "stage"), [("convnext_atto", "stages.3."), ("densenet121", "features.denseblock4."), ("test_resnet", "layer4.")]
)
def test_the_last_stage_is_more_than_a_norm(name, stage):
    import timm

    module = timm.create_model(name, num_classes=0)
    expected = {key for key, _ in module.named_parameters() if key.startswith((stage, "head.norm", "features.norm5"))}
    assert set(last_stage(module)) == expected
    with pytest.raises(UsageError, match="choose --finetune all"):
        last_stage(torch.nn.Linear(2, 2))


def test_normalisation_statistics_do_not_move():
    _, net = network(part="all")
    before = {key: value.clone() for key, value in net.backbone.named_buffers()}
    net.train()
    net(torch.randint(0, 255, (4, 3, 3, 40, 40), dtype=torch.uint8), torch.ones(4, 3, dtype=torch.bool))
    assert before
    assert all(torch.equal(value, before[key]) for key, value in net.backbone.named_buffers())


def test_all_frames_of_a_clip_are_augmented_alike_and_clips_differently():
    _, net = network()
    pictures = torch.randint(0, 255, (1, 1, 3, 40, 40), dtype=torch.uint8).expand(2, 3, -1, -1, -1)
    torch.manual_seed(1)
    first, second = (net.augment(clip) for clip in pictures)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first, second)
    assert first.shape == (3, 3, 32, 32)


def test_a_validation_clip_is_seen_as_extraction_sees_it():
    backbone, net = network()
    pictures = torch.randint(0, 255, (1, 3, 3, 32, 32), dtype=torch.uint8)
    net.eval()
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (backbone.mean, backbone.std))
    with torch.inference_mode():
        expected = backbone.module((pictures[0] / 255 - mean) / std)
        torch.testing.assert_close(net.tokens(pictures)[0], expected, atol=1e-4, rtol=1e-4)


def numbered_clip(tmp_path, ramp_video, **span):
    return Clip(path=ramp_video(24, fps=8, size=(32, 32), step=10), label="x", **span)


def levels(pictures):
    return [round(float(each.mean()) / 10) for each in pictures]


def test_sampled_frames_are_one_of_each_part_of_the_span(tmp_path, ramp_video):
    settings = Recipe(num_frames=4)
    whole = numbered_clip(tmp_path, ramp_video)
    assert levels(sampled_frames(whole, settings, SQUARE, None)) == [2, 8, 14, 20]
    part = numbered_clip(tmp_path, ramp_video, start=1.0, end=2.0)
    assert levels(sampled_frames(part, settings, SQUARE, None)) == [8, 10, 12, 14]
    drawn = [levels(sampled_frames(whole, settings, SQUARE, np.random.default_rng(seed))) for seed in range(20)]
    assert len({tuple(each) for each in drawn}) > 10
    assert all(each == sorted(each) for each in drawn)
    assert len(sampled_frames(whole, Recipe(num_frames=40), SQUARE, None)) == 24
    with pytest.raises(ClipError, match="starts at 9 s"):
        sampled_frames(numbered_clip(tmp_path, ramp_video, start=9.0), settings, SQUARE, None)


def test_an_epoch_is_drawn_from_seed_and_number_alone_and_dealt_out(clips, capsys):
    chosen = [Clip(path=path, label=path.parent.name) for path in sorted(clips.rglob("*.mp4"))]
    targets = torch.tensor([int(clip.label == "red") for clip in chosen])
    settings = Recipe(num_frames=2, batch_size=6)

    def epoch(number, team=Team()):  # noqa: B008
        batches = FrameBatches(chosen, targets, settings, SQUARE, workers=2, seed=3, team=team)
        batches.epoch = number
        return list(batches)

    first, again, other = epoch(0), epoch(0), epoch(1)
    assert all(torch.equal(a, b) for mine, theirs in zip(first, again, strict=True) for a, b in zip(mine, theirs, strict=True))
    assert not torch.equal(first[0][0], other[0][0])
    assert sum(int((batch[2] != NO_CLIP).sum()) for batch in first) == len(chosen) - 1
    assert capsys.readouterr().err.count("broken.mp4") == 3
    dealt = [epoch(0, Team(devices=2, rank=rank)) for rank in range(2)]
    for number, (_, _, whole, everyone) in enumerate(first):
        assert sorted(torch.cat([each[number][2] for each in dealt]).tolist()) == sorted(whole.tolist())
        assert all(torch.equal(each[number][3], everyone) for each in dealt)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"finetune": "all", "auto": True}, "--finetune all: not with --auto"),
        ({"finetune": "all", "precision": "int8"}, "--finetune all: not with --precision int8"),
        ({"finetune": "all", "bundle": False}, "--finetune all: not with --no-bundle"),
        ({"finetune": "all", "head": "prototype"}, "head prototype has no epochs"),
        ({"finetune": "all", "backbone": "pixels:8"}, "backbone pixels:8 has no weights to train"),
        ({"finetune": "all", "lr_backbone": 0.0}, "--lr-backbone 0: the learning rate must be above 0"),
        ({"lr_backbone": 1e-4}, "--lr-backbone 0.0001: only for --finetune"),
        ({"finetune_epochs": 3}, "--finetune-epochs 3: only for --finetune"),
    ],
)
def test_what_does_not_go_with_fine_tuning_is_told_first(clips, tmp_path, change, words):
    with pytest.raises(UsageError, match=words):
        gerund.train(clips, **change, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_still_gives_as_many_of_the_sampled_frames_as_it_lasts(tmp_path):
    settings = Recipe(fps=8.0, num_frames=8)
    frames = sampled_frames(Clip(path=standing(tmp_path / "still.gif")), settings, SQUARE, None)
    assert [round(float(frame.mean())) for frame in frames][3:] == [250] * 5
