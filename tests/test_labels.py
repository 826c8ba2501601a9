"""Paths, inner nodes and names that occur twice as labels, and hierarchies of any shape."""

import copy
import csv
import gzip
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold
from strategies import dags, trees

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.decisions import Argmax, MinimumRisk, Threshold, TopDown
from hierclf.induction import BalancedHierarchy

BOTH = pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
SHOP = {"root": ["food", "toys", "other"], "food": ["fruit", "bread"], "toys": ["doll", "car"]}


def make(cls=HierarchicalSoftmaxClassifier, hierarchy=SHOP, *, epochs=20, **params):
    params = {"hidden_layer_sizes": (), "random_state": 0, "learning_rate_init": 0.05} | params
    return cls(hierarchy, **params, max_iter=epochs, n_iter_no_change=epochs)


def rows_of(labels, *, n=120, noise=0.5, seed=0):
    """Rows near one corner for each label, and the position of each row's label."""
    rng = np.random.default_rng(seed)
    which = np.arange(n) % len(labels)
    X = np.eye(len(labels))[which] * 2 + noise * rng.normal(size=(n, len(labels)))
    return X, which


# -- paths

PATHS = [("A", "x"), ("A", "other"), ("B", "other"), ("B", "y"), ("C",)]


def as_paths(form, which, names=PATHS):
    chosen = [names[i] for i in which]
    if form == "ragged":
        return [list(path) for path in chosen]
    if form == "tuples":
        return chosen
    if form == "object array":
        ragged = np.empty(len(chosen), dtype=object)
        ragged[:] = [list(path) for path in chosen]
        return ragged
    padding = {"array": "", "None": None, "frame": np.nan, "categories": None}[form]
    padded = np.array([[*path, padding][:2] for path in chosen], dtype=object)
    if form == "array":
        return padded.astype(str)
    if form == "frame":
        return pd.DataFrame(padded, columns=["top", "bottom"], index=np.arange(len(padded)) + 7)
    if form == "categories":
        return pd.DataFrame(padded, columns=["top", "bottom"]).astype("category")
    return padded


FORMS = ["array", "None", "ragged", "tuples", "object array", "frame", "categories"]


@BOTH
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", [True, False])
def test_paths_in_and_out(cls, form, given):
    X, which = rows_of(PATHS)
    y = as_paths(form, which)
    hierarchy = Hierarchy.from_paths([list(p) for p in [*PATHS, ("D", "z")]]) if given else None
    clf = make(cls, hierarchy).fit(X, y)
    assert clf.hierarchy_ == Hierarchy.from_paths([list(path) for path in PATHS])
    # "other" is two nodes, and "C" a leaf of the top level; no padding is a class.
    assert set(clf.classes_.tolist()) == {"x", ("A", "other"), ("B", "other"), "y", "C"}
    predicted = clf.predict(X)
    assert predicted.shape == (len(X), 2)
    expected = as_paths("array", which)
    assert (predicted == expected).mean() > 0.9
    np.testing.assert_array_equal(predicted, clf.predict_path(X))
    right = (predicted == expected).all(axis=1)
    assert clf.score(X, y) == right.mean()
    weight = np.random.default_rng(0).random(len(X))
    assert clf.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))
    top = np.array(clf.hierarchy_.level(0))[clf.predict_proba(X, level=0).argmax(axis=1)]
    np.testing.assert_array_equal(clf.predict(X, level=0), top)
    # The same as 1-D labels of the same hierarchy.
    flat = clone(clf).set_params(hierarchy=clf.hierarchy_)
    flat.fit(X, clf.hierarchy_.leaves_from_paths(as_paths("ragged", which)))
    np.testing.assert_array_equal(flat.predict_proba(X), clf.predict_proba(X))


@BOTH
def test_integers_stay_integers(cls):
    names = [(1, 10), (1, 11), (2, 20)]
    X, which = rows_of(names)
    Y = np.array(names)[which]
    clf = make(cls, None).fit(X, Y)
    assert clf.classes_.tolist() == [10, 11, 20]
    assert clf.classes_.dtype.kind == clf.predict(X).dtype.kind == "i"
    assert (clf.predict(X) == Y).mean() > 0.9
    small = make(cls, {1: [10, 11], 2: [20]}).fit(X, Y[:, 1].astype(np.int16))
    assert small.classes_.dtype == small.predict(X).dtype == np.int16
    # A row that is known only as a 1 does not make the classes wider, or floats.
    y = Y[:, 1].astype(np.int16)
    y[0] = 1
    assert make(cls, {1: [10, 11], 2: [20]}).fit(X, y).classes_.dtype == np.int16


