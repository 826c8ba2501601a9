"""The forms in which a hierarchy is given, each turned into edges in a meaningful order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np

from hierclf.hierarchy._nodes import (
    ROOT,
    Node,
    arrange,
    as_labels,
    as_list,
    clean_node,
    is_missing,
    repeated,
    shorten,
)

Edges = list[tuple[Any, Any]]


def read_dict(mapping: Mapping[Any, Any]) -> tuple[Edges, list[Any]]:
    """Return the edges and the keys of {parent: [children]}, nested or not."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"expected a dict of parent: children, got {type(mapping).__name__}")
    edges: Edges = []
    waiting: deque[Mapping[Any, Any]] = deque([mapping])
    seen = {id(mapping)}
    while waiting:
        for parent, children in waiting.popleft().items():
            if children is None:
                continue
            if isinstance(children, (str, bytes)):
                raise TypeError(
                    f"the children of {parent!r} must be a list, got the string {children!r}; "
                    "for {child: parent} use Hierarchy.from_parents"
                )
            if isinstance(children, Mapping):
                if children and id(children) in seen:  # without this a dict in itself never ends
                    raise ValueError(f"the children of {parent!r} are a dict that occurs twice")
                seen.add(id(children))
                waiting.append(children)
            elif not isinstance(children, Iterable):
                raise TypeError(f"the children of {parent!r} must be a list, got {children!r}")
            items = as_list(children)
            if isinstance(children, (set, frozenset)):
                items = arrange(items, ordered=False, what=f"the children of {parent!r}")
            edges += [(parent, child) for child in items]
    return edges, list(mapping)


def read_parents(mapping: Mapping[Any, Any]) -> Edges:
    """Return the edges of {child: parent}."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"expected a dict of child: parent, got {type(mapping).__name__}")
    return [(parent, child) for child, parent in mapping.items()]


def iter_rows(Y: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the number and the raw cells of each row of 2-D labels."""
    if isinstance(Y, (str, bytes)) or not isinstance(Y, Iterable):
        raise TypeError(f"expected rows of path labels, got {Y!r}")
    ndim = getattr(Y, "ndim", 2)
    kind = getattr(getattr(Y, "dtype", None), "kind", "O")
    if ndim != 2 and kind != "O":  # an array of lists has one dimension
        raise ValueError(f"expected 2-D path labels, got {ndim} dimensions")
    for i, row in enumerate(as_list(Y)):
        if isinstance(row, (str, bytes)) or not isinstance(row, (Sequence, np.ndarray)):
            raise ValueError(
                f"row {i} is not a list of labels: {row!r} (for labels such as 'sci.space' use "
                "Hierarchy.from_delimited)"
            )
        yield i, tuple(row)


def clean_path(row: tuple[Any, ...], i: int) -> list[Node]:
    """Return the labels of row `i`, root side first, without the padding at its end."""
    end = len(row)
    while end and _is_padding(row[end - 1]):
        end -= 1
    if end == 0:
        raise ValueError(f"row {i} has no label")
    for k in range(end):
        if _is_padding(row[k]):
            raise ValueError(f"row {i} skips a level: {row[k]!r} comes before {row[k + 1]!r}")
    return [clean_node(cell, f"in row {i}") for cell in row[:end]]


def _is_padding(cell: object) -> bool:
    return is_missing(cell) or (isinstance(cell, str) and cell == "")


