"""Scores of labels, paths and indicator matrices: against definitions, scikit-learn and hands."""

import math
from functools import partial
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.exceptions import UndefinedMetricWarning
from strategies import dags, trees

from hierclf import Hierarchy
from hierclf.metrics import (
    any_depth_accuracy_score,
    consistency_score,
    hierarchical_f1_score,
    hierarchical_fbeta_score,
    hierarchical_precision_score,
    hierarchical_recall_score,
    information_gain_score,
    lca_height,
    level_accuracy_score,
    mistake_severity,
    tree_distance,
)

ANIMALS = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})

SET_SCORES = {
    "precision": hierarchical_precision_score,
    "recall": hierarchical_recall_score,
    "f1": hierarchical_f1_score,
    "f2": partial(hierarchical_fbeta_score, beta=2),
}
NODE_SCORES = {
    f.__name__: f
    for f in (
        tree_distance,
        lca_height,
        mistake_severity,
        any_depth_accuracy_score,
        information_gain_score,
    )
}
AVERAGES = ("micro", "macro", "samples", None)
ALL_SCORES = NODE_SCORES | {
    f"{name} {average}": partial(score, average=average, zero_division=0)
    for name, score in SET_SCORES.items()
    for average in AVERAGES
}


@st.composite
def labelled(draw, hierarchies):
    """Draw a hierarchy, true and predicted nodes of any depth, and whole-numbered weights."""
    h = draw(hierarchies)
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(h.nodes), st.sampled_from(h.nodes), st.integers(0, 3)),
            min_size=1,
            max_size=8,
        ).filter(lambda rows: any(weight for *_, weight in rows))
    )
    return h, *(np.array(column) for column in zip(*rows, strict=True))


def closed(h, node):
    return {node, *h.ancestors(node)} - {h.root}


def height(h, node):
    return max((1 + height(h, child) for child in h.children(node)), default=0)


def leaves_below(h, node):
    return {leaf for leaf in h.leaves if node in (*h.ancestors(leaf), leaf)}


def mean(values, weights):
    pairs = list(zip(values, weights, strict=True))
    return sum(v * w for v, w in pairs) / sum(w for _, w in pairs)


# -- one node for each row


@given(labelled(st.one_of(trees(), dags())))
def test_node_scores_by_definition(case):
    h, true, predicted, weight = case
    rows = list(zip(true.tolist(), predicted.tolist(), strict=True))
    heights = [height(h, h.lowest_common_ancestor(t, p)) for t, p in rows]
    right = [p in closed(h, t) for t, p in rows]
    n_leaves = len(h.leaves)
    # The logarithm of the share of the leaves that a prediction excludes; one leaf excludes none.
    gain = [
        math.log(n_leaves / len(leaves_below(h, p)), n_leaves) if n_leaves > 1 else 1
        for _, p in rows
    ]
    wrong = weight * (true != predicted)
    expected = {
        "tree_distance": mean([h.distance(t, p) for t, p in rows], weight),
        "lca_height": mean(heights, weight),
        "mistake_severity": mean(heights, wrong) if wrong.any() else 0,
        "any_depth_accuracy_score": mean(right, weight),
        "information_gain_score": mean(np.multiply(right, gain), weight),
    }
    found = {
        name: score(true, predicted, hierarchy=h, sample_weight=weight)
        for name, score in NODE_SCORES.items()
    }
    assert found == pytest.approx(expected, abs=1e-12)


@given(labelled(trees()))
def test_level_accuracy_by_definition(case):
    h, true, predicted, weight = case

    def on_level(node, k):
        path = h.path(node)
        if len(path) > k:
            return path[k]
        return None if h.children(node) else node

    expected = []
    for k in range(h.n_levels):
        rows = [(on_level(t, k), on_level(p, k)) for t, p in zip(true, predicted, strict=True)]
        known = [w * (t is not None) for (t, _), w in zip(rows, weight, strict=True)]
        expected.append(mean([t == p for t, p in rows], known) if any(known) else math.nan)
    score = partial(level_accuracy_score, true, predicted, hierarchy=h, sample_weight=weight)
    np.testing.assert_allclose(score(level=None), expected, rtol=1e-12)
    for k, value in enumerate(expected):
        for level in (k, k - h.n_levels):
            if not math.isnan(value):
                assert score(level=level) == pytest.approx(value)
            else:
                with pytest.raises(ValueError, match=r"y_true: no label .* reaches level"):
                    score(level=level)


