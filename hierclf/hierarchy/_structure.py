"""The hierarchy as a value: its nodes and arrays, equality, hashing, copying and pickling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._graph import Graph
from hierclf.hierarchy._nodes import ROOT, Node, Root, as_labels, is_hashable, shorten

SelfStructure = TypeVar("SelfStructure", bound="Structure")


class Structure:
    """Nodes in order and edges as read-only arrays.

    Below the public arrays, which count `nodes` from 0 and put the root at -1, the methods work
    with *ids*: one more than the position, so that the root is 0 and an id indexes the compressed
    adjacencies `_down` (children) and `_up` (parents).
    """

    ROOT: ClassVar[Root] = ROOT

    root: Node
    nodes: tuple[Node, ...]
    depths: NDArray[np.intp]
    edge_parents: NDArray[np.intp]
    edge_children: NDArray[np.intp]
    group_offsets: NDArray[np.intp]
    inner_indices: NDArray[np.intp]
    leaf_indices: NDArray[np.intp]

    # An id's children are _down[_down_offsets[id] : _down_offsets[id + 1]].
    _down: NDArray[np.intp]
    _down_offsets: NDArray[np.intp]
    _ids: dict[Node, int]

    @classmethod
    def _from_graph(cls: type[SelfStructure], graph: Graph) -> SelfStructure:
        self = cls.__new__(cls)
        self._fill(graph)
        return self

    def _fill(self, graph: Graph) -> None:
        counts = np.bincount(graph.edge_parents + 1, minlength=len(graph.nodes) + 1)
        down_offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
        inner = np.flatnonzero(counts)
        ids = {node: i for i, node in enumerate(graph.nodes, start=1)}
        ids[graph.root] = 0
        # Assignment is closed (see __setattr__); this is the one door.
        self.__dict__.update(
            root=graph.root,
            nodes=graph.nodes,
            depths=_frozen(graph.depths),
            edge_parents=_frozen(graph.edge_parents),
            edge_children=_frozen(graph.edge_children),
            group_offsets=_frozen(np.append(down_offsets[inner], down_offsets[-1])),
            inner_indices=_frozen(inner - 1),
            leaf_indices=_frozen(np.flatnonzero(counts[1:] == 0)),
            _down=_frozen(graph.edge_children + 1),
            _down_offsets=_frozen(down_offsets),
            _ids=ids,
        )

    # -- a value: immutable, compared by content, shared by its copies

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Hierarchy is immutable, cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Hierarchy is immutable, cannot delete {name!r}")

    def __copy__(self: SelfStructure) -> SelfStructure:
        return self

    def __deepcopy__(self: SelfStructure, memo: object) -> SelfStructure:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Structure):
            return NotImplemented
        if self is other:
            return True
        if len(self.nodes) != len(other.nodes) or len(self._down) != len(other._down):
            return False
        if self.root != other.root:
            return False
        if self.nodes == other.nodes:
            return np.array_equal(self.edge_parents, other.edge_parents) and np.array_equal(
                self.edge_children, other.edge_children
            )
        return self._edge_set() == other._edge_set()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.root, self._edge_set()))

    def _edge_set(self) -> frozenset[tuple[Node, Node]]:
        return frozenset(self._iter_edges())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # No cache and no hash goes along: hashes of strings differ between processes. The edges
        # of a tree end in nodes 0, 1, 2, ..., and depths never decrease, so neither is stored.
        small = np.min_scalar_type(-len(self.nodes) - 1)  # signed, and holds N too
        parents = self.edge_parents.astype(small)
        children = None if self.is_tree else self.edge_children.astype(small)
        level_sizes = np.bincount(self.depths).astype(small)
        return _restore, (type(self), self.root, self.nodes, parents, children, level_sizes)

    # -- a container of nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __contains__(self, node: object) -> bool:
        try:
            return self._ids.get(node, 0) > 0
        except TypeError:  # unhashable
            return False

    @cached_property
    def _names(self) -> tuple[Node, ...]:
        return (self.root, *self.nodes)

    def _iter_edges(self) -> Iterator[tuple[Node, Node]]:
        names = self._names
        parents, children = (self.edge_parents + 1).tolist(), self._down.tolist()
        return ((names[p], names[c]) for p, c in zip(parents, children, strict=True))

    @cached_property
    def edges(self) -> tuple[tuple[Node, Node], ...]:
        """The (parent, child) pairs, those of the root included, by parent and then child."""
        return tuple(self._iter_edges())

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes without children, in node order."""
        return tuple(self.nodes[i] for i in self.leaf_indices.tolist())

    @property
    def n_levels(self) -> int:
        """The number of levels, which is the depth of the deepest leaf."""
        return int(self.depths[-1])

    @property
    def depth(self) -> int:
        """The number of edges on the longest path from the root to a leaf."""
        return self.n_levels

    @property
    def is_tree(self) -> bool:
        """Whether every node has one parent."""
        return len(self._down) == len(self.nodes)

    # -- arrays that follow from the edges

    @cached_property
    def depth_offsets(self) -> NDArray[np.intp]:
        """Where each depth starts and ends in `nodes`, of shape (depth + 1,).

        Nodes of depth k are at the positions ``depth_offsets[k - 1]:depth_offsets[k]``.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.depth_offsets
        array([0, 2, 4])
        >>> h.nodes[h.depth_offsets[1] : h.depth_offsets[2]]
        ('cat', 'dog')
        """
        return _frozen(np.searchsorted(self.depths, np.arange(1, self.depth + 2)))

    @cached_property
    def parent_offsets(self) -> NDArray[np.intp]:
        """Where the parents of each node start and end in `parent_indices`, of shape (N + 1,).

        In a tree this is 0, 1, ..., N.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow", "dog"]})
        >>> h.parent_offsets
        array([0, 1, 2, 3, 5, 6])
        """
        return _frozen(self._up_offsets[1:])

    @cached_property
    def parent_indices(self) -> NDArray[np.intp]:
        """The positions of the parents, one node's after another's, of shape (n_edges,).

        Those of node i are ``parent_indices[parent_offsets[i] : parent_offsets[i + 1]]``, in node
        order, and -1 is the root. Item j belongs to the j-th edge in the order of
        ``np.argsort(edge_children, kind="stable")``, which in a tree is the order of the edges.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"pet": ["cat", "dog"], "farm": ["cow", "dog"]})
        >>> h.nodes
        ('farm', 'pet', 'cow', 'dog', 'cat')
        >>> h.parent_indices
        array([-1, -1,  0,  0,  1,  1])
        """
        return _frozen(self._up - 1)

    # An id's parents are _up[_up_offsets[id] : _up_offsets[id + 1]].

    @cached_property
    def _up_offsets(self) -> NDArray[np.intp]:
        counts = np.bincount(self._down, minlength=len(self.nodes) + 1)
        return _frozen(np.concatenate(([0], np.cumsum(counts))))

    @cached_property
    def _up(self) -> NDArray[np.intp]:
        return _frozen((self.edge_parents + 1)[np.argsort(self._down, kind="stable")])

    # -- from labels to positions

    def node_indices(self, labels: ArrayLike) -> NDArray[np.intp]:
        """Return the positions of labels in `nodes`.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes.

        Returns
        -------
        ndarray of shape (n,), dtype intp

        Raises
        ------
        ValueError
            If labels are not in the hierarchy; the message names them.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> Hierarchy.from_dict({"pet": ["cat", "dog"], "car": []}).node_indices(["dog", "car"])
        array([3, 0])
        """
        items = as_labels(labels)
        get = self._ids.get
        try:
            positions = np.fromiter((get(x, 0) for x in items), dtype=np.intp, count=len(items))
        except TypeError:
            bad = next(item for item in items if not is_hashable(item))
            raise TypeError(f"labels must be hashable, {bad!r} is not") from None
        positions -= 1
        if len(positions) and positions.min() < 0:
            self._raise_unknown(items, positions)
        return positions

    def _raise_unknown(self, items: list[Any], positions: NDArray[np.intp]) -> NoReturn:
        unknown = list(dict.fromkeys(items[i] for i in np.flatnonzero(positions < 0)))
        if unknown == [self.root]:
            raise ValueError(f"the root {self.root!r} is not a class and cannot be a label")
        encoded = all(type(item) is int for item in items) and set(items) == set(
            range(len(set(items)))
        )
        message = "labels that are not in the hierarchy: "
        message += shorten(sorted(unknown) if encoded else unknown)
        if encoded:
            message += (
                f". The labels look encoded (integers from 0) while the nodes have names such as "
                f"{self.nodes[0]!r}. If something encoded y before this saw it, encode the "
                "hierarchy alike: hierarchy.relabel({c: i for i, c in enumerate(np.unique(y))}), "
                "if all labels in y are leaves"
            )
        elif self.root in unknown:
            message += f" (the root {self.root!r} is not a class)"
        raise ValueError(message)

    def _id(self, node: Node) -> int:
        """Return the id of a node or the root."""
        try:
            return self._ids[node]
        except KeyError:
            raise ValueError(f"{node!r} is not in the hierarchy") from None
        except TypeError:
            raise TypeError(f"a node must be hashable, {node!r} is not") from None


def _frozen(array: NDArray[np.intp]) -> NDArray[np.intp]:
    array = np.asarray(array, dtype=np.intp)
    array.setflags(write=False)
    return array


def _restore(
    cls: type[SelfStructure],
    root: Node,
    nodes: tuple[Node, ...],
    parents: NDArray[np.intp],
    children: NDArray[np.intp] | None,
    level_sizes: NDArray[np.intp],
) -> SelfStructure:
    """Rebuild a pickled hierarchy (its parts were checked when it was made)."""
    return cls._from_graph(
        Graph(
            root=root,
            nodes=nodes,
            edge_parents=parents.astype(np.intp),
            edge_children=np.arange(len(nodes)) if children is None else children.astype(np.intp),
            depths=np.repeat(np.arange(len(level_sizes)), level_sizes),
        )
    )
