"""Several processes train one head: the result is that of one process, each clip counts once, and one process does the writing."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

import gerund
from gerund import video
from gerund.cli import app as cli
from gerund.cli.show import SOME_FAILED
from gerund.core.errors import UsageError
from gerund.core.recipes import Recipe
from gerund.core.team import Team, team_shape
from gerund.heads import build_head
from gerund.heads.learned.base import LearnedHead
from gerund.learning.batches import NO_CLIP, Batches
from gerund.learning.fit import Lesson
from gerund.learning.team import join
from gerund.recognition.token_set import TokenSet
from support.reading import read_csv

pytestmark = pytest.mark.torch

TRAIN = "--backbone pixels:8 --num-frames 4 --head transformer --head.width 16 --head.dense-width 16 --epochs 3 --batch-size 5".split()
NO_DROPOUT = "--head.dropout 0 --head.attention-dropout 0 --head.classifier-dropout 0".split()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A brighter and a darker class, ten clips each, one of them broken; training batches of 5 cannot be halved."""
    folder = tmp_path_factory.mktemp("teams") / "my clips"
    rng = np.random.default_rng(0)
    for label, direction in (("growing", 1), ("fading é", -1)):
        (folder / label).mkdir(parents=True)
        for number in range(10):
            noise = rng.integers(0, 60, (16, 16, 3))
            pictures = [
                (noise + 100 + direction * 8 * np.arange(16)[:, None] * (step - 4)).clip(0, 255).astype(np.uint8)
                for step in range(8)
            ]
            video.write(folder / label / f"{number}.mp4", pictures, fps=8)
    (folder / "growing" / "broken.mp4").write_text("no video")
    return folder


def torchrun(processes, *words):
    """`torchrun --nproc-per-node PROCESSES -m gerund train WORDS`: exit code, stdout, stderr."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, "-m", "gerund", "train", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def weights(run):
    return torch.load(run / "last.ckpt", map_location="cpu", weights_only=True)["state_dict"]


def assert_alike(first, second):
    """Equal to 1e-4, but for the attention's key bias: no softmax sees it, its gradient is rounding noise, and Adam scales that up."""
    assert first.keys() == second.keys()
    for key in (key for key in first if not key.endswith("key.bias")):
        torch.testing.assert_close(first[key], second[key], atol=1e-4, rtol=0)


def rows(run):
    return [{key: float(value) for key, value in row.items() if key != "time"} for row in read_csv(run / "results.csv")]


@pytest.fixture(scope="module")
def alone(clips, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    assert (
        cli.app.meta(["train", str(clips), *TRAIN, *NO_DROPOUT, "--class-weights", "--out", str(run), "--quiet"]) == SOME_FAILED
    )
    return run


@pytest.fixture(scope="module")
def together(clips, tmp_path_factory):
    run = tmp_path_factory.mktemp("together") / "run"
    cache = tmp_path_factory.mktemp("cache")
    words = [clips, *TRAIN, *NO_DROPOUT, "--class-weights", "--out", run, "--cache", cache, "--devices", 2]
    return run, *torchrun(2, *words)


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(alone, together):
    assert_alike(weights(together[0]), weights(alone))
    first, second = (gerund.Recognizer.load(run).head.state() for run in (together[0], alone))
    assert_alike(first, second)


@pytest.mark.slow
def test_clips_are_counted_once(alone, together):
    for mine, theirs in zip(rows(together[0]), rows(alone), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)
    first, second = (json.loads((run / "metrics.json").read_text()) for run in (together[0], alone))
    for side in ("val", "test"):
        for name in first[side].keys() | second[side].keys():
            assert first[side][name] == pytest.approx(second[side][name], abs=1e-5), name
    assert first["calibration"]["num_held_out"] == second["calibration"]["num_held_out"] == 18


@pytest.mark.slow
def test_only_the_first_process_speaks_and_writes(alone, together):
    run, _, out, err = together
    assert out.count("Model: ") == 1
    assert err.count("epoch 3/3") == 1
    assert {path.name for path in run.iterdir()} == {path.name for path in alone.iterdir()}
    assert len(rows(run)) == 3
    assert "broken.mp4: not readable as video" in out


@pytest.mark.slow
def test_a_team_goes_on_where_one_process_stopped(alone, clips, tmp_path):
    run = tmp_path / "run"
    words = [clips, *TRAIN, *NO_DROPOUT, "--class-weights", "--save-every", 2, "--out", run, "--quiet"]
    assert cli.app.meta([str(word) for word in ["train", *words]]) == SOME_FAILED
    _, out, err = torchrun(2, "--resume", run / "epochs" / "0002.ckpt")
    assert "Model: " in out, err
    assert "epoch 2/3" not in err
    assert_alike(weights(run), weights(alone))
    assert len(rows(run)) == 3


@pytest.mark.slow
def test_slurm_tasks_make_a_team(alone, clips, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "gerund",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
    } | address
    words = [clips, *TRAIN, *NO_DROPOUT, "--class-weights", "--devices", "2", "--out", tmp_path / "run"]
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "gerund", "train", *map(str, words)],
            env=os.environ | job | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [SOME_FAILED, 0]
    assert "Model: " in said[0]
    assert not said[1]
    assert_alike(weights(tmp_path / "run"), weights(alone))


