"""Labels that are inner nodes: somewhere below them, or the node itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.decisions import Threshold
from hierclf.tables import prediction_table

BOTH = pytest.mark.parametrize("cls", [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier])
# "Bio" is an answer beside "Mammals", which is below it; "Chem" has nothing below.
PATHS = {"Bio": ["Nat", "Bio"], "Mammals": ["Nat", "Bio", "Mammals"], "Chem": ["Nat", "Chem"]}
CENTRES = {"Bio": [0.0, 0], "Mammals": [5.0, 0], "Chem": [0.0, 5]}


def samples(n=90):
    labels = np.array(list(PATHS))[np.arange(n) % 3]
    noise = np.random.default_rng(0).normal(0, 0.3, (n, 2))
    return np.array([CENTRES[label] for label in labels]) + noise, labels


def make(cls, hierarchy=None, **params):
    options = {"max_iter": 60, "n_iter_no_change": 60, "learning_rate_init": 0.05}
    return cls(hierarchy, **options | {"inner_labels": "itself", "random_state": 0, **params})


@BOTH
def test_a_node_that_is_an_answer(cls):
    X, labels = samples()
    Y = [PATHS[label] for label in labels]
    clf = make(cls).fit(X, Y)
    assert clf.score(X, Y) == 1
    assert clf.classes_.tolist() == ["Bio", "Chem", "Mammals"]
    assert clf.predict(X[:3]).tolist() == [
        ["Nat", "Bio", ""], ["Nat", "Bio", "Mammals"], ["Nat", "Chem", ""],
    ]  # fmt: skip
    proba = clf.predict_proba(X)
    assert (proba[labels == "Bio", 0] > 0.9).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    names = clf.level_classes("all").tolist()
    nodes = dict(zip(names, clf.predict_proba(X, level="all").T, strict=True))
    # "Bio" as a node holds what is below it, and what is itself.
    np.testing.assert_allclose(nodes["Bio"], proba[:, 0] + proba[:, 2])
    np.testing.assert_array_equal(nodes["Bio (itself)"], proba[:, 0])
    np.testing.assert_allclose(nodes["Nat"], 1)
    assert clf.level_classes(1).tolist() == ["Bio", "Chem"]
    np.testing.assert_allclose(clf.predict_proba(X, level=1).sum(axis=1), 1)
    below = make(cls, inner_labels="below").fit(X, Y)
    assert below.score(X, Y) < 0.9  # never "Bio"


@BOTH
def test_it_is_one_class_among_three(cls):
    """The loss of a flat softmax is that of a softmax over the labels; that of a tree, by steps."""
    X, labels = samples()
    hierarchy = {"Nat": ["Bio", "Chem"], "Bio": ["Mammals", "Fish"]}
    options = {"hidden_layer_sizes": (), "max_iter": 400, "n_iter_no_change": 400}
    clf = make(cls, hierarchy, weight_decay=0.01, **options).fit(X, labels)
    other = {"Nat": ["some Bio", "Chem"], "some Bio": ["Bio", "Mammals"]}
    same = make(cls, other, weight_decay=0.01, inner_labels="below", **options).fit(X, labels)
    assert clf.classes_.tolist() == same.classes_.tolist()  # "Fish" is no label, and not below one
    np.testing.assert_allclose(clf.predict_proba(X), same.predict_proba(X), atol=0.02)
    assert (clf.predict(X) == LogisticRegression().fit(X, labels).predict(X)).all()


@BOTH
def test_labels_weights_and_decisions(cls):
    X, labels = samples()
    hierarchy = Hierarchy.from_dict({"Nat": ["Bio", "Chem"], "Bio": ["Mammals", "Fish"]})
    clf = make(cls, hierarchy, class_weight={"Bio": 3.0, "Chem": 2.0}).fit(X, labels)
    weight = np.where(labels == "Chem", 2.0, 3.0)  # Mammals has the weight of Bio, above it
    weighed = make(cls, hierarchy).fit(X, labels, sample_weight=weight)
    np.testing.assert_allclose(clf.predict_proba(X), weighed.predict_proba(X), rtol=1e-6)
    assert clf.predict(X).dtype == labels.dtype
    assert cross_val_score(make(cls, hierarchy), X, labels, cv=3).tolist() == [1, 1, 1]

    between = np.array([[2.5, 0.0]])  # Bio itself or Mammals: surely at or below Bio
    clf.set_params(decision=Threshold(0.999))
    assert clf.predict(between).tolist() == ["Bio"]
    mixed = clf.predict(np.vstack([between, [[5.0, 0.0]]]))
    assert mixed.tolist() in (["Bio", "Bio"], ["Bio", "Mammals"])
    assert clf.predict_path(between).tolist() == [["Bio", ""]]


def test_a_table_says_nothing_below_the_node():
    X, labels = samples()
    frame = pd.DataFrame([[*PATHS[label], None][:3] for label in labels], columns=list("abc"))
    table = prediction_table(make(HierarchicalSoftmaxClassifier).fit(X, frame), X[:3])
    assert table[["a", "b", "c"]].fillna("none").values.tolist() == [
        ["Nat", "Bio", "none"], ["Nat", "Bio", "Mammals"], ["Nat", "Chem", "none"],
    ]  # fmt: skip
    assert table["c_proba"].isna().tolist() == [True, False, True]


def test_names_of_other_types_and_clashes():
    h = Hierarchy.from_dict({0: [1, 2], 1: [3]}, root=Hierarchy.ROOT)
    assert h.stop_at([1, 3]).leaves == (3, (1, "itself"))
    assert h.stop_at([2, 3]) == Hierarchy([(Hierarchy.ROOT, 0), (0, 1), (0, 2), (1, 3)])
    clash = Hierarchy.from_dict({"a": ["a (itself)", "b"]}, root="r")
    with pytest.raises(ValueError, match=r"'a \(itself\)' would be the name of two nodes"):
        clash.stop_at(["a", "b", "a (itself)"])
    with pytest.raises(ValueError, match=r"'inner_labels' parameter .* Got 'above'"):
        make(HierarchicalSoftmaxClassifier, inner_labels="above").fit([[0.0], [1]], ["a", "b"])
