"""The head in closed form, against the formulas written out and against leaving clips out one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import gerund
from gerund.core.errors import UsageError
from gerund.core.recipes import RECIPES
from gerund.heads import build_head, loaded_head
from gerund.heads.learned.ridge import RidgeModule
from gerund.heads.ridge import (
    SCALES,
    STRENGTHS,
    WINDOW_SHARE,
    Ridge,
    chosen_ridge,
    class_means,
    fitted_scale,
    inner_rows,
    left_out_loss,
    ridge,
    ridge_readout,
    smoothed_losses,
    usual_scale,
)
from gerund.heads.statistics import block_moments, mixed_moments, token_statistics
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
    assert found < fitted_scale(sure, targets, alone) < 100  # finite although every clip is right


def test_few_left_out_scores_leave_the_scale_near_the_usual_one():
    usual, wrong = usual_scale(K), np.roll(np.eye(K), 1, axis=1)
    assert fitted_scale(wrong, np.arange(K), np.arange(K)) == usual, "one clip a class, and so nothing is known"
    assert fitted_scale(np.repeat(wrong, 2, 0), np.repeat(np.arange(K), 2), np.repeat(np.arange(K), 2)) == usual, (
        "nor of one group a class"
    )
    counts = (2, 4, 20)
    found = [fitted_scale(np.tile(wrong, (n, 1)), np.tile(np.arange(K), n), np.arange(n * K)) for n in counts]
    assert usual > found[0] > found[1] > found[2]
    assert usual_scale(2) == 6


def scale_by_hand(scores, targets):
    """The scale of the least trusted loss with its prior, written down once more in torch."""
    count, classes = scores.shape
    of_class = torch.from_numpy(targets)

    def cost(scale):
        loss = functional.cross_entropy(torch.from_numpy(scale * scores), of_class, reduction="sum")
        return float(loss) * (1 - classes / count) ** 2 + np.log(scale / (6 * np.log2(classes))) ** 2 / (2 * 0.7**2)

    return min(SCALES, key=cost)


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
    mean, own = pooled.mean(0), pooled.var(0, correction=0)
    std = own.sqrt()
    if kind == "ridge":
        share = 20 / (20 + len(x))
        block = own.reshape(4, -1).mean(1, keepdim=True).expand(4, len(own) // 4).flatten()
        weights = torch.tensor([1.0, 0.7, 1.0, 0.7], dtype=torch.float64).repeat_interleave(len(own) // 4)
        std = (share * block + (1 - share) * own).sqrt() / weights**share
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
    return scale_by_hand(torch.stack(left_out).numpy(), targets)


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
        "classify.scale": torch.tensor([scale]),
    }
    found = head.state()
    second = {"timeline.std", "timeline.weight", "timeline.bias"} if kind == "ridge" else set()
    assert found.keys() == expected.keys() | second
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
    [({"kind": "median"}, "--head.kind median: choose ridge or mean"), ({"strength": -1}, "--head.strength -1: must be above 0")],
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
    assert not (run.run / "history.png").exists(), "one point is no curve"
    assert gerund.Recognizer.load(run.run).predict(folder / "right" / "right0-0.mp4").label == "right"
    assert gerund.train(resume=run.run).metrics == run.metrics, "without a checkpoint a run begins anew, to the same end"


def windows_of(pooled, spread, rng):
    """Ten windows inside each clip whose statistics lie around the clip's."""
    return (pooled[:, None] + spread * rng.standard_normal((len(pooled), 10, pooled.shape[1]))).astype(np.float32)


