"""Layers over the graph of labels: against dense matrices, and against recursion."""

import math
import pickle
from copy import deepcopy

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy
from hierclf.nn._logits import mean_logit
from hierclf.nn.dropout import drawing_from
from hierclf.nn.label_graph import HierarchyGCN, HierarchyTreeLSTM, edge_priors

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None)
hierarchies = st.one_of(trees(), dags())


def edges_of(hierarchy):
    """The edges between nodes as pairs of positions, in the order of `hierarchy.edges`."""
    position = {node: i for i, node in enumerate(hierarchy.nodes)}
    return [(position[p], position[c]) for p, c in hierarchy.edges if p in position]


def layer_of(kind, hierarchy, rng, size=4, **options):
    prior = rng.random(len(edges_of(hierarchy)))
    layer = kind(hierarchy, size, prior=prior, dtype=torch.float64, **options)
    return by_hand.fill(layer, rng).eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@given(hierarchies, seeds)
@quick
def test_gcn_is_the_product_of_masked_matrices(hierarchy, seed):
    rng = np.random.default_rng(seed)
    n, d = len(hierarchy), 4
    layer = layer_of(HierarchyGCN, hierarchy, rng)
    features = by_hand.rows(rng, 3, n, d)
    own = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    into_parent, into_child = np.zeros((n, n)), np.zeros((n, n))
    for e, (p, c) in enumerate(edges_of(hierarchy)):
        into_parent[p, c], into_child[c, p] = own["upward"][e], own["downward"][e]
    h = features.numpy()
    expected = np.empty_like(h)
    for b in range(3):
        up = into_parent @ h[b] + own["bias"][0]
        down = into_child @ h[b] + own["bias"][1]
        g, g_down, g_loop = (h[b] @ own["gate"][i] for i in range(3))
        terms = (
            up * sigmoid(g + own["gate_bias"][0])[:, None]
            + down * sigmoid(g_down + own["gate_bias"][1])[:, None]
            + h[b] * sigmoid(g_loop)[:, None]
        )
        expected[b] = np.maximum(terms, 0)
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, atol=1e-12)


@given(hierarchies, seeds)
@quick
def test_tree_lstm_is_that_of_recursion(hierarchy, seed):
    rng = np.random.default_rng(seed)
    n, d, m = len(hierarchy), 6, 3
    layer = layer_of(HierarchyTreeLSTM, hierarchy, rng, d)
    features = by_hand.rows(rng, 2, n, d)
    edges = edges_of(hierarchy)

    def state(cell, x, node, into):
        own = {name: value.detach().numpy() for name, value in cell.named_parameters()}
        w, b, u = own["gates.weight"], own["gates.bias"], own["recurrent"]
        read = [(own["weight"][e], *state(cell, x, other, into)) for e, other in into[node]]
        h_sum = sum((a * h for a, h, _ in read), np.zeros(m))
        gates = w @ x[node] + b
        i, o = (sigmoid(gates[s] + u[s] @ h_sum) for s in (slice(m), slice(m, 2 * m)))
        new = np.tanh(gates[2 * m : 3 * m] + u[2 * m : 3 * m] @ h_sum)
        c = i * new
        for a, h, c_other in read:
            c = c + sigmoid(gates[3 * m :] + u[3 * m :] @ (a * h)) * (a * c_other)
        return o * np.tanh(c), c

    below = {i: [(e, c) for e, (p, c) in enumerate(edges) if p == i] for i in range(n)}
    above = {i: [(e, p) for e, (p, c) in enumerate(edges) if c == i] for i in range(n)}
    x = features.numpy()
    expected = [
        [
            np.concatenate(
                [state(layer.up, x[b], i, below)[0], state(layer.down, x[b], i, above)[0]]
            )
            for i in range(n)
        ]
        for b in range(2)
    ]
    np.testing.assert_allclose(layer(features).detach().numpy(), expected, atol=1e-12)


def test_downward_messages_carry_the_prior_of_their_own_edge():
    """The reference code reads the prior of [child][parent] as [parent][child], which is 0."""
    tree = Hierarchy.from_dict({"root": ["a"], "a": ["b", "c"]})
    prior = edge_priors(tree, [10, 7, 3])
    assert prior.tolist() == [0.7, 0.3]
    layer = HierarchyTreeLSTM(tree, 4, prior=prior, dtype=torch.float64)
    assert layer.down.weight.tolist() == [0.7, 0.3]
    assert layer.up.weight.tolist() == [1.0, 1.0]
    gcn = HierarchyGCN(tree, 4, prior=prior, dtype=torch.float64)
    assert gcn.downward.tolist() == [0.7, 0.3]
    assert gcn.upward.tolist() == [1.0, 1.0]
    features = torch.zeros(1, 3, 4, dtype=torch.float64)
    moved = features.clone()
    moved[0, 0] = 1.0  # the parent alone
    difference = (layer(moved) - layer(features)).abs().sum(dim=2)[0]
    assert (difference[1:] > 1e-4).all()
    assert difference[1] > difference[2]  # of which more comes to the likelier child


