"""Hierarchy between labels, paths, indicators and probabilities of different levels."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy

LIFE = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
DAG = Hierarchy([("r", "a"), ("r", "b"), ("a", "x"), ("b", "x"), ("b", "y")])
REPEATED = Hierarchy.from_paths([["A", "other"], ["B", "other"], ["B", "y"], ["other"]])

quick = settings(max_examples=60, deadline=None)
graphs = st.one_of(trees(), dags())


# -- positions


@pytest.mark.parametrize(
    "labels",
    [["dog", "plant", "dog"], np.array(["dog", "plant", "dog"]), pd.Series(["dog", "plant", "dog"]),
     np.array(["dog", "plant", "dog"], dtype=object), ("dog", "plant", "dog")],
    ids=["list", "array", "series", "objects", "tuple"],
)  # fmt: skip
def test_node_indices(labels):
    assert LIFE.node_indices(labels).tolist() == [3, 1, 3]
    assert LIFE.node_indices(labels).dtype == np.intp


def test_tuples_are_labels():
    assert REPEATED.nodes == ("A", "B", ("other",), ("A", "other"), ("B", "other"), "y")
    assert REPEATED.node_indices([("A", "other"), "y"]).tolist() == [3, 5]
    y = REPEATED.leaves_from_paths([["A", "other"], ["B", "other"]])
    assert REPEATED.node_indices(y).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("nodes", "label", "message"),
    [
        ([110, 111], "0110", "'0110' is text and the node 110 is an integer: .* leading zeros"),
        ([110, 111], "111", r"'111' is text and the node 111 is an integer: .* same type$"),
        (["0110", "0111"], 110, "110 is an integer and the node '0110' is text"),
        (["0", "1"], 1, "1 is an integer and the node '1' is text"),
        ([0.5, 1.5], "1.5", "'1.5' is text and the node 1.5 is a float"),
        ([b"a", b"b"], "b", "'b' is text and the node b'b' is bytes"),
        (["a", "b"], b"b", "b'b' is bytes and the node 'b' is text"),
        (["2020-01-02", "b"], np.datetime64("2020-01-02"), "is of type datetime64 and .* is text"),
    ],
)
def test_labels_of_another_type_than_the_nodes(nodes, label, message):
    h = Hierarchy.flat(nodes)
    with pytest.raises(ValueError, match=f"^labels that are not in the hierarchy: .*{message}"):
        h.node_indices([label])
    with pytest.raises(ValueError, match=r"not in the hierarchy: 'cow'$"):
        h.node_indices(["cow"])


def test_integers_from_0_may_be_encoded_or_of_another_type():
    with pytest.raises(
        ValueError, match=r"'0' is text: .* type\. The labels look encoded .*relabel"
    ):
        Hierarchy.flat(["0", "1"]).node_indices([0, 1])


# -- probabilities


@quick
@given(trees(), st.data())
def test_names_of_columns_are_those_of_the_sums(h, data):
    """Each leaf gets a mass of its own, which tells below which nodes a column is."""
    mass = {leaf: 2.0**i for i, leaf in enumerate(h.leaves)}
    classes = data.draw(st.permutations(h.leaves))
    proba = [[mass[leaf] for leaf in classes]]
    for level in [*range(-h.n_levels, h.n_levels), "leaf", "all"]:
        names = h.level_classes(level).tolist()
        if level == "all":
            assert names == list(h.nodes)
        elif level in ("leaf", -1, h.n_levels - 1):
            assert names == sorted(h.leaves) == np.unique(h.leaves).tolist()
        else:
            assert names == list(h.level(level))
        (sums,) = h.aggregate(proba, classes, level).tolist()
        for name, value in zip(names, sums, strict=True):
            below = [leaf for leaf in h.leaves if leaf == name or name in h.ancestors(leaf)]
            assert value == sum(mass[leaf] for leaf in below)
    assert h.level_classes().tolist() == h.level_classes("leaf").tolist()
    assert h.aggregate(proba, classes).tolist() == h.aggregate(proba, classes, "all").tolist()


def test_names_of_columns_by_hand():
    h = Hierarchy.from_dict({"b": [2, 1.5], "a": [3]})
    assert h.level("leaf") == (3, 1.5, 2)
    assert h.level_classes().tolist() == [1.5, 2, 3]
    assert h.level_classes(0).tolist() == ["a", "b"]
    assert h.aggregate([[0.5, 0.2, 0.3]], [3, 1.5, 2], "leaf").tolist() == [[0.2, 0.3, 0.5]]
    mixed = Hierarchy.from_dict({"p": ["b", 1], "q": ["a"]})  # no order: as in the hierarchy
    assert mixed.level_classes().tolist() == list(mixed.leaves) == ["b", 1, "a"]
    assert REPEATED.level_classes().tolist() == list(REPEATED.level("leaf"))
    assert REPEATED.level_classes(-1).dtype == object
    assert DAG.level_classes("leaf").tolist() == ["x", "y"]
    with pytest.raises(ValueError, match="level 0 is not defined in a DAG"):
        DAG.level_classes(0)
    with pytest.raises(ValueError, match="no level 7"):
        LIFE.level_classes(7)


@quick
@given(trees(), st.data())
def test_aggregate_sums_what_is_below(h, data):
    level = data.draw(st.integers(0, h.n_levels - 1))
    on_level = h.level(level) if level < h.n_levels - 1 else sorted(h.leaves)
    at_or_below = [n for top in on_level for n in (top, *h.descendants(top))]
    classes = data.draw(st.lists(st.sampled_from(at_or_below), unique=True))
    seed = data.draw(st.integers(0, 99))
    proba = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), size=3) if classes else []
    proba = np.reshape(proba, (3, len(classes)) if classes else (0, 0)).astype(np.float32)
    expected = np.zeros((len(proba), len(on_level)))
    for j, top in enumerate(on_level):
        for i, c in enumerate(classes):
            if c in (top, *h.descendants(top)):
                expected[:, j] += proba[:, i]
    result = h.aggregate(proba, classes, level)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_aggregate_blocks_of_rows_and_levels_by_name():
    h = Hierarchy.balanced(range(1000), branching=10)
    rng = np.random.default_rng(0)
    proba, order = rng.random((300, 1000)), rng.permutation(1000)
    sums = proba.reshape(300, 100, 10).sum(axis=2)
    np.testing.assert_allclose(h.aggregate(proba, range(1000), "parent"), sums)
    np.testing.assert_allclose(h.aggregate(proba[:, order], order, "parent"), sums)
    np.testing.assert_array_equal(h.aggregate(proba[:, order], order, "leaf"), proba)
    np.testing.assert_allclose(h.aggregate(sums, h.level(1), 0), h.aggregate(proba, range(1000), 0))


def test_aggregate_keeps_the_dtype_and_reads_lists():
    assert LIFE.aggregate([[1, 2, 3]], ["cat", "plant", "dog"], 0).tolist() == [[4.0, 2.0]]
    assert LIFE.aggregate([[True]], ["cat"], 0).dtype == np.float64
    assert LIFE.aggregate(np.ones((1, 1), np.float16), ["cat"], 0).dtype == np.float16
    # A DAG has a level of leaves only.
    assert DAG.aggregate([[0.25, 0.75]], ["y", "x"], "leaf").tolist() == [[0.75, 0.25]]


# -- paths


def test_paths_by_hand():
    y = ["dog", "plant", "animal"]
    paths = LIFE.paths_from_leaves(y)
    assert paths.tolist() == [["animal", "dog"], ["plant", ""], ["animal", ""]]
    assert paths.dtype.kind == "U"
    assert LIFE.leaves_from_paths(paths).tolist() == y
    assert LIFE.leaves_from_paths(paths).dtype.kind == "U"

    numbers = Hierarchy.from_dict({1: [10, 11], 2: [20], 3: []})
    assert numbers.paths_from_leaves([11, 20]).dtype.kind == "i"
    padded = numbers.paths_from_leaves([11, 3])
    assert padded.tolist() == [[1, 11], [3, None]]
    assert padded.dtype == object
    assert numbers.leaves_from_paths(padded).tolist() == [11, 3]
    assert numbers.leaves_from_paths(np.array([[1, 11], [3, np.nan]])).tolist() == [11, 3]

    mixed = Hierarchy.from_dict({"a": [1], "b": [2]})
    assert mixed.paths_from_leaves([2, "a"]).tolist() == [["b", 2], ["a", None]]
    assert mixed.leaves_from_paths([["b", 2], ["a"]]).tolist() == [2, "a"]


def test_repeated_names_are_shown_by_themselves():
    rows = [["A", "other"], ["B", "other"], ["B", "y"], ["other", ""], ["A", ""]]
    labels = [("A", "other"), ("B", "other"), "y", ("other",), "A"]
    assert REPEATED.leaves_from_paths(rows).tolist() == labels
    assert REPEATED.paths_from_leaves(labels).tolist() == rows
    # Where the own name would be that of a sibling, the tuple stays.
    clash = Hierarchy([(Hierarchy.ROOT, "A"), ("A", "x"), ("A", ("A", "x"))])
    assert clash.paths_from_leaves(["x", ("A", "x")]).tolist() == [["A", "x"], ["A", ("A", "x")]]
    assert clash.leaves_from_paths([["A", ("A", "x")]]).tolist() == [("A", "x")]
    # With a second parent it has no path to be named by.
    shared = Hierarchy.from_dict({"A": [("A", "x")], "B": [("A", "x")]})
    assert shared.leaves_from_paths([["B", ("A", "x")]]).tolist() == [("A", "x")]
    with pytest.raises(ValueError, match=r"'x' is not a child of 'A'; .* \('A', 'x'\)$"):
        shared.leaves_from_paths([["A", "x"]])
    # A name that is the tuple of its own path is spelt by its path, so that it is not misread.
    tuples = Hierarchy.from_paths([[("x",), "b"], ["c", "d"], ["c", ("c", "e")]])
    assert tuples.nodes == ((("x",),), "c", "b", "d", ("c", ("c", "e")))
    assert tuples.paths_from_leaves(["b"]).tolist() == [[("x",), "b"]]
    assert tuples.leaves_from_paths([["c", ("c", "e")]]).tolist() == [("c", ("c", "e"))]
    assert tuples.paths_from_leaves([("c", ("c", "e"))]).tolist() == [["c", ("c", "e")]]
    with pytest.raises(ValueError, match=r"\('A', 'y'\) is a label and also the path of the label"):
        Hierarchy.from_paths([[top, name] for top in "AB" for name in ("y", ("A", "y"))])
    # A tuple that is not the path is a name like any other.
    pair = Hierarchy.balanced([1, 2, 3], 2)
    assert pair.paths_from_leaves([1, 3]).tolist() == [[1, None], [(2, 3), 3]]


@quick
@given(trees(), st.data())
def test_paths_round_trip(h, data):
    y = data.draw(st.lists(st.sampled_from(h.nodes)))
    paths = h.paths_from_leaves(y)
    assert paths.shape == (len(y), h.n_levels)
    for label, row in zip(y, paths, strict=True):
        assert tuple(cell for cell in row if cell != "") == h.path(label)
    for Y in (paths, paths.tolist(), [h.path(label) for label in y], pd.DataFrame(paths)):
        assert h.leaves_from_paths(Y).tolist() == y


@st.composite
def tuple_named(draw):
    """Hierarchies of which many nodes are named by their path, or by something like it."""
    h = draw(graphs)
    names, paths = {}, {h.root: ()}
    for node in h.nodes:
        above = paths[h.parents(node)[0]]
        own = draw(st.sampled_from(["a", "b", "c"]))
        name = draw(st.sampled_from([own, (*above, own), (*above, own), (*above[1:], own), ()]))
        names[node] = name if name not in names.values() else node
        paths[node] = (*above, own if isinstance(names[node], tuple) else names[node])
    return h.relabel(names)


@quick
@given(tuple_named())
def test_names_in_paths_by_definition(h):
    shown, ways = {}, {}
    for node in h.nodes:
        shown[node] = node
        ways[node] = [
            (*way, node)
            for parent in h.parents(node)
            for way in (ways[parent] if parent != h.root else [()])
        ]
        if len(ways[node]) > 1:
            with pytest.raises(ValueError, match="several paths lead to"):
                h.paths_from_leaves([node])
            continue
        *above, _ = path = ways[node][0]
        if isinstance(node, tuple) and node and node[:-1] == tuple(shown[n] for n in above):
            (parent,) = h.parents(node)
            shown[node] = node if node[-1] in h.children(parent) else node[-1]
        (row,) = h.paths_from_leaves([node]).tolist()
        assert row[: len(path)] == [shown[n] for n in path]


class CountedName(str):
    """A name that counts how often one of its kind is looked up."""

    lookups = 0

    def __hash__(self):
        CountedName.lookups += 1
        return super().__hash__()


def test_repeated_names_cost_as_much_each_however_many():
    counts = []
    for n in (100, 200):
        rows = [[group, CountedName(i)] for group in "AB" for i in range(n)]
        h = Hierarchy.from_paths(rows)
        CountedName.lookups = 0
        assert h.paths_from_leaves([("B", "7")]).tolist() == [["B", "7"]]
        counts.append(CountedName.lookups)
    assert counts[0] > 0
    assert counts[1] < 3 * counts[0]


names = st.sampled_from(["a", "b", "c"])


@quick
@given(st.lists(st.lists(names, min_size=1, max_size=4), min_size=1, max_size=12))
def test_any_paths_come_back(rows):
    h = Hierarchy.from_paths(rows)
    y = h.leaves_from_paths(rows)
    paths = h.paths_from_leaves(y)
    assert [[cell for cell in row if cell != ""] for row in paths.tolist()] == rows
    assert len(h) == len({tuple(row[:k]) for row in rows for k in range(1, len(row) + 1)})


# -- indicators


@quick
@given(graphs, st.data())
def test_indicator_is_closed_and_comes_back(h, data):
    g = nx.DiGraph(list(h.edges))
    rows = data.draw(st.lists(st.lists(st.sampled_from(h.nodes), max_size=4), max_size=5))
    Y = h.to_indicator(rows)
    assert Y.shape == (len(rows), len(h))
    assert Y.dtype == np.int8
    expected = []
    for row, indicator in zip(rows, Y, strict=True):
        closed = set(row).union(*(nx.ancestors(g, n) for n in row)) - {h.root}
        assert {h.nodes[i] for i in np.flatnonzero(indicator)} == closed
        expected.append([n for n in h.nodes if n in closed and not nx.descendants(g, n) & closed])
    lists = [Y.tolist()] if rows else []  # an empty list has no columns
    sparse = [form(Y) for form in (sp.csr_array, sp.csc_matrix, sp.coo_array, sp.lil_matrix)]
    for form in (Y, Y.astype(bool), Y.astype(float), Y.astype(object), *lists, *sparse):
        assert h.from_indicator(form) == expected


BAD_CELLS = [(7, "7"), (-3, "-3"), (0.5, "0.5"), (np.nan, "nan"), (np.inf, "inf")]


@pytest.mark.parametrize("form", [np.array, np.ndarray.tolist, sp.csr_array, sp.csc_matrix,
                                  sp.coo_array, sp.lil_array])  # fmt: skip
@pytest.mark.parametrize(("value", "shown"), BAD_CELLS)
def test_cells_of_an_indicator(form, value, shown):
    """The row is found behind rows of ones, of zeros and a wrong value that comes later."""
    Y = np.zeros((5, 4), dtype=float if isinstance(value, float) else int)
    Y[0] = 1
    Y[3, 2] = value
    Y[4, 0] = 9
    with pytest.raises(ValueError, match=f"^row 3 holds {shown}: an indicator matrix holds 0 and"):
        LIFE.from_indicator(form(Y))


def test_cells_of_an_indicator_that_are_no_numbers():
    for value, shown in (("1", "'1'"), (None, "None"), ("", "''")):
        with pytest.raises(ValueError, match=f"^row 1 holds {shown}: an indicator matrix"):
            LIFE.from_indicator(np.array([[1, 0, 0, 0], [value, 0, 0, 0]], dtype=object))
    with pytest.raises(ValueError, match=r"^row 0 holds '0'"):
        LIFE.from_indicator(np.array([["0", "0", "0", "0"]]))


def test_sparse_indicators_that_hold_a_cell_twice_or_a_zero():
    """Cells held twice are added up; the matrix of the caller stays as it is."""
    ends, columns = np.array([0, 0, 3]), np.array([3, 0, 3])
    for data, expected in (([1, 1, 0], ["dog"]), ([0, 1, 0], ["animal"]), ([2, 1, -1], ["dog"])):
        Y = sp.csr_array((np.array(data), columns, ends), shape=(2, 4))
        for form in (Y, Y.tocoo(), sp.coo_array((Y.data, ([1, 1, 1], columns)), shape=(2, 4))):
            assert LIFE.from_indicator(form) == [[], expected]
            assert form.data.tolist() == data
    Y = sp.csr_array((np.array([1, 1, 1]), columns, ends), shape=(2, 4))
    with pytest.raises(ValueError, match="row 1 holds 2"):
        LIFE.from_indicator(Y)


def test_strings_of_several_labels():
    rows = ["cat|plant", " dog ", "", None, float("nan"), "cat||dog|"]
    lists = [["cat", "plant"], ["dog"], [], [], [], ["cat", "dog"]]
    assert LIFE.to_indicator(rows, sep="|").tolist() == LIFE.to_indicator(lists).tolist()
    several = LIFE.to_indicator(np.array(["cat, dog", "plant"]), sep=",")
    assert several.tolist() == LIFE.to_indicator([["cat", "dog"], ["plant"]]).tolist()
    with pytest.raises(TypeError, match=r"^with sep='\|' each row is a string, and row 1 is \["):
        LIFE.to_indicator(["cat", ["dog"]], sep="|")
    with pytest.raises(ValueError, match=r"^labels that are not in the hierarchy: 'cow'"):
        LIFE.to_indicator(["cat|cow"], sep="|")
    with pytest.raises(ValueError, match=r"^sep must be a string that stands between labels, got"):
        LIFE.to_indicator(["cat"], sep="")


def test_indicator_of_single_labels_and_of_tuples():
    assert LIFE.to_indicator(np.array(["dog", "plant"])).tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]
    Y = REPEATED.to_indicator([("A", "other"), ["y", ("other",)], {"A"}, "B"])
    assert [np.flatnonzero(row).tolist() for row in Y] == [[0, 3], [1, 2, 5], [0], [1]]


# -- what is refused


@pytest.mark.parametrize(
    ("kind", "match", "ask"),
    [
        (ValueError, "not in the hierarchy: 'cow', 'ape'$",
         lambda: LIFE.node_indices(["cow", "cat", "ape", "cow"])),
        (ValueError, "'f', and 2 more$", lambda: LIFE.node_indices(list("bcdefgh"))),
        (ValueError, "the root 'life' is not a class", lambda: LIFE.node_indices(["cat", "life"])),
        (ValueError, r"'cow', 'life' \(the root 'life' is not a class\)",
         lambda: LIFE.node_indices(["cow", "life"])),
        (ValueError, "nan", lambda: LIFE.node_indices([np.nan])),
        (ValueError, r"0, 1, 2\. The labels look encoded .* 'animal'.*relabel\({c: i for i, c in",
         lambda: LIFE.node_indices(np.array([2, 0, 1, 1]))),
        (ValueError, "0, 1. The labels look enc",
         lambda: Hierarchy.flat([5, 6]).node_indices([0, 1])),
        (TypeError, r"hashable, \['cat'\] is not", lambda: LIFE.node_indices([["cat"]])),
        (ValueError, "expected 1-D labels, got 2", lambda: LIFE.node_indices(np.eye(2))),
        (TypeError, "labels, got 'cat'", lambda: LIFE.node_indices("cat")),
        (TypeError, "labels, got 3", lambda: LIFE.node_indices(3)),
        (ValueError, r"each of the 2 classes, its shape is \(1, 3\)",
         lambda: LIFE.aggregate(np.ones((1, 3)), ["cat", "dog"], 0)),
        (ValueError, r"its shape is \(2,\)", lambda: LIFE.aggregate([0.5, 0.5], ["cat", "dog"], 0)),
        (ValueError, "not in the hierarchy: 'cow'", lambda: LIFE.aggregate([[1]], ["cow"], 0)),
        (ValueError, "classes given twice: 'cat'",
         lambda: LIFE.aggregate([[0.5, 0.5]], ["cat", "cat"], 0)),
        (ValueError, "classes above level -1: 'animal'",
         lambda: LIFE.aggregate([[1]], ["animal"], -1)),
        (ValueError, "no level 5", lambda: LIFE.aggregate([[1]], ["cat"], 5)),
        (ValueError, "not defined in a DAG", lambda: DAG.aggregate([[1]], ["x"], 0)),
        (ValueError, "above level 'leaf': 'b'", lambda: DAG.aggregate([[1]], ["b"], "leaf")),
        (ValueError, "several paths lead to 'x'", lambda: DAG.paths_from_leaves(["y", "x"])),
        (ValueError, "row 1, step 1: 'cow' is not a child of 'animal'; .* 'cat', 'dog'$",
         lambda: LIFE.leaves_from_paths([["plant"], ["animal", "cow"]])),
        (ValueError, "row 0, step 0: 'cat' is not a child of the root",
         lambda: LIFE.leaves_from_paths([["cat"]])),
        (ValueError, "row 0, step 1: 'x' is not a child of 'plant'; it is a leaf",
         lambda: LIFE.leaves_from_paths([["plant", "x"]])),
        (ValueError, "row 0 skips a level", lambda: LIFE.leaves_from_paths([["", "cat"]])),
        (ValueError, "row 1 has no label", lambda: LIFE.leaves_from_paths([["plant"], [None]])),
        (TypeError, "hashable", lambda: LIFE.leaves_from_paths([["plant", ["x"]]])),
        (ValueError, "2-D path labels, got 1", lambda: LIFE.leaves_from_paths(np.array(["cat"]))),
        (ValueError, "not in the hierarchy: 'cow'", lambda: LIFE.to_indicator([["cat", "cow"]])),
        (ValueError, "row 1 has 'cat' but not its parent 'animal'.*hierarchy.nodes",
         lambda: LIFE.from_indicator([[1, 0, 1, 0], [0, 1, 1, 0]])),
        (ValueError, "row 0 has 'x' but not its parent 'b'",
         lambda: DAG.from_indicator([[1, 0, 1, 0]])),
        (ValueError, r"each of the 4 nodes, its shape is \(1, 3\)",
         lambda: LIFE.from_indicator([[1, 0, 1]])),
        (ValueError, r"its shape is \(4,\)", lambda: LIFE.from_indicator([1, 0, 0, 0])),
        (ValueError, r"its shape is \(1, 5\)", lambda: LIFE.from_indicator(sp.csr_array((1, 5)))),
    ],
)  # fmt: skip
def test_bad_labels(kind, match, ask):
    with pytest.raises(kind, match=match):
        ask()
