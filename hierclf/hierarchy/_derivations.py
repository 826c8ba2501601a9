"""Other hierarchies out of one: parts of it, and the same with other names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy._arrays import HierarchyArrays, closure
from hierclf.hierarchy._nodes import ROOT, Node, clean_node, repeated, shorten, show


def around(arrays: HierarchyArrays, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the mask of the ids above, at or below any of some ids."""
    return closure(arrays.down, ids) | closure(arrays.up, ids)


def name_edges(
    arrays: HierarchyArrays, names: Sequence[Node], kept: NDArray[np.bool_] | None = None
) -> Iterator[tuple[Node, Node]]:
    """Yield the edges as pairs of names, or only those with both ends in a mask of ids."""
    parents, children = arrays.edge_parents + 1, arrays.edge_children + 1
    if kept is not None:
        edges = kept[parents] & kept[children]
        parents, children = parents[edges], children[edges]
    pairs = zip(parents.tolist(), children.tolist(), strict=True)
    return ((names[p], names[c]) for p, c in pairs)


def flattened_edges(
    arrays: HierarchyArrays, names: Sequence[Node], removed: NDArray[np.bool_]
) -> list[tuple[Node, Node]]:
    """Return the edges that are left when the children of some ids go to the parents of these."""
    # From the top down, so that what is above a removed node is what is left there.
    above: dict[int, list[int]] = {0: [0]}
    edges: dict[tuple[Node, Node], None] = {}
    for child in range(1, len(names)):
        parents = list(dict.fromkeys(p for q in arrays.up.of(child) for p in above[q]))
        above[child] = parents if removed[child] else [child]
        if not removed[child]:
            edges.update(((names[p], names[child]), None) for p in parents)
    return list(edges)


def stop_name(node: Node) -> Node:
    """Return the name of the leaf that stands for an inner node itself."""
    return f"{node} (itself)" if isinstance(node, str) else (node, "itself")


def new_names(
    names: Sequence[Node], mapping: Mapping[Any, Any] | Callable[[Any], Any]
) -> list[Node]:
    """Return the new name of each of some names, or raise if two would be the same."""
    if isinstance(mapping, Mapping):
        known = set(names)
        unknown = [key for key in mapping if key not in known]
        if unknown:
            raise ValueError(f"keys that are not in the hierarchy: {shorten(unknown)}")
        found = [mapping.get(name, name) for name in names]
    elif callable(mapping):
        found = [name if name is ROOT else mapping(name) for name in names]
    else:
        raise TypeError(f"mapping must be a dict or a callable, got {show(mapping)}")
    renamed = list(zip(found, names, strict=True))
    found = [clean_node(new, "the new name of {}", old) for new, old in renamed]
    if len(set(found)) < len(found):
        taken = repeated(found)[0]
        olds = [old for new, old in zip(found, names, strict=True) if new == taken]
        raise ValueError(f"{shorten(olds)} would all be named {show(taken)}")
    return found
