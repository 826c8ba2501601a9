"""The hierarchy of the classes: a value that needs numpy only.

``_hierarchy`` holds the class `Hierarchy` with all its methods, and `as_hierarchy`, which reads
whatever may be given as one. The methods call functions of the other files, each of which has one
idea and imports only from those below it:

``_drawing``      a hierarchy as text and as HTML
``_derivations``  other hierarchies out of one: parts of it, or with other names
``_networkx``     to and from networkx
``_indicators``   to and from indicator matrices
``_path_labels``  to and from paths of names
``_levels``       the nodes of a level, and sums of probabilities
``_geometry``     heights, paths and distances of whole arrays of nodes
``_relatives``    who is above, below or near a single node
``_lookup``       from labels to positions, and what to say of unknown ones
``_graph``        from edges to a checked graph with its nodes in order
``_readers``      from dicts, paths and delimited labels to edges
``_groups``       trees of classes whose inner nodes are numbered: Huffman's, and those learnt
``_arrays``       the edges as arrays of positions, and the neighbours that they lead to
``_nodes``        what may be a node; lists of nodes; the root that has no name
"""

from hierclf.hierarchy._hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import Node

__all__ = ["Hierarchy", "Node", "as_hierarchy"]
