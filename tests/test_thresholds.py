"""HierarchicalThresholdClassifierCV: thresholds by brute force, and labels in every form."""

import pickle
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from held_out_cases import Table
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, fbeta_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from strategies import dags, trees

from hierclf import HierarchicalMultilabelClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.decisions import HierarchicalThresholdClassifierCV, InformationGainClassifier
from hierclf.induction import BalancedHierarchy

LIFE = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})
LISTS = [["cat"], ["dog", "oak"], ["stone"], [], ["plant"], ["cat", "dog"]] * 10
RNG = np.random.default_rng(0)
# Each label has a feature of its own, and noise.
X = RNG.normal(size=(len(LISTS), 6))
Y = LIFE.to_indicator(LISTS)
X[:, : Y.shape[1]] += 1.5 * Y


def network(hierarchy=LIFE, **params):
    options = {"max_iter": 8, "n_iter_no_change": 8, "learning_rate_init": 0.05, "random_state": 0}
    return HierarchicalMultilabelClassifier(hierarchy, **options | params)


def ovr(**params):
    return OneVsRestClassifier(LogisticRegression(**params))


# -- brute force


def choose(h, proba, thresholds):
    """Choose the nodes that reach their thresholds, or have one below them that does."""
    below = [[h.nodes.index(m) for m in (n, *h.descendants(n))] for n in h.nodes]
    reached = proba >= thresholds
    return np.stack([reached[:, nodes].any(axis=1) for nodes in below], axis=1).astype(int)


def f_score(truth, chosen, average, beta, weight):
    options = {"beta": beta, "zero_division": 0}
    if average != "samples":
        return fbeta_score(truth, chosen, average=average, sample_weight=weight, **options)
    # By row: scikit-learn takes a single column for one of labels.
    pad = np.zeros((len(truth), 1), dtype=int)
    truth, chosen = np.hstack([truth, pad]), np.hstack([chosen, pad])
    return fbeta_score(truth, chosen, average="samples", sample_weight=weight, **options)


def by_hand(h, proba, truth, average, beta, weight):
    """Return what judges a threshold for each node."""

    def judge(thresholds):
        chosen = choose(h, proba, thresholds)
        if truth.shape[1] == 1 and average != "samples":  # no indicator matrix to scikit-learn
            return fbeta_score(
                truth[:, 0], chosen[:, 0], beta=beta, sample_weight=weight, zero_division=0
            )
        return f_score(truth, chosen, average, beta, weight)

    return judge


@st.composite
def problems(draw):
    """A hierarchy, probabilities with ties that are not coherent, true nodes and weights."""
    h = draw(st.one_of(trees(max_leaves=5), dags(max_nodes=6)))
    n = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    proba = rng.integers(0, draw(st.sampled_from([4, 11])), size=(n, len(h))) / 10
    rows = [[h.nodes[j] for j in np.flatnonzero(rng.random(len(h)) < 0.3)] for _ in range(n)]
    weight = draw(st.sampled_from([np.ones(n), rng.integers(1, 4, size=n).astype(float)]))
    return h, proba, h.to_indicator(rows).astype(int), weight


def fit(h, proba, truth, weight, **params):
    estimator = Table(proba, list(h.nodes)).fit(None, None)
    clf = HierarchicalThresholdClassifierCV(estimator, hierarchy=h, cv="prefit", **params)
    names = pd.DataFrame(truth, columns=list(h.nodes))  # one column alone would be labels
    return clf.fit(np.arange(len(proba))[:, None], names, sample_weight=weight)


AVERAGES = st.sampled_from(["micro", "macro", "samples"])
BETAS = st.sampled_from([1.0, 0.5, 2.0])


