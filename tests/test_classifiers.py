"""What the classifiers compute: probabilities, levels, labels, weights, and the optimum."""

import os
import subprocess
import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss
from skorch.callbacks import Callback
from strategies import trees

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.classifiers import _features as inputs
from hierclf.induction import BalancedHierarchy

BOTH = pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
# Uneven: a leaf at the top, an only child, groups of 2 and 3.
PETS = {
    "pet": ["mammal", "fish", "bird"],
    "mammal": ["cat", "dog", "rat"],
    "bird": ["parrot"],
    "parrot": ["ara", "kea"],
}
LEAVES = np.array(["ara", "cat", "dog", "fish", "kea", "rat"])


def make(cls=HierarchicalSoftmaxClassifier, hierarchy=PETS, *, epochs=5, **params):
    defaults = {"hidden_layer_sizes": (6,), "learning_rate_init": 0.01, "random_state": 0}
    return cls(hierarchy, **{**defaults, **params}, max_iter=epochs, n_iter_no_change=epochs)


def data(n=60, *, spread=1.0, seed=0, n_features=3, labels=LEAVES):
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(len(labels)), rng.integers(len(labels), size=n)])[:n]
    centres = rng.normal(size=(len(labels), n_features))
    return centres[codes] + spread * rng.normal(size=(n, n_features)), labels[codes]


def parents_of(hierarchy):
    """{child: parent} without the root's own edges."""
    return {child: parent for parent, child in hierarchy.edges if parent != hierarchy.root}


def path_to(parents, node):
    path = [node]
    while path[-1] in parents:
        path.append(parents[path[-1]])
    return path[::-1]


# -- nodes, levels and labels


@BOTH
@given(tree=trees(), chooser=st.data())
@settings(deadline=None, max_examples=40)
def test_every_node_is_the_sum_of_its_leaves(cls, tree, chooser):
    labels = chooser.draw(st.lists(st.sampled_from(tree.leaves), min_size=2, max_size=12))
    X = np.random.default_rng(len(labels)).normal(size=(len(labels), 2))
    clf = make(cls, tree, epochs=1).fit(X, labels)

    classes = sorted(set(labels))
    assert clf.classes_.tolist() == classes
    parents = parents_of(tree)
    paths = {leaf: path_to(parents, leaf) for leaf in classes}
    assert set(clf.hierarchy_.nodes) == {node for path in paths.values() for node in path}

    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-9)
    assert clf.predict(X).tolist() == [classes[i] for i in proba.argmax(axis=1)]

    nodes = clf.predict_node_proba(X)
    for column, node in enumerate(clf.hierarchy_.nodes):
        below = [i for i, leaf in enumerate(classes) if node in paths[leaf]]
        np.testing.assert_allclose(nodes[:, column], proba[:, below].sum(axis=1), rtol=1e-9)

    n_levels = max(map(len, paths.values()))
    assert clf.hierarchy_.n_levels == n_levels
    for level in range(n_levels):
        # A leaf higher up stands for itself.
        on_level = {leaf: path[min(level, len(path) - 1)] for leaf, path in paths.items()}
        columns = clf.hierarchy_.level_classes(level).tolist()
        assert set(columns) == set(on_level.values())
        at_level = np.column_stack(
            [
                proba[:, [i for i, leaf in enumerate(classes) if on_level[leaf] == node]].sum(1)
                for node in columns
            ]
        )
        np.testing.assert_allclose(clf.predict_proba(X, level=level), at_level, rtol=1e-9)
        log_proba = clf.predict_log_proba(X, level=level)
        np.testing.assert_allclose(log_proba, np.log(at_level), rtol=1e-9, atol=1e-12)
        chosen = clf.predict(X, level=level).tolist()
        best = at_level[range(len(X)), [columns.index(node) for node in chosen]]
        np.testing.assert_allclose(best, at_level.max(axis=1), rtol=1e-9)
        np.testing.assert_allclose(
            clf.hierarchy_.aggregate(proba, clf.classes_, level),
            clf.predict_proba(X, level=level),
            rtol=1e-9,
        )

    for leaf, path in zip(clf.predict(X), clf.predict_path(X).tolist(), strict=True):
        assert [node for node in path if node not in ("", None)] == paths[leaf]


