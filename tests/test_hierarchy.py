"""Hierarchy as a value: making one, its order and arrays, its queries, and what it refuses."""

import copy
import csv
import gzip
import json
import os
import pickle
import subprocess
import sys
from itertools import product

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import dags, trees

from hierclf.hierarchy import Hierarchy, as_hierarchy

ROOT = Hierarchy.ROOT
LIFE = {"life": ["animal", "plant"], "animal": ["cat", "dog"]}

quick = settings(max_examples=60, deadline=None)
graphs = st.one_of(trees(), dags())


def graph_of(h):
    """The hierarchy as networkx sees it, from its edges alone."""
    return nx.DiGraph(list(h.edges))


def longest_depths(g, root):
    depths = {}
    for node in nx.topological_sort(g):
        depths[node] = max((depths[p] + 1 for p in g.predecessors(node)), default=0)
    assert depths[root] == 0
    return depths


# -- the root


@pytest.mark.parametrize(
    ("make", "root", "top"),
    [
        (lambda: Hierarchy.from_dict(LIFE), "life", ("animal", "plant")),
        (lambda: Hierarchy.from_dict({"a": ["x"], "b": ["y"]}), ROOT, ("a", "b")),
        (lambda: Hierarchy.from_dict({"a": ["x"], "b": []}), ROOT, ("a", "b")),
        (lambda: Hierarchy.from_dict({"a": {"x": {}, "y": None}, "b": None}), ROOT, ("a", "b")),
        (lambda: Hierarchy.from_dict({"a": [], "b": []}), ROOT, ("a", "b")),
        (lambda: Hierarchy.from_dict({"a": ["x"], "b": []}, root="a"), "a", ("b", "x")),
        (lambda: Hierarchy.from_dict({"a": ["x"]}, root="new"), "new", ("a",)),
        (lambda: Hierarchy.from_dict({"a": []}, root="new"), "new", ("a",)),
        (lambda: Hierarchy([("a", "x"), (ROOT, "b")]), ROOT, ("a", "b")),
        (lambda: Hierarchy([("a", "x")]), "a", ("x",)),
        (lambda: Hierarchy.from_parents({"x": "a", "y": "b"}), ROOT, ("a", "b")),
        (lambda: Hierarchy.from_paths([["a"]]), ROOT, ("a",)),
        (lambda: Hierarchy.from_delimited(["a.x"], "."), ROOT, ("a",)),
        (lambda: Hierarchy.flat(["a"]), ROOT, ("a",)),
    ],
)
def test_root_and_top_level(make, root, top):
    h = make()
    assert h.root == root
    assert h.children(root) == top == h.level(0)[: len(top)]
    assert root not in h
    assert root not in h.nodes
    assert all(h.parents(node) == (root,) for node in top)
    assert Hierarchy(h.edges) == h
    assert h.descendants(root) == h.nodes
    assert h.parents(root) == h.ancestors(root) == h.path(root) == ()


def test_isolated_networkx_nodes_are_leaves_of_the_top_level():
    g = nx.DiGraph([("a", "x")])
    g.add_node("b")
    assert Hierarchy.from_networkx(g) == Hierarchy([(ROOT, "a"), (ROOT, "b"), ("a", "x")])


def test_unnamed_root_is_one_object():
    for other in (copy.copy(ROOT), copy.deepcopy([ROOT])[0], pickle.loads(pickle.dumps(ROOT))):
        assert other is ROOT
    assert repr(ROOT) == "Hierarchy.ROOT"


# -- constructors


LIFE_EDGES = [("life", "plant"), ("animal", "dog"), ("life", "animal"), ("animal", "cat")]


