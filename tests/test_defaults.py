"""What "auto" and None stand for, which depends on X, and the second training of ``refit``."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC
from skorch.callbacks import Callback, LRScheduler
from torch.optim.lr_scheduler import StepLR

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf.datasets import load_docstrings
from hierclf.losses import PathCrossEntropy
from hierclf.nn import LazyAdamW, LazyNovoGrad, LeanAdamW

TREE = {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d"]}
LEAVES = np.array(list("abcd"))
BOTH = pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])


def data(n=60, n_features=30, density=0.3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_features)) * (rng.random((n, n_features)) < density)
    codes = np.arange(n) % 4
    X[np.arange(n), codes] += 0.5
    return X, LEAVES[codes]


def weights(clf):
    return {name: value.clone() for name, value in clf.net_.module_.state_dict().items()}


def assert_same_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


# -- defaults


# 60 rows in batches of 16 are 4 steps: 50 epochs have 200. There are 15 of each class.
FEW = 0.1 * (15 / 20)


@BOTH
@pytest.mark.parametrize(
    ("layout", "params", "expected"),
    [
        (np.asarray, {}, (LeanAdamW, (100,), 1e-3, 200)),
        (np.asarray, {"hidden_layer_sizes": ()}, (LeanAdamW, (), 1e-3, 200)),
        (sp.csr_array, {}, (LazyNovoGrad, (), FEW, 50)),
        (sp.coo_matrix, {}, (LazyNovoGrad, (), FEW, 50)),
        (sp.csr_array, {"hidden_layer_sizes": ()}, (LazyNovoGrad, (), FEW, 50)),
        (sp.csr_array, {"batch_size": 59}, (LazyNovoGrad, (), FEW, 100)),
        (sp.csr_array, {"batch_size": 60}, (LazyNovoGrad, (), 0.1, 200)),
        (sp.csr_array, {"batch_size": 1}, (LazyNovoGrad, (), FEW, 4)),
        (sp.csr_array, {"early_stopping": True}, (LazyNovoGrad, (), FEW, 200)),
        (sp.csr_array, {"learning_rate_init": 0.02}, (LazyNovoGrad, (), 0.02, 50)),
        (sp.csr_array, {"max_iter": 9}, (LazyNovoGrad, (), FEW, 9)),
        (sp.csr_array, {"hidden_layer_sizes": 5}, (LazyAdamW, (5,), 1e-3, 200)),
        (sp.csr_array, {"optimizer": "adamw"}, (LazyAdamW, (), 1e-3, 200)),
        (sp.csr_array, {"optimizer": "sgd"}, (torch.optim.SGD, (), 1e-3, 200)),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_the_defaults_stand_for(cls, layout, params, expected):
    X, y = data()
    clf = cls(TREE, tol=1.0, random_state=0, **{"batch_size": 16, **params}).fit(layout(X), y)
    net = clf.net_
    assert (net.optimizer, net.module__hidden_layer_sizes, net.lr, net.max_epochs) == expected
    # and the parameters are as they were given
    assert clf.get_params()["max_iter"] == params.get("max_iter", "auto")


def test_many_rows_are_read_three_times_and_rows_without_weight_do_not_count():
    X, y = data(n=350)
    clf = HierarchicalSoftmaxClassifier(TREE, batch_size=1).fit(sp.csr_array(X), y)
    assert clf.n_iter_ == 3
    weight = np.arange(350) < 50
    clf.fit(sp.csr_array(X), y, sample_weight=weight)
    assert clf.net_.max_epochs == 4


@BOTH
def test_the_defaults_on_sparse_rows_are_those_that_the_documentation_names(cls):
    X, y = data()
    X = sp.csr_array(X)
    auto = cls(TREE, batch_size=16, random_state=0).fit(X, y)
    given = cls(
        TREE, batch_size=16, random_state=0, hidden_layer_sizes=(), optimizer="auto",
        learning_rate_init=FEW, max_iter=50, n_iter_no_change=50,
    ).fit(X, y)  # fmt: skip
    assert auto.n_iter_ == 50
    assert_same_weights(auto, given)


@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.parametrize(
    ("n_per_class", "params", "expected"),
    [
        (40, {}, 0.1),
        (10, {}, 0.05),
        (10, {"batch_size": 2000}, 0.1),  # all samples at once
        (10, {"learning_rate_init": 0.2}, 0.2),
        (2, {}, 0.01),
        (1, {}, 0.01),
    ],
)
def test_the_rate_of_a_linear_model_is_less_where_classes_have_few_samples(
    n_per_class, params, expected
):
    numbers = np.repeat(np.arange(200), n_per_class)
    X, y = sp.csr_matrix(np.eye(200, dtype=np.float32)[numbers]), numbers.astype(str)
    once = {"max_iter": 1, "n_iter_no_change": 1, "random_state": 0}
    fitted = FlatSoftmaxClassifier(**once, **params).fit(X, y)
    assert fitted.net_.lr == pytest.approx(expected)
    part = FlatSoftmaxClassifier(**once, **params).partial_fit(X[:200], y[:200], classes=y)
    assert part.net_.lr == params.get("learning_rate_init", 0.1)  # a block tells nothing


def test_a_planned_number_of_epochs_is_no_reason_to_warn():
    X, y = data()
    clf = HierarchicalSoftmaxClassifier(TREE, batch_size=16, random_state=0)
    assert clf.fit(sp.csr_array(X), y).n_iter_ == 50  # warnings are errors here
    # The number of epochs regularises this model: a search over it is no reason either.
    assert clf.set_params(max_iter=7).fit(sp.csr_array(X), y).n_iter_ == 7
    with pytest.warns(ConvergenceWarning, match="max_iter=200 "):
        clf.set_params(max_iter="auto", tol=0.0).fit(X, y)


def test_an_encoder_has_no_hidden_layer_behind_it_by_default():
    X, y = data()
    clf = HierarchicalSoftmaxClassifier(
        TREE, encoder=torch.nn.Linear(30, 3), max_iter=2, n_iter_no_change=2
    ).fit(X.astype(np.float32), y)
    assert clf.net_.module__hidden_layer_sizes == ()
    assert clf.net_.lr == 1e-3


@pytest.mark.parametrize(("adjustment", "margin"), [(0.0, 0.035), (0.5, 0.025)])
@BOTH
def test_the_first_model_is_about_as_good_as_a_linear_support_vector_machine(
    cls, adjustment, margin
):
    texts, target, hierarchy = (load_docstrings()[key] for key in ("data", "target", "hierarchy"))
    X_train, X_test, y_train, y_test = train_test_split(
        texts, target, test_size=0.25, stratify=target, random_state=0
    )
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32)
    X_train, X_test = vectorizer.fit_transform(X_train), vectorizer.transform(X_test)
    # A hidden layer of 100 units with early stopping is 0.05 behind in both.
    clf = cls(hierarchy, loss=PathCrossEntropy(logit_adjustment=adjustment), random_state=0)
    scores = {}
    for model in (clf, LinearSVC(random_state=0)):
        predicted = model.fit(X_train, y_train).predict(X_test)
        f1 = f1_score(y_test, predicted, average="macro", zero_division=0)
        scores[type(model)] = np.array([f1, np.mean(predicted == y_test)])
    assert (scores[cls] > scores[LinearSVC] - margin).all()


def test_dropout_is_refused_where_the_default_has_nothing_to_drop():
    X, y = data()
    clf = HierarchicalSoftmaxClassifier(TREE, dropout=0.2, max_iter=2, n_iter_no_change=2)
    with pytest.raises(ValueError, match=r"dropout=0.2 .* give hidden_layer_sizes=\(100,\)"):
        clf.fit(sp.csr_array(X), y)
    clf.fit(X, y)
    clf.set_params(hidden_layer_sizes=5).fit(sp.csr_array(X), y)


# -- defaults and warm starts


@pytest.mark.parametrize("is_saved", [False, True])
def test_a_warm_start_keeps_the_layers_and_the_rate_that_its_first_rows_chose(is_saved):
    X, y = data()
    params = {"max_iter": 3, "n_iter_no_change": 3, "batch_size": 16, "random_state": 0}
    once = HierarchicalSoftmaxClassifier(TREE, **params | {"max_iter": 6, "n_iter_no_change": 6})
    once.fit(sp.csr_array(X), y)
    twice = HierarchicalSoftmaxClassifier(TREE, **params, warm_start=True).fit(sp.csr_array(X), y)
    if is_saved:
        twice = pickle.loads(pickle.dumps(twice))
    assert_same_weights(once, twice.fit(sp.csr_array(X), y))
    twice.fit(X, y)  # dense rows of the same features
    assert (twice.n_iter_, twice.net_.lr, twice.net_.module__hidden_layer_sizes) == (9, FEW, ())
    with pytest.raises(ValueError, match=r"hidden_layer_sizes was \(\) and is now \(100,\)"):
        twice.set_params(hidden_layer_sizes=(100,)).fit(X, y)


# -- refit


class Log(Callback):
    """Remembers the trainings it took part in: a class attribute, since callbacks are copied."""

    trainings = ()

    def on_train_begin(self, net, X, **kwargs):
        Log.trainings += ([len(X)],)

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        Log.trainings[-1].append(dataset_valid is not None)


CASES = {
    "dense": {"hidden_layer_sizes": (6,), "learning_rate_init": 0.03, "dropout": 0.3},
    "sparse": {"learning_rate_init": 0.02},
    "class_weight": {"class_weight": "balanced", "learning_rate_init": 0.01},
    "callback": {
        "learning_rate_init": 0.01,
        "callbacks": [LRScheduler(StepLR, step_size=2, gamma=0.5)],
    },
    "encoder, a function": {"encoder": lambda: torch.nn.Linear(30, 3, dtype=torch.float64)},
    "encoder, an instance": {
        "encoder": torch.nn.Linear(30, 3, dtype=torch.float64),
        "learning_rate_init": 0.02,
    },
}


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_refit_is_a_fit_to_all_rows_for_the_best_number_of_epochs(cls, case, weighted):
    X, y = data(80)
    X = sp.csr_array(X) if case == "sparse" else X
    weight = np.random.default_rng(1).uniform(0, 2, 80) if weighted else None
    params = {"hierarchy": TREE, "batch_size": 16, "random_state": 0, "learning_rate_init": 0.05}
    params |= {"tol": 0.0, "n_iter_no_change": 4, "max_iter": 100} | CASES[case]
    search = {"early_stopping": True, "validation_fraction": 0.3}
    found = cls(**params, **search).fit(X, y, sample_weight=weight)
    best = int(np.argmin(found.net_.history[:, "valid_loss"])) + 1
    assert 1 < best < found.n_iter_

    refitted = cls(**params, **search, refit=True).fit(X, y, sample_weight=weight)
    fixed = params | {"max_iter": best, "n_iter_no_change": best}
    expected = cls(**fixed).fit(X, y, sample_weight=weight)
    assert_same_weights(refitted, expected)
    assert refitted.loss_curve_ == expected.loss_curve_
    assert refitted.n_iter_ == best
    np.testing.assert_array_equal(refitted.predict_proba(X), expected.predict_proba(X))
    assert not np.array_equal(refitted.predict_proba(X), found.predict_proba(X))


def test_callbacks_take_part_in_both_trainings():
    X, y = data(80)
    params = {"early_stopping": True, "validation_fraction": 0.25, "max_iter": 40}
    params |= {"learning_rate_init": 0.05, "random_state": 0}
    Log.trainings = ()
    clf = HierarchicalSoftmaxClassifier(TREE, **params, refit=True, callbacks=[Log()]).fit(X, y)
    (n_first, *first), (n_second, *second) = Log.trainings
    assert (n_first, n_second) == (60, 80)
    assert all(first)
    assert not any(second)
    assert len(first) > len(second) == clf.n_iter_


def test_a_refit_trains_on_until_its_last_epoch_though_the_loss_stands_still():
    X, y = data(80)
    clf = HierarchicalSoftmaxClassifier(
        TREE, early_stopping=True, refit=True, tol=0.0, n_iter_no_change=1, max_iter=12,
        batch_size=80, learning_rate_init=1e-12, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert np.ptp(clf.loss_curve_) < 1e-8
    found = HierarchicalSoftmaxClassifier(**clf.get_params() | {"refit": False}).fit(X, y)
    assert clf.n_iter_ == int(np.argmin(found.net_.history[:, "valid_loss"])) + 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"refit": True}, "refit=True .* set early_stopping=True, or refit=False"),
        (
            {"refit": True, "early_stopping": True, "warm_start": True},
            "refit=True trains anew and warm_start=True goes on",
        ),
        ({"refit": "yes"}, "'refit' parameter .* Got 'yes'"),
        ({"max_iter": "all"}, "'max_iter' parameter .* Got 'all'"),
        ({"learning_rate_init": None}, "'learning_rate_init' parameter .* Got None"),
    ],
)
def test_what_is_refused(params, message):
    X, y = data()
    clf = HierarchicalSoftmaxClassifier(TREE, **params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


@BOTH
def test_the_loss_of_a_linear_model_of_sparse_features_is_adjusted(cls):
    X, y = data()
    y = y[[*range(0, 60, 4), *range(0, 60, 4), *range(30)]]  # classes of unequal size
    common = {"random_state": 0, "n_iter_no_change": 1000}
    for layout, params, adjustment in (
        (sp.csr_array, {}, 0.5),
        (sp.csr_array, {"early_stopping": True}, 0.5),
        (np.asarray, {"hidden_layer_sizes": (), "max_iter": 5}, 0.0),
        (sp.csr_array, {"optimizer": "adamw", "max_iter": 5}, 0.0),
        (sp.csr_array, {"hidden_layer_sizes": 4, "max_iter": 5}, 0.0),
    ):
        default = cls(TREE, **common, **params).fit(layout(X), y)
        loss = PathCrossEntropy(logit_adjustment=adjustment)
        assert_same_weights(default, cls(TREE, loss=loss, **common, **params).fit(layout(X), y))
        assert default.loss is None