@BOTH
def test_columns_of_named_levels(cls):
    X, y = data()
    clf = make(cls).fit(X, y)
    assert clf.classes_.tolist() == LEAVES.tolist()
    ara, cat, dog, fish, kea, rat = clf.predict_proba(X).T
    by_hand = {
        0: {"bird": ara + kea, "fish": fish, "mammal": cat + dog + rat},
        "parent": {"fish": fish, "parrot": ara + kea, "cat": cat, "dog": dog, "rat": rat},
        "leaf": {"ara": ara, "cat": cat, "dog": dog, "fish": fish, "kea": kea, "rat": rat},
    }
    for level, columns in by_hand.items():
        names = clf.hierarchy_.level_classes(level).tolist()
        assert set(names) == set(columns)
        expected = np.column_stack([columns[name] for name in names])
        np.testing.assert_allclose(clf.predict_proba(X, level=level), expected, rtol=1e-9)
    for name, same in [(-3, 0), (-2, "parent"), (-1, "leaf"), (None, "leaf"), (2, "leaf")]:
        np.testing.assert_array_equal(
            clf.predict_proba(X, level=name), clf.predict_proba(X, level=same)
        )


@BOTH
def test_probabilities_of_a_row_do_not_depend_on_the_others(cls):
    X, y = data()
    clf = make(cls).fit(X, y)
    alone = np.vstack([clf.predict_proba(row[None]) for row in X])
    np.testing.assert_allclose(clf.predict_proba(X), alone, rtol=1e-9)
    many = np.tile(X, (2000, 1))  # several blocks of predictions
    np.testing.assert_allclose(clf.predict_proba(many)[-len(X) :], alone, rtol=1e-9)


@BOTH
def test_only_children_and_a_single_class_have_probability_one(cls):
    X, _ = data(10)
    clf = make(cls).fit(X, ["kea"] * 10)
    assert clf.hierarchy_.nodes == ("bird", "parrot", "kea")
    np.testing.assert_array_equal(clf.predict_node_proba(X), np.ones((10, 3)))
    assert clf.predict(X, level=0).tolist() == ["bird"] * 10
    assert clf.loss_curve_ == [0.0] * 5


@BOTH
def test_score_is_accuracy(cls):
    X, y = data(200, spread=2.0)
    weight = np.arange(200.0)
    clf = make(cls).fit(X, y)
    right = clf.predict(X) == y
    assert 0 < right.mean() < 1
    assert clf.score(X, y) == pytest.approx(right.mean())
    assert clf.score(X, y, weight) == pytest.approx(
        accuracy_score(y, clf.predict(X), sample_weight=weight)
    )


# -- the same model by other ways


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("hierarchy", [None, {"root": LEAVES.tolist()}])
def test_a_hierarchy_of_one_level_is_the_flat_softmax(hidden, hierarchy):
    X, y = data()
    params = {"hidden_layer_sizes": hidden, "batch_size": 16, "dropout": 0.3}
    flat = make(FlatSoftmaxClassifier, None, **params).fit(X, y)
    hierarchical = make(hierarchy=hierarchy, **params).fit(X, y)
    np.testing.assert_allclose(flat.loss_curve_, hierarchical.loss_curve_, rtol=1e-12)
    np.testing.assert_allclose(
        flat.predict_proba(X), hierarchical.predict_proba(X), rtol=1e-10, atol=1e-14
    )


def test_the_hierarchy_does_not_change_how_the_flat_baseline_is_trained():
    X, y = data()
    with_tree = make(FlatSoftmaxClassifier).fit(X, y)
    without = make(FlatSoftmaxClassifier, None).fit(X, y)
    # The head's rows are leaves in node order, another one in each: shuffle y's names alike.
    order = [list(without.hierarchy_.leaves).index(leaf) for leaf in with_tree.hierarchy_.leaves]
    assert order != sorted(order)
    renamed = dict(zip(without.hierarchy_.leaves, with_tree.hierarchy_.leaves, strict=True))
    y_renamed = np.array([renamed[label] for label in y])
    shuffled = make(FlatSoftmaxClassifier).fit(X, y_renamed)
    np.testing.assert_allclose(shuffled.loss_curve_, without.loss_curve_, rtol=1e-9)
    assert [renamed[label] for label in without.predict(X)] == shuffled.predict(X).tolist()


