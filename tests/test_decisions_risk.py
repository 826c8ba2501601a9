"""The least expected cost against a search over all candidates, with costs asked pair by pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import dags, trees
from test_decisions import LADDER, TREE, check, problems

from hierclf import Hierarchy
from hierclf.decisions import MinimumRisk, Threshold, _risk


def height(h, node):
    return max((1 + height(h, child) for child in h.children(node)), default=0)


def tree_distance(h, predicted, true):
    return h.distance(predicted, true)


def lca_height(h, predicted, true):
    return height(h, h.lowest_common_ancestor(predicted, true))


def uneven(h, predicted, true):
    """A cost that is not symmetric, nor 0 for what is right."""
    return (3 * h.nodes.index(predicted) + 5 * h.nodes.index(true)) % 7


COSTS = {"tree_distance": tree_distance, "lca_height": lca_height}


def cheapest(cost, over, level=None):
    """Search the candidates one by one; the first of the cheapest wins, as in `min`."""

    def choose(h, classes, masses, row):
        candidates = classes if over == "leaves" else list(masses)
        if level is not None:
            nodes = [node for node in h.level(level) if node in masses]
            candidates = classes if set(nodes) == set(classes) else nodes

        def risk(node):
            return sum(p * cost(h, node, c) for p, c in zip(row, classes, strict=True))

        return min(candidates, key=risk)

    return choose


@given(problems(), st.sampled_from(list(COSTS)), st.sampled_from(["leaves", "nodes"]))
def test_named_costs(problem, cost, over):
    check(MinimumRisk(cost, over), problem, cheapest(COSTS[cost], over))


@given(problems(trees(max_leaves=8), inner=False), st.sampled_from(list(COSTS)), st.data())
def test_named_costs_on_a_level(problem, cost, data):
    h = problem[0]
    level = data.draw(st.integers(-h.n_levels, h.n_levels - 1))
    check(MinimumRisk(cost), problem, cheapest(COSTS[cost], "leaves", level), level)


@given(problems(), st.sampled_from(["leaves", "nodes"]))
def test_array_and_function(problem, over):
    h, classes, _ = problem
    rows = classes if over == "leaves" else h.nodes
    table = [[uneven(h, row, c) for c in classes] for row in rows]
    choose = cheapest(uneven, over)
    check(MinimumRisk(table, over), problem, choose)
    check(MinimumRisk(np.array(table, dtype=float), over), problem, choose)
    check(MinimumRisk(lambda node, true: uneven(h, node, true), over), problem, choose)


@given(problems(trees(max_leaves=8), inner=False), st.data())
def test_function_on_a_level(problem, data):
    h = problem[0]
    level = data.draw(st.integers(-h.n_levels, h.n_levels - 1))
    decision = MinimumRisk(lambda node, true: uneven(h, node, true))
    check(decision, problem, cheapest(uneven, "leaves", level), level)


@given(problems(trees(max_leaves=8), inner=False, whole=True))
def test_by_tree_distance_a_node_pays_above_one_half(problem):
    # 9/16 is the least sixteenth above one half.
    h, classes, proba = problem
    risk, threshold = MinimumRisk(over="nodes"), Threshold(9 / 16)
    assert risk.decide(proba, classes, h).tolist() == threshold.decide(proba, classes, h).tolist()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("hierarchy", [trees(max_leaves=8), dags(max_nodes=9)], ids=["tree", "dag"])
def test_tables_in_pieces(cost, hierarchy, monkeypatch):
    # One candidate at a time through the graph, and through the table.
    monkeypatch.setattr(_risk, "_CHUNK", 1)

    @given(problems(hierarchy))
    def pieces(problem):
        check(MinimumRisk(cost), problem, cheapest(COSTS[cost], "leaves"))

    pieces()


def test_by_hand():
    classes = ["cat", "dog", "oak"]
    row = [[0.375, 0.1875, 0.4375]]
    # Leaves: cat 2 * 3/16 + 4 * 7/16 = 34/16, dog 40/16, oak 4 * 9/16 = 36/16.
    # Others: animal 9/16 + 3 * 7/16 = 30/16, plant 3 * 9/16 + 7/16 = 34/16.
    assert MinimumRisk().decide(row, classes, TREE).tolist() == ["cat"]
    assert MinimumRisk().decide(row, classes, TREE, level=0).tolist() == ["animal"]
    assert MinimumRisk(over="nodes").decide(row, classes, TREE).tolist() == ["animal"]
    # Heights: cat 3/16 + 2 * 7/16 = 17/16, oak 18/16; animal costs at least its own, 23/16.
    assert MinimumRisk("lca_height").decide(row, classes, TREE).tolist() == ["cat"]
    assert MinimumRisk("lca_height", "nodes").decide(row, classes, TREE).tolist() == ["cat"]


def test_of_equally_deep_common_ancestors_the_first_counts():
    # c and d meet in a, of height 3, and in b, of height 1, which also has e. As h names a for
    # them, e costs 0.75, c 3 * 0.35 + 0.25 and d more; by way of b, c would cost 0.6.
    h = Hierarchy.from_dict({"a": ["c", "d", "x"], "x": ["y"], "y": ["z"], "b": ["c", "d", "e"]})
    assert h.lowest_common_ancestor("c", "d") == "a"
    decision = MinimumRisk("lca_height")
    assert decision.decide([[0.4, 0.35, 0.25]], ["c", "d", "e"], h).tolist() == ["e"]


def test_the_cost_is_called_once_for_each_pair():
    calls = []

    def cost(predicted, true):
        calls.append((predicted, true))
        return 0.0

    h = Hierarchy.from_dict({1: [10, 11]})
    MinimumRisk(cost).decide(np.full((5, 2), 0.5), np.array([11, 10]), h)
    assert calls == [(11, 11), (11, 10), (10, 11), (10, 10)]
    assert all(type(x) is int for pair in calls for x in pair)


# -- errors


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (MinimumRisk("hops"), "'cost' parameter of MinimumRisk.*'lca_height'"),
        (MinimumRisk(1.0), "'cost' parameter of MinimumRisk"),
        (MinimumRisk(over="edges"), "'over' parameter of MinimumRisk.*'nodes'"),
        (MinimumRisk(np.ones((2, 3))), r"shape \(2, 2\), a row for each class.* is \(2, 3\)"),
        (MinimumRisk([0, 1]), r"shape \(2, 2\).*its shape is \(2,\)"),
        (
            MinimumRisk(np.ones((2, 2)), over="nodes"),
            r"shape \(6, 2\), a row for each node of hierarchy.nodes.* is \(2, 2\)",
        ),
        (MinimumRisk([["a", "b"], ["c", "d"]]), "cost must be an array of numbers"),
        (MinimumRisk([[0, 1], [1]]), "cost must be an array of numbers"),
        (MinimumRisk([[0, -1], [1, 0]]), r"predicting 'cat' where 'oak' is true costs -1\.0"),
        (MinimumRisk([[0, 1], [np.nan, 0]]), "predicting 'oak' where 'cat' is true costs nan"),
        (MinimumRisk([[np.inf, 1], [1, 0]]), "predicting 'cat' where 'cat' is true costs inf"),
        (
            MinimumRisk([[0, 0], [0, -2], *[[0, 0]] * 4], over="nodes"),
            r"predicting 'fungus' where 'oak' is true costs -2\.0",
        ),
        (MinimumRisk(lambda a, b: -1 if a == b else 0), r"'cat' where 'cat' is true costs -1\.0"),
        (MinimumRisk(lambda a, b: a + b), r"cost\('cat', 'cat'\) must be a number.*'catcat'"),
        (MinimumRisk(lambda a, b: None), r"cost\('cat', 'cat'\) must be a number, it is None"),
    ],
)
def test_bad_costs(decision, message):
    with pytest.raises((ValueError, TypeError), match=message):
        decision.decide([[0.5, 0.5]], ["cat", "oak"], TREE)


@pytest.mark.parametrize("hierarchy", [TREE, LADDER], ids=["tree", "dag"])
def test_what_promises_no_level(hierarchy):
    classes = LADDER.leaves if hierarchy is LADDER else ("cat", "oak")
    with pytest.raises(ValueError, match=r'over="nodes".*cannot promise one of level \'leaf\''):
        MinimumRisk(over="nodes").decide([[0.5, 0.5]], classes, hierarchy, level="leaf")
    with pytest.raises(ValueError, match=r"array of costs.* nodes of level 'leaf'"):
        MinimumRisk(np.eye(2)).decide([[0.5, 0.5]], classes, hierarchy, level="leaf")


def test_a_table_that_does_not_fit_is_refused(monkeypatch):
    """A tree with a named cost has none; a function and a DAG need one."""
    tree = Hierarchy.from_dict({"a": ["b", "c"], "d": ["e"]})
    dag = Hierarchy([("r", "a"), ("r", "d"), ("a", "b"), ("d", "b"), ("a", "c"), ("d", "e")])
    monkeypatch.setattr("hierclf._utils.memory.physical_memory", lambda: 16)
    proba, classes = [[0.5, 0.25, 0.25]], ["b", "c", "e"]
    assert MinimumRisk().decide(proba, classes, tree).tolist() == ["b"]
    for cost, hierarchy, n_bytes in ((lambda a, b: a != b, tree, 8), ("lca_height", dag, 1)):
        message = f"costs of MinimumRisk is 3 rows x 3 columns x {n_bytes} bytes = .*needs no table"
        with pytest.raises(MemoryError, match=message):
            MinimumRisk(cost).decide(proba, classes, hierarchy)