def read_paths(Y: Any) -> Edges:
    """Return the edges below ROOT of 2-D labels.

    The paths are gathered in a trie; a name found at several of its places names each of them by
    the tuple of the path.
    """
    places: dict[tuple[int, Node], int] = {}  # (place above, name) -> place; 0 is the root
    for i, row in unique_rows(Y):
        place = 0
        for name in clean_path(row, i):
            place = places.setdefault((place, name), len(places) + 1)
    if not places:
        raise ValueError("a hierarchy needs at least one path, got none")
    above = [0, *(key[0] for key in places)]
    names: list[Node] = [ROOT, *(key[1] for key in places)]
    count: dict[Node, int] = {}
    for name in names:
        count[name] = count.get(name, 0) + 1

    labels = list(names)
    for place in range(1, len(names)):
        if count[names[place]] > 1:
            path, at = [], place
            while at:
                path.append(names[at])
                at = above[at]
            labels[place] = tuple(reversed(path))
    if len(set(labels)) < len(labels):
        raise ValueError(
            f"{repeated(labels)[0]!r} is a label and also the path of a label that occurs twice"
        )

    # Siblings are arranged here, by name: as nodes, a mixture of names and tuples has no order.
    below: list[dict[Node, int]] = [{} for _ in names]
    for (parent, name), place in places.items():
        below[parent][name] = place
    ordered = not isinstance(Y, (set, frozenset))
    return [
        (labels[parent], labels[group[name]])
        for parent, group in enumerate(below)
        if group
        for name in arrange(
            list(group), ordered=ordered, what=f"the labels below {names[parent]!r}"
        )
    ]


def unique_rows(Y: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield each distinct row once, with the number of its first occurrence."""
    seen: set[tuple[Any, ...]] = set()
    for i, row in iter_rows(Y):
        try:
            if row in seen:
                continue
            seen.add(row)
        except TypeError:
            pass  # an unhashable cell: the reader of the row names it
        yield i, row


def read_delimited(labels: Iterable[str], sep: str) -> Edges:
    """Return the edges of "a.b.c": ROOT -> "a" -> "a.b" -> "a.b.c"."""
    if not isinstance(sep, str):
        raise TypeError(f"sep must be a string, got {sep!r}")
    if not sep:
        raise ValueError("sep must not be empty")
    edges: dict[tuple[Any, Any], None] = {}
    for label in as_labels(labels):
        if not isinstance(label, str):
            raise TypeError(f"labels must be strings, got {label!r}")
        parent: Any = ROOT
        at = 0
        while at >= 0:
            end = label.find(sep, at)
            part = label[at:] if end < 0 else label[at:end]
            if not part:
                raise ValueError(
                    f"the label {label!r} has an empty part between separators {sep!r}"
                )
            node = label if end < 0 else label[:end]
            edges[parent, node] = None
            parent = node
            at = end + len(sep) if end >= 0 else -1
    if not edges:
        raise ValueError("a hierarchy needs at least one label, got none")
    return list(edges)


def read_classes(classes: Iterable[Any]) -> list[Node]:
    """Return distinct classes, sorted where they can be."""
    items = [clean_node(c, "in classes") for c in as_labels(classes)]
    if not items:
        raise ValueError("a hierarchy needs at least one class, got none")
    if len(set(items)) < len(items):
        raise ValueError(f"classes given twice: {shorten(repeated(items))}")
    return arrange(items, ordered=not isinstance(classes, (set, frozenset)), what="the classes")


def split_evenly(classes: Sequence[Node], branching: int) -> Edges:
    """Return the edges of a balanced tree over the classes; inner nodes are (first, last)."""
    try:
        if isinstance(branching, bool):
            raise TypeError
        branching = index(branching)
    except TypeError:
        raise TypeError(f"branching must be an integer, got {branching!r}") from None
    if branching < 2:
        raise ValueError(f"branching must be at least 2, got {branching}")
    taken = set(classes)
    edges: Edges = []
    waiting: deque[tuple[Any, int, int]] = deque([(ROOT, 0, len(classes))])
    while waiting:
        parent, start, stop = waiting.popleft()
        n = stop - start
        if n <= branching:
            edges += [(parent, c) for c in classes[start:stop]]
            continue
        size = branching  # the largest power below n: the size of a full part
        while size * branching < n:
            size *= branching
        k = -(-n // size)
        bounds = [start + n * i // k for i in range(k + 1)]
        for a, b in pairwise(bounds):
            node = classes[a] if b - a == 1 else (classes[a], classes[b - 1])
            if b - a > 1:
                if node in taken:
                    raise ValueError(f"the class {node!r} has the name of an inner node")
                waiting.append((node, a, b))
            edges.append((parent, node))
    return edges