@pytest.mark.parametrize(
    "obj",
    [
        LIFE,
        {"life": {"plant": {}, "animal": {"dog": None, "cat": []}}},
        {"life": {"plant", "animal"}, "animal": ("dog", "cat"), "dog": []},
        {"life": {"plant": None, "animal": ["dog", "cat"]}},
        {"life": np.array(["plant", "animal"]), "animal": pd.Series(["dog", "cat"])},
        LIFE_EDGES,
        iter(LIFE_EDGES),
        set(LIFE_EDGES),
        [list(edge) for edge in LIFE_EDGES],
        np.array(LIFE_EDGES),
        pd.DataFrame(LIFE_EDGES),
        nx.DiGraph(LIFE_EDGES),
        Hierarchy(LIFE_EDGES),
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_all_forms_give_the_same_hierarchy(obj):
    h = as_hierarchy(obj)
    assert h.edges == (("life", "animal"), ("life", "plant"), ("animal", "cat"), ("animal", "dog"))
    assert all(type(node) is str for node in h.nodes)
    assert h == Hierarchy.from_parents({c: p for p, c in LIFE_EDGES})
    assert h == Hierarchy.from_edges(LIFE_EDGES)
    assert as_hierarchy(h) is h


def test_dict_may_be_a_dag():
    h = Hierarchy.from_dict({"a": {"x": {"y": {}}}, "b": ["x"]})
    assert not h.is_tree
    assert h.parents("x") == ("a", "b")


@pytest.mark.parametrize(
    "Y",
    [
        [["A", "x", "other"], ["A", "other"], ["B", "other"], ["B", "y"], ["C"]],
        np.array([["A", "x", "other"], ["A", "other", ""], ["B", "other", ""], ["B", "y", ""],
                  ["C", "", ""]]),
        pd.DataFrame([["A", "x", "other"], ["A", "other", None], ["B", "other", np.nan],
                      ["B", "y", pd.NA], ["C", "", ""]]),
    ],
    ids=["lists", "array", "frame"],
)  # fmt: skip
def test_paths_name_repeated_labels_by_their_path(Y):
    assert Hierarchy.from_paths(Y).edges == (
        (ROOT, "A"),
        (ROOT, "B"),
        (ROOT, "C"),
        ("A", ("A", "other")),
        ("A", "x"),
        ("B", ("B", "other")),
        ("B", "y"),
        ("x", ("A", "x", "other")),
    )


def test_paths_of_numbers_padded_with_nan():
    h = Hierarchy.from_paths(np.array([[1, 10], [2, np.nan], [1, 11]]))
    assert h.nodes == (1, 2, 10, 11)


@quick
@given(trees(), st.randoms(use_true_random=False))
def test_paths_build_the_tree_they_came_from(h, random):
    rows = [h.path(leaf) for leaf in h.leaves]
    random.shuffle(rows)
    again = Hierarchy.from_paths(rows)
    assert again == h.relabel({h.root: ROOT})
    assert again.nodes == h.nodes


def test_missing_ranks():
    skipped = Hierarchy.from_paths(RANKS, missing="skip")
    assert skipped.to_dict() == {ROOT: ["A"], "A": ["b", "f"], "b": ["c", "e"], "c": ["d"]}
    assert skipped.leaves_from_paths(RANKS, missing="skip").tolist() == ["d", "e", "f", "c"]

    filled = Hierarchy.from_paths(RANKS, missing="fill")
    assert filled.to_dict() == {
        ROOT: ["A"],
        "A": ["A (no level 1)", "b"],
        "A (no level 1)": ["A (no level 2)"],
        "b": ["b (no level 2)", "c"],
        "A (no level 2)": ["f"],
        "b (no level 2)": ["e"],
        "c": ["d"],
    }
    # Each column is a level, and the paths that come back can be read without the option.
    assert [filled.depths[i] for i in filled.node_indices(["b", "c", "d", "e", "f"])] == [
        2, 3, 4, 4, 4,
    ]  # fmt: skip
    y = filled.leaves_from_paths(RANKS, missing="fill")
    assert y.tolist() == ["d", "e", "f", "c"]
    assert filled.leaves_from_paths(filled.paths_from_leaves(y)).tolist() == y.tolist()
    with pytest.raises(ValueError, match=r"row 1 skips a level: .* in column 'order'\."):
        filled.leaves_from_paths(RANKS)
    with pytest.raises(ValueError, match='missing must be "error"'):
        filled.leaves_from_paths(RANKS, missing="pad")
    # A gap at the top has no label above to be named by; numbers are written out.
    assert Hierarchy.from_paths([[None, "x"], [7, "", "y"]], missing="fill").nodes == (
        "(no level 0)", 7, "x", "7 (no level 1)", "y",
    )  # fmt: skip


TOP_ROWS = [("animal", "cat"), ("animal", "dog"), ("plant", "oak")]


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT, ""], ids=repr)
def test_a_missing_parent_is_no_parent(nothing):
    rows = [(nothing, "plant"), *TOP_ROWS, (nothing, "animal")]
    h = Hierarchy(TOP_ROWS)
    assert h.root is ROOT
    life = Hierarchy([("life", "plant"), ("life", "animal"), *TOP_ROWS])
    forms = [rows, np.array(rows, dtype=object), pd.DataFrame(rows)]
    for form in forms:
        assert as_hierarchy(form) == h
        assert Hierarchy(form, root="life") == life
    parents = {child: parent for parent, child in rows}
    assert Hierarchy.from_parents(parents) == h
    assert Hierarchy.from_parents(parents, root="life") == life
    assert (
        Hierarchy.from_dict({nothing: ["plant"], "animal": ["cat", "dog"], "plant": ["oak"]}) == h
    )
    # As everywhere, a single node without parents is the root, unless another is given.
    assert Hierarchy.from_parents({"animal": nothing, "cat": "animal"}).root == "animal"
    only = Hierarchy.from_parents({"animal": nothing, "cat": "animal"}, root=ROOT)
    assert only.edges == ((ROOT, "animal"), ("animal", "cat"))


def test_a_node_that_is_its_own_parent_has_none():
    nodes_dmp = {1: 1, 2: 131567, 131567: 1, 2157: 131567, 10239: 1}
    h = Hierarchy.from_parents(nodes_dmp)
    assert h.to_dict() == {1: [10239, 131567], 131567: [2, 2157]}
    assert Hierarchy.from_parents({"a": "a", "b": "b", "x": "a"}).level(0) == ("a", "b")


def test_integers_of_a_frame_survive_missing_parents():
    frame = pd.DataFrame({"parent": [np.nan, 1, 1, 2], "child": [1, 2, 3, 4]})
    h = Hierarchy(frame)
    assert [type(node) for node in (h.root, *h.nodes)] == [int] * 4
    assert h.edges == ((1, 2), (1, 3), (2, 4))


def test_repeated_names_joined_by_a_separator():
    rows = [["A", "other"], ["B", "x", "other"], ["B", "y"], ["other", ""], ["A", "A/z"]]
    h = Hierarchy.from_paths(rows, sep="/")
    # "A/z" would be read as the path of a "z", so it is spelt by its path as well.
    assert h.nodes == ("A", "B", "other", "A/A/z", "A/other", "x", "y", "B/x/other")
    leaves = ["A/other", "B/x/other", "y", "other", "A/A/z"]
    assert h.leaves_from_paths(rows).tolist() == leaves
    assert sorted(h.leaves) == h.level_classes().tolist() == sorted(leaves)
    shown = [[*row, "", ""][:3] for row in rows]
    assert h.paths_from_leaves(leaves).tolist() == shown
    assert h.leaves_from_paths(shown).tolist() == leaves
    assert h.leaves_from_paths([["B", "x", "B/x/other"]]).tolist() == ["B/x/other"]
    # The separator goes along with copies and parts, and is a part of the value.
    for same in (pickle.loads(pickle.dumps(h)), h.relabel({}), h.prune(leaves[1:])):
        assert same.sep == "/"
        assert same.paths_from_leaves(["B/x/other"]).tolist() == [["B", "x", "other"]]
    assert pickle.loads(pickle.dumps(h)) == h
    bare = Hierarchy(h.edges)
    assert bare.sep is None
    assert bare != h
    assert bare.paths_from_leaves(["A/other"]).tolist() == [["A", "A/other", ""]]
    with pytest.raises(ValueError, match="'other' is not a child of 'x'"):
        bare.leaves_from_paths([["B", "x", "other"]])