class Spy(Callback):
    """Writes down the hidden weights at the start and the rows of each batch."""

    log = None  # a class attribute: callbacks are copied, classes are not

    def on_train_begin(self, net, **kwargs):
        Spy.log = {"hidden": [p.detach().clone() for p in net.module_.hidden.parameters()]}
        Spy.log["batches"] = []

    def on_batch_begin(self, net, batch, training, **kwargs):
        Spy.log["batches"].append(batch[0].clone())


def test_flat_and_hierarchical_differ_in_the_head_alone():
    X, y = data()
    logs = []
    for cls in (FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier):
        make(cls, hidden_layer_sizes=(5, 4), batch_size=16, callbacks=[Spy()]).fit(X, y)
        logs.append(Spy.log)
    flat, hierarchical = logs
    assert len(flat["hidden"]) == len(hierarchical["hidden"]) == 4
    assert all(map(_same, flat["hidden"], hierarchical["hidden"]))
    assert len(flat["batches"]) == len(hierarchical["batches"]) == 5 * 4
    assert all(map(_same, flat["batches"], hierarchical["batches"]))


def _same(a, b):
    return a.shape == b.shape and bool((a == b).all())


class Given(BalancedHierarchy):
    def fit(self, X, y):
        self.hierarchy_ = PETS
        return self


PAIRS = [(parent, child) for parent, children in PETS.items() for child in children]


@pytest.mark.parametrize(
    "form",
    [
        Hierarchy.from_dict(PETS),
        {
            "pet": {
                "bird": {"parrot": {"kea": {}, "ara": {}}},
                "mammal": {"rat": {}, "dog": {}, "cat": {}},
                "fish": {},
            }
        },
        dict(reversed([(parent, children[::-1]) for parent, children in PETS.items()])),
        PAIRS,
        iter(PAIRS[::-1]),
        nx.DiGraph(PAIRS[::-1]),
        Given(),
    ],
    ids=["Hierarchy", "nested", "reversed", "edges", "iterator", "networkx", "inducer"],
)
def test_forms_of_the_hierarchy_and_the_order_of_siblings_change_nothing(form):
    X, y = data()
    expected = make(hierarchy=PETS).fit(X, y).predict_node_proba(X)
    if not isinstance(form, type(iter([]))):  # an iterator is used up by a copy of the estimator
        np.testing.assert_array_equal(
            make(hierarchy=form).fit(X, y).predict_node_proba(X), expected
        )
    else:
        np.testing.assert_array_equal(
            make(hierarchy=Hierarchy(form)).fit(X, y).predict_node_proba(X), expected
        )


@BOTH
def test_the_order_of_rows_matters_to_batches_alone(cls):
    X, y = data()
    order = np.random.default_rng(1).permutation(len(X))
    a = make(cls, batch_size=60).fit(X, y)
    b = make(cls, batch_size=60).fit(X[order], y[order])
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-8)


SCRIPT = """
import sys
import sklearn.base, sklearn.utils.validation, skorch, torch  # may load what they like
before = set(sys.modules)
import hierclf
hierclf.HierarchicalSoftmaxClassifier, hierclf.FlatSoftmaxClassifier  # loaded when used
loaded = {"matplotlib", "pandas", "transformers", "networkx"} & (set(sys.modules) - before)
import numpy as np
X = np.random.default_rng(0).normal(size=(40, 3))
y = np.array(["ant", "bee", "cat", "dog", "eel"])[np.arange(40) % 5]
edges = {("bug", "ant"), ("bug", "bee"), ("mammal", "cat"), ("mammal", "dog"), ("fish", "eel")}
clf = hierclf.HierarchicalSoftmaxClassifier(
    edges, class_weight={"ant": 2.0}, max_iter=3, n_iter_no_change=3, random_state=0
)
print(sorted(loaded), clf.fit(X, y).predict_node_proba(X).tobytes().hex())
"""


def test_hash_seed_changes_nothing_and_import_is_quiet_and_light():
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert outputs[0] == outputs[1]
    out, err = outputs[0]
    assert err == ""
    assert out.startswith("[] ")
    assert out.count("\n") == 1


def test_hierarchies_metrics_and_decisions_need_no_torch():
    script = (
        "import sys, hierclf; hierclf.Hierarchy, hierclf.metrics, hierclf.decisions; "
        "print('torch' in sys.modules, 'skorch' in sys.modules); "
        "hierclf.HierarchicalSoftmaxClassifier; print('torch' in sys.modules)"
    )
    out = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert out.split() == ["False", "False", "True"]


# -- the optimum


