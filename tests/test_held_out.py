"""What wrappers that learn from held-out rows have in common."""

import pickle

import numpy as np
import pandas as pd
import pytest
from held_out_cases import table
from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedShuffleSplit, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.datasets import load_digits_hierarchy
from hierclf.decisions import InformationGainClassifier

ALL_WRAPPERS = pytest.mark.parametrize(
    ("wrapper", "learnt"),
    [
        (InformationGainClassifier, "information_gain_"),
        (TemperatureScalingClassifier, "temperatures_"),
    ],
)


@pytest.fixture(scope="module")
def digits():
    data = load_digits_hierarchy()
    X, _, y, _ = train_test_split(
        data.data / 16, data.target, train_size=400, random_state=0, stratify=data.target
    )
    return X, y, data.hierarchy


def make(wrapper, estimator=None, **params):
    """Return a wrapper whose accuracy, if it has one, is within reach."""
    wrapped = wrapper(LogisticRegression() if estimator is None else estimator, **params)
    if "accuracy" in wrapped.get_params():
        wrapped.set_params(accuracy=0.8)
    return wrapped


def network(hierarchy, cls=HierarchicalSoftmaxClassifier, **params):
    defaults = {"hidden_layer_sizes": (), "learning_rate_init": 0.03, "random_state": 0}
    return cls(hierarchy, **{**defaults, "max_iter": 10, "n_iter_no_change": 10, **params})


@ALL_WRAPPERS
def test_float_cv_is_one_stratified_split(wrapper, learnt, digits):
    X, y, hierarchy = digits
    split = {"cv": 0.25, "random_state": 3}
    refitted = make(wrapper, hierarchy=hierarchy, **split).fit(X, y)
    kept = make(wrapper, hierarchy=hierarchy, refit=False, **split).fit(X, y)
    train, test = next(StratifiedShuffleSplit(1, test_size=0.25, random_state=3).split(X, y))
    by_hand = LogisticRegression().fit(X[train], y[train])
    prefit = make(wrapper, by_hand, hierarchy=hierarchy, cv="prefit").fit(X[test], y[test])

    for clf in (refitted, kept):
        assert np.array_equal(getattr(clf, learnt), getattr(prefit, learnt))
    assert prefit.estimator_ is by_hand
    assert np.array_equal(kept.estimator_.coef_, by_hand.coef_)
    assert np.array_equal(refitted.estimator_.coef_, LogisticRegression().fit(X, y).coef_)
    other = make(wrapper, hierarchy=hierarchy, cv=0.25, random_state=4).fit(X, y)
    assert not np.array_equal(getattr(other, learnt), getattr(prefit, learnt))


@ALL_WRAPPERS
def test_copies_and_kinds_of_input(wrapper, learnt, digits):
    X, y, hierarchy = digits
    clf = make(wrapper, hierarchy=hierarchy, cv=3).fit(X, y)
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    for again, given in (
        (clone(clf).fit(csr_matrix(X), y), csr_matrix(X)),
        (clone(clf).fit(frame, pd.Series(y, index=frame.index[::-1])), frame),
        (clone(clf).fit(X, y[:, None].ravel().astype(object)), X),
        (pickle.loads(pickle.dumps(clf)), X),
    ):
        np.testing.assert_allclose(getattr(again, learnt), getattr(clf, learnt), rtol=1e-4)
        assert (again.predict(given) == clf.predict(X)).mean() > 0.99
        assert again.n_features_in_ == 64
    assert not hasattr(clf, "feature_names_in_")
    assert clone(clf).fit(frame, y).feature_names_in_.tolist() == frame.columns.tolist()
    # Weights only, none of the rows.
    assert len(pickle.dumps(clf)) < X.nbytes / 5


@ALL_WRAPPERS
def test_texts(wrapper, learnt):
    texts = ["bow string low", "bow string mid", "breath wood high", "breath brass low"] * 8
    y = np.array(["cello", "viola", "flute", "horn"] * 8)
    tree = {"music": ["strings", "wind"], "strings": ["cello", "viola"], "wind": ["flute", "horn"]}
    estimator = make_pipeline(CountVectorizer(), LogisticRegression(C=100))
    clf = wrapper(estimator, hierarchy=tree)
    if wrapper is InformationGainClassifier:
        clf.set_params(accuracy=0.5)
    assert np.array_equal(clf.fit(texts, y).predict(texts), y)