@BOTH
def test_predictions_keep_the_width_of_y(cls):
    """A fold may hold no row of the deepest level."""
    X, which = rows_of(["a", "b"])
    Y = np.array([["a", ""], ["b", ""]])[which]
    predicted = make(cls, None).fit(X, Y).predict(X)
    assert predicted.shape == Y.shape
    assert (predicted[:, 1] == "").all()


@BOTH
def test_a_decision_that_stops_early_gives_a_path_that_ends(cls):
    X, which = rows_of(PATHS)
    clf = make(cls, None, decision=Threshold(1.0)).fit(X, as_paths("array", which))
    assert (clf.predict(X)[:, 1] == "").all()


@BOTH
def test_single_columns_and_tuples_that_are_nodes_are_labels(cls):
    X, which = rows_of(PATHS[:4])
    hierarchy = Hierarchy.from_paths([list(path) for path in PATHS[:4]])
    y = np.empty(len(X), dtype=object)
    y[:] = [[("A", "other"), ("B", "other")][i % 2] for i in which]
    clf = make(cls, hierarchy).fit(X, y)
    assert clf.predict(X).shape == (len(X),)
    assert set(clf.predict(X)) == {("A", "other"), ("B", "other")}
    assert clf.score(X, y) == np.mean([a == b for a, b in zip(clf.predict(X), y, strict=True)])


@BOTH
def test_a_type_too_narrow_for_the_classes_is_not_kept(cls):
    tree = {0: [1, 2], 5: [3, 300]}
    clf = make(cls, tree).fit(np.eye(4), np.array([1, 2, 3, 5], dtype=np.int8))
    assert clf.classes_.tolist() == [1, 2, 3, 300]


@BOTH
@pytest.mark.parametrize("form", [list, lambda y: np.array(y, dtype=object)])
def test_numbers_below_names(cls, form):
    tree = {"a": [1, 2], "b": [3, 4]}
    X, which = rows_of([1, 2, 3, "b"])
    y = [[1, 2, 3, "b"][i] for i in which]
    clf = make(cls, tree).fit(X, form(y))
    assert clf.classes_.tolist() == [1, 2, 3, 4]
    assert clf.score(X[which < 3], [label for label in y if label != "b"]) > 0.9
    # Leaves that are numbers, and predictions that stop at a name.
    X, which = rows_of([1, 2, 3, 4])
    y = which + 1
    for threshold in (0.9, 1.0):
        clf = make(cls, tree, decision=Threshold(threshold)).fit(X, y)
        predicted = clf.predict(X).tolist()
        assert clf.score(X, y) == np.mean([a == b for a, b in zip(predicted, y, strict=True)])
        assert clf.score(X, y, np.arange(len(y))) == pytest.approx(
            np.average(
                [a == b for a, b in zip(predicted, y, strict=True)], weights=np.arange(len(y))
            )
        )
    assert set(predicted) == {"a", "b"}


@BOTH
def test_a_column_of_tuples_is_a_column_of_labels(cls):
    with pytest.warns(DataConversionWarning):
        clf = make(cls, {"r": ["a", "b"]}).fit(np.eye(2), [("a",), ("b",)])
    assert clf.predict(np.eye(2)).tolist() == ["a", "b"]


@BOTH
def test_tuples_are_nodes_of_a_dict_too(cls):
    clf = make(cls, {"r": [("x", 1), ("y", 2)]}).fit(np.eye(2), [("x", 1), ("y", 2)])
    assert clf.predict(np.eye(2)).tolist() == [("x", 1), ("y", 2)]


# -- inner nodes as labels


def path_loss(clf, X, labels):
    """Minus the mean log-probability of the nodes, from the probabilities of all nodes."""
    proba = clf.predict_node_proba(X)
    columns = clf.hierarchy_.node_indices(labels)
    return -np.log(proba[np.arange(len(X)), columns]).mean()


