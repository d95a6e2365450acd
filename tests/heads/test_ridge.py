"""The head in closed form, against the formulas written out and against leaving clips out one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import gerund
from gerund.core.errors import UsageError
from gerund.core.recipes import RECIPES
from gerund.heads import build_head
from gerund.heads.learned.ridge import RidgeModule
from gerund.heads.ridge import class_means, fitted_scale, ridge, smoothed_losses, token_statistics
from gerund.recognition.token_set import TokenSet
from gerund.training.solve import class_weights, solve
from support.reading import read_csv
from support.squares import write_squares

pytestmark = pytest.mark.torch

K = 3


def points(count, width, seed=0):
    """Three overlapping clouds: z (N, D) float64 of mean 0 and classes (N,)."""
    targets = np.arange(count) % K
    z = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    z[:, :K] += 2 * one_hot(targets)
    return z - z.mean(0), targets


def one_hot(targets):
    return np.eye(K)[targets]


def cosine(a, b):
    return (a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def close(found, expected, *, atol=1e-7):
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=atol)


def penalised_least_squares(z, truth, penalty):
    """Ridge with an intercept as a plain least-squares problem with extra rows; the intercept is not penalised."""
    z, truth = torch.from_numpy(z), torch.from_numpy(truth)
    rows = torch.cat([torch.cat([z, torch.ones(len(z), 1)], 1), torch.eye(z.shape[1] + 1, dtype=z.dtype) * penalty**0.5])
    rows[-1] = 0
    targets = torch.cat([truth, torch.zeros(z.shape[1] + 1, truth.shape[1])])
    return torch.linalg.lstsq(rows, targets, driver="gelsd").solution.numpy()


@pytest.mark.parametrize("of_group", [1, 3])
@pytest.mark.parametrize(("count", "width"), [(30, 6), (12, 20)])
def test_ridge_is_penalised_least_squares_and_leaves_out_each_group_for_little(count, width, of_group):
    z, targets = points(count, width)
    truth, groups = one_hot(targets), np.arange(count) // of_group
    penalty = 0.1 * float(np.square(z).sum()) / min(count, width)
    weight, bias, left_out = ridge(z, truth, groups, 0.1)
    solution = penalised_least_squares(z, truth, penalty)
    close(np.concatenate([weight.T, bias[None]]), solution)
    for group in range(count // of_group):
        out = groups == group
        without = penalised_least_squares(z[~out], truth[~out], penalty)
        close(left_out[out], z[out] @ without[:-1] + without[-1])


@pytest.mark.parametrize("of_group", [1, 3])
def test_class_means_score_by_the_cosine_and_leave_out_each_group(of_group):
    z, targets = points(15, 4)
    z, groups = z / np.linalg.norm(z, axis=1, keepdims=True), np.arange(15) // of_group
    weight, bias, left_out = class_means(z, one_hot(targets), groups)
    assert not bias.any()
    for k in range(K):
        mean = z[targets == k].mean(0)
        close(z @ weight[k], cosine(z, mean[None]))
        for row in range(15):
            others = (targets == k) & (groups != groups[row])
            close(left_out[row, k], cosine(z[row], z[others].mean(0)))


def some_tokens(rows=2, steps=6, width=3, seed=0):
    """Tokens (B, T, D) float32 and valid (B, T): every second clip is two steps short, with NaN in what is missing."""
    x = np.random.default_rng(seed).standard_normal((rows, steps, width), dtype=np.float32)
    valid = np.arange(steps) < np.where(np.arange(rows) % 2, steps - 2, steps)[:, None]
    return np.where(valid[..., None], x, np.float32("nan")), valid


def test_the_four_statistics_are_those_of_numpy_over_the_valid_steps():
    x, valid = some_tokens()
    found = token_statistics(x, valid)
    assert found.dtype == np.float32
    for row, steps in ((0, 6), (1, 4)):
        rooted = np.sign(x[row, :steps]) * np.sqrt(np.abs(x[row, :steps]))
        time = np.linspace(-1 + 1 / steps, 1 - 1 / steps, steps)
        expected = [rooted.mean(0), rooted.std(0), rooted.max(0), (rooted * time[:, None]).mean(0)]
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-5)


def test_the_scale_says_how_sure_the_left_out_scores_are():
    targets = np.arange(300) % K
    sure = one_hot(targets)
    unsure = sure.copy()
    unsure[:90] = np.roll(unsure[:90], 1, axis=1)  # three in ten are wrong
    alone = np.arange(300)
    found = fitted_scale(unsure, targets, alone)
    share = float(functional.softmax(torch.from_numpy(found * unsure), dim=1).max(1).values.mean())
    assert share == pytest.approx(0.7, abs=0.02)
    assert found < fitted_scale(sure, targets, alone) < 10  # finite although every clip is right


def statistics_in_torch(x, valid):
    """The four statistics of each clip in float64, clip by clip."""
    rows = []
    for clip, mask in zip(torch.from_numpy(x).double(), torch.from_numpy(valid), strict=True):
        rooted = clip[mask].sign() * clip[mask].abs().sqrt()
        time = torch.linspace(-1 + 1 / len(rooted), 1 - 1 / len(rooted), len(rooted), dtype=torch.float64)
        rows.append(torch.cat([rooted.mean(0), rooted.std(0, correction=0), rooted.amax(0), time @ rooted / len(rooted)]))
    return torch.stack(rows)


def solution_in_torch(x, valid, targets, kind, strength):
    """Mean, standard deviation, weight (K, 4 D) and bias (K,) in float64, before they are scaled."""
    pooled = statistics_in_torch(x, valid)
    mean, std = pooled.mean(0), pooled.std(0, correction=0)
    std = std.clamp(min=float(std.mean()) * 0.05 + 1e-6)
    z, truth = (pooled - mean) / std, functional.one_hot(torch.from_numpy(targets), K).double()
    if kind == "mean":
        return mean, std, functional.normalize(truth.T @ functional.normalize(z, dim=1), dim=1), torch.zeros(K)
    penalty = strength * z.square().sum() / min(z.shape)
    inner = torch.linalg.solve(z.T @ z + penalty * torch.eye(z.shape[1], dtype=z.dtype), z.T @ (truth - truth.mean(0)))
    return mean, std, inner.T, truth.mean(0)


def scale_in_torch(x, valid, targets, kind, strength, mean, std):
    """The multiplier of the least loss of scores of clips that were left out one by one, each solved for anew."""
    z = (statistics_in_torch(x, valid) - mean) / std
    z = functional.normalize(z, dim=1) if kind == "mean" else z
    truth = functional.one_hot(torch.from_numpy(targets), K).double()
    left_out = []
    for row in range(len(z)):
        rest = torch.arange(len(z)) != row
        if kind == "mean":
            left_out.append(functional.normalize(truth[rest].T @ z[rest], dim=1) @ z[row])
        else:
            penalty = strength * z.square().sum() / min(z.shape)
            solution = torch.from_numpy(penalised_least_squares(z[rest].numpy(), truth[rest].numpy(), float(penalty)))
            left_out.append(z[row] @ solution[:-1] + solution[-1])
    scales = torch.logspace(-1, 3, 81, dtype=torch.float64)
    scores, of_class = torch.stack(left_out), torch.from_numpy(targets)
    losses = [functional.cross_entropy(scale * scores, of_class, label_smoothing=K / (len(z) + K)) for scale in scales]
    return scales[torch.stack(losses).argmin()]


@pytest.mark.parametrize("kind", ["ridge", "mean"])
@pytest.mark.parametrize("clips", [15, 60])
def test_what_is_solved_for_is_what_torch_finds_in_double_precision(kind, clips):
    x, valid = some_tokens(clips, width=5)
    targets = np.arange(clips) % K
    x[:, :, :K] += 2 * one_hot(targets).astype(np.float32)[:, None]
    head = build_head("prototype", token_dim=5, num_classes=K, num_frames=6, options={"kind": kind, "strength": 0.3})
    head.solve(x, valid, targets, np.arange(clips))
    mean, std, weight, bias = solution_in_torch(x, valid, targets, kind, 0.3)
    scale = scale_in_torch(x, valid, targets, kind, 0.3, mean, std)
    expected = {
        "standardize.mean": mean,
        "standardize.std": std,
        "classify.weight": scale * weight,
        "classify.bias": scale * bias,
    }
    found = head.state()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], value.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["ridge", "mean"])
def test_the_module_for_torchs_formats_gives_the_heads_logits(kind):
    x, valid = some_tokens(30, width=5)
    valid[0, 1:] = False
    head = build_head("prototype", token_dim=5, num_classes=K, num_frames=6, options={"kind": kind})
    targets = np.arange(30) % K
    x[:, :, :K] += 2 * one_hot(targets).astype(np.float32)[:, None]
    head.solve(x, valid, targets, np.arange(30))
    module = RidgeModule(head).eval()
    with torch.inference_mode():
        found = module(torch.from_numpy(x), torch.from_numpy(valid)).numpy()
    assert np.abs(found).max() > 1
    np.testing.assert_allclose(found, head(x, valid), rtol=0, atol=1e-5)


def tokens_of(z, targets, steps=4):
    """Clips whose tokens are a fixed point plus noise around it."""
    noise = torch.randn(len(z), steps, z.shape[1], generator=torch.Generator().manual_seed(1)).numpy()
    data = (z.astype(np.float32)[:, None, :] + 0.1 * noise).astype(np.float16)
    return TokenSet(data[None], np.ones((1, len(z), steps), bool), targets, np.arange(len(z)))


@pytest.mark.parametrize("kind", ["ridge", "mean"])
def test_one_clip_per_class_is_enough(kind):
    z, targets = points(60, 4)
    z[:, :K] += 20 * one_hot(targets)
    train, test = tokens_of(z[:K], targets[:K]), tokens_of(z[K:], targets[K:])
    head = build_head("prototype", token_dim=4, num_classes=K, num_frames=4, options={"kind": kind})
    epoch = solve(head, train, test, RECIPES["default"])
    assert (epoch.epoch, epoch.lr, epoch.train_top1) == (1, 0.0, 1.0)
    assert epoch.top1 >= 0.9
    logits = head(test.data[0].astype(np.float32), test.valid[0])
    assert epoch.top1 == pytest.approx(float((logits.argmax(1) == test.targets).mean()))
    smoothing = RECIPES["default"].label_smoothing
    loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(test.targets), label_smoothing=smoothing)
    assert epoch.val_loss == pytest.approx(loss.item())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighed", [False, True])
def test_the_losses_are_torchs_cross_entropy_over_the_weights_of_the_clips(weighed, smoothing):
    z, targets = points(40, 4)
    rarer = np.flatnonzero((targets != 2) | (np.arange(40) < 15))
    train, val = tokens_of(z[rarer], targets[rarer]), tokens_of(z[::-1], targets[::-1].copy())
    head = build_head("prototype", token_dim=4, num_classes=K, num_frames=4)
    recipe = replace(RECIPES["default"], class_weights=weighed, label_smoothing=smoothing)
    epoch = solve(head, train, val, recipe)
    counts = torch.bincount(torch.from_numpy(train.targets)).double()
    assert len(set(counts.tolist())) > 1
    weights = counts.sum() / (K * counts) if weighed else None
    assert weights is None or class_weights(train.targets).tolist() == pytest.approx(weights.tolist())
    for side, found in ((train, epoch.train_loss), (val, epoch.val_loss)):
        logits = torch.from_numpy(head(side.data[0].astype(np.float32), side.valid[0])).double()
        of_class = torch.from_numpy(side.targets)
        total = functional.cross_entropy(logits, of_class, weights, label_smoothing=smoothing, reduction="sum")
        assert found == pytest.approx(float(total / (len(side) if weights is None else weights[of_class].sum())), rel=1e-6)
        each = functional.cross_entropy(logits, of_class, weights, label_smoothing=smoothing, reduction="none")
        given = None if weights is None else weights.numpy()
        np.testing.assert_allclose(smoothed_losses(logits.numpy(), side.targets, smoothing, given), each.numpy(), rtol=1e-9)


@pytest.mark.parametrize("change", ["spread", "order"])
def test_clips_of_equal_means_are_told_apart_by_their_spread_and_by_their_order(change):
    targets = np.arange(40) % 2
    x = np.random.default_rng(0).standard_normal((40, 16, 5), dtype=np.float32)
    of_one = targets[:, None, None] == 1
    if change == "spread":
        x = np.where(of_one, x, np.float32(0.2) * x)
        x = x - x.mean(1, keepdims=True)
    else:
        ramp = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
        x = np.float32(0.5) * x + np.where(of_one, ramp, -ramp)
    valid = np.ones((40, 16), bool)
    head = build_head("prototype", token_dim=5, num_classes=2, num_frames=16)
    head.solve(x[:20], valid[:20], targets[:20], np.arange(20))
    assert (head(x[20:], valid[20:]).argmax(1) == targets[20:]).all()


def test_the_step_that_differs_weighs_most():
    x, targets = np.zeros((8, 4, 3), np.float32), np.arange(8) % 2
    x[:, 2] = 3 * one_hot(targets)
    valid = np.ones((8, 4), bool)
    head = build_head("prototype", token_dim=3, num_classes=2, num_frames=4)
    head.solve(x, valid, targets, np.arange(8))
    assert (head.step_weights(x, valid).argmax(1) == 2).all()


def test_a_clip_of_one_frame_is_solved_and_answered():
    z, targets = points(12, 5)
    x, valid = np.repeat(z.astype(np.float32)[:, None], 3, axis=1), np.tile([True, False, False], (12, 1))
    head = build_head("prototype", token_dim=5, num_classes=K, num_frames=3)
    head.solve(x, valid, targets, np.arange(12))
    assert np.isfinite(head(x, valid)).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kind": "median"}, "--head.kind median: choose ridge or mean"), ({"strength": 0}, "--head.strength 0: must be above 0")],
)
def test_a_wrong_option_is_named(options, words):
    with pytest.raises(UsageError, match=words):
        build_head("prototype", token_dim=5, num_classes=K, num_frames=3, options=options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("prototype") / "clips", clips=6, frames=8)


def test_a_run_has_one_row_and_a_model_that_answers(folder, tmp_path):
    run = gerund.train(folder, backbone="pixels:8", num_frames=4, head="prototype", out=tmp_path / "run")
    rows = read_csv(run.run / "results.csv")
    assert [row["epoch"] for row in rows] == ["1"]
    assert run.metrics["test"]["top1"] == 1
    assert (run.run / "history.png").stat().st_size > 0
    assert gerund.Recognizer.load(run.run).predict(folder / "right" / "right0-0.mp4").label == "right"
    assert gerund.train(resume=run.run).metrics == run.metrics, "without a checkpoint a run begins anew, to the same end"