def some_tokens(count):
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(2, count, 4, 6, generator=generator).half().numpy()
    return TokenSet(data, np.ones(data.shape[:3], bool), np.arange(count) % 3, np.arange(count))


def gradients(tokens, batch_size, team, rank, class_weights):
    """Of the first batch, summed up over the head's parameters' values as one vector, in one process of a team."""
    head = build_head("transformer", token_dim=6, num_classes=3, num_frames=4, options={"width": 8, "heads": 2}, seed=0)
    assert isinstance(head, LearnedHead)
    lesson = Lesson(Recipe(), class_weights, processes=team)
    batches = Batches(tokens, batch_size, 0, Team(devices=team, rank=rank))
    x, valid, targets, everyone = next(iter(batches))
    lesson(head.module, x, valid, targets, everyone).backward()
    return torch.cat([parameter.grad.flatten() for parameter in head.module.parameters()])


@pytest.mark.parametrize(("count", "batch_size", "team"), [(12, 6, 2), (13, 5, 2), (7, 7, 4), (3, 2, 4)])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 2.0, 0.1])])
def test_gradients_of_a_team_average_to_those_of_one_process(count, batch_size, team, class_weights):
    tokens = some_tokens(count)
    whole = gradients(tokens, batch_size, 1, 0, class_weights)
    parts = [gradients(tokens, batch_size, team, rank, class_weights) for rank in range(team)]
    torch.testing.assert_close(torch.stack(parts).mean(0), whole, atol=1e-6, rtol=1e-5)


def test_a_batch_is_dealt_out_without_remainder():
    tokens = some_tokens(11)
    whole = [targets.tolist() for _, _, targets, _ in Batches(tokens, 4, 0)]
    dealt = [[] for _ in whole]
    for rank in range(3):
        for number, (_, _, targets, everyone) in enumerate(Batches(tokens, 4, 0, Team(devices=3, rank=rank))):
            dealt[number] += targets[targets != NO_CLIP].tolist()
            assert everyone.tolist() == whole[number]
    assert [sorted(each) for each in dealt] == [sorted(each) for each in whole]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"devices": 0}, "--devices 0: at least 1"),
        ({"nodes": -1}, "--nodes -1: at least 1"),
        ({"devices": 2}, "head prototype is solved at once, in one process"),
        ({"devices": 2, "auto": True}, "--auto compares heads in one process"),
        ({"devices": 2, "head": "mean"}, r"torchrun --nproc-per-node 2 -m gerund train \.\.\., or under SLURM srun --nodes 1"),
        ({"nodes": 2, "head": "mean"}, "torchrun --nnodes 2 --nproc-per-node 1"),
        ({"devices": 2, "head": "mean", "device": "mps"}, "not with --device mps"),
    ],
)
def test_what_cannot_be_a_team_is_told_first(clips, tmp_path, change, words):
    with pytest.raises(UsageError, match=words):
        gerund.train(clips, **change, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_that_contradict_torchrun_are_told(monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "1"), ("WORLD_SIZE", "8"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert team_shape(None, None) == team_shape(4, 2) == (4, 2)
    with pytest.raises(UsageError, match="torchrun has started 4 processes on each of 2 machines"):
        team_shape(8, None)


def test_a_job_script_without_srun_does_not_wait_for_others(monkeypatch):
    for name, value in (
        ("SLURM_NTASKS", "2"),
        ("SLURM_NTASKS_PER_NODE", "2"),
        ("SLURM_NNODES", "1"),
        ("SLURM_JOB_NAME", "x"),
        ("SLURM_PROCID", "0"),
    ):
        monkeypatch.setenv(name, value)
    assert team_shape(None, None) == (1, 1)
    with pytest.raises(UsageError, match="srun --nodes 1 --ntasks-per-node 3"):
        join(3, 1, "cpu")
