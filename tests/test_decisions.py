"""Decisions against plain Python: sums over classes, a walk down, a search over all nodes."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from strategies import dags, trees

from hierclf import Hierarchy
from hierclf._utils import blocks as _blocks
from hierclf.decisions import (
    Argmax,
    BaseDecision,
    MinimumRisk,
    Threshold,
    TopDown,
    as_decision,
)

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
        for proba in ([[1, 0, 0]], [[True, False, False]], np.float16([[1, 0, 0]])):
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