def test_scores_of_left_out_groups_are_those_of_solving_anew_without_them_and_their_windows():
    rng = np.random.default_rng(0)
    pooled, targets, groups = rng.standard_normal((12, 16)).astype(np.float32), np.arange(12) % K, np.arange(12) // 2
    inner = inner_rows(pooled, windows_of(pooled, 0.05, rng), K, 2)
    mean, std = mixed_moments(pooled, 2)
    z, truth = ((pooled - mean) / std).astype(float), one_hot(targets)
    inner = inner / std
    for strength in (0.1, 1.0):
        problem = Ridge.of(z, truth, groups, inner)
        weight, _, left_out = problem.solved(strength)
        penalty = strength * np.square(z).sum() / min(z.shape)
        for group in range(6):
            rest, held = groups != group, groups == group
            rows = np.concatenate(
                [np.pad(z[rest], ((0, 0), (0, 1)), constant_values=1.0), np.pad(inner[rest].reshape(-1, 16), ((0, 0), (0, 1)))]
            )
            target = np.concatenate([truth[rest], np.zeros((len(rows) - rest.sum(), K))])
            level = np.diag([penalty] * 16 + [0.0])
            solution = np.linalg.solve(rows.T @ rows + level, rows.T @ target)
            np.testing.assert_allclose(left_out[held], z[held] @ solution[:-1] + solution[-1], atol=1e-6)
        assert np.abs(weight).max() < np.abs(ridge(z, truth, groups, strength)[0]).max(), "windows hold the weights down"


def test_a_wide_problem_and_a_long_one_have_the_same_solution():
    z, targets = points(40, 6)
    groups, truth = np.arange(40) // 2, one_hot(targets)
    inner = 0.1 * np.random.default_rng(1).standard_normal((40, 3, 6))
    z = z - z.mean(0)
    long = Ridge.of(z, truth, groups, inner)
    wide = Ridge.of(np.pad(z, ((0, 0), (0, 300))), truth, groups, np.pad(inner, ((0, 0), (0, 0), (0, 300))))
    assert len(long.gram) == 6 and len(wide.gram) == 160
    for found, expected in zip(wide.solved(0.2 * 40 / 6), long.solved(0.2), strict=True):
        np.testing.assert_allclose(found[..., : expected.shape[-1]], expected, atol=1e-9)


def test_windows_count_the_less_the_more_clips_a_class_has_and_not_where_the_change_is_the_action():
    rng = np.random.default_rng(2)
    few, many = (rng.standard_normal((count, 16)).astype(np.float32) for count in (6, 24))
    weights = []
    for pooled in (few, many):
        windows = windows_of(pooled, 0.1, rng)
        inner = inner_rows(pooled, windows, K, 2)
        expected = (windows - windows.mean(1, keepdims=True)) * np.sqrt(3 / (len(pooled) / K) / 10)
        np.testing.assert_allclose(inner, expected, rtol=1e-5)
        weights.append(np.square(inner).sum() / np.square(windows - windows.mean(1, keepdims=True)).sum())
    assert weights[0] == pytest.approx(4 * weights[1], rel=1e-4)
    assert inner_rows(few, windows_of(few, 1.5, rng), K, 2) is None, "the change is the action"
    assert inner_rows(few, windows_of(few, 0.1, rng), K, 1) is None, "nothing says how much moves"
    assert inner_rows(np.tile(few, (15, 1)), windows_of(np.tile(few, (15, 1)), 0.1, rng), K, 2) is None, "clips enough"


def test_of_many_clips_fewer_windows_are_taken(monkeypatch):
    pooled = np.random.default_rng(3).standard_normal((9, 16)).astype(np.float32)
    windows = windows_of(pooled, 0.1, np.random.default_rng(4))
    for most, kept in ((99, 10), (45, 4), (27, 2)):
        monkeypatch.setattr("gerund.heads.ridge.MOST_SOLVED_ROWS", most)
        assert inner_rows(pooled, windows, K, 2).shape == (9, kept, 16)
    monkeypatch.setattr("gerund.heads.ridge.MOST_SOLVED_ROWS", 18)
    assert inner_rows(pooled, windows, K, 2) is None, "one window differs from nothing"