@settings(max_examples=30, deadline=None)
@given(problems().filter(lambda problem: len(problem[0]) > 1), AVERAGES, BETAS)
def test_one_threshold_is_the_best_of_all(problem, average, beta):
    h, proba, truth, weight = problem
    clf = fit(h, proba, truth, weight, average=average, beta=beta, store_cv_results=True)
    judge = by_hand(h, proba, truth, average, beta, weight)
    # Each side of each probability, up to 1.
    every = sorted({0.0, 1.0, *np.clip([p + d for p in proba.ravel() for d in (0, 0.05)], 0, 1)})
    best = max(judge(np.full(len(h), t)) for t in every)
    assert clf.best_score_ == pytest.approx(best)
    assert judge(np.full(len(h), clf.best_threshold_)) == pytest.approx(best)
    curve = clf.cv_results_
    assert curve["scores"].max() == pytest.approx(best)
    for t, score in zip(curve["thresholds"], curve["scores"], strict=True):
        assert judge(np.full(len(h), t)) == pytest.approx(score)
    assert (np.diff(curve["thresholds"]) < 0).all()
    # No threshold is left out: from one to the next the score changes in one place at most.
    assert set(np.round([judge(np.full(len(h), t)) for t in every], 9)) <= set(
        np.round(curve["scores"], 9)
    )
    assert clf.predict(np.arange(len(proba))[:, None]).tolist() == (
        choose(h, proba, clf.best_threshold_).tolist()
    )


@settings(max_examples=30, deadline=None)
@given(
    problems().filter(lambda problem: len(problem[0]) > 1),
    st.sampled_from(["level", "node"]),
    AVERAGES,
    BETAS,
)
def test_no_threshold_alone_can_be_better(problem, by, average, beta):
    h, proba, truth, weight = problem
    clf = fit(h, proba, truth, weight, by=by, average=average, beta=beta)
    judge = by_hand(h, proba, truth, average, beta, weight)
    units = h.depths - 1 if by == "level" else np.arange(len(h))
    assert len(clf.best_threshold_) == len(set(units.tolist()))
    by_node = clf.best_threshold_[units]
    assert judge(by_node) == pytest.approx(clf.best_score_)
    assert ((by_node >= 0) & (by_node <= 1)).all()
    every = sorted({0.0, 1.0, *np.clip([p + d for p in proba.ravel() for d in (0, 0.05)], 0, 1)})
    for unit, t in product(set(units.tolist()), every):
        assert judge(np.where(units == unit, t, by_node)) <= clf.best_score_ + 1e-9
    coarser = fit(h, proba, truth, weight, average=average, beta=beta)
    assert clf.best_score_ >= coarser.best_score_ - 1e-9
    if by == "node":
        coarser = fit(h, proba, truth, weight, by="level", average=average, beta=beta)
        assert clf.best_score_ >= coarser.best_score_ - 1e-9
    assert (
        clf.predict(np.arange(len(proba))[:, None]).tolist() == choose(h, proba, by_node).tolist()
    )


def test_thresholds_of_nodes_without_a_hierarchy_are_those_of_two_classes():
    """Macro-F is then a mean of scores that have nothing to do with each other."""
    rng = np.random.default_rng(1)
    h = Hierarchy.flat(["a", "b", "c"])
    truth = (rng.random((80, 3)) < [0.5, 0.2, 0.05]).astype(int)
    proba = np.clip(rng.normal(0.3 + 0.2 * truth, 0.2), 0, 0.99)
    clf = fit(h, proba, truth, np.ones(80), by="node", average="macro")
    best = [
        max(f1_score(truth[:, j], proba[:, j] >= t, zero_division=0) for t in proba[:, j])
        for j in range(3)
    ]
    assert clf.best_score_ == pytest.approx(np.mean(best))


def test_thresholds_by_hand():
    """Two cats at 0.6 and 0.4 and one dog at 0.5, of which the last cat and the dog are true."""
    h = Hierarchy.flat(["cat", "dog"])
    proba = np.array([[0.6, 0.0], [0.4, 0.5]])
    truth = np.array([[0, 0], [1, 1]])
    clf = fit(h, proba, truth, None)
    # From 0.4 on 3 are chosen, 2 of them right, of 2: 4 / 5.
    assert clf.best_threshold_ == pytest.approx(0.2)
    assert clf.best_score_ == pytest.approx(4 / 5)
    heavy = fit(h, proba, truth, np.array([10.0, 1.0]))
    # The first sample counts ten times: 4 / (12 + 2), or 2 / (10 + 1 + 2) without the dog.
    assert heavy.best_score_ == pytest.approx(4 / 14)
    assert fit(h, proba, truth, np.array([0.0, 1.0])).best_score_ == 1
    nodes = fit(h, proba, truth, np.array([10.0, 1.0]), by="node")
    # Without any cat: 2 / (1 + 2), at a threshold above 0.6.
    assert nodes.best_threshold_.tolist() == pytest.approx([0.8, 0.2])
    assert nodes.best_score_ == pytest.approx(2 / 3)


