"""HierarchicalMultilabelClassifier: y in every form, coherence, thresholds, training."""

import copy
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import f1_score, label_ranking_average_precision_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler
from skorch.callbacks import Callback, EpochScoring
from strategies import dags, trees

from hierclf import HierarchicalMultilabelClassifier, Hierarchy
from hierclf._utils.label_sets import rarest_labels
from hierclf.classifiers import _multilabel
from hierclf.classifiers._batches import Batches, Rows
from hierclf.classifiers._thresholds import read_thresholds
from hierclf.encoders import LSTMEncoder, ModuleEncoder
from hierclf.heads import BaseNodeHead, LinearHead, as_head
from hierclf.induction import BalancedHierarchy, KMeansHierarchy
from hierclf.metrics import consistency_score, hierarchical_f1_score
from hierclf.nn import LinearNodeHead

LIFE = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"], "stone": []})
# "b" has two parents.
DAG = Hierarchy([("x", "a"), ("x", "b"), ("y", "b"), ("y", "c"), ("b", "d")])
LISTS = [["cat"], ["dog", "oak"], ["stone"], [], ["plant"], ["cat", "dog"]] * 4
RNG = np.random.default_rng(0)
X = RNG.normal(size=(len(LISTS), 5))


def make(hierarchy=LIFE, epochs=5, **params):
    options = {"n_iter_no_change": epochs, "random_state": 0, "learning_rate_init": 0.05}
    return HierarchicalMultilabelClassifier(hierarchy, max_iter=epochs, **options | params)


def closed(h, rows):
    """Close sets of nodes by the relations of the hierarchy, as an indicator matrix of lists."""
    above = {n: {n, *h.ancestors(n)} - {h.root} for n in h.nodes}
    return [[int(any(n in above[m] for m in row)) for n in h.nodes] for row in rows]


# -- the forms of y

INDICATOR = np.array(closed(LIFE, LISTS))
SHUFFLED = list(np.random.default_rng(1).permutation(LIFE.nodes))
FRAME = pd.DataFrame(INDICATOR, columns=list(LIFE.nodes))[SHUFFLED]
FORMS = {
    "integers": INDICATOR,
    "bytes": INDICATOR.astype(np.int8),
    "booleans": INDICATOR.astype(bool),
    "floats": INDICATOR.astype(np.float32),
    "objects": INDICATOR.astype(object),
    "nested lists": INDICATOR.tolist(),
    "arrays in a list": list(INDICATOR),
    "csr": sp.csr_array(INDICATOR),
    "csc": sp.csc_matrix(INDICATOR),
    "coo": sp.coo_array(INDICATOR),
    "lil": sp.lil_array(INDICATOR),
    "a frame": pd.DataFrame(INDICATOR, columns=list(LIFE.nodes)),
    "a frame without names": pd.DataFrame(INDICATOR),
    "lists": LISTS,
    "tuples": [tuple(row) for row in LISTS],
    "sets": [set(row) for row in LISTS],
    "an array of lists": np.array([list(row) for row in LISTS] + [[]], dtype=object)[:-1],
    "a series of lists": pd.Series(LISTS),
    "with ancestors": LIFE.from_indicator(INDICATOR),
    "from strings": LIFE.to_indicator(["|".join(row) for row in LISTS], sep="|"),
}


@pytest.fixture(scope="module")
def expected():
    clf = make().fit(X, INDICATOR)
    return clf.predict(X), clf.predict_proba(X)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_y_is_the_same(form, expected):
    y = FORMS[form]
    clf = make().fit(X, y)
    assert clf.hierarchy_ is LIFE
    assert clf.classes_.tolist() == list(LIFE.nodes)
    predicted, proba = clf.predict(X), clf.predict_proba(X)
    assert sp.issparse(predicted) == sp.issparse(y)
    dense = predicted.toarray() if sp.issparse(predicted) else predicted
    assert dense.tolist() == expected[0].tolist()
    assert proba.tolist() == expected[1].tolist()
    assert clf.score(X, y) == (expected[0] == INDICATOR).all(axis=1).mean()


@pytest.mark.parametrize("form", ["integers", "bytes", "booleans", "floats", "csr", "coo"])
def test_predictions_have_the_type_of_y(form):
    assert make(epochs=1).fit(X, FORMS[form]).predict(X).dtype == FORMS[form].dtype


@pytest.mark.parametrize("form", ["lists", "objects"])
def test_predictions_for_y_without_numbers_are_bytes(form):
    assert make(epochs=1).fit(X, FORMS[form]).predict(X).dtype == np.int8


