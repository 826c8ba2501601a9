"""What is refused, before any work, and the message that says why."""

import re
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning, NotFittedError

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.calibration import TemperatureScalingClassifier
from hierclf.decisions import Argmax, InformationGainClassifier, Threshold
from hierclf.encoders import BaseEncoder
from hierclf.losses import HierarchicalCrossEntropy, PathCrossEntropy

TREE = {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d"]}
BOTH = pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
X = np.random.default_rng(0).normal(size=(24, 3))
Y = np.array(list("abcd"))[np.arange(24) % 4]
METHODS = ["predict", "predict_proba", "predict_log_proba", "predict_node_proba", "predict_path"]


def make(cls=HierarchicalSoftmaxClassifier, **params):
    defaults = {"hierarchy": TREE, "hidden_layer_sizes": (4,), "random_state": 0}
    return cls(**{**defaults, **params}, max_iter=2, n_iter_no_change=2)


def with_nan(X):
    X = X.copy()
    X[3, 1] = np.nan
    return X


def replaced(label):
    return np.array([label, *Y[1:]], dtype=object)


CASES = {
    # labels
    "unknown label": ({}, {"y": replaced("zebra")}, "not in the hierarchy: 'zebra'"),
    "root label": ({}, {"y": replaced("root")}, "the root 'root' is not a class"),
    "encoded": ({}, {"y": np.arange(24) % 4}, r"0, 1, 2, 3\. .*look encoded.*relabel"),
    "longer y": ({}, {"y": [*Y, "a"]}, r"inconsistent numbers of samples: \[24, 25\]"),
    "two columns": (
        {},
        {"y": np.stack([Y, Y], axis=1)},
        "row 0, step 1: 'a' is not a child of 'a'; it is a leaf; 'a' is below 'root'",
    ),
    "continuous y": ({"hierarchy": None}, {"y": X[:, 0]}, "Unknown label type: continuous"),
    "NaN in y": (
        {"hierarchy": None},
        {"y": np.where(Y == "a", np.nan, 1.0)},
        "Input y contains NaN",
    ),
    "no y": ({}, {"y": None}, "requires y to be passed"),
    # features
    "NaN": ({}, {"X": with_nan(X)}, "Input X contains NaN"),
    "sparse NaN": ({}, {"X": sp.csr_array(with_nan(X))}, "Input X contains NaN"),
    "infinity": ({}, {"X": np.where(X.max() == X, np.inf, X)}, "Input X contains infinity"),
    "one row": ({}, {"X": X[0]}, "Expected 2D array, got 1D array"),
    "no rows": ({}, {"X": X[:0], "y": Y[:0]}, r"0 sample\(s\)"),
    "texts": ({}, {"X": [["some"], ["text"]] * 12}, "could not convert string to float: 'some'"),
    # weights
    "zero weights": (
        {},
        {"sample_weight": np.zeros(24)},
        "at least one non-zero|sample_weight is 0",
    ),
    "negative weight": (
        {},
        {"sample_weight": [-1.0] + [1.0] * 23},
        "Negative values .*sample_weight",
    ),
    "fewer weights": (
        {},
        {"sample_weight": np.ones(23)},
        r"sample_weight.shape == \(23,\), expected \(24,\)",
    ),
    "weights in 2-D": ({}, {"sample_weight": np.ones((24, 1))}, "(?i)sample weights must be 1D"),
    "NaN weight": ({}, {"sample_weight": [np.nan] * 24}, "sample_weight contains NaN"),
    "no class": (
        {"class_weight": {"q": 1}},
        {},
        r"keys that are no labels: \['q'\].*'a', 'b', 'c'",
    ),
    "root class": ({"class_weight": {"root": 2}}, {}, r"keys that are no labels: \['root'\]"),
    "negative class": ({"class_weight": {"b": -2}}, {}, "finite and not negative, got -2 for 'b'"),
    "NaN class": ({"class_weight": {"b": np.nan}}, {}, "finite and not negative, got nan for 'b'"),
    "zero classes": (
        {"class_weight": dict.fromkeys("abcd", 0)},
        {},
        "class weights of all classes in y are 0",
    ),
    "a word": ({"class_weight": "even"}, {}, "'class_weight' parameter .*'even'"),
    # the network
    "size 0": ({"hidden_layer_sizes": 0}, {}, "'hidden_layer_sizes' parameter .* Got 0"),
    "a size of 0": ({"hidden_layer_sizes": (5, 0)}, {}, r"at least 1, got 0 in \(5, 0\)"),
    "negative size": ({"hidden_layer_sizes": [-5]}, {}, r"at least 1, got -5 in"),
    "float size": (
        {"hidden_layer_sizes": (5, 2.5)},
        {},
        r"integers of at least 1, got 2.5 in \(5, 2.5\)",
    ),
    "float": ({"hidden_layer_sizes": 2.5}, {}, "'hidden_layer_sizes' parameter .* Got 2.5"),
    "bool size": ({"hidden_layer_sizes": (True,)}, {}, "got True in"),
    "nested": ({"hidden_layer_sizes": [[5], [4, 3]]}, {}, r"integers of at least 1, got \[5\] in"),
    "activation": ({"activation": "step"}, {}, "'activation' parameter .*relu.* Got 'step'"),
    "dropout of 1": ({"dropout": 1.0}, {}, r"'dropout' parameter .*\[0.0, 1.0\). Got 1.0"),
    "dropout below 0": ({"dropout": -0.1}, {}, "'dropout' parameter"),
    # training
    "optimizer": ({"optimizer": "lbfgs"}, {}, "'optimizer' parameter .*adamw.* Got 'lbfgs'"),
    "LBFGS": (
        {"optimizer": torch.optim.LBFGS},
        {},
        "optimizer=.*LBFGS.* unexpected keyword argument 'weight_decay'.*such as torch.optim.AdamW",
    ),
    "closure": (
        {"optimizer": lambda weights, lr, weight_decay: torch.optim.LBFGS(weights, lr)},
        {},
        "optimizer=.* its step needs a closure. Give the class",
    ),
    "bound": (
        {"optimizer": partial(torch.optim.RMSprop, alpha=-2)},
        {},
        "optimizer=.*RMSprop.* Invalid alpha value: -2",
    ),
    "no optimizer": (
        {"optimizer": lambda weights, lr, weight_decay: "AdamW"},
        {},
        "optimizer=.* it returns 'AdamW'",
    ),
    "text weights": (
        {"loss": PathCrossEntropy(level_weights=["1", "2"])},
        {},
        r"level_weights must hold numbers, got \['1', '2'\]",
    ),
    "ragged weights": (
        {"loss": PathCrossEntropy(level_weights=[[1], [2, 3]])},
        {},
        r"level_weights must hold numbers, got \[\[1\], \[2, 3\]\]",
    ),
    "None as weight": (
        {"loss": PathCrossEntropy(level_weights=[1, None])},
        {},
        r"level_weights must hold numbers, got \[1, None\]",
    ),
    "learning rate": ({"learning_rate_init": 0.0}, {}, "'learning_rate_init' parameter"),
    "weight decay": ({"weight_decay": -1e-4}, {}, "'weight_decay' parameter"),
    "batch size": ({"batch_size": 0}, {}, "'batch_size' parameter"),
    "tol": ({"tol": -1.0}, {}, "'tol' parameter"),
    "fraction": ({"validation_fraction": 1.0}, {}, "'validation_fraction' parameter"),
    "callback": ({"callbacks": ["early"]}, {}, r"callbacks must hold skorch callbacks .*'early'"),
    "named": ({"callbacks": [("stop", 3)]}, {}, r"callbacks must hold .*\('stop', 3\)"),
    "seed": ({"random_state": "x"}, {}, "'random_state' parameter"),
    "device": (
        {"device": "abacus"},
        {},
        "unknown device 'abacus': use 'cpu', 'cuda', 'mps' or 'auto'",
    ),
    "index": ({"device": "cuda:one"}, {}, "unknown device 'cuda:one'"),
    "singletons": (
        {"early_stopping": True},
        {"X": X[:4], "y": Y[:4]},
        "every class has one; use early_stopping=False",
    ),
    # the hierarchy
    "cycle": ({"hierarchy": [("r", "a"), ("a", "b"), ("b", "a")]}, {}, "cycle"),
    "string": ({"hierarchy": {"root": "abcd"}}, {}, "from_parents"),
    "number": ({"hierarchy": 3}, {}, "expected a hierarchy.*got 3"),
}


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_bad_input_of_fit_is_refused_by_name_and_changes_nothing(cls, case):
    params, changes, message = CASES[case]
    arguments = {"X": X, "y": Y, **changes}
    clf = make(cls, **params)
    before, given = dict(vars(clf)), dict(arguments)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(**arguments)
    assert vars(clf) == before
    assert all(clf.get_params()[name] is value for name, value in params.items())
    assert all(arguments[name] is value for name, value in given.items())

    # The same on a refit: the fitted model stays as it was, and works.
    good = make(cls).fit(X, Y)
    proba = good.predict_proba(X)
    good.set_params(**params)
    before = dict(vars(good))
    with pytest.raises((ValueError, TypeError), match=message):
        good.fit(**arguments)
    assert vars(good).keys() == before.keys()
    assert all(vars(good)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(good.predict_proba(X), proba)


class Work(Exception):  # noqa: N818, not an error
    """Something was tokenised, or a hierarchy built."""


class Tokenized(BaseEncoder):
    input_kind = "texts"

    def build_tokenizer(self):
        raise Work


class Induced(BaseEstimator):
    def fit(self, X, y):
        raise Work


@BOTH
@pytest.mark.parametrize(
    "worker", [{"encoder": Tokenized(), "hidden_layer_sizes": ()}, {"hierarchy": Induced()}]
)
def test_parameters_are_refused_before_any_work(cls, worker):
    data = (["text"] * 24 if "encoder" in worker else X), Y
    with pytest.raises(Work):
        make(cls, **worker).fit(*data)
    names = ["callback", "named", "device", "activation", "a size of 0", "LBFGS", "closure"]
    if "encoder" in worker:
        names += ["cycle", "string", "number"]
    cases = [CASES[name] for name in names]
    cases += [
        ({"loss": HierarchicalCrossEntropy(-1)}, {}, "'alpha' parameter"),
        ({"loss": Argmax()}, {}, "loss must be None"),
        ({"decision": Threshold(2.0)}, {}, "'threshold' parameter"),
    ]
    for params, _, message in cases:
        with pytest.raises((ValueError, TypeError), match=message):
            make(cls, **{**worker, **params}).fit(*data)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(
            ValueError, match=f"device '{device}' is not available here; use 'auto'"
        ):
            make(device=device).fit(X, Y)
    auto = make(device="auto").fit(X, Y)
    np.testing.assert_array_equal(auto.predict_proba(X), make().fit(X, Y).predict_proba(X))


def test_many_unknown_labels_are_cut_short():
    labels = np.array([f"label {i}" for i in range(24)])
    rows = np.repeat(X, 3, axis=0)
    with pytest.raises(ValueError, match="'label 0', 'label 1'") as error:
        make().fit(rows, np.repeat(labels, 3))
    assert len(str(error.value)) < 300


@BOTH
def test_parameters_are_what_was_given_after_a_fit(cls):
    params = {
        "hierarchy": TREE, "hidden_layer_sizes": [4], "class_weight": {"a": 2}, "callbacks": [],
        "random_state": np.random.RandomState(0),
    }  # fmt: skip
    clf = make(cls, **params).fit(X, Y)
    assert all(clf.get_params()[name] is value for name, value in params.items())
    assert TREE == {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d"]}
    assert params["class_weight"] == {"a": 2}
    assert params["hidden_layer_sizes"] == [4]


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        clf = make().fit(X, Y[:, None])
    np.testing.assert_array_equal(clf.predict_proba(X), make().fit(X, Y).predict_proba(X))


# -- predicting


@BOTH
@pytest.mark.parametrize("method", METHODS)
def test_predicting_is_refused_before_fit_and_with_other_columns(cls, method):
    pd = pytest.importorskip("pandas")
    with pytest.raises(NotFittedError, match=f"This {cls.__name__} instance is not fitted yet"):
        getattr(make(cls), method)(X)
    clf = make(cls).fit(pd.DataFrame(X, columns=["p", "q", "r"]), Y)
    for rows, message in [
        (
            pd.DataFrame(X, columns=["p", "q", "s"]),
            "feature names should match .*\n.*unseen.*\n- s",
        ),
        (pd.DataFrame(X[:, [0, 2, 1]], columns=["p", "r", "q"]), "must be in the same order"),
        (pd.DataFrame(X[:, :2], columns=["p", "q"]), "missing:\n- r"),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(clf, method)(rows)
    clf = make(cls).fit(X, Y)
    for rows, message in [
        (X[:, :2], f"X has 2 features, but {cls.__name__} is expecting 3"),
        (sp.csr_array(X[:, :2]), f"X has 2 features, but {cls.__name__} is expecting 3"),
        (with_nan(X), "Input X contains NaN"),
        (X[0], "Expected 2D array"),
        (X[:0], r"0 sample\(s\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(clf, method)(rows)


# scikit-learn adds the values up.
LARGE = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")


def trained(cls, dtype, **params):
    """A classifier with weights as training leaves them: above 1, and of both signs."""
    clf = cls(TREE, random_state=0, max_iter=60, n_iter_no_change=60, learning_rate_init=0.3)
    return clf.set_params(**params).fit((X * 3).astype(dtype), Y)


@LARGE
@BOTH
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 3.4e38), (np.float64, 1.7e308)])
@pytest.mark.parametrize("decision", ["argmax", "top_down", "threshold"])
def test_features_that_overflow_are_refused_by_row(cls, form, dtype, large, decision):
    clf = trained(cls, dtype, decision=decision)
    rows = np.repeat(X[:1], 40, axis=0).astype(dtype)
    rows[33] = [large, -large, large]
    weights = [p.detach().double().numpy() for p in clf.net_.module_.parameters()]
    assert abs(weights[0]).max() > 1
    message = rf"row 33 of X overflows {np.dtype(dtype)}; the row holds {large:.3g}: scale"
    calls = [(method, {}) for method in METHODS]
    if decision != "threshold":
        calls += [(method, {"level": level}) for method in METHODS[:3] for level in (0, "leaf")]
    for method, level in calls:
        with pytest.raises(ValueError, match=message.replace("+", r"\+")):
            getattr(clf, method)(form(rows), **level)
    kept = np.delete(rows, 33, axis=0)
    assert np.isfinite(clf.predict_proba(form(kept))).all()


@LARGE
@BOTH
def test_large_features_are_computed_with_as_long_as_they_can_be(cls):
    """Certainty is no error: probabilities of 1 and 0, and logarithms far below 0."""
    clf = trained(cls, np.float64, hidden_layer_sizes=())
    rows = np.array([[1e300, 0, 0], [0, -1e300, 0]])
    proba, log_proba = clf.predict_proba(rows), clf.predict_log_proba(rows)
    weight = clf.net_.module_.head.linear.weight.detach().numpy()
    logits = np.vstack([weight[0], -weight[1]])
    nodes = clf.hierarchy_.nodes if cls is HierarchicalSoftmaxClassifier else clf.classes_
    logit = dict(zip(nodes, logits.T, strict=True))
    groups = [["a", "x", "y"], ["b", "c"]] if "x" in logit else [list("abcd")]
    for row in range(2):
        best = [max(group, key=lambda node: logit[node][row]) for group in groups]
        node = best[0]
        while node in ("x", "y"):
            node = "d" if node == "y" else best[1]
        assert clf.predict(rows)[row] == node
        np.testing.assert_array_equal(proba[row], clf.classes_ == node)
    np.testing.assert_array_equal(log_proba < -1e298, proba == 0)


@LARGE
@pytest.mark.parametrize(
    "around",
    [
        lambda clf: InformationGainClassifier(clf, 0.5, cv="prefit"),
        lambda clf: InformationGainClassifier(clf, 0.5, cv="prefit", reject_label="none"),
        lambda clf: TemperatureScalingClassifier(clf, cv="prefit"),
    ],
)
def test_a_classifier_around_another_does_not_hide_an_overflow(around):
    clf = around(trained(HierarchicalSoftmaxClassifier, np.float32)).fit(np.float32(X * 3), Y)
    rows = np.float32(X[:3])
    rows[1] = [3.4e38, -3.4e38, 3.4e38]
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(ValueError, match="row 1 of X overflows float32"):
            getattr(clf, method)(rows)


def test_an_encoder_whose_output_is_nan_is_named():
    class Root(torch.nn.Module):
        def forward(self, x):
            return x.sqrt()

    clf = make(encoder=Root, hidden_layer_sizes=()).fit(abs(X), Y)
    for method in METHODS:
        with pytest.raises(ValueError, match="row 2 of X overflows float64; its encoder returns"):
            getattr(clf, method)(np.vstack([abs(X[:2]), [[1, 1, -1.0]]]))


@BOTH
@pytest.mark.parametrize("method", METHODS[:3])
@pytest.mark.parametrize(
    ("tree", "level", "message"),
    [
        (TREE, 2, "no level 2: the levels are 0 to 1, from the top, or -1 to -2, from the leaves"),
        (TREE, -3, "no level -3: the levels are 0 to 1"),
        (TREE, "top", 'level must be an integer, "leaf" or "parent", got \'top\''),
        (TREE, 1.0, "level must be an integer"),
        (TREE, True, "level must be an integer"),
        (None, "parent", "no level 'parent': the levels are 0 to 0"),
        (None, 1, "no level 1: the levels are 0 to 0"),
    ],
)
def test_a_level_that_does_not_exist_is_refused(cls, method, tree, level, message):
    clf = make(cls, hierarchy=tree).fit(X, Y)
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(clf, method)(X, level=level)