def test_a_certain_mistake_cannot_be_avoided():
    """No threshold is above a probability of 1."""
    h = Hierarchy.flat(["cat", "dog"])
    proba, truth = np.array([[1.0, 0.5], [0.2, 0.5]]), np.array([[0, 1], [0, 0]])
    clf = fit(h, proba, truth, None, by="node")
    assert clf.best_threshold_.max() <= 1
    assert clf.predict([[0]]).tolist() == [[1, 1]]


# -- held-out samples

FORMS = {
    "integers": Y,
    "booleans": Y.astype(bool),
    "csr": sp.csr_array(Y),
    "coo": sp.coo_array(Y),
    "csc matrix": sp.csc_matrix(Y),
    "a frame": pd.DataFrame(Y, columns=list(LIFE.nodes)),
    "nested lists": Y.tolist(),
    "lists": LISTS,
    "sets": [set(row) for row in LISTS],
    "a series": pd.Series(LISTS),
}


@pytest.fixture(scope="module")
def expected():
    clf = HierarchicalThresholdClassifierCV(network(), by="node", cv=3).fit(X, Y)
    return clf.best_threshold_, clf.best_score_, clf.predict(X)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_y_is_the_same(form, expected):
    y = FORMS[form]
    clf = HierarchicalThresholdClassifierCV(network(), by="node", cv=3).fit(X, y)
    assert clf.best_threshold_.tolist() == expected[0].tolist()
    assert clf.best_score_ == expected[1]
    assert clf.classes_.tolist() == list(LIFE.nodes)
    assert clf.multilabel_
    predicted = clf.predict(X)
    assert sp.issparse(predicted) == sp.issparse(y)
    assert predicted.dtype == clf.estimator_.predict(X).dtype
    dense = predicted.toarray() if sp.issparse(predicted) else predicted
    assert dense.tolist() == expected[2].tolist()
    assert clf.score(X, y) == (expected[2] == Y).all(axis=1).mean()
    set_by_hand = clf.estimator_.set_params(threshold=clf.best_threshold_)
    assert (set_by_hand.predict(X) != predicted).sum() == 0


def test_columns_in_another_order():
    order = [4, 0, 3, 1, 5, 2]
    frame = pd.DataFrame(Y, columns=list(LIFE.nodes)).iloc[:, order]
    for estimator in (network(), ovr()):
        plain = HierarchicalThresholdClassifierCV(estimator, by="node", hierarchy=LIFE, cv=2)
        clf = clone(plain).fit(X, frame)
        plain.fit(X, Y)
        assert clf.classes_.tolist() == list(frame.columns)
        # The initial weights are the same, the order of the columns of the head is not.
        np.testing.assert_allclose(clf.best_threshold_, plain.best_threshold_, rtol=1e-4)
        assert clf.predict(X).tolist() == plain.predict(X)[:, order].tolist()
        assert clf.score(X, frame) == plain.score(X, Y) == clf.score(X, frame[list(LIFE.nodes)])
    prefit = HierarchicalThresholdClassifierCV(clf.estimator_, hierarchy=LIFE, cv="prefit")
    assert prefit.fit(X, frame).classes_.tolist() == list(frame.columns)


