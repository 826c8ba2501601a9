"""From a list of edges to a checked graph with its nodes in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from hierclf.hierarchy._arrays import HierarchyArrays
from hierclf.hierarchy._nodes import (
    ROOT,
    Node,
    arrange,
    as_list,
    clean_node,
    is_hashable,
    is_padding,
    shorten,
    show,
)


class Graph(NamedTuple):
    """A rooted directed acyclic graph whose nodes are in order."""

    root: Node
    nodes: tuple[Node, ...]
    arrays: HierarchyArrays


def read_pairs(edges: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return edges as pairs, or raise with the position of the first that is none."""
    if isinstance(edges, (str, bytes)) or not isinstance(edges, Iterable):
        raise TypeError(f"edges must be an iterable of (parent, child) pairs, got {show(edges)}")
    if isinstance(edges, dict):
        raise TypeError("edges must be (parent, child) pairs, got a dict: use Hierarchy.from_dict")
    pairs = []
    for i, edge in enumerate(_rows_of_frame(edges) if hasattr(edges, "iloc") else as_list(edges)):
        try:
            if isinstance(edge, (str, bytes, set, frozenset, dict)):
                raise TypeError
            parent, child = edge
        except (TypeError, ValueError):
            raise ValueError(f"edge {i} is not a (parent, child) pair: {show(edge)}") from None
        pairs.append((parent, child))
    return pairs


