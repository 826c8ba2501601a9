"""Scorers in cross-validation and searches."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.induction import BalancedHierarchy
from hierclf.metrics import (
    any_depth_accuracy_score,
    consistency_score,
    hierarchical_distance_at_k,
    hierarchical_f1_score,
    hierarchical_fbeta_score,
    hierarchical_precision_score,
    information_gain_score,
    lca_height,
    level_accuracy_score,
    level_calibration_error,
    make_hierarchical_scorer,
    mistake_severity,
    tree_distance,
)

TREE = Hierarchy.from_dict({"a": ["a1", "a2", "a3"], "b": ["b1", "b2"], "c": []})
OTHER_TREE = Hierarchy.from_dict({"x": ["a1", "b1"], "y": ["a2", "b2", "a3", "c"]})
# "c" has one row, so that a fold trains without it and is tested on it.
Y = np.array(["a1", "b2", "a2", "b1", "a3"] * 6 + ["c"])
X = np.random.default_rng(0).standard_normal((len(Y), 3)) + (Y == "a1")[:, None] * 4
FOLDS = KFold(3, shuffle=True, random_state=0)
LINEAR = {
    "hidden_layer_sizes": (),
    "max_iter": 3,
    "n_iter_no_change": 3,
    "learning_rate_init": 0.1,
    "random_state": 0,
}
HIERARCHICAL = HierarchicalSoftmaxClassifier(TREE, **LINEAR)


def scores_by_hand(estimator, score):
    """Fit and judge fold by fold: score(fitted estimator, X, y) does the latter."""
    return [
        score(clone(estimator).fit(X[train], Y[train]), X[test], Y[test])
        for train, test in FOLDS.split(X)
    ]


def test_a_fold_misses_a_class():
    assert any("c" not in Y[train] for train, _ in FOLDS.split(X))


# -- what the scorer returns, for each score


@pytest.mark.parametrize(
    ("metric", "options", "sign"),
    [
        (hierarchical_f1_score, {"average": "macro", "zero_division": 0}, 1),
        (hierarchical_precision_score, {}, 1),
        (hierarchical_fbeta_score, {"beta": 2}, 1),
        (level_accuracy_score, {"level": 0}, 1),
        (any_depth_accuracy_score, {}, 1),
        (information_gain_score, {}, 1),
        (tree_distance, {}, -1),
        (lca_height, {}, -1),
        (mistake_severity, {}, -1),
        (partial(lca_height), {}, -1),
    ],
)
def test_scores_of_predictions(metric, options, sign):
    scorer = make_hierarchical_scorer(metric, **options)
    expected = scores_by_hand(
        HIERARCHICAL,
        lambda clf, X, y: sign * metric(y, clf.predict(X), hierarchy=TREE, **options),
    )
    assert len(set(expected)) > 1
    assert cross_val_score(HIERARCHICAL, X, Y, scoring=scorer, cv=FOLDS).tolist() == expected


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (hierarchical_distance_at_k, {"k": 2}),
        (level_calibration_error, {"level": 0, "strategy": "quantile", "n_bins": 3}),
    ],
)
def test_scores_of_probabilities(metric, options):
    """The columns are the classes that the fold has seen."""
    scorer = make_hierarchical_scorer(metric, TREE, **options)
    flat = FlatSoftmaxClassifier(**LINEAR)
    for estimator in (HIERARCHICAL, flat, LogisticRegression()):
        expected = scores_by_hand(
            estimator,
            lambda clf, X, y: (
                -metric(y, clf.predict_proba(X), hierarchy=TREE, labels=clf.classes_, **options)
            ),
        )
        assert cross_val_score(estimator, X, Y, scoring=scorer, cv=FOLDS).tolist() == expected
    by_hand = make_hierarchical_scorer(
        hierarchical_distance_at_k, TREE, k=1, response_method="decision_function"
    )
    distance = make_hierarchical_scorer(lca_height, TREE)
    fitted = LogisticRegression().fit(X, Y)
    assert by_hand(fitted, X, Y) == distance(fitted, X, Y) < 0


def test_scores_without_truth():
    class Thresholds(BaseEstimator):
        def predict(self, X):
            return np.array([[1, 0, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0, 0, 0]])

    scorer = make_hierarchical_scorer(consistency_score, TREE)
    assert scorer(Thresholds(), None, None) == 0.5
    assert scorer(Thresholds(), None, None, sample_weight=[3, 1]) == 0.75


def every_error(y_true, y_pred, *, hierarchy):
    return float(np.mean(y_true != y_pred) + len(hierarchy))


def test_scores_of_the_user():
    fitted = clone(HIERARCHICAL).fit(X, Y)
    errors = np.mean(fitted.predict(X) != Y)
    assert make_hierarchical_scorer(every_error)(fitted, X, Y) == errors + len(TREE)
    loss = make_hierarchical_scorer(every_error, greater_is_better=False)
    assert loss(fitted, X, Y) == -errors - len(TREE)
    positive = make_hierarchical_scorer(tree_distance, greater_is_better=True)
    assert positive(fitted, X, Y) == tree_distance(Y, fitted.predict(X), hierarchy=TREE)
    with pytest.raises(ValueError, match="every_error takes no sample_weight"):
        loss(fitted, X, Y, sample_weight=np.ones(len(Y)))


def test_weights():
    fitted, weight = clone(HIERARCHICAL).fit(X, Y), np.linspace(0, 1, len(Y))
    found = make_hierarchical_scorer(lca_height)(fitted, X, Y, sample_weight=weight)
    expected = lca_height(Y, fitted.predict(X), hierarchy=TREE, sample_weight=weight)
    assert found == -expected


# -- in searches


def test_search_over_hierarchies():
    """All are judged by the hierarchy that the scorer was given."""
    grid = {"hierarchy": [TREE, OTHER_TREE, BalancedHierarchy(), None]}
    scorer = make_hierarchical_scorer(tree_distance, TREE.to_dict())
    search = GridSearchCV(HIERARCHICAL, grid, scoring=scorer, cv=FOLDS, error_score="raise")
    search.fit(X, Y)
    for i, hierarchy in enumerate(grid["hierarchy"]):
        expected = scores_by_hand(
            clone(HIERARCHICAL).set_params(hierarchy=hierarchy),
            lambda clf, X, y: -tree_distance(y, clf.predict(X), hierarchy=TREE),
        )
        found = [search.cv_results_[f"split{fold}_test_score"][i] for fold in range(3)]
        assert found == expected
    assert search.score(X, Y) == -tree_distance(Y, search.predict(X), hierarchy=TREE)


def test_several_scorers():
    scoring = {
        "f1": make_hierarchical_scorer(hierarchical_f1_score, TREE),
        "height": make_hierarchical_scorer(lca_height, TREE),
        "d@2": make_hierarchical_scorer(hierarchical_distance_at_k, TREE, k=2),
        "accuracy": "accuracy",
    }
    clf = LogisticRegression()
    together = cross_validate(clf, X, Y, scoring=scoring, cv=FOLDS)
    for name, scorer in scoring.items():
        alone = cross_val_score(clf, X, Y, scoring=scorer, cv=FOLDS)
        assert together[f"test_{name}"].tolist() == alone.tolist()
    # Weights of 2 change what is fitted, and no score of it.
    search = GridSearchCV(clf, {"C": [1.0]}, scoring=scoring, cv=FOLDS, refit=False)
    search.fit(X, Y, sample_weight=np.full(len(Y), 2.0))
    heavier = cross_validate(LogisticRegression(C=2.0), X, Y, scoring=scoring, cv=FOLDS)
    for name in scoring:
        found = search.cv_results_[f"mean_test_{name}"][0]
        assert found == pytest.approx(heavier[f"test_{name}"].mean())


def test_found_inside():
    """The hierarchy of a step, of what is wrapped, and of what a search has chosen."""
    scorer = make_hierarchical_scorer(hierarchical_f1_score)
    pipeline = make_pipeline(StandardScaler(), HIERARCHICAL)
    grid = {"hierarchicalsoftmaxclassifier__hierarchy": [OTHER_TREE]}
    search = GridSearchCV(pipeline, grid, cv=FOLDS)
    calibrated = CalibratedClassifierCV(pipeline, cv=FOLDS)
    for estimator, tree in (
        (pipeline, TREE),
        (make_pipeline(StandardScaler(), pipeline), TREE),
        (calibrated, TREE),
        (search, OTHER_TREE),
        (FlatSoftmaxClassifier(TREE.to_dict(), **LINEAR), TREE),
    ):
        fitted = clone(estimator).fit(X[:-1], Y[:-1])  # calibration refuses the single "c"
        predicted = fitted.predict(X)
        expected = hierarchical_f1_score(Y, predicted, hierarchy=tree)
        assert scorer(fitted, X, Y) == expected
        # The two trees differ, or this would show nothing.
        assert expected != hierarchical_f1_score(
            Y, predicted, hierarchy={TREE: OTHER_TREE, OTHER_TREE: TREE}[tree]
        )


def test_whole_hierarchy_not_the_pruned():
    """A class that was not trained on has its place in the tree none the less."""
    seen = Y != "c"
    fitted = clone(HIERARCHICAL).fit(X[seen], Y[seen])
    assert "c" not in fitted.hierarchy_
    scorer = make_hierarchical_scorer(tree_distance)
    assert scorer(fitted, X[~seen], Y[~seen]) == -3  # up one, and down two


def test_no_hierarchy():
    scorer = make_hierarchical_scorer(tree_distance)
    cure = r"make_hierarchical_scorer\(tree_distance, hierarchy=...\).*Hierarchy.from_paths\(y\)"
    for estimator, message in (
        (LogisticRegression(), "LogisticRegression was given no hierarchy: pass hierarchy= to"),
        (FlatSoftmaxClassifier(**LINEAR), "FlatSoftmaxClassifier was given no hierarchy"),
        (make_pipeline(LogisticRegression()), "Pipeline was given no hierarchy"),
        (
            HierarchicalSoftmaxClassifier(BalancedHierarchy(), **LINEAR),
            "learnt from the data by BalancedHierarchy.*: pass hierarchy=",
        ),
    ):
        with pytest.raises(ValueError, match=f"{message}.*{cure}"):
            scorer(estimator.fit(X, Y), X, Y)
    # Searches go on; their warning has the cure.
    with pytest.warns(UserWarning, match=f"(?s)Scoring failed.*{cure}"):
        scores = cross_val_score(LogisticRegression(), X, Y, scoring=scorer, cv=FOLDS)
    assert np.isnan(scores).all()


# -- labels that are paths

PATHS = np.array(
    [["toys", "car", ""], ["toys", "other", ""], ["food", "other", "tin"], ["food", "egg", ""],
     ["food", "other", "jar"]] * 6 + [["books", "", ""]]
)  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "options"),
    [
        (hierarchical_f1_score, {"average": "macro", "zero_division": 0}),
        (level_accuracy_score, {"level": 1}),
        (any_depth_accuracy_score, {}),
        (information_gain_score, {}),
        (tree_distance, {}),
        (lca_height, {}),
        (mistake_severity, {}),
        (consistency_score, {}),
        (hierarchical_distance_at_k, {"k": 2}),
        (level_calibration_error, {"level": 0}),
    ],
)
def test_paths_are_judged_by_the_hierarchy_of_all(metric, options):
    """A fold that lacks a path, or sees "other" in one branch only, is judged like the others."""
    whole = Hierarchy.from_paths(PATHS)
    cat = np.arange(len(PATHS))
    one_branch = cat[PATHS[:, 0] != "toys"]
    folds = [
        *FOLDS.split(X),
        (one_branch, np.setdiff1d(cat, one_branch)),  # no toys in training: "other" is a name
    ]
    estimator = HierarchicalSoftmaxClassifier(**LINEAR)
    fitted = clone(estimator).fit(X[one_branch], PATHS[one_branch])
    assert "other" in fitted.hierarchy_
    assert "other" not in whole
    without = make_hierarchical_scorer(metric, **options)
    given = make_hierarchical_scorer(metric, whole, **options)
    for y in (PATHS, pd.DataFrame(PATHS)):
        for inside in (estimator, make_pipeline(StandardScaler(), estimator)):
            expected = cross_val_score(inside, X, y, scoring=given, cv=folds, error_score="raise")
            found = cross_val_score(inside, X, y, scoring=without, cv=folds, error_score="raise")
            assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-12)
            assert not np.isnan(found).any()


def test_paths_by_hand():
    """Trained on toys and scored on food: one edge less than the given hierarchy has."""
    estimator = HierarchicalSoftmaxClassifier(**LINEAR)
    fitted = estimator.fit(np.eye(2), [["toys", "car"], ["toys", "kite"]])
    row = np.zeros((1, 2))
    # Up two, and down three.
    y = [["food", "other", "tin"]]
    assert make_hierarchical_scorer(tree_distance)(fitted, row, y) == -5
    # The only common ancestor is the root, whose height is that of the longest path.
    assert make_hierarchical_scorer(lca_height)(fitted, row, y) == -3
    # What is given to the estimator or the scorer counts, and not the paths.
    deeper = Hierarchy.from_paths([["toys", "car"], ["toys", "kite"], [*y[0], "small"]])
    assert make_hierarchical_scorer(lca_height, deeper)(fitted, row, y) == -4
    fitted.set_params(hierarchy=deeper)
    assert make_hierarchical_scorer(lca_height)(fitted, row, y) == -4


def test_searches_over_paths():
    scoring = {
        "distance": make_hierarchical_scorer(tree_distance),
        "d@2": make_hierarchical_scorer(hierarchical_distance_at_k, k=2),
    }
    grid = {"learning_rate_init": [0.1, 1e-6]}
    search = GridSearchCV(
        HierarchicalSoftmaxClassifier(**LINEAR), grid, scoring=scoring, cv=FOLDS, refit="distance"
    ).fit(X, PATHS)
    for name in scoring:
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()
    expected = tree_distance(PATHS, search.predict(X), hierarchy=Hierarchy.from_paths(PATHS))
    assert search.score(X, PATHS) == -expected


# -- as an object


def test_repr_and_pickle():
    scorer = make_hierarchical_scorer(hierarchical_f1_score, TREE, average="macro")
    assert repr(scorer) == (
        "make_hierarchical_scorer(hierarchical_f1_score, "
        "<Hierarchy: 8 nodes, 6 leaves, 2 levels>, average='macro')"
    )
    assert repr(make_hierarchical_scorer(lca_height)) == "make_hierarchical_scorer(lca_height)"
    fitted = LogisticRegression().fit(X, Y)
    scorer = make_hierarchical_scorer(hierarchical_distance_at_k, TREE, k=2)
    copies = pickle.loads(pickle.dumps(scorer)), clone(GridSearchCV(fitted, {}, scoring=scorer))
    assert copies[0](fitted, X, Y) == copies[1].scoring(fitted, X, Y) == scorer(fitted, X, Y)


def test_bad_arguments():
    for error, args, options, message in (
        (TypeError, (accuracy_score,), {}, "accuracy_score cannot be called.*'hierarchy'"),
        (TypeError, (hierarchical_distance_at_k,), {}, "hierarchical_distance_at_k .*'k'"),
        (TypeError, (lca_height,), {"beta": 1}, "lca_height cannot be called.*'beta'"),
        (TypeError, (lca_height, BalancedHierarchy()), {}, "expected a hierarchy"),
        (ValueError, ("f1",), {}, "'metric' parameter of make_hierarchical_scorer"),
        (ValueError, (lca_height,), {"response_method": "transform"}, "'response_method' param"),
        (ValueError, (lca_height,), {"greater_is_better": "no"}, "'greater_is_better' param"),
    ):
        with pytest.raises(error, match=message):
            make_hierarchical_scorer(*args, **options)