@pytest.mark.parametrize("cv", [None, 4, 0.25, KFold(3, shuffle=True, random_state=0)])
def test_the_held_out_samples_of_all_folds_are_judged_together(cv):
    clf = HierarchicalThresholdClassifierCV(ovr(), hierarchy=LIFE, cv=cv, random_state=3).fit(X, Y)
    splitter = {None: KFold(5), 4: KFold(4), 0.25: ShuffleSplit(1, test_size=0.25, random_state=3)}
    splitter = splitter.get(cv, cv) if not isinstance(cv, KFold) else cv
    proba, rows = [], []
    for train, test in splitter.split(X):
        proba.append(ovr().fit(X[train], Y[train]).predict_proba(X[test]))
        rows.append(test)
    proba, rows = np.concatenate(proba), np.concatenate(rows)
    judge = by_hand(LIFE, proba, Y[rows], "micro", 1, None)
    best = max(judge(t) for t in proba.ravel())
    assert clf.best_score_ == pytest.approx(best) == pytest.approx(judge(clf.best_threshold_))
    assert np.array_equal(clf.predict_proba(X), ovr().fit(X, Y).predict_proba(X))


def test_refit_is_left_out():
    params = {"hierarchy": LIFE, "cv": 0.25, "random_state": 3}
    kept = HierarchicalThresholdClassifierCV(ovr(), refit=False, **params).fit(X, Y)
    train, _ = next(ShuffleSplit(1, test_size=0.25, random_state=3).split(X))
    assert np.array_equal(kept.predict_proba(X), ovr().fit(X[train], Y[train]).predict_proba(X))
    refitted = HierarchicalThresholdClassifierCV(ovr(), **params).fit(X, Y)
    assert refitted.best_threshold_ == kept.best_threshold_
    with pytest.raises(ValueError, match=r"refit=False keeps .* cv=3 has 3"):
        clone(kept).set_params(cv=3).fit(X, Y)