def test_columns_of_predictions_are_those_of_a_data_frame(expected):
    """So that a metric of scikit-learn, which does not look at names, compares like with like."""
    clf = make().fit(X, FRAME)
    assert clf.classes_.tolist() == SHUFFLED
    assert list(clf.hierarchy_.nodes) == list(LIFE.nodes)
    order = [LIFE.nodes.index(name) for name in SHUFFLED]
    assert clf.predict(X).tolist() == expected[0][:, order].tolist()
    assert clf.predict_proba(X, level="all").tolist() == expected[1].tolist()
    assert clf.level_classes("all").tolist() == list(LIFE.nodes)
    share = (clf.predict(X) == FRAME.to_numpy()).all(axis=1).mean()
    assert clf.score(X, FRAME) == share
    assert clf.score(X, FRAME[list(LIFE.nodes)]) == share
    assert clf.score(X, LISTS) == share


def test_without_a_hierarchy_labels_are_columns():
    y = INDICATOR[:, :3]
    clf = make(None).fit(X, y)
    assert clf.hierarchy_ == Hierarchy.flat([0, 1, 2])
    assert clf.classes_.tolist() == [0, 1, 2]
    named = make(None).fit(X, pd.DataFrame(y, columns=["c", "a", "b"]))
    assert named.hierarchy_ == Hierarchy.flat(["a", "b", "c"])
    assert named.classes_.tolist() == ["c", "a", "b"]
    assert named.predict_proba(X).shape == (len(X), 3)
    listed = make(None).fit(X, [["c"], ["a", "b"], []] * 8)
    assert listed.classes_.tolist() == ["a", "b", "c"]
    # The rare case: no rows of flags, but lists of numbers that are labels.
    numbers = make(None).fit(X, [[0], [1], [0, 1]] * 8)
    assert numbers.classes_.tolist() == [0, 1]
    assert make({2: [0, 1], 3: []}).fit(X, [[0, 1], [1, 0], [0, 0]] * 8).classes_.tolist() == [
        2, 3, 0, 1,
    ]  # fmt: skip


def test_a_tuple_that_is_a_node_is_one_label():
    h = Hierarchy.from_dict({"A": [("A", 1)], "B": [("B", 1), ("B", 2)]})
    lists = [[("A", 1)], [("B", 1), ("B", 2)], ["B"], []] * 6
    tuples = [(("A", 1),), (("B", 1), ("B", 2)), ("B",), ()] * 6
    mixed = [("A", 1), [("B", 1), ("B", 2)], "B", ()] * 6
    found = [make(h).fit(X, y).predict_proba(X).tolist() for y in (lists, tuples, mixed)]
    assert found[0] == found[1] == found[2]


def test_nodes_without_a_sample_stay():
    clf = make(epochs=60).fit(X, [["cat"]] * len(X))
    assert clf.hierarchy_ is LIFE
    assert clf.predict(X).tolist() == closed(LIFE, [["cat"]] * len(X))


# -- one label for each sample


@pytest.mark.parametrize("given", [True, False])
def test_one_label_for_each_sample(given):
    y = np.array(["cat", "dog", "oak"] * 8)
    clf = make(LIFE if given else None, epochs=20).fit(X, y)
    assert clf.classes_.tolist() == ["cat", "dog", "oak"]
    assert clf.predict(X).dtype == y.dtype
    nodes = clf.predict_proba(X, level="all")
    positions = clf.hierarchy_.node_indices(clf.classes_)
    by_hand = nodes[:, positions] / nodes[:, positions].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(clf.predict_proba(X), by_hand, rtol=1e-12)
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(by_hand), rtol=1e-9)
    assert clf.predict(X).tolist() == clf.classes_[by_hand.argmax(axis=1)].tolist()
    assert clf.score(X, y) == (clf.predict(X) == y).mean()
    if given:
        top = nodes[:, LIFE.node_indices(LIFE.level(0))]
        np.testing.assert_allclose(clf.predict_proba(X, level=0), top / top.sum(1, keepdims=True))
        assert clf.predict(X, level=0).tolist() == [LIFE.level(0)[i] for i in top.argmax(axis=1)]
        lists = make(LIFE, epochs=20).fit(X, [[label] for label in y])
        np.testing.assert_allclose(lists.predict_proba(X), nodes)


def test_one_label_of_types_that_cannot_be_sorted():
    h = Hierarchy.from_dict({"a": [1, ("b", 2)]})
    y = [1, ("b", 2)] * 12
    clf = make(Hierarchy([("root", "a"), ("a", 1), ("a", ("b", 2))]), epochs=3).fit(X, y)
    assert set(clf.classes_.tolist()) == {1, ("b", 2)}
    assert set(clf.predict(X)) <= {1, ("b", 2)}
    assert h.nodes


def test_a_column_of_labels_is_raveled_with_a_warning():
    y = np.array(["cat", "dog", "oak"] * 8)
    with pytest.warns(DataConversionWarning, match="column-vector"):
        clf = make().fit(X, y[:, None])
    assert clf.predict(X).tolist() == make().fit(X, y).predict(X).tolist()
    # With one node it is an indicator matrix.
    one = make({"root": ["only"]}).fit(X, np.array([0, 1] * 12)[:, None])
    assert one.predict(X).shape == (24, 1)


