"""Training a block at a time: against whole fits, and against a loop by hand."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import DataConversionWarning, NotFittedError
from skorch.callbacks import Callback

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy
from hierclf.classifiers._features import InputReader
from hierclf.encoders import LSTMEncoder
from hierclf.induction import BalancedHierarchy
from hierclf.losses import BaseLoss, PathCrossEntropy

CLASSES = [HierarchicalSoftmaxClassifier, FlatSoftmaxClassifier]
TREE = {"root": ["a", "x", "y"], "x": ["b", "c"], "y": ["d", "e"]}
BIGGER = {"root": ["a", "x", "y", "z"], "x": ["b", "c", "n"], "y": ["d", "e"], "z": ["f", "g"]}
LABELS = np.array(list("abcde"))


def make(cls=HierarchicalSoftmaxClassifier, hierarchy=TREE, **params):
    defaults = {"hidden_layer_sizes": (5,), "learning_rate_init": 0.02, "random_state": 0}
    return cls(hierarchy, **{**defaults, "batch_size": 16, **params})


def data(n=60, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 5
    return rng.normal(size=(5, 4))[codes] + rng.normal(size=(n, 4)), LABELS[codes]


def in_blocks(X, y, size=25):
    return [(X[i : i + size], y[i : i + size]) for i in range(0, len(y), size)]


def state_of(clf):
    """Return all that training has changed."""
    weights = {name: v.clone() for name, v in clf.net_.module_.state_dict().items()}
    return weights, list(clf.loss_curve_), clf._stream.counts.copy()


def assert_same(clf, state):
    weights, losses, counts = state_of(clf)
    assert weights.keys() == state[0].keys()
    assert all(torch.equal(weights[name], state[0][name]) for name in weights)
    assert losses == state[1]
    assert counts.tolist() == state[2].tolist()


# -- what it learns


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("optimizer", ["auto", "adamw", "adam", "sgd"])
@pytest.mark.parametrize("cls", CLASSES)
def test_calls_with_all_rows_are_the_epochs_of_a_fit(cls, optimizer, hidden, layout):
    X, y = data()
    X = layout(X)
    params = {"optimizer": optimizer, "hidden_layer_sizes": hidden, "weight_decay": 0.1}
    params |= {"dropout": 0.2 if hidden else 0.0}
    once = make(cls, **params, max_iter=4, n_iter_no_change=4, tol=0.0).fit(X, y)
    clf = make(cls, **params)
    for i in range(4):
        clf.partial_fit(X, y)
        clf = pickle.loads(pickle.dumps(clf)) if i == 1 else clf  # optimiser and order go along
        assert clf.n_iter_ == i + 1
    # Running counts of the classes are multiples of those of one pass, but for rounding.
    tol = 1e-12 if optimizer == "auto" and not hidden else 0.0
    np.testing.assert_allclose(clf.loss_curve_, once.loss_curve_, rtol=tol)
    np.testing.assert_allclose(clf.predict_node_proba(X), once.predict_node_proba(X), rtol=tol)
    assert clf.classes_.tolist() == once.classes_.tolist()
    assert clf.classes_.dtype == once.classes_.dtype


class Record(Callback):
    """What there was at first, and the batches of all calls, in their order."""

    weights, batches = None, []

    def on_train_begin(self, net, **kwargs):
        Record.weights = Record.weights or copy.deepcopy(net.module_.head.linear.state_dict())

    def on_batch_begin(self, net, batch, training, **kwargs):
        Record.batches.append(batch)


def test_blocks_are_steps_of_one_loop_by_hand():
    """AdamW over the batches, with softmaxes written out group by group."""
    X, y = data()
    Record.weights, Record.batches = None, []
    clf = make(hidden_layer_sizes=(), weight_decay=0.3, callbacks=[Record()])
    for block in in_blocks(X, y) + in_blocks(X, y):
        clf.partial_fit(*block)
    assert [len(target) for _, (target, _) in Record.batches] == [16, 9, 16, 9, 10] * 2
    weight = torch.nn.Parameter(Record.weights["weight"].clone())
    bias = torch.nn.Parameter(Record.weights["bias"].clone())
    optimizer = torch.optim.AdamW([weight, bias], lr=0.02, weight_decay=0.3)
    tree = clf.hierarchy_
    for x, (target, _) in Record.batches:
        logits = x @ weight + bias
        losses = []
        for row, node in zip(logits, target.tolist(), strict=True):
            for step in (*tree.ancestors(tree.nodes[node]), tree.nodes[node]):
                if step == tree.root:
                    continue
                (parent,) = tree.parents(step)
                group = [tree.nodes.index(child) for child in tree.children(parent)]
                losses.append(row[group].logsumexp(0) - row[tree.nodes.index(step)])
        optimizer.zero_grad()
        (torch.stack(losses).sum() / len(target)).backward()
        optimizer.step()
    linear = clf.net_.module_.head.linear
    torch.testing.assert_close(linear.weight, weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(linear.bias, bias, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_pickled_and_a_live_estimator_go_on_alike(cls):
    X, y = data()
    blocks = in_blocks(X, y)
    for rows in (np.asarray, sp.csr_array):
        clf = make(cls, dropout=0.3).partial_fit(rows(blocks[0][0]), blocks[0][1])
        other = pickle.loads(pickle.dumps(clf))
        for block, labels in blocks[1:]:
            clf.partial_fit(rows(block), labels)
            other.partial_fit(rows(block), labels)
        assert_same(other, state_of(clf))


def test_a_fit_goes_on_and_a_fit_starts_anew():
    X, y = data()
    fit = make(max_iter=3, n_iter_no_change=3).fit(X, y)
    assert fit.net_.optimizer_ is None
    first = list(fit.loss_curve_)
    clf = copy.deepcopy(fit).partial_fit(X, y)
    assert clf.loss_curve_[:3] == first
    assert clf.n_iter_ == 4
    assert clf.loss_curve_[3] < first[-1] < first[0]
    # The rows of the fit count as seen; its optimiser is not kept, that of warm_start is.
    assert clf._stream.counts.sum() == 2 * len(y)
    warm = make(max_iter=3, n_iter_no_change=3, warm_start=True).fit(X, y).partial_fit(X, y)
    longer = make(max_iter=4, n_iter_no_change=4).fit(X, y)
    np.testing.assert_array_equal(warm.predict_proba(X), longer.predict_proba(X))
    clf.fit(X, y)
    assert clf.loss_curve_ == first
    assert clf._stream.counts.sum() == len(y)
    assert clf.net_.optimizer_ is None
    # A warm fit goes on from a stream of the same classes.
    clf = make(warm_start=True).partial_fit(X, y).set_params(max_iter=2, n_iter_no_change=2)
    assert clf.fit(X, y).n_iter_ == 3


def test_settings_may_change_between_calls():
    X, y = data()
    clf = make(weight_decay=0.0).partial_fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(learning_rate_init=1e-12, batch_size=60).partial_fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), before, rtol=1e-8)
    # max_iter, tol and n_iter_no_change are those of a fit
    clf.set_params(max_iter=1, tol=100.0, n_iter_no_change=1)
    for _ in range(3):
        clf.partial_fit(X, y)
    assert clf.n_iter_ == 5


class Spy(BaseLoss):
    """A loss that tells which counts it was given."""

    counts = None

    def build(self, hierarchy, *, head, counts):
        Spy.counts = dict(zip(hierarchy.nodes, counts.tolist(), strict=True))
        return PathCrossEntropy().build(hierarchy, head=head, counts=counts)


def test_a_loss_is_given_the_counts_so_far():
    X, y = data()
    clf = make(loss=Spy())
    clf.partial_fit(X[:5], y[:5])
    assert Spy.counts == {"a": 1, "x": 2, "y": 2, "b": 1, "c": 1, "d": 1, "e": 1}
    clf.partial_fit(X[:3], ["x", "b", "a"])
    assert Spy.counts == {"a": 2, "x": 4, "y": 2, "b": 2, "c": 1, "d": 1, "e": 1}
    clf.partial_fit(X[:3], ["d", "d", "e"], sample_weight=[0.5, 0, 3])
    assert Spy.counts == {"a": 2, "x": 4, "y": 5.5, "b": 2, "c": 1, "d": 1.5, "e": 4}
    clf.set_params(hierarchy={**TREE, "root": ["a", "x"], "x": ["b", "c", "y"]})
    clf.partial_fit(X[:1], ["a"])
    assert Spy.counts == {"a": 3, "x": 9.5, "y": 5.5, "b": 2, "c": 1, "d": 1.5, "e": 4}


def test_weights_are_not_scaled_and_a_weight_of_two_is_two_samples():
    """One batch, plain SGD: the gradient of a mean over three rows, and over four."""

    def sgd(params, lr, weight_decay):
        return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay)

    X, y = data(3)
    params = {"optimizer": sgd, "batch_size": 8, "weight_decay": 0.0}
    start = make(**params, learning_rate_init=1e-300).partial_fit(X, y).net_.module_
    start = [p.detach().clone() for p in start.parameters()]

    def moves(X, y, **weights):
        clf = make(**params, class_weight=weights.pop("class_weight", None))
        clf.partial_fit(X, y, **weights)
        return [(a - b).detach() for a, b in zip(clf.net_.module_.parameters(), start, strict=True)]

    twice = moves(X[[0, 1, 2, 2]], y[[0, 1, 2, 2]])
    for weighted in (
        moves(X, y, sample_weight=[1, 1, 2]),
        moves(X, y, class_weight={"c": 2.0}),
        moves(X, y, class_weight={"b": 4.0, "c": 2.0}, sample_weight=[1, 0.25, 1]),
    ):
        for one, other in zip(weighted, twice, strict=True):
            torch.testing.assert_close(one * 3, other * 4, rtol=1e-9, atol=1e-12)
    for one, other in zip(
        moves(X, y, sample_weight=[5, 5, 5]), moves(X, y, sample_weight=[1, 1, 1]), strict=True
    ):
        torch.testing.assert_close(one, 5 * other, rtol=1e-9, atol=1e-12)
    without = moves(X[:2], y[:2])
    for one, other in zip(moves(X, y, sample_weight=[1, 1, 0]), without, strict=True):
        torch.testing.assert_close(one, other)


def test_callbacks_are_copied_and_called_for_each_block():
    calls = []

    class Log(Callback):
        def on_epoch_end(self, net, **kwargs):
            calls.append((id(self), len(net.history)))

    X, y = data()
    mine = Log()
    clf = make(callbacks=[mine])
    for _ in range(3):
        clf.partial_fit(X, y)
    assert [n for _, n in calls] == [1, 2, 3]
    assert id(mine) not in {i for i, _ in calls}


# -- classes and labels


@pytest.mark.parametrize("cls", CLASSES)
def test_classes_are_all_leaves_or_those_given(cls):
    X, y = data()
    clf = make(cls).partial_fit(X[:2], y[:2])
    assert clf.classes_.tolist() == list("abcde")
    assert clf.hierarchy_ == Hierarchy.from_dict(TREE)
    assert clf.predict_proba(X).shape == (60, 5)
    clf.partial_fit(X[2:], y[2:], classes=list("edcba"))
    clf = make(cls).partial_fit(X[:2], y[:2], classes=["b", "a", "y"])
    assert clf.classes_.tolist() == ["a", "b", "d", "e"]
    assert set(clf.hierarchy_.nodes) == {"a", "x", "y", "b", "d", "e"}
    for same in (["b", "a", "y"], np.array(["a", "b", "y", "y"]), clf.classes_, None):
        clf.partial_fit(X[:2], y[:2], classes=same)
    clf = make(cls, hierarchy=None).partial_fit(X[:2], y[:2], classes=pd.Series(list("dcba")))
    assert clf.classes_.tolist() == list("abcd")
    assert clf.classes_.dtype == object
    clf = make(cls, hierarchy=None).partial_fit(X[:2], [3, 1], classes=np.array([1, 2, 3], "i4"))
    assert clf.classes_.dtype == np.dtype("i4")
    assert clf.predict(X).dtype == np.dtype("i4")


@pytest.mark.parametrize("cls", CLASSES)
def test_paths(cls):
    X, y = data()
    paths = Hierarchy.from_dict(TREE).paths_from_leaves(y)
    known = make(cls).partial_fit(X, paths)
    assert known.partial_fit(X, paths.tolist()).predict(X).shape == (60, 2)
    told = make(cls, hierarchy=None).partial_fit(X, paths, classes=paths).partial_fit(X, paths)
    assert told.hierarchy_.nodes == known.hierarchy_.nodes
    np.testing.assert_array_equal(told.predict_proba(X), known.predict_proba(X))
    labels = make(cls).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(labels.predict_proba(X), known.predict_proba(X))
    frame = pd.DataFrame(paths, columns=["top", "below"])
    clf = make(cls).partial_fit(frame_of(X), frame).partial_fit(frame_of(X), frame)
    assert (
        clf.predict(frame_of(X), level="top").tolist() == clf.predict(frame_of(X), level=0).tolist()
    )
    with pytest.raises(ValueError, match=r"columns \('below', 'top'\), and the samples before had"):
        clf.partial_fit(frame_of(X), frame[["below", "top"]])
    with pytest.raises(ValueError, match="y holds single labels, and the samples before had paths"):
        clf.partial_fit(frame_of(X), y)
    with pytest.raises(ValueError, match="y holds paths, and the samples before had single labels"):
        labels.partial_fit(X, paths)
    column = make(cls)
    with pytest.warns(DataConversionWarning, match="column-vector") as caught:
        column.partial_fit(X, y[:, None])
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(
        column.partial_fit(X, y).predict_proba(X), labels.predict_proba(X)
    )


def frame_of(X):
    return pd.DataFrame(X, columns=list("pqrs"))


@pytest.mark.parametrize("cls", CLASSES)
def test_inner_labels(cls):
    X, y = data()
    coarse = np.where(np.arange(60) % 7 == 0, "x", y)
    clf = make(cls).partial_fit(X, coarse)
    fit = make(cls, max_iter=1, tol=0.0, n_iter_no_change=1).fit(X, coarse)
    np.testing.assert_array_equal(clf.predict_proba(X), fit.predict_proba(X))
    itself = make(cls, inner_labels="itself")
    with pytest.raises(ValueError, match="not among the classes: 'x'"):
        itself.partial_fit(X, coarse)
    assert not hasattr(itself, "classes_")
    itself.partial_fit(X[:3], coarse[:3], classes=[*"abcde", "x"]).partial_fit(X[3:], coarse[3:])
    assert itself.classes_.tolist() == [*"abcde", "x"]
    assert "x (itself)" in itself.hierarchy_
    itself = make(cls, inner_labels="itself")
    itself.partial_fit(X, coarse, classes=np.unique(coarse))
    fit.set_params(inner_labels="itself").fit(X, coarse)
    np.testing.assert_array_equal(itself.predict_proba(X), fit.predict_proba(X))
    # After a fit, too, each class is a label, and other inner nodes are none.
    fit.partial_fit(X[:2], ["x", "b"])
    by_label = dict(zip(fit._stream.hierarchy.nodes, fit._stream.counts, strict=True))
    assert by_label["x"] == (coarse == "x").sum() + 1
    with pytest.raises(ValueError, match="not among the classes: 'y'"):
        fit.partial_fit(X[:1], ["y"])
    with pytest.raises(ValueError, match="inner_labels was 'itself' and is now 'below'"):
        fit.set_params(inner_labels="below").partial_fit(X, y)


def test_an_inducer_builds_its_tree_from_the_first_block():
    X, y = data()
    clf = make(hierarchy=BalancedHierarchy(2))
    with pytest.raises(ValueError, match="the first call of partial_fit needs classes"):
        clf.partial_fit(X, y)
    with pytest.raises(ValueError, match=r"first block, which has no samples of 'c', 'd', 'e'"):
        clf.partial_fit(X[:2], y[:2], classes=LABELS)
    clf.partial_fit(X, y, classes=LABELS)
    assert clf.hierarchy_ == Hierarchy.balanced(LABELS, 2)
    clf.partial_fit(X[:2], y[:2])  # goes on with the same
    assert clf.hierarchy_ == Hierarchy.balanced(LABELS, 2)
    with pytest.raises(ValueError, match="hierarchy is now BalancedHierarchy"):
        clf.set_params(hierarchy__branching=3).partial_fit(X, y)
    with pytest.raises(ValueError, match="hierarchy is now None"):
        clf.set_params(hierarchy=None).partial_fit(X, y)
    clf.set_params(hierarchy=TREE).partial_fit(X, y)
    assert clf.hierarchy_ == Hierarchy.from_dict(TREE)


def test_texts_and_tokens():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 20, size=(60, 6))
    _, y = data()
    clf = make(encoder=LSTMEncoder(4, embedding_dim=3), hidden_layer_sizes=())
    once = copy.deepcopy(clf).set_params(max_iter=2, tol=0.0, n_iter_no_change=2).fit(tokens, y)
    for _ in range(2):
        clf.partial_fit(tokens, y)
    np.testing.assert_array_equal(clf.predict_proba(tokens), once.predict_proba(tokens))
    assert not hasattr(clf, "n_features_in_")


# -- refusals


def refuse(clf, message, *args, **kwargs):
    """Check that a call is refused, and that nothing has changed."""
    before = vars(clf).copy()
    state = state_of(clf) if hasattr(clf, "net_") else None
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(*args, **kwargs)
    after = vars(clf)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    if state:
        assert_same(clf, state)


X, Y = data()
REFUSED = {
    "no classes": ({"hierarchy": None}, {}, "the first call of partial_fit needs classes"),
    "an unknown class": ({}, {"classes": ["a", "q"]}, "classes cannot be read.*'q'"),
    "one class, not a list": ({}, {"classes": "a"}, "classes"),
    "classes with numbers": ({"hierarchy": None}, {"classes": [0.5, 1.5]}, "classes cannot be"),
    "a label not given": ({}, {"classes": list("abcd")}, "not among the classes: 'e'"),
    "a label not listed": ({"hierarchy": None}, {"classes": list("abcd")}, "first call.*'e'"),
    "early_stopping": ({"early_stopping": True}, {}, "early_stopping=True holds samples"),
    "refit": ({"refit": True}, {}, "refit=True trains anew"),
    "balanced": ({"class_weight": "balanced"}, {}, "compute_class_weight"),
    "a key": ({"class_weight": {"q": 2}}, {}, "class_weight has keys that are no labels: .'q'"),
    "a negative weight": ({}, {"sample_weight": np.full(60, -1.0)}, "sample_weight"),
    "zero weights": ({}, {"sample_weight": np.zeros(60)}, "non-zero|is 0 for every row"),
    "reversed edges": ({"hierarchy": [("a", "t"), ("b", "t"), ("c", "t"), ("d", "t"), ("e", "t")]},
                       {}, "seem reversed"),
    "a level weight": ({"loss": PathCrossEntropy([1.0])}, {}, "level_weights must have one"),
    "batch_size": ({"batch_size": 0}, {}, "batch_size"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_the_first_call(name):
    params, given, message = REFUSED[name]
    clf = make(**params)
    refuse(clf, message, X, Y, **given)
    with pytest.raises(NotFittedError):
        clf.predict(X)


LATER = {
    "other classes": ({}, {"classes": list("abcd")}, "others than before, without 'e'"),
    "more classes": ({}, {"classes": list("abcdef")}, "classes cannot be read.*'f'"),
    "a label": ({}, {"y": np.full(60, "q")}, "'q'"),
    "fewer columns": ({}, {"X": X[:, 1:]}, "X has 3 features, but .* is expecting 4"),
    "no hierarchy": ({"hierarchy": None}, {}, "goes on with the hierarchy.* is now None"),
    "another network": ({"hidden_layer_sizes": (6,)}, {},
                        r"partial_fit goes on training the same network: hidden_layer_sizes was"),
    "another optimizer": ({"optimizer": "sgd"}, {}, "optimizer was 'auto' and is now 'sgd'"),
    "batch_size": ({"batch_size": -1}, {}, "batch_size"),
    "early_stopping": ({"early_stopping": True}, {}, "early_stopping=True holds samples"),
    "balanced": ({"class_weight": "balanced"}, {}, "compute_class_weight"),
    "a node with samples": ({"hierarchy": {"root": ["a", "x", "y"], "x": ["b"], "y": ["d"]}}, {},
                            "there have been samples of 'c', 'e', which the new hierarchy"),
    "a level weight": ({"loss": PathCrossEntropy([1.0, 1.0]),
                        "hierarchy": {**BIGGER, "f": ["f1"]}}, {}, "level_weights must have one"),
}  # fmt: skip


@pytest.mark.parametrize("after", ["partial_fit", "fit"])
@pytest.mark.parametrize("name", LATER)
def test_refused_later(name, after):
    params, given, message = LATER[name]
    clf = make(max_iter=1, n_iter_no_change=1)
    getattr(clf, after)(X, Y)
    before = clf.get_params()
    clf.set_params(**params)
    refuse(clf, message, **({"X": X, "y": Y} | given))
    clf.set_params(**{name: before[name] for name in params})
    assert clf.partial_fit(X, Y).n_iter_ == 2


def test_after_a_fit_its_labels_are_the_classes():
    keep = np.isin(Y, ["a", "b", "d"])
    clf = make(max_iter=1, n_iter_no_change=1).fit(X[keep], Y[keep])
    refuse(clf, "not among the classes: 'c', 'e'", X, Y)
    clf.partial_fit(X[keep], Y[keep], classes=["a", "b", "d"])
    # Another hierarchy has all its leaves, as at a first call.
    clf.set_params(hierarchy=BIGGER).partial_fit(X, Y)
    assert clf.classes_.tolist() == list("abcdefgn")


# -- interruptions


class Break(Callback):
    at, what = 2, KeyboardInterrupt

    def on_batch_begin(self, net, training, **kwargs):
        self.n = getattr(self, "n", 0) + 1
        if self.n > Break.at:
            raise Break.what


def test_a_first_call_that_breaks_off_leaves_it_unfitted():
    clf = make(callbacks=[Break()])
    before = vars(clf).copy()
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X, Y)
    assert vars(clf) == before
    with pytest.raises(NotFittedError):
        clf.predict(X)


class Snapshot(Callback):
    """The weights before each batch."""

    weights = None

    def on_batch_begin(self, net, training, **kwargs):
        Snapshot.weights.append(copy.deepcopy(net.module_.state_dict()))


@pytest.mark.parametrize("hierarchy", [TREE, BIGGER])
def test_a_later_call_goes_on_from_the_last_whole_batch(hierarchy):
    clf = make().partial_fit(X, Y)
    whole = copy.deepcopy(clf).set_params(hierarchy=hierarchy, callbacks=[Snapshot()])
    Snapshot.weights = []
    whole.partial_fit(X, Y)
    clf.set_params(hierarchy=hierarchy, callbacks=[Break()])
    with pytest.raises(KeyboardInterrupt):
        clf.partial_fit(X, Y)
    # It has grown, and knows what the first two batches taught.
    assert clf.hierarchy_ == Hierarchy.from_dict(hierarchy)
    assert clf.n_iter_ == 1
    for name, values in clf.net_.module_.state_dict().items():
        assert torch.equal(values, Snapshot.weights[2][name])
    assert clf.predict_proba(X).shape == (60, len(clf.classes_))
    assert clf.set_params(callbacks=None).partial_fit(X, Y).n_iter_ == 2


def test_what_breaks_off_before_training_has_not_grown(monkeypatch):
    """A frozen encoder, say, may take long to read the block."""
    clf = make().partial_fit(X, Y)
    proba = clf.predict_proba(X)

    def rows(*args):
        raise KeyboardInterrupt

    clf.set_params(hierarchy=BIGGER)
    with monkeypatch.context() as patched:
        patched.setattr(InputReader, "rows", rows)
        with pytest.raises(KeyboardInterrupt):
            clf.partial_fit(X, Y)
    assert clf.hierarchy_ == Hierarchy.from_dict(TREE)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    assert clf.partial_fit(X, Y).classes_.tolist() == list("abcdefgn")


def test_a_call_that_diverges_leaves_the_weights_before_it():
    clf = make().partial_fit(X, Y)
    before = {name: v.clone() for name, v in clf.net_.module_.state_dict().items()}
    clf.set_params(learning_rate_init=1e308)
    with pytest.raises(ValueError, match="training diverged"):
        clf.partial_fit(X * 1e300, Y)
    assert clf.n_iter_ == 1
    for name, values in clf.net_.module_.state_dict().items():
        assert torch.equal(values, before[name])
    clf.set_params(learning_rate_init=0.01).partial_fit(X, Y)
    assert clf.n_iter_ == 2


# -- growing


def by_name(clf):
    """Return the row of the head of each node, or leaf, by name; the bias at its end."""
    linear = clf.net_.module_.head.linear
    weight = linear.weight.t() if linear.row_dim else linear.weight
    rows = torch.cat([weight, linear.bias.unsqueeze(1)], dim=1).detach().numpy().copy()
    flat = len(rows) == len(clf.hierarchy_.leaves) != len(clf.hierarchy_)
    return dict(zip(clf.hierarchy_.leaves if flat else clf.hierarchy_.nodes, rows, strict=True))


STILL = {"learning_rate_init": 1e-300, "weight_decay": 0.0}


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("hidden", [(), (5,)])
@pytest.mark.parametrize("before", ["fit", "partial_fit"])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_bigger_hierarchy_keeps_what_was_learnt(cls, before, hidden, layout):
    rows = layout(X)
    clf = make(cls, hidden_layer_sizes=hidden, max_iter=3, n_iter_no_change=3)
    getattr(clf, before)(rows, Y)
    old, proba = by_name(clf), clf.predict_node_proba(rows)
    column = {node: i for i, node in enumerate(clf.hierarchy_.nodes)}
    clf.set_params(hierarchy=BIGGER, **STILL).partial_fit(rows[:1], Y[:1])
    new = by_name(clf)
    assert clf.classes_.tolist() == list("abcdefgn")
    assert clf.hierarchy_ == Hierarchy.from_dict(BIGGER)
    for name, row in old.items():
        np.testing.assert_allclose(new[name], row, rtol=1e-12)
    np.testing.assert_allclose(new["n"], (old["b"] + old["c"]) / 2, rtol=1e-12)
    now = clf.predict_node_proba(rows)
    place = {node: i for i, node in enumerate(clf.hierarchy_.nodes)}
    if cls is HierarchicalSoftmaxClassifier:
        np.testing.assert_allclose(new["z"], (old["a"] + old["x"] + old["y"]) / 3, rtol=1e-12)
        assert not new["f"].any()
        assert not new["g"].any()
        # The children of "y" are those that they were: P(d | y) has not changed.
        was = proba[:, column["d"]] / proba[:, column["y"]]
        np.testing.assert_allclose(now[:, place["d"]] / now[:, place["y"]], was, rtol=1e-12)
        np.testing.assert_allclose(now[:, place["f"]], now[:, place["g"]])
    else:
        mean = np.mean([old[name] for name in "abcde"], axis=0)
        np.testing.assert_allclose(new["f"], mean, rtol=1e-12)
    # Odds of old siblings are what they were.
    was = proba[:, column["b"]] / proba[:, column["c"]]
    np.testing.assert_allclose(now[:, place["b"]] / now[:, place["c"]], was, rtol=1e-12)
    np.testing.assert_allclose(now[:, clf.hierarchy_.leaf_indices].sum(1), 1)
    assert pickle.loads(pickle.dumps(clf)).predict(rows).tolist() == clf.predict(rows).tolist()


@pytest.mark.parametrize("optimizer", ["auto", "adamw", "adam", "sgd"])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("cls", CLASSES)
def test_what_has_grown_learns_its_new_classes(cls, layout, optimizer):
    rng = np.random.default_rng(1)
    clf = make(cls, optimizer=optimizer, hidden_layer_sizes=(), learning_rate_init=0.05)
    for _ in range(5):
        clf.partial_fit(layout(X), Y)
    clf.set_params(hierarchy=BIGGER)
    labels = np.array([*"abcde", *"nfg"])[np.arange(400) % 8]
    centres = np.concatenate([rng.normal(size=(8, 4)) * 4])
    rows = centres[np.arange(400) % 8] + rng.normal(size=(400, 4)) * 0.3
    for _ in range(30):
        clf.partial_fit(layout(rows), labels)
    assert clf.score(layout(rows), labels) > 0.9
    assert max(clf.loss_curve_[6:]) < 8  # no leap when the new rows begin to move


def test_moved_nodes_take_their_row_along_and_nodes_without_samples_may_go():
    clf = make().partial_fit(X[Y != "e"], Y[Y != "e"])
    old = by_name(clf)
    clf.set_params(hierarchy={"root": ["a", "x", "b"], "x": ["c", "d"]}, **STILL)
    clf.partial_fit(X[:1], Y[:1])
    new = by_name(clf)
    assert new.keys() == {"a", "b", "c", "d", "x"}
    for name, row in new.items():
        np.testing.assert_allclose(row, old[name], rtol=1e-12)
    refuse(clf.set_params(hierarchy={"root": ["a", "x"], "x": ["c", "d"]}), "'b'", X[:1], Y[:1])


def test_a_tree_becomes_a_dag():
    clf = make().partial_fit(X, Y)
    old = by_name(clf)
    edges = [*Hierarchy.from_dict(TREE).edges, ("y", "c")]
    clf.set_params(hierarchy=edges, **STILL).partial_fit(X[:1], Y[:1])
    linear = clf.net_.module_.head.linear
    rows = torch.cat([linear.weight, linear.bias.unsqueeze(1)], dim=1).detach().numpy()
    for (_, child), row in zip(clf.hierarchy_.edges, rows, strict=True):
        np.testing.assert_allclose(row, old[child], rtol=1e-12)
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)


def test_a_flat_list_of_classes_grows_into_a_taxonomy():
    clf = make(hierarchy=None).partial_fit(X, Y, classes=LABELS)
    old = by_name(clf)
    clf.set_params(hierarchy=TREE, **STILL).partial_fit(X[:1], Y[:1])
    new = by_name(clf)
    for name in "abcde":
        np.testing.assert_allclose(new[name], old[name], rtol=1e-12)
    np.testing.assert_allclose(new["x"], old["a"], rtol=1e-12)  # its one sibling that was there


def test_classes_that_were_given_are_given_again_when_the_hierarchy_grows():
    rows, labels = X[Y < "d"], Y[Y < "d"]
    clf = make().partial_fit(rows, labels, classes=list("abc"))
    clf.set_params(hierarchy=BIGGER)
    refuse(clf, "classes were given: give those of the new hierarchy", rows, labels)
    refuse(clf, "there have been samples of 'c'", rows, labels, classes=["a", "b", "f"])
    clf.partial_fit(rows, labels, classes=list("abcf"))
    assert clf.classes_.tolist() == list("abcf")


def test_a_leaf_that_is_an_answer_becomes_an_inner_node():
    """Its samples go on to stand for the node itself."""
    clf = make(inner_labels="itself", loss=Spy()).partial_fit(X, Y)
    bigger = {**TREE, "a": ["a1", "a2"]}
    clf.set_params(hierarchy=bigger).partial_fit(X[:2], ["a", "a1"], classes=[*LABELS, "a1", "a2"])
    assert clf.classes_.tolist() == ["a", "a1", "a2", "b", "c", "d", "e"]
    assert Spy.counts["a (itself)"] == 13
    assert Spy.counts["a"] == 14


def test_growing_again_and_again_is_growing_once():
    steps = [
        {"root": ["a", "x", "y"], "x": ["b", "c", "n"], "y": ["d", "e"]},
        {"root": ["a", "x", "y", "z"], "x": ["b", "c", "n"], "y": ["d", "e"], "z": ["f"]},
        BIGGER,
    ]
    one = make(hidden_layer_sizes=()).partial_fit(X, Y).set_params(**STILL)
    other = copy.deepcopy(one)
    for tree in steps:
        one.set_params(hierarchy=tree).partial_fit(X[:1], Y[:1])
    other.set_params(hierarchy=BIGGER).partial_fit(X[:1], Y[:1])
    a, b = by_name(one), by_name(other)
    for name in set(a) - {"g"}:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-9, atol=1e-12)


def test_streams_in_threads_do_not_meet():
    def run(results, i):
        clf = make(dropout=0.2)
        for block in in_blocks(X, Y):
            clf.partial_fit(*block)
        results[i] = clf.predict_proba(X)

    results = [None] * 4
    threads = [threading.Thread(target=run, args=(results, i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in itertools.pairwise(results):
        np.testing.assert_array_equal(one, other)
