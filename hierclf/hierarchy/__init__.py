"""The hierarchy of the classes: a value that needs numpy only.

A `Hierarchy` is built up in layers, each a class that adds to the one above it here:

``_structure``    nodes and edges as read-only arrays; equality, copies and pickles
``_queries``      who is above, below or on the level of a node, and how far apart two are
``_geometry``     the same for whole arrays of nodes: ancestors, paths, heights, distances
``_labels``       to and from paths and indicator matrices; probabilities of other levels
``_derivations``  other hierarchies out of one: parts of it, or with other names
``_hierarchy``    the constructors; `as_hierarchy`, for what may be given as a hierarchy

What they call on are functions:

``_nodes``        what may be a node; lists of nodes; the root that has no name
``_readers``      from dicts, paths, delimited labels and networkx to edges
``_graph``        from edges to a checked graph with its nodes in order; what can be reached
``_indicators``   what an indicator matrix says
``_drawing``      a hierarchy as text and as HTML
"""

from hierclf.hierarchy._hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import Node

__all__ = ["Hierarchy", "Node", "as_hierarchy"]
