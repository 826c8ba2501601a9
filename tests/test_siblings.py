"""The linear classifier against siblings: brute force for each parent, and products of those."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from strategies import trees

import hierclf._utils.memory as memory
import hierclf.nn._compact_fit
import hierclf.nn._search
import hierclf.nn.compact
from hierclf import HierarchicalLinearClassifier, Hierarchy
from hierclf.nn._fast import has_numba
from hierclf.nn.compact import CompactSoftmax

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


def softmax_by_force(X, target, size, c):
    """Minimise the log loss of one group, with a solver that knows nothing of it."""
    X = np.c_[X, np.ones(len(X))]

    def value(point):
        W = point.reshape(size, -1)
        log_proba = log_softmax(X @ W.T, axis=1)
        residual = c[:, None] * (np.exp(log_proba) - np.eye(size)[target])
        loss = -c @ log_proba[np.arange(len(X)), target]
        return point @ point / 2 + loss, (residual.T @ X + W).ravel()

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000, "maxfun": 10**6}
    start = np.zeros(size * X.shape[1])
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    return found.reshape(size, -1)


def log_proba_by_force(hierarchy, X, y, X_test, C, weight=None, balanced=False, tau=0.0):
    """Return log P of all nodes of a pruned tree: products of the conditionals."""
    weight = np.ones(len(y)) if weight is None else weight
    found = {Hierarchy.ROOT: np.zeros(len(X_test))}

    def fit_below(parent, children):
        is_below = np.zeros(len(y), bool)
        target = np.zeros(len(y), int)
        for j, child in enumerate(children):
            own = np.array([x == child or child in hierarchy.ancestors(x) for x in y])
            is_below |= own
            target[own] = j
        rows = np.flatnonzero(is_below)
        c, of_row = weight[rows], target[rows]
        sums = np.bincount(of_row, weights=c, minlength=len(children))
        if balanced:
            c = c * sums.sum() / (np.count_nonzero(sums) * sums[of_row])
        if len(children) == 1:
            logits = np.zeros((len(X_test), 1))
        else:
            W = softmax_by_force(X[rows], of_row, len(children), C * c)
            logits = X_test @ W[:, :-1].T + W[:, -1]
            if tau:
                shares = sums / sums.sum() if sums.sum() else np.ones(len(children))
                shares[sums == 0] = 1 / max(np.count_nonzero(sums), 1)
                logits = logits - tau * np.log(shares)
        steps = log_softmax(logits, axis=1)
        for j, child in enumerate(children):
            found[child] = found[parent] + steps[:, j]
            if hierarchy.children(child):
                fit_below(child, hierarchy.children(child))

    fit_below(Hierarchy.ROOT, hierarchy.level(0))
    return np.array([found[node] for node in hierarchy]).T


def check(hierarchy, X, y, *, C=3.0, weight=None, balanced=False, tau=0.0, atol=5e-3):
    clf = HierarchicalLinearClassifier(
        hierarchy,
        against="siblings",
        C=C,
        tol=1e-8,
        class_weight="balanced" if balanced else None,
        logit_adjustment=tau,
    ).fit(sp.csr_matrix(X), y, sample_weight=weight)
    X_test = np.r_[X, np.random.default_rng(1).standard_normal((5, X.shape[1]))]
    expected = log_proba_by_force(clf.hierarchy_, X, y, X_test, C, weight, balanced, tau)
    found = clf.predict_log_proba(sp.csr_matrix(X_test), level="all")
    np.testing.assert_allclose(found, expected, atol=atol)
    return clf


@settings(max_examples=15)
@given(trees(max_leaves=6), st.data())
def test_probabilities_are_products_of_optima(hierarchy, data):
    nodes = list(hierarchy)
    labels = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=6, unique=True))
    X, y = samples(labels, n=16, d=4)
    check(hierarchy, X, y, atol=1e-4)


@pytest.mark.parametrize("labels", [LEAVES, ["dog", "plant", "cat"], ["dog", *LEAVES]])
@pytest.mark.parametrize("balanced", [False, True])
def test_weights_and_shares_are_those_of_the_definition(way, labels, balanced):
    X, y = samples(labels)
    weight = np.random.default_rng(1).choice([0.5, 1.0, 2.0], len(y))
    check(TREE, X, y, weight=weight, balanced=balanced, tau=0.7)


def test_a_flat_softmax_is_a_logistic_regression_with_its_bias_drawn_to_0(way):
    X, y = samples(["a", "b", "c"])
    clf = HierarchicalLinearClassifier(against="siblings", C=5.0, tol=1e-9).fit(X, y)
    with_ones = np.c_[X, np.ones(len(X))]
    other = LogisticRegression(C=5.0, fit_intercept=False, tol=1e-9, max_iter=10_000)
    other.fit(with_ones, y.astype(str))
    np.testing.assert_allclose(clf.predict_proba(X), other.predict_proba(with_ones), atol=1e-3)


@pytest.mark.parametrize("C", [0.01, 30.0, 300.0])
def test_both_ways_lead_to_one_optimum(monkeypatch, C):
    pytest.importorskip("numba")
    X, y = samples(LEAVES, n=200, d=80)
    clf = HierarchicalLinearClassifier(TREE, against="siblings", C=C, tol=1e-6)
    by_loops = clf.fit(X, y).predict_proba(X)
    monkeypatch.setattr(hierclf.nn._compact_fit, "loops_for", lambda *_: None)
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), by_loops, atol=5e-3)


def test_inner_labels_teach_the_groups_above_alone(way):
    X, y = samples(LEAVES)
    more = np.r_[X, X[y == "poodle"]]
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
    plain = clf.fit(X, y).predict_log_proba(X, level="all")
    nodes = clf.hierarchy_.node_indices(["dog", "poodle", "collie"])
    labels = np.append(y, ["dog"] * (len(more) - len(y)))
    coarse = clf.fit(more, labels).predict_log_proba(X, level="all")
    below = [found[:, nodes[1:]] - found[:, nodes[:1]] for found in (plain, coarse)]
    np.testing.assert_allclose(*below, atol=1e-3)
    is_dog = y == "poodle"
    gain = coarse[is_dog][:, nodes[0]] - plain[is_dog][:, nodes[0]]
    assert gain.mean() > 0.01  # they are dogs twice


def test_a_weight_of_two_is_two_samples(way):
    X, y = samples(LEAVES)
    times = np.arange(len(X)) % 3
    times[: len(LEAVES)] = 2
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
    weighted = clf.fit(X, y, sample_weight=times).predict_proba(X)
    repeated = clf.fit(np.repeat(X, times, axis=0), np.repeat(y, times)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-3)


def test_a_class_weight_is_a_weight_of_its_samples():
    X, y = samples(LEAVES)
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
    weight = np.where(np.isin(y, ["poodle", "collie"]), 3.0, np.where(y == "oak", 0.5, 1.0))
    expected = clf.fit(X, y, sample_weight=weight).predict_proba(X)
    clf.set_params(class_weight={"dog": 3.0, "oak": 0.5})
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), expected, atol=1e-6)


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
    clf = HierarchicalLinearClassifier(tree, against="siblings").fit(as_x(X), y)
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
    clf = HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-8)
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
    clf = HierarchicalLinearClassifier(tree, against="siblings")
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
    clf = HierarchicalLinearClassifier(against="siblings")
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
    with pytest.warns(ConvergenceWarning, match="max_iter=1 some softmaxes are not solved"):
        HierarchicalLinearClassifier(TREE, against="siblings", tol=1e-9, max_iter=1).fit(X, y)
    monkeypatch.setattr(memory, "physical_memory", lambda: 100)
    with pytest.raises(MemoryError, match="the table of weights is"):
        clf.fit(X, y)
