"""Among scikit-learn's own: pipelines, searches, meta-estimators, routing, copies."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.induction import BalancedHierarchy

WORDS = {
    "cello": "bow string low", "flute": "breath wood high", "horn": "breath brass low",
    "viola": "bow string middle",
}  # fmt: skip
INSTRUMENTS = {
    "music": ["strings", "wind"],
    "strings": ["cello", "viola"],
    "wind": ["flute", "horn"],
}
NAMES = sorted(WORDS)
CODES = dict(zip(NAMES, [30, 7, 12, 5], strict=True))  # sorted otherwise than the names
KINDS = {
    "str": (np.asarray, INSTRUMENTS),
    "object": (lambda y: np.array(y, dtype=object), INSTRUMENTS),
    "int": (
        lambda y: np.array([CODES[label] for label in y]),
        Hierarchy.from_dict(INSTRUMENTS).relabel(CODES),
    ),
    "pandas": (lambda y: pd.Series(y, index=np.arange(len(y))[::-1]), INSTRUMENTS),
}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make(hierarchy, cls=HierarchicalSoftmaxClassifier, **params):
    defaults = {"hidden_layer_sizes": (), "learning_rate_init": 0.1, "batch_size": 8}
    defaults |= {"max_iter": 8, "n_iter_no_change": 8, "random_state": 0}
    return cls(hierarchy, **{**defaults, **params})


def corpus(kind, n=48):
    """Texts of three words each: two of the class's own and one of any class."""
    rng = np.random.default_rng(0)
    names = rng.permutation(np.arange(n) % 4)
    noise = " ".join(WORDS.values()).split()
    texts = [
        " ".join([*rng.choice(WORDS[NAMES[i]].split(), 2), *rng.choice(noise, 2)]) for i in names
    ]
    read, hierarchy = KINDS[kind]
    return np.array(texts, dtype=object), read([NAMES[i] for i in names]), hierarchy


def pipeline(hierarchy, **params):
    return make_pipeline(TfidfVectorizer(dtype=np.float32), make(hierarchy, **params))


@ALL_KINDS
@pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
def test_pipeline_of_texts_keeps_the_labels_and_passes_the_level(kind, cls):
    texts, y, hierarchy = corpus(kind)
    pipe = pipeline(hierarchy, cls=cls, max_iter=40, n_iter_no_change=40).fit(texts, y)
    y = np.asarray(y)
    assert pipe.classes_.dtype == y.dtype
    np.testing.assert_array_equal(pipe.classes_, np.unique(y))
    predicted = pipe.predict(texts)
    assert predicted.dtype == y.dtype
    assert np.mean(predicted == y) > 0.8
    name = {CODES[name]: name for name in NAMES} if kind == "int" else {n: n for n in NAMES}
    proba = dict(
        zip([name[c] for c in pipe.classes_.tolist()], pipe.predict_proba(texts).T, strict=True)
    )
    parents = pipe.predict_proba(texts, level=0)
    assert pipe[-1].hierarchy_.level(0) == ("strings", "wind")
    np.testing.assert_allclose(parents[:, 0], proba["cello"] + proba["viola"], rtol=1e-5)
    np.testing.assert_allclose(parents[:, 1], proba["flute"] + proba["horn"], rtol=1e-5)
    expected = np.where(parents[:, 0] >= parents[:, 1], "strings", "wind").tolist()
    assert pipe.predict(texts, level="parent").tolist() == expected


@ALL_KINDS
def test_cross_val_score_is_the_loop_written_out(kind):
    texts, y, hierarchy = corpus(kind)
    pipe, folds = pipeline(hierarchy), StratifiedKFold(3, shuffle=True, random_state=1)
    by_hand = {"accuracy": [], "f1_macro": [], "neg_log_loss": []}
    y = np.asarray(y)
    for train, test in folds.split(texts, y):
        fitted = clone(pipe).fit(texts[train], y[train])
        predicted, proba = fitted.predict(texts[test]), fitted.predict_proba(texts[test])
        by_hand["accuracy"].append(accuracy_score(y[test], predicted))
        by_hand["f1_macro"].append(f1_score(y[test], predicted, average="macro"))
        by_hand["neg_log_loss"].append(-log_loss(y[test], proba, labels=np.unique(y)))
    for scoring, expected in by_hand.items():
        scores = cross_val_score(pipe, texts, corpus(kind)[1], cv=folds, scoring=scoring)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