def _rows_of_frame(frame: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a data frame, each column in its own type.

    A column of integers becomes one of floats as soon as a value is missing, so the parents
    become integers again where the children are.
    """
    columns = [frame.iloc[:, k].tolist() for k in range(frame.shape[1])]
    if len(columns) == 2 and all(type(child) is int for child in columns[1]):
        columns[0] = [int(p) if type(p) is float and p.is_integer() else p for p in columns[0]]
    return list(zip(*columns, strict=True))


def build_graph(
    pairs: Iterable[tuple[Any, Any]],
    *,
    nodes: Iterable[Any] = (),
    root: Node = None,
    ordered: bool = True,
) -> Graph:
    """Check the edges, find the root and put the nodes in order.

    Parameters
    ----------
    pairs : iterable of (parent, child)
        The edges. A parent that is missing (None, NaN, NA or "") says that the child has none.
    nodes : iterable of nodes, default=()
        Nodes that may have no edge.
    root : node, optional
        The root; every other node without parents is hung under it.
    ordered : bool, default=True
        Whether the order of the edges means something; it does not in a set.

    Returns
    -------
    Graph
    """
    ids: dict[Node, int] = {}
    for node in nodes:
        ids.setdefault(clean_node(node, "a node without edges"), len(ids))
    parents: list[int] = []
    children: list[int] = []
    without = set()
    plain = (int, str)
    for parent, child in pairs:
        # In large hierarchies nearly all parents are known, and children are plain.
        known = ids.get(parent) if is_hashable(parent) else None
        if known is None and is_padding(parent):
            where = "in the edge {} -> {}", parent, child
            without.add(ids.setdefault(clean_node(child, *where), len(ids)))
            continue
        if known is None:
            where = "in the edge {} -> {}", parent, child
            known = ids.setdefault(clean_node(parent, *where), len(ids))
        parents.append(known)
        if type(child) not in plain or child == "":
            child = clean_node(child, "in the edge {} -> {}", parent, child)
        children.append(ids.setdefault(child, len(ids)))
    if ROOT in ids and root is None:
        root = ROOT
    if root is not None:
        root = clean_node(root, "the root")
        if ROOT in ids and root is not ROOT:
            raise ValueError(f"{ROOT!r} cannot be a node below another root, {show(root)}")
        ids.setdefault(root, len(ids))
    names = list(ids)
    _refuse_loops_and_duplicates(names, parents, children)

    has_parent = [False] * len(names)
    for p, c in zip(parents, children, strict=True):
        has_parent[c] = True
        if c in without:
            raise ValueError(
                f"the node {show(names[c])} has the parent {show(names[p])} in one edge and none "
                "in another"
            )
    tops = [i for i, below in enumerate(has_parent) if not below]
    if root is None:
        if len(tops) == 1:
            root = names[tops[0]]
        elif tops:
            ids[ROOT] = len(names)
            names.append(ROOT)
            root = ROOT
    top = None if root is None else ids[root]
    if top is not None:
        if top < len(has_parent) and has_parent[top]:
            above = [names[p] for p, c in zip(parents, children, strict=True) if c == top]
            raise ValueError(f"the root {show(root)} cannot have parents, it has {shorten(above)}")
        for i in tops:
            if i != top:
                parents.append(top)
                children.append(i)
        if not children:
            raise ValueError(f"a hierarchy needs at least one node besides its root {show(root)}")
    elif not names:
        raise ValueError("a hierarchy needs at least one edge, got none")

    order, layers = _sort_nodes(names, parents, children, top, ordered)
    return _to_arrays(names, parents, children, order, layers)


def graph_in_order(edges: Sequence[tuple[Node, Node]]) -> Graph:
    """Return the graph of a tree below ``ROOT`` whose edges are known to be right.

    Their children are all nodes, in their order: level by level, siblings side by side and sorted
    where they can be.
    """
    nodes = tuple(child for _, child in edges)
    ids = {ROOT: 0} | {node: i for i, node in enumerate(nodes, start=1)}
    above = [ids[parent] for parent, _ in edges]
    depths = [0]
    for parent in above:
        depths.append(depths[parent] + 1)
    return Graph(
        root=ROOT,
        nodes=nodes,
        arrays=HierarchyArrays(
            edge_parents=np.array(above) - 1,
            edge_children=np.arange(len(nodes)),
            depths=np.array(depths[1:]),
        ),
    )


def _refuse_loops_and_duplicates(
    names: Sequence[Node], parents: Sequence[int], children: Sequence[int]
) -> None:
    p, c = np.array(parents, dtype=np.int64), np.array(children, dtype=np.int64)
    loops = np.flatnonzero(p == c)
    if len(loops):
        raise ValueError(f"the node {show(names[p[loops[0]]])} is its own parent")
    keys = p * len(names) + c
    _, first = np.unique(keys, return_index=True)
    if len(first) < len(keys):
        again = np.setdiff1d(np.arange(len(keys)), first)[0]
        raise ValueError(
            f"the edge {show(names[p[again]])} -> {show(names[c[again]])} is given twice"
        )


def _sort_nodes(
    names: Sequence[Node],
    parents: Sequence[int],
    children: Sequence[int],
    root: int | None,
    ordered: bool,
) -> tuple[list[int], list[int]]:
    """Return the ids in order (the root first) and the size of each level.

    A node leaves the queue when its last parent has, which makes its depth the longest path from
    the root; each level is arranged by the first of the deepest parents, then among siblings.
    """
    below: list[list[int]] = [[] for _ in names]
    missing = [0] * len(names)
    for p, c in zip(parents, children, strict=True):
        below[p].append(c)
        missing[c] += 1
    order: list[int] = []
    sizes: list[int] = []
    layer = [] if root is None else [root]  # without a root all nodes have parents
    owner = [-1] * len(names)
    depth = [-1] * (len(names) + 1)  # one more, for "no owner yet" at -1
    while layer:
        level = len(sizes)
        for p in layer:
            depth[p] = level
        for p in layer:
            for c in below[p]:
                missing[c] -= 1
                if depth[owner[c]] < level:
                    owner[c] = p
        order += layer
        sizes.append(len(layer))
        following: list[int] = []
        for p in layer:
            group = [c for c in below[p] if owner[c] == p and missing[c] == 0]
            if len(group) > 1:
                by_name = {names[c]: c for c in group}
                what = "the children of {}"
                group = [
                    by_name[n]
                    for n in arrange(list(by_name), ordered=ordered, what=what, parent=names[p])
                ]
            following += group
        layer = following
    if len(order) < len(names):
        left = {i for i, m in enumerate(missing) if m > 0}
        cycle = _find_cycle(left, parents, children)
        shown = [show(names[i]) for i in cycle]
        if len(shown) > 12:
            shown[6:-5] = ["..."]
        text = " -> ".join(shown)
        raise ValueError(f"the hierarchy has a cycle: {text}")
    return order, sizes


def _find_cycle(left: set[int], parents: Sequence[int], children: Sequence[int]) -> list[int]:
    """Return a cycle, from parent to child and closed, among nodes that each have a parent left."""
    up = {c: p for p, c in zip(parents, children, strict=True) if c in left and p in left}
    seen: dict[int, int] = {}
    node = min(left)
    while node not in seen:
        seen[node] = len(seen)
        node = up[node]
    cycle = list(seen)[seen[node] :][::-1]
    start = cycle.index(min(cycle))
    cycle = cycle[start:] + cycle[:start]
    return [*cycle, cycle[0]]


def _to_arrays(
    names: Sequence[Node],
    parents: Sequence[int],
    children: Sequence[int],
    order: Sequence[int],
    layers: Sequence[int],
) -> Graph:
    position = np.empty(len(order), dtype=np.intp)
    position[np.array(order)] = np.arange(-1, len(order) - 1)
    edge_parents, edge_children = position[np.array(parents)], position[np.array(children)]
    by_parent = np.lexsort((edge_children, edge_parents))
    return Graph(
        root=names[order[0]],
        nodes=tuple(names[i] for i in order[1:]),
        arrays=HierarchyArrays(
            edge_parents=edge_parents[by_parent],
            edge_children=edge_children[by_parent],
            depths=np.repeat(np.arange(len(layers), dtype=np.intp), layers)[1:],
        ),
    )