@quick
@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "a/b", "c"]), min_size=1, max_size=4), min_size=1)
)
def test_any_paths_come_back_with_a_separator(rows):
    try:
        h = Hierarchy.from_paths(rows, sep="/")
    except ValueError as error:
        assert "is a label and also the path" in str(error)  # noqa: PT017
        assert any("a/b" in row for row in rows)
        return
    assert all(type(node) is str for node in h.nodes)
    y = h.leaves_from_paths(rows)
    paths = h.paths_from_leaves(y)
    assert [[cell for cell in row if cell != ""] for row in paths.tolist()] == rows
    assert len(h) == len({tuple(row[:k]) for row in rows for k in range(1, len(row) + 1)})


def test_delimited_labels():
    h = Hierarchy.from_delimited(np.array(["sci.med", "sci.space.x", "misc", "sci.med"]), ".")
    assert h.to_dict() == {
        ROOT: ["misc", "sci"],
        "sci": ["sci.med", "sci.space"],
        "sci.space": ["sci.space.x"],
    }
    assert Hierarchy.from_delimited(["a::b"], "::").path("a::b") == ("a", "a::b")


@pytest.mark.parametrize("branching", [2, 3, 5, 10])
def test_balanced_trees(branching):
    for n in [*range(1, 40), 99, 100, 101, 243, 244]:
        h = Hierarchy.balanced(range(n), branching)
        assert sorted(h.leaves) == list(range(n))
        power, depth = branching, 1
        while power < n:
            power, depth = power * branching, depth + 1
        assert h.n_levels == depth
        assert set(h.depths[h.leaf_indices]) <= {depth, depth - 1}
        sizes = [len(h.children(node)) for node in (h.root, *h.nodes)]
        assert max(sizes) <= branching
        assert n == 1 or 1 not in sizes
        for inner in set(h.nodes) - set(h.leaves):
            below = sorted(set(h.descendants(inner)) & set(h.leaves))
            assert below == list(range(inner[0], inner[1] + 1))
            sizes = [len(set(h.descendants(c)) & set(h.leaves)) or 1 for c in h.children(inner)]
            assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("branching", [2, 3, 5])
def test_huffman_depths_against_the_rarest_joined_one_by_one(branching):
    """The mean depth is the sum of all joined counts, which a plain list of counts tells, too."""
    rng = np.random.default_rng(branching)
    for n in (1, 2, 3, 4, 6, 7, 20, 33):
        counts = dict(enumerate(rng.integers(0, 9, size=n).tolist()))
        tree = Hierarchy.huffman(counts, branching)
        left, expected = sorted(counts.values()), 0
        while (len(left) - 1) % (branching - 1):
            left.insert(0, 0)  # classes that never occur fill the last group up
        while len(left) > 1:
            joined = sum(left[:branching])
            expected += joined
            left = sorted([*left[branching:], joined])
        found = sum(counts[leaf] * len(tree.path(leaf)) for leaf in tree.leaves)
        assert found == (expected if n > 1 else counts[0])
        groups = [*tree.to_dict().values()]
        assert max(map(len, groups)) <= branching
        assert sum(len(group) < branching for group in groups) <= 1
        assert sorted(tree.leaves) == list(range(n))


def test_no_tree_of_two_branches_has_a_class_less_deep_than_huffmans():
    """Kraft: depths d with sum(2 ** -d) <= 1 are those of some tree, so all can be tried."""
    rng = np.random.default_rng(0)
    for n in (2, 3, 4, 5, 6):
        counts = rng.integers(1, 20, size=n)
        tree = Hierarchy.huffman(dict(enumerate(counts.tolist())))
        found = sum(counts[leaf] * len(tree.path(leaf)) for leaf in tree.leaves)
        depths = product(range(1, n), repeat=n) if n > 2 else [(1, 1)]
        least = min(counts @ d for d in depths if sum(0.5**k for k in d) <= 1)
        assert found == least


def test_huffman_by_hand():
    tree = Hierarchy.huffman({"rare": 1, "common": 10, "odd": 2, "often": 4})
    assert tree.to_dict() == {
        Hierarchy.ROOT: ["common", ("group", 0)],
        ("group", 0): ["often", ("group", 1)],
        ("group", 1): ["odd", "rare"],
    }
    assert tree == Hierarchy(tree.edges)
    assert tree.nodes == Hierarchy(tree.edges).nodes
    assert pickle.loads(pickle.dumps(tree)) == tree
    # Tuples can be compared with the names of groups: all the same, siblings are sorted.
    tuples = Hierarchy.huffman({("x", 1): 3, ("a", 2): 2, ("a", 1): 1})
    assert tuples.level(0) == (("group", 0), ("x", 1))
    assert tuples.nodes == Hierarchy(tuples.edges).nodes


@given(st.data())
def test_flatten_leaves_paths_without_the_nodes_taken_out(data):
    tree = data.draw(trees())
    inner = sorted(set(tree.nodes) - set(tree.leaves))
    removed = data.draw(st.sets(st.sampled_from(inner))) if inner else set()
    flattened = tree.flatten(sorted(removed))
    for leaf in tree.leaves:
        assert flattened.path(leaf) == tuple(n for n in tree.path(leaf) if n not in removed)
    assert sorted(flattened.leaves) == sorted(tree.leaves)
    assert flattened.root == tree.root
    if not removed:
        assert flattened is tree


@given(st.data())
def test_flatten_in_a_dag_keeps_what_is_above_what(data):
    dag = data.draw(dags())
    inner = sorted(set(dag.nodes) - set(dag.leaves))
    removed = data.draw(st.sets(st.sampled_from(inner))) if inner else set()
    flattened = dag.flatten(sorted(removed))
    for node in flattened.nodes:
        assert set(flattened.ancestors(node)) == set(dag.ancestors(node)) - removed
    assert set(flattened.nodes) == set(dag.nodes) - removed


