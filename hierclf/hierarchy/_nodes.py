"""What may be a node, how nodes are read from arrays, and the root that has no name."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np

Node: TypeAlias = Hashable
Item = TypeVar("Item")

# Scalars of these kinds have an exact Python counterpart, so that names print as 'cat', not
# as np.str_('cat'). Dates have none (nanoseconds would become integers) and stay as they are.
_PLAIN_KINDS = "USbiuf"

_SHOWN = reprlib.Repr()
_SHOWN.maxtuple = _SHOWN.maxlist = _SHOWN.maxdict = _SHOWN.maxset = _SHOWN.maxfrozenset = 20
_SHOWN.maxstring = _SHOWN.maxother = _SHOWN.maxlong = 200


class Root:
    """The type of `Hierarchy.ROOT`, the unnamed root; there is one instance only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Hierarchy.ROOT"

    def __reduce__(self) -> str:
        # A string means "this module's global of that name": copies and pickles are the instance.
        return "ROOT"


ROOT = Root()


def is_hashable(value: object) -> bool:
    """Tell whether `value` can be hashed; a tuple cannot if one of its items cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def is_missing(value: object) -> bool:
    """Tell whether `value` is None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    if type(value) is str or type(value) is int:
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        # pandas.NA has no truth value; nor has an array, which is refused as unhashable.
        return is_hashable(value)


def is_padding(cell: object) -> bool:
    """Tell whether a cell of a table is empty: missing, or an empty string."""
    return is_missing(cell) or (isinstance(cell, str) and cell == "")


def clean_node(value: object, where: str, *named: object) -> Node:
    """Return `value` as a node (numpy scalars become Python's), or raise.

    Parameters
    ----------
    value : object
        What was given as a node.
    where : str
        Where it was given; it ends the message of the error.
    *named : object
        What to show in the places {} of `where`.

    Returns
    -------
    hashable
    """
    kind = type(value)
    if kind is int or (kind is str and value):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in _PLAIN_KINDS:
        value = value.item()
    if is_hashable(value) and not is_padding(value):
        return value
    where = where.format(*map(show, named))
    if not is_hashable(value):
        raise TypeError(f"a node must be hashable, {show(value)} is not ({where})")
    if is_missing(value):
        raise ValueError(f"{show(value)} cannot be a node ({where})")
    # No table of paths could tell it from a path that has ended.
    raise ValueError(f"'' cannot be a node, since in tables it is an empty cell ({where})")


def as_list(values: Any) -> list[Any]:
    """Return the items of an array, data frame, series or iterable, with plain Python scalars."""
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, np.ndarray) and values.dtype.kind in _PLAIN_KINDS + "O":
        return cast(list[Any], values.tolist())
    return list(values)


def as_labels(labels: Any) -> list[Any]:
    """Return 1-D labels as a list, refusing a single string and arrays of other dimensions."""
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise TypeError(f"expected a 1-D sequence of labels, got {show(labels)}")
    ndim = getattr(labels, "ndim", 1)
    if ndim != 1:
        raise ValueError(f"expected 1-D labels, got {ndim} dimensions")
    return as_list(labels)


def sort_if_possible(items: Sequence[Any]) -> list[Any] | None:
    """Return `items` sorted, or None where they have no strict total order.

    Sorting sets does not raise, since `<` is "subset of", but gives an order that depends on the
    order of the input; hence the second look.
    """
    try:
        result = sorted(items)
        strict = all(a < b for a, b in pairwise(result))
    except (TypeError, ValueError):
        return None
    return result if strict else None


def arrange(
    siblings: Sequence[Node], *, ordered: bool, what: str, parent: Node = None
) -> list[Node]:
    """Return siblings sorted where they can be, else as given.

    Parameters
    ----------
    siblings : sequence of nodes
        Distinct nodes.
    ordered : bool
        Whether the given order means something. It does not when it comes out of a set.
    what : str
        What the siblings are, for the message.
    parent : node, optional
        What to show in the place {} of `what`.

    Returns
    -------
    list of nodes

    Raises
    ------
    ValueError
        If the siblings can neither be sorted nor have an order.
    """
    if len(siblings) == 1:
        return list(siblings)
    result = sort_if_possible(siblings)
    if result is not None:
        return result
    if not ordered:
        raise ValueError(
            f"{what.format(show(parent))} cannot be sorted ({shorten(siblings)}) and come from a "
            "set, which has no order: give them in a list"
        )
    return list(siblings)


def repeated(items: Iterable[Item]) -> list[Item]:
    """Return what occurs more than once, in order of first occurrence."""
    return [item for item, count in Counter(items).items() if count > 1]


def show(value: object) -> str:
    """Return the repr of a value for a message, cut to a length that can be read.

    Of large containers only the first items are looked at.
    """
    return _SHOWN.repr(value)


def shorten(items: Iterable[object], limit: int = 5) -> str:
    """Return the reprs of the first few items for a message."""
    items = list(items)
    text = ", ".join(show(item) for item in items[:limit])
    return f"{text}, and {len(items) - limit} more" if len(items) > limit else text


def sort_classes(classes: Sequence[Node]) -> np.ndarray[Any, Any]:
    """Return classes as an array in the order of `classes_`: sorted where they can be."""
    return plain_array(sort_if_possible(classes) or classes)


def plain_array(labels: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return labels as a 1-D array: of strings or of numbers where all are, else of objects."""
    kinds = set(map(type, labels))
    if kinds in ({str}, {bool}, {int}, {float}, {int, float}):
        array = np.asarray(labels)
        # Integers become floats beside floats or beyond 64 bits, and may lose digits.
        if array.dtype.kind != "f" or (float in kinds and array.tolist() == list(labels)):
            return array
    array = np.empty(len(labels), dtype=object)
    for i, label in enumerate(labels):  # a slice assignment would unpack tuples
        array[i] = label
    return array