@ALL_WRAPPERS
@pytest.mark.parametrize("cls", [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier])
def test_hierarchy_is_that_of_the_estimator(wrapper, learnt, cls, digits):
    X, y, hierarchy = digits
    estimator = network(hierarchy, cls).fit(X, y)
    asked = make(wrapper, estimator, cv="prefit", hierarchy=hierarchy).fit(X, y)
    pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False), estimator)
    # Fitted already: fitting it again would need other rows.
    search = GridSearchCV(network(hierarchy, cls), {"dropout": [0.0]}, cv=2).fit(X, y)
    for given in (estimator, pipeline, search):
        if given is pipeline:
            given.fit(X, y)
        clf = make(wrapper, given, cv="prefit").fit(X, y)
        assert clf.hierarchy_ == hierarchy
        np.testing.assert_allclose(getattr(clf, learnt), getattr(asked, learnt), rtol=1e-6)
        assert np.array_equal(clf.predict(X), asked.predict(X))


@ALL_WRAPPERS
def test_grid_search_reaches_inside(wrapper, learnt, digits):
    X, y, hierarchy = digits
    grid = {"estimator__max_iter": [1, 10]}
    search = GridSearchCV(make(wrapper, network(hierarchy), cv=2), grid, cv=2)
    if wrapper is InformationGainClassifier:
        search.estimator.set_params(accuracy=0.3)
    assert search.fit(X, y).best_params_ == {"estimator__max_iter": 10}
    assert hasattr(search.best_estimator_, learnt)


@ALL_WRAPPERS
def test_bad_input_is_refused_and_leaves_no_trace(wrapper, learnt, digits):
    X, y, hierarchy = digits
    with pytest.raises(NotFittedError):
        make(wrapper, hierarchy=hierarchy).predict(X)
    refused = [
        ({"cv": 1}, "'cv' parameter"),
        ({"cv": 1.5}, "'cv' parameter"),
        ({"cv": "five"}, "'cv' parameter"),
        ({"refit": False}, "cv=None has 5: use refit=True"),
        ({"estimator": LinearSVC()}, "'estimator' parameter .* 'predict_proba'"),
        ({"cv": "prefit"}, r"cv='prefit' needs a fitted estimator, and LogisticRegression\(\)"),
        ({"hierarchy": None}, "LogisticRegression knows no hierarchy .* pass hierarchy="),
        ({"hierarchy": {"round": list("0689")}}, "not in the hierarchy: '\\d'"),
    ]
    clf = make(wrapper, hierarchy=hierarchy).fit(X, y)
    for params, message in refused:
        bad = clone(clf).set_params(**params)
        with pytest.raises(ValueError, match=message):
            bad.fit(X, y)
        assert not hasattr(bad, "classes_")
        assert not [name for name in vars(bad) if name.endswith("_")]
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clone(clf).fit(X, y[1:])
    with pytest.raises(ValueError, match="Unknown label type"):
        clone(clf).fit(X, np.linspace(0, 1, len(X)))


@ALL_WRAPPERS
def test_classes_of_the_estimator_must_be_in_the_hierarchy(wrapper, learnt):
    estimator, X = table(np.full((4, 3), 1 / 3), ["cat", "dog", "elm"])
    clf = wrapper(estimator, hierarchy={"animal": ["cat", "dog"]}, cv="prefit")
    with pytest.raises(ValueError, match="not in the hierarchy: 'elm'"):
        clf.fit(X, ["cat", "dog"] * 2)


