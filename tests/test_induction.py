"""Hierarchies built from the data, alone and inside a classifier."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import FunctionTransformer, normalize

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.encoders import LSTMEncoder
from hierclf.induction import (
    AgglomerativeHierarchy,
    BalancedHierarchy,
    HuffmanHierarchy,
    KMeansHierarchy,
    PrunedHierarchy,
    RandomHierarchy,
)
from hierclf.induction._kmeans import _assign
from hierclf.metrics import make_hierarchical_scorer, tree_distance

FAST = {"max_iter": 2, "n_iter_no_change": 2, "random_state": 0}
# A linear model that comes near its optimum within a second.
LINEAR = {
    "hidden_layer_sizes": (),
    "learning_rate_init": 0.1,
    "max_iter": 40,
    "n_iter_no_change": 40,
    "random_state": 0,
}


def groups_of(tree):
    """Return the sets of classes below each inner node, the root included."""
    inner = [node for node in tree.nodes if node not in tree.leaves]
    below = [frozenset(set(tree.descendants(node)) & set(tree.leaves)) for node in inner]
    return {frozenset(tree.leaves), *below}


def planted(n_groups=4, n_classes=4, n_rows=3, seed=0):
    """Return rows of classes that come in far-apart groups, and the groups."""
    rng = np.random.default_rng(seed)
    names = rng.permutation([f"c{i:02d}" for i in range(n_groups * n_classes)])
    groups = names.reshape(n_groups, n_classes)
    centers = 20 * np.eye(n_groups)
    X = np.concatenate(
        [
            centers[k] + rng.normal(size=n_groups) + rng.normal(0, 0.1, size=(n_rows, n_groups))
            for k in range(n_groups)
            for _ in range(n_classes)
        ]
    )
    order = rng.permutation(len(X))
    return X[order], np.repeat(groups.reshape(-1), n_rows)[order], {*map(frozenset, groups)}


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


# -- trees that do not look at the features


@pytest.mark.parametrize("branching", [2, 3, None])
def test_random_has_the_shape_of_balanced_and_its_classes_anywhere(branching):
    y = np.arange(23)
    tree = RandomHierarchy(branching, random_state=0).fit(None, y).hierarchy_
    even = BalancedHierarchy(branching).fit(None, y).hierarchy_

    def shape(tree, node):
        return sorted(shape(tree, child) for child in tree.children(node))

    assert shape(tree, tree.root) == shape(even, even.root)
    again = RandomHierarchy(branching, random_state=0).fit(None, y).hierarchy_
    assert again == tree
    # Each class is equally often beside class 0: 4 of 22 are, and 1,000 trees have a share of
    # .18 with a standard deviation of .012.
    rng = np.random.RandomState(0)
    beside = np.zeros(23)
    for _ in range(1000):
        tree = RandomHierarchy(5, random_state=rng).fit(None, y).hierarchy_
        beside[list(tree.children(tree.parents(0)[0]))] += 1
    sizes = [len(range(23 * i // 5, 23 * (i + 1) // 5)) for i in range(5)]
    expected = sum(n / 23 * (n - 1) / 22 for n in sizes)
    np.testing.assert_allclose(beside[1:] / 1000, expected, atol=5 * 0.012)


def test_huffman_counts_the_samples_of_each_class():
    y = np.repeat(["a", "b", "c", "d", "e"], [1, 16, 4, 2, 8])
    tree = HuffmanHierarchy().fit(None, y).hierarchy_
    assert tree == Hierarchy.huffman({"a": 1, "b": 16, "c": 4, "d": 2, "e": 8})
    assert [len(tree.path(c)) for c in "becda"] == [1, 2, 3, 4, 4]
    wide = HuffmanHierarchy(branching=3).fit(None, y).hierarchy_
    assert [len(wide.path(c)) for c in "becda"] == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    "inducer",
    [
        BalancedHierarchy(2),
        RandomHierarchy(2, random_state=0),
        HuffmanHierarchy(),
        KMeansHierarchy(2, random_state=0),
        AgglomerativeHierarchy(2),
        AgglomerativeHierarchy(2, by="confusion", random_state=0),
    ],
    ids=lambda inducer: type(inducer).__name__,
)
def test_labels_of_every_sortable_kind(inducer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    for kinds in (
        ["b", "a", "c"],
        [3, -1, 7],
        [1.0, 2.0, 0.0],
        [True, False],
        np.array(["b", "a", "c"], dtype=object),
        np.array(["2020-01-01", "2021-01-01", "2019-01-01"], dtype="datetime64[D]"),
        ["only"],
    ):
        y = np.resize(np.asarray(kinds), 30)
        leaves = clone(inducer).fit(X, y).hierarchy_.leaves
        assert sorted(leaves) == sorted(set(np.unique(y).tolist())) or y.dtype.kind == "M"
        assert len(leaves) == len(kinds)
        if y.dtype.kind != "M":
            clf = FlatSoftmaxClassifier(inducer, **FAST).fit(X, y)
            np.testing.assert_array_equal(clf.classes_, np.unique(y))
    with pytest.raises(ValueError, match="at least one is required"):
        clone(inducer).fit(X[:0], y[:0])
    with pytest.raises(ValueError, match="nan"):
        clone(inducer).fit(X[:2], [1.0, np.nan])


# -- k-means


@pytest.mark.parametrize("n_groups", [2, 4, 6])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kmeans_finds_planted_groups(n_groups, container, dtype):
    for seed in range(5):
        X, y, groups = planted(n_groups, n_classes=n_groups, seed=seed)
        inducer = KMeansHierarchy(n_groups, random_state=seed)
        tree = inducer.fit(container(X.astype(dtype)), y).hierarchy_
        assert groups_of(tree) == groups | {frozenset(y.tolist())}
        assert inducer.fit(container(X.astype(dtype)), y).hierarchy_ == tree


def test_kmeans_divides_again_what_is_too_large():
    X, y, groups = planted(n_groups=4, n_classes=4)
    tree = KMeansHierarchy(2, random_state=0).fit(X, y).hierarchy_
    assert groups <= groups_of(tree)
    assert {len(tree.children(node)) for node in (tree.root, *tree.nodes)} == {0, 2}
    assert tree.n_levels == 4


@given(st.integers(1, 40), st.integers(2, 7), st.integers(0, 5))
@settings(deadline=None, max_examples=60)
def test_kmeans_has_the_shape_of_balanced_whatever_the_features_are(n, branching, seed):
    y = np.arange(n)
    X = np.random.default_rng(seed).integers(0, 2, size=(n, 2)).astype(float)  # many are equal
    tree = KMeansHierarchy(branching, random_state=seed).fit(X, y).hierarchy_
    even = Hierarchy.balanced(range(n), branching)
    assert sorted(tree.leaves) == list(range(n))
    for tree_level, even_level in zip(
        (np.bincount(tree.depths)), np.bincount(even.depths), strict=True
    ):
        assert tree_level == even_level
    counts = [
        sorted(int(h.leaf_counts[h.node_indices([node])[0]]) for node in h.level(0))
        for h in (tree, even)
    ]
    assert counts[0] == counts[1]


def test_the_metric_says_whether_length_counts():
    """Rows in two directions, short and long: by direction, or by length."""
    X = np.array([[1.0, 0.1], [0.1, 1.0], [50.0, 4.0], [4.0, 50.0]])
    y = list("abcd")

    def groups(X, **params):
        return groups_of(KMeansHierarchy(2, random_state=0, **params).fit(X, y).hierarchy_)

    by_direction = {frozenset("ac"), frozenset("bd"), frozenset("abcd")}
    assert groups(X, metric="cosine") == by_direction
    assert groups(sp.csr_array(X)) == by_direction
    short_and_long = np.array([[1.0, 0.0], [0.0, 1.0], [30.0, 30.0], [31.0, 31.0]])
    by_length = {frozenset("ab"), frozenset("cd"), frozenset("abcd")}
    assert groups(short_and_long) == by_length
    assert groups(sp.csr_array(short_and_long), metric="euclidean") == by_length


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_assignments_for_two_parts_are_the_best_there_are(seed):
    rng = np.random.default_rng(seed)
    costs = rng.normal(size=(7, 2))
    part = _assign(costs.copy(), np.array([3, 4]))
    least = min(
        sum(costs[i, int(i not in first)] for i in range(7)) for first in combinations(range(7), 3)
    )
    assert np.isclose(costs[np.arange(7), part].sum(), least)
    assert np.bincount(part).tolist() == [3, 4]


def test_assignments_by_hand():
    """All want part 0, which has room for one: the one for which the others are the farthest."""
    costs = np.array([[0.0, 5.0, 9.0], [0.0, 8.0, 9.0], [0.0, 1.0, 4.0]])
    assert _assign(costs, np.array([1, 1, 1])).tolist() == [1, 0, 2]


# -- agglomeration


def by_hand(points, labels):
    """Join the nearest of all pairs of groups, by the mean distance of their members."""
    clusters = [frozenset([label]) for label in labels]
    at = dict(zip(labels, points, strict=True))

    def distance(a, b):
        return np.mean([np.linalg.norm(at[i] - at[j]) for i in a for j in b])

    joined = set()
    while len(clusters) > 1:
        a, b = min(combinations(clusters, 2), key=lambda pair: distance(*pair))
        clusters = [c for c in clusters if c not in (a, b)] + [a | b]
        joined.add(a | b)
    return joined


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_agglomeration_joins_the_nearest_first(container):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(27, 3)), np.repeat(list("abcdefghi"), 3)
        means = np.array([X[y == c].mean(axis=0) for c in "abcdefghi"])
        if container is sp.csr_array:
            means = normalize(means)
        tree = AgglomerativeHierarchy(2, linkage="average").fit(container(X), y).hierarchy_
        assert groups_of(tree) == by_hand(means, "abcdefghi")


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single"])
def test_the_top_level_is_that_of_scipys_clusters(method):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(40, 3)), np.arange(40)
    for branching in (3, 5, 7):
        tree = AgglomerativeHierarchy(branching, linkage=method).fit(X, y).hierarchy_
        parts = fcluster(linkage(pdist(X), method), branching, criterion="maxclust")
        expected = {frozenset(np.flatnonzero(parts == k).tolist()) for k in np.unique(parts)}
        top = {frozenset({*tree.descendants(n), n} & set(tree.leaves)) for n in tree.level(0)}
        assert top == expected
        assert max(len(tree.children(n)) for n in (tree.root, *tree.nodes)) == branching


def test_agglomeration_finds_planted_groups_of_any_size():
    X, y, groups = planted(n_groups=3, n_classes=4)
    first = sorted(min(groups, key=min))
    kept = ~np.isin(y, first[1:])  # one group of a single class is left
    expected = {group for group in groups if group != frozenset(first)}
    for by in ("features", "confusion"):
        inducer = AgglomerativeHierarchy(3, by=by, random_state=0)
        tree = inducer.fit(X[kept], y[kept]).hierarchy_
        if by == "features":
            top = {frozenset({*tree.descendants(n), n} & set(tree.leaves)) for n in tree.level(0)}
            assert top == expected | {frozenset(first[:1])}
    wide = AgglomerativeHierarchy(100).fit(X, y).hierarchy_
    assert wide == Hierarchy.flat(np.unique(y))


class Confused(ClassifierMixin, BaseEstimator):
    """A classifier that takes a for b in half of all cases, and c for d, whatever the rows."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        truth = X[:, 0].astype(int)
        other = np.array([1, 0, 3, 2])[truth]
        proba = np.zeros((len(X), 4))
        proba[np.arange(len(X)), truth] = proba[np.arange(len(X)), other] = 0.5
        return proba