def test_everything_is_initialised_from_the_generator():
    """The reference code leaves a bias of the gates as memory was."""
    tree = by_hand.RAGGED
    prior = edge_priors(tree, np.ones(len(tree)))
    for kind in (HierarchyGCN, HierarchyTreeLSTM):
        state = torch.get_rng_state()
        one, same, other = (
            kind(tree, 6, prior=prior, generator=torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        )
        assert torch.equal(torch.get_rng_state(), state)
        for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        assert any(
            not torch.equal(a, b)
            for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )
    gcn = HierarchyGCN(tree, 6, prior=prior)
    assert not gcn.gate_bias.any()
    assert not gcn.bias.any()
    assert gcn.gate.abs().max() <= math.sqrt(6 / 7)


@pytest.mark.parametrize("kind", [HierarchyGCN, HierarchyTreeLSTM])
def test_number_of_parameters(kind):
    tree = by_hand.RAGGED
    n, d = len(tree), 6
    edges = n - 3  # all nodes but the three at the top have a parent that is a node
    layer = kind(tree, d, prior=np.ones(edges))
    expected = {
        HierarchyGCN: 2 * edges + 2 * n * d + 3 * d + 2 * n,
        HierarchyTreeLSTM: 6 * d * d + 4 * d + 2 * edges,
    }[kind]
    assert sum(p.numel() for p in layer.parameters()) == expected


@pytest.mark.parametrize("kind", [HierarchyGCN, HierarchyTreeLSTM])
@pytest.mark.parametrize(
    "edges",
    [
        [("r", "a")],
        [("r", "a"), ("r", "b")],
        [("r", "a"), ("a", "b"), ("b", "c"), ("c", "d")],
        [("r", "a"), ("a", "b"), ("a", "c"), ("b", "c"), ("c", "d"), ("a", "d")],
    ],
    ids=["one node", "no edges", "chain", "dag"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_hierarchies_train_copy_and_pickle(kind, edges, dtype):
    hierarchy = Hierarchy(edges)
    prior = edge_priors(hierarchy, np.ones(len(hierarchy)))
    layer = kind(hierarchy, 4, prior=prior, dtype=dtype)
    features = torch.ones(2, len(hierarchy), 4, dtype=dtype)
    out = layer(features)
    assert out.dtype == dtype
    out.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)
    layer.eval()
    for again in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(features), layer(features))


def test_dropout_draws_from_the_generator_that_is_lent():
    tree = by_hand.RAGGED
    layer = HierarchyGCN(tree, 4, prior=np.ones(len(tree) - 3), dropout=0.5)
    features = torch.ones(2, len(tree), 4)
    outs = []
    for _ in range(2):
        with drawing_from(torch.Generator().manual_seed(3), layer):
            outs.append(layer(features))
    assert torch.equal(*outs)
    assert not torch.equal(outs[0], layer.eval()(features))


def test_priors_by_hand():
    # Of 10 with "a", 4 have "c" and 8 have "d"; nobody has "b" or what is below it. "d" has two
    # parents, and is with each of them whenever it is there.
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("a", "d"), ("b", "d"), ("b", "e")])
    counts = {"a": 10, "b": 8, "c": 4, "d": 8, "e": 0}
    given = [counts[node] for node in dag.nodes]
    names = [(dag.nodes[p], dag.nodes[c]) for p, c in edges_of(dag)]
    sibling = dict(zip(names, edge_priors(dag, given), strict=True))
    conditional = dict(zip(names, edge_priors(dag, given, "conditional"), strict=True))
    assert sibling == {("a", "c"): 4 / 12, ("a", "d"): 8 / 12, ("b", "d"): 1.0, ("b", "e"): 0.0}
    assert conditional == {("a", "c"): 0.4, ("a", "d"): 0.8, ("b", "d"): 1.0, ("b", "e"): 0.0}
    for prior in ("sibling", "conditional"):
        assert set(edge_priors(dag, np.zeros(5), prior)) == {0.5}
    with pytest.raises(ValueError, match="prior must be 'sibling' or 'conditional', got 'none'"):
        edge_priors(dag, given, "none")


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match=r"node_dim must be even.*got 3"):
        HierarchyTreeLSTM(Hierarchy.flat(["a", "b"]), 3, prior=[])


def test_mean_of_probabilities_on_the_scale_of_logits():
    logits = torch.tensor([[-2.0, 3.0], [0.5, 1.0]], dtype=torch.float64)
    weight = torch.tensor([0.25, 0.75], dtype=torch.float64)
    p = 1 / (1 + np.exp(-logits.numpy())) @ weight.numpy()
    np.testing.assert_allclose(
        mean_logit(logits, weight.log(), 1).numpy(), np.log(p / (1 - p)), rtol=1e-12
    )
    # Nothing is rounded to 0 or 1, and what has no weight gets no gradient.
    far = torch.tensor([500.0, 500.0, -7.0], requires_grad=True)
    mean = mean_logit(far, torch.tensor([0.5, 0.5, 0.0]).log(), 0)
    mean.backward()
    assert mean.item() == pytest.approx(500)
    assert far.grad.tolist() == pytest.approx([0.5, 0.5, 0.0], rel=1e-5)
