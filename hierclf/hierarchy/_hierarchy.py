"""The class `Hierarchy`: ways to make one and to hand one on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hierclf.hierarchy import _drawing, _readers
from hierclf.hierarchy._derivations import Derivations
from hierclf.hierarchy._graph import build_graph, read_pairs
from hierclf.hierarchy._nodes import ROOT, Node


class Hierarchy(Derivations):
    """Classes in a tree or a directed acyclic graph.

    A hierarchy is a value: immutable, hashable, equal to another with the same root and edges, and
    its copies are itself. Nodes are any hashables but None and NaN; numpy scalars become Python's.

    The root is not a class: it is in no level, path or output, and not in `nodes`. Exactly one
    node without parents is the root; above several there is an unnamed one, `Hierarchy.ROOT`.

    Nodes are ordered level by level, siblings side by side, sorted where they can be and else as
    they first appear. In a DAG the depth of a node is the longest path from the root, and it is
    placed among the children of the first of its deepest parents.

    Parameters
    ----------
    edges : iterable of (parent, child)
        The edges.
    root : node, optional
        The root. Every other node without parents is hung under it; it may be new.

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
    depth_offsets : ndarray of shape (depth + 1,)
        The nodes of depth k are at the positions `depth_offsets[k - 1]:depth_offsets[k]`.
    heights : ndarray of shape (N,)
        The longest way from each node down to a leaf, in edges: 0 for a leaf.
    leaf_counts : ndarray of shape (N,)
        The number of leaves at or below each node.
    leaf_indices : ndarray of shape (n_leaves,)
        The positions of the leaves in `nodes`.
    edge_parents, edge_children : ndarray of shape (n_edges,)
        The positions of the ends of each edge, -1 for the root. Edges are ordered by parent (the
        root first), then by child, so that in a tree edge i ends in node i.
    parent_indices : ndarray of shape (n_edges,)
        The positions of the parents of each node, one node's after another's; -1 for the root.
    parent_offsets : ndarray of shape (N + 1,)
        The parents of node i are `parent_indices[parent_offsets[i] : parent_offsets[i + 1]]`.
    group_offsets : ndarray of shape (n_inner + 1,)
        The edges of the i-th inner node are `group_offsets[i]:group_offsets[i + 1]`.
    inner_indices : ndarray of shape (n_inner,)
        The positions of the inner nodes in the same order; the first is the root's, -1.

    Raises
    ------
    ValueError
        For a cycle, a node that is its own parent, an edge given twice or that is no pair, None
        or NaN as a node, no node besides the root, a set whose order would matter, or a `root`
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

    def __init__(self, edges: Iterable[tuple[Any, Any]], *, root: Node = None) -> None:
        ordered = not isinstance(edges, (set, frozenset))
        self._fill(build_graph(read_pairs(edges), root=root, ordered=ordered))

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
            The parent of each node that has one.
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
        edges, nodes = _readers.read_networkx(graph)
        return cls._from_graph(build_graph(edges, nodes=nodes, root=root))

    @classmethod
    def from_paths(cls, Y: Any) -> Hierarchy:
        """Make a hierarchy from path labels, root side first, below `Hierarchy.ROOT`.

        A name that occurs under several parents names each of its nodes by the tuple of the path.

        Parameters
        ----------
        Y : array-like of shape (n, n_levels), data frame, or list of lists
            Rows may end early: lists may be ragged, and "", None and NaN are padding.

        Returns
        -------
        Hierarchy

        Raises
        ------
        ValueError
            If a row has no label, or skips a level; the message names the row.

        Examples
        --------
        >>> Hierarchy.from_paths([["animal", "cat"], ["animal", "other"], ["other", ""]]).leaves
        (('other',), 'cat', ('animal', 'other'))
        """
        return cls._from_graph(build_graph(_readers.read_paths(Y)))

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
        edges = _readers.split_evenly(_readers.read_classes(classes), branching)
        return cls._from_graph(build_graph(edges))

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
        try:
            import networkx as nx
        except ImportError:
            raise ImportError(
                "Hierarchy.to_networkx needs networkx: pip install networkx"
            ) from None
        graph = nx.DiGraph()
        graph.add_nodes_from(self._names)
        graph.add_edges_from(self._iter_edges())
        return graph

    def __repr__(self) -> str:
        counts = [(len(self.nodes), "node"), (len(self.leaves), "leaf"), (self.n_levels, "level")]
        parts = [f"{n} {_plural(word, n)}" for n, word in counts]
        return f"<Hierarchy: {', '.join(parts if self.is_tree else [*parts, 'DAG'])}>"

    def __str__(self) -> str:
        return _drawing.draw_text(self)

    def _repr_html_(self) -> str:
        return _drawing.draw_html(self)


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
    if callable(getattr(obj, "edges", None)) and hasattr(obj, "is_directed"):
        return Hierarchy.from_networkx(obj)
    if isinstance(obj, Iterable) and not isinstance(obj, (str, bytes)):
        return Hierarchy(obj)
    raise TypeError(
        "expected a hierarchy: a Hierarchy, a dict {parent: [children]}, an iterable of "
        f"(parent, child) pairs or a networkx.DiGraph; got {obj!r}"
    )
