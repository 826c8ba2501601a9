"""The edges of a hierarchy as arrays of positions, and how to read several neighbours at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Adjacency(NamedTuple):
    """The neighbours of each row, one row's after another's.

    Attributes
    ----------
    offsets : ndarray of shape (n_rows + 1,), dtype intp
        The neighbours of row i are ``targets[offsets[i] : offsets[i + 1]]``.
    targets : ndarray of shape (n_neighbours,), dtype intp
        Rows.
    """

    offsets: NDArray[np.intp]
    targets: NDArray[np.intp]

    def of(self, row: int) -> list[int]:
        """Return the neighbours of one row."""
        found: list[int] = self.targets[self.offsets[row] : self.offsets[row + 1]].tolist()
        return found


def gather(
    offsets: NDArray[np.intp], targets: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the targets of several rows of an adjacency, and how many each row has."""
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    return targets[ranges(starts, counts)], counts


def ranges(starts: NDArray[Any], sizes: NDArray[Any]) -> NDArray[Any]:
    """Return the numbers from each start on, one run after another."""
    shift: NDArray[Any] = np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    return shift + np.arange(len(shift))


def closure(adjacency: Adjacency, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the mask of what can be reached from `rows`, themselves included."""
    mask = np.zeros(len(adjacency.offsets) - 1, dtype=bool)
    mask[rows] = True
    while len(rows):
        reached, _ = gather(*adjacency, rows)
        rows = np.unique(reached[~mask[reached]])
        mask[rows] = True
    return mask


@dataclass(frozen=True, eq=False, repr=False)
class HierarchyArrays:
    """The edges of a hierarchy as read-only arrays, for code that works on all nodes at once.

    All arrays hold integers (dtype intp). A node is its position in ``hierarchy.nodes``, and the
    root is -1. N is the number of nodes.

    Attributes
    ----------
    edge_parents, edge_children : ndarray of shape (n_edges,)
        The two ends of each edge. Edges are ordered by parent (the root first), then by child, so
        that in a tree edge i ends in node i.
    depths : ndarray of shape (N,)
        The depth of each node: 1 at the top level.
    depth_offsets : ndarray of shape (depth + 1,)
        The nodes of depth k are ``depth_offsets[k - 1]:depth_offsets[k]``.
    leaf_indices : ndarray of shape (n_leaves,)
        The leaves.
    inner_indices : ndarray of shape (n_inner,)
        The nodes that have children. The first is the root, -1.
    group_offsets : ndarray of shape (n_inner + 1,)
        The edges of the i-th inner node are ``group_offsets[i]:group_offsets[i + 1]``.
    parent_offsets : ndarray of shape (N + 1,)
        The parents of node i are ``parent_indices[parent_offsets[i] : parent_offsets[i + 1]]``. In
        a tree the offsets are 0, 1, ..., N.
    parent_indices : ndarray of shape (n_edges,)
        The parents of each node, one node's after another's, in node order. Item j belongs to the
        j-th edge of ``np.argsort(edge_children, kind="stable")``, which in a tree is edge j.
    down, up : Adjacency
        The children and the parents of each *id*. An id is a position plus one, so that the root
        is 0 and ids index arrays.
    has_several_paths : ndarray of shape (N + 1,), dtype bool
        Whether several paths lead to each id: it, or a node above it, has several parents.

    Examples
    --------
    >>> from hierclf import Hierarchy
    >>> h = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow", "dog"]})
    >>> h.nodes
    ('farm', 'pet', 'cow', 'dog', 'cat')
    >>> h.arrays.edge_parents, h.arrays.edge_children
    (array([-1, -1,  0,  0,  1,  1]), array([0, 1, 2, 3, 3, 4]))
    >>> h.arrays.inner_indices, h.arrays.group_offsets
    (array([-1,  0,  1]), array([0, 2, 4, 6]))
    >>> h.arrays.parent_offsets, h.arrays.parent_indices  # the dog, at 3, has two
    (array([0, 1, 2, 3, 5, 6]), array([-1, -1,  0,  0,  1,  1]))
    >>> h.arrays.depth_offsets
    array([0, 2, 5])
    """

    edge_parents: NDArray[np.intp]
    edge_children: NDArray[np.intp]
    depths: NDArray[np.intp]

    def __post_init__(self) -> None:
        for array in (self.edge_parents, self.edge_children, self.depths):
            _frozen(array)

    def __len__(self) -> int:
        return len(self.depths)

    @property
    def is_tree(self) -> bool:
        """Whether every node has one parent."""
        return len(self.edge_children) == len(self.depths)

    @property
    def n_levels(self) -> int:
        """The number of levels, which is the largest depth."""
        return int(self.depths[-1])

    @cached_property
    def down(self) -> Adjacency:
        """The children of each id."""
        counts = np.bincount(self.edge_parents + 1, minlength=len(self) + 1)
        return _adjacency(counts, self.edge_children + 1)

    @cached_property
    def up(self) -> Adjacency:
        """The parents of each id."""
        counts = np.bincount(self.edge_children + 1, minlength=len(self) + 1)
        by_child = np.argsort(self.edge_children, kind="stable")
        return _adjacency(counts, self.edge_parents[by_child] + 1)

    @cached_property
    def depth_offsets(self) -> NDArray[np.intp]:
        """Where each depth starts and ends."""
        return _frozen(np.searchsorted(self.depths, np.arange(1, self.n_levels + 2)))

    @cached_property
    def leaf_indices(self) -> NDArray[np.intp]:
        """The nodes without children."""
        return _frozen(np.flatnonzero(np.diff(self.down.offsets[1:]) == 0))

    @cached_property
    def inner_indices(self) -> NDArray[np.intp]:
        """The nodes with children, the root first."""
        return _frozen(np.flatnonzero(np.diff(self.down.offsets)) - 1)

    @cached_property
    def group_offsets(self) -> NDArray[np.intp]:
        """Where the edges of each inner node start and end."""
        starts = self.down.offsets[self.inner_indices + 1]
        return _frozen(np.append(starts, len(self.edge_children)))

    @cached_property
    def parent_offsets(self) -> NDArray[np.intp]:
        """Where the parents of each node start and end."""
        return _frozen(self.up.offsets[1:])

    @cached_property
    def parent_indices(self) -> NDArray[np.intp]:
        """The parents of each node."""
        return _frozen(self.up.targets - 1)

    @cached_property
    def has_several_paths(self) -> NDArray[np.bool_]:
        """Whether several paths lead to each id."""
        merges = np.flatnonzero(np.diff(self.up.offsets) > 1)
        mask = closure(self.down, merges)
        mask.setflags(write=False)
        return mask


def _adjacency(counts: NDArray[np.intp], targets: NDArray[np.intp]) -> Adjacency:
    return Adjacency(_frozen(np.concatenate(([0], np.cumsum(counts)))), _frozen(targets))


def _frozen(array: NDArray[np.intp]) -> NDArray[np.intp]:
    array = np.asarray(array, dtype=np.intp)
    array.setflags(write=False)
    return array
