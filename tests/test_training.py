"""The bridge to skorch: batches, precision, stopping, callbacks, interruptions, pickles."""

import copy
import os
import pickle
import re
import signal
import threading
import time
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import f1_score
from sklearn.utils import check_random_state
from sklearn.utils.parallel import Parallel, delayed
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier
from hierclf._utils.stratified import stratified_holdout
from hierclf.classifiers._batches import Batches, Rows
from hierclf.encoders import LSTMEncoder, ModuleEncoder
from hierclf.nn import CSRRows

TREE = {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d"]}
LEAVES = np.array(list("abcd"))


def make(cls=HierarchicalSoftmaxClassifier, *, epochs=4, **params):
    defaults = {"hidden_layer_sizes": (5,), "learning_rate_init": 0.01, "random_state": 0}
    defaults |= {"batch_size": 16, "n_iter_no_change": epochs}
    return cls(TREE, max_iter=epochs, **{**defaults, **params})


def data(n=60, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 4
    return rng.normal(size=(4, n_features))[codes] + rng.normal(size=(n, n_features)), LEAVES[codes]


def sparse_data(n=60, n_features=30, density=0.2):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, n_features)) * (rng.random((n, n_features)) < density)
    return sp.csr_array(X), LEAVES[np.arange(n) % 4]


# -- sparse features


@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", torch.optim.AdamW])
def test_sparse_rows_train_the_same_network_as_dense_rows(optimizer, hidden):
    X, y = sparse_data()
    params = {"optimizer": optimizer, "hidden_layer_sizes": hidden, "weight_decay": 0.01}
    dense = make(**params).fit(X.toarray(), y)
    sparse = make(**params).fit(X, y)
    np.testing.assert_allclose(dense.loss_curve_, sparse.loss_curve_, rtol=1e-9)
    for rows in (X, X.toarray()):
        for clf in (dense, sparse):
            np.testing.assert_allclose(
                clf.predict_node_proba(rows), dense.predict_node_proba(X.toarray()), rtol=1e-8
            )


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_adamw_treats_sparse_rows_alike_if_every_batch_holds_every_feature(hidden):
    X, y = data()  # stored as sparse, yet without a zero
    params = {"hidden_layer_sizes": hidden, "weight_decay": 0.1, "optimizer": "adamw"}
    dense, sparse = make(**params).fit(X, y), make(**params).fit(sp.csr_array(X), y)
    np.testing.assert_allclose(dense.predict_proba(X), sparse.predict_proba(X), rtol=1e-8)


@pytest.mark.parametrize("optimizer", ["auto", "adamw"])
def test_weights_of_features_that_no_row_has_decay(optimizer):
    X, y = sparse_data()
    X = sp.hstack([X, sp.csr_array((60, 2))]).tocsr()
    params = {"hidden_layer_sizes": (), "weight_decay": 0.5, "learning_rate_init": 0.02}
    params["optimizer"] = optimizer
    start = make(**params, epochs=1, callbacks=[Spy()]).fit(X, y) and Spy.weights
    clf = make(**params, epochs=3).fit(X, y)
    # 3 epochs of 4 batches, each of which takes 1 % off
    weight = clf.net_.module_.head.linear.weight.detach()
    np.testing.assert_allclose(weight[-2:], start[-2:] * 0.99**12, rtol=1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_auto_moves_weights_of_a_sparse_linear_model_in_proportion_to_the_gradient(layout):
    X, y = sparse_data()
    X = layout(X.toarray())
    params = {"hidden_layer_sizes": (), "weight_decay": 0.0, "learning_rate_init": 0.02}
    start = make(**params, epochs=1, callbacks=[Spy()]).fit(X, y) and Spy.weights
    clf = make(**params, epochs=1, batch_size=1000).fit(X, y)  # a single step
    moves = (clf.net_.module_.head.linear.weight.detach() - start).abs()
    if layout is np.asarray:
        # Adam's first step; an only child has no gradient
        np.testing.assert_allclose(moves[moves > 0], 0.02, rtol=1e-4)
    else:
        assert moves.square().mean().sqrt().item() == pytest.approx(0.02)
        assert moves.std() > 0.005
    adamw = make(**params, optimizer="adamw", epochs=1, batch_size=1000).fit(X, y)
    is_same = np.allclose(adamw.predict_proba(X), clf.predict_proba(X))
    assert is_same == (layout is np.asarray)
    params["hidden_layer_sizes"] = (5,)
    auto, adamw = make(**params).fit(X, y), make(**params, optimizer="adamw").fit(X, y)
    np.testing.assert_array_equal(auto.predict_proba(X), adamw.predict_proba(X))


class Spy(Callback):
    weights = None  # a class attribute: callbacks are copied, classes are not

    def on_train_begin(self, net, **kwargs):
        Spy.weights = net.module_.head.linear.weight.detach().clone()


@pytest.mark.parametrize("hidden", [(), (2,)])
def test_a_sparse_matrix_is_never_made_dense(monkeypatch, hidden):
    def refuse(self, *args, **kwargs):
        raise AssertionError("made dense")

    kinds = (sp.csr_array, sp.csr_matrix, sp.csc_array, sp.csc_matrix, sp.coo_array, sp.coo_matrix)
    for kind in kinds:
        for method in ("toarray", "todense", "__array__"):
            monkeypatch.setattr(kind, method, refuse, raising=False)
    rng = np.random.default_rng(0)
    n_features = 5_000_000  # one dense batch of 16 rows would be 320 MB
    rows = np.repeat(np.arange(48), 3)
    columns = rng.integers(n_features, size=rows.size)
    columns[::3] = rows[::3] % 4  # of three features one is the class, two are noise
    values = np.ones(rows.size, dtype=np.float32)
    X = sp.csr_array((values, (rows, columns)), shape=(48, n_features))
    y = LEAVES[np.arange(48) % 4]
    clf = make(hidden_layer_sizes=hidden, learning_rate_init=0.1, early_stopping=True, epochs=8)
    clf.set_params(activation="identity").fit(X, y)
    assert clf.score(X, y) > 0.9
    assert clf.predict_proba(X, level=0).dtype == np.float32


FORMATS = [
    sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_array, sp.dok_array,
    sp.bsr_array, sp.csc_matrix,
]  # fmt: skip


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.__name__)
def test_other_sparse_formats_are_converted(form):
    X, y = sparse_data()
    expected = make().fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(make().fit(form(X), y).predict_proba(form(X)), expected)


