"""Questions about nodes: who is above, below, on which level, how far."""

from __future__ import annotations

from functools import cached_property
from operator import index

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy._graph import closure
from hierclf.hierarchy._nodes import Node
from hierclf.hierarchy._structure import Structure


class Queries(Structure):
    """A structure that answers questions about its nodes; see `Hierarchy`."""

    def _named(self, ids: NDArray[np.intp] | list[int]) -> tuple[Node, ...]:
        names = self._names
        return tuple(names[i] for i in np.asarray(ids, dtype=np.intp).tolist())

    def _parent_ids(self, i: int) -> list[int]:
        offsets = self._up_offsets
        return self._up[offsets[i] : offsets[i + 1]].tolist()  # type: ignore[no-any-return]

    def _child_ids(self, i: int) -> list[int]:
        offsets = self._down_offsets
        return self._down[offsets[i] : offsets[i + 1]].tolist()  # type: ignore[no-any-return]

    def _steps_up(self, i: int) -> dict[int, int]:
        """Return the ids above `i`, itself included, with the fewest steps to each."""
        steps = {i: 0}
        layer = [i]
        while layer:
            following = []
            for child in layer:
                for parent in self._parent_ids(child):
                    if parent not in steps:
                        steps[parent] = steps[child] + 1
                        following.append(parent)
            layer = following
        return steps

    # -- around one node

    def parents(self, node: Node) -> tuple[Node, ...]:
        """Return the parents of a node.

        Parameters
        ----------
        node : node
            A node or the root.

        Returns
        -------
        tuple of nodes
            In node order; `(root,)` for a node of the top level, empty for the root.

        Raises
        ------
        ValueError
            If the node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow", "dog"]})
        >>> h.parents("dog"), h.parents("pet")
        (('farm', 'pet'), (Hierarchy.ROOT,))
        """
        return self._named(self._parent_ids(self._id(node)))

    def children(self, node: Node) -> tuple[Node, ...]:
        """Return the children of a node.

        Parameters
        ----------
        node : node
            A node or the root.

        Returns
        -------
        tuple of nodes
            In node order; empty for a leaf.

        Raises
        ------
        ValueError
            If the node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow"]})
        >>> h.children("pet"), h.children(h.root)
        (('cat', 'dog'), ('farm', 'pet'))
        """
        return self._named(self._child_ids(self._id(node)))

    def ancestors(self, node: Node) -> tuple[Node, ...]:
        """Return every node above a node.

        Parameters
        ----------
        node : node
            A node or the root.

        Returns
        -------
        tuple of nodes
            In node order, the root first, the node itself excluded.

        Raises
        ------
        ValueError
            If the node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy([("life", "animal"), ("animal", "cat"), ("life", "plant")])
        >>> h.ancestors("cat")
        ('life', 'animal')
        """
        i = self._id(node)
        return self._named(sorted(self._steps_up(i).keys() - {i}))

    def descendants(self, node: Node) -> tuple[Node, ...]:
        """Return every node below a node.

        Parameters
        ----------
        node : node
            A node or the root.

        Returns
        -------
        tuple of nodes
            In node order, the node itself excluded.

        Raises
        ------
        ValueError
            If the node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy([("life", "animal"), ("animal", "cat"), ("life", "plant")])
        >>> h.descendants("animal"), h.descendants("life")
        (('cat',), ('animal', 'plant', 'cat'))
        """
        i = self._id(node)
        return self._named(self._below(np.array([i]))[1:])

    def _below(self, ids: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the ids at or below any of `ids`; ids grow downwards, so one id comes first."""
        return np.flatnonzero(closure(self._down_offsets, self._down, ids))

    def path(self, node: Node) -> tuple[Node, ...]:
        """Return the way from the top level to a node.

        Parameters
        ----------
        node : node
            A node or the root.

        Returns
        -------
        tuple of nodes
            Top level first, the node last; the root is not in it.

        Raises
        ------
        ValueError
            If the node is not in the hierarchy, or if several paths lead to it (in a DAG).

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy([("life", "animal"), ("animal", "cat"), ("life", "plant")])
        >>> h.path("cat")
        ('animal', 'cat')
        """
        found = self._only_path(self._id(node))
        if found is None:
            raise ValueError(f"several paths lead to {node!r}, since the hierarchy is a DAG")
        return self._named(found)

    def _only_path(self, i: int) -> list[int] | None:
        """Return the ids from the top level to `i`, or None where there are several ways."""
        if self._has_several_paths[i]:
            return None
        ids = []
        while i:
            ids.append(i)
            i = self._parent_ids(i)[0]
        return ids[::-1]

    @cached_property
    def _has_several_paths(self) -> NDArray[np.bool_]:
        """Whether several ways lead to each id: it or a node above it has several parents."""
        merges = np.flatnonzero(np.diff(self._up_offsets) > 1)
        return closure(self._down_offsets, self._down, merges)

    # -- between two nodes

    def lowest_common_ancestor(self, a: Node, b: Node) -> Node:
        """Return the deepest node at or above both of two nodes.

        Parameters
        ----------
        a, b : node
            Nodes or the root. Either may be the answer itself.

        Returns
        -------
        node
            Maybe the root. In a DAG the deepest common ancestor; of equally deep ones the first in
            node order.

        Raises
        ------
        ValueError
            If a node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.lowest_common_ancestor("cat", "dog"), h.lowest_common_ancestor("cat", "plant")
        ('animal', 'life')
        """
        common = self._steps_up(self._id(a)).keys() & self._steps_up(self._id(b)).keys()
        depths = self.depths
        best = max(common, key=lambda i: (depths[i - 1] if i else 0, -i))
        return self._names[best]

    def distance(self, a: Node, b: Node) -> int:
        """Return the number of edges on the shortest way from a node up and down to another.

        Parameters
        ----------
        a, b : node
            Nodes or the root.

        Returns
        -------
        int
            0 for a node and itself. The way turns once, at a common ancestor.

        Raises
        ------
        ValueError
            If a node is not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.distance("cat", "dog"), h.distance("cat", "plant"), h.distance("cat", "animal")
        (2, 3, 1)
        """
        up_a, up_b = self._steps_up(self._id(a)), self._steps_up(self._id(b))
        return min(up_a[i] + up_b[i] for i in up_a.keys() & up_b.keys())

    # -- levels

    def level(self, level: int | str) -> tuple[Node, ...]:
        """Return the nodes of a level.

        In a tree every level is a partition of the leaves: a leaf above the level stands for
        itself on it.

        Parameters
        ----------
        level : int, "leaf" or "parent"
            0 is the top level, below the root; negative numbers count from the bottom; "leaf" is
            -1 and "parent" -2.

        Returns
        -------
        tuple of nodes
            In node order.

        Raises
        ------
        ValueError
            If there is no such level, or for any level but the leaves in a DAG.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.level(0), h.level("leaf")
        (('animal', 'plant'), ('plant', 'cat', 'dog'))
        """
        return self._named(self.level_indices(level) + 1)

    def level_indices(self, level: int | str) -> NDArray[np.intp]:
        """Return the positions in `nodes` of the nodes of a level.

        Parameters
        ----------
        level : int, "leaf" or "parent"
            As in `level`.

        Returns
        -------
        ndarray of shape (n_nodes_of_the_level,), dtype intp

        Raises
        ------
        ValueError
            If there is no such level, or for any level but the leaves in a DAG.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.level_indices(-1)
        array([1, 2, 3])
        """
        k = self._level_number(level)
        if k == self.n_levels - 1:
            return self.leaf_indices
        on_level = self.depths == k + 1
        leaves = self.leaf_indices
        on_level[leaves[self.depths[leaves] <= k]] = True
        return np.flatnonzero(on_level)

    def _level_number(self, level: int | str) -> int:
        """Return a level counted from the top."""
        n = self.n_levels
        try:
            if isinstance(level, (bool, np.bool_)):
                raise TypeError
            k = {"leaf": -1, "parent": -2}[level] if isinstance(level, str) else index(level)
        except (KeyError, TypeError):
            raise ValueError(
                f'level must be an integer, "leaf" or "parent", got {level!r}'
            ) from None
        if not -n <= k < n:
            raise ValueError(
                f"there is no level {level!r}: the levels are 0 to {n - 1}, from the top, "
                f"or -1 to {-n}, from the leaves"
            )
        if k % n != n - 1 and not self.is_tree:
            raise ValueError(
                f"level {level!r} is not defined in a DAG, where a node may be on several; "
                'only the leaves are ("leaf" or -1)'
            )
        return k % n