@ALL_WRAPPERS
@pytest.mark.parametrize("value", [np.nan, np.inf, -0.25])
def test_probabilities_that_are_none_are_refused(wrapper, learnt, value):
    proba, y = np.eye(3).repeat(4, axis=0), np.repeat(["cat", "dog", "elm"], 4)
    tree = {"animal": ["cat", "dog"], "plant": ["elm"]}
    estimator, X = table(proba.copy(), ["cat", "dog", "elm"])
    clf = wrapper(estimator, hierarchy=tree, cv="prefit")
    clf = clf.set_params(accuracy=0.5) if hasattr(clf, "accuracy") else clf
    clf.fit(X, y)
    estimator.proba[2, 1] = value
    message = rf"what Table.predict_proba returned .* row 2 has {value} for class 'dog'"
    with pytest.raises(ValueError, match=message):
        clf.predict(X)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)


# -- weights


def weigh(n, seed=0):
    return np.random.default_rng(seed).integers(0, 4, size=n).astype(float)


@ALL_WRAPPERS
def test_weights_train_the_estimator_and_weigh_the_held_out_rows(wrapper, learnt, digits):
    X, y, hierarchy = digits
    weight = weigh(len(y))
    split = {"cv": 0.25, "random_state": 3, "hierarchy": hierarchy}
    refitted = make(wrapper, **split).fit(X, y, sample_weight=weight)
    kept = make(wrapper, refit=False, **split).fit(X, y, sample_weight=weight)
    train, test = next(StratifiedShuffleSplit(1, test_size=0.25, random_state=3).split(X, y))
    by_hand = LogisticRegression().fit(X[train], y[train], sample_weight=weight[train])
    whole = LogisticRegression().fit(X, y, sample_weight=weight)
    assert np.array_equal(kept.estimator_.coef_, by_hand.coef_)
    assert np.array_equal(refitted.estimator_.coef_, whole.coef_)

    prefit = make(wrapper, by_hand, hierarchy=hierarchy, cv="prefit")
    prefit.fit(X[test], y[test], sample_weight=weight[test])
    for clf in (refitted, kept):
        np.testing.assert_allclose(getattr(clf, learnt), getattr(prefit, learnt), rtol=1e-6)
    without = make(wrapper, by_hand, hierarchy=hierarchy, cv="prefit").fit(X[test], y[test])
    assert not np.allclose(getattr(without, learnt), getattr(prefit, learnt), rtol=1e-3)


@ALL_WRAPPERS
def test_equal_weights_are_none_and_rows_without_weight_are_not_there(wrapper, learnt, digits):
    X, y, hierarchy = digits
    estimator = LogisticRegression().fit(X[:200], y[:200])
    X, y = X[200:], y[200:]
    plain = make(wrapper, estimator, cv="prefit", hierarchy=hierarchy).fit(X, y)
    learnt_by_both = [name for name in vars(plain) if name.endswith("_")]
    for equal in (np.full(len(y), 1 / 3), pd.Series(np.full(len(y), 7))):
        weighted = make(wrapper, estimator, cv="prefit", hierarchy=hierarchy)
        weighted.fit(X, y, sample_weight=equal)
        for name in learnt_by_both:
            same = getattr(weighted, name), getattr(plain, name)
            assert np.array_equal(*same) or str(same[0]) == str(same[1])

    weight = weigh(len(y), seed=1)
    there = weight > 0
    y_strange = np.where(there, y, "no node of the tree")
    fitted = [
        make(wrapper, estimator, cv="prefit", hierarchy=hierarchy).fit(*rows, sample_weight=w)
        for rows, w in [((X, y_strange), weight), ((X[there], y[there]), weight[there])]
    ]
    assert np.array_equal(*(getattr(clf, learnt) for clf in fitted))
    # Of two folds, one holds nothing out that counts.
    halves = np.array_split(np.arange(len(y)), 2)
    both = [(halves[1], halves[0]), (halves[0], halves[1])]
    half_weight = np.where(np.arange(len(y)) < len(halves[0]), 0.25, 0)
    one = Reluctant().fit(X, y)
    fitted = [
        make(wrapper, one, cv=cv, hierarchy=hierarchy).fit(X, y, sample_weight=half_weight)
        for cv in (both, both[:1])
    ]
    assert np.array_equal(*(getattr(clf, learnt) for clf in fitted))


