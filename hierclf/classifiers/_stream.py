"""What a classifier remembers of its samples so that more can follow, and which labels may."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from hierclf._utils.labels import Labels, locate, read_labels
from hierclf.classifiers._targets import Targets
from hierclf.hierarchy import Hierarchy
from hierclf.hierarchy._geometry import sums_below
from hierclf.hierarchy._nodes import plain_array, shorten


@dataclass(frozen=True, eq=False)
class Stream:
    """The labels that samples may have, and how many have had each.

    Attributes
    ----------
    origin : tuple
        What ``hierarchy`` was, where it was no hierarchy: see :func:`describe_origin`.
    hierarchy : Hierarchy
        The whole hierarchy: that of the classifier before it was pruned.
    inner_labels : str
        As the parameter.
    labels : ndarray of shape (n_labels,)
        The classes as the user named them, or the labels of a fit: sorted positions in its
        ``nodes``.
    are_named : bool
        Whether the user named the classes of a given hierarchy, which may have more.
    nodes : ndarray of shape (n_nodes,)
        For each node, the position in ``hierarchy_.nodes`` of what a sample with that label
        trains; -1 where that is no label that a sample may have.
    counts : ndarray of shape (n_nodes,)
        Number of samples labelled with each node, or their weight.
    """

    origin: tuple[Any, dict[str, Any]]
    hierarchy: Hierarchy
    inner_labels: str
    labels: NDArray[np.intp]
    are_named: bool
    nodes: NDArray[np.intp]
    counts: NDArray[np.float64]

    @classmethod
    def begin(
        cls,
        hierarchy: Hierarchy,
        targets: Targets,
        *,
        given: Any,
        inner_labels: str,
        are_named: bool = False,
    ) -> Stream:
        """Start with classes, and without samples."""
        return cls(
            describe_origin(given),
            hierarchy,
            inner_labels,
            np.sort(targets.given),
            are_named,
            targets.nodes_of_labels(hierarchy, inner_labels),
            np.zeros(len(hierarchy)),
        )

    def with_samples(self, targets: Targets, weight: NDArray[Any] | None) -> Stream:
        """Count the samples of a fit or a block."""
        counts = self.counts.copy()
        counts[targets.given] += np.bincount(targets.codes, weights=weight)
        return replace(self, counts=counts)

    def grown_into(self, new: Stream) -> Stream:
        """Take the counts over to other classes, or refuse if those lack a label that was seen."""
        seen = np.flatnonzero(self.counts)
        labels = [self.hierarchy.nodes[i] for i in seen.tolist()]
        there = new.hierarchy
        gone = [label for label in labels if label not in there]
        if not gone:
            positions = there.node_indices(plain_array(labels))
            gone = [labels[i] for i in np.flatnonzero(new.nodes[positions] < 0)]
        if gone:
            raise ValueError(
                f"there have been samples of {shorten(gone)}, which the new hierarchy or its "
                "classes lack: nodes may be added and moved, and only those without samples taken "
                "away. For a model without them call fit"
            )
        counts = np.zeros(len(there))
        counts[positions] = self.counts[seen]
        return replace(new, counts=counts)

    def node_counts(self, hierarchy: Hierarchy) -> NDArray[Any]:
        """Count the samples at or below each node of the hierarchy that is trained."""
        seen = np.flatnonzero(self.counts)
        totals = np.bincount(self.nodes[seen], self.counts[seen], minlength=len(hierarchy))
        positions = np.flatnonzero(totals)
        return sums_below(hierarchy.arrays, positions, totals[positions])

    def classes(self, estimator: Any) -> Targets:
        """Return the classes of a fitted classifier, without any samples."""
        none = np.zeros(0, dtype=np.intp)
        return Targets(
            hierarchy=estimator.hierarchy_,
            classes=estimator.classes_,
            class_positions=estimator._class_positions,
            stops=estimator._stops,
            labelled=none,
            codes=none,
            labels=[],
            given=self.labels,
        )

    def positions(self, y: NDArray[Any]) -> NDArray[np.intp]:
        """Look the labels of some samples up in ``hierarchy``."""
        try:
            return self.hierarchy.node_indices(y)
        except ValueError as error:
            if self.origin[0] is Hierarchy:
                raise
            raise ValueError(
                f"the classes are those of the first call, and y holds {error}"
            ) from error

    def read(self, positions: NDArray[np.intp], classes: Targets) -> Targets:
        """Find out what the samples of a block teach.

        Parameters
        ----------
        positions : ndarray of shape (n_rows,)
            Their labels, as positions in ``hierarchy.nodes``.
        classes : Targets
            The classes; what it says of labels and rows is replaced.

        Returns
        -------
        Targets

        Raises
        ------
        ValueError
            If a label is not among the classes; the message names it.
        """
        given, codes = np.unique(positions, return_inverse=True)
        labels = [self.hierarchy.nodes[i] for i in given.tolist()]
        labelled = self.nodes[given]
        unknown = [labels[i] for i in np.flatnonzero(labelled < 0)]
        if unknown:
            raise ValueError(
                f"y holds labels that are not among the classes: {shorten(unknown)}. The classes "
                "are those of the first call of partial_fit, or the labels of fit; a hierarchy "
                "with more of them adds to them: set_params(hierarchy=...)"
            )
        return classes._replace(
            given=given, labelled=labelled, codes=codes.reshape(-1), labels=labels
        )

    def check_classes(self, classes: Any, known: NDArray[Any], name: str) -> None:
        """Refuse classes other than those that there are, which are known by some names."""
        _, values, are_positions = read_classes(classes, self.hierarchy, name)
        positions = np.unique(values if are_positions else self.hierarchy.node_indices(values))
        if np.array_equal(positions, self.labels):
            return
        if not np.array_equal(positions, np.unique(self.hierarchy.node_indices(known))):
            before, now = (
                shorten(self.hierarchy.nodes[i] for i in some.tolist())
                for some in (
                    np.setdiff1d(self.labels, positions),
                    np.setdiff1d(positions, self.labels),
                )
            )
            changes = [f"without {before}"] * bool(before) + [f"with {now}"] * bool(now)
            raise ValueError(
                f"classes are others than before, {' and '.join(changes)}: give those of the first "
                "call, or none. A hierarchy with more of them adds to them: "
                "set_params(hierarchy=...)"
            )


def find_hierarchy(given: Any, classes: Any, before: Stream | None, name: str) -> Hierarchy | None:
    """Choose the whole hierarchy of a stream.

    Parameters
    ----------
    given : Hierarchy, inducer or None
        What the user gave, as ``hierarchy``.
    classes : array-like or None
        What the user gave as ``classes``.
    before : Stream or None
        What is remembered; None at the first call.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    Hierarchy or None
        The very one of ``before``, if nothing has changed. None where an inducer is to build it
        from the first block.

    Raises
    ------
    ValueError
        If classes are missing, or the hierarchy can be no continuation of the one before.
    """
    if before is None:
        if isinstance(given, Hierarchy):
            return given
        if classes is None:
            raise ValueError(
                "the first call of partial_fit needs classes: all labels that may come in this "
                "call or a later one. Only a hierarchy tells what they are"
            )
        return None if given is not None else read_classes(classes, None, name)[0]
    (kind, params), (kind_now, params_now) = before.origin, describe_origin(given)
    if isinstance(given, Hierarchy):
        if given is before.hierarchy or given == before.hierarchy:
            return before.hierarchy
        if classes is None and before.are_named:
            raise ValueError(
                "the hierarchy is another than before, and classes were given: give those of the "
                "new hierarchy, the old ones included"
            )
        return given
    if kind is not kind_now or any(
        not np.array_equal(params[key], params_now[key]) for key in params
    ):
        raise ValueError(
            f"partial_fit goes on with the hierarchy of the first call, and hierarchy is now "
            f"{given!r}: leave it as it was, or give a Hierarchy that has more nodes"
        )
    return before.hierarchy


def read_classes(
    classes: Any, hierarchy: Hierarchy | None, name: str
) -> tuple[Hierarchy, NDArray[Any], bool]:
    """Look up the classes that a user names.

    Parameters
    ----------
    classes : array-like or None
        Nodes, or paths to them. None is all leaves.
    hierarchy : Hierarchy or None
        The whole hierarchy. None is that of the classes.
    name : str
        Name of the estimator, for errors.

    Returns
    -------
    Hierarchy
        The whole hierarchy.
    ndarray
        The labels, or their positions in it.
    bool
        Whether those are positions.

    Raises
    ------
    ValueError
        If they are no labels.
    """
    if classes is None and hierarchy is not None:
        return hierarchy, hierarchy.leaf_indices, True
    try:
        labels: Labels = read_labels(classes, hierarchy, name)
        if labels.rows is not None:
            located = locate(labels, hierarchy, np.arange(len(labels.values)), name)
            return located.hierarchy, located.positions, True
        values = column_or_1d(labels.values)
        if hierarchy is None:
            check_classification_targets(values)
            hierarchy = Hierarchy.flat(np.unique(values))
        hierarchy.node_indices(values)
    except ValueError as error:
        raise ValueError(f"classes cannot be read as labels: {error}") from error
    return hierarchy, values, False


def check_is_whole(hierarchy: Hierarchy, classes: Any, inducer: Any) -> None:
    """Refuse a hierarchy that an inducer has built from too few classes."""
    items = column_or_1d(classes)
    missing = [label for label in np.unique(items).tolist() if label not in hierarchy]
    if missing:
        raise ValueError(
            f"{inducer!r} builds the hierarchy from the first block, which has no samples of "
            f"{shorten(missing)}: begin with samples of all classes, or fit the inducer to more "
            "samples and give its hierarchy_"
        )


def describe_origin(given: Any) -> tuple[Any, dict[str, Any]]:
    """Return what tells two ways to a hierarchy apart: none, itself, or an inducer."""
    if given is None:
        return None, {}
    if isinstance(given, Hierarchy):
        return Hierarchy, {}
    return type(given), given.get_params(deep=False)
