"""Contracts that every head keeps, and what is particular to each."""

import contextlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from gerund.core.errors import UsageError
from gerund.heads import HEADS, Head, build_head, head_options, in_closed_form, loaded_head
from gerund.heads.learned.base import LearnedHead, TorchHead
from gerund.recognition.weights import array_bytes

pytestmark = pytest.mark.torch

B, T, D, K = 5, 7, 12, 3
LEARNED = [name for name in sorted(HEADS) if not in_closed_form(name)]


def some_tokens(seed):
    """Tokens (B, T, D) and valid (B, T), of clips of several lengths."""
    x = torch.randn(B, T, D, generator=torch.Generator().manual_seed(seed)).numpy()
    return x, np.arange(T) < np.array([7, 3, 1, 5, 7])[:, None]


def built(name, seed=0, options=None):
    return build_head(name, token_dim=D, num_classes=K, num_frames=T, options=options, seed=seed)


def with_weights(name, seed=0):
    """A head that answers something: one in closed form is solved for clips of its own."""
    head = built(name, seed)
    if head.in_closed_form:
        head.solve(*some_tokens(100 + seed), np.arange(B) % K, np.arange(B))
    return head


def module_of(name, options=None):
    """The module of a learned head, as training takes it, and in evaluation mode."""
    head = built(name, options=options)
    assert isinstance(head, LearnedHead)
    return head.module


def in_torch(tokens):
    return tuple(map(torch.from_numpy, tokens))


@pytest.fixture(params=sorted(HEADS))
def name(request):
    return request.param


@pytest.fixture
def head(name):
    return with_weights(name)


@pytest.fixture(params=LEARNED)
def module(request):
    return module_of(request.param)


@pytest.fixture
def tokens():
    return some_tokens(1)


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_every_head_shows_one_face(name, head):
    assert isinstance(head, Head)
    assert head.in_closed_form is in_closed_form(name)
    assert isinstance(head, LearnedHead) is not head.in_closed_form


def test_logits_have_one_value_per_class(head, tokens):
    logits = head(*tokens)
    assert logits.shape == (B, K)
    assert logits.dtype == np.float32
    assert len(np.unique(logits)) > K, "a head that says the same of everything would keep every promise"


def test_padding_does_not_change_logits(head, tokens):
    x, valid = tokens
    expected = head(x, valid)
    for filler in (0.0, 1e4, float("nan")):
        changed = np.where(valid[..., None], x, np.float32(filler))
        close(head(changed, valid), expected)


def test_a_row_alone_gives_the_logits_it_gives_in_a_batch(head, tokens):
    x, valid = tokens
    together = head(x, valid)
    alone = np.concatenate([head(x[row : row + 1], valid[row : row + 1]) for row in range(B)])
    close(alone, together)


def test_a_head_changes_nothing_that_it_is_given_and_answers_the_same_again(head, tokens):
    x, valid = tokens
    before = x.copy(), valid.copy()
    first, second = head(x, valid), head(x, valid)
    head.step_weights(x, valid)
    assert np.array_equal(first, second)
    assert np.array_equal(x, before[0])
    assert np.array_equal(valid, before[1])


def test_a_learned_head_answers_as_its_module_in_evaluation_does(module, tokens):
    head = LearnedHead(module.train())
    assert not module.training
    with torch.no_grad():
        close(head(*tokens), module(*in_torch(tokens)).numpy())


