"""Scores of what a classifier gives every class."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import top_k_accuracy_score
from strategies import dags, trees

from hierclf import Hierarchy
from hierclf.metrics import hierarchical_distance_at_k, lca_height, level_calibration_error

ANIMALS = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})
BINNINGS = [
    {"strategy": strategy, "n_bins": n_bins}
    for strategy in ("uniform", "quantile")
    for n_bins in (1, 3, 10)
]
seeds = st.integers(0, 2**32 - 1)


def height(h, node):
    return max((1 + height(h, child) for child in h.children(node)), default=0)


# -- the distance at k


@given(h=st.one_of(trees(), dags()), seed=seeds, inner=st.booleans())
def test_distance_by_definition(h, seed, inner):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(h.nodes if inner else h.leaves).tolist()
    true = rng.choice(h.nodes, size=5)
    scores = rng.integers(0, 4, size=(5, len(labels)))  # many are equal
    weight = rng.integers(1, 4, size=5)
    k = int(rng.integers(1, len(labels) + 1))
    total = 0.0
    for t, row, w in zip(true, scores, weight, strict=True):
        best = sorted(range(len(labels)), key=lambda j: (-row[j], j))[:k]
        total += w * sum(height(h, h.lowest_common_ancestor(t, labels[j])) for j in best) / k
    score = partial(hierarchical_distance_at_k, hierarchy=h, k=k, labels=labels)
    assert score(true, scores, sample_weight=weight) == pytest.approx(total / weight.sum())
    repeated = score(true.repeat(weight), scores.repeat(weight, axis=0).astype(np.float32))
    assert repeated == pytest.approx(total / weight.sum())


@given(h=st.one_of(trees(), dags()), seed=seeds)
def test_distance_of_labels_is_that_of_the_scores_they_come_from(h, seed):
    rng = np.random.default_rng(seed)
    labels, true = rng.permutation(h.leaves), rng.choice(h.nodes, size=5)
    scores = np.array([rng.permutation(len(labels)) for _ in true])  # no two are equal
    weight = rng.integers(1, 4, size=5)
    for k in range(1, len(labels) + 1):
        best = labels[np.argsort(-scores, axis=1)[:, :k]]
        options = {"hierarchy": h, "sample_weight": weight}
        expected = hierarchical_distance_at_k(true, scores, k=k, labels=labels, **options)
        for form in (best, best.tolist(), pd.DataFrame(best), best.astype(object)):
            assert hierarchical_distance_at_k(true, form, **options) == pytest.approx(expected)


def test_distance_of_labels_by_hand():
    score = partial(hierarchical_distance_at_k, hierarchy=ANIMALS)
    # cat is itself, dog is a sibling, and oak meets both in the root, two edges above.
    assert score(["cat", "oak"], [["cat", "dog"], ["dog", "oak"]]) == (0.5 + 1.0) / 2
    numbers = Hierarchy.from_dict({"x": [1, 2], "y": [3]})
    of_numbers = partial(hierarchical_distance_at_k, hierarchy=numbers)
    assert of_numbers(np.array([1], dtype=object), np.array([[2, 3]])) == 1.5
    pairs = Hierarchy.from_paths([["a", "x"], ["b", "x"]])  # ("a", "x") and ("b", "x")
    labels = np.empty((1, 2), dtype=object)
    labels[0] = [("b", "x"), ("a", "x")]
    for form in (labels, labels.tolist()):
        assert hierarchical_distance_at_k([["a", "x"]], form, hierarchy=pairs) == 1.0


def test_bad_rows_of_labels():
    score = partial(hierarchical_distance_at_k, ["cat", "dog"], hierarchy=ANIMALS)
    for rows, message in (
        (PROBA, r"y_score: labels that are not .*: 0.25; without k they are labels"),
        ([["cat", "dog"], ["cat"]], "y_score: row 1 has 1 labels, and row 0 has 2"),
        ([[], []], "row 0 has 0 labels"),
        (["cat", "dog"], "y_score: expected a row of labels for each sample, got 'cat'"),
        (np.array(["cat", "dog"]), r"y_score: expected a row of labels .* got \(2,\)"),
        ([["cat"]], "y_true has 2 rows, y_score has 1"),
    ):
        with pytest.raises(ValueError, match=message):
            score(rows)
    with pytest.raises(ValueError, match="labels name columns of scores: give k"):
        score([["cat"], ["dog"]], labels=["cat", "dog"])


def test_distance_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    true, scores = rng.choice(ANIMALS.leaves, size=10), rng.random((10, 4))
    score = partial(hierarchical_distance_at_k, true, scores, hierarchy=ANIMALS, k=2)
    expected = score()
    monkeypatch.setattr("hierclf._utils.blocks.BLOCK", 12)
    assert score() == expected


def test_distance_on_a_flat_hierarchy():
    """Each of the k that is not the true class is 1 away."""
    rng = np.random.default_rng(0)
    h = Hierarchy.flat(["b", "d", "a", "c"])
    true, scores, weight = rng.choice(h.leaves, size=20), rng.random((20, 4)), rng.random(20)
    for k in (1, 2, 3):
        hits = top_k_accuracy_score(true, scores, k=k, labels=list("abcd"), sample_weight=weight)
        found = hierarchical_distance_at_k(true, scores, hierarchy=h, k=k, sample_weight=weight)
        assert found == pytest.approx((k - hits) / k)


def test_distance_takes_any_scores():
    score = partial(hierarchical_distance_at_k, ["oak"], hierarchy=ANIMALS)
    logs = [[-math.inf, -0.5, -math.inf, -1.0]]  # of cat, dog, oak and stone
    assert score(logs, k=1) == lca_height(["oak"], ["dog"], hierarchy=ANIMALS) == 2
    # dog, stone, and of the equal cat and oak the first
    assert score(logs, k=3) == 2
    assert score(logs, k=4) == (2 + 2 + 2 + 0) / 4


def test_labels_default_to_sorted_leaves():
    """Here the order of the nodes is another, and there some cannot be sorted."""
    h = Hierarchy.from_dict({"x": ["b"], "y": ["a"]})
    assert h.leaves == ("b", "a")
    assert hierarchical_distance_at_k(["a"], [[0.9, 0.1]], hierarchy=h, k=1) == 0
    assert level_calibration_error(["a"], [[1.0, 0.0]], hierarchy=h, level=-1) == 0
    mixed = Hierarchy([("x", "b"), ("y", 1)])
    assert mixed.leaves == ("b", 1)
    assert (
        hierarchical_distance_at_k(np.array([1], dtype=object), [[0, 1]], hierarchy=mixed, k=1) == 0
    )


# -- calibration


def error_by_definition(h, true, proba, labels, level, weight, *, n_bins, strategy):
    """Go through the rows one by one, each as often as it weighs."""
    rows = []
    for t, row, w in zip(true.tolist(), proba.tolist(), weight.tolist(), strict=True):
        mass = {
            node: sum(p for p, leaf in zip(row, labels, strict=True) if node in h.path(leaf))
            for node in h.level(level)
        }
        best = max(mass, key=mass.get)
        on_level = [node for node in h.level(level) if node in h.path(t)]
        if on_level:
            rows += [(mass[best], on_level[0] == best)] * w
    ordered = sorted(confidence for confidence, _ in rows)
    if strategy == "uniform":
        bounds = [b / n_bins for b in range(1, n_bins)]
    else:
        bounds = [ordered[math.ceil(len(rows) * b / n_bins) - 1] for b in range(1, n_bins)]
    bins = {}
    for confidence, hit in rows:
        bins.setdefault(sum(bound < confidence for bound in bounds), []).append(hit - confidence)
    return sum(abs(sum(gaps)) for gaps in bins.values()) / len(rows)


@settings(max_examples=50, deadline=None)
@given(h=trees(), seed=seeds)
def test_calibration_by_definition(h, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(h.leaves).tolist()
    # Away from the bounds of the bins, which rounding would cross; a test below is on them.
    proba = rng.dirichlet(np.full(len(labels), 0.5), size=8)
    true = rng.choice([*h.nodes, *h.leaves], size=8)
    true[0] = h.leaves[0]  # known on every level
    weight = rng.integers(0, 4, size=8)
    weight[0] += 1
    for level in range(h.n_levels):
        score = partial(level_calibration_error, hierarchy=h, level=level, labels=labels)
        for binning in BINNINGS:
            if len(h.level(level)) == 1:
                continue  # a confidence of 1, give or take rounding
            expected = error_by_definition(h, true, proba, labels, level, weight, **binning)
            found = score(true, proba, sample_weight=weight, **binning)
            assert found == pytest.approx(expected)
            repeated = true.repeat(weight), proba.repeat(weight, axis=0)
            assert score(*repeated, **binning) == pytest.approx(expected)


def test_calibration_on_a_flat_hierarchy():
    """scikit-learn has no such score, but draws the curve whose distance from 1 it is."""
    rng = np.random.default_rng(0)
    classes = np.array(list("abc"))
    proba = rng.dirichlet(np.ones(3), size=200)
    true, confidence = rng.choice(classes, size=200), proba.max(axis=1)
    hit = classes[proba.argmax(axis=1)] == true
    accuracy, mean_confidence = calibration_curve(hit, confidence, n_bins=10)
    counts, _ = np.histogram(confidence, bins=10, range=(0, 1))
    expected = np.abs(accuracy - mean_confidence) @ counts[counts > 0] / 200
    found = level_calibration_error(true, proba, hierarchy=Hierarchy.flat(classes), level=0)
    assert found == pytest.approx(expected)


def test_calibration_by_hand():
    # Confidences of cat or dog: 0.5, 0.5, 0.625 and 1; right, wrong, right, wrong.
    proba = [[0.5, 0.25, 0.25, 0], [0.5, 0.25, 0, 0.25], [0.25, 0.625, 0.125, 0], [1, 0, 0, 0]]
    true = ["cat", "stone", "dog", "dog"]
    score = partial(level_calibration_error, true, proba, hierarchy=ANIMALS, level="leaf")
    # Up to 0.5: right half of the time. Above: half right, and 1.625 / 2 sure.
    assert score(n_bins=2) == (abs(1 - 2 * 0.5) + abs(1 - 1.625)) / 4
    assert score(n_bins=2, strategy="quantile") == (abs(1 - 2 * 0.5) + abs(1 - 1.625)) / 4
    # Of four, the second bin ends at 0.5 and the third holds 0.625 alone.
    assert score(n_bins=4) == (0 + (1 - 0.625) + 1) / 4
    # Three of the four weigh nothing.
    assert score(sample_weight=[0, 0, 5, 0]) == 0.375
    # On the top level all but the second are animals, with 0.75, 0.75, 0.875 and 1.
    assert score(level=0, n_bins=1) == (0.75 + 0.75 + 0.875 + 1 - 3) / 4


def test_rows_known_no_further_are_left_out():
    score = partial(level_calibration_error, hierarchy=ANIMALS)
    proba = [[0.5, 0.5, 0, 0], [0, 0, 1, 0]]
    assert score(["animal", "oak"], proba, level=-1) == 0
    assert score(["animal", "stone"], proba, level=0) == 0.5
    with pytest.raises(ValueError, match="y_true: no label of positive weight reaches level -1"):
        score(["animal", "oak"], proba, level=-1, sample_weight=[1, 0])


# -- bad input

PROBA = [[0.25, 0.25, 0.25, 0.25]] * 2
SCORES = {
    "y_score": partial(hierarchical_distance_at_k, hierarchy=ANIMALS, k=2),
    "y_proba": partial(level_calibration_error, hierarchy=ANIMALS, level=0),
}


@pytest.mark.parametrize("name", SCORES)
def test_bad_input(name):
    score = SCORES[name]
    for y_true, values, options, message in (
        (["cow", "cat"], PROBA, {}, "y_true: labels that are not in the hierarchy: 'cow'"),
        (["cat"], PROBA, {}, f"y_true has 1 rows, {name} has 2"),
        ([], np.zeros((0, 4)), {}, "there are no rows"),
        (["cat"], [[0.5, 0.5]], {}, f"{name} must have one column for each of the 4 leaves"),
        (["cat"], [0.5, 0.5], {}, f"{name} must have one column"),
        (["cat"], [["a"] * 4], {}, f"{name} must hold numbers"),
        (["cat"] * 2, [PROBA[0], [0, math.nan, 0, 1]], {}, f"{name} .*row 1 has nan|NaN in row 1"),
        (["cat"] * 2, PROBA, {"labels": ["cat"]}, "column for each of the 1 labels"),
        (["cat"] * 2, PROBA, {"labels": list("abcd")}, "labels: labels that are not .*: 'a', 'b'"),
        (["cat"] * 2, PROBA, {"labels": ["cat"] * 4}, "labels: classes given twice: 'cat'"),
        (["cat"] * 2, PROBA, {"sample_weight": [1, -1]}, "[Nn]egative values in .*`sample_weight`"),
        (["cat"] * 2, PROBA, {"sample_weight": [0, 0]}, "all weights are zero|at least one non-z"),
    ):
        with pytest.raises(ValueError, match=message):
            score(y_true, values, **options)


@pytest.mark.parametrize("k", [0, -1, 1.5, "2"])
def test_bad_k(k):
    with pytest.raises(ValueError, match="'k' parameter of hierarchical_distance_at_k"):
        hierarchical_distance_at_k(["cat"] * 2, PROBA, hierarchy=ANIMALS, k=k)


def test_k_beyond_the_classes():
    with pytest.raises(ValueError, match="k=5, and there are 4 classes"):
        hierarchical_distance_at_k(["cat"] * 2, PROBA, hierarchy=ANIMALS, k=5)


def test_bad_calibration():
    score = partial(level_calibration_error, ["cat", "cat"], hierarchy=ANIMALS)
    # What no decision takes for probabilities, this does not either; and here sums are 1.
    for values, message in (
        ([0.5, 0.5, 0.5, -0.5], "y_proba must hold .* row 1 has -0.5 for class 'stone'"),
        ([0.5, 0.5, math.inf, 0], "y_proba must hold .* row 1 has inf for class 'oak'"),
        ([0.5, 0.5, 0.5, 0], "row 1 of y_proba is no probability distribution: its sum is 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            score([PROBA[0], values], level=0)
    for level, message in (
        (2, "there is no level 2: the levels are 0 to 1"),
        (None, "level must be an integer, .* got None"),
        ("top", "level must be an integer, .* got 'top'"),
    ):
        with pytest.raises(ValueError, match=message):
            score(PROBA, level=level)
    for options in ({"n_bins": 0}, {"n_bins": 2.5}, {"strategy": "kmeans"}):
        with pytest.raises(ValueError, match=f"'{next(iter(options))}' parameter of level_cal"):
            score(PROBA, level=0, **options)
    with pytest.raises(ValueError, match="classes above level -1: 'animal'"):
        score([[0.5, 0.5]] * 2, level=-1, labels=["animal", "oak"])
