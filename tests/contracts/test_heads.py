"""Contracts that every head keeps, and what is particular to each."""

import contextlib
import warnings

import pytest
import torch

from gerund.core.errors import UsageError
from gerund.heads import HEADS, Head, build_head, head_options

B, T, D, K = 5, 7, 12, 3


@pytest.fixture(params=sorted(HEADS))
def head(request):
    torch.manual_seed(0)
    return build_head(request.param, token_dim=D, num_classes=K, num_frames=T).eval()


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(B, T, D, generator=generator)
    valid = torch.arange(T) < torch.tensor([7, 3, 1, 5, 7])[:, None]
    return x, valid


def test_logits_have_one_value_per_class(head, tokens):
    assert head(*tokens).shape == (B, K)


def test_padding_does_not_change_logits(head, tokens):
    x, valid = tokens
    expected = head(x, valid)
    for filler in (0.0, 1e4, float("nan")):
        changed = torch.where(valid.unsqueeze(-1), x, torch.tensor(filler))
        torch.testing.assert_close(head(changed, valid), expected, rtol=0, atol=1e-5)


def test_a_row_alone_gives_the_logits_it_gives_in_a_batch(head, tokens):
    x, valid = tokens
    together = head(x, valid)
    alone = torch.cat([head(x[row : row + 1], valid[row : row + 1]) for row in range(B)])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_every_parameter_gets_a_gradient(head, tokens):
    head.train()
    head(*tokens).square().sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    idle = {name for name, parameter in head.named_parameters() if not parameter.grad.abs().sum() > 0}
    assert not {name for name in idle if "weight" in name}  # a bias may be idle: softmax does not see what is added to all scores


def test_logits_are_not_probabilities(head, tokens):
    x, valid = tokens
    assert not torch.allclose(head(3 * x, valid).sum(1), torch.ones(B))


def test_step_weights_add_up_to_one_over_the_valid_steps(head, tokens):
    x, valid = tokens
    weights = head.step_weights(x, valid)
    assert weights.shape == (B, T)
    assert (weights >= 0).all()
    assert (weights[~valid] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(B))


def test_a_head_that_knows_no_step_weights_gives_most_to_the_step_that_decides(tokens):
    class Loudest(Head):
        def forward(self, x, valid):
            return torch.where(valid.unsqueeze(-1), x, -100.0).amax(1)[:, :K]

    x, valid = tokens[0].clone(), tokens[1]
    x[0, 4, 1] = 50.0
    weights = Loudest().step_weights(x, valid)
    torch.testing.assert_close(weights.sum(1), torch.ones(B))
    assert weights[0, 4] > 0.99
    assert (weights[~valid] == 0).all()


def test_only_heads_that_take_order_tell_a_clip_from_its_reverse(head, tokens):
    x, valid = tokens[0], torch.ones(B, T, dtype=torch.bool)
    same = torch.allclose(head(x, valid), head(x.flip(1), valid), atol=1e-5)
    assert same is not head.takes_order


def test_saved_and_loaded_weights_reproduce_the_logits(head, tokens, tmp_path):
    from safetensors.torch import load_file, save_file

    head.prepare(*tokens)
    save_file(head.state_dict(), tmp_path / "head.safetensors")
    torch.manual_seed(99)
    name = next(name for name, kind in HEADS.items() if type(head) is kind)
    other = build_head(name, token_dim=D, num_classes=K, num_frames=T).eval()
    other.load_state_dict(load_file(tmp_path / "head.safetensors"))
    assert torch.equal(other(*tokens), head(*tokens))