def test_unsorted_and_repeated_entries_and_wide_indices_of_a_sparse_matrix():
    X, y = sparse_data()
    expected = make(optimizer="adam").fit(X, y).predict_proba(X)
    halves = sp.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape
    )
    backwards = X.copy()
    for i in range(X.shape[0]):
        row = slice(X.indptr[i], X.indptr[i + 1])
        backwards.indices[row] = X.indices[row][::-1]
        backwards.data[row] = X.data[row][::-1]
    backwards.has_sorted_indices = False
    wide = X.copy()
    wide.indices, wide.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    for same in (halves, backwards, wide):
        clf = make(optimizer="adam").fit(same, y)
        np.testing.assert_allclose(clf.predict_proba(same), expected, rtol=1e-9)


def test_an_empty_row_of_a_sparse_matrix_is_a_row_of_zeros():
    X, y = sparse_data()
    X = sp.vstack([X, sp.csr_array((3, 30))]).tocsr()
    clf = make(optimizer="adam").fit(X, np.append(y, ["a", "a", "b"]))
    alone = clf.predict_proba(np.zeros((1, 30)))
    np.testing.assert_allclose(clf.predict_proba(X)[-3:], alone.repeat(3, axis=0), rtol=1e-12)


@pytest.mark.parametrize("hidden", [(), (3,)])
@pytest.mark.parametrize("optimizer", ["auto", "adamw", "adam", "sgd"])
def test_a_batch_of_rows_without_any_value_moves_the_biases_alone(hidden, optimizer):
    """Each row is a batch; the last one by itself says what an empty one teaches."""
    X = sp.csr_array([[1.0, 0], [0, 2], [3, 1], [0, 0]])
    y = np.array(["b", "c", "d", "a"])
    params = {"hidden_layer_sizes": hidden, "optimizer": optimizer, "weight_decay": 0.0}
    params |= {"batch_size": 1, "epochs": 3}
    clf = make(**params).fit(X, y)
    assert np.isfinite(clf.predict_node_proba(X)).all()
    assert all(parameter.isfinite().all() for parameter in clf.net_.module_.parameters())
    nothing = sp.csr_array((4, 2))
    start = make(**params, callbacks=[Begin()]).fit(nothing, y) and Begin.weights
    clf = make(**params).fit(nothing, y)
    for name, value in clf.net_.module_.state_dict().items():
        is_first = name == ("hidden.0.weight" if hidden else "head.linear.weight")
        assert torch.equal(value, start[name]) == is_first


def test_batches_of_padding_alone_leave_the_vectors_of_words():
    X = np.zeros((8, 3), dtype=int)
    y = LEAVES[np.arange(8) % 4]
    X[:4] = 1 + np.arange(12).reshape(4, 3) % 3
    params = {"encoder": LSTMEncoder(3, embedding_dim=2), "hidden_layer_sizes": ()}
    params |= {"batch_size": 1, "weight_decay": 0.0}
    start = make(**params, callbacks=[Begin()]).fit(X, y) and Begin.weights
    clf = make(**params).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()
    name = "encoder.embedding.weight"
    moved = (clf.net_.module_.state_dict()[name] != start[name]).any(dim=1)
    assert moved.tolist() == [False, True, True, True]


class Begin(Callback):
    """Keeps the weights at the start."""

    weights = None

    def on_train_begin(self, net, **kwargs):
        Begin.weights = {name: value.clone() for name, value in net.module_.state_dict().items()}


# -- types and layouts of arrays


FLOATS = {np.float32: np.float32, np.float64: np.float64}
OTHERS = dict.fromkeys([np.int32, np.uint8, bool], np.float64)
NOT_SPARSE = dict.fromkeys([np.float16, ">f4"], np.float64)  # scipy has no such matrix


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("layout", "given_dtype", "dtype"),
    [
        *((np.asarray, *pair) for pair in (FLOATS | OTHERS | NOT_SPARSE).items()),
        *((sp.csr_array, *pair) for pair in (FLOATS | OTHERS).items()),
    ],
)
def test_the_network_follows_the_float_type(layout, given_dtype, dtype, weighted):
    X, y = data()
    X = np.abs(X * 3).astype(given_dtype)
    weights = {"class_weight": "balanced"} if weighted else {}
    sample_weight = np.ones(60, dtype=np.float64) if weighted else None
    clf = make(**weights, early_stopping=True).fit(layout(X), y, sample_weight=sample_weight)
    assert {p.detach().numpy().dtype for p in clf.net_.module_.parameters()} == {np.dtype(dtype)}
    assert clf.predict_proba(layout(X)).dtype == dtype
    assert clf.predict_node_proba(layout(X.astype(np.float64))).dtype == dtype
    # the same weights in the wider type give the same, up to rounding
    wide = copy.deepcopy(clf.net_.module_).double()
    expected = wide(torch.tensor(X.astype(np.float64))).exp().detach().numpy()
    tolerance = 1e-4 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(clf.predict_node_proba(layout(X)), expected, rtol=tolerance)


def test_layouts_of_dense_arrays(tmp_path):
    X, y = data()
    expected = make().fit(X, y).predict_proba(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    on_disk = np.memmap(tmp_path / "X", dtype=X.dtype, mode="w+", shape=X.shape)
    on_disk[:] = X
    on_disk.flush()
    layouts = {
        "read-only": read_only,
        "Fortran": np.asfortranarray(X),
        "every second": np.repeat(X, 2, axis=0)[::2],
        "backwards": X[::-1].copy()[::-1],
        "columns backwards": X[:, ::-1].copy()[:, ::-1],
        "memmap": np.memmap(tmp_path / "X", dtype=X.dtype, mode="r", shape=X.shape),
        "list": X.tolist(),
    }
    torch.set_warn_always(True)  # else torch warns of a read-only array once per process
    try:
        for name, same in layouts.items():
            clf = make().fit(same, y)
            np.testing.assert_allclose(clf.predict_proba(same), expected, rtol=1e-9, err_msg=name)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(read_only, X)


def test_read_only_sparse_matrices():
    X, y = sparse_data()
    expected = make().fit(X, y).predict_proba(X)
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    torch.set_warn_always(True)
    try:
        np.testing.assert_array_equal(make().fit(X, y).predict_proba(X), expected)
    finally:
        torch.set_warn_always(False)


# -- early stopping


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=150)
def test_the_holdout_is_stratified_and_leaves_every_class_a_row(counts, fraction, seed):
    target = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) * 3, counts))
    train, valid = stratified_holdout(target, fraction, np.random.RandomState(seed))
    n = len(target)
    assert sorted([*train, *valid]) == list(range(n))
    assert set(target[train]) == set(target)
    can_go = sum(counts) - len(counts)
    assert len(valid) == min(max(1, round(fraction * n)), can_go)
    for i, count in enumerate(counts):
        held = int((target[valid] == 3 * i).sum())
        # in proportion, to within the row that each class may round by, and what rare classes keep
        share = len(valid) / n
        assert held <= count - 1
        if share * count + 1 <= count - 1 and share < 0.5:
            assert abs(held - share * count) <= 1 + len(counts) * share


