"""A hidden layer for each branch, and recursive regularisation, in the public classifier."""

import itertools
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError

from hierclf import HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.encoders import ModuleEncoder
from hierclf.nn import (
    BranchedSoftmax,
    HierarchicalSoftmax,
    LazyAdamW,
    PathLoss,
    PathSoftmax,
    RecursiveRegularization,
)

TREE = {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d", "e"]}
LABELS = np.array(list("abcde"))
SGD = partial(torch.optim.SGD, momentum=0.0)


def make(hierarchy=TREE, **params):
    defaults = {"hidden_layer_sizes": (5,), "branch_hidden_size": 4, "learning_rate_init": 0.02}
    defaults |= {"batch_size": 16, "max_iter": 5, "n_iter_no_change": 5, "random_state": 0}
    return HierarchicalSoftmaxClassifier(hierarchy, **{**defaults, **params})


def data(n=60, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 5
    X = rng.normal(size=(5, 4))[codes] + rng.normal(size=(n, 4))
    return (X * (rng.random(X.shape) < 0.7)).astype(dtype), LABELS[codes]


def weights_of(clf):
    return {name: v.numpy().copy() for name, v in clf.net_.module_.state_dict().items()}


def softmax(z):
    z = np.exp(z - z.max(1, keepdims=True))
    return z / z.sum(1, keepdims=True)


def proba_by_hand(clf, X, size=4):
    """Compute P(leaf) from the weights by name, for TREE."""
    w = weights_of(clf)

    def reads_features(name):  # the first layer has a row for each feature
        return w[name].T if w[name].shape[0] == X.shape[1] and "hidden.0" in name else w[name]

    h = X
    if "hidden.0.weight" in w:
        h = np.maximum(X @ reads_features("hidden.0.weight").T + w["hidden.0.bias"], 0)
        top, units = w["head.linear.weight"], w["head.branches.weight"]
    else:
        top, units = w["head.linear.weight"].T, w["head.branches.weight"].T
    top = softmax(h @ top.T + w["head.linear.bias"])  # a, x, y
    found = [top[:, 0]]
    for i in range(2):
        own = slice(i * size, (i + 1) * size)
        h_b = np.maximum(h @ units[own].T + w["head.branches.bias"][own], 0)
        rows = slice(2 * i, 2 * i + 2)
        below = softmax(h_b @ w["head.below.weight"][rows].T + w["head.below.bias"][rows])
        found += [top[:, i + 1] * below[:, 0], top[:, i + 1] * below[:, 1]]
    return np.column_stack(found)


# -- layers of branches


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_probabilities_are_those_of_the_network_written_out(hidden, layout, dtype):
    X, y = data(dtype=dtype)
    clf = make(hidden_layer_sizes=hidden).fit(layout(X), y)
    proba = clf.predict_proba(layout(X))
    assert proba.dtype == dtype
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(proba, proba_by_hand(clf, X), rtol=rtol)
    assert clf.predict(X).tolist() == LABELS[proba.argmax(1)].tolist()
    labels, best = clf.predict_topk(layout(X), 3)
    np.testing.assert_allclose(best, np.sort(proba, axis=1)[:, :-4:-1], rtol=rtol)
    assert labels[:, 0].tolist() == LABELS[proba.argmax(1)].tolist()


def test_it_learns_what_the_layers_are_needed_for():
    # In each branch the label is an exclusive or, and nothing is hidden but in the branches.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    inside = (X[:, 0] > 0) != (X[:, 1] > 0)
    y = np.where(X[:, 2] > 0, np.where(inside, "b", "c"), np.where(inside, "d", "e"))
    tree = {"root": ["x", "y"], "x": ["b", "c"], "y": ["d", "e"]}
    params = {"hidden_layer_sizes": (), "max_iter": 60, "n_iter_no_change": 60}
    linear = make(tree, branch_hidden_size=None, **params).fit(X, y)
    branched = make(tree, branch_hidden_size=20, **params).fit(X, y)
    assert linear.score(X, y) < 0.7
    assert branched.score(X, y) > 0.9


def test_a_block_of_one_branch_leaves_the_others_as_they_were():
    X, y = data()
    clf = make(optimizer=SGD, weight_decay=0.0).partial_fit(X, y)
    before = weights_of(clf)
    rows = np.isin(y, ["b", "c"])
    clf.partial_fit(X[rows], y[rows])
    after = weights_of(clf)
    for name, own, other in (
        ("head.branches.weight", slice(0, 4), slice(4, 8)),
        ("head.branches.bias", slice(0, 4), slice(4, 8)),
        ("head.below.weight", slice(0, 2), slice(2, 4)),
        ("head.below.bias", slice(0, 2), slice(2, 4)),
    ):
        np.testing.assert_array_equal(after[name][other], before[name][other])
        assert (after[name][own] != before[name][own]).any(), name
    for name in ("hidden.0.weight", "head.linear.weight", "head.linear.bias"):
        assert (after[name] != before[name]).any(), name


def test_branches_are_dropped_where_the_hierarchy_has_one_level():
    X, y = data()
    plain = make(None, branch_hidden_size=None).fit(X, y)
    clf = make(None).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), plain.predict_proba(X))


