"""The linear classifier: its definition by brute force, labels of any kind, weights, the scale."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from strategies import dags, trees

import hierclf._utils.memory as memory
import hierclf.nn.margins
from hierclf import FlatSoftmaxClassifier, HierarchicalLinearClassifier, Hierarchy
from hierclf.classifiers._margin_tree import Scores, likeliest_scale, samples_to_hold_out
from hierclf.decisions import Threshold
from hierclf.induction import BalancedHierarchy

TREE = {"animal": ["cat", "dog", "cow"], "plant": ["oak", "elm"], "dog": ["poodle", "collie"]}
DAG = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "z"), ("top", "a"), ("top", "b")]
LEAVES = ["cat", "cow", "oak", "elm", "poodle", "collie"]


def samples(labels, n=60, d=4, seed=0, spread=0.3):
    """Samples around a point for each label."""
    rng = np.random.default_rng(seed)
    which = rng.integers(len(labels), size=n)
    which[: len(labels)] = np.arange(len(labels))
    X = rng.standard_normal((len(labels), d))[which] + spread * rng.standard_normal((n, d))
    y = np.empty(n, dtype=object)
    y[:] = [labels[i] for i in which]
    return X, y


def margin(X, y, c):
    """Solve one margin with a solver that knows nothing of it."""

    def value(point):
        slack = np.maximum(0, 1 - y * (X @ point[:-1] + point[-1]))
        pulled = point + np.append(np.zeros(X.shape[1]), 1)
        slope = -2 * c * y * slack
        gradient = pulled + np.append(X.T @ slope, slope.sum())
        return pulled @ pulled / 2 + c @ slack**2, gradient

    start = np.zeros(X.shape[1] + 1)
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000}
    found = minimize(value, start, jac=True, method="L-BFGS-B", options=options).x
    return found[:-1], found[-1]


def scores_by_definition(hierarchy, X, y, path_weight, weight=None, class_weight=None, C=1.0):
    """Score each leaf of a pruned hierarchy, one node after another."""
    weight = np.ones(len(y)) if weight is None else weight
    leaves = hierarchy.leaves
    below = {
        node: {leaf for leaf in leaves if leaf == node or node in hierarchy.ancestors(leaf)}
        for node in hierarchy
    }
    inner = [
        node
        for node in hierarchy
        if len(hierarchy.children(node)) > 1 and len(below[node]) < len(leaves)
    ]

    def solve(node, width):
        side, c = np.empty(len(y)), C * weight.copy()
        for i, label in enumerate(y):
            is_at_or_below = label == node or node in hierarchy.ancestors(label)
            side[i] = 1 if is_at_or_below else -1
            if not is_at_or_below and below[label] & below[node]:
                c[i] = 0  # nobody knows
            elif is_at_or_below and isinstance(class_weight, dict):
                c[i] *= class_weight.get(label, 1)
        positive = c[side > 0].sum()
        if class_weight == "balanced" and positive:
            c[side > 0] *= c.sum() / (width * positive)
        share = c[side > 0].sum() / c.sum() if c.sum() else 0.0
        w, b = margin(X, side, c)
        return X @ w + b, share

    found = {
        node: solve(node, len(inner))[0] - (2 * solve(node, len(inner))[1] - 1) for node in inner
    }
    scores = []
    for leaf in leaves:
        score = solve(leaf, len(leaves))[0]
        for node in inner:
            if node in hierarchy.ancestors(leaf):
                score = score + path_weight * found[node]
        scores.append(score)
    return np.array(scores).T


def check_definition(hierarchy, X, y, **options):
    options = {"scale": 2.0, "path_weight": 0.7, **options}
    weight = options.pop("sample_weight", None)
    clf = HierarchicalLinearClassifier(hierarchy, **options).fit(X, y, sample_weight=weight)
    expected = scores_by_definition(
        clf.hierarchy_,
        X,
        y,
        options["path_weight"],
        weight,
        options.get("class_weight"),
        options.get("C", 1.0),
    )
    leaves = clf.hierarchy_.node_indices(clf.classes_)
    log_proba = log_softmax(2 * expected, axis=1)
    found = clf.predict_log_proba(X, level="all")
    for j, node in enumerate(clf.hierarchy_):
        below = [
            i
            for i, leaf in enumerate(clf.hierarchy_.leaves)
            if leaf == node or node in clf.hierarchy_.ancestors(leaf)
        ]
        np.testing.assert_allclose(found[:, j], logsumexp(log_proba[:, below], axis=1), atol=2e-4)
    columns = np.searchsorted(clf.hierarchy_.leaf_indices, leaves)
    scores, by_class = clf.decision_function(X), expected[:, columns]
    if len(leaves) == 2:
        by_class = by_class[:, 1] - by_class[:, 0]
    np.testing.assert_allclose(scores, by_class, atol=2e-4)
    linear = X @ clf.coef_.T + clf.intercept_
    np.testing.assert_allclose(linear.reshape(scores.shape), scores, atol=1e-9)


@settings(max_examples=15)
@given(trees(max_leaves=5) | dags(max_nodes=6), st.data())
def test_folded_weights_give_the_scores_of_the_definition(hierarchy, data):
    nodes = list(hierarchy)
    labels = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=6, unique=True))
    X, y = samples(labels, n=14, d=3)
    check_definition(hierarchy, X, y, path_weight=data.draw(st.sampled_from([0.0, 0.5])))


@pytest.mark.parametrize("labels", [LEAVES, ["dog", "plant", "cat"], ["dog", *LEAVES]])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"cat": 3.0, "oak": 0.5, "dog": 2.0}])
def test_weights_of_samples_and_classes_are_those_of_the_definition(labels, class_weight):
    X, y = samples(labels, n=24)
    weight = np.random.default_rng(1).choice([0.5, 1.0, 2.0], len(y))
    if isinstance(class_weight, dict):  # a key counts below it, too: the definition has all labels
        class_weight = class_weight | {"poodle": 2.0, "collie": 2.0}
    check_definition(TREE, X, y, class_weight=class_weight, sample_weight=weight, C=0.5)


def test_a_class_weight_of_an_inner_node_is_that_of_the_labels_below():
    X, y = samples(LEAVES)
    found, same = (
        HierarchicalLinearClassifier(TREE, class_weight=weights).fit(X, y).coef_
        for weights in ({"dog": 3.0}, {"poodle": 3.0, "collie": 3.0})
    )
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("labels", [["x", "y", "z"], ["a", "y", "z"], ["x", "b"]])
def test_a_leaf_of_a_dag_adds_up_all_nodes_above_it(labels):
    check_definition(DAG, *samples(labels, n=20))


def test_a_node_with_one_child_and_one_above_all_add_nothing():
    X, y = samples(["a", "b", "c"])
    plain = Hierarchy.from_dict({"top": ["ab", "c"], "ab": ["a", "b"]})
    longer = Hierarchy.from_dict(
        {"root": ["all"], "all": ["only", "c"], "only": ["ab"], "ab": ["a", "b"]}
    )
    found, same = (
        HierarchicalLinearClassifier(tree, path_weight=1.0).fit(X, y).decision_function(X)
        for tree in (plain, longer)
    )
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_weight_of_two_is_two_samples(wide, is_sparse):
    X, y = samples(LEAVES, n=80, d=100 if wide else 4)
    X = np.where(abs(X) > 0.5, X, 0)
    times = np.arange(len(X)) % 3
    times[: len(LEAVES)] = 2
    as_x = sp.csr_matrix if is_sparse else np.asarray
    clf = HierarchicalLinearClassifier(TREE, tol=1e-6)
    weighted = clone(clf).fit(as_x(X), y, sample_weight=times)
    repeated = clone(clf).fit(as_x(np.repeat(X, times, axis=0)), np.repeat(y, times))
    assert weighted.scale_ == pytest.approx(repeated.scale_, rel=1e-2 if wide else 1e-9)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=5e-3 if wide else 1e-10)


KINDS = {
    "labels": (TREE, LEAVES, {}),
    "coarse": (TREE, ["dog", "plant", "cat"], {}),
    "itself": (TREE, ["dog", *LEAVES], {"inner_labels": "itself"}),
    "numbers": ({"a": [9, 7], "b": [8, 3]}, [3, 7, 8, 9], {}),
    "no hierarchy": (None, ["b", "a", "c"], {}),
    "inducer": (BalancedHierarchy(2), ["b", "a", "c", "d"], {}),
    "DAG": (DAG, ["x", "y", "z"], {}),
    "tuples": ({("a",): [("a", 1), ("a", 2)], ("b",): [("b", 1), 7]}, [("a", 1), ("b", 1), 7], {}),
    "one": (None, ["only"], {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind_are_read_as_by_the_networks(kind):
    hierarchy, labels, options = KINDS[kind]
    X, y = samples(labels, n=80, d=8, spread=0.1)
    y = y if kind == "tuples" else np.array(y.tolist())
    clf = HierarchicalLinearClassifier(hierarchy, **options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        other = FlatSoftmaxClassifier(hierarchy, max_iter=1, **options).fit(X, y)
    assert clf.hierarchy_ == other.hierarchy_
    np.testing.assert_array_equal(clf.classes_, other.classes_)
    assert clf.classes_.dtype == other.classes_.dtype
    predicted = clf.predict(X)
    assert predicted.dtype == other.predict(X).dtype
    for label, found in zip(y, predicted, strict=True):
        assert found == label or label in clf.hierarchy_.ancestors(found)
    assert clf.predict_path(X).shape == other.predict_path(X).shape
    labels, proba = clf.predict_topk(X, 1)
    np.testing.assert_array_equal(labels[:, 0], predicted)
    np.testing.assert_allclose(proba[:, 0], clf.predict_proba(X).max(axis=1))


def test_paths_in_a_data_frame_name_the_levels():
    X, y = samples([("a", "x"), ("a", "y"), ("b", "x")], spread=0.1)
    frame = pd.DataFrame(y.tolist(), columns=["group", "kind"])
    clf = HierarchicalLinearClassifier().fit(X, frame)
    np.testing.assert_array_equal(clf.predict(X), frame)
    np.testing.assert_array_equal(clf.predict(X, level="group"), frame["group"])
    np.testing.assert_allclose(clf.predict_proba(X, level="group").sum(axis=1), 1)
    assert clf.score(X, frame) == 1


def test_a_column_is_a_label_with_a_warning_that_points_here():
    X, y = samples(["a", "b"])
    with pytest.warns(DataConversionWarning, match="column-vector") as found:
        HierarchicalLinearClassifier().fit(X, np.array(y.tolist())[:, None])
    assert found[0].filename == __file__


def test_the_decision_may_be_set_after_the_fit():
    X, y = samples(LEAVES, spread=1.5)
    clf = HierarchicalLinearClassifier(TREE).fit(X, y)
    likeliest = clf.predict(X)
    clf.set_params(decision=Threshold(0.9))
    expected = Threshold(0.9).decide(clf.predict_proba(X), clf.classes_, clf.hierarchy_)
    np.testing.assert_array_equal(clf.predict(X), expected)
    assert (expected != likeliest).any()
    with pytest.raises(ValueError, match="decision__threshold"):
        HierarchicalLinearClassifier(TREE).set_params(decision__threshold=0.5)


def test_two_classes_have_one_score():
    X, y = samples(["no", "yes"], spread=1.0)
    clf = HierarchicalLinearClassifier().fit(X, np.array(y.tolist()))
    scores = clf.decision_function(X)
    assert clf.coef_.shape == (1, 4)
    assert clf.intercept_.shape == (1,)
    np.testing.assert_array_equal(clf.predict(X), np.where(scores > 0, "yes", "no"))
    odds = np.diff(clf.predict_log_proba(X))[:, 0]
    np.testing.assert_allclose(odds, clf.scale_ * scores, atol=1e-10)


def test_the_scale_changes_probabilities_alone():
    X, y = samples(LEAVES, spread=1.0)
    first, second = (HierarchicalLinearClassifier(TREE, scale=s).fit(X, y) for s in (1.0, 4.0))
    np.testing.assert_allclose(first.decision_function(X), second.decision_function(X))
    np.testing.assert_allclose(
        log_softmax(4 * first.predict_log_proba(X), axis=1), second.predict_log_proba(X)
    )


@given(st.integers(0, 1000))
def test_the_likeliest_scale_has_the_lowest_log_loss(seed):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((30, 4))
    column = np.where(rng.random(30) < 0.6, scores.argmax(axis=1), rng.integers(4, size=30))
    weight = rng.choice([0.0, 1.0, 2.0], 30)
    weight[0] = 1

    def loss(scale):
        log_proba = log_softmax(scale * scores, axis=1)
        penalty = np.log(scale / 5) ** 2 / 2
        return penalty - weight @ log_proba[np.arange(30), column]

    parts = (slice(12), slice(12, None))
    found = likeliest_scale([Scores(scores[x], column[x], weight[x]) for x in parts])
    assert all(loss(found) <= loss(other) + 1e-6 for other in np.geomspace(0.1, 50, 200))


def test_few_that_are_all_right_are_no_reason_to_be_certain():
    def scale_of(scores, n):
        column = np.tile(np.arange(3), n)
        return likeliest_scale([Scores(np.tile(scores, (n, 1)), column, np.ones(3 * n))])

    assert 5 < scale_of(np.eye(3), 1) < scale_of(np.eye(3), 1000) < 50
    assert scale_of(-np.eye(3), 1000) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_equal_samples_are_held_out_together_and_each_label_keeps_one(is_sparse):
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((200, 5)) * (rng.random((200, 5)) < 0.7)
    label_of = np.append(rng.integers(-1, 10, size=190), np.arange(10, 20))
    rows = rng.integers(200, size=1000)
    X = sp.csr_matrix(kinds[rows]) if is_sparse else kinds[rows]
    found = samples_to_hold_out(X, label_of[rows])
    held_out = set(rows[found])
    assert 20 <= len(held_out) <= 60
    assert set(np.flatnonzero(np.isin(rows, list(held_out)))) == set(found)
    kept = np.delete(np.arange(1000), found)
    assert set(label_of[rows[kept]]) == set(label_of[rows])
    assert (label_of[rows[found]] >= 0).all()
    order = rng.permutation(1000)
    again = samples_to_hold_out(X[order], label_of[rows][order])
    assert set(rows[order[again]]) == held_out
    assert not len(samples_to_hold_out(X[:2], np.array([0, 0])))


def test_logit_adjustment_takes_the_logarithm_of_the_share_off():
    X, y = samples(["a", "b", "c"])
    weight = np.where(y == "a", 5.0, 1.0)
    tree = {"top": ["a", "b", "c", "unseen"], "other": ["d"]}
    y[-1] = "top"  # so that a leaf without samples of its own is left
    plain = HierarchicalLinearClassifier(tree).fit(X, y, weight)
    found = HierarchicalLinearClassifier(tree, logit_adjustment=0.5).fit(X, y, weight)
    totals = [weight[y == label].sum() for label in "abc"] + [weight.mean()]
    expected = plain.predict_log_proba(X) - 0.5 * np.log(np.array(totals) / np.sum(totals))
    np.testing.assert_allclose(found.predict_log_proba(X), log_softmax(expected, axis=1))
    assert plain.scale_ == found.scale_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_the_type_of_x_is_that_of_the_weights(dtype, is_sparse):
    X, y = samples(LEAVES, d=100, spread=1.0)
    X = X.astype(dtype)
    clf = HierarchicalLinearClassifier(TREE).fit(sp.csr_matrix(X) if is_sparse else X, y)
    for found in (clf.coef_, clf.intercept_, clf.decision_function(X), clf.predict_proba(X)):
        assert found.dtype == dtype
    for other in (X, sp.csr_matrix(X), sp.csc_matrix(X)):
        np.testing.assert_allclose(
            clf.decision_function(other), clf.decision_function(X), rtol=1e-3, atol=1e-5
        )


def test_with_and_without_numba_all_is_about_the_same(monkeypatch):
    X, y = samples(LEAVES, n=200, d=100, spread=1.0)
    X = sp.csr_matrix(np.where(abs(X) > 1, X, 0))
    clf = HierarchicalLinearClassifier(TREE, tol=1e-10)
    found = clone(clf).fit(X, y)
    monkeypatch.setattr(hierclf.nn.margins, "loops_for", lambda *args: None)
    without = clone(clf).fit(X, y)
    np.testing.assert_allclose(found.coef_, without.coef_, atol=1e-4)
    assert found.scale_ == pytest.approx(without.scale_, rel=1e-2)


@pytest.mark.parametrize("d", [4, 100])
def test_the_same_bits_each_time_and_with_threads(d):
    X, y = samples(range(80), n=300, d=d)  # several blocks
    X, y = sp.csr_matrix(X), y.astype(int)
    state = np.random.get_state()[1].copy()  # noqa: NPY002, what others may use
    first = HierarchicalLinearClassifier(BalancedHierarchy(4)).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    np.random.random(3)  # noqa: NPY002
    second = HierarchicalLinearClassifier(BalancedHierarchy(4), n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert first.scale_ == second.scale_


def test_a_pickle_holds_weights_and_no_data():
    X, y = samples(LEAVES, n=3000)
    clf = HierarchicalLinearClassifier(TREE).fit(X, y)
    saved = pickle.dumps(clf)
    assert len(saved) < 20_000
    np.testing.assert_array_equal(pickle.loads(saved).predict_proba(X), clf.predict_proba(X))


def test_in_a_pipeline_after_tf_idf():
    texts = ["who wrote it", "who won it", "what town is it", "what river is it"]
    tree = {"person": ["author", "winner"], "place": ["town", "river"]}
    model = make_pipeline(TfidfVectorizer(), HierarchicalLinearClassifier(tree))
    model.fit(texts, ["author", "winner", "town", "river"])
    assert model.predict(texts, level="path").tolist()[0] == ["person", "author"]
    assert model.predict(texts, top_k=2)[0].shape == (4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": 0}, "'C' parameter"),
        ({"path_weight": -1}, "'path_weight' parameter"),
        ({"scale": "fitted"}, "'scale' parameter"),
        ({"class_weight": {"bird": 2}}, "class_weight has keys that are no labels.*bird"),
        ({"class_weight": dict.fromkeys(LEAVES, 0)}, "class weights of all classes in y are 0"),
        ({"decision": "greedy"}, "no decision 'greedy'"),
        ({"hierarchy": {"plant": ["oak"]}}, "cat"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_has_changed(options, message):
    X, y = samples(LEAVES)
    clf = HierarchicalLinearClassifier(**{"hierarchy": TREE, **options})
    before = set(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert set(vars(clf)) == before


def test_weights_that_do_not_fit_are_refused_before_any_work(monkeypatch):
    X, y = samples(LEAVES)
    monkeypatch.setattr(memory, "physical_memory", lambda: 100)
    with pytest.raises(
        MemoryError, match=r"the table of weights.* is 4 rows x 9 columns x 16 bytes"
    ):
        HierarchicalLinearClassifier(TREE).fit(X, y)


def test_margins_that_are_not_solved_are_said_so():
    X, y = samples(LEAVES, d=100)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 ") as found:
        clf = HierarchicalLinearClassifier(TREE, max_iter=1).fit(X, y)
    assert found[0].filename == __file__
    assert clf.n_iter_ == 1


@pytest.mark.parametrize("d", [4, 100])
@pytest.mark.parametrize("as_x", [sp.csr_matrix, np.asarray])
def test_values_that_are_too_large_are_named(d, as_x):
    X, y = samples(LEAVES, d=d)
    X = as_x((1e25 * X).astype(np.float32))
    with pytest.raises(ValueError, match=r"X holds values up to .*e\+25.*scale the features"):
        HierarchicalLinearClassifier(TREE).fit(X, y)