# -- coherence


@st.composite
def problems(draw):
    """Draw a hierarchy, and samples with labels of it."""
    h = draw(trees() | dags())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features = rng.normal(size=(12, 3))
    y = [list(rng.choice(h.nodes, size=rng.integers(0, 4))) for _ in features]
    return h, features, y, rng


@settings(max_examples=25)
@given(problems(), st.sampled_from(["loss", "prediction"]))
def test_predictions_are_coherent(problem, constraint):
    h, features, y, rng = problem
    clf = make(h, epochs=2, constraint=constraint).fit(features, y)
    assert clf.predict_proba(features).shape == (12, len(h))
    proba = dict(zip(h.nodes, clf.predict_proba(features).T, strict=True))
    for node in h.nodes:
        for child in h.children(node):
            assert (proba[node] >= proba[child]).all()
    clf.threshold = float(rng.random())
    reached = [[n for n in h.nodes if proba[n][i] >= clf.threshold] for i in range(12)]
    assert clf.predict(features).tolist() == closed(h, reached)
    assert consistency_score(clf.predict(features), hierarchy=h) == 1


@settings(max_examples=25)
@given(problems(), st.sampled_from(["loss", None]))
def test_predictions_are_closed_whatever_the_thresholds(problem, constraint):
    h, features, y, rng = problem
    clf = make(h, epochs=2, constraint=constraint, threshold=rng.random(len(h)))
    for form in (h.to_indicator(y), sp.csr_array(h.to_indicator(y))):
        clf.fit(features, form)
        proba = clf.predict_proba(features)
        reached = [
            [n for n, p, t in zip(h.nodes, row, clf.threshold, strict=True) if p >= t]
            for row in proba
        ]
        found = clf.predict(features)
        found = found.toarray() if sp.issparse(found) else found
        assert found.tolist() == closed(h, reached)


def test_the_constraint_in_the_loss_and_in_predictions_alone():
    logits = {}
    for constraint in ("loss", "prediction", None):
        clf = make(DAG, constraint=constraint).fit(X, [["a"], ["b", "c"], ["d"], []] * 6)
        head = clf.net_.module_.head
        hidden = clf.net_.module_.last_hidden(torch.from_numpy(X))
        logits[constraint] = head.logits(hidden).detach()
        assert head.coherent == (constraint is not None)
    # Without the constraint in the loss the weights are the same, wherever else it is.
    assert torch.equal(logits["prediction"], logits[None])
    assert not torch.allclose(logits["loss"], logits[None])


# -- thresholds


def test_thresholds_of_one_node():
    clf = make(epochs=20).fit(X, LISTS)
    proba = clf.predict_proba(X)
    cat = LIFE.nodes.index("cat")
    by_array = np.full(len(LIFE), 0.5)
    by_array[cat] = np.median(proba[:, cat])
    predicted = []
    for threshold in (by_array, list(by_array), {"cat": by_array[cat]}):
        clf.set_params(threshold=threshold)
        predicted.append(clf.predict(X).tolist())
    assert predicted[0] == predicted[1] == predicted[2]
    passes = np.array(predicted[0])[:, cat]
    assert passes.tolist() == (proba[:, cat] >= by_array[cat]).astype(int).tolist()
    clf.set_params(threshold=0)
    assert clf.predict(X).all()
    clf.set_params(threshold=1.0)
    assert not clf.predict(X).any()


def test_thresholds_read():
    assert read_thresholds(np.float32(0.25), LIFE) == 0.25
    assert read_thresholds(1, LIFE) == 1.0
    expected = [0.5] * len(LIFE)
    expected[LIFE.nodes.index("dog")] = 0.125
    assert read_thresholds({"dog": 0.125}, LIFE).tolist() == expected
    assert read_thresholds({}, LIFE).tolist() == [0.5] * len(LIFE)


# -- levels


def test_levels():
    clf = make().fit(X, LISTS)
    proba = dict(zip(LIFE.nodes, clf.predict_proba(X).T, strict=True))
    predicted = dict(zip(LIFE.nodes, clf.predict(X).T, strict=True))
    for level in (0, 1, -1, "leaf", "parent", "all"):
        names = clf.level_classes(level)
        assert names.tolist() == LIFE.level_classes(level).tolist()
        found = clf.predict_proba(X, level=level)
        assert found.tolist() == np.array([proba[name] for name in names]).T.tolist()
        found = clf.predict(X, level=level)
        assert found.tolist() == np.array([predicted[name] for name in names]).T.tolist()
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X, 0)), clf.predict_proba(X, 0))
    with pytest.raises(ValueError, match="there is no level 2"):
        clf.predict_proba(X, level=2)
    with pytest.raises(ValueError, match="level 0 is not defined in a DAG"):
        make(DAG).fit(X, [["a"]] * 24).predict(X, level=0)