def test_labels_may_be_inner_nodes():
    X, y = data()
    y = np.where(
        np.arange(len(y)) % 3 == 0, np.array(["a", "x", "x", "y", "y"])[np.arange(60) % 5], y
    )
    clf = make().fit(X, y)
    assert clf.classes_.tolist() == list("abcde")
    np.testing.assert_allclose(clf.predict_proba(X), proba_by_hand(clf, X), rtol=1e-10)


def test_it_stands_behind_an_encoder():
    X, y = data()
    encoder = ModuleEncoder(torch.nn.Linear(4, 3).double())
    clf = make(encoder=encoder, hidden_layer_sizes=None).fit(X, y)
    weights = clf.net_.module_.encoder.state_dict()
    h = X @ weights["weight"].numpy().T + weights["bias"].numpy()
    twin = make(hidden_layer_sizes=()).fit(h, y)
    twin.net_.module_.head.load_state_dict(
        {
            name: v.t() if name in ("linear.weight", "branches.weight") else v
            for name, v in clf.net_.module_.head.state_dict().items()
        }
    )
    np.testing.assert_allclose(clf.predict_proba(X), twin.predict_proba(h), rtol=1e-10)


def test_pickles_and_clones_predict_and_go_on():
    X, y = data()
    clf = make(dropout=0.2).partial_fit(X, y)
    copy = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(copy.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(
        copy.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X)
    )
    again = clone(clf).fit(X, y)
    assert again.get_params()["branch_hidden_size"] == 4
    np.testing.assert_array_equal(again.predict_proba(X), clone(clf).fit(X, y).predict_proba(X))


def test_whole_blocks_are_the_epochs_of_a_fit():
    X, y = data()
    once = make(dropout=0.2, recursive_regularization=0.01, tol=0.0).fit(X, y)
    clf = make(dropout=0.2, recursive_regularization=0.01)
    for _ in range(5):
        clf.partial_fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), once.predict_proba(X))
    assert clf.loss_curve_ == once.loss_curve_


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_a_hierarchy_may_grow_a_branch(hidden, layout):
    X, y = data()
    clf = make(hidden_layer_sizes=hidden).partial_fit(layout(X), y)
    before = weights_of(clf)
    grown = {**TREE, "root": [*TREE["root"], "z"], "z": ["f", "g"], "y": ["d", "e", "n"]}
    clf.set_params(hierarchy=grown)
    y = np.where(y == "a", "f", y)
    clf.partial_fit(layout(X[:1]), y[:1])
    after = weights_of(clf)
    assert after["head.below.weight"].shape == (7, 4)
    assert after["head.linear.bias"].shape == (4,)
    # One step of AdamW moves each weight by about the learning rate at most.
    dim = 0 if hidden else 1
    now = np.moveaxis(after["head.branches.weight"], dim, 0)[:8]
    was = np.moveaxis(before["head.branches.weight"], dim, 0)
    np.testing.assert_allclose(now, was, atol=0.05)
    for _ in range(40):
        clf.partial_fit(layout(X), y)
    assert clf.score(layout(X), y) > 0.5
    assert np.isin(["f"], clf.predict(layout(X))).all()


def test_a_node_stays_in_its_branch():
    X, y = data()
    clf = make().partial_fit(X, y)
    before = weights_of(clf)
    clf.set_params(hierarchy={"root": ["a", "x", "y"], "x": ["b"], "y": ["c", "d", "e"]})
    with pytest.raises(ValueError, match="'c' was in the branch 'x' and is now in 'y'"):
        clf.partial_fit(X, y)
    after = weights_of(clf)
    assert all((after[name] == before[name]).all() for name in before)
    clf.set_params(hierarchy=TREE).partial_fit(X, y)


@pytest.mark.parametrize("stream", [True, False])
def test_another_size_is_another_network(stream):
    X, y = data()
    clf = make(warm_start=True).fit(X, y)
    for size in (None, 5):
        clf.set_params(branch_hidden_size=size)
        with pytest.raises(ValueError, match=f"branch_hidden_size was 4 and is now {size}"):
            clf.partial_fit(X, y) if stream else clf.fit(X, y)
    clf.set_params(branch_hidden_size=4, recursive_regularization=0.1).fit(X, y)  # not of the net


