"""The class `Hierarchy`, and what may be given as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy import (
    _derivations,
    _drawing,
    _geometry,
    _groups,
    _indicators,
    _levels,
    _lookup,
    _networkx,
    _readers,
    _relatives,
)
from hierclf.hierarchy._arrays import HierarchyArrays
from hierclf.hierarchy._graph import Graph, build_graph, graph_in_order, read_pairs
from hierclf.hierarchy._nodes import (
    ROOT,
    Node,
    Root,
    plain_array,
    repeated,
    shorten,
    show,
    sort_classes,
)
from hierclf.hierarchy._path_labels import PathLabels


class Hierarchy:
    """Classes in a tree or a directed acyclic graph.

    A hierarchy is a value: immutable, hashable, and equal to another with the same root, edges and
    `sep`. A copy of it is the same object. Nodes may be any hashable values but None, NaN and "".
    numpy scalars become Python's.

    The root is not a class. It is in no level, path or output, and not in `nodes`. A single node
    without parents is the root. Above several such nodes stands an unnamed root, `Hierarchy.ROOT`.

    Nodes come level by level, with siblings side by side. Siblings are sorted where they can be,
    and else in the order in which they first appear. In a DAG the depth of a node is the longest
    path from the root, and the node stands among the children of the first of its deepest parents.

    Parameters
    ----------
    edges : iterable of (parent, child)
        The edges, a data frame of two columns too. A parent that is None, NaN, NA or "" says that
        the child has no parent, as the rows of top nodes do in many tables.
    root : node, optional
        The root. Every other node without parents is hung under it. It may be new.

    Attributes
    ----------
    root : node
        The root.
    nodes : tuple of nodes
        All nodes but the root, N of them.
    leaves : tuple of nodes
        The nodes without children, in node order.
    edges : tuple of (parent, child)
        All edges, those of the root included.
    n_levels, depth : int
        The number of levels, which is the number of edges on the longest path from the root.
    is_tree : bool
        Whether every node has one parent.
    depths : ndarray of shape (N,)
        The depth of each node: 1 at the top level.
    heights : ndarray of shape (N,)
        The longest way from each node down to a leaf, in edges: 0 for a leaf.
    leaf_counts : ndarray of shape (N,)
        The number of leaves at or below each node.
    leaf_indices : ndarray of shape (n_leaves,)
        The positions of the leaves in `nodes`.
    sep : str or None
        What joins the names that spell their path, where `from_paths` was given one.
    arrays : HierarchyArrays
        The edges as arrays of positions, for code that works on all nodes at once.

    Raises
    ------
    ValueError
        For a cycle, a node that is its own parent, an edge given twice or that is no pair, None,
        NaN or "" as a child, no node besides the root, a set whose order would matter, or a `root`
        with parents.
    TypeError
        For a node that is not hashable, or edges that are not iterable.

    Examples
    --------
    >>> from hierclf import Hierarchy
    >>> h = Hierarchy([("animal", "dog"), ("animal", "cat"), ("plant", "oak")])
    >>> h
    <Hierarchy: 5 nodes, 3 leaves, 2 levels>
    >>> h.nodes
    ('animal', 'plant', 'cat', 'dog', 'oak')
    >>> print(h)
    Hierarchy.ROOT
    ├── animal
    │   ├── cat
    │   └── dog
    └── plant
        └── oak
    """

    ROOT: ClassVar[Root] = ROOT

    root: Node
    nodes: tuple[Node, ...]
    arrays: HierarchyArrays
    depths: NDArray[np.intp]
    leaf_indices: NDArray[np.intp]
    sep: str | None

    # The id of each node and of the root; see `HierarchyArrays`.
    _ids: dict[Node, int]

    def __init__(self, edges: Iterable[tuple[Any, Any]], *, root: Node = None) -> None:
        ordered = not isinstance(edges, (set, frozenset))
        self._fill(build_graph(read_pairs(edges), root=root, ordered=ordered), sep=None)

    @classmethod
    def _from_graph(cls, graph: Graph, sep: str | None = None) -> Hierarchy:
        self = cls.__new__(cls)
        self._fill(graph, sep)
        return self

    def _fill(self, graph: Graph, sep: str | None) -> None:
        ids = {node: i for i, node in enumerate(graph.nodes, start=1)}
        ids[graph.root] = 0
        # Assignment is closed (see __setattr__); this is the one door.
        self.__dict__.update(
            root=graph.root,
            nodes=graph.nodes,
            arrays=graph.arrays,
            depths=graph.arrays.depths,
            leaf_indices=graph.arrays.leaf_indices,
            sep=sep,
            _ids=ids,
        )

    # -- constructors

    @classmethod
    def from_edges(cls, edges: Iterable[tuple[Any, Any]], *, root: Node = None) -> Hierarchy:
        """Make a hierarchy from edges, as `Hierarchy(edges)` does.

        Parameters
        ----------
        edges : iterable of (parent, child)
            The edges.
        root : node, optional
            The root; every other node without parents is hung under it.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError, TypeError
            As `Hierarchy` does.

        Examples
        --------
        >>> Hierarchy.from_edges([("animal", "cat"), ("animal", "dog")]).root
        'animal'
        """
        return cls(edges, root=root)

    @classmethod
    def from_dict(cls, mapping: Mapping[Any, Any], *, root: Node = None) -> Hierarchy:
        """Make a hierarchy from {parent: [children]} or nested dicts.

        Parameters
        ----------
        mapping : dict
            Values are lists (or tuples, sets, arrays) of children, or again dicts. A key with an
            empty value or None is a node without children.
        root : node, optional
            The root; every other node without parents is hung under it.

        Returns
        -------
        Hierarchy

        Raises
        ------
        TypeError
            If the children are given as a bare string.
        ValueError
            As `Hierarchy` does.

        Examples
        --------
        >>> Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"]}).leaves
        ('cat', 'dog', 'oak')
        >>> Hierarchy.from_dict({"life": {"animal": {"cat": {}, "dog": {}}, "plant": {}}}).root
        'life'
        """
        edges, nodes = _readers.read_dict(mapping)
        return cls._from_graph(build_graph(edges, nodes=nodes, root=root))

    @classmethod
    def from_parents(cls, mapping: Mapping[Any, Any], *, root: Node = None) -> Hierarchy:
        """Make a hierarchy from {child: parent}.

        Parameters
        ----------
        mapping : dict
            The parent of each node. A node without parents may be left out, or have the parent
            None, NaN, NA or "", or be its own parent, as in NCBI's ``nodes.dmp``.
        root : node, optional
            The root; every other node without parents is hung under it.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError, TypeError
            As `Hierarchy` does.

        Examples
        --------
        >>> Hierarchy.from_parents({"cat": "animal", "dog": "animal", "oak": "plant"}).level(0)
        ('animal', 'plant')
        """
        return cls._from_graph(build_graph(_readers.read_parents(mapping), root=root))

    @classmethod
    def from_networkx(cls, graph: Any, *, root: Node = None) -> Hierarchy:
        """Make a hierarchy from a directed graph whose edges point from parent to child.

        Parameters
        ----------
        graph : networkx.DiGraph
            Or anything with its `edges()`, `is_directed()` and iteration over nodes. Isolated
            nodes become leaves of the top level.
        root : node, optional
            The root; every other node without parents is hung under it.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If the graph is undirected, or as `Hierarchy` does.

        Examples
        --------
        >>> import networkx as nx
        >>> Hierarchy.from_networkx(nx.DiGraph([("animal", "cat"), ("animal", "dog")]))
        <Hierarchy: 2 nodes, 2 leaves, 1 level>
        """
        edges, nodes = _networkx.read_networkx(graph)
        return cls._from_graph(build_graph(edges, nodes=nodes, root=root))

    @classmethod
    def from_paths(cls, Y: Any, *, sep: str | None = None, missing: str = "error") -> Hierarchy:
        """Make a hierarchy from path labels, root side first, below `Hierarchy.ROOT`.

        A name that occurs under several parents names each of its nodes by the path: by a tuple,
        or by a string joined by `sep`. In paths such a node is still shown by its own name.

        Parameters
        ----------
        Y : array-like of shape (n, n_levels), data frame, or list of lists
            Rows may end early: lists may be ragged, and "", None and NaN are padding.
        sep : str, optional
            What joins the path of a name that occurs under several parents. With a `sep` all nodes
            can be strings, which sort, so that the scorers of scikit-learn work.
        missing : {"error", "skip", "fill"}, default="error"
            How to read a row in which a cell before the last label is empty, as an unknown rank is
            in biology. "error" refuses it. "skip" leaves the level out: the node hangs below the
            last label before the gap, one level higher than its column says. "fill" puts a node
            in the gap, named by the label before it and the number of the column, such as
            "Gastropoda (no level 2)", so that every column stays a level.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If a row has no label, or skips a level and `missing` is "error"; the message names row
            and column. If a joined path is also another label; the message names it.
        TypeError
            If there is a `sep` and a name that occurs under several parents is no string.

        Examples
        --------
        >>> Hierarchy.from_paths([["animal", "cat"], ["animal", "other"], ["other", ""]]).leaves
        (('other',), 'cat', ('animal', 'other'))
        >>> shop = Hierarchy.from_paths([["books", "other"], ["toys", "other"]], sep="/")
        >>> shop.leaves, shop.paths_from_leaves(["toys/other"]).tolist()
        (('books/other', 'toys/other'), [['toys', 'other']])
        >>> snails = [["Gastropoda", None, "Acteonidae"], ["Gastropoda", "Littorina", "Cypraea"]]
        >>> Hierarchy.from_paths(snails, missing="skip").path("Acteonidae")
        ('Gastropoda', 'Acteonidae')
        >>> Hierarchy.from_paths(snails, missing="fill").path("Acteonidae")
        ('Gastropoda', 'Gastropoda (no level 1)', 'Acteonidae')
        """
        return cls._from_graph(build_graph(_readers.read_paths(Y, sep, missing)), sep)

    @classmethod
    def from_delimited(cls, labels: Iterable[str], sep: str) -> Hierarchy:
        """Make a hierarchy from labels such as "sci.space", below `Hierarchy.ROOT`.

        Parameters
        ----------
        labels : iterable of str
            Each is a node, and so is each of its prefixes; repetitions do not matter.
        sep : str
            What stands between the parts.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If a label has an empty part.

        Examples
        --------
        >>> Hierarchy.from_delimited(["sci.space", "sci.med", "misc"], sep=".").nodes
        ('misc', 'sci', 'sci.med', 'sci.space')
        """
        return cls._from_graph(build_graph(_readers.read_delimited(labels, sep)))

    @classmethod
    def flat(cls, classes: Iterable[Any]) -> Hierarchy:
        """Make the hierarchy of one level: classes below `Hierarchy.ROOT`.

        Parameters
        ----------
        classes : iterable of nodes
            Distinct classes.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If there is no class, or one is given twice.

        Examples
        --------
        >>> Hierarchy.flat(["dog", "cat"])
        <Hierarchy: 2 nodes, 2 leaves, 1 level>
        """
        return cls._from_graph(build_graph((ROOT, c) for c in _readers.read_classes(classes)))

    @classmethod
    def balanced(cls, classes: Iterable[Any], branching: int) -> Hierarchy:
        """Make a tree of near-equal groups, as shallow as the branching allows.

        Parameters
        ----------
        classes : iterable of nodes
            Distinct classes; neighbours in their sorted order (the given one, if they cannot be
            sorted) share a parent.
        branching : int
            The largest number of children, at least 2.

        Returns
        -------
        Hierarchy
            Below `Hierarchy.ROOT`; an inner node is named by its first and last class.

        Raises
        ------
        ValueError
            If there is no class, one is given twice, or `branching` is below 2.

        Examples
        --------
        >>> print(Hierarchy.balanced(list("abcde"), branching=3))
        Hierarchy.ROOT
        ├── ('a', 'b')
        │   ├── a
        │   └── b
        └── ('c', 'e')
            ├── c
            ├── d
            └── e
        """
        items = _readers.read_classes(classes)
        edges = _readers.split_evenly(items, branching)
        # Classes of one such type are sorted, and cannot be compared with the names of groups.
        in_order = set(map(type, items)) in ({str}, {int})
        return cls._from_graph(graph_in_order(edges) if in_order else build_graph(edges))

    @classmethod
    def huffman(cls, counts: Mapping[Any, float], branching: int = 2) -> Hierarchy:
        """Make the tree in which a sample's class is least deep on average.

        The rarer a class, the longer its path: a softmax over such a tree computes the fewest
        groups for each sample. Nodes side by side have nothing else in common.

        Parameters
        ----------
        counts : mapping of {class: count}
            How often each class occurs: numbers that are finite and not negative.
        branching : int, default=2
            The largest number of children, at least 2. All nodes but one have as many.

        Returns
        -------
        Hierarchy
            Below `Hierarchy.ROOT`. The inner nodes are ``("group", number)``, numbered level by
            level.

        Raises
        ------
        ValueError
            If there is no class, a count is negative or not finite, or `branching` is below 2.

        References
        ----------
        D. A. Huffman, "A Method for the Construction of Minimum-Redundancy Codes", Proceedings of
        the IRE 40(9), 1952; as the tree of a softmax: T. Mikolov et al., "Efficient Estimation of
        Word Representations in Vector Space", arXiv:1301.3781.

        Examples
        --------
        >>> print(Hierarchy.huffman({"a": 8, "b": 4, "c": 2, "d": 1}))
        Hierarchy.ROOT
        ├── a
        └── ('group', 0)
            ├── b
            └── ('group', 1)
                ├── c
                └── d
        """
        branching = _readers.read_branching(branching)
        classes, numbers = _readers.read_counts(counts)
        parents = _groups.join_rarest(numbers, branching)
        return cls._from_graph(_groups.tree_of_groups(classes, parents))

    # -- a value: immutable, compared by content, shared by its copies

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Hierarchy is immutable, cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Hierarchy is immutable, cannot delete {name!r}")

    def __copy__(self) -> Hierarchy:
        return self

    def __deepcopy__(self, memo: object) -> Hierarchy:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hierarchy):
            return NotImplemented
        if self is other:
            return True
        mine, its = self.arrays, other.arrays
        if len(mine) != len(its) or len(mine.edge_children) != len(its.edge_children):
            return False
        if self.root != other.root or self.sep != other.sep:
            return False
        if self.nodes == other.nodes:
            return np.array_equal(mine.edge_parents, its.edge_parents) and np.array_equal(
                mine.edge_children, its.edge_children
            )
        return set(self._iter_edges()) == set(other._iter_edges())

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.root, frozenset(self._iter_edges())))

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # No cache and no hash goes along: hashes of strings differ between processes. The edges
        # of a tree end in nodes 0, 1, 2, ..., and depths never decrease, so neither is stored.
        small = np.min_scalar_type(-len(self.nodes) - 1)  # signed, and holds N too
        parents = self.arrays.edge_parents.astype(small)
        children = None if self.is_tree else self.arrays.edge_children.astype(small)
        level_sizes = np.bincount(self.depths).astype(small)
        return _restore, (
            type(self),
            self.root,
            self.nodes,
            parents,
            children,
            level_sizes,
            self.sep,
        )

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
        return self.arrays.n_levels

    @property
    def depth(self) -> int:
        """The number of edges on the longest path from the root to a leaf."""
        return self.arrays.n_levels

    @property
    def is_tree(self) -> bool:
        """Whether every node has one parent."""
        return self.arrays.is_tree

    @cached_property
    def _names(self) -> tuple[Node, ...]:
        """The name of each id."""
        return (self.root, *self.nodes)

    def _named(self, ids: Iterable[int]) -> tuple[Node, ...]:
        names = self._names
        return tuple(names[i] for i in ids)

    def _iter_edges(self) -> Iterator[tuple[Node, Node]]:
        return _derivations.name_edges(self.arrays, self._names)

    def _id(self, node: Node) -> int:
        return _lookup.find_id(self._ids, node)

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
        return self._named(self.arrays.up.of(self._id(node)))

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
        return self._named(self.arrays.down.of(self._id(node)))

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
        return self._named(sorted(_relatives.steps_up(self.arrays, i).keys() - {i}))

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
        return self._named(_relatives.ids_below(self.arrays, self._id(node))[1:].tolist())

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
        found = _relatives.only_path(self.arrays, self._id(node))
        if found is None:
            raise _several_paths(node)
        return self._named(found)

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
        found = _relatives.lowest_common_ancestor(self.arrays, self._id(a), self._id(b))
        return self._names[found]

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
        return _relatives.distance(self.arrays, self._id(a), self._id(b))

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
        return self._named((self.level_indices(level) + 1).tolist())

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
        return _levels.level_indices(self.arrays, level)

    def level_pairs(
        self, positions: NDArray[np.intp], level: int | str
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pair each of some classes with the nodes of a level that are at or above it.

        Parameters
        ----------
        positions : ndarray of shape (n,), dtype intp
            Positions in `nodes`.
        level : int, "leaf" or "parent"
            The level.

        Returns
        -------
        items, ancestors : ndarray of shape (n_pairs,)
            As from `ancestor_pairs`; every class is in a pair.

        Raises
        ------
        ValueError
            If there is no such level, or a class is above it.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.level_pairs(h.node_indices(["dog", "plant"]), 0)
        (array([0, 1]), array([0, 1]))
        """
        items, above = self.ancestor_pairs(positions)
        kept = np.isin(above, self.level_indices(level))
        too_high = np.delete(positions, items[kept])
        if len(too_high):
            names = self._named((too_high + 1).tolist())
            raise ValueError(f"classes above level {level!r}: {shorten(names)}")
        return items[kept], above[kept]

    # -- many nodes at once, as positions in `nodes`, with -1 for the root

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
        return _lookup.find_positions(self._ids, labels, self._names)

    @cached_property
    def heights(self) -> NDArray[np.intp]:
        """The number of edges on the longest way from each node down to a leaf, of shape (N,)."""
        return _geometry.heights(self.arrays)

    @cached_property
    def leaf_counts(self) -> NDArray[np.intp]:
        """The number of leaves at or below each node, of shape (N,)."""
        return _geometry.leaf_counts(self.arrays)

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
        return _geometry.ancestor_pairs(self.arrays, positions)

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
        several = self.arrays.has_several_paths[here + 1]
        if several.any():
            raise _several_paths(self.nodes[here[several][0]])
        return _geometry.path_indices(self.arrays, here)

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
        return _geometry.are_at_or_above(self.arrays, nodes, below)

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
        return _geometry.lca_indices(self.arrays, a, b)

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
        return _geometry.pair_distances(self.arrays, a, b)

    # -- probabilities

    def level_classes(self, level: int | str | None = None) -> NDArray[Any]:
        """Return the names of the columns of probabilities at a level, in their order.

        Parameters
        ----------
        level : int, "leaf", "parent" or "all", optional
            As in `level`. "all" is every node. None is "leaf".

        Returns
        -------
        ndarray of shape (n_nodes_of_the_level,)
            The leaves are sorted where they can be, as `classes_` of a classifier is. Any other
            level comes in the order of `level`, and "all" in that of `nodes`. The names are
            strings or numbers where all of them are, else objects.

        Raises
        ------
        ValueError
            If there is no such level, or for any level but the leaves in a DAG.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"plant": ["ash"], "animal": ["dog", "cat"]})
        >>> h.level_classes(0)
        array(['animal', 'plant'], dtype='<U6')
        >>> h.level_classes(), h.level("leaf")  # columns are sorted; nodes come by their parents
        (array(['ash', 'cat', 'dog'], dtype='<U3'), ('cat', 'dog', 'ash'))
        """
        return plain_array(self._named((self._columns(level) + 1).tolist()))

    def _columns(self, level: int | str | None) -> NDArray[np.intp]:
        """Return the positions of what `level_classes` names."""
        if level == "all":
            return np.arange(len(self))
        k = self.n_levels - 1 if level is None else _levels.level_number(self.arrays, level)
        return self._leaf_columns if k == self.n_levels - 1 else self.level_indices(k)

    @cached_property
    def _leaf_columns(self) -> NDArray[np.intp]:
        return self.node_indices(sort_classes(self.leaves))

    def aggregate(
        self, proba: ArrayLike, classes: ArrayLike, level: int | str | None = None
    ) -> NDArray[Any]:
        """Return the probability of each node of a level: the sum of the classes at or below it.

        Parameters
        ----------
        proba : array-like of shape (n, n_classes)
            What `predict_proba` of any classifier returned.
        classes : array-like of shape (n_classes,)
            What the columns stand for: nodes at or below the level.
        level : int, "leaf", "parent" or "all", optional
            As in `level`. "all" is every node, and so is None.

        Returns
        -------
        ndarray of shape (n, n_nodes_of_the_level)
            In the float dtype of `proba`, with columns in the order of ``level_classes(level)``;
            those of every node are in the order of `nodes`. A node that no class is below has
            probability 0.

        Raises
        ------
        ValueError
            If the shapes do not fit, a class is unknown, given twice or above the level, or there
            is no such level.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"]})
        >>> h.aggregate([[0.5, 0.25, 0.25]], classes=["cat", "dog", "oak"], level=0)
        array([[0.75, 0.25]])
        >>> h.level_classes(0)
        array(['animal', 'plant'], dtype='<U6')
        >>> h.aggregate([[0.5, 0.25, 0.25]], classes=["cat", "dog", "oak"])
        array([[0.75, 0.25, 0.5 , 0.25, 0.25]])
        """
        proba = np.asarray(proba)
        if proba.dtype.kind != "f":
            proba = proba.astype(np.float64)
        found = self.node_indices(classes)
        if len(np.unique(found)) < len(found):
            twice = self._named(i + 1 for i in repeated(found.tolist()))
            raise ValueError(f"classes given twice: {shorten(twice)}")
        if proba.ndim != 2 or proba.shape[1] != len(found):
            raise ValueError(
                f"proba must have one column for each of the {len(found)} classes, "
                f"its shape is {proba.shape}"
            )
        level = "all" if level is None else level
        columns = self._columns(level)
        items, above = (
            self.ancestor_pairs(found) if level == "all" else self.level_pairs(found, level)
        )
        place = np.empty(len(self), dtype=np.intp)
        place[columns] = np.arange(len(columns))
        return _levels.sum_columns(proba, items, place[above], len(columns))

    # -- paths

    @cached_property
    def _path_labels(self) -> PathLabels:
        return PathLabels(self.arrays, self._names, self.sep)

    def paths_from_leaves(self, y: ArrayLike) -> NDArray[Any]:
        """Return the paths to 1-D labels.

        Parameters
        ----------
        y : array-like of shape (n,)
            Nodes, inner ones too.

        Returns
        -------
        ndarray of shape (n, n_levels)
            Root side first, the root excluded: strings padded with "" where all names are strings,
            numbers where all are numbers and nothing is padded, else objects padded with None. A
            node named by its path, as `from_paths` makes them, is shown by its own name.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy, or several paths lead to one (in a DAG).

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.paths_from_leaves(["dog", "plant"])
        array([['animal', 'dog'],
               ['plant', '']], dtype='<U6')
        """
        return self.name_paths(self.path_indices(self.node_indices(y)))

    def leaves_from_paths(self, Y: Any, *, missing: str = "error") -> NDArray[Any]:
        """Return the deepest node of each path; the inverse of `paths_from_leaves`.

        Parameters
        ----------
        Y : array-like of shape (n, n_levels), data frame, or list of lists
            Names from the top level down. Rows may end early: lists may be ragged, and "", None
            and NaN are padding.
        missing : {"error", "skip", "fill"}, default="error"
            How to read a row with an empty cell before its last label, as in `from_paths`.

        Returns
        -------
        ndarray of shape (n,)
            Nodes: of a string or number dtype where all of them are, else objects.

        Raises
        ------
        ValueError
            If a row has no label, skips a level, or takes a step that is not in the hierarchy; the
            message names row and step.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_paths([["animal", "cat"], ["plant", "oak"]])
        >>> h.leaves_from_paths([["plant", "oak"], ["animal", ""]])
        array(['oak', 'animal'], dtype='<U6')
        """
        return self._path_labels.read(Y, missing)

    def name_paths(self, paths: NDArray[np.intp]) -> NDArray[Any]:
        """Return paths of positions as path labels.

        Parameters
        ----------
        paths : ndarray of shape (n, n_steps), dtype intp
            Positions in `nodes`, root side first; -1 where a path has ended.

        Returns
        -------
        ndarray of shape (n, n_steps)
            As `paths_from_leaves` does.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.name_paths(np.array([[0, 3], [1, -1]]))
        array([['animal', 'dog'],
               ['plant', '']], dtype='<U6')
        """
        return self._path_labels.write(paths)

    # -- indicators

    def to_indicator(self, labels: Iterable[Any], *, sep: str | None = None) -> NDArray[np.int8]:
        """Return labels as an indicator matrix in which ancestors are set too.

        Parameters
        ----------
        labels : array-like of shape (n,), or list of lists
            One label or several for each row. A tuple that is a node is one label.
        sep : str, optional
            What stands between the labels of a row where each row is a string of several. Spaces
            around a label do not count, and a row that is empty or missing has none.

        Returns
        -------
        ndarray of shape (n, n_nodes), dtype int8
            Columns are `nodes`.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy.
        TypeError
            If there is a `sep` and a row that is no string.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.to_indicator([["cat"], ["dog", "plant"], []])
        array([[1, 0, 1, 0],
               [1, 1, 0, 1],
               [0, 0, 0, 0]], dtype=int8)
        >>> h.to_indicator(["cat", "dog|plant", None], sep="|")
        array([[1, 0, 1, 0],
               [1, 1, 0, 1],
               [0, 0, 0, 0]], dtype=int8)
        """
        if sep is not None:
            labels = _indicators.split_strings(labels, sep)
        rows = _indicators.split_rows(labels, self._ids)
        positions = self.node_indices([label for row in rows for label in row])
        return _indicators.fill_indicator(self.arrays, [len(row) for row in rows], positions)

    def from_indicator(self, Y: Any) -> list[list[Node]]:
        """Return the most specific nodes of each row; the inverse of `to_indicator`.

        Parameters
        ----------
        Y : array-like or sparse matrix of shape (n, n_nodes)
            0 and 1; columns are `nodes`, and a node is set only together with its ancestors.

        Returns
        -------
        list of lists of nodes
            In node order.

        Raises
        ------
        ValueError
            If the shape does not fit, a value is neither 0 nor 1, or a row has a node without its
            parents; the message names the row and what is wrong in it.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.from_indicator([[1, 0, 1, 0], [1, 1, 0, 0]])
        [['cat'], ['animal', 'plant']]
        """
        return _indicators.most_specific(self.arrays, self._names, Y)

    # -- other hierarchies out of this one

    def subtree(self, node: Node) -> Hierarchy:
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
        below = _relatives.ids_below(self.arrays, i)
        if len(below) == 1:
            raise ValueError(f"{show(node)} is a leaf, there is nothing below it")
        kept = np.zeros(len(self) + 1, dtype=bool)
        kept[below] = True
        return self._keep(kept, root=node)

    def prune(self, labels: ArrayLike) -> Hierarchy:
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
        kept = _derivations.around(self.arrays, ids)
        return self if kept.all() else self._keep(kept, root=self.root)

    def flatten(self, nodes: ArrayLike) -> Hierarchy:
        """Return the hierarchy without some inner nodes, whose children go to their parents.

        Parameters
        ----------
        nodes : array-like of shape (n,)
            Inner nodes. Repetitions do not matter.

        Returns
        -------
        Hierarchy
            This very object when there are no nodes to take out. Its leaves are the same.

        Raises
        ------
        ValueError
            If a node is a leaf, the root or not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"life": ["animal", "oak"], "animal": ["cat", "dog"]})
        >>> print(h.flatten(["animal"]))
        life
        ├── cat
        ├── dog
        └── oak
        """
        positions = np.unique(self.node_indices(nodes))
        leaves = positions[np.isin(positions, self.leaf_indices)]
        if len(leaves):
            shown = shorten(self._named((leaves + 1).tolist()))
            raise ValueError(f"leaves cannot be flattened, only inner nodes can: {shown}")
        if not len(positions):
            return self
        removed = np.zeros(len(self._names), dtype=bool)
        removed[positions + 1] = True
        edges = _derivations.flattened_edges(self.arrays, self._names, removed)
        return self._from_graph(build_graph(edges, root=self.root))

    def stop_at(self, labels: ArrayLike) -> Hierarchy:
        """Return the hierarchy of some labels alone, in which each label has a leaf.

        A label that lies above others gets a leaf of its own below it, for what is that node
        itself and nothing more special: "Bio (itself)" for a node "Bio", or the tuple
        `(node, "itself")` where the node is no string.

        Parameters
        ----------
        labels : array-like of shape (n,)
            Nodes; repetitions do not matter.

        Returns
        -------
        Hierarchy
            Its leaves are the labels, or stand for them.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy, there are none, or a node has the name of a new
            leaf.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"Nat": ["Bio", "Chem"], "Bio": ["Mammals", "Fish"]})
        >>> print(h.stop_at(["Bio", "Mammals"]))
        Nat
        └── Bio
            ├── Bio (itself)
            └── Mammals
        """
        positions = np.unique(self.node_indices(labels))
        if not len(positions):
            raise ValueError("there is no label to keep")
        item, above = self.ancestor_pairs(positions)
        inner = np.intersect1d(positions, above[above != positions[item]])
        kept = np.zeros(len(self._names), dtype=bool)
        kept[np.append(above + 1, 0)] = True
        edges = list(_derivations.name_edges(self.arrays, self._names, kept))
        for node in self._named((inner + 1).tolist()):
            name = _derivations.stop_name(node)
            if name in self._ids:
                raise ValueError(f"{show(name)} would be the name of two nodes")
            edges.append((node, name))
        return self._from_graph(build_graph(edges, root=self.root), self.sep)

    def _keep(self, kept: NDArray[np.bool_], root: Node) -> Hierarchy:
        """Return the hierarchy of the edges between the ids of a mask."""
        edges = _derivations.name_edges(self.arrays, self._names, kept)
        return self._from_graph(build_graph(edges, root=root), self.sep)

    def relabel(self, mapping: Mapping[Any, Any] | Callable[[Any], Any]) -> Hierarchy:
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
        names = _derivations.new_names(self._names, mapping)
        edges = _derivations.name_edges(self.arrays, names)
        return self._from_graph(build_graph(edges, root=names[0]), self.sep)

    # -- handed on

    def to_dict(self) -> dict[Node, list[Node]]:
        """Return {parent: [children]}, the root included; `from_dict` reads it back.

        Returns
        -------
        dict
            Inner nodes in node order, the root first.

        Examples
        --------
        >>> Hierarchy.flat(["cat", "dog"]).to_dict()
        {Hierarchy.ROOT: ['cat', 'dog']}
        """
        result: dict[Node, list[Node]] = {}
        for parent, child in self._iter_edges():
            result.setdefault(parent, []).append(child)
        return result

    def to_networkx(self) -> Any:
        """Return the graph, the root included; `from_networkx` reads it back.

        Returns
        -------
        networkx.DiGraph
            With edges from parent to child.

        Raises
        ------
        ImportError
            If networkx is not installed.

        Examples
        --------
        >>> Hierarchy.flat(["cat", "dog"]).to_networkx().number_of_edges()
        2
        """
        return _networkx.make_networkx(self._names, self._iter_edges())

    def __repr__(self) -> str:
        counts = [(len(self), "node"), (len(self.leaf_indices), "leaf"), (self.n_levels, "level")]
        parts = [f"{n} {_plural(word, n)}" for n, word in counts]
        return f"<Hierarchy: {', '.join(parts if self.is_tree else [*parts, 'DAG'])}>"

    def __str__(self) -> str:
        return _drawing.draw_text(self._names, self.arrays)

    def _repr_html_(self) -> str:
        return _drawing.draw_html(self._names, self.arrays, title=repr(self))


