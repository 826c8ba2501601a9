"""Losses against their definitions, row by row and leaf by leaf, and against each other."""

import math

import by_hand
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import trees

from hierclf import FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier, Hierarchy, losses
from hierclf.decisions import Threshold
from hierclf.encoders import BaseEncoder, LSTMEncoder
from hierclf.induction import BalancedHierarchy
from hierclf.nn import DAGSoftmax, FlatSoftmax, HierarchicalSoftmax, PathLoss

HEADS = {"hierarchical": HierarchicalSoftmax, "flat": FlatSoftmax}
BOTH = pytest.mark.parametrize("head", HEADS)
BOTH_CLASSES = pytest.mark.parametrize(
    "cls", [FlatSoftmaxClassifier, HierarchicalSoftmaxClassifier]
)
DAG = Hierarchy([("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d")])

seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=40, deadline=None)


class Case:
    """A head of random weights, a batch, and the log-probability of every node for each row."""

    def __init__(self, head, tree, seed, batch=4):
        rng = np.random.default_rng(seed)
        self.head_name, self.tree, self.rng = head, tree, rng
        self.head = by_hand.build(HEADS[head], tree, rng)
        self.hidden = by_hand.rows(rng, batch, 3)
        self.target = rng.integers(len(tree), size=batch)
        self.counts = rng.integers(0, 4, size=len(tree)).astype(float)
        names = tree.nodes if head == "hierarchical" else tree.leaves
        self.logits = by_hand.logits(self.head, names, self.hidden)

    def log_proba(self, extra=None):
        work_out = {"hierarchical": by_hand.node_log_proba, "flat": by_hand.flat_log_proba}
        return [
            work_out[self.head_name](
                self.tree, {n: v + (extra or {}).get(n, 0) for n, v in logit.items()}
            )
            for logit in self.logits
        ]

    def loss(self, loss, weight=None):
        module = loss.build(self.tree, head=type(self.head), counts=self.counts)
        weight = None if weight is None else torch.from_numpy(weight)
        return module(self.head, self.hidden, torch.from_numpy(self.target), weight).item()

    def mean(self, of_row, **kwargs):
        rows = [
            of_row(log_proba, self.tree.nodes[i])
            for log_proba, i in zip(self.log_proba(**kwargs), self.target, strict=True)
        ]
        return pytest.approx(np.mean(rows), rel=1e-9, abs=1e-9)


def steps(tree, log_proba, node):
    """[(siblings of each node on the path, log P(node | parent), level)]."""
    above = [0.0, *(log_proba[n] for n in tree.path(node))]
    return [
        (by_hand.siblings(tree, n), log_proba[n] - above[level], level)
        for level, n in enumerate(tree.path(node))
    ]


@BOTH
@given(tree=trees(), seed=seeds)
@quick
def test_level_weights(head, tree, seed):
    case = Case(head, tree, seed)
    weights = case.rng.random(tree.n_levels)
    expected = case.mean(
        lambda p, node: -sum(weights[level] * step for _, step, level in steps(tree, p, node))
    )
    assert case.loss(losses.PathCrossEntropy(weights)) == expected


@BOTH
@given(tree=trees(), seed=seeds, alpha=st.floats(0, 3))
@quick
def test_hierarchical_cross_entropy(head, tree, seed, alpha):
    case = Case(head, tree, seed)
    expected = case.mean(
        lambda p, node: (
            -sum(math.exp(-alpha * level) * step for _, step, level in steps(tree, p, node))
        )
    )
    assert case.loss(losses.HierarchicalCrossEntropy(alpha)) == expected


@BOTH
@given(tree=trees(), seed=seeds, smoothing=st.floats(0, 0.9), by_level=st.booleans())
@quick
def test_label_smoothing(head, tree, seed, smoothing, by_level):
    case = Case(head, tree, seed)

    def smoothed(p, node):
        if head == "flat" and not by_level:  # torch's, over all leaves
            everywhere = np.mean([p[leaf] for leaf in tree.leaves])
            return -((1 - smoothing) * p[node] + smoothing * everywhere)
        total = 0.0
        for group, step, _ in steps(tree, p, node):
            above = p.get(by_hand.parent_of(tree, group[0]), 0.0)
            evenly = np.mean([p[other] - above for other in group])
            total -= (1 - smoothing) * step + smoothing * evenly
        return total

    weights = [1.0] * tree.n_levels if by_level else None
    loss = losses.PathCrossEntropy(weights, label_smoothing=smoothing)
    assert case.loss(loss) == case.mean(smoothed)


