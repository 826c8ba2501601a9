"""To and from the graphs of networkx, which need not be installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hierclf.hierarchy._nodes import Node


def is_graph(obj: Any) -> bool:
    """Tell whether something looks like a networkx graph."""
    return callable(getattr(obj, "edges", None)) and hasattr(obj, "is_directed")


def read_networkx(graph: Any) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Return the edges and the nodes of a directed graph."""
    if not is_graph(graph):
        raise TypeError(f"expected a networkx graph, got {type(graph).__name__}")
    if not graph.is_directed():
        raise ValueError(
            "the graph is undirected, so which end of an edge is the parent is not known: "
            "give a networkx.DiGraph"
        )
    return list(graph.edges()), list(graph)


def make_networkx(nodes: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> Any:
    """Return a networkx.DiGraph of nodes and edges."""
    try:
        import networkx as nx
    except ImportError:
        raise ImportError("Hierarchy.to_networkx needs networkx: pip install networkx") from None
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return graph