def test_level_accuracy_of_leaves_in_a_dag():
    h = {"pet": ["dog", "cat"], "farm": ["dog", "cow"]}
    score = partial(level_accuracy_score, ["dog", "cow"], ["dog", "cat"], hierarchy=h)
    assert score(level="leaf") == 0.5
    with pytest.raises(ValueError, match="not defined in a DAG"):
        score(level=0)
    with pytest.raises(ValueError, match="not defined in a DAG"):
        score(level=None)


# -- sets of nodes


def set_score_by_definition(name, true, predicted, weight, average, zero_division, nodes):
    """Divide counts as the textbooks do, from sets of nodes for each row."""

    def score(items):
        n_true = sum(w for t, _, w in items if t)
        n_predicted = sum(w for _, p, w in items if p)
        shared = sum(w for t, p, w in items if t and p)
        if name == "precision":
            return shared / n_predicted if n_predicted else zero_division
        if name == "recall":
            return shared / n_true if n_true else zero_division
        if not n_true and not n_predicted:
            return zero_division
        if not shared:
            return 0.0
        precision, recall = shared / n_predicted, shared / n_true
        beta = {"f1": 1, "f2": 2}[name]
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)

    rows = list(zip(true, predicted, weight, strict=True))
    if average == "micro":
        return score([(v in t, v in p, w) for t, p, w in rows for v in nodes])
    if average == "samples":
        scores = [score([(v in t, v in p, 1) for v in nodes]) for t, p, _ in rows]
        return mean(scores, weight)
    scores = [score([(v in t, v in p, w) for t, p, w in rows]) for v in nodes]
    return scores if average is None else mean(scores, [1] * len(scores))


@settings(max_examples=30, deadline=None)
@given(labelled(st.one_of(trees(), dags())), st.sampled_from([0, 1]))
def test_set_scores_by_definition(case, zero_division):
    h, true, predicted, weight = case
    sets = [[closed(h, node) for node in y] for y in (true, predicted)]
    options = {"sample_weight": weight, "zero_division": zero_division}
    for name, average in product(SET_SCORES, AVERAGES):
        expected = set_score_by_definition(name, *sets, weight, average, zero_division, h.nodes)
        found = SET_SCORES[name](true, predicted, hierarchy=h, average=average, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=f"{name} {average}")


@settings(max_examples=30, deadline=None)
@given(
    h=trees().filter(lambda h: len(h) > 1),
    seed=st.integers(0, 2**32 - 1),
    zero_division=st.sampled_from([0, 1, np.nan]),
    density=st.sampled_from([0.1, 0.5]),
)
def test_open_predictions_are_those_of_sklearn(h, seed, zero_division, density):
    """The figures of papers on multi-label texts: predictions as they are."""
    rng = np.random.default_rng(seed)
    leaves = [[leaf for leaf in h.leaves if rng.random() < density] for _ in range(6)]
    true = h.to_indicator(leaves)
    predicted = (rng.random((6, len(h))) < density).astype(int)
    by_hand = h.to_indicator(
        [[node for node, set_ in zip(h.nodes, row, strict=True) if set_] for row in predicted]
    )
    options = {"sample_weight": rng.random(6), "zero_division": zero_division}
    scores = sklearn_metrics
    theirs = {
        "precision": scores.precision_score,
        "recall": scores.recall_score,
        "f1": scores.f1_score,
        "f2": partial(scores.fbeta_score, beta=2),
    }
    for name, average in product(SET_SCORES, AVERAGES):
        ours = partial(SET_SCORES[name], hierarchy=h, average=average, **options)
        expected = theirs[name](true, predicted, average=average, **options)
        found = ours(true == 1, sp.csc_matrix(predicted), close_predictions=False)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=f"{name} {average}")
        expected = theirs[name](true, by_hand, average=average, **options)
        found = ours(true, predicted)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=f"{name} {average}")


def test_fbeta_at_its_ends():
    args = (["cat", "oak"], ["animal", "cat"])
    fbeta = partial(hierarchical_fbeta_score, *args, hierarchy=ANIMALS)
    assert fbeta(beta=0) == hierarchical_precision_score(*args, hierarchy=ANIMALS) == 1 / 3
    assert fbeta(beta=np.inf) == hierarchical_recall_score(*args, hierarchy=ANIMALS) == 1 / 4


