"""Where the nodes of a hierarchy go in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import Hierarchy


def drawn_parents(hierarchy: Hierarchy) -> NDArray[np.intp]:
    """Return the one parent that each node is placed under, -1 for the root; shape (N,).

    In a tree it is the parent; in a DAG the first of the deepest parents, which is also the one
    whose children stand beside the node in node order.
    """
    parents, children = hierarchy.arrays.edge_parents, hierarchy.arrays.edge_children
    depths = np.append(hierarchy.depths, 0)  # the last is the root's, at -1
    deepest = np.flatnonzero(depths[parents] == depths[children] - 1)
    found = np.empty(len(hierarchy), dtype=np.intp)
    # Backwards, so that the first of several edges is written last.
    found[children[deepest[::-1]]] = parents[deepest[::-1]]
    return found


def spans(hierarchy: Hierarchy) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first row of each node and how many rows it has; two arrays of shape (N,).

    Rows are the leaves from top to bottom, those below a node side by side. In a DAG an inner
    node all of whose children are placed elsewhere has a row of its own.
    """
    parents = drawn_parents(hierarchy)
    n = len(parents)
    counts = np.zeros(n + 1, dtype=np.intp)  # the last is the root's, at -1
    for i in range(n - 1, -1, -1):  # children come after their parents
        counts[i] = max(counts[i], 1)
        counts[parents[i]] += counts[i]
    starts = np.zeros(n + 1, dtype=np.intp)
    following = np.zeros(n + 1, dtype=np.intp)  # the row of the next child
    for i in range(n):
        starts[i] = following[i] = following[parents[i]]
        following[parents[i]] += counts[i]
    return starts[:-1], counts[:-1]


def tree_positions(hierarchy: Hierarchy) -> NDArray[np.float64]:
    """Return x (the depth) and y of the nodes, and of the root last; shape (N + 1, 2).

    Rows are 1 apart; a parent is at the mean of the children placed under it.
    """
    parents = drawn_parents(hierarchy)
    y, _ = spans(hierarchy)
    y = np.append(y.astype(np.float64), 0.0)
    n_children = np.bincount(parents + 1, minlength=len(y))  # the root's comes first
    n_children = np.roll(n_children, -1)
    sums = np.zeros(len(y))
    for i in range(len(parents) - 1, -2, -1):  # children before parents, the root, -1, last
        if n_children[i]:
            y[i] = sums[i] / n_children[i]
        if i >= 0:
            sums[parents[i]] += y[i]
    return np.column_stack([np.append(hierarchy.depths, 0).astype(np.float64), y])


def ring_angles(hierarchy: Hierarchy) -> NDArray[np.float64]:
    """Return the first and last angle of each node of a tree, in degrees; shape (N, 2).

    They grow anticlockwise from the right, as matplotlib's, and leaves run clockwise from the
    top: the first is the angle of the last leaf.
    """
    starts, counts = spans(hierarchy)
    per_leaf = 360 / len(hierarchy.leaves)
    return np.column_stack([90 - (starts + counts) * per_leaf, 90 - starts * per_leaf])
