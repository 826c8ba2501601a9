"""Other hierarchies out of one: parts of it, and the same with other names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._graph import build_graph, closure
from hierclf.hierarchy._labels import Labels
from hierclf.hierarchy._nodes import ROOT, Node, clean_node, repeated, shorten

SelfDerivations = TypeVar("SelfDerivations", bound="Derivations")


class Derivations(Labels):
    """A structure that others are derived from; see `Hierarchy`."""

    def subtree(self: SelfDerivations, node: Node) -> SelfDerivations:
        """Return the part of the hierarchy below a node, which becomes its root.

        Parameters
        ----------
        node : node
            An inner node or the root.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If the node is not in the hierarchy, or is a leaf.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.subtree("animal")
        <Hierarchy: 2 nodes, 2 leaves, 1 level>
        """
        i = self._id(node)
        if i == 0:
            return self
        below = self._below(np.array([i]))
        if len(below) == 1:
            raise ValueError(f"{node!r} is a leaf, there is nothing below it")
        return self._keep(below, root=self._names[i])

    def prune(self: SelfDerivations, labels: ArrayLike) -> SelfDerivations:
        """Return the hierarchy without the nodes neither above, at nor below any label.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes; repetitions do not matter, so training labels will do.

        Returns
        -------
        Hierarchy
            This very object when nothing goes.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy, or there are none.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "plant"], "animal": ["cat", "dog"]})
        >>> h.prune(["cat", "cat"]).nodes
        ('animal', 'cat')
        """
        ids = np.unique(self.node_indices(labels)) + 1
        if not len(ids):
            raise ValueError("there is no label to keep")
        keep = closure(self._down_offsets, self._down, ids)
        keep |= closure(self._up_offsets, self._up, ids)
        return self if keep.all() else self._keep(np.flatnonzero(keep), root=self.root)

    def _keep(self: SelfDerivations, ids: NDArray[np.intp], root: Node) -> SelfDerivations:
        """Return the hierarchy of the edges between `ids`."""
        keep = np.zeros(len(self._names), dtype=bool)
        keep[ids] = True
        names, parents, children = self._names, self.edge_parents + 1, self._down
        kept = keep[parents] & keep[children]
        edges = zip(parents[kept].tolist(), children[kept].tolist(), strict=True)
        return self._from_graph(build_graph(((names[p], names[c]) for p, c in edges), root=root))

    def relabel(
        self: SelfDerivations, mapping: Mapping[Any, Any] | Callable[[Any], Any]
    ) -> SelfDerivations:
        """Return the hierarchy with other names.

        Parameters
        ----------
        mapping : dict or callable
            The new name of each node. Nodes that are not in the dict keep theirs. A callable is
            called on every node, and on the root unless it is `Hierarchy.ROOT`.

        Returns
        -------
        Hierarchy
            Siblings are arranged by their new names.

        Raises
        ------
        ValueError
            If a key of the dict is not in the hierarchy, or two nodes get one name.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> Hierarchy.flat(["cat", "dog"]).relabel({"cat": 0, "dog": 1}).nodes
        (0, 1)
        >>> Hierarchy.flat(["cat", "dog"]).relabel(str.upper).nodes
        ('CAT', 'DOG')
        """
        if isinstance(mapping, Mapping):
            unknown = [key for key in mapping if key not in self._ids]
            if unknown:
                raise ValueError(f"keys that are not in the hierarchy: {shorten(unknown)}")
            names = [mapping.get(name, name) for name in self._names]
        elif callable(mapping):
            names = [name if name is ROOT else mapping(name) for name in self._names]
        else:
            raise TypeError(f"mapping must be a dict or a callable, got {mapping!r}")
        names = [
            clean_node(new, f"the new name of {old!r}")
            for new, old in zip(names, self._names, strict=True)
        ]
        if len(set(names)) < len(names):
            taken = repeated(names)[0]
            olds = [old for new, old in zip(names, self._names, strict=True) if new == taken]
            raise ValueError(f"{shorten(olds)} would all be named {taken!r}")
        parents, children = (self.edge_parents + 1).tolist(), self._down.tolist()
        edges = ((names[p], names[c]) for p, c in zip(parents, children, strict=True))
        return self._from_graph(build_graph(edges, root=names[0]))