@ALL_KINDS
def test_grid_search_over_layers_and_branching(kind):
    texts, y, hierarchy = corpus(kind)
    pipe = pipeline(hierarchy)
    name = "hierarchicalsoftmaxclassifier__"
    layers = {name + "hidden_layer_sizes": [(), (6,)]}
    search = GridSearchCV(pipe, layers, cv=2, scoring="neg_log_loss").fit(texts, y)
    for sizes, score in zip([(), (6,)], search.cv_results_["mean_test_score"], strict=True):
        candidate = clone(pipe).set_params(**{name + "hidden_layer_sizes": sizes})
        expected = cross_val_score(candidate, texts, y, cv=2, scoring="neg_log_loss").mean()
        assert score == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(search.classes_, np.unique(y))

    induced = clone(pipe).set_params(**{name[:-2]: make(BalancedHierarchy())})
    tree = {name + "hierarchy__branching": [2, 4]}
    search = GridSearchCV(induced, tree, cv=2).fit(texts, y)
    branching = search.best_params_[name + "hierarchy__branching"]
    classes = np.unique(y).tolist()
    assert search.best_estimator_[-1].hierarchy_ == Hierarchy.balanced(classes, branching)


def test_grid_search_in_two_processes_is_grid_search_in_one():
    texts, y, hierarchy = corpus("str")
    grid = {"hierarchicalsoftmaxclassifier__hidden_layer_sizes": [(), (6,)]}
    one, two = (
        GridSearchCV(pipeline(hierarchy), grid, cv=2, scoring="neg_log_loss", n_jobs=n).fit(
            texts, y
        )
        for n in (1, 2)
    )
    # Not to the last bit: the processes may use another number of threads.
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], rtol=1e-5
    )
    np.testing.assert_allclose(one.predict_proba(texts), two.predict_proba(texts), rtol=1e-5)


@ALL_KINDS
def test_calibration(kind):
    texts, y, hierarchy = corpus(kind, n=96)
    pipe = pipeline(hierarchy, max_iter=30, n_iter_no_change=30)
    raw, calibrated = pipe.fit(texts, y), CalibratedClassifierCV(pipe, cv=3).fit(texts, y)
    np.testing.assert_array_equal(calibrated.classes_, np.unique(y))
    proba = calibrated.predict_proba(texts)
    assert np.mean(calibrated.predict(texts) == np.asarray(y)) > 0.6  # chance is 0.25
    # The same columns: each agrees with its own more than with any other.
    correlation = np.corrcoef(proba.T, raw.predict_proba(texts).T)[:4, 4:]
    assert correlation.argmax(axis=1).tolist() == [0, 1, 2, 3]
    # `level` cannot pass; adding up can.
    h = raw[-1].hierarchy_
    parents = h.aggregate(proba, calibrated.classes_, 0)
    strings = [list(calibrated.classes_).index(leaf) for leaf in h.children("strings")]
    np.testing.assert_allclose(parents[:, 0], proba[:, strings].sum(axis=1))


# -- copies


@pytest.mark.parametrize("form", ["Hierarchy", "dict"])
def test_clone_shares_a_hierarchy_and_copies_no_fit(form):
    texts, y, hierarchy = corpus("str")
    hierarchy = Hierarchy.from_dict(hierarchy) if form == "Hierarchy" else hierarchy
    clf = make(hierarchy, class_weight={"horn": 2.0}).fit(TfidfVectorizer().fit_transform(texts), y)
    copy = clone(clf)
    assert not hasattr(copy, "classes_")
    assert not hasattr(copy, "net_")
    params, copied = clf.get_params(), copy.get_params()
    if form == "Hierarchy":
        assert copied["hierarchy"] is hierarchy
    assert params == copied


@ALL_KINDS
def test_copies_by_pickle_and_joblib_predict_the_same(kind, tmp_path):
    texts, y, hierarchy = corpus(kind)
    pipe = pipeline(hierarchy, hidden_layer_sizes=(5,)).fit(texts, y)
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    for copy in (pickle.loads(pickle.dumps(pipe)), joblib.load(tmp_path / "pipe.joblib")):
        np.testing.assert_array_equal(copy.predict(texts), pipe.predict(texts))
        for level in (0, None):
            np.testing.assert_array_equal(
                copy.predict_proba(texts, level=level), pipe.predict_proba(texts, level=level)
            )
        assert copy[-1].hierarchy_ == pipe[-1].hierarchy_
        copy.fit(texts, y)
        np.testing.assert_array_equal(copy.predict_proba(texts), pipe.predict_proba(texts))