@BOTH
def test_the_loss_of_an_inner_node_is_its_own_log_probability(cls):
    X, which = rows_of(["fruit", "bread", "food", "car", "toys", "doll", "other"])
    y = np.array(["fruit", "bread", "food", "car", "toys", "doll", "other"])[which]
    clf = make(cls, learning_rate_init=1e-12, batch_size=len(X), epochs=1, weight_decay=0.0)
    clf.fit(X, y)
    assert clf.loss_curve_[0] == pytest.approx(path_loss(clf, X, y), rel=1e-6)


@BOTH
def test_coarse_rows_alone(cls):
    X, which = rows_of(["food", "toys"])
    y = np.array(["food", "toys"])[which]
    clf = make(cls, learning_rate_init=0.5, epochs=60).fit(X, y)
    assert clf.classes_.tolist() == ["bread", "car", "doll", "fruit"]
    assert (clf.predict(X, level=0) == y).mean() > 0.95
    # Nothing tells the leaves of a branch apart in the hierarchical head.
    if cls is HierarchicalSoftmaxClassifier:
        child = clf.predict_proba(X)[:, [0, 3]] / clf.predict_proba(X, level=0)[:, [0]]
        start = make(cls, learning_rate_init=1e-12, epochs=1).fit(X, y)
        before = start.predict_proba(X)[:, [0, 3]] / start.predict_proba(X, level=0)[:, [0]]
        np.testing.assert_allclose(child, before, atol=0.02)


@BOTH
def test_coarse_rows_do_not_inflate_the_seen_leaves(cls):
    """A row known as food may be bread, which has no row of its own."""
    X, which = rows_of(["fruit", "food", "car"], n=300, noise=0.2)
    y = np.array(["fruit", "food", "car"])[which]
    clf = make(cls, learning_rate_init=0.2, epochs=100, weight_decay=0.0).fit(X, y)
    assert clf.classes_.tolist() == ["bread", "car", "fruit"]
    on_coarse = clf.predict_node_proba(X[which == 1])
    of_food = on_coarse[:, clf.hierarchy_.node_indices(["food"])]
    assert of_food.mean() > 0.95
    # Had its leaf been lost from the hierarchy, "food" would be all "fruit".
    if cls is HierarchicalSoftmaxClassifier:
        # -log P(food) has no gradient in the choice below food: one step on coarse rows alone
        # leaves it exactly as it was.
        weights = []
        for epochs in (1, 2):
            one = make(cls, epochs=epochs, weight_decay=0.0).fit(X[which == 1], y[which == 1])
            below = one.hierarchy_.node_indices(["bread", "fruit"])
            weights.append([p.detach().numpy().T[..., below].copy() for p in
                            one.net_.module_.head.parameters()])  # fmt: skip
        for before, after in zip(*weights, strict=True):
            np.testing.assert_array_equal(before, after)


def test_coarse_rows_help():
    """With the leaf stripped from most rows, they still teach the top level."""
    rng = np.random.default_rng(0)
    leaves = ["fruit", "bread", "doll", "car"]
    top = {"fruit": "food", "bread": "food", "doll": "toys", "car": "toys"}
    X, which = rows_of(leaves, n=2400, noise=1.0)
    X = np.c_[X, rng.normal(size=(2400, 40))]  # features that say nothing
    y = np.array(leaves, dtype=object)[which]
    is_coarse = rng.random(400) < 0.9
    mixed = np.where(is_coarse, [top[leaf] for leaf in y[:400]], y[:400])
    with_coarse = make(epochs=40).fit(X[:400], mixed)
    without = make(epochs=40).fit(X[:400][~is_coarse], mixed[~is_coarse])
    y_top = np.array([top[leaf] for leaf in y[400:]], dtype=object)
    of_top, of_leaves = (
        [accuracy_score(true, clf.predict(X[400:], level=level)) for clf in (with_coarse, without)]
        for level, true in ((0, y_top), (1, y[400:]))
    )
    assert of_top[0] > of_top[1] + 0.1
    assert of_leaves[0] > of_leaves[1] + 0.05


