"""How high, how wide, how far apart and by which path: numbers for whole arrays of nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy import _relatives
from hierclf.hierarchy._arrays import HierarchyArrays, gather

# All functions take and return positions, with -1 for the root.


def heights(arrays: HierarchyArrays) -> NDArray[np.intp]:
    """Return the number of edges on the longest way from each node down to a leaf."""
    result = np.zeros(len(arrays) + 1, dtype=np.intp)  # the last is the root's
    n_parents = np.diff(arrays.parent_offsets)
    # From the deepest nodes up: a node's height is known before it is handed on.
    for start, stop in reversed(list(pairwise(arrays.depth_offsets.tolist()))):
        edges = slice(arrays.parent_offsets[start], arrays.parent_offsets[stop])
        steps = np.repeat(result[start:stop] + 1, n_parents[start:stop])
        np.maximum.at(result, arrays.parent_indices[edges], steps)
    result.setflags(write=False)
    return result[:-1]


def leaf_counts(arrays: HierarchyArrays) -> NDArray[np.intp]:
    """Return the number of leaves at or below each node."""
    ones = np.ones(len(arrays.leaf_indices), dtype=np.intp)
    counts = sums_below(arrays, arrays.leaf_indices, ones)
    counts.setflags(write=False)
    return counts


def sums_below(
    arrays: HierarchyArrays, positions: NDArray[np.intp], values: NDArray[Any]
) -> NDArray[Any]:
    """Sum, for each node, the values of those of some distinct nodes that are at or below it."""
    result = np.zeros(len(arrays) + 1, dtype=values.dtype)  # the last is the root's
    if not arrays.is_tree:  # a value counts once, however many ways lead up
        items, above = ancestor_pairs(arrays, positions)
        np.add.at(result, above, values[items])
        return result[:-1]
    result[positions] = values
    for start, stop in reversed(list(pairwise(arrays.depth_offsets.tolist()))):
        np.add.at(result, arrays.edge_parents[start:stop], result[start:stop])
    return result[:-1]


def ancestor_pairs(
    arrays: HierarchyArrays, positions: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair each of some nodes with itself and each of its ancestors but the root."""
    ids = np.asarray(positions, dtype=np.intp) + 1
    items = np.arange(len(ids))
    width = len(arrays) + 1
    found = [items * width + ids]
    while len(ids):
        above, counts = gather(*arrays.up, ids)
        items = np.repeat(items, counts)[above > 0]
        cells = items * width + above[above > 0]
        if not arrays.is_tree:  # two ways up may meet again
            cells = np.unique(cells)
        items, ids = np.divmod(cells, width)
        found.append(cells)
    cells = np.concatenate(found)
    cells = np.sort(cells) if arrays.is_tree else np.unique(cells)
    items, ids = np.divmod(cells, width)
    return items, ids - 1


def path_indices(arrays: HierarchyArrays, positions: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the paths to nodes to which one path leads, padded with -1."""
    paths = np.full((len(positions), arrays.n_levels), -1)
    rows, here = np.arange(len(positions)), positions
    while len(rows):
        rows, here = rows[here >= 0], here[here >= 0]
        # A node's only path is also its longest: its depth says where on it the node is.
        paths[rows, arrays.depths[here] - 1] = here
        here = arrays.parent_indices[arrays.parent_offsets[here]]
    return paths


def are_at_or_above(
    arrays: HierarchyArrays, nodes: ArrayLike, below: ArrayLike
) -> NDArray[np.bool_]:
    """Tell whether each of some nodes is another one or an ancestor of it."""
    upper = np.asarray(nodes, dtype=np.intp)
    distinct, which = np.unique(np.asarray(below, dtype=np.intp), return_inverse=True)
    items, above = ancestor_pairs(arrays, distinct)
    width = len(arrays)
    found = np.isin(which.reshape(-1) * width + upper, items * width + above)
    return found | (upper < 0)


def lca_indices(arrays: HierarchyArrays, a: ArrayLike, b: ArrayLike) -> NDArray[np.intp]:
    """Return the lowest common ancestor of each pair of nodes."""
    pairs, inverse = _unique_pairs(a, b)
    if arrays.is_tree:
        return _meet(arrays, *pairs)[inverse]
    meets = [
        _relatives.lowest_common_ancestor(arrays, i + 1, j + 1) - 1
        for i, j in zip(*pairs.tolist(), strict=True)
    ]
    return np.array(meets, dtype=np.intp)[inverse]


def pair_distances(arrays: HierarchyArrays, a: ArrayLike, b: ArrayLike) -> NDArray[np.intp]:
    """Return the number of edges between each pair of nodes."""
    pairs, inverse = _unique_pairs(a, b)
    if arrays.is_tree:
        depths = np.append(arrays.depths, 0)  # the last is the root's, at -1
        to_meet = 2 * depths[_meet(arrays, *pairs)]
        result: NDArray[np.intp] = depths[pairs[0]] + depths[pairs[1]] - to_meet
        return result[inverse]
    distances = [
        _relatives.distance(arrays, i + 1, j + 1) for i, j in zip(*pairs.tolist(), strict=True)
    ]
    return np.array(distances, dtype=np.intp)[inverse]


def _meet(arrays: HierarchyArrays, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
    """Climb a tree from both nodes of each pair, from the deeper one first."""
    depths, parents = np.append(arrays.depths, 0), arrays.edge_parents
    a, b = a.copy(), b.copy()
    apart = np.flatnonzero(a != b)
    while len(apart):
        depth_a, depth_b = depths[a[apart]], depths[b[apart]]
        up_a, up_b = apart[depth_a >= depth_b], apart[depth_b >= depth_a]
        a[up_a], b[up_b] = parents[a[up_a]], parents[b[up_b]]
        apart = apart[a[apart] != b[apart]]
    return a


def _unique_pairs(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct pairs, of shape (2, n_distinct), and which of them each pair is."""
    first, second = np.asarray(a, dtype=np.intp), np.asarray(b, dtype=np.intp)
    width = max(int(second.max(initial=0)), 0) + 2
    cells, inverse = np.unique((first + 1) * width + second + 1, return_inverse=True)
    return np.stack(np.divmod(cells, width)) - 1, inverse.reshape(-1)
