"""The forms in which a hierarchy is given, each turned into edges in a meaningful order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from operator import index
from typing import Any

import numpy as np

from hierclf.hierarchy._groups import even_bounds
from hierclf.hierarchy._nodes import (
    ROOT,
    Node,
    arrange,
    as_labels,
    as_list,
    clean_node,
    is_hashable,
    is_padding,
    repeated,
    shorten,
    show,
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
                    f"the children of {show(parent)} must be a list, got the string "
                    f"{show(children)}; for {{child: parent}} use Hierarchy.from_parents"
                )
            if isinstance(children, Mapping):
                if children and id(children) in seen:  # without this a dict in itself never ends
                    raise ValueError(f"the children of {show(parent)} are a dict that occurs twice")
                seen.add(id(children))
                waiting.append(children)
            elif not isinstance(children, Iterable):
                raise TypeError(
                    f"the children of {show(parent)} must be a list, got {show(children)}"
                )
            items = as_list(children)
            if isinstance(children, (set, frozenset)):
                items = arrange(items, ordered=False, what="the children of {}", parent=parent)
            edges += [(parent, child) for child in items]
    return edges, [parent for parent in mapping if not is_padding(parent)]


def read_parents(mapping: Mapping[Any, Any]) -> Edges:
    """Return the edges of {child: parent}; a node that is its own parent has none."""
    if not isinstance(mapping, Mapping):
        raise TypeError(f"expected a dict of child: parent, got {type(mapping).__name__}")
    return [
        (None if is_padding(parent) or _is_same(parent, child) else parent, child)
        for child, parent in mapping.items()
    ]


def _is_same(parent: object, child: object) -> bool:
    return is_hashable(parent) and bool(parent == child)


def iter_rows(Y: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the number and the raw cells of each row of 2-D labels."""
    if isinstance(Y, (str, bytes)) or not isinstance(Y, Iterable):
        raise TypeError(f"expected rows of path labels, got {show(Y)}")
    ndim = getattr(Y, "ndim", 2)
    kind = getattr(getattr(Y, "dtype", None), "kind", "O")
    if ndim != 2 and kind != "O":  # an array of lists has one dimension
        raise ValueError(f"expected 2-D path labels, got {ndim} dimensions")
    for i, row in enumerate(as_list(Y)):
        if isinstance(row, (str, bytes)) or not isinstance(row, (Sequence, np.ndarray)):
            raise ValueError(
                f"row {i} is not a list of labels: {show(row)} (for labels such as 'sci.space' use "
                "Hierarchy.from_delimited)"
            )
        yield i, tuple(row)


def check_sep(sep: object) -> None:
    """Refuse what is neither None nor a string that can separate."""
    if sep is None:
        return
    if not isinstance(sep, str):
        raise TypeError(f"sep must be a string, got {sep!r}")
    if not sep:
        raise ValueError("sep must not be empty")


def column_names(Y: Any) -> list[Any] | None:
    """Return the names of the columns of a data frame, None for anything else."""
    names = getattr(Y, "columns", None)
    return None if names is None else list(names)


def check_missing(missing: str) -> None:
    """Refuse what is no way to read a path in which a level is missing."""
    if missing not in ("error", "skip", "fill"):
        raise ValueError(f'missing must be "error", "skip" or "fill", got {missing!r}')


def clean_path(
    row: tuple[Any, ...],
    i: int,
    *,
    missing: str = "error",
    columns: Sequence[Any] | None = None,
) -> list[Node]:
    """Return the labels of a row, root side first, without the padding at its end.

    Parameters
    ----------
    row : tuple
        The raw cells.
    i : int
        The number of the row, for the message.
    missing : "error", "skip" or "fill"
        What becomes of an empty cell before a label; see `Hierarchy.from_paths`.
    columns : sequence, optional
        The names of the columns, for the message.

    Returns
    -------
    list of nodes
    """
    end = len(row)
    while end and is_padding(row[end - 1]):
        end -= 1
    if end == 0:
        raise ValueError(f"row {i} has no label")
    path: list[Node] = []
    above: Any = None  # the last label that was not missing
    for k in range(end):
        if not is_padding(row[k]):
            above = clean_node(row[k], "in row {}", i)
            path.append(above)
        elif missing == "fill":
            path.append(f"(no level {k})" if above is None else f"{above} (no level {k})")
        elif missing == "error":
            named = f"column {k}" if columns is None else f"column {show(columns[k])}"
            raise ValueError(
                f"row {i} skips a level: {show(row[k])} comes before {show(row[k + 1])}, in "
                f"{named}. Where levels may be unknown, Hierarchy.from_paths(..., "
                'missing="skip") leaves them out of the path and missing="fill" puts a node in '
                "their place"
            )
    return path


def spelt_name(name: Node, above: Sequence[Node], sep: str | None) -> Node | None:
    """Return the last part of a name that spells its own path, None for any other name.

    Parameters
    ----------
    name : node
        A name.
    above : sequence of nodes
        The labels above it, as paths show them.
    sep : str or None
        What joins the labels of a path to a string. None is for tuples.
    """
    if sep is None:
        is_path = isinstance(name, tuple) and len(name) > len(above) and name[:-1] == tuple(above)
        return name[-1] if is_path else None  # type: ignore[index]
    start = "".join(f"{label}{sep}" for label in above)
    is_path = bool(start) and isinstance(name, str) and name.startswith(start) and name != start
    return name[len(start) :] if is_path else None  # type: ignore[index]