# -- training


class FirstWeights(Callback):
    """Keeps the weights that training starts from; a class attribute, since fit copies it."""

    weights = None

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        type(self).weights = copy.deepcopy(net.module_.state_dict())
        type(self).y = y


@pytest.mark.parametrize("constraint", ["loss", None])
def test_two_steps_by_hand(constraint):
    """Gradient descent on a linear model, its gradient written out by loops."""
    rate, n = 0.5, len(X)
    clf = make(
        DAG,
        epochs=2,
        constraint=constraint,
        hidden_layer_sizes=(),
        optimizer=torch.optim.SGD,
        learning_rate_init=rate,
        weight_decay=0.0,
        batch_size=n,
        callbacks=[FirstWeights()],
    )
    y = [["a"], ["b", "c"], ["d"], []] * 6
    clf.fit(X, y)
    weight = FirstWeights.weights["head.linear.weight"].numpy().copy()
    bias = FirstWeights.weights["head.linear.bias"].numpy().copy()
    indicator = np.array(closed(DAG, y))
    below = [DAG.node_indices([node, *DAG.descendants(node)]) for node in DAG.nodes]
    for _ in range(2):
        grad_w, grad_b = np.zeros_like(weight), np.zeros_like(bias)
        for x, on in zip(X, indicator, strict=True):
            z = x @ weight + bias
            for node, nodes in enumerate(below):
                same = [i for i in nodes if on[i] == on[node]] if constraint else [node]
                best = max(same, key=lambda i: z[i])
                error = (1 / (1 + np.exp(-z[best])) - on[node]) / (n * len(DAG))
                grad_w[:, best] += error * x
                grad_b[best] += error
        weight, bias = weight - rate * grad_w, bias - rate * grad_b
    np.testing.assert_allclose(clf.net_.module_.head.linear.weight.detach(), weight, rtol=1e-9)
    np.testing.assert_allclose(clf.net_.module_.head.linear.bias.detach(), bias, rtol=1e-9)


def test_weights_count_as_repetitions():
    weight = np.tile([1, 2, 0, 3, 1, 1], 4)
    batch = {"batch_size": 100, "epochs": 10}
    weighted = make(**batch).fit(X, INDICATOR, sample_weight=weight)
    rows = np.repeat(np.arange(24), weight)
    repeated = make(**batch).fit(X[rows], INDICATOR[rows])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-7)


def test_rows_of_no_weight_are_not_there():
    weight = np.ones(len(X))
    weight[::2] = 0
    y = [["new"] if i % 2 == 0 else row for i, row in enumerate(LISTS)]
    clf = make(None).fit(X, y, sample_weight=weight)
    assert clf.classes_.tolist() == ["cat", "dog", "oak"]
    alone = make(None).fit(X[1::2], y[1::2])
    assert clf.predict_proba(X).tolist() == alone.predict_proba(X).tolist()


def test_targets_stay_sparse():
    for y in (sp.csr_array(INDICATOR), LISTS):
        make(epochs=1, callbacks=[FirstWeights()]).fit(X, y)
        assert sp.issparse(FirstWeights.y)
        assert FirstWeights.y.toarray().tolist() == INDICATOR.astype(bool).tolist()


def test_batches_of_sparse_targets():
    target = sp.csr_array(INDICATOR.astype(bool))
    rows = Rows(X, target)
    whole = [np.concatenate([x, y], axis=1) for x, (y, _) in Batches(rows, 7)]
    assert np.concatenate(whole).tolist() == np.hstack([X, INDICATOR]).tolist()
    generator = torch.Generator().manual_seed(0)
    batches = list(Batches(rows, 7, generator=generator))
    assert [len(y) for _, (y, _) in batches] == [7, 7, 7, 3]
    shuffled = np.concatenate([np.concatenate([x, y], axis=1) for x, (y, _) in batches])
    assert sorted(shuffled.tolist()) == sorted(np.hstack([X, INDICATOR]).tolist())
    # As many values are gathered at once as the targets count for.
    assert rows.n_values == X.shape[1] + len(LIFE)
    assert Rows(X, np.zeros(len(X), dtype=int)).n_values == X.shape[1] + 1


def test_callbacks_that_score_see_dense_targets():
    seen = []

    def score(net, X, y):
        seen.append(y.tolist())
        return float(f1_score(y, net.predict(X), average="micro", zero_division=0))

    scoring = EpochScoring(score, name="f1", on_train=True)
    clf = make(callbacks=[("f1", scoring)], epochs=2).fit(X, LISTS)
    assert seen[0] == INDICATOR.astype(bool).tolist()
    assert len(clf.net_.history[:, "f1"]) == 2