def test_a_linear_model_reaches_the_optimum_of_each_group():
    """Without hidden layers the path loss is a sum of one logistic regression per group."""
    X, y = data(300, spread=1.5, n_features=2)
    clf = make(
        epochs=600, hidden_layer_sizes=(), weight_decay=0.0, batch_size=300, learning_rate_init=0.05
    ).fit(X, y)

    parents = parents_of(Hierarchy.from_dict(PETS))
    paths = [["pet", *path_to(parents, label)] for label in y]
    expected = {"pet": np.ones(len(X))}
    for parent, children in PETS.items():
        rows = np.array([parent in path for path in paths])
        if len(children) == 1:
            expected[children[0]] = expected[parent]
            continue
        step = [path[path.index(parent) + 1] for path in paths if parent in path]
        model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X[rows], step)
        for child, proba in zip(model.classes_, model.predict_proba(X).T, strict=True):
            expected[child] = expected[parent] * proba
    by_hand = np.column_stack([expected[node] for node in clf.hierarchy_.nodes])
    np.testing.assert_allclose(clf.predict_node_proba(X), by_hand, atol=2e-3)
    assert clf.loss_curve_[-1] == pytest.approx(
        log_loss(y, np.column_stack([expected[leaf] for leaf in LEAVES])), abs=1e-4
    )


def test_a_flat_linear_model_is_multinomial_logistic_regression():
    X, y = data(300, spread=1.5, n_features=2)
    weight = np.random.default_rng(3).uniform(0.2, 3, size=300)
    clf = make(
        FlatSoftmaxClassifier,
        epochs=600,
        hidden_layer_sizes=(),
        weight_decay=0.0,
        batch_size=300,
        learning_rate_init=0.05,
    ).fit(X, y, sample_weight=weight)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(clf.predict_proba(X), model.predict_proba(X), atol=2e-3)


def test_weight_decay_of_sgd_is_the_ridge_of_logistic_regression():
    """loss / n + decay / 2 |w|^2, biases included: a column of ones in scikit-learn's."""
    X, y = data(200, spread=1.5, n_features=2)
    clf = make(
        FlatSoftmaxClassifier,
        epochs=600,
        hidden_layer_sizes=(),
        optimizer="sgd",
        weight_decay=0.05,
        batch_size=200,
        learning_rate_init=0.3,
    ).fit(X, y)
    ones = np.hstack([X, np.ones((200, 1))])
    model = LogisticRegression(C=1 / (0.05 * 200), fit_intercept=False, tol=1e-10, max_iter=1000)
    expected = model.fit(ones, y).predict_proba(ones)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-4)


# -- weights


def fitted(cls, X, y, weight=None, **params):
    defaults = {"batch_size": 500, "epochs": 10}
    return make(cls, **{**defaults, **params}).fit(X, y, sample_weight=weight)


@BOTH
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_integer_weights_are_repeated_rows(cls, dtype):
    X, y = data()
    X = X.astype(dtype)
    weight = np.random.default_rng(0).integers(1, 4, size=len(X))
    a = fitted(cls, X, y, weight)
    b = fitted(cls, X.repeat(weight, axis=0), y.repeat(weight))
    tolerance = 1e-8 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=tolerance)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=tolerance)
    unweighted = fitted(cls, X, y).predict_proba(X)
    assert abs(unweighted - a.predict_proba(X)).max() > 1e-3  # the weights were not ignored


@BOTH
@pytest.mark.parametrize("batch_size", [500, 16])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_row_of_weight_zero_is_an_absent_row(cls, batch_size, early_stopping):
    X, y = data(80)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=80)
    weight[::3] = 0
    weight[y == "rat"] = 0  # a whole class
    params = {"batch_size": batch_size, "early_stopping": early_stopping}
    here = weight > 0
    a = fitted(cls, X, y, weight, **params)
    b = fitted(cls, X[here], y[here], weight[here], **params)
    assert "rat" not in a.classes_
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    assert a.loss_curve_ == b.loss_curve_


