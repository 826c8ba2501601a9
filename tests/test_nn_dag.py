"""The softmax over a DAG: against brute force over all paths, and against that over a tree."""

import inspect
import math
from itertools import pairwise

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy
from hierclf.nn import DAGSoftmax, FlatSoftmax, HierarchicalSoftmax, PathLoss

HEADS = [HierarchicalSoftmax, FlatSoftmax, DAGSoftmax]

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=60, deadline=None)


def paths_to(dag, node):
    """Enumerate the paths from the root to a node, as tuples of edges."""
    if node == dag.root:
        return [()]
    return [
        (*path, (parent, node)) for parent in dag.parents(node) for path in paths_to(dag, parent)
    ]


def edge_log_proba(dag, logit):
    """{edge: log P(child | parent)} from {edge: logit}."""
    return {
        (parent, child): value
        - by_hand.logsumexp([logit[parent, other] for other in dag.children(parent)])
        for (parent, child), value in logit.items()
    }


@given(dags(), seeds)
@quick
def test_a_node_is_the_sum_over_its_paths(dag, seed):
    rng = np.random.default_rng(seed)
    softmax, hidden = by_hand.build(DAGSoftmax, dag, rng), by_hand.rows(rng, 4, 3)
    assert len(softmax.linear.weight) == len(dag.edges)  # each edge has a row of its own
    target = rng.integers(len(dag), size=4)
    with torch.no_grad():
        found = softmax(hidden).numpy()
        leaves = softmax.leaf_log_proba(hidden).numpy()
        of_target = softmax.path_log_proba(hidden, torch.from_numpy(target)).numpy()
        likeliest = softmax.likeliest_path(hidden, torch.from_numpy(target)).tolist()
    np.testing.assert_allclose(np.exp(leaves).sum(axis=1), 1, rtol=1e-12)
    for b, logit in enumerate(by_hand.logits(softmax, dag.edges, hidden)):
        steps = edge_log_proba(dag, logit)
        of_path = {
            node: {path: math.fsum(steps[edge] for edge in path) for path in paths_to(dag, node)}
            for node in dag.nodes
        }
        expected = [by_hand.logsumexp(list(of_path[node].values())) for node in dag.nodes]
        np.testing.assert_allclose(found[b], expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(leaves[b], [expected[i] for i in dag.leaf_indices], atol=1e-12)
        assert of_target[b, 0] == pytest.approx(expected[target[b]], rel=1e-10, abs=1e-12)
        paths = of_path[dag.nodes[target[b]]]
        walked = tuple(dag.nodes[i] for i in likeliest[b] if i >= 0)
        assert likeliest[b] == [*dag.node_indices(walked), *[-1] * (dag.depth - len(walked))]
        walk = tuple(zip((dag.root, *walked[:-1]), walked, strict=True))
        assert paths[walk] == pytest.approx(max(paths.values()), rel=1e-12, abs=1e-12)


@given(trees(), seeds)
@quick
def test_of_a_tree_it_is_the_hierarchical_softmax(tree, seed):
    rng = np.random.default_rng(seed)
    softmax, dag_softmax = (
        by_hand.build(HierarchicalSoftmax, tree, rng),
        by_hand.build(DAGSoftmax, tree, rng),
    )
    dag_softmax.load_state_dict(softmax.state_dict())  # edge i ends in node i
    hidden = by_hand.rows(rng, 5, 3)
    target = torch.from_numpy(rng.integers(len(tree), size=5))
    prior = torch.from_numpy(rng.standard_normal(len(tree)))
    torch.testing.assert_close(dag_softmax(hidden), softmax(hidden))
    for log_prior in (None, prior):
        loss = PathLoss(log_prior=log_prior)
        grads = []
        for head in (softmax, dag_softmax):
            head.zero_grad()
            loss(head, hidden, target).backward()
            grads.append([p.grad for p in head.parameters()])
        torch.testing.assert_close(*grads)
    paths = dag_softmax.likeliest_path(hidden, target)
    assert paths.tolist() == tree.path_indices(target).tolist()


def test_gradients_of_a_dag():
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "e"),
                     ("c", "f"), ("r", "f")])  # fmt: skip
    rng = np.random.default_rng(0)
    softmax = by_hand.build(DAGSoftmax, dag, rng)
    hidden = by_hand.rows(rng, 6, 3)
    target = torch.arange(len(dag))

    def call(weight, bias):
        class Map(torch.nn.Module):
            def forward(self, x):
                return torch.nn.functional.linear(x, weight, bias)

        softmax.linear = Map()
        return softmax.path_log_proba(hidden, target)

    assert torch.autograd.gradcheck(call, tuple(softmax.linear.parameters()))


