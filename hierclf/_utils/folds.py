"""Samples held out from the training of an estimator: labels, splits, and what it says of them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit, check_cv
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from hierclf._utils.find_hierarchy import classes_in
from hierclf._utils.label_sets import LabelSets, check_rows_closed, read_label_sets
from hierclf._utils.labels import Labels, locate, read_labels
from hierclf._utils.proba import check_proba
from hierclf._utils.sklearn_private import check_sample_weight, n_samples, safe_indexing
from hierclf.hierarchy import Hierarchy, as_hierarchy
from hierclf.hierarchy._nodes import as_labels, plain_array


class SampleLabels(NamedTuple):
    """The labels of all samples.

    Attributes
    ----------
    y : array-like of length n_samples
        What the estimator is trained on: labels, or paths as they were given.
    known : array-like of length n_samples
        The same, but a sample of weight 0, whose label may be anything, has that of another.
    counts : ndarray of shape (n_samples,), dtype bool
        Whether the weight is not 0.
    codes : ndarray of shape (n_samples,)
        What tells labels apart for a split.
    longest_path : int or None
        Length of the longest path; None where y holds single labels.
    """

    y: Any
    known: Any
    counts: NDArray[np.bool_]
    codes: NDArray[Any]
    longest_path: int | None

    @property
    def are_strata(self) -> bool:
        """Whether a split is to hold out each code in proportion."""
        return True

    def positions(self, hierarchy: Hierarchy) -> NDArray[np.intp]:
        """Return where the labels are in ``hierarchy.nodes``, -1 for samples of weight 0."""
        known = self.known
        if self.longest_path is not None:
            if not hierarchy.is_tree:
                raise ValueError(
                    "y holds paths, and predictions can be paths in a tree only, while in a DAG "
                    "several may lead to a node: give the last label of each path, "
                    "hierarchy.leaves_from_paths(y)"
                )
            known = hierarchy.leaves_from_paths(known)
        positions = hierarchy.node_indices(known)
        positions[~self.counts] = -1
        return positions


def read_sample_labels(
    y: Any, weight: NDArray[np.float64], hierarchy: Any, name: str
) -> SampleLabels:
    """Read labels, or paths; a hierarchy tells tuples that are nodes from paths."""
    if hierarchy is not None and not hasattr(hierarchy, "fit"):
        hierarchy = as_hierarchy(hierarchy)
    counts = weight > 0
    rows = np.where(counts, np.arange(len(counts)), counts.argmax())
    known = y if counts.all() else safe_indexing(y, rows)
    labels = read_labels(known, hierarchy, name)
    if labels.rows is None:
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        # A class that occurs with weight 0 alone is none, and cannot be stratified.
        codes = np.where(np.isin(y, y[counts]), y, y[rows])
        return SampleLabels(y, y[rows], counts, codes, None)
    located = locate(labels, hierarchy, np.arange(len(counts)), name)
    if located.longest_path is None:
        y = plain_array(as_labels(y))
        known = y[rows]
    return SampleLabels(y, known, counts, located.positions, located.longest_path)


def read_weight(sample_weight: ArrayLike, n_rows: int) -> NDArray[np.float64]:
    weight: NDArray[np.float64] = check_sample_weight(
        sample_weight, np.empty(n_rows), dtype=np.float64
    )
    negative = np.flatnonzero(weight < 0)
    if len(negative):
        raise ValueError(
            f"sample_weight must not be negative: row {negative[0]} has {weight[negative[0]]}"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for every row: there is nothing to learn from")
    return weight


class Split(NamedTuple):
    """Samples to train on, and samples to hold out."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


class SampleSets(NamedTuple):
    """The labels of all samples, where a sample may have several.

    Attributes
    ----------
    y : object
        What the estimator is trained on, as it was given.
    sets : LabelSets
        The same, read; but a sample of weight 0, whose labels may be anything, has those of
        another.
    """

    y: Any
    sets: LabelSets

    @property
    def codes(self) -> Any:
        """What splitters are given."""
        return self.y

    @property
    def are_strata(self) -> bool:
        """Whether a split is to hold out each code in proportion."""
        return False

    @property
    def longest_path(self) -> None:
        """There are no paths."""

    def positions(self, hierarchy: Hierarchy) -> SampleNodes:
        """Find the nodes of each sample, all above each among them."""
        return SampleNodes(self.sets, self.sets.closed(hierarchy))


class SampleNodes(NamedTuple):
    """The labels of all samples, and their nodes as a matrix of shape (n_samples, n_nodes)."""

    sets: LabelSets
    nodes: sp.csr_array