def test_sparse_predictions_block_by_block(monkeypatch):
    clf = make().fit(X, sp.csr_array(INDICATOR))
    whole = clf.predict(X)

    def small_blocks(n_rows, n_columns):
        assert n_columns == len(LIFE)
        return (slice(start, start + 5) for start in range(0, n_rows, 5))

    monkeypatch.setattr(_multilabel, "row_blocks", small_blocks)
    assert clf.predict(X).toarray().tolist() == whole.toarray().tolist()
    too_large = X.copy()
    too_large[17] = 1e308
    clf.net_.module_.hidden[0].weight.data *= 100
    with pytest.raises(ValueError, match="output for row 17 of X"):
        clf.predict(too_large)


def test_rarest_labels():
    target = sp.csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], dtype=bool))
    assert rarest_labels(target).tolist() == [1, 2, 3, 0]


def test_early_stopping_holds_out_a_share_of_each_label():
    held_out = []

    class Watch(Callback):
        def on_train_begin(self, net, **kwargs):
            pass

        def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
            held_out.append((dataset_train.target.sum(0), dataset_valid.target.sum(0)))

    lists = [["cat"]] * 10 + [["dog", "oak"]] * 10 + [["stone"]]
    clf = make(early_stopping=True, validation_fraction=0.2, callbacks=[Watch()])
    clf.fit(RNG.normal(size=(21, 3)), lists)
    train, valid = held_out[0]
    count = dict(zip(LIFE.nodes, valid.tolist(), strict=True))
    assert count["cat"] == count["dog"] == count["oak"] == 2
    assert count["stone"] == 0
    assert (train + valid).tolist() == LIFE.to_indicator(lists).sum(axis=0).tolist()


def test_refit_trains_on_all_samples():
    clf = make(early_stopping=True, refit=True, epochs=8).fit(X, LISTS)
    again = make(epochs=clf.n_iter_)
    assert clf.n_iter_ <= 8
    assert clf.predict_proba(X).shape == again.fit(X, LISTS).predict_proba(X).shape


def test_warm_start_goes_on():
    once = make(epochs=6, warm_start=True).fit(X, LISTS)
    twice = make(epochs=3, warm_start=True).fit(X, LISTS).fit(X, LISTS)
    assert twice.predict_proba(X).tolist() == once.predict_proba(X).tolist()
    assert twice.loss_curve_ == once.loss_curve_


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"constraint": None}, "constraint was 'loss' and is now None"),
        ({"head": "other"}, "head was <class 'hierclf.heads.*LinearHead'> and is now <class"),
        ({"hierarchy": DAG}, "the hierarchy of the last fit"),
        ({"hidden_layer_sizes": (3,)}, r"hidden_layer_sizes was \(100,\) and is now \(3,\)"),
    ],
)
def test_warm_start_refuses_another_network(change, message):
    if "head" in change:
        change = {"head": SpyHead()}
    clf = make(epochs=1, warm_start=True).fit(X, LISTS)
    clf.set_params(**change)
    before = clf.predict_proba(X).tolist()
    with pytest.raises(ValueError, match=message):
        clf.fit(X, [["a"]] * len(X) if "hierarchy" in change else LISTS)
    assert clf.predict_proba(X).tolist() == before


def test_recursive_regularization_draws_children_to_their_parents():
    found = {}
    options = {"optimizer": torch.optim.SGD, "hidden_layer_sizes": (), "batch_size": 24}
    for factor in (0.0, 0.1, 1.0):
        clf = make(epochs=50, recursive_regularization=factor, **options).fit(X, LISTS)
        (rows,) = clf.net_.module_.head.output_rows()
        weight, (above, below) = rows.weight.detach(), rows.edges
        found[factor] = (weight[above] - weight[below]).norm().item()
    assert found[0.0] > 1.2 * found[0.1]
    assert found[0.1] > 2 * found[1.0]


@pytest.mark.parametrize("factor", [0.0, 0.1])
def test_sparse_features_train_as_dense_ones(factor):
    features = sp.csr_array(sp.random(24, 30, density=0.2, random_state=0, format="csr"))
    options = {"recursive_regularization": factor, "hidden_layer_sizes": (), "weight_decay": 0.0}
    options |= {"optimizer": torch.optim.Adam}
    found = [make(**options).fit(x, LISTS).predict_proba(x) for x in (features, features.toarray())]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
    for optimizer in ("auto", "adamw", "adagrad"):
        clf = make(**options | {"optimizer": optimizer}).fit(features, LISTS)
        assert np.isfinite(clf.predict_proba(features)).all()


def test_the_type_of_the_features_is_that_of_the_network():
    assert make(epochs=1).fit(X.astype(np.float32), LISTS).predict_proba(X).dtype == np.float32
    assert make(epochs=1).fit(X, LISTS).predict_proba(X).dtype == np.float64