@pytest.mark.parametrize("pooling", ["max", "mean", "cls", "attention"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_form_of_the_transformer_ignores_padding(pooling, norm, tokens):
    torch.manual_seed(0)
    options = {"pooling": pooling, "norm": norm, "width": 8, "layers": 2, "heads": 2, "key_size": 5}
    head = build_head("transformer", token_dim=D, num_classes=K, num_frames=T, options=options).eval()
    x, valid = tokens
    changed = torch.where(valid.unsqueeze(-1), x, torch.tensor(float("nan")))
    torch.testing.assert_close(head(changed, valid), head(x, valid), rtol=0, atol=1e-5)
    weights = head.step_weights(x, valid)
    torch.testing.assert_close(weights.sum(1), torch.ones(B))


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("attention", [True, False])
def test_every_form_of_the_lstm_ignores_padding_also_in_training(norm, bidirectional, attention, tokens):
    torch.manual_seed(0)
    options = {
        "latent": 6,
        "hidden": 5,
        "layers": 2,
        "norm": norm,
        "bidirectional": bidirectional,
        "attention": attention,
        "dropout": 0.0,
    }
    head = build_head("bilstm", token_dim=D, num_classes=K, num_frames=T, options=options)
    x, valid = tokens
    for mode in (True, False):
        head.train(mode)
        changed = torch.where(valid.unsqueeze(-1), x, torch.tensor(float("nan")))
        torch.testing.assert_close(head(changed, valid), head(x, valid), rtol=0, atol=1e-5)
    torch.testing.assert_close(head.step_weights(x, valid).sum(1), torch.ones(B))


def test_the_lstm_agrees_with_torchs_packed_bidirectional_one(tokens):
    from gerund.heads.learned.bilstm import BiLstmHead

    torch.manual_seed(0)
    head = BiLstmHead(D, K, T, latent=6, hidden=5, standardize=False).eval()
    theirs = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in head.forward_lstms[0].named_parameters():
            getattr(theirs, name).copy_(parameter)
        for name, parameter in head.backward_lstms[0].named_parameters():
            getattr(theirs, f"{name}_reverse").copy_(parameter)
    x, valid = tokens
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        head.norm(head.project(x), valid), valid.sum(1), batch_first=True, enforce_sorted=False
    )
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=T)
    torch.testing.assert_close(head.encode(x, valid)[valid], expected[valid], rtol=0, atol=1e-6)


def test_the_frame_head_averages_the_probabilities_of_single_frames(tokens):
    head = build_head("frame", token_dim=D, num_classes=K, num_frames=T).eval()
    x, valid = tokens
    by_hand = torch.stack([head.classify(x[row][valid[row]]).softmax(-1).mean(0) for row in range(B)])
    torch.testing.assert_close(head(x, valid).softmax(-1), by_hand)


def test_attention_agrees_with_torchs_own():
    from gerund.heads.learned.transformer import SelfAttention

    torch.manual_seed(0)
    ours = SelfAttention(12, 3, 4, 0.0)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x, valid = torch.randn(2, 6, 12), torch.arange(6) < torch.tensor([6, 4])[:, None]
    expected, _ = theirs(x, x, x, key_padding_mask=~valid)
    torch.testing.assert_close(ours(x, valid), expected, rtol=0, atol=1e-6)


def test_standardize_measures_the_valid_tokens_only():
    from gerund.heads.base import Standardize

    x, valid = torch.randn(9, 4, 3) * 5 + 2, torch.rand(9, 4) < 0.7
    standardize = Standardize(3)
    standardize.fit(torch.where(valid.unsqueeze(-1), x, torch.tensor(1e9)), valid)
    rows = standardize(x)[valid]
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(3), rtol=0, atol=1e-4)


def test_options_take_words_from_the_command_line():
    options = head_options(
        "transformer", {"dense-width": "64", "dropout": "0.5", "standardize": "false", "norm": "post", "width": 32.0}
    )
    assert (options["dense_width"], options["dropout"], options["standardize"], options["norm"], options["width"]) == (
        64,
        0.5,
        False,
        "post",
        32,
    )


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nope", {}, "unknown head 'nope'; choose one of"),
        ("mean", {"width": 3}, "head 'mean' has no option --head.width; it has: --head.dropout"),
        ("transformer", {"width": "wide"}, "--head.width wide: not a value of type int"),
        ("transformer", {"layers": "1.5"}, "--head.layers 1.5: not a value of type int"),
        ("transformer", {"norm": "mid"}, "--head.norm mid: choose pre or post"),
        ("transformer", {"pooling": "sum"}, "--head.pooling sum: choose max"),
        ("transformer", {"width": 30, "heads": 4}, "cannot be shared by --head.heads 4"),
        ("transformer", {"dense_width": -5}, "--head.dense-width -5: must be at least 1"),
        ("mean", {"dropout": 1.5}, "--head.dropout 1.5: must lie between 0 and 1"),
    ],
)
def test_a_wrong_head_or_option_is_named(name, options, words):
    with pytest.raises(UsageError, match=words):
        build_head(name, token_dim=D, num_classes=K, num_frames=T, options=options)


STRANGE = (True, 0, -5, 2.5, 7, 99, -0.0, 1e-9, "", "abc", "-3", "nan", "inf", "1e400", "\ud800")


@pytest.mark.parametrize("name", sorted(HEADS))
def test_an_option_of_any_value_builds_a_head_or_is_wrong_usage(name):
    for key in head_options(name, {}):
        for value in STRANGE:
            with contextlib.suppress(UsageError), torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch has a word to say on tensors of no elements
                build_head(name, token_dim=D, num_classes=K, num_frames=T, options={key: value})
