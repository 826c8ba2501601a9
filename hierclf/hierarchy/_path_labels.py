"""Path labels: the names on the way from the top level down to a node."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from hierclf.hierarchy import _relatives
from hierclf.hierarchy._arrays import HierarchyArrays
from hierclf.hierarchy._nodes import Node, plain_array, shorten
from hierclf.hierarchy._readers import clean_path, iter_rows


class PathLabels:
    """The names that nodes have in paths, and a walk down by them.

    Parameters
    ----------
    arrays : HierarchyArrays
        The edges.
    names : sequence of nodes
        The name of each id.
    """

    def __init__(self, arrays: HierarchyArrays, names: Sequence[Node]) -> None:
        self._arrays = arrays
        self._names = names
        self._steps: dict[int, dict[Node, int]] = {}  # children by name, filled as paths are walked

    @cached_property
    def shown(self) -> tuple[Node, ...]:
        """The name of each id in path labels.

        `from_paths` names a node by the tuple of its path where its own name is not unique; in a
        path its own name will do.
        """
        arrays, names = self._arrays, self._names
        shown = list(names)
        for parent in (arrays.inner_indices + 1).tolist():  # from the root down
            children = arrays.down.of(parent)
            tuples = [(c, name) for c in children if isinstance(name := names[c], tuple)]
            path = _relatives.only_path(arrays, parent) if tuples else None
            if path is None:
                continue
            above = tuple(shown[i] for i in path)
            taken = {names[c] for c in children}
            for c, name in tuples:
                is_path = len(name) > len(above) and name[:-1] == above
                if is_path and name[-1] not in taken and not arrays.has_several_paths[c]:
                    shown[c] = name[-1]
        return tuple(shown)

    def write(self, paths: NDArray[np.intp]) -> NDArray[Any]:
        """Return paths of positions as path labels."""
        used, cells = np.unique(paths, return_inverse=True)
        names = plain_array([self.shown[i + 1] for i in used.tolist() if i >= 0])
        if len(used) and used[0] < 0:
            padding = "" if names.dtype.kind == "U" else None
            dtype = names.dtype if names.dtype.kind == "U" else object
            names = np.concatenate((np.array([padding], dtype=dtype), names.astype(dtype)))
        result: NDArray[Any] = names[cells.reshape(paths.shape)]
        return result

    def read(self, Y: Any) -> NDArray[Any]:
        """Return the deepest node of each path label."""
        known: dict[tuple[Any, ...], Node] = {}
        labels = []
        for number, row in iter_rows(Y):
            try:
                label = known.get(row)
            except TypeError:  # an unhashable cell, which clean_path names
                label = None
            if label is None:
                label = known[row] = self._names[self._walk(clean_path(row, number), number)]
            labels.append(label)
        return plain_array(labels)

    def _walk(self, path: list[Node], row: int) -> int:
        i = 0
        for step, name in enumerate(path):
            below = self._children(i).get(name)
            if below is None:
                self._refuse(i, name, f"row {row}, step {step}")
            i = below
        return i

    def _children(self, i: int) -> dict[Node, int]:
        steps = self._steps.get(i)
        if steps is None:
            children = self._arrays.down.of(i)
            steps = {self._names[c]: c for c in children}
            steps.update((self.shown[c], c) for c in children)
            self._steps[i] = steps
        return steps

    def _refuse(self, i: int, name: Node, where: str) -> NoReturn:
        children = [self.shown[c] for c in self._arrays.down.of(i)]
        place = repr(self.shown[i]) if i else "the root"
        message = f"{where}: {name!r} is not a child of {place}; "
        message += f"its children are {shorten(children)}" if children else "it is a leaf"
        if name in self._names[1:]:
            parents = self._arrays.up.of(self._names.index(name))
            message += f"; {name!r} is below {shorten(self._names[p] for p in parents)}"
        raise ValueError(message)
