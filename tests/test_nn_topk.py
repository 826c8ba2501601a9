"""The k likeliest leaves, against a sort of the probabilities of all."""

import math

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import dags, trees

import hierclf.nn._search as search
from hierclf.hierarchy import Hierarchy
from hierclf.nn import CSRRows, DAGSoftmax, FeatureLinear, FlatSoftmax, HierarchicalSoftmax, _fast

HAS_NUMBA = _fast.has_numba()
WAYS = ["torch", pytest.param("loops", marks=pytest.mark.skipif(not HAS_NUMBA, reason="no numba"))]
TIGHT = {torch.float32: 1e-5, torch.float64: 1e-12}

seeds = st.integers(0, 2**32 - 1)
# What the fixture sets is the same for all examples.
quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=WAYS)
def way(request):
    """Search every tree, however small, for any k, one row included."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        by_hand.search_everything(monkeypatch)
        if request.param == "torch":
            monkeypatch.setattr(_fast, "has_numba", lambda: False)
        yield request.param


def assert_likeliest(head, hidden, k, tol):
    """The k largest of all, in order, and each with the probability of its own leaf."""
    with torch.no_grad():
        every = head.leaf_log_proba(hidden).double().numpy()
    found = head.topk_leaves(hidden, k)
    positions, log_proba = found.positions.numpy(), found.log_proba.double().numpy()
    assert found.positions.dtype == torch.int64
    assert all(len(set(row)) == k for row in positions.tolist())
    options = {"rtol": tol, "atol": tol}
    np.testing.assert_allclose(log_proba, -np.sort(-every, axis=1)[:, :k], **options)
    np.testing.assert_allclose(np.take_along_axis(every, positions, 1), log_proba, **options)
    assert (np.diff(log_proba, axis=1) <= 0).all()
    return found


def numbers_of(tree, draw_k):
    return 1 + draw_k % len(tree.leaves)


@pytest.mark.parametrize("dtype", TIGHT)
@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0, 1e3])
@given(tree=trees(max_leaves=20), seed=seeds, draw_k=st.integers(0, 19))
@example(tree=by_hand.RAGGED, seed=0, draw_k=0)
@example(tree=by_hand.RAGGED, seed=1, draw_k=4)
@example(tree=by_hand.RAGGED, seed=2, draw_k=len(by_hand.RAGGED.leaves) - 1)
@quick
def test_the_search_finds_what_a_sort_of_all_leaves_does(way, dtype, scale, tree, seed, draw_k):
    rng = np.random.default_rng(seed)
    head = by_hand.build(HierarchicalSoftmax, tree, rng, dtype=dtype, scale=scale)
    hidden, k = by_hand.rows(rng, 5, 3, dtype=dtype), numbers_of(tree, draw_k)
    found = assert_likeliest(head, hidden, k, TIGHT[dtype] * max(1.0, scale))
    if len(tree.leaves) > 1 and scale != 1e3:  # where probabilities are 0, all must be looked at
        assert found.n_dense == 0


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0, 10.0])
def test_groups_of_all_widths(way, monkeypatch, k, scale):
    """Wide groups are read once for many rows, and of their members only the best are kept."""
    rng = np.random.default_rng(0)
    sizes = {"a": 1, "b": 2, "c": 700, "d": 150, "e": 5, "f": 1}
    tree = {p: [f"{p}{i}" for i in range(n)] for p, n in sizes.items()}
    tree["root"] = [*sizes]
    tree |= {f"c{i}": [f"c{i}-{j}" for j in range(1 + i % 4)] for i in range(0, 700, 2)}
    tree |= {"f0": ["g"], "g": [f"g{i}" for i in range(30)]}
    tree = Hierarchy.from_dict(tree)
    for kept in (4, 256):
        monkeypatch.setattr(search, "_KEPT", kept)
        head = by_hand.build(HierarchicalSoftmax, tree, rng, scale=scale)
        found = assert_likeliest(head, by_hand.rows(rng, 30, 3), k, 1e-12)
        if kept == 256 and scale >= 1 and k < 40:
            assert found.n_dense < 10


def test_a_row_without_a_proof_takes_the_dense_pass(way, monkeypatch):
    """Zero weights make all of 81 leaves equal: none is proved before all are read."""
    rng = np.random.default_rng(0)
    tree = Hierarchy.balanced(range(81), 3)
    head = by_hand.build(HierarchicalSoftmax, tree, rng, scale=0.0)
    for name in ("_SHARE", "_SHARE_IN_TORCH"):
        monkeypatch.setattr(search, name, 0.2)
    hidden = by_hand.rows(rng, 6, 3)
    assert assert_likeliest(head, hidden, 2, 1e-12).n_dense == 6
    with torch.no_grad():
        head.linear.weight.normal_(std=30.0, generator=torch.Generator().manual_seed(0))
    assert assert_likeliest(head, hidden, 2, 1e-12).n_dense < 6
    for name in ("_SHARE", "_SHARE_IN_TORCH"):
        monkeypatch.setattr(search, name, 0.0)
    assert assert_likeliest(head, hidden, 2, 1e-12).n_dense == 6


def test_few_groups_are_read(way, monkeypatch):
    """Sure of itself at every node, the search opens the groups of one path and no other."""
    tree = Hierarchy.balanced(range(4**4), 4)
    head = HierarchicalSoftmax(3, tree, dtype=torch.float64)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.zero_()
        head.linear.bias[0::4] = 50.0
    # The last of four groups of 4 nodes each is opened where 12 nodes are not too many.
    for limit, n_dense in ((12, 0), (11, 5)):
        for name in ("_SHARE", "_SHARE_IN_TORCH"):
            monkeypatch.setattr(search, name, (limit + 0.5) / len(tree))
        found = head.topk_leaves(torch.zeros(5, 3, dtype=torch.float64), 1)
        assert found.n_dense == n_dense
        assert found.positions.flatten().tolist() == [0] * 5


@given(tree=trees(max_leaves=20), seed=seeds)
@example(tree=by_hand.RAGGED, seed=0)
@settings(quick, max_examples=25)
def test_a_row_does_not_feel_the_others(way, tree, seed):
    rng = np.random.default_rng(seed)
    head, hidden = by_hand.build(HierarchicalSoftmax, tree, rng), by_hand.rows(rng, 5, 3)
    k = numbers_of(tree, 2)
    alone = head.topk_leaves(hidden[2:3], k)
    spoilt = torch.full_like(hidden, math.nan)
    spoilt[2] = hidden[2]
    for batch in (hidden, spoilt, hidden[[0, 1, 2] + [4] * 100]):
        together = head.topk_leaves(batch, k)
        assert torch.equal(together.positions[2], alone.positions[0])
        np.testing.assert_allclose(together.log_proba[2], alone.log_proba[0], rtol=1e-13)


def test_blocks_of_rows(way, monkeypatch):
    rng = np.random.default_rng(0)
    head = by_hand.build(HierarchicalSoftmax, by_hand.RAGGED, rng)
    hidden = by_hand.rows(rng, 50, 3)
    expected = head.topk_leaves(hidden, 4)
    monkeypatch.setattr(search, "_ROWS", 7)
    monkeypatch.setattr(search, "_GATHERED", 20)
    for found in (
        head.topk_leaves(hidden, 4),
        HierarchicalSoftmax.__base__.topk_leaves(head, hidden, 4),
    ):
        assert torch.equal(found.positions, expected.positions)
        np.testing.assert_allclose(found.log_proba, expected.log_proba, rtol=1e-13)
    assert head.topk_leaves(hidden[:0], 4).positions.shape == (0, 4)


@pytest.mark.parametrize("k", [1, 3])
def test_what_is_not_a_number_shows(way, k):
    rng = np.random.default_rng(0)
    head = by_hand.build(HierarchicalSoftmax, by_hand.RAGGED, rng)
    hidden = by_hand.rows(rng, 4, 3)
    hidden[1] = math.nan
    hidden[3, 0] = math.inf
    found = head.topk_leaves(hidden, k)
    assert found.log_proba.isnan().any(1).tolist() == [False, True, False, True]


def test_features_as_hidden_state(way):
    """Weights by feature are turned, and sparse rows take the dense pass."""
    rng = np.random.default_rng(0)
    plain = by_hand.build(HierarchicalSoftmax, by_hand.RAGGED, rng)
    head = HierarchicalSoftmax(3, by_hand.RAGGED, linear=FeatureLinear, dtype=torch.float64)
    with torch.no_grad():
        head.linear.weight.copy_(plain.linear.weight.t())
        head.linear.bias.copy_(plain.linear.bias)
    hidden = by_hand.rows(rng, 40, 3)
    expected = plain.topk_leaves(hidden, 5)
    found = assert_likeliest(head, hidden, 5, 1e-12)
    assert torch.equal(found.positions, expected.positions)
    assert found.n_dense == 0
    indices = torch.arange(3).repeat(40)
    sparse = CSRRows(indices, torch.arange(0, 121, 3), hidden.flatten())
    found = head.topk_leaves(sparse, 5)
    assert torch.equal(found.positions, expected.positions)
    assert found.n_dense == 40


@given(dag=dags(), seed=seeds, draw_k=st.integers(0, 11))
@quick
def test_other_heads_look_at_all_leaves(dag, seed, draw_k):
    rng = np.random.default_rng(seed)
    k = numbers_of(dag, draw_k)
    for head in (FlatSoftmax, *([] if dag.is_tree else [DAGSoftmax])):
        softmax = by_hand.build(head, dag, rng)
        found = assert_likeliest(softmax, by_hand.rows(rng, 40, 3), k, 1e-12)
        assert found.n_dense == 40
        assert not softmax.searches(1)


@pytest.mark.parametrize("head", [HierarchicalSoftmax, FlatSoftmax])
@pytest.mark.parametrize("k", [0, -1, 5])
def test_bad_k(head, k):
    softmax = head(3, Hierarchy.flat(list("abcd")))
    with pytest.raises(ValueError, match=f"k={k}, and there are 4 leaves to choose from"):
        softmax.topk_leaves(torch.zeros(2, 3), k)


def test_small_trees_are_not_searched():
    assert not HierarchicalSoftmax(3, by_hand.RAGGED).searches(1)
    large = HierarchicalSoftmax(1, Hierarchy.balanced(range(10_000), 10))
    assert [large.searches(k) for k in (0, 1, 20, 101, 10_000)] == [False, True, True, False, False]


def test_a_few_rows_are_not_searched_in_torch(monkeypatch):
    large = HierarchicalSoftmax(1, Hierarchy.balanced(range(10_000), 10))
    by_hand.fill(large, np.random.default_rng(0), scale=100.0)
    hidden = torch.ones(20, 1)
    monkeypatch.setattr(_fast, "has_numba", lambda: False)
    assert large.topk_leaves(hidden[:1], 1).n_dense == 1
    assert large.topk_leaves(hidden, 1).n_dense == 0


@given(tree=trees(max_leaves=20), seed=seeds)
@example(tree=by_hand.RAGGED, seed=0)
@quick
def test_the_greedy_way_down(way, tree, seed):
    rng = np.random.default_rng(seed)
    head, hidden = by_hand.build(HierarchicalSoftmax, tree, rng), by_hand.rows(rng, 5, 3)
    if len(tree.leaves) == 1:
        return
    expected = []
    for logit in by_hand.logits(head, tree.nodes, hidden):
        node = tree.root
        while tree.children(node):
            node = max(tree.children(node), key=logit.get)
        expected.append(tree.leaves.index(node))
    found = head.descend(hidden)
    assert found.positions.flatten().tolist() == expected
    with torch.no_grad():
        every = head.leaf_log_proba(hidden)
    np.testing.assert_allclose(found.log_proba, every.gather(1, found.positions), rtol=1e-12)


# -- a large real tree


@pytest.mark.parametrize(("scale", "is_weak"), [(0.3, True), (5.0, False)])
def test_a_large_tree(scale, is_weak):
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 200, size=60).tolist()
    tree = {"root": list(range(60))}
    tree |= {i: [f"{i}-{j}" for j in range(n)] for i, n in enumerate(sizes)}
    tree |= {f"{i}-0": [f"{i}-0-{j}" for j in range(n)] for i, n in enumerate(sizes)}
    tree = Hierarchy.from_dict(tree)
    assert len(tree) > search._SMALL_TREE_IN_TORCH
    head = by_hand.build(HierarchicalSoftmax, tree, rng, dtype=torch.float32, scale=scale)
    assert head.searches(10)
    hidden = by_hand.rows(rng, 300, 3, dtype=torch.float32)
    n_dense = assert_likeliest(head, hidden, 10, 1e-5).n_dense
    if is_weak or HAS_NUMBA:  # without it the search gives up sooner
        assert (n_dense > 150) == is_weak