def test_texts():
    tokens = np.array([[1, 2, 0], [2, 0, 0], [1, 2, 3], [3, 1, 0]] * 6)
    y = [["cat"], ["dog"], ["oak", "cat"], []] * 6
    clf = make(encoder=LSTMEncoder(8, embedding_dim=8), epochs=40).fit(tokens, y)
    assert clf.predict(tokens).tolist() == closed(LIFE, y)
    images = RNG.normal(size=(24, 2, 3))
    encoder = ModuleEncoder(lambda: torch.nn.Flatten())
    assert make(encoder=encoder).fit(images, y).predict_proba(images).shape == (24, len(LIFE))


def test_the_net_of_skorch():
    clf = make().fit(X, LISTS)
    np.testing.assert_allclose(clf.net_.predict_proba(X), clf.predict_proba(X), rtol=1e-12)
    assert clf.net_.predict(X).astype(int).tolist() == clf.predict(X).tolist()


# -- heads


class SpyModule(LinearNodeHead):
    """A head that a user wrote."""


class SpyHead(BaseNodeHead):
    """Keeps what it is told."""

    told = None

    def __init__(self, size=1, refuses=False):
        self.size, self.refuses = size, refuses

    def check_hierarchy(self, hierarchy):
        if self.refuses:
            raise ValueError(f"no head for {len(hierarchy)} nodes")

    def build(self, hierarchy, *, counts):
        type(self).told = hierarchy, counts
        return SpyModule


def test_a_head_is_told_how_frequent_the_nodes_are():
    clf = make(head=SpyHead(), epochs=1).fit(X, LISTS)
    assert isinstance(clf.net_.module_.head, SpyModule)
    hierarchy, counts = SpyHead.told
    assert hierarchy is LIFE
    assert counts.tolist() == INDICATOR.sum(axis=0).tolist()
    weight = np.arange(len(X))
    make(head=SpyHead(), epochs=1).fit(X, LISTS, sample_weight=weight)
    scaled = weight[1:] * (len(X) - 1) / weight.sum()
    np.testing.assert_allclose(SpyHead.told[1], scaled @ INDICATOR[1:], rtol=1e-12)


def test_heads():
    assert as_head(None).get_params() == LinearHead().get_params() == {}
    with pytest.raises(TypeError, match=r"^head must be None or an object of hierclf.heads, .*"
                                        r"LinearHead\(\); got 'linear'$"):  # fmt: skip
        as_head("linear")
    with pytest.raises(TypeError, match=r"did you mean LinearHead\(\)\?"):
        make(head=LinearHead).fit(X, LISTS)
    with pytest.raises(ValueError, match=r"^head__size sets a parameter of an object, and head is "
                       r"None: pass an object of hierclf\.heads, such as"):  # fmt: skip
        make().set_params(head__size=2)
    with pytest.raises(ValueError, match="no head for 6 nodes"):
        make(head=SpyHead(refuses=True)).fit(X, LISTS)
    with pytest.raises(ValueError, match="no head for 3 nodes"):
        make(None, head=SpyHead(refuses=True)).fit(X, [["a", "b"], ["c"]] * 12)


def test_a_head_that_reads_no_sparse_features():
    features = sp.csr_array(X)
    with pytest.raises(ValueError, match=r"^head=SpyHead\(\) reads dense vectors, .* sparse X"):
        make(head=SpyHead()).fit(features, LISTS)
    make(head=SpyHead(), hidden_layer_sizes=(4,), epochs=1).fit(features, LISTS)


# -- inducers


def test_an_inducer_builds_a_hierarchy_over_the_columns():
    y = (RNG.random((24, 4)) < 0.5).astype(int)
    clf = make(BalancedHierarchy(branching=2)).fit(X, y)
    assert clf.classes_.tolist() == [0, 1, 2, 3]
    assert len(clf.hierarchy_) == 6
    assert clf.predict(X).shape == (24, 4)
    nodes = clf.predict_proba(X, level="all")
    positions = clf.hierarchy_.node_indices(clf.classes_)
    assert clf.predict_proba(X).tolist() == nodes[:, positions].tolist()
    assert clf.score(X, y) == (clf.predict(X) == y).all(axis=1).mean()


def test_an_inducer_sees_a_sample_once_for_each_label():
    class Spy(BalancedHierarchy):
        def fit(self, X, y):
            Spy.seen = X.tolist(), list(y)
            return super().fit(X, y)

    clf = make(Spy(branching=2)).fit(X[:4], [["a"], ["b", "c"], [], ["a", "b"]])
    assert Spy.seen == ([X[i].tolist() for i in (0, 1, 1, 3, 3)], ["a", "b", "c", "a", "b"])
    assert clf.classes_.tolist() == ["a", "b", "c"]
    # Labels that are told apart by the mean of their samples.
    kmeans = make(KMeansHierarchy(branching=2, random_state=0)).fit(X, INDICATOR[:, 3:])
    assert kmeans.predict(X).shape == (24, 3)
    with pytest.raises(ValueError, match=r"^no sample has the labels 'z' of y"):
        make(BalancedHierarchy()).fit(X, pd.DataFrame({"a": [0, 1] * 12, "z": [0] * 24}))


