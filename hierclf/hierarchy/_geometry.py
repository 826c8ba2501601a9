"""How high, how wide, how far apart and by which path: numbers for whole arrays of nodes."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._graph import gather
from hierclf.hierarchy._queries import Queries


class Geometry(Queries):
    """A structure that measures its nodes; see `Hierarchy`.

    Its arguments and results are positions in `nodes`, with -1 for the root, so that labels are
    looked up once (`node_indices`) however many questions follow.
    """

    @cached_property
    def heights(self) -> NDArray[np.intp]:
        """The number of edges on the longest way from each node down to a leaf, of shape (N,)."""
        heights = np.zeros(len(self.nodes) + 1, dtype=np.intp)  # the last is the root's
        n_parents = np.diff(self.parent_offsets)
        # From the deepest nodes up: a node's height is known before it is handed on.
        for start, stop in reversed(list(pairwise(self.depth_offsets.tolist()))):
            edges = slice(self.parent_offsets[start], self.parent_offsets[stop])
            steps = np.repeat(heights[start:stop] + 1, n_parents[start:stop])
            np.maximum.at(heights, self.parent_indices[edges], steps)
        heights.setflags(write=False)
        return heights[:-1]

    @cached_property
    def leaf_counts(self) -> NDArray[np.intp]:
        """The number of leaves at or below each node, of shape (N,)."""
        _, above = self.ancestor_pairs(self.leaf_indices)
        counts = np.bincount(above, minlength=len(self.nodes)).astype(np.intp)
        counts.setflags(write=False)
        return counts

    def ancestor_pairs(self, positions: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pair each of some nodes with itself and each of its ancestors but the root.

        Parameters
        ----------
        positions : array-like of shape (n,)
            Positions in `nodes`; repetitions are separate items.

        Returns
        -------
        items : ndarray of shape (n_pairs,)
            Which of `positions`, counted from 0.
        ancestors : ndarray of shape (n_pairs,)
            The position of the node or ancestor. No pair occurs twice; the order is by item, and
            then by position.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.ancestor_pairs(h.node_indices(["dog", "plant"]))
        (array([0, 0, 1]), array([0, 3, 1]))
        """
        ids = np.asarray(positions, dtype=np.intp) + 1
        items = np.arange(len(ids))
        width = len(self.nodes) + 1
        found = [items * width + ids]
        while len(ids):
            above, counts = gather(self._up_offsets, self._up, ids)
            items = np.repeat(items, counts)[above > 0]
            cells = items * width + above[above > 0]
            if not self.is_tree:  # two ways up may meet again
                cells = np.unique(cells)
            items, ids = np.divmod(cells, width)
            found.append(cells)
        cells = np.concatenate(found)
        cells = np.sort(cells) if self.is_tree else np.unique(cells)
        items, ids = np.divmod(cells, width)
        return items, ids - 1

    def path_indices(self, positions: ArrayLike) -> NDArray[np.intp]:
        """Return the paths to nodes, as positions.

        Parameters
        ----------
        positions : array-like of shape (n,)
            Positions in `nodes`, or -1 for the root, whose path is empty.

        Returns
        -------
        ndarray of shape (n, n_levels), dtype intp
            Root side first, then the node itself, then -1.

        Raises
        ------
        ValueError
            If several paths lead to a node (in a DAG).

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.path_indices([3, 1])
        array([[ 0,  3],
               [ 1, -1]])
        """
        here = np.asarray(positions, dtype=np.intp)
        several = self._has_several_paths[here + 1]
        if several.any():
            name = self.nodes[here[several][0]]
            raise ValueError(f"several paths lead to {name!r}, since the hierarchy is a DAG")
        paths = np.full((len(here), self.n_levels), -1)
        rows = np.arange(len(here))
        while len(rows):
            rows, here = rows[here >= 0], here[here >= 0]
            # A node's only path is also its longest: its depth says where on it the node is.
            paths[rows, self.depths[here] - 1] = here
            here = self.parent_indices[self.parent_offsets[here]]
        return paths

    def are_at_or_above(self, nodes: ArrayLike, below: ArrayLike) -> NDArray[np.bool_]:
        """Tell whether each of some nodes is another one or an ancestor of it.

        Parameters
        ----------
        nodes : array-like
            Positions in `nodes`, or -1 for the root, which is above all.
        below : array-like of shape (n,)
            Positions in `nodes`; the shape must broadcast with that of the first.

        Returns
        -------
        ndarray of bool
            Of the shape that the two broadcast to.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> animal, plant, cat = h.node_indices(["animal", "plant", "cat"])
        >>> h.are_at_or_above([animal, plant, cat, -1], [cat, cat, animal, animal])
        array([ True, False, False,  True])
        """
        upper = np.asarray(nodes, dtype=np.intp)
        distinct, which = np.unique(np.asarray(below, dtype=np.intp), return_inverse=True)
        items, above = self.ancestor_pairs(distinct)
        width = len(self.nodes)
        found = np.isin(which.reshape(-1) * width + upper, items * width + above)
        return found | (upper < 0)

    def lca_indices(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.intp]:
        """Return the lowest common ancestor of each pair of nodes.

        Parameters
        ----------
        a, b : array-like of shape (n,)
            Positions in `nodes`, or -1 for the root.

        Returns
        -------
        ndarray of shape (n,), dtype intp
            Positions; -1 where only the root is common. In a DAG as in
            `lowest_common_ancestor`.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> cat, dog, plant = h.node_indices(["cat", "dog", "plant"])
        >>> h.lca_indices([cat, cat], [dog, plant])
        array([ 0, -1])
        """
        pairs, inverse = _unique_pairs(a, b)
        if self.is_tree:
            return self._meet(*pairs)[inverse]
        names = self._names
        meets = [
            self._ids[self.lowest_common_ancestor(names[i + 1], names[j + 1])] - 1
            for i, j in zip(*pairs.tolist(), strict=True)
        ]
        return np.array(meets, dtype=np.intp)[inverse]

    def pair_distances(self, a: ArrayLike, b: ArrayLike) -> NDArray[np.intp]:
        """Return the tree distance of each pair of nodes: `distance` for arrays.

        Parameters
        ----------
        a, b : array-like of shape (n,)
            Positions in `nodes`, or -1 for the root.

        Returns
        -------
        ndarray of shape (n,), dtype intp
            Numbers of edges.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> cat, dog, plant = h.node_indices(["cat", "dog", "plant"])
        >>> h.pair_distances([cat, cat], [dog, plant])
        array([2, 3])
        """
        pairs, inverse = _unique_pairs(a, b)
        if self.is_tree:
            depths = np.append(self.depths, 0)  # the last is the root's, at -1
            to_meet = 2 * depths[self._meet(*pairs)]
            result: NDArray[np.intp] = depths[pairs[0]] + depths[pairs[1]] - to_meet
            return result[inverse]
        names = self._names
        distances = [
            self.distance(names[i + 1], names[j + 1]) for i, j in zip(*pairs.tolist(), strict=True)
        ]
        return np.array(distances, dtype=np.intp)[inverse]

    def _meet(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
        """Climb a tree from both nodes of each pair, from the deeper one first."""
        depths, parents = np.append(self.depths, 0), self.edge_parents
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
