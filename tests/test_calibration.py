"""Temperatures of the softmaxes of a tree, fitted on held-out rows."""

from itertools import pairwise

import numpy as np
import pytest
from held_out_cases import Table, at_or_below, peak_memory, sample, table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import BernoulliNB
from strategies import trees

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf._utils import blocks as _blocks
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.datasets import load_digits_hierarchy

TREE = Hierarchy.from_dict(
    {"life": ["animal", "plant"], "animal": ["bird", "cat"], "bird": ["emu", "owl"],
     "plant": ["elm", "fir", "oak"]}
)  # fmt: skip
INNER = ["life", "animal", "plant", "bird"]  # in node order
LEVELS = [0, 1, 1, 2]


def inner_nodes(tree):
    return [tree.root if i < 0 else tree.nodes[i] for i in tree.arrays.inner_indices.tolist()]


def masses(tree, classes, row):
    """Return the probability of every node by adding up the classes at or below it."""
    column = dict(zip(classes, row, strict=True))
    return {v: sum(column.get(c, 0) for c in at_or_below(tree, v)) for v in tree.nodes}


def shares(tree, classes, row):
    """Return the probability of every node given its parent: {parent: {child: p}}."""
    mass = masses(tree, classes, row)
    result = {}
    for parent in inner_nodes(tree):
        known = [c for c in tree.children(parent) if at_or_below(tree, c) & set(classes)]
        total = sum(mass[c] for c in known)
        result[parent] = {c: mass[c] / total if total else 1 / len(known) for c in known}
    return result


def scale(tree, classes, row, temperatures):
    """Return the probability of each class by the definition."""
    scaled = {}
    for parent, children in shares(tree, classes, row).items():
        powers = {c: p ** (1 / temperatures[parent]) for c, p in children.items()}
        scaled |= {c: p / sum(powers.values()) for c, p in powers.items()}
    return [np.prod([scaled[v] for v in tree.path(c)]) for c in classes]


def loss(tree, classes, proba, labels, temperatures):
    """Return the negative log-likelihood of the paths, step by step."""
    total = 0.0
    for row, label in zip(proba, labels, strict=True):
        given_parent = shares(tree, classes, row)
        for node in tree.path(label):
            (parent,) = tree.parents(node)
            if node not in given_parent[parent]:
                break
            beta = 1 / temperatures[parent]
            logs = {c: beta * np.log(max(p, 2**-52)) for c, p in given_parent[parent].items()}
            total -= logs[node] - np.log(sum(np.exp(v) for v in logs.values()))
    return total


def fit(estimator, X, y, tree=TREE, by="level"):
    return TemperatureScalingClassifier(estimator, by=by, hierarchy=tree, cv="prefit").fit(X, y)


def fitted(clf):
    return dict(zip(inner_nodes(clf.hierarchy_), clf.temperatures_.tolist(), strict=True))


@pytest.mark.parametrize(
    ("by", "truth"),
    [("all", [2.0] * 4), ("level", [3.0, 0.5, 0.5, 1.5]), ("group", [3.0, 0.5, 0.8, 1.5])],
)
def test_temperatures_are_recovered(by, truth):
    rng = np.random.default_rng(0)
    n, temperatures = 12000, dict(zip(INNER, truth, strict=True))
    true, claimed = np.ones((2, n, len(TREE)))
    for parent in INNER:
        children = TREE.node_indices(TREE.children(parent))
        scores = rng.normal(size=(n, len(children))) * 1.5
        true[:, children] = softmax(scores, axis=1)
        claimed[:, children] = softmax(scores * temperatures[parent], axis=1)
    leaves = TREE.leaves
    on_path = TREE.to_indicator(leaves).astype(bool)
    true, claimed = (
        np.stack([values[:, path].prod(axis=1) for path in on_path], axis=1)
        for values in (true, claimed)
    )
    y = sample(rng, true, leaves)
    clf = fit(*table(claimed, leaves), y, by=by)
    np.testing.assert_allclose(clf.temperatures_, truth, rtol=0.1)
    assert TREE.arrays.inner_indices.tolist() == [-1, *TREE.node_indices(INNER[1:])]
    # What it predicts is nearer to the truth than what the estimator claimed.
    assert np.abs(clf.predict_proba(np.arange(n)[:, None]) - true).mean() < 0.02
    assert np.abs(claimed - true).mean() > 0.04


