"""Whole arrays of nodes against the questions about one node, and against definitions."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf import Hierarchy

LADDER = Hierarchy([("r", "a"), ("a", "b"), ("b", "c"), ("r", "c"), ("r", "d"), ("a", "d")])


def check_against_single_nodes(h):
    names = (*h.nodes, h.root)  # the root last, at -1
    n = len(names)
    a, b = (x.ravel() for x in np.meshgrid(np.arange(n) - 1, np.arange(n) - 1))
    lca, distance = h.lca_indices(a, b), h.pair_distances(a, b)
    for i in range(len(a)):
        assert names[lca[i]] == h.lowest_common_ancestor(names[a[i]], names[b[i]])
        assert distance[i] == h.distance(names[a[i]], names[b[i]])
    for node, height, count in zip(h.nodes, h.heights, h.leaf_counts, strict=True):
        below = h.descendants(node)
        leaves = set(below or (node,)) & set(h.leaves)
        assert count == len(leaves)
        assert height == (1 + max(h.heights[h.node_indices(h.children(node))]) if below else 0)
    everywhere = np.arange(len(h) + 1) - 1
    found = h.are_at_or_above(everywhere[:, None], everywhere[1:])
    for i, node in zip(everywhere.tolist(), (h.root, *h.nodes), strict=True):
        expected = [node == other or node in h.ancestors(other) for other in h.nodes]
        assert found[i + 1].tolist() == expected
    items, above = h.ancestor_pairs([*range(len(h)), *range(len(h))])
    expected = [
        (i + repeat * len(h), j)
        for repeat in range(2)
        for i, node in enumerate(h.nodes)
        for j in sorted(h.node_indices([*h.ancestors(node)[1:], node]).tolist())
    ]
    assert list(zip(items.tolist(), above.tolist(), strict=True)) == expected


@given(trees())
def test_tree(h):
    check_against_single_nodes(h)


@given(dags())
def test_dag(h):
    check_against_single_nodes(h)


def test_by_hand():
    # c hangs under the root and, by way of a and b, three deep: the shortest way counts for the
    # distance, the longest for the height.
    assert dict(zip(LADDER.nodes, LADDER.heights.tolist(), strict=True)) == {
        "a": 2, "b": 1, "d": 0, "c": 0,
    }  # fmt: skip
    a, b, c, d = LADDER.node_indices(["a", "b", "c", "d"])
    assert LADDER.pair_distances([c, c, a], [d, b, -1]).tolist() == [2, 1, 1]
    assert LADDER.lca_indices([c, c, d], [d, b, -1]).tolist() == [a, b, -1]


@given(st.one_of(trees(), dags()), st.data())
def test_paths(h, data):
    g = nx.DiGraph(h.edges)
    names = (*h.nodes, h.root)  # the root last, at -1
    n_ways = {name: len(list(nx.all_simple_paths(g, h.root, name))) for name in h.nodes}
    positions = data.draw(st.lists(st.integers(-1, len(h) - 1)))
    several = [names[i] for i in positions if n_ways.get(names[i], 1) > 1]
    if several:
        with pytest.raises(ValueError, match=f"^several paths lead to {several[0]!r}, since"):
            h.path_indices(positions)
    single = [i for i in positions if names[i] not in several]
    paths = h.path_indices(single)
    assert paths.dtype == np.intp
    assert paths.shape == (len(single), h.n_levels)
    for i, row in zip(single, paths.tolist(), strict=True):
        expected = nx.shortest_path(g, h.root, names[i])[1:]
        assert [names[j] for j in row[: len(expected)]] == expected
        assert set(row[len(expected) :]) <= {-1}


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        LADDER.heights[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        LADDER.leaf_counts[0] = 1


@given(dags())
def test_aggregate_all_nodes(h):
    """In a DAG each leaf counts once for a node, however many ways lead down to it."""
    proba = np.random.default_rng(0).dirichlet(np.ones(len(h.leaves)), size=3)
    expected = np.zeros((3, len(h)))
    for j, node in enumerate(h.nodes):
        for i, leaf in enumerate(h.leaves):
            if leaf == node or node in h.ancestors(leaf):
                expected[:, j] += proba[:, i]
    np.testing.assert_allclose(h.aggregate(proba, h.leaves), expected, rtol=1e-12)