class Reluctant(LogisticRegression):
    """Takes weights, does not look at them, and tells how often it was trained."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        Reluctant.n_fits += 1
        assert sample_weight is None or len(sample_weight) == len(y)
        return super().fit(X, y)


@ALL_WRAPPERS
def test_bad_weights_are_refused_before_anything_is_trained(wrapper, learnt, digits):
    X, y, hierarchy = digits
    n, negative, held_out = len(y), np.ones(len(y)), np.ones(len(y))
    negative[[3, 5]] = -0.5
    held_out[:10] = 0
    split = [(np.arange(10, n), np.arange(10))]
    plain = {"estimator": Reluctant()}
    pipeline = make_pipeline(StandardScaler(), Reluctant())
    cases = [
        (plain, np.ones(n - 1), rf"sample_weight.*\({n - 1},\), expected \({n},\)"),
        (plain, negative, "sample_weight must not be negative: row 3 has -0.5"),
        (plain, np.zeros(n), "zero"),
        (plain, np.full(n, np.nan), "sample_weight contains NaN"),
        ({**plain, "cv": split}, held_out, "sample_weight is 0 for every row that is held out"),
        ({"estimator": KNeighborsClassifier()}, np.ones(n), "KNeighborsClassifier.fit does not"),
        ({"estimator": pipeline}, np.ones(n), "Pipeline.fit does not take it.*set_fit_request"),
    ]
    Reluctant.n_fits = 0
    for params, weight, message in cases:
        bad = make(wrapper, hierarchy=hierarchy).set_params(**params)
        with pytest.raises(ValueError, match=message):
            bad.fit(X, y, sample_weight=weight)
        assert not [name for name in vars(bad) if name.endswith("_")]
    assert Reluctant.n_fits == 0
    # What is trained already takes no weights any more.
    neighbours = KNeighborsClassifier().fit(X, y)
    clf = make(wrapper, neighbours, hierarchy=hierarchy, cv="prefit")
    assert hasattr(clf.fit(X, y, sample_weight=np.ones(n)), learnt)


@ALL_WRAPPERS
def test_weights_are_routed_to_who_asks(wrapper, learnt, digits):
    X, y, hierarchy = digits
    weight, cv = weigh(len(y)), StratifiedShuffleSplit(1, test_size=0.25, random_state=3)

    def fit(estimator, **params):
        return make(wrapper, estimator, hierarchy=hierarchy, cv=cv, **params).fit(
            X, y, sample_weight=weight
        )

    expected, plain = fit(LogisticRegression()), LogisticRegression().fit(X, y)
    with config_context(enable_metadata_routing=True):
        asks = LogisticRegression().set_fit_request(sample_weight=True)
        inside = make_pipeline(StandardScaler(with_mean=False, with_std=False), asks)
        inside[0].set_fit_request(sample_weight=False)
        for estimator in (asks, inside):
            routed = fit(estimator)
            np.testing.assert_allclose(getattr(routed, learnt), getattr(expected, learnt))
        outside = make_pipeline(
            StandardScaler(with_mean=False, with_std=False).set_fit_request(sample_weight=False),
            make(wrapper, asks, hierarchy=hierarchy, cv=cv).set_fit_request(sample_weight=True),
        ).fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(getattr(outside[-1], learnt), getattr(expected, learnt))

        with pytest.raises(UnsetMetadataPassedError, match=r"LogisticRegression\.fit"):
            fit(LogisticRegression())
        declines = fit(LogisticRegression().set_fit_request(sample_weight=False))
        assert np.array_equal(declines.estimator_.coef_, plain.coef_)
        # What is trained already is handed nothing, and need not be asked.
        trained = make(wrapper, plain, hierarchy=hierarchy, cv="prefit")
        make_pipeline(trained.set_fit_request(sample_weight=True)).fit(X, y, sample_weight=weight)
        for kind, handed in [(cv, {"sample_weight"}), ("prefit", set())]:
            router = make(wrapper, asks, cv=kind).get_metadata_routing()
            assert router.consumes("fit", ["sample_weight"]) == handed
    unweighted = make(wrapper, hierarchy=hierarchy, cv=cv).fit(X, y)
    for other in (expected, unweighted):
        assert not np.allclose(getattr(declines, learnt), getattr(other, learnt), rtol=1e-4)


# -- labels


@ALL_WRAPPERS
def test_labels_that_the_estimator_never_saw_need_the_whole_hierarchy(wrapper, learnt, digits):
    X, y, hierarchy = digits
    seen = y != "7"
    estimator = network(hierarchy).fit(X[seen], y[seen])
    with pytest.raises(ValueError, match=r"'7'.* give the whole one as hierarchy="):
        make(wrapper, estimator, cv="prefit").fit(X, y)
    clf = make(wrapper, estimator, hierarchy=hierarchy, cv="prefit").fit(X, y)
    assert hasattr(clf, learnt)


@ALL_WRAPPERS
@pytest.mark.parametrize("cv", [2, "prefit"])
def test_labels_that_are_tuples(wrapper, learnt, cv):
    """As names that occur in several branches are."""
    paths = [["toys", "car"], ["toys", "other"], ["food", "other"], ["food", "egg"]] * 25
    X = np.tile(np.eye(4), (25, 1))
    hierarchy = Hierarchy.from_paths(paths)
    y = hierarchy.leaves_from_paths(paths)
    estimator = network(hierarchy, learning_rate_init=0.5).fit(X, y)
    clf = make(wrapper, estimator, cv=cv).fit(X, y)
    assert clf.predict(X).tolist() == y.tolist()
    assert clf.score(X, y) == 1


# "other" is in two branches, and one path ends early.
PATHS = [["toys", "car"], ["toys", "other"], ["food", "other"], ["food", "egg"], ["books"]]
PATH_TREE = Hierarchy.from_paths(PATHS)


def path_problem(n=20):
    return np.tile(np.eye(5), (n, 1)), PATHS * n


def forms_of_paths(paths):
    """Yield paths in each form that the classifiers take."""
    padded = [[*path, *[""] * (2 - len(path))] for path in paths]
    yield paths
    yield np.array(padded)
    yield np.array(padded, dtype=object)
    yield pd.DataFrame(padded, columns=["kind", "thing"], index=range(7, 7 + len(paths)))
    yield pd.DataFrame(padded).replace("", None)


@ALL_WRAPPERS
@pytest.mark.parametrize("cv", [2, 0.5, "prefit"])
def test_labels_that_are_paths(wrapper, learnt, cv):
    """The same as the last of each path, and predictions are paths."""
    X, paths = path_problem()
    labels = PATH_TREE.leaves_from_paths(paths)
    params = {"cv": cv, "random_state": 0} if cv == 0.5 else {"cv": cv}
    inside = {"learning_rate_init": 0.5}
    one_d = network(PATH_TREE, **inside)
    two_d = network(None, **inside)
    if cv == "prefit":
        one_d.fit(X, labels)
        two_d.fit(X, paths)
    expected = make(wrapper, one_d, **params).fit(X, labels)
    for y in forms_of_paths(paths):
        clf = make(wrapper, two_d, **params).fit(X, y)
        np.testing.assert_allclose(getattr(clf, learnt), getattr(expected, learnt), rtol=1e-6)
        assert clf.hierarchy_ == PATH_TREE
        assert clf.predict(X).tolist() == PATH_TREE.paths_from_leaves(labels).tolist()
        assert clf.predict(X[:1]).tolist() == [["toys", "car"]]
        assert clf.predict(X[4:5]).tolist() == [["books", ""]]
        assert clf.score(X, y) == 1
        wrong = [*paths[1:], paths[0]]  # every sample has the path of the next
        assert clf.score(X, wrong) == 0
        weight = np.arange(len(X)) % 5 == 0
        assert clf.score(X, [["toys", "car"]] * len(X), sample_weight=weight) == 1
        search = GridSearchCV(make(wrapper, two_d, **params), {"refit": [True]}, cv=KFold(2))
        if cv == 2:
            assert search.fit(X, y).best_score_ == 1


@ALL_WRAPPERS
def test_paths_inside_what_is_wrapped(wrapper, learnt):
    """A pipeline, and a classifier that is frozen."""
    X, paths = path_problem()
    scaler = StandardScaler(with_mean=False, with_std=False)
    plain = network(None, learning_rate_init=0.5)
    expected = make(wrapper, plain, cv=2).fit(X, paths)
    clf = make(wrapper, make_pipeline(scaler, plain), cv=2).fit(X, paths)
    outside = make_pipeline(scaler, make(wrapper, plain, cv=2)).fit(X, paths)
    for other in (clf, outside[-1]):
        np.testing.assert_allclose(getattr(other, learnt), getattr(expected, learnt), rtol=1e-6)
    assert clf.predict(X[:2]).tolist() == outside.predict(X[:2]).tolist() == PATHS[:2]

    fitted = clone(plain).fit(X, paths)
    prefit = make(wrapper, fitted, cv="prefit").fit(X, paths)
    frozen = make(wrapper, FrozenEstimator(fitted), cv=2).fit(X, paths)
    np.testing.assert_allclose(getattr(frozen, learnt), getattr(prefit, learnt), rtol=1e-6)
    assert frozen.predict(X).tolist() == prefit.predict(X).tolist()


@ALL_WRAPPERS
def test_a_fold_may_call_a_class_by_a_shorter_name(wrapper, learnt):
    """Where it has seen "other" in one branch only, that is the name of the class there."""
    X, paths = path_problem()
    everywhere = np.arange(len(X))
    first = everywhere[everywhere % 5 == 2][:10]  # food > other
    later = np.setdiff1d(everywhere, first)
    without = [(np.setdiff1d(later, everywhere[everywhere % 5 == 2]), later[:50])]
    assert (
        "other" in network(None).fit(X[without[0][0]], [paths[i] for i in without[0][0]]).classes_
    )
    labels = PATH_TREE.leaves_from_paths(paths)
    expected = make(wrapper, network(PATH_TREE), cv=without).fit(X, labels)
    clf = make(wrapper, network(None), cv=without, hierarchy=PATH_TREE).fit(X, paths)
    found = make(wrapper, network(None), cv=without).fit(X, paths)
    for other in (clf, found):
        np.testing.assert_allclose(getattr(other, learnt), getattr(expected, learnt), rtol=1e-6)
        assert (
            other.predict(X).tolist() == PATH_TREE.paths_from_leaves(expected.predict(X)).tolist()
        )
    # The same of a classifier that was trained without the other "other".
    some = [i for i in range(len(X)) if i % 5 != 2]
    estimator = network(None, learning_rate_init=0.5).fit(X[some], [paths[i] for i in some])
    assert "other" in estimator.classes_
    clf = make(wrapper, estimator, cv="prefit", hierarchy=PATH_TREE)
    clf.fit(X[some], [paths[i] for i in some])
    assert clf.predict(X[:2]).tolist() == PATHS[:2]
    with pytest.raises(ValueError, match=r"row 2, step 1: 'other' .* whole one as hierarchy="):
        make(wrapper, estimator, cv="prefit").fit(X, paths)


@ALL_WRAPPERS
def test_paths_of_no_weight_are_not_looked_up(wrapper, learnt):
    X, paths = path_problem()
    estimator = network(None, learning_rate_init=0.5).fit(X, paths)
    y = [["no", "such", "path"], *paths[1:]]
    weight = np.ones(len(X))
    weight[0] = 0
    clf = make(wrapper, estimator, cv="prefit").fit(X, y, sample_weight=weight)
    expected = make(wrapper, estimator, cv="prefit").fit(X[1:], paths[1:])
    np.testing.assert_allclose(getattr(clf, learnt), getattr(expected, learnt))
    with pytest.raises(ValueError, match="row 0, step 0: 'no' is not a child"):
        make(wrapper, estimator, cv="prefit").fit(X, y)


def test_paths_that_are_refused():
    X, paths = path_problem()
    dag = [("r", "a"), ("r", "b"), ("a", "x"), ("b", "x"), ("b", "y")]
    estimator = network(dag).fit(X, ["x", "y"] * 50)
    clf = InformationGainClassifier(estimator, cv="prefit")
    with pytest.raises(ValueError, match=r"in a DAG several .* hierarchy.leaves_from_paths\(y\)"):
        clf.fit(X, [["a", "x"], ["b", "y"]] * 50)
    # What the classifier inside cannot be trained on.
    with pytest.raises(ValueError, match="y should be a 1d array"):
        make(InformationGainClassifier, hierarchy=PATH_TREE, cv=2).fit(X, np.array(paths[:4] * 25))
    # A classifier of single labels may be judged by paths.
    labels = PATH_TREE.leaves_from_paths(paths)
    codes = {label: i for i, label in enumerate(PATH_TREE.nodes)}
    tree = PATH_TREE.relabel(codes)
    prefit = LogisticRegression(C=1e3).fit(X, [codes[label] for label in labels.tolist()])
    named = tree.paths_from_leaves([codes[label] for label in labels.tolist()])
    clf = make(InformationGainClassifier, prefit, hierarchy=tree, cv="prefit").fit(X, named)
    assert clf.predict(X).tolist() == named.tolist()


def test_reject_label_where_labels_are_paths():
    X, paths = path_problem()
    estimator = network(None, learning_rate_init=0.5).fit(X, paths)
    clf = InformationGainClassifier(estimator, 0.9, reject_label="unknown", cv="prefit")
    clf.fit(X, paths)
    unclear = np.zeros((1, 5))
    assert clf.predict(X[:5]).tolist() == [*PATHS[:4], ["books", ""]]
    clf.decision_.trade_off = 1e6  # the root is right whatever the sample is
    assert clf.predict(unclear).tolist() == [["unknown", ""]]


@ALL_WRAPPERS
@pytest.mark.parametrize("cv", [2, "prefit"])
def test_labels_of_several_types(wrapper, learnt, cv):
    """Which an array of numpy would turn into strings."""
    X, y = np.tile(np.eye(4), (25, 1)), [1, 2, "x", "y"] * 25
    estimator = network({"number": [1, 2], "letter": ["x", "y"]}, learning_rate_init=0.5).fit(X, y)
    clf = make(wrapper, estimator, cv=cv).fit(X, y)
    assert clf.predict(X).tolist() == y
    assert clf.score(X, y) == 1


def test_answers_of_several_types_are_scored():
    tree = {"a": [1, 2], "b": [3, 4]}
    X, y = np.tile(np.eye(4), (25, 1)), np.tile([1, 2, 3, 4], 25)
    estimator = network(tree).fit(X, y)
    clf = InformationGainClassifier(
        estimator, 0.8, reject_label="unknown", hierarchy=tree, cv="prefit"
    ).fit(X, y)
    for trade_off in (0.0, 1.0, 1e6):
        clf.decision_.set_params(trade_off=trade_off)
        predicted = clf.predict(X).tolist()
        assert clf.score(X, y) == np.mean([a == b for a, b in zip(predicted, y, strict=True)])
    assert "unknown" in predicted


@ALL_WRAPPERS
@pytest.mark.parametrize("cv", [2, 0.3])
def test_a_class_that_occurs_with_weight_0_alone_is_none(wrapper, learnt, digits, cv):
    X, y, hierarchy = digits
    weight, y = np.ones(len(y)), y.astype(object)
    y[7], weight[7] = "once", 0.0
    inner = HierarchicalSoftmaxClassifier(
        Hierarchy([*hierarchy.edges, (hierarchy.root, "once")]),
        hidden_layer_sizes=(),
        learning_rate_init=0.02,
        max_iter=30,
        n_iter_no_change=30,
        random_state=0,
    )
    clf = make(wrapper, inner, cv=cv, random_state=0).fit(X, y, sample_weight=weight)
    assert clf.classes_.tolist() == sorted(set(y) - {"once"})
    assert np.isfinite(getattr(clf, learnt)).all()
