"""Between labels, paths, indicators and probabilities of different levels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hierclf.hierarchy._geometry import Geometry
from hierclf.hierarchy._graph import gather
from hierclf.hierarchy._indicators import read_indicator
from hierclf.hierarchy._nodes import (
    Node,
    as_labels,
    as_list,
    is_hashable,
    plain_array,
    repeated,
    shorten,
)
from hierclf.hierarchy._readers import clean_path, iter_rows

# Values summed at a time: few enough to stay in the cache between reordering and summing.
BLOCK = 2**17


class Labels(Geometry):
    """A structure that converts labels and probabilities; see `Hierarchy`."""

    # -- probabilities

    def aggregate(
        self, proba: ArrayLike, classes: ArrayLike, level: int | str | None = None
    ) -> NDArray[Any]:
        """Return the probability of each node of a level: the sum of the classes at or below it.

        Parameters
        ----------
        proba : array-like of shape (n, n_classes)
            What `predict_proba` of any classifier returned.
        classes : array-like of shape (n_classes,)
            What the columns stand for: nodes at or below the level.
        level : int, "leaf" or "parent", optional
            As in `level`. None is every node, in the order of `nodes`.

        Returns
        -------
        ndarray of shape (n, n_nodes_of_the_level)
            In the float dtype of `proba`. A node that no class is below has probability 0.

        Raises
        ------
        ValueError
            If the shapes do not fit, a class is unknown, given twice or above the level, or there
            is no such level.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": ["oak"]})
        >>> h.aggregate([[0.5, 0.25, 0.25]], classes=["cat", "dog", "oak"], level=0)
        array([[0.75, 0.25]])
        >>> h.aggregate([[0.5, 0.25, 0.25]], classes=["cat", "dog", "oak"])
        array([[0.75, 0.25, 0.5 , 0.25, 0.25]])
        """
        proba = np.asarray(proba)
        if proba.dtype.kind != "f":
            proba = proba.astype(np.float64)
        found = self.node_indices(classes)
        if len(np.unique(found)) < len(found):
            twice = [self.nodes[i] for i in repeated(found.tolist())]
            raise ValueError(f"classes given twice: {shorten(twice)}")
        if proba.ndim != 2 or proba.shape[1] != len(found):
            raise ValueError(
                f"proba must have one column for each of the {len(found)} classes, "
                f"its shape is {proba.shape}"
            )
        n_columns = len(self.nodes)
        if level is None:
            columns, targets = self.ancestor_pairs(found)
        else:
            on_level = self.level_indices(level)
            n_columns = len(on_level)
            columns, targets = self.level_pairs(found, level)
            targets = np.searchsorted(on_level, targets)
        result = np.zeros((len(proba), n_columns), dtype=proba.dtype)
        if not len(columns):
            return result
        order = np.argsort(targets, kind="stable")
        columns, targets = columns[order], targets[order]
        in_order = np.array_equal(columns, np.arange(len(found)))
        starts = np.flatnonzero(np.diff(targets, prepend=-1))
        step = max(1, BLOCK // len(columns))
        for row in range(0, len(proba), step):
            block = proba[row : row + step]
            if not in_order:
                block = np.take(block, columns, axis=1)
            if len(starts) < len(columns):
                block = np.add.reduceat(block, starts, axis=1)
            result[row : row + step, targets[starts]] = block
        return result

    def level_pairs(
        self, positions: NDArray[np.intp], level: int | str
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pair each of some classes with the nodes of a level that are at or above it.

        Parameters
        ----------
        positions : ndarray of shape (n,), dtype intp
            Positions in `nodes`.
        level : int, "leaf" or "parent"
            The level.

        Returns
        -------
        items, ancestors : ndarray of shape (n_pairs,)
            As from `ancestor_pairs`; every class is in a pair.

        Raises
        ------
        ValueError
            If there is no such level, or a class is above it.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.level_pairs(h.node_indices(["dog", "plant"]), 0)
        (array([0, 1]), array([0, 1]))
        """
        items, above = self.ancestor_pairs(positions)
        kept = np.isin(above, self.level_indices(level))
        too_high = np.delete(positions, items[kept])
        if len(too_high):
            names = [self.nodes[i] for i in too_high.tolist()]
            raise ValueError(f"classes above level {level!r}: {shorten(names)}")
        return items[kept], above[kept]

    # -- paths

    @cached_property
    def _shown(self) -> tuple[Node, ...]:
        """The name of each id in path labels.

        `from_paths` names a node by the tuple of its path where its own name is not unique; in a
        path its own name will do.
        """
        names = self._names
        shown = list(names)
        for parent in (self.inner_indices + 1).tolist():  # from the root down
            children = self._child_ids(parent)
            tuples = [(c, name) for c in children if isinstance(name := names[c], tuple)]
            path = self._only_path(parent) if tuples else None
            if path is None:
                continue
            above = tuple(shown[i] for i in path)
            taken = {names[c] for c in children}
            for c, name in tuples:
                is_path = len(name) > len(above) and name[:-1] == above
                if is_path and name[-1] not in taken and not self._has_several_paths[c]:
                    shown[c] = name[-1]
        return tuple(shown)

    def paths_from_leaves(self, y: ArrayLike) -> NDArray[Any]:
        """Return the paths to 1-D labels.

        Parameters
        ----------
        y : array-like of shape (n,)
            Nodes, inner ones too.

        Returns
        -------
        ndarray of shape (n, n_levels)
            Root side first, the root excluded: strings padded with "" where all names are strings,
            numbers where all are numbers and nothing is padded, else objects padded with None. A
            node that is the tuple of its path, as `from_paths` makes them, is shown by its last.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy, or several paths lead to one (in a DAG).

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.paths_from_leaves(["dog", "plant"])
        array([['animal', 'dog'],
               ['plant', '']], dtype='<U6')
        """
        return self.name_paths(self.path_indices(self.node_indices(y)))

    def name_paths(self, paths: NDArray[np.intp]) -> NDArray[Any]:
        """Return paths of positions as path labels.

        Parameters
        ----------
        paths : ndarray of shape (n, n_steps), dtype intp
            Positions in `nodes`, root side first; -1 where a path has ended.

        Returns
        -------
        ndarray of shape (n, n_steps)
            As `paths_from_leaves` does.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.name_paths(np.array([[0, 3], [1, -1]]))
        array([['animal', 'dog'],
               ['plant', '']], dtype='<U6')
        """
        used, cells = np.unique(paths, return_inverse=True)
        names = plain_array([self._shown[i + 1] for i in used.tolist() if i >= 0])
        if len(used) and used[0] < 0:
            padding = "" if names.dtype.kind == "U" else None
            dtype = names.dtype if names.dtype.kind == "U" else object
            names = np.concatenate((np.array([padding], dtype=dtype), names.astype(dtype)))
        result: NDArray[Any] = names[cells.reshape(paths.shape)]
        return result

    def leaves_from_paths(self, Y: Any) -> NDArray[Any]:
        """Return the deepest node of each path; the inverse of `paths_from_leaves`.

        Parameters
        ----------
        Y : array-like of shape (n, n_levels), data frame, or list of lists
            Names from the top level down. Rows may end early: lists may be ragged, and "", None
            and NaN are padding.

        Returns
        -------
        ndarray of shape (n,)
            Nodes: of a string or number dtype where all of them are, else objects.

        Raises
        ------
        ValueError
            If a row has no label, skips a level, or takes a step that is not in the hierarchy; the
            message names row and step.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_paths([["animal", "cat"], ["plant", "oak"]])
        >>> h.leaves_from_paths([["plant", "oak"], ["animal", ""]])
        array(['oak', 'animal'], dtype='<U6')
        """
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
            below = self._step(i, name)
            if below is None:
                children = [self._shown[c] for c in self._child_ids(i)]
                place = repr(self._shown[i]) if i else "the root"
                message = f"row {row}, step {step}: {name!r} is not a child of {place}; "
                message += f"its children are {shorten(children)}" if children else "it is a leaf"
                if name in self._ids and name != self.root:
                    message += f"; {name!r} is below {shorten(self.parents(name))}"
                raise ValueError(message)
            i = below
        return i

    def _step(self, i: int, name: Node) -> int | None:
        steps = self._steps_down.get(i)
        if steps is None:
            children = self._child_ids(i)
            steps = {self._names[c]: c for c in children}
            steps.update((self._shown[c], c) for c in children)
            self._steps_down[i] = steps
        return steps.get(name)

    @cached_property
    def _steps_down(self) -> dict[int, dict[Node, int]]:
        """The children of inner nodes by name, filled as paths are walked."""
        return {}

    # -- indicators

    def to_indicator(self, labels: Iterable[Any]) -> NDArray[np.int8]:
        """Return labels as an indicator matrix in which ancestors are set too.

        Parameters
        ----------
        labels : array-like of shape (n,), or list of lists
            One label or several for each row. A tuple that is a node is one label.

        Returns
        -------
        ndarray of shape (n, n_nodes), dtype int8
            Columns are `nodes`.

        Raises
        ------
        ValueError
            If labels are not in the hierarchy.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.to_indicator([["cat"], ["dog", "plant"], []])
        array([[1, 0, 1, 0],
               [1, 1, 0, 1],
               [0, 0, 0, 0]], dtype=int8)
        """
        groups = [self._row_labels(item) for item in as_labels(labels)]
        flat = [label for group in groups for label in group]
        rows = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        pairs, ancestors = self.ancestor_pairs(self.node_indices(flat))
        result = np.zeros((len(groups), len(self.nodes)), dtype=np.int8)
        result[rows[pairs], ancestors] = 1
        return result

    def _row_labels(self, item: Any) -> list[Any]:
        if isinstance(item, (list, set, frozenset, tuple, np.ndarray)) and not (
            is_hashable(item) and item in self._ids
        ):
            return as_list(item)
        return [item]

    def from_indicator(self, Y: Any) -> list[list[Node]]:
        """Return the most specific nodes of each row; the inverse of `to_indicator`.

        Parameters
        ----------
        Y : array-like or sparse matrix of shape (n, n_nodes)
            0 and 1; columns are `nodes`, and a node is set only together with its ancestors.

        Returns
        -------
        list of lists of nodes
            In node order.

        Raises
        ------
        ValueError
            If the shape does not fit, a value is neither 0 nor 1, or a row has a node without its
            parents; the message names the row and what is wrong in it.

        Examples
        --------
        >>> from hierclf import Hierarchy
        >>> h = Hierarchy.from_dict({"animal": ["cat", "dog"], "plant": []})
        >>> h.from_indicator([[1, 0, 1, 0], [1, 1, 0, 0]])
        [['cat'], ['animal', 'plant']]
        """
        offsets, positions = read_indicator(Y, len(self.nodes))
        n_rows = len(offsets) - 1
        rows, ids = np.repeat(np.arange(n_rows), np.diff(offsets)), positions + 1
        width = len(self.nodes) + 1
        cells = rows * width + ids
        above, counts = gather(self._up_offsets, self._up, ids)
        needed = np.repeat(rows, counts) * width + above
        missing = (above > 0) & ~np.isin(needed, cells)
        if missing.any():
            bad = np.flatnonzero(missing)[0]
            row = int(np.repeat(rows, counts)[bad])
            node = self._names[np.repeat(ids, counts)[bad]]
            raise ValueError(
                f"row {row} has {node!r} but not its parent {self._names[above[bad]]!r}: rows must "
                "be closed under ancestors. Are the columns in the order of hierarchy.nodes?"
            )
        keep = ~np.isin(cells, needed)
        result: list[list[Node]] = [[] for _ in range(n_rows)]
        for row, i in zip(rows[keep].tolist(), ids[keep].tolist(), strict=True):
            result[row].append(self._names[i])
        return result