def test_balanced_by_hand():
    assert Hierarchy.balanced([3, 1, 5, 4, 2], 2).to_dict() == {
        ROOT: [(1, 2), (3, 5)],
        (1, 2): [1, 2],
        (3, 5): [3, (4, 5)],
        (4, 5): [4, 5],
    }
    # As few parts as will do, not as many as are allowed.
    assert Hierarchy.balanced(range(12), 10).level(0) == ((0, 5), (6, 11))
    for classes in (range(11), "abcdefg", [(k,) for k in range(9)], [1, "b", 0.5, "a", 7]):
        for branching in (2, 3):
            tree = Hierarchy.balanced(list(classes), branching)
            again = Hierarchy(tree.edges)
            assert tree == again
            assert tree.nodes == again.nodes
            assert tree.depths.tolist() == again.depths.tolist()
    assert Hierarchy.balanced(range(101), 10).level(0) == ((0, 49), (50, 100))
    assert Hierarchy.balanced(["b", 1, "a"], 2).leaves == ("b", 1, "a")  # cannot be sorted


# -- order and arrays


@quick
@given(graphs, st.randoms(use_true_random=False))
def test_order_of_nodes(h, random):
    g = graph_of(h)
    depths = longest_depths(g, h.root)
    position = {node: i for i, node in enumerate(h.nodes)} | {h.root: -1}

    def key(node):
        deepest = [p for p in g.predecessors(node) if depths[p] == depths[node] - 1]
        return depths[node], min(position[p] for p in deepest), node

    assert list(h.nodes) == sorted(h.nodes, key=key)
    assert h.depths.tolist() == [depths[node] for node in h.nodes]
    edges = list(h.edges)
    random.shuffle(edges)
    assert Hierarchy(edges).edges == h.edges
    assert Hierarchy(set(edges)).edges == h.edges


@quick
@given(graphs)
def test_arrays_describe_the_edges(h):
    names = [*h.nodes, h.root]  # so that -1 is the root
    pairs = list(zip(h.arrays.edge_parents.tolist(), h.arrays.edge_children.tolist(), strict=True))
    assert pairs == sorted(pairs)
    assert tuple((names[p], names[c]) for p, c in pairs) == h.edges
    groups = h.to_dict()
    assert [names[i] for i in h.arrays.inner_indices] == list(groups)
    for i, children in enumerate(groups.values()):
        rows = slice(h.arrays.group_offsets[i], h.arrays.group_offsets[i + 1])
        assert [names[c] for c in h.arrays.edge_children[rows]] == children
        assert set(h.arrays.edge_parents[rows]) == {h.arrays.inner_indices[i]}
    assert len(h.arrays.group_offsets) == len(groups) + 1
    assert [h.nodes[i] for i in h.leaf_indices] == [n for n in h.nodes if n not in groups]
    assert h.is_tree == (len(h.edges) == len(h.nodes))
    g = graph_of(h)
    for i, node in enumerate(h.nodes):
        above = h.arrays.parent_indices[
            h.arrays.parent_offsets[i] : h.arrays.parent_offsets[i + 1]
        ].tolist()
        assert above == sorted(above)
        assert {names[p] for p in above} == set(g.predecessors(node))
    assert len(h.arrays.parent_indices) == h.arrays.parent_offsets[-1] == len(h.edges)
    by_child = np.argsort(h.arrays.edge_children, kind="stable")
    assert h.arrays.parent_indices.tolist() == h.arrays.edge_parents[by_child].tolist()
    depths = longest_depths(g, h.root)
    for k in range(1, h.depth + 1):
        nodes = h.nodes[h.arrays.depth_offsets[k - 1] : h.arrays.depth_offsets[k]]
        assert nodes == tuple(node for node in h.nodes if depths[node] == k)
    assert len(h.arrays.depth_offsets) == h.depth + 1
    if h.is_tree:
        assert h.arrays.edge_children.tolist() == list(range(len(h)))
    for name in ("edge_parents", "edge_children", "group_offsets", "inner_indices",
                 "leaf_indices", "depths", "depth_offsets", "parent_offsets",
                 "parent_indices"):  # fmt: skip
        array = getattr(h.arrays, name)
        assert array.dtype == np.intp
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0


def test_unsortable_siblings_keep_their_order():
    h = Hierarchy([("r", 2), ("r", "b"), ("r", 1), ("b", "z"), ("b", "y")])
    assert h.nodes == (2, "b", 1, "y", "z")
    assert Hierarchy(h.edges).nodes == h.nodes
    assert pickle.loads(pickle.dumps(h)).nodes == h.nodes
    # "<" between sets is "subset of": sorting does not raise, and sorts nothing.
    sets = [frozenset("ab"), frozenset("a"), frozenset("c")]
    assert Hierarchy.flat(sets).nodes == tuple(sets)
    # In a DAG the order is that below the parent that places the siblings, so that it lasts.
    h = Hierarchy([("r", "p"), ("p", "q"), ("q", 1), ("q", "c"), ("p", "c")])
    assert h.nodes == ("p", "q", 1, "c")
    assert Hierarchy(h.edges).nodes == h.nodes


def test_numpy_scalars_become_plain():
    h = Hierarchy([(np.str_("r"), np.int64(1)), (np.str_("r"), np.float32(2)), ("r", np.bool_(0))])
    assert [type(node) for node in h.nodes] == [bool, int, float]
    assert type(h.root) is str
    dates = np.array(["2020-01-02", "2020-01-01"], dtype="datetime64[ns]")
    assert Hierarchy.flat(dates).nodes == (dates[1], dates[0])


def test_same_order_and_pickle_under_another_hash_seed():
    code = (
        "import pickle, sys; from hierclf.hierarchy import Hierarchy\n"
        "h = Hierarchy({(p, p + c) for p in 'abc' for c in 'xyz'} | {('a', 'bx')})\n"
        "h = Hierarchy(set(h.edges)); hash(h)\n"
        "sys.stdout.buffer.write(pickle.dumps(h))"
    )
    pickles = []
    for seed in "12":
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        pickles.append(run.stdout)
    assert pickles[0] == pickles[1]
    h = pickle.loads(pickles[0])
    assert h.nodes == Hierarchy(h.edges).nodes
    assert hash(h) == hash(Hierarchy(h.edges))


# -- a value