def _restore(
    cls: type[Hierarchy],
    root: Node,
    nodes: tuple[Node, ...],
    parents: NDArray[np.intp],
    children: NDArray[np.intp] | None,
    level_sizes: NDArray[np.intp],
    sep: str | None,
) -> Hierarchy:
    """Rebuild a pickled hierarchy (its parts were checked when it was made)."""
    arrays = HierarchyArrays(
        edge_parents=parents.astype(np.intp),
        edge_children=np.arange(len(nodes)) if children is None else children.astype(np.intp),
        depths=np.repeat(np.arange(len(level_sizes)), level_sizes),
    )
    return cls._from_graph(Graph(root, nodes, arrays), sep)


def _several_paths(node: Node) -> ValueError:
    return ValueError(f"several paths lead to {show(node)}, since the hierarchy is a DAG")


def _plural(word: str, n: int) -> str:
    if n == 1:
        return word
    return "leaves" if word == "leaf" else f"{word}s"


def as_hierarchy(obj: Any) -> Hierarchy:
    """Return what was given as a hierarchy as a `Hierarchy`.

    Parameters
    ----------
    obj : Hierarchy, dict, networkx.DiGraph or iterable of (parent, child)
        A dict is read by `Hierarchy.from_dict`.

    Returns
    -------
    Hierarchy
        `obj` itself if it is one.

    Raises
    ------
    TypeError
        If `obj` is none of these.
    ValueError
        If it is no hierarchy; see `Hierarchy`.

    Examples
    --------
    >>> from hierclf.hierarchy import as_hierarchy
    >>> as_hierarchy({"animal": ["cat", "dog"]}).root
    'animal'
    """
    if isinstance(obj, Hierarchy):
        return obj
    if isinstance(obj, Mapping):
        return Hierarchy.from_dict(obj)
    if _networkx.is_graph(obj):
        return Hierarchy.from_networkx(obj)
    if isinstance(obj, Iterable) and not isinstance(obj, (str, bytes)):
        return Hierarchy(obj)
    raise TypeError(
        "expected a hierarchy: a Hierarchy, a dict {parent: [children]}, an iterable of "
        f"(parent, child) pairs or a networkx.DiGraph; got {show(obj)}"
    )
