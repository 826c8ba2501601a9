"""Metrics and scorers of several labels per sample: constrained F1, average precision, forms."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    get_scorer,
    make_scorer,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils.fixes import parse_version
from strategies import dags, trees

from hierclf import HierarchicalMultilabelClassifier, Hierarchy
from hierclf.decisions import HierarchicalThresholdClassifierCV
from hierclf.metrics import (
    any_depth_accuracy_score,
    consistency_score,
    constrained_f1_score,
    hierarchical_average_precision_score,
    hierarchical_distance_at_k,
    hierarchical_f1_score,
    hierarchical_precision_score,
    hierarchical_recall_score,
    information_gain_score,
    lca_height,
    level_accuracy_score,
    level_calibration_error,
    make_hierarchical_scorer,
    mistake_severity,
    tree_distance,
)

# Older ones look for the positive class 1 among the names of the columns.
READS_NAMES = parse_version(sklearn.__version__) >= parse_version("1.8")
NEEDS_NAMES = pytest.mark.skipif(not READS_NAMES, reason="needs scikit-learn 1.8")

LIFE = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})
LISTS = [["cat"], ["dog", "oak"], ["stone"], [], ["plant"], ["cat", "dog"]] * 6
Y = LIFE.to_indicator(LISTS)
X = np.random.default_rng(0).normal(size=(len(LISTS), 6)) + 1.5 * Y
# A column for a column, but none where it should be.
ORDER = [4, 0, 3, 1, 5, 2]
FRAME = pd.DataFrame(Y, columns=list(LIFE.nodes)).iloc[:, ORDER]


def network(hierarchy=LIFE, **params):
    options = {"max_iter": 6, "n_iter_no_change": 6, "learning_rate_init": 0.05, "random_state": 0}
    return HierarchicalMultilabelClassifier(hierarchy, **options | params)


def test_the_worked_check_of_kosmopoulos():
    """Of {A, a} and {A, b} one node of two is shared, whatever form they have."""
    h = Hierarchy.from_dict({"A": ["a", "b"], "B": ["c"]})
    forms = [
        lambda label: [label],
        lambda label: [["A", label]],
        lambda label: [{label}],
        lambda label: [frozenset({"A", label})],
        lambda label: h.to_indicator([label]),
        lambda label: sp.csr_array(h.to_indicator([label])),
        lambda label: pd.DataFrame(h.to_indicator([label]), columns=list(h.nodes)),
    ]
    for true in forms:
        for predicted in forms:
            for metric in (
                hierarchical_precision_score,
                hierarchical_recall_score,
                hierarchical_f1_score,
            ):
                assert metric(true("a"), predicted("b"), hierarchy=h) == 0.5
    # The column of B, predicted too: 1 of 3 and 1 of 2.
    assert hierarchical_f1_score([{"a"}], [{"b", "B"}], hierarchy=h) == pytest.approx(2 / 5)


# -- constrained F1


@st.composite
def predictions(draw):
    h = draw(st.one_of(trees(max_leaves=6), dags(max_nodes=8)))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(1, 5))
    true = [{h.nodes[j] for j in np.flatnonzero(rng.random(len(h)) < 0.3)} for _ in range(n)]
    predicted = [{h.nodes[j] for j in np.flatnonzero(rng.random(len(h)) < 0.6)} for _ in range(n)]
    return h, true, predicted, rng.integers(1, 4, size=n).astype(float)


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_constrained_f1_by_its_definition(problem):
    h, true, predicted, weight = problem
    above = {n: set(h.ancestors(n)) - {h.root} for n in h.nodes}
    closed = [set().union(*({n} | above[n] for n in row)) for row in true]
    hits = [{n for n in t & p if above[n] <= p} for t, p in zip(closed, predicted, strict=True)]
    total = 2 * sum(w * len(hit) for w, hit in zip(weight, hits, strict=True))
    divisor = sum(w * (len(t) + len(p)) for w, t, p in zip(weight, closed, predicted, strict=True))
    options = {"hierarchy": h, "sample_weight": weight, "zero_division": 0}
    score = constrained_f1_score(true, predicted, **options)
    assert score == pytest.approx(total / divisor if divisor else 0)
    by_sample = [
        2 * len(hit) / (len(t) + len(p)) if t or p else 0
        for hit, t, p in zip(hits, closed, predicted, strict=True)
    ]
    score = constrained_f1_score(true, predicted, average="samples", **options)
    assert score == pytest.approx(np.average(by_sample, weights=weight))
    by_node = constrained_f1_score(true, predicted, average=None, **options)
    for i, n in enumerate(h.nodes):
        counts = [
            sum(w for w, row in zip(weight, rows, strict=True) if n in row)
            for rows in (hits, closed, predicted)
        ]
        expected = 2 * counts[0] / (counts[1] + counts[2]) if counts[1] + counts[2] else 0
        assert by_node[i] == pytest.approx(expected)
    # Of closed predictions it is F1, of others no more.
    whole = [set().union(*({n} | above[n] for n in row)) for row in predicted]
    plain = hierarchical_f1_score(true, predicted, **options)
    assert constrained_f1_score(true, whole, **options) == pytest.approx(plain)
    unclosed = hierarchical_f1_score(true, predicted, close_predictions=False, **options)
    assert constrained_f1_score(true, predicted, **options) <= unclosed + 1e-12
    rate = consistency_score(predicted, hierarchy=h, sample_weight=weight)
    assert rate == pytest.approx(
        np.average([p == w for p, w in zip(predicted, whole, strict=True)], weights=weight)
    )


def test_constrained_f1_takes_sets():
    for y_pred in (["cat"], [["animal", "cat"]]):
        with pytest.raises(ValueError, match=r"y_pred: .* and so is constrained_f1_score"):
            constrained_f1_score([{"cat"}], y_pred, hierarchy=LIFE)
    with pytest.raises(ValueError, match=r"not in the hierarchy: 'cow'"):
        constrained_f1_score([{"cat"}], [{"cow"}], hierarchy=LIFE)


# -- average precision


def test_average_precision_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    scores, weight = rng.random(Y.shape), rng.integers(1, 4, size=len(Y)).astype(float)
    leaves_only = LIFE.leaf_indices
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples without labels
        for average in ("micro", "macro", "samples", None):
            options = {"average": average, "sample_weight": weight}
            expected = average_precision_score(Y, scores, **options)
            for y in (Y, sp.csr_array(Y), FRAME, [set(row) for row in LISTS]):
                score = hierarchical_average_precision_score(y, scores, hierarchy=LIFE, **options)
                np.testing.assert_allclose(score, expected)
            shuffled = hierarchical_average_precision_score(
                Y, scores[:, ORDER], hierarchy=LIFE, labels=list(FRAME.columns), **options
            )
            np.testing.assert_allclose(
                shuffled, np.asarray(expected)[ORDER] if average is None else expected
            )
            some = hierarchical_average_precision_score(
                Y, scores, hierarchy=LIFE, exclude=["animal", "plant"], **options
            )
            np.testing.assert_allclose(
                some, average_precision_score(Y[:, leaves_only], scores[:, leaves_only], **options)
            )


def test_average_precision_refuses():
    scores = np.random.default_rng(0).random(Y.shape)
    for options, message in [
        ({"exclude": list(LIFE.nodes)}, "exclude leaves no node"),
        ({"exclude": ["cow"]}, "exclude: .*not in the hierarchy: 'cow'"),
        ({"average": "weighted"}, "'average' parameter"),
        ({"labels": ["cat"]}, "y_score must have one column for each of the 1 labels"),
    ]:
        with pytest.raises(ValueError, match=message):
            hierarchical_average_precision_score(Y, scores, hierarchy=LIFE, **options)
    with pytest.raises(ValueError, match="y_true has 36 rows, y_score has 35"):
        hierarchical_average_precision_score(Y, scores[1:], hierarchy=LIFE)


# -- scorers


def by_hand(clf, X, indices):
    """Return the columns of predictions in the order of nodes, and of probabilities."""
    columns = [list(clf.classes_).index(n) for n in LIFE.nodes]
    predicted = clf.predict(X)
    predicted = predicted.toarray() if sp.issparse(predicted) else predicted
    return predicted[:, columns], clf.predict_proba(X)[:, columns]


FORMS = {
    "a matrix": Y,
    "sparse": sp.csr_array(Y),
    "a frame": pd.DataFrame(Y, columns=list(LIFE.nodes)),
    "a frame in another order": FRAME,
    "lists": LISTS,
    "sets": [set(row) for row in LISTS],
    "a series": pd.Series(LISTS),
}
WRAPPED = [
    network(),
    HierarchicalThresholdClassifierCV(network(), cv=2),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("estimator", WRAPPED)
def test_scorers_read_every_form_of_y(estimator, form):
    y = FORMS[form]
    clf = estimator.fit(X, y)
    predicted, proba = by_hand(clf, X, None)
    for metric, expected in [
        (hierarchical_f1_score, f1_score(Y, predicted, average="micro")),
        (constrained_f1_score, f1_score(Y, predicted, average="micro")),
        (consistency_score, 1.0),
        (
            hierarchical_average_precision_score,
            average_precision_score(Y, proba, average="micro"),
        ),
    ]:
        scorer = make_hierarchical_scorer(metric)
        assert scorer(clf, X, y) == pytest.approx(expected)
        for other in FORMS.values():
            # A matrix without names has the order of nodes, whatever that of predictions is.
            assert scorer(clf, X, other) == pytest.approx(expected)


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(LogisticRegression()),
        MLPClassifier((), solver="lbfgs", max_iter=1000, random_state=0),
    ],
)
def test_scorers_of_classifiers_that_number_their_columns(estimator):
    for y in (Y, FRAME):
        clf = estimator.fit(X, y)
        order = list(range(6)) if y is Y else np.argsort(ORDER).tolist()
        scorer = make_hierarchical_scorer(hierarchical_f1_score, LIFE)
        predicted = clf.predict(X)[:, order]
        closed = predicted.copy()
        for child, parent in ((3, 0), (4, 0), (5, 1)):
            names = LIFE.nodes
            assert parent == names.index(LIFE.parents(names[child])[0])
            closed[:, parent] |= predicted[:, child]
        expected = f1_score(Y, closed, average="micro")
        assert scorer(clf, X, y) == pytest.approx(expected)
        scorer = make_hierarchical_scorer(hierarchical_average_precision_score, LIFE)
        expected = average_precision_score(Y, clf.predict_proba(X)[:, order], average="micro")
        assert scorer(clf, X, y) == pytest.approx(expected)


def test_searches():
    folds = KFold(3)
    scorers = {
        "f": make_hierarchical_scorer(hierarchical_f1_score),
        "ap": make_hierarchical_scorer(hierarchical_average_precision_score, exclude=["stone"]),
        "plain": make_scorer(
            average_precision_score, response_method="predict_proba", average="micro"
        ),
    }
    expected = None
    for y in (Y, FRAME, LISTS):
        names = ["f", "ap"] if y is LISTS or not READS_NAMES else list(scorers)
        search = GridSearchCV(
            network(),
            {"max_iter": [1, 6]},
            scoring={name: scorers[name] for name in names},
            refit="ap",
            cv=folds,
            error_score="raise",
        ).fit(X, y)
        assert search.best_params_ == {"max_iter": 6}
        if expected is None:
            expected = search.cv_results_
        elif y is LISTS:
            for name in names:
                key = f"mean_test_{name}"
                np.testing.assert_allclose(search.cv_results_[key], expected[key])


@pytest.mark.parametrize(
    "name",
    [
        *(f"{kind}_{average}" for kind in ("f1", "precision", "recall", "jaccard")
          for average in ("micro", "macro", "samples", "weighted")),
        "accuracy",
        pytest.param("average_precision", marks=NEEDS_NAMES),
        "roc_auc",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_scorers_that_scikit_learn_has_a_name_for(name):
    """As the user guide lists them; it says which of them take a sparse y."""
    for estimator in WRAPPED:
        scores = cross_val_score(
            estimator, X, Y, scoring=name, cv=KFold(2, shuffle=True, random_state=0)
        )
        assert np.isfinite(scores).all()
        clf = estimator.fit(X, sp.csr_array(Y))
        needs_dense = name in ("average_precision", "roc_auc")
        if needs_dense:
            with pytest.raises(ValueError, match="'y_true' parameter"):
                get_scorer(name)(clf, X, sp.csr_array(Y))
        else:
            dense = get_scorer(name)(estimator.fit(X, Y), X, Y)
            assert get_scorer(name)(clf, X, sp.csr_array(Y)) == pytest.approx(dense)


# -- refused


def test_a_frame_in_another_order_beside_a_matrix_without_names():
    for pair in ((FRAME, Y), (Y, FRAME), (FRAME, sp.csr_array(Y))):
        with pytest.raises(ValueError, match=r"another order than hierarchy\.nodes"):
            hierarchical_f1_score(*pair, hierarchy=LIFE)
    in_order = FRAME[list(LIFE.nodes)]
    assert hierarchical_f1_score(FRAME, in_order, hierarchy=LIFE) == 1
    assert hierarchical_f1_score(in_order, Y, hierarchy=LIFE) == 1
    assert hierarchical_f1_score(FRAME, [set(row) for row in LISTS], hierarchy=LIFE) == 1


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (tree_distance, {}),
        (lca_height, {}),
        (mistake_severity, {}),
        (level_accuracy_score, {"level": 0}),
        (any_depth_accuracy_score, {}),
        (information_gain_score, {}),
        (hierarchical_distance_at_k, {"k": 2}),
        (level_calibration_error, {"level": 0}),
    ],
)
def test_metrics_of_one_label_name_those_of_several(metric, options):
    message = "y_true: expected one label .*, F and consistency can read, .*confusion_matrix"
    for y in (Y, sp.csr_array(Y), FRAME, Y.tolist(), [set(row) for row in LISTS]):
        with pytest.raises(ValueError, match=message):
            metric(y, Y, hierarchy=LIFE, **options)
        with pytest.raises(ValueError, match=message):
            make_hierarchical_scorer(metric, **options)(
                network(max_iter=1, n_iter_no_change=1).fit(X, Y), X, y
            )
