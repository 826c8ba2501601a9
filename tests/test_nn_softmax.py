"""Probabilities of the two softmaxes, against brute force over nodes and paths."""

import copy
import csv
import gzip
import math
import pickle

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from strategies import trees

from hierclf.hierarchy import Hierarchy
from hierclf.nn import FlatSoftmax, HierarchicalSoftmax, PathLoss

HEADS = [HierarchicalSoftmax, FlatSoftmax]
TIGHT = {torch.float32: 1e-6, torch.float64: 1e-12}

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None)


# -- the equations


@given(trees(), seeds)
@example(by_hand.RAGGED, 0)
@quick
def test_every_node_is_the_product_of_the_softmaxes_on_its_path(tree, seed):
    rng = np.random.default_rng(seed)
    softmax, hidden = by_hand.build(HierarchicalSoftmax, tree, rng), by_hand.rows(rng, 4, 3)
    expected = [
        by_hand.node_log_proba(tree, row) for row in by_hand.logits(softmax, tree.nodes, hidden)
    ]
    with torch.no_grad():
        nodes, leaves = softmax(hidden), softmax.leaf_log_proba(hidden)
    np.testing.assert_allclose(nodes, by_hand.table(tree, expected), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        leaves, by_hand.table(tree, expected, tree.leaves), rtol=1e-12, atol=1e-12
    )


@given(trees(), seeds, st.sampled_from([*by_hand.ROUTES]))
@example(by_hand.RAGGED, 0, "table, split")
@example(by_hand.RAGGED, 1, "table, together")
@example(by_hand.RAGGED, 2, "no table, split")
@example(by_hand.RAGGED, 3, "no table, together")
@quick
def test_path_steps_are_the_softmaxes_on_the_path_to_any_node(tree, seed, route):
    rng = np.random.default_rng(seed)
    softmax = by_hand.build(HierarchicalSoftmax, tree, rng, route=route)
    assert_route(softmax, tree, route)
    targets = rng.permutation(np.r_[: len(tree), : len(tree)])  # inner nodes too, each twice
    hidden = by_hand.rows(rng, len(targets), 3)
    expected = np.zeros((len(targets), tree.depth))
    for b, logit in enumerate(by_hand.logits(softmax, tree.nodes, hidden)):
        steps = by_hand.step_log_proba(tree, logit)
        path = tree.path(tree.nodes[targets[b]])
        expected[b, : len(path)] = [steps[node] for node in path]
    with torch.no_grad():
        found = softmax.path_log_proba(hidden, torch.from_numpy(targets)).numpy()
    assert found.shape == expected.shape
    # The columns are the levels, in an order that is the same for all rows.
    difference = np.abs(expected[:, :, None] - found[:, None, :]).max(axis=0)
    assert difference[linear_sum_assignment(difference)].max() < 1e-12


def assert_route(softmax, tree, route):
    """The tests below mean what they say: the steps are computed in the way they ask for."""
    buckets = softmax.steps.buckets
    assert {bucket.tabulated for bucket in buckets} == {not route.startswith("no")}
    widest = [max(len(by_hand.siblings(tree, n)) for n in level) for level in levels(tree)]
    powers_of_two = {(width - 1).bit_length() for width in widest}
    assert len(buckets) == (len(powers_of_two) if route.endswith("split") else 1)


def levels(tree):
    by_depth = {}
    for node in tree.nodes:
        by_depth.setdefault(len(tree.path(node)), []).append(node)
    return by_depth.values()


@given(trees(), seeds)
@example(by_hand.RAGGED, 0)
@quick
def test_flat_inner_nodes_are_the_sums_of_their_leaves(tree, seed):
    rng = np.random.default_rng(seed)
    softmax, hidden = by_hand.build(FlatSoftmax, tree, rng), by_hand.rows(rng, 4, 3)
    expected = [
        by_hand.flat_log_proba(tree, row) for row in by_hand.logits(softmax, tree.leaves, hidden)
    ]
    target = torch.from_numpy(rng.choice(tree.leaf_indices, 4))
    with torch.no_grad():
        nodes, leaves = softmax(hidden), softmax.leaf_log_proba(hidden)
        step = softmax.path_log_proba(hidden, target)
    np.testing.assert_allclose(nodes, by_hand.table(tree, expected), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        leaves, by_hand.table(tree, expected, tree.leaves), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        step[:, 0],
        [row[tree.nodes[i]] for row, i in zip(expected, target, strict=True)],
        rtol=1e-12,
        atol=1e-12,
    )