def test_few_clips_share_a_scale_within_a_block_and_many_do_not():
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((4000, 16)) * np.linspace(1, 8, 16)
    own = mixed_moments(rows, 2)[1] / rows.std(0)
    assert np.abs(own - 1).max() < 0.1
    shared = mixed_moments(rows[:2], 2)[1].reshape(8, 2)
    assert (
        (shared.max(1) / shared.min(1)).max()
        < 2
        < (rows[:2].std(0).reshape(8, 2).max(1) / rows[:2].std(0).reshape(8, 2).min(1)).max()
    )
    blocks = block_moments(rows, 2)[1].reshape(8, 2)
    np.testing.assert_allclose(blocks[:, 0], blocks[:, 1])
    expected = np.sqrt(np.square(rows.std(0)).reshape(8, 2).mean(1)) / np.repeat([1, 0.5, 1, 0.3], 2)
    np.testing.assert_allclose(blocks[:, 0], expected, rtol=1e-5)


def test_left_out_groups_choose_a_stronger_penalty_where_there_is_more_noise():
    rng = np.random.default_rng(6)
    targets, groups = np.arange(60) % 2, np.arange(60) // 2
    z = rng.standard_normal((60, 200)) + 0.15 * np.where(targets, 1, -1)[:, None]
    z -= z.mean(0)
    problem = Ridge.of(z, np.eye(2)[targets], groups)
    losses = [left_out_loss(problem.solved(strength)[2], targets, groups) for strength in STRENGTHS]
    found = chosen_ridge(problem, targets, groups)
    assert np.argmin(losses) > 1
    np.testing.assert_array_equal(found[0], problem.solved(STRENGTHS[int(np.argmin(losses))])[0])
    alone = chosen_ridge(problem, targets, np.zeros(60, int))
    np.testing.assert_array_equal(alone[0], problem.solved(0.1)[0])


def test_windows_of_a_timeline_are_read_out_by_block_scales():
    x, valid = some_tokens(30, width=6)
    targets = np.arange(30) % K
    x[:, :, :K] += 2 * one_hot(targets).astype(np.float32)[:, None]
    head = build_head("prototype", token_dim=6, num_classes=K, num_frames=6)
    head.solve(x, valid, targets, np.arange(30), parts=2)
    pooled = token_statistics(x, valid)
    expected = ridge_readout(pooled, targets, np.arange(30), K, parts=2, moments=block_moments)
    np.testing.assert_allclose(head.window_logits(x, valid), WINDOW_SHARE * expected.logits(pooled), atol=1e-4)
    assert np.abs(head.window_logits(x, valid) - head(x, valid)).max() > 0.1


def test_a_folder_of_before_has_no_second_readout_and_answers_windows_as_clips():
    x, valid = some_tokens(12, width=5)
    head = build_head("prototype", token_dim=5, num_classes=K, num_frames=6)
    head.solve(x, valid, np.arange(12) % K, np.arange(12))
    old = {name: value for name, value in head.state().items() if name not in head.optional}
    assert sorted(old) == ["classify.bias", "classify.weight", "standardize.mean", "standardize.std"]
    loaded = loaded_head("prototype", old, token_dim=5, num_classes=K, num_frames=6, options={"strength": 0.1})
    np.testing.assert_array_equal(loaded(x, valid), head(x, valid))
    np.testing.assert_array_equal(loaded.window_logits(x, valid), head(x, valid))
    with pytest.raises(ValueError, match=r"classify\.bias"):
        loaded_head("prototype", {k: v for k, v in old.items() if "bias" not in k}, token_dim=5, num_classes=K, num_frames=6)


@pytest.mark.parametrize("counts", [(9, 1, 1), (1, 1, 1), (5, 4)])
def test_one_clip_in_all_but_one_class_and_two_classes_are_solved_and_answered(counts):
    targets = np.repeat(np.arange(len(counts)), counts)
    x = np.random.default_rng(7).standard_normal((len(targets), 6, 4), dtype=np.float32)
    x[np.arange(len(targets)), :, targets % 4] += 5
    valid = np.ones(x.shape[:2], bool)
    head = build_head("prototype", token_dim=4, num_classes=len(counts), num_frames=6)
    head.solve(x, valid, targets, np.arange(len(targets)), parts=2)
    assert np.isfinite(head(x, valid)).all()
    assert (head(x, valid).argmax(1) == targets).all()
