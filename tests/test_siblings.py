"""The linear classifier against siblings: brute force for each node, and products of those."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from strategies import trees

import hierclf._utils.memory as memory
import hierclf.nn._compact_fit
import hierclf.nn._search
import hierclf.nn.compact
from hierclf import HierarchicalLinearClassifier, Hierarchy
from hierclf.classifiers._margin_tree import samples_to_hold_out
from hierclf.nn._compact_fit import Problem, Runs, fit_tables
from hierclf.nn._fast import has_numba
from hierclf.nn.compact import CompactSoftmax
from hierclf.nn.margins import solve_margins

TREE = {"animal": ["cat", "dog", "cow"], "plant": ["oak", "elm"], "dog": ["poodle", "collie"]}
LEAVES = ["cat", "cow", "oak", "elm", "poodle", "collie"]


@pytest.fixture(params=["loops", "torch"])
def way(request, monkeypatch):
    """Both ways to fit and to search many features."""
    monkeypatch.setattr(hierclf.nn._compact_fit, "EXACT_FEATURES", 0)
    if request.param == "loops" and not has_numba():
        pytest.skip("needs numba")
    if request.param == "torch":
        for module in (hierclf.nn._compact_fit, hierclf.nn.compact, hierclf.nn._search):
            monkeypatch.setattr(module, "loops_for", lambda *_: None)
    return request.param


def samples(labels, n=60, d=8, seed=0, dtype=float):
    """Sparse samples: some features belong to labels."""
    rng = np.random.default_rng(seed)
    which = rng.integers(len(labels), size=n)
    which[: len(labels)] = np.arange(len(labels))
    means = rng.standard_normal((len(labels), d))
    X = means[which] + 0.5 * rng.standard_normal((n, d))
    X[rng.random((n, d)) < 0.5] = 0
    X[:, :2] = 0
    X[:3, 0] = 1  # a feature that few rows have
    y = np.empty(n, dtype=object)
    y[:] = [labels[i] for i in which]
    return X.astype(dtype), y


def margin_by_force(X, side, c):
    """Solve one margin with a solver that knows nothing of it."""
    X = np.c_[X, np.ones(len(X))]
    centre = np.append(np.zeros(X.shape[1] - 1), -1)

    def value(point):
        slack = np.maximum(1 - side * (X @ point), 0)
        gradient = point - centre - 2 * X.T @ (c * side * slack)
        return (point - centre) @ (point - centre) / 2 + c @ slack**2, gradient

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000, "maxfun": 10**6}
    return minimize(value, centre, jac=True, method="L-BFGS-B", options=options).x


def margins_by_force(hierarchy, X, y, X_test, C, weight=None, class_weight=None, without=()):
    """Return the children of each node of a pruned tree, and their margins."""
    weight = np.ones(len(y)) if weight is None else weight
    found = {}
    for parent in [Hierarchy.ROOT, *hierarchy]:
        children = hierarchy.level(0) if parent == Hierarchy.ROOT else hierarchy.children(parent)
        if not children:
            continue
        is_below = np.array([[x == z or z in hierarchy.ancestors(x) for z in children] for x in y])
        rows = np.flatnonzero(is_below.any(axis=1)) if len(children) > 1 else []
        margins = np.zeros((len(X_test), len(children)))
        sums = [weight[is_below[:, j]].sum() for j in range(len(children))]
        for j in range(len(children)) if len(rows) else ():
            side = np.where(is_below[rows, j], 1, -1)
            if class_weight == "balanced":
                factor = sum(sums) / (np.count_nonzero(sums) * sums[j]) if sums[j] else 1
            else:
                factor = np.array([(class_weight or {}).get(label, 1) for label in y[rows]])
            c = C * weight[rows] * np.where(side == 1, factor, 1)
            if sums[j]:  # as if the node had 30 samples more
                c = c * (sums[j] + 30) / sums[j]
            c[np.isin(rows, without)] = 0
            w = margin_by_force(X[rows], side, c)
            margins[:, j] = X_test @ w[:-1] + w[-1]
        found[parent] = children, margins, sums
    return found


def check(
    hierarchy, X, y, *, C=3.0, weight=None, class_weight=None, by_label=None, tau=0.0, atol=5e-3
):
    """Compare log P of all nodes with products of softmaxes of margins."""
    clf = HierarchicalLinearClassifier(
        hierarchy,
        against="siblings",
        C=C,
        tol=1e-8,
        scale=2.0,
        class_weight=class_weight,
        logit_adjustment=tau,
    ).fit(sp.csr_matrix(X), y, sample_weight=weight)
    tree = clf.hierarchy_
    X_test = np.r_[X, np.random.default_rng(1).standard_normal((5, X.shape[1]))]
    known = class_weight if by_label is None else by_label
    expected = {Hierarchy.ROOT: np.zeros(len(X_test))}
    margins = margins_by_force(tree, X, y, X_test, C, weight, known)
    for parent, (children, of_children, sums) in margins.items():
        shares = np.array(sums) / sum(sums) if sum(sums) else np.ones(len(children))
        shares[shares == 0] = 1 / max(np.count_nonzero(sums), 1)
        steps = log_softmax(2 * of_children - tau * np.log(shares), axis=1)
        for j, child in enumerate(children):
            expected[child] = expected[parent] + steps[:, j]
    found = clf.predict_log_proba(sp.csr_matrix(X_test), level="all")
    np.testing.assert_allclose(found, np.array([expected[x] for x in tree]).T, atol=atol)


@settings(max_examples=15)
@given(trees(max_leaves=6), st.data())
def test_probabilities_are_products_of_softmaxes_of_margins(hierarchy, data):
    nodes = list(hierarchy)
    labels = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=6, unique=True))
    X, y = samples(labels, n=16, d=4)
    check(hierarchy, X, y, atol=1e-4)


@pytest.mark.parametrize("labels", [LEAVES, ["dog", "plant", "cat"], ["dog", *LEAVES]])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_weights_and_shares_are_those_of_the_definition(way, labels, class_weight):
    X, y = samples(labels)
    weight = np.random.default_rng(1).choice([0.5, 1.0, 2.0], len(y))
    check(TREE, X, y, weight=weight, class_weight=class_weight, tau=0.7)


def test_a_class_weight_is_that_of_the_positive_side(way):
    X, y = samples(LEAVES)
    by_label = {"poodle": 3.0, "collie": 3.0, "oak": 0.5}
    check(TREE, X, y, class_weight={"dog": 3.0, "oak": 0.5}, by_label=by_label)


def test_the_scale_is_the_likeliest_for_rows_solved_without_them(way):
    X, y = samples(LEAVES, n=300)
    weight = np.random.default_rng(1).choice([0.5, 1.0, 2.0], len(y))
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
    clf.fit(X, y, sample_weight=weight)
    asked = samples_to_hold_out(sp.csr_matrix(X), np.unique(y, return_inverse=True)[1])
    assert 0 < len(asked) < 100
    margins = margins_by_force(clf.hierarchy_, X, y, X[asked], 1.0, weight, without=asked)

    def loss(at):
        total = (at - np.log(5)) ** 2 / 2
        for children, of_children, _ in margins.values():
            log_proba = log_softmax(np.exp(at) * of_children, axis=1)
            for row, label in enumerate(y[asked]):
                on_path = [label, *clf.hierarchy_.ancestors(label)]
                own = [j for j, child in enumerate(children) if child in on_path]
                total -= weight[asked[row]] * sum(log_proba[row, j] for j in own)
        return total

    expected = np.exp(minimize_scalar(loss, bounds=np.log([0.1, 50]), method="bounded").x)
    assert clf.scale_ == pytest.approx(expected, rel=0.01)
    assert HierarchicalLinearClassifier(TREE, against="siblings", scale=3).fit(X, y).scale_ == 3


@pytest.mark.parametrize("C", [0.01, 4.0, 30.0])
def test_both_ways_lead_to_one_optimum(monkeypatch, C):
    pytest.importorskip("numba")
    X, y = samples(LEAVES, n=200, d=80)
    clf = HierarchicalLinearClassifier(TREE, against="siblings", C=C, tol=1e-7)
    X = sp.csr_matrix(X)
    by_loops = clf.fit(X, y).predict_proba(X)
    scale = clf.scale_
    monkeypatch.setattr(hierclf.nn._compact_fit, "loops_for", lambda *_: None)
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), by_loops, atol=5e-3)
    assert clf.scale_ == pytest.approx(scale, rel=0.01)


def test_under_the_root_alone_the_margins_are_those_against_all(way):
    labels = ["a", "b", "c"]
    X, y = samples(labels, n=200, d=80, dtype=np.float32)
    X, codes = sp.csr_matrix(X), np.searchsorted(labels, y.astype(str))
    asked = np.arange(0, 200, 7)
    sides = 2.0 * np.where(codes[:, None] == np.arange(3), 1, -1)
    expected = solve_margins(X, lambda columns: sides[:, columns], 3, hold_out=asked, tol=1e-5)
    runs = Runs.of(Hierarchy.flat(labels), codes)
    problem = Problem(
        X[runs.order], runs, *np.full((2, 200), 2.0), *np.ones((2, 3)), np.isin(runs.order, asked)
    )
    found = fit_tables(problem, tol=1e-5)
    kept = found.tables.features
    np.testing.assert_allclose(
        found.tables.weight.reshape(-1, 3), expected.weight.T[kept], atol=1e-3
    )
    assert not np.delete(expected.weight, kept, axis=1).any()
    np.testing.assert_allclose(found.tables.bias, expected.bias, atol=1e-3)
    (of_asked,) = found.asked
    rows = runs.order[of_asked.rows]
    np.testing.assert_array_equal(np.sort(rows), asked)
    np.testing.assert_array_equal(of_asked.child, codes[rows])
    by_row = dict(zip(asked, expected.held_out, strict=True))
    np.testing.assert_allclose(of_asked.margins, [by_row[row] for row in rows], atol=0.02)


def test_inner_labels_teach_the_groups_above_alone(way):
    X, y = samples(LEAVES)
    more = np.r_[X, X[y == "poodle"]]
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8, scale=1)
    plain = clf.fit(X, y).predict_log_proba(X, level="all")
    nodes = clf.hierarchy_.node_indices(["dog", "poodle", "collie"])
    labels = np.append(y, ["dog"] * (len(more) - len(y)))
    coarse = clf.fit(more, labels).predict_log_proba(X, level="all")
    below = [found[:, nodes[1:]] - found[:, nodes[:1]] for found in (plain, coarse)]
    np.testing.assert_allclose(*below, atol=1e-3)
    is_dog = y == "poodle"
    gain = coarse[is_dog][:, nodes[0]] - plain[is_dog][:, nodes[0]]
    assert gain.mean() > 0.003  # they are dogs twice


def test_a_weight_of_two_is_two_samples(way):
    X, y = samples(LEAVES)
    times = np.arange(len(X)) % 3
    times[: len(LEAVES)] = 2
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
    weighted = clf.fit(X, y, sample_weight=times).predict_proba(X)
    repeated = clf.fit(np.repeat(X, times, axis=0), np.repeat(y, times)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3)


def wide_tree(n_leaves=2500, seed=0):
    rng = np.random.default_rng(seed)
    labels = [f"l{i:04d}" for i in range(n_leaves)]
    edges = [("top", f"g{i}") for i in range(30)] + [("g0", "only"), ("only", "deep")]
    edges += [(f"g{rng.integers(30)}" if i % 7 else "deep", x) for i, x in enumerate(labels)]
    return Hierarchy(edges).prune(labels), labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_x", [sp.csr_matrix, np.asarray])
def test_the_likeliest_are_those_of_a_full_sort(way, dtype, as_x):
    tree, labels = wide_tree()
    X, y = samples(labels, n=3000, d=40, dtype=dtype)
    groups = list(tree.level(0))
    above = [groups.index(next(x for x in tree.path(label) if x in groups)) for label in y]
    X[np.arange(len(X)), 5 + np.array(above)] = 6  # so that few groups are in doubt
    clf = HierarchicalLinearClassifier(tree, against="siblings", C=0.01, tol=0.1).fit(as_x(X), y)
    assert clf._network.softmax.searches(5)
    X_test = np.r_[X[:40], np.zeros((1, 40)), np.eye(40)[:2]].astype(dtype)
    found, proba = clf.predict_topk(as_x(X_test), 5)
    everything = clf.predict_proba(as_x(X_test))
    assert everything.dtype == dtype
    best = np.sort(everything, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(proba, best, rtol=1e-3, atol=1e-7)
    columns = np.searchsorted(clf.classes_, found)
    np.testing.assert_allclose(np.take_along_axis(everything, columns, 1), proba, rtol=1e-3)
    assert (clf.predict(as_x(X_test)) == found[:, 0]).mean() > 0.95
    leaves = clf._find_leaves(as_x(X_test), 5)
    assert leaves[2] < len(X_test)  # most were found by the search
    clf.decision = "top_down"
    by_search = clf.predict(as_x(X_test))
    rows, at = range(len(X_test)), np.full(len(X_test), -1)
    all_nodes = clf.predict_proba(as_x(X_test), level="all")
    tree = clf.hierarchy_
    for row in rows:
        children = tree.level_indices(0).tolist()
        while children:
            at[row] = children[int(np.argmax(all_nodes[row, children]))]
            children = tree.node_indices(tree.children(tree.nodes[at[row]])).tolist()
    assert (by_search == np.array(tree.nodes, dtype=object)[at]).mean() > 0.95


def test_features_in_any_order_and_twice_are_the_same_rows(way):
    X, y = samples(LEAVES)
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8, scale=1)
    expected = clf.fit(X, y).predict_proba(X)
    rows = sp.csr_matrix(X)
    indices, data = rows.indices.copy(), rows.data.copy()
    for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        indices[start:stop], data[start:stop] = (
            part[start:stop][::-1].copy() for part in (indices, data)
        )
    turned = sp.csr_matrix((data, indices, rows.indptr), shape=rows.shape)
    np.testing.assert_allclose(clf.fit(turned, y).predict_proba(turned), expected, atol=1e-3)
    twice = sp.csr_matrix(
        (np.repeat(rows.data / 2, 2), np.repeat(rows.indices, 2), 2 * rows.indptr), rows.shape
    )
    np.testing.assert_allclose(clf.fit(twice, y).predict_proba(twice), expected, atol=1e-3)


def test_the_number_of_threads_changes_no_bit():
    tree, labels = wide_tree()
    X, y = samples(labels, n=3000, d=80, dtype=np.float32)
    X = sp.csr_matrix(X)
    clf = HierarchicalLinearClassifier(tree, against="siblings", C=0.01, tol=0.1)
    one = clf.fit(X, y)._network.softmax.linear.weight.numpy().copy()
    clf.set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(clf._network.softmax.linear.weight.numpy(), one)


def test_a_table_has_the_features_of_its_rows_alone(way):
    X = sp.csr_matrix(np.eye(4))
    clf = HierarchicalLinearClassifier({"p": ["a", "b"], "q": ["c", "d"]}, against="siblings")
    head = clf.fit(X, ["a", "b", "c", "d"])._network.softmax
    assert isinstance(head, CompactSoftmax)
    assert head.linear.offsets.tolist() == [0, 4, 6, 8]
    assert head.linear.features.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(head.linear.weight) == 16


def test_scale_is_a_factor_of_the_logits():
    X, y = samples(["a", "b", "c"])
    clf = HierarchicalLinearClassifier(against="siblings", scale=1)
    one = clf.fit(X, y).predict_log_proba(X)
    two = clf.set_params(scale=2.0).fit(X, y).predict_log_proba(X)
    assert clf.scale_ == 2.0
    np.testing.assert_allclose(log_softmax(2 * one, axis=1), two, atol=1e-6)
    np.testing.assert_allclose(clf.decision_function(X), two / 2, atol=1e-6)


def test_a_pickle_predicts_the_same():
    X, y = samples(LEAVES)
    clf = HierarchicalLinearClassifier(TREE, against="siblings").fit(X, y)
    expected = clf.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), expected)


def test_what_has_no_meaning_is_refused(monkeypatch):
    X, y = samples(LEAVES)
    clf = HierarchicalLinearClassifier(TREE, against="siblings")
    with pytest.raises(ValueError, match=r"path_weight=0.5 .* leave it 'auto'"):
        clf.set_params(path_weight=0.5).fit(X, y)
    clf.set_params(path_weight="auto").fit(X, y)
    for name in ("coef_", "intercept_"):
        assert not hasattr(clf, name)
        with pytest.raises(AttributeError, match="not linear in the features"):
            getattr(clf, name)
    dag = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "z")]
    with pytest.raises(ValueError, match=r"against='siblings' needs a tree.*against='all'"):
        HierarchicalLinearClassifier(dag, against="siblings").fit(*samples(["x", "y", "z"]))
    with pytest.raises(ValueError, match="carried over"):
        clf._network.softmax.map_rows(clf.hierarchy_, clf.hierarchy_)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 some margins are not solved"):
        HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-9, max_iter=1).fit(X, y)
    monkeypatch.setattr(memory, "physical_memory", lambda: 100)
    with pytest.raises(MemoryError, match="the table of weights is"):
        clf.fit(X, y)
