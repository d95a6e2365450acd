"""The head in closed form, against the formulas written out and against leaving clips out one by one."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import gerund
from gerund.core.errors import UsageError
from gerund.core.recipes import RECIPES
from gerund.heads import build_head
from gerund.heads.ridge import class_means, fitted_scale, ridge, token_statistics
from gerund.learning.fit import fit
from gerund.learning.tokens import TokenSet
from support.reading import read_csv
from support.squares import write_squares

K = 3


def points(count, width, seed=0):
    """Three overlapping clouds: z (N, D) float64 of mean 0 and classes (N,)."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % K
    z = torch.randn(count, width, generator=generator, dtype=torch.float64)
    z[:, :K] += 2 * functional.one_hot(targets, K)
    return z - z.mean(0), targets


def one_hot(targets):
    return functional.one_hot(targets, K).double()


def penalised_least_squares(z, truth, penalty):
    """Ridge with an intercept as a plain least-squares problem with extra rows; the intercept is not penalised."""
    rows = torch.cat([torch.cat([z, torch.ones(len(z), 1)], 1), torch.eye(z.shape[1] + 1, dtype=z.dtype) * penalty**0.5])
    rows[-1] = 0
    return torch.linalg.lstsq(rows, torch.cat([truth, torch.zeros(z.shape[1] + 1, K)]), driver="gelsd").solution


@pytest.mark.parametrize("of_group", [1, 3])
@pytest.mark.parametrize(("count", "width"), [(30, 6), (12, 20)])
def test_ridge_is_penalised_least_squares_and_leaves_out_each_group_for_little(count, width, of_group):
    z, targets = points(count, width)
    truth, groups = one_hot(targets), torch.arange(count) // of_group
    penalty = 0.1 * float(z.square().sum()) / min(count, width)
    weight, bias, left_out = ridge(z, truth, groups, 0.1)
    solution = penalised_least_squares(z, truth, penalty)
    torch.testing.assert_close(torch.cat([weight.T, bias[None]]), solution)
    for group in range(count // of_group):
        out = groups == group
        without = penalised_least_squares(z[~out], truth[~out], penalty)
        torch.testing.assert_close(left_out[out], z[out] @ without[:-1] + without[-1])


@pytest.mark.parametrize("of_group", [1, 3])
def test_class_means_score_by_the_cosine_and_leave_out_each_group(of_group):
    z, targets = points(15, 4)
    z, groups = functional.normalize(z, dim=1), torch.arange(15) // of_group
    weight, bias, left_out = class_means(z, one_hot(targets), groups)
    assert not bias.any()
    for k in range(K):
        mean = z[targets == k].mean(0)
        torch.testing.assert_close(z @ weight[k], functional.cosine_similarity(z, mean[None]))
        for row in range(15):
            others = (targets == k) & (groups != groups[row])
            expected = functional.cosine_similarity(z[row], z[others].mean(0), dim=0)
            torch.testing.assert_close(left_out[row, k], expected)


def test_the_four_statistics_are_those_of_numpy_over_the_valid_steps():
    generator = torch.Generator().manual_seed(0)
    x, valid = torch.randn(2, 6, 3, generator=generator), torch.arange(6) < torch.tensor([6, 4])[:, None]
    found = token_statistics(torch.where(valid.unsqueeze(-1), x, torch.tensor(float("nan"))), valid).numpy()
    for row, steps in ((0, 6), (1, 4)):
        rooted = np.sign(x[row, :steps].numpy()) * np.sqrt(np.abs(x[row, :steps].numpy()))
        time = np.linspace(-1 + 1 / steps, 1 - 1 / steps, steps)
        expected = [rooted.mean(0), rooted.std(0), rooted.max(0), (rooted * time[:, None]).mean(0)]
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-5)


def test_the_scale_says_how_sure_the_left_out_scores_are():
    targets = torch.arange(300) % K
    sure = one_hot(targets)
    unsure = sure.clone()
    unsure[:90] = unsure[:90].roll(1, dims=1)  # three in ten are wrong
    alone = torch.arange(300)
    found = fitted_scale(unsure, targets, alone)
    share = float(functional.softmax(found * unsure, dim=1).max(1).values.mean())
    assert share == pytest.approx(0.7, abs=0.02)
    assert found < fitted_scale(sure, targets, alone) < 10  # finite although every clip is right


def tokens_of(z, targets, steps=4):
    """Clips whose tokens are a fixed point plus noise around it."""
    generator = torch.Generator().manual_seed(1)
    data = z.float()[:, None, :] + 0.1 * torch.randn(len(z), steps, z.shape[1], generator=generator)
    return TokenSet(data[None].half(), torch.ones(1, len(z), steps, dtype=torch.bool), targets, torch.arange(len(z)))


@pytest.mark.parametrize("kind", ["ridge", "mean"])
def test_one_clip_per_class_is_enough(kind):
    z, targets = points(60, 4)
    z[:, :K] += 20 * one_hot(targets)
    train, test = tokens_of(z[:K], targets[:K]), tokens_of(z[K:], targets[K:])
    head = build_head("prototype", token_dim=4, num_classes=K, num_frames=4, options={"kind": kind})
    history = fit(head, train, test, RECIPES["default"], device="cpu", folder=None, on_epoch=lambda *_: None)
    assert [(epoch.epoch, epoch.lr, epoch.train_top1) for epoch in history] == [(1, 0.0, 1.0)]
    assert history[0].top1 >= 0.9
    logits = head(test.data[0].float(), test.valid[0])
    assert history[0].top1 == pytest.approx(float((logits.argmax(1) == test.targets).float().mean()))
    loss = functional.cross_entropy(logits, test.targets, label_smoothing=RECIPES["default"].label_smoothing)
    assert history[0].val_loss == pytest.approx(loss.item())


@pytest.mark.parametrize("change", ["spread", "order"])
def test_clips_of_equal_means_are_told_apart_by_their_spread_and_by_their_order(change):
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(40) % 2
    x = torch.randn(40, 16, 5, generator=generator)
    if change == "spread":
        x = torch.where(targets[:, None, None] == 1, x, 0.2 * x)
        x = x - x.mean(1, keepdim=True)
    else:
        ramp = torch.linspace(-1, 1, 16)[:, None]
        x = 0.5 * x + torch.where(targets[:, None, None] == 1, ramp, -ramp)
    valid = torch.ones(40, 16, dtype=torch.bool)
    head = build_head("prototype", token_dim=5, num_classes=2, num_frames=16)
    head.solve(x[:20], valid[:20], targets[:20], torch.arange(20))
    assert (head(x[20:], valid[20:]).argmax(1) == targets[20:]).all()


def test_the_step_that_differs_weighs_most():
    x, targets = torch.zeros(8, 4, 3), torch.arange(8) % 2
    x[:, 2] = 3 * one_hot(targets).float()
    valid = torch.ones(8, 4, dtype=torch.bool)
    head = build_head("prototype", token_dim=3, num_classes=2, num_frames=4)
    head.solve(x, valid, targets, torch.arange(8))
    assert (head.step_weights(x, valid).argmax(1) == 2).all()


def test_a_clip_of_one_frame_is_solved_and_answered():
    z, targets = points(12, 5)
    x, valid = z.float()[:, None, :].expand(-1, 3, -1), torch.tensor([True, False, False]).expand(12, 3)
    head = build_head("prototype", token_dim=5, num_classes=K, num_frames=3)
    head.solve(x, valid, targets, torch.arange(12))
    assert torch.isfinite(head(x, valid)).all()


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