@quick
@given(graphs)
def test_round_trips(h):
    for again in (
        Hierarchy(h.edges),
        Hierarchy.from_dict(h.to_dict()),
        Hierarchy.from_networkx(h.to_networkx()),
        pickle.loads(pickle.dumps(h)),
        h.relabel(lambda node: (node,)).relabel(lambda node: node[0]).relabel({}),
    ):
        assert again == h
        assert hash(again) == hash(h)
        assert again.edges == h.edges
        assert again.depths.tolist() == h.depths.tolist()
    assert set(h.to_networkx()) == {h.root, *h.nodes}


@pytest.mark.parametrize("n", [1, 127, 128, 129, 32768])
def test_pickles_use_small_integers_that_are_large_enough(n):
    h = Hierarchy.flat(range(n))
    again = pickle.loads(pickle.dumps(h))
    assert again == h
    assert again.depths.tolist() == [1] * n


def test_equality():
    h = Hierarchy.from_dict(LIFE)
    assert h != Hierarchy.from_dict(LIFE, root="new")
    assert h != h.relabel({"life": ROOT})
    assert h != Hierarchy.from_dict({"life": ["animal", "plant"], "plant": ["cat", "dog"]})
    assert h != Hierarchy([*h.edges, ("plant", "dog")])
    assert h != LIFE
    mixed = [("r", 1), ("r", "a")]
    assert Hierarchy(mixed) == Hierarchy(mixed[::-1])
    assert hash(Hierarchy(mixed)) == hash(Hierarchy(mixed[::-1]))


def test_immutable_and_shared_by_copies():
    h = Hierarchy.from_dict(LIFE)
    assert copy.copy(h) is h
    assert copy.deepcopy({"hierarchy": h})["hierarchy"] is h
    with pytest.raises(AttributeError, match="immutable, cannot set 'nodes'"):
        h.nodes = ()
    with pytest.raises(AttributeError, match="immutable, cannot delete 'root'"):
        del h.root


def test_container_of_nodes():
    h = Hierarchy.from_dict(LIFE)
    assert len(h) == 4
    assert list(h) == list(h.nodes) == ["animal", "plant", "cat", "dog"]
    assert "cat" in h
    assert "life" not in h
    assert ["cat"] not in h
    assert h.leaves == ("plant", "cat", "dog")
    assert h.depth == h.n_levels == 2


# -- queries


@quick
@given(graphs)
def test_relatives_against_networkx(h):
    g = graph_of(h)
    assert h.depth == nx.dag_longest_path_length(g)
    order = {node: i for i, node in enumerate((h.root, *h.nodes))}
    for node in order:
        assert h.parents(node) == tuple(sorted(g.predecessors(node), key=order.get))
        assert h.children(node) == tuple(sorted(g.successors(node), key=order.get))
        assert h.ancestors(node) == tuple(sorted(nx.ancestors(g, node), key=order.get))
        assert h.descendants(node) == tuple(sorted(nx.descendants(g, node), key=order.get))
        ways = list(nx.all_simple_paths(g, h.root, node)) if node != h.root else [[h.root]]
        if len(ways) == 1:
            assert h.path(node) == tuple(ways[0][1:])
        else:
            with pytest.raises(ValueError, match=f"several paths lead to {node!r}"):
                h.path(node)


@quick
@given(st.one_of(trees(max_leaves=5), dags(max_nodes=8)))
def test_common_ancestors_and_distances_against_networkx(h):
    g = graph_of(h)
    depths = longest_depths(g, h.root)
    steps = dict(nx.all_pairs_shortest_path_length(g))
    order = {node: i for i, node in enumerate((h.root, *h.nodes))}
    for a, b in product(order, repeat=2):
        common = (nx.ancestors(g, a) | {a}) & (nx.ancestors(g, b) | {b})
        lca = h.lowest_common_ancestor(a, b)
        assert lca == min(common, key=lambda n: (-depths[n], order[n]))
        assert h.distance(a, b) == min(steps[n][a] + steps[n][b] for n in common)
        if h.is_tree:
            assert lca == nx.lowest_common_ancestor(g, a, b)
            assert h.distance(a, b) == nx.shortest_path_length(g.to_undirected(), a, b)


def test_equally_deep_common_ancestors_are_taken_in_node_order():
    h = Hierarchy.from_dict({"r": ["b", "a"], "b": ["x", "y"], "a": ["x", "y"]})
    assert h.lowest_common_ancestor("x", "y") == "a"


@quick
@given(trees())
def test_every_level_of_a_tree_is_a_partition_of_the_leaves(h):
    for k in range(h.n_levels):
        on_level = h.level(k)
        assert h.level(k - h.n_levels) == on_level
        assert [h.nodes[i] for i in h.level_indices(k)] == list(on_level)
        assert list(on_level) == [n for n in h.nodes if n in on_level]
        below = [leaf for n in on_level for leaf in (h.descendants(n) or (n,)) if leaf in h.leaves]
        assert sorted(below) == sorted(h.leaves)
        assert all(h.ancestors(n).index(h.root) == 0 for n in on_level)
        expected = {h.path(leaf)[: k + 1][-1] for leaf in h.leaves}
        assert set(on_level) == expected
    assert h.level("leaf") == h.level(-1) == h.leaves
    if h.n_levels > 1:
        assert h.level("parent") == h.level(-2)


@quick
@given(graphs, st.data())
def test_prune_and_subtree_against_networkx(h, data):
    g = graph_of(h)
    labels = data.draw(st.lists(st.sampled_from(h.nodes), min_size=1))
    kept = set(labels).union(*(nx.ancestors(g, n) | nx.descendants(g, n) for n in labels))
    pruned = h.prune(labels)
    assert set(pruned.edges) == set(g.subgraph(kept).edges)
    assert pruned.root == h.root
    assert (pruned is h) == (kept >= set(h.nodes))
    node = data.draw(st.sampled_from((h.root, *h.nodes)))
    if node not in h.leaves:
        part = h.subtree(node)
        assert part.root == node
        assert set(part.edges) == set(g.subgraph(nx.descendants(g, node) | {node}).edges)