@st.composite
def held_out(draw):
    """A tree, some of its leaves as classes, probabilities with zeros, and labels of any depth."""
    tree = draw(trees(max_leaves=6))
    classes = draw(st.lists(st.sampled_from(tree.leaves), min_size=1, unique=True))
    n = draw(st.integers(1, 6))
    weights = st.lists(st.sampled_from([0, 1, 2, 5, 30]), min_size=len(classes),
                       max_size=len(classes))  # fmt: skip
    counts = np.array([draw(weights.filter(sum)) for _ in range(n)], dtype=float)
    labels = [draw(st.sampled_from(tree.nodes)) for _ in range(n)]
    return tree, classes, counts / counts.sum(axis=1, keepdims=True), labels


@settings(max_examples=30, deadline=None)
@given(held_out())
def test_temperatures_are_the_best_of_a_grid(case):
    tree, classes, proba, labels = case
    estimator, X = table(proba, classes)
    losses = {None: loss(tree, classes, proba, labels, dict.fromkeys(inner_nodes(tree), 1.0))}
    depths = [len(tree.path(v)) for v in inner_nodes(tree)]
    units = {
        "all": [set(inner_nodes(tree))],
        "level": [
            {v for v, d in zip(inner_nodes(tree), depths, strict=True) if d == depth}
            for depth in set(depths)
        ],
        "group": [{v} for v in inner_nodes(tree)],
    }
    for by in units:
        found = fitted(fit(estimator, X, labels, tree, by))
        losses[by] = loss(tree, classes, proba, labels, found)
        for unit in units[by]:
            for t in [0.05, 0.3, 1.0, 3.0, 20.0]:
                other = loss(tree, classes, proba, labels, {**found, **dict.fromkeys(unit, t)})
                assert losses[by] <= other + 1e-3
    # Each has the freedom of those before.
    ordered = [losses[by] for by in (None, "all", "level", "group")]
    assert all(after <= before + 1e-3 for before, after in pairwise(ordered))


@settings(max_examples=50)
@given(held_out(), st.data(), st.sampled_from(["all", "level", "group"]))
def test_a_row_of_weight_two_is_two_rows(case, data, by):
    tree, classes, proba, labels = case
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels)))
    counts = np.array(counts) if any(counts) else np.ones(len(labels), dtype=int)
    estimator, X = table(proba, classes)
    clf = TemperatureScalingClassifier(estimator, by=by, hierarchy=tree, cv="prefit")
    weighted = clone(clf).set_params(estimator=estimator).fit(X, labels, sample_weight=counts / 8)
    repeated = clf.fit(X.repeat(counts, axis=0), np.repeat(labels, counts))
    np.testing.assert_allclose(weighted.temperatures_, repeated.temperatures_, rtol=1e-6)


def test_blocks_of_rows_give_the_same_with_less_memory(monkeypatch):
    rng = np.random.default_rng(0)
    tree = Hierarchy.balanced(range(250), 5)
    proba = rng.dirichlet(np.full(250, 0.05), size=1000).astype(np.float32)
    estimator, X = table(proba, tree.leaves)
    y = sample(rng, proba, tree.leaves)
    whole = fit(estimator, X, y, tree)
    log_proba = whole.predict_log_proba(X)
    monkeypatch.setattr(_blocks, "BLOCK", 1 << 12)
    blocks = TemperatureScalingClassifier(estimator, hierarchy=tree, cv="prefit")
    # What is asked of the estimator, and what is returned, each the size of the table.
    assert peak_memory(blocks.fit, X, y) < 3 * proba.nbytes
    assert peak_memory(blocks.predict_log_proba, X) < 2.7 * proba.nbytes
    assert peak_memory(blocks.predict_proba, X) < 2.7 * proba.nbytes
    np.testing.assert_allclose(blocks.temperatures_, whole.temperatures_, rtol=1e-9)
    np.testing.assert_allclose(blocks.predict_log_proba(X), log_proba, rtol=1e-6)
    assert blocks.predict_log_proba(X).dtype == np.float32