def test_the_holdout_is_drawn_at_random():
    target = np.zeros(20, dtype=int)
    held = {tuple(stratified_holdout(target, 0.1, np.random.RandomState(s))[1]) for s in range(200)}
    assert len(held) > 100
    assert {row for rows in held for row in rows} == set(range(20))


class Watch(Callback):
    """Keeps what the net is trained on, and its weights after each epoch."""

    log = None

    def on_train_begin(self, net, **kwargs):
        Watch.log = {"weights": [], "rows": None}

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        Watch.log["rows"] = dataset_train, dataset_valid
        state = {name: value.clone() for name, value in net.module_.state_dict().items()}
        Watch.log["weights"].append(state)


@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_watches_the_held_out_rows_and_keeps_the_best_weights(weighted):
    X, y = data(200, n_features=8)
    X[:, 4:] = np.random.default_rng(1).normal(size=(200, 4))
    weight = np.random.default_rng(2).uniform(0.2, 3, 200) if weighted else None
    clf = make(
        epochs=60, early_stopping=True, validation_fraction=0.25, learning_rate_init=0.1,
        hidden_layer_sizes=(30,), callbacks=[Watch()],
    ).set_params(n_iter_no_change=5, tol=0.0)  # fmt: skip
    clf.fit(X, y, sample_weight=weight)
    losses = clf.net_.history[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert clf.n_iter_ == len(losses) == best + 1 + 5 < 60
    for name, value in clf.net_.module_.state_dict().items():
        assert torch.equal(value, Watch.log["weights"][best][name])

    train, valid = Watch.log["rows"]
    assert len(train) == 150
    assert len(valid) == 50
    together = torch.cat([train.X, valid.X]).numpy()
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(X, axis=0))
    # The loss watched is the weighted mean over the held-out rows, by another way:
    number = {tuple(row): i for i, row in enumerate(X)}
    held = [number[tuple(row)] for row in valid.X.numpy()]
    assert [(y[held] == leaf).sum() for leaf in LEAVES] == pytest.approx([12.5] * 4, abs=1)
    proba = clf.predict_proba(X)[held, np.searchsorted(LEAVES, y[held])]
    factor = np.ones(50) if weight is None else weight[held] / weight.mean()
    assert losses[best] == pytest.approx(np.mean(-np.log(proba) * factor), rel=1e-9)


def test_rare_classes_are_trained_on():
    X, y = data(40)
    y = y.copy()
    y[:2] = ["d", "c"]
    X, y = np.vstack([X, [[9.0, 9, 9, 9]]]), np.append(y, "e")
    clf = HierarchicalSoftmaxClassifier(
        {**TREE, "root": ["a", "x", "y", "e"]}, early_stopping=True, max_iter=2, n_iter_no_change=2
    ).fit(X, y)
    assert clf.classes_.tolist() == list("abcde")


def test_training_stops_once_the_loss_stands_still():
    X, y = data()
    clf = make(epochs=50).set_params(n_iter_no_change=3, tol=0.05).fit(X, y)
    best, misses = np.inf, 0
    n_epochs = 0
    for loss in clf.loss_curve_:
        n_epochs += 1
        best, misses = (loss, 0) if loss < best - 0.05 else (best, misses + 1)
        if misses == 3:
            break
    assert n_epochs == clf.n_iter_ < 50


def test_a_loss_that_still_falls_at_the_limit_is_warned_of():
    X, y = data()
    with pytest.warns(
        ConvergenceWarning, match="max_iter=3 .* n_iter_no_change=max_iter"
    ) as caught:
        make(epochs=3).set_params(n_iter_no_change=2).fit(X, y)
    assert caught[0].filename == __file__
    make(epochs=3).fit(X, y)  # a fixed number of epochs was asked for
    make(epochs=3, early_stopping=True).set_params(n_iter_no_change=2).fit(X, y)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"hidden_layer_sizes": (), "early_stopping": True},
        {"encoder": lambda: torch.nn.Linear(4, 3)},
        {"optimizer": torch.optim.RMSprop, "callbacks": [GradientNormClipping(0.1)]},
    ],
)
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_fit_trains_where_gradients_are_switched_off(off, params, layout):
    X, y = data()
    rows = X if "encoder" in params else layout(X)
    once = make(**params, epochs=4).fit(rows, y)
    with off():
        clf = make(**params, epochs=2, warm_start=True).fit(rows, y)
        assert torch.is_inference_mode_enabled() == (off is torch.inference_mode)
        assert not torch.is_grad_enabled()
    if "early_stopping" not in params:
        clf.fit(rows, y)  # what was made there can be trained anywhere
        assert clf.loss_curve_ == once.loss_curve_
        np.testing.assert_array_equal(clf.predict_proba(rows), once.predict_proba(rows))
    assert clf.loss_curve_[:2] == once.loss_curve_[:2]


# -- randomness