@BOTH
def test_class_weights_of_inner_nodes(cls):
    """A branch's weight is that of its rows, but for those with a nearer one."""
    labels = ["fruit", "bread", "food", "car", "doll", "other"]
    X, which = rows_of(labels)
    y = np.array(labels)[which]
    of_row = {"fruit": 5.0, "bread": 3.0, "food": 3.0, "car": 1.0, "doll": 1.0, "other": 1.0}
    by_branch = make(cls, class_weight={"food": 3.0, "fruit": 5.0}).fit(X, y)
    by_row = make(cls).fit(X, y, sample_weight=[of_row[label] for label in y])
    np.testing.assert_allclose(by_branch.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)


@BOTH
def test_balanced_counts_leaf_rows(cls):
    labels = ["fruit"] * 6 + ["bread"] * 2 + ["food"] * 3 + ["car"] * 4 + ["toys"] + ["other"] * 5
    X, which = rows_of(labels)
    y = np.array(labels)[which]
    n = {label: int((y == label).sum()) for label in labels}
    of_row = {leaf: 1 / n[leaf] for leaf in ("fruit", "bread", "car", "other")}
    of_row["food"] = 2 / (n["fruit"] + n["bread"])  # a row of food, on average
    of_row["toys"] = of_row["car"]
    balanced = make(cls, class_weight="balanced").fit(X, y)
    by_row = make(cls).fit(X, y, sample_weight=[of_row[label] for label in y])
    np.testing.assert_allclose(balanced.predict_proba(X), by_row.predict_proba(X), rtol=1e-6)


# -- hierarchies of any shape


def check_whole(cls, hierarchy, labels, **params):
    """Fit, predict, score, pickle and copy."""
    X, which = rows_of(labels, n=max(60, 3 * len(labels)))
    y = np.empty(len(X), dtype=object)
    y[:] = [labels[i] for i in which]
    clf = make(cls, hierarchy, **params).fit(X, y)
    proba = clf.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-9)
    assert clf.score(X, y) > 0.8
    for other in (pickle.loads(pickle.dumps(clf)), copy.deepcopy(clf)):
        np.testing.assert_array_equal(other.predict_proba(X), proba)
        np.testing.assert_array_equal(other.predict(X), clf.predict(X))
    for decision in (Argmax(), TopDown(), Threshold(0.6), MinimumRisk(), MinimumRisk(over="nodes")):
        clf.set_params(decision=decision)
        found = decision.decide(proba, clf.classes_, clf.hierarchy_)
        assert clf.predict(X).tolist() == found.tolist()
        np.testing.assert_array_equal(clf.predict_proba(X), proba)
    return clf


@BOTH
def test_a_child_of_two_parents(cls):
    dag = Hierarchy([("life", "pet"), ("life", "farm"), ("pet", "cat"), ("pet", "dog"),
                     ("farm", "dog"), ("farm", "cow"), ("farm", "hen")])  # fmt: skip
    clf = check_whole(cls, dag, ["cat", "dog", "cow", "hen"], epochs=60)
    X, which = rows_of(["cat", "dog", "cow", "hen"])
    clf.set_params(decision="argmax")
    paths = clf.predict_path(X)
    assert set(paths[which == 1, 0]) <= {"pet", "farm"}
    for above, node in paths.tolist():
        assert node in dag.children(above)
    with pytest.raises(ValueError, match="not defined in a DAG"):
        clf.predict(X, level=0)
    with pytest.raises(ValueError, match="not defined in a DAG"):
        clf.predict_proba(X, level="parent")


@BOTH
def test_a_long_chain_beside_short_leaves(cls):
    chain = [("r", "c0"), *((f"c{i}", f"c{i + 1}") for i in range(19))]
    tree = Hierarchy([*chain, ("c18", "twin"), ("r", "a"), ("r", "b")])
    assert tree.depth == 20
    clf = check_whole(cls, tree, ["c19", "twin", "a", "b"], epochs=40)
    X, _ = rows_of(["c19", "twin", "a", "b"])
    assert clf.predict_path(X).shape == (len(X), 20)


@BOTH
def test_a_hierarchy_much_larger_than_the_data(cls):
    names = [f"{i:05d}" for i in range(10_000)]
    tree = Hierarchy.balanced(names, branching=10)
    seen = names[::200]
    clf = check_whole(cls, tree, seen, epochs=40)
    assert clf.classes_.tolist() == seen
    assert clf.hierarchy_ == tree.prune(seen)