# -- what holds for every tree


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", TIGHT)
@given(tree=trees(max_leaves=20), seed=seeds)
@example(tree=by_hand.RAGGED, seed=0)
@settings(quick, max_examples=25)
def test_leaves_sum_to_one_and_children_to_their_parent(head, dtype, tree, seed):
    rng = np.random.default_rng(seed)
    softmax = by_hand.build(head, tree, rng, dtype=dtype, scale=3.0)
    hidden = by_hand.rows(rng, 5, 3, dtype=dtype)
    with torch.no_grad():
        nodes, leaves = softmax(hidden).exp(), softmax.leaf_log_proba(hidden).exp()
    assert nodes.dtype == leaves.dtype == dtype
    np.testing.assert_allclose(leaves.double().sum(dim=1), 1.0, rtol=0, atol=TIGHT[dtype])
    column = dict(zip(tree.nodes, nodes.double().T, strict=True))
    column[tree.root] = torch.ones(5)
    for node in {by_hand.parent_of(tree, node) for node in tree.nodes}:
        children = sum(column[child] for child in tree.children(node))
        np.testing.assert_allclose(children, column[node], rtol=0, atol=TIGHT[dtype])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("route", by_hand.ROUTES)
@given(tree=trees(), seed=seeds)
@example(tree=by_hand.RAGGED, seed=0)
@settings(quick, max_examples=10)
def test_a_row_does_not_feel_the_others(head, route, tree, seed):
    rng = np.random.default_rng(seed)
    softmax = by_hand.build(head, tree, rng, route=route)
    hidden = by_hand.rows(rng, 5, 3)
    target = torch.from_numpy(rng.choice(tree.leaf_indices, 5))
    spoilt = torch.full_like(hidden, math.nan)
    spoilt[2] = hidden[2]
    with torch.no_grad():
        for call, args in (
            (softmax, ()),
            (softmax.leaf_log_proba, ()),
            (softmax.path_log_proba, (target,)),
        ):
            together = call(hidden, *args)[2]
            alone = call(hidden[2:3], *(arg[2:3] for arg in args))[0]
            np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-13)
            np.testing.assert_allclose(together, call(spoilt, *args)[2], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("head", HEADS)
@given(tree=trees(), seed=seeds)
@settings(quick, max_examples=25)
def test_the_names_and_so_the_order_of_siblings_are_irrelevant(head, tree, seed):
    rng = np.random.default_rng(seed)
    new_names = [f"m{i:02d}" for i in rng.permutation(len(tree))]
    rename = dict(zip(tree.nodes, new_names, strict=True))
    other_tree = tree.relabel(rename)
    softmax, hidden = by_hand.build(head, tree, rng), by_hand.rows(rng, 4, 3)
    other = head(3, other_tree, dtype=torch.float64)
    units = "nodes" if head is HierarchicalSoftmax else "leaves"
    order = [getattr(other_tree, units).index(rename[node]) for node in getattr(tree, units)]
    with torch.no_grad():
        for parameter, source in zip(other.parameters(), softmax.parameters(), strict=True):
            parameter[order] = source
        nodes, others = softmax(hidden), other(hidden)
    columns = [other_tree.nodes.index(rename[node]) for node in tree.nodes]
    np.testing.assert_allclose(others[:, columns], nodes, rtol=1e-13, atol=1e-13)


@given(trees(), seeds)
@settings(quick, max_examples=25)
def test_edges_in_any_order_give_the_same_softmax(tree, seed):
    rng = np.random.default_rng(seed)
    edges = list(tree.edges)
    shuffled = Hierarchy([edges[i] for i in rng.permutation(len(edges))])
    hidden = by_hand.rows(rng, 4, 3)
    one, other = (
        HierarchicalSoftmax(
            3, t, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        for t in (tree, shuffled)
    )
    assert shuffled.nodes == tree.nodes
    assert torch.equal(one(hidden), other(hidden))


@given(trees(max_leaves=20))
@example(by_hand.RAGGED)
@quick
def test_groups_side_by_side_are_less_than_doubled_by_their_padding(tree):
    """The next power of two of a size is less than twice the size."""
    hierarchical, flat = HierarchicalSoftmax(3, tree), FlatSoftmax(3, tree)
    inner = [node for node in tree.nodes if tree.children(node)]
    under = [leaf for node in inner for leaf in tree.leaves if node in tree.path(leaf)]
    for groups, n_members in ((hierarchical.siblings, len(tree)), (flat.leaves_under, len(under))):
        padded = sum(block.members.numel() for block in groups.blocks)
        assert padded == n_members == 0 or n_members <= padded < 2 * n_members


# -- special cases


@pytest.mark.parametrize("dtype", TIGHT)
@pytest.mark.parametrize("n_classes", [1, 2, 7, 64])
def test_one_level_is_the_flat_softmax(dtype, n_classes):
    rng = np.random.default_rng(n_classes)
    tree = Hierarchy.flat(range(n_classes))
    hidden = by_hand.rows(rng, 6, 3, dtype=dtype)
    target = torch.from_numpy(rng.integers(n_classes, size=6))
    softmax = by_hand.build(HierarchicalSoftmax, tree, rng, dtype=dtype)
    flat = FlatSoftmax(3, tree, dtype=dtype)
    flat.load_state_dict(softmax.state_dict())  # the very same parameters, too
    ulp = 4 * torch.finfo(dtype).eps
    with torch.no_grad():
        expected = torch.nn.functional.linear(hidden, *softmax.parameters()).log_softmax(1)
        for head in (softmax, flat):
            np.testing.assert_allclose(head(hidden), expected, rtol=ulp, atol=ulp)
            np.testing.assert_allclose(head.leaf_log_proba(hidden), expected, rtol=ulp, atol=ulp)
            np.testing.assert_allclose(
                head.path_log_proba(hidden, target),
                expected.gather(1, target[:, None]),
                rtol=ulp,
                atol=ulp,
            )
        assert torch.equal(softmax(hidden), flat(hidden))


@given(trees())
@example(by_hand.RAGGED)
@quick
def test_parameter_counts_are_those_of_section_3_2(tree):
    dim = 7
    counts = {
        head: sum(parameter.numel() for parameter in head(dim, tree).parameters()) for head in HEADS
    }
    n_inner = len({parent for parent, _ in tree.edges})  # the root included
    assert counts[FlatSoftmax] == len(tree.leaves) * (dim + 1)
    assert counts[HierarchicalSoftmax] - counts[FlatSoftmax] == (n_inner - 1) * (dim + 1)


@pytest.mark.parametrize("dtype", TIGHT)
@pytest.mark.parametrize("head", HEADS)
def test_logits_of_ten_thousand_stay_exact(head, dtype):
    rng = np.random.default_rng(0)
    names = by_hand.RAGGED.nodes if head is HierarchicalSoftmax else by_hand.RAGGED.leaves
    logits = rng.integers(-1, 2, (len(names), 200)) * 1e4  # 200 rows, of -1e4, 0 and 1e4
    softmax = head(200, by_hand.RAGGED, dtype=dtype)
    with torch.no_grad():
        softmax.linear.weight.copy_(torch.from_numpy(logits))
        softmax.linear.bias.zero_()
    hidden = torch.eye(200, dtype=dtype)
    by_row = by_hand.logits(softmax, names, hidden)
    work_out = by_hand.node_log_proba if names is by_hand.RAGGED.nodes else by_hand.flat_log_proba
    expected = by_hand.table(by_hand.RAGGED, [work_out(by_hand.RAGGED, row) for row in by_row])
    with torch.no_grad():
        found = softmax(hidden)
    assert expected.min() < -1e4
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_copies_and_pickles_give_the_same_probabilities(head):
    rng = np.random.default_rng(0)
    softmax, hidden = by_hand.build(head, by_hand.RAGGED, rng), by_hand.rows(rng, 4, 3)
    for other in (copy.deepcopy(softmax), pickle.loads(pickle.dumps(softmax))):
        assert torch.equal(other(hidden), softmax(hidden))


def test_a_dag_is_refused():
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c")])
    with pytest.raises(ValueError, match=r"is a DAG, .*: use DAGSoftmax"):
        HierarchicalSoftmax(3, dag)


# -- a large real tree


def test_wordnet(data_home):
    file = data_home / "hierarchies" / "wordnet_wn18rr_tree.edges.csv.gz"
    with gzip.open(file, "rt", newline="") as lines:
        tree = Hierarchy([(row["parent"], row["child"]) for row in csv.DictReader(lines)])
    rng = np.random.default_rng(0)
    target = rng.integers(len(tree), size=16)
    softmax = HierarchicalSoftmax(4, tree)
    for parameter in softmax.parameters():
        torch.nn.init.zeros_(parameter)
    hidden = by_hand.rows(rng, 16, 4, dtype=torch.float32)
    steps = softmax.path_log_proba(hidden, torch.from_numpy(target))
    expected = [
        sum(math.log(len(by_hand.siblings(tree, node))) for node in tree.path(tree.nodes[i]))
        for i in target
    ]
    np.testing.assert_allclose(-steps.detach().sum(dim=1), expected, rtol=1e-5)
    PathLoss()(softmax, hidden, torch.from_numpy(target)).backward()
    # Equation 8 for the biases: 16 rows pull at the top level, so many at the target.
    top = len(tree.children(tree.root))
    at_top = [tree.nodes.index(tree.path(tree.nodes[i])[0]) for i in target]
    pull = 1 / top - np.bincount(at_top, minlength=top) / 16
    np.testing.assert_allclose(softmax.linear.bias.grad[:top], pull, atol=1e-6)
    with torch.no_grad():
        every = softmax(hidden[:2])
    np.testing.assert_allclose(every[0, torch.from_numpy(target)], -np.array(expected), rtol=1e-5)