def test_thresholds_for_f_beat_one_half():
    """Rare labels have probabilities below one half, if these are as often right as they say."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(1200, 4))
    leaves = X[:, :3] + rng.normal(size=(1200, 3)) > 1.6
    y = LIFE.to_indicator([np.array(["cat", "dog", "oak"])[row] for row in leaves])
    y, tree = y[:, [0, 1, 3, 4, 5]], {"animal": ["cat", "dog"], "plant": ["oak"]}
    for by in ("all", "level", "node"):
        clf = HierarchicalThresholdClassifierCV(ovr(), by=by, hierarchy=tree).fit(X[:800], y[:800])
        before = f1_score(y[800:], clf.estimator_.predict(X[800:]), average="micro")
        assert f1_score(y[800:], clf.predict(X[800:]), average="micro") > before + 0.02
        assert np.max(clf.best_threshold_) < 0.5


# -- weights


def test_weights_train_the_estimator_and_weigh_the_held_out_samples():
    weight = RNG.integers(0, 4, size=len(Y)).astype(float)
    params = {"by": "node", "cv": 0.25, "random_state": 3, "refit": False}
    clf = HierarchicalThresholdClassifierCV(network(), **params).fit(X, Y, sample_weight=weight)
    train, test = next(ShuffleSplit(1, test_size=0.25, random_state=3).split(X))
    by_itself = network().fit(X[train], Y[train], sample_weight=weight[train])
    np.testing.assert_allclose(clf.predict_proba(X), by_itself.predict_proba(X))
    prefit = HierarchicalThresholdClassifierCV(by_itself, by="node", cv="prefit")
    prefit.fit(X[test], Y[test], sample_weight=weight[test])
    assert np.array_equal(clf.best_threshold_, prefit.best_threshold_)
    repeated = np.repeat(test, weight[test].astype(int))
    repeated = clone(prefit).set_params(estimator=by_itself).fit(X[repeated], Y[repeated])
    assert repeated.best_score_ == pytest.approx(prefit.best_score_)
    assert repeated.best_threshold_.tolist() == prefit.best_threshold_.tolist()


@pytest.mark.parametrize("form", ["lists", "csr", "integers"])
def test_samples_of_no_weight_may_have_any_labels(form):
    weight = np.ones(len(Y))
    weight[[0, 7]] = 0
    lists, matrix = list(LISTS), Y.copy()
    lists[0], lists[7] = ["no such node"], []
    matrix[[0, 7]] = [0, 0, 0, 1, 0, 0]  # a cat that is no animal
    y = {"lists": lists, "csr": sp.csr_array(matrix), "integers": matrix}[form]
    prefit = network().fit(X, Y)
    clf = HierarchicalThresholdClassifierCV(prefit, cv="prefit", by="level")
    clf.fit(X, y, sample_weight=weight)
    there = np.flatnonzero(weight)
    other = clone(clf).set_params(estimator=prefit).fit(X[there], Y[there])
    assert clf.best_threshold_.tolist() == other.best_threshold_.tolist()
    assert clf.best_score_ == other.best_score_
    with pytest.raises(ValueError, match=r"no such node|row 0 has 'cat' but not its parent"):
        clf.fit(X, y)


# -- what is inside


def test_estimators_that_number_their_columns():
    expected = HierarchicalThresholdClassifierCV(ovr(), hierarchy=LIFE, cv=3).fit(X, Y)
    assert expected.estimator_.classes_.tolist() == [0, 1, 2, 3, 4, 5]
    assert expected.classes_.tolist() == list(LIFE.nodes)
    pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), ovr())
    clf = HierarchicalThresholdClassifierCV(pipeline, hierarchy=LIFE, cv=3).fit(X, Y)
    assert clf.best_threshold_ == expected.best_threshold_
    # Nodes that are numbers are not taken for columns.
    numbers = LIFE.relabel(dict(zip(LIFE.nodes, [3, 0, 5, 1, 4, 2], strict=True)))
    order = [LIFE.nodes.index(n) for n in ("animal", "plant", "stone", "cat", "dog", "oak")]
    assert sorted(order) == list(range(6))
    y = pd.DataFrame(Y, columns=list(LIFE.nodes)).rename(
        columns=dict(zip(LIFE.nodes, [3, 0, 5, 1, 4, 2], strict=True))
    )
    clf = HierarchicalThresholdClassifierCV(ovr(), hierarchy=numbers, cv=3).fit(X, y)
    assert clf.best_threshold_ == expected.best_threshold_
    assert clf.classes_.tolist() == [3, 0, 5, 1, 4, 2]
    assert clf.predict(X).tolist() == expected.predict(X).tolist()


@pytest.mark.parametrize("form", ["integers", "csr", "lists"])
def test_without_a_hierarchy_labels_are_columns(form):
    y = {"integers": Y, "csr": sp.csr_array(Y), "lists": LISTS}[form]
    clf = HierarchicalThresholdClassifierCV(network(None), by="node", cv=2).fit(X, y)
    names = clf.estimator_.classes_
    assert clf.classes_.tolist() == names.tolist()
    assert clf.hierarchy_.n_levels == 1
    assert clf.predict(X).shape == (len(X), len(names))


def test_an_induced_hierarchy():
    """Its inner nodes have names of its own, and predictions no column for them."""
    leaves = Y[:, LIFE.leaf_indices]
    clf = HierarchicalThresholdClassifierCV(network(BalancedHierarchy(branching=2)), cv=2)
    clf.fit(X, leaves)
    assert clf.classes_.tolist() == [0, 1, 2, 3]
    assert len(clf.hierarchy_) > 4
    assert clf.predict(X).shape == leaves.shape
    below = clf.predict_proba(X) >= clf.best_threshold_
    assert clf.predict(X).tolist() == below.astype(int).tolist()


def test_one_label_for_each_sample():
    """Predictions are those of the estimator, and thresholds are not looked at."""
    y = np.array(["cat", "dog", "oak", "stone"])[np.arange(len(X)) % 4]
    clf = HierarchicalThresholdClassifierCV(network(), cv=2).fit(X, y)
    assert not clf.multilabel_
    assert clf.classes_.tolist() == ["cat", "dog", "oak", "stone"]
    assert clf.predict(X).tolist() == network().fit(X, y).predict(X).tolist()
    assert clf.score(X, y) == np.mean(clf.predict(X) == y)


def test_searches_pipelines_and_copies():
    clf = HierarchicalThresholdClassifierCV(network(), cv=2, by="level")
    search = GridSearchCV(
        clf, {"estimator__max_iter": [1, 8], "average": ["micro"]}, cv=2, scoring="f1_micro"
    )
    search.fit(X, Y)
    assert search.best_params_["estimator__max_iter"] == 8
    frozen = pickle.loads(pickle.dumps(search.best_estimator_))
    assert frozen.predict(X).tolist() == search.predict(X).tolist()
    pipeline = make_pipeline(StandardScaler(), clone(clf)).fit(X, Y)
    assert pipeline.predict(X).shape == Y.shape
    held_out = cross_val_predict(clf, X, Y, cv=3)
    assert f1_score(Y, held_out, average="micro") > 0.5
    of_search = HierarchicalThresholdClassifierCV(search, cv="prefit").fit(X, Y)
    assert of_search.hierarchy_ == LIFE
    assert average_precision_score(Y, of_search.predict_proba(X), average="micro") > 0.5
    assert np.allclose(
        np.exp(of_search.estimator.best_estimator_.predict_log_proba(X)), of_search.predict_proba(X)
    )


def test_results_of_an_earlier_fit_do_not_stay():
    clf = HierarchicalThresholdClassifierCV(ovr(), hierarchy=LIFE, cv=2, store_cv_results=True)
    assert len(clf.fit(X, Y).cv_results_["scores"]) > 10
    assert not hasattr(clf.set_params(store_cv_results=False).fit(X, Y), "cv_results_")


# -- refused


@pytest.mark.parametrize(
    ("params", "y", "message"),
    [
        ({"by": "group"}, Y, "'by' parameter"),
        ({"average": "weighted"}, Y, "'average' parameter"),
        ({"beta": -1.0}, Y, "'beta' parameter"),
        ({"hierarchy": None}, Y, "OneVsRestClassifier knows no hierarchy .* pass hierarchy="),
        ({}, Y[:, :5], "a column for each of the 6 nodes, its shape is"),
        ({}, Y[:, ::-1], "has 'cat' but not its parent|has 'oak' but not its parent"),
        ({}, 2 * Y, "row 0 holds 2"),
        ({}, [["cat"], ["cow"]] * 30, "not in the hierarchy: 'cow'"),
        ({}, LISTS, "MultiLabelBinarizer"),  # which scikit-learn names
        ({"estimator": RandomForestClassifier(3)}, Y, "is a list with an array for each column"),
        ({"estimator": GaussianNB()}, Y, "1d array"),
    ],
)
def test_bad_input(params, y, message):
    clf = HierarchicalThresholdClassifierCV(ovr(), hierarchy=LIFE, cv=2).set_params(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not [name for name in vars(clf) if name.endswith("_")]


def test_it_must_be_fitted():
    clf = HierarchicalThresholdClassifierCV(ovr(), hierarchy=LIFE)
    with pytest.raises(NotFittedError):
        clf.predict(X)
    with pytest.raises(NotFittedError, match="cv='prefit' needs a fitted estimator"):
        clf.set_params(cv="prefit").fit(X, Y)
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("wrapper", [TemperatureScalingClassifier, InformationGainClassifier])
def test_wrappers_of_one_label_name_this(wrapper):
    several = network().fit(X, Y)
    one = np.array(["cat", "dog", "oak", "stone"])[np.arange(len(X)) % 4]
    with pytest.raises(ValueError, match=r"fitted to several .*ThresholdClassifierCV takes"):
        wrapper(several, cv="prefit").fit(X, one)
    softmax = HierarchicalSoftmaxClassifier(LIFE, max_iter=2, n_iter_no_change=2)
    for y in (Y, sp.csr_array(Y), [set(row) for row in LISTS], Y.tolist()):
        with pytest.raises(ValueError, match="HierarchicalMultilabelClassifier takes several"):
            wrapper(softmax, cv=2).fit(X, y)
        with pytest.raises(ValueError, match="HierarchicalMultilabelClassifier takes several"):
            wrapper(several, cv="prefit").fit(X, y)