def test_by_confusion_the_model_says_what_is_alike():
    """By their features, a is beside c; the model takes it for d."""
    y = np.repeat(list("adcb"), 6)
    X = np.repeat([0.0, 3.0, 0.1, 3.1], 6)[:, None]
    codes = np.unique(y, return_inverse=True)[1]
    X = np.hstack([codes[:, None], X])
    tree = AgglomerativeHierarchy(2, by="confusion", estimator=Confused(), random_state=0)
    assert groups_of(tree.fit(X, y).hierarchy_) == {*map(frozenset, ("ab", "cd", "abcd"))}
    assert not hasattr(tree.estimator, "classes_")


def test_by_confusion_with_the_quick_model():
    """Two pairs of classes overlap. Their means are no help: the far features are noise."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(4), 60)
    near = rng.normal(np.array([0.0, 8.0, 0.5, 8.5])[codes], 1.0)[:, None]
    y = np.array(list("adbc"))[codes]
    expected = {*map(frozenset, ("ab", "cd", "abcd"))}
    for container in (np.asarray, sp.csr_array):
        inducer = AgglomerativeHierarchy(2, by="confusion", random_state=0)
        tree = inducer.fit(container(near), y).hierarchy_
        assert groups_of(tree) == expected
        assert inducer.fit(container(near), y).hierarchy_ == tree
    # A class of one sample cannot be held out: it is like no other, and all are in the tree.
    tree = inducer.fit(np.append(near, [[99.0]], axis=0), [*y, "e"]).hierarchy_
    assert {*map(frozenset, ("ab", "cd", "abcde"))} < groups_of(tree)


# -- features


TEXTS = ["a cat", "a dog", "two cats and a dog", "an oak", "a birch", "a birch and an oak"]
KINDS = ["cat", "dog", "cat", "oak", "birch", "oak"]
WITH_FEATURES = [KMeansHierarchy(2, random_state=0), AgglomerativeHierarchy(2)]


@pytest.mark.parametrize("inducer", WITH_FEATURES, ids=lambda i: type(i).__name__)
def test_texts_need_a_transformer(inducer):
    with pytest.raises(ValueError, match=r"X has none, as texts .*features=TfidfVectorizer\(\)"):
        inducer.fit(TEXTS, KINDS)
    vectorizer = CountVectorizer(stop_words=["a", "an", "and", "two"])
    reads = clone(inducer).set_params(features=vectorizer)
    tree = reads.fit(TEXTS, KINDS).hierarchy_
    assert groups_of(tree) == groups_of(
        clone(inducer).fit(vectorizer.fit_transform(TEXTS), KINDS).hierarchy_
    )
    assert frozenset(["birch", "oak"]) in groups_of(tree)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        reads.fit(TEXTS, KINDS[:-1])


@pytest.mark.parametrize("inducer", WITH_FEATURES, ids=lambda i: type(i).__name__)
def test_an_inducer_reads_what_an_encoder_reads(inducer):
    """Texts as they were given, those of weight 0 left out; token ids as they are."""
    seen = []

    def count(rows):
        seen.append(list(rows))
        return np.array([[len(row), list(row).count("k")] for row in rows], dtype=float)

    class Texts(LSTMEncoder):
        input_kind = "texts"

        def build_tokenizer(self):
            return lambda texts: np.array([[1 + len(text) % 7] for text in texts])

    inducer = clone(inducer).set_params(features=FunctionTransformer(count))
    clf = HierarchicalSoftmaxClassifier(inducer, encoder=Texts(4, embedding_dim=3), **FAST)
    clf.fit(TEXTS, KINDS, sample_weight=[1, 1, 0, 1, 1, 1])
    assert seen == [TEXTS[:2] + TEXTS[3:]]
    assert sorted(clf.hierarchy_.leaves) == sorted(set(KINDS))

    ids = np.arange(12).reshape(6, 2) + 1
    clf.set_params(encoder=LSTMEncoder(4, embedding_dim=3)).fit(ids, KINDS)
    np.testing.assert_array_equal(seen[1], ids)
    for bare in (clone(inducer).set_params(features=None), PrunedHierarchy(WITH_FEATURES[0])):
        with pytest.raises(ValueError, match=r"X holds token ids.*features="):
            clone(clf).set_params(hierarchy=bare).fit(ids, KINDS)


# -- pruning


class Oracle(ClassifierMixin, BaseEstimator):
    """A classifier whose accuracy depends on its hierarchy alone, as a table says.

    A row is a number in [0, 1): it is right where that is below the accuracy of the tree.
    """

    def __init__(self, hierarchy=None, table=None):
        self.hierarchy = hierarchy
        self.table = table

    def fit(self, X, y):
        self.lookup_ = dict(zip(X[:, 0].tolist(), y.tolist(), strict=True))
        return self

    def predict(self, X):
        inner = frozenset(self.hierarchy.nodes) - frozenset(self.hierarchy.leaves)
        right = X[:, 0] < self.table[inner]
        return np.where(right, X[:, 1].astype(int).astype(str), "none")


DEEP = Hierarchy.from_dict(
    {"A": {"B": {"0": {}, "1": {}, "2": {}}, "C": {"3": {}, "4": {}}}, "D": {"5": {}, "6": {}}}
)


def ask(table, tree=DEEP, **params):
    rng = np.random.default_rng(0)
    y = np.arange(2100) % 7
    X = np.column_stack([rng.permutation(2100) / 2100, y])
    given = {frozenset(key): value for key, value in table.items()}
    inducer = PrunedHierarchy(tree, Oracle(table=given), random_state=0, **params)
    return inducer.fit(X, y.astype(str))


def test_pruning_tries_levels_and_then_single_nodes():
    """No hierarchy, the given one, less each level; then less each node of the best so far."""
    table = {"": 0.5, "ABCD": 0.6, "BC": 0.7, "AD": 0.55, "B": 0.65, "C": 0.8}
    inducer = ask(table)
    assert [nodes for nodes, _ in inducer.scores_] == [
        ("A", "D", "B", "C"), (), ("A", "D"), ("B", "C"), ("A", "D", "B"),
    ]  # fmt: skip
    found = [accuracy for _, accuracy in inducer.scores_]
    np.testing.assert_allclose(found, [0.5, 0.6, 0.7, 0.55, 0.8], atol=0.05)
    assert inducer.hierarchy_.to_dict() == {Hierarchy.ROOT: [*"01256", "C"], "C": ["3", "4"]}


def test_pruning_stops_after_max_fits():
    table = {"": 0.5, "ABCD": 0.6, "BC": 0.7}
    inducer = ask(table, max_fits=3)
    assert len(inducer.scores_) == 3
    assert inducer.hierarchy_ == DEEP.flatten(["A", "D"])
    assert ask({"": 0.5, "ABCD": 0.6}, max_fits=2).hierarchy_ == DEEP


@pytest.mark.parametrize(("gain", "stays"), [(0.0, False), (0.005, False), (0.03, True)])
def test_a_tree_must_be_clearly_better_than_none(gain, stays):
    """The oracle is right on the same rows and some more: the standard error is their root."""
    inducer = ask({"": 0.5, "ABCD": 0.5 + gain}, max_fits=2)
    gained = round((inducer.scores_[1][1] - inducer.scores_[0][1]) * 420)
    assert (gained > 2 * np.sqrt(gained)) == stays
    assert inducer.hierarchy_ == (DEEP if stays else Hierarchy.flat(list("0123456")))


def test_labels_that_are_inner_nodes_stay():
    y = np.array([*"0123456", "B"] * 60)
    X = np.column_stack([np.random.default_rng(0).permutation(480) / 480, np.arange(480) % 8])
    table = {frozenset("B"): 0.5, frozenset("ABCD"): 0.5}
    inducer = PrunedHierarchy(DEEP, Oracle(table=table), max_fits=2, random_state=0).fit(X, y)
    assert inducer.scores_[0][0] == ("A", "D", "C")
    assert inducer.hierarchy_.to_dict() == {
        Hierarchy.ROOT: ["3", "4", "5", "6", "B"],
        "B": ["0", "1", "2"],
    }


def two_trees():
    """Return rows in two pairs of near classes, the tree of the pairs, and one across them."""
    rng = np.random.default_rng(0)
    centers = {"a": [0.0, 0.0], "b": [0.0, 1.0], "c": [9.0, 0.0], "d": [9.0, 1.0]}
    y = np.repeat(list(centers), 60)
    X = rng.normal([centers[c] for c in y], 0.1)
    return X, y, {"x": ["a", "b"], "y": ["c", "d"]}, {"x": ["a", "d"], "y": ["b", "c"]}


def test_a_bad_tree_is_flattened_and_is_then_a_flat_softmax():
    X, y, _, bad = two_trees()
    clf = HierarchicalSoftmaxClassifier(PrunedHierarchy(bad, random_state=0), **LINEAR).fit(X, y)
    assert clf.hierarchy_ == Hierarchy.flat(list("abcd"))
    flat = FlatSoftmaxClassifier(**LINEAR).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), flat.predict_proba(X), rtol=1e-7)
    hierarchical = HierarchicalSoftmaxClassifier(bad, **LINEAR).fit(X, y)
    assert hierarchical.score(X, y) < 0.8 < clf.score(X, y)


def test_a_tree_that_pays_is_kept():
    table = {"": 0.4, "xy": 0.9, "x": 0.7, "y": 0.7}
    tree = Hierarchy.from_dict({"x": ["0", "1", "2"], "y": ["3", "4", "5", "6"]})
    assert ask(table, tree).hierarchy_ == tree


def test_an_inducer_can_be_pruned_and_reached():
    X, y, _, _ = two_trees()
    inducer = PrunedHierarchy(KMeansHierarchy(2, random_state=0), random_state=0)
    clf = HierarchicalSoftmaxClassifier(inducer, **LINEAR)
    clf.set_params(hierarchy__hierarchy__branching=3)
    assert inducer.hierarchy.branching == 3
    asked = clone(inducer).set_params(hierarchy__branching=2)
    asked.fit(X, y, clone(clf).set_params(hierarchy=None))
    assert [nodes for nodes, _ in asked.scores_][:2] == [(("group", 0), ("group", 1)), ()]
    assert sorted(asked.hierarchy_.leaves) == list("abcd")
    assert not hasattr(asked.hierarchy, "hierarchy_")


def test_pruning_needs_a_classifier_with_a_hierarchy():
    X, y, good, _ = two_trees()
    with pytest.raises(ValueError, match=r"got estimator=None: give one, such as"):
        PrunedHierarchy(good).fit(X, y)
    with pytest.raises(ValueError, match=r"got estimator=LogisticRegression\(\)"):
        PrunedHierarchy(good, LogisticRegression()).fit(X, y)
    clf = HierarchicalSoftmaxClassifier(PrunedHierarchy(good), **FAST)
    with pytest.raises(ValueError, match="every class has one"):
        clf.fit(X[::60], y[::60])
    with pytest.raises(ValueError, match="not in the hierarchy: 'e'"):
        clf.fit(X, np.where(np.arange(len(y)) == 3, "e", y))
    flat = HierarchicalSoftmaxClassifier(PrunedHierarchy(Hierarchy.flat(list("abcd"))), **FAST)
    assert flat.fit(X, y).hierarchy_ == Hierarchy.flat(list("abcd"))  # nothing to try


# -- the given hierarchy, beside a learnt one


def test_probabilities_of_the_given_nodes_are_sums_of_the_leaves():
    X, y, good, bad = two_trees()
    taxonomy = Hierarchy.from_dict(good)
    clf = HierarchicalSoftmaxClassifier(Hierarchy.from_dict(bad), **FAST).fit(X, y)
    for inducer in (KMeansHierarchy(2, random_state=0), PrunedHierarchy(bad, random_state=0)):
        learnt = clone(clf).set_params(hierarchy=inducer).fit(X, y)
        leaves = learnt.predict_proba(X)
        assert learnt.classes_.tolist() == list("abcd")
        found = taxonomy.aggregate(leaves, learnt.classes_, level=0)
        assert taxonomy.level_classes(0).tolist() == ["x", "y"]
        np.testing.assert_allclose(found[:, 0], leaves[:, 0] + leaves[:, 1], rtol=1e-12)
        np.testing.assert_allclose(found[:, 1], leaves[:, 2] + leaves[:, 3], rtol=1e-12)


def test_a_search_over_hierarchies():
    X, y, good, _ = two_trees()
    taxonomy = Hierarchy.from_dict(good)
    candidates = [
        taxonomy,
        KMeansHierarchy(2, random_state=0),
        HuffmanHierarchy(),
        PrunedHierarchy(taxonomy, max_fits=2, random_state=0),
        None,
    ]
    scorer = make_hierarchical_scorer(tree_distance, hierarchy=taxonomy)
    search = GridSearchCV(
        HierarchicalSoftmaxClassifier(**LINEAR | {"max_iter": 10}),
        {"hierarchy": candidates},
        scoring={"accuracy": "accuracy", "distance": scorer},
        refit="accuracy",
        cv=2,
        error_score="raise",
    ).fit(X, y)
    for k, candidate in enumerate(candidates):
        clf = HierarchicalSoftmaxClassifier(candidate, **LINEAR | {"max_iter": 10})
        scores = []
        for train, test in StratifiedKFold(2).split(X, y):
            predicted = clone(clf).fit(X[train], y[train]).predict(X[test])
            edges = [taxonomy.distance(a, b) for a, b in zip(y[test], predicted, strict=True)]
            scores.append(-np.mean(edges))
        assert np.isclose(search.cv_results_["mean_test_distance"][k], np.mean(scores))
    nested = GridSearchCV(
        HierarchicalSoftmaxClassifier(KMeansHierarchy(random_state=0), **FAST),
        {"hierarchy__branching": [2, 4]},
        cv=2,
    ).fit(X, y)
    assert nested.best_params_["hierarchy__branching"] in (2, 4)


@pytest.mark.parametrize(
    ("inducer", "name"),
    [
        (HuffmanHierarchy(branching=1), "branching"),
        (HuffmanHierarchy(branching=None), "branching"),
        (RandomHierarchy(branching=1), "branching"),
        (RandomHierarchy(random_state="no"), "random_state"),
        (KMeansHierarchy(branching=1), "branching"),
        (KMeansHierarchy(max_iter=0), "max_iter"),
        (KMeansHierarchy(metric="city"), "metric"),
        (KMeansHierarchy(features=3), "features"),
        (AgglomerativeHierarchy(by="name"), "by"),
        (AgglomerativeHierarchy(linkage="near"), "linkage"),
        (AgglomerativeHierarchy(estimator=3), "estimator"),
        (PrunedHierarchy({"a": ["b", "c"]}, max_fits=1), "max_fits"),
        (PrunedHierarchy({"a": ["b", "c"]}, validation_fraction=1.0), "validation_fraction"),
        (PrunedHierarchy({"a": ["b", "c"]}, estimator=3), "estimator"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_parameters_are_checked_before_any_work(inducer, name):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {type(inducer).__name__} must"):
        inducer.fit([[0.0], [1.0]], ["b", "c"])