def test_relabel():
    h = Hierarchy.from_dict(LIFE)
    assert h.relabel({"cat": 0, "life": "root"}).to_dict() == {
        "root": ["animal", "plant"],
        "animal": [0, "dog"],
    }
    assert h.relabel({"cat": "dog", "dog": "cat"}) == h
    assert h.relabel(str.upper).root == "LIFE"
    assert Hierarchy.flat(["b", "a"]).relabel(str.upper).edges == ((ROOT, "A"), (ROOT, "B"))


# -- what is refused


RANKS = pd.DataFrame(
    [["A", "b", "c", "d"], ["A", "b", None, "e"], ["A", None, None, "f"], ["A", "b", "c", ""]],
    columns=["phylum", "class", "order", "family"],
)
ENDLESS: dict = {}
ENDLESS["a"] = ENDLESS


def edges_error(error, match, edges, **options):
    return pytest.param(error, match, lambda: Hierarchy(edges, **options), id=match[:50])


def error(kind, match, make):
    return pytest.param(kind, match, make, id=match[:50])


@pytest.mark.parametrize(
    ("kind", "match", "make"),
    [
        edges_error(ValueError, "cycle: 'a' -> 'b' -> 'a'", [("a", "b"), ("b", "a")]),
        edges_error(
            ValueError,
            "cycle: 'b' -> 'c' -> 'd' -> 'b'",
            [("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e"), ("e", "f")],
        ),
        edges_error(
            ValueError,
            "cycle: 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> ... -> 96",
            [(i, (i + 1) % 100) for i in range(100)],
        ),
        edges_error(ValueError, "cycle: 'b' -> 'b2' -> 'b'", [("b", "b2"), ("b2", "b"), ("r", 1)]),
        edges_error(ValueError, "'b' is its own parent", [("a", "b"), ("b", "b")]),
        edges_error(ValueError, "'a' -> 'b' is given twice", [("a", "b"), ("a", "c"), ("a", "b")]),
        edges_error(ValueError, "at least one edge, got none", []),
        edges_error(ValueError, "edge 1 is not .* pair: 'ab'", [("a", "b"), "ab"]),
        edges_error(ValueError, "edge 0 is not .* pair: 7", [7]),
        edges_error(ValueError, r"edge 0 is not .* pair: \('a', 'b', 'c'\)", [("a", "b", "c")]),
        edges_error(ValueError, "edge 0 is not .* pair: {", [{"a", "b"}]),
        edges_error(ValueError, "one node besides its root 'b'", [(None, "b")]),
        edges_error(ValueError, "'b' has the parent 'a' in one edge and none in another",
                    [("a", "b"), (None, "b")]),
        edges_error(ValueError, "'' cannot be a node, .* empty cell .*'a' -> ''", [("a", "")]),
        error(ValueError, r"'' cannot be a node, .* \(in classes\)",
              lambda: Hierarchy.flat(np.array(["a", ""]))),
        error(ValueError, "'' cannot be a node, .*the new name of 'b'",
              lambda: Hierarchy.flat(["a", "b"]).relabel({"b": ""})),
        edges_error(ValueError, "nan cannot be a node .*'a' -> nan", [("a", float("nan"))]),
        edges_error(ValueError, "<NA> cannot be a node", [("a", pd.NA)]),
        edges_error(ValueError, "NaT.* cannot be a node", [("a", np.datetime64("NaT"))]),
        edges_error(TypeError, r"hashable, \['b'\] is not .*'a' -> \['b'\]", [("a", ["b"])]),
        edges_error(TypeError, r"must be hashable, \('b', \[\]\) is not", [("a", ("b", []))]),
        edges_error(TypeError, "must be an iterable of .* pairs, got 7", 7),
        edges_error(TypeError, "must be an iterable of .* pairs, got 'ab'", "ab"),
        edges_error(TypeError, "use Hierarchy.from_dict", {"a": ["b"]}),
        edges_error(ValueError, "children of 'r' cannot be sorted .* set", {("r", 1), ("r", "a")}),
        edges_error(ValueError, "root 'b' cannot have parents, it has 'a'", [("a", "b")], root="b"),
        edges_error(ValueError, "root .*ROOT cannot have parents, it has 'a'", [("a", ROOT)]),
        edges_error(ValueError, "ROOT cannot be .* below another root, 'x'", [(ROOT, 1)], root="x"),
        edges_error(ValueError, "nan cannot be a node", [("a", "b")], root=float("nan")),
        error(TypeError, "children of 'a' .* 'b'; .*from_parents",
              lambda: Hierarchy.from_dict({"a": "b"})),
        error(TypeError, "children of 'b' .* 'c'; .*from_parents",
              lambda: Hierarchy.from_dict({"a": {"b": "c"}})),
        error(TypeError, "children of 'a' must be a list, got 7",
              lambda: Hierarchy.from_dict({"a": 7})),
        error(ValueError, "children of 'a' cannot be sorted .* set",
              lambda: Hierarchy.from_dict({"a": {1, "b"}})),
        error(ValueError, "'x' -> 'y' is given twice",
              lambda: Hierarchy.from_dict({"a": {"x": {"y": {}}}, "b": {"x": {"y": {}}}})),
        error(ValueError, "children of 'a' are a dict that occurs twice",
              lambda: Hierarchy.from_dict(ENDLESS)),
        error(ValueError, "one node besides its root 'a'", lambda: Hierarchy.from_dict({"a": []})),
        error(ValueError, "got none", lambda: Hierarchy.from_dict({})),
        error(TypeError, "expected a dict .* got list", lambda: Hierarchy.from_dict([("a", "b")])),
        error(TypeError, "expected a dict .* got list", lambda: Hierarchy.from_parents([1])),
        error(ValueError, "besides its root 'a'", lambda: Hierarchy.from_parents({"a": None})),
        error(ValueError, "None cannot be a node", lambda: Hierarchy.from_parents({None: "a"})),
        error(ValueError, "undirected", lambda: Hierarchy.from_networkx(nx.Graph([(1, 2)]))),
        error(ValueError, "1 -> 2 is given twice",
              lambda: Hierarchy.from_networkx(nx.MultiDiGraph([(1, 2), (1, 2)]))),
        error(TypeError, "expected a networkx graph", lambda: Hierarchy.from_networkx({})),
        error(ValueError, "row 1 skips a level: '' comes before 'x'",
              lambda: Hierarchy.from_paths([["a", "b"], ["a", "", "x"]])),
        error(ValueError, "row 1 skips .* comes before 'e', in column 'order'.*missing=",
              lambda: Hierarchy.from_paths(RANKS)),
        error(ValueError, "row 0 skips a level: '' comes before 'c', in column 1. Where",
              lambda: Hierarchy.from_paths([["a", "", "c"]])),
        error(ValueError, "missing must be .* got 'drop'",
              lambda: Hierarchy.from_paths([["a"]], missing="drop")),
        error(ValueError, "row 1 is not a list of labels: 'b'",
              lambda: Hierarchy.from_paths([["a", "x"], "b", ["a", "y"]])),
        error(ValueError, "'A/x' is a label and also the path .* joined by '/': choose another sep",
              lambda: Hierarchy.from_paths([["A", "x"], ["B", "x"], ["C", "A/x"]], sep="/")),
        error(ValueError, "'a/b/c' is a label and also the path .* joined by '/'",
              lambda: Hierarchy.from_paths([["a/b", "c"], ["a", "b/c"], ["d", "c"], ["d", "b/c"]],
                                           sep="/")),
        error(ValueError, r"below one parent 'A/y' is a label and also the path of the label 'y'",
              lambda: Hierarchy.from_paths([[top, name] for top in "AB" for name in ("y", "A/y")],
                                           sep="/")),
        error(TypeError, r"sep='/' joins strings, and 7, .* \(as in the path 'A', 7\)",
              lambda: Hierarchy.from_paths([["A", 7], ["B", 7]], sep="/")),
        error(TypeError, "sep must be a string, got 1",
              lambda: Hierarchy.from_paths([["A"]], sep=1)),
        error(ValueError, "sep must not be empty", lambda: Hierarchy.from_paths([["A"]], sep="")),
        error(ValueError, "row 0 skips a level: None", lambda: Hierarchy.from_paths([[None, "x"]])),
        error(ValueError, "row 1 skips a level: nan",
              lambda: Hierarchy.from_paths(np.array([[1.0, 2], [np.nan, 3]]))),
        error(ValueError, "row 1 has no label", lambda: Hierarchy.from_paths([["a"], ["", ""]])),
        error(ValueError, "row 0 is not a list of labels: 'a.b'",
              lambda: Hierarchy.from_paths(["a.b"])),
        error(ValueError, "2-D path labels, got 1 dim",
              lambda: Hierarchy.from_paths(np.array(["a"]))),
        error(TypeError, "hashable", lambda: Hierarchy.from_paths([["a", ["b"]]])),
        error(ValueError, "at least one path", lambda: Hierarchy.from_paths([])),
        error(ValueError, "below 'a' cannot be sorted",
              lambda: Hierarchy.from_paths({("a", 1), ("a", "b")})),
        error(ValueError, r"\('A', 'x'\) is a label and also the path",
              lambda: Hierarchy.from_paths([["A", "x"], ["B", "x"], ["C", ("A", "x")]])),
        error(ValueError, "'a..b' has an empty part",
              lambda: Hierarchy.from_delimited(["a..b"], ".")),
        error(ValueError, "'a.' has an empty part", lambda: Hierarchy.from_delimited(["a."], ".")),
        error(ValueError, "'' has an empty part", lambda: Hierarchy.from_delimited([""], ".")),
        error(TypeError, "must be strings, got 1", lambda: Hierarchy.from_delimited([1], ".")),
        error(ValueError, "sep must not be empty", lambda: Hierarchy.from_delimited(["a"], "")),
        error(TypeError, "labels, got 'a.b'", lambda: Hierarchy.from_delimited("a.b", ".")),
        error(ValueError, "at least one label", lambda: Hierarchy.from_delimited([], ".")),
        error(ValueError, "classes given twice: 'a'", lambda: Hierarchy.flat(["a", "b", "a"])),
        error(ValueError, "at least one class", lambda: Hierarchy.flat([])),
        error(ValueError, "classes cannot be sorted", lambda: Hierarchy.flat({1, "a"})),
        error(ValueError, "1-D labels, got 2 dim", lambda: Hierarchy.flat(np.eye(2))),
        error(ValueError, "at least 2, got 1", lambda: Hierarchy.balanced([1, 2], 1)),
        error(TypeError, "an integer, got True", lambda: Hierarchy.balanced([1, 2], True)),
        error(ValueError, "at least 2, got 1", lambda: Hierarchy.huffman({1: 1}, 1)),
        error(TypeError, "a dict of classes", lambda: Hierarchy.huffman([1, 2])),
        error(ValueError, "'a' has -1", lambda: Hierarchy.huffman({"a": -1, "b": 1})),
        error(ValueError, "'b' has nan", lambda: Hierarchy.huffman({"a": 1, "b": float("nan")})),
        error(ValueError, "'b' has '2'", lambda: Hierarchy.huffman({"a": 1, "b": "2"})),
        error(ValueError, "at least one class", lambda: Hierarchy.huffman({})),
        error(
            ValueError,
            "the name of a group",
            lambda: Hierarchy.huffman({("group", 0): 9, 1: 1, 2: 1}),
        ),
        error(ValueError, "only inner nodes can: 'b'",
              lambda: Hierarchy([("a", "b")]).flatten(["b"])),
        error(TypeError, "an integer, got 2.5", lambda: Hierarchy.balanced([1, 2], 2.5)),
        error(ValueError, "name of an inner node",
              lambda: Hierarchy.balanced([1, 2, 3, (1, 2), 5], 2)),
        error(TypeError, "expected a hierarchy: .* got 3", lambda: as_hierarchy(3)),
        error(TypeError, "expected a hierarchy: .* got 'ab'", lambda: as_hierarchy("ab")),
    ],
)  # fmt: skip
def test_bad_hierarchies(kind, match, make):
    with pytest.raises(kind, match=match):
        make()