@pytest.mark.parametrize("params", [{}, {"dropout": 0.5}, {"early_stopping": True}])
@pytest.mark.parametrize("cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier])
def test_equal_seeds_give_equal_models_and_global_generators_stay(cls, params):
    X, y = data()
    results = []
    for noise in range(2):
        np.random.seed(noise)  # noqa: NPY002, the global state is what is tested
        torch.manual_seed(noise)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        clf = make(cls, **params).fit(X, y)
        results.append(clf.predict_proba(X))
        after = np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
        np.testing.assert_array_equal(before[0], after[0])
        assert torch.equal(before[1], after[1])
    np.testing.assert_array_equal(*results)
    other = (
        make(
            cls,
            **params,
        )
        .set_params(random_state=1)
        .fit(X, y)
        .predict_proba(X)
    )
    assert abs(other - results[0]).max() > 1e-4


class Noisy(torch.nn.Module):
    """Draws from torch's global generator, in training and after it."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 6)

    def forward(self, x):
        noise = torch.rand(x.shape, dtype=x.dtype)
        return torch.nn.functional.dropout(self.linear(x + noise * self.training), 0.3)


RANDOM = {
    "hidden": ({"dropout": 0.5}, data()[0]),
    "module": ({"encoder": Noisy, "early_stopping": True}, data()[0]),
    "words": (
        {"encoder": LSTMEncoder(4, embedding_dim=3, dropout=0.3)},
        np.random.default_rng(0).integers(1, 20, size=(60, 3)),
    ),
}


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_fits_side_by_side_are_those_one_after_another(kind, backend):
    params, X = RANDOM[kind]
    y = data()[1]

    def fit(seed):
        clf = make(**params, learning_rate_init=0.05, epochs=6, batch_size=4)
        return clf.set_params(random_state=seed).fit(X, y).loss_curve_

    alone = [fit(seed) for seed in range(6)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for _ in range(2 if backend == "threading" else 1):
        assert Parallel(n_jobs=3, backend=backend)(delayed(fit)(s) for s in range(6)) == alone
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["hidden", "words"])
def test_our_own_dropout_leaves_the_global_generator_alone(kind):
    """It is not even borrowed for a while, so that fits in threads need not wait."""

    class Ask(Callback):
        def on_batch_end(self, net, **kwargs):
            assert torch.equal(torch.get_rng_state(), before)

    params, X = RANDOM[kind]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    clf = make(**params, callbacks=[Ask()]).fit(X, data()[1])
    assert clf.loss_curve_ != make(**params | {"random_state": 1}).fit(X, data()[1]).loss_curve_


@pytest.mark.parametrize("kind", ["hidden", "module", "words"])
def test_what_an_epoch_draws_depends_on_its_number_alone(kind):
    """Not on the fit it is in: two warm fits with dropout are one long one, pickled between."""
    params, X = RANDOM[kind]
    params = {**params, "early_stopping": False}
    y = data()[1]
    once = make(**params, epochs=5).fit(X, y)
    twice = make(**params, epochs=2, warm_start=True).fit(X, y)
    twice = pickle.loads(pickle.dumps(twice)).set_params(max_iter=3, n_iter_no_change=3).fit(X, y)
    assert once.loss_curve_ == twice.loss_curve_


def test_a_module_may_fit_another_classifier_in_its_turn():
    class Nested(Callback):
        def on_batch_end(self, net, **kwargs):
            make(encoder=Noisy, epochs=1).fit(*data())

    X, y = data()
    clf = make(encoder=Noisy, epochs=2, callbacks=[Nested()]).fit(X, y)
    plain = make(encoder=Noisy, epochs=2, callbacks=[Count()]).fit(X, y)
    assert clf.loss_curve_ == plain.loss_curve_


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_during_an_epoch_can_fit():
    class Fork(Callback):
        child = None

        def on_batch_end(self, net, **kwargs):
            if Fork.child is None:
                Fork.child = 0
                thread = threading.Thread(target=fork)  # the lock is another thread's
                thread.start()
                thread.join()

    def fork():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
            Fork.child = os.fork()
        if not Fork.child:
            try:
                make(encoder=Noisy, epochs=1).fit(*data())
                os._exit(7)
            finally:
                os._exit(1)

    make(encoder=Noisy, epochs=1, callbacks=[Fork()]).fit(*data())
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(Fork.child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.05)
    if ended == (0, 0):
        os.kill(Fork.child, signal.SIGKILL)
        os.waitpid(Fork.child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


def test_a_random_state_instance_moves_on_and_none_differs():
    X, y = data()
    rng = np.random.RandomState(0)
    first, second = (make(random_state=rng).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, make(random_state=0).fit(X, y).predict_proba(X))
    assert abs(first - second).max() > 1e-4
    a, b = (make(random_state=None).fit(X, y).predict_proba(X) for _ in range(2))
    assert abs(a - b).max() > 1e-4


def test_dropout_is_for_training_alone():
    X, y = data()
    clf = make(dropout=0.5).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(X))
    assert abs(clf.predict_proba(X) - make().fit(X, y).predict_proba(X)).max() > 1e-4


def test_each_epoch_takes_every_row_once_in_a_new_order():
    rows = Rows(np.arange(10.0)[:, None], np.arange(10), np.arange(10) / 10)
    batches = Batches(rows, 4, generator=torch.Generator().manual_seed(0))
    orders = []
    for _ in range(3):
        epoch = list(batches)
        assert [len(x) for x, _ in epoch] == [4, 4, 2]
        assert len(batches) == 3
        order = torch.cat([target for _, (target, _) in epoch])
        assert torch.equal(torch.cat([x[:, 0] for x, _ in epoch]), order.double())
        assert torch.equal(torch.cat([weight for _, (_, weight) in epoch]), order.double() / 10)
        assert sorted(order.tolist()) == list(range(10))
        orders.append(order.tolist())
    assert orders[0] != orders[1] != orders[2]
    in_order = torch.cat([x[:, 0] for x, _ in Batches(rows, 4)])
    assert in_order.tolist() == list(range(10))


# -- warm start


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["auto", "adamw", "adam", "sgd"])
@pytest.mark.parametrize("saved", [False, True])
def test_two_warm_fits_are_one_long_fit(layout, optimizer, saved):
    X, y = sparse_data()
    X = layout(X.toarray())
    params = {"optimizer": optimizer, "weight_decay": 0.1, "early_stopping": False}
    once = make(epochs=6, **params).fit(X, y)
    twice = make(epochs=3, **params, warm_start=True).fit(X, y)
    assert twice.n_iter_ == 3
    if saved:
        twice = pickle.loads(pickle.dumps(twice))
    twice.fit(X, y)
    np.testing.assert_array_equal(once.predict_proba(X), twice.predict_proba(X))
    assert once.loss_curve_ == twice.loss_curve_
    assert twice.n_iter_ == 6


def test_a_warm_start_goes_on_from_a_fit_that_was_not():
    X, y = data()
    for is_saved in (False, True):
        clf = make(epochs=4).fit(X, y)
        clf = pickle.loads(pickle.dumps(clf)) if is_saved else clf
        first = list(clf.loss_curve_)
        clf.set_params(warm_start=True, max_iter=2).fit(X, y)
        assert clf.loss_curve_[:4] == first
        assert clf.n_iter_ == 6
        assert clf.loss_curve_[4] < first[-1] < first[0]
        # and a cold fit starts afresh
        clf.set_params(warm_start=False, max_iter=4).fit(X, y)
        assert clf.loss_curve_ == first


def test_a_warm_start_takes_new_settings():
    X, y = data()
    clf = make(epochs=2, warm_start=True).fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(learning_rate_init=1e-12, weight_decay=0.0, batch_size=60, verbose=0)
    clf.set_params(callbacks=[Count()], max_iter=3).fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), before, rtol=1e-6)
    assert Count.log == {"on_batch_end": 3, "rows": 180, "on_grad_computed": 3}
    # nothing improves by 10 nats
    clf.set_params(tol=10.0, n_iter_no_change=2, max_iter=50).fit(X, y)
    assert clf.n_iter_ == 2 + 3 + 3


class Count(Callback):
    log = None

    def on_train_begin(self, net, **kwargs):
        Count.log = {"on_batch_end": 0, "rows": 0, "on_grad_computed": 0}

    def on_batch_end(self, net, batch, training, loss, **kwargs):
        if training:
            x, (target, _) = batch
            assert len(target) == (len(x.offsets) - 1 if isinstance(x, CSRRows) else len(x))
            assert loss.item() > 0
            Count.log["on_batch_end"] += 1
            Count.log["rows"] += len(target)

    def on_grad_computed(self, net, named_parameters, **kwargs):
        assert all(p.grad is not None for _, p in named_parameters)
        Count.log["on_grad_computed"] += 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_layer_sizes": (6,)}, r"hidden_layer_sizes was \(5,\) and is now \(6,\)"),
        ({"activation": "tanh"}, "activation was 'relu' and is now 'tanh'"),
        ({"dropout": 0.5}, "dropout was 0.0 and is now 0.5"),
        ({"optimizer": "sgd"}, "optimizer was 'auto' and is now 'sgd'"),
        ({"hidden_layer_sizes": None, "encoder": torch.nn.Flatten}, "encoder was None and is now"),
        ({"hierarchy": {"root": list("abcd")}}, "goes on training the classes and the hierarchy"),
    ],
)
def test_a_warm_start_refuses_another_network(change, message):
    X, y = data()
    clf = make(warm_start=True).fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(**change)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert clf.n_iter_ == 4


def test_a_warm_start_with_another_encoder_blames_the_encoder():
    """And not hidden_layer_sizes, whose default is another with an encoder."""
    X, y = data()
    params = {"hidden_layer_sizes": None, "warm_start": True, "epochs": 1}
    for before, after, message in [
        (None, torch.nn.Flatten, "encoder was None and is now .*ModuleEncoder"),
        (torch.nn.Flatten, None, "encoder was .*ModuleEncoder.* and is now None"),
        (torch.nn.Flatten, LSTMEncoder(3), "encoder was .*ModuleEncoder.* is now .*LSTMEncoder"),
    ]:
        clf = make(**params, encoder=before).fit(X, y)
        with pytest.raises(ValueError, match=message):
            clf.set_params(encoder=after).fit(X, y)


def test_a_warm_start_names_the_part_of_the_encoder_in_a_line():
    """Another module, even one with equal weights, is another place to start from."""
    first = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(40)))
    second = copy.deepcopy(first)
    X, y = data()
    clf = make(encoder=ModuleEncoder(first), epochs=1, warm_start=True).fit(X, y)
    for module, now in ((second, "another that looks the same"), (torch.nn.Flatten(), "Flatten")):
        clf.set_params(encoder__module=module)
        with pytest.raises(
            ValueError, match=rf"encoder__module was Sequential.*now {now}"
        ) as error:
            clf.fit(X, y)
        assert len(str(error.value)) < 300
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            lambda X, y: (X[y != "a"], y[y != "a"]),
            "the last fit: the classes were 'a', .*, and are now 'b'",
        ),
        (lambda X, y: (X[:, 1:], y), "X has 3 features, but .* is expecting 4"),
    ],
)
def test_a_warm_start_refuses_other_classes_and_columns(rows, message):
    X, y = data()
    clf = make(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=message):
        clf.fit(*rows(X, y))
    assert clf.classes_.tolist() == list("abcd")
    assert clf.n_features_in_ == 4
    clf.fit(X, y)
    assert clf.n_iter_ == 8


def test_a_warm_start_refuses_other_edges():
    X, y = data()
    clf = make(warm_start=True).fit(X, y)
    clf.set_params(hierarchy={"root": ["b", "x", "y"], "x": ["a", "c"], "y": ["d"]})
    with pytest.raises(ValueError, match=r"the hierarchy was .*, and is now .* other edges"):
        clf.fit(X, y)


# -- pickles


def test_a_pickle_holds_weights_and_no_data():
    X, y = data(3000, n_features=50)
    X[:, 7] = 0.1234567890123  # a number to look for
    marker = X[0, 7].tobytes()
    kinds = {"plain": {}, "early": {"early_stopping": True}, "warm": {"warm_start": True}}
    for name, params in kinds.items():
        for rows in (X, sp.csr_array(X)):
            params = {**params, "hidden_layer_sizes": (200,), "callbacks": [LRScheduler()]}
            clf = make(epochs=2, **params, batch_size=500).fit(rows, y)
            dump = pickle.dumps(clf)
            assert marker not in dump
            weights = 8 * sum(p.numel() for p in clf.net_.module_.parameters())
            # Adam's state is twice the weights; the rest is the history and the tree.
            assert weights < len(dump) < weights * (3 if name == "warm" else 1) + 40_000
            assert (clf.net_.optimizer_ is None) == (name != "warm")
            loaded = pickle.loads(dump)
            np.testing.assert_array_equal(loaded.predict_proba(rows), clf.predict_proba(rows))
            assert loaded.loss_curve_ == clf.loss_curve_


# -- callbacks


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"dropout": 0.3}])
def test_epochs_with_and_without_batch_callbacks_are_the_same_training(layout, params):
    X, y = data()
    lean = make(optimizer="adam", **params).fit(layout(X), y)
    watched = make(optimizer="adam", **params, callbacks=[Count()]).fit(layout(X), y)
    np.testing.assert_array_equal(lean.predict_proba(X), watched.predict_proba(X))
    np.testing.assert_allclose(lean.loss_curve_, watched.loss_curve_, rtol=1e-12)
    n_rows = 54 if "early_stopping" in params else 60
    assert Count.log == {"on_batch_end": 16, "rows": 4 * n_rows, "on_grad_computed": 16}
    assert [len(row["batches"]) >= 4 for row in watched.net_.history] == [True] * 4


def test_callbacks_are_copied_for_each_fit_and_named_pairs_taken():
    X, y = data()
    mine = EarlyStopping(monitor="train_loss", patience=2, threshold=5.0, threshold_mode="abs")
    before = pickle.dumps(vars(mine))
    clf = make(epochs=20, callbacks=[("mine", mine)])
    for _ in range(2):  # no epoch lowers the loss by 5 nats
        clf.fit(X, y)
        assert clf.n_iter_ == 3
    assert pickle.dumps(vars(mine)) == before
    assert clf.callbacks == [("mine", mine)]


class LastWord(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        LastWord.epochs += 1


def test_every_callback_sees_the_last_epoch():
    X, y = data()
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=5.0, threshold_mode="abs")
    for callbacks in ([stop, LastWord()], [LastWord(), stop], [LastWord()]):
        LastWord.epochs = 0
        clf = make(epochs=20, callbacks=callbacks).set_params(n_iter_no_change=2, tol=5.0)
        clf.fit(X, y)
        assert clf.n_iter_ == LastWord.epochs == 3


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_a_schedule_changes_the_learning_rate(layout):
    X, y = data()
    # A rate of 0 from the second epoch on: the model of one epoch.
    schedule = LRScheduler(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda epoch: epoch == 0)
    scheduled = make(epochs=4, callbacks=[schedule]).fit(layout(X), y)
    expected = make(epochs=1).fit(layout(X), y).predict_proba(X)
    np.testing.assert_allclose(scheduled.predict_proba(X), expected, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_gradients_can_be_clipped(layout, optimizer):
    X, y = data()
    params = {"optimizer": optimizer, "weight_decay": 0.0}
    free = make(**params).fit(layout(X), y).predict_proba(X)
    loose = make(**params, callbacks=[GradientNormClipping(1e6)]).fit(layout(X), y)
    np.testing.assert_allclose(loose.predict_proba(X), free, rtol=1e-9)
    tight = make(**params, callbacks=[GradientNormClipping(1e-12)]).fit(layout(X), y)
    still = make(**params, epochs=1).set_params(learning_rate_init=1e-300).fit(layout(X), y)
    if optimizer == "sgd":  # Adam makes up for the scale of the gradient
        np.testing.assert_allclose(tight.predict_proba(X), still.predict_proba(X), rtol=1e-6)


class Look(Callback):
    """Does nothing with the gradients but to see that torch's functions take them."""

    n_zero_rows = 0

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, parameter in named_parameters:
            assert torch.isfinite(torch.linalg.vector_norm(parameter.grad))
            Look.n_zero_rows += int((parameter.grad == 0).all(dim=-1).sum())


# Rows of a word or two, so that a batch of 16 holds few of the 40 words; 0 is padding.
WORDS = np.random.default_rng(5).integers(1, 41, size=(60, 2))
WORDS[::3, 1] = 0
LOOKED_AT = {
    "auto, linear": {"hidden_layer_sizes": ()},
    "adamw, linear": {"hidden_layer_sizes": (), "optimizer": "adamw"},
    "auto, hidden": {},
    "adam, hidden": {"optimizer": "adam"},
    "words": {"encoder": LSTMEncoder(4, embedding_dim=3), "hidden_layer_sizes": ()},
    "words, sgd": {"encoder": LSTMEncoder(4, embedding_dim=3), "optimizer": "sgd"},
}


@pytest.mark.parametrize("name", LOOKED_AT)
@pytest.mark.parametrize("warm", [False, True])
def test_a_callback_that_looks_at_gradients_changes_nothing(name, warm):
    X, y = sparse_data(n_features=40, density=0.03)
    X = WORDS if "words" in name else X
    params = {"weight_decay": 0.1, "learning_rate_init": 0.05, **LOOKED_AT[name]}
    once = make(epochs=4, **params).fit(X, y)
    Look.n_zero_rows = 0
    looked = make(epochs=4 - 2 * warm, **params, callbacks=[Look()], warm_start=warm).fit(X, y)
    if warm:
        looked.set_params(callbacks=None).fit(X, y)
    assert Look.n_zero_rows > 0  # a dense gradient tells nothing of which rows it touched
    assert looked.n_iter_ == 4
    for one, other in zip(
        once.net_.module_.parameters(), looked.net_.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(once.predict(X), looked.predict(X))


@pytest.mark.parametrize("optimizer", ["auto", "adamw"])
def test_what_a_callback_does_to_gradients_counts(optimizer):
    """Gradients of 0 leave the weights to their decay, 4 batches of 1 % an epoch."""

    class Zero(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            for _, parameter in named_parameters:
                parameter.grad.zero_()

    X, y = sparse_data()
    params = {"optimizer": optimizer, "hidden_layer_sizes": (), "learning_rate_init": 0.02}
    start = make(**params, epochs=1, callbacks=[Spy()]).fit(X, y) and Spy.weights
    clf = make(**params, weight_decay=0.5, epochs=3, callbacks=[Zero()]).fit(X, y)
    weight = clf.net_.module_.head.linear.weight.detach()
    np.testing.assert_allclose(weight, start * 0.99**12, rtol=1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_scores_can_be_watched(layout):
    X, y = data()
    callbacks = [
        EpochScoring("accuracy", on_train=True, lower_is_better=False, name="right"),
        EpochScoring("f1_macro", lower_is_better=False, name="f1"),
    ]
    clf = make(early_stopping=True, callbacks=callbacks, random_state=3).fit(layout(X), y)
    random_state = check_random_state(3)
    random_state.randint(np.iinfo(np.int32).max, size=2)  # the seeds of weights and batches
    positions = clf.hierarchy_.node_indices(y)
    train, valid = stratified_holdout(positions, 0.1, random_state)
    best = int(np.argmin(clf.net_.history[:, "valid_loss"]))  # whose weights were kept
    assert clf.net_.history[best, "right"] == pytest.approx(clf.score(X[train], y[train]))
    expected = f1_score(y[valid], clf.predict(X[valid]), average="macro")
    assert clf.net_.history[best, "f1"] == pytest.approx(expected)


def test_checkpoints_keep_the_best_epoch(tmp_path):
    X, y = data(200, n_features=8)
    best = Checkpoint(dirname=str(tmp_path), load_best=True)  # monitors valid_loss_best
    params = {"hidden_layer_sizes": (30,), "learning_rate_init": 0.1, "early_stopping": True}
    saved = make(epochs=15, callbacks=[best], **params).fit(X, y)
    assert (tmp_path / "params.pt").exists()
    kept = make(epochs=15, **params).set_params(tol=0.0).fit(X, y)
    np.testing.assert_array_equal(saved.predict_proba(X), kept.predict_proba(X))
    is_best = saved.net_.history[:, "valid_loss_best"]
    losses = saved.net_.history[:, "valid_loss"]
    assert is_best == [loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)]
    assert not all(is_best)


# -- interruptions


class Bomb(Callback):
    """Raises in the middle of the second epoch while armed."""

    error = None

    def on_batch_end(self, net, training, **kwargs):
        epoch = net.history[-1]
        if Bomb.error is not None and epoch["epoch"] % 3 == 2 and len(epoch["batches"]) == 2:
            raise Bomb.error


@pytest.fixture(params=["callback", "module", "gradient"])
def armed(request, monkeypatch):
    """Parameters of a classifier whose training breaks off, and a switch to arm it."""

    def arm(error):
        if request.param == "callback":
            monkeypatch.setattr(Bomb, "error", error)
        elif error is not None:
            calls = iter(range(100))
            name = {"module": "last_hidden", "gradient": "path_nll"}[request.param]
            from hierclf.nn import HierarchicalSoftmax, HierarchyNetwork

            owner = {"module": HierarchyNetwork, "gradient": HierarchicalSoftmax}[request.param]
            original = getattr(owner, name)

            def breaks(self, *args, **kwargs):
                if next(calls) == 5:
                    raise error
                return original(self, *args, **kwargs)

            monkeypatch.setattr(owner, name, breaks)
            arm.undo = lambda: monkeypatch.setattr(owner, name, original)
        else:
            arm.undo()

    arm.params = {"callbacks": [Bomb()]} if request.param == "callback" else {}
    return arm


ERRORS = pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of luck")])


def snapshot(clf):
    return {name: id(value) for name, value in vars(clf).items()}


@ERRORS
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_first_fit_that_breaks_off_leaves_the_classifier_unfitted(armed, error, warm_start):
    X, y = data()
    clf = make(**armed.params, warm_start=warm_start)
    before = snapshot(clf)
    armed(error)
    with pytest.raises(type(error)) as caught:
        clf.fit(X, y)
    assert caught.value is error
    assert snapshot(clf) == before
    armed(None)
    expected = make(**armed.params).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), expected)


@ERRORS
def test_a_refit_that_breaks_off_leaves_the_old_model(armed, error):
    pd = pytest.importorskip("pandas")
    X, y = data()
    X = pd.DataFrame(X, columns=list("klmn"))
    clf = make(**armed.params, epochs=4).fit(X, y)
    before, proba = snapshot(clf), clf.predict_proba(X)
    other = pd.DataFrame(np.ones((60, 2)), columns=["p", "q"])
    armed(error)
    with pytest.raises(type(error)):
        clf.fit(other, np.array(["a", "b"])[np.arange(60) % 2])
    armed(None)
    assert snapshot(clf) == before
    assert clf.n_features_in_ == 4
    assert clf.feature_names_in_.tolist() == list("klmn")
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    assert clf.score(X, y) > 0


@ERRORS
def test_a_warm_fit_that_breaks_off_can_be_taken_up_again(armed, error):
    X, y = data()
    clf = make(**armed.params, epochs=3, warm_start=True).fit(X, y)
    curve, proba = list(clf.loss_curve_), clf.predict_proba(X)
    armed(error)
    with pytest.raises(type(error)):
        clf.fit(X, y)
    armed(None)
    # The weights are those of the last whole batch: one epoch and some batches on. What
    # tells of epochs counts the whole one, which is that of a fit that does not break off.
    assert abs(clf.predict_proba(X) - proba).max() > 1e-5
    whole = make(epochs=4).fit(X, y)
    assert clf.loss_curve_ == whole.loss_curve_
    assert clf.n_iter_ == 4
    assert pickle.loads(pickle.dumps(clf)).loss_curve_ == whole.loss_curve_
    assert abs(clf.predict_proba(X) - whole.predict_proba(X)).max() > 1e-6
    clf.fit(X, y)
    assert clf.loss_curve_[:3] == curve
    assert clf.n_iter_ == len(clf.net_.history) == 3 + 1 + 3  # no half epoch is counted
    assert all("train_loss" in row for row in clf.net_.history)
    assert clf.loss_curve_[-1] < curve[-1]


class Hook(Callback):
    """Raises once, in the hook and the epoch it is told."""

    at = None

    def maybe(self, hook, net):
        if Hook.at == (hook, len(net.history)):
            Hook.at = None
            raise Hook.error

    def on_train_begin(self, net, **kwargs):
        self.maybe("on_train_begin", net)

    def on_epoch_begin(self, net, **kwargs):
        self.maybe("on_epoch_begin", net)

    def on_batch_begin(self, net, training, **kwargs):
        self.maybe("on_batch_begin" if training else "on_valid_batch_begin", net)

    def on_grad_computed(self, net, **kwargs):
        self.maybe("on_grad_computed", net)

    def on_epoch_end(self, net, **kwargs):
        self.maybe("on_epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self.maybe("on_train_end", net)


# Where a second fit of three epochs breaks off, and how many the weights have then seen.
PHASES = {
    ("on_train_begin", 3): 3,
    ("on_epoch_begin", 4): 3,
    ("on_batch_begin", 5): 4,
    ("on_grad_computed", 5): 4,
    ("on_valid_batch_begin", 5): 5,
    ("on_epoch_end", 5): 5,
    ("on_train_end", 6): 6,
}


@pytest.mark.parametrize("at", PHASES, ids=lambda at: at[0])
@ERRORS
def test_epochs_are_counted_wherever_a_warm_fit_breaks_off(at, error):
    if at[0] == "on_epoch_end" and isinstance(error, KeyboardInterrupt):
        pytest.skip("there it is skorch's request to stop, see below")
    X, y = data()
    params = {"early_stopping": True, "tol": 0.0}
    clf = make(**params, epochs=3, warm_start=True, callbacks=[Hook()]).fit(X, y)
    Hook.at, Hook.error = at, error
    with pytest.raises(type(error)) as caught:
        clf.fit(X, y)
    assert caught.value is error
    assert clf.n_iter_ == len(clf.loss_curve_) == PHASES[at]
    clf.fit(X, y)
    assert clf.n_iter_ == PHASES[at] + 3
    fresh = make(**params, epochs=3, callbacks=[Hook()])
    before = snapshot(fresh)
    Hook.at = at[0], at[1] - 3
    with pytest.raises(type(error)):
        fresh.fit(X, y)
    assert snapshot(fresh) == before
    assert not hasattr(fresh, "n_iter_")
    assert not hasattr(fresh, "loss_curve_")


def test_a_lazy_optimiser_owes_nothing_after_an_interruption(monkeypatch):
    """Decay that was put off is caught up, so that the weights are those of whole steps."""
    X, y = sparse_data()
    X = sp.hstack([X, sp.csr_array((60, 2))]).tocsr()
    params = {"hidden_layer_sizes": (), "weight_decay": 0.5, "learning_rate_init": 0.02}
    for optimizer in ("auto", "adamw"):
        params["optimizer"] = optimizer
        clf = make(**params, callbacks=[Bomb()], epochs=1, warm_start=True).fit(X, y)
        start = clf.net_.module_.head.linear.weight.detach()[-2:].clone()
        monkeypatch.setattr(Bomb, "error", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, y)
        monkeypatch.setattr(Bomb, "error", None)
        weight = clf.net_.module_.head.linear.weight.detach()[-2:]
        np.testing.assert_allclose(weight, start * 0.99**2, rtol=1e-9)  # two batches


def test_a_request_to_stop_at_the_end_of_an_epoch_is_no_interruption():
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    X, y = data()
    clf = make(epochs=10, callbacks=[Enough()]).set_params(n_iter_no_change=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.fit(X, y)
    assert clf.n_iter_ == 2
    expected = make(epochs=2).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # scikit-learn's own sum
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("params", [{}, {"hidden_layer_sizes": ()}, {"early_stopping": True}])
@pytest.mark.parametrize(
    ("dtype", "large"), [(np.float32, 3.4e38), (np.float32, 1e30), (np.float64, 1e308)]
)
def test_features_too_large_to_learn_from_are_an_error(dtype, large, params, layout):
    """The square of a gradient is infinite, and Adam's steps are then 0: no loss tells."""
    X, y = data()
    X = X.astype(dtype)
    X[:12] = np.where(X[:12] > 0, large, -large)
    clf = make(cls=FlatSoftmaxClassifier, **params)
    with pytest.raises(
        ValueError,
        match=rf"diverged: .* whose largest is {large:.3g}, or lower".replace("+", "\\+"),
    ):
        clf.fit(layout(X), y)
    assert not hasattr(clf, "classes_")


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # scikit-learn's own sum
def test_features_that_a_bounded_layer_takes_are_none():
    """The limit of tanh is 1 or -1, and what follows it is computed as ever."""
    X, y = data()
    large = (X * 1e308).clip(-1e308, 1e308)
    clf = make(activation="tanh").fit(large, y)
    weight = clf.net_.module_.hidden[0].weight.detach().numpy()
    hidden = np.sign(X.clip(-1, 1) @ weight)
    head = clf.net_.module_.head
    expected = head(torch.from_numpy(hidden)).exp().detach().numpy()
    np.testing.assert_allclose(clf.predict_node_proba(large), expected, rtol=1e-9)


def test_training_that_diverges_is_an_error():
    X, y = data()
    clf = make(optimizer="sgd", learning_rate_init=1e200, activation="identity")
    with pytest.raises(ValueError, match=r"diverged: .* lower learning_rate_init \(now 1e\+200\)"):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


def test_a_warm_start_that_diverges_goes_back_to_where_it_started():
    X, y = data()
    clf = make(optimizer="sgd", activation="identity", warm_start=True).fit(X, y)
    expected, epochs = clf.predict_proba(X), clf.n_iter_
    with pytest.raises(ValueError, match="diverged"):
        clf.set_params(learning_rate_init=1e200).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    assert clf.n_iter_ == epochs
    clf.set_params(learning_rate_init=1e-3).fit(X, y)
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]
    assert clf.n_iter_ == 2 * epochs


def test_a_warm_start_that_diverges_after_whole_epochs_forgets_them():
    class Blow(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 6:
                net.set_params(lr=1e200)

    X, y = data()
    clf = make(optimizer="sgd", activation="identity", warm_start=True).fit(X, y)
    expected, curve = clf.predict_proba(X), clf.loss_curve_
    with pytest.raises(ValueError, match="diverged"):
        clf.set_params(callbacks=[Blow()]).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    assert clf.loss_curve_ == curve


# -- what is printed


def test_verbose_prints_a_line_per_epoch(capsys):
    X, y = data()
    make(epochs=3).fit(X, y).predict(X)
    assert capsys.readouterr() == ("", "")
    params = {"epochs": 20, "verbose": 1, "early_stopping": True}
    clf = make(**params).set_params(n_iter_no_change=2, tol=5.0).fit(X, y)
    out, err = capsys.readouterr()
    plain = re.sub(r"\x1b\[\d+m", "", out)
    rows = [line.split() for line in plain.splitlines() if re.match(r" +\d+ ", line)]
    assert err == ""
    assert plain.split()[:4] == ["epoch", "train_loss", "valid_loss", "dur"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [float(row[1]) for row in rows] == pytest.approx(clf.loss_curve_, abs=1e-4)
    valid = clf.net_.history[:, "valid_loss"]
    assert [float(row[2]) for row in rows] == pytest.approx(valid, abs=1e-4)