@given(dags(), seeds)
@quick
def test_flat_softmax_of_a_dag(dag, seed):
    """A node is the sum of the leaves below it, and its path goes by its likeliest parents."""
    rng = np.random.default_rng(seed)
    softmax, hidden = by_hand.build(FlatSoftmax, dag, rng), by_hand.rows(rng, 3, 3)
    target = rng.integers(len(dag), size=3)
    with torch.no_grad():
        found = softmax(hidden).numpy()
        of_target = softmax.path_log_proba(hidden, torch.from_numpy(target)).numpy()
    for b, logit in enumerate(by_hand.logits(softmax, dag.leaves, hidden)):
        total = by_hand.logsumexp(list(logit.values()))
        expected = {}
        for node in dag.nodes:
            below = {node, *dag.descendants(node)} & set(dag.leaves)
            expected[node] = by_hand.logsumexp([logit[leaf] for leaf in below]) - total
        np.testing.assert_allclose(found[b], [*expected.values()], rtol=1e-10, atol=1e-12)
        node = dag.nodes[target[b]]
        assert of_target[b, 0] == pytest.approx(expected[node], rel=1e-10, abs=1e-12)
        if dag.is_tree:
            continue
        walked = [i for i in softmax.likeliest_path(hidden, torch.from_numpy(target))[b] if i >= 0]
        for above, below in pairwise(walked):
            parents = dag.parents(dag.nodes[below])
            best = max(0.0 if p == dag.root else expected[p] for p in parents)
            assert expected[dag.nodes[above]] == pytest.approx(best, rel=1e-10, abs=1e-12)
        assert dag.nodes[walked[-1]] == node
        assert dag.root in dag.parents(dag.nodes[walked[0]])


def test_the_heads_have_the_same_methods():
    for method in ("forward", "leaf_log_proba", "leaf_scores", "path_log_proba"):
        signatures = {inspect.signature(getattr(head, method)) for head in HEADS}
        assert len(signatures) == 1, method


@pytest.mark.parametrize("head", HEADS)
@given(tree=trees(), seed=seeds)
@quick
def test_a_prior_is_added_to_the_logits_of_its_nodes(head, tree, seed):
    """As if it stood in the bias: in a tree a logit is that of a node, or of a leaf."""
    rng = np.random.default_rng(seed)
    softmax, hidden = by_hand.build(head, tree, rng), by_hand.rows(rng, 4, 3)
    prior = torch.from_numpy(rng.standard_normal(len(tree)))
    target = torch.from_numpy(rng.integers(len(tree), size=4))
    with torch.no_grad():
        found = softmax(hidden, log_prior=prior)
        of_target = softmax.path_log_proba(hidden, target, log_prior=prior)
        softmax.linear.bias += prior[tree.leaf_indices.copy()] if head is FlatSoftmax else prior
        expected = softmax(hidden)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(of_target.sum(1), expected.gather(1, target[:, None])[:, 0])


def test_what_a_head_cannot_do_it_refuses():
    rng = np.random.default_rng(0)
    hidden, target = by_hand.rows(rng, 2, 3), torch.tensor([0, 1])
    dag_softmax = by_hand.build(DAGSoftmax, by_hand.RAGGED, rng)
    with pytest.raises(ValueError, match="label_smoothing needs the steps of one path"):
        dag_softmax.path_log_proba(hidden, target, label_smoothing=0.1)
    flat = by_hand.build(FlatSoftmax, by_hand.RAGGED, rng)
    with pytest.raises(ValueError, match="in a tree there is one path"):
        flat.likeliest_path(hidden, target)
