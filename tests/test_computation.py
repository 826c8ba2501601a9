"""``computation=``: which softmaxes training computes, and that the model is the same."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from skorch.callbacks import GradientNormClipping

import hierclf.classifiers._computation as rule
import hierclf.nn._fast
from hierclf import HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.losses import PathCrossEntropy, SoftLabelCrossEntropy
from hierclf.nn import (
    DAGSoftmax,
    HierarchicalSoftmax,
    LazyAdamW,
    LazyRowwiseAdagrad,
    LeanAdamW,
    PathSoftmax,
)

TREE = Hierarchy.balanced(range(12), 3)
FORMS = [
    pytest.param(
        True,
        id="numba",
        marks=pytest.mark.skipif(not hierclf.nn._fast.has_numba(), reason="needs numba"),
    ),
    pytest.param(False, id="torch"),
]


def rows(n_rows=60, dtype=np.float64):
    rng = np.random.default_rng(0)
    y = np.resize(np.arange(12), n_rows)
    X = rng.standard_normal((12, 5))[y] + 0.3 * rng.standard_normal((n_rows, 5))
    return X.astype(dtype), y


def classifier(**params):
    defaults = {"max_iter": 4, "n_iter_no_change": 4, "random_state": 0, "batch_size": 60}
    return HierarchicalSoftmaxClassifier(TREE, **{**defaults, **params})


def without_numba(monkeypatch, loops):
    if not loops:
        monkeypatch.setattr(hierclf.nn._fast, "has_numba", lambda: False)


@pytest.mark.parametrize("loops", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes", [(), (7,)])
@pytest.mark.parametrize(
    "loss", [None, PathCrossEntropy(level_weights=[2.0, 1.0, 0.5], label_smoothing=0.1)]
)
def test_where_a_batch_has_all_classes_path_and_dense_are_one(
    loops, dtype, sizes, loss, monkeypatch
):
    without_numba(monkeypatch, loops)
    X, y = rows(dtype=dtype)
    weight = np.linspace(0.5, 2, len(y))
    fitted = [
        classifier(computation=computation, hidden_layer_sizes=sizes, loss=loss).fit(X, y, weight)
        for computation in ("dense", "path")
    ]
    dense, path = fitted
    assert type(dense.net_.module_.head) is HierarchicalSoftmax
    assert type(path.net_.module_.head) is PathSoftmax
    tol = 1e-5 if dtype == np.float32 else 1e-9
    np.testing.assert_allclose(path.loss_curve_, dense.loss_curve_, rtol=tol)
    np.testing.assert_allclose(path.predict_proba(X), dense.predict_proba(X), rtol=0, atol=tol)
    state = dense.net_.module_.state_dict()
    path.net_.module_.load_state_dict(state)
    assert np.array_equal(path.predict_proba(X), dense.predict_proba(X))
    for name, values in path.net_.module_.state_dict().items():
        assert torch.equal(values, state[name])


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
@pytest.mark.parametrize("sizes", [(), (7,)])
def test_numba_changes_nothing_but_speed(optimizer, sizes, monkeypatch):
    X, y = rows()
    y = np.where(y == 3, 2, y)  # and a class that has no samples
    params = {"batch_size": 7, "optimizer": optimizer, "hidden_layer_sizes": sizes}
    params |= {"computation": "path", "early_stopping": True, "max_iter": 12}
    fitted = [classifier(**params).fit(X, y)]
    without_numba(monkeypatch, False)
    fitted.append(classifier(**params).fit(X, y))
    with_loops, without = fitted
    np.testing.assert_allclose(with_loops.predict_proba(X), without.predict_proba(X), atol=1e-9)
    valid = [clf.net_.history[:, "valid_loss"] for clf in fitted]
    np.testing.assert_allclose(*valid, rtol=1e-8)


def test_rows_that_are_seldom_visited_have_decayed_as_often():
    """Without a gradient, decay is all that moves a weight: from the start to the end."""
    tree = Hierarchy.from_dict({"a": ["b", "c"], "d": ["e", "f"]})
    X, y = np.zeros((40, 2)), np.array(["b"] * 38 + ["e", "f"])
    params = {"batch_size": 4, "learning_rate_init": 0.01, "weight_decay": 0.5}
    params |= {"hidden_layer_sizes": (), "computation": "path", "random_state": 0}
    clf = HierarchicalSoftmaxClassifier(tree, max_iter=3, n_iter_no_change=3, **params).fit(X, y)
    start = PathSoftmax(2, clf.hierarchy_, generator=torch.Generator(), dtype=torch.float64)
    assert start.linear.weight.shape == clf.net_.module_.head.linear.weight.shape
    net = clf.net_
    net.initialize()
    before = net.module_.head.linear.weight.detach().clone()
    clf.fit(X, y)
    after = clf.net_.module_.head.linear.weight.detach()
    n_steps = 3 * 10
    torch.testing.assert_close(after, before * (1 - 0.01 * 0.5) ** n_steps)


def test_auto_is_path_where_the_rule_says_so(monkeypatch):
    X, y = rows()

    def head(**params):
        return type(classifier(max_iter=1, **params).fit(X, y).net_.module_.head)

    assert head() is HierarchicalSoftmax  # 18 nodes, 60 rows
    with monkeypatch.context() as patch:  # a fit that is long enough to load numba for
        patch.setattr(rule, "_LEAST_VISITS", 120)
        patch.setattr(rule, "has_numba", lambda: True)
        assert head() is HierarchicalSoftmax
        twice = classifier(max_iter=2, n_iter_no_change=2).fit(X, y)
        assert type(twice.net_.module_.head) is PathSoftmax
        patch.setattr(rule, "has_numba", lambda: False)
        twice = classifier(max_iter=2, n_iter_no_change=2).fit(X, y)
        assert type(twice.net_.module_.head) is HierarchicalSoftmax
    monkeypatch.setattr(rule, "_LEAST_WORK", (18 * 60, 18 * 60))
    monkeypatch.setattr(rule, "_LEAST_SHARE", (1.0, 1.0))
    assert head() is PathSoftmax
    assert head(optimizer="adagrad") is PathSoftmax
    assert head(batch_size=59) is HierarchicalSoftmax
    assert head(batch_size=100) is PathSoftmax
    assert head(computation="dense") is HierarchicalSoftmax
    assert head(optimizer="adam") is HierarchicalSoftmax
    assert head(optimizer=torch.optim.AdamW) is HierarchicalSoftmax
    assert head(loss=SoftLabelCrossEntropy()) is HierarchicalSoftmax
    monkeypatch.setattr(rule, "_LEAST_WORK", (1, 18 * 60 + 1))
    monkeypatch.setattr(rule, "has_numba", lambda: False)
    assert head() is HierarchicalSoftmax
    monkeypatch.setattr(rule, "has_numba", lambda: True)
    assert head() is PathSoftmax
    # The softmaxes on each path have 2 + 2 + 3 nodes, of 18.
    monkeypatch.setattr(rule, "_LEAST_SHARE", (2.5, 2.5))
    assert head() is PathSoftmax
    monkeypatch.setattr(rule, "_LEAST_SHARE", (2.6, 2.6))
    assert head() is HierarchicalSoftmax


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [("auto", LazyAdamW), ("adamw", LazyAdamW), ("adagrad", LazyRowwiseAdagrad)],
)
def test_the_optimiser_is_a_lazy_one(optimizer, expected):
    X, y = rows()
    net = classifier(computation="path", optimizer=optimizer).fit(X, y).net_
    assert net.optimizer is expected
    if expected is LazyAdamW:
        groups = dict(net.optimizer__param_groups)
        assert groups == {"head.*": {"row_steps": True}}
    dense = classifier(computation="dense", optimizer=optimizer).fit(X, y).net_
    assert dense.optimizer is (LazyRowwiseAdagrad if optimizer == "adagrad" else LeanAdamW)


@pytest.mark.parametrize("sizes", [(), (3,)])
def test_classes_of_torch_that_take_sparse_gradients_do(sizes):
    X, y = rows()
    for optimizer in (torch.optim.Adagrad, torch.optim.SGD):
        params = {"optimizer": optimizer, "weight_decay": 0, "hidden_layer_sizes": sizes}
        curves = [
            classifier(computation=computation, **params).fit(X, y).loss_curve_
            for computation in ("path", "dense")
        ]
        np.testing.assert_allclose(*curves, rtol=1e-9)


@pytest.mark.parametrize(
    ("optimizer", "decay"),
    [("adam", 0), ("sgd", 0), (torch.optim.AdamW, 0), (torch.optim.Adagrad, 1e-4)],
)
def test_an_optimiser_without_a_sparse_form_is_refused_with_those_that_have_one(optimizer, decay):
    X, y = rows()
    clf = classifier(computation="path", optimizer=optimizer, weight_decay=decay)
    with pytest.raises(ValueError, match=r"optimizer=.* sparse gradients.* give 'auto', 'adamw'"):
        clf.fit(X, y)


def test_a_dag_and_a_loss_over_all_nodes_are_computed_densely_with_a_warning():
    X, y = rows()
    with pytest.warns(
        UserWarning, match=r"saves nothing with loss=SoftLabelCrossEntropy"
    ) as record:
        clf = classifier(computation="path", loss=SoftLabelCrossEntropy()).fit(X, y)
    assert record[0].filename == __file__
    assert type(clf.net_.module_.head) is HierarchicalSoftmax
    dag = Hierarchy.from_dict({"p": [0, 1], "q": [1, 2]})
    clf = HierarchicalSoftmaxClassifier(dag, computation="path", max_iter=1, n_iter_no_change=1)
    with pytest.warns(UserWarning, match=r"computation='path' needs a tree.* is a DAG"):
        clf.fit(X, y % 3)
    assert type(clf.net_.module_.head) is DAGSoftmax


def test_a_linear_model_of_sparse_features_cannot_have_it_and_a_hidden_layer_can():
    X, y = rows()
    with pytest.raises(ValueError, match=r"sparse X: give a hidden layer"):
        classifier(computation="path").fit(sp.csr_array(X), y)
    sparse = classifier(computation="path", hidden_layer_sizes=7).fit(sp.csr_array(X), y)
    dense = classifier(computation="path", hidden_layer_sizes=7).fit(X, y)
    np.testing.assert_allclose(sparse.predict_proba(X), dense.predict_proba(X), atol=1e-9)


def test_a_model_of_dense_features_predicts_sparse_ones():
    X, y = rows()
    X[X < 0] = 0
    clf = classifier(computation="path", hidden_layer_sizes=()).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(sp.csr_array(X)), clf.predict_proba(X))


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_a_warm_start_goes_on_and_refuses_another_computation(optimizer):
    X, y = rows()
    params = {"computation": "path", "optimizer": optimizer, "batch_size": 7}
    whole = classifier(**params, max_iter=6, n_iter_no_change=6).fit(X, y)
    part = classifier(**params, max_iter=3, warm_start=True).fit(X, y)
    part = pickle.loads(pickle.dumps(part)).fit(X, y)
    assert np.array_equal(part.predict_proba(X), whole.predict_proba(X))
    with pytest.raises(ValueError, match=r"computation was 'path' and is now 'dense'"):
        part.set_params(computation="dense").fit(X, y)


def test_callbacks_see_dense_gradients():
    X, y = rows()
    free, clipped = (
        classifier(computation="path", callbacks=callbacks, optimizer="adagrad").fit(X, y)
        for callbacks in ([], [GradientNormClipping(1e-6)])
    )
    assert clipped.loss_curve_[-1] != free.loss_curve_[-1]


def test_a_coarse_label_ends_its_path():
    X, y = rows()
    tree = {"even": ["0", "2", "4"], "odd": ["1", "3", "more"], "more": ["5", "7"]}
    labels = np.array(["0", "1", "2", "3", "4", "5", "7", "more", "odd", "even", "0", "1"])[y]
    dense, path = (
        classifier(computation=computation).set_params(hierarchy=tree).fit(X, labels)
        for computation in ("dense", "path")
    )
    np.testing.assert_allclose(path.predict_proba(X), dense.predict_proba(X), atol=1e-9)