def test_every_parameter_gets_a_gradient(module, tokens):
    module.train()
    module(*in_torch(tokens)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    idle = {name for name, parameter in module.named_parameters() if not parameter.grad.abs().sum() > 0}
    assert not {name for name in idle if "weight" in name}  # a bias may be idle: softmax does not see what is added to all scores


def test_logits_are_not_probabilities(head, tokens):
    x, valid = tokens
    assert not np.allclose(head(3 * x, valid).sum(1), 1)


def test_step_weights_add_up_to_one_over_the_valid_steps(head, tokens):
    x, valid = tokens
    weights = head.step_weights(x, valid)
    assert weights.shape == (B, T)
    assert (weights >= 0).all()
    assert (weights[~valid] == 0).all()
    close(weights.sum(1), 1)


class Loudest(Head):
    """The greatest value over time of the first dimensions."""

    def __call__(self, x, valid):
        return np.where(valid[..., None], x, np.float32(-100)).max(1)[:, :K]

    def state(self):
        return {}

    def load(self, state):
        pass


class LoudestInTorch(TorchHead):
    def forward(self, x, valid):
        return torch.where(valid.unsqueeze(-1), x, -100.0).amax(1)[:, :K]


@pytest.mark.parametrize("kind", [Loudest, lambda: LearnedHead(LoudestInTorch())], ids=["numpy", "torch"])
def test_a_head_that_knows_no_step_weights_gives_most_to_the_step_that_decides(kind, tokens):
    x, valid = tokens
    x[0, 4, 1] = 50.0
    weights = kind().step_weights(x, valid)
    close(weights.sum(1), 1)
    assert weights[0, 4] > 0.99
    assert (weights[~valid] == 0).all()


def test_step_weights_are_how_far_leaving_out_a_step_moves_the_winning_logit(tokens):
    x, valid = tokens
    head = with_weights("prototype")
    weights = head.step_weights(x, valid)
    for row in range(B):
        steps = int(valid[row].sum())
        if steps == 1:
            assert weights[row].tolist() == [1.0] + [0.0] * (T - 1)  # a lone step cannot be left out
            continue
        clip = x[row : row + 1, :steps]
        logits = head(clip, np.ones((1, steps), bool))[0]
        left = [head(np.delete(clip, step, axis=1), np.ones((1, steps - 1), bool))[0] for step in range(steps)]
        moved = np.array([abs(logits - each)[logits.argmax()] for each in left])
        close(weights[row, :steps], moved / moved.sum(), atol=1e-3)


def test_only_heads_that_take_order_tell_a_clip_from_its_reverse(head, tokens):
    x, valid = tokens[0], np.ones((B, T), bool)
    same = np.allclose(head(x, valid), head(np.flip(x, 1).copy(), valid), atol=1e-5)
    assert same is not (head.module.takes_order if isinstance(head, LearnedHead) else True)


def test_saved_and_loaded_weights_reproduce_the_logits(name, head, tokens):
    if isinstance(head, LearnedHead):
        head.module.prepare(*in_torch(tokens))
    state = load(array_bytes(head.state()))
    other = with_weights(name, seed=99)
    assert not np.array_equal(other(*tokens), head(*tokens))
    other.load(state)
    assert np.array_equal(other(*tokens), head(*tokens))
    read = loaded_head(name, state, token_dim=D, num_classes=K, num_frames=T)
    assert np.array_equal(read(*tokens), head(*tokens))
    assert read.state().keys() == state.keys()
    assert all(np.array_equal(value, state[key]) for key, value in read.state().items())


def test_weights_that_are_not_the_heads_are_named(name, head):
    build = {"token_dim": D, "num_classes": K, "num_frames": T}
    state = head.state()
    for key, value in state.items():
        if value.size:
            others = {key: value[None]}, {key: value.astype(np.float16)}
            for wrong in (*(state | other for other in others), {each: state[each] for each in state if each != key}):
                with pytest.raises(ValueError, match=f"^{key}$"):
                    loaded_head(name, wrong, **build)
    with pytest.raises(ValueError, match=r"^one\.more$"):
        loaded_head(name, state | {"one.more": np.zeros(1, np.float32)}, **build)


def test_the_number_of_parameters_is_that_of_the_numbers_trained(name, head):
    if isinstance(head, LearnedHead):
        assert head.num_parameters == sum(each.numel() for each in head.module.parameters())
    state = head.state()
    known = sum(value.size for key, value in state.items() if not key.startswith("standardize.") and key not in head.optional)
    assert head.num_parameters == known > D


@pytest.mark.parametrize("name", LEARNED)
def test_the_seed_alone_gives_the_first_weights(name):
    torch.manual_seed(5)
    first = built(name, seed=3).state()
    torch.manual_seed(6)
    again, other = built(name, seed=3).state(), built(name, seed=4).state()
    assert all(np.array_equal(value, again[key]) for key, value in first.items())
    assert not all(np.array_equal(value, other[key]) for key, value in first.items())


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from gerund.core.errors import UsageError
from gerund.heads import build_head, head_options, in_closed_form, loaded_head

size = {"token_dim": 2, "num_classes": 2, "num_frames": 2}
for ask in (lambda name: build_head(name, **size), lambda name: loaded_head(name, {}, **size), lambda name: head_options(name, {})):
    for name in sys.argv[1:]:
        try:
            ask(name)
        except UsageError as error:
            print(error)
head = build_head("prototype", **size)
assert loaded_head("prototype", head.state(), **size).num_parameters == head.num_parameters
assert not any(map(in_closed_form, sys.argv[1:])) and in_closed_form("prototype")
"""


def test_without_torch_a_learned_head_says_how_to_get_it_and_the_closed_form_is_there():
    answer = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *LEARNED], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    expected = [f"head {name} is learned over epochs, which needs torch; pip install 'gerund[torch]'" for name in LEARNED]
    assert answer.stdout.splitlines() == 3 * expected


@pytest.mark.parametrize("pooling", ["max", "mean", "cls", "attention"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_every_form_of_the_transformer_ignores_padding(pooling, norm, tokens):
    options = {"pooling": pooling, "norm": norm, "width": 8, "layers": 2, "heads": 2, "key_size": 5}
    head = built("transformer", options=options)
    x, valid = tokens
    changed = np.where(valid[..., None], x, np.float32("nan"))
    close(head(changed, valid), head(x, valid))
    close(head.step_weights(x, valid).sum(1), 1)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("attention", [True, False])
def test_every_form_of_the_lstm_ignores_padding_also_in_training(norm, bidirectional, attention, tokens):
    options = {
        "latent": 6,
        "hidden": 5,
        "layers": 2,
        "norm": norm,
        "bidirectional": bidirectional,
        "attention": attention,
        "dropout": 0.0,
    }
    module = module_of("bilstm", options)
    x, valid = in_torch(tokens)
    for mode in (True, False):
        module.train(mode)
        changed = torch.where(valid.unsqueeze(-1), x, torch.tensor(float("nan")))
        torch.testing.assert_close(module(changed, valid), module(x, valid), rtol=0, atol=1e-5)
    close(LearnedHead(module).step_weights(*tokens).sum(1), 1)


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
    x, valid = in_torch(tokens)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        head.norm(head.project(x), valid), valid.sum(1), batch_first=True, enforce_sorted=False
    )
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True, total_length=T)
    torch.testing.assert_close(head.encode(x, valid)[valid], expected[valid], rtol=0, atol=1e-6)


def test_the_frame_head_averages_the_probabilities_of_single_frames(tokens):
    module = module_of("frame")
    x, valid = in_torch(tokens)
    by_hand = torch.stack([module.classify(x[row][valid[row]]).softmax(-1).mean(0) for row in range(B)])
    torch.testing.assert_close(module(x, valid).softmax(-1), by_hand)


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
    from gerund.heads.learned.base import Standardize

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