@given(held_out(), st.data())
def test_probabilities_follow_the_definition(case, data):
    tree, classes, proba, labels = case
    proba = proba + 0.01
    proba /= proba.sum(axis=1, keepdims=True)
    estimator, X = table(proba, classes)
    clf = fit(estimator, X, labels, tree)
    np.testing.assert_allclose(
        clf.predict_proba(X), [scale(tree, classes, row, fitted(clf)) for row in proba], atol=1e-12
    )
    drawn = data.draw(st.lists(st.sampled_from([0.1, 0.5, 1.0, 4.0]), min_size=len(INNER)))
    clf.temperatures_ = np.resize(drawn, len(tree.arrays.inner_indices))
    scaled = clf.predict_proba(X)
    expected = [scale(tree, classes, row, fitted(clf)) for row in proba]
    np.testing.assert_allclose(scaled, expected, atol=1e-12)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), scaled, atol=1e-15)
    assert clf.predict(X).tolist() == [classes[i] for i in scaled.argmax(axis=1)]
    clf.temperatures_ = np.ones(len(tree.arrays.inner_indices))
    np.testing.assert_allclose(clf.predict_proba(X), proba, rtol=1e-12)


def test_softmax_without_rows_takes_the_temperature_of_its_level():
    # No plant is held out: "plant" follows "animal". No row says which bird it is either, and
    # nothing is known of that level.
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(6), size=50)
    estimator, X = table(proba, TREE.leaves)
    found = fitted(fit(estimator, X, ["cat", "bird"] * 25, by="group"))
    assert found["plant"] == found["animal"] not in (1.0, found["life"])
    assert found["bird"] == 1.0


def test_hopeless_and_certain_estimators_get_the_outermost_temperatures():
    # Always wrong: as good as no opinion. Always right, if not surely: as sure as may be.
    wrong = np.tile([0.9, 0.1], (8, 1))
    estimator, X = table(wrong, ["cat", "dog"])
    tree = {"animal": ["cat", "dog"]}
    assert fit(estimator, X, ["dog"] * 8, tree).temperatures_ == pytest.approx([20], rel=1e-3)
    assert 0.05 <= fit(estimator, X, ["cat"] * 8, tree).temperatures_[0] < 0.1
    equal, X = table(np.full((8, 2), 0.5), ["cat", "dog"])
    assert fit(equal, X, ["cat"] * 8, tree).temperatures_.tolist() == [1.0]
    # Certain, and wrong once in eight: what a temperature makes of 0 is an eighth.
    certain, X = table(np.tile([1.0, 0.0], (8, 1)), ["cat", "dog"])
    clf = fit(certain, X, ["cat"] * 7 + ["dog"], tree)
    np.testing.assert_allclose(clf.predict_proba(X[:1]), [[0.875, 0.125]], atol=1e-3)


def test_folds_may_miss_classes():
    rng = np.random.default_rng(0)
    y = np.array([*rng.choice(["cat", "elm", "fir", "emu", "owl"], 60), "oak"])  # one oak
    X = TREE.node_indices(y)[:, None] + rng.normal(size=(61, 3)) * 1.5
    cv = KFold(3, shuffle=True, random_state=0)
    estimator = LogisticRegression(C=0.1, max_iter=1000)
    clf = TemperatureScalingClassifier(estimator, hierarchy=TREE, cv=cv).fit(X, y)
    assert clf.classes_.tolist() == sorted(TREE.leaves)

    folds = [(clone(estimator).fit(X[train], y[train]), test) for train, test in cv.split(X)]
    assert [len(fold.classes_) for fold, _ in folds].count(6) == 2

    def total(found):
        return sum(
            loss(TREE, f.classes_.tolist(), f.predict_proba(X[test]), y[test], found)
            for f, test in folds
        )

    best = total(fitted(clf))
    for level in range(3):
        for t in clf.temperatures_[LEVELS.index(level)] * np.array([0.8, 1.25]):
            changed = {v for v, k in zip(INNER, LEVELS, strict=True) if k == level}
            assert best < total({**fitted(clf), **dict.fromkeys(changed, t)})


