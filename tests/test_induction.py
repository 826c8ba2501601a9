"""Hierarchies built from the data, alone and inside a classifier."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.induction import BalancedHierarchy

FAST = {"max_iter": 2, "n_iter_no_change": 2, "random_state": 0}


@given(st.integers(1, 60), st.integers(2, 9), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_balanced_is_as_shallow_and_as_even_as_branching_allows(n, branching, random):
    y = [*range(n), *range(0, n, 2)]  # labels repeat, and come in any order
    random.shuffle(y)
    tree = BalancedHierarchy(branching=branching).fit(None, y).hierarchy_

    assert sorted(tree.leaves) == list(range(n))
    depth = 1  # the least depth: branching ** depth leaves fit into it
    while branching**depth < n:
        depth += 1
    assert tree.n_levels == depth
    inner = [tree.root, *(node for node in tree.nodes if node not in tree.leaves)]
    assert all(len(tree.children(node)) <= branching for node in inner)
    for node in inner:  # the leaves under a node are neighbours, in groups of about the same size
        below = [
            sorted(leaf for leaf in tree.leaves if child == leaf or child in tree.ancestors(leaf))
            for child in tree.children(node)
        ]
        together = sorted(leaf for group in below for leaf in group)
        assert together == list(range(together[0], together[0] + len(together)))
        assert max(map(len, below)) - min(map(len, below)) <= 1


@pytest.mark.parametrize(
    ("n_classes", "widest"),
    [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (9, 3), (10, 4), (16, 4), (17, 5), (100, 10)],
)
def test_default_branching_is_the_square_root_rounded_up(n_classes, widest):
    tree = BalancedHierarchy().fit(None, np.arange(n_classes)).hierarchy_
    sizes = [len(children) for children in tree.to_dict().values()]
    assert max(sizes) == widest


@pytest.mark.parametrize("branching", [1, 0, 2.0, "2"])
def test_a_branching_below_two_is_refused(branching):
    with pytest.raises(ValueError, match=r"'branching' parameter of BalancedHierarchy must be"):
        BalancedHierarchy(branching=branching).fit(None, ["a", "b"])


@pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
def test_a_classifier_fits_a_copy_of_its_inducer(cls):
    X, y = np.random.default_rng(0).normal(size=(10, 2)), np.arange(10) % 5
    inducer = BalancedHierarchy(branching=2)
    clf = cls(inducer, **FAST).fit(X, y)
    assert not hasattr(inducer, "hierarchy_")
    assert clf.hierarchy is inducer
    assert clf.hierarchy_ == Hierarchy.balanced(range(5), 2)
    # and another set of classes gives another tree, not the pruned first one
    assert clf.fit(X, y % 3).hierarchy_ == Hierarchy.balanced(range(3), 2)


def test_parameters_of_the_inducer_are_reached_through_the_classifier():
    X, y = np.random.default_rng(0).normal(size=(8, 2)), np.arange(8)
    clf = HierarchicalSoftmaxClassifier(BalancedHierarchy(), **FAST)
    wide = clone(clf).set_params(hierarchy__branching=8).fit(X, y)
    assert wide.hierarchy_.n_levels == 1
    deep = clone(clf).set_params(hierarchy__branching=2).fit(X, y)
    assert deep.hierarchy_.n_levels == 3
    assert clf.get_params()["hierarchy__branching"] is None


class Recorder(BaseEstimator):
    """An inducer of a user's own: it writes down what it saw, and returns a dict."""

    seen = None

    def fit(self, X, y):
        Recorder.seen = X, y
        self.hierarchy_ = {"top": ["low", "high"], "low": [0, 1], "high": [2, 3, 4]}
        return self


def test_an_inducer_sees_validated_rows_and_may_return_any_form():
    X = np.random.default_rng(0).normal(size=(8, 2))
    y, weight = np.arange(8) % 4, np.array([1.0, 1, 1, 1, 0, 1, 1, 1])
    clf = HierarchicalSoftmaxClassifier(Recorder(), **FAST)
    clf.fit(X.tolist(), y.tolist(), sample_weight=weight)
    seen_X, seen_y = Recorder.seen
    np.testing.assert_array_equal(seen_X, X[weight > 0])
    np.testing.assert_array_equal(seen_y, y[weight > 0])
    expected = Hierarchy.from_dict({"top": ["low", "high"], "low": [0, 1], "high": [2, 3]})
    assert clf.hierarchy_ == expected