DAG = Hierarchy([("r", "a"), ("r", "b"), ("a", "x"), ("b", "x"), ("r", "x")])


@pytest.mark.parametrize(
    ("kind", "match", "ask"),
    [
        (ValueError, "'cow' is not in the hierarchy", lambda h: h.children("cow")),
        (ValueError, "'cow' is not in the hierarchy", lambda h: h.distance("cat", "cow")),
        (TypeError, r"hashable, \['cat'\] is not", lambda h: h.path(["cat"])),
        (ValueError, "no level 2: the levels are 0 to 1.* or -1 to -2", lambda h: h.level(2)),
        (ValueError, "no level -3", lambda h: h.level(-3)),
        (ValueError, "no level 'parent': the levels are 0 to 0",
         lambda h: h.subtree("animal").level("parent")),
        (ValueError, 'integer, "leaf" or "parent", got \'top\'', lambda h: h.level("top")),
        (ValueError, "got True", lambda h: h.level(True)),
        (ValueError, "got 1.0", lambda h: h.level(1.0)),
        (ValueError, "level 0 is not defined in a DAG", lambda h: DAG.level(0)),
        (ValueError, "several paths lead to 'x'", lambda h: DAG.path("x")),
        (ValueError, "'cat' is a leaf", lambda h: h.subtree("cat")),
        (ValueError, "no label to keep", lambda h: h.prune([])),
        (ValueError, "not in the hierarchy: 'cow', 'ape'$",
         lambda h: h.prune(["cow", "cat", "ape"])),
        (ValueError, "keys that are not .*: 'cow'", lambda h: h.relabel({"cow": 1, "cat": 2})),
        (ValueError, "'cat', 'dog' would all be named 'x'",
         lambda h: h.relabel({"cat": "x", "dog": "x"})),
        (ValueError, "'life', 'cat' would all be named 'life'",
         lambda h: h.relabel({"cat": "life"})),
        (ValueError, "ROOT cannot be a node below another root, 'life'",
         lambda h: h.relabel({"cat": ROOT})),
        (ValueError, "None cannot be a node .*new name of 'life'",
         lambda h: h.relabel({"life": None})),
        (TypeError, "dict or a callable, got 3", lambda h: h.relabel(3)),
    ],
)  # fmt: skip
def test_bad_questions(kind, match, ask):
    with pytest.raises(kind, match=match):
        ask(Hierarchy.from_dict(LIFE))