@BOTH
@given(hierarchy=trees() | dags(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_any_hierarchy_any_labels(cls, hierarchy, seed):
    """Leaves and inner nodes, only children, nodes without rows."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(hierarchy), size=min(4, len(hierarchy)), replace=False)
    labels = [hierarchy.nodes[i] for i in labels]
    X, which = rows_of(labels, n=24)
    y = np.array(labels)[which]
    clf = make(cls, hierarchy, epochs=2).fit(X, y)
    assert clf.hierarchy_ == hierarchy.prune(labels)
    assert clf.classes_.tolist() == sorted(clf.hierarchy_.leaves)
    below = {n for label in labels for n in (label, *hierarchy.descendants(label))}
    assert set(clf.classes_) == below & set(hierarchy.leaves)
    np.testing.assert_allclose(clf.predict_proba(X).sum(axis=1), 1, rtol=1e-9)
    nodes = clf.predict_node_proba(X)
    assert nodes.shape == (24, len(clf.hierarchy_))
    assert (nodes <= 1 + 1e-9).all()
    path = clf.predict_path(X)
    for row, leaf in zip(path.tolist(), clf.predict(X).tolist(), strict=True):
        walked = [name for name in row if name]
        assert walked[-1] == leaf
        steps = zip((hierarchy.root, *walked[:-1]), walked, strict=True)
        assert all(child in hierarchy.children(parent) for parent, child in steps)


def part_below(edges, root):
    """Return the DAG of all that can be reached from a node."""
    below = {}
    for parent, child in edges:
        below.setdefault(parent, []).append(child)
    kept, waiting, seen = [], [root], {root}
    while waiting:
        parent = waiting.pop()
        kept += [(parent, child) for child in below.get(parent, ())]
        new = set(below.get(parent, ())) - seen
        seen |= new
        waiting += sorted(new)
    return Hierarchy(kept, root=root)


def test_a_part_of_wordnet(data_home):
    """Animals, some of which are reached in several ways."""
    file = data_home / "hierarchies" / "wordnet_wn18rr_dag.edges.csv.gz"
    with gzip.open(file, "rt", newline="") as lines:
        edges = [(row["parent"], row["child"]) for row in csv.DictReader(lines)]
    dag = part_below(edges, "00015388")
    n_parents = np.bincount(dag.arrays.edge_children, minlength=len(dag))
    leaves = dag.leaf_indices
    several = [dag.nodes[i] for i in leaves[n_parents[leaves] > 1][:6]]
    others = [dag.nodes[i] for i in leaves[n_parents[leaves] == 1][::200]]
    clf = check_whole(HierarchicalSoftmaxClassifier, dag, [*several, *others], epochs=60)
    assert not clf.hierarchy_.is_tree


def test_a_branch_of_the_gene_ontology(data_home):
    """Genes by their deepest term below "cellular component", an inner node for many."""
    folder = data_home / "hmc" / "cellcycle_GO"
    whole = Hierarchy.from_dict(json.loads((folder / "hierarchy.json").read_text()))
    dag = part_below(whole.edges, "GO0005575")
    assert not dag.is_tree
    values, labels = [], []
    with gzip.open(folder / "train.arff.gz", "rt") as lines:
        for row in lines:
            *cells, terms = row.strip().split(",")
            known = [term for term in terms.split("@") if term in dag]
            if len(cells) == 77 and known:
                values.append([0.0 if cell == "?" else float(cell) for cell in cells])
                labels.append(max(known, key=lambda term: dag.depths[dag.node_indices([term])[0]]))
    X, y = np.array(values), np.array(labels)
    clf = make(hierarchy=dag, epochs=30, learning_rate_init=0.01).fit(X, y)
    assert not np.isin(y, clf.classes_).all()
    assert len(np.unique(y)) > 100
    proba = clf.predict_node_proba(X)
    columns = clf.hierarchy_.node_indices(y)
    found = -np.log(proba[np.arange(len(y)), columns])
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    assert found.mean() < -np.log(counts[codes] / len(y)).mean()  # what the shares alone say
    # No node is likelier than a walk is to visit one of its parents.
    for j, node in enumerate(clf.hierarchy_.nodes):
        parents = [p for p in clf.hierarchy_.parents(node) if p != dag.root]
        if parents and len(parents) == len(clf.hierarchy_.parents(node)):
            above = proba[:, clf.hierarchy_.node_indices(parents)].sum(axis=1)
            assert (proba[:, j] <= above + 1e-9).all()


# -- searches and errors


def test_a_search_over_decisions_and_losses():
    X, which = rows_of(["fruit", "bread", "doll", "car"])
    y = np.array(["fruit", "bread", "doll", "car"])[which]
    search = GridSearchCV(
        make(decision=Threshold(), epochs=5),
        {"decision__threshold": [0.5, 0.99999]},
        cv=KFold(3, shuffle=True, random_state=0),
    )
    assert search.fit(X, y).best_params_ == {"decision__threshold": 0.5}


X, WHICH = rows_of(["fruit", "bread", "doll", "car"])
Y = np.array(["fruit", "bread", "doll", "car"])[WHICH]
ROWS = [["food", "fruit"], ["food", "bread"], ["toys", "doll"], ["toys", "car"]]
P = [ROWS[i] for i in WHICH]
CASES = {
    "unknown": ({}, ["zebra", *Y[1:]], "not in the hierarchy: 'zebra'"),
    "in no branch": (
        {},
        [["food", "zebra"], *P[1:]],
        "row 0, step 1: 'zebra' is not a child of 'food'",
    ),
    "another branch": (
        {},
        [P[0], ["toys", "bread"], *P[2:]],
        "row 1, step 1: 'bread' is not a child of 'toys'; .* 'bread' is below 'food'",
    ),
    "a skipped level": ({}, [["", "fruit"], *P[1:]], "row 0 skips a level"),
    "an empty path": ({}, [*P[:3], [], *P[4:]], "row 3 has no label"),
    "paths for an inducer": (
        {"hierarchy": BalancedHierarchy()},
        P,
        "BalancedHierarchy.* for labels that can be sorted, and y holds paths",
    ),
    "threshold": ({"decision": Threshold(1.5)}, Y, "'threshold' parameter .* Got 1.5"),
    "a cost too small": ({"decision": MinimumRisk(np.ones((2, 2)))}, Y, r"\(4, 4\).*\(2, 2\)"),
    "a negative cost": ({"decision": MinimumRisk(-np.eye(4))}, Y, "-1.*'bread'|'bread'.*-1"),
    "edges read once": (
        {"hierarchy": iter([("r", "fruit"), ("r", "bread")])},
        Y,
        "can be read once only: give the edges in a list",
    ),
    "no decision": ({"decision": "best"}, Y, "no decision 'best'"),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_bad_labels_and_decisions_are_refused_before_any_work(cls, case):
    params, y, message = CASES[case]
    clf = make(cls, **params)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


@BOTH
def test_a_decision_is_asked_of_a_level_it_cannot_give(cls):
    clf = make(cls, decision=Threshold(0.5)).fit(X, Y)
    with pytest.raises(ValueError, match=r"Threshold.* level"):
        clf.predict(X, level=0)


def test_nested_parameters_need_an_object():
    with pytest.raises(ValueError, match=r"hierarchy__branching sets .*BalancedHierarchy"):
        HierarchicalSoftmaxClassifier(SHOP).set_params(hierarchy__branching=3)
    with pytest.raises(ValueError, match=r"decision__threshold sets .* decision is 'threshold'"):
        HierarchicalSoftmaxClassifier(decision="threshold").set_params(decision__threshold=0.1)


@BOTH
def test_a_sparse_table_under_a_dag(cls):
    """The rows and their gradients are sparse, whatever the head; optimisers see the same."""
    dag = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("a", "e")])
    X, which = rows_of(["c", "d", "e", "a"])
    X[np.abs(X) < 0.5] = 0
    y = np.array(["c", "d", "e", "a"])[which]
    settings = {"hierarchy": dag, "optimizer": "sgd", "learning_rate_init": 0.1}
    dense = make(cls, **settings).fit(X, y)
    sparse = make(cls, **settings).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(
        sparse.predict_proba(sp.csr_array(X)), dense.predict_proba(X), rtol=1e-9
    )
    assert make(cls, dag).fit(sp.csr_array(X), y).score(sp.csr_array(X), y) > 0.5
