"""The network: hidden layers and a head, their weights and their modes."""

import io
from math import erf, sqrt

import by_hand
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from hierclf.classifiers._batches import _csr_rows
from hierclf.hierarchy import Hierarchy
from hierclf.nn import FlatSoftmax, HierarchicalSoftmax, HierarchyNetwork
from hierclf.nn.network import ACTIVATIONS

HEADS = [HierarchicalSoftmax, FlatSoftmax]
TREE = by_hand.RAGGED


def normal_cdf(z):
    return (1 + erf(z / sqrt(2))) / 2


NUMPY_ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "gelu": lambda z: z * np.vectorize(normal_cdf)(z),
}


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"activation": "step"}, "activation must be 'identity', .* or 'gelu', got 'step'"),
    ],
)
def test_options_are_one_of_a_few_words(option, message):
    for sizes in ((), (4,)):
        with pytest.raises(ValueError, match=message):
            HierarchyNetwork(3, TREE, hidden_layer_sizes=sizes, **option)


# -- what it computes


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(), (6,), (6, 4)], ids=str)
def test_hidden_layers_then_a_softmax(head, activation, sizes):
    rng = np.random.default_rng(0)
    network = HierarchyNetwork(
        5, TREE, head=head, hidden_layer_sizes=sizes, activation=activation, dtype=torch.float64
    )
    by_hand.fill(network, rng)
    x = by_hand.rows(rng, 4, 5)
    target = torch.from_numpy(rng.choice(TREE.leaf_indices, 4))

    state = x.numpy()
    parameters = [p.detach().numpy() for p in network.parameters()]
    for i, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
        state = state @ (weight if i == 0 else weight.T) + bias  # features are rows of the first
        if i < len(sizes):
            state = NUMPY_ACTIVATIONS[activation](state)
    names, work_out = {
        HierarchicalSoftmax: (TREE.nodes, by_hand.node_log_proba),
        FlatSoftmax: (TREE.leaves, by_hand.flat_log_proba),
    }[head]
    expected = [work_out(TREE, dict(zip(names, row, strict=True))) for row in state.tolist()]

    with torch.no_grad():
        np.testing.assert_allclose(
            network(x), by_hand.table(TREE, expected), rtol=1e-10, atol=1e-13
        )
        np.testing.assert_allclose(
            network.leaf_log_proba(x),
            by_hand.table(TREE, expected, TREE.leaves),
            rtol=1e-10,
            atol=1e-13,
        )
        np.testing.assert_allclose(
            network.head.path_log_proba(network.last_hidden(x), target).sum(dim=1),
            [row[TREE.nodes[i]] for row, i in zip(expected, target, strict=True)],
            rtol=1e-10,
            atol=1e-13,
        )


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("sizes", [(), (6,)], ids=str)
def test_whichever_layer_comes_first_reads_sparse_rows(head, sizes):
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((4, 5)) * (rng.random((4, 5)) < 0.4)
    network = HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=sizes, dtype=torch.float64)
    sparse = _csr_rows(sp.csr_array(dense), with_transpose=True)
    target = torch.from_numpy(rng.choice(TREE.leaf_indices, 4))
    torch.testing.assert_close(network(sparse), network(torch.from_numpy(dense)))

    def loss(x):
        return -network.head.path_log_proba(network.last_hidden(x), target).sum()

    loss(sparse).backward()
    grads = [parameter.grad for parameter in network.parameters()]
    assert [grad.is_sparse for grad in grads] == [True] + [False] * (len(grads) - 1)
    found = [grad.to_dense() for grad in grads]
    network.zero_grad()
    loss(torch.from_numpy(dense)).backward()
    for grad, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(grad, parameter.grad)


# -- the first weights


def test_heads_share_the_hidden_layers():
    one, other = (
        HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=(6, 4), seed=3) for head in HEADS
    )
    hidden = weights(one.hidden)
    assert len(hidden) == 4
    for name, value in weights(other.hidden).items():
        assert torch.equal(value, hidden[name])


@pytest.mark.parametrize("head", HEADS)
def test_the_seed_alone_decides_the_weights(head):
    def build(seed):
        return weights(HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=(6,), seed=seed))

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = build(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    again, other = build(1), build(2)
    for name, value in first.items():
        assert torch.equal(again[name], value)
        assert not torch.equal(other[name], value)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_first_weights_fill_the_range_of_the_fan_in(head, dtype):
    network = HierarchyNetwork(
        400, TREE, head=head, hidden_layer_sizes=(100, 25), dtype=dtype, seed=0
    )
    parameters = list(network.parameters())
    for fan_in, weight, bias in zip((400, 100, 25), parameters[::2], parameters[1::2], strict=True):
        assert weight.dtype == bias.dtype == dtype
        assert 0.99 < weight.abs().max() * fan_in**0.5 <= 1
        assert 0.5 < bias.abs().max() * fan_in**0.5 <= 1


@pytest.mark.parametrize("head", HEADS)
def test_layers_of_one_shape_get_weights_of_their_own(head):
    tree = Hierarchy.flat(range(5))
    network = HierarchyNetwork(5, tree, head=head, hidden_layer_sizes=(5, 5))
    first, second, third = list(network.parameters())[::2]
    for one, other in ((first, second), (first, third), (second, third)):
        assert not set(one.flatten().tolist()) & set(other.flatten().tolist())


# -- what it holds


@pytest.mark.parametrize("head", HEADS)
def test_a_state_dict_holds_the_weights_alone(head):
    network = HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=(6,))
    assert set(network.state_dict()) == {
        "hidden.0.weight",
        "hidden.0.bias",
        "head.linear.weight",
        "head.linear.bias",
    }
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=(6,), seed=9)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(other(x), network(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), network(x))


@pytest.mark.parametrize("head", HEADS)
def test_all_that_the_forward_pass_needs_moves_with_it(head):
    network = HierarchyNetwork(5, TREE, head=head, hidden_layer_sizes=(6,)).to(device="meta")
    x = torch.empty(3, 5, device="meta")
    assert network(x).device.type == "meta"
    assert network.leaf_log_proba(x).device.type == "meta"
    assert {buffer.device.type for buffer in network.buffers()} == {"meta"}


# -- dropout


@pytest.mark.parametrize("sizes", [(500,), (8, 500)], ids=str)
def test_dropout_is_for_training_alone(sizes):
    def build(dropout):
        return HierarchyNetwork(
            5, TREE, hidden_layer_sizes=sizes, activation="logistic", dropout=dropout
        )

    plain, network = build(0.0), build(0.25)
    x = torch.ones(40, 5)
    assert torch.equal(network.eval()(x), plain(x))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hidden = network.train().hidden(x)
        assert not torch.equal(network(x), network(x))
    # Of 20,000 units a quarter is dropped, and the rest scaled up to make good for it.
    assert (hidden == 0).double().mean().item() == pytest.approx(0.25, abs=0.02)
    if len(sizes) == 1:
        expected = torch.where(hidden == 0, 0.0, plain.hidden(x) / 0.75)
        torch.testing.assert_close(hidden, expected)
    plain.train()
    assert torch.equal(plain(x), plain(x))
