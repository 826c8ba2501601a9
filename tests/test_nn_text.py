"""Networks that read texts, against torch's own modules run on each text alone."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hierclf.nn import ConvGRU, LazyAdamW, RecurrentEncoder, TransformerText, WordEmbedding
from hierclf.nn.text import RaggedRNN, token_lengths

N_IDS, DIMENSION, HIDDEN = 9, 4, 3
# One word, a row without a word, the unknown word, a 0 between words, and a full row.
IDS = torch.tensor(
    [
        [5, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [2, 1, 3, 0, 0, 0],
        [4, 0, 2, 7, 0, 0],
        [8, 7, 6, 5, 4, 3],
        [3, 3, 0, 0, 0, 0],
    ],
    dtype=torch.int32,
)
ROWS = [[5], [0], [2, 1, 3], [4, 0, 2, 7], [8, 7, 6, 5, 4, 3], [3, 3]]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def word_embedding(**params):
    weight = torch.randn(N_IDS, DIMENSION, generator=generator(), dtype=torch.float64)
    return WordEmbedding(weight, **params)


def recurrent(seed=0, **params):
    return RecurrentEncoder(word_embedding(), HIDDEN, generator=generator(seed), **params)


def conv_gru(seed=0, **params):
    params = {"n_filters": 5, "embedding_dropout": 0.0, "dropout": 0.0, **params}
    return ConvGRU(word_embedding(), HIDDEN, generator=generator(seed), **params)


ENCODERS = {
    "lstm": recurrent,
    "gru, 2 layers": lambda seed=0: recurrent(seed, cell="gru", num_layers=2),
    "conv": conv_gru,
}
ALL = pytest.mark.parametrize("build", ENCODERS.values(), ids=ENCODERS)


# -- words


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=9))
def test_token_lengths(rows):
    def length(row):
        while len(row) > 1 and row[-1] == 0:
            row = row[:-1]
        return len(row)

    for dtype in (torch.int32, torch.int64):
        assert token_lengths(torch.tensor(rows, dtype=dtype)).tolist() == [*map(length, rows)]


def test_word_embedding_is_a_table():
    embedding = word_embedding()
    weight = torch.randn(N_IDS, DIMENSION, generator=generator(), dtype=torch.float64).tolist()
    weight[0] = [0.0] * DIMENSION
    assert embedding(torch.tensor([[3, 0], [8, 1]])).tolist() == [
        [weight[3], weight[0]],
        [weight[8], weight[1]],
    ]
    # too large: the unknown word
    for ids in ([[9, 1000]], [[2**31 - 1, 9]]):
        assert embedding(torch.tensor(ids)).tolist() == [[weight[1], weight[1]]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_a_word_that_is_not_known_is_unknown_until_training_has_read_it(dtype):
    known = torch.tensor([i not in (4, 6) for i in range(N_IDS)])
    embedding = word_embedding(known=known)
    weight, ids = embedding.weight.detach(), torch.tensor([[3, 4, 6, 9, 0]], dtype=dtype)

    def read():
        return [[row.tolist() for row in weight].index(v.tolist()) for v in embedding(ids)[0]]

    embedding.eval()
    assert read() == [3, 1, 1, 1, 0]
    with torch.no_grad():  # dropout alone, perhaps, but no training
        embedding.train()(ids)
    embedding.eval()
    assert read() == [3, 1, 1, 1, 0]
    embedding.train()(torch.tensor([[2, 6]], dtype=dtype))
    embedding.eval()
    assert read() == [3, 1, 6, 1, 0]
    again = word_embedding(known=torch.ones(N_IDS, dtype=bool))
    again.load_state_dict(embedding.state_dict())
    assert again.known.tolist() == [i != 4 for i in range(N_IDS)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RaggedRNN("rnn", 3, 2), "cell must be 'lstm' or 'gru', got 'rnn'"),
        (lambda: recurrent(cell="LSTM"), "cell must be 'lstm' or 'gru', got 'LSTM'"),
        *(
            (partial(build, precision="bf16"), "precision must be 'float32' or 'bfloat16', got")
            for build in (recurrent, conv_gru, lambda **p: TransformerText(nn.Identity(), **p))
        ),
        (lambda: TransformerText(nn.Identity(), "max"), "pooling must be 'mean' or 'cls', got"),
    ],
)
def test_refuses_words_that_are_no_options(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("sparse", [False, True])
def test_the_padding_stays_zero_in_training(sparse):
    embedding = word_embedding()
    assert embedding.sparse_grad is False
    embedding.sparse_grad = sparse
    start = embedding.weight.detach().clone()
    optimizer = LazyAdamW(embedding.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        embedding(torch.tensor([[2, 1, 0], [2, 20, 0]])).pow(2).sum().backward()
        assert embedding.weight.grad.is_sparse == sparse
        optimizer.step()
    weight = embedding.weight.detach()
    assert weight[0].tolist() == [0.0] * DIMENSION
    assert (weight != start).any(dim=1).tolist() == [False, True, True] + [False] * 6


def test_word_vectors_that_are_not_trainable():
    embedding = word_embedding(trainable=False)
    assert not embedding.weight.requires_grad
    assert torch.equal(embedding(IDS), word_embedding()(IDS))


@ALL
def test_a_sparse_gradient_equals_the_dense_one(build):
    grads = []
    for sparse in (False, True):
        network = build()
        network.embedding.sparse_grad = sparse
        network(IDS).pow(2).sum().backward()
        assert network.embedding.weight.grad.is_sparse == sparse
        grads.append([p.grad.to_dense() if p.grad.is_sparse else p.grad
                      for p in network.parameters()])  # fmt: skip
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)
    assert grads[0][0].any(dim=1).tolist() == [False] + [True] * 8


# -- what they compute


def torch_s_own(network):
    """Return torch's module with the layers and directions of a RaggedRNN and its weights."""
    (first, *_), *others = network.layers
    with torch.random.fork_rng(devices=[]):  # it draws weights, which are then replaced
        plain = type(first)(
            first.input_size,
            first.hidden_size,
            num_layers=1 + len(others),
            bidirectional=len(network.layers[0]) == 2,
            batch_first=True,
            dtype=first.weight_ih_l0.dtype,
        )
    weights = {
        name.replace("l0", f"l{i}") + ("_reverse" if direction else ""): value
        for i, directions in enumerate(network.layers)
        for direction, module in enumerate(directions)
        for name, value in module.state_dict().items()
    }
    plain.load_state_dict(weights)
    return plain


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_recurrent_encoder_is_torch_s_on_each_text_alone(cell, bidirectional, num_layers):
    params = {"bidirectional": bidirectional, "num_layers": num_layers}
    network = recurrent(cell=cell, **params)
    plain = torch_s_own(network.recurrent)
    assert isinstance(plain, {"lstm": nn.LSTM, "gru": nn.GRU}[cell])
    expected = []
    for row in ROWS:
        states, _ = plain(network.embedding.weight[row].unsqueeze(0))
        # Forwards the last state is that of the last word, backwards that of the first.
        ends = [states[0, -1, :HIDDEN], states[0, 0, HIDDEN:]]
        expected.append(torch.cat(ends))
    torch.testing.assert_close(network(IDS), torch.stack(expected), rtol=1e-10, atol=1e-12)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(1, 2), st.booleans())
