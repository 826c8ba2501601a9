"""Coding trees: against the definition of structural entropy, and against a search over all."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierclf.nn.coding_tree import Growing, coding_tree, structural_entropy

TRIANGLES = [[0, 0, 1, 3, 3, 4, 2], [1, 2, 2, 4, 5, 5, 3]]

quick = settings(max_examples=60, deadline=None)


@st.composite
def graphs(draw, max_nodes=9):
    """Any graph: several components, single nodes, cycles."""
    n = draw(st.integers(1, max_nodes))
    pairs = list(itertools.combinations(range(n), 2))
    return n, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


def arrays(edges):
    return np.array(edges, dtype=np.intp).reshape(-1, 2).T


def entropy(parent, n, edges):
    """Compute the entropy by its definition, of {node: parent}; the root has no parent."""

    def leaves(node):
        found = set()
        for leaf in range(n):
            here = leaf
            while here is not None and here != node:
                here = parent.get(here)
            if here == node:
                found.add(leaf)
        return found

    def volume(node):
        return sum((a in leaves(node)) + (b in leaves(node)) for a, b in edges)

    def cut(node):
        return sum((a in leaves(node)) != (b in leaves(node)) for a, b in edges)

    return -sum(
        cut(node) / (2 * len(edges)) * math.log2(volume(node) / volume(above))
        for node, above in parent.items()
        if cut(node)
    )


def depth(parent, node):
    return 0 if node not in parent else 1 + depth(parent, parent[node])


def two_levels_by_search(n, edges):
    """Find the groups of the tree of height 2, with every change computed by the definition."""
    parent = dict.fromkeys(range(n), "root")

    def change(after):
        volume = 2 * len(edges)
        return round(volume * (entropy(after, n, edges) - entropy(parent, n, edges)), 9)

    def linked(a, b):
        of = {leaf: top(leaf) for leaf in range(n)}
        return any({of[i], of[j]} == {a, b} for i, j in edges)

    def top(node):
        return node if parent[node] == "root" else top(parent[node])

    new = n
    while True:
        tops = sorted(node for node, above in parent.items() if above == "root")
        options = [
            (change({**parent, a: new, b: new, new: "root"}), a, b)
            for a, b in itertools.combinations(tops, 2)
            if linked(a, b)
        ]
        if not options:
            break
        _, a, b = min(options)
        parent |= {a: new, b: new, new: "root"}
        new += 1
    if len(tops) == 1 and tops[0] >= n:  # a node of all is the root
        del parent[tops[0]]
    root = tops[0] if len(tops) == 1 and tops[0] >= n else "root"
    while True:
        deep = {leaf for leaf in range(n) if depth(parent, leaf) > 2}
        options = []
        for node in parent:
            on_path = any(node in chain(parent, leaf) for leaf in deep)
            if node >= n and on_path:
                after = {
                    other: parent[node] if above == node else above
                    for other, above in parent.items()
                    if other != node
                }
                options.append((change(after), node, after))
        if not options:
            break
        parent = min(options, key=lambda option: option[:2])[2]
    keys = [leaf if parent[leaf] == root else parent[leaf] for leaf in range(n)]
    return [
        sorted({k: i for i, k in reversed(list(enumerate(keys)))}.values()).index(keys.index(key))
        for key in keys
    ]


def chain(parent, node):
    return [node] + (chain(parent, parent[node]) if node in parent else [])


@given(graphs())
@quick
def test_every_step_is_the_best_by_the_definition(graph):
    n, edges = graph
    groups, root = coding_tree(n, arrays(edges))
    assert groups.tolist() == two_levels_by_search(n, edges)
    assert root.tolist() == [0] * (groups.max() + 1)


@given(graphs(max_nodes=12), st.sampled_from(["combine", "merge"]))
@quick
def test_every_operator_changes_the_entropy_as_it_says(graph, criterion):
    n, edges = graph
    if not edges:
        return
    volume = 2 * len(edges)
    degree = np.bincount(arrays(edges).ravel(), minlength=n)
    growing = Growing(degree, degree, arrays(edges), criterion)

    def tree():
        """The whole tree at this moment: what has no parent yet is under the root."""
        nodes = [i for i in range(len(growing.parent)) if i < n or growing.below[i] >= 0]
        top = getattr(growing, "root", None)
        return {
            i: growing.parent_of(i) if growing.parent[i] >= 0 else "root" for i in nodes if i != top
        }

    def communities(pairs):
        """The tree of two levels in which the leaves of these nodes are groups."""
        parent = {}
        for leaf in range(n):
            here = leaf
            while growing.parent[here] >= 0 and here not in pairs:
                here = growing.parent[here]
            parent[leaf] = pairs.get(here, ("group", here))
        return parent | dict.fromkeys(set(parent.values()), "root")

    combine, compress = growing.combine, growing.compress

    def checked_combine(a, b):
        slot = growing.slot
        weight = np.array([growing.weights[slot[a]][slot[b]]])
        said = growing.combine_change(np.array([a]), b, weight)[0]
        if criterion == "combine":
            before = entropy(tree(), n, edges)
        else:
            before = entropy(communities({a: "a", b: "b"}), n, edges)
            after = entropy(communities({a: "ab", b: "ab"}), n, edges)
        new = combine(a, b)
        if criterion == "combine":
            after = entropy(tree(), n, edges)
        assert said / volume == pytest.approx(after - before, abs=1e-9)
        return new

    def checked_compress(node):
        said, before = growing.compress_change(node), entropy(tree(), n, edges)
        compress(node)
        assert said / volume == pytest.approx(entropy(tree(), n, edges) - before, abs=1e-9)

    growing.combine, growing.compress = checked_combine, checked_compress
    growing.combine_all()
    growing.compress_all()
    before = entropy(tree(), n, edges)
    groups = growing.groups()
    padded = {leaf: ("group", group) for leaf, group in enumerate(groups.tolist())}
    padded |= dict.fromkeys(set(padded.values()), "root")
    assert entropy(padded, n, edges) == pytest.approx(before, abs=1e-12)
    found = structural_entropy((groups, np.zeros(groups.max() + 1, dtype=int)), arrays(edges))
    assert found == pytest.approx(before, abs=1e-12)


@given(graphs(max_nodes=12), st.integers(1, 5), st.sampled_from(["combine", "merge"]))
@quick
def test_each_level_has_every_node_and_never_raises_the_entropy(graph, height, criterion):
    n, edges = graph
    tree = coding_tree(n, arrays(edges), height, criterion=criterion)
    assert len(tree) == height
    assert [len(parents) for parents in tree] == [
        n,
        *(parents.max() + 1 for parents in tree[:-1]),
    ]  # no number is left out: the last of each level is a parent
    for parents in tree:
        assert set(parents.tolist()) == set(range(parents.max() + 1))
    assert tree[-1].max() == 0
    by_definition = {(0, leaf): (1, parent) for leaf, parent in enumerate(tree[0].tolist())}
    for level, parents in enumerate(tree[1:], start=1):
        by_definition |= {(level, i): (level + 1, p) for i, p in enumerate(parents.tolist())}
    if edges:
        named = {
            (node[1] if node[0] == 0 else node): above for node, above in by_definition.items()
        }
        assert structural_entropy(tree, arrays(edges)) == pytest.approx(
            entropy(named, n, edges), abs=1e-9
        )
    if height > 1:
        less = structural_entropy(
            coding_tree(n, arrays(edges), height - 1, criterion=criterion), arrays(edges)
        )
        # The criterion "merge" rates by another number, so that a first step may cost something.
        if criterion == "combine" or height > 2:
            assert structural_entropy(tree, arrays(edges)) <= less + 1e-9


def test_two_triangles():
    tree = coding_tree(6, TRIANGLES)
    assert [parents.tolist() for parents in tree] == [[0, 0, 0, 1, 1, 1], [0, 0]]
    # By hand: 7 edges, degrees 2 2 3 3 2 2, one edge between the triangles, of volume 7 each.
    by_hand = -(4 * 2 / 14 * math.log2(2 / 7) + 2 * 3 / 14 * math.log2(3 / 7)) - 2 * (
        1 / 14 * math.log2(7 / 14)
    )
    assert structural_entropy(tree, TRIANGLES) == pytest.approx(by_hand, rel=1e-12)


def test_the_criterion_of_the_reference_code_takes_the_bridge_first():
    # By hand, after the pairs 0-1 and 4-5: the triangle's third node is rated
    # 2 log2(7 / 4) - 4 log2(14 / 7) = -2.39, the bridge -2 log2(14 / 6) = -2.44.
    assert coding_tree(6, TRIANGLES, criterion="merge")[0].tolist() == [0, 0, 0, 0, 1, 1]


def test_a_third_level_goes_where_it_lowers_the_entropy_more():
    # Four triangles in two pairs: at height 2 one of the levels is found, at 3 both.
    edges = [(3 * t + a, 3 * t + b) for t in range(4) for a, b in [(0, 1), (0, 2), (1, 2)]]
    edges += [(0, 3), (1, 4), (6, 9), (7, 10), (2, 8)]
    tree = coding_tree(12, arrays(edges), 3)
    assert [parents.tolist() for parents in tree] == [
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
        [0, 0, 1, 1],
        [0, 0],
    ]


@pytest.mark.parametrize(
    ("n", "edges", "groups"),
    [
        (1, [], [0]),
        (3, [], [0, 1, 2]),
        (2, [(0, 1)], [0, 1]),
        (4, [(1, 2)], [0, 1, 1, 2]),  # single nodes beside a pair
    ],
)
def test_small_graphs(n, edges, groups):
    assert coding_tree(n, arrays(edges))[0].tolist() == groups
    deep = coding_tree(n, arrays(edges), 4)
    assert len(deep) == 4
    assert deep[-1].max() == 0


@given(graphs(), st.randoms(use_true_random=False))
@quick
def test_the_order_of_the_edges_does_not_matter(graph, random):
    n, edges = graph
    turned = [edge if random.random() < 0.5 else edge[::-1] for edge in edges]
    random.shuffle(turned)
    for one, other in zip(
        coding_tree(n, arrays(edges), 3), coding_tree(n, arrays(turned), 3), strict=True
    ):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("shape", ["star", "chain", "tree"])
def test_thousands_of_nodes(shape):
    n = 4000
    rng = np.random.default_rng(0)
    parents = {
        "star": np.zeros(n - 1, dtype=int),
        "chain": np.arange(n - 1),
        "tree": (rng.random(n - 1) * np.arange(1, n)).astype(int),
    }[shape]
    edges = np.stack([parents, np.arange(1, n)])
    tree = coding_tree(n, edges, 3)
    flat = structural_entropy((np.zeros(n, dtype=int),), edges)
    assert structural_entropy(tree, edges) < flat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, []), "n_nodes=0"),
        ((3, [], 0), "height=0"),
        ((3, [[0], [3]]), r"nodes 0 to 2, got \[0, 3\]"),
        ((3, [[1], [1]]), r"joins two of the nodes 0 to 2, got \[1, 1\]"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        coding_tree(*arguments)
    with pytest.raises(ValueError, match="criterion must be 'combine' or 'merge', got 'best'"):
        coding_tree(3, [], criterion="best")