# -- in the company of scikit-learn


def test_searches_and_pipelines():
    pipeline = make_pipeline(StandardScaler(), make(head=SpyHead(), epochs=3))
    name = "hierarchicalmultilabelclassifier"
    grid = {f"{name}__threshold": [0.3, {"cat": 0.2}], f"{name}__head__size": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="f1_micro").fit(X, INDICATOR)
    assert len(search.cv_results_["params"]) == 4
    best = max(search.cv_results_["mean_test_score"])
    assert search.best_score_ == best > 0
    assert search.score(X, INDICATOR) == f1_score(INDICATOR, search.predict(X), average="micro")
    by_score = GridSearchCV(make(), {"threshold": [0.4, 0.5]}, cv=2).fit(X, sp.csr_array(INDICATOR))
    assert 0 <= by_score.best_score_ <= 1


def test_cross_val_predict_and_metrics():
    proba = cross_val_predict(make(), X, INDICATOR, cv=3, method="predict_proba")
    assert proba.shape == INDICATOR.shape
    first = make().fit(X[8:], INDICATOR[8:]).predict_proba(X[:8])
    np.testing.assert_allclose(proba[:8], first)
    assert 0 < label_ranking_average_precision_score(INDICATOR, proba) <= 1
    predicted = cross_val_predict(make(), X, INDICATOR, cv=3)
    assert 0 <= hierarchical_f1_score(INDICATOR, predicted, hierarchy=LIFE) <= 1


def test_multi_label_binarizer():
    binarizer = MultiLabelBinarizer(classes=LIFE.nodes)
    above = [[a for n in row for a in LIFE.ancestors(n) if a != LIFE.root] for row in LISTS]
    y = binarizer.fit_transform([row + more for row, more in zip(LISTS, above, strict=True)])
    assert y.tolist() == INDICATOR.tolist()
    clf = make(epochs=30).fit(X, y)
    names = binarizer.inverse_transform(clf.predict(X))
    assert [set(row) for row in names] == [
        {n for n, on in zip(LIFE.nodes, row, strict=True) if on} for row in clf.predict(X)
    ]


def test_clone_pickle_and_tags():
    clf = make(head=LinearHead(), threshold={"cat": 0.1}).fit(X, LISTS)
    again = pickle.loads(pickle.dumps(clf))
    assert again.predict_proba(X).tolist() == clf.predict_proba(X).tolist()
    assert clone(clf).fit(X, LISTS).predict_proba(X).tolist() == clf.predict_proba(X).tolist()
    tags = clf.__sklearn_tags__()
    assert tags.classifier_tags.multi_label
    assert tags.target_tags.single_output
    assert "y" not in vars(clf)


# -- what is refused