def test_undefined_scores_warn():
    score = partial(hierarchical_precision_score, ["cat"], hierarchy=ANIMALS)
    with pytest.warns(UndefinedMetricWarning, match="for nodes 'plant', 'stone', 'dog', 'oak'"):
        assert score(["cat"], average=None).tolist() == [1, 0, 0, 1, 0, 0]
    nothing = np.zeros((1, len(ANIMALS)))
    with pytest.warns(UndefinedMetricWarning, match="for rows 0"):
        assert score(nothing, average="samples") == 0
    with pytest.warns(UndefinedMetricWarning, match="for the data") as caught:
        assert score(nothing) == 0
    assert caught[0].filename == __file__
    assert math.isnan(score(nothing, average="macro", zero_division=np.nan))
    # The only row with a score weighs nothing.
    rows, options = (
        ANIMALS.to_indicator([["cat"], []]),
        {"zero_division": np.nan, "sample_weight": [0, 1]},
    )
    found = hierarchical_precision_score(
        ["cat", "cat"], rows, hierarchy=ANIMALS, average="samples", **options
    )
    assert math.isnan(found)
    assert score(["cat"], average="samples") == 1  # and no warning, which would be an error


# -- all scores


@settings(max_examples=30, deadline=None)
@given(
    labelled(st.integers(1, 5).map(lambda n: Hierarchy.flat([f"c{i}" for i in range(n)]))),
)
def test_flat_hierarchies_give_the_scores_of_sklearn(case):
    h, true, predicted, weight = case
    weights = {"sample_weight": weight}
    accuracy = sklearn_metrics.accuracy_score(true, predicted, **weights)
    loss = sklearn_metrics.zero_one_loss(true, predicted, **weights)
    support = partial(
        sklearn_metrics.precision_recall_fscore_support,
        true,
        predicted,
        labels=h.nodes,
        zero_division=0,
        **weights,
    )
    expected = {
        "tree_distance": 2 * loss,
        "lca_height": loss,
        "mistake_severity": float((weight[true != predicted] > 0).any()),
        "any_depth_accuracy_score": accuracy,
        # Nothing is learnt from naming the only class, yet it is named as well as can be.
        "information_gain_score": accuracy,
    }
    for average in ("macro", None):
        precision, recall, f1, _ = support(average=average)
        expected |= {f"precision {average}": precision, f"recall {average}": recall}
        expected |= {f"f1 {average}": f1, f"f2 {average}": support(beta=2, average=average)[2]}
    for name in SET_SCORES:
        expected |= {f"{name} micro": accuracy, f"{name} samples": accuracy}
    assert expected.keys() == ALL_SCORES.keys()
    for name, score in ALL_SCORES.items():
        np.testing.assert_allclose(
            score(true, predicted, hierarchy=h, **weights), expected[name], atol=1e-12
        )
    assert level_accuracy_score(true, predicted, hierarchy=h, level=0, **weights) == pytest.approx(
        accuracy
    )


@settings(max_examples=30, deadline=None)
@given(labelled(trees()))
def test_whole_weights_are_repeated_rows(case):
    h, true, predicted, weight = case
    scores = ALL_SCORES | {"levels": partial(level_accuracy_score, level=None)}
    for name, score in scores.items():
        np.testing.assert_allclose(
            score(true, predicted, hierarchy=h, sample_weight=weight),
            score(np.repeat(true, weight), np.repeat(predicted, weight), hierarchy=h),
            rtol=1e-12,
            err_msg=name,
        )


# -- what rows may look like