def test_label_smoothing_of_one_level_is_torchs():
    case = Case("flat", Hierarchy.flat(range(7)), 0, batch=9)
    logits = torch.nn.functional.linear(case.hidden, *case.head.parameters())
    target = torch.from_numpy(case.target)
    expected = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.3).item()
    assert case.loss(losses.PathCrossEntropy(label_smoothing=0.3)) == pytest.approx(expected)


@BOTH
@given(tree=trees(), seed=seeds, tau=st.floats(0, 2))
@quick
def test_logit_adjustment(head, tree, seed, tau):
    """tau times the log of nu, the share of a node in its group, whose zeros become one row."""
    case = Case(head, tree, seed)
    count = dict(zip(tree.nodes, np.maximum(case.counts, 1), strict=True))
    extra = {
        node: tau * math.log(count[node] / sum(count[n] for n in by_hand.siblings(tree, node)))
        for node in tree.nodes
    }
    if head == "flat":
        total = sum(count[leaf] for leaf in tree.leaves)
        extra = {leaf: tau * math.log(count[leaf] / total) for leaf in tree.leaves}
    expected = case.mean(lambda p, node: -p[node], extra=extra)
    assert case.loss(losses.PathCrossEntropy(logit_adjustment=tau)) == expected


@BOTH
@given(tree=trees(), seed=seeds, beta=st.floats(0, 20))
@quick
def test_soft_labels(head, tree, seed, beta):
    case = Case(head, tree, seed)
    height = dict(zip((*tree.nodes, tree.root), (*tree.heights, tree.depth), strict=True))

    def soft(p, node):
        entries = [(0.0, p[node])]
        for leaf in tree.leaves:
            lca = tree.lowest_common_ancestor(node, leaf)
            if lca != node:
                entries.append(((height[lca] - height[node]) / tree.depth, p[leaf]))
        weights = np.exp([-beta * distance for distance, _ in entries])
        return -weights @ [value for _, value in entries] / weights.sum()

    assert case.loss(losses.SoftLabelCrossEntropy(beta)) == case.mean(soft)


REDUCED = {
    "weights of 1": losses.PathCrossEntropy([1.0] * by_hand.RAGGED.n_levels),
    "smoothing 0": losses.PathCrossEntropy(label_smoothing=0.0),
    "tau 0": losses.PathCrossEntropy(logit_adjustment=0.0),
    "alpha 0": losses.HierarchicalCrossEntropy(alpha=0.0),
    "beta infinite": losses.SoftLabelCrossEntropy(beta=math.inf),
    "beta large": losses.SoftLabelCrossEntropy(beta=1e5),
}


@BOTH
@pytest.mark.parametrize("name", REDUCED)
def test_limits_are_the_cross_entropy(head, name):
    case = Case(head, by_hand.RAGGED, 0, batch=30)
    expected = case.loss(losses.PathCrossEntropy())
    assert case.loss(REDUCED[name]) == pytest.approx(expected, rel=1e-13)
    weight = case.rng.random(30)
    expected = case.loss(losses.PathCrossEntropy(), weight)
    assert case.loss(REDUCED[name], weight) == pytest.approx(expected, rel=1e-13)


SOME = {
    "path": losses.PathCrossEntropy([2.0, 1.0], label_smoothing=0.1, logit_adjustment=1.0),
    "hierarchical": losses.HierarchicalCrossEntropy(0.5),
    "soft": losses.SoftLabelCrossEntropy(5.0),
}


@BOTH
@pytest.mark.parametrize("name", SOME)
def test_sample_weights_are_those_of_the_rows(head, name):
    tree = Hierarchy.from_dict({"r": ["a", "b"], "a": ["c", "d", "e"], "b": ["f"]})
    case = Case(head, tree, 0, batch=5)
    weight = case.rng.random(5)
    alone = []
    for row in range(5):
        one = Case(head, tree, 0, batch=5)
        one.hidden, one.target = one.hidden[row : row + 1], one.target[row : row + 1]
        alone.append(one.loss(SOME[name]))
    assert case.loss(SOME[name], weight) == pytest.approx(np.mean(weight * alone), rel=1e-12)


# -- in the classifiers

TREE = {"r": ["a", "b"], "a": ["c", "d", "e"], "b": ["f", "g"]}