def spell(path: Sequence[Node], sep: str | None) -> Node:
    """Return the name that spells a path: the inverse of `spelt_name`."""
    return tuple(path) if sep is None else sep.join(map(str, path))


def read_paths(Y: Any, sep: str | None = None, missing: str = "error") -> Edges:
    """Return the edges below ROOT of 2-D labels.

    The paths are gathered in a trie. A name found at several of its places names each of them by
    its path; so does a name that would be taken for such a one.
    """
    check_sep(sep)
    check_missing(missing)
    columns = column_names(Y)
    places: dict[tuple[int, Node], int] = {}  # (place above, name) -> place; 0 is the root
    for i, row in unique_rows(Y):
        place = 0
        for name in clean_path(row, i, missing=missing, columns=columns):
            place = places.setdefault((place, name), len(places) + 1)
    if not places:
        raise ValueError("a hierarchy needs at least one path, got none")
    above = [0, *(key[0] for key in places)]
    names: list[Node] = [ROOT, *(key[1] for key in places)]
    count = Counter(names)

    labels = list(names)
    for place in range(1, len(names)):
        name = names[place]
        may_spell = (
            isinstance(name, tuple) if sep is None else isinstance(name, str) and sep in name
        )
        if count[name] == 1 and not may_spell:
            continue
        path, at = [], place
        while at:
            path.append(names[at])
            at = above[at]
        path.reverse()
        if count[name] > 1 or spelt_name(name, path[:-1], sep) is not None:
            if sep is not None and not isinstance(name, str):
                raise TypeError(
                    f"sep={sep!r} joins strings, and {show(name)}, which occurs in several "
                    f"branches, is none (as in the path {shorten(path)}): give strings, or sep=None"
                )
            labels[place] = spell(path, sep)
    if len(set(labels)) < len(labels):
        raise ValueError(
            f"{show(repeated(labels)[0])} is a label and also the path of a label that occurs twice"
            + ("" if sep is None else f", joined by {sep!r}: choose another sep")
        )

    # Siblings are arranged here, by name: as nodes, a mixture of names and tuples has no order.
    below: list[dict[Node, int]] = [{} for _ in names]
    for (parent, name), place in places.items():
        below[parent][name] = place
    for group in below:
        for name, place in group.items():
            if labels[place] != name and labels[place] in group:
                raise ValueError(
                    f"below one parent {show(labels[place])} is a label and also the path of "
                    f"the label {show(name)}, so a path could not tell them apart"
                )
    ordered = not isinstance(Y, (set, frozenset))
    return [
        (labels[parent], labels[group[name]])
        for parent, group in enumerate(below)
        if group
        for name in arrange(
            list(group), ordered=ordered, what="the labels below {}", parent=names[parent]
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
    if sep is None:
        raise TypeError("sep must be a string, got None")
    check_sep(sep)
    edges: dict[tuple[Any, Any], None] = {}
    for label in as_labels(labels):
        if not isinstance(label, str):
            raise TypeError(f"labels must be strings, got {show(label)}")
        parent: Any = ROOT
        at = 0
        while at >= 0:
            end = label.find(sep, at)
            part = label[at:] if end < 0 else label[at:end]
            if not part:
                raise ValueError(
                    f"the label {show(label)} has an empty part between separators {sep!r}"
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


def read_branching(branching: Any) -> int:
    """Return the largest number of children, an integer of 2 or more, or raise."""
    try:
        if isinstance(branching, bool):
            raise TypeError
        branching = index(branching)
    except TypeError:
        raise TypeError(f"branching must be an integer, got {branching!r}") from None
    if branching < 2:
        raise ValueError(f"branching must be at least 2, got {branching}")
    return int(branching)


def read_counts(counts: Any) -> tuple[list[Node], list[float]]:
    """Return classes, sorted where they can be, and their counts, from {class: count}."""
    if not isinstance(counts, Mapping):
        raise TypeError(f"counts must be a dict of classes and their counts, got {show(counts)}")
    classes = read_classes(list(counts))
    found: list[Any] = [counts[c] for c in classes]
    for c, count in zip(classes, found, strict=True):
        is_number = type(count) is int or isinstance(count, Real)
        if not is_number or not 0 <= count < float("inf"):
            raise ValueError(
                f"a count must be a finite number that is not negative: {show(c)} has {show(count)}"
            )
    return classes, found


def split_evenly(classes: Sequence[Node], branching: int) -> Edges:
    """Return the edges of a balanced tree over the classes; inner nodes are (first, last)."""
    branching = read_branching(branching)
    taken = set(classes)
    edges: Edges = []
    waiting: deque[tuple[Any, int, int]] = deque([(ROOT, 0, len(classes))])
    while waiting:
        parent, start, stop = waiting.popleft()
        n = stop - start
        if n <= branching:
            edges += [(parent, c) for c in classes[start:stop]]
            continue
        for a, b in pairwise(start + bound for bound in even_bounds(n, branching)):
            node = classes[a] if b - a == 1 else (classes[a], classes[b - 1])
            if b - a > 1:
                if node in taken:
                    raise ValueError(f"the class {show(node)} has the name of an inner node")
                waiting.append((node, a, b))
            edges.append((parent, node))
    return edges