LABELS = ["cat", "plant", "stone", "dog"]
PATHS = [["animal", "cat"], ["plant"], ["stone"], ["animal", "dog"]]
MATRIX = [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0]]
FORMS = {
    "list": LABELS,
    "array": np.array(LABELS),
    "series": pd.Series(LABELS, index=[3, 2, 1, 0]),
    "categories": pd.Series(LABELS, dtype="category"),
    "ragged": PATHS,
    "tuples": [tuple(path) for path in PATHS],
    "padded": np.array([[*path, ""][:2] for path in PATHS]),
    "frame": pd.DataFrame([[*path, None][:2] for path in PATHS], columns=["kind", "name"]),
    "matrix": np.array(MATRIX),
    "matrix of floats": np.array(MATRIX, dtype=np.float32),
    "matrix of bools": np.array(MATRIX, dtype=bool),
    "lists of numbers": MATRIX,
    "sparse": sp.coo_array(np.array(MATRIX)),
    "frame by name": pd.DataFrame(MATRIX, columns=ANIMALS.nodes)[sorted(ANIMALS.nodes)],
    "frame by place": pd.DataFrame(MATRIX, columns=[f"x{i}" for i in range(6)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_rows(form):
    y_pred = ["dog", "oak", "stone", "dog"]
    rows, is_matrix = FORMS[form], form in list(FORMS)[8:]
    # The pairs share animal, plant, stone, and animal and dog: 5 nodes; 6 are true, 7 predicted.
    for score, expected in ((SET_SCORES["precision"], 5 / 7), (SET_SCORES["recall"], 5 / 6)):
        assert score(rows, y_pred, hierarchy=ANIMALS) == expected
    assert hierarchical_precision_score(y_pred, rows, hierarchy=ANIMALS) == 5 / 6
    if is_matrix:
        with pytest.raises(ValueError, match="y_true: expected one label or path for each row"):
            tree_distance(rows, y_pred, hierarchy=ANIMALS)
    else:
        assert tree_distance(rows, y_pred, hierarchy=ANIMALS) == (2 + 1 + 0 + 0) / 4


def test_forms_where_nodes_are_tuples():
    h = Hierarchy.from_paths([["a", "x"], ["b", "x"], ["c"]])
    assert ("a", "x") in h.nodes
    assert tree_distance([("a", "x"), "c"], [("b", "x"), "c"], hierarchy=h) == 2
    assert tree_distance([("a", "x"), ("b", "x")], [["a"], ["b", "x"]], hierarchy=h) == 0.5
    groups = Hierarchy.balanced(list("abcd"), 2)  # here tuples of names are no paths
    assert tree_distance([("a", "b")], [("c", "d")], hierarchy=groups) == 2


def test_forms_where_nodes_are_numbers():
    h = Hierarchy.from_dict({1: [10, 11], 2: [20]})
    paths = [[1, 10], [2, 20]]
    assert hierarchical_f1_score(paths, np.array([[1, 11], [2, 20]]), hierarchy=h) == 3 / 4
    assert hierarchical_f1_score(paths, h.to_indicator([11, 20]), hierarchy=h) == 3 / 4
    flat = Hierarchy.flat([0, 1])
    assert hierarchical_f1_score([0, 1], [[1, 0], [1, 0]], hierarchy=flat) == 0.5
    assert hierarchical_f1_score([0, 1], [[1], [0]], hierarchy=flat) == 0
    chain = Hierarchy([("top", 1), (1, 0)])  # [1, 0] is the path to 0, or the set of 1 alone
    assert hierarchical_recall_score([0], [[1, 0]], hierarchy=chain) == 1
    assert hierarchical_recall_score([0], sp.csr_array([[1, 0]]), hierarchy=chain) == 0.5


def test_inputs_are_left_alone():
    matrix = sp.csr_array((np.array([1, 0, 1]), ([0, 0, 0], [0, 1, 3])), shape=(1, 6))
    assert hierarchical_f1_score(matrix, ["cat"], hierarchy=ANIMALS) == 1
    assert matrix.nnz == 3


# -- consistency


@given(st.one_of(trees(), dags()), st.integers(0, 2**32 - 1))
def test_consistency_of_matrices(h, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.random((8, len(h))) < 0.7
    weight = rng.integers(1, 4, size=8)
    expected = []
    for row in matrix:
        chosen = {node for node, set_ in zip(h.nodes, row, strict=True) if set_}
        expected.append(all(closed(h, node) <= chosen for node in chosen))
    for form in (matrix, matrix.astype(float), sp.csr_matrix(matrix)):
        found = consistency_score(form, hierarchy=h, sample_weight=weight)
        assert found == pytest.approx(mean(expected, weight))
        assert consistency_score(h.to_indicator(h.nodes), hierarchy=h) == 1
    assert consistency_score(matrix.repeat(weight, axis=0), hierarchy=h) == pytest.approx(found)


@given(trees(), st.integers(0, 2**32 - 1))
def test_consistency_of_levels(h, seed):
    levels = [h.level(k) for k in range(h.n_levels)]
    rng = np.random.default_rng(seed)
    rows = [[level[rng.integers(len(level))] for level in levels] for _ in range(10)]
    expected = [
        all(b in h.children(a) or (a == b and a in h.leaves) for a, b in pairwise(r)) for r in rows
    ]
    assert consistency_score(np.array(rows), hierarchy=h) == pytest.approx(np.mean(expected))
    descents = [[*h.path(leaf), leaf, leaf][: h.n_levels] for leaf in h.leaves]
    assert consistency_score(descents, hierarchy=h) == 1


def test_consistency_by_hand():
    rows = [["animal", "cat"], ["animal", ""], ["stone", "stone"], ["animal", "animal"]]
    assert consistency_score(rows, hierarchy=ANIMALS) == 0.75
    assert consistency_score(pd.DataFrame(rows), hierarchy=ANIMALS) == 0.75
    weights = [0, 0, 1, 3]
    assert consistency_score(rows, hierarchy=ANIMALS, sample_weight=weights) == 0.25


# -- bad input


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (["cat", "cow"], ["cat", "cat"], "y_true: labels that are not in the hierarchy: 'cow'"),
        (["cat", "cat"], ["cat", "cow"], "y_pred: labels that are not in the hierarchy: 'cow'"),
        (["cat", "cat"], ["cat", math.nan], "y_pred: labels that are not .*: nan"),
        ([0, 1], ["cat", "cat"], "y_true: labels .* look encoded"),
        (["cat"], [["plant", "cat"]], "y_pred: row 0, step 1: 'cat' is not a child of 'plant'"),
        (["cat", "cat"], ["cat"], "y_true has 2 rows, y_pred has 1"),
        ([], [], "there are no rows"),
        (np.zeros((2, 2, 2)), ["cat", "cat"], "y_true: expected labels, .* got 3 dimensions"),
    ],
)
def test_bad_rows(y_true, y_pred, message):
    for score in ALL_SCORES.values():
        with pytest.raises(ValueError, match=message):
            score(y_true, y_pred, hierarchy=ANIMALS)


@pytest.mark.parametrize(
    ("y_pred", "message"),
    [
        ([[1, 0, 0]], r"y_pred: the indicator matrix must have a column for each of the 6 nodes"),
        (sp.csr_array((1, 7)), r"column for each of the 6 nodes, its shape is \(1, 7\)"),
        ([[0] * 6, [0, 2, 0, 0, 0, 0]], "y_pred: row 1 holds 2: an indicator matrix holds 0 and 1"),
        ([[0, 0.5, 0, 0, 0, 0]], "row 0 holds 0.5"),
        ([[0, math.nan, 0, 0, 0, 0]], "row 0 holds nan"),
        (pd.DataFrame(MATRIX, columns=[*ANIMALS.nodes[:-1], "elm"]), "see 'oak', 'elm'"),
        (pd.DataFrame(MATRIX, columns=[*ANIMALS.nodes[:-1], "cat"]), "see 'oak', 'cat'"),
    ],
)
def test_bad_matrices(y_pred, message):
    with pytest.raises(ValueError, match=message):
        hierarchical_f1_score(["cat"] * len(MATRIX), y_pred, hierarchy=ANIMALS)
    with pytest.raises(ValueError, match=message):
        consistency_score(y_pred, hierarchy=ANIMALS)


def test_sparse_matrices_that_hold_a_cell_twice():
    """Twice a 1 is a 2, as scipy reads it, and not a set of which nodes count twice."""
    twice = sp.csr_array((np.ones(3), np.array([0, 3, 3]), np.array([0, 3])), shape=(1, 6))
    for score in (hierarchical_f1_score, partial(hierarchical_f1_score, close_predictions=False)):
        with pytest.raises(ValueError, match="y_pred: row 0 holds 2"):
            score(["cat"], twice, hierarchy=ANIMALS)
    with pytest.raises(ValueError, match="y_pred: row 0 holds 2"):
        consistency_score(twice, hierarchy=ANIMALS)
    assert twice.nnz == 3
    halves = sp.csr_array((np.full(3, 0.5), np.array([0, 0, 2]), np.array([0, 3])), shape=(1, 6))
    halves.data[2] = 1
    assert consistency_score(halves, hierarchy=ANIMALS) == 1  # animal and stone


def test_bad_types():
    for y in ("cat", 3, None):
        with pytest.raises(TypeError, match="y_true: expected labels, paths or an indicator"):
            hierarchical_f1_score(y, ["cat"], hierarchy=ANIMALS)
    with pytest.raises(TypeError, match="y_pred: labels must be hashable"):
        tree_distance(["cat", "cat"], ["cat", {"cat"}], hierarchy=ANIMALS)
    with pytest.raises(ValueError, match=r"row 0, step 0: 'cat' .*hierarchy.to_indicator\(rows\)"):
        hierarchical_f1_score([["cat", "oak"]], ["cat"], hierarchy=ANIMALS)
    with pytest.raises(TypeError, match="expected a hierarchy"):
        tree_distance(["cat"], ["cat"], hierarchy=3)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([0, 0], "sample_weight: all weights are zero|at least one non-zero"),
        ([1, -1], "[Nn]egative values in .*`sample_weight`"),
        ([1, math.nan], "sample_weight contains NaN"),
        ([1, 1, 1], r"sample_weight.shape == \(3,\), expected \(2,\)"),
    ],
)
def test_bad_weights(weight, message):
    for score in ALL_SCORES.values():
        with pytest.raises(ValueError, match=message):
            score(["cat", "dog"], ["cat", "cat"], hierarchy=ANIMALS, sample_weight=weight)


