"""A head over a hierarchy that has grown: each row against one found by its name."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hierclf.hierarchy import Hierarchy
from hierclf.nn import (
    DAGSoftmax,
    FeatureLinear,
    FlatSoftmax,
    HierarchicalSoftmax,
    HierarchyNetwork,
    LazyAdamW,
    LeanAdamW,
)
from hierclf.nn.growth import grow

BEFORE = Hierarchy.from_dict({"root": ["a", "b", "c"], "a": ["a1", "a2"], "b": ["b1", "b2", "b3"]})
AFTER = {
    "more siblings": {
        "root": ["a", "b", "c"], "a": ["a0", "a1", "a2", "a9"], "b": ["b1", "b2", "b3"],
    },
    "a leaf gets children": {
        "root": ["a", "b", "c"],
        "a": ["a1", "a2"],
        "b": ["b1", "b2", "b3"],
        "c": ["c1", "c2"],
        "a2": ["a21"],
    },
    "a new branch": {
        "root": ["0", "a", "b", "c"],
        "0": ["01", "02"],
        "a": ["a1", "a2"],
        "b": ["b1", "b2", "b3"],
    },
    "moved": {"root": ["a", "b", "c"], "a": ["a1", "b3"], "b": ["a2", "b1", "b2"]},
    "a node between": {
        "root": ["up", "c"], "up": ["a", "b"], "a": ["a1", "a2"], "b": ["b1", "b2", "b3"],
    },
    "taken away": {"root": ["a", "b"], "a": ["a1", "a2"], "b": ["b1", "b3"]},
    "another parent": [
        ("root", "a"), ("root", "b"), ("root", "c"), ("a", "a1"), ("a", "a2"), ("a", "b1"),
        ("b", "b1"), ("b", "b2"), ("b", "b3"), ("b", "new"),
    ],
}  # fmt: skip


def hierarchy(edges):
    return Hierarchy.from_dict(edges) if isinstance(edges, dict) else Hierarchy(edges)


def by_edge(before, after, rows):
    """Find the row of each edge, one name at a time."""
    old = {edge: rows[i] for i, edge in enumerate(before.edges)}
    known = {}
    for parent, child in after.edges:
        into = [row for (_, node), row in old.items() if node == child]
        if (parent, child) in old:
            known[parent, child] = old[parent, child]
        elif into:
            known[parent, child] = np.mean(into, axis=0)
    new = []
    for parent, child in after.edges:
        siblings = [known[e] for e in after.edges if e[0] == parent and e in known]
        default = np.mean(siblings, axis=0) if siblings else np.zeros_like(rows[0])
        new.append(known.get((parent, child), default))
    return np.stack(new)


def by_leaf(before, after, rows):
    """Find the row of each leaf of a tree, one name at a time."""
    old = dict(zip(before.leaves, rows, strict=True))
    new = []
    for leaf in after.leaves:
        row = old.get(leaf)
        above = leaf
        while row is None:
            (above,) = after.parents(above)
            below = after.leaves if above == after.root else after.descendants(above)
            found = [old[node] for node in below if node in after.leaves and node in old]
            if above in old:
                row = old[above]
            elif found or above == after.root:
                row = np.mean(found, axis=0)
        new.append(row)
    return np.stack(new)


def network(head, tree, hidden=(), n_features=3):
    return HierarchyNetwork(
        n_features, tree, head=head, hidden_layer_sizes=hidden, dtype=torch.float64, seed=1
    )


def weights(net):
    """Return the weights of the head, one row for each of its outputs, the bias at the end."""
    linear = net.head.linear
    weight = linear.weight.t() if isinstance(linear, FeatureLinear) else linear.weight
    return torch.cat([weight, linear.bias.unsqueeze(1)], dim=1).detach().numpy()


@pytest.mark.parametrize("hidden", [(), (4,)])
@pytest.mark.parametrize("name", AFTER)
def test_rows_are_found_by_name(name, hidden):
    after = hierarchy(AFTER[name])
    heads = [(HierarchicalSoftmax, HierarchicalSoftmax), (FlatSoftmax, FlatSoftmax)]
    if not after.is_tree:
        heads = [(HierarchicalSoftmax, DAGSoftmax)]
    for head, grown in heads:
        net = network(head, BEFORE, hidden)
        before = weights(net)
        inner = copy.deepcopy(net.hidden.state_dict())
        expected = (by_leaf if head is FlatSoftmax else by_edge)(BEFORE, after, before)
        grow(net, grown, BEFORE, after)
        assert type(net.head) is grown
        np.testing.assert_allclose(weights(net), expected, rtol=1e-15)
        for key, values in net.hidden.state_dict().items():
            assert torch.equal(values, inner[key])
        x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        leaves = net.leaf_log_proba(x).exp()
        assert leaves.shape == (5, len(after.leaves))
        np.testing.assert_allclose(leaves.sum(1).detach(), 1)


def test_a_dag_becomes_a_tree():
    before = hierarchy(AFTER["another parent"])
    net = network(DAGSoftmax, before, (4,))
    expected = by_edge(before, BEFORE, weights(net))
    grow(net, HierarchicalSoftmax, before, BEFORE)
    np.testing.assert_allclose(weights(net), expected, rtol=1e-15)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_rows_of_random_trees(data):
    def tree():
        n = data.draw(st.integers(2, 12))
        names = data.draw(st.permutations("abcdefghijkl"))[:n]
        parents = {
            name: data.draw(st.sampled_from(["root", *names[:i]])) for i, name in enumerate(names)
        }
        return Hierarchy([("root", "z"), *((p, c) for c, p in parents.items())], root="root")

    before, after = tree(), tree()
    for head, by_name in ((HierarchicalSoftmax, by_edge), (FlatSoftmax, by_leaf)):
        net = network(head, before)
        expected = by_name(before, after, weights(net))
        grow(net, head, before, after)
        np.testing.assert_allclose(weights(net), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("hidden", [(), (4,)])
@pytest.mark.parametrize("make", [LeanAdamW, LazyAdamW, torch.optim.SGD, torch.optim.RMSprop])
def test_what_an_optimiser_keeps_is_carried_as_the_weights_are(make, hidden):
    net = network(HierarchicalSoftmax, BEFORE, hidden)
    more = {"momentum": 0.9} if make is not LeanAdamW and make is not LazyAdamW else {}
    optimizer = make(net.parameters(), lr=0.1, weight_decay=0.0, **more)
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        optimizer.zero_grad()
        net(x)[:, 2].mean().backward()
        optimizer.step()
    parameters = list(net.parameters())
    linear = net.head.linear
    kept = {name: v.clone() for name, v in optimizer.state[linear.bias].items() if v is not None}
    moments = copy.deepcopy(optimizer.state[linear.weight])
    after = hierarchy(AFTER["more siblings"])
    grow(net, HierarchicalSoftmax, BEFORE, after, optimizer)
    # The same objects, so that the optimiser moves what the network has.
    assert all(one is other for one, other in zip(parameters, net.parameters(), strict=True))
    assert any(value.ndim for value in kept.values())
    for name, value in kept.items():
        now = optimizer.state[linear.bias][name]
        if not value.ndim:
            assert now == value
            continue
        expected = by_edge(BEFORE, after, value.numpy()[:, None])[:, 0]
        np.testing.assert_allclose(now, expected, rtol=1e-14)
        old, new = moments[name], optimizer.state[linear.weight][name]
        if linear.row_dim:
            old, new = old.t(), new.t()
        np.testing.assert_allclose(new, by_edge(BEFORE, after, old.numpy()), rtol=1e-14)
    state = optimizer.state[linear.bias]
    before_step = linear.bias.detach().clone()
    optimizer.zero_grad()
    net(x)[:, 4].mean().backward()
    optimizer.step()
    assert (linear.bias != before_step).any()
    assert state is optimizer.state[linear.bias]


def test_groups_that_have_not_changed_keep_their_probabilities_to_the_bit():
    net = network(HierarchicalSoftmax, BEFORE, (4,))
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = net(x).detach()
    after = hierarchy(AFTER["more siblings"])
    grow(net, HierarchicalSoftmax, BEFORE, after)
    now = net(x).detach()
    for node in ("a", "b", "c", "b1", "b2", "b3"):
        was = before[:, BEFORE.nodes.index(node)]
        assert torch.equal(now[:, after.nodes.index(node)], was)
    # New siblings with the mean of the rows take the mean logit.
    a1, a2, a0 = (now[:, after.nodes.index(node)] for node in ("a1", "a2", "a0"))
    np.testing.assert_allclose(a0, (a1 + a2) / 2, rtol=1e-12)


def test_steps_of_each_row_are_carried_as_whole_numbers():
    net = network(HierarchicalSoftmax, BEFORE, (4,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    weight = net.head.linear.weight
    optimizer.state[weight]["steps"] = torch.arange(8)
    optimizer.state[weight]["of_all"] = torch.tensor(7)
    after = hierarchy(AFTER["more siblings"])
    grow(net, HierarchicalSoftmax, BEFORE, after, optimizer)
    expected = by_edge(BEFORE, after, np.arange(8.0)[:, None])[:, 0].round()
    assert optimizer.state[weight]["steps"].tolist() == expected.tolist()
    assert optimizer.state[weight]["steps"].dtype == torch.int64
    assert optimizer.state[weight]["of_all"] == 7