def rows(n=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(list("cdefg"), size=n, p=[0.4, 0.25, 0.15, 0.1, 0.1])
    X = np.eye(5)[np.searchsorted(list("cdefg"), y)] + rng.normal(size=(n, 5))
    return X, y


def make(cls, **params):
    params = {"hierarchy": TREE, "hidden_layer_sizes": (8,), "random_state": 0} | params
    epochs = params.pop("epochs", 8)
    return cls(**params, max_iter=epochs, n_iter_no_change=epochs, learning_rate_init=0.01)


@BOTH_CLASSES
@pytest.mark.parametrize("name", SOME)
def test_integer_weights_are_repeated_rows(cls, name):
    X, y = rows(40)
    times = np.random.default_rng(1).integers(0, 4, size=40)
    params = {"batch_size": 200, "loss": SOME[name], "tol": 0.0}
    weighted = make(cls, **params).fit(X, y, sample_weight=times)
    repeated = make(cls, **params).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-6, atol=1e-9
    )


@BOTH_CLASSES
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_logit_adjustment_does_not_depend_on_the_scale_of_weights(cls, scale):
    X, y = rows(60)
    y = np.where(y == "g", "b", y)  # f and g are below b, and g has no row of its own
    weight = np.random.default_rng(2).random(60)
    loss = losses.PathCrossEntropy(logit_adjustment=1.0)
    one = make(cls, loss=loss).fit(X, y, sample_weight=weight)
    other = make(cls, loss=loss).fit(X, y, sample_weight=weight * scale)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-6)


@BOTH_CLASSES
def test_each_loss_trains_what_it_says(cls):
    """Of two models, each has the lower loss by its own measure, on the rows it was fitted to."""
    X, y = rows(200)
    fitted = {
        name: make(cls, loss=loss, hidden_layer_sizes=(), epochs=200, tol=0.0).fit(X, y)
        for name, loss in {None: None, **SOME}.items()
    }
    for name, loss in SOME.items():
        tree, head = fitted[name].hierarchy_, type(fitted[name].net_.module_.head)
        target = torch.from_numpy(tree.node_indices(y))
        counts = np.bincount(tree.ancestor_pairs(target)[1], minlength=len(tree)).astype(float)
        module = loss.build(tree, head=head, counts=counts).double()
        values = {}
        for other, clf in fitted.items():
            with torch.no_grad():
                network = clf.net_.module_
                hidden = network.last_hidden(torch.from_numpy(X))
                values[other] = module(network.head, hidden, target).item()
        assert min(values, key=values.get) == name


@BOTH_CLASSES
def test_parameters_are_searched_cloned_and_changed_on_a_warm_start(cls):
    X, y = rows()
    clf = make(cls, loss=losses.HierarchicalCrossEntropy(0.3), warm_start=True)
    assert clone(clf).set_params(loss__alpha=2.0).loss.alpha == 2.0
    assert clf.loss.alpha == 0.3
    start = clf.fit(X, y).predict_proba(X)
    clf.set_params(loss=None, max_iter=1, n_iter_no_change=1).fit(X, y)
    plain = make(cls, warm_start=True, loss=losses.HierarchicalCrossEntropy(0.3)).fit(X, y)
    plain.set_params(max_iter=1, n_iter_no_change=1).fit(X, y)
    assert not np.array_equal(clf.predict_proba(X), start)
    assert not np.array_equal(clf.predict_proba(X), plain.predict_proba(X))


BAD = {
    "a string": ({"loss": "hxe"}, "loss must be None or an object of hierclf.losses.*'hxe'"),
    "a class": ({"loss": losses.PathCrossEntropy}, r"did you mean PathCrossEntropy\(\)\?"),
    "a decision": ({"loss": Threshold()}, r"loss must be None or .* got Threshold\(\)"),
    "an encoder": ({"loss": LSTMEncoder()}, r"loss must be None or .* got LSTMEncoder\(\)"),
    "alpha": ({"loss": losses.HierarchicalCrossEntropy(-1)}, "'alpha' parameter .* Got -1"),
    "beta": ({"loss": losses.SoftLabelCrossEntropy(-1)}, "'beta' parameter .* Got -1"),
    "smoothing": ({"loss": losses.PathCrossEntropy(label_smoothing=1)}, "'label_smoothing' param"),
    "tau": ({"loss": losses.PathCrossEntropy(logit_adjustment=-1)}, "'logit_adjustment' param"),
    "levels": ({"loss": losses.PathCrossEntropy([1.0])}, r"each of the 2 levels .* got \[1.0\]"),
    "weights": ({"loss": losses.PathCrossEntropy([1.0, -1])}, "finite, not negative"),
    "no weights": ({"loss": losses.PathCrossEntropy([0.0, 0])}, "not all 0"),
}