@settings(deadline=None, max_examples=30)
def test_ragged_rnn_is_torch_s_over_packed_rows(lengths, num_layers, bidirectional):
    params = {"num_layers": num_layers, "bidirectional": bidirectional, "dtype": torch.float64}
    network = RaggedRNN("lstm", 3, 2, generator=generator(), **params)
    plain = torch_s_own(network)
    x = torch.randn(len(lengths), max(lengths), 3, generator=generator(1), dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    states, last = network(ours, torch.tensor(lengths))
    packed = pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False)
    packed, (expected_last, _) = plain(packed)
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    is_word = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    torch.testing.assert_close(states[is_word], expected[is_word], rtol=1e-10, atol=1e-12)
    expected_last = torch.cat(tuple(expected_last[-(1 + bidirectional) :]), dim=1)
    torch.testing.assert_close(last, expected_last, rtol=1e-10, atol=1e-12)
    for result in (states[is_word].square().sum() + last.sum(),
                   expected[is_word].square().sum() + expected_last.sum()):  # fmt: skip
        result.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-9, atol=1e-12)


def conv_gru_by_hand(network, row, dropout=(0.0, 0.0)):
    embedded = F.dropout(network.embedding.weight[row].unsqueeze(0), dropout[0])
    states, _ = torch_s_own(network.recurrent)(embedded)
    states = F.dropout(states, dropout[1]).transpose(1, 2)
    found = []
    for layer in network.convolutions:
        width = layer.weight.shape[2]
        values = F.conv1d(states, layer.weight, layer.bias, padding=width // 2)
        found.append(values[0].relu().max(dim=1).values)
    return torch.cat(found)


@pytest.mark.parametrize("kernel_sizes", [(2, 3, 4), (1,), (4,), (5, 8)], ids=str)
def test_conv_gru_is_its_parts_on_each_text_alone(kernel_sizes):
    network = conv_gru(kernel_sizes=kernel_sizes)
    # A filter may be positive only where the padding begins.
    for layer in network.convolutions:
        layer.weight.data *= 5
    expected = torch.stack([conv_gru_by_hand(network, row) for row in ROWS])
    assert (expected == 0).any()
    torch.testing.assert_close(network(IDS), expected, rtol=1e-10, atol=1e-12)


@ALL
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_more_padding_changes_nothing(build, dtype):
    network = build()
    alone = torch.cat([network(torch.tensor([row], dtype=dtype)) for row in ROWS])
    for more in (0, 1, 7):
        wider = F.pad(IDS.to(dtype), (0, more))
        torch.testing.assert_close(network(wider), alone, rtol=1e-10, atol=1e-13)


@ALL
def test_words_without_a_vector_are_unknown(build):
    network = build()
    ids = torch.tensor([[2, 9, 3], [99, 2, 0]])
    assert torch.equal(network(ids), network(torch.tensor([[2, 1, 3], [1, 2, 0]])))


# -- the first weights


@ALL
def test_the_seed_alone_decides_the_weights(build):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = build(1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    again, other = build(1).state_dict(), build(2).state_dict()
    for name, value in first.items():
        assert torch.equal(again[name], value)
        assert torch.equal(other[name], value) == (name == "embedding.weight")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_weights_fill_the_range_that_torch_draws_from(dtype):
    embedding = WordEmbedding(torch.ones(2, 30, dtype=dtype))
    for network, own in [
        (RecurrentEncoder(embedding, 25, num_layers=2), nn.LSTM(30, 25, 2, bidirectional=True)),
        (ConvGRU(embedding, 25, n_filters=40), nn.GRU(30, 25, bidirectional=True)),
    ]:
        drawn = [p for name, p in network.named_parameters() if not name.startswith("embedding")]
        assert {p.dtype for p in drawn} == {dtype}
        shapes = {name: p.shape for name, p in own.named_parameters()}
        ours = torch_s_own(network.recurrent).named_parameters()
        assert {name: p.shape for name, p in ours} == shapes
        for parameter in network.recurrent.parameters():
            assert 0.9 < parameter.abs().max() * 25**0.5 <= 1
            assert parameter.std().item() == pytest.approx(25**-0.5 / 3**0.5, rel=0.25)
        for layer in getattr(network, "convolutions", []):
            bound = (layer.weight.shape[1] * layer.weight.shape[2]) ** -0.5
            assert 0.99 < layer.weight.abs().max() / bound <= 1
            assert 0.8 < layer.bias.abs().max() / bound <= 1


# -- dropout


def test_dropout_of_the_last_states_is_for_training_alone():
    network = RecurrentEncoder(word_embedding(), 500, dropout=0.25, generator=generator())
    plain = RecurrentEncoder(word_embedding(), 500, generator=generator())
    expected = plain.train()(IDS)
    assert torch.equal(network.eval()(IDS), expected)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = network.train()(IDS)
    is_zero = dropped == 0
    assert is_zero.double().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(dropped, torch.where(is_zero, 0.0, expected / 0.75))


def test_dropout_between_layers_is_for_training_alone():
    first, second = RaggedRNN("lstm", 3, 40), RaggedRNN("lstm", 3, 40, num_layers=2, dropout=0.25)
    second.layers[0].load_state_dict(first.layers[0].state_dict())
    x, lengths = torch.randn(2, 5, 3, generator=generator()), torch.tensor([5, 3])
    between, _ = first(x, lengths)
    seen = []
    second.layers[1][0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    second.eval()(x, lengths)
    torch.testing.assert_close(seen[0], between)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        second.train()(x, lengths)
    is_zero = seen[1] == 0
    assert is_zero.double().mean().item() == pytest.approx(0.25, abs=0.06)
    torch.testing.assert_close(seen[1], torch.where(is_zero, 0.0, between / 0.75))


def test_dropout_of_words_and_states_is_for_training_alone():
    network = conv_gru(embedding_dropout=0.5, dropout=0.25)
    ids = torch.tensor([[8, 7, 6, 5, 4, 3]])
    assert torch.equal(network.eval()(ids), conv_gru()(ids))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dropped = network.train()(ids)
        torch.manual_seed(0)
        expected = conv_gru_by_hand(network, ids[0].tolist(), dropout=(0.5, 0.25))
    torch.testing.assert_close(dropped[0], expected, rtol=1e-10, atol=1e-12)
    assert not torch.equal(dropped, network.eval()(ids))


# -- transformers


@pytest.fixture(scope="module")
def bert():
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=12,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.BertModel(config).double().eval()


# Ids of the tokenizer: 0 is a token like others here, and no padding.
TOKENS = [[2, 5, 7, 3], [2, 3], [0], [2, 0, 0, 11, 0, 3], [4, 0]]


def shifted(rows, more=0):
    width = max(map(len, rows)) + more
    return torch.tensor([[i + 1 for i in row] + [0] * (width - len(row)) for row in rows])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_transformer_text_pools_the_states_of_each_text_alone(bert, pooling, dtype):
    with torch.no_grad():
        states = [bert(input_ids=torch.tensor([row])).last_hidden_state[0] for row in TOKENS]
        expected = torch.stack([s[0] if pooling == "cls" else s.mean(dim=0) for s in states])
        network = TransformerText(bert, pooling)
        for more in (0, 1, 5):
            found = network(shifted(TOKENS, more).to(dtype))
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_transformer_text_reads_no_words_as_a_finite_vector(bert):
    # A tokenizer without special tokens makes no token of an empty text.
    with torch.no_grad():
        found = TransformerText(bert)(torch.tensor([[0, 0, 0], [3, 6, 0]]))
        torch.testing.assert_close(found[1:], TransformerText(bert)(torch.tensor([[3, 6]])))
    assert found[0].tolist() == [0.0] * 16


def test_sparse_gradient_of_a_transformer_equals_the_dense_one(bert):
    grads = []
    for sparse in (False, True):
        network = TransformerText(copy.deepcopy(bert))
        assert network.sparse_grad is False
        network.sparse_grad = sparse
        assert network.sparse_grad is sparse
        network(shifted(TOKENS)).pow(2).sum().backward()
        weight = network.model.embeddings.word_embeddings.weight
        assert weight.grad.is_sparse == sparse
        grads.append(weight.grad.to_dense())
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("build", [RecurrentEncoder, ConvGRU])
def test_a_lower_precision_gives_about_the_same(build):
    ids = torch.tensor([[3, 4, 5, 2], [2, 6, 0, 0]])
    weight = torch.linspace(-1, 1, 7 * 6).reshape(7, 6)

    def encode(precision):
        generator = torch.Generator().manual_seed(0)
        embedding = WordEmbedding(weight.clone())
        return build(embedding, 4, precision=precision, generator=generator).eval()(ids)

    exact, lower = encode("float32"), encode("bfloat16")
    assert lower.dtype == torch.float32
    torch.testing.assert_close(lower, exact, rtol=0.05, atol=0.02)
    assert not torch.equal(lower, exact)