# -- names of features


def test_feature_names_come_from_frames_and_from_transformers():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 3)), columns=["length", "weight", "age"])
    y = np.array(NAMES)[np.arange(40) % 4]
    clf = make(INSTRUMENTS).fit(X, y)
    assert clf.feature_names_in_.tolist() == ["length", "weight", "age"]
    np.testing.assert_array_equal(
        clf.predict_proba(X), make(INSTRUMENTS).fit(X.to_numpy(), y).predict_proba(X.to_numpy())
    )
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), make(INSTRUMENTS))
    pipe.fit(X, y)
    assert pipe[-1].feature_names_in_.tolist() == ["length", "weight", "age"]
    plain = make_pipeline(StandardScaler(), make(INSTRUMENTS)).fit(X, y)
    np.testing.assert_allclose(pipe.predict_proba(X), plain.predict_proba(X), rtol=1e-9)
    assert not hasattr(plain[-1], "feature_names_in_")


# -- routing


def test_sample_weight_is_routed_through_pipelines_and_searches():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(48, 3)), np.array(NAMES)[np.arange(48) % 4]
    weight = rng.integers(0, 4, size=48).astype(float)
    scaler = StandardScaler()
    with config_context(enable_metadata_routing=True):
        scaler.set_fit_request(sample_weight=False)
        clf = make(INSTRUMENTS).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=True)
        pipe = make_pipeline(scaler, clf).fit(X, y, sample_weight=weight)
        search = GridSearchCV(
            make_pipeline(scaler, clf),
            {"hierarchicalsoftmaxclassifier__hidden_layer_sizes": [(), (4,)]},
            cv=StratifiedKFold(2),
        ).fit(X, y, sample_weight=weight)
        unasked = make(INSTRUMENTS).set_fit_request(sample_weight=False)
        without = make_pipeline(scaler, unasked).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    expected = make(INSTRUMENTS).fit(Z, y, sample_weight=weight).predict_proba(Z)
    np.testing.assert_allclose(pipe.predict_proba(X), expected, rtol=1e-9)
    assert abs(without.predict_proba(X) - expected).max() > 1e-3
    for sizes, score in zip([(), (4,)], search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in StratifiedKFold(2).split(X, y):
            scale = StandardScaler().fit(X[train])
            fold = make(INSTRUMENTS, hidden_layer_sizes=sizes)
            fold.fit(scale.transform(X[train]), y[train], sample_weight=weight[train])
            right = fold.predict(scale.transform(X[test])) == y[test]
            scores.append(np.average(right, weights=weight[test]))
        assert score == pytest.approx(np.mean(scores))


# -- meta-estimators that encode labels


CURE = r"hierarchy\.relabel\(\{c: i for i, c in enumerate\(np\.unique\(y\)\)\}\)"


def stacking(clf):
    return StackingClassifier([("a", clf), ("b", LogisticRegression())], cv=2)


def voting(clf):
    return VotingClassifier([("a", clf), ("b", LogisticRegression())], voting="soft")


class CrossVal:
    """`cross_val_predict` in the clothes of an estimator."""

    def __init__(self, clf):
        self.clf = clf

    def fit(self, X, y):
        self.proba = cross_val_predict(self.clf, X, y, cv=2, method="predict_proba")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[self.proba.argmax(axis=1)]


@pytest.mark.parametrize("kind", ["str", "object", "pandas"])
@pytest.mark.parametrize("meta", [stacking, voting, CrossVal])
def test_meta_estimators_that_encode_labels_print_a_cure_that_works(meta, kind):
    texts, y, hierarchy = corpus(kind)
    hierarchy = Hierarchy.from_dict(hierarchy)
    X = TfidfVectorizer().fit_transform(texts)
    slow = {"max_iter": 40, "n_iter_no_change": 40}
    with pytest.raises(ValueError, match=CURE):
        meta(make(hierarchy, **slow)).fit(X, y)
    cured = hierarchy.relabel({c: i for i, c in enumerate(np.unique(y))})
    fitted = meta(make(cured, **slow)).fit(X, y)
    predicted = fitted.predict(X)
    assert set(predicted) <= set(NAMES)
    assert np.mean(predicted == np.asarray(y)) > 0.6  # chance is 0.25