def test_networkx_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="needs networkx: pip install networkx"):
        Hierarchy.flat(["a"]).to_networkx()


# -- size


def test_deep_chain_without_recursion():
    n = 10_000
    h = Hierarchy([(i, i + 1) for i in range(n)])
    assert h.depth == n
    assert h.path(n) == tuple(range(1, n + 1))
    assert len(h.ancestors(n)) == len(h.descendants(0)) == n
    assert h.lowest_common_ancestor(n, 77) == 77
    assert h.distance(n, 0) == n
    assert h.level(5) == (6,)
    assert h.prune([n // 2]) is h
    assert h.subtree(n // 2).depth == n // 2
    assert h.relabel(str).path(str(n))[-1] == str(n)
    assert h.aggregate([[0.5]], [n], level=3).tolist() == [[0.5]]
    assert Hierarchy.from_dict(h.to_dict()) == h
    stored = pickle.dumps(h)
    assert len(stored) < 10 * n
    assert pickle.loads(stored) == h
    assert hash(pickle.loads(stored)) == hash(h)
    assert "9941 below" in str(h)
    assert h._repr_html_().count("<details") < 500
    nested = {}
    for i in reversed(range(n)):
        nested = {i: nested} if i < n - 1 else {i: [n]}
    assert Hierarchy.from_dict(nested) == h


def test_wide_and_large():
    h = Hierarchy.balanced(range(100_000), branching=10)
    assert len(h.leaves) == 100_000
    assert h.path(12_345) == (
        (10_000, 19_999),
        (12_000, 12_999),
        (12_300, 12_399),
        (12_340, 12_349),
        12_345,
    )
    assert pickle.loads(pickle.dumps(h)) == h


@pytest.mark.parametrize(
    ("name", "n_nodes", "n_leaves", "n_levels"),
    [
        ("cifar100.json", 120, 100, 2),
        ("dbpedia.json", 298, 219, 3),
        ("nyt.json", 166, 115, 8),
        ("imagenet1k.edges.csv.gz", 1372, 1000, 16),
        ("icd9cm.edges.csv.gz", 17572, 14567, 4),
        ("wordnet_wn18rr_tree.edges.csv.gz", 39376, 29591, 19),
    ],
)
def test_published_hierarchies(data_home, name, n_nodes, n_leaves, n_levels):
    file = data_home / "hierarchies" / name
    if name.endswith(".json"):
        h = Hierarchy.from_dict(json.loads(file.read_text(encoding="utf-8")))
    else:
        with gzip.open(file, "rt", encoding="utf-8") as rows:
            h = Hierarchy((row["parent"], row["child"]) for row in csv.DictReader(rows))
    assert h.root == "root"
    assert h.is_tree
    assert (len(h), len(h.leaves), h.n_levels) == (n_nodes, n_leaves, n_levels)


def test_messages_about_huge_things_are_short():
    wide = {"r": [f"n{i}" for i in range(100_000)]}
    h = Hierarchy.from_dict(wide)
    long = "x" * 10_000
    for ask in (
        lambda: as_hierarchy(type("Thing", (), {"__repr__": lambda self: long})()),
        lambda: h.node_indices([long]),
        lambda: h.children(long),
        lambda: h.children(tuple(range(100_000))),
        lambda: h.leaves_from_paths([[long]]),
        lambda: h.leaves_from_paths([["n1", long]]),
        lambda: Hierarchy.from_paths([wide]),
        lambda: Hierarchy([tuple(range(100_000))]),
        lambda: Hierarchy([(long, None)]),
        lambda: h.aggregate([[1.0]], [long], 0),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            ask()
        assert len(str(caught.value)) < 1000
    assert repr(h) == "<Hierarchy: 100000 nodes, 100000 leaves, 1 level>"
    assert len(str(h)) < 1000
