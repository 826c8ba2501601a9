"""From labels to positions, and what to say of labels that are not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._nodes import Node, as_labels, is_hashable, shorten, show


def find_positions(
    ids: Mapping[Node, int], labels: ArrayLike, names: Sequence[Node]
) -> NDArray[np.intp]:
    """Return the positions of labels, or raise with those that are not there.

    Parameters
    ----------
    ids : dict
        The id of each node; that of the root is 0.
    labels : array-like of shape (n,)
        Nodes.
    names : sequence of nodes
        The name of each id, for the message.

    Returns
    -------
    ndarray of shape (n,), dtype intp
    """
    items = as_labels(labels)
    get = ids.get
    try:
        positions = np.fromiter((get(x, 0) for x in items), dtype=np.intp, count=len(items))
    except TypeError:
        bad = next(item for item in items if not is_hashable(item))
        raise TypeError(f"labels must be hashable, {show(bad)} is not") from None
    positions -= 1
    if len(positions) and positions.min() < 0:
        _refuse(ids, names, items, positions)
    return positions


def find_id(ids: Mapping[Node, int], node: Node) -> int:
    """Return the id of a node or the root."""
    try:
        return ids[node]
    except KeyError:
        raise ValueError(f"{show(node)} is not in the hierarchy") from None
    except TypeError:
        raise TypeError(f"a node must be hashable, {show(node)} is not") from None


def _refuse(
    ids: Mapping[Node, int],
    names: Sequence[Node],
    items: list[Any],
    positions: NDArray[np.intp],
) -> NoReturn:
    """Raise with the labels that are not in the hierarchy, and why they might not be."""
    root = names[0]
    unknown = list(dict.fromkeys(items[i] for i in np.flatnonzero(positions < 0)))
    if unknown == [root]:
        raise ValueError(f"the root {show(root)} is not a class and cannot be a label")
    encoded = all(type(item) is int for item in items) and set(items) == set(range(len(set(items))))
    message = "labels that are not in the hierarchy: "
    message += shorten(sorted(unknown) if encoded else unknown)
    twin = _twin(ids, unknown)
    if twin is not None:
        label, node = twin
        message += (
            f". The label {show(label)} is {_kind(label)} and the node {show(node)} is "
            f"{_kind(node)}: give labels and nodes the same type"
        )
        if isinstance(label, str) and label.startswith("0"):
            message += " (codes that are read as numbers lose their leading zeros)"
    if encoded:
        message += (
            f". The labels look encoded (integers from 0) while the nodes have names such as "
            f"{show(names[1])}. If something encoded y before this saw it, encode the "
            "hierarchy alike: hierarchy.relabel({c: i for i, c in enumerate(np.unique(y))}), "
            "if all labels in y are leaves"
        )
    elif root in unknown:
        message += f" (the root {show(root)} is not a class)"
    raise ValueError(message)


def _twin(ids: Mapping[Node, int], labels: Sequence[Any]) -> tuple[Any, Node] | None:
    """Return the first label that is a node in all but its type, and that node."""
    for label in labels:
        for form in _forms(label):
            if ids.get(form, 0) > 0:
                return label, form
    return None


def _forms(label: object) -> Iterator[Node]:
    """Yield what a label might be in another type, so that the nodes need not be searched."""
    if isinstance(label, bytes):
        yield label.decode(errors="replace")
    elif isinstance(label, str):
        yield label.encode(errors="replace")
        for number in (int, float):
            with contextlib.suppress(ValueError):
                yield number(label)
    else:
        yield from (str(label).zfill(width) for width in range(1, 20))


def _kind(value: object) -> str:
    kinds = {str: "text", int: "an integer", float: "a float", bytes: "bytes", bool: "a boolean"}
    return kinds.get(type(value), f"of type {type(value).__name__}")
