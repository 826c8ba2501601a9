"""Decisions against plain Python: sums over classes, a walk down, a search over all nodes."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import dags, trees

from hierclf import HierarchicalSoftmaxClassifier, Hierarchy
from hierclf._utils import blocks as _blocks
from hierclf.decisions import (
    Argmax,
    BaseDecision,
    InformationGain,
    MinimumRisk,
    Threshold,
    TopDown,
    as_decision,
)
from hierclf.metrics import any_depth_accuracy_score, information_gain_score

TREE = {"animal": ["cat", "dog"], "plant": ["oak"], "fungus": []}
LADDER = Hierarchy([("r", "a"), ("a", "b"), ("b", "c"), ("r", "c"), ("r", "d"), ("a", "d")])
DECISIONS = [
    Argmax(),
    TopDown(),
    Threshold(),
    MinimumRisk(),
    MinimumRisk("lca_height"),
    MinimumRisk(over="nodes"),
    MinimumRisk(lambda predicted, true: float(predicted != true)),
]


def name(decision):
    """Return a decision as text that is the same in every process."""
    return re.sub(r" at 0x\w+", "", repr(decision))


@st.composite
def problems(draw, hierarchies=None, inner=True, whole=False):
    """A hierarchy, some of its nodes in any order, and probabilities.

    They are sixteenths, so that all sums are exact in any order and equals are frequent. Rows
    may lack some of their mass, unless asked to be `whole`.
    """
    if hierarchies is None:
        hierarchies = st.one_of(trees(max_leaves=8), dags(max_nodes=9))
    h = draw(hierarchies)
    pool = h.nodes if inner and draw(st.booleans()) else h.leaves
    classes = draw(st.permutations(pool))[: draw(st.integers(1, len(pool)))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pieces = 16 if whole else draw(st.sampled_from([8, 16]))
    weights = rng.dirichlet(np.full(len(classes), draw(st.sampled_from([0.3, 3.0]))))
    proba = rng.multinomial(pieces, weights, size=3) / 16
    return h, classes, proba.astype(draw(st.sampled_from([np.float32, np.float64])))


def masses_of(h, classes, row):
    """The probability of each node that has a class at or below it, in node order."""
    masses = {}
    for node in h.nodes:
        below = [p for p, c in zip(row, classes, strict=True) if node in (c, *h.ancestors(c))]
        if below:
            masses[node] = sum(below)
    return masses


def check(decision, problem, choose, level=None):
    h, classes, proba = problem
    expected = [choose(h, classes, masses_of(h, classes, row), row) for row in proba.tolist()]
    assert decision.decide(proba, classes, h, level).tolist() == expected


# -- Argmax


@given(problems())
def test_argmax_is_the_first_of_the_likeliest_columns(problem):
    check(Argmax(), problem, lambda h, classes, masses, row: classes[row.index(max(row))])


@given(problems(trees(max_leaves=8), inner=False), st.data())
def test_argmax_of_a_level(problem, data):
    h = problem[0]
    level = data.draw(st.integers(-h.n_levels, h.n_levels - 1))

    def choose(h, classes, masses, row):
        nodes = [node for node in h.level(level) if node in masses]
        return max(classes if set(nodes) == set(classes) else nodes, key=masses.get)

    check(Argmax(), problem, choose, level)


def test_argmax_differs_between_levels():
    proba, classes = [[0.375, 0.125, 0.0, 0.5]], ["cat", "dog", "fungus", "oak"]
    assert Argmax().decide(proba, classes, TREE).tolist() == ["oak"]
    assert Argmax().decide(proba, classes, TREE, level=0).tolist() == ["animal"]
    assert Argmax().decide(proba, classes, TREE, level="leaf").tolist() == ["oak"]


# -- TopDown


def walk(h, masses, ends=()):
    node = h.root
    while node not in ends:
        below = [child for child in h.children(node) if child in masses]
        if not below:
            break
        node = max(below, key=masses.get)
    return node


@given(problems())
def test_top_down_is_a_walk(problem):
    check(TopDown(), problem, lambda h, classes, masses, row: walk(h, masses))


@given(problems(trees(max_leaves=8), inner=False), st.data())
def test_top_down_ends_on_the_level(problem, data):
    h = problem[0]
    level = data.draw(st.integers(-h.n_levels, h.n_levels - 1))
    choose = lambda h, classes, masses, row: walk(h, masses, h.level(level))  # noqa: E731
    check(TopDown(), problem, choose, level)


@given(problems(dags(max_nodes=9), inner=False))
def test_the_leaves_are_a_level_of_a_dag(problem):
    h, classes, proba = problem
    for decision in (Argmax(), TopDown(), MinimumRisk()):
        assert (
            decision.decide(proba, classes, h, "leaf").tolist()
            == decision.decide(proba, classes, h).tolist()
        )


# -- Threshold


@given(problems(), st.integers(0, 17), st.booleans())
def test_threshold_is_the_deepest_node_that_is_likely_enough(problem, sixteenths, between):
    # At a sixteenth the nodes that are just likely enough count; in between none are.
    threshold = max(0.0, min(1.0, (sixteenths - between / 2) / 16))

    def choose(h, classes, masses, row):
        depths = dict(zip(h.nodes, h.depths.tolist(), strict=True))
        passing = [node for node in masses if masses[node] >= threshold]
        if not passing:
            return max((node for node in masses if depths[node] == 1), key=masses.get)
        return max(passing, key=lambda node: (depths[node], masses[node]))

    check(Threshold(threshold), problem, choose)


def test_threshold_by_hand():
    classes, row = ["oak", "cat", "dog"], [[0.25, 0.5, 0.25]]
    for threshold, node in [(0, "cat"), (0.5, "cat"), (0.51, "animal"), (0.75, "animal")]:
        assert Threshold(threshold).decide(row, classes, TREE).tolist() == [node]
    # Nothing is certain, and the root is no answer.
    assert Threshold(1.0).decide(row, classes, TREE).tolist() == ["animal"]


@given(problems(), st.integers(0, 17))
def test_threshold_rejects_what_no_node_is_likely_enough_for(problem, sixteenths):
    threshold = min(1.0, sixteenths / 16)

    def choose(h, classes, masses, row):
        passing = [node for node in masses if masses[node] >= threshold]
        depths = dict(zip(h.nodes, h.depths.tolist(), strict=True))
        return max(passing, key=lambda node: (depths[node], masses[node])) if passing else "?"

    check(Threshold(threshold, reject_label="?"), problem, choose)


@given(problems(trees(max_leaves=8), inner=False), st.integers(0, 17), st.data())
def test_threshold_of_a_level_is_its_likeliest_node_or_none(problem, sixteenths, data):
    h, threshold = problem[0], min(1.0, sixteenths / 16)
    level = data.draw(st.integers(-h.n_levels, h.n_levels - 1))

    def choose(h, classes, masses, row):
        nodes = [node for node in h.level(level) if node in masses]
        best = max(classes if set(nodes) == set(classes) else nodes, key=masses.get)
        return best if masses[best] >= threshold else "?"

    check(Threshold(threshold, reject_label="?"), problem, choose, level)


def test_reject_label_by_hand():
    classes, proba = ["oak", "cat", "dog"], [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [1, 0, 0]]
    for threshold, answers in [
        (0.5, ["cat", "oak", "oak"]),
        (0.75, ["animal", "unknown", "oak"]),
        (1.0, ["unknown", "unknown", "oak"]),
    ]:
        decision = Threshold(threshold, reject_label="unknown")
        assert decision.decide(proba, classes, TREE).tolist() == answers
    top = Threshold(0.75, reject_label="unknown").decide(proba, classes, TREE, level=0)
    assert top.tolist() == ["animal", "unknown", "plant"]
    # The root scores the trade-off, 9; animal (1 - log(2) / log(3) + 9) * 0.75 = 7.03 in the first
    # row, plant, which is as good as oak, 10 * 0.5 in the second, and 10 * 1 in the third.
    for trade_off, answers in [
        (9.0, ["unknown", "unknown", "oak"]),
        (0.5, ["cat", "oak", "oak"]),  # (1 + 0.5) * 0.5 = 0.75 > 0.5; animal has 0.65
    ]:
        decision = InformationGain(trade_off, reject_label="unknown")
        assert decision.decide(proba, classes, TREE).tolist() == answers
    # Words of other types, and a word that is a node.
    for word in (-1, None, ("not", "known")):
        found = Threshold(1.0, reject_label=word).decide(proba, classes, TREE).tolist()
        assert found == (["animal", "animal", "oak"] if word is None else [word, word, "oak"])
    for decision in (Threshold(reject_label="plant"), InformationGain(reject_label="plant")):
        with pytest.raises(ValueError, match="reject_label must not be a node, and 'plant' is one"):
            decision.decide(proba, classes, TREE)


REJECT_PATHS = [["animal", "cat"], ["animal", "dog"], ["plant", "oak"], ["fungus"]]


def unsure(y, hierarchy=None, **params):
    """Return a classifier and six samples: one of each class, one of none, and one of two."""
    X = np.tile(np.eye(4), (25, 1))
    clf = HierarchicalSoftmaxClassifier(
        hierarchy, hidden_layer_sizes=(), learning_rate_init=0.3, max_iter=60,
        n_iter_no_change=60, random_state=0, **params,
    )  # fmt: skip
    clf.fit(X, y * 25)
    return clf, np.vstack([np.eye(4), np.zeros((1, 4)), [[0.5, 0.5, 0, 0]]])


def test_reject_label_in_classifiers():
    clf, X = unsure(["cat", "dog", "oak", "fungus"], TREE)
    threshold, top = 0.6, clf.predict_proba(X, level=0)
    likely = top.max(axis=1) >= threshold
    assert likely.tolist() == [True, True, True, True, False, True]  # nothing is known of row 4
    clf.decision = Threshold(threshold, reject_label="unknown")
    answers = ["cat", "dog", "oak", "fungus", "unknown", "animal"]
    assert clf.predict(X).tolist() == answers
    paths = clf.predict_path(X)
    assert paths.tolist() == [
        ["animal", "cat"], ["animal", "dog"], ["plant", "oak"], ["fungus", ""],
        ["unknown", ""], ["animal", ""],
    ]  # fmt: skip
    assert clf.predict_path(X[4:5]).tolist() == [["unknown", ""]]  # no row names a node
    assert clf.predict(X, level=0).tolist() == [
        "animal",
        "animal",
        "plant",
        "fungus",
        "unknown",
        "animal",
    ]
    assert clf.score(X, [*answers[:4], "cat", "cat"]) == 4 / 6
    # None is what there was before: the likeliest of the top level.
    clf.decision = Threshold(threshold)
    assert clf.predict(X[4:5]).tolist() == [clf.hierarchy_.level(0)[top[4].argmax()]]

    options = {"hierarchy": TREE, "reject_label": "unknown"}
    y = ["cat", "dog", "oak", "fungus", "cat", "cat"]
    for y_pred in (answers, paths, paths.tolist(), pd.DataFrame(paths)):
        # Right are all; a leaf of four gives all the information, an animal half, "unknown" none.
        assert any_depth_accuracy_score(y, y_pred, **options) == 1
        assert information_gain_score(y, y_pred, **options) == (4 + 0.5) / 6


def test_reject_label_where_labels_are_paths():
    clf, X = unsure(REJECT_PATHS, decision=Threshold(0.6, reject_label="not known"))
    assert clf.predict(X).tolist() == [
        ["animal", "cat"], ["animal", "dog"], ["plant", "oak"], ["fungus", ""],
        ["not known", ""], ["animal", ""],
    ]  # fmt: skip
    y = [*REJECT_PATHS, ["animal", "cat"], ["animal", ""]]
    assert clf.score(X, y) == 5 / 6
    assert clf.predict(X[:5], level=0).tolist() == [
        "animal",
        "animal",
        "plant",
        "fungus",
        "not known",
    ]
    for word in (None, 0, ("a", "b")):
        clf.decision = Threshold(0.6, reject_label=word)
        last = clf.predict(X)[4].tolist()
        assert last == [word, ""] if word is not None else last[0] in clf.hierarchy_.level(0)
    clf.decision = Threshold(0.6, reject_label="")
    with pytest.raises(ValueError, match="reject_label='' is how paths are padded"):
        clf.predict(X)


def test_reject_label_in_a_dag():
    edges = [("r", "animal"), ("r", "pet"), ("animal", "cat"), ("pet", "cat"), ("pet", "fish"),
             ("r", "oak"), ("animal", "owl")]  # fmt: skip
    clf, X = unsure(["cat", "fish", "oak", "owl"], edges)
    clf.decision = Threshold(0.75, reject_label="unknown")
    answers, paths = clf.predict(X), clf.predict_path(X)
    assert answers[:5].tolist() == ["cat", "fish", "oak", "owl", "unknown"]
    assert paths[4].tolist() == ["unknown", ""]
    assert paths[1:4].tolist() == [["pet", "fish"], ["oak", ""], ["animal", "owl"]]


# -- what all have in common


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_one_level_leaves_no_choice_but_the_likeliest(decision):
    rng = np.random.default_rng(0)
    classes = rng.permutation([f"c{i}" for i in range(6)])
    proba = rng.dirichlet(np.ones(6), size=50)
    expected = classes[proba.argmax(axis=1)]
    assert (decision.decide(proba, classes, Hierarchy.flat(classes)) == expected).all()


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
@pytest.mark.parametrize(
    "hierarchy", [Hierarchy.balanced(list("abcdefgh"), 2), LADDER], ids=["tree", "dag"]
)
def test_rows_are_decided_each_by_itself(decision, hierarchy, monkeypatch):
    proba = np.random.default_rng(0).dirichlet(np.ones(len(hierarchy.leaves)), size=7)
    whole = decision.decide(proba, hierarchy.leaves, hierarchy)
    monkeypatch.setattr(_blocks, "BLOCK", 2 * proba.shape[1])
    assert decision.decide(proba, hierarchy.leaves, hierarchy).tolist() == whole.tolist()
    assert decision.decide(proba[:0], hierarchy.leaves, hierarchy).shape == (0,)


@pytest.mark.parametrize("decision", DECISIONS, ids=name)
def test_positions_in_and_out(decision):
    # What a classifier calls, with NaN as of a network gone astray: a node all the same.
    h = Hierarchy.from_dict(TREE)
    rule = decision.build(h.node_indices(["oak", "dog"]), h)
    proba = np.array([[0.75, 0.25], [0.25, 0.75], [np.nan, np.nan]], dtype=np.float32)
    chosen = rule(proba)
    assert chosen.dtype == np.intp
    oak, dog = (set(h.node_indices([*h.ancestors(x)[1:], x]).tolist()) for x in ("oak", "dog"))
    assert chosen[0] in oak
    assert chosen[1] in dog
    assert chosen[2] in oak | dog


@pytest.mark.parametrize(
    ("hierarchy", "classes"),
    [
        (TREE, np.array(["oak", "cat", "dog"])),
        ({10: [3, 1], 20: [2]}, np.array([2, 1, 3], dtype=np.int32)),
        ({("a",): [("a", "x"), ("a", "y")], ("b",): []}, [("b",), ("a", "x"), ("a", "y")]),
        ({"animal": [3, 1], "plant": [2]}, np.array([2, 1, 3])),
    ],
    ids=["strings", "integers", "tuples", "integers below strings"],
)
def test_labels_of_any_type(hierarchy, classes):
    h = Hierarchy.from_dict(hierarchy)
    proba = np.array([[0.625, 0.25, 0.125], [0.125, 0.375, 0.5], [0.375, 0.375, 0.25]])
    leaves = TopDown().decide(proba, classes, h)
    assert leaves.tolist() == [classes[0], classes[2], classes[1]]
    if isinstance(classes, np.ndarray):
        assert leaves.dtype == classes.dtype
    # The first node of the hierarchy stands above the second class and the third.
    nodes = Threshold(0.6).decide(proba, classes, h)
    assert nodes.tolist() == [classes[0], h.nodes[0], h.nodes[0]]


def test_values_of_any_type():
    classes = ["cat", "dog", "oak"]
    for decision in DECISIONS:
        for proba in (
            [[1, 0, 0]],
            [[True, False, False]],
            np.float16([[1, 0, 0]]),
            pd.DataFrame([[1.0, 0.0, 0.0]], dtype="Float64"),
            np.array([[1.0, 0, 0]], dtype=object),
        ):
            assert decision.decide(proba, classes, TREE).tolist() == ["cat"]


@pytest.mark.parametrize("decision", [*DECISIONS, MinimumRisk(np.eye(3))], ids=name)
def test_parameters_are_those_of_an_estimator(decision):
    copy = clone(decision)
    assert type(copy) is type(decision)
    np.testing.assert_equal(copy.get_params(), decision.get_params())


def test_set_params():
    decision = Threshold().set_params(threshold=0.75)
    row, classes = [[0.5, 0.25, 0.25]], ["cat", "dog", "oak"]
    assert decision.decide(row, classes, TREE).tolist() == ["animal"]


def test_short_names():
    for name, kind in [
        ("argmax", Argmax),
        ("top_down", TopDown),
        ("threshold", Threshold),
        ("minimum_risk", MinimumRisk),
    ]:
        made = as_decision(name)
        assert type(made) is kind
        assert made.get_params() == kind().get_params()
    own = Threshold(0.9)
    assert as_decision(own) is own


def test_a_decision_of_ones_own():
    class First(BaseDecision):
        def build(self, classes, hierarchy, level=None):
            return lambda proba: np.repeat(classes[:1], len(proba))

    assert as_decision(First()).decide([[0.5, 0.5]], ["dog", "cat"], TREE).tolist() == ["dog"]


# -- errors


class Duck:
    """Looks like a decision, and has no parameters to check."""

    def build(self, classes, hierarchy, level=None):
        return lambda proba: np.repeat(classes[:1], len(proba))

    def decide(self, proba, classes, hierarchy, level=None):
        return np.repeat(classes[:1], len(proba))


@pytest.mark.parametrize(
    ("decision", "error", "message"),
    [
        ("greedy", ValueError, "no decision 'greedy'.*'argmax', 'top_down', 'threshold', 'min"),
        (None, TypeError, "short name .*'argmax'.*got None"),
        (Threshold, TypeError, r"did you mean Threshold\(\)"),
        (object(), TypeError, "an object of a subclass of BaseDecision, such as Argmax"),
        (Duck(), TypeError, r"subclass of BaseDecision.* got <.*Duck object"),
    ],
)
def test_what_is_no_decision(decision, error, message):
    with pytest.raises(error, match=message):
        as_decision(decision)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "half", None])
def test_bad_threshold(threshold):
    with pytest.raises(ValueError, match=r"'threshold' parameter of Threshold.*\[0.0, 1.0\]"):
        Threshold(threshold).decide([[1.0]], ["cat"], TREE)


@pytest.mark.parametrize(
    ("proba", "classes", "message"),
    [
        ([[0.5, 0.5]], ["cat"], r"one column for each of the 1 classes, its shape is \(1, 2\)"),
        ([0.5, 0.5], ["cat", "dog"], r"its shape is \(2,\)"),
        ([[0.5, 0.5]], ["cat", "cow"], "not in the hierarchy: 'cow'"),
        ([[0.5, 0.5]], ["cat", "cat"], "classes given twice: 'cat'"),
        (np.zeros((1, 0)), [], "no classes"),
        ([[0.5, 0.5], [1.0, np.nan]], ["cat", "dog"], "row 1 has nan for class 'dog'"),
        (np.log([[0.75, 0.25]]), ["cat", "dog"], r"row 0 has -0\.28.* for class 'cat'"),
        ([[np.inf, 0]], ["cat", "dog"], "row 0 has inf"),
        ([["1", "0"]], ["cat", "dog"], "proba must hold numbers, its dtype is <U1"),
        ([[1j, 0]], ["cat", "dog"], "proba must hold numbers, its dtype is complex128"),
    ],
)
def test_bad_probabilities_and_classes(proba, classes, message):
    with pytest.raises(ValueError, match=message):
        Argmax().decide(proba, classes, TREE)


@pytest.mark.parametrize("decision", [Argmax(), TopDown(), MinimumRisk()], ids=name)
def test_levels_that_are_not(decision):
    with pytest.raises(ValueError, match="there is no level 2"):
        decision.decide([[1.0]], ["cat"], TREE, level=2)
    with pytest.raises(ValueError, match="classes above level 'leaf': 'animal'"):
        decision.decide([[0.5, 0.5]], ["cat", "animal"], TREE, level="leaf")
    with pytest.raises(ValueError, match="level 0 is not defined in a DAG"):
        decision.decide([[0.5, 0.5]], ["c", "d"], LADDER, level=0)


@pytest.mark.parametrize("level", [0, "leaf"])
def test_threshold_promises_no_level(level):
    with pytest.raises(ValueError, match=f"cannot promise a node of level {level!r}.*Argmax"):
        Threshold().decide([[1.0]], ["cat"], TREE, level)