@pytest.mark.parametrize("cls", [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier])
def test_overconfident_estimators_get_better(cls):
    digits = load_digits_hierarchy()
    X, y = digits.data.astype(np.float32) / 16, digits.target
    train, test = slice(300), slice(300, None)
    network = cls(
        digits.hierarchy, hidden_layer_sizes=(32,), learning_rate_init=0.1, weight_decay=0.0,
        max_iter=40, n_iter_no_change=40, random_state=0,
    )  # fmt: skip
    for estimator, kind in ((network, np.float32), (BernoulliNB(binarize=0.5), np.float64)):
        clf = TemperatureScalingClassifier(estimator, hierarchy=digits.hierarchy, cv=3)
        clf.fit(X[train], y[train])
        assert (clf.temperatures_ > 1).all()
        proba = clf.predict_proba(X[test])
        assert proba.dtype == clf.predict_log_proba(X[test]).dtype == kind
        before = log_loss(y[test], clf.estimator_.predict_proba(X[test]))
        assert log_loss(y[test], proba) < 0.9 * before


def test_grid_search_chooses_what_shares_a_temperature():
    digits = load_digits_hierarchy()
    X, y = digits.data[:400], digits.target[:400]
    clf = TemperatureScalingClassifier(BernoulliNB(binarize=8), hierarchy=digits.hierarchy, cv=2)
    grid = {"by": ["level", "group", "all"]}
    search = GridSearchCV(clf, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 3
    assert search.best_params_["by"] == grid["by"][scores.argmax()]


def test_what_cannot_be_calibrated_is_refused():
    dag = {"pet": ["cat", "dog"], "canine": ["dog", "wolf"]}
    estimator, X = table(np.full((3, 3), 1 / 3), ["cat", "dog", "wolf"])
    with pytest.raises(ValueError, match=r"needs a tree: 'dog' has the parents \('canine', 'pet'"):
        fit(estimator, X, ["cat", "dog", "wolf"], dag)
    estimator, X = table(np.full((3, 3), 1 / 3), ["animal", "cat", "oak"])
    with pytest.raises(ValueError, match="class 'animal' is above the class 'cat'"):
        fit(estimator, X, ["animal", "cat", "oak"])
    with pytest.raises(ValueError, match="'by' parameter of TemperatureScalingClassifier"):
        fit(estimator, X, ["cat"] * 3, by="node")


def test_classes_may_be_inner_nodes_with_nothing_below():
    # A classifier of coarse classes among finer ones, as an unpruned hierarchy allows.
    proba = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
    estimator, X = table(proba, ["bird", "cat", "plant"])
    clf = fit(estimator, X, ["owl", "fir"])
    expected = [scale(TREE, ["bird", "cat", "plant"], row, fitted(clf)) for row in proba]
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-9)
    assert clone(clf).set_params(estimator=Table(proba, ["bird", "cat", "plant"])) is not clf


def test_calibration_of_scikit_learn_around_a_hierarchical_classifier():
    digits = load_digits_hierarchy()
    X, y = digits.data[:300] / 16, digits.target[:300]
    network = HierarchicalSoftmaxClassifier(
        digits.hierarchy, hidden_layer_sizes=(), learning_rate_init=0.05, max_iter=10,
        n_iter_no_change=10, random_state=0,
    )  # fmt: skip
    clf = CalibratedClassifierCV(network, cv=2).fit(X, y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert clf.classes_.tolist() == sorted(set(y.tolist()))
    assert clf.score(X, y) > 0.8
    tops = digits.hierarchy.aggregate(proba, clf.classes_, level=0)
    np.testing.assert_allclose(tops.sum(axis=1), 1)