def test_a_dag_is_refused():
    X, y = data()
    edges = [("root", "x"), ("root", "y"), ("root", "a"), ("x", "b"), ("x", "c"), ("y", "c")]
    edges += [("y", "d"), ("y", "e")]
    told = "'c' has the parents 'x', 'y': give a tree, or branch_hidden"
    with pytest.raises(ValueError, match=told):
        make(edges).fit(X, y)
    clf = make().partial_fit(X, y).set_params(hierarchy=edges)
    before = weights_of(clf)
    with pytest.raises(ValueError, match=told):
        clf.partial_fit(X, y)
    assert all((v == before[name]).all() for name, v in weights_of(clf).items())


def test_softmaxes_of_several_layers_are_dense():
    X, y = data()
    with pytest.warns(UserWarning, match=r"no form with branch_hidden_size=4.*'dense' is used"):
        clf = make(computation="path").fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), make().fit(X, y).predict_proba(X))


def many_classes():
    tree = Hierarchy.balanced([f"{i:04}" for i in range(5000)], branching=20)
    rng = np.random.default_rng(0)
    return tree, rng.normal(size=(128, 4)), rng.choice(tree.leaves, 128)


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"branch_hidden_size": None}, PathSoftmax),
        ({}, BranchedSoftmax),
        ({"branch_hidden_size": None, "recursive_regularization": 0.1}, HierarchicalSoftmax),
    ],
)
def test_auto_is_dense_where_path_has_no_form(params, kind, monkeypatch):
    monkeypatch.setattr("hierclf.classifiers._computation.has_numba", lambda: True)
    tree, X, y = many_classes()
    params = {"batch_size": 128, "max_iter": 1, "n_iter_no_change": 1, **params}
    clf = make(tree.prune(tree.leaves), **params)
    clf.partial_fit(X, y)  # which knows all classes
    assert type(clf.net_.module_.head) is kind


def test_a_model_that_is_not_linear_has_the_optimiser_of_such():
    X, y = data()
    X = sp.csr_array(X)
    params = {"hidden_layer_sizes": None, "learning_rate_init": "auto", "max_iter": "auto"}
    params |= {"n_iter_no_change": 10, "dropout": 0.3}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may still improve
        clf = make(warm_start=True, **params).fit(X, y)
    assert isinstance(clf.net_.optimizer_, LazyAdamW)
    assert clf.net_.lr == 1e-3
    assert clf.net_.module_.head.branches.weight.shape == (4, 8)
    with pytest.raises(ValueError, match=r"dropout=0.3 drops hidden units"):
        make(branch_hidden_size=None, **params).fit(X, y)


@pytest.mark.parametrize("size", [0, -1, 2.5, "auto"])
def test_sizes_are_whole_numbers(size):
    X, y = data()
    with pytest.raises(InvalidParameterError, match="'branch_hidden_size' parameter"):
        make(branch_hidden_size=size).fit(X, y)


# -- recursive regularisation


def test_a_step_goes_down_the_loss_and_the_penalty():
    X, y = data()
    params = {"optimizer": SGD, "batch_size": 60, "learning_rate_init": 0.1, "weight_decay": 0.0}
    params |= {"branch_hidden_size": None, "max_iter": 1, "n_iter_no_change": 1}
    start = make(**params, warm_start=True).set_params(learning_rate_init=1e-300).fit(X, y)
    before = weights_of(start)
    steps = {}
    for strength in (0.0, 0.3):
        clf = make(**params, recursive_regularization=strength).fit(X, y)
        steps[strength] = {n: (before[n] - v) / 0.1 for n, v in weights_of(clf).items()}
    # By hand: 1/2 |w_p - w_c|^2 over four edges, with rows centred in {a, x, y}, {b, c}, {d, e}.
    rows = before["head.linear.weight"]

    def penalty(rows):
        rows = rows.copy()
        for group in ([0, 1, 2], [3, 4], [5, 6]):
            rows[group] -= rows[group].mean(0)
        return sum(
            0.5 * np.sum((rows[p] - rows[c]) ** 2) for p, c in ((1, 3), (1, 4), (2, 5), (2, 6))
        )

    wanted = np.zeros_like(rows)
    for i in itertools.product(*map(range, rows.shape)):
        up, down = rows.copy(), rows.copy()
        up[i] += 1e-5
        down[i] -= 1e-5
        wanted[i] = 0.3 * (penalty(up) - penalty(down)) / 2e-5
    found = steps[0.3]["head.linear.weight"] - steps[0.0]["head.linear.weight"]
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    for name in before:
        if name != "head.linear.weight":
            np.testing.assert_allclose(steps[0.3][name], steps[0.0][name], atol=1e-10)