def test_bad_options():
    score = partial(hierarchical_fbeta_score, ["cat"], ["cat"], hierarchy=ANIMALS)
    for key, value in (
        ("average", "weighted"),
        ("average", 1),
        ("zero_division", 0.5),
        ("zero_division", "ignore"),
        ("close_predictions", "no"),
        ("beta", -1),
        ("beta", "1"),
        ("beta", None),
    ):
        message = f"'{key}' parameter of hierarchical_fbeta_score"
        with pytest.raises(ValueError, match=message):
            score(**{"beta": 1, key: value})
    with pytest.raises(ValueError, match=r"y_pred: .*close_predictions=False is for an indicator"):
        score(beta=1, close_predictions=False)
    for level, message in (
        (2, "there is no level 2: the levels are 0 to 1"),
        (-3, "there is no level -3"),
        ("top", "level must be an integer, .* got 'top'"),
        (0.5, "level must be an integer, .* got 0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            level_accuracy_score(["cat"], ["cat"], hierarchy=ANIMALS, level=level)


def test_bad_consistency():
    with pytest.raises(ValueError, match="y_pred: expected an indicator matrix or a node for each"):
        consistency_score(["cat"], hierarchy=ANIMALS)
    with pytest.raises(ValueError, match="y_pred: labels that are not in the hierarchy: 'cow'"):
        consistency_score([["animal", "cow"]], hierarchy=ANIMALS)
    with pytest.raises(ValueError, match="y_pred: row 1 has no label"):
        consistency_score([["animal", "cat"], ["", None]], hierarchy=ANIMALS)
    with pytest.raises(ValueError, match="y_pred: labels that are not in the hierarchy: ''"):
        consistency_score([["animal", "cat"], ["", "cat"]], hierarchy=ANIMALS)


def test_rejections_are_scored_as_the_root():
    y_true = ["cat", "cat", "oak", "dog"]
    y_pred = ["cat", "unknown", "unknown", "oak"]
    tree = {"life": ["animal", "plant"], "animal": ["cat", "dog"], "plant": ["oak", "elm"]}
    weight = [1, 2, 3, 2]
    params = {"hierarchy": tree, "reject_label": "unknown"}
    assert any_depth_accuracy_score(y_true, y_pred, **params) == 3 / 4
    assert any_depth_accuracy_score(y_true, y_pred, sample_weight=weight, **params) == 6 / 8
    assert information_gain_score(y_true, y_pred, **params) == 1 / 4
    assert information_gain_score(y_true, y_pred, sample_weight=weight, **params) == 1 / 8
    with pytest.raises(ValueError, match="reject_label must not be a node, and 'cat' is one"):
        any_depth_accuracy_score(y_true, y_pred, hierarchy=tree, reject_label="cat")
    with pytest.raises(ValueError, match=r"y_pred: .*'nothing'"):
        any_depth_accuracy_score(y_true, [*y_pred[:3], "nothing"], **params)


def test_consistency_of_paths_whose_names_repeat():
    tree = Hierarchy.from_paths([["toys", "other"], ["food", "other", "tin"], ["food", "egg"]])
    rows = [
        ["toys", "other"],
        ["food", "other", "tin"],
        ["food", ("food", "other"), "tin"],
        ["toys", ("food", "other"), "tin"],  # the other "other"
        ["toys", "other", "tin"],
    ]
    for row, expected in zip(rows, [1, 1, 1, 0, 0], strict=True):
        assert consistency_score([row], hierarchy=tree) == expected
    assert consistency_score(rows, hierarchy=tree) == 3 / 5
    with pytest.raises(ValueError, match="y_pred: labels that are not in the hierarchy: 'other'"):
        consistency_score([["egg", "other"]], hierarchy=tree)