@BOTH
@pytest.mark.parametrize("batch_size", [500, 16])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_ways_to_say_the_same_weights(cls, batch_size, early_stopping):
    X, y = data(90)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=90)
    params = {"batch_size": batch_size, "early_stopping": early_stopping}
    of_class = {"cat": 3.0, "kea": 0.5}
    factor = np.array([of_class.get(label, 1.0) for label in y])
    # "balanced": every class of the same total weight
    total = {label: weight[y == label].sum() for label in LEAVES}
    even = weight / np.array([total[label] for label in y])
    counts = {label: (y == label).sum() for label in LEAVES}
    same = [
        ((weight, {}), (weight * 1e4, {})),
        ((weight, {}), (weight.tolist(), {"class_weight": {}})),
        ((np.full(90, 7.0), {}), (None, {})),
        ((weight * factor, {}), (weight, {"class_weight": of_class})),
        ((factor, {}), (None, {"class_weight": of_class})),
        ((even, {}), (weight, {"class_weight": "balanced"})),
        (
            (None, {"class_weight": {k: 60 / n for k, n in counts.items()}}),
            (None, {"class_weight": "balanced"}),
        ),
    ]
    results = []
    for (weight_a, extra_a), (weight_b, extra_b) in same:
        a = fitted(cls, X, y, weight_a, **params, **extra_a)
        b = fitted(cls, X, y, weight_b, **params, **extra_b)
        np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-8)
        np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-8)
        results.append(a.predict_proba(X))
    distinct = [results[i] for i in (0, 2, 3, 4, 5, 6)]
    for i, one in enumerate(distinct):  # and different weights give different models
        assert all(abs(one - other).max() > 1e-5 for other in distinct[:i])


@BOTH
def test_a_class_of_weight_zero_is_a_class_that_teaches_nothing(cls):
    X, y = data()
    a = fitted(cls, X, y, class_weight={"cat": 0, "dog": 0.0})
    weight = np.isin(y, ["cat", "dog"], invert=True).astype(float)
    # the same rows, with a weight too small to matter
    b = fitted(cls, X, y, np.maximum(weight, 1e-12))
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), rtol=1e-6)
    assert a.classes_.tolist() == LEAVES.tolist()


@BOTH
def test_the_loss_curve_is_the_mean_loss_per_row(cls):
    X, y = data(50)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=50)
    # Steps too small to change a weight; the last batch has 2 rows of 50.
    params = {"optimizer": "sgd", "learning_rate_init": 1e-300, "batch_size": 16}
    clf = fitted(cls, X, y, weight, **params)
    expected = log_loss(y, clf.predict_proba(X), sample_weight=weight)
    np.testing.assert_allclose(clf.loss_curve_, [expected] * 10, rtol=1e-9)
    assert clf.n_iter_ == 10


@pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
@pytest.mark.parametrize("scale", [1e-200, 1e37, 1e300])
def test_weights_of_any_size(cls, scale):
    """Only their ratios count, also where their sum is beyond the type of the features."""
    X, y = data()
    X, weight = X.astype(np.float32), np.random.default_rng(0).random(len(y)) + 0.1
    proba = make(cls).fit(X, y, sample_weight=weight).predict_proba(X)
    scaled = make(cls).fit(X, y, sample_weight=weight * scale).predict_proba(X)
    np.testing.assert_allclose(scaled, proba, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_arrays_are_looked_at_without_scikit_learn(monkeypatch, dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 3)).astype(dtype)
    clf = FlatSoftmaxClassifier(max_iter=1, n_iter_no_change=1, random_state=0)
    clf.fit(X, np.arange(20) % 2)
    bad = {
        "NaN": np.where(np.arange(3) == 1, np.nan, X[:2]).astype(dtype),
        "2 features": X[:, :2],
        "0 sample": X[:0],
        "Expected 2D array": X[0],
    }
    found, messages = [], []
    for small in (inputs._SMALL, 0):
        monkeypatch.setattr(inputs, "_SMALL", small)
        views = (X, X[:1], X[::-2], np.asfortranarray(X), X[:1].tolist(), X.astype(">f8"))
        found.append([clf.predict_proba(view) for view in views])
        for text, wrong in bad.items():
            with pytest.raises(ValueError, match=text) as caught:
                clf.predict(wrong)
            messages.append(str(caught.value))
    for quick, slow in zip(*found, strict=True):
        np.testing.assert_array_equal(quick, slow)
    assert messages[: len(bad)] == messages[len(bad) :]


def test_small_frames_are_still_checked_for_the_names_of_their_columns():
    frame = pd.DataFrame(np.eye(4), columns=list("abcd"))
    clf = FlatSoftmaxClassifier(max_iter=1, n_iter_no_change=1).fit(frame, [0, 1, 0, 1])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        clf.predict(frame.to_numpy())