def test_zero_costs_nothing():
    X, y = data()
    assert type(make().fit(X, y).net_.criterion_) is PathLoss
    clf = make(recursive_regularization=0.01).fit(X, y)
    assert type(clf.net_.criterion_) is RecursiveRegularization


@pytest.mark.parametrize("branch_size", [None, 4])
def test_it_draws_the_rows_of_siblings_together(branch_size):
    X, y = data()
    name = "head.linear.weight" if branch_size is None else "head.below.weight"
    params = {"max_iter": 100, "n_iter_no_change": 100, "branch_hidden_size": branch_size}
    apart = []
    for strength in (0.0, 1.0):
        clf = make(recursive_regularization=strength, **params).fit(X, y)
        last = weights_of(clf)[name][-4:]  # of b, c, d and e
        apart.append([np.linalg.norm(last[0] - last[1]), np.linalg.norm(last[2] - last[3])])
    assert (np.array(apart[1]) < 0.1 * np.array(apart[0])).all()


def test_in_a_dag_and_over_one_level():
    X, y = data()
    edges = [("root", "x"), ("root", "y"), ("root", "a"), ("x", "b"), ("x", "c"), ("y", "c")]
    edges += [("y", "d"), ("y", "e")]
    params = {"branch_hidden_size": None}
    plain, clf = (make(edges, **params, recursive_regularization=s).fit(X, y) for s in (0.0, 1.0))
    assert not np.allclose(plain.predict_proba(X), clf.predict_proba(X))
    # One level has no edge that counts.
    plain, clf = (make(None, **params, recursive_regularization=s).fit(X, y) for s in (0.0, 1.0))
    np.testing.assert_allclose(plain.predict_proba(X), clf.predict_proba(X), rtol=1e-10)


def test_held_out_samples_are_judged_without_it():
    X, y = data()
    params = {"branch_hidden_size": None, "early_stopping": True, "learning_rate_init": 1e-12}
    losses = [
        make(**params, recursive_regularization=s).fit(X, y).net_.history[0] for s in (0.0, 1.0)
    ]
    assert losses[1]["valid_loss"] == pytest.approx(losses[0]["valid_loss"], rel=1e-6)
    assert losses[1]["train_loss"] > losses[0]["train_loss"] + 0.1


@pytest.mark.parametrize("branch_size", [None, 4])
@pytest.mark.parametrize("optimizer", ["adamw", "adagrad", "sgd"])
def test_sparse_features_are_trained_as_dense_ones(optimizer, branch_size):
    X, y = data()
    params = {"optimizer": optimizer, "hidden_layer_sizes": (), "branch_hidden_size": branch_size}
    params |= {"recursive_regularization": 0.5, "weight_decay": 0.0}
    dense, sparse = (make(**params).fit(layout(X), y) for layout in (np.asarray, sp.csr_array))
    np.testing.assert_allclose(sparse.predict_proba(X), dense.predict_proba(X), rtol=1e-6)


def test_a_linear_model_of_sparse_features_has_it():
    # By the optimiser "auto", LazyNovoGrad: siblings come closer.
    X, y = data()
    params = {"hidden_layer_sizes": (), "branch_hidden_size": None, "learning_rate_init": "auto"}
    apart = []
    for strength in (0.0, 1.0):
        clf = make(**params, recursive_regularization=strength).fit(sp.csr_array(X), y)
        rows = weights_of(clf)["head.linear.weight"].T
        apart.append([np.linalg.norm(rows[3] - rows[4]), np.linalg.norm(rows[5] - rows[6])])
    assert (np.array(apart[1]) < 0.7 * np.array(apart[0])).all(), apart


def test_where_it_has_no_form_it_says_so():
    X, y = data()
    params = {"branch_hidden_size": None, "recursive_regularization": 0.5}
    with pytest.warns(UserWarning, match=r"saves nothing with recursive_regularization=0.5"):
        make(**params, computation="path").fit(X, y)
    path = make(branch_hidden_size=None, computation="path", warm_start=True).fit(X, y)
    path.set_params(recursive_regularization=0.5)
    with pytest.raises(ValueError, match=r"recursive_regularization=0.5 moves all rows.*goes on"):
        path.fit(X, y)
    for strength in (-0.1, "auto", None):
        with pytest.raises(InvalidParameterError, match="'recursive_regularization' parameter"):
            make(recursive_regularization=strength).fit(X, y)


def test_a_search_finds_both():
    X, y = data()
    grid = {"branch_hidden_size": [None, 3], "recursive_regularization": [0.0, 0.1]}
    search = GridSearchCV(make(), grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert set(search.best_params_) == set(grid)