@BOTH_CLASSES
@pytest.mark.parametrize("case", BAD)
def test_bad_losses_are_refused_before_any_work(cls, case):
    params, message = BAD[case]
    is_loss = isinstance(params["loss"], losses.BaseLoss)
    clf = make(cls, **params, encoder=Unread(), hidden_layer_sizes=None)
    with pytest.raises(ValueError if is_loss else TypeError, match=message):
        clf.fit(*rows())
    assert not hasattr(clf, "classes_")


class Unread(BaseEncoder):
    """Fails once texts are read."""

    input_kind = "texts"

    def build_tokenizer(self):
        raise AssertionError("work was done")


class HalvedCrossEntropy(losses.BaseLoss):
    """A loss of a user's own, for hierarchies of up to some levels."""

    def __init__(self, most=2):
        self.most = most

    def check_hierarchy(self, hierarchy):
        if hierarchy.n_levels > self.most:
            raise ValueError(f"{hierarchy.n_levels} levels are too many")

    def build(self, hierarchy, *, head, counts):
        return Halved()


class Halved(PathLoss):
    def forward(self, *args):
        return super().forward(*args) / 2


@BOTH_CLASSES
@pytest.mark.parametrize("hierarchy", [TREE, BalancedHierarchy(2)], ids=["given", "built"])
def test_a_loss_of_your_own(cls, hierarchy):
    X, y = rows()
    params = {"hierarchy": hierarchy, "epochs": 1, "batch_size": 1000}
    own = make(cls, loss=HalvedCrossEntropy(most=3), **params).fit(X, y)
    whole = make(cls, **params).fit(X, y)
    assert own.loss_curve_[0] == pytest.approx(whole.loss_curve_[0] / 2, rel=1e-12)
    with pytest.raises(ValueError, match="levels are too many"):
        make(cls, loss=HalvedCrossEntropy(most=1), **params).fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss__alpha": 1}, "loss__alpha sets .* loss is None: pass an object of hierclf.losses"),
        (
            {"loss": losses.HierarchicalCrossEntropy, "loss__alpha": 1},
            r"loss is the class HierarchicalCrossEntropy: pass HierarchicalCrossEntropy\(...\)",
        ),
        (
            {"encoder": LSTMEncoder, "encoder__hidden_size": 3},
            r"encoder__hidden_size .* encoder is the class LSTMEncoder: pass LSTMEncoder\(...\)",
        ),
        ({"decision": Threshold, "decision__threshold": 0.5}, r"pass Threshold\(...\)"),
        ({"hierarchy": BalancedHierarchy, "hierarchy__branching": 3}, "the class BalancedHier"),
        (
            {"encoder": torch.nn.Flatten, "encoder__start_dim": 1},
            "Flatten'>: pass an object of hierclf.encoders",
        ),
    ],
)
def test_nested_parameters_need_an_object(params, message):
    """Given together, or the object first."""
    with pytest.raises(ValueError, match=message):
        HierarchicalSoftmaxClassifier().set_params(**params)
    nested = {name: value for name, value in params.items() if "__" in name}
    objects = {name: value for name, value in params.items() if "__" not in name}
    with pytest.raises(ValueError, match=message):
        HierarchicalSoftmaxClassifier(**objects).set_params(**nested)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (losses.PathCrossEntropy([1.0, 1.0]), "level_weights needs a tree"),
        (losses.PathCrossEntropy(label_smoothing=0.1), "label_smoothing needs a tree"),
        (losses.HierarchicalCrossEntropy(), "^HierarchicalCrossEntropy needs a tree"),
        (losses.SoftLabelCrossEntropy(), "^SoftLabelCrossEntropy needs a tree"),
    ],
)
def test_losses_that_need_a_tree(loss, message):
    with pytest.raises(ValueError, match=message):
        loss.build(DAG, head=DAGSoftmax, counts=np.ones(len(DAG)))


def test_logit_adjustment_of_a_dag():
    rng = np.random.default_rng(0)
    counts = np.array([3.0, 4, 2, 0])
    head, hidden = by_hand.build(DAGSoftmax, DAG, rng), by_hand.rows(rng, 2, 3)
    target = torch.tensor([2, 3])
    module = losses.PathCrossEntropy(logit_adjustment=1.0).build(
        DAG, head=DAGSoftmax, counts=counts
    )
    found = module(head, hidden, target)
    with torch.no_grad():
        # The edges are r-a, r-b, a-c, b-c, b-d; 0 rows count as one.
        assert DAG.edges == (("r", "a"), ("r", "b"), ("a", "c"), ("b", "c"), ("b", "d"))
        head.linear.bias += torch.tensor([3.0, 4, 2, 2, 1]).log()
        expected = -head(hidden).gather(1, target.unsqueeze(1)).mean()
    torch.testing.assert_close(found, expected)
