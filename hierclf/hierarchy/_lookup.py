"""From labels to positions, and what to say of labels that are not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._nodes import Node, as_labels, is_hashable, shorten


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
        raise TypeError(f"labels must be hashable, {bad!r} is not") from None
    positions -= 1
    if len(positions) and positions.min() < 0:
        _refuse(names[1:], names[0], items, positions)
    return positions


def find_id(ids: Mapping[Node, int], node: Node) -> int:
    """Return the id of a node or the root."""
    try:
        return ids[node]
    except KeyError:
        raise ValueError(f"{node!r} is not in the hierarchy") from None
    except TypeError:
        raise TypeError(f"a node must be hashable, {node!r} is not") from None


def _refuse(
    nodes: Sequence[Node], root: Node, items: list[Any], positions: NDArray[np.intp]
) -> NoReturn:
    """Raise with the labels that are not in the hierarchy, and why they might not be."""
    unknown = list(dict.fromkeys(items[i] for i in np.flatnonzero(positions < 0)))
    if unknown == [root]:
        raise ValueError(f"the root {root!r} is not a class and cannot be a label")
    encoded = all(type(item) is int for item in items) and set(items) == set(range(len(set(items))))
    message = "labels that are not in the hierarchy: "
    message += shorten(sorted(unknown) if encoded else unknown)
    if encoded:
        message += (
            f". The labels look encoded (integers from 0) while the nodes have names such as "
            f"{nodes[0]!r}. If something encoded y before this saw it, encode the "
            "hierarchy alike: hierarchy.relabel({c: i for i, c in enumerate(np.unique(y))}), "
            "if all labels in y are leaves"
        )
    elif root in unknown:
        message += f" (the root {root!r} is not a class)"
    raise ValueError(message)