def read_sample_sets(
    y: Any,
    weight: NDArray[np.float64],
    hierarchy: Hierarchy | None,
    columns: Sequence[Any] | None,
    name: str,
) -> SampleSets | None:
    """Read several labels for each sample, or return None where each sample has one.

    Parameters
    ----------
    y, hierarchy, columns, name
        As for :func:`read_label_sets`.
    weight : ndarray of shape (n_samples,)
        The weights.

    Returns
    -------
    SampleSets or None
    """
    counts = weight > 0
    rows = np.where(counts, np.arange(len(counts)), counts.argmax())
    read = read_label_sets(y if counts.all() else safe_indexing(y, rows), hierarchy, columns, name)
    if isinstance(read, Labels):
        return None
    # An induced hierarchy has nodes that are no columns.
    if hierarchy is not None and read.are_columns and len(read.names) == len(hierarchy):
        check_rows_closed(read, hierarchy)
    return SampleSets(y, read)


def split_samples(
    X: Any, labels: SampleLabels | SampleSets, cv: Any, random_state: Any
) -> list[Split]:
    """Part samples as a number of folds, a share, or a splitter says; by labels if it asks."""
    y, stratify = labels.codes, labels.are_strata
    if isinstance(cv, Real) and not isinstance(cv, Integral):
        of_share = StratifiedShuffleSplit if stratify else ShuffleSplit
        cv = of_share(1, test_size=cv, random_state=random_state)
    else:
        cv = check_cv(cv, y if stratify else None, classifier=stratify)
    rows = np.arange(n_samples(y))
    return [Split(rows[train], rows[test]) for train, test in cv.split(X, y)]


def hold_out_weighted(splits: list[Split], weight: NDArray[np.float64]) -> list[Split]:
    """Hold out nothing of weight 0, which teaches nothing, and leave out splits of nothing else."""
    splits = [Split(train, test[weight[test] > 0]) for train, test in splits]
    splits = [split for split in splits if len(split.test)]
    if not splits:
        raise ValueError(
            "sample_weight is 0 for every row that is held out: there is nothing to learn from"
        )
    return splits


class Fold(NamedTuple):
    """Samples that were held out, and what an estimator trained without them says of them.

    Parameters
    ----------
    rows : ndarray of shape (n,), dtype intp
        Which samples. None has weight 0.
    classes : ndarray of shape (n_classes,)
        The classes that the estimator knows, as the whole hierarchy names them: rare ones may
        not be among them.
    proba : ndarray of shape (n, n_classes)
        Their probabilities.
    weight : ndarray of shape (n,), dtype float64
        How much each sample counts: 1 for the heaviest of all.
    """

    rows: NDArray[np.intp]
    classes: NDArray[Any]
    proba: NDArray[Any]
    weight: NDArray[np.float64]


def fit_on(
    estimator: Any, X: Any, y: Any, rows: NDArray[np.intp], fit_params: dict[str, Any]
) -> Any:
    own = {name: safe_indexing(values, rows) for name, values in fit_params.items()}
    return clone(estimator).fit(safe_indexing(X, rows), safe_indexing(y, rows), **own)


def hold_out(
    estimator: Any,
    X: Any,
    rows: NDArray[np.intp],
    weight: NDArray[np.float64],
    hierarchy: Hierarchy,
) -> Fold:
    proba = class_proba(estimator, safe_indexing(X, rows))
    return Fold(rows, classes_in(hierarchy, estimator), proba, weight[rows])


def fit_and_hold_out(
    estimator: Any,
    X: Any,
    y: Any,
    split: Split,
    weight: NDArray[np.float64],
    fit_params: dict[str, Any],
    hierarchy: Hierarchy,
) -> Fold:
    fitted = fit_on(estimator, X, y, split.train, fit_params)
    return hold_out(fitted, X, split.test, weight, hierarchy)


def class_proba(estimator: Any, X: Any) -> NDArray[Any]:
    """Return the probabilities of a fitted estimator, of shape (n, n_classes), checked."""
    name = f"what {type(estimator).__name__}.predict_proba returned"
    proba = estimator.predict_proba(X)
    if isinstance(proba, list) and getattr(proba[0], "ndim", 1) == 2:
        raise ValueError(
            f"{name} is a list with an array for each column of y: put the estimator into "
            "sklearn.multiclass.OneVsRestClassifier, which returns one array"
        )
    return check_proba(proba, np.asarray(estimator.classes_), name)