WRONG = np.array(INDICATOR)
WRONG[3, LIFE.nodes.index("oak")] = 1
NO_FLAG = np.array(INDICATOR)
NO_FLAG[2, 1] = 2


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (WRONG, r"^row 3 has 'oak' but not its parent 'plant': rows must be closed under ancestors"
                r"\. Are the columns in the order of hierarchy\.nodes\?$"),
        (sp.csc_array(WRONG), r"^row 3 has 'oak' but not its parent 'plant'"),
        (NO_FLAG, r"^row 2 holds 2: an indicator matrix holds 0 and 1 only"),
        (sp.csr_array(NO_FLAG), r"^row 2 holds 2: an indicator matrix"),
        (np.where(NO_FLAG == 2, np.nan, NO_FLAG), r"^row 2 holds nan: an indicator matrix"),
        (INDICATOR[:, :4], r"^the indicator matrix must have a column for each of the 6 nodes, its "
                           r"shape is \(24, 4\)"),
        (pd.DataFrame(INDICATOR[:, :5], columns=list(LIFE.nodes)[:5]),
         r"^the columns of an indicator matrix must be the nodes, each once: see 'oak'"),
        (pd.DataFrame(INDICATOR, columns=[*LIFE.nodes[:5], "cow"]),
         r"^the columns of an indicator matrix must be .* see 'oak', 'cow'"),
        ([["cat", "cow"], *LISTS[1:]], r"^labels that are not in the hierarchy: 'cow'"),
        ([None, *LISTS[1:]], r"^row 0 of y is None: give \[\] where a row has no labels"),
        ([*LISTS[:-1], ["cat", None]], r"^row 23 of y holds None: a label must be hashable"),
        ([*LISTS[:-1], ["cat", ["dog"]]], r"^row 23 of y holds \['dog'\]: a label must be"),
        (np.array([["animal", "cat"]] * 24), r"^y is a table that holds 'animal', and "
         r"HierarchicalMultilabelClassifier takes tables of 0 and 1: give a list of labels"),
        (["animal", "cat"] * 12, r"^y holds .* which must be a leaf, and not 'animal'"),
        (["cow", "cat"] * 12, r"^labels that are not in the hierarchy: 'cow'"),
        (INDICATOR[:5], r"inconsistent numbers of samples: \[24, 5\]"),
        (LISTS[:5], r"inconsistent numbers of samples: \[24, 5\]"),
        (None, "requires y to be passed"),
    ],
)  # fmt: skip
def test_bad_labels(y, message):
    clf = make()
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    with pytest.raises(NotFittedError):
        clf.predict(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": [0.5, 0.5]}, r"^threshold must be .* each of the 6 nodes, in the order of "
                                    r"hierarchy_\.nodes; its shape is \(2,\)"),
        ({"threshold": [0.5] * 5 + [2]}, r"^threshold must be in \[0, 1\], got 2.0 for 'oak'"),
        ({"threshold": {"cat": "high"}}, r"^threshold must be in \[0, 1\], got 'high' for 'cat'"),
        ({"threshold": {"cat": np.nan}}, r"^threshold must be in \[0, 1\], got nan for 'cat'"),
        ({"threshold": {"cow": 0.5}}, r"^threshold has keys that are no nodes: .*'cow'"),
        ({"constraint": "sum"}, "'constraint' parameter"),
        ({"recursive_regularization": -1}, "'recursive_regularization' parameter"),
        ({"hierarchy": None, "threshold": [0.5]}, r"^threshold must .* each of the 6 nodes"),
    ],
)  # fmt: skip
def test_bad_parameters(params, message):
    clf = make().set_params(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, INDICATOR)
    assert not hasattr(clf, "n_features_in_")


def test_a_threshold_that_is_wrong_after_the_fit():
    clf = make().fit(X, LISTS).set_params(threshold=[0.5])
    with pytest.raises(ValueError, match=r"^threshold must be a number or have one for each"):
        clf.predict(X)


def test_without_a_hierarchy_lists_must_have_labels():
    with pytest.raises(ValueError, match=r"^y holds no labels, and there is no hierarchy"):
        make(None).fit(X, [[]] * len(X))
    with pytest.raises(ValueError, match=r"^y holds sets of labels that cannot be sorted"):
        make(None).fit(X, [{"a", 1}, {"b"}] * 12)


def test_scores_of_other_labels_are_refused():
    clf = make().fit(X, LISTS)
    with pytest.raises(ValueError, match=r"^y holds one label per sample, and Hier.* several"):
        clf.score(X, ["cat", "dog"] * 12)
    with pytest.raises(ValueError, match="not in the hierarchy: 'cow'"):
        clf.score(X, [["cow"]] * 24)


def test_an_interrupted_fit_leaves_the_classifier_as_it_was():
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    clf = make(callbacks=[Stop()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, LISTS)
    assert not hasattr(clf, "n_features_in_")
    clf.set_params(callbacks=None).fit(X, LISTS)
    before = clf.predict_proba(X).tolist()
    with pytest.raises(KeyboardInterrupt):
        clf.set_params(callbacks=[Stop()]).fit(X[:, :3], [["a"]] * 24 and LISTS[::-1])
    assert clf.predict_proba(X).tolist() == before


def test_nothing_is_printed_or_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit(X, LISTS).predict(X)


# -- a data set


def test_enron(data_home):
    """Email labelled by topics: HMCN-F has 0.724 [Wehrmann 2018], C-HMCNN(h) 0.756."""
    from sklearn.metrics import average_precision_score

    from hierclf.datasets import load_arff_hierarchy

    folder = data_home / "hmc" / "Enron_corr"
    train, test = (load_arff_hierarchy(folder / f"{part}.arff.gz") for part in ("train", "test"))
    assert re.search("56 nodes", repr(train.hierarchy))
    scaler = StandardScaler().fit(train.data)
    features, held_out = (scaler.transform(part.data).astype(np.float32) for part in (train, test))
    clf = HierarchicalMultilabelClassifier(
        train.hierarchy, hidden_layer_sizes=(1000, 1000), dropout=0.7, learning_rate_init=1e-4,
        batch_size=32, max_iter=20, n_iter_no_change=20, random_state=0,
    ).fit(features, train.target)  # fmt: skip
    truth = train.hierarchy.to_indicator(test.target)
    score = average_precision_score(truth, clf.predict_proba(held_out), average="micro")
    assert 0.735 < score < 0.76
    assert consistency_score(clf.predict(held_out), hierarchy=train.hierarchy) == 1
